/* What Gemma 2 and 3 share; see arch_shared.h. */
#include <math.h>

#include "base/buf.h"
#include "base/err.h"
#include "model/arch_shared.h"
#include "tensor/meta.h"

/* Norms behind attention and MLP have gains of their own, so that only permutations of the residual stream pass them. */
const struct el_link el_links_gemma[] = {
    {{EL_R_ATTN_NORM, EL_R_COUNT}, {EL_R_ATTN_Q, EL_R_ATTN_K, EL_R_ATTN_V, EL_R_COUNT}, EL_C_GAIN},
    {{EL_R_ATTN_V, EL_R_COUNT}, {EL_R_ATTN_OUT, EL_R_COUNT}, EL_C_GAIN | EL_C_PERM | EL_C_ROTATE | EL_C_PER_HEAD},
    {{EL_R_FFN_NORM, EL_R_COUNT}, {EL_R_FFN_GATE, EL_R_FFN_UP, EL_R_COUNT}, EL_C_GAIN},
    {{EL_R_FFN_UP, EL_R_COUNT}, {EL_R_FFN_DOWN, EL_R_COUNT}, EL_C_GAIN},
    {{EL_R_FFN_GATE, EL_R_FFN_UP, EL_R_COUNT}, {EL_R_FFN_DOWN, EL_R_COUNT}, EL_C_PERM},
    {{EL_R_OUTPUT_NORM, EL_R_COUNT}, {EL_R_OUTPUT, EL_R_COUNT}, EL_C_GAIN},
    {{EL_R_TOKEN_EMBD, EL_R_ATTN_OUT, EL_R_FFN_DOWN, EL_R_COUNT},
     {EL_R_ATTN_Q, EL_R_ATTN_K, EL_R_ATTN_V, EL_R_FFN_GATE, EL_R_FFN_UP, EL_R_OUTPUT, EL_R_COUNT},
     EL_C_PERM | EL_C_RESIDUAL},
    EL_LINKS_END,
};

static const struct {
    const char *gguf, *hf;
} caps[] = {{"%s.attn_logit_softcapping", "attn_logit_softcapping"}, {"%s.final_logit_softcapping", "final_logit_softcapping"}};

static enum el_status get_cap(const struct el_arch *arch, const struct el_meta *meta, const char *fmt, float usual, float *cap,
                              struct el_err *err)
{
    char key[128];
    EL_TRY(el_meta_get_f32_or(meta, el_arch_key(arch, fmt, key), usual, cap, err));
    return *cap >= 0 && *cap <= 1e30f
               ? EL_OK
               : el_fail(err, EL_E_FORMAT, "%s is %g, allowed are 0 for none, and positive numbers", key, (double)*cap);
}

enum el_status el_gemma_hparams(const struct el_arch *arch, const struct el_meta *meta, const struct el_gemma *usual,
                                struct el_hparams *hp, struct el_err *err)
{
    char key[128];
    uint32_t scalar = 0;
    EL_TRY(el_llama_hparams(arch, meta, hp, err));
    EL_TRY(el_arch_windows_hparams(arch, meta, usual->window_every, hp, err));
    EL_TRY(get_cap(arch, meta, caps[0].gguf, usual->attn_cap, &hp->attn_cap, err));
    EL_TRY(get_cap(arch, meta, caps[1].gguf, usual->logit_cap, &hp->logit_cap, err));
    /* llama.cpp, which has no key for it, goes by the number of layers of the 27B models. */
    EL_TRY(el_meta_get_u32_or(meta, el_arch_key(arch, "%s.attention.query_pre_attn_scalar", key), 1, 1 << 24,
                              hp->n_layers == usual->layers_27b ? hp->n_embd / hp->n_heads : hp->d_head, &scalar, err));
    if (el_meta_find(meta, el_arch_key(arch, "%s.attention.sliding_window", key)) == SIZE_MAX)
        hp->window = usual->window;
    /* No window, and a window in no layer, are the same. */
    if (hp->window == 0)
        hp->window_every = 1;
    if (hp->window_every == 1)
        hp->window = 0;
    hp->attn_scale = (float)(1.0 / sqrt((double)scalar));
    hp->embd_scale = (float)sqrt((double)hp->n_embd);
    hp->act = EL_FN_GELU_TANH;
    return EL_OK;
}

