/*
 * Adding up what a layer's matrices read: sums of squares, of absolute values, greatest values, and X^T X as tiles in float64.
 *
 * Rows come in batches. Of every batch the rows that count are packed as panels of 64 columns, and each tile of X^T X is one
 * thread's: sums in float32 over runs of at most 128 rows, added in float64 (the kernel `outer`), so that the bits depend on the
 * batches alone. What does not fit in memory at once is made in several passes over the same batches.
 */
#ifndef EL_QUANT_COLLECT_H
#define EL_QUANT_COLLECT_H

#include "base/threads.h"
#include "kernels/kernels.h"
#include "model/weights.h"
#include "quant/inputs.h"

struct el_collect;

struct el_collect_opts {
    bool hessian, cross;
    uint32_t max_rows;   /* of a batch */
    uint64_t max_nbytes; /* of the tiles of one pass; 0: all that a layer has. One expert's tiles are always made together */
};

/* What was seen of an input, of all its experts. */
struct el_sums {
    uint64_t *count;       /* [n_experts] rows */
    double *sum2, *sumabs; /* [n_experts, n_in rounded up to a tile] */
    float *maxabs;
    uint64_t n_pad;
};

enum el_status el_collect_open(const struct el_inputs *inputs, const struct el_collect_opts *opts, struct el_pool *pool,
                               struct el_collect **collect, struct el_err *err);
void el_collect_close(struct el_collect *collect);

/* Begins a layer (or the head) with all sums 0. *n_passes: how often the layer's batches must be shown. EL_E_MEMORY. */
enum el_status el_collect_layer(struct el_collect *collect, int32_t layer, uint32_t *n_passes, struct el_err *err);
/* Begins a pass: 0, 1, ... in order. EL_E_MEMORY. */
enum el_status el_collect_pass(struct el_collect *collect, uint32_t pass, struct el_err *err);

/*
 * The rows x that matrix w (of an expert) reads. row as in el_stream_fn; skip NULL, or [rows of the batch]: true where a row does
 * not count. Matrices that do not lead their input are passed over.
 */
void el_collect_rows(struct el_collect *collect, const struct el_weight *w, uint32_t expert, const struct el_act *x,
                     const uint32_t *row, const bool *skip);
/*
 * For the cross product: what the unquantized model has in the place of the rows that come next. Called for a batch before
 * el_collect_rows is. Experts are left out: they may see other rows.
 */
void el_collect_original(struct el_collect *collect, const struct el_weight *w, const struct el_act *x);

/* Sums of input i of the layer, complete after pass 0. */
const struct el_sums *el_collect_sums(const struct el_collect *collect, size_t input);
/* Tiles [n_tiles, 64 * 64] of an expert in the order of quant/stats.h; NULL: not made in this pass. */
const double *el_collect_hessian(const struct el_collect *collect, size_t input, uint32_t expert);
/* Tiles [n, n, 64 * 64], n = n_in / 64 rounded up, row by row; NULL: not made in this pass. */
const double *el_collect_cross(const struct el_collect *collect, size_t input);

#endif
