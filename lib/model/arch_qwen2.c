/*
 * Qwen2 and Qwen2.5 (Yang et al., arXiv:2407.10671): Llama's block with biases on q, k, v, and optionally a sliding window in
 * the upper layers.
 */
#include <math.h>

#include "model/arch_shared.h"

extern const struct el_arch el_arch_qwen2;

static const struct el_field fields[] = {
    EL_FIELDS_SIZES(32768),
    EL_FIELDS_HEADS(NAN, NAN),
    EL_FIELD_RMS_EPS(1e-6),
    EL_FIELDS_END,
};

static const struct el_tensor_rule tensors[] = {
    EL_ROW_EMBD, EL_ROWS_ATTN, EL_ROWS_QKV_BIAS(0), EL_ROWS_SWIGLU, EL_ROWS_HEAD, EL_ROWS_END,
};

static const char *const hf_classes[] = {"Qwen2ForCausalLM", NULL};

const struct el_arch el_arch_qwen2 = {
    .name = "qwen2",
    .about = "Qwen2 and Qwen2.5, also with sliding window",
    .gguf_arch = "qwen2",
    .hf_classes = hf_classes,
    .hf_model_type = "qwen2",
    .hf_ignored = el_hf_ignored_rope,
    .class_70b_layers = 80,
    .fields = fields,
    .tensors = tensors,
    .links = el_links_swiglu,
    .hparams = el_llama_hparams,
    .from_config = el_qwen_from_config,
    .to_config = el_qwen_to_config,
    .embed = el_layer_embed,
    .block = el_block_swiglu,
    .head = el_layer_head,
};
