/*
 * Checkpoints of llama2.c (karpathy/llama2.c, export.py): float32 or int8, all layers of one kind together.
 *
 *   v0, without magic: i32 dim, hidden_dim, n_layers, n_heads, n_kv_heads, vocab_size (negative: own classifier), seq_len; then
 *       tok_embeddings, attention_norm, wq, wk, wv, wo, ffn_norm, w1, w2, w3, norm, two tables of RoPE angles [seq_len, head/2]
 *       that nobody needs, the classifier if it is its own
 *   v1: "24ka" (ak42 in the other byte order), i32 1, the same seven numbers, u8 shared classifier, zeros to byte 256; then
 *       attention_norm, ffn_norm, norm, tok_embeddings, wq, wk, wv, wo, w1, w2, w3, the classifier if it is its own
 *   v2: as v1 with i32 2 and, behind the shared classifier, i32 group size; the norms are float32, each layer of every other
 *       kind is int8 numbers, then one float32 scale for each `group` of them, counted through the whole matrix
 *
 * No f16 holds the scales of v2, so its matrices are the wide group encoding, with the very numbers of the file; where a group
 * reaches from one row into the next, or is of a size that the encoding does not have, they are read as the products, in F32.
 * The rows of wq and wk are in Meta's order, in which RoPE rotates neighbours. The tokenizer lies in a file beside the model.
 */
#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/checked.h"
#include "base/cursor.h"
#include "base/limits.h"
#include "base/mem.h"
#include "formats/format.h"
#include "formats/hf.h"
#include "formats/store.h"
#include "text/tokenizer.h"

extern const struct el_format el_format_llama2c;

enum {
    EL_V0_HEADER = 28,
    EL_V1_HEADER = 256,
    EL_V1_FIELDS = 37,
    EL_V2_FIELDS = 41,
    EL_MAX_HIDDEN = 1 << 24,
    EL_MAX_TOKENIZER_BIN = 64 << 20
};
#define EL_AK42 0x616b3432u

struct header {
    uint32_t version;
    uint32_t dim, hidden, n_layers, n_heads, n_kv_heads, n_vocab, n_ctx;
    uint32_t group; /* numbers per scale; 0 before version 2 */
    bool own_classifier;
};

/* ---- header ---- */

static enum el_status check_range(const char *name, int32_t v, int32_t max, uint32_t *out, struct el_err *err)
{
    if (v < 1 || v > max)
        return el_fail(err, EL_E_FORMAT, "%s is %d, must be 1 to %d", name, v, max);
    *out = (uint32_t)v;
    return EL_OK;
}

/* The seven numbers. */
static enum el_status read_numbers(struct el_cursor *c, bool signed_vocab, struct header *h, struct el_err *err)
{
    int32_t v[7];
    for (unsigned i = 0; i < 7; i++)
        v[i] = (int32_t)el_cursor_u32(c);
    if (signed_vocab && v[5] < 0 && v[5] != INT32_MIN) {
        h->own_classifier = true;
        v[5] = -v[5];
    }
    EL_TRY(check_range("dim", v[0], EL_MAX_EMBD, &h->dim, err));
    EL_TRY(check_range("hidden_dim", v[1], EL_MAX_HIDDEN, &h->hidden, err));
    EL_TRY(check_range("n_layers", v[2], EL_MAX_LAYERS, &h->n_layers, err));
    EL_TRY(check_range("n_heads", v[3], EL_MAX_HEADS, &h->n_heads, err));
    EL_TRY(check_range("n_kv_heads", v[4], EL_MAX_HEADS, &h->n_kv_heads, err));
    EL_TRY(check_range("vocab_size", v[5], EL_MAX_VOCAB, &h->n_vocab, err));
    EL_TRY(check_range("seq_len", v[6], EL_MAX_CTX, &h->n_ctx, err));
    if (h->dim % h->n_heads != 0 || h->dim / h->n_heads % 2 != 0)
        return el_fail(err, EL_E_FORMAT, "dim %u and n_heads %u do not make heads of an even size", h->dim, h->n_heads);
    if (h->n_heads % h->n_kv_heads != 0)
        return el_fail(err, EL_E_FORMAT, "n_kv_heads is %u, which does not divide n_heads %u", h->n_kv_heads, h->n_heads);
    return EL_OK;
}

