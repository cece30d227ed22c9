/* The table of architectures, and what all of them share: names, shapes, row orders, common hyperparameters. */
#include "model/arch.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/limits.h"
#include "model/rope.h"
#include "tensor/meta.h"

#define ARCH(id) extern const struct el_arch el_arch_##id;
#include "model/archs.def"
#undef ARCH

static const struct el_arch *const archs[] = {
#define ARCH(id) &el_arch_##id,
#include "model/archs.def"
#undef ARCH
};
_Static_assert(EL_R_COUNT <= 64, "roles are bits of a uint64_t");
enum { N_ARCHS = sizeof archs / sizeof archs[0], MAX_D_HEAD = 8192, MAX_FF = 1 << 24, LIST_NBYTES = 448 };

const struct el_arch *el_arch_at(size_t i)
{
    return i < N_ARCHS ? archs[i] : NULL;
}

const char *el_arch_name_at(size_t i, const char **about)
{
    const struct el_arch *const a = el_arch_at(i);
    if (about)
        *about = a ? a->about : NULL;
    return a ? a->name : NULL;
}

/* "llama, qwen2, ..." into text. */
static const char *arch_list(bool gguf, char text[LIST_NBYTES])
{
    size_t n = 0;
    text[0] = 0;
    for (size_t i = 0; i < N_ARCHS; i++) {
        const char *const name = gguf ? archs[i]->gguf_arch : archs[i]->hf_classes[0];
        bool listed = false; /* several families share a GGUF architecture */
        for (size_t k = 0; k < i && gguf; k++)
            listed = listed || strcmp(archs[k]->gguf_arch, name) == 0;
        if (listed)
            continue;
        const int added = snprintf(text + n, LIST_NBYTES - n, "%s%s", n ? ", " : "", name);
        if (added < 0 || (size_t)added >= LIST_NBYTES - n)
            break;
        n += (size_t)added;
    }
    return text;
}

const struct el_arch *el_arch_of_meta(const struct el_meta *meta, struct el_err *err)
{
    const char *name = NULL;
    char list[LIST_NBYTES];
    if (el_meta_get_str_or(meta, "general.architecture", &name, err) != EL_OK)
        return NULL;
    if (!name) {
        el_fail(err, EL_E_FORMAT, "no general.architecture, which names the family of the model (%s)", arch_list(true, list));
        return NULL;
    }
    for (size_t i = 0; i < N_ARCHS; i++)
        if (strcmp(archs[i]->gguf_arch, name) == 0 && (!archs[i]->match || archs[i]->match(meta)))
            return archs[i];
    el_fail(err, EL_E_UNSUPPORTED, "general.architecture is '%.64s', known are %s", name, arch_list(true, list));
    return NULL;
}

const struct el_arch *el_arch_of_config(const struct el_json *config, struct el_err *err)
{
    char list[LIST_NBYTES];
    const char *const class_name = el_json_str(el_json_first(el_json_get(config, "architectures")));
    const char *const type = el_json_str(el_json_get(config, "model_type"));
    for (size_t i = 0; class_name && i < N_ARCHS; i++)
        for (size_t k = 0; archs[i]->hf_classes[k]; k++)
            if (strcmp(archs[i]->hf_classes[k], class_name) == 0)
                return archs[i];
    if (class_name) {
        el_fail(err, EL_E_UNSUPPORTED, "architectures names '%.64s', known are %s", class_name, arch_list(false, list));
        return NULL;
    }
    for (size_t i = 0; type && i < N_ARCHS; i++)
        if (strcmp(archs[i]->hf_model_type, type) == 0)
            return archs[i];
    if (type)
        el_fail(err, EL_E_UNSUPPORTED, "model_type is '%.64s', known classes are %s", type, arch_list(false, list));
    else
        el_fail(err, EL_E_FORMAT, "neither architectures nor model_type names the family of the model");
    return NULL;
}

const char *el_arch_key(const struct el_arch *arch, const char *fmt, char key[128])
{
    /* Every format of the tables begins with "%s" and has no other conversion, or has none. */
    if (strncmp(fmt, "%s", 2) == 0)
        snprintf(key, 128, "%s%s", arch->gguf_arch, fmt + 2);
    else
        snprintf(key, 128, "%s", fmt);
    return key;
}

