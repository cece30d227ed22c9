/* Plans: which tensor gets which encoding and method. The rules of mixes are in mixes.c; here are options, fallbacks and rows. */
#include "quant/plan.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "quant/mixes.h"
#include "quant/patterns.h"
#include "quant/slice.h"
#include "quant/tally.h"

/* Options, parsed. */
struct wanted {
    bool copy;
    struct el_mix mix;               /* of a group encoding: made here, ftype -1 */
    char mix_encoding[32];           /* what mix.encoding points to then */
    struct el_enc base;              /* most matrices */
    struct el_enc output, embedding; /* e NULL: not given */
    struct el_patterns types, methods, skips;
    struct el_enc *type_enc;                  /* of types */
    const struct el_method **pattern_methods; /* of methods */
    const struct el_method *method;
    const struct el_stats *stats;
    const struct el_fold *fold; /* NULL: the weights are quantized as they are */
    const struct el_plan_opts *opts;
};

/* What el_mix_choose needs, and goes along with the tensors. */
struct progress {
    struct el_mix_model model;
    struct el_mix_state state;
    const struct el_plan *plan;
};

static bool is_float(const struct el_enc *enc)
{
    return enc->e->flags & EL_ENC_FLOAT;
}

static enum el_status parse_option(const char *option, const char *name, struct el_enc *enc, struct el_err *err)
{
    if (!name)
        return EL_OK;
    if (el_enc_parse(name, enc, err) != EL_OK)
        return el_fail_prefix(err, EL_E_USAGE, "%s", option);
    return EL_OK;
}

static enum el_status parse_type(const char *type, struct wanted *w, struct el_err *err)
{
    static const char copy[] = "COPY";
    size_t i = 0;
    while (i < 4 && (type[i] == copy[i] || type[i] == copy[i] + 32))
        i++;
    if (i == 4 && !type[4]) {
        w->copy = true;
        return EL_OK;
    }
    const struct el_mix *const mix = el_mix_by_name(type);
    if (mix) {
        w->mix = *mix;
        EL_TRY(el_enc_parse(mix->encoding, &w->base, err));
        if (el_enc_check_encode(&w->base, err) != EL_OK)
            return el_fail_prefix(err, EL_E_UNSUPPORTED, "type '%s'", mix->name);
        return EL_OK;
    }
    if (el_enc_parse(type, &w->base, NULL) != EL_OK) {
        struct el_buf known;
        el_buf_init(&known);
        el_enc_list(&known);
        for (size_t k = 0; el_mix_at(k); k++) {
            struct el_enc same;
            if (el_enc_parse(el_mix_at(k)->name, &same, NULL) != EL_OK)
                el_buf_addf(&known, ", %s", el_mix_at(k)->name);
        }
        const enum el_status status = el_fail(err, EL_E_USAGE, "unknown type '%.64s', known are %s, COPY", type, known.data);
        el_buf_release(&known);
        return status;
    }
    el_enc_name(&w->base, w->mix_encoding);
    w->mix = (struct el_mix){.name = w->mix_encoding, .encoding = w->mix_encoding, .ftype = -1, .about = ""};
    return EL_OK;
}

static enum el_status check_together(const struct wanted *w, struct el_err *err)
{
    const struct el_plan_opts *const o = w->opts;
    if (w->copy && (o->output_type || o->embedding_type || o->n_tensor_types > 0 || o->pure || o->leave_output || o->method ||
                    o->n_tensor_methods > 0 || o->n_skips > 0))
        return el_fail(err, EL_E_USAGE,
                       "COPY changes no tensor: it takes no types, no method, no skip, neither pure nor "
                       "leave-output");
    if (o->for_convert && !w->copy && !is_float(&w->base))
        return el_fail(err, EL_E_USAGE, "type '%s': a conversion writes F32, F16 or BF16", o->type);
    if (o->method && !w->fold && is_float(&w->base) && !o->output_type && !o->embedding_type && o->n_tensor_types == 0)
        return el_fail(err, EL_E_USAGE, "method '%s': there is nothing to choose in %s", o->method, w->base.e->name);
    if (o->leave_output && o->output_type)
        return el_fail(err, EL_E_USAGE, "output type '%s': the output is to be left as it is", o->output_type);
    return EL_OK;
}

