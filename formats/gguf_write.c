/*
 * GGUF files as sinks. begin() fixes the whole layout, so that tensor data can come in any order and is never held: it goes
 * straight to its place. Version 3, alignment 32 or general.alignment; split sets are named and keyed as llama.cpp's.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/checked.h"
#include "base/err.h"
#include "base/file.h"
#include "base/guard.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/sha256.h"
#include "base/strmap.h"
#include "formats/gguf.h"

struct shard {
    char *path;
    struct el_outfile *out;
    size_t first, n_tensors; /* logical */
    uint64_t data_offset, data_nbytes;
    atomic_uint_least64_t written; /* data bytes, padding not counted */
    uint64_t expected;
    bool existed; /* something had the name before: never ours to take away, but for the first part of an old set */
    bool committed;
};

/* Where an array of numbers of the metadata lies in the first file. */
struct array_place {
    char *key;
    uint64_t offset, nbytes;
};

struct gguf_sink {
    struct shard *shards;
    struct array_place *arrays;
    size_t n_arrays;
    uint32_t n_shards;
    uint32_t alignment;
    uint64_t header_nbytes[2];    /* of the first and of another shard of several, without their tensors' lines */
    struct el_gguf_place *places; /* one per tensor; offsets count from the data's start */
    struct el_meta *extra;        /* what goes behind the given metadata: parts container, split set */
};

static enum el_status no_memory(const struct el_sink *s, struct el_err *err)
{
    return el_fail(err, EL_E_MEMORY, "'%s': out of memory", s->path);
}

/* ---- checks ---- */

static enum el_status check_part_name(struct el_sink *s, struct el_strmap *names, const char *name, struct el_err *err)
{
    bool existed = false;
    const size_t nbytes = strlen(name);
    if (nbytes == 0 || nbytes > EL_GGUF_NAME_MAX)
        return el_fail(err, EL_E_UNSUPPORTED, "'%s': tensor name '%s' has %zu bytes, GGUF allows 1 to %d", s->path, name, nbytes,
                       EL_GGUF_NAME_MAX);
    char why[EL_GGUF_WHY_NBYTES];
    if (!el_gguf_is_identifier(name, nbytes, why))
        return el_fail(err, EL_E_UNSUPPORTED, "'%s': tensor name '%s' %s, which GGUF does not allow", s->path, name, why);
    if (!el_strmap_add(names, name, nbytes, 0, &existed))
        return no_memory(s, err);
    if (existed)
        return el_fail(err, EL_E_USAGE, "'%s': two tensors named '%s'", s->path, name);
    return EL_OK;
}

/* Names as the file will have them, part suffixes included. */
static enum el_status check_names(struct el_sink *s, struct el_err *err)
{
    struct el_strmap names;
    struct el_buf all; /* NUL-terminated part names: the map borrows them, so they must not move */
    el_strmap_init(&names);
    el_buf_init(&all);
    for (size_t i = 0; i < s->n_tensors; i++) {
        for (uint32_t p = 0; p < s->tensors[i].n_parts; p++) {
            el_buf_addf(&all, "%s%s", s->tensors[i].name, s->tensors[i].parts[p].suffix);
            el_buf_add_byte(&all, 0);
        }
    }
    enum el_status status = all.failed ? no_memory(s, err) : EL_OK;
    for (size_t at = 0; status == EL_OK && at < all.nbytes; at += strlen(all.data + at) + 1)
        status = check_part_name(s, &names, all.data + at, err);
    el_buf_release(&all);
    el_strmap_release(&names);
    return status;
}

/* What the reader would refuse is not written. */
static enum el_status check_encodings(const struct el_sink *s, struct el_err *err)
{
    for (size_t i = 0; i < s->n_tensors; i++) {
        const struct el_tensor *const t = &s->tensors[i];
        bool readable = t->enc.e->ggml_type < 0 || el_encoding_by_ggml(t->enc.e->ggml_type);
        for (uint32_t p = 0; p < t->n_parts && readable; p++) {
            uint32_t block_n, block_nbytes;
            readable = t->parts[p].ggml_type >= 0 && el_gguf_type_shape((uint32_t)t->parts[p].ggml_type, &block_n, &block_nbytes);
        }
        if (!readable)
            return el_fail(err, EL_E_UNSUPPORTED, "'%s': tensor '%s': %s cannot be stored in GGUF", s->path, t->name,
                           t->enc_name);
    }
    return EL_OK;
}

