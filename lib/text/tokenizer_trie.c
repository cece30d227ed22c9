#include "text/tokenizer_trie.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

static int by_text(const void *pa, const void *pb)
{
    const struct el_trie_key *const a = pa, *const b = pb;
    const int c = memcmp(a->text, b->text, a->nbytes < b->nbytes ? a->nbytes : b->nbytes);
    if (c != 0)
        return c;
    if (a->nbytes != b->nbytes)
        return a->nbytes < b->nbytes ? -1 : 1;
    return a->value < b->value ? -1 : a->value > b->value;
}

/* While building: the keys [lo, hi) begin with the text of a node. */
struct span {
    uint32_t lo, hi;
};

/* Number of nodes: one for every prefix that is not shared with the key before. 0: too many. */
static uint64_t count_nodes(const struct el_trie_key *keys, size_t n)
{
    uint64_t nodes = 1;
    for (size_t i = 0; i < n; i++) {
        size_t same = 0;
        const size_t most = i == 0 ? 0 : keys[i - 1].nbytes < keys[i].nbytes ? keys[i - 1].nbytes : keys[i].nbytes;
        while (same < most && keys[i].text[same] == keys[i - 1].text[same])
            same++;
        nodes += keys[i].nbytes - same;
    }
    return nodes;
}

/*
 * Nodes are numbered level by level, so that the children of node i are first[i] .. first[i + 1], sorted by their byte: two
 * arrays instead of pointers, and nothing to relocate.
 */
static void fill(struct el_trie *t, const struct el_trie_key *keys, size_t n_keys, struct span *spans)
{
    uint32_t n = 1, level_end = 1, depth = 0;
    spans[0] = (struct span){0, (uint32_t)n_keys};
    t->label[0] = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (i == level_end) {
            level_end = n;
            depth++;
        }
        t->value[i] = -1;
        uint32_t k = spans[i].lo;
        for (; k < spans[i].hi && keys[k].nbytes == depth; k++)
            t->value[i] = keys[k].value;
        t->first[i] = n;
        while (k < spans[i].hi) {
            const uint8_t b = (uint8_t)keys[k].text[depth];
            const uint32_t lo = k;
            while (k < spans[i].hi && (uint8_t)keys[k].text[depth] == b)
                k++;
            if (i == 0)
                t->root[b] = n;
            t->label[n] = b;
            spans[n++] = (struct span){lo, k};
        }
    }
    t->first[n] = n;
}

enum el_status el_trie_build(struct el_trie *t, struct el_trie_key *keys, size_t n_keys, struct el_err *err)
{
    *t = (struct el_trie){.n = 0};
    if (n_keys > 1)
        qsort(keys, n_keys, sizeof *keys, by_text);
    const uint64_t nodes = count_nodes(keys, n_keys);
    if (nodes > INT32_MAX || n_keys > INT32_MAX)
        return el_fail(err, EL_E_UNSUPPORTED, "the vocabulary's prefixes are %llu, at most %d", (unsigned long long)nodes,
                       INT32_MAX);
    t->first = el_alloc_array((size_t)nodes + 1, sizeof *t->first);
    t->label = el_alloc_array((size_t)nodes, sizeof *t->label);
    t->value = el_alloc_array((size_t)nodes, sizeof *t->value);
    struct span *const spans = el_alloc_array((size_t)nodes, sizeof *spans);
    if (!t->first || !t->label || !t->value || !spans) {
        el_free(spans);
        el_trie_release(t);
        return el_fail(err, EL_E_MEMORY, "out of memory for the vocabulary");
    }
    fill(t, keys, n_keys, spans);
    t->n = (uint32_t)nodes;
    el_free(spans);
    return EL_OK;
}

void el_trie_release(struct el_trie *t)
{
    el_free(t->first);
    el_free(t->label);
    el_free(t->value);
    *t = (struct el_trie){.n = 0};
}
