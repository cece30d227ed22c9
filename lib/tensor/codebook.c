/* See codebook.h. */
#include "tensor/codebook.h"

#include <math.h>
#include <string.h>

#include "base/f16.h"
#include "tensor/codebook_near.h"
#include "tensor/enc_common.h"
#include "tensor/iq_grids.h"

enum { MAX_UNIT = 8, MAX_PARTS = 2, SUBS = EL_GRID_MAX_SUBS };

/* What stands for one entry's columns. */
struct code {
    uint16_t entry;
    int8_t turned; /* the column that has not x's sign, or -1 */
    int8_t delta;
};

/* Columns that get codes together: a super-block, a sub-block or a unit. */
struct columns {
    float x[EL_SUPER_N], w[EL_SUPER_N], wx[EL_SUPER_N]; /* x: its size, where signs are stored */
    uint16_t hint[EL_SUPER_N / 4][2];                   /* of a part: entries that were the nearest (struct el_near) */
    uint8_t odd[EL_SUPER_N / MAX_UNIT];                 /* of a unit: must one of its columns have the other sign? */
    bool negative[EL_SUPER_N];
};

static bool has_signs(const struct el_codebook *cb)
{
    return cb->signs == EL_SIGNS_FREE || cb->signs == EL_SIGNS_EVEN;
}

static void begin_columns(const struct el_codebook *cb, const float *x, const float *w, uint32_t n, struct columns *c)
{
    const bool signs = has_signs(cb);
    for (uint32_t i = 0; i < n; i++) {
        c->negative[i] = x[i] < 0.0f;
        c->x[i] = signs ? fabsf(x[i]) : x[i];
        c->w[i] = w ? w[i] : 1.0f;
        c->wx[i] = c->w[i] * c->x[i];
    }
    for (uint32_t p = 0; p < n / cb->entry_n; p++)
        c->hint[p][0] = c->hint[p][1] = EL_NEAR_NONE;
    for (uint32_t u = 0; cb->signs == EL_SIGNS_EVEN && u < n / cb->unit_n; u++) {
        uint32_t n_negative = 0;
        for (uint32_t i = 0; i < cb->unit_n; i++)
            n_negative += c->negative[u * cb->unit_n + i];
        c->odd[u] = n_negative % 2;
    }
}

/* ---- the nearest entry ---- */

static void near_part(const struct el_codebook *cb, const struct el_near_table *table, const float *y, const float *w,
                      struct el_near *near)
{
    const struct el_near_fns *const fns = el_near_fns();
    (cb->entry_n == 8 ? fns->eight : fns->four)(cb, table, y, w, near);
}

static float value_of(const struct el_codebook *cb, uint32_t entry, uint32_t i)
{
    return (float)cb->digit[el_iq_digit(cb->entries[entry], i)];
}

/* The column of an entry for which it costs least to have the other sign. */
static int8_t turned_column(const struct el_codebook *cb, const float *y, const float *w, uint32_t entry)
{
    float least = INFINITY;
    int8_t turned = 0;
    for (uint32_t i = 0; i < cb->entry_n; i++) {
        const float cost = w[i] * y[i] * value_of(cb, entry, i);
        if (cost < least) {
            least = cost;
            turned = (int8_t)i;
        }
    }
    return turned;
}

/* Magnitudes of a unit, whose parts share the parity of their signs. */
static void near_signed(const struct el_codebook *cb, const float *y, const float *w, bool odd, uint16_t (*hint)[2],
                        struct code *code)
{
    const uint32_t n_parts = cb->unit_n / cb->entry_n;
    struct el_near near[MAX_PARTS];
    for (uint32_t p = 0; p < n_parts; p++) {
        near[p] = (struct el_near){.ask = {!odd || n_parts > 1, odd}, .entry = {hint[p][0], hint[p][1]}};
        near_part(cb, cb->table, y + p * cb->entry_n, w + p * cb->entry_n, &near[p]);
        memcpy(hint[p], near[p].entry, sizeof near[p].entry);
    }
    const bool second = n_parts > 1 && near[0].loss[0] + near[1].loss[1] < near[0].loss[1] + near[1].loss[0];
    for (uint32_t p = 0; p < n_parts; p++) {
        const bool turns = odd && second == (p == 1);
        const uint32_t at = p * cb->entry_n;
        code[p] = (struct code){.entry = near[p].entry[turns], .turned = -1};
        if (turns)
            code[p].turned = turned_column(cb, y + at, w + at, code[p].entry);
    }
}

