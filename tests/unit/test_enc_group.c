/* The group encoding: that it can hold any integer checkpoint exactly, for every width, group and tail. */
#include "base/f16.h"
#include "tensor/encoding.h"
#include "test.h"

/* Packs codes by the definition in enc_group.c, bit by bit. */
static void pack_bits(const uint8_t *q, uint64_t n, uint32_t bits, uint8_t *out)
{
    memset(out, 0, (n * bits + 7) / 8);
    for (uint64_t i = 0; i < n; i++) {
        for (uint32_t b = 0; b < bits; b++) {
            const uint64_t at = i * bits + b;
            out[at / 8] |= (uint8_t)((q[i] >> b & 1) << at % 8);
        }
    }
}

/* Random codes, scales and zero points, as a GPTQ or AWQ file might hold, decode to scale * (q - zero). */
TEST(group, holds_any_integer_checkpoint)
{
    static const char *const groups[] = {"32", "64", "128", "256", "512", "1024", "ROW"};
    static const uint64_t widths[] = {1, 7, 31, 32, 33, 100, 128, 200, 257};
    uint64_t seed = 1;
    for (uint32_t bits = 2; bits <= 8; bits++) {
        for (size_t g = 0; g < 7; g++) {
            for (int zeros = 0; zeros < 2; zeros++) {
                for (size_t w = 0; w < sizeof widths / sizeof widths[0]; w++) {
                    const uint64_t n = widths[w], rows = 3;
                    char name[32];
                    struct el_enc enc;
                    struct el_part_shape parts[EL_MAX_PARTS];
                    uint32_t n_parts;
                    snprintf(name, sizeof name, "G%u_%s%s", bits, groups[g], zeros ? "Z" : "");
                    REQUIRE(el_enc_parse(name, &enc, NULL) == EL_OK);
                    REQUIRE(enc.e->parts(&enc, rows, n, parts, &n_parts));
                    CHECK_EQ_INT(n_parts, 2 + zeros);
                    CHECK_EQ_STR(parts[0].suffix, ".codes");
                    CHECK_EQ_STR(parts[1].suffix, ".scales");
                    CHECK_EQ_INT(parts[0].ggml_type, 24);
                    CHECK_EQ_INT(parts[1].ggml_type, 1);
                    CHECK_EQ_INT(parts[0].row_nbytes, (n * bits + 7) / 8);
                    const uint64_t group = enc.group ? enc.group : n, n_groups = (n + group - 1) / group;
                    CHECK_EQ_INT(parts[1].row_n_elems, n_groups);
                    uint8_t q[3][257], zero[3][16];
                    uint16_t scale[3][16];
                    /* Exact-size buffers: a sanitizer sees any read beyond. */
                    uint8_t *const data[3] = {malloc(parts[0].nbytes), malloc(parts[1].nbytes), malloc(rows * n_groups)};
                    struct el_matrix m = {.enc = enc, .n_rows = rows, .n_in = n};
                    for (uint64_t r = 0; r < rows; r++) {
                        for (uint64_t i = 0; i < n; i++)
                            q[r][i] = (uint8_t)(test_rand(&seed) & ((1u << bits) - 1));
                        pack_bits(q[r], n, bits, data[0] + r * parts[0].row_nbytes);
                        for (uint64_t k = 0; k < n_groups; k++) {
                            scale[r][k] = el_f32_to_f16(test_randf(&seed));
                            zero[r][k] = zeros ? (uint8_t)test_rand(&seed) : (uint8_t)(1u << (bits - 1));
                            memcpy(data[1] + r * parts[1].row_nbytes + 2 * k, &scale[r][k], 2);
                            data[2][r * n_groups + k] = zero[r][k];
                        }
                    }
                    for (uint32_t p = 0; p < n_parts; p++) {
                        m.data[p] = data[p];
                        m.row_nbytes[p] = parts[p].row_nbytes;
                    }
                    float *const out = malloc(rows * n * sizeof *out);
                    el_matrix_decode(&m, 1, 2, out + n);
                    el_matrix_decode(&m, 0, 1, out);
                    bool same = true;
                    for (uint64_t r = 0; r < rows; r++) {
                        for (uint64_t i = 0; i < n; i++) {
                            const uint64_t k = i / group;
                            same = same && out[r * n + i] == el_f16_to_f32(scale[r][k]) * (float)((int)q[r][i] - (int)zero[r][k]);
                        }
                    }
                    if (!same)
                        test_fail(__FILE__, __LINE__, "%s, rows of %d: decoded values differ", name, (int)n);
                    CHECK_EQ_INT(enc.e->n_bad_scales(&m, 0, rows), 0);
                    free(out);
                    for (int p = 0; p < 3; p++)
                        free(data[p]);
                }
            }
        }
    }
}

