/* The table of choices; see sensitivity.h. */
#include "quant/sensitivity.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "quant/divergence.h"
#include "quant/mixes.h"

/* By name and not by property: types that only files bring along (ternary, MXFP4) are no choice for a model trained otherwise. */
static const char *const standard[] = {"IQ2_XXS", "IQ2_XS", "IQ2_S", "Q2_K", "IQ3_XXS", "IQ3_S", "Q3_K", "IQ4_XS", "Q4_0",
                                       "IQ4_NL",  "Q4_K",   "Q4_1",  "Q5_0", "Q5_K",    "Q5_1",  "Q6_K", "Q8_0",   "F16"};
enum { N_STANDARD = sizeof standard / sizeof *standard };

static enum el_status no_memory(struct el_err *err)
{
    return el_fail(err, EL_E_MEMORY, "out of memory for a table of choices");
}

/* ---- items ---- */

/* The embedding first, then layer by layer, what stands behind them last; in these the order of the source. */
static int compare_rows(const void *a, const void *b)
{
    const struct el_sens_row *const x = a, *const y = b;
    if (x->stage != y->stage)
        return x->stage < y->stage ? -1 : 1;
    return (x->tensor > y->tensor) - (x->tensor < y->tensor);
}

static enum el_status make_rows(struct el_sens *s, struct el_err *err)
{
    const struct el_source *const source = s->source;
    const struct el_mix_model model = el_mix_model_read(source->meta);
    s->rows = el_calloc_array(source->n_tensors, sizeof *s->rows);
    if (!s->rows)
        return no_memory(err);
    for (size_t i = 0; i < source->n_tensors; i++) {
        const struct el_tensor *const t = &source->tensors[i];
        if (!el_mix_quantizes(t->name, t->n_rows) || t->n_rows == 0 || t->n_in == 0)
            continue;
        struct el_sens_row *const row = &s->rows[s->n_rows++];
        *row = (struct el_sens_row){.tensor = i, .layer = el_mix_layer(t->name), .shiftadd = NAN};
        const bool embedding = el_mix_category(t->name) == EL_CAT_TOKEN_EMBD;
        row->stage = row->layer >= 0 ? (uint32_t)row->layer + 1 : embedding ? 0 : model.n_layers + 1;
    }
    qsort(s->rows, s->n_rows, sizeof *s->rows, compare_rows);
    return s->n_rows > 0 ? EL_OK : el_fail(err, EL_E_USAGE, "'%s': has no matrix that is quantized", source->path);
}

/* ---- candidates ---- */

/* What is best for a type with what there is; the plan takes a weaker one for tensors of which the statistics lack something. */
static const char *best_method(const struct el_sens *s, const struct el_enc *enc)
{
    if (enc->e->flags & EL_ENC_FLOAT)
        return NULL;
    const struct el_method *const asked = s->opts.method ? el_method_by_name(s->opts.method) : NULL;
    if (s->opts.method && (!asked || asked->supports(enc)))
        return s->opts.method;
    if (!s->opts.stats)
        return el_method_at(0)->name;
    const struct el_method *const gptq = el_method_by_name("gptq");
    return gptq->supports(enc) ? gptq->name : "imatrix";
}

static enum el_status make_column(struct el_sens *s, const struct el_sens_candidate *candidate, struct el_err *err)
{
    struct el_sens_column *const column = &s->columns[s->n_columns];
    struct el_enc enc;
    if (el_enc_parse(candidate->type, &enc, err) != EL_OK)
        return el_fail_prefix(err, EL_E_USAGE, "candidate");
    el_enc_name(&enc, column->type);
    column->method = candidate->method ? candidate->method : best_method(s, &enc);
    const struct el_plan_opts opts = {.type = column->type,
                                      .method = column->method,
                                      .tensor_methods = s->opts.tensor_methods,
                                      .n_tensor_methods = s->opts.n_tensor_methods,
                                      .how = s->opts.how,
                                      .stats = s->opts.stats,
                                      .pure = true,
                                      .allow_requantize = s->opts.allow_requantize};
    const enum el_status status = el_plan_make(s->source, &opts, &column->plan, err);
    if (status != EL_OK)
        return el_fail_prefix(err, status, "candidate %s", column->type);
    if (column->plan->fold) {
        el_plan_free(column->plan);
        return el_fail(err, EL_E_USAGE, "method '%s' changes the model: types are chosen for the model as it is", column->method);
    }
    for (size_t i = 0; i < s->n_rows; i++) {
        const struct el_plan_entry *const entry = &column->plan->entries[s->rows[i].tensor];
        if (!el_enc_equal(&entry->to, &enc))
            continue;
        column->n_fits++;
        column->nbytes += (double)entry->nbytes;
        column->n_elems +=
            (double)s->source->tensors[s->rows[i].tensor].n_rows * (double)s->source->tensors[s->rows[i].tensor].n_in;
    }
    for (size_t k = 0; k < s->n_columns; k++)
        if (strcmp(s->columns[k].type, column->type) == 0 &&
            strcmp(el_sens_method(&s->columns[k]), el_sens_method(column)) == 0) {
            el_plan_free(column->plan);
            return el_fail(err, EL_E_USAGE, "candidate %s by %s: is there twice", column->type, el_sens_method(column));
        }
    s->n_columns++;
    return EL_OK;
}

/* By bits per weight; of equal ones by name, so that the order never depends on that of the options. */
static int compare_columns(const void *a, const void *b)
{
    const struct el_sens_column *const x = a, *const y = b;
    const double p = x->nbytes * y->n_elems, q = y->nbytes * x->n_elems;
    if (p != q)
        return p < q ? -1 : 1;
    const int types = strcmp(x->type, y->type);
    return types ? types : strcmp(el_sens_method(x), el_sens_method(y));
}

