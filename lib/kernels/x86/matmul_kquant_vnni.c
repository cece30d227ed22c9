/*
 * AVX-512 VNNI: Q4_K, Q5_K and Q6_K times int8 activations. The products of a sub-block (columns of one scale) are summed
 * exactly, as integers; float sums run over the blocks, one per place of a sub-block in its block, and are added up at the end
 * in a fixed tree. So the bits are the same in both of these ways:
 *
 *   one token     64 columns of a row at a time; a tree of shuffles and additions brings the sums of sub-blocks together
 *   more tokens   16 rows at a time, a lane each: their weights are unpacked and transposed once, to scratch, so that a group
 *                 of four columns of all rows is one vector; every token then multiplies it by its four activations, broadcast
 */
#include <stdint.h>

#include "base/compiler.h"
#include "kernels/blocks.h"
#include "kernels/kernels.h"

#if EL_X86
#include <immintrin.h>

#include "kernels/x86/kernels_x86.h"

enum { BLOCK = 256, STEP = 64, N_STEPS = BLOCK / STEP, LANES = 16, FEW_ROWS = 4, FEW_TOKENS = 4, MAX_SUBS = 16 };
enum block_type { Q4_K, Q5_K, Q6_K };

EL_INLINE unsigned block_nbytes(enum block_type type)
{
    return type == Q4_K ? EL_Q4_K_NBYTES : type == Q5_K ? EL_Q5_K_NBYTES : EL_Q6_K_NBYTES;
}

/* Sub-blocks of a block. */
EL_INLINE unsigned n_subs(enum block_type type)
{
    return type == Q6_K ? 16 : 8;
}

EL_INLINE EL_AVX512VNNI __m256 bytes_to_f32(uint64_t eight)
{
    return _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_cvtsi64_si128((long long)eight)));
}

/* ---- weights as unsigned bytes: columns 64 j to 64 j + 63 of a block ---- */

EL_INLINE EL_AVX512VNNI __m512i unpack_q45_k(enum block_type type, const uint8_t *block, unsigned j)
{
    const uint8_t *const q = block + (type == Q4_K ? EL_Q4_K_QS : EL_Q5_K_QS) + j * 32;
    const __m512i shift =
        _mm512_set_epi64(0x0004000400040004, 0x0004000400040004, 0x0004000400040004, 0x0004000400040004, 0, 0, 0, 0);
    const __m512i both = _mm512_broadcast_i64x4(_mm256_loadu_si256((const __m256i *)(const void *)q));
    const __m512i u = _mm512_and_si512(_mm512_srlv_epi16(both, shift), _mm512_set1_epi8(15));
    if (type == Q4_K)
        return u;
    const __m512i high = _mm512_broadcast_i64x4(_mm256_loadu_si256((const __m256i *)(const void *)(block + EL_Q5_K_QH)));
    const __m512i bit = _mm512_inserti64x4(_mm512_set1_epi8((char)(1u << (2 * j))), _mm256_set1_epi8((char)(2u << (2 * j))), 1);
    return _mm512_mask_add_epi8(u, _mm512_test_epi8_mask(high, bit), u, _mm512_set1_epi8(16));
}

/* As numbers 0 to 63. */
EL_INLINE EL_AVX512VNNI __m512i unpack_q6_k(const uint8_t *block, unsigned j)
{
    const unsigned half = j / 2;
    const __m512i low = _mm512_loadu_si512(block + half * 64);
    const __m256i high = _mm256_loadu_si256((const __m256i *)(const void *)(block + EL_Q6_K_QH + half * 32));
    const __m512i bits = _mm512_broadcast_i64x4(high), nibble = _mm512_set1_epi8(15), two_bits = _mm512_set1_epi8(0x30);
    /* The bit pairs of the quarters lie at bits 0, 2, 4, 6; they are wanted at bits 4 and 5. */
    if (j % 2 == 0) {
        const __m512i left = _mm512_set_epi64(0x0002000200020002, 0x0002000200020002, 0x0002000200020002, 0x0002000200020002,
                                              0x0004000400040004, 0x0004000400040004, 0x0004000400040004, 0x0004000400040004);
        return _mm512_or_si512(_mm512_and_si512(low, nibble), _mm512_and_si512(_mm512_sllv_epi16(bits, left), two_bits));
    }
    const __m512i right =
        _mm512_set_epi64(0x0002000200020002, 0x0002000200020002, 0x0002000200020002, 0x0002000200020002, 0, 0, 0, 0);
    return _mm512_or_si512(_mm512_and_si512(_mm512_srli_epi16(low, 4), nibble),
                           _mm512_and_si512(_mm512_srlv_epi16(bits, right), two_bits));
}

