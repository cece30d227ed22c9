/*
 * bench --compare: an existing llama-bench on the same file and tests, in turn with ours. In every round each side is a new
 * process that loads the file, warms up and runs one repetition, so that neither has the other's pages, caches or threads beside
 * it; the medians over the rounds are compared.
 */
#ifndef CMD_BENCH_COMPARE_H
#define CMD_BENCH_COMPARE_H

#include <stdio.h>

#include "cmd/bench_table.h"
#include "cmd/options.h"
#include "edgellm.h"

struct bench_row;

struct bench_compare {
    const char *peer;                /* the other program */
    const struct opt_list *variants; /* further arguments of it, each text a variant, split at blanks; none: one without any */
    uint64_t n_rounds;
    const char *cpu; /* of ours: --cpu, or NULL */
    struct bench_table table;
    enum { BENCH_DEPTH_UNKNOWN, BENCH_DEPTH, BENCH_GP, BENCH_NO_DEPTH } depth; /* how it is told a depth */
};

void bench_compare_begin(struct bench_compare *c, FILE *f, enum bench_format format);
/*
 * One test of one file: row says which (model_filename, n_batch, n_threads, type_k, type_v, n_prompt, n_gen, n_depth). Prints a
 * row for us and for every variant. EL_E_FAILED or another code: some of them failed, their rows say how; the first failure is
 * in *err. EL_E_IO: the other program cannot be run; EL_E_INTERRUPTED.
 */
enum el_status bench_compare_test(struct bench_compare *c, const struct bench_row *row, struct el_err *err);
void bench_compare_end(struct bench_compare *c);

#endif
