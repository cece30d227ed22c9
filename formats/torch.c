/* Files of torch.save, alone or as the shards of a Hugging Face folder; see torch.h. */
#include "formats/torch.h"

#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/cursor.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/strmap.h"
#include "formats/format.h"
#include "formats/pickle.h"
#include "formats/store.h"
#include "formats/zip.h"

extern const struct el_format el_format_torch;

/* What the first two pickles of the older file are: a number of ten bytes and the version of its protocol. */
static const char legacy_magic[] = "\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19";
enum { LEGACY_MAGIC_NBYTES = sizeof legacy_magic - 1, LEGACY_VERSION = 1001, LEGACY_FIRST_READ = 4 << 20 };

enum { MAX_DEPTH = 8 };

/* ---- from a pickle to a list of tensors ---- */

struct listing {
    const char *path;
    const struct el_pickle *p;
    const uint64_t *begin; /* [n_storages]: where the bytes of a storage lie in the file */
    struct el_st_header *h;
    size_t n_steps, n_left_out;
    char name[EL_MAX_TENSOR_NAME + 1];
    struct el_err *err;
};

static enum el_status add_tensor(struct listing *l, const struct el_pickle_tensor *from)
{
    struct el_st_header *const h = l->h;
    if (h->n_tensors == EL_MAX_TENSORS)
        return el_fail(l->err, EL_E_FORMAT, "'%s': more than %d tensors", l->path, (int)EL_MAX_TENSORS);
    if ((h->n_tensors & (h->n_tensors - 1)) == 0) {
        struct el_st_tensor *const grown = el_realloc_array(h->tensors, h->n_tensors ? 2 * h->n_tensors : 1, sizeof *grown);
        if (!grown)
            return el_fail(l->err, EL_E_MEMORY, "'%s': out of memory for the tensors", l->path);
        h->tensors = grown;
    }
    struct el_st_tensor t = {.name = el_strdup(l->name), .enc = from->enc, .n_dims = from->n_dims};
    if (!t.name)
        return el_fail(l->err, EL_E_MEMORY, "'%s': out of memory for the tensors", l->path);
    const uint64_t size = t.enc.e->block_nbytes;
    uint64_t next = 1; /* stride of a dimension when all lies in one piece */
    t.nbytes = size;   /* cannot overflow: the pickle's reader has multiplied the dimensions */
    for (uint32_t d = t.n_dims; d-- > 0;) {
        t.dims[d] = from->dims[d];
        t.strides[d] = from->strides[d];
        t.strided = t.strided || (t.dims[d] > 1 && t.strides[d] != next);
        next *= t.dims[d];
        t.nbytes *= t.dims[d];
    }
    t.strided = t.strided && t.nbytes > 0;
    if (t.n_dims == 0)
        t.dims[t.n_dims++] = 1;
    t.offset = t.nbytes > 0 ? l->begin[from->storage] + from->offset * size : l->begin[from->storage];
    h->tensors[h->n_tensors++] = t;
    return EL_OK;
}

