/*
 * Q5_0: blocks of 32 codes of 5 bits with one half-precision scale, w = d (q - 16). Byte i of `low` holds the low bits of codes
 * i (low nibble) and i + 16; bit i of `high`, a little-endian number, is the fifth bit of code i.
 */
#include "tensor/enc_common.h"
#include "tensor/encoding.h"
#include "tensor/fit.h"
#include "tensor/fit_tile.h"
#include "tensor/grid.h"

struct block_q5_0 {
    uint8_t d[2];
    uint8_t high[4];
    uint8_t low[EL_QK / 2];
};
_Static_assert(sizeof(struct block_q5_0) == 22, "Q5_0 block is 22 bytes");

static const struct el_fit_range range = {.lo = -16.0f, .hi = 15.0f};

static void decode_block(const uint8_t *p, float *out)
{
    const float d = el_load_f16(p);
    for (uint32_t i = 0; i < EL_QK; i++) {
        const int low = p[6 + i % 16] >> (i / 16 * 4) & 15, high = p[2 + i / 8] >> (i % 8) & 1;
        out[i] = (float)((low | high << 4) - 16) * d;
    }
}

static void pack(uint16_t d, const uint8_t q[EL_QK], struct block_q5_0 *out)
{
    memset(out, 0, sizeof *out);
    el_store_u16(out->d, d);
    for (uint32_t i = 0; i < EL_QK; i++) {
        out->low[i % 16] |= (uint8_t)((q[i] & 15) << (i / 16 * 4));
        out->high[i / 8] |= (uint8_t)((q[i] >> 4) << (i % 8));
    }
}

/* ggml's reference, to the byte; see Q4_0. */
static void encode_nearest(const float *x, struct block_q5_0 *out)
{
    const float d = el_fit_extent(x, EL_QK).signed_max / range.lo;
    const float inv = el_fit_inverse(d);
    uint8_t q[EL_QK];
    for (uint32_t i = 0; i < EL_QK; i++) {
        const float v = x[i] * inv + 16.5f;
        q[i] = (uint8_t)(v > 31.0f ? 31.0f : v);
    }
    pack(el_fit_f16(d), q, out);
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
    uint16_t d[EL_TILE];
    fns->scale(&tile, &range, d);
    for (uint32_t b = 0; b < n; b++) {
        int8_t q[EL_QK];
        uint8_t code[EL_QK];
        fns->scale_codes(x + EL_QK * b, EL_QK, el_f16_to_f32(d[b]), &range, q);
        for (uint32_t i = 0; i < EL_QK; i++)
            code[i] = (uint8_t)(q[i] + 16);
        pack(d[b], code, (struct block_q5_0 *)blocks + b);
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
    uint8_t code[EL_QK];
    for (uint32_t i = 0; i < EL_QK; i++)
        code[i] = (uint8_t)(level[i] + 16);
    pack(b->d, code, (struct block_q5_0 *)el_grid_place(enc, row, column, n_in, parts_out));
}

static const struct el_grid grid = {
    .fit = grid_fit,
    .set = grid_set,
    .store = grid_store,
};

const struct el_encoding el_encoding_q5_0 = {
    .name = "Q5_0",
    .about = "5.5 bits: blocks of 32 codes, f16 scale",
    .ggml_type = 6,
    .block_n = EL_QK,
    .block_nbytes = sizeof(struct block_q5_0),
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
