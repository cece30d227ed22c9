#include "formats/store.h"

#include <string.h>

#include "base/mem.h"

static struct el_store *store_of(const struct el_source *s)
{
    return s->priv;
}

enum el_status el_store_new(struct el_source *s, size_t n_files, struct el_store **store, struct el_err *err)
{
    struct el_store *const st = el_calloc_array(1, sizeof *st);
    struct el_file *const files = el_calloc_array(n_files, sizeof *files);
    if (!st || !files) {
        el_free(st);
        el_free(files);
        return el_fail(err, EL_E_MEMORY, "'%s': out of memory for %zu files", s->path, n_files);
    }
    for (size_t i = 0; i < n_files; i++)
        files[i].fd = -1;
    st->files = files;
    st->n_files = n_files;
    s->priv = *store = st;
    s->ops = &el_store_ops;
    return EL_OK;
}

/* Room for one more in an array whose length is only counted: capacities are the powers of two. */
static bool grow(void **array, size_t n, size_t size)
{
    if (n & (n - 1) || (n == 0 && *array))
        return true;
    void *const grown = el_realloc_array(*array, n ? n * 2 : 1, size);
    if (!grown)
        return false;
    *array = grown;
    return true;
}

enum el_status el_store_add(struct el_source *s, struct el_tensor *t, struct el_err *err)
{
    struct el_store *const st = store_of(s);
    void *tensors = s->tensors, *first = st->first, *rows = st->rows;
    const bool room = grow(&tensors, s->n_tensors, sizeof *s->tensors);
    s->tensors = tensors;
    const bool room_too = room && grow(&first, s->n_tensors, sizeof *st->first);
    st->first = first;
    const bool room_all = room_too && grow(&rows, s->n_tensors, sizeof *st->rows);
    st->rows = rows;
    if (!room_all) {
        if (t->file_name != t->name)
            el_free((void *)(uintptr_t)t->file_name);
        el_free((void *)(uintptr_t)t->name);
        return el_fail(err, EL_E_MEMORY, "'%s': out of memory for the tensors", s->path);
    }
    st->first[s->n_tensors] = st->n_pieces;
    st->rows[s->n_tensors] = NULL;
    s->tensors[s->n_tensors++] = *t;
    const enum el_status status = el_tensor_complete(&s->tensors[s->n_tensors - 1], err);
    return status == EL_OK ? EL_OK : el_fail_prefix(err, status, "'%s': tensor '%s'", s->path, t->name);
}

enum el_status el_store_add_piece(struct el_source *s, uint32_t file, uint64_t offset, uint64_t nbytes, struct el_err *err)
{
    struct el_store *const st = store_of(s);
    struct el_tensor *const t = &s->tensors[s->n_tensors - 1];
    void *pieces = st->pieces;
    const bool room = grow(&pieces, st->n_pieces, sizeof *st->pieces);
    st->pieces = pieces;
    if (!room)
        return el_fail(err, EL_E_MEMORY, "'%s': out of memory for the tensors", s->path);
    if (st->first[s->n_tensors - 1] == st->n_pieces) {
        t->file = file;
        t->offset = offset;
    } else {
        t->offset = 0; /* scattered */
    }
    st->pieces[st->n_pieces++] = (struct el_store_piece){file, offset, nbytes};
    return EL_OK;
}

void el_store_set_rows(struct el_source *s, uint32_t file, struct el_store_rows *rows)
{
    struct el_tensor *const t = &s->tensors[s->n_tensors - 1];
    store_of(s)->rows[s->n_tensors - 1] = rows;
    t->file = file;
    t->offset = 0;
}

/* Bytes of a part that is made by rows: whole rows as they are, those that are cut by a detour. */
static enum el_status read_made(const struct el_store *st, const struct el_store_rows *rows, const struct el_tensor *t,
                                uint32_t part, uint64_t offset, uint8_t *out, uint64_t nbytes, struct el_err *err)
{
    const struct el_part_shape *const shape = &t->parts[part];
    const uint64_t each = shape->row_nbytes ? shape->row_nbytes : shape->nbytes;
    uint8_t *row = NULL;
    enum el_status status = EL_OK;
    while (nbytes > 0 && status == EL_OK) {
        const uint64_t r = offset / each, in = offset % each;
        uint64_t n = nbytes - nbytes % each;
        if (in == 0 && n > 0) {
            status = rows->read(st, rows, t, part, r, n / each, out, err);
        } else {
            n = each - in < nbytes ? each - in : nbytes;
            if (!row && !(row = el_alloc((size_t)each)))
                status = el_fail(err, EL_E_MEMORY, "tensor '%s': out of memory", t->name);
            else
                status = rows->read(st, rows, t, part, r, 1, row, err);
            if (status == EL_OK)
                memcpy(out, row + in, n);
        }
        out += n;
        offset += n;
        nbytes -= n;
    }
    el_free(row);
    return status;
}

