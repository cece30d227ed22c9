/* Re-laid matrices as a file: see laid_file.h. */
#include "model/laid_file.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/sha256.h"
#include "base/strmap.h"
#include "model/model.h"
#include "tensor/meta.h"

#define KEY_SOURCE EL_LAYOUT_KEY ".source"
#define KEY_SHA256 EL_LAYOUT_KEY ".sha256"
#define SUFFIX     ".strips"

enum {
    FILE_ALIGNMENT = 4096,
    HEX_CHARS = 64,
    N_SAMPLES = 16,
    SAMPLE_NBYTES = 4096,
    WRITE_NBYTES = 16 << 20, /* between looks at el_interrupted */
    POPULATE_NBYTES = 16 << 20,
};

/* The string of a key, "" when there is none. */
static const char *string_of(const struct el_source *s, const char *key)
{
    const size_t at = el_meta_find(s->meta, key);
    return at != SIZE_MAX && el_meta_type(s->meta, at) == EL_META_STR ? el_meta_str(s->meta, at, 0, NULL) : "";
}

/* Not by the layout's key: a model that has it too must be looked at as a model. */
bool el_laid_file_is(const struct el_source *s)
{
    return strcmp(string_of(s, "general.architecture"), EL_LAID_ARCH) == 0;
}

/* ---- the fingerprint of a model ---- */

static void add_number(struct el_sha256 *sha, uint64_t v)
{
    uint8_t bytes[8];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(v >> (8 * i));
    el_sha256_add(sha, bytes, sizeof bytes);
}

static void add_tensor(struct el_sha256 *sha, const struct el_tensor *t)
{
    el_sha256_add(sha, t->name, strlen(t->name) + 1);
    el_sha256_add(sha, t->enc_name, strlen(t->enc_name) + 1);
    const uint64_t numbers[] = {t->n_rows,        t->n_in,           t->file, t->offset, (uint64_t)t->order.kind,
                                t->order.n_heads, t->order.head_rows};
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        add_number(sha, numbers[i]);
}

/* Bytes from the middle of tensors that are spread over the model. */
static enum el_status add_samples(struct el_sha256 *sha, struct el_source *source, struct el_err *err)
{
    uint8_t *const sample = el_alloc(SAMPLE_NBYTES);
    enum el_status status = sample ? EL_OK : el_fail(err, EL_E_MEMORY, "'%s': out of memory", source->path);
    for (size_t i = 0; i < N_SAMPLES && source->n_tensors > 0 && status == EL_OK; i++) {
        const struct el_tensor *const t = &source->tensors[i * source->n_tensors / N_SAMPLES];
        const uint64_t all = t->parts[0].nbytes, n = all < SAMPLE_NBYTES ? all : SAMPLE_NBYTES;
        status = source->ops->read(source, t, 0, (all - n) / 2, sample, n, err);
        if (status == EL_OK)
            el_sha256_add(sha, sample, n);
    }
    el_free(sample);
    return status;
}

enum el_status el_source_fingerprint(struct el_source *source, char hex[65], struct el_err *err)
{
    struct el_sha256 *const sha = el_sha256_open();
    uint64_t nbytes;
    int64_t mtime_ns;
    if (!sha)
        return el_fail(err, EL_E_MEMORY, "'%s': out of memory", source->path);
    for (uint32_t i = 0; source->ops->stamp && source->ops->stamp(source, i, &nbytes, &mtime_ns); i++) {
        add_number(sha, nbytes);
        add_number(sha, (uint64_t)mtime_ns);
    }
    for (size_t i = 0; i < source->n_tensors; i++)
        add_tensor(sha, &source->tensors[i]);
    const enum el_status status = add_samples(sha, source, err);
    el_sha256_close(sha, hex);
    return status;
}

/* ---- using one ---- */

