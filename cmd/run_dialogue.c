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

enum { MAX_READ_NBYTES = 64 << 20 };

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
    uint64_t n_again; /* how often this answer was asked for again: each has another seed */
    char *pending;    /* text of /read files, said with the next words; NULL: none */
    size_t n_pending;
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

static void forget_pending(struct dialogue *d)
{
    free(d->pending);
    d->pending = NULL;
    d->n_pending = 0;
}

static void begin(struct dialogue *d)
{
    drop_messages(d, 0);
    forget_pending(d);
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
    if (strcmp(w->stop_reason, "context") == 0)
        (void)fprintf(stderr, "edgellm run: the context of %u tokens is full; /clear begins anew (see --ctx-size)\n",
                      (unsigned)d->n_ctx);
    if (d->a->timings)
        run_print_times(&t);
    return EL_OK;
}

/* The answer to the messages so far. */
static enum el_status answer(struct dialogue *d, struct el_err *err)
{
    struct run_args a = *d->a;
    struct writer w = {.a = &a, .io = d->io, .emit = emit, .user = d};
    char *text = NULL;
    size_t n_text = 0;
    a.seed += d->n_again;
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

/* An answer that cannot be had, because the template refuses or the text is too long, ends neither the program nor the rest. */
static enum el_status try_answer(struct dialogue *d, size_t n_before, struct el_err *err)
{
    const enum el_status status = answer(d, err);
    if (status != EL_E_USAGE && status != EL_E_FORMAT)
        return status;
    drop_messages(d, n_before);
    (void)fprintf(stderr, "edgellm run: %s%s\n", err->text, n_before > 1 ? "; /clear begins anew" : "");
    return EL_OK;
}

static enum el_status say(struct dialogue *d, const char *said, size_t nbytes, struct el_err *err)
{
    const size_t n_before = d->n_messages;
    if (d->pending) {
        d->pending = xrealloc(d->pending, d->n_pending + nbytes, 1);
        memcpy(d->pending + d->n_pending, said, nbytes);
        add_message(d, "user", d->pending, d->n_pending + nbytes);
        forget_pending(d);
    } else {
        add_message(d, "user", said, nbytes);
    }
    d->n_again = 0;
    return try_answer(d, n_before, err);
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

/* ---- commands ---- */

static void help(void)
{
    (void)fputs("/read FILE  says what is in FILE, with your next words behind it\n"
                "/regen      another answer, with the next seed\n"
                "/clear      begins anew\n"
                "/exit       ends, as Ctrl-D does\n"
                "Ctrl-C ends an answer; \\ at the end of a line goes on to the next one; behind a space, a / is a /\n",
                stderr);
}

static void read_file(struct dialogue *d, const char *path)
{
    struct el_err err = {.code = EL_OK};
    char *text = NULL;
    size_t nbytes = 0;
    if (el_read_file(path, MAX_READ_NBYTES, &text, &nbytes, &err) != EL_OK) {
        (void)fprintf(stderr, "edgellm run: %s\n", err.text);
        return;
    }
    d->pending = xrealloc(d->pending, d->n_pending + nbytes + 1, 1);
    memcpy(d->pending + d->n_pending, text, nbytes);
    d->n_pending += nbytes;
    if (nbytes && text[nbytes - 1] != '\n')
        d->pending[d->n_pending++] = '\n';
    (void)fprintf(stderr, "%zu bytes of '%s' go before your next words\n", nbytes, path);
    el_free(text);
}

static enum el_status again(struct dialogue *d, struct el_err *err)
{
    if (d->n_messages == 0 || strcmp(d->messages[d->n_messages - 1].role, "assistant") != 0) {
        (void)fputs("edgellm run: there is no answer yet\n", stderr);
        return EL_OK;
    }
    drop_messages(d, d->n_messages - 1);
    d->n_again++;
    return try_answer(d, d->n_messages - 1, err);
}

/* Is it "/word", alone or with more behind a space? A path has another slash in it. */
static bool is_command(const char *said)
{
    const size_t n = said[0] == '/' ? strspn(said + 1, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ") : 0;
    return n && (said[n + 1] == '\0' || said[n + 1] == ' ');
}

/* A line from the user; *ended: it was the last one. */
static enum el_status take(struct dialogue *d, char *said, size_t nbytes, bool *ended, struct el_err *err)
{
    if (!is_command(said))
        return nbytes || d->pending ? say(d, said, nbytes, err) : EL_OK;
    for (size_t n = strlen(said); said[n - 1] == ' '; n--) /* "/exit " */
        said[n - 1] = '\0';
    *ended = strcmp(said, "/exit") == 0;
    if (strcmp(said, "/clear") == 0)
        begin(d);
    else if (strcmp(said, "/help") == 0)
        help();
    else if (strcmp(said, "/regen") == 0)
        return again(d, err);
    else if (strncmp(said, "/read ", 6) == 0)
        read_file(d, said + 6 + strspn(said + 6, " "));
    else if (!*ended)
        (void)fprintf(stderr, "edgellm run: there is no %.*s; /help lists what there is\n", (int)strcspn(said, " "), said);
    return EL_OK;
}

static enum el_status converse(struct dialogue *d, const char *first, struct el_err *err)
{
    bool ended = false;
    if (!progress_is_quiet())
        (void)fputs("/help lists commands; /exit or Ctrl-D ends, Ctrl-C ends an answer\n", stderr);
    if (first)
        CMD_TRY(say(d, first, strlen(first), err));
    while (!ended) {
        char *said = NULL;
        size_t nbytes = 0;
        enum el_status status = EL_OK;
        errno = 0;
        const bool heard = listen(d, &said, &nbytes);
        const bool interrupted = !heard && errno == EINTR;
        if (heard)
            status = take(d, said, nbytes, &ended, err);
        free(said);
        if (!heard)
            (void)fputs("\n", d->marks);
        if (interrupted)
            return cmd_fail(err, EL_E_INTERRUPTED, "interrupted");
        if (status != EL_OK)
            return status;
        ended = ended || !heard;
    }
    return EL_OK;
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
    forget_pending(&d);
    free(d.messages);
    free(d.held);
    el_chat_close(d.chat);
    return status;
}
