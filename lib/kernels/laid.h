/* What the kernels of re-laid weights of all levels share. */
#ifndef EL_KERNELS_LAID_H
#define EL_KERNELS_LAID_H

#include <stdint.h>

/*
 * words[i] = table[words[i]] for i in [0, n), n a multiple of 16: 4 n bytes at any address, numbers less than the table is long.
 * Pure; any thread.
 */
void el_laid_look_up(uint8_t *words, uint32_t n, const uint32_t *table);

#endif
