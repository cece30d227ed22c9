/* Statements: scopes, loops, macros, and the rendering as a whole. */
#include <string.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "text/jinja_impl.h"

/* How a body ended. */
enum flow { FLOW_NEXT, FLOW_BREAK, FLOW_CONTINUE, FLOW_FAIL };

/* The object `loop`. */
struct el_jloop {
    struct el_jiter *it;
    const struct el_jnode *node;
    struct el_jscope *outer; /* scope around the loop, for recursion */
    struct el_jval over;     /* what is walked: its length, where it has one */
    struct el_jval before, current, after, changed;
    bool has_after, has_length, has_changed;
    int64_t index0, length;
    uint32_t depth0;
};

static enum flow run_list(struct el_jrun *r, struct el_jscope *s, const struct el_jnode *list);

struct el_jscope *el_jinja_scope(struct el_jrun *r, struct el_jscope *parent)
{
    struct el_jscope *const s = el_jinja_get(r, 1, sizeof *s);
    if (s)
        *s = (struct el_jscope){.parent = parent};
    return s;
}

bool el_jinja_bind(struct el_jrun *r, struct el_jscope *s, uint32_t id, struct el_jval v)
{
    for (struct el_jbinding *b = s->vars; b; b = b->next) {
        if (b->id == id) {
            b->v = v;
            return true;
        }
    }
    struct el_jbinding *const b = el_jinja_get(r, 1, sizeof *b);
    if (!b)
        return false;
    *b = (struct el_jbinding){.id = id, .v = v, .next = s->vars};
    s->vars = b;
    return true;
}

/* ---- assignment --------------------------------------------------------------------------------------------------- */

static bool set_attribute(struct el_jrun *r, struct el_jscope *s, const struct el_jnode *target, struct el_jval v)
{
    const struct el_jnode name = {.kind = EL_JN_NAME, .id = target->id, .line = target->line};
    struct el_jval obj;
    if (!el_jinja_eval(r, s, &name, &obj))
        return false;
    if (obj.kind != EL_J_NS)
        return el_jinja_fail(r, "cannot assign attribute '%.*s' on something that is no namespace", (int)target->val.n,
                             target->val.u.s);
    if (target->val.u.s[0] == '_')
        return el_jinja_fail(r, "namespace: an attribute that begins with '_'");
    struct el_jns *const ns = obj.u.ns;
    if (ns->n == ns->cap) {
        const uint32_t cap = ns->cap ? ns->cap * 2 : 4;
        struct el_jpair *const more = el_jinja_get(r, cap, sizeof *more);
        if (!more)
            return false;
        if (ns->n)
            memcpy(more, ns->kv, ns->n * sizeof *more);
        ns->kv = more;
        ns->cap = cap;
    }
    return el_jv_put(r, ns->kv, &ns->n, target->val, v);
}

static bool assign_tuple(struct el_jrun *r, struct el_jscope *s, const struct el_jnode *target, struct el_jval v)
{
    struct el_jval items;
    uint32_t i = 0, want = 0;
    if (v.kind == EL_J_UNDEF ? false : !el_jinja_is_iterable(&v))
        return el_jinja_fail(r, "a %s cannot be unpacked", el_jv_type(&v));
    if (!el_jinja_to_list(r, &v, &items))
        return false;
    for (const struct el_jnode *t = target->list; t; t = t->next)
        want++;
    if (want != items.n)
        return el_jinja_fail(r, "%u values where %u are unpacked", items.n, want);
    for (const struct el_jnode *t = target->list; t; t = t->next)
        if (!el_jinja_assign(r, s, t, items.u.v[i++]))
            return false;
    return true;
}

bool el_jinja_assign(struct el_jrun *r, struct el_jscope *s, const struct el_jnode *target, struct el_jval v)
{
    if (target->kind == EL_JN_NAME)
        return el_jinja_bind(r, s, target->id, v);
    if (target->kind == EL_JN_NSREF)
        return set_attribute(r, s, target, v);
    return assign_tuple(r, s, target, v);
}

