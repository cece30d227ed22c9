/* config.json <-> canonical metadata, by the tables of the architectures. */
#include "model/arch.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/locale_c.h"
#include "base/mem.h"
#include "tensor/meta.h"

/* Value at one path ("a.b") of `n` bytes; NULL when absent or null. */
static const struct el_json *json_at(const struct el_json *v, const char *path, size_t n)
{
    char part[64];
    while (v) {
        const char *const dot = memchr(path, '.', n);
        const size_t n_part = dot ? (size_t)(dot - path) : n;
        if (n_part >= sizeof part || !el_json_is(v, EL_JSON_OBJECT))
            return NULL;
        memcpy(part, path, n_part);
        part[n_part] = 0;
        v = el_json_get(v, part);
        if (!dot)
            return el_json_is(v, EL_JSON_NULL) ? NULL : v;
        path = dot + 1;
        n -= n_part + 1;
    }
    return NULL;
}

/* The first alternative of "a|b.c" that is there. */
static const struct el_json *json_find(const struct el_json *config, const char *paths)
{
    for (;;) {
        const size_t n = strcspn(paths, "|");
        const struct el_json *const v = json_at(config, paths, n);
        if (v || !paths[n])
            return v;
        paths += n + 1;
    }
}

static enum el_status set_field(const struct el_field *f, const char *key, const struct el_json *v, struct el_meta *meta,
                                struct el_err *err)
{
    int64_t n = 0;
    switch (f->type) {
    case EL_FIELD_U32:
        if (!el_json_int(v, &n) || n < 0 || n > UINT32_MAX)
            return el_fail(err, EL_E_FORMAT, "%s is not an integer from 0 to 4294967295", f->hf);
        return el_meta_set_u32(meta, key, (uint32_t)n, err);
    case EL_FIELD_F32:
        if (!el_json_is(v, EL_JSON_NUMBER))
            return el_fail(err, EL_E_FORMAT, "%s is not a number", f->hf);
        return el_meta_set_f32(meta, key, (float)el_json_num(v), err);
    case EL_FIELD_BOOL:
        if (!el_json_is(v, EL_JSON_BOOL))
            return el_fail(err, EL_E_FORMAT, "%s is not true or false", f->hf);
        return el_meta_set_bool(meta, key, el_json_bool(v), err);
    }
    return EL_OK;
}

static enum el_status set_missing(const struct el_field *f, const char *key, struct el_meta *meta, struct el_err *err)
{
    if (isnan(f->missing))
        return EL_OK;
    switch (f->type) {
    case EL_FIELD_U32: return el_meta_set_u32(meta, key, (uint32_t)f->missing, err);
    case EL_FIELD_F32: return el_meta_set_f32(meta, key, (float)f->missing, err);
    case EL_FIELD_BOOL: return el_meta_set_bool(meta, key, f->missing != 0, err);
    }
    return EL_OK;
}

enum el_status el_arch_read_config(const struct el_arch *arch, const struct el_json *config, struct el_meta *meta,
                                   struct el_err *err)
{
    char key[128];
    struct el_hparams hp;
    EL_TRY(el_meta_set_str(meta, "general.architecture", arch->gguf_arch, strlen(arch->gguf_arch), err));
    for (const struct el_field *f = arch->fields; f->gguf; f++) {
        const struct el_json *const v = json_find(config, f->hf);
        el_arch_key(arch, f->gguf, key);
        if (v)
            EL_TRY(set_field(f, key, v, meta, err));
        else if (f->required)
            return el_fail(err, EL_E_FORMAT, "no %s", f->hf);
        else
            EL_TRY(set_missing(f, key, meta, err));
    }
    if (arch->from_config)
        EL_TRY(arch->from_config(arch, config, meta, err));
    return el_arch_hparams(arch, meta, &hp, err);
}

bool el_arch_config_tied(const struct el_arch *arch, const struct el_json *config)
{
    const struct el_json *const v = el_json_get(config, "tie_word_embeddings");
    return el_json_is(v, EL_JSON_BOOL) ? el_json_bool(v) : arch->hf_tied;
}

