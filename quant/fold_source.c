/*
 * The changed model as a source. A change of columns acts on a row alone, a gain of rows too: such rows are made as they are
 * read. A rotation of rows needs the matrix (of one expert); the last two that were made are kept.
 */
#include <stdio.h>
#include <string.h>

#include "base/checked.h"
#include "base/mem.h"
#include "quant/fold_impl.h"

enum { PANEL = 32 }; /* columns that are rotated together */

/* ---- a change, on numbers ---- */

uint64_t el_fold_scratch(const struct fold_tensor *t, uint64_t width)
{
    uint64_t most = 1;
    for (size_t i = 0; i < t->n_ops; i++)
        if (t->ops[i].change->kind == EL_FOLD_ROTATE && t->ops[i].change->q.m > most)
            most = t->ops[i].change->q.m;
    return most * width;
}

static const double *gains_of(const struct fold_change *c, uint32_t expert)
{
    const struct el_fold_place *const p = &c->at->p;
    return c->s + (p->n_groups > 1 ? expert * p->n_channels : 0);
}

void el_fold_column_panel(const struct fold_op *op, uint32_t expert, uint64_t n_in, double *x, uint64_t width, double *scratch)
{
    const struct fold_change *const c = op->change;
    if (c->kind == EL_FOLD_ROTATE) {
        for (uint64_t at = 0; at < n_in; at += c->q.n)
            el_rotation_apply(&c->q, x + at * width, width, scratch);
        return;
    }
    const double *const s = gains_of(c, expert);
    for (uint64_t j = 0; j < n_in; j++)
        for (uint64_t k = 0; k < width; k++)
            x[j * width + k] /= s[el_fold_channel(&c->at->p, j)];
}

void el_fold_columns(const struct fold_op *op, uint32_t expert, uint64_t n_in, bool divide, double *x, double *scratch)
{
    if (op->change->kind == EL_FOLD_ROTATE || divide) {
        el_fold_column_panel(op, expert, n_in, x, 1, scratch);
        return;
    }
    const double *const s = gains_of(op->change, expert);
    for (uint64_t j = 0; j < n_in; j++)
        x[j] *= s[el_fold_channel(&op->change->at->p, j)];
}

/* Rows of x [., width], all of an expert's, changed as a producer's. */
static void change_rows(const struct fold_op *op, uint32_t expert, double *x, uint64_t width, double *scratch)
{
    const struct fold_change *const c = op->change;
    double *const at = x + op->row0 * width;
    if (c->kind == EL_FOLD_ROTATE) {
        for (uint64_t r = 0; r < op->n_rows; r += c->q.n)
            el_rotation_apply(&c->q, at + r * width, width, scratch);
        return;
    }
    const double *const s = gains_of(c, expert);
    for (uint64_t r = 0; r < op->n_rows; r++)
        for (uint64_t k = 0; k < width; k++)
            at[r * width + k] /= s[r];
}

/* ---- rows ---- */

static bool mixes_rows(const struct fold_tensor *t)
{
    bool mixes = t->vector;
    for (size_t i = 0; i < t->n_ops; i++)
        mixes = mixes || (t->ops[i].kind == FOLD_ROWS && t->ops[i].change->kind == EL_FOLD_ROTATE);
    return mixes;
}

/* Rows of an expert as the base has them, with the changes of their columns, and those of rows that mix none (rows). */
static enum el_status some_rows(struct el_fold *fold, size_t tensor, uint32_t expert, uint64_t row0, uint64_t n_rows, bool rows,
                                float *out, struct el_err *err)
{
    const struct fold_tensor *const f = &fold->tensors[tensor];
    const struct el_tensor *const t = &fold->base->tensors[f->base];
    const uint64_t first = expert * (t->n_rows / f->n_experts) + row0, n_in = t->n_in;
    EL_TRY(el_source_read_canonical(fold->base, f->base, first, n_rows, out, err));
    if (f->n_ops == 0)
        return EL_OK;
    double *const x = el_alloc_array((size_t)(n_in + el_fold_scratch(f, 1)), sizeof *x);
    if (!x)
        return el_fold_no_memory(err);
    for (uint64_t r = 0; r < n_rows; r++) {
        for (uint64_t j = 0; j < n_in; j++)
            x[j] = (double)out[r * n_in + j];
        for (size_t i = 0; i < f->n_ops; i++) {
            const struct fold_op *const op = &f->ops[i];
            if (op->kind != FOLD_ROWS) {
                el_fold_columns(op, expert, n_in, op->kind == FOLD_OUT_COLUMNS, x, x + n_in);
            } else if (rows && row0 + r >= op->row0 && row0 + r < op->row0 + op->n_rows) {
                const double s = gains_of(op->change, expert)[row0 + r - op->row0];
                for (uint64_t j = 0; j < n_in; j++)
                    x[j] /= s;
            }
        }
        for (uint64_t j = 0; j < n_in; j++)
            out[r * n_in + j] = (float)x[j];
    }
    el_free(x);
    return EL_OK;
}

