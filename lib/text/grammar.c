/* Grammars as seen from outside: making them, and asking them about whole texts. */
#include "text/grammar.h"

#include "base/mem.h"
#include "text/json_schema.h"

enum { MAX_BYTE_STEPS = 20000000 }; /* instructions of the grammar for one byte of a text */

enum el_status el_grammar_parse(const char *text, size_t nbytes, const char *what, const struct el_tokenizer *tok,
                                struct el_grammar **grammar, struct el_err *err)
{
    *grammar = NULL;
    if (!what)
        what = "grammar";
    struct el_grammar *const g = el_calloc_array(1, sizeof *g);
    if (!g)
        return el_fail(err, EL_E_MEMORY, "%s: out of memory for a grammar", what);
    struct el_gtree tree;
    enum el_status status = el_gtree_parse(text, nbytes, what, tok, &tree, err);
    if (status == EL_OK)
        status = el_grammar_compile(&tree, text, what, g, err);
    if (status == EL_OK && tok)
        status = el_gvocab_open(tok, &g->vocab, err);
    el_gtree_release(&tree);
    if (status == EL_OK)
        *grammar = g;
    else
        el_grammar_close(g);
    return status;
}

enum el_status el_grammar_from_json_schema(const char *schema, size_t nbytes, const char *what, const struct el_tokenizer *tok,
                                           struct el_grammar **grammar, struct el_err *err)
{
    char *gbnf;
    size_t n_gbnf;
    *grammar = NULL;
    EL_TRY(el_json_schema_to_gbnf(schema, nbytes, what, &gbnf, &n_gbnf, err));
    const enum el_status status = el_grammar_parse(gbnf, n_gbnf, what ? what : "JSON schema", tok, grammar, err);
    el_free(gbnf);
    return status;
}

void el_grammar_close(struct el_grammar *grammar)
{
    if (!grammar)
        return;
    el_gvocab_close(grammar->vocab);
    el_free(grammar->nodes);
    el_free(grammar->ranges);
    el_free(grammar);
}

static enum el_status read_text(const struct el_grammar *grammar, const struct el_gmatch_limits *limits, const char *text,
                                size_t nbytes, bool *accepts, size_t *n_prefix, struct el_err *err)
{
    struct el_gmatch *m;
    uint32_t state, next;
    size_t n = 0;
    EL_TRY(el_gmatch_open(grammar, limits, &m, err));
    el_gmatch_set_budget(m, MAX_BYTE_STEPS);
    enum el_status status = el_gmatch_start(m, &state, err);
    for (; status == EL_OK && n < nbytes; n++, state = next) {
        el_gmatch_set_budget(m, MAX_BYTE_STEPS);
        status = el_gmatch_step(m, &state, 1, (uint8_t)text[n], &next, err);
        if (status != EL_OK || next == EL_G_DEAD)
            break;
    }
    if (status == EL_OK && n < nbytes && el_gmatch_too_deep(m))
        status = el_fail(err, EL_E_UNSUPPORTED, "at byte %zu: more than %d rules within rules", n, EL_MAX_GRAMMAR_DEPTH);
    if (status == EL_OK)
        *accepts = n == nbytes && el_gmatch_can_end(m, state);
    *n_prefix = n;
    el_gmatch_close(m);
    return status;
}

enum el_status el_grammar_accepts(const struct el_grammar *grammar, const char *text, size_t nbytes, bool *accepts,
                                  size_t *n_prefix, struct el_err *err)
{
    size_t n = 0;
    *accepts = false;
    enum el_status status = read_text(grammar, &el_gmatch_small, text, nbytes, accepts, &n, err);
    if (status == EL_E_UNSUPPORTED) /* more room may do, and is seldom needed */
        status = read_text(grammar, &el_gmatch_large, text, nbytes, accepts, &n, err);
    if (n_prefix)
        *n_prefix = n;
    return status;
}
