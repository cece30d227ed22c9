/*
 * A model run over a fixed set of tokens, layer by layer: in memory are the weights of one layer and the buffers of one batch;
 * the residual stream of all tokens lies in a file between two layers (a lane). The caller chooses, batch by batch, which
 * source's weights a layer is run with, whether the outcome replaces the lane, and who looks at the inputs of its matrices:
 *
 *   open, lane_open, embed
 *   for each layer:  load, then for each batch block (any number of times: without an outcome it changes nothing)
 *   head, where the output matrix is to be looked at
 *
 * So a layer can be looked at with what quantized layers before it give: load the unquantized layer and look, then load the same
 * layer of the quantized model and keep what comes out. Two lanes side by side are what both models see.
 *
 * Windows are run from empty contexts. Which windows share a batch depends on their lengths alone, so results do not depend on
 * the number of threads. A stream is used by one thread.
 */
#ifndef EL_MODEL_STREAM_H
#define EL_MODEL_STREAM_H

#include "base/workfile.h"
#include "model/model.h"

struct el_stream;

/* Windows of token ids, one behind the other: window i has window_n[i] >= 1 of ids. Borrowed. */
struct el_stream_text {
    const int32_t *ids;
    const uint32_t *window_n;
    size_t n_windows;
};

/*
 * source: the model; quantized: NULL, or another of the same family and shapes. Both must stay open. EL_E_USAGE: no tokens, ids
 * that the model does not have, a window longer than its learned positions, a quantized model of other shapes.
 */
enum el_status el_stream_open(struct el_source *source, struct el_source *quantized, const struct el_stream_text *text,
                              unsigned n_threads, struct el_stream **stream, struct el_err *err);
void el_stream_close(struct el_stream *stream);

const struct el_model *el_stream_model(const struct el_stream *stream); /* without weights but those that are loaded */
struct el_pool *el_stream_pool(const struct el_stream *stream);
uint64_t el_stream_n_tokens(const struct el_stream *stream);
size_t el_stream_n_batches(const struct el_stream *stream);
uint32_t el_stream_max_rows(const struct el_stream *stream); /* of any batch */
/* Tokens first .. first + the result are batch b. */
uint32_t el_stream_batch(const struct el_stream *stream, size_t b, uint64_t *first);
/* Token, and position in its window. */
int32_t el_stream_token(const struct el_stream *stream, uint64_t i, uint32_t *pos);

/* The residual stream of all tokens, [n_tokens, n_embd] f32 from `offset` of a file on. */
struct el_lane {
    struct el_workfile *file;
    uint64_t offset;
};
uint64_t el_lane_nbytes(const struct el_stream *stream);

/* Which of the sources weights come from. */
enum el_stream_from { EL_FROM_MODEL, EL_FROM_QUANTIZED };

/* Embeds all tokens. Releases what was loaded. */
enum el_status el_stream_embed(struct el_stream *stream, enum el_stream_from from, const struct el_lane *to, struct el_err *err);
/* Reads the weights of a layer into memory; those before it are released. */
enum el_status el_stream_load(struct el_stream *stream, enum el_stream_from from, uint32_t layer, struct el_err *err);

/*
 * Called before every product with a matrix: w, the expert, the rows x that it reads; row[i] is the row of the batch that row i
 * of x belongs to, NULL: i itself.
 */
typedef void el_stream_fn(void *user, const struct el_weight *w, uint32_t expert, const struct el_act *x, const uint32_t *row);
/*
 * Runs batch b through the loaded layer. from: its rows; to: where they go (may be the same as from; NULL: nowhere). fn may be
 * NULL. *before and *after (both may be NULL) are the rows [n, n_embd] as they were and as they are, until the next call.
 * EL_E_FAILED: values that are not finite.
 */
enum el_status el_stream_block(struct el_stream *stream, size_t b, const struct el_lane *from, const struct el_lane *to,
                               el_stream_fn *fn, void *user, const float **before, const float **after, struct el_err *err);
/*
 * Runs all tokens through what stands behind the last layer; fn sees the input of the output matrix, in batches of few rows, of
 * which *first is the first token while it is called.
 */
enum el_status el_stream_head(struct el_stream *stream, enum el_stream_from from, const struct el_lane *lane, el_stream_fn *fn,
                              void *user, uint64_t *first, struct el_err *err);

/* Reads the weights of what stands behind the last layer; those before it are released. */
enum el_status el_stream_load_head(struct el_stream *stream, enum el_stream_from from, struct el_err *err);
enum { EL_STREAM_LOGITS = 64 }; /* rows of predictions at a time, at most */
/* logits: n rows, `stride` floats apart, of the tokens first .. first + n of the list. They are finite. */
typedef enum el_status el_stream_logits_fn(void *user, size_t first, uint32_t n, const float *logits, uint64_t stride,
                                           struct el_err *err);
/*
 * The predictions of tokens token[0..n), each a token of the stream, in batches of few rows in the order of the list. The head
 * must be loaded. EL_E_FAILED: values that are not finite, and what fn returns.
 */
enum el_status el_stream_logits(struct el_stream *stream, const struct el_lane *lane, const uint64_t *token, size_t n,
                                el_stream_logits_fn *fn, void *user, struct el_err *err);

#endif
