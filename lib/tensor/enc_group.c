/*
 * Group: integer codes of 2..8 bits with one half-precision scale per group of columns, w = scale (q - zero). Ours: ggml has no
 * such type, so it is stored as plain tensors. What GPTQ and AWQ checkpoints hold is this with another order of bits.
 *
 *   .codes   I8  [n_rows, ceil(n_in bits / 8)]  code i in bits i bits .. i bits + bits - 1 of the row, least significant first
 *   .scales  F16 [n_rows, n_groups]             n_groups = ceil(n_in / group), 1 for whole rows; the last group may be short;
 *                                               F32 in the wide form ("F"), for files whose scales no f16 holds
 *   .zeros   I8  [n_rows, n_groups]             zero points as unsigned bytes; absent when symmetric (zero = 2^(bits - 1))
 *   .perm    I32 [n_in]                         in the permuted form ("P"): stored column k is column perm[k]. GPTQ with
 *                                               act-order makes groups of columns that do not lie together; so they do
 */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/checked.h"
#include "base/f16.h"
#include "tensor/enc_common.h"
#include "tensor/encoding.h"
#include "tensor/fit.h"
#include "tensor/grid.h"

enum { CODES, SCALES, ZEROS };

static uint64_t scale_nbytes(const struct el_enc *enc)
{
    return enc->wide ? 4 : 2;
}

static void format(const struct el_enc *enc, char out[32])
{
    char group[16] = "ROW";
    if (enc->group)
        (void)snprintf(group, sizeof group, "%" PRIu32, enc->group);
    (void)snprintf(out, 32, "G%u_%s%s%s%s", (unsigned)enc->bits, group, enc->zeros ? "Z" : "", enc->wide ? "F" : "",
                   enc->permuted ? "P" : "");
}

static uint64_t n_groups_of(const struct el_enc *enc, uint64_t n_in)
{
    const uint64_t group = enc->group ? enc->group : n_in;
    return n_in == 0 ? 0 : n_in / group + (n_in % group != 0);
}

static bool parts(const struct el_enc *enc, uint64_t n_rows, uint64_t n_in, struct el_part_shape *shapes, uint32_t *n_parts)
{
    uint64_t n_bits;
    if (enc->bits < 2 || enc->bits > 8 || !el_mul_u64(n_in, enc->bits, &n_bits) || n_bits > UINT64_MAX - 7)
        return false;
    if (enc->permuted && n_in > INT32_MAX)
        return false;
    const uint64_t n_groups = n_groups_of(enc, n_in);
    const uint64_t codes_nbytes = (n_bits + 7) / 8;
    const struct el_part_shape codes = {".codes", 24, codes_nbytes, codes_nbytes, 0};
    const struct el_part_shape scales = {".scales", enc->wide ? 0 : 1, n_groups, scale_nbytes(enc) * n_groups, 0};
    const struct el_part_shape zeros = {".zeros", 24, n_groups, n_groups, 0};
    uint32_t n = 0;
    shapes[n++] = codes;
    shapes[n++] = scales;
    if (enc->zeros)
        shapes[n++] = zeros;
    for (uint32_t p = 0; p < n; p++) {
        if (!el_mul_u64(shapes[p].row_nbytes, n_rows, &shapes[p].nbytes))
            return false;
    }
    if (enc->permuted)
        shapes[n++] = (struct el_part_shape){".perm", 26, n_in, 0, 4 * n_in};
    *n_parts = n;
    return true;
}

/* Eight codes lie in exactly `bits` bytes. */
static uint64_t load8(const uint8_t *p, uint32_t bits)
{
    uint64_t v = 0;
    if (bits == 4)
        return el_load_u32(p);
    if (bits == 8)
        return el_load_u32(p) | (uint64_t)el_load_u32(p + 4) << 32;
    for (uint32_t b = 0; b < bits; b++)
        v |= (uint64_t)p[b] << (8 * b);
    return v;
}

static void pack8(const uint8_t q[8], uint32_t bits, uint8_t *p, uint64_t nbytes)
{
    uint64_t v = 0;
    for (uint32_t i = 0; i < 8; i++)
        v |= (uint64_t)q[i] << (bits * i);
    for (uint64_t b = 0; b < nbytes; b++)
        p[b] = (uint8_t)(v >> (8 * b));
}

static float load_scale(const struct el_enc *enc, const uint8_t *scales, uint64_t g)
{
    return enc->wide ? el_f32_from_bits(el_load_u32(scales + 4 * g)) : el_load_f16(scales + 2 * g);
}