/* One entry, whose columns have a delta added: the given one, or the better. */
static void near_shifted(const struct el_codebook *cb, const float *y, const float *w, bool negative, uint16_t hint[2],
                         struct code *code)
{
    const bool either = cb->signs == EL_SIGNS_DELTA;
    float best = INFINITY;
    for (uint32_t side = 0; side < 2; side++) {
        if (!either && side != negative)
            continue;
        struct el_near near = {.ask = {true, false}, .entry = {hint[side], 0}};
        const int8_t delta = side ? -1 : 1;
        const float zero = (float)(cb->digit[0] + delta);
        near_part(cb, &cb->table[side], y, w, &near);
        hint[side] = near.entry[0];
        for (uint32_t i = 0; either && i < cb->entry_n; i++)
            near.loss[0] += w[i] * zero * (zero - 2.0f * y[i]);
        if (side == 0 || !either || near.loss[0] < best) {
            best = near.loss[0];
            *code = (struct code){.entry = near.entry[0], .turned = -1, .delta = delta};
        }
    }
}

/* The nearest codes of a unit, columns `at` .. of c. */
static void near_unit(const struct el_codebook *cb, struct columns *c, uint32_t at, float inverse, bool negative,
                      struct code *code)
{
    float y[MAX_UNIT];
    for (uint32_t i = 0; i < cb->unit_n; i++)
        y[i] = c->x[at + i] * inverse;
    if (has_signs(cb))
        near_signed(cb, y, c->w + at, cb->signs == EL_SIGNS_EVEN && c->odd[at / cb->unit_n], &c->hint[at / cb->entry_n], code);
    else
        near_shifted(cb, y, c->w + at, negative, c->hint[at / cb->entry_n], code);
}

static void levels_of(const struct el_codebook *cb, const struct columns *c, uint32_t n, const struct code *code, int16_t *level)
{
    for (uint32_t i = 0; i < n; i++) {
        const struct code *const k = &code[i / cb->entry_n];
        const uint32_t column = i % cb->entry_n;
        const int16_t v = (int16_t)(cb->digit[el_iq_digit(cb->entries[k->entry], column)] + k->delta);
        level[i] = has_signs(cb) && c->negative[i] != (k->turned == (int8_t)column) ? (int16_t)-v : v;
    }
}

