/*
 * Matrices of which a folder holds the transpose (transformers' Conv1D): rows gathered from the file's columns on reading, and
 * scattered over them on writing. Of encodings without blocks only.
 */
#include <string.h>

#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "formats/hf.h"

struct transposed {
    struct el_store_rows rows;
    uint32_t file;
    uint64_t offset; /* of the [n_in, n_rows] matrix in the file */
};

/* Bytes of one element. */
static uint64_t elem_nbytes(const struct el_tensor *t)
{
    return t->parts[0].row_nbytes / t->n_in;
}

/* n elements from one place to another, each with its stride. */
static void copy_elems(uint8_t *to, uint64_t to_stride, const uint8_t *from, uint64_t from_stride, uint64_t n, uint64_t size)
{
    if (size == 4) {
        for (uint64_t i = 0; i < n; i++)
            memcpy(to + i * to_stride, from + i * from_stride, 4);
    } else if (size == 2) {
        for (uint64_t i = 0; i < n; i++)
            memcpy(to + i * to_stride, from + i * from_stride, 2);
    } else {
        for (uint64_t i = 0; i < n; i++)
            memcpy(to + i * to_stride, from + i * from_stride, size);
    }
}

/* A row of the file has one element for each row of the tensor: of each a run is read, and many at a time where they adjoin. */
static enum el_status read_rows(const struct el_store *st, const struct el_store_rows *rows, const struct el_tensor *t,
                                uint32_t part, uint64_t row0, uint64_t n_rows, uint8_t *out, struct el_err *err)
{
    enum { RUNS_NBYTES = 1 << 20 };
    const struct transposed *const from = (const struct transposed *)(const void *)rows;
    const uint64_t size = elem_nbytes(t), run_nbytes = n_rows * size;
    const uint64_t per_read = n_rows == t->n_rows && run_nbytes < RUNS_NBYTES ? RUNS_NBYTES / run_nbytes : 1;
    (void)part;
    uint8_t *const runs = el_alloc_array(per_read, run_nbytes);
    if (!runs)
        return el_fail(err, EL_E_MEMORY, "tensor '%s': out of memory", t->name);
    enum el_status status = EL_OK;
    for (uint64_t col = 0; col < t->n_in && status == EL_OK; col += per_read) {
        const uint64_t n = t->n_in - col < per_read ? t->n_in - col : per_read;
        status = el_file_read(&st->files[from->file], from->offset + (col * t->n_rows + row0) * size, runs, n * run_nbytes, err);
        for (uint64_t c = 0; c < n && status == EL_OK; c++)
            copy_elems(out + (col + c) * size, t->n_in * size, runs + c * run_nbytes, size, n_rows, size);
    }
    el_free(runs);
    return status;
}

static void free_rows(struct el_store_rows *rows)
{
    el_free(rows);
}

enum el_status el_hf_add_transposed(struct el_source *s, uint32_t file, uint64_t offset, struct el_err *err)
{
    struct transposed *const rows = el_calloc_array(1, sizeof *rows);
    if (!rows)
        return el_fail(err, EL_E_MEMORY, "'%s': out of memory for the tensors", s->path);
    *rows = (struct transposed){.rows = {.read = read_rows, .free = free_rows}, .file = file, .offset = offset};
    el_store_set_rows(s, file, &rows->rows);
    return EL_OK;
}

enum el_status el_hf_write_transposed(struct el_outfile *f, const struct el_tensor *t, uint64_t at, uint64_t offset,
                                      const uint8_t *data, uint64_t nbytes, struct el_err *err)
{
    const uint64_t row_nbytes = t->parts[0].row_nbytes, size = elem_nbytes(t);
    const uint64_t row0 = offset / row_nbytes, n_rows = nbytes / row_nbytes;
    uint8_t *const run = el_alloc_array(n_rows, size);
    if (!run)
        return el_fail(err, EL_E_MEMORY, "tensor '%s': out of memory", t->name);
    enum el_status status = EL_OK;
    for (uint64_t col = 0; col < t->n_in && status == EL_OK; col++) {
        copy_elems(run, size, data + col * size, row_nbytes, n_rows, size);
        status = el_outfile_write(f, at + (col * t->n_rows + row0) * size, run, n_rows * size, err);
    }
    el_free(run);
    return status;
}
