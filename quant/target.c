/* The problem of a target, its solutions as plans; see target.h. */
#include "quant/target.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/checked.h"
#include "base/mem.h"
#include "model/model.h"
#include "quant/diverse.h"
#include "text/regex.h"

enum { ALIGNMENT = 32, MOST_TRIES = 16 };

static enum el_status no_memory(struct el_err *err)
{
    return el_fail(err, EL_E_MEMORY, "out of memory for the choices of a target");
}

/* ---- patterns ---- */

/* One "REGEX=TYPE" or "REGEX". */
struct pattern {
    const char *text;
    struct el_regex *re;
    struct el_enc enc;
    bool used;
};

enum { MIN_TYPE, MAX_TYPE, ONE_TYPE, SKIP, GROUP, N_KINDS };
static const char *const kind_names[N_KINDS] = {"min type", "max type", "tensor type", "skip", "same type"};

struct patterns {
    struct pattern *of[N_KINDS];
    size_t n[N_KINDS];
    struct el_regex_run *run;
};

static enum el_status parse_pattern(int kind, const char *text, struct pattern *out, struct el_err *err)
{
    const bool typed = kind < SKIP;
    const char *const eq = typed ? strrchr(text, '=') : text + strlen(text);
    out->text = text;
    if (!eq || eq == text)
        return el_fail(err, EL_E_USAGE, "%s '%s': must be %s", kind_names[kind], text, typed ? "REGEX=TYPE" : "REGEX");
    if (typed && el_enc_parse(eq + 1, &out->enc, err) != EL_OK)
        return el_fail_prefix(err, EL_E_USAGE, "%s", kind_names[kind]);
    struct el_buf pattern;
    el_buf_init(&pattern);
    el_buf_addf(&pattern, "(?i:%.*s)", (int)(eq - text), text);
    const enum el_status status = pattern.failed ? EL_E_MEMORY : el_regex_open(pattern.data, pattern.nbytes, &out->re, err);
    const bool failed = pattern.failed;
    el_buf_release(&pattern);
    if (failed || status == EL_E_MEMORY)
        return no_memory(err);
    return status == EL_OK ? EL_OK : el_fail(err, EL_E_USAGE, "%s '%s': not a valid pattern", kind_names[kind], text);
}

static enum el_status parse_patterns(const struct el_target *t, struct patterns *p, struct el_err *err)
{
    const char *const *const texts[N_KINDS] = {t->min_types, t->max_types, t->types, t->skips, t->groups};
    const size_t n[N_KINDS] = {t->n_min_types, t->n_max_types, t->n_types, t->n_skips, t->n_groups};
    EL_TRY(el_regex_run_open(&p->run, err));
    for (int k = 0; k < N_KINDS; k++) {
        p->of[k] = el_calloc_array(n[k], sizeof *p->of[k]);
        if (!p->of[k])
            return no_memory(err);
        p->n[k] = n[k];
        for (size_t i = 0; i < n[k]; i++)
            EL_TRY(parse_pattern(k, texts[k][i], &p->of[k][i], err));
    }
    return EL_OK;
}

static void free_patterns(struct patterns *p)
{
    for (int k = 0; k < N_KINDS; k++) {
        for (size_t i = 0; i < p->n[k]; i++)
            el_regex_close(p->of[k][i].re);
        el_free(p->of[k]);
    }
    el_regex_run_close(p->run);
}

static enum el_status matches(struct patterns *p, struct pattern *one, const char *name, bool *found, struct el_err *err)
{
    size_t begin, end;
    if (el_regex_find(one->re, p->run, name, strlen(name), 0, &begin, &end, found, err) != EL_OK)
        return el_fail(err, EL_E_USAGE, "pattern '%s': too much backtracking on '%s'", one->text, name);
    one->used |= *found;
    return EL_OK;
}

static void warn_unused(const struct patterns *p)
{
    for (int k = 0; k < N_KINDS; k++)
        for (size_t i = 0; i < p->n[k]; i++)
            if (!p->of[k][i].used)
                el_warn("%s '%s' matches no matrix that is quantized", kind_names[k], p->of[k][i].text);
}

/* ---- what a row may have ---- */

