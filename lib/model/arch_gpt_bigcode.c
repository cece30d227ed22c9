/*
 * GPT-BigCode: SantaCoder and StarCoder (Li et al., arXiv:2305.06161), Granite Code 20B and 34B (arXiv:2405.04324). GPT-2 with
 * one key/value head for all query heads, or one for each.
 */
#include "base/buf.h"
#include "base/err.h"
#include "model/arch_shared.h"
#include "tensor/meta.h"

extern const struct el_arch el_arch_gpt_bigcode;

static const struct el_field fields[] = {EL_FIELDS_GPT, EL_FIELDS_END};

static const struct el_tensor_rule tensors[] = {EL_ROWS_GPT(0, EL_TF_QKV_BY_HEAD), EL_ROWS_END};

static enum el_status from_config(const struct el_arch *arch, const struct el_json *config, struct el_meta *meta,
                                  struct el_err *err)
{
    uint32_t n_heads = 0;
    EL_TRY(el_gpt_from_config(arch, config, meta, err));
    EL_TRY(el_meta_get_u32(meta, "starcoder.attention.head_count", 0, UINT32_MAX, &n_heads, err));
    const struct el_json *const multi_query = el_json_get(config, "multi_query");
    const bool one_kv = !el_json_is(multi_query, EL_JSON_BOOL) || el_json_bool(multi_query);
    return el_meta_set_u32(meta, "starcoder.attention.head_count_kv", one_kv ? 1 : n_heads, err);
}

static enum el_status to_config(const struct el_arch *arch, const struct el_meta *meta, const struct el_hparams *hp,
                                uint64_t roles, struct el_buf *json, struct el_err *err)
{
    if (hp->n_kv_heads != 1 && hp->n_kv_heads != hp->n_heads)
        return el_fail(err, EL_E_UNSUPPORTED, "%u key/value heads: a GPTBigCode config can say only 1 or %u", hp->n_kv_heads,
                       hp->n_heads);
    EL_TRY(el_gpt_to_config(arch, meta, hp, roles, json, err));
    el_buf_addf(json,
                ",\n  \"multi_query\": %s,\n  \"attention_softmax_in_fp32\": true,\n"
                "  \"scale_attention_softmax_in_fp32\": true",
                hp->n_kv_heads == 1 ? "true" : "false");
    return EL_OK;
}

static const char *const hf_classes[] = {"GPTBigCodeForCausalLM", NULL};

const struct el_arch el_arch_gpt_bigcode = {
    .name = "gpt_bigcode",
    .about = "SantaCoder, StarCoder, Granite Code 20B and 34B",
    .gguf_arch = "starcoder",
    .hf_classes = hf_classes,
    .hf_model_type = "gpt_bigcode",
    .hf_ignored = el_hf_ignored_gpt,
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
