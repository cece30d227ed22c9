/* CPU levels: their features, detection, the choice by name and by environment variable. */
#include "test.h"

#include "base/compiler.h"
#include "base/cpu.h"
#include "edgellm.h"

TEST(cpu, names_and_numbers_agree)
{
    size_t n = 0;
    while (el_cpu_level_name(n)) {
        CHECK_EQ_STR(el_cpu_name((enum el_cpu_level)n), el_cpu_level_name(n));
        n++;
    }
    CHECK_EQ_INT(n, EL_CPU_LEVELS);
    CHECK(!el_cpu_name(EL_CPU_LEVELS));
    CHECK_EQ_STR(el_cpu_level_name(0), "ref");
    CHECK(el_cpu_model()[0] != '\0');
    CHECK(el_cpu_model()[0] != ' ');
}

/* A level is chosen when all of its features are there, whichever others are; ref always is. */
TEST(cpu, levels_are_sets_of_features)
{
    CHECK_EQ_INT(el_cpu_features(EL_CPU_REF), 0);
    CHECK_EQ_INT(el_cpu_best(0), EL_CPU_REF);
    CHECK(el_cpu_allows(EL_CPU_REF));
    for (int i = 0; i < EL_CPU_LEVELS; i++) {
        const unsigned features = el_cpu_features((enum el_cpu_level)i);
        CHECK_EQ_INT(el_cpu_best(features), i); /* so every level has a set of its own */
        CHECK(i == 0 || features != 0);
        for (unsigned bit = 1; bit <= features; bit *= 2)
            if (features & bit)
                CHECK(el_cpu_best(features & ~bit) < (enum el_cpu_level)i);
    }
    CHECK_EQ_INT(el_cpu_best(~0u), EL_CPU_LEVELS - 1);
#if EL_X86
    const unsigned avx2 = EL_CPU_HAS_AVX2, both = EL_CPU_HAS_AVX512 | EL_CPU_HAS_AVX512VNNI;
    CHECK_EQ_INT(el_cpu_best(avx2 | EL_CPU_HAS_AVXVNNI), EL_CPU_AVXVNNI);
    CHECK_EQ_INT(el_cpu_best(avx2 | both), EL_CPU_AVX512VNNI); /* no AVX-VNNI: it is in no set but its own */
    CHECK_EQ_INT(el_cpu_best(avx2 | both | EL_CPU_HAS_AVXVNNI), EL_CPU_AVX512VNNI);
    CHECK_EQ_INT(el_cpu_best(avx2 | EL_CPU_HAS_AVX512 | EL_CPU_HAS_AVXVNNI), EL_CPU_AVX512);
    CHECK_EQ_INT(el_cpu_best(avx2 | EL_CPU_HAS_AVX512 | EL_CPU_HAS_AMXINT8), EL_CPU_AVX512);
    CHECK_EQ_INT(el_cpu_best(avx2 | both | EL_CPU_HAS_AMXINT8), EL_CPU_AMX);
    CHECK_EQ_INT(el_cpu_best(EL_CPU_HAS_AVXVNNI), EL_CPU_REF);
#elif EL_ARM64
    CHECK_EQ_INT(el_cpu_best(EL_CPU_HAS_NEON | EL_CPU_HAS_I8MM), EL_CPU_NEON);
#endif
}

#if EL_X86
static bool asked, leave;

static bool may_use_tiles(void)
{
    asked = true;
    return leave;
}

