/*
 * What a layer does to the residual stream, token by token: how much it turns it (block influence; Men et al., ShortGPT,
 * arXiv:2403.03853, section 3.2), and which tokens stand out by massive activations (Sun et al., arXiv:2402.17762).
 */
#ifndef EL_QUANT_RESIDUAL_H
#define EL_QUANT_RESIDUAL_H

#include "base/threads.h"
#include "model/stream.h"
#include "quant/stats_file.h"

struct el_residual;

enum el_status el_residual_open(const struct el_stream *stream, struct el_residual **residual, struct el_err *err);
void el_residual_close(struct el_residual *residual);

/* Rows of batch b before and behind the layer. Every batch once; a layer's numbers replace those of the layer before. */
void el_residual_batch(struct el_residual *residual, size_t b, const float *before, const float *after);

/* 1 - mean over tokens of cos(before, after); a row of zeros counts as unchanged. Sums in float64 in the order of the tokens. */
double el_residual_influence(const struct el_residual *residual);
/*
 * Tokens whose greatest |x_j| behind the layer exceeds `ratio` times the median token's, those of equal token and (all but the
 * first) any position as one, the greatest first; unused entries are 0. Returns how many tokens there are.
 */
uint32_t el_residual_massive(struct el_residual *residual, double ratio, struct el_massive list[EL_MASSIVE_MOST]);
/* skip[i] becomes true for tokens that are massive, before or behind the layer; others stay as they are. */
void el_residual_flag(struct el_residual *residual, double ratio, bool *skip);

#endif
