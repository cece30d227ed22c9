/*
 * Slices: a matrix, or one expert's part of it, with what its method was told of the columns. One is open at a time.
 */
#ifndef EL_QUANT_SLICE_H
#define EL_QUANT_SLICE_H

#include "quant/plan.h"

struct el_slice {
    const struct el_plan_entry *entry; /* NULL: none is open */
    const struct el_method *method;    /* of this slice: that of the entry, or a weaker one where no token was seen */
    uint32_t expert;
    float *importance; /* [n_in] or NULL */
    void *shared;
    double damping;
    struct el_solve_kept *kept; /* NULL, or the caller's, of this input and expert; stays through opening and closing */
};

/* Has the entry slices that must be opened? Else its strips need nothing but rows. */
bool el_slice_wanted(const struct el_plan_entry *entry);
/* Opens what expert `expert` (0 without experts) of the entry needs, with all threads of the pool. Matrices of one input and one
 * encoding that follow one another share it. The messages name no tensor. */
enum el_status el_slice_open(struct el_slice *s, const struct el_plan *plan, const struct el_plan_entry *entry, uint32_t expert,
                             uint64_t n_in, struct el_pool *pool, struct el_err *err);
void el_slice_close(struct el_slice *s);

#endif
