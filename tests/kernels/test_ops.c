/*
 * Everything but products and attention, at every CPU level: equal to the reference to the bit where no sum is involved, else
 * within a few units in the last place of a float64 computation. Any length, any split, inputs and outputs up to a guard page.
 */
#include "kernels/trap.h"

#include <float.h>

#include "base/compiler.h"
#include "base/f16.h"
#include "kernels/exp_lanes.h"

static float *random_floats(uint64_t n, int span, uint64_t *seed)
{
    float *const x = trap_alloc(n * sizeof *x);
    for (uint64_t i = 0; i < n; i++)
        x[i] = trap_randf(seed, span);
    return x;
}

static float *copy_floats(const float *x, uint64_t n)
{
    float *const y = trap_alloc(n * sizeof *y);
    if (n)
        memcpy(y, x, n * sizeof *y);
    return y;
}

/* Distance in units of the last place of want. */
static double ulps(float got, double want)
{
    if (isnan(got) || isnan(want))
        return isnan(got) && isnan(want) ? 0 : INFINITY;
    const float w = (float)want;
    if (isinf(w))
        return got == w ? 0 : INFINITY;
    const double unit = fabsf(w) < FLT_MIN ? 0x1p-149 : ldexp(1.0, ilogbf(w) - 23);
    return fabs((double)got - want) / unit;
}

TEST(ops, add_axpy_axpby_divide_rope_have_the_bits_of_the_reference)
{
    uint64_t seed = 1;
    struct el_kernels ref;
    el_kernels_init(&ref, EL_CPU_REF);
    for (uint64_t n = 0; n <= 70; n++) {
        const float *const x = random_floats(n, 5, &seed), *const y0 = random_floats(n, 5, &seed);
        const float *const c = random_floats(n / 2, 0, &seed), *const s = random_floats(n / 2, 0, &seed);
        float *const added = copy_floats(y0, n), *const axpied = copy_floats(y0, n), *const roped = copy_floats(y0, n);
        ref.add(added, x, n);
        ref.axpy(axpied, 0.37f, x, n);
        ref.rope(roped, c, s, (uint32_t)n);
        float *const both = copy_floats(y0, n), *const divided = copy_floats(y0, n);
        ref.axpby(both, 1.7f, x, -0.37f, n);
        ref.divide(divided, 0.37f, n);
        for (uint64_t i = 0; i < n; i++) {
            CHECK(added[i] == y0[i] + x[i]);
            CHECK(axpied[i] == y0[i] + 0.37f * x[i]);
            CHECK(both[i] == 1.7f * y0[i] + -0.37f * x[i]);
            CHECK(divided[i] == y0[i] / 0.37f);
        }
        FOR_EACH_LEVEL(k)
        {
            float *const y = copy_floats(y0, n);
            k.add(y, x, n);
            CHECK(same_bits(y, added, n));
            memcpy(y, y0, n * 4);
            k.axpy(y, 0.37f, x, n);
            CHECK(same_bits(y, axpied, n));
            memcpy(y, y0, n * 4);
            k.axpby(y, 1.7f, x, -0.37f, n);
            CHECK(same_bits(y, both, n));
            memcpy(y, y0, n * 4);
            k.divide(y, 0.37f, n);
            CHECK(same_bits(y, divided, n));
            memcpy(y, y0, n * 4);
            k.rope(y, c, s, (uint32_t)n);
            CHECK(same_bits(y, roped, n));
        }
        trap_free_all();
    }
}

TEST(ops, all_finite_sees_every_place)
{
    static const float bad[] = {NAN, -NAN, INFINITY, -INFINITY};
    uint64_t seed = 2;
    for (uint64_t n = 0; n <= 70; n++) {
        float *const x = random_floats(n, 120, &seed);
        if (n)
            x[n - 1] = FLT_MAX;
        FOR_EACH_LEVEL(k)
        {
            CHECK(k.all_finite(x, n));
            for (uint64_t i = 0; i < n; i++) {
                const float was = x[i];
                x[i] = bad[i % 4];
                CHECK(!k.all_finite(x, n));
                x[i] = was;
            }
        }
        trap_free_all();
    }
}

