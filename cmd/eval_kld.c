#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/command.h"
#include "cmd/eval_run.h"
#include "cmd/json_out.h"
#include "cmd/kld_stats.h"
#include "cmd/model_io.h"
#include "cmd/text_in.h"
#include "cmd/util.h"

struct kld_args {
    const char *model, *base, *tokenizer, *file, *cpu;
    uint64_t n_ctx, chunks, n_batch, n_threads, act_bits;
    unsigned kv_k, kv_v, act_granularity;
    bool json;
};

static const struct kld_args kld_defaults = {.n_ctx = 512};

#define FIELD(name) offsetof(struct kld_args, name)
static const struct opt kld_opts[] = {
    OPT_MODEL(struct kld_args),
    {OPT_STR, NULL, "base", "FILE", "the reference model", FIELD(base), 0, 0, NULL},
    OPT_TOKENIZER(struct kld_args),
    {OPT_STR, "f", "file", "FILE", "the text (-: standard input)", FIELD(file), 0, 0, NULL},
    {OPT_UINT, "c", "ctx|ctx-size", "N", "tokens per window (512); the second half is compared", FIELD(n_ctx), 4, 1 << 30, NULL},
    {OPT_UINT, NULL, "chunks", "N", "use the first N windows (0 or -1: all)", FIELD(chunks), -1, 1e15, NULL},
    {OPT_UINT, "b", "batch|batch-size", "N", "tokens per batch (0: up to 512); results do not depend on it", FIELD(n_batch), 0,
     65536, NULL},
    OPT_THREADS(struct kld_args),
    OPT_CPU(struct kld_args),
    OPT_KV_TYPES(struct kld_args),
    OPT_ACTIVATIONS(struct kld_args),
    OPT_JSON(struct kld_args),
    OPT_END,
};
#undef FIELD

enum { BASE, Q };

struct kld {
    const struct kld_args *a;
    struct model_io io[2];
    size_t n_vocab;
    double *lp[2];
    struct kld_stats stats;
    struct eval_windows windows;
    bool bos;
    char data_sha256[65], sha256[2][65];
};

static enum el_status on_token(void *user, const struct eval_window *w, uint32_t pos, const float *const *logits,
                               struct el_err *err)
{
    struct kld *const k = user;
    for (int m = BASE; m <= Q; m++)
        if (!isfinite(el_log_softmax(logits[m], k->n_vocab, w->ids[pos], k->lp[m])))
            return cmd_fail(err, EL_E_FAILED, "'%s': token %u of a window: the log-likelihood is not finite", k->io[m].path,
                            (unsigned)pos);
    kld_stats_add(&k->stats, k->lp[BASE], k->lp[Q], k->n_vocab, w->ids[pos]);
    return EL_OK;
}

static enum el_status open_models(struct kld *k, struct el_err *err)
{
    const char *const paths[] = {k->a->base, k->a->model};
    for (int m = BASE; m <= Q; m++) {
        CMD_TRY(model_io_source(&k->io[m], paths[m], k->a->tokenizer, NULL, err));
        CMD_TRY(model_io_tokenizer(&k->io[m], err));
        CMD_TRY(model_io_model(&k->io[m], NULL, opts_threads(k->a->n_threads), err));
    }
    k->n_vocab = k->io[BASE].info.n_vocab;
    if (k->io[Q].info.n_vocab != k->n_vocab)
        return cmd_fail(err, EL_E_USAGE, "'%s' has a vocabulary of %u tokens, '%s' one of %zu: they cannot be compared", paths[Q],
                        (unsigned)k->io[Q].info.n_vocab, paths[BASE], k->n_vocab);
    return EL_OK;
}

/* Ids of the base model's tokenizer; the other model must read the text in the same way. */
static enum el_status make_windows(struct kld *k, const char *text, size_t nbytes, int32_t **ids, struct el_err *err)
{
    int32_t *other = NULL;
    size_t n = 0, n_other = 0;
    CMD_TRY(eval_encode(&k->io[BASE], EVAL_LLAMA_CPP, text, nbytes, ids, &n, err));
    CMD_TRY(eval_encode(&k->io[Q], EVAL_LLAMA_CPP, text, nbytes, &other, &n_other, err));
    const bool same = n == n_other && memcmp(*ids, other, n * sizeof *other) == 0;
    el_free(other);
    if (!same)
        return cmd_fail(err, EL_E_USAGE, "the tokenizers of '%s' and '%s' give different tokens for '%s'", k->io[BASE].path,
                        k->io[Q].path, k->a->file);
    if (n < k->a->n_ctx)
        return cmd_fail(err, EL_E_USAGE, "'%s': %zu tokens, at least one window of %u is needed", k->a->file, n,
                        (unsigned)k->a->n_ctx);
    k->bos = el_tok_adds_bos(k->io[BASE].tok);
    eval_windows_fixed(&k->windows, EVAL_LLAMA_CPP, *ids, n, (uint32_t)k->a->n_ctx, k->bos ? el_tok_bos(k->io[BASE].tok) : -1,
                       k->a->chunks);
    return EL_OK;
}

