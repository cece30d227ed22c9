#include "cmd/quantize_target.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cmd/calibrate_text.h"
#include "cmd/json_out.h"
#include "cmd/model_io.h"
#include "cmd/pareto_svg.h"
#include "cmd/progress.h"
#include "cmd/text_out.h"
#include "cmd/util.h"

enum { WINDOW = 512, MOST_MEASURED = 8, N_POSITIONS = 64, N_FRONT = 24 };

/* Files of the folder. */
#define NAME_KEY   "key"
#define NAME_STATS "stats.gguf"
#define NAME_STATE "stats.part"
#define NAME_TABLE "table"
static const char *const names[] = {NAME_KEY, NAME_STATS, NAME_STATE, NAME_TABLE, TARGET_STATE};

/* What a run needs until the plan is there. */
struct measure {
    struct target_run *run;
    const struct target_opts *o;
    const struct pack_job *job;
    struct el_source *source;
    struct el_sink *sink;
    struct calibrate_text text;
    const char **sha256; /* of the text */
    struct el_sens *sens;
    struct el_calibrate_text measured; /* the part of the text that divergences are measured on, and */
    char *table;                       /* the file of the table: as long as it is open */
    struct progress progress;
    const char *stage;
    char **choices; /* of --types */
    struct el_sens_candidate *candidates;
    size_t n_candidates;
    struct el_target target;
    const char **types; /* "REGEX=TYPE" of --tensor-type and its kin */
    char *own_types[2]; /* those of them that were made here */
};

/* ---- options ---- */

enum el_status target_check(const struct target_opts *o, bool *given, struct el_err *err)
{
    static const char *const options[] = {"--target-size", "--target-bpw", "--target-speed", "--max-kld"};
    const bool is[] = {o->size > 0, o->bpw > 0, o->speed > 0, o->kld > 0};
    const char *first = NULL;
    for (size_t i = 0; i < sizeof is / sizeof *is; i++) {
        if (is[i] && first)
            return cmd_fail(err, EL_E_USAGE, "options '%s' and '%s' exclude each other", first, options[i]);
        if (is[i])
            first = options[i];
    }
    *given = first != NULL;
    return EL_OK;
}

static enum el_sens_metric metric_of(unsigned metric)
{
    static const enum el_sens_metric metrics[] = {EL_SENS_HESSIAN, EL_SENS_KLD, EL_SENS_SHIFTADD, EL_SENS_WEIGHT};
    return metrics[metric];
}

/* Does the metric's loss come from running the model, so that it is a divergence? */
static bool is_measured(const struct target_opts *o)
{
    return metric_of(o->metric) != EL_SENS_WEIGHT;
}

/* Are plans run before one is taken? */
static bool is_tried(const struct target_opts *o)
{
    return is_measured(o) && o->n_tries > 0;
}

static enum el_status read_choices(struct measure *m, struct el_err *err)
{
    char word[32];
    const char *p = m->o->choices;
    while (p && *p) {
        const size_t n = strcspn(p, ",");
        if (n == 0 || n >= sizeof word)
            return cmd_fail(err, EL_E_USAGE, "option '--types': '%s' is no list of types", m->o->choices);
        (void)snprintf(word, sizeof word, "%.*s", (int)n, p);
        m->choices = xrealloc(m->choices, m->n_candidates + 1, sizeof *m->choices);
        m->choices[m->n_candidates++] = xstrdup(word);
        p += n + (p[n] == ',');
    }
    m->candidates = xcalloc(m->n_candidates, sizeof *m->candidates);
    for (size_t i = 0; i < m->n_candidates; i++)
        m->candidates[i] = (struct el_sens_candidate){m->choices[i], NULL};
    return EL_OK;
}