enum el_status el_arch_hparams(const struct el_arch *arch, const struct el_meta *meta, struct el_hparams *hp, struct el_err *err)
{
    memset(hp, 0, sizeof *hp); /* with the padding: hyperparameters are compared as bytes */
    return arch->hparams(arch, meta, hp, err);
}

bool el_arch_has(const struct el_arch *arch, const struct el_hparams *hp, const struct el_tensor_rule *rule)
{
    return !arch->has || arch->has(hp, rule->role);
}

const struct el_link *el_arch_links(const struct el_arch *arch, const struct el_hparams *hp, uint64_t roles)
{
    return arch->wiring ? arch->wiring(hp, roles) : arch->links;
}

uint64_t el_dim_size(enum el_dim d, const struct el_hparams *hp)
{
    switch (d) {
    case EL_D_VOCAB: return hp->n_vocab;
    case EL_D_EMBD: return hp->n_embd;
    case EL_D_EMBD_IO: return hp->n_embd_io;
    case EL_D_POSITIONS: return (uint64_t)hp->n_ctx_train + hp->pos_offset;
    case EL_D_HEADS: return hp->n_heads;
    case EL_D_KV_HEADS: return hp->n_kv_heads;
    case EL_D_HEAD: return hp->d_head;
    case EL_D_Q: return (uint64_t)hp->n_heads * hp->d_head;
    case EL_D_KV: return (uint64_t)hp->n_kv_heads * hp->d_head;
    case EL_D_QKV: return ((uint64_t)hp->n_heads + 2 * (uint64_t)hp->n_kv_heads) * hp->d_head;
    case EL_D_FF: return hp->n_ff;
    case EL_D_GATE_UP: return 2 * (uint64_t)hp->n_ff;
    case EL_D_FF_EXP: return hp->n_ff_exp;
    case EL_D_FF_SHEXP: return hp->n_ff_shexp;
    case EL_D_EXPERTS: return hp->n_experts;
    case EL_D_ROT_HALF: return hp->n_rot / 2;
    case EL_D_ONE:
    case EL_D_NONE: break;
    }
    return 1;
}

/* Does name fit the pattern, in which "%u" stands for a decimal number without leading zeros? */
static bool name_fits(const char *pattern, const char *name, uint32_t *number)
{
    const char *const hole = strstr(pattern, "%u");
    if (!hole)
        return strcmp(pattern, name) == 0;
    const size_t n_before = (size_t)(hole - pattern);
    if (strncmp(pattern, name, n_before) != 0)
        return false;
    const char *p = name + n_before;
    uint64_t value = 0;
    if (*p < '0' || *p > '9' || (*p == '0' && p[1] >= '0' && p[1] <= '9'))
        return false;
    for (; *p >= '0' && *p <= '9'; p++) {
        value = value * 10 + (uint64_t)(*p - '0');
        if (value > UINT32_MAX)
            return false;
    }
    if (strcmp(p, hole + 2) != 0)
        return false;
    *number = (uint32_t)value;
    return true;
}

const struct el_tensor_rule *el_arch_rule(const struct el_arch *arch, const char *name, uint32_t *layer)
{
    uint32_t number = 0;
    for (const struct el_tensor_rule *r = arch->tensors; r->gguf; r++) {
        if (!name_fits(r->gguf, name, &number))
            continue;
        if (layer)
            *layer = number;
        return r;
    }
    return NULL;
}

const struct el_tensor_rule *el_arch_rule_of_role(const struct el_arch *arch, enum el_role role)
{
    for (const struct el_tensor_rule *r = arch->tensors; r->gguf; r++)
        if (r->role == role)
            return r;
    return NULL;
}

uint64_t el_arch_roles(const struct el_arch *arch, const struct el_tensor *tensors, size_t n_tensors)
{
    uint64_t roles = 0;
    for (size_t i = 0; i < n_tensors; i++) {
        const struct el_tensor_rule *const rule = el_arch_rule(arch, tensors[i].name, NULL);
        if (rule)
            roles |= UINT64_C(1) << rule->role;
    }
    return roles;
}

