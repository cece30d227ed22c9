/*
 * quantize --target-size and its kin: calibrate, measure what every choice loses, solve, try the best plans. What was measured
 * lies in the folder OUT.work until the output is complete, so that a run that was stopped goes on where it was.
 */
#ifndef CMD_QUANTIZE_TARGET_H
#define CMD_QUANTIZE_TARGET_H

#include "cmd/pack_io.h"

struct target_opts {
    uint64_t size, speed; /* bytes of the output, bytes read per token; 0: not given */
    double bpw, kld;      /* bits per weight, divergence; 0: not given */
    struct opt_list min_types, max_types, same_types;
    const struct opt_list *types, *skips; /* --tensor-type, --skip */
    const char *output_type, *embedding_type;
    const char *choices;           /* NULL, or types between commas */
    const char *text;              /* NULL: the text that comes with the program */
    unsigned metric;               /* index in TARGET_METRICS */
    uint64_t n_tries;              /* plans that are measured before one is taken */
    uint64_t n_windows, n_measure; /* of the text, to calibrate and to measure on; 0: all, and up to 8 */
    bool chosen_types;             /* --types was given */
};
/* Of the folder, when packing keeps a state. */
#define TARGET_STATE   "pack.part"
#define TARGET_METRICS "hessian|kld|shiftadd|weight"

/* Is any of --target-size, --target-bpw, --target-speed, --max-kld given? EL_E_USAGE when more than one is. */
enum el_status target_check(const struct target_opts *o, bool *given, struct el_err *err);

/* One plan that was tried. */
struct target_try {
    struct el_target_result result;
    double kld; /* measured; NaN: not */
};

/* Between planning and the end of packing. */
struct target_run {
    const struct target_opts *o;
    char *folder;            /* OUT.work; NULL: none was made */
    char *stats_path;        /* of the statistics that the plan uses; NULL: none */
    struct el_source *stats; /* open as long as the plan, when they were made here */
    char made_by[64];
    struct target_try *tries; /* [n_tries] */
    size_t n_tries, best;
};

/*
 * The best plan of the target. job->plan.stats are the caller's statistics, or NULL: then they are made. EL_E_USAGE before
 * anything is run when the target is below what can be reached.
 */
enum el_status target_plan(struct target_run *run, const struct target_opts *o, const struct pack_job *job,
                           struct el_source *source, struct el_plan **plan, struct el_err *err);
/* The plans that were tried, as a table or as a member of an object that is open. */
void target_print(const struct target_run *run, FILE *f);
struct json_out;
void target_json(const struct target_run *run, struct json_out *j);
/* Takes the folder away when nothing can go on from it: status is that of all of the run. */
void target_close(struct target_run *run, enum el_status status);

/* quantize --pareto FILE: the front as JSON, and as a picture beside it (FILE.svg, .json replaced). Writes no model. */
enum el_status target_pareto(const struct target_opts *o, const struct pack_job *job, const char *path, struct el_err *err);

#endif