/* The method of this name, if what it needs is there. */
static enum el_status check_needs(const struct wanted *w, const struct el_method *method, struct el_err *err)
{
    if (!w->stats && (method->needs_hessian || method->needs_importance))
        return el_fail(err, EL_E_USAGE, "method '%s' needs statistics of the inputs", method->name);
    return EL_OK;
}

/* A method of some tensors: what changes the model changes all of it, and is not among them. */
static enum el_status find_method(const struct wanted *w, const char *name, const struct el_method **method, struct el_err *err)
{
    *method = el_method_by_name(name);
    const size_t n_first = strcspn(name, "+");
    for (size_t i = 0; !*method && el_fold_method_at(i); i++) {
        const char *const fold = el_fold_method_at(i)->name;
        if (strlen(fold) == n_first && memcmp(fold, name, n_first) == 0)
            return el_fail(err, EL_E_USAGE,
                           "method '%.64s' of some tensors: '%s' changes the model, and stands in a method for all", name, fold);
    }
    if (!*method) {
        struct el_buf known;
        el_buf_init(&known);
        for (size_t i = 0; el_method_at(i); i++)
            el_buf_addf(&known, "%s%s", i ? ", " : "", el_method_at(i)->name);
        const enum el_status status = el_fail(err, EL_E_USAGE, "unknown method '%.64s', known are %s", name, known.data);
        el_buf_release(&known);
        return status;
    }
    return check_needs(w, *method, err);
}

static enum el_status check_how(const struct el_method_opts *how, struct el_err *err)
{
    if (!(how->damping >= 0.0 && how->damping <= 1e6))
        return el_fail(err, EL_E_USAGE, "damping %g: must be from 0 to 1e6", how->damping);
    if (how->order && strcmp(how->order, "group") != 0 && strcmp(how->order, "act") != 0 && strcmp(how->order, "none") != 0)
        return el_fail(err, EL_E_USAGE, "order '%.64s': must be group, act or none", how->order);
    return EL_OK;
}

static enum el_status parse_method(struct wanted *w, struct el_plan *plan, struct el_err *err)
{
    const struct el_plan_opts *const o = w->opts;
    w->method = o->stats ? el_method_by_name("imatrix") : el_method_at(0);
    if (!o->method)
        return EL_OK;
    EL_TRY(el_plan_parse_method(o->method, plan, &w->method, err));
    EL_TRY(check_needs(w, w->method, err));
    for (size_t i = 0; i < plan->n_folds; i++)
        if (!w->stats && (plan->folds[i]->needs_importance || plan->folds[i]->needs_abs))
            return el_fail(err, EL_E_USAGE, "method '%s' needs statistics of the inputs", plan->folds[i]->name);
    return plan->n_folds > 0 ? el_plan_mark(plan, &o->how, err) : EL_OK;
}

/* --tensor-type, --method REGEX=NAME and --skip. */
static enum el_status parse_patterns(struct wanted *w, struct el_err *err)
{
    const struct el_plan_opts *const o = w->opts;
    EL_TRY(el_patterns_open(&w->types, "tensor type", "REGEX=TYPE", o->tensor_types, o->n_tensor_types, err));
    EL_TRY(el_patterns_open(&w->methods, "method", "REGEX=NAME", o->tensor_methods, o->n_tensor_methods, err));
    EL_TRY(el_patterns_open(&w->skips, "skip", NULL, o->skips, o->n_skips, err));
    w->type_enc = el_calloc_array(w->types.n, sizeof *w->type_enc);
    w->pattern_methods = el_calloc_array(w->methods.n, sizeof *w->pattern_methods);
    if (!w->type_enc || !w->pattern_methods)
        return el_fail(err, EL_E_MEMORY, "plan: out of memory");
    for (size_t i = 0; i < w->types.n; i++)
        EL_TRY(parse_option("tensor type", w->types.v[i].value, &w->type_enc[i], err));
    for (size_t i = 0; i < w->methods.n; i++)
        EL_TRY(find_method(w, w->methods.v[i].value, &w->pattern_methods[i], err));
    return EL_OK;
}

