#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "cmd/command.h"
#include "cmd/json_out.h"
#include "cmd/model_io.h"
#include "cmd/progress.h"
#include "cmd/stopper.h"
#include "cmd/text_in.h"
#include "cmd/text_out.h"
#include "cmd/util.h"

enum { DEFAULT_MAX_CTX = 4096 };

#define N_CTX_DEFAULT UINT64_MAX

struct run_args {
    const char *model, *tokenizer, *prompt, *file, *cpu;
    struct opt_list overrides, stops;
    int64_t n_predict;
    uint64_t n_ctx, n_threads, n_batch, seed, top_k, repeat_last_n;
    double temp, top_p, min_p, repeat_penalty, presence_penalty, frequency_penalty;
    unsigned kv_k, kv_v;
    bool ignore_eos, echo, parse_special, json, timings;
};

static const struct run_args run_defaults = {
    .n_predict = -1,
    .n_ctx = N_CTX_DEFAULT,
    .n_batch = 512,
    .temp = 0.8,
    .top_k = 40,
    .top_p = 0.95,
    .min_p = 0.05,
    .repeat_penalty = 1.0,
    .repeat_last_n = 64,
};

#define FIELD(name) offsetof(struct run_args, name)
static const struct opt run_opts[] = {
    OPT_MODEL(struct run_args),
    OPT_TOKENIZER(struct run_args),
    OPT_OVERRIDE(struct run_args),
    {OPT_STR, "p", "prompt", "TEXT", "the prompt (also as an argument, or on standard input)", FIELD(prompt), 0, 0, NULL},
    {OPT_STR, "f", "file", "FILE", "read the prompt from FILE (-: standard input)", FIELD(file), 0, 0, NULL},
    {OPT_INT, "n", "n-predict|predict", "N",
     "tokens to write at most (-1, the default, and -2: until the model ends or the context is full)", FIELD(n_predict), -2, 1e9,
     NULL},
    {OPT_UINT, "c", "ctx-size", "N",
     "tokens of context (0: all that the model was trained for; without this option these, but at most 4096)", FIELD(n_ctx), 0,
     1 << 30, NULL},
    {OPT_UINT, "b", "batch-size", "N", "tokens of the prompt processed at once (512)", FIELD(n_batch), 1, 65536, NULL},
    OPT_THREADS(struct run_args),
    OPT_CPU(struct run_args),
    {OPT_UINT, "s", "seed", "N",
     "seed of the sampler (0); the same seed gives the same text; -1: a random one, printed on standard error", FIELD(seed), -1,
     18446744073709551615.0, NULL},
    {OPT_FLOAT, NULL, "temp|temperature", "X", "temperature (0.8); 0 or less takes the most likely token", FIELD(temp), -100, 100,
     NULL},
    {OPT_UINT, NULL, "top-k", "N", "choose among the N most likely tokens (40; 0 or -1: all)", FIELD(top_k), -1, 1 << 30, NULL},
    {OPT_FLOAT, NULL, "top-p", "X", "choose among the fewest tokens that hold probability X (0.95; 1: all)", FIELD(top_p), 0, 1,
     NULL},
    {OPT_FLOAT, NULL, "min-p", "X", "drop tokens below X times the highest probability (0.05; 0: none)", FIELD(min_p), 0, 1,
     NULL},
    {OPT_FLOAT, NULL, "repeat-penalty", "X", "make recent tokens less likely (1: off)", FIELD(repeat_penalty), 0.001, 100, NULL},
    {OPT_UINT, NULL, "repeat-last-n", "N", "how many tokens count as recent for the penalties (64; 0: none, -1: all)",
     FIELD(repeat_last_n), -1, 1 << 30, NULL},
    {OPT_FLOAT, NULL, "presence-penalty", "X", "taken from the logit of every recent token (0: off)", FIELD(presence_penalty),
     -100, 100, NULL},
    {OPT_FLOAT, NULL, "frequency-penalty", "X", "taken from the logit of recent tokens, times their number (0: off)",
     FIELD(frequency_penalty), -100, 100, NULL},
    {OPT_LIST, "r", "stop|reverse-prompt", "TEXT", "stop before this text, which is not printed; may be repeated", FIELD(stops),
     0, 0, NULL},
    {OPT_FLAG, NULL, "ignore-eos", NULL, "never choose a token that ends the text", FIELD(ignore_eos), 0, 0, NULL},
    {OPT_FLAG, NULL, "parse-special", NULL, "the text of a control token in the prompt becomes that token", FIELD(parse_special),
     0, 0, NULL},
    {OPT_FLAG, NULL, "echo|display-prompt", NULL, "print the prompt before the text", FIELD(echo), 0, 0, NULL},
    {OPT_UNFLAG, NULL, "no-display-prompt", NULL, "print the text only (the default)", FIELD(echo), 0, 0, NULL},
    OPT_KV_TYPES(struct run_args),
    OPT_JSON(struct run_args),
    {OPT_FLAG, NULL, "timings", NULL, "print times and rates on standard error", FIELD(timings), 0, 0, NULL},
    OPT_END,
};
#undef FIELD

