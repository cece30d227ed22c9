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

/* What is known of a model after reading its metadata. Zero means absent unless said otherwise. */
struct el_hparams {
    uint32_t n_vocab, n_embd, n_layers, n_heads, n_kv_heads, d_head, n_ff, n_ctx_train;
    uint32_t n_rot; /* rotated dimensions per head; 0: no RoPE */
    uint32_t n_experts, n_experts_used;
    uint32_t window;            /* sliding window: a row sees positions > pos - window; 0: all */
    uint32_t window_from_layer; /* layers below it see everything */
    float norm_eps;
    float rope_theta;
    enum { EL_ROPE_PLAIN, EL_ROPE_LINEAR, EL_ROPE_LLAMA3 } rope_scaling;
    float rope_factor, rope_low_freq, rope_high_freq;
    uint32_t rope_ctx_original;
    bool layer_norm; /* norms subtract the mean and may have a bias; else RMSNorm */
    bool gelu_erf;   /* the MLP's GELU is the exact one, x Phi(x), not the tanh approximation */
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
    EL_R_OUTPUT_NORM,
    EL_R_OUTPUT_NORM_B,
    EL_R_OUTPUT,
    EL_R_ROPE_FREQS,
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
    EL_R_ATTN_OUT,
    EL_R_ATTN_OUT_B,
    EL_R_FFN_NORM,
    EL_R_FFN_NORM_B,
    EL_R_FFN_GATE,
    EL_R_FFN_GATE_B,
    EL_R_FFN_UP,
    EL_R_FFN_UP_B,
    EL_R_FFN_DOWN,
    EL_R_FFN_DOWN_B,
    EL_R_FFN_ROUTER,
    EL_R_FFN_GATE_EXPS,
    EL_R_FFN_UP_EXPS,
    EL_R_FFN_DOWN_EXPS,
    EL_R_COUNT
};
/* A symbolic dimension, resolved by el_hparams. */
enum el_dim { EL_D_NONE, EL_D_VOCAB, EL_D_EMBD, EL_D_CTX, EL_D_Q, EL_D_KV, EL_D_QKV, EL_D_FF, EL_D_EXPERTS, EL_D_ROT_HALF };
enum el_tensor_flags {
    EL_TF_LAYER = 1u << 0, /* once per layer: %u in the names */
    EL_TF_OPTIONAL = 1u << 1,
    EL_TF_ROPE_Q = 1u << 2, /* rows (or elements) are grouped in n_heads heads that RoPE rotates */
    EL_TF_ROPE_K = 1u << 3, /* the same with n_kv_heads */
    EL_TF_STACK = 1u << 4,  /* hf has one matrix per expert: second %u */
    EL_TF_QKV = 1u << 5,    /* fused q, k, v */
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
};
/*
 * Where a family has q, k, v fused, EL_R_ATTN_V stands for the v rows of EL_R_ATTN_QKV. In a mixture of experts a link from
 * experts to experts holds within each expert. A link whose consumer the model lacks (tied output) does not hold, unless it
 * is RESIDUAL.
 */
struct el_link {
    /* Both ended by EL_R_COUNT: matrices whose output rows and bias, or norms whose gain and bias, carry the change, */
    enum el_role producers[8];
    /* and matrices whose input columns take the inverse. */
    enum el_role consumers[8];
    unsigned how;
};

