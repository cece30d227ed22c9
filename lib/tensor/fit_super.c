/* See fit_super.h. */
#include "tensor/fit_super.h"

#include <string.h>

#include "base/f16.h"
#include "tensor/enc_common.h"
#include "tensor/fit.h"

static float clampf(float v, float lo, float hi)
{
    return v < lo ? lo : v > hi ? hi : v;
}

/* Weights of the sub-block that begins at element `at`. */
static const float *weights_at(const float *w, uint32_t at)
{
    return w ? w + at : NULL;
}

static void affine_codes(const struct el_super_affine_kind *kind, const float *x, struct el_super_affine *out)
{
    const float d = el_f16_to_f32(out->d), dmin = el_f16_to_f32(out->dmin);
    for (uint32_t j = 0; j < kind->n_subs; j++) {
        const uint32_t at = kind->sub_n * j;
        el_fit_affine_codes(x + at, kind->sub_n, d * (float)out->scale[j], dmin * (float)out->min[j], kind->hi, out->q + at);
    }
}

void el_super_affine_nearest(const struct el_super_affine_kind *kind, const float *x, struct el_super_affine *out)
{
    float s[EL_SUPER_MAX_SUBS], m[EL_SUPER_MAX_SUBS], s_max = 0.0f, m_max = 0.0f;
    for (uint32_t j = 0; j < kind->n_subs; j++) {
        const struct el_fit_extent ext = el_fit_extent(x + kind->sub_n * j, kind->sub_n);
        s[j] = (ext.max - ext.min) / kind->hi;
        m[j] = -ext.min;
        s_max = s[j] > s_max ? s[j] : s_max;
        m_max = m[j] > m_max ? m[j] : m_max;
    }
    out->d = el_fit_f16(s_max / kind->top);
    out->dmin = el_fit_f16(m_max / kind->top);
    const float d_inv = el_fit_inverse(el_f16_to_f32(out->d)), m_inv = el_fit_inverse(el_f16_to_f32(out->dmin));
    for (uint32_t j = 0; j < kind->n_subs; j++) {
        out->scale[j] = (uint8_t)el_round_even(clampf(s[j] * d_inv, 0.0f, kind->top));
        out->min[j] = (uint8_t)el_round_even(clampf(m[j] * m_inv, 0.0f, kind->top));
    }
    affine_codes(kind, x, out);
}

/* Chooses scale[j] and min[j] for given d, dmin: the best of the neighbours of *guess. Returns the error. */
static float affine_choose(const struct el_super_affine_kind *kind, const float *x, const float *w, float d, float dmin,
                           const struct el_fit_affine *guess, uint8_t *scale, uint8_t *min)
{
    const float s0 = el_round_even(clampf(guess->s * el_fit_inverse(d), 0.0f, kind->top));
    const float m0 = el_round_even(clampf(guess->m * el_fit_inverse(dmin), 0.0f, kind->top));
    float best = -1.0f;
    for (float si = s0 - 1.0f; si <= s0 + 1.0f; si += 1.0f) {
        if (si < 0.0f || si > kind->top)
            continue;
        for (float mi = m0 - 1.0f; mi <= m0 + 1.0f; mi += 1.0f) {
            if (mi < 0.0f || mi > kind->top)
                continue;
            const float err = el_fit_affine_eval(x, w, kind->sub_n, d * si, dmin * mi, kind->hi).rr;
            if (best < 0.0f || err < best) {
                best = err;
                *scale = (uint8_t)si;
                *min = (uint8_t)mi;
            }
        }
    }
    return best;
}

static float affine_choose_all(const struct el_super_affine_kind *kind, const float *x, const float *w,
                               const struct el_fit_affine *guess, struct el_super_affine *out)
{
    const float d = el_f16_to_f32(out->d), dmin = el_f16_to_f32(out->dmin);
    float err = 0.0f;
    for (uint32_t j = 0; j < kind->n_subs; j++) {
        const uint32_t at = kind->sub_n * j;
        err += affine_choose(kind, x + at, weights_at(w, at), d, dmin, &guess[j], &out->scale[j], &out->min[j]);
    }
    return err;
}

