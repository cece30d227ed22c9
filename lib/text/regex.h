/*
 * Regular expressions: the one door to PCRE2. Patterns are written in the dialect of Hugging Face's tokenizer.json (Oniguruma
 * with Ruby syntax) and translated: \s is exactly Unicode's White_Space (PCRE2's also matches U+180E), \w follows Oniguruma, (?m)
 * is PCRE2's (?s), unions of classes are flattened. What has no translation (class intersection, recursion, verbs) is
 * EL_E_UNSUPPORTED.
 */
#ifndef EL_MODEL_REGEX_H
#define EL_MODEL_REGEX_H

#include "base/err.h"

enum { EL_MAX_PATTERN = 65536 }; /* bytes of a pattern */

/* A compiled pattern: immutable, any number of threads. */
struct el_regex;
/*
 * EL_E_FORMAT: the pattern is not valid; EL_E_UNSUPPORTED: too long, or a construct without translation. The error shows the
 * pattern.
 */
enum el_status el_regex_open(const char *pattern, size_t nbytes, struct el_regex **re, struct el_err *err);
void el_regex_close(struct el_regex *re);

/* Scratch of one thread, for any number of patterns. */
struct el_regex_run;
enum el_status el_regex_run_open(struct el_regex_run **run, struct el_err *err);
void el_regex_run_close(struct el_regex_run *run);

/*
 * Leftmost match in text[0, nbytes), valid UTF-8, that starts at or after `from` (look-behind sees what is before). *found tells;
 * then [*begin, *end) is it, possibly empty. Work is limited: EL_E_FORMAT when a pattern backtracks without end.
 */
enum el_status el_regex_find(const struct el_regex *re, struct el_regex_run *run, const char *text, size_t nbytes, size_t from,
                             size_t *begin, size_t *end, bool *found, struct el_err *err);

/* Version of PCRE2 in use: "10.42 2022-12-11". */
void el_regex_version(char version[64]);

#endif
