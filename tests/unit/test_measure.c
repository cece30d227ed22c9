/* What packing looks at in every number: against plain loops, at every length and CPU level. */
#include "base/cpu.h"
#include "quant/measure.h"
#include "test.h"

enum { MOST = 600 };

static void fill(float *x, int n, uint64_t *seed)
{
    for (int i = 0; i < n; i++)
        x[i] = test_randf(seed) * (i % 11 == 3 ? 1e-30f : i % 7 == 5 ? 3e30f : 0.02f);
}

TEST(measure, squares_are_the_plain_sums_and_the_same_everywhere)
{
    const enum el_cpu_level before = el_cpu();
    static float x[MOST], y[MOST];
    uint64_t seed = 1;
    for (int n = 0; n <= MOST; n += n < 70 ? 1 : 53) {
        fill(x, n, &seed);
        fill(y, n, &seed);
        double ww = 0.0, ee = 0.0, first[2] = {0.0, 0.0};
        for (int i = 0; i < n; i++) {
            ww += (double)x[i] * x[i];
            ee += ((double)x[i] - y[i]) * ((double)x[i] - y[i]);
        }
        for (int level = 0; level < EL_CPU_LEVELS; level++) {
            if (!el_cpu_force((enum el_cpu_level)level))
                continue;
            double sums[2] = {0.0, 0.0}, alone = 1.0, none = 2.0;
            el_add_squares(x, y, (uint64_t)n, &sums[0], &sums[1]);
            el_add_squares(x, NULL, (uint64_t)n, &alone, &none);
            CHECK_NEAR(sums[0], ww, 1e-13 * ww);
            CHECK_NEAR(sums[1], ee, 1e-13 * ee);
            CHECK_NEAR(alone, 1.0 + ww, 1e-13 * (1.0 + ww));
            CHECK_NEAR(none, 2.0, 0.0);
            if (level == 0)
                memcpy(first, sums, sizeof first);
            CHECK(memcmp(first, sums, sizeof first) == 0);
        }
        el_cpu_force(before);
    }
}

TEST(measure, what_is_not_finite_is_found_anywhere)
{
    const enum el_cpu_level before = el_cpu();
    static float x[MOST];
    uint64_t seed = 2;
    for (int level = 0; level < EL_CPU_LEVELS; level++) {
        if (!el_cpu_force((enum el_cpu_level)level))
            continue;
        for (int at = 0; at < MOST; at += at % 37 == 0 ? 1 : 6) {
            uint64_t first = 0;
            fill(x, MOST, &seed);
            CHECK_EQ_INT(el_clean(x, MOST, &first), 0);
            x[at] = at % 3 == 0 ? NAN : at % 3 == 1 ? INFINITY : -INFINITY;
            x[MOST - 1] = NAN;
            CHECK_EQ_INT(el_clean(x, MOST, &first), at == MOST - 1 ? 1 : 2);
            CHECK_EQ_INT(first, at);
            CHECK(x[at] == 0.0f && x[MOST - 1] == 0.0f);
        }
    }
    el_cpu_force(before);
}
