/* See fit_tile.h. */
#include "tensor/fit_tile.h"

#include "base/compiler.h"
#include "base/cpu.h"
#include "tensor/fit_tile_levels.h"

const struct el_tile_fns *el_tile_fns(void)
{
#if EL_X86
    static const struct el_tile_fns *const levels[EL_CPU_LEVELS] = {
        [EL_CPU_REF] = &el_tile_fns_ref,
        [EL_CPU_AVX2] = &el_tile_fns_avx2,
        [EL_CPU_AVX512] = &el_tile_fns_avx512,
        [EL_CPU_AVX512VNNI] = &el_tile_fns_vnni,
    };
    return levels[el_cpu()];
#else
    return &el_tile_fns_ref;
#endif
}
