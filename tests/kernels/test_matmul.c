/*
 * Matrix products of every CPU level. Two kinds of data, and both are needed: small integers with powers of two as scales, where
 * every order of summation gives the same float, so that the reference must be met to the bit (a forgotten tail shows); and
 * shaped random data against a float64 sum within the bound of float32 summation. All inputs and outputs end at a guard page.
 */
#include "kernels/trap.h"

#include "base/f16.h"
#include "kernels/blocks.h"
#include "tensor/encoding.h"

struct problem {
    struct el_matrix w;
    struct el_act x;
    uint8_t *weights; /* NULL: in parts */
    float *f32;
    int8_t *q8;
    float *scale;
    int16_t *sum;
    float w_extra; /* what |w| may hide: a bound of the two terms that a weight is the difference of */
};

enum { EXACT, REAL };

static const char *const types[] = {"F32",    "F16",    "BF16",   "Q8_0",    "Q4_0",  "Q5_0",    "Q4_K",
                                    "Q5_K",   "Q6_K",   "G2_32",  "G3_64Z",  "G4_32", "G4_128Z", "G4_ROWZ",
                                    "G5_32Z", "G6_ROW", "G7_128", "G8_ROWZ", "G8_32"};
enum { N_TYPES = sizeof types / sizeof types[0], N_SINGLE = 9 }; /* the first N_SINGLE have one part */

static void put_f16(uint8_t *p, float v)
{
    const uint16_t h = el_f32_to_f16(v);
    memcpy(p, &h, 2);
}

static float small_scale(uint64_t *seed, int kind)
{
    return kind == EXACT ? ldexpf(1.0f, (int)(test_rand(seed) % 3) - 2) : 0.01f * (1.5f + test_randf(seed));
}

/* Random blocks; with EXACT, scales are powers of two and integers small. */
static void fill_blocks(const char *type, uint8_t *p, uint64_t nbytes, int kind, uint64_t *seed)
{
    for (uint64_t i = 0; i < nbytes; i++)
        p[i] = (uint8_t)test_rand(seed);
    const uint64_t step = strcmp(type, "Q8_0") == 0   ? EL_Q8_0_NBYTES
                          : strcmp(type, "Q4_0") == 0 ? EL_Q4_0_NBYTES
                          : strcmp(type, "Q5_0") == 0 ? EL_Q5_0_NBYTES
                          : strcmp(type, "Q4_K") == 0 ? EL_Q4_K_NBYTES
                          : strcmp(type, "Q5_K") == 0 ? EL_Q5_K_NBYTES
                                                      : EL_Q6_K_NBYTES;
    for (uint8_t *b = p; b < p + nbytes; b += step) {
        put_f16(step == EL_Q6_K_NBYTES ? b + EL_Q6_K_D : b, small_scale(seed, kind));
        const bool with_mins = step == EL_Q4_K_NBYTES || step == EL_Q5_K_NBYTES;
        if (with_mins)
            put_f16(b + EL_Q4_K_DMIN, small_scale(seed, kind));
        if (kind == EXACT && step == EL_Q8_0_NBYTES)
            for (int i = 0; i < 32; i++)
                b[EL_Q8_0_QS + i] = (uint8_t)((int)(test_rand(seed) % 31) - 15);
        if (kind == EXACT && with_mins)
            for (int i = 0; i < 12; i++)
                b[EL_Q4_K_SCALES + i] &= 0x33; /* scales and mins under 64 with few bits; high pairs are 0 */
        if (kind == EXACT && step == EL_Q6_K_NBYTES)
            for (int i = 0; i < 16; i++)
                b[EL_Q6_K_SCALES + i] = (uint8_t)((int)(test_rand(seed) % 7) - 3);
    }
}