/* Puts n values that are stored from column i on where `perm` (any bytes) says; what lies outside the row goes nowhere. */
static void scatter(const float *v, uint64_t n, const uint8_t *perm, uint64_t i, uint64_t n_in, float *out)
{
    for (uint64_t k = 0; k < n; k++) {
        const uint32_t column = el_load_u32(perm + 4 * (i + k));
        if (column < n_in)
            out[column] = v[k];
    }
}

/* What a code stands for in a group; up to four bits from a table, so that a group costs its sixteen products once. */
struct group_values {
    float scale;
    int zero;
    float of[16];
};

static void begin_group(const struct el_matrix *m, uint64_t r, uint64_t g, struct group_values *v)
{
    v->scale = load_scale(&m->enc, m->data[SCALES] + r * m->row_nbytes[SCALES], g);
    v->zero = m->enc.zeros ? m->data[ZEROS][r * m->row_nbytes[ZEROS] + g] : 1 << (m->enc.bits - 1);
    for (int q = 0; m->enc.bits <= 4 && q < 1 << m->enc.bits; q++)
        v->of[q] = v->scale * (float)(q - v->zero);
}

static void decode_row(const struct el_matrix *m, uint64_t r, const uint8_t *perm, float *out)
{
    const uint32_t bits = m->enc.bits;
    const uint64_t mask = (1u << bits) - 1, codes_nbytes = (m->n_in * bits + 7) / 8;
    const uint8_t *const codes = m->data[CODES] + r * m->row_nbytes[CODES];
    uint64_t group = UINT64_MAX;
    struct group_values values = {.zero = 0};
    if (perm) /* what is no permutation leaves columns out */
        memset(out, 0, m->n_in * sizeof *out);
    for (uint64_t i = 0; i < m->n_in; i += 8) {
        /* Groups are multiples of 8, so eight codes share one. */
        const uint64_t g = m->enc.group ? i / m->enc.group : 0, at = i / 8 * bits;
        const uint64_t n = m->n_in - i < 8 ? m->n_in - i : 8;
        if (g != group)
            begin_group(m, r, g, &values);
        group = g;
        uint8_t last[8] = {0};
        const uint8_t *src = codes + at;
        if (n < 8) {
            memcpy(last, src, codes_nbytes - at);
            src = last;
        }
        const uint64_t q = load8(src, bits);
        float v[8];
        if (bits <= 4) {
            for (uint32_t k = 0; k < 8; k++)
                v[k] = values.of[q >> (bits * k) & mask];
        } else {
            for (uint32_t k = 0; k < 8; k++)
                v[k] = values.scale * (float)((int)(q >> (bits * k) & mask) - values.zero);
        }
        if (perm)
            scatter(v, n, perm, i, m->n_in, out);
        else
            memcpy(out + i, v, n * sizeof *v);
    }
}

static void decode(const struct el_matrix *m, uint64_t row0, uint64_t n_rows, float *out)
{
    const uint8_t *const perm = el_matrix_perm(m);
    for (uint64_t r = 0; r < n_rows; r++)
        decode_row(m, row0 + r, perm, out + r * m->n_in);
}

/* Codes that are to be packed go through a small buffer, so that a group may be as long as a row. */
static void pack_group(const float *x, uint64_t n, float scale, int zero, uint32_t bits, uint8_t *p)
{
    const struct el_fit_range range = {.lo = (float)-zero, .hi = (float)((1 << bits) - 1 - zero)};
    for (uint64_t i = 0; i < n; i += 8) {
        const uint32_t k = n - i < 8 ? (uint32_t)(n - i) : 8;
        int16_t q[8];
        uint8_t code[8] = {0};
        el_fit_scale_codes(x + i, k, scale, range, q);
        for (uint32_t j = 0; j < k; j++)
            code[j] = (uint8_t)(q[j] + zero);
        pack8(code, bits, p + i / 8 * bits, (k * bits + 7) / 8);
    }
}

/* Zero point and range of the least and largest value, 0 included: the usual asymmetric rounding. */
static int nearest_zero(const struct el_fit_extent *ext, float top)
{
    const float span = ext->max - ext->min;
    const float at = el_fit_inverse(span) * -ext->min * top;
    return (int)el_round_even(at < 0.0f ? 0.0f : at > top ? top : at);
}

static uint16_t nearest_scale(const struct el_fit_extent *ext, const struct el_enc *enc, float top)
{
    if (enc->zeros)
        return el_fit_f16((ext->max - ext->min) / top);
    return el_fit_f16(ext->signed_max / -(float)(1 << (enc->bits - 1)));
}