static enum el_status check_origin(const struct el_source *laid, struct el_source *source, struct el_err *err)
{
    char hex[65];
    const char *const layout = string_of(laid, EL_LAYOUT_KEY);
    if (!el_laid_file_is(laid))
        return el_fail_why(err, EL_E_FORMAT, EL_REASON_LAID, "'%s': metadata 'general.architecture': must be " EL_LAID_ARCH,
                           laid->path);
    if (strcmp(layout, EL_LAYOUT_ID) != 0)
        return el_fail_why(err, EL_E_UNSUPPORTED, EL_REASON_LAID, "'%s': metadata '%s': '%.64s', must be %s", laid->path,
                           EL_LAYOUT_KEY, layout, EL_LAYOUT_ID);
    EL_TRY(el_source_fingerprint(source, hex, err));
    if (strcmp(string_of(laid, KEY_SOURCE), hex) != 0)
        return el_fail_why(err, EL_E_CHECKSUM, EL_REASON_LAID, "'%s': made of another model, or the model has changed since",
                           laid->path);
    return EL_OK;
}

/* The strips of one weight, or NULL when the file has none that fit. */
static const uint8_t *find_strips(struct el_source *laid, const struct el_strmap *by_name, const struct el_relay_item *item)
{
    char name[EL_MAX_TENSOR_NAME + sizeof SUFFIX];
    const int n = snprintf(name, sizeof name, "%s" SUFFIX, item->t->name);
    const int64_t at = n > 0 && (size_t)n < sizeof name ? el_strmap_get(by_name, name, (size_t)n, -1) : -1;
    if (at < 0)
        return NULL;
    const struct el_tensor *const t = &laid->tensors[at];
    const struct el_weight *const w = item->w;
    if (!el_enc_equal(&t->enc, &w->m.enc) || t->n_rows != el_relay_n_strips(w) * EL_STRIP_ROWS || t->n_in != w->n_in)
        return NULL;
    const uint8_t *const data = laid->ops->map(laid, t, 0);
    return data;
}

struct populate_job {
    const uint8_t *data;
    uint64_t nbytes;
};

static void populate(void *arg, uint64_t begin, uint64_t end, unsigned thread)
{
    const struct populate_job *const job = arg;
    const uint64_t from = begin * POPULATE_NBYTES, to = end * POPULATE_NBYTES < job->nbytes ? end * POPULATE_NBYTES : job->nbytes;
    (void)thread;
    el_map_populate(job->data + from, to - from);
}

static enum el_status use(struct el_source *laid, const struct el_strmap *by_name, const struct el_relay_item *items,
                          size_t n_items, struct el_pool *pool, struct el_err *err)
{
    for (size_t i = 0; i < n_items; i++) {
        const uint8_t *const data = find_strips(laid, by_name, &items[i]);
        if (!data)
            return el_fail_why(err, EL_E_FORMAT, EL_REASON_LAID, "'%s': has no fitting '%s" SUFFIX "'", laid->path,
                               items[i].t->name);
        el_relay_place(items[i].w, data);
    }
    for (size_t i = 0; i < n_items && !el_interrupted(); i++) {
        const struct el_laid *const l = &items[i].w->laid;
        struct populate_job job = {l->data, el_relay_n_strips(items[i].w) * l->strip_nbytes};
        el_pool_run(pool, (job.nbytes + POPULATE_NBYTES - 1) / POPULATE_NBYTES, 1, populate, &job);
    }
    return el_interrupted() ? el_fail(err, EL_E_INTERRUPTED, "interrupted") : EL_OK;
}

enum el_status el_laid_file_use(struct el_source *laid, struct el_source *source, const struct el_relay_item *items,
                                size_t n_items, struct el_pool *pool, struct el_err *err)
{
    struct el_strmap by_name;
    EL_TRY(check_origin(laid, source, err));
    el_strmap_init(&by_name);
    enum el_status status = EL_OK;
    for (size_t i = 0; i < laid->n_tensors && status == EL_OK; i++)
        if (!el_strmap_add(&by_name, laid->tensors[i].name, strlen(laid->tensors[i].name), (int64_t)i, NULL))
            status = el_fail(err, EL_E_MEMORY, "'%s': out of memory", laid->path);
    if (status == EL_OK)
        status = use(laid, &by_name, items, n_items, pool, err);
    el_strmap_release(&by_name);
    return status;
}

/* ---- making one ---- */

