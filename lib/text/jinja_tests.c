/* Tests: what stands behind `is`. */
#include <math.h>
#include <string.h>

#include "base/utf8.h"
#include "text/jinja_impl.h"

#define TEST(name) static bool name(struct el_jrun *r, const struct el_jval *v, const struct el_jargs *a, struct el_jval *out)

/* Tests of nothing but the kind. */
#define KIND_TEST(name, cond)                                                                                                    \
    TEST(name)                                                                                                                   \
    {                                                                                                                            \
        (void)r;                                                                                                                 \
        (void)a;                                                                                                                 \
        *out = el_jv_bool(cond);                                                                                                 \
        return true;                                                                                                             \
    }

KIND_TEST(t_defined, v->kind != EL_J_UNDEF)
KIND_TEST(t_undefined, v->kind == EL_J_UNDEF)
KIND_TEST(t_none, v->kind == EL_J_NONE)
KIND_TEST(t_boolean, v->kind == EL_J_BOOL)
KIND_TEST(t_true, v->kind == EL_J_BOOL && v->u.b)
KIND_TEST(t_false, v->kind == EL_J_BOOL && !v->u.b)
KIND_TEST(t_integer, v->kind == EL_J_INT || v->kind == EL_J_BIG)
KIND_TEST(t_float, v->kind == EL_J_FLOAT)
KIND_TEST(t_number, el_jv_is_number(v))
KIND_TEST(t_string, v->kind == EL_J_STR)
KIND_TEST(t_mapping, v->kind == EL_J_DICT)
KIND_TEST(t_iterable, el_jinja_is_iterable(v) || v->kind == EL_J_LOOP)
KIND_TEST(t_escaped, v->kind == EL_J_STR && (v->flags & EL_J_SAFE))
/* It has a length and elements: an undefined value has both, for Python. */
KIND_TEST(t_sequence, v->kind == EL_J_STR || v->kind == EL_J_LIST || v->kind == EL_J_TUPLE || v->kind == EL_J_DICT ||
                          v->kind == EL_J_RANGE || v->kind == EL_J_UNDEF)
KIND_TEST(t_callable, v->kind == EL_J_MACRO || v->kind == EL_J_FN || v->kind == EL_J_METHOD || v->kind == EL_J_LOOP ||
                          v->kind == EL_J_JOINER || v->kind == EL_J_UNDEF)
KIND_TEST(t_filter, v->kind == EL_J_STR && el_jinja_filter(*v) != NULL)
KIND_TEST(t_test, v->kind == EL_J_STR && el_jinja_test(*v) != NULL)

static bool all_cased(struct el_jrun *r, const struct el_jval *v, enum el_jclass other, struct el_jval *out)
{
    struct el_jval s;
    bool any = false, all = true;
    if (!el_jv_to_str(r, v, &s) || !el_jinja_tick(r, s.n / 16))
        return false;
    for (uint32_t i = 0; all && i < s.n;) {
        uint32_t cp = 0;
        i += (uint32_t)el_utf8_decode(s.u.s + i, s.n - i, &cp);
        const bool cased = el_jinja_is_class(cp, EL_JINJA_CASED);
        any = any || cased;
        all = !cased || el_jinja_is_class(cp, other);
    }
    *out = el_jv_bool(any && all);
    return true;
}

TEST(t_lower)
{
    (void)a;
    return all_cased(r, v, EL_JINJA_IS_LOWER, out);
}

TEST(t_upper)
{
    (void)a;
    return all_cased(r, v, EL_JINJA_IS_UPPER, out);
}

static bool remainder_is(struct el_jrun *r, const struct el_jval *v, struct el_jval by, int64_t want, struct el_jval *out)
{
    struct el_jval rest;
    const struct el_jval wanted = el_jv_int(want);
    bool same;
    if (!el_jinja_binary(r, '%', v, &by, &rest) || !el_jv_equal(r, &rest, &wanted, &same))
        return false;
    *out = el_jv_bool(same);
    return true;
}