static enum el_status evaluate(struct kld *k, struct el_err *err)
{
    const struct kld_args *const a = k->a;
    uint32_t n_seqs = 1;
    for (int m = BASE; m <= Q; m++) {
        struct eval_how how = {.n_batch = a->n_batch, .n_threads = opts_threads(a->n_threads), .kv_k = a->kv_k, .kv_v = a->kv_v};
        if (m == Q) { /* the reference is what it is */
            how.act_bits = a->act_bits;
            how.act_granularity = a->act_granularity;
        }
        CMD_TRY(eval_open_session(&k->io[m], eval_windows_longest(&k->windows), &how, &n_seqs, err));
        CMD_TRY(el_sha256_path(k->io[m].path, k->sha256[m], err));
        k->lp[m] = xcalloc(k->n_vocab, sizeof *k->lp[m]);
    }
    struct el_session *const sessions[] = {k->io[BASE].session, k->io[Q].session};
    CMD_TRY(eval_run(sessions, 2, n_seqs, k->n_vocab, &k->windows, on_token, k, err));
    kld_stats_finish(&k->stats);
    return EL_OK;
}

static void print_json(const struct kld *k)
{
    struct json_out j;
    json_init(&j, stdout, false);
    json_object(&j);
    kld_stats_json(&k->stats, &j);
    json_kstr(&j, "protocol", eval_protocol_name(EVAL_LLAMA_CPP));
    json_kuint(&j, "ctx", k->a->n_ctx);
    json_kbool(&j, "bos", k->bos);
    json_kuint(&j, "n_windows", k->windows.n);
    json_kstr(&j, "type_k", opts_kv_type(k->a->kv_k));
    json_kstr(&j, "type_v", opts_kv_type(k->a->kv_v));
    json_kuint(&j, "act_bits", k->a->act_bits);
    json_kstr(&j, "act_granularity", eval_granularity(k->a->act_granularity));
    json_kstr(&j, "data_sha256", k->data_sha256);
    json_kstr(&j, "model_sha256", k->sha256[Q]);
    json_kstr(&j, "base_sha256", k->sha256[BASE]);
    json_end_object(&j);
    json_finish(&j);
}

static void print_text(const struct kld *k)
{
    kld_stats_print(&k->stats, stdout);
    (void)printf(
        "\nprotocol llama.cpp: %zu windows of %u tokens, %s, second half of each compared: %llu tokens; keys %s, values %s\n",
        k->windows.n, (unsigned)k->a->n_ctx, k->bos ? "BOS first" : "no BOS added", (unsigned long long)k->stats.n,
        opts_kv_type(k->a->kv_k), opts_kv_type(k->a->kv_v));
    if (k->a->act_bits)
        (void)printf("activations of the model, not of the reference: %u bits, a scale per %s\n", (unsigned)k->a->act_bits,
                     eval_granularity(k->a->act_granularity));
    (void)printf("data sha256 %s\nmodel sha256 %s\nbase sha256 %s\n", k->data_sha256, k->sha256[Q], k->sha256[BASE]);
}

static enum el_status run(const void *args, struct words words, struct el_err *err)
{
    const struct kld_args *const a = args;
    struct kld k = {.a = a};
    char *text = NULL;
    int32_t *ids = NULL;
    size_t nbytes = 0;
    enum el_status status = EL_OK;
    (void)words;
    if (!a->base)
        return cmd_fail(err, EL_E_USAGE, "no reference model given: option '--base' is missing");
    if (!a->file)
        return cmd_fail(err, EL_E_USAGE, "no text given: option '--file' is missing");
    CMD_TRY(eval_check_activations(a->act_bits, a->act_granularity, err));
    CMD_TRY_OUT(model_io_cpu(a->cpu, err));
    CMD_TRY_OUT(open_models(&k, err));
    CMD_TRY_OUT(text_in_read(NULL, a->file, "text", &text, &nbytes, err));
    el_sha256_bytes(text, nbytes, k.data_sha256);
    CMD_TRY_OUT(eval_check_data(&k.io[Q], a->file, k.data_sha256, err));
    CMD_TRY_OUT(make_windows(&k, text, nbytes, &ids, err));
    CMD_TRY_OUT(evaluate(&k, err));
    if (a->json)
        print_json(&k);
    else
        print_text(&k);
out:
    kld_stats_free(&k.stats);
    eval_windows_free(&k.windows);
    free(k.lp[BASE]);
    free(k.lp[Q]);
    el_free(ids);
    el_free(text);
    model_io_close(&k.io[BASE]);
    model_io_close(&k.io[Q]);
    return status;
}

const struct command cmd_eval_kld = {
    .name = "eval kld",
    .about = "Compare a model's predictions with those of a reference model",
    .details = "KL divergence, perplexity ratio, same most likely token, change of the token's probability.",
    .usage = "[options] -m FILE --base FILE -f TEXT",
    .opts = kld_opts,
    .args_nbytes = sizeof(struct kld_args),
    .defaults = &kld_defaults,
    .min_words = 0,
    .max_words = 0,
    .run = run,
};
