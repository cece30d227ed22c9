/*
 * Architectures: all that is special to a family, in one arch_x.c and one line of archs.def.
 *
 * An architecture says: which metadata it has under which names (one table, used to read and to write config.json and GGUF),
 * which tensors under which names (one table, used to bind, to convert and to check), how a block is computed, and what feeds
 * every linear (wiring). Nothing outside arch_x.c names a family.
 */
#ifndef EL_MODEL_ARCH_H
#define EL_MODEL_ARCH_H

#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "tensor/source.h"

struct el_run; /* model/run.h: one forward pass */

/* Nonlinearities: x / (1 + exp(-x)); GELU as the usual approximation by tanh, and exact, x Phi(x); max(x, 0). */
enum el_act_fn { EL_FN_SILU, EL_FN_GELU_TANH, EL_FN_GELU_ERF, EL_FN_RELU };

/* What is known of a model after reading its metadata. Zero means absent unless said otherwise. */
struct el_hparams {
    uint32_t n_vocab, n_embd, n_layers, n_heads, n_kv_heads, d_head, n_ff, n_ctx_train;
    uint32_t n_embd_io;  /* width of the embedding and of the output matrix; n_embd unless a projection stands between */
    uint32_t pos_offset; /* row of position_embd for position 0 */
    uint32_t n_rot;      /* rotated dimensions per head, the first of it; 0: no RoPE */
    uint32_t n_experts, n_experts_used;
    uint32_t n_ff_exp;          /* width of an expert; n_ff unless said apart */
    uint32_t n_ff_shexp;        /* width of the expert that all tokens share; 0: there is none */
    bool experts_as_they_are;   /* an expert's weight is its part of the softmax over all; else the chosen make up 1 */
    uint32_t window;            /* sliding window: a row sees positions > pos - window; 0: all */
    uint32_t window_from_layer; /* layers below it see everything */
    uint32_t window_every;      /* not 0: of so many layers the last sees everything, and window_from_layer is 0 */
    float norm_eps;
    float rope_theta;
    float rope_theta_local; /* of layers with a window, which are not scaled then; 0: as everywhere */
    float rope_attn_factor; /* of rotated q and k, for scores by its square */
    enum { EL_ROPE_PLAIN, EL_ROPE_LINEAR, EL_ROPE_LLAMA3, EL_ROPE_LONG } rope_scaling;
    float rope_factor, rope_low_freq, rope_high_freq;
    uint32_t rope_ctx_original;
    bool layer_norm;                  /* norms subtract the mean and may have a bias; else RMSNorm */
    enum el_act_fn act;               /* of the MLP */
    bool post_norm;                   /* norms stand behind the additions to the residual stream: x = norm(x + f(x)) */
    bool no_bias, no_output_norm;     /* linears have no biases; nothing stands before the output matrix */
    float attn_scale;                 /* of q k^T; 1 / sqrt(d_head) unless the family says otherwise */
    float attn_cap, logit_cap;        /* scores and logits s become cap tanh(s / cap); 0: they stay */
    float embd_scale, residual_scale; /* of the embedding, and of what a block adds to the residual stream; 1 in most families */
    float logit_scale;                /* what the logits are divided by; 1 in most families */
};

/* ---- one line per hyperparameter: both spellings ---- */
/*
 * `hf` is a path into config.json; null counts as absent. The first alternative is the one that is written; one with a dot is
 * never written by the table (to_config does).
 */
enum el_field_type { EL_FIELD_U32, EL_FIELD_F32, EL_FIELD_BOOL };
struct el_field {
    const char *gguf; /* "%s.block_count", %s is the GGUF architecture name */
    const char *hf;   /* path in config.json: "num_hidden_layers", "rope_scaling.factor"; alternatives separated by '|' */
    enum el_field_type type;
    bool required;
    double missing; /* used when not required and absent (what Hugging Face's class has as its default); NAN: no key */
};

