/* bench --kernels: every variant of every kernel against the reference and against what the machine can do. */
#ifndef CMD_BENCH_KERNELS_H
#define CMD_BENCH_KERNELS_H

#include <stdio.h>

#include "cmd/bench_table.h"
#include "cmd/options.h"
#include "edgellm.h"

/* A table for each of n numbers of threads; only: texts of --only, or none. */
enum el_status bench_kernels(FILE *f, enum bench_format format, const uint64_t *n_threads, size_t n, const struct opt_list *only,
                             struct el_err *err);

#endif
