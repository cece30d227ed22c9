/*
 * Rotations made of signs: an orthogonal matrix of any size that costs n log n to apply and n signs to store.
 *
 *   Q = T D / sqrt(n),         T = C_m (x) H_k, D = diag(signs), or, where Q must leave the vector of ones as it is,
 *   Q = T D' T / n,            D' = diag(1, signs[1], ...)
 *
 * n = m k with k the greatest power of two in n; H_k is Sylvester's Hadamard matrix and C_m Hartley's, C_ij = cos(2 pi i j / m) +
 * sin(2 pi i j / m): both symmetric, T T = n I, and row 0 of T is all ones, so that the second Q maps ones to ones. Entry a k + b
 * of a vector is row a of C, column b of H. With m = 1 all entries of the first Q are +-1/sqrt(n), as in QuaRot
 * (arXiv:2404.00456, section 3), which takes Hadamard matrices of a few more sizes from tables.
 *
 * Signs are drawn from a seed, or given. Cosines are sums of ours, so that no two machines differ. Immutable once open.
 */
#ifndef EL_KERNELS_ROTATION_H
#define EL_KERNELS_ROTATION_H

#include "base/err.h"

struct el_rotation {
    uint64_t n, k, m;
    bool keeps_ones; /* the second form */
    double *sign;    /* [n] times 1 / sqrt(n), or 1 / n */
    double *cas;     /* [m] C_1j */
    float *sign_f, *cas_f;
};

/* signs: [n] of +-1, or NULL for those of the seed. EL_E_MEMORY. *q is empty after a failure. */
enum el_status el_rotation_open(struct el_rotation *q, uint64_t n, bool keeps_ones, const float *signs, uint64_t seed,
                                struct el_err *err);
void el_rotation_release(struct el_rotation *q);
/* out [n]: the signs, +-1. */
void el_rotation_signs(const struct el_rotation *q, float *out);

/* x [n, width] := Q x, every column a vector. scratch [m, width]; NULL where m is 1. */
void el_rotation_apply(const struct el_rotation *q, double *x, uint64_t width, double *scratch);

/*
 * x [n] := Q x in float32, first form: times the signs, then butterflies of distance 1, 2, .. k / 2 (a + b, a - b), then for each
 * b the sums over a in order, from 0, every product and sum rounded. scratch [n]. The second is the definition, and the same to
 * the bit: no operation of the first depends on what stands beside it.
 */
void el_rotate(const struct el_rotation *q, float *x, float *scratch);
void el_rotate_ref(const struct el_rotation *q, float *x, float *scratch);

#endif
