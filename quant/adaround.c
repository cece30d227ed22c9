/*
 * AdaRound: every weight goes to the value below it or to the one above, whichever serves the outputs of the whole row (Nagel et
 * al., Up or Down?, arXiv:2004.10568; as the last step of LiDAR-PTQ, Zhou et al., arXiv:2401.15865, section 3.3). With h in
 * [0, 1] per weight, Q = below + h (above - below), and E = W - Q, the loss of a row is
 *
 *     E H E^T / norm + lambda sum (1 - |2 h - 1|^beta),        h = clip(1.2 sigmoid(v) - 0.1, 0, 1)
 *
 * whose gradient needs no samples: dL/dh = -2 (above - below) (E H) / norm. Adam over v; the second term, with beta falling from
 * 20 to 2, begins after a fifth of the rounds and drives h to 0 or 1.
 *
 * Where we go on from the papers:
 * - The grid is the encoding's, scales by the search of the encoding for weights diag(H).
 * - norm = mean over columns of (above - below)^2 H_jj: lambda = 0.01 then means the same in every matrix.
 * - sigmoid(v) = 1/2 + v/4 / sqrt(1 + v^2/4), which has the same slope at 0 as the logistic one and needs no exp: the same bits
 *   with every C library. For the same reason beta takes even numbers only.
 * - 500 rounds (10,000 there, with samples): the exact gradient has no noise.
 * - What one flip more improves is flipped at the end, column by column, until nothing does: never worse than without.
 */
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "kernels/cholesky.h"
#include "quant/method.h"
#include "quant/solve.h"
#include "tensor/grid.h"

enum { ROUNDS = 500, MAX_SWEEPS = 20 };
static const double STRETCH = 1.2, LAMBDA = 0.01, RATE = 0.02;

struct adaround {
    struct el_enc enc;
    uint64_t n_in;
    double *h; /* [n_in, n_in], damped */
    double lambda;
    float *weight; /* [n_in] diag(H) */
    uint32_t rounds;
};

static void adaround_close(void *shared)
{
    struct adaround *const a = shared;
    if (!a)
        return;
    el_free(a->h);
    el_free(a->weight);
    el_free(a);
}

static enum el_status adaround_open(struct el_quant_columns *columns, void **shared, struct el_err *err)
{
    struct adaround *const a = el_calloc_array(1, sizeof *a);
    *shared = a;
    if (!a)
        return el_fail(err, EL_E_MEMORY, "adaround: out of memory");
    a->enc = columns->enc;
    a->n_in = columns->n_in;
    a->rounds = columns->opts->rounds ? columns->opts->rounds : ROUNDS;
    columns->damping = columns->opts->damping > 0.0 ? columns->opts->damping : 0.01;
    enum el_status status = el_solve_matrix(columns, columns->damping, &a->h, &a->lambda, err);
    a->weight = el_alloc_array((size_t)a->n_in, sizeof *a->weight);
    if (status == EL_OK && !a->weight)
        status = el_fail(err, EL_E_MEMORY, "adaround: out of memory");
    if (status != EL_OK) {
        adaround_close(a);
        *shared = NULL;
        return status;
    }
    for (uint64_t i = 0; i < a->n_in; i++)
        a->weight[i] = (float)a->h[i * a->n_in + i];
    return EL_OK;
}

/* ---- a strip of rows; all arrays [n_rows, n_in] ---- */

struct strip {
    const struct adaround *a;
    struct el_quant_job *job;
    size_t n; /* n_rows n_in */
    double *below, *above, *v, *m1, *m2, *error, *product;
    double *norm;  /* [n_rows] */
    double *panel; /* [n_in, EL_F64_PANEL] */
    int16_t *low, *high;
    struct el_grid_block *block; /* [n_rows, n_blocks] */
    uint32_t width;
    uint64_t n_blocks;
};

/* The levels whose values lie about x: both the same past the ends. */
static void neighbours(const struct el_grid_block *b, uint32_t sub, float x, int16_t *low, int16_t *high)
{
    const int16_t near = el_grid_nearest(b, sub, x);
    const bool falling = b->step[sub]<0.0f, value_is_above = el_grid_value(b, sub, near)> x;
    int16_t other = near;
    if (b->levels) {
        for (uint32_t k = 0; k < b->levels->n; k++)
            if ((int16_t)b->levels->value[k] == near) {
                const bool down = value_is_above != falling;
                if (down ? k > 0 : k + 1 < b->levels->n)
                    other = (int16_t)b->levels->value[down ? k - 1 : k + 1];
            }
    } else {
        const int next = value_is_above != falling ? near - 1 : near + 1;
        if ((float)next >= b->lo && (float)next <= b->hi)
            other = (int16_t)next;
    }
    *low = value_is_above ? other : near;
    *high = value_is_above ? near : other;
}

static double soft(double v)
{
    const double half = 0.5 * v;
    return STRETCH * (0.5 + 0.5 * half / sqrt(1.0 + half * half)) - 0.5 * (STRETCH - 1.0);
}