static enum el_status check_value(const struct el_sink *s, const struct el_meta *meta, size_t k, struct el_err *err)
{
    const char *const key = el_meta_key(meta, k);
    const size_t n_key = strlen(key), n = el_meta_n_elems(meta, k);
    char why[EL_GGUF_WHY_NBYTES];
    if (n_key > EL_MAX_KEY)
        return el_fail(err, EL_E_UNSUPPORTED, "'%s': metadata '%.64s...': key of %zu bytes, at most %d", s->path, key, n_key,
                       EL_MAX_KEY);
    if (!el_gguf_is_identifier(key, n_key, why))
        return el_fail(err, EL_E_UNSUPPORTED, "'%s': metadata '%.100s': the key %s, which GGUF does not allow", s->path, key,
                       why);
    if (n > EL_MAX_ARRAY)
        return el_fail(err, EL_E_UNSUPPORTED, "'%s': metadata '%.100s': array of %zu elements, at most %d", s->path, key, n,
                       EL_MAX_ARRAY);
    for (size_t j = 0; el_meta_elem_type(meta, k) == EL_META_STR && j < n; j++) {
        size_t nbytes;
        (void)el_meta_str(meta, k, j, &nbytes);
        if (nbytes > EL_MAX_STRING)
            return el_fail(err, EL_E_UNSUPPORTED, "'%s': metadata '%.100s': string of %zu bytes, at most %d", s->path, key,
                           nbytes, EL_MAX_STRING);
    }
    return EL_OK;
}

static enum el_status check_meta(const struct el_sink *s, const struct el_meta *meta, struct el_err *err)
{
    enum { OWN_KEYS = 8 }; /* room for the container's */
    if (el_meta_count(meta) > EL_MAX_META - OWN_KEYS)
        return el_fail(err, EL_E_UNSUPPORTED, "'%s': %zu metadata entries, at most %d", s->path, el_meta_count(meta),
                       EL_MAX_META - OWN_KEYS);
    for (size_t k = 0; k < el_meta_count(meta); k++)
        EL_TRY(check_value(s, meta, k, err));
    return EL_OK;
}

/* Packing reads while it writes: the input must not be replaced by the output, under whatever name it goes. */
static enum el_status check_not_input(const struct el_sink *s, const char *path, struct el_err *err)
{
    struct stat out, in;
    if (!s->source || stat(path, &out) != 0)
        return EL_OK;
    struct el_source *source;
    memcpy(&source, &s->source, sizeof source); /* asking for its files changes nothing */
    const bool same = (stat(source->path, &in) == 0 && in.st_dev == out.st_dev && in.st_ino == out.st_ino) ||
                      (source->ops->is_file && source->ops->is_file(source, (uint64_t)out.st_dev, (uint64_t)out.st_ino));
    return same ? el_fail(err, EL_E_USAGE, "'%s': output is the input", path) : EL_OK;
}

/* ---- layout ---- */

static enum el_status copy_tensors(struct el_sink *s, const struct el_meta *meta, struct el_tensor *tensors, size_t n,
                                   struct el_err *err)
{
    s->tensors = el_calloc_array(n, sizeof *s->tensors);
    if (!s->tensors)
        return no_memory(s, err);
    size_t n_parts = 0;
    for (size_t i = 0; i < n; i++) {
        struct el_tensor *const t = &s->tensors[i];
        *t = tensors[i];
        t->name = t->file_name = el_strdup(tensors[i].name);
        s->n_tensors++;
        if (!t->name)
            return no_memory(s, err);
        const enum el_status status = el_tensor_complete(t, err);
        if (status != EL_OK)
            return el_fail_prefix(err, status, "'%s': tensor '%s'", s->path, t->name);
        n_parts += t->n_parts;
        if (n_parts > EL_MAX_GGUF_TENSORS)
            return el_fail(err, EL_E_UNSUPPORTED, "'%s': more than %d tensors", s->path, EL_MAX_GGUF_TENSORS);
    }
    el_gguf_set_orders(meta, s->tensors, n);
    for (size_t i = 0; i < n; i++) {
        tensors[i].order = s->tensors[i].order;
        tensors[i].order_elems = s->tensors[i].order_elems;
    }
    return EL_OK;
}

/* Index of the source's file that holds a tensor. The plan keeps the source's order, so the first guess is right. */
static uint32_t source_file(const struct el_source *source, const char *name, size_t guess)
{
    if (guess >= source->n_tensors || strcmp(source->tensors[guess].name, name) != 0)
        guess = el_source_find(source, name);
    return guess < source->n_tensors ? source->tensors[guess].file : 0;
}

/* Does the source begin a new file between tensors i - 1 and i? */
static bool begins_source_file(const struct el_sink *s, size_t i)
{
    return s->opts.split_as_source && s->source && i > 0 &&
           source_file(s->source, s->tensors[i].name, i) != source_file(s->source, s->tensors[i - 1].name, i - 1);
}

