/*
 * Every encoding encodes any finite numbers into buffers of the exact size, to the same bytes twice, and what it wrote decodes to
 * finite numbers with no bad scale. Input: encoding (1 byte), parameters (1), columns with two flags (2), then the numbers: a row
 * of importance when the first flag is set, and as many whole rows of weights as are left.
 */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "tensor/encoding.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t nbytes);

static void *must_alloc(size_t nbytes)
{
    void *const p = malloc(nbytes ? nbytes : 1);
    if (!p)
        abort();
    return p;
}

/* The next n numbers; what is not finite (or negative, where it must not be) becomes 0. */
static float *floats(const uint8_t *data, size_t n, int allow_negative)
{
    float *const x = must_alloc(n * sizeof *x);
    memcpy(x, data, n * sizeof *x);
    for (size_t i = 0; i < n; i++) {
        if (!isfinite(x[i]) || (x[i] < 0 && !allow_negative))
            x[i] = 0;
    }
    return x;
}

static void check(const struct el_enc *enc, const float *x, const float *importance, uint64_t n_rows, uint64_t n_in,
                  enum el_effort effort)
{
    struct el_part_shape parts[EL_MAX_PARTS];
    uint32_t n_parts;
    if (!enc->e->parts(enc, n_rows, n_in, parts, &n_parts))
        return;
    struct el_matrix m = {.enc = *enc, .n_rows = n_rows, .n_in = n_in};
    uint8_t *first[EL_MAX_PARTS] = {NULL}, *second[EL_MAX_PARTS] = {NULL};
    for (uint32_t p = 0; p < n_parts; p++) {
        first[p] = must_alloc((size_t)parts[p].nbytes);
        second[p] = must_alloc((size_t)parts[p].nbytes);
        memset(first[p], 0, (size_t)parts[p].nbytes);
        memset(second[p], 0xff, (size_t)parts[p].nbytes);
        m.data[p] = first[p];
        m.row_nbytes[p] = parts[p].row_nbytes;
    }
    enc->e->encode(enc, x, importance, n_rows, n_in, effort, first);
    enc->e->encode(enc, x, importance, n_rows, n_in, effort, second);
    for (uint32_t p = 0; p < n_parts; p++) {
        if (memcmp(first[p], second[p], (size_t)parts[p].nbytes) != 0)
            abort(); /* a byte was not written, or depends on chance */
    }
    float *const back = must_alloc((size_t)(n_rows * n_in) * sizeof *back);
    el_matrix_decode(&m, 0, n_rows, back);
    if (enc->e->n_bad_scales && enc->e->n_bad_scales(&m, 0, n_rows) != 0)
        abort();
    free(back);
    for (uint32_t p = 0; p < n_parts; p++) {
        free(first[p]);
        free(second[p]);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t nbytes)
{
    static const uint32_t groups[] = {0, 32, 64, 128};
    if (nbytes < 4)
        return 0;
    struct el_enc enc = {.e = el_encoding_at(data[0] % EL_ENC_COUNT)};
    if (!enc.e->encode)
        return 0;
    if (enc.e->flags & EL_ENC_PARAMS) {
        enc.bits = (uint8_t)(2 + data[1] % 7);
        enc.group = groups[data[1] / 7 % 4];
        enc.zeros = data[1] / 28 % 2;
    }
    const uint64_t columns = (uint64_t)(data[2] | (data[3] & 1) << 8);
    const uint64_t n_in = enc.e->block_n > 1 ? (1 + columns % 4) * enc.e->block_n : 1 + columns;
    const enum el_effort effort = data[3] & 2 ? EL_ENCODE_SEARCH : EL_ENCODE_NEAREST;
    const int weighted = data[3] >> 2 & 1;
    data += 4;
    uint64_t n_rows = (nbytes - 4) / sizeof(float) / n_in;
    if (n_rows <= (uint64_t)weighted)
        return 0;
    float *const importance = weighted ? floats(data, (size_t)n_in, 0) : NULL;
    if (weighted) {
        data += n_in * sizeof(float);
        n_rows--;
    }
    float *const x = floats(data, (size_t)(n_rows * n_in), 1);
    check(&enc, x, importance, n_rows, n_in, effort);
    free(x);
    free(importance);
    return 0;
}
