/* Strips of 16 rows: see layout.h. */
#include "tensor/layout.h"

#include <assert.h>
#include <string.h>

/*
 * The order of the fields is the order in which kernels need them: scales, then codes. What the bytes mean is said in
 * enc_*.c.
 */
static const struct el_layout layouts[EL_ENC_COUNT] = {
    [EL_ENC_IDX_q8_0] = {{{0, 2, 1}, {2, 4, 8}}},
    [EL_ENC_IDX_q4_0] = {{{0, 2, 1}, {2, 4, 4}}},
    [EL_ENC_IDX_q4_1] = {{{0, 2, 2}, {4, 4, 4}}},
    [EL_ENC_IDX_q5_0] = {{{0, 2, 1}, {2, 4, 1}, {6, 4, 4}}},
    [EL_ENC_IDX_q5_1] = {{{0, 2, 2}, {4, 4, 1}, {8, 4, 4}}},
    [EL_ENC_IDX_iq4_nl] = {{{0, 2, 1}, {2, 4, 4}}},
    [EL_ENC_IDX_mxfp4] = {{{0, 1, 1}, {1, 4, 4}}},
    [EL_ENC_IDX_q2_k] = {{{80, 2, 2}, {0, 4, 4}, {16, 4, 16}}},
    [EL_ENC_IDX_q3_k] = {{{108, 2, 1}, {96, 4, 3}, {0, 4, 8}, {32, 4, 16}}},
    [EL_ENC_IDX_q4_k] = {{{0, 2, 2}, {4, 4, 3}, {16, 4, 32}}},
    [EL_ENC_IDX_q5_k] = {{{0, 2, 2}, {4, 4, 3}, {16, 4, 8}, {48, 4, 32}}},
    [EL_ENC_IDX_q6_k] = {{{208, 2, 1}, {192, 4, 4}, {128, 4, 16}, {0, 4, 32}}},
    [EL_ENC_IDX_iq4_xs] = {{{0, 2, 2}, {4, 4, 1}, {8, 4, 32}}},
    [EL_ENC_IDX_tq1_0] = {{{52, 2, 1}, {0, 4, 13}}},
    [EL_ENC_IDX_tq2_0] = {{{64, 2, 1}, {0, 4, 16}}},
    [EL_ENC_IDX_q1_0] = {{{0, 2, 1}, {2, 4, 4}}},
    [EL_ENC_IDX_q2_0] = {{{0, 2, 1}, {2, 4, 4}}},
    [EL_ENC_IDX_iq1_s] = {{{0, 2, 1}, {34, 2, 8}, {2, 4, 8}}},
    [EL_ENC_IDX_iq1_m] = {{{48, 2, 4}, {32, 2, 8}, {0, 4, 8}}},
    [EL_ENC_IDX_iq2_xxs] = {{{0, 2, 1}, {2, 4, 16}}},
    [EL_ENC_IDX_iq2_xs] = {{{0, 2, 1}, {66, 4, 2}, {2, 4, 16}}},
    [EL_ENC_IDX_iq2_s] = {{{0, 2, 1}, {66, 4, 4}, {2, 4, 16}}},
    [EL_ENC_IDX_iq3_xxs] = {{{0, 2, 1}, {66, 4, 8}, {2, 4, 16}}},
    [EL_ENC_IDX_iq3_s] = {{{0, 2, 1}, {106, 4, 1}, {66, 4, 2}, {74, 4, 8}, {2, 4, 16}}},
};

const struct el_layout *el_layout_of(const struct el_encoding *e)
{
    const size_t i = el_encoding_find(e);
    return i < EL_ENC_COUNT && layouts[i].field[0].n ? &layouts[i] : NULL;
}

uint64_t el_strip_nbytes(const struct el_encoding *e, uint64_t n_in)
{
    assert(n_in <= UINT32_MAX);
    return n_in / e->block_n * e->block_nbytes * EL_STRIP_ROWS;
}

/* One word of 16 rows whose blocks lie row_nbytes apart: the loops below are unrolled for each width. */
#define LAY_WORDS(width)                                                                                                         \
    static uint8_t *lay_words_##width(const uint8_t *block, uint64_t row_nbytes, uint32_t n, uint8_t *out)                       \
    {                                                                                                                            \
        for (uint32_t w = 0; w < n; w++, block += (width))                                                                       \
            for (uint32_t r = 0; r < EL_STRIP_ROWS; r++, out += (width))                                                         \
                memcpy(out, block + r * row_nbytes, width);                                                                      \
        return out;                                                                                                              \
    }

LAY_WORDS(1)
LAY_WORDS(2)
LAY_WORDS(4)

#if defined(__GNUC__) && (__GNUC__ >= 12 || defined(__clang__))
/* Four words of 16 rows, as four squares of 4 x 4 that are transposed in registers: six times as fast as word by word. */
#define WORDS uint32_t __attribute__((vector_size(16)))