static void read_target(struct measure *m)
{
    const struct target_opts *const o = m->o;
    struct el_target *const t = &m->target;
    *t = (struct el_target){.min_types = o->min_types.v,
                            .max_types = o->max_types.v,
                            .groups = o->same_types.v,
                            .n_min_types = o->min_types.n,
                            .n_max_types = o->max_types.n,
                            .n_groups = o->same_types.n,
                            .skips = o->skips->v,
                            .n_skips = o->skips->n};
    t->kind = o->size ? EL_TARGET_FILE : o->bpw > 0 ? EL_TARGET_TENSORS : o->speed ? EL_TARGET_READ : EL_TARGET_LOSS;
    t->value = o->size ? (double)o->size : o->bpw > 0 ? o->bpw : o->speed ? (double)o->speed : o->kld;
    m->types = xcalloc(o->types->n + 2, sizeof *m->types);
    for (; t->n_types < o->types->n; t->n_types++)
        m->types[t->n_types] = o->types->v[t->n_types];
    if (o->output_type)
        m->types[t->n_types++] = m->own_types[0] = xasprintf("^output\\.weight$=%s", o->output_type);
    if (o->embedding_type)
        m->types[t->n_types++] = m->own_types[1] = xasprintf("^token_embd\\.weight$=%s", o->embedding_type);
    t->types = m->types;
}

/* ---- stages ---- */

static void on_progress(void *user, const char *what, uint64_t done, uint64_t total)
{
    struct measure *const m = user;
    char line[96];
    const bool same = strcmp(m->stage, what) == 0;
    (void)snprintf(line, sizeof line, "%s%s%s", m->stage, same ? "" : ": ", same ? "" : what);
    progress_step(&m->progress, line, done, total);
}

static void begin_stage(struct measure *m, const char *stage)
{
    m->stage = stage;
    progress_init(&m->progress, "steps");
}

static char *in_folder(const struct measure *m, const char *name)
{
    return xasprintf("%s/%s", m->run->folder, name);
}

/* What the folder's files were made of: the model, the text, and how. */
static enum el_status make_key(const struct measure *m, char key[65], struct el_err *err)
{
    char model[65], stats[65] = "";
    CMD_TRY(el_sha256_path(m->job->in, model, err));
    if (m->job->stats)
        CMD_TRY(el_sha256_path(m->job->stats, stats, err));
    char *const text = xasprintf("%s %s %s %zu %s %s %s %u", model, stats, m->text.n_names ? m->text.sha256[0] : "",
                                 m->text.n_windows, m->text.protocol, m->o->choices ? m->o->choices : "",
                                 m->job->plan.method ? m->job->plan.method : "", m->o->metric);
    el_sha256_bytes(text, strlen(text), key);
    free(text);
    return EL_OK;
}

/* Makes the folder, or goes on with the one that a run like this has left. */
static enum el_status take_folder(struct measure *m, struct el_err *err)
{
    char key[65], *have = NULL;
    size_t nbytes = 0;
    CMD_TRY(make_key(m, key, err));
    char *const folder = xasprintf("%s.work", m->job->out);
    const bool made = mkdir(folder, 0777) == 0;
    const int number = errno;
    char *const path = xasprintf("%s/" NAME_KEY, folder);
    enum el_status status = EL_OK;
    if (!made && number != EEXIST)
        status = cmd_fail(err, EL_E_IO, "'%s': cannot make the folder: %s", folder, strerror(number));
    else if (made)
        status = el_write_file(path, key, strlen(key), false, err);
    else if (el_read_file(path, 4096, &have, &nbytes, err) != EL_OK || strcmp(have, key) != 0)
        status = cmd_fail(err, EL_E_USAGE, "'%s' is of a run with another model, text or other options: remove it first", folder);
    if (status == EL_OK)
        m->run->folder = folder;
    else if (made)
        (void)rmdir(folder);
    if (status != EL_OK)
        free(folder);
    el_free(have);
    free(path);
    return status;
}

static enum el_status read_text(struct measure *m, struct el_err *err)
{
    const struct calibrate_text_opts opts = {.paths = &m->o->text,
                                             .n_paths = m->o->text != NULL,
                                             .n_ctx = WINDOW,
                                             .max_windows = m->o->n_windows == UINT64_MAX ? 0 : m->o->n_windows};
    struct model_io io = {.path = m->job->in, .source = m->source};
    enum el_status status = model_io_tokenizer(&io, err);
    if (status == EL_OK)
        status = calibrate_text_read(&m->text, &io, &opts, err);
    el_tokenizer_close(io.tok);
    m->sha256 = xcalloc(m->text.n_names, sizeof *m->sha256);
    for (size_t i = 0; i < m->text.n_names; i++)
        m->sha256[i] = m->text.sha256[i];
    return status;
}

