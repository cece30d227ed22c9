/*
 * IQ2_S: super-blocks of 256 values; for every 8 of them the low byte of a codebook entry, a byte of signs, and two more bits
 * of the entry (four to a byte of `high`); a 4-bit scale for every 16 values (low nibble first). w = d (scale + 1/2) / 4 *
 * entry.
 */
#include "tensor/codebook.h"
#include "tensor/codebook_near.h"
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

static const struct el_codebook codebook = {
    .entries = el_iq2s_grid,
    .runs = el_iq2s_runs,
    .table = el_near_iq2,
    .n_entries = 1024,
    .entry_n = 8,
    .unit_n = 8,
    .sub_n = 16,
    .top = 15,
    .unit = 0.125f,
    .guess = 0.0307f,
    .digit = {8, 25, 43},
    .signs = EL_SIGNS_FREE,
};

static void pack(const struct el_grid_block *b, const int16_t *level, uint8_t *block)
{
    struct block_iq2_s *const out = (struct block_iq2_s *)block;
    memset(out, 0, sizeof *out);
    el_store_u16(out->d, b->d);
    for (uint32_t k = 0; k < EL_QK_K / 8; k++, level += 8) {
        const uint32_t entry = el_codebook_entry(&codebook, level);
        out->low[k] = (uint8_t)entry;
        out->high[k / 4] |= (uint8_t)(entry >> 8 << (k % 4 * 2));
        out->signs[k] = (uint8_t)el_codebook_negative(level, 8);
    }
    for (uint32_t j = 0; j < EL_QK_K / 32; j++)
        out->scales[j] = (uint8_t)(b->scale[2 * j] | b->scale[2 * j + 1] << 4);
}

static const struct el_grid grid = EL_CODEBOOK_GRID(codebook, pack, 16, 8);

static void encode_block(const float *x, const float *w, enum el_effort effort, void *block)
{
    struct el_grid_block b;
    int16_t level[EL_QK_K];
    el_codebook_fit(&codebook, x, w, effort, &b, level);
    pack(&b, level, block);
}

const struct el_encoding el_encoding_iq2_s = {
    .name = "IQ2_S",
    .about = "2.56 bits: super-blocks of 256, codebook of 1024 entries",
    .ggml_type = 22,
    .block_n = EL_QK_K,
    .block_nbytes = sizeof(struct block_iq2_s),
    .fallback = "IQ4_NL",
    .parts = el_enc_block_parts,
    .decode = el_enc_block_decode,
    .encode = el_enc_block_encode,
    .n_bad_scales = el_enc_block_bad_f16,
    .decode_block = decode_block,
    .encode_block = encode_block,
    .grid = &grid,
    .n_f16 = 1,
    .f16_at = {0},
};
