/*
 * AVX2: blocks of small integers times int8 activations, 32 columns at a time. vpmaddubsw multiplies unsigned by signed bytes
 * and adds pairs to 16 bits; it must not saturate, so Q8_0 goes in as |w| times the activation with w's sign (128 * 127 * 2
 * fits), the other types as they are stored (at most 63 * 127 * 2) less their offset times the activations. vpmaddwd adds pairs
 * again, for Q4_K and Q6_K times the integer scale. Eight exact integers then meet one float32 scale.
 */
#include <stdint.h>

#include "base/compiler.h"
#include "kernels/blocks.h"
#include "kernels/kernels.h"
#include "kernels/tiles.h"

#if EL_X86
#include <immintrin.h>

#include "kernels/x86/kernels_x86.h"
#include "kernels/x86/simd_avx2.h"

enum { MAX_ROWS = 2, MAX_TOKENS = 4 };
enum block_type { Q8_0, Q4_0, Q5_0, Q4_K, Q5_K };

struct acc {
    __m256 v[MAX_ROWS][MAX_TOKENS];
};

EL_INLINE EL_AVX2 void acc_zero(struct acc *acc, unsigned n_rows, unsigned n_tokens)
{
    EL_UNROLL
    for (unsigned r = 0; r < n_rows; r++) {
        EL_UNROLL
        for (unsigned i = 0; i < n_tokens; i++)
            acc->v[r][i] = _mm256_setzero_ps();
    }
}

EL_INLINE EL_AVX2 void acc_store(const struct acc *acc, unsigned n_rows, unsigned n_tokens, float *y, uint64_t y_stride)
{
    EL_UNROLL
    for (unsigned r = 0; r < n_rows; r++) {
        EL_UNROLL
        for (unsigned i = 0; i < n_tokens; i++)
            y[i * y_stride + r] = el_hsum_avx2(acc->v[r][i]);
    }
}

EL_INLINE EL_AVX2 __m256i load_32(const void *p)
{
    return _mm256_loadu_si256((const __m256i *)p);
}

EL_INLINE EL_AVX2 __m128i load_16(const void *p)
{
    return _mm_loadu_si128((const __m128i *)p);
}

EL_INLINE EL_AVX2 float f16_at(const uint8_t *p)
{
    return _mm_cvtss_f32(_mm_cvtph_ps(_mm_cvtsi32_si128(el_block_u16(p))));
}

/* acc += float(products) * scale */
EL_INLINE EL_AVX2 __m256 add_scaled(__m256 acc, __m256i products, float scale)
{
    return _mm256_fmadd_ps(_mm256_cvtepi32_ps(products), _mm256_set1_ps(scale), acc);
}

/* Pairs of (unsigned weight - offset) * activation. */
EL_INLINE EL_AVX2 __m256i pairs_less(__m256i u, __m256i x, char offset)
{
    return _mm256_sub_epi16(_mm256_maddubs_epi16(u, x), _mm256_maddubs_epi16(_mm256_set1_epi8(offset), x));
}

/* ---- Q8_0, Q4_0 and Q5_0 ---- */

/* The weights of a block: signed for Q8_0, else as stored. */
EL_INLINE EL_AVX2 __m256i unpack_32(enum block_type type, const uint8_t *block)
{
    if (type == Q8_0)
        return load_32(block + EL_Q8_0_QS);
    const __m128i bytes = load_16(block + (type == Q4_0 ? EL_Q4_0_QS : EL_Q5_0_QS));
    const __m256i q = _mm256_and_si256(_mm256_set_m128i(_mm_srli_epi16(bytes, 4), bytes), _mm256_set1_epi8(15));
    if (type == Q4_0)
        return q;
    /* Byte i / 8 of the high bits to byte i; there bit i % 8 counts. */
    const __m256i order = _mm256_set_epi64x(0x0303030303030303, 0x0202020202020202, 0x0101010101010101, 0);
    const __m256i spread = _mm256_shuffle_epi8(_mm256_set1_epi32((int)el_block_u32(block + EL_Q5_0_QH)), order);
    const __m256i bit = _mm256_set1_epi64x((long long)0x8040201008040201);
    const __m256i set = _mm256_cmpeq_epi8(_mm256_and_si256(spread, bit), bit);
    return _mm256_or_si256(q, _mm256_and_si256(set, _mm256_set1_epi8(16)));
}

