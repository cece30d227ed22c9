/*
 * Qwen3 (Yang et al., arXiv:2505.09388): Llama's block with norms of q and k, heads whose width is said apart, and optionally a
 * sliding window in the upper layers.
 */
#include "model/arch_shared.h"

extern const struct el_arch el_arch_qwen3;

static const struct el_field fields[] = {
    EL_FIELDS_SIZES(32768),
    EL_FIELDS_HEADS(32, 128),
    EL_FIELD_RMS_EPS(1e-6),
    EL_FIELDS_END,
};

static const struct el_tensor_rule tensors[] = {
    EL_ROW_EMBD,
    EL_ROWS_ATTN,
    EL_ROWS_QKV_BIAS(EL_TF_OPTIONAL),
    EL_ROW_OUT_BIAS(EL_TF_OPTIONAL),
    EL_ROWS_QK_NORM,
    EL_ROWS_SWIGLU,
    EL_ROWS_HEAD,
    EL_ROWS_END,
};

static const struct el_config_flag flags[] = {
    {"attention_bias", false, false, EL_ROLE(ATTN_Q_B) | EL_ROLE(ATTN_K_B) | EL_ROLE(ATTN_V_B) | EL_ROLE(ATTN_OUT_B)},
    EL_FLAGS_END,
};

static const char *const hf_classes[] = {"Qwen3ForCausalLM", NULL};

const struct el_arch el_arch_qwen3 = {
    .name = "qwen3",
    .about = "Qwen3, dense",
    .gguf_arch = "qwen3",
    .hf_classes = hf_classes,
    .hf_model_type = "qwen3",
    .hf_ignored = el_hf_ignored_rope,
    .fields = fields,
    .flags = flags,
    .tensors = tensors,
    .links = el_links_swiglu,
    .hparams = el_llama_hparams,
    .from_config = el_qwen_from_config,
    .to_config = el_qwen_to_config,
    .embed = el_layer_embed,
    .block = el_block_swiglu,
    .head = el_layer_head,
};
