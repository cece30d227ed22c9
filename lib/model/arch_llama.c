/*
 * Llama 1 to 3.2 (Touvron et al., arXiv:2302.13971; Grattafiori et al., arXiv:2407.21783): RMSNorm, rotary positions, grouped
 * queries, SwiGLU; optionally biases on attention and MLP (Granite Code 3B and 8B, arXiv:2405.04324).
 */
#include <math.h>

#include "base/buf.h"
#include "model/arch.h"
#include "model/layers.h"
#include "tensor/meta.h"

extern const struct el_arch el_arch_llama;

static const struct el_field fields[] = {
    {"%s.vocab_size", "vocab_size", EL_FIELD_U32, true, 0},
    {"%s.context_length", "max_position_embeddings", EL_FIELD_U32, false, 2048},
    {"%s.embedding_length", "hidden_size", EL_FIELD_U32, true, 0},
    {"%s.block_count", "num_hidden_layers", EL_FIELD_U32, true, 0},
    {"%s.feed_forward_length", "intermediate_size", EL_FIELD_U32, true, 0},
    {"%s.attention.head_count", "num_attention_heads", EL_FIELD_U32, true, 0},
    {"%s.attention.head_count_kv", "num_key_value_heads", EL_FIELD_U32, false, NAN},
    {"%s.attention.key_length", "head_dim", EL_FIELD_U32, false, NAN},
    {"%s.attention.layer_norm_rms_epsilon", "rms_norm_eps", EL_FIELD_F32, false, 1e-6},
    {NULL, NULL, EL_FIELD_U32, false, 0},
};

#define GLOBAL 0
#define OPT    EL_TF_OPTIONAL
#define LAYER  EL_TF_LAYER
static const struct el_tensor_rule tensors[] = {
    {EL_R_TOKEN_EMBD, "token_embd.weight", "model.embed_tokens.weight", {EL_D_VOCAB, EL_D_EMBD}, GLOBAL},
    {EL_R_ROPE_FREQS, "rope_freqs.weight", NULL, {EL_D_ROT_HALF}, OPT},
    {EL_R_ATTN_NORM, "blk.%u.attn_norm.weight", "model.layers.%u.input_layernorm.weight", {EL_D_EMBD}, LAYER},
    {EL_R_ATTN_Q, "blk.%u.attn_q.weight", "model.layers.%u.self_attn.q_proj.weight", {EL_D_Q, EL_D_EMBD}, LAYER | EL_TF_ROPE_Q},
    {EL_R_ATTN_Q_B, "blk.%u.attn_q.bias", "model.layers.%u.self_attn.q_proj.bias", {EL_D_Q}, LAYER | OPT | EL_TF_ROPE_Q},
    {EL_R_ATTN_K, "blk.%u.attn_k.weight", "model.layers.%u.self_attn.k_proj.weight", {EL_D_KV, EL_D_EMBD}, LAYER | EL_TF_ROPE_K},
    {EL_R_ATTN_K_B, "blk.%u.attn_k.bias", "model.layers.%u.self_attn.k_proj.bias", {EL_D_KV}, LAYER | OPT | EL_TF_ROPE_K},
    {EL_R_ATTN_V, "blk.%u.attn_v.weight", "model.layers.%u.self_attn.v_proj.weight", {EL_D_KV, EL_D_EMBD}, LAYER},
    {EL_R_ATTN_V_B, "blk.%u.attn_v.bias", "model.layers.%u.self_attn.v_proj.bias", {EL_D_KV}, LAYER | OPT},
    {EL_R_ATTN_OUT, "blk.%u.attn_output.weight", "model.layers.%u.self_attn.o_proj.weight", {EL_D_EMBD, EL_D_Q}, LAYER},
    {EL_R_ATTN_OUT_B, "blk.%u.attn_output.bias", "model.layers.%u.self_attn.o_proj.bias", {EL_D_EMBD}, LAYER | OPT},
    {EL_R_FFN_NORM, "blk.%u.ffn_norm.weight", "model.layers.%u.post_attention_layernorm.weight", {EL_D_EMBD}, LAYER},
    {EL_R_FFN_GATE, "blk.%u.ffn_gate.weight", "model.layers.%u.mlp.gate_proj.weight", {EL_D_FF, EL_D_EMBD}, LAYER},
    {EL_R_FFN_GATE_B, "blk.%u.ffn_gate.bias", "model.layers.%u.mlp.gate_proj.bias", {EL_D_FF}, LAYER | OPT},
    {EL_R_FFN_UP, "blk.%u.ffn_up.weight", "model.layers.%u.mlp.up_proj.weight", {EL_D_FF, EL_D_EMBD}, LAYER},
    {EL_R_FFN_UP_B, "blk.%u.ffn_up.bias", "model.layers.%u.mlp.up_proj.bias", {EL_D_FF}, LAYER | OPT},
    {EL_R_FFN_DOWN, "blk.%u.ffn_down.weight", "model.layers.%u.mlp.down_proj.weight", {EL_D_EMBD, EL_D_FF}, LAYER},
    {EL_R_FFN_DOWN_B, "blk.%u.ffn_down.bias", "model.layers.%u.mlp.down_proj.bias", {EL_D_EMBD}, LAYER | OPT},
    {EL_R_OUTPUT_NORM, "output_norm.weight", "model.norm.weight", {EL_D_EMBD}, GLOBAL},
    {EL_R_OUTPUT, "output.weight", "lm_head.weight", {EL_D_VOCAB, EL_D_EMBD}, OPT},
    {EL_R_COUNT, NULL, NULL, {EL_D_NONE}, 0},
};