/* What config.json says of the tensors of a flag: are they there? */
static bool flag_wants(const struct el_config_flag *f, const struct el_json *config)
{
    const struct el_json *const v = json_find(config, f->hf);
    return (v ? el_json_bool(v) : f->missing) != f->absent;
}

bool el_arch_flag_forbids(const struct el_arch *arch, const struct el_json *config, enum el_role role)
{
    for (const struct el_config_flag *f = arch->flags; f && f->hf; f++)
        if (f->roles & UINT64_C(1) << role && !flag_wants(f, config))
            return true;
    return false;
}

/* A pattern of names as people read it: "model.layers.N.mlp". */
static const char *readable(const char *pattern, char name[EL_MAX_TENSOR_NAME + 1])
{
    size_t n = 0;
    for (const char *p = pattern; *p && n < EL_MAX_TENSOR_NAME; p += strncmp(p, "%u", 2) == 0 ? 2 : 1)
        name[n++] = *p == '%' ? 'N' : *p;
    name[n] = '\0';
    return name;
}

enum el_status el_arch_check_flags(const struct el_arch *arch, const struct el_json *config, uint64_t roles, struct el_err *err)
{
    char name[EL_MAX_TENSOR_NAME + 1];
    for (const struct el_config_flag *f = arch->flags; f && f->hf; f++) {
        const struct el_json *const v = json_find(config, f->hf);
        if (v && !el_json_is(v, EL_JSON_BOOL))
            return el_fail(err, EL_E_FORMAT, "%s is not true or false", f->hf);
        const bool wanted = flag_wants(f, config);
        const uint64_t wrong = (wanted ? ~roles : roles) & f->roles;
        for (const struct el_tensor_rule *r = arch->tensors; r->gguf && wrong; r++) {
            if (!(wrong & UINT64_C(1) << r->role))
                continue;
            return el_fail(err, EL_E_FORMAT, "%s is %s%s, but tensors '%s' are %s", f->hf, wanted != f->absent ? "true" : "false",
                           v ? "" : " (when not said)", readable(r->hf, name), wanted ? "missing" : "there");
        }
    }
    return EL_OK;
}

/* The flags as the tensors have it. */
static enum el_status add_flags(const struct el_arch *arch, uint64_t roles, struct el_buf *json, struct el_err *err)
{
    for (const struct el_config_flag *f = arch->flags; f && f->hf; f++) {
        const uint64_t there = roles & f->roles;
        if (there != 0 && there != f->roles)
            return el_fail(err, EL_E_UNSUPPORTED, "only some of the tensors that config.json's %s stands for are there", f->hf);
        el_buf_addf(json, ",\n  \"%s\": %s", f->hf, (there != 0) != f->absent ? "true" : "false");
    }
    return EL_OK;
}

enum el_status el_arch_config_name(const struct el_json *config, const char *key, const char *const *allowed, int *index,
                                   struct el_err *err)
{
    const struct el_json *const v = json_find(config, key);
    char list[160] = "";
    if (index)
        *index = -1;
    if (!v)
        return EL_OK;
    const char *const name = el_json_str(v);
    if (!name)
        return el_fail(err, EL_E_FORMAT, "%s is not a string", key);
    for (int i = 0; allowed[i]; i++) {
        if (strcmp(allowed[i], name) == 0) {
            if (index)
                *index = i;
            return EL_OK;
        }
        const size_t n = strlen(list);
        snprintf(list + n, sizeof list - n, "%s%s", n ? ", " : "", allowed[i]);
    }
    return el_fail(err, EL_E_UNSUPPORTED, "%s is '%.64s', known are %s", key, name, list);
}

/* ---- RoPE scaling ---- */

static enum el_status rope_number(const struct el_json *scaling, const char *name, double missing, double *out,
                                  struct el_err *err)
{
    const struct el_json *const v = json_find(scaling, name);
    *out = missing;
    if (!v && isnan(missing))
        return el_fail(err, EL_E_FORMAT, "rope_scaling has no %s", name);
    if (v && !el_json_is(v, EL_JSON_NUMBER))
        return el_fail(err, EL_E_FORMAT, "rope_scaling.%s is not a number", name);
    if (v)
        *out = el_json_num(v);
    return EL_OK;
}