static void fill_floats(const char *type, uint8_t *p, uint64_t n, int kind, uint64_t *seed)
{
    for (uint64_t i = 0; i < n; i++) {
        const float v = kind == EXACT ? (float)((int)(test_rand(seed) % 15) - 7) : trap_randf(seed, 3);
        const uint16_t half = type[0] == 'B' ? el_f32_to_bf16(v) : el_f32_to_f16(v);
        if (strcmp(type, "F32") == 0)
            memcpy(p + 4 * i, &v, 4);
        else
            memcpy(p + 2 * i, &half, 2);
    }
}

static void make_act(struct problem *p, uint64_t n, uint64_t n_in, int kind, uint64_t *seed)
{
    const uint64_t n_pad = (n_in + 31) / 32 * 32, stride = n_in + 3;
    p->f32 = trap_alloc(((n - 1) * stride + n_in) * 4);
    p->q8 = trap_alloc(n * n_pad);
    p->scale = trap_alloc(n * (n_pad / 32) * 4);
    p->sum = trap_alloc(n * (n_pad / 16) * 2);
    for (uint64_t i = 0; i < (n - 1) * stride + n_in; i++)
        p->f32[i] = kind == EXACT ? (float)((int)(test_rand(seed) % 15) - 7) : trap_randf(seed, 2);
    for (uint64_t b = 0; b < n * (n_pad / 32); b++)
        p->scale[b] = small_scale(seed, kind);
    memset(p->sum, 0, n * (n_pad / 16) * 2);
    for (uint64_t i = 0; i < n * n_pad; i++) {
        const int v = kind == EXACT ? (int)(test_rand(seed) % 15) - 7 : (int)(test_rand(seed) % 255) - 127;
        p->q8[i] = (int8_t)(i % n_pad < n_in ? v : 0);
        p->sum[i / 16] = (int16_t)(p->sum[i / 16] + p->q8[i]);
    }
    p->x = (struct el_act){
        .n = n, .n_in = n_in, .n_pad = n_pad, .f32 = p->f32, .f32_stride = stride, .q8 = p->q8, .scale = p->scale, .sum = p->sum};
}

/* The group encoding's parts: any codes, scales as for blocks, any zero points. */
static void fill_group(struct el_matrix *w, const struct el_part_shape *parts, uint32_t n_parts, int kind, uint64_t *seed)
{
    for (uint32_t i = 0; i < n_parts; i++) {
        uint8_t *const p = trap_alloc(parts[i].nbytes);
        for (uint64_t j = 0; j < parts[i].nbytes; j++)
            p[j] = (uint8_t)test_rand(seed);
        for (uint64_t j = 0; i == 1 && j < parts[1].nbytes; j += 2)
            put_f16(p + j, small_scale(seed, kind));
        w->data[i] = p;
        w->row_nbytes[i] = parts[i].row_nbytes;
    }
}

static bool make_problem(struct problem *p, const char *type, uint64_t n_rows, uint64_t n_tokens, uint64_t n_in, int kind,
                         uint64_t seed)
{
    struct el_err err;
    memset(p, 0, sizeof *p);
    if (el_enc_parse(type, &p->w.enc, &err) != EL_OK)
        return false;
    struct el_part_shape parts[EL_MAX_PARTS];
    uint32_t n_parts;
    if (!p->w.enc.e->parts(&p->w.enc, n_rows, n_in, parts, &n_parts))
        return false;
    p->w.n_rows = n_rows;
    p->w.n_in = n_in;
    if (type[0] == 'G') {
        fill_group(&p->w, parts, n_parts, kind, &seed);
    } else {
        p->weights = trap_alloc(parts[0].nbytes);
        p->w.data[0] = p->weights;
        p->w.row_nbytes[0] = parts[0].row_nbytes;
        if (p->w.enc.e->flags & EL_ENC_FLOAT)
            fill_floats(type, p->weights, n_rows * n_in, kind, &seed);
        else
            fill_blocks(type, p->weights, parts[0].nbytes, kind, &seed);
    }
    p->w_extra = type[0] == 'G'                     ? 2 * 255 * 0.025f
                 : type[1] == '4' || type[1] == '5' ? 2 * 63 * 0.025f
                 : strcmp(type, "Q6_K") == 0        ? 32 * 0.025f
                                                    : 0;
    make_act(p, n_tokens, n_in, kind, &seed);
    return true;
}