EL_INLINE EL_AVX512VNNI __m512i unpack(enum block_type type, const uint8_t *block, unsigned j)
{
    return type == Q6_K ? unpack_q6_k(block, j) : unpack_q45_k(type, block, j);
}

/* ---- one token ---- */

/*
 * Lanes of the sums: with 8 sub-blocks lane l < 4 is sub-block 2 l, lane 4 + l is 2 l + 1; with 16, lane 4 g + j is sub-block
 * 4 j + g. This is how the tree of additions leaves them.
 */
EL_INLINE EL_AVX512VNNI __m256i order_8(void)
{
    return _mm256_setr_epi32(0, 2, 4, 6, 1, 3, 5, 7);
}
EL_INLINE EL_AVX512VNNI __m512i order_16(void)
{
    return _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
}

/* Quarter g of the result: the sums of quarter g of z[0] to z[3]. */
EL_INLINE EL_AVX512VNNI __m512i sum_quarters(const __m512i z[N_STEPS])
{
    const __m512i a = _mm512_add_epi32(_mm512_unpacklo_epi32(z[0], z[1]), _mm512_unpackhi_epi32(z[0], z[1]));
    const __m512i b = _mm512_add_epi32(_mm512_unpacklo_epi32(z[2], z[3]), _mm512_unpackhi_epi32(z[2], z[3]));
    return _mm512_add_epi32(_mm512_unpacklo_epi64(a, b), _mm512_unpackhi_epi64(a, b));
}

EL_INLINE EL_AVX512VNNI float add_8(__m256 v)
{
    const __m128 four = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

EL_INLINE EL_AVX512VNNI void one_q45_k(enum block_type type, unsigned n_rows, const struct el_matrix *w, uint64_t row,
                                       const struct el_act *x, uint64_t t, float *y)
{
    const unsigned nbytes = block_nbytes(type);
    const uint64_t row_nbytes = w->row_nbytes[0], n_blocks = w->n_in / BLOCK;
    const int8_t *const xq = x->q8 + t * x->n_pad;
    __m256 acc[FEW_ROWS];
    EL_UNROLL
    for (unsigned r = 0; r < n_rows; r++)
        acc[r] = _mm256_setzero_ps();
    for (uint64_t b = 0; b < n_blocks; b++) {
        const __m256 xs = _mm256_permutevar8x32_ps(_mm256_loadu_ps(x->scale + t * (x->n_pad / 32) + b * 8), order_8());
        const __m512i sum16 = _mm512_loadu_si512(x->sum + t * (x->n_pad / 16) + b * 16);
        const __m256i sum32 = _mm512_cvtepi64_epi32(_mm512_add_epi64(sum16, _mm512_srli_epi64(sum16, 32)));
        const __m256 xm = _mm256_mul_ps(_mm256_cvtepi32_ps(_mm256_permutevar8x32_epi32(sum32, order_8())), xs);
        EL_UNROLL
        for (unsigned r = 0; r < n_rows; r++) {
            const uint8_t *const block = w->data[0] + (row + r) * row_nbytes + b * nbytes;
            for (unsigned i = 0; i < nbytes; i += 64)
                el_prefetch_next(block + i, n_rows, row_nbytes);
            __m512i z[N_STEPS];
            EL_UNROLL
            for (unsigned j = 0; j < N_STEPS; j++)
                z[j] = _mm512_dpbusd_epi32(_mm512_setzero_si512(), unpack_q45_k(type, block, j),
                                           _mm512_loadu_si512(xq + b * BLOCK + j * STEP));
            const __m512i q = sum_quarters(z);
            const __m512i even = _mm512_shuffle_i32x4(q, q, 0x88), odd = _mm512_shuffle_i32x4(q, q, 0xdd);
            const __m256 dot = _mm256_cvtepi32_ps(_mm512_castsi512_si256(_mm512_add_epi32(even, odd)));
            uint64_t scales, mins;
            el_q4_k_scales(block + EL_Q4_K_SCALES, &scales, &mins);
            const __m128 d = _mm_cvtph_ps(_mm_cvtsi32_si128((int)el_block_u32(block)));
            const __m256 ws = _mm256_mul_ps(bytes_to_f32(scales), _mm256_broadcastss_ps(d));
            const __m256 wm = _mm256_mul_ps(bytes_to_f32(mins), _mm256_broadcastss_ps(_mm_movehdup_ps(d)));
            acc[r] = _mm256_fnmadd_ps(_mm256_permutevar8x32_ps(wm, order_8()), xm, acc[r]);
            acc[r] = _mm256_fmadd_ps(dot, _mm256_mul_ps(_mm256_permutevar8x32_ps(ws, order_8()), xs), acc[r]);
        }
    }
    EL_UNROLL
    for (unsigned r = 0; r < n_rows; r++)
        y[r] = add_8(acc[r]);
}

/* The scales of a block's 16 sub-blocks, d times each. */
EL_INLINE EL_AVX512VNNI __m512 scales_q6_k(const uint8_t *block)
{
    const __m128i scales = _mm_loadu_si128((const __m128i *)(const void *)(block + EL_Q6_K_SCALES));
    const __m128 d = _mm_cvtph_ps(_mm_cvtsi32_si128(el_block_u16(block + EL_Q6_K_D)));
    return _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(scales)), _mm512_broadcastss_ps(d));
}

