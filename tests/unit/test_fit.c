/* The scale searches against exhaustive search over dense grids, and their primitives against plain loops. */
#include "base/cpu.h"
#include "base/f16.h"
#include "tensor/fit.h"
#include "tensor/fit_super.h"
#include "tensor/fit_tile.h"
#include "test.h"

static double plain_error(const float *x, const float *w, int n, double s, double lo, double hi)
{
    double sum = 0.0;
    for (int i = 0; i < n; i++) {
        double q = s != 0.0 ? nearbyint(x[i] / s) : 0.0;
        q = q < lo ? lo : q > hi ? hi : q;
        sum += (w ? w[i] : 1.0) * (x[i] - s * q) * (x[i] - s * q);
    }
    return sum;
}

static void fill(float *x, float *w, int n, uint64_t *seed)
{
    for (int i = 0; i < n; i++) {
        x[i] = test_randf(seed) + test_randf(seed) + test_randf(seed);
        w[i] = 0.2f + 0.5f * (test_randf(seed) + 1.0f);
    }
}

TEST(fit, eval_is_the_sum_it_says)
{
    float x[37], w[37];
    uint64_t seed = 1;
    fill(x, w, 37, &seed);
    const struct el_fit_range range = {.lo = -8.0f, .hi = 7.0f};
    for (int n = 1; n <= 37; n++) {
        for (int weighted = 0; weighted < 2; weighted++) {
            const float *const wi = weighted ? w : NULL;
            const struct el_fit_sums sums = el_fit_scale_eval(x, wi, (uint64_t)n, 0.25f, range);
            double rq = 0.0, qq = 0.0;
            int16_t q[37];
            el_fit_scale_codes(x, (uint64_t)n, 0.25f, range, q);
            for (int i = 0; i < n; i++) {
                const double r = x[i] - 0.25 * q[i], u = weighted ? w[i] : 1.0;
                rq += u * r * q[i];
                qq += u * q[i] * q[i];
            }
            CHECK_NEAR(sums.rr, plain_error(x, wi, n, 0.25, -8, 7), 1e-5);
            CHECK_NEAR(sums.rq, rq, 1e-4);
            CHECK_NEAR(sums.qq, qq, 1e-3);
        }
    }
}

/* Within a few percent of the best of 6,000 scales of either sign, and on average much nearer. */
TEST(fit, scale_is_nearly_the_best_there_is)
{
    static const struct {
        float lo, hi;
        int n;
    } cases[] = {{-8, 7, 32}, {-4, 3, 64}, {-2, 1, 32}, {-16, 15, 32}, {-5, 10, 32}, {0, 15, 32}};
    uint64_t seed = 2;
    for (size_t c = 0; c < sizeof cases / sizeof cases[0]; c++) {
        double sum_found = 0.0, sum_best = 0.0;
        for (int round = 0; round < 24; round++) {
            float x[64], w[64];
            const int n = cases[c].n;
            fill(x, w, n, &seed);
            const float *const wi = round % 2 ? w : NULL;
            const struct el_fit_range range = {.lo = cases[c].lo, .hi = cases[c].hi};
            const double lo = range.lo, hi = range.hi;
            double best = INFINITY;
            for (int k = -3000; k <= 3000; k++) {
                const double e = plain_error(x, wi, n, k * 0.001, lo, hi);
                best = e < best ? e : best;
            }
            const double found = plain_error(x, wi, n, el_fit_scale(x, wi, (uint64_t)n, range), lo, hi);
            const double half = plain_error(x, wi, n, el_f16_to_f32(el_fit_scale_f16(x, wi, (uint64_t)n, range)), lo, hi);
            CHECK(found < 1.10 * best);
            CHECK(half < 1.10 * best);
            sum_found += half;
            sum_best += best;
        }
        if (!(sum_found < 1.02 * sum_best))
            test_fail(__FILE__, __LINE__, "range %g..%g: %g, best %g", (double)cases[c].lo, (double)cases[c].hi, sum_found,
                      sum_best);
    }
}

