/* Names of split sets, as llama.cpp writes them: PREFIX-00001-of-00003.gguf. */
#include <string.h>

#include "base/buf.h"
#include "formats/gguf.h"

char *el_gguf_split_path(const char *prefix, uint32_t no, uint32_t count)
{
    struct el_buf b;
    el_buf_init(&b);
    el_buf_addf(&b, "%s-%05u-of-%05u.gguf", prefix, no + 1, count);
    size_t nbytes;
    char *const path = el_buf_detach(&b, &nbytes);
    el_buf_release(&b);
    return path;
}

/* Exactly five digits. */
static bool five_digits(const char *s, uint32_t *v)
{
    *v = 0;
    for (int i = 0; i < 5; i++) {
        if (s[i] < '0' || s[i] > '9')
            return false;
        *v = *v * 10 + (uint32_t)(s[i] - '0');
    }
    return true;
}

size_t el_gguf_split_prefix(const char *path, uint32_t *no, uint32_t *count)
{
    enum { TAIL_NBYTES = 20 }; /* "-00001-of-00003.gguf" */
    const size_t nbytes = strlen(path);
    *no = *count = 0;
    if (nbytes <= TAIL_NBYTES)
        return 0;
    const char *const tail = path + nbytes - TAIL_NBYTES;
    uint32_t number;
    if (tail[0] != '-' || !five_digits(tail + 1, &number) || memcmp(tail + 6, "-of-", 4) != 0 || !five_digits(tail + 10, count) ||
        strcmp(tail + 15, ".gguf") != 0 || number == 0 || number > *count)
        return 0;
    *no = number - 1;
    return nbytes - TAIL_NBYTES;
}

bool el_gguf_is_split_key(const char *key)
{
    return strcmp(key, "split.no") == 0 || strcmp(key, "split.count") == 0 || strcmp(key, "split.tensors.count") == 0 ||
           strcmp(key, EL_GGUF_SPLIT_ID_KEY) == 0;
}
