/* See codebook.h. */
#include "tensor/codebook.h"

#include <math.h>
#include <string.h>

#include "base/f16.h"
#include "tensor/enc_common.h"
#include "tensor/iq_grids.h"

enum { MAX_UNIT = 8, HALF = 81, SUBS = EL_GRID_MAX_SUBS };

/* ---- the nearest entry ---- */

/*
 * What half an entry's columns lose, less what does not depend on the entry, for all their digits (81 or 64 of them). flip: the
 * least that it costs to give one of the columns the other sign.
 */
struct halves {
    float loss[2][HALF], flip[2][HALF];
};

static bool has_signs(const struct el_codebook *cb)
{
    return cb->signs == EL_SIGNS_FREE || cb->signs == EL_SIGNS_EVEN;
}

/* y [entry_n]: where levels should be; all >= 0 where signs are stored. */
static void fill_halves(const struct el_codebook *cb, const float *y, const float *w, float delta, struct halves *t)
{
    const uint32_t n_digits = cb->entry_n == 8 ? 3 : 8, columns = cb->entry_n / 2;
    for (uint32_t h = 0; h < 2; h++) {
        float *const loss = t->loss[h], *const flip = t->flip[h];
        loss[0] = 0.0f;
        flip[0] = INFINITY;
        /* Column by column from the last on; what is there are the sums over the columns behind. Digit 0 comes last, in place. */
        for (uint32_t c = columns, made = 1; c-- > 0; made *= n_digits) {
            const float yc = y[h * columns + c], wc = w ? w[h * columns + c] : 1.0f;
            for (uint32_t digit = n_digits; digit-- > 0;) {
                const float v = (float)cb->digit[digit] + delta, own = wc * v * (v - 2.0f * yc), cost = 4.0f * wc * yc * v;
                for (uint32_t k = 0; k < made; k++) {
                    loss[digit * made + k] = loss[k] + own;
                    flip[digit * made + k] = flip[k] < cost ? flip[k] : cost;
                }
            }
        }
    }
}

/* Where an entry's half lies in these tables: the first column counts most. The product adds bytes up in its highest. */
static uint32_t half_at(const struct el_codebook *cb, uint32_t entry, uint32_t h)
{
    if (cb->entry_n == 8)
        return (entry >> (4 * h) & 0x0f0f0f0fu) * (27u << 24 | 9u << 16 | 3u << 8 | 1u) >> 24;
    const uint32_t two = entry >> (16 * h);
    return (two & 7) << 3 | (two >> 8 & 7);
}

/*
 * The best entry and its loss; flipped: with one of its signs changed, which costs the least. Entries with the same second half
 * stand together: where that half and the best first half lose more than the best entry so far, all of them do.
 */
static float best_entry(const struct el_codebook *cb, const struct halves *t, bool flipped, uint32_t *entry)
{
    const uint32_t n_first = cb->entry_n == 8 ? 81 : 64, second_mask = cb->entry_n == 8 ? 0xf0f0f0f0u : 0xffff0000u;
    float best = INFINITY, least = INFINITY;
    uint32_t second = UINT32_MAX, b = 0;
    bool skip = false;
    for (uint32_t k = 0; k < n_first; k++)
        least = t->loss[0][k] < least ? t->loss[0][k] : least;
    *entry = 0;
    for (uint32_t e = 0; e < cb->n_entries; e++) {
        if ((cb->entries[e] & second_mask) != second) {
            second = cb->entries[e] & second_mask;
            b = half_at(cb, cb->entries[e], 1);
            skip = least + t->loss[1][b] >= best;
        }
        if (skip)
            continue;
        const uint32_t a = half_at(cb, cb->entries[e], 0);
        float loss = t->loss[0][a] + t->loss[1][b];
        if (flipped)
            loss += t->flip[0][a] < t->flip[1][b] ? t->flip[0][a] : t->flip[1][b];
        if (loss < best) {
            best = loss;
            *entry = e;
        }
    }
    return best;
}

static void levels_of(const struct el_codebook *cb, uint32_t entry, int16_t delta, int16_t *level)
{
    for (uint32_t i = 0; i < cb->entry_n; i++)
        level[i] = (int16_t)(cb->digit[el_iq_digit(cb->entries[entry], i)] + delta);
}

