/*
 * Q6_K: super-blocks of 256 codes of 6 bits in 16 sub-blocks of 16, w = (d scale_j) (q - 32), scales signed bytes. Each half of
 * 128 elements has 64 bytes of low nibbles and 32 bytes of high pairs; element 32 g + i of a half (g 0..3) has its low bits in
 * byte (g & 1) * 32 + i, nibble g / 2, and its high bits in byte i, bits 2 g.
 */
#include "tensor/enc_common.h"
#include "tensor/encoding.h"
#include "tensor/fit_super.h"
#include "tensor/grid.h"

struct block_q6_k {
    uint8_t low[EL_QK_K / 2];
    uint8_t high[EL_QK_K / 4];
    int8_t scales[EL_QK_K / 16];
    uint8_t d[2];
};
_Static_assert(sizeof(struct block_q6_k) == 210, "Q6_K block is 210 bytes");

static const struct el_super_scale_kind kind = {
    .n_subs = 16, .sub_n = 16, .scale_lo = -128.0f, .scale_hi = 127.0f, .codes = {.lo = -32.0f, .hi = 31.0f}};

static void decode_block(const uint8_t *p, float *out)
{
    const uint8_t *low = p, *high = p + 128, *scales = p + 192;
    const float d = el_load_f16(p + 208);
    for (uint32_t half = 0; half < 2; half++, low += 64, high += 32, scales += 8, out += 128) {
        for (uint32_t g = 0; g < 4; g++) {
            const float d0 = d * (float)(int8_t)scales[2 * g], d1 = d * (float)(int8_t)scales[2 * g + 1];
            const uint8_t *const nibbles = low + (g & 1) * 32;
            for (uint32_t i = 0; i < 32; i++) {
                const int q = (nibbles[i] >> (g / 2 * 4) & 15) | (high[i] >> (2 * g) & 3) << 4;
                out[32 * g + i] = (i < 16 ? d0 : d1) * (float)(q - 32);
            }
        }
    }
}

static void pack(const struct el_super_scale *fit, struct block_q6_k *out)
{
    memset(out, 0, sizeof *out);
    el_store_u16(out->d, fit->d);
    memcpy(out->scales, fit->scale, sizeof out->scales);
    for (uint32_t k = 0; k < EL_QK_K; k++) {
        const uint32_t half = k / 128, g = k / 32 % 4, i = k % 32;
        const uint32_t q = (uint32_t)(fit->q[k] + 32);
        out->low[half * 64 + (g & 1) * 32 + i] |= (uint8_t)((q & 15) << (g / 2 * 4));
        out->high[half * 32 + i] |= (uint8_t)((q >> 4) << (2 * g));
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
        pack(&fit[b], (struct block_q6_k *)blocks + b);
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
    pack(&fit, (struct block_q6_k *)el_grid_place(enc, row, column, n_in, parts_out));
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

const struct el_encoding el_encoding_q6_k = {
    .name = "Q6_K",
    .about = "6.56 bits: super-blocks of 256, 8-bit scales per 16",
    .ggml_type = 14,
    .block_n = EL_QK_K,
    .block_nbytes = sizeof(struct block_q6_k),
    .parts = el_enc_block_parts,
    .decode = el_enc_block_decode,
    .encode = el_enc_block_encode,
    .n_bad_scales = el_enc_block_bad_f16,
    .decode_block = decode_block,
    .encode_block = encode_block,
    .search_blocks = search_blocks,
    .grid = &grid,
    .n_f16 = 1,
    .f16_at = {208},
};
