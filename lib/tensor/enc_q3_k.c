/*
 * Q3_K: super-blocks of 256 codes of 3 bits in 16 sub-blocks of 16, w = (d (scale_j - 32)) (q - 4). The low two bits of the codes
 * lie as in Q2_K; bit k / 32 of byte k % 32 of `high` is the third bit of element k.
 */
#include "tensor/enc_common.h"
#include "tensor/encoding.h"
#include "tensor/fit_super.h"
#include "tensor/grid.h"

struct block_q3_k {
    uint8_t high[EL_QK_K / 8];
    uint8_t low[EL_QK_K / 4];
    uint8_t scales[12];
    uint8_t d[2];
};
_Static_assert(sizeof(struct block_q3_k) == 110, "Q3_K block is 110 bytes");

static const struct el_super_scale_kind kind = {
    .n_subs = 16, .sub_n = 16, .scale_lo = -32.0f, .scale_hi = 31.0f, .codes = {.lo = -4.0f, .hi = 3.0f}};

/* Scale j, 0..63: its low four bits are a nibble of bytes 0..7, the high two lie in byte 8 + j % 4. */
static int unpack_scale(const uint8_t scales[12], uint32_t j)
{
    return (scales[j % 8] >> (j / 8 * 4) & 15) | (scales[8 + j % 4] >> (j / 4 * 2) & 3) << 4;
}

static void decode_block(const uint8_t *p, float *out)
{
    const uint8_t *const high = p, *const low = p + 32, *const scales = p + 96;
    const float d = el_load_f16(p + 108);
    for (uint32_t j = 0; j < EL_QK_K / 16; j++) {
        const float s = d * (float)(unpack_scale(scales, j) - 32);
        const uint32_t at = j % 2 * 16;
        for (uint32_t i = 0; i < 16; i++) {
            const int q = (low[j / 8 * 32 + at + i] >> (j / 2 % 4 * 2) & 3) | (high[at + i] >> (j / 2) & 1) << 2;
            out[16 * j + i] = s * (float)(q - 4);
        }
    }
}

static void pack(const struct el_super_scale *fit, struct block_q3_k *out)
{
    memset(out, 0, sizeof *out);
    el_store_u16(out->d, fit->d);
    for (uint32_t j = 0; j < EL_QK_K / 16; j++) {
        const uint32_t scale = (uint32_t)(fit->scale[j] + 32);
        out->scales[j % 8] |= (uint8_t)((scale & 15) << (j / 8 * 4));
        out->scales[8 + j % 4] |= (uint8_t)((scale >> 4) << (j / 4 * 2));
    }
    for (uint32_t k = 0; k < EL_QK_K; k++) {
        const uint32_t q = (uint32_t)(fit->q[k] + 4);
        out->low[k / 128 * 32 + k % 32] |= (uint8_t)((q & 3) << (k / 32 % 4 * 2));
        out->high[k % 32] |= (uint8_t)((q >> 2) << (k / 32));
    }
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
        pack(&fit[b], (struct block_q3_k *)blocks + b);
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
    pack(&fit, (struct block_q3_k *)el_grid_place(enc, row, column, n_in, parts_out));
}

static const struct el_grid grid = {
    .sub_n = 16,
    .fit = grid_fit,
    .set = grid_set,
    .refit = grid_refit,
    .vary = grid_vary,
    .share = el_grid_super_share,
    .store = grid_store,
};

const struct el_encoding el_encoding_q3_k = {
    .name = "Q3_K",
    .about = "3.44 bits: super-blocks of 256, 6-bit scales per 16",
    .ggml_type = 11,
    .fallback = "Q4_0",
    .block_n = EL_QK_K,
    .block_nbytes = sizeof(struct block_q3_k),
    .parts = el_enc_block_parts,
    .decode = el_enc_block_decode,
    .encode = el_enc_block_encode,
    .n_bad_scales = el_enc_block_bad_f16,
    .decode_block = decode_block,
    .encode_block = encode_block,
    .search_blocks = search_blocks,
    .grid = &grid,
    .n_f16 = 1,
    .f16_at = {108},
};