static enum el_status llama3_from_config(const struct el_arch *arch, const struct el_json *config, const struct el_json *scaling,
                                         struct el_meta *meta, struct el_err *err)
{
    char key[128];
    double factor = 0, low = 0, high = 0, original = 0;
    EL_TRY(rope_number(scaling, "factor", NAN, &factor, err));
    EL_TRY(rope_number(scaling, "low_freq_factor", NAN, &low, err));
    EL_TRY(rope_number(scaling, "high_freq_factor", NAN, &high, err));
    const struct el_json *const outside = json_find(config, "original_max_position_embeddings");
    EL_TRY(
        rope_number(scaling, "original_max_position_embeddings", outside ? el_json_num(outside) : (double)NAN, &original, err));
    if (!(original >= 1 && original <= UINT32_MAX))
        return el_fail(err, EL_E_FORMAT, "rope_scaling.original_max_position_embeddings is %g, allowed are 1 to 4294967295",
                       original);
    EL_TRY(el_meta_set_f32(meta, el_arch_key(arch, "%s.rope.llama3.factor", key), (float)factor, err));
    EL_TRY(el_meta_set_f32(meta, el_arch_key(arch, "%s.rope.llama3.low_freq_factor", key), (float)low, err));
    EL_TRY(el_meta_set_f32(meta, el_arch_key(arch, "%s.rope.llama3.high_freq_factor", key), (float)high, err));
    return el_meta_set_u32(meta, el_arch_key(arch, "%s.rope.llama3.original_context_length", key), (uint32_t)original, err);
}

/* The part of a head that is rotated, rounded down as transformers does. */
static enum el_status set_partial(const struct el_arch *arch, double partial, struct el_meta *meta, struct el_err *err)
{
    char key[128];
    uint32_t d_head = 0;
    if (arch->hf_partial_rotary == 0)
        return partial == 1.0 ? EL_OK
                              : el_fail(err, EL_E_UNSUPPORTED, "partial_rotary_factor is %g, only 1 is supported", partial);
    if (!(partial > 0 && partial <= 1))
        return el_fail(err, EL_E_FORMAT, "partial_rotary_factor is %g, allowed are numbers above 0, at most 1", partial);
    el_arch_key(arch, "%s.rope.dimension_count", key);
    EL_TRY(el_meta_get_u32_or(meta, key, 0, UINT32_MAX, 0, &d_head, err));
    return d_head ? el_meta_set_u32(meta, key, (uint32_t)(partial * d_head), err) : EL_OK;
}

/* An array of numbers to one of float32. */
static enum el_status factors_from_config(const struct el_json *scaling, const char *name, const char *key, struct el_meta *meta,
                                          struct el_err *err)
{
    enum { MAX_FACTORS = 4096 };
    const struct el_json *const list = json_find(scaling, name);
    float *const values = el_alloc_array(MAX_FACTORS, sizeof *values);
    enum el_status status = values ? EL_OK : el_fail(err, EL_E_MEMORY, "out of memory");
    size_t n = 0;
    if (status == EL_OK && !el_json_is(list, EL_JSON_ARRAY))
        status = el_fail(err, EL_E_FORMAT, "rope_scaling.%s is not an array", name);
    for (const struct el_json *v = el_json_first(list); v && status == EL_OK; v = el_json_next(v)) {
        if (n == MAX_FACTORS || !el_json_is(v, EL_JSON_NUMBER))
            status = el_fail(err, EL_E_FORMAT, "rope_scaling.%s is not an array of up to %d numbers", name, MAX_FACTORS);
        else
            values[n++] = (float)el_json_num(v);
    }
    if (status == EL_OK)
        status = el_meta_set_array(meta, key, EL_META_F32, values, n, err);
    el_free(values);
    return status;
}

