/*
 * Samplers, inside. A chain of steps (model/samplers.def) works on a list of candidates; what is left is drawn from. All memory
 * is taken on opening. A step may change logits (and clears `sorted`) or drop candidates.
 */
#ifndef EL_MODEL_SAMPLER_IMPL_H
#define EL_MODEL_SAMPLER_IMPL_H

#include "edgellm.h"

enum {
    EL_MAX_SAMPLER_STEPS = 32,
    EL_MAX_BREAKERS = 64,       /* sequence breakers of DRY */
    EL_MAX_BREAKER_NBYTES = 40, /* of one of them */
};

struct el_candidate {
    float logit;
    int32_t id;
};

/* The last tokens, oldest first from `at` when full. */
struct el_ring {
    int32_t *ids; /* [cap] */
    uint32_t cap, n, at;
};

/* DRY ("don't repeat yourself"). Present only when its multiplier is not 0. */
struct el_dry {
    struct el_ring last;
    char *text;      /* bytes of all tokens, one after the other */
    uint32_t *off;   /* [n_vocab + 1] */
    uint8_t *breaks; /* [n_vocab] 1: the token's text holds a sequence breaker */
    char **breakers; /* [n_breakers], one allocation */
    size_t n_breakers;
    uint32_t *repeat;  /* [last.cap] length of the repetition that ends at a token */
    int32_t *recent;   /* [last.cap] the ring, newest first */
    uint32_t *longest; /* [n_vocab] 1 + the longest repetition that a token would continue, 0: none; all 0 between calls */
};

typedef void el_sample_fn(struct el_sampler *s);

struct el_sampler {
    struct el_sampler_opts opts;
    size_t n_vocab;
    uint64_t state[4]; /* of xoshiro256** */
    el_sample_fn *steps[EL_MAX_SAMPLER_STEPS];
    size_t n_steps;
    bool keeps_best;            /* no step that is on can drop the most likely token */
    struct el_logit_bias *bias; /* [opts.n_logit_bias], copied */

    struct el_candidate *c; /* [n_vocab], of which n are left */
    size_t n;
    bool sorted; /* c[0..n) is in order */
    double *p;   /* [n_vocab] weights of the candidates, filled by el_sample_weigh */

    struct el_ring last; /* for the penalties */
    uint32_t *counts;    /* [n_vocab] how often a token is in it */
    double mu;           /* of mirostat */
    struct el_dry *dry;
    struct el_grammar_run *grammar; /* borrowed; NULL: none */
};

/* Uniform in [0, 1), 53 bits. */
double el_sample_draw(struct el_sampler *s);
/* Sorts the candidates: larger logit first, among equals the lower id. A total order, so the way of sorting does not matter. */
void el_sample_sort(struct el_sampler *s);
/* Sorts, sets p[i] = exp(logit_i - logit_0) and returns their sum. */
double el_sample_weigh(struct el_sampler *s);
/* Draws one of the candidates by weight; returns its place. */
size_t el_sample_choose(struct el_sampler *s, double *probability);
/* Adds an id; *old is the one that fell out, or -1. */
void el_ring_push(struct el_ring *ring, int32_t id, int32_t *old);

/*
 * Steps from names ("top_k;temperature"), letters ("kt") or NULL (all, in the order of the table). EL_E_USAGE names what is not
 * one.
 */
enum el_status el_sampler_chain(struct el_sampler *s, const char *order, struct el_err *err);

/* EL_E_USAGE for breakers that are empty, too long or too many, or without a tokenizer; EL_E_MEMORY. */
enum el_status el_dry_open(struct el_sampler *s, struct el_err *err);
void el_dry_close(struct el_dry *dry);

#define SAMPLER(function, name, letter) el_sample_fn el_sample_##function;
#include "model/samplers.def"
#undef SAMPLER

#endif
