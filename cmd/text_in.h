/* What commands read: text from an argument, a file or standard input; lists of token ids. */
#ifndef CMD_TEXT_IN_H
#define CMD_TEXT_IN_H

#include "edgellm.h"

/*
 * The text of `word` (an argument; "-" is standard input), else of the file (may be NULL; "-" likewise), else of standard input
 * when that is no terminal. `what` names the missing thing in the error: a command never waits for a person to type. *text is
 * el_free'd by the caller. EL_E_USAGE when word and file are both given, or none is and standard input is a terminal.
 */
enum el_status text_in_read(const char *word, const char *file, const char *what, char **text, size_t *nbytes,
                            struct el_err *err);

/* Ids separated by white space or commas, all in [0, n_vocab). *ids is free'd by the caller. EL_E_FORMAT names the place. */
enum el_status text_in_ids(const char *text, size_t nbytes, size_t n_vocab, int32_t **ids, size_t *n_ids, struct el_err *err);

#endif
