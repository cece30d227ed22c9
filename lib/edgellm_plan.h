/*
 * edgellm_plan.h - what edgellm.h has of finding a plan: statistics of inputs, what every choice of an encoding loses, targets.
 * edgellm.h includes it; its conventions hold.
 */
#ifndef EDGELLM_PLAN_H
#define EDGELLM_PLAN_H

#include "edgellm.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- calibration --------------------------------------------------------------------------------------------------- */

/*
 * What the matrices of a model read while it reads a text: statistics for the methods of quantization, in a GGUF file that
 * llama.cpp takes as an importance matrix (edgellm-formats(5) says what is in it).
 */
struct el_calibrate_text {
    const int32_t *ids;       /* windows of token ids, one behind the other, each run from an empty context */
    const uint32_t *window_n; /* [n_windows] ids of each, at least 1 */
    size_t n_windows;
    uint32_t n_ctx;           /* ids of a whole window; stored */
    const char *const *names; /* [n_names] of the texts, stored; and their SHA-256, 64 hex digits each */
    const char *const *sha256;
    size_t n_names;
    const char *protocol; /* one line that says how ids and windows were made; stored */
};

struct el_calibrate_opts {
    bool no_hessian;     /* no sums of x_i x_j: an importance matrix, sums of absolute values and greatest values alone */
    bool process_output; /* the input of the output matrix too */
    uint32_t skip_first; /* the first positions of every window do not count */
    bool skip_massive; /* tokens with massive activations, before or behind a layer, do not count in it; runs every layer twice */
    double massive;    /* a token is massive when its greatest |x_j| exceeds the median token's so many times; 0: 20 */
    /*
     * NULL, or the model already quantized: every layer's statistics are of what its layers before that give. cross: also sums
     * of (y_i - x_i) x_j, y being what the unquantized layers give in the place of x.
     */
    struct el_source *quantized;
    bool cross;
    uint64_t max_nbytes; /* of the sums of x_i x_j at a time; a layer is run again for the rest. 0: all of a layer's */
    /*
     * NULL, or a file in which the state is kept, and from which a run that was stopped goes on: the same model, text, options,
     * else EL_E_USAGE. The caller removes it when the sink is committed.
     */
    const char *state_path;
    unsigned n_threads; /* 0: all cores; the bytes do not depend on it */
    el_progress_fn *progress;
    void *progress_user;
};

struct el_calibrate_report {
    uint32_t layer, n_layers;
    double influence;     /* 1 - mean cosine between the residual stream before and behind the layer */
    uint32_t n_massive;   /* tokens */
    uint32_t massive_pos; /* the greatest of them, when there is one: its position, token, channel and value */
    int32_t massive_token;
    uint32_t massive_channel;
    double massive_value;
};
typedef void el_calibrate_report_fn(void *user, const struct el_calibrate_report *report);

/*
 * Runs the model layer by layer (in memory: one layer, its sums, one batch; the residual stream of all tokens lies in a file
 * without a name beside the output) and writes the statistics to sink. Does not commit. report (may be NULL) is called for every
 * layer.
 */
EL_API EL_MUST_CHECK enum el_status el_calibrate(struct el_source *source, const struct el_calibrate_text *text,
                                                 struct el_sink *sink, const struct el_calibrate_opts *opts,
                                                 el_calibrate_report_fn *report, void *report_user, struct el_err *err);

/*
 * Adds statistics up: files of el_calibrate of one model, or importance matrices of llama.cpp (GGUF or .dat). What one of them
 * lacks the result lacks; only_importance: llama.cpp's part alone. The sink may be of format "gguf" or (only_importance)
 * "imatrix", llama.cpp's .dat. Does not commit.
 */
EL_API EL_MUST_CHECK enum el_status el_stats_merge(struct el_source *const *sources, size_t n_sources, bool only_importance,
                                                   struct el_sink *sink, struct el_err *err);

/* ---- sensitivity: what every choice of an encoding costs and loses --------------------------------------------------- */

/*
 * A table over the matrices of a model (items) and ways to store them (candidates): bytes, and how much is lost. One candidate
 * per item makes a plan; what a plan loses is near the sum of what its choices lose.
 */
struct el_sens;

/* A way to store a matrix. method NULL: the best there is for it, with what the statistics have. */
struct el_sens_candidate {
    const char *type, *method;
};