TEST(ops, rope_is_a_rotation)
{
    FOR_EACH_LEVEL(k)
    {
        float x[8] = {1, 2, 3, 4, 5, 6, 7, 8};
        const float cosine[3] = {1, 0, -1}, sine[3] = {0, 1, 0};
        k.rope(x, cosine, sine, 6); /* pairs (0,3) (1,4) (2,5) by 0, 90 and 180 degrees; the rest stays */
        static const float want[8] = {1, -5, -3, 4, 2, -6, 7, 8};
        CHECK(same_bits(x, want, 8));
    }
}

TEST(ops, rmsnorm)
{
    static const double eps = 1e-5;
    uint64_t seed = 2;
    for (uint64_t d = 1; d <= 70; d++) {
        const uint64_t n = 3;
        const float *const x = random_floats(n * d, 3, &seed), *const gain = random_floats(d, 1, &seed);
        FOR_EACH_LEVEL(k)
        {
            float *const y = trap_alloc(n * d * 4), *const in_place = copy_floats(x, n * d);
            k.rmsnorm(x, gain, (float)eps, n, d, y);
            k.rmsnorm(in_place, gain, (float)eps, n, d, in_place);
            CHECK(same_bits(y, in_place, n * d));
            double worst = 0;
            for (uint64_t t = 0; t < n; t++) {
                double sum = 0;
                for (uint64_t i = 0; i < d; i++)
                    sum += (double)x[t * d + i] * (double)x[t * d + i];
                const double r = 1 / sqrt(sum / (double)d + (double)(float)eps);
                for (uint64_t i = 0; i < d; i++)
                    worst = fmax(worst, ulps(y[t * d + i], (double)x[t * d + i] * r * (double)gain[i]));
            }
            if (!(worst <= 2.0))
                test_fail(__FILE__, __LINE__, "rmsnorm at %s, d %u: %g ulp", el_cpu_name(k.level), (unsigned)d, worst);
        }
        trap_free_all();
    }
}

static void check_layernorm(const struct el_kernels *k, const float *x, const float *gain, const float *bias, uint64_t n,
                            uint64_t d)
{
    float *const y = trap_alloc(n * d * 4), *const in_place = copy_floats(x, n * d);
    k->layernorm(x, gain, bias, 1e-5f, n, d, y);
    k->layernorm(in_place, gain, bias, 1e-5f, n, d, in_place);
    CHECK(same_bits(y, in_place, n * d));
    for (uint64_t t = 0; t < n; t++) {
        const float *const xt = x + t * d;
        double mean = 0, var = 0;
        for (uint64_t i = 0; i < d; i++)
            mean += (double)xt[i] / (double)d;
        for (uint64_t i = 0; i < d; i++)
            var += ((double)xt[i] - mean) * ((double)xt[i] - mean) / (double)d;
        const double r = 1 / sqrt(var + 1e-5);
        for (uint64_t i = 0; i < d; i++) {
            const double b = bias ? (double)bias[i] : 0, v = ((double)xt[i] - mean) * r * (double)gain[i];
            const double bound =
                4 * 0x1p-24 * (fabs(v) + fabs(b) + (fabs((double)xt[i]) + fabs(mean)) * r * fabs((double)gain[i]));
            CHECK_NEAR(y[t * d + i], v + b, bound + 1e-30);
        }
    }
}

TEST(ops, layernorm)
{
    uint64_t seed = 3;
    for (uint64_t d = 1; d <= 50; d++) {
        const float *const x = random_floats(3 * d, 3, &seed), *const gain = random_floats(d, 1, &seed);
        const float *const bias = random_floats(d, 1, &seed);
        FOR_EACH_LEVEL(k)
        {
            check_layernorm(&k, x, gain, bias, 3, d);
            check_layernorm(&k, x, gain, NULL, 3, d);
        }
        trap_free_all();
    }
}

