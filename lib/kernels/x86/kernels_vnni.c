/*
 * AVX-512 VNNI: blocks of small integers times int8 activations. 64 columns at a time: vpdpbusd multiplies unsigned weights by
 * signed activations and leaves in each of 16 lanes the sum of four products. What makes weights unsigned (128, 8, 16) goes
 * into the sum's start: minus that number times the activations, once per token for all rows of a tile.
 * Per 64 columns and result: acc += float(sum) * (weight scale * activation scale), lane by lane.
 */
#include <stdint.h>

#include "base/compiler.h"
#include "kernels/blocks.h"
#include "kernels/kernels.h"
#include "kernels/tiles.h"

#if EL_X86
#include <immintrin.h>

#include "kernels/x86/kernels_x86.h"

enum { MAX_ROWS = 4, MAX_TOKENS = 4 };
enum block_type { Q8_0, Q4_0, Q5_0 };

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

void el_kernels_init_avx512vnni(struct el_kernels *k)
{
    el_matmul_group_init_vnni(k);
    el_matmul_kquant_init_vnni(k);
    k->matmul[EL_ENC_IDX_q8_0].fn = matmul_q8_0_vnni;
    k->matmul[EL_ENC_IDX_q4_0].fn = matmul_q4_0_vnni;
    k->matmul[EL_ENC_IDX_q5_0].fn = matmul_q5_0_vnni;
}
#endif
