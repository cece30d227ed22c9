/*
 * Strict JSON over cJSON: the functions that edgellm.h declares. What cJSON lets through is refused first: invalid UTF-8, BOM,
 * NUL and \u0000, lone surrogates, duplicate keys, trailing bytes, depth over EL_MAX_JSON_DEPTH, more than EL_MAX_JSON_VALUES
 * values, numbers that are not finite. Integers outside +-2^53 are numbers (tokenizer_config.json is full of 1e30 written out)
 * but never el_json_int.
 */
#ifndef EL_BASE_JSON_H
#define EL_BASE_JSON_H

#include "base/err.h"

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

/* Version of cJSON, static text. */
const char *el_json_library(void);

#endif
