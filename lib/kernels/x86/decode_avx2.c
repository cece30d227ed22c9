/*
 * AVX2: decoding the encodings of blocks of 32, of ternary blocks, and those of one and two bits. Layouts are in the encodings'
 * own files.
 */
#include <stdint.h>

#include "base/compiler.h"
#include "base/f16.h"
#include "kernels/kernels.h"

#if EL_X86
#include <immintrin.h>

#include "kernels/blocks.h"
#include "kernels/x86/decode_avx2.h"
#include "kernels/x86/kernels_x86.h"

enum {
    Q4_1_NBYTES = 20,
    Q5_1_NBYTES = 24,
    IQ4_NL_NBYTES = 18,
    MXFP4_NBYTES = 17,
    TQ2_0_NBYTES = 66,
    TQ2_0_D = 64,
    TQ1_0_NBYTES = 54,
    TQ1_0_NARROW = 32,
    TQ1_0_LAST = 48,
    TQ1_0_D = 52,
    Q1_0_NBYTES = 18,
    Q2_0_NBYTES = 18,
};

EL_INLINE EL_AVX2 void q8_0_block(const uint8_t *p, float *out)
{
    el_put_32(el_load_32(p + EL_Q8_0_QS), el_scale_avx2(p), NULL, out);
}

EL_INLINE EL_AVX2 void q4_0_block(const uint8_t *p, float *out)
{
    el_put_32(_mm256_sub_epi8(el_nibbles_avx2(p + EL_Q4_0_QS), _mm256_set1_epi8(8)), el_scale_avx2(p), NULL, out);
}

EL_INLINE EL_AVX2 void q4_1_block(const uint8_t *p, float *out)
{
    const float less = -el_scale_avx2(p + 2);
    el_put_32(el_nibbles_avx2(p + 4), el_scale_avx2(p), &less, out);
}

/* Codes of five bits: the nibbles, and 16 in the bytes whose bit of `high` is set. */
EL_INLINE EL_AVX2 __m256i fives(const uint8_t *high, const uint8_t *low)
{
    const __m256i spread =
        _mm256_setr_epi8(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3);
    const __m256i one_bit = _mm256_set1_epi64x((long long)0x8040201008040201u);
    const __m256i bits = _mm256_and_si256(_mm256_shuffle_epi8(_mm256_set1_epi32((int)el_block_u32(high)), spread), one_bit);
    return _mm256_or_si256(el_nibbles_avx2(low), _mm256_and_si256(_mm256_cmpeq_epi8(bits, one_bit), _mm256_set1_epi8(16)));
}

EL_INLINE EL_AVX2 void q5_0_block(const uint8_t *p, float *out)
{
    el_put_32(_mm256_sub_epi8(fives(p + EL_Q5_0_QH, p + EL_Q5_0_QS), _mm256_set1_epi8(16)), el_scale_avx2(p), NULL, out);
}

EL_INLINE EL_AVX2 void q5_1_block(const uint8_t *p, float *out)
{
    const float less = -el_scale_avx2(p + 2);
    el_put_32(fives(p + 4, p + 8), el_scale_avx2(p), &less, out);
}

EL_INLINE EL_AVX2 void iq4_nl_block(const uint8_t *p, float *out)
{
    el_put_32(el_iq4_levels_avx2(el_nibbles_avx2(p + 2)), el_scale_avx2(p), NULL, out);
}

EL_INLINE EL_AVX2 void mxfp4_block(const uint8_t *p, float *out)
{
    const __m256i levels = _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12));
    const float scale = el_f32_from_bits(p[0] < 2 ? 0x00200000u << p[0] : (p[0] - 1u) << 23);
    el_put_32(_mm256_shuffle_epi8(levels, el_nibbles_avx2(p + 1)), scale, NULL, out);
}

EL_INLINE EL_AVX2 void tq2_0_block(const uint8_t *p, float *out)
{
    const float d = el_scale_avx2(p + TQ2_0_D);
    for (int half = 0; half < 2; half++) {
        const __m256i q = el_load_32(p + 32 * half);
        for (int k = 0; k < 4; k++)
            el_put_32(_mm256_sub_epi8(el_bits_avx2(q, 2 * k, 3), _mm256_set1_epi8(1)), d, NULL, out + 128 * half + 32 * k);
    }
}

/* Digit of sixteen bytes, as 16-bit numbers: the byte times a power of three, its high digit in base three, less one. */
EL_INLINE EL_AVX2 __m256i ternary(__m256i bytes, short power)
{
    const __m256i rest = _mm256_and_si256(_mm256_mullo_epi16(bytes, _mm256_set1_epi16(power)), _mm256_set1_epi16(255));
    const __m256i digit = _mm256_srli_epi16(_mm256_mullo_epi16(rest, _mm256_set1_epi16(3)), 8);
    return _mm256_sub_epi16(digit, _mm256_set1_epi16(1));
}

EL_INLINE EL_AVX2 __m256 ternary_values(__m128i digits, float d)
{
    return _mm256_mul_ps(_mm256_cvtepi32_ps(_mm256_cvtepi16_epi32(digits)), _mm256_set1_ps(d));
}