/* Scratch as the callers must give it; freed with all trapped memory. */
static void *scratch_of(const struct problem *p)
{
    return trap_alloc(el_matmul_scratch_nbytes(p->w.n_in));
}

/* y [n_tokens, n_rows] by one call of level k. */
static void multiply(const struct el_kernels *k, const struct problem *p, float *y)
{
    el_matmul(k, &p->w, 0, p->w.n_rows, &p->x, y, p->w.n_rows, scratch_of(p));
}

/* The activation as the kernel's form sees it. */
static double act_value(const struct el_kernels *k, const struct problem *p, uint64_t t, uint64_t i)
{
    if (el_matmul_form(k, &p->w.enc) == EL_ACT_F32)
        return (double)p->f32[t * p->x.f32_stride + i];
    return (double)p->scale[t * (p->x.n_pad / 32) + i / 32] * (double)p->q8[t * p->x.n_pad + i];
}

static void check_real(const struct el_kernels *k, const char *type, const struct problem *p, const float *y)
{
    const uint64_t n_in = p->w.n_in;
    float *const row = malloc(n_in * sizeof *row);
    unsigned bad = 0;
    for (uint64_t r = 0; r < p->w.n_rows; r++) {
        el_matrix_decode(&p->w, r, 1, row);
        for (uint64_t t = 0; t < p->x.n; t++) {
            double want = 0, sum_abs = 0;
            for (uint64_t i = 0; i < n_in; i++) {
                const double x = act_value(k, p, t, i);
                want += (double)row[i] * x;
                sum_abs += (fabs((double)row[i]) + (double)p->w_extra) * fabs(x);
            }
            const double bound = (double)(n_in + 4) * 0x1p-24 * sum_abs + 1e-44;
            if (!(fabs((double)y[t * p->w.n_rows + r] - want) <= bound))
                bad++;
        }
    }
    free(row);
    if (bad)
        test_fail(__FILE__, __LINE__, "%s at %s, n_in %u: %u results out of bounds", type, el_cpu_name(k->level), (unsigned)n_in,
                  bad);
}

/* Every single result by itself, and some splits of rows and tokens, have the bits of the whole. */
static void check_splits(const struct el_kernels *k, const char *type, const struct problem *p, const float *whole)
{
    const uint64_t n_rows = p->w.n_rows, n = p->x.n, n_pad = p->x.n_pad;
    void *const scratch = scratch_of(p);
    unsigned bad = 0;
    for (uint64_t t = 0; t < n; t++) {
        struct el_act x = p->x;
        x.n = 1;
        x.f32 += t * x.f32_stride;
        x.q8 += t * n_pad;
        x.scale += t * (n_pad / 32);
        x.sum += t * (n_pad / 16);
        for (uint64_t r = 0; r < n_rows; r++) {
            float y;
            el_matmul(k, &p->w, r, 1, &x, &y, 1, scratch);
            bad += !same_bits(&y, &whole[t * n_rows + r], 1);
        }
    }
    float *const y = trap_alloc(n * n_rows * 4);
    for (uint64_t cut = 1; cut < n_rows; cut++) {
        memset(y, 0xff, n * n_rows * 4);
        el_matmul(k, &p->w, 0, cut, &p->x, y, n_rows, scratch);
        el_matmul(k, &p->w, cut, n_rows - cut, &p->x, y + cut, n_rows, scratch);
        bad += !same_bits(y, whole, n * n_rows);
    }
    if (bad)
        test_fail(__FILE__, __LINE__, "%s at %s, n_in %u: the bits depend on the split (%u)", type, el_cpu_name(k->level),
                  (unsigned)p->w.n_in, bad);
}