/* One run, from the prompt's ids to the last token. */
struct generation {
    const struct run_args *a;
    struct model_io io;
    int32_t *prompt;
    size_t n_prompt;
    uint32_t n_ctx;
    uint64_t n_max; /* tokens to write at most */
    uint64_t seed;
    int32_t *ids; /* written tokens */
    size_t n_ids, cap;
    char *text; /* printed text, kept for --json only */
    size_t text_nbytes, text_cap;
    bool visible;            /* standard output is a terminal */
    const char *stop_reason; /* "eog", "stop", "length", "context" */
    const char *stop_string;
    uint64_t prompt_ns, predict_ns;
};

/* Prints text at once. EL_E_IO: nobody can read it, so writing more would be in vain. */
static enum el_status emit(struct generation *g, const char *text, size_t nbytes, struct el_err *err)
{
    if (nbytes == 0)
        return EL_OK;
    if (g->a->json) {
        if (g->text_nbytes + nbytes > g->text_cap) {
            g->text_cap = 2 * (g->text_nbytes + nbytes);
            g->text = xrealloc(g->text, g->text_cap, 1);
        }
        memcpy(g->text + g->text_nbytes, text, nbytes);
        g->text_nbytes += nbytes;
        return EL_OK;
    }
    text_write(stdout, text, nbytes, g->visible);
    if (fflush(stdout) != 0)
        return cmd_fail(err, EL_E_IO, "standard output: %s", strerror(errno));
    return EL_OK;
}

/* Ids of the prompt, and how long the context must be. */
static enum el_status prepare(struct generation *g, const char *prompt, size_t nbytes, struct el_err *err)
{
    const struct run_args *const a = g->a;
    const unsigned flags = EL_TOK_ADD_SPECIAL | (a->parse_special ? EL_TOK_PARSE_SPECIAL : 0u);
    CMD_TRY(el_encode(g->io.tok, prompt, nbytes, flags, &g->prompt, &g->n_prompt, err));
    if (g->n_prompt == 0) {
        /* Something must be run to get a first distribution. */
        const int32_t bos = el_tok_bos(g->io.tok);
        if (bos < 0)
            return cmd_fail(err, EL_E_USAGE, "the prompt is empty, and the model has no BOS token to begin with");
        el_free(g->prompt);
        g->prompt = xcalloc(1, sizeof *g->prompt);
        g->prompt[0] = bos;
        g->n_prompt = 1;
    }
    const uint32_t train = g->io.info.n_ctx_train ? g->io.info.n_ctx_train : DEFAULT_MAX_CTX;
    const uint32_t usual = train < DEFAULT_MAX_CTX ? train : DEFAULT_MAX_CTX;
    const uint32_t most = a->n_ctx == N_CTX_DEFAULT ? usual : a->n_ctx ? (uint32_t)a->n_ctx : train;
    if (g->n_prompt > most)
        return cmd_fail(err, EL_E_USAGE, "the prompt has %zu tokens, the context %u (see --ctx-size)", g->n_prompt,
                        (unsigned)most);
    const uint64_t room = most - g->n_prompt + 1; /* the last token written need not be run */
    g->n_max = a->n_predict >= 0 && (uint64_t)a->n_predict < room ? (uint64_t)a->n_predict : room;
    const uint64_t need = g->n_prompt + (g->n_max ? g->n_max - 1 : 0);
    g->n_ctx = (uint32_t)(need < most ? need : most);
    g->stop_reason = a->n_predict >= 0 && (uint64_t)a->n_predict <= room ? "length" : "context";
    return EL_OK;
}

