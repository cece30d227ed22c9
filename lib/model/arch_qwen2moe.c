/*
 * Qwen1.5-MoE and Qwen2-57B-A14B (Yang et al., arXiv:2407.10671, section 2.2.2): Qwen2's attention, a mixture of experts in
 * every layer, and one expert for all tokens, which a gate of its own lets through. The weights of the chosen experts stay as
 * the softmax over all of them gives them; llama.cpp passes over qwen2moe.expert_weights_norm, which says otherwise.
 */
#include <math.h>

#include "base/err.h"
#include "model/arch_shared.h"

extern const struct el_arch el_arch_qwen2moe;

static const struct el_field fields[] = {
    EL_FIELDS_SIZES(32768),
    EL_FIELDS_HEADS(NAN, NAN),
    EL_FIELD_RMS_EPS(1e-6),
    EL_FIELDS_EXPERTS(60, 4),
    {"%s.expert_feed_forward_length", "moe_intermediate_size", EL_FIELD_U32, false, 1408},
    {"%s.expert_shared_feed_forward_length", "shared_expert_intermediate_size", EL_FIELD_U32, false, 5632},
    EL_FIELDS_END,
};

#define SHARED "mlp.shared_expert."
static const struct el_tensor_rule tensors[] = {
    EL_ROW_EMBD,
    EL_ROWS_ATTN,
    EL_ROWS_QKV_BIAS(EL_TF_OPTIONAL),
    EL_ROWS_MOE_QWEN,
    EL_ROW_LAYER(FFN_ROUTER_SHEXP, "ffn_gate_inp_shexp.weight", "mlp.shared_expert_gate.weight", 0, EL_D_ONE, EL_D_EMBD),
    EL_ROW_LAYER(FFN_GATE_SHEXP, "ffn_gate_shexp.weight", SHARED "gate_proj.weight", 0, EL_D_FF_SHEXP, EL_D_EMBD),
    EL_ROW_LAYER(FFN_UP_SHEXP, "ffn_up_shexp.weight", SHARED "up_proj.weight", 0, EL_D_FF_SHEXP, EL_D_EMBD),
    EL_ROW_LAYER(FFN_DOWN_SHEXP, "ffn_down_shexp.weight", SHARED "down_proj.weight", 0, EL_D_EMBD, EL_D_FF_SHEXP),
    EL_ROWS_HEAD,
    EL_ROWS_END,
};

static const struct el_config_flag flags[] = {
    {"qkv_bias", true, false, EL_ROLE(ATTN_Q_B) | EL_ROLE(ATTN_K_B) | EL_ROLE(ATTN_V_B)},
    EL_FLAGS_END,
};

static const struct el_link links[] = {
    {{EL_R_ATTN_NORM, EL_R_COUNT}, {EL_R_ATTN_Q, EL_R_ATTN_K, EL_R_ATTN_V, EL_R_COUNT}, EL_C_GAIN},
    {{EL_R_ATTN_V, EL_R_COUNT}, {EL_R_ATTN_OUT, EL_R_COUNT}, EL_C_GAIN | EL_C_PERM | EL_C_ROTATE | EL_C_PER_HEAD},
    {{EL_R_FFN_NORM, EL_R_COUNT},
     {EL_R_FFN_ROUTER, EL_R_FFN_GATE_EXPS, EL_R_FFN_UP_EXPS, EL_R_FFN_ROUTER_SHEXP, EL_R_FFN_GATE_SHEXP, EL_R_FFN_UP_SHEXP,
      EL_R_COUNT},
     EL_C_GAIN},
    {{EL_R_FFN_UP_EXPS, EL_R_COUNT}, {EL_R_FFN_DOWN_EXPS, EL_R_COUNT}, EL_C_GAIN},
    {{EL_R_FFN_GATE_EXPS, EL_R_FFN_UP_EXPS, EL_R_COUNT}, {EL_R_FFN_DOWN_EXPS, EL_R_COUNT}, EL_C_PERM},
    {{EL_R_FFN_UP_SHEXP, EL_R_COUNT}, {EL_R_FFN_DOWN_SHEXP, EL_R_COUNT}, EL_C_GAIN},
    {{EL_R_FFN_GATE_SHEXP, EL_R_FFN_UP_SHEXP, EL_R_COUNT}, {EL_R_FFN_DOWN_SHEXP, EL_R_COUNT}, EL_C_PERM},
    {{EL_R_OUTPUT_NORM, EL_R_COUNT}, {EL_R_OUTPUT, EL_R_COUNT}, EL_C_GAIN},
    {{EL_R_TOKEN_EMBD, EL_R_ATTN_OUT, EL_R_FFN_DOWN_EXPS, EL_R_FFN_DOWN_SHEXP, EL_R_COUNT},
     {EL_R_ATTN_Q, EL_R_ATTN_K, EL_R_ATTN_V, EL_R_FFN_ROUTER, EL_R_FFN_GATE_EXPS, EL_R_FFN_UP_EXPS, EL_R_FFN_ROUTER_SHEXP,
      EL_R_FFN_GATE_SHEXP, EL_R_FFN_UP_SHEXP, EL_R_OUTPUT, EL_R_COUNT},
     EL_C_PERM | EL_C_ROTATE | EL_C_RESIDUAL},
    EL_LINKS_END,
};

static enum el_status hparams(const struct el_arch *arch, const struct el_meta *meta, struct el_hparams *hp, struct el_err *err)
{
    EL_TRY(el_moe_hparams(arch, meta, false, hp, err));
    if (hp->n_ff_shexp == 0)
        return el_fail(err, EL_E_FORMAT, "no qwen2moe.expert_shared_feed_forward_length, or it is 0");
    return EL_OK;
}

static const char *const hf_classes[] = {"Qwen2MoeForCausalLM", NULL};

const struct el_arch el_arch_qwen2moe = {
    .name = "qwen2moe",
    .about = "Qwen1.5-MoE-A2.7B and Qwen2-57B-A14B: experts, one of them shared",
    .gguf_arch = "qwen2moe",
    .hf_classes = hf_classes,
    .hf_model_type = "qwen2_moe",
    .hf_ignored = el_hf_ignored_rope,
    .fields = fields,
    .flags = flags,
    .tensors = tensors,
    .links = links,
    .hparams = hparams,
    .from_config = el_moe_from_config,
    .to_config = el_moe_to_config,
    .embed = el_layer_embed,
    .block = el_block_moe,
    .head = el_layer_head,
};
