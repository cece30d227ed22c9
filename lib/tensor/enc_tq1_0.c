/*
 * TQ1_0: super-blocks of 256 ternary codes with one half-precision scale, w = d (q - 1). A byte holds five codes as digits of a
 * number in base 3, the first the highest, and that number as a fraction of 3^5 in 256ths, rounded up: so digit k is what leaves
 * the byte when it is multiplied by 3 for the k-th time. Bytes 0..31 hold elements i, i + 32, ...; bytes 32..47 elements 160 + i,
 * 176 + i, ...; the last 4 bytes elements 240 + i, 244 + i, ... and a fifth digit 0.
 */
#include "tensor/enc_common.h"
#include "tensor/encoding.h"
#include "tensor/fit.h"
#include "tensor/grid.h"

enum { WIDE = 32, NARROW = 16, LAST = 4 };

struct block_tq1_0 {
    uint8_t q[WIDE + NARROW];
    uint8_t last[LAST];
    uint8_t d[2];
};
_Static_assert(sizeof(struct block_tq1_0) == 54, "TQ1_0 block is 54 bytes");

/* n bytes that hold n_digits elements each, n apart. */
static void decode_run(const uint8_t *q, uint32_t n, uint32_t n_digits, float d, float *out)
{
    static const uint8_t powers[5] = {1, 3, 9, 27, 81};
    for (uint32_t k = 0; k < n_digits; k++) {
        for (uint32_t i = 0; i < n; i++) {
            const uint8_t rest = (uint8_t)(q[i] * powers[k]);
            out[n * k + i] = d * (float)((rest * 3 >> 8) - 1);
        }
    }
}

static void decode_block(const uint8_t *p, float *out)
{
    const float d = el_load_f16(p + 52);
    decode_run(p, WIDE, 5, d, out);
    decode_run(p + WIDE, NARROW, 5, d, out + 5 * WIDE);
    decode_run(p + WIDE + NARROW, LAST, 4, d, out + 5 * (WIDE + NARROW));
}

static void encode_run(const float *x, uint32_t n, uint32_t n_digits, float inv, uint8_t *q)
{
    for (uint32_t i = 0; i < n; i++) {
        uint32_t number = 0;
        for (uint32_t k = 0; k < 5; k++)
            number = 3 * number + (k < n_digits ? (uint32_t)((int)el_round_away(x[n * k + i] * inv) + 1) : 0);
        q[i] = (uint8_t)((number * 256 + 242) / 243);
    }
}

/* As ggml's reference, to the byte, whatever the effort: files in these types come from weights that are ternary already. */
static void encode_block(const float *x, const float *w, enum el_effort effort, void *block)
{
    (void)w;
    (void)effort;
    struct block_tq1_0 *const out = block;
    const float d = el_fit_extent(x, EL_QK_K).abs_max;
    const float inv = el_fit_inverse(d);
    el_store_u16(out->d, el_fit_f16(d));
    encode_run(x, WIDE, 5, inv, out->q);
    encode_run(x + 5 * WIDE, NARROW, 5, inv, out->q + WIDE);
    encode_run(x + 5 * (WIDE + NARROW), LAST, 4, inv, out->last);
}

static const struct el_fit_range range = {.lo = -1.0f, .hi = 1.0f};

static void grid_fit(const struct el_enc *enc, const float *x, const float *w, uint32_t n_rows, uint32_t n, enum el_effort effort,
                     struct el_grid_block *b)
{
    (void)enc;
    el_grid_plain_fit(&range, x, w, n_rows, n, effort, b);
}

static void grid_set(const struct el_enc *enc, const float *step, const float *min, uint32_t n, struct el_grid_block *b)
{
    (void)enc;
    (void)min;
    el_grid_plain_set(&range, step[0], n, b);
}

static void grid_store(const struct el_enc *enc, const struct el_grid_block *b, const int16_t *level, uint64_t row,
                       uint64_t column, uint64_t n_in, uint8_t *const parts_out[EL_MAX_PARTS])
{
    struct block_tq1_0 *const out = (struct block_tq1_0 *)el_grid_place(enc, row, column, n_in, parts_out);
    float digit[EL_QK_K];
    for (uint32_t i = 0; i < EL_QK_K; i++)
        digit[i] = (float)level[i];
    el_store_u16(out->d, b->d);
    encode_run(digit, WIDE, 5, 1.0f, out->q);
    encode_run(digit + 5 * WIDE, NARROW, 5, 1.0f, out->q + WIDE);
    encode_run(digit + 5 * (WIDE + NARROW), LAST, 4, 1.0f, out->last);
}

static const struct el_grid grid = {
    .fit = grid_fit,
    .set = grid_set,
    .store = grid_store,
};

const struct el_encoding el_encoding_tq1_0 = {
    .name = "TQ1_0",
    .about = "1.69 bits: super-blocks of 256 codes -1, 0, 1, five to a byte, f16 scale",
    .ggml_type = 34,
    .fallback = "Q4_0",
    .block_n = EL_QK_K,
    .block_nbytes = sizeof(struct block_tq1_0),
    .parts = el_enc_block_parts,
    .decode = el_enc_block_decode,
    .encode = el_enc_block_encode,
    .n_bad_scales = el_enc_block_bad_f16,
    .decode_block = decode_block,
    .encode_block = encode_block,
    .grid = &grid,
    .n_f16 = 1,
    .f16_at = {52},
};
