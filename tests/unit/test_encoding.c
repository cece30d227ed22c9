/* Names, sizes and tables of encodings, and decoders against the Python package gguf (tests/data/blocks). */
#include "base/mem.h"
#include "tensor/encoding.h"
#include "test.h"

TEST(encoding, table_is_consistent)
{
    for (size_t i = 0; i < EL_ENC_COUNT; i++) {
        const struct el_encoding *const e = el_encoding_at(i);
        REQUIRE(e != NULL);
        CHECK_EQ_INT(el_encoding_index(e), i);
        CHECK(e->name && e->about && e->parts && e->decode);
        CHECK(e->encode != NULL);
        CHECK(e->block_n >= 1);
        CHECK_EQ_INT(e->ggml_type < 0, (e->flags & EL_ENC_PARAMS) != 0);
        if (e->ggml_type >= 0) {
            CHECK(el_encoding_by_ggml(e->ggml_type) == e);
            CHECK_EQ_STR(el_ggml_type_name(e->ggml_type), e->name);
        }
    }
    CHECK(el_encoding_at(EL_ENC_COUNT) == NULL);
    CHECK(el_encoding_by_ggml(-1) == NULL);
    CHECK(el_encoding_by_ggml(9) == NULL);
    CHECK_EQ_STR(el_ggml_type_name(9), "Q8_1");
    CHECK_EQ_STR(el_ggml_type_name(16), "IQ2_XXS");
    CHECK_EQ_STR(el_ggml_type_name(24), "I8");
    CHECK_EQ_STR(el_ggml_type_name(30), "BF16");
    CHECK_EQ_STR(el_ggml_type_name(42), "Q2_0");
    CHECK(el_ggml_type_name(43) == NULL);
    CHECK(el_ggml_type_name(-1) == NULL);
}

TEST(encoding, names_go_both_ways)
{
    static const struct {
        const char *given, *canonical;
    } names[] = {
        {"f32", "F32"},         {"F16", "F16"},       {"bf16", "BF16"},       {"q8_0", "Q8_0"},   {"Q4_0", "Q4_0"},
        {"q4_k", "Q4_K"},       {"Q5_K", "Q5_K"},     {"q6_K", "Q6_K"},       {"q5_0", "Q5_0"},   {"g4_32", "G4_32"},
        {"G3_128z", "G3_128Z"}, {"G8_row", "G8_ROW"}, {"G2_ROWZ", "G2_ROWZ"}, {"G5_64", "G5_64"}, {"G7_64Z", "G7_64Z"},
    };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct el_err err = {0};
        struct el_enc enc, again;
        char name[32];
        REQUIRE_OK(el_enc_parse(names[i].given, &enc, &err), err);
        el_enc_name(&enc, name);
        CHECK_EQ_STR(name, names[i].canonical);
        REQUIRE_OK(el_enc_parse(name, &again, &err), err);
        CHECK(el_enc_equal(&enc, &again));
    }
    struct el_enc a, b;
    REQUIRE(el_enc_parse("G4_32", &a, NULL) == EL_OK);
    for (size_t i = 0; i < 3; i++) {
        static const char *const others[] = {"G4_32Z", "G5_32", "G4_64"};
        REQUIRE(el_enc_parse(others[i], &b, NULL) == EL_OK);
        CHECK(!el_enc_equal(&a, &b));
    }
}

TEST(encoding, unknown_names_are_refused)
{
    static const char *const names[] = {"",    "Q",    "Q4",     "Q4_",     "Q4_KM",  "Q4_K_M", "G4", "G1_32",  "G9_32", "G4_33",
                                        "G4_", "G4_3", "G4_322", "G4_32ZZ", "G4_ROX", "IQ2_M",  "I8", "G44_32", "F32 ",  " F32"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct el_err err = {0};
        struct el_enc enc;
        CHECK_EQ_INT(el_enc_parse(names[i], &enc, &err), EL_E_USAGE);
        CHECK(strstr(err.text, "unknown encoding") && strstr(err.text, "Q4_K") && strstr(err.text, "G<2..8>"));
    }
}

