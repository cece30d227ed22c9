/* The table of encodings, their names, sizes, and the ordinary way to decode. */
#include "tensor/encoding.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/checked.h"
#include "base/mem.h"
#include "tensor/enc_common.h"

static const struct el_encoding *const table[] = {
#define ENCODING(id) &el_encoding_##id,
#include "tensor/encodings.def"
#undef ENCODING
};

const struct el_encoding *el_encoding_at(size_t i)
{
    return i < EL_ENC_COUNT ? table[i] : NULL;
}

const char *el_encoding_name_at(size_t i, const char **about)
{
    const struct el_encoding *const e = el_encoding_at(i);
    if (about)
        *about = e ? e->about : NULL;
    return e ? e->name : NULL;
}

size_t el_encoding_find(const struct el_encoding *e)
{
    size_t i = 0;
    while (i < EL_ENC_COUNT && table[i] != e)
        i++;
    return i;
}

size_t el_encoding_index(const struct el_encoding *e)
{
    const size_t i = el_encoding_find(e);
    assert(i < EL_ENC_COUNT);
    return i;
}

const struct el_encoding *el_encoding_by_ggml(int32_t ggml_type)
{
    for (size_t i = 0; i < EL_ENC_COUNT; i++) {
        if (table[i]->ggml_type == ggml_type && ggml_type >= 0)
            return table[i];
    }
    return NULL;
}

/* Ids and names as in ggml.h, with those that it has removed. */
const char *el_ggml_type_name(int32_t ggml_type)
{
    static const char *const names[] = {
        "F32",        "F16",        "Q4_0",       "Q4_1",  "Q4_2",     "Q4_3",     "Q5_0",     "Q5_1",    "Q8_0",
        "Q8_1",       "Q2_K",       "Q3_K",       "Q4_K",  "Q5_K",     "Q6_K",     "Q8_K",     "IQ2_XXS", "IQ2_XS",
        "IQ3_XXS",    "IQ1_S",      "IQ4_NL",     "IQ3_S", "IQ2_S",    "IQ4_XS",   "I8",       "I16",     "I32",
        "I64",        "F64",        "IQ1_M",      "BF16",  "Q4_0_4_4", "Q4_0_4_8", "Q4_0_8_8", "TQ1_0",   "TQ2_0",
        "IQ4_NL_4_4", "IQ4_NL_4_8", "IQ4_NL_8_8", "MXFP4", "NVFP4",    "Q1_0",     "Q2_0",
    };
    if (ggml_type < 0 || (size_t)ggml_type >= sizeof names / sizeof names[0])
        return NULL;
    return names[ggml_type];
}

enum el_status el_enc_parse(const char *name, struct el_enc *enc, struct el_err *err)
{
    memset(enc, 0, sizeof *enc);
    for (size_t i = 0; i < EL_ENC_COUNT; i++) {
        if (table[i]->parse ? table[i]->parse(name, enc) : el_name_equal(name, table[i]->name)) {
            enc->e = table[i];
            return EL_OK;
        }
    }
    struct el_buf known;
    el_buf_init(&known);
    el_enc_list(&known);
    const enum el_status status = el_fail(err, EL_E_USAGE, "unknown encoding '%.64s', known are %s", name, known.data);
    el_buf_release(&known);
    return status;
}

void el_enc_list(struct el_buf *out)
{
    for (size_t i = 0; i < EL_ENC_COUNT; i++)
        el_buf_addf(out, "%s%s", i ? ", " : "", table[i]->usage ? table[i]->usage : table[i]->name);
}

void el_enc_name(const struct el_enc *enc, char out[32])
{
    if (enc->e->format)
        enc->e->format(enc, out);
    else
        (void)snprintf(out, 32, "%s", enc->e->name);
}

enum el_status el_enc_check_encode(const struct el_enc *enc, struct el_err *err)
{
    if (el_enc_can_encode(enc))
        return EL_OK;
    char name[32];
    el_enc_name(enc, name);
    return el_fail(err, EL_E_UNSUPPORTED,
                   "%s can be read but not made: its scales or its order of columns come from another program", name);
}

bool el_enc_equal(const struct el_enc *a, const struct el_enc *b)
{
    return a->e == b->e && a->bits == b->bits && a->zeros == b->zeros && a->wide == b->wide && a->permuted == b->permuted &&
           a->group == b->group;
}

bool el_enc_can_encode(const struct el_enc *enc)
{
    return enc->e->encode && !enc->wide && !enc->permuted;
}

bool el_enc_nbytes(const struct el_enc *enc, uint64_t n_rows, uint64_t n_in, uint64_t *nbytes)
{
    struct el_part_shape parts[EL_MAX_PARTS];
    uint32_t n_parts;
    if (!enc->e->parts(enc, n_rows, n_in, parts, &n_parts))
        return false;
    uint64_t sum = 0;
    for (uint32_t p = 0; p < n_parts; p++) {
        if (!el_add_u64(sum, parts[p].nbytes, &sum))
            return false;
    }
    *nbytes = sum;
    return true;
}

struct el_enc el_enc_f32(void)
{
    return (struct el_enc){.e = table[EL_ENC_IDX_f32]};
}

