/* BF16: 16-bit floating point (bfloat16). */
#include "tensor/enc_common.h"
#include "tensor/encoding.h"

static void decode(const struct el_matrix *m, uint64_t row0, uint64_t n_rows, float *out)
{
    for (uint64_t r = 0; r < n_rows; r++) {
        const uint8_t *const row = m->data[0] + (row0 + r) * m->row_nbytes[0];
        for (uint64_t i = 0; i < m->n_in; i++)
            out[r * m->n_in + i] = el_bf16_to_f32(el_load_u16(row + 2 * i));
    }
}

static void encode(const struct el_enc *enc, const float *x, const float *importance, uint64_t n_rows, uint64_t n_in,
                   enum el_effort effort, uint8_t *const parts_out[EL_MAX_PARTS])
{
    (void)enc;
    (void)importance;
    (void)effort;
    for (uint64_t i = 0; i < n_rows * n_in; i++)
        el_store_u16(parts_out[0] + 2 * i, el_f32_to_bf16(x[i]));
}

const struct el_encoding el_encoding_bf16 = {
    .name = "BF16",
    .about = "16-bit floating point (bfloat16)",
    .ggml_type = 30,
    .flags = EL_ENC_FLOAT,
    .block_n = 1,
    .block_nbytes = 2,
    .parts = el_enc_block_parts,
    .decode = decode,
    .encode = encode,
    .n_bad_scales = NULL,
};