struct making {
    const struct el_weight *
        *of;                    /* [n]: the weights that are re-laid, each matrix once, in the order in which a pass reads them */
    struct el_tensor *tensors;  /* [n], names owned */
    char (*hex)[HEX_CHARS + 1]; /* [n] */
    size_t n;
};

static void release(struct making *mk)
{
    for (size_t i = 0; mk->tensors && i < mk->n; i++)
        el_free((void *)(uintptr_t)mk->tensors[i].name);
    el_free(mk->of);
    el_free(mk->tensors);
    el_free(mk->hex);
}

static uint64_t nbytes_of(const struct el_weight *w)
{
    return el_relay_n_strips(w) * w->laid.strip_nbytes;
}

/* A tied embedding stands in two slots. */
static bool is_listed(const struct making *mk, const struct el_weight *w)
{
    for (size_t i = 0; i < mk->n; i++)
        if (mk->of[i]->laid.data == w->laid.data)
            return true;
    return false;
}

static enum el_status list(struct making *mk, const struct el_model *model, struct el_err *err)
{
    const size_t n_slots = ((size_t)model->weights.n_layers + 1) * EL_R_COUNT;
    size_t n = 0;
    for (size_t i = 0; i < n_slots; i++)
        n += model->weights.slots[i].role != EL_R_COUNT && model->weights.slots[i].laid.data != NULL;
    if (n == 0)
        return el_fail(err, EL_E_UNSUPPORTED, "no matrix of this model is re-laid at this CPU level");
    mk->of = el_alloc_array(n, sizeof *mk->of);
    mk->tensors = el_calloc_array(n, sizeof *mk->tensors);
    mk->hex = el_calloc_array(n, sizeof *mk->hex);
    if (!mk->of || !mk->tensors || !mk->hex)
        return el_fail(err, EL_E_MEMORY, "out of memory for %zu tensors", n);
    for (size_t i = 0; i < n_slots; i++) {
        const struct el_weight *const w = &model->weights.slots[i];
        if (w->role == EL_R_COUNT || !w->laid.data || is_listed(mk, w))
            continue;
        const size_t n_name = strlen(w->name) + sizeof SUFFIX;
        char *const name = el_alloc(n_name);
        if (!name)
            return el_fail(err, EL_E_MEMORY, "out of memory for %zu tensors", n);
        (void)snprintf(name, n_name, "%s" SUFFIX, w->name);
        mk->tensors[mk->n] = (struct el_tensor){
            .name = name, .enc = w->m.enc, .n_dims = 2, .dims = {el_relay_n_strips(w) * EL_STRIP_ROWS, w->n_in}};
        mk->of[mk->n++] = w;
    }
    return EL_OK;
}

static void hash_task(void *arg, uint64_t begin, uint64_t end, unsigned thread)
{
    struct making *const mk = arg;
    (void)thread;
    for (uint64_t i = begin; i < end && !el_interrupted(); i++) {
        struct el_sha256 *const sha = el_sha256_open();
        if (!sha)
            continue; /* no hash tells */
        el_sha256_add(sha, mk->of[i]->laid.data, nbytes_of(mk->of[i]));
        el_sha256_close(sha, mk->hex[i]);
    }
}

static enum el_status hash_all(struct making *mk, unsigned n_threads, struct el_err *err)
{
    struct el_pool *pool;
    EL_TRY(el_pool_open(n_threads, &pool, err));
    el_pool_run(pool, mk->n, 1, hash_task, mk);
    el_pool_close(pool);
    if (el_interrupted())
        return el_fail(err, EL_E_INTERRUPTED, "interrupted");
    for (size_t i = 0; i < mk->n; i++)
        if (!mk->hex[i][0])
            return el_fail(err, EL_E_MEMORY, "out of memory for a hash");
    return EL_OK;
}

