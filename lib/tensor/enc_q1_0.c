/*
 * Q1_0: blocks of 128 signs with one half-precision scale, w = d where the bit is set, else -d. Byte i holds elements 8 i to
 * 8 i + 7, lowest bit first.
 */
#include <math.h>

#include "tensor/enc_common.h"
#include "tensor/encoding.h"
#include "tensor/fit.h"

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
    .n_f16 = 1,
    .f16_at = {0},
};