/* What LongRoPE's authors multiply q and k by when nothing is said (arXiv:2402.13753, section 3.3). */
static double long_attn_factor(double factor, double original)
{
    return factor > 1 && original > 1 ? sqrt(1 + log(factor) / log(original)) : 1;
}

static enum el_status long_from_config(const struct el_arch *arch, const struct el_json *scaling, struct el_meta *meta,
                                       struct el_err *err)
{
    char key[128];
    uint32_t n_ctx = 0, original = 0;
    double factor = 0, attn = 0;
    EL_TRY(el_meta_get_u32(meta, el_arch_key(arch, "%s.context_length", key), 0, UINT32_MAX, &n_ctx, err));
    EL_TRY(
        el_meta_get_u32(meta, el_arch_key(arch, "%s.rope.scaling.original_context_length", key), 1, UINT32_MAX, &original, err));
    EL_TRY(rope_number(scaling, "factor", (double)n_ctx / original, &factor, err));
    EL_TRY(rope_number(scaling, "attention_factor", long_attn_factor(factor, original), &attn, err));
    EL_TRY(el_meta_set_f32(meta, el_arch_key(arch, "%s.rope.scaling.attn_factor", key), (float)attn, err));
    EL_TRY(factors_from_config(scaling, "short_factor", el_arch_key(arch, "%s.rope.scaling.short_factor", key), meta, err));
    return factors_from_config(scaling, "long_factor", el_arch_key(arch, "%s.rope.scaling.long_factor", key), meta, err);
}

/* May the layers with a window have another base of RoPE? */
static bool has_local_base(const struct el_arch *arch)
{
    for (const struct el_field *f = arch->fields; f->gguf; f++)
        if (strcmp(f->gguf, "%s.rope.freq_base_swa") == 0)
            return true;
    return false;
}

/*
 * The object that says how RoPE is scaled: "rope_parameters" (transformers 5, where one per kind of layer may lie within it) or
 * "rope_scaling"; NULL: neither. Layers with a window may have a base of their own, but no scaling.
 */
static enum el_status rope_object(const struct el_arch *arch, const struct el_json *config, const struct el_json **scaling,
                                  struct el_err *err)
{
    static const char *const plain[] = {"default", NULL};
    const struct el_json *const now = json_find(config, "rope_parameters"), *const old = json_find(config, "rope_scaling");
    const struct el_json *const local = json_find(config, "rope_parameters.sliding_attention");
    if (now && old)
        return el_fail(err, EL_E_UNSUPPORTED, "rope_parameters and rope_scaling: only one of them is read");
    if (!has_local_base(arch) && (local || json_find(config, "rope_parameters.full_attention")))
        return el_fail(err, EL_E_UNSUPPORTED, "rope_parameters for each kind of layer: all layers of this family rotate alike");
    *scaling = now ? json_find(config, "rope_parameters.full_attention|rope_parameters") : old;
    if (*scaling && !el_json_is(*scaling, EL_JSON_OBJECT))
        return el_fail(err, EL_E_FORMAT, "%s is not an object", now ? "rope_parameters" : "rope_scaling");
    const enum el_status status = local ? el_arch_config_name(local, "rope_type|type", plain, NULL, err) : EL_OK;
    return status == EL_OK ? EL_OK : el_fail_prefix(err, status, "rope_parameters.sliding_attention");
}

