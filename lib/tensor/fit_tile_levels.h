/* The tables of the CPU levels. Only fit_tile*.c include this. */
#ifndef EL_TENSOR_FIT_TILE_LEVELS_H
#define EL_TENSOR_FIT_TILE_LEVELS_H

#include "tensor/fit_tile.h"

extern const struct el_tile_fns el_tile_fns_ref, el_tile_fns_avx2, el_tile_fns_avx512, el_tile_fns_vnni;

#endif
