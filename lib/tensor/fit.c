/* See fit.h. Written over four-lane vectors, which every compiler turns into the same IEEE operations. */
#include "tensor/fit.h"

#include <stddef.h>
#include <string.h>

#include "base/f16.h"
#include "tensor/fit_lanes.h"

float el_fit_inverse(float s)
{
    const float inv = s != 0.0f ? 1.0f / s : 0.0f;
    return el_f32_bits(inv) << 1 >= 0xff000000u ? 0.0f : inv;
}

uint16_t el_fit_f16(float s)
{
    const float max = 65504.0f;
    return el_f32_to_f16(s > max ? max : s < -max ? -max : s);
}

struct el_fit_extent el_fit_extent(const float *x, uint64_t n)
{
    float min = 0.0f, max = 0.0f;
    for (uint64_t i = 0; i < n; i++) {
        min = x[i] < min ? x[i] : min;
        max = x[i] > max ? x[i] : max;
    }
    struct el_fit_extent ext = {.abs_max = max, .signed_max = max, .min = min, .max = max};
    if (-min > max) {
        ext.abs_max = -min;
        ext.signed_max = min;
    } else if (-min == max) {
        for (uint64_t i = 0; i < n; i++) {
            if (x[i] == min || x[i] == max) {
                ext.signed_max = x[i];
                break;
            }
        }
    }
    return ext;
}

/* Lanes past the end are 0 in x and w and get code 0, since 0 lies in the range. */
static inline el_v4 load_some(const float *p, uint64_t n)
{
    if (n >= 4)
        return el_v4_load(p);
    float last[4] = {0.0f, 0.0f, 0.0f, 0.0f};
    memcpy(last, p, (size_t)n * sizeof(float));
    return el_v4_load(last);
}

/* The nearest level, of two equally near the lower: the sum of the steps below v. */
static inline el_v4 snap4(el_v4 v, const struct el_fit_levels *levels)
{
    const float *const value = levels->value;
    el_v4 q = el_v4_all(value[0]);
    for (uint32_t k = 1; k < levels->n; k++) {
        const el_v4i above = v > el_v4_all(0.5f * (value[k - 1] + value[k]));
        q += (el_v4)((el_v4i)el_v4_all(value[k] - value[k - 1]) & above);
    }
    return q;
}

static inline el_v4 codes4(el_v4 x, float inv, struct el_fit_range range)
{
    if (range.levels)
        return snap4(x * el_v4_all(inv), range.levels);
    return el_v4_round(el_v4_clamp(x * el_v4_all(inv), range.lo, range.hi));
}

struct el_fit_sums el_fit_scale_eval(const float *x, const float *w, uint64_t n, float s, struct el_fit_range range)
{
    const float inv = el_fit_inverse(s);
    el_v4 rr = el_v4_all(0.0f), rq = rr, qq = rr;
    for (uint64_t i = 0; i < n; i += 4) {
        const el_v4 v = load_some(x + i, n - i);
        const el_v4 q = codes4(v, inv, range);
        const el_v4 r = v - q * el_v4_all(s);
        if (w) {
            const el_v4 wi = load_some(w + i, n - i);
            rr += wi * r * r;
            rq += wi * r * q;
            qq += wi * q * q;
        } else {
            rr += r * r;
            rq += r * q;
            qq += q * q;
        }
    }
    return (struct el_fit_sums){.rr = el_v4_sum(rr), .rq = el_v4_sum(rq), .qq = el_v4_sum(qq)};
}

/* The least-squares scale for the codes of s, and the error with it. */
static float refit(float s, const struct el_fit_sums *sums, float *err)
{
    *err = sums->rr;
    if (!(sums->qq > 0.0f))
        return s;
    const float step = sums->rq / sums->qq;
    *err = sums->rr - step * sums->rq;
    return s + step;
}

struct trial {
    float s, err;
};

/* Keeps the better of *best and the refitted scale `s`; true when it is the new one. */
static bool try_scale(const float *x, const float *w, uint64_t n, struct el_fit_range range, float s, struct trial *best)
{
    const struct el_fit_sums sums = el_fit_scale_eval(x, w, n, s, range);
    float err;
    const float fitted = refit(s, &sums, &err);
    if (!(err < best->err))
        return false;
    *best = (struct trial){fitted, err};
    return true;
}

/* Distance of trials in parts of the end, where codes are levels of uneven distances. */
#define LEVELS_STEP 0.02f

/*
 * Trials that map the extreme to code |end| + u: a grid about the end of the range, then ever larger factors, as long as cutting
 * off the extremes pays. With few codes the scale itself matters, and the grid is fine; with many, luck in rounding does, and it
 * is wide: a scale that leaves a few codes unused often fits all values a little better.
 */
