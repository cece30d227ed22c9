/*
 * Two passes: ours over the text, which accepts exactly RFC 8259 with the limits of the header, then cJSON's, which builds the
 * tree. A third walks the tree for duplicate keys, because only there are escapes resolved. el_json_each builds no tree.
 */
#include "base/json.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/strmap.h"
#include "base/utf8.h"

struct el_json_doc {
    cJSON *root;
};

static pthread_once_t hooks_once = PTHREAD_ONCE_INIT;

static void set_hooks(void)
{
    cJSON_Hooks hooks = {el_alloc, el_free};
    cJSON_InitHooks(&hooks);
}

const char *el_json_library(void)
{
    return cJSON_Version();
}

/* ---- first pass: is this text strict JSON? ---- */

struct scan {
    const char *text, *what;
    size_t nbytes, at;
    size_t n_values;
    struct el_err *err;
};

static enum el_status bad(const struct scan *s, size_t at, const char *problem)
{
    size_t line = 1; /* of files that people write */
    for (size_t i = 0; i < at && i < s->nbytes; i++)
        line += s->text[i] == '\n';
    return el_fail(s->err, EL_E_FORMAT, "%s: not valid JSON at line %zu, byte %zu: %s", s->what, line, at, problem);
}

static void skip_space(struct scan *s)
{
    while (s->at < s->nbytes &&
           (s->text[s->at] == ' ' || s->text[s->at] == '\n' || s->text[s->at] == '\r' || s->text[s->at] == '\t'))
        s->at++;
}

static int peek(const struct scan *s)
{
    return s->at < s->nbytes ? (uint8_t)s->text[s->at] : -1;
}

static bool is_digit(int c)
{
    return c >= '0' && c <= '9';
}

/* Four hex digits at offset `at`, or -1. */
static int hex4(const struct scan *s, size_t at)
{
    if (s->nbytes - at < 4)
        return -1;
    int v = 0;
    for (size_t i = 0; i < 4; i++) {
        const char c = s->text[at + i];
        const int digit = is_digit(c) ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
        if (digit < 0)
            return -1;
        v = v << 4 | digit;
    }
    return v;
}

/* At a backslash. */
static enum el_status scan_escape(struct scan *s)
{
    const size_t start = s->at++;
    const int c = peek(s);
    s->at++;
    if (c != 'u')
        return c > 0 && strchr("\"\\/bfnrt", c) ? EL_OK : bad(s, start, "unknown escape");
    const int unit = hex4(s, s->at);
    if (unit < 0)
        return bad(s, start, "\\u without four hex digits");
    s->at += 4;
    if (unit == 0)
        return bad(s, start, "\\u0000 in a string");
    if (unit >= 0xdc00 && unit <= 0xdfff)
        return bad(s, start, "lone low surrogate");
    if (unit >= 0xd800 && unit <= 0xdbff) {
        const bool pair = s->nbytes - s->at >= 6 && s->text[s->at] == '\\' && s->text[s->at + 1] == 'u';
        const int low = pair ? hex4(s, s->at + 2) : -1;
        if (low < 0xdc00 || low > 0xdfff)
            return bad(s, start, "lone high surrogate");
        s->at += 6;
    }
    return EL_OK;
}

static enum el_status scan_string(struct scan *s)
{
    const size_t start = s->at++;
    for (;;) {
        const int c = peek(s);
        if (c < 0)
            return bad(s, start, "string without an end");
        if (c == '"') {
            s->at++;
            return EL_OK;
        }
        if (c < 0x20)
            return bad(s, s->at, "control character in a string");
        if (c == '\\') {
            EL_TRY(scan_escape(s));
            continue;
        }
        uint32_t cp;
        const size_t n = el_utf8_decode(s->text + s->at, s->nbytes - s->at, &cp);
        if (n == 0)
            return bad(s, s->at, "invalid UTF-8");
        s->at += n;
    }
}

