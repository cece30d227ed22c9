/*
 * Mistral 7B and Nemo (Jiang et al., arXiv:2310.06825): Llama, with a sliding window in the first release. In GGUF the family is
 * "llama". llama.cpp's converter leaves the window out and its graph has none; ours writes llama.attention.sliding_window, which
 * llama.cpp passes over. A model without window is told from Llama's by edgellm.family.
 */
#include <math.h>
#include <string.h>

#include "base/err.h"
#include "model/arch_shared.h"
#include "tensor/meta.h"

extern const struct el_arch el_arch_mistral;

static const struct el_field fields[] = {
    EL_FIELDS_SIZES(131072), EL_FIELDS_HEADS(8, NAN),
    EL_FIELD_RMS_EPS(1e-6),  {"%s.attention.sliding_window", "sliding_window", EL_FIELD_U32, false, NAN},
    EL_FIELDS_END,
};

static const struct el_tensor_rule tensors[] = {
    EL_ROW_EMBD, EL_ROW_ROPE_FREQS, EL_ROWS_ATTN, EL_ROWS_SWIGLU, EL_ROWS_HEAD, EL_ROWS_END,
};

static bool match(const struct el_meta *meta)
{
    const char *family = NULL;
    uint32_t window = 0;
    if (el_meta_get_str_or(meta, "edgellm.family", &family, NULL) == EL_OK && family && strcmp(family, "mistral") == 0)
        return true;
    return el_meta_get_u32_or(meta, "llama.attention.sliding_window", 0, UINT32_MAX, 0, &window, NULL) == EL_OK && window > 0;
}

static enum el_status from_config(const struct el_arch *arch, const struct el_json *config, struct el_meta *meta,
                                  struct el_err *err)
{
    EL_TRY(el_meta_set_str(meta, "edgellm.family", "mistral", 7, err));
    if (!el_json_get(config, "sliding_window")) /* not even null: MistralConfig's default */
        EL_TRY(el_meta_set_u32(meta, "llama.attention.sliding_window", 4096, err));
    return el_llama_from_config(arch, config, meta, err);
}

static const char *const hf_classes[] = {"MistralForCausalLM", NULL};

const struct el_arch el_arch_mistral = {
    .name = "mistral",
    .about = "Mistral 7B and Nemo, also with sliding window",
    .gguf_arch = "llama",
    .hf_classes = hf_classes,
    .hf_model_type = "mistral",
    .hf_ignored = el_hf_ignored_rope,
    .gguf_rope_pairs = true,
    .match = match,
    .class_70b_layers = 80,
    .class_70b_shared = true,
    .fields = fields,
    .tensors = tensors,
    .links = el_links_swiglu,
    .hparams = el_llama_hparams,
    .from_config = from_config,
    .to_config = el_llama_to_config,
    .embed = el_layer_embed,
    .block = el_block_swiglu,
    .head = el_layer_head,
};