enum el_status el_arch_rope_from_config(const struct el_arch *arch, const struct el_json *config, struct el_meta *meta,
                                        struct el_err *err)
{
    /* "yarn" is what the first files of Phi-3 say, and mean the same. */
    static const char *const plain_kinds[] = {"default", "linear", "llama3", NULL};
    static const char *const long_kinds[] = {"default", "longrope", "su", "yarn", NULL};
    const bool has_long = el_arch_rule_of_role(arch, EL_R_ROPE_LONG) != NULL;
    char key[128];
    double theta = 0, factor = 0, partial = 0;
    int kind = -1;
    const struct el_json *scaling = NULL;
    EL_TRY(rope_object(arch, config, &scaling, err));
    EL_TRY(rope_number(config,
                       "rope_parameters.full_attention.rope_theta|rope_parameters.rope_theta|rope_scaling.rope_theta|rope_theta",
                       arch->hf_rope_theta != 0 ? arch->hf_rope_theta : 10000.0, &theta, err));
    EL_TRY(el_meta_set_f32(meta, el_arch_key(arch, "%s.rope.freq_base", key), (float)theta, err));
    EL_TRY(rope_number(config,
                       "rope_parameters.full_attention.partial_rotary_factor|rope_parameters.partial_rotary_factor|"
                       "rope_scaling.partial_rotary_factor|partial_rotary_factor|rope_pct",
                       arch->hf_partial_rotary != 0 ? arch->hf_partial_rotary : 1.0, &partial, err));
    EL_TRY(set_partial(arch, partial, meta, err));
    if (!scaling)
        return EL_OK;
    const enum el_status status = el_arch_config_name(scaling, "rope_type|type", has_long ? long_kinds : plain_kinds, &kind, err);
    if (status != EL_OK)
        return el_fail_prefix(err, status, "rope_scaling");
    if (kind < 0 && (json_find(scaling, "factor") || json_find(scaling, "long_factor")))
        return el_fail(err, EL_E_FORMAT, "rope_scaling has a factor, and neither rope_type nor type");
    if (has_long)
        return kind < 1 ? EL_OK : long_from_config(arch, scaling, meta, err);
    if (kind == 2)
        return llama3_from_config(arch, config, scaling, meta, err);
    if (kind < 1)
        return EL_OK;
    EL_TRY(rope_number(scaling, "factor", NAN, &factor, err));
    EL_TRY(el_meta_set_str(meta, el_arch_key(arch, "%s.rope.scaling.type", key), "linear", 6, err));
    return el_meta_set_f32(meta, el_arch_key(arch, "%s.rope.scaling.factor", key), (float)factor, err);
}

EL_PRINTF(3, 4) static void format_c(char *out, size_t nbytes, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    el_vsnprintf_c(out, nbytes, fmt, args);
    va_end(args);
}

/*
 * The shortest decimal that reads back as the same float32, always recognisable as a float: what the person wrote, in
 * ordinary cases.
 */
static void add_f32(struct el_buf *json, float v)
{
    char text[64];
    const bool plain = fabsf(v) >= 1e-4f && fabsf(v) < 1e16f;
    for (int digits = 1; digits <= 12; digits++) {
        format_c(text, sizeof text, plain ? "%.*f" : "%.*g", digits, (double)v);
        if ((float)el_strtod_c(text, NULL) == v)
            break;
    }
    el_buf_add_str(json, text);
}

void el_arch_add_f32(struct el_buf *json, const char *name, float value)
{
    el_buf_addf(json, ",\n  \"%s\": ", name);
    add_f32(json, value);
}

/* The shortest decimal that, times the head and rounded down, gives the rotated columns again. */
static void add_partial(const struct el_hparams *hp, struct el_buf *json)
{
    char text[64];
    for (int digits = 1; digits <= 17; digits++) {
        format_c(text, sizeof text, "%.*f", digits, (double)hp->n_rot / hp->d_head);
        if ((uint32_t)(el_strtod_c(text, NULL) * hp->d_head) == hp->n_rot)
            break;
    }
    el_buf_addf(json, ",\n  \"partial_rotary_factor\": %s", text);
}

static void add_factors(const struct el_arch *arch, const struct el_meta *meta, const char *name, const char *fmt,
                        struct el_buf *json)
{
    char key[128];
    const size_t at = el_meta_find(meta, el_arch_key(arch, fmt, key));
    el_buf_addf(json, ",\n    \"%s\": [", name);
    for (size_t i = 0; i < el_meta_n_elems(meta, at); i++) {
        el_buf_add_str(json, i ? ", " : "");
        add_f32(json, (float)el_meta_float(meta, at, i));
    }
    el_buf_add_str(json, "]");
}

