/* The hash that identifies a model: it must cover all files that are read when one of them is named. */
#include <sys/stat.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/sha256.h"
#include "formats/gguf.h"

static enum el_status hash_split(const char *path, size_t n_prefix, uint32_t count, char hex[65], struct el_err *err)
{
    struct el_buf lines;
    el_buf_init(&lines);
    char *const prefix = el_strndup(path, n_prefix);
    enum el_status status = prefix ? EL_OK : el_fail(err, EL_E_MEMORY, "'%s': out of memory for the hash", path);
    for (uint32_t i = 0; status == EL_OK && i < count; i++) {
        char one[65];
        char *const part = el_gguf_split_path(prefix, i, count);
        status = part ? el_sha256_file(part, one, err) : EL_E_MEMORY;
        if (status == EL_OK)
            el_buf_addf(&lines, "%s  %05u-of-%05u\n", one, i + 1, count);
        if (!part || lines.failed)
            status = el_fail(err, EL_E_MEMORY, "'%s': out of memory for the hash", path);
        el_free(part);
    }
    if (status == EL_OK)
        el_sha256_bytes(lines.data, lines.nbytes, hex);
    el_free(prefix);
    el_buf_release(&lines);
    return status;
}

enum el_status el_sha256_path(const char *path, char hex[65], struct el_err *err)
{
    struct stat st;
    uint32_t no, count;
    hex[0] = '\0';
    if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
        return el_sha256_folder(path, hex, err);
    const size_t n_prefix = el_gguf_split_prefix(path, &no, &count);
    return n_prefix > 0 && count > 1 ? hash_split(path, n_prefix, count, hex, err) : el_sha256_file(path, hex, err);
}
