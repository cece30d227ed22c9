/*
 * Rotary position embedding (Su et al., arXiv:2104.09864). The angle of pair i at position p is p * f_i, with
 *     f_i = theta^(-2 i / n_rot) / s_i
 * Without scaling s_i is 1; linear scaling divides all by one factor; llama3 scaling has one per pair: 1 for wavelengths below
 * original / high, `factor` above original / low, and between them the blend
 *     s_i = 1 / ((1 - t) / factor + t),  t = (original / wavelength - low) / (high - low)
 * long scaling has one per pair from the model, one set for contexts up to the original one and one for longer ones, and
 * multiplies cos and sin by a factor. Angles are computed in float64 and rounded once.
 */
#ifndef EL_MODEL_ROPE_H
#define EL_MODEL_ROPE_H

#include "model/arch.h"

/* s_i [n_rot / 2] of llama3 scaling by hp's theta, factor, low, high and original context. */
void el_rope_llama3_factors(const struct el_hparams *hp, float *factors);

/*
 * The reverse: sets factor, low, high and original context of hp (n_rot and theta are given) so that they yield these factors
 * [n_rot / 2] within 1e-5. Only original / low and original / high can be told from factors: low is taken as 1. False when
 * no parameters do.
 */
bool el_rope_fit_llama3(const float *factors, struct el_hparams *hp);

/* f_i [n_rot / 2] f64. factors: those of a tensor of the model [n_rot / 2], or NULL: by hp. */
void el_rope_freqs(const struct el_hparams *hp, const float *factors, double *freqs);

/* The same with hp's rope_theta_local and without scaling. */
void el_rope_freqs_local(const struct el_hparams *hp, double *freqs);

/* factor times cos and sin [n] f32 of pos * freqs[i], i < n. */
void el_rope_angles(const double *freqs, uint32_t n, uint32_t pos, float factor, float *cos_out, float *sin_out);

#endif
