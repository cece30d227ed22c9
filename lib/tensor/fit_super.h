/*
 * Super-blocks: 256 values with two-level scales, as the k-quants have them. The searches choose both levels together.
 * Sums and weights as in fit.h; w is [256] or NULL.
 */
#ifndef EL_TENSOR_FIT_SUPER_H
#define EL_TENSOR_FIT_SUPER_H

#include <stdint.h>

enum { EL_SUPER_N = 256, EL_SUPER_AFFINE_SUBS = 8, EL_SUPER_SCALE_SUBS = 16 };

/* Sub-blocks of 32: x ~ d scale[j] q - dmin min[j], q in [0, hi], scale and min in [0, 63]. */
struct el_super_affine {
    uint16_t d, dmin; /* f16 bits */
    uint8_t scale[EL_SUPER_AFFINE_SUBS], min[EL_SUPER_AFFINE_SUBS];
    uint8_t q[EL_SUPER_N];
};
/* Scales and mins from the extremes of each sub-block. */
void el_super_affine_nearest(const float *x, float hi, struct el_super_affine *out);
void el_super_affine_search(const float *x, const float *w, float hi, struct el_super_affine *out);

/* Sub-blocks of 16: x ~ d scale[j] q, q in [lo, hi], scale in [-128, 127]. */
struct el_super_scale {
    uint16_t d; /* f16 bits */
    int8_t scale[EL_SUPER_SCALE_SUBS];
    int8_t q[EL_SUPER_N];
};
void el_super_scale_nearest(const float *x, float lo, float hi, struct el_super_scale *out);
void el_super_scale_search(const float *x, const float *w, float lo, float hi, struct el_super_scale *out);

#endif
