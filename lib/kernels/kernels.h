/*
 * Kernels: pure functions over pointers. Nothing here knows a model, a file or a thread pool; all ranges are chosen by the
 * caller.
 *
 * One table of function pointers, filled by el_kernels_init for a CPU level: first every _ref, then what each of the level's
 * features does better (x86/kernels_avx2.c ...). A variant is one function and one line in its feature's init. tests/kernels
 * walks all levels and compares every pointer that changed with _ref. Results of a kernel do not depend on how the caller splits
 * rows or tokens.
 */
#ifndef EL_KERNELS_KERNELS_H
#define EL_KERNELS_KERNELS_H

#include "base/cpu.h"
#include "kernels/attn.h"
#include "tensor/encoding.h"
#include "tensor/layout.h"

enum { EL_ACT_BLOCK = 32 }; /* columns per scale of an int8 activation */
enum { EL_OUTER = 64, EL_OUTER_RUN = 128 };

/* What is made of 32 activations q8 with their scale, besides. */
struct el_act_sums {
    int32_t less;         /* -128 times the sum of q8 over the block: what codes that are too large by 128 give too much */
    int32_t less_half[2]; /* the same over 16 columns each */
    float scale;
    float scaled; /* scale * (float)(the sum over the block), rounded once */
};

/*
 * A batch of activation rows [n, n_in] and its derived forms, made once and shared by every linear that reads it.
 *   f32    [n, n_in], row stride f32_stride elements
 *   q8     [n, n_pad] int8, n_pad = n_in rounded up to EL_ACT_BLOCK, zero filled; scale [n, n_pad / 32] f32: x ~ scale * q8
 *   sum    [n, n_pad / 16] int16: sum of q8 over each 16 columns (mins, zero points and unsigned weights need it)
 *   sums   [n, n_pad / 32]: the same in the forms that products of many rows load as they are; made by el_act_sums
 * Rule, the same for every batch size and CPU level, to the bit: scale = max|x| / 127 over the block, q = round to nearest even
 * of x / scale, held within +-127 (a subnormal scale is coarse); all 0 when scale is 0. A block with a NaN or an infinity has
 * scale NaN and q 0, so that the product is NaN and nothing hides it.
 */
struct el_act {
    uint64_t n, n_in, n_pad;
    const float *f32;
    uint64_t f32_stride;
    const int8_t *q8;
    const float *scale;
    const int16_t *sum;
    const struct el_act_sums *sums;
};

enum el_act_form { EL_ACT_F32, EL_ACT_Q8 };

/*
 * y[t * y_stride + (r - row0)] = sum_k W[r, k] x[t, k]   for t in [0, x->n), r in [row0, row0 + n_rows)
 * W any encoding; x in the form that the table names for it. scratch: el_matmul_scratch_nbytes() bytes, 64-aligned, per thread.
 * The bits of one y depend on its row of W and its row of x only, not on what else is in the call.
 */
typedef void el_matmul_fn(const struct el_matrix *w, uint64_t row0, uint64_t n_rows, const struct el_act *x, float *y,
                          uint64_t y_stride, void *scratch);

/*
 * The same product of a re-laid matrix with int8 activations; row0 a multiple of EL_STRIP_ROWS. The bits are those of the
 * reference on the matrix as it lay before (product_ref.c).
 */
typedef void el_laid_fn(const struct el_laid *w, uint64_t row0, uint64_t n_rows, const struct el_act *x, float *y,
                        uint64_t y_stride, void *scratch);

/* out [n_rows, m->n_in] f32 = rows row0 .. row0 + n_rows; nothing else is written, and nothing outside the matrix read. */
typedef void el_decode_fn(const struct el_matrix *m, uint64_t row0, uint64_t n_rows, float *out);
/* y[r - row0] = sum_k W[r, k] x[k] for r in [row0, row0 + n_rows), x [n_in] f32 */
typedef void el_decode_dot_fn(const struct el_matrix *w, uint64_t row0, uint64_t n_rows, const float *x, float *y);

struct el_kernels {
    enum el_cpu_level level;

    /* Per encoding, indexed by enum el_encoding_index; NULL: decode rows to f32 and use matmul_f32. */
    struct {
        el_matmul_fn *fn;
        enum el_act_form form;
    } matmul[EL_ENC_COUNT];
    /* NULL: re-laying does not pay at this level, matmul is used. */
    el_laid_fn *laid[EL_ENC_COUNT];

    /*
     * What el_matrix_decode does, to the bit, for matrices that are not permuted; NULL: it is called. Products with float
     * activations of encodings that have no kernel go through it.
     */
    el_decode_fn *decode[EL_ENC_COUNT];
    /* The product with one such activation row, with the bits of decoding and matmul[f32]; NULL: that is what is done. */
    el_decode_dot_fn *decode_dot[EL_ENC_COUNT];

    /* q8, scale, sum of n rows, as said at struct el_act. */
    void (*quantize_act)(const float *x, uint64_t x_stride, uint64_t n, uint64_t n_in, int8_t *q8, float *scale, int16_t *sum);

    el_attn_fn *attn; /* see kernels/attn.h */

