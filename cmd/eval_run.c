#include "cmd/eval_run.h"

#include <stdlib.h>
#include <string.h>

#include "cmd/progress.h"
#include "cmd/util.h"

enum { MAX_SEQS = 16, LOGITS_NBYTES = 64 << 20 };

struct batch {
    struct el_row *rows;
    const struct eval_window **of; /* window of each row */
    size_t n;
};

static void add_rows(struct batch *b, const struct eval_window *w, uint32_t seq, uint32_t from, uint32_t to)
{
    for (uint32_t pos = from; pos < to; pos++) {
        b->of[b->n] = w;
        b->rows[b->n++] = (struct el_row){
            .token = pos == 0 ? w->first_id : w->ids[pos],
            .seq = seq,
            .pos = pos,
            .want_logits = pos + 1 >= w->first_scored,
        };
    }
}

static enum el_status run_batch(struct el_session *const *sessions, size_t n_sessions, const struct batch *b, eval_token_fn *fn,
                                void *user, struct el_err *err)
{
    for (size_t s = 0; s < n_sessions; s++)
        CMD_TRY(el_session_decode(sessions[s], b->rows, b->n, err));
    for (size_t i = 0; i < b->n; i++) {
        if (!b->rows[i].want_logits)
            continue;
        const float *logits[EVAL_MAX_MODELS] = {NULL};
        for (size_t s = 0; s < n_sessions; s++)
            logits[s] = el_session_logits(sessions[s], i);
        CMD_TRY(fn(user, b->of[i], b->rows[i].pos + 1, logits, err));
    }
    return EL_OK;
}

static void rewind_all(struct el_session *const *sessions, size_t n_sessions, uint32_t n_seqs)
{
    for (size_t s = 0; s < n_sessions; s++)
        for (uint32_t q = 0; q < n_seqs; q++)
            el_session_rewind(sessions[s], q, 0);
}

/* The last id of a window predicts nothing: it is not run. */
static uint32_t n_rows_of(const struct eval_window *w)
{
    return w->n - 1;
}

/* A tokenizer may know more tokens than the model has rows for. */
static enum el_status check_ids(const struct eval_windows *windows, size_t n_vocab, struct el_err *err)
{
    for (size_t i = 0; i < windows->n; i++)
        for (uint32_t p = 0; p < windows->w[i].n; p++) {
            const int32_t id = p ? windows->w[i].ids[p] : windows->w[i].first_id;
            if (id < 0 || (size_t)id >= n_vocab)
                return cmd_fail(err, EL_E_FORMAT, "the text has token %d, the model's vocabulary %zu tokens", id, n_vocab);
        }
    return EL_OK;
}

enum el_status eval_run(struct el_session *const *sessions, size_t n_sessions, uint32_t n_seqs, size_t n_vocab,
                        const struct eval_windows *windows, eval_token_fn *fn, void *user, struct el_err *err)
{
    CMD_TRY(check_ids(windows, n_vocab, err));
    const uint32_t n_batch = el_session_n_batch(sessions[0]);
    struct batch b = {.rows = xcalloc(n_batch, sizeof *b.rows), .of = xcalloc(n_batch, sizeof *b.of)};
    struct progress progress;
    enum el_status status = EL_OK;
    progress_init(&progress, "windows");
    for (size_t i = 0; i < windows->n && status == EL_OK;) {
        uint32_t seq = 0;
        b.n = 0;
        rewind_all(sessions, n_sessions, n_seqs);
        if (n_rows_of(&windows->w[i]) > n_batch) {
            const struct eval_window *const w = &windows->w[i++];
            for (uint32_t at = 0; at < n_rows_of(w) && status == EL_OK; at += n_batch) {
                b.n = 0;
                add_rows(&b, w, 0, at, n_rows_of(w) - at < n_batch ? n_rows_of(w) : at + n_batch);
                status = run_batch(sessions, n_sessions, &b, fn, user, err);
            }
        } else {
            for (; i < windows->n && seq < n_seqs && b.n + n_rows_of(&windows->w[i]) <= n_batch; i++, seq++)
                add_rows(&b, &windows->w[i], seq, 0, n_rows_of(&windows->w[i]));
            status = run_batch(sessions, n_sessions, &b, fn, user, err);
        }
        progress_step(&progress, "eval", i, windows->n);
    }
    progress_end(&progress);
    free(b.rows);
    free(b.of);
    return status;
}

const char *eval_granularity(unsigned act_granularity)
{
    return act_granularity ? "token" : "block";
}

enum el_status eval_check_activations(uint64_t act_bits, unsigned act_granularity, struct el_err *err)
{
    return act_granularity && !act_bits ? cmd_fail(err, EL_E_USAGE, "option '--act-granularity' is for --act-bits") : EL_OK;
}

enum el_status eval_open_session(struct model_io *io, uint32_t longest, const struct eval_how *how, uint32_t *n_seqs,
                                 struct el_err *err)
{
    const uint32_t n_ctx = longest > 1 ? longest - 1 : 1;
    uint64_t n_batch = how->n_batch;
    if (n_batch == 0) {
        /* One row of logits per row of the batch: bounded, so that a large vocabulary does not ask for gigabytes. */
        const uint64_t most = LOGITS_NBYTES / (sizeof(float) * (uint64_t)io->info.n_vocab);
        n_batch = most > 512 ? 512 : most < 16 ? 16 : most;
    }
    uint64_t seqs = n_batch / n_ctx;
    seqs = seqs > MAX_SEQS ? MAX_SEQS : seqs < 1 ? 1 : seqs;
    /* Documents of any length share batches too: their sequences are short, so a few more of them cost little memory. */
    if (seqs < 4 && n_ctx <= 512)
        seqs = 4;
    *n_seqs = (uint32_t)seqs;
    const struct el_session_opts opts = {
        .n_ctx = n_ctx,
        .n_seqs = *n_seqs,
        .n_batch = (uint32_t)n_batch,
        .kv_type_k = opts_kv_type(how->kv_k),
        .kv_type_v = opts_kv_type(how->kv_v),
        .n_threads = how->n_threads,
        .act_bits = (uint32_t)how->act_bits,
        .act_by_token = how->act_granularity != 0,
    };
    return model_io_session(io, &opts, err);
}

enum el_status eval_encode(const struct model_io *io, enum eval_protocol p, const char *text, size_t nbytes, int32_t **ids,
                           size_t *n, struct el_err *err)
{
    return el_encode(io->tok, text, nbytes, p == EVAL_LLAMA_CPP ? EL_TOK_ADD_SPECIAL : 0u, ids, n, err);
}

enum el_status eval_check_data(const struct model_io *io, const char *text_name, const char *sha256, struct el_err *err)
{
    const struct el_meta *const meta = el_source_meta(io->source);
    const size_t at = el_meta_find(meta, "edgellm.calibration.sha256");
    const bool strings = at != SIZE_MAX && el_meta_elem_type(meta, at) == EL_META_STR;
    for (size_t i = 0; strings && i < el_meta_n_elems(meta, at); i++)
        if (strcmp(el_meta_str(meta, at, i, NULL), sha256) == 0)
            return cmd_fail(err, EL_E_USAGE, "'%s' is the text that '%s' was calibrated on", text_name, io->path);
    return EL_OK;
}
