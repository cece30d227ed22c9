/*
 * The codebooks of the IQ encodings: constants of the file format, one packed number per entry.
 *
 * An entry is 8 digits 0 to 2 (IQ1, IQ2) or 4 digits 0 to 7 (IQ3), a nibble each: digit i is the low nibble of byte i, digit 4 +
 * i the high nibble, so that kernels have four digits as four bytes with one mask. What a digit stands for is said at each
 * decoder.
 */
#ifndef EL_TENSOR_IQ_GRIDS_H
#define EL_TENSOR_IQ_GRIDS_H

#include <stdint.h>

extern const uint32_t el_iq2xxs_grid[256];
extern const uint32_t el_iq2xs_grid[512];
extern const uint32_t el_iq2s_grid[1024];
extern const uint32_t el_iq3xxs_grid[256];
extern const uint32_t el_iq3s_grid[512];
extern const uint32_t el_iq1_grid[2048];
/*
 * Entries come in the order of their second half as a number, sum_i digit_(n/2 + i) base^i: those with second half h are runs[h]
 * to runs[h + 1] - 1.
 */
extern const uint16_t el_iq2xxs_runs[82];
extern const uint16_t el_iq2xs_runs[82];
extern const uint16_t el_iq2s_runs[82];
extern const uint16_t el_iq3xxs_runs[65];
extern const uint16_t el_iq3s_runs[65];
extern const uint16_t el_iq1_runs[82];

/* Eight signs are stored as seven; the eighth makes their number even. */
static inline uint32_t el_iq_signs(uint32_t seven)
{
    uint32_t odd = seven ^ seven >> 4;
    odd ^= odd >> 2;
    odd ^= odd >> 1;
    return seven | (odd & 1) << 7;
}

static inline uint32_t el_iq_digit(uint32_t entry, uint32_t i)
{
    return entry >> (i % 4 * 8 + i / 4 * 4) & 15;
}

/* out[0..8) = s times the elements of an IQ2 entry, negative where signs has a 1. Digits stand for 8, 25, 43. */
static inline void el_iq2_decode8(uint32_t entry, uint32_t signs, float s, float *out)
{
    static const float levels[3] = {8.0f, 25.0f, 43.0f};
    for (uint32_t i = 0; i < 8; i++) {
        const float v = s * levels[el_iq_digit(entry, i)];
        out[i] = signs >> i & 1 ? -v : v;
    }
}

/* The same for the 4 elements of an IQ3 entry, with the levels of its encoding. */
static inline void el_iq3_decode4(uint32_t entry, const float levels[8], uint32_t signs, float s, float *out)
{
    for (uint32_t i = 0; i < 4; i++) {
        const float v = s * levels[el_iq_digit(entry, i)];
        out[i] = signs >> i & 1 ? -v : v;
    }
}

/* out[0..8) = s (e + delta) for the elements e of an IQ1 entry. Digits stand for -1, 0, 1. */
static inline void el_iq1_decode8(uint32_t entry, float s, float delta, float *out)
{
    for (uint32_t i = 0; i < 8; i++)
        out[i] = s * ((float)((int)el_iq_digit(entry, i) - 1) + delta);
}

#endif
