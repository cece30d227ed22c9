/* Products of re-laid weights at level dotprod: four products per lane and instruction. */
#include <stdint.h>

#include "base/compiler.h"
#include "kernels/blocks.h"
#include "kernels/kernels.h"
#include "tensor/layout.h"

#if EL_ARM64
#include "kernels/arm/kernels_arm.h"
#include "kernels/arm/laid_arm.h"

#define LAID_ALL LAID_FIELDS
#include "kernels/laid_kernels.inc"

void el_laid_init_dotprod(struct el_kernels *k)
{
    laid_init(k);
}
#endif
