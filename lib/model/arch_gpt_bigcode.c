/*
 * GPT-BigCode: SantaCoder and StarCoder (Li et al., arXiv:2305.06161), Granite Code 20B and 34B (arXiv:2405.04324). Learned
 * positions, LayerNorm and linears with bias, GELU; q, k, v fused, with one key/value head for all query heads, or one for
 * each.
 */
#include <math.h>
#include <string.h>

#include "base/buf.h"
#include "model/arch.h"
#include "model/layers.h"
#include "tensor/meta.h"

extern const struct el_arch el_arch_gpt_bigcode;

static const struct el_field fields[] = {
    {"%s.vocab_size", "vocab_size", EL_FIELD_U32, true, 0},
    {"%s.context_length", "n_positions|max_position_embeddings", EL_FIELD_U32, false, 1024},
    {"%s.embedding_length", "n_embd|hidden_size", EL_FIELD_U32, true, 0},
    {"%s.block_count", "n_layer|num_hidden_layers", EL_FIELD_U32, true, 0},
    {"%s.feed_forward_length", "n_inner", EL_FIELD_U32, false, NAN},
    {"%s.attention.head_count", "n_head|num_attention_heads", EL_FIELD_U32, true, 0},
    {"%s.attention.layer_norm_epsilon", "layer_norm_epsilon", EL_FIELD_F32, false, 1e-5},
    {NULL, NULL, EL_FIELD_U32, false, 0},
};

#define GLOBAL 0
#define OPT    EL_TF_OPTIONAL
#define LAYER  EL_TF_LAYER
static const struct el_tensor_rule tensors[] = {
    {EL_R_TOKEN_EMBD, "token_embd.weight", "transformer.wte.weight", {EL_D_VOCAB, EL_D_EMBD}, GLOBAL},
    {EL_R_POS_EMBD, "position_embd.weight", "transformer.wpe.weight", {EL_D_CTX, EL_D_EMBD}, GLOBAL},
    {EL_R_ATTN_NORM, "blk.%u.attn_norm.weight", "transformer.h.%u.ln_1.weight", {EL_D_EMBD}, LAYER},
    {EL_R_ATTN_NORM_B, "blk.%u.attn_norm.bias", "transformer.h.%u.ln_1.bias", {EL_D_EMBD}, LAYER},
    {EL_R_ATTN_QKV, "blk.%u.attn_qkv.weight", "transformer.h.%u.attn.c_attn.weight", {EL_D_QKV, EL_D_EMBD}, LAYER | EL_TF_QKV},
    {EL_R_ATTN_QKV_B, "blk.%u.attn_qkv.bias", "transformer.h.%u.attn.c_attn.bias", {EL_D_QKV}, LAYER | EL_TF_QKV},
    {EL_R_ATTN_OUT, "blk.%u.attn_output.weight", "transformer.h.%u.attn.c_proj.weight", {EL_D_EMBD, EL_D_Q}, LAYER},
    {EL_R_ATTN_OUT_B, "blk.%u.attn_output.bias", "transformer.h.%u.attn.c_proj.bias", {EL_D_EMBD}, LAYER},
    {EL_R_FFN_NORM, "blk.%u.ffn_norm.weight", "transformer.h.%u.ln_2.weight", {EL_D_EMBD}, LAYER},
    {EL_R_FFN_NORM_B, "blk.%u.ffn_norm.bias", "transformer.h.%u.ln_2.bias", {EL_D_EMBD}, LAYER},
    {EL_R_FFN_UP, "blk.%u.ffn_up.weight", "transformer.h.%u.mlp.c_fc.weight", {EL_D_FF, EL_D_EMBD}, LAYER},
    {EL_R_FFN_UP_B, "blk.%u.ffn_up.bias", "transformer.h.%u.mlp.c_fc.bias", {EL_D_FF}, LAYER},
    {EL_R_FFN_DOWN, "blk.%u.ffn_down.weight", "transformer.h.%u.mlp.c_proj.weight", {EL_D_EMBD, EL_D_FF}, LAYER},
    {EL_R_FFN_DOWN_B, "blk.%u.ffn_down.bias", "transformer.h.%u.mlp.c_proj.bias", {EL_D_EMBD}, LAYER},
    {EL_R_OUTPUT_NORM, "output_norm.weight", "transformer.ln_f.weight", {EL_D_EMBD}, GLOBAL},
    {EL_R_OUTPUT_NORM_B, "output_norm.bias", "transformer.ln_f.bias", {EL_D_EMBD}, GLOBAL},
    {EL_R_OUTPUT, "output.weight", "lm_head.weight", {EL_D_VOCAB, EL_D_EMBD}, OPT},
    {EL_R_COUNT, NULL, NULL, {EL_D_NONE}, 0},
};

