/* See fit_tile.h. */
#include "tensor/fit_tile.h"

#include <stddef.h>

#include "base/compiler.h"
#include "base/cpu.h"
#include "tensor/fit_tile_levels.h"

const struct el_tile_fns *el_tile_fns(void)
{
#if EL_X86
    static const struct {
        unsigned feature;
        const struct el_tile_fns *fns;
    } variants[] = {
        {EL_CPU_HAS_AVX512VNNI, &el_tile_fns_vnni},
        {EL_CPU_HAS_AVX512, &el_tile_fns_avx512},
        {EL_CPU_HAS_AVX2, &el_tile_fns_avx2},
    };
    const unsigned has = el_cpu_features(el_cpu());
    for (size_t i = 0; i < sizeof variants / sizeof variants[0]; i++)
        if (has & variants[i].feature)
            return variants[i].fns;
#endif
    return &el_tile_fns_ref;
}
