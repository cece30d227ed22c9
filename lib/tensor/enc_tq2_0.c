/*
 * TQ2_0: super-blocks of 256 ternary codes of 2 bits with one half-precision scale, w = d (q - 1). Byte 32 h + i holds
 * elements i, i + 32, i + 64, i + 96 of half h, lowest bits first.
 */
#include "tensor/enc_common.h"
#include "tensor/encoding.h"
#include "tensor/fit.h"
#include "tensor/grid.h"

struct block_tq2_0 {
    uint8_t q[EL_QK_K / 4];
    uint8_t d[2];
};
_Static_assert(sizeof(struct block_tq2_0) == 66, "TQ2_0 block is 66 bytes");

static void decode_block(const uint8_t *p, float *out)
{
    const float d = el_load_f16(p + 64);
    for (uint32_t k = 0; k < EL_QK_K; k++)
        out[k] = d * (float)((p[k / 128 * 32 + k % 32] >> (k / 32 % 4 * 2) & 3) - 1);
}

/* As ggml's reference, to the byte, whatever the effort: files in these types come from weights that are ternary already. */
static void encode_block(const float *x, const float *w, enum el_effort effort, void *block)
{
    (void)w;
    (void)effort;
    struct block_tq2_0 *const out = block;
    const float d = el_fit_extent(x, EL_QK_K).abs_max;
    const float inv = el_fit_inverse(d);
    memset(out, 0, sizeof *out);
    el_store_u16(out->d, el_fit_f16(d));
    for (uint32_t k = 0; k < EL_QK_K; k++)
        out->q[k / 128 * 32 + k % 32] |= (uint8_t)(((int)el_round_away(x[k] * inv) + 1) << (k / 32 % 4 * 2));
}

static const struct el_fit_range range = {.lo = -1.0f, .hi = 1.0f};

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
    struct block_tq2_0 *const out = (struct block_tq2_0 *)el_grid_place(enc, row, column, n_in, parts_out);
    memset(out, 0, sizeof *out);
    el_store_u16(out->d, b->d);
    for (uint32_t k = 0; k < EL_QK_K; k++)
        out->q[k / 128 * 32 + k % 32] |= (uint8_t)((level[k] + 1) << (k / 32 % 4 * 2));
}

static const struct el_grid grid = {
    .fit = grid_fit,
    .set = grid_set,
    .store = grid_store,
};

const struct el_encoding el_encoding_tq2_0 = {
    .name = "TQ2_0",
    .about = "2.06 bits: super-blocks of 256 codes -1, 0, 1, four to a byte, f16 scale",
    .ggml_type = 35,
    .fallback = "Q4_0",
    .block_n = EL_QK_K,
    .block_nbytes = sizeof(struct block_tq2_0),
    .parts = el_enc_block_parts,
    .decode = el_enc_block_decode,
    .encode = el_enc_block_encode,
    .n_bad_scales = el_enc_block_bad_f16,
    .decode_block = decode_block,
    .encode_block = encode_block,
    .grid = &grid,
    .n_f16 = 1,
    .f16_at = {64},
};
