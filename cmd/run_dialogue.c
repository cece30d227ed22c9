/* The conversation at a terminal; see run_chat.h. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cmd/process.h"
#include "cmd/progress.h"
#include "cmd/run_chat.h"
#include "cmd/run_session.h"
#include "cmd/run_writer.h"
#include "cmd/util.h"

struct dialogue {
    const struct run_args *a;
    struct model_io *io;
    const struct el_grammar *grammar;
    struct el_chat *chat;
    struct el_chat_message *messages; /* roles are static, contents owned */
    size_t n_messages;
    int32_t *held; /* tokens that the session has run */
    size_t n_held;
    uint32_t n_ctx;
    bool visible; /* standard output is a terminal */
    FILE *marks;  /* where prompt markers go: not into a file that gets the answers */
};

static void add_message(struct dialogue *d, const char *role, const char *text, size_t nbytes)
{
    char *const content = xcalloc(nbytes + 1, 1);
    if (nbytes)
        memcpy(content, text, nbytes);
    d->messages = xrealloc(d->messages, d->n_messages + 1, sizeof *d->messages);
    d->messages[d->n_messages++] = (struct el_chat_message){role, content};
}

static void drop_messages(struct dialogue *d, size_t n_left)
{
    while (d->n_messages > n_left)
        free((char *)(uintptr_t)d->messages[--d->n_messages].content);
}

static void begin(struct dialogue *d)
{
    drop_messages(d, 0);
    if (d->a->system_prompt)
        add_message(d, "system", d->a->system_prompt, strlen(d->a->system_prompt));
}

static enum el_status emit(void *user, const char *text, size_t nbytes, struct el_err *err)
{
    const struct dialogue *const d = user;
    return run_print(text, nbytes, d->visible, err);
}

/* What the session has run by now. */
static void remember(struct dialogue *d, const struct writer *w)
{
    d->n_held = el_session_n_past(d->io->session, 0);
    d->held = xrealloc(d->held, d->n_held, sizeof *d->held);
    for (size_t i = 0; i < d->n_held; i++)
        d->held[i] = i < w->n_prompt ? w->prompt[i] : w->ids[i - w->n_prompt];
}

/* Runs what is new since the last turn, and writes the answer. */
static enum el_status write_answer(struct dialogue *d, struct writer *w, struct el_err *err)
{
    struct run_times t = {.n_prompt = w->n_prompt};
    size_t row = 0;
    while (t.n_cached < d->n_held && t.n_cached + 1 < w->n_prompt && d->held[t.n_cached] == w->prompt[t.n_cached])
        t.n_cached++;
    el_session_rewind(d->io->session, 0, (uint32_t)t.n_cached);
    const uint64_t start = now_ns();
    enum el_status status = run_prefill(d->io, w->prompt, t.n_cached, w->n_prompt, &row, err);
    t.prompt_ns = now_ns() - start;
    if (status == EL_OK)
        status = run_predict(d->io, w, row, err);
    t.predict_ns = now_ns() - start - t.prompt_ns;
    t.n_text = w->n_ids;
    remember(d, w);
    if (status == EL_E_INTERRUPTED && process_take_interrupt())
        status = writer_stop(w, "interrupted", err);
    CMD_TRY(status);
    CMD_TRY(run_print("\n", 1, d->visible, err));
    if (d->a->timings)
        run_print_times(&t);
    return EL_OK;
}

static enum el_status turn(struct dialogue *d, const char *said, size_t nbytes, struct el_err *err)
{
    struct writer w = {.a = d->a, .io = d->io, .emit = emit, .user = d};
    char *text = NULL;
    size_t n_text = 0;
    add_message(d, "user", said, nbytes);
    enum el_status status = chat_render(d->chat, d->a, d->messages, d->n_messages, NULL, &text, &n_text, err);
    if (status == EL_OK)
        status = writer_prompt(&w, text, n_text, true, d->n_ctx, err);
    if (status == EL_OK)
        status = writer_open(&w, d->grammar, err);
    if (status == EL_OK)
        status = write_answer(d, &w, err);
    if (status == EL_OK)
        add_message(d, "assistant", w.text, w.text_nbytes);
    el_free(text);
    writer_close(&w);
    return status;
}

