/* For methods that choose the scales of one block of one row at a time, without its neighbours. */
#ifndef EL_QUANT_BY_BLOCK_H
#define EL_QUANT_BY_BLOCK_H

#include "quant/method.h"
#include "tensor/grid.h"

struct el_blocks {
    struct el_enc enc;
    uint32_t rounds;
    int16_t *level; /* scratch [width] */
    float *copy;    /* scratch [width] */
};

/* *out = the scales for x [n]. */
typedef void el_block_fn(struct el_blocks *s, const float *x, uint32_t n, struct el_grid_block *out);

/* Runs it over all blocks of the job, with the nearest levels. EL_E_MEMORY. */
enum el_status el_blocks_run(struct el_quant_job *job, uint32_t rounds, el_block_fn *fn, struct el_err *err);

#endif