/* ---- loops -------------------------------------------------------------------------------------------------------- */

/* An iterator over the elements of another that a condition takes, asked as late as jinja2 asks it. */
static bool step_filtered(struct el_jrun *r, struct el_jiter *it, struct el_jval *out, bool *end)
{
    for (;;) {
        struct el_jval cond;
        bool truth;
        if (!el_jinja_next(r, it->source, out, end))
            return false;
        if (*end)
            return true;
        struct el_jscope *const s = el_jinja_scope(r, it->scope);
        if (!s || !el_jinja_assign(r, s, it->target, *out) || !el_jinja_eval(r, s, it->cond, &cond) ||
            !el_jv_truth(r, &cond, &truth))
            return false;
        if (truth)
            return true;
    }
}

static bool peek(struct el_jrun *r, struct el_jloop *l)
{
    bool end;
    if (l->has_after)
        return true;
    if (!el_jinja_next(r, l->it, &l->after, &end))
        return false;
    if (end)
        l->after = el_jv(EL_J_MISSING);
    l->has_after = true;
    return true;
}

static bool loop_length(struct el_jrun *r, struct el_jloop *l, int64_t *out)
{
    struct el_jval rest;
    if (!l->has_length) {
        const struct el_jval *const v = &l->over;
        uint32_t n = 0;
        if (v->kind != EL_J_ITER) {
            if (!el_jv_length(r, v, &n))
                return false;
            l->length = n;
        } else { /* walks what is left, and goes on over that */
            if (!el_jinja_rest(r, l->it, &rest) || !el_jinja_iter(r, &rest, &l->it))
                return false;
            const bool waiting = l->has_after && l->after.kind != EL_J_MISSING;
            l->length = rest.n + l->index0 + 1 + waiting;
        }
        l->has_length = true;
    }
    *out = l->length;
    return true;
}

static bool loop_cycle(struct el_jrun *r, const struct el_jval *self, const struct el_jargs *a, struct el_jval *out)
{
    if (a->n == 0 || a->n_kw)
        return el_jinja_fail(r, "loop.cycle without items");
    *out = a->v[self->u.loop->index0 % a->n];
    return true;
}

static bool loop_changed(struct el_jrun *r, const struct el_jval *self, const struct el_jargs *a, struct el_jval *out)
{
    struct el_jloop *const l = self->u.loop;
    const struct el_jval now = el_jv_tuple(a->v, a->n);
    bool same = false;
    if (l->has_changed && !el_jv_equal(r, &l->changed, &now, &same))
        return false;
    l->changed = now;
    l->has_changed = true;
    *out = el_jv_bool(!same);
    return true;
}

bool el_jinja_loop_attr(struct el_jrun *r, struct el_jloop *l, struct el_jval name, struct el_jval *out)
{
    static const struct el_jdef functions[] = {{"cycle", loop_cycle, NULL, 0}, {"changed", loop_changed, NULL, 0}};
    int64_t length;
    const struct el_jdef *const def = el_jinja_find_def(functions, 2, name);
    if (def) {
        struct el_jmethod *const m = el_jinja_get(r, 1, sizeof *m);
        if (!m)
            return false;
        *m = (struct el_jmethod){def, {.kind = EL_J_LOOP, .u.loop = l}};
        *out = (struct el_jval){.kind = EL_J_METHOD, .u.method = m};
    } else if (el_jv_is(&name, "index")) {
        *out = el_jv_int(l->index0 + 1);
    } else if (el_jv_is(&name, "index0")) {
        *out = el_jv_int(l->index0);
    } else if (el_jv_is(&name, "first")) {
        *out = el_jv_bool(l->index0 == 0);
    } else if (el_jv_is(&name, "depth") || el_jv_is(&name, "depth0")) {
        *out = el_jv_int(l->depth0 + el_jv_is(&name, "depth"));
    } else if (el_jv_is(&name, "length") || el_jv_is(&name, "revindex") || el_jv_is(&name, "revindex0")) {
        if (!loop_length(r, l, &length))
            return false;
        *out = el_jv_int(el_jv_is(&name, "length")     ? length
                         : el_jv_is(&name, "revindex") ? length - l->index0
                                                       : length - l->index0 - 1);
    } else if (el_jv_is(&name, "last") || el_jv_is(&name, "nextitem")) {
        if (!peek(r, l))
            return false;
        const bool none = l->after.kind == EL_J_MISSING;
        *out = el_jv_is(&name, "last") ? el_jv_bool(none)
               : none                  ? el_jv_undef(el_jv_lit("there is no next item"), EL_J_HINT)
                                       : l->after;
    } else if (el_jv_is(&name, "previtem")) {
        *out = l->index0 == 0 ? el_jv_undef(el_jv_lit("there is no previous item"), EL_J_HINT) : l->before;
    }
    return true;
}