/*
 * Reads what the user says to *said (free()d by the caller): a line, and with '\' at its end the next one too. False: the end, or
 * interrupted.
 */
static bool listen(const struct dialogue *d, char **said, size_t *nbytes)
{
    char *line = NULL;
    size_t cap = 0;
    bool more = true;
    *nbytes = 0;
    *said = xcalloc(1, 1);
    (void)fputs("> ", d->marks);
    while (more) {
        (void)fflush(d->marks);
        const ssize_t n = getline(&line, &cap, stdin);
        if (n <= 0) {
            free(line);
            return false;
        }
        size_t len = (size_t)n - (line[n - 1] == '\n');
        more = len && line[len - 1] == '\\';
        if (more)
            line[len - 1] = '\n';
        *said = xrealloc(*said, *nbytes + len + 1, 1);
        memcpy(*said + *nbytes, line, len);
        *nbytes += len;
        (*said)[*nbytes] = '\0';
    }
    free(line);
    return true;
}

/* A turn that cannot be had (the context is full, the template refuses) ends neither the program nor the conversation. */
static enum el_status try_turn(struct dialogue *d, const char *said, size_t nbytes, struct el_err *err)
{
    const size_t n_before = d->n_messages;
    const enum el_status status = turn(d, said, nbytes, err);
    if (status != EL_E_USAGE || n_before == (d->a->system_prompt ? 1u : 0u))
        return status;
    drop_messages(d, n_before);
    (void)fprintf(stderr, "edgellm run: %s; /clear begins anew\n", err->text);
    return EL_OK;
}

static enum el_status converse(struct dialogue *d, const char *first, struct el_err *err)
{
    if (!progress_is_quiet())
        (void)fputs("/exit or Ctrl-D ends, Ctrl-C ends an answer, /clear begins anew, \\ at the end of a line goes on\n", stderr);
    if (first)
        CMD_TRY(try_turn(d, first, strlen(first), err));
    for (;;) {
        char *said = NULL;
        size_t nbytes = 0;
        enum el_status status = EL_OK;
        errno = 0;
        const bool heard = listen(d, &said, &nbytes);
        const bool interrupted = !heard && errno == EINTR;
        const bool ended = !heard || strcmp(said, "/exit") == 0;
        if (heard && strcmp(said, "/clear") == 0)
            begin(d);
        else if (heard && !ended && nbytes)
            status = try_turn(d, said, nbytes, err);
        free(said);
        if (!heard)
            (void)fputs("\n", d->marks);
        if (interrupted)
            return cmd_fail(err, EL_E_INTERRUPTED, "interrupted");
        if (ended || status != EL_OK)
            return status;
    }
}

enum el_status run_dialogue(const struct run_args *a, struct model_io *io, const struct el_grammar *grammar, const char *first,
                            struct el_err *err)
{
    struct dialogue d = {.a = a, .io = io, .grammar = grammar, .visible = isatty(1) == 1};
    struct run_args fixed = *a;
    d.marks = d.visible ? stdout : stderr;
    d.n_ctx = writer_context(a, &io->info);
    const char *const alone = a->json ? "json" : a->echo ? "echo" : a->prompt_cache ? "prompt-cache" : NULL;
    if (alone)
        return cmd_fail(err, EL_E_USAGE, "option '--%s' needs '--single-turn' at a terminal", alone);
    CMD_TRY(run_args_seed(a, &fixed.seed, err));
    if (a->seed == UINT64_MAX && !progress_is_quiet())
        (void)fprintf(stderr, "seed: %llu\n", (unsigned long long)fixed.seed);
    d.a = &fixed;
    CMD_TRY(chat_open(a, io, &d.chat, err));
    const struct el_session_opts opts = {
        .n_ctx = d.n_ctx,
        .n_seqs = 1,
        .n_batch = (uint32_t)a->n_batch,
        .kv_type_k = opts_kv_type(a->kv_k),
        .kv_type_v = opts_kv_type(a->kv_v),
        .n_threads = opts_threads(a->n_threads),
    };
    enum el_status status = model_io_session(io, &opts, err);
    if (status == EL_OK) {
        begin(&d);
        status = converse(&d, first, err);
    }
    drop_messages(&d, 0);
    free(d.messages);
    free(d.held);
    el_chat_close(d.chat);
    return status;
}
