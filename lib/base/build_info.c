#include "base/build_info.h"

#include <pthread.h>
#include <stddef.h>
#include <string.h>

#include "base/buf.h"
#include "base/cpu.h"
#include "base/json.h"
#include "base/sha256.h"
#include "edgellm.h"

#ifndef EL_COMMIT
#define EL_COMMIT "unknown"
#endif

#define EL_TEXT_(x) #x
#define EL_TEXT(x)  EL_TEXT_(x)

#if defined(__clang__)
#define EL_COMPILER "clang " __clang_version__
#else
#define EL_COMPILER "gcc " __VERSION__
#endif

static struct {
    const char *name;
    el_library_fn *version;
} libraries[16];
static size_t n_libraries;

static struct {
    const char *name;
    el_info_fn *value;
} members[4];
static size_t n_members;

static char info[4096];
static pthread_once_t info_once = PTHREAD_ONCE_INIT;

void el_build_info_add(const char *name, el_library_fn *version)
{
    if (n_libraries == sizeof libraries / sizeof libraries[0])
        return;
    libraries[n_libraries].name = name;
    libraries[n_libraries].version = version;
    n_libraries++;
}

void el_build_info_add_member(const char *name, el_info_fn *value)
{
    if (n_members == sizeof members / sizeof members[0])
        return;
    members[n_members].name = name;
    members[n_members].value = value;
    n_members++;
}

const char *el_version(void)
{
    return EL_TEXT(EL_VERSION_MAJOR) "." EL_TEXT(EL_VERSION_MINOR) "." EL_TEXT(EL_VERSION_PATCH);
}

const char *el_build_commit(void)
{
    return EL_COMMIT;
}

const char *el_cpu_brand(void)
{
    return el_cpu_model();
}

static void add_member(struct el_buf *b, const char *key, const char *value)
{
    el_buf_add_json_str(b, key, strlen(key));
    el_buf_add_str(b, ": ");
    el_buf_add_json_str(b, value, strlen(value));
}

static void make_info(void)
{
    struct el_buf b;
    el_buf_init(&b);
    el_buf_add_byte(&b, '{');
    add_member(&b, "version", el_version());
    el_buf_add_str(&b, ", ");
    add_member(&b, "commit", EL_COMMIT);
    el_buf_add_str(&b, ", ");
    add_member(&b, "compiler", EL_COMPILER);
    el_buf_add_str(&b, ", \"libraries\": {");
    add_member(&b, "cjson", el_json_library());
    el_buf_add_str(&b, ", ");
    add_member(&b, "libcrypto", el_sha256_library());
    for (size_t i = 0; i < n_libraries; i++) {
        el_buf_add_str(&b, ", ");
        add_member(&b, libraries[i].name, libraries[i].version());
    }
    el_buf_add_str(&b, "}, \"cpu\": {");
    add_member(&b, "model", el_cpu_model());
    el_buf_add_str(&b, ", ");
    add_member(&b, "detected", el_cpu_name(el_cpu_detected()));
    el_buf_add_str(&b, "}, ");
    add_member(&b, "kernels", el_cpu_name(el_cpu()));
    for (size_t i = 0; i < n_members; i++) {
        el_buf_add_str(&b, ", ");
        el_buf_add_json_str(&b, members[i].name, strlen(members[i].name));
        el_buf_add_str(&b, ": ");
        members[i].value(&b);
    }
    el_buf_add_byte(&b, '}');
    if (b.failed || b.nbytes >= sizeof info)
        strcpy(info, "{}");
    else
        memcpy(info, b.data, b.nbytes + 1);
    el_buf_release(&b);
}

const char *el_build_info_json(void)
{
    (void)pthread_once(&info_once, make_info);
    return info;
}
