/* The number types of safetensors. The three float types are encodings of the house; the rest live here only. */
#include <string.h>

#include "base/checked.h"
#include "base/f16.h"
#include "formats/safetensors.h"

static bool plain_parts(const struct el_enc *enc, uint64_t n_rows, uint64_t n_in, struct el_part_shape *parts, uint32_t *n_parts)
{
    struct el_part_shape part = {.suffix = "", .ggml_type = enc->e->ggml_type, .row_n_elems = n_in};
    if (!el_mul_u64(n_in, enc->e->block_nbytes, &part.row_nbytes) || !el_mul_u64(part.row_nbytes, n_rows, &part.nbytes))
        return false;
    parts[0] = part;
    *n_parts = 1;
    return true;
}

/* F8 with n_man mantissa bits (OCP 8-bit floating point; the E4M3 of machine learning has no infinities). */
static float f8_to_f32(uint8_t v, unsigned n_man)
{
    const unsigned n_exp = 7 - n_man, bias = (1u << (n_exp - 1)) - 1, exp = (v & 0x7fu) >> n_man, man = v & ((1u << n_man) - 1);
    const uint32_t sign = (uint32_t)(v & 0x80u) << 24;
    if (n_man == 3 ? (v & 0x7f) == 0x7f : exp == 31)
        return el_f32_from_bits(sign | 0x7f800000u | (n_man == 3 || man ? 0x400000u : 0));
    if (exp)
        return el_f32_from_bits(sign | (exp - bias + 127) << 23 | man << (23 - n_man));
    const float tiny = (float)man * el_f32_from_bits((127 + 1 - bias - n_man) << 23);
    return sign ? -tiny : tiny;
}

/* One value at p as float32; NAME selects the type. */
#define VALUE_AS(type)                                                                                                           \
    do {                                                                                                                         \
        type v;                                                                                                                  \
        memcpy(&v, p, sizeof v);                                                                                                 \
        return (float)v;                                                                                                         \
    } while (0)
static float value_i64(const uint8_t *p)
{
    VALUE_AS(int64_t);
}
static float value_u64(const uint8_t *p)
{
    VALUE_AS(uint64_t);
}
static float value_f64(const uint8_t *p)
{
    VALUE_AS(double);
}
static float value_i32(const uint8_t *p)
{
    VALUE_AS(int32_t);
}
static float value_u32(const uint8_t *p)
{
    VALUE_AS(uint32_t);
}
static float value_i16(const uint8_t *p)
{
    VALUE_AS(int16_t);
}
static float value_u16(const uint8_t *p)
{
    VALUE_AS(uint16_t);
}
static float value_i8(const uint8_t *p)
{
    VALUE_AS(int8_t);
}
static float value_u8(const uint8_t *p)
{
    VALUE_AS(uint8_t);
}
static float value_e4m3(const uint8_t *p)
{
    return f8_to_f32(*p, 3);
}
static float value_e5m2(const uint8_t *p)
{
    return f8_to_f32(*p, 2);
}

static void decode_with(const struct el_matrix *m, uint64_t row0, uint64_t n_rows, float *out, float (*value)(const uint8_t *))
{
    const uint32_t size = m->enc.e->block_nbytes;
    for (uint64_t r = 0; r < n_rows; r++) {
        const uint8_t *const row = m->data[0] + (row0 + r) * m->row_nbytes[0];
        for (uint64_t i = 0; i < m->n_in; i++)
            out[r * m->n_in + i] = value(row + i * size);
    }
}

#define DTYPE(id_, name_, ggml_, nbytes_)                                                                                        \
    static void decode_##id_(const struct el_matrix *m, uint64_t row0, uint64_t n_rows, float *out)                              \
    {                                                                                                                            \
        decode_with(m, row0, n_rows, out, value_##id_);                                                                          \
    }                                                                                                                            \
    static const struct el_encoding enc_##id_ = {                                                                                \
        .name = name_,                                                                                                           \
        .about = "plain numbers of safetensors",                                                                                 \
        .ggml_type = ggml_,                                                                                                      \
        .block_n = 1,                                                                                                            \
        .block_nbytes = nbytes_,                                                                                                 \
        .parts = plain_parts,                                                                                                    \
        .decode = decode_##id_,                                                                                                  \
    };
#define value_bool value_u8
/* ggml's numbers where it has the type. */
DTYPE(i64, "I64", 27, 8)
DTYPE(u64, "U64", -1, 8)
DTYPE(f64, "F64", 28, 8)
DTYPE(i32, "I32", 26, 4)
DTYPE(u32, "U32", -1, 4)
DTYPE(i16, "I16", 25, 2)
DTYPE(u16, "U16", -1, 2)
DTYPE(i8, "I8", 24, 1)
DTYPE(u8, "U8", -1, 1)
DTYPE(bool, "BOOL", -1, 1)
DTYPE(e4m3, "F8_E4M3", -1, 1)
DTYPE(e5m2, "F8_E5M2", -1, 1)

/* In the order of the format's own library, which sorts by it; e NULL: an encoding of the house, by its name. */
static const struct {
    const char *name;
    const struct el_encoding *e;
    int32_t ggml_type;
} dtypes[] = {
    {"BOOL", &enc_bool, -1}, {"U8", &enc_u8, -1},   {"I8", &enc_i8, -1},   {"F8_E5M2", &enc_e5m2, -1}, {"F8_E4M3", &enc_e4m3, -1},
    {"I16", &enc_i16, -1},   {"U16", &enc_u16, -1}, {"F16", NULL, 1},      {"BF16", NULL, 30},         {"I32", &enc_i32, -1},
    {"U32", &enc_u32, -1},   {"F32", NULL, 0},      {"F64", &enc_f64, -1}, {"I64", &enc_i64, -1},      {"U64", &enc_u64, -1},
};
enum { N_DTYPES = sizeof dtypes / sizeof dtypes[0] };

static const struct el_encoding *encoding_at(size_t i)
{
    return dtypes[i].e ? dtypes[i].e : el_encoding_by_ggml(dtypes[i].ggml_type);
}

struct el_enc el_st_enc_of_dtype(const char *dtype)
{
    for (size_t i = 0; i < N_DTYPES; i++) {
        if (strcmp(dtypes[i].name, dtype) == 0)
            return (struct el_enc){.e = encoding_at(i)};
    }
    return (struct el_enc){.e = NULL};
}

/* Index in dtypes, N_DTYPES when the encoding cannot be stored. */
static size_t index_of(const struct el_enc *enc)
{
    size_t i = 0;
    while (i < N_DTYPES && encoding_at(i) != enc->e)
        i++;
    return i;
}

const char *el_st_dtype_of_enc(const struct el_enc *enc)
{
    const size_t i = index_of(enc);
    return i < N_DTYPES ? dtypes[i].name : NULL;
}

unsigned el_st_dtype_rank(const struct el_enc *enc)
{
    return (unsigned)index_of(enc);
}

const char *el_st_dtype_list(void)
{
    return "F32, F16, BF16, F64, I64, U64, I32, U32, I16, U16, I8, U8, BOOL, F8_E4M3, F8_E5M2";
}
