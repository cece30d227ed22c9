/* Saving and loading sequences; see session_file.h for the bytes. */
#include "model/session_file.h"

#include <stdio.h>
#include <string.h>

#include "base/checked.h"
#include "base/cursor.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/sha256.h"
#include "edgellm.h"
#include "model/model.h"

static const char magic[8] = {'E', 'D', 'G', 'E', 'L', 'L', 'M', 'S'};
enum {
    LEVEL_CHARS = 16,
    ROWS_AT_A_TIME = 256,
    HEADER_NBYTES = 8 + 7 * 4 + LEVEL_CHARS + EL_MODEL_HASH_CHARS + 4,
    HASH_CHARS = 64
};

static enum el_status check_hash(const char *model_hash, struct el_err *err)
{
    if (strlen(model_hash) == EL_MODEL_HASH_CHARS && strspn(model_hash, "0123456789abcdef") == EL_MODEL_HASH_CHARS)
        return EL_OK;
    return el_fail(err, EL_E_USAGE, "the hash of a model '%.70s', allowed are %d hex digits", model_hash, EL_MODEL_HASH_CHARS);
}

/* ---- writing ---- */

struct writer {
    struct el_outfile *out;
    struct el_sha256 *sum;
    uint64_t at;
};

static enum el_status put(struct writer *w, const void *data, uint64_t nbytes, struct el_err *err)
{
    el_sha256_add(w->sum, data, nbytes);
    EL_TRY(el_outfile_write(w->out, w->at, data, nbytes, err));
    w->at += nbytes;
    return EL_OK;
}

static uint8_t *put_u32(uint8_t *p, uint32_t v)
{
    for (int i = 0; i < 4; i++)
        *p++ = (uint8_t)(v >> 8 * i);
    return p;
}

static enum el_status put_header(struct writer *w, const struct el_kv *kv, const char *model_hash, uint32_t n_ids,
                                 struct el_err *err)
{
    uint8_t h[HEADER_NBYTES] = {0};
    const char *const level = el_cpu_name(kv->level);
    memcpy(h, magic, sizeof magic);
    uint8_t *p = put_u32(h + sizeof magic, EL_SESSION_FILE_VERSION);
    p = put_u32(p, kv->dims.n_layers);
    p = put_u32(p, kv->dims.n_kv_heads);
    p = put_u32(p, kv->dims.d_head);
    p = put_u32(p, kv->k.type);
    p = put_u32(p, kv->v.type);
    p = put_u32(p, kv->way);
    memcpy(p, level, strnlen(level, LEVEL_CHARS));
    memcpy(p + LEVEL_CHARS, model_hash, EL_MODEL_HASH_CHARS);
    (void)put_u32(p + LEVEL_CHARS + EL_MODEL_HASH_CHARS, n_ids);
    return put(w, h, sizeof h, err);
}

/* Positions follow each other in the file: they are gathered from their tiles, a piece at a time. */
static enum el_status put_half(struct writer *w, const struct el_kv *kv, const struct el_kv_half *half, uint32_t seq,
                               uint32_t n_ids, struct el_err *err)
{
    uint8_t *const rows = el_alloc_array(ROWS_AT_A_TIME, half->row_nbytes);
    if (!rows)
        return el_fail(err, EL_E_MEMORY, "out of memory for a piece of the KV cache");
    enum el_status status = EL_OK;
    for (uint32_t i = 0; i < kv->dims.n_layers * kv->dims.n_kv_heads && status == EL_OK; i++) {
        const void *const head = el_kv_head(kv, half, seq, i / kv->dims.n_kv_heads, i % kv->dims.n_kv_heads);
        for (uint32_t pos = 0; pos < n_ids && status == EL_OK; pos += ROWS_AT_A_TIME) {
            const uint32_t n = n_ids - pos < ROWS_AT_A_TIME ? n_ids - pos : ROWS_AT_A_TIME;
            for (uint32_t r = 0; r < n; r++)
                el_kv_get_row(half->type, half->is_key, kv->dims.d_head, head, pos + r, rows + r * half->row_nbytes);
            status = put(w, rows, n * half->row_nbytes, err);
        }
    }
    el_free(rows);
    return status;
}

static enum el_status write_all(struct writer *w, const struct el_kv *kv, uint32_t seq, const char *model_hash,
                                const int32_t *ids, uint32_t n_ids, struct el_err *err)
{
    char hex[HASH_CHARS + 1];
    EL_TRY(put_header(w, kv, model_hash, n_ids, err));
    EL_TRY(put(w, ids, n_ids * sizeof *ids, err));
    EL_TRY(put_half(w, kv, &kv->k, seq, n_ids, err));
    EL_TRY(put_half(w, kv, &kv->v, seq, n_ids, err));
    el_sha256_close(w->sum, hex);
    w->sum = NULL;
    EL_TRY(el_outfile_write(w->out, w->at, hex, HASH_CHARS, err));
    return el_outfile_commit(w->out, err);
}

