/* Plans as files of commands: reading one with what it was made of compared, writing one. */
#ifndef CMD_PLAN_IO_H
#define CMD_PLAN_IO_H

#include "cmd/pack_io.h"

/*
 * Reads job->plan_in for the source. EL_E_USAGE: made of another model or other statistics than the job's; a plan without hashes
 * is for any.
 */
enum el_status plan_io_read(const struct pack_job *job, const struct el_source *source, struct el_plan **plan,
                            struct el_err *err);
/* Writes the plan to job->plan_out, with the hashes of the model and of the statistics. nbytes: of the output's files. */
enum el_status plan_io_write(const struct pack_job *job, const struct el_plan *plan, uint64_t nbytes, struct el_err *err);

#endif