/* The tensors of a dictionary; l->name holds n bytes of what stands before their names. */
static enum el_status add_dict(struct listing *l, const struct el_pickle_value *dict, size_t n, unsigned depth)
{
    const struct el_pickle *const p = l->p;
    if (depth == MAX_DEPTH)
        return el_fail(l->err, EL_E_FORMAT, "'%s': dictionaries within dictionaries, more than %d deep", l->path, (int)MAX_DEPTH);
    for (uint32_t i = dict->first; i != EL_PICKLE_END; i = p->items[i].next) {
        const struct el_pickle_value *const key = &p->values[p->items[i].key], *const v = &p->values[p->items[i].value];
        if (l->n_steps++ == EL_MAX_PICKLE_VALUES)
            return el_fail(l->err, EL_E_FORMAT, "'%s': the dictionaries hold each other", l->path);
        if (v->kind != EL_PICKLE_TENSOR && v->kind != EL_PICKLE_DICT) {
            l->n_left_out++;
            continue;
        }
        if (key->kind != EL_PICKLE_TEXT) {
            l->n_left_out++; /* optimizers number their states */
            continue;
        }
        if (key->n == 0 || n + key->n > EL_MAX_TENSOR_NAME || memchr(key->text, '\0', key->n))
            return el_fail(l->err, EL_E_FORMAT, "'%s': name of a tensor of %zu bytes, must be 1 to %d without a zero byte",
                           l->path, n + key->n, EL_MAX_TENSOR_NAME);
        memcpy(l->name + n, key->text, key->n);
        l->name[n + key->n] = '\0';
        if (v->kind == EL_PICKLE_TENSOR) {
            EL_TRY(add_tensor(l, &p->tensors[v->i]));
            continue;
        }
        if (n + key->n == EL_MAX_TENSOR_NAME)
            return el_fail(l->err, EL_E_FORMAT, "'%s': names of tensors of more than %d bytes", l->path, EL_MAX_TENSOR_NAME);
        l->name[n + key->n] = '.';
        EL_TRY(add_dict(l, v, n + key->n + 1, depth + 1));
    }
    return EL_OK;
}

static enum el_status check_names(const struct listing *l)
{
    struct el_strmap seen;
    enum el_status status = EL_OK;
    el_strmap_init(&seen);
    for (size_t i = 0; i < l->h->n_tensors && status == EL_OK; i++) {
        const char *const name = l->h->tensors[i].name;
        bool existed = false;
        if (!el_strmap_add(&seen, name, strlen(name), 0, &existed))
            status = el_fail(l->err, EL_E_MEMORY, "'%s': out of memory for the tensors", l->path);
        else if (existed)
            status = el_fail(l->err, EL_E_FORMAT, "'%s': two tensors named '%s'", l->path, name);
    }
    el_strmap_release(&seen);
    return status;
}

static enum el_status list_tensors(const char *path, const struct el_pickle *p, const uint64_t *begin, struct el_st_header *h,
                                   struct el_err *err)
{
    const struct el_pickle_value *const root = &p->values[p->root];
    struct listing l = {.path = path, .p = p, .begin = begin, .h = h, .err = err};
    if (root->kind != EL_PICKLE_DICT)
        return el_fail(err, EL_E_UNSUPPORTED, "'%s': holds no dictionary of tensors", path);
    EL_TRY(add_dict(&l, root, 0, 0));
    if (h->n_tensors == 0)
        return el_fail(err, EL_E_UNSUPPORTED, "'%s': holds a dictionary without tensors", path);
    if (l.n_left_out)
        el_warn("'%s': %zu values that are no tensors are left out", path, l.n_left_out);
    return check_names(&l);
}

/* Bytes that a storage needs; UINT64_MAX when they overflow. */
static uint64_t storage_nbytes(const struct el_pickle_storage *s)
{
    uint64_t nbytes;
    return el_mul_u64(s->n_elems, s->enc.e ? s->enc.e->block_nbytes : 1, &nbytes) ? nbytes : UINT64_MAX;
}

/* ---- the archive ---- */

/* The whole of a stored entry in memory. */
static enum el_status read_entry(const struct el_zip *z, size_t entry, uint64_t max, uint8_t **data, struct el_err *err)
{
    const struct el_zip_entry *const e = &z->entries[entry];
    uint64_t offset;
    EL_TRY(el_zip_data(z, entry, &offset, err));
    if (e->nbytes > max)
        return el_fail(err, EL_E_FORMAT, "'%s': zip entry '%s' of %llu bytes, at most %llu", z->file->path, e->name,
                       (unsigned long long)e->nbytes, (unsigned long long)max);
    *data = el_alloc((size_t)e->nbytes);
    if (!*data)
        return el_fail(err, EL_E_MEMORY, "'%s': out of memory for %llu bytes", z->file->path, (unsigned long long)e->nbytes);
    const enum el_status status = el_file_read(z->file, offset, *data, e->nbytes, err);
    if (status != EL_OK) {
        el_free(*data);
        *data = NULL;
    }
    return status;
}

