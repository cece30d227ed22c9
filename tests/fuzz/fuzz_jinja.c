/*
 * The Jinja interpreter: any template over a fixed conversation ends, with text or with an error, within its limits; text is
 * valid UTF-8; the same input gives the same text.
 */
#include <stdint.h>
#include <string.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "text/jinja.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t nbytes);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t nbytes)
{
    static const char messages[] =
        "[{\"role\": \"system\", \"content\": \" s\\u00fc\\n\"}, {\"role\": \"user\", \"content\": [{\"type\": "
        "\"text\", \"text\": \"a b\"}]}, {\"role\": \"assistant\", \"content\": null, \"tool_calls\": "
        "[{\"function\": {\"name\": \"f\", \"arguments\": {\"x\": 1, \"y\": [2.5, true]}}}]}]";
    static const struct el_jinja_var vars[] = {
        {"messages", messages, sizeof messages - 1, true},
        {"tools", NULL, 0, true},
        {"s", "Hello w\xc3\xb6rld", 12, false},
        {"n", "-7", 2, true},
        {"d", "{\"a\": 0.1}", 10, true},
        {"add_generation_prompt", "true", 4, true},
    };
    static const struct el_jinja_opts opts = {.has_now = true, .now_s = 1753920000};
    struct el_jinja *tmpl;
    struct el_err err;
    if (nbytes > 1 << 13 || el_jinja_open((const char *)data, nbytes, "t", &tmpl, &err) != EL_OK)
        return 0;
    char *text, *again;
    size_t n, n_again;
    const size_t n_vars = sizeof vars / sizeof vars[0];
    const enum el_status status = el_jinja_render(tmpl, vars, n_vars, &opts, &text, &n, &err);
    if (status == EL_OK) {
        if (!el_utf8_is_valid(text, n) || n > EL_JINJA_MAX_OUTPUT)
            __builtin_trap();
        if (el_jinja_render(tmpl, vars, n_vars, &opts, &again, &n_again, &err) != EL_OK || n_again != n ||
            memcmp(text, again, n) != 0)
            __builtin_trap();
        el_free(again);
        el_free(text);
    }
    el_jinja_close(tmpl);
    return 0;
}
