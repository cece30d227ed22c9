/*
 * Llama 1 to 3.2 (Touvron et al., arXiv:2302.13971; Grattafiori et al., arXiv:2407.21783): RMSNorm, rotary positions, grouped
 * queries, SwiGLU; optionally biases on attention and MLP (Granite Code 3B and 8B, arXiv:2405.04324).
 */
#include <math.h>

#include "model/arch_shared.h"

extern const struct el_arch el_arch_llama;

static const struct el_field fields[] = {
    EL_FIELDS_SIZES(2048),
    EL_FIELDS_HEADS(NAN, NAN),
    EL_FIELD_RMS_EPS(1e-6),
    EL_FIELDS_END,
};

static const struct el_tensor_rule tensors[] = {
    EL_ROW_EMBD,
    EL_ROW_ROPE_FREQS,
    EL_ROWS_ATTN,
    EL_ROWS_QKV_BIAS(EL_TF_OPTIONAL),
    EL_ROW_OUT_BIAS(EL_TF_OPTIONAL),
    EL_ROWS_SWIGLU,
    EL_ROWS_SWIGLU_BIAS(EL_TF_OPTIONAL),
    EL_ROWS_HEAD,
    EL_ROWS_END,
};

static const char *const hf_classes[] = {"LlamaForCausalLM", "LLaMAForCausalLM", NULL};

const struct el_arch el_arch_llama = {
    .name = "llama",
    .about = "Llama 1 to 3.2, Granite Code 3B and 8B",
    .gguf_arch = "llama",
    .hf_classes = hf_classes,
    .hf_model_type = "llama",
    .hf_ignored = el_hf_ignored_rope,
    .gguf_rope_pairs = true,
    .class_70b_layers = 80,
    .class_70b_shared = true,
    .fields = fields,
    .flags = el_flags_llama,
    .tensors = tensors,
    .links = el_links_swiglu,
    .hparams = el_llama_hparams,
    .from_config = el_llama_from_config,
    .to_config = el_llama_to_config,
    .embed = el_layer_embed,
    .block = el_block_swiglu,
    .head = el_layer_head,
};
