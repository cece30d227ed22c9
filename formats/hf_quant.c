/* GPTQ and AWQ checkpoints as tensors of the group encoding: see hf_quant.h for what lies in the files. */
#include "formats/hf_quant.h"

#include <stdio.h>
#include <string.h>

#include "base/f16.h"
#include "base/mem.h"
#include "formats/store.h"

/* ---- quantization_config ---- */

static enum el_status read_number(const struct el_json *config, const char *key, const char *other, int64_t *out,
                                  struct el_err *err)
{
    const struct el_json *v = el_json_get(config, key);
    if (!v && other)
        v = el_json_get(config, other);
    if (!v)
        return el_fail(err, EL_E_FORMAT, "quantization_config: no '%s'", key);
    return el_json_int(v, out) ? EL_OK : el_fail(err, EL_E_FORMAT, "quantization_config: '%s' is not an integer", key);
}

/* The value of a name that must be one of the given ones, in any case; NULL counts as the first. -1: another. */
static int one_of(const char *value, const char *const *names)
{
    for (int i = 0; names[i]; i++) {
        size_t k = 0;
        while (value && names[i][k] && (value[k] == names[i][k] || value[k] + ('a' - 'A') == names[i][k]))
            k++;
        if (!value || (!names[i][k] && !value[k]))
            return i;
    }
    return -1;
}

/* "dynamic" gives modules other settings; only those that leave a module as it is ("-:...") change nothing for a reader. */
static enum el_status check_dynamic(const struct el_json *dynamic, struct el_err *err)
{
    for (const struct el_json *m = el_json_first(dynamic); m; m = el_json_next(m)) {
        if (el_json_key(m) && strncmp(el_json_key(m), "-:", 2) != 0)
            return el_fail(err, EL_E_UNSUPPORTED, "quantization_config: 'dynamic' has settings of its own for '%s'",
                           el_json_key(m));
    }
    return EL_OK;
}

static enum el_status read_gptq(const struct el_json *config, struct el_hf_quant *q, struct el_err *err)
{
    static const char *const formats[] = {"gptq", "gptq_v2", NULL}, *const words[] = {"int32", NULL};
    const struct el_json *format = el_json_get(config, "checkpoint_format");
    if (!format)
        format = el_json_get(config, "format");
    const int version = one_of(el_json_str(format), formats);
    if (version < 0)
        return el_fail(err, EL_E_UNSUPPORTED, "quantization_config: checkpoint_format '%s', supported are gptq, gptq_v2",
                       el_json_str(format));
    const char *const word = el_json_str(el_json_get(config, "pack_dtype"));
    if (one_of(word, words) < 0)
        return el_fail(err, EL_E_UNSUPPORTED, "quantization_config: pack_dtype '%s', supported is int32", word);
    q->zero_add = version == 0;
    return check_dynamic(el_json_get(config, "dynamic"), err);
}

static enum el_status read_awq(const struct el_json *config, struct el_hf_quant *q, struct el_err *err)
{
    static const char *const versions[] = {"gemm", NULL};
    const char *const version = el_json_str(el_json_get(config, "version"));
    if (one_of(version, versions) < 0)
        return el_fail(err, EL_E_UNSUPPORTED, "quantization_config: AWQ version '%s', supported is gemm", version);
    if (q->bits != 4)
        return el_fail(err, EL_E_UNSUPPORTED, "quantization_config: AWQ of %u bits, supported is 4", q->bits);
    return EL_OK;
}

static void group_name(const struct el_hf_quant *q, char name[32])
{
    if (q->group)
        (void)snprintf(name, 32, "G%u_%uZ", (unsigned)q->bits, (unsigned)q->group);
    else
        (void)snprintf(name, 32, "G%u_ROWZ", (unsigned)q->bits);
}