/* LayerNorm subtracts the mean over channels, so only permutations of the residual stream commute with it. */
static const struct el_link links[] = {
    {{EL_R_ATTN_NORM, EL_R_COUNT}, {EL_R_ATTN_QKV, EL_R_COUNT}, EL_C_GAIN},
    {{EL_R_ATTN_V, EL_R_COUNT}, {EL_R_ATTN_OUT, EL_R_COUNT}, EL_C_GAIN | EL_C_PERM | EL_C_ROTATE | EL_C_PER_HEAD},
    {{EL_R_FFN_NORM, EL_R_COUNT}, {EL_R_FFN_UP, EL_R_COUNT}, EL_C_GAIN},
    {{EL_R_FFN_UP, EL_R_COUNT}, {EL_R_FFN_DOWN, EL_R_COUNT}, EL_C_PERM},
    {{EL_R_OUTPUT_NORM, EL_R_COUNT}, {EL_R_OUTPUT, EL_R_COUNT}, EL_C_GAIN},
    {{EL_R_TOKEN_EMBD, EL_R_POS_EMBD, EL_R_ATTN_OUT, EL_R_FFN_DOWN, EL_R_COUNT},
     {EL_R_ATTN_QKV, EL_R_FFN_UP, EL_R_OUTPUT, EL_R_COUNT},
     EL_C_PERM | EL_C_RESIDUAL},
    {{EL_R_COUNT}, {EL_R_COUNT}, 0},
};

static enum el_status hparams(const struct el_meta *meta, struct el_hparams *hp, struct el_err *err)
{
    const char *act = NULL;
    EL_TRY(el_arch_common_hparams(&el_arch_gpt_bigcode, meta, "%s.attention.layer_norm_epsilon", hp, err));
    if (hp->n_embd != hp->n_heads * hp->d_head)
        return el_fail(err, EL_E_FORMAT, "%u heads of %u columns do not make the embedding length %u", hp->n_heads, hp->d_head,
                       hp->n_embd);
    hp->layer_norm = true;
    EL_TRY(el_meta_get_str_or(meta, "starcoder.hidden_act", &act, err));
    hp->gelu_erf = act && strcmp(act, "gelu") == 0;
    if (act && !hp->gelu_erf && strcmp(act, "gelu_pytorch_tanh") != 0)
        return el_fail(err, EL_E_UNSUPPORTED, "starcoder.hidden_act is '%.64s', known are gelu, gelu_pytorch_tanh", act);
    return EL_OK;
}

static enum el_status from_config(const struct el_json *config, struct el_meta *meta, struct el_err *err)
{
    static const char *const acts[] = {"gelu", "gelu_pytorch_tanh", "gelu_new", "gelu_fast", NULL};
    uint32_t n_embd = 0, n_heads = 0, n_ff = 0;
    int act = -1;
    EL_TRY(el_arch_config_name(config, "activation_function", acts, &act, err));
    if (act == 0)
        EL_TRY(el_meta_set_str(meta, "starcoder.hidden_act", "gelu", 4, err));
    const struct el_json *const scaled = el_json_get(config, "scale_attn_weights");
    if (scaled && !el_json_bool(scaled))
        return el_fail(err, EL_E_UNSUPPORTED, "scale_attn_weights is false, only true is supported");
    EL_TRY(el_meta_get_u32(meta, "starcoder.embedding_length", 0, UINT32_MAX, &n_embd, err));
    EL_TRY(el_meta_get_u32(meta, "starcoder.attention.head_count", 0, UINT32_MAX, &n_heads, err));
    EL_TRY(el_meta_get_u32_or(meta, "starcoder.feed_forward_length", 0, UINT32_MAX, n_embd > UINT32_MAX / 4 ? n_embd : 4 * n_embd,
                              &n_ff, err));
    EL_TRY(el_meta_set_u32(meta, "starcoder.feed_forward_length", n_ff, err));
    const struct el_json *const multi_query = el_json_get(config, "multi_query");
    const bool one_kv = !el_json_is(multi_query, EL_JSON_BOOL) || el_json_bool(multi_query);
    return el_meta_set_u32(meta, "starcoder.attention.head_count_kv", one_kv ? 1 : n_heads, err);
}

static enum el_status to_config(const struct el_meta *meta, const struct el_hparams *hp, uint64_t roles, struct el_buf *json,
                                struct el_err *err)
{
    (void)meta;
    (void)roles;
    if (hp->n_kv_heads != 1 && hp->n_kv_heads != hp->n_heads)
        return el_fail(err, EL_E_UNSUPPORTED, "%u key/value heads: a GPTBigCode config can say only 1 or %u", hp->n_kv_heads,
                       hp->n_heads);
    el_buf_addf(json,
                ",\n  \"multi_query\": %s,\n  \"activation_function\": \"%s\",\n  \"scale_attn_weights\": true,\n"
                "  \"attention_softmax_in_fp32\": true,\n  \"scale_attention_softmax_in_fp32\": true",
                hp->n_kv_heads == 1 ? "true" : "false", hp->gelu_erf ? "gelu" : "gelu_pytorch_tanh");
    return EL_OK;
}

static void block(struct el_run *run, uint32_t l)
{
    el_layer_gqa(run, l);
    el_layer_mlp(run, l);
}

static const char *const hf_classes[] = {"GPTBigCodeForCausalLM", NULL};
static const char *const hf_ignored[] = {".attn.bias", ".attn.masked_bias", NULL};

const struct el_arch el_arch_gpt_bigcode = {
    .name = "gpt_bigcode",
    .about = "SantaCoder, StarCoder, Granite Code 20B and 34B",
    .gguf_arch = "starcoder",
    .hf_classes = hf_classes,
    .hf_model_type = "gpt_bigcode",
    .hf_ignored = hf_ignored,
    .hf_tied = true,
    .fields = fields,
    .tensors = tensors,
    .links = links,
    .hparams = hparams,
    .from_config = from_config,
    .to_config = to_config,
    .embed = el_layer_embed,
    .block = block,
    .head = el_layer_head,
};
