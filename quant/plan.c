/* Plans: which tensor gets which encoding and method. The rules of mixes are in mixes.c; here are options, fallbacks and rows. */
#include "quant/plan.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "quant/mixes.h"
#include "text/regex.h"

/* One --tensor-type. */
struct override {
    struct el_regex *re;
    struct el_enc enc;
    bool used; /* found in a name, be it behind another one */
};

/* Options, parsed. */
struct wanted {
    bool copy;
    struct el_mix mix;               /* of a group encoding: made here, ftype -1 */
    char mix_encoding[32];           /* what mix.encoding points to then */
    struct el_enc base;              /* most matrices */
    struct el_enc output, embedding; /* e NULL: not given */
    struct override *overrides;
    size_t n_overrides;
    struct el_regex_run *run;
    const struct el_method *method;
    const struct el_stats *stats;
    const struct el_plan_opts *opts;
};

/* What el_mix_choose needs, and goes along with the tensors. */
struct progress {
    struct el_mix_model model;
    struct el_mix_state state;
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

/* The pattern is searched for anywhere in the name, in any case: llama-quantize folds it to lower case, which names are in. */
static enum el_status parse_override(const char *text, struct override *out, struct el_err *err)
{
    const char *const eq = strrchr(text, '=');
    if (!eq || eq == text)
        return el_fail(err, EL_E_USAGE, "tensor type '%s': must be REGEX=TYPE", text);
    EL_TRY(parse_option("tensor type", eq + 1, &out->enc, err));
    struct el_buf pattern;
    el_buf_init(&pattern);
    el_buf_addf(&pattern, "(?i:%.*s)", (int)(eq - text), text);
    enum el_status status = EL_OK;
    if (pattern.failed)
        status = el_fail(err, EL_E_MEMORY, "tensor type: out of memory");
    else
        status = el_regex_open(pattern.data, pattern.nbytes, &out->re, err);
    el_buf_release(&pattern);
    return status == EL_OK || status == EL_E_MEMORY ? status
                                                    : el_fail(err, EL_E_USAGE, "tensor type '%s': not a valid pattern", text);
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
    if (w->copy && (o->output_type || o->embedding_type || o->n_tensor_types > 0 || o->pure || o->leave_output || o->method))
        return el_fail(err, EL_E_USAGE, "COPY changes no tensor: it takes no types, no method, neither pure nor leave-output");
    if (o->for_convert && !w->copy && !is_float(&w->base))
        return el_fail(err, EL_E_USAGE, "type '%s': a conversion writes F32, F16 or BF16", o->type);
    if (o->method && is_float(&w->base) && !o->output_type && !o->embedding_type && o->n_tensor_types == 0)
        return el_fail(err, EL_E_USAGE, "method '%s': there is nothing to choose in %s", o->method, w->base.e->name);
    if (o->leave_output && o->output_type)
        return el_fail(err, EL_E_USAGE, "output type '%s': the output is to be left as it is", o->output_type);
    return EL_OK;
}

static enum el_status check_method(const struct wanted *w, struct el_err *err)
{
    const struct el_method_opts *const how = &w->opts->how;
    if (!w->stats && (w->method->needs_hessian || w->method->needs_importance))
        return el_fail(err, EL_E_USAGE, "method '%s' needs statistics of the inputs", w->method->name);
    if (!(how->damping >= 0.0 && how->damping <= 1e6))
        return el_fail(err, EL_E_USAGE, "damping %g: must be from 0 to 1e6", how->damping);
    if (how->order && strcmp(how->order, "group") != 0 && strcmp(how->order, "act") != 0 && strcmp(how->order, "none") != 0)
        return el_fail(err, EL_E_USAGE, "order '%.64s': must be group, act or none", how->order);
    return EL_OK;
}

static enum el_status parse_options(struct wanted *w, struct el_err *err)
{
    const struct el_plan_opts *const o = w->opts;
    EL_TRY(parse_type(o->type, w, err));
    EL_TRY(parse_option("output type", o->output_type, &w->output, err));
    EL_TRY(parse_option("embedding type", o->embedding_type, &w->embedding, err));
    w->method = o->method ? el_method_by_name(o->method) : o->stats ? el_method_by_name("imatrix") : el_method_at(0);
    if (!w->method) {
        struct el_buf known;
        el_buf_init(&known);
        for (size_t i = 0; el_method_at(i); i++)
            el_buf_addf(&known, "%s%s", i ? ", " : "", el_method_at(i)->name);
        const enum el_status status = el_fail(err, EL_E_USAGE, "unknown method '%.64s', known are %s", o->method, known.data);
        el_buf_release(&known);
        return status;
    }
    EL_TRY(check_together(w, err));
    EL_TRY(check_method(w, err));
    if (o->n_tensor_types == 0)
        return EL_OK;
    EL_TRY(el_regex_run_open(&w->run, err));
    w->overrides = el_calloc_array(o->n_tensor_types, sizeof *w->overrides);
    if (!w->overrides)
        return el_fail(err, EL_E_MEMORY, "tensor types: out of memory");
    w->n_overrides = o->n_tensor_types;
    for (size_t i = 0; i < o->n_tensor_types; i++)
        EL_TRY(parse_override(o->tensor_types[i], &w->overrides[i], err));
    return EL_OK;
}

static void free_wanted(struct wanted *w)
{
    for (size_t i = 0; i < w->n_overrides; i++)
        el_regex_close(w->overrides[i].re);
    el_free(w->overrides);
    el_regex_run_close(w->run);
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

/* Names the experts that saw no token: they are searched without importance. */
static enum el_status find_unseen(const struct wanted *w, const struct el_stats_matrix *m, struct el_plan_entry *entry,
                                  struct el_err *err)
{
    uint32_t n_unseen = 0, first = 0;
    for (uint32_t e = 0; e < m->n_experts; e++) {
        double n;
        EL_TRY(el_stats_count(w->stats, m, e, &n, err));
        first = n_unseen == 0 && n == 0.0 ? e : first;
        n_unseen += n == 0.0;
    }
    if (n_unseen == 0)
        return EL_OK;
    char why[96];
    if (m->n_experts == 1)
        (void)snprintf(why, sizeof why, "no token in the statistics: search");
    else
        (void)snprintf(why, sizeof why, "%u of %u experts, the first is %u, saw no token: search", n_unseen, m->n_experts, first);
    return add_fallback(entry, why, err);
}

/* What the statistics have for a method that needs them; else a weaker method. */
static enum el_status find_stats(const struct wanted *w, const struct el_tensor *t, struct el_plan_entry *entry,
                                 struct el_err *err)
{
    const struct el_stats_matrix *const m = el_stats_find(w->stats, t->name);
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
    return find_unseen(w, m, entry, err);
}

/* The first --tensor-type whose pattern is found in the name. */
static enum el_status find_override(const struct wanted *w, const char *name, const struct override **found, struct el_err *err)
{
    *found = NULL;
    for (size_t i = 0; i < w->n_overrides; i++) {
        size_t begin, end;
        bool hit = false;
        if (el_regex_find(w->overrides[i].re, w->run, name, strlen(name), 0, &begin, &end, &hit, err) != EL_OK)
            return el_fail(err, EL_E_USAGE, "tensor type '%s': too much backtracking on '%s'", w->opts->tensor_types[i], name);
        if (hit && !*found)
            *found = &w->overrides[i];
        w->overrides[i].used |= hit;
    }
    return EL_OK;
}

/* The encoding of a matrix that is to be quantized (or, by convert, converted). */
static enum el_status choose_matrix(const struct wanted *w, struct progress *p, const struct el_tensor *t,
                                    struct el_plan_entry *entry, struct el_err *err)
{
    const enum el_category category = el_mix_category(t->name);
    const bool as_output = category == EL_CAT_OUTPUT || (category == EL_CAT_TOKEN_EMBD && p->model.tied);
    const struct override *found;
    EL_TRY(find_override(w, t->name, &found, err));
    if (category == EL_CAT_TOKEN_EMBD && w->embedding.e) {
        entry->to = w->embedding;
    } else if (category == EL_CAT_OUTPUT && w->output.e) {
        entry->to = w->output;
    } else if (found) {
        entry->to = found->enc;
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

/* All of an entry that follows from its encoding, which is set, and the method, where there is something to choose. */
static enum el_status complete(const struct wanted *w, const struct el_tensor *t, const struct el_method *method,
                               struct el_plan_entry *entry, struct el_err *err)
{
    entry->copy = el_enc_equal(&entry->to, &t->enc);
    entry->method = entry->copy || is_float(&entry->to) ? NULL : method;
    el_enc_name(&entry->to, entry->to_name);
    if (!entry->copy)
        EL_TRY(el_enc_check_encode(&entry->to, err));
    if (entry->method && !entry->method->supports(&entry->to))
        return el_fail(err, EL_E_USAGE, "method '%s' does not make '%s'", entry->method->name, entry->to_name);
    if (entry->method && (entry->method->needs_hessian || entry->method->needs_importance))
        EL_TRY(find_stats(w, t, entry, err));
    if (!entry->copy && !is_float(&t->enc) && !w->opts->allow_requantize && !w->opts->for_convert)
        return el_fail(err, EL_E_USAGE, "tensor '%s' is already quantized (%s): requantizing loses quality and must be allowed",
                       t->name, t->enc_name);
    if (!el_enc_nbytes(&entry->to, t->n_rows, t->n_in, &entry->nbytes))
        return el_fail(err, EL_E_USAGE, "tensor '%s' is too large for %s", t->name, entry->to_name);
    return EL_OK;
}

static enum el_status choose(const struct wanted *w, struct progress *p, const struct el_tensor *t, struct el_plan_entry *entry,
                             struct el_err *err)
{
    const bool left = w->opts->leave_output && strcmp(t->name, "output.weight") == 0;
    entry->to = t->enc;
    if (w->copy && w->opts->vectors_f32 && is_float(&t->enc) && !el_mix_quantizes(t->name, t->n_rows)) {
        entry->to = el_enc_f32();
    } else if (!w->copy && !left) {
        if (el_mix_quantizes(t->name, t->n_rows))
            EL_TRY(choose_matrix(w, p, t, entry, err));
        else if (is_float(&t->enc) || w->opts->for_convert)
            entry->to = el_enc_f32(); /* vectors and small tables: what every program reads them as */
    }
    return complete(w, t, w->method, entry, err);
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

static enum el_status choose_all(const struct wanted *w, struct el_plan *plan, struct el_err *err)
{
    const struct el_source *const source = plan->source;
    struct progress p = {.model = el_mix_model_read(source->meta)};
    p.model.tied = true;
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

enum el_status el_plan_begin(const struct el_source *source, const struct el_plan_opts *opts, struct el_plan **out,
                             struct el_err *err)
{
    *out = NULL;
    struct el_plan *const plan = el_calloc_array(1, sizeof *plan);
    struct el_plan_entry *const entries = el_calloc_array(source->n_tensors, sizeof *entries);
    if (!plan || !entries) {
        el_free(plan);
        el_free(entries);
        return el_fail(err, EL_E_MEMORY, "plan: out of memory");
    }
    *plan = (struct el_plan){.source = source, .entries = entries, .n = source->n_tensors, .how = opts->how, .ftype = -1};
    for (size_t i = 0; i < plan->n; i++)
        entries[i].loss = NAN;
    plan->predicted_kld = NAN;
    plan->store = !opts->for_convert;
    (void)snprintf(plan->order, sizeof plan->order, "%s", opts->how.order ? opts->how.order : "");
    plan->how.order = opts->how.order ? plan->order : NULL;
    plan->stats_meta = opts->stats ? opts->stats->meta : NULL;
    const enum el_status status = opts->stats ? el_stats_open(opts->stats, &plan->stats, err) : EL_OK;
    if (status != EL_OK)
        el_plan_free(plan);
    else
        *out = plan;
    return status;
}

enum el_status el_plan_set(struct el_plan *plan, size_t i, const struct el_enc *to, const struct el_method *method,
                           const struct el_plan_opts *opts, struct el_err *err)
{
    const struct wanted w = {.opts = opts, .stats = plan->stats};
    struct el_plan_entry *const entry = &plan->entries[i];
    el_free(entry->fallback);
    *entry = (struct el_plan_entry){.to = *to, .loss = NAN};
    return complete(&w, &plan->source->tensors[i], method, entry, err);
}

enum el_status el_plan_make(const struct el_source *source, const struct el_plan_opts *opts, struct el_plan **plan_out,
                            struct el_err *err)
{
    *plan_out = NULL;
    struct wanted w = {.opts = opts};
    struct el_plan *plan;
    enum el_status status = EL_OK;
    EL_TRY_OUT(el_plan_begin(source, opts, &plan, err));
    w.stats = plan->stats;
    EL_TRY_OUT(parse_options(&w, err));
    EL_TRY_OUT(choose_all(&w, plan, err));
    for (size_t i = 0; i < w.n_overrides; i++)
        if (!w.overrides[i].used)
            el_warn("tensor type '%s' matches no tensor that is quantized", opts->tensor_types[i]);
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
    return (struct el_plan_row){
        .from = el_source_tensor(plan->source, i),
        .to = entry->to_name,
        .method = el_plan_method_name(entry),
        .nbytes = entry->nbytes,
        .fallback = entry->fallback,
    };
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
    const size_t data = plan->stats_meta ? el_meta_find(plan->stats_meta, "edgellm.stats.data_sha256") : SIZE_MAX;
    if (data != SIZE_MAX) /* so that eval can refuse the calibration text */
        EL_TRY(el_meta_set_from(meta, "edgellm.calibration.sha256", plan->stats_meta, data, err));
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