struct el_row_order el_arch_gguf_order(const struct el_arch *arch, const struct el_tensor_rule *rule, const struct el_hparams *hp)
{
    struct el_row_order order = {EL_ROWS_CANONICAL, 0, 0};
    if (arch->gguf_rope_pairs && (rule->flags & (EL_TF_ROPE_Q | EL_TF_ROPE_K))) {
        order.kind = EL_ROWS_ROPE_PAIRS;
        order.n_heads = (rule->flags & EL_TF_ROPE_Q) ? hp->n_heads : hp->n_kv_heads;
        order.head_rows = hp->d_head;
    }
    return order;
}

struct el_row_order el_arch_hf_order(const struct el_arch *arch, const struct el_tensor_rule *rule, const struct el_hparams *hp)
{
    (void)arch;
    struct el_row_order order = {EL_ROWS_CANONICAL, 0, 0};
    /*
     * With one key/value head per query head GPT-BigCode stores q, k, v of a head together; with one for all they follow each
     * other.
     */
    if ((rule->flags & EL_TF_QKV_BY_HEAD) && hp->n_kv_heads == hp->n_heads && hp->n_heads > 1) {
        order.kind = EL_ROWS_QKV_BY_HEAD;
        order.n_heads = hp->n_heads;
        order.head_rows = hp->d_head;
    }
    return order;
}

bool el_arch_is_local(const struct el_hparams *hp, uint32_t l)
{
    return hp->window_every ? (l + 1) % hp->window_every != 0 : l >= hp->window_from_layer;
}

/* ---- RoPE's factors ---- */

enum el_role el_arch_rope_role(size_t i)
{
    static const enum el_role roles[] = {EL_R_ROPE_FREQS, EL_R_ROPE_SHORT, EL_R_ROPE_LONG};
    return i < 3 ? roles[i] : EL_R_COUNT;
}

bool el_arch_is_rope_factors(enum el_role role)
{
    return role == EL_R_ROPE_FREQS || role == EL_R_ROPE_SHORT || role == EL_R_ROPE_LONG;
}

const struct el_tensor_rule *el_arch_implied(const struct el_arch *arch, const struct el_hparams *hp, size_t i)
{
    if (hp->rope_scaling == EL_ROPE_LLAMA3)
        return i == 0 ? el_arch_rule_of_role(arch, EL_R_ROPE_FREQS) : NULL;
    return hp->rope_scaling == EL_ROPE_LONG && i < 2 ? el_arch_rule_of_role(arch, el_arch_rope_role(i + 1)) : NULL;
}

/* Where the factors of long scaling are kept in metadata, which has no other place for them where there is no tensor yet. */
static const char *long_key(const struct el_arch *arch, enum el_role role, char key[128])
{
    return el_arch_key(arch, role == EL_R_ROPE_SHORT ? "%s.rope.scaling.short_factor" : "%s.rope.scaling.long_factor", key);
}

/* The n factors of long scaling; values NULL: only checked. */
static enum el_status long_factors(const struct el_arch *arch, const struct el_meta *meta, enum el_role role, size_t n,
                                   float *values, struct el_err *err)
{
    char key[128];
    const size_t i = el_meta_find(meta, long_key(arch, role, key));
    if (i == SIZE_MAX || el_meta_type(meta, i) != EL_META_ARR || el_meta_elem_type(meta, i) != EL_META_F32 ||
        el_meta_n_elems(meta, i) != n)
        return el_fail(err, EL_E_FORMAT, "%s is not an array of %zu float32", key, n);
    for (size_t k = 0; k < n; k++) {
        const float v = (float)el_meta_float(meta, i, k);
        if (!(v > 0 && v <= 1e30f))
            return el_fail(err, EL_E_FORMAT, "%s: element %zu is %g, allowed are positive numbers", key, k, (double)v);
        if (values)
            values[k] = v;
    }
    return EL_OK;
}

enum el_status el_arch_implied_values(const struct el_arch *arch, const struct el_meta *meta, const struct el_hparams *hp,
                                      const struct el_tensor_rule *rule, float *values, struct el_err *err)
{
    if (rule->role == EL_R_ROPE_FREQS) {
        el_rope_llama3_factors(hp, values);
        return EL_OK;
    }
    return long_factors(arch, meta, rule->role, hp->n_rot / 2, values, err);
}

