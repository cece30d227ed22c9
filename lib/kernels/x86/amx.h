/*
 * AMX: products of int8 matrices in eight registers of up to 16 rows of 64 bytes ("tiles"), as Intel's Architecture Instruction
 * Set Extensions define them. A tile's number is a literal.
 *
 *   el_amx_open(config)          what all tiles are from here on; el_amx_close(): they are nothing again, and nobody saves them
 *   el_amx_zero(t)
 *   el_amx_load(t, p, stride)    row r of tile t from p + r * stride; el_amx_store(t, p, stride): to there
 *   el_amx_dot(c, a, b)          c[m][n] += sum over k and i of a[m][4 k + i] * b[k][4 n + i], int8 to int32, exactly
 *
 * These instructions were never run: no machine that this was written on has them. With EL_AMX_EMULATED the same operations are
 * plain C after the definition, and so the unit tests run the kernels (tests/kernels/stand_in.h).
 */
#ifndef EL_KERNELS_X86_AMX_H
#define EL_KERNELS_X86_AMX_H

#include "base/compiler.h"

#if EL_X86
#include <immintrin.h>
#include <stdint.h>

enum { EL_AMX_TILES = 8, EL_AMX_ROWS = 16, EL_AMX_ROW_NBYTES = 64 };

/* The operand of LDTILECFG. */
struct el_amx_config {
    uint8_t palette, start_row; /* 1, 0 */
    uint8_t zero[14];
    uint16_t row_nbytes[16]; /* of the tiles, then zeros */
    uint8_t n_rows[16];
};
_Static_assert(sizeof(struct el_amx_config) == 64, "as the instruction reads it");

#ifdef EL_AMX_EMULATED
#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#define EL_AMX EL_TARGET("avx2,fma,f16c,avx512f,avx512cd,avx512bw,avx512dq,avx512vl,avx512vnni")

struct el_amx_tile {
    unsigned n_rows, row_nbytes; /* 0: not configured */
    uint8_t bytes[EL_AMX_ROWS][EL_AMX_ROW_NBYTES];
};

static _Thread_local struct el_amx_tile el_amx_tiles[EL_AMX_TILES];

static inline void el_amx_open(const struct el_amx_config *config)
{
    static const struct el_amx_config none;
    assert(config->palette == 1 && config->start_row == 0 && memcmp(config->zero, none.zero, sizeof none.zero) == 0);
    assert(memcmp(config->row_nbytes + EL_AMX_TILES, none.row_nbytes, 16) == 0);
    assert(memcmp(config->n_rows + EL_AMX_TILES, none.n_rows, 8) == 0);
    memset(el_amx_tiles, 0, sizeof el_amx_tiles);
    for (unsigned t = 0; t < EL_AMX_TILES; t++) {
        assert(config->n_rows[t] <= EL_AMX_ROWS && config->row_nbytes[t] <= EL_AMX_ROW_NBYTES);
        assert((config->n_rows[t] == 0) == (config->row_nbytes[t] == 0));
        el_amx_tiles[t].n_rows = config->n_rows[t];
        el_amx_tiles[t].row_nbytes = config->row_nbytes[t];
    }
}

static inline void el_amx_close(void)
{
    memset(el_amx_tiles, 0, sizeof el_amx_tiles);
}

static inline void el_amx_zero(unsigned t)
{
    assert(el_amx_tiles[t].n_rows);
    memset(el_amx_tiles[t].bytes, 0, sizeof el_amx_tiles[t].bytes);
}

static inline void el_amx_load(unsigned t, const void *p, size_t stride)
{
    el_amx_zero(t);
    for (unsigned r = 0; r < el_amx_tiles[t].n_rows; r++)
        memcpy(el_amx_tiles[t].bytes[r], (const uint8_t *)p + r * stride, el_amx_tiles[t].row_nbytes);
}

static inline void el_amx_store(unsigned t, void *p, size_t stride)
{
    assert(el_amx_tiles[t].n_rows);
    for (unsigned r = 0; r < el_amx_tiles[t].n_rows; r++)
        memcpy((uint8_t *)p + r * stride, el_amx_tiles[t].bytes[r], el_amx_tiles[t].row_nbytes);
}

/* What makes the instruction an illegal one is an assertion here. */
static inline void el_amx_dot(unsigned tc, unsigned ta, unsigned tb)
{
    struct el_amx_tile *const c = &el_amx_tiles[tc];
    const struct el_amx_tile *const a = &el_amx_tiles[ta], *const b = &el_amx_tiles[tb];
    assert(tc != ta && tc != tb && ta != tb && c->n_rows && a->n_rows && b->n_rows);
    assert(c->n_rows == a->n_rows && a->row_nbytes == 4 * b->n_rows && c->row_nbytes == b->row_nbytes && c->row_nbytes % 4 == 0);
    for (unsigned m = 0; m < c->n_rows; m++) {
        for (unsigned n = 0; n < c->row_nbytes / 4; n++) {
            uint32_t sum;
            memcpy(&sum, c->bytes[m] + 4 * n, 4);
            for (unsigned k = 0; k < b->n_rows; k++)
                for (unsigned i = 0; i < 4; i++)
                    sum += (uint32_t)((int8_t)a->bytes[m][4 * k + i] * (int8_t)b->bytes[k][4 * n + i]);
            memcpy(c->bytes[m] + 4 * n, &sum, 4);
        }
    }
}
#else
#define EL_AMX          EL_TARGET("avx2,fma,f16c,avx512f,avx512cd,avx512bw,avx512dq,avx512vl,avx512vnni,amx-tile,amx-int8")

/* gcc 12's intrinsics do not say what they read: without this it may drop the stores to it that came before. */
#define EL_AMX_READS(p) __asm__ volatile("" : : "r"(p) : "memory")

EL_INLINE EL_AMX void el_amx_open(const struct el_amx_config *config)
{
    EL_AMX_READS(config);
    _tile_loadconfig(config);
}

EL_INLINE EL_AMX void el_amx_close(void)
{
    _tile_release();
}

#define el_amx_zero(t) _tile_zero(t)
#define el_amx_load(t, p, stride)                                                                                                \
    do {                                                                                                                         \
        EL_AMX_READS(p);                                                                                                         \
        _tile_loadd(t, (p), (stride));                                                                                           \
    } while (0)
#define el_amx_store(t, p, stride) _tile_stored(t, (p), (stride))
#define el_amx_dot(c, a, b)        _tile_dpbssd(c, a, b)
#endif
#endif

#endif
