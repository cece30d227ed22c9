/*
 * What the CPU can do, as a ladder of levels. Kernels ask el_cpu(), never the CPU. EDGELLM_CPU or el_cpu_cap() lowers the level.
 * Each kind of machine has its own ladder; the names of another's are unknown to it.
 */
#ifndef EL_BASE_CPU_H
#define EL_BASE_CPU_H

#include "base/compiler.h"
#include "base/err.h"

enum el_cpu_level {
    EL_CPU_REF = 0, /* plain C */
#if EL_ARM64
    EL_CPU_NEON = 1,    /* Advanced SIMD */
    EL_CPU_DOTPROD = 2, /* sdot: four int8 products per int32 lane (ARMv8.2) */
    EL_CPU_I8MM = 3,    /* smmla: 2 x 8 by 8 x 2 int8 matrices (ARMv8.6) */
#else
    EL_CPU_AVX2 = 1,   /* AVX2 FMA F16C */
    EL_CPU_AVX512 = 2, /* F CD BW DQ VL */
    EL_CPU_AVX512VNNI = 3,
#endif
    EL_CPU_LEVELS
};

enum el_cpu_level el_cpu(void);          /* in use: min(detected, cap) */
enum el_cpu_level el_cpu_detected(void);
const char *el_cpu_name(enum el_cpu_level level); /* NULL past the end */
const char *el_cpu_model(void);                   /* "AMD EPYC", "implementer 0x41, part 0xd0b", static */
/*
 * EDGELLM_CPU is read on the first call of el_cpu(), unless el_cpu_cap() came before; a bad value is ignored there and reported
 * by this, which opening a model and a session calls, after el_cpu_cap() too: what the user typed is wrong either way.
 * EL_E_USAGE for an unknown name, EL_E_UNSUPPORTED for more than the CPU has; both name the variable.
 */
enum el_status el_cpu_check_env(struct el_err *err);
/* For tests: sets the level at once, without a check against an earlier choice. False when the CPU lacks it. */
bool el_cpu_force(enum el_cpu_level level);

#endif
