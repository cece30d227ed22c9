#include "cmd/eval_windows.h"

#include <stdlib.h>
#include <string.h>

#include "cmd/util.h"

const char *eval_protocol_name(enum eval_protocol p)
{
    static const char *const names[] = {"llama.cpp", "gptq", "documents"};
    return names[p];
}

uint32_t eval_protocol_ctx(enum eval_protocol p)
{
    return p == EVAL_GPTQ ? 2048 : 512;
}

void eval_windows_fixed(struct eval_windows *out, enum eval_protocol p, const int32_t *ids, size_t n_ids, uint32_t n_ctx,
                        int32_t bos, size_t max_windows)
{
    size_t n = n_ids / n_ctx;
    if (max_windows && max_windows < n)
        n = max_windows;
    *out = (struct eval_windows){.w = xcalloc(n, sizeof *out->w), .n = n};
    for (size_t i = 0; i < n; i++) {
        const int32_t *const start = ids + i * n_ctx;
        out->w[i] = (struct eval_window){
            .ids = start,
            .n = n_ctx,
            .first_id = p == EVAL_LLAMA_CPP && bos >= 0 ? bos : start[0],
            .first_scored = p == EVAL_LLAMA_CPP ? n_ctx / 2 + 1 : 1,
        };
    }
}

void eval_windows_documents(struct eval_windows *out, int32_t *const *doc_ids, const size_t *doc_n, size_t n_docs, int32_t bos,
                            uint32_t n_ctx, size_t max_scored)
{
    size_t total = 0;
    for (size_t i = 0; i < n_docs; i++)
        total += doc_n[i] < n_ctx ? doc_n[i] + 1 : n_ctx;
    *out = (struct eval_windows){.w = xcalloc(n_docs, sizeof *out->w), .owned_ids = xcalloc(total, sizeof(int32_t))};
    int32_t *ids = out->owned_ids;
    size_t scored = 0;
    for (size_t i = 0; i < n_docs; i++) {
        size_t n = doc_n[i] < n_ctx ? doc_n[i] : n_ctx - 1;
        if (max_scored && n > max_scored - scored)
            n = max_scored - scored;
        if (n == 0)
            continue;
        ids[0] = bos;
        memcpy(ids + 1, doc_ids[i], n * sizeof *ids);
        out->w[out->n++] = (struct eval_window){.ids = ids, .n = (uint32_t)n + 1, .first_id = bos, .first_scored = 1};
        ids += n + 1;
        scored += n;
    }
}

void eval_windows_free(struct eval_windows *w)
{
    free(w->w);
    free(w->owned_ids);
    *w = (struct eval_windows){.w = NULL};
}

uint64_t eval_windows_n_scored(const struct eval_windows *w)
{
    uint64_t n = 0;
    for (size_t i = 0; i < w->n; i++)
        n += w->w[i].n > w->w[i].first_scored ? w->w[i].n - w->w[i].first_scored : 0;
    return n;
}

uint32_t eval_windows_longest(const struct eval_windows *w)
{
    uint32_t n = 0;
    for (size_t i = 0; i < w->n; i++)
        n = w->w[i].n > n ? w->w[i].n : n;
    return n;
}

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

void eval_strip(const char **s, size_t *nbytes)
{
    while (*nbytes && is_space(**s)) {
        (*s)++;
        (*nbytes)--;
    }
    while (*nbytes && is_space((*s)[*nbytes - 1]))
        (*nbytes)--;
}

size_t eval_split_documents(const char *text, size_t nbytes, const char *separator, const char ***starts, size_t **lens)
{
    const size_t sep = strlen(separator);
    const char *p = text;
    const char *const end = text + nbytes;
    size_t n = 0, cap = 0;
    *starts = NULL;
    *lens = NULL;
    for (;;) {
        const char *const at = sep ? memmem(p, (size_t)(end - p), separator, sep) : NULL;
        const char *piece = p;
        size_t len = (size_t)((at ? at : end) - p);
        eval_strip(&piece, &len);
        if (len) {
            if (n == cap) {
                cap = cap ? 2 * cap : 64;
                *starts = xrealloc(*starts, cap, sizeof **starts);
                *lens = xrealloc(*lens, cap, sizeof **lens);
            }
            (*starts)[n] = piece;
            (*lens)[n++] = len;
        }
        if (!at)
            return n;
        p = at + sep;
    }
}
