/*
 * Q5_K: Q4_K with a fifth bit per code: bit j of byte i of `high` belongs to element i of sub-block j. w = (d scale_j) q - (dmin
 * min_j).
 */
#include "tensor/enc_common.h"
#include "tensor/encoding.h"
#include "tensor/fit_super.h"
#include "tensor/grid.h"
#include "tensor/kquant.h"

struct block_q5_k {
    uint8_t d[2], dmin[2];
    uint8_t scales[12];
    uint8_t high[EL_QK_K / 8];
    uint8_t q[EL_QK_K / 2];
};
_Static_assert(sizeof(struct block_q5_k) == 176, "Q5_K block is 176 bytes");

static const struct el_super_affine_kind kind = {.n_subs = 8, .sub_n = 32, .top = 63.0f, .hi = 31.0f};

static void decode_block(const uint8_t *p, float *out)
{
    const float d = el_load_f16(p), dmin = el_load_f16(p + 2);
    uint8_t scale[8], min[8];
    el_kquant_unpack(p + 4, scale, min);
    const uint8_t *const high = p + 16, *q = p + 48;
    for (uint32_t j = 0; j < 8; j += 2, q += 32) {
        const float d0 = d * (float)scale[j], m0 = dmin * (float)min[j];
        const float d1 = d * (float)scale[j + 1], m1 = dmin * (float)min[j + 1];
        for (uint32_t i = 0; i < 32; i++) {
            out[32 * j + i] = d0 * (float)((q[i] & 15) | (high[i] >> j & 1) << 4) - m0;
            out[32 * j + 32 + i] = d1 * (float)(q[i] >> 4 | (high[i] >> (j + 1) & 1) << 4) - m1;
        }
    }
}

static void pack(const struct el_super_affine *fit, struct block_q5_k *out)
{
    el_store_u16(out->d, fit->d);
    el_store_u16(out->dmin, fit->dmin);
    el_kquant_pack(fit->scale, fit->min, out->scales);
    memset(out->high, 0, sizeof out->high);
    for (uint32_t k = 0; k < EL_QK_K; k++)
        out->high[k % 32] |= (uint8_t)((fit->q[k] >> 4) << (k / 32));
    for (uint32_t p = 0; p < 4; p++) {
        for (uint32_t i = 0; i < 32; i++)
            out->q[32 * p + i] = (uint8_t)((fit->q[64 * p + i] & 15) | (fit->q[64 * p + 32 + i] & 15) << 4);
    }
}

static void encode_block(const float *x, const float *w, enum el_effort effort, void *block)
{
    (void)w;
    (void)effort;
    struct el_super_affine fit;
    el_super_affine_nearest(&kind, x, &fit);
    pack(&fit, block);
}

static void search_blocks(const float *x, const float *const *w, uint32_t n, void *blocks)
{
    struct el_super_affine fit[EL_ENC_TILE];
    el_super_affine_search(&kind, x, w, n, fit);
    for (uint32_t b = 0; b < n; b++)
        pack(&fit[b], (struct block_q5_k *)blocks + b);
}

static void grid_fit(const struct el_enc *enc, const float *x, const float *w, uint32_t n_rows, uint32_t n, enum el_effort effort,
                     struct el_grid_block *b)
{
    (void)enc;
    (void)n;
    el_grid_affine_fit(&kind, x, w, n_rows, effort, b);
}

static void grid_set(const struct el_enc *enc, const float *step, const float *min, uint32_t n, struct el_grid_block *b)
{
    (void)enc;
    (void)n;
    el_grid_affine_set(&kind, step, min, b);
}

static void grid_refit(const struct el_enc *enc, const float *x, const float *w, uint32_t sub, struct el_grid_block *b)
{
    (void)enc;
    el_grid_affine_refit(&kind, x, w, sub, b);
}

static bool grid_vary(const struct el_enc *enc, uint32_t sub, int step, int min, struct el_grid_block *b)
{
    (void)enc;
    return el_grid_affine_vary(&kind, sub, step, min, b);
}

static void grid_store(const struct el_enc *enc, const struct el_grid_block *b, const int16_t *level, uint64_t row,
                       uint64_t column, uint64_t n_in, uint8_t *const parts_out[EL_MAX_PARTS])
{
    struct el_super_affine fit;
    el_grid_affine_get(b, level, &fit);
    pack(&fit, (struct block_q5_k *)el_grid_place(enc, row, column, n_in, parts_out));
}

static const struct el_grid grid = {
    .mins = true,
    .sub_n = 32,
    .fit = grid_fit,
    .set = grid_set,
    .refit = grid_refit,
    .vary = grid_vary,
    .share = el_grid_super_share,
    .store = grid_store,
};

const struct el_encoding el_encoding_q5_k = {
    .name = "Q5_K",
    .about = "5.5 bits: super-blocks of 256, 6-bit scales and mins per 32",
    .ggml_type = 13,
    .fallback = "Q5_1",
    .block_n = EL_QK_K,
    .block_nbytes = sizeof(struct block_q5_k),
    .parts = el_enc_block_parts,
    .decode = el_enc_block_decode,
    .encode = el_enc_block_encode,
    .n_bad_scales = el_enc_block_bad_f16,
    .decode_block = decode_block,
    .encode_block = encode_block,
    .search_blocks = search_blocks,
    .grid = &grid,
    .n_f16 = 2,
    .f16_at = {0, 2},
};