static void check_shape(const char *type, uint64_t n_rows, uint64_t n_tokens, uint64_t n_in, bool splits)
{
    for (int kind = EXACT; kind <= REAL; kind++) {
        struct problem p;
        REQUIRE(make_problem(&p, type, n_rows, n_tokens, n_in, kind, 7 * n_in + n_rows + 100 * n_tokens));
        float *const y = trap_alloc(n_tokens * n_rows * 4), *const ref = trap_alloc(n_tokens * n_rows * 4);
        struct el_kernels k_ref;
        el_kernels_init(&k_ref, EL_CPU_REF);
        multiply(&k_ref, &p, ref);
        FOR_EACH_LEVEL(k)
        {
            memset(y, 0xff, n_tokens * n_rows * 4);
            multiply(&k, &p, y);
            if (kind == REAL)
                check_real(&k, type, &p, y);
            else if (!same_bits(y, ref, n_tokens * n_rows))
                test_fail(__FILE__, __LINE__, "%s at %s, %u x %u x %u: not the reference's bits", type, el_cpu_name(k.level),
                          (unsigned)n_rows, (unsigned)n_tokens, (unsigned)n_in);
            if (splits && kind == REAL)
                check_splits(&k, type, &p, y);
        }
        trap_free_all();
    }
}

static uint64_t block_of(const char *type)
{
    return type[0] != 'Q' ? 1 : strchr(type, 'K') ? 256 : 32;
}

TEST(matmul, every_length)
{
    static const uint64_t more[] = {47, 48, 49, 63, 64, 65, 100, 255, 256, 257, 1000, 4099};
    for (int i = 0; i < N_TYPES; i++) {
        const uint64_t block = block_of(types[i]);
        for (uint64_t n = 1; n <= (block == 1 ? 35 : 6); n++)
            check_shape(types[i], 3, 2, n * block, false);
        for (size_t j = 0; block == 1 && j < sizeof more / sizeof more[0]; j++)
            check_shape(types[i], 2, 2, more[j], false);
        if (block > 1)
            check_shape(types[i], 5, 3, block * 17, false);
    }
}

TEST(matmul, every_tile_and_split)
{
    for (int i = 0; i < N_TYPES; i++) {
        const uint64_t block = block_of(types[i]), n_in = block == 1 ? 83 : 3 * block;
        for (uint64_t n_rows = 1; n_rows <= 9; n_rows++)
            for (uint64_t n_tokens = 1; n_tokens <= 13; n_tokens++)
                check_shape(types[i], n_rows, n_tokens, n_in, true);
    }
}

/* Kernels that take sixteen rows at a time when there are several tokens. */
TEST(matmul, wide_tiles)
{
    static const uint64_t n_rows[] = {15, 16, 17, 21, 35}, n_tokens[] = {1, 2, 4, 5, 8};
    for (int i = 0; i < N_TYPES; i++)
        for (size_t r = 0; r < 5 && block_of(types[i]) == 256; r++)
            for (size_t t = 0; t < 5; t++)
                check_shape(types[i], n_rows[r], n_tokens[t], 512, true);
}

/* More rows, or more tokens, than one cache block holds. */
TEST(matmul, many_rows)
{
    check_shape("F32", 37, 5, 5000, false);
    check_shape("F16", 9, 26, 5000, true);
    check_shape("BF16", 5, 13, 70000, false);
    check_shape("Q4_0", 140, 5, 4096, false);
    check_shape("Q8_0", 2, 1, 300032, false);
}

/* In a mapped file a matrix may begin at any byte. */
TEST(matmul, weights_at_odd_addresses)
{
    for (int i = 0; i < N_SINGLE; i++) {
        struct problem p;
        REQUIRE(make_problem(&p, types[i], 5, 5, block_of(types[i]) == 1 ? 75 : block_of(types[i]) * 3, REAL, 21));
        const uint64_t nbytes = p.w.n_rows * p.w.row_nbytes[0];
        for (uint64_t shift = 1; shift <= 3; shift++) {
            uint8_t *const moved = (uint8_t *)trap_alloc(nbytes + shift);
            memcpy(moved, p.weights, nbytes);
            struct problem odd = p;
            odd.w.data[0] = moved;
            FOR_EACH_LEVEL(k)
            {
                float want[25], y[25];
                multiply(&k, &p, want);
                multiply(&k, &odd, y);
                CHECK(same_bits(y, want, 25));
            }
        }
        trap_free_all();
    }
}

