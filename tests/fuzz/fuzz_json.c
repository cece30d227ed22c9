/*
 * The strict JSON reader. Property 1: no input makes it crash or run out of memory (what our scan accepts, cJSON must build).
 * Property 2: an accepted text, written again from its tree, is accepted and gives the same tree.
 */
#include <inttypes.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t nbytes);

static void require(int holds, const char *what)
{
    if (holds)
        return;
    fprintf(stderr, "property violated: %s\n", what);
    abort();
}

static void write_value(struct el_buf *b, const struct el_json *v)
{
    int64_t n;
    const char *comma = "";
    switch (el_json_type(v)) {
    case EL_JSON_NULL: el_buf_add_str(b, "null"); break;
    case EL_JSON_BOOL: el_buf_add_str(b, el_json_bool(v) ? "true" : "false"); break;
    case EL_JSON_NUMBER:
        if (el_json_int(v, &n))
            el_buf_addf(b, "%s%" PRId64, n == 0 && signbit(el_json_num(v)) ? "-" : "", n);
        else
            el_buf_addf(b, "%.17g", el_json_num(v));
        break;
    case EL_JSON_STR: el_buf_add_json_str(b, el_json_str(v), strlen(el_json_str(v))); break;
    case EL_JSON_ARRAY:
    case EL_JSON_OBJECT:
        el_buf_add_byte(b, el_json_is(v, EL_JSON_ARRAY) ? '[' : '{');
        for (const struct el_json *m = el_json_first(v); m; m = el_json_next(m)) {
            el_buf_add_str(b, comma);
            if (el_json_is(v, EL_JSON_OBJECT)) {
                el_buf_add_json_str(b, el_json_key(m), strlen(el_json_key(m)));
                el_buf_add_byte(b, ':');
                require(el_json_get(v, el_json_key(m)) == m, "a key finds its member");
            }
            write_value(b, m);
            comma = ",";
        }
        el_buf_add_byte(b, el_json_is(v, EL_JSON_ARRAY) ? ']' : '}');
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t nbytes)
{
    struct el_json_doc *doc, *again;
    struct el_err err = {EL_OK, ""};
    const enum el_status status = el_json_parse((const char *)data, nbytes, "input", &doc, &err);
    require(status == EL_OK || status == EL_E_FORMAT, "refused texts are bad input");
    if (status != EL_OK)
        return 0;
    struct el_buf first, second;
    el_buf_init(&first);
    el_buf_init(&second);
    write_value(&first, el_json_root(doc));
    require(el_json_parse(first.data, first.nbytes, "again", &again, &err) == EL_OK, "what is written can be read");
    write_value(&second, el_json_root(again));
    require(first.nbytes == second.nbytes && memcmp(first.data, second.data, first.nbytes) == 0, "the tree is the same");
    el_buf_release(&first);
    el_buf_release(&second);
    el_json_free(doc);
    el_json_free(again);
    return 0;
}
