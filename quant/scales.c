/* See scales.h. */
#include "quant/scales.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "kernels/cholesky.h"
#include "quant/loss.h"

enum { ROWS = 8, STEPS = EL_SCALES_STEPS }; /* rows of a matrix that are rounded together, by all steps */

/* ---- powers ---- */

/* log2 x = exponent + 2 / ln 2 artanh((m - 1) / (m + 1)), m in [sqrt 1/2, sqrt 2): the series falls by 34 per term. */
static double log2_of(double x)
{
    int exponent;
    double m = frexp(x, &exponent);
    if (m < 0.70710678118654752) {
        m *= 2.0;
        exponent--;
    }
    const double t = (m - 1.0) / (m + 1.0), t2 = t * t;
    double sum = 0.0;
    for (int k = 25; k >= 1; k -= 2)
        sum = sum * t2 + 1.0 / k;
    return (double)exponent + sum * t * 2.8853900817779268;
}

/* 2^y: the whole part by ldexp, e^(ln 2 f) of the rest |f| <= 1/2 by its series. */
static double exp2_of(double y)
{
    const double whole = floor(y + 0.5), f = (y - whole) * 0.69314718055994531;
    double sum = 1.0;
    for (int k = 18; k >= 1; k--)
        sum = 1.0 + sum * f / k;
    return ldexp(sum, (int)whole);
}

double el_scales_power(double x, double a)
{
    return exp2_of(a * log2_of(x));
}

/* ---- SmoothQuant ---- */

void el_scales_smooth(const float *max_x, const float *max_w, uint64_t n_channels, double alpha, float *s)
{
    for (uint64_t j = 0; j < n_channels; j++) {
        s[j] = 1.0f;
        if (max_x[j] > 0.0f && max_w[j] > 0.0f)
            s[j] = (float)(el_scales_power((double)max_x[j], alpha) / el_scales_power((double)max_w[j], 1.0 - alpha));
        if (!(s[j] >= 1e-20f && s[j] <= 1e20f)) /* floats that are hardly numbers */
            s[j] = 1.0f;
    }
}

/* ---- AWQ ---- */

/*
 * A channel of which nothing was seen is like the quietest that was. The paper's program has a floor of 1e-4 instead, which
 * depends on the unit that x is in.
 */
void el_scales_awq_at(const float *mean, uint64_t n_channels, uint32_t step, float *s)
{
    const double a = (double)step / STEPS;
    double least = 0.0, most = 0.0;
    for (uint64_t j = 0; j < n_channels; j++) {
        const double x = (double)mean[j];
        most = x > most ? x : most;
        least = x > 0.0 && (least == 0.0 || x < least) ? x : least;
    }
    if (step == 0 || most == 0.0) {
        for (uint64_t j = 0; j < n_channels; j++)
            s[j] = 1.0f;
        return;
    }
    const double middle = sqrt(el_scales_power(most, a) * el_scales_power(least, a));
    for (uint64_t j = 0; j < n_channels; j++)
        s[j] = (float)(el_scales_power((double)mean[j] > 0.0 ? (double)mean[j] : least, a) / middle);
}

/* What a thread needs to round ROWS rows of a matrix. */
struct scratch {
    float *scaled, *rounded; /* [ROWS, n_in] */
    float *weight;           /* [n_in] */
    uint8_t *bytes;          /* the parts of ROWS rows */
    double *error, *y;       /* [STEPS * ROWS, n_in] */
    double *panel;           /* [n_in, EL_F64_PANEL] */
};

struct search {
    const struct el_scales_matrix *matrices;
    size_t n;
    uint64_t *first; /* [n] piece that a matrix begins with, a piece being ROWS of its rows */
    const float *s;  /* [STEPS, n_channels] */
    uint64_t n_channels;
    double *loss;            /* [pieces * ROWS, STEPS] */
    struct scratch *scratch; /* [threads] */
};

