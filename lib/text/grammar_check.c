/*
 * What the states could not bear: a rule that comes back to its own beginning before it has read anything (left recursion: its
 * stack would grow without end), and one that reads for ever. Both are found in the program, whose every node has at most two
 * ways on, in time linear in its size.
 */
#include <string.h>

#include "base/mem.h"
#include "text/grammar.h"

struct check {
    const struct el_grammar *g;
    const struct el_grule *rules;
    const char *text, *what;
    uint32_t *first, *preds; /* nodes that need node v: preds[first[v], first[v + 1]) */
    uint32_t *work;          /* [n_nodes] */
    uint8_t *nullable;       /* the way from here to the RETURN of the rule may read nothing */
    uint8_t *ends;           /* the way from here to the RETURN of the rule is finite */
    uint32_t *low, *order;   /* Tarjan's */
    uint8_t *on_stack, *edge;
    uint32_t *path, *component;
    struct el_err *err;
};

/* Calls fn's place for every node that the value of node i is made of. */
static unsigned needs(const struct el_grammar *g, uint32_t i, uint32_t to[2], bool through_text)
{
    const struct el_gnode *const n = &g->nodes[i];
    switch (n->op) {
    case EL_G_FORK:
    case EL_G_CALL:
        to[0] = n->a;
        to[1] = n->b;
        return 2;
    case EL_G_TOKEN:
    case EL_G_NOT_TOKEN: to[0] = n->b; return through_text ? 1 : 0;
    case EL_G_BYTES: /* all ranges of a node lead to the same place in the end, so one of them tells */
        to[0] = g->ranges[n->a].next;
        return through_text ? 1 : 0;
    case EL_G_RETURN: break;
    }
    return 0;
}

static void link_preds(struct check *c, bool through_text)
{
    const size_t n = c->g->n_nodes;
    uint32_t to[2];
    memset(c->first, 0, (n + 2) * sizeof *c->first);
    for (uint32_t i = 0; i < n; i++)
        for (unsigned k = needs(c->g, i, to, through_text); k-- > 0;)
            c->first[to[k] + 2]++;
    for (size_t i = 2; i < n + 2; i++)
        c->first[i] += c->first[i - 1];
    for (uint32_t i = 0; i < n; i++)
        for (unsigned k = needs(c->g, i, to, through_text); k-- > 0;)
            c->preds[c->first[to[k] + 1]++] = i;
}

/* Least fixed point: value[i] from the values of what node i needs; RETURN is true. */
static void solve(struct check *c, bool through_text, uint8_t *value)
{
    const size_t n = c->g->n_nodes;
    uint32_t to[2];
    size_t n_work = 0;
    link_preds(c, through_text);
    memset(value, 0, n);
    value[0] = 1;
    c->work[n_work++] = 0;
    while (n_work > 0) {
        const uint32_t v = c->work[--n_work];
        for (uint32_t k = c->first[v]; k < c->first[v + 1]; k++) {
            const uint32_t i = c->preds[k];
            const unsigned n_to = needs(c->g, i, to, through_text);
            const bool both = c->g->nodes[i].op == EL_G_CALL;
            const bool yes = n_to == 1 || (both ? value[to[0]] && value[to[1]] : value[to[0]] || value[to[1]]);
            if (yes && !value[i]) {
                value[i] = 1;
                c->work[n_work++] = i;
            }
        }
    }
}

/* The k-th way on from node i that reads nothing; false past the last. */
static bool silent_way(const struct check *c, uint32_t i, unsigned k, uint32_t *to)
{
    const struct el_gnode *const n = &c->g->nodes[i];
    if (n->op == EL_G_FORK && k < 2)
        *to = k == 0 ? n->a : n->b;
    else if (n->op == EL_G_CALL && k == 0)
        *to = n->a;
    else if (n->op == EL_G_CALL && k == 1 && c->nullable[n->a])
        *to = n->b;
    else
        return false;
    return true;
}

