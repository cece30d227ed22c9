/*
 * Mixtral (Jiang et al., arXiv:2401.04088): Llama's attention, and a mixture of SwiGLU experts of which a router chooses a
 * few per token. In GGUF the family is "llama" with an expert count.
 */
#include <math.h>

#include "base/buf.h"
#include "model/arch.h"
#include "model/layers.h"
#include "tensor/meta.h"

extern const struct el_arch el_arch_mixtral;

static const struct el_field fields[] = {
    {"%s.vocab_size", "vocab_size", EL_FIELD_U32, true, 0},
    {"%s.context_length", "max_position_embeddings", EL_FIELD_U32, false, 131072},
    {"%s.embedding_length", "hidden_size", EL_FIELD_U32, true, 0},
    {"%s.block_count", "num_hidden_layers", EL_FIELD_U32, true, 0},
    {"%s.feed_forward_length", "intermediate_size", EL_FIELD_U32, true, 0},
    {"%s.attention.head_count", "num_attention_heads", EL_FIELD_U32, true, 0},
    {"%s.attention.head_count_kv", "num_key_value_heads", EL_FIELD_U32, false, 8},
    {"%s.attention.key_length", "head_dim", EL_FIELD_U32, false, NAN},
    {"%s.attention.layer_norm_rms_epsilon", "rms_norm_eps", EL_FIELD_F32, false, 1e-5},
    {"%s.attention.sliding_window", "sliding_window", EL_FIELD_U32, false, NAN},
    {"%s.expert_count", "num_local_experts|num_experts", EL_FIELD_U32, false, 8},
    {"%s.expert_used_count", "num_experts_per_tok", EL_FIELD_U32, false, 2},
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
    {EL_R_ATTN_K, "blk.%u.attn_k.weight", "model.layers.%u.self_attn.k_proj.weight", {EL_D_KV, EL_D_EMBD}, LAYER | EL_TF_ROPE_K},
    {EL_R_ATTN_V, "blk.%u.attn_v.weight", "model.layers.%u.self_attn.v_proj.weight", {EL_D_KV, EL_D_EMBD}, LAYER},
    {EL_R_ATTN_OUT, "blk.%u.attn_output.weight", "model.layers.%u.self_attn.o_proj.weight", {EL_D_EMBD, EL_D_Q}, LAYER},
    {EL_R_FFN_NORM, "blk.%u.ffn_norm.weight", "model.layers.%u.post_attention_layernorm.weight", {EL_D_EMBD}, LAYER},
    {EL_R_FFN_ROUTER,
     "blk.%u.ffn_gate_inp.weight",
     "model.layers.%u.block_sparse_moe.gate.weight",
     {EL_D_EXPERTS, EL_D_EMBD},
     LAYER},
    {EL_R_FFN_GATE_EXPS,
     "blk.%u.ffn_gate_exps.weight",
     "model.layers.%u.block_sparse_moe.experts.%u.w1.weight",
     {EL_D_EXPERTS, EL_D_FF, EL_D_EMBD},
     LAYER | EL_TF_STACK},
    {EL_R_FFN_UP_EXPS,
     "blk.%u.ffn_up_exps.weight",
     "model.layers.%u.block_sparse_moe.experts.%u.w3.weight",
     {EL_D_EXPERTS, EL_D_FF, EL_D_EMBD},
     LAYER | EL_TF_STACK},
    {EL_R_FFN_DOWN_EXPS,
     "blk.%u.ffn_down_exps.weight",
     "model.layers.%u.block_sparse_moe.experts.%u.w2.weight",
     {EL_D_EXPERTS, EL_D_EMBD, EL_D_FF},
     LAYER | EL_TF_STACK},
    {EL_R_OUTPUT_NORM, "output_norm.weight", "model.norm.weight", {EL_D_EMBD}, GLOBAL},
    {EL_R_OUTPUT, "output.weight", "lm_head.weight", {EL_D_VOCAB, EL_D_EMBD}, OPT},
    {EL_R_COUNT, NULL, NULL, {EL_D_NONE}, 0},
};

