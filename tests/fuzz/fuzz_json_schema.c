/*
 * JSON Schema to GBNF. No schema makes it crash or write without end; what it writes is a grammar without a mistake in its
 * notation (it may still never end, or be too large); and every text that the grammar allows is JSON: the one that is found by
 * always taking the first byte that leads on.
 */
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "text/grammar.h"
#include "text/json_schema.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t nbytes);

enum { MAX_TEXT = 300 };

/* Some text of the grammar, steered by the bytes of the schema; 0: none within the limits. */
static size_t find_text(const struct el_grammar *g, const uint8_t *data, size_t nbytes, char *text)
{
    struct el_gmatch *m;
    uint32_t state, next = EL_G_DEAD;
    size_t n = 0, found = 0;
    if (el_gmatch_open(g, &el_gmatch_small, &m, NULL) != EL_OK)
        return 0;
    el_gmatch_set_budget(m, 1000000);
    bool ok = el_gmatch_start(m, &state, NULL) == EL_OK;
    for (; ok && n < MAX_TEXT; state = next) {
        if (el_gmatch_can_end(m, state))
            found = n;
        const unsigned first = nbytes ? data[n % nbytes] : 0;
        unsigned i = 0;
        for (; i < 256 && ok; i++) { /* from some byte on, and with closing ones first when the text grows long */
            static const char closing[] = "\"]}0";
            const uint8_t byte = n > MAX_TEXT / 2 && i < 4 ? (uint8_t)closing[i] : (uint8_t)(first + i);
            ok = el_gmatch_step(m, &state, 1, byte, &next, NULL) == EL_OK;
            if (ok && next != EL_G_DEAD) {
                text[n++] = (char)byte;
                break;
            }
        }
        if (i == 256)
            break;
    }
    el_gmatch_close(m);
    return found;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t nbytes)
{
    char *gbnf, text[MAX_TEXT];
    size_t n_gbnf;
    struct el_grammar *g;
    struct el_err err;
    struct el_json_doc *doc;
    if (el_json_schema_to_gbnf((const char *)data, nbytes, NULL, &gbnf, &n_gbnf, NULL) != EL_OK)
        return 0;
    const enum el_status status = el_grammar_parse(gbnf, n_gbnf, NULL, NULL, &g, &err);
    el_free(gbnf);
    if (status != EL_OK && (strstr(err.text, "found") || strstr(err.text, "defined")))
        __builtin_trap();
    if (status != EL_OK)
        return 0;
    const size_t n = find_text(g, data, nbytes, text);
    if (n > 0) {
        if (el_json_parse(text, n, "text", &doc, &err) == EL_OK)
            el_json_free(doc);
        else if (!strstr(err.text, "u0000") && !strstr(err.text, "twice") && !strstr(err.text, "deeper"))
            __builtin_trap(); /* our reader refuses U+0000, names that come twice, and depth */
    }
    el_grammar_close(g);
    return 0;
}