static enum flow run_iterations(struct el_jrun *r, struct el_jloop *l, uint32_t loop_id, bool *any)
{
    const struct el_jnode *const n = l->node;
    const struct el_jval self = {.kind = EL_J_LOOP, .u.loop = l};
    for (;;) {
        struct el_jval item;
        bool end = false;
        if (l->has_after) {
            item = l->after;
            end = item.kind == EL_J_MISSING;
            l->has_after = false;
        } else if (!el_jinja_next(r, l->it, &item, &end)) {
            return FLOW_FAIL;
        }
        if (end)
            return FLOW_NEXT;
        l->index0++;
        l->before = l->current;
        l->current = item;
        struct el_jscope *const s = el_jinja_scope(r, l->outer);
        if (!s || (loop_id != UINT32_MAX && !el_jinja_bind(r, s, loop_id, self)) || !el_jinja_assign(r, s, n->a, item))
            return FLOW_FAIL;
        const enum flow flow = run_list(r, s, n->list);
        if (flow == FLOW_BREAK || flow == FLOW_FAIL)
            return flow == FLOW_BREAK ? FLOW_NEXT : FLOW_FAIL;
        /* As jinja2 has it: rounds that break or continue cut short do not count, and else may follow them. */
        *any = *any || flow == FLOW_NEXT;
    }
}

/* The id of the name `loop`; UINT32_MAX when the template never says it. */
static uint32_t loop_id_of(const struct el_jinja *t)
{
    for (uint32_t i = 0; i < t->n_names; i++)
        if (el_jv_is(&t->names[i], "loop"))
            return i;
    return UINT32_MAX;
}

static enum flow run_loop(struct el_jrun *r, struct el_jscope *s, const struct el_jnode *n, struct el_jval over, uint32_t depth0)
{
    struct el_jloop *const l = el_jinja_get(r, 1, sizeof *l);
    struct el_jiter *it;
    bool any = false;
    if (!l || !el_jinja_iter(r, &over, &it))
        return FLOW_FAIL;
    if (n->c) {
        struct el_jiter *const filtered = el_jinja_new_iter(r, step_filtered);
        if (!filtered)
            return FLOW_FAIL;
        filtered->source = it;
        filtered->target = n->a;
        filtered->cond = n->c;
        filtered->scope = s;
        it = filtered;
        over = el_jinja_generator(r, it);
    }
    *l = (struct el_jloop){.it = it, .node = n, .outer = s, .over = over, .index0 = -1, .depth0 = depth0};
    const enum flow flow = run_iterations(r, l, loop_id_of(r->t), &any);
    if (flow == FLOW_FAIL || any || !n->list2)
        return flow;
    struct el_jscope *const inner = el_jinja_scope(r, s);
    return inner ? run_list(r, inner, n->list2) : FLOW_FAIL;
}

/* ---- texts of bodies ---------------------------------------------------------------------------------------------- */

