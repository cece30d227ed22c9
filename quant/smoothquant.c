/*
 * SmoothQuant: what is hard about activations that are rounded moves into the weights (Xiao et al., arXiv:2211.10438, equation
 * 4). For every link of the wiring that takes scales, s_j = max|x_j|^alpha / max|W_j|^(1 - alpha), W_j the columns of all
 * matrices that read channel j and will be quantized; what they read is divided by s_j where it is made. alpha is 0.5 unless said
 * otherwise.
 *
 * Where we go on from the paper: its program smooths what norms feed; here every link does it that can, so that the inputs of the
 * attention's output (one scale for all query heads of a KV head) and of the MLP's last matrix are smoothed as well.
 */
#include <math.h>

#include "base/mem.h"
#include "quant/channels.h"
#include "quant/scales.h"

enum { ROWS = 64 };
static const double ALPHA = 0.5;

static enum el_status mark(struct el_fold *fold, const struct el_method_opts *opts, struct el_err *err)
{
    return el_channels_mark(fold, "smoothquant", opts, err);
}

/* max_w [n_channels] = the largest |w| of a channel's columns in the matrices of group g that will be quantized. */
static enum el_status largest_weights(const struct el_fold_task *task, const struct el_fold_place *place, uint32_t group,
                                      const struct el_channels *c, float *max_w, struct el_err *err)
{
    float *const rows = el_alloc_array(ROWS * (size_t)c->n_in, sizeof *rows);
    enum el_status status = rows ? EL_OK : el_fail(err, EL_E_MEMORY, "smoothquant: out of memory");
    for (size_t k = 0; k < place->n_consumers; k++) {
        const struct el_fold_end *const end = &place->consumers[k];
        uint32_t first;
        const uint32_t n_experts = el_channels_experts(place, end, group, &first);
        if (!el_channels_is_quantized(task, end))
            continue;
        for (uint32_t e = first; e < first + n_experts; e++) {
            for (uint64_t r = 0; r < end->n_rows && status == EL_OK; r += ROWS) {
                const uint64_t n = end->n_rows - r < ROWS ? end->n_rows - r : ROWS;
                status = el_fold_rows(task->fold, end, e, r, n, rows, err);
                for (uint64_t i = 0; status == EL_OK && i < n * c->n_in; i++) {
                    const uint32_t at = c->channel[i % c->n_in];
                    max_w[at] = fabsf(rows[i]) > max_w[at] ? fabsf(rows[i]) : max_w[at];
                }
            }
        }
    }
    el_free(rows);
    return status;
}

static enum el_status smooth(const struct el_fold_task *task, const struct el_fold_place *place, uint32_t group, float *s,
                             struct el_err *err)
{
    struct el_channels c;
    EL_TRY(el_channels_open(task, place, group, &c, err));
    const double alpha = task->opts->alpha > 0.0 ? task->opts->alpha : ALPHA;
    float *const max_w = el_calloc_array((size_t)place->n_channels, sizeof *max_w);
    enum el_status status = max_w ? EL_OK : el_fail(err, EL_E_MEMORY, "smoothquant: out of memory");
    if (status == EL_OK)
        status = largest_weights(task, place, group, &c, max_w, err);
    if (status == EL_OK)
        el_scales_smooth(c.max, max_w, place->n_channels, alpha, s);
    el_free(max_w);
    el_channels_release(&c);
    return status;
}

static enum el_status decide(const struct el_fold_task *task, struct el_err *err)
{
    for (size_t i = 0; el_fold_place_at(task->fold, i); i++) {
        const struct el_fold_place *const place = el_fold_place_at(task->fold, i);
        if (!el_channels_taken(task->fold, i, task->opts))
            continue;
        float *const s = el_alloc_array((size_t)(place->n_groups * place->n_channels), sizeof *s);
        enum el_status status = s ? EL_OK : el_fail(err, EL_E_MEMORY, "smoothquant: out of memory");
        for (uint32_t g = 0; g < place->n_groups && status == EL_OK; g++)
            status = smooth(task, place, g, s + g * place->n_channels, err);
        if (status == EL_OK)
            status = el_fold_gain(task->fold, place, s, err);
        el_free(s);
        EL_TRY(status);
    }
    return EL_OK;
}

static uint64_t nbytes(const struct el_fold_task *task, unsigned n_threads)
{
    uint64_t most = 0;
    (void)n_threads;
    for (size_t i = 0; el_fold_place_at(task->fold, i); i++) {
        const struct el_fold_place *const place = el_fold_place_at(task->fold, i);
        if (!el_channels_taken(task->fold, i, task->opts))
            continue;
        const uint64_t sum = ROWS * place->consumers[0].n_in * sizeof(float) + el_channels_nbytes(place);
        most = sum > most ? sum : most;
    }
    return most;
}

const struct el_fold_method el_fold_method_smoothquant = {
    .name = "smoothquant",
    .about = "columns and what they read scaled so that activations of 8 bits lose less (needs statistics)",
    .then = "rtn",
    .needs_importance = true,
    .needs_abs = true,
    .mark = mark,
    .decide = decide,
    .nbytes = nbytes,
};
