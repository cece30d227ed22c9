/*
 * See allocate.h. At the multiplier lambda of the fractional problem every item has a choice ("star") of least
 * loss + lambda cost, and every other choice a price: how much more it has of that. A solution's loss is
 *
 *     bound + sum of prices + lambda (budget - cost),       bound = sum of the stars' (loss + lambda cost) - lambda budget
 *
 * so that a partial solution whose prices reach the gap between the best loss known and the bound can be forgotten. Few choices
 * have prices within the gap, and the gap closes fast.
 */
#include "quant/allocate.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

enum { MAX_STATES = 1 << 22 };

/* A step of the fractional problem: item `item` from its choice `from` to `to`, which saves most loss per cost next. */
struct step {
    double slope;
    uint32_t item, from, to;
};

/* A choice other than the star, within the gap. */
struct other {
    double price, cost, loss; /* cost and loss less the star's */
    uint32_t item, choice;
};

/* A partial solution: the choices that differ from the stars are a list. */
struct state {
    double cost, loss, price;
    uint32_t node; /* NONE: all stars */
};
struct node {
    uint32_t before, item, choice;
};
static const uint32_t NONE = UINT32_MAX;

struct search {
    const struct el_item *items;
    size_t n;
    double budget;
    double lambda, bound, best; /* best: least loss that is known to fit */
    uint32_t *star;             /* [n] */
    uint32_t *choice;           /* [n] of the best */
    struct step *steps;
    size_t n_steps;
    struct other *others; /* sorted by item, and items by their least price */
    size_t n_others;
    struct state *states, *next; /* by rising cost and falling loss */
    size_t n_states;
    struct node *nodes;
    size_t n_nodes, cap;
    uint64_t looked_at, max_states;
    double forgotten; /* least bound of what was given up without a reason; INFINITY: nothing */
};

/* ---- the fractional problem ---- */

struct by_cost {
    double cost, loss;
    uint32_t choice;
};

static int compare_costs(const void *a, const void *b)
{
    const struct by_cost *const x = a, *const y = b;
    if (x->cost != y->cost)
        return x->cost < y->cost ? -1 : 1;
    if (x->loss != y->loss)
        return x->loss < y->loss ? -1 : 1;
    return x->choice < y->choice ? -1 : 1;
}

/* Steepest first; of equally steep ones those of one item stay in their order. */
static int compare_steps(const void *a, const void *b)
{
    const struct step *const x = a, *const y = b;
    if (x->slope != y->slope)
        return x->slope > y->slope ? -1 : 1;
    if (x->item != y->item)
        return x->item < y->item ? -1 : 1;
    return x->to == y->from ? -1 : x->from == y->to ? 1 : 0;
}

/* The lower convex hull of one item's choices over cost: steps with falling slopes. sorted [items[i].n] is scratch. */
static void add_hull(struct search *s, uint32_t i, struct by_cost *sorted)
{
    const struct el_item *const item = &s->items[i];
    uint32_t n = 0;
    for (uint32_t c = 0; c < item->n; c++)
        sorted[c] = (struct by_cost){item->choices[c].cost, item->choices[c].loss, c};
    qsort(sorted, item->n, sizeof *sorted, compare_costs);
    for (uint32_t c = 0; c < item->n; c++) {
        const struct by_cost x = sorted[c];
        if (n > 0 && x.loss >= sorted[n - 1].loss)
            continue;
        /* The last one goes while it lies on or above the line from the one before it. */
        while (n > 1) {
            const struct by_cost *const p = &sorted[n - 2], *const q = &sorted[n - 1];
            if ((p->loss - q->loss) * (x.cost - q->cost) > (q->loss - x.loss) * (q->cost - p->cost))
                break;
            n--;
        }
        sorted[n++] = x;
    }
    s->star[i] = sorted[0].choice;
    for (uint32_t k = 1; k < n; k++)
        s->steps[s->n_steps++] = (struct step){(sorted[k - 1].loss - sorted[k].loss) / (sorted[k].cost - sorted[k - 1].cost), i,
                                               sorted[k - 1].choice, sorted[k].choice};
}