/* Bytes of the lines of a header that describe one tensor. */
static uint64_t line_nbytes(const struct el_tensor *t)
{
    uint64_t n = 0;
    for (uint32_t p = 0; p < t->n_parts; p++) {
        uint64_t dims[EL_MAX_DIMS];
        n += 8 + strlen(t->name) + strlen(t->parts[p].suffix) + 4 + 8ull * el_gguf_part_dims(t, p, dims) + 4 + 8;
    }
    return n;
}

/* Would the file exceed the limit with so many bytes of header and of data? */
static bool exceeds(const struct el_sink *s, const struct gguf_sink *g, uint64_t header_nbytes, uint64_t data_nbytes)
{
    uint64_t padded, sum;
    return s->opts.split_max_nbytes && (!el_align_u64(header_nbytes, g->alignment, &padded) ||
                                        !el_add_u64(padded, data_nbytes, &sum) || sum > s->opts.split_max_nbytes);
}

/* Gives every part its place and counts the shards: a tensor that does not fit goes to a new one; its parts stay together. */
static enum el_status place_tensors(struct el_sink *s, struct gguf_sink *g, struct el_err *err)
{
    g->places = el_calloc_array(s->n_tensors, sizeof *g->places);
    g->shards = el_calloc_array(s->n_tensors ? s->n_tensors : 1, sizeof *g->shards);
    if (!g->places || !g->shards)
        return no_memory(s, err);
    g->n_shards = 1;
    uint64_t header = g->header_nbytes[0];
    for (size_t i = 0; i < s->n_tensors; i++) {
        const struct el_tensor *const t = &s->tensors[i];
        struct shard *sh = &g->shards[g->n_shards - 1];
        const uint64_t line = line_nbytes(t);
        uint64_t padded = 0, sum;
        for (uint32_t p = 0; p < t->n_parts; p++) {
            if (!el_add_u64(padded, t->parts[p].nbytes, &padded) || !el_align_u64(padded, g->alignment, &padded))
                return el_fail(err, EL_E_USAGE, "'%s': tensor '%s': size overflows", s->path, t->name);
        }
        const bool full = begins_source_file(s, i) || (s->opts.split_max_tensors && sh->n_tensors >= s->opts.split_max_tensors) ||
                          !el_add_u64(sh->data_nbytes, padded, &sum) || exceeds(s, g, header + line, sum);
        if (full && sh->n_tensors > 0) {
            sh = &g->shards[g->n_shards++];
            sh->first = i;
            header = g->header_nbytes[1];
        }
        header += line;
        for (uint32_t p = 0; p < t->n_parts; p++) {
            g->places[i].file[p] = g->n_shards - 1;
            g->places[i].offset[p] = sh->data_nbytes;
            sh->expected += t->parts[p].nbytes;
            if (!el_add_u64(sh->data_nbytes, t->parts[p].nbytes, &sum) || !el_align_u64(sum, g->alignment, &sh->data_nbytes) ||
                sh->data_nbytes > INT64_MAX)
                return el_fail(err, EL_E_USAGE, "'%s': tensor '%s': the file's size overflows", s->path, t->name);
        }
        sh->n_tensors++;
    }
    if (g->n_shards > EL_MAX_SPLITS)
        return el_fail(err, EL_E_USAGE, "'%s': %u parts, at most %d: choose larger ones", s->path, g->n_shards, EL_MAX_SPLITS);
    return EL_OK;
}

/* One shard goes to the path as given; more to PREFIX-0000N-of-0000M.gguf, PREFIX being the path without what it has of that. */
static enum el_status name_shards(struct el_sink *s, struct gguf_sink *g, struct el_err *err)
{
    if (g->n_shards == 1) {
        g->shards[0].path = el_strdup(s->path);
        return g->shards[0].path ? EL_OK : no_memory(s, err);
    }
    uint32_t no, count;
    const size_t nbytes = strlen(s->path);
    size_t n_prefix = el_gguf_split_prefix(s->path, &no, &count);
    if (n_prefix == 0)
        n_prefix = nbytes > 5 && strcmp(s->path + nbytes - 5, ".gguf") == 0 ? nbytes - 5 : nbytes;
    char *const prefix = el_strndup(s->path, n_prefix);
    enum el_status status = prefix ? EL_OK : no_memory(s, err);
    for (uint32_t i = 0; i < g->n_shards && status == EL_OK; i++) {
        g->shards[i].path = el_gguf_split_path(prefix, i, g->n_shards);
        status = g->shards[i].path ? EL_OK : no_memory(s, err);
    }
    el_free(prefix);
    return status;
}

/* ---- header ---- */

static void add_string(struct el_buf *b, const char *s, size_t nbytes)
{
    el_buf_add_u64(b, nbytes);
    el_buf_add(b, s, nbytes);
}

