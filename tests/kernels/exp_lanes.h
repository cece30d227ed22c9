/* vf_exp of lanes.inc, for test_ops.c: a file per level, since each names its vectors alike. y [16] = exp(x [16]). */
#ifndef EL_TESTS_KERNELS_EXP_LANES_H
#define EL_TESTS_KERNELS_EXP_LANES_H

#include "base/compiler.h"

#if EL_X86
void exp_lanes_avx2(const float *x, float *y);
void exp_lanes_avx512(const float *x, float *y);
#elif EL_ARM64
void exp_lanes_neon(const float *x, float *y);
#endif

#endif
