/*
 * IQ1_S: super-blocks of 256 values in 8 groups of 32; the low byte of a codebook entry for every 8 values, and for every group a
 * little-endian number: three more bits of each entry (bits 3 k), the scale (bits 12 to 14), the sign of delta (bit 15).
 * w = d (2 scale + 1) (entry + delta), delta 1/8 or -1/8.
 */
#include "tensor/codebook.h"
#include "tensor/codebook_near.h"
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

static const struct el_codebook codebook = {
    .entries = el_iq1_grid,
    .runs = el_iq1_runs,
    .table = el_near_iq1,
    .n_entries = 2048,
    .entry_n = 8,
    .unit_n = 8,
    .sub_n = 32,
    .top = 7,
    .unit = 0.125f,
    .guess = 0.101f,
    .digit = {-8, 0, 8},
    .signs = EL_SIGNS_DELTA_SUB,
};

static void pack(const struct el_grid_block *b, const int16_t *level, uint8_t *block)
{
    struct block_iq1_s *const out = (struct block_iq1_s *)block;
    el_store_u16(out->d, b->d);
    for (uint32_t g = 0; g < EL_QK_K / 32; g++) {
        uint32_t rest = (uint32_t)b->scale[g] << 12 | (uint32_t)b->smin[g] << 15;
        for (uint32_t k = 0; k < 4; k++, level += 8) {
            const uint32_t entry = el_codebook_entry(&codebook, level);
            out->low[4 * g + k] = (uint8_t)entry;
            rest |= entry >> 8 << (3 * k);
        }
        el_store_u16(out->groups[g], (uint16_t)rest);
    }
}

static const struct el_grid grid = EL_CODEBOOK_GRID(codebook, pack, 32, 8);

static void encode_block(const float *x, const float *w, enum el_effort effort, void *block)
{
    struct el_grid_block b;
    int16_t level[EL_QK_K];
    el_codebook_fit(&codebook, x, w, effort, &b, level);
    pack(&b, level, block);
}

const struct el_encoding el_encoding_iq1_s = {
    .name = "IQ1_S",
    .about = "1.56 bits: super-blocks of 256, codebook of 2048 entries",
    .ggml_type = 19,
    .block_n = EL_QK_K,
    .block_nbytes = sizeof(struct block_iq1_s),
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