/* All rows of a matrix, or of one expert's; of a vector its values. */
static enum el_status all_rows(struct el_fold *fold, size_t tensor, uint32_t expert, float *out, struct el_err *err)
{
    const struct fold_tensor *const f = &fold->tensors[tensor];
    const struct el_tensor *const t = &fold->base->tensors[f->base];
    const uint64_t n_rows = f->vector ? t->n_rows * t->n_in : t->n_rows / f->n_experts, n_in = f->vector ? 1 : t->n_in;
    if (f->vector)
        EL_TRY(el_source_read_canonical(fold->base, f->base, 0, t->n_rows, out, err));
    else
        EL_TRY(some_rows(fold, tensor, expert, 0, n_rows, false, out, err));
    const uint64_t panel = n_in < PANEL ? n_in : PANEL;
    double *const x = el_alloc_array((size_t)(n_rows * panel + el_fold_scratch(f, panel)), sizeof *x);
    if (!x)
        return el_fold_no_memory(err);
    for (uint64_t j = 0, n; j < n_in; j += n) {
        n = n_in - j < panel ? n_in - j : panel;
        for (uint64_t r = 0; r < n_rows; r++)
            for (uint64_t k = 0; k < n; k++)
                x[r * n + k] = (double)out[r * n_in + j + k];
        for (size_t i = 0; i < f->n_ops; i++)
            if (f->ops[i].kind == FOLD_ROWS)
                change_rows(&f->ops[i], expert, x, n, x + n_rows * n);
        for (uint64_t r = 0; r < n_rows; r++)
            for (uint64_t k = 0; k < n; k++)
                out[r * n_in + j + k] = (float)x[r * n + k];
    }
    el_free(x);
    return EL_OK;
}

/* The one that is made of a matrix whose rows are mixed; the caller holds the lock. */
static enum el_status made_of(struct el_fold *fold, size_t tensor, uint32_t expert, const float **rows, struct el_err *err)
{
    const struct fold_tensor *const f = &fold->tensors[tensor];
    const struct el_tensor *const t = &fold->source->tensors[tensor];
    struct fold_made *made = &fold->made[0];
    for (size_t i = 0; i < sizeof fold->made / sizeof *fold->made; i++) {
        struct fold_made *const m = &fold->made[i];
        if (m->rows && m->tensor == tensor && m->expert == expert && m->n_ops == f->n_ops) {
            m->used = ++fold->n_used;
            *rows = m->rows;
            return EL_OK;
        }
        if (m->used < made->used)
            made = m;
    }
    el_free(made->rows);
    made->rows = el_alloc_array((size_t)(t->n_rows / f->n_experts * t->n_in), sizeof *made->rows);
    if (!made->rows)
        return el_fold_no_memory(err);
    const enum el_status status = all_rows(fold, tensor, expert, made->rows, err);
    if (status != EL_OK) {
        el_free(made->rows);
        made->rows = NULL;
        return status;
    }
    made->tensor = tensor;
    made->expert = expert;
    made->n_ops = f->n_ops;
    made->used = ++fold->n_used;
    *rows = made->rows;
    return EL_OK;
}

/* What is done to an input: 1 / s for all gains together, or the signs of its rotation. */
static enum el_status input_values(const struct el_fold *fold, const struct fold_tensor *f, uint64_t row0, uint64_t n, float *out,
                                   struct el_err *err)
{
    const uint64_t n_channels = f->input->p.n_channels;
    float *const values = el_alloc_array((size_t)n_channels, sizeof *values);
    if (!values)
        return el_fold_no_memory(err);
    for (uint64_t j = 0; j < n_channels; j++) {
        double by = 1.0;
        for (size_t i = 0; f->which == EL_INPUT_SCALE && i < fold->n_changes; i++)
            if (fold->changes[i]->at == f->input && fold->changes[i]->kind == EL_FOLD_GAIN)
                by *= fold->changes[i]->s[j];
        values[j] = (float)(1.0 / by);
    }
    for (size_t i = 0; f->which == EL_INPUT_SIGNS && i < fold->n_changes; i++)
        if (fold->changes[i]->at == f->input && fold->changes[i]->kind == EL_FOLD_ROTATE)
            el_rotation_signs(&fold->changes[i]->q, values);
    memcpy(out, values + row0, (size_t)n * sizeof *out);
    el_free(values);
    return EL_OK;
}

