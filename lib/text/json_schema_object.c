/*
 * Objects and arrays. Members come in the order of the schema; those that may be left out are written so that the rules grow
 * with their number, not with the number of their subsets. Every name comes once: further members (additionalProperties) have
 * names that no listed member has.
 */
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "text/json_schema.h"

/* A member whose turn it is: name, rule of its value, whether it must be there. */
struct el_js_member {
    const char *name; /* of the schema */
    char rule[48];
    bool required;
};

static struct el_js_member *member_at(const struct el_js *js, size_t i)
{
    return (struct el_js_member *)(void *)js->members.data + i;
}

static bool known_name(const struct el_js *js, size_t first, size_t n, const char *name)
{
    for (size_t i = first; i < first + n; i++)
        if (strcmp(member_at(js, i)->name, name) == 0)
            return true;
    return false;
}

static bool is_required(const struct el_js_list *list, const char *name)
{
    const struct el_json *v;
    uint32_t i = 0;
    while ((v = el_js_keyword(list, "required", &i)))
        for (const struct el_json *r = el_json_first(v); r; r = el_json_next(r))
            if (strcmp(el_json_str(r), name) == 0)
                return true;
    return false;
}

/* What all schemas of the list say about the member; those that do not list it say what they say about further members. */
static enum el_status member_list(struct el_js *js, const struct el_js_list *list, const char *name, struct el_js_list *value)
{
    bool said = false, closed = false;
    *value = (struct el_js_list){.n = 0};
    for (uint32_t i = 0; i < list->n; i++) {
        const struct el_json *const node = list->items[i].node;
        const struct el_json *v = name ? el_json_get(el_json_get(node, "properties"), name) : NULL;
        closed |= el_json_get(node, "unevaluatedProperties") != NULL;
        if (!v)
            v = el_json_get(node, "additionalProperties");
        if (!v)
            continue;
        value->several |= said;
        said = true;
        EL_TRY(el_js_add(js, value, v, 0));
    }
    value->never |= closed && !said; /* only "required" names it */
    return EL_OK;
}

static enum el_status add_member(struct el_js *js, const struct el_js_list *list, size_t first, const char *name, bool *never)
{
    struct el_js_member m = {.name = name, .required = is_required(list, name)};
    struct el_js_list value;
    bool none;
    const size_t n_known = js->members.nbytes / sizeof m - first;
    EL_TRY(el_js_work(js, n_known + el_js_size(list, "required") + el_js_size(list, "properties")));
    if (known_name(js, first, n_known, name))
        return EL_OK;
    const size_t at = js->members.nbytes;
    el_buf_add(&js->members, &m, sizeof m); /* takes its place before its value's members take theirs */
    if (js->members.failed)
        return el_fail(js->err, EL_E_MEMORY, "%s: out of memory", js->what);
    EL_TRY(member_list(js, list, name, &value));
    EL_TRY(el_js_rule_of(js, &value, name, m.rule, &none));
    if (none) { /* it may not be there */
        *never |= m.required;
        js->members.nbytes = at;
    } else
        memcpy(js->members.data + at, &m, sizeof m);
    return EL_OK;
}

/*
 * unevaluatedProperties and unevaluatedItems: only false, and only where all that the list says of members (elements) stands in
 * the same schema or below it: what stands beside it or above it is not seen there.
 */
static enum el_status check_unevaluated(const struct el_js *js, const struct el_js_list *list, const char *key,
                                        const char *instead)
{
    const struct el_json *v;
    for (uint32_t i = 0; (v = el_js_keyword(list, key, &i));) {
        if (!el_json_is(v, EL_JSON_BOOL) || el_json_bool(v))
            return el_js_fail(js, EL_E_UNSUPPORTED, v, "%s other than false; write %s", key, instead);
        if (i > 1 || list->several)
            return el_js_fail(js, EL_E_UNSUPPORTED, v, "%s below or beside another schema of the same value; write %s", key,
                              instead);
    }
    return EL_OK;
}

