/* RoPE frequencies and angles; see rope.h for the formulas. */
#include "model/rope.h"

#include <math.h>

static const double two_pi = 6.283185307179586476925286766559;

static double plain_freq(const struct el_hparams *hp, uint32_t i)
{
    return pow((double)hp->rope_theta, -2.0 * (double)i / (double)hp->n_rot);
}

static double llama3_factor(const struct el_hparams *hp, uint32_t i)
{
    const double turns = (double)hp->rope_ctx_original * plain_freq(hp, i) / two_pi; /* original context / wavelength */
    const double low = hp->rope_low_freq, high = hp->rope_high_freq;
    if (turns > high)
        return 1.0;
    if (turns < low)
        return hp->rope_factor;
    const double t = (turns - low) / (high - low);
    return 1.0 / ((1.0 - t) / (double)hp->rope_factor + t);
}

void el_rope_llama3_factors(const struct el_hparams *hp, float *factors)
{
    for (uint32_t i = 0; i < hp->n_rot / 2; i++)
        factors[i] = (float)llama3_factor(hp, i);
}

void el_rope_freqs(const struct el_hparams *hp, const float *factors, double *freqs)
{
    for (uint32_t i = 0; i < hp->n_rot / 2; i++) {
        double f = plain_freq(hp, i);
        if (hp->rope_scaling == EL_ROPE_LINEAR)
            f /= (double)hp->rope_factor;
        if (factors)
            f /= (double)factors[i];
        else if (hp->rope_scaling == EL_ROPE_LLAMA3)
            f /= llama3_factor(hp, i);
        freqs[i] = f;
    }
}

void el_rope_freqs_local(const struct el_hparams *hp, double *freqs)
{
    struct el_hparams local = *hp;
    local.rope_theta = hp->rope_theta_local;
    local.rope_scaling = EL_ROPE_PLAIN;
    el_rope_freqs(&local, NULL, freqs);
}

void el_rope_angles(const double *freqs, uint32_t n, uint32_t pos, float factor, float *cos_out, float *sin_out)
{
    for (uint32_t i = 0; i < n; i++) {
        const double angle = (double)pos * freqs[i];
        cos_out[i] = (float)((double)factor * cos(angle));
        sin_out[i] = (float)((double)factor * sin(angle));
    }
}

static bool factors_fit(const float *factors, const struct el_hparams *hp)
{
    for (uint32_t i = 0; i < hp->n_rot / 2; i++)
        if (!(fabs(llama3_factor(hp, i) - (double)factors[i]) <= 1e-5 * (double)factors[i]))
            return false;
    return true;
}

/* t of a factor: 0 where it is hp's whole factor, 1 where it is 1. */
static double blend(float factor, const struct el_hparams *hp)
{
    const double whole = 1.0 / (double)hp->rope_factor;
    return (1.0 / (double)factor - whole) / (1.0 - whole);
}

static bool set_original(struct el_hparams *hp, double original)
{
    if (!(original >= 1 && original <= 1e9))
        return false;
    hp->rope_ctx_original = (uint32_t)(original + 0.5);
    return true;
}

bool el_rope_fit_llama3(const float *factors, struct el_hparams *hp)
{
    const uint32_t n = hp->n_rot / 2;
    if (n == 0 || !(factors[n - 1] > 1.0f))
        return false;
    hp->rope_factor = factors[n - 1];
    hp->rope_low_freq = 1.0f;
    hp->rope_high_freq = 4.0f;
    /* What Llama 3.1 and 3.2 use comes first. */
    hp->rope_ctx_original = 8192;
    if (factors_fit(factors, hp))
        return true;
    uint32_t i0 = n, i1 = n; /* first and last blended pair */
    for (uint32_t i = 0; i < n; i++) {
        if (!(factors[i] > 1.0f && factors[i] < hp->rope_factor * 0.99999f))
            continue;
        if (i0 == n)
            i0 = i;
        i1 = i;
    }
    if (i0 == n)
        return false;
    /* One blended pair gives the original context when low and high are the usual ones. */
    const double t0 = blend(factors[i0], hp), f0 = plain_freq(hp, i0), t1 = blend(factors[i1], hp), f1 = plain_freq(hp, i1);
    if (set_original(hp, (3.0 * t0 + 1.0) * two_pi / f0) && factors_fit(factors, hp))
        return true;
    /* Two give the line t = a f - b, a = original / (2 pi (high - low)), b = low / (high - low), with low 1. */
    const double a = (t0 - t1) / (f0 - f1), b = a * f0 - t0;
    if (i0 == i1 || !(a > 0 && b > 0) || !set_original(hp, a * two_pi / b))
        return false;
    hp->rope_high_freq = (float)(floor((1.0 + 1.0 / b) * 1024.0 + 0.5) / 1024.0);
    return factors_fit(factors, hp);
}