TEST(encoding, sizes)
{
    static const struct {
        const char *name;
        uint64_t n_rows, n_in, nbytes;
    } sizes[] = {
        {"F32", 3, 7, 84},
        {"F16", 3, 7, 42},
        {"BF16", 1, 1, 2},
        {"Q8_0", 2, 64, 136},
        {"Q4_0", 2, 64, 72},
        {"Q4_K", 3, 512, 864},
        {"Q5_K", 3, 512, 1056},
        {"Q6_K", 3, 512, 1260},
        {"G4_32", 2, 64, 72},
        {"G3_32", 1, 33, 13 + 4},
        {"G3_32Z", 1, 33, 13 + 4 + 2},
        {"G8_ROW", 5, 100, 510},
        {"G5_ROWZ", 5, 3, 5 * (2 + 2 + 1)},
        {"Q4_K", 0, 512, 0},
        {"Q4_K", 4, 0, 0},
        {"G4_ROW", 4, 0, 0},
        {"F32", 4, 0, 0},
    };
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        struct el_enc enc;
        uint64_t nbytes = 12345;
        REQUIRE(el_enc_parse(sizes[i].name, &enc, NULL) == EL_OK);
        CHECK(el_enc_nbytes(&enc, sizes[i].n_rows, sizes[i].n_in, &nbytes));
        CHECK_EQ_INT(nbytes, sizes[i].nbytes);
    }
    static const struct {
        const char *name;
        uint64_t n_rows, n_in;
    } bad[] = {
        {"Q8_0", 1, 33},
        {"Q4_0", 1, 16},
        {"Q4_K", 1, 128},
        {"Q6_K", 1, 255},
        {"Q5_K", 1, 257},
        {"F32", 1, UINT64_MAX / 2},
        {"F32", UINT64_MAX / 2, 2},
        {"Q4_K", UINT64_MAX / 256, 512},
        {"G4_32", UINT64_MAX / 8, 32},
        {"G8_32", 1, UINT64_MAX / 4},
        {"G8_ROWZ", UINT64_MAX - 8, 1},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct el_enc enc;
        uint64_t nbytes = 0;
        REQUIRE(el_enc_parse(bad[i].name, &enc, NULL) == EL_OK);
        CHECK(!el_enc_nbytes(&enc, bad[i].n_rows, bad[i].n_in, &nbytes));
    }
    CHECK_EQ_STR(el_enc_f32().e->name, "F32");
    CHECK_EQ_STR(el_enc_f16().e->name, "F16");
}

/* Every block of the file, in one row, in many rows, and from an odd address. */
static void check_blocks(const char *name)
{
    char path[64];
    size_t nbytes, want_nbytes;
    snprintf(path, sizeof path, "blocks/%s.bin", name);
    char *const bytes = test_read(test_data(path), &nbytes);
    snprintf(path, sizeof path, "blocks/%s.f32", name);
    char *const want = test_read(test_data(path), &want_nbytes);
    struct el_enc enc;
    REQUIRE(bytes && want && el_enc_parse(name, &enc, NULL) == EL_OK);
    const uint64_t n_blocks = nbytes / enc.e->block_nbytes, n = n_blocks * enc.e->block_n;
    CHECK_EQ_INT(want_nbytes, n * sizeof(float));
    float *const got = malloc(n * sizeof *got);
    uint8_t *const odd = malloc(nbytes + 1);
    memcpy(odd + 1, bytes, nbytes);
    struct el_matrix m = {.enc = enc, .n_rows = 1, .n_in = n, .data = {odd + 1}, .row_nbytes = {nbytes}};
    el_matrix_decode(&m, 0, 1, got);
    CHECK(memcmp(got, want, want_nbytes) == 0);
    memset(got, 0, n * sizeof *got);
    m = (struct el_matrix){
        .enc = enc, .n_rows = n_blocks, .n_in = enc.e->block_n, .data = {odd + 1}, .row_nbytes = {enc.e->block_nbytes}};
    el_matrix_decode(&m, 1, n_blocks - 1, got + enc.e->block_n);
    el_matrix_decode(&m, 0, 1, got);
    CHECK(memcmp(got, want, want_nbytes) == 0);
    if (enc.e->n_bad_scales)
        CHECK_EQ_INT(enc.e->n_bad_scales(&m, 0, n_blocks), 0);
    free(got);
    free(odd);
    free(bytes);
    free(want);
}

TEST(encoding, decoders_equal_gguf_to_the_bit)
{
    size_t n_checked = 0;
    for (size_t i = 0; i < EL_ENC_COUNT; i++) {
        const struct el_encoding *const e = el_encoding_at(i);
        /* F32 is what it is; the group encodings have tests of their own. */
        if (strcmp(e->name, "F32") == 0 || (e->flags & EL_ENC_PARAMS))
            continue;
        check_blocks(e->name);
        n_checked++;
    }
    CHECK(n_checked >= 26);
}