/* PREFIX/data.pkl, and the length of "PREFIX/". */
static enum el_status find_pickle(const struct el_zip *z, size_t *entry, size_t *n_prefix, struct el_err *err)
{
    for (size_t i = 0; i < z->n_entries; i++) {
        const char *const name = z->entries[i].name, *const slash = strchr(name, '/');
        if (slash && strcmp(slash + 1, "data.pkl") == 0) {
            *entry = i;
            *n_prefix = (size_t)(slash - name) + 1;
            return EL_OK;
        }
    }
    return el_fail(err, EL_E_UNSUPPORTED, "'%s': is a zip archive without data.pkl, so none of torch.save", z->file->path);
}

/* Index of the entry PREFIX/NAME, SIZE_MAX when missing. */
static size_t find_member(const struct el_zip *z, const char *prefix, size_t n_prefix, const char *folder, const char *name,
                          size_t n_name)
{
    char path[512];
    const size_t n_folder = strlen(folder);
    if (n_prefix + n_folder + n_name >= sizeof path || memchr(name, '\0', n_name))
        return SIZE_MAX;
    memcpy(path, prefix, n_prefix);
    memcpy(path + n_prefix, folder, n_folder);
    memcpy(path + n_prefix + n_folder, name, n_name);
    path[n_prefix + n_folder + n_name] = '\0';
    return el_zip_find(z, path);
}

static enum el_status check_byte_order(const struct el_zip *z, const char *prefix, size_t n_prefix, struct el_err *err)
{
    const size_t at = find_member(z, prefix, n_prefix, "", "byteorder", 9);
    uint8_t *text = NULL;
    if (at == SIZE_MAX)
        return EL_OK; /* older than that entry: little-endian in practice */
    EL_TRY(read_entry(z, at, 16, &text, err));
    const uint64_t n = z->entries[at].nbytes;
    const bool little = n == 6 && memcmp(text, "little", 6) == 0, big = n == 3 && memcmp(text, "big", 3) == 0;
    el_free(text);
    if (big)
        return el_fail(err, EL_E_UNSUPPORTED, "'%s': was written on a big-endian machine, only little-endian files are read",
                       z->file->path);
    return little ? EL_OK : el_fail(err, EL_E_FORMAT, "'%s': byteorder is neither little nor big", z->file->path);
}

static enum el_status find_storages(const struct el_zip *z, const char *prefix, size_t n_prefix, const struct el_pickle *p,
                                    uint64_t *begin, struct el_err *err)
{
    for (size_t i = 0; i < p->n_storages; i++) {
        const struct el_pickle_storage *const s = &p->storages[i];
        const size_t at = find_member(z, prefix, n_prefix, "data/", s->key, s->n_key);
        if (at == SIZE_MAX)
            return el_fail(err, EL_E_FORMAT, "'%s': no entry 'data/%.*s' in the archive, a storage of a tensor", z->file->path,
                           s->n_key < 64 ? (int)s->n_key : 64, s->key);
        if (z->entries[at].nbytes != storage_nbytes(s))
            return el_fail(err, EL_E_FORMAT, "'%s': entry '%s' has %llu bytes, %llu elements of %s need %llu", z->file->path,
                           z->entries[at].name, (unsigned long long)z->entries[at].nbytes, (unsigned long long)s->n_elems,
                           s->enc.e ? s->enc.e->name : "a byte", (unsigned long long)storage_nbytes(s));
        EL_TRY(el_zip_data(z, at, &begin[i], err));
    }
    return EL_OK;
}

