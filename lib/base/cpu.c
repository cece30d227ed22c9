#include "base/cpu.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/compiler.h"
#include "base/err.h"

#if EL_X86
#include <cpuid.h>
#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>
#elif EL_ARM64
#include <sys/auxv.h>
#endif

struct level {
    const char *name;
    unsigned features;
};

/* A level is one line here; what it brings is in the tables that ask for its features (kernels.c, probes.c, fit_tile.c). */
#if EL_ARM64
static const struct level levels[EL_CPU_LEVELS] = {
    [EL_CPU_REF] = {"ref", 0},
    [EL_CPU_NEON] = {"neon", EL_CPU_HAS_NEON},
    [EL_CPU_DOTPROD] = {"dotprod", EL_CPU_HAS_NEON | EL_CPU_HAS_DOTPROD},
    [EL_CPU_I8MM] = {"i8mm", EL_CPU_HAS_NEON | EL_CPU_HAS_DOTPROD | EL_CPU_HAS_I8MM},
};
#else
enum { AVX512VNNI = EL_CPU_HAS_AVX2 | EL_CPU_HAS_AVX512 | EL_CPU_HAS_AVX512VNNI };
static const struct level levels[EL_CPU_LEVELS] = {
    [EL_CPU_REF] = {"ref", 0},
    [EL_CPU_AVX2] = {"avx2", EL_CPU_HAS_AVX2},
    [EL_CPU_AVXVNNI] = {"avxvnni", EL_CPU_HAS_AVX2 | EL_CPU_HAS_AVXVNNI},
    [EL_CPU_AVX512] = {"avx512", EL_CPU_HAS_AVX2 | EL_CPU_HAS_AVX512},
    [EL_CPU_AVX512VNNI] = {"avx512vnni", AVX512VNNI},
    [EL_CPU_AMX] = {"amx", AVX512VNNI | EL_CPU_HAS_AMXINT8},
};
#endif
static const char *const native_name = "native";

static pthread_once_t detect_once = PTHREAD_ONCE_INIT;
static unsigned detected; /* features */
static char model[64] = "unknown";

/* The level in use; -1 until it is asked for or set. */
static atomic_int in_use = -1;

#if EL_X86
struct regs {
    unsigned a, b, c, d;
};

static struct regs cpuid(unsigned leaf, unsigned sub)
{
    struct regs r = {0, 0, 0, 0};
    if (!__get_cpuid_count(leaf, sub, &r.a, &r.b, &r.c, &r.d))
        r = (struct regs){0, 0, 0, 0};
    return r;
}

/* Which register files the operating system saves; without it a feature bit of the CPU is worth nothing. */
EL_TARGET("xsave") static unsigned saved_state(void)
{
    return (unsigned)_xgetbv(0);
}

/* Linux lets a process use tiles that asks for them once, for all of its threads. */
static bool may_use_tiles(void)
{
#if defined(__linux__) && defined(SYS_arch_prctl)
    enum { REQ_XCOMP_PERM = 0x1023, XTILEDATA = 18 }; /* Documentation/arch/x86/xstate.rst */
    return syscall(SYS_arch_prctl, REQ_XCOMP_PERM, XTILEDATA) == 0;
#else
    return false;
#endif
}

unsigned el_cpuid_features(const struct el_cpuid *id)
{
    const uint32_t need1 = 1u << 12 | 1u << 27 | 1u << 28 | 1u << 29;                 /* FMA OSXSAVE AVX F16C */
    const uint32_t avx2 = 1u << 5;                                                    /* leaf 7 ebx */
    const uint32_t avx512 = 1u << 16 | 1u << 17 | 1u << 28 | 1u << 30 | 1u << 31;     /* F DQ CD BW VL */
    const uint32_t avx512vnni = 1u << 11;                                             /* leaf 7 ecx */
    const uint32_t amx = 1u << 24 | 1u << 25;                                         /* leaf 7 edx: TILE INT8 */
    const uint32_t avxvnni = 1u << 4;                                                 /* leaf 7, 1 eax */
    const uint64_t ymm_state = 0x6, zmm_state = 0xe6, tile_state = UINT64_C(3) << 17; /* XCR0 */
    if ((id->c1 & need1) != need1 || !(id->b7 & avx2) || (id->saved & ymm_state) != ymm_state)
        return 0;
    unsigned has = EL_CPU_HAS_AVX2;
    if (id->a7_1 & avxvnni)
        has |= EL_CPU_HAS_AVXVNNI;
    if ((id->b7 & avx512) == avx512 && (id->saved & zmm_state) == zmm_state) {
        has |= EL_CPU_HAS_AVX512;
        if (id->c7 & avx512vnni)
            has |= EL_CPU_HAS_AVX512VNNI;
    }
    if ((id->d7 & amx) == amx && (id->saved & tile_state) == tile_state && id->may_use_tiles())
        has |= EL_CPU_HAS_AMXINT8;
    return has;
}

static unsigned detect_features(void)
{
    const uint32_t osxsave = 1u << 27;
    const struct regs r1 = cpuid(1, 0), r7 = cpuid(7, 0);
    const struct el_cpuid id = {
        .c1 = r1.c,
        .b7 = r7.b,
        .c7 = r7.c,
        .d7 = r7.d,
        .a7_1 = r7.a ? cpuid(7, 1).a : 0, /* r7.a: the last subleaf */
        .saved = r1.c & osxsave ? saved_state() : 0,
        .may_use_tiles = may_use_tiles,
    };
    return el_cpuid_features(&id);
}

