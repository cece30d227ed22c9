/*
 * AMX: products of re-laid weights with many tokens. Thirty-two columns of a strip unpacked are a tile as they lie: four columns
 * of sixteen rows in each of eight vectors. So are the activations of sixteen tokens. Few tokens, and strips that are left over,
 * are AVX-512 VNNI's. The instructions were never run, see amx.h (so they are tried first, and left alone where they do not give
 * what they should): how fast they are, and from how many tokens on they pay, is not
 * known.
 */
#include <stdbool.h>
#include <stdint.h>

#include "base/compiler.h"
#include "kernels/blocks.h"
#include "kernels/kernels.h"
#include "tensor/layout.h"

#if EL_X86
#include "kernels/x86/amx.h"
#include "kernels/x86/kernels_x86.h"

#define LAID_TARGET EL_AMX
#define LAID_FN     EL_INLINE EL_AMX
#define LAID_MATRIX
#define LAID_OTHER el_laid_avx512vnni
#include "kernels/x86/laid_avx512vnni.h"

/* The codes less off, as numbers with a sign. */
LAID_FN VI v_signed(VI codes, int off)
{
    return _mm512_sub_epi8(codes, _mm512_set1_epi8((char)off));
}

/* Four sums are under way at a time, in tiles 0 to 3; 4 and 5 hold activations, 6 and 7 codes. */
LAID_FN void m_open(unsigned n_columns)
{
    struct el_amx_config config = {.palette = 1};
    for (unsigned t = 0; t < EL_AMX_TILES; t++) {
        config.n_rows[t] = (uint8_t)(t < 6 ? LAID_TOKENS : n_columns / 4);
        config.row_nbytes[t] = (uint16_t)(t == 4 || t == 5 ? n_columns : 64);
    }
    el_amx_open(&config);
}
LAID_FN void m_close(void)
{
    el_amx_close();
}

/* The codes of the k-th columns: 16 of them are four vectors. */
LAID_FN const uint8_t *codes_at(unsigned k, unsigned n_columns, const uint8_t *codes, uint64_t step)
{
    return codes + k * n_columns / 32 * step + k * n_columns % 32 / 4 * EL_LAID_VECTOR_NBYTES;
}

#define DOT(k, a, b)                                                                                                             \
    if (n > k) {                                                                                                                 \
        el_amx_zero(k);                                                                                                          \
        el_amx_load(a, q8 + (k)*n_columns, stride);                                                                              \
        el_amx_load(b, codes_at(k, n_columns, codes, step), 64u);                                                                \
        el_amx_dot(k, a, b);                                                                                                     \
    }
#define STORE(k)                                                                                                                 \
    if (n > k)                                                                                                                   \
        el_amx_store(k, out[k], 64u);

LAID_FN void m_dots(unsigned n, unsigned n_columns, const uint8_t *codes, uint64_t step, const int8_t *q8, uint64_t stride,
                    VI out[LAID_DOTS][LAID_TOKENS])
{
    DOT(0, 4, 6)
    DOT(1, 5, 7)
    DOT(2, 4, 6)
    DOT(3, 5, 7)
    STORE(0)
    STORE(1)
    STORE(2)
    STORE(3)
}

/* The others are avx512vnni's. */
#define LAID_ALL LAID_FIELDS
#include "kernels/laid_kernels.inc"

/* One product of tiles against plain C: nobody has seen these instructions, and a program is not the place to trust them. */
EL_AMX static bool works(void)
{
    _Alignas(64) uint8_t codes[8][64];
    _Alignas(64) int8_t q8[LAID_TOKENS][32];
    VI out[LAID_DOTS][LAID_TOKENS];
    bool same = true;
    for (unsigned i = 0; i < sizeof codes; i++)
        codes[i / 64][i % 64] = (uint8_t)(i * 37 + 11);
    for (unsigned i = 0; i < sizeof q8; i++)
        q8[i / 32][i % 32] = (int8_t)(uint8_t)(i * 91 + 5);
    m_open(32);
    m_dots(1, 32, codes[0], sizeof codes, q8[0], sizeof q8[0], out);
    m_close();
    for (unsigned t = 0; t < LAID_TOKENS; t++) {
        int32_t got[EL_STRIP_ROWS];
        v_store(got, out[0][t]);
        for (unsigned r = 0; r < EL_STRIP_ROWS; r++) {
            int32_t want = 0;
            for (unsigned c = 0; c < 32; c++)
                want += (int8_t)codes[c / 4][r * 4 + c % 4] * q8[t][c];
            same = same && got[r] == want;
        }
    }
    return same;
}

void el_laid_init_amx(struct el_kernels *k)
{
    if (works())
        laid_init(k);
}
#endif
