/*
 * IQ1_M: super-blocks of 256 values; for every 8 of them the low byte of a codebook entry and a nibble of `high`: three more
 * bits of the entry, and the sign of delta. `scales` is four little-endian numbers: 3-bit scales of 16 values each (bits 3 k),
 * and in bits 12 to 15 of the four numbers the nibbles of the half-precision d, lowest first. w = d (2 scale + 1) (entry +
 * delta), delta 1/8 or -1/8.
 */
#include "tensor/codebook.h"
#include "tensor/codebook_near.h"
#include "tensor/enc_common.h"
#include "tensor/encoding.h"
#include "tensor/iq_grids.h"

struct block_iq1_m {
    uint8_t low[EL_QK_K / 8];
    uint8_t high[EL_QK_K / 16];
    uint8_t scales[4][2];
};
_Static_assert(sizeof(struct block_iq1_m) == 56, "IQ1_M block is 56 bytes");

static uint16_t load_d(const uint8_t *scales)
{
    uint32_t d = 0;
    for (uint32_t i = 0; i < 4; i++)
        d |= (uint32_t)(scales[2 * i + 1] >> 4) << (4 * i);
    return (uint16_t)d;
}

static void decode_block(const uint8_t *p, float *out)
{
    const uint8_t *const low = p, *const high = p + 32, *const scales = p + 48;
    const float d = el_f16_to_f32(load_d(scales));
    for (uint32_t k = 0; k < EL_QK_K / 8; k++) {
        const uint32_t more = (uint32_t)high[k / 2] >> (k % 2 * 4),
                       scale = el_load_u16(scales + k / 8 * 2) >> (k / 2 % 4 * 3) & 7u;
        el_iq1_decode8(el_iq1_grid[low[k] | (more & 7) << 8], d * (float)(2 * scale + 1), more & 8 ? -0.125f : 0.125f,
                       out + 8 * k);
    }
}

static uint64_t n_bad_scales(const struct el_matrix *m, uint64_t row0, uint64_t n_rows)
{
    const uint64_t n_blocks = m->n_in / EL_QK_K;
    uint64_t n_bad = 0;
    for (uint64_t r = row0; r < row0 + n_rows; r++) {
        for (uint64_t b = 0; b < n_blocks; b++)
            n_bad += el_f16_is_bad(load_d(m->data[0] + r * m->row_nbytes[0] + b * sizeof(struct block_iq1_m) + 48));
    }
    return n_bad;
}

static const struct el_codebook codebook = {
    .entries = el_iq1_grid,
    .runs = el_iq1_runs,
    .table = el_near_iq1,
    .n_entries = 2048,
    .entry_n = 8,
    .unit_n = 8,
    .sub_n = 16,
    .top = 7,
    .unit = 0.125f,
    .guess = 0.113f,
    .digit = {-8, 0, 8},
    .signs = EL_SIGNS_DELTA,
};

static void pack(const struct el_grid_block *b, const int16_t *level, uint8_t *block)
{
    struct block_iq1_m *const out = (struct block_iq1_m *)block;
    memset(out, 0, sizeof *out);
    for (uint32_t k = 0; k < EL_QK_K / 8; k++, level += 8) {
        const uint32_t entry = el_codebook_entry(&codebook, level), negative = (level[0] & 7) == 7;
        out->low[k] = (uint8_t)entry;
        out->high[k / 2] |= (uint8_t)((entry >> 8 | negative << 3) << (k % 2 * 4));
    }
    for (uint32_t i = 0; i < 4; i++) {
        uint32_t scales = (uint32_t)(b->d >> (4 * i) & 15) << 12;
        for (uint32_t j = 0; j < 4; j++)
            scales |= (uint32_t)b->scale[4 * i + j] << (3 * j);
        el_store_u16(out->scales[i], (uint16_t)scales);
    }
}

static const struct el_grid grid = EL_CODEBOOK_GRID(codebook, pack, 16, 8);

static void encode_block(const float *x, const float *w, enum el_effort effort, void *block)
{
    struct el_grid_block b;
    int16_t level[EL_QK_K];
    el_codebook_fit(&codebook, x, w, effort, &b, level);
    pack(&b, level, block);
}

const struct el_encoding el_encoding_iq1_m = {
    .name = "IQ1_M",
    .about = "1.75 bits: super-blocks of 256, codebook of 2048 entries",
    .ggml_type = 29,
    .block_n = EL_QK_K,
    .block_nbytes = sizeof(struct block_iq1_m),
    .fallback = "IQ4_NL",
    .parts = el_enc_block_parts,
    .decode = el_enc_block_decode,
    .encode = el_enc_block_encode,
    .n_bad_scales = n_bad_scales,
    .decode_block = decode_block,
    .encode_block = encode_block,
    .grid = &grid,
};