/* A row of a batch has the bits that it has alone. */
TEST(ops, norms_do_not_depend_on_the_batch)
{
    enum { N = 5, D = 43 };
    uint64_t seed = 4;
    float x[N * D], gain[D], bias[D], whole[N * D], one[D];
    for (int i = 0; i < N * D; i++)
        x[i] = trap_randf(&seed, 4);
    for (int i = 0; i < D; i++) {
        gain[i] = trap_randf(&seed, 1);
        bias[i] = trap_randf(&seed, 1);
    }
    FOR_EACH_LEVEL(k)
    {
        k.rmsnorm(x, gain, 1e-6f, N, D, whole);
        for (int t = 0; t < N; t++) {
            k.rmsnorm(x + t * D, gain, 1e-6f, 1, D, one);
            CHECK(same_bits(one, whole + t * D, D));
        }
        k.layernorm(x, gain, bias, 1e-6f, N, D, whole);
        for (int t = 0; t < N; t++) {
            k.layernorm(x + t * D, gain, bias, 1e-6f, 1, D, one);
            CHECK(same_bits(one, whole + t * D, D));
        }
    }
}

static double gelu(double x)
{
    const double u = sqrt(2 / acos(-1.0)) * (x + 0.044715 * x * x * x);
    return x / (1 + exp(-2 * u));
}

TEST(ops, silu_and_gelu)
{
    uint64_t seed = 5;
    for (uint64_t n = 0; n <= 70; n++) {
        const float *const g = random_floats(n, 4, &seed), *const up = random_floats(n, 2, &seed);
        FOR_EACH_LEVEL(k)
        {
            float *const y = trap_alloc(n * 4), *const one = trap_alloc(4);
            k.silu_mul(g, up, n, y);
            for (uint64_t i = 0; i < n; i++) {
                const double want = (double)g[i] / (1 + exp(-(double)g[i])) * (double)up[i];
                CHECK(ulps(y[i], want) <= 6);
                k.silu_mul(g + i, up + i, 1, one);
                CHECK(same_bits(one, y + i, 1));
            }
            k.gelu_tanh(g, n, y);
            for (uint64_t i = 0; i < n; i++) {
                /* The rounding of u is magnified by exp; relative to x that is small where the result is not. */
                CHECK_NEAR(y[i], gelu((double)g[i]), 1e-6 * fabs((double)g[i]));
                k.gelu_tanh(g + i, 1, one);
                CHECK(same_bits(one, y + i, 1));
            }
            float *const in_place = copy_floats(g, n);
            k.gelu_tanh(in_place, n, in_place);
            CHECK(same_bits(in_place, y, n));
            memcpy(in_place, g, n * 4);
            k.silu_mul(g, up, n, y);
            k.silu_mul(in_place, up, n, in_place);
            CHECK(same_bits(in_place, y, n));
        }
        trap_free_all();
    }
}

TEST(ops, silu_and_gelu_of_special_values)
{
    FOR_EACH_LEVEL(k)
    {
        const float x[9] = {NAN, 0.0f, -0.0f, INFINITY, 200.0f, -200.0f, -3e38f, 3e38f, 1e-40f};
        const float ones[9] = {1, 1, 1, 1, 1, 1, 1, 1, 1};
        float y[9];
        k.silu_mul(x, ones, 9, y);
        CHECK(isnan(y[0]));
        CHECK(y[1] == 0 && y[2] == 0);
        CHECK(y[3] == INFINITY);
        CHECK(y[4] == 200.0f);
        CHECK(y[5] <= 0 && y[5] > -1e-30f);
        CHECK(y[6] <= 0 && y[6] > -1e-5f);
        CHECK(y[7] == 3e38f);
        CHECK_NEAR(y[8], 5e-41f, 2e-45);
        k.gelu_tanh(x, 9, y);
        CHECK(isnan(y[0]));
        CHECK(y[1] == 0 && y[2] == 0);
        CHECK(y[4] == 200.0f);
        CHECK(y[5] == 0);
        CHECK_NEAR(y[8], 5e-41f, 2e-45);
    }
}