/* Rows from the middle into a wider result: what lies between is not touched. */
TEST(matmul, row_range_and_stride)
{
    for (int i = 0; i < N_TYPES; i++) {
        struct problem p;
        REQUIRE(make_problem(&p, types[i], 12, 6, block_of(types[i]) * 4, REAL, 5));
        FOR_EACH_LEVEL(k)
        {
            float whole[6 * 12], part[6 * 20];
            multiply(&k, &p, whole);
            for (int j = 0; j < 6 * 20; j++)
                part[j] = 12345.0f;
            el_matmul(&k, &p.w, 3, 7, &p.x, part, 20, scratch_of(&p));
            unsigned bad = 0;
            for (int t = 0; t < 6; t++)
                for (int r = 0; r < 20; r++)
                    bad += part[t * 20 + r] != (r < 7 ? whole[t * 12 + 3 + r] : 12345.0f);
            CHECK_EQ_INT(bad, 0);
        }
        trap_free_all();
    }
}

/* An encoding without a kernel is decoded: the result is that of the float32 kernel on the decoded matrix, for any split. */
TEST(matmul, decoding_fallback)
{
    static const char *const names[] = {"G4_32", "G3_64Z", "Q6_K"};
    for (int i = 0; i < 3; i++) {
        enum { ROWS = 11, TOKENS = 5, MAX_IN = 256 };
        const uint64_t n_in = names[i][0] == 'Q' ? 256 : 150;
        struct problem p;
        REQUIRE(make_problem(&p, names[i], ROWS, TOKENS, n_in, REAL, 3));
        float dense[ROWS * MAX_IN];
        el_matrix_decode(&p.w, 0, ROWS, dense);
        const struct el_matrix decoded = {
            .enc = el_enc_f32(), .n_rows = ROWS, .n_in = n_in, .data = {(const uint8_t *)dense}, .row_nbytes = {n_in * 4}};
        void *const scratch = trap_alloc(el_matmul_scratch_nbytes(n_in));
        FOR_EACH_LEVEL(k)
        {
            float want[TOKENS * ROWS], y[TOKENS * ROWS];
            k.matmul[el_encoding_index(p.w.enc.e)].fn = NULL;
            k.matmul[el_encoding_index(p.w.enc.e)].form = EL_ACT_F32;
            CHECK_EQ_INT(el_matmul_form(&k, &p.w.enc), EL_ACT_F32);
            el_matmul(&k, &decoded, 0, ROWS, &p.x, want, ROWS, NULL);
            el_matmul(&k, &p.w, 0, ROWS, &p.x, y, ROWS, scratch);
            CHECK(same_bits(y, want, TOKENS * ROWS));
            el_matmul(&k, &p.w, 0, 5, &p.x, y, ROWS, scratch);
            el_matmul(&k, &p.w, 5, 6, &p.x, y + 5, ROWS, scratch);
            CHECK(same_bits(y, want, TOKENS * ROWS));
            check_real(&k, names[i], &p, y);
        }
        trap_free_all();
    }
}

/* ---- int8 activations ---- */

static void check_quantize(const float *x, uint64_t n, uint64_t n_in, uint64_t stride)
{
    const uint64_t n_pad = (n_in + 31) / 32 * 32;
    int8_t *const q = trap_alloc(n * n_pad), *const q_ref = trap_alloc(n * n_pad);
    float *const s = trap_alloc(n * n_pad / 32 * 4), *const s_ref = trap_alloc(n * n_pad / 32 * 4);
    int16_t *const sum = trap_alloc(n * n_pad / 16 * 2), *const sum_ref = trap_alloc(n * n_pad / 16 * 2);
    struct el_kernels k_ref;
    el_kernels_init(&k_ref, EL_CPU_REF);
    k_ref.quantize_act(x, stride, n, n_in, q_ref, s_ref, sum_ref);
    FOR_EACH_LEVEL(k)
    {
        memset(q, 0x55, n * n_pad);
        k.quantize_act(x, stride, n, n_in, q, s, sum);
        const bool same = memcmp(q, q_ref, n * n_pad) == 0 && memcmp(sum, sum_ref, n * n_pad / 16 * 2) == 0;
        bool same_scale = true;
        for (uint64_t b = 0; b < n * n_pad / 32; b++)
            same_scale = same_scale && (same_bits(&s[b], &s_ref[b], 1) || (isnan(s[b]) && isnan(s_ref[b])));
        if (!same || !same_scale)
            test_fail(__FILE__, __LINE__, "%s: int8 activations of n_in %u differ", el_cpu_name(k.level), (unsigned)n_in);
    }
}