static enum el_status read_archive(const struct el_file *f, struct el_st_header *h, struct el_err *err)
{
    struct el_zip z;
    struct el_pickle p = {0};
    uint8_t *data = NULL;
    uint64_t *begin = NULL;
    size_t entry = 0, n_prefix = 0;
    EL_TRY(el_zip_open(f, &z, err));
    enum el_status status = find_pickle(&z, &entry, &n_prefix, err);
    if (status != EL_OK)
        goto out;
    const char *const prefix = z.entries[entry].name;
    EL_TRY_OUT(check_byte_order(&z, prefix, n_prefix, err));
    EL_TRY_OUT(read_entry(&z, entry, EL_MAX_PICKLE, &data, err));
    status = el_pickle_parse(data, (size_t)z.entries[entry].nbytes, &p, NULL, err);
    if (status != EL_OK) {
        status = el_fail_prefix(err, status, "'%s'", f->path);
        goto out;
    }
    begin = el_alloc_array(p.n_storages, sizeof *begin);
    if (!begin) {
        status = el_fail(err, EL_E_MEMORY, "'%s': out of memory for the tensors", f->path);
        goto out;
    }
    EL_TRY_OUT(find_storages(&z, prefix, n_prefix, &p, begin, err));
    status = list_tensors(f->path, &p, begin, h, err);
out:
    el_pickle_release(&p);
    el_free(begin);
    el_free(data);
    el_zip_close(&z);
    return status;
}

/* ---- the older file ---- */

struct legacy {
    const struct el_file *f;
    uint8_t *data; /* the first nbytes bytes of the file */
    size_t nbytes, at;
};

/* One more pickle of the file. */
static enum el_status next_pickle(struct legacy *l, struct el_pickle *p, struct el_err *err)
{
    size_t n = 0;
    const enum el_status status = el_pickle_parse(l->data + l->at, l->nbytes - l->at, p, &n, err);
    if (status != EL_OK)
        return el_fail_prefix(err, status, "'%s': from byte %llu on", l->f->path, (unsigned long long)l->at);
    l->at += n;
    return EL_OK;
}

static enum el_status check_system(const struct legacy *l, const struct el_pickle *p, struct el_err *err)
{
    const struct el_pickle_value *const root = &p->values[p->root];
    for (uint32_t i = root->kind == EL_PICKLE_DICT ? root->first : EL_PICKLE_END; i != EL_PICKLE_END; i = p->items[i].next) {
        const struct el_pickle_value *const key = &p->values[p->items[i].key], *const v = &p->values[p->items[i].value];
        if (key->kind == EL_PICKLE_TEXT && key->n == 13 && memcmp(key->text, "little_endian", 13) == 0 &&
            v->kind == EL_PICKLE_BOOL)
            return v->i ? EL_OK
                        : el_fail(err, EL_E_UNSUPPORTED,
                                  "'%s': was written on a big-endian machine, only little-endian files are read", l->f->path);
    }
    return el_fail(err, EL_E_FORMAT, "'%s': the third pickle does not say little_endian", l->f->path);
}

/* A storage of the file that tensors name. */
struct walked {
    size_t first; /* of p->storages with this key */
    uint64_t begin;
    bool found;
};

/* Reads what stands before the bytes of one storage, which begins at *at; moves *at behind them. */
static enum el_status walk_storage(const struct legacy *l, const struct el_pickle_storage *s, struct walked *w, uint64_t *at,
                                   struct el_err *err)
{
    uint8_t count[8];
    EL_TRY(el_file_read(l->f, *at, count, sizeof count, err));
    struct el_cursor c = el_cursor_init(count, sizeof count);
    const uint64_t n_elems = el_cursor_u64(&c), nbytes = storage_nbytes(s);
    w->begin = *at + sizeof count;
    w->found = true;
    if (n_elems != s->n_elems || nbytes > l->f->nbytes || w->begin > l->f->nbytes - nbytes)
        return el_fail(err, EL_E_FORMAT, "'%s': storage '%.*s': %llu elements at byte %llu, should be %llu within %llu bytes",
                       l->f->path, s->n_key < 64 ? (int)s->n_key : 64, s->key, (unsigned long long)n_elems,
                       (unsigned long long)w->begin, (unsigned long long)s->n_elems, (unsigned long long)l->f->nbytes);
    *at = w->begin + nbytes;
    return EL_OK;
}

