/*
 * The states of a grammar's program, made as they are reached.
 *
 * A state says for every node at which the machine waits for input the set of stacks that it may have there. A set of stacks is
 * kept as a tree read from the top: frames (return address, set of the stacks below), sorted, each address once. Every set is
 * stored once, so that equal sets are equal numbers. Where two ways meet at one node their sets are united, so an ambiguous
 * grammar costs one entry per node and not one per way: the idea of graph-structured stacks (Tomita 1985), with sharing made
 * exact. A step is computed once per state and class of bytes and is a table look-up afterwards.
 */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "text/grammar.h"

struct frame { /* of a stack: return address and the stacks below; of a state: node and the stacks there */
    uint32_t node, stacks;
};
struct set { /* of frames, in a pool */
    uint32_t off, n;
    uint32_t hash;
    uint16_t depth; /* of stacks */
    bool mark;
    bool can_end; /* of a state */
};
struct pool { /* sets by number and by content; 0 is the empty set */
    struct set *sets;
    struct frame *frames;
    uint32_t *table; /* hash -> number; 0: free */
    uint32_t n_sets, cap_sets, n_frames, cap_frames, table_mask;
};
struct memo {
    uint32_t a, b, joined;
};

#define UNKNOWN UINT32_MAX /* no state yet */

enum {
    BOTTOM = 1, /* the set of stacks that holds the empty stack alone: one frame at node 0, the RETURN */
    N_MEMO = 1 << 10,
};

struct el_gmatch {
    const struct el_grammar *g;
    struct pool stacks, states;
    uint32_t *rows;        /* [cap of states, n_classes] next state or UNKNOWN */
    struct memo *memo;     /* [N_MEMO] unions lately made */
    struct frame *scratch; /* [room for configs + room for frames] the sets that are being united */
    size_t n_scratch, cap_scratch;
    /* One closure: nodes reached, with what stacks. */
    uint32_t *at;             /* [n_nodes] set of stacks, when stamp says so */
    uint32_t *stamp, *queued; /* [n_nodes] number of the closure that last touched or queued it */
    uint32_t *touched, *work; /* [n_nodes] */
    uint32_t n_touched, n_work, closure;
    bool ends; /* the closure reached the end of the text */
    bool full, too_deep;
    uint64_t budget, generation;
};

const struct el_gmatch_limits el_gmatch_small = {1 << 6, 1 << 10, 1 << 11, 1 << 12};
const struct el_gmatch_limits el_gmatch_large = {1 << 14, 1 << 19, 1 << 16, 1 << 18};

/* ---- pools ---- */

static uint32_t hash_frames(const struct frame *f, size_t n, bool can_end)
{
    uint64_t h = can_end ? UINT64_C(0x9e3779b97f4a7c15) : UINT64_C(0x243f6a8885a308d3);
    for (size_t i = 0; i < n; i++) {
        h ^= (uint64_t)f[i].node << 32 | f[i].stacks;
        h *= UINT64_C(0xd6e8feb86659fd93);
        h ^= h >> 32;
    }
    return (uint32_t)h;
}

static bool pool_open(struct pool *p, uint32_t cap_sets, uint32_t cap_frames)
{
    uint32_t n_slots = 1;
    while (n_slots < 2 * cap_sets)
        n_slots *= 2;
    p->cap_sets = cap_sets;
    p->cap_frames = cap_frames;
    p->table_mask = n_slots - 1;
    p->sets = el_alloc_array(cap_sets, sizeof *p->sets);
    p->frames = el_alloc_array(cap_frames, sizeof *p->frames);
    p->table = el_calloc_array(n_slots, sizeof *p->table);
    return p->sets && p->frames && p->table;
}

static void pool_release(struct pool *p)
{
    el_free(p->sets);
    el_free(p->frames);
    el_free(p->table);
}

static void pool_reset(struct pool *p)
{
    if (p->n_sets > 0) /* else it is as it was allocated: zero */
        memset(p->table, 0, (p->table_mask + 1) * sizeof *p->table);
    p->sets[0] = (struct set){.off = 0};
    p->n_sets = 1;
    p->n_frames = 0;
}