static void add_value(struct el_buf *b, const struct el_meta *meta, size_t i)
{
    const enum el_meta_type type = el_meta_type(meta, i), elem = el_meta_elem_type(meta, i);
    const size_t n = el_meta_n_elems(meta, i);
    const char *const key = el_meta_key(meta, i);
    add_string(b, key, strlen(key));
    el_buf_add_u32(b, (uint32_t)type);
    if (type == EL_META_ARR) {
        el_buf_add_u32(b, (uint32_t)elem);
        el_buf_add_u64(b, n);
    }
    if (elem != EL_META_STR) {
        el_buf_add(b, el_meta_raw(meta, i), n * el_meta_type_nbytes(elem));
        return;
    }
    for (size_t j = 0; j < n; j++) {
        size_t nbytes;
        const char *const s = el_meta_str(meta, i, j, &nbytes);
        add_string(b, s, nbytes);
    }
}

/* Keys that describe the container the metadata came from, not the model. */
static bool is_container_key(const char *key)
{
    return el_gguf_is_split_key(key) || strcmp(key, EL_GGUF_ENCODINGS_KEY) == 0;
}

/* What header_nbytes says: shards are filled before the numbers are known that they will carry. */
static enum el_status measure_headers(const struct el_sink *s, struct gguf_sink *g, const struct el_meta *meta,
                                      struct el_err *err)
{
    /* Magic and counts; then key, type and value of what describe_split and add_split_id write. */
    const uint64_t fixed = 24 + 4 * (8 + 4) + strlen("split.no") + 2 + strlen("split.count") + 2 + strlen("split.tensors.count") +
                           4 + strlen(EL_GGUF_SPLIT_ID_KEY) + 8 + 64;
    const size_t alignment_at = el_meta_find(meta, "general.alignment");
    struct el_buf first, other;
    el_buf_init(&first);
    el_buf_init(&other);
    for (size_t k = 0; k < el_meta_count(meta); k++)
        if (!is_container_key(el_meta_key(meta, k)))
            add_value(&first, meta, k);
    for (size_t k = 0; k < el_meta_count(g->extra); k++)
        add_value(&first, g->extra, k);
    if (alignment_at != SIZE_MAX)
        add_value(&other, meta, alignment_at);
    g->header_nbytes[0] = fixed + first.nbytes;
    g->header_nbytes[1] = fixed + other.nbytes;
    const bool failed = first.failed || other.failed;
    el_buf_release(&first);
    el_buf_release(&other);
    return failed ? no_memory(s, err) : EL_OK;
}

static void add_tensor_parts(struct el_buf *b, const struct el_tensor *t, const struct el_gguf_place *place)
{
    for (uint32_t p = 0; p < t->n_parts; p++) {
        uint64_t dims[EL_MAX_DIMS];
        const uint32_t n_dims = el_gguf_part_dims(t, p, dims);
        const size_t n_name = strlen(t->name), n_suffix = strlen(t->parts[p].suffix);
        el_buf_add_u64(b, n_name + n_suffix);
        el_buf_add(b, t->name, n_name);
        el_buf_add(b, t->parts[p].suffix, n_suffix);
        el_buf_add_u32(b, n_dims);
        for (uint32_t d = n_dims; d-- > 0;) /* innermost first in the file */
            el_buf_add_u64(b, dims[d]);
        el_buf_add_u32(b, (uint32_t)t->parts[p].ggml_type);
        el_buf_add_u64(b, place->offset[p]);
    }
}

/* Notes where the elements of value k lie that was just added, if it is an array of numbers. */
static void note_array(struct gguf_sink *g, const struct el_meta *meta, size_t k, struct el_buf *b)
{
    const uint64_t nbytes = el_meta_n_elems(meta, k) * el_meta_type_nbytes(el_meta_elem_type(meta, k));
    if (el_meta_type(meta, k) != EL_META_ARR || nbytes == 0)
        return;
    struct array_place *const more = el_realloc_array(g->arrays, g->n_arrays + 1, sizeof *more);
    char *const key = el_strdup(el_meta_key(meta, k));
    if (more)
        g->arrays = more;
    if (more && key)
        g->arrays[g->n_arrays++] = (struct array_place){key, b->nbytes - nbytes, nbytes};
    else
        el_free(key);
    b->failed = b->failed || !more || !key;
}

