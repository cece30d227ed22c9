/*
 * IQ4_NL: blocks of 32 codes of 4 bits with one half-precision scale; a code stands for one of 16 levels, which lie closer
 * together about zero. w = d level(q). Byte i holds codes i (low) and i + 16 (high).
 */
#include "tensor/enc_common.h"
#include "tensor/encoding.h"
#include "tensor/fit.h"
#include "tensor/fit_tile.h"
#include "tensor/grid.h"
#include "tensor/iq4_levels.h"

struct block_iq4_nl {
    uint8_t d[2];
    uint8_t q[EL_QK / 2];
};
_Static_assert(sizeof(struct block_iq4_nl) == 18, "IQ4_NL block is 18 bytes");

static const struct el_fit_range range = {.lo = -127.0f, .hi = 113.0f, .levels = &el_iq4_levels};

static void decode_block(const uint8_t *p, float *out)
{
    const float d = el_load_f16(p);
    for (uint32_t i = 0; i < EL_QK / 2; i++) {
        out[i] = d * el_iq4_levels.value[p[2 + i] & 15];
        out[i + EL_QK / 2] = d * el_iq4_levels.value[p[2 + i] >> 4];
    }
}

static void pack(const float *x, uint16_t d, struct block_iq4_nl *out)
{
    int8_t level[EL_QK];
    el_tile_fns()->scale_codes(x, EL_QK, el_f16_to_f32(d), &range, level);
    el_store_u16(out->d, d);
    for (uint32_t i = 0; i < EL_QK / 2; i++)
        out->q[i] = (uint8_t)(el_iq4_code(level[i]) | el_iq4_code(level[i + EL_QK / 2]) << 4);
}

static void encode_block(const float *x, const float *w, enum el_effort effort, void *block)
{
    (void)w;
    (void)effort;
    pack(x, el_fit_f16(el_fit_extent(x, EL_QK).signed_max / range.lo), block);
}

static void search_blocks(const float *x, const float *const *w, uint32_t n, void *blocks)
{
    const struct el_tile tile = {.x = x, .w = w, .n_blocks = n, .n = EL_QK};
    uint16_t d[EL_TILE];
    el_tile_fns()->scale(&tile, &range, d);
    for (uint32_t b = 0; b < n; b++)
        pack(x + EL_QK * b, d[b], (struct block_iq4_nl *)blocks + b);
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
    struct block_iq4_nl *const out = (struct block_iq4_nl *)el_grid_place(enc, row, column, n_in, parts_out);
    el_store_u16(out->d, b->d);
    for (uint32_t i = 0; i < EL_QK / 2; i++)
        out->q[i] = (uint8_t)(el_iq4_code(level[i]) | el_iq4_code(level[i + EL_QK / 2]) << 4);
}

static const struct el_grid grid = {
    .fit = grid_fit,
    .set = grid_set,
    .store = grid_store,
};

const struct el_encoding el_encoding_iq4_nl = {
    .name = "IQ4_NL",
    .about = "4.5 bits: blocks of 32 codes of uneven levels, f16 scale",
    .ggml_type = 20,
    .block_n = EL_QK,
    .block_nbytes = sizeof(struct block_iq4_nl),
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
