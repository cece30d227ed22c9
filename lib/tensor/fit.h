/*
 * Choosing scales: what several encodings share, and the search for one block of any length (fit_tile.h has those for many short
 * blocks at once).
 *
 * All of them minimise sum_i w_i (x_i - x'_i)^2, with w_i = 1 when w is NULL; x [n], w [n] f32, w >= 0. Sums run over four lanes
 * (element i goes to lane i mod 4) that are added in a fixed order, so results are the same on every compiler and CPU.
 *
 * Method: a grid of trial scales around the range of the values; for every trial the nearest codes, and for these codes the
 * scale that least squares gives in closed form (from sums over residuals, which do not cancel); then rounds of choosing codes
 * and scale in turn (Lloyd, IEEE Trans. Inf. Theory 28, 1982) until the error stops falling.
 *
 * Pure functions; any thread. Any finite x is allowed; values beyond about 1e18 lose the search, not the bounds.
 */
#ifndef EL_TENSOR_FIT_H
#define EL_TENSOR_FIT_H

#include <stdbool.h>
#include <stdint.h>

/* 1 / s, or 0 where that would not be finite: values that no scale can tell from 0 get code 0. */
float el_fit_inverse(float s);
/* f32 to f16, at most the largest finite number: a scale is never infinite. */
uint16_t el_fit_f16(float s);

/* Largest |x_i|, the element that has it (signed, the first of equals), smallest and largest value (0 included). */
struct el_fit_extent {
    float abs_max, signed_max, min, max;
};
struct el_fit_extent el_fit_extent(const float *x, uint64_t n);

/* ---- x ~ s q, q an integer in [lo, hi], lo <= 0 <= hi, or one of a few levels ---- */

/* Levels that q is limited to: n ascending integers, value[0] = lo, value[n - 1] = hi. */
struct el_fit_levels {
    uint32_t n;
    float value[16];
};
struct el_fit_range {
    float lo, hi;
    const struct el_fit_levels *levels; /* NULL: all integers of the range. With levels, n is a multiple of 4 below */
};

/* For scale s with the nearest codes and residuals r = x - s q: rr = sum w r^2 (the error), rq = sum w r q, qq = sum w q^2. */
struct el_fit_sums {
    float rr, rq, qq;
};
struct el_fit_sums el_fit_scale_eval(const float *x, const float *w, uint64_t n, float s, struct el_fit_range range);
/* A good scale (any sign; 0 when x is 0), not rounded to any storage type. */
float el_fit_scale(const float *x, const float *w, uint64_t n, struct el_fit_range range);
/*
 * A good scale among the half-precision numbers: its bits. Never worse than the one that maps the extreme to the end of the
 * range.
 */
uint16_t el_fit_scale_f16(const float *x, const float *w, uint64_t n, struct el_fit_range range);
/* q[i] = nearest code. */
void el_fit_scale_codes(const float *x, uint64_t n, float s, struct el_fit_range range, int16_t *q);

/* ---- x ~ s q - m, q an integer in [0, hi]; n a multiple of 4 ---- */

/* q[i] = nearest code; s >= 0. */
void el_fit_affine_codes(const float *x, uint32_t n, float s, float m, float hi, uint8_t *q);

/* ---- blocks of 32, x ~ d q + m with half-precision d >= 0 and m of any sign, q an integer in [0, hi] ---- */
enum { EL_FIT_OFFSET_N = 32 };
struct el_fit_offset {
    uint16_t d, m; /* f16 bits */
    uint8_t q[EL_FIT_OFFSET_N];
};
/* ggml's reference, to the byte: from the smallest and the largest value; codes by the scale as it was before it was rounded. */
void el_fit_offset_nearest(const float *x, float hi, struct el_fit_offset *out);

#endif
