/*
 * Grids: the values that a row may take once its scales are chosen. encode and decode of an encoding say how bytes lie; its grid
 * says what a method that chooses codes itself (gptq, adaround, hqq, mse) must know, so that no method names an encoding.
 *
 * A row falls into blocks of `width` columns that choose their scales together, a block into sub-blocks of sub_n columns with
 * one step and one min each. The values of a sub-block are
 *
 *     value(level) = step * level - min        in float32, as decoding computes it, to the bit
 *
 * where level is an integer from lo to hi, or one of a few. Where columns share a code (a unit: tensor/codebook.h), the levels of
 * a unit come together. What a block stores (half-precision scales, integers of 4 to 8 bits
 * that multiply them) is rounded when the scales are chosen: step and min are what the file will say.
 *
 * Pure functions; any thread. Nothing depends on the CPU level.
 */
#ifndef EL_TENSOR_GRID_H
#define EL_TENSOR_GRID_H

#include "tensor/encoding.h"
#include "tensor/fit.h"
#include "tensor/fit_super.h"

enum { EL_GRID_MAX_SUBS = EL_SUPER_MAX_SUBS };

/* The scales of one block of one row. */
struct el_grid_block {
    uint32_t n, sub_n; /* columns of the block (fewer than the width at the end of a row), and of a sub-block */
    float lo, hi;
    const struct el_fit_levels *levels; /* NULL: all integers from lo to hi */
    float step[EL_GRID_MAX_SUBS], inverse[EL_GRID_MAX_SUBS], min[EL_GRID_MAX_SUBS];
    /* As stored: half-precision bits and what multiplies them. Only the encoding's own functions look at these. */
    uint16_t d, dmin;
    int16_t scale[EL_GRID_MAX_SUBS];
    uint8_t smin[EL_GRID_MAX_SUBS];
};

struct el_grid {
    uint32_t sub_n;                     /* columns of a sub-block; 0: those of the block */
    bool mins;                          /* el_grid_has_min, but of the group encoding */
    uint32_t unit_n;                    /* columns that share a code, and choose their levels together; 0: each its own */
    const struct el_codebook *codebook; /* NULL, or what the levels of a unit may be, and how a block is written */
    void (*pack)(const struct el_grid_block *b, const int16_t *level, uint8_t *block);
    /*
     * b[r] = scales of x[r, 0..n) for n_rows blocks that lie in the same columns; w [n] weights >= 0 or NULL. The scales are
     * those of the encoding's own encode by the same effort.
     */
    void (*fit)(const struct el_enc *enc, const float *x, const float *w, uint32_t n_rows, uint32_t n, enum el_effort effort,
                struct el_grid_block *b);
    /* *b = the nearest that can be stored to these steps and mins, one per sub-block of a block of n columns. min NULL: 0. */
    void (*set)(const struct el_enc *enc, const float *step, const float *min, uint32_t n, struct el_grid_block *b);
    /*
     * Chooses the scale of one sub-block again, for x, w [its columns], where all that the sub-blocks share stays. Never worse
     * than it was for these x. NULL: a sub-block has nothing of its own.
     */
    void (*refit)(const struct el_enc *enc, const float *x, const float *w, uint32_t sub, struct el_grid_block *b);
    /*
     * level [unit_n] nearest to x [unit_n], columns of sub-block `sub`, by weights w > 0. NULL without units: el_grid_nearest.
     */
    void (*snap)(const struct el_enc *enc, const struct el_grid_block *b, uint32_t sub, const float *x, const float *w,
                 int16_t *level);
    /*
     * The integers of sub-block `sub` up or down by these, what the sub-blocks share as it is; false, and *b spoilt: they would
     * leave their range, or there is no such integer. NULL: no sub-block has integers of its own.
     */
    bool (*vary)(const struct el_enc *enc, uint32_t sub, int step, int min, struct el_grid_block *b);
    /* What the sub-blocks share times these, as it can be stored; the integers stay. NULL: there is one sub-block, see set. */
    void (*share)(const struct el_enc *enc, float step_by, float min_by, struct el_grid_block *b);
    /* Writes a block of `row`, from column `column` (a multiple of the width) on, with these levels [b->n], to its place. */
    void (*store)(const struct el_enc *enc, const struct el_grid_block *b, const int16_t *level, uint64_t row, uint64_t column,
                  uint64_t n_in, uint8_t *const parts_out[EL_MAX_PARTS]);
};

