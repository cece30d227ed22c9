/*
 * Strict JSON over cJSON. What cJSON lets through is refused here first: invalid UTF-8, BOM, NUL and \u0000, lone surrogates,
 * duplicate keys, trailing bytes, depth over EL_MAX_JSON_DEPTH, more than EL_MAX_JSON_VALUES values, numbers that are not finite.
 * Integers outside +-2^53 are numbers (tokenizer_config.json is full of 1e30 written out) but never el_json_int.
 * A value is borrowed from its document. Object look-up is exact (case-sensitive).
 */
#ifndef EL_BASE_JSON_H
#define EL_BASE_JSON_H

#include "base/err.h"

struct el_json_doc;
struct el_json; /* a value */

enum el_json_type { EL_JSON_NULL, EL_JSON_BOOL, EL_JSON_NUMBER, EL_JSON_STR, EL_JSON_ARRAY, EL_JSON_OBJECT };

/* `what` names the text in errors: a file or "header of 'x'"; offsets are given in bytes. */
enum el_status el_json_parse(const char *text, size_t nbytes, const char *what, struct el_json_doc **doc, struct el_err *err);
void el_json_free(struct el_json_doc *doc);
const struct el_json *el_json_root(const struct el_json_doc *doc);

/*
 * Reads an object member by member, for headers whose tree would be many times their text. All of the text is checked as by
 * el_json_parse, the members' keys for duplicates too, before the first call; keys within the members are not compared.
 * Memory: at most 16 bytes per member, and one key.
 */
struct el_json_member {
    const char *key;  /* escapes resolved; valid during the call, like the member */
    const char *text; /* the value's text: good for el_json_parse and el_json_each; its first character tells the type */
    size_t nbytes;
};
typedef enum el_status el_json_member_fn(void *user, const struct el_json_member *m, struct el_err *err);
/* EL_E_FORMAT when the text is not strict JSON or no object; fn's status when that is not EL_OK. */
enum el_status el_json_each(const char *text, size_t nbytes, const char *what, el_json_member_fn *fn, void *user,
                            struct el_err *err);

/* All of these accept NULL (a missing value) and then give NULL, 0, false. */
enum el_json_type el_json_type(const struct el_json *v);
bool el_json_is(const struct el_json *v, enum el_json_type type); /* false for NULL */
const char *el_json_key(const struct el_json *member);
const struct el_json *el_json_first(const struct el_json *container);
const struct el_json *el_json_next(const struct el_json *v);
size_t el_json_count(const struct el_json *container);
const struct el_json *el_json_get(const struct el_json *object, const char *key); /* linear: not for large objects in loops */
const char *el_json_str(const struct el_json *v);   /* NULL when not a string */
double el_json_num(const struct el_json *v);
bool el_json_bool(const struct el_json *v);
/* True when v is an integer with |v| < 2^53, so that no other number in the text could have become the same double. */
bool el_json_int(const struct el_json *v, int64_t *out);
/* Version of cJSON, static text. */
const char *el_json_library(void);

#endif
