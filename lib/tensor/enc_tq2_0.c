/*
 * TQ2_0: super-blocks of 256 ternary codes of 2 bits with one half-precision scale, w = d (q - 1). Byte 32 h + i holds
 * elements i, i + 32, i + 64, i + 96 of half h, lowest bits first.
 */
#include "tensor/enc_common.h"
#include "tensor/encoding.h"
#include "tensor/fit.h"

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
    .n_f16 = 1,
    .f16_at = {64},
};
