/*
 * Rotations: Q x of float64 references in numpy (scripts/fixtures/make_rotation.py), and the float32 form to the bit of its own.
 */
#include "kernels/rotation.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"
#include "test.h"

enum { MOST = 172 };

static bool read_numbers(FILE *f, double *x, uint64_t n)
{
    bool ok = true;
    for (uint64_t i = 0; i < n; i++)
        ok = ok && fscanf(f, "%lf", &x[i]) == 1;
    return ok;
}

/* Three columns at once: the vector, its double, nothing. */
static void check_panel(const struct el_rotation *q, const double *x, const double *want)
{
    double panel[3 * MOST], scratch[3 * MOST];
    for (uint64_t i = 0; i < q->n; i++) {
        panel[3 * i] = x[i];
        panel[3 * i + 1] = 2 * x[i];
        panel[3 * i + 2] = 0;
    }
    el_rotation_apply(q, panel, 3, scratch);
    for (uint64_t i = 0; i < q->n; i++)
        CHECK(fabs(panel[3 * i] - want[i]) < 1e-12 && fabs(panel[3 * i + 1] - 2 * want[i]) < 2e-12 && panel[3 * i + 2] == 0);
}

static void check_float(const struct el_rotation *q, const double *x, const double *want)
{
    float a[MOST], b[MOST], scratch[MOST];
    for (uint64_t i = 0; i < q->n; i++)
        a[i] = b[i] = (float)x[i];
    el_rotate(q, a, scratch);
    el_rotate_ref(q, b, scratch);
    CHECK(memcmp(a, b, (size_t)q->n * sizeof *a) == 0);
    for (uint64_t i = 0; i < q->n; i++)
        CHECK(fabs((double)a[i] - want[i]) < 1e-5);
}

TEST(rotation, equals_the_references)
{
    FILE *const f = fopen(test_data("ptq/rotation.txt"), "r");
    unsigned n_cases = 0;
    unsigned long long n, keeps_ones, seed;
    REQUIRE(f);
    while (fscanf(f, "%llu %llu %llu", &n, &keeps_ones, &seed) == 3) {
        double x[MOST], want[MOST];
        float signs[MOST];
        struct el_rotation q, again;
        struct el_err err;
        REQUIRE(n <= MOST && read_numbers(f, x, n) && read_numbers(f, want, n));
        REQUIRE_OK(el_rotation_open(&q, n, keeps_ones, NULL, seed, &err), err);
        check_panel(&q, x, want);
        if (!keeps_ones)
            check_float(&q, x, want);
        el_rotation_signs(&q, signs);
        REQUIRE_OK(el_rotation_open(&again, n, keeps_ones, signs, 0, &err), err);
        CHECK(memcmp(q.sign, again.sign, n * sizeof *q.sign) == 0);
        el_rotation_release(&q);
        el_rotation_release(&again);
        n_cases++;
    }
    CHECK_EQ_INT(n_cases, 18);
    (void)fclose(f);
}

/* What a rotation in float32 gives is far larger than a test's vectors: the sizes of MLPs. */
TEST(rotation, float32_of_any_size_is_the_reference_to_the_bit)
{
    static const uint64_t sizes[] = {16, 64, 768, 1376, 5632, 14336};
    uint64_t state = 5;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct el_rotation q;
        struct el_err err;
        const size_t n = (size_t)sizes[i];
        float *const a = malloc(3 * n * sizeof *a), *const b = a + n, *const scratch = b + n;
        REQUIRE_OK(el_rotation_open(&q, n, false, NULL, i, &err), err);
        double before = 0, after = 0;
        for (size_t k = 0; k < n; k++) {
            a[k] = b[k] = test_randf(&state);
            before += (double)a[k] * (double)a[k];
        }
        el_rotate(&q, a, scratch);
        el_rotate_ref(&q, b, scratch);
        CHECK(memcmp(a, b, n * sizeof *a) == 0);
        for (size_t k = 0; k < n; k++)
            after += (double)a[k] * (double)a[k];
        CHECK(fabs(after / before - 1) < 1e-5);
        el_rotation_release(&q);
        free(a);
    }
}
