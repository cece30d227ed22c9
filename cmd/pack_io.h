/* What convert and quantize have in common: source -> plan -> sink, the table of what is done to every tensor, the JSON of it. */
#ifndef CMD_PACK_IO_H
#define CMD_PACK_IO_H

#include "cmd/options.h"
#include "edgellm.h"

struct target_opts;

struct pack_job {
    const char *in, *out, *tokenizer;
    const char *stats; /* NULL, or a file of statistics */
    const char *plan_in, *plan_out;   /* NULL, or a plan to carry out in the place of rules, and where to write the plan */
    const struct target_opts *target; /* NULL, or what the plan is to be found for (cmd/quantize_target.h) */
    const struct opt_list *overrides;
    struct el_plan_opts plan;
    struct el_sink_opts sink;
    unsigned n_threads;
    const char *report;  /* NULL, or a file for lines of JSON */
    uint64_t max_nbytes; /* of memory; 0: no limit */
    bool resume;         /* the state is kept in OUT.part */
    bool nan_to_zero, dry_run, json, verbose;
    bool live; /* rows of the table appear on a terminal as tensors are done; with verbose always */
};

/*
 * Carries the job out, and compares a GGUF file that was written with the plan. Fallbacks are always printed on standard error;
 * with verbose one row per tensor goes there too, as it is done. A dry run prints the table on standard output and writes
 * nothing. json: one object on standard output at the end.
 */
enum el_status pack_io_run(const struct pack_job *job, struct el_err *err);

#endif
