/*
 * The inside of the Jinja interpreter, shared by the jinja_*.c files and nobody else:
 *
 *   text -> tokens (jinja_lex.c) -> tree (jinja_parse.c, jinja_parse_expr.c) -> text (jinja_eval.c, jinja_stmt.c)
 *
 * Values are 16 bytes, never change once made (the sandbox is immutable) and lie in the arena of one rendering, which is freed as
 * a whole: nothing counts references. Namespaces, loops and iterators are the objects with a state.
 *
 * Functions that can fail return false after el_jinja_fail() has filled the error; the caller only passes it on.
 */
#ifndef EL_MODEL_JINJA_IMPL_H
#define EL_MODEL_JINJA_IMPL_H

#include "text/jinja.h"

/* ---- arena (jinja_value.c) ---------------------------------------------------------------------------------------- */

struct el_jchunk;
/* Bytes that are freed together. */
struct el_jarena {
    struct el_jchunk *chunks;
    char *top, *end; /* what is left of the newest chunk */
    uint64_t nbytes, max_nbytes;
};
void el_jarena_release(struct el_jarena *a);
/* NULL: out of memory, or the limit. align is 1 or 8. */
void *el_jarena_get(struct el_jarena *a, uint64_t nbytes, size_t align);

/* ---- values ------------------------------------------------------------------------------------------------------- */

enum el_jkind {
    EL_J_MISSING, /* an argument that was not given; templates never see it */
    EL_J_UNDEF,
    EL_J_NONE,
    EL_J_BOOL,
    EL_J_INT,
    EL_J_BIG, /* an integer of JSON beyond 64 bits: its digits, to be printed and passed on */
    EL_J_FLOAT,
    EL_J_STR,
    EL_J_LIST,
    EL_J_TUPLE,
    EL_J_DICT,
    EL_J_VIEW, /* what dict.keys(), values(), items() give */
    EL_J_RANGE,
    EL_J_ITER, /* a generator: can be walked once */
    EL_J_NS,
    EL_J_MACRO,
    EL_J_FN,     /* a global function */
    EL_J_METHOD, /* a function bound to its object */
    EL_J_LOOP,
    EL_J_CYCLER,
    EL_J_JOINER,
};

/* Flags of a value. */
enum {
    EL_J_SAFE = 1,   /* STR: Markup */
    EL_J_GROUP = 2,  /* TUPLE: a pair of groupby, with the names grouper and list */
    EL_J_ATTR = 4,   /* UNDEF: s is the name of an attribute that an object lacks */
    EL_J_UNSAFE = 8, /* UNDEF: s is an attribute that the sandbox hides */
    EL_J_HINT = 16,  /* UNDEF: s is a whole sentence */
};
enum { EL_J_KEYS, EL_J_VALUES, EL_J_ITEMS }; /* sub of a VIEW */

struct el_jval {
    uint8_t kind, flags;
    uint16_t sub; /* VIEW: which; FN: index in the table of globals */
    uint32_t n;   /* bytes of STR, BIG and the name of UNDEF; elements of LIST, TUPLE, DICT, VIEW */
    union {
        bool b;
        int64_t i;
        double d;
        const char *s;
        const struct el_jval *v;   /* LIST, TUPLE [n] */
        const struct el_jpair *kv; /* DICT, VIEW [n] */
        struct el_jrange *range;
        struct el_jiter *iter;
        struct el_jns *ns;
        struct el_jmacro *macro;
        struct el_jmethod *method;
        struct el_jloop *loop;
        struct el_jcycler *cycler;
    } u;
};
struct el_jpair {
    struct el_jval k, v;
};
struct el_jrange {
    int64_t start, step;
    uint32_t n;
    int64_t stop;
};
struct el_jns {
    struct el_jpair *kv;
    uint32_t n, cap;
};
struct el_jmacro {
    const struct el_jnode *node;
    struct el_jscope *scope; /* where it was defined */
    struct el_jval name;
};
struct el_jcycler { /* of cycler() and joiner() */
    struct el_jval items;
    uint32_t at;
};

