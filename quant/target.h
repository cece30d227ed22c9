/*
 * Targets (edgellm.h, el_target_*): from a table of choices (quant/sensitivity.h) to plans, by the knapsack (quant/allocate.h).
 *
 * An item of the knapsack is a matrix, or a group of matrices that must share a type; its choices are the candidates that all of
 * them can be stored as and that floors and ceilings allow, and to leave them as they are. What a choice costs is what the target
 * limits. Of the bytes of files that is exact but for the padding of the header: a tensor's padded parts and its line in
 * edgellm.plan. All else of the files does not depend on the choices, is measured once by laying out one plan, and the plans that
 * come out are laid out again: a target is never exceeded.
 */
#ifndef EL_QUANT_TARGET_H
#define EL_QUANT_TARGET_H

#include "quant/allocate.h"
#include "quant/sensitivity.h"

/* The knapsack of a table. */
struct el_target_problem {
    struct el_sens *sens;
    const struct el_target *target;
    struct el_sink *sink;
    uint32_t *group;  /* [n_rows] item of the knapsack that a row belongs to */
    double *part;     /* [source->n_tensors] of its bytes that a token reads */
    uint8_t *allowed; /* [n_rows, n_columns + 1] may the row have it? The last: may it stay as it is? */
    size_t n_items;
    struct el_item *items;     /* [n_items] */
    struct el_choice *choices; /* of all items, one behind the other */
    uint32_t *columns;         /* of each choice: the candidate, or EL_SENS_KEEP */
};

/* Losses of cells that were not measured count as 0. EL_E_USAGE: a pattern, or a matrix that nothing is allowed for. */
enum el_status el_target_open(struct el_target_problem *p, struct el_sens *sens, struct el_sink *sink,
                              const struct el_target *target, struct el_err *err);
void el_target_close(struct el_target_problem *p);

#endif
