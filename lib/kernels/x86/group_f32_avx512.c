/*
 * AVX-512: the group encoding for float32 activations, sixteen codes at a time: decoding, and the product with one token, which
 * needs no decoded row in memory. Sixteen codes fill 2 * bits bytes; a byte shuffle brings two bytes with the code into a lane of
 * its own, a shift makes it the lowest bits. Up to four bits, eight codes lie in one lane already, which is only shifted, and a
 * permutation that ignores what is above them takes the weight from a register with the sixteen that the group has.
 * w = scale (q - zero) as enc_group.c computes it, columns as stored.
 */
#include <assert.h>
#include <stdint.h>

#include "base/compiler.h"
#include "kernels/kernels.h"

#if EL_X86
#include <immintrin.h>

#include "kernels/blocks.h"
#include "kernels/group_codes.h"
#include "kernels/x86/decode_avx2.h"
#include "kernels/x86/kernels_x86.h"
#include "kernels/x86/simd_avx512.h"

enum { LANES = 16, MAX_ROWS = 4, REACH = 16 /* bytes that a load takes */, PREFETCH = 64 /* columns at a time */ };

/* How codes of a width are unpacked. */
struct unpack {
    __m512i shuffle, shift, mask;
    unsigned bits;
};

/* Code i begins in bit i * bits % 8 of byte i * bits / 8. A byte of -1 is read as 0. */
EL_INLINE EL_AVX512 struct unpack unpack_of(unsigned bits)
{
    int32_t shuffle[LANES], shift[LANES];
    for (unsigned i = 0; i < LANES; i++) {
        const unsigned at = i * bits / 8, next = at + 1 < REACH ? at + 1 : 0xff;
        shuffle[i] = (int32_t)(0xffff0000u | next << 8 | at);
        shift[i] = (int32_t)(bits <= 4 ? i % 8 * bits : i * bits % 8);
    }
    return (struct unpack){_mm512_loadu_si512(shuffle), _mm512_loadu_si512(shift), _mm512_set1_epi32((1 << bits) - 1), bits};
}

/* Codes from the REACH bytes at p, `few`: of at most four bits. Above their bits, other bits. */
EL_INLINE EL_AVX512 __m512i codes(bool few, const uint8_t *p, const struct unpack *u)
{
    if (few) {
        const __m512i first = _mm512_set1_epi32((int)el_block_u32(p));
        return _mm512_srlv_epi32(_mm512_mask_set1_epi32(first, 0xff00, (int)el_block_u32(p + u->bits)), u->shift);
    }
    const __m512i bytes = _mm512_broadcast_i32x4(el_load_16(p));
    return _mm512_srlv_epi32(_mm512_shuffle_epi8(bytes, u->shuffle), u->shift);
}

/* A group of a row: scale and zero point, and what the codes 0..15 stand for. */
struct group {
    __m512i zero;
    __m512 scale, table;
};

EL_INLINE EL_AVX512 __m512 weights_of(__m512i q, const struct unpack *u, const struct group *g)
{
    return _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_sub_epi32(_mm512_and_si512(q, u->mask), g->zero)), g->scale);
}

EL_INLINE EL_AVX512 struct group group_of(const struct el_matrix *m, const struct el_group_row *row, const struct unpack *u,
                                          uint64_t index)
{
    const __m512i all = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
    struct group g = {.zero = _mm512_set1_epi32(el_group_zero(row, u->bits, index)),
                      .scale = _mm512_set1_ps(el_group_scale_avx2(m, row, index))};
    g.table = weights_of(all, u, &g);
    return g;
}

/* Sixteen weights from the REACH bytes at p. */
EL_INLINE EL_AVX512 __m512 weights(bool few, const uint8_t *p, const struct unpack *u, const struct group *g)
{
    const __m512i q = codes(few, p, u);
    return few ? _mm512_permutexvar_ps(q, g->table) : weights_of(q, u, g);
}

/* The same from column i on where loads might leave the row, or a group end: 0 where `left` has none. */
EL_INLINE EL_AVX512 __m512 last_weights(bool few, const struct el_matrix *m, const struct el_group_row *row, uint64_t i,
                                        __mmask16 left, const struct unpack *u, const struct group *g)
{
    uint8_t buffer[REACH];
    const uint8_t *const p = el_group_last(row->codes, i / 8 * u->bits, m->row_nbytes[0], REACH, buffer);
    return _mm512_maskz_mov_ps(left, weights_of(codes(few, p, u), u, g));
}