/* Arguments of a call. */
struct el_jkw {
    struct el_jval name, v;
};
struct el_jargs {
    const struct el_jval *v;
    uint32_t n;
    const struct el_jkw *kw;
    uint32_t n_kw;
};

struct el_jrun;
/* self: the object of a method, the value of a filter or test. */
typedef bool el_jfn(struct el_jrun *r, const struct el_jval *self, const struct el_jargs *a, struct el_jval *out);

/*
 * A row of a table of functions. params: names in order, separated by commas, the first `need` of them required; the function
 * then sees exactly one value for each (EL_J_MISSING where none was given). NULL: it sees the arguments as they stand.
 */
struct el_jdef {
    const char *name;
    el_jfn *fn;
    const char *params;
    unsigned need;
};
struct el_jmethod {
    const struct el_jdef *def;
    struct el_jval self;
};

/* ---- tokens (jinja_lex.c) ----------------------------------------------------------------------------------------- */

enum el_jtok_kind {
    EL_JT_EOF,
    EL_JT_DATA,
    EL_JT_VAR_BEGIN,
    EL_JT_VAR_END,
    EL_JT_BLOCK_BEGIN,
    EL_JT_BLOCK_END,
    EL_JT_NAME,
    EL_JT_STR,
    EL_JT_INT,
    EL_JT_FLOAT,
    EL_JT_OP,
};
/* Operators: two characters packed as first << 8 | second, or one alone. */
#define EL_JOP2(a, b) ((uint16_t)((a) << 8 | (b)))

struct el_jtok {
    uint8_t kind;
    uint16_t op;
    uint32_t line;
    uint32_t n; /* bytes of s */
    const char *s;
    union {
        int64_t i;
        double d;
    } u;
};

/* The tokens of a template, in its arena; text is normalized (line ends) first and must outlive them. */
struct el_jlex {
    struct el_jtok *tok;
    uint32_t n, cap;
    struct el_jarena *arena;
    const char *what;
    const char *text; /* normalized, in the arena */
    uint32_t nbytes;
    struct el_err *err;
};
enum el_status el_jinja_lex(struct el_jlex *lex, const char *text, size_t nbytes);

/* ---- tree (jinja_parse*.c) ---------------------------------------------------------------------------------------- */

enum el_jnode_kind {
    /* expressions */
    EL_JN_CONST,   /* val */
    EL_JN_NAME,    /* id */
    EL_JN_LIST,    /* list */
    EL_JN_TUPLE,   /* list */
    EL_JN_DICT,    /* list: key, value, key, value ... */
    EL_JN_ATTR,    /* a . val */
    EL_JN_ITEM,    /* a [ b ] */
    EL_JN_SLICE,   /* a [ b : c : list ], any of them NULL; only as b of an ITEM, where its own fields count */
    EL_JN_CALL,    /* a ( list ) */
    EL_JN_FILTER,  /* a | val ( list ); a NULL: the text of a block */
    EL_JN_TEST,    /* a is val ( list ) */
    EL_JN_KWARG,   /* in a list of arguments: val = a */
    EL_JN_STAR,    /* * a */
    EL_JN_DSTAR,   /* ** a */
    EL_JN_BINARY,  /* a op b */
    EL_JN_NEG,     /* - a */
    EL_JN_POS,     /* + a */
    EL_JN_NOT,     /* not a */
    EL_JN_AND,     /* a and b */
    EL_JN_OR,      /* a or b */
    EL_JN_COMPARE, /* a, then list of OPERAND */
    EL_JN_OPERAND, /* op a */
    EL_JN_CONCAT,  /* list joined by ~ */
    EL_JN_COND,    /* b if a else c; c may be NULL */
    EL_JN_NSREF,   /* as a target: id . val */
    /* statements */
    EL_JN_TEXT,        /* val */
    EL_JN_OUTPUT,      /* a */
    EL_JN_FOR,         /* for a in b if c: list, else list2; flag: recursive */
    EL_JN_IF,          /* if a: list; b: the elif (another IF), else list2 */
    EL_JN_SET,         /* a = b */
    EL_JN_SETBLOCK,    /* a = text of list through filters b (may be NULL) */
    EL_JN_MACRO,       /* id, list of PARAM, list2 is the body */
    EL_JN_PARAM,       /* id, default a (may be NULL) */
    EL_JN_CALLBLOCK,   /* a: CALL with caller = MACRO b */
    EL_JN_FILTERBLOCK, /* text of list through filters b */
    EL_JN_WITH,        /* list of SET, list2 is the body */
    EL_JN_SCOPE,       /* list */
    EL_JN_BREAK,
    EL_JN_CONTINUE,
};
enum { EL_JF_RECURSIVE = 1, EL_JF_VARARGS = 2, EL_JF_KWARGS = 4, EL_JF_CALLER = 8 }; /* flags of FOR and MACRO */