/* Behind the list of names: for each storage its number of elements (u64), then its bytes. */
static enum el_status walk_storages(const struct legacy *l, const struct el_pickle *p, const struct el_pickle *keys,
                                    uint64_t *begin, struct el_err *err)
{
    const struct el_pickle_value *const list = &keys->values[keys->root];
    uint64_t at = l->at;
    struct el_strmap by_key; /* to index in walked */
    size_t n_walked = 0;
    enum el_status status = EL_OK;
    el_strmap_init(&by_key);
    struct walked *const walked = el_calloc_array(p->n_storages, sizeof *walked);
    for (size_t i = 0; i < p->n_storages && walked; i++) {
        bool existed = false;
        if (!el_strmap_add(&by_key, p->storages[i].key, p->storages[i].n_key, (int64_t)n_walked, &existed))
            break;
        if (!existed)
            walked[n_walked++].first = i;
    }
    if (!walked || (p->n_storages > 0 && n_walked == 0)) {
        status = el_fail(err, EL_E_MEMORY, "'%s': out of memory for the storages", l->f->path);
        goto out;
    }
    for (uint32_t i = list->kind == EL_PICKLE_LIST ? list->first : EL_PICKLE_END; i != EL_PICKLE_END; i = keys->items[i].next) {
        const struct el_pickle_value *const key = &keys->values[keys->items[i].value];
        const int64_t w = key->kind == EL_PICKLE_TEXT ? el_strmap_get(&by_key, key->text, key->n, -1) : -1;
        if (w < 0 || walked[w].found) {
            status =
                el_fail(err, EL_E_FORMAT, "'%s': the list of storages names one that no tensor has, or one twice", l->f->path);
            goto out;
        }
        EL_TRY_OUT(walk_storage(l, &p->storages[walked[w].first], &walked[w], &at, err));
    }
    for (size_t i = 0; i < p->n_storages; i++) {
        const struct el_pickle_storage *const s = &p->storages[i];
        const int64_t w = el_strmap_get(&by_key, s->key, s->n_key, -1);
        if (w < 0 || !walked[w].found || storage_nbytes(s) != storage_nbytes(&p->storages[walked[w].first])) {
            status = el_fail(err, EL_E_FORMAT, "'%s': storage '%.*s' is not in the file, or with two sizes", l->f->path,
                             s->n_key < 64 ? (int)s->n_key : 64, s->key);
            goto out;
        }
        begin[i] = walked[w].begin;
    }
out:
    el_strmap_release(&by_key);
    el_free(walked);
    return status;
}

/* The two pickles that every such file begins with. */
static enum el_status check_start(struct legacy *l, struct el_err *err)
{
    struct el_pickle magic = {0}, version = {0};
    enum el_status status = next_pickle(l, &magic, err);
    if (status != EL_OK)
        return status;
    const struct el_pickle_value *const m = &magic.values[magic.root];
    if (m->kind != EL_PICKLE_BIG_INT || m->n != LEGACY_MAGIC_NBYTES || memcmp(m->text, legacy_magic, LEGACY_MAGIC_NBYTES) != 0)
        status = el_fail(err, EL_E_UNSUPPORTED, "'%s': is a Python pickle, but none that torch.save has written", l->f->path);
    else
        status = next_pickle(l, &version, err);
    if (status == EL_OK) {
        const struct el_pickle_value *const v = &version.values[version.root];
        if (v->kind != EL_PICKLE_INT || v->i != LEGACY_VERSION)
            status = el_fail(err, EL_E_UNSUPPORTED, "'%s': is of another version of torch.save than %d", l->f->path,
                             (int)LEGACY_VERSION);
    }
    el_pickle_release(&magic);
    el_pickle_release(&version);
    return status;
}

