/* Names the outside libraries of the rooms above base to el_build_info_json, which lies below and cannot ask for them. */
#include "base/build_info.h"
#include "kernels/linalg.h"
#include "text/normalize.h"
#include "text/regex.h"

static const char *pcre2_version(void)
{
    static char version[64];
    el_regex_version(version);
    return version;
}

__attribute__((constructor)) static void add_libraries(void)
{
    el_build_info_add("pcre2", pcre2_version);
    el_build_info_add("utf8proc", el_normalize_version);
    el_build_info_add_member("openblas", el_openblas_add_json);
}
