/* Statements of the Jinja interpreter: tokens to tree. */
#include "text/jinja_impl.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/locale_c.h"
#include "base/mem.h"

static bool body(struct el_jparser *p, const char *const *ends, const struct el_jnode **out);

void *el_jp_fail(struct el_jparser *p, enum el_status code, const char *fmt, ...)
{
    char text[300];
    va_list args;
    if (p->status != EL_OK)
        return NULL;
    va_start(args, fmt);
    (void)el_vsnprintf_c(text, sizeof text, fmt, args);
    va_end(args);
    p->status = el_fail(p->err, code, "%s: line %u: %s", p->t->what, el_jp_peek(p)->line, text);
    return NULL;
}

void *el_jp_expected(struct el_jparser *p, const char *what)
{
    const struct el_jtok *const tok = el_jp_peek(p);
    const char two[3] = {(char)(tok->op > 0xff ? tok->op >> 8 : tok->op), tok->op > 0xff ? (char)tok->op : '\0', '\0'};
    switch (tok->kind) {
    case EL_JT_EOF: return el_jp_fail(p, EL_E_FORMAT, "the end where %s should be", what);
    case EL_JT_NAME: return el_jp_fail(p, EL_E_FORMAT, "'%.*s' where %s should be", (int)tok->n, tok->s, what);
    case EL_JT_OP: return el_jp_fail(p, EL_E_FORMAT, "'%s' where %s should be", two, what);
    case EL_JT_BLOCK_END: return el_jp_fail(p, EL_E_FORMAT, "'%%}' where %s should be", what);
    case EL_JT_VAR_END: return el_jp_fail(p, EL_E_FORMAT, "'}}' where %s should be", what);
    default: return el_jp_fail(p, EL_E_FORMAT, "a value where %s should be", what);
    }
}

struct el_jnode *el_jp_node(struct el_jparser *p, enum el_jnode_kind kind)
{
    if (++p->n_nodes > EL_JINJA_MAX_NODES)
        return el_jp_fail(p, EL_E_FORMAT, "more than %d expressions and statements", (int)EL_JINJA_MAX_NODES);
    struct el_jnode *const n = el_jarena_get(&p->t->arena, sizeof *n, 8);
    if (!n)
        return el_jp_fail(p, EL_E_MEMORY, "out of memory for the syntax tree");
    *n = (struct el_jnode){.kind = (uint8_t)kind, .line = el_jp_peek(p)->line};
    return n;
}

const struct el_jtok *el_jp_peek(const struct el_jparser *p)
{
    return &p->lex.tok[p->at < p->lex.n ? p->at : p->lex.n - 1];
}

bool el_jp_is_op(const struct el_jparser *p, uint16_t op)
{
    const struct el_jtok *const tok = el_jp_peek(p);
    return tok->kind == EL_JT_OP && tok->op == op;
}

bool el_jp_is_name(const struct el_jparser *p, const char *name)
{
    const struct el_jtok *const tok = el_jp_peek(p);
    return tok->kind == EL_JT_NAME && tok->n == strlen(name) && memcmp(tok->s, name, tok->n) == 0;
}

bool el_jp_skip_op(struct el_jparser *p, uint16_t op)
{
    const bool is = el_jp_is_op(p, op);
    p->at += is;
    return is;
}

bool el_jp_skip_name(struct el_jparser *p, const char *name)
{
    const bool is = el_jp_is_name(p, name);
    p->at += is;
    return is;
}

bool el_jp_need_op(struct el_jparser *p, uint16_t op)
{
    const char what[6] = {'\'', (char)op, '\'', '\0'};
    if (el_jp_skip_op(p, op))
        return true;
    (void)el_jp_expected(p, what);
    return false;
}

bool el_jp_need_name(struct el_jparser *p, struct el_jval *name)
{
    const struct el_jtok *const tok = el_jp_peek(p);
    if (tok->kind != EL_JT_NAME || (tok->s[0] >= '0' && tok->s[0] <= '9')) {
        (void)el_jp_expected(p, "a name");
        return false;
    }
    *name = el_jv_str(tok->s, tok->n);
    p->at++;
    return true;
}