/* Runs a body with its output caught as a string. */
static bool capture(struct el_jrun *r, struct el_jscope *s, const struct el_jnode *list, struct el_jval *out)
{
    struct el_jtext t, *const before = r->out;
    el_jtext_init(&t, EL_JINJA_MAX_OUTPUT);
    r->out = &t;
    const enum flow flow = run_list(r, s, list);
    r->out = before;
    if (flow == FLOW_FAIL)
        return false;
    *out = el_jtext_str(r, &t);
    return true;
}

bool el_jinja_call_loop(struct el_jrun *r, struct el_jloop *l, const struct el_jargs *a, struct el_jval *out)
{
    if (!(l->node->flags & EL_JF_RECURSIVE))
        return el_jinja_fail(r, "the loop is not marked recursive");
    if (a->n != 1 || a->n_kw)
        return el_jinja_fail(r, "loop() takes one argument");
    if (!el_jinja_enter(r))
        return false;
    struct el_jtext t, *const before = r->out;
    el_jtext_init(&t, EL_JINJA_MAX_OUTPUT);
    r->out = &t;
    const enum flow flow = run_loop(r, l->outer, l->node, a->v[0], l->depth0 + 1);
    r->out = before;
    el_jinja_leave(r);
    *out = el_jtext_str(r, &t);
    return flow != FLOW_FAIL;
}

/* The text of a block through the filters that follow its word: the innermost has no value of its own. */
static bool through_filters(struct el_jrun *r, struct el_jscope *s, const struct el_jnode *f, struct el_jval text,
                            struct el_jval *out)
{
    struct el_jval self = text;
    if (!el_jinja_enter(r))
        return false;
    const bool ok = (!f->a || through_filters(r, s, f->a, text, &self)) && el_jinja_apply(r, s, f, &self, out);
    el_jinja_leave(r);
    return ok;
}

static bool block_text(struct el_jrun *r, struct el_jscope *s, const struct el_jnode *list, const struct el_jnode *filters,
                       struct el_jval *out)
{
    struct el_jscope *const inner = el_jinja_scope(r, s);
    struct el_jval text;
    if (!inner || !capture(r, inner, list, &text))
        return false;
    *out = text;
    return !filters || through_filters(r, inner, filters, text, out);
}

/* ---- macros ------------------------------------------------------------------------------------------------------- */

static bool make_macro(struct el_jrun *r, struct el_jscope *s, const struct el_jnode *n, struct el_jval *out)
{
    struct el_jmacro *const m = el_jinja_get(r, 1, sizeof *m);
    if (!m)
        return false;
    *m = (struct el_jmacro){n, s, r->t->names[n->id]};
    *out = (struct el_jval){.kind = EL_J_MACRO, .u.macro = m};
    return true;
}

static uint32_t name_id(const struct el_jrun *r, const char *name)
{
    for (uint32_t i = 0; i < r->t->n_names; i++)
        if (el_jv_is(&r->t->names[i], name))
            return i;
    return UINT32_MAX;
}

