/*
 * Q2_0: blocks of 64 codes of 2 bits with one half-precision scale, w = d (q - 1): -d, 0, d, 2 d. Byte i holds elements 4 i to
 * 4 i + 3, lowest bits first. ggml made it for models trained with weights -1, 0 and 1 times a scale, whose bytes are the same
 * by both efforts; what lies on no such grid gets a scale of either sign by search.
 */
#include "tensor/enc_common.h"
#include "tensor/encoding.h"
#include "tensor/fit.h"
#include "tensor/grid.h"

enum { QK = 64 };
struct block_q2_0 {
    uint8_t d[2];
    uint8_t q[QK / 4];
};
_Static_assert(sizeof(struct block_q2_0) == 18, "Q2_0 block is 18 bytes");

static const struct el_fit_range range = {.lo = -1.0f, .hi = 2.0f};

static void decode_block(const uint8_t *p, float *out)
{
    const float d = el_load_f16(p);
    for (uint32_t i = 0; i < QK; i++)
        out[i] = (float)((p[2 + i / 4] >> (i % 4 * 2) & 3) - 1) * d;
}

/* ggml's reference, to the byte: the largest magnitude is d, so that code 3 stays unused. */
static void encode_nearest(const float *x, struct block_q2_0 *out)
{
    const float d = el_fit_extent(x, QK).abs_max, inv = el_fit_inverse(d);
    el_store_u16(out->d, el_fit_f16(d));
    for (uint32_t i = 0; i < QK; i++)
        out->q[i / 4] |= (uint8_t)(((int)el_round_away(x[i] * inv) + 1) << (i % 4 * 2));
}

static void encode_search(const float *x, const float *w, struct block_q2_0 *out)
{
    const uint16_t plain = el_fit_f16(el_fit_extent(x, QK).abs_max), found = el_fit_scale_f16(x, w, QK, range);
    const float rr_plain = el_fit_scale_eval(x, w, QK, el_f16_to_f32(plain), range).rr;
    const uint16_t d = el_fit_scale_eval(x, w, QK, el_f16_to_f32(found), range).rr < rr_plain ? found : plain;
    int16_t q[QK];
    el_fit_scale_codes(x, QK, el_f16_to_f32(d), range, q);
    el_store_u16(out->d, d);
    for (uint32_t i = 0; i < QK; i++)
        out->q[i / 4] |= (uint8_t)((q[i] + 1) << (i % 4 * 2));
}

static void encode_block(const float *x, const float *w, enum el_effort effort, void *block)
{
    memset(block, 0, sizeof(struct block_q2_0));
    if (effort == EL_ENCODE_SEARCH)
        encode_search(x, w, block);
    else
        encode_nearest(x, block);
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
    struct block_q2_0 *const out = (struct block_q2_0 *)el_grid_place(enc, row, column, n_in, parts_out);
    memset(out, 0, sizeof *out);
    el_store_u16(out->d, b->d);
    for (uint32_t i = 0; i < QK; i++)
        out->q[i / 4] |= (uint8_t)((level[i] + 1) << (i % 4 * 2));
}

static const struct el_grid grid = {
    .fit = grid_fit,
    .set = grid_set,
    .store = grid_store,
};

const struct el_encoding el_encoding_q2_0 = {
    .name = "Q2_0",
    .about = "2.25 bits: blocks of 64 codes -1, 0, 1, 2, f16 scale",
    .ggml_type = 42,
    .fallback = "Q4_0",
    .block_n = QK,
    .block_nbytes = sizeof(struct block_q2_0),
    .parts = el_enc_block_parts,
    .decode = el_enc_block_decode,
    .encode = el_enc_block_encode,
    .n_bad_scales = el_enc_block_bad_f16,
    .decode_block = decode_block,
    .encode_block = encode_block,
    .grid = &grid,
    .n_f16 = 1,
    .f16_at = {0},
};
