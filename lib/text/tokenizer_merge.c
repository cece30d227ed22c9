#include <string.h>
#include <sys/random.h>

#include "base/mem.h"
#include "text/tokenizer_impl.h"

#define NO_RANK UINT32_MAX

enum { SMALL = 32 }; /* up to here a scan for the smallest rank is faster than a heap */

/* The seed is secret, so that a file cannot be made of pairs that collide. Nothing observable depends on it. */
static inline uint64_t hash_key(uint64_t key, uint64_t seed)
{
    __extension__ typedef unsigned __int128 wide;
    const wide product = (wide)(key ^ seed) * 0x9e3779b97f4a7c15u;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

bool el_pairs_reserve(struct el_pairs *p, size_t n)
{
    size_t cap = 16;
    while (cap / 2 < n + 1) {
        if (cap > SIZE_MAX / 4)
            return false;
        cap *= 2;
    }
    if (getrandom(&p->seed, sizeof p->seed, GRND_NONBLOCK) != (ssize_t)sizeof p->seed)
        p->seed = 0x243f6a8885a308d3u;
    p->slots = el_calloc_array(cap, sizeof *p->slots);
    p->cap = p->slots ? cap : 0;
    p->count = 0;
    return p->slots != NULL;
}

void el_pairs_release(struct el_pairs *p)
{
    el_free(p->slots);
    *p = (struct el_pairs){0};
}

static inline struct el_pair *slot_of(const struct el_pairs *p, uint64_t key)
{
    size_t i = (size_t)hash_key(key, p->seed) & (p->cap - 1);
    while (p->slots[i].key != 0 && p->slots[i].key != key)
        i = (i + 1) & (p->cap - 1);
    return &p->slots[i];
}

static inline uint64_t make_key(int32_t left, int32_t right)
{
    return ((uint64_t)(uint32_t)left << 32 | (uint32_t)right) + 1;
}

bool el_pairs_add(struct el_pairs *p, int32_t left, int32_t right, uint32_t rank, int32_t merged)
{
    const uint64_t key = make_key(left, right);
    struct el_pair *const s = slot_of(p, key);
    if (s->key)
        return false;
    *s = (struct el_pair){key, rank, merged};
    p->count++;
    return true;
}

const struct el_pair *el_pairs_get(const struct el_pairs *p, int32_t left, int32_t right)
{
    if (p->count == 0 || left < 0 || right < 0)
        return NULL;
    const struct el_pair *const s = slot_of(p, make_key(left, right));
    return s->key ? s : NULL;
}

static inline uint32_t look(const struct el_pairs *p, int32_t left, int32_t right, int32_t *merged)
{
    const struct el_pair *const s = el_pairs_get(p, left, right);
    if (!s)
        return NO_RANK;
    *merged = s->merged;
    return s->rank;
}

static size_t merge_small(const struct el_pairs *pairs, int32_t *sym, size_t n)
{
    uint32_t rank[SMALL];
    int32_t merged[SMALL];
    for (size_t i = 0; i + 1 < n; i++)
        rank[i] = look(pairs, sym[i], sym[i + 1], &merged[i]);
    while (n > 1) {
        size_t best = 0;
        for (size_t i = 1; i + 1 < n; i++)
            if (rank[i] < rank[best])
                best = i;
        if (rank[best] == NO_RANK)
            break;
        sym[best] = merged[best];
        const size_t behind = n - best - 2; /* symbols after the pair */
        memmove(sym + best + 1, sym + best + 2, behind * sizeof *sym);
        if (behind > 0) {
            memmove(rank + best, rank + best + 1, behind * sizeof *rank);
            memmove(merged + best, merged + best + 1, behind * sizeof *merged);
        }
        n--;
        if (best > 0)
            rank[best - 1] = look(pairs, sym[best - 1], sym[best], &merged[best - 1]);
        if (best + 1 < n)
            rank[best] = look(pairs, sym[best], sym[best + 1], &merged[best]);
    }
    return n;
}

/* ---- long words: a linked list of symbols and a heap of pairs ---- */

struct el_merge_node {
    int32_t sym;
    uint32_t prev, next; /* next of the last: n; prev of the first: UINT32_MAX; of a merged-away node: next is 0 */
    uint32_t rank;       /* of the pair with next */
    int32_t merged;
};

static void sift_down(uint64_t *heap, size_t n, size_t i)
{
    const uint64_t v = heap[i];
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= n)
            break;
        if (child + 1 < n && heap[child + 1] < heap[child])
            child++;
        if (heap[child] >= v)
            break;
        heap[i] = heap[child];
        i = child;
    }
    heap[i] = v;
}

