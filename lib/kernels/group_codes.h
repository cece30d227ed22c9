/*
 * Unpacking the codes of the group encoding, 2 to 8 bits each, least significant first without gaps. Sixteen codes fill 2 * bits
 * bytes: code i lies within the two bytes from byte i * bits / 8 on, i * bits % 8 bits up. A byte shuffle brings those two bytes
 * into a 16-bit lane of its own, a shift and a mask make the code.
 */
#ifndef EL_KERNELS_GROUP_CODES_H
#define EL_KERNELS_GROUP_CODES_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "kernels/blocks.h"
#include "kernels/kernels.h"

/* For each of sixteen codes. Number 16, which reads as any byte or as 0, stands only where the second byte is not needed. */
struct el_group_codes {
    uint8_t shuffle[32];
    uint16_t shift[16];
    uint16_t up[16]; /* 2^(8 - shift): where no lane has a shift of its own, a product moves the code to bit 8 */
};

#define EL_CODE_BYTES(bits, i) (bits) * (i) / 8, (bits) * (i) / 8 + 1
#define EL_CODE_SHIFT(bits, i) (bits) * (i) % 8
#define EL_CODE_UP(bits, i)    1 << (8 - (bits) * (i) % 8)
#define EL_FOR_16(what, bits)                                                                                                    \
    {                                                                                                                            \
        what(bits, 0), what(bits, 1), what(bits, 2), what(bits, 3), what(bits, 4), what(bits, 5), what(bits, 6), what(bits, 7),  \
            what(bits, 8), what(bits, 9), what(bits, 10), what(bits, 11), what(bits, 12), what(bits, 13), what(bits, 14),        \
            what(bits, 15)                                                                                                       \
    }
#define EL_CODES(bits)                                                                                                           \
    {                                                                                                                            \
        EL_FOR_16(EL_CODE_BYTES, bits), EL_FOR_16(EL_CODE_SHIFT, bits), EL_FOR_16(EL_CODE_UP, bits)                              \
    }

/* By bits. */
static const struct el_group_codes el_group_codes[9] = {
    [2] = EL_CODES(2), [3] = EL_CODES(3), [4] = EL_CODES(4), [5] = EL_CODES(5),
    [6] = EL_CODES(6), [7] = EL_CODES(7), [8] = EL_CODES(8)};

/* A row of a group matrix. */
struct el_group_row {
    const uint8_t *codes, *scales, *zeros; /* zeros NULL: symmetric */
};

static inline struct el_group_row el_group_row(const struct el_matrix *w, uint64_t row)
{
    return (struct el_group_row){w->data[0] + row * w->row_nbytes[0], w->data[1] + row * w->row_nbytes[1],
                                 w->enc.zeros ? w->data[2] + row * w->row_nbytes[2] : NULL};
}

/* The group of a block of 32 columns is its number shifted down by this. Groups are 32 times a power of two, or the row. */
static inline unsigned el_group_shift(const struct el_matrix *w)
{
    const uint32_t blocks = w->enc.group / EL_ACT_BLOCK;
    assert(w->enc.group % EL_ACT_BLOCK == 0 && (blocks & (blocks - 1)) == 0);
    unsigned shift = 0;
    while (blocks >> shift > 1)
        shift++;
    return blocks ? shift : 63;
}

/* What is subtracted from the codes of group g. */
static inline int el_group_zero(const struct el_group_row *row, unsigned bits, uint64_t g)
{
    return row->zeros ? row->zeros[g] : 1 << (bits - 1);
}

/*
 * The codes from byte `at` to the end of a row of nbytes, copied to buffer [reach] with zeros behind: where loads that go up to
 * reach bytes would leave the row.
 */
static inline const uint8_t *el_group_last(const uint8_t *codes, uint64_t at, uint64_t nbytes, uint64_t reach, uint8_t *buffer)
{
    const uint64_t left = nbytes - at;
    memset(buffer, 0, reach);
    memcpy(buffer, codes + at, left < reach ? left : reach);
    return buffer;
}

/* The column, at most end, from which on a load of reach bytes would leave the row. */
static inline uint64_t el_group_safe_end(const struct el_matrix *w, uint64_t end, uint64_t reach)
{
    const uint64_t nbytes = w->row_nbytes[0], n = nbytes < reach ? 0 : ((nbytes - reach) / w->enc.bits + 1) * 8;
    return n < end ? n : end;
}

#endif
