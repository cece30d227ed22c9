/*
 * See fold.h. The list of changes; places are in fold_places.c, the changed model in fold_source.c, its statistics in
 * fold_stats.c.
 */
#include "quant/fold.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "quant/fold_impl.h"
#include "tensor/meta.h"

static const struct el_fold_method *const table[] = {
#define FOLD(id) &el_fold_method_##id,
#include "quant/folds.def"
#undef FOLD
    NULL,
};

const struct el_fold_method *el_fold_method_at(size_t i)
{
    return i < sizeof table / sizeof *table ? table[i] : NULL;
}

const struct el_fold_method *el_fold_method_by_name(const char *name)
{
    for (size_t i = 0; table[i]; i++)
        if (strcmp(table[i]->name, name) == 0)
            return table[i];
    return NULL;
}

enum el_status el_fold_no_memory(struct el_err *err)
{
    return el_fail(err, EL_E_MEMORY, "fold: out of memory");
}

/* ---- opening ---- */

/* A tensor must be as its rule says: what follows computes with that. */
static enum el_status check_shape(const struct el_fold *fold, const struct el_tensor *t, const struct el_tensor_rule *rule,
                                  struct el_err *err)
{
    uint64_t n_rows = 1, n_in = 1;
    for (uint32_t i = 0; i < 3 && rule->dims[i] != EL_D_NONE; i++) {
        n_rows *= n_in;
        n_in = el_dim_size(rule->dims[i], &fold->hp);
    }
    if (t->n_rows * t->n_in == n_rows * n_in && (t->n_in == n_in || t->n_rows == 1) && n_rows * n_in > 0)
        return EL_OK;
    return el_fail(err, EL_E_FORMAT, "tensor '%s' is %llu x %llu, a %s model of these sizes has %llu x %llu", t->name,
                   (unsigned long long)t->n_rows, (unsigned long long)t->n_in, fold->arch->name, (unsigned long long)n_rows,
                   (unsigned long long)n_in);
}

static enum el_status index_tensors(struct el_fold *fold, const struct el_source *base, struct el_err *err)
{
    const size_t n_roles = ((size_t)fold->hp.n_layers + 1) * EL_R_COUNT;
    /* A matrix may get two tensors beside it, and the embedding an output. */
    fold->cap_tensors = 3 * base->n_tensors + 1;
    fold->tensors = el_calloc_array(fold->cap_tensors, sizeof *fold->tensors);
    fold->of_role = el_alloc_array(n_roles, sizeof *fold->of_role);
    if (!fold->tensors || !fold->of_role)
        return el_fold_no_memory(err);
    for (size_t i = 0; i < n_roles; i++)
        fold->of_role[i] = SIZE_MAX;
    for (size_t i = 0; i < base->n_tensors; i++) {
        const struct el_tensor *const t = &base->tensors[i];
        uint32_t layer = 0;
        const struct el_tensor_rule *const rule = el_arch_rule(fold->arch, t->name, &layer);
        fold->tensors[i] = (struct fold_tensor){.base = i, .n_experts = 1};
        if (!rule || (rule->flags & EL_TF_LAYER && layer >= fold->hp.n_layers))
            continue;
        EL_TRY(check_shape(fold, t, rule, err));
        fold->of_role[(size_t)(rule->flags & EL_TF_LAYER ? layer : fold->hp.n_layers) * EL_R_COUNT + rule->role] = i;
        fold->tensors[i].n_experts = rule->dims[2] != EL_D_NONE ? (uint32_t)el_dim_size(rule->dims[0], &fold->hp) : 1;
        fold->tensors[i].vector = rule->dims[1] == EL_D_NONE;
    }
    return EL_OK;
}

enum el_status el_fold_open(const struct el_source *base, struct el_fold **fold_out, struct el_err *err)
{
    enum el_status status = EL_OK;
    *fold_out = NULL;
    struct el_fold *fold = el_calloc_array(1, sizeof *fold);
    if (!fold)
        return el_fold_no_memory(err);
    fold->n_base = base->n_tensors;
    fold->output = SIZE_MAX;
    (void)pthread_mutex_init(&fold->lock, NULL);
    fold->arch = el_arch_of_meta(base->meta, err);
    if (!fold->arch) {
        status = EL_E_UNSUPPORTED;
        goto out;
    }
    EL_TRY_OUT(el_arch_hparams(fold->arch, base->meta, &fold->hp, err));
    EL_TRY_OUT(index_tensors(fold, base, err));
    EL_TRY_OUT(el_fold_make_source(fold, base, err));
    EL_TRY_OUT(el_fold_find_places(fold, err));
    *fold_out = fold;
    fold = NULL;
out:
    el_fold_close(fold);
    return status;
}

