#include "cmd/kld_stats.h"

#include <math.h>
#include <stdlib.h>

#include "cmd/util.h"

static const struct {
    const char *label, *key;
    double fraction;
} quantiles[] = {
    {"Maximum", "max", 1.0},  {"99.9%  ", "p99_9", 0.999}, {"99.0%  ", "p99", 0.99},   {"95.0%  ", "p95", 0.95},
    {"90.0%  ", "p90", 0.90}, {"75.0%  ", "p75", 0.75},    {"Median ", "median", 0.5}, {"25.0%  ", "p25", 0.25},
    {"10.0%  ", "p10", 0.10}, {" 5.0%  ", "p5", 0.05},     {" 1.0%  ", "p1", 0.01},    {" 0.1%  ", "p0_1", 0.001},
    {"Minimum", "min", 0.0},
};
enum { N_QUANTILES = sizeof quantiles / sizeof *quantiles };

static void keep(struct kld_stats *s, double kld, double dp)
{
    if (s->n == s->cap) {
        s->cap = s->cap ? 2 * s->cap : 1024;
        s->klds = xrealloc(s->klds, s->cap, sizeof *s->klds);
        s->dps = xrealloc(s->dps, s->cap, sizeof *s->dps);
    }
    s->klds[s->n] = kld;
    s->dps[s->n] = dp;
}

void kld_stats_add(struct kld_stats *s, const double *lp_base, const double *lp_q, size_t n_vocab, int32_t id)
{
    double kld = 0.0;
    size_t top_base = 0, top_q = 0;
    for (size_t i = 0; i < n_vocab; i++) {
        const double p = exp(lp_base[i]);
        if (p > 0)
            kld += p * (lp_base[i] - lp_q[i]);
        if (lp_base[i] > lp_base[top_base])
            top_base = i;
        if (lp_q[i] > lp_q[top_q])
            top_q = i;
    }
    const double nll_q = -lp_q[id], nll_base = -lp_base[id], dp = exp(lp_q[id]) - exp(lp_base[id]);
    keep(s, kld, dp);
    s->n++;
    s->n_same_top += top_base == top_q;
    s->nll_q += nll_q;
    s->nll_q2 += nll_q * nll_q;
    s->nll_base += nll_base;
    s->nll_base2 += nll_base * nll_base;
    s->nll_both += nll_q * nll_base;
    s->kld += kld;
    s->kld2 += kld * kld;
    s->dp += dp;
    s->dp2 += dp * dp;
    s->dp4 += dp * dp * dp * dp;
}

