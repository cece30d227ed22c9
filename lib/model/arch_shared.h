/*
 * What families share, so that a descendant of Llama is a short arch_x.c: rows for the tables of hyperparameters and tensors,
 * wiring, and the functions of struct el_arch. A table takes the rows that the family has, in any order, and adds its own:
 *
 *     static const struct el_tensor_rule tensors[] = {
 *         EL_ROW_EMBD, EL_ROWS_ATTN, EL_ROWS_QKV_BIAS(0), EL_ROWS_SWIGLU, EL_ROWS_HEAD, EL_ROWS_END,
 *     };
 *
 * Rows named for a part of the model use the names of Llama's Hugging Face class, which most families took over.
 */
#ifndef EL_MODEL_ARCH_SHARED_H
#define EL_MODEL_ARCH_SHARED_H

#include <math.h>

#include "model/arch.h"
#include "model/layers.h"

/* ---- hyperparameters ---- */

/* Everyone's sizes. n_ctx: context length where config.json has none. */
#define EL_FIELDS_SIZES(n_ctx)                                                                                                   \
    {"%s.vocab_size", "vocab_size", EL_FIELD_U32, true, 0},                                                                      \
        {"%s.context_length", "max_position_embeddings", EL_FIELD_U32, false, n_ctx},                                            \
        {"%s.embedding_length", "hidden_size", EL_FIELD_U32, true, 0},                                                           \
        {"%s.block_count", "num_hidden_layers", EL_FIELD_U32, true, 0},                                                          \
        {"%s.feed_forward_length", "intermediate_size", EL_FIELD_U32, true, 0},                                                  \
    {                                                                                                                            \
        "%s.attention.head_count", "num_attention_heads", EL_FIELD_U32, true, 0                                                  \
    }
/* Key/value heads, and columns of a head; each with its default, NAN for as many as heads and n_embd / n_heads. */
#define EL_FIELDS_HEADS(n_kv, d_head)                                                                                            \
    {"%s.attention.head_count_kv", "num_key_value_heads", EL_FIELD_U32, false, n_kv},                                            \
    {                                                                                                                            \
        "%s.attention.key_length", "head_dim", EL_FIELD_U32, false, d_head                                                       \
    }
#define EL_FIELD_RMS_EPS(eps)                                                                                                    \
    {                                                                                                                            \
        "%s.attention.layer_norm_rms_epsilon", "rms_norm_eps", EL_FIELD_F32, false, eps                                          \
    }
/* Experts, where their names are Qwen's: how many there are, how many a token takes, do those make up 1. */
#define EL_FIELDS_EXPERTS(n, n_used)                                                                                             \
    {"%s.expert_count", "num_experts|num_local_experts", EL_FIELD_U32, false, n},                                                \
        {"%s.expert_used_count", "num_experts_per_tok", EL_FIELD_U32, false, n_used},                                            \
    {                                                                                                                            \
        "%s.expert_weights_norm", "norm_topk_prob", EL_FIELD_BOOL, false, 0                                                      \
    }
/* GPT-2's own names. */
#define EL_FIELDS_GPT                                                                                                            \
    {"%s.vocab_size", "vocab_size", EL_FIELD_U32, true, 0},                                                                      \
        {"%s.context_length", "n_positions|max_position_embeddings", EL_FIELD_U32, false, 1024},                                 \
        {"%s.embedding_length", "n_embd|hidden_size", EL_FIELD_U32, true, 0},                                                    \
        {"%s.block_count", "n_layer|num_hidden_layers", EL_FIELD_U32, true, 0},                                                  \
        {"%s.feed_forward_length", "n_inner", EL_FIELD_U32, false, NAN},                                                         \
        {"%s.attention.head_count", "n_head|num_attention_heads", EL_FIELD_U32, true, 0},                                        \
    {                                                                                                                            \
        "%s.attention.layer_norm_epsilon", "layer_norm_epsilon", EL_FIELD_F32, false, 1e-5                                       \
    }
#define EL_FIELDS_END                                                                                                            \
    {                                                                                                                            \
        NULL, NULL, EL_FIELD_U32, false, 0                                                                                       \
    }

/* ---- flags ---- */

