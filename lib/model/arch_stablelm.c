/*
 * StableLM (Bellagente et al., arXiv:2402.17834; Tow et al., "StableLM 3B 4E1T"): Llama with LayerNorm and a quarter of each head
 * rotated, optionally biases on q, k, v. The 12B model has norms of q and k, one for each head, and attention and MLP read the
 * same norm ("parallel residual").
 */
#include "base/buf.h"
#include "base/err.h"
#include "model/arch_shared.h"
#include "tensor/meta.h"

extern const struct el_arch el_arch_stablelm;

static const struct el_field fields[] = {
    EL_FIELDS_SIZES(4096),
    {"%s.attention.head_count_kv", "num_key_value_heads", EL_FIELD_U32, false, 32},
    {"%s.attention.layer_norm_epsilon", "layer_norm_eps|norm_eps", EL_FIELD_F32, false, 1e-5},
    EL_FIELDS_END,
};

static const struct el_config_flag flags[] = {
    {"use_qkv_bias", false, false, EL_ROLE(ATTN_Q_B) | EL_ROLE(ATTN_K_B) | EL_ROLE(ATTN_V_B)},
    {"qk_layernorm", false, false, EL_ROLE(ATTN_Q_NORM) | EL_ROLE(ATTN_K_NORM)},
    {"use_parallel_residual", false, true, EL_ROLE(FFN_NORM) | EL_ROLE(FFN_NORM_B)},
    EL_FLAGS_END,
};

#define OPT      EL_TF_OPTIONAL
#define PER_HEAD (EL_TF_OPTIONAL | EL_TF_STACK | EL_TF_VECTORS)
static const struct el_tensor_rule tensors[] = {
    EL_ROW_EMBD,
    EL_ROWS_ATTN,
    EL_ROWS_QKV_BIAS(OPT),
    EL_ROW_LAYER(ATTN_NORM_B, "attn_norm.bias", "input_layernorm.bias", 0, EL_D_EMBD),
    EL_ROW_LAYER(ATTN_Q_NORM, "attn_q_norm.weight", "self_attn.q_layernorm.norms.%u.weight", PER_HEAD, EL_D_HEADS, EL_D_HEAD),
    EL_ROW_LAYER(ATTN_K_NORM, "attn_k_norm.weight", "self_attn.k_layernorm.norms.%u.weight", PER_HEAD, EL_D_KV_HEADS, EL_D_HEAD),
    EL_ROW_LAYER(FFN_NORM, "ffn_norm.weight", "post_attention_layernorm.weight", OPT, EL_D_EMBD),
    EL_ROW_LAYER(FFN_NORM_B, "ffn_norm.bias", "post_attention_layernorm.bias", OPT, EL_D_EMBD),
    EL_ROWS_GATED,
    EL_ROWS_HEAD,
    EL_ROW(OUTPUT_NORM_B, "output_norm.bias", "model.norm.bias", 0, EL_D_EMBD),
    EL_ROWS_END,
};

#define LINKS                                                                                                                    \
    {{EL_R_ATTN_V, EL_R_COUNT}, {EL_R_ATTN_OUT, EL_R_COUNT}, EL_C_GAIN | EL_C_PERM | EL_C_ROTATE | EL_C_PER_HEAD},               \
        {{EL_R_FFN_UP, EL_R_COUNT}, {EL_R_FFN_DOWN, EL_R_COUNT}, EL_C_GAIN},                                                     \
        {{EL_R_FFN_GATE, EL_R_FFN_UP, EL_R_COUNT}, {EL_R_FFN_DOWN, EL_R_COUNT}, EL_C_PERM},                                      \
        {{EL_R_OUTPUT_NORM, EL_R_COUNT}, {EL_R_OUTPUT, EL_R_COUNT}, EL_C_GAIN},                                                  \
        {{EL_R_TOKEN_EMBD, EL_R_ATTN_OUT, EL_R_FFN_DOWN, EL_R_COUNT},                                                            \
         {EL_R_ATTN_Q, EL_R_ATTN_K, EL_R_ATTN_V, EL_R_FFN_GATE, EL_R_FFN_UP, EL_R_OUTPUT, EL_R_COUNT},                           \
         EL_C_PERM | EL_C_ROTATE_MEAN | EL_C_RESIDUAL},                                                                          \
        EL_LINKS_END
static const struct el_link links[] = {
    {{EL_R_ATTN_NORM, EL_R_COUNT}, {EL_R_ATTN_Q, EL_R_ATTN_K, EL_R_ATTN_V, EL_R_COUNT}, EL_C_GAIN},
    {{EL_R_FFN_NORM, EL_R_COUNT}, {EL_R_FFN_GATE, EL_R_FFN_UP, EL_R_COUNT}, EL_C_GAIN},
    LINKS,
};
static const struct el_link links_parallel[] = {
    {{EL_R_ATTN_NORM, EL_R_COUNT}, {EL_R_ATTN_Q, EL_R_ATTN_K, EL_R_ATTN_V, EL_R_FFN_GATE, EL_R_FFN_UP, EL_R_COUNT}, EL_C_GAIN},
    LINKS,
};

static const struct el_link *wiring(const struct el_hparams *hp, uint64_t roles)
{
    (void)hp;
    return roles & EL_ROLE(FFN_NORM) ? links : links_parallel;
}

static enum el_status hparams(const struct el_arch *arch, const struct el_meta *meta, struct el_hparams *hp, struct el_err *err)
{
    EL_TRY(el_arch_common_hparams(arch, meta, "%s.attention.layer_norm_epsilon", hp, err));
    EL_TRY(el_arch_check_heads(hp, err));
    hp->layer_norm = true;
    return el_arch_rope_hparams(arch, meta, hp, err);
}

/* llama.cpp goes by the tensors and so do we; the key is for others. */
static enum el_status from_config(const struct el_arch *arch, const struct el_json *config, struct el_meta *meta,
                                  struct el_err *err)
{
    const bool parallel = el_json_bool(el_json_get(config, "use_parallel_residual"));
    EL_TRY(el_meta_set_bool(meta, "stablelm.use_parallel_residual", parallel, err));
    return el_llama_from_config(arch, config, meta, err);
}

static void block(struct el_run *run, uint32_t l)
{
    if (el_weight_at(run->weights, EL_R_FFN_NORM, l)) {
        el_block_swiglu(run, l);
        return;
    }
    const enum el_buffer h = el_layer_norm(run, EL_R_ATTN_NORM, l);
    el_layer_attend(run, l, h);
    el_layer_add(run, EL_R_ATTN_RESID_NORM, l);
    if (run->off & EL_OFF_PARALLEL)
        (void)el_layer_norm(run, EL_R_ATTN_NORM, l);
    el_layer_gated(run, l, h);
    el_layer_add(run, EL_R_FFN_RESID_NORM, l);
}

static const char *const hf_classes[] = {"StableLmForCausalLM", "StableLMEpochForCausalLM", NULL};

const struct el_arch el_arch_stablelm = {
    .name = "stablelm",
    .about = "StableLM 3B, StableLM 2 1.6B and 12B",
    .gguf_arch = "stablelm",
    .hf_classes = hf_classes,
    .hf_model_type = "stablelm",
    .hf_ignored = el_hf_ignored_rope,
    .hf_partial_rotary = 0.25,
    .fields = fields,
    .flags = flags,
    .tensors = tensors,
    .links = links,
    .wiring = wiring,
    .hparams = hparams,
    .from_config = from_config,
    .to_config = el_llama_to_config,
    .embed = el_layer_embed,
    .block = block,
    .head = el_layer_head,
};