static enum el_status open_session(struct generation *g, struct el_err *err)
{
    const struct run_args *const a = g->a;
    const struct el_session_opts opts = {
        .n_ctx = g->n_ctx,
        .n_seqs = 1,
        .n_batch = (uint32_t)(a->n_batch < g->n_prompt ? a->n_batch : g->n_prompt),
        .kv_type_k = opts_kv_type(a->kv_k),
        .kv_type_v = opts_kv_type(a->kv_v),
        .n_threads = opts_threads(a->n_threads),
    };
    return model_io_session(&g->io, &opts, err);
}

/* Runs the prompt in batches; the last row's logits are left in the session at *last_row. */
static enum el_status run_prompt(struct generation *g, size_t *last_row, struct el_err *err)
{
    const uint64_t start = now_ns();
    const size_t n_batch = el_session_n_batch(g->io.session);
    struct el_row *const rows = xcalloc(n_batch, sizeof *rows);
    enum el_status status = EL_OK;
    for (size_t at = 0; at < g->n_prompt && status == EL_OK; at += n_batch) {
        const size_t n = g->n_prompt - at < n_batch ? g->n_prompt - at : n_batch;
        for (size_t i = 0; i < n; i++)
            rows[i] =
                (struct el_row){.token = g->prompt[at + i], .pos = (uint32_t)(at + i), .want_logits = at + i + 1 == g->n_prompt};
        status = el_session_decode(g->io.session, rows, n, err);
        *last_row = n - 1;
    }
    free(rows);
    g->prompt_ns = now_ns() - start;
    return status;
}

static enum el_status choose_seed(struct generation *g, struct el_err *err)
{
    uint32_t random = 0; /* 32 bits are enough, and easier to type again */
    g->seed = g->a->seed;
    if (g->seed != UINT64_MAX)
        return EL_OK;
    if (getrandom(&random, sizeof random, 0) != (ssize_t)sizeof random)
        return cmd_fail(err, EL_E_IO, "a random seed: %s", strerror(errno));
    g->seed = random;
    if (!progress_is_quiet())
        (void)fprintf(stderr, "seed: %llu\n", (unsigned long long)g->seed);
    return EL_OK;
}

static enum el_status open_sampler(struct generation *g, struct el_sampler **sampler, struct el_err *err)
{
    const struct run_args *const a = g->a;
    const uint64_t n_all = g->n_prompt + g->n_max; /* there are never more recent tokens than these */
    CMD_TRY(choose_seed(g, err));
    const struct el_sampler_opts opts = {
        .temp = a->temp > 0 ? (float)a->temp : 0.0f,
        .top_k = a->top_k == UINT64_MAX ? 0 : (uint32_t)a->top_k,
        .top_p = (float)a->top_p,
        .min_p = (float)a->min_p,
        .repeat_penalty = (float)a->repeat_penalty,
        .presence_penalty = (float)a->presence_penalty,
        .frequency_penalty = (float)a->frequency_penalty,
        .penalty_last_n = (uint32_t)(a->repeat_last_n < n_all ? a->repeat_last_n : n_all),
        .seed = g->seed,
    };
    CMD_TRY(el_sampler_open(&opts, g->io.info.n_vocab, sampler, err));
    for (size_t i = 0; i < g->n_prompt; i++)
        el_sampler_accept(*sampler, g->prompt[i]);
    return EL_OK;
}

/* With --ignore-eos: a copy of the logits without the tokens that end a text. */
struct mask {
    float *logits;
    int32_t *banned;
    size_t n_vocab, n_banned;
};

static void mask_init(struct mask *m, const struct generation *g)
{
    *m = (struct mask){.n_vocab = g->io.info.n_vocab};
    if (!g->a->ignore_eos)
        return;
    m->logits = xcalloc(m->n_vocab, sizeof *m->logits);
    m->banned = xcalloc(m->n_vocab, sizeof *m->banned);
    for (size_t i = 0; i < m->n_vocab; i++)
        if (el_tok_is_eog(g->io.tok, (int32_t)i))
            m->banned[m->n_banned++] = (int32_t)i;
}

