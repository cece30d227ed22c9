/*
 * Options: one table per command. Parsing, --help, bash completion and the errors come from it; a test compares it with the man
 * page.
 *
 * Spelling: "-t 4", "--threads 4", "--threads=4"; "--" ends the options; "-" alone is a word. Short names may have several
 * letters (-ctk) as in llama.cpp, so they are not bundled. Options and words may be mixed. Given twice, the last one counts (a
 * list grows).
 */
#ifndef CMD_OPTIONS_H
#define CMD_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "edgellm.h"

struct command;
struct words;

enum opt_type {
    OPT_FLAG,   /* bool: becomes true */
    OPT_UNFLAG, /* bool: becomes false */
    OPT_STR,    /* const char *: borrowed from argv */
    OPT_LIST,   /* struct opt_list: may be repeated */
    OPT_UINT,   /* uint64_t in [min, max]; with min -1 also "-1", which becomes UINT64_MAX */
    OPT_INT,    /* int64_t in [min, max] */
    OPT_FLOAT,  /* double in [min, max], finite */
    OPT_NBYTES, /* uint64_t >= min: 500M, 5G (powers of 1000), 64Mi, 2Gi (powers of 1024) */
    OPT_CHOICE, /* unsigned: index of the word in `choices` */
};

struct opt_list {
    const char **v;
    size_t n;
};

struct opt {
    enum opt_type type;
    const char *letters; /* "t", "ctk", "r|R": behind one dash; NULL: none */
    const char *name;    /* "threads", "kv-type-k|cache-type-k": behind two dashes; NULL: none */
    const char *arg;     /* "N"; NULL for flags; for OPT_CHOICE the words themselves */
    const char *help;
    size_t offset; /* of the field in the command's settings */
    double min, max;
    const char *choices; /* OPT_CHOICE: "f32|f16" */
};

/* Rows that several commands share. T is the struct of the settings. */
/* clang-format off */
/* An option that people know from another program, and what to do here: it ends "unknown option '-x': ". */
struct opt_other {
    const char *names; /* without dashes, between '|' */
    const char *advice;
};

#define OPT_END {.name = NULL}
#define OPT_MODEL(T) {OPT_STR, "m", "model", "FILE", "model file or folder", offsetof(T, model), 0, 0, NULL}
#define OPT_TOKENIZER(T)                                                                                                         \
    {OPT_STR, NULL, "tokenizer", "FILE", "tokenizer file or folder, when it is not in or beside the model",                      \
     offsetof(T, tokenizer), 0, 0, NULL}
#define OPT_THREADS(T)                                                                                                           \
    {OPT_UINT, "t", "threads", "N", "threads (0 or -1: all cores); results do not depend on it", offsetof(T, n_threads), -1,     \
     1024, NULL}
#define OPT_CPU(T)                                                                                                               \
    {OPT_STR, NULL, "cpu", "LEVEL", "use no more of the CPU than this level of 'list cpu-levels' or native", offsetof(T, cpu), \
     0, 0, NULL}
#define OPT_CACHE(T)                                                                                                             \
    {OPT_STR, NULL, "cache", "FILE", "take the weights from FILE as they lie in memory, and write it where it does not fit",     \
     offsetof(T, cache), 0, 0, NULL}
#define OPT_JSON(T) {OPT_FLAG, NULL, "json", NULL, "print JSON", offsetof(T, json), 0, 0, NULL}
#define OPT_FORCE(T) {OPT_FLAG, NULL, "force", NULL, "replace an output that exists", offsetof(T, force), 0, 0, NULL}
#define OPT_OVERRIDE(T)                                                                                                          \
    {OPT_LIST, NULL, "override-kv", "KEY=TYPE:VALUE",                                                                            \
     "set a metadata value; TYPE is int, float, bool or str; may be repeated", offsetof(T, overrides), 0, 0, NULL}
#define OPT_KV_CHOICES "f16|f32|q8_0"
#define OPT_KV_TYPES(T)                                                                                                          \
    {OPT_CHOICE, "ctk", "kv-type-k|cache-type-k", "TYPE", "type of the cached keys (f16)", offsetof(T, kv_k), 0, 0,              \
     OPT_KV_CHOICES},                                                                                                          \
    {OPT_CHOICE, "ctv", "kv-type-v|cache-type-v", "TYPE", "type of the cached values (f16)", offsetof(T, kv_v), 0, 0,            \
     OPT_KV_CHOICES}
#define OPT_ACTIVATIONS(T)                                                                                                       \
    {OPT_UINT, NULL, "act-bits", "N", "activations rounded to N bits, 2 to 8, before every matrix (as the kernels do)",          \
     offsetof(T, act_bits), 2, 8, NULL},                                                                                         \
    {OPT_CHOICE, NULL, "act-granularity", "WHAT", "columns that share a scale with --act-bits: a block of 32, or all (block)",   \
     offsetof(T, act_granularity), 0, 0, "block|token"}
/* clang-format on */

/* Options that every command has, parsed into this. */
struct opt_common {
    bool help, quiet;
};
const struct opt *opts_common(void);

/*
 * Parses argv[0..argc) (without the command's name) into args (the command's settings) and common; words gets the rest, in argv's
 * strings. EL_E_USAGE: unknown option (with the nearest), missing or bad argument, too few or too many words. --help stops
 * parsing. words->v is the caller's to free, the lists opts_release's.
 */
enum el_status opts_parse(const struct command *cmd, int argc, char **argv, void *args, struct opt_common *common,
                          struct words *words, struct el_err *err);
/*
 * Sets the option of this long name from a text that does not come from the command line, with the same checks; `spelled` is what
 * errors call it. A flag takes "true" and "false". The option must be in the table, and no list.
 */
enum el_status opts_set(const struct opt *opts, void *args, const char *name, const char *spelled, const char *value,
                        struct el_err *err);
/*
 * Has the option of this name (the first of its long names, or of its letters where it has none) another value than the defaults
 * (NULL: all zero)? For commands whose modes take different options. The option must be in the table.
 */
bool opts_differ(const struct command *cmd, const void *args, const char *name);
/* Frees the lists in a command's settings. */
void opts_release(const struct command *cmd, void *args);
/* The help text. */
void opts_help(const struct command *cmd, FILE *f);

/* The i-th alternative of "a|b|c" to out; false past the end. */
bool opts_alternative(const char *alternatives, size_t i, char *out, size_t cap);
/* Number of edits (insert, delete, replace, swap) between two short strings. */
size_t opts_distance(const char *a, const char *b);
/* The word of "a|b|c" with this index; static, as the choices are ("f16"). For OPT_CHOICE values that are passed on as text. */
const char *opts_kv_type(unsigned choice);
/* The number of threads as the library takes it: "-1" means 0 too, all cores. */
unsigned opts_threads(uint64_t n);

/* Strict numbers: all of s, in range. */
bool opts_uint(const char *s, uint64_t *out);
bool opts_int(const char *s, int64_t *out);
bool opts_float(const char *s, double *out);
bool opts_nbytes(const char *s, uint64_t *out);

#endif
