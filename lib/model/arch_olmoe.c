/*
 * OLMoE (Muennighoff et al., arXiv:2409.02060): Llama's attention with a norm over all of q and one over all of k, and a
 * mixture of experts whose weights stay as the softmax over all experts gives them. llama.cpp passes over
 * olmoe.expert_weights_norm, which says otherwise.
 */
#include <math.h>

#include "base/err.h"
#include "model/arch_shared.h"

extern const struct el_arch el_arch_olmoe;

static const struct el_field fields[] = {
    EL_FIELDS_SIZES(4096),  {"%s.attention.head_count_kv", "num_key_value_heads", EL_FIELD_U32, false, NAN},
    EL_FIELD_RMS_EPS(1e-5), EL_FIELDS_EXPERTS(64, 8),
    EL_FIELDS_END,
};

static const struct el_tensor_rule tensors[] = {
    EL_ROW_EMBD,
    EL_ROWS_ATTN,
    EL_ROW_LAYER(ATTN_Q_NORM, "attn_q_norm.weight", "self_attn.q_norm.weight", 0, EL_D_Q),
    EL_ROW_LAYER(ATTN_K_NORM, "attn_k_norm.weight", "self_attn.k_norm.weight", 0, EL_D_KV),
    EL_ROWS_MOE_QWEN,
    EL_ROWS_HEAD,
    EL_ROWS_END,
};

static enum el_status hparams(const struct el_arch *arch, const struct el_meta *meta, struct el_hparams *hp, struct el_err *err)
{
    EL_TRY(el_moe_hparams(arch, meta, false, hp, err));
    return el_arch_check_heads(hp, err);
}

static const char *const hf_classes[] = {"OlmoeForCausalLM", NULL};

const struct el_arch el_arch_olmoe = {
    .name = "olmoe",
    .about = "OLMoE 1B-7B",
    .gguf_arch = "olmoe",
    .hf_classes = hf_classes,
    .hf_model_type = "olmoe",
    .hf_ignored = el_hf_ignored_rope,
    .fields = fields,
    .tensors = tensors,
    .links = el_links_moe,
    .hparams = hparams,
    .from_config = el_moe_from_config,
    .to_config = el_moe_to_config,
    .embed = el_layer_embed,
    .block = el_block_moe,
    .head = el_layer_head,
};
