/* The walk through a schema: which keywords there are, what holds together, which rule is whose. */
#include "text/json_schema.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/strmap.h"

/* ---- messages ---- */

/* Appends the JSON pointer of node below `at`; false when it is not there. */
static bool find_path(const struct el_json *at, const struct el_json *node, struct el_buf *path)
{
    if (at == node)
        return true;
    const size_t before = path->nbytes;
    size_t i = 0;
    for (const struct el_json *v = el_json_first(at); v; v = el_json_next(v), i++) {
        el_buf_add_byte(path, '/');
        if (el_json_type(at) == EL_JSON_ARRAY)
            el_buf_addf(path, "%zu", i);
        else
            el_buf_add_str(path, el_json_key(v));
        if (find_path(v, node, path))
            return true;
        path->nbytes = before;
    }
    return false;
}

enum el_status el_js_fail(const struct el_js *js, enum el_status status, const struct el_json *node, const char *fmt, ...)
{
    char message[300];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(message, sizeof message, fmt, args);
    va_end(args);
    struct el_buf path;
    el_buf_init(&path);
    (void)find_path(js->root, node, &path);
    const int n = path.nbytes > 160 ? 160 : (int)path.nbytes;
    (void)el_fail(js->err, status, "%s: '#%.*s': %s", js->what, n, path.data, message);
    el_buf_release(&path);
    return status;
}

static enum el_status no_memory(const struct el_js *js)
{
    return el_fail(js->err, EL_E_MEMORY, "%s: out of memory", js->what);
}

enum el_status el_js_work(const struct el_js *js, uint64_t n)
{
    *js->steps += n;
    if (*js->steps <= EL_MAX_SCHEMA_STEPS)
        return EL_OK;
    return el_fail(js->err, EL_E_UNSUPPORTED,
                   "%s: takes more than %d steps to become a grammar: too many names, values or branches", js->what,
                   EL_MAX_SCHEMA_STEPS);
}

/* ---- keywords ---- */

enum keyword_kind { NOTHING, HANDLED, OF_OBJECT, OF_ARRAY, OF_STRING, OF_NUMBER, REFUSED };
struct keyword {
    const char *name;
    enum keyword_kind kind;
};
static const struct keyword keywords[] = {
    {"type", HANDLED},
    {"enum", HANDLED},
    {"const", HANDLED},
    {"nullable", HANDLED},
    {"$ref", HANDLED},
    {"allOf", HANDLED},
    {"anyOf", HANDLED},
    {"oneOf", HANDLED},
    {"properties", OF_OBJECT},
    {"required", OF_OBJECT},
    {"additionalProperties", OF_OBJECT},
    {"unevaluatedProperties", OF_OBJECT},
    {"minProperties", OF_OBJECT},
    {"maxProperties", OF_OBJECT},
    {"propertyNames", OF_OBJECT},
    {"items", OF_ARRAY},
    {"prefixItems", OF_ARRAY},
    {"additionalItems", OF_ARRAY},
    {"unevaluatedItems", OF_ARRAY},
    {"minItems", OF_ARRAY},
    {"maxItems", OF_ARRAY},
    {"uniqueItems", OF_ARRAY},
    {"minLength", OF_STRING},
    {"maxLength", OF_STRING},
    {"pattern", OF_STRING},
    {"format", OF_STRING},
    {"minimum", OF_NUMBER},
    {"maximum", OF_NUMBER},
    {"exclusiveMinimum", OF_NUMBER},
    {"exclusiveMaximum", OF_NUMBER},
    {"multipleOf", OF_NUMBER},
    {"$schema", NOTHING},
    {"$id", NOTHING},
    {"id", NOTHING},
    {"$comment", NOTHING},
    {"$defs", NOTHING},
    {"definitions", NOTHING},
    {"$anchor", NOTHING},
    {"$vocabulary", NOTHING},
    {"title", NOTHING},
    {"description", NOTHING},
    {"default", NOTHING},
    {"example", NOTHING},
    {"examples", NOTHING},
    {"deprecated", NOTHING},
    {"readOnly", NOTHING},
    {"writeOnly", NOTHING},
    {"contentEncoding", NOTHING},
    {"contentMediaType", NOTHING},
    {"contentSchema", NOTHING},
    {"discriminator", NOTHING},
    {"externalDocs", NOTHING},
    {"xml", NOTHING},
    {"markdownDescription", NOTHING},
    {"deprecationMessage", NOTHING},
    {"enumNames", NOTHING},
    {"enumDescriptions", NOTHING},
    {"propertyOrdering", NOTHING},
    {"not", REFUSED},
    {"if", REFUSED},
    {"then", REFUSED},
    {"else", REFUSED},
    {"dependentRequired", REFUSED},
    {"dependentSchemas", REFUSED},
    {"dependencies", REFUSED},
    {"patternProperties", REFUSED},
    {"contains", REFUSED},
    {"minContains", REFUSED},
    {"maxContains", REFUSED},
    {"$dynamicRef", REFUSED},
    {"$dynamicAnchor", REFUSED},
    {"$recursiveRef", REFUSED},
    {"$recursiveAnchor", REFUSED},
};