/* NULL: the encoding has none (floats). */
const struct el_grid *el_grid_of(const struct el_enc *enc);
/* Columns of a block in rows of n_in; its sub-blocks' columns, which divide them. */
uint32_t el_grid_width(const struct el_enc *enc, uint64_t n_in);
uint32_t el_grid_sub_width(const struct el_enc *enc, uint64_t n_in);
/* Columns that share a code; 1: none do. */
uint32_t el_grid_unit(const struct el_enc *enc);
/* Have its sub-blocks offsets of their own, or do all values lie about 0? */
bool el_grid_has_min(const struct el_enc *enc);

/* The level whose value is nearest to v in sub-block `sub`; of two equally near either, always the same. v finite. */
static inline float el_grid_value(const struct el_grid_block *b, uint32_t sub, int16_t level)
{
    return b->step[sub] * (float)level - b->min[sub];
}
int16_t el_grid_nearest(const struct el_grid_block *b, uint32_t sub, float v);
/* level[i] for x [b->n], and the error sum w (x - value)^2, w NULL: 1. */
double el_grid_nearest_all(const struct el_grid_block *b, const float *x, const float *w, int16_t *level);

/* ---- for enc_*.c ---- */

/* Blocks of a fixed width, each with one half-precision scale: value = d level. */
void el_grid_plain_fit(const struct el_fit_range *range, const float *x, const float *w, uint32_t n_rows, uint32_t n,
                       enum el_effort effort, struct el_grid_block *b);
void el_grid_plain_set(const struct el_fit_range *range, float step, uint32_t n, struct el_grid_block *b);
/* Blocks of 32 with half-precision scale and offset: value = d level + m, level 0 .. hi; b->dmin holds m. */
void el_grid_offset_fit(float hi, const float *x, const float *w, uint32_t n_rows, enum el_effort effort,
                        struct el_grid_block *b);
void el_grid_offset_set(float hi, float step, float min, struct el_grid_block *b);
/* Super-blocks. */
void el_grid_affine_fit(const struct el_super_affine_kind *kind, const float *x, const float *w, uint32_t n_rows,
                        enum el_effort effort, struct el_grid_block *b);
void el_grid_affine_set(const struct el_super_affine_kind *kind, const float *step, const float *min, struct el_grid_block *b);
void el_grid_affine_refit(const struct el_super_affine_kind *kind, const float *x, const float *w, uint32_t sub,
                          struct el_grid_block *b);
bool el_grid_affine_vary(const struct el_super_affine_kind *kind, uint32_t sub, int step, int min, struct el_grid_block *b);
void el_grid_affine_get(const struct el_grid_block *b, const int16_t *level, struct el_super_affine *out);
void el_grid_scale_fit(const struct el_super_scale_kind *kind, const float *x, const float *w, uint32_t n_rows,
                       enum el_effort effort, struct el_grid_block *b);
void el_grid_scale_set(const struct el_super_scale_kind *kind, const float *step, struct el_grid_block *b);
void el_grid_scale_refit(const struct el_super_scale_kind *kind, const float *x, const float *w, uint32_t sub,
                         struct el_grid_block *b);
bool el_grid_scale_vary(const struct el_super_scale_kind *kind, uint32_t sub, int step, int min, struct el_grid_block *b);
void el_grid_scale_get(const struct el_grid_block *b, const int16_t *level, struct el_super_scale *out);
/* The grid's share, of either. */
void el_grid_super_share(const struct el_enc *enc, float step_by, float min_by, struct el_grid_block *b);
/* Where the block of `column` begins in a single-part encoding. */
uint8_t *el_grid_place(const struct el_enc *enc, uint64_t row, uint64_t column, uint64_t n_in,
                       uint8_t *const parts_out[EL_MAX_PARTS]);

#endif