static void drop_changes(struct el_fold *fold)
{
    for (size_t i = 0; i < fold->n_changes; i++) {
        el_free(fold->changes[i]->s);
        el_rotation_release(&fold->changes[i]->q);
        el_free(fold->changes[i]);
    }
    el_free(fold->changes);
    fold->changes = NULL;
    fold->n_changes = 0;
    for (size_t i = 0; fold->tensors && i < fold->cap_tensors; i++) {
        el_free(fold->tensors[i].ops);
        fold->tensors[i].ops = NULL;
        fold->tensors[i].n_ops = 0;
    }
    for (size_t i = 0; i < sizeof fold->made / sizeof *fold->made; i++) {
        el_free(fold->made[i].rows);
        fold->made[i].rows = NULL;
    }
    for (size_t i = 0; i < sizeof fold->sums / sizeof *fold->sums; i++) {
        el_free(fold->sums[i].sums);
        fold->sums[i].sums = NULL;
    }
}

void el_fold_bind(struct el_fold *fold, struct el_source *base)
{
    drop_changes(fold);
    fold->base = base;
}

void el_fold_close(struct el_fold *fold)
{
    if (!fold)
        return;
    drop_changes(fold);
    for (size_t i = 0; i < fold->n_places; i++)
        el_free(fold->places[i].ends);
    el_free(fold->places);
    if (fold->source && fold->output == fold->source->n_tensors)
        fold->source->n_tensors++; /* its name is there, be it shown or not */
    el_source_close(fold->source);
    el_free(fold->tensors);
    el_free(fold->of_role);
    (void)pthread_mutex_destroy(&fold->lock);
    el_free(fold);
}

const struct el_fold_place *el_fold_place_at(const struct el_fold *fold, size_t i)
{
    return i < fold->n_places ? &fold->places[i].p : NULL;
}

uint64_t el_fold_channel(const struct el_fold_place *place, uint64_t column)
{
    return column / place->head_n / place->heads_per_kv * place->head_n + column % place->head_n;
}

const struct el_hparams *el_fold_hparams(const struct el_fold *fold)
{
    return &fold->hp;
}

struct el_source *el_fold_source(struct el_fold *fold)
{
    return fold->source;
}

/* ---- marking ---- */

static struct fold_place *impl_of(const struct el_fold *fold, const struct el_fold_place *place)
{
    return &fold->places[(const struct fold_place *)place - fold->places];
}

/* Is it a norm whose gain must be moved before the residual stream is rotated? */
static bool feeds_residual(const struct fold_place *place)
{
    return place->lead == EL_R_ATTN_NORM || place->lead == EL_R_FFN_NORM || place->lead == EL_R_OUTPUT_NORM;
}

/* The tensor for whose sake the residual stream of a model cannot be rotated. */
static enum el_status refuse_rotation(const struct el_fold *fold, struct el_err *err)
{
    static const enum el_role behind[] = {EL_R_ATTN_POST_NORM, EL_R_FFN_POST_NORM, EL_R_ATTN_RESID_NORM, EL_R_FFN_RESID_NORM};
    size_t tensor = SIZE_MAX;
    for (size_t i = 0; i < sizeof behind / sizeof *behind && tensor == SIZE_MAX; i++)
        tensor = el_fold_tensor_of(fold, behind[i], 0);
    return el_fail(err, EL_E_UNSUPPORTED, "the residual stream of this %s model cannot be rotated: the gain of '%s' stands in it",
                   fold->arch->name, tensor == SIZE_MAX ? "a norm" : fold->source->tensors[tensor].name);
}

static enum el_status check_kind(const struct el_fold *fold, const struct el_fold_place *place, enum el_fold_kind kind,
                                 struct el_err *err)
{
    if (kind == EL_FOLD_GAIN ? place->how & EL_C_GAIN : place->how & (EL_C_ROTATE | EL_C_ROTATE_MEAN))
        return EL_OK;
    if (place->how & EL_C_RESIDUAL && kind == EL_FOLD_ROTATE)
        return refuse_rotation(fold, err);
    return el_fail(err, EL_E_UNSUPPORTED, "%s: a %s does not commute there", place->name,
                   kind == EL_FOLD_GAIN ? "gain" : "rotation");
}

