/*
 * AVX-VNNI: the group encoding times int8 activations; see matmul_group_ymm.inc. Codes are bytes without a sign, and 32 products
 * are one instruction, whose encoding was never run; see avxvnni.h.
 */
#include <stdint.h>

#include "base/compiler.h"
#include "kernels/blocks.h"
#include "kernels/kernels.h"
#include "kernels/tiles.h"

#if EL_X86
#include <immintrin.h>

#include "kernels/group_codes.h"
#include "kernels/x86/avxvnni.h"
#include "kernels/x86/kernels_x86.h"
#include "kernels/x86/simd_avx2.h"

#define GROUP_TARGET EL_AVXVNNI

struct group_32 {
    __m256i codes;
};

/* Packing works within halves: the quarters are put back in order. */
EL_INLINE EL_AVXVNNI struct group_32 group_32(__m256i low, __m256i high)
{
    return (struct group_32){_mm256_permute4x64_epi64(_mm256_packus_epi16(low, high), 0xd8)};
}

EL_INLINE EL_AVXVNNI __m256i group_dot(struct group_32 codes, const int8_t *xq)
{
    const __m256i x = _mm256_loadu_si256((const __m256i *)(const void *)xq);
    return el_dpbusd_avxvnni(_mm256_setzero_si256(), codes.codes, x);
}

#include "kernels/x86/matmul_group_ymm.inc"

void el_matmul_group_init_avxvnni(struct el_kernels *k)
{
    k->matmul[EL_ENC_IDX_group].fn = matmul_group_ymm;
}
#endif
