/*
 * Q4_1: blocks of 32 codes of 4 bits with half-precision scale and offset, w = d q + m. Byte i holds codes i (low) and i + 16
 * (high).
 */
#include "tensor/enc_common.h"
#include "tensor/encoding.h"
#include "tensor/fit.h"
#include "tensor/fit_tile.h"
#include "tensor/grid.h"

struct block_q4_1 {
    uint8_t d[2], m[2];
    uint8_t q[EL_QK / 2];
};
_Static_assert(sizeof(struct block_q4_1) == 20, "Q4_1 block is 20 bytes");

static void decode_block(const uint8_t *p, float *out)
{
    const float d = el_load_f16(p), m = el_load_f16(p + 2);
    for (uint32_t i = 0; i < EL_QK / 2; i++) {
        out[i] = (float)(p[4 + i] & 15) * d + m;
        out[i + EL_QK / 2] = (float)(p[4 + i] >> 4) * d + m;
    }
}

static void pack(const struct el_fit_offset *fit, struct block_q4_1 *out)
{
    el_store_u16(out->d, fit->d);
    el_store_u16(out->m, fit->m);
    for (uint32_t i = 0; i < EL_QK / 2; i++)
        out->q[i] = (uint8_t)(fit->q[i] | fit->q[i + EL_QK / 2] << 4);
}

static void encode_block(const float *x, const float *w, enum el_effort effort, void *block)
{
    (void)w;
    (void)effort;
    struct el_fit_offset fit;
    el_fit_offset_nearest(x, 15.0f, &fit);
    pack(&fit, block);
}

static void search_blocks(const float *x, const float *const *w, uint32_t n, void *blocks)
{
    const struct el_tile tile = {.x = x, .w = w, .n_blocks = n, .n = EL_QK};
    const struct el_tile_fns *const fns = el_tile_fns();
    uint16_t d[EL_TILE], m[EL_TILE];
    fns->offset(&tile, 15.0f, d, m);
    for (uint32_t b = 0; b < n; b++) {
        struct el_fit_offset fit = {.d = d[b], .m = m[b]};
        fns->affine_codes(x + EL_QK * b, EL_QK, el_f16_to_f32(d[b]), -el_f16_to_f32(m[b]), 15.0f, fit.q);
        pack(&fit, (struct block_q4_1 *)blocks + b);
    }
}

static void grid_fit(const struct el_enc *enc, const float *x, const float *w, uint32_t n_rows, uint32_t n, enum el_effort effort,
                     struct el_grid_block *b)
{
    (void)enc;
    (void)n;
    el_grid_offset_fit(15.0f, x, w, n_rows, effort, b);
}

static void grid_set(const struct el_enc *enc, const float *step, const float *min, uint32_t n, struct el_grid_block *b)
{
    (void)enc;
    (void)n;
    el_grid_offset_set(15.0f, step[0], min ? min[0] : 0.0f, b);
}

static void grid_store(const struct el_enc *enc, const struct el_grid_block *b, const int16_t *level, uint64_t row,
                       uint64_t column, uint64_t n_in, uint8_t *const parts_out[EL_MAX_PARTS])
{
    struct el_fit_offset fit = {.d = b->d, .m = b->dmin};
    for (uint32_t i = 0; i < EL_QK; i++)
        fit.q[i] = (uint8_t)level[i];
    pack(&fit, (struct block_q4_1 *)el_grid_place(enc, row, column, n_in, parts_out));
}

static const struct el_grid grid = {
    .mins = true,
    .fit = grid_fit,
    .set = grid_set,
    .store = grid_store,
};

const struct el_encoding el_encoding_q4_1 = {
    .name = "Q4_1",
    .about = "5 bits: blocks of 32 4-bit codes, f16 scale and offset",
    .ggml_type = 3,
    .block_n = EL_QK,
    .block_nbytes = sizeof(struct block_q4_1),
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
