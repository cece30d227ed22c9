/*
 * Gemma 3, text (Gemma Team, arXiv:2503.19786): Gemma 2 with norms of q and k in place of the caps, windows in five of six
 * layers, and there another base of RoPE, which only in the others is scaled. A folder has gains less 1. In GGUF
 * gemma3.attention.query_pre_attn_scalar is ours: llama.cpp takes the usual scale of scores, and another for 62 layers.
 */
#include "base/err.h"
#include "model/arch_shared.h"

extern const struct el_arch el_arch_gemma3;

static const struct el_field fields[] = {
    EL_FIELDS_SIZES(131072),
    EL_FIELDS_HEADS(4, 256),
    EL_FIELD_RMS_EPS(1e-6),
    {"%s.attention.sliding_window", "sliding_window", EL_FIELD_U32, false, 4096},
    {"%s.rope.freq_base_swa", "rope_parameters.sliding_attention.rope_theta|rope_local_base_freq", EL_FIELD_F32, false, 10000},
    EL_FIELDS_END,
};

static const struct el_tensor_rule tensors[] = {
    EL_ROWS_GEMMA,
    EL_ROW_LAYER(ATTN_Q_NORM, "attn_q_norm.weight", "self_attn.q_norm.weight", EL_TF_PLUS_ONE, EL_D_HEAD),
    EL_ROW_LAYER(ATTN_K_NORM, "attn_k_norm.weight", "self_attn.k_norm.weight", EL_TF_PLUS_ONE, EL_D_HEAD),
    EL_ROWS_END,
};

static const struct el_gemma usual = {.window_every = 6, .layers_27b = 62};

static enum el_status hparams(const struct el_arch *arch, const struct el_meta *meta, struct el_hparams *hp, struct el_err *err)
{
    EL_TRY(el_gemma_hparams(arch, meta, &usual, hp, err));
    if (hp->window == 0) /* then all layers are as those that see everything */
        return EL_OK;
    return el_arch_get_f32_or(arch, meta, "%s.rope.freq_base_swa", 0, 1e30f, 10000.0f, &hp->rope_theta_local, err);
}

static enum el_status from_config(const struct el_arch *arch, const struct el_json *config, struct el_meta *meta,
                                  struct el_err *err)
{
    const struct el_json *const cap = el_json_get(config, "attn_logit_softcapping");
    if (cap && !el_json_is(cap, EL_JSON_NULL)) /* transformers has the name for it, and passes over it */
        return el_fail(err, EL_E_UNSUPPORTED, "attn_logit_softcapping is not null: Gemma 3 has norms of q and k in its place");
    return el_gemma_from_config(arch, config, &usual, meta, err);
}

static const char *const hf_classes[] = {"Gemma3ForCausalLM", NULL};

const struct el_arch el_arch_gemma3 = {
    .name = "gemma3",
    .about = "Gemma 3 270M and 1B, and the text part of larger ones",
    .gguf_arch = "gemma3",
    .hf_classes = hf_classes,
    .hf_model_type = "gemma3_text",
    .hf_ignored = el_hf_ignored_rope,
    .hf_tied = true,
    .hf_rope_theta = 1e6,
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