/* Takes steps while they fit: lambda is the slope of the first that does not. */
static void take_steps(struct search *s, double cost)
{
    qsort(s->steps, s->n_steps, sizeof *s->steps, compare_steps);
    s->lambda = 0.0;
    for (size_t k = 0; k < s->n_steps; k++) {
        const struct step *const step = &s->steps[k];
        const struct el_choice *const c = s->items[step->item].choices;
        const double more = c[step->to].cost - c[step->from].cost;
        if (cost + more > s->budget) {
            s->lambda = step->slope;
            return;
        }
        cost += more;
        s->star[step->item] = step->to;
    }
}

static void sum_of(const struct search *s, const uint32_t *choice, double *cost, double *loss)
{
    *cost = *loss = 0.0;
    for (size_t i = 0; i < s->n; i++) {
        *cost += s->items[i].choices[choice[i]].cost;
        *loss += s->items[i].choices[choice[i]].loss;
    }
}

/* A first solution: the stars, and then every step that still fits. A step past one that did not fit begins where the item is. */
static void fill_up(struct search *s)
{
    double cost, loss;
    memcpy(s->choice, s->star, s->n * sizeof *s->choice);
    sum_of(s, s->choice, &cost, &loss);
    for (size_t k = 0; k < s->n_steps; k++) {
        const struct step *const step = &s->steps[k];
        const struct el_choice *const c = s->items[step->item].choices, *const to = &c[step->to],
                                      *const from = &c[s->choice[step->item]];
        if (to->loss >= from->loss || cost - from->cost + to->cost > s->budget)
            continue;
        cost += to->cost - from->cost;
        s->choice[step->item] = step->to;
    }
    sum_of(s, s->choice, &cost, &s->best);
}

/* ---- the choices within the gap ---- */

static int compare_others(const void *a, const void *b)
{
    const struct other *const x = a, *const y = b;
    if (x->price != y->price)
        return x->price < y->price ? -1 : 1;
    if (x->item != y->item)
        return x->item < y->item ? -1 : 1;
    return x->choice < y->choice ? -1 : x->choice > y->choice;
}

/* Sorts by price, then gathers those of an item where its first one stands. order [n_others], at [n] are scratch. */
static enum el_status find_others(struct search *s, struct el_err *err)
{
    size_t n = 0;
    for (uint32_t i = 0; i < s->n; i++) {
        const struct el_choice *const c = s->items[i].choices, *const star = &c[s->star[i]];
        for (uint32_t k = 0; k < s->items[i].n; k++) {
            const double cost = c[k].cost - star->cost, loss = c[k].loss - star->loss, price = loss + s->lambda * cost;
            if (k != s->star[i] && s->bound + price < s->best)
                s->others[n++] = (struct other){price > 0.0 ? price : 0.0, cost, loss, i, k};
        }
    }
    s->n_others = n;
    if (n == 0)
        return EL_OK;
    qsort(s->others, n, sizeof *s->others, compare_others);
    size_t *const first = el_alloc_array(s->n, sizeof *first), *const link = el_alloc_array(n, sizeof *link);
    struct other *const sorted = el_alloc_array(n, sizeof *sorted);
    const bool ok = first && link && sorted;
    if (ok) {
        size_t at = 0;
        memcpy(sorted, s->others, n * sizeof *sorted);
        for (size_t i = 0; i < s->n; i++)
            first[i] = SIZE_MAX;
        for (size_t k = n; k-- > 0;) {
            link[k] = first[sorted[k].item];
            first[sorted[k].item] = k;
        }
        for (size_t k = 0; k < n; k++)
            if (first[sorted[k].item] == k)
                for (size_t m = k; m != SIZE_MAX; m = link[m])
                    s->others[at++] = sorted[m];
    }
    el_free(first);
    el_free(link);
    el_free(sorted);
    return ok ? EL_OK : el_fail(err, EL_E_MEMORY, "allocate: out of memory");
}

