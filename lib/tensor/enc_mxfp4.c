/*
 * MXFP4: blocks of 32 numbers of 4 bits (sign, 2 bits of exponent, 1 of mantissa: 0 to 6) with a power of two as scale (OCP
 * Microscaling Formats, version 1.0, E2M1 and E8M0). As ggml does, the numbers are read doubled and the scale halved:
 * w = 2^(e - 128) level(q). Byte i holds codes i (low) and i + 16 (high).
 */
#include <math.h>

#include "base/f16.h"
#include "tensor/enc_common.h"
#include "tensor/encoding.h"
#include "tensor/fit.h"
#include "tensor/grid.h"

struct block_mxfp4 {
    uint8_t e;
    uint8_t q[EL_QK / 2];
};
_Static_assert(sizeof(struct block_mxfp4) == 17, "MXFP4 block is 17 bytes");

enum { E_NAN = 255, E_MAX = 252 /* the largest whose level 12 is finite */ };

static const float levels[16] = {0.0f, 1.0f,  2.0f,  3.0f,  4.0f,  6.0f,  8.0f,  12.0f,
                                 0.0f, -1.0f, -2.0f, -3.0f, -4.0f, -6.0f, -8.0f, -12.0f};

/* 2^(e - 128); the two smallest are subnormal. */
static float scale_of(uint32_t e)
{
    return el_f32_from_bits(e < 2 ? 0x00200000u << e : (e - 1) << 23);
}

static void decode_block(const uint8_t *p, float *out)
{
    const float s = scale_of(p[0]);
    for (uint32_t i = 0; i < EL_QK / 2; i++) {
        out[i] = s * levels[p[1 + i] & 15];
        out[i + EL_QK / 2] = s * levels[p[1 + i] >> 4];
    }
}

/* Nearest codes, of two equally near the smaller; returns the error sum w (x - w')^2. */
static float choose_codes(const float *x, const float *w, uint32_t e, uint8_t q[EL_QK])
{
    static const float middles[7] = {0.5f, 1.5f, 2.5f, 3.5f, 5.0f, 7.0f, 10.0f};
    const float s = scale_of(e), inv = el_fit_inverse(s);
    float err = 0.0f;
    for (uint32_t i = 0; i < EL_QK; i++) {
        const float size = fabsf(x[i]) * inv;
        uint32_t code = 0;
        for (uint32_t k = 0; k < 7; k++)
            code += size > middles[k];
        q[i] = (uint8_t)(code > 0 && x[i] < 0.0f ? code + 8 : code);
        const float r = x[i] - s * levels[q[i]];
        err += (w ? w[i] : 1.0f) * r * r;
    }
    return err;
}

/* The exponent by which the largest value falls on levels 8 to 12: ggml's choice. */
static uint32_t plain_exponent(const float *x)
{
    const uint32_t bits = el_f32_bits(el_fit_extent(x, EL_QK).abs_max) >> 23;
    return bits > 2 ? bits - 2 : 0;
}

static void encode_block(const float *x, const float *w, enum el_effort effort, void *block)
{
    struct block_mxfp4 *const out = block;
    const uint32_t plain = plain_exponent(x);
    uint8_t q[EL_QK], trial[EL_QK];
    uint32_t e = plain;
    float best = choose_codes(x, w, e, q);
    for (uint32_t t = plain > 0 ? plain - 1 : 0; effort == EL_ENCODE_SEARCH && t <= plain + 1 && t <= E_MAX; t++) {
        const float err = choose_codes(x, w, t, trial);
        if (err < best) {
            best = err;
            e = t;
            memcpy(q, trial, sizeof q);
        }
    }
    out->e = (uint8_t)e;
    for (uint32_t i = 0; i < EL_QK / 2; i++)
        out->q[i] = (uint8_t)(q[i] | q[i + EL_QK / 2] << 4);
}