EL_INLINE EL_AVX2 void tile_32(enum block_type type, unsigned n_rows, unsigned n_tokens, const struct el_matrix *w, uint64_t row,
                               const struct el_act *x, uint64_t t, float *y, uint64_t y_stride)
{
    const unsigned nbytes = type == Q8_0 ? EL_Q8_0_NBYTES : type == Q4_0 ? EL_Q4_0_NBYTES : EL_Q5_0_NBYTES;
    const char offset = type == Q4_0 ? 8 : 16;
    const uint64_t row_nbytes = w->row_nbytes[0], n_blocks = w->n_in / 32;
    const __m256i ones = _mm256_set1_epi16(1);
    struct acc acc;
    acc_zero(&acc, n_rows, n_tokens);
    for (uint64_t b = 0; b < n_blocks; b++) {
        EL_UNROLL
        for (unsigned r = 0; r < n_rows; r++) {
            const uint8_t *const block = w->data[0] + (row + r) * row_nbytes + b * nbytes;
            const float d = f16_at(block);
            el_prefetch_next(block, n_rows, row_nbytes);
            const __m256i q = unpack_32(type, block);
            EL_UNROLL
            for (unsigned i = 0; i < n_tokens; i++) {
                const __m256i xq = load_32(x->q8 + (t + i) * x->n_pad + b * 32);
                const float scale = d * x->scale[(t + i) * (x->n_pad / 32) + b];
                const __m256i pairs =
                    type == Q8_0 ? _mm256_maddubs_epi16(_mm256_abs_epi8(q), _mm256_sign_epi8(xq, q)) : pairs_less(q, xq, offset);
                acc.v[r][i] = add_scaled(acc.v[r][i], _mm256_madd_epi16(pairs, ones), scale);
            }
        }
    }
    acc_store(&acc, n_rows, n_tokens, y, y_stride);
}

EL_DEFINE_TILED_MATMUL(matmul_q8_0_avx2, tile_32, Q8_0, EL_AVX2, MAX_ROWS, MAX_TOKENS)
EL_DEFINE_TILED_MATMUL(matmul_q4_0_avx2, tile_32, Q4_0, EL_AVX2, MAX_ROWS, MAX_TOKENS)
EL_DEFINE_TILED_MATMUL(matmul_q5_0_avx2, tile_32, Q5_0, EL_AVX2, MAX_ROWS, MAX_TOKENS)

/* ---- Q4_K and Q5_K ---- */

/* What a block's mins take away: scale times the sum of the 32 activations, eight times. */
EL_INLINE EL_AVX2 __m256 scaled_sums(const struct el_act *x, uint64_t t, uint64_t b)
{
    const int32_t *const sum16 = x->sum + t * (x->n_pad / 16) + b * 16;
    const __m256i pairs = _mm256_hadd_epi32(load_32(sum16), load_32(sum16 + 8));
    /* hadd works within halves: its quarters are 0, 2, 1, 3 of what is wanted. */
    const __m256i sum32 = _mm256_permute4x64_epi64(pairs, 0xd8);
    return _mm256_mul_ps(_mm256_cvtepi32_ps(sum32), _mm256_loadu_ps(x->scale + t * (x->n_pad / 32) + b * 8));
}

