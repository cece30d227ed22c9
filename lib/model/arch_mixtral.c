/*
 * Mixtral (Jiang et al., arXiv:2401.04088): Llama's attention, and a mixture of SwiGLU experts of which a router chooses a
 * few per token. In GGUF the family is "llama" with an expert count.
 */
#include <math.h>

#include "base/err.h"
#include "model/arch_shared.h"
#include "tensor/meta.h"

extern const struct el_arch el_arch_mixtral;

static const struct el_field fields[] = {
    EL_FIELDS_SIZES(131072),
    EL_FIELDS_HEADS(8, NAN),
    EL_FIELD_RMS_EPS(1e-5),
    {"%s.attention.sliding_window", "sliding_window", EL_FIELD_U32, false, NAN},
    {"%s.expert_count", "num_local_experts|num_experts", EL_FIELD_U32, false, 8},
    {"%s.expert_used_count", "num_experts_per_tok", EL_FIELD_U32, false, 2},
    EL_FIELDS_END,
};

#define MOE "block_sparse_moe."
static const struct el_tensor_rule tensors[] = {
    EL_ROW_EMBD,  EL_ROW_ROPE_FREQS,
    EL_ROWS_ATTN, EL_ROWS_MOE(MOE "gate", MOE "experts.%u.w1", MOE "experts.%u.w3", MOE "experts.%u.w2"),
    EL_ROWS_HEAD, EL_ROWS_END,
};

static bool match(const struct el_meta *meta)
{
    uint32_t n_experts = 0;
    return el_meta_get_u32_or(meta, "llama.expert_count", 0, UINT32_MAX, 0, &n_experts, NULL) == EL_OK && n_experts > 0;
}

static enum el_status hparams(const struct el_arch *arch, const struct el_meta *meta, struct el_hparams *hp, struct el_err *err)
{
    EL_TRY(el_llama_hparams(arch, meta, hp, err));
    return hp->n_experts ? EL_OK : el_fail(err, EL_E_FORMAT, "llama.expert_count is 0, at least 1");
}

static const char *const hf_classes[] = {"MixtralForCausalLM", NULL};

const struct el_arch el_arch_mixtral = {
    .name = "mixtral",
    .about = "Mixtral 8x7B and 8x22B: a mixture of experts",
    .gguf_arch = "llama",
    .hf_classes = hf_classes,
    .hf_model_type = "mixtral",
    .hf_ignored = el_hf_ignored_rope,
    .hf_rope_theta = 1e6,
    .gguf_rope_pairs = true,
    .match = match,
    .class_70b_layers = 80,
    .class_70b_shared = true,
    .fields = fields,
    .tensors = tensors,
    .links = el_links_moe,
    .hparams = hparams,
    .from_config = el_llama_from_config,
    .to_config = el_llama_to_config,
    .embed = el_layer_embed,
    .block = el_block_moe,
    .head = el_layer_head,
};
