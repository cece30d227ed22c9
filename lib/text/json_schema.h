/*
 * JSON Schema -> GBNF (el_json_schema_to_gbnf of edgellm.h), inside. json_schema.c walks the schema, json_schema_object.c and
 * json_schema_union.c write what has parts, json_schema_number.c and json_schema_string.c the values without.
 *
 * A value must often satisfy several schemas at once ($ref beside keywords, allOf, a branch of anyOf beside its parent). All
 * functions therefore work on a list of schemas that hold together; nothing is ever merged into a new schema.
 */
#ifndef EL_MODEL_JSON_SCHEMA_H
#define EL_MODEL_JSON_SCHEMA_H

#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"

enum {
    EL_MAX_SCHEMA_TOGETHER = 64, /* schemas that one value must satisfy at once */
    EL_MAX_SCHEMA_RULES = 20000,
    EL_MAX_SCHEMA_DEPTH = 128,     /* values within values while rules are written */
    EL_MAX_SCHEMA_STEPS = 1 << 25, /* of work, each about as long as comparing two names */
    EL_JS_BUCKETS = 4096,
};

/* Types of a value; number is both of the last. */
enum {
    EL_JS_NULL = 1,
    EL_JS_BOOL = 2,
    EL_JS_STRING = 4,
    EL_JS_ARRAY = 8,
    EL_JS_OBJECT = 16,
    EL_JS_INTEGER = 32,
    EL_JS_FRACTION = 64,
    EL_JS_ANY = 127,
};

/* A schema, of which some keywords are dealt with already. */
enum { EL_JS_NO_ANY = 1, EL_JS_NO_ONE = 2 };
struct el_js_item {
    const struct el_json *node; /* an object */
    uint64_t skip;              /* EL_JS_NO_... */
};
struct el_js_list {
    struct el_js_item items[EL_MAX_SCHEMA_TOGETHER];
    uint32_t n, n_refs; /* references followed */
    bool never;         /* one of them is `false` */
    bool several;       /* they do not all stand below the first */
};

/* Rules ready to be used, in the order of json_schema_string.c's table. */
struct el_js_builtin {
    const char *name, *body;
    const char *needs; /* names, separated by spaces */
};

struct el_js {
    const struct el_json *root;
    const char *what;
    struct el_buf out;
    struct el_buf keys;    /* struct el_js_item: lists that have a rule */
    struct el_buf rules;   /* struct el_js_rule */
    struct el_buf members; /* struct el_js_member: of the objects that are being written */
    uint32_t n_rules, depth;
    uint32_t builtins;               /* bit i: rule i of the table is written */
    uint32_t buckets[EL_JS_BUCKETS]; /* rules by the hash of their lists: index + 1 of the first */
    uint64_t *steps;                 /* of work so far */
    struct el_err *err;
};
struct el_js_rule {
    uint32_t key, n; /* items [key, key + n) */
    uint32_t next;   /* of its bucket: index + 1 */
    char name[48];
    bool never; /* no value fits */
    bool used;  /* some rule refers to it */
};

/* el_fail with "WHAT: '#/properties/x': " in front. */
enum el_status el_js_fail(const struct el_js *js, enum el_status status, const struct el_json *node, const char *fmt, ...)
    EL_PRINTF(4, 5);

/* ---- json_schema.c ---- */
/*
 * Says that n steps of work are about to be done, or have been. EL_E_UNSUPPORTED when they are too many: names are looked for one
 * by one, branches compared with each other, so a long schema can take much longer than it is long.
 */
enum el_status el_js_work(const struct el_js *js, uint64_t n);
/* Adds a schema to the list, with what it refers to; refuses unknown keywords by name. */
enum el_status el_js_add(struct el_js *js, struct el_js_list *list, const struct el_json *node, uint64_t skip);
/*
 * The name of the rule for all values that satisfy the list, written now or before; hint is a name for people. *never: there are
 * no such values, and no rule.
 */
enum el_status el_js_rule_of(struct el_js *js, struct el_js_list *list, const char *hint, char name[48], bool *never);
/* A new name from a hint. EL_E_UNSUPPORTED: too many rules. */
enum el_status el_js_new_name(struct el_js *js, const char *hint, char name[48]);
/* The i-th schema of the list that has the keyword, from *i on; NULL past the last. */
const struct el_json *el_js_keyword(const struct el_js_list *list, const char *key, uint32_t *i);
/* The types that all of them allow by "type", "nullable", "enum" and "const". */
enum el_status el_js_types(const struct el_js *js, const struct el_js_list *list, unsigned *types);
unsigned el_js_type_of(const struct el_json *v);
/* Members (elements) of all values of a keyword together. */
uint64_t el_js_size(const struct el_js_list *list, const char *key);
/* The types that a keyword restricts, like EL_JS_STRING for "pattern"; 0: none, or all. */
unsigned el_js_speaks_of(const char *key);
/* Counts its work; when that becomes too much the answer is false, and the next el_js_work fails. */
bool el_js_equal(const struct el_js *js, const struct el_json *a, const struct el_json *b);
/* Largest (smallest) of a keyword that counts: minLength, maxItems, ...; none: *value unchanged. EL_E_FORMAT: not a count. */
enum el_status el_js_count(const struct el_js *js, const struct el_js_list *list, const char *key, bool largest, uint32_t *value);

/* ---- json_schema_union.c ---- */
/* anyOf or oneOf of item i: " | " between the rules of the branches. */
enum el_status el_js_union(struct el_js *js, const struct el_js_list *list, uint32_t i, const char *key, const char *hint,
                           struct el_buf *body, bool *never);
/* enum and const: the values that all allow. */
enum el_status el_js_values(struct el_js *js, const struct el_js_list *list, unsigned types, struct el_buf *body, bool *never);

/* ---- json_schema_object.c ---- */
enum el_status el_js_object(struct el_js *js, const struct el_js_list *list, const char *hint, struct el_buf *body, bool *never);
enum el_status el_js_array(struct el_js *js, const struct el_js_list *list, const char *hint, struct el_buf *body, bool *never);

/* ---- json_schema_number.c ---- */
enum el_status el_js_number(struct el_js *js, const struct el_js_list *list, bool integer, struct el_buf *body, bool *never);
/* Is a number within the bounds of all? EL_E_UNSUPPORTED: a multipleOf that is no whole number. */
enum el_status el_js_number_fits(const struct el_js *js, const struct el_js_list *list, const struct el_json *v, bool *fits);

/* ---- json_schema_string.c ---- */
enum el_status el_js_string(struct el_js *js, const struct el_js_list *list, struct el_buf *body, bool *never);
/* Takes the strings out of values (const struct el_json *, of any type) that lack a length, pattern or format of the list. */
enum el_status el_js_keep_strings(const struct el_js *js, const struct el_js_list *list, struct el_buf *values);
/* json_schema_pattern.c: the JSON strings of min to max characters (UINT32_MAX: no limit) that a regular expression matches. */
enum el_status el_js_pattern(struct el_js *js, const struct el_json *node, const char *pattern, uint32_t min, uint32_t max,
                             struct el_buf *body);
/* Names a ready rule, with all that it needs. */
void el_js_use(struct el_js *js, const char *name, struct el_buf *body);
/* A GBNF literal of text as it is, and of the JSON text of a string. */
void el_js_literal(struct el_buf *body, const char *text, size_t nbytes);
void el_js_quoted(struct el_buf *body, const char *text);
/* One character as it is written within a JSON string, as GBNF; in_class: within [ ]. */
void el_js_char(struct el_buf *body, uint32_t cp, bool in_class);

#endif