/* The number of this set, old or new; 0 when the pool is full. */
static uint32_t pool_intern(struct pool *p, const struct frame *f, uint32_t n, bool can_end, uint32_t depth)
{
    const uint32_t hash = hash_frames(f, n, can_end);
    uint32_t slot = hash & p->table_mask;
    for (; p->table[slot]; slot = (slot + 1) & p->table_mask) {
        const struct set *const s = &p->sets[p->table[slot]];
        if (s->hash == hash && s->n == n && s->can_end == can_end &&
            (n == 0 || memcmp(p->frames + s->off, f, n * sizeof *f) == 0))
            return p->table[slot];
    }
    if (p->n_sets == p->cap_sets || p->cap_frames - p->n_frames < n)
        return 0;
    const uint32_t i = p->n_sets++;
    p->sets[i] = (struct set){.off = p->n_frames, .n = n, .hash = hash, .depth = (uint16_t)depth, .can_end = can_end};
    if (n > 0)
        memcpy(p->frames + p->n_frames, f, n * sizeof *f);
    p->n_frames += n;
    p->table[slot] = i;
    return i;
}

/* Keeps the marked sets, in their order; to [n_sets] receives the new numbers. */
static void pool_compact(struct pool *p, uint32_t *to)
{
    uint32_t n = 1, n_frames = 0;
    to[0] = 0;
    memset(p->table, 0, (p->table_mask + 1) * sizeof *p->table);
    for (uint32_t i = 1; i < p->n_sets; i++) {
        struct set s = p->sets[i];
        if (!s.mark)
            continue;
        memmove(p->frames + n_frames, p->frames + s.off, s.n * sizeof *p->frames);
        s.off = n_frames;
        s.mark = false;
        n_frames += s.n;
        p->sets[n] = s;
        to[i] = n++;
    }
    p->n_sets = n;
    p->n_frames = n_frames;
}

static void pool_rehash(struct pool *p)
{
    for (uint32_t i = 1; i < p->n_sets; i++) {
        struct set *const s = &p->sets[i];
        s->hash = hash_frames(p->frames + s->off, s->n, s->can_end);
        uint32_t slot = s->hash & p->table_mask;
        while (p->table[slot])
            slot = (slot + 1) & p->table_mask;
        p->table[slot] = i;
    }
}

/* ---- sets of stacks ---- */

/* The stacks below with one more address on each; 0: too deep, or full. */
static uint32_t push(struct el_gmatch *m, uint32_t node, uint32_t below)
{
    const uint32_t depth = m->stacks.sets[below].depth + 1u;
    if (depth > EL_MAX_GRAMMAR_DEPTH) {
        m->too_deep = true;
        return 0;
    }
    const struct frame f = {node, below};
    const uint32_t set = pool_intern(&m->stacks, &f, 1, false, depth);
    m->full |= set == 0;
    return set;
}

/* Stacks in either set; recursion is as deep as the stacks are. 0: full. */
static uint32_t join(struct el_gmatch *m, uint32_t a, uint32_t b)
{
    if (a == b || b == 0)
        return a;
    if (a == 0)
        return b;
    if (m->full)
        return 0;
    if (a > b) {
        const uint32_t t = a;
        a = b;
        b = t;
    }
    struct memo *const memo = &m->memo[(a * UINT32_C(0x9e3779b1) ^ b * UINT32_C(0x85ebca6b)) >> 22];
    if (memo->a == a && memo->b == b)
        return memo->joined;
    const struct set x = m->stacks.sets[a], y = m->stacks.sets[b];
    const size_t first = m->n_scratch;
    if (m->budget == 0 || m->cap_scratch - first < (size_t)x.n + y.n) {
        m->full = true;
        return 0;
    }
    m->budget--;
    m->n_scratch += (size_t)x.n + y.n;
    uint32_t n = 0, i = 0, k = 0;
    while (i < x.n || k < y.n) { /* pools do not move, so frames stay where they are */
        const struct frame *const fx = m->stacks.frames + x.off + i, *const fy = m->stacks.frames + y.off + k;
        if (k == y.n || (i < x.n && fx->node < fy->node)) {
            m->scratch[first + n++] = *fx;
            i++;
        } else if (i == x.n || fy->node < fx->node) {
            m->scratch[first + n++] = *fy;
            k++;
        } else {
            m->scratch[first + n++] = (struct frame){fx->node, join(m, fx->stacks, fy->stacks)};
            i++;
            k++;
        }
    }
    const uint32_t joined =
        m->full ? 0 : pool_intern(&m->stacks, m->scratch + first, n, false, x.depth > y.depth ? x.depth : y.depth);
    m->n_scratch = first;
    m->full |= joined == 0;
    if (joined)
        *memo = (struct memo){a, b, joined};
    return joined;
}

/* ---- closures: from where input was read to where input is waited for ---- */