/* ---- hyperparameters ---- */

static enum el_status get_u32(const struct el_arch *arch, const struct el_meta *meta, const char *fmt, uint32_t min, uint32_t max,
                              uint32_t *out, struct el_err *err)
{
    char key[128];
    return el_meta_get_u32(meta, el_arch_key(arch, fmt, key), min, max, out, err);
}

static enum el_status get_u32_or(const struct el_arch *arch, const struct el_meta *meta, const char *fmt, uint32_t min,
                                 uint32_t max, uint32_t missing, uint32_t *out, struct el_err *err)
{
    char key[128];
    return el_meta_get_u32_or(meta, el_arch_key(arch, fmt, key), min, max, missing, out, err);
}

enum el_status el_arch_get_f32_or(const struct el_arch *arch, const struct el_meta *meta, const char *fmt, float above,
                                  float most, float missing, float *out, struct el_err *err)
{
    char key[128];
    el_arch_key(arch, fmt, key);
    EL_TRY(el_meta_get_f32_or(meta, key, missing, out, err));
    if (!(*out > above && *out <= most) && el_meta_find(meta, key) != SIZE_MAX)
        return el_fail(err, EL_E_FORMAT, "%s is %g, allowed are numbers above %g, at most %g", key, (double)*out, (double)above,
                       (double)most);
    return EL_OK;
}

static enum el_status vocab_size(const struct el_arch *arch, const struct el_meta *meta, uint32_t *n, struct el_err *err)
{
    EL_TRY(get_u32_or(arch, meta, "%s.vocab_size", 1, EL_MAX_VOCAB, 0, n, err));
    if (*n != 0)
        return EL_OK;
    const size_t i = el_meta_find(meta, "tokenizer.ggml.tokens");
    const size_t n_tokens = i == SIZE_MAX || el_meta_type(meta, i) != EL_META_ARR ? 0 : el_meta_n_elems(meta, i);
    if (n_tokens == 0 || n_tokens > EL_MAX_VOCAB)
        return el_fail(err, EL_E_FORMAT, "no %s.vocab_size, and tokenizer.ggml.tokens has %zu tokens, allowed are 1 to %d",
                       arch->gguf_arch, n_tokens, EL_MAX_VOCAB);
    *n = (uint32_t)n_tokens;
    return EL_OK;
}

/* n_heads, n_kv_heads, d_head. */
static enum el_status head_hparams(const struct el_arch *arch, const struct el_meta *meta, struct el_hparams *hp,
                                   struct el_err *err)
{
    const char *const a = arch->gguf_arch;
    EL_TRY(get_u32(arch, meta, "%s.attention.head_count", 1, EL_MAX_HEADS, &hp->n_heads, err));
    EL_TRY(get_u32_or(arch, meta, "%s.attention.head_count_kv", 1, EL_MAX_HEADS, hp->n_heads, &hp->n_kv_heads, err));
    if (hp->n_heads % hp->n_kv_heads != 0)
        return el_fail(err, EL_E_FORMAT, "%s.attention.head_count_kv is %u, which does not divide the %u heads", a,
                       hp->n_kv_heads, hp->n_heads);
    uint32_t d_value = 0;
    EL_TRY(get_u32_or(arch, meta, "%s.attention.key_length", 1, MAX_D_HEAD, 0, &hp->d_head, err));
    if (hp->d_head == 0) {
        if (hp->n_embd % hp->n_heads != 0)
            return el_fail(err, EL_E_FORMAT, "%s.attention.head_count is %u, which does not divide the embedding length %u", a,
                           hp->n_heads, hp->n_embd);
        hp->d_head = hp->n_embd / hp->n_heads;
        if (hp->d_head > MAX_D_HEAD)
            return el_fail(err, EL_E_FORMAT, "%u columns in %u heads make heads of %u, at most %d", hp->n_embd, hp->n_heads,
                           hp->d_head, MAX_D_HEAD);
    }
    EL_TRY(get_u32_or(arch, meta, "%s.attention.value_length", 1, MAX_D_HEAD, hp->d_head, &d_value, err));
    if (d_value != hp->d_head)
        return el_fail(err, EL_E_UNSUPPORTED, "%s.attention.value_length is %u, keys have %u: only equal lengths are supported",
                       a, d_value, hp->d_head);
    if ((uint64_t)hp->n_heads * hp->d_head > EL_MAX_EMBD)
        return el_fail(err, EL_E_FORMAT, "%u heads of %u columns, together at most %d", hp->n_heads, hp->d_head, EL_MAX_EMBD);
    return EL_OK;
}

