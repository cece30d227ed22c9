#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/command.h"
#include "cmd/eval_run.h"
#include "cmd/json_out.h"
#include "cmd/model_io.h"
#include "cmd/score.h"
#include "cmd/text_in.h"
#include "cmd/util.h"

struct ppl_args {
    const char *model, *tokenizer, *file, *separator, *cpu, *cache;
    struct opt_list overrides;
    unsigned protocol, kv_k, kv_v, act_granularity;
    uint64_t n_ctx, max_tokens, chunks, n_batch, n_threads, act_bits;
    bool json;
};

#define FIELD(name) offsetof(struct ppl_args, name)
static const struct opt ppl_opts[] = {
    OPT_MODEL(struct ppl_args),
    OPT_TOKENIZER(struct ppl_args),
    OPT_OVERRIDE(struct ppl_args),
    {OPT_STR, "f", "file", "FILE", "the text (-: standard input)", FIELD(file), 0, 0, NULL},
    {OPT_CHOICE, NULL, "protocol", "NAME", "what the mean is over (llama.cpp); see the man page", FIELD(protocol), 0, 0,
     "llama.cpp|gptq|documents"},
    {OPT_UINT, "c", "ctx|ctx-size", "N", "tokens per window or document (512; gptq: 2048)", FIELD(n_ctx), 2, 1 << 30, NULL},
    {OPT_STR, NULL, "separator", "TEXT",
     "what stands between documents (<|endoftext|>; a .json file holds an array of strings instead)", FIELD(separator), 0, 0,
     NULL},
    {OPT_UINT, NULL, "max-tokens", "N", "use the first N tokens of the text (documents: score N tokens; 0: all)",
     FIELD(max_tokens), 0, 1e15, NULL},
    {OPT_UINT, NULL, "chunks", "N", "use the first N windows or documents (0 or -1: all)", FIELD(chunks), -1, 1e15, NULL},
    {OPT_UINT, "b", "batch|batch-size", "N", "tokens per batch (0: up to 512); results do not depend on it", FIELD(n_batch), 0,
     65536, NULL},
    OPT_THREADS(struct ppl_args),
    OPT_CPU(struct ppl_args),
    OPT_CACHE(struct ppl_args),
    OPT_KV_TYPES(struct ppl_args),
    OPT_ACTIVATIONS(struct ppl_args),
    OPT_JSON(struct ppl_args),
    OPT_END,
};
#undef FIELD

struct ppl {
    const struct ppl_args *a;
    enum eval_protocol protocol;
    uint32_t n_ctx;
    bool bos; /* BOS stands first in every window */
    struct model_io io;
    struct eval_windows windows;
    struct score score;
    char data_sha256[65], model_sha256[65];
};

static enum el_status on_token(void *user, const struct eval_window *w, uint32_t pos, const float *const *logits,
                               struct el_err *err)
{
    struct ppl *const p = user;
    const int32_t id = w->ids[pos];
    const double nll = -el_log_softmax(logits[0], p->io.info.n_vocab, id, NULL);
    if (!isfinite(nll))
        return cmd_fail(err, EL_E_FAILED, "token %u of a window: the log-likelihood is %g, not finite", (unsigned)pos, nll);
    score_add(&p->score, nll, el_tok_text_nbytes(p->io.tok, id));
    return EL_OK;
}

static enum el_status fixed_windows(struct ppl *p, const char *text, size_t nbytes, int32_t **ids, struct el_err *err)
{
    size_t n = 0;
    CMD_TRY(eval_encode(&p->io, p->protocol, text, nbytes, ids, &n, err));
    if (p->a->max_tokens && n > p->a->max_tokens)
        n = p->a->max_tokens;
    if (n < p->n_ctx)
        return cmd_fail(err, EL_E_USAGE, "'%s': %zu tokens, at least one window of %u is needed", p->a->file, n,
                        (unsigned)p->n_ctx);
    p->bos = p->protocol == EVAL_LLAMA_CPP && el_tok_adds_bos(p->io.tok);
    eval_windows_fixed(&p->windows, p->protocol, *ids, n, p->n_ctx, p->bos ? el_tok_bos(p->io.tok) : -1, p->a->chunks);
    return EL_OK;
}

/* Texts of a file. */
struct documents {
    const char **starts; /* [n], into the file's text or into strings */
    size_t *lens, n;
    char **strings; /* of a JSON array */
};

