/*
 * Walks a matrix product in tiles of a few rows of W by a few tokens, so that a weight is unpacked once per tile. A tile function
 * computes each of its results by itself, in the same order of operations whatever the tile's size: only then do the bits not
 * depend on the split.
 */
#ifndef EL_KERNELS_TILES_H
#define EL_KERNELS_TILES_H

#include "kernels/kernels.h"

/* y[i * y_stride + r] for rows row + r of W and tokens t + i of x; how many of each is fixed per function. */
typedef void el_tile_fn(const struct el_matrix *w, uint64_t row, const struct el_act *x, uint64_t t, float *y, uint64_t y_stride);

struct el_tiles {
    unsigned n_rows, n_tokens;        /* of the large tile */
    el_tile_fn *rows_tokens, *rows_1; /* n_rows by n_tokens, n_rows by one */
    el_tile_fn *tokens_1, *one;       /* one row by n_tokens, one by one */
};

void el_tiles_run(const struct el_tiles *tiles, const struct el_matrix *w, uint64_t row0, uint64_t n_rows, const struct el_act *x,
                  float *y, uint64_t y_stride);

/*
 * Defines the four tile functions of an inline body BODY(KIND, n_rows, n_tokens, w, row, x, t, y, y_stride), their table and the
 * matmul function NAME. KIND is a constant for the body, TARGET the EL_TARGET macro of the level, ROWS and TOKENS the large tile.
 */
#define EL_DEFINE_TILED_MATMUL(NAME, BODY, KIND, TARGET, ROWS, TOKENS)                                                           \
    TARGET static void NAME##_rt(const struct el_matrix *w, uint64_t row, const struct el_act *x, uint64_t t, float *y,          \
                                 uint64_t y_stride)                                                                              \
    {                                                                                                                            \
        BODY(KIND, ROWS, TOKENS, w, row, x, t, y, y_stride);                                                                     \
    }                                                                                                                            \
    TARGET static void NAME##_r1(const struct el_matrix *w, uint64_t row, const struct el_act *x, uint64_t t, float *y,          \
                                 uint64_t y_stride)                                                                              \
    {                                                                                                                            \
        BODY(KIND, ROWS, 1, w, row, x, t, y, y_stride);                                                                          \
    }                                                                                                                            \
    TARGET static void NAME##_1t(const struct el_matrix *w, uint64_t row, const struct el_act *x, uint64_t t, float *y,          \
                                 uint64_t y_stride)                                                                              \
    {                                                                                                                            \
        BODY(KIND, 1, TOKENS, w, row, x, t, y, y_stride);                                                                        \
    }                                                                                                                            \
    TARGET static void NAME##_11(const struct el_matrix *w, uint64_t row, const struct el_act *x, uint64_t t, float *y,          \
                                 uint64_t y_stride)                                                                              \
    {                                                                                                                            \
        BODY(KIND, 1, 1, w, row, x, t, y, y_stride);                                                                             \
    }                                                                                                                            \
    static void NAME(const struct el_matrix *w, uint64_t row0, uint64_t n_rows, const struct el_act *x, float *y,                \
                     uint64_t y_stride, void *scratch)                                                                           \
    {                                                                                                                            \
        static const struct el_tiles tiles = {ROWS, TOKENS, NAME##_rt, NAME##_r1, NAME##_1t, NAME##_11};                         \
        (void)scratch;                                                                                                           \
        el_tiles_run(&tiles, w, row0, n_rows, x, y, y_stride);                                                                   \
    }

#endif