/* ---- one line per tensor: both names, shape, role ---- */
enum el_role {
    EL_R_TOKEN_EMBD,
    EL_R_POS_EMBD,
    EL_R_EMBD_PROJ, /* embedding to residual stream, where their widths differ */
    EL_R_OUTPUT_NORM,
    EL_R_OUTPUT_NORM_B,
    EL_R_OUTPUT_PROJ, /* residual stream to what the output matrix reads */
    EL_R_OUTPUT,
    EL_R_ROPE_FREQS,
    EL_R_ROPE_SHORT, /* divisors of frequencies for contexts up to rope_ctx_original, and for longer ones */
    EL_R_ROPE_LONG,
    /* per layer */
    EL_R_ATTN_NORM,
    EL_R_ATTN_NORM_B,
    EL_R_ATTN_Q,
    EL_R_ATTN_Q_B,
    EL_R_ATTN_K,
    EL_R_ATTN_K_B,
    EL_R_ATTN_V,
    EL_R_ATTN_V_B,
    EL_R_ATTN_QKV,
    EL_R_ATTN_QKV_B,
    EL_R_ATTN_Q_NORM, /* [d_head] for all heads, [heads, d_head] one each, or [heads d_head] over all of them */
    EL_R_ATTN_K_NORM,
    EL_R_ATTN_OUT,
    EL_R_ATTN_OUT_B,
    EL_R_ATTN_POST_NORM,  /* of what the attention adds to the residual stream */
    EL_R_ATTN_RESID_NORM, /* of the residual stream after the attention was added */
    EL_R_ATTN_RESID_NORM_B,
    EL_R_FFN_NORM,
    EL_R_FFN_NORM_B,
    EL_R_FFN_GATE,
    EL_R_FFN_GATE_B,
    EL_R_FFN_UP,
    EL_R_FFN_UP_B,
    EL_R_FFN_DOWN,
    EL_R_FFN_DOWN_B,
    EL_R_FFN_GATE_UP,    /* gate, then up */
    EL_R_FFN_POST_NORM,  /* of what the MLP adds to the residual stream */
    EL_R_FFN_RESID_NORM, /* of the residual stream after the MLP was added */
    EL_R_FFN_RESID_NORM_B,
    EL_R_FFN_ROUTER,
    EL_R_FFN_GATE_EXPS,
    EL_R_FFN_UP_EXPS,
    EL_R_FFN_DOWN_EXPS,
    EL_R_FFN_ROUTER_SHEXP, /* how much of the shared expert a token takes */
    EL_R_FFN_GATE_SHEXP,
    EL_R_FFN_UP_SHEXP,
    EL_R_FFN_DOWN_SHEXP,
    EL_R_COUNT
};
/* A symbolic dimension, resolved by el_hparams. */
enum el_dim {
    EL_D_NONE,
    EL_D_ONE,
    EL_D_VOCAB,
    EL_D_EMBD,
    EL_D_EMBD_IO,
    EL_D_POSITIONS, /* context and offset */
    EL_D_HEADS,
    EL_D_KV_HEADS,
    EL_D_HEAD, /* columns of one head */
    EL_D_Q,
    EL_D_KV,
    EL_D_QKV,
    EL_D_FF,
    EL_D_GATE_UP,
    EL_D_FF_EXP,
    EL_D_FF_SHEXP,
    EL_D_EXPERTS,
    EL_D_ROT_HALF
};
enum el_tensor_flags {
    EL_TF_LAYER = 1u << 0, /* once per layer: %u in the names */
    EL_TF_OPTIONAL = 1u << 1,
    EL_TF_ROPE_Q = 1u << 2,      /* rows (or elements) are grouped in n_heads heads that RoPE rotates */
    EL_TF_ROPE_K = 1u << 3,      /* the same with n_kv_heads */
    EL_TF_STACK = 1u << 4,       /* hf has one tensor for each of the outermost dimension (an expert, a head): second %u */
    EL_TF_QKV_BY_HEAD = 1u << 5, /* fused q, k, v: hf has those of a head together when every query head has a KV head */
    EL_TF_TRANSPOSED = 1u << 6,  /* hf has the transpose of the matrix (Conv1D) */
    EL_TF_VECTORS = 1u << 7,     /* rows of gains or biases, not a matrix that multiplies */
    EL_TF_PLUS_ONE = 1u << 8,    /* a vector of which hf has the values less 1 */
};
struct el_tensor_rule {
    enum el_role role;
    const char *gguf;    /* "blk.%u.attn_q.weight" */
    const char *hf;      /* "model.layers.%u.self_attn.q_proj.weight"; NULL: a Hugging Face folder does not have it */
    enum el_dim dims[3]; /* outermost first, EL_D_NONE ends */
    unsigned flags;
};

/*
 * Wiring: what feeds every linear and what commutes in between. A link says: if the producer's output channel j is changed by
 * C (gain, permutation, rotation; `how` lists what commutes), the consumers' input columns can be changed by C^-1 and the
 * logits stay. Its test does exactly that for every link.
 */
