/* See slice.h. */
#include "quant/slice.h"

#include "base/mem.h"

struct reading {
    struct el_fold *fold; /* NULL: the weights are quantized as they are */
    const char *name;     /* of the matrix, as the fold has it */
    const struct el_stats *stats;
    const struct el_stats_matrix *m;
    uint32_t expert;
    bool failed; /* a value cannot be */
};

static enum el_status read_hessian(void *user, uint64_t row0, uint64_t n_rows, double *out, struct el_err *err)
{
    struct reading *const r = user;
    const enum el_status status = el_fold_hessian(r->fold, r->stats, r->m, r->name, r->expert, row0, n_rows, out, err);
    r->failed = r->failed || status == EL_E_FORMAT;
    return status;
}

static enum el_status read_cross(void *user, uint64_t row0, uint64_t n_rows, double *out, struct el_err *err)
{
    struct reading *const r = user;
    const enum el_status status = el_fold_cross(r->fold, r->stats, r->m, r->name, row0, n_rows, out, err);
    r->failed = r->failed || status == EL_E_FORMAT;
    return status;
}

const char *el_weaker_text(enum el_weaker why)
{
    switch (why) {
    case EL_WEAKER_SUMS: return "the statistics are not finite: search";
    case EL_WEAKER_PRODUCTS: return "the sums of products are not finite: imatrix";
    case EL_WEAKER_SINGULAR: return "the sums of products are no sums of squares, however damped: imatrix";
    case EL_WEAKER_NONE: break;
    }
    return "";
}

bool el_slice_wanted(const struct el_plan_entry *entry)
{
    return entry->method && entry->stats;
}

/*
 * The sums of products of fewer tokens than columns have a rank below the number of columns: there are changes of a row that cost
 * nothing, and a method that looks for them finds what these tokens happened not to ask for. Measured on books-4m to Q3_K (256
 * columns, 768 in one matrix of seven; KLD on books_valid, 24 windows of 256): gptq 0.0379, 0.0375, 0.0347 and 0.0309 with 64,
 * 128, 256 and 512 tokens, imatrix 0.0345, 0.0354, 0.0353 and 0.0349.
 */
double el_slice_least(const struct el_method *method, uint64_t n_in)
{
    return method->needs_hessian ? (double)n_in : 1.0;
}

static const struct el_method *method_for(const struct el_method *method, double n_tokens, uint64_t n_in)
{
    if (n_tokens <= 0.0)
        return el_method_at(0);
    return n_tokens < el_slice_least(method, n_in) ? el_method_by_name("imatrix") : method;
}

/* Would this entry's slice be the one that is open? */
static bool is_open(const struct el_slice *s, const struct el_plan_entry *entry, uint32_t expert)
{
    return s->entry && s->expert == expert && s->entry->method == entry->method &&
           s->entry->stats->input == entry->stats->input && el_enc_equal(&s->entry->to, &entry->to);
}

static const char *name_of(const struct el_plan *plan, const struct el_plan_entry *entry)
{
    return plan->source->tensors[entry - plan->entries].name;
}

/* The importance of the columns; where it cannot be used, the method that needs none. */
static enum el_status read_importance(struct el_slice *s, const struct el_plan *plan, struct el_quant_columns *columns,
                                      struct el_err *err)
{
    const struct el_plan_entry *const entry = s->entry;
    enum el_status status = el_stats_count(plan->stats, entry->stats, s->expert, &columns->n_tokens, err);
    s->method = method_for(entry->method, columns->n_tokens, columns->n_in);
    if (status == EL_OK && s->method != el_method_at(0)) {
        s->importance = el_alloc_array((size_t)columns->n_in, sizeof *s->importance);
        if (!s->importance)
            return el_fail(err, EL_E_MEMORY, "pack: out of memory");
        status = el_fold_importance(plan->fold, plan->stats, entry->stats, name_of(plan, entry), s->expert, s->importance, err);
    }
    if (status == EL_E_FORMAT) {
        el_free(s->importance);
        s->importance = NULL;
        s->method = el_method_at(0);
        s->weaker = EL_WEAKER_SUMS;
        status = EL_OK;
    }
    columns->importance = s->importance;
    return status;
}

/* What the method makes of the columns; where it can make nothing of them, the method that needs only their importance. */
static enum el_status open_method(struct el_slice *s, const struct el_plan *plan, struct el_quant_columns *columns,
                                  struct el_err *err)
{
    const struct el_stats_matrix *const m = s->entry->stats;
    struct reading reading = {plan->fold, name_of(plan, s->entry), plan->stats, m, s->expert, false};
    columns->user = &reading;
    columns->hessian = m->has & EL_STATS_HESSIAN ? read_hessian : NULL;
    columns->cross = m->has & EL_STATS_CROSS && !plan->how.no_cross ? read_cross : NULL;
    enum el_status status = s->method->open(columns, &s->shared, err);
    if (status == EL_E_FORMAT) {
        s->method = el_method_by_name("imatrix");
        s->weaker = reading.failed ? EL_WEAKER_PRODUCTS : EL_WEAKER_SINGULAR;
        status = EL_OK;
    } else {
        s->damping = columns->damping;
    }
    return status;
}

static enum el_status open_new(struct el_slice *s, const struct el_plan *plan, uint64_t n_in, struct el_pool *pool,
                               struct el_err *err)
{
    struct el_quant_columns columns = {.enc = s->entry->to, .n_in = n_in, .opts = &plan->how, .pool = pool, .kept = s->kept};
    EL_TRY(read_importance(s, plan, &columns, err));
    return s->method->open ? open_method(s, plan, &columns, err) : EL_OK;
}

enum el_status el_slice_open(struct el_slice *s, const struct el_plan *plan, const struct el_plan_entry *entry, uint32_t expert,
                             uint64_t n_in, struct el_pool *pool, struct el_err *err)
{
    if (is_open(s, entry, expert))
        return EL_OK;
    el_slice_close(s);
    s->entry = entry;
    s->expert = expert;
    const enum el_status status = open_new(s, plan, n_in, pool, err);
    if (status != EL_OK)
        el_slice_close(s);
    return status;
}

void el_slice_close(struct el_slice *s)
{
    if (s->shared && s->method->close)
        s->method->close(s->shared);
    el_free(s->importance);
    *s = (struct el_slice){.kept = s->kept};
}