static int32_t pick(const struct mask *m, struct el_sampler *sampler, const float *logits)
{
    if (!m->logits)
        return el_sampler_pick(sampler, logits);
    memcpy(m->logits, logits, m->n_vocab * sizeof *m->logits);
    for (size_t i = 0; i < m->n_banned; i++)
        m->logits[m->banned[i]] = -INFINITY;
    return el_sampler_pick(sampler, m->logits);
}

static void keep_id(struct generation *g, int32_t id)
{
    if (g->n_ids == g->cap) {
        g->cap = g->cap ? 2 * g->cap : 256;
        g->ids = xrealloc(g->ids, g->cap, sizeof *g->ids);
    }
    g->ids[g->n_ids++] = id;
}

/* Token by token. row: where the prompt's last logits are. */
static enum el_status predict(struct generation *g, struct el_sampler *sampler, struct el_detok *detok, struct stopper *stopper,
                              size_t row, struct el_err *err)
{
    struct mask mask;
    mask_init(&mask, g);
    enum el_status status = EL_OK;
    const char *text = "";
    size_t nbytes = 0;
    bool stopped = false;
    while (g->n_ids < g->n_max && !stopped) {
        const int32_t id = pick(&mask, sampler, el_session_logits(g->io.session, row));
        if (el_tok_is_eog(g->io.tok, id)) {
            g->stop_reason = "eog";
            break;
        }
        el_sampler_accept(sampler, id);
        keep_id(g, id);
        CMD_TRY_OUT(el_detok_push(detok, id, &text, &nbytes, err));
        stopped = stopper_push(stopper, text, nbytes, &text, &nbytes);
        CMD_TRY_OUT(emit(g, text, nbytes, err));
        if (stopped || g->n_ids == g->n_max)
            break;
        const struct el_row next = {.token = id, .pos = (uint32_t)(g->n_prompt + g->n_ids - 1), .want_logits = true};
        CMD_TRY_OUT(el_session_decode(g->io.session, &next, 1, err));
        row = 0;
    }
    if (!stopped) {
        text = el_detok_flush(detok, &nbytes);
        stopped = stopper_push(stopper, text, nbytes, &text, &nbytes);
        CMD_TRY_OUT(emit(g, text, nbytes, err));
    }
    if (stopped) {
        g->stop_reason = "stop";
        g->stop_string = stopper->hit;
    } else {
        stopper_flush(stopper, &text, &nbytes);
        status = emit(g, text, nbytes, err);
    }
out:
    free(mask.logits);
    free(mask.banned);
    return status;
}

static double per_second(size_t n, uint64_t ns)
{
    return ns ? (double)n * 1e9 / (double)ns : 0.0;
}

static void print_timings(const struct generation *g)
{
    (void)fprintf(stderr, "prompt: %zu tokens in %.2f ms, %.2f tokens/s\n", g->n_prompt, (double)g->prompt_ns * 1e-6,
                  per_second(g->n_prompt, g->prompt_ns));
    (void)fprintf(stderr, "text:   %zu tokens in %.2f ms, %.2f tokens/s\n", g->n_ids, (double)g->predict_ns * 1e-6,
                  per_second(g->n_ids, g->predict_ns));
}

static void print_json(const struct generation *g)
{
    struct json_out j;
    json_init(&j, stdout, false);
    json_object(&j);
    json_key(&j, "text");
    json_text(&j, g->text ? g->text : "", g->text_nbytes);
    json_key(&j, "ids");
    json_array(&j, true);
    for (size_t i = 0; i < g->n_ids; i++)
        json_int(&j, g->ids[i]);
    json_end_array(&j);
    json_kuint(&j, "n_prompt", g->n_prompt);
    json_kuint(&j, "n_predict", g->n_ids);
    json_kstr(&j, "stop_reason", g->stop_reason);
    json_kstr(&j, "stop_string", g->stop_string);
    json_kuint(&j, "seed", g->seed);
    json_kuint(&j, "n_threads", el_session_n_threads(g->io.session));
    json_kuint(&j, "n_ctx", g->n_ctx);
    json_kstr(&j, "type_k", opts_kv_type(g->a->kv_k));
    json_kstr(&j, "type_v", opts_kv_type(g->a->kv_v));
    json_kuint(&j, "prompt_ns", g->prompt_ns);
    json_kuint(&j, "predict_ns", g->predict_ns);
    json_knum(&j, "prompt_per_second", per_second(g->n_prompt, g->prompt_ns));
    json_knum(&j, "predicted_per_second", per_second(g->n_ids, g->predict_ns));
    json_end_object(&j);
    json_finish(&j);
}

