/*
 * Statistics: a GGUF file whose tensors and lists are anything. Property 1: no crash. Property 2: whatever an accepted file says
 * it has can be asked for.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"
#include "formats/gguf.h"
#include "quant/stats.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t nbytes);

static void ask(const struct el_stats *stats, const struct el_stats_matrix *m)
{
    struct el_err err = {.text = ""};
    double n;
    if (m->n_in > 1024)
        return;
    float *const v = calloc(2 * m->n_in, sizeof *v);
    double *const h = calloc(m->n_in, sizeof *h);
    const uint32_t last = m->n_experts - 1;
    const enum el_status statuses[] = {el_stats_count(stats, m, last, &n, &err), el_stats_importance(stats, m, last, v, &err),
                                       m->has & EL_STATS_ABS ? el_stats_abs(stats, m, last, v, v + m->n_in, &err) : EL_OK,
                                       m->has & EL_STATS_HESSIAN ? el_stats_hessian(stats, m, last, m->n_in - 1, 1, h, &err)
                                                                 : EL_OK,
                                       m->has & EL_STATS_CROSS ? el_stats_cross(stats, m, m->n_in - 1, 1, h, &err) : EL_OK};
    for (size_t i = 0; i < sizeof statuses / sizeof *statuses; i++)
        if (statuses[i] != EL_OK && statuses[i] != EL_E_FORMAT) {
            fprintf(stderr, "property violated: what is there can be read: %s\n", err.text);
            abort();
        }
    free(v);
    free(h);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t nbytes)
{
    struct el_err err = {.text = ""};
    struct el_source *source;
    struct el_stats *stats = NULL;
    if (el_gguf_open_memory(data, nbytes, &(struct el_source_opts){.strict = false}, &source, &err) != EL_OK)
        return 0;
    if (el_stats_open(source, &stats, &err) == EL_OK)
        for (size_t i = 0; i < 64 && el_stats_at(stats, i); i++)
            ask(stats, el_stats_at(stats, i));
    el_stats_close(stats);
    el_source_close(source);
    return 0;
}
