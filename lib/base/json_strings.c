#include <string.h>

#include "base/checked.h"
#include "base/json.h"
#include "base/mem.h"

/* One block: the pointers, the lengths, then the bytes of all strings, each with its NUL. */
static enum el_status copy_strings(const struct el_json *array, const char *what, char ***texts, size_t **nbytes, size_t *n,
                                   struct el_err *err)
{
    const size_t count = el_json_count(array);
    uint64_t total = (uint64_t)count * (sizeof(char *) + sizeof(size_t));
    size_t i = 0;
    for (const struct el_json *v = el_json_first(array); v; v = el_json_next(v), i++) {
        const char *const s = el_json_str(v);
        if (!s)
            return el_fail(err, EL_E_FORMAT, "%s: element %zu of the array is not a string", what, i);
        if (!el_add_u64(total, strlen(s) + 1, &total))
            return el_fail(err, EL_E_MEMORY, "%s: too many strings", what);
    }
    char *const block = el_alloc(total);
    if (!block)
        return el_fail(err, EL_E_MEMORY, "%s: out of memory for %zu strings", what, count);
    char **const pointers = (char **)(void *)block;
    size_t *const lengths = (size_t *)(void *)(block + count * sizeof(char *));
    char *p = (char *)(void *)(lengths + count);
    i = 0;
    for (const struct el_json *v = el_json_first(array); v; v = el_json_next(v), i++) {
        const char *const s = el_json_str(v);
        pointers[i] = p;
        lengths[i] = strlen(s);
        memcpy(p, s, lengths[i] + 1);
        p += lengths[i] + 1;
    }
    *texts = pointers;
    *nbytes = lengths;
    *n = count;
    return EL_OK;
}

enum el_status el_json_strings(const char *text, size_t text_nbytes, const char *what, char ***texts, size_t **nbytes, size_t *n,
                               struct el_err *err)
{
    struct el_json_doc *doc = NULL;
    *texts = NULL;
    *nbytes = NULL;
    *n = 0;
    EL_TRY(el_json_parse(text, text_nbytes, what, &doc, err));
    const struct el_json *const root = el_json_root(doc);
    enum el_status status = EL_OK;
    if (el_json_is(root, EL_JSON_ARRAY))
        status = copy_strings(root, what, texts, nbytes, n, err);
    else
        status = el_fail(err, EL_E_FORMAT, "%s: not an array of strings", what);
    el_json_free(doc);
    return status;
}