static const struct keyword *find_keyword(const char *name)
{
    for (size_t i = 0; i < sizeof keywords / sizeof keywords[0]; i++)
        if (strcmp(keywords[i].name, name) == 0)
            return &keywords[i];
    return NULL;
}

/* {"not": {}} and {"not": true}: what generators write for "never". */
static bool excludes_all(const struct el_json *node)
{
    const struct el_json *const v = el_json_get(node, "not");
    return v && (el_json_is(v, EL_JSON_OBJECT) ? el_json_count(v) == 0 : el_json_bool(v));
}

/* A keyword that has no translation in general, with a value that needs none. */
static bool restricts_nothing(const struct el_json *v)
{
    static const char *const lists[] = {"patternProperties", "dependentRequired", "dependentSchemas", "dependencies"};
    const char *const name = el_json_key(v);
    if (strcmp(name, "not") == 0)
        return el_json_is(v, EL_JSON_BOOL) || (el_json_is(v, EL_JSON_OBJECT) && el_json_count(v) == 0); /* see excludes_all */
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++)
        if (strcmp(name, lists[i]) == 0)
            return el_json_is(v, EL_JSON_OBJECT) && el_json_count(v) == 0;
    return false;
}

/* A schema in the wrapping of an API's request. */
static enum el_status unknown_keyword(const struct el_js *js, const struct el_json *node, const char *name)
{
    static const char *const wrapping[] = {"schema", "json_schema", "parameters", "input_schema", "function"};
    for (size_t i = 0; node == js->root && i < sizeof wrapping / sizeof wrapping[0]; i++)
        if (el_json_is(el_json_get(node, wrapping[i]), EL_JSON_OBJECT))
            return el_js_fail(js, EL_E_UNSUPPORTED, node, "keyword '%.64s' is not known; is the schema what stands at '%s'?",
                              name, wrapping[i]);
    return el_js_fail(js, EL_E_UNSUPPORTED, node, "keyword '%.64s' is not known", name);
}

static enum el_status check_keywords(const struct el_js *js, const struct el_json *node)
{
    for (const struct el_json *v = el_json_first(node); v; v = el_json_next(v)) {
        const char *const name = el_json_key(v);
        if (strncmp(name, "x-", 2) == 0)
            continue;
        const struct keyword *const k = find_keyword(name);
        if (!k)
            return unknown_keyword(js, node, name);
        if (k->kind == REFUSED && !restricts_nothing(v))
            return el_js_fail(js, EL_E_UNSUPPORTED, node, "keyword '%s' cannot be made into a grammar", name);
    }
    return EL_OK;
}

const struct el_json *el_js_keyword(const struct el_js_list *list, const char *key, uint32_t *i)
{
    while (*i < list->n) {
        const struct el_json *const v = el_json_get(list->items[(*i)++].node, key);
        if (v)
            return v;
    }
    return NULL;
}

