/* Probe of AVX-VNNI: 32 bytes times 32 by vpdpbusd, in an encoding that was never run; see avxvnni.h. */
#include <stdint.h>

#include "base/compiler.h"
#include "kernels/probes.h"
#include "kernels/x86/probes_x86.h"

#if EL_X86
#include <immintrin.h>

#include "kernels/x86/avxvnni.h"
#include "kernels/x86/kernels_x86.h"
#include "kernels/x86/simd_avx2.h"

/* Chains that keep two units busy at a latency of 5 cycles, and leave registers for the operands. */
enum { CHAINS = 12 };

EL_AVXVNNI static float int8_avxvnni(uint64_t n_turns)
{
    const __m256i u = _mm256_set1_epi8(3), s = _mm256_set1_epi8(-1);
    __m256i acc[CHAINS];
    EL_UNROLL
    for (int k = 0; k < CHAINS; k++)
        acc[k] = _mm256_set1_epi32(k);
    for (uint64_t t = 0; t < n_turns; t++) {
        EL_UNROLL
        for (int k = 0; k < CHAINS; k++)
            acc[k] = el_dpbusd_avxvnni(acc[k], u, s);
    }
    EL_UNROLL
    for (int k = 1; k < CHAINS; k++)
        acc[0] = _mm256_add_epi32(acc[0], acc[k]);
    return el_hsum_avx2(_mm256_cvtepi32_ps(acc[0]));
}

void el_probes_init_avxvnni(struct el_probes *p)
{
    p->int8 = (struct el_probe){int8_avxvnni, CHAINS * 32 * 2};
}
#endif
