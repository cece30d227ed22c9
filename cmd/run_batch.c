#include "cmd/run_batch.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/progress.h"
#include "cmd/run_chat.h"
#include "cmd/run_json.h"
#include "cmd/run_request.h"
#include "cmd/run_writer.h"
#include "cmd/util.h"

#define MAX_INPUT_NBYTES (4ull << 30)
#define AUTO_KV_NBYTES   (1ull << 30)
enum { AUTO_PARALLEL = 32 };

/* A line and what became of it. */
struct job {
    size_t line; /* from 1 */
    struct run_request r;
    struct writer w;
    struct el_grammar *grammar; /* the line's own */
    size_t n_run;               /* tokens of prompt and text that were run or are in the batch */
    struct el_err err;          /* code EL_OK: none */
    bool ended;
};

struct batch {
    const struct run_args *a;
    struct model_io *io;
    const struct el_grammar *grammar;
    struct el_chat *chat; /* opened when a line needs it */
    struct job *jobs;
    size_t n_jobs, n_begun, n_printed, n_failed;
    struct job **seqs; /* [n_seqs] who writes there; NULL: free */
    uint32_t n_seqs, n_ctx;
    struct el_row *rows;
    struct job **of_row;
    size_t n_rows;
    size_t n_prompt_tokens, n_text_tokens;
};

/* ---- output ---- */

static enum el_status print_job(struct job *job, struct el_err *err)
{
    struct json_out j;
    char *id = NULL;
    size_t nbytes = 0;
    json_init(&j, stdout, true);
    json_object(&j);
    json_kuint(&j, "line", job->line);
    if (job->r.id) {
        CMD_TRY(el_json_print(job->r.id, &id, &nbytes, err));
        json_key(&j, "id");
        json_raw(&j, id);
        el_free(id);
    }
    if (job->err.code == EL_OK) {
        CMD_TRY(run_json_text(&j, &job->w, err));
    } else {
        json_key(&j, "error");
        json_object(&j);
        json_kint(&j, "code", job->err.code);
        json_kstr(&j, "message", job->err.text);
        json_end_object(&j);
    }
    json_end_object(&j);
    json_finish(&j);
    if (fflush(stdout) != 0)
        return cmd_fail(err, EL_E_IO, "standard output: %s", strerror(errno));
    return EL_OK;
}

static void release(struct job *job)
{
    writer_close(&job->w);
    el_grammar_close(job->grammar);
    job->grammar = NULL;
    run_request_close(&job->r);
}

/* Errors that know of no lines say which one it was. */
static void name_line(struct job *job)
{
    struct el_err copy = job->err;
    char what[32];
    (void)snprintf(what, sizeof what, "line %zu: ", job->line);
    if (job->err.code != EL_OK && strncmp(copy.text, what, strlen(what)) != 0)
        (void)cmd_fail(&job->err, copy.code, "%s%s", what, copy.text);
}

/* The job is over: prints it, or all that have waited for it. */
static enum el_status end_job(struct batch *b, struct job *job, struct el_err *err)
{
    job->ended = true;
    name_line(job);
    b->n_failed += job->err.code != EL_OK;
    b->n_prompt_tokens += job->w.n_prompt;
    b->n_text_tokens += job->w.n_ids;
    if (b->a->as_finished) {
        CMD_TRY(print_job(job, err));
        release(job);
        return EL_OK;
    }
    for (; b->n_printed < b->n_jobs && b->jobs[b->n_printed].ended; b->n_printed++) {
        CMD_TRY(print_job(&b->jobs[b->n_printed], err));
        release(&b->jobs[b->n_printed]);
    }
    return EL_OK;
}

/* ---- input ---- */

static enum el_status render(struct batch *b, const struct job *job, const char *what, char **text, size_t *nbytes,
                             struct el_err *err)
{
    if (!b->chat)
        CMD_TRY(chat_open(b->a, b->io, &b->chat, err));
    return job->r.messages ? chat_render_messages(b->chat, &job->r.a, job->r.messages, what, text, nbytes, err)
                           : chat_render_user(b->chat, &job->r.a, job->r.prompt, text, nbytes, err);
}

/* Reads a line as far as needs no session: its tokens say how long the context must be. */
static enum el_status prepare(struct batch *b, struct job *job, const char *line, size_t nbytes, struct el_err *err)
{
    char what[32], *text = NULL;
    size_t n_text = 0;
    (void)snprintf(what, sizeof what, "line %zu", job->line);
    CMD_TRY(run_request_read(&job->r, b->a, line, nbytes, what, err));
    job->w = (struct writer){.a = &job->r.a, .io = b->io};
    const bool chat = b->a->chat || job->r.messages;
    if (chat)
        CMD_TRY(render(b, job, what, &text, &n_text, err));
    const char *const prompt = chat ? text : job->r.prompt;
    enum el_status status = writer_prompt(&job->w, prompt, strlen(prompt), chat, writer_context(b->a, &b->io->info), err);
    if (status == EL_OK && job->r.a.echo)
        status = writer_echo(&job->w, prompt, strlen(prompt), err);
    el_free(text);
    return status;
}

