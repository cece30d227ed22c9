/* The hash that identifies a model: it must cover all files that are read when one of them is named. */
#include <string.h>
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

/* The files of a folder that make the model: what else lies there, a README or another model, does not change its hash. */
static bool is_model_file(const char *name)
{
    static const char *const names[] = {"config.json",
                                        "generation_config.json",
                                        "tokenizer.json",
                                        "tokenizer_config.json",
                                        "added_tokens.json",
                                        "chat_template.jinja",
                                        "tekken.json",
                                        "model.safetensors.index.json",
                                        "pytorch_model.bin.index.json",
                                        "quantize_config.json",
                                        "vocab.json",
                                        "vocab.txt",
                                        "merges.txt"};
    static const char *const suffixes[] = {".safetensors", ".model", ".bin", ".tiktoken"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    for (size_t i = 0; i < sizeof suffixes / sizeof suffixes[0]; i++) {
        const size_t n = strlen(name), n_suffix = strlen(suffixes[i]);
        if (n > n_suffix && strcmp(name + n - n_suffix, suffixes[i]) == 0)
            return true;
    }
    return false;
}

/* A name like that of a part says nothing alone: a file may have been copied to it. */
static enum el_status find_parts(const char *path, size_t n_prefix, uint32_t count, bool *all, struct el_err *err)
{
    char *const prefix = el_strndup(path, n_prefix);
    bool failed = !prefix;
    *all = true;
    for (uint32_t i = 0; !failed && *all && i < count; i++) {
        struct stat st;
        char *const part = el_gguf_split_path(prefix, i, count);
        failed = !part;
        *all = part && stat(part, &st) == 0;
        el_free(part);
    }
    el_free(prefix);
    return failed ? el_fail(err, EL_E_MEMORY, "'%s': out of memory for the hash", path) : EL_OK;
}

enum el_status el_sha256_path(const char *path, char hex[65], struct el_err *err)
{
    struct stat st;
    uint32_t no, count;
    bool all = false;
    hex[0] = '\0';
    if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
        return el_sha256_folder(path, is_model_file, hex, err);
    const size_t n_prefix = el_gguf_split_prefix(path, &no, &count);
    if (n_prefix > 0 && count > 1)
        EL_TRY(find_parts(path, n_prefix, count, &all, err));
    return all ? hash_split(path, n_prefix, count, hex, err) : el_sha256_file(path, hex, err);
}
