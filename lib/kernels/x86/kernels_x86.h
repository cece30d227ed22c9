/* What each x86 level puts into the table. Called by el_kernels_init, feature by feature. */
#ifndef EL_KERNELS_X86_KERNELS_X86_H
#define EL_KERNELS_X86_KERNELS_X86_H

#include "base/compiler.h"
#include "kernels/kernels.h"

#if EL_X86
#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>

/* The instructions of the levels; see base/cpu.h. */
#define EL_AVX2       EL_TARGET("avx2,fma,f16c")
#define EL_AVX512     EL_TARGET("avx2,fma,f16c,avx512f,avx512cd,avx512bw,avx512dq,avx512vl")
#define EL_AVX512VNNI EL_TARGET("avx2,fma,f16c,avx512f,avx512cd,avx512bw,avx512dq,avx512vl,avx512vnni")

/*
 * While a tile of rows is multiplied, the same columns of the tile that most likely comes next are fetched into the second-level
 * cache: the rows of a tile are several streams, which the hardware's prefetcher loses at every end of a row and every page.
 */
EL_INLINE void el_prefetch_next(const uint8_t *p, unsigned n_rows, uint64_t row_nbytes)
{
    _mm_prefetch((const char *)(uintptr_t)((uintptr_t)p + n_rows * row_nbytes), _MM_HINT_T1);
}

/* Fetches nbytes, a constant, into the second-level cache, and moves on behind them; the same line again for less than a line. */
EL_INLINE void el_prefetch(uintptr_t *next, unsigned nbytes)
{
    EL_UNROLL
    for (unsigned i = 0; i < nbytes; i += 64)
        _mm_prefetch((const char *)(*next + i), _MM_HINT_T1);
    *next += nbytes;
}

void el_kernels_init_avx2(struct el_kernels *k);
void el_kernels_init_avx512(struct el_kernels *k);

/* The parts of a level that lie in files of their own. */
void el_matmul_init_avx2(struct el_kernels *k);
void el_laid_init_avx2(struct el_kernels *k);
void el_laid_low_init_avx2(struct el_kernels *k);
void el_matmul_group_init_avx2(struct el_kernels *k);
void el_attn_init_avx2(struct el_kernels *k);
void el_decode_init_avx2(struct el_kernels *k);
void el_decode_super_init_avx2(struct el_kernels *k);
void el_decode_iq_init_avx2(struct el_kernels *k);
void el_group_f32_init_avx2(struct el_kernels *k);
void el_laid_init_avxvnni(struct el_kernels *k);
void el_matmul_group_init_avxvnni(struct el_kernels *k);
void el_attn_init_avxvnni(struct el_kernels *k);
void el_outer_init_avx2(struct el_kernels *k);
void el_matmul_init_avx512(struct el_kernels *k);
void el_attn_init_avx512(struct el_kernels *k);
void el_group_f32_init_avx512(struct el_kernels *k);
void el_outer_init_avx512(struct el_kernels *k);
void el_matmul_group_init_vnni(struct el_kernels *k);
void el_attn_init_vnni(struct el_kernels *k);
void el_laid_init_avx512vnni(struct el_kernels *k);
void el_laid_low_init_avx512vnni(struct el_kernels *k);
void el_laid_init_amx(struct el_kernels *k);
/* The product of this type at that level; NULL: there is none. */
el_laid_fn *el_laid_avx512vnni(size_t type);
#endif

#endif
