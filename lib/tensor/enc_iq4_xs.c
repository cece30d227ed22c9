/*
 * IQ4_XS: super-blocks of 256 codes of IQ4_NL in 8 sub-blocks of 32, w = (d (scale_j - 32)) level(q). The low four bits of the
 * scales are nibbles of `scales_low` (low first), the high two bits 2 j of `scales_high`. Each sub-block's codes lie as in
 * IQ4_NL.
 */
#include "tensor/enc_common.h"
#include "tensor/encoding.h"
#include "tensor/fit_super.h"
#include "tensor/grid.h"
#include "tensor/iq4_levels.h"

struct block_iq4_xs {
    uint8_t d[2];
    uint8_t scales_high[2];
    uint8_t scales_low[EL_QK_K / 64];
    uint8_t q[EL_QK_K / 2];
};
_Static_assert(sizeof(struct block_iq4_xs) == 136, "IQ4_XS block is 136 bytes");

static const struct el_super_scale_kind kind = {.n_subs = 8,
                                                .sub_n = 32,
                                                .scale_lo = -32.0f,
                                                .scale_hi = 31.0f,
                                                .codes = {.lo = -127.0f, .hi = 113.0f, .levels = &el_iq4_levels}};

static void decode_block(const uint8_t *p, float *out)
{
    const float d = el_load_f16(p);
    const uint32_t high = el_load_u16(p + 2);
    const uint8_t *q = p + 8;
    for (uint32_t j = 0; j < EL_QK_K / 32; j++, q += 16, out += 32) {
        const int scale = (int)((p[4 + j / 2] >> (j % 2 * 4) & 15u) | (high >> (2 * j) & 3) << 4);
        const float s = d * (float)(scale - 32);
        for (uint32_t i = 0; i < 16; i++) {
            out[i] = s * el_iq4_levels.value[q[i] & 15];
            out[i + 16] = s * el_iq4_levels.value[q[i] >> 4];
        }
    }
}

static void pack(const struct el_super_scale *fit, struct block_iq4_xs *out)
{
    memset(out, 0, sizeof *out);
    el_store_u16(out->d, fit->d);
    uint32_t high = 0;
    for (uint32_t j = 0; j < EL_QK_K / 32; j++) {
        const uint32_t scale = (uint32_t)(fit->scale[j] + 32);
        out->scales_low[j / 2] |= (uint8_t)((scale & 15) << (j % 2 * 4));
        high |= (scale >> 4) << (2 * j);
        for (uint32_t i = 0; i < 16; i++)
            out->q[16 * j + i] = (uint8_t)(el_iq4_code(fit->q[32 * j + i]) | el_iq4_code(fit->q[32 * j + 16 + i]) << 4);
    }
    el_store_u16(out->scales_high, (uint16_t)high);
}

static void encode_block(const float *x, const float *w, enum el_effort effort, void *block)
{
    (void)w;
    (void)effort;
    struct el_super_scale fit;
    el_super_scale_nearest(&kind, x, &fit);
    pack(&fit, block);
}

static void search_blocks(const float *x, const float *const *w, uint32_t n, void *blocks)
{
    struct el_super_scale fit[EL_ENC_TILE];
    el_super_scale_search(&kind, x, w, n, fit);
    for (uint32_t b = 0; b < n; b++)
        pack(&fit[b], (struct block_iq4_xs *)blocks + b);
}

static void grid_fit(const struct el_enc *enc, const float *x, const float *w, uint32_t n_rows, uint32_t n, enum el_effort effort,
                     struct el_grid_block *b)
{
    (void)enc;
    (void)n;
    el_grid_scale_fit(&kind, x, w, n_rows, effort, b);
}

static void grid_set(const struct el_enc *enc, const float *step, const float *min, uint32_t n, struct el_grid_block *b)
{
    (void)enc;
    (void)min;
    (void)n;
    el_grid_scale_set(&kind, step, b);
}

static void grid_refit(const struct el_enc *enc, const float *x, const float *w, uint32_t sub, struct el_grid_block *b)
{
    (void)enc;
    el_grid_scale_refit(&kind, x, w, sub, b);
}

static bool grid_vary(const struct el_enc *enc, uint32_t sub, int step, int min, struct el_grid_block *b)
{
    (void)enc;
    return el_grid_scale_vary(&kind, sub, step, min, b);
}

static void grid_store(const struct el_enc *enc, const struct el_grid_block *b, const int16_t *level, uint64_t row,
                       uint64_t column, uint64_t n_in, uint8_t *const parts_out[EL_MAX_PARTS])
{
    struct el_super_scale fit;
    el_grid_scale_get(b, level, &fit);
    pack(&fit, (struct block_iq4_xs *)el_grid_place(enc, row, column, n_in, parts_out));
}

static const struct el_grid grid = {
    .sub_n = 32,
    .fit = grid_fit,
    .set = grid_set,
    .refit = grid_refit,
    .vary = grid_vary,
    .share = el_grid_super_share,
    .store = grid_store,
};

const struct el_encoding el_encoding_iq4_xs = {
    .name = "IQ4_XS",
    .about = "4.25 bits: super-blocks of 256 codes of uneven levels, 6-bit scales per 32",
    .ggml_type = 23,
    .fallback = "IQ4_NL",
    .block_n = EL_QK_K,
    .block_nbytes = sizeof(struct block_iq4_xs),
    .parts = el_enc_block_parts,
    .decode = el_enc_block_decode,
    .encode = el_enc_block_encode,
    .n_bad_scales = el_enc_block_bad_f16,
    .decode_block = decode_block,
    .encode_block = encode_block,
    .search_blocks = search_blocks,
    .grid = &grid,
    .n_f16 = 1,
    .f16_at = {0},
};