static bool is_blank(const char *line, size_t nbytes)
{
    for (size_t i = 0; i < nbytes; i++)
        if (!strchr(" \t\r", line[i]))
            return false;
    return true;
}

static void read_lines(struct batch *b, const char *text, size_t nbytes)
{
    size_t cap = 0, line = 0;
    for (size_t at = 0; at < nbytes;) {
        const char *const end = memchr(text + at, '\n', nbytes - at);
        const size_t n = end ? (size_t)(end - text) - at : nbytes - at;
        line++;
        if (!is_blank(text + at, n)) {
            if (b->n_jobs == cap) {
                cap = cap ? 2 * cap : 64;
                b->jobs = xrealloc(b->jobs, cap, sizeof *b->jobs);
            }
            b->jobs[b->n_jobs++] = (struct job){.line = line};
        }
        at += n + 1;
    }
    /* Only now do the jobs stay where they are: their writers point into them. */
    size_t i = 0;
    line = 0;
    for (size_t at = 0; at < nbytes;) {
        const char *const end = memchr(text + at, '\n', nbytes - at);
        const size_t n = end ? (size_t)(end - text) - at : nbytes - at;
        line++;
        if (i < b->n_jobs && b->jobs[i].line == line) {
            struct job *const job = &b->jobs[i++];
            (void)prepare(b, job, text + at, n, &job->err);
        }
        at += n + 1;
    }
}

/* ---- sequences ---- */

static enum el_status open_session(struct batch *b, struct el_err *err)
{
    const struct run_args *const a = b->a;
    const struct el_model_info *const info = &b->io->info;
    size_t n_ready = 0;
    for (size_t i = 0; i < b->n_jobs; i++) {
        const uint32_t n = writer_n_positions(&b->jobs[i].w);
        n_ready += b->jobs[i].err.code == EL_OK;
        if (b->jobs[i].err.code == EL_OK && n > b->n_ctx)
            b->n_ctx = n;
    }
    if (n_ready == 0)
        return EL_OK;
    const uint64_t per_seq = 8ull * info->n_layers * info->n_kv_heads * info->d_head * b->n_ctx;
    const uint64_t fit = per_seq < AUTO_KV_NBYTES ? AUTO_KV_NBYTES / (per_seq ? per_seq : 1) : 1;
    const uint64_t usual = fit < AUTO_PARALLEL ? fit : AUTO_PARALLEL, wanted = a->n_parallel ? a->n_parallel : usual;
    b->n_seqs = (uint32_t)(wanted < n_ready ? wanted : n_ready);
    const struct el_session_opts opts = {
        .n_ctx = b->n_ctx,
        .n_seqs = b->n_seqs,
        .n_batch = (uint32_t)(a->n_batch > b->n_seqs ? a->n_batch : b->n_seqs),
        .kv_type_k = opts_kv_type(a->kv_k),
        .kv_type_v = opts_kv_type(a->kv_v),
        .n_threads = opts_threads(a->n_threads),
    };
    CMD_TRY(model_io_session(b->io, &opts, err));
    b->seqs = xcalloc(b->n_seqs, sizeof(struct job *));
    b->rows = xcalloc(opts.n_batch, sizeof *b->rows);
    b->of_row = xcalloc(opts.n_batch, sizeof(struct job *));
    return EL_OK;
}

static enum el_status begin_job(struct batch *b, struct job *job, struct el_err *err)
{
    const struct el_grammar *grammar = b->grammar;
    if (job->r.has_own_grammar) {
        CMD_TRY(run_grammar_open(&job->r.a.grammar, b->io->tok, &job->grammar, err));
        grammar = job->grammar;
    }
    return writer_open(&job->w, grammar, err);
}

/* Gives free sequences to the next lines. */
static enum el_status fill(struct batch *b, struct el_err *err)
{
    for (uint32_t s = 0; s < b->n_seqs; s++) {
        while (b->n_begun < b->n_jobs && !b->seqs[s]) {
            struct job *const job = &b->jobs[b->n_begun++];
            if (job->err.code == EL_OK)
                (void)begin_job(b, job, &job->err);
            if (job->err.code != EL_OK || job->w.done) {
                CMD_TRY(end_job(b, job, err));
                continue;
            }
            el_session_rewind(b->io->session, s, 0);
            b->seqs[s] = job;
        }
    }
    return EL_OK;
}

