/*
 * The multiple-choice knapsack problem (Sinha and Zoltners, Oper. Res. 27, 1979): of every item exactly one choice,
 *
 *     minimise sum loss[i][c_i]   such that   sum cost[i][c_i] <= budget.
 *
 * Items are tensors (or groups of tensors that share a type), choices their encodings and methods, costs bytes and losses a
 * sensitivity; or the other way round, for the smallest file within a loss. Nothing here knows what they are.
 */
#ifndef EL_QUANT_ALLOCATE_H
#define EL_QUANT_ALLOCATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct el_choice {
    double cost, loss; /* finite; cost >= 0 */
};
struct el_item {
    const struct el_choice *choices;
    uint32_t n; /* at least 1 */
};

/* What may be spent on being exact. */
struct el_allocate_opts {
    uint64_t max_states; /* partial solutions looked at; 0: 2^22, about 0.3 s */
};

struct el_allocation {
    double cost, loss; /* sums in the order of the items */
    double bound;      /* no solution has less loss */
    double lambda; /* loss that one more unit of cost saves, at the optimum of the Lagrangian; 0 where the budget binds nothing */
    bool exact;    /* every partial solution that could be better was looked at: loss is the least, to rounding */
    uint64_t n_states; /* that were looked at */
};

/*
 * choice [n] = the chosen index of every item, of equal losses any, but always the same. Exact: a Lagrangian bound from the
 * fractional problem, then dynamic programming over items by how little leaving their Lagrangian choice costs, in lists of
 * undominated partial solutions, each discarded by its bound (the minimal algorithm of Pisinger, Eur. J. Oper. Res. 83, 1995).
 * EL_E_USAGE: not even the cheapest choices fit; *out then has their cost. EL_E_MEMORY. Any thread.
 */
enum el_status el_allocate(const struct el_item *items, size_t n, double budget, const struct el_allocate_opts *opts,
                           uint32_t *choice, struct el_allocation *out, struct el_err *err);

#endif
