/*
 * The tree of rules becomes a program over bytes. It is written from the end backwards: every piece is given the node that comes
 * after it and answers with its own first node, so that no jump has to be filled in later but those to rules.
 */
#include <string.h>

#include "base/mem.h"
#include "text/grammar.h"

struct compiler {
    const struct el_gtree *tree;
    const struct el_gtree_node *tree_nodes;
    const char *what;
    struct el_buf nodes, ranges;
    struct el_buf pending; /* uint32_t: children of the sequences and choices that are being written */
    uint32_t *apart;       /* [tree nodes] first node of a piece that was made a rule of its own; 0: none */
    uint32_t rule;
    struct el_err *err;
};

enum { CALL_RULE = EL_G_NOT_TOKEN + 1 }; /* a CALL whose a is the index of a rule, until all rules are written */

static struct el_gnode *node_at(const struct compiler *c, uint32_t i)
{
    return (struct el_gnode *)(void *)c->nodes.data + i;
}

static size_t n_nodes(const struct compiler *c)
{
    return c->nodes.nbytes / sizeof(struct el_gnode);
}

static enum el_status add_node(struct compiler *c, int op, uint32_t a, uint32_t b, uint32_t *node)
{
    const struct el_gnode n = {(enum el_gop)op, a, b, c->rule};
    *node = (uint32_t)n_nodes(c);
    if (*node >= EL_MAX_GRAMMAR_NODES)
        return el_fail(c->err, EL_E_UNSUPPORTED, "%s: the rules are too large, with repetitions written out more than %d steps",
                       c->what, EL_MAX_GRAMMAR_NODES);
    el_buf_add(&c->nodes, &n, sizeof n);
    if (c->nodes.failed || c->ranges.failed || c->pending.failed)
        return el_fail(c->err, EL_E_MEMORY, "%s: out of memory for a grammar", c->what);
    return EL_OK;
}

/* ---- characters to bytes ---- */

/* The UTF-8 of a range of characters whose bytes vary independently. */
struct utf8_seq {
    uint8_t n, lo[4], hi[4];
};

static void encode(uint32_t cp, unsigned n, uint8_t out[4])
{
    static const uint8_t lead[] = {0, 0x00, 0xc0, 0xe0, 0xf0};
    for (unsigned i = n; i-- > 1; cp >>= 6)
        out[i] = (uint8_t)(0x80 | (cp & 0x3f));
    out[0] = (uint8_t)(lead[n] | cp);
}

/*
 * Splits [lo, hi], all of n bytes, where a byte would vary together with an earlier one: at ends that are not a multiple of 64,
 * 4096, ...
 */
static void add_seqs(uint32_t lo, uint32_t hi, unsigned n, struct el_buf *out)
{
    for (unsigned i = 1; i < n; i++) {
        const uint32_t low = (UINT32_C(1) << 6 * i) - 1;
        if ((lo & ~low) == (hi & ~low))
            continue;
        if (lo & low) {
            add_seqs(lo, lo | low, n, out);
            add_seqs((lo | low) + 1, hi, n, out);
            return;
        }
        if ((hi & low) != low) {
            add_seqs(lo, (hi & ~low) - 1, n, out);
            add_seqs(hi & ~low, hi, n, out);
            return;
        }
    }
    struct utf8_seq s = {.n = (uint8_t)n};
    encode(lo, n, s.lo);
    encode(hi, n, s.hi);
    el_buf_add(out, &s, sizeof s);
}

static void add_range(uint32_t lo, uint32_t hi, struct el_buf *out)
{
    static const uint32_t last[] = {0, 0x7f, 0x7ff, 0xffff, 0x10ffff};
    for (unsigned n = 1; n <= 4; n++) {
        const uint32_t first = n == 1 ? 0 : last[n - 1] + 1;
        if (lo <= last[n] && hi >= first)
            add_seqs(lo > first ? lo : first, hi < last[n] ? hi : last[n], n, out);
    }
}