uint64_t el_js_size(const struct el_js_list *list, const char *key)
{
    const struct el_json *v;
    uint64_t n = 0;
    for (uint32_t i = 0; (v = el_js_keyword(list, key, &i));)
        n += el_json_count(v);
    return n;
}

enum el_status el_js_count(const struct el_js *js, const struct el_js_list *list, const char *key, bool largest, uint32_t *value)
{
    const struct el_json *v;
    uint32_t i = 0;
    bool any = false;
    while ((v = el_js_keyword(list, key, &i))) {
        int64_t n;
        if (!el_json_int(v, &n) || n < 0)
            return el_js_fail(js, EL_E_FORMAT, v, "expected a whole number from 0 on");
        const uint32_t c = n > UINT32_MAX - 1 ? UINT32_MAX - 1 : (uint32_t)n;
        if (!any || (largest ? c > *value : c < *value))
            *value = c;
        any = true;
    }
    return EL_OK;
}

bool el_js_equal(const struct el_js *js, const struct el_json *a, const struct el_json *b)
{
    uint64_t n;
    if (el_json_type(a) != el_json_type(b) || (*js->steps += 4) > EL_MAX_SCHEMA_STEPS)
        return false;
    switch (el_json_type(a)) {
    case EL_JSON_NULL: return true;
    case EL_JSON_BOOL: return el_json_bool(a) == el_json_bool(b);
    case EL_JSON_NUMBER: return el_json_num(a) == el_json_num(b);
    case EL_JSON_STR: return strcmp(el_json_str(a), el_json_str(b)) == 0;
    case EL_JSON_ARRAY:
        a = el_json_first(a);
        b = el_json_first(b);
        for (; a && b; a = el_json_next(a), b = el_json_next(b))
            if (!el_js_equal(js, a, b))
                return false;
        return !a && !b;
    case EL_JSON_OBJECT:
        n = el_json_count(a);
        *js->steps += n;
        if (n != el_json_count(b))
            return false;
        for (const struct el_json *v = el_json_first(a); v; v = el_json_next(v)) {
            const struct el_json *const w = el_json_get(b, el_json_key(v));
            *js->steps += n;
            if (!w || !el_js_equal(js, v, w))
                return false;
        }
        return true;
    }
    return false;
}

/* ---- references ---- */

/* One step of a JSON pointer (RFC 6901), within a URI fragment: ~0 ~1 and %XX are escapes. *p ends up behind it. */
static bool next_key(const char **p, struct el_buf *key)
{
    el_buf_reset(key);
    const char *s = *p + 1;
    for (; *s && *s != '/'; s++) {
        if (*s == '~' && (s[1] == '0' || s[1] == '1')) {
            el_buf_add_byte(key, *++s == '0' ? '~' : '/');
        } else if (*s == '%') {
            unsigned byte = 0;
            for (int i = 0; i < 2; i++) {
                const char c = *++s;
                const int digit = c >= '0' && c <= '9'   ? c - '0'
                                  : c >= 'a' && c <= 'f' ? c - 'a' + 10
                                  : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                                         : -1;
                if (digit < 0)
                    return false;
                byte = byte << 4 | (unsigned)digit;
            }
            el_buf_add_byte(key, (uint8_t)byte);
        } else
            el_buf_add_byte(key, (uint8_t)*s);
    }
    *p = s;
    return !key->failed;
}

static const struct el_json *element(const struct el_json *array, const char *key)
{
    const struct el_json *v = el_json_first(array);
    size_t i = 0;
    if (!*key || strlen(key) > 9 || strspn(key, "0123456789") != strlen(key))
        return NULL;
    for (const char *c = key; *c; c++)
        i = i * 10 + (size_t)(*c - '0');
    while (v && i-- > 0)
        v = el_json_next(v);
    return v;
}