static void begin(struct el_gmatch *m)
{
    if (++m->closure == 0) { /* after 2^32 closures the stamps begin anew */
        memset(m->stamp, 0, m->g->n_nodes * sizeof *m->stamp);
        memset(m->queued, 0, m->g->n_nodes * sizeof *m->queued);
        m->closure = 1;
    }
    m->n_touched = m->n_work = 0;
    m->ends = m->full = false;
}

static void reach(struct el_gmatch *m, uint32_t node, uint32_t stacks)
{
    if (stacks == 0)
        return;
    if (m->stamp[node] != m->closure) {
        m->stamp[node] = m->closure;
        m->at[node] = stacks;
        m->touched[m->n_touched++] = node;
    } else {
        const uint32_t joined = join(m, m->at[node], stacks);
        if (joined == m->at[node] || joined == 0)
            return;
        m->at[node] = joined;
    }
    const enum el_gop op = m->g->nodes[node].op;
    if (m->queued[node] != m->closure && (op == EL_G_FORK || op == EL_G_CALL || op == EL_G_RETURN)) {
        m->queued[node] = m->closure;
        m->work[m->n_work++] = node;
    }
}

static void advance(struct el_gmatch *m, uint32_t node)
{
    const struct el_gnode *const n = &m->g->nodes[node];
    const uint32_t stacks = m->at[node];
    if (n->op == EL_G_FORK) {
        reach(m, n->a, stacks);
        reach(m, n->b, stacks);
    } else if (n->op == EL_G_CALL) {
        reach(m, n->a, n->b == 0 ? stacks : push(m, n->b, stacks));
    } else if (n->op == EL_G_RETURN) {
        const struct set s = m->stacks.sets[stacks];
        for (uint32_t i = 0; i < s.n; i++) {
            const struct frame f = m->stacks.frames[s.off + i];
            if (f.node == 0)
                m->ends = true;
            else
                reach(m, f.node, f.stacks);
        }
    }
}

static int by_node(const void *a, const void *b)
{
    const struct frame *const x = a, *const y = b;
    return x->node < y->node ? -1 : x->node > y->node;
}

/* Runs the closure and stores its state; UNKNOWN: full. */
static uint32_t finish(struct el_gmatch *m)
{
    while (m->n_work > 0 && !m->full) {
        const uint32_t node = m->work[--m->n_work];
        m->queued[node] = m->closure - 1;
        if (m->budget == 0)
            m->full = true;
        else
            m->budget--;
        advance(m, node);
    }
    uint32_t n = 0;
    for (uint32_t i = 0; i < m->n_touched && !m->full; i++) {
        const uint32_t node = m->touched[i];
        const enum el_gop op = m->g->nodes[node].op;
        if (op != EL_G_BYTES && op != EL_G_TOKEN && op != EL_G_NOT_TOKEN)
            continue;
        if (n == m->cap_scratch)
            m->full = true;
        else
            m->scratch[n++] = (struct frame){node, m->at[node]};
    }
    if (m->full)
        return UNKNOWN;
    if (n == 0 && !m->ends)
        return EL_G_DEAD;
    if (n > 1)
        qsort(m->scratch, n, sizeof *m->scratch, by_node);
    const uint32_t before = m->states.n_sets;
    const uint32_t state = pool_intern(&m->states, m->scratch, n, m->ends, 0);
    if (state == 0)
        return UNKNOWN;
    if (state >= before)
        memset(m->rows + (size_t)state * m->g->n_classes, 0xff, m->g->n_classes * sizeof *m->rows);
    return state;
}

/* ---- making room ---- */

/* Keeps the states in live, renumbered, and the stacks that they need; forgets all else. */
static void collect(struct el_gmatch *m, uint32_t *live, size_t n_live)
{
    struct pool *const states = &m->states, *const stacks = &m->stacks;
    uint32_t *const to = m->rows; /* the rows are void now, and at least as many as the sets of either pool */
    for (size_t i = 0; i < n_live; i++)
        if (live[i] != EL_G_DEAD)
            states->sets[live[i]].mark = true;
    stacks->sets[BOTTOM].mark = true;
    for (uint32_t i = 1; i < states->n_sets; i++)
        for (uint32_t k = 0; states->sets[i].mark && k < states->sets[i].n; k++)
            stacks->sets[states->frames[states->sets[i].off + k].stacks].mark = true;
    for (uint32_t i = stacks->n_sets; i-- > 1;) /* what lies below a frame is older than it */
        for (uint32_t k = 0; stacks->sets[i].mark && k < stacks->sets[i].n; k++)
            stacks->sets[stacks->frames[stacks->sets[i].off + k].stacks].mark = true;
    stacks->sets[0].mark = false;
    pool_compact(stacks, to);
    for (uint32_t i = 0; i < stacks->n_frames; i++)
        stacks->frames[i].stacks = to[stacks->frames[i].stacks];
    for (uint32_t i = 1; i < states->n_sets; i++)
        for (uint32_t k = 0; states->sets[i].mark && k < states->sets[i].n; k++)
            states->frames[states->sets[i].off + k].stacks = to[states->frames[states->sets[i].off + k].stacks];
    pool_compact(states, to);
    for (size_t i = 0; i < n_live; i++)
        live[i] = to[live[i]];
    pool_rehash(stacks);
    pool_rehash(states);
    memset(m->rows, 0xff, (size_t)states->n_sets * m->g->n_classes * sizeof *m->rows);
    memset(m->memo, 0, N_MEMO * sizeof *m->memo);
    m->generation++;
}