static enum el_status scan_number(struct scan *s)
{
    enum { EL_NUMBER_CHARS = 63 }; /* what cJSON 1.7 can hold */
    const size_t start = s->at;
    if (peek(s) == '-')
        s->at++;
    if (!is_digit(peek(s)))
        return bad(s, start, "unexpected character");
    if (peek(s) == '0')
        s->at++;
    else
        while (is_digit(peek(s)))
            s->at++;
    if (is_digit(peek(s)))
        return bad(s, start, "number with a leading zero");
    if (peek(s) == '.') {
        s->at++;
        if (!is_digit(peek(s)))
            return bad(s, start, "number without a digit after the point");
        while (is_digit(peek(s)))
            s->at++;
    }
    if (peek(s) == 'e' || peek(s) == 'E') {
        s->at++;
        if (peek(s) == '+' || peek(s) == '-')
            s->at++;
        if (!is_digit(peek(s)))
            return bad(s, start, "number without a digit in its exponent");
        while (is_digit(peek(s)))
            s->at++;
    }
    if (s->at - start > EL_NUMBER_CHARS)
        return bad(s, start, "number of more than 63 characters");
    return EL_OK;
}

static enum el_status scan_word(struct scan *s, const char *word)
{
    const size_t n = strlen(word);
    if (s->nbytes - s->at < n || memcmp(s->text + s->at, word, n) != 0)
        return bad(s, s->at, "unexpected character");
    s->at += n;
    return EL_OK;
}

static enum el_status scan_scalar(struct scan *s)
{
    switch (peek(s)) {
    case '"': return scan_string(s);
    case 't': return scan_word(s, "true");
    case 'f': return scan_word(s, "false");
    case 'n': return scan_word(s, "null");
    case -1: return bad(s, s->at, "it ends too early");
    default: return scan_number(s);
    }
}

/* "key" : and the space around it. */
static enum el_status scan_key(struct scan *s)
{
    skip_space(s);
    if (peek(s) != '"')
        return bad(s, s->at, peek(s) < 0 ? "it ends too early" : "a key must be a string");
    EL_TRY(scan_string(s));
    skip_space(s);
    if (peek(s) != ':')
        return bad(s, s->at, peek(s) < 0 ? "it ends too early" : "no colon after a key");
    s->at++;
    return EL_OK;
}

/* One value and all within it, without recursion: open[] holds the closing bracket that each level waits for. */
static enum el_status scan_value(struct scan *s)
{
    char open[EL_MAX_JSON_DEPTH];
    size_t depth = 0;
    for (;;) {
        skip_space(s);
        if (++s->n_values > EL_MAX_JSON_VALUES)
            return el_fail(s->err, EL_E_FORMAT, "%s: JSON of more than %d values", s->what, (int)EL_MAX_JSON_VALUES);
        const int c = peek(s);
        if (c == '{' || c == '[') {
            const char close = c == '{' ? '}' : ']';
            s->at++;
            skip_space(s);
            if (peek(s) != close) {
                if (depth == EL_MAX_JSON_DEPTH)
                    return el_fail(s->err, EL_E_FORMAT, "%s: JSON nested deeper than %d at byte %zu", s->what,
                                   (int)EL_MAX_JSON_DEPTH, s->at);
                open[depth++] = close;
                if (close == '}')
                    EL_TRY(scan_key(s));
                continue;
            }
            s->at++;
        } else {
            EL_TRY(scan_scalar(s));
        }
        /* A value is complete: go on in, or out of, the containers around it. */
        for (;;) {
            if (depth == 0)
                return EL_OK;
            skip_space(s);
            const int next = peek(s);
            if (next == ',') {
                s->at++;
                if (open[depth - 1] == '}')
                    EL_TRY(scan_key(s));
                break;
            }
            if (next != open[depth - 1])
                return bad(s, s->at, next < 0 ? "it ends too early" : "a comma or closing bracket was expected");
            s->at++;
            depth--;
        }
    }
}

