/*
 * Q1_0: blocks of 128 signs with one half-precision scale, w = d where the bit is set, else -d. Byte i holds elements 8 i to
 * 8 i + 7, lowest bit first.
 */
#include <math.h>

#include "tensor/enc_common.h"
#include "tensor/encoding.h"
#include "tensor/fit.h"
#include "tensor/grid.h"

enum { QK = 128 };
struct block_q1_0 {
    uint8_t d[2];
    uint8_t sign[QK / 8];
};
_Static_assert(sizeof(struct block_q1_0) == 18, "Q1_0 block is 18 bytes");

static void decode_block(const uint8_t *p, float *out)
{
    const float d = el_load_f16(p);
    for (uint32_t i = 0; i < QK; i++)
        out[i] = p[2 + i / 8] >> (i % 8) & 1 ? d : -d;
}

/* ggml's reference, to the byte: the mean of |x|, summed from the first to the last. */
static float mean_abs(const float *x)
{
    float sum = 0.0f;
    for (uint32_t i = 0; i < QK; i++)
        sum += fabsf(x[i]);
    return sum / QK;
}

/* The d of least sum w (|x| - d)^2: the weighted mean, in doubles, so that only its rounding to f16 is left. */
static float best_scale(const float *x, const float *w)
{
    double sum = 0.0, weights = 0.0;
    for (uint32_t i = 0; i < QK; i++) {
        const double weight = w ? (double)w[i] : 1.0;
        sum += weight * (double)fabsf(x[i]);
        weights += weight;
    }
    return weights > 0.0 ? (float)(sum / weights) : mean_abs(x);
}

static void encode_block(const float *x, const float *w, enum el_effort effort, void *block)
{
    struct block_q1_0 *const out = block;
    memset(out, 0, sizeof *out);
    el_store_u16(out->d, el_fit_f16(effort == EL_ENCODE_SEARCH ? best_scale(x, w) : mean_abs(x)));
    for (uint32_t i = 0; i < QK; i++)
        out->sign[i / 8] |= (uint8_t)((x[i] >= 0.0f) << (i % 8));
}

static const struct el_fit_levels signs = {.n = 2, .value = {-1.0f, 1.0f}};

static void grid_block(uint16_t d, struct el_grid_block *b)
{
    *b = (struct el_grid_block){.n = QK, .sub_n = QK, .lo = -1.0f, .hi = 1.0f, .levels = &signs, .d = d};
    b->step[0] = el_f16_to_f32(d);
    b->inverse[0] = el_fit_inverse(b->step[0]);
}

static void grid_fit(const struct el_enc *enc, const float *x, const float *w, uint32_t n_rows, uint32_t n, enum el_effort effort,
                     struct el_grid_block *b)
{
    (void)enc;
    (void)n;
    for (uint32_t r = 0; r < n_rows; r++) {
        const float *const at = x + (uint64_t)r * QK;
        grid_block(el_fit_f16(effort == EL_ENCODE_SEARCH ? best_scale(at, w) : mean_abs(at)), &b[r]);
    }
}

static void grid_set(const struct el_enc *enc, const float *step, const float *min, uint32_t n, struct el_grid_block *b)
{
    (void)enc;
    (void)min;
    (void)n;
    grid_block(el_fit_f16(step[0]), b);
}

static void grid_store(const struct el_enc *enc, const struct el_grid_block *b, const int16_t *level, uint64_t row,
                       uint64_t column, uint64_t n_in, uint8_t *const parts_out[EL_MAX_PARTS])
{
    struct block_q1_0 *const out = (struct block_q1_0 *)el_grid_place(enc, row, column, n_in, parts_out);
    memset(out, 0, sizeof *out);
    el_store_u16(out->d, b->d);
    for (uint32_t i = 0; i < QK; i++)
        out->sign[i / 8] |= (uint8_t)((level[i] > 0) << (i % 8));
}

static const struct el_grid grid = {
    .fit = grid_fit,
    .set = grid_set,
    .store = grid_store,
};

const struct el_encoding el_encoding_q1_0 = {
    .name = "Q1_0",
    .about = "1.125 bits: blocks of 128 signs, f16 scale",
    .ggml_type = 41,
    .fallback = "Q4_0",
    .block_n = QK,
    .block_nbytes = sizeof(struct block_q1_0),
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
