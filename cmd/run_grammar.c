#include "cmd/run_grammar.h"

#include <string.h>

#include "cmd/util.h"

enum { MAX_NBYTES = 16 << 20 };

enum el_status run_grammar_open(const struct run_grammar_args *args, const struct el_tokenizer *tok, struct el_grammar **grammar,
                                struct el_err *err)
{
    static const char *const names[] = {"--grammar", "--grammar-file", "--json-schema", "--json-schema-file"};
    const char *const values[] = {args->text, args->file, args->schema, args->schema_file};
    size_t which = 4;
    *grammar = NULL;
    for (size_t i = 0; i < 4; i++) {
        if (!values[i])
            continue;
        if (which < 4)
            return cmd_fail(err, EL_E_USAGE, "options '%s' and '%s': a text follows one grammar", names[which], names[i]);
        which = i;
    }
    if (which == 4)
        return EL_OK;
    const bool is_file = which % 2 == 1;
    char *owned = NULL;
    const char *text = values[which], *what = is_file && strcmp(text, "-") != 0 ? text : names[which];
    size_t nbytes = strlen(text);
    if (is_file) {
        CMD_TRY(el_read_file(text, MAX_NBYTES, &owned, &nbytes, err));
        text = owned;
    }
    const enum el_status status = which < 2 ? el_grammar_parse(text, nbytes, what, tok, grammar, err)
                                            : el_grammar_from_json_schema(text, nbytes, what, tok, grammar, err);
    el_free(owned);
    return status;
}

enum el_status run_grammar_start(const struct el_grammar *grammar, const struct el_tokenizer *tok, const int32_t *prompt,
                                 size_t n_prompt, struct el_grammar_run **run, struct el_err *err)
{
    bool text_start = true;
    for (size_t i = 0; i < n_prompt; i++)
        text_start = text_start && el_tok_text_nbytes(tok, prompt[i]) == 0;
    return el_grammar_run_open(grammar, text_start, run, err);
}
