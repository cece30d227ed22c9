/*
 * The table behind struct el_sens (edgellm.h): items x candidates, what is known of each cell, and where it is kept.
 *
 * A candidate is a plan of one type and one method for all matrices, so that fallbacks and weaker methods are those of quantize.
 * A cell fits where that plan has kept the type. Numbers come from three places, each a file:
 *
 *   sens_errors.c   weight, hessian, shiftadd: the method run on a sample of rows
 *   sens_kld.c      kld: the model run with changed matrices, layer by layer (quant/divergence.h)
 *   sens_predict.c  loss: from the above
 *
 * The state file is text, one JSON object a line; a last line that does not end in a line feed was being written when a run was
 * stopped, and is dropped:
 *
 *   {"edgellm.sensitivity":1,"key":"<64 hex digits>"}      of all that the numbers depend on (sens_file.c)
 *   {"tensor":"blk.0.attn_q.weight","type":"Q4_K","method":"gptq","weight":1e-3,"hessian":2e-2}
 *   {"tensor":"blk.0.attn_q.weight","type":"Q4_K","method":"gptq","kld":1e-4}
 *   {"tensor":"blk.0.attn_q.weight","shiftadd":3e1}
 */
#ifndef EL_QUANT_SENSITIVITY_H
#define EL_QUANT_SENSITIVITY_H

#include "base/threads.h"
#include "base/workfile.h"
#include "quant/plan.h"

struct el_sens_row {
    size_t tensor;
    int32_t layer;  /* -1: of no layer */
    uint32_t stage; /* 0: the embedding; layer + 1; n_layers + 1: what stands behind them */
    double shiftadd;
    struct el_sens_cell *cells; /* [n_candidates] */
};

/* A candidate: what quantize would do to every tensor if it were asked for this type. */
struct el_sens_column {
    char type[32];
    const char *method; /* NULL: none, of a float type */
    struct el_plan *plan;
    size_t n_fits; /* matrices that can be stored so, their bytes then and their numbers */
    double nbytes, n_elems;
};

enum { EL_SENS_ROWS = 128 };

struct el_divergence;

struct el_sens {
    struct el_source *source;
    struct el_sens_opts opts;
    struct el_sens_row *rows; /* [n_rows], in the order of the layers, what stands behind them last, the embedding first */
    struct el_sens_cell *cells;
    size_t n_rows;
    struct el_sens_column *columns; /* [n_columns], by rising bits per weight */
    size_t n_columns;
    struct el_pool *pool;
    struct el_divergence *divergence; /* NULL: none was measured */
    struct el_workfile *state;        /* NULL: nothing is kept */
    uint64_t state_nbytes;
};

/* The entry of the plan that a cell is of. */
static inline const struct el_plan_entry *el_sens_entry(const struct el_sens *s, size_t row, size_t column)
{
    return &s->columns[column].plan->entries[s->rows[row].tensor];
}

/* "convert" for a float type. */
const char *el_sens_method(const struct el_sens_column *column);
void el_sens_progress(const struct el_sens *sens, const char *what, uint64_t done, uint64_t total);

/* The sum of the losses of a plan's choices [n_rows]. */
double el_sens_plan_loss(const struct el_sens *sens, const uint32_t *choice);

/* Opens the state file and takes from it what is known. EL_E_USAGE: of another run; EL_E_FORMAT: not such a file. */
enum el_status el_sens_file_open(struct el_sens *s, struct el_err *err);
/* Each adds what the table now has of a cell or row to the file, where there is one. EL_E_IO. */
enum el_status el_sens_file_errors(struct el_sens *s, size_t row, size_t column, struct el_err *err);
enum el_status el_sens_file_kld(struct el_sens *s, size_t row, size_t column, struct el_err *err);
enum el_status el_sens_file_shiftadd(struct el_sens *s, size_t row, struct el_err *err);
/* What was added is on the disk. */
enum el_status el_sens_file_sync(struct el_sens *s, struct el_err *err);

#endif
