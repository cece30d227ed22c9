/*
 * GPT-2 (Radford et al., 2019, "Language Models are Unsupervised Multitask Learners"): LayerNorm, learned positions, q, k, v
 * fused, GELU. Hugging Face holds the matrices of the blocks transposed (Conv1D), and OpenAI's own checkpoints leave
 * "transformer." out.
 */
#include "base/buf.h"
#include "base/err.h"
#include "model/arch_shared.h"

extern const struct el_arch el_arch_gpt2;

static const struct el_field fields[] = {EL_FIELDS_GPT, EL_FIELDS_END};

static const struct el_tensor_rule tensors[] = {EL_ROWS_GPT(EL_TF_TRANSPOSED, 0), EL_ROWS_END};

static enum el_status from_config(const struct el_arch *arch, const struct el_json *config, struct el_meta *meta,
                                  struct el_err *err)
{
    static const char *const variants[] = {"scale_attn_by_inverse_layer_idx", "add_cross_attention"};
    for (size_t i = 0; i < sizeof variants / sizeof variants[0]; i++)
        if (el_json_bool(el_json_get(config, variants[i])))
            return el_fail(err, EL_E_UNSUPPORTED, "%s is true, only false is supported", variants[i]);
    return el_gpt_from_config(arch, config, meta, err);
}

/* n_ctx: what other converters look for in place of n_positions. */
static enum el_status to_config(const struct el_arch *arch, const struct el_meta *meta, const struct el_hparams *hp,
                                uint64_t roles, struct el_buf *json, struct el_err *err)
{
    if (hp->n_kv_heads != hp->n_heads)
        return el_fail(err, EL_E_UNSUPPORTED, "%u key/value heads: a GPT2 config can say only %u", hp->n_kv_heads, hp->n_heads);
    el_buf_addf(json, ",\n  \"n_ctx\": %u", hp->n_ctx_train);
    return el_gpt_to_config(arch, meta, hp, roles, json, err);
}

static const char *const hf_classes[] = {"GPT2LMHeadModel", NULL};

const struct el_arch el_arch_gpt2 = {
    .name = "gpt2",
    .about = "GPT-2",
    .gguf_arch = "gpt2",
    .hf_classes = hf_classes,
    .hf_model_type = "gpt2",
    .hf_ignored = el_hf_ignored_gpt,
    .hf_prefix = "transformer.",
    .hf_tied = true,
    .fields = fields,
    .tensors = tensors,
    .links = el_links_gpt,
    .hparams = el_gpt_hparams,
    .from_config = from_config,
    .to_config = to_config,
    .embed = el_layer_embed,
    .block = el_block_mlp,
    .head = el_layer_head,
};
