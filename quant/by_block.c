/* See by_block.h. */
#include "quant/by_block.h"

#include "base/mem.h"

enum el_status el_blocks_run(struct el_quant_job *job, uint32_t rounds, el_block_fn *fn, struct el_err *err)
{
    const struct el_grid *const grid = el_grid_of(&job->enc);
    const uint32_t width = el_grid_width(&job->enc, job->n_in);
    struct el_blocks s = {.enc = job->enc, .rounds = rounds};
    s.level = el_alloc_array(width, sizeof *s.level);
    s.copy = el_alloc_array(width, sizeof *s.copy);
    const bool ok = s.level && s.copy;
    for (uint64_t r = 0; ok && r < job->n_rows; r++) {
        for (uint64_t c = 0; c < job->n_in; c += width) {
            const float *const x = job->x + r * job->n_in + c;
            const uint32_t n = job->n_in - c < width ? (uint32_t)(job->n_in - c) : width;
            struct el_grid_block b;
            fn(&s, x, n, &b);
            (void)el_grid_nearest_all(&b, x, NULL, s.level);
            grid->store(&job->enc, &b, s.level, r, c, job->n_in, job->parts_out);
        }
    }
    el_free(s.level);
    el_free(s.copy);
    if (!ok)
        return el_fail(err, EL_E_MEMORY, "out of memory for blocks of %u columns", width);
    el_quant_measure(job);
    return EL_OK;
}