TEST(matmul, quantized_activations_are_the_same_everywhere)
{
    uint64_t seed = 11;
    for (uint64_t n_in = 1; n_in <= 100; n_in++) {
        const uint64_t stride = n_in + 5, n = 3;
        float *const x = trap_alloc(((n - 1) * stride + n_in) * 4);
        for (uint64_t i = 0; i < (n - 1) * stride + n_in; i++)
            x[i] = trap_randf(&seed, n_in % 4 == 0 ? 40 : 2);
        check_quantize(x, n, n_in, stride);
        trap_free_all();
    }
}

TEST(matmul, quantized_activations_of_special_values)
{
    static const float specials[] = {0.0f,     -0.0f,     1e-45f, -1e-45f, 2.5e-43f, 1e-40f, 1.17549435e-38f, 3.4028235e38f,
                                     INFINITY, -INFINITY, NAN,    0.5f,    -63.5f,   127.0f, -127.0f,         1e-30f};
    uint64_t seed = 1;
    for (size_t s = 0; s < sizeof specials / sizeof specials[0]; s++) {
        for (int place = 0; place < 32; place += 5) {
            float x[32];
            for (int i = 0; i < 32; i++)
                x[i] = s < 7 ? specials[test_rand(&seed) % (s + 1)] : (float)((int)(test_rand(&seed) % 255) - 127) / 2;
            x[place] = specials[s];
            check_quantize(x, 1, 32, 32);
            trap_free_all();
        }
    }
    /* Ties go to even, and 127 is the largest. */
    float ties[32] = {127, 0.5f, 1.5f, 2.5f, -0.5f, -1.5f, -2.5f, -127};
    int8_t q[32];
    float scale;
    int16_t sum[2];
    FOR_EACH_LEVEL(k)
    {
        k.quantize_act(ties, 32, 1, 32, q, &scale, sum);
        static const int8_t want[8] = {127, 0, 2, 2, 0, -2, -2, -127};
        CHECK(scale == 1.0f);
        CHECK(memcmp(q, want, 8) == 0);
        CHECK_EQ_INT(sum[0], 0);
    }
}

/* One NaN or infinity among the activations must be seen in every result. */
TEST(matmul, a_nan_is_never_hidden)
{
    static const float bad_values[] = {NAN, INFINITY, -INFINITY};
    for (int i = 0; i < N_TYPES; i++) {
        const uint64_t n_in = block_of(types[i]) == 1 ? 37 : block_of(types[i]) * 3;
        for (int v = 0; v < 3; v++) {
            for (uint64_t at = 0; at < n_in; at += n_in / 9 + 1) {
                struct problem p;
                REQUIRE(make_problem(&p, types[i], 5, 5, n_in, REAL, 9));
                p.f32[2 * p.x.f32_stride + at] = bad_values[v];
                FOR_EACH_LEVEL(k)
                {
                    k.quantize_act(p.f32, p.x.f32_stride, 5, n_in, p.q8, p.scale, p.sum);
                    float y[25];
                    multiply(&k, &p, y);
                    unsigned wrong = 0;
                    for (int t = 0; t < 5; t++)
                        for (int r = 0; r < 5; r++)
                            wrong += (t == 2) == (isfinite(y[t * 5 + r]) != 0);
                    if (wrong)
                        test_fail(__FILE__, __LINE__, "%s at %s: %g in column %u does not show", types[i], el_cpu_name(k.level),
                                  (double)bad_values[v], (unsigned)at);
                }
                trap_free_all();
            }
        }
    }
}

