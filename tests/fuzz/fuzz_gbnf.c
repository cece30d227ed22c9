/*
 * GBNF: the input is a grammar, a NUL, and a text. No grammar makes the reader crash or work without end. Whether the text is in
 * the grammar must not depend on how much room there is for states, and what is accepted must be a prefix of itself.
 */
#include <string.h>

#include "text/grammar.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t nbytes);

/* Does the text lead somewhere, and may it end there? -1: a limit was met. */
static int match(const struct el_grammar *g, const struct el_gmatch_limits *limits, const uint8_t *text, size_t nbytes, size_t *n)
{
    struct el_gmatch *m;
    uint32_t state, next;
    int result = -1;
    *n = 0;
    if (el_gmatch_open(g, limits, &m, NULL) != EL_OK)
        return -1;
    el_gmatch_set_budget(m, 100000);
    if (el_gmatch_start(m, &state, NULL) == EL_OK) {
        result = 0;
        for (; *n < nbytes && state != EL_G_DEAD; ++*n, state = next) {
            if (el_gmatch_step(m, &state, 1, text[*n], &next, NULL) != EL_OK) {
                result = -1;
                break;
            }
            if (next == EL_G_DEAD)
                break;
        }
        if (result == 0)
            result = *n == nbytes && el_gmatch_can_end(m, state);
    }
    el_gmatch_close(m);
    return result;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t nbytes)
{
    static const struct el_gmatch_limits tiny = {8, 256, 64, 256};
    struct el_grammar *g;
    const uint8_t *const nul = nbytes ? memchr(data, 0, nbytes) : NULL;
    const size_t n_grammar = nul ? (size_t)(nul - data) : nbytes;
    if (el_grammar_parse((const char *)data, n_grammar, NULL, NULL, &g, NULL) != EL_OK)
        return 0;
    const uint8_t *const text = data + n_grammar + (nul != NULL);
    const size_t n_text = nbytes - n_grammar - (nul != NULL);
    size_t n_small, n_tiny;
    const int a = match(g, &el_gmatch_small, text, n_text, &n_small), b = match(g, &tiny, text, n_text, &n_tiny);
    if (a >= 0 && b >= 0 && (a != b || n_small != n_tiny))
        __builtin_trap();
    el_grammar_close(g);
    return 0;
}
