/* Expressions: tree to value. */
#include <string.h>

#include "text/jinja_impl.h"

static bool eval_inside(struct el_jrun *r, struct el_jscope *s, const struct el_jnode *n, struct el_jval *out);

bool el_jinja_eval(struct el_jrun *r, struct el_jscope *s, const struct el_jnode *n, struct el_jval *out)
{
    if (n->kind == EL_JN_CONST) {
        *out = n->val;
        return true;
    }
    r->line = n->line;
    if (!el_jinja_enter(r))
        return false;
    const bool ok = eval_inside(r, s, n, out);
    el_jinja_leave(r);
    return ok;
}

static void look_up(const struct el_jrun *r, const struct el_jscope *s, uint32_t id, struct el_jval *out)
{
    for (; s; s = s->parent) {
        for (const struct el_jbinding *b = s->vars; b; b = b->next) {
            if (b->id == id) {
                *out = b->v;
                return;
            }
        }
    }
    *out = r->context[id];
}

static uint32_t count_nodes(const struct el_jnode *list)
{
    uint32_t n = 0;
    for (; list; list = list->next)
        n++;
    return n;
}

static bool eval_list(struct el_jrun *r, struct el_jscope *s, const struct el_jnode *n, struct el_jval *out)
{
    const uint32_t count = count_nodes(n->list);
    struct el_jval *const v = el_jinja_get(r, count, sizeof *v);
    uint32_t i = 0;
    if (!v)
        return false;
    for (const struct el_jnode *item = n->list; item; item = item->next)
        if (!el_jinja_eval(r, s, item, &v[i++]))
            return false;
    *out = n->kind == EL_JN_LIST ? el_jv_list(v, count) : el_jv_tuple(v, count);
    return true;
}

static bool eval_dict(struct el_jrun *r, struct el_jscope *s, const struct el_jnode *n, struct el_jval *out)
{
    struct el_jpair *const kv = el_jinja_get(r, count_nodes(n->list) / 2, sizeof *kv);
    uint32_t count = 0;
    if (!kv)
        return false;
    for (const struct el_jnode *k = n->list; k; k = k->next->next) {
        struct el_jval key, value;
        if (!el_jinja_eval(r, s, k, &key) || !el_jinja_eval(r, s, k->next, &value) || !el_jv_put(r, kv, &count, key, value))
            return false;
    }
    *out = (struct el_jval){.kind = EL_J_DICT, .n = count, .u.kv = kv};
    return true;
}

/* ---- calls -------------------------------------------------------------------------------------------------------- */

/* Room for arguments, which grows for * and **. */
struct args {
    struct el_jval *v;
    struct el_jkw *kw;
    uint32_t n, n_kw;
};

static bool add_star(struct el_jrun *r, struct args *a, const struct el_jval *v)
{
    struct el_jval items;
    if (!el_jinja_to_list(r, v, &items))
        return false;
    struct el_jval *const all = el_jinja_get(r, (uint64_t)a->n + items.n, sizeof *all);
    if (!all)
        return false;
    if (a->n)
        memcpy(all, a->v, a->n * sizeof *all);
    if (items.n)
        memcpy(all + a->n, items.u.v, items.n * sizeof *all);
    a->v = all;
    a->n += items.n;
    return true;
}

static bool add_double_star(struct el_jrun *r, struct args *a, const struct el_jval *v)
{
    if (v->kind != EL_J_DICT)
        return el_jinja_fail(r, "** before a %s", el_jv_type(v));
    struct el_jkw *const all = el_jinja_get(r, (uint64_t)a->n_kw + v->n, sizeof *all);
    if (!all)
        return false;
    if (a->n_kw)
        memcpy(all, a->kw, a->n_kw * sizeof *all);
    for (uint32_t i = 0; i < v->n; i++) {
        if (v->u.kv[i].k.kind != EL_J_STR)
            return el_jinja_fail(r, "** with a key that is no string");
        all[a->n_kw++] = (struct el_jkw){v->u.kv[i].k, v->u.kv[i].v};
    }
    a->kw = all;
    return true;
}

