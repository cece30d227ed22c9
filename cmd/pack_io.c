#include "cmd/pack_io.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cmd/json_out.h"
#include "cmd/pack_report.h"
#include "cmd/plan_io.h"
#include "cmd/progress.h"
#include "cmd/quantize_target.h"
#include "cmd/text_out.h"
#include "cmd/totals.h"
#include "cmd/util.h"

struct pack_state {
    const struct pack_job *job;
    const struct el_plan *plan;
    size_t n_rows;
    struct pack_report report;
    uint64_t nbytes; /* of all files; 0: not known */
    struct target_run target;
};

static void print_fallbacks(const struct pack_state *s)
{
    for (size_t i = 0; i < s->n_rows; i++) {
        const struct el_plan_row row = el_plan_row(s->plan, i);
        if (!row.fallback)
            continue;
        char *const name = text_line(row.from.name, strlen(row.from.name), 0), *const why = text_line(row.fallback,
                                                                                                      strlen(row.fallback), 0);
        (void)fprintf(stderr, "fallback: %s: %s: %s\n", name, row.to, why);
        free(name);
        free(why);
    }
}

static void sum_plan(const struct pack_state *s, struct totals *before, struct totals *after)
{
    *before = *after = (struct totals){.n = 0};
    for (size_t i = 0; i < s->n_rows; i++) {
        const struct el_plan_row row = el_plan_row(s->plan, i);
        if (row.from.nbytes > 0 || row.nbytes == 0) /* else it is new: a fold made it */
            totals_add(before, row.from.encoding, row.from.n_elems, row.from.nbytes);
        totals_add(after, row.to, row.from.n_elems, row.nbytes);
    }
}

static void print_summary(const struct pack_state *s, FILE *f)
{
    struct totals before, after;
    char a[32], b[32];
    sum_plan(s, &before, &after);
    (void)fprintf(f, "%zu tensors: %s (%.2f bits per weight) -> %s (%.2f bits per weight)", s->n_rows,
                  text_nbytes(before.all.nbytes, a), totals_bpw(before.all.n_elems, before.all.nbytes),
                  text_nbytes(after.all.nbytes, b), totals_bpw(after.all.n_elems, after.all.nbytes));
    for (size_t i = 0; i < after.n; i++)
        (void)fprintf(f, "%s %llu %s", i ? "," : ";", (unsigned long long)after.of[i].n_tensors, after.of[i].encoding);
    if (s->nbytes)
        (void)fprintf(f, "; %llu bytes in all", (unsigned long long)s->nbytes);
    (void)fputc('\n', f);
}

/* folder/name, or name when the folder is "". free() it. */
static char *join_path(const char *folder, const char *name)
{
    const size_t n = strlen(folder), nbytes = n + strlen(name) + 2;
    char *const path = xcalloc(nbytes, 1);
    const char *const slash = n > 0 && folder[n - 1] != '/' ? "/" : "";
    (void)snprintf(path, nbytes, "%s%s%s", folder, slash, name);
    return path;
}

/* Where a model went that is more than the one file OUT. */
static void print_files(const struct pack_state *s, const struct el_sink *sink, FILE *f)
{
    size_t n = 0;
    while (el_sink_file(sink, n))
        n++;
    if (n < 2)
        return;
    (void)fprintf(f, "%zu files:", n);
    for (size_t i = 0; i < n; i++) {
        char *const name = text_line(el_sink_file(sink, i), strlen(el_sink_file(sink, i)), 0);
        if (n <= 4 || i < 2 || i == n - 1)
            (void)fprintf(f, " %s", name);
        else if (i == 2)
            (void)fputs(" ...", f);
        free(name);
    }
    char *const folder = text_line(s->job->out, strlen(s->job->out), 0);
    const bool in_folder = strcmp(s->job->sink.format, "hf") == 0;
    (void)fprintf(f, "%s%s\n", in_folder ? " in " : "", in_folder ? folder : "");
    free(folder);
}

static void print_json(const struct pack_state *s, const struct el_sink *sink)
{
    struct json_out j;
    struct totals before, after;
    sum_plan(s, &before, &after);
    json_init(&j, stdout, false);
    json_object(&j);
    json_kstr(&j, "input", s->job->in);
    json_kstr(&j, "output", s->job->out);
    if (sink) {
        json_key(&j, "files");
        json_array(&j, false);
        const bool in_folder = strcmp(s->job->sink.format, "hf") == 0;
        for (size_t i = 0; el_sink_file(sink, i); i++) {
            char *const path = join_path(in_folder ? s->job->out : "", el_sink_file(sink, i));
            json_str(&j, path);
            free(path);
        }
        json_end_array(&j);
    }
    json_kstr(&j, "format", s->job->sink.format);
    json_kstr(&j, "type", s->job->plan.type);
    json_kbool(&j, "dry_run", s->job->dry_run);
    json_kuint(&j, "n_params", before.all.n_elems);
    json_kuint(&j, "nbytes_before", before.all.nbytes);
    json_kuint(&j, "nbytes_after", after.all.nbytes);
    if (s->nbytes)
        json_kuint(&j, "nbytes_files", s->nbytes);
    json_knum(&j, "bits_per_weight_before", totals_bpw(before.all.n_elems, before.all.nbytes));
    json_knum(&j, "bits_per_weight_after", totals_bpw(after.all.n_elems, after.all.nbytes));
    if (s->job->target)
        target_json(&s->target, &j);
    json_key(&j, "tensors");
    json_array(&j, false);
    for (size_t i = 0; i < s->n_rows; i++)
        pack_report_json(&s->report, &j, i, false);
    json_end_array(&j);
    json_end_object(&j);
    json_finish(&j);
}