enum el_commutes {
    EL_C_GAIN = 1u << 0,     /* multiply by any s_j != 0 (positive only where EL_C_POSITIVE) */
    EL_C_PERM = 1u << 1,     /* permute channels */
    EL_C_ROTATE = 1u << 2,   /* any orthogonal matrix (producer rows, consumer columns) */
    EL_C_PER_HEAD = 1u << 3, /* the change acts within a head, the same for all query heads of one KV head */
    EL_C_POSITIVE = 1u << 4,
    /*
     * The channels are those of the residual stream, changed in all layers at once. token_embd and position_embd carry the
     * change in their columns (a tied output follows by itself). Norms on the way permute their gains and biases with it;
     * before a rotation their gains must have been moved into what they feed (the GAIN links), so that they are 1.
     */
    EL_C_RESIDUAL = 1u << 5,
    /*
     * With RESIDUAL: any orthogonal matrix that leaves the vector of ones as it is, so that it commutes with the subtraction of
     * the mean. The norms' biases carry the change, as producers do.
     */
    EL_C_ROTATE_MEAN = 1u << 6,
};
/*
 * Where a family has q, k, v fused, EL_R_ATTN_V stands for the v rows of EL_R_ATTN_QKV; where it has gate and up fused,
 * EL_R_FFN_GATE and EL_R_FFN_UP stand for their rows of EL_R_FFN_GATE_UP. In a mixture of experts a link from
 * experts to experts holds within each expert. A link one of whose ends the model lacks (tied output) does not hold, unless it
 * is RESIDUAL: that holds for those of its roles that the model has.
 */
struct el_link {
    /* Both ended by EL_R_COUNT: matrices whose output rows and bias, or norms whose gain and bias, carry the change, */
    enum el_role producers[16];
    /* and matrices whose input columns take the inverse. */
    enum el_role consumers[16];
    unsigned how;
};

/*
 * One line per flag of config.json that says whether tensors are there which are optional in the table. Where the folder is
 * read both must agree, written is what is there. In GGUF the tensors decide.
 */
struct el_config_flag {
    const char *hf;
    bool missing;   /* what it means when it is not there */
    bool absent;    /* true says that the tensors are absent */
    uint64_t roles; /* EL_ROLE() | EL_ROLE(): all are there, or none */
};
#define EL_ROLE(role) (UINT64_C(1) << EL_R_##role)

struct el_arch {
    const char *name; /* "mixtral" */
    const char *about;
    const char *gguf_arch;         /* general.architecture: "llama" */
    const char *const *hf_classes; /* "MixtralForCausalLM", NULL-ended; [0] is written */
    const char *hf_model_type;     /* "mixtral" */
    const char *const *hf_ignored; /* NULL-ended: tensors whose Hugging Face name ends so are buffers, not weights; skip them */
    const char *hf_prefix;         /* "transformer.": what the names in a folder may lack; NULL: nothing */
    bool hf_tied;                  /* tie_word_embeddings when config.json does not say */
    double hf_rope_theta;          /* rope_theta when config.json does not say; 0: 10000 */
    double hf_partial_rotary;      /* partial_rotary_factor when config.json does not say; 0: whole heads, and nothing else */
    bool gguf_rope_pairs;          /* GGUF of this family holds q and k as EL_ROWS_ROPE_PAIRS */
    /*
     * llama.cpp's size class "70B", by which llama-quantize's mixes go: models of the family with this many layers (0: there is
     * none), with class_70b_shared only those whose query heads share key heads.
     */
    uint32_t class_70b_layers;
    bool class_70b_shared;
    /* Does this metadata (general.architecture already equal) belong to this architecture? NULL: yes. */
    bool (*match)(const struct el_meta *meta);
    const struct el_field *fields;        /* ended by gguf NULL */
    const struct el_config_flag *flags;   /* ended by hf NULL; NULL: none */
    const struct el_tensor_rule *tensors; /* ended by gguf NULL */
    const struct el_link *links;          /* ended by how 0 */
    /* Checks and derives what the table cannot say. `meta` is canonical, hp zero. EL_E_FORMAT names the key. */
    enum el_status (*hparams)(const struct el_arch *arch, const struct el_meta *meta, struct el_hparams *hp, struct el_err *err);
    /* config.json members that need more than the table, both ways. May be NULL. */
    enum el_status (*from_config)(const struct el_arch *arch, const struct el_json *config, struct el_meta *meta,
                                  struct el_err *err);
    enum el_status (*to_config)(const struct el_arch *arch, const struct el_meta *meta, const struct el_hparams *hp,
                                uint64_t roles, struct el_buf *json_members, struct el_err *err);
    /* Has a model of these hyperparameters tensors of this role (which are then as the flags say)? NULL: of all in the table. */
    bool (*has)(const struct el_hparams *hp, enum el_role role);
    /* The wiring of models with these hyperparameters and roles, where it is not `links` for all. NULL: it is. */
    const struct el_link *(*wiring)(const struct el_hparams *hp, uint64_t roles);