static enum el_status resolve(const struct el_js *js, const struct el_json *ref, const struct el_json **target)
{
    const char *const text = el_json_str(ref);
    if (!text)
        return el_js_fail(js, EL_E_FORMAT, ref, "expected a string");
    if (text[0] != '#' || (text[1] && text[1] != '/'))
        return el_js_fail(js, EL_E_UNSUPPORTED, ref, "found '%.100s', expected a place in this schema: '#/$defs/...'", text);
    const struct el_json *v = js->root;
    struct el_buf key;
    el_buf_init(&key);
    bool valid = true;
    for (const char *p = text + 1; *p && v && valid;) {
        valid = next_key(&p, &key);
        v = el_json_type(v) == EL_JSON_ARRAY ? element(v, key.data) : el_json_get(v, key.data);
    }
    const bool failed = key.failed;
    el_buf_release(&key);
    if (failed)
        return no_memory(js);
    if (!v || !valid)
        return el_js_fail(js, EL_E_FORMAT, ref, "'%.100s' is not in this schema", text);
    *target = v;
    return EL_OK;
}

/* ---- lists ---- */

static bool has_item(const struct el_js_list *list, struct el_js_item item)
{
    for (uint32_t i = 0; i < list->n; i++)
        if (list->items[i].node == item.node && list->items[i].skip == item.skip)
            return true;
    return false;
}

/* Does it say more than what it refers to? */
static bool says_something(const struct el_json *node)
{
    for (const struct el_json *v = el_json_first(node); v; v = el_json_next(v)) {
        const struct keyword *const k = find_keyword(el_json_key(v));
        if (k && k->kind != NOTHING && strcmp(k->name, "$ref") != 0 && strcmp(k->name, "allOf") != 0)
            return true;
    }
    return false;
}

enum el_status el_js_add(struct el_js *js, struct el_js_list *list, const struct el_json *node, uint64_t skip)
{
    if (el_json_is(node, EL_JSON_BOOL)) {
        list->never |= !el_json_bool(node);
        return EL_OK;
    }
    if (!el_json_is(node, EL_JSON_OBJECT))
        return el_js_fail(js, EL_E_FORMAT, node, "expected a schema: an object, true or false");
    const struct el_js_item item = {node, skip};
    if (has_item(list, item))
        return EL_OK;
    EL_TRY(el_js_work(js, list->n + 1 + 16 * el_json_count(node)));
    EL_TRY(check_keywords(js, node));
    list->never |= excludes_all(node);
    if (list->n == EL_MAX_SCHEMA_TOGETHER)
        return el_js_fail(js, EL_E_UNSUPPORTED, node, "more than %d schemas for one value", EL_MAX_SCHEMA_TOGETHER);
    if (says_something(node)) /* so that a value and a reference to it are one and the same rule */
        list->items[list->n++] = item;
    const struct el_json *const ref = el_json_get(node, "$ref"), *const all = el_json_get(node, "allOf");
    if (ref) {
        const struct el_json *target = NULL;
        if (++list->n_refs > EL_MAX_SCHEMA_TOGETHER)
            return el_js_fail(js, EL_E_FORMAT, ref, "more than %d references for one value, or one that leads back to itself",
                              EL_MAX_SCHEMA_TOGETHER);
        EL_TRY(resolve(js, ref, &target));
        EL_TRY(el_js_add(js, list, target, 0));
    }
    if (all && (!el_json_is(all, EL_JSON_ARRAY) || el_json_count(all) == 0))
        return el_js_fail(js, EL_E_FORMAT, all, "expected a list of schemas");
    for (const struct el_json *v = el_json_first(all); v; v = el_json_next(v))
        EL_TRY(el_js_add(js, list, v, 0));
    return EL_OK;
}

/* ---- types ---- */

