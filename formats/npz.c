/*
 * Archives of numpy.savez (and of MLX): a zip archive with one entry NAME.npy for each array, which is a magic number, a header
 * that is a Python literal, and the elements. Only plain numbers are accepted; arrays of Python objects, which are pickles, are
 * refused by name. (NumPy enhancement proposal 1, versions 1.0 to 3.0 of the header.)
 */
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/limits.h"
#include "base/mem.h"
#include "formats/format.h"
#include "formats/safetensors.h"
#include "formats/store.h"
#include "formats/zip.h"

extern const struct el_format el_format_npz;

enum { MAX_HEADER = 1 << 16, N_START = 12 };

/* What is left of a header's literal. */
struct literal {
    const char *p, *end;
};

/* Is c next, behind blanks? */
static bool is_next(struct literal *l, char c)
{
    while (l->p < l->end && (*l->p == ' ' || *l->p == '\n'))
        l->p++;
    return l->p < l->end && *l->p == c;
}

static bool take(struct literal *l, char c)
{
    const bool there = is_next(l, c);
    l->p += there;
    return there;
}

/* A quoted text without escapes; its n bytes are *text. */
static bool take_text(struct literal *l, const char **text, size_t *n)
{
    const char quote = take(l, '\'') ? '\'' : take(l, '"') ? '"' : '\0';
    if (!quote)
        return false;
    *text = l->p;
    const char *const close = memchr(l->p, quote, (size_t)(l->end - l->p));
    if (!close || memchr(l->p, '\\', (size_t)(close - l->p)))
        return false;
    *n = (size_t)(close - l->p);
    l->p = close + 1;
    return true;
}

static bool take_word(struct literal *l, const char *word)
{
    const size_t n = strlen(word);
    if (!is_next(l, word[0]) || (size_t)(l->end - l->p) < n || memcmp(l->p, word, n) != 0)
        return false;
    l->p += n;
    return true;
}

/* "(3, 4)", "(3,)", "()". */
static bool take_shape(struct literal *l, struct el_st_tensor *t)
{
    if (!take(l, '('))
        return false;
    t->n_dims = 0;
    while (!take(l, ')')) { /* which has passed over blanks */
        uint64_t v = 0;
        const char *const begin = l->p;
        if (t->n_dims == EL_MAX_DIMS)
            return false;
        for (; l->p < l->end && *l->p >= '0' && *l->p <= '9'; l->p++) {
            if (!el_mul_u64(v, 10, &v) || !el_add_u64(v, (uint64_t)(*l->p - '0'), &v))
                return false;
        }
        if (l->p == begin)
            return false;
        t->dims[t->n_dims++] = v;
        if (!take(l, ',') && !is_next(l, ')'))
            return false;
    }
    return true;
}

/* "<f4" and its like to an encoding. EL_E_UNSUPPORTED says what there is. */
static enum el_status find_type(const char *descr, size_t n, struct el_enc *enc, struct el_err *err)
{
    static const struct {
        const char *descr, *dtype;
    } types[] = {{"f4", "F32"}, {"f2", "F16"}, {"f8", "F64"}, {"i1", "I8"},  {"i2", "I16"}, {"i4", "I32"},
                 {"i8", "I64"}, {"u1", "U8"},  {"u2", "U16"}, {"u4", "U32"}, {"u8", "U64"}, {"b1", "BOOL"}};
    if (n == 3 && descr[0] == '>' && descr[2] != '1')
        return el_fail(err, EL_E_UNSUPPORTED, "elements '%.3s' are big-endian, only little-endian ones are read", descr);
    if (n == 2 && descr[1] == 'O')
        return el_fail(err, EL_E_UNSUPPORTED, "holds Python objects, only numbers are read");
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        if (n == 3 && memcmp(descr + 1, types[i].descr, 2) == 0 && strchr("<|>=", descr[0])) {
            *enc = el_st_enc_of_dtype(types[i].dtype);
            return EL_OK;
        }
    }
    return el_fail(err, EL_E_UNSUPPORTED, "elements '%.*s', known are f2, f4, f8, i1 to i8, u1 to u8, b1", n < 16 ? (int)n : 16,
                   descr);
}

