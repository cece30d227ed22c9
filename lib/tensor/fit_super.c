/* See fit_super.h. */
#include "tensor/fit_super.h"

#include <string.h>

#include "base/f16.h"
#include "tensor/enc_common.h"
#include "tensor/fit.h"

enum { SUB32 = 32, SUB16 = 16 };

static float clampf(float v, float lo, float hi)
{
    return v < lo ? lo : v > hi ? hi : v;
}

static void affine_codes(const float *x, float hi, struct el_super_affine *out)
{
    const float d = el_f16_to_f32(out->d), dmin = el_f16_to_f32(out->dmin);
    for (uint32_t j = 0; j < EL_SUPER_AFFINE_SUBS; j++)
        el_fit_affine_codes(x + SUB32 * j, SUB32, d * (float)out->scale[j], dmin * (float)out->min[j], hi, out->q + SUB32 * j);
}

void el_super_affine_nearest(const float *x, float hi, struct el_super_affine *out)
{
    float s[EL_SUPER_AFFINE_SUBS], m[EL_SUPER_AFFINE_SUBS], s_max = 0.0f, m_max = 0.0f;
    for (uint32_t j = 0; j < EL_SUPER_AFFINE_SUBS; j++) {
        const struct el_fit_extent ext = el_fit_extent(x + SUB32 * j, SUB32);
        s[j] = (ext.max - ext.min) / hi;
        m[j] = -ext.min;
        s_max = s[j] > s_max ? s[j] : s_max;
        m_max = m[j] > m_max ? m[j] : m_max;
    }
    out->d = el_fit_f16(s_max / 63.0f);
    out->dmin = el_fit_f16(m_max / 63.0f);
    const float d_inv = el_fit_inverse(el_f16_to_f32(out->d)), m_inv = el_fit_inverse(el_f16_to_f32(out->dmin));
    for (uint32_t j = 0; j < EL_SUPER_AFFINE_SUBS; j++) {
        out->scale[j] = (uint8_t)el_round_even(clampf(s[j] * d_inv, 0.0f, 63.0f));
        out->min[j] = (uint8_t)el_round_even(clampf(m[j] * m_inv, 0.0f, 63.0f));
    }
    affine_codes(x, hi, out);
}

/* Chooses scale[j] and min[j] for given d, dmin: the best of the neighbours of *guess. Returns the error. */
static float affine_choose(const float *x, const float *w, float hi, float d, float dmin, const struct el_fit_affine *guess,
                           uint8_t *scale, uint8_t *min)
{
    const float s0 = el_round_even(clampf(guess->s * el_fit_inverse(d), 0.0f, 63.0f));
    const float m0 = el_round_even(clampf(guess->m * el_fit_inverse(dmin), 0.0f, 63.0f));
    float best = -1.0f;
    for (float si = s0 - 1.0f; si <= s0 + 1.0f; si += 1.0f) {
        if (si < 0.0f || si > 63.0f)
            continue;
        for (float mi = m0 - 1.0f; mi <= m0 + 1.0f; mi += 1.0f) {
            if (mi < 0.0f || mi > 63.0f)
                continue;
            const float err = el_fit_affine_eval(x, w, SUB32, d * si, dmin * mi, hi).rr;
            if (best < 0.0f || err < best) {
                best = err;
                *scale = (uint8_t)si;
                *min = (uint8_t)mi;
            }
        }
    }
    return best;
}

static float affine_choose_all(const float *x, const float *w, float hi, const struct el_fit_affine *guess,
                               struct el_super_affine *out)
{
    const float d = el_f16_to_f32(out->d), dmin = el_f16_to_f32(out->dmin);
    float err = 0.0f;
    for (uint32_t j = 0; j < EL_SUPER_AFFINE_SUBS; j++)
        err += affine_choose(x + SUB32 * j, w ? w + SUB32 * j : NULL, hi, d, dmin, &guess[j], &out->scale[j], &out->min[j]);
    return err;
}