/* d and dmin by least squares for the chosen integers: x ~ d (scale q) - dmin min. */
static void affine_refit(const struct el_super_affine_kind *kind, const float *x, const float *w, struct el_super_affine *out)
{
    const float d = el_f16_to_f32(out->d), dmin = el_f16_to_f32(out->dmin);
    float aa = 0.0f, ab = 0.0f, bb = 0.0f, ra = 0.0f, rb = 0.0f;
    for (uint32_t j = 0; j < kind->n_subs; j++) {
        const float a = (float)out->scale[j], b = (float)out->min[j];
        const uint32_t at = kind->sub_n * j;
        const float *const wj = weights_at(w, at);
        const struct el_fit_affine_sums sums = el_fit_affine_eval(x + at, wj, kind->sub_n, d * a, dmin * b, kind->hi);
        float w1 = (float)kind->sub_n;
        if (wj) {
            w1 = 0.0f;
            for (uint32_t i = 0; i < kind->sub_n; i++)
                w1 += wj[i];
        }
        aa += a * a * sums.qq;
        ab += a * b * sums.q1;
        bb += b * b * w1;
        ra += a * sums.rq;
        rb += b * sums.r1;
    }
    const float det = aa * bb - ab * ab;
    float dd = 0.0f, dm = 0.0f;
    if (det > 1e-6f * aa * bb) {
        dd = (ra * bb - ab * rb) / det;
        dm = (ra * ab - aa * rb) / det;
    } else if (aa > 0.0f) {
        dd = ra / aa;
    }
    if (d + dd > 0.0f)
        out->d = el_fit_f16(d + dd);
    if (dmin + dm >= 0.0f)
        out->dmin = el_fit_f16(dmin + dm);
}

void el_super_affine_search(const struct el_super_affine_kind *kind, const float *x, const float *w, struct el_super_affine *out)
{
    struct el_fit_affine free_fit[EL_SUPER_MAX_SUBS];
    float s_max = 0.0f, m_max = 0.0f;
    for (uint32_t j = 0; j < kind->n_subs; j++) {
        const uint32_t at = kind->sub_n * j;
        free_fit[j] = el_fit_affine(x + at, weights_at(w, at), kind->sub_n, kind->hi);
        s_max = free_fit[j].s > s_max ? free_fit[j].s : s_max;
        m_max = free_fit[j].m > m_max ? free_fit[j].m : m_max;
    }
    if (s_max == 0.0f) { /* all values are 0 */
        memset(out, 0, sizeof *out);
        return;
    }
    /* With the largest scale below the top the others fall on other steps: a second try now and then fits better. */
    const float tops[] = {kind->top, kind->top - kind->top / 21.0f};
    struct el_super_affine best;
    float best_err = 0.0f;
    memset(&best, 0, sizeof best);
    for (uint32_t t = 0; t < sizeof tops / sizeof tops[0]; t++) {
        struct el_super_affine trial = {.d = el_fit_f16(s_max / tops[t]), .dmin = el_fit_f16(m_max / tops[t])};
        for (int round = 0; round < 3; round++) {
            const float err = affine_choose_all(kind, x, w, free_fit, &trial);
            const bool first = t == 0 && round == 0;
            if (!first && !(err < best_err) && round > 0)
                break;
            if (first || err < best_err) {
                best = trial;
                best_err = err;
            }
            affine_refit(kind, x, w, &trial);
        }
    }
    *out = best;
    affine_codes(kind, x, out);
}

static void scale_codes(const struct el_super_scale_kind *kind, const float *x, struct el_super_scale *out)
{
    const float d = el_f16_to_f32(out->d);
    for (uint32_t j = 0; j < kind->n_subs; j++) {
        int16_t q[EL_SUPER_N];
        const uint32_t at = kind->sub_n * j;
        el_fit_scale_codes(x + at, kind->sub_n, d * (float)out->scale[j], kind->codes, q);
        for (uint32_t i = 0; i < kind->sub_n; i++)
            out->q[at + i] = (int8_t)q[i];
    }
}