EL_INLINE EL_AVX512VNNI void one_q6_k(unsigned n_rows, const struct el_matrix *w, uint64_t row, const struct el_act *x,
                                      uint64_t t, float *y)
{
    const uint64_t row_nbytes = w->row_nbytes[0], n_blocks = w->n_in / BLOCK;
    const int8_t *const xq = x->q8 + t * x->n_pad;
    /* Lane 4 g + j is sub-block 4 j + g, in the 32 columns 2 j + g / 2. */
    const __m512i scale_of = _mm512_setr_epi32(0, 2, 4, 6, 0, 2, 4, 6, 1, 3, 5, 7, 1, 3, 5, 7);
    __m512 acc[FEW_ROWS];
    EL_UNROLL
    for (unsigned r = 0; r < n_rows; r++)
        acc[r] = _mm512_setzero_ps();
    for (uint64_t b = 0; b < n_blocks; b++) {
        const __m256 xs8 = _mm256_loadu_ps(x->scale + t * (x->n_pad / 32) + b * 8);
        const __m512 xs = _mm512_permutexvar_ps(scale_of, _mm512_castps256_ps512(xs8));
        const __m512i sum16 = _mm512_permutexvar_epi32(order_16(), _mm512_loadu_si512(x->sum + t * (x->n_pad / 16) + b * 16));
        const __m512i less = _mm512_slli_epi32(sum16, 5);
        EL_UNROLL
        for (unsigned r = 0; r < n_rows; r++) {
            const uint8_t *const block = w->data[0] + (row + r) * row_nbytes + b * EL_Q6_K_NBYTES;
            for (unsigned i = 0; i < EL_Q6_K_NBYTES; i += 64)
                el_prefetch_next(block + i, n_rows, row_nbytes);
            __m512i z[N_STEPS];
            EL_UNROLL
            for (unsigned j = 0; j < N_STEPS; j++)
                z[j] = _mm512_dpbusd_epi32(_mm512_setzero_si512(), unpack_q6_k(block, j),
                                           _mm512_loadu_si512(xq + b * BLOCK + j * STEP));
            const __m512 dot = _mm512_cvtepi32_ps(_mm512_sub_epi32(sum_quarters(z), less));
            const __m512 ws = _mm512_permutexvar_ps(order_16(), scales_q6_k(block));
            acc[r] = _mm512_fmadd_ps(dot, _mm512_mul_ps(ws, xs), acc[r]);
        }
    }
    EL_UNROLL
    for (unsigned r = 0; r < n_rows; r++)
        y[r] = add_8(_mm256_add_ps(_mm512_castps512_ps256(acc[r]), _mm512_extractf32x8_ps(acc[r], 1)));
}

