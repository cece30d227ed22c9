/*
 * StarCoder2 (Lozhkov et al., arXiv:2402.19173): LayerNorm, rotated grouped queries, an MLP of up and down with the tanh form of
 * GELU, biases on everything, optionally a sliding window in all layers. llama.cpp's converter leaves the window out, its graph
 * has none; ours writes starcoder2.attention.sliding_window, which llama.cpp passes over.
 */
#include <math.h>

#include "base/buf.h"
#include "base/err.h"
#include "model/arch_shared.h"
#include "tensor/meta.h"

extern const struct el_arch el_arch_starcoder2;

static const struct el_field fields[] = {
    EL_FIELDS_SIZES(4096),
    {"%s.attention.head_count_kv", "num_key_value_heads", EL_FIELD_U32, false, 2},
    {"%s.attention.layer_norm_epsilon", "norm_epsilon", EL_FIELD_F32, false, 1e-5},
    {"%s.attention.sliding_window", "sliding_window", EL_FIELD_U32, false, NAN},
    EL_FIELDS_END,
};

static const struct el_config_flag flags[] = {
    {"use_bias", true, false,
     EL_ROLE(ATTN_Q_B) | EL_ROLE(ATTN_K_B) | EL_ROLE(ATTN_V_B) | EL_ROLE(ATTN_OUT_B) | EL_ROLE(FFN_UP_B) | EL_ROLE(FFN_DOWN_B)},
    EL_FLAGS_END,
};

#define OPT EL_TF_OPTIONAL
static const struct el_tensor_rule tensors[] = {
    EL_ROW_EMBD,
    EL_ROWS_ATTN,
    EL_ROWS_QKV_BIAS(OPT),
    EL_ROW_OUT_BIAS(OPT),
    EL_ROW_LAYER(ATTN_NORM_B, "attn_norm.bias", "input_layernorm.bias", 0, EL_D_EMBD),
    EL_ROW_FFN_NORM,
    EL_ROW_LAYER(FFN_NORM_B, "ffn_norm.bias", "post_attention_layernorm.bias", 0, EL_D_EMBD),
    EL_ROW_LAYER(FFN_UP, "ffn_up.weight", "mlp.c_fc.weight", 0, EL_D_FF, EL_D_EMBD),
    EL_ROW_LAYER(FFN_UP_B, "ffn_up.bias", "mlp.c_fc.bias", OPT, EL_D_FF),
    EL_ROW_LAYER(FFN_DOWN, "ffn_down.weight", "mlp.c_proj.weight", 0, EL_D_EMBD, EL_D_FF),
    EL_ROW_LAYER(FFN_DOWN_B, "ffn_down.bias", "mlp.c_proj.bias", OPT, EL_D_EMBD),
    EL_ROWS_HEAD,
    EL_ROW(OUTPUT_NORM_B, "output_norm.bias", "model.norm.bias", 0, EL_D_EMBD),
    EL_ROWS_END,
};

static const struct el_link links[] = {
    {{EL_R_ATTN_NORM, EL_R_COUNT}, {EL_R_ATTN_Q, EL_R_ATTN_K, EL_R_ATTN_V, EL_R_COUNT}, EL_C_GAIN},
    {{EL_R_ATTN_V, EL_R_COUNT}, {EL_R_ATTN_OUT, EL_R_COUNT}, EL_C_GAIN | EL_C_PERM | EL_C_ROTATE | EL_C_PER_HEAD},
    {{EL_R_FFN_NORM, EL_R_COUNT}, {EL_R_FFN_UP, EL_R_COUNT}, EL_C_GAIN},
    {{EL_R_FFN_UP, EL_R_COUNT}, {EL_R_FFN_DOWN, EL_R_COUNT}, EL_C_PERM},
    {{EL_R_OUTPUT_NORM, EL_R_COUNT}, {EL_R_OUTPUT, EL_R_COUNT}, EL_C_GAIN},
    {{EL_R_TOKEN_EMBD, EL_R_ATTN_OUT, EL_R_FFN_DOWN, EL_R_COUNT},
     {EL_R_ATTN_Q, EL_R_ATTN_K, EL_R_ATTN_V, EL_R_FFN_UP, EL_R_OUTPUT, EL_R_COUNT},
     EL_C_PERM | EL_C_ROTATE_MEAN | EL_C_RESIDUAL},
    EL_LINKS_END,
};

static enum el_status hparams(const struct el_arch *arch, const struct el_meta *meta, struct el_hparams *hp, struct el_err *err)
{
    EL_TRY(el_gpt_hparams(arch, meta, hp, err));
    return el_arch_rope_hparams(arch, meta, hp, err);
}

static enum el_status from_config(const struct el_arch *arch, const struct el_json *config, struct el_meta *meta,
                                  struct el_err *err)
{
    static const char *const acts[] = {"gelu_pytorch_tanh", "gelu_new", "gelu_fast", NULL};
    EL_TRY(el_arch_config_name(config, "hidden_act", acts, NULL, err));
    EL_TRY(el_arch_heads_from_config(arch, meta, err));
    return el_arch_rope_from_config(arch, config, meta, err);
}

static enum el_status to_config(const struct el_arch *arch, const struct el_meta *meta, const struct el_hparams *hp,
                                uint64_t roles, struct el_buf *json, struct el_err *err)
{
    (void)roles;
    if (hp->act != EL_FN_GELU_TANH)
        return el_fail(err, EL_E_UNSUPPORTED, "starcoder2.hidden_act is '%s', a folder can say only 'gelu_pytorch_tanh'",
                       el_arch_act_name(hp));
    el_buf_add_str(json, ",\n  \"hidden_act\": \"gelu_pytorch_tanh\"");
    if (hp->window == 0)
        el_buf_add_str(json, ",\n  \"sliding_window\": null");
    el_arch_rope_to_config(arch, meta, hp, json);
    return EL_OK;
}

static const char *const hf_classes[] = {"Starcoder2ForCausalLM", NULL};

const struct el_arch el_arch_starcoder2 = {
    .name = "starcoder2",
    .about = "StarCoder2 3B, 7B and 15B",
    .gguf_arch = "starcoder2",
    .hf_classes = hf_classes,
    .hf_model_type = "starcoder2",
    .hf_ignored = el_hf_ignored_rope,
    .hf_tied = true,
    .fields = fields,
    .flags = flags,
    .tensors = tensors,
    .links = links,
    .hparams = hparams,
    .from_config = from_config,
    .to_config = to_config,
    .embed = el_layer_embed,
    .block = el_block_mlp,
    .head = el_layer_head,
};
