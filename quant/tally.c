/* See tally.h. */
#include "quant/tally.h"

#include <math.h>
#include <stdio.h>

#include "base/mem.h"

enum { KEY_WEIGHT, KEY_OUTPUT, KEY_DAMPING, KEY_WEAKER, N_KEYS };

static const char *const keys[N_KEYS] = {"edgellm.report.weight_error", "edgellm.report.output_error", "edgellm.report.damping",
                                         "edgellm.report.weaker"};

/* ---- to the caller ---- */

static void describe(const struct el_tally *t, char *out, size_t nbytes)
{
    const char *const why = el_weaker_text((enum el_weaker)t->why);
    if (t->n_parts > 1)
        (void)snprintf(out, nbytes, "%u of %u experts, the first is %u: %s", t->n_weaker, t->n_parts, t->first_weaker, why);
    else
        (void)snprintf(out, nbytes, "%s", why);
}

void el_tally_report(const struct el_tally *t, size_t i, bool resumed, el_pack_report_fn *fn, void *user)
{
    char fallback[160] = "";
    const struct el_pack_report report = {
        .row = i,
        .sum_w2 = t->sum_w2,
        .sum_err2 = t->sum_err2,
        .sum_out2 = t->n_known > 0 ? t->sum_out2 : (double)NAN,
        .sum_y2 = t->n_known > 0 ? t->sum_y2 : (double)NAN,
        .damping = t->damping,
        .n_nonfinite = t->n_nonfinite,
        .fallback = t->n_weaker > 0 ? fallback : NULL,
        .resumed = resumed,
    };
    if (t->n_weaker > 0)
        describe(t, fallback, sizeof fallback);
    if (fn)
        fn(user, &report);
}

/* ---- in the metadata ---- */

enum el_status el_report_open(struct el_report *r, const struct el_plan *plan, struct el_err *err)
{
    *r = (struct el_report){.n = plan->n};
    for (size_t i = 0; i < plan->n; i++)
        r->has_statistics = r->has_statistics || plan->entries[i].stats;
    r->weight = el_calloc_array(r->n, sizeof *r->weight);
    r->output = el_calloc_array(r->n, sizeof *r->output);
    r->damping = el_calloc_array(r->n, sizeof *r->damping);
    r->weaker = el_calloc_array(r->n, sizeof *r->weaker);
    return r->weight && r->output && r->damping && r->weaker ? EL_OK : el_fail(err, EL_E_MEMORY, "pack: out of memory");
}

void el_report_release(struct el_report *r)
{
    el_free(r->weight);
    el_free(r->output);
    el_free(r->damping);
    el_free(r->weaker);
    *r = (struct el_report){.n = 0};
}

static const void *values(const struct el_report *r, int key)
{
    switch (key) {
    case KEY_WEIGHT: return r->weight;
    case KEY_OUTPUT: return r->output;
    case KEY_DAMPING: return r->damping;
    default: return r->weaker;
    }
}

static int n_keys(const struct el_report *r)
{
    return r->has_statistics ? N_KEYS : KEY_WEIGHT + 1;
}

enum el_status el_report_declare(const struct el_report *r, struct el_meta *meta, struct el_err *err)
{
    for (int k = 0; k < n_keys(r); k++)
        EL_TRY(el_meta_set_array(meta, keys[k], k == KEY_WEAKER ? EL_META_U32 : EL_META_F32, values(r, k), r->n, err));
    return EL_OK;
}

void el_report_add(struct el_report *r, size_t i, const struct el_tally *t)
{
    r->weight[i] = t->sum_w2 > 0.0 ? (float)sqrt(t->sum_err2 / t->sum_w2) : 0.0f;
    /* Sums that cancel may end a little below zero. */
    r->output[i] = t->n_known > 0 && t->sum_y2 > 0.0 ? (float)sqrt(fmax(t->sum_out2, 0.0) / t->sum_y2) : (float)NAN;
    r->damping[i] = (float)t->damping;
    r->weaker[i] = t->n_weaker;
}

enum el_status el_report_write(const struct el_report *r, struct el_sink *sink, struct el_err *err)
{
    for (int k = 0; k < n_keys(r); k++)
        EL_TRY(sink->ops->set_array(sink, keys[k], values(r, k), r->n * 4, err));
    return EL_OK;
}

void el_report_remove(struct el_meta *meta)
{
    for (int k = 0; k < N_KEYS; k++)
        el_meta_remove(meta, keys[k]);
}
