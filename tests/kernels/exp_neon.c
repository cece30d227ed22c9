/* exp at level NEON; see exp_lanes.h. */
#include "base/compiler.h"
#include "kernels/exp_lanes.h"

#if EL_ARM64
#include "kernels/arm/lanes_neon.h"

LANES_TARGET void exp_lanes_neon(const float *x, float *y)
{
    for (unsigned i = 0; i < 16; i += LANES)
        vf_store(y + i, vf_exp(vf_load(x + i)));
}
#endif
