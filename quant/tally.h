/*
 * What packing finds out of a tensor, added up strip by strip in their order, and how it is told: to the caller, and in the
 * metadata of the file.
 *
 * The metadata is written before the tensors, so the numbers go into arrays of known length that are declared as zeros and
 * replaced at the end (el_sink_ops.set_array): nothing else moves. One element for each line of edgellm.plan:
 *
 *   edgellm.report.weight_error f32   sqrt(sum (w - w')^2 / sum w^2)
 * and where statistics were read
 *   edgellm.report.output_error f32   sqrt(tr((W - W') H (W - W')^T) / tr(W H W^T)), H the sums of products of the inputs; NaN:
 *                                     the method does not know it
 *   edgellm.report.damping      f32   the most that was added to a Hessian's diagonal, as part of its mean; 0: none
 *   edgellm.report.weaker       u32   parts (the matrix, or experts' parts) with a weaker method than the plan says, as their
 *                                     statistics were not finite or no sums of squares
 *
 * Nothing of it depends on threads, CPU level or time.
 */
#ifndef EL_QUANT_TALLY_H
#define EL_QUANT_TALLY_H

#include "quant/plan.h"
#include "quant/slice.h"

/* Of one tensor. Plain bytes: they are kept as they are in the state of a run. */
struct el_tally {
    double sum_w2, sum_err2, sum_out2, sum_y2, damping;
    uint64_t n_nonfinite;
    uint64_t n_known; /* strips whose sum_out2 is known; the others are in neither sum_out2 nor sum_y2 */
    uint32_t n_weaker, first_weaker;
    uint32_t why, n_parts; /* enum el_weaker of the first of them; the tensor's experts, or 1 */
};

/* Tells the caller; i is the tensor's number in the plan. */
void el_tally_report(const struct el_tally *t, size_t i, bool resumed, el_pack_report_fn *fn, void *user);

struct el_report {
    float *weight, *output, *damping; /* [n] */
    uint32_t *weaker;
    size_t n;
    bool has_statistics;
};

/* Metadata of a plan, all zeros. EL_E_MEMORY. */
enum el_status el_report_open(struct el_report *r, const struct el_plan *plan, struct el_err *err);
void el_report_release(struct el_report *r);
/* Sets the arrays in the metadata. */
enum el_status el_report_declare(const struct el_report *r, struct el_meta *meta, struct el_err *err);
void el_report_add(struct el_report *r, size_t i, const struct el_tally *t);
/* Replaces what was declared, when all tensors have been added. */
enum el_status el_report_write(const struct el_report *r, struct el_sink *sink, struct el_err *err);
/* Takes a report of another packing away. */
void el_report_remove(struct el_meta *meta);

#endif
