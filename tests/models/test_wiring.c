/*
 * The wiring table of every architecture, by its own definition: for each link and each kind of change that it says commutes,
 * a random change of the producers with the inverse at the consumers leaves the logits as they are, and without the inverse
 * moves them.
 */
#include <math.h>

#include "edgellm.h"
#include "model/arch.h"
#include "models/mem_source.h"
#include "test.h"

enum { N_IDS = MEM_SOURCE_IDS, MAX_CHANNELS = 64 };

/* ---- changes: T and its inverse, [n, n] ---- */

struct change {
    uint64_t n;
    double t[MAX_CHANNELS * MAX_CHANNELS], inverse[MAX_CHANNELS * MAX_CHANNELS];
};

static void make_gain(struct change *c, bool positive, uint64_t *seed)
{
    memset(c->t, 0, sizeof c->t);
    memset(c->inverse, 0, sizeof c->inverse);
    for (uint64_t i = 0; i < c->n; i++) {
        const double s = exp2((double)test_randf(seed)) * (!positive && test_rand(seed) % 2 ? -1 : 1);
        c->t[i * c->n + i] = s;
        c->inverse[i * c->n + i] = 1 / s;
    }
}

static void make_perm(struct change *c, uint64_t *seed)
{
    uint64_t p[MAX_CHANNELS];
    memset(c->t, 0, sizeof c->t);
    memset(c->inverse, 0, sizeof c->inverse);
    for (uint64_t i = 0; i < c->n; i++)
        p[i] = i;
    for (uint64_t i = c->n - 1; i > 0; i--) {
        const uint64_t j = test_rand(seed) % (i + 1), swapped = p[i];
        p[i] = p[j];
        p[j] = swapped;
    }
    for (uint64_t i = 0; i < c->n; i++)
        c->t[i * c->n + p[i]] = c->inverse[p[i] * c->n + i] = 1;
}

/* A product of Householder reflections, each orthogonal; of vectors of mean 0 where the vector of ones is to stay. */
static void make_rotation(struct change *c, bool keeps_ones, uint64_t *seed)
{
    const uint64_t n = c->n;
    memset(c->t, 0, sizeof c->t);
    for (uint64_t i = 0; i < n; i++)
        c->t[i * n + i] = 1;
    for (int k = 0; k < 3; k++) {
        double v[MAX_CHANNELS], norm2 = 0, mean = 0;
        for (uint64_t i = 0; i < n; i++) {
            v[i] = test_randf(seed);
            mean += v[i] / (double)n;
        }
        for (uint64_t i = 0; i < n; i++) {
            v[i] -= keeps_ones ? mean : 0;
            norm2 += v[i] * v[i];
        }
        for (uint64_t row = 0; row < n; row++) {
            double dot = 0;
            for (uint64_t i = 0; i < n; i++)
                dot += c->t[row * n + i] * v[i];
            for (uint64_t i = 0; i < n; i++)
                c->t[row * n + i] -= 2 * dot * v[i] / norm2;
        }
    }
    for (uint64_t i = 0; i < n; i++)
        for (uint64_t j = 0; j < n; j++)
            c->inverse[i * n + j] = c->t[j * n + i];
}

/* rows [row0, row0 + n) of w [., n_in] := T times them. A vector has n_in 1. */
static void change_rows(float *w, uint64_t n_in, uint64_t row0, const struct change *c)
{
    for (uint64_t col = 0; col < n_in; col++) {
        double out[MAX_CHANNELS];
        for (uint64_t i = 0; i < c->n; i++) {
            out[i] = 0;
            for (uint64_t k = 0; k < c->n; k++)
                out[i] += c->t[i * c->n + k] * (double)w[(row0 + k) * n_in + col];
        }
        for (uint64_t i = 0; i < c->n; i++)
            w[(row0 + i) * n_in + col] = (float)out[i];
    }
}

