/*
 * Unicode: normalization forms (UAX #15), lower case, and the character classes that tokenizers ask for. The one door to utf8proc
 * (Unicode 15.0 in Debian 12; code points newer than its tables are left as they are). All text is valid UTF-8. Any thread.
 */
#ifndef EL_MODEL_NORMALIZE_H
#define EL_MODEL_NORMALIZE_H

#include "base/buf.h"
#include "base/err.h"

enum el_norm_form { EL_NORM_NFC, EL_NORM_NFD, EL_NORM_NFKC, EL_NORM_NFKD };

/* Appends the normalized text to out. Linear time, also for endless runs of combining marks. EL_E_MEMORY. */
enum el_status el_normalize(enum el_norm_form form, const char *text, size_t nbytes, struct el_buf *out, struct el_err *err);

/* Appends the lower-case text, character by character (Unicode's full mapping without context, as Rust's char::to_lowercase). */
void el_lowercase(const char *text, size_t nbytes, struct el_buf *out);
/* Appends the text without its combining marks (category M). */
void el_strip_marks(const char *text, size_t nbytes, struct el_buf *out);

/* The same for non-spacing marks only (category Mn). */
void el_strip_nonspacing(const char *text, size_t nbytes, struct el_buf *out);
/* Bytes of the grapheme cluster (UAX #29) at the start of text, nbytes > 0. */
size_t el_grapheme_nbytes(const char *text, size_t nbytes);

bool el_cp_is_space(uint32_t cp);       /* White_Space */
bool el_cp_is_control(uint32_t cp);     /* categories Cc, Cf, Co */
bool el_cp_is_word(uint32_t cp);        /* letter, mark, decimal or letter number, connector punctuation, joiner */
bool el_cp_is_number(uint32_t cp);      /* category N */
bool el_cp_is_punctuation(uint32_t cp); /* ASCII punctuation or category P */

/* General category in two letters ("Lu"); static. */
const char *el_cp_category(uint32_t cp);
/* Upper and title case of one character, where it is one character; else the character itself. */
uint32_t el_cp_upper(uint32_t cp);
uint32_t el_cp_title(uint32_t cp);

/* Version of utf8proc in use: "2.8.0"; static. */
const char *el_normalize_version(void);

#endif