static enum el_status scan_text(struct scan *s)
{
    if (s->nbytes > EL_MAX_JSON)
        return el_fail(s->err, EL_E_FORMAT, "%s: JSON of %zu bytes, at most %d", s->what, s->nbytes, (int)EL_MAX_JSON);
    if (s->nbytes >= 3 && memcmp(s->text, "\xef\xbb\xbf", 3) == 0)
        return bad(s, 0, "a byte order mark");
    EL_TRY(scan_value(s));
    skip_space(s);
    if (s->at != s->nbytes)
        return bad(s, s->at, s->text[s->at] == '\0' ? "a NUL byte" : "more text after the value");
    return EL_OK;
}

/* ---- third pass: what only the tree shows ---- */

static enum el_status twice(const char *what, const char *key, struct el_err *err)
{
    return el_fail(err, EL_E_FORMAT, "%s: JSON key '%s' occurs twice", what, key);
}

static enum el_status check_keys(const cJSON *object, const char *what, struct el_err *err)
{
    enum { EL_FEW_KEYS = 16 };
    size_t n = 0;
    for (const cJSON *m = object->child; m; m = m->next, n++) {
        /* Few keys: compare pairs. The map is for objects of the size of a vocabulary. */
        for (const cJSON *before = object->child; n < EL_FEW_KEYS && before != m; before = before->next) {
            if (strcmp(m->string, before->string) == 0)
                return twice(what, m->string, err);
        }
    }
    if (n <= EL_FEW_KEYS)
        return EL_OK;
    struct el_strmap keys;
    el_strmap_init(&keys);
    enum el_status status = EL_OK;
    for (const cJSON *m = object->child; m && status == EL_OK; m = m->next) {
        bool existed;
        if (!el_strmap_add(&keys, m->string, strlen(m->string), 0, &existed))
            status = el_fail(err, EL_E_MEMORY, "%s: out of memory for %zu JSON keys", what, n);
        else if (existed)
            status = twice(what, m->string, err);
    }
    el_strmap_release(&keys);
    return status;
}

/* Recursion is bounded by EL_MAX_JSON_DEPTH. */
static enum el_status check_tree(const cJSON *v, const char *what, struct el_err *err)
{
    if (cJSON_IsNumber(v) && !isfinite(v->valuedouble))
        return el_fail(err, EL_E_FORMAT, "%s: JSON number '%s' is not finite", what, v->string ? v->string : "in an array");
    if (cJSON_IsObject(v))
        EL_TRY(check_keys(v, what, err));
    for (const cJSON *child = v->child; child; child = child->next)
        EL_TRY(check_tree(child, what, err));
    return EL_OK;
}

enum el_status el_json_parse(const char *text, size_t nbytes, const char *what, struct el_json_doc **doc, struct el_err *err)
{
    *doc = NULL;
    (void)pthread_once(&hooks_once, set_hooks);
    struct scan s = {.text = text, .what = what, .nbytes = nbytes, .err = err};
    EL_TRY(scan_text(&s));
    struct el_json_doc *const d = el_alloc(sizeof *d);
    /* The text is known to be good, so that only the heap can fail here. */
    cJSON *const root = d ? cJSON_ParseWithLengthOpts(text, nbytes, NULL, 0) : NULL;
    if (!root) {
        el_free(d);
        return el_fail(err, EL_E_MEMORY, "%s: out of memory for %zu JSON values", what, s.n_values);
    }
    d->root = root;
    const enum el_status status = check_tree(root, what, err);
    if (status != EL_OK) {
        el_json_free(d);
        return status;
    }
    *doc = d;
    return EL_OK;
}

void el_json_free(struct el_json_doc *doc)
{
    if (!doc)
        return;
    cJSON_Delete(doc->root);
    el_free(doc);
}

/* ---- an object by its members ---- */