/* extra (may be NULL): one more keyword argument. */
static bool eval_args(struct el_jrun *r, struct el_jscope *s, const struct el_jnode *list, const struct el_jkw *extra,
                      struct el_jargs *out)
{
    const uint32_t room = count_nodes(list) + 1;
    struct args a = {el_jinja_get(r, room, sizeof *a.v), el_jinja_get(r, room, sizeof *a.kw), 0, 0};
    if (!a.v || !a.kw)
        return false;
    for (const struct el_jnode *n = list; n; n = n->next) {
        struct el_jval v;
        const bool wrapped = n->kind == EL_JN_KWARG || n->kind == EL_JN_STAR || n->kind == EL_JN_DSTAR;
        if (!el_jinja_eval(r, s, wrapped ? n->a : n, &v))
            return false;
        if (n->kind == EL_JN_KWARG)
            a.kw[a.n_kw++] = (struct el_jkw){n->val, v};
        else if (n->kind == EL_JN_STAR ? !add_star(r, &a, &v) : n->kind == EL_JN_DSTAR && !add_double_star(r, &a, &v))
            return false;
        else if (!wrapped)
            a.v[a.n++] = v;
    }
    if (extra) {
        struct el_jkw *const all = el_jinja_get(r, (uint64_t)a.n_kw + 1, sizeof *all);
        if (!all)
            return false;
        memcpy(all, a.kw, a.n_kw * sizeof *all);
        all[a.n_kw++] = *extra;
        a.kw = all;
    }
    *out = (struct el_jargs){a.v, a.n, a.kw, a.n_kw};
    return true;
}

bool el_jinja_eval_call(struct el_jrun *r, struct el_jscope *s, const struct el_jnode *n, const struct el_jkw *extra,
                        struct el_jval *out)
{
    struct el_jval fn;
    struct el_jargs a;
    if (!el_jinja_eval(r, s, n->a, &fn) || !eval_args(r, s, n->list, extra, &a))
        return false;
    r->line = n->line;
    return el_jinja_call(r, &fn, &a, out);
}

bool el_jinja_apply(struct el_jrun *r, struct el_jscope *s, const struct el_jnode *n, const struct el_jval *self,
                    struct el_jval *out)
{
    struct el_jargs a;
    const bool is_test = n->kind == EL_JN_TEST;
    if (!n->def)
        return el_jinja_fail(r, "no %s '%.*s'", is_test ? "test" : "filter", (int)n->val.n, n->val.u.s);
    if (!eval_args(r, s, n->list, NULL, &a))
        return false;
    r->line = n->line;
    return el_jinja_call_def(r, n->def, self, &a, out);
}

/* ---- operators ---------------------------------------------------------------------------------------------------- */

static bool eval_binary(struct el_jrun *r, struct el_jscope *s, const struct el_jnode *n, struct el_jval *out)
{
    struct el_jval a, b;
    if (!el_jinja_eval(r, s, n->a, &a) || !el_jinja_eval(r, s, n->b, &b))
        return false;
    r->line = n->line;
    return el_jinja_binary(r, n->op, &a, &b, out);
}

static bool eval_compare(struct el_jrun *r, struct el_jscope *s, const struct el_jnode *n, struct el_jval *out)
{
    struct el_jval a, b;
    bool holds = true;
    if (!el_jinja_eval(r, s, n->a, &a))
        return false;
    for (const struct el_jnode *o = n->list; holds && o; o = o->next) {
        if (!el_jinja_eval(r, s, o->a, &b) || !el_jinja_relation(r, o->op, &a, &b, &holds))
            return false;
        a = b;
    }
    *out = el_jv_bool(holds);
    return true;
}

/* and, or: the value of the operand that decides. */
static bool eval_logic(struct el_jrun *r, struct el_jscope *s, const struct el_jnode *n, struct el_jval *out)
{
    bool truth;
    if (!el_jinja_eval(r, s, n->a, out) || !el_jv_truth(r, out, &truth))
        return false;
    return truth == (n->kind == EL_JN_OR) || el_jinja_eval(r, s, n->b, out);
}

