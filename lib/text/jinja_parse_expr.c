/* Expressions of the Jinja interpreter: tokens to tree, by recursive descent. From loose to tight: if-else, or, and, not,
 * comparison, + -, ~, * / // %, **, sign, then what follows a value: attribute, element, call, filter, test. */
#include <string.h>

#include "base/mem.h"
#include "text/jinja_impl.h"

static struct el_jnode *unary(struct el_jparser *p, bool with_filter);

/* Brackets of the functions that call themselves. */
static bool enter(struct el_jparser *p)
{
    if (p->depth >= EL_JINJA_MAX_NESTING) {
        (void)el_jp_fail(p, EL_E_FORMAT, "nested deeper than %d", (int)EL_JINJA_MAX_NESTING);
        return false;
    }
    p->depth++;
    return true;
}

static struct el_jnode *make(struct el_jparser *p, enum el_jnode_kind kind, const struct el_jnode *a, const struct el_jnode *b)
{
    struct el_jnode *const n = a && b ? el_jp_node(p, kind) : NULL;
    if (n) {
        n->a = a;
        n->b = b;
        n->line = a->line;
    }
    return n;
}

static struct el_jnode *make_one(struct el_jparser *p, enum el_jnode_kind kind, const struct el_jnode *a)
{
    struct el_jnode *const n = a ? el_jp_node(p, kind) : NULL;
    if (n)
        n->a = a;
    return n;
}

/* A list being built. */
struct tail {
    const struct el_jnode *first;
    struct el_jnode *last;
};

static void append(struct tail *t, struct el_jnode *n)
{
    if (t->last)
        t->last->next = n;
    else
        t->first = n;
    t->last = n;
}

/* ---- arguments ---------------------------------------------------------------------------------------------------- */

static struct el_jnode *argument(struct el_jparser *p, unsigned *seen)
{
    enum { KWARG = 1, STAR = 2, DSTAR = 4 };
    struct el_jnode *n;
    unsigned not_after = KWARG | STAR | DSTAR, is = 0;
    const struct el_jtok *const tok = el_jp_peek(p);
    if (el_jp_skip_op(p, '*')) {
        not_after = STAR | DSTAR;
        is = STAR;
        n = make_one(p, EL_JN_STAR, el_jp_expression(p, true));
    } else if (el_jp_skip_op(p, EL_JOP2('*', '*'))) {
        not_after = DSTAR;
        is = DSTAR;
        n = make_one(p, EL_JN_DSTAR, el_jp_expression(p, true));
    } else if (tok->kind == EL_JT_NAME && tok[1].kind == EL_JT_OP && tok[1].op == '=') {
        not_after = DSTAR;
        is = KWARG;
        p->at += 2;
        n = make_one(p, EL_JN_KWARG, el_jp_expression(p, true));
        if (n)
            n->val = el_jv_str(tok->s, tok->n);
    } else {
        n = el_jp_expression(p, true);
    }
    if (n && (*seen & not_after))
        return el_jp_fail(p, EL_E_FORMAT, "arguments of a call in the wrong order");
    *seen |= is;
    return n;
}

/* ( a, b, key=c, *d, **e ), the opening bracket is next. */
static bool arguments(struct el_jparser *p, struct el_jnode *call)
{
    struct tail t = {NULL, NULL};
    unsigned seen = 0;
    if (!el_jp_need_op(p, '('))
        return false;
    for (bool first = true; !el_jp_is_op(p, ')'); first = false) {
        if (!first) {
            if (!el_jp_need_op(p, ','))
                return false;
            if (el_jp_is_op(p, ')'))
                break;
        }
        struct el_jnode *const n = argument(p, &seen);
        if (!n)
            return false;
        append(&t, n);
    }
    call->list = t.first;
    return el_jp_need_op(p, ')');
}

static struct el_jnode *call(struct el_jparser *p, const struct el_jnode *a)
{
    struct el_jnode *const n = make_one(p, EL_JN_CALL, a);
    return n && arguments(p, n) ? n : NULL;
}

/* ---- values ------------------------------------------------------------------------------------------------------- */

static struct el_jnode *constant(struct el_jparser *p, struct el_jval v)
{
    struct el_jnode *const n = el_jp_node(p, EL_JN_CONST);
    if (n)
        n->val = v;
    return n;
}

