/* See grid.h. The searches for scales are those of the encoders; the rest is a few loops over one sub-block. */
#include "tensor/grid.h"

#include <string.h>

#include "base/f16.h"
#include "tensor/enc_common.h"
#include "tensor/fit_tile.h"

const struct el_grid *el_grid_of(const struct el_enc *enc)
{
    return el_enc_can_encode(enc) ? enc->e->grid : NULL;
}

uint32_t el_grid_width(const struct el_enc *enc, uint64_t n_in)
{
    if (!(enc->e->flags & EL_ENC_PARAMS))
        return enc->e->block_n;
    return enc->group && enc->group < n_in ? enc->group : (uint32_t)n_in;
}

uint32_t el_grid_sub_width(const struct el_enc *enc, uint64_t n_in)
{
    return enc->e->grid->sub_n ? enc->e->grid->sub_n : el_grid_width(enc, n_in);
}

uint32_t el_grid_unit(const struct el_enc *enc)
{
    return enc->e->grid->unit_n ? enc->e->grid->unit_n : 1;
}

bool el_grid_has_min(const struct el_enc *enc)
{
    return enc->e->grid->mins || enc->zeros;
}

uint8_t *el_grid_place(const struct el_enc *enc, uint64_t row, uint64_t column, uint64_t n_in,
                       uint8_t *const parts_out[EL_MAX_PARTS])
{
    return parts_out[0] + (row * (n_in / enc->e->block_n) + column / enc->e->block_n) * enc->e->block_nbytes;
}

/* ---- nearest values ---- */

static int16_t nearest_level(const struct el_fit_levels *levels, float at)
{
    uint32_t k = 0;
    while (k + 1 < levels->n && at > 0.5f * (levels->value[k] + levels->value[k + 1]))
        k++;
    return (int16_t)levels->value[k];
}

int16_t el_grid_nearest(const struct el_grid_block *b, uint32_t sub, float v)
{
    const float at = (v + b->min[sub]) * b->inverse[sub];
    if (b->levels)
        return nearest_level(b->levels, at);
    return (int16_t)el_round_even(at < b->lo ? b->lo : at > b->hi ? b->hi : at);
}

double el_grid_nearest_all(const struct el_grid_block *b, const float *x, const float *w, int16_t *level)
{
    double err = 0.0;
    for (uint32_t i = 0; i < b->n; i++) {
        const uint32_t sub = i / b->sub_n;
        level[i] = el_grid_nearest(b, sub, x[i]);
        const double r = (double)x[i] - (double)el_grid_value(b, sub, level[i]);
        err += (w ? (double)w[i] : 1.0) * r * r;
    }
    return err;
}

/* ---- one scale ---- */

static void plain_block(const struct el_fit_range *range, uint16_t d, uint32_t n, struct el_grid_block *b)
{
    *b = (struct el_grid_block){.n = n, .sub_n = n, .lo = range->lo, .hi = range->hi, .levels = range->levels, .d = d};
    b->step[0] = el_f16_to_f32(d);
    b->inverse[0] = el_fit_inverse(b->step[0]);
}

void el_grid_plain_fit(const struct el_fit_range *range, const float *x, const float *w, uint32_t n_rows, uint32_t n,
                       enum el_effort effort, struct el_grid_block *b)
{
    const float end = -range->lo > range->hi ? range->lo : range->hi;
    for (uint32_t r = 0; r < n_rows; r += EL_TILE) {
        const uint32_t n_blocks = n_rows - r < EL_TILE ? n_rows - r : EL_TILE;
        const float *const at = x + (uint64_t)r * n;
        const float *w_of[EL_TILE];
        uint16_t d[EL_TILE];
        for (uint32_t k = 0; k < EL_TILE; k++)
            w_of[k] = w;
        if (effort == EL_ENCODE_NEAREST) {
            for (uint32_t k = 0; k < n_blocks; k++)
                d[k] = el_fit_f16(el_fit_extent(at + (uint64_t)k * n, n).signed_max / end);
        } else if (n <= EL_TILE_MAX_N) {
            const struct el_tile tile = {.x = at, .w = w ? w_of : NULL, .n_blocks = n_blocks, .n = n};
            el_tile_fns()->scale(&tile, range, d);
        } else {
            for (uint32_t k = 0; k < n_blocks; k++)
                d[k] = el_fit_scale_f16(at + (uint64_t)k * n, w, n, *range);
        }
        for (uint32_t k = 0; k < n_blocks; k++)
            plain_block(range, d[k], n, &b[r + k]);
    }
}

void el_grid_plain_set(const struct el_fit_range *range, float step, uint32_t n, struct el_grid_block *b)
{
    plain_block(range, el_fit_f16(step), n, b);
}