/* attention_bias of q, k, v, output, and mlp_bias of gate, up, down. */
extern const struct el_config_flag el_flags_llama[];
#define EL_FLAGS_END                                                                                                             \
    {                                                                                                                            \
        NULL, false, false, 0                                                                                                    \
    }

/* ---- tensors ---- */

/* One tensor of the model, and one of every layer; role and names without what all have in common, then flags, then dims. */
#define EL_ROW(role, gguf, hf, flags, ...)                                                                                       \
    {                                                                                                                            \
        EL_R_##role, gguf, hf, {__VA_ARGS__}, flags                                                                              \
    }
#define EL_ROW_LAYER(role, gguf, hf, flags, ...)                                                                                 \
    {                                                                                                                            \
        EL_R_##role, "blk.%u." gguf, "model.layers.%u." hf, {__VA_ARGS__}, EL_TF_LAYER | (flags)                                 \
    }
#define EL_ROWS_END                                                                                                              \
    {                                                                                                                            \
        EL_R_COUNT, NULL, NULL, {EL_D_NONE}, 0                                                                                   \
    }

#define EL_ROW_EMBD       EL_ROW(TOKEN_EMBD, "token_embd.weight", "model.embed_tokens.weight", 0, EL_D_VOCAB, EL_D_EMBD)
#define EL_ROW_ROPE_FREQS EL_ROW(ROPE_FREQS, "rope_freqs.weight", NULL, EL_TF_OPTIONAL, EL_D_ROT_HALF)
/* Norm before attention, q, k, v, output. */
#define EL_ROW_ATTN_NORM(flags) EL_ROW_LAYER(ATTN_NORM, "attn_norm.weight", "input_layernorm.weight", flags, EL_D_EMBD)
#define EL_ROWS_ATTN            EL_ROW_ATTN_NORM(0), EL_ROWS_ATTN_LINEAR
#define EL_ROWS_ATTN_LINEAR                                                                                                      \
    EL_ROW_LAYER(ATTN_Q, "attn_q.weight", "self_attn.q_proj.weight", EL_TF_ROPE_Q, EL_D_Q, EL_D_EMBD),                           \
        EL_ROW_LAYER(ATTN_K, "attn_k.weight", "self_attn.k_proj.weight", EL_TF_ROPE_K, EL_D_KV, EL_D_EMBD),                      \
        EL_ROW_LAYER(ATTN_V, "attn_v.weight", "self_attn.v_proj.weight", 0, EL_D_KV, EL_D_EMBD),                                 \
        EL_ROW_LAYER(ATTN_OUT, "attn_output.weight", "self_attn.o_proj.weight", 0, EL_D_EMBD, EL_D_Q)
/* Biases; flags: 0 or EL_TF_OPTIONAL. */
#define EL_ROWS_QKV_BIAS(flags)                                                                                                  \
    EL_ROW_LAYER(ATTN_Q_B, "attn_q.bias", "self_attn.q_proj.bias", EL_TF_ROPE_Q | (flags), EL_D_Q),                              \
        EL_ROW_LAYER(ATTN_K_B, "attn_k.bias", "self_attn.k_proj.bias", EL_TF_ROPE_K | (flags), EL_D_KV),                         \
        EL_ROW_LAYER(ATTN_V_B, "attn_v.bias", "self_attn.v_proj.bias", flags, EL_D_KV)
#define EL_ROW_OUT_BIAS(flags) EL_ROW_LAYER(ATTN_OUT_B, "attn_output.bias", "self_attn.o_proj.bias", flags, EL_D_EMBD)
/* Norms of q and k, the same for all heads. */
#define EL_ROWS_QK_NORM                                                                                                          \
    EL_ROW_LAYER(ATTN_Q_NORM, "attn_q_norm.weight", "self_attn.q_norm.weight", 0, EL_D_HEAD),                                    \
        EL_ROW_LAYER(ATTN_K_NORM, "attn_k_norm.weight", "self_attn.k_norm.weight", 0, EL_D_HEAD)
