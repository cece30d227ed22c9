/*
 * Super-blocks: 256 values with two-level scales, as the k-quants have them. The searches choose both levels together.
 * The searches take n consecutive super-blocks; w[b] is the importance of the 256 values of super-block b, w NULL: none.
 */
#ifndef EL_TENSOR_FIT_SUPER_H
#define EL_TENSOR_FIT_SUPER_H

#include <stdint.h>

#include "tensor/fit.h"

enum { EL_SUPER_N = 256, EL_SUPER_MAX_SUBS = 16 };

/* x ~ d scale[j] q - dmin min[j] in sub-block j; q in [0, hi], scale and min in [0, top], all integers. n_subs * sub_n = 256. */
struct el_super_affine_kind {
    uint32_t n_subs, sub_n;
    float top, hi;
};
struct el_super_affine {
    uint16_t d, dmin; /* f16 bits */
    uint8_t scale[EL_SUPER_MAX_SUBS], min[EL_SUPER_MAX_SUBS];
    uint8_t q[EL_SUPER_N];
};
/* Scales and mins from the extremes of each sub-block. */
void el_super_affine_nearest(const struct el_super_affine_kind *kind, const float *x, struct el_super_affine *out);
void el_super_affine_search(const struct el_super_affine_kind *kind, const float *x, const float *const *w, uint32_t n,
                            struct el_super_affine *out);

/* x ~ d scale[j] q in sub-block j; q in `codes`, scale an integer in [scale_lo, scale_hi], scale_lo < -scale_hi. */
struct el_super_scale_kind {
    uint32_t n_subs, sub_n;
    float scale_lo, scale_hi;
    struct el_fit_range codes;
};
struct el_super_scale {
    uint16_t d; /* f16 bits */
    int8_t scale[EL_SUPER_MAX_SUBS];
    int8_t q[EL_SUPER_N];
};
void el_super_scale_nearest(const struct el_super_scale_kind *kind, const float *x, struct el_super_scale *out);
void el_super_scale_search(const struct el_super_scale_kind *kind, const float *x, const float *const *w, uint32_t n,
                           struct el_super_scale *out);

#endif
