/*
 * AVX-512: the group encoding for float32 activations, sixteen codes at a time: decoding, and the product with one token, which
 * needs no decoded row in memory. Sixteen codes fill 2 * bits bytes; a byte shuffle brings two bytes with the code into a lane of
 * its own, a shift makes it the lowest bits. Up to four bits, eight codes lie in one lane already, which is only shifted, and a
 * permutation that ignores what is above them takes the weight from a register with the sixteen that the group has.
 * w = scale (q - zero) as enc_group.c computes it, columns as stored.
 */
#include <assert.h>
#include <stdint.h>

#include "base/compiler.h"
#include "kernels/kernels.h"

#if EL_X86
#include <immintrin.h>

#include "kernels/blocks.h"
#include "kernels/group_codes.h"
#include "kernels/x86/decode_avx2.h"
#include "kernels/x86/kernels_x86.h"
#include "kernels/x86/lanes_avx512.h"

enum { GROUP_ROWS = 4, GROUP_REACH = 16, GROUP_FETCH = 64 };

/* How codes of a width are unpacked. */
struct unpack {
    __m512i shuffle, shift, mask;
    unsigned bits;
};

/* Code i begins in bit i * bits % 8 of byte i * bits / 8. A byte of -1 is read as 0. */
LANES_FN struct unpack unpack_of(unsigned bits)
{
    int32_t shuffle[LANES], shift[LANES];
    for (unsigned i = 0; i < LANES; i++) {
        const unsigned at = i * bits / 8, next = at + 1 < GROUP_REACH ? at + 1 : 0xff;
        shuffle[i] = (int32_t)(0xffff0000u | next << 8 | at);
        shift[i] = (int32_t)(bits <= 4 ? i % 8 * bits : i * bits % 8);
    }
    return (struct unpack){_mm512_loadu_si512(shuffle), _mm512_loadu_si512(shift), _mm512_set1_epi32((1 << bits) - 1), bits};
}

/* Codes from the GROUP_REACH bytes at p, `few`: of at most four bits. Above their bits, other bits. */
LANES_FN __m512i codes(bool few, const uint8_t *p, const struct unpack *u)
{
    if (few) {
        const __m512i first = _mm512_set1_epi32((int)el_block_u32(p));
        return _mm512_srlv_epi32(_mm512_mask_set1_epi32(first, 0xff00, (int)el_block_u32(p + u->bits)), u->shift);
    }
    const __m512i bytes = _mm512_broadcast_i32x4(el_load_16(p));
    return _mm512_srlv_epi32(_mm512_shuffle_epi8(bytes, u->shuffle), u->shift);
}

/* A group of a row: scale and zero point, and what the codes 0..15 stand for. */
struct group {
    __m512i zero;
    __m512 scale, table;
};

LANES_FN __m512 weights_of(__m512i q, const struct unpack *u, const struct group *g)
{
    return _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_sub_epi32(_mm512_and_si512(q, u->mask), g->zero)), g->scale);
}

LANES_FN struct group group_of(const struct el_matrix *m, const struct el_group_row *row, const struct unpack *u, uint64_t index)
{
    const __m512i all = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
    struct group g = {.zero = _mm512_set1_epi32(el_group_zero(row, u->bits, index)),
                      .scale = _mm512_set1_ps(el_group_scale_avx2(m, row, index))};
    g.table = weights_of(all, u, &g);
    return g;
}

/* Sixteen weights from the GROUP_REACH bytes at p. */
LANES_FN __m512 weights(bool few, const uint8_t *p, const struct unpack *u, const struct group *g)
{
    const __m512i q = codes(few, p, u);
    return few ? _mm512_permutexvar_ps(q, g->table) : weights_of(q, u, g);
}

/* The same from column i on where loads might leave the row, or a group end: 0 where `left` has none. */
LANES_FN __m512 last_weights(bool few, const struct el_matrix *m, const struct el_group_row *row, uint64_t i, VLEFT left,
                             const struct unpack *u, const struct group *g)
{
    uint8_t buffer[GROUP_REACH];
    const uint8_t *const p = el_group_last(row->codes, i / 8 * u->bits, m->row_nbytes[0], GROUP_REACH, buffer);
    return _mm512_maskz_mov_ps(left, weights_of(codes(few, p, u), u, g));
}

#include "kernels/group_f32.inc"

void el_group_f32_init_avx512(struct el_kernels *k)
{
    group_f32_init(k);
}
#endif
