/*
 * Encoders: exact where they can be, better by search than without it, finite for every finite input, and the same bytes
 * everywhere.
 */
#include "base/f16.h"
#include "base/sha256.h"
#include "tensor/encoding.h"
#include "test.h"

struct encoded {
    struct el_enc enc;
    uint64_t n_rows, n_in, nbytes;
    uint8_t *data;
    struct el_matrix m;
};

static struct encoded encode(const char *name, const float *x, const float *importance, uint64_t n_rows, uint64_t n_in,
                             enum el_effort effort)
{
    struct encoded e = {.n_rows = n_rows, .n_in = n_in};
    struct el_part_shape parts[EL_MAX_PARTS];
    uint32_t n_parts = 0;
    uint8_t *out[EL_MAX_PARTS] = {NULL};
    if (el_enc_parse(name, &e.enc, NULL) != EL_OK || !e.enc.e->parts(&e.enc, n_rows, n_in, parts, &n_parts) ||
        !el_enc_nbytes(&e.enc, n_rows, n_in, &e.nbytes))
        abort();
    e.data = malloc(e.nbytes + 1);
    memset(e.data, 0xa5, e.nbytes);
    e.m = (struct el_matrix){.enc = e.enc, .n_rows = n_rows, .n_in = n_in};
    uint64_t at = 0;
    for (uint32_t p = 0; p < n_parts; p++) {
        out[p] = e.data + at;
        e.m.data[p] = out[p];
        e.m.row_nbytes[p] = parts[p].row_nbytes;
        at += parts[p].nbytes;
    }
    e.enc.e->encode(&e.enc, x, importance, n_rows, n_in, effort, out);
    return e;
}

static double error_of(const struct encoded *e, const float *x, const float *importance)
{
    float *const y = malloc(e->n_rows * e->n_in * sizeof *y);
    double sum = 0.0;
    el_matrix_decode(&e->m, 0, e->n_rows, y);
    for (uint64_t i = 0; i < e->n_rows * e->n_in; i++)
        sum += (importance ? importance[i % e->n_in] : 1.0f) * ((double)x[i] - y[i]) * ((double)x[i] - y[i]);
    free(y);
    return sum;
}

static double energy(const float *x, uint64_t n)
{
    double sum = 0.0;
    for (uint64_t i = 0; i < n; i++)
        sum += (double)x[i] * x[i];
    return sum;
}

/* A sum of uniforms, near enough to a Gaussian; every 97th value is an outlier when `tails`. */
static void fill(float *x, uint64_t n, uint64_t seed, bool tails)
{
    for (uint64_t i = 0; i < n; i++) {
        x[i] = 0.02f * (test_randf(&seed) + test_randf(&seed) + test_randf(&seed) + test_randf(&seed));
        if (tails && i % 97 == 5)
            x[i] *= 5.0f;
    }
}

/* Ternary types are not here: they have one way to be made. */
static const char *const quantized[] = {"Q8_0",  "Q4_0",   "Q5_0",   "Q4_K",   "Q5_K",    "Q6_K",   "Q4_1",    "Q5_1",
                                        "Q2_K",  "Q3_K",   "IQ4_NL", "IQ4_XS", "MXFP4",   "Q2_0",   "Q1_0",    "G2_32",
                                        "G3_64", "G4_128", "IQ1_S",  "IQ1_M",  "IQ2_XXS", "IQ2_XS", "IQ2_S",   "IQ3_XXS",
                                        "IQ3_S", "G8_ROW", "G2_32Z", "G4_32Z", "G5_128Z", "G6_64Z", "G7_ROWZ", "G8_32Z"};
enum { N_QUANTIZED = sizeof quantized / sizeof quantized[0], ROWS = 8, COLS = 512 };

/* A new line of encodings.def cannot slip past these tests. */
TEST(encode, all_that_can_be_made_are_listed)
{
    for (size_t k = 0; k < EL_ENC_COUNT; k++) {
        const struct el_encoding *const e = el_encoding_at(k);
        bool listed = !e->encode || (e->flags & (EL_ENC_FLOAT | EL_ENC_PARAMS)) || strncmp(e->name, "TQ", 2) == 0;
        for (size_t i = 0; i < N_QUANTIZED && !listed; i++)
            listed = strcmp(quantized[i], e->name) == 0;
        if (!listed)
            test_fail(__FILE__, __LINE__, "%s is not tested", e->name);
    }
}

