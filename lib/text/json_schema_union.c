/* anyOf and oneOf, enum and const: values of one kind or another. */
#include <math.h>
#include <string.h>

#include "text/json_schema.h"

/* ---- may one value satisfy both of two schemas? ---- */

enum { MAX_APART_DEPTH = 8 };

static bool required(const struct el_js_list *list, const char *name)
{
    const struct el_json *v;
    uint32_t i = 0;
    while ((v = el_js_keyword(list, "required", &i)))
        for (const struct el_json *r = el_json_first(v); r; r = el_json_next(r))
            if (el_json_is(r, EL_JSON_STR) && strcmp(el_json_str(r), name) == 0)
                return true;
    return false;
}

/* Is a member of this name forbidden by additionalProperties: false? */
static bool forbidden(const struct el_js_list *list, const char *name)
{
    for (uint32_t i = 0; i < list->n; i++) {
        const struct el_json *const extra = el_json_get(list->items[i].node, "additionalProperties");
        if (el_json_is(extra, EL_JSON_BOOL) && !el_json_bool(extra) &&
            !el_json_get(el_json_get(list->items[i].node, "properties"), name))
            return true;
    }
    return false;
}

/* What the lists say of a value by enum and const: all values of one that the other allows too. */
static bool values_meet(const struct el_js_list *a, const struct el_js_list *b, bool *known)
{
    uint32_t i = 0, k = 0;
    const struct el_json *x = el_js_keyword(a, "const", &i), *y = el_js_keyword(b, "const", &k);
    i = k = 0;
    const struct el_json *const xs = x ? NULL : el_js_keyword(a, "enum", &i), *const ys = y ? NULL : el_js_keyword(b, "enum", &k);
    *known = (x || xs) && (y || ys);
    for (x = x ? x : el_json_first(xs); *known && x; x = xs ? el_json_next(x) : NULL) {
        if (!ys && el_js_equal(x, y))
            return true;
        for (const struct el_json *v = el_json_first(ys); v; v = el_json_next(v))
            if (el_js_equal(x, v))
                return true;
    }
    return false;
}

static enum el_status are_apart(struct el_js *js, const struct el_js_list *a, const struct el_js_list *b, unsigned depth,
                                bool *apart);

/* One side requires a member, and what it may be there it may not be on the other side. */
static enum el_status members_apart(struct el_js *js, const struct el_js_list *a, const struct el_js_list *b, unsigned depth,
                                    bool *apart)
{
    const struct el_json *v;
    uint32_t i = 0;
    while (!*apart && (v = el_js_keyword(a, "required", &i)))
        for (const struct el_json *r = el_json_first(v); r && !*apart; r = el_json_next(r))
            *apart = el_json_is(r, EL_JSON_STR) && forbidden(b, el_json_str(r));
    i = 0;
    while (!*apart && (v = el_js_keyword(a, "properties", &i))) {
        for (const struct el_json *p = el_json_first(v); p && !*apart; p = el_json_next(p)) {
            uint32_t k = 0;
            const struct el_json *const other_props = el_js_keyword(b, "properties", &k);
            const struct el_json *const other = el_json_get(other_props, el_json_key(p));
            if (!other || !(required(a, el_json_key(p)) || required(b, el_json_key(p))))
                continue;
            struct el_js_list x = {.n = 0}, y = {.n = 0};
            EL_TRY(el_js_add(js, &x, p, 0));
            EL_TRY(el_js_add(js, &y, other, 0));
            EL_TRY(are_apart(js, &x, &y, depth + 1, apart));
        }
    }
    return EL_OK;
}

static enum el_status are_apart(struct el_js *js, const struct el_js_list *a, const struct el_js_list *b, unsigned depth,
                                bool *apart)
{
    unsigned types_a, types_b;
    bool known;
    EL_TRY(el_js_types(js, a, &types_a));
    EL_TRY(el_js_types(js, b, &types_b));
    const unsigned both = types_a & types_b;
    *apart = both == 0;
    if (*apart || depth > MAX_APART_DEPTH)
        return EL_OK;
    const bool meet = values_meet(a, b, &known);
    *apart = known && !meet;
    if (both != EL_JS_OBJECT)
        return EL_OK;
    if (!*apart)
        EL_TRY(members_apart(js, a, b, depth, apart));
    return *apart ? EL_OK : members_apart(js, b, a, depth, apart);
}

static enum el_status check_one_of(struct el_js *js, const struct el_json *branches)
{
    size_t i = 0;
    for (const struct el_json *v = el_json_first(branches); v; v = el_json_next(v), i++) {
        size_t k = i + 1;
        for (const struct el_json *w = el_json_next(v); w; w = el_json_next(w), k++) {
            struct el_js_list a = {.n = 0}, b = {.n = 0};
            bool apart = false;
            EL_TRY(el_js_add(js, &a, v, 0));
            EL_TRY(el_js_add(js, &b, w, 0));
            EL_TRY(are_apart(js, &a, &b, 0, &apart));
            if (!apart)
                return el_js_fail(
                    js, EL_E_UNSUPPORTED, branches,
                    "branches %zu and %zu may hold at once, which oneOf forbids; write anyOf, or tell them apart by "
                    "type, by a required member with const or enum, or by additionalProperties: false",
                    i, k);
        }
    }
    return EL_OK;
}

/* ---- unions ---- */

