/*
 * IQ2_XXS: super-blocks of 256 values in 8 groups of 32, each 8 bytes: four codebook entries, then a little-endian number with
 * 7 sign bits for each entry (bits 7 k) and the group's scale (bits 28 to 31). w = d (scale + 1/2) / 4 * entry.
 */
#include "tensor/codebook.h"
#include "tensor/codebook_near.h"
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

static const struct el_codebook codebook = {
    .entries = el_iq2xxs_grid,
    .runs = el_iq2xxs_runs,
    .table = el_near_iq2,
    .n_entries = 256,
    .entry_n = 8,
    .unit_n = 8,
    .sub_n = 32,
    .top = 15,
    .unit = 0.125f,
    .guess = 0.0294f,
    .digit = {8, 25, 43},
    .signs = EL_SIGNS_EVEN,
};

static void pack(const struct el_grid_block *b, const int16_t *level, uint8_t *block)
{
    struct block_iq2_xxs *const out = (struct block_iq2_xxs *)block;
    el_store_u16(out->d, b->d);
    for (uint32_t g = 0; g < EL_QK_K / 32; g++, level += 32) {
        uint32_t rest = (uint32_t)b->scale[g] << 28;
        for (uint32_t k = 0; k < 4; k++) {
            out->groups[g][k] = (uint8_t)el_codebook_entry(&codebook, level + 8 * k);
            rest |= (el_codebook_negative(level + 8 * k, 8) & 127) << (7 * k);
        }
        el_store_u32(out->groups[g] + 4, rest);
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

const struct el_encoding el_encoding_iq2_xxs = {
    .name = "IQ2_XXS",
    .about = "2.06 bits: super-blocks of 256, codebook of 256 entries",
    .ggml_type = 16,
    .block_n = EL_QK_K,
    .block_nbytes = sizeof(struct block_iq2_xxs),
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
