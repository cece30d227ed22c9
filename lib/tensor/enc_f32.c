/* F32: 32-bit floating point. */
#include "tensor/enc_common.h"
#include "tensor/encoding.h"

static void decode(const struct el_matrix *m, uint64_t row0, uint64_t n_rows, float *out)
{
    for (uint64_t r = 0; r < n_rows; r++)
        memcpy(out + r * m->n_in, m->data[0] + (row0 + r) * m->row_nbytes[0], m->n_in * sizeof(float));
}

static void encode(const struct el_enc *enc, const float *x, const float *importance, uint64_t n_rows, uint64_t n_in,
                   enum el_effort effort, uint8_t *const parts_out[EL_MAX_PARTS])
{
    (void)enc;
    (void)importance;
    (void)effort;
    memcpy(parts_out[0], x, n_rows * n_in * sizeof(float));
}

const struct el_encoding el_encoding_f32 = {
    .name = "F32",
    .about = "32-bit floating point",
    .ggml_type = 0,
    .flags = EL_ENC_FLOAT,
    .block_n = 1,
    .block_nbytes = 4,
    .parts = el_enc_block_parts,
    .decode = decode,
    .encode = encode,
    .n_bad_scales = NULL,
};
