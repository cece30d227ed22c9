/*
 * IQ1_S: super-blocks of 256 values in 8 groups of 32; the low byte of a codebook entry for every 8 values, and for every group a
 * little-endian number: three more bits of each entry (bits 3 k), the scale (bits 12 to 14), the sign of delta (bit 15).
 * w = d (2 scale + 1) (entry + delta), delta 1/8 or -1/8.
 */
#include "tensor/enc_common.h"
#include "tensor/encoding.h"
#include "tensor/iq_grids.h"

struct block_iq1_s {
    uint8_t d[2];
    uint8_t low[EL_QK_K / 8];
    uint8_t groups[EL_QK_K / 32][2];
};
_Static_assert(sizeof(struct block_iq1_s) == 50, "IQ1_S block is 50 bytes");

static void decode_block(const uint8_t *p, float *out)
{
    const float d = el_load_f16(p);
    const uint8_t *low = p + 2;
    for (uint32_t g = 0; g < EL_QK_K / 32; g++) {
        const uint32_t rest = el_load_u16(p + 34 + 2 * g);
        const float s = d * (float)(2 * (rest >> 12 & 7) + 1), delta = rest >> 15 ? -0.125f : 0.125f;
        for (uint32_t k = 0; k < 4; k++, low++, out += 8)
            el_iq1_decode8(el_iq1_grid[*low | (rest >> (3 * k) & 7) << 8], s, delta, out);
    }
}

const struct el_encoding el_encoding_iq1_s = {
    .name = "IQ1_S",
    .about = "1.56 bits: super-blocks of 256, codebook of 2048 entries (read only)",
    .ggml_type = 19,
    .block_n = EL_QK_K,
    .block_nbytes = sizeof(struct block_iq1_s),
    .fallback = "IQ4_NL",
    .no_encode = EL_IQ_NO_ENCODE,
    .parts = el_enc_block_parts,
    .decode = el_enc_block_decode,
    .n_bad_scales = el_enc_block_bad_f16,
    .decode_block = decode_block,
    .n_f16 = 1,
    .f16_at = {0},
};
