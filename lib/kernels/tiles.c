#include "kernels/tiles.h"

#include <stdint.h>

/* Rows whose weights stay in the second-level cache while all tokens pass by. */
enum { BLOCK_NBYTES = 256 << 10 };

/* All tokens over rows [r, end), counted from row0. */
static void run_block(const struct el_tiles *tiles, const struct el_matrix *w, uint64_t row0, uint64_t r0, uint64_t end,
                      const struct el_act *x, float *y, uint64_t y_stride)
{
    for (uint64_t t = 0; t < x->n;) {
        const bool many_tokens = x->n - t >= tiles->n_tokens;
        float *const yt = y + t * y_stride;
        uint64_t r = r0;
        for (; end - r >= tiles->n_rows; r += tiles->n_rows)
            (many_tokens ? tiles->rows_tokens : tiles->rows_1)(w, row0 + r, x, t, yt + r, y_stride);
        for (; r < end; r++)
            (many_tokens ? tiles->tokens_1 : tiles->one)(w, row0 + r, x, t, yt + r, y_stride);
        t += many_tokens ? tiles->n_tokens : 1;
    }
}

void el_tiles_run(const struct el_tiles *tiles, const struct el_matrix *w, uint64_t row0, uint64_t n_rows, const struct el_act *x,
                  float *y, uint64_t y_stride)
{
    const uint64_t fit = BLOCK_NBYTES / (w->row_nbytes[0] ? w->row_nbytes[0] : 1) / tiles->n_rows * tiles->n_rows;
    const uint64_t block = fit ? fit : tiles->n_rows;
    for (uint64_t r = 0; r < n_rows; r += block)
        run_block(tiles, w, row0, r, n_rows - r < block ? n_rows : r + block, x, y, y_stride);
}
