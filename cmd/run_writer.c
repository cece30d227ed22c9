#include "cmd/run_writer.h"

#include <stdlib.h>
#include <string.h>

#include "cmd/util.h"

enum { DEFAULT_MAX_CTX = 4096 };

uint32_t writer_context(const struct run_args *a, const struct el_model_info *info)
{
    const uint32_t train = info->n_ctx_train ? info->n_ctx_train : DEFAULT_MAX_CTX;
    const uint32_t usual = train < DEFAULT_MAX_CTX ? train : DEFAULT_MAX_CTX;
    return a->n_ctx == RUN_N_CTX_DEFAULT ? usual : a->n_ctx ? (uint32_t)a->n_ctx : train;
}

/* Puts BOS in front. */
static void prepend(struct writer *w, int32_t bos)
{
    int32_t *const ids = xcalloc(w->n_prompt + 1, sizeof *ids);
    ids[0] = bos;
    for (size_t i = 0; i < w->n_prompt; i++)
        ids[i + 1] = w->prompt[i];
    el_free(w->prompt);
    w->prompt = ids;
    w->n_prompt++;
}

enum el_status writer_prompt(struct writer *w, const char *text, size_t nbytes, bool rendered, uint32_t n_ctx, struct el_err *err)
{
    const struct run_args *const a = w->a;
    const struct el_tokenizer *const tok = w->io->tok;
    const int32_t bos = el_tok_bos(tok);
    const unsigned plain = EL_TOK_ADD_SPECIAL | (a->parse_special ? EL_TOK_PARSE_SPECIAL : 0u);
    CMD_TRY(el_encode(tok, text, nbytes, rendered ? EL_TOK_PARSE_SPECIAL : plain, &w->prompt, &w->n_prompt, err));
    if (w->n_prompt == 0 && bos < 0) /* something must be run to get a first distribution */
        return cmd_fail(err, EL_E_USAGE, "the prompt is empty, and the model has no BOS token to begin with");
    if (w->n_prompt == 0 || (rendered && el_tok_adds_bos(tok) && bos >= 0 && w->prompt[0] != bos))
        prepend(w, bos);
    if (w->n_prompt > n_ctx)
        return cmd_fail(err, EL_E_USAGE, "the prompt has %zu tokens, the context %u (see --ctx-size)", w->n_prompt,
                        (unsigned)n_ctx);
    const uint64_t room = n_ctx - w->n_prompt + 1; /* the last token written need not be run */
    w->n_max = a->n_predict >= 0 && (uint64_t)a->n_predict < room ? (uint64_t)a->n_predict : room;
    w->stop_reason = a->n_predict >= 0 && (uint64_t)a->n_predict <= room ? "length" : "context";
    return EL_OK;
}

uint32_t writer_n_positions(const struct writer *w)
{
    return (uint32_t)(w->n_prompt + (w->n_max ? w->n_max - 1 : 0));
}

enum el_status writer_open(struct writer *w, const struct el_grammar *grammar, struct el_err *err)
{
    const struct run_args *const a = w->a;
    const uint64_t n_all = w->n_prompt + w->n_max; /* there are never more recent tokens than these */
    CMD_TRY(run_args_seed(a, &w->seed, err));
    CMD_TRY(run_args_sampler(a, w->io->tok, w->io->info.n_vocab, n_all, w->seed, &w->sampler, err));
    CMD_TRY(el_detok_open(w->io->tok, &w->detok, err));
    stopper_init(&w->stopper, a->stops.v, a->stops.n);
    for (size_t i = 0; i < w->n_prompt; i++) { /* so that the text goes on where the prompt ends, with its first space */
        const char *text;
        size_t nbytes;
        el_sampler_accept(w->sampler, w->prompt[i]);
        CMD_TRY(el_detok_push(w->detok, w->prompt[i], &text, &nbytes, err));
    }
    if (grammar) {
        CMD_TRY(run_grammar_start(grammar, w->io->tok, w->prompt, w->n_prompt, &w->grammar_run, err));
        el_sampler_set_grammar(w->sampler, w->grammar_run);
    }
    if (a->n_logprobs >= 0)
        w->scores = xcalloc(w->io->info.n_vocab, sizeof *w->scores);
    w->done = w->n_max == 0;
    return EL_OK;
}

