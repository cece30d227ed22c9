/* See measure.h. Written over vectors that every compiler turns into the same IEEE operations; one body for all CPU levels. */
#include "quant/measure.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "base/compiler.h"
#include "base/cpu.h"

enum { LANES = 16 };
/* Half of the lanes each: as wide as registers get. */
typedef float half_f32 __attribute__((vector_size(2 * LANES)));
typedef double half_f64 __attribute__((vector_size(4 * LANES)));

typedef uint32_t bits8 __attribute__((vector_size(32)));
typedef int32_t found8 __attribute__((vector_size(32)));

EL_INLINE bool all_finite_body(const float *x, uint64_t n)
{
    enum { AT_ONCE = 256, WIDTH = 8 };
    uint64_t i = 0;
    for (; i + AT_ONCE <= n; i += AT_ONCE) {
        found8 bad = {0};
        for (int k = 0; k < AT_ONCE; k += WIDTH) {
            bits8 v;
            memcpy(&v, x + i + k, sizeof v);
            bad |= (v & 0x7f800000u) == 0x7f800000u;
        }
        int32_t any = 0;
        for (int k = 0; k < WIDTH; k++)
            any |= bad[k];
        if (any)
            return false;
    }
    for (; i < n; i++) {
        if (!isfinite(x[i]))
            return false;
    }
    return true;
}

EL_INLINE void load_half(const float *p, half_f64 *out)
{
    half_f32 v;
    memcpy(&v, p, sizeof v);
    *out = __builtin_convertvector(v, half_f64);
}

EL_INLINE void add_squares_body(const float *x, const float *y, uint64_t n, double *w2, double *err2)
{
    enum { HALF = LANES / 2 };
    half_f64 ww0 = {0}, ww1 = {0}, ee0 = {0}, ee1 = {0};
    uint64_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        half_f64 w0, w1, y0, y1;
        load_half(x + i, &w0);
        load_half(x + i + HALF, &w1);
        ww0 += w0 * w0;
        ww1 += w1 * w1;
        if (y) {
            load_half(y + i, &y0);
            load_half(y + i + HALF, &y1);
            ee0 += (w0 - y0) * (w0 - y0);
            ee1 += (w1 - y1) * (w1 - y1);
        }
    }
    double sum_w = 0.0, sum_e = 0.0;
    for (int k = 0; k < HALF; k++) {
        sum_w += ww0[k] + ww1[k];
        sum_e += ee0[k] + ee1[k];
    }
    for (; i < n; i++) {
        const double w = x[i], e = y ? w - (double)y[i] : 0.0;
        sum_w += w * w;
        sum_e += e * e;
    }
    *w2 += sum_w;
    *err2 += sum_e;
}

static bool all_finite_ref(const float *x, uint64_t n)
{
    return all_finite_body(x, n);
}

static void add_squares_ref(const float *x, const float *y, uint64_t n, double *w2, double *err2)
{
    add_squares_body(x, y, n, w2, err2);
}

#if EL_X86
EL_TARGET("avx2") static bool all_finite_avx2(const float *x, uint64_t n)
{
    return all_finite_body(x, n);
}

EL_TARGET("avx2") static void add_squares_avx2(const float *x, const float *y, uint64_t n, double *w2, double *err2)
{
    add_squares_body(x, y, n, w2, err2);
}

EL_TARGET("avx512f,avx512dq") static void add_squares_avx512(const float *x, const float *y, uint64_t n, double *w2, double *err2)
{
    add_squares_body(x, y, n, w2, err2);
}
#endif

uint64_t el_clean(float *x, uint64_t n, uint64_t *first)
{
#if EL_X86
    if (el_cpu_features(el_cpu()) & EL_CPU_HAS_AVX2 ? all_finite_avx2(x, n) : all_finite_ref(x, n))
        return 0;
#else
    if (all_finite_ref(x, n))
        return 0;
#endif
    uint64_t n_bad = 0;
    for (uint64_t i = 0; i < n; i++) {
        if (isfinite(x[i]))
            continue;
        if (n_bad++ == 0)
            *first = i;
        x[i] = 0.0f;
    }
    return n_bad;
}

void el_add_squares(const float *x, const float *y, uint64_t n, double *w2, double *err2)
{
#if EL_X86
    const unsigned has = el_cpu_features(el_cpu());
    if (has & EL_CPU_HAS_AVX512)
        add_squares_avx512(x, y, n, w2, err2);
    else if (has & EL_CPU_HAS_AVX2)
        add_squares_avx2(x, y, n, w2, err2);
    else
        add_squares_ref(x, y, n, w2, err2);
#else
    add_squares_ref(x, y, n, w2, err2);
#endif
}
