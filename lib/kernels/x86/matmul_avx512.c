/* AVX-512: float32, float16 and bfloat16 weights, by float_kernels.inc. */
#include <stdint.h>

#include "base/compiler.h"
#include "kernels/kernels.h"
#include "kernels/tiles_float.h"

#if EL_X86
#include "kernels/x86/kernels_x86.h"
#include "kernels/x86/lanes_avx512.h"

enum { FLOAT_TOKENS = 6, FLOAT_HOLDS_ROWS = 1 }; /* 24 sums, a register per row and one for a token: 29 of 32 */

#include "kernels/float_kernels.inc"

void el_matmul_init_avx512(struct el_kernels *k)
{
    float_init(k);
}
#endif