/* s->rounded = s->scaled in the encoding, for columns that weigh s->weight. */
static void round_rows(const struct el_scales_matrix *m, uint64_t n_rows, const struct scratch *s)
{
    struct el_part_shape shapes[EL_MAX_PARTS];
    struct el_matrix q = {.enc = m->enc, .n_rows = n_rows, .n_in = m->n_in};
    uint8_t *parts[EL_MAX_PARTS] = {NULL};
    uint32_t n_parts = 0;
    uint64_t at = 0;
    (void)m->enc.e->parts(&m->enc, n_rows, m->n_in, shapes, &n_parts);
    for (uint32_t p = 0; p < n_parts; p++) {
        q.data[p] = parts[p] = s->bytes + at;
        q.row_nbytes[p] = shapes[p].row_nbytes;
        at += (shapes[p].nbytes + 15) / 16 * 16;
    }
    m->enc.e->encode(&m->enc, s->scaled, m->effort == EL_ENCODE_SEARCH ? s->weight : NULL, n_rows, m->n_in, m->effort, parts);
    el_matrix_decode(&q, 0, n_rows, s->rounded);
}

static void losses_of(const struct el_scales_matrix *m, uint64_t n_rows, const struct scratch *t, double *loss)
{
    if (m->h) {
        el_loss_rows(t->error, m->n_in, m->h, m->n_in, n_rows, m->n_in, t->y, t->panel, loss);
        return;
    }
    for (uint64_t r = 0; r < n_rows; r++) {
        loss[r] = 0.0;
        for (uint64_t j = 0; j < m->n_in; j++)
            loss[r] += (double)m->importance[j] * t->error[r * m->n_in + j] * t->error[r * m->n_in + j];
    }
}

static void search_piece(const struct search *f, uint64_t piece, const struct scratch *t)
{
    size_t i = f->n - 1;
    while (f->first[i] > piece)
        i--;
    const struct el_scales_matrix *const m = &f->matrices[i];
    const uint64_t row0 = (piece - f->first[i]) * ROWS, n_rows = m->n_rows - row0 < ROWS ? m->n_rows - row0 : ROWS;
    const float *const w = m->w + row0 * m->n_in;
    double loss[STEPS * ROWS];
    for (uint32_t k = 0; k < STEPS; k++) {
        const float *const s = f->s + k * f->n_channels;
        for (uint64_t r = 0; r < n_rows; r++)
            for (uint64_t j = 0; j < m->n_in; j++)
                t->scaled[r * m->n_in + j] = w[r * m->n_in + j] * s[m->channel ? m->channel[j] : j];
        for (uint64_t j = 0; j < m->n_in; j++) {
            const float by = s[m->channel ? m->channel[j] : j];
            t->weight[j] = m->importance[j] / (by * by);
        }
        round_rows(m, n_rows, t);
        double *const error = t->error + k * n_rows * m->n_in;
        for (uint64_t r = 0; r < n_rows; r++)
            for (uint64_t j = 0; j < m->n_in; j++)
                error[r * m->n_in + j] =
                    (double)w[r * m->n_in + j] - (double)t->rounded[r * m->n_in + j] / (double)s[m->channel ? m->channel[j] : j];
    }
    losses_of(m, STEPS * n_rows, t, loss);
    for (uint32_t k = 0; k < STEPS; k++)
        for (uint64_t r = 0; r < n_rows; r++)
            f->loss[(piece * ROWS + r) * STEPS + k] = loss[k * n_rows + r];
}

static void search_pieces(void *arg, uint64_t begin, uint64_t end, unsigned thread)
{
    const struct search *const f = arg;
    for (uint64_t i = begin; i < end; i++)
        search_piece(f, i, &f->scratch[thread]);
}

static bool is_rounded(const struct el_scales_matrix *m)
{
    return !(m->enc.e->flags & EL_ENC_FLOAT);
}

static bool make_scratch(struct search *f, unsigned n_threads)
{
    uint64_t n_in = 0, nbytes = 0;
    for (size_t i = 0; i < f->n; i++) {
        const struct el_scales_matrix *const m = &f->matrices[i];
        struct el_part_shape shapes[EL_MAX_PARTS];
        uint32_t n_parts = 0;
        uint64_t sum = 0;
        (void)m->enc.e->parts(&m->enc, ROWS, m->n_in, shapes, &n_parts);
        for (uint32_t p = 0; p < n_parts; p++)
            sum += (shapes[p].nbytes + 15) / 16 * 16;
        nbytes = sum > nbytes ? sum : nbytes;
        n_in = m->n_in > n_in ? m->n_in : n_in;
    }
    f->scratch = el_calloc_array(n_threads, sizeof *f->scratch);
    bool ok = f->scratch != NULL;
    for (unsigned t = 0; ok && t < n_threads; t++) {
        struct scratch *const s = &f->scratch[t];
        s->scaled = el_alloc_array(ROWS * (size_t)n_in, sizeof *s->scaled);
        s->rounded = el_alloc_array(ROWS * (size_t)n_in, sizeof *s->rounded);
        s->weight = el_alloc_array((size_t)n_in, sizeof *s->weight);
        s->bytes = el_alloc((size_t)nbytes + 1);
        s->error = el_alloc_array((size_t)STEPS * ROWS * (size_t)n_in, sizeof *s->error);
        s->y = el_alloc_array((size_t)STEPS * ROWS * (size_t)n_in, sizeof *s->y);
        s->panel = el_alloc_array(EL_F64_PANEL * (size_t)n_in, sizeof *s->panel);
        ok = s->scaled && s->rounded && s->weight && s->bytes && s->error && s->y && s->panel;
    }
    return ok;
}

