/* NEON: float32, float16 and bfloat16 weights, by float_kernels.inc. */
#include <stdint.h>

#include "base/compiler.h"
#include "kernels/kernels.h"
#include "kernels/tiles_float.h"

#if EL_ARM64
#include "kernels/arm/kernels_arm.h"
#include "kernels/arm/lanes_neon.h"

enum { FLOAT_TOKENS = 3, FLOAT_HOLDS_ROWS = 0 }; /* 12 sums, a vector per token and one for a row: all 32 registers */

#include "kernels/float_kernels.inc"

void el_matmul_init_neon(struct el_kernels *k)
{
    float_init(k);
}
#endif