/* A node over r[0, n), or an equal one among the last that belong to this class, which begin at `from`. */
static enum el_status bytes_node(struct compiler *c, const struct el_grange *r, size_t n, uint32_t from, uint32_t *node)
{
    const uint32_t end = (uint32_t)n_nodes(c);
    for (uint32_t i = end; i-- > from && end - i <= 64;) {
        const struct el_gnode *const old = node_at(c, i);
        const struct el_grange *const ranges = (const struct el_grange *)(const void *)c->ranges.data + old->a;
        size_t same = 0;
        while (old->b == n && same < n && ranges[same].lo == r[same].lo && ranges[same].hi == r[same].hi &&
               ranges[same].next == r[same].next)
            same++;
        if (same == n && old->b == n) {
            *node = i;
            return EL_OK;
        }
    }
    const uint32_t first = (uint32_t)(c->ranges.nbytes / sizeof *r);
    el_buf_add(&c->ranges, r, n * sizeof *r);
    return add_node(c, EL_G_BYTES, first, (uint32_t)n, node);
}

/* Sequences that agree in their first `at` bytes: one node for byte `at`, and what comes after it. */
static enum el_status emit_seqs(struct compiler *c, const struct utf8_seq *seqs, size_t n, unsigned at, uint32_t from,
                                uint32_t next, uint32_t *node)
{
    struct el_grange r[256];
    size_t n_r = 0;
    for (size_t i = 0; i < n;) {
        size_t same = i + 1; /* two that begin in one range begin with one and the same byte: see add_seqs */
        while (same < n && seqs[same].lo[at] == seqs[i].lo[at])
            same++;
        uint32_t target = next;
        if (seqs[i].n > at + 1)
            EL_TRY(emit_seqs(c, seqs + i, same - i, at + 1, from, next, &target));
        if (n_r > 0 && r[n_r - 1].next == target && r[n_r - 1].hi + 1 == seqs[i].lo[at])
            r[n_r - 1].hi = seqs[i].hi[at];
        else
            r[n_r++] = (struct el_grange){seqs[i].lo[at], seqs[i].hi[at], target};
        i = same;
    }
    return bytes_node(c, r, n_r, from, node);
}

static enum el_status emit_class(struct compiler *c, const struct el_gtree_node *t, uint32_t next, uint32_t *node)
{
    const struct el_gchars *const chars = (const struct el_gchars *)(const void *)c->tree->chars.data + t->a;
    struct el_buf seqs;
    el_buf_init(&seqs);
    for (uint32_t i = 0; i < t->b; i++)
        add_range(chars[i].lo, chars[i].hi, &seqs);
    const enum el_status status = seqs.failed
                                      ? el_fail(c->err, EL_E_MEMORY, "%s: out of memory for a grammar", c->what)
                                      : emit_seqs(c, (const struct utf8_seq *)(const void *)seqs.data,
                                                  seqs.nbytes / sizeof(struct utf8_seq), 0, (uint32_t)n_nodes(c), next, node);
    el_buf_release(&seqs);
    return status;
}

static enum el_status emit_literal(struct compiler *c, const struct el_gtree_node *t, uint32_t next, uint32_t *node)
{
    const uint8_t *const bytes = (const uint8_t *)c->tree->bytes.data + t->a;
    *node = next;
    for (uint32_t i = t->b; i-- > 0;) {
        const struct el_grange r = {bytes[i], bytes[i], *node};
        const uint32_t first = (uint32_t)(c->ranges.nbytes / sizeof r);
        el_buf_add(&c->ranges, &r, sizeof r);
        EL_TRY(add_node(c, EL_G_BYTES, first, 1, node));
    }
    return EL_OK;
}

/* ---- sequences, choices, repetitions ---- */

static enum el_status emit(struct compiler *c, uint32_t tree_node, uint32_t next, uint32_t *node);

/* Puts the children's indices on c->pending; how many. */
static size_t push_children(struct compiler *c, const struct el_gtree_node *t)
{
    size_t n = 0;
    for (uint32_t i = t->child; i; i = c->tree_nodes[i].sibling, n++)
        el_buf_add(&c->pending, &i, sizeof i);
    return n;
}

