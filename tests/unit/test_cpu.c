/* The ladder of CPU levels: detection, the cap by name and by environment variable. */
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

TEST(cpu, detection_agrees_with_the_compiler_runtime)
{
#if defined(__GNUC__) && defined(__x86_64__)
    __builtin_cpu_init();
    const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    const bool avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512cd") &&
                        __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
                        __builtin_cpu_supports("avx512vl");
    const bool vnni = avx512 && __builtin_cpu_supports("avx512vnni");
    const int want = vnni ? EL_CPU_AVX512VNNI : avx512 ? EL_CPU_AVX512 : avx2 ? EL_CPU_AVX2 : EL_CPU_REF;
    CHECK_EQ_INT(el_cpu_detected(), want);
#elif EL_ARM64
    /* Linux lists the same in words; a machine that hides the list has at least what every build may use. */
    size_t nbytes = 0;
    char *const info = test_read("/proc/cpuinfo", &nbytes);
    const char *const features = info ? strstr(info, "Features") : NULL;
    char line[1024] = "";
    if (features)
        snprintf(line, sizeof line, "%.*s ", (int)strcspn(features, "\n"), features);
    free(info);
    CHECK(el_cpu_detected() >= EL_CPU_NEON);
    if (features) {
        CHECK_EQ_INT(el_cpu_detected() >= EL_CPU_DOTPROD, strstr(line, " asimddp ") != NULL);
        CHECK_EQ_INT(el_cpu_detected() >= EL_CPU_I8MM, strstr(line, " asimddp ") && strstr(line, " i8mm "));
    }
#else
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
        const bool has = i <= (int)el_cpu_detected();
        CHECK_EQ_INT(el_cpu_cap(el_cpu_level_name((size_t)i), &err), has ? EL_OK : EL_E_UNSUPPORTED);
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