bool el_jp_name_id(struct el_jparser *p, struct el_jval name, uint32_t *id)
{
    enum { MAX_NAMES = 4096 };
    struct el_jinja *const t = p->t;
    for (*id = 0; *id < t->n_names; ++*id)
        if (t->names[*id].n == name.n && memcmp(t->names[*id].u.s, name.u.s, name.n) == 0)
            return true;
    if (t->n_names == MAX_NAMES) {
        (void)el_jp_fail(p, EL_E_FORMAT, "more than %d different names", (int)MAX_NAMES);
        return false;
    }
    if (t->n_names == p->cap_names) {
        p->cap_names = p->cap_names ? p->cap_names * 2 : 64;
        struct el_jval *const more = el_jarena_get(&t->arena, p->cap_names * sizeof *more, 8);
        if (!more) {
            (void)el_jp_fail(p, EL_E_MEMORY, "out of memory for names");
            return false;
        }
        if (t->n_names)
            memcpy(more, t->names, t->n_names * sizeof *more);
        t->names = more;
    }
    t->names[t->n_names++] = name;
    return true;
}

/* ---- parts of statements ------------------------------------------------------------------------------------------ */

/* Is it a name, or a tuple of such things? (nsref: or a namespace's attribute) */
static bool can_assign(struct el_jparser *p, const struct el_jnode *n)
{
    if (n->kind == EL_JN_TUPLE) {
        for (const struct el_jnode *i = n->list; i; i = i->next)
            if (!can_assign(p, i))
                return false;
        return true;
    }
    if (n->kind == EL_JN_NAME || n->kind == EL_JN_NSREF)
        return true;
    (void)el_jp_fail(p, EL_E_FORMAT, "an assignment to something that is no name");
    return false;
}

static struct el_jnode *target_one(struct el_jparser *p, bool with_namespace)
{
    if (el_jp_skip_op(p, '(')) {
        if (++p->depth > EL_JINJA_MAX_NESTING)
            return el_jp_fail(p, EL_E_FORMAT, "nested deeper than %d", (int)EL_JINJA_MAX_NESTING);
        struct el_jnode *const n = el_jp_tuple(p, true, NULL, true);
        p->depth--;
        return n && el_jp_need_op(p, ')') ? n : NULL;
    }
    struct el_jval name, attr;
    if (!el_jp_need_name(p, &name))
        return NULL;
    const bool is_ref = with_namespace && el_jp_skip_op(p, '.');
    if (is_ref && !el_jp_need_name(p, &attr))
        return NULL;
    if (el_jv_is(&name, "true") || el_jv_is(&name, "false") || el_jv_is(&name, "none") || el_jv_is(&name, "True") ||
        el_jv_is(&name, "False") || el_jv_is(&name, "None"))
        return el_jp_fail(p, EL_E_FORMAT, "an assignment to %.*s", (int)name.n, name.u.s);
    struct el_jnode *const n = el_jp_node(p, is_ref ? EL_JN_NSREF : EL_JN_NAME);
    if (!n || !el_jp_name_id(p, name, &n->id))
        return NULL;
    if (is_ref)
        n->val = attr;
    return n;
}

struct el_jnode *el_jp_target(struct el_jparser *p, bool with_namespace, const char *end_name)
{
    struct el_jnode *first = NULL, *last = NULL;
    bool is_tuple = false;
    for (;;) {
        if (el_jp_is_op(p, '=') || el_jp_peek(p)->kind == EL_JT_BLOCK_END || (end_name && el_jp_is_name(p, end_name)))
            break;
        struct el_jnode *const n = target_one(p, with_namespace);
        if (!n || !can_assign(p, n))
            return NULL;
        if (last)
            last->next = n;
        else
            first = n;
        last = n;
        if (!el_jp_skip_op(p, ','))
            break;
        is_tuple = true;
    }
    if (!first)
        return el_jp_expected(p, "a name");
    if (!is_tuple)
        return first;
    struct el_jnode *const t = el_jp_node(p, EL_JN_TUPLE);
    if (t)
        t->list = first;
    return t;
}

