/*
 * Weights: the tensors of a source bound to an architecture's rules, in canonical row order, each with what is applied around
 * it. A matrix lies where the file is mapped when it lies there in one piece and in canonical order, else in memory of our
 * own. Vectors (gains, biases) are decoded to f32. Immutable after el_weights_bind.
 */
#ifndef EL_MODEL_WEIGHTS_H
#define EL_MODEL_WEIGHTS_H

#include "base/threads.h"
#include "model/arch.h"
#include "model/weight_inputs.h"
#include "tensor/layout.h"
#include "tensor/source.h"

struct el_kernels;

/* A matrix [n_experts * n_out, n_in] (n_experts is 1 but for stacks), or a vector [n_out]. Absent: role is EL_R_COUNT. */
struct el_weight {
    const char *name; /* canonical, borrowed from the source */
    enum el_role role;
    uint32_t layer; /* 0 for what is not per layer */
    uint32_t n_experts;
    uint64_t n_out, n_in;
    struct el_matrix m; /* matrices; data[0] is NULL where laid has the bytes */
    struct el_laid laid; /* re-laid for products, each expert from a strip of its own on; data is NULL: products read m */
    const struct el_weight_input *input; /* NULL: rows are read as they are; else weights of a layer that say the same share it */
    const float *vec;  /* vectors: [n_out] f32 */
    const float *bias; /* matrices: [n_out] f32 added to every product, or NULL */
};

/* Features that el_model_opts.disable may name, as bits. */
enum el_features {
    EL_OFF_ROPE_SCALING = 1u << 0, /* "rope_scaling": plain frequencies */
    EL_OFF_BIAS = 1u << 1,         /* "bias": no bias on any linear */
    EL_OFF_NORM_BIAS = 1u << 2,    /* "norm_bias" */
    EL_OFF_NORM_GAIN = 1u << 3,    /* "norm_gain": all gains 1 */
    EL_OFF_WINDOW = 1u << 4,       /* "window": every row sees all before it */
    EL_OFF_POSITIONS = 1u << 5,    /* "positions": neither RoPE nor learned positions */
    EL_OFF_OUTPUT = 1u << 6,       /* "output": the embedding serves as output matrix */
    EL_OFF_EXPERTS = 1u << 7,      /* "experts": only the first of the chosen experts */
    EL_OFF_QK_NORM = 1u << 8,      /* "qk_norm": q and k as they are */
    EL_OFF_RESID_NORM = 1u << 9,   /* "resid_norm": no norms of the residual stream behind additions */
    EL_OFF_EMBD_SCALE = 1u << 10,  /* "embd_scale", "residual_scale", "logit_scale": 1 */
    EL_OFF_RESIDUAL_SCALE = 1u << 11,
    EL_OFF_LOGIT_SCALE = 1u << 12,
    EL_OFF_ATTN_SCALE = 1u << 13,     /* "attn_scale": 1 / sqrt(d_head) */
    EL_OFF_POS_OFFSET = 1u << 14,     /* "pos_offset": position 0 has row 0 */
    EL_OFF_PARTIAL_ROTARY = 1u << 15, /* "partial_rotary": whole heads are rotated */
    EL_OFF_PARALLEL = 1u << 16,       /* "parallel": the MLP reads its norm of x with the attention added */
    EL_OFF_SHARED_EXPERT = 1u << 17,  /* "shared_expert": only the experts that the router chooses */
    EL_OFF_SHARED_GATE = 1u << 18,    /* "shared_gate": all of the shared expert for every token */
    EL_OFF_EXPERT_SHARES = 1u << 19,  /* "expert_shares": the other way to weight experts */
    EL_OFF_ATTN_CAP = 1u << 20,       /* "attn_cap", "logit_cap": scores and logits as they are */
    EL_OFF_LOGIT_CAP = 1u << 21,
    EL_OFF_POST_NORM = 1u << 22,    /* "post_norm": no norms of what attention and MLP add */
    EL_OFF_NORM_OFFSET = 1u << 23,  /* "norm_offset": gains less 1, where a folder has them so */
    EL_OFF_WINDOW_EVERY = 1u << 24, /* "window_every": all layers have the window */
    EL_OFF_ROPE_LOCAL = 1u << 25,   /* "rope_local": one base for all layers */
    EL_OFF_ROPE_ATTN = 1u << 26,    /* "rope_attn_factor": 1 */
};
/* Comma-separated names (NULL: none) to bits. EL_E_USAGE names the unknown one and those there are. */
enum el_status el_features_parse(const char *names, unsigned *off, struct el_err *err);

struct el_weights {
    struct el_weight *slots; /* [(n_layers + 1) * EL_R_COUNT]: per layer, then what is not per layer */
    uint32_t n_layers;
    void **owned; /* aligned blocks */
    size_t n_owned;
    void *arena;   /* the re-laid matrices; NULL: none, or mapped */
    float *ones;   /* [the longest norm], for gains that are off */
    struct el_weight_input *inputs; /* [n_inputs], room for every slot: weights point at them */
    size_t n_inputs;
    bool any_input; /* some weight reads changed rows */
};

/* Which weights are read; those that are not stay absent. */
enum el_bind_what { EL_BIND_ALL, EL_BIND_GLOBAL, EL_BIND_LAYER };
struct el_bind_opts {
    bool own;                         /* never leave a matrix in the mapping */
    unsigned off;                     /* enum el_features */
    const struct el_kernels *kernels; /* NULL, or re-lay what these multiply better so */
    struct el_pool *pool;             /* NULL: the caller reads alone */
    struct el_source *laid;           /* NULL, or where the re-laid matrices are (model/laid_file.h) */
    enum el_bind_what what;           /* GLOBAL: what is not per layer; LAYER: what is of one layer */
    uint32_t layer;
};
/*
 * Binds all tensors of source by arch's rules. EL_E_FORMAT lists what is missing, misshapen or not of this family, all of it
 * as far as the text holds, with the number of the rest.
 */
enum el_status el_weights_bind(struct el_weights *w, const struct el_arch *arch, const struct el_hparams *hp,
                               struct el_source *source, const struct el_bind_opts *opts, struct el_err *err);
void el_weights_release(struct el_weights *w);

/* Has a source weights that read changed rows? */
bool el_weights_change_inputs(const struct el_source *source);

/* One tensor that is missing, misshapen or not of this family: "'blk.0.attn_q.weight' is 8 x 4, should be 8 x 8". */
typedef void el_weights_problem_fn(void *user, const char *text);
/* Checks what el_weights_bind checks before it reads anything, and calls fn for every problem. EL_E_MEMORY. */
enum el_status el_weights_check(const struct el_arch *arch, const struct el_hparams *hp, struct el_source *source,
                                el_weights_problem_fn *fn, void *user, struct el_err *err);

/* The weight of a role in a layer (any layer for what is not per layer); NULL when the model has none. */
const struct el_weight *el_weight_at(const struct el_weights *w, enum el_role role, uint32_t layer);

#endif
