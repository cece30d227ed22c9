#include "cmd/run_session.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cmd/text_out.h"
#include "cmd/util.h"

enum el_status run_prefill(struct model_io *io, const int32_t *ids, size_t n_past, size_t n_ids, size_t *row, struct el_err *err)
{
    const size_t n_batch = el_session_n_batch(io->session);
    struct el_row *const rows = xcalloc(n_batch, sizeof *rows);
    enum el_status status = EL_OK;
    for (size_t at = n_past; at < n_ids && status == EL_OK; at += n_batch) {
        const size_t n = n_ids - at < n_batch ? n_ids - at : n_batch;
        for (size_t i = 0; i < n; i++)
            rows[i] = (struct el_row){.token = ids[at + i], .pos = (uint32_t)(at + i), .want_logits = at + i + 1 == n_ids};
        status = el_session_decode(io->session, rows, n, err);
        *row = n - 1;
    }
    free(rows);
    return status;
}

enum el_status run_predict(struct model_io *io, struct writer *w, size_t row, struct el_err *err)
{
    while (!w->done) {
        CMD_TRY(writer_step(w, el_session_logits(io->session, row), err));
        if (w->done)
            break;
        const struct el_row next = {
            .token = w->ids[w->n_ids - 1], .pos = (uint32_t)(w->n_prompt + w->n_ids - 1), .want_logits = true};
        CMD_TRY(el_session_decode(io->session, &next, 1, err));
        row = 0;
    }
    return EL_OK;
}

enum el_status run_print(const char *text, size_t nbytes, bool visible, struct el_err *err)
{
    text_write(stdout, text, nbytes, visible);
    if (fflush(stdout) != 0)
        return cmd_fail(err, EL_E_IO, "standard output: %s", strerror(errno));
    return EL_OK;
}

double run_per_second(size_t n, uint64_t ns)
{
    return ns ? (double)n * 1e9 / (double)ns : 0.0;
}

void run_print_times(const struct run_times *t)
{
    const size_t n_run = t->n_prompt - t->n_cached;
    (void)fprintf(stderr, "prompt: %zu tokens in %.2f ms, %.2f tokens/s\n", n_run, (double)t->prompt_ns * 1e-6,
                  run_per_second(n_run, t->prompt_ns));
    if (t->n_cached)
        (void)fprintf(stderr, "cached: %zu tokens\n", t->n_cached);
    (void)fprintf(stderr, "text:   %zu tokens in %.2f ms, %.2f tokens/s\n", t->n_text, (double)t->predict_ns * 1e-6,
                  run_per_second(t->n_text, t->predict_ns));
}

/* The hash of the file, and with it the values that were set by hand. */
static enum el_status hash_model(const struct run_args *a, const struct model_io *io, char hex[65], struct el_err *err)
{
    CMD_TRY(el_sha256_path(io->path, hex, err));
    for (size_t i = 0; i < a->overrides.n; i++) {
        char *const both = xasprintf("%s %s", hex, a->overrides.v[i]);
        el_sha256_bytes(both, strlen(both), hex);
        free(both);
    }
    return EL_OK;
}

enum el_status prompt_cache_load(struct prompt_cache *c, const struct run_args *a, struct model_io *io, const int32_t *ids,
                                 size_t n_ids, struct el_err *err)
{
    c->n_loaded = 0;
    CMD_TRY(hash_model(a, io, c->model, err));
    struct stat st;
    /* A file without a byte, as mktemp makes them, holds nothing that could be lost. */
    if (stat(a->prompt_cache, &st) != 0 || (S_ISREG(st.st_mode) && st.st_size == 0))
        return EL_OK;
    CMD_TRY(el_session_load(io->session, 0, a->prompt_cache, c->model, ids, n_ids, &c->n_loaded, err));
    if (c->n_loaded == n_ids)
        el_session_rewind(io->session, 0, (uint32_t)n_ids - 1); /* the last one is run for its logits */
    return EL_OK;
}

enum el_status prompt_cache_save(const struct prompt_cache *c, const struct run_args *a, struct model_io *io, const int32_t *ids,
                                 size_t n_ids, struct el_err *err)
{
    return el_session_save(io->session, 0, ids, n_ids, c->model, a->prompt_cache, err);
}
