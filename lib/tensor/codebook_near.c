/* See codebook_near.h. */
#include "tensor/codebook_near.h"

#include <math.h>
#include <stddef.h>

#include "base/compiler.h"
#include "base/cpu.h"

/* Sixteen pairs of three digits: what belongs to the first, and to the second. */
#define FIRST(a, b, c)  a, b, c, 0, a, b, c, 0, a, b, c, 0, a, b, c, 0
#define SECOND(a, b, c) a, a, a, a, b, b, b, b, c, c, c, c, 0, 0, 0, 0
/* clang-format off */
#define BOTH(...) {{FIRST(__VA_ARGS__)}, {SECOND(__VA_ARGS__)}}
#define THREE(a, b, c)                                                                                                           \
    {.square = BOTH(0, (b) * (b) - (a) * (a), (c) * (c) - (a) * (a)), .twice = BOTH(0, 2 * ((b) - (a)), 2 * ((c) - (a))),        \
     .turn = BOTH(4 * (a), 4 * (b), 4 * (c)), .pad = {[3] = N, [7] = N, [11] = N, N, N, N, N}}
#define OF(F, a, b, c, d, e, f, g, h) {{F(a, a), F(a, b), F(a, c), F(a, d), F(a, e), F(a, f), F(a, g), F(a, h)}}
#define EIGHT(...) {.square = OF(SQUARE, __VA_ARGS__), .twice = OF(TWICE, __VA_ARGS__), .turn = OF(TURN, __VA_ARGS__)}
/* clang-format on */
#define N            INFINITY
#define SQUARE(a, x) (x) * (x) - (a) * (a)
#define TWICE(a, x)  2 * ((x) - (a))
#define TURN(a, x)   4 * (x)

const struct el_near_table el_near_iq1[2] = {THREE(-7, 1, 9), THREE(-9, -1, 7)};
const struct el_near_table el_near_iq2[1] = {THREE(8, 25, 43)};
const struct el_near_table el_near_iq3_xxs[1] = {EIGHT(4, 12, 20, 28, 36, 44, 52, 62)};
const struct el_near_table el_near_iq3_s[1] = {EIGHT(1, 3, 5, 7, 9, 11, 13, 15)};

const struct el_near_fns *el_near_fns(void)
{
#if EL_X86
    if (el_cpu_features(el_cpu()) & EL_CPU_HAS_AVX2)
        return &el_near_fns_avx2;
#endif
    return &el_near_fns_ref;
}