/* What is detected in the words of CPUs of several kinds, and of such whose system saves fewer registers. */
TEST(cpu, features_in_what_cpuid_says)
{
    enum { C1 = 1 << 12 | 1 << 27 | 1 << 28 | 1 << 29, AVX2 = 1 << 5, VNNI = 1 << 11, AVXVNNI = 1 << 4 };
    enum { AMX = 1 << 24 | 1 << 25, BF16 = 1 << 22, YMM = 7, ZMM = 0xe7, TILES = 0x600e7 };
    const uint32_t avx512 = 1u << 16 | 1u << 17 | 1u << 28 | 1u << 30 | 1u << 31, b7 = AVX2 | avx512;
    const struct {
        struct el_cpuid id;
        bool leave;
        enum el_cpu_level best;
        bool avxvnni, asked;
    } cases[] = {
        {{.c1 = C1, .b7 = AVX2, .saved = YMM}, false, EL_CPU_AVX2, false, false},                    /* Haswell */
        {{.c1 = C1, .b7 = AVX2, .a7_1 = AVXVNNI, .saved = YMM}, false, EL_CPU_AVXVNNI, true, false}, /* Alder Lake */
        {{.c1 = C1, .b7 = b7, .saved = ZMM}, false, EL_CPU_AVX512, false, false},                    /* Skylake-X */
        {{.c1 = C1, .b7 = b7, .c7 = VNNI, .saved = ZMM}, false, EL_CPU_AVX512VNNI, false, false},    /* Zen 4 */
        {{.c1 = C1, .b7 = b7, .c7 = VNNI, .d7 = AMX, .a7_1 = AVXVNNI, .saved = TILES}, true, EL_CPU_AMX, true, true},
        {{.c1 = C1, .b7 = b7, .c7 = VNNI, .d7 = AMX, .a7_1 = AVXVNNI, .saved = TILES}, false, EL_CPU_AVX512VNNI, true, true},
        {{.c1 = C1, .b7 = b7, .c7 = VNNI, .d7 = AMX, .a7_1 = AVXVNNI, .saved = ZMM}, true, EL_CPU_AVX512VNNI, true, false},
        {{.c1 = C1, .b7 = b7, .c7 = VNNI, .d7 = 1 << 24 | BF16, .saved = TILES}, true, EL_CPU_AVX512VNNI, false, false},
        {{.c1 = C1, .b7 = b7, .c7 = VNNI, .a7_1 = AVXVNNI, .saved = YMM}, false, EL_CPU_AVXVNNI, true, false},
        {{.c1 = C1, .b7 = AVX2 | 1u << 16, .c7 = VNNI, .saved = ZMM}, false, EL_CPU_AVX2, false, false}, /* F alone */
        {{.c1 = C1, .b7 = b7, .c7 = VNNI, .a7_1 = AVXVNNI, .saved = 3}, false, EL_CPU_REF, false, false},
        {{.c1 = C1 & ~(1 << 12), .b7 = b7, .c7 = VNNI, .saved = ZMM}, false, EL_CPU_REF, false, false}, /* no FMA */
        {{.c1 = C1, .a7_1 = AVXVNNI, .saved = YMM}, false, EL_CPU_REF, false, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct el_cpuid id = cases[i].id;
        id.may_use_tiles = may_use_tiles;
        asked = false;
        leave = cases[i].leave;
        const unsigned has = el_cpuid_features(&id);
        if (el_cpu_best(has) != cases[i].best)
            test_fail(__FILE__, __LINE__, "case %u: %s, not %s", (unsigned)i, el_cpu_name(el_cpu_best(has)),
                      el_cpu_name(cases[i].best));
        CHECK_EQ_INT((has & EL_CPU_HAS_AVXVNNI) != 0, cases[i].avxvnni);
        CHECK_EQ_INT(asked, cases[i].asked); /* the system is not asked for nothing */
    }
}
#endif

/* Linux lists the same in words; false where it hides the list. */
static bool read_flags(const char *key, char *line, size_t nbytes)
{
    size_t n = 0;
    char *const info = test_read("/proc/cpuinfo", &n);
    const char *const flags = info ? strstr(info, key) : NULL;
    if (flags)
        snprintf(line, nbytes, "%.*s ", (int)strcspn(flags, "\n"), flags);
    free(info);
    return flags != NULL;
}

TEST(cpu, detection_agrees_with_the_system)
{
    char line[4096] = "";
#if EL_X86
    if (!read_flags("flags", line, sizeof line))
        SKIP("no flags in /proc/cpuinfo");
    const bool avx2 = strstr(line, " avx2 ") && strstr(line, " fma ") && strstr(line, " f16c ");
    const bool avx512 = avx2 && strstr(line, " avx512f ") && strstr(line, " avx512cd ") && strstr(line, " avx512bw ") &&
                        strstr(line, " avx512dq ") && strstr(line, " avx512vl ");
    const bool vnni = avx512 && strstr(line, " avx512_vnni ");
    CHECK_EQ_INT(el_cpu_allows(EL_CPU_AVX2), avx2);
    CHECK_EQ_INT(el_cpu_allows(EL_CPU_AVX512), avx512);
    CHECK_EQ_INT(el_cpu_allows(EL_CPU_AVX512VNNI), vnni);
    /* Older kernels do not know these words, and a program may be kept from tiles. */
    if (strstr(line, " avx_vnni "))
        CHECK_EQ_INT(el_cpu_allows(EL_CPU_AVXVNNI), avx2);
    if (!strstr(line, " amx_int8 "))
        CHECK(!el_cpu_allows(EL_CPU_AMX));
#elif EL_ARM64
    CHECK(el_cpu_allows(EL_CPU_NEON)); /* what every build may use */
    if (read_flags("Features", line, sizeof line)) {
        CHECK_EQ_INT(el_cpu_allows(EL_CPU_DOTPROD), strstr(line, " asimddp ") != NULL);
        CHECK_EQ_INT(el_cpu_allows(EL_CPU_I8MM), strstr(line, " asimddp ") && strstr(line, " i8mm "));
    }
#else
    CHECK(!read_flags("no such line", line, sizeof line));
    CHECK_EQ_INT(el_cpu_detected(), EL_CPU_REF);
#endif
}

TEST(cpu, cap)
{
    const enum el_cpu_level before = el_cpu();
    struct el_err err;
    REQUIRE_OK(el_cpu_cap("ref", &err), err);
    CHECK_EQ_INT(el_cpu(), EL_CPU_REF);
    CHECK_EQ_STR(el_cpu_level(), "ref");
    CHECK_OK(el_cpu_cap("native", &err), err);
    CHECK_EQ_INT(el_cpu(), el_cpu_detected());

    CHECK_EQ_INT(el_cpu_cap("avx3", &err), EL_E_USAGE);
    CHECK(strstr(err.text, "'avx3'") && strstr(err.text, "native"));
    for (int i = 0; i < EL_CPU_LEVELS; i++)
        CHECK(strstr(err.text, el_cpu_level_name((size_t)i)));
    /* A level of another kind of machine is unknown here, not too much. */
    const char *const foreign = EL_ARM64 ? "avx2" : "neon";
    CHECK_EQ_INT(el_cpu_cap(foreign, &err), EL_E_USAGE);
    CHECK(strstr(err.text, foreign) == err.text + 1 && strstr(err.text, "of this machine; there are ref, "));
    CHECK_EQ_INT(el_cpu_cap("", &err), EL_E_USAGE);
    CHECK_EQ_INT(el_cpu(), el_cpu_detected()); /* a refused cap changes nothing */

    for (int i = 0; i < EL_CPU_LEVELS; i++) {
        const bool has = el_cpu_allows((enum el_cpu_level)i);
        CHECK_EQ_INT(el_cpu_cap(el_cpu_level_name((size_t)i), &err), has ? EL_OK : EL_E_UNSUPPORTED);
        if (!has)
            CHECK(strstr(err.text, el_cpu_level_name((size_t)i)) && strstr(err.text, el_cpu_name(el_cpu_detected())));
        CHECK_EQ_INT(el_cpu_force((enum el_cpu_level)i), has);
        if (has)
            CHECK_EQ_INT(el_cpu(), i);
    }
    CHECK(!el_cpu_force(EL_CPU_LEVELS));
    CHECK(el_cpu_force(before));
}

TEST(cpu, environment_variable_is_checked)
{
    const char *const old = getenv("EDGELLM_CPU");
    char *const saved = old ? strdup(old) : NULL;
    struct el_err err;

    setenv("EDGELLM_CPU", "fast", 1);
    CHECK_EQ_INT(el_cpu_check_env(&err), EL_E_USAGE);
    CHECK(strstr(err.text, "EDGELLM_CPU") && strstr(err.text, "'fast'"));
    setenv("EDGELLM_CPU", "ref", 1);
    CHECK_OK(el_cpu_check_env(&err), err);
    setenv("EDGELLM_CPU", "", 1);
    CHECK_OK(el_cpu_check_env(&err), err);
    unsetenv("EDGELLM_CPU");
    CHECK_OK(el_cpu_check_env(&err), err);

    if (saved)
        setenv("EDGELLM_CPU", saved, 1);
    free(saved);
}

/* What chooses kernels reports it, also for programs that are not ours. */
TEST(cpu, a_bad_environment_opens_no_model)
{
    const char *const old = getenv("EDGELLM_CPU");
    char *const saved = old ? strdup(old) : NULL;
    struct el_err err;
    struct el_source *source;
    struct el_model *model;
    struct el_session *session;
    REQUIRE_OK(el_source_open(test_data("fixtures/llama"), NULL, &source, &err), err);
    setenv("EDGELLM_CPU", "fast", 1);
    CHECK_EQ_INT(el_model_open(source, NULL, &model, &err), EL_E_USAGE);
    CHECK(!model && strstr(err.text, "EDGELLM_CPU: 'fast' is no CPU level"));
    unsetenv("EDGELLM_CPU");
    REQUIRE_OK(el_model_open(source, NULL, &model, &err), err);
    setenv("EDGELLM_CPU", "faster", 1);
    CHECK_EQ_INT(el_session_open(model, NULL, &session, &err), EL_E_USAGE);
    CHECK(!session && strstr(err.text, "EDGELLM_CPU: 'faster' is no CPU level"));
    if (saved)
        setenv("EDGELLM_CPU", saved, 1);
    else
        unsetenv("EDGELLM_CPU");
    free(saved);
    el_model_close(model);
    el_source_close(source);
}
