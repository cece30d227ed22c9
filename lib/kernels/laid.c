/* See laid.h. */
#include "kernels/laid.h"

#include <string.h>

#include "base/compiler.h"

/* Two at a time: what limits the loop is that CPUs store once per cycle. */
void el_laid_look_up(uint8_t *words, uint32_t n, const uint32_t *table)
{
    enum { PAIRS = 8 };
    for (uint8_t *const end = words + (uint64_t)4 * n; words < end; words += 8 * PAIRS) {
        EL_UNROLL
        for (uint32_t i = 0; i < PAIRS; i++) {
            uint64_t two;
            memcpy(&two, words + 8 * i, 8);
            two = table[(uint32_t)two] | (uint64_t)table[two >> 32] << 32;
            memcpy(words + 8 * i, &two, 8);
        }
    }
}