static unsigned type_named(const char *name)
{
    static const struct {
        const char *name;
        unsigned types;
    } table[] = {{"null", EL_JS_NULL},
                 {"boolean", EL_JS_BOOL},
                 {"string", EL_JS_STRING},
                 {"array", EL_JS_ARRAY},
                 {"object", EL_JS_OBJECT},
                 {"integer", EL_JS_INTEGER},
                 {"number", EL_JS_INTEGER | EL_JS_FRACTION}};
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        if (strcmp(table[i].name, name) == 0)
            return table[i].types;
    return 0;
}

static enum el_status declared_types(const struct el_js *js, const struct el_json *type, unsigned *types)
{
    static const char names[] = "null, boolean, string, array, object, integer, number";
    *types = 0;
    if (el_json_is(type, EL_JSON_STR))
        *types = type_named(el_json_str(type));
    for (const struct el_json *v = el_json_is(type, EL_JSON_ARRAY) ? el_json_first(type) : NULL; v; v = el_json_next(v)) {
        const unsigned t = el_json_is(v, EL_JSON_STR) ? type_named(el_json_str(v)) : 0;
        if (!t)
            return el_js_fail(js, EL_E_FORMAT, v, "expected the name of a type: %s", names);
        *types |= t;
    }
    if (!*types)
        return el_js_fail(js, EL_E_FORMAT, type, "expected the name of a type: %s", names);
    return EL_OK;
}

unsigned el_js_type_of(const struct el_json *v)
{
    switch (el_json_type(v)) {
    case EL_JSON_NULL: return EL_JS_NULL;
    case EL_JSON_BOOL: return EL_JS_BOOL;
    case EL_JSON_STR: return EL_JS_STRING;
    case EL_JSON_ARRAY: return EL_JS_ARRAY;
    case EL_JSON_OBJECT: return EL_JS_OBJECT;
    case EL_JSON_NUMBER: return el_json_num(v) == floor(el_json_num(v)) ? EL_JS_INTEGER : EL_JS_FRACTION;
    }
    return 0;
}

enum el_status el_js_types(const struct el_js *js, const struct el_js_list *list, unsigned *types)
{
    *types = list->never ? 0 : EL_JS_ANY;
    for (uint32_t i = 0; i < list->n; i++) {
        const struct el_json *const node = list->items[i].node;
        const struct el_json *const type = el_json_get(node, "type"), *const nullable = el_json_get(node, "nullable");
        const struct el_json *const values = el_json_get(node, "enum"), *const value = el_json_get(node, "const");
        unsigned t = EL_JS_ANY;
        if (type)
            EL_TRY(declared_types(js, type, &t));
        if (nullable && !el_json_is(nullable, EL_JSON_BOOL))
            return el_js_fail(js, EL_E_FORMAT, nullable, "expected true or false");
        if (el_json_bool(nullable))
            t |= EL_JS_NULL;
        if (value)
            t &= el_js_type_of(value);
        if (values) {
            unsigned in = 0;
            if (!el_json_is(values, EL_JSON_ARRAY) || el_json_count(values) == 0)
                return el_js_fail(js, EL_E_FORMAT, values, "expected a list of values");
            for (const struct el_json *v = el_json_first(values); v; v = el_json_next(v))
                in |= el_js_type_of(v);
            t &= in;
        }
        *types &= t;
    }
    return EL_OK;
}

unsigned el_js_speaks_of(const char *key)
{
    const struct keyword *const k = find_keyword(key);
    return !k                     ? 0
           : k->kind == OF_OBJECT ? EL_JS_OBJECT
           : k->kind == OF_ARRAY  ? EL_JS_ARRAY
           : k->kind == OF_STRING ? EL_JS_STRING
           : k->kind == OF_NUMBER ? EL_JS_INTEGER | EL_JS_FRACTION
                                  : 0u;
}

/* Without "type", keywords that speak of some types only mean that the value is of one of those. */
static unsigned meant_types(const struct el_js_list *list, unsigned types)
{
    unsigned of = 0;
    for (uint32_t i = 0; i < list->n; i++) {
        if (el_json_get(list->items[i].node, "type"))
            return types;
        for (const struct el_json *v = el_json_first(list->items[i].node); v; v = el_json_next(v))
            of |= el_js_speaks_of(el_json_key(v));
    }
    return of ? types & of : types;
}

