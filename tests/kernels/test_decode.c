/*
 * Decoding of every CPU level: the bits of the encoding's own decoder, whatever the bytes. Matrices and results end at a guard
 * page.
 */
#include "kernels/trap.h"

#include "tensor/encoding.h"

/* Any bytes as an [n_rows, n_in] matrix; its part p begins `shift` bytes into its memory. */
static bool make_matrix(struct el_matrix *m, const char *name, uint64_t n_rows, uint64_t n_in, uint64_t shift, uint64_t *seed)
{
    struct el_err err;
    struct el_part_shape parts[EL_MAX_PARTS];
    uint32_t n_parts;
    memset(m, 0, sizeof *m);
    if (el_enc_parse(name, &m->enc, &err) != EL_OK || !m->enc.e->parts(&m->enc, n_rows, n_in, parts, &n_parts))
        return false;
    m->n_rows = n_rows;
    m->n_in = n_in;
    for (uint32_t p = 0; p < n_parts; p++) {
        uint8_t *const data = (uint8_t *)trap_alloc(parts[p].nbytes + shift) + shift;
        for (uint64_t i = 0; i < parts[p].nbytes; i++)
            data[i] = (uint8_t)test_rand(seed);
        m->data[p] = data;
        m->row_nbytes[p] = parts[p].row_nbytes;
    }
    return true;
}

/* The same bits; of two NaNs which one it is is nobody's business. */
static unsigned n_different(const float *a, const float *b, uint64_t n)
{
    unsigned n_bad = 0;
    for (uint64_t i = 0; i < n; i++)
        n_bad += !same_bits(a + i, b + i, 1) && !(isnan(a[i]) && isnan(b[i]));
    return n_bad;
}

static void check_decode(const char *name, uint64_t n_rows, uint64_t n_in, uint64_t shift)
{
    uint64_t seed = 31 * n_in + n_rows + shift;
    struct el_matrix m;
    REQUIRE(make_matrix(&m, name, n_rows, n_in, shift, &seed));
    float *const want = trap_alloc(n_rows * n_in * 4), *const got = trap_alloc(n_rows * n_in * 4);
    el_matrix_decode(&m, 0, n_rows, want);
    FOR_EACH_LEVEL(k)
    {
        for (uint64_t r = 0; r < n_rows; r++) {
            memset(got, 0x55, n_rows * n_in * 4);
            el_kernels_decode(&k, &m, r, n_rows - r, got);
            const unsigned n_bad = n_different(got, want + r * n_in, (n_rows - r) * n_in);
            if (n_bad)
                test_fail(__FILE__, __LINE__, "%s at %s, rows %u to %u of %u columns: %u values differ", name,
                          el_cpu_name(k.level), (unsigned)r, (unsigned)n_rows, (unsigned)n_in, n_bad);
        }
    }
    trap_free_all();
}

TEST(decode, every_encoding_of_blocks)
{
    for (size_t e = 0; e < EL_ENC_COUNT; e++) {
        const struct el_encoding *const enc = el_encoding_at(e);
        if (enc->flags & EL_ENC_PARAMS)
            continue;
        for (uint64_t n_blocks = 1; n_blocks <= 9; n_blocks++)
            check_decode(enc->name, 3, n_blocks * enc->block_n, n_blocks % 4);
    }
}

TEST(decode, every_group_encoding)
{
    static const char *const groups[] = {"32", "64", "128", "ROW"};
    static const char *const forms[] = {"", "Z", "F", "ZF"};
    static const uint64_t n_in[] = {1,  2,  7,  8,  9,  15, 16,  17,  23,  24,  25,  31,  32,  33,  40,
                                    41, 47, 48, 63, 64, 65, 127, 128, 129, 200, 255, 256, 257, 300, 301};
    for (unsigned bits = 2; bits <= 8; bits++) {
        for (size_t i = 0; i < 16; i++) {
            char name[32];
            (void)snprintf(name, sizeof name, "G%u_%s%s", bits, groups[i / 4], forms[i % 4]);
            for (size_t j = 0; j < sizeof n_in / sizeof n_in[0]; j++)
                check_decode(name, 2, n_in[j], j % 4);
        }
    }
}

