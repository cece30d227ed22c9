/* Opening what a command runs: file, weights, tokenizer, session, in this order, and closing them in the other. */
#ifndef CMD_MODEL_IO_H
#define CMD_MODEL_IO_H

#include "cmd/options.h"
#include "edgellm.h"

struct model_io {
    const char *path; /* of the file or folder that was opened */
    char *folder;     /* owned: path, when a file stood for its folder */
    struct el_source *source;
    struct el_source *laid; /* the cache that the model's matrices lie in; NULL: none */
    struct el_model *model;
    struct el_tokenizer *tok;
    struct el_session *session;
    struct el_model_info info; /* of model, when it is open */
};

/*
 * The folder of a Hugging Face model whose weights are the file `path`: model.safetensors, or one of its shards, with config.json
 * beside it. free() it. NULL: path stands for itself.
 */
char *model_io_folder(const char *path);
/*
 * Opens the file, or the folder it stands for, and applies the overrides (may be NULL). EL_E_USAGE when path is NULL: --model is
 * missing.
 */
enum el_status model_io_source(struct model_io *io, const char *path, const char *tokenizer, const struct opt_list *overrides,
                               struct el_err *err);
/* Caps the CPU level (may be NULL). Before anything is opened. */
enum el_status model_io_cpu(const char *level, struct el_err *err);
enum el_status model_io_tokenizer(struct model_io *io, struct el_err *err);
/*
 * cache: NULL, or the file of --cache: the re-laid weights come from it; where it is missing, of another model or damaged it is
 * written, and standard error says so. A cache that cannot be written is a warning. n_threads (0: all cores) read the weights.
 * EL_E_USAGE: it is somebody's other file.
 */
enum el_status model_io_model(struct model_io *io, const char *cache, unsigned n_threads, struct el_err *err);
/* Warns when n_ctx is more than the model was trained for. */
enum el_status model_io_session(struct model_io *io, const struct el_session_opts *opts, struct el_err *err);
void model_io_close(struct model_io *io);

/* The model's label: architecture, parameters, encoding ("llama 4.98 M Q4_K"): what llama-bench calls model_type. */
void model_io_type(const struct model_io *io, char *out, size_t cap);

#endif