enum el_status el_hf_quant_config(const struct el_json *config, struct el_hf_quant *q, struct el_err *err)
{
    static const char *const methods[] = {"gptq", "awq", NULL};
    memset(q, 0, sizeof *q);
    if (!config || el_json_is(config, EL_JSON_NULL))
        return EL_OK;
    if (!el_json_is(config, EL_JSON_OBJECT))
        return el_fail(err, EL_E_FORMAT, "quantization_config: is not an object");
    const char *const name = el_json_str(el_json_get(config, "quant_method"));
    const int method = one_of(name, methods);
    if (method < 0)
        return el_fail(err, EL_E_UNSUPPORTED, "quantization_config: quant_method '%s', supported are gptq, awq", name);
    int64_t bits, group;
    EL_TRY(read_number(config, "bits", "w_bit", &bits, err));
    EL_TRY(read_number(config, "group_size", "q_group_size", &group, err));
    if (bits != 2 && bits != 3 && bits != 4 && bits != 8)
        return el_fail(err, EL_E_UNSUPPORTED, "quantization_config: %lld bits, supported are 2, 3, 4, 8", (long long)bits);
    struct el_hf_quant made = {.method = method == 0 ? EL_HFQ_GPTQ : EL_HFQ_AWQ, .bits = (uint32_t)bits};
    struct el_enc enc;
    char enc_name[32];
    if (group > 0 && group <= UINT32_MAX)
        made.group = (uint32_t)group;
    group_name(&made, enc_name);
    if ((group < 1 && group != -1) || group > UINT32_MAX || el_enc_parse(enc_name, &enc, NULL) != EL_OK)
        return el_fail(err, EL_E_UNSUPPORTED,
                       "quantization_config: group_size %lld, supported are -1, 32, 64, 128, 256, 512, 1024", (long long)group);
    EL_TRY(method == 0 ? read_gptq(config, &made, err) : read_awq(config, &made, err));
    *q = made;
    return EL_OK;
}

/* ---- the parts of a matrix ---- */

enum el_hf_quant_part el_hf_quant_part(const char *name, size_t *n_stem)
{
    static const char *const suffixes[EL_HFQ_PARTS] = {".qweight", ".qzeros", ".scales", ".g_idx"};
    const size_t n = strlen(name);
    for (unsigned p = 0; p < EL_HFQ_PARTS; p++) {
        const size_t n_suffix = strlen(suffixes[p]);
        if (n > n_suffix && strcmp(name + n - n_suffix, suffixes[p]) == 0) {
            *n_stem = n - n_suffix;
            return (enum el_hf_quant_part)p;
        }
    }
    return EL_HFQ_PARTS;
}

static uint64_t divide_up(uint64_t n, uint64_t by)
{
    return n / by + (n % by != 0);
}

static uint64_t n_groups_of(const struct el_hf_quant *q, uint64_t n_in)
{
    return q->group ? divide_up(n_in, q->group) : 1;
}

static bool is_dtype(const struct el_st_tensor *t, const char *dtype)
{
    return strcmp(el_st_dtype_of_enc(&t->enc), dtype) == 0;
}

/* One part: type and shape. cols 0: a vector. */
static void check_part(const struct el_st_tensor *t, const char *dtypes, bool dtype_ok, uint64_t rows, uint64_t cols,
                       struct el_problems *problems)
{
    if (!dtype_ok)
        el_problems_add(problems, EL_E_UNSUPPORTED, "tensor '%s' is %s, must be %s", t->name, el_st_dtype_of_enc(&t->enc),
                        dtypes);
    if (t->strided)
        el_problems_add(problems, EL_E_UNSUPPORTED, "tensor '%s' does not lie in one piece", t->name);
    const bool fits = t->n_dims == (cols ? 2 : 1) && t->dims[0] == rows && (cols == 0 || t->dims[1] == cols);
    if (fits)
        return;
    char found[96] = "";
    for (uint32_t d = 0, n = 0; d < t->n_dims && n < sizeof found; d++)
        n += (uint32_t)snprintf(found + n, sizeof found - n, "%s%llu", d ? ", " : "", (unsigned long long)t->dims[d]);
    if (cols)
        el_problems_add(problems, EL_E_FORMAT, "tensor '%s' is [%s], config.json makes it [%llu, %llu]", t->name, found,
                        (unsigned long long)rows, (unsigned long long)cols);
    else
        el_problems_add(problems, EL_E_FORMAT, "tensor '%s' is [%s], config.json makes it [%llu]", t->name, found,
                        (unsigned long long)rows);
}