/* columns [col0, col0 + n) of w [n_rows, n_in] := they times T^-1 */
static void change_cols(float *w, uint64_t n_rows, uint64_t n_in, uint64_t col0, const struct change *c)
{
    for (uint64_t row = 0; row < n_rows; row++) {
        float *const at = w + row * n_in + col0;
        double out[MAX_CHANNELS];
        for (uint64_t i = 0; i < c->n; i++) {
            out[i] = 0;
            for (uint64_t k = 0; k < c->n; k++)
                out[i] += (double)at[k] * c->inverse[k * c->n + i];
        }
        for (uint64_t i = 0; i < c->n; i++)
            at[i] = (float)out[i];
    }
}

/* ---- a model and its tensors by role ---- */

struct subject {
    const struct el_arch *arch;
    struct el_hparams hp;
    struct el_source *source;
    const struct el_link *links;
};

/* The rule of a role, NULL when this model has no tensors of it. */
static const struct el_tensor_rule *rule_of(const struct subject *s, enum el_role role)
{
    const struct el_tensor_rule *const r = el_arch_rule_of_role(s->arch, role);
    return r && el_arch_has(s->arch, &s->hp, r) ? r : NULL;
}

/* Does the role stand for rows of a fused matrix? */
static bool is_fused(const struct subject *s, enum el_role role)
{
    if (role == EL_R_ATTN_V)
        return !rule_of(s, role);
    return (role == EL_R_FFN_GATE || role == EL_R_FFN_UP) && !rule_of(s, role) && rule_of(s, EL_R_FFN_GATE_UP);
}

/* A tensor as n_experts matrices [n_out, n_in]; NULL values when the model has none. */
struct view {
    float *values;
    uint64_t n_experts, n_out, n_in;
};

static struct view view_of(const struct subject *s, enum el_role role, uint32_t layer)
{
    const struct el_tensor_rule *const rule = rule_of(s, role);
    struct view v = {.values = NULL};
    if (!rule)
        return v;
    uint64_t dims[3] = {1, 1, 1};
    uint32_t n = 0;
    for (; n < 3 && rule->dims[n] != EL_D_NONE; n++)
        dims[n] = el_dim_size(rule->dims[n], &s->hp);
    v.values = mem_source_values(s->source, mem_source_name(rule, layer));
    v.n_experts = n == 3 ? dims[0] : 1;
    v.n_out = n == 1 ? dims[0] : dims[n - 2];
    v.n_in = n == 1 ? 1 : dims[n - 1];
    return v;
}

/* Rows (and bias) of a producer, starting at channel `first` of expert e. */
static void change_producer(const struct subject *s, enum el_role role, uint32_t layer, uint64_t e, uint64_t first,
                            const struct change *c)
{
    enum el_role bias = role + 1; /* a bias follows its matrix or norm */
    if (role == EL_R_ATTN_V && !rule_of(s, role)) {
        role = EL_R_ATTN_QKV;
        bias = EL_R_ATTN_QKV_B;
        first += ((uint64_t)s->hp.n_heads + s->hp.n_kv_heads) * s->hp.d_head;
    }
    if ((role == EL_R_FFN_GATE || role == EL_R_FFN_UP) && !rule_of(s, role)) {
        first += role == EL_R_FFN_UP ? s->hp.n_ff : 0;
        role = EL_R_FFN_GATE_UP;
    }
    const struct view w = view_of(s, role, layer);
    REQUIRE(w.values);
    if (role == EL_R_TOKEN_EMBD || role == EL_R_POS_EMBD) {
        change_cols(w.values, w.n_out, w.n_in, first, c); /* orthogonal: T times a row is the row times T^-1 */
        return;
    }
    change_rows(w.values + e * w.n_out * w.n_in, w.n_in, first, c);
    const struct el_tensor_rule *const b = rule_of(s, bias);
    if (b && strstr(b->gguf, ".bias") && view_of(s, bias, layer).values)
        change_rows(view_of(s, bias, layer).values, 1, first, c);
}

