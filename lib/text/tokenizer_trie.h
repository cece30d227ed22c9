/*
 * A trie over the bytes of a vocabulary, for finding all its tokens that begin at a place of a text. Immutable once built; any
 * number of threads may read. About 9 bytes a node. Inside the tokenizer only.
 */
#ifndef EL_MODEL_TOKENIZER_TRIE_H
#define EL_MODEL_TOKENIZER_TRIE_H

#include "base/err.h"

struct el_trie {
    uint32_t root[256]; /* child of the root for a byte, 0: none */
    uint32_t *first;    /* [n + 1]: children of node i are [first[i], first[i + 1]) */
    uint8_t *label;     /* [n]: byte that leads to a node */
    int32_t *value;     /* [n]: of the key that ends at a node, -1: none */
    uint32_t n;         /* 0: nothing was built */
};

struct el_trie_key {
    const char *text; /* borrowed during el_trie_build */
    uint32_t nbytes;  /* at least 1 */
    int32_t value;    /* at least 0; the highest of equal texts is kept */
};

/* Sorts keys in place. EL_E_MEMORY; EL_E_UNSUPPORTED: more than 2^31 different prefixes. */
enum el_status el_trie_build(struct el_trie *t, struct el_trie_key *keys, size_t n_keys, struct el_err *err);
void el_trie_release(struct el_trie *t);

/* The node behind `node` (0: the root) for one more byte; 0 when no key goes on so. */
static inline uint32_t el_trie_next(const struct el_trie *t, uint32_t node, uint8_t b)
{
    if (node == 0)
        return t->root[b];
    uint32_t lo = t->first[node], hi = t->first[node + 1];
    while (hi - lo > 8) {
        const uint32_t mid = lo + (hi - lo) / 2;
        if (t->label[mid] <= b)
            lo = mid;
        else
            hi = mid;
    }
    for (; lo < hi; lo++)
        if (t->label[lo] == b)
            return lo;
    return 0;
}

#endif
