/* Probes of AVX-512: reading, 64 bytes times 64 (by vpmaddubsw and vpmaddwd, or by vpdpbusd), sixteen multiply-adds. */
#include <stdint.h>

#include "base/compiler.h"
#include "kernels/probes.h"
#include "kernels/x86/kernels_x86.h"
#include "kernels/x86/probes_x86.h"

#if EL_X86
#include <immintrin.h>

/* Chains that keep two units busy at a latency of 5 cycles, and some. */
enum { CHAINS = 12 };

EL_AVX512 static uint64_t read_avx512(const uint8_t *p, uint64_t nbytes)
{
    __m512i x[4];
    for (int k = 0; k < 4; k++)
        x[k] = _mm512_setzero_si512();
    for (uint64_t i = 0; i < nbytes; i += sizeof x) {
        EL_UNROLL
        for (int k = 0; k < 4; k++)
            x[k] = _mm512_xor_si512(x[k], _mm512_load_si512(p + i + 64 * (unsigned)k));
    }
    const __m512i all = _mm512_xor_si512(_mm512_xor_si512(x[0], x[1]), _mm512_xor_si512(x[2], x[3]));
    return (uint64_t)_mm512_reduce_add_epi64(all);
}

/* As in probes_avx2.c: the operands come from a place that moves. */
EL_AVX512 static float int8_avx512(uint64_t n_turns)
{
    uint8_t bytes[64 * (CHAINS + 8)];
    for (unsigned i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i % 7);
    const __m512i s = _mm512_set1_epi8(-1), ones = _mm512_set1_epi16(1);
    __m512i acc[CHAINS];
    EL_UNROLL
    for (int k = 0; k < CHAINS; k++)
        acc[k] = _mm512_setzero_si512();
    for (uint64_t t = 0; t < n_turns; t++) {
        const uint8_t *const p = bytes + 64 * (t % 8);
        EL_UNROLL
        for (int k = 0; k < CHAINS; k++) {
            const __m512i u = _mm512_loadu_si512(p + 64 * (unsigned)k);
            acc[k] = _mm512_add_epi32(acc[k], _mm512_madd_epi16(_mm512_maddubs_epi16(u, s), ones));
        }
    }
    EL_UNROLL
    for (int k = 1; k < CHAINS; k++)
        acc[0] = _mm512_add_epi32(acc[0], acc[k]);
    return (float)_mm512_reduce_add_epi32(acc[0]);
}

EL_AVX512VNNI static float int8_vnni(uint64_t n_turns)
{
    const __m512i u = _mm512_set1_epi8(3), s = _mm512_set1_epi8(-1);
    __m512i acc[CHAINS];
    EL_UNROLL
    for (int k = 0; k < CHAINS; k++)
        acc[k] = _mm512_set1_epi32(k);
    for (uint64_t t = 0; t < n_turns; t++) {
        EL_UNROLL
        for (int k = 0; k < CHAINS; k++)
            acc[k] = _mm512_dpbusd_epi32(acc[k], u, s);
    }
    EL_UNROLL
    for (int k = 1; k < CHAINS; k++)
        acc[0] = _mm512_add_epi32(acc[0], acc[k]);
    return (float)_mm512_reduce_add_epi32(acc[0]);
}

EL_AVX512 static float f32_avx512(uint64_t n_turns)
{
    const __m512 a = _mm512_set1_ps(0.5f), b = _mm512_set1_ps(3.0f);
    __m512 acc[CHAINS];
    EL_UNROLL
    for (int k = 0; k < CHAINS; k++)
        acc[k] = _mm512_set1_ps((float)k);
    for (uint64_t t = 0; t < n_turns; t++) {
        EL_UNROLL
        for (int k = 0; k < CHAINS; k++)
            acc[k] = _mm512_fmadd_ps(acc[k], a, b);
    }
    EL_UNROLL
    for (int k = 1; k < CHAINS; k++)
        acc[0] = _mm512_add_ps(acc[0], acc[k]);
    return _mm512_reduce_add_ps(acc[0]);
}

void el_probes_init_avx512(struct el_probes *p)
{
    p->read = read_avx512;
    p->int8 = (struct el_probe){int8_avx512, CHAINS * 64 * 2};
    p->f32 = (struct el_probe){f32_avx512, CHAINS * 16 * 2};
}

void el_probes_init_avx512vnni(struct el_probes *p)
{
    p->int8 = (struct el_probe){int8_vnni, CHAINS * 64 * 2};
}
#endif
