/*
 * Q2_K: super-blocks of 256 codes of 2 bits in 16 sub-blocks of 16, w = (d scale_j) q - (dmin min_j). A byte of `scales` holds a
 * 4-bit scale (low) and min. Byte 32 h + i of the codes holds elements i, i + 32, i + 64, i + 96 of half h, lowest bits first.
 */
#include "tensor/enc_common.h"
#include "tensor/encoding.h"
#include "tensor/fit_super.h"
#include "tensor/grid.h"

struct block_q2_k {
    uint8_t scales[EL_QK_K / 16];
    uint8_t q[EL_QK_K / 4];
    uint8_t d[2], dmin[2];
};
_Static_assert(sizeof(struct block_q2_k) == 84, "Q2_K block is 84 bytes");

static const struct el_super_affine_kind kind = {.n_subs = 16, .sub_n = 16, .top = 15.0f, .hi = 3.0f};

static void decode_block(const uint8_t *p, float *out)
{
    const uint8_t *const scales = p, *const q = p + 16;
    const float d = el_load_f16(p + 80), dmin = el_load_f16(p + 82);
    for (uint32_t j = 0; j < EL_QK_K / 16; j++) {
        const float s = d * (float)(scales[j] & 15), m = dmin * (float)(scales[j] >> 4);
        const uint8_t *const at = q + j / 8 * 32 + j % 2 * 16;
        for (uint32_t i = 0; i < 16; i++)
            out[16 * j + i] = s * (float)(at[i] >> (j / 2 % 4 * 2) & 3) - m;
    }
}

static void pack(const struct el_super_affine *fit, struct block_q2_k *out)
{
    el_store_u16(out->d, fit->d);
    el_store_u16(out->dmin, fit->dmin);
    for (uint32_t j = 0; j < EL_QK_K / 16; j++)
        out->scales[j] = (uint8_t)(fit->scale[j] | fit->min[j] << 4);
    for (uint32_t i = 0; i < EL_QK_K / 4; i++) {
        const uint8_t *const at = fit->q + i / 32 * 128 + i % 32;
        out->q[i] = (uint8_t)(at[0] | at[32] << 2 | at[64] << 4 | at[96] << 6);
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
        pack(&fit[b], (struct block_q2_k *)blocks + b);
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
    pack(&fit, (struct block_q2_k *)el_grid_place(enc, row, column, n_in, parts_out));
}

static const struct el_grid grid = {
    .mins = true,
    .sub_n = 16,
    .fit = grid_fit,
    .set = grid_set,
    .refit = grid_refit,
    .vary = grid_vary,
    .share = el_grid_super_share,
    .store = grid_store,
};

const struct el_encoding el_encoding_q2_k = {
    .name = "Q2_K",
    .about = "2.63 bits: super-blocks of 256, 4-bit scales and mins per 16",
    .ggml_type = 10,
    .fallback = "Q4_0",
    .block_n = EL_QK_K,
    .block_nbytes = sizeof(struct block_q2_k),
    .parts = el_enc_block_parts,
    .decode = el_enc_block_decode,
    .encode = el_enc_block_encode,
    .n_bad_scales = el_enc_block_bad_f16,
    .decode_block = decode_block,
    .encode_block = encode_block,
    .search_blocks = search_blocks,
    .grid = &grid,
    .n_f16 = 2,
    .f16_at = {80, 82},
};