void el_hf_quant_check(const struct el_hf_quant *q, const struct el_hf_quant_matrix *m, const char *name, uint64_t n_out,
                       uint64_t n_in, struct el_problems *problems)
{
    static const char *const suffixes[] = {"qweight", "qzeros", "scales"};
    const uint64_t n_groups = n_groups_of(q, n_in);
    const bool awq = q->method == EL_HFQ_AWQ;
    bool complete = true;
    for (unsigned p = 0; p < EL_HFQ_G_IDX; p++) {
        if (!m->t[p])
            el_problems_add(problems, EL_E_FORMAT, "tensor '%.*s%s' is missing", (int)(strlen(name) - strlen("weight")), name,
                            suffixes[p]);
        complete = complete && m->t[p];
    }
    if (!complete)
        return;
    const struct el_st_tensor *const w = m->t[EL_HFQ_QWEIGHT], *const z = m->t[EL_HFQ_QZEROS], *const s = m->t[EL_HFQ_SCALES];
    const struct el_st_tensor *const g = m->t[EL_HFQ_G_IDX];
    const uint64_t out_words = divide_up(n_out * q->bits, 32); /* cannot overflow: hparams have bounds */
    if (awq && n_out % 8 != 0)
        el_problems_add(problems, EL_E_FORMAT, "tensor '%s': %llu outputs, AWQ has them in eights", w->name,
                        (unsigned long long)n_out);
    check_part(w, "I32", is_dtype(w, "I32"), awq ? n_in : divide_up(n_in * q->bits, 32), awq ? out_words : n_out, problems);
    check_part(z, "I32", is_dtype(z, "I32"), n_groups, out_words, problems);
    check_part(s, "F16, BF16 or F32", (s->enc.e->flags & EL_ENC_FLOAT) != 0, n_groups, n_out, problems);
    if (g && g->nbytes > 0)
        check_part(g, "I32", is_dtype(g, "I32"), n_in, 0, problems);
}

/* ---- reading ---- */

enum { BAND_NBYTES = 4 << 20 }; /* of words that are turned at a time */

/* One matrix: where its parts begin. */
struct slice {
    uint64_t offset[EL_HFQ_G_IDX];
    uint32_t file[EL_HFQ_G_IDX];
};

struct quant_rows {
    struct el_store_rows base;
    struct el_hf_quant q;
    uint64_t n_out, n_in, n_groups;
    uint32_t scale_nbytes; /* in the file */
    bool scale_bf16;
    uint32_t *perm; /* [n_in] or NULL */
    uint64_t n_slices;
    struct slice slices[];
};

/* Output j of eight is in this nibble of an AWQ word. */
static const uint8_t awq_nibble[8] = {0, 4, 1, 5, 2, 6, 3, 7};

static uint32_t load_u32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

/* `bits` bits from bit `at` on of little-endian bytes; `end` is the number of bytes there are. */
static uint32_t load_bits(const uint8_t *p, uint64_t end, uint64_t at, uint32_t bits)
{
    const uint64_t byte = at / 8;
    const uint32_t two = p[byte] | (byte + 1 < end ? (uint32_t)p[byte + 1] << 8 : 0);
    return two >> at % 8 & ((1u << bits) - 1);
}