TEST(fit, half_precision_scale_is_never_worse_than_the_plain_one)
{
    uint64_t seed = 3;
    for (int round = 0; round < 200; round++) {
        float x[32], w[32];
        fill(x, w, 32, &seed);
        const struct el_fit_range range = {.lo = -127.0f, .hi = 127.0f};
        const struct el_fit_extent ext = el_fit_extent(x, 32);
        const double plain = plain_error(x, NULL, 32, el_f16_to_f32(el_fit_f16(ext.abs_max / 127.0f)), -127, 127);
        const double found = plain_error(x, NULL, 32, el_f16_to_f32(el_fit_scale_f16(x, NULL, 32, range)), -127, 127);
        CHECK(found <= plain * (1.0 + 1e-5));
    }
}

static double affine_error(const float *x, const float *w, int n, double s, double m, double hi)
{
    double sum = 0.0;
    for (int i = 0; i < n; i++) {
        double q = s > 0.0 ? nearbyint((x[i] + m) / s) : 0.0;
        q = q < 0.0 ? 0.0 : q > hi ? hi : q;
        sum += (w ? w[i] : 1.0) * (x[i] - s * q + m) * (x[i] - s * q + m);
    }
    return sum;
}

/* One block of 32 by the tiles' search, with its codes. */
static void search_offset(const float *x, const float *w, float hi, struct el_fit_offset *out)
{
    const struct el_tile tile = {.x = x, .w = w ? &w : NULL, .n_blocks = 1, .n = EL_FIT_OFFSET_N};
    uint16_t d[EL_TILE], m[EL_TILE];
    el_tile_fns()->offset(&tile, hi, d, m);
    out->d = d[0];
    out->m = m[0];
    el_fit_affine_codes(x, EL_FIT_OFFSET_N, el_f16_to_f32(d[0]), -el_f16_to_f32(m[0]), hi, out->q);
}

TEST(fit, affine_is_nearly_the_best_there_is)
{
    uint64_t seed = 4;
    double sum_found = 0.0, sum_best = 0.0;
    for (int round = 0; round < 16; round++) {
        float x[32], w[32];
        fill(x, w, 32, &seed);
        const float *const wi = round % 2 ? w : NULL;
        struct el_fit_offset fit;
        search_offset(x, wi, 15.0f, &fit);
        const struct el_fit_extent ext = el_fit_extent(x, 32);
        double best = INFINITY;
        for (int a = 0; a < 100; a++) {
            for (int b = 0; b < 100; b++) {
                const double s = (ext.max - ext.min) / 15.0 * (0.7 + 0.005 * a), m = -ext.min * (0.6 + 0.006 * b);
                const double e = affine_error(x, wi, 32, s, m, 15);
                best = e < best ? e : best;
            }
        }
        const double found = affine_error(x, wi, 32, el_f16_to_f32(fit.d), -el_f16_to_f32(fit.m), 15);
        CHECK(found < 1.25 * best);
        sum_found += found;
        sum_best += best;
    }
    /* The exhaustive search has 10,000 tries of luck in rounding. */
    if (!(sum_found < 1.12 * sum_best))
        test_fail(__FILE__, __LINE__, "affine: %g, best %g", sum_found, sum_best);
}

static const struct el_super_affine_kind some_affine = {.n_subs = 8, .sub_n = 32, .top = 63.0f, .hi = 15.0f};
static const struct el_super_scale_kind some_scale = {
    .n_subs = 16, .sub_n = 16, .scale_lo = -128.0f, .scale_hi = 127.0f, .codes = {.lo = -32.0f, .hi = 31.0f}};
static const struct el_fit_levels some_levels = {.n = 5, .value = {-9.0f, -3.0f, 1.0f, 2.0f, 7.0f}};
static const struct el_fit_range some_ranges[] = {
    {.lo = -127.0f, .hi = 127.0f}, {.lo = -8.0f, .hi = 7.0f}, {.lo = -1.0f, .hi = 2.0f}, {-9.0f, 7.0f, &some_levels}};