/* Windows [first, first + n) of the text. */
static struct el_calibrate_text part_of(const struct measure *m, size_t first, size_t n)
{
    size_t at = 0;
    for (size_t i = 0; i < first; i++)
        at += m->text.window_n[i];
    return (struct el_calibrate_text){.ids = m->text.ids + at,
                                      .window_n = m->text.window_n + first,
                                      .n_windows = n,
                                      .n_ctx = WINDOW,
                                      .names = (const char *const *)m->text.names,
                                      .sha256 = m->sha256,
                                      .n_names = m->text.n_names,
                                      .protocol = m->text.protocol};
}

/*
 * How many windows, the last of the text, divergences are measured on. Where there are enough of them the statistics see only
 * the others: what is fitted to a text is not judged by it.
 */
static size_t n_measured(const struct measure *m)
{
    const size_t wanted = m->o->n_measure ? m->o->n_measure : MOST_MEASURED;
    return wanted < m->text.n_windows ? wanted : m->text.n_windows;
}

static enum el_status calibrate(struct measure *m, struct el_err *err)
{
    struct target_run *const run = m->run;
    run->stats_path = in_folder(m, NAME_STATS);
    if (access(run->stats_path, F_OK) == 0)
        return el_source_open(run->stats_path, NULL, &run->stats, err);
    char *const state = in_folder(m, NAME_STATE);
    const size_t n = n_measured(m), n_all = m->text.n_windows;
    const struct el_calibrate_text text = part_of(m, 0, n_all >= 4 * n ? n_all - n : n_all);
    const struct el_calibrate_opts opts = {
        .process_output = true, .state_path = state, .n_threads = m->job->n_threads, .progress = on_progress, .progress_user = m};
    const struct el_sink_opts sink_opts = {.format = "gguf"};
    struct el_sink *sink = NULL;
    enum el_status status = el_sink_open(run->stats_path, &sink_opts, &sink, err);
    if (status == EL_OK) {
        begin_stage(m, "calibrate");
        status = el_calibrate(m->source, &text, sink, &opts, NULL, NULL, err);
        progress_end(&m->progress);
    }
    if (status == EL_OK)
        status = el_sink_commit(sink, err);
    if (status == EL_OK)
        (void)unlink(state);
    el_sink_close(sink);
    free(state);
    return status == EL_OK ? el_source_open(run->stats_path, NULL, &run->stats, err) : status;
}

/* text NULL: nothing is to be measured. */
static enum el_status open_table(struct measure *m, const struct el_calibrate_text *text, const char *state, struct el_err *err)
{
    struct el_source *const stats = m->job->plan.stats ? m->job->plan.stats : m->run->stats;
    const struct el_sens_opts opts = {.candidates = m->n_candidates ? m->candidates : NULL,
                                      .n_candidates = m->n_candidates,
                                      .stats = stats,
                                      .method = m->job->plan.method,
                                      .tensor_methods = m->job->plan.tensor_methods,
                                      .n_tensor_methods = m->job->plan.n_tensor_methods,
                                      .how = m->job->plan.how,
                                      .allow_requantize = m->job->plan.allow_requantize,
                                      .text = text,
                                      .n_positions = N_POSITIONS,
                                      .scratch_path = m->job->out,
                                      .state_path = state,
                                      .n_threads = m->job->n_threads,
                                      .progress = on_progress,
                                      .progress_user = m};
    return el_sens_open(m->source, &opts, &m->sens, err);
}

/* The candidate whose bits per weight are nearest to these, over all matrices that it fits. */
static size_t nearest(const struct el_sens *sens, double bits)
{
    size_t best = 0;
    double distance = INFINITY;
    for (size_t c = 0; c < el_sens_n_candidates(sens); c++) {
        double nbytes = 0, n_elems = 0;
        for (size_t i = 0; i < el_sens_n_items(sens); i++) {
            const struct el_sens_cell cell = el_sens_cell(sens, i, c);
            const struct el_sens_item item = el_sens_item(sens, i);
            nbytes += (double)cell.nbytes;
            n_elems += cell.fits ? (double)item.n_rows * (double)item.n_in : 0;
        }
        const double d = fabs(8 * nbytes / n_elems - bits);
        if (d < distance) {
            distance = d;
            best = c;
        }
    }
    return best;
}