static void pack_codes(const uint8_t *q, const uint32_t *perm, uint64_t n, uint32_t bits, uint8_t *out)
{
    uint32_t held = 0, n_held = 0;
    for (uint64_t k = 0; k < n; k++) {
        held |= (uint32_t)q[perm ? perm[k] : k] << n_held;
        for (n_held += bits; n_held >= 8; n_held -= 8) {
            *out++ = (uint8_t)held;
            held >>= 8;
        }
    }
    if (n_held)
        *out = (uint8_t)held;
}

/* n_rows lines of `nbytes` bytes that lie `stride` apart in the file, one behind the other to out. */
static enum el_status read_lines(const struct el_file *f, uint64_t offset, uint64_t n_lines, uint64_t stride, uint64_t nbytes,
                                 uint8_t *out, struct el_err *err)
{
    if (stride == nbytes)
        return el_file_read(f, offset, out, n_lines * nbytes, err);
    for (uint64_t i = 0; i < n_lines; i++)
        EL_TRY(el_file_read(f, offset + i * stride, out + i * nbytes, nbytes, err));
    return EL_OK;
}

/* GPTQ: a row of codes is a column of words. words [n_lines, n_cols], u: n_in bytes of scratch. */
static void gptq_codes(const struct quant_rows *r, const uint8_t *words, uint64_t n_lines, uint64_t n_cols, uint64_t col,
                       uint8_t *u, uint8_t *out)
{
    const uint64_t nbytes = (r->n_in * r->q.bits + 7) / 8;
    uint8_t *const row = r->perm ? u + r->n_in : out;
    for (uint64_t i = 0; i < n_lines; i++) {
        const uint64_t left = nbytes - 4 * i;
        memcpy(row + 4 * i, words + 4 * (i * n_cols + col), left < 4 ? left : 4);
    }
    if (!r->perm)
        return;
    for (uint64_t i = 0; i < r->n_in; i++)
        u[i] = (uint8_t)load_bits(row, nbytes, i * r->q.bits, r->q.bits);
    pack_codes(u, r->perm, r->n_in, r->q.bits, out);
}

/* AWQ: a row of codes is one nibble of a column of words. */
static void awq_codes(const struct quant_rows *r, const uint8_t *words, uint64_t n_cols, uint64_t o, uint64_t first, uint8_t *u,
                      uint8_t *out)
{
    for (uint64_t i = 0; i < r->n_in; i++)
        u[i] = load_u32(words + 4 * (i * n_cols + o / 8 - first)) >> (4 * awq_nibble[o % 8]) & 15;
    pack_codes(u, NULL, r->n_in, 4, out);
}

/* Codes of outputs [o0, o0 + n) of one matrix, in bands of bounded memory. */
static enum el_status read_codes(const struct el_store *st, const struct quant_rows *r, const struct slice *s, uint64_t o0,
                                 uint64_t n, uint8_t *out, struct el_err *err)
{
    const bool awq = r->q.method == EL_HFQ_AWQ;
    const uint64_t n_lines = awq ? r->n_in : divide_up(r->n_in * r->q.bits, 32), per_word = awq ? 8 : 1;
    const uint64_t nbytes = (r->n_in * r->q.bits + 7) / 8, line_nbytes = r->n_out / per_word * 4;
    const uint64_t fits = BAND_NBYTES / (4 * n_lines) * per_word, band = fits < 8 ? 8 : fits;
    const uint64_t most_words = (n < band ? n : band) / per_word + 2;
    enum el_status status = EL_OK;
    uint8_t *const words = el_alloc((size_t)(n_lines * most_words * 4));
    uint8_t *const u = el_alloc((size_t)(2 * r->n_in));
    if (!words || !u) {
        status = el_fail(err, EL_E_MEMORY, "out of memory for %llu words", (unsigned long long)(n_lines * most_words));
        goto out;
    }
    for (uint64_t o = o0; o < o0 + n;) {
        const uint64_t end = o0 + n - o < band ? o0 + n : o + band, first = o / per_word;
        const uint64_t n_cols = (end - 1) / per_word - first + 1;
        EL_TRY_OUT(read_lines(&st->files[s->file[EL_HFQ_QWEIGHT]], s->offset[EL_HFQ_QWEIGHT] + first * 4, n_lines, line_nbytes,
                              n_cols * 4, words, err));
        for (; o < end; o++, out += nbytes) {
            if (awq)
                awq_codes(r, words, n_cols, o, first, u, out);
            else
                gptq_codes(r, words, n_lines, n_cols, o - first, u, out);
        }
    }
out:
    el_free(words);
    el_free(u);
    return status;
}

