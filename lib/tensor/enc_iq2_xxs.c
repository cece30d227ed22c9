/*
 * IQ2_XXS: super-blocks of 256 values in 8 groups of 32, each 8 bytes: four codebook entries, then a little-endian number with
 * 7 sign bits for each entry (bits 7 k) and the group's scale (bits 28 to 31). w = d (scale + 1/2) / 4 * entry.
 */
#include "tensor/enc_common.h"
#include "tensor/encoding.h"
#include "tensor/iq_grids.h"

struct block_iq2_xxs {
    uint8_t d[2];
    uint8_t groups[EL_QK_K / 32][8];
};
_Static_assert(sizeof(struct block_iq2_xxs) == 66, "IQ2_XXS block is 66 bytes");

static void decode_block(const uint8_t *p, float *out)
{
    const float d = el_load_f16(p);
    p += 2;
    for (uint32_t g = 0; g < EL_QK_K / 32; g++, p += 8, out += 32) {
        const uint32_t rest = el_load_u32(p + 4);
        const float s = d * (0.5f + (float)(rest >> 28)) * 0.25f;
        for (uint32_t k = 0; k < 4; k++)
            el_iq2_decode8(el_iq2xxs_grid[p[k]], el_iq_signs(rest >> (7 * k) & 127), s, out + 8 * k);
    }
}

const struct el_encoding el_encoding_iq2_xxs = {
    .name = "IQ2_XXS",
    .about = "2.06 bits: super-blocks of 256, codebook of 256 entries (read only)",
    .ggml_type = 16,
    .block_n = EL_QK_K,
    .block_nbytes = sizeof(struct block_iq2_xxs),
    .fallback = "IQ4_NL",
    .no_encode = EL_IQ_NO_ENCODE,
    .parts = el_enc_block_parts,
    .decode = el_enc_block_decode,
    .n_bad_scales = el_enc_block_bad_f16,
    .decode_block = decode_block,
    .n_f16 = 1,
    .f16_at = {0},
};