enum { TILE_N = 32, N_RANGES = 4 };

/* What all searches say of up to 16 blocks of 32: as many numbers as there are, in any order. */
struct tile_results {
    uint16_t scale[N_RANGES][EL_TILE], d[EL_TILE], m[EL_TILE], bytes[EL_TILE];
    int8_t q_bytes[EL_TILE][TILE_N], q_scale[N_RANGES][EL_TILE][TILE_N];
    uint8_t q_affine[EL_TILE][TILE_N];
    struct el_super_affine affine[2];
    struct el_super_scale by_scale[2];
};

static void search_all(const float *x, const float *const *w, uint32_t n, struct tile_results *out)
{
    memset(out, 0, sizeof *out);
    const struct el_tile tile = {.x = x, .w = w, .n_blocks = n, .n = TILE_N};
    const struct el_tile_fns *const fns = el_tile_fns();
    fns->bytes(&tile, out->bytes, out->q_bytes[0], TILE_N);
    fns->offset(&tile, 15.0f, out->d, out->m);
    for (int k = 0; k < N_RANGES; k++) {
        fns->scale(&tile, &some_ranges[k], out->scale[k]);
        for (uint32_t b = 0; b < n; b++)
            fns->scale_codes(x + TILE_N * b, TILE_N, el_f16_to_f32(out->scale[k][b]), &some_ranges[k], out->q_scale[k][b]);
    }
    for (uint32_t b = 0; b < n; b++)
        fns->affine_codes(x + TILE_N * b, TILE_N, el_f16_to_f32(out->d[b]), -el_f16_to_f32(out->m[b]), 15.0f, out->q_affine[b]);
    const float *w_super[2] = {w ? w[0] : NULL, w ? w[8] : NULL};
    el_super_affine_search(&some_affine, x, w ? w_super : NULL, n / 8, out->affine);
    el_super_scale_search(&some_scale, x, w ? w_super : NULL, n / 8, out->by_scale);
}

/* Sizes from nothing to almost everything, zeros and equal values among them. */
static void fill_tile(float *x, float *w, uint64_t *seed)
{
    for (int b = 0; b < EL_TILE; b++) {
        static const float sizes[8] = {1.0f, 0.02f, 1e-6f, 1e-30f, 0.0f, 1e15f, 1e30f, 3e38f};
        const float size = sizes[test_rand(seed) % 8];
        for (int i = 0; i < TILE_N; i++) {
            x[TILE_N * b + i] = size * (b % 5 == 3 ? 0.5f : test_randf(seed));
            w[TILE_N * b + i] = i % 7 == 6 ? 0.0f : 1.0f + test_randf(seed);
        }
    }
}

TEST(fit, tiles_give_the_same_bits_at_every_level)
{
    const enum el_cpu_level before = el_cpu();
    uint64_t seed = 7;
    for (int round = 0; round < 60; round++) {
        static float x[EL_TILE * TILE_N], w[EL_TILE * TILE_N];
        const float *rows[EL_TILE];
        struct tile_results want, got;
        fill_tile(x, w, &seed);
        for (int b = 0; b < EL_TILE; b++)
            rows[b] = w + TILE_N * b;
        for (int level = 0; level < EL_CPU_LEVELS; level++) {
            if (!el_cpu_force((enum el_cpu_level)level))
                continue;
            search_all(x, round % 2 ? rows : NULL, EL_TILE, level == 0 ? &want : &got);
            if (level > 0 && memcmp(&want, &got, sizeof want) != 0)
                test_fail(__FILE__, __LINE__, "round %d: other bits at %s", round, el_cpu_name((enum el_cpu_level)level));
        }
        el_cpu_force(before);
    }
}