/* varargs, kwargs and caller: what the parameters did not take, where the body uses it. used: keywords taken. */
static bool bind_extra(struct el_jrun *r, const struct el_jmacro *m, const struct el_jargs *a, struct el_jscope *s,
                       uint32_t n_params, const bool *used)
{
    const uint8_t flags = m->node->flags;
    struct el_jpair *const kv = el_jinja_get(r, a->n_kw, sizeof *kv);
    struct el_jval caller = el_jv_undef(el_jv_lit("no caller defined"), EL_J_HINT);
    uint32_t n = 0;
    if (!kv)
        return false;
    if (a->n > n_params && !(flags & EL_JF_VARARGS))
        return el_jinja_fail(r, "macro '%.*s' takes at most %u arguments", (int)m->name.n, m->name.u.s, n_params);
    for (uint32_t i = 0; i < a->n_kw; i++) {
        if (used[i])
            continue;
        if (el_jv_is(&a->kw[i].name, "caller") && (flags & EL_JF_CALLER))
            caller = a->kw[i].v;
        else if (!(flags & EL_JF_KWARGS))
            return el_jinja_fail(r, "macro '%.*s' takes no argument '%.*s'", (int)m->name.n, m->name.u.s, (int)a->kw[i].name.n,
                                 a->kw[i].name.u.s);
        else if (!el_jv_put(r, kv, &n, a->kw[i].name, a->kw[i].v))
            return false;
    }
    const struct el_jval rest = a->n > n_params ? el_jv_tuple(a->v + n_params, a->n - n_params) : el_jv_tuple(NULL, 0);
    const struct el_jval kwargs = {.kind = EL_J_DICT, .n = n, .u.kv = kv};
    const struct el_jbinding all[3] = {
        {name_id(r, "varargs"), rest, NULL}, {name_id(r, "kwargs"), kwargs, NULL}, {name_id(r, "caller"), caller, NULL}};
    for (int i = 0; i < 3; i++)
        if ((flags & (EL_JF_VARARGS << i)) && all[i].id != UINT32_MAX && !el_jinja_bind(r, s, all[i].id, all[i].v))
            return false;
    return true;
}

static bool bind_params(struct el_jrun *r, const struct el_jmacro *m, const struct el_jargs *a, struct el_jscope *s)
{
    bool *const used = el_jinja_get(r, (uint64_t)a->n_kw + 1, sizeof *used);
    uint32_t n_params = 0;
    if (!used)
        return false;
    memset(used, 0, a->n_kw + 1);
    for (const struct el_jnode *p = m->node->list; p; p = p->next, n_params++) {
        const struct el_jval name = r->t->names[p->id];
        struct el_jval v = el_jv(EL_J_MISSING);
        if (n_params < a->n)
            v = a->v[n_params];
        for (uint32_t i = 0; i < a->n_kw; i++) {
            if (a->kw[i].name.n != name.n || memcmp(a->kw[i].name.u.s, name.u.s, name.n) != 0)
                continue;
            if (v.kind != EL_J_MISSING)
                return el_jinja_fail(r, "macro '%.*s': argument '%.*s' stands twice", (int)m->name.n, m->name.u.s, (int)name.n,
                                     name.u.s);
            v = a->kw[i].v;
            used[i] = true;
        }
        if (v.kind == EL_J_MISSING && p->a && !el_jinja_eval(r, s, p->a, &v))
            return false;
        if (v.kind == EL_J_MISSING)
            v = el_jv_undef(name, 0);
        if (!el_jinja_bind(r, s, p->id, v))
            return false;
    }
    return bind_extra(r, m, a, s, n_params, used);
}

bool el_jinja_call_macro(struct el_jrun *r, const struct el_jmacro *m, const struct el_jargs *a, struct el_jval *out)
{
    if (!el_jinja_enter(r))
        return false;
    struct el_jscope *const s = el_jinja_scope(r, m->scope);
    const bool ok = s && bind_params(r, m, a, s) && capture(r, s, m->node->list2, out);
    el_jinja_leave(r);
    return ok;
}

/* ---- statements --------------------------------------------------------------------------------------------------- */

static enum flow run_if(struct el_jrun *r, struct el_jscope *s, const struct el_jnode *n)
{
    for (;; n = n->b) {
        struct el_jval v;
        bool truth;
        if (!el_jinja_eval(r, s, n->a, &v) || !el_jv_truth(r, &v, &truth))
            return FLOW_FAIL;
        if (truth)
            return run_list(r, s, n->list);
        if (!n->b)
            return run_list(r, s, n->list2);
    }
}

