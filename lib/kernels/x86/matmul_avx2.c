/* AVX2: float32, float16 and bfloat16 weights, by float_kernels.inc. */
#include <stdint.h>

#include "base/compiler.h"
#include "kernels/kernels.h"
#include "kernels/tiles_float.h"

#if EL_X86
#include "kernels/x86/kernels_x86.h"
#include "kernels/x86/lanes_avx2.h"

enum { FLOAT_TOKENS = 3, FLOAT_HOLDS_ROWS = 0 }; /* 12 sums, a register per token and one for a row: all 16 */

#include "kernels/float_kernels.inc"

void el_matmul_init_avx2(struct el_kernels *k)
{
    float_init(k);
}
#endif
