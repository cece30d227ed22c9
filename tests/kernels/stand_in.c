#include "kernels/stand_in.h"

#include <stddef.h>
#include <stdlib.h>

#include "base/compiler.h"
#include "base/cpu.h"

#if EL_X86
static void kernels_avxvnni(struct el_kernels *k)
{
    el_laid_init_avxvnni_by_evex(k);
    el_matmul_group_init_avxvnni_by_evex(k);
    el_attn_init_avxvnni_by_evex(k);
}

static const struct {
    enum el_cpu_level level, needs, base; /* what it stands for, what the CPU must allow, what it adds to */
    void (*kernels)(struct el_kernels *k);
    void (*probes)(struct el_probes *p);
} stand_ins[] = {
    {EL_CPU_AVXVNNI, EL_CPU_AVX512VNNI, EL_CPU_AVX2, kernels_avxvnni, el_probes_init_avxvnni_by_evex},
    {EL_CPU_AMX, EL_CPU_AVX512VNNI, EL_CPU_AVX512VNNI, el_laid_init_amx_emulated, el_probes_init_amx_emulated},
};

/* Index of the i-th that this CPU can run, or past the last. */
static size_t find(unsigned i)
{
    size_t s = 0;
    for (; s < sizeof stand_ins / sizeof stand_ins[0]; s++)
        if (el_cpu_allows(stand_ins[s].needs) && i-- == 0)
            break;
    return s;
}

bool stand_in_kernels(unsigned i, struct el_kernels *k)
{
    const size_t s = find(i);
    if (s == sizeof stand_ins / sizeof stand_ins[0])
        return false;
    el_kernels_init(k, stand_ins[s].base);
    el_laid_fn *const before = k->laid[EL_ENC_IDX_q8_0];
    stand_ins[s].kernels(k);
    if (k->laid[EL_ENC_IDX_q8_0] == before)
        abort(); /* then nothing is tested */
    k->level = stand_ins[s].level;
    return true;
}

bool stand_in_probes(unsigned i, struct el_probes *p)
{
    const size_t s = find(i);
    if (s == sizeof stand_ins / sizeof stand_ins[0])
        return false;
    el_probes_init(p, stand_ins[s].base);
    stand_ins[s].probes(p);
    return true;
}
#else
bool stand_in_kernels(unsigned i, struct el_kernels *k)
{
    (void)i;
    (void)k;
    return false;
}

bool stand_in_probes(unsigned i, struct el_probes *p)
{
    (void)i;
    (void)p;
    return false;
}
#endif