static const struct el_link links[] = {
    {{EL_R_ATTN_NORM, EL_R_COUNT}, {EL_R_ATTN_Q, EL_R_ATTN_K, EL_R_ATTN_V, EL_R_COUNT}, EL_C_GAIN},
    {{EL_R_ATTN_V, EL_R_COUNT}, {EL_R_ATTN_OUT, EL_R_COUNT}, EL_C_GAIN | EL_C_PERM | EL_C_ROTATE | EL_C_PER_HEAD},
    {{EL_R_FFN_NORM, EL_R_COUNT}, {EL_R_FFN_ROUTER, EL_R_FFN_GATE_EXPS, EL_R_FFN_UP_EXPS, EL_R_COUNT}, EL_C_GAIN},
    {{EL_R_FFN_UP_EXPS, EL_R_COUNT}, {EL_R_FFN_DOWN_EXPS, EL_R_COUNT}, EL_C_GAIN},
    {{EL_R_FFN_GATE_EXPS, EL_R_FFN_UP_EXPS, EL_R_COUNT}, {EL_R_FFN_DOWN_EXPS, EL_R_COUNT}, EL_C_PERM},
    {{EL_R_OUTPUT_NORM, EL_R_COUNT}, {EL_R_OUTPUT, EL_R_COUNT}, EL_C_GAIN},
    {{EL_R_TOKEN_EMBD, EL_R_ATTN_OUT, EL_R_FFN_DOWN_EXPS, EL_R_COUNT},
     {EL_R_ATTN_Q, EL_R_ATTN_K, EL_R_ATTN_V, EL_R_FFN_ROUTER, EL_R_FFN_GATE_EXPS, EL_R_FFN_UP_EXPS, EL_R_OUTPUT, EL_R_COUNT},
     EL_C_PERM | EL_C_ROTATE | EL_C_RESIDUAL},
    {{EL_R_COUNT}, {EL_R_COUNT}, 0},
};

static bool match(const struct el_meta *meta)
{
    uint32_t n_experts = 0;
    return el_meta_get_u32_or(meta, "llama.expert_count", 0, UINT32_MAX, 0, &n_experts, NULL) == EL_OK && n_experts > 0;
}

static enum el_status hparams(const struct el_meta *meta, struct el_hparams *hp, struct el_err *err)
{
    EL_TRY(el_arch_common_hparams(&el_arch_mixtral, meta, "%s.attention.layer_norm_rms_epsilon", hp, err));
    if (hp->n_experts == 0)
        return el_fail(err, EL_E_FORMAT, "llama.expert_count is 0, at least 1");
    return el_arch_rope_hparams(&el_arch_mixtral, meta, hp, err);
}

static enum el_status from_config(const struct el_json *config, struct el_meta *meta, struct el_err *err)
{
    static const char *const acts[] = {"silu", "swish", NULL};
    EL_TRY(el_arch_config_name(config, "hidden_act", acts, NULL, err));
    EL_TRY(el_arch_heads_from_config(&el_arch_mixtral, meta, err));
    return el_arch_rope_from_config(&el_arch_mixtral, config, meta, err);
}

static enum el_status to_config(const struct el_meta *meta, const struct el_hparams *hp, uint64_t roles, struct el_buf *json,
                                struct el_err *err)
{
    (void)meta;
    (void)roles;
    (void)err;
    el_buf_add_str(json, ",\n  \"hidden_act\": \"silu\"");
    if (hp->window == 0)
        el_buf_add_str(json, ",\n  \"sliding_window\": null");
    el_arch_rope_to_config(hp, json);
    return EL_OK;
}

static void block(struct el_run *run, uint32_t l)
{
    el_layer_gqa(run, l);
    el_layer_moe(run, l);
}

static const char *const hf_classes[] = {"MixtralForCausalLM", NULL};
static const char *const hf_ignored[] = {".rotary_emb.inv_freq", NULL};

const struct el_arch el_arch_mixtral = {
    .name = "mixtral",
    .about = "Mixtral 8x7B and 8x22B: a mixture of experts",
    .gguf_arch = "llama",
    .hf_classes = hf_classes,
    .hf_model_type = "mixtral",
    .hf_ignored = hf_ignored,
    .gguf_rope_pairs = true,
    .match = match,
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