struct el_jnode {
    uint8_t kind, flags;
    uint16_t op;
    uint32_t line;
    uint32_t id; /* of a name */
    struct el_jval val;
    const struct el_jdef *def; /* FILTER, TEST: NULL when there is none of that name */
    const struct el_jnode *a, *b, *c, *list, *list2;
    struct el_jnode *next; /* in the list that this node is in */
};

/* Operators of COMPARE beside the packed ones. */
enum { EL_JOP_IN = 1, EL_JOP_NOT_IN = 2 };

struct el_jinja {
    struct el_jarena arena;
    char *what;
    const struct el_jnode *body;
    struct el_jval *names; /* [n_names] the text of each name id */
    uint32_t n_names;
};

struct el_jparser {
    struct el_jlex lex;
    uint32_t at; /* token */
    struct el_jinja *t;
    uint32_t n_nodes, cap_names;
    unsigned depth;
    bool soft;                      /* within if: an unknown filter is an error only when it is reached */
    const struct el_jnode *unknown; /* the first unknown filter or test that nothing guards so far */
    bool in_loop;                   /* break and continue are allowed */
    uint8_t uses;                   /* EL_JF_VARARGS ... seen since the innermost macro began */
    struct el_err *err;
    enum el_status status;
};
/* Compiles t->body from the tokens. */
enum el_status el_jinja_parse(struct el_jparser *p);

/* For jinja_parse_expr.c and jinja_parse.c. NULL and false: failed, the error is filled. */
void *el_jp_fail(struct el_jparser *p, enum el_status code, const char *fmt, ...) EL_PRINTF(3, 4);
/* The same, saying what was found instead. */
void *el_jp_expected(struct el_jparser *p, const char *what);
struct el_jnode *el_jp_node(struct el_jparser *p, enum el_jnode_kind kind);
const struct el_jtok *el_jp_peek(const struct el_jparser *p);
bool el_jp_is_op(const struct el_jparser *p, uint16_t op);
bool el_jp_is_name(const struct el_jparser *p, const char *name);
/* Takes the token if it is that one. */
bool el_jp_skip_op(struct el_jparser *p, uint16_t op);
bool el_jp_skip_name(struct el_jparser *p, const char *name);
bool el_jp_need_op(struct el_jparser *p, uint16_t op);
/* Takes a name token; its id. */
bool el_jp_need_name(struct el_jparser *p, struct el_jval *name);
bool el_jp_name_id(struct el_jparser *p, struct el_jval name, uint32_t *id);
struct el_jnode *el_jp_expression(struct el_jparser *p, bool with_cond);
/* Expressions with commas between are a tuple. end_name (may be NULL): a word that may follow a comma at the end. */
struct el_jnode *el_jp_tuple(struct el_jparser *p, bool with_cond, const char *end_name, bool empty_ok);
/* What may stand left of `=` or between for and in. */
struct el_jnode *el_jp_target(struct el_jparser *p, bool with_namespace, const char *end_name);
/* `| name(...) | name ...` on a (NULL: the text of a block). at_name: the first bar is not there. */
struct el_jnode *el_jp_filters(struct el_jparser *p, struct el_jnode *a, bool at_name);