static enum el_status parse_options(struct wanted *w, struct el_plan *plan, struct el_err *err)
{
    const struct el_plan_opts *const o = w->opts;
    EL_TRY(parse_type(o->type, w, err));
    EL_TRY(parse_option("output type", o->output_type, &w->output, err));
    EL_TRY(parse_option("embedding type", o->embedding_type, &w->embedding, err));
    EL_TRY(parse_method(w, plan, err));
    w->fold = plan->fold;
    EL_TRY(check_together(w, err));
    EL_TRY(check_how(&o->how, err));
    return parse_patterns(w, err);
}

static void free_wanted(struct wanted *w)
{
    el_patterns_close(&w->types);
    el_patterns_close(&w->methods);
    el_patterns_close(&w->skips);
    el_free(w->type_enc);
    el_free(w->pattern_methods);
}

/* ---- one tensor ---- */

static bool fits(const struct el_enc *enc, uint64_t n_in)
{
    return n_in % enc->e->block_n == 0;
}

/*
 * The encoding for rows that no block of *enc fits, as llama-quantize chooses: a simple block for a super-block (the table says
 * which), and F16 when that does not fit either. For a simple block that does not fit it gives up; we take F16.
 */
static enum el_status fall_back(struct el_enc *enc, uint64_t n_in, char **why, struct el_err *err)
{
    if (fits(enc, n_in))
        return EL_OK;
    struct el_buf text;
    char name[32];
    el_enc_name(enc, name);
    el_buf_init(&text);
    el_buf_addf(&text, "rows of %llu are no multiple of %u for %s", (unsigned long long)n_in, (unsigned)enc->e->block_n, name);
    size_t nbytes;
    *why = el_buf_detach(&text, &nbytes);
    el_buf_release(&text);
    if (!*why)
        return el_fail(err, EL_E_MEMORY, "plan: out of memory");
    EL_TRY(el_enc_parse(enc->e->fallback ? enc->e->fallback : "Q8_0", enc, err));
    if (!fits(enc, n_in))
        *enc = el_enc_f16();
    return EL_OK;
}

/* Adds to why an entry is not what was asked for. */
static enum el_status add_fallback(struct el_plan_entry *entry, const char *why, struct el_err *err)
{
    struct el_buf text;
    el_buf_init(&text);
    el_buf_addf(&text, "%s%s%s", entry->fallback ? entry->fallback : "", entry->fallback ? "; " : "", why);
    size_t nbytes;
    char *const joined = el_buf_detach(&text, &nbytes);
    el_buf_release(&text);
    if (!joined)
        return el_fail(err, EL_E_MEMORY, "plan: out of memory");
    el_free(entry->fallback);
    entry->fallback = joined;
    return EL_OK;
}

static uint32_t n_experts_of(const struct el_tensor *t)
{
    return t->n_dims >= 3 ? (uint32_t)t->dims[t->n_dims - 3] : 1;
}

/* Experts (or the one matrix) that saw too few tokens for something. */
struct few {
    uint32_t n, first;
    double n_tokens; /* of the first */
};

static void add_few(struct few *few, uint32_t expert, double n_tokens)
{
    if (few->n++ == 0) {
        few->first = expert;
        few->n_tokens = n_tokens;
    }
}

/* Says what becomes of them. least: tokens that are enough. */
static enum el_status tell_few(const struct few *few, uint32_t n_experts, double least, const char *method,
                               struct el_plan_entry *entry, struct el_err *err)
{
    char who[96] = "", why[192];
    if (few->n == 0)
        return EL_OK;
    if (n_experts > 1)
        (void)snprintf(who, sizeof who, "%u of %u experts, the first is %u: ", few->n, n_experts, few->first);
    if (few->n_tokens == 0.0)
        (void)snprintf(why, sizeof why, "%sno token: %s", who, method);
    else
        (void)snprintf(why, sizeof why, "%s%.0f token%s, fewer than %.0f: %s", who, few->n_tokens,
                       few->n_tokens == 1.0 ? "" : "s", least, method);
    return add_fallback(entry, why, err);
}