/* The v for which soft(v) is h, 0 < h < 1. */
static double unsoft(double h)
{
    const double u = 2.0 * ((h + 0.5 * (STRETCH - 1.0)) / STRETCH - 0.5);
    return 2.0 * u / sqrt(1.0 - u * u);
}

static double clip(double h)
{
    return h < 0.0 ? 0.0 : h > 1.0 ? 1.0 : h;
}

static void begin(struct strip *s)
{
    const struct adaround *const a = s->a;
    const uint64_t n_in = a->n_in;
    for (uint64_t r = 0; r < s->job->n_rows; r++) {
        double norm = 0.0;
        for (uint64_t c = 0; c < n_in; c++) {
            const uint64_t block = c / s->width, first = block * s->width;
            struct el_grid_block *const b = &s->block[r * s->n_blocks + block];
            const float *const x = s->job->x + r * n_in;
            if (c == first)
                a->enc.e->grid->fit(&a->enc, x + c, a->weight + c, 1, (uint32_t)(n_in - c < s->width ? n_in - c : s->width),
                                    EL_ENCODE_SEARCH, b);
            const uint32_t sub = (uint32_t)(c - first) / b->sub_n;
            const uint64_t i = r * n_in + c;
            neighbours(b, sub, x[c], &s->low[i], &s->high[i]);
            s->below[i] = (double)el_grid_value(b, sub, s->low[i]);
            s->above[i] = (double)el_grid_value(b, sub, s->high[i]);
            const double step = s->above[i] - s->below[i];
            const double h = step > 0.0 ? ((double)x[c] - s->below[i]) / step : 0.5;
            s->v[i] = unsoft(h < 0.01 ? 0.01 : h > 0.99 ? 0.99 : h);
            norm += step * step * a->h[c * n_in + c];
        }
        s->norm[r] = norm > 0.0 ? norm / (double)n_in : 1.0;
    }
}

/* x^n */
static double power(double x, uint32_t n)
{
    double y = 1.0;
    for (; n > 0; n >>= 1, x *= x)
        if (n & 1)
            y *= x;
    return y;
}

/* product = error H. */
static void multiply(struct strip *s)
{
    memset(s->product, 0, s->n * sizeof *s->product);
    el_f64_matmul(s->product, s->a->n_in, s->error, s->a->n_in, s->a->h, s->a->n_in, s->job->n_rows, s->a->n_in, s->a->n_in,
                  s->panel);
}

/* Adam (Kingma and Ba, arXiv:1412.6980), with these powers of its two decays. */
static void step_all(struct strip *s, double decay1, double decay2, uint32_t beta)
{
    for (size_t i = 0; i < s->n; i++) {
        const double half = 0.5 * s->v[i], root = sqrt(1.0 + half * half), h = soft(s->v[i]);
        if (h <= 0.0 || h >= 1.0 || s->above[i] <= s->below[i]) {
            /* h is clipped: no slope, and what Adam remembers fades. */
            s->m1[i] *= 0.9;
            s->m2[i] *= 0.999;
            continue;
        }
        double slope = -2.0 * (s->above[i] - s->below[i]) * s->product[i] / s->norm[i / s->a->n_in];
        if (beta > 0)
            slope -= LAMBDA * 2.0 * beta * power(fabs(2.0 * h - 1.0), beta - 1) * (h > 0.5 ? 1.0 : -1.0);
        slope *= STRETCH * 0.25 / (root * root * root);
        s->m1[i] = 0.9 * s->m1[i] + 0.1 * slope;
        s->m2[i] = 0.999 * s->m2[i] + 0.001 * slope * slope;
        s->v[i] -= RATE * (s->m1[i] / (1.0 - decay1)) / (sqrt(s->m2[i] / (1.0 - decay2)) + 1e-8);
    }
}

static void set_errors(struct strip *s, bool hard)
{
    for (size_t i = 0; i < s->n; i++) {
        const double h = hard ? (soft(s->v[i]) >= 0.5 ? 1.0 : 0.0) : clip(soft(s->v[i]));
        s->error[i] = (double)s->job->x[i] - (h == 1.0 ? s->above[i] : s->below[i] + h * (s->above[i] - s->below[i]));
    }
}

static void optimise(struct strip *s)
{
    const uint32_t n = s->a->rounds, warm = n / 5;
    double decay1 = 1.0, decay2 = 1.0;
    for (uint32_t t = 0; t < n; t++) {
        decay1 *= 0.9;
        decay2 *= 0.999;
        const uint32_t beta = t < warm ? 0 : 20 - 2 * (uint32_t)(9.0 * (t - warm) / (n - warm) + 0.5);
        set_errors(s, false);
        multiply(s);
        step_all(s, decay1, decay2, beta);
    }
    set_errors(s, true);
    multiply(s);
}

