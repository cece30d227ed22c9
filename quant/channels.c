/* See channels.h. */
#include "quant/channels.h"

#include <string.h>

#include "base/mem.h"
#include "model/arch.h"

/* Does a place before this one feed the same matrix, by scales that its producers take? */
static bool is_fed(const struct el_fold *fold, size_t end, size_t tensor)
{
    for (size_t i = 0; i < end; i++) {
        const struct el_fold_place *const p = el_fold_place_at(fold, i);
        if (p->input || !(p->how & EL_C_GAIN) || p->how & EL_C_RESIDUAL)
            continue;
        for (size_t k = 0; k < p->n_consumers; k++)
            if (p->consumers[k].tensor == tensor)
                return true;
    }
    return false;
}

/* Is it an input that no scale reaches otherwise? */
static bool is_bare_input(const struct el_fold *fold, size_t i)
{
    const struct el_fold_place *const p = el_fold_place_at(fold, i);
    return p->input && (p->how & EL_C_GAIN) && !is_fed(fold, i, p->consumers[0].tensor);
}

bool el_channels_taken(const struct el_fold *fold, size_t i, const struct el_method_opts *opts)
{
    const struct el_fold_place *const p = el_fold_place_at(fold, i);
    if (p->input)
        return opts->input_scales && is_bare_input(fold, i);
    return (p->how & EL_C_GAIN) && !(p->how & EL_C_RESIDUAL) && !p->unties; /* an embedding stays one matrix */
}

enum el_status el_channels_mark(struct el_fold *fold, const char *method, const struct el_method_opts *opts, struct el_err *err)
{
    size_t n_bare = 0, first = 0;
    for (size_t i = 0; el_fold_place_at(fold, i); i++) {
        if (el_channels_taken(fold, i, opts)) {
            EL_TRY(el_fold_mark(fold, el_fold_place_at(fold, i), EL_FOLD_GAIN, opts, err));
        } else if (is_bare_input(fold, i)) {
            first = n_bare == 0 ? i : first;
            n_bare++;
        }
    }
    if (n_bare > 0)
        el_warn("%s: %zu inputs take no scales, that of '%s' is the first: what is before it cannot be divided by them", method,
                n_bare, el_fold_place_at(fold, first)->consumers[0].name);
    return EL_OK;
}

/* ---- what is known ---- */

bool el_channels_is_quantized(const struct el_fold_task *task, const struct el_fold_end *end)
{
    const struct el_enc *const enc = &task->enc[end->tensor];
    return !end->vector && enc->e && !(enc->e->flags & EL_ENC_FLOAT);
}

uint32_t el_channels_experts(const struct el_fold_place *place, const struct el_fold_end *end, uint32_t group, uint32_t *first)
{
    *first = place->n_groups > 1 ? group : 0;
    return place->n_groups > 1 ? 1 : end->n_experts;
}

static bool has_input(const struct el_channels *c, size_t input, uint32_t expert)
{
    for (size_t i = 0; i < c->n_inputs; i++)
        if (c->inputs[i].stats->input == input && c->inputs[i].expert == expert)
            return true;
    return false;
}

static enum el_status find_inputs(const struct el_fold_task *task, const struct el_fold_place *place, uint32_t group,
                                  struct el_channels *c, struct el_err *err)
{
    size_t most = 0;
    for (size_t k = 0; k < place->n_consumers; k++)
        most += place->consumers[k].n_experts;
    c->inputs = el_calloc_array(most + 1, sizeof *c->inputs);
    if (!c->inputs)
        return el_fail(err, EL_E_MEMORY, "out of memory for the inputs of '%s'", place->name);
    for (size_t k = 0; k < place->n_consumers; k++) {
        const struct el_fold_end *const end = &place->consumers[k];
        const struct el_stats_matrix *const m =
            el_channels_is_quantized(task, end) ? el_fold_stats_find(task->fold, task->stats, end->name) : NULL;
        uint32_t first;
        const uint32_t n = el_channels_experts(place, end, group, &first);
        for (uint32_t e = first; m && e < first + n; e++) {
            double n_tokens = 0.0;
            EL_TRY(el_stats_count(task->stats, m, e, &n_tokens, err));
            if (n_tokens > 0.0 && !has_input(c, m->input, e))
                c->inputs[c->n_inputs++] = (struct el_channels_input){m, end->name, e, n_tokens};
        }
    }
    return EL_OK;
}

