/*
 * Q5_1: blocks of 32 codes of 5 bits with half-precision scale and offset, w = d q + m. The codes lie as in Q5_0: byte i of `low`
 * holds the low bits of codes i (low nibble) and i + 16; bit i of `high`, a little-endian number, is the fifth bit of code i.
 */
#include "tensor/enc_common.h"
#include "tensor/encoding.h"
#include "tensor/fit.h"
#include "tensor/fit_tile.h"
#include "tensor/grid.h"

struct block_q5_1 {
    uint8_t d[2], m[2];
    uint8_t high[4];
    uint8_t low[EL_QK / 2];
};
_Static_assert(sizeof(struct block_q5_1) == 24, "Q5_1 block is 24 bytes");

static void decode_block(const uint8_t *p, float *out)
{
    const float d = el_load_f16(p), m = el_load_f16(p + 2);
    for (uint32_t i = 0; i < EL_QK; i++) {
        const int low = p[8 + i % 16] >> (i / 16 * 4) & 15, high = p[4 + i / 8] >> (i % 8) & 1;
        out[i] = (float)(low | high << 4) * d + m;
    }
}

/*
 * Where nothing else is known, large weights count more (half by their square): with as many codes as here the error is small,
 * and what clipping the extremes costs shows in the perplexity before it shows in the squared error.
 */
static void own_weights(const float *x, float w[EL_QK])
{
    float sum = 0.0f;
    for (uint32_t i = 0; i < EL_QK; i++)
        sum += x[i] * x[i];
    for (uint32_t i = 0; i < EL_QK; i++)
        w[i] = sum * (1.0f / EL_QK) + x[i] * x[i];
}

static void pack(const struct el_fit_offset *fit, struct block_q5_1 *out)
{
    memset(out, 0, sizeof *out);
    el_store_u16(out->d, fit->d);
    el_store_u16(out->m, fit->m);
    for (uint32_t i = 0; i < EL_QK; i++) {
        out->low[i % 16] |= (uint8_t)((fit->q[i] & 15) << (i / 16 * 4));
        out->high[i / 8] |= (uint8_t)((fit->q[i] >> 4) << (i % 8));
    }
}

static void encode_block(const float *x, const float *w, enum el_effort effort, void *block)
{
    (void)w;
    (void)effort;
    struct el_fit_offset fit;
    el_fit_offset_nearest(x, 31.0f, &fit);
    pack(&fit, block);
}

static void search_blocks(const float *x, const float *const *w, uint32_t n, void *blocks)
{
    float own[EL_TILE][EL_QK];
    const float *own_of[EL_TILE];
    for (uint32_t b = 0; b < n && !w; b++) {
        own_weights(x + EL_QK * b, own[b]);
        own_of[b] = own[b];
    }
    const struct el_tile tile = {.x = x, .w = w ? w : own_of, .n_blocks = n, .n = EL_QK};
    const struct el_tile_fns *const fns = el_tile_fns();
    uint16_t d[EL_TILE], m[EL_TILE];
    fns->offset(&tile, 31.0f, d, m);
    for (uint32_t b = 0; b < n; b++) {
        struct el_fit_offset fit = {.d = d[b], .m = m[b]};
        fns->affine_codes(x + EL_QK * b, EL_QK, el_f16_to_f32(d[b]), -el_f16_to_f32(m[b]), 31.0f, fit.q);
        pack(&fit, (struct block_q5_1 *)blocks + b);
    }
}

static void grid_fit(const struct el_enc *enc, const float *x, const float *w, uint32_t n_rows, uint32_t n, enum el_effort effort,
                     struct el_grid_block *b)
{
    (void)enc;
    (void)n;
    el_grid_offset_fit(31.0f, x, w, n_rows, effort, b);
}

static void grid_set(const struct el_enc *enc, const float *step, const float *min, uint32_t n, struct el_grid_block *b)
{
    (void)enc;
    (void)n;
    el_grid_offset_set(31.0f, step[0], min ? min[0] : 0.0f, b);
}

static void grid_store(const struct el_enc *enc, const struct el_grid_block *b, const int16_t *level, uint64_t row,
                       uint64_t column, uint64_t n_in, uint8_t *const parts_out[EL_MAX_PARTS])
{
    struct el_fit_offset fit = {.d = b->d, .m = b->dmin};
    for (uint32_t i = 0; i < EL_QK; i++)
        fit.q[i] = (uint8_t)level[i];
    pack(&fit, (struct block_q5_1 *)el_grid_place(enc, row, column, n_in, parts_out));
}

static const struct el_grid grid = {
    .mins = true,
    .fit = grid_fit,
    .set = grid_set,
    .store = grid_store,
};

const struct el_encoding el_encoding_q5_1 = {
    .name = "Q5_1",
    .about = "6 bits: blocks of 32 5-bit codes, f16 scale and offset",
    .ggml_type = 7,
    .block_n = EL_QK,
    .block_nbytes = sizeof(struct block_q5_1),
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