/* ---- rules ---- */

enum el_status el_js_new_name(struct el_js *js, const char *hint, char name[48])
{
    if (++js->n_rules > EL_MAX_SCHEMA_RULES)
        return el_fail(js->err, EL_E_UNSUPPORTED, "%s: needs more than %d rules", js->what, EL_MAX_SCHEMA_RULES);
    size_t n = 0;
    for (const char *c = hint; *c && n < 30; c++) {
        const char lower = *c >= 'A' && *c <= 'Z' ? (char)(*c - 'A' + 'a') : *c;
        const bool plain = (lower >= 'a' && lower <= 'z') || (lower >= '0' && lower <= '9');
        if (plain || (n > 0 && name[n - 1] != '-'))
            name[n++] = plain ? lower : '-';
    }
    while (n > 0 && name[n - 1] == '-')
        n--;
    (void)snprintf(name + n, 48 - n, "%s%u", n ? "-" : "r", (unsigned)js->n_rules);
    return EL_OK;
}

static struct el_js_rule *rule_at(struct el_js *js, size_t i)
{
    return (struct el_js_rule *)(void *)js->rules.data + i;
}

/* The value's type by type, when no union is left. */
static enum el_status write_types(struct el_js *js, const struct el_js_list *list, unsigned types, const char *hint,
                                  struct el_buf *body, bool *never)
{
    struct el_buf part;
    el_buf_init(&part);
    enum el_status status = EL_OK;
    bool any = false;
    for (unsigned t = 1; t <= EL_JS_FRACTION && status == EL_OK; t *= 2) {
        bool none = false;
        if (!(types & t) || (t == EL_JS_INTEGER && types & EL_JS_FRACTION))
            continue;
        el_buf_reset(&part);
        if (t == EL_JS_NULL)
            el_buf_add_str(&part, "\"null\"");
        else if (t == EL_JS_BOOL)
            el_buf_add_str(&part, "\"true\" | \"false\"");
        else if (t == EL_JS_STRING)
            status = el_js_string(js, list, &part, &none);
        else if (t == EL_JS_ARRAY)
            status = el_js_array(js, list, hint, &part, &none);
        else if (t == EL_JS_OBJECT)
            status = el_js_object(js, list, hint, &part, &none);
        else
            status = el_js_number(js, list, t == EL_JS_INTEGER, &part, &none);
        body->failed |= part.failed;
        if (status != EL_OK || none)
            continue;
        if (any)
            el_buf_add_str(body, " | ");
        el_buf_add(body, part.data, part.nbytes);
        any = true;
    }
    el_buf_release(&part);
    *never = !any;
    return status;
}

static enum el_status write_body(struct el_js *js, const struct el_js_list *list, const char *hint, struct el_buf *body,
                                 bool *never)
{
    unsigned types;
    *never = list->never;
    if (list->never)
        return EL_OK;
    for (uint32_t i = 0; i < list->n; i++) {
        if (el_json_get(list->items[i].node, "anyOf") && !(list->items[i].skip & EL_JS_NO_ANY))
            return el_js_union(js, list, i, "anyOf", hint, body, never);
        if (el_json_get(list->items[i].node, "oneOf") && !(list->items[i].skip & EL_JS_NO_ONE))
            return el_js_union(js, list, i, "oneOf", hint, body, never);
    }
    uint32_t i = 0, k = 0;
    EL_TRY(el_js_types(js, list, &types));
    if (el_js_keyword(list, "enum", &i) || el_js_keyword(list, "const", &k))
        return el_js_values(js, list, types, body, never);
    const unsigned meant = meant_types(list, types);
    if (types == EL_JS_ANY && meant == EL_JS_ANY) {
        el_js_use(js, "value", body);
        return EL_OK;
    }
    return write_types(js, list, meant, hint, body, never);
}