enum el_status el_fold_mark(struct el_fold *fold, const struct el_fold_place *place, enum el_fold_kind kind,
                            const struct el_method_opts *opts, struct el_err *err)
{
    struct fold_place *const at = impl_of(fold, place);
    if (at->marked[kind])
        return EL_OK;
    EL_TRY(check_kind(fold, place, kind, err));
    if (place->unties && opts->keep_tied)
        return el_fail(err, EL_E_UNSUPPORTED,
                       "%s: the output matrix is '%s', and would become one of its own, which was not to be (keep tied)",
                       place->name, fold->source->tensors[fold->tensors[fold->output].base].name);
    at->marked[kind] = true;
    if (place->how & EL_C_RESIDUAL)
        for (size_t i = 0; i < fold->n_places; i++)
            if (feeds_residual(&fold->places[i]))
                EL_TRY(el_fold_mark(fold, &fold->places[i].p, EL_FOLD_GAIN, opts, err));
    for (size_t i = 0; i < place->n_producers + place->n_consumers; i++)
        if (at->ends[i].tensor != fold->output || (place->unties && !(place->how & EL_C_RESIDUAL)))
            EL_TRY(el_fold_touch(fold, at->ends[i].tensor, err));
    return place->input ? el_fold_add_input(fold, at, kind, err) : EL_OK;
}

bool el_fold_is_marked(const struct el_fold *fold, const struct el_fold_place *place, enum el_fold_kind kind)
{
    return impl_of(fold, place)->marked[kind];
}

bool el_fold_changes(const struct el_fold *fold, size_t tensor)
{
    return fold->tensors[tensor].changed;
}

size_t el_fold_base_tensor(const struct el_fold *fold, size_t tensor)
{
    return fold->tensors[tensor].input ? SIZE_MAX : fold->tensors[tensor].base;
}

/* ---- changing ---- */

static bool add_op(struct fold_tensor *t, struct fold_op op)
{
    struct fold_op *const ops = el_realloc_array(t->ops, t->n_ops + 1, sizeof *ops);
    if (!ops)
        return false;
    t->ops = ops;
    ops[t->n_ops++] = op;
    return true;
}

/* Takes the change, which is freed with the others. */
static enum el_status add_change(struct el_fold *fold, struct fold_change *c, struct el_err *err)
{
    struct fold_change **const changes = el_realloc_array(fold->changes, fold->n_changes + 1, sizeof *changes);
    if (changes)
        fold->changes = changes;
    if (!changes) {
        el_free(c->s);
        el_rotation_release(&c->q);
        el_free(c);
        return el_fold_no_memory(err);
    }
    fold->changes[fold->n_changes++] = c;
    c->by = fold->by;
    const struct el_fold_place *const p = &c->at->p;
    bool ok = true;
    for (size_t i = 0; i < p->n_producers; i++) {
        const struct el_fold_end *const end = &p->producers[i];
        const struct fold_op op = {c, end->rows_are_in ? FOLD_OUT_COLUMNS : FOLD_ROWS, end->row0, end->n_rows};
        ok = ok && add_op(&fold->tensors[end->tensor], op);
    }
    for (size_t i = 0; i < p->n_consumers; i++)
        ok = ok && add_op(&fold->tensors[p->consumers[i].tensor], (struct fold_op){c, FOLD_COLUMNS, 0, 0});
    return ok ? EL_OK : el_fold_no_memory(err);
}

/*
 * What is done to an input stands behind what links do: gains, then a rotation, is what a model file can say of it, and no link's
 * change can come in before.
 */
static enum el_status check_order(const struct el_fold *fold, const struct fold_place *at, struct el_err *err)
{
    const struct el_fold_place *const p = &at->p;
    for (size_t i = 0; i < p->n_consumers; i++) {
        const struct fold_tensor *const t = &fold->tensors[p->consumers[i].tensor];
        for (size_t k = 0; k < t->n_ops; k++)
            if (t->ops[k].change->at->p.input && (!p->input || t->ops[k].change->kind == EL_FOLD_ROTATE))
                return el_fail(err, EL_E_UNSUPPORTED, "%s: the input of '%s' is changed already, and that must come last",
                               p->name, p->consumers[i].name);
    }
    return EL_OK;
}

static enum el_status new_change(struct el_fold *fold, const struct el_fold_place *place, enum el_fold_kind kind,
                                 struct fold_change **out, struct el_err *err)
{
    const struct fold_place *const at = impl_of(fold, place);
    *out = NULL;
    if (!at->marked[kind] || !fold->base)
        return el_fail(err, EL_E_USAGE, "%s: no such change was marked there", place->name);
    EL_TRY(check_order(fold, at, err));
    *out = el_calloc_array(1, sizeof **out);
    if (!*out)
        return el_fold_no_memory(err);
    (*out)->kind = kind;
    (*out)->at = at;
    return EL_OK;
}

