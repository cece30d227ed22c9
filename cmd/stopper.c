#include "cmd/stopper.h"

#include <stdlib.h>
#include <string.h>

#include "cmd/util.h"

void stopper_init(struct stopper *s, const char *const *stops, size_t n_stops)
{
    *s = (struct stopper){.stops = stops, .n_stops = n_stops};
}

void stopper_free(struct stopper *s)
{
    free(s->held);
    *s = (struct stopper){.stops = NULL};
}

static void drop_emitted(struct stopper *s)
{
    s->held_nbytes -= s->emitted;
    if (s->held_nbytes)
        memmove(s->held, s->held + s->emitted, s->held_nbytes);
    s->emitted = 0;
}

static void append(struct stopper *s, const char *piece, size_t nbytes)
{
    if (s->held_nbytes + nbytes + 1 > s->cap) {
        s->cap = 2 * (s->held_nbytes + nbytes + 1);
        s->held = xrealloc(s->held, s->cap, 1);
    }
    if (nbytes)
        memcpy(s->held + s->held_nbytes, piece, nbytes);
    s->held_nbytes += nbytes;
}

/* Where held text at position `at` begins like a stop string: whole (*hit set) or up to the end of what is held (*maybe). */
static void match_at(const struct stopper *s, size_t at, const char **hit, bool *maybe)
{
    const size_t left = s->held_nbytes - at;
    size_t best = 0;
    for (size_t i = 0; i < s->n_stops; i++) {
        const size_t len = strlen(s->stops[i]);
        if (len == 0 || memcmp(s->held + at, s->stops[i], len < left ? len : left) != 0)
            continue;
        if (len > left) {
            *maybe = true;
        } else if (len > best) {
            best = len;
            *hit = s->stops[i];
        }
    }
}

bool stopper_push(struct stopper *s, const char *piece, size_t nbytes, const char **text, size_t *text_nbytes)
{
    drop_emitted(s);
    append(s, piece, nbytes);
    size_t at = 0;
    for (; at < s->held_nbytes && !s->hit; at++) {
        bool maybe = false;
        match_at(s, at, &s->hit, &maybe);
        if (s->hit || maybe)
            break;
    }
    s->emitted = at;
    *text = s->held;
    *text_nbytes = at;
    return s->hit != NULL;
}

void stopper_flush(struct stopper *s, const char **text, size_t *text_nbytes)
{
    drop_emitted(s);
    *text = s->held ? s->held : "";
    *text_nbytes = s->held_nbytes;
    s->emitted = s->held_nbytes;
}