#define EL_ROW_FFN_NORM EL_ROW_LAYER(FFN_NORM, "ffn_norm.weight", "post_attention_layernorm.weight", 0, EL_D_EMBD)
/* Gate, up, down; and with the norm before them. */
#define EL_ROWS_GATED                                                                                                            \
    EL_ROW_LAYER(FFN_GATE, "ffn_gate.weight", "mlp.gate_proj.weight", 0, EL_D_FF, EL_D_EMBD),                                    \
        EL_ROW_LAYER(FFN_UP, "ffn_up.weight", "mlp.up_proj.weight", 0, EL_D_FF, EL_D_EMBD),                                      \
        EL_ROW_LAYER(FFN_DOWN, "ffn_down.weight", "mlp.down_proj.weight", 0, EL_D_EMBD, EL_D_FF)
#define EL_ROWS_SWIGLU EL_ROW_FFN_NORM, EL_ROWS_GATED
#define EL_ROWS_SWIGLU_BIAS(flags)                                                                                               \
    EL_ROW_LAYER(FFN_GATE_B, "ffn_gate.bias", "mlp.gate_proj.bias", flags, EL_D_FF),                                             \
        EL_ROW_LAYER(FFN_UP_B, "ffn_up.bias", "mlp.up_proj.bias", flags, EL_D_FF),                                               \
        EL_ROW_LAYER(FFN_DOWN_B, "ffn_down.bias", "mlp.down_proj.bias", flags, EL_D_EMBD)
/* All of Gemma 2: gains that a folder has less 1, norms before and behind attention and MLP. */
#define EL_ROWS_GEMMA                                                                                                            \
    EL_ROW_EMBD, EL_ROW_ATTN_NORM(EL_TF_PLUS_ONE), EL_ROWS_ATTN_LINEAR,                                                          \
        EL_ROW_LAYER(ATTN_POST_NORM, "post_attention_norm.weight", "post_attention_layernorm.weight", EL_TF_PLUS_ONE,            \
                     EL_D_EMBD),                                                                                                 \
        EL_ROW_LAYER(FFN_NORM, "ffn_norm.weight", "pre_feedforward_layernorm.weight", EL_TF_PLUS_ONE, EL_D_EMBD), EL_ROWS_GATED, \
        EL_ROW_LAYER(FFN_POST_NORM, "post_ffw_norm.weight", "post_feedforward_layernorm.weight", EL_TF_PLUS_ONE, EL_D_EMBD),     \
        EL_ROW(OUTPUT_NORM, "output_norm.weight", "model.norm.weight", EL_TF_PLUS_ONE, EL_D_EMBD), EL_ROW_OUTPUT
/* Router and experts, whose names in a folder differ from family to family ("mlp.gate", "mlp.experts.%u.gate_proj", ...). */
#define EL_ROWS_MOE(router, gate, up, down)                                                                                      \
    EL_ROW_FFN_NORM, EL_ROW_LAYER(FFN_ROUTER, "ffn_gate_inp.weight", router ".weight", 0, EL_D_EXPERTS, EL_D_EMBD),              \
        EL_ROW_LAYER(FFN_GATE_EXPS, "ffn_gate_exps.weight", gate ".weight", EL_TF_STACK, EL_D_EXPERTS, EL_D_FF_EXP, EL_D_EMBD),  \
        EL_ROW_LAYER(FFN_UP_EXPS, "ffn_up_exps.weight", up ".weight", EL_TF_STACK, EL_D_EXPERTS, EL_D_FF_EXP, EL_D_EMBD),        \
        EL_ROW_LAYER(FFN_DOWN_EXPS, "ffn_down_exps.weight", down ".weight", EL_TF_STACK, EL_D_EXPERTS, EL_D_EMBD, EL_D_FF_EXP)
/* The same with Qwen's names. */
#define EL_ROWS_MOE_QWEN EL_ROWS_MOE("mlp.gate", "mlp.experts.%u.gate_proj", "mlp.experts.%u.up_proj", "mlp.experts.%u.down_proj")
#define EL_ROW_OUTPUT    EL_ROW(OUTPUT, "output.weight", "lm_head.weight", EL_TF_OPTIONAL, EL_D_VOCAB, EL_D_EMBD)
#define EL_ROWS_HEAD     EL_ROW(OUTPUT_NORM, "output_norm.weight", "model.norm.weight", 0, EL_D_EMBD), EL_ROW_OUTPUT