/* The weights of sub-blocks 2 j and 2 j + 1. */
EL_INLINE EL_AVX2 void unpack_q45_k(enum block_type type, const uint8_t *block, unsigned j, __m256i q[2])
{
    const __m256i bytes = load_32(block + (type == Q4_K ? EL_Q4_K_QS : EL_Q5_K_QS) + j * 32), nibble = _mm256_set1_epi8(15);
    q[0] = _mm256_and_si256(bytes, nibble);
    q[1] = _mm256_and_si256(_mm256_srli_epi16(bytes, 4), nibble);
    if (type == Q4_K)
        return;
    const __m256i high = load_32(block + EL_Q5_K_QH), sixteen = _mm256_set1_epi8(16);
    EL_UNROLL
    for (unsigned i = 0; i < 2; i++) {
        const __m256i bit = _mm256_set1_epi8((char)(1u << (2 * j + i)));
        const __m256i set = _mm256_cmpeq_epi8(_mm256_and_si256(high, bit), bit);
        q[i] = _mm256_or_si256(q[i], _mm256_and_si256(set, sixteen));
    }
}

EL_INLINE EL_AVX2 void tile_q45_k(enum block_type type, unsigned n_rows, unsigned n_tokens, const struct el_matrix *w,
                                  uint64_t row, const struct el_act *x, uint64_t t, float *y, uint64_t y_stride)
{
    const unsigned nbytes = type == Q4_K ? EL_Q4_K_NBYTES : EL_Q5_K_NBYTES;
    const uint64_t row_nbytes = w->row_nbytes[0], n_blocks = w->n_in / 256;
    struct acc acc;
    acc_zero(&acc, n_rows, n_tokens);
    for (uint64_t b = 0; b < n_blocks; b++) {
        EL_UNROLL
        for (unsigned r = 0; r < n_rows; r++) {
            const uint8_t *const block = w->data[0] + (row + r) * row_nbytes + b * nbytes;
            for (unsigned i = 0; i < nbytes; i += 64)
                el_prefetch_next(block + i, n_rows, row_nbytes);
            const float d = f16_at(block), dmin = f16_at(block + EL_Q4_K_DMIN);
            uint64_t scales, mins;
            el_q4_k_scales(block + EL_Q4_K_SCALES, &scales, &mins);
            const __m256 m =
                _mm256_mul_ps(_mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_cvtsi64_si128((long long)mins))), _mm256_set1_ps(dmin));
            EL_UNROLL
            for (unsigned i = 0; i < n_tokens; i++)
                acc.v[r][i] = _mm256_fnmadd_ps(m, scaled_sums(x, t + i, b), acc.v[r][i]);
            for (unsigned j = 0; j < 4; j++) {
                __m256i q[2];
                unpack_q45_k(type, block, j, q);
                const __m256i s0 = _mm256_set1_epi16((short)(scales >> (16 * j) & 63));
                const __m256i s1 = _mm256_set1_epi16((short)(scales >> (16 * j + 8) & 63));
                EL_UNROLL
                for (unsigned i = 0; i < n_tokens; i++) {
                    const int8_t *const xq = x->q8 + (t + i) * x->n_pad + b * 256 + j * 64;
                    const float *const xs = x->scale + (t + i) * (x->n_pad / 32) + b * 8 + j * 2;
                    const __m256i dot0 = _mm256_madd_epi16(_mm256_maddubs_epi16(q[0], load_32(xq)), s0);
                    const __m256i dot1 = _mm256_madd_epi16(_mm256_maddubs_epi16(q[1], load_32(xq + 32)), s1);
                    acc.v[r][i] = add_scaled(acc.v[r][i], dot0, d * xs[0]);
                    acc.v[r][i] = add_scaled(acc.v[r][i], dot1, d * xs[1]);
                }
            }
        }
    }
    acc_store(&acc, n_rows, n_tokens, y, y_stride);
}

EL_DEFINE_TILED_MATMUL(matmul_q4_k_avx2, tile_q45_k, Q4_K, EL_AVX2, MAX_ROWS, MAX_TOKENS)
EL_DEFINE_TILED_MATMUL(matmul_q5_k_avx2, tile_q45_k, Q5_K, EL_AVX2, MAX_ROWS, MAX_TOKENS)

