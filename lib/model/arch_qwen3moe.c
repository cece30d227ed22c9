/*
 * Qwen3 with experts (Yang et al., arXiv:2505.09388): Qwen3's attention, and a mixture of experts in every layer. llama.cpp
 * always makes the weights of the chosen experts up to 1; a model that does not says so in qwen3moe.expert_weights_norm, which
 * llama.cpp passes over.
 */
#include <math.h>

#include "model/arch_shared.h"

extern const struct el_arch el_arch_qwen3moe;

static const struct el_field fields[] = {
    EL_FIELDS_SIZES(32768),
    EL_FIELDS_HEADS(4, NAN),
    EL_FIELD_RMS_EPS(1e-6),
    EL_FIELDS_EXPERTS(128, 8),
    {"%s.expert_feed_forward_length", "moe_intermediate_size", EL_FIELD_U32, false, 768},
    EL_FIELDS_END,
};

static const struct el_tensor_rule tensors[] = {
    EL_ROW_EMBD,
    EL_ROWS_ATTN,
    EL_ROWS_QKV_BIAS(EL_TF_OPTIONAL),
    EL_ROW_OUT_BIAS(EL_TF_OPTIONAL),
    EL_ROWS_QK_NORM,
    EL_ROWS_MOE_QWEN,
    EL_ROWS_HEAD,
    EL_ROWS_END,
};

static const struct el_config_flag flags[] = {
    {"attention_bias", false, false, EL_ROLE(ATTN_Q_B) | EL_ROLE(ATTN_K_B) | EL_ROLE(ATTN_V_B) | EL_ROLE(ATTN_OUT_B)},
    EL_FLAGS_END,
};

static enum el_status hparams(const struct el_arch *arch, const struct el_meta *meta, struct el_hparams *hp, struct el_err *err)
{
    return el_moe_hparams(arch, meta, true, hp, err);
}

static const char *const hf_classes[] = {"Qwen3MoeForCausalLM", NULL};

const struct el_arch el_arch_qwen3moe = {
    .name = "qwen3moe",
    .about = "Qwen3 with experts: 30B-A3B, 235B-A22B",
    .gguf_arch = "qwen3moe",
    .hf_classes = hf_classes,
    .hf_model_type = "qwen3_moe",
    .hf_ignored = el_hf_ignored_rope,
    .fields = fields,
    .flags = flags,
    .tensors = tensors,
    .links = el_links_moe,
    .hparams = hparams,
    .from_config = el_moe_from_config,
    .to_config = el_moe_to_config,
    .embed = el_layer_embed,
    .block = el_block_moe,
    .head = el_layer_head,
};
