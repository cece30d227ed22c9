#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "text/tokenizer_impl.h"

enum el_status el_added_put(struct el_added *a, const char *text, size_t nbytes, const struct el_added_token *flags,
                            struct el_err *err)
{
    if (nbytes == 0 || nbytes > EL_MAX_ADDED_TOKEN)
        return el_fail(err, EL_E_FORMAT, "added token %d: %zu bytes of text, allowed are 1 to %d", (int)flags->id, nbytes,
                       (int)EL_MAX_ADDED_TOKEN);
    if (a->n == a->cap) {
        const size_t cap = a->cap ? 2 * a->cap : 64;
        struct el_added_token *const more = el_realloc_array(a->tokens, cap, sizeof *more);
        if (!more)
            return el_fail(err, EL_E_MEMORY, "out of memory for added tokens");
        a->tokens = more;
        a->cap = cap;
    }
    struct el_added_token *const t = &a->tokens[a->n];
    *t = *flags;
    t->nbytes = (uint32_t)nbytes;
    t->text = el_strndup(text, nbytes);
    if (!t->text)
        return el_fail(err, EL_E_MEMORY, "out of memory for added tokens");
    a->n++;
    return EL_OK;
}

static int by_text(const void *pa, const void *pb)
{
    const struct el_added_token *const a = pa, *const b = pb;
    const int c = memcmp(a->text, b->text, a->nbytes < b->nbytes ? a->nbytes : b->nbytes);
    if (c != 0)
        return c;
    if (a->nbytes != b->nbytes)
        return a->nbytes < b->nbytes ? -1 : 1;
    return a->id < b->id ? -1 : a->id > b->id;
}

void el_added_sort(struct el_added *a)
{
    if (a->n > 1)
        qsort(a->tokens, a->n, sizeof *a->tokens, by_text);
    size_t i = 0;
    for (unsigned b = 0; b <= 256; b++) {
        while (i < a->n && (uint8_t)a->tokens[i].text[0] < b)
            i++;
        a->first[b] = (uint32_t)i;
    }
}

void el_added_release(struct el_added *a)
{
    for (size_t i = 0; i < a->n; i++)
        el_free(a->tokens[i].text);
    el_free(a->tokens);
    *a = (struct el_added){0};
}

/* First token in [lo, hi), all equal in their first `depth` bytes, whose byte at depth is at least b. */
static size_t lower(const struct el_added *a, size_t lo, size_t hi, size_t depth, unsigned b)
{
    while (lo < hi) {
        const size_t mid = lo + (hi - lo) / 2;
        const struct el_added_token *const t = &a->tokens[mid];
        if (t->nbytes <= depth || (uint8_t)t->text[depth] < b)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

/* The longest token at text[0]. */
static const struct el_added_token *longest(const struct el_added *a, const char *text, size_t nbytes, bool with_special)
{
    const uint8_t b0 = (uint8_t)text[0];
    size_t lo = a->first[b0], hi = a->first[b0 + 1];
    const struct el_added_token *best = NULL;
    for (size_t depth = 1; lo < hi; depth++) {
        /* Shorter ones sort first, so those that end here lie at lo. */
        for (; lo < hi && a->tokens[lo].nbytes == depth; lo++)
            if (with_special || a->skip_hidden || !a->tokens[lo].special)
                best = &a->tokens[lo];
        if (depth >= nbytes)
            break;
        const uint8_t b = (uint8_t)text[depth];
        lo = lower(a, lo, hi, depth, b);
        hi = lower(a, lo, hi, depth, b + 1u);
    }
    return best;
}

static size_t char_before(const char *text, size_t at)
{
    size_t i = at - 1;
    while (i > 0 && at - i < 4 && ((uint8_t)text[i] & 0xc0) == 0x80)
        i--;
    return i;
}

static bool word_at(const char *text, size_t nbytes, size_t at)
{
    uint32_t cp = 0;
    return el_utf8_decode(text + at, nbytes - at, &cp) > 0 && el_cp_is_word(cp);
}

static bool stands_alone(const char *text, size_t nbytes, size_t begin, size_t end)
{
    if (begin > 0 && word_at(text, nbytes, char_before(text, begin)))
        return false;
    return end >= nbytes || !word_at(text, nbytes, end);
}

const struct el_added_token *el_added_find(const struct el_added *a, const char *text, size_t nbytes, size_t from,
                                           bool with_special, size_t *begin, size_t *end)
{
    if (a->n == 0)
        return NULL;
    for (size_t i = from; i < nbytes; i++) {
        const uint8_t b = (uint8_t)text[i];
        if (a->first[b] == a->first[b + 1])
            continue;
        const struct el_added_token *const t = longest(a, text + i, nbytes - i, with_special);
        if (!t)
            continue;
        size_t b0 = i, e0 = i + t->nbytes;
        if ((t->special && !with_special) || (t->single_word && !stands_alone(text, nbytes, b0, e0))) {
            i = e0 - 1; /* as Hugging Face does, nothing shorter is tried here */
            continue;
        }
        while (t->lstrip && b0 > from) {
            const size_t p = char_before(text, b0);
            uint32_t cp = 0;
            if (p < from || el_utf8_decode(text + p, nbytes - p, &cp) == 0 || !el_cp_is_space(cp))
                break;
            b0 = p;
        }
        while (t->rstrip && e0 < nbytes) {
            uint32_t cp = 0;
            const size_t len = el_utf8_decode(text + e0, nbytes - e0, &cp);
            if (len == 0 || !el_cp_is_space(cp))
                break;
            e0 += len;
        }
        *begin = b0;
        *end = e0;
        return t;
    }
    return NULL;
}
