/*
 * Folders as other programs leave them: weights under a name of the writer's own, state dictionaries within dictionaries, biases
 * of zeros that the model does not have, output matrices that are tied and there all the same.
 */
#include <dirent.h>
#include <string.h>

#include "base/err.h"
#include "base/file.h"
#include "base/mem.h"
#include "formats/hf.h"
#include "formats/hf_habits.h"

static bool ends_with(const char *s, const char *end)
{
    const size_t n = strlen(s), n_end = strlen(end);
    return n >= n_end && strcmp(s + n - n_end, end) == 0;
}

bool el_hf_only_safetensors(const char *folder, struct el_buf *name)
{
    DIR *const d = opendir(folder);
    size_t n = 0;
    el_buf_reset(name);
    for (const struct dirent *e; d && (e = readdir(d)) != NULL;) {
        if (!ends_with(e->d_name, ".safetensors") || strncmp(e->d_name, "consolidated", 12) == 0 ||
            strncmp(e->d_name, "adapter_model", 13) == 0)
            continue;
        if (n++ == 0)
            el_buf_add_str(name, e->d_name);
    }
    if (d)
        (void)closedir(d);
    return n == 1 && !name->failed;
}

/* Bytes in front of `end` in a name that ends so behind a dot; 0: it does not. */
static size_t bytes_before(const char *name, const char *end)
{
    const size_t n = strlen(name), n_end = strlen(end);
    return n > n_end + 1 && name[n - n_end - 1] == '.' && ends_with(name, end) ? n - n_end : 0;
}

/*
 * What stands in front of the names of all tensors: what stands in front of the token embedding, which every model has once.
 * NULL: nothing, or it is not clear what.
 */
static const char *find_wrapper(const struct el_arch *arch, const struct el_st_header *headers, size_t n_files, size_t *n_prefix)
{
    const size_t n_family = arch->hf_prefix ? strlen(arch->hf_prefix) : 0;
    const char *embd = NULL, *found = NULL;
    for (const struct el_tensor_rule *r = arch->tensors; r->gguf && !embd; r++)
        embd = r->role == EL_R_TOKEN_EMBD ? r->hf : NULL;
    if (!embd)
        return NULL;
    const char *const bare = n_family && strncmp(embd, arch->hf_prefix, n_family) == 0 ? embd + n_family : NULL;
    for (size_t i = 0; i < n_files; i++) {
        for (size_t k = 0; k < headers[i].n_tensors; k++) {
            const char *const name = headers[i].tensors[k].name;
            if (strcmp(name, embd) == 0 || (bare && strcmp(name, bare) == 0))
                return NULL;
            size_t n = bytes_before(name, embd);
            if (n == 0 && bare)
                n = bytes_before(name, bare);
            if (n > 0 && found)
                return NULL;
            if (n > 0) {
                found = name;
                *n_prefix = n;
            }
        }
    }
    return found;
}

enum el_status el_hf_unwrap(const struct el_arch *arch, struct el_st_header *headers, size_t n_files, const char *path,
                            struct el_err *err)
{
    size_t n_prefix = 0, n_left_out = 0;
    const char *const found = find_wrapper(arch, headers, n_files, &n_prefix);
    char *const prefix = found ? el_strndup(found, n_prefix) : NULL;
    if (!found)
        return EL_OK;
    if (!prefix)
        return el_fail(err, EL_E_MEMORY, "'%s': out of memory for the tensors", path);
    for (size_t i = 0; i < n_files; i++) {
        struct el_st_header *const h = &headers[i];
        size_t n = 0;
        for (size_t k = 0; k < h->n_tensors; k++) {
            char *const name = h->tensors[k].name;
            if (strncmp(name, prefix, n_prefix) == 0) {
                memmove(name, name + n_prefix, strlen(name + n_prefix) + 1);
                h->tensors[n++] = h->tensors[k];
            } else {
                el_free(name);
                n_left_out++;
            }
        }
        h->n_tensors = n;
    }
    el_warn("'%s': the names of the weights begin with '%s': taken as if they did not%s", path, prefix,
            n_left_out ? "; tensors of other names are left out" : "");
    el_free(prefix);
    return EL_OK;
}

bool el_hf_is_copy(const struct el_file *fa, const struct el_st_tensor *a, const struct el_file *fb, const struct el_st_tensor *b)
{
    enum { PIECE = 4096, N_PIECES = 64 };
    uint8_t x[PIECE], y[PIECE];
    if (a->enc.e != b->enc.e || a->nbytes != b->nbytes || a->n_dims != b->n_dims ||
        memcmp(a->dims, b->dims, a->n_dims * sizeof *a->dims) != 0 || a->strided != b->strided ||
        (a->strided && memcmp(a->strides, b->strides, a->n_dims * sizeof *a->strides) != 0))
        return false;
    if (fa == fb && a->offset == b->offset) /* files of PyTorch: two names for one storage */
        return true;
    const uint64_t n = a->nbytes < PIECE ? a->nbytes : PIECE, last = a->nbytes - n;
    for (uint64_t k = 0; k < N_PIECES && !a->strided; k++) {
        const uint64_t at = k + 1 < N_PIECES ? last / (N_PIECES - 1) * k : last;
        if (el_file_read(fa, a->offset + at, x, n, NULL) != EL_OK || el_file_read(fb, b->offset + at, y, n, NULL) != EL_OK ||
            memcmp(x, y, n) != 0)
            return false;
    }
    return !a->strided;
}

bool el_hf_is_zeros(const struct el_file *f, const struct el_st_tensor *t)
{
    enum { MOST = 1 << 24 };
    if (t->n_dims != 1 || t->strided || t->nbytes > MOST)
        return false;
    uint8_t *const bytes = el_alloc((size_t)t->nbytes);
    bool zeros = bytes && el_file_read(f, t->offset, bytes, t->nbytes, NULL) == EL_OK;
    for (uint64_t i = 0; zeros && i < t->nbytes; i++)
        zeros = bytes[i] == 0;
    el_free(bytes);
    return zeros;
}
