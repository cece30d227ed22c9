/*
 * What this machine can do while bench runs. The memory's speed of a shared host drifts within minutes, so it is measured around
 * and between the repetitions of every row, and the row is held against the median.
 */
#ifndef CMD_BENCH_METER_H
#define CMD_BENCH_METER_H

#include "cmd/bench_table.h"
#include "edgellm.h"

struct bench_meter {
    struct el_meter *meter; /* NULL: nothing is measured */
    struct bench_rates {
        double *v; /* [n] */
        size_t n;
    } of[EL_METER_LIMITS]; /* since the last bench_meter_begin */
    uint64_t last_ns;      /* when it was measured last */
};

/* Takes the buffer and touches all of it, so that it stands in the process' memory from now on. EL_E_MEMORY, EL_E_INTERRUPTED. */
enum el_status bench_meter_open(struct bench_meter *m, struct el_err *err);
/* A meter that is not open is fine, here and below: nothing happens. */
void bench_meter_close(struct bench_meter *m);
uint64_t bench_meter_nbytes(const struct bench_meter *m);

/* Forgets what was measured. */
void bench_meter_begin(struct bench_meter *m);
/*
 * Measures the limits whose bits (1 << EL_READ_2M) are set, n times each. With not_often, only when a quarter of a second has
 * passed since the last time.
 */
enum el_status bench_meter_take(struct bench_meter *m, unsigned limits, unsigned n_threads, size_t n, bool not_often,
                                struct el_err *err);
/* Bytes or operations per second; 0 when it was not measured. */
double bench_meter_median(const struct bench_meter *m, enum el_meter_limit limit);
double bench_meter_best(const struct bench_meter *m, enum el_meter_limit limit);
/*
 * What a row is held against: of reading the median, for the memory's speed drifts with what others read; of arithmetic the best,
 * for what is below it was only a thread that others held up.
 */
double bench_meter_rate(const struct bench_meter *m, enum el_meter_limit limit);

/* "read", "read_4k", "int8", "f16", "f32": as in the fields. */
const char *bench_limit_name(enum el_meter_limit limit);
/* The limit of a name; EL_READ_2M for one that is none of these. */
enum el_meter_limit bench_limit_of_name(const char *name);
/* "38.2 GB/s", "835 Gop/s" */
const char *bench_rate_text(enum el_meter_limit limit, double rate, char out[32]);

/* bench --machine: all limits, for each of n numbers of threads, as a table. */
enum el_status bench_machine(FILE *f, enum bench_format format, const uint64_t *n_threads, size_t n, struct el_err *err);

#endif
