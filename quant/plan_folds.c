/* Methods that are several: "awq+gptq" changes the model, then chooses codes. */
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "quant/plan.h"

static enum el_status unknown(const char *name, size_t n, struct el_err *err)
{
    struct el_buf known;
    el_buf_init(&known);
    for (size_t i = 0; el_method_at(i); i++)
        el_buf_addf(&known, "%s%s", i ? ", " : "", el_method_at(i)->name);
    el_buf_addf(&known, ", and before one of them with a '+'");
    for (size_t i = 0; el_fold_method_at(i); i++)
        el_buf_addf(&known, "%s %s", i ? "," : "", el_fold_method_at(i)->name);
    const enum el_status status =
        el_fail(err, EL_E_USAGE, "unknown method '%.*s', known are %s", n > 64 ? 64 : (int)n, name, known.data);
    el_buf_release(&known);
    return status;
}

enum el_status el_plan_parse_method(const char *text, struct el_plan *plan, const struct el_method **method, struct el_err *err)
{
    char name[32];
    *method = NULL;
    for (const char *at = text;; at++) {
        const size_t n = strcspn(at, "+");
        const bool last = at[n] == '\0';
        const size_t n_name = n < sizeof name - 1 ? n : sizeof name - 1;
        memcpy(name, at, n_name);
        name[n_name] = '\0';
        const struct el_fold_method *const fold = el_fold_method_by_name(name);
        *method = fold || !last ? NULL : el_method_by_name(name);
        if (!fold && !last && el_method_by_name(name))
            return el_fail(err, EL_E_USAGE, "method '%.64s': '%s' chooses codes, which is the last that is done", text, name);
        if (!fold && !*method)
            return unknown(at, n, err);
        if (fold && plan->n_folds == EL_PLAN_MAX_FOLDS)
            return el_fail(err, EL_E_USAGE, "method '%.64s': more than %d methods before the last", text, EL_PLAN_MAX_FOLDS);
        if (fold)
            plan->folds[plan->n_folds++] = fold;
        at += n;
        if (last)
            break;
    }
    if (!*method)
        *method = el_method_by_name(plan->folds[plan->n_folds - 1]->then);
    return EL_OK;
}

enum el_status el_plan_mark(struct el_plan *plan, const struct el_method_opts *opts, struct el_err *err)
{
    EL_TRY(el_fold_open(plan->base, &plan->fold, err));
    for (size_t i = 0; i < plan->n_folds; i++) {
        const enum el_status status = plan->folds[i]->mark(plan->fold, opts, err);
        if (status != EL_OK)
            return el_fail_prefix(err, status, "%s", plan->folds[i]->name);
    }
    plan->source = el_fold_source(plan->fold);
    return EL_OK;
}

enum el_status el_plan_decide(const struct el_plan *plan, struct el_source *base, struct el_pool *pool, struct el_err *err)
{
    struct el_enc *const enc = el_calloc_array(plan->n, sizeof *enc);
    if (!enc)
        return el_fail(err, EL_E_MEMORY, "plan: out of memory");
    for (size_t i = 0; i < plan->n; i++)
        if (plan->entries[i].method)
            enc[i] = plan->entries[i].to;
    const struct el_fold_task task = {plan->fold, plan->stats, enc, &plan->how, pool};
    enum el_status status = EL_OK;
    el_fold_bind(plan->fold, base);
    for (size_t i = 0; i < plan->n_folds && status == EL_OK; i++)
        status = el_fold_decide(plan->fold, plan->folds[i], &task, err);
    el_free(enc);
    return status;
}
