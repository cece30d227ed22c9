/* anyOf and oneOf, enum and const: values of one kind or another. */
#include <string.h>

#include "text/json_schema.h"

/* ---- may one value satisfy both of two schemas? ---- */

enum { MAX_APART_DEPTH = 3 }; /* each level looks at all pairs of members */

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
static bool values_meet(const struct el_js *js, const struct el_js_list *a, const struct el_js_list *b, bool *known)
{
    uint32_t i = 0, k = 0;
    const struct el_json *x = el_js_keyword(a, "const", &i), *y = el_js_keyword(b, "const", &k);
    i = k = 0;
    const struct el_json *const xs = x ? NULL : el_js_keyword(a, "enum", &i), *const ys = y ? NULL : el_js_keyword(b, "enum", &k);
    *known = (x || xs) && (y || ys);
    for (x = x ? x : el_json_first(xs); *known && x; x = xs ? el_json_next(x) : NULL) {
        if (!ys && el_js_equal(js, x, y))
            return true;
        for (const struct el_json *v = el_json_first(ys); v; v = el_json_next(v))
            if (el_js_equal(js, x, v))
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
    const uint64_t n_a = el_js_size(a, "required"), n_b = el_js_size(b, "required"), n_props = el_js_size(b, "properties");
    uint32_t i = 0;
    EL_TRY(el_js_work(js, n_a * (n_props + b->n) + el_js_size(a, "properties") * (n_a + n_b + n_props)));
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
    const bool meet = values_meet(js, a, b, &known);
    EL_TRY(el_js_work(js, 16 * (uint64_t)(a->n + b->n)));
    *apart = known && !meet;
    if (both != EL_JS_OBJECT)
        return EL_OK;
    if (!*apart)
        EL_TRY(members_apart(js, a, b, depth, apart));
    return *apart ? EL_OK : members_apart(js, b, a, depth, apart);
}

/* Is no member of this name ever written for the list? A union within it might have one. */
static bool never_written(const struct el_js_list *list, const char *name)
{
    bool listed_any = false;
    for (uint32_t i = 0; i < list->n; i++) {
        const struct el_js_item *const item = &list->items[i];
        const struct el_json *const extra = el_json_get(item->node, "additionalProperties");
        const struct el_json *const properties = el_json_get(item->node, "properties");
        if ((extra && !(el_json_is(extra, EL_JSON_BOOL) && !el_json_bool(extra))) || el_json_get(properties, name) ||
            (el_json_get(item->node, "anyOf") && !(item->skip & EL_JS_NO_ANY)) ||
            (el_json_get(item->node, "oneOf") && !(item->skip & EL_JS_NO_ONE)))
            return false;
        listed_any |= el_json_count(properties) > 0;
    }
    return listed_any && !required(list, name);
}

/*
 * Members that a schema does not name are not written, though it may allow them. So no text of `written` satisfies `other` where
 * that requires one of those.
 */
static enum el_status lacks_a_member(const struct el_js *js, const struct el_js_list *written, const struct el_js_list *other,
                                     bool *lacks)
{
    const struct el_json *v;
    unsigned types;
    EL_TRY(el_js_types(js, written, &types));
    EL_TRY(el_js_work(js, el_js_size(other, "required") * (el_js_size(written, "properties") + el_js_size(written, "required"))));
    for (uint32_t i = 0; types == EL_JS_OBJECT && !*lacks && (v = el_js_keyword(other, "required", &i));)
        for (const struct el_json *r = el_json_first(v); r && !*lacks; r = el_json_next(r))
            *lacks = el_json_is(r, EL_JSON_STR) && never_written(written, el_json_str(r));
    return EL_OK;
}

/* Two branches beside the rest of the list: is no text of either right for the other? */
static enum el_status are_written_apart(struct el_js *js, const struct el_js_list *rest, const struct el_json *v,
                                        const struct el_json *w, bool *apart)
{
    struct el_js_list one = {.n = 0}, two = {.n = 0}, with_one = *rest, with_two = *rest;
    bool lacks[2] = {false, false};
    with_one.n_refs = with_two.n_refs = 0;
    EL_TRY(el_js_add(js, &one, v, 0));
    EL_TRY(el_js_add(js, &two, w, 0));
    EL_TRY(are_apart(js, &one, &two, 0, apart));
    if (*apart)
        return EL_OK;
    EL_TRY(el_js_add(js, &with_one, v, 0));
    EL_TRY(el_js_add(js, &with_two, w, 0));
    EL_TRY(lacks_a_member(js, &with_one, &two, &lacks[0]));
    EL_TRY(lacks_a_member(js, &with_two, &one, &lacks[1]));
    *apart = lacks[0] && lacks[1];
    return EL_OK;
}

/* rest: the list, whose item with this oneOf is marked so. */
static enum el_status check_one_of(struct el_js *js, const struct el_js_list *rest, const struct el_json *branches)
{
    size_t i = 0;
    for (const struct el_json *v = el_json_first(branches); v; v = el_json_next(v), i++) {
        size_t k = i + 1;
        for (const struct el_json *w = el_json_next(v); w; w = el_json_next(w), k++) {
            bool apart = false;
            EL_TRY(are_written_apart(js, rest, v, w, &apart));
            if (!apart)
                return el_js_fail(
                    js, EL_E_UNSUPPORTED, branches,
                    "branches %zu and %zu may hold at once, which oneOf forbids; write anyOf, or tell them apart by "
                    "type, by a required member with const or enum, or by members that each requires and the other "
                    "has not",
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
    if (one) {
        struct el_js_list rest = *list;
        rest.items[i].skip |= EL_JS_NO_ONE;
        EL_TRY(check_one_of(js, &rest, branches));
    }
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

/* v stands in the enum or const of item `own`. */
static bool allowed_by(const struct el_js *js, const struct el_js_list *list, uint32_t own, const struct el_json *v)
{
    for (uint32_t i = 0; i < list->n; i++) {
        const struct el_json *const value = el_json_get(list->items[i].node, "const");
        const struct el_json *const values = el_json_get(list->items[i].node, "enum");
        bool in = !values || (i == own && !value);
        for (const struct el_json *w = el_json_first(values); w && !in; w = el_json_next(w))
            in = el_js_equal(js, v, w);
        if (!in || (value && !el_js_equal(js, v, value)))
            return false;
    }
    return true;
}

/* Whether a value that is no string is one that the other keywords allow. Of objects and arrays that is a validator's work. */
static enum el_status fits_others(const struct el_js *js, const struct el_js_list *list, const struct el_json *v, bool *fits)
{
    const unsigned type = el_js_type_of(v);
    *fits = true;
    for (uint32_t i = 0; type & (EL_JS_OBJECT | EL_JS_ARRAY) && i < list->n; i++)
        for (const struct el_json *k = el_json_first(list->items[i].node); k; k = el_json_next(k))
            if (el_js_speaks_of(el_json_key(k)) & type)
                return el_js_fail(js, EL_E_UNSUPPORTED, list->items[i].node,
                                  "keyword '%.64s' together with a list or an object in enum or const", el_json_key(k));
    return type & (EL_JS_INTEGER | EL_JS_FRACTION) ? el_js_number_fits(js, list, v, fits) : EL_OK;
}

/* values gets those (const struct el_json *) of one enum or const, all that there can be, that everything else allows. */
static enum el_status collect_values(const struct el_js *js, const struct el_js_list *list, unsigned types, struct el_buf *values)
{
    uint32_t i = 0;
    while (!el_json_get(list->items[i].node, "const") && !el_json_get(list->items[i].node, "enum"))
        i++;
    const struct el_json *const value = el_json_get(list->items[i].node, "const");
    const struct el_json *v = value ? value : el_json_first(el_json_get(list->items[i].node, "enum"));
    for (; v; v = value ? NULL : el_json_next(v)) {
        bool fits;
        EL_TRY(el_js_work(js, 16 * list->n));
        if (!(types & el_js_type_of(v)) || !allowed_by(js, list, i, v))
            continue;
        EL_TRY(fits_others(js, list, v, &fits));
        if (fits)
            el_buf_add(values, &v, sizeof v);
    }
    if (values->failed)
        return el_fail(js->err, EL_E_MEMORY, "%s: out of memory", js->what);
    return el_js_keep_strings(js, list, values);
}

enum el_status el_js_values(struct el_js *js, const struct el_js_list *list, unsigned types, struct el_buf *body, bool *never)
{
    struct el_buf values;
    el_buf_init(&values);
    const enum el_status status = collect_values(js, list, types, &values);
    const struct el_json *const *const v = (const struct el_json *const *)(const void *)values.data;
    const size_t n = status == EL_OK ? values.nbytes / sizeof *v : 0;
    for (size_t i = 0; i < n; i++) {
        if (i > 0)
            el_buf_add_str(body, " | ");
        write_value(js, v[i], body);
    }
    *never = n == 0;
    el_buf_release(&values);
    return status;
}