static enum el_status store_read(struct el_source *s, const struct el_tensor *t, uint32_t part, uint64_t offset, void *out,
                                 uint64_t nbytes, struct el_err *err)
{
    const struct el_store *const st = store_of(s);
    const uint64_t all = t->parts[part].nbytes;
    uint8_t *p = out;
    if (offset > all || nbytes > all - offset)
        return el_fail(err, EL_E_USAGE, "'%s': tensor '%s': bytes %llu to %llu of %llu", s->path, t->name,
                       (unsigned long long)offset, (unsigned long long)(offset + nbytes), (unsigned long long)all);
    if (st->rows[t - s->tensors])
        return read_made(st, st->rows[t - s->tensors], t, part, offset, p, nbytes, err);
    const struct el_store_piece *const pieces = &st->pieces[st->first[t - s->tensors]];
    const uint64_t each = pieces[0].nbytes;
    while (nbytes > 0) {
        const struct el_store_piece *const piece = &pieces[offset / each];
        const uint64_t in = offset % each, n = each - in < nbytes ? each - in : nbytes;
        if (piece->file == EL_STORE_MEMORY)
            memcpy(p, st->memory + piece->offset + in, n);
        else
            EL_TRY(el_file_read(&st->files[piece->file], piece->offset + in, p, n, err));
        p += n;
        offset += n;
        nbytes -= n;
    }
    return EL_OK;
}

static const uint8_t *store_map(struct el_source *s, const struct el_tensor *t, uint32_t part)
{
    (void)part;
    struct el_store *const st = store_of(s);
    const size_t i = st->first[t - s->tensors];
    if (st->rows[t - s->tensors])
        return NULL;
    const struct el_store_piece *const piece = &st->pieces[i];
    if (piece->nbytes != t->parts[0].nbytes)
        return NULL; /* several pieces */
    if (piece->file == EL_STORE_MEMORY)
        return st->memory + piece->offset;
    const uint8_t *base;
    if (el_file_map(&st->files[piece->file], &base, NULL) != EL_OK)
        return NULL;
    /* Kernels read elements in place: what does not lie on a multiple of their size must be copied. */
    const uint8_t *const p = base + piece->offset;
    const uint32_t elem = t->enc.e->block_nbytes / t->enc.e->block_n;
    return elem <= 1 || (uintptr_t)p % elem == 0 ? p : NULL;
}

static const char *store_file(struct el_source *s, uint32_t i)
{
    const struct el_store *const st = store_of(s);
    if (i == EL_STORE_MEMORY)
        return st->memory_name;
    if (i >= st->n_files)
        return NULL;
    const char *const path = st->files[i].path, *const slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static bool store_is_file(struct el_source *s, uint64_t dev, uint64_t ino)
{
    const struct el_store *const st = store_of(s);
    for (size_t i = 0; i < st->n_files; i++) {
        if (st->files[i].fd >= 0 && st->files[i].dev == dev && st->files[i].ino == ino)
            return true;
    }
    return false;
}

static bool store_stamp(struct el_source *s, uint32_t i, uint64_t *nbytes, int64_t *mtime_ns)
{
    const struct el_store *const st = store_of(s);
    if (i >= st->n_files)
        return false;
    *nbytes = st->files[i].nbytes;
    *mtime_ns = st->files[i].mtime_ns;
    return true;
}

static void store_close(struct el_source *s)
{
    struct el_store *const st = store_of(s);
    if (!st)
        return;
    for (size_t i = 0; i < st->n_files; i++)
        el_file_close(&st->files[i]);
    el_free(st->files);
    for (size_t i = 0; st->rows && i < s->n_tensors; i++) {
        if (st->rows[i])
            st->rows[i]->free(st->rows[i]);
    }
    el_free(st->rows);
    el_free(st->pieces);
    el_free(st->first);
    el_free(st->memory);
    el_free(st);
    s->priv = NULL;
}

const struct el_source_ops el_store_ops = {
    .read = store_read,
    .map = store_map,
    .file = store_file,
    .close = store_close,
    .is_file = store_is_file,
    .stamp = store_stamp,
};