static enum el_status generate(struct generation *g, const char *prompt, size_t nbytes, struct el_err *err)
{
    struct el_sampler *sampler = NULL;
    struct el_detok *detok = NULL;
    struct stopper stopper;
    size_t row = 0;
    enum el_status status = EL_OK;
    stopper_init(&stopper, g->a->stops.v, g->a->stops.n);
    CMD_TRY_OUT(prepare(g, prompt, nbytes, err));
    CMD_TRY_OUT(open_session(g, err));
    CMD_TRY_OUT(open_sampler(g, &sampler, err));
    CMD_TRY_OUT(el_detok_open(g->io.tok, &detok, err));
    for (size_t i = 0; i < g->n_prompt; i++) { /* so that the text goes on where the prompt ends, with its first space */
        const char *text;
        size_t n_text;
        CMD_TRY_OUT(el_detok_push(detok, g->prompt[i], &text, &n_text, err));
    }
    if (g->a->echo)
        CMD_TRY_OUT(emit(g, prompt, nbytes, err));
    CMD_TRY_OUT(run_prompt(g, &row, err));
    const uint64_t start = now_ns();
    CMD_TRY_OUT(predict(g, sampler, detok, &stopper, row, err));
    g->predict_ns = now_ns() - start;
    if (g->a->json)
        print_json(g);
    else if (g->visible)
        (void)putchar('\n');
    if (g->a->timings)
        print_timings(g);
out:
    stopper_free(&stopper);
    el_detok_close(detok);
    el_sampler_close(sampler);
    return status;
}

static enum el_status run(const void *args, struct words words, struct el_err *err)
{
    const struct run_args *const a = args;
    struct generation g = {.a = a, .visible = isatty(1) == 1};
    char *prompt = NULL;
    size_t nbytes = 0;
    enum el_status status = EL_OK;
    if (!a->model)
        return cmd_fail(err, EL_E_USAGE, "no model given: option '--model' is missing");
    for (size_t i = 0; i < a->stops.n; i++)
        if (!a->stops.v[i][0])
            return cmd_fail(err, EL_E_USAGE, "option '--stop': the text is empty");
    if (a->prompt && words.n)
        return cmd_fail(err, EL_E_USAGE, "the prompt is given twice: as '%s' and with option '--prompt'", words.v[0]);
    CMD_TRY_OUT(model_io_cpu(a->cpu, err));
    const char *const word = words.n ? words.v[0] : a->prompt;
    CMD_TRY_OUT(text_in_read(word, a->file, "prompt", &prompt, &nbytes, err));
    if ((!word || strcmp(word, "-") == 0) && nbytes && prompt[nbytes - 1] == '\n')
        nbytes--; /* the end of the last line of a file is no part of the prompt */
    CMD_TRY_OUT(model_io_source(&g.io, a->model, a->tokenizer, &a->overrides, err));
    CMD_TRY_OUT(model_io_tokenizer(&g.io, err));
    CMD_TRY_OUT(model_io_model(&g.io, err));
    status = generate(&g, prompt, nbytes, err);
out:
    el_free(prompt);
    el_free(g.prompt);
    free(g.ids);
    free(g.text);
    model_io_close(&g.io);
    return status;
}

const struct command cmd_run = {
    .name = "run",
    .about = "Continue a prompt, token by token",
    .details = "The prompt comes from PROMPT, --prompt, --file or standard input.",
    .usage = "[options] -m FILE [PROMPT]",
    .opts = run_opts,
    .args_nbytes = sizeof(struct run_args),
    .defaults = &run_defaults,
    .min_words = 0,
    .max_words = 1,
    .run = run,
};
