/* What the sampler options amount to; see run_args.h. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "cmd/run_args.h"
#include "cmd/util.h"

/* "15043+1", "15043-0.5", "15043-inf", "15043=false" */
static bool read_bias(const char *s, struct el_logit_bias *out)
{
    char digits[24];
    uint64_t id = 0;
    double bias = 0;
    const size_t n = strspn(s, "0123456789");
    if (n == 0 || n >= sizeof digits)
        return false;
    (void)snprintf(digits, sizeof digits, "%.*s", (int)n, s);
    if (!opts_uint(digits, &id) || id > INT32_MAX)
        return false;
    const char *const rest = s + n;
    const bool forbid = strcmp(rest, "=false") == 0 || strcmp(rest, "-inf") == 0;
    const bool is_number = (rest[0] == '+' || rest[0] == '-') && rest[1] != '-' && opts_float(rest + 1, &bias);
    if (!forbid && (!is_number || bias > 1e30))
        return false;
    *out = (struct el_logit_bias){(int32_t)id, forbid ? -INFINITY : (float)(rest[0] == '-' ? -bias : bias)};
    return true;
}

static enum el_status check_letters(const char *letters, struct el_err *err)
{
    for (const char *p = letters; *p; p++) {
        char letter = '\0';
        for (size_t i = 0; letter != *p && el_sampler_step_at(i, &letter); i++)
            continue;
        if (letter != *p)
            return cmd_fail(err, EL_E_USAGE, "option '--sampler-seq': '%s' has other letters than edskypmxt", letters);
    }
    return EL_OK;
}

/* The library reads the names; a sampler of one token is the cheapest that it checks them for. */
static enum el_status check_order(const struct run_args *a, struct el_err *err)
{
    struct el_sampler_opts opts = el_sampler_defaults();
    struct el_sampler *sampler = NULL;
    struct el_err why = {.code = EL_OK};
    if (a->sampler_seq)
        CMD_TRY(check_letters(a->sampler_seq, err));
    opts.order = a->samplers;
    const enum el_status status = el_sampler_open(&opts, 1, &sampler, &why);
    el_sampler_close(sampler);
    return status == EL_OK ? EL_OK : cmd_fail(err, status, "option '--samplers': %s", why.text);
}

