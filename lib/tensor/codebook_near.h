/*
 * The nearest entry of a codebook, exactly. Only codebook*.c and enc_iq*.c include this.
 *
 * What an entry loses is a sum over its columns, so it is the sum of what its two halves lose; a half has 81 or 64 forms. Both
 * halves' losses are tabled, and entries are looked at one second half after the other: only those second halves that with the
 * best first half of all would beat the best entry so far. With an entry near at hand (of a scale a little off) few are left.
 *
 * Every lane computes what a plain loop would, in the same order: the same bits at every CPU level.
 */
#ifndef EL_TENSOR_CODEBOOK_NEAR_H
#define EL_TENSOR_CODEBOOK_NEAR_H

#include "tensor/codebook.h"

enum { EL_NEAR_NONE = 0xffff };

/*
 * What the losses of a column are made of, for digits that stand for v_0, v_1, ..: w (v_d^2 - v_0^2) - w y 2 (v_d - v_0). Entries
 * of eight: for 16 pairs of digits (digit i % 4 and digit i / 4), where 3 is none; entries of four: 8 digits, [0] only.
 */
struct el_near_table {
    float square[2][16], twice[2][16]; /* v_d^2 - v_0^2, 2 (v_d - v_0), of the pair's first digit and of its second */
    float turn[2][16];                 /* 4 v_d: what it costs to change the sign, per w y */
    float pad[16];                     /* infinite where a digit is none */
};
/* Tables of a codebook; of IQ1 for delta 1 and for delta -1. */
extern const struct el_near_table el_near_iq1[2], el_near_iq2[1], el_near_iq3_xxs[1], el_near_iq3_s[1];

/*
 * What is asked of a part (the entry_n columns of one entry), and what comes back: the entry that loses least and its loss, less
 * sum_i w_i v_0 (v_0 - 2 y_i). [1]: with one of the signs changed, the one for which it costs least.
 */
struct el_near {
    bool ask[2];
    uint16_t entry[2]; /* in: an entry that may be near, or EL_NEAR_NONE */
    float loss[2];
};

/* y, w [entry_n]: where levels should be, weights. */
typedef void el_near_fn(const struct el_codebook *cb, const struct el_near_table *k, const float *y, const float *w,
                        struct el_near *near);

/* By entry_n: 8 columns with digits 0..2, 4 with digits 0..7. */
struct el_near_fns {
    el_near_fn *eight, *four;
};
extern const struct el_near_fns el_near_fns_ref, el_near_fns_avx2;

/* Those of the CPU level in use. */
const struct el_near_fns *el_near_fns(void);

#endif