/* ---- scale and offset ---- */

static void offset_block(float hi, uint16_t d, uint16_t m, struct el_grid_block *b)
{
    *b = (struct el_grid_block){.n = EL_FIT_OFFSET_N, .sub_n = EL_FIT_OFFSET_N, .hi = hi, .d = d, .dmin = m};
    b->step[0] = el_f16_to_f32(d);
    b->inverse[0] = el_fit_inverse(b->step[0]);
    b->min[0] = -el_f16_to_f32(m);
}

void el_grid_offset_fit(float hi, const float *x, const float *w, uint32_t n_rows, enum el_effort effort, struct el_grid_block *b)
{
    for (uint32_t r = 0; r < n_rows; r += EL_TILE) {
        const uint32_t n_blocks = n_rows - r < EL_TILE ? n_rows - r : EL_TILE;
        const float *const at = x + (uint64_t)r * EL_FIT_OFFSET_N;
        const float *w_of[EL_TILE];
        uint16_t d[EL_TILE], m[EL_TILE];
        for (uint32_t k = 0; k < EL_TILE; k++)
            w_of[k] = w;
        if (effort == EL_ENCODE_SEARCH) {
            const struct el_tile tile = {.x = at, .w = w ? w_of : NULL, .n_blocks = n_blocks, .n = EL_FIT_OFFSET_N};
            el_tile_fns()->offset(&tile, hi, d, m);
        }
        for (uint32_t k = 0; k < n_blocks; k++) {
            if (effort == EL_ENCODE_NEAREST) {
                struct el_fit_offset fit;
                el_fit_offset_nearest(at + (uint64_t)k * EL_FIT_OFFSET_N, hi, &fit);
                d[k] = fit.d;
                m[k] = fit.m;
            }
            offset_block(hi, d[k], m[k], &b[r + k]);
        }
    }
}

void el_grid_offset_set(float hi, float step, float min, struct el_grid_block *b)
{
    offset_block(hi, el_fit_f16(step < 0.0f ? 0.0f : step), el_fit_f16(-min), b);
}

/* ---- super-blocks with mins ---- */

/* step, inverse and min of a sub-block from what is stored. */
static void affine_sub(struct el_grid_block *b, uint32_t j)
{
    b->step[j] = el_f16_to_f32(b->d) * (float)b->scale[j];
    b->inverse[j] = el_fit_inverse(b->step[j]);
    b->min[j] = el_f16_to_f32(b->dmin) * (float)b->smin[j];
}

static void affine_block(const struct el_super_affine_kind *kind, const struct el_super_affine *fit, struct el_grid_block *b)
{
    *b = (struct el_grid_block){.n = EL_SUPER_N, .sub_n = kind->sub_n, .hi = kind->hi, .d = fit->d, .dmin = fit->dmin};
    for (uint32_t j = 0; j < kind->n_subs; j++) {
        b->scale[j] = fit->scale[j];
        b->smin[j] = fit->min[j];
        affine_sub(b, j);
    }
}

void el_grid_affine_fit(const struct el_super_affine_kind *kind, const float *x, const float *w, uint32_t n_rows,
                        enum el_effort effort, struct el_grid_block *b)
{
    const float *w_of[EL_ENC_TILE];
    struct el_super_affine fit[EL_ENC_TILE];
    for (uint32_t k = 0; k < EL_ENC_TILE; k++)
        w_of[k] = w;
    for (uint32_t r = 0; r < n_rows; r += EL_ENC_TILE) {
        const uint32_t n = n_rows - r < EL_ENC_TILE ? n_rows - r : EL_ENC_TILE;
        const float *const at = x + (uint64_t)r * EL_SUPER_N;
        if (effort == EL_ENCODE_SEARCH)
            el_super_affine_search(kind, at, w ? w_of : NULL, n, fit);
        for (uint32_t k = 0; k < n; k++) {
            if (effort != EL_ENCODE_SEARCH)
                el_super_affine_nearest(kind, at + (uint64_t)k * EL_SUPER_N, &fit[k]);
            affine_block(kind, &fit[k], &b[r + k]);
        }
    }
}

static float clampf(float v, float lo, float hi)
{
    return v < lo ? lo : v > hi ? hi : v;
}

