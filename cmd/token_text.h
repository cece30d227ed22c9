/* What a token stands for, byte by byte: a token may hold part of a UTF-8 character, which decoding alone shows as U+FFFD. */
#ifndef CMD_TOKEN_TEXT_H
#define CMD_TOKEN_TEXT_H

#include "edgellm.h"

/*
 * The bytes of text that token id stands for, with SentencePiece's leading space; of a token without text (a control token) its
 * name. Terminated; free() it. EL_E_USAGE: id out of range.
 */
enum el_status token_text(const struct el_tokenizer *tok, int32_t id, char **text, size_t *nbytes, struct el_err *err);

#endif