/* Entries of magnitudes, with the signs of x; odd: of an entry's columns the one for which it costs least has the other sign. */
static void signed_levels(const struct el_codebook *cb, const float *x, const float *y, const float *w, uint32_t entry, bool odd,
                          int16_t *level)
{
    uint32_t flip = 0;
    float least = INFINITY;
    levels_of(cb, entry, 0, level);
    for (uint32_t i = 0; i < cb->entry_n; i++) {
        const float cost = (w ? w[i] : 1.0f) * y[i] * (float)level[i];
        if (cost < least) {
            least = cost;
            flip = i;
        }
    }
    for (uint32_t i = 0; i < cb->entry_n; i++)
        if ((x[i] < 0.0f) != (odd && i == flip))
            level[i] = (int16_t)-level[i];
}

static void nearest_signed(const struct el_codebook *cb, const float *x, const float *w, float inverse, int16_t *level)
{
    float y[MAX_UNIT];
    uint32_t entry[2][2], n_negative = 0; /* of each part: as it is, and with a flip */
    float loss[2][2] = {{0.0f}};
    struct halves t;
    const uint32_t n_parts = cb->unit_n / cb->entry_n;
    for (uint32_t i = 0; i < cb->unit_n; i++) {
        y[i] = fabsf(x[i] * inverse);
        n_negative += x[i] < 0.0f;
    }
    const bool odd = cb->signs == EL_SIGNS_EVEN && n_negative % 2 == 1;
    for (uint32_t p = 0; p < n_parts; p++) {
        const uint32_t at = p * cb->entry_n;
        fill_halves(cb, y + at, w ? w + at : NULL, 0.0f, &t);
        loss[p][0] = !odd || n_parts > 1 ? best_entry(cb, &t, false, &entry[p][0]) : 0.0f;
        loss[p][1] = odd ? best_entry(cb, &t, true, &entry[p][1]) : 0.0f;
    }
    const bool second = n_parts > 1 && loss[0][0] + loss[1][1] < loss[0][1] + loss[1][0];
    for (uint32_t p = 0; p < n_parts; p++) {
        const uint32_t at = p * cb->entry_n;
        const bool flips = odd && second == (p == 1);
        signed_levels(cb, x + at, y + at, w ? w + at : NULL, entry[p][flips], flips, level + at);
    }
}

/* The entry by one delta; returns its loss. */
static float nearest_shifted(const struct el_codebook *cb, const float *y, const float *w, int16_t delta, int16_t *level)
{
    struct halves t;
    uint32_t entry;
    fill_halves(cb, y, w, (float)delta, &t);
    const float loss = best_entry(cb, &t, false, &entry);
    levels_of(cb, entry, delta, level);
    return loss;
}

void el_codebook_nearest(const struct el_codebook *cb, const float *x, const float *w, float inverse, bool negative_delta,
                         int16_t *level)
{
    if (has_signs(cb)) {
        nearest_signed(cb, x, w, inverse, level);
        return;
    }
    float y[MAX_UNIT];
    int16_t other[MAX_UNIT];
    for (uint32_t i = 0; i < cb->unit_n; i++)
        y[i] = x[i] * inverse;
    if (cb->signs == EL_SIGNS_DELTA_SUB) {
        (void)nearest_shifted(cb, y, w, negative_delta ? -1 : 1, level);
    } else if (nearest_shifted(cb, y, w, 1, level) > nearest_shifted(cb, y, w, -1, other)) {
        memcpy(level, other, cb->unit_n * sizeof *level);
    }
}

uint32_t el_codebook_entry(const struct el_codebook *cb, const int16_t *level)
{
    const int16_t delta = !has_signs(cb) ? (level[0] & 7) == 1 ? 1 : -1 : 0;
    uint32_t want = 0;
    for (uint32_t i = 0; i < cb->entry_n; i++) {
        const int16_t v = (int16_t)(has_signs(cb) && level[i] < 0 ? -level[i] : level[i] - delta);
        uint32_t digit = 0;
        while (digit < 7 && cb->digit[digit] != v)
            digit++;
        want |= digit << (i % 4 * 8 + i / 4 * 4);
    }
    uint32_t e = 0;
    while (e + 1 < cb->n_entries && cb->entries[e] != want)
        e++;
    return e;
}

