/* What each arm64 level puts into the table. Called by el_kernels_init, from the lowest level up. */
#ifndef EL_KERNELS_ARM_KERNELS_ARM_H
#define EL_KERNELS_ARM_KERNELS_ARM_H

#include "base/compiler.h"
#include "kernels/kernels.h"

#if EL_ARM64
void el_kernels_init_neon(struct el_kernels *k);

/* The parts of a level that lie in files of their own. */
void el_matmul_init_neon(struct el_kernels *k);
void el_matmul_group_init_neon(struct el_kernels *k);
void el_matmul_group_init_dotprod(struct el_kernels *k);
void el_matmul_group_init_i8mm(struct el_kernels *k);
void el_laid_init_neon(struct el_kernels *k);
void el_laid_init_dotprod(struct el_kernels *k);
void el_laid_init_i8mm(struct el_kernels *k);
void el_attn_init_neon(struct el_kernels *k);
#endif

#endif