static enum el_status too_much(const struct el_gmatch *m, struct el_err *err)
{
    if (m->budget == 0)
        return el_fail(err, EL_E_UNSUPPORTED, "the grammar is too ambiguous here: more steps than a token may take");
    return el_fail(err, EL_E_UNSUPPORTED, "the grammar is too ambiguous here: more than %u states or %u stacks at once",
                   (unsigned)m->states.cap_sets, (unsigned)m->stacks.cap_sets);
}

/* ---- the interface ---- */

enum el_status el_gmatch_open(const struct el_grammar *g, const struct el_gmatch_limits *limits, struct el_gmatch **out,
                              struct el_err *err)
{
    *out = NULL;
    struct el_gmatch *const m = el_calloc_array(1, sizeof *m);
    if (!m)
        return el_fail(err, EL_E_MEMORY, "out of memory for the states of a grammar");
    m->g = g;
    m->budget = UINT64_MAX;
    const bool pools =
        pool_open(&m->stacks, limits->n_stacks, limits->n_frames) && pool_open(&m->states, limits->n_states, limits->n_configs);
    /* collect() numbers the sets of either pool in here. */
    const size_t n_row = (size_t)limits->n_states * g->n_classes;
    m->rows = el_alloc_array(n_row > limits->n_stacks ? n_row : limits->n_stacks, sizeof *m->rows);
    m->memo = el_calloc_array(N_MEMO, sizeof *m->memo);
    m->cap_scratch = (size_t)limits->n_configs + limits->n_frames;
    m->scratch = el_alloc_array(m->cap_scratch, sizeof *m->scratch);
    m->at = el_alloc_array(g->n_nodes, sizeof *m->at);
    m->stamp = el_calloc_array(g->n_nodes, sizeof *m->stamp);
    m->queued = el_calloc_array(g->n_nodes, sizeof *m->queued);
    m->touched = el_alloc_array(g->n_nodes, sizeof *m->touched);
    m->work = el_alloc_array(g->n_nodes, sizeof *m->work);
    if (!pools || !m->rows || !m->memo || !m->scratch || !m->at || !m->stamp || !m->queued || !m->touched || !m->work) {
        el_gmatch_close(m);
        return el_fail(err, EL_E_MEMORY, "out of memory for the states of a grammar of %zu nodes", g->n_nodes);
    }
    *out = m;
    return EL_OK;
}

void el_gmatch_close(struct el_gmatch *m)
{
    if (!m)
        return;
    pool_release(&m->stacks);
    pool_release(&m->states);
    el_free(m->rows);
    el_free(m->memo);
    el_free(m->scratch);
    el_free(m->at);
    el_free(m->stamp);
    el_free(m->queued);
    el_free(m->touched);
    el_free(m->work);
    el_free(m);
}

enum el_status el_gmatch_start(struct el_gmatch *m, uint32_t *state, struct el_err *err)
{
    const struct frame bottom = {0, 0};
    *state = EL_G_DEAD;
    pool_reset(&m->stacks);
    pool_reset(&m->states);
    memset(m->memo, 0, N_MEMO * sizeof *m->memo);
    memset(m->rows, 0xff, m->g->n_classes * sizeof *m->rows);
    m->generation++;
    m->too_deep = false;
    (void)pool_intern(&m->stacks, &bottom, 1, false, 0);
    begin(m);
    reach(m, m->g->start, BOTTOM);
    const uint32_t first = finish(m);
    if (first == UNKNOWN)
        return too_much(m, err);
    *state = first;
    return EL_OK;
}

/* What leads out of the last live state: one of the three kinds of step. */
typedef void seed_fn(struct el_gmatch *m, const uint32_t *live, size_t n_live, uint32_t what);