/* Bits per weight about which predictions are to be best: those of the target. */
static double bits_wanted(const struct measure *m)
{
    double n_elems = 0;
    for (size_t i = 0; i < el_source_n_tensors(m->source); i++)
        n_elems += (double)el_source_tensor(m->source, i).n_elems;
    return m->target.kind == EL_TARGET_TENSORS              ? m->target.value
           : m->target.kind == EL_TARGET_FILE && m->o->size ? 8 * m->target.value / n_elems
                                                            : 3.5;
}

static enum el_status measure(struct measure *m, struct el_err *err)
{
    const enum el_sens_metric metric = metric_of(m->o->metric);
    begin_stage(m, "errors");
    enum el_status status = el_sens_errors(m->sens, err);
    if (status == EL_OK && metric == EL_SENS_SHIFTADD)
        status = el_sens_shiftadd(m->sens, err);
    progress_end(&m->progress);
    if (status == EL_OK && is_measured(m->o)) {
        const size_t middle = nearest(m->sens, bits_wanted(m)); /* one divergence of every matrix */
        begin_stage(m, "divergences");
        status = el_sens_divergences(m->sens, &middle, metric == EL_SENS_KLD ? 0 : 1, err);
        progress_end(&m->progress);
    }
    return status == EL_OK ? el_sens_predict(m->sens, metric, is_measured(m->o) && metric != EL_SENS_KLD, err) : status;
}

/* Can the target be met at all, as far as that is known without running anything? */
static enum el_status check_floor(struct measure *m, struct el_err *err)
{
    struct el_target_result result;
    size_t n_found = 0;
    CMD_TRY(open_table(m, NULL, NULL, err));
    uint32_t *const choice = xcalloc(el_sens_n_items(m->sens), sizeof *choice);
    enum el_status status = EL_OK;
    if (m->target.kind != EL_TARGET_LOSS && m->target.value > 0)
        status = el_target_solve(m->sens, m->sink, &m->target, 1, choice, &result, &n_found, err);
    else
        status = el_target_range(m->sens, m->sink, &m->target, &(double){0}, NULL, err);
    free(choice);
    el_sens_close(m->sens);
    m->sens = NULL;
    return status;
}

/* All up to a table that has losses. */
static enum el_status prepare(struct measure *m, struct el_err *err)
{
    CMD_TRY(read_choices(m, err));
    read_target(m);
    CMD_TRY(el_sink_open(m->job->out, &m->job->sink, &m->sink, err));
    CMD_TRY(check_floor(m, err));
    if (!is_measured(m->o))
        CMD_TRY(open_table(m, NULL, NULL, err));
    else {
        CMD_TRY(read_text(m, err));
        CMD_TRY(take_folder(m, err));
        if (!m->job->plan.stats)
            CMD_TRY(calibrate(m, err));
        const size_t n = n_measured(m);
        m->measured = part_of(m, m->text.n_windows - n, n);
        m->table = in_folder(m, NAME_TABLE);
        CMD_TRY(open_table(m, &m->measured, m->table, err));
    }
    return measure(m, err);
}

static void release(struct measure *m)
{
    el_sens_close(m->sens);
    el_sink_close(m->sink);
    free(m->table);
    calibrate_text_free(&m->text);
    for (size_t i = 0; i < m->n_candidates; i++)
        free(m->choices[i]);
    free(m->choices);
    free(m->candidates);
    free(m->sha256);
    free(m->types);
    free(m->own_types[0]);
    free(m->own_types[1]);
}

/* ---- the plan ---- */

/* Is try a better than try b? For a divergence: the smaller of those within it; else the one that diverges less. */
static bool is_better_try(const struct measure *m, const struct target_try *a, const struct target_try *b)
{
    const bool in_a = a->kld <= m->o->kld, in_b = b->kld <= m->o->kld;
    if (m->target.kind == EL_TARGET_LOSS && (in_a || in_b))
        return in_a && (!in_b || a->result.nbytes < b->result.nbytes);
    return a->kld < b->kld;
}

