/*
 * Folds: changes of a model's weights that leave what it computes, so that the changed weights (or the inputs that meet them) are
 * easier to quantize. A fold is a list of changes in the order in which they are made. Each is about one place: a link of the
 * wiring (model/arch.h) in one layer, where a change C of the producers' output channels is undone by C^-1 in the consumers'
 * input columns; or an input, where nothing before it takes the change, and running the model does (below).
 *
 *   GAIN    s, one per channel, none 0: consumers' columns times s_j, producers' rows and biases (a norm's gain and bias) divided
 *           by s_j. What the consumers read becomes x_j / s_j. (AWQ, arXiv:2306.00978; SmoothQuant, arXiv:2211.10438)
 *   ROTATE  Q, orthogonal: consumers' rows w become Q w, producers' outputs and biases y become Q y. What the consumers read
 *           becomes Q x. (QuaRot, arXiv:2404.00456.) Q is made from a seed (kernels/rotation.h). Of the residual stream, all
 *           norms' gains are moved into what they feed first, by GAIN changes that this makes; a tied output then gets a matrix
 *           of its own.
 *
 * Who decides about the changes is a fold method (folds.def): it sees places, rows of weights, statistics and the encodings of
 * the plan, and knows no family and no file. It is asked twice: `mark` when the plan is made, which reads nothing and says which
 * places will change, so that the directory of the folded model is known; `decide` when the plan is carried out, with all
 * threads. Then el_fold_source() presents the changed model, and the statistics are read through the fold, as the changed model
 * has them.
 *
 * One thread makes a fold; then any thread reads it. Everything is in canonical row order. Sums in float64, in a fixed order: the
 * same bits for any number of threads.
 */
#ifndef EL_QUANT_FOLD_H
#define EL_QUANT_FOLD_H

#include "quant/method.h"
#include "quant/stats.h"
#include "tensor/source.h"

struct el_fold;
struct el_hparams;
struct el_meta;

enum el_fold_kind { EL_FOLD_GAIN, EL_FOLD_ROTATE };

/* Rows of a tensor at a place: all of them, or those of the role within a fused matrix. */
struct el_fold_end {
    size_t tensor;    /* of the folded source */
    const char *name; /* its name; borrowed */
    bool vector;      /* a norm's gain, or a bias: n_rows values, n_in 1 */
    bool rows_are_in; /* an embedding: what it gives are its columns */
    uint32_t n_experts;
    uint64_t row0, n_rows, n_in; /* of each expert; row0 counts within the expert */
};

/*
 * A place. Channels are those of the producers; the consumers' columns are as many, but where query heads share a KV head
 * (el_fold_channel). n_groups: each expert's channels are changed apart, s is [n_groups, n_channels]; 1 else.
 */
struct el_fold_place {
    char name[96];   /* "blk.0.attn_norm.weight > blk.0.attn_q.weight", "residual", or "> blk.0.ffn_down.weight" for an input */
    const char *fed; /* the matrix whose statistics are those of the consumers' input; NULL: there is no one such */
    unsigned how;    /* enum el_commutes: EL_C_GAIN, EL_C_ROTATE, ... */
    bool input;      /* consumers only; the model file then needs a program that changes the input as it says */
    bool unties;     /* the embedding serves as output matrix, which gets one of its own by a change here */
    uint32_t layer;  /* 0 for what is not per layer */
    uint32_t n_groups;
    uint64_t n_channels;
    uint64_t head_n, heads_per_kv; /* PER_HEAD: channels of a head, and query heads that read it; else n_channels, 1 */
    const struct el_fold_end *producers, *consumers; /* with their biases among the producers */
    size_t n_producers, n_consumers;
};

/*
 * Opens an empty fold over the directory of a model. EL_E_UNSUPPORTED: a family that is not known; EL_E_FORMAT: metadata that are
 * not whole, or tensors that have not the shapes they say.
 */
enum el_status el_fold_open(const struct el_source *base, struct el_fold **fold, struct el_err *err);
void el_fold_close(struct el_fold *fold);
/*
 * Before anything is read: where the tensors are. A source with the directory that the fold was opened over, which stays open as
 * long as the fold reads. Forgets all changes, marks stay.
 */
void el_fold_bind(struct el_fold *fold, struct el_source *base);

/*
 * The i-th place in the order links come in and layers in each, the inputs last; NULL past the end. Stays until the fold is
 * closed.
 */
const struct el_fold_place *el_fold_place_at(const struct el_fold *fold, size_t i);
/* The channel that column `column` of the consumers reads. */
uint64_t el_fold_channel(const struct el_fold_place *place, uint64_t column);
const struct el_hparams *el_fold_hparams(const struct el_fold *fold);

/*
 * Says that a place will be changed so: what is touched is float32 in the folded source. With ROTATE of the residual stream this
 * marks the gains of the norms too. EL_E_UNSUPPORTED: the change does not commute there, the message names the tensor in between
 * (a norm behind an addition to the residual stream), or a tied output that opts want tied.
 */
enum el_status el_fold_mark(struct el_fold *fold, const struct el_fold_place *place, enum el_fold_kind kind,
                            const struct el_method_opts *opts, struct el_err *err);
bool el_fold_is_marked(const struct el_fold *fold, const struct el_fold_place *place, enum el_fold_kind kind);
/*
 * Is a tensor of the folded source changed (float32), and which of the base is it, or made of? SIZE_MAX: of none, it says what is
 * done to an input.
 */