/* d such that the scale of largest magnitude becomes `lowest`, the end that reaches farther. */
static uint16_t scale_d(const struct el_super_scale_kind *kind, const float s[EL_SUPER_MAX_SUBS], float lowest)
{
    return el_fit_f16(el_fit_extent(s, kind->n_subs).signed_max / lowest);
}

void el_super_scale_nearest(const struct el_super_scale_kind *kind, const float *x, struct el_super_scale *out)
{
    float s[EL_SUPER_MAX_SUBS];
    for (uint32_t j = 0; j < kind->n_subs; j++)
        s[j] = el_fit_extent(x + kind->sub_n * j, kind->sub_n).signed_max / kind->codes.lo;
    out->d = scale_d(kind, s, kind->scale_lo);
    const float inv = el_fit_inverse(el_f16_to_f32(out->d));
    for (uint32_t j = 0; j < kind->n_subs; j++)
        out->scale[j] = (int8_t)el_round_even(clampf(s[j] * inv, kind->scale_lo, kind->scale_hi));
    scale_codes(kind, x, out);
}

/* Chooses scale[j] for d among the neighbours of s. Returns the error; adds to the sums from which d is refitted. */
static float scale_choose(const struct el_super_scale_kind *kind, const float *x, const float *w, float d, float s, int8_t *scale,
                          float *aa, float *ra)
{
    const float s0 = el_round_even(clampf(s * el_fit_inverse(d), kind->scale_lo, kind->scale_hi));
    float best = -1.0f, best_aa = 0.0f, best_ra = 0.0f;
    for (float si = s0 - 1.0f; si <= s0 + 1.0f; si += 1.0f) {
        if (si < kind->scale_lo || si > kind->scale_hi)
            continue;
        const struct el_fit_sums sums = el_fit_scale_eval(x, w, kind->sub_n, d * si, kind->codes);
        if (best < 0.0f || sums.rr < best) {
            best = sums.rr;
            best_aa = si * si * sums.qq;
            best_ra = si * sums.rq;
            *scale = (int8_t)si;
        }
    }
    *aa += best_aa;
    *ra += best_ra;
    return best;
}

void el_super_scale_search(const struct el_super_scale_kind *kind, const float *x, const float *w, struct el_super_scale *out)
{
    float s[EL_SUPER_MAX_SUBS];
    for (uint32_t j = 0; j < kind->n_subs; j++) {
        const uint32_t at = kind->sub_n * j;
        s[j] = el_fit_scale(x + at, weights_at(w, at), kind->sub_n, kind->codes);
    }
    if (el_fit_extent(s, kind->n_subs).abs_max == 0.0f) { /* all values are 0 */
        memset(out, 0, sizeof *out);
        return;
    }
    const float tops[] = {kind->scale_lo, kind->scale_lo - kind->scale_lo / 32.0f};
    struct el_super_scale best;
    float best_err = 0.0f;
    memset(&best, 0, sizeof best);
    for (uint32_t t = 0; t < sizeof tops / sizeof tops[0]; t++) {
        struct el_super_scale trial = {.d = scale_d(kind, s, tops[t])};
        for (int round = 0; round < 3; round++) {
            const float d = el_f16_to_f32(trial.d);
            float err = 0.0f, aa = 0.0f, ra = 0.0f;
            for (uint32_t j = 0; j < kind->n_subs; j++) {
                const uint32_t at = kind->sub_n * j;
                err += scale_choose(kind, x + at, weights_at(w, at), d, s[j], &trial.scale[j], &aa, &ra);
            }
            const bool first = t == 0 && round == 0;
            if (!first && !(err < best_err) && round > 0)
                break;
            if (first || err < best_err) {
                best = trial;
                best_err = err;
            }
            if (aa > 0.0f)
                trial.d = el_fit_f16(d + ra / aa);
        }
    }
    *out = best;
    scale_codes(kind, x, out);
}
