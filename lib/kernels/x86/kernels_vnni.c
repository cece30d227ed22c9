/*
 * AVX-512 VNNI: blocks of small integers times int8 activations. 64 columns at a time: vpdpbusd multiplies unsigned weights by
 * signed activations and leaves in each of 16 lanes the sum of four products. What makes weights unsigned (128, 8, 16, 32)
 * goes into the sum's start: minus that number times the activations, once per token for all rows of a tile.
 * Per 64 columns and result: acc += float(sum) * (weight scale * activation scale), lane by lane.
 */
#include <stdint.h>
#include <string.h>

#include "base/compiler.h"
#include "kernels/blocks.h"
#include "kernels/kernels.h"
#include "kernels/tiles.h"

#if EL_X86
#include <immintrin.h>

#include "kernels/x86/kernels_x86.h"

enum { STEP = 64, MAX_ROWS = 4, MAX_TOKENS = 4 };
enum block_type { Q8_0, Q4_0, Q5_0, Q4_K, Q5_K };

struct acc {
    __m512 v[MAX_ROWS][MAX_TOKENS];
};

EL_INLINE EL_AVX512VNNI void acc_zero(struct acc *acc, unsigned n_rows, unsigned n_tokens)
{
    EL_UNROLL
    for (unsigned r = 0; r < n_rows; r++) {
        EL_UNROLL
        for (unsigned i = 0; i < n_tokens; i++)
            acc->v[r][i] = _mm512_setzero_ps();
    }
}

EL_INLINE EL_AVX512VNNI void acc_store(const struct acc *acc, unsigned n_rows, unsigned n_tokens, float *y, uint64_t y_stride)
{
    EL_UNROLL
    for (unsigned r = 0; r < n_rows; r++) {
        EL_UNROLL
        for (unsigned i = 0; i < n_tokens; i++)
            y[i * y_stride + r] = _mm512_reduce_add_ps(acc->v[r][i]);
    }
}

/* a in the lower eight lanes, b in the upper eight. */
EL_INLINE EL_AVX512VNNI __m512 pair(float a, float b)
{
    return _mm512_mask_mov_ps(_mm512_set1_ps(a), 0xff00, _mm512_set1_ps(b));
}

/* -offset times the sum of each four activations. */
EL_INLINE EL_AVX512VNNI __m512i start(__m512i x, char offset)
{
    const __m512i zero = _mm512_setzero_si512();
    return _mm512_sub_epi32(zero, _mm512_dpbusd_epi32(zero, _mm512_set1_epi8(offset), x));
}

/* ---- Q8_0, Q4_0 and Q5_0: two blocks of 32 columns at a time ---- */

EL_INLINE unsigned pair_nbytes(enum block_type type)
{
    return type == Q8_0 ? EL_Q8_0_NBYTES : type == Q4_0 ? EL_Q4_0_NBYTES : EL_Q5_0_NBYTES;
}

/* The weights of a block and the next as unsigned bytes; `two` false: only the first exists, the rest meets activations of 0. */
EL_INLINE EL_AVX512VNNI __m512i unpack_pair(enum block_type type, const uint8_t *block, bool two)
{
    if (type == Q8_0) {
        const __m256i a = _mm256_loadu_si256((const __m256i *)(const void *)(block + EL_Q8_0_QS));
        const __m256i b = two ? _mm256_loadu_si256((const __m256i *)(const void *)(block + EL_Q8_0_NBYTES + EL_Q8_0_QS))
                              : _mm256_setzero_si256();
        return _mm512_xor_si512(_mm512_inserti64x4(_mm512_castsi256_si512(a), b, 1), _mm512_set1_epi8((char)0x80));
    }
    const unsigned nbytes = pair_nbytes(type), at = type == Q4_0 ? EL_Q4_0_QS : EL_Q5_0_QS;
    const __m128i a = _mm_loadu_si128((const __m128i *)(const void *)(block + at));
    const __m128i b = two ? _mm_loadu_si128((const __m128i *)(const void *)(block + nbytes + at)) : _mm_setzero_si128();
    const __m512i both = _mm512_mask_broadcast_i32x4(_mm512_broadcast_i32x4(a), 0xff00, b);
    /* Low nibbles in the even quarters, high nibbles in the odd ones. */
    const __m512i shift =
        _mm512_set_epi64(0x0004000400040004, 0x0004000400040004, 0, 0, 0x0004000400040004, 0x0004000400040004, 0, 0);
    const __m512i q = _mm512_and_si512(_mm512_srlv_epi16(both, shift), _mm512_set1_epi8(15));
    if (type == Q4_0)
        return q;
    const uint64_t high0 = el_block_u32(block + EL_Q5_0_QH), high1 = two ? el_block_u32(block + nbytes + EL_Q5_0_QH) : 0;
    return _mm512_mask_add_epi8(q, high0 | high1 << 32, q, _mm512_set1_epi8(16));
}

