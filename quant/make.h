/*
 * What a plan's entry makes of a tensor, or of some of its rows, in memory: for those who look at the outcome without writing
 * it. The numbers are those of packing: rows need nothing of each other once their slice is open.
 */
#ifndef EL_QUANT_MAKE_H
#define EL_QUANT_MAKE_H

#include "quant/slice.h"
#include "quant/solve.h"

/* A matrix (or rows of one) in an encoding. */
struct el_made {
    struct el_enc enc;
    uint64_t n_rows, n_in;
    uint32_t n_parts;
    struct el_part_shape parts[EL_MAX_PARTS];
    uint8_t *data[EL_MAX_PARTS]; /* into block */
    uint8_t *block;
    double sum_w2, sum_err2, sum_out2; /* as of struct el_quant_job, over all its rows */
};
/* EL_E_MEMORY, EL_E_USAGE: rows of n_in do not fit. */
enum el_status el_made_open(struct el_made *made, const struct el_enc *enc, uint64_t n_rows, uint64_t n_in, struct el_err *err);
void el_made_release(struct el_made *made);
struct el_matrix el_made_matrix(const struct el_made *made);

/* Matrices that a tensor is a stack of: what its method is opened for one by one. */
uint32_t el_make_n_experts(const struct el_tensor *t);

/*
 * out [n, n_in] = rows row[0..n) of the tensor, in the order of its source; row NULL: the n rows from row0 on. EL_E_FORMAT: a
 * value is not finite; EL_E_IO, EL_E_MEMORY.
 */
enum el_status el_make_read(struct el_source *source, const struct el_tensor *t, const uint64_t *row, uint64_t row0, uint64_t n,
                            float *out, struct el_err *err);
/* x [n, n_in], of the slice that is open (or of none), to rows at .. at + n of made, whose sums grow. All threads of the pool. */
enum el_status el_make_rows(const struct el_plan *plan, const struct el_plan_entry *entry, const struct el_slice *slice,
                            const float *x, uint64_t n, struct el_made *made, uint64_t at, struct el_pool *pool,
                            struct el_err *err);
/*
 * The factored sums of products of the input that was last asked for, for the next choice and the next matrix that reads it.
 * Starts as zeros; release it with el_solve_kept_release(&f->kept).
 */
struct el_make_factors {
    struct el_solve_kept kept;
    size_t input;
    uint32_t expert;
};
/* Those of this input and expert, for el_slice.kept; others are forgotten. NULL where m is. */
struct el_solve_kept *el_make_factors(struct el_make_factors *f, const struct el_stats_matrix *m, uint32_t expert);

/* The whole tensor. Its slices are opened one after the other. The messages name the tensor. */
enum el_status el_make_tensor(struct el_source *source, const struct el_plan *plan, size_t tensor,
                              struct el_make_factors *factors, struct el_made *made, struct el_pool *pool, struct el_err *err);

#endif