static bool eval_concat(struct el_jrun *r, struct el_jscope *s, const struct el_jnode *n, struct el_jval *out)
{
    struct el_jval whole = el_jv_str("", 0), v, text;
    for (const struct el_jnode *i = n->list; i; i = i->next) {
        if (!el_jinja_eval(r, s, i, &v) || !el_jv_to_str(r, &v, &text))
            return false;
        if (i == n->list)
            whole = text;
        else if (!el_jv_join(r, whole, text, &whole))
            return false;
    }
    *out = whole;
    return true;
}

static bool eval_cond(struct el_jrun *r, struct el_jscope *s, const struct el_jnode *n, struct el_jval *out)
{
    bool truth;
    if (!el_jinja_eval(r, s, n->a, out) || !el_jv_truth(r, out, &truth))
        return false;
    if (truth)
        return el_jinja_eval(r, s, n->b, out);
    if (n->c)
        return el_jinja_eval(r, s, n->c, out);
    *out = el_jv_undef(el_jv_lit("an inline if without else was false"), EL_J_HINT);
    return true;
}

static bool eval_item(struct el_jrun *r, struct el_jscope *s, const struct el_jnode *n, struct el_jval *out)
{
    struct el_jval obj, key;
    if (!el_jinja_eval(r, s, n->a, &obj))
        return false;
    if (n->b->kind == EL_JN_SLICE) {
        const struct el_jnode *const parts[3] = {n->b->a, n->b->b, n->b->list};
        struct el_jval bounds[3] = {el_jv_none(), el_jv_none(), el_jv_none()};
        for (int i = 0; i < 3; i++)
            if (parts[i] && !el_jinja_eval(r, s, parts[i], &bounds[i]))
                return false;
        r->line = n->line;
        return el_jinja_slice(r, &obj, bounds, out);
    }
    if (!el_jinja_eval(r, s, n->b, &key))
        return false;
    r->line = n->line;
    return el_jinja_item(r, &obj, &key, out);
}

static bool eval_filter(struct el_jrun *r, struct el_jscope *s, const struct el_jnode *n, struct el_jval *out)
{
    struct el_jval self;
    return el_jinja_eval(r, s, n->a, &self) && el_jinja_apply(r, s, n, &self, out);
}

static bool eval_inside(struct el_jrun *r, struct el_jscope *s, const struct el_jnode *n, struct el_jval *out)
{
    struct el_jval a;
    bool truth;
    switch (n->kind) {
    case EL_JN_NAME: look_up(r, s, n->id, out); return true;
    case EL_JN_LIST:
    case EL_JN_TUPLE: return eval_list(r, s, n, out);
    case EL_JN_DICT: return eval_dict(r, s, n, out);
    case EL_JN_ATTR: return el_jinja_eval(r, s, n->a, &a) && el_jinja_attr(r, &a, n->val, out);
    case EL_JN_ITEM: return eval_item(r, s, n, out);
    case EL_JN_CALL: return el_jinja_eval_call(r, s, n, NULL, out);
    case EL_JN_FILTER:
    case EL_JN_TEST: return eval_filter(r, s, n, out);
    case EL_JN_BINARY: return eval_binary(r, s, n, out);
    case EL_JN_NEG:
    case EL_JN_POS: return el_jinja_eval(r, s, n->a, &a) && el_jinja_negate(r, &a, n->kind == EL_JN_NEG, out);
    case EL_JN_NOT:
        if (!el_jinja_eval(r, s, n->a, &a) || !el_jv_truth(r, &a, &truth))
            return false;
        *out = el_jv_bool(!truth);
        return true;
    case EL_JN_AND:
    case EL_JN_OR: return eval_logic(r, s, n, out);
    case EL_JN_COMPARE: return eval_compare(r, s, n, out);
    case EL_JN_CONCAT: return eval_concat(r, s, n, out);
    case EL_JN_COND: return eval_cond(r, s, n, out);
    default: return el_jinja_fail(r, "this is no value");
    }
}