/* The string whose text, quotes included, begins at `at` of good JSON, escapes resolved; NULL: out of memory. */
static char *decode_string(const struct scan *text, size_t at)
{
    struct scan s = *text;
    s.at = at;
    (void)scan_string(&s);
    const char *const raw = text->text + at;
    const size_t n = s.at - at;
    if (!memchr(raw, '\\', n))
        return el_strndup(raw + 1, n - 2);
    cJSON *const v = cJSON_ParseWithLengthOpts(raw, n, NULL, 0);
    char *const decoded = v ? v->valuestring : NULL;
    if (v)
        v->valuestring = NULL; /* moves: the hooks made it with el_alloc */
    cJSON_Delete(v);
    return decoded;
}

/* Steps to the next member of the object that s stands in, in good JSON. False at its end. */
static bool next_member(struct scan *s, size_t *key_at, size_t *from, size_t *to)
{
    skip_space(s);
    if (peek(s) == ',') {
        s->at++;
        skip_space(s);
    }
    if (peek(s) != '"')
        return false;
    *key_at = s->at;
    s->n_values = 0;
    if (scan_key(s) != EL_OK)
        return false;
    skip_space(s);
    *from = s->at;
    const bool good = scan_value(s) == EL_OK;
    *to = s->at;
    return good;
}

/* A member in one word: the hash of its key above, the place of its text below. */
enum { EL_PLACE_BITS = 29 };
_Static_assert(EL_MAX_JSON <= 1 << EL_PLACE_BITS, "the place of a key must fit");

static size_t place_of(uint64_t tag)
{
    return (size_t)(tag & (((uint64_t)1 << EL_PLACE_BITS) - 1));
}

static int by_tag(const void *a, const void *b)
{
    const uint64_t *const x = a, *const y = b;
    return (*x > *y) - (*x < *y);
}

/* Two members with one hash: mostly the same key. */
static enum el_status compare_keys(const struct scan *s, uint64_t a, uint64_t b)
{
    char *const x = decode_string(s, place_of(a)), *const y = decode_string(s, place_of(b));
    enum el_status status = EL_OK;
    if (!x || !y)
        status = el_fail(s->err, EL_E_MEMORY, "%s: out of memory for JSON keys", s->what);
    else if (strcmp(x, y) == 0)
        status = twice(s->what, x, s->err);
    el_free(x);
    el_free(y);
    return status;
}

/* Are all keys of the object different? A map of them would be larger than the text: their hashes are sorted instead. */
static enum el_status check_members(const struct scan *object)
{
    struct scan s = *object;
    uint64_t *tags = NULL;
    size_t n = 0, cap = 0, key_at, from, to;
    enum el_status status = EL_OK;
    while (next_member(&s, &key_at, &from, &to)) {
        if (n == cap) {
            cap = cap ? cap * 2 : 64;
            uint64_t *const grown = el_realloc_array(tags, cap, sizeof *grown);
            if (!grown)
                goto no_memory;
            tags = grown;
        }
        char *const key = decode_string(&s, key_at);
        if (!key)
            goto no_memory;
        tags[n++] = el_strmap_hash(key, strlen(key)) << EL_PLACE_BITS | key_at;
        el_free(key);
    }
    if (n)
        qsort(tags, n, sizeof *tags, by_tag);
    for (size_t i = 0; i < n; i++) {
        for (size_t j = i + 1; j < n && tags[j] >> EL_PLACE_BITS == tags[i] >> EL_PLACE_BITS; j++)
            EL_TRY_OUT(compare_keys(&s, tags[i], tags[j]));
    }
    goto out;
no_memory:
    status = el_fail(s.err, EL_E_MEMORY, "%s: out of memory for %zu JSON keys", s.what, n);
out:
    el_free(tags);
    return status;
}