/* ---- dynamic programming ---- */

static bool grow(struct search *s, size_t n)
{
    if (n <= s->cap)
        return true;
    const size_t cap = n > 2 * s->cap ? n : 2 * s->cap;
    struct state *const a = el_realloc_array(s->states, cap, sizeof *a);
    s->states = a ? a : s->states;
    struct state *const b = el_realloc_array(s->next, cap, sizeof *b);
    s->next = b ? b : s->next;
    s->cap = a && b ? cap : s->cap;
    return a && b;
}

/* The best so far is these choices. */
static void keep(struct search *s, const struct state *state)
{
    double cost;
    uint32_t *const choice = s->choice;
    memcpy(choice, s->star, s->n * sizeof *choice);
    for (uint32_t at = state->node; at != NONE; at = s->nodes[at].before)
        choice[s->nodes[at].item] = s->nodes[at].choice;
    sum_of(s, choice, &cost, &s->best);
}

/*
 * out = states and states changed by o, in order, without those that another has less cost and loss than. Both lists are sorted:
 * a merge. Nodes are made for what stays.
 */
static bool merge(struct search *s, const struct other *o, const struct state *base, size_t n_base, size_t *n_out)
{
    size_t a = 0, b = 0, n = 0;
    while (a < s->n_states || b < n_base) {
        struct state x;
        bool changed = a == s->n_states;
        if (a < s->n_states && b < n_base) {
            const double cost = base[b].cost + o->cost, loss = base[b].loss + o->loss;
            changed = cost < s->states[a].cost || (cost == s->states[a].cost && loss < s->states[a].loss);
        }
        if (changed)
            x = (struct state){base[b].cost + o->cost, base[b].loss + o->loss, base[b].price + o->price, base[b].node};
        else
            x = s->states[a];
        a += !changed;
        b += changed;
        s->looked_at++;
        if ((n > 0 && x.loss >= s->next[n - 1].loss) || s->bound + x.price >= s->best)
            continue;
        if (changed) {
            if (s->n_nodes % 4096 == 0) {
                struct node *const more =
                    s->n_nodes < NONE - 4096 ? el_realloc_array(s->nodes, s->n_nodes + 4096, sizeof *more) : NULL;
                if (!more)
                    return false;
                s->nodes = more;
            }
            s->nodes[s->n_nodes] = (struct node){x.node, o->item, o->choice};
            x.node = (uint32_t)s->n_nodes++;
        }
        s->next[n++] = x;
    }
    *n_out = n;
    return true;
}

/* All that the item of others[k0 .. k1) may add. */
static enum el_status take_item(struct search *s, size_t k0, size_t k1, struct el_err *err)
{
    const size_t n_base = s->n_states;
    struct state *const base = el_alloc_array(n_base, sizeof *base);
    if (!base)
        return el_fail(err, EL_E_MEMORY, "allocate: out of memory");
    memcpy(base, s->states, n_base * sizeof *base);
    bool ok = true;
    for (size_t k = k0; k < k1 && ok; k++) {
        size_t n = 0;
        ok = grow(s, s->n_states + n_base) && merge(s, &s->others[k], base, n_base, &n);
        if (!ok)
            break;
        struct state *const swap = s->states;
        s->states = s->next;
        s->next = swap;
        s->n_states = n;
    }
    el_free(base);
    if (!ok)
        return el_fail(err, EL_E_MEMORY, "allocate: out of memory for %zu partial solutions", s->n_states);
    /* Losses fall with the cost: the last that fits is the best of those that do. */
    size_t fits = s->n_states;
    while (fits > 0 && s->states[fits - 1].cost > s->budget)
        fits--;
    if (fits > 0 && s->states[fits - 1].loss < s->best)
        keep(s, &s->states[fits - 1]);
    return EL_OK;
}