/* Header of one shard; padded when data follows. */
static void build_header(const struct el_sink *s, struct gguf_sink *g, const struct el_meta *meta, uint32_t i, struct el_buf *b)
{
    const struct shard *const sh = &g->shards[i];
    uint64_t n_kv = el_meta_count(g->extra), n_parts = 0, end;
    const size_t alignment_at = el_meta_find(meta, "general.alignment");
    for (size_t k = 0; i == 0 && k < el_meta_count(meta); k++)
        n_kv += !is_container_key(el_meta_key(meta, k));
    n_kv += i > 0 && alignment_at != SIZE_MAX;
    for (size_t t = sh->first; t < sh->first + sh->n_tensors; t++)
        n_parts += s->tensors[t].n_parts;
    el_buf_add(b, "GGUF", 4);
    el_buf_add_u32(b, 3);
    el_buf_add_u64(b, n_parts);
    el_buf_add_u64(b, n_kv);
    for (size_t k = 0; i == 0 && k < el_meta_count(meta); k++) {
        if (is_container_key(el_meta_key(meta, k)))
            continue;
        add_value(b, meta, k);
        note_array(g, meta, k, b);
    }
    if (i > 0 && alignment_at != SIZE_MAX)
        add_value(b, meta, alignment_at);
    for (size_t k = 0; k < el_meta_count(g->extra); k++)
        add_value(b, g->extra, k);
    for (size_t t = sh->first; t < sh->first + sh->n_tensors; t++)
        add_tensor_parts(b, &s->tensors[t], &g->places[t]);
    if (sh->n_tensors > 0 && el_align_u64(b->nbytes, g->alignment, &end)) {
        while (b->nbytes < end && !b->failed)
            el_buf_add_byte(b, 0);
    }
}

/* The array of lines that says which tensors are in the parts container. */
static enum el_status describe_encodings(const struct el_sink *s, struct gguf_sink *g, struct el_err *err)
{
    char **const lines = el_calloc_array(s->n_tensors, sizeof *lines);
    size_t n = 0;
    enum el_status status = lines ? EL_OK : no_memory(s, err);
    for (size_t i = 0; i < s->n_tensors && status == EL_OK; i++) {
        if (s->tensors[i].enc.e->ggml_type >= 0)
            continue;
        lines[n] = el_gguf_encoding_line(&s->tensors[i]);
        status = lines[n] ? EL_OK : no_memory(s, err);
        n++;
    }
    if (status == EL_OK && n > 0) {
        const char **const borrowed = el_alloc_array(n, sizeof *borrowed);
        for (size_t i = 0; borrowed && i < n; i++)
            borrowed[i] = lines[i];
        status = borrowed ? el_meta_set_str_array(g->extra, EL_GGUF_ENCODINGS_KEY, borrowed, NULL, n, err) : no_memory(s, err);
        el_free(borrowed);
    }
    for (size_t i = 0; lines && i < n; i++)
        el_free(lines[i]);
    el_free(lines);
    return status;
}

/* What every part of a set carries, so that parts of different models are not taken for one. */
static enum el_status add_split_id(const struct el_sink *s, struct gguf_sink *g, const struct el_meta *meta, struct el_err *err)
{
    if (g->n_shards == 1)
        return EL_OK;
    struct el_sha256 *const sha = el_sha256_open();
    if (!sha)
        return no_memory(s, err);
    bool failed = false;
    for (size_t k = 0; k < el_meta_count(meta); k++) {
        struct el_buf b;
        el_buf_init(&b);
        if (!is_container_key(el_meta_key(meta, k)))
            add_value(&b, meta, k);
        el_sha256_add(sha, b.data, b.nbytes);
        failed = failed || b.failed;
        el_buf_release(&b);
    }
    for (size_t t = 0; t < s->n_tensors; t++) {
        const struct el_tensor *const tensor = &s->tensors[t];
        el_sha256_add(sha, tensor->name, strlen(tensor->name) + 1);
        el_sha256_add(sha, tensor->enc_name, strlen(tensor->enc_name) + 1);
        el_sha256_add(sha, tensor->dims, tensor->n_dims * sizeof tensor->dims[0]);
    }
    char hex[65];
    el_sha256_close(sha, hex);
    return failed ? no_memory(s, err) : el_meta_set_str(g->extra, EL_GGUF_SPLIT_ID_KEY, hex, strlen(hex), err);
}

/* Keys of shard i of several. */
static enum el_status describe_split(const struct el_sink *s, struct gguf_sink *g, uint32_t i, struct el_err *err)
{
    if (g->n_shards == 1)
        return EL_OK;
    int32_t n_parts = 0; /* at most EL_MAX_GGUF_TENSORS by then */
    for (size_t t = 0; t < s->n_tensors; t++)
        n_parts += (int32_t)s->tensors[t].n_parts;
    const uint16_t no = (uint16_t)i, count = (uint16_t)g->n_shards;
    EL_TRY(el_meta_set_scalar(g->extra, "split.no", EL_META_U16, &no, err));
    EL_TRY(el_meta_set_scalar(g->extra, "split.count", EL_META_U16, &count, err));
    return el_meta_set_scalar(g->extra, "split.tensors.count", EL_META_I32, &n_parts, err);
}

