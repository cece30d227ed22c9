/* What el_plan_make made, as el_pack reads it. */
#ifndef EL_QUANT_PLAN_H
#define EL_QUANT_PLAN_H

#include "quant/fold.h"
#include "quant/method.h"
#include "quant/stats.h"
#include "tensor/source.h"

struct el_plan_entry {
    struct el_enc to;
    char to_name[32];
    bool copy;                      /* bytes stay as they are */
    const struct el_method *method; /* NULL: copy, or conversion to a float type */
    uint64_t nbytes;
    char *fallback; /* owned; NULL: none */
    const struct el_stats_matrix *stats; /* what is known of the inputs, where the method wants to know; borrowed */
    double loss;                         /* predicted share of the divergence; NAN: not known */
};

enum { EL_PLAN_MAX_FOLDS = 4 };

/* Entry i is about tensor i of the source. */
struct el_plan {
    const struct el_source *source; /* borrowed; that of the fold where there is one */
    const struct el_source *base;   /* what the plan was made for; borrowed */
    struct el_fold *fold;           /* owned; NULL: the weights are quantized as they are */
    const struct el_fold_method *folds[EL_PLAN_MAX_FOLDS]; /* [n_folds] in order */
    size_t n_folds;
    struct el_plan_entry *entries;
    size_t n;
    struct el_stats *stats;         /* owned; NULL: none */
    struct el_source *stats_source; /* their file; borrowed */
    char order[8];                  /* how.order points here */
    struct el_method_opts how;
    int32_t ftype;  /* general.file_type to write; -1: remove it */
    bool keep_meta; /* COPY: metadata stays as it is */
    bool store;     /* write the plan into the metadata (a conversion does not) */
    char made_by[64];                        /* the mix, encoding or target that the rules were asked for; for people */
    double predicted_kld;                    /* NAN: not known */
    char model_sha256[65], stats_sha256[65]; /* as a plan file says; "": not said */
};

/*
 * plan_folds.c: "awq+gptq" to folds in order and the method that chooses the codes; behind a fold that stands last it is the
 * fold's own. EL_E_USAGE lists what there is.
 */
enum el_status el_plan_parse_method(const char *text, struct el_plan *plan, const struct el_method **method, struct el_err *err);
/* Opens the fold of a plan that has folds, and lets them mark what will change. */
enum el_status el_plan_mark(struct el_plan *plan, const struct el_method_opts *opts, struct el_err *err);
/* Makes the changes: what the plan's source then gives is the changed model. Does nothing without folds. */
enum el_status el_plan_decide(const struct el_plan *plan, struct el_source *base, struct el_pool *pool, struct el_err *err);

/*
 * For those who fill a plan themselves. el_plan_begin: a plan without entries, ftype -1; el_plan_set: entry i, once or again, and
 * all that follows from its encoding and method. method is not looked at where nothing is to be chosen (the bytes stay, or become
 * floats); NULL there only. Of opts how, stats, allow_requantize and for_convert count. Errors name the tensor.
 */
enum el_status el_plan_begin(const struct el_source *source, const struct el_plan_opts *opts, struct el_plan **plan,
                             struct el_err *err);
enum el_status el_plan_set(struct el_plan *plan, size_t i, const struct el_enc *to, const struct el_method *method,
                           const struct el_plan_opts *opts, struct el_err *err);
/* Why the entry is not what was asked for, as it was found when this method was chosen; not kept where it has another by now. */
enum el_status el_plan_keep_fallback(struct el_plan *plan, size_t i, const char *method, const char *fallback,
                                     struct el_err *err);

/* "copy", "convert" or the method's name. */
const char *el_plan_method_name(const struct el_plan_entry *entry);
/* Sets general.file_type, general.quantization_version and edgellm.plan (array of "NAME ENCODING METHOD[ fallback: WHY]"). */
enum el_status el_plan_store(const struct el_plan *plan, struct el_meta *meta, struct el_err *err);

/* What may be given as type besides encodings and "COPY": the i-th name, NULL past the end. *about may be NULL's address. */
const char *el_plan_mix_name(size_t i, const char **about);

#endif
