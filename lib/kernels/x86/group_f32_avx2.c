/*
 * AVX2: the group encoding for float32 activations, eight codes at a time: decoding, and the product with one token, which needs
 * no decoded row in memory. Eight codes fill `bits` bytes; a byte shuffle brings the bytes of each code into a lane of its own, a
 * shift and a mask make the code. w = scale (q - zero) as enc_group.c computes it, columns as stored.
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
#include "kernels/x86/simd_avx2.h"

enum { LANES = 8, MAX_ROWS = 2, REACH = 8 /* bytes that a load takes */ };

/* How codes of a width are unpacked. */
struct unpack {
    __m256i shuffle, shift, mask;
    unsigned bits;
};

/*
 * Code i begins in bit i * bits % 8 of byte i * bits / 8. A byte of -1 is read as 0. Up to four bits, all eight codes lie in one
 * lane already, and it is only shifted.
 */
EL_INLINE EL_AVX2 struct unpack unpack_of(unsigned bits)
{
    int32_t shuffle[LANES], shift[LANES];
    for (unsigned i = 0; i < LANES; i++) {
        const unsigned at = i * bits / 8, next = at + 1 < REACH ? at + 1 : 0xff;
        shuffle[i] = (int32_t)(0xffff0000u | next << 8 | at);
        shift[i] = (int32_t)(bits <= 4 ? i * bits : i * bits % 8);
    }
    return (struct unpack){el_load_32(shuffle), el_load_32(shift), _mm256_set1_epi32((1 << bits) - 1), bits};
}

/* A group of a row. */
struct group {
    __m256i zero;
    __m256 scale;
};

EL_INLINE EL_AVX2 struct group group_of(const struct el_matrix *m, const struct el_group_row *row, unsigned bits, uint64_t index)
{
    return (struct group){_mm256_set1_epi32(el_group_zero(row, bits, index)), _mm256_set1_ps(el_group_scale_avx2(m, row, index))};
}

/* Eight weights from the REACH bytes at p; `few`: of at most four bits. */
EL_INLINE EL_AVX2 __m256 weights(bool few, const uint8_t *p, const struct unpack *u, const struct group *g)
{
    const __m256i windows =
        few ? _mm256_set1_epi32((int)el_block_u32(p))
            : _mm256_shuffle_epi8(_mm256_broadcastq_epi64(_mm_loadl_epi64((const __m128i *)(const void *)p)), u->shuffle);
    const __m256i q = _mm256_and_si256(_mm256_srlv_epi32(windows, u->shift), u->mask);
    return _mm256_mul_ps(_mm256_cvtepi32_ps(_mm256_sub_epi32(q, g->zero)), g->scale);
}

/* The same from column i on where loads might leave the row, or a group end: 0 in lanes from n on. */
EL_INLINE EL_AVX2 __m256 last_weights(bool few, const struct el_matrix *m, const struct el_group_row *row, uint64_t i, uint64_t n,
                                      const struct unpack *u, const struct group *g)
{
    uint8_t buffer[REACH];
    const uint8_t *const p = el_group_last(row->codes, i / 8 * u->bits, m->row_nbytes[0], REACH, buffer);
    return _mm256_and_ps(weights(few, p, u, g), _mm256_castsi256_ps(el_part_avx2(n)));
}

EL_INLINE EL_AVX2 void decode_rows(bool few, const struct el_matrix *m, uint64_t row0, uint64_t n_rows, float *out)
{
    const uint64_t n_in = m->n_in, group = m->enc.group ? m->enc.group : n_in;
    const struct unpack u = unpack_of(m->enc.bits);
    assert(group % LANES == 0 || group == n_in);
    for (uint64_t r = row0; r < row0 + n_rows; r++, out += n_in) {
        const struct el_group_row row = el_group_row(m, r);
        for (uint64_t i = 0, index = 0; i < n_in; index++) {
            const uint64_t end = n_in - i < group ? n_in : i + group, safe = el_group_safe_end(m, end, REACH);
            const struct group g = group_of(m, &row, u.bits, index);
            for (; i + LANES <= end && i < safe; i += LANES)
                _mm256_storeu_ps(out + i, weights(few, row.codes + i / 8 * u.bits, &u, &g));
            for (; i < end; i += LANES) {
                const uint64_t n = end - i < LANES ? end - i : LANES;
                el_store_part_avx2(out + i, n, last_weights(few, m, &row, i, n, &u, &g));
            }
        }
    }
}