EL_INLINE EL_AVX512VNNI __m512 scale_pair(const uint8_t *block, unsigned nbytes, bool two)
{
    const uint32_t d = el_block_u16(block) | (two ? (uint32_t)el_block_u16(block + nbytes) << 16 : 0);
    const __m512i lanes = _mm512_set_epi32(1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0);
    return _mm512_permutexvar_ps(lanes, _mm512_castps128_ps512(_mm_cvtph_ps(_mm_cvtsi32_si128((int)d))));
}

EL_INLINE EL_AVX512VNNI void step_pair(enum block_type type, unsigned n_rows, unsigned n_tokens, const uint8_t *blocks,
                                       uint64_t row_nbytes, const struct el_act *x, uint64_t t, uint64_t b, bool two,
                                       struct acc *acc)
{
    const unsigned nbytes = pair_nbytes(type);
    const char offset = type == Q8_0 ? (char)128 : type == Q4_0 ? 8 : 16;
    __m512i xq[MAX_TOKENS], init[MAX_TOKENS];
    __m512 xs[MAX_TOKENS];
    EL_UNROLL
    for (unsigned i = 0; i < n_tokens; i++) {
        xq[i] = _mm512_maskz_loadu_epi32(two ? 0xffff : 0x00ff, x->q8 + (t + i) * x->n_pad + b * 32);
        init[i] = start(xq[i], offset);
        const float *const s = x->scale + (t + i) * (x->n_pad / 32) + b;
        xs[i] = pair(s[0], two ? s[1] : 0);
    }
    EL_UNROLL
    for (unsigned r = 0; r < n_rows; r++) {
        const uint8_t *const block = blocks + r * row_nbytes + b * nbytes;
        const __m512i u = unpack_pair(type, block, two);
        el_prefetch_next(block, n_rows, row_nbytes);
        const __m512 ws = scale_pair(block, nbytes, two);
        EL_UNROLL
        for (unsigned i = 0; i < n_tokens; i++) {
            const __m512 dot = _mm512_cvtepi32_ps(_mm512_dpbusd_epi32(init[i], u, xq[i]));
            acc->v[r][i] = _mm512_fmadd_ps(dot, _mm512_mul_ps(ws, xs[i]), acc->v[r][i]);
        }
    }
}

EL_INLINE EL_AVX512VNNI void tile_pairs(enum block_type type, unsigned n_rows, unsigned n_tokens, const struct el_matrix *w,
                                        uint64_t row, const struct el_act *x, uint64_t t, float *y, uint64_t y_stride)
{
    const uint64_t row_nbytes = w->row_nbytes[0], n_blocks = w->n_in / 32;
    const uint8_t *const blocks = w->data[0] + row * row_nbytes;
    struct acc acc;
    acc_zero(&acc, n_rows, n_tokens);
    uint64_t b = 0;
    for (; b + 2 <= n_blocks; b += 2)
        step_pair(type, n_rows, n_tokens, blocks, row_nbytes, x, t, b, true, &acc);
    if (b < n_blocks)
        step_pair(type, n_rows, n_tokens, blocks, row_nbytes, x, t, b, false, &acc);
    acc_store(&acc, n_rows, n_tokens, y, y_stride);
}

EL_DEFINE_TILED_MATMUL(matmul_q8_0_vnni, tile_pairs, Q8_0, EL_AVX512VNNI, MAX_ROWS, MAX_TOKENS)
EL_DEFINE_TILED_MATMUL(matmul_q4_0_vnni, tile_pairs, Q4_0, EL_AVX512VNNI, MAX_ROWS, MAX_TOKENS)
EL_DEFINE_TILED_MATMUL(matmul_q5_0_vnni, tile_pairs, Q5_0, EL_AVX512VNNI, MAX_ROWS, MAX_TOKENS)

/* ---- Q4_K and Q5_K: a block is four times 64 columns; lanes 0-7 have one scale, lanes 8-15 the next ---- */