static bool block_end(struct el_jparser *p)
{
    if (el_jp_peek(p)->kind == EL_JT_BLOCK_END) {
        p->at++;
        return true;
    }
    (void)el_jp_expected(p, "'%}'");
    return false;
}

/* What is between `%}` and the `{%` of one of the ends (NULL-terminated), which is next after it. */
static bool block_body(struct el_jparser *p, const char *const *ends, const struct el_jnode **out)
{
    (void)el_jp_skip_op(p, ':');
    return block_end(p) && body(p, ends, out);
}

/* The same up to one end, which is taken too. */
static bool whole_body(struct el_jparser *p, const char *end, const struct el_jnode **out)
{
    const char *const ends[] = {end, NULL};
    return block_body(p, ends, out) && el_jp_skip_name(p, end);
}

/* ---- statements: the word that names them is taken ---------------------------------------------------------------- */

static struct el_jnode *st_for(struct el_jparser *p, struct el_jnode *n)
{
    static const char *const ends[] = {"endfor", "else", NULL};
    const bool soft = p->soft, in_loop = p->in_loop;
    n->a = el_jp_target(p, false, "in");
    if (!n->a)
        return NULL;
    if (!el_jp_skip_name(p, "in"))
        return el_jp_expected(p, "'in'");
    if (!(n->b = el_jp_tuple(p, false, "recursive", false)))
        return NULL;
    if (el_jp_skip_name(p, "if") && !(n->c = el_jp_expression(p, true)))
        return NULL;
    if (el_jp_skip_name(p, "recursive"))
        n->flags |= EL_JF_RECURSIVE;
    p->soft = false;
    p->in_loop = true;
    if (!block_body(p, ends, &n->list))
        return NULL;
    p->in_loop = in_loop;
    if (el_jp_skip_name(p, "else")) {
        if (!whole_body(p, "endfor", &n->list2))
            return NULL;
    } else if (!el_jp_skip_name(p, "endfor")) {
        return el_jp_expected(p, "'endfor'");
    }
    p->soft = soft;
    return n;
}

static struct el_jnode *st_if(struct el_jparser *p, struct el_jnode *n)
{
    static const char *const ends[] = {"elif", "else", "endif", NULL};
    const bool soft = p->soft;
    p->soft = true;
    for (struct el_jnode *branch = n;;) {
        if (!(branch->a = el_jp_tuple(p, false, NULL, false)) || !block_body(p, ends, &branch->list))
            return NULL;
        if (el_jp_skip_name(p, "elif")) {
            struct el_jnode *const next = el_jp_node(p, EL_JN_IF);
            if (!next)
                return NULL;
            branch->b = next;
            branch = next;
            continue;
        }
        if (el_jp_skip_name(p, "else")) {
            if (!whole_body(p, "endif", &branch->list2))
                return NULL;
        } else {
            p->at++; /* endif */
        }
        break;
    }
    p->soft = soft;
    return n;
}

static struct el_jnode *st_set(struct el_jparser *p, struct el_jnode *n)
{
    if (!(n->a = el_jp_target(p, true, NULL)))
        return NULL;
    if (el_jp_skip_op(p, '='))
        return (n->b = el_jp_tuple(p, true, NULL, false)) ? n : NULL;
    n->kind = EL_JN_SETBLOCK;
    if (el_jp_is_op(p, '|') && !(n->b = el_jp_filters(p, NULL, false)))
        return NULL;
    return whole_body(p, "endset", &n->list) ? n : NULL;
}