/* Checks the shapes of the keywords, so that the rest need not. */
static enum el_status check_object(const struct el_js *js, const struct el_js_list *list)
{
    const struct el_json *v;
    for (uint32_t i = 0; (v = el_js_keyword(list, "properties", &i));)
        if (!el_json_is(v, EL_JSON_OBJECT))
            return el_js_fail(js, EL_E_FORMAT, v, "expected an object of schemas");
    for (uint32_t i = 0; (v = el_js_keyword(list, "required", &i));) {
        if (!el_json_is(v, EL_JSON_ARRAY))
            return el_js_fail(js, EL_E_FORMAT, v, "expected a list of names");
        for (const struct el_json *r = el_json_first(v); r; r = el_json_next(r))
            if (!el_json_is(r, EL_JSON_STR))
                return el_js_fail(js, EL_E_FORMAT, r, "expected a name");
    }
    return check_unevaluated(js, list, "unevaluatedProperties", "additionalProperties");
}

/* ---- names of further members ---- */

enum { MAX_NAME = 256, N_ESCAPES = 7 }; /* bytes of a listed name beside further members */

/* Characters that a name writes with a backslash, and the letters for them. */
static const char escaped_chars[] = "\"\\\b\f\n\r\t", escape_letters[] = "\"\\bfnrt";

/* What may not come next because a listed name goes on with it, as GBNF; and the escapes that still may. */
struct next_chars {
    struct el_buf raw;
    char escapes[N_ESCAPES];
    size_t n_escapes;
};

/* False: no name of a further member is written with this character, so there is nothing to take. */
static bool take_char(struct next_chars *taken, uint32_t cp)
{
    const char *const escaped = cp < 0x80 ? memchr(escaped_chars, (int)cp, N_ESCAPES) : NULL;
    if (!escaped && cp < 0x20)
        return false;
    if (!escaped) {
        el_js_char(&taken->raw, cp, true);
        return true;
    }
    char *const at = memchr(taken->escapes, escape_letters[escaped - escaped_chars], taken->n_escapes);
    if (at) {
        taken->n_escapes--;
        memmove(at, at + 1, (size_t)(taken->escapes + taken->n_escapes - at));
    }
    return true;
}

/*
 * A rule for the rest of a name, behind `at` bytes that the names [from, to) share: anything that makes it none of them. Every
 * character has one spelling here, so that "\u0061" is not a second way to write "a". names are sorted.
 */
