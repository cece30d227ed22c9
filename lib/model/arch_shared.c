/* Wiring and functions that families share; see arch_shared.h. */
#include "model/arch_shared.h"

#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "tensor/meta.h"

/* ---- wiring ---- */

const struct el_link el_links_swiglu[] = {
    {{EL_R_ATTN_NORM, EL_R_COUNT}, {EL_R_ATTN_Q, EL_R_ATTN_K, EL_R_ATTN_V, EL_R_COUNT}, EL_C_GAIN},
    {{EL_R_ATTN_V, EL_R_COUNT}, {EL_R_ATTN_OUT, EL_R_COUNT}, EL_C_GAIN | EL_C_PERM | EL_C_ROTATE | EL_C_PER_HEAD},
    {{EL_R_FFN_NORM, EL_R_COUNT}, {EL_R_FFN_GATE, EL_R_FFN_UP, EL_R_COUNT}, EL_C_GAIN},
    {{EL_R_FFN_UP, EL_R_COUNT}, {EL_R_FFN_DOWN, EL_R_COUNT}, EL_C_GAIN},
    {{EL_R_FFN_GATE, EL_R_FFN_UP, EL_R_COUNT}, {EL_R_FFN_DOWN, EL_R_COUNT}, EL_C_PERM},
    {{EL_R_OUTPUT_NORM, EL_R_COUNT}, {EL_R_OUTPUT, EL_R_COUNT}, EL_C_GAIN},
    {{EL_R_TOKEN_EMBD, EL_R_ATTN_OUT, EL_R_FFN_DOWN, EL_R_COUNT},
     {EL_R_ATTN_Q, EL_R_ATTN_K, EL_R_ATTN_V, EL_R_FFN_GATE, EL_R_FFN_UP, EL_R_OUTPUT, EL_R_COUNT},
     EL_C_PERM | EL_C_ROTATE | EL_C_RESIDUAL},
    EL_LINKS_END,
};

const struct el_link el_links_moe[] = {
    {{EL_R_ATTN_NORM, EL_R_COUNT}, {EL_R_ATTN_Q, EL_R_ATTN_K, EL_R_ATTN_V, EL_R_COUNT}, EL_C_GAIN},
    {{EL_R_ATTN_V, EL_R_COUNT}, {EL_R_ATTN_OUT, EL_R_COUNT}, EL_C_GAIN | EL_C_PERM | EL_C_ROTATE | EL_C_PER_HEAD},
    {{EL_R_FFN_NORM, EL_R_COUNT}, {EL_R_FFN_ROUTER, EL_R_FFN_GATE_EXPS, EL_R_FFN_UP_EXPS, EL_R_COUNT}, EL_C_GAIN},
    {{EL_R_FFN_UP_EXPS, EL_R_COUNT}, {EL_R_FFN_DOWN_EXPS, EL_R_COUNT}, EL_C_GAIN},
    {{EL_R_FFN_GATE_EXPS, EL_R_FFN_UP_EXPS, EL_R_COUNT}, {EL_R_FFN_DOWN_EXPS, EL_R_COUNT}, EL_C_PERM},
    {{EL_R_OUTPUT_NORM, EL_R_COUNT}, {EL_R_OUTPUT, EL_R_COUNT}, EL_C_GAIN},
    {{EL_R_TOKEN_EMBD, EL_R_ATTN_OUT, EL_R_FFN_DOWN_EXPS, EL_R_COUNT},
     {EL_R_ATTN_Q, EL_R_ATTN_K, EL_R_ATTN_V, EL_R_FFN_ROUTER, EL_R_FFN_GATE_EXPS, EL_R_FFN_UP_EXPS, EL_R_OUTPUT, EL_R_COUNT},
     EL_C_PERM | EL_C_ROTATE | EL_C_RESIDUAL},
    EL_LINKS_END,
};

/* LayerNorm subtracts the mean over channels: what leaves the vector of ones as it is commutes with that. */
const struct el_link el_links_gpt[] = {
    {{EL_R_ATTN_NORM, EL_R_COUNT}, {EL_R_ATTN_QKV, EL_R_COUNT}, EL_C_GAIN},
    {{EL_R_ATTN_V, EL_R_COUNT}, {EL_R_ATTN_OUT, EL_R_COUNT}, EL_C_GAIN | EL_C_PERM | EL_C_ROTATE | EL_C_PER_HEAD},
    {{EL_R_FFN_NORM, EL_R_COUNT}, {EL_R_FFN_UP, EL_R_COUNT}, EL_C_GAIN},
    {{EL_R_FFN_UP, EL_R_COUNT}, {EL_R_FFN_DOWN, EL_R_COUNT}, EL_C_PERM},
    {{EL_R_OUTPUT_NORM, EL_R_COUNT}, {EL_R_OUTPUT, EL_R_COUNT}, EL_C_GAIN},
    {{EL_R_TOKEN_EMBD, EL_R_POS_EMBD, EL_R_ATTN_OUT, EL_R_FFN_DOWN, EL_R_COUNT},
     {EL_R_ATTN_QKV, EL_R_FFN_UP, EL_R_OUTPUT, EL_R_COUNT},
     EL_C_PERM | EL_C_ROTATE_MEAN | EL_C_RESIDUAL},
    EL_LINKS_END,
};

