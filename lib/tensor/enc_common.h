/*
 * What the encodings' own files share: byte access, part shapes of single-part block encodings, rounding. Only enc_*.c,
 * encoding.c and fit.c include this.
 *
 * Blocks are read and written byte by byte or with memcpy: data may lie at any address in a mapped file.
 */
#ifndef EL_TENSOR_ENC_COMMON_H
#define EL_TENSOR_ENC_COMMON_H

#include <string.h>

#include "base/f16.h"
#include "tensor/encoding.h"

/* The format's block sizes; each enc_*.c asserts the size of the struct that it uses. */
enum { EL_QK = 32, EL_QK_K = 256 };

static inline uint16_t el_load_u16(const uint8_t *p)
{
    return (uint16_t)(p[0] | p[1] << 8);
}

static inline uint32_t el_load_u32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static inline void el_store_u16(uint8_t *p, uint16_t v)
{
    p[0] = (uint8_t)v;
    p[1] = (uint8_t)(v >> 8);
}

static inline void el_store_u32(uint8_t *p, uint32_t v)
{
    el_store_u16(p, (uint16_t)v);
    el_store_u16(p + 2, (uint16_t)(v >> 16));
}

static inline float el_load_f16(const uint8_t *p)
{
    return el_f16_to_f32(el_load_u16(p));
}

/* Is this half-precision number a NaN or an infinity? */
static inline bool el_f16_is_bad(uint16_t h)
{
    return (h & 0x7c00u) == 0x7c00u;
}

/* Nearest integer, ties to even, as a float. |v| < 2^22. Exact on every compiler: the sum is rounded to f32 when it is formed. */
static inline float el_round_even(float v)
{
    const float magic = 12582912.0f; /* 1.5 * 2^23: one unit in the last place is 1 */
    return (v + magic) - magic;
}

/* Nearest integer, ties away from zero, as C's round. |v| < 2^22. */
static inline float el_round_away(float v)
{
    const float whole = (float)(int32_t)v, rest = v - whole;
    return rest >= 0.5f ? whole + 1.0f : rest <= -0.5f ? whole - 1.0f : whole;
}

/* The objects that the table in encoding.c points to, one per enc_*.c. */
#define ENCODING(id) extern const struct el_encoding el_encoding_##id;
#include "tensor/encodings.def"
#undef ENCODING

/* The functions of encodings that are rows of independent blocks (parts: or of plain numbers) in one part. */
bool el_enc_block_parts(const struct el_enc *enc, uint64_t n_rows, uint64_t n_in, struct el_part_shape *parts, uint32_t *n_parts);
/* By decode_block and encode_block. */
void el_enc_block_decode(const struct el_matrix *m, uint64_t row0, uint64_t n_rows, float *out);
void el_enc_block_encode(const struct el_enc *enc, const float *x, const float *importance, uint64_t n_rows, uint64_t n_in,
                         enum el_effort effort, uint8_t *const parts_out[EL_MAX_PARTS]);
/* n_bad_scales by n_f16 and f16_at. */
uint64_t el_enc_block_bad_f16(const struct el_matrix *m, uint64_t row0, uint64_t n_rows);

static inline char el_ascii_upper(char c)
{
    return c >= 'a' && c <= 'z' ? (char)(c - 'a' + 'A') : c;
}

/* The same name in any case of ASCII letters. */
static inline bool el_name_equal(const char *a, const char *b)
{
    while (*a && el_ascii_upper(*a) == el_ascii_upper(*b)) {
        a++;
        b++;
    }
    return *a == *b;
}

#endif