static enum el_status write_rest(struct el_js *js, const char *const *names, size_t n_names, size_t at, char rule[48])
{
    struct el_buf body;
    struct next_chars taken = {.n_escapes = N_ESCAPES};
    memcpy(taken.escapes, escape_letters, sizeof taken.escapes);
    el_buf_init(&body);
    el_buf_init(&taken.raw);
    enum el_status status = el_js_new_name(js, "name", rule);
    size_t i = n_names > 0 && !names[0][at]; /* a listed name ends here: something must come */
    if (i == 0)
        el_buf_add_str(&body, "\"\" | ");
    while (i < n_names && status == EL_OK) {
        uint32_t cp = 0;
        char rest[48];
        const size_t n = el_utf8_decode(names[i] + at, strlen(names[i] + at), &cp);
        size_t same = i + 1;
        while (same < n_names && strncmp(names[same] + at, names[i] + at, n) == 0)
            same++;
        if (take_char(&taken, cp)) {
            el_js_char(&body, cp, false);
            if (same == i + 1 && !names[i][at + n])
                el_buf_add_str(&body, " name-char+ | ");
            else {
                status = write_rest(js, names + i, same - i, at + n, rest);
                el_buf_addf(&body, " %s | ", rest);
            }
        }
        i = same;
    }
    el_buf_addf(&body, "( [^\"\\\\\\x00-\\x1F%s]", taken.raw.data);
    if (taken.n_escapes > 0) {
        el_buf_add_str(&body, " | \"\\\\\" [");
        for (size_t k = 0; k < taken.n_escapes; k++)
            el_buf_addf(&body, "%s%c", taken.escapes[k] == '\\' ? "\\" : "", taken.escapes[k]);
        el_buf_add_str(&body, "]");
    }
    el_buf_addf(&js->out, "%s ::= %s ) name-char*\n", rule, body.data);
    js->out.failed |= body.failed || taken.raw.failed;
    el_buf_release(&body);
    el_buf_release(&taken.raw);
    return status;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The GBNF of a name that is none of the listed members'. */
static enum el_status write_further_name(struct el_js *js, const struct el_js_list *list, struct el_buf *out)
{
    struct el_buf names;
    const struct el_json *v;
    char rule[48];
    el_buf_init(&names);
    enum el_status status = EL_OK;
    for (uint32_t i = 0; (v = el_js_keyword(list, "properties", &i)) && status == EL_OK;)
        for (const struct el_json *p = el_json_first(v); p && status == EL_OK; p = el_json_next(p)) {
            const char *const name = el_json_key(p);
            el_buf_add(&names, &name, sizeof name);
            if (strlen(name) > MAX_NAME)
                status = el_js_fail(js, EL_E_UNSUPPORTED, p, "a name of %zu bytes beside further members, at most %d",
                                    strlen(name), MAX_NAME);
        }
    for (uint32_t i = 0; (v = el_js_keyword(list, "required", &i)) && status == EL_OK;)
        for (const struct el_json *r = el_json_first(v); r; r = el_json_next(r)) {
            const char *const name = el_json_str(r);
            el_buf_add(&names, &name, sizeof name);
            if (strlen(name) > MAX_NAME)
                status = el_js_fail(js, EL_E_UNSUPPORTED, r, "a name of %zu bytes beside further members, at most %d",
                                    strlen(name), MAX_NAME);
        }
    if (names.nbytes == 0 && status == EL_OK)
        el_js_use(js, "string", out);
    else if (status == EL_OK && !names.failed) {
        const char **const all = (const char **)(void *)names.data;
        size_t n = names.nbytes / sizeof *all, n_unique = 0;
        qsort(all, n, sizeof *all, by_name);
        for (size_t i = 0; i < n; i++)
            if (n_unique == 0 || strcmp(all[n_unique - 1], all[i]) != 0)
                all[n_unique++] = all[i];
        struct el_buf unused;
        el_buf_init(&unused);
        el_js_use(js, "name-char", &unused);
        el_buf_release(&unused);
        status = write_rest(js, all, n_unique, 0, rule);
        el_buf_addf(out, "\"\\\"\" %s \"\\\"\"", rule);
    }
    out->failed |= names.failed;
    el_buf_release(&names);
    return status;
}

/*
 * The names that propertyNames lists, as an enum; *names stays NULL where it allows all. The first of several counts: the others
 * must be the same.
 */
static enum el_status listed_names(struct el_js *js, const struct el_js_list *list, const struct el_json **names)
{
    static const char *const others[] = {"const", "anyOf", "oneOf", "pattern", "format", "minLength", "maxLength"};
    const struct el_json *v;
    for (uint32_t i = 0; (v = el_js_keyword(list, "propertyNames", &i));) {
        struct el_js_list of = {.n = 0};
        unsigned types;
        uint32_t k = 0;
        EL_TRY(el_js_add(js, &of, v, 0));
        EL_TRY(el_js_types(js, &of, &types));
        bool plain = (types & EL_JS_STRING) != 0;
        for (size_t j = 0; plain && j < sizeof others / sizeof others[0]; j++, k = 0)
            plain = !el_js_keyword(&of, others[j], &k);
        const struct el_json *const found = el_js_keyword(&of, "enum", &k);
        plain = plain && !(found && el_js_keyword(&of, "enum", &k)) && !(found && *names && !el_js_equal(js, found, *names));
        if (!plain)
            return el_js_fail(js, EL_E_UNSUPPORTED, v, "keyword 'propertyNames' cannot be made into a grammar, but for an enum");
        *names = found ? found : *names;
    }
    return EL_OK;
}

static bool is_listed(const struct el_json *names, const char *name)
{
    for (const struct el_json *v = el_json_first(names); v; v = el_json_next(v))
        if (el_json_is(v, EL_JSON_STR) && strcmp(el_json_str(v), name) == 0)
            return true;
    return false;
}

/* ---- objects ---- */

struct object {
    size_t first, n;   /* members */
    uint32_t min, max; /* how many */
    bool open;         /* there may be further members */
    bool closed;       /* there may not, whatever additionalProperties says */
    char further[48];  /* rule of one: name and value */
};

/* May there be members that are not listed, and what are they? */
static enum el_status find_further(struct el_js *js, const struct el_js_list *list, struct object *o)
{
    struct el_js_list value;
    struct el_buf body;
    const struct el_json *v;
    char rule[48];
    bool none, asked = false;
    for (uint32_t i = 0; (v = el_js_keyword(list, "additionalProperties", &i));)
        asked = true;
    uint32_t i = 0;
    const bool closed = el_js_keyword(list, "unevaluatedProperties", &i) != NULL;
    o->open = asked || (o->n == 0 && !closed);
    o->open = o->open && !o->closed;
    if (!o->open)
        return EL_OK;
    EL_TRY(member_list(js, list, NULL, &value));
    EL_TRY(el_js_rule_of(js, &value, "further", rule, &none));
    o->open = !none;
    if (none)
        return EL_OK;
    el_buf_init(&body);
    enum el_status status = write_further_name(js, list, &body);
    el_buf_add_str(&body, " \":\" ");
    el_js_use(js, "space", &body);
    if (status == EL_OK)
        status = el_js_new_name(js, "member", o->further);
    el_buf_addf(&js->out, "%s ::= %s %s\n", o->further, body.data, rule);
    js->out.failed |= body.failed;
    el_buf_release(&body);
    return status;
}

/* Names of an enum: members of other names go, and those of the enum take the place of further ones. */
static enum el_status limit_names(struct el_js *js, const struct el_js_list *list, struct object *o, bool *never)
{
    const struct el_json *names = NULL, *v;
    EL_TRY(listed_names(js, list, &names));
    if (!names)
        return EL_OK;
    EL_TRY(el_js_work(js, o->n * (uint64_t)el_json_count(names)));
    size_t n = 0;
    for (size_t i = 0; i < o->n; i++) {
        const struct el_js_member m = *member_at(js, o->first + i);
        if (is_listed(names, m.name))
            *member_at(js, o->first + n++) = m;
        else
            *never |= m.required;
    }
    js->members.nbytes = (o->first + n) * sizeof(struct el_js_member);
    uint32_t i = 0;
    if (o->n == 0 || el_js_keyword(list, "additionalProperties", &i))
        for (v = el_json_first(names); v; v = el_json_next(v))
            if (el_json_is(v, EL_JSON_STR))
                EL_TRY(add_member(js, list, o->first, el_json_str(v), never));
    o->n = js->members.nbytes / sizeof(struct el_js_member) - o->first;
    o->closed = true;
    return EL_OK;
}

static void write_member(struct el_js *js, const struct el_js_member *m, struct el_buf *out)
{
    el_js_quoted(out, m->name);
    el_buf_add_str(out, " \":\" ");
    el_js_use(js, "space", out);
    el_buf_addf(out, " %s", m->rule);
}

/* Members [from, ...) and further ones, behind a first one. */
static void write_tail(struct el_js *js, const struct object *o, size_t from, uint32_t n_further, struct el_buf *out)
{
    for (size_t i = from; i < o->n; i++) {
        const struct el_js_member *const m = member_at(js, o->first + i);
        el_buf_add_str(out, m->required ? " \",\" " : " ( \",\" ");
        el_js_use(js, "space", out);
        el_buf_add_str(out, " ");
        write_member(js, m, out);
        if (!m->required)
            el_buf_add_str(out, " )?");
    }
    if (o->open && n_further > 0) {
        el_buf_add_str(out, " ( \",\" ");
        el_js_use(js, "space", out);
        el_buf_addf(out, " %s )", o->further);
        if (n_further == UINT32_MAX)
            el_buf_add_str(out, "*");
        else
            el_buf_addf(out, "{0,%u}", (unsigned)n_further);
    }
}

/*
 * The members: whichever comes first has no comma before it. Members that may be left out and might come first each get an
 * alternative; what follows them is shared: rest-i is all from member i on.
 */
static enum el_status write_members(struct el_js *js, const struct object *o, struct el_buf *out)
{
    size_t n_lead = 0; /* members that may be left out before the first that may not */
    while (n_lead < o->n && !member_at(js, o->first + n_lead)->required)
        n_lead++;
    char rest[48] = "", name[48];
    for (size_t i = n_lead; i > 0; i--) { /* rest-i for i = n_lead ... 1 */
        struct el_buf body;
        el_buf_init(&body);
        if (i == n_lead)
            write_tail(js, o, i, UINT32_MAX, &body);
        else {
            const struct el_js_member *const m = member_at(js, o->first + i);
            el_buf_add_str(&body, " ( \",\" ");
            el_js_use(js, "space", &body);
            el_buf_add_str(&body, " ");
            write_member(js, m, &body);
            el_buf_addf(&body, " )? %s", rest);
        }
        const enum el_status status = el_js_new_name(js, "rest", name);
        el_buf_addf(&js->out, "%s ::=%s\n", name, body.nbytes ? body.data : " \"\"");
        js->out.failed |= body.failed;
        el_buf_release(&body);
        EL_TRY(status);
        struct el_buf first;
        el_buf_init(&first);
        write_member(js, member_at(js, o->first + i - 1), &first);
        el_buf_addf(out, "%s %s | ", first.data, name);
        out->failed |= first.failed;
        el_buf_release(&first);
        memcpy(rest, name, sizeof rest);
    }
    if (n_lead < o->n) {
        write_member(js, member_at(js, o->first + n_lead), out);
        write_tail(js, o, n_lead + 1, UINT32_MAX, out);
    } else if (o->open) {
        el_buf_add_str(out, o->further);
        write_tail(js, o, o->n, o->max == UINT32_MAX ? UINT32_MAX : o->max - 1, out);
    } else if (out->nbytes > 3) { /* without the last " | " */
        out->nbytes -= 3;
        out->data[out->nbytes] = '\0';
    }
    return EL_OK;
}

static enum el_status check_numbers(const struct el_js *js, const struct el_js_list *list, const struct object *o,
                                    size_t n_required)
{
    const struct el_json *const node = list->n ? list->items[0].node : js->root;
    if (o->max != UINT32_MAX && (o->open ? o->n > 0 : o->max < o->n))
        return el_js_fail(js, EL_E_UNSUPPORTED, node,
                          "keyword 'maxProperties' beside 'properties' cannot be made into a grammar");
    if (o->min > n_required && o->min > 1)
        return el_js_fail(
            js, EL_E_UNSUPPORTED, node,
            "keyword 'minProperties' of more than 1, or than there are required members, cannot be made into a grammar");
    return EL_OK;
}

enum el_status el_js_object(struct el_js *js, const struct el_js_list *list, const char *hint, struct el_buf *body, bool *never)
{
    struct object o = {.first = js->members.nbytes / sizeof(struct el_js_member), .min = 0, .max = UINT32_MAX};
    const struct el_json *v;
    (void)hint;
    EL_TRY(check_object(js, list));
    EL_TRY(el_js_count(js, list, "minProperties", true, &o.min));
    EL_TRY(el_js_count(js, list, "maxProperties", false, &o.max));
    for (uint32_t i = 0; (v = el_js_keyword(list, "properties", &i));)
        for (const struct el_json *p = el_json_first(v); p; p = el_json_next(p))
            EL_TRY(add_member(js, list, o.first, el_json_key(p), never));
    for (uint32_t i = 0; (v = el_js_keyword(list, "required", &i));)
        for (const struct el_json *r = el_json_first(v); r; r = el_json_next(r))
            EL_TRY(add_member(js, list, o.first, el_json_str(r), never));
    o.n = js->members.nbytes / sizeof(struct el_js_member) - o.first;
    EL_TRY(limit_names(js, list, &o, never));
    EL_TRY(find_further(js, list, &o));
    size_t n_required = 0;
    for (size_t i = 0; i < o.n; i++)
        n_required += member_at(js, o.first + i)->required;
    EL_TRY(check_numbers(js, list, &o, n_required));
    *never |= (o.min > 0 && o.n == 0 && !o.open) || o.min > o.max;
    if (!*never) {
        struct el_buf members;
        el_buf_init(&members);
        enum el_status status = EL_OK;
        if (o.n > 0 || (o.open && o.max > 0))
            status = write_members(js, &o, &members);
        const bool may_be_empty = n_required == 0 && o.min == 0;
        el_buf_add_str(body, "\"{\" ");
        el_js_use(js, "space", body);
        if (members.nbytes > 0) {
            el_buf_addf(body, " ( ( %s ) ", members.data);
            el_js_use(js, "space", body);
            el_buf_add_str(body, may_be_empty ? " )?" : " )");
        }
        body->failed |= members.failed;
        el_buf_add_str(body, " \"}\"");
        el_buf_release(&members);
        EL_TRY(status);
    }
    js->members.nbytes = o.first * sizeof(struct el_js_member);
    return EL_OK;
}

/* ---- arrays ---- */

/* The list of schemas for element i, as far as it has a place of its own; NULL: it has none. */
static const struct el_json *prefix_of(const struct el_json *node)
{
    const struct el_json *const prefix = el_json_get(node, "prefixItems"), *const items = el_json_get(node, "items");
    return prefix ? prefix : el_json_is(items, EL_JSON_ARRAY) ? items : NULL;
}

/* What a schema says about the elements behind those with a place of their own; NULL: nothing. */
static const struct el_json *rest_of(const struct el_json *node)
{
    const struct el_json *const items = el_json_get(node, "items");
    return el_json_is(items, EL_JSON_ARRAY) ? el_json_get(node, "additionalItems") : items;
}

static enum el_status element_list(struct el_js *js, const struct el_js_list *list, size_t at, struct el_js_list *value)
{
    bool said = false;
    *value = (struct el_js_list){.n = 0};
    for (uint32_t i = 0; i < list->n; i++) {
        const struct el_json *v = el_json_first(prefix_of(list->items[i].node));
        for (size_t k = 0; v && k < at; k++)
            v = el_json_next(v);
        if (!v)
            v = rest_of(list->items[i].node);
        if (!v)
            continue;
        value->several |= said;
        said = true;
        EL_TRY(el_js_add(js, value, v, 0));
    }
    return EL_OK;
}

static enum el_status check_array(const struct el_js *js, const struct el_js_list *list, uint32_t max, size_t *n_prefix,
                                  bool *rest_said)
{
    const struct el_json *v;
    *n_prefix = 0;
    *rest_said = false;
    for (uint32_t i = 0; i < list->n; i++) {
        const struct el_json *const node = list->items[i].node, *const prefix = prefix_of(node);
        if (prefix && !el_json_is(prefix, EL_JSON_ARRAY))
            return el_js_fail(js, EL_E_FORMAT, prefix, "expected a list of schemas");
        if (el_json_count(prefix) > *n_prefix)
            *n_prefix = el_json_count(prefix);
        *rest_said |= rest_of(node) != NULL;
    }
    for (uint32_t i = 0; (v = el_js_keyword(list, "uniqueItems", &i));) {
        if (!el_json_is(v, EL_JSON_BOOL))
            return el_js_fail(js, EL_E_FORMAT, v, "expected true or false");
        if (el_json_bool(v) && max > 1)
            return el_js_fail(js, EL_E_UNSUPPORTED, v, "keyword 'uniqueItems' cannot be made into a grammar");
    }
    return check_unevaluated(js, list, "unevaluatedItems", "items");
}

/* ( "," space ITEM ){min,max} */
static void write_more(struct el_js *js, const char *item, uint32_t min, uint32_t max, struct el_buf *out)
{
    if (max == 0)
        return;
    el_buf_add_str(out, " ( \",\" ");
    el_js_use(js, "space", out);
    el_buf_addf(out, " %s )", item);
    if (max == UINT32_MAX)
        el_buf_addf(out, "{%u,}", (unsigned)min);
    else
        el_buf_addf(out, "{%u,%u}", (unsigned)min, (unsigned)max);
}

struct array {
    uint32_t min, max;
    size_t n_prefix; /* elements that have a place of their own and may be there */
    bool open;       /* there may be more */
    char rest[48];   /* rule of one of them */
};

/* The elements from the first to the last; each but the first behind a comma. */
static enum el_status write_elements(struct el_js *js, const struct el_js_list *list, const struct array *a, const char *hint,
                                     struct el_buf *out)
{
    struct el_js_list value;
    char rule[48];
    bool none;
    const uint32_t n = (uint32_t)a->n_prefix;
    if (n == 0) {
        el_buf_add_str(out, a->rest);
        write_more(js, a->rest, a->min > 0 ? a->min - 1 : 0, a->max == UINT32_MAX ? UINT32_MAX : a->max - 1, out);
        return EL_OK;
    }
    for (uint32_t i = 0; i < n; i++) {
        EL_TRY(element_list(js, list, i, &value));
        EL_TRY(el_js_rule_of(js, &value, hint, rule, &none));
        if (i > 0) {
            el_buf_add_str(out, i < a->min ? " \",\" " : " ( \",\" ");
            el_js_use(js, "space", out);
        }
        el_buf_addf(out, "%s%s", i > 0 ? " " : "", rule);
    }
    if (a->open)
        write_more(js, a->rest, a->min > n ? a->min - n : 0, a->max == UINT32_MAX ? UINT32_MAX : a->max - n, out);
    for (uint32_t i = a->min > 1 ? a->min : 1; i < n; i++)
        el_buf_add_str(out, " )?");
    return EL_OK;
}

enum el_status el_js_array(struct el_js *js, const struct el_js_list *list, const char *hint, struct el_buf *body, bool *never)
{
    enum { MAX_PREFIX = 150 };
    struct array a = {.min = 0, .max = UINT32_MAX};
    struct el_js_list value;
    char rule[48];
    bool none, rest_said;
    EL_TRY(el_js_count(js, list, "minItems", true, &a.min));
    EL_TRY(el_js_count(js, list, "maxItems", false, &a.max));
    EL_TRY(check_array(js, list, a.max, &a.n_prefix, &rest_said));
    uint32_t i = 0;
    a.open = rest_said || ((a.n_prefix == 0 || a.min > a.n_prefix) && !el_js_keyword(list, "unevaluatedItems", &i));
    if (a.n_prefix > MAX_PREFIX)
        return el_js_fail(js, EL_E_UNSUPPORTED, list->items[0].node, "%zu elements with a schema each, at most %d", a.n_prefix,
                          MAX_PREFIX);
    if (a.n_prefix >= a.max) {
        a.n_prefix = a.max;
        a.open = false;
    }
    for (size_t k = 0; k < a.n_prefix; k++) { /* where no value fits, the array ends before */
        EL_TRY(element_list(js, list, k, &value));
        EL_TRY(el_js_rule_of(js, &value, hint, rule, &none));
        if (none) {
            a.n_prefix = k;
            a.open = false;
        }
    }
    if (a.open) {
        EL_TRY(element_list(js, list, a.n_prefix, &value));
        EL_TRY(el_js_rule_of(js, &value, hint, a.rest, &none));
        a.open = !none;
    }
    if (!a.open && a.max > a.n_prefix)
        a.max = (uint32_t)a.n_prefix;
    if (a.min > a.max) {
        *never = true;
        return EL_OK;
    }
    el_buf_add_str(body, "\"[\" ");
    el_js_use(js, "space", body);
    if (a.max > 0) {
        el_buf_add_str(body, " ( ");
        EL_TRY(write_elements(js, list, &a, hint, body));
        el_buf_add_str(body, " ");
        el_js_use(js, "space", body);
        el_buf_add_str(body, a.min > 0 ? " )" : " )?");
    }
    el_buf_add_str(body, " \"]\"");
    return EL_OK;
}
