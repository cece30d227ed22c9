/* The table of methods, and what they share. */
#include "quant/method.h"

#include <math.h>
#include <string.h>

#include "kernels/kernels.h"
#include "quant/fold.h"
#include "quant/measure.h"
#include "tensor/grid.h"

static const struct el_method *const table[] = {
#define METHOD(id) &el_method_##id,
#include "quant/quantizers.def"
#undef METHOD
};

const struct el_method *el_method_at(size_t i)
{
    return i < sizeof table / sizeof table[0] ? table[i] : NULL;
}

const char *el_method_name_at(size_t i, const char **about)
{
    const size_t n = sizeof table / sizeof table[0];
    const struct el_method *const m = el_method_at(i);
    const struct el_fold_method *const fold = i < n ? NULL : el_fold_method_at(i - n);
    if (about)
        *about = m ? m->about : fold ? fold->about : NULL;
    return m ? m->name : fold ? fold->name : NULL;
}

const struct el_method *el_method_by_name(const char *name)
{
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        if (strcmp(table[i]->name, name) == 0)
            return table[i];
    }
    return NULL;
}

void el_quant_measure(struct el_quant_job *job)
{
    struct el_matrix m = {.enc = job->enc, .n_rows = job->n_rows, .n_in = job->n_in};
    struct el_part_shape parts[EL_MAX_PARTS];
    uint32_t n_parts = 0;
    (void)job->enc.e->parts(&job->enc, job->n_rows, job->n_in, parts, &n_parts);
    for (uint32_t p = 0; p < n_parts; p++) {
        m.data[p] = job->parts_out[p];
        m.row_nbytes[p] = parts[p].row_nbytes;
    }
    job->sum_w2 = job->sum_err2 = 0.0;
    for (uint64_t r = 0; r < job->n_rows; r++) {
        el_kernels_decode(el_kernels(), &m, r, 1, job->scratch);
        el_add_squares(job->x + r * job->n_in, job->scratch, job->n_in, &job->sum_w2, &job->sum_err2);
    }
}

enum el_status el_quant_encode(struct el_quant_job *job, enum el_effort effort, struct el_err *err)
{
    struct el_part_shape parts[EL_MAX_PARTS];
    uint32_t n_parts;
    if (!job->enc.e->parts(&job->enc, job->n_rows, job->n_in, parts, &n_parts))
        return el_fail(err, EL_E_USAGE, "rows of %llu elements do not fit %s", (unsigned long long)job->n_in, job->enc.e->name);
    job->enc.e->encode(&job->enc, job->x, job->importance, job->n_rows, job->n_in, effort, job->parts_out);
    job->sum_out2 = job->sum_y2 = NAN;
    el_quant_measure(job);
    return EL_OK;
}

bool el_quant_supports_all(const struct el_enc *enc)
{
    return !(enc->e->flags & EL_ENC_FLOAT) && el_enc_can_encode(enc);
}

bool el_quant_supports_grids(const struct el_enc *enc)
{
    return el_grid_of(enc) != NULL;
}

bool el_quant_supports_scalars(const struct el_enc *enc)
{
    return el_grid_of(enc) && el_grid_unit(enc) == 1;
}