struct el_arch {
    const char *name; /* "mixtral" */
    const char *about;
    const char *gguf_arch;         /* general.architecture: "llama" */
    const char *const *hf_classes; /* "MixtralForCausalLM", NULL-ended; [0] is written */
    const char *hf_model_type;     /* "mixtral" */
    const char *const *hf_ignored; /* NULL-ended: tensors whose Hugging Face name ends so are buffers, not weights; skip them */
    bool hf_tied;                  /* tie_word_embeddings when config.json does not say */
    bool gguf_rope_pairs;          /* GGUF of this family holds q and k as EL_ROWS_ROPE_PAIRS */
    /* Does this metadata (general.architecture already equal) belong to this architecture? NULL: yes. */
    bool (*match)(const struct el_meta *meta);
    const struct el_field *fields;        /* ended by gguf NULL */
    const struct el_tensor_rule *tensors; /* ended by gguf NULL */
    const struct el_link *links;          /* ended by how 0 */
    /* Checks and derives what the table cannot say. `meta` is canonical. EL_E_FORMAT names the key. */
    enum el_status (*hparams)(const struct el_meta *meta, struct el_hparams *hp, struct el_err *err);
    /* config.json members that need more than the table, both ways. May be NULL. */
    enum el_status (*from_config)(const struct el_json *config, struct el_meta *meta, struct el_err *err);
    enum el_status (*to_config)(const struct el_meta *meta, const struct el_hparams *hp, uint64_t roles,
                                struct el_buf *json_members, struct el_err *err);

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

/* Does this config.json tie the output to the embedding? Then a lm_head.weight in the folder is a copy to be skipped. */
bool el_arch_config_tied(const struct el_arch *arch, const struct el_json *config);

/* Size of a symbolic dimension. */
uint64_t el_dim_size(enum el_dim d, const struct el_hparams *hp);
/* Rule for a canonical tensor name and its layer; NULL: none. */
const struct el_tensor_rule *el_arch_rule(const struct el_arch *arch, const char *name, uint32_t *layer);
/* The row order that GGUF files of this family use for a rule. */
struct el_row_order el_arch_gguf_order(const struct el_arch *arch, const struct el_tensor_rule *rule,
                                       const struct el_hparams *hp);
/* The same for the tensors of a Hugging Face folder. */
struct el_row_order el_arch_hf_order(const struct el_arch *arch, const struct el_tensor_rule *rule, const struct el_hparams *hp);
/* Bit 1 << role for every role that the canonical names of tensors show. */
uint64_t el_arch_roles(const struct el_arch *arch, const struct el_tensor *tensors, size_t n_tensors);
/*
 * The tensor that metadata implies though a Hugging Face folder has none: rope_freqs.weight, by which llama.cpp divides the
 * frequencies of llama3 scaling. A source of that kind adds it (F32, canonical order) so that what is written from it is
 * complete. NULL: none. values: its dims[0] = n_rot / 2 elements.
 */
const struct el_tensor_rule *el_arch_implied(const struct el_arch *arch, const struct el_hparams *hp);
void el_arch_implied_values(const struct el_arch *arch, const struct el_hparams *hp, float *values);
/*
 * The reverse, for GGUF sources: meta lacks the llama3 keys and the file has rope_freqs.weight with these n values. Finds the
 * parameters and sets the keys, so that a config.json can be written. Values that no llama3 parameters give leave meta as it is.
 */
enum el_status el_arch_adopt_rope_freqs(const struct el_arch *arch, struct el_meta *meta, const float *values, size_t n,
                                        struct el_err *err);
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
/* RoPE: theta, dimensions, scaling. The same, for families that rotate. */
enum el_status el_arch_rope_hparams(const struct el_arch *arch, const struct el_meta *meta, struct el_hparams *hp,
                                    struct el_err *err);
/* rope_scaling / rope_parameters of config.json -> metadata, and back as JSON members (each begins with ",\n"). */
enum el_status el_arch_rope_from_config(const struct el_arch *arch, const struct el_json *config, struct el_meta *meta,
                                        struct el_err *err);
void el_arch_rope_to_config(const struct el_hparams *hp, struct el_buf *json);
/* Sets value_length like key_length (head_dim) and rope.dimension_count to the whole head, as llama.cpp's converter does. */
enum el_status el_arch_heads_from_config(const struct el_arch *arch, struct el_meta *meta, struct el_err *err);
/* EL_E_UNSUPPORTED unless config[key] is absent or one of the NULL-ended names; *index (may be NULL) which one, -1 absent. */
enum el_status el_arch_config_name(const struct el_json *config, const char *key, const char *const *allowed, int *index,
                                   struct el_err *err);

#endif
