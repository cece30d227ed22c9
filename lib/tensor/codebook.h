/*
 * Codebooks: encodings in which 4 or 8 columns share a code, the IQ1, IQ2 and IQ3 families. What they have in common is how their
 * values come about; how the bytes lie is each enc_iq*.c's own.
 *
 * Super-blocks of 256 with one half-precision d; sub-blocks of sub_n columns with an integer scale; step = d (2 scale + 1) unit,
 * which float32 holds exactly. A value is step * level. Levels of an entry's columns are what its digits stand for, with signs
 * of their own (IQ2, IQ3), or with delta, 1 or -1, added to all (IQ1, where a digit stands for -8, 0 or 8).
 *
 * Pure functions; any thread. Sums run in the order of the elements: the same bits at every CPU level.
 */
#ifndef EL_TENSOR_CODEBOOK_H
#define EL_TENSOR_CODEBOOK_H

#include "tensor/grid.h"

enum el_codebook_signs {
    EL_SIGNS_FREE,      /* of each column */
    EL_SIGNS_EVEN,      /* of 8 columns an even number is negative */
    EL_SIGNS_DELTA,     /* delta of 8 columns */
    EL_SIGNS_DELTA_SUB, /* delta of a sub-block: its smin, 1 for -1 */
};

struct el_codebook {
    const uint32_t *entries;           /* iq_grids.h */
    const uint16_t *runs;              /* the same */
    const struct el_near_table *table; /* codebook_near.h */
    uint32_t n_entries, entry_n;       /* columns of an entry: 8 with digits 0..2, 4 with digits 0..7 */
    uint32_t unit_n;                   /* columns that choose together */
    uint32_t sub_n, top;               /* scales are 0 .. top */
    float unit;
    float guess;      /* the best scale over the root of a sub-block's greatest number times its root mean square, on average */
    int16_t digit[8]; /* what digits stand for, ascending */
    enum el_codebook_signs signs;
};

/*
 * level [unit_n] = the nearest that there is to x * inverse by weights w >= 0 (NULL: all the same), of all entries, signs
 * and, unless it is the sub-block's (negative_delta), deltas. x [unit_n] finite.
 */
void el_codebook_nearest(const struct el_codebook *cb, const float *x, const float *w, float inverse, bool negative_delta,
                         int16_t *level);
/* Which entry these levels [entry_n] are of; they come from el_codebook_nearest. */
uint32_t el_codebook_entry(const struct el_codebook *cb, const int16_t *level);
/* Bit i: level i is negative. */
uint32_t el_codebook_negative(const int16_t *level, uint32_t n);

/*
 * Scales for x [256], weights w [256] or NULL; level NULL, or [256]: their levels.
 *
 * EL_ENCODE_SEARCH looks for the codes and scales with the least sum w (x - value)^2. Values that are best by least squares are
 * x times 1 - loss, and noise that has nothing to do with x. Noise evens out over a layer's columns; the gain that is missing is
 * the same everywhere, and few bits lack a lot (a tenth at 2 bits). So with the levels goes a d that is raised until
 * sum w x value = sum w x^2; without them, for who chooses levels himself, d stays that of least squares.
 */
void el_codebook_fit(const struct el_codebook *cb, const float *x, const float *w, enum el_effort effort, struct el_grid_block *b,
                     int16_t *level);

/* ---- functions of grids with a codebook; see grid.h ---- */

void el_codebook_grid_fit(const struct el_enc *enc, const float *x, const float *w, uint32_t n_rows, uint32_t n,
                          enum el_effort effort, struct el_grid_block *b);
void el_codebook_grid_set(const struct el_enc *enc, const float *step, const float *min, uint32_t n, struct el_grid_block *b);
void el_codebook_grid_refit(const struct el_enc *enc, const float *x, const float *w, uint32_t sub, struct el_grid_block *b);
bool el_codebook_grid_vary(const struct el_enc *enc, uint32_t sub, int step, int min, struct el_grid_block *b);
void el_codebook_grid_share(const struct el_enc *enc, float step_by, float min_by, struct el_grid_block *b);
void el_codebook_grid_snap(const struct el_enc *enc, const struct el_grid_block *b, uint32_t sub, const float *x, const float *w,
                           int16_t *level);
void el_codebook_grid_store(const struct el_enc *enc, const struct el_grid_block *b, const int16_t *level, uint64_t row,
                            uint64_t column, uint64_t n_in, uint8_t *const parts_out[EL_MAX_PARTS]);

/* A grid of codebook cb, whose blocks pack() writes. */
#define EL_CODEBOOK_GRID(cb, pack_, sub_n_, unit_n_)                                                                             \
    {                                                                                                                            \
        .sub_n = (sub_n_), .unit_n = (unit_n_), .codebook = &(cb), .pack = (pack_), .fit = el_codebook_grid_fit,                 \
        .set = el_codebook_grid_set, .refit = el_codebook_grid_refit, .vary = el_codebook_grid_vary,                             \
        .share = el_codebook_grid_share, .snap = el_codebook_grid_snap, .store = el_codebook_grid_store,                         \
    }

#endif
