/*
 * Slices: a matrix, or one expert's part of it, with what its method was told of the columns. One is open at a time.
 */
#ifndef EL_QUANT_SLICE_H
#define EL_QUANT_SLICE_H

#include "quant/plan.h"

/* Why a slice has a weaker method than the plan could know. */
enum el_weaker { EL_WEAKER_NONE, EL_WEAKER_SUMS, EL_WEAKER_PRODUCTS, EL_WEAKER_SINGULAR };

struct el_slice {
    const struct el_plan_entry *entry; /* NULL: none is open */
    const struct el_method *method;    /* of this slice: that of the entry, or a weaker one */
    enum el_weaker weaker;             /* not NONE: it is weaker for a reason that the plan does not know */
    uint32_t expert;
    float *importance; /* [n_in] or NULL */
    void *shared;
    double damping;
    struct el_solve_kept *kept; /* NULL, or the caller's, of this input and expert; stays through opening and closing */
};

/* "the sums of products are not finite: imatrix" */
const char *el_weaker_text(enum el_weaker why);

/* Has the entry slices that must be opened? Else its strips need nothing but rows. */
bool el_slice_wanted(const struct el_plan_entry *entry);
/*
 * Tokens that a method wants to have seen of n_in columns: with fewer, but some, imatrix is the better one; with none at all,
 * what needs no statistics.
 */
double el_slice_least(const struct el_method *method, uint64_t n_in);
/*
 * Opens what expert `expert` (0 without experts) of the entry needs, with all threads of the pool. Matrices of one input and one
 * encoding that follow one another share it. Statistics that cannot be used are no error: the slice gets a weaker method, and
 * says why. The messages name no tensor.
 */
enum el_status el_slice_open(struct el_slice *s, const struct el_plan *plan, const struct el_plan_entry *entry, uint32_t expert,
                             uint64_t n_in, struct el_pool *pool, struct el_err *err);
void el_slice_close(struct el_slice *s);

#endif
