/* The kernels of kernels/x86/probes_avxvnni.c by the instructions of AVX-512; see stand_in.h. */
#include "kernels/stand_in.h"

#define EL_AVXVNNI_BY_EVEX
#define el_probes_init_avxvnni el_probes_init_avxvnni_by_evex
#include "kernels/x86/probes_avxvnni.c"
