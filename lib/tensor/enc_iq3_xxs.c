/*
 * IQ3_XXS: super-blocks of 256 values in 8 groups of 32; a codebook entry for every 4 values, then for every group a little-
 * endian number with 7 sign bits for each 8 values (bits 7 k) and the group's scale (bits 28 to 31). w = d (scale + 1/2) / 2 *
 * entry.
 */
#include "tensor/codebook.h"
#include "tensor/codebook_near.h"
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

static const struct el_codebook codebook = {
    .entries = el_iq3xxs_grid,
    .runs = el_iq3xxs_runs,
    .table = el_near_iq3_xxs,
    .n_entries = 256,
    .entry_n = 4,
    .unit_n = 8,
    .sub_n = 32,
    .top = 15,
    .unit = 0.25f,
    .guess = 0.0247f,
    .digit = {4, 12, 20, 28, 36, 44, 52, 62},
    .signs = EL_SIGNS_EVEN,
};

static void pack(const struct el_grid_block *b, const int16_t *level, uint8_t *block)
{
    struct block_iq3_xxs *const out = (struct block_iq3_xxs *)block;
    el_store_u16(out->d, b->d);
    for (uint32_t g = 0; g < EL_QK_K / 32; g++) {
        uint32_t rest = (uint32_t)b->scale[g] << 28;
        for (uint32_t k = 0; k < 4; k++, level += 8) {
            out->q[8 * g + 2 * k] = (uint8_t)el_codebook_entry(&codebook, level);
            out->q[8 * g + 2 * k + 1] = (uint8_t)el_codebook_entry(&codebook, level + 4);
            rest |= (el_codebook_negative(level, 8) & 127) << (7 * k);
        }
        el_store_u32(out->scales[g], rest);
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

const struct el_encoding el_encoding_iq3_xxs = {
    .name = "IQ3_XXS",
    .about = "3.06 bits: super-blocks of 256, codebook of 256 entries",
    .ggml_type = 18,
    .block_n = EL_QK_K,
    .block_nbytes = sizeof(struct block_iq3_xxs),
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
