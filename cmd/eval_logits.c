#include <stdlib.h>
#include <string.h>

#include "cmd/command.h"
#include "cmd/eval_run.h"
#include "cmd/model_io.h"
#include "cmd/progress.h"
#include "cmd/text_in.h"
#include "cmd/util.h"

struct logits_args {
    const char *model, *tokens, *output, *cpu, *cache;
    struct opt_list overrides;
    uint64_t window, n_batch, n_threads, act_bits;
    unsigned kv_k, kv_v, act_granularity;
    bool force;
};

static const struct logits_args logits_defaults = {.n_batch = 64};

#define FIELD(name) offsetof(struct logits_args, name)
static const struct opt logits_opts[] = {
    OPT_MODEL(struct logits_args),
    OPT_OVERRIDE(struct logits_args),
    {OPT_STR, NULL, "tokens", "FILE", "token ids, separated by white space or commas (-: standard input)", FIELD(tokens), 0, 0,
     NULL},
    {OPT_STR, "o", "output", "FILE", "safetensors file to write: ids I32 [n], logits F32 [n, vocabulary]", FIELD(output), 0, 0,
     NULL},
    {OPT_UINT, "w", "window", "N", "begin from an empty context every N tokens (0: never)", FIELD(window), 0, 1 << 30, NULL},
    {OPT_UINT, "b", "batch|batch-size", "N", "tokens per batch (64); results do not depend on it", FIELD(n_batch), 1, 65536,
     NULL},
    OPT_FORCE(struct logits_args),
    OPT_THREADS(struct logits_args),
    OPT_CPU(struct logits_args),
    OPT_CACHE(struct logits_args),
    OPT_KV_TYPES(struct logits_args),
    OPT_ACTIVATIONS(struct logits_args),
    OPT_END,
};
#undef FIELD

/* logits [n, n_vocab] of all ids. */
static enum el_status run_ids(struct model_io *io, const int32_t *ids, size_t n, size_t window, float *logits, struct el_err *err)
{
    const size_t n_batch = el_session_n_batch(io->session), n_vocab = io->info.n_vocab;
    struct el_row *const rows = xcalloc(n_batch, sizeof *rows);
    struct progress progress;
    enum el_status status = EL_OK;
    progress_init(&progress, "tokens");
    for (size_t at = 0; at < n && status == EL_OK;) {
        const size_t pos = at % window;
        if (pos == 0)
            el_session_rewind(io->session, 0, 0);
        size_t k = n - at < n_batch ? n - at : n_batch;
        k = k < window - pos ? k : window - pos;
        for (size_t i = 0; i < k; i++)
            rows[i] = (struct el_row){.token = ids[at + i], .pos = (uint32_t)(pos + i), .want_logits = true};
        status = el_session_decode(io->session, rows, k, err);
        for (size_t i = 0; i < k && status == EL_OK; i++)
            memcpy(logits + (at + i) * n_vocab, el_session_logits(io->session, i), n_vocab * sizeof *logits);
        at += k;
        progress_step(&progress, "logits", at, n);
    }
    progress_end(&progress);
    free(rows);
    return status;
}

static enum el_status write_logits(const struct logits_args *a, const int32_t *ids, size_t n, size_t n_vocab, const float *logits,
                                   struct el_err *err)
{
    const struct el_array arrays[] = {
        {.name = "ids", .dtype = 'i', .n_dims = 1, .dims = {n}, .data = ids},
        {.name = "logits", .dtype = 'f', .n_dims = 2, .dims = {n, n_vocab}, .data = logits},
    };
    return el_arrays_write(a->output, arrays, 2, a->force, err);
}

static enum el_status run(const void *args, struct words words, struct el_err *err)
{
    const struct logits_args *const a = args;
    struct model_io io = {0};
    char *text = NULL;
    int32_t *ids = NULL;
    float *logits = NULL;
    size_t nbytes = 0, n = 0;
    enum el_status status = EL_OK;
    (void)words;
    if (!a->tokens)
        return cmd_fail(err, EL_E_USAGE, "no tokens given: option '--tokens' is missing");
    if (!a->output)
        return cmd_fail(err, EL_E_USAGE, "no output given: option '--output' is missing");
    if (strcmp(a->output, "-") == 0)
        return cmd_fail(err, EL_E_USAGE, "option '--output': the logits are not written to standard output, name a file");
    CMD_TRY_OUT(eval_check_activations(a->act_bits, a->act_granularity, err));
    CMD_TRY_OUT(model_io_cpu(a->cpu, err));
    CMD_TRY_OUT(model_io_source(&io, a->model, NULL, &a->overrides, err));
    CMD_TRY_OUT(model_io_model(&io, a->cache, opts_threads(a->n_threads), err));
    CMD_TRY_OUT(text_in_read(NULL, a->tokens, "tokens", &text, &nbytes, err));
    CMD_TRY_OUT(text_in_ids(text, nbytes, io.info.n_vocab, &ids, &n, err));
    if (n == 0) {
        status = cmd_fail(err, EL_E_FORMAT, "'%s': no token ids", a->tokens);
        goto out;
    }
    const size_t window = a->window && a->window < n ? a->window : n;
    const struct el_session_opts opts = {
        .n_ctx = (uint32_t)window,
        .n_batch = (uint32_t)(a->n_batch < window ? a->n_batch : window),
        .kv_type_k = opts_kv_type(a->kv_k),
        .kv_type_v = opts_kv_type(a->kv_v),
        .n_threads = opts_threads(a->n_threads),
        .act_bits = (uint32_t)a->act_bits,
        .act_by_token = a->act_granularity != 0,
    };
    CMD_TRY_OUT(model_io_session(&io, &opts, err));
    logits = xcalloc(n, io.info.n_vocab * sizeof *logits);
    CMD_TRY_OUT(run_ids(&io, ids, n, window, logits, err));
    status = write_logits(a, ids, n, io.info.n_vocab, logits, err);
out:
    free(logits);
    free(ids);
    el_free(text);
    model_io_close(&io);
    return status;
}

const struct command cmd_eval_logits = {
    .name = "eval logits",
    .about = "Write the logits after each of a list of tokens",
    .usage = "[options] -m FILE --tokens FILE -o FILE.safetensors",
    .opts = logits_opts,
    .args_nbytes = sizeof(struct logits_args),
    .defaults = &logits_defaults,
    .min_words = 0,
    .max_words = 0,
    .run = run,
};
