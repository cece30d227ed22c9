#include "cmd/model_io.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

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

char *model_io_folder(const char *path)
{
    static const char single[] = "model.safetensors";
    char name[64];
    unsigned no = 0, count = 0;
    int end = 0;
    path_base(path, name, sizeof name);
    const size_t n_path = strlen(path), n_name = strlen(name);
    const bool is_shard = sscanf(name, "model-%5u-of-%5u.safetensors%n", &no, &count, &end) == 2 && (size_t)end == n_name;
    if ((!is_shard && strcmp(name, single) != 0) || !ends_with(path, name) || path_is_folder(path))
        return NULL;
    const size_t n_folder = n_path - n_name;
    char *const folder = n_folder > 1 ? xasprintf("%.*s", (int)(n_folder - 1), path) : xstrdup(n_folder ? "/" : ".");
    char *const config = xasprintf("%s/config.json", folder);
    const bool found = access(path, F_OK) == 0 && access(config, F_OK) == 0;
    free(config);
    if (found)
        return folder;
    free(folder);
    return NULL;
}

/* A file of weights says neither what family they are of nor which tokens there are. */
static enum el_status explain_weights(const struct model_io *io, enum el_status status, struct el_err *err)
{
    if (status == EL_OK || strcmp(el_source_format(io->source), "safetensors") != 0)
        return status;
    return cmd_fail(err, status, "%s; these are weights alone: the folder with their config.json is a model", err->text);
}

enum el_status model_io_source(struct model_io *io, const char *path, const char *tokenizer, const struct opt_list *overrides,
                               struct el_err *err)
{
    if (!path)
        return cmd_fail(err, EL_E_USAGE, "no model given: option '--model' is missing");
    if (strcmp(path, "-") == 0)
        return cmd_fail(err, EL_E_USAGE,
                        "option '--model': a model is not read from standard input (a file of this name is ./-)");
    io->folder = model_io_folder(path);
    io->path = path = io->folder ? io->folder : path;
    const struct el_source_opts opts = {.tokenizer = tokenizer};
    CMD_TRY(el_source_open(path, &opts, &io->source, err));
    for (size_t i = 0; overrides && i < overrides->n; i++)
        CMD_TRY(el_source_override(io->source, overrides->v[i], err));
    return EL_OK;
}

enum el_status model_io_tokenizer(struct model_io *io, struct el_err *err)
{
    return explain_weights(io, el_tokenizer_open(io->source, &io->tok, err), err);
}

/* ---- the cache of re-laid weights ---- */

/* Takes the model's weights from the cache. io->model stays NULL where it does not fit; *why then says what is wrong with it. */
static enum el_status model_from_cache(struct model_io *io, const char *cache, unsigned n_threads, struct el_err *why,
                                       struct el_err *err)
{
    static const struct el_source_opts gguf = {.format = "gguf"};
    if (el_source_open(cache, &gguf, &io->laid, why) != EL_OK) {
        *err = *why;
        return why->code == EL_E_INTERRUPTED || why->code == EL_E_MEMORY ? why->code : EL_OK;
    }
    const struct el_model_opts opts = {.laid = io->laid, .n_threads = n_threads};
    const enum el_status status = el_model_open(io->source, &opts, &io->model, err);
    if (status == EL_OK)
        return EL_OK;
    *why = *err;
    el_source_close(io->laid);
    io->laid = NULL;
    return err->reason == EL_REASON_LAID ? EL_OK : explain_weights(io, status, err);
}

static enum el_status write_cache(const struct model_io *io, const char *cache, struct el_err *err)
{
    static const struct el_sink_opts opts = {.format = "gguf", .overwrite = true};
    struct el_sink *sink = NULL;
    enum el_status status = el_sink_open(cache, &opts, &sink, err);
    if (status == EL_OK)
        status = el_model_write_laid(io->model, sink, err);
    if (status == EL_OK)
        status = el_sink_commit(sink, err);
    el_sink_close(sink);
    return status;
}

static enum el_status model_from_source(struct model_io *io, unsigned n_threads, struct el_err *err)
{
    const struct el_model_opts opts = {.n_threads = n_threads};
    return explain_weights(io, el_model_open(io->source, &opts, &io->model, err), err);
}

/* What the cache has, or the model as ever and the cache made of it: a model that cannot be cached runs all the same. */
static enum el_status open_cached(struct model_io *io, const char *cache, unsigned n_threads, struct el_err *err)
{
    struct stat st;
    struct el_err why = {.text = ""};
    /* A file without a byte, as mktemp makes them, holds nothing that could be lost. */
    if (cache[0] == '\0' || strcmp(cache, "-") == 0)
        return cmd_fail(err, EL_E_USAGE, "option '--cache': '%s' is no file name", cache);
    if (stat(cache, &st) == 0 && !(S_ISREG(st.st_mode) && st.st_size == 0)) {
        if (access(cache, R_OK) != 0)
            return cmd_fail(err, EL_E_IO, "option '--cache': '%s': %s", cache, strerror(errno));
        if (!el_is_laid_file(cache))
            return cmd_fail(err, EL_E_USAGE, "option '--cache': '%s' is something else than a cache, and is not replaced", cache);
        CMD_TRY(model_from_cache(io, cache, n_threads, &why, err));
    }
    if (io->model)
        return EL_OK;
    CMD_TRY(model_from_source(io, n_threads, err));
    if (why.text[0] && !progress_is_quiet())
        (void)fprintf(stderr, "edgellm: the cache is made anew: %s\n", why.text);
    const enum el_status status = write_cache(io, cache, &why);
    if (status == EL_E_INTERRUPTED) {
        *err = why;
        return status;
    }
    if (status != EL_OK)
        (void)fprintf(stderr, "edgellm: warning: no cache is written: %s\n", why.text);
    else if (!progress_is_quiet())
        (void)fprintf(stderr, "edgellm: cache '%s' written\n", cache);
    return EL_OK;
}

enum el_status model_io_model(struct model_io *io, const char *cache, unsigned n_threads, struct el_err *err)
{
    CMD_TRY(cache ? open_cached(io, cache, n_threads, err) : model_from_source(io, n_threads, err));
    io->info = el_model_info(io->model);
    return EL_OK;
}

enum el_status model_io_session(struct model_io *io, const struct el_session_opts *opts, struct el_err *err)
{
    if (opts->n_ctx > io->info.n_ctx_train && io->info.n_ctx_train && !progress_is_quiet())
        (void)fprintf(stderr, "edgellm: warning: a context of %u positions; the model was trained for %u\n",
                      (unsigned)opts->n_ctx, (unsigned)io->info.n_ctx_train);
    return el_session_open(io->model, opts, &io->session, err);
}

void model_io_close(struct model_io *io)
{
    el_session_close(io->session);
    el_tokenizer_close(io->tok);
    el_model_close(io->model);
    el_source_close(io->laid);
    el_source_close(io->source);
    free(io->folder);
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