/* Bits per weight of rows of n_in columns, or as many more as blocks need. */
static double bits_of(const struct el_enc *enc, uint64_t n_in)
{
    const uint64_t block = enc->e->block_n ? enc->e->block_n : 1, n = (n_in + block - 1) / block * block;
    uint64_t nbytes = 0;
    return n > 0 && el_enc_nbytes(enc, 1, n, &nbytes) ? 8.0 * (double)nbytes / (double)n : INFINITY;
}

static bool in_limit(int kind, const struct pattern *limit, const struct el_enc *enc, uint64_t n_in)
{
    if (kind == SKIP)
        return false; /* nothing but to keep it */
    const double bits = bits_of(enc, n_in), of_limit = bits_of(&limit->enc, n_in);
    if (kind == ONE_TYPE)
        return el_enc_equal(enc, &limit->enc);
    return kind == MIN_TYPE ? bits >= of_limit : bits <= of_limit;
}

static enum el_status check_left(const struct el_target_problem *p, size_t row, const struct pattern *last, struct el_err *err)
{
    const uint8_t *const allowed = p->allowed + row * (p->sens->n_columns + 1);
    for (size_t c = 0; c <= p->sens->n_columns; c++)
        if (allowed[c])
            return EL_OK;
    return el_fail(err, EL_E_USAGE, "tensor '%s': no type is left to choose from%s%s%s",
                   p->sens->source->tensors[p->sens->rows[row].tensor].name, last ? ", the last pattern was '" : "",
                   last ? last->text : "", last ? "'" : "");
}

static enum el_status limit_row(struct el_target_problem *p, struct patterns *patterns, size_t row, struct el_err *err)
{
    const struct el_tensor *const t = &p->sens->source->tensors[p->sens->rows[row].tensor];
    uint8_t *const allowed = p->allowed + row * (p->sens->n_columns + 1);
    struct pattern *last = NULL;
    for (size_t c = 0; c < p->sens->n_columns; c++)
        allowed[c] = p->sens->rows[row].cells[c].fits;
    allowed[p->sens->n_columns] = true;
    for (int k = 0; k < GROUP; k++) {
        for (size_t i = 0; i < patterns->n[k]; i++) {
            bool hit = false;
            EL_TRY(matches(patterns, &patterns->of[k][i], t->name, &hit, err));
            if (!hit)
                continue;
            last = &patterns->of[k][i];
            for (size_t c = 0; c < p->sens->n_columns; c++)
                allowed[c] = allowed[c] && in_limit(k, last, &el_sens_entry(p->sens, row, c)->to, t->n_in);
            if (k != SKIP && !in_limit(k, last, &t->enc, t->n_in))
                allowed[p->sens->n_columns] = false;
        }
    }
    return check_left(p, row, last, err);
}

/* Rows of a group take the number of its first; `first` [n_groups + 1, n_layers + 1] remembers which. */
static enum el_status group_rows(struct el_target_problem *p, struct patterns *patterns, struct el_err *err)
{
    const size_t n_rows = p->sens->n_rows;
    for (size_t row = 0; row < n_rows; row++) {
        const char *const name = p->sens->source->tensors[p->sens->rows[row].tensor].name;
        size_t g = 0;
        bool hit = false;
        for (; g < patterns->n[GROUP] && !hit; g++)
            EL_TRY(matches(patterns, &patterns->of[GROUP][g], name, &hit, err));
        p->group[row] = UINT32_MAX;
        for (size_t other = 0; hit && other < row && p->group[row] == UINT32_MAX; other++) {
            const char *const before = p->sens->source->tensors[p->sens->rows[other].tensor].name;
            bool same = p->sens->rows[other].layer == p->sens->rows[row].layer;
            for (size_t k = 0; k < g && same; k++) {
                bool also = false;
                EL_TRY(matches(patterns, &patterns->of[GROUP][k], before, &also, err));
                same = also == (k + 1 == g);
            }
            if (same)
                p->group[row] = p->group[other];
        }
        if (p->group[row] == UINT32_MAX)
            p->group[row] = (uint32_t)p->n_items++;
    }
    return EL_OK;
}

/* ---- costs ---- */