static enum el_status cap_from_config(const struct el_arch *arch, const struct el_json *config, size_t i, float usual,
                                      struct el_meta *meta, struct el_err *err)
{
    char key[128];
    const struct el_json *const v = el_json_get(config, caps[i].hf);
    const bool none = el_json_is(v, EL_JSON_NULL);
    if (v && !none && !(el_json_is(v, EL_JSON_NUMBER) && el_json_num(v) > 0))
        return el_fail(err, EL_E_FORMAT, "%s is not a positive number or null", caps[i].hf);
    const float cap = none ? 0 : v ? (float)el_json_num(v) : usual;
    return cap == 0 && usual == 0 ? EL_OK : el_meta_set_f32(meta, el_arch_key(arch, caps[i].gguf, key), cap, err);
}

enum el_status el_gemma_from_config(const struct el_arch *arch, const struct el_json *config, const struct el_gemma *usual,
                                    struct el_meta *meta, struct el_err *err)
{
    static const char *const acts[] = {"gelu_pytorch_tanh", NULL};
    int64_t scalar = 256;
    char key[128];
    /* The first files name it hidden_act too, and mean the same. */
    EL_TRY(el_arch_config_name(config, "hidden_activation", acts, NULL, err));
    if (el_json_bool(el_json_get(config, "use_bidirectional_attention")))
        return el_fail(err, EL_E_UNSUPPORTED, "use_bidirectional_attention is true: attention to later positions");
    const struct el_json *const said = el_json_get(config, "query_pre_attn_scalar");
    if (said && (!el_json_int(said, &scalar) || scalar < 1 || scalar > 1 << 24))
        return el_fail(err, EL_E_FORMAT, "query_pre_attn_scalar is not an integer from 1 to %d", 1 << 24);
    EL_TRY(el_meta_set_u32(meta, el_arch_key(arch, "%s.attention.query_pre_attn_scalar", key), (uint32_t)scalar, err));
    EL_TRY(cap_from_config(arch, config, 0, usual->attn_cap, meta, err));
    EL_TRY(cap_from_config(arch, config, 1, usual->logit_cap, meta, err));
    EL_TRY(el_arch_windows_from_config(arch, config, usual->window_every, meta, err));
    EL_TRY(el_arch_heads_from_config(arch, meta, err));
    return el_arch_rope_from_config(arch, config, meta, err);
}

static void add_cap(struct el_buf *json, const char *name, float cap)
{
    if (cap != 0)
        el_arch_add_f32(json, name, cap);
    else
        el_buf_addf(json, ",\n  \"%s\": null", name);
}

enum el_status el_gemma_to_config(const struct el_arch *arch, const struct el_meta *meta, const struct el_hparams *hp,
                                  uint64_t roles, struct el_buf *json, struct el_err *err)
{
    char key[128];
    uint32_t scalar = 0;
    const uint32_t derived = (uint32_t)lround(1.0 / ((double)hp->attn_scale * (double)hp->attn_scale));
    (void)roles;
    EL_TRY(el_meta_get_u32_or(meta, el_arch_key(arch, "%s.attention.query_pre_attn_scalar", key), 1, 1 << 24, derived, &scalar,
                              err));
    el_buf_addf(json, ",\n  \"hidden_activation\": \"gelu_pytorch_tanh\",\n  \"query_pre_attn_scalar\": %u", scalar);
    add_cap(json, caps[0].hf, hp->attn_cap);
    add_cap(json, caps[1].hf, hp->logit_cap);
    el_arch_windows_to_config(hp, json);
    el_arch_rope_to_config(arch, meta, hp, json);
    return EL_OK;
}