/* Codes are the nearest for the scale that is stored, and luck in rounding is found: about 23 % less error than without. */
TEST(fit, bytes_are_lucky_and_their_codes_the_nearest)
{
    uint64_t seed = 9;
    double found = 0.0, plain = 0.0;
    for (int round = 0; round < 40; round++) {
        static float x[EL_TILE * TILE_N], w[EL_TILE * TILE_N];
        static int8_t q[EL_TILE][TILE_N + 2];
        uint16_t d[EL_TILE];
        fill(x, w, EL_TILE * TILE_N, &seed);
        const struct el_tile tile = {.x = x, .n_blocks = EL_TILE, .n = TILE_N};
        memset(q, 99, sizeof q);
        el_tile_fns()->bytes(&tile, d, q[0], TILE_N + 2);
        for (int b = 0; b < EL_TILE; b++) {
            const float *const xb = x + TILE_N * b;
            const double s = el_f16_to_f32(d[b]), end = el_fit_extent(xb, TILE_N).abs_max / 127.0;
            double sum = 0.0;
            for (int i = 0; i < TILE_N; i++)
                sum += (xb[i] - s * q[b][i]) * (xb[i] - s * q[b][i]);
            CHECK(sum <= plain_error(xb, NULL, TILE_N, s, -127, 127) * (1.0 + 1e-5));
            CHECK(q[b][TILE_N] == 99 && q[b][TILE_N + 1] == 99);
            found += sum;
            plain += plain_error(xb, NULL, TILE_N, el_f16_to_f32(el_fit_f16((float)end)), -127, 127);
        }
    }
    if (!(found < 0.79 * plain))
        test_fail(__FILE__, __LINE__, "bytes: %g, plain %g", found, plain);
}

TEST(fit, blocks_of_a_tile_know_nothing_of_each_other)
{
    uint64_t seed = 8;
    for (int round = 0; round < 20; round++) {
        static float x[EL_TILE * TILE_N], w[EL_TILE * TILE_N];
        struct tile_results all, one;
        fill_tile(x, w, &seed);
        search_all(x, NULL, EL_TILE, &all);
        for (int b = 0; b < EL_TILE; b += 3) {
            search_all(x + TILE_N * b, NULL, 1, &one);
            for (int k = 0; k < N_RANGES; k++)
                CHECK_EQ_INT(one.scale[k][0], all.scale[k][b]);
            CHECK(one.d[0] == all.d[b] && one.m[0] == all.m[b] && one.bytes[0] == all.bytes[b]);
            CHECK(memcmp(one.q_bytes[0], all.q_bytes[b], TILE_N) == 0);
        }
        search_all(x + 8 * TILE_N, NULL, 8, &one);
        CHECK(memcmp(&one.affine[0], &all.affine[1], sizeof one.affine[0]) == 0);
        CHECK(memcmp(&one.by_scale[0], &all.by_scale[1], sizeof one.by_scale[0]) == 0);
    }
}

TEST(fit, helpers)
{
    static const float x[] = {0.5f, -2.0f, 2.0f, 1.0f};
    const struct el_fit_extent ext = el_fit_extent(x, 4), none = el_fit_extent(x, 0);
    CHECK_NEAR(ext.abs_max, 2.0, 0.0);
    CHECK_NEAR(ext.signed_max, -2.0, 0.0); /* the first of equals */
    CHECK_NEAR(ext.min, -2.0, 0.0);
    CHECK_NEAR(ext.max, 2.0, 0.0);
    CHECK_NEAR(none.abs_max, 0.0, 0.0);
    CHECK_NEAR(el_fit_inverse(4.0f), 0.25, 0.0);
    CHECK_NEAR(el_fit_inverse(0.0f), 0.0, 0.0);
    CHECK_NEAR(el_fit_inverse(1e-45f), 0.0, 0.0);
    CHECK_EQ_INT(el_fit_f16(1e30f), 0x7bff);
    CHECK_EQ_INT(el_fit_f16(-1e30f), 0xfbff);
    CHECK_EQ_INT(el_fit_f16(65519.0f), 0x7bff);
    CHECK_EQ_INT(el_fit_f16(1.0f), 0x3c00);
}