TEST(encode, search_beats_nearest)
{
    static float x[ROWS * COLS];
    for (int tails = 0; tails < 2; tails++) {
        fill(x, ROWS * COLS, 7, tails);
        for (size_t i = 0; i < N_QUANTIZED; i++) {
            struct encoded a = encode(quantized[i], x, NULL, ROWS, COLS, EL_ENCODE_NEAREST);
            struct encoded b = encode(quantized[i], x, NULL, ROWS, COLS, EL_ENCODE_SEARCH);
            const double ea = error_of(&a, x, NULL), eb = error_of(&b, x, NULL);
            /* One bit leaves one scale to choose, and the mean is the best: the efforts differ by its rounding. */
            const double allowed = strcmp(quantized[i], "Q1_0") == 0 ? ea * (1.0 + 1e-7) : nextafter(ea, 0.0);
            if (!(eb <= allowed))
                test_fail(__FILE__, __LINE__, "%s: search %g, nearest %g", quantized[i], eb, ea);
            free(a.data);
            free(b.data);
        }
    }
}

/* Bounds that a change for the worse would cross: relative squared errors on near-Gaussian weights. */
TEST(encode, search_errors_stay_low)
{
    static const struct {
        const char *name;
        double bound;
    } bounds[] = {{"Q8_0", 1.98e-5},  {"Q4_0", 6.05e-3}, {"Q4_K", 4.72e-3}, {"Q5_K", 1.14e-3}, {"Q6_K", 2.55e-4},
                  {"Q4_1", 4.66e-3},  {"Q5_1", 1.12e-3}, {"Q2_K", 0.0672},  {"Q3_K", 0.0196},  {"IQ4_NL", 5.13e-3},
                  {"IQ4_XS", 5.2e-3}, {"MXFP4", 0.0122}, {"Q2_0", 0.12},    {"Q1_0", 0.4},     {"G4_128", 8.1e-3},
                  {"G4_32Z", 5.8e-3}, {"G2_32", 0.11}};
    static float x[ROWS * COLS];
    fill(x, ROWS * COLS, 8, false);
    for (size_t i = 0; i < sizeof bounds / sizeof bounds[0]; i++) {
        struct encoded e = encode(bounds[i].name, x, NULL, ROWS, COLS, EL_ENCODE_SEARCH);
        const double relative = error_of(&e, x, NULL) / energy(x, ROWS * COLS);
        if (!(relative < bounds[i].bound))
            test_fail(__FILE__, __LINE__, "%s: relative error %g, at most %g", bounds[i].name, relative, bounds[i].bound);
        free(e.data);
    }
}

TEST(encode, importance_moves_the_error)
{
    static float x[ROWS * COLS], importance[COLS];
    fill(x, ROWS * COLS, 9, false);
    for (int i = 0; i < COLS; i++)
        importance[i] = i % 4 == 0 ? 100.0f : 0.5f;
    for (size_t i = 0; i < N_QUANTIZED; i++) {
        struct encoded plain = encode(quantized[i], x, NULL, ROWS, COLS, EL_ENCODE_SEARCH);
        struct encoded weighted = encode(quantized[i], x, importance, ROWS, COLS, EL_ENCODE_SEARCH);
        CHECK(error_of(&weighted, x, importance) < error_of(&plain, x, importance));
        free(plain.data);
        free(weighted.data);
    }
    memset(importance, 0, sizeof importance); /* nothing matters: any bytes will do, as long as they are finite */
    for (size_t i = 0; i < N_QUANTIZED; i++) {
        struct encoded e = encode(quantized[i], x, importance, ROWS, COLS, EL_ENCODE_SEARCH);
        CHECK(isfinite(error_of(&e, x, NULL)));
        free(e.data);
    }
}

