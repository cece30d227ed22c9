/* AVX2: decoding the k-quants and IQ4_XS, super-blocks of 256. Layouts are in the encodings' own files. */
#include <stdint.h>

#include "base/compiler.h"
#include "kernels/kernels.h"

#if EL_X86
#include <immintrin.h>

#include "kernels/blocks.h"
#include "kernels/x86/decode_avx2.h"
#include "kernels/x86/kernels_x86.h"

enum {
    Q2_K_NBYTES = 84,
    Q2_K_QS = 16,
    Q2_K_D = 80,
    Q2_K_DMIN = 82,
    Q3_K_NBYTES = 110,
    Q3_K_LOW = 32,
    Q3_K_SCALES = 96,
    Q3_K_D = 108,
    IQ4_XS_NBYTES = 136,
    IQ4_XS_LOW = 4,
    IQ4_XS_QS = 8,
};

EL_INLINE EL_AVX2 void q2_k_block(const uint8_t *p, float *out)
{
    const float d = el_scale_avx2(p + Q2_K_D), dmin = el_scale_avx2(p + Q2_K_DMIN);
    EL_UNROLL
    for (int g = 0; g < 8; g++) { /* 32 columns with two scales */
        const __m256i q = el_bits_avx2(el_load_32(p + Q2_K_QS + g / 4 * 32), g % 4 * 2, 3);
        const float s0 = d * (float)(p[2 * g] & 15), m0 = dmin * (float)(p[2 * g] >> 4);
        const float s1 = d * (float)(p[2 * g + 1] & 15), m1 = dmin * (float)(p[2 * g + 1] >> 4);
        el_put_16(_mm256_castsi256_si128(q), s0, &m0, out + 32 * g);
        el_put_16(_mm256_extracti128_si256(q, 1), s1, &m1, out + 32 * g + 16);
    }
}

/* The sixteen 6-bit scales of a Q3_K block, less 32. */
EL_INLINE EL_AVX2 __m128i q3_k_scales(const uint8_t *p)
{
    const __m128i low8 = _mm_loadl_epi64((const __m128i *)(const void *)p);
    const __m128i low = _mm_and_si128(_mm_unpacklo_epi64(low8, _mm_srli_epi16(low8, 4)), _mm_set1_epi8(15));
    const __m128i high4 = _mm_set1_epi32((int)el_block_u32(p + 8));
    const __m128i high = _mm_and_si128(_mm_srlv_epi32(high4, _mm_setr_epi32(0, 2, 4, 6)), _mm_set1_epi8(3));
    return _mm_sub_epi8(_mm_or_si128(low, _mm_slli_epi16(high, 4)), _mm_set1_epi8(32));
}

EL_INLINE EL_AVX2 void q3_k_block(const uint8_t *p, float *out)
{
    const float d = el_scale_avx2(p + Q3_K_D);
    const __m256i high = el_load_32(p);
    int8_t scales[16];
    _mm_storeu_si128((__m128i *)(void *)scales, q3_k_scales(p + Q3_K_SCALES));
    EL_UNROLL
    for (int g = 0; g < 8; g++) {
        const __m256i low = el_bits_avx2(el_load_32(p + Q3_K_LOW + g / 4 * 32), g % 4 * 2, 3);
        const __m256i bit = _mm256_slli_epi16(el_bits_avx2(high, g, 1), 2);
        const __m256i q = _mm256_sub_epi8(_mm256_or_si256(low, bit), _mm256_set1_epi8(4));
        el_put_16(_mm256_castsi256_si128(q), d * (float)scales[2 * g], NULL, out + 32 * g);
        el_put_16(_mm256_extracti128_si256(q, 1), d * (float)scales[2 * g + 1], NULL, out + 32 * g + 16);
    }
}

