/*
 * exp(x) = 2^n exp(r), n = round(x / ln 2), r = x - n ln 2, |r| <= ln 2 / 2. exp(r) = 1 + r + r^2 (c2 + c3 r + ... + c6 r^4),
 * least greatest relative error, 2^-28, found by Lawson's iteration; with the roundings under 2 units in the last place
 * (tests/kernels). ln 2 is split so that n times its high part is exact. Inputs are held where the result is +inf or 0 beyond; a
 * NaN stays one.
 */
#ifndef EL_KERNELS_EXP_POLY_H
#define EL_KERNELS_EXP_POLY_H

static const float el_exp_max = 89.0f;
static const float el_exp_min = -105.0f;
static const float el_exp_log2e = 1.44269504088896341f;
static const float el_exp_ln2_hi = 0.693359375f;
static const float el_exp_ln2_lo = -2.12194440054690583e-4f;
static const float el_exp_c2 = 4.999999345e-01f;
static const float el_exp_c3 = 1.666652063e-01f;
static const float el_exp_c4 = 4.166838805e-02f;
static const float el_exp_c5 = 8.368716879e-03f;
static const float el_exp_c6 = 1.381459856e-03f;

#endif
