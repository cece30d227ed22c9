/*
 * How far a model moves from itself when some of its matrices are changed: the mean over positions of
 *
 *     sum over the vocabulary of p (ln p - ln q)
 *
 * p being what the model predicts, q what the changed one does, in nats. Nothing is written: changed matrices are made when their
 * layer is run and forgotten when it is done.
 *
 * The residual streams of the model itself before every layer are kept in a file (prefixes); a changed model has a lane of its
 * own from its first changed matrix on. Several changed models (variants) go through the layers side by side, so that a layer's
 * own weights are read once for all of them, as many at a time as the file may hold.
 *
 * Keys and values are f32; int8 activations as the model is run with. A variant's number depends neither on the others beside it
 * nor on the number of threads.
 */
#ifndef EL_QUANT_DIVERGENCE_H
#define EL_QUANT_DIVERGENCE_H

#include "quant/sensitivity.h"

struct el_divergence;

/* Of the table's text and options; EL_E_USAGE: it has no text, or no window of at least 4 tokens. */
enum el_status el_divergence_open(struct el_sens *sens, struct el_divergence **divergence, struct el_err *err);
void el_divergence_close(struct el_divergence *divergence);

/* kld [first .. first + n) are there. */
typedef enum el_status el_divergence_fn(void *user, size_t first, size_t n, struct el_err *err);
/*
 * kld [n] of the variants choice [n, items]: a candidate, or EL_SENS_KEEP. Those beside each other should begin to differ in the
 * same layer: what comes before it costs nothing. fn (may be NULL) is called for those that went through side by side.
 */
enum el_status el_divergence_run(struct el_divergence *divergence, const uint32_t *choice, size_t n, double *kld,
                                 el_divergence_fn *fn, void *user, struct el_err *err);

#endif