static void warn_nonfinite(const struct pack_state *s)
{
    for (size_t i = 0; i < s->n_rows; i++) {
        if (!s->report.rows[i].told.n_nonfinite)
            continue;
        const struct el_plan_row row = el_plan_row(s->plan, i);
        char *const name = text_line(row.from.name, strlen(row.from.name), 0);
        (void)fprintf(stderr, "edgellm: warning: tensor '%s': %llu NaN or infinite weights became zero\n", name,
                      (unsigned long long)s->report.rows[i].told.n_nonfinite);
        free(name);
    }
}

/* state: NULL, or the path of the file in which what is done is kept. */
static enum el_status write_output(struct pack_state *s, struct el_source *source, struct el_sink *sink, const char *state,
                                   struct el_err *err)
{
    const struct el_pack_opts opts = {
        .n_threads = s->job->n_threads,
        .max_nbytes = s->job->max_nbytes,
        .nan_to_zero = s->job->nan_to_zero,
        .state_path = state,
        .progress = progress_step,
        .progress_user = &s->report.progress,
        .report = pack_report_add,
        .report_user = &s->report,
    };
    if (s->job->report)
        CMD_TRY(pack_report_open(&s->report, s->job->report, s->job->sink.overwrite || s->job->resume, err));
    if (s->job->verbose || (s->job->live && isatty(2) == 1 && !progress_is_quiet()))
        pack_report_live(&s->report);
    progress_init(&s->report.progress, "B");
    const enum el_status status = el_pack(source, s->plan, sink, &opts, err);
    progress_end(&s->report.progress);
    CMD_TRY(status);
    CMD_TRY(pack_report_close(&s->report, err));
    return el_sink_commit(sink, err);
}

/*
 * Opens what quantize has written and compares it with the plan. Not what convert has: of two that write one set at the same
 * time, the other's parts may stand here by now.
 */
static enum el_status check_written(const struct pack_state *s, const struct el_sink *sink, struct el_err *err)
{
    struct el_source *written = NULL;
    if (!s->job->live || strcmp(s->job->sink.format, "gguf") != 0)
        return EL_OK;
    CMD_TRY(el_source_open(el_sink_file(sink, 0), NULL, &written, err));
    const enum el_status status = el_plan_check(s->plan, written, err);
    el_source_close(written);
    return status;
}

/* A plan; when only --allow-requantize was missing, the error says so. */
static enum el_status make_plan(const struct pack_job *job, const struct el_source *source, struct el_plan **plan,
                                struct el_err *err)
{
    struct el_err why;
    const enum el_status status = el_plan_make(source, &job->plan, plan, &why);
    if (status == EL_OK)
        return EL_OK;
    struct el_plan_opts allowed = job->plan;
    allowed.allow_requantize = true;
    if (status != EL_E_USAGE || job->plan.allow_requantize || el_plan_make(source, &allowed, plan, err) != EL_OK)
        return cmd_fail(err, status, "%s", why.text);
    el_plan_free(*plan);
    *plan = NULL;
    return cmd_fail(err, status, "%s (see --allow-requantize)", why.text);
}

/* What would stop the real run before its first byte: no folder for OUT, a file of that name. Shards have other names. */
static enum el_status check_output(const struct pack_job *job, struct el_err *err)
{
    struct stat st;
    const bool shards = job->sink.split_as_source || job->sink.split_max_nbytes || job->sink.split_max_tensors;
    size_t n = strlen(job->out);
    while (n > 1 && job->out[n - 1] == '/')
        n--;
    while (n > 0 && job->out[n - 1] != '/')
        n--;
    char *const folder = n ? xasprintf("%.*s", (int)n, job->out) : xstrdup(".");
    const bool has_folder = path_is_folder(folder);
    free(folder);
    if (!has_folder)
        return cmd_fail(err, EL_E_IO, "'%s': the output's folder does not exist", job->out);
    if (strcmp(job->sink.format, "hf") == 0 || shards || job->sink.overwrite || lstat(job->out, &st) != 0)
        return EL_OK;
    (void)cmd_fail(err, EL_E_IO, "'%s': output exists already and overwriting was not asked for", job->out);
    err->reason = EL_REASON_EXISTS;
    return EL_E_IO;
}

