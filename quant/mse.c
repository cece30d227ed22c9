/*
 * MSE: clipping by a grid. Scales from the extremes of a block, with the extremes shrunk by steps of 1 %, down to a half (down
 * to a fifth where a block has few levels); the one that loses least is taken, by sum |w - q|^2.5, which weighs outliers a
 * little more than squares do. llm-compressor's observer has 2.4: 2.5 is a square times a square root, the same bits with every
 * C library.
 */
#include <math.h>

#include "quant/by_block.h"

enum { STEPS = 80 };

static double loss_of(const struct el_grid_block *b, const float *x, int16_t *level)
{
    (void)el_grid_nearest_all(b, x, NULL, level);
    double sum = 0.0;
    for (uint32_t i = 0; i < b->n; i++) {
        const double r = fabs((double)x[i] - (double)el_grid_value(b, i / b->sub_n, level[i]));
        sum += r * r * sqrt(r);
    }
    return sum;
}

/* Every sub-block by itself: clipped to a part of its extremes. */
static void clip(const float *x, uint32_t n, uint32_t sub_n, float part, float *out)
{
    for (uint32_t first = 0; first < n; first += sub_n) {
        const uint32_t end = first + sub_n < n ? first + sub_n : n;
        const struct el_fit_extent ext = el_fit_extent(x + first, end - first);
        for (uint32_t i = first; i < end; i++)
            out[i] = x[i] < part * ext.min ? part * ext.min : x[i] > part * ext.max ? part * ext.max : x[i];
    }
}

static void solve_block(struct el_blocks *s, const float *x, uint32_t n, struct el_grid_block *out)
{
    const struct el_grid *const grid = el_grid_of(&s->enc);
    struct el_grid_block trial;
    grid->fit(&s->enc, x, NULL, 1, n, EL_ENCODE_NEAREST, out);
    double best = loss_of(out, x, s->level);
    const uint32_t n_steps = out->hi - out->lo < 8.0f ? STEPS : 50;
    for (uint32_t k = 1; k <= n_steps; k++) {
        clip(x, n, out->sub_n, 1.0f - 0.01f * (float)k, s->copy);
        grid->fit(&s->enc, s->copy, NULL, 1, n, EL_ENCODE_NEAREST, &trial);
        const double loss = loss_of(&trial, x, s->level);
        if (loss < best) {
            best = loss;
            *out = trial;
        }
    }
}

static enum el_status quantize(struct el_quant_job *job, struct el_err *err)
{
    return el_blocks_run(job, 0, solve_block, err);
}

const struct el_method el_method_mse = {
    .name = "mse",
    .about = "scales from clipped extremes, by a grid of clips",
    .by_rows = true,
    .supports = el_quant_supports_scalars,
    .quantize = quantize,
};
