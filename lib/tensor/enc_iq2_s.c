/*
 * IQ2_S: super-blocks of 256 values; for every 8 of them the low byte of a codebook entry, a byte of signs, and two more bits
 * of the entry (four to a byte of `high`); a 4-bit scale for every 16 values (low nibble first). w = d (scale + 1/2) / 4 *
 * entry.
 */
#include "tensor/enc_common.h"
#include "tensor/encoding.h"
#include "tensor/iq_grids.h"

struct block_iq2_s {
    uint8_t d[2];
    uint8_t low[EL_QK_K / 8];
    uint8_t signs[EL_QK_K / 8];
    uint8_t high[EL_QK_K / 32];
    uint8_t scales[EL_QK_K / 32];
};
_Static_assert(sizeof(struct block_iq2_s) == 82, "IQ2_S block is 82 bytes");

static void decode_block(const uint8_t *p, float *out)
{
    const float d = el_load_f16(p);
    const uint8_t *const low = p + 2, *const signs = p + 34, *const high = p + 66, *const scales = p + 74;
    for (uint32_t k = 0; k < EL_QK_K / 8; k++) {
        const uint32_t entry = (uint32_t)(low[k] | (high[k / 4] >> (k % 4 * 2) & 3) << 8);
        const float s = d * (0.5f + (float)(scales[k / 4] >> (k / 2 % 2 * 4) & 15)) * 0.25f;
        el_iq2_decode8(el_iq2s_grid[entry], signs[k], s, out + 8 * k);
    }
}

const struct el_encoding el_encoding_iq2_s = {
    .name = "IQ2_S",
    .about = "2.56 bits: super-blocks of 256, codebook of 1024 entries (read only)",
    .ggml_type = 22,
    .block_n = EL_QK_K,
    .block_nbytes = sizeof(struct block_iq2_s),
    .fallback = "IQ4_NL",
    .no_encode = EL_IQ_NO_ENCODE,
    .parts = el_enc_block_parts,
    .decode = el_enc_block_decode,
    .n_bad_scales = el_enc_block_bad_f16,
    .decode_block = decode_block,
    .n_f16 = 1,
    .f16_at = {0},
};
