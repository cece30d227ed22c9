/*
 * One line of --jsonl: a JSON string, the prompt, or an object with "prompt" or "messages" and what else is to be other than the
 * options say.
 */
#ifndef CMD_RUN_REQUEST_H
#define CMD_RUN_REQUEST_H

#include "cmd/run_args.h"
#include "edgellm.h"

struct run_request {
    struct run_args a;        /* the options, with the line's changes */
    struct el_json_doc *doc;  /* strings of a are borrowed from it */
    const struct el_json *id; /* NULL: none */
    const struct el_json *messages;
    const char *prompt;    /* NULL: messages */
    const char **stops;    /* owned: a's list when the line has its own */
    const char **breakers; /* likewise */
    char *samplers;        /* likewise */
    const char **biases;   /* likewise, with its texts behind it */
    char *schema;          /* owned: a's schema when the line has one that is not a string */
    char *tools, *kwargs;  /* likewise: what the template sees */
    bool has_own_grammar;  /* the line says what the text may be */
};

/* Reads one line; `what` names it in errors. EL_E_FORMAT no JSON, EL_E_USAGE a member that is not known or out of range. */
enum el_status run_request_read(struct run_request *r, const struct run_args *a, const char *line, size_t nbytes,
                                const char *what, struct el_err *err);
void run_request_close(struct run_request *r);

#endif
