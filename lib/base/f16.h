/* IEEE 754 half precision and bfloat16, in exact integer arithmetic: the definition that vector code is tested against. */
#ifndef EL_BASE_F16_H
#define EL_BASE_F16_H

#include <stdint.h>
#include <string.h>

static inline uint32_t el_f32_bits(float f)
{
    uint32_t u;
    memcpy(&u, &f, 4);
    return u;
}

static inline float el_f32_from_bits(uint32_t u)
{
    float f;
    memcpy(&f, &u, 4);
    return f;
}

static inline float el_f16_to_f32(uint16_t h)
{
    const uint32_t sign = (uint32_t)(h & 0x8000u) << 16;
    const uint32_t exp = (h >> 10) & 0x1fu;
    uint32_t man = h & 0x3ffu;
    if (exp == 0x1f)
        return el_f32_from_bits(sign | 0x7f800000u | man << 13);
    if (exp != 0)
        return el_f32_from_bits(sign | (exp + 112) << 23 | man << 13);
    if (man == 0)
        return el_f32_from_bits(sign);
    uint32_t e = 113; /* subnormal: normalise */
    while (!(man & 0x400u)) {
        man <<= 1;
        e--;
    }
    return el_f32_from_bits(sign | e << 23 | (man & 0x3ffu) << 13);
}

/* Round to nearest, ties to even; overflow gives infinity; NaN stays a (quiet) NaN. */
static inline uint16_t el_f32_to_f16(float f)
{
    const uint32_t u = el_f32_bits(f);
    const uint16_t sign = (uint16_t)(u >> 16 & 0x8000u);
    const uint32_t a = u & 0x7fffffffu;
    if (a > 0x7f800000u)
        return (uint16_t)(sign | 0x7e00u | (a >> 13 & 0x3ffu));
    if (a >= 0x477ff000u)
        return (uint16_t)(sign | 0x7c00u);
    if (a < 0x33000001u)
        return sign;
    uint32_t man, shift, exp;
    if (a < 0x38800000u) { /* subnormal result */
        shift = 126 - (a >> 23);
        man = (a & 0x7fffffu) | 0x800000u;
        exp = 0;
    } else {
        shift = 13;
        man = a & 0x7fffffu;
        exp = (a >> 23) - 112;
    }
    uint32_t r = man >> shift;
    const uint32_t rest = man & ((1u << shift) - 1), half = 1u << (shift - 1);
    if (rest > half || (rest == half && (r & 1)))
        r++;
    return (uint16_t)(sign | ((exp << 10) + r));
}

static inline float el_bf16_to_f32(uint16_t b)
{
    return el_f32_from_bits((uint32_t)b << 16);
}

/* Round to nearest, ties to even; NaN stays a quiet NaN. */
static inline uint16_t el_f32_to_bf16(float f)
{
    const uint32_t u = el_f32_bits(f);
    if ((u & 0x7fffffffu) > 0x7f800000u)
        return (uint16_t)(u >> 16 | 0x40u);
    return (uint16_t)((u + 0x7fffu + (u >> 16 & 1)) >> 16);
}

#endif
