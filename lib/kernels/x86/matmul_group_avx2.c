/*
 * AVX2: the group encoding times int8 activations; see matmul_group_ymm.inc. Codes are multiplied as 16-bit numbers, so that one
 * of 8 bits cannot saturate.
 */
#include <stdint.h>

#include "base/compiler.h"
#include "kernels/blocks.h"
#include "kernels/kernels.h"
#include "kernels/tiles.h"

#if EL_X86
#include <immintrin.h>

#include "kernels/group_codes.h"
#include "kernels/x86/kernels_x86.h"
#include "kernels/x86/simd_avx2.h"

#define GROUP_TARGET EL_AVX2

struct group_32 {
    __m256i low, high;
};

EL_INLINE EL_AVX2 struct group_32 group_32(__m256i low, __m256i high)
{
    return (struct group_32){low, high};
}

EL_INLINE EL_AVX2 __m256i group_dot(struct group_32 codes, const int8_t *xq)
{
    const __m128i *const x = (const __m128i *)(const void *)xq;
    return _mm256_add_epi32(_mm256_madd_epi16(codes.low, _mm256_cvtepi8_epi16(_mm_loadu_si128(x))),
                            _mm256_madd_epi16(codes.high, _mm256_cvtepi8_epi16(_mm_loadu_si128(x + 1))));
}

#include "kernels/x86/matmul_group_ymm.inc"

void el_matmul_group_init_avx2(struct el_kernels *k)
{
    k->matmul[EL_ENC_IDX_group].fn = matmul_group_ymm;
}
#endif