static void add_long(const struct el_arch *arch, const struct el_meta *meta, const struct el_hparams *hp, struct el_buf *json)
{
    const double usual = long_attn_factor((double)hp->n_ctx_train / hp->rope_ctx_original, hp->rope_ctx_original);
    el_buf_add_str(json, "{\n    \"type\": \"longrope\"");
    add_factors(arch, meta, "short_factor", "%s.rope.scaling.short_factor", json);
    add_factors(arch, meta, "long_factor", "%s.rope.scaling.long_factor", json);
    if ((float)usual != hp->rope_attn_factor) {
        el_buf_add_str(json, ",\n    \"attention_factor\": ");
        add_f32(json, hp->rope_attn_factor);
    }
    el_buf_add_str(json, "\n  }");
}

void el_arch_rope_to_config(const struct el_arch *arch, const struct el_meta *meta, const struct el_hparams *hp,
                            struct el_buf *json)
{
    if (arch->hf_partial_rotary != 0)
        add_partial(hp, json);
    el_arch_add_f32(json, "rope_theta", hp->rope_theta);
    el_buf_add_str(json, ",\n  \"rope_scaling\": ");
    if (hp->rope_scaling == EL_ROPE_PLAIN) {
        el_buf_add_str(json, "null");
        return;
    }
    if (hp->rope_scaling == EL_ROPE_LONG) {
        add_long(arch, meta, hp, json);
        return;
    }
    const bool linear = hp->rope_scaling == EL_ROPE_LINEAR;
    el_buf_addf(json, "{\n    \"rope_type\": \"%s\",\n    \"factor\": ", linear ? "linear" : "llama3");
    add_f32(json, hp->rope_factor);
    if (!linear) {
        el_buf_add_str(json, ",\n    \"low_freq_factor\": ");
        add_f32(json, hp->rope_low_freq);
        el_buf_add_str(json, ",\n    \"high_freq_factor\": ");
        add_f32(json, hp->rope_high_freq);
        el_buf_addf(json, ",\n    \"original_max_position_embeddings\": %u", hp->rope_ctx_original);
    }
    el_buf_add_str(json, "\n  }");
}

enum el_status el_arch_heads_from_config(const struct el_arch *arch, struct el_meta *meta, struct el_err *err)
{
    char key[128];
    uint32_t n_embd = 0, n_heads = 0, d_head = 0;
    EL_TRY(el_meta_get_u32(meta, el_arch_key(arch, "%s.embedding_length", key), 0, UINT32_MAX, &n_embd, err));
    EL_TRY(el_meta_get_u32(meta, el_arch_key(arch, "%s.attention.head_count", key), 0, UINT32_MAX, &n_heads, err));
    EL_TRY(el_meta_get_u32_or(meta, el_arch_key(arch, "%s.attention.key_length", key), 0, UINT32_MAX, 0, &d_head, err));
    if (d_head != 0)
        EL_TRY(el_meta_set_u32(meta, el_arch_key(arch, "%s.attention.value_length", key), d_head, err));
    else if (n_heads != 0 && n_embd % n_heads == 0)
        d_head = n_embd / n_heads;
    if (d_head != 0)
        EL_TRY(el_meta_set_u32(meta, el_arch_key(arch, "%s.rope.dimension_count", key), d_head, err));
    return EL_OK;
}

/* ---- writing ---- */

/* The first alternative that is a member of config.json itself. */
static bool plain_path(const char *hf, char name[64])
{
    for (;;) {
        const size_t n = strcspn(hf, "|");
        if (n < 64 && !memchr(hf, '.', n)) {
            memcpy(name, hf, n);
            name[n] = 0;
            return true;
        }
        if (!hf[n])
            return false;
        hf += n + 1;
    }
}