static enum el_status check_kind(const struct el_kv *kv, struct el_err *err)
{
    return kv->unlike_others ? el_fail(err, EL_E_UNSUPPORTED, "a session with rounded activations is neither saved nor loaded")
                             : EL_OK;
}

enum el_status el_session_save(struct el_session *session, uint32_t seq, const int32_t *ids, size_t n_ids, const char *model_hash,
                               const char *path, struct el_err *err)
{
    const struct el_kv *const kv = el_session_kv(session);
    EL_TRY(check_hash(model_hash, err));
    EL_TRY(check_kind(kv, err));
    if (n_ids > el_session_n_past(session, seq))
        return el_fail(err, EL_E_USAGE, "%zu tokens to save, the sequence holds %u", n_ids, el_session_n_past(session, seq));
    struct writer w = {.out = NULL};
    EL_TRY(el_outfile_open(path, true, &w.out, err));
    w.sum = el_sha256_open();
    const enum el_status status = w.sum ? write_all(&w, kv, seq, model_hash, ids, (uint32_t)n_ids, err)
                                        : el_fail(err, EL_E_MEMORY, "'%s': out of memory for a hash", path);
    if (w.sum) {
        char hex[HASH_CHARS + 1];
        el_sha256_close(w.sum, hex);
    }
    el_outfile_close(w.out);
    return status;
}

/* ---- reading ---- */

static enum el_status check_size(const struct el_kv *kv, uint64_t nbytes, uint64_t n_ids, const char *what, struct el_err *err)
{
    uint64_t want = 0, rows = 0;
    const bool fits = el_mul_u64(n_ids, (uint64_t)kv->dims.n_layers * kv->dims.n_kv_heads, &rows) &&
                      el_mul_u64(rows, kv->k.row_nbytes + kv->v.row_nbytes, &want) && el_add_u64(want, n_ids * 4, &want) &&
                      el_add_u64(want, HEADER_NBYTES + HASH_CHARS, &want);
    if (!fits || want != nbytes)
        return el_fail(err, EL_E_FORMAT, "%s: %llu bytes, %llu tokens of this shape take %llu", what, (unsigned long long)nbytes,
                       (unsigned long long)n_ids, (unsigned long long)(fits ? want : UINT64_MAX));
    return EL_OK;
}

static enum el_status check_number(const char *what, const char *name, uint32_t found, uint32_t want, struct el_err *err)
{
    if (found == want)
        return EL_OK;
    return el_fail(err, EL_E_UNSUPPORTED, "%s: made with %s %u, this run has %u", what, name, found, want);
}

static enum el_status check_type(const char *what, const char *name, uint32_t found, enum el_kv_type want, struct el_err *err)
{
    if (found >= EL_KV_TYPES)
        return el_fail(err, EL_E_FORMAT, "%s: type %u of %s, known are 0 to %d", what, found, name, EL_KV_TYPES - 1);
    if (found == want)
        return EL_OK;
    return el_fail(err, EL_E_UNSUPPORTED, "%s: made with %s of type %s, this run has %s", what, name,
                   el_kv_type_name((enum el_kv_type)found), el_kv_type_name(want));
}

static enum el_status check_way(const char *what, uint32_t found, uint32_t want, struct el_err *err)
{
    static const struct {
        uint32_t bit;
        const char *with, *without;
    } ways[] = {{EL_KV_LONG_ROPE, "RoPE's factors for long contexts", "RoPE's factors for short contexts"},
                {EL_KV_F32_ACTS, "f32 activations", "int8 activations"}};
    for (size_t i = 0; i < sizeof ways / sizeof ways[0]; i++)
        if ((found ^ want) & ways[i].bit)
            return el_fail(err, EL_E_UNSUPPORTED, "%s: made with %s, this run has %s", what,
                           found & ways[i].bit ? ways[i].with : ways[i].without,
                           want & ways[i].bit ? ways[i].with : ways[i].without);
    return found == want ? EL_OK : el_fail(err, EL_E_FORMAT, "%s: way %u, known are 0 to 3", what, found);
}

