/*
 * Layout: how an encoding lies in memory. As it lies in files is one layout; this is the other, made for products: strips of 16
 * rows, interleaved so that one vector holds the same columns of all of them.
 *
 * A block of an encoding is a sequence of words (its fields: scales of 1 or 2 bytes, codes in words of 4). A strip holds the
 * blocks of its rows column by column of blocks; of each block position first all rows' words of the first field, then of the
 * second, and so on, and a field of n words as n times 16 words:
 *
 *     strip [n_in / block_n] { field 0 [n words][16 rows], field 1 [n words][16 rows], ... }
 *
 * So a strip is one sequential stream, a vector of sixteen 4-byte words is four bytes of codes of 16 rows, no byte is added and
 * none is lost: re-laying is a permutation. The layout is the same on every device and CPU level.
 */
#ifndef EL_TENSOR_LAYOUT_H
#define EL_TENSOR_LAYOUT_H

#include "tensor/encoding.h"

enum { EL_STRIP_ROWS = 16, EL_LAYOUT_FIELDS = 5 };

/* Words of a block, in the order of the strip. */
struct el_layout_field {
    uint8_t at;    /* byte of the block where the first word is */
    uint8_t width; /* bytes of a word: 1, 2 or 4 */
    uint8_t n;     /* words; 0 ends the list */
};
struct el_layout {
    struct el_layout_field field[EL_LAYOUT_FIELDS];
};

/* A re-laid matrix [n_rows, n_in]; rows past the last of the last strip are blocks of zeros. Borrowed data. */
struct el_laid {
    enum el_encoding_index index;
    uint64_t n_rows, n_in;
    uint64_t strip_nbytes;
    const uint8_t *data; /* [ceil(n_rows / 16)] strips */
};

/* The fields of an encoding; NULL: it is used as it lies in files only. */
const struct el_layout *el_layout_of(const struct el_encoding *e);
/* Bytes of a strip of an encoding that has a layout. */
uint64_t el_strip_nbytes(const struct el_encoding *e, uint64_t n_in);

/*
 * out [el_strip_nbytes] = the strip of n_rows rows (1 to 16, the rest zeros) that lie row_nbytes apart from `rows` on. Pure; any
 * thread.
 */
void el_lay_strip(const struct el_encoding *e, const uint8_t *rows, uint64_t row_nbytes, uint32_t n_rows, uint64_t n_in,
                  uint8_t *out);
/* The inverse: block b of row r as it lies in files, to out [block_nbytes]. */
void el_laid_block(const struct el_laid *m, uint64_t r, uint64_t b, uint8_t *out);
/* out [n_in] f32 = row r, with the bits of decoding it as it lay in the file. */
void el_laid_decode_row(const struct el_laid *m, uint64_t r, float *out);

#endif
