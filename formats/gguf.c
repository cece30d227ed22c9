/* GGUF files as sources: one file, or a split set as one. */
#include "formats/gguf.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "base/checked.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/strmap.h"
#include "formats/format.h"
#include "model/arch.h"

struct gguf {
    struct el_file *files; /* NULL: memory */
    uint32_t n_files, n_open;
    const uint8_t *memory;
    uint64_t memory_nbytes;
    struct el_gguf_place *places; /* one per tensor */
};

/* ---- operations ---- */

static enum el_status gguf_read(struct el_source *s, const struct el_tensor *t, uint32_t part, uint64_t offset, void *out,
                                uint64_t nbytes, struct el_err *err)
{
    const struct gguf *const g = s->priv;
    const struct el_gguf_place *const place = &g->places[t - s->tensors];
    if (offset > t->parts[part].nbytes || nbytes > t->parts[part].nbytes - offset)
        return el_fail(err, EL_E_USAGE, "'%s': tensor '%s': %llu bytes at %llu, the part has %llu", s->path, t->name,
                       (unsigned long long)nbytes, (unsigned long long)offset, (unsigned long long)t->parts[part].nbytes);
    if (g->files)
        return el_file_read(&g->files[place->file[part]], place->offset[part] + offset, out, nbytes, err);
    if (nbytes > 0)
        memcpy(out, g->memory + place->offset[part] + offset, (size_t)nbytes);
    return EL_OK;
}

static const uint8_t *gguf_map(struct el_source *s, const struct el_tensor *t, uint32_t part)
{
    struct gguf *const g = s->priv;
    const struct el_gguf_place *const place = &g->places[t - s->tensors];
    const uint8_t *base = g->memory;
    if (t->parts[part].nbytes == 0)
        return NULL; /* it may be said to lie past the end */
    if (g->files && el_file_map(&g->files[place->file[part]], &base, NULL) != EL_OK)
        return NULL;
    /* Kernels read floats in place: what a file with a smaller alignment holds must be copied. */
    const uint8_t *const p = base + place->offset[part];
    return (uintptr_t)p % EL_GGUF_ALIGNMENT == 0 ? p : NULL;
}