    /* Forward: token rows to x, x through block l in place, x to logits of the wanted rows. Only calls of model/ops.h. */
    void (*embed)(struct el_run *run);
    void (*block)(struct el_run *run, uint32_t l);
    void (*head)(struct el_run *run);
};

const struct el_arch *el_arch_at(size_t i);
/* By canonical metadata; NULL with err EL_E_UNSUPPORTED naming the family and those there are. */
const struct el_arch *el_arch_of_meta(const struct el_meta *meta, struct el_err *err);
/* By config.json ("architectures"[0], else "model_type"). */
const struct el_arch *el_arch_of_config(const struct el_json *config, struct el_err *err);

/* Does this config.json tie the output to the embedding? It may be wrong: a folder may hold a lm_head.weight of its own. */
bool el_arch_config_tied(const struct el_arch *arch, const struct el_json *config);

/* Hyperparameters from canonical metadata: the family's hparams on a cleared hp. */
enum el_status el_arch_hparams(const struct el_arch *arch, const struct el_meta *meta, struct el_hparams *hp, struct el_err *err);
/* Has a model of these hyperparameters the tensors of this rule? If it has, the rule's flags say whether they must be there. */
bool el_arch_has(const struct el_arch *arch, const struct el_hparams *hp, const struct el_tensor_rule *rule);

/* The wiring of a model that has these hyperparameters and roles. */
const struct el_link *el_arch_links(const struct el_arch *arch, const struct el_hparams *hp, uint64_t roles);
/* Does a flag of a folder's config.json say that the model has no tensors of this role? */
bool el_arch_flag_forbids(const struct el_arch *arch, const struct el_json *config, enum el_role role);
/* Do the flags of a folder's config.json agree with the roles that its tensors show? EL_E_FORMAT names flag and tensor. */
enum el_status el_arch_check_flags(const struct el_arch *arch, const struct el_json *config, uint64_t roles, struct el_err *err);

/* Is layer l one of those with a window (if the model has one)? */
bool el_arch_is_local(const struct el_hparams *hp, uint32_t l);

/* Size of a symbolic dimension. */
uint64_t el_dim_size(enum el_dim d, const struct el_hparams *hp);
/* Rule for a canonical tensor name and its layer; NULL: none. */
const struct el_tensor_rule *el_arch_rule(const struct el_arch *arch, const char *name, uint32_t *layer);
/* Rule for a role; NULL: the family has none. */
const struct el_tensor_rule *el_arch_rule_of_role(const struct el_arch *arch, enum el_role role);
/* The row order that GGUF files of this family use for a rule. */
struct el_row_order el_arch_gguf_order(const struct el_arch *arch, const struct el_tensor_rule *rule,
                                       const struct el_hparams *hp);
/* The same for the tensors of a Hugging Face folder. */
struct el_row_order el_arch_hf_order(const struct el_arch *arch, const struct el_tensor_rule *rule, const struct el_hparams *hp);
/* Bit 1 << role for every role that the canonical names of tensors show. */
uint64_t el_arch_roles(const struct el_arch *arch, const struct el_tensor *tensors, size_t n_tensors);
/*
 * Tensor i of those that metadata imply though a Hugging Face folder has none: rope_freqs.weight, by which llama.cpp divides
 * the frequencies of llama3 scaling, and the two of long scaling. A source of that kind adds them (F32, canonical order) so
 * that what is written from it is complete. NULL: no more. values: its dims[0] = n_rot / 2 elements.
 */
const struct el_tensor_rule *el_arch_implied(const struct el_arch *arch, const struct el_hparams *hp, size_t i);
enum el_status el_arch_implied_values(const struct el_arch *arch, const struct el_meta *meta, const struct el_hparams *hp,
                                      const struct el_tensor_rule *rule, float *values, struct el_err *err);
/*
 * The reverse, for GGUF sources: meta lacks the keys and the file has a tensor of this role with these n values. Sets the keys,
 * so that a config.json can be written; for llama3 it finds the parameters. Values that no parameters give leave meta as it is.
 */
