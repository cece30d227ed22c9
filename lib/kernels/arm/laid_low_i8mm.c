/* Products of re-laid weights of signs, ternary digits and codebooks at level i8mm: as laid_i8mm.c. */
#include <stdint.h>

#include "base/compiler.h"
#include "kernels/blocks.h"
#include "kernels/kernels.h"
#include "tensor/layout.h"

#if EL_ARM64
#include "kernels/arm/kernels_arm.h"
#include "kernels/arm/laid_arm.h"
#include "kernels/arm/laid_i8mm.h"

#define LAID_ALL LAID_LOW
#include "kernels/laid_kernels.inc"

void el_laid_low_init_i8mm(struct el_kernels *k)
{
    laid_init(k);
}
#endif