/* {'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), } */
static enum el_status parse_header(struct literal l, struct el_st_tensor *t, bool *fortran, struct el_err *err)
{
    enum { DESCR = 1, ORDER = 2, SHAPE = 4 };
    unsigned seen = 0;
    bool good = take(&l, '{');
    while (good && !take(&l, '}')) {
        const char *key = NULL, *descr = NULL;
        size_t n = 0, n_descr = 0;
        unsigned member = 0;
        if (!take_text(&l, &key, &n) || !take(&l, ':')) {
            good = false;
        } else if (n == 5 && memcmp(key, "descr", 5) == 0) {
            member = DESCR;
            if (is_next(&l, '['))
                return el_fail(err, EL_E_UNSUPPORTED, "holds records of several members, only numbers are read");
            good = take_text(&l, &descr, &n_descr);
            if (good)
                EL_TRY(find_type(descr, n_descr, &t->enc, err));
        } else if (n == 13 && memcmp(key, "fortran_order", 13) == 0) {
            member = ORDER;
            *fortran = take_word(&l, "True");
            good = *fortran || take_word(&l, "False");
        } else if (n == 5 && memcmp(key, "shape", 5) == 0) {
            member = SHAPE;
            good = take_shape(&l, t);
        }
        good = good && member != 0 && !(seen & member) && (take(&l, ',') || is_next(&l, '}'));
        seen |= member;
    }
    (void)is_next(&l, ' '); /* what pads the header */
    if (!good || l.p != l.end || seen != (DESCR | ORDER | SHAPE))
        return el_fail(err, EL_E_FORMAT, "header is not {'descr': text, 'fortran_order': bool, 'shape': at most %d integers}",
                       (int)EL_MAX_DIMS);
    return EL_OK;
}

/* Strides and size; the bytes must be what is left of the entry. */
static enum el_status lay_out(struct el_st_tensor *t, bool fortran, uint64_t left, struct el_err *err)
{
    uint64_t next = 1, nbytes = 0;
    for (uint32_t i = 0; i < t->n_dims; i++) {
        const uint32_t d = fortran ? i : t->n_dims - 1 - i;
        t->strides[d] = next;
        if (!el_mul_u64(next, t->dims[d], &next))
            return el_fail(err, EL_E_FORMAT, "shape has more elements than a file can hold");
    }
    if (!el_mul_u64(next, t->enc.e->block_nbytes, &nbytes) || nbytes != left)
        return el_fail(err, EL_E_FORMAT, "%llu elements of %s need %llu bytes, there are %llu", (unsigned long long)next,
                       t->enc.e->name, (unsigned long long)nbytes, (unsigned long long)left);
    t->nbytes = nbytes;
    t->strided = fortran && t->n_dims > 1 && nbytes > 0;
    if (t->n_dims == 0)
        t->dims[t->n_dims++] = 1;
    return EL_OK;
}

/* One entry's array to *t, whose name is set. */
static enum el_status read_array(const struct el_zip *z, size_t entry, struct el_st_tensor *t, struct el_err *err)
{
    static const uint8_t magic[] = {0x93, 'N', 'U', 'M', 'P', 'Y'};
    const uint64_t size = z->entries[entry].nbytes;
    uint8_t start[N_START] = {0};
    uint64_t at = 0;
    EL_TRY(el_zip_data(z, entry, &at, err));
    EL_TRY(el_file_read(z->file, at, start, size < N_START ? size : N_START, err));
    if (size < N_START || memcmp(start, magic, sizeof magic) != 0)
        return el_fail(err, EL_E_FORMAT, "does not begin as an .npy file");
    if (start[6] < 1 || start[6] > 3)
        return el_fail(err, EL_E_UNSUPPORTED, "header of version %u, known are 1 to 3", start[6]);
    const uint64_t n_before = start[6] == 1 ? 10 : 12;
    const uint64_t n = start[6] == 1
                           ? (uint64_t)start[8] | (uint64_t)start[9] << 8
                           : (uint64_t)start[8] | (uint64_t)start[9] << 8 | (uint64_t)start[10] << 16 | (uint64_t)start[11] << 24;
    if (n > MAX_HEADER || n > size - n_before)
        return el_fail(err, EL_E_FORMAT, "header of %llu bytes, at most %d and within %llu", (unsigned long long)n,
                       (int)MAX_HEADER, (unsigned long long)(size - n_before));
    char *const text = el_alloc(n ? n : 1);
    if (!text)
        return el_fail(err, EL_E_MEMORY, "out of memory for a header");
    bool fortran = false;
    enum el_status status = el_file_read(z->file, at + n_before, text, n, err);
    if (status == EL_OK)
        status = parse_header((struct literal){text, text + n}, t, &fortran, err);
    if (status == EL_OK)
        status = lay_out(t, fortran, size - n_before - n, err);
    t->offset = at + n_before + n;
    el_free(text);
    return status;
}