static void change_consumer(const struct subject *s, enum el_role role, uint32_t layer, uint64_t e, uint64_t first,
                            const struct change *c)
{
    const struct view w = view_of(s, role, layer);
    if (!w.values)
        return; /* a tied output follows by itself */
    change_cols(w.values + e * w.n_out * w.n_in, w.n_out, w.n_in, first, c);
}

static void make(struct change *c, unsigned kind, unsigned how, uint64_t *seed)
{
    if (kind == EL_C_GAIN)
        make_gain(c, (how & EL_C_POSITIVE) != 0, seed);
    else if (kind == EL_C_PERM)
        make_perm(c, seed);
    else
        make_rotation(c, kind == EL_C_ROTATE_MEAN, seed);
}

/* ---- carrying a link out ---- */

static void change_per_head(const struct subject *s, const struct el_link *link, unsigned kind, bool compensate, uint64_t *seed)
{
    const uint32_t per_kv = s->hp.n_heads / s->hp.n_kv_heads, d = s->hp.d_head;
    struct change c = {.n = d};
    for (uint32_t l = 0; l < s->hp.n_layers; l++) {
        for (uint32_t h = 0; h < s->hp.n_kv_heads; h++) {
            make(&c, kind, link->how, seed);
            for (int p = 0; link->producers[p] != EL_R_COUNT; p++)
                change_producer(s, link->producers[p], l, 0, (uint64_t)h * d, &c);
            for (int k = 0; compensate && link->consumers[k] != EL_R_COUNT; k++)
                for (uint32_t q = 0; q < per_kv; q++)
                    change_consumer(s, link->consumers[k], l, 0, ((uint64_t)h * per_kv + q) * d, &c);
        }
    }
}

static void change_layers(const struct subject *s, const struct el_link *link, unsigned kind, bool compensate, uint64_t *seed)
{
    const bool fused = is_fused(s, link->producers[0]); /* gate or up: q, k, v have links by heads */
    const struct el_tensor_rule *const first = rule_of(s, fused ? EL_R_FFN_GATE_UP : link->producers[0]);
    const uint32_t n_layers = (first->flags & EL_TF_LAYER) ? s->hp.n_layers : 1;
    struct view producer = view_of(s, first->role, 0);
    producer.n_out /= fused ? 2 : 1;
    struct change c = {.n = producer.n_out};
    for (uint32_t l = 0; l < n_layers; l++) {
        for (uint64_t e = 0; e < producer.n_experts; e++) {
            make(&c, kind, link->how, seed);
            for (int p = 0; link->producers[p] != EL_R_COUNT; p++)
                change_producer(s, link->producers[p], l, e, 0, &c);
            for (int k = 0; compensate && link->consumers[k] != EL_R_COUNT; k++) {
                /* A norm feeds all experts. */
                const uint64_t n = producer.n_experts > 1 ? 1 : view_of(s, link->consumers[k], l).n_experts;
                for (uint64_t i = 0; i < n; i++)
                    change_consumer(s, link->consumers[k], l, e + i, 0, &c);
            }
        }
    }
}

/* Norms of the residual stream. */
static const enum el_role norms[] = {EL_R_ATTN_NORM,       EL_R_FFN_NORM,       EL_R_ATTN_POST_NORM, EL_R_FFN_POST_NORM,
                                     EL_R_ATTN_RESID_NORM, EL_R_FFN_RESID_NORM, EL_R_OUTPUT_NORM};
enum { N_NORMS = sizeof norms / sizeof norms[0] };

static bool has_bias(enum el_role norm)
{
    return norm != EL_R_ATTN_POST_NORM && norm != EL_R_FFN_POST_NORM;
}

