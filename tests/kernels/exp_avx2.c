/* exp at level AVX2; see exp_lanes.h. */
#include "base/compiler.h"
#include "kernels/exp_lanes.h"

#if EL_X86
#include "kernels/x86/lanes_avx2.h"

LANES_TARGET void exp_lanes_avx2(const float *x, float *y)
{
    for (unsigned i = 0; i < 16; i += LANES)
        vf_store(y + i, vf_exp(vf_load(x + i)));
}
#endif