void el_codebook_nearest(const struct el_codebook *cb, const float *x, const float *w, float inverse, bool negative_delta,
                         int16_t *level)
{
    struct columns c;
    struct code code[MAX_PARTS];
    begin_columns(cb, x, w, cb->unit_n, &c);
    near_unit(cb, &c, 0, inverse, negative_delta, code);
    levels_of(cb, &c, cb->unit_n, code, level);
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
    /* Entries with the same second half stand together. */
    const uint32_t n = cb->entry_n / 2, base = cb->entry_n == 8 ? 3 : 8;
    uint32_t half = 0;
    for (uint32_t i = cb->entry_n; i-- > n;)
        half = half * base + el_iq_digit(want, i);
    uint32_t e = cb->runs[half];
    while (e + 1 < cb->runs[half + 1] && cb->entries[e] != want)
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

/* Nearest codes of a sub-block and their sums. */
static struct sums choose(const struct el_codebook *cb, struct columns *c, uint32_t first, float inverse, bool negative,
                          struct code *code)
{
    struct sums s = {0.0f, 0.0f, 0.0f};
    for (uint32_t i = 0; i < cb->sub_n; i += cb->unit_n)
        near_unit(cb, c, first + i, inverse, negative, code + i / cb->entry_n);
    for (uint32_t p = 0; p < cb->sub_n / cb->entry_n; p++) {
        const uint32_t at = first + p * cb->entry_n;
        float xv = 0.0f, vv = 0.0f;
        for (uint32_t i = 0; i < cb->entry_n; i++) {
            const float v = value_of(cb, code[p].entry, i) + (float)code[p].delta;
            xv += (code[p].turned == (int8_t)i ? -c->wx[at + i] : c->wx[at + i]) * v;
            vv += c->w[at + i] * v * v;
        }
        s.xv += xv;
        s.vv += vv;
    }
    for (uint32_t i = first; i < first + cb->sub_n; i++)
        s.xx += c->wx[i] * c->x[i];
    return s;
}

/*
 * Scales of a sub-block to try, at most MAX_TRIALS; their number. About the best, from its mean square and its greatest number;
 * and where its magnitudes are much alike the one with which all are the lowest level, far from what suits others.
 */
enum { MAX_TRIALS = 4 };
static uint32_t guess(const struct el_codebook *cb, const struct columns *c, uint32_t first, float trial[MAX_TRIALS])
{
    float top = 0.0f, middle = 0.0f, bottom = 0.0f;
    const float size = el_fit_extent(c->x + first, cb->sub_n).abs_max;
    for (uint32_t i = first; i < first + cb->sub_n; i++) {
        top += c->wx[i] * c->x[i];
        middle += c->wx[i];
        bottom += c->w[i];
    }
    const float mean = bottom > 0.0f ? top / bottom : 0.0f;
    const float about = cb->guess * (mean > 0.0f ? sqrtf(sqrtf(mean) * size) : size);
    trial[0] = about;
    trial[1] = 0.85f * about;
    trial[2] = 1.15f * about;
    if (!has_signs(cb) || !(bottom > 0.0f && size * size < 2.0f * mean))
        return 3;
    trial[3] = middle / (bottom * (float)cb->digit[0]);
    return 4;
}

/* A good scale of a sub-block that may have any; of its codes the sums, and the delta. */
static float search_sub(const struct el_codebook *cb, struct columns *c, uint32_t first, struct sums *sums, bool *negative)
{
    const bool both = cb->signs == EL_SIGNS_DELTA_SUB;
    float best = INFINITY, trials[MAX_TRIALS];
    const uint32_t n = guess(cb, c, first, trials);
    float scale = trials[0];
    struct code code[EL_SUPER_N / 4];
    *sums = (struct sums){0.0f, 0.0f, 0.0f};
    *negative = false;
    /* The last trial is what least squares says of the best one's codes. */
    for (uint32_t k = 0; k <= n; k++) {
        const bool last = k == n, side = *negative;
        const float trial = last ? scale : trials[k];
        for (int s = last ? side : 0; s <= (last ? side : both); s++) {
            const struct sums got = choose(cb, c, first, el_fit_inverse(trial), s == 1, code);
            const float fitted = got.vv > 0.0f && got.xv > 0.0f ? got.xv / got.vv : trial, loss = loss_at(&got, fitted);
            if (loss < best) {
                best = loss;
                scale = fitted;
                *sums = got;
                *negative = s == 1;
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

/* Codes of all sub-blocks for the scales that they have, and what is lost. */
static float choose_all(const struct el_codebook *cb, struct columns *c, const struct el_grid_block *b, struct code *code,
                        struct sums *sums)
{
    float loss = 0.0f;
    for (uint32_t j = 0; j < EL_SUPER_N / cb->sub_n; j++) {
        const uint32_t at = j * cb->sub_n;
        sums[j] = choose(cb, c, at, b->inverse[j], b->smin[j] != 0, code + at / cb->entry_n);
        loss += loss_at(&sums[j], b->step[j]);
    }
    return loss;
}

/*
 * A better integer scale of a sub-block for d as it is: from its own up or down, as least squares says, for as long as
 * less is lost. Returns what is lost then.
 */
static float climb(const struct el_codebook *cb, struct columns *c, uint32_t sub, struct el_grid_block *b, struct code *code,
                   struct sums *sums)
{
    const uint32_t first = sub * cb->sub_n;
    const bool negative = b->smin[sub] != 0;
    struct code trial[EL_SUPER_N / 4];
    struct el_grid_block next = *b;
    *sums = choose(cb, c, first, b->inverse[sub], negative, code);
    float best = loss_at(sums, b->step[sub]);
    const int up = sums->xv > b->step[sub] * sums->vv ? 1 : -1;
    for (int s = b->scale[sub] + up; s >= 0 && s <= (int)cb->top; s += up) {
        next.scale[sub] = (int16_t)s;
        set_sub(cb, sub, &next);
        const struct sums got = choose(cb, c, first, next.inverse[sub], negative, trial);
        const float loss = loss_at(&got, next.step[sub]);
        if (!(loss < best))
            break;
        best = loss;
        *sums = got;
        memcpy(code, trial, cb->sub_n / cb->entry_n * sizeof *code);
        b->scale[sub] = (int16_t)s;
        set_sub(cb, sub, b);
    }
    return best;
}

/* The best d for codes and integer scales as they are; false: they are all 0. */
static bool refit_d(const struct el_codebook *cb, const struct sums *sums, struct el_grid_block *b)
{
    float top = 0.0f, bottom = 0.0f;
    for (uint32_t j = 0; j < EL_SUPER_N / cb->sub_n; j++) {
        const float by = (float)(2 * b->scale[j] + 1) * cb->unit;
        top += sums[j].xv * by;
        bottom += sums[j].vv * by * by;
    }
    if (!(bottom > 0.0f && top > 0.0f))
        return false;
    b->d = el_fit_f16(top / bottom);
    set_all(cb, b);
    return true;
}

/* Of codes and scales: sum w x^2 / sum w x value, at least 1. */
static float gain_of(const struct el_codebook *cb, const struct sums *sums, const struct el_grid_block *b)
{
    enum { MOST = 2 };
    float whole = 0.0f, along = 0.0f;
    for (uint32_t j = 0; j < EL_SUPER_N / cb->sub_n; j++) {
        whole += sums[j].xx;
        along += b->step[j] * sums[j].xv;
    }
    return along >= whole || !(along * MOST > whole) ? 1.0f : whole / along;
}

/* The codes and scales of least squares; returns the gain that is missing then. */
static float search(const struct el_codebook *cb, struct columns *c, struct el_grid_block *out, struct code *code)
{
    enum { ROUNDS = 3 };
    const uint32_t n = EL_SUPER_N / cb->sub_n;
    float step[SUBS], best = 0.0f;
    struct sums sums[SUBS];
    struct el_grid_block b;
    struct code trial[EL_SUPER_N / 4];
    begin(cb, &b);
    for (uint32_t j = 0; j < n; j++) {
        bool negative;
        step[j] = search_sub(cb, c, j * cb->sub_n, &sums[j], &negative);
        b.smin[j] = negative;
    }
    b.d = best_d(cb, step, sums);
    set_scales(cb, step, &b);
    for (uint32_t j = 0; j < n; j++)
        best += climb(cb, c, j, &b, code + j * (cb->sub_n / cb->entry_n), &sums[j]);
    *out = b;
    float gain = gain_of(cb, sums, &b);
    for (int round = 1; round < ROUNDS && refit_d(cb, sums, &b); round++) {
        const float loss = choose_all(cb, c, &b, trial, sums);
        if (!(loss < best))
            break;
        best = loss;
        *out = b;
        memcpy(code, trial, sizeof trial);
        gain = gain_of(cb, sums, &b);
    }
    return gain;
}

void el_codebook_fit(const struct el_codebook *cb, const float *x, const float *w, enum el_effort effort, struct el_grid_block *b,
                     int16_t *level)
{
    struct columns c;
    struct code code[EL_SUPER_N / 4];
    begin_columns(cb, x, w, EL_SUPER_N, &c);
    if (effort == EL_ENCODE_SEARCH) {
        const float gain = search(cb, &c, b, code);
        if (level) {
            b->d = el_fit_f16(el_f16_to_f32(b->d) * gain);
            set_all(cb, b);
        }
    } else {
        float step[SUBS];
        struct sums sums[SUBS];
        for (uint32_t j = 0; j < EL_SUPER_N / cb->sub_n; j++)
            step[j] = el_fit_extent(x + j * cb->sub_n, cb->sub_n).abs_max / top_level(cb);
        set_steps(cb, step, b);
        if (level)
            (void)choose_all(cb, &c, b, code, sums);
    }
    if (level)
        levels_of(cb, &c, EL_SUPER_N, code, level);
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
    struct columns c;
    struct code code[EL_SUPER_N / 4];
    struct el_grid_block trial = *b;
    begin_columns(cb, x, w, cb->sub_n, &c);
    const struct sums now = choose(cb, &c, 0, b->inverse[sub], b->smin[sub] != 0, code);
    float best = loss_at(&now, b->step[sub]);
    const int16_t at = nearest_scale(cb, search_sub(cb, &c, 0, &sums, &negative), el_f16_to_f32(b->d));
    trial.smin[sub] = negative;
    for (int k = -1; k <= 1; k++) {
        if (at + k < 0 || at + k > (int)cb->top)
            continue;
        trial.scale[sub] = (int16_t)(at + k);
        set_sub(cb, sub, &trial);
        const struct sums got = choose(cb, &c, 0, trial.inverse[sub], negative, code);
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