/* ( a, b=1 ) */
static bool signature(struct el_jparser *p, struct el_jnode *macro)
{
    struct el_jnode *last = NULL;
    if (!el_jp_need_op(p, '('))
        return false;
    while (!el_jp_is_op(p, ')')) {
        struct el_jval name;
        if (last && !el_jp_need_op(p, ','))
            return false;
        struct el_jnode *const n = el_jp_node(p, EL_JN_PARAM);
        if (!n || !el_jp_need_name(p, &name) || !el_jp_name_id(p, name, &n->id))
            return false;
        if (el_jp_skip_op(p, '=')) {
            if (!(n->a = el_jp_expression(p, true)))
                return false;
        } else if (last && last->a) {
            (void)el_jp_fail(p, EL_E_FORMAT, "a parameter without a default after one with");
            return false;
        }
        if (last)
            last->next = n;
        else
            macro->list = n;
        last = n;
    }
    return el_jp_need_op(p, ')');
}

/* Body of a macro or call block: notes which of varargs, kwargs and caller it uses. */
static bool macro_body(struct el_jparser *p, const char *end, struct el_jnode *macro)
{
    const bool soft = p->soft, in_loop = p->in_loop;
    const uint8_t outer = p->uses;
    p->uses = 0;
    p->soft = p->in_loop = false;
    const bool ok = whole_body(p, end, &macro->list2);
    macro->flags = p->uses;
    p->uses |= outer;
    p->soft = soft;
    p->in_loop = in_loop;
    return ok;
}

static struct el_jnode *st_macro(struct el_jparser *p, struct el_jnode *n)
{
    struct el_jval name;
    return el_jp_need_name(p, &name) && el_jp_name_id(p, name, &n->id) && signature(p, n) && macro_body(p, "endmacro", n) ? n
                                                                                                                          : NULL;
}

static struct el_jnode *st_call(struct el_jparser *p, struct el_jnode *n)
{
    struct el_jnode *const macro = el_jp_node(p, EL_JN_MACRO);
    if (!macro || !el_jp_name_id(p, el_jv_lit("caller"), &macro->id))
        return NULL;
    if (el_jp_is_op(p, '(') && !signature(p, macro))
        return NULL;
    n->a = el_jp_expression(p, true);
    n->b = macro;
    if (!n->a)
        return NULL;
    if (n->a->kind != EL_JN_CALL)
        return el_jp_fail(p, EL_E_FORMAT, "call without a call");
    return macro_body(p, "endcall", macro) ? n : NULL;
}

static struct el_jnode *st_filter(struct el_jparser *p, struct el_jnode *n)
{
    return (n->b = el_jp_filters(p, NULL, true)) && whole_body(p, "endfilter", &n->list) ? n : NULL;
}

static struct el_jnode *st_with(struct el_jparser *p, struct el_jnode *n)
{
    struct el_jnode *last = NULL;
    while (el_jp_peek(p)->kind != EL_JT_BLOCK_END) {
        if (last && !el_jp_need_op(p, ','))
            return NULL;
        struct el_jnode *const set = el_jp_node(p, EL_JN_SET);
        if (!set || !(set->a = el_jp_target(p, false, NULL)) || !el_jp_need_op(p, '=') || !(set->b = el_jp_expression(p, true)))
            return NULL;
        if (last)
            last->next = set;
        else
            n->list = set;
        last = set;
    }
    return whole_body(p, "endwith", &n->list2) ? n : NULL;
}

static struct el_jnode *st_generation(struct el_jparser *p, struct el_jnode *n)
{
    const bool soft = p->soft, in_loop = p->in_loop;
    p->soft = p->in_loop = false; /* its body is a scope of its own, as that of a macro */
    const bool ok = whole_body(p, "endgeneration", &n->list);
    p->soft = soft;
    p->in_loop = in_loop;
    return ok ? n : NULL;
}

static struct el_jnode *st_print(struct el_jparser *p, struct el_jnode *n)
{
    return (n->a = el_jp_tuple(p, true, NULL, false)) ? n : NULL;
}

static struct el_jnode *st_jump(struct el_jparser *p, struct el_jnode *n)
{
    return p->in_loop ? n : el_jp_fail(p, EL_E_FORMAT, "%s outside of a loop", n->kind == EL_JN_BREAK ? "break" : "continue");
}