    /* y = x / sqrt(mean(x^2) + eps) * gain          rows [n, d]; y may be x */
    void (*rmsnorm)(const float *x, const float *gain, float eps, uint64_t n, uint64_t d, float *y);
    /* y = (x - mean) / sqrt(var + eps) * gain + bias (bias may be NULL); y may be x */
    void (*layernorm)(const float *x, const float *gain, const float *bias, float eps, uint64_t n, uint64_t d, float *y);
    /* y = silu(gate) * up = gate / (1 + exp(-gate)) * up; y may be gate or up */
    void (*silu_mul)(const float *gate, const float *up, uint64_t n, float *y);
    /* y = 0.5 x (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3))); y may be x */
    void (*gelu_tanh)(const float *x, uint64_t n, float *y);
    void (*add)(float *y, const float *x, uint64_t n);           /* y += x */
    void (*axpy)(float *y, float a, const float *x, uint64_t n); /* y += a x */
    /* y = a y + b x, every product and the sum rounded */
    void (*axpby)(float *y, float a, const float *x, float b, uint64_t n);
    void (*divide)(float *y, float by, uint64_t n); /* y /= by */
    bool (*all_finite)(const float *x, uint64_t n); /* neither a NaN nor an infinity among them */
    /*
     * Rotates one head in place: pairs (x[i], x[i + n_rot/2]), i < n_rot/2, by the angles whose cos, sin [n_rot/2] are given.
     */
    void (*rope)(float *x, const float *cos, const float *sin, uint32_t n_rot);
    /*
     * c [EL_OUTER, EL_OUTER] += a^T b for a, b [n, EL_OUTER]: every run of EL_OUTER_RUN rows, from the first on, is summed in
     * float32 by fma in the order of the rows, from 0, and its sum added to c in float64. The same bits at every level that has
     * fma, which all have. a may be b.
     */
    void (*outer)(const float *a, const float *b, uint64_t n, double *c);
    /* To the bit what base/f16.h says, NaNs included. */
    void (*f32_to_f16)(const float *x, uint64_t n, uint16_t *y);
    void (*f16_to_f32)(const uint16_t *x, uint64_t n, float *y);
};

/* Fills k for a level that el_cpu_allows. */
void el_kernels_init(struct el_kernels *k, enum el_cpu_level level);
/* The table for el_cpu(). Made on first use; any thread. */
const struct el_kernels *el_kernels(void);
/* Takes the kernels out that read int8 activations: their encodings are decoded and see the activations as they are. */
void el_kernels_without_q8(struct el_kernels *k);
/* el_matrix_decode by the table. */
void el_kernels_decode(const struct el_kernels *k, const struct el_matrix *m, uint64_t row0, uint64_t n_rows, float *out);
/*
 * What quantize_act does, with integers up to +-most (127 at most) instead of 127, and with by_row one scale for all blocks of a
 * row, from the largest |x| in it. For studies of narrower activations: products read the outcome as they read the other.
 */
void el_quantize_act_to(const float *x, uint64_t x_stride, uint64_t n, uint64_t n_in, uint32_t most, bool by_row, int8_t *q8,
                        float *scale, int16_t *sum);
/* sums [n] of n blocks from their scale [n] and sum [n, 2]. */
void el_act_sums(const float *scale, const int16_t *sum, uint64_t n, struct el_act_sums *sums);
/* Scratch per thread for any matmul on rows of n_in columns, or of fewer; a multiple of 64 bytes. */
uint64_t el_matmul_scratch_nbytes(uint64_t n_in);
/* Multiplies by the table, decoding when the encoding has no kernel of its own. */
void el_matmul(const struct el_kernels *k, const struct el_matrix *w, uint64_t row0, uint64_t n_rows, const struct el_act *x,
               float *y, uint64_t y_stride, void *scratch);
/*
 * What scratch has room for, where a product of many tokens unpacks strips: panels of so many strips, per 32 columns and strip so
 * many vectors, a strip's rows side by side. Several panels meet the same tokens one after another, while these are in the first
 * cache; all of them and the tokens are to stay in the second.
 */
enum {
    EL_LAID_MOST_STRIPS = 2,
    EL_LAID_MOST_VECTORS = 11,
    EL_LAID_VECTOR_NBYTES = 4 * EL_STRIP_ROWS,
    EL_LAID_MOST_PANELS = 4,
    EL_LAID_PANELS_NBYTES = 384 << 10,
};
/* Bytes of one panel, at most. */
static inline uint64_t el_laid_panel_nbytes(uint64_t n_in)
{
    return (uint64_t)EL_LAID_MOST_STRIPS * EL_LAID_MOST_VECTORS * EL_LAID_VECTOR_NBYTES * ((n_in + 31) / 32);
}
/* How many there are, 1 at least. */
static inline uint64_t el_laid_panels(uint64_t n_in)
{
    const uint64_t fit = EL_LAID_PANELS_NBYTES / (el_laid_panel_nbytes(n_in) + 1);
    return fit < 1 ? 1 : fit < EL_LAID_MOST_PANELS ? fit : EL_LAID_MOST_PANELS;
}
/* Which form el_matmul needs for this encoding. */
enum el_act_form el_matmul_form(const struct el_kernels *k, const struct el_enc *enc);

#endif
