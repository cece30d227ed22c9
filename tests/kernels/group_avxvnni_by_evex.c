/* The kernels of kernels/x86/matmul_group_avxvnni.c by the instructions of AVX-512; see stand_in.h. */
#include "kernels/stand_in.h"

#define EL_AVXVNNI_BY_EVEX
#define el_matmul_group_init_avxvnni el_matmul_group_init_avxvnni_by_evex
#include "kernels/x86/matmul_group_avxvnni.c"