static void documents_free(struct documents *d)
{
    free(d->starts);
    free(d->lens);
    el_free(d->strings);
}

/* The strings of a JSON array, or what stands between separators; stripped. On failure d holds nothing. */
static enum el_status documents_read(const struct ppl_args *a, const char *text, size_t nbytes, struct documents *d,
                                     struct el_err *err)
{
    *d = (struct documents){.n = 0};
    if (a->separator || !ends_with(a->file, ".json")) {
        const char *const separator = a->separator ? a->separator : "<|endoftext|>";
        d->n = eval_split_documents(text, nbytes, separator, &d->starts, &d->lens);
        return EL_OK;
    }
    size_t *nbytes_of = NULL;
    CMD_TRY(el_json_strings(text, nbytes, a->file, &d->strings, &nbytes_of, &d->n, err));
    d->starts = xcalloc(d->n, sizeof *d->starts);
    d->lens = xcalloc(d->n, sizeof *d->lens);
    for (size_t i = 0; i < d->n; i++) {
        d->starts[i] = d->strings[i];
        d->lens[i] = nbytes_of[i];
        eval_strip(&d->starts[i], &d->lens[i]);
    }
    return EL_OK;
}

/* Encodes the first n documents and makes windows of them. */
static enum el_status encode_documents(struct ppl *p, const struct documents *d, size_t n, int32_t bos, struct el_err *err)
{
    int32_t **const ids = xcalloc(n, sizeof *ids);
    size_t *const n_ids = xcalloc(n, sizeof *n_ids);
    enum el_status status = EL_OK;
    for (size_t i = 0; i < n && status == EL_OK; i++)
        status = el_encode(p->io.tok, d->starts[i], d->lens[i], 0, &ids[i], &n_ids[i], err);
    if (status == EL_OK)
        eval_windows_documents(&p->windows, ids, n_ids, n, bos, p->n_ctx, p->a->max_tokens);
    for (size_t i = 0; i < n; i++)
        el_free(ids[i]);
    free(ids);
    free(n_ids);
    return status;
}

static enum el_status document_windows(struct ppl *p, const char *text, size_t nbytes, struct el_err *err)
{
    struct documents d;
    const int32_t bos = el_tok_bos(p->io.tok);
    if (bos < 0)
        return cmd_fail(err, EL_E_USAGE, "'%s' has no BOS token, with which --protocol documents begins every document",
                        p->io.path);
    CMD_TRY(documents_read(p->a, text, nbytes, &d, err));
    p->bos = true;
    enum el_status status = encode_documents(p, &d, p->a->chunks && d.n > p->a->chunks ? p->a->chunks : d.n, bos, err);
    documents_free(&d);
    if (status == EL_OK && eval_windows_n_scored(&p->windows) == 0)
        status = cmd_fail(err, EL_E_USAGE, "'%s': no document with text in it", p->a->file);
    return status;
}

static void print_json(const struct ppl *p)
{
    struct json_out j;
    json_init(&j, stdout, false);
    json_object(&j);
    json_knum(&j, "nll", score_mean(&p->score));
    json_knum(&j, "ppl", score_ppl(&p->score));
    json_knum(&j, "ppl_stderr", score_ppl_stderr(&p->score));
    json_kuint(&j, "n_tokens", p->score.n);
    json_knum(&j, "bits_per_byte", score_bits_per_byte(&p->score));
    json_kuint(&j, "n_bytes", p->score.nbytes);
    json_kstr(&j, "protocol", eval_protocol_name(p->protocol));
    json_kuint(&j, "ctx", p->n_ctx);
    json_kbool(&j, "bos", p->bos);
    json_kuint(&j, "n_windows", p->windows.n);
    json_kstr(&j, "type_k", opts_kv_type(p->a->kv_k));
    json_kstr(&j, "type_v", opts_kv_type(p->a->kv_v));
    json_kuint(&j, "act_bits", p->a->act_bits);
    json_kstr(&j, "act_granularity", eval_granularity(p->a->act_granularity));
    json_kstr(&j, "data_sha256", p->data_sha256);
    json_kstr(&j, "model_sha256", p->model_sha256);
    json_end_object(&j);
    json_finish(&j);
}