TEST(ops, f16_to_f32_of_all_numbers)
{
    static uint16_t all[65536];
    static float y[65536];
    for (uint32_t i = 0; i < 65536; i++)
        all[i] = (uint16_t)i;
    FOR_EACH_LEVEL(k)
    {
        k.f16_to_f32(all, 65536, y);
        unsigned bad = 0;
        for (uint32_t i = 0; i < 65536; i++)
            bad += el_f32_bits(y[i]) != el_f32_bits(el_f16_to_f32((uint16_t)i));
        CHECK_EQ_INT(bad, 0);
    }
}

TEST(ops, f32_to_f16)
{
    enum { N = 4096 };
    static float x[N];
    static uint16_t y[N];
    FOR_EACH_LEVEL(k)
    {
        unsigned bad = 0;
        /* All bit patterns on a grid of a prime, then the neighbourhood of every tie. */
        for (uint64_t u = 0; u < (uint64_t)1 << 32;) {
            for (int i = 0; i < N; i++, u += 2053)
                x[i] = el_f32_from_bits((uint32_t)u);
            k.f32_to_f16(x, N, y);
            for (int i = 0; i < N; i++)
                bad += y[i] != el_f32_to_f16(x[i]);
        }
        for (uint32_t h = 0; h < 65536; h += N) {
            for (uint32_t near = 0; near < 3; near++) {
                for (uint32_t i = 0; i < N; i++)
                    x[i] = el_f32_from_bits(el_f32_bits(el_f16_to_f32((uint16_t)(h + i))) + 0x1000 - 1 + near);
                k.f32_to_f16(x, N, y);
                for (uint32_t i = 0; i < N; i++)
                    bad += y[i] != el_f32_to_f16(x[i]);
            }
        }
        CHECK_EQ_INT(bad, 0);
    }
}

TEST(ops, f16_conversions_of_every_length)
{
    uint64_t seed = 8;
    for (uint64_t n = 0; n <= 40; n++) {
        const float *const x = random_floats(n, 12, &seed);
        uint16_t *const h = trap_alloc(n * 2);
        float *const back = trap_alloc(n * 4);
        FOR_EACH_LEVEL(k)
        {
            memset(h, 0xff, n * 2);
            k.f32_to_f16(x, n, h);
            k.f16_to_f32(h, n, back);
            for (uint64_t i = 0; i < n; i++) {
                CHECK_EQ_INT(h[i], el_f32_to_f16(x[i]));
                CHECK(back[i] == el_f16_to_f32(h[i]));
            }
        }
        trap_free_all();
    }
}

#if EL_X86 || EL_ARM64
static void check_exp(void (*fn)(const float *x, float *y))
{
    float x[16], y[16];
    double worst = 0;
    for (double v = -104; v < 89;) {
        for (int i = 0; i < 16; i++, v += 1.0 / 4099)
            x[i] = (float)v;
        fn(x, y);
        for (int i = 0; i < 16; i++)
            worst = fmax(worst, ulps(y[i], exp((double)x[i])));
    }
    if (!(worst <= 2.0))
        test_fail(__FILE__, __LINE__, "exp: %g ulp", worst);
    const float special[16] = {0.0f,  -0.0f, INFINITY, -INFINITY, NAN,    88.722f, 88.723f,
                               89.5f, 3e38f, -103.9f,  -104.5f,   -3e38f, 1e-45f};
    fn(special, y);
    CHECK(y[0] == 1 && y[1] == 1 && y[12] == 1);
    CHECK(y[2] == INFINITY && y[7] == INFINITY && y[8] == INFINITY);
    CHECK(y[3] == 0 && y[10] == 0 && y[11] == 0);
    CHECK(isnan(y[4]));
    CHECK(y[9] > 0);
}

TEST(ops, exp_of_the_vector_units)
{
#if EL_ARM64
    if (el_cpu_allows(EL_CPU_NEON))
        check_exp(exp_lanes_neon);
#else
    if (el_cpu_allows(EL_CPU_AVX2))
        check_exp(exp_lanes_avx2);
    if (el_cpu_allows(EL_CPU_AVX512))
        check_exp(exp_lanes_avx512);
#endif
    CHECK(el_cpu_allows(EL_CPU_REF));
}
#endif