enum el_status el_arch_adopt_rope_freqs(const struct el_arch *arch, enum el_role role, struct el_meta *meta, const float *values,
                                        size_t n, struct el_err *err);
/* The roles whose tensors hold RoPE's factors; EL_R_COUNT: no more. */
enum el_role el_arch_rope_role(size_t i);
bool el_arch_is_rope_factors(enum el_role role);
/* Common reading of the fields table into canonical metadata (from config.json). */
enum el_status el_arch_read_config(const struct el_arch *arch, const struct el_json *config, struct el_meta *meta,
                                   struct el_err *err);
/*
 * The reverse: config.json text. roles (el_arch_roles of what is written) tells about biases and tied embeddings; dtype is
 * torch's name ("bfloat16").
 */
enum el_status el_arch_write_config(const struct el_arch *arch, const struct el_meta *meta, uint64_t roles, const char *dtype,
                                    struct el_buf *json, struct el_err *err);

/* ---- for the arch_x.c files ---- */
/* "%s.block_count" of this family into key[128]. */
const char *el_arch_key(const struct el_arch *arch, const char *fmt, char key[128]);
/*
 * What all families share: sizes, heads, norm (eps_fmt: the key of its epsilon), context, vocabulary, experts. Checks every
 * range; EL_E_FORMAT names the key, the value found and the values allowed.
 */
enum el_status el_arch_common_hparams(const struct el_arch *arch, const struct el_meta *meta, const char *eps_fmt,
                                      struct el_hparams *hp, struct el_err *err);
/* A float that must be finite and within (above, most]; `missing` is used as it is when the key is absent. */
enum el_status el_arch_get_f32_or(const struct el_arch *arch, const struct el_meta *meta, const char *fmt, float above,
                                  float most, float missing, float *out, struct el_err *err);
/* EL_E_FORMAT unless the heads together are as wide as the residual stream. */
enum el_status el_arch_check_heads(const struct el_hparams *hp, struct el_err *err);
/*
 * RoPE: theta, dimensions, scaling, what q and k are multiplied by. The same, for families that rotate. EL_E_UNSUPPORTED: a kind
 * of scaling that the family has no tensors for.
 */
enum el_status el_arch_rope_hparams(const struct el_arch *arch, const struct el_meta *meta, struct el_hparams *hp,
                                    struct el_err *err);
/* Long scaling (Ding et al., arXiv:2402.13753): factors, original context. After el_arch_rope_hparams, for families with it. */
enum el_status el_arch_long_rope_hparams(const struct el_arch *arch, const struct el_meta *meta, struct el_hparams *hp,
                                         struct el_err *err);
/*
 * Which layers have a window, from layer_types or sliding_window_pattern; usual: hp->window_every where nothing is said. And
 * back.
 */
enum el_status el_arch_windows_from_config(const struct el_arch *arch, const struct el_json *config, uint32_t usual,
                                           struct el_meta *meta, struct el_err *err);
enum el_status el_arch_windows_hparams(const struct el_arch *arch, const struct el_meta *meta, uint32_t usual,
                                       struct el_hparams *hp, struct el_err *err);
void el_arch_windows_to_config(const struct el_hparams *hp, struct el_buf *json);
/*
 * rope_scaling / rope_parameters of config.json -> metadata, and back as JSON members (each begins with ",\n"). Partial
 * rotation sets rope.dimension_count, so that el_arch_heads_from_config comes before.
 */
enum el_status el_arch_rope_from_config(const struct el_arch *arch, const struct el_json *config, struct el_meta *meta,
                                        struct el_err *err);
void el_arch_rope_to_config(const struct el_arch *arch, const struct el_meta *meta, const struct el_hparams *hp,
                            struct el_buf *json);
/* Sets value_length like key_length (head_dim) and rope.dimension_count to the whole head, as llama.cpp's converter does. */
enum el_status el_arch_heads_from_config(const struct el_arch *arch, struct el_meta *meta, struct el_err *err);
/* EL_E_UNSUPPORTED unless config[key] is absent or one of the NULL-ended names; *index (may be NULL) which one, -1 absent. */
enum el_status el_arch_config_name(const struct el_json *config, const char *key, const char *const *allowed, int *index,
                                   struct el_err *err);
/* A JSON member of a float: the shortest decimal that reads back as the same float32. */
void el_arch_add_f32(struct el_buf *json, const char *name, float value);

#endif