static void lay_square(const uint8_t *block, uint64_t row_nbytes, uint8_t *out)
{
    WORDS r[4], t[4];
    for (uint32_t i = 0; i < 4; i++)
        memcpy(&r[i], block + i * row_nbytes, 16);
    t[0] = __builtin_shufflevector(r[0], r[1], 0, 4, 1, 5);
    t[1] = __builtin_shufflevector(r[0], r[1], 2, 6, 3, 7);
    t[2] = __builtin_shufflevector(r[2], r[3], 0, 4, 1, 5);
    t[3] = __builtin_shufflevector(r[2], r[3], 2, 6, 3, 7);
    for (uint32_t i = 0; i < 2; i++) {
        const WORDS low = __builtin_shufflevector(t[i], t[i + 2], 0, 1, 4, 5);
        const WORDS high = __builtin_shufflevector(t[i], t[i + 2], 2, 3, 6, 7);
        memcpy(out + (2 * i) * 4 * EL_STRIP_ROWS, &low, 16);
        memcpy(out + (2 * i + 1) * 4 * EL_STRIP_ROWS, &high, 16);
    }
}

static uint8_t *lay_words_16(const uint8_t *block, uint64_t row_nbytes, uint32_t n, uint8_t *out)
{
    for (uint32_t w = 0; w < n; w += 4, block += 16, out += (uint64_t)16 * EL_STRIP_ROWS)
        for (uint32_t r = 0; r < EL_STRIP_ROWS; r += 4)
            lay_square(block + r * row_nbytes, row_nbytes, out + r * 4);
    return out;
}
#else
#define lay_words_16 lay_words_4
#endif

static uint8_t *lay_field(const struct el_layout_field *f, const uint8_t *block, uint64_t row_nbytes, uint8_t *out)
{
    if (f->width == 4 && f->n % 4 == 0)
        return lay_words_16(block + f->at, row_nbytes, f->n, out);
    if (f->width == 4)
        return lay_words_4(block + f->at, row_nbytes, f->n, out);
    if (f->width == 2)
        return lay_words_2(block + f->at, row_nbytes, f->n, out);
    return lay_words_1(block + f->at, row_nbytes, f->n, out);
}

/* Fewer rows than a strip has: a word at a time. */
static uint8_t *lay_field_short(const struct el_layout_field *f, const uint8_t *block, uint64_t row_nbytes, uint32_t n_rows,
                                uint8_t *out)
{
    for (uint32_t w = 0; w < f->n; w++)
        for (uint32_t r = 0; r < EL_STRIP_ROWS; r++, out += f->width) {
            if (r < n_rows)
                memcpy(out, block + r * row_nbytes + f->at + w * f->width, f->width);
            else
                memset(out, 0, f->width);
        }
    return out;
}

void el_lay_strip(const struct el_encoding *e, const uint8_t *rows, uint64_t row_nbytes, uint32_t n_rows, uint64_t n_in,
                  uint8_t *out)
{
    const struct el_layout *const l = el_layout_of(e);
    assert(l && n_rows >= 1 && n_rows <= EL_STRIP_ROWS);
    for (uint64_t b = 0; b < n_in / e->block_n; b++, rows += e->block_nbytes)
        for (const struct el_layout_field *f = l->field; f < l->field + EL_LAYOUT_FIELDS && f->n; f++)
            out = n_rows == EL_STRIP_ROWS ? lay_field(f, rows, row_nbytes, out)
                                          : lay_field_short(f, rows, row_nbytes, n_rows, out);
}

void el_laid_block(const struct el_laid *m, uint64_t r, uint64_t b, uint8_t *out)
{
    const struct el_encoding *const e = el_encoding_at(m->index);
    const struct el_layout *const l = &layouts[m->index];
    const uint8_t *from = m->data + r / EL_STRIP_ROWS * m->strip_nbytes + b * e->block_nbytes * EL_STRIP_ROWS;
    assert(r < m->n_rows);
    for (const struct el_layout_field *f = l->field; f < l->field + EL_LAYOUT_FIELDS && f->n; f++)
        for (uint32_t w = 0; w < f->n; w++, from += (uint64_t)EL_STRIP_ROWS * f->width)
            memcpy(out + f->at + w * f->width, from + r % EL_STRIP_ROWS * f->width, f->width);
}

void el_laid_decode_row(const struct el_laid *m, uint64_t r, float *out)
{
    enum { MAX_BLOCK_NBYTES = 256 };
    const struct el_encoding *const e = el_encoding_at(m->index);
    uint8_t block[MAX_BLOCK_NBYTES];
    assert(e->block_nbytes <= sizeof block);
    for (uint64_t b = 0; b < m->n_in / e->block_n; b++) {
        const struct el_matrix one = {
            .enc = {.e = e}, .n_rows = 1, .n_in = e->block_n, .data = {block}, .row_nbytes = {e->block_nbytes}};
        el_laid_block(m, r, b, block);
        el_matrix_decode(&one, 0, 1, out + b * e->block_n);
    }
}
