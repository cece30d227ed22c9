/*
 * Q4_0: blocks of 32 codes of 4 bits with one half-precision scale, w = d (q - 8). Byte i holds codes i (low) and i + 16 (high).
 */
#include "tensor/enc_common.h"
#include "tensor/encoding.h"
#include "tensor/fit.h"

struct block_q4_0 {
    uint8_t d[2];
    uint8_t q[EL_QK / 2];
};
_Static_assert(sizeof(struct block_q4_0) == 18, "Q4_0 block is 18 bytes");

static const struct el_fit_range range = {-8.0f, 7.0f};

static void decode(const struct el_matrix *m, uint64_t row0, uint64_t n_rows, float *out)
{
    const uint64_t n_blocks = m->n_in / EL_QK;
    for (uint64_t r = row0; r < row0 + n_rows; r++) {
        const uint8_t *p = m->data[0] + r * m->row_nbytes[0];
        for (uint64_t b = 0; b < n_blocks; b++, p += sizeof(struct block_q4_0), out += EL_QK) {
            const float d = el_load_f16(p);
            for (uint32_t i = 0; i < EL_QK / 2; i++) {
                out[i] = (float)((p[2 + i] & 15) - 8) * d;
                out[i + EL_QK / 2] = (float)((p[2 + i] >> 4) - 8) * d;
            }
        }
    }
}

/*
 * ggml's reference, to the byte: the element of largest magnitude gets code 0 (-8, the end that reaches farther), so the scale
 * takes the other sign; codes by the scale as it was before it was rounded to f16, halves up.
 */
static void encode_nearest(const float *x, struct block_q4_0 *out)
{
    const float d = el_fit_extent(x, EL_QK).signed_max / range.lo;
    const float inv = el_fit_inverse(d);
    uint8_t q[EL_QK];
    for (uint32_t i = 0; i < EL_QK; i++) {
        const float v = x[i] * inv + 8.5f;
        q[i] = (uint8_t)(v > 15.0f ? 15.0f : v);
    }
    el_store_u16(out->d, el_fit_f16(d));
    for (uint32_t i = 0; i < EL_QK / 2; i++)
        out->q[i] = (uint8_t)(q[i] | q[i + EL_QK / 2] << 4);
}

static void encode_search(const float *x, const float *w, struct block_q4_0 *out)
{
    const uint16_t d = el_fit_scale_f16(x, w, EL_QK, range);
    int16_t q[EL_QK];
    el_fit_scale_codes(x, EL_QK, el_f16_to_f32(d), range, q);
    el_store_u16(out->d, d);
    for (uint32_t i = 0; i < EL_QK / 2; i++)
        out->q[i] = (uint8_t)((q[i] + 8) | (q[i + EL_QK / 2] + 8) << 4);
}

static void encode(const struct el_enc *enc, const float *x, const float *importance, uint64_t n_rows, uint64_t n_in,
                   enum el_effort effort, uint8_t *const parts_out[EL_MAX_PARTS])
{
    (void)enc;
    uint8_t *p = parts_out[0];
    for (uint64_t r = 0; r < n_rows; r++) {
        for (uint64_t c = 0; c < n_in; c += EL_QK, p += sizeof(struct block_q4_0)) {
            struct block_q4_0 block;
            if (effort == EL_ENCODE_SEARCH)
                encode_search(x + r * n_in + c, importance ? importance + c : NULL, &block);
            else
                encode_nearest(x + r * n_in + c, &block);
            memcpy(p, &block, sizeof block);
        }
    }
}

static uint64_t n_bad_scales(const struct el_matrix *m, uint64_t row0, uint64_t n_rows)
{
    return el_enc_count_bad_f16(m, row0, n_rows, 0, 0);
}

const struct el_encoding el_encoding_q4_0 = {
    .name = "Q4_0",
    .about = "4.5 bits: blocks of 32 codes, f16 scale",
    .ggml_type = 2,
    .block_n = EL_QK,
    .block_nbytes = sizeof(struct block_q4_0),
    .parts = el_enc_block_parts,
    .decode = decode,
    .encode = encode,
    .n_bad_scales = n_bad_scales,
};