/* What the method becomes in experts that saw few tokens, or none. */
static enum el_status find_few(const struct wanted *w, const struct el_stats_matrix *m, struct el_plan_entry *entry,
                               struct el_err *err)
{
    struct few few = {.n = 0}, unseen = {.n = 0};
    const double least = el_slice_least(entry->method, m->n_in);
    for (uint32_t e = 0; e < m->n_experts; e++) {
        double n;
        const enum el_status status = el_stats_count(w->stats, m, e, &n, err);
        if (status == EL_E_FORMAT) {
            entry->method = el_method_at(0);
            entry->stats = NULL;
            return add_fallback(entry, el_weaker_text(EL_WEAKER_SUMS), err);
        }
        EL_TRY(status);
        if (n == 0.0)
            add_few(&unseen, e, n);
        else if (n < least)
            add_few(&few, e, n);
    }
    if (m->n_experts == 1 && few.n > 0)
        entry->method = el_method_by_name("imatrix");
    if (m->n_experts == 1 && unseen.n > 0) {
        entry->method = el_method_at(0);
        entry->stats = NULL;
    }
    EL_TRY(tell_few(&few, m->n_experts, least, "imatrix", entry, err));
    return tell_few(&unseen, m->n_experts, least, el_method_at(0)->name, entry, err);
}

/* What the statistics have for a method that needs them; else a weaker method. */
static enum el_status find_stats(const struct wanted *w, const struct el_tensor *t, struct el_plan_entry *entry,
                                 struct el_err *err)
{
    const struct el_stats_matrix *const m = el_fold_stats_find(w->fold, w->stats, t->name);
    if (!m) {
        entry->method = el_method_at(0);
        return add_fallback(entry, "not in the statistics: search", err);
    }
    if (m->n_in != t->n_in || m->n_experts != n_experts_of(t))
        return el_fail(err, EL_E_USAGE, "tensor '%s': the statistics are of %u x %llu inputs, it has %u x %llu: another model's",
                       t->name, m->n_experts, (unsigned long long)m->n_in, n_experts_of(t), (unsigned long long)t->n_in);
    entry->stats = m;
    if (entry->method->needs_hessian && !(m->has & EL_STATS_HESSIAN)) {
        entry->method = el_method_by_name("imatrix");
        EL_TRY(add_fallback(entry, "no sums of products in the statistics: imatrix", err));
    }
    if (!(m->has & EL_STATS_HESSIAN) && el_fold_rotates_input(w->fold, t->name))
        return el_fail(err, EL_E_USAGE, "tensor '%s': what it reads is rotated, and the statistics have no sums of products",
                       t->name);
    return find_few(w, m, entry, err);
}

/* The encoding of a matrix that is to be quantized (or, by convert, converted). */
static enum el_status choose_matrix(struct wanted *w, struct progress *p, const struct el_tensor *t, struct el_plan_entry *entry,
                                    struct el_err *err)
{
    const enum el_category category = el_mix_category(t->name);
    const bool as_output = category == EL_CAT_OUTPUT || (category == EL_CAT_TOKEN_EMBD && p->model.tied);
    const struct el_pattern *found;
    EL_TRY(el_patterns_find(&w->types, t->name, &found, err));
    if (category == EL_CAT_TOKEN_EMBD && w->embedding.e) {
        entry->to = w->embedding;
    } else if (category == EL_CAT_OUTPUT && w->output.e) {
        entry->to = w->output;
    } else if (found) {
        entry->to = w->type_enc[found - w->types.v];
    } else if (as_output && w->output.e) {
        entry->to = w->output;
    } else if (w->opts->pure || w->opts->for_convert || is_float(&w->base)) {
        entry->to = w->base;
    } else {
        const struct el_mix_tensor as = {t->name, t->n_in, t->n_dims >= 3 && t->dims[t->n_dims - 3] > 1};
        const char *const name = el_mix_choose(&w->mix, &p->model, &p->state, &as, w->base.e->block_n);
        EL_TRY(el_enc_parse(name, &entry->to, err));
    }
    return fall_back(&entry->to, t->n_in, &entry->fallback, err);
}

