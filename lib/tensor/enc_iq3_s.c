/*
 * IQ3_S: super-blocks of 256 values; for every 4 of them the low byte of a codebook entry, its ninth bit (bit k % 8 of byte k
 * / 8 of `high`), a byte of signs for every 8 values, and a 4-bit scale for every 32 (low nibble first). w = d (2 scale + 1) *
 * entry.
 */
#include "tensor/codebook.h"
#include "tensor/codebook_near.h"
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

static const struct el_codebook codebook = {
    .entries = el_iq3s_grid,
    .runs = el_iq3s_runs,
    .table = el_near_iq3_s,
    .n_entries = 512,
    .entry_n = 4,
    .unit_n = 4,
    .sub_n = 32,
    .top = 15,
    .unit = 1.0f,
    .guess = 0.1033f,
    .digit = {1, 3, 5, 7, 9, 11, 13, 15},
    .signs = EL_SIGNS_FREE,
};

static void pack(const struct el_grid_block *b, const int16_t *level, uint8_t *block)
{
    struct block_iq3_s *const out = (struct block_iq3_s *)block;
    memset(out, 0, sizeof *out);
    el_store_u16(out->d, b->d);
    for (uint32_t k = 0; k < EL_QK_K / 4; k++, level += 4) {
        const uint32_t entry = el_codebook_entry(&codebook, level);
        out->low[k] = (uint8_t)entry;
        out->high[k / 8] |= (uint8_t)(entry >> 8 << k % 8);
        out->signs[k / 2] |= (uint8_t)(el_codebook_negative(level, 4) << (k % 2 * 4));
    }
    for (uint32_t j = 0; j < EL_QK_K / 64; j++)
        out->scales[j] = (uint8_t)(b->scale[2 * j] | b->scale[2 * j + 1] << 4);
}

static const struct el_grid grid = EL_CODEBOOK_GRID(codebook, pack, 32, 4);

static void encode_block(const float *x, const float *w, enum el_effort effort, void *block)
{
    struct el_grid_block b;
    int16_t level[EL_QK_K];
    el_codebook_fit(&codebook, x, w, effort, &b, level);
    pack(&b, level, block);
}

const struct el_encoding el_encoding_iq3_s = {
    .name = "IQ3_S",
    .about = "3.44 bits: super-blocks of 256, codebook of 512 entries",
    .ggml_type = 21,
    .block_n = EL_QK_K,
    .block_nbytes = sizeof(struct block_iq3_s),
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
