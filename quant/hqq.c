/*
 * HQQ: half-quadratic quantization, without data (Badri and Shaji, "Half-Quadratic Quantization of Large Machine Learning
 * Models", Mobius Labs, 2023). Of each block of columns the scales are first those of the extremes, and the offsets minimise
 * |W - W_q|_p^p, p = 0.75, which forgives outliers, in turn over codes, errors and offsets:
 *
 *     q = nearest codes,  e = shrink(W - W_q, beta),  z = mean(q - (W - e) / s)  ->  min = mean(s level - (W - e))
 *     shrink(x) = sign(x) max(|x| - |x|^(p - 1) / beta, 0),  beta grows by 1 % a round; it ends when mean |W - W_q| rises
 *
 * Where we go on from it:
 * - p is 0.7 there: 0.75 is a matter of square roots, the same bits with every C library.
 * - Offsets are what the encoding stores (integers of 4 to 8 bits, half precision): the best rounds' offsets are rounded to that,
 *   and the result is kept only where its loss is not greater than that of the scales as they were.
 * - Scales move with the offsets, s and min being the line through (level, W - e) that fits best: an offset that is stored as an
 *   integer of as many bits as the codes takes none of the small steps by which offsets alone get better. (Rows of books-4m at
 *   G3_64Z, sum of squared errors: 0.041 of the weights' with offsets alone, as without the method, and 0.034 so.)
 * - An encoding without offsets has its scales in their place: s = sum level (W - e) / sum level^2.
 * - Weights are divided by their standard deviation in the row for the shrinking, so that beta = 10 fits all matrices.
 */
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "quant/by_block.h"

enum { ROUNDS = 20 };

static double shrink(double x, double beta)
{
    const double size = fabs(x);
    if (size == 0.0)
        return 0.0;
    const double left = size - 1.0 / (sqrt(sqrt(size)) * beta);
    return left > 0.0 ? copysign(left, x) : 0.0;
}

static double mean_error(const struct el_grid_block *b, const float *x, int16_t *level)
{
    (void)el_grid_nearest_all(b, x, NULL, level);
    double sum = 0.0;
    for (uint32_t i = 0; i < b->n; i++)
        sum += fabs((double)x[i] - (double)el_grid_value(b, i / b->sub_n, level[i]));
    return sum / b->n;
}

/* sum |x - value|^p: what the method minimises. */
static double loss_of(const struct el_grid_block *b, const float *x, int16_t *level)
{
    (void)el_grid_nearest_all(b, x, NULL, level);
    double sum = 0.0;
    for (uint32_t i = 0; i < b->n; i++) {
        const double root = sqrt(fabs((double)x[i] - (double)el_grid_value(b, i / b->sub_n, level[i])));
        sum += root * sqrt(root);
    }
    return sum;
}

/* One round for sub-block `sub` of float scales: its next step, and min where there is one. */
static void improve(const struct el_grid_block *b, uint32_t sub, const float *x, const int16_t *level, double scale, double beta,
                    bool has_min, float *step, float *min)
{
    double want_sum = 0.0, at_sum = 0.0, top = 0.0, bottom = 0.0;
    const uint32_t first = sub * b->sub_n, end = first + b->sub_n < b->n ? first + b->sub_n : b->n;
    for (uint32_t i = first; i < end; i++) {
        const double value = (double)b->step[sub] * level[i] - (double)b->min[sub];
        const double want = (double)x[i] - scale * shrink(((double)x[i] - value) / scale, beta);
        /* With offsets, counted from the lowest: there a grid of whole zero points has its 0. */
        const double at = (double)level[i] - (has_min ? (double)b->lo : 0.0);
        want_sum += want;
        at_sum += at;
        top += at * want;
        bottom += at * at;
    }
    *step = b->step[sub];
    *min = b->min[sub];
    if (!has_min) {
        *step = bottom > 0.0 ? (float)(top / bottom) : *step;
        return;
    }
    const double n = (double)(end - first), spread = bottom - at_sum * at_sum / n;
    const double slope = spread > 0.0 ? (top - at_sum * want_sum / n) / spread : 0.0;
    *step = slope > 0.0 ? (float)slope : *step;
    *min = (float)(((double)*step * at_sum - want_sum) / n);
}

static void solve_block(struct el_blocks *s, const float *x, uint32_t n, struct el_grid_block *out)
{
    const struct el_grid *const grid = el_grid_of(&s->enc);
    struct el_grid_block now, next;
    grid->fit(&s->enc, x, NULL, 1, n, EL_ENCODE_NEAREST, &now);
    *out = now;
    double sum2 = 0.0;
    for (uint32_t i = 0; i < n; i++)
        sum2 += (double)x[i] * (double)x[i];
    const double scale = sqrt(sum2 / n);
    if (!(scale > 0.0))
        return;
    const bool has_min = el_grid_has_min(&s->enc);
    const uint32_t n_subs = (n + now.sub_n - 1) / now.sub_n;
    double best = loss_of(&now, x, s->level), last = mean_error(&now, x, s->level), beta = 10.0;
    for (uint32_t round = 0; round < s->rounds; round++, beta *= 1.01) {
        float step[EL_GRID_MAX_SUBS], min[EL_GRID_MAX_SUBS];
        (void)el_grid_nearest_all(&now, x, NULL, s->level);
        for (uint32_t j = 0; j < n_subs; j++)
            improve(&now, j, x, s->level, scale, beta, has_min, &step[j], &min[j]);
        grid->set(&s->enc, step, min, n, &next);
        const double loss = loss_of(&next, x, s->level), error = mean_error(&next, x, s->level);
        if (loss < best) {
            best = loss;
            *out = next;
        }
        if (error > last)
            break;
        last = error;
        now = next;
    }
}

static enum el_status quantize(struct el_quant_job *job, struct el_err *err)
{
    return el_blocks_run(job, job->opts->rounds ? job->opts->rounds : ROUNDS, solve_block, err);
}

const struct el_method el_method_hqq = {
    .name = "hqq",
    .about = "offsets by half-quadratic splitting, no statistics",
    .by_rows = true,
    .supports = el_quant_supports_scalars,
    .quantize = quantize,
};
