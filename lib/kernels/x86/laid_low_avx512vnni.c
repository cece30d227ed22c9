/* Products of re-laid weights of signs, ternary digits and codebooks at level avx512vnni: as laid_avx512vnni.c. */
#include <stdint.h>

#include "base/compiler.h"
#include "kernels/blocks.h"
#include "kernels/kernels.h"
#include "tensor/layout.h"

#if EL_X86
#include "kernels/x86/kernels_x86.h"
#include "kernels/x86/laid_avx512vnni.h"

#define LAID_ALL LAID_LOW
#include "kernels/laid_kernels.inc"

void el_laid_low_init_avx512vnni(struct el_kernels *k)
{
    laid_init(k);
}
#endif