static void seed_byte(struct el_gmatch *m, const uint32_t *live, size_t n_live, uint32_t byte)
{
    const struct set s = m->states.sets[live[n_live - 1]];
    for (uint32_t i = 0; i < s.n; i++) {
        const struct frame f = m->states.frames[s.off + i];
        const struct el_gnode *const n = &m->g->nodes[f.node];
        if (n->op != EL_G_BYTES)
            continue;
        const struct el_grange *const r = m->g->ranges + n->a;
        uint32_t lo = 0, hi = n->b; /* the first range that ends at byte or after it */
        while (lo < hi) {
            const uint32_t mid = (lo + hi) / 2;
            if (r[mid].hi < byte)
                lo = mid + 1;
            else
                hi = mid;
        }
        if (lo < n->b && r[lo].lo <= byte)
            reach(m, r[lo].next, f.stacks);
    }
}

static void seed_token(struct el_gmatch *m, const uint32_t *live, size_t n_live, uint32_t id)
{
    const struct set s = m->states.sets[live[n_live - 1]];
    for (uint32_t i = 0; i < s.n; i++) {
        const struct frame f = m->states.frames[s.off + i];
        const struct el_gnode *const n = &m->g->nodes[f.node];
        if ((n->op == EL_G_TOKEN && n->a == id) || (n->op == EL_G_NOT_TOKEN && n->a != id))
            reach(m, n->b, f.stacks);
    }
}

static void seed_both(struct el_gmatch *m, const uint32_t *live, size_t n_live, uint32_t what)
{
    (void)what;
    for (size_t k = n_live - 2; k < n_live; k++) {
        const struct set s = m->states.sets[live[k]];
        m->ends |= s.can_end;
        for (uint32_t i = 0; i < s.n; i++)
            reach(m, m->states.frames[s.off + i].node, m->states.frames[s.off + i].stacks);
    }
}

static enum el_status take_step(struct el_gmatch *m, uint32_t *live, size_t n_live, seed_fn *seed, uint32_t what, uint32_t *next,
                                struct el_err *err)
{
    for (int try = 0; try < 2; try++) {
        begin(m);
        seed(m, live, n_live, what);
        *next = finish(m);
        if (*next != UNKNOWN)
            return EL_OK;
        if (m->budget == 0)
            break;
        if (try == 0)
            collect(m, live, n_live);
    }
    *next = EL_G_DEAD;
    return too_much(m, err);
}

enum el_status el_gmatch_step(struct el_gmatch *m, uint32_t *live, size_t n_live, uint8_t byte, uint32_t *next,
                              struct el_err *err)
{
    const uint32_t class = m->g->class_of[byte];
    const uint32_t known = m->rows[(size_t)live[n_live - 1] * m->g->n_classes + class];
    if (known != UNKNOWN || live[n_live - 1] == EL_G_DEAD) {
        *next = known != UNKNOWN ? known : EL_G_DEAD;
        return EL_OK;
    }
    EL_TRY(take_step(m, live, n_live, seed_byte, m->g->byte_of[class], next, err));
    m->rows[(size_t)live[n_live - 1] * m->g->n_classes + class] = *next;
    return EL_OK;
}

enum el_status el_gmatch_step_token(struct el_gmatch *m, uint32_t *live, size_t n_live, uint32_t id, uint32_t *next,
                                    struct el_err *err)
{
    return take_step(m, live, n_live, seed_token, id, next, err);
}

enum el_status el_gmatch_join(struct el_gmatch *m, uint32_t *live, size_t n_live, uint32_t *next, struct el_err *err)
{
    return take_step(m, live, n_live, seed_both, 0, next, err);
}

bool el_gmatch_can_end(const struct el_gmatch *m, uint32_t state)
{
    return m->states.sets[state].can_end;
}

const struct el_gnode *el_gmatch_token_node(const struct el_gmatch *m, uint32_t state, size_t *i)
{
    const struct set s = m->states.sets[state];
    for (; *i < s.n; ++*i) {
        const struct el_gnode *const n = &m->g->nodes[m->states.frames[s.off + *i].node];
        if (n->op != EL_G_BYTES) {
            ++*i;
            return n;
        }
    }
    return NULL;
}

uint64_t el_gmatch_generation(const struct el_gmatch *m)
{
    return m->generation;
}

void el_gmatch_set_budget(struct el_gmatch *m, uint64_t n_steps)
{
    m->budget = n_steps;
}

bool el_gmatch_too_deep(const struct el_gmatch *m)
{
    return m->too_deep;
}
