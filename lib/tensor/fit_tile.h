/*
 * Searches for scales over tiles: up to 16 blocks side by side, one to a lane. What a search does with a block depends neither on
 * its neighbours nor on how many lanes a CPU has, and its sums run over the elements in order. So every CPU level gives the bits
 * of the plain loop, and there is one source of it (fit_tile_body.inc) for all of them.
 *
 * All minimise sum_i w_i (x_i - x'_i)^2, with w_i = 1 when w is NULL. Trial scales lie about the range of the values; for the
 * nearest codes of each trial least squares gives the best scale in closed form, from sums that are at hand; then rounds of
 * choosing codes and scale in turn (Lloyd, IEEE Trans. Inf. Theory 28, 1982) until the error stops falling.
 *
 * Pure functions; any thread. Any finite x is allowed; values beyond about 1e18 lose the search, not the bounds.
 */
#ifndef EL_TENSOR_FIT_TILE_H
#define EL_TENSOR_FIT_TILE_H

#include <stdint.h>

#include "tensor/fit.h"
#include "tensor/fit_super.h"

enum { EL_TILE = 16, EL_TILE_MAX_N = 64 };

/* n_blocks (1..EL_TILE) consecutive blocks of n (at most EL_TILE_MAX_N) numbers at x; w[b] is the importance of block b's. */
struct el_tile {
    const float *x;
    const float *const *w; /* NULL: none */
    uint32_t n_blocks, n;
};

struct el_tile_fns {
    /* x ~ d q, codes in `range`: d[b] as f16 bits. */
    void (*scale)(const struct el_tile *t, const struct el_fit_range *range, uint16_t d[EL_TILE]);
    /*
     * The same for blocks of 32, codes from -127 to 127 and no weights (t->w is not looked at), quickly; the codes of block b go
     * to q + stride * b.
     */
    void (*bytes)(const struct el_tile *t, uint16_t d[EL_TILE], int8_t *q, uint32_t stride);
    /* x ~ d q + m, codes in [0, hi], m of any sign: f16 bits. */
    void (*offset)(const struct el_tile *t, float hi, uint16_t d[EL_TILE], uint16_t m[EL_TILE]);
    /* Here a block of the tile is a sub-block, and n_subs of them make out[0], the next out[1]. */
    void (*super_affine)(const struct el_tile *t, const struct el_super_affine_kind *kind, struct el_super_affine *out);
    void (*super_scale)(const struct el_tile *t, const struct el_super_scale_kind *kind, struct el_super_scale *out);
    /* Nearest codes for x ~ s q and for x ~ s q - m, q in [0, hi]; n a multiple of EL_TILE. */
    void (*scale_codes)(const float *x, uint32_t n, float s, const struct el_fit_range *range, int8_t *q);
    void (*affine_codes)(const float *x, uint32_t n, float s, float m, float hi, uint8_t *q);
};

/* Those of the CPU level in use. */
const struct el_tile_fns *el_tile_fns(void);

#endif
