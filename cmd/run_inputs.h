/* What run is given to read: the prompt, the system's text, and texts of options with escapes in them. */
#ifndef CMD_RUN_INPUTS_H
#define CMD_RUN_INPUTS_H

#include "cmd/command.h"
#include "cmd/run_args.h"
#include "edgellm.h"

struct run_inputs {
    struct run_args a; /* the options; texts are borrowed from below where they had to be read or changed */
    bool dialogue;     /* a conversation at the terminal */
    char *prompt;      /* NULL: none is needed and none is given */
    size_t nbytes;
    char *system;            /* of --system-prompt or its file */
    struct opt_list changed; /* of -e: stop texts and breakers; the texts are owned too */
};

/*
 * Reads all of it into *in. EL_E_USAGE: something is given twice, missing, or two things come from standard input. Whatever it
 * returns, run_inputs_release() frees what was read.
 */
enum el_status run_inputs_read(struct run_inputs *in, const struct run_args *a, struct words words, struct el_err *err);
void run_inputs_release(struct run_inputs *in);

#endif