/* head: the first bytes of the file, at least EL_V2_FIELDS of them when the file has so many. */
static enum el_status read_header(const uint8_t *head, size_t n_head, struct header *h, struct el_err *err)
{
    memset(h, 0, sizeof *h);
    struct el_cursor c = el_cursor_init(head, n_head);
    if (el_cursor_u32(&c) != EL_AK42) {
        c = el_cursor_init(head, n_head);
        if (n_head < EL_V0_HEADER)
            return el_fail(err, EL_E_FORMAT, "truncated: %zu bytes, the header has %d", n_head, (int)EL_V0_HEADER);
        return read_numbers(&c, true, h, err);
    }
    if (n_head < EL_V1_FIELDS)
        return el_fail(err, EL_E_FORMAT, "truncated: %zu bytes, the header has %d", n_head, (int)EL_V1_HEADER);
    h->version = el_cursor_u32(&c);
    if (h->version != 1 && h->version != 2)
        return el_fail(err, EL_E_UNSUPPORTED, "version %u, supported are the legacy version, 1 and 2", h->version);
    EL_TRY(read_numbers(&c, false, h, err));
    const uint8_t shared = el_cursor_u8(&c);
    if (shared > 1)
        return el_fail(err, EL_E_FORMAT, "shared_classifier is %u, must be 0 or 1", shared);
    h->own_classifier = !shared;
    if (h->version == 2) {
        if (n_head < EL_V2_FIELDS)
            return el_fail(err, EL_E_FORMAT, "truncated: %zu bytes, the header has %d", n_head, (int)EL_V1_HEADER);
        EL_TRY(check_range("group_size", (int32_t)el_cursor_u32(&c), EL_MAX_HIDDEN, &h->group, err));
    }
    return EL_OK;
}

static bool probe(const char *path, bool is_folder, const uint8_t *head, size_t n_head)
{
    (void)path;
    if (is_folder || n_head < 8)
        return false;
    struct el_cursor c = el_cursor_init(head, n_head);
    struct header h;
    return el_cursor_u32(&c) == EL_AK42 || (n_head >= EL_V0_HEADER && read_header(head, EL_V0_HEADER, &h, NULL) == EL_OK);
}

/* ---- tensors ---- */

/* What a checkpoint holds, in the order in which the layers' tensors are listed. */
enum kind { TOK, ATTN_NORM, WQ, WK, WV, WO, FFN_NORM, W1, W3, W2, NORM, WCLS, ANGLES, N_KINDS };

struct kind_info {
    const char *name, *file_name;
    bool per_layer;
    uint64_t rows, cols; /* rows 0: a vector */
    uint64_t offset;     /* in the file */
};

static void describe(const struct header *h, struct kind_info kinds[N_KINDS])
{
    const uint64_t d = h->dim, d_kv = (uint64_t)h->dim / h->n_heads * h->n_kv_heads, f = h->hidden;
    const struct kind_info all[N_KINDS] = {
        [TOK] = {"token_embd.weight", "tok_embeddings.weight", false, h->n_vocab, d, 0},
        [ATTN_NORM] = {"blk.%u.attn_norm.weight", "layers.%u.attention_norm.weight", true, 0, d, 0},
        [WQ] = {"blk.%u.attn_q.weight", "layers.%u.attention.wq.weight", true, d, d, 0},
        [WK] = {"blk.%u.attn_k.weight", "layers.%u.attention.wk.weight", true, d_kv, d, 0},
        [WV] = {"blk.%u.attn_v.weight", "layers.%u.attention.wv.weight", true, d_kv, d, 0},
        [WO] = {"blk.%u.attn_output.weight", "layers.%u.attention.wo.weight", true, d, d, 0},
        [FFN_NORM] = {"blk.%u.ffn_norm.weight", "layers.%u.ffn_norm.weight", true, 0, d, 0},
        [W1] = {"blk.%u.ffn_gate.weight", "layers.%u.feed_forward.w1.weight", true, f, d, 0},
        [W3] = {"blk.%u.ffn_up.weight", "layers.%u.feed_forward.w3.weight", true, f, d, 0},
        [W2] = {"blk.%u.ffn_down.weight", "layers.%u.feed_forward.w2.weight", true, d, f, 0},
        [NORM] = {"output_norm.weight", "norm.weight", false, 0, d, 0},
        [WCLS] = {"output.weight", "output.weight", false, h->n_vocab, d, 0},
        [ANGLES] = {NULL, NULL, false, h->n_ctx, (uint64_t)h->dim / h->n_heads, 0},
    };
    memcpy(kinds, all, sizeof all);
}