static uint32_t pop_child(struct compiler *c)
{
    uint32_t i;
    c->pending.nbytes -= sizeof i;
    memcpy(&i, c->pending.data + c->pending.nbytes, sizeof i);
    return i;
}

static enum el_status emit_sequence(struct compiler *c, const struct el_gtree_node *t, uint32_t next, uint32_t *node)
{
    size_t n = push_children(c, t);
    if (c->pending.failed)
        return el_fail(c->err, EL_E_MEMORY, "%s: out of memory for a grammar", c->what);
    for (*node = next; n > 0; n--)
        EL_TRY(emit(c, pop_child(c), *node, node));
    return EL_OK;
}

static enum el_status emit_choice(struct compiler *c, const struct el_gtree_node *t, uint32_t next, uint32_t *node)
{
    size_t n = push_children(c, t);
    if (c->pending.failed)
        return el_fail(c->err, EL_E_MEMORY, "%s: out of memory for a grammar", c->what);
    EL_TRY(emit(c, pop_child(c), next, node));
    while (--n > 0) {
        uint32_t first;
        EL_TRY(emit(c, pop_child(c), next, &first));
        EL_TRY(add_node(c, EL_G_FORK, first, *node, node));
    }
    return EL_OK;
}

/* One time what is repeated. What is long and comes more than once is written once, as a rule without a name. */
static enum el_status emit_once(struct compiler *c, uint32_t tree_node, bool inlined, uint32_t next, uint32_t *node)
{
    if (inlined)
        return emit(c, tree_node, next, node);
    if (!c->apart[tree_node]) {
        uint32_t start;
        EL_TRY(emit(c, tree_node, 0, &start));
        if (start == 0) { /* the empty text: as often as one likes */
            *node = next;
            return EL_OK;
        }
        c->apart[tree_node] = start;
    }
    return add_node(c, EL_G_CALL, c->apart[tree_node], next, node);
}

static enum el_status emit_repeat(struct compiler *c, const struct el_gtree_node *t, uint32_t next, uint32_t *node)
{
    const uint32_t min = t->a, max = t->b, body = t->child;
    const struct el_gtree_node *const b = &c->tree_nodes[body];
    const bool is_short = b->kind == EL_GT_RULE || b->kind == EL_GT_TOKEN || b->kind == EL_GT_NOT_TOKEN ||
                          b->kind == EL_GT_CLASS || (b->kind == EL_GT_LITERAL && b->b <= 4);
    const uint32_t copies = max != UINT32_MAX ? max : min > 0 ? min : 1;
    const bool inlined = copies <= 1 || is_short;
    *node = next;
    if (max == UINT32_MAX) { /* the last one comes back to the fork after it */
        uint32_t fork, first;
        EL_TRY(add_node(c, EL_G_FORK, 0, next, &fork));
        EL_TRY(emit_once(c, body, inlined, fork, &first));
        node_at(c, fork)->a = first;
        *node = min > 0 ? first : fork;
        for (uint32_t i = 1; i < min; i++)
            EL_TRY(emit_once(c, body, inlined, *node, node));
        return EL_OK;
    }
    for (uint32_t i = max; i > min; i--) {
        uint32_t first;
        EL_TRY(emit_once(c, body, inlined, *node, &first));
        EL_TRY(add_node(c, EL_G_FORK, first, next, node));
    }
    for (uint32_t i = 0; i < min; i++)
        EL_TRY(emit_once(c, body, inlined, *node, node));
    return EL_OK;
}