/* A scale that is not a number, or so large that its block leaves f32. */
static uint64_t n_bad_scales(const struct el_matrix *m, uint64_t row0, uint64_t n_rows)
{
    uint64_t n_bad = 0;
    for (uint64_t r = row0; r < row0 + n_rows; r++) {
        const uint8_t *p = m->data[0] + r * m->row_nbytes[0];
        for (uint64_t c = 0; c < m->n_in; c += EL_QK, p += sizeof(struct block_mxfp4)) {
            bool bad = p[0] == E_NAN;
            float x[EL_QK];
            decode_block(p, x);
            for (uint32_t i = 0; i < EL_QK && !bad; i++)
                bad = !isfinite(x[i]);
            n_bad += bad;
        }
    }
    return n_bad;
}

static const struct el_fit_levels ascending = {
    .n = 15,
    .value = {-12.0f, -8.0f, -6.0f, -4.0f, -3.0f, -2.0f, -1.0f, 0.0f, 1.0f, 2.0f, 3.0f, 4.0f, 6.0f, 8.0f, 12.0f},
};

static void grid_block(uint32_t e, struct el_grid_block *b)
{
    *b = (struct el_grid_block){.n = EL_QK, .sub_n = EL_QK, .lo = -12.0f, .hi = 12.0f, .levels = &ascending, .d = (uint16_t)e};
    b->step[0] = scale_of(e);
    b->inverse[0] = el_fit_inverse(b->step[0]);
}

static void grid_fit(const struct el_enc *enc, const float *x, const float *w, uint32_t n_rows, uint32_t n, enum el_effort effort,
                     struct el_grid_block *b)
{
    (void)enc;
    for (uint32_t r = 0; r < n_rows; r++) {
        struct block_mxfp4 block;
        encode_block(x + (uint64_t)r * n, w, effort, &block);
        grid_block(block.e, &b[r]);
    }
}

static void grid_set(const struct el_enc *enc, const float *step, const float *min, uint32_t n, struct el_grid_block *b)
{
    (void)enc;
    (void)min;
    (void)n;
    uint32_t e = 0;
    while (e < E_MAX && scale_of(e) * 1.41421356f < fabsf(step[0]))
        e++;
    grid_block(e, b);
}

static void grid_store(const struct el_enc *enc, const struct el_grid_block *b, const int16_t *level, uint64_t row,
                       uint64_t column, uint64_t n_in, uint8_t *const parts_out[EL_MAX_PARTS])
{
    static const uint8_t code_of[13] = {[0] = 0, [1] = 1, [2] = 2, [3] = 3, [4] = 4, [6] = 5, [8] = 6, [12] = 7};
    struct block_mxfp4 *const out = (struct block_mxfp4 *)el_grid_place(enc, row, column, n_in, parts_out);
    uint8_t q[EL_QK];
    for (uint32_t i = 0; i < EL_QK; i++)
        q[i] = (uint8_t)(level[i] < 0 ? code_of[-level[i]] + 8 : code_of[level[i]]);
    out->e = (uint8_t)b->d;
    for (uint32_t i = 0; i < EL_QK / 2; i++)
        out->q[i] = (uint8_t)(q[i] | q[i + EL_QK / 2] << 4);
}

static const struct el_grid grid = {
    .fit = grid_fit,
    .set = grid_set,
    .store = grid_store,
};

const struct el_encoding el_encoding_mxfp4 = {
    .name = "MXFP4",
    .about = "4.25 bits: blocks of 32 4-bit floats, a power of two as scale",
    .ggml_type = 39,
    .block_n = EL_QK,
    .block_nbytes = sizeof(struct block_mxfp4),
    .parts = el_enc_block_parts,
    .decode = el_enc_block_decode,
    .encode = el_enc_block_encode,
    .n_bad_scales = n_bad_scales,
    .decode_block = decode_block,
    .encode_block = encode_block,
    .grid = &grid,
};