TEST(encoding, what_cannot_be_made_says_why)
{
    static const char *const names[] = {"G4_32F", "G4_128P"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct el_err err = {0};
        struct el_enc enc;
        REQUIRE_OK(el_enc_parse(names[i], &enc, &err), err);
        CHECK_EQ_INT(el_enc_check_encode(&enc, &err), EL_E_UNSUPPORTED);
        CHECK(strstr(err.text, names[i]) && strstr(err.text, "can be read but not made: its scales or its order"));
    }
    const struct el_enc f32 = el_enc_f32();
    CHECK_EQ_INT(el_enc_check_encode(&f32, NULL), EL_OK);
}

TEST(encoding, bad_scales_are_counted)
{
    static const struct {
        const char *name;
        size_t at[2];
        int n;
    } cases[] = {{"Q8_0", {0}, 1},   {"Q4_0", {0}, 1},    {"Q5_0", {0}, 1},    {"Q4_K", {0, 2}, 2},   {"Q5_K", {0, 2}, 2},
                 {"Q6_K", {208}, 1}, {"Q4_1", {0, 2}, 2}, {"Q5_1", {0, 2}, 2}, {"Q2_K", {80, 82}, 2}, {"Q3_K", {108}, 1},
                 {"IQ4_NL", {0}, 1}, {"IQ4_XS", {0}, 1},  {"TQ1_0", {52}, 1},  {"TQ2_0", {64}, 1},    {"Q1_0", {0}, 1},
                 {"Q2_0", {0}, 1},   {"IQ2_XXS", {0}, 1}, {"IQ2_XS", {0}, 1},  {"IQ2_S", {0}, 1},     {"IQ3_XXS", {0}, 1},
                 {"IQ3_S", {0}, 1},  {"IQ1_S", {0}, 1}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct el_enc enc;
        uint8_t bytes[420] = {0};
        REQUIRE(el_enc_parse(cases[i].name, &enc, NULL) == EL_OK);
        const uint32_t nb = enc.e->block_nbytes;
        const struct el_matrix m = {.enc = enc, .n_rows = 2, .n_in = enc.e->block_n, .data = {bytes}, .row_nbytes = {nb}};
        CHECK_EQ_INT(enc.e->n_bad_scales(&m, 0, 2), 0);
        for (int k = 0; k < cases[i].n; k++) {
            bytes[nb + cases[i].at[k] + 1] = k ? 0xfc : 0x7e; /* -inf, NaN */
            CHECK_EQ_INT(enc.e->n_bad_scales(&m, 0, 2), k + 1);
        }
        CHECK_EQ_INT(enc.e->n_bad_scales(&m, 0, 1), 0);
    }
}

TEST(encoding, bad_scales_of_other_kinds_are_counted)
{
    struct el_enc enc;
    uint8_t iq1_m[56] = {0}, mxfp4[3 * 17] = {0};
    REQUIRE(el_enc_parse("IQ1_M", &enc, NULL) == EL_OK);
    struct el_matrix m = {.enc = enc, .n_rows = 1, .n_in = 256, .data = {iq1_m}, .row_nbytes = {sizeof iq1_m}};
    CHECK_EQ_INT(enc.e->n_bad_scales(&m, 0, 1), 0);
    iq1_m[48 + 7] = 0x70; /* the highest nibble of the scale, and two bits of the next make an infinity */
    CHECK_EQ_INT(enc.e->n_bad_scales(&m, 0, 1), 0);
    iq1_m[48 + 5] = 0xc0;
    CHECK_EQ_INT(enc.e->n_bad_scales(&m, 0, 1), 1);

    REQUIRE(el_enc_parse("MXFP4", &enc, NULL) == EL_OK);
    m = (struct el_matrix){.enc = enc, .n_rows = 3, .n_in = 32, .data = {mxfp4}, .row_nbytes = {17}};
    mxfp4[0] = 252; /* the largest that is finite with every code */
    mxfp4[1] = 0x7f;
    mxfp4[17] = 254;
    mxfp4[18] = 0x01; /* finite as long as its codes are small */
    CHECK_EQ_INT(enc.e->n_bad_scales(&m, 0, 3), 0);
    mxfp4[18] = 0xf0; /* -12 */
    CHECK_EQ_INT(enc.e->n_bad_scales(&m, 0, 3), 1);
    mxfp4[34] = 255; /* not a number */
    CHECK_EQ_INT(enc.e->n_bad_scales(&m, 0, 3), 2);
    CHECK_EQ_INT(enc.e->n_bad_scales(&m, 2, 1), 1);
}
