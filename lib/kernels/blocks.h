/*
 * Where things lie in the blocks that kernels read. Decoding is defined in lib/tensor/enc_*.c; tests compare the two. Blocks lie
 * at any address, so everything is read by bytes, memcpy or unaligned loads.
 *
 *   Q8_0, 32 columns: f16 d, 32 int8 q                                      w = d q
 *   Q4_0, 32 columns: f16 d, 16 bytes; column i < 16 low nibble of byte i,
 *                     column 16 + i its high nibble                         w = d (q - 8)
 *   Q5_0, 32 columns: f16 d, 4 bytes, 16 bytes of nibbles as in Q4_0; bit i of the four is the fifth bit of column i
 *                                                                           w = d (q - 16)
 *   Q4_K, 256 columns: f16 d, f16 dmin, 12 bytes with 8 scales s and 8 mins m of 6 bits, 128 bytes; of each 32 bytes the low
 *                     nibbles are 32 columns, the high nibbles the next 32  w = d s q - dmin m, s and m per 32 columns
 *   Q5_K, 256 columns: as Q4_K with 32 bytes before the nibbles; bit j of byte i is the fifth bit of column 32 j + i
 *   Q6_K, 256 columns: 128 bytes of low nibbles, 64 bytes of high bit pairs, 16 int8 scales s, f16 d
 *                                                                           w = d s (q - 32), s per 16 columns
 */
#ifndef EL_KERNELS_BLOCKS_H
#define EL_KERNELS_BLOCKS_H

#include <stdint.h>
#include <string.h>

#include "base/f16.h"

enum {
    EL_Q8_0_NBYTES = 34,
    EL_Q8_0_QS = 2,
    EL_Q4_0_NBYTES = 18,
    EL_Q4_0_QS = 2,
    EL_Q5_0_NBYTES = 22,
    EL_Q5_0_QH = 2,
    EL_Q5_0_QS = 6,
    EL_Q4_K_NBYTES = 144,
    EL_Q4_K_DMIN = 2,
    EL_Q4_K_SCALES = 4,
    EL_Q4_K_QS = 16,
    EL_Q5_K_NBYTES = 176,
    EL_Q5_K_QH = 16,
    EL_Q5_K_QS = 48, /* the rest as in Q4_K */
    EL_Q6_K_NBYTES = 210,
    EL_Q6_K_QH = 128,
    EL_Q6_K_SCALES = 192,
    EL_Q6_K_D = 208,
    EL_Q4_1_NBYTES = 20,
    EL_Q4_1_M = 2,
    EL_Q4_1_QS = 4,
    EL_Q5_1_NBYTES = 24,
    EL_Q5_1_M = 2,
    EL_Q5_1_QH = 4,
    EL_Q5_1_QS = 8,
    EL_Q2_K_NBYTES = 84,
    EL_Q2_K_QS = 16,
    EL_Q2_K_D = 80,
    EL_Q2_K_DMIN = 82,
    EL_Q3_K_NBYTES = 110,
    EL_Q3_K_QS = 32,
    EL_Q3_K_SCALES = 96,
    EL_Q3_K_D = 108,
    EL_IQ4_NL_NBYTES = 18, /* as Q4_0 */
    EL_IQ4_XS_NBYTES = 136,
    EL_IQ4_XS_HIGH = 2,
    EL_IQ4_XS_LOW = 4,
    EL_IQ4_XS_QS = 8,
    EL_MXFP4_NBYTES = 17,
    EL_MXFP4_QS = 1,
    EL_TQ1_0_NBYTES = 54,
    EL_TQ1_0_D = 52,
    EL_TQ2_0_NBYTES = 66,
    EL_TQ2_0_D = 64,
    EL_Q1_0_NBYTES = 18,
    EL_Q2_0_NBYTES = 18,
    EL_IQ1_S_NBYTES = 50,
    EL_IQ1_S_GROUPS = 34,
    EL_IQ1_M_NBYTES = 56,
    EL_IQ1_M_HIGH = 32,
    EL_IQ1_M_SCALES = 48,
    EL_IQ2_XXS_NBYTES = 66,
    EL_IQ2_XS_NBYTES = 74,
    EL_IQ2_XS_SCALES = 66,
    EL_IQ2_S_NBYTES = 82,
    EL_IQ2_S_SIGNS = 34,
    EL_IQ2_S_HIGH = 66,
    EL_IQ2_S_SCALES = 74,
    EL_IQ3_XXS_NBYTES = 98,
    EL_IQ3_XXS_SCALES = 66,
    EL_IQ3_S_NBYTES = 110,
    EL_IQ3_S_HIGH = 66,
    EL_IQ3_S_SIGNS = 74,
    EL_IQ3_S_SCALES = 106,
};

/* What a code of IQ4_NL and IQ4_XS stands for; and one of MXFP4, doubled. */
static const int8_t el_block_iq4_levels[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};
static const int8_t el_block_mxfp4_levels[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

static inline uint16_t el_block_u16(const uint8_t *p)
{
    uint16_t v;
    memcpy(&v, p, 2);
    return v;
}

static inline uint32_t el_block_u32(const uint8_t *p)
{
    uint32_t v;
    memcpy(&v, p, 4);
    return v;
}

static inline float el_block_f16(const uint8_t *p)
{
    return el_f16_to_f32(el_block_u16(p));
}

/*
 * The 6-bit scales and mins of a Q4_K or Q5_K block, one byte each, the first in the lowest byte. The first four are the low six
 * bits of bytes 0-3 and 4-7; the last four have their low four bits in bytes 8-11 and their high two bits on top of bytes 0-3
 * and 4-7.
 */
static inline void el_q4_k_scales(const uint8_t *packed, uint64_t *scales, uint64_t *mins)
{
    const uint32_t a = el_block_u32(packed), b = el_block_u32(packed + 4), c = el_block_u32(packed + 8);
    *scales = (a & 0x3f3f3f3fu) | (uint64_t)((c & 0x0f0f0f0fu) | (a >> 2 & 0x30303030u)) << 32;
    *mins = (b & 0x3f3f3f3fu) | (uint64_t)((c >> 4 & 0x0f0f0f0fu) | (b >> 2 & 0x30303030u)) << 32;
}

#endif
