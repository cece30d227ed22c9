/* Attention at level dotprod: that of NEON, but for the products with keys in q8_0. */
#include <stdint.h>

#include "base/compiler.h"
#include "kernels/attn_blocks.h"
#include "kernels/kernels.h"

#if EL_ARM64
#include "kernels/arm/attn_arm.h"
#include "kernels/arm/kernels_arm.h"
#include "kernels/arm/lanes_neon.h"

#include "kernels/attn_q8.inc"

static void attn_dotprod(const struct el_attn *a, uint64_t chunk, const struct el_attn_part *part)
{
    el_attn_neon(a, chunk, part, scores_q8);
}

void el_attn_init_dotprod(struct el_kernels *k)
{
    k->attn = attn_dotprod;
}
#endif