static enum el_status search(struct search *s, struct el_err *err)
{
    if (!grow(s, 16))
        return el_fail(err, EL_E_MEMORY, "allocate: out of memory");
    struct state *const first = &s->states[0];
    *first = (struct state){.node = NONE};
    sum_of(s, s->star, &first->cost, &first->loss);
    s->n_states = 1;
    for (size_t k = 0, end; k < s->n_others; k = end) {
        for (end = k + 1; end < s->n_others && s->others[end].item == s->others[k].item; end++)
            ;
        /* Items come by their least price: from here on none can gain. */
        if (s->bound + s->others[k].price >= s->best)
            break;
        if (s->looked_at + (end - k) * 2 * s->n_states > s->max_states) {
            for (size_t i = 0; i < s->n_states; i++)
                s->forgotten = fmin(s->forgotten, s->bound + s->states[i].price);
            break;
        }
        EL_TRY(take_item(s, k, end, err));
    }
    return EL_OK;
}

/* ---- */

static enum el_status solve(struct search *s, struct el_allocation *out, struct el_err *err)
{
    struct by_cost *sorted = NULL;
    size_t n_choices = 0, widest = 0;
    for (size_t i = 0; i < s->n; i++) {
        n_choices += s->items[i].n;
        widest = s->items[i].n > widest ? s->items[i].n : widest;
    }
    enum el_status status = EL_OK;
    s->steps = el_alloc_array(n_choices, sizeof *s->steps);
    s->others = el_alloc_array(n_choices, sizeof *s->others);
    s->star = el_alloc_array(s->n, sizeof *s->star);
    sorted = el_alloc_array(widest, sizeof *sorted);
    if (!s->steps || !s->others || !s->star || !sorted) {
        status = el_fail(err, EL_E_MEMORY, "allocate: out of memory for %zu choices", n_choices);
        goto out;
    }
    for (uint32_t i = 0; i < s->n; i++)
        add_hull(s, i, sorted);
    sum_of(s, s->star, &out->cost, &out->loss);
    if (out->cost > s->budget) {
        status = el_fail(err, EL_E_USAGE, "the budget is %.17g, and the cheapest choices are %.17g", s->budget, out->cost);
        goto out;
    }
    take_steps(s, out->cost);
    double cost, loss;
    sum_of(s, s->star, &cost, &loss);
    s->bound = loss - s->lambda * (s->budget - cost);
    fill_up(s);
    EL_TRY_OUT(find_others(s, err));
    EL_TRY_OUT(search(s, err));
    sum_of(s, s->choice, &out->cost, &out->loss);
    out->lambda = s->lambda;
    out->exact = !(s->forgotten < out->loss);
    out->bound = out->exact ? out->loss : s->forgotten;
    out->n_states = s->looked_at;
out:
    el_free(s->steps);
    el_free(s->others);
    el_free(s->star);
    el_free(sorted);
    el_free(s->states);
    el_free(s->next);
    el_free(s->nodes);
    return status;
}

enum el_status el_allocate(const struct el_item *items, size_t n, double budget, const struct el_allocate_opts *opts,
                           uint32_t *choice, struct el_allocation *out, struct el_err *err)
{
    *out = (struct el_allocation){.exact = true};
    for (size_t i = 0; i < n; i++)
        for (uint32_t k = 0; k < items[i].n; k++)
            if (!isfinite(items[i].choices[k].cost) || !isfinite(items[i].choices[k].loss) || items[i].choices[k].cost < 0.0)
                return el_fail(err, EL_E_USAGE, "choice %u of item %zu has cost %g and loss %g: must be finite, costs from 0", k,
                               i, items[i].choices[k].cost, items[i].choices[k].loss);
    if (n == 0)
        return EL_OK;
    struct search s = {.items = items,
                       .n = n,
                       .budget = budget,
                       .choice = choice,
                       .max_states = opts && opts->max_states > 0 ? opts->max_states : MAX_STATES,
                       .forgotten = INFINITY};
    return solve(&s, out, err);
}
