/* Settings of run, its option table, and what the sampler options amount to. */
#ifndef CMD_RUN_ARGS_H
#define CMD_RUN_ARGS_H

#include "cmd/options.h"
#include "cmd/run_grammar.h"
#include "edgellm.h"

#define RUN_N_CTX_DEFAULT UINT64_MAX /* of n_ctx: the option is not given */

struct run_args {
    const char *model, *tokenizer, *prompt, *file, *cpu, *cache;
    struct opt_list overrides, stops;
    int64_t n_predict, n_logprobs; /* n_logprobs -1: none */
    uint64_t n_ctx, n_threads, n_batch;
    unsigned kv_k, kv_v;
    bool ignore_eos, echo, escape, parse_special, json, timings;

    uint64_t seed;                                                                   /* UINT64_MAX: a random one */
    uint64_t top_k, repeat_last_n, dry_allowed_length, dry_penalty_last_n, mirostat; /* UINT64_MAX: all */
    double temp, top_p, min_p, typical_p, top_n_sigma, xtc_probability, xtc_threshold, dynatemp_range, dynatemp_exp;
    double repeat_penalty, presence_penalty, frequency_penalty, dry_multiplier, dry_base, mirostat_lr, mirostat_ent;
    const char *samplers, *sampler_seq;
    struct opt_list dry_breakers, logit_bias;
    struct run_grammar_args grammar;

    const char *prompt_cache;
    bool prompt_cache_ro, prompt_cache_all;

    bool chat, single_turn;
    const char *tools; /* of a line of --jsonl: a JSON array */
    const char *chat_template, *chat_template_file, *chat_kwargs, *system_prompt, *system_file, *messages;

    const char *jsonl;
    uint64_t n_parallel; /* 0: as many as pay */
    bool as_finished;
};

extern const struct opt run_opts[];
extern const struct run_args run_defaults;

/* Checks what needs no model: lists, names of samplers, options that exclude each other. EL_E_USAGE. */
enum el_status run_args_check(const struct run_args *a, struct el_err *err);

/*
 * A sampler as the options say. n_all: tokens of prompt and text together, at most; seed: run_args_seed's. EL_E_USAGE names the
 * option that does not fit the model.
 */
enum el_status run_args_sampler(const struct run_args *a, const struct el_tokenizer *tok, size_t n_vocab, uint64_t n_all,
                                uint64_t seed, struct el_sampler **sampler, struct el_err *err);
/* The seed to use: of the options, or a random one. */
enum el_status run_args_seed(const struct run_args *a, uint64_t *seed, struct el_err *err);

#endif
