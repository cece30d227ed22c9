/* Products of re-laid weights at level i8mm: an instruction multiplies two rows by two tokens where there are many of them. */
#include <stdint.h>

#include "base/compiler.h"
#include "kernels/blocks.h"
#include "kernels/kernels.h"
#include "tensor/layout.h"

#if EL_ARM64
#include "kernels/arm/kernels_arm.h"
#include "kernels/arm/laid_arm.h"
#include "kernels/arm/laid_i8mm.h"

#define LAID_ALL LAID_FIELDS
#include "kernels/laid_kernels.inc"

void el_laid_init_i8mm(struct el_kernels *k)
{
    laid_init(k);
}
#endif