/* ---- Llama's descendants ---- */

const char *const el_hf_ignored_rope[] = {".rotary_emb.inv_freq", NULL};

enum el_status el_llama_hparams(const struct el_arch *arch, const struct el_meta *meta, struct el_hparams *hp, struct el_err *err)
{
    EL_TRY(el_arch_common_hparams(arch, meta, "%s.attention.layer_norm_rms_epsilon", hp, err));
    return el_arch_rope_hparams(arch, meta, hp, err);
}

enum el_status el_llama_from_config(const struct el_arch *arch, const struct el_json *config, struct el_meta *meta,
                                    struct el_err *err)
{
    static const char *const acts[] = {"silu", "swish", NULL};
    char key[128];
    EL_TRY(el_arch_config_name(config, "hidden_act", acts, NULL, err));
    if (el_json_is(el_json_get(config, "num_key_value_heads"), EL_JSON_NULL)) /* as many as heads, not the class's default */
        el_meta_remove(meta, el_arch_key(arch, "%s.attention.head_count_kv", key));
    EL_TRY(el_arch_heads_from_config(arch, meta, err));
    return el_arch_rope_from_config(arch, config, meta, err);
}

const struct el_config_flag el_flags_llama[] = {
    {"attention_bias", false, false, EL_ROLE(ATTN_Q_B) | EL_ROLE(ATTN_K_B) | EL_ROLE(ATTN_V_B) | EL_ROLE(ATTN_OUT_B)},
    {"mlp_bias", false, false, EL_ROLE(FFN_GATE_B) | EL_ROLE(FFN_UP_B) | EL_ROLE(FFN_DOWN_B)},
    EL_FLAGS_END,
};

static bool has_field(const struct el_arch *arch, const char *hf)
{
    for (const struct el_field *f = arch->fields; f->gguf; f++)
        if (strcmp(f->hf, hf) == 0)
            return true;
    return false;
}

enum el_status el_llama_to_config(const struct el_arch *arch, const struct el_meta *meta, const struct el_hparams *hp,
                                  uint64_t roles, struct el_buf *json, struct el_err *err)
{
    (void)roles;
    (void)err;
    el_buf_add_str(json, ",\n  \"hidden_act\": \"silu\"");
    if (hp->window == 0 && has_field(arch, "sliding_window"))
        el_buf_add_str(json, ",\n  \"sliding_window\": null");
    el_arch_rope_to_config(arch, meta, hp, json);
    return EL_OK;
}

/* ---- Qwen's windows ---- */

/* First of n_layers with a window, from layer_types when there, else max_window_layers. Layers below see everything. */
static enum el_status first_window_layer(const struct el_json *config, uint32_t n_layers, uint32_t *first, struct el_err *err)
{
    const struct el_json *const types = el_json_get(config, "layer_types");
    int64_t n = 28; /* default of all of Qwen's classes */
    if (!el_json_is(types, EL_JSON_ARRAY)) {
        const struct el_json *const v = el_json_get(config, "max_window_layers");
        if (v && (!el_json_int(v, &n) || n < 0))
            return el_fail(err, EL_E_FORMAT, "max_window_layers is not an integer from 0");
        *first = n > UINT32_MAX ? UINT32_MAX : (uint32_t)n;
        return EL_OK;
    }
    bool windows = false;
    uint32_t n_types = 0;
    *first = 0;
    for (const struct el_json *t = el_json_first(types); t; t = el_json_next(t), n_types++) {
        const char *const type = el_json_str(t);
        const bool window = type && strcmp(type, "sliding_attention") == 0;
        if (!window && (windows || !type || strcmp(type, "full_attention") != 0))
            return el_fail(err, EL_E_UNSUPPORTED, "layer_types: only full_attention layers followed by sliding_attention layers");
        windows = window;
        *first += !window;
    }
    if (n_types != n_layers)
        return el_fail(err, EL_E_FORMAT, "layer_types: %u layers, num_hidden_layers says %u", n_types, n_layers);
    return EL_OK;
}

