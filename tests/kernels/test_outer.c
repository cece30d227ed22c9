/* Sums of outer products at every CPU level: the reference's bits, and the reference against plain sums in float64. */
#include "kernels/trap.h"

#include "base/compiler.h"

static float *random_panel(uint64_t n, bool integers, uint64_t *seed)
{
    float *const x = trap_alloc(n * EL_OUTER * sizeof *x);
    for (uint64_t i = 0; i < n * EL_OUTER; i++)
        x[i] = integers ? (float)(int)(trap_randf(seed, 0) * 8) : trap_randf(seed, 6);
    return x;
}

static double *start(void)
{
    double *const c = trap_alloc(EL_OUTER * EL_OUTER * sizeof *c);
    for (int i = 0; i < EL_OUTER * EL_OUTER; i++)
        c[i] = (double)i - 1000.5;
    return c;
}

TEST(outer, integers_are_exact_at_every_level)
{
    static const uint64_t lengths[] = {0, 1, 2, 3, 127, 128, 129, 300};
    uint64_t seed = 1;
    for (size_t l = 0; l < sizeof lengths / sizeof *lengths; l++) {
        const uint64_t n = lengths[l];
        const float *const a = random_panel(n, true, &seed), *const b = random_panel(n, true, &seed);
        FOR_EACH_LEVEL(k)
        {
            double *const c = start();
            k.outer(a, b, n, c);
            for (uint64_t i = 0; i < EL_OUTER; i++)
                for (uint64_t j = 0; j < EL_OUTER; j++) {
                    double want = (double)(i * EL_OUTER + j) - 1000.5;
                    for (uint64_t t = 0; t < n; t++)
                        want += (double)a[t * EL_OUTER + i] * (double)b[t * EL_OUTER + j];
                    if (c[i * EL_OUTER + j] != want)
                        test_fail(__FILE__, __LINE__, "level %s, n %d: %d %d", el_cpu_name(k.level), (int)n, (int)i, (int)j);
                }
        }
        trap_free_all();
    }
}

TEST(outer, all_levels_have_the_bits_of_the_reference)
{
    uint64_t seed = 2;
    struct el_kernels ref;
    el_kernels_init(&ref, EL_CPU_REF);
    for (uint64_t n = 1; n <= 400; n += 133) {
        const float *const a = random_panel(n, false, &seed), *const b = random_panel(n, false, &seed);
        double *const want = start();
        ref.outer(a, b, n, want);
        FOR_EACH_LEVEL(k)
        {
            double *const c = start();
            k.outer(a, b, n, c);
            CHECK(memcmp(c, want, EL_OUTER * EL_OUTER * sizeof *c) == 0);
        }
        trap_free_all();
    }
}

TEST(outer, runs_are_summed_apart)
{
    /* One value that swallows all others of its run: those of the next run are not lost. */
    uint64_t seed = 3;
    const uint64_t n = EL_OUTER_RUN + 4;
    float *const a = random_panel(n, true, &seed);
    for (uint64_t i = 0; i < n * EL_OUTER; i++)
        a[i] = 1;
    a[0] = 0x1p20f;
    FOR_EACH_LEVEL(k)
    {
        double c[EL_OUTER * EL_OUTER] = {0};
        k.outer(a, a, n, c);
        CHECK(c[0] == 0x1p40 + 4);
        CHECK(c[EL_OUTER + 1] == (double)n);
    }
    trap_free_all();
}