void el_grid_affine_set(const struct el_super_affine_kind *kind, const float *step, const float *min, struct el_grid_block *b)
{
    struct el_super_affine fit;
    const struct el_fit_extent steps = el_fit_extent(step, kind->n_subs);
    const struct el_fit_extent mins = el_fit_extent(min ? min : step, min ? kind->n_subs : 0);
    fit.d = el_fit_f16(steps.max / kind->top);
    fit.dmin = el_fit_f16(mins.max / kind->top);
    const float d_inv = el_fit_inverse(el_f16_to_f32(fit.d)), m_inv = el_fit_inverse(el_f16_to_f32(fit.dmin));
    for (uint32_t j = 0; j < kind->n_subs; j++) {
        fit.scale[j] = (uint8_t)el_round_even(clampf(step[j] * d_inv, 0.0f, kind->top));
        fit.min[j] = (uint8_t)el_round_even(clampf(min ? min[j] * m_inv : 0.0f, 0.0f, kind->top));
    }
    affine_block(kind, &fit, b);
}

/* What a sub-block loses by its nearest levels, and what they are: sums for the best min. */
struct sub_loss {
    float err, wr, w; /* sum w r^2; sum w r for r = x + min - step level - min; sum w */
};

static struct sub_loss sub_eval(const struct el_grid_block *b, uint32_t sub, const float *x, const float *w)
{
    struct sub_loss s = {0.0f, 0.0f, 0.0f};
    for (uint32_t i = 0; i < b->sub_n; i++) {
        const float at = clampf((x[i] + b->min[sub]) * b->inverse[sub], b->lo, b->hi);
        const float r = x[i] - (b->step[sub] * el_round_even(at) - b->min[sub]), wi = w ? w[i] : 1.0f;
        s.err += wi * r * r;
        s.wr += wi * r;
        s.w += wi;
    }
    return s;
}

/*
 * Trials of the scale from half to a little more than the range asks for, or near what it was; for each the min follows from the
 * levels twice.
 */
void el_grid_affine_refit(const struct el_super_affine_kind *kind, const float *x, const float *w, uint32_t sub,
                          struct el_grid_block *b)
{
    const float d_inv = el_fit_inverse(el_f16_to_f32(b->d)), m_inv = el_fit_inverse(el_f16_to_f32(b->dmin));
    const struct el_fit_extent ext = el_fit_extent(x, b->sub_n);
    const float full = (ext.max - ext.min) / kind->hi * d_inv, full_min = -ext.min * m_inv;
    struct el_grid_block best = *b, trial = *b;
    float best_err = sub_eval(b, sub, x, w).err;
    float last = -1.0f;
    enum { TRIALS = 12 };
    for (int t = 0; t <= TRIALS; t++) {
        const float part = 0.45f + 0.05f * (float)t;
        const float scale = el_round_even(clampf(full * part, 0.0f, kind->top));
        if (scale == last)
            continue;
        last = scale;
        trial.scale[sub] = (int16_t)scale;
        trial.smin[sub] = (uint8_t)el_round_even(clampf(full_min * part, 0.0f, kind->top));
        for (int round = 0; round < 3; round++) {
            affine_sub(&trial, sub);
            const struct sub_loss s = sub_eval(&trial, sub, x, w);
            if (s.err < best_err) {
                best_err = s.err;
                best = trial;
            }
            const float shift = s.w > 0.0f ? s.wr / s.w : 0.0f;
            const uint8_t next = (uint8_t)el_round_even(clampf((trial.min[sub] - shift) * m_inv, 0.0f, kind->top));
            if (next == trial.smin[sub])
                break;
            trial.smin[sub] = next;
        }
    }
    *b = best;
}

bool el_grid_affine_vary(const struct el_super_affine_kind *kind, uint32_t sub, int step, int min, struct el_grid_block *b)
{
    const int scale = b->scale[sub] + step, smin = b->smin[sub] + min;
    if (scale < 0 || smin < 0 || (float)scale > kind->top || (float)smin > kind->top)
        return false;
    b->scale[sub] = (int16_t)scale;
    b->smin[sub] = (uint8_t)smin;
    affine_sub(b, sub);
    return true;
}

void el_grid_super_share(const struct el_enc *enc, float step_by, float min_by, struct el_grid_block *b)
{
    (void)enc;
    b->d = el_fit_f16(el_f16_to_f32(b->d) * step_by);
    b->dmin = el_fit_f16(el_f16_to_f32(b->dmin) * min_by);
    for (uint32_t j = 0; j < b->n / b->sub_n; j++)
        affine_sub(b, j);
}

void el_grid_affine_get(const struct el_grid_block *b, const int16_t *level, struct el_super_affine *out)
{
    out->d = b->d;
    out->dmin = b->dmin;
    for (uint32_t j = 0; j < EL_SUPER_N / b->sub_n; j++) {
        out->scale[j] = (uint8_t)b->scale[j];
        out->min[j] = b->smin[j];
    }
    for (uint32_t i = 0; i < EL_SUPER_N; i++)
        out->q[i] = (uint8_t)level[i];
}

