/*
 * IQ2_XS: super-blocks of 256 values; 32 little-endian numbers, each a codebook entry (bits 0 to 8) and 7 sign bits for 8
 * values, and a 4-bit scale for every 16 values (low nibble first). w = d (scale + 1/2) / 4 * entry.
 */
#include "tensor/codebook.h"
#include "tensor/codebook_near.h"
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

static const struct el_codebook codebook = {
    .entries = el_iq2xs_grid,
    .runs = el_iq2xs_runs,
    .table = el_near_iq2,
    .n_entries = 512,
    .entry_n = 8,
    .unit_n = 8,
    .sub_n = 16,
    .top = 15,
    .unit = 0.125f,
    .guess = 0.0309f,
    .digit = {8, 25, 43},
    .signs = EL_SIGNS_EVEN,
};

static void pack(const struct el_grid_block *b, const int16_t *level, uint8_t *block)
{
    struct block_iq2_xs *const out = (struct block_iq2_xs *)block;
    el_store_u16(out->d, b->d);
    for (uint32_t k = 0; k < EL_QK_K / 8; k++, level += 8)
        el_store_u16(out->q[k], (uint16_t)(el_codebook_entry(&codebook, level) | (el_codebook_negative(level, 8) & 127) << 9));
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

const struct el_encoding el_encoding_iq2_xs = {
    .name = "IQ2_XS",
    .about = "2.31 bits: super-blocks of 256, codebook of 512 entries",
    .ggml_type = 17,
    .block_n = EL_QK_K,
    .block_nbytes = sizeof(struct block_iq2_xs),
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