/* Strings side by side are one. */
static struct el_jnode *strings(struct el_jparser *p)
{
    const struct el_jtok *const first = el_jp_peek(p);
    uint64_t nbytes = 0;
    uint32_t n = 0;
    for (; first[n].kind == EL_JT_STR; n++)
        nbytes += first[n].n;
    p->at += n;
    if (n == 1)
        return constant(p, el_jv_str(first->s, first->n));
    char *const s = el_jarena_get(&p->t->arena, nbytes, 1);
    if (!s)
        return el_jp_fail(p, EL_E_MEMORY, "out of memory for a string");
    uint64_t at = 0;
    for (uint32_t i = 0; i < n; i++) {
        memcpy(s + at, first[i].s, first[i].n);
        at += first[i].n;
    }
    return constant(p, el_jv_str(s, nbytes));
}

static struct el_jnode *list(struct el_jparser *p)
{
    struct el_jnode *const n = el_jp_node(p, EL_JN_LIST);
    struct tail t = {NULL, NULL};
    p->at++;
    for (bool first = true; n && !el_jp_is_op(p, ']'); first = false) {
        if (!first && !el_jp_need_op(p, ','))
            return NULL;
        if (el_jp_is_op(p, ']'))
            break;
        struct el_jnode *const item = el_jp_expression(p, true);
        if (!item)
            return NULL;
        append(&t, item);
    }
    if (n)
        n->list = t.first;
    return n && el_jp_need_op(p, ']') ? n : NULL;
}

static struct el_jnode *dict(struct el_jparser *p)
{
    struct el_jnode *const n = el_jp_node(p, EL_JN_DICT);
    struct tail t = {NULL, NULL};
    p->at++;
    for (bool first = true; n && !el_jp_is_op(p, '}'); first = false) {
        if (!first && !el_jp_need_op(p, ','))
            return NULL;
        if (el_jp_is_op(p, '}'))
            break;
        struct el_jnode *const key = el_jp_expression(p, true);
        if (!key || !el_jp_need_op(p, ':'))
            return NULL;
        struct el_jnode *const value = el_jp_expression(p, true);
        if (!value)
            return NULL;
        append(&t, key);
        append(&t, value);
    }
    if (n)
        n->list = t.first;
    return n && el_jp_need_op(p, '}') ? n : NULL;
}

static struct el_jnode *word(struct el_jparser *p)
{
    static const struct {
        const char *name;
        uint8_t flag;
    } special[] = {{"varargs", EL_JF_VARARGS}, {"kwargs", EL_JF_KWARGS}, {"caller", EL_JF_CALLER}};
    const struct el_jtok *const tok = el_jp_peek(p);
    const struct el_jval v = el_jv_str(tok->s, tok->n);
    p->at++;
    if (el_jv_is(&v, "true") || el_jv_is(&v, "True"))
        return constant(p, el_jv_bool(true));
    if (el_jv_is(&v, "false") || el_jv_is(&v, "False"))
        return constant(p, el_jv_bool(false));
    if (el_jv_is(&v, "none") || el_jv_is(&v, "None"))
        return constant(p, el_jv_none());
    for (size_t i = 0; i < sizeof special / sizeof special[0]; i++)
        if (el_jv_is(&v, special[i].name))
            p->uses |= special[i].flag;
    if (tok->s[0] >= '0' && tok->s[0] <= '9')
        return el_jp_fail(p, EL_E_FORMAT, "'%.*s' is no name", (int)tok->n, tok->s);
    struct el_jnode *const n = el_jp_node(p, EL_JN_NAME);
    return n && el_jp_name_id(p, v, &n->id) ? n : NULL;
}

static struct el_jnode *primary(struct el_jparser *p)
{
    const struct el_jtok *const tok = el_jp_peek(p);
    switch (tok->kind) {
    case EL_JT_NAME: return word(p);
    case EL_JT_STR: return strings(p);
    case EL_JT_INT: p->at++; return constant(p, el_jv_int(tok->u.i));
    case EL_JT_FLOAT: p->at++; return constant(p, el_jv_float(tok->u.d));
    default: break;
    }
    if (el_jp_is_op(p, '['))
        return list(p);
    if (el_jp_is_op(p, '{'))
        return dict(p);
    if (el_jp_skip_op(p, '(')) {
        struct el_jnode *const n = el_jp_tuple(p, true, NULL, true);
        return n && el_jp_need_op(p, ')') ? n : NULL;
    }
    return el_jp_expected(p, "an expression");
}

