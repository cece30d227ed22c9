/*
 * Granite 3.0 to 3.3 (Granite Team, IBM, 2024, "Granite 3.0 Language Models"): Llama with four multipliers, of the embedding, of
 * what blocks add to the residual stream, of attention scores (in place of 1 / sqrt(d)), and a divisor of the logits (after
 * Yang et al., arXiv:2203.03466).
 */
#include <math.h>

#include "base/err.h"
#include "model/arch_shared.h"
#include "tensor/meta.h"

extern const struct el_arch el_arch_granite;

static const struct el_field fields[] = {
    EL_FIELDS_SIZES(2048),
    EL_FIELDS_HEADS(NAN, NAN),
    EL_FIELD_RMS_EPS(1e-6),
    {"%s.attention.scale", "attention_multiplier", EL_FIELD_F32, false, 1},
    {"%s.embedding_scale", "embedding_multiplier", EL_FIELD_F32, false, 1},
    {"%s.residual_scale", "residual_multiplier", EL_FIELD_F32, false, 1},
    {"%s.logit_scale", "logits_scaling", EL_FIELD_F32, false, 1},
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

static enum el_status hparams(const struct el_arch *arch, const struct el_meta *meta, struct el_hparams *hp, struct el_err *err)
{
    bool rotated = true;
    EL_TRY(el_llama_hparams(arch, meta, hp, err));
    EL_TRY(el_meta_get_bool_or(meta, "granite.rope.scaling.finetuned", true, &rotated, err));
    if (!rotated) /* llama.cpp's sign for models without positions, which config.json has no word for */
        return el_fail(err, EL_E_UNSUPPORTED, "granite.rope.scaling.finetuned is false: Granite without RoPE");
    const struct {
        const char *fmt;
        float *value;
    } scales[] = {{"%s.attention.scale", &hp->attn_scale},
                  {"%s.embedding_scale", &hp->embd_scale},
                  {"%s.residual_scale", &hp->residual_scale},
                  {"%s.logit_scale", &hp->logit_scale}};
    for (size_t i = 0; i < sizeof scales / sizeof scales[0]; i++)
        EL_TRY(el_arch_get_f32_or(arch, meta, scales[i].fmt, 0, 1e30f, *scales[i].value, scales[i].value, err));
    return EL_OK;
}

/* A GGUF file may leave multipliers out; what config.json leaves out is 1, which is not the usual scale of attention. */
static enum el_status to_config(const struct el_arch *arch, const struct el_meta *meta, const struct el_hparams *hp,
                                uint64_t roles, struct el_buf *json, struct el_err *err)
{
    EL_TRY(el_llama_to_config(arch, meta, hp, roles, json, err));
    if (el_meta_find(meta, "granite.attention.scale") == SIZE_MAX)
        el_arch_add_f32(json, "attention_multiplier", hp->attn_scale);
    return EL_OK;
}

static const char *const hf_classes[] = {"GraniteForCausalLM", NULL};

const struct el_arch el_arch_granite = {
    .name = "granite",
    .about = "Granite 3.0 to 3.3, dense",
    .gguf_arch = "granite",
    .hf_classes = hf_classes,
    .hf_model_type = "granite",
    .hf_ignored = el_hf_ignored_rope,
    .gguf_rope_pairs = true,
    .fields = fields,
    .flags = el_flags_llama,
    .tensors = tensors,
    .links = el_links_swiglu,
    .hparams = hparams,
    .from_config = el_llama_from_config,
    .to_config = to_config,
    .embed = el_layer_embed,
    .block = el_block_swiglu,
    .head = el_layer_head,
};
