/*
 * AVX2: decoding the encodings of codebooks, eight columns at a time. The digits of an entry choose among the levels, already
 * times the scale, of a register; signs are moved to the top bit. Layouts are in the encodings' own files.
 */
#include <stdint.h>

#include "base/compiler.h"
#include "kernels/kernels.h"

#if EL_X86
#include <immintrin.h>

#include "kernels/blocks.h"
#include "kernels/x86/decode_avx2.h"
#include "kernels/x86/kernels_x86.h"
#include "tensor/iq_grids.h"

/* Digits of two bits: s times 8, 25, 43. */
EL_INLINE EL_AVX2 __m256 iq2_levels(float s)
{
    return _mm256_mul_ps(_mm256_set1_ps(s), _mm256_setr_ps(8, 25, 43, 0, 8, 25, 43, 0));
}

/* Digits 0 to 7 of an entry, with bits above them that the instructions below do not look at. */
EL_INLINE EL_AVX2 __m256i digits_of(uint32_t entry)
{
    return _mm256_srlv_epi32(_mm256_set1_epi32((int)entry), _mm256_setr_epi32(0, 8, 16, 24, 4, 12, 20, 28));
}

/* What eight digits of two bits choose from the levels of each half. */
EL_INLINE EL_AVX2 __m256 choose_2(uint32_t entry, __m256 levels)
{
    return _mm256_permutevar_ps(levels, digits_of(entry));
}

/* The same of the four digits of three bits of two entries, from eight levels. */
EL_INLINE EL_AVX2 __m256 choose_3(uint32_t first, uint32_t second, __m256 levels)
{
    return _mm256_permutevar8x32_ps(levels, digits_of(first | second << 4));
}

EL_INLINE EL_AVX2 void iq2_xxs_block(const uint8_t *p, float *out)
{
    const float d = el_scale_avx2(p);
    p += 2;
    for (int g = 0; g < 8; g++, p += 8, out += 32) {
        const uint32_t rest = el_block_u32(p + 4);
        const __m256 levels = iq2_levels(d * (0.5f + (float)(rest >> 28)) * 0.25f);
        EL_UNROLL
        for (int k = 0; k < 4; k++)
            el_put_signed(choose_2(el_iq2xxs_grid[p[k]], levels), el_iq_signs(rest >> (7 * k) & 127), out + 8 * k);
    }
}

EL_INLINE EL_AVX2 void iq2_xs_block(const uint8_t *p, float *out)
{
    const float d = el_scale_avx2(p);
    for (int k = 0; k < 32; k++) {
        const uint32_t q = el_block_u16(p + 2 + 2 * k);
        const __m256 levels = iq2_levels(d * (0.5f + (float)(p[EL_IQ2_XS_SCALES + k / 4] >> (k / 2 % 2 * 4) & 15)) * 0.25f);
        el_put_signed(choose_2(el_iq2xs_grid[q & 511], levels), el_iq_signs(q >> 9), out + 8 * k);
    }
}

EL_INLINE EL_AVX2 void iq2_s_block(const uint8_t *p, float *out)
{
    const float d = el_scale_avx2(p);
    for (int k = 0; k < 32; k++) {
        const __m256 levels = iq2_levels(d * (0.5f + (float)(p[EL_IQ2_S_SCALES + k / 4] >> (k / 2 % 2 * 4) & 15)) * 0.25f);
        const int entry = p[2 + k] | (p[EL_IQ2_S_HIGH + k / 4] >> (k % 4 * 2) & 3) << 8;
        el_put_signed(choose_2(el_iq2s_grid[entry], levels), p[EL_IQ2_S_SIGNS + k], out + 8 * k);
    }
}

EL_INLINE EL_AVX2 void iq3_xxs_block(const uint8_t *p, float *out)
{
    const float d = el_scale_avx2(p);
    const uint8_t *q = p + 2;
    for (int g = 0; g < 8; g++, q += 8, out += 32) {
        const uint32_t rest = el_block_u32(p + EL_IQ3_XXS_SCALES + 4 * g);
        const __m256 levels =
            _mm256_mul_ps(_mm256_set1_ps(d * (0.5f + (float)(rest >> 28)) * 0.5f), _mm256_setr_ps(4, 12, 20, 28, 36, 44, 52, 62));
        EL_UNROLL
        for (int k = 0; k < 4; k++)
            el_put_signed(choose_3(el_iq3xxs_grid[q[2 * k]], el_iq3xxs_grid[q[2 * k + 1]], levels),
                          el_iq_signs(rest >> (7 * k) & 127), out + 8 * k);
    }
}