static void print_text(const struct ppl *p)
{
    static const char *const scored[] = {"second half of each scored", "all but the first token of each scored",
                                         "all tokens but BOS scored"};
    (void)printf("Final estimate: PPL = %.4f +/- %.5f\n", score_ppl(&p->score), score_ppl_stderr(&p->score));
    (void)printf("nll %.4f nats/token, %.4f bits/byte, %llu tokens, %llu bytes\n", score_mean(&p->score),
                 score_bits_per_byte(&p->score), (unsigned long long)p->score.n, (unsigned long long)p->score.nbytes);
    (void)printf("protocol %s: %zu %s of %s%u tokens, %s, %s; keys %s, values %s\n", eval_protocol_name(p->protocol),
                 p->windows.n, p->protocol == EVAL_DOCUMENTS ? "documents" : "windows",
                 p->protocol == EVAL_DOCUMENTS ? "at most " : "", (unsigned)p->n_ctx, p->bos ? "BOS first" : "no BOS added",
                 scored[p->protocol], opts_kv_type(p->a->kv_k), opts_kv_type(p->a->kv_v));
    if (p->a->act_bits)
        (void)printf("activations of %u bits, a scale per %s\n", (unsigned)p->a->act_bits,
                     eval_granularity(p->a->act_granularity));
    (void)printf("data sha256 %s\nmodel sha256 %s\n", p->data_sha256, p->model_sha256);
}

static enum el_status evaluate(struct ppl *p, struct el_err *err)
{
    const struct ppl_args *const a = p->a;
    uint32_t n_seqs = 1;
    CMD_TRY(model_io_model(&p->io, a->cache, opts_threads(a->n_threads), err));
    const struct eval_how how = {a->n_batch, opts_threads(a->n_threads), a->kv_k, a->kv_v, a->act_bits, a->act_granularity};
    CMD_TRY(eval_open_session(&p->io, eval_windows_longest(&p->windows), &how, &n_seqs, err));
    CMD_TRY(el_sha256_path(p->io.path, p->model_sha256, err));
    CMD_TRY(eval_run(&p->io.session, 1, n_seqs, p->io.info.n_vocab, &p->windows, on_token, p, err));
    if (!isfinite(score_ppl(&p->score)))
        return cmd_fail(err, EL_E_FAILED, "the perplexity of %llu tokens is not finite", (unsigned long long)p->score.n);
    return EL_OK;
}

static enum el_status run(const void *args, struct words words, struct el_err *err)
{
    const struct ppl_args *const a = args;
    struct ppl p = {.a = a, .protocol = (enum eval_protocol)a->protocol};
    char *text = NULL;
    int32_t *ids = NULL;
    size_t nbytes = 0;
    enum el_status status = EL_OK;
    (void)words;
    p.n_ctx = a->n_ctx ? (uint32_t)a->n_ctx : eval_protocol_ctx(p.protocol);
    if (a->separator && p.protocol != EVAL_DOCUMENTS)
        return cmd_fail(err, EL_E_USAGE, "option '--separator' is for --protocol documents");
    if (!a->file)
        return cmd_fail(err, EL_E_USAGE, "no text given: option '--file' is missing");
    CMD_TRY(eval_check_activations(a->act_bits, a->act_granularity, err));
    CMD_TRY_OUT(model_io_cpu(a->cpu, err));
    CMD_TRY_OUT(model_io_source(&p.io, a->model, a->tokenizer, &a->overrides, err));
    CMD_TRY_OUT(model_io_tokenizer(&p.io, err));
    CMD_TRY_OUT(text_in_read(NULL, a->file, "text", &text, &nbytes, err));
    el_sha256_bytes(text, nbytes, p.data_sha256);
    CMD_TRY_OUT(eval_check_data(&p.io, a->file, p.data_sha256, err));
    CMD_TRY_OUT(p.protocol == EVAL_DOCUMENTS ? document_windows(&p, text, nbytes, err)
                                             : fixed_windows(&p, text, nbytes, &ids, err));
    CMD_TRY_OUT(evaluate(&p, err));
    if (a->json)
        print_json(&p);
    else
        print_text(&p);
out:
    eval_windows_free(&p.windows);
    el_free(ids);
    el_free(text);
    model_io_close(&p.io);
    return status;
}

const struct command cmd_eval_ppl = {
    .name = "eval ppl",
    .about = "Measure the perplexity of a model on a text",
    .details = "The output says what the number is a mean over.",
    .usage = "[options] -m FILE -f TEXT",
    .opts = ppl_opts,
    .args_nbytes = sizeof(struct ppl_args),
    .min_words = 0,
    .max_words = 0,
    .run = run,
};