static void detect_model(void)
{
    if (cpuid(0x80000000u, 0).a < 0x80000004u)
        return;
    char brand[49] = {0};
    for (unsigned i = 0; i < 3; i++) {
        const struct regs r = cpuid(0x80000002u + i, 0);
        memcpy(brand + 16 * i, &r, 16);
    }
    /* Vendors pad on either side. */
    const char *s = brand;
    while (*s == ' ')
        s++;
    size_t n = strlen(s);
    while (n && s[n - 1] == ' ')
        n--;
    if (n) {
        memcpy(model, s, n);
        model[n] = '\0';
    }
}

static void detect(void)
{
    detected = detect_features();
    detect_model();
}
#elif EL_ARM64
/* What the kernel says of the CPU; the bits are part of Linux's interface (Documentation/arm64/elf_hwcaps.rst). */
static void detect(void)
{
    const unsigned long asimd = 1ul << 1, ids = 1ul << 11, dotprod = 1ul << 20; /* AT_HWCAP: ASIMD CPUID ASIMDDP */
    const unsigned long i8mm = 1ul << 13;                                       /* AT_HWCAP2: I8MM */
    const unsigned long has = getauxval(AT_HWCAP), has2 = getauxval(AT_HWCAP2);
    detected =
        (has & asimd ? EL_CPU_HAS_NEON : 0u) | (has & dotprod ? EL_CPU_HAS_DOTPROD : 0u) | (has2 & i8mm ? EL_CPU_HAS_I8MM : 0u);
    if (has & ids) {
        uint64_t midr; /* who made it, and its part number there; Linux reads the register for us */
        __asm__("mrs %0, midr_el1" : "=r"(midr));
        (void)snprintf(model, sizeof model, "implementer 0x%02x, part 0x%03x", (unsigned)(midr >> 24 & 0xff),
                       (unsigned)(midr >> 4 & 0xfff));
    }
}
#else
static void detect(void) {}
#endif

static bool is_within(unsigned features, unsigned all)
{
    return (features & ~all) == 0;
}

enum el_cpu_level el_cpu_best(unsigned features)
{
    int level = EL_CPU_LEVELS - 1;
    while (level > EL_CPU_REF && !is_within(levels[level].features, features))
        level--;
    return (enum el_cpu_level)level;
}

enum el_cpu_level el_cpu_detected(void)
{
    pthread_once(&detect_once, detect);
    return el_cpu_best(detected);
}

unsigned el_cpu_features(enum el_cpu_level level)
{
    return levels[level].features;
}

bool el_cpu_allows(enum el_cpu_level level)
{
    pthread_once(&detect_once, detect);
    return is_within(levels[level].features, detected);
}

const char *el_cpu_model(void)
{
    pthread_once(&detect_once, detect);
    return model;
}

const char *el_cpu_name(enum el_cpu_level level)
{
    return level >= 0 && level < EL_CPU_LEVELS ? levels[level].name : NULL;
}

/* Level of a name, "native" being what was detected; -1 for an unknown one. */
static int level_of(const char *name)
{
    if (strcmp(name, native_name) == 0)
        return (int)el_cpu_detected();
    for (int i = 0; i < EL_CPU_LEVELS; i++)
        if (strcmp(name, levels[i].name) == 0)
            return i;
    return -1;
}

/* "ref, avx2, avx512 and native" */
static const char *all_names(char *text, size_t nbytes)
{
    size_t at = 0;
    for (int i = 0; i < EL_CPU_LEVELS; i++)
        at += (size_t)snprintf(text + at, nbytes - at, "%s%s", i ? ", " : "", levels[i].name);
    (void)snprintf(text + at, nbytes - at, " and %s", native_name);
    return text;
}

/* What a name asks for: checked, `what` in front of the error ("EDGELLM_CPU: "). */
static enum el_status level_parse(const char *what, const char *name, enum el_cpu_level *level, struct el_err *err)
{
    const int found = level_of(name);
    char names[128];
    if (found < 0)
        return el_fail(err, EL_E_USAGE, "%s'%s' is no CPU level of this machine; there are %s", what, name,
                       all_names(names, sizeof names));
    if (!el_cpu_allows((enum el_cpu_level)found))
        return el_fail(err, EL_E_UNSUPPORTED, "%sthis CPU lacks level '%s'; its best is '%s'", what, name,
                       levels[el_cpu_detected()].name);
    *level = (enum el_cpu_level)found;
    return EL_OK;
}

enum el_status el_cpu_check_env(struct el_err *err)
{
    const char *const name = getenv("EDGELLM_CPU");
    enum el_cpu_level level;
    return name && *name ? level_parse("EDGELLM_CPU: ", name, &level, err) : EL_OK;
}

enum el_cpu_level el_cpu(void)
{
    const int now = atomic_load_explicit(&in_use, memory_order_relaxed);
    if (now >= 0)
        return (enum el_cpu_level)now;
    enum el_cpu_level level = el_cpu_detected();
    const char *const name = getenv("EDGELLM_CPU");
    if (name && *name)
        (void)level_parse("", name, &level, NULL); /* a bad value is told by el_cpu_check_env */
    int expected = -1;
    if (!atomic_compare_exchange_strong(&in_use, &expected, (int)level))
        return (enum el_cpu_level)expected;
    return level;
}

bool el_cpu_force(enum el_cpu_level level)
{
    if (level < 0 || level >= EL_CPU_LEVELS || !el_cpu_allows(level))
        return false;
    atomic_store(&in_use, (int)level);
    return true;
}

enum el_status el_cpu_cap(const char *level, struct el_err *err)
{
    enum el_cpu_level parsed;
    EL_TRY(level_parse("", level, &parsed, err));
    atomic_store(&in_use, (int)parsed);
    return EL_OK;
}

const char *el_cpu_level(void)
{
    return levels[el_cpu()].name;
}

const char *el_cpu_level_name(size_t i)
{
    return i < EL_CPU_LEVELS ? levels[i].name : NULL;
}
