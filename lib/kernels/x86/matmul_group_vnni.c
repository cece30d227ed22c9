/* AVX-512 VNNI: the group encoding times int8 activations, 64 columns at a time; see kernels_vnni.c for the scheme. */
#include <stdint.h>

#include "base/compiler.h"
#include "kernels/blocks.h"
#include "kernels/kernels.h"
#include "kernels/tiles.h"

#if EL_X86
#include <immintrin.h>

#include "kernels/x86/group_codes.h"
#include "kernels/x86/kernels_x86.h"

enum { MAX_ROWS = 4, MAX_TOKENS = 4, REACH = 64 };

/* The unpacking of one number of bits, in registers: codes 0-7 and 8-15 of every sixteen. */
struct unpack {
    __m512i shuffle[2], shift[2], mask;
};

EL_INLINE EL_AVX512VNNI __m128i load_16(const void *p)
{
    return _mm_loadu_si128((const __m128i *)p);
}

EL_INLINE EL_AVX512VNNI struct unpack make_unpack(unsigned bits)
{
    const struct el_group_codes *const c = &el_group_codes[bits];
    struct unpack u;
    u.mask = _mm512_set1_epi16((short)((1u << bits) - 1));
    EL_UNROLL
    for (unsigned i = 0; i < 2; i++) {
        u.shuffle[i] = _mm512_broadcast_i32x4(load_16(c->shuffle + 16 * i));
        u.shift[i] = _mm512_broadcast_i32x4(load_16(c->shift + 8 * i));
    }
    return u;
}

/* Sixty-four codes as unsigned bytes. */
EL_INLINE EL_AVX512VNNI __m512i unpack_64(const struct unpack *u, const uint8_t *p, unsigned bits)
{
    __m512i v = _mm512_castsi128_si512(load_16(p));
    v = _mm512_inserti32x4(v, load_16(p + 2 * bits), 1);
    v = _mm512_inserti32x4(v, load_16(p + 4 * bits), 2);
    v = _mm512_inserti32x4(v, load_16(p + 6 * bits), 3);
    const __m512i low = _mm512_srlv_epi16(_mm512_shuffle_epi8(v, u->shuffle[0]), u->shift[0]);
    const __m512i high = _mm512_srlv_epi16(_mm512_shuffle_epi8(v, u->shuffle[1]), u->shift[1]);
    return _mm512_packus_epi16(_mm512_and_si512(low, u->mask), _mm512_and_si512(high, u->mask));
}

/* a in the lower eight lanes, b in the upper eight. */
EL_INLINE EL_AVX512VNNI __m512 pair(float a, float b)
{
    return _mm512_mask_mov_ps(_mm512_set1_ps(a), 0xff00, _mm512_set1_ps(b));
}

EL_INLINE EL_AVX512VNNI float f16_at(const uint8_t *p)
{
    return _mm_cvtss_f32(_mm_cvtph_ps(_mm_cvtsi32_si128(el_block_u16(p))));
}

struct job {
    struct unpack unpack;
    struct el_group_row rows[MAX_ROWS];
    unsigned bits, shift;
    uint64_t nbytes; /* of the codes of a row */
    const struct el_act *x;
    uint64_t t;
};

/* The 64 columns from block b on. `two` false: only 32 are there. `last`: loads of REACH bytes might leave the row. */
EL_INLINE EL_AVX512VNNI void step(const struct job *job, unsigned n_rows, unsigned n_tokens, uint64_t b, bool two, bool last,
                                  __m512 acc[MAX_ROWS][MAX_TOKENS])
{
    const struct el_act *const x = job->x;
    const __m512i none = _mm512_setzero_si512();
    const uint64_t g0 = b >> job->shift, g1 = two ? (b + 1) >> job->shift : g0, at = b * 4 * job->bits;
    __m512i xq[MAX_TOKENS];
    __m512 xs[MAX_TOKENS];
    EL_UNROLL
    for (unsigned i = 0; i < n_tokens; i++) {
        const float *const s = x->scale + (job->t + i) * (x->n_pad / 32) + b;
        xq[i] = _mm512_maskz_loadu_epi32(two ? 0xffff : 0x00ff, x->q8 + (job->t + i) * x->n_pad + b * 32);
        xs[i] = pair(s[0], two ? s[1] : 0);
    }
    EL_UNROLL
    for (unsigned r = 0; r < n_rows; r++) {
        const struct el_group_row *const row = &job->rows[r];
        uint8_t buffer[REACH];
        const uint8_t *const p = last ? el_group_last(row->codes, at, job->nbytes, REACH, buffer) : row->codes + at;
        const __m512i codes = unpack_64(&job->unpack, p, job->bits);
        const __m512 ws = pair(f16_at(row->scales + 2 * g0), f16_at(row->scales + 2 * g1));
        const __m256i z0 = _mm256_set1_epi8((char)el_group_zero(row, job->bits, g0));
        const __m256i z1 = _mm256_set1_epi8((char)el_group_zero(row, job->bits, g1));
        const __m512i zeros = _mm512_inserti64x4(_mm512_castsi256_si512(z0), z1, 1);
        el_prefetch_next(row->codes + at, n_rows, job->nbytes);
        EL_UNROLL
        for (unsigned i = 0; i < n_tokens; i++) {
            const __m512i dot =
                _mm512_sub_epi32(_mm512_dpbusd_epi32(none, codes, xq[i]), _mm512_dpbusd_epi32(none, zeros, xq[i]));
            acc[r][i] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(dot), _mm512_mul_ps(ws, xs[i]), acc[r][i]);
        }
    }
}

EL_INLINE EL_AVX512VNNI void tile(int kind, unsigned n_rows, unsigned n_tokens, const struct el_matrix *w, uint64_t row,
                                  const struct el_act *x, uint64_t t, float *y, uint64_t y_stride)
{
    (void)kind;
    struct job job = {.unpack = make_unpack(w->enc.bits),
                      .bits = w->enc.bits,
                      .shift = el_group_shift(w),
                      .nbytes = w->row_nbytes[0],
                      .x = x,
                      .t = t};
    const uint64_t n_blocks = x->n_pad / EL_ACT_BLOCK, step_nbytes = 8 * (uint64_t)job.bits;
    __m512 acc[MAX_ROWS][MAX_TOKENS];
    EL_UNROLL
    for (unsigned r = 0; r < n_rows; r++) {
        job.rows[r] = el_group_row(w, row + r);
        EL_UNROLL
        for (unsigned i = 0; i < n_tokens; i++)
            acc[r][i] = _mm512_setzero_ps();
    }
    uint64_t b = 0;
    for (; b + 2 <= n_blocks && b / 2 * step_nbytes + REACH <= job.nbytes; b += 2)
        step(&job, n_rows, n_tokens, b, true, false, acc);
    for (; b + 2 <= n_blocks; b += 2)
        step(&job, n_rows, n_tokens, b, true, true, acc);
    if (b < n_blocks)
        step(&job, n_rows, n_tokens, b, false, true, acc);
    EL_UNROLL
    for (unsigned r = 0; r < n_rows; r++) {
        EL_UNROLL
        for (unsigned i = 0; i < n_tokens; i++)
            y[i * y_stride + r] = _mm512_reduce_add_ps(acc[r][i]);
    }
}

EL_DEFINE_TILED_MATMUL(matmul_group_vnni, tile, 0, EL_AVX512VNNI, MAX_ROWS, MAX_TOKENS)

void el_matmul_group_init_vnni(struct el_kernels *k)
{
    k->matmul[EL_ENC_IDX_group].fn = matmul_group_vnni;
}
#endif