/* Scale and zero point of n numbers. */
struct group_fit {
    uint16_t scale;
    int zero;
};

static struct group_fit fit_group(const struct el_enc *enc, const float *x, const float *w, uint64_t n, enum el_effort effort)
{
    const float top = (float)((1 << enc->bits) - 1);
    const struct el_fit_extent ext = el_fit_extent(x, n);
    struct group_fit fit = {.scale = nearest_scale(&ext, enc, top),
                            .zero = enc->zeros ? nearest_zero(&ext, top) : 1 << (enc->bits - 1)};
    if (effort != EL_ENCODE_SEARCH)
        return fit;
    const struct el_fit_range plain = {.lo = (float)-fit.zero, .hi = top - (float)fit.zero};
    float best = el_fit_scale_eval(x, w, n, el_f16_to_f32(fit.scale), plain).rr;
    const int spread = enc->zeros ? 1 : 0, middle = fit.zero;
    for (int z = middle - spread; z <= middle + spread; z++) {
        if (z < 0 || z > (int)top)
            continue;
        const struct el_fit_range range = {.lo = (float)-z, .hi = top - (float)z};
        const uint16_t trial = el_fit_scale_f16(x, w, n, range);
        const float err = el_fit_scale_eval(x, w, n, el_f16_to_f32(trial), range).rr;
        if (err < best) {
            best = err;
            fit = (struct group_fit){trial, z};
        }
    }
    return fit;
}

static void encode_group(const struct el_enc *enc, const float *x, const float *w, uint64_t n, enum el_effort effort,
                         uint8_t *codes, uint8_t *scale_out, uint8_t *zero_out)
{
    const struct group_fit fit = fit_group(enc, x, w, n, effort);
    el_store_u16(scale_out, fit.scale);
    if (enc->zeros)
        *zero_out = (uint8_t)fit.zero;
    pack_group(x, n, el_f16_to_f32(fit.scale), fit.zero, enc->bits, codes);
}

static void encode(const struct el_enc *enc, const float *x, const float *importance, uint64_t n_rows, uint64_t n_in,
                   enum el_effort effort, uint8_t *const parts_out[EL_MAX_PARTS])
{
    const uint64_t n_groups = n_groups_of(enc, n_in), group = enc->group ? enc->group : n_in;
    const uint64_t codes_nbytes = (n_in * enc->bits + 7) / 8;
    assert(el_enc_can_encode(enc));
    for (uint64_t r = 0; r < n_rows; r++) {
        for (uint64_t g = 0; g < n_groups; g++) {
            const uint64_t at = g * group, n = n_in - at < group ? n_in - at : group;
            encode_group(enc, x + r * n_in + at, importance ? importance + at : NULL, n, effort,
                         parts_out[CODES] + r * codes_nbytes + at / 8 * enc->bits, parts_out[SCALES] + 2 * (r * n_groups + g),
                         enc->zeros ? parts_out[ZEROS] + r * n_groups + g : NULL);
        }
    }
}

/* ---- grid: a block is a group, levels are q - zero; the block's scale[0] is the zero point ---- */

static void grid_block(const struct el_enc *enc, struct group_fit fit, uint32_t n, struct el_grid_block *b)
{
    const float top = (float)((1 << enc->bits) - 1);
    *b = (struct el_grid_block){.n = n, .sub_n = n, .lo = (float)-fit.zero, .hi = top - (float)fit.zero, .d = fit.scale};
    b->scale[0] = (int16_t)fit.zero;
    b->step[0] = el_f16_to_f32(fit.scale);
    b->inverse[0] = el_fit_inverse(b->step[0]);
}

static void grid_fit(const struct el_enc *enc, const float *x, const float *w, uint32_t n_rows, uint32_t n, enum el_effort effort,
                     struct el_grid_block *b)
{
    for (uint32_t r = 0; r < n_rows; r++)
        grid_block(enc, fit_group(enc, x + (uint64_t)r * n, w, n, effort), n, &b[r]);
}

static void grid_set(const struct el_enc *enc, const float *step, const float *min, uint32_t n, struct el_grid_block *b)
{
    const float top = (float)((1 << enc->bits) - 1);
    struct group_fit fit = {.scale = el_fit_f16(step[0]), .zero = 1 << (enc->bits - 1)};
    if (enc->zeros) {
        const float at = (min ? min[0] : 0.0f) * el_fit_inverse(el_f16_to_f32(fit.scale));
        fit.zero = (int)el_round_even(at < 0.0f ? 0.0f : at > top ? top : at);
    }
    grid_block(enc, fit, n, b);
}

