/* What each x86 level puts into the table of probes. Called by el_probes_init, feature by feature. */
#ifndef EL_KERNELS_X86_PROBES_X86_H
#define EL_KERNELS_X86_PROBES_X86_H

#include "base/compiler.h"
#include "kernels/probes.h"

#if EL_X86
void el_probes_init_avx2(struct el_probes *p);
void el_probes_init_avxvnni(struct el_probes *p);
void el_probes_init_avx512(struct el_probes *p);
void el_probes_init_avx512vnni(struct el_probes *p);
void el_probes_init_amx(struct el_probes *p);
#endif

#endif
