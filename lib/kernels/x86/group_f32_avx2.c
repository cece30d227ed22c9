/*
 * AVX2: the group encoding for float32 activations, eight codes at a time: decoding, and the product with one token, which needs
 * no decoded row in memory. Eight codes fill `bits` bytes; a byte shuffle brings the bytes of each code into a lane of its own, a
 * shift and a mask make the code. w = scale (q - zero) as enc_group.c computes it, columns as stored.
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
#include "kernels/x86/lanes_avx2.h"

enum { GROUP_ROWS = 2, GROUP_REACH = 8, GROUP_FETCH = 8 };

/* How codes of a width are unpacked. */
struct unpack {
    __m256i shuffle, shift, mask;
    unsigned bits;
};

/*
 * Code i begins in bit i * bits % 8 of byte i * bits / 8. A byte of -1 is read as 0. Up to four bits, all eight codes lie in one
 * lane already, and it is only shifted.
 */
LANES_FN struct unpack unpack_of(unsigned bits)
{
    int32_t shuffle[LANES], shift[LANES];
    for (unsigned i = 0; i < LANES; i++) {
        const unsigned at = i * bits / 8, next = at + 1 < GROUP_REACH ? at + 1 : 0xff;
        shuffle[i] = (int32_t)(0xffff0000u | next << 8 | at);
        shift[i] = (int32_t)(bits <= 4 ? i * bits : i * bits % 8);
    }
    return (struct unpack){el_load_32(shuffle), el_load_32(shift), _mm256_set1_epi32((1 << bits) - 1), bits};
}

/* A group of a row. */
struct group {
    __m256i zero;
    __m256 scale;
};

LANES_FN struct group group_of(const struct el_matrix *m, const struct el_group_row *row, const struct unpack *u, uint64_t index)
{
    return (struct group){_mm256_set1_epi32(el_group_zero(row, u->bits, index)),
                          _mm256_set1_ps(el_group_scale_avx2(m, row, index))};
}

/* Eight weights from the GROUP_REACH bytes at p; `few`: of at most four bits. */
LANES_FN __m256 weights(bool few, const uint8_t *p, const struct unpack *u, const struct group *g)
{
    const __m256i windows =
        few ? _mm256_set1_epi32((int)el_block_u32(p))
            : _mm256_shuffle_epi8(_mm256_broadcastq_epi64(_mm_loadl_epi64((const __m128i *)(const void *)p)), u->shuffle);
    const __m256i q = _mm256_and_si256(_mm256_srlv_epi32(windows, u->shift), u->mask);
    return _mm256_mul_ps(_mm256_cvtepi32_ps(_mm256_sub_epi32(q, g->zero)), g->scale);
}

/* The same from column i on where loads might leave the row, or a group end: 0 in the lanes that are not left. */
LANES_FN __m256 last_weights(bool few, const struct el_matrix *m, const struct el_group_row *row, uint64_t i, VLEFT left,
                             const struct unpack *u, const struct group *g)
{
    uint8_t buffer[GROUP_REACH];
    const uint8_t *const p = el_group_last(row->codes, i / 8 * u->bits, m->row_nbytes[0], GROUP_REACH, buffer);
    return _mm256_and_ps(weights(few, p, u, g), _mm256_castsi256_ps(el_part_avx2(left)));
}

#include "kernels/group_f32.inc"

void el_group_f32_init_avx2(struct el_kernels *k)
{
    group_f32_init(k);
}
#endif