/* Moves every norm's gain into what it feeds, by the GAIN links. */
static void fold_norms(const struct subject *s)
{
    for (const struct el_link *link = s->links; link->how; link++) {
        for (int i = 0; i < N_NORMS; i++) {
            if (link->producers[0] != norms[i] || !view_of(s, norms[i], 0).values)
                continue;
            for (uint32_t l = 0; l < (norms[i] == EL_R_OUTPUT_NORM ? 1 : s->hp.n_layers); l++) {
                const struct view gain = view_of(s, norms[i], l);
                const struct view bias = has_bias(norms[i]) ? view_of(s, norms[i] + 1, l) : (struct view){.values = NULL};
                for (uint64_t at = 0; bias.values && at < gain.n_out; at++)
                    bias.values[at] /= gain.values[at];
                for (int k = 0; link->consumers[k] != EL_R_COUNT; k++) {
                    const struct view w = view_of(s, link->consumers[k], l);
                    for (uint64_t at = 0; at < w.n_experts * w.n_out * w.n_in; at++)
                        w.values[at] *= gain.values[at % w.n_in];
                }
                for (uint64_t at = 0; at < gain.n_out; at++)
                    gain.values[at] = 1;
            }
        }
    }
}

static void change_residual(const struct subject *s, const struct el_link *link, unsigned kind, bool compensate, uint64_t *seed)
{
    struct change c = {.n = s->hp.n_embd};
    if (kind == EL_C_ROTATE || kind == EL_C_ROTATE_MEAN)
        fold_norms(s);
    make(&c, kind, link->how, seed);
    for (uint32_t l = 0; l < s->hp.n_layers; l++) {
        for (int p = 0; link->producers[p] != EL_R_COUNT; p++) {
            const struct el_tensor_rule *const rule = rule_of(s, link->producers[p]);
            for (uint64_t e = 0; rule && (rule->flags & EL_TF_LAYER || l == 0) && e < view_of(s, rule->role, l).n_experts; e++)
                change_producer(s, rule->role, l, e, 0, &c);
        }
        for (int k = 0; compensate && link->consumers[k] != EL_R_COUNT; k++) {
            const struct el_tensor_rule *const rule = rule_of(s, link->consumers[k]);
            for (uint64_t e = 0; rule && (rule->flags & EL_TF_LAYER || l == 0) && e < view_of(s, rule->role, l).n_experts; e++)
                change_consumer(s, rule->role, l, e, 0, &c);
        }
        for (int i = 0; compensate && kind == EL_C_PERM && i < N_NORMS; i++)
            if (view_of(s, norms[i], l).values && (l == 0 || norms[i] != EL_R_OUTPUT_NORM))
                change_producer(s, norms[i], l, 0, 0, &c);
        for (int i = 0; compensate && kind == EL_C_ROTATE_MEAN && i < N_NORMS; i++) {
            const struct view bias = has_bias(norms[i]) ? view_of(s, norms[i] + 1, l) : (struct view){.values = NULL};
            if (bias.values && (l == 0 || norms[i] != EL_R_OUTPUT_NORM))
                change_rows(bias.values, 1, 0, &c);
        }
    }
}

static void check_link(const struct subject *original, const char *variant, size_t number, const struct el_link *link,
                       unsigned kind, bool tied, const float *before)
{
    float after[N_IDS * 64];
    const size_t n_vocab = original->hp.n_vocab;
    for (int compensate = 0; compensate < 2; compensate++) {
        struct subject s = *original;
        uint64_t seed = 1000 * number + kind;
        s.source = mem_source_copy(original->source);
        if (link->how & EL_C_RESIDUAL)
            change_residual(&s, link, kind, compensate, &seed);
        else if (link->how & EL_C_PER_HEAD)
            change_per_head(&s, link, kind, compensate, &seed);
        else
            change_layers(&s, link, kind, compensate, &seed);
        const bool ok = mem_source_logits(s.source, after, n_vocab);
        const double m = ok ? mem_source_moved(before, after, N_IDS * n_vocab) : (double)NAN;
        if (compensate ? !(m < 1e-4) : !(m > 1e-2))
            test_fail(__FILE__, __LINE__, "%s%s, link %zu, change %u, %s: logits move by %g", variant, tied ? " (tied)" : "",
                      number, kind, compensate ? "compensated" : "alone", m);
        el_source_close(s.source);
    }
}

