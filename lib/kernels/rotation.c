#include "kernels/rotation.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"

/* splitmix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, OOPSLA 2014), one step per sign. */
static uint64_t next(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

/* cos x + sin x for x = 2 pi j / m: Taylor's series within a quarter, terms from the smallest up. */
static double cas(uint64_t j, uint64_t m)
{
    enum { TERMS = 12 };
    const double half_pi = 1.57079632679489661923;
    const uint64_t quarter = 4 * j / m;
    const double x = half_pi * ((double)(4 * j - quarter * m) / (double)m), x2 = x * x;
    double c = 0.0, s = 0.0;
    for (int i = TERMS; i > 0; i--) {
        c = (c + 1.0) * (-x2 / (double)((2 * i - 1) * (2 * i)));
        s = (s + 1.0) * (-x2 / (double)((2 * i) * (2 * i + 1)));
    }
    c += 1.0;
    s = (s + 1.0) * x;
    switch (quarter) {
    case 0: return c + s;
    case 1: return c - s;
    case 2: return -c - s;
    default: return s - c;
    }
}

enum el_status el_rotation_open(struct el_rotation *q, uint64_t n, bool keeps_ones, const float *signs, uint64_t seed,
                                struct el_err *err)
{
    *q = (struct el_rotation){.n = n, .k = n & (~n + 1), .keeps_ones = keeps_ones};
    q->m = n / q->k;
    q->sign = el_alloc_array((size_t)n, sizeof *q->sign);
    q->cas = el_alloc_array((size_t)q->m, sizeof *q->cas);
    q->sign_f = el_alloc_array((size_t)n, sizeof *q->sign_f);
    q->cas_f = el_alloc_array((size_t)q->m, sizeof *q->cas_f);
    if (!q->sign || !q->cas || !q->sign_f || !q->cas_f) {
        el_rotation_release(q);
        return el_fail(err, EL_E_MEMORY, "out of memory for a rotation of %llu channels", (unsigned long long)n);
    }
    const double size = keeps_ones ? 1.0 / (double)n : 1.0 / sqrt((double)n);
    for (uint64_t i = 0; i < n; i++) {
        const bool negative = signs ? signs[i] < 0.0f : next(&seed) >> 63;
        q->sign[i] = negative && !(keeps_ones && i == 0) ? -size : size;
        q->sign_f[i] = (float)q->sign[i];
    }
    for (uint64_t j = 0; j < q->m; j++) {
        q->cas[j] = cas(j, q->m);
        q->cas_f[j] = (float)q->cas[j];
    }
    return EL_OK;
}

void el_rotation_release(struct el_rotation *q)
{
    el_free(q->sign);
    el_free(q->cas);
    el_free(q->sign_f);
    el_free(q->cas_f);
    *q = (struct el_rotation){.n = 0};
}

void el_rotation_signs(const struct el_rotation *q, float *out)
{
    for (uint64_t i = 0; i < q->n; i++)
        out[i] = q->sign[i] < 0.0 ? -1.0f : 1.0f;
}

/* x := T x */
static void transform(const struct el_rotation *q, double *x, uint64_t width, double *scratch)
{
    for (uint64_t h = 1; h < q->k; h *= 2)
        for (uint64_t i = 0; i < q->n; i += 2 * h) {
            double *const a = x + i * width, *const b = x + (i + h) * width;
            for (uint64_t j = 0; j < h * width; j++) {
                const double sum = a[j] + b[j];
                b[j] = a[j] - b[j];
                a[j] = sum;
            }
        }
    for (uint64_t b = 0; q->m > 1 && b < q->k; b++) {
        for (uint64_t a = 0; a < q->m; a++) {
            double *const to = scratch + a * width;
            memset(to, 0, (size_t)width * sizeof *to);
            for (uint64_t i = 0; i < q->m; i++) {
                const double c = q->cas[a * i % q->m], *const from = x + (i * q->k + b) * width;
                for (uint64_t j = 0; j < width; j++)
                    to[j] += c * from[j];
            }
        }
        for (uint64_t a = 0; a < q->m; a++)
            memcpy(x + (a * q->k + b) * width, scratch + a * width, (size_t)width * sizeof *x);
    }
}

void el_rotation_apply(const struct el_rotation *q, double *x, uint64_t width, double *scratch)
{
    if (q->keeps_ones)
        transform(q, x, width, scratch);
    for (uint64_t i = 0; i < q->n; i++)
        for (uint64_t j = 0; j < width; j++)
            x[i * width + j] *= q->sign[i];
    transform(q, x, width, scratch);
}

void el_rotate_ref(const struct el_rotation *q, float *x, float *scratch)
{
    for (uint64_t i = 0; i < q->n; i++)
        x[i] *= q->sign_f[i];
    for (uint64_t h = 1; h < q->k; h *= 2)
        for (uint64_t i = 0; i < q->n; i += 2 * h)
            for (uint64_t j = i; j < i + h; j++) {
                const float a = x[j], b = x[j + h];
                x[j] = a + b;
                x[j + h] = a - b;
            }
    if (q->m == 1)
        return;
    memcpy(scratch, x, (size_t)q->n * sizeof *x);
    for (uint64_t a = 0; a < q->m; a++)
        for (uint64_t b = 0; b < q->k; b++) {
            float sum = 0.0f;
            for (uint64_t i = 0; i < q->m; i++)
                sum += q->cas_f[a * i % q->m] * scratch[i * q->k + b];
            x[a * q->k + b] = sum;
        }
}

/* Eight numbers at a time, as the compiler has vectors for them. */
enum { WIDE = 8 };
typedef float wide __attribute__((vector_size(WIDE * sizeof(float)), aligned(4), may_alias));

static void butterflies(float *x, uint64_t n, uint64_t h)
{
    for (uint64_t i = 0; i < n; i += 2 * h)
        for (uint64_t j = i; j < i + h; j += WIDE) {
            wide *const p = (wide *)(void *)(x + j), *const q = (wide *)(void *)(x + j + h);
            const wide a = *p, b = *q;
            *p = a + b;
            *q = a - b;
        }
}

void el_rotate(const struct el_rotation *q, float *x, float *scratch)
{
    if (q->k < WIDE) {
        el_rotate_ref(q, x, scratch);
        return;
    }
    for (uint64_t i = 0; i < q->n; i++)
        x[i] *= q->sign_f[i];
    for (uint64_t i = 0; i < q->n; i += WIDE)
        for (uint64_t h = 1; h < WIDE; h *= 2)
            for (uint64_t j = i; j < i + WIDE; j++) {
                const float a = x[j], b = x[j ^ h];
                if (j & h)
                    continue;
                x[j] = a + b;
                x[j + h] = a - b;
            }
    for (uint64_t h = WIDE; h < q->k; h *= 2)
        butterflies(x, q->n, h);
    if (q->m == 1)
        return;
    memcpy(scratch, x, (size_t)q->n * sizeof *x);
    for (uint64_t a = 0; a < q->m; a++)
        for (uint64_t b = 0; b < q->k; b += WIDE) {
            wide sum = {0};
            for (uint64_t i = 0; i < q->m; i++)
                sum += q->cas_f[a * i % q->m] * *(const wide *)(const void *)(scratch + i * q->k + b);
            *(wide *)(void *)(x + a * q->k + b) = sum;
        }
}