/* Lanes 0-7: number 2j of eight, lanes 8-15: number 2j + 1. */
EL_INLINE EL_AVX512VNNI __m512 spread_2(__m256 eight, unsigned j)
{
    const int a = (int)(2 * j), b = a + 1;
    return _mm512_permutexvar_ps(_mm512_set_epi32(b, b, b, b, b, b, b, b, a, a, a, a, a, a, a, a), _mm512_castps256_ps512(eight));
}

EL_INLINE EL_AVX512VNNI __m256 bytes_to_f32(uint64_t eight)
{
    return _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_cvtsi64_si128((long long)eight)));
}

/* What a block's mins take away: scale times the sum of the 32 activations, eight times. */
EL_INLINE EL_AVX512VNNI __m256 scaled_sums(const struct el_act *x, uint64_t t, uint64_t b)
{
    const __m512i sum16 = _mm512_loadu_si512(x->sum + t * (x->n_pad / 16) + b * 16);
    const __m256i sum32 = _mm512_cvtepi64_epi32(_mm512_add_epi64(sum16, _mm512_srli_epi64(sum16, 32)));
    return _mm256_mul_ps(_mm256_cvtepi32_ps(sum32), _mm256_loadu_ps(x->scale + t * (x->n_pad / 32) + b * 8));
}

/* Columns 64 j to 64 j + 63 of a block. */
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

EL_INLINE EL_AVX512VNNI void tile_q45_k(enum block_type type, unsigned n_rows, unsigned n_tokens, const struct el_matrix *w,
                                        uint64_t row, const struct el_act *x, uint64_t t, float *y, uint64_t y_stride)
{
    const unsigned nbytes = type == Q4_K ? EL_Q4_K_NBYTES : EL_Q5_K_NBYTES;
    const uint64_t row_nbytes = w->row_nbytes[0], n_blocks = w->n_in / 256;
    struct acc acc;
    acc_zero(&acc, n_rows, n_tokens);
    for (uint64_t b = 0; b < n_blocks; b++) {
        const uint8_t *const block0 = w->data[0] + row * row_nbytes + b * nbytes;
        __m256 ws[MAX_ROWS];
        EL_UNROLL
        for (unsigned r = 0; r < n_rows; r++) {
            const uint8_t *const block = block0 + r * row_nbytes;
            for (unsigned i = 0; i < nbytes; i += 64)
                el_prefetch_next(block + i, n_rows, row_nbytes);
            uint64_t scales, mins;
            el_q4_k_scales(block + EL_Q4_K_SCALES, &scales, &mins);
            const __m128 d = _mm_cvtph_ps(_mm_cvtsi32_si128((int)el_block_u32(block)));
            ws[r] = _mm256_mul_ps(bytes_to_f32(scales), _mm256_broadcastss_ps(d));
            const __m256 wm = _mm256_mul_ps(bytes_to_f32(mins), _mm256_broadcastss_ps(_mm_movehdup_ps(d)));
            EL_UNROLL
            for (unsigned i = 0; i < n_tokens; i++) {
                const __m256 less = _mm256_mul_ps(wm, scaled_sums(x, t + i, b));
                acc.v[r][i] = _mm512_sub_ps(acc.v[r][i], _mm512_zextps256_ps512(less));
            }
        }
        EL_UNROLL
        for (unsigned j = 0; j < 4; j++) {
            EL_UNROLL
            for (unsigned r = 0; r < n_rows; r++) {
                const __m512i u = unpack_q45_k(type, block0 + r * row_nbytes, j);
                const __m512 s = spread_2(ws[r], j);
                EL_UNROLL
                for (unsigned i = 0; i < n_tokens; i++) {
                    const __m512i xq = _mm512_loadu_si512(x->q8 + (t + i) * x->n_pad + b * 256 + j * STEP);
                    const float *const xs = x->scale + (t + i) * (x->n_pad / 32) + b * 8 + j * 2;
                    const __m512 dot = _mm512_cvtepi32_ps(_mm512_dpbusd_epi32(_mm512_setzero_si512(), u, xq));
                    acc.v[r][i] = _mm512_fmadd_ps(dot, _mm512_mul_ps(s, pair(xs[0], xs[1])), acc.v[r][i]);
                }
            }
        }
    }
    acc_store(&acc, n_rows, n_tokens, y, y_stride);
}