/* Measures of loss; each is 0 for a matrix that stays as it is. */
enum el_sens_metric {
    EL_SENS_WEIGHT,   /* |W - W'|^2 / |W|^2 */
    EL_SENS_HESSIAN,  /* tr((W - W') H (W - W')^T) / tokens: mean squared error of what the matrix gives */
    EL_SENS_SHIFTADD, /* of a matrix, not of a choice: |IS|_F STD(IS)^2 (arXiv:2406.05981, section 4.3) */
    EL_SENS_KLD,      /* mean divergence from the model's own predictions when only this matrix is changed, nats per token */
};

struct el_sens_opts {
    const struct el_sens_candidate *candidates; /* NULL: the standard types that can be made, and F16 */
    size_t n_candidates;
    struct el_source *stats; /* NULL, or of el_calibrate; stays open as long as the table */
    /*
     * NULL, or the method of candidates that name none, where it makes their type; "REGEX=NAME" (el_plan_opts) before all others.
     * One that changes the model is EL_E_USAGE: choices are for the model as it is.
     */
    const char *method;
    const char *const *tensor_methods;
    size_t n_tensor_methods;
    struct el_method_opts how;
    bool allow_requantize; /* else a quantized matrix is EL_E_USAGE */
    uint32_t n_rows;       /* errors are measured on so many rows of a matrix (or expert), evenly spaced; 0: 128 */
    /*
     * What divergences are measured on: windows, each from an empty context. Compared are, of every window, the predictions from
     * its second half, as llama-perplexity does, n_positions of them evenly spaced (0: all). NULL: no divergences.
     */
    const struct el_calibrate_text *text;
    uint32_t n_positions;
    /* A file without a name beside this path holds the residual streams; NULL: in the folder of the source. */
    const char *scratch_path;
    uint64_t max_scratch; /* bytes of it that may be used at a time for changed models, at least one; 0: 1 GiB */
    /*
     * NULL, or a file that keeps what was measured; a table with the same model, statistics, text and options goes on from it,
     * another is EL_E_USAGE. The caller removes it.
     */
    const char *state_path;
    unsigned n_threads; /* 0: all cores; no number depends on it */
    el_progress_fn *progress;
    void *progress_user;
};

/* Reads no tensor data. The source and all that opts point to stay as long as the table. EL_E_USAGE names the option. */
EL_API EL_MUST_CHECK enum el_status el_sens_open(struct el_source *source, const struct el_sens_opts *opts, struct el_sens **sens,
                                                 struct el_err *err);
EL_API void el_sens_close(struct el_sens *sens);

struct el_sens_item {
    const char *name;
    size_t tensor;                 /* of the source */
    int32_t layer;                 /* -1: of no layer */
    uint64_t n_rows, n_in, nbytes; /* as it is in the source */
    double shiftadd;               /* NaN: not measured */
};
EL_API size_t el_sens_n_items(const struct el_sens *sens);
EL_API struct el_sens_item el_sens_item(const struct el_sens *sens, size_t item);
EL_API size_t el_sens_n_candidates(const struct el_sens *sens);
EL_API struct el_sens_candidate el_sens_candidate(const struct el_sens *sens, size_t candidate);

struct el_sens_cell {
    bool fits;          /* rows of this length can be stored so; else all else is 0 */
    const char *method; /* that is used: of a candidate's method perhaps a weaker one, where the statistics lack something */
    uint64_t nbytes;
    double weight, hessian, kld; /* NaN: not measured */
    double loss;                 /* by el_sens_predict, NaN before it */
};
EL_API struct el_sens_cell el_sens_cell(const struct el_sens *sens, size_t item, size_t candidate);

/* Weight and Hessian errors of all cells; shiftadd of all items. What is known already is not measured again. */
EL_API EL_MUST_CHECK enum el_status el_sens_errors(struct el_sens *sens, struct el_err *err);
EL_API EL_MUST_CHECK enum el_status el_sens_shiftadd(struct el_sens *sens, struct el_err *err);
/*
 * The divergence of cells: of every item those of these candidates (or where one does not fit, the next that does, by bytes);
 * n 0: of all candidates. What is known already is not measured again.
 */
EL_API EL_MUST_CHECK enum el_status el_sens_divergences(struct el_sens *sens, const size_t *candidates, size_t n,
                                                        struct el_err *err);
/*
 * kld [n_plans] = divergence of the model as these plans make it, measured without writing it: choice [n_plans, n_items], a
 * candidate per item, or EL_SENS_KEEP. All plans go through the model side by side, a layer at a time. Not stored.
 */
