/*
 * IQ3_S: super-blocks of 256 values; for every 4 of them the low byte of a codebook entry, its ninth bit (bit k % 8 of byte k
 * / 8 of `high`), a byte of signs for every 8 values, and a 4-bit scale for every 32 (low nibble first). w = d (2 scale + 1) *
 * entry.
 */
#include "tensor/enc_common.h"
#include "tensor/encoding.h"
#include "tensor/iq_grids.h"

struct block_iq3_s {
    uint8_t d[2];
    uint8_t low[EL_QK_K / 4];
    uint8_t high[EL_QK_K / 32];
    uint8_t signs[EL_QK_K / 8];
    uint8_t scales[EL_QK_K / 64];
};
_Static_assert(sizeof(struct block_iq3_s) == 110, "IQ3_S block is 110 bytes");

static const float levels[8] = {1.0f, 3.0f, 5.0f, 7.0f, 9.0f, 11.0f, 13.0f, 15.0f};

static void decode_block(const uint8_t *p, float *out)
{
    const float d = el_load_f16(p);
    const uint8_t *const low = p + 2, *const high = p + 66, *const signs = p + 74, *const scales = p + 106;
    for (uint32_t k = 0; k < EL_QK_K / 4; k++) {
        const uint32_t entry = (uint32_t)(low[k] | (high[k / 8] >> k % 8 & 1) << 8);
        const float s = d * (float)(1 + 2 * (scales[k / 16] >> (k / 8 % 2 * 4) & 15));
        el_iq3_decode4(el_iq3s_grid[entry], levels, (uint32_t)signs[k / 2] >> (k % 2 * 4), s, out + 4 * k);
    }
}

const struct el_encoding el_encoding_iq3_s = {
    .name = "IQ3_S",
    .about = "3.44 bits: super-blocks of 256, codebook of 512 entries (read only)",
    .ggml_type = 21,
    .block_n = EL_QK_K,
    .block_nbytes = sizeof(struct block_iq3_s),
    .fallback = "IQ4_NL",
    .no_encode = EL_IQ_NO_ENCODE,
    .parts = el_enc_block_parts,
    .decode = el_enc_block_decode,
    .n_bad_scales = el_enc_block_bad_f16,
    .decode_block = decode_block,
    .n_f16 = 1,
    .f16_at = {0},
};