/* ---- what follows a value ----------------------------------------------------------------------------------------- */

static bool slice_part(struct el_jparser *p, const struct el_jnode **out)
{
    *out = NULL;
    if (el_jp_is_op(p, ':') || el_jp_is_op(p, ']') || el_jp_is_op(p, ','))
        return true;
    *out = el_jp_expression(p, true);
    return *out != NULL;
}

static struct el_jnode *subscribed(struct el_jparser *p)
{
    const struct el_jnode *from = NULL;
    if (!el_jp_is_op(p, ':')) {
        struct el_jnode *const n = el_jp_expression(p, true);
        if (!n || !el_jp_is_op(p, ':'))
            return n;
        from = n;
    }
    struct el_jnode *const s = el_jp_node(p, EL_JN_SLICE);
    p->at++;
    if (!s || !slice_part(p, &s->b) || (el_jp_skip_op(p, ':') && !slice_part(p, &s->list)))
        return NULL;
    s->a = from;
    return s;
}

/* [ index ], [ a, b ], [ from : to : step ] */
static struct el_jnode *subscript(struct el_jparser *p, const struct el_jnode *a)
{
    struct tail t = {NULL, NULL};
    unsigned n = 0;
    if (!enter(p))
        return NULL;
    p->at++;
    while (!el_jp_is_op(p, ']')) {
        if (n > 0 && !el_jp_need_op(p, ','))
            return NULL;
        struct el_jnode *const arg = subscribed(p);
        if (!arg)
            return NULL;
        append(&t, arg);
        n++;
    }
    p->at++;
    p->depth--;
    if (n == 1)
        return make(p, EL_JN_ITEM, a, t.first);
    struct el_jnode *const tuple = el_jp_node(p, EL_JN_TUPLE);
    if (tuple)
        tuple->list = t.first;
    for (const struct el_jnode *i = t.first; i; i = i->next)
        if (i->kind == EL_JN_SLICE)
            return el_jp_fail(p, EL_E_UNSUPPORTED, "a slice among several indices");
    return make(p, EL_JN_ITEM, a, tuple);
}

static struct el_jnode *postfix(struct el_jparser *p, struct el_jnode *n)
{
    while (n) {
        if (el_jp_is_op(p, '[')) {
            n = subscript(p, n);
        } else if (el_jp_is_op(p, '(')) {
            n = call(p, n);
        } else if (el_jp_skip_op(p, '.')) {
            const struct el_jtok *const tok = el_jp_peek(p);
            if (tok->kind == EL_JT_INT) {
                p->at++;
                n = make(p, EL_JN_ITEM, n, constant(p, el_jv_int(tok->u.i)));
            } else {
                struct el_jval name;
                if (!el_jp_need_name(p, &name))
                    return NULL;
                n = make_one(p, EL_JN_ATTR, n);
                if (n)
                    n->val = name;
            }
        } else {
            break;
        }
    }
    return n;
}

/* A name with dots between, as one text. */
static bool dotted(struct el_jparser *p, struct el_jval *name)
{
    if (!el_jp_need_name(p, name))
        return false;
    while (el_jp_is_op(p, '.')) {
        struct el_jval more;
        p->at++;
        if (!el_jp_need_name(p, &more))
            return false;
        name->n = (uint32_t)(more.u.s + more.n - name->u.s); /* they lie in one text, no filter has such a name */
    }
    return true;
}

/* An unknown filter or test is an error of the template, except where an `if` may guard it: also one that is yet to come. */
static void set_def(struct el_jparser *p, struct el_jnode *n, const struct el_jdef *def)
{
    n->def = def;
    if (!def && !p->soft && !p->unknown)
        p->unknown = n;
}

struct el_jnode *el_jp_filters(struct el_jparser *p, struct el_jnode *a, bool at_name)
{
    struct el_jnode *n = a;
    while (at_name || el_jp_skip_op(p, '|')) {
        struct el_jnode *const f = el_jp_node(p, EL_JN_FILTER);
        if (!f || !dotted(p, &f->val))
            return NULL;
        f->a = n;
        set_def(p, f, el_jinja_filter(f->val));
        if (el_jp_is_op(p, '(') && !arguments(p, f))
            return NULL;
        n = f;
        at_name = false;
    }
    return n;
}