uint32_t el_codebook_negative(const int16_t *level, uint32_t n)
{
    uint32_t bits = 0;
    for (uint32_t i = 0; i < n; i++)
        bits |= (uint32_t)(level[i] < 0) << i;
    return bits;
}

/* ---- scales ---- */

static float top_level(const struct el_codebook *cb)
{
    return has_signs(cb) ? (float)cb->digit[cb->entry_n == 8 ? 2 : 7] : (float)cb->digit[2] + 1.0f;
}

/* What least squares says of codes with values v: of a scale s they lose xx - 2 s xv + s^2 vv. */
struct sums {
    float xx, xv, vv;
};

static float loss_at(const struct sums *s, float scale)
{
    return s->xx - scale * (2.0f * s->xv - scale * s->vv);
}

/* Nearest levels of a sub-block and their sums. */
static struct sums choose(const struct el_codebook *cb, const float *x, const float *w, float inverse, bool negative,
                          int16_t *level)
{
    struct sums s = {0.0f, 0.0f, 0.0f};
    for (uint32_t i = 0; i < cb->sub_n; i += cb->unit_n)
        el_codebook_nearest(cb, x + i, w ? w + i : NULL, inverse, negative, level + i);
    for (uint32_t i = 0; i < cb->sub_n; i++) {
        const float wx = w ? w[i] * x[i] : x[i], v = (float)level[i];
        s.xx += wx * x[i];
        s.xv += wx * v;
        s.vv += w ? w[i] * v * v : v * v;
    }
    return s;
}

/* The best scale of a sub-block that may have any; of its codes the sums, and the delta. */
static float search_sub(const struct el_codebook *cb, const float *x, const float *w, struct sums *sums, bool *negative)
{
    static const float parts[] = {1.0f, 0.9f, 1.1f, 0.8f, 1.2f, 0.7f, 1.32f, 0.6f, 1.5f};
    const float top = top_level(cb), size = el_fit_extent(x, cb->sub_n).abs_max;
    float best = INFINITY, scale = size / top;
    int16_t level[EL_SUPER_N];
    *sums = (struct sums){0.0f, 0.0f, 0.0f};
    *negative = false;
    const bool both = cb->signs == EL_SIGNS_DELTA_SUB;
    enum { PARTS = sizeof parts / sizeof *parts, ROUNDS = 3, MANY = 2048 };
    const uint32_t n_parts = cb->n_entries >= MANY ? 5 : PARTS; /* a trial takes that much longer */
    for (int side = 0; side < (both ? 2 : 1); side++) {
        float here = INFINITY, s = 0.0f;
        for (uint32_t k = 0; k < n_parts + ROUNDS; k++) {
            const float trial = k < n_parts ? size * parts[k] / top : s;
            const struct sums got = choose(cb, x, w, el_fit_inverse(trial), side == 1, level);
            const float fitted = got.vv > 0.0f && got.xv > 0.0f ? got.xv / got.vv : trial, loss = loss_at(&got, fitted);
            if (loss < here) {
                here = loss;
                s = fitted;
                if (loss < best) {
                    best = loss;
                    scale = fitted;
                    *sums = got;
                    *negative = side == 1;
                }
            } else if (k >= n_parts) {
                break;
            }
        }
    }
    return scale;
}

static void set_sub(const struct el_codebook *cb, uint32_t sub, struct el_grid_block *b)
{
    b->step[sub] = el_f16_to_f32(b->d) * (float)(2 * b->scale[sub] + 1) * cb->unit;
    b->inverse[sub] = el_fit_inverse(b->step[sub]);
}

static void set_all(const struct el_codebook *cb, struct el_grid_block *b)
{
    for (uint32_t j = 0; j < EL_SUPER_N / cb->sub_n; j++)
        set_sub(cb, j, b);
}

static void begin(const struct el_codebook *cb, struct el_grid_block *b)
{
    const float top = top_level(cb);
    *b = (struct el_grid_block){.n = EL_SUPER_N, .sub_n = cb->sub_n, .lo = -top, .hi = top};
}

