/* The 12 bytes in which Q4_K and Q5_K hold eight 6-bit scales and eight 6-bit mins. Only their enc_*.c include this. */
#ifndef EL_TENSOR_KQUANT_H
#define EL_TENSOR_KQUANT_H

#include <stdint.h>

/*
 * Bytes 0..3: scale j (bits 0..5), bits 4..5 of scale j + 4 (bits 6..7). Bytes 4..7: the same of the mins.
 * Bytes 8..11: bits 0..3 of scale j + 4 (low nibble) and of min j + 4 (high nibble).
 */
static inline void el_kquant_unpack(const uint8_t packed[12], uint8_t scale[8], uint8_t min[8])
{
    for (int j = 0; j < 4; j++) {
        scale[j] = packed[j] & 63;
        min[j] = packed[j + 4] & 63;
        scale[j + 4] = (uint8_t)((packed[j + 8] & 15) | (packed[j] >> 6) << 4);
        min[j + 4] = (uint8_t)(packed[j + 8] >> 4 | (packed[j + 4] >> 6) << 4);
    }
}

static inline void el_kquant_pack(const uint8_t scale[8], const uint8_t min[8], uint8_t packed[12])
{
    for (int j = 0; j < 4; j++) {
        packed[j] = (uint8_t)(scale[j] | (scale[j + 4] >> 4) << 6);
        packed[j + 4] = (uint8_t)(min[j] | (min[j + 4] >> 4) << 6);
        packed[j + 8] = (uint8_t)((scale[j + 4] & 15) | (min[j + 4] & 15) << 4);
    }
}

#endif