EL_INLINE EL_AVX512 void decode_rows(bool few, const struct el_matrix *m, uint64_t row0, uint64_t n_rows, float *out)
{
    const uint64_t n_in = m->n_in, group = m->enc.group ? m->enc.group : n_in;
    const struct unpack u = unpack_of(m->enc.bits);
    assert(group % LANES == 0 || group == n_in);
    for (uint64_t r = row0; r < row0 + n_rows; r++, out += n_in) {
        const struct el_group_row row = el_group_row(m, r);
        for (uint64_t i = 0, index = 0; i < n_in; index++) {
            const uint64_t end = n_in - i < group ? n_in : i + group, safe = el_group_safe_end(m, end, REACH);
            const struct group g = group_of(m, &row, &u, index);
            for (; i + LANES <= end && i < safe; i += LANES)
                _mm512_storeu_ps(out + i, weights(few, row.codes + i / 8 * u.bits, &u, &g));
            for (; i < end; i += LANES) {
                const __mmask16 left = el_left_avx512(end - i);
                _mm512_mask_storeu_ps(out + i, left, last_weights(few, m, &row, i, left, &u, &g));
            }
        }
    }
}

/* n_rows results: sixteen sums each, added up as those of matmul_avx512.c. */
EL_INLINE EL_AVX512 void rows_one(bool few, unsigned n_rows, const struct el_matrix *m, uint64_t row0, const float *x, float *y)
{
    const uint64_t n_in = m->n_in, group = m->enc.group ? m->enc.group : n_in;
    const struct unpack u = unpack_of(m->enc.bits);
    struct el_group_row row[MAX_ROWS];
    struct group g[MAX_ROWS];
    __m512 acc[MAX_ROWS];
    EL_UNROLL
    for (unsigned r = 0; r < n_rows; r++) {
        row[r] = el_group_row(m, row0 + r);
        acc[r] = _mm512_setzero_ps();
    }
    for (uint64_t i = 0, index = 0; i < n_in; index++) {
        const uint64_t end = n_in - i < group ? n_in : i + group, safe = el_group_safe_end(m, end, REACH);
        EL_UNROLL
        for (unsigned r = 0; r < n_rows; r++)
            g[r] = group_of(m, &row[r], &u, index);
        for (; i + LANES <= end && i < safe; i += LANES) {
            const __m512 xi = _mm512_loadu_ps(x + i);
            EL_UNROLL
            for (unsigned r = 0; r < n_rows; r++) {
                const uint8_t *const p = row[r].codes + i / 8 * u.bits;
                if (i % PREFETCH == 0)
                    el_prefetch_next(p, n_rows, m->row_nbytes[0]);
                acc[r] = _mm512_fmadd_ps(weights(few, p, &u, &g[r]), xi, acc[r]);
            }
        }
        for (; i < end; i += LANES) {
            const __mmask16 left = el_left_avx512(end - i);
            const __m512 xi = _mm512_maskz_loadu_ps(left, x + i);
            EL_UNROLL
            for (unsigned r = 0; r < n_rows; r++)
                acc[r] = _mm512_fmadd_ps(last_weights(few, m, &row[r], i, left, &u, &g[r]), xi, acc[r]);
        }
    }
    EL_UNROLL
    for (unsigned r = 0; r < n_rows; r++)
        y[r] = el_hsum_avx512(acc[r]);
}

EL_INLINE EL_AVX512 void one_token(bool few, const struct el_matrix *m, uint64_t row0, uint64_t n_rows, const float *x, float *y)
{
    uint64_t r = 0;
    for (; n_rows - r >= MAX_ROWS; r += MAX_ROWS)
        rows_one(few, MAX_ROWS, m, row0 + r, x, y + r);
    for (; r < n_rows; r++)
        rows_one(few, 1, m, row0 + r, x, y + r);
}

EL_AVX512 static void decode_group(const struct el_matrix *m, uint64_t row0, uint64_t n_rows, float *out)
{
    if (m->enc.bits <= 4)
        decode_rows(true, m, row0, n_rows, out);
    else
        decode_rows(false, m, row0, n_rows, out);
}

EL_AVX512 static void decode_dot_group(const struct el_matrix *m, uint64_t row0, uint64_t n_rows, const float *x, float *y)
{
    if (m->enc.bits <= 4)
        one_token(true, m, row0, n_rows, x, y);
    else
        one_token(false, m, row0, n_rows, x, y);
}

void el_group_f32_init_avx512(struct el_kernels *k)
{
    k->decode[EL_ENC_IDX_group] = decode_group;
    k->decode_dot[EL_ENC_IDX_group] = decode_dot_group;
}
#endif
