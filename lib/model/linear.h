/*
 * linear: the one function through which every multiplication with a weight goes. It picks the kernel by the weight's
 * encoding, makes the derived form of its input that the kernel reads once for all linears that share the input, tells the
 * observers, and splits output rows over the pool in chunks that depend only on the shape.
 */
#ifndef EL_MODEL_LINEAR_H
#define EL_MODEL_LINEAR_H

#include "model/run.h"

enum { EL_MAX_JOBS = 4 };

/* dst [n, n_out] = src W^T + bias, with the rows of one expert where W is a stack. */
struct el_linear_job {
    const struct el_weight *w;
    uint32_t expert;
    enum el_buffer dst;
};
void el_linear(struct el_run *run, enum el_buffer src, const struct el_linear_job *jobs, uint32_t n_jobs);

/*
 * The same for rows that are grouped by expert: those of src are the entries of experts e0 .. e1 by run->routing, and each meets
 * the rows of its expert in every weight. All experts go through the pool together; jobs' own expert is not read.
 */
void el_linear_experts(struct el_run *run, enum el_buffer src, uint32_t e0, uint32_t e1, const struct el_linear_job *jobs,
                       uint32_t n_jobs);

/* EL_B_EXPERT = the rows of src that go to experts e0 .. e1, in the forms that these jobs read; int8 is not made again. */
void el_linear_gather(struct el_run *run, enum el_buffer src, uint32_t e0, uint32_t e1, const struct el_linear_job *jobs,
                      uint32_t n_jobs);

/*
 * Whoever writes all rows of a buffer may make their int8 form while they are in the cache: where el_activation_begin says that
 * it is read, el_activation_quantize for every row, in any thread, then el_activation_made. The bits are those that el_linear
 * makes.
 */
bool el_activation_begin(struct el_run *run, enum el_buffer b);
void el_activation_quantize(struct el_run *run, enum el_buffer b, uint64_t row);
void el_activation_made(struct el_run *run, enum el_buffer b);
/* Sets run->early_q8 by what the weights of the first layer read. */
void el_activation_plan(struct el_run *run);

/* Whoever writes a buffer says so, so that derived forms are made again. */
void el_activation_changed(struct el_run *run, enum el_buffer b);

/* Rows w[ids[i]] of an embedding, each decoded alone, to out + i * stride. */
void el_weight_row(const struct el_weight *w, uint64_t row, float *out);

/* Adds an observer; false when there are EL_MAX_OBSERVERS already. */
bool el_run_observe(struct el_run *run, el_observe_fn *fn, void *user);

#endif