EL_INLINE EL_AVX512VNNI void one(enum block_type type, unsigned n_rows, const struct el_matrix *w, uint64_t row,
                                 const struct el_act *x, uint64_t t, float *y)
{
    if (type == Q6_K)
        one_q6_k(n_rows, w, row, x, t, y);
    else
        one_q45_k(type, n_rows, w, row, x, t, y);
}

/* ---- more tokens ---- */

/* Sixteen rows, transposed; all in scratch. nb blocks, ns sub-blocks in a block. */
struct wide {
    __m512i *u; /* [nb][64] columns 4 c to 4 c + 3 of all rows */
    __m512 *ws; /* [nb][ns] scale of a sub-block */
    __m512 *wm; /* [nb][ns] its min; not for Q6_K */
};

EL_INLINE EL_AVX512VNNI struct wide lay_out(enum block_type type, uint64_t n_blocks, void *scratch)
{
    struct wide v = {.u = scratch};
    v.ws = (__m512 *)(void *)(v.u + n_blocks * BLOCK / 4);
    v.wm = v.ws + n_blocks * n_subs(type);
    return v;
}

/* to[c] = { from[0] lane c, from[1] lane c, ... } */
EL_INLINE EL_AVX512VNNI void transpose(const __m512i from[LANES], __m512i *to)
{
    __m512i a[LANES], b[LANES];
    EL_UNROLL
    for (unsigned i = 0; i < LANES; i += 2) {
        a[i] = _mm512_unpacklo_epi32(from[i], from[i + 1]);
        a[i + 1] = _mm512_unpackhi_epi32(from[i], from[i + 1]);
    }
    /* b[4 k + m]: quarter q has column 4 q + m of rows 4 k to 4 k + 3. */
    EL_UNROLL
    for (unsigned k = 0; k < LANES; k += 4) {
        b[k] = _mm512_unpacklo_epi64(a[k], a[k + 2]);
        b[k + 1] = _mm512_unpackhi_epi64(a[k], a[k + 2]);
        b[k + 2] = _mm512_unpacklo_epi64(a[k + 1], a[k + 3]);
        b[k + 3] = _mm512_unpackhi_epi64(a[k + 1], a[k + 3]);
    }
    EL_UNROLL
    for (unsigned m = 0; m < 4; m++) {
        const __m512i even_lo = _mm512_shuffle_i32x4(b[m], b[4 + m], 0x88), odd_lo = _mm512_shuffle_i32x4(b[m], b[4 + m], 0xdd);
        const __m512i even_hi = _mm512_shuffle_i32x4(b[8 + m], b[12 + m], 0x88);
        const __m512i odd_hi = _mm512_shuffle_i32x4(b[8 + m], b[12 + m], 0xdd);
        _mm512_storeu_si512(to + m, _mm512_shuffle_i32x4(even_lo, even_hi, 0x88));
        _mm512_storeu_si512(to + 8 + m, _mm512_shuffle_i32x4(even_lo, even_hi, 0xdd));
        _mm512_storeu_si512(to + 4 + m, _mm512_shuffle_i32x4(odd_lo, odd_hi, 0x88));
        _mm512_storeu_si512(to + 12 + m, _mm512_shuffle_i32x4(odd_lo, odd_hi, 0xdd));
    }
}