static bool is_quantized(const struct header *h, const struct kind_info *k)
{
    return h->group && k->rows;
}

/* Of one layer. Cannot overflow: the header's numbers are bounded. */
static uint64_t kind_nbytes(const struct header *h, const struct kind_info *k)
{
    const uint64_t n = (k->rows ? k->rows : 1) * k->cols;
    return is_quantized(h, k) ? n + n / h->group * sizeof(float) : n * sizeof(float);
}

/* Offsets of all kinds; false when they do not fit 64 bits. */
static bool lay_out(const struct header *h, struct kind_info kinds[N_KINDS], uint64_t *end)
{
    static const enum kind v0[] = {TOK, ATTN_NORM, WQ, WK, WV, WO, FFN_NORM, W1, W2, W3, NORM, ANGLES, WCLS};
    static const enum kind v1[] = {ATTN_NORM, FFN_NORM, NORM, TOK, WQ, WK, WV, WO, W1, W2, W3, WCLS};
    const enum kind *const order = h->version ? v1 : v0;
    const size_t n = h->version ? sizeof v1 / sizeof v1[0] : sizeof v0 / sizeof v0[0];
    uint64_t at = h->version ? EL_V1_HEADER : EL_V0_HEADER;
    for (size_t i = 0; i < n; i++) {
        struct kind_info *const k = &kinds[order[i]];
        uint64_t nbytes;
        if (order[i] == WCLS && !h->own_classifier)
            continue;
        k->offset = at;
        if (!el_mul_u64(kind_nbytes(h, k), k->per_layer ? h->n_layers : 1, &nbytes) || !el_add_u64(at, nbytes, &at))
            return false;
    }
    *end = at;
    return true;
}

/* ---- version 2 ---- */

struct q80_rows {
    struct el_store_rows base;
    uint64_t offset; /* of the int8 numbers; the scales follow them */
    uint32_t group;
};

static enum el_status read_scales(const struct el_store *st, const struct q80_rows *q, const struct el_tensor *t, uint64_t first,
                                  uint64_t n, void *out, struct el_err *err)
{
    return el_file_read(&st->files[0], q->offset + t->n_rows * t->n_in + first * sizeof(float), out, n * sizeof(float), err);
}

/* Rows of the group encoding, whose codes are the numbers of the file + 128: that is its zero point. */
static enum el_status read_group_rows(const struct el_store *st, const struct el_store_rows *rows, const struct el_tensor *t,
                                      uint32_t part, uint64_t row0, uint64_t n_rows, uint8_t *out, struct el_err *err)
{
    const struct q80_rows *const q = (const struct q80_rows *)rows;
    const uint64_t per_row = t->n_in / q->group;
    if (part > 0)
        return read_scales(st, q, t, row0 * per_row, n_rows * per_row, out, err);
    EL_TRY(el_file_read(&st->files[0], q->offset + row0 * t->n_in, out, n_rows * t->n_in, err));
    for (uint64_t i = 0; i < n_rows * t->n_in; i++)
        out[i] ^= 0x80;
    return EL_OK;
}