/* Everything before the tokens. The checksum comes first of what may differ, so that damage is not taken for another model. */
static enum el_status read_header(struct el_cursor *c, const struct el_kv *kv, const char *what, const char *model_hash,
                                  uint32_t *n_ids, struct el_err *err)
{
    const size_t nbytes = el_cursor_left(c);
    const uint8_t *const found_magic = el_cursor_bytes(c, sizeof magic);
    const uint32_t version = el_cursor_u32(c);
    if (c->failed || memcmp(found_magic, magic, sizeof magic) != 0)
        return el_fail(err, EL_E_FORMAT, "%s: not a prompt cache of edgellm", what);
    if (version != EL_SESSION_FILE_VERSION)
        return el_fail(err, EL_E_UNSUPPORTED, "%s: version %u, known is %d", what, version, EL_SESSION_FILE_VERSION);
    uint32_t n[6];
    for (size_t i = 0; i < 6; i++)
        n[i] = el_cursor_u32(c);
    const uint8_t *const level = el_cursor_bytes(c, LEVEL_CHARS);
    const uint8_t *const hash = el_cursor_bytes(c, EL_MODEL_HASH_CHARS);
    *n_ids = el_cursor_u32(c);
    if (c->failed || nbytes < HEADER_NBYTES + HASH_CHARS)
        return el_fail(err, EL_E_FORMAT, "%s: %zu bytes, at least %d", what, nbytes, HEADER_NBYTES + HASH_CHARS);
    char hex[HASH_CHARS + 1];
    struct el_sha256 *const sum = el_sha256_open();
    if (!sum)
        return el_fail(err, EL_E_MEMORY, "%s: out of memory for a hash", what);
    el_sha256_add(sum, c->start, nbytes - HASH_CHARS);
    el_sha256_close(sum, hex);
    if (memcmp(hex, c->start + nbytes - HASH_CHARS, HASH_CHARS) != 0)
        return el_fail(err, EL_E_CHECKSUM, "%s: the bytes do not have the SHA-256 that stands at the end", what);
    if (memcmp(hash, model_hash, EL_MODEL_HASH_CHARS) != 0)
        return el_fail(err, EL_E_UNSUPPORTED, "%s: made with another model, of hash %.12s..., this one has %.12s...", what,
                       (const char *)hash, model_hash);
    EL_TRY(check_number(what, "layers", n[0], kv->dims.n_layers, err));
    EL_TRY(check_number(what, "heads of keys and values", n[1], kv->dims.n_kv_heads, err));
    EL_TRY(check_number(what, "a head size of", n[2], kv->dims.d_head, err));
    EL_TRY(check_type(what, "keys", n[3], kv->k.type, err));
    EL_TRY(check_type(what, "values", n[4], kv->v.type, err));
    EL_TRY(check_way(what, n[5], kv->way, err));
    if (strncmp((const char *)level, el_cpu_name(kv->level), LEVEL_CHARS) != 0)
        return el_fail(err, EL_E_UNSUPPORTED, "%s: made at the CPU level %.16s, this run is at %s", what, (const char *)level,
                       el_cpu_name(kv->level));
    return check_size(kv, nbytes, *n_ids, what, err);
}

static void take_half(struct el_cursor *c, const struct el_kv *kv, const struct el_kv_half *half, uint32_t seq, uint64_t n_ids,
                      uint64_t n_taken)
{
    for (uint32_t l = 0; l < kv->dims.n_layers; l++)
        for (uint32_t h = 0; h < kv->dims.n_kv_heads; h++) {
            const uint8_t *const from = el_cursor_bytes(c, n_ids * half->row_nbytes);
            void *const head = el_kv_head(kv, half, seq, l, h);
            for (uint64_t pos = 0; from && pos < n_taken; pos++)
                el_kv_put_row(half->type, half->is_key, kv->dims.d_head, head, pos, from + pos * half->row_nbytes);
        }
}

enum el_status el_session_file_read(struct el_kv *kv, uint32_t seq, const void *data, size_t nbytes, const char *what,
                                    const char *model_hash, const int32_t *ids, size_t n_ids, size_t *n_loaded,
                                    struct el_err *err)
{
    *n_loaded = 0;
    uint32_t n_stored = 0;
    struct el_cursor c = el_cursor_init(data, nbytes);
    EL_TRY(check_hash(model_hash, err));
    if (seq >= kv->dims.n_seqs)
        return el_fail(err, EL_E_USAGE, "sequence %u, allowed are 0 to %u", seq, kv->dims.n_seqs - 1);
    EL_TRY(read_header(&c, kv, what, model_hash, &n_stored, err));
    uint32_t n = 0;
    bool equal = true;
    for (uint32_t i = 0; i < n_stored; i++) {
        const int32_t id = (int32_t)el_cursor_u32(&c);
        equal = equal && i < n_ids && i < kv->dims.n_ctx && ids[i] == id;
        n += equal;
    }
    take_half(&c, kv, &kv->k, seq, n_stored, n);
    take_half(&c, kv, &kv->v, seq, n_stored, n);
    kv->n_past[seq] = n;
    *n_loaded = n;
    return EL_OK;
}

enum el_status el_session_load(struct el_session *session, uint32_t seq, const char *path, const char *model_hash,
                               const int32_t *ids, size_t n_ids, size_t *n_loaded, struct el_err *err)
{
    struct el_file f;
    char what[300];
    *n_loaded = 0;
    EL_TRY(check_kind(el_session_kv(session), err));
    EL_TRY(el_file_open(&f, path, err));
    const uint8_t *base = NULL;
    (void)snprintf(what, sizeof what, "'%.290s'", path);
    enum el_status status = f.nbytes ? el_file_map(&f, &base, err) : EL_OK;
    if (status == EL_OK)
        status = el_session_file_read(el_session_kv(session), seq, base, f.nbytes, what, model_hash, ids, n_ids, n_loaded, err);
    el_file_close(&f);
    return status;
}