/* The tensor of the unfolded model that a tensor of the plan's source is, or is made of; itself where it is new. */
static const struct el_tensor *base_tensor(const struct el_plan *plan, const struct el_tensor *t)
{
    const size_t i = plan->fold ? el_fold_base_tensor(plan->fold, (size_t)(t - plan->source->tensors)) : SIZE_MAX;
    return i == SIZE_MAX ? t : &plan->base->tensors[i];
}

/* A method for an encoding that the one asked for does not make: a mix has chosen it, or the rows' length. */
static enum el_status find_maker(const struct wanted *w, struct el_plan_entry *entry, struct el_err *err)
{
    char why[96];
    const char *const asked = entry->method->name;
    if (el_enc_equal(&entry->to, &w->base))
        return el_fail(err, EL_E_USAGE, "method '%s' does not make '%s'", asked, entry->to_name);
    entry->method = w->stats ? el_method_by_name("imatrix") : el_method_at(0);
    (void)snprintf(why, sizeof why, "%s does not make %s: %s", asked, entry->to_name, entry->method->name);
    return add_fallback(entry, why, err);
}

/* How the codes are chosen (method; NULL: by the options), and what is known of the inputs. */
static enum el_status choose_method(struct wanted *w, const struct el_tensor *t, const struct el_method *method,
                                    struct el_plan_entry *entry, struct el_err *err)
{
    const struct el_pattern *found;
    entry->method = NULL;
    if (entry->copy || is_float(&entry->to))
        return EL_OK;
    if (!method) {
        EL_TRY(el_patterns_find(&w->methods, t->name, &found, err));
        method = found ? w->pattern_methods[found - w->methods.v] : w->method;
    }
    entry->method = method;
    if (!method->supports(&entry->to))
        EL_TRY(find_maker(w, entry, err));
    return entry->method->needs_hessian || entry->method->needs_importance ? find_stats(w, t, entry, err) : EL_OK;
}

/* All of an entry that follows from its encoding, which is set, and the method (NULL: the options'). */
static enum el_status complete(struct wanted *w, const struct el_plan *plan, const struct el_tensor *t,
                               const struct el_method *method, struct el_plan_entry *entry, struct el_err *err)
{
    const struct el_tensor *const was = base_tensor(plan, t);
    entry->copy = el_enc_equal(&entry->to, &t->enc);
    if (plan->fold && strcmp(was->name, t->name) != 0)
        EL_TRY(add_fallback(entry, "it was the embedding, and is no longer the same", err));
    el_enc_name(&entry->to, entry->to_name);
    if (!entry->copy)
        EL_TRY(el_enc_check_encode(&entry->to, err));
    EL_TRY(choose_method(w, t, method, entry, err));
    if ((!entry->copy || was->enc.e != t->enc.e) && !is_float(&was->enc) && !w->opts->allow_requantize && !w->opts->for_convert)
        return el_fail(err, EL_E_USAGE, "tensor '%s' is already quantized (%s): requantizing loses quality and must be allowed",
                       t->name, was->enc_name);
    if (!el_enc_nbytes(&entry->to, t->n_rows, t->n_in, &entry->nbytes))
        return el_fail(err, EL_E_USAGE, "tensor '%s' is too large for %s", t->name, entry->to_name);
    return EL_OK;
}

