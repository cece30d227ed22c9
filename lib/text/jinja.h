/*
 * A bounded interpreter for the Jinja2 templates that chat models carry. It renders what jinja2's ImmutableSandboxedEnvironment
 * renders with trim_blocks, lstrip_blocks, loop controls and generation blocks (the environment of Hugging Face's
 * apply_chat_template), byte for byte, and ends with an error where a limit is reached. There is no file system, no include, no
 * import, no clock and no way to change a value that was passed in. Source: Jinja 3.1 template designer documentation.
 *
 * Where it differs: integers have 64 bits (arithmetic beyond is an error); address-bearing texts of functions and iterators are
 * shown without the address; random, urlize, wordwrap, xmlattr, pprint and lipsum do not exist; autoescape, blocks and template
 * inheritance are refused.
 */
#ifndef EL_MODEL_JINJA_H
#define EL_MODEL_JINJA_H

#include "base/err.h"

enum {
    EL_JINJA_MAX_SOURCE = 1 << 20,   /* bytes of a template */
    EL_JINJA_MAX_NODES = 1 << 17,    /* of the syntax tree */
    EL_JINJA_MAX_NESTING = 96,       /* brackets, blocks and operators within each other */
    EL_JINJA_MAX_DEPTH = 480,        /* evaluations within each other: macros that call themselves */
    EL_JINJA_MAX_STEPS = 4000000,    /* evaluations, and 64 bytes or 1 element of data touched by one */
    EL_JINJA_MAX_OUTPUT = 16 << 20,  /* bytes of the text that comes out */
    EL_JINJA_MAX_MEMORY = 128 << 20, /* bytes of all values made while rendering */
    EL_JINJA_MAX_RANGE = 100000,     /* elements of a range(): jinja2's sandbox has the same */
};

/* A compiled template: immutable, any number of threads. */
struct el_jinja;

/*
 * Compiles text (UTF-8). `what` names it in errors ("chat template of 'x.gguf'") and is copied. EL_E_FORMAT: not valid, with the
 * line; EL_E_UNSUPPORTED: a statement this interpreter does not have; EL_E_MEMORY.
 */
enum el_status el_jinja_open(const char *text, size_t nbytes, const char *what, struct el_jinja **tmpl, struct el_err *err);
void el_jinja_close(struct el_jinja *tmpl);

/* A variable of the rendering. Text is borrowed during the call. A name that stands twice has the value of the last. */
struct el_jinja_var {
    const char *name;
    const char *text; /* UTF-8; NULL: none */
    size_t nbytes;
    bool is_json; /* text is JSON and becomes values; integers and floats stay apart ("1" and "1.0"); else it is a string */
};

struct el_jinja_opts {
    bool has_now;          /* else strftime_now is undefined */
    int64_t now_s;         /* what strftime_now shows: seconds since 1970 on the clock of the place (UTC plus its offset) */
    const char *more_json; /* NULL, or a JSON object, terminated: its members are variables too, and win over the others */
};

/*
 * Renders. *text is allocated (el_free), terminated and valid UTF-8. opts may be NULL.
 * EL_E_USAGE: the template called raise_exception, its message is the error; EL_E_FORMAT: an error in the template, a limit, or
 * JSON that is none; EL_E_MEMORY; EL_E_INTERRUPTED.
 */
enum el_status el_jinja_render(const struct el_jinja *tmpl, const struct el_jinja_var *vars, size_t n_vars,
                               const struct el_jinja_opts *opts, char **text, size_t *nbytes, struct el_err *err);

#endif
