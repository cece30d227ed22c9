/*
 * IQ2_XS: super-blocks of 256 values; 32 little-endian numbers, each a codebook entry (bits 0 to 8) and 7 sign bits for 8
 * values, and a 4-bit scale for every 16 values (low nibble first). w = d (scale + 1/2) / 4 * entry.
 */
#include "tensor/enc_common.h"
#include "tensor/encoding.h"
#include "tensor/iq_grids.h"

struct block_iq2_xs {
    uint8_t d[2];
    uint8_t q[EL_QK_K / 8][2];
    uint8_t scales[EL_QK_K / 32];
};
_Static_assert(sizeof(struct block_iq2_xs) == 74, "IQ2_XS block is 74 bytes");

static void decode_block(const uint8_t *p, float *out)
{
    const float d = el_load_f16(p);
    const uint8_t *const scales = p + 66;
    for (uint32_t k = 0; k < EL_QK_K / 8; k++) {
        const uint32_t q = el_load_u16(p + 2 + 2 * k);
        const float s = d * (0.5f + (float)(scales[k / 4] >> (k / 2 % 2 * 4) & 15)) * 0.25f;
        el_iq2_decode8(el_iq2xs_grid[q & 511], el_iq_signs(q >> 9), s, out + 8 * k);
    }
}

const struct el_encoding el_encoding_iq2_xs = {
    .name = "IQ2_XS",
    .about = "2.31 bits: super-blocks of 256, codebook of 512 entries (read only)",
    .ggml_type = 17,
    .block_n = EL_QK_K,
    .block_nbytes = sizeof(struct block_iq2_xs),
    .fallback = "IQ4_NL",
    .no_encode = EL_IQ_NO_ENCODE,
    .parts = el_enc_block_parts,
    .decode = el_enc_block_decode,
    .n_bad_scales = el_enc_block_bad_f16,
    .decode_block = decode_block,
    .n_f16 = 1,
    .f16_at = {0},
};
