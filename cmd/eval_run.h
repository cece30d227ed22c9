/* Runs windows through one or two sessions side by side and hands out the logits of every scored token. */
#ifndef CMD_EVAL_RUN_H
#define CMD_EVAL_RUN_H

#include "cmd/eval_windows.h"
#include "cmd/model_io.h"
#include "cmd/options.h"

enum { EVAL_MAX_MODELS = 2 };

/*
 * Logits [n_vocab] of each model that predict token `pos` of window w, in order of windows and positions. Non-EL_OK stops the
 * run.
 */
typedef enum el_status eval_token_fn(void *user, const struct eval_window *w, uint32_t pos, const float *const *logits,
                                     struct el_err *err);

/*
 * All windows from empty contexts; several short ones share a batch. The sessions need n_ctx of at least the longest window minus
 * one. Results do not depend on n_batch, n_seqs or threads. EL_E_FORMAT: an id that the models' vocabulary of n_vocab does not
 * have.
 */
enum el_status eval_run(struct el_session *const *sessions, size_t n_sessions, uint32_t n_seqs, size_t n_vocab,
                        const struct eval_windows *windows, eval_token_fn *fn, void *user, struct el_err *err);

/* How sessions are to run, as the options of that name say. */
struct eval_how {
    uint64_t n_batch; /* 0: 512, less for a large vocabulary */
    unsigned n_threads, kv_k, kv_v;
    uint64_t act_bits; /* 0: as the kernels do */
    unsigned act_granularity;
};

/* Session for windows of at most `longest` ids; *n_seqs is how many run at once. */
enum el_status eval_open_session(struct model_io *io, uint32_t longest, const struct eval_how *how, uint32_t *n_seqs,
                                 struct el_err *err);

/* EL_E_USAGE: --act-granularity without --act-bits. */
enum el_status eval_check_activations(uint64_t act_bits, unsigned act_granularity, struct el_err *err);
/* The word of a choice of --act-granularity. */
const char *eval_granularity(unsigned act_granularity);

/*
 * EL_E_USAGE when the model was quantized with statistics of this very text, by their hashes (edgellm-calibrate(1)): it would be
 * judged by what it was fitted to.
 */
enum el_status eval_check_data(const struct model_io *io, const char *text_name, const char *sha256, struct el_err *err);

/* Ids of a text file's bytes for the protocols with fixed windows (special tokens added as the model wants them, or none). */
enum el_status eval_encode(const struct model_io *io, enum eval_protocol p, const char *text, size_t nbytes, int32_t **ids,
                           size_t *n, struct el_err *err);

#endif
