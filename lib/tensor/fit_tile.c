/* See fit_tile.h. */
#include "tensor/fit_tile.h"

#include "base/compiler.h"
#include "base/cpu.h"
#include "tensor/fit_tile_levels.h"

const struct el_tile_fns *el_tile_fns(void)
{
#if EL_X86
    const enum el_cpu_level level = el_cpu();
    return level >= EL_CPU_AVX512 ? &el_tile_fns_avx512 : level >= EL_CPU_AVX2 ? &el_tile_fns_avx2 : &el_tile_fns_ref;
#else
    return &el_tile_fns_ref;
#endif
}
