#include "cmd/plan_io.h"

#include <stdlib.h>
#include <string.h>

#include "cmd/util.h"

enum { MOST_NBYTES = 64 << 20 };

/* Compares one hash of a plan with that of a file. */
static enum el_status check_hash(const char *plan, const char *what, const char *wanted, const char *path, struct el_err *err)
{
    char hex[65];
    if (!wanted[0])
        return EL_OK;
    if (!path)
        return cmd_fail(err, EL_E_USAGE, "'%s': made with %s of SHA-256 %.12s..., and none is given", plan, what, wanted);
    CMD_TRY(el_sha256_path(path, hex, err));
    if (strcmp(hex, wanted) != 0)
        return cmd_fail(err, EL_E_USAGE,
                        "'%s': made for another %s: SHA-256 %.12s..., '%s' has %.12s... (without its line the plan is for any)",
                        plan, what, wanted, path, hex);
    return EL_OK;
}

enum el_status plan_io_read(const struct pack_job *job, const struct el_source *source, struct el_plan **plan, struct el_err *err)
{
    char *text = NULL;
    size_t nbytes = 0;
    *plan = NULL;
    CMD_TRY(el_read_file(job->plan_in, MOST_NBYTES, &text, &nbytes, err));
    char *const what = xasprintf("'%s'", job->plan_in);
    enum el_status status = el_plan_read(source, text, nbytes, what, &job->plan, plan, err);
    if (status == EL_OK) {
        const struct el_plan_origin origin = el_plan_origin_of(*plan);
        status = check_hash(job->plan_in, "model", origin.model_sha256, job->in, err);
        if (status == EL_OK && job->stats)
            status = check_hash(job->plan_in, "statistics", origin.stats_sha256, job->stats, err);
    }
    free(what);
    el_free(text);
    if (status != EL_OK) {
        el_plan_free(*plan);
        *plan = NULL;
    }
    return status;
}

enum el_status plan_io_write(const struct pack_job *job, const struct el_plan *plan, uint64_t nbytes, struct el_err *err)
{
    char model[65] = "", stats[65] = "";
    char *text = NULL;
    size_t n = 0;
    CMD_TRY(el_sha256_path(job->in, model, err));
    if (job->stats)
        CMD_TRY(el_sha256_path(job->stats, stats, err));
    const struct el_plan_origin origin = {.model_sha256 = model, .stats_sha256 = stats, .nbytes = nbytes};
    CMD_TRY(el_plan_print(plan, &origin, &text, &n, err));
    const enum el_status status = el_write_file(job->plan_out, text, n, job->sink.overwrite, err);
    el_free(text);
    return status;
}
