/* Q8_0: blocks of 32 signed bytes with one half-precision scale, w = d q. */
#include "tensor/enc_common.h"
#include "tensor/encoding.h"
#include "tensor/fit.h"

struct block_q8_0 {
    uint8_t d[2];
    int8_t q[EL_QK];
};
_Static_assert(sizeof(struct block_q8_0) == 34, "Q8_0 block is 34 bytes");

/* -128 is representable, but no writer uses it and some kernels cannot negate it. */
static const struct el_fit_range range = {-127.0f, 127.0f};

static void decode(const struct el_matrix *m, uint64_t row0, uint64_t n_rows, float *out)
{
    const uint64_t n_blocks = m->n_in / EL_QK;
    for (uint64_t r = row0; r < row0 + n_rows; r++) {
        const uint8_t *p = m->data[0] + r * m->row_nbytes[0];
        for (uint64_t b = 0; b < n_blocks; b++, p += sizeof(struct block_q8_0), out += EL_QK) {
            const float d = el_load_f16(p);
            for (uint32_t i = 0; i < EL_QK; i++)
                out[i] = (float)(int8_t)p[2 + i] * d;
        }
    }
}

/* Nearest, ties away from zero. |v| < 2^22. */
static float round_away(float v)
{
    const float whole = (float)(int32_t)v, rest = v - whole;
    return rest >= 0.5f ? whole + 1.0f : rest <= -0.5f ? whole - 1.0f : whole;
}

/* ggml's reference, to the byte: codes by the scale as it was before it was rounded to f16. */
static void encode_nearest(const float *x, struct block_q8_0 *out)
{
    const float d = el_fit_extent(x, EL_QK).abs_max / range.hi;
    const float inv = el_fit_inverse(d);
    el_store_u16(out->d, el_fit_f16(d));
    for (uint32_t i = 0; i < EL_QK; i++) {
        const float v = x[i] * inv;
        out->q[i] = (int8_t)round_away(v < range.lo ? range.lo : v > range.hi ? range.hi : v);
    }
}

static void encode_search(const float *x, const float *w, struct block_q8_0 *out)
{
    const uint16_t d = el_fit_scale_f16(x, w, EL_QK, range);
    el_store_u16(out->d, d);
    int16_t q[EL_QK];
    el_fit_scale_codes(x, EL_QK, el_f16_to_f32(d), range, q);
    for (uint32_t i = 0; i < EL_QK; i++)
        out->q[i] = (int8_t)q[i];
}

static void encode(const struct el_enc *enc, const float *x, const float *importance, uint64_t n_rows, uint64_t n_in,
                   enum el_effort effort, uint8_t *const parts_out[EL_MAX_PARTS])
{
    (void)enc;
    uint8_t *p = parts_out[0];
    for (uint64_t r = 0; r < n_rows; r++) {
        for (uint64_t c = 0; c < n_in; c += EL_QK, p += sizeof(struct block_q8_0)) {
            struct block_q8_0 block;
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

const struct el_encoding el_encoding_q8_0 = {
    .name = "Q8_0",
    .about = "8.5 bits: blocks of 32 signed bytes, f16 scale",
    .ggml_type = 8,
    .block_n = EL_QK,
    .block_nbytes = sizeof(struct block_q8_0),
    .parts = el_enc_block_parts,
    .decode = decode,
    .encode = encode,
    .n_bad_scales = n_bad_scales,
};