/* The zero point is the only integer; the scale moves by parts. */
static bool grid_vary(const struct el_enc *enc, uint32_t sub, int step, int min, struct el_grid_block *b)
{
    const int zero = b->scale[0] + min;
    struct group_fit fit = {.scale = el_fit_f16(el_f16_to_f32(b->d) * (1.0f + 0.03f * (float)step)), .zero = zero};
    (void)sub;
    if ((min != 0 && !enc->zeros) || zero < 0 || zero >= 1 << enc->bits)
        return false;
    grid_block(enc, fit, b->n, b);
    return true;
}

static void grid_share(const struct el_enc *enc, float step_by, float min_by, struct el_grid_block *b)
{
    const struct group_fit fit = {.scale = el_fit_f16(el_f16_to_f32(b->d) * step_by), .zero = b->scale[0]};
    (void)min_by;
    grid_block(enc, fit, b->n, b);
}

static void grid_store(const struct el_enc *enc, const struct el_grid_block *b, const int16_t *level, uint64_t row,
                       uint64_t column, uint64_t n_in, uint8_t *const parts_out[EL_MAX_PARTS])
{
    const uint64_t n_groups = n_groups_of(enc, n_in), g = enc->group ? column / enc->group : 0;
    uint8_t *const codes = parts_out[CODES] + row * ((n_in * enc->bits + 7) / 8) + column / 8 * enc->bits;
    el_store_u16(parts_out[SCALES] + 2 * (row * n_groups + g), b->d);
    if (enc->zeros)
        parts_out[ZEROS][row * n_groups + g] = (uint8_t)b->scale[0];
    for (uint32_t i = 0; i < b->n; i += 8) {
        const uint32_t k = b->n - i < 8 ? b->n - i : 8;
        uint8_t code[8] = {0};
        for (uint32_t j = 0; j < k; j++)
            code[j] = (uint8_t)(level[i + j] + b->scale[0]);
        pack8(code, enc->bits, codes + i / 8 * enc->bits, (k * enc->bits + 7) / 8);
    }
}

static const struct el_grid grid = {
    .fit = grid_fit,
    .set = grid_set,
    .vary = grid_vary,
    .share = grid_share,
    .store = grid_store,
};

static uint64_t n_bad_scales(const struct el_matrix *m, uint64_t row0, uint64_t n_rows)
{
    const uint64_t n_groups = n_groups_of(&m->enc, m->n_in);
    uint64_t n_bad = 0;
    for (uint64_t r = row0; r < row0 + n_rows; r++) {
        const uint8_t *const scales = m->data[SCALES] + r * m->row_nbytes[SCALES];
        for (uint64_t g = 0; g < n_groups; g++)
            n_bad += m->enc.wide ? (el_load_u32(scales + 4 * g) & 0x7f800000u) == 0x7f800000u
                                 : el_f16_is_bad(el_load_u16(scales + 2 * g));
    }
    return n_bad;
}

/* G<bits>_<group|ROW>[Z][F][P] */
static bool parse(const char *name, struct el_enc *enc)
{
    static const uint32_t groups[] = {32, 64, 128, 256, 512, 1024, 0};
    if (el_ascii_upper(name[0]) != 'G' || name[1] < '2' || name[1] > '8' || name[2] != '_')
        return false;
    for (size_t i = 0; i < sizeof groups / sizeof groups[0] * 8; i++) {
        const struct el_enc trial = {.e = &el_encoding_group,
                                     .bits = (uint8_t)(name[1] - '0'),
                                     .zeros = i & 1,
                                     .wide = i >> 1 & 1,
                                     .permuted = i >> 2 & 1,
                                     .group = groups[i / 8]};
        char text[32];
        format(&trial, text);
        if (el_name_equal(name, text)) {
            *enc = trial;
            return true;
        }
    }
    return false;
}

const struct el_encoding el_encoding_group = {
    .name = "G",
    .about = "G<bits>_<group>[Z]: 2 to 8 bits, groups of 32, 64 ... 1024 or ROW, f16 scales, Z: zero points",
    .ggml_type = -1,
    .flags = EL_ENC_PARAMS,
    .block_n = 1,
    .block_nbytes = 0,
    .usage = "G<2..8>_<32|64|128|256|512|1024|ROW>[Z]",
    .parse = parse,
    .format = format,
    .parts = parts,
    .decode = decode,
    .encode = encode,
    .n_bad_scales = n_bad_scales,
    .grid = &grid,
};
