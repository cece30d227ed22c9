/*
 * AVX-512 VNNI: the group encoding times int8 activations, 64 columns at a time; see kernels_vnni.c for the scheme. Codes of four
 * bits, the usual ones, have an unpacking of their own, and a group's scale and zero point are spread over registers once.
 */
#include <stdint.h>

#include "base/compiler.h"
#include "kernels/blocks.h"
#include "kernels/kernels.h"
#include "kernels/tiles.h"

#if EL_X86
#include <immintrin.h>

#include "kernels/group_codes.h"
#include "kernels/x86/kernels_x86.h"

enum { MAX_ROWS = 4, MAX_TOKENS = 4 };
enum kind { ANY_BITS, FOUR_BITS };

/* Bytes that a load of 64 codes takes. */
EL_INLINE unsigned reach_of(enum kind kind)
{
    return kind == FOUR_BITS ? 32 : 64;
}

/* The unpacking of one number of bits, in registers: a quarter's words, then codes 0-7 and 8-15 of its sixteen. */
struct unpack {
    __m512i quarters, shuffle[2], shift[2], mask;
};

EL_INLINE EL_AVX512VNNI __m128i load_16(const void *p)
{
    return _mm_loadu_si128((const __m128i *)p);
}

EL_INLINE EL_AVX512VNNI struct unpack make_unpack(unsigned bits)
{
    const struct el_group_codes *const c = &el_group_codes[bits];
    struct unpack u;
    uint16_t words[32];
    for (unsigned i = 0; i < 32; i++) /* sixteen codes fill `bits` words */
        words[i] = (uint16_t)(i / 8 * bits + i % 8);
    u.quarters = _mm512_loadu_si512(words);
    u.mask = _mm512_set1_epi16((short)((1u << bits) - 1));
    EL_UNROLL
    for (unsigned i = 0; i < 2; i++) {
        u.shuffle[i] = _mm512_broadcast_i32x4(load_16(c->shuffle + 16 * i));
        u.shift[i] = _mm512_broadcast_i32x4(load_16(c->shift + 8 * i));
    }
    return u;
}

/* Sixty-four codes as unsigned bytes. */
EL_INLINE EL_AVX512VNNI __m512i unpack_64(enum kind kind, const struct unpack *u, const uint8_t *p)
{
    if (kind == FOUR_BITS) { /* each byte in a word of its own, whose upper byte gets the upper code */
        const __m512i v = _mm512_cvtepu8_epi16(_mm256_loadu_si256((const __m256i *)(const void *)p));
        return _mm512_and_si512(_mm512_or_si512(v, _mm512_slli_epi16(v, 4)), _mm512_set1_epi8(15));
    }
    const __m512i v = _mm512_permutexvar_epi16(u->quarters, _mm512_loadu_si512(p));
    const __m512i low = _mm512_srlv_epi16(_mm512_shuffle_epi8(v, u->shuffle[0]), u->shift[0]);
    const __m512i high = _mm512_srlv_epi16(_mm512_shuffle_epi8(v, u->shuffle[1]), u->shift[1]);
    return _mm512_packus_epi16(_mm512_and_si512(low, u->mask), _mm512_and_si512(high, u->mask));
}

struct job {
    struct unpack unpack;
    struct el_group_row rows[MAX_ROWS];
    unsigned bits, shift;
    uint64_t nbytes; /* of the codes of a row */
    const struct el_act *x;
    uint64_t t;
};

/* Scale and zero point of 64 columns of a row: a group's, or two groups' in the lower and the upper half. */
struct groups {
    __m512 scale;
    __m512i zeros;
};

EL_INLINE EL_AVX512VNNI void take_groups(const struct job *job, unsigned n_rows, uint64_t b, bool two, struct groups *g)
{
    const uint64_t g0 = b >> job->shift, g1 = two ? (b + 1) >> job->shift : g0;
    const __m512i halves = _mm512_set_epi32(1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0);
    EL_UNROLL
    for (unsigned r = 0; r < n_rows; r++) {
        const struct el_group_row *const row = &job->rows[r];
        const uint32_t d = el_block_u16(row->scales + 2 * g0) | (uint32_t)el_block_u16(row->scales + 2 * g1) << 16;
        const __m512i z0 = _mm512_set1_epi8((char)el_group_zero(row, job->bits, g0));
        const __m512i z1 = _mm512_set1_epi8((char)el_group_zero(row, job->bits, g1));
        g[r].scale = _mm512_permutexvar_ps(halves, _mm512_castps128_ps512(_mm_cvtph_ps(_mm_cvtsi32_si128((int)d))));
        g[r].zeros = _mm512_mask_mov_epi32(z0, 0xff00, z1);
    }
}

