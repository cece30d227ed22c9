/*
 * Q6_K: super-blocks of 256 codes of 6 bits in 16 sub-blocks of 16, w = (d scale_j) (q - 32), scales signed bytes. Each half of
 * 128 elements has 64 bytes of low nibbles and 32 bytes of high pairs; element 32 g + i of a half (g 0..3) has its low bits in
 * byte (g & 1) * 32 + i, nibble g / 2, and its high bits in byte i, bits 2 g.
 */
#include "tensor/enc_common.h"
#include "tensor/encoding.h"
#include "tensor/fit_super.h"

struct block_q6_k {
    uint8_t low[EL_QK_K / 2];
    uint8_t high[EL_QK_K / 4];
    int8_t scales[EL_QK_K / 16];
    uint8_t d[2];
};
_Static_assert(sizeof(struct block_q6_k) == 210, "Q6_K block is 210 bytes");

static void decode_block(const uint8_t *p, float *out)
{
    const uint8_t *low = p, *high = p + 128, *scales = p + 192;
    const float d = el_load_f16(p + 208);
    for (uint32_t half = 0; half < 2; half++, low += 64, high += 32, scales += 8, out += 128) {
        for (uint32_t g = 0; g < 4; g++) {
            const float d0 = d * (float)(int8_t)scales[2 * g], d1 = d * (float)(int8_t)scales[2 * g + 1];
            const uint8_t *const nibbles = low + (g & 1) * 32;
            for (uint32_t i = 0; i < 32; i++) {
                const int q = (nibbles[i] >> (g / 2 * 4) & 15) | (high[i] >> (2 * g) & 3) << 4;
                out[32 * g + i] = (i < 16 ? d0 : d1) * (float)(q - 32);
            }
        }
    }
}

static void decode(const struct el_matrix *m, uint64_t row0, uint64_t n_rows, float *out)
{
    const uint64_t n_blocks = m->n_in / EL_QK_K;
    for (uint64_t r = row0; r < row0 + n_rows; r++) {
        const uint8_t *p = m->data[0] + r * m->row_nbytes[0];
        for (uint64_t b = 0; b < n_blocks; b++, p += sizeof(struct block_q6_k), out += EL_QK_K)
            decode_block(p, out);
    }
}

static void encode_block(const float *x, const float *w, enum el_effort effort, struct block_q6_k *out)
{
    struct el_super_scale fit;
    if (effort == EL_ENCODE_SEARCH)
        el_super_scale_search(x, w, -32.0f, 31.0f, &fit);
    else
        el_super_scale_nearest(x, -32.0f, 31.0f, &fit);
    memset(out, 0, sizeof *out);
    el_store_u16(out->d, fit.d);
    memcpy(out->scales, fit.scale, sizeof out->scales);
    for (uint32_t k = 0; k < EL_QK_K; k++) {
        const uint32_t half = k / 128, g = k / 32 % 4, i = k % 32;
        const uint32_t q = (uint32_t)(fit.q[k] + 32);
        out->low[half * 64 + (g & 1) * 32 + i] |= (uint8_t)((q & 15) << (g / 2 * 4));
        out->high[half * 32 + i] |= (uint8_t)((q >> 4) << (2 * g));
    }
}

static void encode(const struct el_enc *enc, const float *x, const float *importance, uint64_t n_rows, uint64_t n_in,
                   enum el_effort effort, uint8_t *const parts_out[EL_MAX_PARTS])
{
    (void)enc;
    uint8_t *p = parts_out[0];
    for (uint64_t r = 0; r < n_rows; r++) {
        for (uint64_t c = 0; c < n_in; c += EL_QK_K, p += sizeof(struct block_q6_k)) {
            struct block_q6_k block;
            encode_block(x + r * n_in + c, importance ? importance + c : NULL, effort, &block);
            memcpy(p, &block, sizeof block);
        }
    }
}

static uint64_t n_bad_scales(const struct el_matrix *m, uint64_t row0, uint64_t n_rows)
{
    return el_enc_count_bad_f16(m, row0, n_rows, 208, 208);
}

const struct el_encoding el_encoding_q6_k = {
    .name = "Q6_K",
    .about = "6.56 bits: super-blocks of 256, 8-bit scales per 16",
    .ggml_type = 14,
    .block_n = EL_QK_K,
    .block_nbytes = sizeof(struct block_q6_k),
    .parts = el_enc_block_parts,
    .decode = decode,
    .encode = encode,
    .n_bad_scales = n_bad_scales,
};
