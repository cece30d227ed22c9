/* The table of encodings, their names, sizes, and the ordinary way to decode. */
#include "tensor/encoding.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/checked.h"
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

size_t el_encoding_index(const struct el_encoding *e)
{
    size_t i = 0;
    while (i < EL_ENC_COUNT && table[i] != e)
        i++;
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

bool el_enc_equal(const struct el_enc *a, const struct el_enc *b)
{
    return a->e == b->e && a->bits == b->bits && a->zeros == b->zeros && a->group == b->group;
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

uint64_t el_enc_count_bad_f16(const struct el_matrix *m, uint64_t row0, uint64_t n_rows, uint32_t at, uint32_t at2)
{
    const struct el_encoding *const e = m->enc.e;
    const uint64_t n_blocks = m->n_in / e->block_n;
    uint64_t n_bad = 0;
    for (uint64_t r = row0; r < row0 + n_rows; r++) {
        const uint8_t *const row = m->data[0] + r * m->row_nbytes[0];
        for (uint64_t b = 0; b < n_blocks; b++) {
            const uint8_t *const block = row + b * e->block_nbytes;
            n_bad += el_f16_is_bad(el_load_u16(block + at));
            if (at2 != at)
                n_bad += el_f16_is_bad(el_load_u16(block + at2));
        }
    }
    return n_bad;
}