TEST(t_odd)
{
    (void)a;
    return remainder_is(r, v, el_jv_int(2), 1, out);
}

TEST(t_even)
{
    (void)a;
    return remainder_is(r, v, el_jv_int(2), 0, out);
}

TEST(t_divisibleby)
{
    return remainder_is(r, v, a->v[0], 0, out);
}

TEST(t_sameas)
{
    const struct el_jval *const w = &a->v[0];
    bool same = v->kind == w->kind && v->n == w->n;
    if (same && v->kind != EL_J_NONE && v->kind != EL_J_UNDEF)
        same = v->kind == EL_J_BOOL ? v->u.b == w->u.b : v->kind == EL_J_FLOAT ? v->u.d == w->u.d : v->u.i == w->u.i;
    if (v->kind == EL_J_STR && v->n == w->n && w->kind == EL_J_STR)
        same = memcmp(v->u.s, w->u.s, v->n) == 0 && (v->n <= 1 || v->u.s == w->u.s);
    (void)r;
    *out = el_jv_bool(same);
    return true;
}

static bool relation(struct el_jrun *r, uint16_t op, const struct el_jval *v, const struct el_jargs *a, struct el_jval *out)
{
    bool holds;
    if (!el_jinja_relation(r, op, v, &a->v[0], &holds))
        return false;
    *out = el_jv_bool(holds);
    return true;
}

#define RELATION_TEST(name, op)                                                                                                  \
    TEST(name)                                                                                                                   \
    {                                                                                                                            \
        return relation(r, op, v, a, out);                                                                                       \
    }

RELATION_TEST(t_in, EL_JOP_IN)
RELATION_TEST(t_eq, EL_JOP2('=', '='))
RELATION_TEST(t_ne, EL_JOP2('!', '='))
RELATION_TEST(t_lt, '<')
RELATION_TEST(t_le, EL_JOP2('<', '='))
RELATION_TEST(t_gt, '>')
RELATION_TEST(t_ge, EL_JOP2('>', '='))

const struct el_jdef *el_jinja_test(struct el_jval name)
{
    static const struct el_jdef table[] = {
        {"!=", t_ne, "other", 1},
        {"<", t_lt, "other", 1},
        {"<=", t_le, "other", 1},
        {"==", t_eq, "other", 1},
        {">", t_gt, "other", 1},
        {">=", t_ge, "other", 1},
        {"boolean", t_boolean, "", 0},
        {"callable", t_callable, "", 0},
        {"defined", t_defined, "", 0},
        {"divisibleby", t_divisibleby, "num", 1},
        {"eq", t_eq, "other", 1},
        {"equalto", t_eq, "other", 1},
        {"escaped", t_escaped, "", 0},
        {"even", t_even, "", 0},
        {"false", t_false, "", 0},
        {"filter", t_filter, "", 0},
        {"float", t_float, "", 0},
        {"ge", t_ge, "other", 1},
        {"greaterthan", t_gt, "other", 1},
        {"gt", t_gt, "other", 1},
        {"in", t_in, "seq", 1},
        {"integer", t_integer, "", 0},
        {"iterable", t_iterable, "", 0},
        {"le", t_le, "other", 1},
        {"lessthan", t_lt, "other", 1},
        {"lower", t_lower, "", 0},
        {"lt", t_lt, "other", 1},
        {"mapping", t_mapping, "", 0},
        {"ne", t_ne, "other", 1},
        {"none", t_none, "", 0},
        {"number", t_number, "", 0},
        {"odd", t_odd, "", 0},
        {"sameas", t_sameas, "other", 1},
        {"sequence", t_sequence, "", 0},
        {"string", t_string, "", 0},
        {"test", t_test, "", 0},
        {"true", t_true, "", 0},
        {"undefined", t_undefined, "", 0},
        {"upper", t_upper, "", 0},
    };
    return el_jinja_find_def(table, sizeof table / sizeof table[0], name);
}
