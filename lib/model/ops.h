/*
 * Operations on the buffers of a run: all that an architecture may do. A table of pointers, so that another device, a tracer
 * or a backward pass can stand in. Every operation sets the row count of the buffer it writes. A row's result depends on that
 * row only, so it is the same in any batch and for any number of threads.
 */
#ifndef EL_MODEL_OPS_H
#define EL_MODEL_OPS_H

#include "model/linear.h"
#include "model/run.h"

struct el_ops {
    /* dst [n, n_in] = rows of w by the tokens of the batch */
    void (*token_rows)(struct el_run *run, const struct el_weight *w, enum el_buffer dst);
    /* dst += rows of w by the positions of the batch and pos_offset */
    void (*add_position_rows)(struct el_run *run, const struct el_weight *w, enum el_buffer dst);
    /* dst = norm(src) * gain (+ bias, NULL: none); RMSNorm, or LayerNorm where the model has that */
    void (*norm)(struct el_run *run, const struct el_weight *gain, const struct el_weight *bias, enum el_buffer src,
                 enum el_buffer dst);
    /*
     * Norms the heads of every row of x in place: gain [d] for each of them, [n_heads, d] one each, or [n_heads d] for all heads
     * together, as one vector.
     */
    void (*norm_heads)(struct el_run *run, const struct el_weight *gain, enum el_buffer x, uint32_t n_heads);
    /* Up to EL_MAX_JOBS products of one input; see model/linear.h. */
    void (*linear)(struct el_run *run, enum el_buffer src, const struct el_linear_job *jobs, uint32_t n_jobs);
    /* Rotates n_heads heads of every row in place by the row's position, as layer l has it. */
    void (*rope)(struct el_run *run, uint32_t l, enum el_buffer x, uint32_t n_heads);
    /* Stores K and V in layer l's cache, then dst = attention of Q over it; see model/attention.h. */
    void (*attention)(struct el_run *run, uint32_t l, enum el_buffer dst);
    /* x = act(x), and gate = act(gate) * up, with the nonlinearity of the model */
    void (*act)(struct el_run *run, enum el_buffer x);
    void (*act_mul)(struct el_run *run, enum el_buffer gate, enum el_buffer up);
    /* x *= factor */
    void (*scale)(struct el_run *run, enum el_buffer x, float factor);
    /* x = cap tanh(x / cap) */
    void (*cap)(struct el_run *run, enum el_buffer x, float cap);
    /* dst += src */
    void (*add)(struct el_run *run, enum el_buffer dst, enum el_buffer src);
    /* dst = the rows of src that asked for logits */
    void (*take_out_rows)(struct el_run *run, enum el_buffer src, enum el_buffer dst);
    /* rows of x *= sigmoid of the one column of gate */
    void (*gate_rows)(struct el_run *run, enum el_buffer x, enum el_buffer gate);
    /* Fills run->routing from router logits [n, n_experts]: n_used largest of the softmax, renormalised or as they are. */
    void (*route)(struct el_run *run, enum el_buffer logits, uint32_t n_used);
    /*
     * EL_B_EXPERT = the rows of src that go to experts e0 .. e1, for these jobs; their products; and back: dst rows += p * src
     * rows, experts in order.
     */
    void (*gather)(struct el_run *run, enum el_buffer src, uint32_t e0, uint32_t e1, const struct el_linear_job *jobs,
                   uint32_t n_jobs);
    void (*linear_experts)(struct el_run *run, enum el_buffer src, uint32_t e0, uint32_t e1, const struct el_linear_job *jobs,
                           uint32_t n_jobs);
    void (*scatter_add)(struct el_run *run, uint32_t e0, uint32_t e1, enum el_buffer src, enum el_buffer dst);
    bool (*all_finite)(struct el_run *run, enum el_buffer x);
};

/* This machine's processor. */
extern const struct el_ops el_ops_cpu;

#endif