/* ---- the files ---- */

/* Zeros between the tensors of a shard, and after the last. */
static enum el_status write_padding(const struct el_sink *s, const struct gguf_sink *g, uint32_t i, struct el_err *err)
{
    const struct shard *const sh = &g->shards[i];
    uint8_t *const zeros = el_calloc_array(g->alignment, 1);
    if (!zeros)
        return no_memory(s, err);
    enum el_status status = EL_OK;
    for (size_t t = sh->first; t < sh->first + sh->n_tensors; t++) {
        for (uint32_t p = 0; p < s->tensors[t].n_parts && status == EL_OK; p++) {
            const uint64_t end = g->places[t].offset[p] + s->tensors[t].parts[p].nbytes;
            const uint64_t n = (g->alignment - end % g->alignment) % g->alignment;
            if (n > 0)
                status = el_outfile_write(sh->out, sh->data_offset + end, zeros, n, err);
        }
    }
    el_free(zeros);
    return status;
}

/* The header of shard i; those of a set must be asked for in order. */
static enum el_status make_header(const struct el_sink *s, struct gguf_sink *g, const struct el_meta *meta, uint32_t i,
                                  struct el_buf *header, struct el_err *err)
{
    if (i == 1) /* the parts container is described in the first file */
        el_meta_remove(g->extra, EL_GGUF_ENCODINGS_KEY);
    EL_TRY(describe_split(s, g, i, err));
    build_header(s, g, meta, i, header);
    return header->failed ? no_memory(s, err) : EL_OK;
}

static enum el_status begin_shard(struct el_sink *s, struct gguf_sink *g, const struct el_meta *meta, uint32_t i,
                                  struct el_err *err)
{
    struct shard *const sh = &g->shards[i];
    struct el_buf header;
    el_buf_init(&header);
    enum el_status status = make_header(s, g, meta, i, &header, err);
    if (status == EL_OK) {
        sh->data_offset = header.nbytes;
        status = check_not_input(s, sh->path, err);
        struct stat st;
        sh->existed = lstat(sh->path, &st) == 0 || errno != ENOENT;
    }
    if (status == EL_OK && (header.nbytes > EL_MAX_GGUF_HEADER || sh->data_nbytes > (uint64_t)INT64_MAX - header.nbytes))
        status = el_fail(err, EL_E_UNSUPPORTED, "'%s': a header of %zu bytes, at most %d", sh->path, header.nbytes,
                         EL_MAX_GGUF_HEADER);
    if (status == EL_OK)
        status = el_outfile_open(sh->path, s->opts.overwrite, &sh->out, err);
    if (status == EL_OK)
        status = el_outfile_reserve(sh->out, sh->data_offset + sh->data_nbytes, err);
    if (status == EL_OK)
        status = el_outfile_write(sh->out, 0, header.data, header.nbytes, err);
    if (status == EL_OK)
        status = write_padding(s, g, i, err);
    el_buf_release(&header);
    return status;
}

/* All of beginning that touches no file: which tensor goes where. */
static enum el_status lay_out(struct el_sink *s, const struct el_meta *meta, struct el_tensor *tensors, size_t n,
                              struct el_err *err)
{
    struct gguf_sink *const g = s->priv;
    const enum el_status status = el_gguf_alignment(meta, &g->alignment, err);
    if (status != EL_OK)
        return el_fail_prefix(err, status, "'%s'", s->path);
    g->extra = el_meta_new();
    if (!g->extra)
        return no_memory(s, err);
    EL_TRY(copy_tensors(s, meta, tensors, n, err));
    EL_TRY(check_names(s, err));
    EL_TRY(check_encodings(s, err));
    EL_TRY(check_meta(s, meta, err));
    EL_TRY(describe_encodings(s, g, err));
    EL_TRY(measure_headers(s, g, meta, err));
    EL_TRY(place_tensors(s, g, err));
    EL_TRY(name_shards(s, g, err));
    return add_split_id(s, g, meta, err);
}

static enum el_status sink_begin(struct el_sink *s, const struct el_meta *meta, struct el_tensor *tensors, size_t n,
                                 struct el_err *err)
{
    struct gguf_sink *const g = s->priv;
    EL_TRY(lay_out(s, meta, tensors, n, err));
    for (uint32_t i = 0; i < g->n_shards; i++)
        EL_TRY(begin_shard(s, g, meta, i, err));
    return EL_OK;
}

static void release(struct gguf_sink *g)
{
    for (uint32_t i = 0; i < g->n_shards && g->shards; i++) {
        if (g->shards[i].out)
            el_outfile_close(g->shards[i].out);
        el_free(g->shards[i].path);
    }
    for (size_t i = 0; i < g->n_arrays; i++)
        el_free(g->arrays[i].key);
    el_free(g->arrays);
    el_free(g->shards);
    el_free(g->places);
    el_meta_free(g->extra);
}