static bool run_with(struct el_jrun *r, struct el_jscope *s, const struct el_jnode *n, enum flow *flow)
{
    struct el_jscope *const inner = el_jinja_scope(r, s);
    if (!inner)
        return false;
    for (const struct el_jnode *set = n->list; set; set = set->next) {
        struct el_jval v;
        if (!el_jinja_eval(r, s, set->b, &v) || !el_jinja_assign(r, inner, set->a, v))
            return false;
    }
    *flow = run_list(r, inner, n->list2);
    return true;
}

static bool run_call_block(struct el_jrun *r, struct el_jscope *s, const struct el_jnode *n)
{
    struct el_jkw caller = {.name = el_jv_lit("caller")};
    struct el_jval v;
    return make_macro(r, s, n->b, &caller.v) && el_jinja_eval_call(r, s, n->a, &caller, &v) && el_jtext_add_str(r, r->out, &v);
}

static bool run_statement(struct el_jrun *r, struct el_jscope *s, const struct el_jnode *n, enum flow *flow)
{
    struct el_jval v;
    *flow = FLOW_NEXT;
    switch (n->kind) {
    case EL_JN_TEXT: return el_jtext_add(r, r->out, n->val.u.s, n->val.n);
    case EL_JN_OUTPUT: return el_jinja_eval(r, s, n->a, &v) && el_jtext_add_str(r, r->out, &v);
    case EL_JN_SET: return el_jinja_eval(r, s, n->b, &v) && el_jinja_assign(r, s, n->a, v);
    case EL_JN_SETBLOCK: return block_text(r, s, n->list, n->b, &v) && el_jinja_assign(r, s, n->a, v);
    case EL_JN_FILTERBLOCK: return block_text(r, s, n->list, n->b, &v) && el_jtext_add_str(r, r->out, &v);
    case EL_JN_SCOPE: return block_text(r, s, n->list, NULL, &v) && el_jtext_add_str(r, r->out, &v);
    case EL_JN_MACRO: return make_macro(r, s, n, &v) && el_jinja_bind(r, s, n->id, v);
    case EL_JN_CALLBLOCK: return run_call_block(r, s, n);
    case EL_JN_WITH: return run_with(r, s, n, flow);
    case EL_JN_IF: *flow = run_if(r, s, n); return true;
    case EL_JN_FOR:
        if (!el_jinja_eval(r, s, n->b, &v))
            return false;
        *flow = run_loop(r, s, n, v, 0);
        return true;
    case EL_JN_BREAK: *flow = FLOW_BREAK; return true;
    case EL_JN_CONTINUE: *flow = FLOW_CONTINUE; return true;
    default: return el_jinja_fail(r, "this is no statement");
    }
}

static enum flow run_list(struct el_jrun *r, struct el_jscope *s, const struct el_jnode *list)
{
    enum flow flow = FLOW_NEXT;
    for (const struct el_jnode *n = list; n && flow == FLOW_NEXT; n = n->next) {
        r->line = n->line;
        if (!el_jinja_enter(r))
            return FLOW_FAIL;
        if (!run_statement(r, s, n, &flow))
            flow = FLOW_FAIL;
        el_jinja_leave(r);
    }
    return flow;
}

/* ---- the whole ---------------------------------------------------------------------------------------------------- */

/* The members of a JSON object as variables. */
static bool fill_more(struct el_jrun *r, const char *text)
{
    struct el_jval v;
    if (!el_jinja_from_json(r, text, strlen(text), "kwargs of the chat template", &v))
        return false;
    if (v.kind != EL_J_DICT)
        return el_jinja_fail_as(r, EL_E_USAGE, "kwargs of the chat template: a %s, not a JSON object", el_jv_type(&v));
    for (uint32_t k = 0; k < v.n; k++)
        for (uint32_t i = 0; i < r->t->n_names; i++)
            if (v.u.kv[k].k.n == r->t->names[i].n && memcmp(v.u.kv[k].k.u.s, r->t->names[i].u.s, r->t->names[i].n) == 0)
                r->context[i] = v.u.kv[k].v;
    return true;
}