enum el_status el_arch_check_heads(const struct el_hparams *hp, struct el_err *err)
{
    if (hp->n_embd == (uint64_t)hp->n_heads * hp->d_head)
        return EL_OK;
    return el_fail(err, EL_E_FORMAT, "%u heads of %u columns do not make the embedding length %u", hp->n_heads, hp->d_head,
                   hp->n_embd);
}

/* Keys by which llama.cpp computes another model, in any family, and that none of ours has. */
static enum el_status refuse_variants(const struct el_arch *arch, const struct el_meta *meta, struct el_err *err)
{
    bool causal = true;
    uint32_t n_groups = 0;
    char key[128];
    EL_TRY(el_meta_get_bool_or(meta, el_arch_key(arch, "%s.attention.causal", key), true, &causal, err));
    if (!causal)
        return el_fail(err, EL_E_UNSUPPORTED, "%s is false: attention to later positions", key);
    EL_TRY(el_meta_get_u32_or(meta, el_arch_key(arch, "%s.expert_group_count", key), 0, UINT32_MAX, 0, &n_groups, err));
    if (n_groups > 1)
        return el_fail(err, EL_E_UNSUPPORTED, "%s is %u: experts that are chosen by groups", key, n_groups);
    return EL_OK;
}

enum el_status el_arch_common_hparams(const struct el_arch *arch, const struct el_meta *meta, const char *eps_fmt,
                                      struct el_hparams *hp, struct el_err *err)
{
    char key[128];
    EL_TRY(refuse_variants(arch, meta, err));
    EL_TRY(get_u32(arch, meta, "%s.block_count", 1, EL_MAX_LAYERS, &hp->n_layers, err));
    EL_TRY(get_u32(arch, meta, "%s.embedding_length", 1, EL_MAX_EMBD, &hp->n_embd, err));
    EL_TRY(get_u32(arch, meta, "%s.feed_forward_length", 1, MAX_FF, &hp->n_ff, err));
    EL_TRY(get_u32(arch, meta, "%s.context_length", 1, EL_MAX_CTX, &hp->n_ctx_train, err));
    EL_TRY(head_hparams(arch, meta, hp, err));
    hp->n_embd_io = hp->n_embd;
    hp->attn_scale = (float)(1.0 / sqrt((double)hp->d_head));
    hp->embd_scale = hp->residual_scale = hp->logit_scale = hp->rope_attn_factor = 1.0f;
    EL_TRY(vocab_size(arch, meta, &hp->n_vocab, err));
    el_arch_key(arch, eps_fmt, key);
    if (el_meta_find(meta, key) == SIZE_MAX)
        return el_fail(err, EL_E_FORMAT, "no %s", key);
    EL_TRY(el_meta_get_f32_or(meta, key, 0, &hp->norm_eps, err));
    if (!(hp->norm_eps >= 0 && hp->norm_eps <= 1))
        return el_fail(err, EL_E_FORMAT, "%s is %g, allowed are 0 to 1", key, (double)hp->norm_eps);
    EL_TRY(get_u32_or(arch, meta, "%s.expert_count", 0, EL_MAX_EXPERTS, 0, &hp->n_experts, err));
    EL_TRY(get_u32_or(arch, meta, "%s.expert_used_count", 0, EL_MAX_EXPERTS, 0, &hp->n_experts_used, err));
    if (hp->n_experts != 0 && !el_arch_rule_of_role(arch, EL_R_FFN_GATE_EXPS)) /* buffers are as wide as experts then */
        return el_fail(err, EL_E_UNSUPPORTED, "%s.expert_count is %u: a %s model has no experts", arch->gguf_arch, hp->n_experts,
                       arch->name);
    if (hp->n_experts != 0 && (hp->n_experts_used == 0 || hp->n_experts_used > hp->n_experts))
        return el_fail(err, EL_E_FORMAT, "%s.expert_used_count is %u, allowed are 1 to the %u experts", arch->gguf_arch,
                       hp->n_experts_used, hp->n_experts);
    EL_TRY(get_u32_or(arch, meta, "%s.expert_feed_forward_length", 1, MAX_FF, hp->n_ff, &hp->n_ff_exp, err));
    if (el_arch_rule_of_role(arch, EL_R_FFN_UP_SHEXP)) /* else nothing is that wide */
        EL_TRY(get_u32_or(arch, meta, "%s.expert_shared_feed_forward_length", 0, MAX_FF, 0, &hp->n_ff_shexp, err));
    EL_TRY(get_u32_or(arch, meta, "%s.attention.sliding_window", 0, EL_MAX_CTX, 0, &hp->window, err));
    return get_u32_or(arch, meta, "%s.attention.sliding_window_first_layer", 0, EL_MAX_LAYERS, 0, &hp->window_from_layer, err);
}