/* What decodes can be encoded again without loss: numbers on a block's own grid. */
TEST(encode, grids_are_kept)
{
    static float x[ROWS * COLS];
    uint64_t seed = 3;
    static const struct {
        const char *name;
        int lo, hi;
    } grids[] = {{"Q8_0", -127, 127},    {"Q4_0", -8, 7},      {"Q4_K", -7, 8},     {"Q5_K", -15, 16},   {"Q6_K", -32, 31},
                 {"Q4_1", 3, 18},        {"Q5_1", -40, -9},    {"Q2_K", -1, 2},     {"Q3_K", -4, 3},     {"TQ1_0", -1, 1},
                 {"TQ2_0", -1, 1},       {"Q2_0", -2, 1},      {"MXFP4", -4, 4},    {"G4_32", -8, 7},    {"G3_64Z", -2, 5},
                 {"G8_ROWZ", -100, 155}, {"F16", -1000, 1000}, {"BF16", -100, 100}, {"F32", -1000, 1000}};
    for (size_t g = 0; g < sizeof grids / sizeof grids[0]; g++) {
        for (uint64_t i = 0; i < ROWS * COLS; i++) {
            const int span = grids[g].hi - grids[g].lo + 1;
            /* Both ends appear in every 16 columns, so that the grid can be recognised. */
            const int q = i % 16 == 0   ? grids[g].lo
                          : i % 16 == 1 ? grids[g].hi
                                        : grids[g].lo + (int)(test_rand(&seed) % (uint64_t)span);
            x[i] = 0.03125f * (float)q;
        }
        struct encoded e = encode(grids[g].name, x, NULL, ROWS, COLS, EL_ENCODE_SEARCH);
        const double relative = error_of(&e, x, NULL) / energy(x, ROWS * COLS);
        /* Two-level scales round 0.03125 to what 6 bits can say of it. */
        if (!(relative < 1e-6))
            test_fail(__FILE__, __LINE__, "%s: relative error %g", grids[g].name, relative);
        free(e.data);
    }
}

TEST(encode, extremes_stay_finite)
{
    static float x[2 * 256];
    static const float sizes[] = {0.0f, 1e-45f, 1e-39f, 1e-30f, 1e-8f, 1e-7f, 1.0f, 1e4f, 65504.0f, 1e6f, 1e18f, 1e30f, 3e38f};
    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
        for (int shape = 0; shape < 4; shape++) {
            uint64_t seed = 5;
            for (int i = 0; i < 512; i++) {
                const float r = test_randf(&seed);
                x[i] = sizes[s] * (shape == 0 ? 1.0f : shape == 1 ? (r + 1.0f) * 0.5f : shape == 2 ? -0.5f : r);
            }
            if (shape == 3)
                x[300] = -sizes[s];
            for (size_t q = 0; q < N_QUANTIZED; q++) {
                for (int effort = 0; effort < 2; effort++) {
                    struct encoded e = encode(quantized[q], x, NULL, 2, 256, effort ? EL_ENCODE_SEARCH : EL_ENCODE_NEAREST);
                    float y[512];
                    CHECK_EQ_INT(e.enc.e->n_bad_scales(&e.m, 0, 2), 0);
                    el_matrix_decode(&e.m, 0, 2, y);
                    bool finite = true;
                    for (int i = 0; i < 512; i++)
                        finite = finite && isfinite(y[i]);
                    if (!finite)
                        test_fail(__FILE__, __LINE__, "%s effort %d size %g shape %d: not finite", quantized[q], effort,
                                  (double)sizes[s], shape);
                    if (sizes[s] == 0.0f)
                        CHECK_NEAR(energy(y, 512), 0.0, 0.0);
                    free(e.data);
                }
            }
        }
    }
}

TEST(encode, all_positive_and_all_negative_rows)
{
    static float x[2 * 256];
    for (int sign = -1; sign <= 1; sign += 2) {
        uint64_t seed = 11;
        for (int i = 0; i < 512; i++)
            x[i] = (float)sign * (0.5f + 0.1f * test_randf(&seed));
        for (size_t q = 0; q < N_QUANTIZED; q++) {
            struct encoded e = encode(quantized[q], x, NULL, 2, 256, EL_ENCODE_SEARCH);
            const double relative = error_of(&e, x, NULL) / energy(x, 512);
            if (!(relative < 0.04))
                test_fail(__FILE__, __LINE__, "%s sign %d: relative error %g", quantized[q], sign, relative);
            free(e.data);
        }
    }
}

/* Levels and offsets as these encodings have them come back exactly. */
TEST(encode, uneven_grids_are_kept)
{
    static const int iq4[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};
    static const int mxfp4[15] = {-12, -8, -6, -4, -3, -2, -1, 0, 1, 2, 3, 4, 6, 8, 12};
    static const char *const names[] = {"IQ4_NL", "IQ4_XS", "MXFP4"};
    static float x[ROWS * COLS];
    for (size_t g = 0; g < sizeof names / sizeof names[0]; g++) {
        uint64_t seed = 13;
        for (uint64_t i = 0; i < ROWS * COLS; i++) {
            const uint64_t k = test_rand(&seed);
            const int end = i % 32 < 2; /* the largest appears in every block */
            x[i] = 0.0078125f * (float)(g == 2 ? mxfp4[end ? 14 : k % 15] : iq4[end ? 0 : k % 16]);
        }
        struct encoded e = encode(names[g], x, NULL, ROWS, COLS, EL_ENCODE_SEARCH);
        const double relative = error_of(&e, x, NULL) / energy(x, ROWS * COLS);
        if (!(relative < 1e-7))
            test_fail(__FILE__, __LINE__, "%s: relative error %g", names[g], relative);
        free(e.data);
    }
}

