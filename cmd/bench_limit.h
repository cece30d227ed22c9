/* The time that a row of bench would take if the machine did nothing but what the model needs: what the row is held against. */
#ifndef CMD_BENCH_LIMIT_H
#define CMD_BENCH_LIMIT_H

#include "cmd/bench_meter.h"
#include "edgellm.h"

struct bench_row;

/* What one repetition of a row has to do, step by step (a step is a batch of a prompt, or one token). */
struct bench_work {
    struct bench_step {
        double n; /* steps of this kind */
        struct el_cost cost;
        double kv_nbytes; /* of one step on the average */
    } steps[3];           /* whole batches of the prompt, its last batch, tokens written */
    double n_tokens;
};

/* kv_nbytes: bytes of keys and values of one position, all layers together. */
struct bench_work bench_work_of(const struct el_model *model, const struct bench_row *row, double kv_nbytes);
/* Bits (1 << EL_READ_2M) of the limits that the work has to do with. */
unsigned bench_work_limits(const struct bench_work *w);
/* Per token: bytes of weights, keys and values; operations. */
double bench_work_nbytes(const struct bench_work *w);
double bench_work_ops(const struct bench_work *w);
/*
 * Seconds that a repetition takes at least: per step what is more, reading at the measured bandwidth or multiplying at the
 * measured peaks. *binds: what most of this time is. 0 when nothing was measured.
 */
double bench_work_seconds(const struct bench_work *w, const struct bench_meter *m, enum el_meter_limit *binds);

#endif
