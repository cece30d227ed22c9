/*
 * Tensors of a store from the tensors of a header: in one piece where they lie so; else row by row, which is what a view that is
 * no contiguous piece of its storage (a transposed one, a range of columns) needs.
 */
#include <string.h>

#include "base/mem.h"
#include "formats/safetensors.h"
#include "formats/store.h"

enum { SPAN_ELEMS = 64 << 10 }; /* read at a time where elements lie apart */

struct slice {
    uint64_t offset;
    uint64_t strides[EL_MAX_DIMS];
    uint32_t file;
};

struct strided_rows {
    struct el_store_rows base;
    uint32_t n_dims; /* of a slice */
    uint64_t dims[EL_MAX_DIMS];
    uint64_t rows_per_slice;
    struct slice slices[];
};

/* n elements that lie `stride` elements apart, to out. */
static enum el_status read_apart(const struct el_file *f, uint64_t offset, uint64_t n, uint64_t stride, uint64_t size,
                                 uint8_t *span, uint8_t *out, struct el_err *err)
{
    if (stride == 1)
        return el_file_read(f, offset, out, n * size, err);
    const uint64_t at_once = stride == 0 ? n : (SPAN_ELEMS - 1) / stride + 1;
    for (uint64_t i = 0; i < n; i += at_once) {
        const uint64_t k = n - i < at_once ? n - i : at_once;
        EL_TRY(el_file_read(f, offset + i * stride * size, span, ((k - 1) * stride + 1) * size, err));
        for (uint64_t j = 0; j < k; j++)
            memcpy(out + (i + j) * size, span + j * stride * size, size);
    }
    return EL_OK;
}

/* Rows [r0, r0 + n) of a matrix whose columns lie in one piece each: what a transposed view is. */
static enum el_status read_transposed(const struct el_file *f, uint64_t offset, const struct strided_rows *v,
                                      const struct slice *s, uint64_t n, uint64_t size, uint8_t *span, uint8_t *out,
                                      struct el_err *err)
{
    const uint64_t n_in = v->dims[1];
    for (uint64_t c = 0; c < n_in; c++) {
        EL_TRY(el_file_read(f, offset + c * s->strides[1] * size, span, n * size, err));
        for (uint64_t r = 0; r < n; r++)
            memcpy(out + (r * n_in + c) * size, span + r * size, size);
    }
    return EL_OK;
}

/* Where row r of a slice begins. */
static uint64_t row_offset(const struct strided_rows *v, const struct slice *s, uint64_t r, uint64_t size)
{
    uint64_t at = 0;
    for (uint32_t d = v->n_dims - 1; d-- > 0;) {
        at += r % v->dims[d] * s->strides[d];
        r /= v->dims[d];
    }
    return s->offset + at * size;
}

static enum el_status read_rows(const struct el_store *st, const struct el_store_rows *rows, const struct el_tensor *t,
                                uint32_t part, uint64_t row0, uint64_t n_rows, uint8_t *out, struct el_err *err)
{
    const struct strided_rows *const v = (const struct strided_rows *)rows;
    const uint64_t size = t->enc.e->block_nbytes, n_in = v->dims[v->n_dims - 1];
    enum el_status status = EL_OK;
    (void)part;
    uint8_t *const span = el_alloc(SPAN_ELEMS * size);
    if (!span)
        return el_fail(err, EL_E_MEMORY, "tensor '%s': out of memory", t->name);
    while (n_rows > 0 && status == EL_OK) {
        const uint64_t r = row0 % v->rows_per_slice, left = v->rows_per_slice - r;
        const struct slice *const s = &v->slices[row0 / v->rows_per_slice];
        uint64_t n = 1;
        if (v->n_dims == 2 && s->strides[0] == 1 && s->strides[1] != 1) {
            n = left < n_rows ? left : n_rows;
            n = n < SPAN_ELEMS ? n : SPAN_ELEMS;
            status = read_transposed(&st->files[s->file], row_offset(v, s, r, size), v, s, n, size, span, out, err);
        } else {
            status =
                read_apart(&st->files[s->file], row_offset(v, s, r, size), n_in, s->strides[v->n_dims - 1], size, span, out, err);
        }
        row0 += n;
        n_rows -= n;
        out += n * n_in * size;
    }
    el_free(span);
    return status;
}

static void free_rows(struct el_store_rows *rows)
{
    el_free(rows);
}

enum el_status el_st_add_slices(struct el_source *s, const struct el_st_tensor *const *slices, const uint32_t *files, uint64_t n,
                                struct el_err *err)
{
    bool strided = false;
    for (uint64_t i = 0; i < n; i++)
        strided = strided || slices[i]->strided;
    for (uint64_t i = 0; i < n && !strided; i++)
        EL_TRY(el_store_add_piece(s, files[i], slices[i]->offset, slices[i]->nbytes, err));
    if (!strided)
        return EL_OK;
    struct strided_rows *const v = el_calloc_array(1, sizeof *v + n * sizeof v->slices[0]);
    if (!v)
        return el_fail(err, EL_E_MEMORY, "'%s': out of memory for the tensors", s->path);
    v->base = (struct el_store_rows){read_rows, free_rows};
    v->n_dims = slices[0]->n_dims;
    memcpy(v->dims, slices[0]->dims, sizeof v->dims);
    v->rows_per_slice = 1;
    for (uint32_t d = 0; d + 1 < v->n_dims; d++)
        v->rows_per_slice *= v->dims[d];
    for (uint64_t i = 0; i < n; i++) {
        v->slices[i] = (struct slice){.offset = slices[i]->offset, .file = files[i]};
        uint64_t next = 1;
        for (uint32_t d = v->n_dims; d-- > 0; next *= v->dims[d])
            v->slices[i].strides[d] = slices[i]->strided ? slices[i]->strides[d] : next;
    }
    el_store_set_rows(s, files[0], &v->base);
    return EL_OK;
}

enum el_status el_st_add_tensors(struct el_source *s, struct el_st_header *h, struct el_err *err)
{
    for (size_t i = 0; i < h->n_tensors; i++) {
        struct el_st_tensor *const from = &h->tensors[i];
        const struct el_st_tensor *const piece = from;
        const uint32_t file = 0;
        struct el_tensor t = {.name = from->name, .file_name = from->name, .enc = from->enc, .n_dims = from->n_dims};
        memcpy(t.dims, from->dims, sizeof t.dims);
        from->name = NULL; /* moves */
        EL_TRY(el_store_add(s, &t, err));
        EL_TRY(el_st_add_slices(s, &piece, &file, 1, err));
    }
    return EL_OK;
}
