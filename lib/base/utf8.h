/* UTF-8 (RFC 3629: no surrogates, no overlong forms, at most U+10FFFF). */
#ifndef EL_BASE_UTF8_H
#define EL_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Length 1..4 of the valid character at s (nbytes left) and its code point; 0 when it is not valid. */
size_t el_utf8_decode(const char *s, size_t nbytes, uint32_t *cp);
/* Writes 1..4 bytes; a value that is no scalar value is written as U+FFFD. */
size_t el_utf8_encode(uint32_t cp, char out[4]);
bool el_utf8_is_valid(const char *s, size_t nbytes);
/* Length of the longest prefix that does not end within a character (an invalid byte counts as complete). */
size_t el_utf8_complete(const char *s, size_t nbytes);

#endif