static enum el_status choose(struct wanted *w, struct progress *p, const struct el_tensor *t, struct el_plan_entry *entry,
                             struct el_err *err)
{
    const struct el_pattern *skipped, *beaten;
    EL_TRY(el_patterns_find(&w->skips, t->name, &skipped, err));
    if (skipped && el_mix_quantizes(t->name, t->n_rows)) /* a type that it wins over was not given in vain */
        EL_TRY(el_patterns_find(&w->types, t->name, &beaten, err));
    const bool left = skipped || (w->opts->leave_output && strcmp(t->name, "output.weight") == 0);
    entry->to = t->enc;
    if (w->copy && w->opts->vectors_f32 && is_float(&t->enc) && !el_mix_quantizes(t->name, t->n_rows)) {
        entry->to = el_enc_f32();
    } else if (!w->copy && !left) {
        if (el_mix_quantizes(t->name, t->n_rows))
            EL_TRY(choose_matrix(w, p, t, entry, err));
        else if (is_float(&t->enc) || w->opts->for_convert)
            entry->to = el_enc_f32(); /* vectors and small tables: what every program reads them as */
    }
    if (left && p->plan->fold && base_tensor(p->plan, t)->enc.e != t->enc.e)
        EL_TRY(add_fallback(entry, "the model is changed there, and what is left alone is not rounded", err));
    return complete(w, p->plan, t, NULL, entry, err);
}

/* ---- the plan ---- */

struct named {
    const char *name;
    size_t index;
};

static int compare_named(const void *a, const void *b)
{
    const struct named *const x = a, *const y = b;
    if (el_mix_before(x->name, y->name))
        return -1;
    return el_mix_before(y->name, x->name) ? 1 : 0;
}

static enum el_status choose_all(struct wanted *w, struct el_plan *plan, struct el_err *err)
{
    const struct el_source *const source = plan->source;
    struct progress p = {.model = el_mix_model_read(source->meta), .plan = plan};
    p.model.tied = true;
    p.model.has_importance = w->stats != NULL;
    struct named *const order = el_alloc_array(plan->n, sizeof *order);
    if (!order)
        return el_fail(err, EL_E_MEMORY, "plan: out of memory");
    for (size_t i = 0; i < plan->n; i++) {
        const enum el_category category = el_mix_category(source->tensors[i].name);
        order[i] = (struct named){source->tensors[i].name, i};
        p.model.n_attn_v += category == EL_CAT_ATTN_V;
        if (category == EL_CAT_OUTPUT)
            p.model.tied = false;
    }
    qsort(order, plan->n, sizeof *order, compare_named);
    enum el_status status = EL_OK;
    for (size_t k = 0; k < plan->n && status == EL_OK; k++) {
        const size_t i = order[k].index;
        status = choose(w, &p, &source->tensors[i], &plan->entries[i], err);
    }
    el_free(order);
    return status;
}

/* A plan for a model, before it is known whether folds change that, and so without room for entries. */
static enum el_status begin_plan(const struct el_source *source, const struct el_plan_opts *opts, struct el_plan **out,
                                 struct el_err *err)
{
    struct el_plan *const plan = *out = el_calloc_array(1, sizeof *plan);
    if (!plan)
        return el_fail(err, EL_E_MEMORY, "plan: out of memory");
    *plan = (struct el_plan){.source = source, .base = source, .stats_source = opts->stats, .how = opts->how, .ftype = -1};
    plan->predicted_kld = NAN;
    plan->store = !opts->for_convert;
    (void)snprintf(plan->order, sizeof plan->order, "%s", opts->how.order ? opts->how.order : "");
    plan->how.order = opts->how.order ? plan->order : NULL;
    return opts->stats ? el_stats_open(opts->stats, &plan->stats, err) : EL_OK;
}

static enum el_status make_entries(struct el_plan *plan, struct el_err *err)
{
    plan->entries = el_calloc_array(plan->source->n_tensors, sizeof *plan->entries);
    if (!plan->entries)
        return el_fail(err, EL_E_MEMORY, "plan: out of memory");
    plan->n = plan->source->n_tensors;
    for (size_t i = 0; i < plan->n; i++)
        plan->entries[i].loss = NAN;
    return EL_OK;
}

enum el_status el_plan_begin(const struct el_source *source, const struct el_plan_opts *opts, struct el_plan **out,
                             struct el_err *err)
{
    struct el_plan *plan = NULL;
    enum el_status status = EL_OK;
    EL_TRY_OUT(begin_plan(source, opts, &plan, err));
    EL_TRY_OUT(make_entries(plan, err));
out:
    if (status != EL_OK) {
        el_plan_free(plan);
        plan = NULL;
    }
    *out = plan;
    return status;
}