/* ---- rendering ---------------------------------------------------------------------------------------------------- */

/* Text being made, in the arena. */
struct el_jtext {
    char *s;
    uint64_t n, cap, max;
};

struct el_jbinding {
    uint32_t id;
    struct el_jval v;
    struct el_jbinding *next;
};
struct el_jscope {
    struct el_jscope *parent;
    struct el_jbinding *vars;
};

struct el_jrun {
    const struct el_jinja *t;
    struct el_jarena arena; /* everything but texts */
    struct el_jarena texts; /* so that a text that grows finds room behind it */
    uint64_t steps;
    unsigned depth;
    uint32_t line;
    struct el_jval *context; /* [t->n_names] */
    struct el_jtext *out;
    const struct el_jinja_opts *opts;
    struct el_err *err;
    enum el_status status;
};

/* Ends the rendering. Always false. */
bool el_jinja_fail(struct el_jrun *r, const char *fmt, ...) EL_PRINTF(2, 3);
bool el_jinja_fail_as(struct el_jrun *r, enum el_status code, const char *fmt, ...) EL_PRINTF(3, 4);
bool el_jinja_no_memory(struct el_jrun *r);
/* Counts work; false at the limit. */
bool el_jinja_tick(struct el_jrun *r, uint64_t n);
/* Brackets of everything that calls itself. enter counts one step too. */
bool el_jinja_enter(struct el_jrun *r);
static inline void el_jinja_leave(struct el_jrun *r)
{
    r->depth--;
}

void *el_jinja_get(struct el_jrun *r, uint64_t n, size_t size);

/* jinja_value.c: making */
static inline struct el_jval el_jv(enum el_jkind kind)
{
    return (struct el_jval){.kind = (uint8_t)kind};
}
static inline struct el_jval el_jv_none(void)
{
    return el_jv(EL_J_NONE);
}
static inline struct el_jval el_jv_bool(bool b)
{
    return (struct el_jval){.kind = EL_J_BOOL, .u.b = b};
}
static inline struct el_jval el_jv_int(int64_t i)
{
    return (struct el_jval){.kind = EL_J_INT, .u.i = i};
}
static inline struct el_jval el_jv_float(double d)
{
    return (struct el_jval){.kind = EL_J_FLOAT, .u.d = d};
}
/* Borrows s. */
static inline struct el_jval el_jv_str(const char *s, size_t n)
{
    return (struct el_jval){.kind = EL_J_STR, .n = (uint32_t)n, .u.s = s};
}
struct el_jval el_jv_lit(const char *s);
static inline struct el_jval el_jv_list(const struct el_jval *v, uint32_t n)
{
    return (struct el_jval){.kind = EL_J_LIST, .n = n, .u.v = v};
}
static inline struct el_jval el_jv_tuple(const struct el_jval *v, uint32_t n)
{
    return (struct el_jval){.kind = EL_J_TUPLE, .n = n, .u.v = v};
}
/* Undefined because obj lacks the attribute or element `name`. */
struct el_jval el_jv_undef(struct el_jval name, uint8_t flags);
bool el_jv_pair(struct el_jrun *r, struct el_jval a, struct el_jval b, struct el_jval *out);

static inline bool el_jv_is_str(const struct el_jval *v)
{
    return v->kind == EL_J_STR;
}
bool el_jv_is(const struct el_jval *v, const char *text); /* a string with this text? */
static inline bool el_jv_is_number(const struct el_jval *v)
{
    return v->kind >= EL_J_BOOL && v->kind <= EL_J_FLOAT;
}
/* The integer value of BOOL and INT. */
bool el_jv_as_int(const struct el_jval *v, int64_t *i);
const char *el_jv_type(const struct el_jval *v); /* "list", "dict" ...: Python's name of the type */