/*
 * All of GPT-2: LayerNorm with bias, learned positions, q, k, v fused. flags: of the matrices of every layer; qkv_flags: of the
 * fused ones and their bias besides.
 */
#define EL_ROW_GPT(role, gguf, hf, flags, ...)                                                                                   \
    EL_ROW(role, "blk.%u." gguf, "transformer.h.%u." hf, EL_TF_LAYER | (flags), __VA_ARGS__)
#define EL_ROWS_GPT(flags, qkv_flags)                                                                                            \
    EL_ROW(TOKEN_EMBD, "token_embd.weight", "transformer.wte.weight", 0, EL_D_VOCAB, EL_D_EMBD),                                 \
        EL_ROW(POS_EMBD, "position_embd.weight", "transformer.wpe.weight", 0, EL_D_POSITIONS, EL_D_EMBD),                        \
        EL_ROW_GPT(ATTN_NORM, "attn_norm.weight", "ln_1.weight", 0, EL_D_EMBD),                                                  \
        EL_ROW_GPT(ATTN_NORM_B, "attn_norm.bias", "ln_1.bias", 0, EL_D_EMBD),                                                    \
        EL_ROW_GPT(ATTN_QKV, "attn_qkv.weight", "attn.c_attn.weight", (flags) | (qkv_flags), EL_D_QKV, EL_D_EMBD),               \
        EL_ROW_GPT(ATTN_QKV_B, "attn_qkv.bias", "attn.c_attn.bias", qkv_flags, EL_D_QKV),                                        \
        EL_ROW_GPT(ATTN_OUT, "attn_output.weight", "attn.c_proj.weight", flags, EL_D_EMBD, EL_D_Q),                              \
        EL_ROW_GPT(ATTN_OUT_B, "attn_output.bias", "attn.c_proj.bias", 0, EL_D_EMBD),                                            \
        EL_ROW_GPT(FFN_NORM, "ffn_norm.weight", "ln_2.weight", 0, EL_D_EMBD),                                                    \
        EL_ROW_GPT(FFN_NORM_B, "ffn_norm.bias", "ln_2.bias", 0, EL_D_EMBD),                                                      \
        EL_ROW_GPT(FFN_UP, "ffn_up.weight", "mlp.c_fc.weight", flags, EL_D_FF, EL_D_EMBD),                                       \
        EL_ROW_GPT(FFN_UP_B, "ffn_up.bias", "mlp.c_fc.bias", 0, EL_D_FF),                                                        \
        EL_ROW_GPT(FFN_DOWN, "ffn_down.weight", "mlp.c_proj.weight", flags, EL_D_EMBD, EL_D_FF),                                 \
        EL_ROW_GPT(FFN_DOWN_B, "ffn_down.bias", "mlp.c_proj.bias", 0, EL_D_EMBD),                                                \
        EL_ROW(OUTPUT_NORM, "output_norm.weight", "transformer.ln_f.weight", 0, EL_D_EMBD),                                      \
        EL_ROW(OUTPUT_NORM_B, "output_norm.bias", "transformer.ln_f.bias", 0, EL_D_EMBD), EL_ROW_OUTPUT

/* ---- wiring ---- */

/* RMSNorm, separate q, k, v, SwiGLU. */
extern const struct el_link el_links_swiglu[];
/* The same with a mixture of experts in place of the MLP. */
extern const struct el_link el_links_moe[];
/* Gemma 2 and 3. */
extern const struct el_link el_links_gemma[];
/* LayerNorm, fused q, k, v, an MLP of up and down with GELU. */
extern const struct el_link el_links_gpt[];
/* A link ends with EL_LINK_END, and so does a list of links. */
#define EL_LINKS_END                                                                                                             \
    {                                                                                                                            \
        {EL_R_COUNT}, {EL_R_COUNT}, 0                                                                                            \
    }

/* ---- functions of struct el_arch ---- */

/* Buffers that old checkpoints hold: of rotating families, and of GPT-2 and its descendants. */
extern const char *const el_hf_ignored_rope[];
extern const char *const el_hf_ignored_gpt[];

/* Sizes, RMSNorm's epsilon, RoPE. */
enum el_status el_llama_hparams(const struct el_arch *arch, const struct el_meta *meta, struct el_hparams *hp,
                                struct el_err *err);