/* d and dmin by least squares for the chosen integers: x ~ d (scale q) - dmin min. */
static void affine_refit(const float *x, const float *w, float hi, struct el_super_affine *out)
{
    const float d = el_f16_to_f32(out->d), dmin = el_f16_to_f32(out->dmin);
    float aa = 0.0f, ab = 0.0f, bb = 0.0f, ra = 0.0f, rb = 0.0f;
    for (uint32_t j = 0; j < EL_SUPER_AFFINE_SUBS; j++) {
        const float a = (float)out->scale[j], b = (float)out->min[j];
        const float *const wj = w ? w + SUB32 * j : NULL;
        const struct el_fit_affine_sums sums = el_fit_affine_eval(x + SUB32 * j, wj, SUB32, d * a, dmin * b, hi);
        float w1 = (float)SUB32;
        if (wj) {
            w1 = 0.0f;
            for (uint32_t i = 0; i < SUB32; i++)
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

void el_super_affine_search(const float *x, const float *w, float hi, struct el_super_affine *out)
{
    struct el_fit_affine free_fit[EL_SUPER_AFFINE_SUBS];
    float s_max = 0.0f, m_max = 0.0f;
    for (uint32_t j = 0; j < EL_SUPER_AFFINE_SUBS; j++) {
        free_fit[j] = el_fit_affine(x + SUB32 * j, w ? w + SUB32 * j : NULL, SUB32, hi);
        s_max = free_fit[j].s > s_max ? free_fit[j].s : s_max;
        m_max = free_fit[j].m > m_max ? free_fit[j].m : m_max;
    }
    if (s_max == 0.0f) { /* all values are 0 */
        memset(out, 0, sizeof *out);
        return;
    }
    /* With the largest scale below 63 the others fall on other steps: a second try now and then fits better. */
    static const float tops[] = {63.0f, 60.0f};
    struct el_super_affine best;
    float best_err = 0.0f;
    memset(&best, 0, sizeof best);
    for (uint32_t t = 0; t < sizeof tops / sizeof tops[0]; t++) {
        struct el_super_affine trial = {.d = el_fit_f16(s_max / tops[t]), .dmin = el_fit_f16(m_max / tops[t])};
        for (int round = 0; round < 3; round++) {
            const float err = affine_choose_all(x, w, hi, free_fit, &trial);
            const bool first = t == 0 && round == 0;
            if (!first && !(err < best_err) && round > 0)
                break;
            if (first || err < best_err) {
                best = trial;
                best_err = err;
            }
            affine_refit(x, w, hi, &trial);
        }
    }
    *out = best;
    affine_codes(x, hi, out);
}

static void scale_codes(const float *x, float lo, float hi, struct el_super_scale *out)
{
    const float d = el_f16_to_f32(out->d);
    for (uint32_t j = 0; j < EL_SUPER_SCALE_SUBS; j++) {
        int16_t q[SUB16];
        el_fit_scale_codes(x + SUB16 * j, SUB16, d * (float)out->scale[j], (struct el_fit_range){lo, hi}, q);
        for (uint32_t i = 0; i < SUB16; i++)
            out->q[SUB16 * j + i] = (int8_t)q[i];
    }
}

/* d such that the scale of largest magnitude becomes -128, the end that reaches farther. */
static uint16_t scale_d(const float s[EL_SUPER_SCALE_SUBS], float top)
{
    return el_fit_f16(el_fit_extent(s, EL_SUPER_SCALE_SUBS).signed_max / -top);
}

void el_super_scale_nearest(const float *x, float lo, float hi, struct el_super_scale *out)
{
    float s[EL_SUPER_SCALE_SUBS];
    for (uint32_t j = 0; j < EL_SUPER_SCALE_SUBS; j++)
        s[j] = el_fit_extent(x + SUB16 * j, SUB16).signed_max / lo;
    out->d = scale_d(s, 128.0f);
    const float inv = el_fit_inverse(el_f16_to_f32(out->d));
    for (uint32_t j = 0; j < EL_SUPER_SCALE_SUBS; j++)
        out->scale[j] = (int8_t)el_round_even(clampf(s[j] * inv, -128.0f, 127.0f));
    scale_codes(x, lo, hi, out);
}

/* Chooses scale[j] for d among the neighbours of s. Returns the error; adds to the sums from which d is refitted. */
static float scale_choose(const float *x, const float *w, struct el_fit_range range, float d, float s, int8_t *scale, float *aa,
                          float *ra)
{
    const float s0 = el_round_even(clampf(s * el_fit_inverse(d), -128.0f, 127.0f));
    float best = -1.0f, best_aa = 0.0f, best_ra = 0.0f;
    for (float si = s0 - 1.0f; si <= s0 + 1.0f; si += 1.0f) {
        if (si < -128.0f || si > 127.0f)
            continue;
        const struct el_fit_sums sums = el_fit_scale_eval(x, w, SUB16, d * si, range);
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

void el_super_scale_search(const float *x, const float *w, float lo, float hi, struct el_super_scale *out)
{
    const struct el_fit_range range = {lo, hi};
    float s[EL_SUPER_SCALE_SUBS];
    for (uint32_t j = 0; j < EL_SUPER_SCALE_SUBS; j++)
        s[j] = el_fit_scale(x + SUB16 * j, w ? w + SUB16 * j : NULL, SUB16, range);
    if (el_fit_extent(s, EL_SUPER_SCALE_SUBS).abs_max == 0.0f) { /* all values are 0 */
        memset(out, 0, sizeof *out);
        return;
    }
    static const float tops[] = {128.0f, 124.0f};
    struct el_super_scale best;
    float best_err = 0.0f;
    memset(&best, 0, sizeof best);
    for (uint32_t t = 0; t < sizeof tops / sizeof tops[0]; t++) {
        struct el_super_scale trial = {.d = scale_d(s, tops[t])};
        for (int round = 0; round < 3; round++) {
            const float d = el_f16_to_f32(trial.d);
            float err = 0.0f, aa = 0.0f, ra = 0.0f;
            for (uint32_t j = 0; j < EL_SUPER_SCALE_SUBS; j++)
                err += scale_choose(x + SUB16 * j, w ? w + SUB16 * j : NULL, range, d, s[j], &trial.scale[j], &aa, &ra);
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
    scale_codes(x, lo, hi, out);
}