enum el_status el_json_each(const char *text, size_t nbytes, const char *what, el_json_member_fn *fn, void *user,
                            struct el_err *err)
{
    (void)pthread_once(&hooks_once, set_hooks);
    struct scan s = {.text = text, .what = what, .nbytes = nbytes, .err = err};
    EL_TRY(scan_text(&s));
    s.at = 0;
    skip_space(&s);
    if (peek(&s) != '{')
        return el_fail(err, EL_E_FORMAT, "%s: not a JSON object", what);
    s.at++;
    EL_TRY(check_members(&s));
    struct el_json_member m;
    for (size_t key_at, from, to; next_member(&s, &key_at, &from, &to);) {
        char *const key = decode_string(&s, key_at);
        if (!key)
            return el_fail(err, EL_E_MEMORY, "%s: out of memory for a JSON key", what);
        m = (struct el_json_member){.key = key, .text = text + from, .nbytes = to - from};
        const enum el_status status = fn(user, &m, err);
        el_free(key);
        EL_TRY(status);
    }
    return EL_OK;
}

/* ---- looking at values ---- */

static const cJSON *inner(const struct el_json *v)
{
    return (const cJSON *)(const void *)v;
}

static const struct el_json *outer(const cJSON *v)
{
    return (const struct el_json *)(const void *)v;
}

const struct el_json *el_json_root(const struct el_json_doc *doc)
{
    return doc ? outer(doc->root) : NULL;
}

enum el_json_type el_json_type(const struct el_json *v)
{
    const cJSON *const j = inner(v);
    if (cJSON_IsBool(j))
        return EL_JSON_BOOL;
    if (cJSON_IsNumber(j))
        return EL_JSON_NUMBER;
    if (cJSON_IsString(j))
        return EL_JSON_STR;
    if (cJSON_IsArray(j))
        return EL_JSON_ARRAY;
    if (cJSON_IsObject(j))
        return EL_JSON_OBJECT;
    return EL_JSON_NULL;
}

bool el_json_is(const struct el_json *v, enum el_json_type type)
{
    return v && el_json_type(v) == type;
}

const char *el_json_key(const struct el_json *member)
{
    return member ? inner(member)->string : NULL;
}

const struct el_json *el_json_first(const struct el_json *container)
{
    return container ? outer(inner(container)->child) : NULL;
}

const struct el_json *el_json_next(const struct el_json *v)
{
    return v ? outer(inner(v)->next) : NULL;
}

size_t el_json_count(const struct el_json *container)
{
    size_t n = 0;
    for (const struct el_json *v = el_json_first(container); v; v = el_json_next(v))
        n++;
    return n;
}

const struct el_json *el_json_get(const struct el_json *object, const char *key)
{
    if (!el_json_is(object, EL_JSON_OBJECT))
        return NULL;
    for (const struct el_json *m = el_json_first(object); m; m = el_json_next(m)) {
        if (strcmp(el_json_key(m), key) == 0)
            return m;
    }
    return NULL;
}

const char *el_json_str(const struct el_json *v)
{
    return el_json_is(v, EL_JSON_STR) ? inner(v)->valuestring : NULL;
}

double el_json_num(const struct el_json *v)
{
    return el_json_is(v, EL_JSON_NUMBER) ? inner(v)->valuedouble : 0;
}

bool el_json_bool(const struct el_json *v)
{
    return el_json_is(v, EL_JSON_BOOL) && cJSON_IsTrue(inner(v));
}

bool el_json_int(const struct el_json *v, int64_t *out)
{
    if (!el_json_is(v, EL_JSON_NUMBER))
        return false;
    const double d = inner(v)->valuedouble;
    if (!(fabs(d) < 9007199254740992.0) || floor(d) != d)
        return false;
    *out = (int64_t)d;
    return true;
}

enum el_status el_json_print(const struct el_json *v, char **text, size_t *nbytes, struct el_err *err)
{
    *nbytes = 0;
    *text = v ? cJSON_PrintUnformatted(inner(v)) : el_strdup("null");
    if (!*text)
        return el_fail(err, EL_E_MEMORY, "out of memory for JSON text");
    *nbytes = strlen(*text);
    return EL_OK;
}
