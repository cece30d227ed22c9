/*
 * Statistics of a model's inputs, as methods read them: what each linear saw while the model read a calibration text
 * (`edgellm calibrate`), or llama.cpp's importance matrix. Keyed by the name of the matrix and the expert.
 *
 * The file is a GGUF that llama.cpp reads as an importance matrix (general.type "imatrix"); dimensions outermost first, all F32:
 *
 *   imatrix.datasets, imatrix.chunk_count, imatrix.chunk_size     llama.cpp's
 *   NAME.in_sum2   [n_experts, n_in]   sum over tokens of x_j^2    llama.cpp's, one for every matrix NAME
 *   NAME.counts    [n_experts, 1]      tokens                      llama.cpp's
 *   edgellm.stats.version     u32      1; a file without it is llama.cpp's, which has no more than the above
 *   edgellm.stats.matrices    [n] str  every matrix NAME, and
 *   edgellm.stats.inputs      [n] str  the matrix under whose name LEAD the following is: q, k and v read one input
 *   LEAD.in_sumabs [n_experts, n_in]   sum over tokens of |x_j|
 *   LEAD.in_maxabs [n_experts, n_in]   max over tokens of |x_j|
 *   LEAD.hessian   [n_experts, n_tiles, 64 * 64]   sum over tokens of x_i x_j: the tiles (a, b), b <= a, of 64 by 64 entries, in
 *                                      the order a (a + 1) / 2 + b, each row by row; rows and columns past n_in are 0
 *   LEAD.cross     [n_in, n_in]        sum over tokens of (y_i - x_i) x_j, y being what the unquantized model has where the
 *                                      quantized one has x (arXiv:2504.02692, section 4); not for
 *                                      experts and the output matrix
 *
 *   edgellm.influence [n_layers]       1 - mean over tokens of cos(x before the layer, x behind it) (ShortGPT, arXiv:2403.03853)
 *   edgellm.massive [n_layers, 16, 5]  of the residual stream behind the layer, tokens whose greatest |x_j| stands out most
 *                                      (Sun et al., arXiv:2402.17762): position, token, channel j, x_j, count; 0: no more
 *   edgellm.stats.data_sha256 [n] str  of the calibration texts
 *   edgellm.stats.tokens      u64      that were read
 *   edgellm.stats.protocol    str      how the text was cut, and what was left out
 *   edgellm.stats.quantized   bool     each layer saw what the quantized layers before it give
 *
 * Sums are made in float64 and rounded once. Any of them may be missing but in_sum2 and counts.
 */
#ifndef EL_QUANT_STATS_H
#define EL_QUANT_STATS_H

#include "tensor/source.h"

enum { EL_STATS_TILE = 64 };

enum el_stats_has {
    EL_STATS_SUM2 = 1u << 0,
    EL_STATS_ABS = 1u << 1, /* in_sumabs and in_maxabs */
    EL_STATS_HESSIAN = 1u << 2,
    EL_STATS_CROSS = 1u << 3,
};

struct el_stats;

/* What there is of one matrix. Strings are borrowed from the statistics. */
struct el_stats_matrix {
    const char *name; /* of the matrix: "blk.0.attn_k.weight" */
    size_t input;     /* number of its input: matrices with the same number share all sums */
    uint32_t n_experts;
    uint64_t n_in;
    unsigned has; /* enum el_stats_has */
};

/*
 * Reads the directory of a source (the file above, llama.cpp's GGUF, or its older .dat), which must stay open. EL_E_FORMAT: not
 * statistics, or tensors that miss their other half, are misshapen, not F32, or too many tokens; EL_E_UNSUPPORTED: a newer
 * version; EL_E_MEMORY.
 */
enum el_status el_stats_open(struct el_source *source, struct el_stats **stats, struct el_err *err);
void el_stats_close(struct el_stats *stats);

/*
 * For the metadata of what is quantized with them: llama.cpp's quantize.imatrix.* (the file's name as given), and
 * edgellm.calibration.sha256, the hashes of the texts, by which evaluations see that they would be of their own calibration text.
 */
enum el_status el_stats_store_origin(const struct el_stats *stats, const char *name, struct el_meta *meta, struct el_err *err);

/* Matrices in the order of the file; NULL past the end. The order of inputs by their number is that of their first matrix. */
const struct el_stats_matrix *el_stats_at(const struct el_stats *stats, size_t i);
/* NULL: nothing is known of this matrix. */
const struct el_stats_matrix *el_stats_find(const struct el_stats *stats, const char *name);

/* All that follows: any thread; EL_E_IO, EL_E_FORMAT (a value that cannot be: NaN, a negative square), EL_E_USAGE (not there). */

/*
 * *n: tokens that this expert (0 without experts) saw. The legacy .dat has no tokens: there it counts chunks, the same for all
 * experts. 0: none of the sums says anything.
 */
enum el_status el_stats_count(const struct el_stats *stats, const struct el_stats_matrix *m, uint32_t expert, double *n,
                              struct el_err *err);
/* out [n_in]: means of x_j^2, the importance of column j; 1 everywhere when the expert saw no token, as in llama.cpp. */
enum el_status el_stats_importance(const struct el_stats *stats, const struct el_stats_matrix *m, uint32_t expert, float *out,
                                   struct el_err *err);
/* mean [n_in], max [n_in] of |x_j|; 0 when the expert saw no token. Either may be NULL. */
enum el_status el_stats_abs(const struct el_stats *stats, const struct el_stats_matrix *m, uint32_t expert, float *mean,
                            float *max, struct el_err *err);
/*
 * out [n_rows, n_in] = rows row0 .. of H = sum x x^T, symmetric, not divided by the count. Cheapest by whole tiles: row0 and
 * n_rows multiples of EL_STATS_TILE. Diagonals are what in_sum2 says, to the rounding of float32.
 */
enum el_status el_stats_hessian(const struct el_stats *stats, const struct el_stats_matrix *m, uint32_t expert, uint64_t row0,
                                uint64_t n_rows, double *out, struct el_err *err);
/* out [n_rows, n_in] = rows row0 .. of C = sum (y - x) x^T, not symmetric. */
enum el_status el_stats_cross(const struct el_stats *stats, const struct el_stats_matrix *m, uint64_t row0, uint64_t n_rows,
                              double *out, struct el_err *err);

#endif