/* The 64 columns from block b on. `two` false: only 32 are there. `last`: loads might leave the row. */
EL_INLINE EL_AVX512VNNI void step(enum kind kind, const struct job *job, unsigned n_rows, unsigned n_tokens, uint64_t b, bool two,
                                  bool last, const struct groups *g, __m512 acc[MAX_ROWS][MAX_TOKENS])
{
    const struct el_act *const x = job->x;
    const __m512i none = _mm512_setzero_si512();
    const uint64_t at = b * 4 * job->bits;
    __m512i xq[MAX_TOKENS], less[MAX_TOKENS];
    __m512 xs[MAX_TOKENS];
    EL_UNROLL
    for (unsigned i = 0; i < n_tokens; i++) {
        const float *const s = x->scale + (job->t + i) * (x->n_pad / 32) + b;
        xq[i] = _mm512_maskz_loadu_epi32(two ? 0xffff : 0x00ff, x->q8 + (job->t + i) * x->n_pad + b * 32);
        less[i] = _mm512_sub_epi8(none, xq[i]);
        xs[i] = _mm512_mask_mov_ps(_mm512_set1_ps(s[0]), 0xff00, _mm512_set1_ps(two ? s[1] : 0));
    }
    EL_UNROLL
    for (unsigned r = 0; r < n_rows; r++) {
        const uint8_t *const codes = job->rows[r].codes;
        uint8_t buffer[64];
        const uint8_t *const p = last ? el_group_last(codes, at, job->nbytes, reach_of(kind), buffer) : codes + at;
        const __m512i q = unpack_64(kind, &job->unpack, p);
        el_prefetch_next(codes + at, n_rows, job->nbytes);
        EL_UNROLL
        for (unsigned i = 0; i < n_tokens; i++) {
            const __m512i dot = _mm512_dpbusd_epi32(_mm512_dpbusd_epi32(none, g[r].zeros, less[i]), q, xq[i]);
            acc[r][i] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dot), _mm512_mul_ps(g[r].scale, xs[i]), acc[r][i]);
        }
    }
}

EL_INLINE EL_AVX512VNNI void tile(enum kind kind, unsigned n_rows, unsigned n_tokens, const struct el_matrix *w, uint64_t row,
                                  const struct el_act *x, uint64_t t, float *y, uint64_t y_stride)
{
    struct job job = {.unpack = make_unpack(w->enc.bits),
                      .bits = kind == FOUR_BITS ? 4 : w->enc.bits,
                      .shift = el_group_shift(w),
                      .nbytes = w->row_nbytes[0],
                      .x = x,
                      .t = t};
    const uint64_t n_blocks = x->n_pad / EL_ACT_BLOCK, step_nbytes = 8 * (uint64_t)job.bits;
    const uint64_t within = (UINT64_C(1) << job.shift) - 1; /* 0 where a block begins a group */
    struct groups g[MAX_ROWS];
    __m512 acc[MAX_ROWS][MAX_TOKENS];
    EL_UNROLL
    for (unsigned r = 0; r < n_rows; r++) {
        job.rows[r] = el_group_row(w, row + r);
        g[r] = (struct groups){_mm512_setzero_ps(), _mm512_setzero_si512()};
        EL_UNROLL
        for (unsigned i = 0; i < n_tokens; i++)
            acc[r][i] = _mm512_setzero_ps();
    }
    uint64_t b = 0;
    for (; b + 2 <= n_blocks && b / 2 * step_nbytes + reach_of(kind) <= job.nbytes; b += 2) {
        if ((b & within) == 0)
            take_groups(&job, n_rows, b, true, g);
        step(kind, &job, n_rows, n_tokens, b, true, false, g, acc);
    }
    for (; b < n_blocks; b += 2) {
        const bool two = b + 2 <= n_blocks;
        take_groups(&job, n_rows, b, two, g);
        step(kind, &job, n_rows, n_tokens, b, two, true, g, acc);
    }
    EL_UNROLL
    for (unsigned r = 0; r < n_rows; r++) {
        EL_UNROLL
        for (unsigned i = 0; i < n_tokens; i++)
            y[i * y_stride + r] = _mm512_reduce_add_ps(acc[r][i]);
    }
}

EL_DEFINE_TILED_MATMUL(matmul_four_bits, tile, FOUR_BITS, EL_AVX512VNNI, MAX_ROWS, MAX_TOKENS)
EL_DEFINE_TILED_MATMUL(matmul_any_bits, tile, ANY_BITS, EL_AVX512VNNI, MAX_ROWS, MAX_TOKENS)

static void matmul_group_vnni(const struct el_matrix *w, uint64_t row0, uint64_t n_rows, const struct el_act *x, float *y,
                              uint64_t y_stride, void *scratch)
{
    if (w->enc.bits == 4)
        matmul_four_bits(w, row0, n_rows, x, y, y_stride, scratch);
    else
        matmul_any_bits(w, row0, n_rows, x, y, y_stride, scratch);
}

void el_matmul_group_init_vnni(struct el_kernels *k)
{
    k->matmul[EL_ENC_IDX_group].fn = matmul_group_vnni;
}
#endif