static void try_end(const float *x, const float *w, uint64_t n, struct el_fit_range range, float extreme, float end,
                    struct trial *best)
{
    const float sign = end < 0.0f ? -1.0f : 1.0f, size = end * sign;
    const bool few = size < 16.0f;
    const float step = range.levels ? LEVELS_STEP * size : few ? 0.25f : 0.75f;
    float at = size;
    for (int k = few ? -6 : -12; k <= (few ? 6 : 2); k++) {
        at = size + step * (float)k;
        if (at > 0.4f * size)
            (void)try_scale(x, w, n, range, extreme / (at * sign), best);
    }
    for (int misses = 0; misses < 2 && at < 64.0f * size;) {
        at *= 1.07f;
        misses = try_scale(x, w, n, range, extreme / (at * sign), best) ? 0 : misses + 1;
    }
}

float el_fit_scale(const float *x, const float *w, uint64_t n, struct el_fit_range range)
{
    const struct el_fit_extent ext = el_fit_extent(x, n);
    if (ext.abs_max == 0.0f)
        return 0.0f;
    struct trial best = {ext.signed_max / (-range.lo > range.hi ? range.lo : range.hi), 0.0f};
    best.err = el_fit_scale_eval(x, w, n, best.s, range).rr;
    /* In a lopsided range it may be the other extreme that decides. */
    const float other = ext.signed_max < 0.0f ? ext.max : ext.min;
    const bool lopsided = range.hi + range.lo > 1.0f || range.hi + range.lo < -1.0f;
    for (int k = 0; k < (lopsided && other != 0.0f ? 2 : 1); k++) {
        const float extreme = k == 0 ? ext.signed_max : other;
        if (range.lo < 0.0f)
            try_end(x, w, n, range, extreme, range.lo, &best);
        if (range.hi > 0.0f && range.hi != -range.lo)
            try_end(x, w, n, range, extreme, range.hi, &best);
    }
    for (int round = 0; round < 4 && try_scale(x, w, n, range, best.s, &best); round++)
        continue;
    return best.s;
}

/* The next half-precision number away from zero (step 1) or towards it (-1), not past the ends. */
static uint16_t f16_step(uint16_t h, int step)
{
    const int size = (h & 0x7fff) + step;
    return (uint16_t)((h & 0x8000) | (size < 0 ? 0 : size > 0x7bff ? 0x7bff : size));
}

uint16_t el_fit_scale_f16(const float *x, const float *w, uint64_t n, struct el_fit_range range)
{
    const struct el_fit_extent ext = el_fit_extent(x, n);
    if (ext.abs_max == 0.0f)
        return 0;
    const uint16_t plain = el_fit_f16(ext.signed_max / (-range.lo > range.hi ? range.lo : range.hi));
    uint16_t best = plain;
    float best_err = el_fit_scale_eval(x, w, n, el_f16_to_f32(plain), range).rr;
    float s = el_fit_scale(x, w, n, range);
    for (int round = 0; round < 3; round++) {
        const uint16_t middle = el_fit_f16(s);
        bool better = false;
        for (int step = -1; step <= 1; step++) {
            const uint16_t h = f16_step(middle, step);
            const struct el_fit_sums sums = el_fit_scale_eval(x, w, n, el_f16_to_f32(h), range);
            if (sums.rr < best_err) {
                best = h;
                best_err = sums.rr;
                float unused;
                s = refit(el_f16_to_f32(h), &sums, &unused);
                better = true;
            }
        }
        if (!better)
            break;
    }
    return best;
}

void el_fit_scale_codes(const float *x, uint64_t n, float s, struct el_fit_range range, int16_t *q)
{
    const float inv = el_fit_inverse(s);
    for (uint64_t i = 0; i < n; i += 4) {
        const el_v4 v = codes4(load_some(x + i, n - i), inv, range);
        for (uint64_t k = 0; k < 4 && i + k < n; k++)
            q[i + k] = (int16_t)v[k];
    }
}

/* ---- affine ---- */

static inline el_v4 affine_codes4(el_v4 x, float inv, float m, float hi)
{
    return el_v4_round(el_v4_clamp((x + el_v4_all(m)) * el_v4_all(inv), 0.0f, hi));
}

void el_fit_affine_codes(const float *x, uint32_t n, float s, float m, float hi, uint8_t *q)
{
    const float inv = el_fit_inverse(s);
    for (uint32_t i = 0; i < n; i += 4) {
        const el_v4 v = affine_codes4(el_v4_load(x + i), inv, m, hi);
        for (uint32_t k = 0; k < 4; k++)
            q[i + k] = (uint8_t)v[k];
    }
}

/* ---- affine with an offset of any sign ---- */

static void range_of(const float *x, float *min, float *max)
{
    *min = *max = x[0];
    for (uint32_t i = 1; i < EL_FIT_OFFSET_N; i++) {
        *min = x[i] < *min ? x[i] : *min;
        *max = x[i] > *max ? x[i] : *max;
    }
}

void el_fit_offset_nearest(const float *x, float hi, struct el_fit_offset *out)
{
    float min, max;
    range_of(x, &min, &max);
    const float d = (max - min) / hi, inv = el_fit_inverse(d);
    out->d = el_fit_f16(d);
    out->m = el_fit_f16(min);
    for (uint32_t i = 0; i < EL_FIT_OFFSET_N; i++) {
        const float v = (x[i] - min) * inv + 0.5f;
        out->q[i] = (uint8_t)(v < hi ? v : hi);
    }
}
