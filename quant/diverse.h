/*
 * Several good solutions of one knapsack that differ: a predicted loss is not the true one, and of a few near-optimal plans that
 * are measured, the best is better than the one that was predicted best.
 */
#ifndef EL_QUANT_DIVERSE_H
#define EL_QUANT_DIVERSE_H

#include "quant/allocate.h"

/*
 * choice [n_plans, n]: the first is el_allocate's; each further one is that of the problem in which every choice that one before
 * it made costs its loss times 1 + penalty more, once for each (penalty 0: 0.1). Solutions met before are dropped, so
 * *n_found <= n_plans. out [n_plans] (may be NULL): cost and loss by the unpenalised numbers. Deterministic. EL_E_USAGE: nothing
 * fits. EL_E_MEMORY.
 */
enum el_status el_allocate_diverse(const struct el_item *items, size_t n, double budget, size_t n_plans, double penalty,
                                   uint32_t *choice, struct el_allocation *out, size_t *n_found, struct el_err *err);

/* Kendall's tau-b of x and y [n], ties counted as such; NaN when either is constant. O(n^2). */
double el_kendall_tau(const double *x, const double *y, size_t n);

#endif