/* ---- Q6_K ---- */

/* Columns 32 j to 32 j + 31 of a half block as numbers 0 to 63. */
EL_INLINE EL_AVX2 __m256i unpack_q6_k(const uint8_t *ql, const uint8_t *qh, unsigned j)
{
    const __m256i nibble = _mm256_set1_epi8(15), two_bits = _mm256_set1_epi8(0x30);
    __m256i low = load_32(ql + j % 2 * 32), high = load_32(qh);
    if (j >= 2)
        low = _mm256_srli_epi16(low, 4);
    /* The bit pairs of the quarters lie at bits 0, 2, 4, 6; they are wanted at bits 4 and 5. */
    if (j == 0)
        high = _mm256_slli_epi16(high, 4);
    else if (j == 1)
        high = _mm256_slli_epi16(high, 2);
    else if (j == 3)
        high = _mm256_srli_epi16(high, 2);
    return _mm256_or_si256(_mm256_and_si256(low, nibble), _mm256_and_si256(high, two_bits));
}

EL_INLINE EL_AVX2 void tile_q6_k(int kind, unsigned n_rows, unsigned n_tokens, const struct el_matrix *w, uint64_t row,
                                 const struct el_act *x, uint64_t t, float *y, uint64_t y_stride)
{
    (void)kind;
    const uint64_t row_nbytes = w->row_nbytes[0], n_blocks = w->n_in / 256;
    struct acc acc;
    acc_zero(&acc, n_rows, n_tokens);
    for (uint64_t b = 0; b < n_blocks; b++) {
        EL_UNROLL
        for (unsigned r = 0; r < n_rows; r++) {
            const uint8_t *const block = w->data[0] + (row + r) * row_nbytes + b * EL_Q6_K_NBYTES;
            const float d = f16_at(block + EL_Q6_K_D);
            for (unsigned i = 0; i < EL_Q6_K_NBYTES; i += 64)
                el_prefetch_next(block + i, n_rows, row_nbytes);
            for (unsigned half = 0; half < 2; half++) {
                EL_UNROLL
                for (unsigned j = 0; j < 4; j++) {
                    const uint64_t sub = half * 4 + j;
                    const __m256i q = unpack_q6_k(block + half * 64, block + EL_Q6_K_QH + half * 32, j);
                    const int8_t *const s = (const int8_t *)block + EL_Q6_K_SCALES + sub * 2;
                    const __m256i s16 = _mm256_set_m128i(_mm_set1_epi16(s[1]), _mm_set1_epi16(s[0]));
                    EL_UNROLL
                    for (unsigned i = 0; i < n_tokens; i++) {
                        const __m256i xq = load_32(x->q8 + (t + i) * x->n_pad + b * 256 + sub * 32);
                        const float scale = d * x->scale[(t + i) * (x->n_pad / 32) + b * 8 + sub];
                        acc.v[r][i] = add_scaled(acc.v[r][i], _mm256_madd_epi16(pairs_less(q, xq, 32), s16), scale);
                    }
                }
            }
        }
    }
    acc_store(&acc, n_rows, n_tokens, y, y_stride);
}

EL_DEFINE_TILED_MATMUL(matmul_q6_k_avx2, tile_q6_k, 0, EL_AVX2, MAX_ROWS, MAX_TOKENS)

void el_matmul_q_init_avx2(struct el_kernels *k)
{
    k->matmul[EL_ENC_IDX_q8_0].fn = matmul_q8_0_avx2;
    k->matmul[EL_ENC_IDX_q4_0].fn = matmul_q4_0_avx2;
    k->matmul[EL_ENC_IDX_q5_0].fn = matmul_q5_0_avx2;
    k->matmul[EL_ENC_IDX_q4_k].fn = matmul_q4_k_avx2;
    k->matmul[EL_ENC_IDX_q5_k].fn = matmul_q5_k_avx2;
    k->matmul[EL_ENC_IDX_q6_k].fn = matmul_q6_k_avx2;
}
#endif
