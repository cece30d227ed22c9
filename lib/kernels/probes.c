/* The probes in plain C, as the compiler makes them, and the table of a level. */
#include "kernels/probes.h"

#include <assert.h>
#include <string.h>

#include "base/compiler.h"
#include "base/cpu.h"

#if EL_X86
#include "kernels/x86/probes_x86.h"
#endif

enum { LANES = 32, N_BYTES = 64 };

static uint64_t read_plain(const uint8_t *p, uint64_t nbytes)
{
    uint64_t x[4] = {0, 0, 0, 0};
    for (uint64_t i = 0; i < nbytes; i += sizeof x) {
        uint64_t v[4];
        memcpy(v, p + i, sizeof v);
        for (int k = 0; k < 4; k++)
            x[k] ^= v[k];
    }
    return x[0] ^ x[1] ^ x[2] ^ x[3];
}

/* The operands move along a buffer, so that the products of one turn are not those of another. */
static float int8_plain(uint64_t n_turns)
{
    uint8_t u[2 * N_BYTES];
    int8_t s[N_BYTES];
    int32_t sum = 0;
    for (unsigned i = 0; i < 2 * N_BYTES; i++)
        u[i] = (uint8_t)(i % 7);
    for (unsigned i = 0; i < N_BYTES; i++)
        s[i] = (int8_t)(i % 3 == 0 ? 1 : -1);
    for (uint64_t t = 0; t < n_turns; t++)
        for (unsigned i = 0; i < N_BYTES; i++)
            sum += (int32_t)u[t % N_BYTES + i] * s[i];
    return (float)sum;
}

static float f32_plain(uint64_t n_turns)
{
    float acc[LANES], sum = 0;
    for (unsigned i = 0; i < LANES; i++)
        acc[i] = (float)i;
    for (uint64_t t = 0; t < n_turns; t++)
        for (unsigned i = 0; i < LANES; i++)
            acc[i] = acc[i] * 0.5f + 3.0f;
    for (unsigned i = 0; i < LANES; i++)
        sum += acc[i];
    return sum;
}

void el_probes_init(struct el_probes *p, enum el_cpu_level level)
{
    assert(el_cpu_allows(level));
    *p = (struct el_probes){.read = read_plain, .int8 = {int8_plain, 2 * N_BYTES}, .f32 = {f32_plain, 2 * LANES}};
#if EL_X86
    const unsigned has = el_cpu_features(level);
    if (has & EL_CPU_HAS_AVX2)
        el_probes_init_avx2(p);
    if (has & EL_CPU_HAS_AVXVNNI)
        el_probes_init_avxvnni(p);
    if (has & EL_CPU_HAS_AVX512)
        el_probes_init_avx512(p);
    if (has & EL_CPU_HAS_AVX512VNNI)
        el_probes_init_avx512vnni(p);
    if (has & EL_CPU_HAS_AMXINT8)
        el_probes_init_amx(p);
#endif
}