static int16_t nearest_scale(const struct el_codebook *cb, float step, float d)
{
    const float at = 0.5f * (step * el_fit_inverse(d * cb->unit) - 1.0f);
    return (int16_t)el_round_even(at < 0.0f ? 0.0f : at > (float)cb->top ? (float)cb->top : at);
}

/* The integers nearest to these steps, for d as it is. */
static void set_scales(const struct el_codebook *cb, const float *step, struct el_grid_block *b)
{
    const float d = el_f16_to_f32(b->d);
    for (uint32_t j = 0; j < EL_SUPER_N / cb->sub_n; j++)
        b->scale[j] = nearest_scale(cb, step[j], d);
    set_all(cb, b);
}

static void set_steps(const struct el_codebook *cb, const float *step, struct el_grid_block *b)
{
    begin(cb, b);
    b->d = el_fit_f16(el_fit_extent(step, EL_SUPER_N / cb->sub_n).max / ((float)(2 * cb->top + 1) * cb->unit));
    set_scales(cb, step, b);
}

/* The d whose scales, the best integers for each, lose least by the sums of codes that stay. */
static uint16_t best_d(const struct el_codebook *cb, const float *step, const struct sums *sums)
{
    enum { TRIALS = 40 };
    const uint32_t n = EL_SUPER_N / cb->sub_n;
    const float full = el_fit_extent(step, n).max / ((float)(2 * cb->top + 1) * cb->unit);
    float best = INFINITY;
    uint16_t d = el_fit_f16(full);
    for (int k = 0; k < TRIALS; k++) {
        const uint16_t trial = el_fit_f16(full * (0.8f + 0.0125f * (float)k));
        const float at = el_f16_to_f32(trial);
        float loss = 0.0f;
        for (uint32_t j = 0; j < n; j++)
            loss += loss_at(&sums[j], at * (float)(2 * nearest_scale(cb, step[j], at) + 1) * cb->unit);
        if (loss < best) {
            best = loss;
            d = trial;
        }
    }
    return d;
}

/* Levels of all sub-blocks for the scales that they have, and what is lost. */
static float choose_all(const struct el_codebook *cb, const float *x, const float *w, struct el_grid_block *b, int16_t *level,
                        struct sums *sums)
{
    float loss = 0.0f;
    for (uint32_t j = 0; j < EL_SUPER_N / cb->sub_n; j++) {
        const uint32_t at = j * cb->sub_n;
        sums[j] = choose(cb, x + at, w ? w + at : NULL, b->inverse[j], b->smin[j] != 0, level + at);
        loss += loss_at(&sums[j], b->step[j]);
    }
    return loss;
}

static void search(const struct el_codebook *cb, const float *x, const float *w, struct el_grid_block *out, int16_t *level)
{
    enum { ROUNDS = 4 };
    const uint32_t n = EL_SUPER_N / cb->sub_n;
    float step[SUBS], best = INFINITY;
    struct sums sums[SUBS];
    struct el_grid_block b;
    int16_t trial[EL_SUPER_N];
    begin(cb, &b);
    for (uint32_t j = 0; j < n; j++) {
        bool negative;
        step[j] = search_sub(cb, x + j * cb->sub_n, w ? w + j * cb->sub_n : NULL, &sums[j], &negative);
        b.smin[j] = negative;
    }
    b.d = best_d(cb, step, sums);
    set_scales(cb, step, &b);
    for (int round = 0; round < ROUNDS; round++) {
        const float loss = choose_all(cb, x, w, &b, trial, sums);
        if (round > 0 && !(loss < best))
            break;
        best = loss;
        *out = b;
        memcpy(level, trial, sizeof trial);
        /* Each sub-block's own best step for these codes, then d for the integers that come of it. */
        float top = 0.0f, bottom = 0.0f;
        for (uint32_t j = 0; j < n; j++)
            step[j] = sums[j].vv > 0.0f && sums[j].xv > 0.0f ? sums[j].xv / sums[j].vv : b.step[j];
        set_scales(cb, step, &b);
        for (uint32_t j = 0; j < n; j++) {
            const float by = (float)(2 * b.scale[j] + 1) * cb->unit;
            top += sums[j].xv * by;
            bottom += sums[j].vv * by * by;
        }
        if (bottom > 0.0f && top > 0.0f)
            b.d = el_fit_f16(top / bottom);
        set_scales(cb, step, &b);
    }
}

