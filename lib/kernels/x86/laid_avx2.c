/* Products of re-laid weights at level avx2: the vectors are in laid_avx2.h, the kernels in laid_kernels.inc. */
#include <stdint.h>

#include "base/compiler.h"
#include "kernels/blocks.h"
#include "kernels/kernels.h"
#include "tensor/layout.h"

#if EL_X86
#include "kernels/x86/kernels_x86.h"
#include "kernels/x86/laid_avx2.h"

#define LAID_ALL LAID_FIELDS
#include "kernels/laid_kernels.inc"

void el_laid_init_avx2(struct el_kernels *k)
{
    laid_init(k);
}
#endif