/* Measures the plans and adds them to those that were tried. *found: index in them of one that is better than all before. */
static enum el_status try_plans(struct measure *m, const uint32_t *choice, const struct el_target_result *results, size_t n,
                                size_t *found, struct el_err *err)
{
    struct target_run *const run = m->run;
    double *const kld = xcalloc(n, sizeof *kld);
    const bool measured = is_tried(m->o);
    enum el_status status = EL_OK;
    begin_stage(m, "validate");
    if (measured)
        status = el_sens_try(m->sens, choice, n, kld, err);
    progress_end(&m->progress);
    run->tries = xrealloc(run->tries, run->n_tries + n, sizeof *run->tries);
    *found = run->n_tries == 0 ? 0 : SIZE_MAX;
    for (size_t i = 0; i < n; i++) {
        const size_t k = run->n_tries++;
        run->tries[k] = (struct target_try){results[i], measured ? kld[i] : NAN};
        if (k == 0 || is_better_try(m, &run->tries[k], &run->tries[run->best]))
            *found = run->best = k;
    }
    free(kld);
    return status;
}

static void name_target(const struct target_opts *o, char out[64])
{
    if (o->size)
        (void)snprintf(out, 64, "--target-size %llu", (unsigned long long)o->size);
    else if (o->speed)
        (void)snprintf(out, 64, "--target-speed %llu", (unsigned long long)o->speed);
    else
        (void)snprintf(out, 64, "%s %g", o->bpw > 0 ? "--target-bpw" : "--max-kld", o->bpw > 0 ? o->bpw : o->kld);
}

/* Solves for m->target, tries the plans, and makes *plan of the best of them, when it is better than all before. */
static enum el_status solve_round(struct measure *m, struct el_plan **plan, struct el_err *err)
{
    struct target_run *const run = m->run;
    const size_t n_items = el_sens_n_items(m->sens), n_plans = is_tried(m->o) ? m->o->n_tries : 1, n_before = run->n_tries;
    uint32_t *const choice = xcalloc(n_plans * n_items, sizeof *choice);
    struct el_target_result *const results = xcalloc(n_plans, sizeof *results);
    size_t n = 0, found = SIZE_MAX;
    enum el_status status = el_target_solve(m->sens, m->sink, &m->target, n_plans, choice, results, &n, err);
    if (status == EL_OK)
        status = try_plans(m, choice, results, n, &found, err);
    if (status == EL_OK && found != SIZE_MAX) {
        const struct target_try *const best = &run->tries[found];
        const double kld = isfinite(best->kld) ? best->kld : is_measured(m->o) ? best->result.loss : (double)NAN;
        el_plan_free(*plan);
        *plan = NULL;
        status = el_target_plan(m->sens, choice + (found - n_before) * n_items, run->made_by, kld, plan, err);
    }
    free(choice);
    free(results);
    return status;
}

/*
 * A size is kept by construction. A divergence is predicted: the limit of the prediction is moved by what the best plan was
 * measured to have, until one is within the limit, and none further from it than a twentieth.
 */
static enum el_status solve(struct measure *m, struct el_plan **plan, struct el_err *err)
{
    enum { ROUNDS = 4 };
    const double wanted = m->o->kld;
    name_target(m->o, m->run->made_by);
    CMD_TRY(solve_round(m, plan, err));
    for (int i = 1; i < ROUNDS && m->target.kind == EL_TARGET_LOSS && is_tried(m->o); i++) {
        const struct target_try *const last = &m->run->tries[m->run->n_tries - 1], *const best = &m->run->tries[m->run->best];
        if (best->kld <= wanted && best->kld >= 0.95 * wanted)
            break;
        const double best_kld = best->kld, kld = best_kld > wanted || last->kld <= wanted ? best_kld : last->kld;
        m->target.value *= (kld > wanted ? 0.99 : 1.0) * wanted / fmax(kld, wanted / 4);
        struct el_err why;
        if (solve_round(m, plan, &why) != EL_OK) {
            if (best_kld > wanted || why.code != EL_E_USAGE)
                return cmd_fail(err, why.code, "%s", why.text);
            break;
        }
    }
    const struct target_try *const best = &m->run->tries[m->run->best];
    return m->target.kind == EL_TARGET_LOSS && best->kld > wanted
               ? cmd_fail(err, EL_E_USAGE, "a divergence of %g cannot be met: the least of the plans that were tried is %g",
                          wanted, best->kld)
               : EL_OK;
}

