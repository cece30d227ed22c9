/*
 * Grammars, inside. A text in GBNF (the notation of llama.cpp's grammars/README.md) goes through three stages:
 *
 *   text -> tree of rules (grammar_parse.c) -> program over bytes (grammar_compile.c, grammar_check.c)
 *        -> states, made as they are reached (grammar_match.c)
 *
 * grammar_mask.c walks a vocabulary together with the states and finds the tokens that may come next.
 */
#ifndef EL_MODEL_GRAMMAR_H
#define EL_MODEL_GRAMMAR_H

#include "base/buf.h"
#include "base/err.h"

enum {
    EL_MAX_GRAMMAR = 16 << 20, /* bytes of a grammar's text */
    EL_MAX_GRAMMAR_RULES = 1 << 16,
    EL_MAX_GRAMMAR_NESTING = 200,   /* groups within groups */
    EL_MAX_GRAMMAR_REPEAT = 100000, /* m and n of {m,n} */
    EL_MAX_GRAMMAR_NODES = 1 << 20, /* of the program: what the rules come to when repetitions are written out */
    EL_MAX_GRAMMAR_DEPTH = 2000,    /* rules within rules while a text is read */
};

/* ---- the tree (grammar_parse.c) ---------------------------------------------------------------------------------- */

enum el_gtree_kind {
    EL_GT_LITERAL,   /* a: offset in bytes, b: length; UTF-8 */
    EL_GT_CLASS,     /* a: first in chars, b: how many; sorted, apart, no surrogates, never empty */
    EL_GT_RULE,      /* a: index of the rule */
    EL_GT_TOKEN,     /* a: id of a token of the vocabulary */
    EL_GT_NOT_TOKEN, /* any other token than a */
    EL_GT_SEQUENCE,  /* children, none: the empty text */
    EL_GT_CHOICE,    /* children, at least one */
    EL_GT_REPEAT,    /* one child, a to b times; b UINT32_MAX: no limit */
};
struct el_gtree_node {
    enum el_gtree_kind kind;
    uint32_t a, b;
    uint32_t child, sibling; /* first child and next sibling; 0: none (node 0 is no node) */
    uint32_t at;             /* byte of the text where it begins */
};
struct el_gchars { /* code points, inclusive */
    uint32_t lo, hi;
};
struct el_grule {
    const char *name; /* in the text, not terminated */
    uint32_t name_nbytes;
    uint32_t at;   /* where it is defined, or first used */
    uint32_t body; /* node, 0: not defined */
};
struct el_gtree {
    struct el_buf nodes; /* struct el_gtree_node */
    struct el_buf chars; /* struct el_gchars */
    struct el_buf bytes;
    struct el_buf rules; /* struct el_grule */
    uint32_t root;       /* index of the rule 'root' */
};

/* text stays borrowed by the tree. tok may be NULL: then token references are refused. EL_E_FORMAT with line and column. */
enum el_status el_gtree_parse(const char *text, size_t nbytes, const char *what, const struct el_tokenizer *tok,
                              struct el_gtree *tree, struct el_err *err);
void el_gtree_release(struct el_gtree *tree);
/* Sorts and joins chars[first..] (struct el_gchars), negates them if asked, drops surrogates; how many are left. */
size_t el_gchars_normalise(struct el_buf *chars, size_t first, bool negated);
/* el_fail with "WHAT: line L, column C: " in front; columns count characters. */
enum el_status el_gfail(struct el_err *err, const char *what, const char *text, size_t at, const char *fmt, ...) EL_PRINTF(5, 6);

/* ---- the program (grammar_compile.c) ----------------------------------------------------------------------------- */

/*
 * Nodes are instructions of a machine that reads bytes and has a stack of return addresses. Node 0 is the one RETURN: at the
 * bottom of the stack it is the end of the text. A CALL whose b is 0 puts nothing on the stack, so that a list written as a rule
 * that ends with itself runs in constant space.
 */
enum el_gop {
    EL_G_RETURN,
    EL_G_BYTES,     /* ranges[a, a + b): reads a byte within one of them and goes on at its target; sorted, apart */
    EL_G_FORK,      /* goes on at a and at b */
    EL_G_CALL,      /* puts b on the stack and goes on at a, the start of a rule */
    EL_G_TOKEN,     /* reads the token a whole, goes on at b */
    EL_G_NOT_TOKEN, /* reads any other token whole, goes on at b */
};
struct el_gnode {
    enum el_gop op;
    uint32_t a, b;
    uint32_t rule; /* which it belongs to, for messages */
};
struct el_grange {
    uint8_t lo, hi;
    uint32_t next;
};
struct el_gvocab;