static double file_cost(const struct el_tensor *t, const struct el_enc *enc, const char *method, const char *fallback)
{
    struct el_tensor as = {.enc = *enc, .n_dims = t->n_dims};
    char name[32];
    double nbytes = 0.0;
    memcpy(as.dims, t->dims, sizeof as.dims);
    if (el_tensor_complete(&as, NULL) != EL_OK)
        return INFINITY;
    for (uint32_t k = 0; k < as.n_parts; k++)
        nbytes += (double)((as.parts[k].nbytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT);
    /* The line of edgellm.plan; what a parts container adds is found when the plan is laid out. */
    el_enc_name(enc, name);
    return nbytes + (double)(strlen(name) + strlen(method) + (fallback ? strlen(" fallback: ") + strlen(fallback) : 0));
}

static double bytes_cost(const struct el_target_problem *p, size_t row, size_t column)
{
    const struct el_tensor *const t = &p->sens->source->tensors[p->sens->rows[row].tensor];
    const bool keep = column == p->sens->n_columns;
    const struct el_plan_entry *const entry = keep ? NULL : el_sens_entry(p->sens, row, column);
    const struct el_enc *const enc = keep ? &t->enc : &entry->to;
    uint64_t nbytes = keep ? el_tensor_nbytes(t) : entry->nbytes;
    switch (p->target->kind) {
    case EL_TARGET_TENSORS: return (double)nbytes;
    case EL_TARGET_READ: return (double)nbytes * p->part[p->sens->rows[row].tensor];
    default: return file_cost(t, enc, keep ? "copy" : el_plan_method_name(entry), keep ? NULL : entry->fallback);
    }
}

static double loss_of(const struct el_target_problem *p, size_t row, size_t column)
{
    const double loss = column == p->sens->n_columns ? 0.0 : p->sens->rows[row].cells[column].loss;
    return isfinite(loss) ? loss : 0.0;
}

/* Bytes of tensors that no choice is about. */
static double fixed_cost(const struct el_target_problem *p)
{
    const struct el_plan *const plan = p->sens->columns[0].plan;
    double sum = 0.0;
    for (size_t i = 0; i < plan->n; i++)
        sum += (double)plan->entries[i].nbytes * (p->target->kind == EL_TARGET_READ ? p->part[i] : 1.0);
    for (size_t row = 0; row < p->sens->n_rows; row++) {
        const size_t i = p->sens->rows[row].tensor;
        sum -= (double)plan->entries[i].nbytes * (p->target->kind == EL_TARGET_READ ? p->part[i] : 1.0);
    }
    return sum;
}

static double n_elems_of(const struct el_source *source)
{
    double n = 0.0;
    for (size_t i = 0; i < source->n_tensors; i++)
        n += (double)source->tensors[i].n_rows * (double)source->tensors[i].n_in;
    return n;
}

/* ---- the problem ---- */

static enum el_status find_parts(struct el_target_problem *p, struct el_err *err)
{
    struct el_model model;
    const struct el_source *const source = p->sens->source;
    const bool needed = p->target->kind == EL_TARGET_READ;
    const struct el_model_opts opts = {.n_threads = 1};
    const enum el_status status = el_model_describe(&model, p->sens->source, &opts, needed ? err : NULL);
    for (size_t i = 0; i < source->n_tensors && status == EL_OK; i++)
        p->part[i] = el_model_read_part(&model, &source->tensors[i]);
    if (status == EL_OK || needed)
        return status;
    for (size_t i = 0; i < source->n_tensors; i++)
        p->part[i] = 1.0; /* a family that we do not know can be quantized all the same */
    return EL_OK;
}

static void add_choices(struct el_target_problem *p, size_t item, size_t *n)
{
    const struct el_sens *const s = p->sens;
    p->items[item] = (struct el_item){.choices = p->choices + *n};
    for (size_t c = 0; c <= s->n_columns; c++) {
        struct el_choice sum = {0.0, 0.0};
        bool all = true;
        for (size_t row = 0; row < s->n_rows && all; row++) {
            if (p->group[row] != item)
                continue;
            all = p->allowed[row * (s->n_columns + 1) + c];
            sum.cost += bytes_cost(p, row, c);
            sum.loss += loss_of(p, row, c);
        }
        if (!all)
            continue;
        p->columns[*n] = c == s->n_columns ? EL_SENS_KEEP : (uint32_t)c;
        p->choices[(*n)++] = p->target->kind == EL_TARGET_LOSS ? (struct el_choice){.cost = sum.loss, .loss = sum.cost} : sum;
        p->items[item].n++;
    }
}

static enum el_status fill(struct el_target_problem *p, struct patterns *patterns, struct el_err *err)
{
    struct el_sens *const s = p->sens;
    EL_TRY(parse_patterns(p->target, patterns, err));
    p->group = el_calloc_array(s->n_rows, sizeof *p->group);
    p->part = el_calloc_array(s->source->n_tensors, sizeof *p->part);
    p->allowed = el_calloc_array(s->n_rows, s->n_columns + 1);
    if (!p->group || !p->part || !p->allowed)
        return no_memory(err);
    EL_TRY(find_parts(p, err));
    for (size_t row = 0; row < s->n_rows; row++)
        EL_TRY(limit_row(p, patterns, row, err));
    EL_TRY(group_rows(p, patterns, err));
    p->items = el_calloc_array(p->n_items, sizeof *p->items);
    p->choices = el_calloc_array(p->n_items * (s->n_columns + 1), sizeof *p->choices);
    p->columns = el_calloc_array(p->n_items * (s->n_columns + 1), sizeof *p->columns);
    if (!p->items || !p->choices || !p->columns)
        return no_memory(err);
    size_t n = 0;
    for (size_t i = 0; i < p->n_items; i++) {
        add_choices(p, i, &n);
        for (size_t row = 0; p->items[i].n == 0 && row < s->n_rows; row++)
            if (p->group[row] == i)
                return el_fail(err, EL_E_USAGE, "tensor '%s': no type is left that all of its group can share",
                               s->source->tensors[s->rows[row].tensor].name);
    }
    return EL_OK;
}

enum el_status el_target_open(struct el_target_problem *p, struct el_sens *sens, struct el_sink *sink,
                              const struct el_target *target, struct el_err *err)
{
    struct patterns patterns = {.run = NULL};
    *p = (struct el_target_problem){.sens = sens, .target = target, .sink = sink};
    const enum el_status status = fill(p, &patterns, err);
    if (status != EL_OK)
        el_target_close(p);
    else
        warn_unused(&patterns);
    free_patterns(&patterns);
    return status;
}

void el_target_close(struct el_target_problem *p)
{
    el_free(p->group);
    el_free(p->part);
    el_free(p->allowed);
    el_free(p->items);
    el_free(p->choices);
    el_free(p->columns);
    *p = (struct el_target_problem){.sens = NULL};
}

/* ---- plans ---- */

enum el_status el_target_plan(struct el_sens *sens, const uint32_t *choice, const char *made_by, double kld, struct el_plan **out,
                              struct el_err *err)
{
    const struct el_plan_opts opts = {.how = sens->opts.how, .stats = sens->opts.stats, .allow_requantize = true};
    const struct el_plan *const others = sens->columns[0].plan;
    struct el_plan *plan;
    enum el_status status = EL_OK;
    *out = NULL;
    EL_TRY(el_plan_begin(sens->source, &opts, &plan, err));
    (void)snprintf(plan->made_by, sizeof plan->made_by, "%s", made_by ? made_by : "");
    plan->predicted_kld = kld;
    for (size_t i = 0; i < plan->n; i++)
        EL_TRY_OUT(el_plan_set(plan, i, &others->entries[i].to, others->entries[i].method, &opts, err));
    for (size_t row = 0; row < sens->n_rows; row++) {
        const size_t i = sens->rows[row].tensor;
        const bool keep = choice[row] == EL_SENS_KEEP;
        const struct el_plan_entry *const entry = keep ? NULL : el_sens_entry(sens, row, choice[row]);
        const struct el_enc *const to = keep ? &sens->source->tensors[i].enc : &entry->to;
        EL_TRY_OUT(el_plan_set(plan, i, to, keep ? NULL : entry->method, &opts, err));
        if (!keep)
            EL_TRY_OUT(el_plan_keep_fallback(plan, i, el_plan_method_name(entry), entry->fallback, err));
        plan->entries[i].loss = keep ? 0.0 : sens->rows[row].cells[choice[row]].loss;
    }
    *out = plan;
    plan = NULL;
out:
    el_plan_free(plan);
    return status;
}

/* picked [n_items] of the knapsack to choice [n_rows] of the table. */
static void spread(const struct el_target_problem *p, const uint32_t *picked, uint32_t *choice)
{
    for (size_t row = 0; row < p->sens->n_rows; row++) {
        const struct el_item *const item = &p->items[p->group[row]];
        choice[row] = p->columns[(size_t)(item->choices - p->choices) + picked[p->group[row]]];
    }
}

static enum el_status evaluate(const struct el_target_problem *p, const uint32_t *choice, struct el_target_result *out,
                               struct el_err *err)
{
    struct el_plan *plan;
    *out = (struct el_target_result){.nbytes = 0};
    EL_TRY(el_target_plan(p->sens, choice, NULL, NAN, &plan, err));
    for (size_t i = 0; i < plan->n; i++) {
        out->tensor_nbytes += plan->entries[i].nbytes;
        out->read_nbytes += (double)plan->entries[i].nbytes * p->part[i];
        out->loss += isfinite(plan->entries[i].loss) ? plan->entries[i].loss : 0.0;
    }
    out->bits_per_weight = 8.0 * (double)out->tensor_nbytes / n_elems_of(p->sens->source);
    const enum el_status status = el_pack_nbytes(p->sens->source, plan, p->sink, &out->nbytes, err);
    el_plan_free(plan);
    return status;
}

/* What of a result the target limits. */
static double limited(const struct el_target_problem *p, const struct el_target_result *r)
{
    switch (p->target->kind) {
    case EL_TARGET_FILE: return (double)r->nbytes;
    case EL_TARGET_TENSORS: return r->bits_per_weight;
    case EL_TARGET_READ: return r->read_nbytes;
    default: return r->loss;
    }
}

/* The choices of least or most cost; sum: of these costs. */
static void pick_end(const struct el_target_problem *p, bool most, uint32_t *picked, double *sum)
{
    *sum = 0.0;
    for (size_t i = 0; i < p->n_items; i++) {
        const struct el_item *const item = &p->items[i];
        picked[i] = 0;
        for (uint32_t c = 1; c < item->n; c++) {
            const double d = item->choices[c].cost - item->choices[picked[i]].cost;
            if (most ? d > 0.0 : d < 0.0)
                picked[i] = c;
        }
        *sum += item->choices[picked[i]].cost;
    }
}

static enum el_status find_end(const struct el_target_problem *p, bool most, struct el_target_result *r, double *sum,
                               struct el_err *err)
{
    uint32_t *const picked = el_calloc_array(p->n_items, sizeof *picked);
    uint32_t *const choice = el_calloc_array(p->sens->n_rows, sizeof *choice);
    enum el_status status = picked && choice ? EL_OK : no_memory(err);
    if (status == EL_OK) {
        pick_end(p, most, picked, sum);
        spread(p, picked, choice);
        status = evaluate(p, choice, r, err);
    }
    el_free(picked);
    el_free(choice);
    return status;
}

enum el_status el_target_range(struct el_sens *sens, struct el_sink *sink, const struct el_target *target, double *least,
                               double *most, struct el_err *err)
{
    struct el_target_problem p;
    struct el_target_result r;
    double sum;
    enum el_status status = EL_OK;
    EL_TRY(el_target_open(&p, sens, sink, target, err));
    if (least) {
        EL_TRY_OUT(find_end(&p, false, &r, &sum, err));
        *least = limited(&p, &r);
    }
    if (most) {
        EL_TRY_OUT(find_end(&p, true, &r, &sum, err));
        *most = limited(&p, &r);
    }
out:
    el_target_close(&p);
    return status;
}

/* ---- solving ---- */

static enum el_status below(const struct el_target_problem *p, const struct el_target_result *least, struct el_err *err)
{
    static const char advice[] = "allow smaller types, or take a larger target";
    const double value = p->target->value;
    switch (p->target->kind) {
    case EL_TARGET_FILE:
        return el_fail(err, EL_E_USAGE, "a target of %.0f bytes cannot be met: the smallest files of these types have %llu; %s",
                       value, (unsigned long long)least->nbytes, advice);
    case EL_TARGET_TENSORS:
        return el_fail(err, EL_E_USAGE, "a target of %g bits per weight cannot be met: the least of these types is %.4f; %s",
                       value, least->bits_per_weight, advice);
    case EL_TARGET_READ:
        return el_fail(err, EL_E_USAGE, "a target of %.0f bytes per token cannot be met: the least of these types is %.0f; %s",
                       value, ceil(least->read_nbytes), advice);
    default:
        return el_fail(err, EL_E_USAGE, "a divergence of %g cannot be met: the least of these types is predicted as %g", value,
                       least->loss);
    }
}

/* What the knapsack may spend so that the target is met, as far as costs are additive. */
static double budget_of(const struct el_target_problem *p, const struct el_target_result *least, double least_cost)
{
    const double value = p->target->value;
    switch (p->target->kind) {
    case EL_TARGET_FILE: return value - ((double)least->nbytes - least_cost);
    case EL_TARGET_TENSORS: return value * n_elems_of(p->sens->source) / 8.0 - fixed_cost(p);
    case EL_TARGET_READ: return value - fixed_cost(p);
    default: return value;
    }
}

struct solutions {
    uint32_t *picked; /* [n_plans, n_items] */
    struct el_allocation *found;
    size_t n;
};

/* Solves for a budget and lays the plans out. *excess: by how much the worst of them is above the target; 0: none is. */
static enum el_status solve_once(const struct el_target_problem *p, double budget, size_t n_plans, struct solutions *s,
                                 uint32_t *choice, struct el_target_result *results, double *excess, struct el_err *err)
{
    *excess = 0.0;
    if (n_plans > 1) {
        EL_TRY(el_allocate_diverse(p->items, p->n_items, budget, n_plans, 0.0, s->picked, s->found, &s->n, err));
    } else {
        EL_TRY(el_allocate(p->items, p->n_items, budget, NULL, s->picked, s->found, err));
        s->n = 1;
    }
    for (size_t k = 0; k < s->n; k++) {
        uint32_t *const chosen = choice + k * p->sens->n_rows;
        spread(p, s->picked + k * p->n_items, chosen);
        EL_TRY(evaluate(p, chosen, &results[k], err));
        results[k].bound = s->found[k].bound;
        results[k].exact = s->found[k].exact;
        const double more = limited(p, &results[k]) - p->target->value;
        if (p->target->kind == EL_TARGET_FILE && more > *excess)
            *excess = more;
    }
    return EL_OK;
}

static enum el_status solve(const struct el_target_problem *p, size_t n_plans, struct solutions *s, uint32_t *choice,
                            struct el_target_result *results, struct el_err *err)
{
    struct el_target_result least;
    double least_cost, excess = 0.0;
    EL_TRY(find_end(p, false, &least, &least_cost, err));
    if (limited(p, &least) > p->target->value)
        return below(p, &least, err);
    double budget = budget_of(p, &least, least_cost);
    for (int i = 0; i < MOST_TRIES; i++) {
        if (budget < least_cost)
            budget = least_cost; /* rounding of a division: this plan is within the target */
        EL_TRY(solve_once(p, budget, n_plans, s, choice, results, &excess, err));
        if (excess <= 0.0)
            return EL_OK;
        budget -= excess;
    }
    return el_fail(err, EL_E_FAILED, "no plan of %.0f bytes was found: headers grow with every choice", p->target->value);
}

enum el_status el_target_solve(struct el_sens *sens, struct el_sink *sink, const struct el_target *target, size_t n_plans,
                               uint32_t *choice, struct el_target_result *results, size_t *n_found, struct el_err *err)
{
    struct el_target_problem p;
    struct solutions s = {.n = 0};
    *n_found = 0;
    if (!(target->value > 0.0 && isfinite(target->value)) || n_plans == 0)
        return el_fail(err, EL_E_USAGE, "a target of %g: must be above 0", target->value);
    EL_TRY(el_target_open(&p, sens, sink, target, err));
    s.picked = el_calloc_array(n_plans * p.n_items, sizeof *s.picked);
    s.found = el_calloc_array(n_plans, sizeof *s.found);
    const enum el_status status = s.picked && s.found ? solve(&p, n_plans, &s, choice, results, err) : no_memory(err);
    *n_found = status == EL_OK ? s.n : 0;
    el_free(s.picked);
    el_free(s.found);
    el_target_close(&p);
    return status;
}