/* The scales, and mins, of block b of row r, each to its place. */
EL_INLINE EL_AVX512VNNI void spread_scales(enum block_type type, const uint8_t *block, const struct wide *v, uint64_t b,
                                           unsigned r)
{
    const unsigned ns = n_subs(type);
    float ws[MAX_SUBS], wm[MAX_SUBS];
    if (type == Q6_K) {
        _mm512_storeu_ps(ws, scales_q6_k(block));
    } else {
        uint64_t scales, mins;
        el_q4_k_scales(block + EL_Q4_K_SCALES, &scales, &mins);
        const __m128 d = _mm_cvtph_ps(_mm_cvtsi32_si128((int)el_block_u32(block)));
        _mm256_storeu_ps(ws, _mm256_mul_ps(bytes_to_f32(scales), _mm256_broadcastss_ps(d)));
        _mm256_storeu_ps(wm, _mm256_mul_ps(bytes_to_f32(mins), _mm256_broadcastss_ps(_mm_movehdup_ps(d))));
    }
    EL_UNROLL
    for (unsigned s = 0; s < ns; s++) {
        ((float *)(v->ws + b * ns + s))[r] = ws[s];
        if (type != Q6_K)
            ((float *)(v->wm + b * ns + s))[r] = wm[s];
    }
}

EL_INLINE EL_AVX512VNNI void widen(enum block_type type, const struct el_matrix *w, uint64_t row, const struct wide *v)
{
    const uint64_t row_nbytes = w->row_nbytes[0], n_blocks = w->n_in / BLOCK;
    for (uint64_t b = 0; b < n_blocks; b++) {
        const uint8_t *const blocks = w->data[0] + row * row_nbytes + b * block_nbytes(type);
        for (unsigned r = 0; r < LANES; r++)
            spread_scales(type, blocks + r * row_nbytes, v, b, r);
        EL_UNROLL
        for (unsigned j = 0; j < N_STEPS; j++) {
            __m512i rows[LANES];
            EL_UNROLL
            for (unsigned r = 0; r < LANES; r++)
                rows[r] = unpack(type, blocks + r * row_nbytes, j);
            transpose(rows, v->u + b * BLOCK / 4 + j * LANES);
        }
    }
}

/* Sub-block s of all blocks, for n tokens: what one token's lane of s has at the end. */
EL_INLINE EL_AVX512VNNI void sub_block(enum block_type type, unsigned n, const struct wide *v, uint64_t n_blocks,
                                       const struct el_act *x, uint64_t t, unsigned s, __m512 *out)
{
    const unsigned ns = n_subs(type), n_groups = BLOCK / 4 / ns;
    __m512 acc[FEW_TOKENS];
    EL_UNROLL
    for (unsigned i = 0; i < n; i++)
        acc[i] = _mm512_setzero_ps();
    for (uint64_t b = 0; b < n_blocks; b++) {
        const __m512i *const u = v->u + b * BLOCK / 4 + s * n_groups;
        const __m512 ws = _mm512_loadu_ps(v->ws + b * ns + s);
        __m512i dot[FEW_TOKENS];
        EL_UNROLL
        for (unsigned i = 0; i < n; i++)
            dot[i] =
                type == Q6_K ? _mm512_set1_epi32(-32 * x->sum[(t + i) * (x->n_pad / 16) + b * 16 + s]) : _mm512_setzero_si512();
        EL_UNROLL
        for (unsigned c = 0; c < n_groups; c++) {
            const __m512i four = _mm512_loadu_si512(u + c);
            EL_UNROLL
            for (unsigned i = 0; i < n; i++) {
                const int8_t *const xq = x->q8 + (t + i) * x->n_pad + b * BLOCK + s * (BLOCK / ns) + c * 4;
                dot[i] = _mm512_dpbusd_epi32(dot[i], four, _mm512_set1_epi32((int)el_block_u32((const uint8_t *)xq)));
            }
        }
        EL_UNROLL
        for (unsigned i = 0; i < n; i++) {
            const __m512 xs = _mm512_set1_ps(x->scale[(t + i) * (x->n_pad / 32) + (b * BLOCK + s * (BLOCK / ns)) / 32]);
            if (type != Q6_K) {
                const int32_t *const sum = x->sum + (t + i) * (x->n_pad / 16) + b * 16 + s * 2;
                const __m512 xm = _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_set1_epi32(sum[0] + sum[1])), xs);
                acc[i] = _mm512_fnmadd_ps(_mm512_loadu_ps(v->wm + b * ns + s), xm, acc[i]);
            }
            acc[i] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dot[i]), _mm512_mul_ps(ws, xs), acc[i]);
        }
    }
    EL_UNROLL
    for (unsigned i = 0; i < n; i++)
        out[i] = acc[i];
}