EL_INLINE EL_AVX2 void iq3_s_block(const uint8_t *p, float *out)
{
    const float d = el_scale_avx2(p);
    const uint8_t *const low = p + 2, *const signs = p + EL_IQ3_S_SIGNS;
    for (int g = 0; g < 8; g++) {
        const uint32_t high = p[EL_IQ3_S_HIGH + g];
        const float s = d * (float)(1 + 2 * (p[EL_IQ3_S_SCALES + g / 2] >> (g % 2 * 4) & 15));
        const __m256 levels = _mm256_mul_ps(_mm256_set1_ps(s), _mm256_setr_ps(1, 3, 5, 7, 9, 11, 13, 15));
        EL_UNROLL
        for (int k = 0; k < 4; k++) {
            const int at = 8 * g + 2 * k;
            const uint32_t first = el_iq3s_grid[low[at] | (high >> (2 * k) & 1) << 8],
                           second = el_iq3s_grid[low[at + 1] | (high >> (2 * k + 1) & 1) << 8];
            el_put_signed(choose_3(first, second, levels), signs[4 * g + k], out + 8 * (4 * g + k));
        }
    }
}

/* Digits of two bits: s (digit - 1 + delta). */
EL_INLINE EL_AVX2 __m256 iq1_levels(float s, float delta)
{
    return _mm256_mul_ps(_mm256_set1_ps(s), _mm256_add_ps(_mm256_setr_ps(-1, 0, 1, 2, -1, 0, 1, 2), _mm256_set1_ps(delta)));
}

EL_INLINE EL_AVX2 void iq1_s_block(const uint8_t *p, float *out)
{
    const float d = el_scale_avx2(p);
    for (int g = 0; g < 8; g++) {
        const uint32_t rest = el_block_u16(p + EL_IQ1_S_GROUPS + 2 * g);
        const __m256 levels = iq1_levels(d * (float)(2 * (rest >> 12 & 7) + 1), rest >> 15 ? -0.125f : 0.125f);
        EL_UNROLL
        for (int k = 4 * g; k < 4 * g + 4; k++)
            _mm256_storeu_ps(out + 8 * k, choose_2(el_iq1_grid[p[2 + k] | (rest >> (k % 4 * 3) & 7) << 8], levels));
    }
}

EL_INLINE EL_AVX2 void iq1_m_block(const uint8_t *p, float *out)
{
    const uint8_t *const scales = p + EL_IQ1_M_SCALES;
    const uint16_t bits = (uint16_t)(scales[1] >> 4 | (scales[3] >> 4) << 4 | (scales[5] >> 4) << 8 | (scales[7] >> 4) << 12);
    const float d = _mm_cvtss_f32(_mm_cvtph_ps(_mm_cvtsi32_si128(bits)));
    for (int k = 0; k < 32; k++) {
        const uint32_t more = (uint32_t)p[EL_IQ1_M_HIGH + k / 2] >> (k % 2 * 4);
        const uint32_t scale = (uint32_t)el_block_u16(scales + k / 8 * 2) >> (k / 2 % 4 * 3) & 7;
        const __m256 levels = iq1_levels(d * (float)(2 * scale + 1), more & 8 ? -0.125f : 0.125f);
        _mm256_storeu_ps(out + 8 * k, choose_2(el_iq1_grid[p[k] | (more & 7) << 8], levels));
    }
}

EL_DEFINE_DECODE_AVX2(decode_iq1_s, iq1_s_block, 256, EL_IQ1_S_NBYTES)
EL_DEFINE_DECODE_AVX2(decode_iq1_m, iq1_m_block, 256, EL_IQ1_M_NBYTES)
EL_DEFINE_DECODE_AVX2(decode_iq2_xxs, iq2_xxs_block, 256, EL_IQ2_XXS_NBYTES)
EL_DEFINE_DECODE_AVX2(decode_iq2_xs, iq2_xs_block, 256, EL_IQ2_XS_NBYTES)
EL_DEFINE_DECODE_AVX2(decode_iq2_s, iq2_s_block, 256, EL_IQ2_S_NBYTES)
EL_DEFINE_DECODE_AVX2(decode_iq3_xxs, iq3_xxs_block, 256, EL_IQ3_XXS_NBYTES)
EL_DEFINE_DECODE_AVX2(decode_iq3_s, iq3_s_block, 256, EL_IQ3_S_NBYTES)

void el_decode_iq_init_avx2(struct el_kernels *k)
{
    k->decode[EL_ENC_IDX_iq1_s] = decode_iq1_s;
    k->decode[EL_ENC_IDX_iq1_m] = decode_iq1_m;
    k->decode[EL_ENC_IDX_iq2_xxs] = decode_iq2_xxs;
    k->decode[EL_ENC_IDX_iq2_xs] = decode_iq2_xs;
    k->decode[EL_ENC_IDX_iq2_s] = decode_iq2_s;
    k->decode[EL_ENC_IDX_iq3_xxs] = decode_iq3_xxs;
    k->decode[EL_ENC_IDX_iq3_s] = decode_iq3_s;
}
#endif