/* ---- super-blocks without ---- */

static void scale_sub(struct el_grid_block *b, uint32_t j)
{
    b->step[j] = el_f16_to_f32(b->d) * (float)b->scale[j];
    b->inverse[j] = el_fit_inverse(b->step[j]);
}

static void scale_block(const struct el_super_scale_kind *kind, const struct el_super_scale *fit, struct el_grid_block *b)
{
    *b = (struct el_grid_block){.n = EL_SUPER_N,
                                .sub_n = kind->sub_n,
                                .lo = kind->codes.lo,
                                .hi = kind->codes.hi,
                                .levels = kind->codes.levels,
                                .d = fit->d};
    for (uint32_t j = 0; j < kind->n_subs; j++) {
        b->scale[j] = fit->scale[j];
        scale_sub(b, j);
    }
}

void el_grid_scale_fit(const struct el_super_scale_kind *kind, const float *x, const float *w, uint32_t n_rows,
                       enum el_effort effort, struct el_grid_block *b)
{
    const float *w_of[EL_ENC_TILE];
    struct el_super_scale fit[EL_ENC_TILE];
    for (uint32_t k = 0; k < EL_ENC_TILE; k++)
        w_of[k] = w;
    for (uint32_t r = 0; r < n_rows; r += EL_ENC_TILE) {
        const uint32_t n = n_rows - r < EL_ENC_TILE ? n_rows - r : EL_ENC_TILE;
        const float *const at = x + (uint64_t)r * EL_SUPER_N;
        if (effort == EL_ENCODE_SEARCH)
            el_super_scale_search(kind, at, w ? w_of : NULL, n, fit);
        for (uint32_t k = 0; k < n; k++) {
            if (effort != EL_ENCODE_SEARCH)
                el_super_scale_nearest(kind, at + (uint64_t)k * EL_SUPER_N, &fit[k]);
            scale_block(kind, &fit[k], &b[r + k]);
        }
    }
}

void el_grid_scale_set(const struct el_super_scale_kind *kind, const float *step, struct el_grid_block *b)
{
    struct el_super_scale fit;
    fit.d = el_fit_f16(el_fit_extent(step, kind->n_subs).signed_max / kind->scale_lo);
    const float inv = el_fit_inverse(el_f16_to_f32(fit.d));
    for (uint32_t j = 0; j < kind->n_subs; j++)
        fit.scale[j] = (int8_t)el_round_even(clampf(step[j] * inv, kind->scale_lo, kind->scale_hi));
    scale_block(kind, &fit, b);
}

static float scale_loss(const struct el_grid_block *b, uint32_t sub, const float *x, const float *w)
{
    const struct el_fit_range range = {.lo = b->lo, .hi = b->hi, .levels = b->levels};
    return el_fit_scale_eval(x, w, b->sub_n, b->step[sub], range).rr;
}

void el_grid_scale_refit(const struct el_super_scale_kind *kind, const float *x, const float *w, uint32_t sub,
                         struct el_grid_block *b)
{
    const struct el_fit_range range = {.lo = b->lo, .hi = b->hi, .levels = b->levels};
    const float best_step = el_fit_scale(x, w, b->sub_n, range);
    const float at = el_round_even(clampf(best_step * el_fit_inverse(el_f16_to_f32(b->d)), kind->scale_lo, kind->scale_hi));
    struct el_grid_block best = *b, trial = *b;
    float best_err = scale_loss(b, sub, x, w);
    for (int k = -1; k <= 1; k++) {
        trial.scale[sub] = (int16_t)clampf(at + (float)k, kind->scale_lo, kind->scale_hi);
        scale_sub(&trial, sub);
        const float err = scale_loss(&trial, sub, x, w);
        if (err < best_err) {
            best_err = err;
            best = trial;
        }
    }
    *b = best;
}

bool el_grid_scale_vary(const struct el_super_scale_kind *kind, uint32_t sub, int step, int min, struct el_grid_block *b)
{
    const int scale = b->scale[sub] + step;
    if (min != 0 || (float)scale < kind->scale_lo || (float)scale > kind->scale_hi)
        return false;
    b->scale[sub] = (int16_t)scale;
    scale_sub(b, sub);
    return true;
}

void el_grid_scale_get(const struct el_grid_block *b, const int16_t *level, struct el_super_scale *out)
{
    out->d = b->d;
    for (uint32_t j = 0; j < EL_SUPER_N / b->sub_n; j++)
        out->scale[j] = (int8_t)b->scale[j];
    for (uint32_t i = 0; i < EL_SUPER_N; i++)
        out->q[i] = (int8_t)level[i];
}
