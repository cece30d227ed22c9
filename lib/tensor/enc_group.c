/*
 * Group: integer codes of 2..8 bits with one half-precision scale per group of columns, w = scale (q - zero). Ours: ggml has no
 * such type, so it is stored as plain tensors. What GPTQ and AWQ checkpoints hold is this with another order of bits.
 *
 *   .codes   I8  [n_rows, ceil(n_in bits / 8)]  code i in bits i bits .. i bits + bits - 1 of the row, least significant first
 *   .scales  F16 [n_rows, n_groups]             n_groups = ceil(n_in / group), 1 for whole rows; the last group may be short
 *   .zeros   I8  [n_rows, n_groups]             zero points as unsigned bytes; absent when symmetric (zero = 2^(bits - 1))
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/checked.h"
#include "tensor/enc_common.h"
#include "tensor/encoding.h"
#include "tensor/fit.h"

enum { CODES, SCALES, ZEROS };

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
    const uint64_t n_groups = n_groups_of(enc, n_in);
    const uint64_t codes_nbytes = (n_bits + 7) / 8;
    struct el_part_shape made[] = {
        {.suffix = ".codes", .ggml_type = 24, .row_n_elems = codes_nbytes, .row_nbytes = codes_nbytes},
        {.suffix = ".scales", .ggml_type = 1, .row_n_elems = n_groups, .row_nbytes = 2 * n_groups},
        {.suffix = ".zeros", .ggml_type = 24, .row_n_elems = n_groups, .row_nbytes = n_groups},
    };
    const uint32_t n = enc->zeros ? 3 : 2;
    for (uint32_t p = 0; p < n; p++) {
        if (!el_mul_u64(made[p].row_nbytes, n_rows, &made[p].nbytes))
            return false;
    }
    memcpy(shapes, made, n * sizeof made[0]);
    *n_parts = n;
    return true;
}

/* Eight codes lie in exactly `bits` bytes. */
static void unpack8(const uint8_t *p, uint32_t bits, uint8_t q[8])
{
    uint64_t v = 0;
    for (uint32_t b = 0; b < bits; b++)
        v |= (uint64_t)p[b] << (8 * b);
    for (uint32_t i = 0; i < 8; i++)
        q[i] = (uint8_t)(v >> (bits * i) & ((1u << bits) - 1));
}

static void pack8(const uint8_t q[8], uint32_t bits, uint8_t *p, uint64_t nbytes)
{
    uint64_t v = 0;
    for (uint32_t i = 0; i < 8; i++)
        v |= (uint64_t)q[i] << (bits * i);
    for (uint64_t b = 0; b < nbytes; b++)
        p[b] = (uint8_t)(v >> (8 * b));
}

static void decode_row(const struct el_matrix *m, uint64_t r, float *out)
{
    const uint32_t bits = m->enc.bits;
    const uint8_t *const codes = m->data[CODES] + r * m->row_nbytes[CODES];
    const uint8_t *const scales = m->data[SCALES] + r * m->row_nbytes[SCALES];
    const uint64_t codes_nbytes = (m->n_in * bits + 7) / 8;
    uint64_t group = UINT64_MAX;
    float scale = 0.0f;
    int zero = 1 << (bits - 1);
    for (uint64_t i = 0; i < m->n_in; i += 8) {
        /* Groups are multiples of 8, so eight codes share one. */
        const uint64_t g = m->enc.group ? i / m->enc.group : 0;
        if (g != group) {
            group = g;
            scale = el_load_f16(scales + 2 * g);
            if (m->enc.zeros)
                zero = m->data[ZEROS][r * m->row_nbytes[ZEROS] + g];
        }
        const uint64_t at = i / 8 * bits;
        const uint64_t n = m->n_in - i < 8 ? m->n_in - i : 8;
        uint8_t q[8], last[8] = {0};
        const uint8_t *src = codes + at;
        if (n < 8) {
            memcpy(last, src, codes_nbytes - at);
            src = last;
        }
        unpack8(src, bits, q);
        for (uint64_t k = 0; k < n; k++)
            out[i + k] = scale * (float)(q[k] - zero);
    }
}

static void decode(const struct el_matrix *m, uint64_t row0, uint64_t n_rows, float *out)
{
    for (uint64_t r = 0; r < n_rows; r++)
        decode_row(m, row0 + r, out + r * m->n_in);
}

