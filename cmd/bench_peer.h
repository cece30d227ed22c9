/*
 * Another program's run inside bench --compare: a process that prints llama-bench's JSON, llama-bench itself or our own bench. It
 * has a process group of its own and dies with us: no orphan is left, whatever happens.
 */
#ifndef CMD_BENCH_PEER_H
#define CMD_BENCH_PEER_H

#include "edgellm.h"

struct bench_peer_out {
    char *text; /* standard output, terminated; free() it */
    size_t nbytes;
};

/*
 * Runs argv (NULL-ended; argv[0] is looked up in PATH when it has no slash) with standard input from /dev/null and waits for its
 * end. EL_E_IO: it cannot be started; EL_E_FAILED: it ended with another code than 0 or by a signal, with the last line that it
 * wrote to standard error; EL_E_INTERRUPTED: we were stopped, and have stopped it.
 */
enum el_status bench_peer_run(const char *const *argv, struct bench_peer_out *out, struct el_err *err);

/* One result of llama-bench. */
struct bench_peer_row {
    double ts;                 /* tokens per second: samples_ts[0], else avg_ts */
    double limit_share;        /* of ours; 0 when it is not there */
    double read, int8, f32;    /* the same: what our own run measured, per second */
    char limit[16], build[64]; /* "" */
    char model_type[128];
    uint64_t model_size, model_n_params, n_threads;
};
/* The first result in text: a JSON array or object after whatever else was printed. EL_E_FAILED names `what`. */
enum el_status bench_peer_read(const char *what, const struct bench_peer_out *out, struct bench_peer_row *row,
                               struct el_err *err);

#endif
