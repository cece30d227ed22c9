#include <string.h>

#include "test.h"

#include "base/compiler.h"
#include "base/cpu.h"
#include "kernels/linalg.h"

#if EL_X86
TEST(linalg, kernels_of_another_cpu_are_refused)
{
    static const char *const slow[] = {"Prescott", "Core2", "Nehalem", "Sandybridge", "Bulldozer", "Generic", ""};
    for (size_t i = 0; i < sizeof slow / sizeof slow[0]; i++) {
        CHECK(el_openblas_core(EL_CPU_REF, slow[i]) == NULL);
        CHECK_EQ_STR(el_openblas_core(EL_CPU_AVX2, slow[i]), "Haswell");
        CHECK_EQ_STR(el_openblas_core(EL_CPU_AVX512, slow[i]), "SkylakeX");
        CHECK_EQ_STR(el_openblas_core(EL_CPU_AVXVNNI, slow[i]), "Haswell");
        CHECK_EQ_STR(el_openblas_core(EL_CPU_AVX512VNNI, slow[i]), "SkylakeX");
        CHECK_EQ_STR(el_openblas_core(EL_CPU_AMX, slow[i]), "SkylakeX");
    }
    static const char *const good[] = {"Haswell", "ZEN", "SkylakeX", "SKYLAKEX", "Cooperlake", "SapphireRapids"};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++)
        CHECK(el_openblas_core(EL_CPU_AVX512VNNI, good[i]) == NULL);
}
#endif

TEST(linalg, a_library_that_is_not_there)
{
    struct el_openblas found;
    memset(&found, 0x55, sizeof found);
    el_openblas_find("libno-such-openblas.so.0", NULL, &found);
    CHECK(!found.found);
    CHECK_EQ_STR(found.version, "");
    CHECK_EQ_STR(found.core_detected, "");
    CHECK_EQ_STR(found.core_used, "");
}

/* Nothing is asked that the library does not have. */
TEST(linalg, a_library_that_is_no_openblas)
{
    struct el_openblas found;
    el_openblas_find("libm.so.6", "Prescott", &found);
    CHECK(!found.found);
    CHECK_EQ_STR(found.version, "");
    CHECK_EQ_STR(found.core_detected, "");
}

TEST(linalg, a_bad_choice_is_corrected)
{
    struct el_openblas by_itself, told;
    el_openblas_find("libopenblas.so.0", NULL, &by_itself);
    if (!by_itself.found)
        SKIP("no OpenBLAS here");
    CHECK(by_itself.version[0] >= '0' && by_itself.version[0] <= '9');
    CHECK(by_itself.core_detected[0] != '\0');
    CHECK(el_openblas_core(el_cpu_detected(), by_itself.core_used) == NULL);
    el_openblas_find("libopenblas.so.0", "Prescott", &told);
    CHECK_EQ_STR(told.core_detected, "Prescott");
    const char *const want = el_openblas_core(el_cpu_detected(), "Prescott");
    CHECK_EQ_STR(told.core_used, want ? want : "Prescott");
}
