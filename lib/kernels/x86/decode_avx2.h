/*
 * What the AVX2 decoders share: small integers to float32, 16 or 32 at a time, and the walk over the blocks of rows. Every number
 * takes the operations of its enc_*.c in their order, so that the bits are the same.
 */
#ifndef EL_KERNELS_X86_DECODE_AVX2_H
#define EL_KERNELS_X86_DECODE_AVX2_H

#include "base/compiler.h"

#if EL_X86
#include <immintrin.h>
#include <stdint.h>

#include "kernels/blocks.h"
#include "kernels/group_codes.h"
#include "kernels/x86/kernels_x86.h"

EL_INLINE EL_AVX2 __m256i el_load_32(const void *p)
{
    return _mm256_loadu_si256((const __m256i *)p);
}

EL_INLINE EL_AVX2 __m128i el_load_16(const void *p)
{
    return _mm_loadu_si128((const __m128i *)p);
}

/* el_block_f16, with the instruction. */
EL_INLINE EL_AVX2 float el_scale_avx2(const uint8_t *p)
{
    return _mm_cvtss_f32(_mm_cvtph_ps(_mm_cvtsi32_si128(el_block_u16(p))));
}

/* The scale of group g of a row of the group encoding, narrow or wide. */
EL_INLINE EL_AVX2 float el_group_scale_avx2(const struct el_matrix *m, const struct el_group_row *row, uint64_t g)
{
    return m->enc.wide ? _mm_cvtss_f32(_mm_castsi128_ps(_mm_cvtsi32_si128((int)el_block_u32(row->scales + 4 * g))))
                       : el_scale_avx2(row->scales + 2 * g);
}

/* The low nibbles of 16 bytes, then their high nibbles. */
EL_INLINE EL_AVX2 __m256i el_nibbles_avx2(const uint8_t *p)
{
    const __m128i q = el_load_16(p);
    return _mm256_and_si256(_mm256_set_m128i(_mm_srli_epi16(q, 4), q), _mm256_set1_epi8(15));
}

/* Bits `shift` and up of every byte, as many as mask has. */
EL_INLINE EL_AVX2 __m256i el_bits_avx2(__m256i bytes, int shift, char mask)
{
    return _mm256_and_si256(_mm256_srli_epi16(bytes, shift), _mm256_set1_epi8(mask));
}

/* What the sixteen codes of IQ4_NL and IQ4_XS stand for. */
EL_INLINE EL_AVX2 __m256i el_iq4_levels_avx2(__m256i codes)
{
    const __m128i levels = _mm_setr_epi8(-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113);
    return _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(levels), codes);
}

/* out[0..8) = s q - m, or s q where there is no m, for eight signed bytes. */
EL_INLINE EL_AVX2 void el_put_8(__m128i q, float s, const float *m, float *out)
{
    const __m256 v = _mm256_mul_ps(_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(q)), _mm256_set1_ps(s));
    _mm256_storeu_ps(out, m ? _mm256_sub_ps(v, _mm256_set1_ps(*m)) : v);
}

EL_INLINE EL_AVX2 void el_put_16(__m128i q, float s, const float *m, float *out)
{
    el_put_8(q, s, m, out);
    el_put_8(_mm_unpackhi_epi64(q, q), s, m, out + 8);
}

EL_INLINE EL_AVX2 void el_put_32(__m256i q, float s, const float *m, float *out)
{
    el_put_16(_mm256_castsi256_si128(q), s, m, out);
    el_put_16(_mm256_extracti128_si256(q, 1), s, m, out + 16);
}

/* out[0..8) = v, negative where signs has a 1. */
EL_INLINE EL_AVX2 void el_put_signed(__m256 v, uint32_t signs, float *out)
{
    const __m256i top = _mm256_sllv_epi32(_mm256_set1_epi32((int)signs), _mm256_setr_epi32(31, 30, 29, 28, 27, 26, 25, 24));
    _mm256_storeu_ps(out, _mm256_xor_ps(v, _mm256_and_ps(_mm256_castsi256_ps(top), _mm256_set1_ps(-0.0f))));
}

/* Defines the decoder NAME of rows of blocks, NBYTES for N columns each, by the inline function BLOCK(p, out). */
#define EL_DEFINE_DECODE_AVX2(NAME, BLOCK, N, NBYTES)                                                                            \
    EL_AVX2 static void NAME(const struct el_matrix *m, uint64_t row0, uint64_t n_rows, float *out)                              \
    {                                                                                                                            \
        for (uint64_t r = row0; r < row0 + n_rows; r++) {                                                                        \
            const uint8_t *p = m->data[0] + r * m->row_nbytes[0];                                                                \
            for (uint64_t b = 0; b < m->n_in / (N); b++, p += (NBYTES), out += (N))                                              \
                BLOCK(p, out);                                                                                                   \
        }                                                                                                                        \
    }
#endif

#endif
