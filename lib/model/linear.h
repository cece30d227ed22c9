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

/* Whoever writes a buffer says so, so that derived forms are made again. */
void el_activation_changed(struct el_run *run, enum el_buffer b);

/* Rows w[ids[i]] of an embedding, each decoded alone, to out + i * stride. */
void el_weight_row(const struct el_weight *w, uint64_t row, float *out);

/* Adds an observer; false when there are EL_MAX_OBSERVERS already. */
bool el_run_observe(struct el_run *run, el_observe_fn *fn, void *user);

#endif