bool el_fold_changes(const struct el_fold *fold, size_t tensor);
size_t el_fold_base_tensor(const struct el_fold *fold, size_t tensor);

/*
 * Adds a change to the end of the list, at a place that was marked so. s [n_groups, n_channels]: copied; finite, not 0, and
 * positive where EL_C_POSITIVE asks for it, else EL_E_USAGE. EL_E_UNSUPPORTED: behind a change of the consumers' input, which
 * comes last (gains, then one rotation). Rotations of a head are the same in all heads, those of experts in all.
 */
enum el_status el_fold_gain(struct el_fold *fold, const struct el_fold_place *place, const float *s, struct el_err *err);
enum el_status el_fold_rotate(struct el_fold *fold, const struct el_fold_place *place, uint64_t seed, struct el_err *err);

/* ---- the model with all changes so far ---- */

/*
 * A source that presents the changed model; borrowed, closed with the fold. Its directory is final when everything is marked
 * (reading tensors before all changes are added gives what they are so far). Rows of one changed tensor are read by any thread.
 */
struct el_source *el_fold_source(struct el_fold *fold);
/*
 * out [n_rows, end->n_in] = rows row0 .. of an end, of expert `expert` (0 without), as float32 with all changes so far. Any
 * thread.
 */
enum el_status el_fold_rows(struct el_fold *fold, const struct el_fold_end *end, uint32_t expert, uint64_t row0, uint64_t n_rows,
                            float *out, struct el_err *err);

/* ---- statistics with all changes so far, of a matrix by its name in the folded source ---- */

/* NULL: nothing is known. stats may be NULL. */
const struct el_stats_matrix *el_fold_stats_find(const struct el_fold *fold, const struct el_stats *stats, const char *name);
/* Is what this matrix reads marked to be rotated? */
bool el_fold_rotates_input(const struct el_fold *fold, const char *name);
/*
 * As el_stats_importance, _abs, _hessian, _cross (quant/stats.h), of the changed inputs: gains divide by s_i (s_i s_j); a
 * rotation gives Q H Q^T, Q C Q^T and their diagonal as importance. EL_E_UNSUPPORTED: through a rotation there is no mean or
 * maximum of |x_j|, and importance needs the Hessian. fold may be NULL: nothing is changed.
 */
enum el_status el_fold_importance(struct el_fold *fold, const struct el_stats *stats, const struct el_stats_matrix *m,
                                  const char *name, uint32_t expert, float *out, struct el_err *err);
enum el_status el_fold_abs(struct el_fold *fold, const struct el_stats *stats, const struct el_stats_matrix *m, const char *name,
                           uint32_t expert, float *mean, float *max, struct el_err *err);
enum el_status el_fold_hessian(struct el_fold *fold, const struct el_stats *stats, const struct el_stats_matrix *m,
                               const char *name, uint32_t expert, uint64_t row0, uint64_t n_rows, double *out,
                               struct el_err *err);
enum el_status el_fold_cross(struct el_fold *fold, const struct el_stats *stats, const struct el_stats_matrix *m,
                             const char *name, uint64_t row0, uint64_t n_rows, double *out, struct el_err *err);

/* ---- methods ---- */

/*
 * Bytes at most that the fold takes once everything is marked, while n_threads read rows and sums of the changed model: the
 * changes (n_methods may each make one at every place that is marked), matrices that were made as a whole, sums of rotated
 * inputs, and buffers.
 */
uint64_t el_fold_nbytes(const struct el_fold *fold, const struct el_stats *stats, size_t n_methods, unsigned n_threads);

struct el_fold_task {
    struct el_fold *fold;
    const struct el_stats *stats; /* NULL: none */
    const struct el_enc *enc;     /* [tensors of the folded source] what each becomes; e NULL: it is not quantized */
    const struct el_method_opts *opts;
    struct el_pool *pool;
};
struct el_fold_method {
    const char *name, *about;
    const char *then;                 /* the method that chooses the codes where the name stands alone ("rtn") */
    bool needs_importance, needs_abs; /* EL_STATS_SUM2, EL_STATS_ABS; the plan refuses without */
    /* el_fold_mark for every place that will change. Reads no weights. */
    enum el_status (*mark)(struct el_fold *fold, const struct el_method_opts *opts, struct el_err *err);
    /* el_fold_gain and el_fold_rotate, at marked places only. */
    enum el_status (*decide)(const struct el_fold_task *task, struct el_err *err);
    /* Bytes that decide takes with n_threads, beside those of the fold; the task has neither enc nor pool. NULL: next to none. */
    uint64_t (*nbytes)(const struct el_fold_task *task, unsigned n_threads);
};

/* One object per line of folds.def, in quant/<id>.c. */
#define FOLD(id) extern const struct el_fold_method el_fold_method_##id;
#include "quant/folds.def"
#undef FOLD

/* decide of a method, whose name the changes are stored with and messages begin with. */
enum el_status el_fold_decide(struct el_fold *fold, const struct el_fold_method *method, const struct el_fold_task *task,
                              struct el_err *err);

const struct el_fold_method *el_fold_method_at(size_t i);
const struct el_fold_method *el_fold_method_by_name(const char *name);

/*
 * For the metadata: `edgellm.folds`, one text for each change in order, "METHOD gain|rotate PLACE[ seed N]". Nothing for an empty
 * fold.
 */
enum el_status el_fold_store(const struct el_fold *fold, struct el_meta *meta, struct el_err *err);

#endif