/* Rows of an expert (of a vector: values, n_in counting as 1) with all changes. */
static enum el_status changed_rows(struct el_fold *fold, size_t tensor, uint32_t expert, uint64_t row0, uint64_t n_rows,
                                   float *out, struct el_err *err)
{
    const struct fold_tensor *const f = &fold->tensors[tensor];
    const uint64_t n_in = f->vector ? 1 : fold->source->tensors[tensor].n_in;
    if (f->input)
        return input_values(fold, f, row0, n_rows, out, err);
    if (!mixes_rows(f))
        return some_rows(fold, tensor, expert, row0, n_rows, true, out, err);
    const float *rows = NULL;
    (void)pthread_mutex_lock(&fold->lock);
    const enum el_status status = made_of(fold, tensor, expert, &rows, err);
    if (status == EL_OK)
        memcpy(out, rows + row0 * n_in, (size_t)(n_rows * n_in) * sizeof *out);
    (void)pthread_mutex_unlock(&fold->lock);
    return status;
}

enum el_status el_fold_rows(struct el_fold *fold, const struct el_fold_end *end, uint32_t expert, uint64_t row0, uint64_t n_rows,
                            float *out, struct el_err *err)
{
    return changed_rows(fold, end->tensor, expert, end->row0 + row0, n_rows, out, err);
}

/* ---- the source ---- */

static struct el_fold *fold_of(const struct el_source *s)
{
    return s->priv;
}

/* The tensor of the base that a tensor of the folded source is, or is made of. */
static const struct el_tensor *base_tensor(const struct el_source *s, const struct el_tensor *t)
{
    return &fold_of(s)->base->tensors[fold_of(s)->tensors[t - s->tensors].base];
}

/* Bytes of changed rows: whole rows are made, whatever piece of them is asked for. */
static enum el_status read_changed(struct el_fold *fold, const struct el_tensor *t, uint64_t offset, uint8_t *out,
                                   uint64_t nbytes, struct el_err *err)
{
    const size_t tensor = (size_t)(t - fold->source->tensors);
    const struct fold_tensor *const f = &fold->tensors[tensor];
    const uint64_t row_n = f->vector ? 1 : t->n_in, row_nbytes = row_n * sizeof(float);
    const uint64_t first = offset / row_nbytes, end = (offset + nbytes + row_nbytes - 1) / row_nbytes;
    const uint64_t per_expert = f->vector ? t->n_rows * t->n_in : t->n_rows / f->n_experts;
    float *const rows = el_alloc_array((size_t)((end - first) * row_n), sizeof *rows);
    enum el_status status = rows ? EL_OK : el_fold_no_memory(err);
    for (uint64_t r = first, n; r < end && status == EL_OK; r += n) {
        const uint64_t at = r % per_expert;
        n = end - r < per_expert - at ? end - r : per_expert - at;
        status = changed_rows(fold, tensor, (uint32_t)(r / per_expert), at, n, rows + (r - first) * row_n, err);
    }
    if (status == EL_OK)
        memcpy(out, (const uint8_t *)rows + (offset - first * row_nbytes), (size_t)nbytes);
    el_free(rows);
    return status;
}

static enum el_status read_part(struct el_source *s, const struct el_tensor *t, uint32_t part, uint64_t offset, void *out,
                                uint64_t nbytes, struct el_err *err)
{
    struct el_fold *const fold = fold_of(s);
    if (nbytes == 0)
        return EL_OK;
    if (fold->tensors[t - s->tensors].changed)
        return read_changed(fold, t, offset, out, nbytes, err);
    return fold->base->ops->read(fold->base, base_tensor(s, t), part, offset, out, nbytes, err);
}

static const uint8_t *map_part(struct el_source *s, const struct el_tensor *t, uint32_t part)
{
    const struct el_fold *const fold = fold_of(s);
    return fold->tensors[t - s->tensors].changed ? NULL : fold->base->ops->map(fold->base, base_tensor(s, t), part);
}

static const char *file_name(struct el_source *s, uint32_t i)
{
    struct el_source *const base = fold_of(s)->base;
    return base ? base->ops->file(base, i) : NULL;
}

static const struct el_source_ops fold_ops = {.read = read_part, .map = map_part, .file = file_name};

