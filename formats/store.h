/*
 * Tensors that lie in plain files, each in one or more equal pieces: what safetensors, Hugging Face folders, PyTorch's files and
 * llama2.c share. A stack of experts is a tensor whose pieces are the experts' matrices. What lies otherwise in the files than an
 * encoding has it (GPTQ, AWQ, transposed views) is made row by row as it is read.
 */
#ifndef EL_FORMATS_STORE_H
#define EL_FORMATS_STORE_H

#include "base/file.h"
#include "tensor/source.h"

/* Bytes of one tensor, or of one slice of it. */
struct el_store_piece {
    uint32_t file; /* EL_STORE_MEMORY: offset counts in `memory` */
    uint64_t offset, nbytes;
};
enum { EL_STORE_MEMORY = 0xffff };

struct el_store;

/*
 * A tensor whose bytes no file has as they are: other packing, other order of dimensions. Each kind begins with this struct, is
 * el_alloc memory, and is freed by its `free`.
 */
struct el_store_rows {
    /*
     * Rows [row0, row0 + n_rows) of a row-led part (n_rows * row_nbytes bytes), or the whole of a shared one (row0 0, n_rows 1).
     * Thread-safe. Errors name file and tensor.
     */
    enum el_status (*read)(const struct el_store *st, const struct el_store_rows *rows, const struct el_tensor *t, uint32_t part,
                           uint64_t row0, uint64_t n_rows, uint8_t *out, struct el_err *err);
    void (*free)(struct el_store_rows *rows);
};

/* An el_source's priv. */
struct el_store {
    struct el_file *files;
    size_t n_files;
    struct el_store_piece *pieces;
    size_t n_pieces, cap_pieces;
    size_t *first;               /* [n_tensors]: a tensor's first piece; its pieces follow each other */
    struct el_store_rows **rows; /* [n_tensors], owned: not NULL for tensors that have no pieces */
    uint8_t *memory;             /* values that no file holds */
    const char *memory_name;     /* what el_source_tensor names as their file; static */
};

/* The operations of a source whose priv is an el_store. */
extern const struct el_source_ops el_store_ops;

/* Makes the store of s, with room for n_files closed files (fd -1). EL_E_MEMORY. */
enum el_status el_store_new(struct el_source *s, size_t n_files, struct el_store **store, struct el_err *err);

/*
 * Adds a tensor whose name, enc, dims, order are set; completes it. The names move into the source, also on failure. Its pieces
 * must be added next, with el_store_add_piece. Errors name the tensor.
 */
enum el_status el_store_add(struct el_source *s, struct el_tensor *t, struct el_err *err);
enum el_status el_store_add_piece(struct el_source *s, uint32_t file, uint64_t offset, uint64_t nbytes, struct el_err *err);
/* Instead of pieces: the rows are made by `rows`, which moves into the source. file: where most of it comes from. */
void el_store_set_rows(struct el_source *s, uint32_t file, struct el_store_rows *rows);

#endif
