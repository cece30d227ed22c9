/*
 * Divergence of a model Q from a base model, per token (all logarithms natural, sums in float64):
 *
 *   kld = sum over the vocabulary of p_base (ln p_base - ln p_Q)       dp = p_Q(token) - p_base(token)
 *
 * Summaries as llama-perplexity prints them: means with standard errors, quantiles by linear interpolation.
 */
#ifndef CMD_KLD_STATS_H
#define CMD_KLD_STATS_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "cmd/json_out.h"
#include "cmd/score.h"

struct kld_stats {
    uint64_t n, n_same_top;
    double nll_q, nll_q2, nll_base, nll_base2, nll_both; /* sums; both: of products */
    double kld, kld2, dp, dp2, dp4;                      /* sums of powers */
    double *klds, *dps;                                  /* one per token, for the quantiles */
    size_t cap;
};

/* lp_base, lp_q [n_vocab]: log-probabilities; id: the token that came. */
void kld_stats_add(struct kld_stats *s, const double *lp_base, const double *lp_q, size_t n_vocab, int32_t id);
/* Sorts; after it no more may be added. */
void kld_stats_finish(struct kld_stats *s);
void kld_stats_free(struct kld_stats *s);

/* x [n] ascending; fraction in [0, 1]. */
double kld_quantile(const double *x, size_t n, double fraction);

struct kld_summary {
    struct mean_err ppl_q, ppl_base, ln_ratio, ratio, diff, kld, dp, rms_dp, same_top;
    double correlation;
};
struct kld_summary kld_stats_summary(const struct kld_stats *s);
void kld_stats_print(const struct kld_stats *s, FILE *f);
/* Members of an object that is open. */
void kld_stats_json(const struct kld_stats *s, struct json_out *j);

#endif