enum el_status el_arch_rope_hparams(const struct el_arch *arch, const struct el_meta *meta, struct el_hparams *hp,
                                    struct el_err *err)
{
    const char *const a = arch->gguf_arch;
    char key[128];
    const char *type = NULL;
    EL_TRY(el_arch_get_f32_or(arch, meta, "%s.rope.freq_base", 0, 1e30f, 10000.0f, &hp->rope_theta, err));
    EL_TRY(get_u32_or(arch, meta, "%s.rope.dimension_count", 1, MAX_D_HEAD, hp->d_head, &hp->n_rot, err));
    if (hp->n_rot > hp->d_head || hp->n_rot % 2 != 0)
        return el_fail(err, EL_E_FORMAT, "%s.rope.dimension_count is %u, allowed are even numbers up to the head's %u", a,
                       hp->n_rot, hp->d_head);
    if (arch->gguf_rope_pairs && hp->n_rot != hp->d_head)
        return el_fail(err, EL_E_UNSUPPORTED, "%s.rope.dimension_count is %u: in this family whole heads of %u are rotated", a,
                       hp->n_rot, hp->d_head);
    const bool has_long = el_arch_rule_of_role(arch, EL_R_ROPE_LONG) != NULL;
    EL_TRY(el_meta_get_str_or(meta, el_arch_key(arch, "%s.rope.scaling.type", key), &type, err));
    if (type && strcmp(type, "none") != 0 && strcmp(type, "linear") != 0 && !(has_long && strcmp(type, "longrope") == 0))
        return el_fail(err, EL_E_UNSUPPORTED, "%s.rope.scaling.type is '%.64s', known are none, linear%s", a, type,
                       has_long ? ", longrope" : "");
    EL_TRY(el_arch_get_f32_or(arch, meta, "%s.rope.scaling.attn_factor", 0, 1e30f, 1.0f, &hp->rope_attn_factor, err));
    if (!has_long && hp->rope_attn_factor != 1.0f)
        return el_fail(err, EL_E_UNSUPPORTED, "%s.rope.scaling.attn_factor is %g, in this family only 1 is supported", a,
                       (double)hp->rope_attn_factor);
    float old_factor = 0;
    EL_TRY(el_arch_get_f32_or(arch, meta, "%s.rope.scale_linear", 0, 1e30f, 1.0f, &old_factor, err));
    EL_TRY(el_arch_get_f32_or(arch, meta, "%s.rope.scaling.factor", 0, 1e30f, old_factor, &hp->rope_factor, err));
    hp->rope_scaling = hp->rope_factor != 1.0f && !(type && strcmp(type, "none") == 0) ? EL_ROPE_LINEAR : EL_ROPE_PLAIN;

