/*
 * AVX-VNNI: vpdpbusd of 32 bytes in the encoding of AVX2 (VEX), for CPUs with and without AVX-512.
 *
 * That encoding was never run: no machine that this was written on has it. AVX-512 VNNI has the same operation on the same
 * registers in its own encoding (EVEX). With EL_AVXVNNI_BY_EVEX the kernels of this level are compiled for that one, and so the
 * unit tests run them (tests/kernels/stand_in.h): all but the encoding of one instruction.
 */
#ifndef EL_KERNELS_X86_AVXVNNI_H
#define EL_KERNELS_X86_AVXVNNI_H

#include "base/compiler.h"

#if EL_X86
#include <immintrin.h>

/* acc + the four products of each lane: bytes of u without a sign, of s with one. Nothing saturates. */
#ifdef EL_AVXVNNI_BY_EVEX
#define EL_AVXVNNI EL_TARGET("avx2,fma,f16c,avx512f,avx512vl,avx512vnni")
EL_INLINE EL_AVXVNNI __m256i el_dpbusd_avxvnni(__m256i acc, __m256i u, __m256i s)
{
    return _mm256_dpbusd_epi32(acc, u, s);
}
#else
#define EL_AVXVNNI EL_TARGET("avx2,fma,f16c,avxvnni")
EL_INLINE EL_AVXVNNI __m256i el_dpbusd_avxvnni(__m256i acc, __m256i u, __m256i s)
{
    return _mm256_dpbusd_avx_epi32(acc, u, s);
}
#endif
#endif

#endif
