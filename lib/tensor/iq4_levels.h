/* The 16 levels that a code of IQ4_NL and IQ4_XS stands for. Only their enc_*.c include this. */
#ifndef EL_TENSOR_IQ4_LEVELS_H
#define EL_TENSOR_IQ4_LEVELS_H

#include "tensor/fit.h"

static const struct el_fit_levels el_iq4_levels = {
    .n = 16,
    .value = {-127.0f, -104.0f, -83.0f, -65.0f, -49.0f, -35.0f, -22.0f, -10.0f, 1.0f, 13.0f, 25.0f, 38.0f, 53.0f, 69.0f, 89.0f,
              113.0f},
};

/* The code of a level, which is what a search gave. */
static inline uint8_t el_iq4_code(int level)
{
    static const uint8_t of[] = {
        [0] = 0,   [23] = 1,  [44] = 2,   [62] = 3,   [78] = 4,   [92] = 5,   [105] = 6,  [117] = 7,
        [128] = 8, [140] = 9, [152] = 10, [165] = 11, [180] = 12, [196] = 13, [216] = 14, [240] = 15,
    };
    return of[level + 127];
}

#endif