/* The ternary types from their definition: sign where |x| is at least half of the largest, five digits to a byte or four. */
TEST(encode, ternary_is_ggmls_reference)
{
    static float x[256];
    fill(x, 256, 14, true);
    x[7] = 0.0f;
    float largest = 0.0f;
    for (int i = 0; i < 256; i++)
        largest = fabsf(x[i]) > largest ? fabsf(x[i]) : largest;
    x[8] = 0.5f * largest; /* halves go away from zero */
    struct encoded one = encode("TQ1_0", x, NULL, 1, 256, EL_ENCODE_SEARCH);
    struct encoded two = encode("TQ2_0", x, NULL, 1, 256, EL_ENCODE_NEAREST);
    CHECK_EQ_INT(one.data[52] | one.data[53] << 8, el_f32_to_f16(largest));
    CHECK_EQ_INT(two.data[64] | two.data[65] << 8, el_f32_to_f16(largest));
    int want[256];
    for (int i = 0; i < 256; i++)
        want[i] = (int)roundf(x[i] / largest) + 1;
    for (int i = 0; i < 256; i++)
        CHECK_EQ_INT(two.data[i / 128 * 32 + i % 32] >> (i / 32 % 4 * 2) & 3, want[i]);
    for (int i = 0; i < 52; i++) {
        const int at = i < 32 ? i : i < 48 ? 160 + i - 32 : 240 + i - 48, step = i < 32 ? 32 : i < 48 ? 16 : 4;
        int number = 0;
        for (int k = 0; k < 5; k++)
            number = 3 * number + (i >= 48 && k == 4 ? 0 : want[at + k * step]);
        CHECK_EQ_INT(one.data[i], (number * 256 + 242) / 243);
    }
    free(one.data);
    free(two.data);
}

/* Q2_0: by its definition, and what is ternary gets the reference's bytes from the search too, whatever its scale. */
TEST(encode, q2_0_keeps_ternary_weights)
{
    static float x[128];
    fill(x, 64, 15, false);
    for (int i = 64; i < 128; i++)
        x[i] = 0.0123f * (float)(i * 7 % 3 - 1);
    float largest = 0.0f;
    for (int i = 0; i < 64; i++)
        largest = fabsf(x[i]) > largest ? fabsf(x[i]) : largest;
    struct encoded nearest = encode("Q2_0", x, NULL, 1, 128, EL_ENCODE_NEAREST);
    struct encoded search = encode("Q2_0", x, NULL, 1, 128, EL_ENCODE_SEARCH);
    CHECK_EQ_INT(nearest.data[0] | nearest.data[1] << 8, el_f32_to_f16(largest));
    CHECK_EQ_INT(nearest.data[18] | nearest.data[19] << 8, el_f32_to_f16(0.0123f));
    for (int i = 0; i < 128; i++) {
        const int code = nearest.data[i / 64 * 18 + 2 + i % 64 / 4] >> (i % 4 * 2) & 3;
        CHECK_EQ_INT(code, i < 64 ? (int)roundf(x[i] * (1.0f / largest)) + 1 : i * 7 % 3);
    }
    CHECK(memcmp(nearest.data, search.data, 18) != 0);
    CHECK(memcmp(nearest.data + 18, search.data + 18, 18) == 0);
    free(nearest.data);
    free(search.data);
}

/* Q1_0 from its definition: the mean of |x|, and a bit where x is not negative. */
TEST(encode, q1_0_is_ggmls_reference)
{
    static float x[128];
    fill(x, 128, 16, true);
    x[9] = 0.0f;
    float sum = 0.0f;
    for (int i = 0; i < 128; i++)
        sum += fabsf(x[i]);
    struct encoded e = encode("Q1_0", x, NULL, 1, 128, EL_ENCODE_NEAREST);
    CHECK_EQ_INT(e.data[0] | e.data[1] << 8, el_f32_to_f16(sum / 128.0f));
    for (int i = 0; i < 128; i++)
        CHECK_EQ_INT(e.data[2 + i / 8] >> (i % 8) & 1, x[i] >= 0.0f);
    free(e.data);
}