uint64_t el_scales_nbytes(uint64_t n_rows, uint64_t n_in, uint64_t n_channels, unsigned n_threads)
{
    const uint64_t in_floats = 3 * ROWS + 1; /* what is scaled, its values, their bytes at most, weights */
    const uint64_t in_doubles = 2 * (uint64_t)STEPS * ROWS + EL_F64_PANEL;
    return n_channels * STEPS * sizeof(float) + (n_rows + ROWS) * STEPS * sizeof(double) +
           n_threads * n_in * (in_floats * sizeof(float) + in_doubles * sizeof(double));
}

static void free_search(struct search *f, unsigned n_threads)
{
    for (unsigned t = 0; f->scratch && t < n_threads; t++) {
        el_free(f->scratch[t].scaled);
        el_free(f->scratch[t].rounded);
        el_free(f->scratch[t].weight);
        el_free(f->scratch[t].bytes);
        el_free(f->scratch[t].error);
        el_free(f->scratch[t].y);
        el_free(f->scratch[t].panel);
    }
    el_free(f->scratch);
    el_free(f->first);
    el_free(f->loss);
}

/* In the order of the rows. */
static void add_up(const struct search *f, double *loss)
{
    for (size_t i = 0; i < f->n; i++) {
        const struct el_scales_matrix *const m = &f->matrices[i];
        double sum[STEPS] = {0.0};
        for (uint64_t r = 0; is_rounded(m) && r < m->n_rows; r++)
            for (uint32_t k = 0; k < STEPS; k++)
                sum[k] += f->loss[(f->first[i] * ROWS + r) * STEPS + k];
        for (uint32_t k = 0; k < STEPS; k++)
            loss[k] += m->factor * sum[k];
    }
}

uint32_t el_scales_best(const double *loss)
{
    uint32_t best = 0;
    for (uint32_t k = 1; k < STEPS; k++)
        best = loss[k] < loss[best] ? k : best;
    return best;
}

enum el_status el_scales_awq(const struct el_scales_matrix *matrices, size_t n, const float *mean, uint64_t n_channels,
                             struct el_pool *pool, double *loss, struct el_err *err)
{
    struct search f = {.matrices = matrices, .n = n, .n_channels = n_channels};
    const unsigned n_threads = pool ? el_pool_n(pool) : 1;
    uint64_t n_pieces = 0;
    float *const steps = el_alloc_array((size_t)n_channels * STEPS, sizeof *steps);
    f.first = el_alloc_array(n + 1, sizeof *f.first);
    for (size_t i = 0; f.first && i < n; i++) {
        f.first[i] = n_pieces;
        n_pieces += is_rounded(&matrices[i]) ? (matrices[i].n_rows + ROWS - 1) / ROWS : 0;
    }
    f.loss = el_calloc_array((size_t)n_pieces * ROWS * STEPS + 1, sizeof *f.loss);
    const bool ok = steps && f.first && f.loss && make_scratch(&f, n_threads);
    if (ok) {
        for (uint32_t k = 0; k < STEPS; k++)
            el_scales_awq_at(mean, n_channels, k, steps + k * n_channels);
        f.s = steps;
        el_pool_run(pool, n_pieces, 1, search_pieces, &f);
        add_up(&f, loss);
    }
    free_search(&f, n_threads);
    el_free(steps);
    return ok ? EL_OK : el_fail(err, EL_E_MEMORY, "out of memory for a search of scales");
}