enum el_status target_plan(struct target_run *run, const struct target_opts *o, const struct pack_job *job,
                           struct el_source *source, struct el_plan **plan, struct el_err *err)
{
    struct measure m = {.run = run, .o = o, .job = job, .source = source};
    *run = (struct target_run){.o = o};
    enum el_status status = prepare(&m, err);
    if (status == EL_OK)
        status = solve(&m, plan, err);
    if (status != EL_OK) {
        el_plan_free(*plan);
        *plan = NULL;
    }
    release(&m);
    return status;
}

void target_close(struct target_run *run, enum el_status status)
{
    const bool goes_on = status == EL_E_INTERRUPTED || status == EL_E_IO || status == EL_E_MEMORY;
    el_source_close(run->stats);
    for (size_t i = 0; run->folder && !goes_on && i < sizeof names / sizeof *names; i++) {
        char *const path = xasprintf("%s/%s", run->folder, names[i]);
        (void)unlink(path);
        free(path);
    }
    if (run->folder && !goes_on)
        (void)rmdir(run->folder);
    free(run->folder);
    free(run->stats_path);
    free(run->tries);
    *run = (struct target_run){.o = NULL};
}

/* ---- what is printed ---- */

void target_print(const struct target_run *run, FILE *f)
{
    static const char *const head[] = {"plan", "bytes", "bits per weight", "read per token", "predicted", "measured", ""};
    struct table t;
    table_init(&t, "rrrrrrl");
    for (size_t i = 0; i < sizeof head / sizeof *head; i++)
        table_add(&t, "%s", head[i]);
    for (size_t i = 0; i < run->n_tries; i++) {
        const struct target_try *const tried = &run->tries[i];
        table_add(&t, "%zu", i + 1);
        table_add(&t, "%llu", (unsigned long long)tried->result.nbytes);
        table_add(&t, "%.4f", tried->result.bits_per_weight);
        table_add(&t, "%.0f", tried->result.read_nbytes);
        table_add(&t, "%.5g", tried->result.loss);
        if (isfinite(tried->kld))
            table_add(&t, "%.5g", tried->kld);
        else
            table_add(&t, "-");
        table_add(&t, "%s", i == run->best ? "taken" : "");
    }
    table_print(&t, f);
    table_free(&t);
}

static void json_result(struct json_out *j, const struct el_target_result *r, double kld)
{
    json_kuint(j, "nbytes", r->nbytes);
    json_kuint(j, "tensor_nbytes", r->tensor_nbytes);
    json_knum(j, "bits_per_weight", r->bits_per_weight);
    json_knum(j, "read_nbytes_per_token", r->read_nbytes);
    json_knum(j, "predicted", r->loss);
    json_knum(j, "measured_kld", kld);
    json_knum(j, "bound", r->bound);
    json_kbool(j, "exact", r->exact);
}

void target_json(const struct target_run *run, struct json_out *j)
{
    json_kstr(j, "target", run->made_by);
    json_kuint(j, "plan_taken", run->best);
    json_key(j, "plans");
    json_array(j, false);
    for (size_t i = 0; i < run->n_tries; i++) {
        json_object(j);
        json_result(j, &run->tries[i].result, run->tries[i].kld);
        json_end_object(j);
    }
    json_end_array(j);
}

/* ---- the front ---- */

struct front {
    uint32_t *choice; /* [n, n_items] */
    struct el_target_result *results;
    double *kld; /* NaN: not measured */
    size_t n;
};

/* Does the plan behind the last one of the front lose less than it? */
static bool is_better(const struct front *f)
{
    return f->n == 0 || f->results[f->n].loss < f->results[f->n - 1].loss;
}

static enum el_status find_front(struct measure *m, struct front *f, struct el_err *err)
{
    const size_t n_items = el_sens_n_items(m->sens);
    double least, most;
    m->target.kind = EL_TARGET_FILE;
    CMD_TRY(el_target_range(m->sens, m->sink, &m->target, &least, &most, err));
    f->choice = xcalloc((N_FRONT + 1) * n_items, sizeof *f->choice);
    f->results = xcalloc(N_FRONT + 1, sizeof *f->results);
    f->kld = xcalloc(N_FRONT + 1, sizeof *f->kld);
    for (unsigned i = 0; i < N_FRONT; i++) {
        size_t n_found = 0;
        m->target.value = floor(least * pow(most / least, (double)i / (N_FRONT - 1)));
        if (m->target.value < least)
            m->target.value = least;
        CMD_TRY(el_target_solve(m->sens, m->sink, &m->target, 1, f->choice + f->n * n_items, &f->results[f->n], &n_found, err));
        if (is_better(f))
            f->kld[f->n++] = NAN;
    }
    begin_stage(m, "validate");
    enum el_status status = EL_OK;
    if (is_tried(m->o))
        status = el_sens_try(m->sens, f->choice, f->n, f->kld, err);
    progress_end(&m->progress);
    return status;
}

