/*
 * IQ3_XXS: super-blocks of 256 values in 8 groups of 32; a codebook entry for every 4 values, then for every group a little-
 * endian number with 7 sign bits for each 8 values (bits 7 k) and the group's scale (bits 28 to 31). w = d (scale + 1/2) / 2 *
 * entry.
 */
#include "tensor/enc_common.h"
#include "tensor/encoding.h"
#include "tensor/iq_grids.h"

struct block_iq3_xxs {
    uint8_t d[2];
    uint8_t q[EL_QK_K / 4];
    uint8_t scales[EL_QK_K / 32][4];
};
_Static_assert(sizeof(struct block_iq3_xxs) == 98, "IQ3_XXS block is 98 bytes");

static const float levels[8] = {4.0f, 12.0f, 20.0f, 28.0f, 36.0f, 44.0f, 52.0f, 62.0f};

static void decode_block(const uint8_t *p, float *out)
{
    const float d = el_load_f16(p);
    const uint8_t *q = p + 2, *const scales = p + 66;
    for (uint32_t g = 0; g < EL_QK_K / 32; g++) {
        const uint32_t rest = el_load_u32(scales + 4 * g);
        const float s = d * (0.5f + (float)(rest >> 28)) * 0.5f;
        for (uint32_t k = 0; k < 4; k++, q += 2, out += 8) {
            const uint32_t signs = el_iq_signs(rest >> (7 * k) & 127);
            el_iq3_decode4(el_iq3xxs_grid[q[0]], levels, signs, s, out);
            el_iq3_decode4(el_iq3xxs_grid[q[1]], levels, signs >> 4, s, out + 4);
        }
    }
}

const struct el_encoding el_encoding_iq3_xxs = {
    .name = "IQ3_XXS",
    .about = "3.06 bits: super-blocks of 256, codebook of 256 entries (read only)",
    .ggml_type = 18,
    .block_n = EL_QK_K,
    .block_nbytes = sizeof(struct block_iq3_xxs),
    .fallback = "IQ4_NL",
    .no_encode = EL_IQ_NO_ENCODE,
    .parts = el_enc_block_parts,
    .decode = el_enc_block_decode,
    .n_bad_scales = el_enc_block_bad_f16,
    .decode_block = decode_block,
    .n_f16 = 1,
    .f16_at = {0},
};