/* Options that need another one, and those that exclude each other. */
static enum el_status check_forms(const struct run_args *a, struct el_err *err)
{
    const bool chat = a->chat || a->messages;
    const struct {
        bool given, allowed;
        const char *name, *needs;
    } rows[] = {
        {a->prompt_cache_ro, a->prompt_cache, "prompt-cache-ro", "--prompt-cache"},
        {a->prompt_cache_all, a->prompt_cache, "prompt-cache-all", "--prompt-cache"},
        {a->n_logprobs >= 0, a->json || a->jsonl, "logprobs", "--json or --jsonl"},
        {a->n_parallel, a->jsonl, "parallel", "--jsonl"},
        {a->as_finished, a->jsonl, "as-finished", "--jsonl"},
        {a->single_turn, a->chat, "single-turn", "--chat"},
        {a->system_prompt, a->chat, "system-prompt", "--chat"},
        {a->system_file, a->chat, "system-prompt-file", "--chat"},
        {a->chat_template, chat || a->jsonl, "chat-template", "--chat or --messages"},
        {a->chat_template_file, chat || a->jsonl, "chat-template-file", "--chat or --messages"},
        {a->chat_kwargs, chat || a->jsonl, "chat-template-kwargs", "--chat or --messages"},
    };
    const struct {
        bool both;
        const char *one, *other;
    } pairs[] = {
        {a->prompt_cache_ro && a->prompt_cache_all, "prompt-cache-ro", "prompt-cache-all"},
        {a->jsonl && a->messages, "jsonl", "messages"},
        {a->jsonl && a->json, "jsonl", "json"},
        {a->jsonl && a->prompt_cache, "jsonl", "prompt-cache"},
        {a->jsonl && a->single_turn, "jsonl", "single-turn"},
        {a->messages && a->system_prompt, "messages", "system-prompt"},
        {a->messages && a->system_file, "messages", "system-prompt-file"},
        {a->system_prompt && a->system_file, "system-prompt", "system-prompt-file"},
        {a->chat_template && a->chat_template_file, "chat-template", "chat-template-file"},
        {a->samplers && a->sampler_seq, "samplers", "sampler-seq"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (rows[i].given && !rows[i].allowed)
            return cmd_fail(err, EL_E_USAGE, "option '--%s' needs %s", rows[i].name, rows[i].needs);
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++)
        if (pairs[i].both)
            return cmd_fail(err, EL_E_USAGE, "options '--%s' and '--%s' exclude each other", pairs[i].one, pairs[i].other);
    return EL_OK;
}

enum el_status run_args_check(const struct run_args *a, struct el_err *err)
{
    struct el_logit_bias bias;
    for (size_t i = 0; i < a->stops.n; i++)
        if (!a->stops.v[i][0])
            return cmd_fail(err, EL_E_USAGE, "option '--stop': the text is empty");
    for (size_t i = 0; i < a->logit_bias.n; i++)
        if (!read_bias(a->logit_bias.v[i], &bias))
            return cmd_fail(err, EL_E_USAGE,
                            "option '--logit-bias': '%s' is not the number of a token with +X, -X or =false behind it",
                            a->logit_bias.v[i]);
    CMD_TRY(check_forms(a, err));
    return check_order(a, err);
}

enum el_status run_args_seed(const struct run_args *a, uint64_t *seed, struct el_err *err)
{
    uint32_t random = 0; /* 32 bits are enough, and easier to type again */
    *seed = a->seed;
    if (a->seed != UINT64_MAX)
        return EL_OK;
    if (getrandom(&random, sizeof random, 0) != (ssize_t)sizeof random)
        return cmd_fail(err, EL_E_IO, "a random seed: %s", strerror(errno));
    *seed = random;
    return EL_OK;
}

/* The biases of the options and, with --ignore-eos, of all tokens that end a text. free() the result. */
static struct el_logit_bias *biases(const struct run_args *a, const struct el_tokenizer *tok, size_t n_vocab, size_t *n)
{
    size_t n_eog = 0;
    for (size_t id = 0; a->ignore_eos && id < n_vocab; id++)
        n_eog += el_tok_is_eog(tok, (int32_t)id);
    struct el_logit_bias *const out = xcalloc(a->logit_bias.n + n_eog, sizeof *out);
    *n = 0;
    for (size_t i = 0; i < a->logit_bias.n; i++)
        if (read_bias(a->logit_bias.v[i], &out[*n]))
            ++*n;
    for (size_t id = 0; n_eog && id < n_vocab; id++)
        if (el_tok_is_eog(tok, (int32_t)id))
            out[(*n)++] = (struct el_logit_bias){(int32_t)id, -INFINITY};
    return out;
}

static uint32_t at_most(uint64_t n, uint64_t most)
{
    return (uint32_t)(n < most ? n : most);
}

enum el_status run_args_sampler(const struct run_args *a, const struct el_tokenizer *tok, size_t n_vocab, uint64_t n_all,
                                uint64_t seed, struct el_sampler **sampler, struct el_err *err)
{
    static const char *const no_breakers[1];
    size_t first = 0; /* breakers before the last "none" do not count */
    for (size_t i = 0; i < a->dry_breakers.n; i++)
        if (strcmp(a->dry_breakers.v[i], "none") == 0)
            first = i + 1;
    const size_t n_breakers = a->dry_breakers.n - first;
    struct el_sampler_opts opts = {
        .temp = a->temp > 0 ? (float)a->temp : 0.0f,
        .top_k = a->top_k == UINT64_MAX ? 0 : (uint32_t)a->top_k,
        .top_p = (float)a->top_p,
        .min_p = (float)a->min_p,
        .typical_p = (float)a->typical_p,
        .top_n_sigma = (float)a->top_n_sigma,
        .xtc_probability = (float)a->xtc_probability,
        .xtc_threshold = (float)a->xtc_threshold,
        .dynatemp_range = a->temp > 0 ? (float)a->dynatemp_range : 0.0f,
        .dynatemp_exponent = (float)a->dynatemp_exp,
        .repeat_penalty = (float)a->repeat_penalty,
        .presence_penalty = (float)a->presence_penalty,
        .frequency_penalty = (float)a->frequency_penalty,
        .penalty_last_n = at_most(a->repeat_last_n, n_all),
        .dry_multiplier = (float)a->dry_multiplier,
        .dry_base = (float)a->dry_base,
        .dry_allowed_length = (uint32_t)a->dry_allowed_length,
        .dry_penalty_last_n = at_most(a->dry_penalty_last_n, n_all),
        .dry_breakers = n_breakers ? a->dry_breakers.v + first
                        : first    ? no_breakers
                                   : NULL,
        .n_dry_breakers = n_breakers,
        .tokenizer = tok,
        .mirostat = (unsigned)a->mirostat,
        .mirostat_tau = (float)a->mirostat_ent,
        .mirostat_eta = (float)a->mirostat_lr,
        .order = a->samplers ? a->samplers : a->sampler_seq,
        .seed = seed,
    };
    struct el_logit_bias *const bias = biases(a, tok, n_vocab, &opts.n_logit_bias);
    opts.logit_bias = bias;
    const enum el_status status = el_sampler_open(&opts, n_vocab, sampler, err);
    free(bias);
    return status;
}
