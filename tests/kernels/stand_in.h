/*
 * Stand-ins for CPU levels whose instructions few CPUs have. The kernels' own sources are compiled once more, with other
 * instructions of the same meaning, so that all tests of kernels run them where those are to be had: AVX-VNNI by AVX-512 VNNI,
 * and AMX by plain C (the rest of it is AVX-512 VNNI). They come in the walk of trap.h under the name of the level that they
 * stand for, on CPUs that have that level, too.
 */
#ifndef EL_TESTS_KERNELS_STAND_IN_H
#define EL_TESTS_KERNELS_STAND_IN_H

#include <stdbool.h>

#include "kernels/kernels.h"
#include "kernels/probes.h"

/* The i-th stand-in that this CPU can run; false past the last. */
bool stand_in_kernels(unsigned i, struct el_kernels *k);
bool stand_in_probes(unsigned i, struct el_probes *p);

#if EL_X86
void el_laid_init_avxvnni_by_evex(struct el_kernels *k);
void el_matmul_group_init_avxvnni_by_evex(struct el_kernels *k);
void el_attn_init_avxvnni_by_evex(struct el_kernels *k);
void el_probes_init_avxvnni_by_evex(struct el_probes *p);
void el_laid_init_amx_emulated(struct el_kernels *k);
void el_probes_init_amx_emulated(struct el_probes *p);
#endif

#endif