/* Rows of F32: number times scale, as llama2.c has it. */
static enum el_status read_f32_rows(const struct el_store *st, const struct el_store_rows *rows, const struct el_tensor *t,
                                    uint32_t part, uint64_t row0, uint64_t n_rows, uint8_t *out, struct el_err *err)
{
    const struct q80_rows *const q = (const struct q80_rows *)rows;
    const uint64_t n = n_rows * t->n_in, begin = row0 * t->n_in, first = begin / q->group;
    const uint64_t n_scales = (begin + n - 1) / q->group - first + 1;
    int8_t *const numbers = el_alloc((size_t)n);
    float *const scales = el_alloc_array((size_t)n_scales, sizeof *scales);
    enum el_status status = EL_OK;
    (void)part;
    if (!numbers || !scales) {
        status = el_fail(err, EL_E_MEMORY, "tensor '%s': out of memory", t->name);
        goto out;
    }
    EL_TRY_OUT(el_file_read(&st->files[0], q->offset + begin, numbers, n, err));
    EL_TRY_OUT(read_scales(st, q, t, first, n_scales, scales, err));
    for (uint64_t i = 0; i < n; i++) {
        const float v = (float)numbers[i] * scales[(begin + i) / q->group - first];
        memcpy(out + i * sizeof v, &v, sizeof v);
    }
out:
    el_free(numbers);
    el_free(scales);
    return status;
}

static void free_rows(struct el_store_rows *rows)
{
    el_free(rows);
}

/* The encoding that holds groups of this size in rows of n_in; F32 when there is none. */
static struct el_enc group_encoding(uint32_t group, uint64_t n_in)
{
    char name[32];
    struct el_enc enc;
    (void)snprintf(name, sizeof name, "G8_%uF", (unsigned)group);
    if (n_in % group == 0 && el_enc_parse(name, &enc, NULL) == EL_OK)
        return enc;
    return n_in == group && el_enc_parse("G8_ROWF", &enc, NULL) == EL_OK ? enc : el_enc_f32();
}

static enum el_status set_rows(struct el_source *s, const struct header *h, const struct kind_info *k, uint64_t offset,
                               struct el_err *err)
{
    struct q80_rows *const q = el_alloc(sizeof *q);
    if (!q)
        return el_fail(err, EL_E_MEMORY, "'%s': out of memory for the tensors", s->path);
    const bool groups = !(group_encoding(h->group, k->cols).e->flags & EL_ENC_FLOAT);
    *q = (struct q80_rows){{groups ? read_group_rows : read_f32_rows, free_rows}, offset, h->group};
    el_store_set_rows(s, 0, &q->base);
    return EL_OK;
}

static enum el_status add_tensor(struct el_source *s, const struct header *h, const struct kind_info *k, enum kind kind,
                                 uint32_t layer, struct el_err *err)
{
    struct el_buf name, file_name;
    el_buf_init(&name);
    el_buf_init(&file_name);
    el_hf_add_name(&name, k->name, layer, 0);
    el_hf_add_name(&file_name, k->file_name, layer, 0);
    size_t n;
    struct el_tensor t = {.name = el_buf_detach(&name, &n), .file_name = el_buf_detach(&file_name, &n), .enc = el_enc_f32()};
    if (!t.name || !t.file_name) {
        el_free((void *)(uintptr_t)t.name);
        el_free((void *)(uintptr_t)t.file_name);
        return el_fail(err, EL_E_MEMORY, "'%s': out of memory for the tensors", s->path);
    }
    if (k->rows)
        t.dims[t.n_dims++] = k->rows;
    t.dims[t.n_dims++] = k->cols;
    if (kind == WQ || kind == WK)
        t.order = (struct el_row_order){EL_ROWS_ROPE_PAIRS, kind == WQ ? h->n_heads : h->n_kv_heads, h->dim / h->n_heads};
    if (is_quantized(h, k))
        t.enc = group_encoding(h->group, k->cols);
    const uint64_t nbytes = kind_nbytes(h, k), offset = k->offset + nbytes * layer;
    EL_TRY(el_store_add(s, &t, err));
    return is_quantized(h, k) ? set_rows(s, h, k, offset, err) : el_store_add_piece(s, 0, offset, nbytes, err);
}