static enum el_status emit(struct compiler *c, uint32_t tree_node, uint32_t next, uint32_t *node)
{
    const struct el_gtree_node *const t = &c->tree_nodes[tree_node];
    switch (t->kind) {
    case EL_GT_LITERAL: return emit_literal(c, t, next, node);
    case EL_GT_CLASS: return emit_class(c, t, next, node);
    case EL_GT_RULE: return add_node(c, CALL_RULE, t->a, next, node);
    case EL_GT_TOKEN: return add_node(c, EL_G_TOKEN, t->a, next, node);
    case EL_GT_NOT_TOKEN: return add_node(c, EL_G_NOT_TOKEN, t->a, next, node);
    case EL_GT_SEQUENCE: return emit_sequence(c, t, next, node);
    case EL_GT_CHOICE: return emit_choice(c, t, next, node);
    case EL_GT_REPEAT: return emit_repeat(c, t, next, node);
    }
    return EL_OK;
}

/* ---- all together ---- */

/* Bytes that every range holds together or leaves together are one class. */
static void find_classes(struct el_grammar *g)
{
    bool cut[257] = {false};
    for (size_t i = 0; i < g->n_ranges; i++) {
        cut[g->ranges[i].lo] = true;
        cut[g->ranges[i].hi + 1] = true;
    }
    uint32_t n = 0;
    for (unsigned b = 0; b < 256; b++) {
        if (b == 0 || cut[b])
            g->byte_of[n++] = (uint8_t)b;
        g->class_of[b] = (uint8_t)(n - 1);
    }
    g->n_classes = n;
}

static enum el_status write_rules(struct compiler *c, uint32_t *starts, struct el_grammar *g)
{
    const struct el_grule *const rules = (const struct el_grule *)(const void *)c->tree->rules.data;
    const uint32_t n_rules = (uint32_t)(c->tree->rules.nbytes / sizeof *rules);
    uint32_t ignored;
    EL_TRY(add_node(c, EL_G_RETURN, 0, 0, &ignored));
    for (c->rule = 0; c->rule < n_rules; c->rule++)
        EL_TRY(emit(c, rules[c->rule].body, 0, &starts[c->rule]));
    g->n_nodes = n_nodes(c);
    g->n_ranges = c->ranges.nbytes / sizeof *g->ranges;
    size_t nbytes;
    g->nodes = (struct el_gnode *)(void *)el_buf_detach(&c->nodes, &nbytes);
    g->ranges = (struct el_grange *)(void *)el_buf_detach(&c->ranges, &nbytes);
    if (!g->nodes || !g->ranges)
        return el_fail(c->err, EL_E_MEMORY, "%s: out of memory for a grammar", c->what);
    for (size_t i = 0; i < g->n_nodes; i++) {
        struct el_gnode *const n = &g->nodes[i];
        if ((int)n->op == CALL_RULE) {
            n->op = EL_G_CALL;
            n->a = starts[n->a];
        }
        if ((n->op == EL_G_TOKEN || n->op == EL_G_NOT_TOKEN) && n->a >= g->max_token)
            g->max_token = n->a + 1;
    }
    g->start = starts[c->tree->root];
    find_classes(g);
    return EL_OK;
}

enum el_status el_grammar_compile(const struct el_gtree *tree, const char *text, const char *what, struct el_grammar *g,
                                  struct el_err *err)
{
    struct compiler c = {
        .tree = tree, .tree_nodes = (const struct el_gtree_node *)(const void *)tree->nodes.data, .what = what, .err = err};
    el_buf_init(&c.nodes);
    el_buf_init(&c.ranges);
    el_buf_init(&c.pending);
    c.apart = el_calloc_array(tree->nodes.nbytes / sizeof(struct el_gtree_node), sizeof *c.apart);
    uint32_t *const starts = el_calloc_array(tree->rules.nbytes / sizeof(struct el_grule), sizeof *starts);
    enum el_status status = EL_OK;
    if (!c.apart || !starts)
        status = el_fail(err, EL_E_MEMORY, "%s: out of memory for a grammar", what);
    if (status == EL_OK)
        status = write_rules(&c, starts, g);
    if (status == EL_OK)
        status = el_grammar_check(g, tree, starts, text, what, err);
    el_buf_release(&c.nodes);
    el_buf_release(&c.ranges);
    el_buf_release(&c.pending);
    el_free(c.apart);
    el_free(starts);
    return status;
}