/* What `if` sees. */
bool el_jv_truth(struct el_jrun *r, const struct el_jval *v, bool *out);
bool el_jv_equal(struct el_jrun *r, const struct el_jval *a, const struct el_jval *b, bool *out);
/* -1, 0, 1; 2 with a NaN. Fails when the two have no order. */
bool el_jv_compare(struct el_jrun *r, const struct el_jval *a, const struct el_jval *b, int *out);
bool el_jv_hashable(const struct el_jval *v);
/* Value at a key, or NULL. Fails for keys that cannot be any. */
bool el_jv_find(struct el_jrun *r, const struct el_jval *dict, const struct el_jval *key, const struct el_jval **out);
/* The same for a string key, which cannot fail but by the limit: counts no step. */
const struct el_jval *el_jv_find_str(const struct el_jpair *kv, uint32_t n, const char *s, size_t nbytes);
/* Adds or replaces in kv [*n], which has room. */
bool el_jv_put(struct el_jrun *r, struct el_jpair *kv, uint32_t *n, struct el_jval k, struct el_jval v);
bool el_jv_contains(struct el_jrun *r, const struct el_jval *box, const struct el_jval *v, bool *out);
/* len(); fails where Python has none. */
bool el_jv_length(struct el_jrun *r, const struct el_jval *v, uint32_t *out);
uint32_t el_jv_n_chars(struct el_jval s);
/* Byte offset of character i (0..n_chars). */
uint32_t el_jv_char_at(struct el_jval s, uint32_t i);

/* jinja_text.c: showing */
void el_jtext_init(struct el_jtext *t, uint64_t max);
bool el_jtext_add(struct el_jrun *r, struct el_jtext *t, const char *s, size_t n);
bool el_jtext_add_lit(struct el_jrun *r, struct el_jtext *t, const char *s);
bool el_jtext_add_cp(struct el_jrun *r, struct el_jtext *t, uint32_t cp);
bool el_jtext_fill(struct el_jrun *r, struct el_jtext *t, const char *s, size_t n, uint64_t times);
/* The text as a string; t must not be used after. */
struct el_jval el_jtext_str(struct el_jrun *r, struct el_jtext *t);
/* str() and repr(). */
bool el_jtext_add_str(struct el_jrun *r, struct el_jtext *t, const struct el_jval *v);
bool el_jtext_add_repr(struct el_jrun *r, struct el_jtext *t, const struct el_jval *v);
bool el_jv_to_str(struct el_jrun *r, const struct el_jval *v, struct el_jval *out);
/* Python's repr of a float; returns its length. */
size_t el_jinja_float_text(double d, char out[40]);
/* a + b for strings; in place where a is the newest text. */
bool el_jv_join(struct el_jrun *r, struct el_jval a, struct el_jval b, struct el_jval *out);

/* jinja_json.c */
/* Values of JSON text, copied into the run. what names it in errors. */
bool el_jinja_from_json(struct el_jrun *r, const char *text, size_t nbytes, const char *what, struct el_jval *out);
struct el_jjson_opts {
    bool ascii, sort, has_indent;
    struct el_jval indent, item_sep, key_sep; /* strings */
};
bool el_jtext_add_json(struct el_jrun *r, struct el_jtext *t, const struct el_jval *v, const struct el_jjson_opts *o);

