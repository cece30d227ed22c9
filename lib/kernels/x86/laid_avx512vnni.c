/* Products of re-laid weights at level avx512vnni: the vectors are in laid_avx512vnni.h, the kernels in laid_kernels.inc. */
#include <stddef.h>
#include <stdint.h>

#include "base/compiler.h"
#include "kernels/blocks.h"
#include "kernels/kernels.h"
#include "tensor/layout.h"

#if EL_X86
#include "kernels/x86/kernels_x86.h"
#include "kernels/x86/laid_avx512vnni.h"

#define LAID_ALL LAID_FIELDS
#include "kernels/laid_kernels.inc"

el_laid_fn *el_laid_avx512vnni(size_t type)
{
    return laid_table[type];
}

void el_laid_init_avx512vnni(struct el_kernels *k)
{
    laid_init(k);
}
#endif