/* A link whose consumers the model lacks does not hold, and a rotation needs the output norm folded into an output of its own. */
static bool holds(const struct subject *s, const struct el_link *link, unsigned kind, bool tied)
{
    if (link->how & EL_C_RESIDUAL)
        return !(tied && (kind == EL_C_ROTATE || kind == EL_C_ROTATE_MEAN));
    for (int k = 0; link->consumers[k] != EL_R_COUNT; k++)
        if (!view_of(s, link->consumers[k], 0).values)
            return false;
    for (int p = 0; link->producers[p] != EL_R_COUNT; p++)
        if (!is_fused(s, link->producers[p]) && !view_of(s, link->producers[p], 0).values)
            return false;
    return true;
}

/* A random model of a variant, and its wiring. */
static struct subject make_subject(const char *variant, bool tied)
{
    struct el_err err;
    struct subject s = {.source = mem_source_random(variant, tied, 77)};
    s.arch = el_arch_of_meta(mem_source_meta(s.source), &err);
    if (!s.arch)
        abort(); /* a random model is of a family that there is */
    CHECK_OK(el_arch_hparams(s.arch, mem_source_meta(s.source), &s.hp, &err), err);
    s.links = el_arch_links(s.arch, &s.hp, mem_source_roles(s.source, s.arch));
    return s;
}

static void check_variant(const char *variant, bool tied)
{
    float before[N_IDS * 64];
    const struct subject s = make_subject(variant, tied);
    unsigned n_checked = 0;
    CHECK(mem_source_logits(s.source, before, s.hp.n_vocab));
    for (size_t i = 0; s.links[i].how; i++) {
        static const unsigned kinds[] = {EL_C_GAIN, EL_C_PERM, EL_C_ROTATE, EL_C_ROTATE_MEAN};
        for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
            const unsigned kind = kinds[k];
            if (!(s.links[i].how & kind) || !holds(&s, &s.links[i], kind, tied))
                continue;
            check_link(&s, variant, i, &s.links[i], kind, tied, before);
            n_checked++;
        }
    }
    CHECK(n_checked >= 5);
    el_source_close(s.source);
}

/* Name number i of all families and variants; NULL past the end. */
static const char *variant_at(size_t i)
{
    size_t n = 0;
    while (el_arch_at(n))
        n++;
    return i < n ? el_arch_at(i)->name : mem_source_variant(i - n);
}

TEST(wiring, compensated_changes_leave_the_logits)
{
    for (size_t i = 0; variant_at(i); i++) {
        check_variant(variant_at(i), false);
        check_variant(variant_at(i), true);
    }
}

/* What feeds a linear must be told for every linear, the residual link not counted; the embedding is none. */
TEST(wiring, every_linear_is_fed_by_a_link)
{
    for (size_t i = 0; variant_at(i); i++) {
        const struct subject s = make_subject(variant_at(i), false);
        for (const struct el_tensor_rule *r = s.arch->tensors; r->gguf; r++) {
            if (r->dims[1] == EL_D_NONE || r->flags & EL_TF_VECTORS || r->role == EL_R_TOKEN_EMBD || r->role == EL_R_POS_EMBD ||
                r->role == EL_R_EMBD_PROJ || !rule_of(&s, r->role))
                continue;
            unsigned n = 0;
            for (const struct el_link *link = s.links; link->how; link++)
                for (int k = 0; !(link->how & EL_C_RESIDUAL) && link->consumers[k] != EL_R_COUNT; k++)
                    n += link->consumers[k] == r->role;
            if (n == 0)
                test_fail(__FILE__, __LINE__, "%s: nothing feeds %s", variant_at(i), r->gguf);
        }
        el_source_close(s.source);
    }
}
