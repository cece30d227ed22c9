/*
 * Negative log-likelihoods and what follows from them.
 *
 *   ppl = exp(mean nll)      ppl_stderr = ppl * sqrt((mean nll^2 - (mean nll)^2) / (n - 1)), as llama-perplexity prints it
 */
#ifndef CMD_SCORE_H
#define CMD_SCORE_H

#include <stdint.h>

struct score {
    double sum, sum2; /* nats */
    uint64_t n;       /* tokens */
    uint64_t nbytes;  /* of their text */
};

void score_add(struct score *s, double nll, uint64_t nbytes);
double score_mean(const struct score *s);
double score_ppl(const struct score *s);
double score_ppl_stderr(const struct score *s);
/* NaN when the tokens have no text. */
double score_bits_per_byte(const struct score *s);

/* Mean and its standard error from sums, as llama-perplexity computes them: 0 for the error of ten values or fewer. */
struct mean_err {
    double mean, err;
};
struct mean_err mean_err_of(double sum, double sum2, uint64_t n);

#endif
