/* run's options that hold the text to a grammar: --grammar, --grammar-file, --json-schema, --json-schema-file. */
#ifndef CMD_RUN_GRAMMAR_H
#define CMD_RUN_GRAMMAR_H

#include "cmd/options.h"
#include "edgellm.h"

/* A part of the command's settings; zero: no grammar. */
struct run_grammar_args {
    const char *text, *file, *schema, *schema_file;
};

/* Rows of the command's option table. T is the struct of its settings, field the run_grammar_args in it. */
/* clang-format off */
#define OPTS_RUN_GRAMMAR(T, field)                                                                                               \
    {OPT_STR, NULL, "grammar", "TEXT", "write only what this GBNF grammar allows", offsetof(T, field.text), 0, 0, NULL},         \
    {OPT_STR, NULL, "grammar-file", "FILE", "the same, with the grammar in FILE (-: standard input)", offsetof(T, field.file),   \
     0, 0, NULL},                                                                                                                \
    {OPT_STR, "j", "json-schema", "TEXT", "write only JSON that this JSON schema allows ({}: any JSON)",                         \
     offsetof(T, field.schema), 0, 0, NULL},                                                                                     \
    {OPT_STR, "jf", "json-schema-file", "FILE", "the same, with the schema in FILE (-: standard input)",                         \
     offsetof(T, field.schema_file), 0, 0, NULL}
/* clang-format on */

/*
 * Reads the grammar that the options ask for; *grammar is NULL when they ask for none. EL_E_USAGE when they ask for two. The
 * caller closes it with el_grammar_close().
 */
enum el_status run_grammar_open(const struct run_grammar_args *args, const struct el_tokenizer *tok, struct el_grammar **grammar,
                                struct el_err *err);

/* Starts a text under the grammar behind the prompt's ids, for el_sampler_set_grammar. */
enum el_status run_grammar_start(const struct el_grammar *grammar, const struct el_tokenizer *tok, const int32_t *prompt,
                                 size_t n_prompt, struct el_grammar_run **run, struct el_err *err);

#endif