/* Zero points of outputs [o0, o0 + n): out [n, n_groups]. */
static enum el_status read_zeros(const struct el_store *st, const struct quant_rows *r, const struct slice *s, uint64_t o0,
                                 uint64_t n, uint8_t *out, struct el_err *err)
{
    const uint32_t bits = r->q.bits, mask = (1u << bits) - 1;
    const uint64_t line_nbytes = divide_up(r->n_out * bits, 32) * 4;
    const uint64_t first = o0 * bits / 32 * 4, nbytes = divide_up((o0 + n) * bits, 32) * 4 - first;
    uint8_t *const line = el_alloc((size_t)nbytes);
    enum el_status status = line ? EL_OK : el_fail(err, EL_E_MEMORY, "out of memory for zero points");
    for (uint64_t g = 0; g < r->n_groups && status == EL_OK; g++) {
        status = el_file_read(&st->files[s->file[EL_HFQ_QZEROS]], s->offset[EL_HFQ_QZEROS] + g * line_nbytes + first, line,
                              nbytes, err);
        for (uint64_t o = 0; o < n && status == EL_OK; o++) {
            const uint64_t at = r->q.method == EL_HFQ_AWQ ? (o0 + o) / 8 * 32 + awq_nibble[(o0 + o) % 8] * 4u : (o0 + o) * bits;
            out[o * r->n_groups + g] = (uint8_t)((load_bits(line, nbytes, at - first * 8, bits) + r->q.zero_add) & mask);
        }
    }
    el_free(line);
    return status;
}

/* Scales of outputs [o0, o0 + n): out [n, n_groups], as they are, or BF16 as F32. */
static enum el_status read_scales(const struct el_store *st, const struct quant_rows *r, const struct slice *s, uint64_t o0,
                                  uint64_t n, uint8_t *out, struct el_err *err)
{
    const uint64_t size = r->scale_nbytes, to = r->scale_bf16 ? 4 : size;
    uint8_t *const line = el_alloc((size_t)(n * size));
    enum el_status status = line ? EL_OK : el_fail(err, EL_E_MEMORY, "out of memory for scales");
    for (uint64_t g = 0; g < r->n_groups && status == EL_OK; g++) {
        status = el_file_read(&st->files[s->file[EL_HFQ_SCALES]], s->offset[EL_HFQ_SCALES] + (g * r->n_out + o0) * size, line,
                              n * size, err);
        for (uint64_t o = 0; o < n && status == EL_OK; o++) {
            uint8_t *const at = out + (o * r->n_groups + g) * to;
            const float wide = el_bf16_to_f32((uint16_t)(line[2 * o] | line[2 * o + 1] << 8));
            if (r->scale_bf16)
                memcpy(at, &wide, sizeof wide);
            else
                memcpy(at, line + o * size, size);
        }
    }
    el_free(line);
    return status;
}