enum el_status el_js_rule_of(struct el_js *js, struct el_js_list *list, const char *hint, char name[48], bool *never)
{
    *never = list->never;
    if (list->never)
        return EL_OK;
    const size_t n_rules = js->rules.nbytes / sizeof(struct el_js_rule), n_list = list->n * sizeof list->items[0];
    uint32_t *const bucket = &js->buckets[el_strmap_hash((const char *)list->items, n_list) % EL_JS_BUCKETS];
    for (uint32_t i = *bucket; i > 0; i = rule_at(js, i - 1)->next) {
        struct el_js_rule *const r = rule_at(js, i - 1);
        if (r->n == list->n && memcmp(js->keys.data + r->key * sizeof list->items[0], list->items, n_list) == 0) {
            memcpy(name, r->name, sizeof r->name);
            r->used = true;
            *never = r->never;
            return EL_OK;
        }
    }
    struct el_js_rule rule = {.key = (uint32_t)(js->keys.nbytes / sizeof list->items[0]), .n = list->n, .next = *bucket};
    EL_TRY(el_js_new_name(js, hint, rule.name));
    if (++js->depth > EL_MAX_SCHEMA_DEPTH)
        return el_fail(js->err, EL_E_UNSUPPORTED, "%s: values nested deeper than %d", js->what, EL_MAX_SCHEMA_DEPTH);
    el_buf_add(&js->keys, list->items, n_list);
    el_buf_add(&js->rules, &rule, sizeof rule);
    if (js->keys.failed || js->rules.failed)
        return no_memory(js);
    *bucket = (uint32_t)n_rules + 1;
    struct el_buf body;
    el_buf_init(&body);
    const enum el_status status = write_body(js, list, hint, &body, never);
    if (status == EL_OK && !*never) {
        el_buf_addf(&js->out, "%s ::= ", rule.name);
        el_buf_add(&js->out, body.data, body.nbytes);
        el_buf_add_str(&js->out, "\n");
        js->out.failed |= body.failed;
    }
    el_buf_release(&body);
    struct el_js_rule *const done = rule_at(js, n_rules);
    if (status == EL_OK && *never && done->used)
        return el_js_fail(js, EL_E_UNSUPPORTED, list->items[0].node, "it refers to itself, and no value satisfies it");
    done->never = *never;
    memcpy(name, rule.name, sizeof rule.name);
    js->depth--;
    return status;
}

static enum el_status write_root(struct el_js *js)
{
    struct el_js_list list = {.n = 0};
    char name[48];
    bool never;
    EL_TRY(el_js_add(js, &list, js->root, 0));
    EL_TRY(el_js_rule_of(js, &list, "value", name, &never));
    if (never)
        return el_fail(js->err, EL_E_FORMAT, "%s: no value satisfies the schema", js->what);
    el_buf_addf(&js->out, "root ::= %s\n", name);
    return js->out.failed ? no_memory(js) : EL_OK;
}

enum el_status el_json_schema_to_gbnf(const char *schema, size_t nbytes, const char *what, char **gbnf, size_t *n_gbnf,
                                      struct el_err *err)
{
    uint64_t steps = 0;
    struct el_js js = {.what = what ? what : "JSON schema", .steps = &steps, .err = err};
    struct el_json_doc *doc;
    *gbnf = NULL;
    *n_gbnf = 0;
    EL_TRY(el_json_parse(schema, nbytes, js.what, &doc, err));
    js.root = el_json_root(doc);
    el_buf_init(&js.out);
    el_buf_init(&js.keys);
    el_buf_init(&js.rules);
    el_buf_init(&js.members);
    enum el_status status = write_root(&js);
    if (status == EL_OK) {
        *gbnf = el_buf_detach(&js.out, n_gbnf);
        status = *gbnf ? EL_OK : no_memory(&js);
    }
    el_buf_release(&js.out);
    el_buf_release(&js.keys);
    el_buf_release(&js.rules);
    el_buf_release(&js.members);
    el_json_free(doc);
    return status;
}
