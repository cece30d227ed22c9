/* Probes of AVX2: reading, 32 bytes times 32 by vpmaddubsw and vpmaddwd, eight multiply-adds. */
#include <stdint.h>

#include "base/compiler.h"
#include "kernels/probes.h"
#include "kernels/x86/kernels_x86.h"
#include "kernels/x86/probes_x86.h"
#include "kernels/x86/simd_avx2.h"

#if EL_X86
#include <immintrin.h>

/* Chains that keep two units busy at a latency of 5 cycles, and leave registers for the operands. */
enum { CHAINS = 12, BYTE_CHAINS = 8 };

EL_AVX2 static uint64_t read_avx2(const uint8_t *p, uint64_t nbytes)
{
    __m256i x[4];
    for (int k = 0; k < 4; k++)
        x[k] = _mm256_setzero_si256();
    for (uint64_t i = 0; i < nbytes; i += sizeof x) {
        EL_UNROLL
        for (int k = 0; k < 4; k++)
            x[k] = _mm256_xor_si256(x[k], _mm256_load_si256((const __m256i *)(const void *)(p + i + 32 * (unsigned)k)));
    }
    const __m256i all = _mm256_xor_si256(_mm256_xor_si256(x[0], x[1]), _mm256_xor_si256(x[2], x[3]));
    return (uint64_t)(_mm256_extract_epi64(all, 0) ^ _mm256_extract_epi64(all, 1) ^ _mm256_extract_epi64(all, 2) ^
                      _mm256_extract_epi64(all, 3));
}

/* The products do not depend on the sums: their operands come from a place that moves, or they would be made only once. */
EL_AVX2 static float int8_avx2(uint64_t n_turns)
{
    uint8_t bytes[32 * (BYTE_CHAINS + 8)];
    for (unsigned i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i % 7);
    const __m256i s = _mm256_set1_epi8(-1), ones = _mm256_set1_epi16(1);
    __m256i acc[BYTE_CHAINS];
    EL_UNROLL
    for (int k = 0; k < BYTE_CHAINS; k++)
        acc[k] = _mm256_setzero_si256();
    for (uint64_t t = 0; t < n_turns; t++) {
        const uint8_t *const p = bytes + 32 * (t % 8);
        EL_UNROLL
        for (int k = 0; k < BYTE_CHAINS; k++) {
            const __m256i u = _mm256_loadu_si256((const __m256i *)(const void *)(p + 32 * (unsigned)k));
            acc[k] = _mm256_add_epi32(acc[k], _mm256_madd_epi16(_mm256_maddubs_epi16(u, s), ones));
        }
    }
    EL_UNROLL
    for (int k = 1; k < BYTE_CHAINS; k++)
        acc[0] = _mm256_add_epi32(acc[0], acc[k]);
    return el_hsum_avx2(_mm256_cvtepi32_ps(acc[0]));
}

EL_AVX2 static float f32_avx2(uint64_t n_turns)
{
    const __m256 a = _mm256_set1_ps(0.5f), b = _mm256_set1_ps(3.0f);
    __m256 acc[CHAINS];
    EL_UNROLL
    for (int k = 0; k < CHAINS; k++)
        acc[k] = _mm256_set1_ps((float)k);
    for (uint64_t t = 0; t < n_turns; t++) {
        EL_UNROLL
        for (int k = 0; k < CHAINS; k++)
            acc[k] = _mm256_fmadd_ps(acc[k], a, b);
    }
    EL_UNROLL
    for (int k = 1; k < CHAINS; k++)
        acc[0] = _mm256_add_ps(acc[0], acc[k]);
    return el_hsum_avx2(acc[0]);
}

void el_probes_init_avx2(struct el_probes *p)
{
    p->read = read_avx2;
    p->int8 = (struct el_probe){int8_avx2, BYTE_CHAINS * 32 * 2};
    p->f32 = (struct el_probe){f32_avx2, CHAINS * 8 * 2};
}
#endif