/* n_rows results: eight sums each, added up as those of matmul_avx2.c. */
EL_INLINE EL_AVX2 void rows_one(bool few, unsigned n_rows, const struct el_matrix *m, uint64_t row0, const float *x, float *y)
{
    const uint64_t n_in = m->n_in, group = m->enc.group ? m->enc.group : n_in;
    const struct unpack u = unpack_of(m->enc.bits);
    struct el_group_row row[MAX_ROWS];
    struct group g[MAX_ROWS];
    __m256 acc[MAX_ROWS];
    EL_UNROLL
    for (unsigned r = 0; r < n_rows; r++) {
        row[r] = el_group_row(m, row0 + r);
        acc[r] = _mm256_setzero_ps();
    }
    for (uint64_t i = 0, index = 0; i < n_in; index++) {
        const uint64_t end = n_in - i < group ? n_in : i + group, safe = el_group_safe_end(m, end, REACH);
        EL_UNROLL
        for (unsigned r = 0; r < n_rows; r++)
            g[r] = group_of(m, &row[r], u.bits, index);
        for (; i + LANES <= end && i < safe; i += LANES) {
            const __m256 xi = _mm256_loadu_ps(x + i);
            EL_UNROLL
            for (unsigned r = 0; r < n_rows; r++) {
                const uint8_t *const p = row[r].codes + i / 8 * u.bits;
                el_prefetch_next(p, n_rows, m->row_nbytes[0]);
                acc[r] = _mm256_fmadd_ps(weights(few, p, &u, &g[r]), xi, acc[r]);
            }
        }
        for (; i < end; i += LANES) {
            const uint64_t n = end - i < LANES ? end - i : LANES;
            const __m256 xi = el_load_part_avx2(x + i, n);
            EL_UNROLL
            for (unsigned r = 0; r < n_rows; r++)
                acc[r] = _mm256_fmadd_ps(last_weights(few, m, &row[r], i, n, &u, &g[r]), xi, acc[r]);
        }
    }
    EL_UNROLL
    for (unsigned r = 0; r < n_rows; r++)
        y[r] = el_hsum_avx2(acc[r]);
}

EL_INLINE EL_AVX2 void one_token(bool few, const struct el_matrix *m, uint64_t row0, uint64_t n_rows, const float *x, float *y)
{
    uint64_t r = 0;
    for (; n_rows - r >= MAX_ROWS; r += MAX_ROWS)
        rows_one(few, MAX_ROWS, m, row0 + r, x, y + r);
    for (; r < n_rows; r++)
        rows_one(few, 1, m, row0 + r, x, y + r);
}

EL_AVX2 static void decode_group(const struct el_matrix *m, uint64_t row0, uint64_t n_rows, float *out)
{
    if (m->enc.bits <= 4)
        decode_rows(true, m, row0, n_rows, out);
    else
        decode_rows(false, m, row0, n_rows, out);
}

EL_AVX2 static void decode_dot_group(const struct el_matrix *m, uint64_t row0, uint64_t n_rows, const float *x, float *y)
{
    if (m->enc.bits <= 4)
        one_token(true, m, row0, n_rows, x, y);
    else
        one_token(false, m, row0, n_rows, x, y);
}

void el_group_f32_init_avx2(struct el_kernels *k)
{
    k->decode[EL_ENC_IDX_group] = decode_group;
    k->decode_dot[EL_ENC_IDX_group] = decode_dot_group;
}
#endif