static enum el_status sum_files(struct el_sink *s, const struct el_meta *meta, struct el_tensor *tensors, size_t n,
                                uint64_t *nbytes, struct el_err *err)
{
    struct gguf_sink *const g = s->priv;
    EL_TRY(lay_out(s, meta, tensors, n, err));
    for (uint32_t i = 0; i < g->n_shards; i++) {
        struct el_buf header;
        el_buf_init(&header);
        const enum el_status status = make_header(s, g, meta, i, &header, err);
        const bool fits = el_add_u64(*nbytes, header.nbytes, nbytes) && el_add_u64(*nbytes, g->shards[i].data_nbytes, nbytes);
        el_buf_release(&header);
        EL_TRY(status);
        if (!fits)
            return el_fail(err, EL_E_USAGE, "'%s': the sizes of the files overflow", s->path);
    }
    return EL_OK;
}

static enum el_status sink_measure(struct el_sink *s, const struct el_meta *meta, struct el_tensor *tensors, size_t n,
                                   uint64_t *nbytes, struct el_err *err)
{
    struct gguf_sink *const g = s->priv;
    *nbytes = 0;
    const enum el_status status = sum_files(s, meta, tensors, n, nbytes, err);
    el_tensors_free(s->tensors, s->n_tensors);
    s->tensors = NULL;
    s->n_tensors = 0;
    release(g);
    *g = (struct gguf_sink){.shards = NULL};
    return status;
}

static enum el_status sink_write(struct el_sink *s, size_t t, uint32_t part, uint64_t offset, const void *data, uint64_t nbytes,
                                 struct el_err *err)
{
    struct gguf_sink *const g = s->priv;
    const struct el_tensor *const tensor = &s->tensors[t];
    const uint64_t size = tensor->parts[part].nbytes;
    if (offset > size || nbytes > size - offset)
        return el_fail(err, EL_E_USAGE, "'%s': tensor '%s': %llu bytes at %llu, the part has %llu", s->path, tensor->name,
                       (unsigned long long)nbytes, (unsigned long long)offset, (unsigned long long)size);
    struct shard *const sh = &g->shards[g->places[t].file[part]];
    EL_TRY(el_outfile_write(sh->out, sh->data_offset + g->places[t].offset[part] + offset, data, nbytes, err));
    atomic_fetch_add(&sh->written, nbytes);
    return EL_OK;
}

static enum el_status sink_set_array(struct el_sink *s, const char *key, const void *data, uint64_t nbytes, struct el_err *err)
{
    struct gguf_sink *const g = s->priv;
    for (size_t i = 0; i < g->n_arrays; i++) {
        if (strcmp(g->arrays[i].key, key) != 0)
            continue;
        if (g->arrays[i].nbytes != nbytes)
            return el_fail(err, EL_E_USAGE, "'%s': metadata '%s': %llu bytes, must stay %llu", s->path, key,
                           (unsigned long long)nbytes, (unsigned long long)g->arrays[i].nbytes);
        return el_outfile_write(g->shards[0].out, g->arrays[i].offset, data, nbytes, err);
    }
    return nbytes == 0 ? EL_OK : el_fail(err, EL_E_USAGE, "'%s': metadata has no array of numbers '%s'", s->path, key);
}