/* Can a test's argument without brackets begin here? */
static bool starts_value(const struct el_jparser *p)
{
    switch (el_jp_peek(p)->kind) {
    case EL_JT_NAME: return !el_jp_is_name(p, "else") && !el_jp_is_name(p, "or") && !el_jp_is_name(p, "and");
    case EL_JT_STR:
    case EL_JT_INT:
    case EL_JT_FLOAT: return true;
    default: return el_jp_is_op(p, '[') || el_jp_is_op(p, '{');
    }
}

static struct el_jnode *test(struct el_jparser *p, const struct el_jnode *a)
{
    p->at++;
    const bool negated = el_jp_skip_name(p, "not");
    struct el_jnode *const n = make_one(p, EL_JN_TEST, a);
    if (!n || !dotted(p, &n->val))
        return NULL;
    set_def(p, n, el_jinja_test(n->val));
    if (el_jp_is_op(p, '(')) {
        if (!arguments(p, n))
            return NULL;
    } else if (starts_value(p)) {
        if (el_jp_is_name(p, "is"))
            return el_jp_fail(p, EL_E_FORMAT, "a test of a test");
        struct el_jnode *const arg = postfix(p, primary(p));
        if (!arg)
            return NULL;
        n->list = arg;
    }
    return negated ? make_one(p, EL_JN_NOT, n) : n;
}

static struct el_jnode *filters_and_tests(struct el_jparser *p, struct el_jnode *n)
{
    while (n) {
        if (el_jp_is_op(p, '|'))
            n = el_jp_filters(p, n, false);
        else if (el_jp_is_name(p, "is"))
            n = test(p, n);
        else if (el_jp_is_op(p, '('))
            n = call(p, n);
        else
            break;
    }
    return n;
}

/* ---- operators ---------------------------------------------------------------------------------------------------- */

static struct el_jnode *unary_inside(struct el_jparser *p, bool with_filter)
{
    struct el_jnode *n;
    if (el_jp_skip_op(p, '-'))
        n = make_one(p, EL_JN_NEG, unary(p, false));
    else if (el_jp_skip_op(p, '+'))
        n = make_one(p, EL_JN_POS, unary(p, false));
    else
        n = primary(p);
    n = postfix(p, n);
    return with_filter ? filters_and_tests(p, n) : n;
}

static struct el_jnode *unary(struct el_jparser *p, bool with_filter)
{
    if (!enter(p))
        return NULL;
    struct el_jnode *const n = unary_inside(p, with_filter);
    p->depth--;
    return n;
}

typedef struct el_jnode *level_fn(struct el_jparser *p);

static struct el_jnode *binary(struct el_jparser *p, struct el_jnode *a, uint16_t op, level_fn *right)
{
    p->at++;
    struct el_jnode *const n = a ? make(p, EL_JN_BINARY, a, right(p)) : NULL;
    if (n)
        n->op = op;
    return n;
}

static struct el_jnode *sign(struct el_jparser *p)
{
    return unary(p, true);
}

static struct el_jnode *power(struct el_jparser *p)
{
    struct el_jnode *n = sign(p);
    while (n && el_jp_is_op(p, EL_JOP2('*', '*')))
        n = binary(p, n, EL_JOP2('*', '*'), sign);
    return n;
}

static struct el_jnode *product(struct el_jparser *p)
{
    static const uint16_t ops[] = {'*', '/', EL_JOP2('/', '/'), '%'};
    struct el_jnode *n = power(p);
    for (size_t i = 0; n && i < sizeof ops / sizeof ops[0]; i++) {
        if (el_jp_is_op(p, ops[i])) {
            n = binary(p, n, ops[i], power);
            i = (size_t)-1; /* look again from the first */
        }
    }
    return n;
}

static struct el_jnode *concat(struct el_jparser *p)
{
    struct el_jnode *const first = product(p);
    if (!first || !el_jp_is_op(p, '~'))
        return first;
    struct el_jnode *const n = el_jp_node(p, EL_JN_CONCAT);
    struct tail t = {NULL, NULL};
    append(&t, first);
    while (el_jp_skip_op(p, '~')) {
        struct el_jnode *const more = product(p);
        if (!more)
            return NULL;
        append(&t, more);
    }
    if (n)
        n->list = t.first;
    return n;
}

static struct el_jnode *sum(struct el_jparser *p)
{
    struct el_jnode *n = concat(p);
    while (n && (el_jp_is_op(p, '+') || el_jp_is_op(p, '-')))
        n = binary(p, n, el_jp_peek(p)->op, concat);
    return n;
}