enum el_status el_qwen_from_config(const struct el_arch *arch, const struct el_json *config, struct el_meta *meta,
                                   struct el_err *err)
{
    char key[128];
    int64_t window = 0;
    uint32_t first = 0, n_layers = 0;
    EL_TRY(el_llama_from_config(arch, config, meta, err));
    if (!el_json_bool(el_json_get(config, "use_sliding_window")) ||
        el_json_is(el_json_get(config, "sliding_window"), EL_JSON_NULL))
        return EL_OK;
    if (!el_json_int(el_json_get(config, "sliding_window"), &window) || window < 1 || window > INT32_MAX)
        return el_fail(err, EL_E_FORMAT, "sliding_window is not an integer from 1 to %d", INT32_MAX);
    EL_TRY(el_meta_get_u32(meta, el_arch_key(arch, "%s.block_count", key), 0, UINT32_MAX, &n_layers, err));
    EL_TRY(first_window_layer(config, n_layers, &first, err));
    if (first >= n_layers)
        return EL_OK;
    EL_TRY(el_meta_set_u32(meta, el_arch_key(arch, "%s.attention.sliding_window", key), (uint32_t)window, err));
    return el_meta_set_u32(meta, el_arch_key(arch, "%s.attention.sliding_window_first_layer", key), first, err);
}

enum el_status el_qwen_to_config(const struct el_arch *arch, const struct el_meta *meta, const struct el_hparams *hp,
                                 uint64_t roles, struct el_buf *json, struct el_err *err)
{
    EL_TRY(el_llama_to_config(arch, meta, hp, roles, json, err));
    if (hp->window)
        el_buf_addf(json, ",\n  \"use_sliding_window\": true,\n  \"sliding_window\": %u,\n  \"max_window_layers\": %u",
                    hp->window, hp->window_from_layer);
    else
        el_buf_addf(json, ",\n  \"use_sliding_window\": false,\n  \"sliding_window\": null,\n  \"max_window_layers\": %u",
                    hp->n_layers);
    return EL_OK;
}

/* ---- mixtures of experts ---- */

enum el_status el_moe_hparams(const struct el_arch *arch, const struct el_meta *meta, bool norm, struct el_hparams *hp,
                              struct el_err *err)
{
    char key[128];
    EL_TRY(el_llama_hparams(arch, meta, hp, err));
    if (!hp->n_experts)
        return el_fail(err, EL_E_FORMAT, "%s.expert_count is 0, at least 1", arch->gguf_arch);
    EL_TRY(el_meta_get_bool_or(meta, el_arch_key(arch, "%s.expert_weights_norm", key), norm, &norm, err));
    hp->experts_as_they_are = !norm;
    return EL_OK;
}

enum el_status el_moe_from_config(const struct el_arch *arch, const struct el_json *config, struct el_meta *meta,
                                  struct el_err *err)
{
    int64_t step = 1;
    const struct el_json *const every = el_json_get(config, "decoder_sparse_step");
    const struct el_json *const dense = el_json_get(config, "mlp_only_layers");
    const struct el_json *const clip = el_json_get(config, "clip_qkv");
    if (every && (!el_json_int(every, &step) || step != 1))
        return el_fail(err, EL_E_UNSUPPORTED, "decoder_sparse_step is not 1: layers without experts");
    if (el_json_first(dense))
        return el_fail(err, EL_E_UNSUPPORTED, "mlp_only_layers is not empty: layers without experts");
    if (clip && !el_json_is(clip, EL_JSON_NULL))
        return el_fail(err, EL_E_UNSUPPORTED, "clip_qkv is not null: clipping of q, k, v");
    if (el_json_bool(el_json_get(config, "use_sliding_window")))
        return el_fail(err, EL_E_UNSUPPORTED, "use_sliding_window is true: a window in a mixture of experts");
    return el_llama_from_config(arch, config, meta, err);
}

enum el_status el_moe_to_config(const struct el_arch *arch, const struct el_meta *meta, const struct el_hparams *hp,
                                uint64_t roles, struct el_buf *json, struct el_err *err)
{
    char key[128];
    EL_TRY(el_llama_to_config(arch, meta, hp, roles, json, err));
    if (el_meta_find(meta, el_arch_key(arch, "%s.expert_weights_norm", key)) == SIZE_MAX)
        el_buf_addf(json, ",\n  \"norm_topk_prob\": %s", hp->experts_as_they_are ? "false" : "true");
    return EL_OK;
}

/* ---- the nonlinearity of an MLP without gate ---- */