enum el_status el_js_union(struct el_js *js, const struct el_js_list *list, uint32_t i, const char *key, const char *hint,
                           struct el_buf *body, bool *never)
{
    const struct el_json *const branches = el_json_get(list->items[i].node, key);
    const bool one = strcmp(key, "oneOf") == 0;
    if (!el_json_is(branches, EL_JSON_ARRAY) || el_json_count(branches) == 0)
        return el_js_fail(js, EL_E_FORMAT, branches, "expected a list of schemas");
    if (one)
        EL_TRY(check_one_of(js, branches));
    *never = true;
    for (const struct el_json *v = el_json_first(branches); v; v = el_json_next(v)) {
        struct el_js_list together = *list;
        char name[48];
        bool none;
        together.n_refs = 0;
        together.items[i].skip |= one ? EL_JS_NO_ONE : EL_JS_NO_ANY;
        EL_TRY(el_js_add(js, &together, v, 0));
        EL_TRY(el_js_rule_of(js, &together, hint, name, &none));
        if (none)
            continue;
        el_buf_addf(body, "%s%s", *never ? "" : " | ", name);
        *never = false;
    }
    return EL_OK;
}

/* ---- values ---- */

/* A value as GBNF, with the white space that is allowed everywhere. */
static void write_value(struct el_js *js, const struct el_json *v, struct el_buf *body)
{
    const bool object = el_json_is(v, EL_JSON_OBJECT);
    int64_t n;
    switch (el_json_type(v)) {
    case EL_JSON_NULL: el_buf_add_str(body, "\"null\""); break;
    case EL_JSON_BOOL: el_buf_add_str(body, el_json_bool(v) ? "\"true\"" : "\"false\""); break;
    case EL_JSON_NUMBER:
        if (el_json_int(v, &n))
            el_buf_addf(body, "\"%lld\"", (long long)n);
        else
            el_buf_addf(body, "\"%.17g\"", el_json_num(v));
        break;
    case EL_JSON_STR: el_js_quoted(body, el_json_str(v)); break;
    case EL_JSON_ARRAY:
    case EL_JSON_OBJECT:
        el_buf_add_str(body, object ? "\"{\" " : "\"[\" ");
        el_js_use(js, "space", body);
        for (const struct el_json *e = el_json_first(v); e; e = el_json_next(e)) {
            el_buf_add_str(body, " ");
            if (object) {
                el_js_quoted(body, el_json_key(e));
                el_buf_add_str(body, " \":\" space ");
            }
            write_value(js, e, body);
            el_buf_add_str(body, el_json_next(e) ? " \",\" space" : " space");
        }
        el_buf_add_str(body, object ? " \"}\"" : " \"]\"");
        break;
    }
}

static bool allowed_by(const struct el_js_list *list, const struct el_json *v)
{
    for (uint32_t i = 0; i < list->n; i++) {
        const struct el_json *const value = el_json_get(list->items[i].node, "const");
        const struct el_json *const values = el_json_get(list->items[i].node, "enum");
        bool in = !values;
        for (const struct el_json *w = el_json_first(values); w && !in; w = el_json_next(w))
            in = el_js_equal(v, w);
        if (!in || (value && !el_js_equal(v, value)))
            return false;
    }
    return true;
}

static unsigned value_type(const struct el_json *v)
{
    static const unsigned types[] = {[EL_JSON_NULL] = EL_JS_NULL,
                                     [EL_JSON_BOOL] = EL_JS_BOOL,
                                     [EL_JSON_STR] = EL_JS_STRING,
                                     [EL_JSON_ARRAY] = EL_JS_ARRAY,
                                     [EL_JSON_OBJECT] = EL_JS_OBJECT};
    if (el_json_type(v) != EL_JSON_NUMBER)
        return types[el_json_type(v)];
    return el_json_num(v) == floor(el_json_num(v)) ? EL_JS_INTEGER : EL_JS_FRACTION;
}

/* A listed value would have to be tested against any other keyword, which is a validator's work. */
static enum el_status refuse_others(const struct el_js *js, const struct el_js_list *list)
{
    static const char *const fine[] = {"type",     "nullable",   "enum",     "const",       "$ref",    "allOf",
                                       "anyOf",    "oneOf",      "title",    "description", "default", "example",
                                       "examples", "deprecated", "readOnly", "writeOnly",   "$defs",   "definitions",
                                       "$schema",  "$id",        "id",       "$comment",    "$anchor", "$vocabulary"};
    for (uint32_t i = 0; i < list->n; i++) {
        for (const struct el_json *v = el_json_first(list->items[i].node); v; v = el_json_next(v)) {
            bool ok = strncmp(el_json_key(v), "x-", 2) == 0;
            for (size_t k = 0; k < sizeof fine / sizeof fine[0] && !ok; k++)
                ok = strcmp(fine[k], el_json_key(v)) == 0;
            if (!ok)
                return el_js_fail(js, EL_E_UNSUPPORTED, list->items[i].node, "keyword '%.64s' together with enum or const",
                                  el_json_key(v));
        }
    }
    return EL_OK;
}

enum el_status el_js_values(struct el_js *js, const struct el_js_list *list, unsigned types, struct el_buf *body, bool *never)
{
    EL_TRY(refuse_others(js, list));
    *never = true;
    for (uint32_t i = 0; i < list->n; i++) {
        const struct el_json *const value = el_json_get(list->items[i].node, "const");
        const struct el_json *const values = el_json_get(list->items[i].node, "enum");
        if (!value && !values)
            continue;
        for (const struct el_json *v = value ? value : el_json_first(values); v; v = value ? NULL : el_json_next(v)) {
            if (!(types & value_type(v)) || !allowed_by(list, v))
                continue;
            if (!*never)
                el_buf_add_str(body, " | ");
            write_value(js, v, body);
            *never = false;
        }
        break; /* the values of one of them are all that there can be */
    }
    return EL_OK;
}