#define EL_SENS_KEEP UINT32_MAX
EL_API EL_MUST_CHECK enum el_status el_sens_try(struct el_sens *sens, const uint32_t *choice, size_t n_plans, double *kld,
                                                struct el_err *err);

/*
 * Fills cell.loss. EL_SENS_KLD: the divergence, as measured where it is known, else by scaled Hessian errors. HESSIAN and WEIGHT:
 * the error. SHIFTADD: a polynomial of the criterion per candidate, fitted to the Hessian errors. scaled: these in divergences.
 * Of WEIGHT and SHIFTADD by the factor that is right for the middle one of the item's known divergences; of HESSIAN by lines
 * through all of them over their errors (one: in proportion). EL_E_USAGE: something of this is not measured.
 */
EL_API EL_MUST_CHECK enum el_status el_sens_predict(struct el_sens *sens, enum el_sens_metric metric, bool scaled,
                                                    struct el_err *err);

/* How well predictions order and scale plans. */
struct el_sens_check {
    double tau;   /* Kendall's, of predicted against measured; 1: the same order */
    double slope; /* measured = slope * predicted, by least squares of logarithms */
};
/*
 * Random plans of even size from the smallest to the largest of the range (bits per weight of the items), from a fixed seed:
 * predicted [n_plans], measured [n_plans], choice [n_plans, n_items] may be NULL.
 */
EL_API EL_MUST_CHECK enum el_status el_sens_interaction(struct el_sens *sens, size_t n_plans, double bpw_low, double bpw_high,
                                                        struct el_sens_check *check, double *predicted, double *measured,
                                                        uint32_t *choice, struct el_err *err);

/* ---- targets: what loses least within a size ------------------------------------------------------------------------- */

enum el_target_kind {
    EL_TARGET_FILE,    /* bytes of all files, at most */
    EL_TARGET_TENSORS, /* bits of all tensors per weight, at most */
    EL_TARGET_READ, /* bytes of tensors read per token, at most: of experts the part that is used, of an embedding a row */
    EL_TARGET_LOSS, /* predicted divergence, at most: the smallest files */
};

struct el_target {
    enum el_target_kind kind;
    double value;
    /*
     * "REGEX=TYPE", for the matrices whose name matches: no fewer bits per weight than TYPE has, no more than it has, or exactly
     * this type, which must be a candidate. Of several that match all hold.
     */
    const char *const *min_types, *const *max_types, *const *types;
    size_t n_min_types, n_max_types, n_types;
    const char *const *groups; /* "REGEX": those of one layer that match share a type; the first that matches counts */
    size_t n_groups;
    const char *const *skips; /* "REGEX": those that match stay as they are */
    size_t n_skips;
};

/* What a plan of a table comes to. */
struct el_target_result {
    uint64_t nbytes; /* of all files */
    uint64_t tensor_nbytes;
    double bits_per_weight; /* of tensors */
    double read_nbytes;     /* of tensors per token */
    double loss;            /* predicted divergence: the sum of the table's */
    double bound;           /* no plan has less of what was made least (loss; of EL_TARGET_LOSS bytes) */
    bool exact;             /* the best was proved to be it, by the table's numbers */
};

/*
 * The least and the most that plans of this table come to, of what the target limits (value is not read; either may be NULL).
 * Needs nothing measured but for EL_TARGET_LOSS. EL_E_USAGE names the pattern, or the matrix that nothing is left for.
 */
EL_API EL_MUST_CHECK enum el_status el_target_range(struct el_sens *sens, struct el_sink *sink, const struct el_target *target,
                                                    double *least, double *most, struct el_err *err);
/*
 * Up to n_plans plans within the target, the best first by the table (el_sens_predict), then others that differ from it and are
 * nearly as good: choice [n_plans, n_items] as of el_sens_try, results [n_plans], *n_found of them. The sink is laid out, not
 * written. EL_E_USAGE: the target is below what can be reached, which is named.
 */
EL_API EL_MUST_CHECK enum el_status el_target_solve(struct el_sens *sens, struct el_sink *sink, const struct el_target *target,
                                                    size_t n_plans, uint32_t *choice, struct el_target_result *results,
                                                    size_t *n_found, struct el_err *err);
/* The plan of choice [n_items]; made_by (may be NULL) is one line for people; kld: what was measured, or NaN. */
EL_API EL_MUST_CHECK enum el_status el_target_plan(struct el_sens *sens, const uint32_t *choice, const char *made_by, double kld,
                                                   struct el_plan **plan, struct el_err *err);

#ifdef __cplusplus
}
#endif
#endif
