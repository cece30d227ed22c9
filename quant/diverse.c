/* See diverse.h. */
#include "quant/diverse.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"

enum { TRIES_PER_PLAN = 8 };
static const double USUAL_PENALTY = 0.1;

struct problem {
    const struct el_item *items; /* as given */
    size_t n;
    struct el_item *copy; /* [n], with penalties */
    struct el_choice *choices;
};

static enum el_status copy_items(struct problem *p, struct el_err *err)
{
    size_t total = 0, at = 0;
    for (size_t i = 0; i < p->n; i++)
        total += p->items[i].n;
    p->copy = el_alloc_array(p->n, sizeof *p->copy);
    p->choices = el_alloc_array(total, sizeof *p->choices);
    if (!p->copy || !p->choices)
        return el_fail(err, EL_E_MEMORY, "out of memory for an allocation");
    for (size_t i = 0; i < p->n; i++) {
        memcpy(p->choices + at, p->items[i].choices, p->items[i].n * sizeof *p->choices);
        p->copy[i] = (struct el_item){p->choices + at, p->items[i].n};
        at += p->items[i].n;
    }
    return EL_OK;
}

static void penalise(const struct problem *p, const uint32_t *choice, double penalty)
{
    for (size_t i = 0, at = 0; i < p->n; at += p->items[i++].n)
        p->choices[at + choice[i]].loss *= 1.0 + penalty;
}

static bool is_new(const struct problem *p, const uint32_t *choice, size_t n_found)
{
    for (size_t k = 0; k < n_found; k++)
        if (memcmp(choice + k * p->n, choice + n_found * p->n, p->n * sizeof *choice) == 0)
            return false;
    return true;
}

static void count(const struct problem *p, const uint32_t *choice, struct el_allocation *a)
{
    a->cost = a->loss = 0.0;
    for (size_t i = 0; i < p->n; i++) {
        a->cost += p->items[i].choices[choice[i]].cost;
        a->loss += p->items[i].choices[choice[i]].loss;
    }
}

enum el_status el_allocate_diverse(const struct el_item *items, size_t n, double budget, size_t n_plans, double penalty,
                                   uint32_t *choice, struct el_allocation *out, size_t *n_found, struct el_err *err)
{
    struct problem p = {.items = items, .n = n};
    struct el_allocation found;
    enum el_status status = copy_items(&p, err);
    *n_found = 0;
    for (size_t t = 0; t < n_plans * TRIES_PER_PLAN && *n_found < n_plans && status == EL_OK; t++) {
        uint32_t *const next = choice + *n_found * n;
        status = el_allocate(p.copy, n, budget, NULL, next, &found, err);
        if (status != EL_OK)
            break;
        penalise(&p, next, penalty > 0.0 ? penalty : USUAL_PENALTY);
        if (!is_new(&p, choice, *n_found))
            continue;
        count(&p, next, &found);
        if (*n_found > 0) /* these are of the problem with penalties */
            found.bound = found.lambda = (double)NAN;
        if (out)
            out[*n_found] = found;
        ++*n_found;
    }
    el_free(p.copy);
    el_free(p.choices);
    return status;
}

double el_kendall_tau(const double *x, const double *y, size_t n)
{
    double agree = 0.0, x_differ = 0.0, y_differ = 0.0;
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < i; j++) {
            const int a = (x[i] > x[j]) - (x[i] < x[j]), b = (y[i] > y[j]) - (y[i] < y[j]);
            agree += a * b;
            x_differ += a != 0;
            y_differ += b != 0;
        }
    return agree / sqrt(x_differ * y_differ);
}
