/* What the process owes its surroundings: file descriptors, signals, a last look at standard output, the exit code. */
#ifndef CMD_PROCESS_H
#define CMD_PROCESS_H

#include "edgellm.h"

/*
 * Once, first in main. Descriptors 0 to 2 that are closed are given to /dev/null, so that no file is opened in their place;
 * writing to a closed standard output stays an error. SIGINT, SIGTERM and SIGHUP call el_interrupt(), a second one ends the
 * process; SIGPIPE ends it quietly; SIGBUS (a mapped file that shrank) ends it with a message and EL_E_IO; SIGXFSZ is ignored, so
 * that write() says EFBIG.
 */
void process_setup(void);

/* Was there a SIGINT, SIGTERM or SIGHUP (since process_take_interrupt)? */
bool process_is_stopped(void);

/* Was there a SIGINT since the last call? Then it is dealt with: the process and the library go on. */
bool process_take_interrupt(void);

/*
 * Exit code for the status of a command: 128 + signal after a signal. Flushes standard output; a failure there is EL_E_IO and is
 * said on standard error.
 */
int process_exit_code(enum el_status status, const char *name);

#endif
