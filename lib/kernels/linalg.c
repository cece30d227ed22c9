#include "kernels/linalg.h"

#include <dlfcn.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/buf.h"
#include "base/compiler.h"
#include "base/cpu.h"

#if EL_ARM64
/* Nothing is known of its choice there. */
const char *el_openblas_core(enum el_cpu_level level, const char *chosen)
{
    (void)level;
    (void)chosen;
    return NULL;
}
#else
/* Kernels that use AVX2 at least. Haswell's are no slower than SkylakeX's on a Zen 4 (105 and 99 GFLOP/s, 512 x 2048 x 2048). */
static const char *const good_cores[] = {"Haswell", "Zen", "SkylakeX", "Cooperlake", "SapphireRapids"};

const char *el_openblas_core(enum el_cpu_level level, const char *chosen)
{
    const unsigned has = el_cpu_features(level);
    if (!(has & EL_CPU_HAS_AVX2))
        return NULL;
    for (size_t i = 0; i < sizeof good_cores / sizeof good_cores[0]; i++)
        if (strcasecmp(chosen, good_cores[i]) == 0)
            return NULL;
    return has & EL_CPU_HAS_AVX512 ? "SkylakeX" : "Haswell";
}
#endif

#ifdef __GLIBC__

/* An instance in a namespace of its own. Its environment is in here, so it must stay where it is until it is closed. */
struct instance {
    void *libc, *blas;
    char core[64];
    char threads[32];
    char *env[3];
};

static void close_instance(struct instance *in)
{
    if (in->blas)
        (void)dlclose(in->blas);
    if (in->libc)
        (void)dlclose(in->libc);
}

/* False, and nothing stays open, when any of it is missing. */
static bool open_instance(struct instance *in, const char *file, const char *core)
{
    memset(in, 0, sizeof *in);
    (void)snprintf(in->threads, sizeof in->threads, "OPENBLAS_NUM_THREADS=1");
    (void)snprintf(in->core, sizeof in->core, "OPENBLAS_CORETYPE=%s", core ? core : "");
    in->env[0] = in->threads;
    in->env[1] = core ? in->core : NULL;
    in->libc = dlmopen(LM_ID_NEWLM, "libc.so.6", RTLD_NOW | RTLD_LOCAL);
    if (!in->libc)
        return false;
    char ***const env = dlsym(in->libc, "environ");
    Lmid_t space;
    if (env && dlinfo(in->libc, RTLD_DI_LMID, &space) == 0) {
        *env = in->env;
        in->blas = dlmopen(space, file, RTLD_NOW | RTLD_LOCAL);
    }
    if (!in->blas)
        close_instance(in);
    return in->blas != NULL;
}

typedef char *text_fn(void);

/* What a function of the library without arguments says; "" when there is no such function. */
static const char *ask(const struct instance *in, const char *name)
{
    text_fn *fn;
    void *const symbol = dlsym(in->blas, name);
    if (!symbol)
        return "";
    memcpy(&fn, &symbol, sizeof fn); /* C has no conversion between the two kinds of pointers */
    const char *const text = fn();
    return text ? text : "";
}

void el_openblas_find(const char *file, const char *core, struct el_openblas *found)
{
    struct instance in;
    memset(found, 0, sizeof *found);
    if (!open_instance(&in, file, core))
        return;
    /* "OpenBLAS 0.3.21 NO_LAPACKE DYNAMIC_ARCH ..." */
    (void)sscanf(ask(&in, "openblas_get_config"), "%*s %15s", found->version);
    (void)snprintf(found->core_detected, sizeof found->core_detected, "%s", ask(&in, "openblas_get_corename"));
    found->found = found->core_detected[0] != '\0';
    memcpy(found->core_used, found->core_detected, sizeof found->core_used);
    close_instance(&in);
    if (!found->found) {
        memset(found, 0, sizeof *found);
        return;
    }
    const char *const better = el_openblas_core(el_cpu_detected(), found->core_detected);
    if (better && open_instance(&in, file, better)) {
        (void)snprintf(found->core_used, sizeof found->core_used, "%s", ask(&in, "openblas_get_corename"));
        close_instance(&in);
    }
}

#else

void el_openblas_find(const char *file, const char *core, struct el_openblas *found)
{
    (void)file;
    (void)core;
    memset(found, 0, sizeof *found);
}

#endif

static void add_text(struct el_buf *b, const char *key, const char *value)
{
    el_buf_addf(b, ", \"%s\": ", key);
    el_buf_add_json_str(b, value, strlen(value));
}

void el_openblas_add_json(struct el_buf *b)
{
    const char *const core = getenv("OPENBLAS_CORETYPE");
    struct el_openblas found;
    el_openblas_find("libopenblas.so.0", core && *core ? core : NULL, &found);
    el_buf_addf(b, "{\"found\": %s", found.found ? "true" : "false");
    if (found.found) {
        add_text(b, "version", found.version);
        add_text(b, "core_detected", found.core_detected);
        add_text(b, "core_used", found.core_used);
    }
    el_buf_add_str(b, ", \"used_for\": []}");
}