/* What no tensor can be stored as is no candidate; of the standard ones, what cannot be made here neither. */
static enum el_status make_columns(struct el_sens *s, struct el_err *err)
{
    const size_t n = s->opts.candidates ? s->opts.n_candidates : N_STANDARD;
    s->columns = el_calloc_array(n, sizeof *s->columns);
    if (!s->columns)
        return no_memory(err);
    for (size_t i = 0; i < n; i++) {
        const struct el_sens_candidate candidate =
            s->opts.candidates ? s->opts.candidates[i] : (struct el_sens_candidate){standard[i], NULL};
        struct el_enc enc;
        if (!s->opts.candidates && (el_enc_parse(standard[i], &enc, NULL) != EL_OK || !el_enc_can_encode(&enc)))
            continue;
        EL_TRY(make_column(s, &candidate, err));
        if (s->columns[s->n_columns - 1].n_fits > 0)
            continue;
        if (s->opts.candidates)
            return el_fail(err, EL_E_USAGE, "candidate %s: fits the rows of no matrix", candidate.type);
        el_plan_free(s->columns[--s->n_columns].plan);
    }
    s->opts.candidates = NULL; /* the caller's, who may release them */
    qsort(s->columns, s->n_columns, sizeof *s->columns, compare_columns);
    return s->n_columns > 0 ? EL_OK : el_fail(err, EL_E_USAGE, "no candidate fits the rows of any matrix");
}

static enum el_status make_cells(struct el_sens *s, struct el_err *err)
{
    s->cells = el_calloc_array(s->n_rows * s->n_columns, sizeof *s->cells);
    if (!s->cells)
        return no_memory(err);
    for (size_t i = 0; i < s->n_rows; i++) {
        s->rows[i].cells = s->cells + i * s->n_columns;
        for (size_t c = 0; c < s->n_columns; c++) {
            const struct el_plan_entry *const entry = el_sens_entry(s, i, c);
            struct el_enc enc;
            EL_TRY(el_enc_parse(s->columns[c].type, &enc, err));
            if (!el_enc_equal(&enc, &entry->to))
                continue;
            const double unknown = entry->copy ? 0.0 : (double)NAN;
            s->rows[i].cells[c] = (struct el_sens_cell){.fits = true,
                                                        .method = el_plan_method_name(entry),
                                                        .nbytes = entry->nbytes,
                                                        .weight = unknown,
                                                        .hessian = unknown,
                                                        .kld = unknown,
                                                        .loss = (double)NAN};
        }
    }
    return EL_OK;
}

/* ---- all ---- */

static enum el_status open_all(struct el_sens *s, struct el_err *err)
{
    EL_TRY(make_rows(s, err));
    EL_TRY(make_columns(s, err));
    EL_TRY(make_cells(s, err));
    EL_TRY(el_pool_open(s->opts.n_threads, &s->pool, err));
    return s->opts.state_path ? el_sens_file_open(s, err) : EL_OK;
}

enum el_status el_sens_open(struct el_source *source, const struct el_sens_opts *opts, struct el_sens **sens, struct el_err *err)
{
    *sens = NULL;
    struct el_sens *const s = el_calloc_array(1, sizeof *s);
    if (!s)
        return no_memory(err);
    s->source = source;
    s->opts = *opts;
    s->opts.n_rows = opts->n_rows ? opts->n_rows : EL_SENS_ROWS;
    const enum el_status status = open_all(s, err);
    if (status != EL_OK) {
        el_sens_close(s);
        return status;
    }
    *sens = s;
    return EL_OK;
}

void el_sens_close(struct el_sens *sens)
{
    if (!sens)
        return;
    el_divergence_close(sens->divergence);
    for (size_t c = 0; c < sens->n_columns; c++)
        el_plan_free(sens->columns[c].plan);
    el_free(sens->columns);
    el_free(sens->cells);
    el_free(sens->rows);
    el_workfile_close(sens->state);
    el_pool_close(sens->pool);
    el_free(sens);
}

size_t el_sens_n_items(const struct el_sens *sens)
{
    return sens->n_rows;
}

struct el_sens_item el_sens_item(const struct el_sens *sens, size_t item)
{
    const struct el_sens_row *const row = &sens->rows[item];
    const struct el_tensor *const t = &sens->source->tensors[row->tensor];
    return (struct el_sens_item){.name = t->name,
                                 .tensor = row->tensor,
                                 .layer = row->layer,
                                 .n_rows = t->n_rows,
                                 .n_in = t->n_in,
                                 .nbytes = el_tensor_nbytes(t),
                                 .shiftadd = row->shiftadd};
}

size_t el_sens_n_candidates(const struct el_sens *sens)
{
    return sens->n_columns;
}

struct el_sens_candidate el_sens_candidate(const struct el_sens *sens, size_t candidate)
{
    const struct el_sens_column *const column = &sens->columns[candidate];
    return (struct el_sens_candidate){column->type, column->method};
}

struct el_sens_cell el_sens_cell(const struct el_sens *sens, size_t item, size_t candidate)
{
    return sens->rows[item].cells[candidate];
}

const char *el_sens_method(const struct el_sens_column *column)
{
    return column->method ? column->method : "convert";
}

void el_sens_progress(const struct el_sens *sens, const char *what, uint64_t done, uint64_t total)
{
    if (sens->opts.progress)
        sens->opts.progress(sens->opts.progress_user, what, done, total);
}
