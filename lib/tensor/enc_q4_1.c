/*
 * Q4_1: blocks of 32 codes of 4 bits with half-precision scale and offset, w = d q + m. Byte i holds codes i (low) and i + 16
 * (high).
 */
#include "tensor/enc_common.h"
#include "tensor/encoding.h"
#include "tensor/fit.h"

struct block_q4_1 {
    uint8_t d[2], m[2];
    uint8_t q[EL_QK / 2];
};
_Static_assert(sizeof(struct block_q4_1) == 20, "Q4_1 block is 20 bytes");

static void decode_block(const uint8_t *p, float *out)
{
    const float d = el_load_f16(p), m = el_load_f16(p + 2);
    for (uint32_t i = 0; i < EL_QK / 2; i++) {
        out[i] = (float)(p[4 + i] & 15) * d + m;
        out[i + EL_QK / 2] = (float)(p[4 + i] >> 4) * d + m;
    }
}

static void encode_block(const float *x, const float *w, enum el_effort effort, void *block)
{
    struct block_q4_1 *const out = block;
    struct el_fit_offset fit;
    if (effort == EL_ENCODE_SEARCH)
        el_fit_offset_search(x, w, 15.0f, &fit);
    else
        el_fit_offset_nearest(x, 15.0f, &fit);
    el_store_u16(out->d, fit.d);
    el_store_u16(out->m, fit.m);
    for (uint32_t i = 0; i < EL_QK / 2; i++)
        out->q[i] = (uint8_t)(fit.q[i] | fit.q[i + EL_QK / 2] << 4);
}

const struct el_encoding el_encoding_q4_1 = {
    .name = "Q4_1",
    .about = "5 bits: blocks of 32 4-bit codes, f16 scale and offset",
    .ggml_type = 3,
    .block_n = EL_QK,
    .block_nbytes = sizeof(struct block_q4_1),
    .parts = el_enc_block_parts,
    .decode = el_enc_block_decode,
    .encode = el_enc_block_encode,
    .n_bad_scales = el_enc_block_bad_f16,
    .decode_block = decode_block,
    .encode_block = encode_block,
    .n_f16 = 2,
    .f16_at = {0, 2},
};