/* Codes that are to be packed go through a small buffer, so that a group may be as long as a row. */
static void pack_group(const float *x, uint64_t n, float scale, int zero, uint32_t bits, uint8_t *p)
{
    const struct el_fit_range range = {(float)-zero, (float)((1 << bits) - 1 - zero)};
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

static void encode_group(const struct el_enc *enc, const float *x, const float *w, uint64_t n, enum el_effort effort,
                         uint8_t *codes, uint8_t *scale_out, uint8_t *zero_out)
{
    const float top = (float)((1 << enc->bits) - 1);
    const struct el_fit_extent ext = el_fit_extent(x, n);
    int zero = enc->zeros ? nearest_zero(&ext, top) : 1 << (enc->bits - 1);
    uint16_t scale = nearest_scale(&ext, enc, top);
    if (effort == EL_ENCODE_SEARCH) {
        float best = el_fit_scale_eval(x, w, n, el_f16_to_f32(scale), (struct el_fit_range){(float)-zero, top - (float)zero}).rr;
        const int spread = enc->zeros ? 1 : 0, middle = zero;
        for (int z = middle - spread; z <= middle + spread; z++) {
            if (z < 0 || z > (int)top)
                continue;
            const struct el_fit_range range = {(float)-z, top - (float)z};
            const uint16_t trial = el_fit_scale_f16(x, w, n, range);
            const float err = el_fit_scale_eval(x, w, n, el_f16_to_f32(trial), range).rr;
            if (err < best) {
                best = err;
                scale = trial;
                zero = z;
            }
        }
    }
    el_store_u16(scale_out, scale);
    if (enc->zeros)
        *zero_out = (uint8_t)zero;
    pack_group(x, n, el_f16_to_f32(scale), zero, enc->bits, codes);
}

static void encode(const struct el_enc *enc, const float *x, const float *importance, uint64_t n_rows, uint64_t n_in,
                   enum el_effort effort, uint8_t *const parts_out[EL_MAX_PARTS])
{
    const uint64_t n_groups = n_groups_of(enc, n_in), group = enc->group ? enc->group : n_in;
    const uint64_t codes_nbytes = (n_in * enc->bits + 7) / 8;
    for (uint64_t r = 0; r < n_rows; r++) {
        for (uint64_t g = 0; g < n_groups; g++) {
            const uint64_t at = g * group, n = n_in - at < group ? n_in - at : group;
            encode_group(enc, x + r * n_in + at, importance ? importance + at : NULL, n, effort,
                         parts_out[CODES] + r * codes_nbytes + at / 8 * enc->bits, parts_out[SCALES] + 2 * (r * n_groups + g),
                         enc->zeros ? parts_out[ZEROS] + r * n_groups + g : NULL);
        }
    }
}

static uint64_t n_bad_scales(const struct el_matrix *m, uint64_t row0, uint64_t n_rows)
{
    const uint64_t n_groups = n_groups_of(&m->enc, m->n_in);
    uint64_t n_bad = 0;
    for (uint64_t r = row0; r < row0 + n_rows; r++) {
        for (uint64_t g = 0; g < n_groups; g++)
            n_bad += el_f16_is_bad(el_load_u16(m->data[SCALES] + r * m->row_nbytes[SCALES] + 2 * g));
    }
    return n_bad;
}

/* G<bits>_<group|ROW>[Z] */
static bool parse(const char *name, struct el_enc *enc)
{
    if (el_ascii_upper(name[0]) != 'G' || name[1] < '2' || name[1] > '8' || name[2] != '_')
        return false;
    static const struct {
        const char *text;
        uint32_t group;
    } groups[] = {{"32", 32}, {"64", 64}, {"128", 128}, {"ROW", 0}};
    for (size_t i = 0; i < sizeof groups / sizeof groups[0]; i++) {
        char rest[8];
        for (uint8_t zeros = 0; zeros <= 1; zeros++) {
            (void)snprintf(rest, sizeof rest, "%s%s", groups[i].text, zeros ? "Z" : "");
            if (el_name_equal(name + 3, rest)) {
                enc->bits = (uint8_t)(name[1] - '0');
                enc->group = groups[i].group;
                enc->zeros = zeros;
                return true;
            }
        }
    }
    return false;
}

static void format(const struct el_enc *enc, char out[32])
{
    char group[16] = "ROW";
    if (enc->group)
        (void)snprintf(group, sizeof group, "%" PRIu32, enc->group);
    (void)snprintf(out, 32, "G%u_%s%s", (unsigned)enc->bits, group, enc->zeros ? "Z" : "");
}

const struct el_encoding el_encoding_group = {
    .name = "G",
    .about = "G<bits>_<group>[Z]: 2 to 8 bits, groups of 32, 64, 128 or ROW, f16 scales, Z: zero points",
    .ggml_type = -1,
    .flags = EL_ENC_PARAMS,
    .block_n = 1,
    .block_nbytes = 0,
    .usage = "G<2..8>_<32|64|128|ROW>[Z]",
    .parse = parse,
    .format = format,
    .parts = parts,
    .decode = decode,
    .encode = encode,
    .n_bad_scales = n_bad_scales,
};
