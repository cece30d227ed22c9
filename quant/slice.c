/* See slice.h. */
#include "quant/slice.h"

#include "base/mem.h"

struct reading {
    const struct el_stats *stats;
    const struct el_stats_matrix *m;
    uint32_t expert;
};

static enum el_status read_hessian(void *user, uint64_t row0, uint64_t n_rows, double *out, struct el_err *err)
{
    const struct reading *const r = user;
    return el_stats_hessian(r->stats, r->m, r->expert, row0, n_rows, out, err);
}

static enum el_status read_cross(void *user, uint64_t row0, uint64_t n_rows, double *out, struct el_err *err)
{
    const struct reading *const r = user;
    return el_stats_cross(r->stats, r->m, row0, n_rows, out, err);
}

bool el_slice_wanted(const struct el_plan_entry *entry)
{
    return entry->method && entry->stats;
}

/* Would this entry's slice be the one that is open? */
static bool is_open(const struct el_slice *s, const struct el_plan_entry *entry, uint32_t expert)
{
    return s->entry && s->expert == expert && s->entry->method == entry->method &&
           s->entry->stats->input == entry->stats->input && el_enc_equal(&s->entry->to, &entry->to);
}

enum el_status el_slice_open(struct el_slice *s, const struct el_plan *plan, const struct el_plan_entry *entry, uint32_t expert,
                             uint64_t n_in, struct el_pool *pool, struct el_err *err)
{
    if (is_open(s, entry, expert))
        return EL_OK;
    el_slice_close(s);
    struct reading reading = {plan->stats, entry->stats, expert};
    struct el_quant_columns columns = {
        .enc = entry->to, .n_in = n_in, .user = &reading, .opts = &plan->how, .pool = pool, .kept = s->kept};
    s->method = entry->method;
    EL_TRY(el_stats_count(plan->stats, entry->stats, expert, &columns.n_tokens, err));
    if (columns.n_tokens > 0.0) {
        s->importance = el_alloc_array((size_t)n_in, sizeof *s->importance);
        if (!s->importance)
            return el_fail(err, EL_E_MEMORY, "pack: out of memory");
        EL_TRY(el_stats_importance(plan->stats, entry->stats, expert, s->importance, err));
        columns.importance = s->importance;
        if (entry->stats->has & EL_STATS_HESSIAN)
            columns.hessian = read_hessian;
        if (entry->stats->has & EL_STATS_CROSS && !plan->how.no_cross)
            columns.cross = read_cross;
        if (s->method->open)
            EL_TRY(s->method->open(&columns, &s->shared, err));
        s->damping = columns.damping;
    } else {
        s->method = el_method_at(0);
    }
    s->entry = entry;
    s->expert = expert;
    return EL_OK;
}

void el_slice_close(struct el_slice *s)
{
    if (s->shared && s->method->close)
        s->method->close(s->shared);
    el_free(s->importance);
    *s = (struct el_slice){.kept = s->kept};
}
