#include "cmd/bench_peer.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cmd/process.h"
#include "cmd/util.h"

enum { MAX_OUT = 1 << 24, TAIL = 4096, LOOK_MS = 100 };

struct child {
    pid_t pid;
    int out, err; /* what it writes; -1: ended */
    struct bench_peer_out text;
    char tail[TAIL + 1]; /* the end of its standard error */
    size_t n_tail;
};

static void close_fd(int *fd)
{
    if (*fd >= 0)
        (void)close(*fd);
    *fd = -1;
}

/* In the new process, up to exec: nothing but calls that are safe there. `report` takes the reason when exec fails. */
static void become(const char *const *argv, int out, int err, int report, pid_t parent)
{
    (void)setpgid(0, 0);
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    const int in = open("/dev/null", O_RDONLY);
    if (getppid() == parent && in >= 0 && dup2(in, 0) == 0 && dup2(out, 1) == 1 && dup2(err, 2) == 2) {
        (void)signal(SIGINT, SIG_DFL);
        (void)signal(SIGTERM, SIG_DFL);
        (void)signal(SIGHUP, SIG_DFL);
        (void)signal(SIGXFSZ, SIG_DFL);
        (void)execvp(argv[0], (char *const *)(uintptr_t)argv);
    }
    const int why = errno;
    const ssize_t n = write(report, &why, sizeof why);
    (void)n;
    _exit(127);
}

static enum el_status start(struct child *c, const char *const *argv, struct el_err *err)
{
    int pipes[3][2] = {{-1, -1}, {-1, -1}, {-1, -1}}, why = 0;
    const pid_t parent = getpid();
    bool fine = true;
    for (size_t i = 0; i < 3 && fine; i++)
        fine = pipe2(pipes[i], O_CLOEXEC) == 0;
    c->pid = fine ? fork() : -1;
    if (c->pid == 0)
        become(argv, pipes[0][1], pipes[1][1], pipes[2][1], parent);
    if (c->pid < 0)
        why = errno;
    else
        (void)setpgid(c->pid, c->pid); /* whoever comes first */
    for (size_t i = 0; i < 3; i++)
        close_fd(&pipes[i][1]);
    c->out = pipes[0][0];
    c->err = pipes[1][0];
    /* End of file without a word: exec went well and closed it. */
    ssize_t n;
    while (c->pid > 0 && (n = read(pipes[2][0], &why, sizeof why)) < 0 && errno == EINTR)
        ;
    close_fd(&pipes[2][0]);
    if (why == 0)
        return EL_OK;
    if (c->pid > 0)
        while (waitpid(c->pid, NULL, 0) < 0 && errno == EINTR)
            ;
    c->pid = -1;
    return cmd_fail(err, EL_E_IO, "'%s': cannot be run: %s", argv[0], strerror(why));
}

static void take_out(struct child *c)
{
    char buf[4096];
    const ssize_t n = read(c->out, buf, sizeof buf);
    if (n <= 0) {
        if (n == 0 || errno != EINTR)
            close_fd(&c->out);
        return;
    }
    if (c->text.nbytes + (size_t)n > MAX_OUT)
        return; /* read on, so that it ends; what is kept is no JSON then */
    c->text.text = xrealloc(c->text.text, c->text.nbytes + (size_t)n + 1, 1);
    memcpy(c->text.text + c->text.nbytes, buf, (size_t)n);
    c->text.nbytes += (size_t)n;
    c->text.text[c->text.nbytes] = '\0';
}

static void take_err(struct child *c)
{
    char buf[TAIL];
    const ssize_t n = read(c->err, buf, sizeof buf);
    if (n <= 0) {
        if (n == 0 || errno != EINTR)
            close_fd(&c->err);
        return;
    }
    const size_t keep = c->n_tail + (size_t)n > TAIL ? TAIL - (size_t)n : c->n_tail;
    memmove(c->tail, c->tail + c->n_tail - keep, keep);
    memcpy(c->tail + keep, buf, (size_t)n);
    c->n_tail = keep + (size_t)n;
    c->tail[c->n_tail] = '\0';
}

/* ": " and the last line of the tail that has something in it; "" when there is none. */
static const char *last_line(struct child *c)
{
    static const char colon[] = ": ";
    const size_t n_colon = sizeof colon - 1;
    while (c->n_tail && strchr("\n\r \t", c->tail[c->n_tail - 1]))
        c->tail[--c->n_tail] = '\0';
    if (c->n_tail == 0)
        return "";
    const char *const newline = strrchr(c->tail, '\n'), *const line = newline ? newline + 1 : c->tail;
    const size_t n = strlen(line), keep = n < TAIL - n_colon ? n : TAIL - n_colon;
    memmove(c->tail + n_colon, line, keep);
    memcpy(c->tail, colon, n_colon);
    c->tail[n_colon + keep] = '\0';
    return c->tail;
}

