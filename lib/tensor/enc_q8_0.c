/* Q8_0: blocks of 32 signed bytes with one half-precision scale, w = d q. */
#include "tensor/enc_common.h"
#include "tensor/encoding.h"
#include "tensor/fit.h"
#include "tensor/fit_tile.h"
#include "tensor/grid.h"

struct block_q8_0 {
    uint8_t d[2];
    int8_t q[EL_QK];
};
_Static_assert(sizeof(struct block_q8_0) == 34, "Q8_0 block is 34 bytes");

/* -128 is representable, but no writer uses it and some kernels cannot negate it. */
static const struct el_fit_range range = {.lo = -127.0f, .hi = 127.0f};

static void decode_block(const uint8_t *p, float *out)
{
    const float d = el_load_f16(p);
    for (uint32_t i = 0; i < EL_QK; i++)
        out[i] = (float)(int8_t)p[2 + i] * d;
}

/* ggml's reference, to the byte: codes by the scale as it was before it was rounded to f16. */
static void encode_nearest(const float *x, struct block_q8_0 *out)
{
    const float d = el_fit_extent(x, EL_QK).abs_max / range.hi;
    const float inv = el_fit_inverse(d);
    el_store_u16(out->d, el_fit_f16(d));
    for (uint32_t i = 0; i < EL_QK; i++) {
        const float v = x[i] * inv;
        out->q[i] = (int8_t)el_round_away(v < range.lo ? range.lo : v > range.hi ? range.hi : v);
    }
}

static void encode_block(const float *x, const float *w, enum el_effort effort, void *block)
{
    (void)w;
    (void)effort;
    encode_nearest(x, block);
}

static void search_blocks(const float *x, const float *const *w, uint32_t n, void *blocks)
{
    const struct el_tile tile = {.x = x, .w = w, .n_blocks = n, .n = EL_QK};
    const struct el_tile_fns *const fns = el_tile_fns();
    struct block_q8_0 *const out = blocks;
    uint16_t d[EL_TILE];
    if (w)
        fns->scale(&tile, &range, d);
    else
        fns->bytes(&tile, d, out->q, sizeof *out);
    for (uint32_t b = 0; b < n; b++) {
        if (w)
            fns->scale_codes(x + EL_QK * b, EL_QK, el_f16_to_f32(d[b]), &range, out[b].q);
        el_store_u16(out[b].d, d[b]);
    }
}

static void grid_fit(const struct el_enc *enc, const float *x, const float *w, uint32_t n_rows, uint32_t n, enum el_effort effort,
                     struct el_grid_block *b)
{
    (void)enc;
    el_grid_plain_fit(&range, x, w, n_rows, n, effort, b);
}

static void grid_set(const struct el_enc *enc, const float *step, const float *min, uint32_t n, struct el_grid_block *b)
{
    (void)enc;
    (void)min;
    el_grid_plain_set(&range, step[0], n, b);
}

static void grid_store(const struct el_enc *enc, const struct el_grid_block *b, const int16_t *level, uint64_t row,
                       uint64_t column, uint64_t n_in, uint8_t *const parts_out[EL_MAX_PARTS])
{
    struct block_q8_0 *const out = (struct block_q8_0 *)el_grid_place(enc, row, column, n_in, parts_out);
    el_store_u16(out->d, b->d);
    for (uint32_t i = 0; i < EL_QK; i++)
        out->q[i] = (int8_t)level[i];
}

static const struct el_grid grid = {
    .fit = grid_fit,
    .set = grid_set,
    .store = grid_store,
};

const struct el_encoding el_encoding_q8_0 = {
    .name = "Q8_0",
    .about = "8.5 bits: blocks of 32 signed bytes, f16 scale",
    .ggml_type = 8,
    .block_n = EL_QK,
    .block_nbytes = sizeof(struct block_q8_0),
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