/* No scale, no codes: the same bytes for every block of zeros. */
TEST(fit, super_blocks_of_zeros_are_zero)
{
    static const float x[EL_SUPER_N];
    static const struct el_super_affine_kind affine_kind = {.n_subs = 8, .sub_n = 32, .top = 63.0f, .hi = 15.0f};
    static const struct el_super_scale_kind scale_kind = {
        .n_subs = 16, .sub_n = 16, .scale_lo = -128.0f, .scale_hi = 127.0f, .codes = {.lo = -32.0f, .hi = 31.0f}};
    struct el_super_affine affine;
    struct el_super_scale scale;
    memset(&affine, 1, sizeof affine);
    memset(&scale, 1, sizeof scale);
    el_super_affine_search(&affine_kind, x, NULL, 1, &affine);
    el_super_scale_search(&scale_kind, x, NULL, 1, &scale);
    CHECK_EQ_INT(affine.d, 0);
    CHECK_EQ_INT(scale.d, 0);
    for (int i = 0; i < EL_SUPER_N; i++)
        CHECK(affine.q[i] == 0 && scale.q[i] == 0);
}

static double offset_error(const float *x, const float *w, const struct el_fit_offset *fit)
{
    const double d = el_f16_to_f32(fit->d), m = el_f16_to_f32(fit->m);
    double sum = 0.0;
    for (int i = 0; i < EL_FIT_OFFSET_N; i++)
        sum += (w ? w[i] : 1.0) * (x[i] - d * fit->q[i] - m) * (x[i] - d * fit->q[i] - m);
    return sum;
}

/* An offset of either sign: what all values have in common costs nothing. */
TEST(fit, offset_search_is_never_worse_than_nearest)
{
    uint64_t seed = 6;
    for (int round = 0; round < 200; round++) {
        float x[EL_FIT_OFFSET_N], w[EL_FIT_OFFSET_N];
        fill(x, w, EL_FIT_OFFSET_N, &seed);
        for (int i = 0; i < EL_FIT_OFFSET_N; i++)
            x[i] += (float)(round % 5 - 2) * 4.0f;
        struct el_fit_offset near, found;
        el_fit_offset_nearest(x, round % 2 ? 15.0f : 31.0f, &near);
        search_offset(x, NULL, round % 2 ? 15.0f : 31.0f, &found);
        CHECK(offset_error(x, NULL, &found) <= offset_error(x, NULL, &near) * (1.0 + 1e-5));
        search_offset(x, w, round % 2 ? 15.0f : 31.0f, &found);
        CHECK(offset_error(x, w, &found) <= offset_error(x, w, &near) * (1.0 + 1e-5));
    }
    float same[EL_FIT_OFFSET_N];
    for (int i = 0; i < EL_FIT_OFFSET_N; i++)
        same[i] = -0.75f;
    struct el_fit_offset fit;
    search_offset(same, NULL, 15.0f, &fit);
    CHECK(fit.d == 0 && fit.m == 0xba00 && fit.q[7] == 0);
}

TEST(fit, levels_are_the_nearest)
{
    static const struct el_fit_levels levels = {.n = 5, .value = {-9.0f, -3.0f, 1.0f, 2.0f, 7.0f}};
    static const float x[8] = {-100.0f, -12.1f, -11.9f, 0.0f, 2.9f, 3.1f, 8.9f, 9.1f};
    static const int want[8] = {-9, -9, -3, 1, 1, 2, 2, 7};
    const struct el_fit_range range = {.lo = -9.0f, .hi = 7.0f, .levels = &levels};
    int16_t q[8];
    el_fit_scale_codes(x, 8, 2.0f, range, q);
    double rr = 0.0;
    for (int i = 0; i < 8; i++) {
        CHECK_EQ_INT(q[i], want[i]);
        rr += (x[i] - 2.0 * want[i]) * (x[i] - 2.0 * want[i]);
    }
    CHECK_NEAR(el_fit_scale_eval(x, NULL, 8, 2.0f, range).rr, rr, 1e-2);
}
