/*
 * Hugging Face folders: config.json, tokenizer.json and their like beside model.safetensors, or shards with an index. hf_read.c
 * and hf_write.c share what is here. Names and shapes come from the architecture's table (model/arch.h).
 */
#ifndef EL_FORMATS_HF_H
#define EL_FORMATS_HF_H

#include "base/buf.h"
#include "base/file.h"
#include "formats/store.h"
#include "model/arch.h"
#include "tensor/source.h"

/* Does a name fit a pattern in which each "%u" (at most two) stands for a decimal number without leading zeros? */
bool el_hf_name_fits(const char *pattern, const char *name, uint32_t numbers[2]);
/* The name that a pattern and its numbers make, appended to b. Works for canonical patterns too. */
void el_hf_add_name(struct el_buf *b, const char *pattern, uint32_t first, uint32_t second);

/*
 * formats/hf_read.c and hf_write.c: el_format.open and .create.
 *
 * What a writer that is stopped leaves behind. config.json goes first and comes last, and all data are synced before the first
 * old file is touched: an interrupted replacement of an existing folder leaves the old model whole (stopped before that point)
 * or a folder without config.json, which no tool takes for a model. A new folder stays empty until all data are synced, then
 * gets config.json last, and is removed again when the writer fails or is killed; only a crash of the machine can leave it
 * behind, without config.json. Old files that would be read as parts of the new model are removed; other files of the folder
 * stay.
 */
enum el_status el_hf_open(struct el_source *s, const struct el_source_opts *opts, struct el_err *err);
enum el_status el_hf_create(struct el_sink *s, struct el_err *err);

/*
 * hf_transposed.c. Instead of pieces: the tensor just added to s is the transpose of what the file (number `file` of the store)
 * has at offset. EL_E_MEMORY.
 */
enum el_status el_hf_add_transposed(struct el_source *s, uint32_t file, uint64_t offset, struct el_err *err);
/* Bytes [offset, offset + nbytes) of t, which are whole rows, into the transpose of t that lies at `at` in f. Thread-safe. */
enum el_status el_hf_write_transposed(struct el_outfile *f, const struct el_tensor *t, uint64_t at, uint64_t offset,
                                      const uint8_t *data, uint64_t nbytes, struct el_err *err);

/*
 * hf_shifted.c. The same for a vector that the file has in enc and less 1: read with the 1 added, in the encoding of the tensor
 * just added. And bytes [offset, offset + nbytes) of t, whose first lies at `at` in f, written less 1.
 */
enum el_status el_hf_add_shifted(struct el_source *s, uint32_t file, const struct el_enc *enc, uint64_t offset,
                                 struct el_err *err);
enum el_status el_hf_write_shifted(struct el_outfile *f, const struct el_tensor *t, uint64_t at, uint64_t offset,
                                   const uint8_t *data, uint64_t nbytes, struct el_err *err);

/* Problems of a folder, gathered so that all are told at once: a few in the error, all (up to 100) as warnings. */
struct el_problems {
    struct el_buf text;
    size_t n;
    enum el_status code; /* of the first */
};
void el_problems_init(struct el_problems *p);
void el_problems_add(struct el_problems *p, enum el_status code, const char *fmt, ...) EL_PRINTF(3, 4);
/* EL_OK without problems; else the error. Frees the list. */
enum el_status el_problems_finish(struct el_problems *p, const char *path, struct el_err *err);

#endif