/* The largest value falls on levels 8 to 12, and of two codes equally near the smaller is taken. */
TEST(encode, nearest_mxfp4_is_ggmls_reference)
{
    static float x[32] = {7.9f, -0.25f, 0.25f, 0.26f, -0.75f, -5.0f, -5.1f, 2.5f};
    struct encoded e = encode("MXFP4", x, NULL, 1, 32, EL_ENCODE_NEAREST);
    static const int want[8] = {7, 0, 0, 1, 9, 14, 15, 4};
    CHECK_EQ_INT(e.data[0], 127); /* 2^-1 times the doubled levels */
    for (int i = 0; i < 8; i++)
        CHECK_EQ_INT(e.data[1 + i] & 15, want[i]);
    free(e.data);
}

/* ggml's reference rounding, from its definition: d = max / 127, q = x / d; d = signed max / -8, q = x / d + 8.5. */
TEST(encode, nearest_is_ggmls_reference)
{
    static float x[64];
    fill(x, 64, 12, true);
    struct encoded e8 = encode("Q8_0", x, NULL, 1, 64, EL_ENCODE_NEAREST), e4 = encode("Q4_0", x, NULL, 1, 64, EL_ENCODE_NEAREST);
    for (int b = 0; b < 2; b++) {
        float largest = 0.0f;
        for (int i = 0; i < 32; i++)
            largest = fabsf(x[32 * b + i]) > fabsf(largest) ? x[32 * b + i] : largest;
        const uint8_t *const p8 = e8.data + 34 * b, *const p4 = e4.data + 18 * b;
        const float d8 = fabsf(largest) / 127.0f, d4 = largest / -8.0f;
        CHECK_EQ_INT(p8[0] | p8[1] << 8, el_f32_to_f16(d8));
        CHECK_EQ_INT(p4[0] | p4[1] << 8, el_f32_to_f16(d4));
        for (int i = 0; i < 32; i++) {
            CHECK_EQ_INT((int8_t)p8[2 + i], (int)roundf(x[32 * b + i] * (1.0f / d8)));
            const int code = i < 16 ? p4[2 + i] & 15 : p4[2 + i - 16] >> 4;
            const int want = (int)(x[32 * b + i] * (1.0f / d4) + 8.5f);
            CHECK_EQ_INT(code, want > 15 ? 15 : want);
        }
    }
    free(e8.data);
    free(e4.data);
}

/* The bytes are a promise: they depend on no compiler, level of optimisation or CPU. Hashes made with gcc 12 -O2. */
TEST(encode, bytes_are_the_same_everywhere)
{
    static const struct {
        const char *name;
        enum el_effort effort;
        const char *sha256; /* first 16 digits */
    } want[] = {
#include "enc_hashes.inc"
    };
    static float x[ROWS * COLS], importance[COLS];
    fill(x, ROWS * COLS, 21, true);
    uint64_t seed = 22;
    for (int i = 0; i < COLS; i++)
        importance[i] = test_randf(&seed) + 1.0f;
    for (size_t i = 0; i < sizeof want / sizeof want[0]; i++) {
        struct encoded a = encode(want[i].name, x, NULL, ROWS, COLS, want[i].effort);
        struct encoded b = encode(want[i].name, x, importance, ROWS, COLS, want[i].effort);
        char ha[65], hb[65], both[33];
        el_sha256_bytes(a.data, a.nbytes, ha);
        el_sha256_bytes(b.data, b.nbytes, hb);
        snprintf(both, sizeof both, "%.8s%.8s", ha, hb);
        if (strcmp(both, want[i].sha256) != 0)
            test_fail(__FILE__, __LINE__, "{\"%s\", %s, \"%s\"},", want[i].name,
                      want[i].effort == EL_ENCODE_SEARCH ? "EL_ENCODE_SEARCH" : "EL_ENCODE_NEAREST", both);
        free(a.data);
        free(b.data);
    }
}

/* Rows are independent: any split gives the same bytes. */
TEST(encode, rows_are_independent)
{
    static float x[ROWS * COLS];
    fill(x, ROWS * COLS, 23, true);
    for (size_t q = 0; q < N_QUANTIZED; q++) {
        struct encoded all = encode(quantized[q], x, NULL, ROWS, COLS, EL_ENCODE_SEARCH);
        for (uint64_t r = 0; r < ROWS; r += 3) {
            struct encoded one = encode(quantized[q], x + r * COLS, NULL, 1, COLS, EL_ENCODE_SEARCH);
            for (uint32_t p = 0; p < EL_MAX_PARTS && one.m.data[p]; p++) {
                const uint64_t nb = one.m.row_nbytes[p];
                CHECK(memcmp(one.m.data[p], all.m.data[p] + r * nb, nb) == 0);
            }
            free(one.data);
        }
        free(all.data);
    }
}