/* Reads a file whose pickles lie within its first l->nbytes bytes. */
static enum el_status read_pickles(struct legacy *l, struct el_st_header *h, struct el_err *err)
{
    struct el_pickle system = {0}, p = {0}, keys = {0};
    uint64_t *begin = NULL;
    enum el_status status = EL_OK;
    l->at = 0;
    l->data = el_alloc(l->nbytes);
    if (!l->data)
        return el_fail(err, EL_E_MEMORY, "'%s': out of memory for %zu bytes", l->f->path, l->nbytes);
    EL_TRY_OUT(el_file_read(l->f, 0, l->data, l->nbytes, err));
    EL_TRY_OUT(check_start(l, err));
    EL_TRY_OUT(next_pickle(l, &system, err));
    EL_TRY_OUT(check_system(l, &system, err));
    EL_TRY_OUT(next_pickle(l, &p, err));
    EL_TRY_OUT(next_pickle(l, &keys, err));
    begin = el_alloc_array(p.n_storages, sizeof *begin);
    if (!begin) {
        status = el_fail(err, EL_E_MEMORY, "'%s': out of memory for the tensors", l->f->path);
        goto out;
    }
    EL_TRY_OUT(walk_storages(l, &p, &keys, begin, err));
    status = list_tensors(l->f->path, &p, begin, h, err);
out:
    el_pickle_release(&system);
    el_pickle_release(&p);
    el_pickle_release(&keys);
    el_free(begin);
    el_free(l->data);
    return status;
}

/* Pickles end where they end, and nothing says where: few bytes are tried first, then as many as pickles may have. */
static enum el_status read_legacy(const struct el_file *f, struct el_st_header *h, struct el_err *err)
{
    const size_t most = f->nbytes < EL_MAX_PICKLE ? (size_t)f->nbytes : EL_MAX_PICKLE;
    struct legacy l = {.f = f, .nbytes = most < LEGACY_FIRST_READ ? most : LEGACY_FIRST_READ};
    enum el_status status = read_pickles(&l, h, err);
    if (status == EL_E_FORMAT && l.nbytes < most) {
        el_st_header_release(h);
        l.nbytes = most;
        status = read_pickles(&l, h, err);
    }
    return status;
}

/* ---- the format ---- */

static bool is_archive(const uint8_t *head, size_t n_head)
{
    return n_head >= 4 && (memcmp(head, "PK\x03\x04", 4) == 0 || memcmp(head, "PK\x05\x06", 4) == 0);
}

/* A pickle of protocol 2 to 5; a llama2.c checkpoint of 640 columns begins with the same two bytes, then zeros. */
static bool is_pickle(const uint8_t *head, size_t n_head)
{
    return n_head >= 3 && head[0] == 0x80 && head[1] >= 2 && head[1] <= 5 && head[2] != 0;
}

enum el_status el_torch_open(const char *path, struct el_file *f, struct el_st_header *h, struct el_err *err)
{
    uint8_t head[4];
    memset(h, 0, sizeof *h);
    EL_TRY(el_file_open(f, path, err));
    const size_t n_head = f->nbytes < sizeof head ? (size_t)f->nbytes : sizeof head;
    enum el_status status = el_file_read(f, 0, head, n_head, err);
    if (status == EL_OK) {
        if (is_archive(head, n_head))
            status = read_archive(f, h, err);
        else if (is_pickle(head, n_head))
            status = read_legacy(f, h, err);
        else
            status = el_fail(err, EL_E_FORMAT, "'%s': is neither a zip archive nor an older file of torch.save", path);
    }
    if (status != EL_OK) {
        el_st_header_release(h);
        el_file_close(f);
    }
    return status;
}

static bool probe(const char *path, bool is_folder, const uint8_t *head, size_t n_head)
{
    (void)path;
    return !is_folder && (is_archive(head, n_head) || is_pickle(head, n_head));
}

static enum el_status open_source(struct el_source *s, const struct el_source_opts *opts, struct el_err *err)
{
    (void)opts;
    struct el_store *store;
    struct el_st_header h;
    EL_TRY(el_store_new(s, 1, &store, err));
    EL_TRY(el_torch_open(s->path, &store->files[0], &h, err));
    const enum el_status status = el_st_add_tensors(s, &h, err);
    el_st_header_release(&h);
    return status;
}

const struct el_format el_format_torch = {
    .name = "torch",
    .about = "PyTorch file (.bin, .pth, .pt): tensors only, nothing in it is run",
    .probe = probe,
    .open = open_source,
};