static bool heap_push(struct el_merge_work *w, uint64_t v)
{
    if (w->n_heap == w->cap_heap) {
        const size_t cap = w->cap_heap + w->cap_heap / 2 + 64;
        uint64_t *const more = el_realloc_array(w->heap, cap, sizeof *more);
        if (!more)
            return false;
        w->heap = more;
        w->cap_heap = cap;
    }
    size_t i = w->n_heap++;
    while (i > 0 && w->heap[(i - 1) / 2] > v) {
        w->heap[i] = w->heap[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    w->heap[i] = v;
    return true;
}

static uint64_t heap_pop(struct el_merge_work *w)
{
    const uint64_t top = w->heap[0];
    w->heap[0] = w->heap[--w->n_heap];
    if (w->n_heap > 0)
        sift_down(w->heap, w->n_heap, 0);
    return top;
}

static bool room(struct el_merge_work *w, size_t n)
{
    if (w->cap_nodes < n) {
        el_free(w->nodes);
        w->nodes = el_alloc_array(n, sizeof *w->nodes);
        w->cap_nodes = w->nodes ? n : 0;
    }
    if (w->cap_heap < n) {
        el_free(w->heap);
        w->heap = el_alloc_array(n, sizeof *w->heap);
        w->cap_heap = w->heap ? n : 0;
    }
    return w->cap_nodes >= n && w->cap_heap >= n;
}

static enum el_status merge_long(const struct el_pairs *pairs, struct el_merge_work *w, int32_t *sym, size_t *n_sym,
                                 struct el_err *err)
{
    const size_t n = *n_sym;
    if (!room(w, n))
        return el_fail(err, EL_E_MEMORY, "out of memory while merging a word of %zu symbols", n);
    struct el_merge_node *const nodes = w->nodes;
    w->n_heap = 0;
    for (size_t i = 0; i < n; i++) {
        nodes[i] = (struct el_merge_node){sym[i], (uint32_t)i - 1, (uint32_t)i + 1, NO_RANK, -1};
        if (i + 1 < n)
            nodes[i].rank = look(pairs, sym[i], sym[i + 1], &nodes[i].merged);
        if (nodes[i].rank != NO_RANK)
            w->heap[w->n_heap++] = (uint64_t)nodes[i].rank << 32 | i;
    }
    for (size_t i = w->n_heap / 2; i-- > 0;)
        sift_down(w->heap, w->n_heap, i);
    while (w->n_heap > 0) {
        const uint64_t top = heap_pop(w);
        const uint32_t i = (uint32_t)top;
        struct el_merge_node *const a = &nodes[i];
        if (a->next == 0 || a->rank != (uint32_t)(top >> 32))
            continue; /* merged away, or its pair has changed since */
        struct el_merge_node *const b = &nodes[a->next];
        a->sym = a->merged;
        a->next = b->next;
        b->next = 0;
        a->rank = NO_RANK;
        bool ok = true;
        if (a->next < n) {
            nodes[a->next].prev = i;
            a->rank = look(pairs, a->sym, nodes[a->next].sym, &a->merged);
            if (a->rank != NO_RANK)
                ok = heap_push(w, (uint64_t)a->rank << 32 | i);
        }
        if (i > 0) { /* node 0 is never merged away, so every other node has a left neighbour */
            struct el_merge_node *const left = &nodes[a->prev];
            left->rank = look(pairs, left->sym, a->sym, &left->merged);
            if (left->rank != NO_RANK)
                ok = ok && heap_push(w, (uint64_t)left->rank << 32 | a->prev);
        }
        if (!ok)
            return el_fail(err, EL_E_MEMORY, "out of memory while merging a word of %zu symbols", n);
    }
    size_t m = 0;
    for (size_t i = 0; i < n; i = nodes[i].next)
        sym[m++] = nodes[i].sym;
    *n_sym = m;
    return EL_OK;
}

enum el_status el_merge(const struct el_pairs *pairs, struct el_merge_work *w, int32_t *sym, size_t *n, struct el_err *err)
{
    if (*n <= SMALL) {
        *n = merge_small(pairs, sym, *n);
        return EL_OK;
    }
    if (*n > INT32_MAX)
        return el_fail(err, EL_E_UNSUPPORTED, "a word of %zu symbols, at most %d", *n, INT32_MAX);
    const enum el_status status = merge_long(pairs, w, sym, n, err);
    if (w->cap_nodes > 1u << 20) /* the scratch of one huge word is not kept for the small ones */
        el_merge_work_release(w);
    return status;
}

void el_merge_work_release(struct el_merge_work *w)
{
    el_free(w->nodes);
    el_free(w->heap);
    *w = (struct el_merge_work){0};
}