/* One token: the bits of the float32 kernel on the decoded matrix, from any row on. */
static void check_one_token(const char *name, uint64_t n_rows, uint64_t n_in)
{
    uint64_t seed = 17 * n_in + n_rows;
    struct el_matrix m;
    REQUIRE(make_matrix(&m, name, n_rows, n_in, 0, &seed));
    float *const dense = trap_alloc(n_rows * n_in * 4), *const x = trap_alloc(n_in * 4);
    float *const want = trap_alloc(n_rows * 4), *const got = trap_alloc(n_rows * 4);
    for (uint64_t i = 0; i < n_in; i++)
        x[i] = trap_randf(&seed, 2);
    el_matrix_decode(&m, 0, n_rows, dense);
    const struct el_matrix decoded = {
        .enc = el_enc_f32(), .n_rows = n_rows, .n_in = n_in, .data = {(const uint8_t *)dense}, .row_nbytes = {n_in * 4}};
    const struct el_act act = {.n = 1, .n_in = n_in, .f32 = x, .f32_stride = n_in};
    void *const scratch = trap_alloc(el_matmul_scratch_nbytes(n_in));
    FOR_EACH_LEVEL(k)
    {
        el_kernels_without_q8(&k);
        el_matmul(&k, &decoded, 0, n_rows, &act, want, n_rows, NULL);
        for (uint64_t r = 0; r < n_rows; r++) {
            memset(got, 0x55, n_rows * 4);
            el_matmul(&k, &m, r, n_rows - r, &act, got, n_rows, scratch);
            const unsigned n_bad = n_different(got, want + r, n_rows - r);
            if (n_bad)
                test_fail(__FILE__, __LINE__, "%s at %s, rows %u to %u of %u columns: %u results differ", name,
                          el_cpu_name(k.level), (unsigned)r, (unsigned)n_rows, (unsigned)n_in, n_bad);
        }
    }
    trap_free_all();
}

TEST(decode, one_token_has_the_bits_of_many)
{
    static const uint64_t n_in[] = {1, 7, 8, 9, 16, 17, 31, 32, 33, 40, 64, 127, 128, 129, 256, 300, 301};
    static const char *const forms[] = {"32", "32ZF", "128Z", "ROWF"};
    for (unsigned bits = 2; bits <= 8; bits++) {
        for (size_t i = 0; i < 4; i++) {
            char name[32];
            (void)snprintf(name, sizeof name, "G%u_%s", bits, forms[i]);
            for (size_t j = 0; j < sizeof n_in / sizeof n_in[0]; j++)
                check_one_token(name, 7, n_in[j]);
        }
    }
    for (size_t e = 0; e < EL_ENC_COUNT; e++) {
        const struct el_encoding *const enc = el_encoding_at(e);
        if (!(enc->flags & EL_ENC_PARAMS))
            check_one_token(enc->name, 5, 3 * enc->block_n);
    }
}

/* Another order of columns is undone, at every level. */
TEST(decode, permuted)
{
    enum { N = 40, ROWS = 3 };
    uint64_t seed = 1;
    struct el_matrix m;
    REQUIRE(make_matrix(&m, "G4_32ZFP", ROWS, N, 0, &seed));
    uint8_t *const perm = trap_alloc(4 * N);
    memset(perm, 0, 4 * N);
    for (uint8_t k = 0; k < N; k++)
        perm[4 * k] = (uint8_t)(k * 7 % N);
    m.data[3] = perm;
    const struct el_matrix stored = el_matrix_as_stored(&m);
    FOR_EACH_LEVEL(k)
    {
        float out[ROWS * N], plain[ROWS * N];
        el_kernels_decode(&k, &m, 0, ROWS, out);
        el_kernels_decode(&k, &stored, 0, ROWS, plain);
        for (unsigned r = 0; r < ROWS; r++)
            for (unsigned c = 0; c < N; c++)
                CHECK(n_different(&out[r * N + c * 7 % N], &plain[r * N + c], 1) == 0);
    }
    trap_free_all();
}