    float factor = 0;
    EL_TRY(el_arch_get_f32_or(arch, meta, "%s.rope.llama3.factor", 0, 1e30f, 0, &factor, err));
    if (factor == 0)
        return EL_OK;
    if (hp->rope_scaling != EL_ROPE_PLAIN)
        return el_fail(err, EL_E_FORMAT, "%s.rope.llama3.factor beside %s.rope.scaling.factor", a, a);
    hp->rope_scaling = EL_ROPE_LLAMA3;
    hp->rope_factor = factor;
    EL_TRY(el_arch_get_f32_or(arch, meta, "%s.rope.llama3.low_freq_factor", 0, 1e30f, 1.0f, &hp->rope_low_freq, err));
    EL_TRY(el_arch_get_f32_or(arch, meta, "%s.rope.llama3.high_freq_factor", 0, 1e30f, 4.0f, &hp->rope_high_freq, err));
    EL_TRY(get_u32_or(arch, meta, "%s.rope.llama3.original_context_length", 1, EL_MAX_CTX, 8192, &hp->rope_ctx_original, err));
    if (!(hp->rope_high_freq > hp->rope_low_freq))
        return el_fail(err, EL_E_FORMAT, "%s.rope.llama3.high_freq_factor is %g, allowed are numbers above the low factor %g", a,
                       (double)hp->rope_high_freq, (double)hp->rope_low_freq);
    return EL_OK;
}

enum el_status el_arch_long_rope_hparams(const struct el_arch *arch, const struct el_meta *meta, struct el_hparams *hp,
                                         struct el_err *err)
{
    char key[128];
    EL_TRY(get_u32_or(arch, meta, "%s.rope.scaling.original_context_length", 1, EL_MAX_CTX, hp->n_ctx_train,
                      &hp->rope_ctx_original, err));
    if (el_meta_find(meta, long_key(arch, EL_R_ROPE_SHORT, key)) == SIZE_MAX &&
        el_meta_find(meta, long_key(arch, EL_R_ROPE_LONG, key)) == SIZE_MAX)
        return EL_OK; /* a file may have them in tensors only */
    EL_TRY(long_factors(arch, meta, EL_R_ROPE_SHORT, hp->n_rot / 2, NULL, err));
    EL_TRY(long_factors(arch, meta, EL_R_ROPE_LONG, hp->n_rot / 2, NULL, err));
    if (hp->rope_scaling != EL_ROPE_PLAIN)
        return el_fail(err, EL_E_FORMAT, "%s beside %s.rope.scaling.factor", key, arch->gguf_arch);
    hp->rope_scaling = EL_ROPE_LONG;
    return EL_OK;
}

enum el_status el_arch_windows_hparams(const struct el_arch *arch, const struct el_meta *meta, uint32_t usual,
                                       struct el_hparams *hp, struct el_err *err)
{
    return get_u32_or(arch, meta, "%s.attention.sliding_window_pattern", 1, EL_MAX_LAYERS, usual, &hp->window_every, err);
}

enum el_status el_arch_adopt_rope_freqs(const struct el_arch *arch, enum el_role role, struct el_meta *meta, const float *values,
                                        size_t n, struct el_err *err)
{
    char key[128];
    struct el_hparams hp;
    if (role != EL_R_ROPE_FREQS)
        return el_meta_set_array(meta, long_key(arch, role, key), EL_META_F32, values, n, err);
    if (el_meta_find(meta, el_arch_key(arch, "%s.rope.llama3.factor", key)) != SIZE_MAX)
        return EL_OK;
    EL_TRY(el_arch_hparams(arch, meta, &hp, err));
    if (n != hp.n_rot / 2 || hp.rope_scaling != EL_ROPE_PLAIN || !el_rope_fit_llama3(values, &hp))
        return EL_OK;
    EL_TRY(el_meta_set_f32(meta, key, hp.rope_factor, err));
    EL_TRY(el_meta_set_f32(meta, el_arch_key(arch, "%s.rope.llama3.low_freq_factor", key), hp.rope_low_freq, err));
    EL_TRY(el_meta_set_f32(meta, el_arch_key(arch, "%s.rope.llama3.high_freq_factor", key), hp.rope_high_freq, err));
    return el_meta_set_u32(meta, el_arch_key(arch, "%s.rope.llama3.original_context_length", key), hp.rope_ctx_original, err);
}