static struct el_jnode *statement(struct el_jparser *p)
{
    static const struct {
        const char *name;
        struct el_jnode *(*parse)(struct el_jparser *p, struct el_jnode *n);
        enum el_jnode_kind kind;
    } table[] = {
        {"for", st_for, EL_JN_FOR},
        {"if", st_if, EL_JN_IF},
        {"set", st_set, EL_JN_SET},
        {"macro", st_macro, EL_JN_MACRO},
        {"call", st_call, EL_JN_CALLBLOCK},
        {"filter", st_filter, EL_JN_FILTERBLOCK},
        {"with", st_with, EL_JN_WITH},
        {"generation", st_generation, EL_JN_SCOPE},
        {"print", st_print, EL_JN_OUTPUT},
        {"break", st_jump, EL_JN_BREAK},
        {"continue", st_jump, EL_JN_CONTINUE},
    };
    static const char *const refused[] = {"block", "extends", "include", "import", "from", "autoescape"};
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        if (el_jp_skip_name(p, table[i].name)) {
            struct el_jnode *const n = el_jp_node(p, table[i].kind);
            return n ? table[i].parse(p, n) : NULL;
        }
    }
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++)
        if (el_jp_is_name(p, refused[i]))
            return el_jp_fail(p, EL_E_UNSUPPORTED, "the statement '%s' is not supported", refused[i]);
    return el_jp_expected(p, "a statement");
}

/* ---- the body ----------------------------------------------------------------------------------------------------- */

/* One text, expression or statement. *out stays NULL where one of the ends is next. */
static bool piece(struct el_jparser *p, const char *const *ends, struct el_jnode **out)
{
    const struct el_jtok *const tok = el_jp_peek(p);
    struct el_jnode *n = NULL;
    *out = NULL;
    if (tok->kind == EL_JT_DATA) {
        if ((n = el_jp_node(p, EL_JN_TEXT)) != NULL)
            n->val = el_jv_str(tok->s, tok->n);
        p->at++;
    } else if (tok->kind == EL_JT_VAR_BEGIN) {
        n = el_jp_node(p, EL_JN_OUTPUT);
        p->at++;
        if (!n || !(n->a = el_jp_tuple(p, true, NULL, false)))
            return false;
        if (el_jp_peek(p)->kind != EL_JT_VAR_END)
            return el_jp_expected(p, "'}}'") != NULL;
        p->at++;
    } else {
        p->at++; /* BLOCK_BEGIN */
        for (; ends && *ends; ends++)
            if (el_jp_is_name(p, *ends))
                return true;
        n = statement(p);
        if (!n || !block_end(p))
            return false;
    }
    *out = n;
    if (n && p->unknown)
        return el_jp_fail(p, EL_E_UNSUPPORTED, "no %s '%.*s'", p->unknown->kind == EL_JN_TEST ? "test" : "filter",
                          (int)p->unknown->val.n, p->unknown->val.u.s) != NULL;
    return n != NULL;
}

static bool body(struct el_jparser *p, const char *const *ends, const struct el_jnode **out)
{
    struct el_jnode *last = NULL;
    *out = NULL;
    if (++p->depth > EL_JINJA_MAX_NESTING) {
        (void)el_jp_fail(p, EL_E_FORMAT, "nested deeper than %d", (int)EL_JINJA_MAX_NESTING);
        return false;
    }
    for (;;) {
        struct el_jnode *n;
        if (el_jp_peek(p)->kind == EL_JT_EOF) {
            if (!ends)
                break;
            (void)el_jp_fail(p, EL_E_FORMAT, "the end where '%s' should be", ends[0]);
            return false;
        }
        if (!piece(p, ends, &n))
            return false;
        if (!n)
            break;
        if (last)
            last->next = n;
        else
            *out = n;
        last = n;
    }
    p->depth--;
    return true;
}

enum el_status el_jinja_parse(struct el_jparser *p)
{
    return body(p, NULL, &p->t->body) ? EL_OK : p->status;
}
