/*
 * Products of re-laid weights at level avxvnni: the vectors of AVX2, but four products of bytes are one instruction. Its encoding
 * was never run; see avxvnni.h.
 */
#include <stdint.h>

#include "base/compiler.h"
#include "kernels/blocks.h"
#include "kernels/kernels.h"
#include "tensor/layout.h"

#if EL_X86
#include "kernels/x86/avxvnni.h"
#include "kernels/x86/kernels_x86.h"

#define LAID_TARGET EL_AVXVNNI
#define LAID_FN     EL_INLINE EL_AVXVNNI
#define LAID_DPBUSD el_dpbusd_avxvnni
#include "kernels/x86/laid_avx2.h"

#include "kernels/laid_kernels.inc"

void el_laid_init_avxvnni(struct el_kernels *k)
{
    laid_init(k);
}
#endif