static const struct el_link links[] = {
    {{EL_R_ATTN_NORM, EL_R_COUNT}, {EL_R_ATTN_Q, EL_R_ATTN_K, EL_R_ATTN_V, EL_R_COUNT}, EL_C_GAIN},
    {{EL_R_ATTN_V, EL_R_COUNT}, {EL_R_ATTN_OUT, EL_R_COUNT}, EL_C_GAIN | EL_C_PERM | EL_C_ROTATE | EL_C_PER_HEAD},
    {{EL_R_FFN_NORM, EL_R_COUNT}, {EL_R_FFN_GATE, EL_R_FFN_UP, EL_R_COUNT}, EL_C_GAIN},
    {{EL_R_FFN_UP, EL_R_COUNT}, {EL_R_FFN_DOWN, EL_R_COUNT}, EL_C_GAIN},
    {{EL_R_FFN_GATE, EL_R_FFN_UP, EL_R_COUNT}, {EL_R_FFN_DOWN, EL_R_COUNT}, EL_C_PERM},
    {{EL_R_OUTPUT_NORM, EL_R_COUNT}, {EL_R_OUTPUT, EL_R_COUNT}, EL_C_GAIN},
    {{EL_R_TOKEN_EMBD, EL_R_ATTN_OUT, EL_R_FFN_DOWN, EL_R_COUNT},
     {EL_R_ATTN_Q, EL_R_ATTN_K, EL_R_ATTN_V, EL_R_FFN_GATE, EL_R_FFN_UP, EL_R_OUTPUT, EL_R_COUNT},
     EL_C_PERM | EL_C_ROTATE | EL_C_RESIDUAL},
    {{EL_R_COUNT}, {EL_R_COUNT}, 0},
};

static enum el_status hparams(const struct el_meta *meta, struct el_hparams *hp, struct el_err *err)
{
    EL_TRY(el_arch_common_hparams(&el_arch_llama, meta, "%s.attention.layer_norm_rms_epsilon", hp, err));
    return el_arch_rope_hparams(&el_arch_llama, meta, hp, err);
}

static enum el_status from_config(const struct el_json *config, struct el_meta *meta, struct el_err *err)
{
    static const char *const acts[] = {"silu", "swish", NULL};
    EL_TRY(el_arch_config_name(config, "hidden_act", acts, NULL, err));
    EL_TRY(el_arch_heads_from_config(&el_arch_llama, meta, err));
    return el_arch_rope_from_config(&el_arch_llama, config, meta, err);
}

/* One flag of the config stands for several biases: all or none. */
static enum el_status add_bias_flag(const char *name, uint64_t wanted, uint64_t roles, struct el_buf *json, struct el_err *err)
{
    if ((roles & wanted) != 0 && (roles & wanted) != wanted)
        return el_fail(err, EL_E_UNSUPPORTED, "only some of the biases that config.json's %s stands for are there", name);
    el_buf_addf(json, ",\n  \"%s\": %s", name, (roles & wanted) ? "true" : "false");
    return EL_OK;
}

static enum el_status to_config(const struct el_meta *meta, const struct el_hparams *hp, uint64_t roles, struct el_buf *json,
                                struct el_err *err)
{
    const uint64_t one = 1;
    (void)meta;
    el_buf_add_str(json, ",\n  \"hidden_act\": \"silu\"");
    EL_TRY(add_bias_flag("attention_bias",
                         one << EL_R_ATTN_Q_B | one << EL_R_ATTN_K_B | one << EL_R_ATTN_V_B | one << EL_R_ATTN_OUT_B, roles, json,
                         err));
    EL_TRY(add_bias_flag("mlp_bias", one << EL_R_FFN_GATE_B | one << EL_R_FFN_UP_B | one << EL_R_FFN_DOWN_B, roles, json, err));
    el_arch_rope_to_config(hp, json);
    return EL_OK;
}

static void block(struct el_run *run, uint32_t l)
{
    el_layer_gqa(run, l);
    el_layer_swiglu(run, l);
}

static const char *const hf_classes[] = {"LlamaForCausalLM", "LLaMAForCausalLM", NULL};
static const char *const hf_ignored[] = {".rotary_emb.inv_freq", NULL};

const struct el_arch el_arch_llama = {
    .name = "llama",
    .about = "Llama 1 to 3.2, Granite Code 3B and 8B",
    .gguf_arch = "llama",
    .hf_classes = hf_classes,
    .hf_model_type = "llama",
    .hf_ignored = hf_ignored,
    .gguf_rope_pairs = true,
    .fields = fields,
    .tensors = tensors,
    .links = links,
    .hparams = hparams,
    .from_config = from_config,
    .to_config = to_config,
    .embed = el_layer_embed,
    .block = block,
    .head = el_layer_head,
};