static enum el_status read_archive(const struct el_zip *z, struct el_st_header *h, struct el_err *err)
{
    const char *const path = z->file->path;
    if (z->n_entries == 0 || z->n_entries > EL_MAX_TENSORS)
        return el_fail(err, EL_E_FORMAT, "'%s': %zu arrays, must be 1 to %d", path, z->n_entries, (int)EL_MAX_TENSORS);
    h->tensors = el_calloc_array(z->n_entries, sizeof *h->tensors);
    if (!h->tensors)
        return el_fail(err, EL_E_MEMORY, "'%s': out of memory for the tensors", path);
    for (size_t i = 0; i < z->n_entries; i++) {
        const char *const name = z->entries[i].name;
        const size_t n = strlen(name);
        struct el_st_tensor *const t = &h->tensors[h->n_tensors];
        if (n <= 4 || n - 4 > EL_MAX_TENSOR_NAME || strcmp(name + n - 4, ".npy") != 0)
            return el_fail(err, EL_E_FORMAT, "'%s': entry '%.64s' is not NAME.npy with a name of 1 to %d bytes", path, name,
                           (int)EL_MAX_TENSOR_NAME);
        t->name = el_strdup(name);
        if (!t->name)
            return el_fail(err, EL_E_MEMORY, "'%s': out of memory for the tensors", path);
        t->name[n - 4] = '\0';
        h->n_tensors++;
        const enum el_status status = read_array(z, i, t, err);
        if (status != EL_OK)
            return el_fail_prefix(err, status, "'%s': array '%s'", path, t->name);
    }
    return EL_OK;
}

/* PyTorch's archives have no such name; the first entry's own says it where the 64 bytes of the head reach. */
static bool probe(const char *path, bool is_folder, const uint8_t *head, size_t n_head)
{
    const size_t n_path = strlen(path);
    if (is_folder || n_head < 30 || memcmp(head, "PK\x03\x04", 4) != 0)
        return false;
    const size_t n_name = (size_t)head[26] | (size_t)head[27] << 8;
    return (n_path > 4 && strcmp(path + n_path - 4, ".npz") == 0) ||
           (n_name >= 4 && 30 + n_name <= n_head && memcmp(head + 26 + n_name, ".npy", 4) == 0);
}

static enum el_status open_source(struct el_source *s, const struct el_source_opts *opts, struct el_err *err)
{
    (void)opts;
    struct el_store *store;
    struct el_st_header h = {0};
    struct el_zip z;
    EL_TRY(el_store_new(s, 1, &store, err));
    EL_TRY(el_file_open(&store->files[0], s->path, err));
    EL_TRY(el_zip_open(&store->files[0], &z, err));
    enum el_status status = read_archive(&z, &h, err);
    if (status == EL_OK)
        status = el_st_add_tensors(s, &h, err);
    el_st_header_release(&h);
    el_zip_close(&z);
    return status;
}

const struct el_format el_format_npz = {
    .name = "npz",
    .about = "archive of numpy.savez: tensors under their own names",
    .probe = probe,
    .open = open_source,
};