static void add_row(struct batch *b, uint32_t s, bool want_logits)
{
    struct job *const job = b->seqs[s];
    const struct writer *const w = &job->w;
    b->of_row[b->n_rows] = want_logits ? job : NULL;
    b->rows[b->n_rows++] = (struct el_row){
        .token = job->n_run < w->n_prompt ? w->prompt[job->n_run] : w->ids[job->n_run - w->n_prompt],
        .seq = s,
        .pos = (uint32_t)job->n_run,
        .want_logits = want_logits,
    };
    job->n_run++;
}

/* One row of every text that is being written, and as much of new prompts as there is room for. */
static void gather(struct batch *b)
{
    const size_t n_batch = el_session_n_batch(b->io->session);
    b->n_rows = 0;
    for (uint32_t s = 0; s < b->n_seqs; s++)
        if (b->seqs[s] && b->seqs[s]->n_run >= b->seqs[s]->w.n_prompt)
            add_row(b, s, true);
    for (uint32_t s = 0; s < b->n_seqs; s++)
        while (b->seqs[s] && b->seqs[s]->n_run < b->seqs[s]->w.n_prompt && b->n_rows < n_batch)
            add_row(b, s, b->seqs[s]->n_run + 1 == b->seqs[s]->w.n_prompt);
}

static enum el_status step(struct batch *b, struct el_err *err)
{
    gather(b);
    CMD_TRY(el_session_decode(b->io->session, b->rows, b->n_rows, err));
    for (size_t i = 0; i < b->n_rows; i++) {
        struct job *const job = b->of_row[i];
        if (!job)
            continue;
        (void)writer_step(&job->w, el_session_logits(b->io->session, i), &job->err);
        if (job->err.code == EL_OK && !job->w.done)
            continue;
        b->seqs[b->rows[i].seq] = NULL;
        CMD_TRY(end_job(b, job, err));
    }
    return EL_OK;
}

static bool any_runs(const struct batch *b)
{
    for (uint32_t s = 0; s < b->n_seqs; s++)
        if (b->seqs[s])
            return true;
    return false;
}

static enum el_status run_all(struct batch *b, struct el_err *err)
{
    const uint64_t start = now_ns();
    while (b->n_seqs == 0 && b->n_begun < b->n_jobs) /* no line is good */
        CMD_TRY(end_job(b, &b->jobs[b->n_begun++], err));
    for (;;) {
        CMD_TRY(fill(b, err));
        if (!any_runs(b))
            break;
        CMD_TRY(step(b, err));
    }
    if (b->a->timings) {
        const double seconds = (double)(now_ns() - start) * 1e-9;
        (void)fprintf(stderr, "%zu prompts, %u at a time: %zu tokens of prompts and %zu of text in %.2f ms, %.2f tokens/s\n",
                      b->n_jobs, (unsigned)b->n_seqs, b->n_prompt_tokens, b->n_text_tokens, seconds * 1e3,
                      seconds > 0 ? (double)(b->n_prompt_tokens + b->n_text_tokens) / seconds : 0.0);
    }
    return EL_OK;
}

enum el_status run_batch(const struct run_args *a, struct model_io *io, const struct el_grammar *grammar, struct el_err *err)
{
    struct run_args fixed = *a;
    struct batch b = {.a = &fixed, .io = io, .grammar = grammar};
    char *text = NULL;
    size_t nbytes = 0;
    CMD_TRY(run_args_seed(a, &fixed.seed, err));
    if (a->seed == UINT64_MAX && !progress_is_quiet())
        (void)fprintf(stderr, "seed: %llu\n", (unsigned long long)fixed.seed);
    enum el_status status = EL_OK;
    if (a->chat) /* every line needs the template */
        CMD_TRY_OUT(chat_open(b.a, io, &b.chat, err));
    CMD_TRY_OUT(el_read_file(a->jsonl, MAX_INPUT_NBYTES, &text, &nbytes, err));
    read_lines(&b, text, nbytes);
    el_free(text);
    CMD_TRY_OUT(open_session(&b, err));
    CMD_TRY_OUT(run_all(&b, err));
    if (b.n_failed)
        status = cmd_fail(err, EL_E_PARTIAL, "%zu of %zu prompts failed; their lines say why", b.n_failed, b.n_jobs);
out:
    for (size_t i = 0; i < b.n_jobs; i++)
        release(&b.jobs[i]);
    free(b.jobs);
    free(b.seqs);
    free(b.rows);
    free(b.of_row);
    el_chat_close(b.chat);
    return status;
}