/* A tensor of the base (or the output, made of the embedding) with names of its own. */
static bool copy_tensor(struct el_tensor *to, const struct el_tensor *from, const char *name)
{
    *to = *from;
    to->name = to->file_name = el_strdup(name);
    return to->name != NULL;
}

enum el_status el_fold_make_source(struct el_fold *fold, const struct el_source *base, struct el_err *err)
{
    struct el_source *const s = fold->source = el_calloc_array(1, sizeof *s);
    if (!s)
        return el_fold_no_memory(err);
    s->ops = &fold_ops;
    s->priv = fold;
    s->format = base->format;
    s->path = el_strdup(base->path);
    s->meta = el_meta_copy(base->meta);
    s->tokenizer_changed = base->tokenizer_changed;
    s->tensors = el_calloc_array(fold->cap_tensors, sizeof *s->tensors);
    if (!s->path || !s->meta || !s->tensors)
        return el_fold_no_memory(err);
    for (; s->n_tensors < base->n_tensors; s->n_tensors++)
        if (!copy_tensor(&s->tensors[s->n_tensors], &base->tensors[s->n_tensors], base->tensors[s->n_tensors].name))
            return el_fold_no_memory(err);
    /* The output that may be untied lies past the end until it is. */
    const size_t embd = el_fold_tensor_of(fold, EL_R_TOKEN_EMBD, 0);
    const struct el_tensor_rule *const output = el_arch_rule_of_role(fold->arch, EL_R_OUTPUT);
    if (el_fold_tensor_of(fold, EL_R_OUTPUT, 0) != SIZE_MAX || embd == SIZE_MAX || !output)
        return EL_OK;
    fold->output = fold->n_base;
    fold->tensors[fold->output] = (struct fold_tensor){.base = embd, .n_experts = 1};
    return copy_tensor(&s->tensors[fold->output], &s->tensors[embd], output->gguf) ? EL_OK : el_fold_no_memory(err);
}

/* Makes room behind the tensors that are shown: the output that is not, moves up. */
static void move_output(struct el_fold *fold)
{
    const size_t from = fold->source->n_tensors, to = from + 1;
    if (fold->output != from)
        return;
    fold->source->tensors[to] = fold->source->tensors[from];
    fold->tensors[to] = fold->tensors[from];
    fold->output = to;
    for (size_t i = 0; i < fold->n_places; i++) {
        struct fold_place *const place = &fold->places[i];
        for (size_t k = 0; k < place->p.n_producers + place->p.n_consumers; k++)
            if (place->ends[k].tensor == from)
                place->ends[k].tensor = to;
    }
}

enum el_status el_fold_add_input(struct el_fold *fold, const struct fold_place *place, enum el_fold_kind kind, struct el_err *err)
{
    struct el_source *const s = fold->source;
    const enum el_input_tensor which = kind == EL_FOLD_GAIN ? EL_INPUT_SCALE : EL_INPUT_SIGNS;
    for (size_t i = 0; i < place->p.n_consumers; i++) {
        char name[128];
        const char *const matrix = place->p.consumers[i].name;
        (void)snprintf(name, sizeof name, "%.*s%s", (int)(strlen(matrix) - (sizeof ".weight" - 1)), matrix,
                       el_input_suffix[which]);
        if (el_source_find(s, name) != SIZE_MAX)
            return el_fail(err, EL_E_UNSUPPORTED, "'%s' is there already: the input of '%s' is changed", name, matrix);
        move_output(fold);
        struct el_tensor *const t = &s->tensors[s->n_tensors];
        *t = (struct el_tensor){.name = el_strdup(name), .enc = el_enc_f32(), .n_dims = 1, .dims = {place->p.n_channels}};
        t->file_name = t->name;
        if (!t->name)
            return el_fold_no_memory(err);
        fold->tensors[s->n_tensors++] = (struct fold_tensor){
            .base = SIZE_MAX, .n_experts = 1, .vector = true, .changed = true, .input = place, .which = which};
        EL_TRY(el_tensor_complete(t, err));
    }
    return EL_OK;
}

enum el_status el_fold_touch(struct el_fold *fold, size_t tensor, struct el_err *err)
{
    struct fold_tensor *const f = &fold->tensors[tensor];
    if (f->changed)
        return EL_OK;
    f->changed = true;
    struct el_tensor *const t = &fold->source->tensors[tensor];
    t->enc = el_enc_f32();
    t->order = (struct el_row_order){EL_ROWS_CANONICAL, 0, 0};
    if (tensor == fold->source->n_tensors)
        fold->source->n_tensors++; /* the output, which lies there as long as it is tied */
    return el_tensor_complete(t, err);
}