enum el_status el_fold_gain(struct el_fold *fold, const struct el_fold_place *place, const float *s, struct el_err *err)
{
    const size_t n = (size_t)(place->n_groups * place->n_channels);
    struct fold_change *c;
    for (size_t i = 0; i < n; i++)
        if (!isfinite(s[i]) || s[i] == 0.0f || (place->how & EL_C_POSITIVE && s[i] < 0.0f))
            return el_fail(err, EL_E_USAGE, "%s: gain %zu is %g, which cannot be divided by%s", place->name, i, (double)s[i],
                           place->how & EL_C_POSITIVE ? " (or is negative)" : "");
    EL_TRY(new_change(fold, place, EL_FOLD_GAIN, &c, err));
    c->s = el_alloc_array(n, sizeof *c->s);
    if (!c->s) {
        el_free(c);
        return el_fold_no_memory(err);
    }
    for (size_t i = 0; i < n; i++)
        c->s[i] = (double)s[i];
    return add_change(fold, c, err);
}

/* Moves the gain of a norm into what it feeds. */
static enum el_status move_gain(struct el_fold *fold, const struct el_fold_place *place, struct el_err *err)
{
    const struct el_fold_end *const norm = &place->producers[0];
    float *const gain = el_alloc_array((size_t)norm->n_rows, sizeof *gain);
    if (!gain)
        return el_fold_no_memory(err);
    enum el_status status = el_fold_rows(fold, norm, 0, 0, norm->n_rows, gain, err);
    for (uint64_t i = 0; i < norm->n_rows && status == EL_OK; i++)
        if (!isfinite(gain[i]) || gain[i] == 0.0f)
            status = el_fail(err, EL_E_UNSUPPORTED, "'%s': element %llu is %g: it cannot be moved into the matrices behind it",
                             norm->name, (unsigned long long)i, (double)gain[i]);
    if (status == EL_OK)
        status = el_fold_gain(fold, place, gain, err);
    el_free(gain);
    return status;
}

enum el_status el_fold_rotate(struct el_fold *fold, const struct el_fold_place *place, uint64_t seed, struct el_err *err)
{
    struct fold_change *c;
    if (place->how & EL_C_RESIDUAL)
        for (size_t i = 0; i < fold->n_places; i++)
            if (feeds_residual(&fold->places[i]))
                EL_TRY(move_gain(fold, &fold->places[i].p, err));
    EL_TRY(new_change(fold, place, EL_FOLD_ROTATE, &c, err));
    c->seed = seed;
    const enum el_status status = el_rotation_open(&c->q, place->head_n, !(place->how & EL_C_ROTATE), NULL, seed, err);
    if (status != EL_OK) {
        el_free(c);
        return status;
    }
    return add_change(fold, c, err);
}

/* ---- methods ---- */

enum el_status el_fold_decide(struct el_fold *fold, const struct el_fold_method *method, const struct el_fold_task *task,
                              struct el_err *err)
{
    fold->by = method->name;
    const enum el_status status = method->decide(task, err);
    fold->by = NULL;
    return status == EL_OK ? EL_OK : el_fail_prefix(err, status, "%s", method->name);
}

enum el_status el_fold_store(const struct el_fold *fold, struct el_meta *meta, struct el_err *err)
{
    enum { MOST = 192 };
    static const char key[] = "edgellm.folds";
    if (fold->n_changes == 0)
        return EL_OK;
    const size_t before = el_meta_find(meta, key);
    const bool has =
        before != SIZE_MAX && el_meta_type(meta, before) == EL_META_ARR && el_meta_elem_type(meta, before) == EL_META_STR;
    const size_t n_before = has ? el_meta_n_elems(meta, before) : 0, n = n_before + fold->n_changes;
    enum el_status status = EL_E_MEMORY;
    char *const text = el_alloc_array(fold->n_changes, MOST);
    const char **const rows = el_alloc_array(n, sizeof *rows);
    size_t *const nbytes = el_alloc_array(n, sizeof *nbytes);
    struct el_meta *const old = el_meta_copy(meta); /* its strings must outlive the array that they are in */
    if (!text || !rows || !nbytes || !old) {
        status = el_fold_no_memory(err);
        goto out;
    }
    for (size_t i = 0; i < n_before; i++)
        rows[i] = el_meta_str(old, before, i, &nbytes[i]);
    for (size_t i = 0; i < fold->n_changes; i++) {
        const struct fold_change *const c = fold->changes[i];
        const bool rotates = c->kind == EL_FOLD_ROTATE;
        char *const row = text + i * MOST, seed[32] = "";
        if (rotates)
            (void)snprintf(seed, sizeof seed, " seed %llu", (unsigned long long)c->seed);
        rows[n_before + i] = row;
        nbytes[n_before + i] =
            (size_t)snprintf(row, MOST, "%s %s %s%s", c->by ? c->by : "fold", rotates ? "rotate" : "gain", c->at->p.name, seed);
    }
    status = el_meta_set_str_array(meta, key, rows, nbytes, n, err);
out:
    el_meta_free(old);
    el_free(text);
    el_free(rows);
    el_free(nbytes);
    return status;
}
