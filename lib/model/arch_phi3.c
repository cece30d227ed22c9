/*
 * Phi-3 mini and medium (Abdin et al., arXiv:2404.14219), Phi-3.5 mini, Phi-4 and Phi-4 mini: Llama with q, k, v fused and gate
 * and up fused, optionally a sliding window, a part of each head rotated, and factors for long contexts ("long rope"). As in
 * llama.cpp the context that a session is opened with decides between the two sets of factors. llama.cpp passes over the
 * window.
 */
#include <math.h>

#include "base/err.h"
#include "model/arch_shared.h"

extern const struct el_arch el_arch_phi3;

static const struct el_field fields[] = {
    EL_FIELDS_SIZES(4096),
    {"%s.attention.head_count_kv", "num_key_value_heads", EL_FIELD_U32, false, NAN},
    EL_FIELD_RMS_EPS(1e-5),
    {"%s.attention.sliding_window", "sliding_window", EL_FIELD_U32, false, 0}, /* older releases of llama.cpp want it said */
    {"%s.rope.scaling.original_context_length",
     "original_max_position_embeddings|rope_parameters.original_max_position_embeddings|"
     "rope_scaling.original_max_position_embeddings",
     EL_FIELD_U32, false, 4096},
    EL_FIELDS_END,
};

static const struct el_tensor_rule tensors[] = {
    EL_ROW_EMBD,
    EL_ROW(ROPE_LONG, "rope_factors_long.weight", NULL, EL_TF_OPTIONAL, EL_D_ROT_HALF),
    EL_ROW(ROPE_SHORT, "rope_factors_short.weight", NULL, EL_TF_OPTIONAL, EL_D_ROT_HALF),
    EL_ROW_ATTN_NORM(0),
    EL_ROW_LAYER(ATTN_QKV, "attn_qkv.weight", "self_attn.qkv_proj.weight", 0, EL_D_QKV, EL_D_EMBD),
    EL_ROW_LAYER(ATTN_OUT, "attn_output.weight", "self_attn.o_proj.weight", 0, EL_D_EMBD, EL_D_Q),
    EL_ROW_FFN_NORM,
    EL_ROW_LAYER(FFN_GATE_UP, "ffn_up.weight", "mlp.gate_up_proj.weight", 0, EL_D_GATE_UP, EL_D_EMBD),
    EL_ROW_LAYER(FFN_DOWN, "ffn_down.weight", "mlp.down_proj.weight", 0, EL_D_EMBD, EL_D_FF),
    EL_ROWS_HEAD,
    EL_ROWS_END,
};

static const struct el_link links[] = {
    {{EL_R_ATTN_NORM, EL_R_COUNT}, {EL_R_ATTN_QKV, EL_R_COUNT}, EL_C_GAIN},
    {{EL_R_ATTN_V, EL_R_COUNT}, {EL_R_ATTN_OUT, EL_R_COUNT}, EL_C_GAIN | EL_C_PERM | EL_C_ROTATE | EL_C_PER_HEAD},
    {{EL_R_FFN_NORM, EL_R_COUNT}, {EL_R_FFN_GATE_UP, EL_R_COUNT}, EL_C_GAIN},
    {{EL_R_FFN_UP, EL_R_COUNT}, {EL_R_FFN_DOWN, EL_R_COUNT}, EL_C_GAIN},
    {{EL_R_FFN_GATE, EL_R_FFN_UP, EL_R_COUNT}, {EL_R_FFN_DOWN, EL_R_COUNT}, EL_C_PERM},
    {{EL_R_OUTPUT_NORM, EL_R_COUNT}, {EL_R_OUTPUT, EL_R_COUNT}, EL_C_GAIN},
    {{EL_R_TOKEN_EMBD, EL_R_ATTN_OUT, EL_R_FFN_DOWN, EL_R_COUNT},
     {EL_R_ATTN_QKV, EL_R_FFN_GATE_UP, EL_R_OUTPUT, EL_R_COUNT},
     EL_C_PERM | EL_C_ROTATE | EL_C_RESIDUAL},
    EL_LINKS_END,
};

static enum el_status hparams(const struct el_arch *arch, const struct el_meta *meta, struct el_hparams *hp, struct el_err *err)
{
    EL_TRY(el_llama_hparams(arch, meta, hp, err));
    EL_TRY(el_arch_check_heads(hp, err));
    return el_arch_long_rope_hparams(arch, meta, hp, err);
}

static const char *const hf_classes[] = {"Phi3ForCausalLM", NULL};

const struct el_arch el_arch_phi3 = {
    .name = "phi3",
    .about = "Phi-3, Phi-3.5 mini, Phi-4, Phi-4 mini",
    .gguf_arch = "phi3",
    .hf_classes = hf_classes,
    .hf_model_type = "phi3",
    .hf_ignored = el_hf_ignored_rope,
    .hf_partial_rotary = 1,
    .fields = fields,
    .tensors = tensors,
    .links = links,
    .hparams = hparams,
    .from_config = el_llama_from_config,
    .to_config = el_llama_to_config,
    .embed = el_layer_embed,
    .block = el_block_swiglu,
    .head = el_layer_head,
};
