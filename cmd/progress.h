/*
 * Progress on standard error: a bar with rate and time left on a terminal; elsewhere one line every ten seconds, so that logs
 * stay short. Nothing with --quiet. No colours and no cursor movement but carriage return, so NO_COLOR and dumb terminals need no
 * case.
 */
#ifndef CMD_PROGRESS_H
#define CMD_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct progress {
    FILE *f; /* standard error */
    bool tty, off;
    bool drawn; /* a bar stands on the terminal */
    uint64_t start_ns, next_ns;
    const char *unit; /* "tokens", "B" */
};

void progress_init(struct progress *p, const char *unit);
/* An el_progress_fn; user is a struct progress. */
void progress_step(void *user, const char *what, uint64_t done, uint64_t total);
/* Takes the bar away. */
void progress_end(struct progress *p);
/* --quiet, once, before any progress_init. */
void progress_set_quiet(bool quiet);
bool progress_is_quiet(void);

#endif