/* Q4_K, and with a fifth bit Q5_K. */
EL_INLINE EL_AVX2 void q45_k_block(bool five, const uint8_t *p, float *out)
{
    const float d = el_scale_avx2(p), dmin = el_scale_avx2(p + EL_Q4_K_DMIN);
    const uint8_t *const q = p + (five ? EL_Q5_K_QS : EL_Q4_K_QS);
    uint64_t scales, mins;
    el_q4_k_scales(p + EL_Q4_K_SCALES, &scales, &mins);
    EL_UNROLL
    for (int g = 0; g < 8; g++) {
        __m256i codes = el_bits_avx2(el_load_32(q + g / 2 * 32), g % 2 * 4, 15);
        if (five)
            codes = _mm256_or_si256(codes, _mm256_slli_epi16(el_bits_avx2(el_load_32(p + EL_Q5_K_QH), g, 1), 4));
        const float s = d * (float)(int)(scales >> (8 * g) & 63), m = dmin * (float)(int)(mins >> (8 * g) & 63);
        el_put_32(codes, s, &m, out + 32 * g);
    }
}

EL_INLINE EL_AVX2 void q4_k_block(const uint8_t *p, float *out)
{
    q45_k_block(false, p, out);
}

EL_INLINE EL_AVX2 void q5_k_block(const uint8_t *p, float *out)
{
    q45_k_block(true, p, out);
}

EL_INLINE EL_AVX2 void q6_k_block(const uint8_t *p, float *out)
{
    const float d = el_scale_avx2(p + EL_Q6_K_D);
    const int8_t *const scales = (const int8_t *)p + EL_Q6_K_SCALES;
    EL_UNROLL
    for (int g = 0; g < 8; g++) {
        const __m256i low = el_bits_avx2(el_load_32(p + g / 4 * 64 + g % 2 * 32), g / 2 % 2 * 4, 15);
        const __m256i pair = el_bits_avx2(el_load_32(p + EL_Q6_K_QH + g / 4 * 32), g % 4 * 2, 3);
        const __m256i q = _mm256_sub_epi8(_mm256_or_si256(low, _mm256_slli_epi16(pair, 4)), _mm256_set1_epi8(32));
        el_put_16(_mm256_castsi256_si128(q), d * (float)scales[2 * g], NULL, out + 32 * g);
        el_put_16(_mm256_extracti128_si256(q, 1), d * (float)scales[2 * g + 1], NULL, out + 32 * g + 16);
    }
}

EL_INLINE EL_AVX2 void iq4_xs_block(const uint8_t *p, float *out)
{
    const float d = el_scale_avx2(p);
    const uint32_t high = el_block_u16(p + 2), low = el_block_u32(p + IQ4_XS_LOW);
    EL_UNROLL
    for (int g = 0; g < 8; g++) {
        const int scale = (int)((low >> (4 * g) & 15) | (high >> (2 * g) & 3) << 4) - 32;
        el_put_32(el_iq4_levels_avx2(el_nibbles_avx2(p + IQ4_XS_QS + 16 * g)), d * (float)scale, NULL, out + 32 * g);
    }
}

EL_DEFINE_DECODE_AVX2(decode_q2_k, q2_k_block, 256, Q2_K_NBYTES)
EL_DEFINE_DECODE_AVX2(decode_q3_k, q3_k_block, 256, Q3_K_NBYTES)
EL_DEFINE_DECODE_AVX2(decode_q4_k, q4_k_block, 256, EL_Q4_K_NBYTES)
EL_DEFINE_DECODE_AVX2(decode_q5_k, q5_k_block, 256, EL_Q5_K_NBYTES)
EL_DEFINE_DECODE_AVX2(decode_q6_k, q6_k_block, 256, EL_Q6_K_NBYTES)
EL_DEFINE_DECODE_AVX2(decode_iq4_xs, iq4_xs_block, 256, IQ4_XS_NBYTES)

void el_decode_super_init_avx2(struct el_kernels *k)
{
    k->decode[EL_ENC_IDX_q2_k] = decode_q2_k;
    k->decode[EL_ENC_IDX_q3_k] = decode_q3_k;
    k->decode[EL_ENC_IDX_q4_k] = decode_q4_k;
    k->decode[EL_ENC_IDX_q5_k] = decode_q5_k;
    k->decode[EL_ENC_IDX_q6_k] = decode_q6_k;
    k->decode[EL_ENC_IDX_iq4_xs] = decode_iq4_xs;
}
#endif