TEST(matmul, zeros_subnormals_and_large_weights)
{
    static const float values[] = {0.0f, -0.0f, 1e-45f, 1e-39f, -6e-8f, 3e4f, 1e30f};
    for (int type = 0; type < 3; type++) {
        for (size_t v = 0; v < sizeof values / sizeof values[0]; v++) {
            struct problem p;
            REQUIRE(make_problem(&p, types[type], 4, 4, 21, EXACT, 2));
            for (uint64_t i = 0; i < 4 * 21; i++) {
                const uint16_t half = type == 1 ? el_f32_to_f16(values[v]) : el_f32_to_bf16(values[v]);
                if (type == 0)
                    memcpy(p.weights + 4 * i, &values[v], 4);
                else
                    memcpy(p.weights + 2 * i, &half, 2);
            }
            for (uint64_t i = 0; i < 3 * p.x.f32_stride + 21; i++)
                p.f32[i] = 2.0f;
            float w;
            el_matrix_decode(&p.w, 0, 1, p.f32);
            w = p.f32[0];
            for (uint64_t i = 0; i < 21; i++)
                p.f32[i] = 2.0f;
            FOR_EACH_LEVEL(k)
            {
                float y[16];
                multiply(&k, &p, y);
                for (int i = 0; i < 16; i++)
                    CHECK(isinf(w) ? isinf(y[i]) : fabs((double)y[i] - 42.0 * (double)w) <= 42.0 * fabs((double)w) * 1e-6);
            }
            trap_free_all();
        }
    }
    /* A block scale of 0: the product is 0. */
    for (int type = 3; type < N_SINGLE; type++) {
        struct problem p;
        REQUIRE(make_problem(&p, types[type], 3, 3, 512, REAL, 4));
        memset(p.weights, 0, p.w.n_rows * p.w.row_nbytes[0]);
        FOR_EACH_LEVEL(k)
        {
            float y[9];
            multiply(&k, &p, y);
            for (int i = 0; i < 9; i++)
                CHECK(y[i] == 0.0f);
        }
        trap_free_all();
    }
}

TEST(matmul, the_table_follows_the_level)
{
    const enum el_cpu_level before = el_cpu();
    for (int level = 0; level < EL_CPU_LEVELS; level++) {
        if (!el_cpu_force((enum el_cpu_level)level))
            continue;
        CHECK_EQ_INT(el_kernels()->level, level);
    }
    el_cpu_force(before);
}

/* A format may have an encoding of its own, which no table knows: it is decoded. */
TEST(matmul, encoding_outside_the_table)
{
    enum { ROWS = 5, TOKENS = 3, N_IN = 70 };
    struct problem p;
    REQUIRE(make_problem(&p, "F16", ROWS, TOKENS, N_IN, EXACT, 8));
    const struct el_encoding own = *p.w.enc.e;
    struct el_matrix w = p.w;
    w.enc.e = &own;
    CHECK(el_layout_of(&own) == NULL);
    FOR_EACH_LEVEL(k)
    {
        float want[ROWS * TOKENS], y[ROWS * TOKENS], row[N_IN], decoded[N_IN];
        multiply(&k, &p, want);
        CHECK_EQ_INT(el_matmul_form(&k, &w.enc), EL_ACT_F32);
        for (uint64_t n = 1; n <= TOKENS; n += 2) {
            p.x.n = n;
            el_matmul(&k, &w, 0, ROWS, &p.x, y, ROWS, scratch_of(&p));
            CHECK(same_bits(y, want, ROWS * n));
        }
        el_kernels_decode(&k, &w, 2, 1, decoded);
        el_matrix_decode(&p.w, 2, 1, row);
        CHECK(same_bits(decoded, row, N_IN));
    }
    trap_free_all();
}