static enum el_status read_rows(const struct el_store *st, const struct el_store_rows *rows, const struct el_tensor *t,
                                uint32_t part, uint64_t row0, uint64_t n_rows, uint8_t *out, struct el_err *err)
{
    const struct quant_rows *const r = (const struct quant_rows *)rows;
    if (t->parts[part].row_nbytes == 0) { /* the order of the columns */
        memcpy(out, r->perm, r->n_in * sizeof *r->perm);
        return EL_OK;
    }
    while (n_rows > 0) {
        const uint64_t o = row0 % r->n_out, left = r->n_out - o, n = left < n_rows ? left : n_rows;
        const struct slice *const s = &r->slices[row0 / r->n_out];
        const enum el_status status = part == 0   ? read_codes(st, r, s, o, n, out, err)
                                      : part == 1 ? read_scales(st, r, s, o, n, out, err)
                                                  : read_zeros(st, r, s, o, n, out, err);
        if (status != EL_OK)
            return el_fail_prefix(err, status, "tensor '%s'", t->name);
        row0 += n;
        n_rows -= n;
        out += n * t->parts[part].row_nbytes;
    }
    return EL_OK;
}

static void free_rows(struct el_store_rows *rows)
{
    struct quant_rows *const r = (struct quant_rows *)rows;
    el_free(r->perm);
    el_free(r);
}

/* ---- act-order ---- */

/*
 * The order that brings the columns of a group together, from g_idx; within a group they keep their order. *perm stays NULL when
 * they lie together. Every group must be full but the last, or the encoding could not tell where it ends.
 */
static enum el_status order_columns(const struct el_hf_quant *q, const uint32_t *g_idx, uint64_t n_in, uint32_t **perm,
                                    struct el_err *err)
{
    const uint64_t n_groups = n_groups_of(q, n_in), group = q->group ? q->group : n_in;
    uint32_t *const next = el_calloc_array((size_t)n_groups, sizeof *next);
    uint32_t *const order = el_alloc_array((size_t)n_in, sizeof *order);
    enum el_status status =
        next && order ? EL_OK : el_fail(err, EL_E_MEMORY, "out of memory for %llu columns", (unsigned long long)n_in);
    bool together = true;
    for (uint64_t i = 0; i < n_in && status == EL_OK; i++) {
        if (g_idx[i] >= n_groups)
            status = el_fail(err, EL_E_FORMAT, "element %llu is %d, must be 0 to %llu", (unsigned long long)i, (int32_t)g_idx[i],
                             (unsigned long long)n_groups - 1);
        else if (next[g_idx[i]] == group || g_idx[i] * group + next[g_idx[i]] >= n_in)
            status = el_fail(err, EL_E_UNSUPPORTED, "group %u has more columns than the %llu of a group", g_idx[i],
                             (unsigned long long)(n_in - g_idx[i] * group < group ? n_in - g_idx[i] * group : group));
        else
            order[g_idx[i] * group + next[g_idx[i]]++] = (uint32_t)i;
        together = together && g_idx[i] == i / group;
    }
    el_free(next);
    if (status != EL_OK || together) {
        el_free(order);
        return status;
    }
    *perm = order; /* full: n_in columns went into groups that hold n_in */
    return EL_OK;
}

/* The order of the columns of one matrix; the file's name is in front of errors. */
static enum el_status read_order(const struct el_store *st, const struct el_hf_quant *q, const struct el_hf_quant_matrix *m,
                                 uint64_t n_in, uint32_t **perm, struct el_err *err)
{
    const struct el_st_tensor *const t = m->t[EL_HFQ_G_IDX];
    *perm = NULL;
    if (!t || t->nbytes == 0 || q->method == EL_HFQ_AWQ)
        return EL_OK;
    uint32_t *const g_idx = el_alloc_array((size_t)n_in, sizeof *g_idx);
    if (!g_idx)
        return el_fail(err, EL_E_MEMORY, "out of memory for %llu columns", (unsigned long long)n_in);
    const struct el_file *const f = &st->files[m->file[EL_HFQ_G_IDX]];
    enum el_status status = el_file_read(f, t->offset, g_idx, n_in * sizeof *g_idx, err);
    if (status == EL_OK) {
        status = order_columns(q, g_idx, n_in, perm, err);
        if (status != EL_OK)
            status = el_fail_prefix(err, status, "'%s': tensor '%s'", f->path, t->name);
    }
    el_free(g_idx);
    return status;
}