enum el_status el_plan_set(struct el_plan *plan, size_t i, const struct el_enc *to, const struct el_method *method,
                           const struct el_plan_opts *opts, struct el_err *err)
{
    struct wanted w = {.opts = opts, .stats = plan->stats, .base = *to}; /* a method that does not make it is refused */
    struct el_plan_entry *const entry = &plan->entries[i];
    el_free(entry->fallback);
    *entry = (struct el_plan_entry){.to = *to, .loss = NAN};
    return complete(&w, plan, &plan->source->tensors[i], method, entry, err);
}

enum el_status el_plan_keep_fallback(struct el_plan *plan, size_t i, const char *method, const char *fallback,
                                     struct el_err *err)
{
    struct el_plan_entry *const entry = &plan->entries[i];
    if (!fallback || strcmp(method, el_plan_method_name(entry)) != 0)
        return EL_OK;
    char *const reason = el_strdup(fallback);
    if (!reason)
        return el_fail(err, EL_E_MEMORY, "plan: out of memory");
    el_free(entry->fallback);
    entry->fallback = reason;
    return EL_OK;
}

enum el_status el_plan_make(const struct el_source *source, const struct el_plan_opts *opts, struct el_plan **plan_out,
                            struct el_err *err)
{
    *plan_out = NULL;
    struct wanted w = {.opts = opts};
    struct el_plan *plan = NULL;
    enum el_status status = EL_OK;
    EL_TRY_OUT(begin_plan(source, opts, &plan, err));
    w.stats = plan->stats;
    EL_TRY_OUT(parse_options(&w, plan, err));
    EL_TRY_OUT(make_entries(plan, err));
    EL_TRY_OUT(choose_all(&w, plan, err));
    el_patterns_warn(&w.types, "that is quantized");
    el_patterns_warn(&w.methods, "that is quantized");
    el_patterns_warn(&w.skips, "");
    plan->ftype = w.copy ? -1 : w.mix.ftype;
    plan->keep_meta = w.copy;
    (void)snprintf(plan->made_by, sizeof plan->made_by, "%s", w.copy ? "COPY" : w.mix.name);
    *plan_out = plan;
    plan = NULL;
out:
    el_plan_free(plan);
    free_wanted(&w);
    return status;
}

void el_plan_free(struct el_plan *plan)
{
    if (!plan)
        return;
    for (size_t i = 0; i < plan->n; i++)
        el_free(plan->entries[i].fallback);
    el_free(plan->entries);
    el_fold_close(plan->fold);
    el_stats_close(plan->stats);
    el_free(plan);
}

size_t el_plan_n_rows(const struct el_plan *plan)
{
    return plan->n;
}

const char *el_plan_method_name(const struct el_plan_entry *entry)
{
    return entry->copy ? "copy" : entry->method ? entry->method->name : "convert";
}

struct el_plan_row el_plan_row(const struct el_plan *plan, size_t i)
{
    const struct el_plan_entry *const entry = &plan->entries[i];
    struct el_tensor_info from = el_source_tensor(plan->source, i);
    const size_t base = plan->fold ? el_fold_base_tensor(plan->fold, i) : SIZE_MAX;
    if (plan->fold && base == SIZE_MAX)
        from.nbytes = 0;
    if (base != SIZE_MAX) { /* whatever changes it, it is stored so */
        const struct el_tensor_info was = el_source_tensor(plan->base, base);
        const bool same = strcmp(was.name, from.name) == 0;
        from.encoding = was.encoding;
        from.file = was.file;
        from.offset = was.offset;
        from.nbytes = same ? was.nbytes : 0; /* an output that was the embedding had no bytes of its own */
    }
    return (struct el_plan_row){
        .from = from,
        .to = entry->to_name,
        .method = el_plan_method_name(entry),
        .nbytes = entry->nbytes,
        .fallback = entry->fallback,
    };
}

