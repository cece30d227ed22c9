/*
 * Gemma 2 (Gemma Team, arXiv:2408.00118): Llama with norms behind attention and MLP too, GELU in the gate, an embedding times
 * the root of its width, soft caps on scores and logits, and a window in every other layer. A folder has gains less 1. In GGUF
 * gemma2.attention.query_pre_attn_scalar is ours: llama.cpp takes the usual scale of scores, and another for 46 layers.
 */
#include "model/arch_shared.h"

extern const struct el_arch el_arch_gemma2;

static const struct el_field fields[] = {
    EL_FIELDS_SIZES(8192),  EL_FIELDS_HEADS(4, 256),
    EL_FIELD_RMS_EPS(1e-6), {"%s.attention.sliding_window", "sliding_window", EL_FIELD_U32, false, 4096},
    EL_FIELDS_END,
};

static const struct el_tensor_rule tensors[] = {EL_ROWS_GEMMA, EL_ROWS_END};

static const struct el_gemma usual = {.window_every = 2, .window = 4096, .attn_cap = 50, .logit_cap = 30, .layers_27b = 46};

static enum el_status hparams(const struct el_arch *arch, const struct el_meta *meta, struct el_hparams *hp, struct el_err *err)
{
    return el_gemma_hparams(arch, meta, &usual, hp, err);
}

static enum el_status from_config(const struct el_arch *arch, const struct el_json *config, struct el_meta *meta,
                                  struct el_err *err)
{
    return el_gemma_from_config(arch, config, &usual, meta, err);
}

static const char *const hf_classes[] = {"Gemma2ForCausalLM", NULL};

const struct el_arch el_arch_gemma2 = {
    .name = "gemma2",
    .about = "Gemma 2 2B, 9B, 27B",
    .gguf_arch = "gemma2",
    .hf_classes = hf_classes,
    .hf_model_type = "gemma2",
    .hf_ignored = el_hf_ignored_rope,
    .hf_tied = true,
    .fields = fields,
    .tensors = tensors,
    .links = el_links_gemma,
    .hparams = hparams,
    .from_config = from_config,
    .to_config = el_gemma_to_config,
    .embed = el_layer_embed,
    .block = el_block_swiglu,
    .head = el_layer_head,
};
