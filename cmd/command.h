/*
 * A subcommand: one file cmd_<id>.c (or eval_<id>.c) with one `const struct command`, and one line of commands.def. The command
 * says what it accepts; parsing, --help, completion and the checks of the man page follow from that.
 */
#ifndef CMD_COMMAND_H
#define CMD_COMMAND_H

#include "cmd/options.h"
#include "edgellm.h"

/* What is left of the command line when the options are taken out. Borrowed from argv. */
struct words {
    char **v;
    size_t n;
};

struct command {
    const char *name;               /* "quantize", "eval ppl": one or two words */
    const char *about;              /* under 70 characters, capital, no full stop */
    const char *details;            /* more lines for --help; NULL: none */
    const char *usage;              /* what follows the name: "[options] IN [OUT] TYPE [THREADS]" */
    const struct opt *opts;         /* ended by OPT_END */
    const struct opt_other *others; /* NULL, or options of other programs, ended by one without names */
    size_t args_nbytes;             /* the command's settings: a struct that the options write to */
    const void *defaults;           /* its initial value */
    size_t min_words, max_words;
    /* Fills *err on failure; what it returns is the exit code. */
    enum el_status (*run)(const void *args, struct words words, struct el_err *err);
};

/* The table, in the order of commands.def. NULL past the end. */
const struct command *command_at(size_t i);
/* The command named by the first one or two of n words; *n_used says how many. NULL: none. */
const struct command *command_find(char *const *words, size_t n, size_t *n_used);
/* Is word the first word of a two-word command ("eval")? */
bool command_is_group(const char *word);

#define COMMAND(id) extern const struct command cmd_##id;
#include "cmd/commands.def"
#undef COMMAND

#endif