static enum el_status check_groups(const struct el_source *s, const struct header *h, const struct kind_info kinds[N_KINDS],
                                   struct el_err *err)
{
    for (enum kind k = TOK; k < ANGLES; k++) {
        if (is_quantized(h, &kinds[k]) && kinds[k].rows * kinds[k].cols % h->group != 0)
            return el_fail(err, EL_E_FORMAT,
                           "'%s': llama2.c header: group_size is %u, which does not divide the %llu numbers of %s", s->path,
                           h->group, (unsigned long long)(kinds[k].rows * kinds[k].cols), kinds[k].file_name);
    }
    return EL_OK;
}

static enum el_status add_tensors(struct el_source *s, const struct header *h, const struct kind_info kinds[N_KINDS],
                                  struct el_err *err)
{
    EL_TRY(add_tensor(s, h, &kinds[TOK], TOK, 0, err));
    for (uint32_t layer = 0; layer < h->n_layers; layer++) {
        for (enum kind k = ATTN_NORM; k <= W2; k++)
            EL_TRY(add_tensor(s, h, &kinds[k], k, layer, err));
    }
    EL_TRY(add_tensor(s, h, &kinds[NORM], NORM, 0, err));
    return h->own_classifier ? add_tensor(s, h, &kinds[WCLS], WCLS, 0, err) : EL_OK;
}

static enum el_status set_meta(struct el_meta *m, const struct header *h, struct el_err *err)
{
    const struct {
        const char *key;
        uint32_t value;
    } numbers[] = {
        {"llama.vocab_size", h->n_vocab},
        {"llama.context_length", h->n_ctx},
        {"llama.embedding_length", h->dim},
        {"llama.block_count", h->n_layers},
        {"llama.feed_forward_length", h->hidden},
        {"llama.attention.head_count", h->n_heads},
        {"llama.attention.head_count_kv", h->n_kv_heads},
        {"llama.rope.dimension_count", h->dim / h->n_heads},
    };
    EL_TRY(el_meta_set_str(m, "general.architecture", "llama", 5, err));
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        EL_TRY(el_meta_set_u32(m, numbers[i].key, numbers[i].value, err));
    /* Constants of the program that wrote the file. */
    EL_TRY(el_meta_set_f32(m, "llama.attention.layer_norm_rms_epsilon", 1e-5f, err));
    return el_meta_set_f32(m, "llama.rope.freq_base", 10000.0f, err);
}

/* ---- the tokenizer beside the model ---- */

/* Better names first: tokenizer.bin, tok<n_vocab>.bin, then any tok*.bin, the first in byte order. 0: not a tokenizer's name. */
static int name_rank(const char *name, uint32_t n_vocab)
{
    const size_t n = strlen(name);
    if (n < 7 || strncmp(name, "tok", 3) != 0 || strcmp(name + n - 4, ".bin") != 0)
        return 0;
    if (strcmp(name, "tokenizer.bin") == 0)
        return 3;
    uint64_t number = 0;
    const char *p = name + 3;
    for (; *p >= '0' && *p <= '9' && number < EL_MAX_VOCAB; p++)
        number = number * 10 + (uint64_t)(*p - '0');
    return strcmp(p, ".bin") == 0 && number == n_vocab ? 2 : 1;
}

