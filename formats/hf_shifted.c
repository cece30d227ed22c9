/*
 * Gains of which a folder holds the value less 1 (Gemma): read as float32 with the 1 added, which loses nothing for bfloat16 of
 * at least 2^-16 or 0, and written with the 1 taken away.
 */
#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "formats/hf.h"

struct shifted {
    struct el_store_rows rows;
    struct el_enc enc; /* in the file */
    uint32_t file;
    uint64_t offset;
};

/* values [n] += shift */
static void shift_values(float *values, uint64_t n, float shift)
{
    for (uint64_t i = 0; i < n; i++)
        values[i] += shift;
}

static enum el_status read_rows(const struct el_store *st, const struct el_store_rows *rows, const struct el_tensor *t,
                                uint32_t part, uint64_t row0, uint64_t n_rows, uint8_t *out, struct el_err *err)
{
    const struct shifted *const from = (const struct shifted *)(const void *)rows;
    struct el_tensor stored = {.enc = from->enc, .n_dims = 1, .dims = {t->n_in}};
    (void)part;
    (void)row0;
    EL_TRY(el_tensor_complete(&stored, err));
    if (n_rows == 0)
        return EL_OK; /* a vector is one row */
    uint8_t *const bytes = el_alloc_array(stored.parts[0].nbytes, 1);
    float *const values = el_alloc_array(t->n_in, sizeof *values);
    enum el_status status = bytes && values ? EL_OK : el_fail(err, EL_E_MEMORY, "tensor '%s': out of memory", t->name);
    if (status == EL_OK)
        status = el_file_read(&st->files[from->file], from->offset, bytes, stored.parts[0].nbytes, err);
    if (status == EL_OK) {
        const struct el_matrix m = {
            .enc = from->enc, .n_rows = 1, .n_in = t->n_in, .data = {bytes}, .row_nbytes = {stored.parts[0].row_nbytes}};
        uint8_t *parts[EL_MAX_PARTS] = {out};
        el_matrix_decode(&m, 0, 1, values);
        shift_values(values, t->n_in, 1.0f);
        t->enc.e->encode(&t->enc, values, NULL, 1, t->n_in, EL_ENCODE_NEAREST, parts);
    }
    el_free(bytes);
    el_free(values);
    return status;
}

static void free_rows(struct el_store_rows *rows)
{
    el_free(rows);
}

enum el_status el_hf_add_shifted(struct el_source *s, uint32_t file, const struct el_enc *enc, uint64_t offset,
                                 struct el_err *err)
{
    struct shifted *const rows = el_calloc_array(1, sizeof *rows);
    if (!rows)
        return el_fail(err, EL_E_MEMORY, "'%s': out of memory for the tensors", s->path);
    *rows = (struct shifted){.rows = {.read = read_rows, .free = free_rows}, .enc = *enc, .file = file, .offset = offset};
    el_store_set_rows(s, file, &rows->rows);
    return EL_OK;
}

enum el_status el_hf_write_shifted(struct el_outfile *f, const struct el_tensor *t, uint64_t at, uint64_t offset,
                                   const uint8_t *data, uint64_t nbytes, struct el_err *err)
{
    const uint64_t n = nbytes / (t->parts[0].row_nbytes / t->n_in);
    const struct el_matrix m = {.enc = t->enc, .n_rows = 1, .n_in = n, .data = {data}, .row_nbytes = {nbytes}};
    float *const values = el_alloc_array(n, sizeof *values);
    uint8_t *const bytes = el_alloc_array(nbytes, 1), *parts[EL_MAX_PARTS] = {bytes};
    enum el_status status = bytes && values ? EL_OK : el_fail(err, EL_E_MEMORY, "tensor '%s': out of memory", t->name);
    if (status == EL_OK) {
        el_matrix_decode(&m, 0, 1, values);
        shift_values(values, n, -1.0f);
        t->enc.e->encode(&t->enc, values, NULL, 1, n, EL_ENCODE_NEAREST, parts);
        status = el_outfile_write(f, at + offset, bytes, nbytes, err);
    }
    el_free(values);
    el_free(bytes);
    return status;
}
