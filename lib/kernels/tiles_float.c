#include "kernels/tiles_float.h"

#include <stdint.h>

/* Tokens that stay in the second-level cache while the rows of a call pass by. */
enum { BLOCK_NBYTES = 256 << 10 };

/* Tokens [t, end) by the rows of one tile, in as few tiles as possible and these as equal as possible. */
static void run_tokens(const struct el_float_tiles *tiles, el_float_tile_fn *fn, struct el_float_tile *tile, uint64_t n)
{
    while (n) {
        const uint64_t n_tiles = (n + tiles->n_tokens - 1) / tiles->n_tokens, take = (n + n_tiles - 1) / n_tiles;
        fn(tile, (unsigned)take);
        tile->x += take * tile->x_stride;
        tile->y += take * tile->y_stride;
        n -= take;
    }
}

void el_float_tiles_run(const struct el_float_tiles *tiles, const struct el_matrix *w, uint64_t row0, uint64_t n_rows,
                        const struct el_act *x, float *y, uint64_t y_stride)
{
    const uint64_t fit = BLOCK_NBYTES / (w->n_in * sizeof *x->f32) / tiles->n_tokens * tiles->n_tokens;
    const uint64_t block = fit ? fit : tiles->n_tokens;
    for (uint64_t t = 0; t < x->n; t += block) {
        for (uint64_t r = 0; r < n_rows;) {
            const bool many = n_rows - r >= tiles->n_rows;
            struct el_float_tile tile = {
                .rows = w->data[0] + (row0 + r) * w->row_nbytes[0],
                .row_nbytes = w->row_nbytes[0],
                .n_in = w->n_in,
                .x = x->f32 + t * x->f32_stride,
                .x_stride = x->f32_stride,
                .y = y + t * y_stride + r,
                .y_stride = y_stride,
            };
            run_tokens(tiles, many ? tiles->rows : tiles->row, &tile, x->n - t < block ? x->n - t : block);
            r += many ? tiles->n_rows : 1;
        }
    }
}