/* Immutable once made: any number of threads. */
struct el_grammar {
    struct el_gnode *nodes;
    struct el_grange *ranges;
    size_t n_nodes, n_ranges;
    uint32_t start;
    uint32_t max_token;      /* highest id that it names, plus 1 */
    uint32_t n_classes;      /* bytes that no range tells apart are one class */
    uint8_t class_of[256];   /* byte -> class */
    uint8_t byte_of[256];    /* class -> one of its bytes */
    struct el_gvocab *vocab; /* NULL: parsed without a tokenizer */
};

/* Fills nodes, ranges, start, classes. EL_E_FORMAT: left recursion, a rule that never ends; EL_E_UNSUPPORTED: too large. */
enum el_status el_grammar_compile(const struct el_gtree *tree, const char *text, const char *what, struct el_grammar *g,
                                  struct el_err *err);
/* grammar_check.c: left recursion and rules without end. starts [number of rules] holds the first node of each. */
enum el_status el_grammar_check(const struct el_grammar *g, const struct el_gtree *tree, const uint32_t *starts, const char *text,
                                const char *what, struct el_err *err);

/* ---- states (grammar_match.c) ------------------------------------------------------------------------------------ */

/*
 * The states that the program can be in after a text: for every node, the set of stacks with which it is waiting there. Sets of
 * stacks are shared and unique (equal sets have equal ids), so equal states have equal ids too, and a step taken once is a table
 * look-up afterwards. All memory is taken on opening: when the tables are full, what no caller needs any more is dropped.
 */
struct el_gmatch;

enum { EL_G_DEAD = 0 }; /* the state that nothing leads out of */

struct el_gmatch_limits {
    uint32_t n_states, n_configs, n_stacks, n_frames; /* room; small is slower but not wrong */
};
extern const struct el_gmatch_limits el_gmatch_small, el_gmatch_large;

enum el_status el_gmatch_open(const struct el_grammar *g, const struct el_gmatch_limits *limits, struct el_gmatch **m,
                              struct el_err *err);
void el_gmatch_close(struct el_gmatch *m);
/* The state before any text. Forgets all others. */
enum el_status el_gmatch_start(struct el_gmatch *m, uint32_t *state, struct el_err *err);
/*
 * live[*n_live - 1] -> the state after byte, appended to live by the caller's next use: *next. live are the states that the
 * caller still needs: they may be renumbered. EL_E_UNSUPPORTED: the grammar is so ambiguous that a limit is met.
 */
enum el_status el_gmatch_step(struct el_gmatch *m, uint32_t *live, size_t n_live, uint8_t byte, uint32_t *next,
                              struct el_err *err);
/* The state after token id was read as one by token references alone (EL_G_DEAD: none fits). Same rules. */
enum el_status el_gmatch_step_token(struct el_gmatch *m, uint32_t *live, size_t n_live, uint32_t id, uint32_t *next,
                                    struct el_err *err);
/* The state in which either of two states is. Same rules: both are in live. */
enum el_status el_gmatch_join(struct el_gmatch *m, uint32_t *live, size_t n_live, uint32_t *next, struct el_err *err);
/* May the text end in this state? */
bool el_gmatch_can_end(const struct el_gmatch *m, uint32_t state);
/* Nodes of token references at which the state waits: the i-th, or NULL past the end. */
const struct el_gnode *el_gmatch_token_node(const struct el_gmatch *m, uint32_t state, size_t *i);
/* How often states were renumbered: what a caller keeps by state is void when it changes. */
uint64_t el_gmatch_generation(const struct el_gmatch *m);
/* Work allowed from now on, in instructions; each call above fails once it is used up. */
void el_gmatch_set_budget(struct el_gmatch *m, uint64_t n_steps);
/* Did a step drop a continuation because rules were nested deeper than EL_MAX_GRAMMAR_DEPTH? */
bool el_gmatch_too_deep(const struct el_gmatch *m);

/* ---- vocabularies (grammar_mask.c) ------------------------------------------------------------------------------- */

/* The tokens' bytes as a tree in depth-first order, and which tokens end a text. Owns copies. */
enum el_status el_gvocab_open(const struct el_tokenizer *tok, struct el_gvocab **vocab, struct el_err *err);
void el_gvocab_close(struct el_gvocab *vocab);

#endif