static enum el_status emit(struct writer *w, const char *text, size_t nbytes, struct el_err *err)
{
    if (nbytes == 0)
        return EL_OK;
    if (w->text_nbytes + nbytes > w->text_cap) {
        w->text_cap = 2 * (w->text_nbytes + nbytes);
        w->text = xrealloc(w->text, w->text_cap, 1);
    }
    memcpy(w->text + w->text_nbytes, text, nbytes);
    w->text_nbytes += nbytes;
    return w->emit ? w->emit(w->user, text, nbytes, err) : EL_OK;
}

enum el_status writer_echo(struct writer *w, const char *text, size_t nbytes, struct el_err *err)
{
    return emit(w, text, nbytes, err);
}

/* Puts an entry into the n entries of out that are in order, the likeliest first; of equal ones the lower id first. */
static void insert(struct writer_logprob *out, size_t *n, size_t cap, struct writer_logprob e)
{
    if (*n == cap && (cap == 0 || e.logprob <= out[cap - 1].logprob))
        return;
    size_t i = *n < cap ? (*n)++ : cap - 1;
    for (; i > 0 && out[i - 1].logprob < e.logprob; i--)
        out[i] = out[i - 1];
    out[i] = e;
}

static void keep_logprobs(struct writer *w, const float *logits, int32_t id)
{
    const size_t n_vocab = w->io->info.n_vocab, n_top = (size_t)w->a->n_logprobs, n = n_top < n_vocab ? n_top : n_vocab;
    const size_t stride = n + 1;
    if (w->n_ids * stride > w->logprobs_cap) {
        w->logprobs_cap = 2 * w->n_ids * stride;
        w->logprobs = xrealloc(w->logprobs, w->logprobs_cap, sizeof *w->logprobs);
    }
    struct writer_logprob *const out = w->logprobs + (w->n_ids - 1) * stride;
    out[0] = (struct writer_logprob){id, el_log_softmax(logits, n_vocab, id, w->scores)};
    size_t n_out = 0;
    for (size_t i = 0; i < n_vocab; i++)
        insert(out + 1, &n_out, n, (struct writer_logprob){(int32_t)i, w->scores[i]});
}

static void keep_id(struct writer *w, int32_t id)
{
    if (w->n_ids == w->cap) {
        w->cap = w->cap ? 2 * w->cap : 64;
        w->ids = xrealloc(w->ids, w->cap, sizeof *w->ids);
    }
    w->ids[w->n_ids++] = id;
}

/* Emits what can be told apart from a stop string. */
static enum el_status push(struct writer *w, const char *text, size_t nbytes, struct el_err *err)
{
    const bool stopped = stopper_push(&w->stopper, text, nbytes, &text, &nbytes);
    CMD_TRY(emit(w, text, nbytes, err));
    if (stopped) {
        w->done = true;
        w->stop_reason = "stop";
        w->stop_string = w->stopper.hit;
    }
    return EL_OK;
}

/* The end of the text: what was held back comes out. */
static enum el_status finish(struct writer *w, struct el_err *err)
{
    size_t nbytes;
    const char *text = el_detok_flush(w->detok, &nbytes);
    w->done = false;
    CMD_TRY(push(w, text, nbytes, err));
    if (w->done)
        return EL_OK;
    w->done = true;
    stopper_flush(&w->stopper, &text, &nbytes);
    return emit(w, text, nbytes, err);
}

enum el_status writer_stop(struct writer *w, const char *reason, struct el_err *err)
{
    w->stop_reason = reason;
    return finish(w, err);
}

enum el_status writer_step(struct writer *w, const float *logits, struct el_err *err)
{
    const int32_t id = el_sampler_pick(w->sampler, logits);
    if (id < 0) /* no token fits: the grammar is at its end, or cannot go on */
        CMD_TRY(el_grammar_run_check(w->grammar_run, err));
    if (id < 0 || el_tok_is_eog(w->io->tok, id))
        return writer_stop(w, "eog", err);
    el_sampler_accept(w->sampler, id);
    keep_id(w, id);
    if (w->scores)
        keep_logprobs(w, logits, id);
    const char *text;
    size_t nbytes;
    CMD_TRY(el_detok_push(w->detok, id, &text, &nbytes, err));
    CMD_TRY(push(w, text, nbytes, err));
    return w->done || w->n_ids < w->n_max ? EL_OK : finish(w, err);
}

void writer_close(struct writer *w)
{
    el_free(w->prompt);
    el_grammar_run_close(w->grammar_run);
    el_sampler_close(w->sampler);
    el_detok_close(w->detok);
    stopper_free(&w->stopper);
    free(w->ids);
    free(w->text);
    free(w->logprobs);
    free(w->scores);
    *w = (struct writer){.a = NULL};
}