/* Path of the tokenizer in the model's folder; empty when there is none. */
static enum el_status find_tokenizer(const char *model, uint32_t n_vocab, struct el_buf *path, struct el_err *err)
{
    const char *const slash = strrchr(model, '/');
    struct el_buf folder, best;
    el_buf_init(&folder);
    el_buf_init(&best);
    el_buf_add(&folder, model, slash ? (size_t)(slash - model) + 1 : 0);
    DIR *const dir = folder.failed ? NULL : opendir(folder.nbytes ? folder.data : ".");
    int best_rank = 0;
    for (struct dirent *e; dir && (e = readdir(dir));) {
        const int rank = name_rank(e->d_name, n_vocab);
        if (rank > best_rank || (rank && rank == best_rank && strcmp(e->d_name, best.data) < 0)) {
            best_rank = rank;
            el_buf_reset(&best);
            el_buf_add_str(&best, e->d_name);
        }
    }
    if (dir)
        closedir(dir);
    if (best_rank)
        el_buf_addf(path, "%s%s", folder.data, best.data);
    const bool failed = folder.failed || best.failed || path->failed;
    el_buf_release(&folder);
    el_buf_release(&best);
    return failed ? el_fail(err, EL_E_MEMORY, "'%s': out of memory", model) : EL_OK;
}

static enum el_status read_tokenizer(struct el_source *s, const char *given, uint32_t n_vocab, struct el_err *err)
{
    struct el_buf path;
    char *data = NULL;
    size_t nbytes = 0;
    if (given) /* of any kind: tokenizer.bin is made of a SentencePiece file that many have at hand */
        return el_tokenizer_file_import(s->meta, given, n_vocab, err);
    el_buf_init(&path);
    enum el_status status = find_tokenizer(s->path, n_vocab, &path, err);
    const char *const name = path.data;
    if (status == EL_OK && !*name) {
        el_warn("'%s': no tokenizer.bin beside the model: text cannot be tokenized", s->path);
    } else if (status == EL_OK) {
        status = el_read_file(name, EL_MAX_TOKENIZER_BIN, &data, &nbytes, err);
        if (status == EL_OK) {
            status = el_tokenizer_import_llama2c(s->meta, (const uint8_t *)data, nbytes, n_vocab, err);
            if (status != EL_OK)
                status = el_fail_prefix(err, status, "'%s'", name);
        }
    }
    el_free(data);
    el_buf_release(&path);
    return status;
}

static enum el_status open_source(struct el_source *s, const struct el_source_opts *opts, struct el_err *err)
{
    struct el_store *store;
    EL_TRY(el_store_new(s, 1, &store, err));
    struct el_file *const f = &store->files[0];
    EL_TRY(el_file_open(f, s->path, err));
    uint8_t head[EL_V2_FIELDS];
    const size_t n_head = f->nbytes < sizeof head ? (size_t)f->nbytes : sizeof head;
    EL_TRY(el_file_read(f, 0, head, n_head, err));
    struct header h;
    const enum el_status status = read_header(head, n_head, &h, err);
    if (status != EL_OK)
        return el_fail_prefix(err, status, "'%s': llama2.c header", s->path);
    struct kind_info kinds[N_KINDS];
    uint64_t end;
    describe(&h, kinds);
    EL_TRY(check_groups(s, &h, kinds, err));
    if (!lay_out(&h, kinds, &end))
        return el_fail(err, EL_E_FORMAT, "'%s': llama2.c header: the tensors' size overflows 64 bits", s->path);
    if (end > f->nbytes)
        return el_fail(err, EL_E_FORMAT, "'%s': truncated: %llu bytes, the llama2.c header needs %llu", s->path,
                       (unsigned long long)f->nbytes, (unsigned long long)end);
    if (end < f->nbytes && opts->strict)
        return el_fail(err, EL_E_FORMAT, "'%s': %llu bytes after the last tensor", s->path,
                       (unsigned long long)(f->nbytes - end));
    if (end < f->nbytes)
        el_warn("'%s': %llu bytes after the last tensor", s->path, (unsigned long long)(f->nbytes - end));
    EL_TRY(set_meta(s->meta, &h, err));
    EL_TRY(add_tensors(s, &h, kinds, err));
    return read_tokenizer(s, opts->tokenizer, h.n_vocab, err);
}

const struct el_format el_format_llama2c = {
    .name = "llama2c",
    .about = "llama2.c checkpoint, legacy, version 1 or 2 (int8), with tokenizer.bin beside it",
    .probe = probe,
    .open = open_source,
    .reads_tokenizer = true,
};
