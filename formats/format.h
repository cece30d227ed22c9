/* A file format: one file and one line of formats.def. */
#ifndef EL_FORMATS_FORMAT_H
#define EL_FORMATS_FORMAT_H

#include "tensor/source.h"

struct el_format {
    const char *name, *about;
    /* Is path (a folder or a file with these first bytes, n_head <= 64) of this format? */
    bool (*probe)(const char *path, bool is_folder, const uint8_t *head, size_t n_head);
    /* Fills s (zeroed; path and format set; meta made). On failure what was made is freed. NULL: write only. */
    enum el_status (*open)(struct el_source *s, const struct el_source_opts *opts, struct el_err *err);
    /* Makes s ready for begin (path and opts set). NULL: read only. */
    enum el_status (*create)(struct el_sink *s, struct el_err *err);
    /* Does open read opts->tokenizer itself? If not, el_source_open puts that tokenizer into the metadata afterwards. */
    bool reads_tokenizer;
};

/*
 * formats/tokenizer_file.c: sets the tokenizer.* keys from a tokenizer file of any kind that is read; tokenizer_config.json,
 * generation_config.json and added_tokens.json beside a file of a usual name ("tokenizer.json", "tokenizer.model", ...) count.
 * A folder stands for the first file of a usual name in it. n_vocab: tokens that the model has, 0: as many as the file.
 * EL_E_IO, EL_E_FORMAT, EL_E_UNSUPPORTED; the error names the file.
 */
enum el_status el_tokenizer_file_import(struct el_meta *meta, const char *path, uint32_t n_vocab, struct el_err *err);
/* The same for the first file of a usual name in a folder; *found: there is one. */
enum el_status el_tokenizer_folder_import(struct el_meta *meta, const char *folder, uint32_t n_vocab, bool *found,
                                          struct el_err *err);
bool el_tokenizer_is_folder(const char *path);
/* Is a file of this name and content a tokenizer.json, which other files of a model's folder belong to? */
bool el_tokenizer_file_is_hf(const char *path, const char *data, size_t nbytes);

const struct el_format *el_format_at(size_t i);
const struct el_format *el_format_by_name(const char *name);

#endif
