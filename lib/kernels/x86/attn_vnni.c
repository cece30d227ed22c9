/*
 * AVX-512 VNNI: scores of keys in q8_0, four elements of sixteen positions at a time; the rest is attn_avx512.c. vpdpbusd takes
 * one operand without a sign: 128 is added to the keys, and minus 128 times the query's sum is what a block starts with.
 */
#include <stdint.h>
#include <string.h>

#include "base/compiler.h"
#include "kernels/kernels.h"

#if EL_X86
#include <immintrin.h>

#include "kernels/x86/attn_x86.h"
#include "kernels/x86/kernels_x86.h"

enum { MOST_TILES = 4, TILES_AHEAD = 8 };

/*
 * Queries j0 to j0 + n_q of the block by n_tiles tiles: per 32 elements, score += float(dot) * (scale of query * scale of key).
 */
EL_INLINE EL_AVX512VNNI void score_tiles(const struct el_attn_block *b, uint32_t j0, unsigned n_q, uint32_t tile,
                                         unsigned n_tiles, el_attn_score *score)
{
    const uint32_t d = b->a->d, n_blocks = d / EL_KV_BLOCK;
    const uint8_t *const k = b->k + tile * b->k_tile_nbytes, *const k_scale = k + (uint64_t)d * EL_KV_TILE;
    __m512 acc[EL_ATTN_TOGETHER][MOST_TILES];
    EL_UNROLL
    for (unsigned j = 0; j < n_q; j++) {
        EL_UNROLL
        for (unsigned t = 0; t < n_tiles; t++)
            acc[j][t] = _mm512_setzero_ps();
    }
    for (uint32_t n = 0; n < n_blocks; n++) {
        __m512i dot[EL_ATTN_TOGETHER][MOST_TILES];
        EL_UNROLL
        for (unsigned j = 0; j < n_q; j++) {
            const int16_t *const sum = b->a->q8_sum + (b->query[j0 + j] * n_blocks + n) * 2;
            EL_UNROLL
            for (unsigned t = 0; t < n_tiles; t++)
                dot[j][t] = _mm512_set1_epi32(-128 * (sum[0] + sum[1]));
        }
        for (uint32_t i = 0; i < EL_KV_BLOCK; i += 4) {
            const uint64_t at = (uint64_t)(n * EL_KV_BLOCK + i) * EL_KV_TILE;
            __m512i key[MOST_TILES];
            EL_UNROLL
            for (unsigned t = 0; t < n_tiles; t++) {
                key[t] = _mm512_xor_si512(_mm512_loadu_si512(k + t * b->k_tile_nbytes + at), _mm512_set1_epi8((char)0x80));
                el_prefetch_next(k + t * b->k_tile_nbytes + at, TILES_AHEAD, b->k_tile_nbytes);
            }
            EL_UNROLL
            for (unsigned j = 0; j < n_q; j++) {
                int32_t four;
                memcpy(&four, b->a->q8 + b->query[j0 + j] * d + n * EL_KV_BLOCK + i, sizeof four);
                EL_UNROLL
                for (unsigned t = 0; t < n_tiles; t++)
                    dot[j][t] = _mm512_dpbusd_epi32(dot[j][t], key[t], _mm512_set1_epi32(four));
            }
        }
        EL_UNROLL
        for (unsigned t = 0; t < n_tiles; t++) {
            const uint8_t *const at = k_scale + t * b->k_tile_nbytes + (uint64_t)n * EL_KV_TILE * 2;
            const __m512 ks = _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(const void *)at));
            EL_UNROLL
            for (unsigned j = 0; j < n_q; j++) {
                const __m512 scale = _mm512_mul_ps(ks, _mm512_set1_ps(b->a->q8_scale[b->query[j0 + j] * n_blocks + n]));
                acc[j][t] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dot[j][t]), scale, acc[j][t]);
            }
        }
    }
    EL_UNROLL
    for (unsigned j = 0; j < n_q; j++) {
        EL_UNROLL
        for (unsigned t = 0; t < n_tiles; t++)
            _mm512_storeu_ps(score[j0 + j] + (tile + t) * EL_KV_TILE, acc[j][t]);
    }
}

EL_INLINE EL_AVX512VNNI void score_queries(const struct el_attn_block *b, uint32_t j0, unsigned n_q, unsigned n_tiles,
                                           el_attn_score *score)
{
    uint32_t tile = b->tile0;
    for (; tile + n_tiles <= b->tile1; tile += n_tiles)
        score_tiles(b, j0, n_q, tile, n_tiles, score);
    for (; tile < b->tile1; tile++)
        score_tiles(b, j0, n_q, tile, 1, score);
}

EL_AVX512VNNI static void scores_q8_vnni(const struct el_attn_block *b, el_attn_score *score)
{
    uint32_t j = 0;
    for (; j + 4 <= b->n; j += 4)
        score_queries(b, j, 4, 2, score);
    for (; j + 2 <= b->n; j += 2)
        score_queries(b, j, 2, 4, score);
    if (j < b->n)
        score_queries(b, j, 1, 4, score);
}

static void attn_vnni(const struct el_attn *a, uint64_t chunk, const struct el_attn_part *part)
{
    el_attn_avx512(a, chunk, part, scores_q8_vnni);
}

void el_attn_init_vnni(struct el_kernels *k)
{
    k->attn = attn_vnni;
}
#endif