/* The sixteen rows for n tokens. */
EL_INLINE EL_AVX512VNNI void many(enum block_type type, unsigned n, const struct wide *v, uint64_t n_blocks,
                                  const struct el_act *x, uint64_t t, float *y, uint64_t y_stride)
{
    const unsigned ns = n_subs(type);
    __m512 part[MAX_SUBS][FEW_TOKENS];
    for (unsigned l = 0; l < ns; l++) { /* lane l of one token */
        const unsigned s = ns == 16 ? 4 * (l % 4) + l / 4 : l < 4 ? 2 * l : 2 * (l - 4) + 1;
        sub_block(type, n, v, n_blocks, x, t, s, part[l]);
    }
    EL_UNROLL
    for (unsigned i = 0; i < n; i++) {
        for (unsigned half = ns / 2; half; half /= 2)
            for (unsigned l = 0; l < half; l++)
                part[l][i] = _mm512_add_ps(part[l][i], part[l + half][i]);
        _mm512_storeu_ps(y + i * y_stride, part[0][i]);
    }
}

EL_INLINE EL_AVX512VNNI void matmul(enum block_type type, const struct el_matrix *w, uint64_t row0, uint64_t n_rows,
                                    const struct el_act *x, float *y, uint64_t y_stride, void *scratch)
{
    const uint64_t n_blocks = w->n_in / BLOCK;
    const struct wide v = lay_out(type, n_blocks, scratch);
    uint64_t r = 0;
    for (; x->n > 1 && n_rows - r >= LANES; r += LANES) {
        uint64_t t = 0;
        widen(type, w, row0 + r, &v);
        for (; x->n - t >= FEW_TOKENS; t += FEW_TOKENS)
            many(type, FEW_TOKENS, &v, n_blocks, x, t, y + t * y_stride + r, y_stride);
        for (; t < x->n; t++)
            many(type, 1, &v, n_blocks, x, t, y + t * y_stride + r, y_stride);
    }
    for (; n_rows - r >= FEW_ROWS; r += FEW_ROWS)
        for (uint64_t t = 0; t < x->n; t++)
            one(type, FEW_ROWS, w, row0 + r, x, t, y + t * y_stride + r);
    for (; r < n_rows; r++)
        for (uint64_t t = 0; t < x->n; t++)
            one(type, 1, w, row0 + r, x, t, y + t * y_stride + r);
}

EL_AVX512VNNI static void matmul_q4_k_vnni(const struct el_matrix *w, uint64_t row0, uint64_t n_rows, const struct el_act *x,
                                           float *y, uint64_t y_stride, void *scratch)
{
    matmul(Q4_K, w, row0, n_rows, x, y, y_stride, scratch);
}

EL_AVX512VNNI static void matmul_q5_k_vnni(const struct el_matrix *w, uint64_t row0, uint64_t n_rows, const struct el_act *x,
                                           float *y, uint64_t y_stride, void *scratch)
{
    matmul(Q5_K, w, row0, n_rows, x, y, y_stride, scratch);
}

EL_AVX512VNNI static void matmul_q6_k_vnni(const struct el_matrix *w, uint64_t row0, uint64_t n_rows, const struct el_act *x,
                                           float *y, uint64_t y_stride, void *scratch)
{
    matmul(Q6_K, w, row0, n_rows, x, y, y_stride, scratch);
}

void el_matmul_kquant_init_vnni(struct el_kernels *k)
{
    k->matmul[EL_ENC_IDX_q4_k].fn = matmul_q4_k_vnni;
    k->matmul[EL_ENC_IDX_q5_k].fn = matmul_q5_k_vnni;
    k->matmul[EL_ENC_IDX_q6_k].fn = matmul_q6_k_vnni;
}
#endif
