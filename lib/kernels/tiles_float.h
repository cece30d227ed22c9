/*
 * Walks a product of float weights in tiles of a few rows of W by a few tokens. Every result is summed by itself over all
 * columns, in the order that the level's tile function defines whatever the tile's size: the bits do not depend on the split.
 *
 * The tile's columns come from the second-level cache, where a block of tokens stays while the rows of the call pass by: with
 * tiles of 4 x 6 that is 21 bytes per cycle of sixteen lanes. Nothing is packed: float16 weights are converted in registers,
 * which costs less than loading the float32 that they become.
 */
#ifndef EL_KERNELS_TILES_FLOAT_H
#define EL_KERNELS_TILES_FLOAT_H

#include "kernels/kernels.h"

struct el_float_tile {
    const uint8_t *rows; /* the first row of W; any address */
    uint64_t row_nbytes, n_in;
    const float *x; /* the first token's row */
    uint64_t x_stride;
    float *y; /* y[i * y_stride + r] for token i, row r */
    uint64_t y_stride;
};

/*
 * One tile. A fixed number of rows, n_tokens from 1 to the largest. Also fetches into the second-level cache as many bytes as the
 * tile has, from where it ends: the rows of a tile are several streams, of which hardware loses one at every end of a row, and
 * behind them comes the next tile.
 */
typedef void el_float_tile_fn(const struct el_float_tile *tile, unsigned n_tokens);

struct el_float_tiles {
    unsigned n_rows, n_tokens;    /* of the largest tile */
    el_float_tile_fn *rows, *row; /* n_rows rows, one row */
};

/* What el_matmul_fn does. */
void el_float_tiles_run(const struct el_float_tiles *tiles, const struct el_matrix *w, uint64_t row0, uint64_t n_rows,
                        const struct el_act *x, float *y, uint64_t y_stride);

#endif