static int compare(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

void kld_stats_finish(struct kld_stats *s)
{
    if (s->n == 0)
        return;
    qsort(s->klds, s->n, sizeof *s->klds, compare);
    qsort(s->dps, s->n, sizeof *s->dps, compare);
}

void kld_stats_free(struct kld_stats *s)
{
    free(s->klds);
    free(s->dps);
    *s = (struct kld_stats){0};
}

double kld_quantile(const double *x, size_t n, double fraction)
{
    if (n == 0)
        return NAN;
    const double at = fraction * (double)(n - 1);
    const size_t i = (size_t)at;
    const double rest = at - (double)i;
    return i + 1 < n ? (1 - rest) * x[i] + rest * x[i + 1] : x[n - 1];
}

struct kld_summary kld_stats_summary(const struct kld_stats *s)
{
    const double n = (double)s->n;
    const struct mean_err ln_q = mean_err_of(s->nll_q, s->nll_q2, s->n), ln_base = mean_err_of(s->nll_base, s->nll_base2, s->n);
    const double cov = s->n > 10 ? (s->nll_both / n - ln_q.mean * ln_base.mean) / (n - 1) : 0.0;
    const double ratio_var = ln_q.err * ln_q.err + ln_base.err * ln_base.err - 2.0 * cov;
    struct kld_summary r = {
        .ppl_q = {exp(ln_q.mean), exp(ln_q.mean) * ln_q.err},
        .ppl_base = {exp(ln_base.mean), exp(ln_base.mean) * ln_base.err},
        .ln_ratio = {ln_q.mean - ln_base.mean, ratio_var > 0 ? sqrt(ratio_var) : 0.0},
        .kld = mean_err_of(s->kld, s->kld2, s->n),
        .dp = mean_err_of(s->dp, s->dp2, s->n),
        .correlation = ln_q.err > 0 && ln_base.err > 0 ? cov / (ln_q.err * ln_base.err) : 1.0,
    };
    r.ratio = (struct mean_err){exp(r.ln_ratio.mean), exp(r.ln_ratio.mean) * r.ln_ratio.err};
    const double diff_var =
        r.ppl_q.err * r.ppl_q.err + r.ppl_base.err * r.ppl_base.err - 2.0 * r.ppl_q.mean * r.ppl_base.mean * cov;
    r.diff = (struct mean_err){r.ppl_q.mean - r.ppl_base.mean, diff_var > 0 ? sqrt(diff_var) : 0.0};
    const struct mean_err mse = mean_err_of(s->dp2, s->dp4, s->n);
    const double rms = sqrt(mse.mean), same = s->n ? (double)s->n_same_top / n : 0.0;
    r.rms_dp = (struct mean_err){rms, rms > 0 ? 0.5 / rms * mse.err : 0.0};
    r.same_top = (struct mean_err){same, s->n > 1 ? sqrt(same * (1 - same) / (n - 1)) : 0.0};
    return r;
}

void kld_stats_print(const struct kld_stats *s, FILE *f)
{
    const struct kld_summary r = kld_stats_summary(s);
    (void)fprintf(f, "====== Perplexity statistics ======\n");
    (void)fprintf(f, "Mean PPL(Q)                   : %10.6f ± %10.6f\n", r.ppl_q.mean, r.ppl_q.err);
    (void)fprintf(f, "Mean PPL(base)                : %10.6f ± %10.6f\n", r.ppl_base.mean, r.ppl_base.err);
    (void)fprintf(f, "Cor(ln(PPL(Q)), ln(PPL(base))): %6.2f%%\n", 100.0 * r.correlation);
    (void)fprintf(f, "Mean ln(PPL(Q)/PPL(base))     : %10.6f ± %10.6f\n", r.ln_ratio.mean, r.ln_ratio.err);
    (void)fprintf(f, "Mean PPL(Q)/PPL(base)         : %10.6f ± %10.6f\n", r.ratio.mean, r.ratio.err);
    (void)fprintf(f, "Mean PPL(Q)-PPL(base)         : %10.6f ± %10.6f\n", r.diff.mean, r.diff.err);
    (void)fprintf(f, "\n====== KL divergence statistics ======\n");
    (void)fprintf(f, "Mean    KLD: %10.6f ± %10.6f\n", r.kld.mean, r.kld.err);
    for (size_t i = 0; i < N_QUANTILES; i++)
        (void)fprintf(f, "%s KLD: %10.6f\n", quantiles[i].label, kld_quantile(s->klds, s->n, quantiles[i].fraction));
    (void)fprintf(f, "\n====== Token probability statistics ======\n");
    (void)fprintf(f, "Mean    Δp: %6.3f ± %5.3f %%\n", 100.0 * r.dp.mean, 100.0 * r.dp.err);
    for (size_t i = 0; i < N_QUANTILES; i++)
        (void)fprintf(f, "%s Δp: %6.3f%%\n", quantiles[i].label, 100.0 * kld_quantile(s->dps, s->n, quantiles[i].fraction));
    (void)fprintf(f, "RMS Δp    : %6.3f ± %5.3f %%\n", 100.0 * r.rms_dp.mean, 100.0 * r.rms_dp.err);
    (void)fprintf(f, "Same top p: %6.3f ± %5.3f %%\n", 100.0 * r.same_top.mean, 100.0 * r.same_top.err);
}

static void json_mean_err(struct json_out *j, const char *name, struct mean_err m)
{
    char key[64];
    json_knum(j, name, m.mean);
    (void)snprintf(key, sizeof key, "%s_stderr", name);
    json_knum(j, key, m.err);
}

static void json_quantiles(struct json_out *j, const char *name, const double *x, size_t n)
{
    for (size_t i = 0; i < N_QUANTILES; i++) {
        char key[64];
        (void)snprintf(key, sizeof key, "%s_%s", name, quantiles[i].key);
        json_knum(j, key, kld_quantile(x, n, quantiles[i].fraction));
    }
}

void kld_stats_json(const struct kld_stats *s, struct json_out *j)
{
    const struct kld_summary r = kld_stats_summary(s);
    json_mean_err(j, "ppl", r.ppl_q);
    json_mean_err(j, "ppl_base", r.ppl_base);
    json_knum(j, "ln_ppl_correlation", r.correlation);
    json_mean_err(j, "ln_ppl_ratio", r.ln_ratio);
    json_mean_err(j, "ppl_ratio", r.ratio);
    json_mean_err(j, "ppl_diff", r.diff);
    json_mean_err(j, "kld_mean", r.kld);
    json_quantiles(j, "kld", s->klds, s->n);
    json_mean_err(j, "delta_p_mean", r.dp);
    json_quantiles(j, "delta_p", s->dps, s->n);
    json_mean_err(j, "delta_p_rms", r.rms_dp);
    json_mean_err(j, "same_top", r.same_top);
    json_kuint(j, "n_tokens", s->n);
}