EL_DEFINE_TILED_MATMUL(matmul_q4_k_vnni, tile_q45_k, Q4_K, EL_AVX512VNNI, MAX_ROWS, MAX_TOKENS)
EL_DEFINE_TILED_MATMUL(matmul_q5_k_vnni, tile_q45_k, Q5_K, EL_AVX512VNNI, MAX_ROWS, MAX_TOKENS)

/* ---- Q6_K: a block is two halves of 128 columns; every four lanes have one scale ---- */

EL_INLINE EL_AVX512VNNI __m512 spread_4(__m512 sixteen, unsigned j)
{
    const int a = (int)(4 * j), b = a + 1, c = a + 2, d = a + 3;
    return _mm512_permutexvar_ps(_mm512_set_epi32(d, d, d, d, c, c, c, c, b, b, b, b, a, a, a, a), sixteen);
}

/* Columns 64 j to 64 j + 63 of a block as numbers 0 to 63. */
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

EL_INLINE EL_AVX512VNNI void tile_q6_k(int kind, unsigned n_rows, unsigned n_tokens, const struct el_matrix *w, uint64_t row,
                                       const struct el_act *x, uint64_t t, float *y, uint64_t y_stride)
{
    (void)kind;
    const uint64_t row_nbytes = w->row_nbytes[0], n_blocks = w->n_in / 256;
    struct acc acc;
    acc_zero(&acc, n_rows, n_tokens);
    for (uint64_t b = 0; b < n_blocks; b++) {
        const uint8_t *const block0 = w->data[0] + row * row_nbytes + b * EL_Q6_K_NBYTES;
        __m512 ws[MAX_ROWS];
        EL_UNROLL
        for (unsigned r = 0; r < n_rows; r++) {
            const uint8_t *const block = block0 + r * row_nbytes;
            for (unsigned i = 0; i < EL_Q6_K_NBYTES; i += 64)
                el_prefetch_next(block + i, n_rows, row_nbytes);
            const __m128i scales = _mm_loadu_si128((const __m128i *)(const void *)(block + EL_Q6_K_SCALES));
            const __m128 d = _mm_cvtph_ps(_mm_cvtsi32_si128(el_block_u16(block + EL_Q6_K_D)));
            ws[r] = _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(scales)), _mm512_broadcastss_ps(d));
        }
        EL_UNROLL
        for (unsigned j = 0; j < 4; j++) {
            __m512i xq[MAX_TOKENS], init[MAX_TOKENS];
            __m512 xs[MAX_TOKENS];
            EL_UNROLL
            for (unsigned i = 0; i < n_tokens; i++) {
                const float *const s = x->scale + (t + i) * (x->n_pad / 32) + b * 8 + j * 2;
                xq[i] = _mm512_loadu_si512(x->q8 + (t + i) * x->n_pad + b * 256 + j * STEP);
                init[i] = start(xq[i], 32);
                xs[i] = pair(s[0], s[1]);
            }
            EL_UNROLL
            for (unsigned r = 0; r < n_rows; r++) {
                const __m512i u = unpack_q6_k(block0 + r * row_nbytes, j);
                const __m512 s = spread_4(ws[r], j);
                EL_UNROLL
                for (unsigned i = 0; i < n_tokens; i++) {
                    const __m512 dot = _mm512_cvtepi32_ps(_mm512_dpbusd_epi32(init[i], u, xq[i]));
                    acc.v[r][i] = _mm512_fmadd_ps(dot, _mm512_mul_ps(s, xs[i]), acc.v[r][i]);
                }
            }
        }
    }
    acc_store(&acc, n_rows, n_tokens, y, y_stride);
}

EL_DEFINE_TILED_MATMUL(matmul_q6_k_vnni, tile_q6_k, 0, EL_AVX512VNNI, MAX_ROWS, MAX_TOKENS)

void el_kernels_init_avx512vnni(struct el_kernels *k)
{
    el_matmul_group_init_vnni(k);
    k->matmul[EL_ENC_IDX_q8_0].fn = matmul_q8_0_vnni;
    k->matmul[EL_ENC_IDX_q4_0].fn = matmul_q4_0_vnni;
    k->matmul[EL_ENC_IDX_q5_0].fn = matmul_q5_0_vnni;
    k->matmul[EL_ENC_IDX_q4_k].fn = matmul_q4_k_vnni;
    k->matmul[EL_ENC_IDX_q5_k].fn = matmul_q5_k_vnni;
    k->matmul[EL_ENC_IDX_q6_k].fn = matmul_q6_k_vnni;
}
#endif