/* Adds the columns of one input up, weighed by its tokens; total [n_channels] has what they are to be divided by. */
static void add_input(struct el_channels *c, const float *mean, const float *max, double n_tokens, double *sum, double *total)
{
    for (uint64_t j = 0; j < c->n_in; j++) {
        const uint32_t at = c->channel[j];
        sum[at] += n_tokens * (double)mean[j];
        total[at] += n_tokens;
        c->max[at] = max[j] > c->max[at] ? max[j] : c->max[at];
    }
}

static enum el_status read_inputs(const struct el_fold_task *task, uint64_t n_channels, struct el_channels *c, struct el_err *err)
{
    float *const mean = el_alloc_array(2 * (size_t)c->n_in, sizeof *mean);
    double *const sum = el_calloc_array(2 * (size_t)n_channels, sizeof *sum);
    enum el_status status = mean && sum ? EL_OK : el_fail(err, EL_E_MEMORY, "out of memory for the statistics of channels");
    for (size_t i = 0; i < c->n_inputs && status == EL_OK; i++) {
        const struct el_channels_input *const in = &c->inputs[i];
        status = el_fold_abs(task->fold, task->stats, in->stats, in->name, in->expert, mean, mean + c->n_in, err);
        if (status == EL_OK)
            add_input(c, mean, mean + c->n_in, in->n_tokens, sum, sum + n_channels);
    }
    for (uint64_t j = 0; status == EL_OK && j < n_channels; j++)
        c->mean[j] = sum[n_channels + j] > 0.0 ? (float)(sum[j] / sum[n_channels + j]) : 0.0f;
    el_free(mean);
    el_free(sum);
    return status;
}

enum el_status el_channels_open(const struct el_fold_task *task, const struct el_fold_place *place, uint32_t group,
                                struct el_channels *c, struct el_err *err)
{
    *c = (struct el_channels){.n_in = place->consumers[0].n_in};
    const size_t n = (size_t)place->n_channels;
    enum el_status status = find_inputs(task, place, group, c, err);
    c->mean = el_calloc_array(n, sizeof *c->mean);
    c->max = el_calloc_array(n, sizeof *c->max);
    c->channel = el_alloc_array((size_t)c->n_in, sizeof *c->channel);
    if (status == EL_OK && (!c->mean || !c->max || !c->channel))
        status = el_fail(err, EL_E_MEMORY, "out of memory for the channels of '%s'", place->name);
    for (uint64_t j = 0; status == EL_OK && j < c->n_in; j++)
        c->channel[j] = (uint32_t)el_fold_channel(place, j);
    if (status == EL_OK)
        status = read_inputs(task, place->n_channels, c, err);
    if (status != EL_OK)
        el_channels_release(c);
    return status;
}

uint64_t el_channels_nbytes(const struct el_fold_place *place)
{
    uint64_t n_inputs = 1;
    for (size_t k = 0; k < place->n_consumers; k++)
        n_inputs += place->consumers[k].n_experts;
    return n_inputs * sizeof(struct el_channels_input) + place->consumers[0].n_in * (3 * sizeof(float)) +
           place->n_channels * (3 * sizeof(float) + 2 * sizeof(double)) + place->n_groups * place->n_channels * sizeof(float);
}

void el_channels_release(struct el_channels *c)
{
    el_free(c->inputs);
    el_free(c->mean);
    el_free(c->max);
    el_free(c->channel);
    *c = (struct el_channels){.n_in = 0};
}