/* Strongly connected components of the ways that read nothing, from node `root` (Tarjan 1972, without recursion). */
static void components_from(struct check *c, uint32_t root, uint32_t *next_order, uint32_t *n_components)
{
    size_t n_path = 0, n_open = 0;
    c->path[n_path++] = root;
    c->order[root] = c->low[root] = ++*next_order;
    c->work[n_open++] = root;
    c->on_stack[root] = 1;
    while (n_path > 0) {
        const uint32_t i = c->path[n_path - 1];
        uint32_t to;
        if (silent_way(c, i, c->edge[i], &to)) {
            c->edge[i]++;
            if (!c->order[to]) {
                c->order[to] = c->low[to] = ++*next_order;
                c->path[n_path++] = to;
                c->work[n_open++] = to;
                c->on_stack[to] = 1;
            } else if (c->on_stack[to] && c->order[to] < c->low[i])
                c->low[i] = c->order[to];
            continue;
        }
        if (c->low[i] == c->order[i]) {
            uint32_t v;
            do {
                v = c->work[--n_open];
                c->on_stack[v] = 0;
                c->component[v] = *n_components;
            } while (v != i);
            ++*n_components;
        }
        if (--n_path > 0 && c->low[i] < c->low[c->path[n_path - 1]])
            c->low[c->path[n_path - 1]] = c->low[i];
    }
}

static int shown(const struct el_grule *r)
{
    return (int)(r->name_nbytes > 64 ? 64 : r->name_nbytes);
}

static enum el_status find_left_recursion(struct check *c)
{
    const struct el_grammar *const g = c->g;
    uint32_t next_order = 0, n_components = 0;
    for (uint32_t i = 0; i < g->n_nodes; i++)
        if (!c->order[i])
            components_from(c, i, &next_order, &n_components);
    for (uint32_t i = 0; i < g->n_nodes; i++) {
        const struct el_gnode *const n = &g->nodes[i];
        if (n->op != EL_G_CALL || c->component[i] != c->component[n->a])
            continue;
        const struct el_grule *const in = &c->rules[n->rule], *const called = &c->rules[g->nodes[n->a].rule];
        if (in == called)
            return el_gfail(c->err, c->what, c->text, in->at,
                            "rule '%.*s' begins with itself (left recursion); write a repetition, or put what is read first",
                            shown(in), in->name);
        return el_gfail(c->err, c->what, c->text, in->at,
                        "rule '%.*s' begins with itself (left recursion) by way of rule '%.*s'; write a repetition, or put what "
                        "is read first",
                        shown(in), in->name, shown(called), called->name);
    }
    return EL_OK;
}

static enum el_status run(struct check *c, const uint32_t *starts, uint32_t n_rules)
{
    solve(c, false, c->nullable);
    solve(c, true, c->ends);
    for (uint32_t r = 0; r < n_rules; r++)
        if (!c->ends[starts[r]])
            return el_gfail(c->err, c->what, c->text, c->rules[r].at,
                            "rule '%.*s' never ends: every way through it comes back to it", shown(&c->rules[r]),
                            c->rules[r].name);
    return find_left_recursion(c);
}

enum el_status el_grammar_check(const struct el_grammar *g, const struct el_gtree *tree, const uint32_t *starts, const char *text,
                                const char *what, struct el_err *err)
{
    const size_t n = g->n_nodes;
    struct check c = {
        .g = g, .rules = (const struct el_grule *)(const void *)tree->rules.data, .text = text, .what = what, .err = err};
    enum { N_WORDS = 8, N_BYTES = 4 };
    uint32_t *const words = el_calloc_array(n + 2, N_WORDS * sizeof *words);
    uint8_t *const bytes = el_calloc_array(n + 2, N_BYTES);
    enum el_status status;
    if (!words || !bytes)
        status = el_fail(err, EL_E_MEMORY, "%s: out of memory for a grammar", what);
    else {
        uint32_t **const parts[] = {&c.first, &c.work, &c.low, &c.order, &c.path, &c.component, &c.preds};
        for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
            *parts[i] = words + i * (n + 2); /* preds comes last: it has two places for each node */
        uint8_t **const byte_parts[] = {&c.nullable, &c.ends, &c.on_stack, &c.edge};
        for (size_t i = 0; i < N_BYTES; i++)
            *byte_parts[i] = bytes + i * (n + 2);
        status = run(&c, starts, (uint32_t)(tree->rules.nbytes / sizeof *c.rules));
    }
    el_free(words);
    el_free(bytes);
    return status;
}