/* jinja_iter.c */
typedef bool el_jstep(struct el_jrun *r, struct el_jiter *it, struct el_jval *out, bool *end);
struct el_jiter {
    el_jstep *step;
    struct el_jval over; /* what is walked */
    uint64_t at;
    struct el_jiter *source;
    /* for map, select and the like */
    const struct el_jdef *def;
    struct el_jargs args;
    struct el_jval attr, fallback;
    bool negate, has_attr, started;
    /* for a loop with a condition */
    const struct el_jnode *target, *cond;
    struct el_jscope *scope;
};
/* Fails for what cannot be walked. */
bool el_jinja_iter(struct el_jrun *r, const struct el_jval *v, struct el_jiter **out);
bool el_jinja_next(struct el_jrun *r, struct el_jiter *it, struct el_jval *out, bool *end);
/* All that is left, as a list. */
bool el_jinja_rest(struct el_jrun *r, struct el_jiter *it, struct el_jval *out);
/* list(v) */
bool el_jinja_to_list(struct el_jrun *r, const struct el_jval *v, struct el_jval *out);
bool el_jinja_is_iterable(const struct el_jval *v);
struct el_jval el_jinja_generator(struct el_jrun *r, struct el_jiter *it);
struct el_jiter *el_jinja_new_iter(struct el_jrun *r, el_jstep *step); /* NULL: failed */

/* jinja_ops.c */
bool el_jinja_binary(struct el_jrun *r, uint16_t op, const struct el_jval *a, const struct el_jval *b, struct el_jval *out);
bool el_jinja_negate(struct el_jrun *r, const struct el_jval *a, bool minus, struct el_jval *out);
bool el_jinja_relation(struct el_jrun *r, uint16_t op, const struct el_jval *a, const struct el_jval *b, bool *out);
bool el_jinja_attr(struct el_jrun *r, const struct el_jval *obj, struct el_jval name, struct el_jval *out);
bool el_jinja_item(struct el_jrun *r, const struct el_jval *obj, const struct el_jval *key, struct el_jval *out);
/* Bounds are EL_J_NONE where left out. */
bool el_jinja_slice(struct el_jrun *r, const struct el_jval *obj, const struct el_jval bounds[3], struct el_jval *out);
bool el_jinja_use_undef(struct el_jrun *r, const struct el_jval *v); /* fails: "'x' is undefined" */

/* jinja_call.c */
bool el_jinja_call_def(struct el_jrun *r, const struct el_jdef *def, const struct el_jval *self, const struct el_jargs *a,
                       struct el_jval *out);
bool el_jinja_call(struct el_jrun *r, const struct el_jval *fn, const struct el_jargs *a, struct el_jval *out);
/* The value of a global, or MISSING. */
struct el_jval el_jinja_global(const struct el_jrun *r, struct el_jval name);
/* Optional arguments: the value, or `missing` where not given. Fail for another type. */
bool el_jarg_int(struct el_jrun *r, const struct el_jval *v, int64_t missing, const char *what, int64_t *out);
bool el_jarg_truth(struct el_jrun *r, const struct el_jval *v, bool missing, bool *out);
bool el_jarg_str(struct el_jrun *r, const struct el_jval *v, const char *what, struct el_jval *out);

/* Tables: the row of a name, or NULL. */
const struct el_jdef *el_jinja_filter(struct el_jval name);                             /* jinja_filters.c */
const struct el_jdef *el_jinja_test(struct el_jval name);                               /* jinja_tests.c */
const struct el_jdef *el_jinja_method(const struct el_jval *self, struct el_jval name); /* jinja_methods.c */
const struct el_jdef *el_jinja_find_def(const struct el_jdef *table, size_t n, struct el_jval name);
/* Is it a method that Python has and the sandbox hides? */
bool el_jinja_is_hidden(const struct el_jval *self, struct el_jval name);
extern const struct el_jdef el_jinja_seq_filters[];
extern const size_t el_jinja_n_seq_filters;

/* jinja_strings.c: what filters and methods of strings share. chars: NULL means white space. */
enum { EL_JINJA_LEFT = 1, EL_JINJA_RIGHT = 2 };
struct el_jval el_jinja_strip(struct el_jval s, const struct el_jval *chars, int sides);
bool el_jinja_replace(struct el_jrun *r, struct el_jval s, struct el_jval from, struct el_jval to, int64_t count,
                      struct el_jval *out);