static enum el_status add_field(const struct el_arch *arch, const struct el_field *f, const struct el_meta *meta,
                                struct el_buf *json, struct el_err *err)
{
    char key[128], name[64];
    uint32_t n = 0;
    float v = 0;
    bool b = false;
    el_arch_key(arch, f->gguf, key);
    if (el_meta_find(meta, key) == SIZE_MAX || !plain_path(f->hf, name))
        return EL_OK;
    el_buf_addf(json, ",\n  \"%s\": ", name);
    switch (f->type) {
    case EL_FIELD_U32:
        EL_TRY(el_meta_get_u32(meta, key, 0, UINT32_MAX, &n, err));
        el_buf_addf(json, "%u", n);
        break;
    case EL_FIELD_F32:
        EL_TRY(el_meta_get_f32_or(meta, key, 0, &v, err));
        add_f32(json, v);
        break;
    case EL_FIELD_BOOL:
        EL_TRY(el_meta_get_bool_or(meta, key, false, &b, err));
        el_buf_add_str(json, b ? "true" : "false");
        break;
    }
    return EL_OK;
}

/* What GGUF may leave out and a config must say. */
static enum el_status fill_in(const struct el_arch *arch, const struct el_hparams *hp, struct el_meta *meta, struct el_err *err)
{
    const struct {
        const char *fmt;
        uint32_t value;
    } derived[] = {
        {"%s.vocab_size", hp->n_vocab},
        {"%s.attention.head_count_kv", hp->n_kv_heads},
        {"%s.attention.key_length", hp->d_head},
    };
    char key[128];
    for (size_t i = 0; i < sizeof derived / sizeof derived[0]; i++)
        if (el_meta_find(meta, el_arch_key(arch, derived[i].fmt, key)) == SIZE_MAX)
            EL_TRY(el_meta_set_u32(meta, key, derived[i].value, err));
    return EL_OK;
}

static enum el_status add_token_id(const struct el_meta *meta, const char *key, const char *name, struct el_buf *json,
                                   struct el_err *err)
{
    uint32_t id = 0;
    if (el_meta_find(meta, key) == SIZE_MAX)
        return EL_OK;
    EL_TRY(el_meta_get_u32(meta, key, 0, UINT32_MAX, &id, err));
    if (id <= INT32_MAX) /* some files say 4294967295 for "none" */
        el_buf_addf(json, ",\n  \"%s\": %u", name, id);
    return EL_OK;
}

enum el_status el_arch_write_config(const struct el_arch *arch, const struct el_meta *meta, uint64_t roles, const char *dtype,
                                    struct el_buf *json, struct el_err *err)
{
    char key[128];
    struct el_hparams hp;
    enum el_status status = EL_OK;
    struct el_meta *const full = el_meta_copy(meta);
    if (!full)
        return el_fail(err, EL_E_MEMORY, "out of memory for config.json");
    EL_TRY_OUT(el_arch_hparams(arch, full, &hp, err));
    EL_TRY_OUT(fill_in(arch, &hp, full, err));
    if (hp.window == 0) /* 0 positions are no window, which to_config says as its family does */
        el_meta_remove(full, el_arch_key(arch, "%s.attention.sliding_window", key));
    el_buf_addf(json, "{\n  \"architectures\": [\n    \"%s\"\n  ],\n  \"model_type\": \"%s\"", arch->hf_classes[0],
                arch->hf_model_type);
    for (const struct el_field *f = arch->fields; f->gguf; f++)
        EL_TRY_OUT(add_field(arch, f, full, json, err));
    EL_TRY_OUT(add_flags(arch, roles, json, err));
    if (arch->to_config)
        EL_TRY_OUT(arch->to_config(arch, full, &hp, roles, json, err));
    EL_TRY_OUT(add_token_id(full, "tokenizer.ggml.bos_token_id", "bos_token_id", json, err));
    EL_TRY_OUT(add_token_id(full, "tokenizer.ggml.eos_token_id", "eos_token_id", json, err));
    el_buf_addf(json, ",\n  \"tie_word_embeddings\": %s,\n  \"torch_dtype\": \"%s\"\n}\n",
                roles & UINT64_C(1) << EL_R_OUTPUT ? "false" : "true", dtype);
    if (json->failed)
        status = el_fail(err, EL_E_MEMORY, "out of memory for config.json");
out:
    el_meta_free(full);
    return status;
}