static struct slice slice_of(const struct el_hf_quant_matrix *m)
{
    struct slice s;
    for (unsigned p = 0; p < EL_HFQ_G_IDX; p++) {
        s.offset[p] = m->t[p]->offset;
        s.file[p] = m->file[p];
    }
    return s;
}

/* All slices of a stack must have one order: the encoding has no place for more. */
static enum el_status read_orders(const struct el_source *s, const struct el_hf_quant_matrix *m, struct quant_rows *r,
                                  struct el_err *err)
{
    const struct el_store *const st = s->priv;
    for (uint64_t i = 0; i < r->n_slices; i++) {
        uint32_t *perm;
        EL_TRY(read_order(st, &r->q, &m[i], r->n_in, &perm, err));
        const bool same =
            i == 0 || (!perm && !r->perm) || (perm && r->perm && memcmp(perm, r->perm, r->n_in * sizeof *perm) == 0);
        if (i == 0)
            r->perm = perm;
        else
            el_free(perm);
        if (!same)
            return el_fail(err, EL_E_UNSUPPORTED,
                           "'%s': tensor '%s': another order of columns (act-order) than expert 0 has, which is not supported",
                           s->path, m[i].t[EL_HFQ_G_IDX] ? m[i].t[EL_HFQ_G_IDX]->name : m[i].t[EL_HFQ_QWEIGHT]->name);
        r->slices[i] = slice_of(&m[i]);
    }
    return EL_OK;
}

enum el_status el_hf_quant_add(struct el_source *s, const struct el_hf_quant *q, struct el_tensor *t,
                               const struct el_hf_quant_matrix *m, uint64_t n_slices, struct el_err *err)
{
    const struct el_st_tensor *const scales = m[0].t[EL_HFQ_SCALES];
    const uint64_t n_in = t->dims[t->n_dims - 1], n_out = t->dims[t->n_dims - 2];
    char name[32];
    struct quant_rows *const r = el_calloc_array(1, sizeof *r + n_slices * sizeof r->slices[0]);
    enum el_status status = EL_OK;
    if (!r) {
        status = el_fail(err, EL_E_MEMORY, "'%s': out of memory for the tensors", s->path);
    } else {
        *r = (struct quant_rows){.base = {read_rows, free_rows}, .q = *q, .n_out = n_out, .n_in = n_in, .n_slices = n_slices};
        r->n_groups = n_groups_of(q, n_in);
        r->scale_nbytes = is_dtype(scales, "F32") ? 4 : 2;
        r->scale_bf16 = is_dtype(scales, "BF16");
        status = read_orders(s, m, r, err);
    }
    for (uint64_t i = 1; i < n_slices && status == EL_OK; i++) {
        if (m[i].t[EL_HFQ_SCALES]->enc.e != scales->enc.e)
            status = el_fail(err, EL_E_UNSUPPORTED, "'%s': tensor '%s' is %s, that of expert 0 is %s", s->path,
                             m[i].t[EL_HFQ_SCALES]->name, el_st_dtype_of_enc(&m[i].t[EL_HFQ_SCALES]->enc),
                             el_st_dtype_of_enc(&scales->enc));
    }
    if (status == EL_OK) {
        group_name(q, name);
        status = el_enc_parse(name, &t->enc, err);
    }
    if (status != EL_OK) {
        el_free((void *)(uintptr_t)t->name);
        el_free((void *)(uintptr_t)t->file_name);
        if (r)
            free_rows(&r->base);
        return status;
    }
    t->enc.wide = !is_dtype(scales, "F16");
    t->enc.permuted = r->perm != NULL;
    status = el_store_add(s, t, err);
    if (status == EL_OK)
        el_store_set_rows(s, m[0].file[EL_HFQ_QWEIGHT], &r->base);
    else
        free_rows(&r->base);
    return status;
}