bool el_jinja_splitlines(struct el_jrun *r, struct el_jval s, bool keep, struct el_jval *out);
bool el_jinja_center(struct el_jrun *r, struct el_jval s, int64_t width, uint32_t fill, int side, struct el_jval *out);
bool el_jinja_is_space(uint32_t cp); /* str.isspace() */
/* markupsafe.escape(): Markup stays, other values become text with & < > ' and " replaced. */
bool el_jinja_escape(struct el_jrun *r, const struct el_jval *v, struct el_jval *out);

/* jinja_case.c */
enum el_jcase { EL_JINJA_UPPER, EL_JINJA_LOWER, EL_JINJA_CAPITALIZE, EL_JINJA_TITLE, EL_JINJA_SWAP };
bool el_jinja_case(struct el_jrun *r, struct el_jval s, enum el_jcase how, struct el_jval *out);
enum el_jclass {
    EL_JINJA_ALPHA,
    EL_JINJA_ALNUM,
    EL_JINJA_ASCII,
    EL_JINJA_DECIMAL,
    EL_JINJA_DIGIT,
    EL_JINJA_NUMERIC,
    EL_JINJA_SPACE,
    EL_JINJA_PRINTABLE,
    EL_JINJA_IS_LOWER,
    EL_JINJA_IS_UPPER,
    EL_JINJA_CASED,
};
bool el_jinja_is_class(uint32_t cp, enum el_jclass class);
bool el_jinja_is_alnum(uint32_t cp);
bool el_jinja_is_printable(uint32_t cp); /* repr() shows it as it is */
/* Position of needle in s[from, to), or -1. */
int64_t el_jinja_find(struct el_jval s, struct el_jval needle, size_t from);

/* float() of a number or text: MISSING where it has none. (jinja_filters.c) */
bool el_jinja_to_float(struct el_jrun *r, const struct el_jval *v, struct el_jval *out);

/* jinja_format.c */
/* "%.*f"; returns the length. */
size_t el_jinja_fixed_text(double d, int digits, char *out, size_t nbytes);
bool el_jinja_percent(struct el_jrun *r, struct el_jval format, const struct el_jval *arg, struct el_jval *out);
bool el_jinja_format(struct el_jrun *r, struct el_jval format, const struct el_jargs *a, struct el_jval *out);
bool el_jinja_strftime(struct el_jrun *r, struct el_jval format, int64_t now_s, struct el_jval *out);

/* jinja_eval.c, jinja_stmt.c */
bool el_jinja_eval(struct el_jrun *r, struct el_jscope *s, const struct el_jnode *n, struct el_jval *out);
/* A call with one more keyword argument (may be NULL); a filter or test of a value. */
bool el_jinja_eval_call(struct el_jrun *r, struct el_jscope *s, const struct el_jnode *n, const struct el_jkw *extra,
                        struct el_jval *out);
bool el_jinja_apply(struct el_jrun *r, struct el_jscope *s, const struct el_jnode *n, const struct el_jval *self,
                    struct el_jval *out);
struct el_jscope *el_jinja_scope(struct el_jrun *r, struct el_jscope *parent); /* NULL: failed */
bool el_jinja_bind(struct el_jrun *r, struct el_jscope *s, uint32_t id, struct el_jval v);
/* a = v for a name, a tuple of targets or a namespace's attribute. */
bool el_jinja_assign(struct el_jrun *r, struct el_jscope *s, const struct el_jnode *target, struct el_jval v);
bool el_jinja_call_macro(struct el_jrun *r, const struct el_jmacro *m, const struct el_jargs *a, struct el_jval *out);
bool el_jinja_loop_attr(struct el_jrun *r, struct el_jloop *loop, struct el_jval name, struct el_jval *out);
bool el_jinja_call_loop(struct el_jrun *r, struct el_jloop *loop, const struct el_jargs *a, struct el_jval *out);
bool el_jinja_run_body(struct el_jrun *r);

#endif