static const char *gguf_file(struct el_source *s, uint32_t i)
{
    const struct gguf *const g = s->priv;
    if (i >= g->n_files)
        return NULL;
    const char *const path = g->files ? g->files[i].path : s->path;
    const char *const slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static void gguf_close(struct el_source *s)
{
    struct gguf *const g = s->priv;
    if (!g)
        return;
    for (uint32_t i = 0; i < g->n_open; i++)
        el_file_close(&g->files[i]);
    el_free(g->files);
    el_free(g->places);
    el_free(g);
    s->priv = NULL;
}

static bool gguf_is_file(struct el_source *s, uint64_t dev, uint64_t ino)
{
    const struct gguf *const g = s->priv;
    for (uint32_t i = 0; i < g->n_open; i++) {
        if (g->files[i].dev == dev && g->files[i].ino == ino)
            return true;
    }
    return false;
}

static bool gguf_stamp(struct el_source *s, uint32_t i, uint64_t *nbytes, int64_t *mtime_ns)
{
    const struct gguf *const g = s->priv;
    if (i >= g->n_open)
        return false;
    *nbytes = g->files[i].nbytes;
    *mtime_ns = g->files[i].mtime_ns;
    return true;
}

static void gguf_meta_changed(struct el_source *s)
{
    el_gguf_set_orders(s->meta, s->tensors, s->n_tensors);
}

static const struct el_source_ops gguf_ops = {
    .read = gguf_read,
    .map = gguf_map,
    .file = gguf_file,
    .close = gguf_close,
    .is_file = gguf_is_file,
    .stamp = gguf_stamp,
    .meta_changed = gguf_meta_changed,
};

/* ---- row orders ---- */

void el_gguf_set_orders(const struct el_meta *meta, struct el_tensor *tensors, size_t n)
{
    struct el_hparams hp;
    memset(&hp, 0, sizeof hp);
    const struct el_arch *const arch = el_arch_of_meta(meta, NULL);
    const bool known = arch && el_arch_hparams(arch, meta, &hp, NULL) == EL_OK;
    for (size_t i = 0; i < n; i++) {
        struct el_tensor *const t = &tensors[i];
        const struct el_tensor_rule *const rule = known ? el_arch_rule(arch, t->name, NULL) : NULL;
        t->order = (struct el_row_order){.kind = EL_ROWS_CANONICAL};
        t->order_elems = false;
        if (!rule)
            continue;
        const struct el_row_order order = el_arch_gguf_order(arch, rule, &hp);
        const uint64_t period = (uint64_t)order.n_heads * order.head_rows * (order.kind == EL_ROWS_QKV_BY_HEAD ? 3 : 1);
        const uint64_t n_ordered = t->n_rows == 1 ? t->n_in : t->n_rows;
        if (order.kind == EL_ROWS_CANONICAL || period == 0 || n_ordered % period != 0)
            continue; /* a misshapen tensor: binding the model will say so */
        t->order = order;
        t->order_elems = t->n_rows == 1;
    }
}

/* ---- opening ---- */

/* The set while it is being put together. */
struct set {
    struct el_source *s;
    bool strict;
    struct el_meta *meta; /* of the first part */
    struct el_gguf_entry *entries;
    size_t n_entries;
    uint32_t count, tensors_count;
    bool has_tensors_count;
    struct el_err *err;
};

/* split.no or another small number that some writers store as u16 and others as i32; `missing` when absent. */
static enum el_status split_number(const char *path, const struct el_meta *meta, const char *key, uint32_t max, uint32_t missing,
                                   uint32_t *out, struct el_err *err)
{
    const enum el_status status = el_meta_get_u32_or(meta, key, 0, max, missing, out, err);
    return status == EL_OK ? EL_OK : el_fail_prefix(err, status, "'%s'", path);
}

/* Checks the header of part i of a set of `count` against its place in the set, and the first part. */
static enum el_status check_part(struct set *set, const char *path, const struct el_meta *meta, uint32_t i)
{
    uint32_t no, count;
    EL_TRY(split_number(path, meta, "split.no", UINT16_MAX, UINT32_MAX, &no, set->err));
    EL_TRY(split_number(path, meta, "split.count", UINT16_MAX, 0, &count, set->err));
    if (no == UINT32_MAX)
        return el_fail(set->err, EL_E_FORMAT, "'%s': metadata 'split.no': missing, must be %u by the file's name", path, i);
    if (no != i)
        return el_fail(set->err, EL_E_FORMAT, "'%s': metadata 'split.no': %u, must be %u by the file's name", path, no, i);
    if (count != set->count)
        return el_fail(set->err, EL_E_FORMAT, "'%s': metadata 'split.count': %u, must be %u as in the rest of the set", path,
                       count, set->count);
    const size_t at = el_meta_find(meta, "split.tensors.count");
    if (at != SIZE_MAX) {
        uint32_t total;
        EL_TRY(split_number(path, meta, "split.tensors.count", INT32_MAX, 0, &total, set->err));
        if (set->has_tensors_count && total != set->tensors_count)
            return el_fail(set->err, EL_E_FORMAT,
                           "'%s': metadata 'split.tensors.count': %u, must be %u as in the rest of the set", path, total,
                           set->tensors_count);
        set->tensors_count = total;
        set->has_tensors_count = true;
    }
    /* Programs that split anew keep the key in the first part only. */
    const size_t id = el_meta_find(meta, EL_GGUF_SPLIT_ID_KEY);
    const size_t first_id = set->meta ? el_meta_find(set->meta, EL_GGUF_SPLIT_ID_KEY) : SIZE_MAX;
    if (id != SIZE_MAX && first_id != SIZE_MAX && !el_meta_value_equal(meta, id, set->meta, first_id))
        return el_fail(set->err, EL_E_FORMAT, "'%s': metadata '%s' differs from the first part's: a part of another model", path,
                       EL_GGUF_SPLIT_ID_KEY);
    for (size_t k = 0; set->meta && k < el_meta_count(meta); k++) {
        const char *const key = el_meta_key(meta, k);
        const size_t first = el_meta_find(set->meta, key);
        if (el_gguf_is_split_key(key) || strcmp(key, "general.alignment") == 0)
            continue;
        if (first == SIZE_MAX || !el_meta_value_equal(meta, k, set->meta, first))
            return el_fail(set->err, EL_E_FORMAT,
                           "'%s': metadata '%.100s' differs from the first part's: a part of another model", path, key);
    }
    return EL_OK;
}

/* Moves the entries of a header to the end of the set's. */
static enum el_status append_entries(struct set *set, const char *path, struct el_gguf_header *h, uint32_t file)
{
    if (h->n_entries > EL_MAX_GGUF_TENSORS - set->n_entries)
        return el_fail(set->err, EL_E_FORMAT, "'%s': more than %d tensors up to this part", path, EL_MAX_GGUF_TENSORS);
    struct el_gguf_entry *const grown = el_realloc_array(set->entries, set->n_entries + h->n_entries, sizeof *grown);
    if (!grown)
        return el_fail(set->err, EL_E_MEMORY, "'%s': out of memory", path);
    set->entries = grown;
    for (size_t i = 0; i < h->n_entries; i++) {
        grown[set->n_entries + i] = h->entries[i];
        grown[set->n_entries + i].file = file;
        h->entries[i].name = NULL; /* moved */
    }
    set->n_entries += h->n_entries;
    return EL_OK;
}

/* Takes over a file and its header as part i. */
static enum el_status take_part(struct set *set, const char *path, struct el_file *file, struct el_gguf_header *h, uint32_t i)
{
    struct gguf *const g = set->s->priv;
    g->files[i] = *file;
    g->n_open = i + 1;
    enum el_status status = set->count > 1 ? check_part(set, path, h->meta, i) : EL_OK;
    if (status == EL_OK)
        status = append_entries(set, path, h, i);
    if (status == EL_OK && i == 0) {
        set->meta = h->meta;
        h->meta = NULL;
    }
    el_gguf_header_release(h);
    return status;
}

static enum el_status open_part(struct set *set, const char *path, struct el_file *file, struct el_gguf_header *h)
{
    EL_TRY(el_file_open(file, path, set->err));
    const struct el_gguf_input in = {.path = path, .file = file, .nbytes = file->nbytes};
    const enum el_status status = el_gguf_read_header(&in, set->strict, h, set->err);
    if (status != EL_OK)
        el_file_close(file);
    return status;
}

/* Part i of a real set, by name. */
static enum el_status add_part(struct set *set, const char *path, uint32_t i)
{
    if (access(path, F_OK) != 0 && errno == ENOENT)
        return el_fail(set->err, EL_E_FORMAT, "'%s': part %u of %u is missing: '%s'", set->s->path, i + 1, set->count, path);
    struct el_file file;
    struct el_gguf_header h;
    EL_TRY(open_part(set, path, &file, &h));
    return take_part(set, path, &file, &h, i);
}

/* How many files belong to the one that was given, and how their names begin (el_alloc memory; NULL when it is alone). */
static enum el_status find_set(struct set *set, const struct el_meta *meta, char **prefix)
{
    const char *const path = set->s->path;
    uint32_t count, name_no, name_count;
    *prefix = NULL;
    EL_TRY(split_number(path, meta, "split.count", EL_MAX_SPLITS, 1, &count, set->err));
    set->count = count > 1 ? count : 1;
    if (set->count == 1)
        return EL_OK;
    const size_t n_prefix = el_gguf_split_prefix(path, &name_no, &name_count);
    if (n_prefix == 0)
        return el_fail(set->err, EL_E_FORMAT, "'%s': one of %u parts, which must be named NAME-00001-of-%05u.gguf to be found",
                       path, count, count);
    if (name_count != count)
        return el_fail(set->err, EL_E_FORMAT, "'%s': metadata 'split.count': %u, must be %u by the file's name", path, count,
                       name_count);
    *prefix = el_strndup(path, n_prefix);
    return *prefix ? EL_OK : el_fail(set->err, EL_E_MEMORY, "'%s': out of memory", path);
}

static enum el_status open_files(struct set *set)
{
    struct gguf *const g = set->s->priv;
    const char *const path = set->s->path;
    struct el_file file;
    struct el_gguf_header h;
    char *prefix = NULL;
    EL_TRY(open_part(set, path, &file, &h));
    enum el_status status = find_set(set, h.meta, &prefix);
    if (status == EL_OK) {
        g->n_files = set->count;
        g->files = el_calloc_array(set->count, sizeof *g->files);
        status = g->files ? EL_OK : el_fail(set->err, EL_E_MEMORY, "'%s': out of memory", path);
    }
    if (status == EL_OK && !prefix)
        return take_part(set, path, &file, &h, 0);
    el_gguf_header_release(&h);
    el_file_close(&file);
    for (uint32_t i = 0; i < set->count && status == EL_OK; i++) {
        char *const part = el_gguf_split_path(prefix, i, set->count);
        status = part ? add_part(set, part, i) : el_fail(set->err, EL_E_MEMORY, "'%s': out of memory", path);
        el_free(part);
    }
    el_free(prefix);
    return status;
}

/* What only the whole set shows: names in two parts, and the number of tensors. */
static enum el_status check_set(struct set *set)
{
    struct el_strmap names;
    el_strmap_init(&names);
    enum el_status status = EL_OK;
    for (size_t i = 0; i < set->n_entries && status == EL_OK; i++) {
        const struct el_gguf_entry *const e = &set->entries[i];
        bool existed = false;
        if (!el_strmap_add(&names, e->name, strlen(e->name), (int64_t)i, &existed))
            status = el_fail(set->err, EL_E_MEMORY, "'%s': out of memory", set->s->path);
        else if (existed)
            status = el_fail(set->err, EL_E_FORMAT, "'%s': tensor '%s' is in part %u and in part %u", set->s->path, e->name,
                             set->entries[el_strmap_get(&names, e->name, strlen(e->name), 0)].file + 1, e->file + 1);
    }
    el_strmap_release(&names);
    if (status == EL_OK && set->has_tensors_count && set->tensors_count != set->n_entries)
        status = el_fail(set->err, EL_E_FORMAT, "'%s': metadata 'split.tensors.count': %u, but the parts have %zu tensors",
                         set->s->path, set->tensors_count, set->n_entries);
    return status;
}

/* From directory entries to tensors. */
static enum el_status finish(struct set *set)
{
    struct el_source *const s = set->s;
    struct gguf *const g = s->priv;
    el_meta_remove(set->meta, "split.no");
    el_meta_remove(set->meta, "split.count");
    el_meta_remove(set->meta, "split.tensors.count");
    el_meta_remove(set->meta, EL_GGUF_SPLIT_ID_KEY);
    EL_TRY(el_gguf_fold(s->path, set->meta, set->entries, set->n_entries, &s->tensors, &g->places, &s->n_tensors, set->err));
    el_meta_free(s->meta);
    s->meta = set->meta;
    set->meta = NULL;
    el_gguf_set_orders(s->meta, s->tensors, s->n_tensors);
    return EL_OK;
}

/* Whatever way it went, what is left of the directory is freed; on failure the source is left empty. */
static enum el_status leave(struct set *set, enum el_status status)
{
    for (size_t i = 0; i < set->n_entries; i++)
        el_free(set->entries[i].name);
    el_free(set->entries);
    el_meta_free(set->meta);
    if (status != EL_OK)
        gguf_close(set->s);
    return status;
}

static enum el_status gguf_open(struct el_source *s, const struct el_source_opts *opts, struct el_err *err)
{
    struct set set = {.s = s, .strict = opts && opts->strict, .err = err};
    s->ops = &gguf_ops;
    s->priv = el_calloc_array(1, sizeof(struct gguf));
    if (!s->priv)
        return el_fail(err, EL_E_MEMORY, "'%s': out of memory", s->path);
    enum el_status status = open_files(&set);
    if (status == EL_OK && set.count > 1)
        status = check_set(&set);
    if (status == EL_OK)
        status = finish(&set);
    return leave(&set, status);
}

enum el_status el_gguf_open_memory(const void *data, size_t nbytes, const struct el_source_opts *opts, struct el_source **source,
                                   struct el_err *err)
{
    *source = NULL;
    struct el_source *const s = el_calloc_array(1, sizeof *s);
    struct gguf *const g = el_calloc_array(1, sizeof *g);
    char *const path = el_strdup("memory");
    if (!s || !g || !path) {
        el_free(s);
        el_free(g);
        el_free(path);
        return el_fail(err, EL_E_MEMORY, "'memory': out of memory");
    }
    *s = (struct el_source){.ops = &gguf_ops, .format = "gguf", .path = path, .priv = g};
    *g = (struct gguf){.n_files = 1, .memory = data, .memory_nbytes = nbytes};
    struct set set = {.s = s, .count = 1, .err = err};
    const struct el_gguf_input in = {.path = path, .memory = data, .nbytes = nbytes};
    struct el_gguf_header h;
    enum el_status status = el_gguf_read_header(&in, opts && opts->strict, &h, err);
    if (status == EL_OK) {
        set.meta = h.meta;
        h.meta = NULL;
        status = append_entries(&set, path, &h, 0);
        el_gguf_header_release(&h);
    }
    char *prefix = NULL;
    if (status == EL_OK)
        status = find_set(&set, set.meta, &prefix); /* the rest of a set cannot be found from here: an error */
    if (status == EL_OK)
        status = finish(&set);
    status = leave(&set, status);
    if (status != EL_OK) {
        el_source_close(s);
        return status;
    }
    *source = s;
    return EL_OK;
}

/* By content; a file that is only named so is taken too, for the reader says what it is instead. */
static bool gguf_probe(const char *path, bool is_folder, const uint8_t *head, size_t n_head)
{
    const size_t n = strlen(path);
    return !is_folder && ((n_head >= 4 && memcmp(head, "GGUF", 4) == 0) || (n > 5 && strcmp(path + n - 5, ".gguf") == 0));
}

extern const struct el_format el_format_gguf;
const struct el_format el_format_gguf = {
    .name = "gguf",
    .about = "GGUF versions 2 and 3, also split",
    .probe = gguf_probe,
    .open = gguf_open,
    .create = el_gguf_create,
};
