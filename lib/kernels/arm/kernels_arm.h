/* What each arm64 level puts into the table. Called by el_kernels_init, feature by feature. */
#ifndef EL_KERNELS_ARM_KERNELS_ARM_H
#define EL_KERNELS_ARM_KERNELS_ARM_H

#include "base/compiler.h"
#include "kernels/kernels.h"

#if EL_ARM64
#include <stdint.h>

/* Fetches nbytes, a constant, into the second-level cache, and moves on behind them; the same line again for less than a line. */
EL_INLINE void el_prefetch(uintptr_t *next, unsigned nbytes)
{
    EL_UNROLL
    for (unsigned i = 0; i < nbytes; i += 64)
        __builtin_prefetch((const void *)(*next + i), 0, 2);
    *next += nbytes;
}

void el_kernels_init_neon(struct el_kernels *k);

/* The parts of a level that lie in files of their own. */
void el_matmul_init_neon(struct el_kernels *k);
void el_matmul_group_init_neon(struct el_kernels *k);
void el_matmul_group_init_dotprod(struct el_kernels *k);
void el_matmul_group_init_i8mm(struct el_kernels *k);
void el_laid_init_neon(struct el_kernels *k);
void el_laid_low_init_neon(struct el_kernels *k);
void el_laid_init_dotprod(struct el_kernels *k);
void el_laid_low_init_dotprod(struct el_kernels *k);
void el_laid_init_i8mm(struct el_kernels *k);
void el_laid_low_init_i8mm(struct el_kernels *k);
void el_attn_init_neon(struct el_kernels *k);
void el_outer_init_neon(struct el_kernels *k);
void el_attn_init_dotprod(struct el_kernels *k);
#endif

#endif