enum el_status bench_peer_run(const char *const *argv, struct bench_peer_out *out, struct el_err *err)
{
    struct child c = {.pid = -1, .out = -1, .err = -1};
    int ended = 0;
    bool stopped = false;
    *out = (struct bench_peer_out){.text = NULL};
    enum el_status status = start(&c, argv, err);
    while (status == EL_OK && (c.out >= 0 || c.err >= 0)) {
        struct pollfd fds[] = {{c.out, POLLIN, 0}, {c.err, POLLIN, 0}};
        const int n = poll(fds, 2, LOOK_MS);
        if (process_is_stopped() && !stopped) {
            (void)kill(-c.pid, SIGKILL);
            stopped = true;
        }
        if (n > 0 && fds[0].revents)
            take_out(&c);
        if (n > 0 && fds[1].revents)
            take_err(&c);
    }
    close_fd(&c.out);
    close_fd(&c.err);
    while (status == EL_OK && waitpid(c.pid, &ended, 0) < 0 && errno == EINTR)
        if (process_is_stopped())
            (void)kill(-c.pid, SIGKILL);
    if (status == EL_OK && process_is_stopped())
        status = cmd_fail(err, EL_E_INTERRUPTED, "interrupted");
    else if (status == EL_OK && WIFSIGNALED(ended))
        status = cmd_fail(err, EL_E_FAILED, "'%s': ended by signal %d%s", argv[0], WTERMSIG(ended), last_line(&c));
    else if (status == EL_OK && WEXITSTATUS(ended) != 0)
        status = cmd_fail(err, EL_E_FAILED, "'%s': exit code %d%s", argv[0], WEXITSTATUS(ended), last_line(&c));
    if (status == EL_OK)
        *out = c.text;
    else
        free(c.text.text);
    return status;
}

/* A value that is JSON from `at` on: what comes before and after it is other people's talk. */
static struct el_json_doc *json_from(const char *at, size_t nbytes)
{
    struct el_json_doc *doc = NULL;
    struct el_err ignored;
    const char close = *at == '[' ? ']' : '}';
    while (nbytes > 1 && at[nbytes - 1] != close)
        nbytes--;
    return el_json_parse(at, nbytes, "results", &doc, &ignored) == EL_OK ? doc : NULL;
}

static void copy_str(const struct el_json *row, const char *key, char *out, size_t cap)
{
    const char *const s = el_json_str(el_json_get(row, key));
    (void)snprintf(out, cap, "%s", s ? s : "");
}

static double number(const struct el_json *row, const char *key)
{
    const struct el_json *const v = el_json_get(row, key);
    return el_json_is(v, EL_JSON_NUMBER) ? el_json_num(v) : 0;
}

enum el_status bench_peer_read(const char *what, const struct bench_peer_out *out, struct bench_peer_row *row, struct el_err *err)
{
    struct el_json_doc *doc = NULL;
    *row = (struct bench_peer_row){.ts = 0};
    /* It begins a line. */
    for (const char *p = out->text; p && !doc; p = strchr(p, '\n') ? strchr(p, '\n') + 1 : NULL)
        if (*p == '[' || *p == '{')
            doc = json_from(p, out->nbytes - (size_t)(p - out->text));
    const struct el_json *r = doc ? el_json_root(doc) : NULL;
    if (el_json_is(r, EL_JSON_ARRAY))
        r = el_json_first(r);
    if (el_json_is(r, EL_JSON_OBJECT)) {
        const struct el_json *const samples = el_json_get(r, "samples_ts");
        const struct el_json *const first = el_json_is(samples, EL_JSON_ARRAY) ? el_json_first(samples) : NULL;
        row->ts = el_json_is(first, EL_JSON_NUMBER) ? el_json_num(first) : number(r, "avg_ts");
        row->limit_share = number(r, "limit_share");
        row->read = number(r, "read_bytes_per_s");
        row->int8 = number(r, "int8_ops_per_s");
        row->f32 = number(r, "f32_ops_per_s");
        row->model_size = (uint64_t)number(r, "model_size");
        row->model_n_params = (uint64_t)number(r, "model_n_params");
        row->n_threads = (uint64_t)number(r, "n_threads");
        copy_str(r, "limit", row->limit, sizeof row->limit);
        copy_str(r, "build_commit", row->build, sizeof row->build);
        copy_str(r, "model_type", row->model_type, sizeof row->model_type);
    }
    el_json_free(doc);
    if (row->ts > 0)
        return EL_OK;
    return cmd_fail(err, EL_E_FAILED, "'%s': printed no result with samples_ts or avg_ts in JSON", what);
}