/* hidden_act must be SiLU; heads; RoPE. */
enum el_status el_llama_from_config(const struct el_arch *arch, const struct el_json *config, struct el_meta *meta,
                                    struct el_err *err);
/* hidden_act; "sliding_window": null where the table of fields has the window and the model none; RoPE. */
enum el_status el_llama_to_config(const struct el_arch *arch, const struct el_meta *meta, const struct el_hparams *hp,
                                  uint64_t roles, struct el_buf *json, struct el_err *err);
/* The same with Qwen's way to say a window: use_sliding_window, max_window_layers, or layer_types. */
enum el_status el_qwen_from_config(const struct el_arch *arch, const struct el_json *config, struct el_meta *meta,
                                   struct el_err *err);
enum el_status el_qwen_to_config(const struct el_arch *arch, const struct el_meta *meta, const struct el_hparams *hp,
                                 uint64_t roles, struct el_buf *json, struct el_err *err);

/*
 * Mixtures of experts with Qwen's names. norm: what a GGUF file means that does not say whether the weights of the chosen
 * experts make up 1. Only models all of whose layers are mixtures, without window and without clipping of q, k, v.
 */
enum el_status el_moe_hparams(const struct el_arch *arch, const struct el_meta *meta, bool norm, struct el_hparams *hp,
                              struct el_err *err);
enum el_status el_moe_from_config(const struct el_arch *arch, const struct el_json *config, struct el_meta *meta,
                                  struct el_err *err);
enum el_status el_moe_to_config(const struct el_arch *arch, const struct el_meta *meta, const struct el_hparams *hp,
                                uint64_t roles, struct el_buf *json, struct el_err *err);

/*
 * Gemma 2 and 3: sizes, windows, caps, the scale of scores and of the embedding. What holds where nothing is said: in how many
 * layers one sees everything, what a GGUF file means that has no window, the caps, and with how many layers the scale of scores
 * goes by n_embd / n_heads.
 */
struct el_gemma {
    uint32_t window_every, window;
    float attn_cap, logit_cap;
    uint32_t layers_27b;
};
enum el_status el_gemma_hparams(const struct el_arch *arch, const struct el_meta *meta, const struct el_gemma *usual,
                                struct el_hparams *hp, struct el_err *err);
enum el_status el_gemma_from_config(const struct el_arch *arch, const struct el_json *config, const struct el_gemma *usual,
                                    struct el_meta *meta, struct el_err *err);
enum el_status el_gemma_to_config(const struct el_arch *arch, const struct el_meta *meta, const struct el_hparams *hp,
                                  uint64_t roles, struct el_buf *json, struct el_err *err);

/*
 * GPT-2 and its descendants: sizes, epsilon, nonlinearity (the tanh form of GELU where nothing is said); a width of the MLP
 * that config.json leaves out is 4 n_embd.
 */
enum el_status el_gpt_hparams(const struct el_arch *arch, const struct el_meta *meta, struct el_hparams *hp, struct el_err *err);
enum el_status el_gpt_from_config(const struct el_arch *arch, const struct el_json *config, struct el_meta *meta,
                                  struct el_err *err);
enum el_status el_gpt_to_config(const struct el_arch *arch, const struct el_meta *meta, const struct el_hparams *hp,
                                uint64_t roles, struct el_buf *json, struct el_err *err);

/*
 * activation_function of config.json to "%s.hidden_act" and from there to hp->act. `usual` is what the family means when
 * nothing is said; only another one is written to metadata, so that files which other programs read right have no key of ours.
 */
enum el_status el_arch_act_from_config(const struct el_arch *arch, const struct el_json *config, enum el_act_fn usual,
                                       struct el_meta *meta, struct el_err *err);
enum el_status el_arch_act_hparams(const struct el_arch *arch, const struct el_meta *meta, enum el_act_fn usual,
                                   struct el_hparams *hp, struct el_err *err);
/* Its name for config.json. */
const char *el_arch_act_name(const struct el_hparams *hp);

/* gqa and swiglu, moe, mlp. */
void el_block_swiglu(struct el_run *run, uint32_t l);
void el_block_moe(struct el_run *run, uint32_t l);
void el_block_mlp(struct el_run *run, uint32_t l);

#endif
