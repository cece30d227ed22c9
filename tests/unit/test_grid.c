/* Grids: what they say of an encoding is what its bytes decode to; their nearest values are nearest. */
#include "base/err.h"
#include "tensor/grid.h"
#include "test.h"

enum { N_IN = 512, N_ROWS = 3, MAX_BYTES = 64 << 10 };

static const char *const names[] = {"Q8_0", "Q4_0",  "Q4_1",   "Q5_0",   "Q5_1",   "Q2_K",   "Q3_K",  "Q4_K",
                                    "Q5_K", "Q6_K",  "IQ4_NL", "IQ4_XS", "MXFP4",  "TQ1_0",  "TQ2_0", "Q2_0",
                                    "Q1_0", "G2_64", "G3_128", "G4_32Z", "G5_ROW", "G8_128Z"};

struct stored {
    uint8_t bytes[MAX_BYTES];
    uint8_t *parts[EL_MAX_PARTS];
    struct el_matrix m;
};

static void lay(const struct el_enc *enc, uint64_t n_in, struct stored *s)
{
    struct el_part_shape shapes[EL_MAX_PARTS];
    uint32_t n_parts;
    memset(s, 0, sizeof *s);
    if (!enc->e->parts(enc, N_ROWS, n_in, shapes, &n_parts))
        return;
    s->m = (struct el_matrix){.enc = *enc, .n_rows = N_ROWS, .n_in = n_in};
    uint64_t at = 0;
    for (uint32_t p = 0; p < n_parts; p++) {
        s->parts[p] = s->bytes + at;
        s->m.data[p] = s->parts[p];
        s->m.row_nbytes[p] = shapes[p].row_nbytes;
        at += shapes[p].nbytes;
    }
}

static void fill(float *x, uint64_t n, uint64_t *seed)
{
    for (uint64_t i = 0; i < n; i++)
        x[i] = 0.1f * (test_randf(seed) + test_randf(seed) + test_randf(seed));
}

/* Encodes x by its grid, with every level the nearest; want: the values that the grid promised. */
static void encode_by_grid(const struct el_enc *enc, const float *x, uint64_t n_in, enum el_effort effort, struct stored *s,
                           float *want)
{
    const struct el_grid *const grid = el_grid_of(enc);
    const uint32_t width = el_grid_width(enc, n_in);
    for (uint64_t r = 0; r < N_ROWS; r++) {
        for (uint64_t c = 0; c < n_in; c += width) {
            struct el_grid_block b;
            int16_t level[N_IN];
            const uint32_t n = (uint32_t)(n_in - c < width ? n_in - c : width);
            grid->fit(enc, x + r * n_in + c, NULL, 1, n, effort, &b);
            (void)el_grid_nearest_all(&b, x + r * n_in + c, NULL, level);
            for (uint32_t i = 0; i < n; i++)
                want[r * n_in + c + i] = el_grid_value(&b, i / b.sub_n, level[i]);
            grid->store(enc, &b, level, r, c, n_in, s->parts);
        }
    }
}

TEST(grid, values_are_what_decodes)
{
    static struct stored s;
    static float x[N_ROWS * N_IN], want[N_ROWS * N_IN], got[N_ROWS * N_IN];
    uint64_t seed = 5;
    for (size_t k = 0; k < sizeof names / sizeof *names; k++) {
        struct el_enc enc;
        struct el_err err;
        REQUIRE_OK(el_enc_parse(names[k], &enc, &err), err);
        REQUIRE(el_grid_of(&enc) != NULL);
        const uint64_t n_in = enc.e->flags & EL_ENC_PARAMS ? N_IN - 20 : N_IN;
        for (int effort = EL_ENCODE_NEAREST; effort <= EL_ENCODE_SEARCH; effort++) {
            fill(x, N_ROWS * n_in, &seed);
            lay(&enc, n_in, &s);
            encode_by_grid(&enc, x, n_in, (enum el_effort)effort, &s, want);
            el_matrix_decode(&s.m, 0, N_ROWS, got);
            for (uint64_t i = 0; i < N_ROWS * n_in; i++) {
                if (got[i] != want[i])
                    printf("%s effort %d element %d: %g, not %g\n", names[k], effort, (int)i, (double)got[i], (double)want[i]);
                REQUIRE(got[i] == want[i]);
            }
        }
    }
}

static double error_of(const float *x, const float *y, uint64_t n)
{
    double sum = 0.0;
    for (uint64_t i = 0; i < n; i++)
        sum += ((double)x[i] - (double)y[i]) * ((double)x[i] - (double)y[i]);
    return sum;
}