struct el_enc el_enc_f16(void)
{
    return (struct el_enc){.e = table[EL_ENC_IDX_f16]};
}

void el_matrix_decode(const struct el_matrix *m, uint64_t row0, uint64_t n_rows, float *out)
{
    assert(row0 <= m->n_rows && n_rows <= m->n_rows - row0);
    assert(m->n_in % m->enc.e->block_n == 0);
    m->enc.e->decode(m, row0, n_rows, out);
}

const uint8_t *el_matrix_perm(const struct el_matrix *m)
{
    struct el_part_shape parts[EL_MAX_PARTS];
    uint32_t n_parts;
    if (!m->enc.permuted || !m->enc.e->parts(&m->enc, m->n_rows, m->n_in, parts, &n_parts))
        return NULL;
    return m->data[n_parts - 1]; /* it is the last part */
}

enum el_status el_matrix_check(const struct el_matrix *m, struct el_err *err)
{
    const uint8_t *const perm = el_matrix_perm(m);
    if (!perm)
        return EL_OK;
    enum el_status status = EL_OK;
    uint8_t *const seen = el_calloc_array((size_t)m->n_in, 1);
    if (!seen)
        return el_fail(err, EL_E_MEMORY, "out of memory for an order of %llu columns", (unsigned long long)m->n_in);
    for (uint64_t k = 0; k < m->n_in && status == EL_OK; k++) {
        const uint32_t column = el_load_u32(perm + 4 * k);
        if (column >= m->n_in)
            status = el_fail(err, EL_E_FORMAT, "order of columns: entry %llu is %u, at most %llu", (unsigned long long)k, column,
                             (unsigned long long)m->n_in - 1);
        else if (seen[column])
            status =
                el_fail(err, EL_E_FORMAT, "order of columns: entry %llu is %u, which came before", (unsigned long long)k, column);
        else
            seen[column] = 1;
    }
    el_free(seen);
    return status;
}

struct el_matrix el_matrix_as_stored(const struct el_matrix *m)
{
    struct el_matrix stored = *m;
    stored.enc.permuted = 0;
    return stored;
}

bool el_enc_block_parts(const struct el_enc *enc, uint64_t n_rows, uint64_t n_in, struct el_part_shape *parts, uint32_t *n_parts)
{
    const struct el_encoding *const e = enc->e;
    if (n_in % e->block_n != 0)
        return false;
    struct el_part_shape part = {.suffix = "", .ggml_type = e->ggml_type, .row_n_elems = n_in};
    if (!el_mul_u64(n_in / e->block_n, e->block_nbytes, &part.row_nbytes) || !el_mul_u64(part.row_nbytes, n_rows, &part.nbytes))
        return false;
    parts[0] = part;
    *n_parts = 1;
    return true;
}

void el_enc_block_decode(const struct el_matrix *m, uint64_t row0, uint64_t n_rows, float *out)
{
    const struct el_encoding *const e = m->enc.e;
    const uint64_t n_blocks = m->n_in / e->block_n;
    for (uint64_t r = row0; r < row0 + n_rows; r++) {
        const uint8_t *p = m->data[0] + r * m->row_nbytes[0];
        for (uint64_t b = 0; b < n_blocks; b++, p += e->block_nbytes, out += e->block_n)
            e->decode_block(p, out);
    }
}

void el_enc_block_encode(const struct el_enc *enc, const float *x, const float *importance, uint64_t n_rows, uint64_t n_in,
                         enum el_effort effort, uint8_t *const parts_out[EL_MAX_PARTS])
{
    const struct el_encoding *const e = enc->e;
    const uint64_t per_row = n_in / e->block_n, n_blocks = per_row * n_rows;
    const uint32_t tile = effort == EL_ENCODE_SEARCH && e->search_blocks ? EL_ENC_TILE : 1;
    uint8_t *p = parts_out[0];
    /* Blocks lie one behind the other, from row to row. */
    for (uint64_t b = 0; b < n_blocks; b += tile, p += (uint64_t)tile * e->block_nbytes, x += (uint64_t)tile * e->block_n) {
        const uint32_t n = n_blocks - b < tile ? (uint32_t)(n_blocks - b) : tile;
        const float *w[EL_ENC_TILE];
        for (uint32_t k = 0; k < n; k++)
            w[k] = importance ? importance + (b + k) % per_row * e->block_n : NULL;
        if (tile == EL_ENC_TILE)
            e->search_blocks(x, importance ? w : NULL, n, p);
        else
            e->encode_block(x, w[0], effort, p);
    }
}

uint64_t el_enc_block_bad_f16(const struct el_matrix *m, uint64_t row0, uint64_t n_rows)
{
    const struct el_encoding *const e = m->enc.e;
    const uint64_t n_blocks = m->n_in / e->block_n;
    uint64_t n_bad = 0;
    for (uint64_t r = row0; r < row0 + n_rows; r++) {
        const uint8_t *p = m->data[0] + r * m->row_nbytes[0];
        for (uint64_t b = 0; b < n_blocks; b++, p += e->block_nbytes) {
            for (uint32_t k = 0; k < e->n_f16; k++)
                n_bad += el_f16_is_bad(el_load_u16(p + e->f16_at[k]));
        }
    }
    return n_bad;
}
