/*
 * Every encoding decodes any bytes, from buffers of the exact size. Input: encoding (1 byte), parameters (1), columns (2), then
 * the bytes of the parts one after the other, as many whole rows as they give.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "tensor/encoding.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t nbytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t nbytes)
{
    static const uint32_t groups[] = {0, 32, 64, 128};
    if (nbytes < 4)
        return 0;
    struct el_matrix m = {.enc = {.e = el_encoding_at(data[0] % EL_ENC_COUNT)}};
    if (m.enc.e->flags & EL_ENC_PARAMS) {
        m.enc.bits = (uint8_t)(2 + data[1] % 7);
        m.enc.group = groups[data[1] / 7 % 4];
        m.enc.zeros = data[1] / 28 % 2;
        m.enc.wide = data[1] / 56 % 2;
        m.enc.permuted = data[1] / 112 % 2;
    }
    const uint32_t block_n = m.enc.e->block_n;
    m.n_in = (uint64_t)(data[2] | (data[3] & 7) << 8);
    m.n_in = block_n > 1 ? (m.n_in % 8) * block_n : m.n_in;
    data += 4;
    nbytes -= 4;

    struct el_part_shape parts[EL_MAX_PARTS];
    uint32_t n_parts;
    if (!m.enc.e->parts(&m.enc, 1, m.n_in, parts, &n_parts))
        return 0;
    uint64_t row_nbytes = 0, shared_nbytes = 0;
    for (uint32_t p = 0; p < n_parts; p++) {
        row_nbytes += parts[p].row_nbytes;
        shared_nbytes += parts[p].row_nbytes ? 0 : parts[p].nbytes;
    }
    if (shared_nbytes > nbytes)
        return 0;
    m.n_rows = row_nbytes ? (nbytes - shared_nbytes) / row_nbytes : 1;
    if (m.n_rows > 64)
        m.n_rows = 64;
    uint8_t *copies[EL_MAX_PARTS] = {NULL};
    for (uint32_t p = 0; p < n_parts; p++) {
        const size_t n = (size_t)(parts[p].row_nbytes ? m.n_rows * parts[p].row_nbytes : parts[p].nbytes);
        copies[p] = malloc(n ? n : 1);
        if (!copies[p])
            abort();
        memcpy(copies[p], data, n);
        data += n;
        m.data[p] = copies[p];
        m.row_nbytes[p] = parts[p].row_nbytes;
    }
    const size_t n_elems = (size_t)(m.n_rows * m.n_in);
    float *const out = malloc(n_elems ? n_elems * sizeof *out : 1);
    if (!out)
        abort();
    el_matrix_decode(&m, 0, m.n_rows, out);
    /* Finite scales decode to finite numbers, and the counter of bad scales says so. */
    const uint64_t n_bad = m.enc.e->n_bad_scales ? m.enc.e->n_bad_scales(&m, 0, m.n_rows) : 1;
    for (size_t i = 0; i < n_elems && n_bad == 0 && !m.enc.wide; i++) {
        if (out[i] - out[i] != 0.0f)
            abort();
    }
    /* Checking an order of columns reads what decoding took on trust. */
    struct el_err err = {.code = EL_OK};
    const enum el_status status = el_matrix_check(&m, &err);
    if (status != EL_OK && (status != EL_E_FORMAT || !m.enc.permuted))
        abort();
    free(out);
    for (uint32_t p = 0; p < n_parts; p++)
        free(copies[p]);
    return 0;
}