EL_INLINE EL_AVX2 void tq1_0_block(const uint8_t *p, float *out)
{
    static const short powers[5] = {1, 3, 9, 27, 81};
    const float d = el_scale_avx2(p + TQ1_0_D);
    for (int run = 0; run < 3; run++) {
        /* Two runs of the 32 bytes, whose digits lie 32 apart, and that of the 16. */
        const __m256i bytes = _mm256_cvtepu8_epi16(el_load_16(p + 16 * run));
        float *to = run < 2 ? out + 16 * run : out + 5 * TQ1_0_NARROW;
        for (int k = 0; k < 5; k++, to += run < 2 ? 32 : 16) {
            const __m256i digits = ternary(bytes, powers[k]);
            _mm256_storeu_ps(to, ternary_values(_mm256_castsi256_si128(digits), d));
            _mm256_storeu_ps(to + 8, ternary_values(_mm256_extracti128_si256(digits, 1), d));
        }
    }
    /* Four digits of four bytes: byte k % 4 times power k / 4. */
    const __m256i bytes = _mm256_cvtepu8_epi16(_mm_set1_epi32((int)el_block_u32(p + TQ1_0_LAST)));
    const __m256i up = _mm256_setr_epi16(1, 1, 1, 1, 3, 3, 3, 3, 9, 9, 9, 9, 27, 27, 27, 27);
    const __m256i digits = ternary(_mm256_and_si256(_mm256_mullo_epi16(bytes, up), _mm256_set1_epi16(255)), 1);
    _mm256_storeu_ps(out + 5 * TQ1_0_LAST, ternary_values(_mm256_castsi256_si128(digits), d));
    _mm256_storeu_ps(out + 5 * TQ1_0_LAST + 8, ternary_values(_mm256_extracti128_si256(digits, 1), d));
}

EL_INLINE EL_AVX2 void q1_0_block(const uint8_t *p, float *out)
{
    const __m256 d = _mm256_set1_ps(el_scale_avx2(p));
    EL_UNROLL
    for (int k = 0; k < 16; k++)
        el_put_signed(d, (uint32_t)~p[2 + k], out + 8 * k);
}

EL_INLINE EL_AVX2 void q2_0_block(const uint8_t *p, float *out)
{
    const __m256 d = _mm256_set1_ps(el_scale_avx2(p));
    const __m256i shift = _mm256_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14);
    EL_UNROLL
    for (int k = 0; k < 8; k++) {
        const __m256i q = _mm256_srlv_epi32(_mm256_set1_epi32(el_block_u16(p + 2 + 2 * k)), shift);
        const __m256i v = _mm256_sub_epi32(_mm256_and_si256(q, _mm256_set1_epi32(3)), _mm256_set1_epi32(1));
        _mm256_storeu_ps(out + 8 * k, _mm256_mul_ps(_mm256_cvtepi32_ps(v), d));
    }
}

EL_DEFINE_DECODE_AVX2(decode_q8_0, q8_0_block, 32, EL_Q8_0_NBYTES)
EL_DEFINE_DECODE_AVX2(decode_q4_0, q4_0_block, 32, EL_Q4_0_NBYTES)
EL_DEFINE_DECODE_AVX2(decode_q4_1, q4_1_block, 32, Q4_1_NBYTES)
EL_DEFINE_DECODE_AVX2(decode_q5_0, q5_0_block, 32, EL_Q5_0_NBYTES)
EL_DEFINE_DECODE_AVX2(decode_q5_1, q5_1_block, 32, Q5_1_NBYTES)
EL_DEFINE_DECODE_AVX2(decode_iq4_nl, iq4_nl_block, 32, IQ4_NL_NBYTES)
EL_DEFINE_DECODE_AVX2(decode_mxfp4, mxfp4_block, 32, MXFP4_NBYTES)
EL_DEFINE_DECODE_AVX2(decode_tq2_0, tq2_0_block, 256, TQ2_0_NBYTES)
EL_DEFINE_DECODE_AVX2(decode_tq1_0, tq1_0_block, 256, TQ1_0_NBYTES)
EL_DEFINE_DECODE_AVX2(decode_q1_0, q1_0_block, 128, Q1_0_NBYTES)
EL_DEFINE_DECODE_AVX2(decode_q2_0, q2_0_block, 64, Q2_0_NBYTES)

void el_decode_init_avx2(struct el_kernels *k)
{
    k->decode[EL_ENC_IDX_q8_0] = decode_q8_0;
    k->decode[EL_ENC_IDX_q4_0] = decode_q4_0;
    k->decode[EL_ENC_IDX_q4_1] = decode_q4_1;
    k->decode[EL_ENC_IDX_q5_0] = decode_q5_0;
    k->decode[EL_ENC_IDX_q5_1] = decode_q5_1;
    k->decode[EL_ENC_IDX_iq4_nl] = decode_iq4_nl;
    k->decode[EL_ENC_IDX_mxfp4] = decode_mxfp4;
    k->decode[EL_ENC_IDX_tq2_0] = decode_tq2_0;
    k->decode[EL_ENC_IDX_tq1_0] = decode_tq1_0;
    k->decode[EL_ENC_IDX_q1_0] = decode_q1_0;
    k->decode[EL_ENC_IDX_q2_0] = decode_q2_0;
}
#endif