enum el_status el_plan_check(const struct el_plan *plan, const struct el_source *written, struct el_err *err)
{
    if (written->n_tensors != plan->n)
        return el_fail(err, EL_E_FORMAT, "'%s': %zu tensors, the plan has %zu", written->path, written->n_tensors, plan->n);
    for (size_t i = 0; i < plan->n; i++) {
        const char *const name = plan->source->tensors[i].name;
        /* Sinks keep the order, so the first guess is right. */
        const size_t at = strcmp(written->tensors[i].name, name) == 0 ? i : el_source_find(written, name);
        if (at == SIZE_MAX)
            return el_fail(err, EL_E_FORMAT, "'%s': tensor '%s' of the plan is missing", written->path, name);
        if (!el_enc_equal(&written->tensors[at].enc, &plan->entries[i].to))
            return el_fail(err, EL_E_FORMAT, "'%s': tensor '%s': is %s, the plan says %s", written->path, name,
                           written->tensors[at].enc_name, plan->entries[i].to_name);
    }
    return EL_OK;
}

static enum el_status store_rows(const struct el_plan *plan, struct el_meta *meta, struct el_err *err)
{
    struct el_buf text;
    el_buf_init(&text);
    enum el_status status = EL_OK;
    const char **const rows = el_calloc_array(plan->n, sizeof *rows);
    size_t *const nbytes = el_calloc_array(plan->n, sizeof *nbytes);
    if (!rows || !nbytes) {
        status = el_fail(err, EL_E_MEMORY, "plan: out of memory");
        goto out;
    }
    for (size_t i = 0; i < plan->n; i++) {
        const struct el_plan_entry *const entry = &plan->entries[i];
        const size_t before = text.nbytes;
        el_buf_addf(&text, "%s %s %s%s%s", plan->source->tensors[i].name, entry->to_name, el_plan_method_name(entry),
                    entry->fallback ? " fallback: " : "", entry->fallback ? entry->fallback : "");
        nbytes[i] = text.nbytes - before;
    }
    if (text.failed) {
        status = el_fail(err, EL_E_MEMORY, "plan: out of memory");
        goto out;
    }
    /* Only now does the text stay where it is. */
    size_t at = 0;
    for (size_t i = 0; i < plan->n; i++) {
        rows[i] = text.data + at;
        at += nbytes[i];
    }
    status = el_meta_set_str_array(meta, "edgellm.plan", rows, nbytes, plan->n, err);
out:
    el_buf_release(&text);
    el_free(rows);
    el_free(nbytes);
    return status;
}

/* Does a quantized matrix of the source go on as it is? */
static bool keeps_codes(const struct el_plan *plan)
{
    bool keeps = false;
    for (size_t i = 0; i < plan->n && !keeps; i++)
        keeps = plan->entries[i].copy && !is_float(&plan->source->tensors[i].enc);
    return keeps;
}

enum el_status el_plan_store(const struct el_plan *plan, struct el_meta *meta, struct el_err *err)
{
    if (plan->keep_meta)
        return EL_OK;
    if (!keeps_codes(plan)) /* it was said of codes that are no more */
        el_meta_remove(meta, "edgellm.activations");
    if (plan->ftype >= 0)
        EL_TRY(el_meta_set_u32(meta, "general.file_type", (uint32_t)plan->ftype, err));
    else
        el_meta_remove(meta, "general.file_type");
    EL_TRY(el_meta_set_u32(meta, "general.quantization_version", 2, err));
    const struct el_meta *const stats_meta = plan->stats_source ? plan->stats_source->meta : NULL;
    const size_t data = stats_meta ? el_meta_find(stats_meta, "edgellm.stats.data_sha256") : SIZE_MAX;
    if (data != SIZE_MAX) /* so that eval can refuse the calibration text */
        EL_TRY(el_meta_set_from(meta, "edgellm.calibration.sha256", stats_meta, data, err));
    if (plan->fold)
        EL_TRY(el_fold_store(plan->fold, meta, err));
    el_report_remove(meta);
    if (plan->store)
        return store_rows(plan, meta, err);
    el_meta_remove(meta, "edgellm.plan");
    return EL_OK;
}

const char *el_plan_mix_name(size_t i, const char **about)
{
    const struct el_mix *const mix = el_mix_at(i);
    if (about)
        *about = mix ? mix->about : NULL;
    return mix ? mix->name : NULL;
}
