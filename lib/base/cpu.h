/*
 * What the CPU can do. Features are what kernels need; a level is a named set of them, one line of the table in cpu.c. Kernels
 * ask for features of the level in use, never the CPU. A level may be used when all of its features were detected; EDGELLM_CPU or
 * el_cpu_cap() choose another than the best. Levels are no ladder: a CPU may have one without all that stand before it.
 * Each kind of machine has its own levels; the names of another's are unknown to it.
 */
#ifndef EL_BASE_CPU_H
#define EL_BASE_CPU_H

#include <stdint.h>

#include "base/compiler.h"
#include "base/err.h"

/* Bits of a set of features. Each says that the operating system saves the registers, too. */
enum el_cpu_feature {
#if EL_ARM64
    EL_CPU_HAS_NEON = 1,    /* Advanced SIMD */
    EL_CPU_HAS_DOTPROD = 2, /* sdot: four int8 products per int32 lane (ARMv8.2) */
    EL_CPU_HAS_I8MM = 4,    /* smmla: 2 x 8 by 8 x 2 int8 matrices (ARMv8.6) */
#else
    EL_CPU_HAS_AVX2 = 1,       /* AVX2 FMA F16C */
    EL_CPU_HAS_AVXVNNI = 2,    /* vpdpbusd of 32 bytes, as AVX2 encodes instructions */
    EL_CPU_HAS_AVX512 = 4,     /* F CD BW DQ VL */
    EL_CPU_HAS_AVX512VNNI = 8, /* vpdpbusd of 64 bytes */
    EL_CPU_HAS_AMXINT8 = 16,   /* tiles of int8, and the system's leave to use them */
#endif
};

/* In the order of the table: the later, the better. */
enum el_cpu_level {
    EL_CPU_REF = 0, /* plain C */
#if EL_ARM64
    EL_CPU_NEON,
    EL_CPU_DOTPROD,
    EL_CPU_I8MM,
#else
    EL_CPU_AVX2,
    EL_CPU_AVXVNNI,
    EL_CPU_AVX512,
    EL_CPU_AVX512VNNI,
    EL_CPU_AMX,
#endif
    EL_CPU_LEVELS
};

enum el_cpu_level el_cpu(void);                    /* in use */
enum el_cpu_level el_cpu_detected(void);           /* the best that this CPU has */
unsigned el_cpu_features(enum el_cpu_level level); /* the set of a level, of enum el_cpu_feature */
enum el_cpu_level el_cpu_best(unsigned features);  /* the last level of the table whose set is within these */
bool el_cpu_allows(enum el_cpu_level level);       /* its set is within what was detected */
const char *el_cpu_name(enum el_cpu_level level);  /* NULL past the end */
const char *el_cpu_model(void);                    /* "AMD EPYC", "implementer 0x41, part 0xd0b", static */
/*
 * EDGELLM_CPU is read on the first call of el_cpu(), unless el_cpu_cap() came before; a bad value is ignored there and reported
 * by this, which opening a model and a session calls, after el_cpu_cap() too: what the user typed is wrong either way.
 * EL_E_USAGE for an unknown name, EL_E_UNSUPPORTED for a level that the CPU lacks; both name the variable.
 */
enum el_status el_cpu_check_env(struct el_err *err);
/* For tests: sets the level at once, without a check against an earlier choice. False when the CPU lacks it. */
bool el_cpu_force(enum el_cpu_level level);

#if EL_X86
/* What cpuid and xgetbv say, and whether the system lets this process use tiles; see Intel's manual, volume 2, CPUID. */
struct el_cpuid {
    uint32_t c1;                 /* leaf 1: ecx */
    uint32_t b7, c7, d7;         /* leaf 7 */
    uint32_t a7_1;               /* leaf 7, subleaf 1: eax */
    uint64_t saved;              /* XCR0: the registers that the system saves */
    bool (*may_use_tiles)(void); /* asked only where there are tiles */
};
/* The features in them, of enum el_cpu_feature; for tests without such a CPU. */
unsigned el_cpuid_features(const struct el_cpuid *id);
#endif

#endif