/* Flips what one flip improves; product follows. */
static void descend(struct strip *s)
{
    const struct adaround *const a = s->a;
    const uint64_t n_in = a->n_in;
    for (uint64_t r = 0; r < s->job->n_rows; r++) {
        bool changed = true;
        for (int sweep = 0; changed && sweep < MAX_SWEEPS; sweep++) {
            changed = false;
            for (uint64_t c = 0; c < n_in; c++) {
                const uint64_t i = r * n_in + c;
                const bool up = soft(s->v[i]) >= 0.5;
                const double delta = up ? s->above[i] - s->below[i] : s->below[i] - s->above[i]; /* of the error */
                const double change = 2.0 * delta * s->product[i] + delta * delta * a->h[c * n_in + c];
                if (!(change < -1e-12 * s->norm[r]))
                    continue;
                s->v[i] = up ? -4.0 : 4.0;
                s->error[i] += delta;
                el_f64_axpy(s->product + r * n_in, delta, a->h + c * n_in, n_in);
                changed = true;
            }
        }
    }
}

/* x H x^T without what was added to H; error and product are no more needed. */
static double energy(struct strip *s)
{
    double sum = 0.0, x2 = 0.0;
    for (size_t i = 0; i < s->n; i++)
        s->error[i] = (double)s->job->x[i];
    multiply(s);
    for (size_t i = 0; i < s->n; i++) {
        sum += s->error[i] * s->product[i];
        x2 += s->error[i] * s->error[i];
    }
    return sum - s->a->lambda * x2;
}

static void finish(struct strip *s)
{
    const struct adaround *const a = s->a;
    double loss = 0.0, err2 = 0.0;
    for (size_t i = 0; i < s->n; i++) {
        loss += s->error[i] * s->product[i];
        err2 += s->error[i] * s->error[i];
        s->low[i] = soft(s->v[i]) >= 0.5 ? s->high[i] : s->low[i];
    }
    for (uint64_t r = 0; r < s->job->n_rows; r++)
        for (uint64_t b = 0; b < s->n_blocks; b++)
            a->enc.e->grid->store(&a->enc, &s->block[r * s->n_blocks + b], s->low + r * a->n_in + b * s->width, r, b * s->width,
                                  a->n_in, s->job->parts_out);
    el_quant_measure(s->job);
    s->job->sum_out2 = loss - a->lambda * err2;
    s->job->sum_y2 = energy(s);
}

enum { ARRAYS = 7 }; /* of doubles, in a strip */

static enum el_status quantize(struct el_quant_job *job, struct el_err *err)
{
    const struct adaround *const a = job->shared;
    struct strip s = {.a = a, .job = job, .n = (size_t)(job->n_rows * a->n_in), .width = el_grid_width(&a->enc, a->n_in)};
    enum el_status status = EL_OK;
    s.n_blocks = (a->n_in + s.width - 1) / s.width;
    double *const all = el_calloc_array(ARRAYS * s.n, sizeof *all);
    s.norm = el_alloc_array((size_t)job->n_rows, sizeof *s.norm);
    s.panel = el_alloc_array((size_t)a->n_in * EL_F64_PANEL, sizeof *s.panel);
    s.low = el_alloc_array(2 * s.n, sizeof *s.low);
    s.block = el_alloc_array((size_t)(job->n_rows * s.n_blocks), sizeof *s.block);
    if (!all || !s.norm || !s.panel || !s.low || !s.block) {
        status = el_fail(err, EL_E_MEMORY, "adaround: out of memory for %zu weights", s.n);
        goto out;
    }
    double **const arrays[ARRAYS] = {&s.below, &s.above, &s.v, &s.m1, &s.m2, &s.error, &s.product};
    for (size_t k = 0; k < ARRAYS; k++)
        *arrays[k] = all + k * s.n;
    s.high = s.low + s.n;
    begin(&s);
    optimise(&s);
    descend(&s);
    finish(&s);
out:
    el_free(all);
    el_free(s.norm);
    el_free(s.panel);
    el_free(s.low);
    el_free(s.block);
    return status;
}

static uint64_t open_nbytes(const struct el_enc *enc, uint64_t n_in, bool cross, unsigned n_threads)
{
    (void)enc;
    (void)cross;
    (void)n_threads;
    return n_in * n_in * sizeof(double) + n_in * sizeof(float);
}

static uint64_t strip_nbytes(const struct el_enc *enc, uint64_t n_rows, uint64_t n_in)
{
    const uint64_t width = el_grid_width(enc, n_in);
    return n_rows * (n_in * (ARRAYS * sizeof(double) + 2 * sizeof(int16_t)) + sizeof(double) +
                     (n_in + width - 1) / width * sizeof(struct el_grid_block)) +
           n_in * EL_F64_PANEL * sizeof(double);
}

const struct el_method el_method_adaround = {
    .name = "adaround",
    .about = "up or down for every weight, by gradient through the Hessian (needs statistics)",
    .by_rows = true,
    .needs_hessian = true,
    .min_rows = 64,
    .supports = el_quant_supports_scalars,
    .open = adaround_open,
    .close = adaround_close,
    .quantize = quantize,
    .open_nbytes = open_nbytes,
    .strip_nbytes = strip_nbytes,
};
