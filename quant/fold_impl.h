/* What the files of quant/fold*.c share. */
#ifndef EL_QUANT_FOLD_IMPL_H
#define EL_QUANT_FOLD_IMPL_H

#include <pthread.h>

#include "kernels/rotation.h"
#include "model/arch.h"
#include "model/weight_inputs.h"
#include "quant/fold.h"

struct fold_place {
    struct el_fold_place p;   /* first: pointers to it are pointers to this */
    enum el_role lead;        /* of the first producer; EL_R_COUNT for an input */
    struct el_fold_end *ends; /* producers, then consumers */
    bool marked[2];           /* by enum el_fold_kind */
};

struct fold_change {
    enum el_fold_kind kind;
    const struct fold_place *at;
    const char *by; /* the method, or NULL */
    uint64_t seed;
    double *s;            /* GAIN: [n_groups, n_channels] */
    struct el_rotation q; /* ROTATE: of head_n channels */
};

/* What a change does to one tensor. */
struct fold_op {
    const struct fold_change *change;
    enum { FOLD_COLUMNS, FOLD_OUT_COLUMNS, FOLD_ROWS } kind; /* a consumer's, an embedding's as producer, a producer's */
    uint64_t row0, n_rows;                                   /* FOLD_ROWS: of each expert */
};
struct fold_tensor {
    size_t base; /* the tensor of the base that it is made from */
    uint32_t n_experts;
    bool vector, changed;
    /* NULL, or it is no tensor of the base, but says what is done to the input of this place: F32 [n_channels] */
    const struct fold_place *input;
    enum el_input_tensor which;
    struct fold_op *ops; /* [n_ops] in order */
    size_t n_ops;
};

/* Rows that were made as a whole since a change mixes them. */
struct fold_made {
    size_t tensor; /* SIZE_MAX: none */
    uint32_t expert;
    size_t n_ops;
    float *rows;
    uint64_t used; /* when */
};
/* A matrix of sums as the changed inputs have it. */
struct fold_sums {
    const struct el_stats *stats;
    size_t input;
    uint32_t expert;
    size_t n_changes;
    double *sums; /* [n_in, n_in]; NULL: none */
};

struct el_fold {
    const struct el_arch *arch;
    struct el_hparams hp;
    struct el_source *base; /* NULL until bound */
    struct el_source *source;
    size_t n_base;               /* tensors of the base */
    struct fold_tensor *tensors; /* [cap_tensors] as in the source; behind the last the output, while it is tied */
    size_t cap_tensors;
    size_t *of_role; /* [(n_layers + 1) * EL_R_COUNT], SIZE_MAX for none; what is not per layer lies last */
    size_t output;   /* index of the output that a change may untie; SIZE_MAX: there is one, or none is needed */
    struct fold_place *places;
    size_t n_places;
    struct fold_change **changes;
    size_t n_changes;
    const char *by;
    pthread_mutex_t lock; /* of made and sums */
    struct fold_made made[2];
    uint64_t n_used;
    struct fold_sums sums[2]; /* H and C */
};

enum el_status el_fold_no_memory(struct el_err *err);
/* fold_places.c: fills places from the wiring. */
enum el_status el_fold_find_places(struct el_fold *fold, struct el_err *err);
/* Tensor of a role in a layer, SIZE_MAX when there is none. */
size_t el_fold_tensor_of(const struct el_fold *fold, enum el_role role, uint32_t layer);
/* fold_source.c: the source of the changed model, as yet unchanged. */
enum el_status el_fold_make_source(struct el_fold *fold, const struct el_source *base, struct el_err *err);
/* The tensors that say what is done to the input of a place, one for each matrix that reads it. */
enum el_status el_fold_add_input(struct el_fold *fold, const struct fold_place *place, enum el_fold_kind kind,
                                 struct el_err *err);
/* A tensor is going to be changed: float32 in canonical order from now on. The untied output gets its place. */
enum el_status el_fold_touch(struct el_fold *fold, size_t tensor, struct el_err *err);
/*
 * x [n_in] (a row of a consumer, or what it reads) changed by an op on columns. divide: what is read, so divided where it is a
 * gain.
 */
void el_fold_columns(const struct fold_op *op, uint32_t expert, uint64_t n_in, bool divide, double *x, double *scratch);
/* The same for rows: of x [n_in, width], every column a vector. */
void el_fold_column_panel(const struct fold_op *op, uint32_t expert, uint64_t n_in, double *x, uint64_t width, double *scratch);
/* Doubles that rotating a panel wants. */
uint64_t el_fold_scratch(const struct fold_tensor *t, uint64_t width);

#endif