static enum el_status describe(const struct making *mk, struct el_source *source, struct el_meta *meta, struct el_err *err)
{
    char hex[65];
    EL_TRY(el_source_fingerprint(source, hex, err));
    /* The first of all pairs, by which el_is_laid_file knows such a file. */
    EL_TRY(el_meta_set_str(meta, "general.architecture", EL_LAID_ARCH, strlen(EL_LAID_ARCH), err));
    EL_TRY(el_meta_set_u32(meta, "general.alignment", FILE_ALIGNMENT, err));
    EL_TRY(el_meta_set_str(meta, EL_LAYOUT_KEY, EL_LAYOUT_ID, strlen(EL_LAYOUT_ID), err));
    EL_TRY(el_meta_set_str(meta, KEY_SOURCE, hex, strlen(hex), err));
    const char **const borrowed = el_alloc_array(mk->n, sizeof *borrowed);
    if (!borrowed)
        return el_fail(err, EL_E_MEMORY, "out of memory for %zu hashes", mk->n);
    for (size_t i = 0; i < mk->n; i++)
        borrowed[i] = mk->hex[i];
    const enum el_status status = el_meta_set_str_array(meta, KEY_SHA256, borrowed, NULL, mk->n, err);
    el_free(borrowed);
    return status;
}

static enum el_status write_strips(struct making *mk, struct el_sink *sink, struct el_err *err)
{
    for (size_t i = 0; i < mk->n; i++) {
        const uint64_t nbytes = nbytes_of(mk->of[i]);
        for (uint64_t at = 0; at < nbytes; at += WRITE_NBYTES) {
            const uint64_t n = nbytes - at < WRITE_NBYTES ? nbytes - at : WRITE_NBYTES;
            if (el_interrupted())
                return el_fail(err, EL_E_INTERRUPTED, "'%s': interrupted", sink->path);
            EL_TRY(sink->ops->write(sink, i, 0, at, mk->of[i]->laid.data + at, n, err));
        }
    }
    return EL_OK;
}

enum el_status el_model_write_laid(const struct el_model *model, struct el_sink *sink, struct el_err *err)
{
    struct making mk = {.n = 0};
    struct el_meta *const meta = el_meta_new();
    enum el_status status = meta ? list(&mk, model, err) : el_fail(err, EL_E_MEMORY, "out of memory for metadata");
    sink->source = model->source; /* it must not be replaced */
    if (status == EL_OK)
        status = hash_all(&mk, model->n_threads, err);
    if (status == EL_OK)
        status = describe(&mk, model->source, meta, err);
    if (status == EL_OK)
        status = sink->ops->begin(sink, meta, mk.tensors, mk.n, err);
    if (status == EL_OK)
        status = write_strips(&mk, sink, err);
    release(&mk);
    el_meta_free(meta);
    return status;
}

/* ---- checking one ---- */

enum el_status el_laid_file_verify(struct el_source *laid, el_problem_fn *fn, void *user, el_progress_fn *progress,
                                   void *progress_user, struct el_err *err)
{
    const size_t at = el_meta_find(laid->meta, KEY_SHA256);
    uint64_t done = 0, total = 0;
    if (strcmp(string_of(laid, EL_LAYOUT_KEY), EL_LAYOUT_ID) != 0)
        return el_fail(err, EL_E_FORMAT, "'%s': metadata '%s': '%.64s', must be %s", laid->path, EL_LAYOUT_KEY,
                       string_of(laid, EL_LAYOUT_KEY), EL_LAYOUT_ID);
    if (at == SIZE_MAX || el_meta_elem_type(laid->meta, at) != EL_META_STR || el_meta_n_elems(laid->meta, at) != laid->n_tensors)
        return el_fail(err, EL_E_FORMAT, "'%s': metadata '%s': must be a string for each of %zu tensors", laid->path, KEY_SHA256,
                       laid->n_tensors);
    for (size_t i = 0; i < laid->n_tensors; i++)
        total += el_tensor_nbytes(&laid->tensors[i]);
    for (size_t i = 0; i < laid->n_tensors; i++) {
        const struct el_tensor *const t = &laid->tensors[i];
        char hex[65], text[EL_MAX_TENSOR_NAME + 80];
        EL_TRY(el_source_hash_tensor(laid, i, hex, err));
        if (strcmp(hex, el_meta_str(laid->meta, at, i, NULL)) != 0) {
            (void)snprintf(text, sizeof text, "tensor '%s': its bytes do not have the stored hash", t->name);
            fn(user, 'e', text);
        }
        done += el_tensor_nbytes(t);
        if (progress)
            progress(progress_user, t->name, done, total);
    }
    return EL_OK;
}
