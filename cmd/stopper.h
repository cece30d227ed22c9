/*
 * Stop strings. Text comes in pieces; what may still become a stop string is held back, so no part of one is ever printed. Of
 * several that match, the one that begins first counts (the longer one of two that begin together).
 */
#ifndef CMD_STOPPER_H
#define CMD_STOPPER_H

#include <stdbool.h>
#include <stddef.h>

struct stopper {
    const char *const *stops; /* borrowed; empty strings never match */
    size_t n_stops;
    char *held;
    size_t held_nbytes, cap;
    size_t emitted;  /* leading bytes of held that the last call gave out */
    const char *hit; /* the stop string that was found */
};

void stopper_init(struct stopper *s, const char *const *stops, size_t n_stops);
/*
 * Takes a piece, gives the text that can be printed now (borrowed until the next call). True when a stop string was found: the
 * text is then what stands before it, and nothing more will come.
 */
bool stopper_push(struct stopper *s, const char *piece, size_t nbytes, const char **text, size_t *text_nbytes);
/* What was held back, when the text ended without a stop string. */
void stopper_flush(struct stopper *s, const char **text, size_t *text_nbytes);
void stopper_free(struct stopper *s);

#endif