TEST(grid, search_loses_what_the_encoder_loses)
{
    static struct stored by_grid, by_encoder;
    static float x[N_ROWS * N_IN], a[N_ROWS * N_IN], b[N_ROWS * N_IN];
    uint64_t seed = 6;
    for (size_t k = 0; k < sizeof names / sizeof *names; k++) {
        struct el_enc enc;
        struct el_err err;
        REQUIRE_OK(el_enc_parse(names[k], &enc, &err), err);
        if (strcmp(names[k], "Q5_1") == 0 || strncmp(names[k], "TQ", 2) == 0)
            continue; /* Q5_1 has weights of its own; ternary types follow ggml's reference, which is no search */
        fill(x, N_ROWS * N_IN, &seed);
        lay(&enc, N_IN, &by_grid);
        lay(&enc, N_IN, &by_encoder);
        encode_by_grid(&enc, x, N_IN, EL_ENCODE_SEARCH, &by_grid, a);
        enc.e->encode(&enc, x, NULL, N_ROWS, N_IN, EL_ENCODE_SEARCH, by_encoder.parts);
        el_matrix_decode(&by_encoder.m, 0, N_ROWS, b);
        const double lost = error_of(x, a, N_ROWS * N_IN), encoder = error_of(x, b, N_ROWS * N_IN);
        if (!(lost <= 1.01 * encoder))
            printf("%s: %g, the encoder %g\n", names[k], lost, encoder);
        CHECK(lost <= 1.01 * encoder);
    }
}

/* No other level is nearer. */
TEST(grid, nearest_is_nearest)
{
    float x[N_IN];
    uint64_t seed = 7;
    for (size_t k = 0; k < sizeof names / sizeof *names; k++) {
        struct el_enc enc;
        struct el_err err;
        REQUIRE_OK(el_enc_parse(names[k], &enc, &err), err);
        const uint32_t n = el_grid_width(&enc, N_IN);
        struct el_grid_block b;
        fill(x, n, &seed);
        el_grid_of(&enc)->fit(&enc, x, NULL, 1, n, EL_ENCODE_SEARCH, &b);
        for (uint32_t i = 0; i < n; i++) {
            const uint32_t sub = i / b.sub_n;
            const float off = 1.5f * x[i];
            const double got = fabs((double)off - (double)el_grid_value(&b, sub, el_grid_nearest(&b, sub, off)));
            for (int level = (int)b.lo; level <= (int)b.hi; level++) {
                bool allowed = !b.levels;
                for (uint32_t j = 0; b.levels && j < b.levels->n; j++)
                    allowed |= (float)level == b.levels->value[j];
                const double other = fabs((double)off - (double)el_grid_value(&b, sub, (int16_t)level));
                CHECK(!allowed || got <= other * 1.00001 + 1e-9);
            }
        }
    }
}

TEST(grid, refit_never_loses)
{
    static const char *const super[] = {"Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "IQ4_XS"};
    float x[256], w[256];
    uint64_t seed = 8;
    for (size_t k = 0; k < sizeof super / sizeof *super; k++) {
        struct el_enc enc;
        struct el_err err;
        REQUIRE_OK(el_enc_parse(super[k], &enc, &err), err);
        const struct el_grid *const grid = el_grid_of(&enc);
        struct el_grid_block b;
        int16_t level[256];
        fill(x, 256, &seed);
        for (int i = 0; i < 256; i++)
            w[i] = 1.0f + test_randf(&seed);
        grid->fit(&enc, x, w, 1, 256, EL_ENCODE_SEARCH, &b);
        fill(x, 256, &seed); /* other numbers, for which the scales were not made */
        const double before = el_grid_nearest_all(&b, x, w, level);
        for (uint32_t sub = 0; sub < 256 / b.sub_n; sub++)
            grid->refit(&enc, x + sub * b.sub_n, w + sub * b.sub_n, sub, &b);
        const double after = el_grid_nearest_all(&b, x, w, level);
        CHECK(after < before);
        /* and what it says is still what decodes */
        static struct stored s;
        float got[N_ROWS * 256];
        lay(&enc, 256, &s);
        grid->store(&enc, &b, level, 0, 0, 256, s.parts);
        el_matrix_decode(&s.m, 0, 1, got);
        for (uint32_t i = 0; i < 256; i++)
            CHECK(got[i] == el_grid_value(&b, i / b.sub_n, level[i]));
    }
}

TEST(grid, set_takes_what_can_be_stored)
{
    for (size_t k = 0; k < sizeof names / sizeof *names; k++) {
        struct el_enc enc;
        struct el_err err;
        REQUIRE_OK(el_enc_parse(names[k], &enc, &err), err);
        const uint32_t n = el_grid_width(&enc, N_IN), subs = n / el_grid_sub_width(&enc, N_IN);
        float x[N_IN];
        uint64_t seed = 9;
        struct el_grid_block b, again;
        fill(x, n, &seed);
        el_grid_of(&enc)->fit(&enc, x, NULL, 1, n, EL_ENCODE_SEARCH, &b);
        el_grid_of(&enc)->set(&enc, b.step, b.min, n, &again);
        for (uint32_t j = 0; j < subs; j++) {
            const bool zeros = enc.zeros; /* a zero point is whole steps, and is in the levels */
            CHECK_NEAR(again.step[j], b.step[j], 0.03 * fabs((double)b.step[0]) + 1e-7);
            if (!zeros)
                CHECK_NEAR(again.min[j], b.min[j], 0.03 * fabs((double)b.min[0]) + 1e-3);
        }
    }
}