static bool fill_context(struct el_jrun *r, const struct el_jinja_var *vars, size_t n_vars)
{
    const struct el_jinja *const t = r->t;
    if (!(r->context = el_jinja_get(r, t->n_names, sizeof *r->context)))
        return false;
    for (uint32_t i = 0; i < t->n_names; i++) {
        r->context[i] = el_jinja_global(r, t->names[i]);
        if (r->context[i].kind == EL_J_MISSING)
            r->context[i] = el_jv_undef(t->names[i], 0);
    }
    for (size_t i = 0; i < n_vars; i++) {
        const struct el_jinja_var *const var = &vars[i];
        const uint32_t id = name_id(r, var->name);
        struct el_jval v = el_jv_none();
        /* JSON that nobody uses must be JSON all the same. */
        if (var->text && var->is_json) {
            if (!el_jinja_from_json(r, var->text, var->nbytes, var->name, &v))
                return false;
        } else if (var->text) {
            if (!el_utf8_is_valid(var->text, var->nbytes) || var->nbytes > EL_JINJA_MAX_OUTPUT)
                return el_jinja_fail(r, "'%s' is not valid UTF-8, or has more than %d bytes", var->name,
                                     (int)EL_JINJA_MAX_OUTPUT);
            v = el_jv_str(var->text, var->nbytes);
        }
        if (id != UINT32_MAX)
            r->context[id] = v;
    }
    return !r->opts->more_json || fill_more(r, r->opts->more_json);
}

enum el_status el_jinja_render(const struct el_jinja *tmpl, const struct el_jinja_var *vars, size_t n_vars,
                               const struct el_jinja_opts *opts, char **text, size_t *nbytes, struct el_err *err)
{
    static const struct el_jinja_opts none = {.has_now = false};
    struct el_jtext out;
    struct el_jrun r = {.t = tmpl, .out = &out, .opts = opts ? opts : &none, .err = err, .line = 1};
    *text = NULL;
    *nbytes = 0;
    r.arena.max_nbytes = r.texts.max_nbytes = EL_JINJA_MAX_MEMORY;
    el_jtext_init(&out, EL_JINJA_MAX_OUTPUT);
    struct el_jscope root = {.parent = NULL};
    if (fill_context(&r, vars, n_vars) && run_list(&r, &root, tmpl->body) != FLOW_FAIL) {
        *text = el_strndup(out.s ? out.s : "", out.n);
        *nbytes = *text ? out.n : 0;
        if (!*text)
            r.status =
                el_fail(err, EL_E_MEMORY, "%s: out of memory for %llu bytes of text", tmpl->what, (unsigned long long)out.n);
    }
    el_jarena_release(&r.arena);
    el_jarena_release(&r.texts);
    return r.status;
}

enum el_status el_jinja_open(const char *text, size_t nbytes, const char *what, struct el_jinja **tmpl, struct el_err *err)
{
    *tmpl = NULL;
    struct el_jinja *const t = el_calloc_array(1, sizeof *t);
    if (!t || !(t->what = el_strdup(what))) {
        el_free(t);
        return el_fail(err, EL_E_MEMORY, "%s: out of memory for a template", what);
    }
    t->arena.max_nbytes = EL_JINJA_MAX_MEMORY;
    struct el_jparser p = {.t = t, .err = err};
    p.lex.arena = &t->arena;
    p.lex.what = t->what;
    p.lex.err = err;
    enum el_status status = el_jinja_lex(&p.lex, text, nbytes);
    if (status == EL_OK)
        status = el_jinja_parse(&p);
    el_free(p.lex.tok);
    if (status == EL_OK)
        *tmpl = t;
    else
        el_jinja_close(t);
    return status;
}

void el_jinja_close(struct el_jinja *tmpl)
{
    if (!tmpl)
        return;
    el_jarena_release(&tmpl->arena);
    el_free(tmpl->what);
    el_free(tmpl);
}