/* What the person will not get, although nothing fails. */
static void warn_of_input(const struct pack_job *job, const struct el_source *source)
{
    if (progress_is_quiet())
        return;
    if (strcmp(el_source_format(source), "safetensors") == 0 && strcmp(job->sink.format, "safetensors") != 0)
        (void)fprintf(stderr,
                      "edgellm: warning: the input is weights alone, without config.json beside them: so is the output\n");
    const size_t n = el_source_n_tensors(source);
    bool one_file = job->sink.split_as_source;
    for (size_t i = 1; i < n && one_file; i++)
        one_file = strcmp(el_source_tensor(source, i).file, el_source_tensor(source, i - 1).file) == 0;
    if (one_file)
        (void)fprintf(stderr, "edgellm: warning: --keep-split: the input is one file, so the output is one file\n");
}

/* What the files will have in bytes, of formats and methods that can tell. */
static enum el_status find_nbytes(struct pack_state *s, struct el_source *source, struct el_err *err)
{
    struct el_sink *sink;
    if (strcmp(s->job->sink.format, "gguf") != 0)
        return EL_OK;
    CMD_TRY(el_sink_open(s->job->out, &s->job->sink, &sink, err));
    const enum el_status status = el_pack_nbytes(source, s->plan, sink, &s->nbytes, err);
    el_sink_close(sink);
    return status == EL_E_UNSUPPORTED ? EL_OK : status;
}

enum el_status pack_io_run(const struct pack_job *job, struct el_err *err)
{
    struct el_source *source = NULL, *stats = NULL;
    struct el_plan *plan = NULL;
    struct el_sink *sink = NULL;
    char *state = NULL;
    struct pack_state s = {.job = job};
    const struct el_source_opts opts = {.tokenizer = job->tokenizer};
    enum el_status status = EL_OK;

    if (strcmp(job->in, "-") == 0 || strcmp(job->out, "-") == 0)
        return cmd_fail(err, EL_E_USAGE, "'-': a model is not %s (a file of this name is ./-)",
                        strcmp(job->in, "-") == 0 ? "read from standard input" : "written to standard output");
    CMD_TRY_OUT(el_source_open(job->in, &opts, &source, err));
    for (size_t i = 0; i < job->overrides->n; i++)
        CMD_TRY_OUT(el_source_override(source, job->overrides->v[i], err));
    struct pack_job with_stats = *job;
    if (job->stats) {
        CMD_TRY_OUT(el_source_open(job->stats, NULL, &stats, err));
        with_stats.plan.stats = stats;
    }
    if (job->target) /* takes long: what would stop the end is found first */
        CMD_TRY_OUT(check_output(job, err));
    if (job->target)
        CMD_TRY_OUT(target_plan(&s.target, job->target, &with_stats, source, &plan, err));
    else if (job->plan_in)
        CMD_TRY_OUT(plan_io_read(&with_stats, source, &plan, err));
    else
        CMD_TRY_OUT(make_plan(&with_stats, source, &plan, err));
    if (s.target.stats_path)
        with_stats.stats = s.target.stats_path;
    warn_of_input(job, source);
    s.plan = plan;
    s.n_rows = el_plan_n_rows(plan);
    if (s.n_rows == 0 && !job->plan.for_convert) {
        status = cmd_fail(err, EL_E_UNSUPPORTED, "'%s' has no weights to quantize", job->in);
        goto out;
    }
    pack_report_init(&s.report, plan);
    print_fallbacks(&s);
    if (job->dry_run)
        CMD_TRY_OUT(check_output(job, err));
    CMD_TRY_OUT(find_nbytes(&s, source, err));
    if (job->plan_out)
        CMD_TRY_OUT(plan_io_write(&with_stats, plan, s.nbytes, err));
    if (!job->dry_run) {
        CMD_TRY_OUT(el_sink_open(job->out, &job->sink, &sink, err));
        if (job->resume)
            state = s.target.folder ? xasprintf("%s/" TARGET_STATE, s.target.folder) : xasprintf("%s.part", job->out);
        CMD_TRY_OUT(write_output(&s, source, sink, state, err));
        if (state)
            (void)unlink(state);
        CMD_TRY_OUT(check_written(&s, sink, err));
        warn_nonfinite(&s);
    }
    if (job->json)
        print_json(&s, sink);
    if (job->dry_run && (job->verbose || !job->json))
        pack_report_print(&s.report, job->json ? stderr : stdout);
    if (job->target && !job->json && !progress_is_quiet())
        target_print(&s.target, job->dry_run ? stdout : stderr);
    if (!job->json && !progress_is_quiet())
        print_summary(&s, job->dry_run ? stdout : stderr);
    if (!job->json && !progress_is_quiet() && sink)
        print_files(&s, sink, stderr);
out:
    el_sink_close(sink);
    el_plan_free(plan);
    target_close(&s.target, status);
    el_source_close(source);
    el_source_close(stats);
    pack_report_free(&s.report);
    free(state);
    return status;
}