/* Encoding writes exactly the parts, and the error is that of the width. */
TEST(group, encodes_every_width_and_tail)
{
    static const uint64_t widths[] = {1, 5, 32, 45, 130};
    uint64_t seed = 2;
    for (uint32_t bits = 2; bits <= 8; bits++) {
        for (int zeros = 0; zeros < 2; zeros++) {
            for (size_t w = 0; w < sizeof widths / sizeof widths[0]; w++) {
                for (int effort = 0; effort < 2; effort++) {
                    const uint64_t n = widths[w];
                    char name[32];
                    struct el_enc enc;
                    struct el_part_shape parts[EL_MAX_PARTS];
                    uint32_t n_parts;
                    float x[2 * 130], y[2 * 130];
                    uint8_t *out[EL_MAX_PARTS] = {NULL};
                    snprintf(name, sizeof name, "G%u_32%s", bits, zeros ? "Z" : "");
                    REQUIRE(el_enc_parse(name, &enc, NULL) == EL_OK);
                    REQUIRE(enc.e->parts(&enc, 2, n, parts, &n_parts));
                    struct el_matrix m = {.enc = enc, .n_rows = 2, .n_in = n};
                    for (uint32_t p = 0; p < n_parts; p++) {
                        out[p] = malloc(parts[p].nbytes);
                        m.data[p] = out[p];
                        m.row_nbytes[p] = parts[p].row_nbytes;
                    }
                    for (uint64_t i = 0; i < 2 * n; i++)
                        x[i] = test_randf(&seed);
                    enc.e->encode(&enc, x, NULL, 2, n, effort ? EL_ENCODE_SEARCH : EL_ENCODE_NEAREST, out);
                    el_matrix_decode(&m, 0, 2, y);
                    /* One step of the grid over [-1, 1), which NEAREST clips by half a step at most; search trades a few. */
                    const float step = 2.2f / (float)((1 << bits) - 1);
                    float worst = 0.0f;
                    for (uint64_t i = 0; i < 2 * n; i++)
                        worst = fabsf(x[i] - y[i]) > worst ? fabsf(x[i] - y[i]) : worst;
                    if (!(worst < 1.3f * step))
                        test_fail(__FILE__, __LINE__, "%s effort %d rows of %d: error %g, step %g", name, effort, (int)n,
                                  (double)worst, (double)step);
                    for (uint32_t p = 0; p < n_parts; p++)
                        free(out[p]);
                }
            }
        }
    }
}

TEST(group, zero_points_pay_for_skewed_weights)
{
    float x[256], y[256];
    uint64_t seed = 4;
    double error[2];
    for (int i = 0; i < 256; i++)
        x[i] = 0.3f + 0.5f * test_randf(&seed);
    for (int zeros = 0; zeros < 2; zeros++) {
        struct el_enc enc;
        uint8_t codes[128], scales[4], zero[2];
        uint8_t *const out[EL_MAX_PARTS] = {codes, scales, zero, NULL};
        REQUIRE(el_enc_parse(zeros ? "G4_128Z" : "G4_128", &enc, NULL) == EL_OK);
        enc.e->encode(&enc, x, NULL, 1, 256, EL_ENCODE_SEARCH, out);
        const struct el_matrix m = {
            .enc = enc, .n_rows = 1, .n_in = 256, .data = {codes, scales, zero}, .row_nbytes = {128, 4, 2}};
        el_matrix_decode(&m, 0, 1, y);
        error[zeros] = 0.0;
        for (int i = 0; i < 256; i++)
            error[zeros] += (double)(x[i] - y[i]) * (x[i] - y[i]);
    }
    CHECK(error[1] < 0.6 * error[0]);
}

static void put_f32(uint8_t *p, float v)
{
    memcpy(p, &v, sizeof v);
}