/* Names that transformers has for them; of several the first is written. */
static const struct {
    const char *name;
    enum el_act_fn fn;
} acts[] = {
    {"gelu_pytorch_tanh", EL_FN_GELU_TANH},
    {"gelu_new", EL_FN_GELU_TANH},
    {"gelu_fast", EL_FN_GELU_TANH},
    {"gelu", EL_FN_GELU_ERF},
    {"relu", EL_FN_RELU},
};
enum { N_ACTS = sizeof acts / sizeof acts[0] };

enum el_status el_arch_act_from_config(const struct el_arch *arch, const struct el_json *config, enum el_act_fn usual,
                                       struct el_meta *meta, struct el_err *err)
{
    const char *names[N_ACTS + 1] = {NULL};
    char key[128];
    int i = -1;
    for (int k = 0; k < N_ACTS; k++)
        names[k] = acts[k].name;
    EL_TRY(el_arch_config_name(config, "activation_function", names, &i, err));
    if (i < 0 || acts[i].fn == usual)
        return EL_OK;
    return el_meta_set_str(meta, el_arch_key(arch, "%s.hidden_act", key), names[i], strlen(names[i]), err);
}

enum el_status el_arch_act_hparams(const struct el_arch *arch, const struct el_meta *meta, enum el_act_fn usual,
                                   struct el_hparams *hp, struct el_err *err)
{
    char key[128];
    const char *name = NULL;
    int i = 0;
    hp->act = usual;
    EL_TRY(el_meta_get_str_or(meta, el_arch_key(arch, "%s.hidden_act", key), &name, err));
    if (!name)
        return EL_OK;
    while (i < N_ACTS && strcmp(acts[i].name, name) != 0)
        i++;
    if (i == N_ACTS)
        return el_fail(err, EL_E_UNSUPPORTED, "%s is '%.64s', known are gelu_pytorch_tanh, gelu_new, gelu_fast, gelu, relu", key,
                       name);
    hp->act = acts[i].fn;
    return EL_OK;
}

const char *el_arch_act_name(const struct el_hparams *hp)
{
    int i = 0;
    while (i < N_ACTS - 1 && acts[i].fn != hp->act)
        i++;
    return acts[i].name;
}

/* ---- GPT-2 and its descendants ---- */

const char *const el_hf_ignored_gpt[] = {".attn.bias", ".attn.masked_bias", NULL};

enum el_status el_gpt_hparams(const struct el_arch *arch, const struct el_meta *meta, struct el_hparams *hp, struct el_err *err)
{
    EL_TRY(el_arch_common_hparams(arch, meta, "%s.attention.layer_norm_epsilon", hp, err));
    EL_TRY(el_arch_check_heads(hp, err));
    hp->layer_norm = true;
    return el_arch_act_hparams(arch, meta, EL_FN_GELU_TANH, hp, err);
}

enum el_status el_gpt_from_config(const struct el_arch *arch, const struct el_json *config, struct el_meta *meta,
                                  struct el_err *err)
{
    char key[128];
    uint32_t n_embd = 0, n_ff = 0;
    EL_TRY(el_arch_act_from_config(arch, config, EL_FN_GELU_TANH, meta, err));
    const struct el_json *const scaled = el_json_get(config, "scale_attn_weights");
    if (scaled && !el_json_bool(scaled))
        return el_fail(err, EL_E_UNSUPPORTED, "scale_attn_weights is false, only true is supported");
    EL_TRY(el_meta_get_u32(meta, el_arch_key(arch, "%s.embedding_length", key), 0, UINT32_MAX, &n_embd, err));
    EL_TRY(el_meta_get_u32_or(meta, el_arch_key(arch, "%s.feed_forward_length", key), 0, UINT32_MAX,
                              n_embd > UINT32_MAX / 4 ? n_embd : 4 * n_embd, &n_ff, err));
    return el_meta_set_u32(meta, key, n_ff, err);
}

enum el_status el_gpt_to_config(const struct el_arch *arch, const struct el_meta *meta, const struct el_hparams *hp,
                                uint64_t roles, struct el_buf *json, struct el_err *err)
{
    (void)arch;
    (void)meta;
    (void)roles;
    (void)err;
    el_buf_addf(json, ",\n  \"activation_function\": \"%s\",\n  \"scale_attn_weights\": true", el_arch_act_name(hp));
    return EL_OK;
}

/* ---- blocks ---- */

void el_block_swiglu(struct el_run *run, uint32_t l)
{
    el_layer_gqa(run, l);
    el_layer_swiglu(run, l);
}

void el_block_moe(struct el_run *run, uint32_t l)
{
    el_layer_gqa(run, l);
    el_layer_moe(run, l);
}

void el_block_mlp(struct el_run *run, uint32_t l)
{
    el_layer_gqa(run, l);
    el_layer_mlp(run, l);
}