void el_codebook_fit(const struct el_codebook *cb, const float *x, const float *w, enum el_effort effort, struct el_grid_block *b,
                     int16_t *level)
{
    int16_t unused[EL_SUPER_N];
    struct sums sums[SUBS];
    if (effort == EL_ENCODE_SEARCH) {
        search(cb, x, w, b, level ? level : unused);
        return;
    }
    float step[SUBS];
    for (uint32_t j = 0; j < EL_SUPER_N / cb->sub_n; j++)
        step[j] = el_fit_extent(x + j * cb->sub_n, cb->sub_n).abs_max / top_level(cb);
    set_steps(cb, step, b);
    if (level)
        (void)choose_all(cb, x, w, b, level, sums);
}

/* ---- grids ---- */

void el_codebook_grid_fit(const struct el_enc *enc, const float *x, const float *w, uint32_t n_rows, uint32_t n,
                          enum el_effort effort, struct el_grid_block *b)
{
    for (uint32_t r = 0; r < n_rows; r++)
        el_codebook_fit(enc->e->grid->codebook, x + (uint64_t)r * n, w, effort, &b[r], NULL);
}

void el_codebook_grid_set(const struct el_enc *enc, const float *step, const float *min, uint32_t n, struct el_grid_block *b)
{
    (void)min;
    (void)n;
    set_steps(enc->e->grid->codebook, step, b);
}

void el_codebook_grid_refit(const struct el_enc *enc, const float *x, const float *w, uint32_t sub, struct el_grid_block *b)
{
    const struct el_codebook *const cb = enc->e->grid->codebook;
    struct sums sums;
    bool negative;
    int16_t level[EL_SUPER_N];
    struct el_grid_block trial = *b;
    const struct sums now = choose(cb, x, w, b->inverse[sub], b->smin[sub] != 0, level);
    float best = loss_at(&now, b->step[sub]);
    const int16_t at = nearest_scale(cb, search_sub(cb, x, w, &sums, &negative), el_f16_to_f32(b->d));
    trial.smin[sub] = negative;
    for (int k = -1; k <= 1; k++) {
        if (at + k < 0 || at + k > (int)cb->top)
            continue;
        trial.scale[sub] = (int16_t)(at + k);
        set_sub(cb, sub, &trial);
        const struct sums got = choose(cb, x, w, trial.inverse[sub], negative, level);
        const float loss = loss_at(&got, trial.step[sub]);
        if (loss < best) {
            best = loss;
            *b = trial;
        }
    }
}

bool el_codebook_grid_vary(const struct el_enc *enc, uint32_t sub, int step, int min, struct el_grid_block *b)
{
    const struct el_codebook *const cb = enc->e->grid->codebook;
    const int scale = b->scale[sub] + step, negative = b->smin[sub] + min;
    if (scale < 0 || scale > (int)cb->top || negative < 0 || negative > (cb->signs == EL_SIGNS_DELTA_SUB ? 1 : 0))
        return false;
    b->scale[sub] = (int16_t)scale;
    b->smin[sub] = (uint8_t)negative;
    set_sub(cb, sub, b);
    return true;
}

void el_codebook_grid_share(const struct el_enc *enc, float step_by, float min_by, struct el_grid_block *b)
{
    (void)min_by;
    b->d = el_fit_f16(el_f16_to_f32(b->d) * step_by);
    set_all(enc->e->grid->codebook, b);
}

void el_codebook_grid_snap(const struct el_enc *enc, const struct el_grid_block *b, uint32_t sub, const float *x, const float *w,
                           int16_t *level)
{
    el_codebook_nearest(enc->e->grid->codebook, x, w, b->inverse[sub], b->smin[sub] != 0, level);
}

void el_codebook_grid_store(const struct el_enc *enc, const struct el_grid_block *b, const int16_t *level, uint64_t row,
                            uint64_t column, uint64_t n_in, uint8_t *const parts_out[EL_MAX_PARTS])
{
    enc->e->grid->pack(b, level, el_grid_place(enc, row, column, n_in, parts_out));
}