/* The forms that files bring along: scales in f32, columns in another order. Rows decode in the order of the matrix. */
TEST(group, wide_scales_and_permuted_columns)
{
    static const uint64_t widths[] = {1, 9, 64, 100, 257};
    static const char *const forms[] = {"F", "P", "FP", "ZF", "ZP", "ZFP"};
    uint64_t seed = 7;
    for (uint32_t bits = 2; bits <= 8; bits++) {
        for (size_t f = 0; f < sizeof forms / sizeof forms[0]; f++) {
            for (size_t w = 0; w < sizeof widths / sizeof widths[0]; w++) {
                const uint64_t n = widths[w], rows = 3, n_groups = (n + 31) / 32;
                char name[32], again[32];
                struct el_enc enc;
                struct el_part_shape parts[EL_MAX_PARTS];
                uint32_t n_parts;
                snprintf(name, sizeof name, "G%u_32%s", bits, forms[f]);
                REQUIRE(el_enc_parse(name, &enc, NULL) == EL_OK);
                el_enc_name(&enc, again);
                CHECK_EQ_STR(again, name);
                CHECK(!el_enc_can_encode(&enc));
                REQUIRE(enc.e->parts(&enc, rows, n, parts, &n_parts));
                CHECK_EQ_INT(n_parts, 2 + enc.zeros + enc.permuted);
                CHECK_EQ_INT(parts[1].ggml_type, enc.wide ? 0 : 1);
                CHECK_EQ_INT(parts[1].row_nbytes, (enc.wide ? 4 : 2) * n_groups);
                struct el_matrix m = {.enc = enc, .n_rows = rows, .n_in = n};
                uint8_t *data[EL_MAX_PARTS] = {NULL};
                for (uint32_t p = 0; p < n_parts; p++) {
                    m.data[p] = data[p] = malloc(parts[p].nbytes);
                    m.row_nbytes[p] = parts[p].row_nbytes;
                    for (uint64_t i = 0; i < parts[p].nbytes; i++)
                        data[p][i] = (uint8_t)test_rand(&seed);
                }
                uint32_t perm[257];
                for (uint32_t i = 0; i < n; i++)
                    perm[i] = i;
                for (uint32_t i = (uint32_t)n; i-- > 1;) {
                    const uint32_t k = (uint32_t)(test_rand(&seed) % (i + 1)), held = perm[i];
                    perm[i] = perm[k];
                    perm[k] = held;
                }
                float scale[3][9];
                for (uint64_t r = 0; r < rows; r++)
                    for (uint64_t g = 0; g < n_groups; g++) {
                        scale[r][g] = test_randf(&seed);
                        const uint16_t half = el_f32_to_f16(scale[r][g]);
                        if (enc.wide)
                            put_f32(data[1] + r * parts[1].row_nbytes + 4 * g, scale[r][g]);
                        else
                            memcpy(data[1] + r * parts[1].row_nbytes + 2 * g, &half, 2);
                        scale[r][g] = enc.wide ? scale[r][g] : el_f16_to_f32(half);
                    }
                if (enc.permuted) {
                    CHECK_EQ_STR(parts[n_parts - 1].suffix, ".perm");
                    CHECK_EQ_INT(parts[n_parts - 1].ggml_type, 26);
                    CHECK(parts[n_parts - 1].row_nbytes == 0 && parts[n_parts - 1].nbytes == 4 * n);
                    memcpy(data[n_parts - 1], perm, 4 * n);
                }
                CHECK(el_matrix_perm(&m) == (enc.permuted ? data[n_parts - 1] : NULL));
                float *const out = malloc(rows * n * sizeof *out), *const stored = malloc(rows * n * sizeof *out);
                const struct el_matrix as_stored = el_matrix_as_stored(&m);
                el_matrix_decode(&m, 0, rows, out);
                el_matrix_decode(&as_stored, 0, rows, stored);
                bool same = true;
                for (uint64_t r = 0; r < rows; r++)
                    for (uint64_t k = 0; k < n; k++) {
                        const uint8_t *const codes = data[0] + r * parts[0].row_nbytes;
                        unsigned q = 0;
                        for (uint32_t b = 0; b < bits; b++)
                            q |= (unsigned)(codes[(k * bits + b) / 8] >> (k * bits + b) % 8 & 1) << b;
                        const int zero = enc.zeros ? data[2][r * n_groups + k / 32] : 1 << (bits - 1);
                        const float want = scale[r][k / 32] * (float)((int)q - zero);
                        same = same && out[r * n + (enc.permuted ? perm[k] : k)] == want && stored[r * n + k] == want;
                    }
                if (!same)
                    test_fail(__FILE__, __LINE__, "%s, rows of %d: decoded values differ", name, (int)n);
                CHECK(el_matrix_check(&m, NULL) == EL_OK);
                CHECK_EQ_INT(enc.e->n_bad_scales(&m, 0, rows), 0);
                if (enc.wide)
                    put_f32(data[1], INFINITY);
                CHECK_EQ_INT(enc.e->n_bad_scales(&m, 0, rows), enc.wide);
                free(out);
                free(stored);
                for (uint32_t p = 0; p < n_parts; p++)
                    free(data[p]);
            }
        }
    }
}

/* An order that is none is told, and decoding it stays within the row. */
TEST(group, orders_that_are_none)
{
    static const struct {
        uint32_t perm[4];
        const char *says;
    } cases[] = {
        {{0, 1, 2, 4}, "order of columns: entry 3 is 4, at most 3"},
        {{0, 1, 1, 3}, "order of columns: entry 2 is 1, which came before"},
        {{0xffffffff, 1, 2, 3}, "order of columns: entry 0 is 4294967295, at most 3"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct el_enc enc;
        struct el_err err = {.code = EL_OK};
        float out[4] = {9, 9, 9, 9};
        uint8_t codes[4] = {129, 130, 131, 132}, scale[2] = {0, 0x3c}, perm[16];
        memcpy(perm, cases[i].perm, 16);
        REQUIRE(el_enc_parse("G8_32P", &enc, NULL) == EL_OK);
        const struct el_matrix m = {.enc = enc, .n_rows = 1, .n_in = 4, .data = {codes, scale, perm}, .row_nbytes = {4, 2, 0}};
        CHECK_EQ_INT(el_matrix_check(&m, &err), EL_E_FORMAT);
        CHECK_EQ_STR(err.text, cases[i].says);
        el_matrix_decode(&m, 0, 1, out);
        for (unsigned k = 0; k < 4; k++)
            CHECK(out[k] >= 0 && out[k] <= 4);
    }
}