/* The folder of the shards, or -1. Their names follow the last slash of their paths. */
static int open_folder(const struct gguf_sink *g)
{
    char folder[PATH_MAX] = ".";
    const char *const path = g->shards[0].path, *const slash = strrchr(path, '/');
    const size_t n = slash ? (size_t)(slash - path) + 1 : 1;
    if (n >= sizeof folder)
        return -1;
    if (slash)
        memcpy(folder, path, n);
    folder[n] = '\0';
    return open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

/* Watches over the names that are new, so that a set of which a kill leaves a part leaves nothing. */
static int guard_new_names(const struct gguf_sink *g, int dir_fd)
{
    const char **const names = el_alloc_array(g->n_shards, sizeof *names);
    size_t n = 0;
    for (uint32_t i = 0; names && i < g->n_shards; i++) {
        const char *const path = g->shards[i].path, *const slash = strrchr(path, '/');
        if (!g->shards[i].existed)
            names[n++] = slash ? slash + 1 : path;
    }
    const int guard = n > 0 ? el_guard_start(dir_fd, NULL, names, n) : -1;
    el_free(names);
    return guard;
}

/*
 * Takes the first part of a set away that is about to be replaced: without it an interrupted replacement cannot be taken for a
 * model. A symbolic link stays, as it does for el_outfile.
 */
static enum el_status remove_first(const struct shard *first, int dir_fd, struct el_err *err)
{
    char path[PATH_MAX];
    if (!first->existed || !realpath(first->path, path))
        return EL_OK;
    if (unlink(path) != 0 && errno != ENOENT)
        return el_fail(err, EL_E_IO, "'%s': cannot remove the old part: %s", first->path, el_errno_text(errno));
    (void)fsync(dir_fd); /* where a folder cannot be synced, it need not be */
    return EL_OK;
}

/*
 * No call replaces several files at once, so a set is replaced in an order that never leaves a readable mix:
 *   1. All that needs space is done for every part: bytes on the disk, temporary names taken. Until here the old set is whole.
 *   2. The old first part goes: without it no part opens as a model.
 *   3. The new parts get their names, the last one first; with the first one the new set is there, whole.
 * An interruption after 2 leaves old and new parts without a first one, and what a person makes of them by hand is refused by
 * EL_GGUF_SPLIT_ID_KEY. What has got a name that was free loses it again on failure. Of two runs that write the same set at the
 * same time one waits for the other at 2, and looks again at what exists: the set of the later one is there at the end.
 */
static enum el_status name_set(const struct el_sink *s, struct gguf_sink *g, int dir_fd, struct el_err *err)
{
    for (uint32_t i = 0; i < g->n_shards; i++) {
        struct stat st;
        g->shards[i].existed = lstat(g->shards[i].path, &st) == 0 || errno != ENOENT;
        if (g->shards[i].existed && !s->opts.overwrite)
            return el_fail_why(err, EL_E_IO, EL_REASON_EXISTS, "'%s': output has come to exist and overwriting was not asked for",
                               g->shards[i].path);
    }
    const int guard = guard_new_names(g, dir_fd);
    enum el_status status = remove_first(&g->shards[0], dir_fd, err);
    for (uint32_t i = g->n_shards; i-- > 0 && status == EL_OK;) {
        status = el_outfile_commit(g->shards[i].out, err);
        g->shards[i].committed = status == EL_OK;
    }
    for (uint32_t i = 0; status != EL_OK && i < g->n_shards; i++) {
        if (g->shards[i].committed && !g->shards[i].existed)
            (void)unlink(g->shards[i].path);
    }
    el_guard_stop(guard);
    return status;
}

static enum el_status commit_set(const struct el_sink *s, struct gguf_sink *g, struct el_err *err)
{
    for (uint32_t i = 0; i < g->n_shards; i++)
        EL_TRY(el_outfile_stage(g->shards[i].out, err));
    const int dir_fd = open_folder(g);
    if (dir_fd < 0)
        return el_fail(err, EL_E_IO, "'%s': cannot open the output's folder: %s", g->shards[0].path, el_errno_text(errno));
    int lock;
    enum el_status status = el_folder_lock(dir_fd, s->path, &lock, err);
    if (status == EL_OK) {
        status = name_set(s, g, dir_fd, err);
        el_folder_unlock(lock);
    }
    close(dir_fd);
    return status;
}

static enum el_status sink_commit(struct el_sink *s, struct el_err *err)
{
    struct gguf_sink *const g = s->priv;
    for (uint32_t i = 0; i < g->n_shards; i++) {
        const uint64_t written = atomic_load(&g->shards[i].written);
        if (written != g->shards[i].expected)
            return el_fail(err, EL_E_USAGE, "'%s': %llu bytes of tensors were written, must be %llu", g->shards[i].path,
                           (unsigned long long)written, (unsigned long long)g->shards[i].expected);
    }
    if (g->n_shards == 0)
        return el_fail(err, EL_E_USAGE, "'%s': nothing to commit", s->path);
    return g->n_shards == 1 ? el_outfile_commit(g->shards[0].out, err) : commit_set(s, g, err);
}

static void sink_close(struct el_sink *s)
{
    struct gguf_sink *const g = s->priv;
    if (!g)
        return;
    release(g);
    el_free(g);
    s->priv = NULL;
}

static const char *sink_file(const struct el_sink *s, size_t i)
{
    const struct gguf_sink *const g = s->priv;
    return i < g->n_shards ? g->shards[i].path : NULL;
}

enum el_status el_gguf_create(struct el_sink *s, struct el_err *err)
{
    static const struct el_sink_ops ops = {.begin = sink_begin,
                                           .measure = sink_measure,
                                           .write = sink_write,
                                           .set_array = sink_set_array,
                                           .commit = sink_commit,
                                           .close = sink_close,
                                           .file = sink_file};
    s->ops = &ops;
    s->priv = el_calloc_array(1, sizeof(struct gguf_sink));
    return s->priv ? EL_OK : no_memory(s, err);
}
