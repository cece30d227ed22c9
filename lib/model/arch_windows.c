/* Families of which every so many layers see everything and the others have a window: config.json's words for it. */
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "model/arch.h"
#include "tensor/meta.h"

/* The period of layer_types. *every stays where the list has no layer that sees everything, and is too short for one. */
static enum el_status period_of_types(const struct el_json *types, uint32_t n_layers, uint32_t *every, struct el_err *err)
{
    uint32_t n = 0, first = 0;
    for (const struct el_json *t = el_json_first(types); t; t = el_json_next(t), n++)
        if (first == 0 && el_json_str(t) && strcmp(el_json_str(t), "full_attention") == 0)
            first = n + 1;
    if (n != n_layers)
        return el_fail(err, EL_E_FORMAT, "layer_types: %u layers, num_hidden_layers says %u", n, n_layers);
    *every = first ? first : *every > n ? *every : n + 1;
    n = 0;
    for (const struct el_json *t = el_json_first(types); t; t = el_json_next(t)) {
        const char *const wanted = ++n % *every == 0 ? "full_attention" : "sliding_attention";
        if (!el_json_str(t) || strcmp(el_json_str(t), wanted) != 0)
            return el_fail(err, EL_E_UNSUPPORTED,
                           "layer_types: layer %u is '%.64s': after the first full_attention layer, number %u, "
                           "only every %uth may be one, and the others sliding_attention",
                           n - 1, el_json_str(t) ? el_json_str(t) : "no string", *every - 1, *every);
    }
    return EL_OK;
}

enum el_status el_arch_windows_from_config(const struct el_arch *arch, const struct el_json *config, uint32_t usual,
                                           struct el_meta *meta, struct el_err *err)
{
    char key[128];
    uint32_t n_layers = 0, every = usual;
    int64_t said = usual;
    const struct el_json *const pattern = el_json_get(config, "sliding_window_pattern");
    const struct el_json *const types = el_json_get(config, "layer_types");
    if (pattern && !el_json_is(pattern, EL_JSON_NULL) && (!el_json_int(pattern, &said) || said < 1 || said > INT32_MAX))
        return el_fail(err, EL_E_FORMAT, "sliding_window_pattern is not an integer from 1");
    every = (uint32_t)said;
    EL_TRY(el_meta_get_u32(meta, el_arch_key(arch, "%s.block_count", key), 0, UINT32_MAX, &n_layers, err));
    if (types && !el_json_is(types, EL_JSON_NULL)) {
        if (!el_json_is(types, EL_JSON_ARRAY))
            return el_fail(err, EL_E_FORMAT, "layer_types is not an array");
        EL_TRY(period_of_types(types, n_layers, &every, err));
    }
    if (every == usual)
        return EL_OK;
    return el_meta_set_u32(meta, el_arch_key(arch, "%s.attention.sliding_window_pattern", key), every, err);
}

void el_arch_windows_to_config(const struct el_hparams *hp, struct el_buf *json)
{
    el_buf_addf(json, ",\n  \"sliding_window_pattern\": %u,\n  \"layer_types\": [", hp->window_every);
    for (uint32_t l = 0; l < hp->n_layers; l++)
        el_buf_addf(json, "%s\n    \"%s\"", l ? "," : "", el_arch_is_local(hp, l) ? "sliding_attention" : "full_attention");
    el_buf_add_str(json, "\n  ]");
}