static enum el_status write_front(const struct measure *m, const struct front *f, const char *path, struct el_err *err)
{
    char *text = NULL;
    size_t nbytes = 0;
    FILE *const memory = open_memstream(&text, &nbytes);
    if (!memory)
        return cmd_fail(err, EL_E_MEMORY, "'%s': out of memory", path);
    struct json_out j;
    json_init(&j, memory, false);
    json_object(&j);
    json_kstr(&j, "input", m->job->in);
    json_kstr(&j, "sensitivity", is_measured(m->o) ? "kld" : "weight");
    json_key(&j, "front");
    json_array(&j, false);
    for (size_t i = 0; i < f->n; i++) {
        json_object(&j);
        json_result(&j, &f->results[i], f->kld[i]);
        json_end_object(&j);
    }
    json_end_array(&j);
    json_end_object(&j);
    json_finish(&j);
    const bool written = fclose(memory) == 0;
    enum el_status status = written ? el_write_file(path, text, nbytes, m->job->sink.overwrite, err)
                                    : cmd_fail(err, EL_E_MEMORY, "'%s': out of memory", path);
    free(text);
    return status;
}

static enum el_status draw_front(const struct measure *m, const struct front *f, const char *path, struct el_err *err)
{
    struct pareto_point *const points = xcalloc(f->n, sizeof *points);
    for (size_t i = 0; i < f->n; i++)
        points[i] =
            (struct pareto_point){(double)f->results[i].nbytes, f->results[i].bits_per_weight, f->results[i].loss, f->kld[i]};
    char name[256];
    path_base(m->job->in, name, sizeof name);
    char *const svg =
        pareto_svg(name, is_measured(m->o) ? "KL divergence (nats per token)" : "sum of relative errors", points, f->n);
    const enum el_status status = el_write_file(path, svg, strlen(svg), m->job->sink.overwrite, err);
    free(svg);
    free(points);
    return status;
}

enum el_status target_pareto(const struct target_opts *o, const struct pack_job *job, const char *path, struct el_err *err)
{
    struct target_run run = {.o = o};
    struct measure m = {.run = &run, .o = o, .job = job};
    struct front f = {.n = 0};
    struct el_source *stats = NULL;
    struct pack_job with_stats = *job;
    const struct el_source_opts opts = {.tokenizer = job->tokenizer};
    const size_t n_path = strlen(path) - (ends_with(path, ".json") ? 5 : 0);
    char *const svg = xasprintf("%.*s.svg", (int)n_path, path);
    enum el_status status = EL_OK;
    struct stat st;
    if (!job->sink.overwrite && (lstat(path, &st) == 0 || lstat(svg, &st) == 0)) {
        status = cmd_fail(err, EL_E_IO, "'%s': output exists already and overwriting was not asked for",
                          lstat(path, &st) == 0 ? path : svg);
        err->reason = EL_REASON_EXISTS;
        goto out;
    }
    CMD_TRY_OUT(el_source_open(job->in, &opts, &m.source, err));
    for (size_t i = 0; i < job->overrides->n; i++)
        CMD_TRY_OUT(el_source_override(m.source, job->overrides->v[i], err));
    if (job->stats) {
        CMD_TRY_OUT(el_source_open(job->stats, NULL, &stats, err));
        with_stats.plan.stats = stats;
    }
    m.job = &with_stats;
    CMD_TRY_OUT(prepare(&m, err));
    CMD_TRY_OUT(find_front(&m, &f, err));
    CMD_TRY_OUT(write_front(&m, &f, path, err));
    CMD_TRY_OUT(draw_front(&m, &f, svg, err));
out:
    release(&m);
    target_close(&run, status);
    el_source_close(m.source);
    el_source_close(stats);
    free(f.choice);
    free(f.results);
    free(f.kld);
    free(svg);
    return status;
}
