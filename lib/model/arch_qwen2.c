/*
 * Qwen2 and Qwen2.5 (Yang et al., arXiv:2407.10671): Llama's block with biases on q, k, v, and optionally a sliding window in
 * the upper layers.
 */
#include <math.h>
#include <string.h>

#include "base/buf.h"
#include "model/arch.h"
#include "model/layers.h"
#include "tensor/meta.h"

extern const struct el_arch el_arch_qwen2;

static const struct el_field fields[] = {
    {"%s.vocab_size", "vocab_size", EL_FIELD_U32, true, 0},
    {"%s.context_length", "max_position_embeddings", EL_FIELD_U32, false, 32768},
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
    {EL_R_ATTN_NORM, "blk.%u.attn_norm.weight", "model.layers.%u.input_layernorm.weight", {EL_D_EMBD}, LAYER},
    {EL_R_ATTN_Q, "blk.%u.attn_q.weight", "model.layers.%u.self_attn.q_proj.weight", {EL_D_Q, EL_D_EMBD}, LAYER | EL_TF_ROPE_Q},
    {EL_R_ATTN_Q_B, "blk.%u.attn_q.bias", "model.layers.%u.self_attn.q_proj.bias", {EL_D_Q}, LAYER | EL_TF_ROPE_Q},
    {EL_R_ATTN_K, "blk.%u.attn_k.weight", "model.layers.%u.self_attn.k_proj.weight", {EL_D_KV, EL_D_EMBD}, LAYER | EL_TF_ROPE_K},
    {EL_R_ATTN_K_B, "blk.%u.attn_k.bias", "model.layers.%u.self_attn.k_proj.bias", {EL_D_KV}, LAYER | EL_TF_ROPE_K},
    {EL_R_ATTN_V, "blk.%u.attn_v.weight", "model.layers.%u.self_attn.v_proj.weight", {EL_D_KV, EL_D_EMBD}, LAYER},
    {EL_R_ATTN_V_B, "blk.%u.attn_v.bias", "model.layers.%u.self_attn.v_proj.bias", {EL_D_KV}, LAYER},
    {EL_R_ATTN_OUT, "blk.%u.attn_output.weight", "model.layers.%u.self_attn.o_proj.weight", {EL_D_EMBD, EL_D_Q}, LAYER},
    {EL_R_FFN_NORM, "blk.%u.ffn_norm.weight", "model.layers.%u.post_attention_layernorm.weight", {EL_D_EMBD}, LAYER},
    {EL_R_FFN_GATE, "blk.%u.ffn_gate.weight", "model.layers.%u.mlp.gate_proj.weight", {EL_D_FF, EL_D_EMBD}, LAYER},
    {EL_R_FFN_UP, "blk.%u.ffn_up.weight", "model.layers.%u.mlp.up_proj.weight", {EL_D_FF, EL_D_EMBD}, LAYER},
    {EL_R_FFN_DOWN, "blk.%u.ffn_down.weight", "model.layers.%u.mlp.down_proj.weight", {EL_D_EMBD, EL_D_FF}, LAYER},
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
    EL_TRY(el_arch_common_hparams(&el_arch_qwen2, meta, "%s.attention.layer_norm_rms_epsilon", hp, err));
    return el_arch_rope_hparams(&el_arch_qwen2, meta, hp, err);
}

/* First layer with a window, from layer_types when there, else max_window_layers. Layers below see everything. */
static enum el_status first_window_layer(const struct el_json *config, uint32_t *first, struct el_err *err)
{
    const struct el_json *const types = el_json_get(config, "layer_types");
    int64_t n = 28; /* Qwen2Config's default */
    if (!el_json_is(types, EL_JSON_ARRAY)) {
        const struct el_json *const v = el_json_get(config, "max_window_layers");
        if (v && (!el_json_int(v, &n) || n < 0))
            return el_fail(err, EL_E_FORMAT, "max_window_layers is not an integer from 0");
        *first = n > UINT32_MAX ? UINT32_MAX : (uint32_t)n;
        return EL_OK;
    }
    bool windows = false;
    *first = 0;
    for (const struct el_json *t = el_json_first(types); t; t = el_json_next(t)) {
        const char *const type = el_json_str(t);
        const bool window = type && strcmp(type, "sliding_attention") == 0;
        if (!window && (windows || !type || strcmp(type, "full_attention") != 0))
            return el_fail(err, EL_E_UNSUPPORTED, "layer_types: only full_attention layers followed by sliding_attention layers");
        windows = window;
        *first += !window;
    }
    return EL_OK;
}

static enum el_status from_config(const struct el_json *config, struct el_meta *meta, struct el_err *err)
{
    static const char *const acts[] = {"silu", "swish", NULL};
    char key[128];
    int64_t window = 0;
    uint32_t first = 0, n_layers = 0;
    EL_TRY(el_arch_config_name(config, "hidden_act", acts, NULL, err));
    EL_TRY(el_arch_heads_from_config(&el_arch_qwen2, meta, err));
    EL_TRY(el_arch_rope_from_config(&el_arch_qwen2, config, meta, err));
    if (!el_json_bool(el_json_get(config, "use_sliding_window")) ||
        el_json_is(el_json_get(config, "sliding_window"), EL_JSON_NULL))
        return EL_OK;
    if (!el_json_int(el_json_get(config, "sliding_window"), &window) || window < 1 || window > INT32_MAX)
        return el_fail(err, EL_E_FORMAT, "sliding_window is not an integer from 1 to %d", INT32_MAX);
    EL_TRY(first_window_layer(config, &first, err));
    EL_TRY(el_meta_get_u32(meta, el_arch_key(&el_arch_qwen2, "%s.block_count", key), 0, UINT32_MAX, &n_layers, err));
    if (first >= n_layers)
        return EL_OK;
    EL_TRY(el_meta_set_u32(meta, el_arch_key(&el_arch_qwen2, "%s.attention.sliding_window", key), (uint32_t)window, err));
    return el_meta_set_u32(meta, el_arch_key(&el_arch_qwen2, "%s.attention.sliding_window_first_layer", key), first, err);
}

static enum el_status to_config(const struct el_meta *meta, const struct el_hparams *hp, uint64_t roles, struct el_buf *json,
                                struct el_err *err)
{
    (void)meta;
    (void)roles;
    (void)err;
    el_buf_add_str(json, ",\n  \"hidden_act\": \"silu\"");
    if (hp->window)
        el_buf_addf(json, ",\n  \"use_sliding_window\": true,\n  \"sliding_window\": %u,\n  \"max_window_layers\": %u",
                    hp->window, hp->window_from_layer);
    else
        el_buf_addf(json, ",\n  \"use_sliding_window\": false,\n  \"sliding_window\": null,\n  \"max_window_layers\": %u",
                    hp->n_layers);
    el_arch_rope_to_config(hp, json);
    return EL_OK;
}

static void block(struct el_run *run, uint32_t l)
{
    el_layer_gqa(run, l);
    el_layer_swiglu(run, l);
}

static const char *const hf_classes[] = {"Qwen2ForCausalLM", NULL};
static const char *const hf_ignored[] = {".rotary_emb.inv_freq", NULL};

const struct el_arch el_arch_qwen2 = {
    .name = "qwen2",
    .about = "Qwen2 and Qwen2.5, also with sliding window",
    .gguf_arch = "qwen2",
    .hf_classes = hf_classes,
    .hf_model_type = "qwen2",
    .hf_ignored = hf_ignored,
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
