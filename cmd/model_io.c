#include "cmd/model_io.h"

#include <stdio.h>
#include <string.h>

#include "cmd/progress.h"
#include "cmd/text_out.h"
#include "cmd/totals.h"
#include "cmd/util.h"

enum el_status model_io_cpu(const char *level, struct el_err *err)
{
    struct el_err why;
    if (!level)
        return EL_OK;
    const enum el_status status = el_cpu_cap(level, &why);
    return status == EL_OK ? EL_OK : cmd_fail(err, status, "option '--cpu': %s", why.text);
}

enum el_status model_io_source(struct model_io *io, const char *path, const char *tokenizer, const struct opt_list *overrides,
                               struct el_err *err)
{
    if (!path)
        return cmd_fail(err, EL_E_USAGE, "no model given: option '--model' is missing");
    io->path = path;
    const struct el_source_opts opts = {.tokenizer = tokenizer};
    CMD_TRY(el_source_open(path, &opts, &io->source, err));
    for (size_t i = 0; overrides && i < overrides->n; i++)
        CMD_TRY(el_source_override(io->source, overrides->v[i], err));
    return EL_OK;
}

enum el_status model_io_tokenizer(struct model_io *io, struct el_err *err)
{
    return el_tokenizer_open(io->source, &io->tok, err);
}

enum el_status model_io_model(struct model_io *io, struct el_err *err)
{
    CMD_TRY(el_model_open(io->source, NULL, &io->model, err));
    io->info = el_model_info(io->model);
    return EL_OK;
}

enum el_status model_io_session(struct model_io *io, const struct el_session_opts *opts, struct el_err *err)
{
    if (opts->n_ctx > io->info.n_ctx_train && io->info.n_ctx_train && !progress_is_quiet())
        (void)fprintf(stderr, "edgellm: warning: a context of %u tokens; the model was trained for %u\n", (unsigned)opts->n_ctx,
                      (unsigned)io->info.n_ctx_train);
    return el_session_open(io->model, opts, &io->session, err);
}

void model_io_close(struct model_io *io)
{
    el_session_close(io->session);
    el_tokenizer_close(io->tok);
    el_model_close(io->model);
    el_source_close(io->source);
    *io = (struct model_io){0};
}

void model_io_type(const struct model_io *io, char *out, size_t cap)
{
    char params[32], raw[128];
    const struct totals totals = totals_of_source(io->source);
    (void)snprintf(raw, sizeof raw, "%s %s %s", io->info.arch, text_count(io->info.n_params, params),
                   totals_main_encoding(&totals));
    text_visible(raw, strlen(raw), out, cap);
}
