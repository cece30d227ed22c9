#include "cmd/score.h"

#include <math.h>

void score_add(struct score *s, double nll, uint64_t nbytes)
{
    s->sum += nll;
    s->sum2 += nll * nll;
    s->n++;
    s->nbytes += nbytes;
}

double score_mean(const struct score *s)
{
    return s->n ? s->sum / (double)s->n : NAN;
}

double score_ppl(const struct score *s)
{
    return exp(score_mean(s));
}

double score_ppl_stderr(const struct score *s)
{
    const double mean = score_mean(s);
    const double var = s->n ? s->sum2 / (double)s->n - mean * mean : NAN;
    return s->n > 1 && var > 0 ? score_ppl(s) * sqrt(var / (double)(s->n - 1)) : 0.0;
}

double score_bits_per_byte(const struct score *s)
{
    return s->nbytes ? s->sum / log(2.0) / (double)s->nbytes : NAN;
}

struct mean_err mean_err_of(double sum, double sum2, uint64_t n)
{
    if (n == 0)
        return (struct mean_err){0.0, 0.0};
    const double mean = sum / (double)n, var = sum2 / (double)n - mean * mean;
    return (struct mean_err){mean, var > 0 && n > 10 ? sqrt(var / (double)(n - 1)) : 0.0};
}