/* The comparison that is next, taken; 0: none. */
static uint16_t relation(struct el_jparser *p)
{
    static const uint16_t ops[] = {EL_JOP2('=', '='), EL_JOP2('!', '='), EL_JOP2('<', '='), EL_JOP2('>', '='), '<', '>'};
    for (size_t i = 0; i < sizeof ops / sizeof ops[0]; i++)
        if (el_jp_skip_op(p, ops[i]))
            return ops[i];
    if (el_jp_skip_name(p, "in"))
        return EL_JOP_IN;
    const struct el_jtok *const tok = el_jp_peek(p);
    if (el_jp_is_name(p, "not") && tok[1].kind == EL_JT_NAME && tok[1].n == 2 && memcmp(tok[1].s, "in", 2) == 0) {
        p->at += 2;
        return EL_JOP_NOT_IN;
    }
    return 0;
}

static struct el_jnode *comparison(struct el_jparser *p)
{
    struct el_jnode *const first = sum(p);
    struct tail t = {NULL, NULL};
    uint16_t op;
    while (first && (op = relation(p)) != 0) {
        struct el_jnode *const n = make_one(p, EL_JN_OPERAND, sum(p));
        if (!n)
            return NULL;
        n->op = op;
        append(&t, n);
    }
    if (!t.first)
        return first;
    struct el_jnode *const n = make_one(p, EL_JN_COMPARE, first);
    if (n)
        n->list = t.first;
    return n;
}

static struct el_jnode *negation(struct el_jparser *p)
{
    unsigned n_not = 0;
    while (el_jp_skip_name(p, "not"))
        if (++n_not > EL_JINJA_MAX_NESTING)
            return el_jp_fail(p, EL_E_FORMAT, "nested deeper than %d", (int)EL_JINJA_MAX_NESTING);
    struct el_jnode *n = comparison(p);
    while (n && n_not-- > 0)
        n = make_one(p, EL_JN_NOT, n);
    return n;
}

static struct el_jnode *conjunction(struct el_jparser *p)
{
    struct el_jnode *n = negation(p);
    while (n && el_jp_skip_name(p, "and"))
        n = make(p, EL_JN_AND, n, negation(p));
    return n;
}

static struct el_jnode *disjunction(struct el_jparser *p)
{
    struct el_jnode *n = conjunction(p);
    while (n && el_jp_skip_name(p, "or"))
        n = make(p, EL_JN_OR, n, conjunction(p));
    return n;
}

static struct el_jnode *conditional(struct el_jparser *p)
{
    const struct el_jnode *const unknown = p->unknown;
    struct el_jnode *n = disjunction(p);
    while (n && el_jp_skip_name(p, "if")) {
        struct el_jnode *const c = make(p, EL_JN_COND, disjunction(p), n);
        if (!c)
            return NULL;
        if (el_jp_skip_name(p, "else") && !(c->c = el_jp_expression(p, true)))
            return NULL;
        n = c;
        p->unknown = unknown;
    }
    return n;
}

struct el_jnode *el_jp_expression(struct el_jparser *p, bool with_cond)
{
    if (!enter(p))
        return NULL;
    struct el_jnode *const n = with_cond ? conditional(p) : disjunction(p);
    p->depth--;
    return n;
}

struct el_jnode *el_jp_tuple(struct el_jparser *p, bool with_cond, const char *end_name, bool empty_ok)
{
    struct tail t = {NULL, NULL};
    bool is_tuple = false;
    for (;;) {
        const struct el_jtok *const tok = el_jp_peek(p);
        if (tok->kind == EL_JT_VAR_END || tok->kind == EL_JT_BLOCK_END || el_jp_is_op(p, ')') ||
            (end_name && el_jp_is_name(p, end_name)))
            break;
        struct el_jnode *const n = el_jp_expression(p, with_cond);
        if (!n)
            return NULL;
        append(&t, n);
        if (!el_jp_skip_op(p, ','))
            break;
        is_tuple = true;
    }
    if (!is_tuple && t.last)
        return t.last;
    if (!is_tuple && !empty_ok)
        return el_jp_expected(p, "an expression");
    struct el_jnode *const n = el_jp_node(p, EL_JN_TUPLE);
    if (n)
        n->list = t.first;
    return n;
}
