/* Strings: any, of a length, of a format, of a pattern; and the rules that are ready to be used. */
#include <string.h>

#include "base/utf8.h"
#include "text/grammar.h"
#include "text/json_schema.h"

/*
 * White space is what people and programs write between values, and bounded, so that a model cannot go on with it for ever. So
 * are the digits of a number: 16 before the point, 16 behind it, an exponent of two. A character has all spellings of RFC 8259
 * but lone surrogates; a pair of surrogates is one character, as minLength and maxLength count.
 */
static const struct el_js_builtin builtins[] = {
    {"space", "\"\" | \" \" | \"\\n\"{1,2} [ \\t]{0,20}", ""},
    {"value", "object | array | string | number | \"true\" | \"false\" | \"null\"", "object array string number"},
    {"object", "\"{\" space ( string \":\" space value ( \",\" space string \":\" space value )* space )? \"}\"",
     "space string value"},
    {"array", "\"[\" space ( value ( \",\" space value )* space )? \"]\"", "space value"},
    {"string", "\"\\\"\" char* \"\\\"\"", "char"},
    {"char",
     "[^\"\\\\\\x00-\\x1F] | \"\\\\\" ( [\"\\\\/bfnrt] | \"u\" ( [0-9A-CE-Fa-ce-f] hex hex hex | [Dd] [0-7] hex hex | "
     "[Dd] [89ABab] hex hex \"\\\\u\" [Dd] [C-Fc-f] hex hex ) )",
     "hex"},
    {"hex", "[0-9A-Fa-f]", ""},
    {"name-char", "[^\"\\\\\\x00-\\x1F] | \"\\\\\" [\"\\\\bfnrt]", ""},
    {"integer", "\"-\"? ( \"0\" | [1-9] [0-9]{0,15} )", ""},
    {"number", "integer ( \".\" [0-9]{1,16} )? ( [eE] [-+]? [0-9]{1,2} )?", "integer"},
    {"year", "[1-9] [0-9]{3} | \"0\" [1-9] [0-9]{2} | \"00\" [1-9] [0-9] | \"000\" [1-9]", ""},
    {"leap-year", "[0-9]{2} ( \"0\" [48] | [2468] [048] | [13579] [26] ) | ( \"0\" [48] | [2468] [048] | [13579] [26] ) \"00\"",
     ""},
    {"date",
     "year \"-\" ( ( \"0\" [13578] | \"1\" [02] ) \"-\" ( \"0\" [1-9] | [12] [0-9] | \"3\" [01] ) | ( \"0\" [469] | \"11\" ) "
     "\"-\" ( \"0\" [1-9] | [12] [0-9] | \"30\" ) | \"02-\" ( \"0\" [1-9] | \"1\" [0-9] | \"2\" [0-8] ) ) | leap-year \"-02-29\"",
     "year leap-year"},
    {"hour-minute", "( [01] [0-9] | \"2\" [0-3] ) \":\" [0-5] [0-9]", ""},
    {"time", "hour-minute \":\" [0-5] [0-9] ( \".\" [0-9]{1,9} )? ( \"Z\" | [-+] hour-minute )", "hour-minute"},
    {"date-time", "date \"T\" time", "date time"},
    {"duration",
     "\"P\" ( count \"W\" | ( count \"Y\" ( count \"M\" ( count \"D\" )? )? | count \"M\" ( count \"D\" )? | count \"D\" ) "
     "( \"T\" clock )? | \"T\" clock )",
     "count clock"},
    {"count", "[0-9]{1,9}", ""},
    {"clock", "count \"H\" ( count \"M\" ( count \"S\" )? )? | count \"M\" ( count \"S\" )? | count \"S\"", "count"},
    {"uuid", "hex{8} \"-\" hex{4} \"-\" hex{4} \"-\" hex{4} \"-\" hex{12}", "hex"},
    {"ipv4", "octet \".\" octet \".\" octet \".\" octet", "octet"},
    {"octet", "\"25\" [0-5] | \"2\" [0-4] [0-9] | \"1\" [0-9] [0-9] | [1-9]? [0-9]", ""},
    {"ipv6",
     "( group \":\" ){7} group | ( group \":\" ){1,7} \":\" | ( group \":\" ){1,6} \":\" group | "
     "( group \":\" ){1,5} ( \":\" group ){2} | ( group \":\" ){1,4} ( \":\" group ){3} | "
     "( group \":\" ){1,3} ( \":\" group ){4} | ( group \":\" ){1,2} ( \":\" group ){5} | group \":\" ( \":\" group ){6} | "
     "\":\" ( ( \":\" group ){1,7} | \":\" )",
     "group"},
    {"group", "hex{1,4}", "hex"},
    {"hostname", "label ( \".\" label ){0,3}", "label"},
    {"label", "[A-Za-z0-9] ( [A-Za-z0-9-]{0,60} [A-Za-z0-9] )?", ""},
    {"email", "atom ( \".\" atom ){0,3} \"@\" hostname", "atom hostname"},
    {"atom", "[A-Za-z0-9_+-]{1,16}", ""},
    {"uri",
     "[A-Za-z] [A-Za-z0-9+.-]{0,15} \"://\" hostname ( \":\" [0-9]{1,5} )? ( \"/\" uri-char* )* ( \"?\" uri-char* )? "
     "( \"#\" uri-char* )?",
     "hostname uri-char"},
    {"uri-char", "[A-Za-z0-9._~!$&'()*+,;=:@-] | \"%\" hex hex", "hex"},
};
enum { N_BUILTINS = sizeof builtins / sizeof builtins[0] };
_Static_assert(N_BUILTINS <= 32, "el_js.builtins has a bit for each");

static const char *const formats[] = {"date", "time", "date-time", "duration", "uuid",
                                      "ipv4", "ipv6", "hostname",  "email",    "uri"};

static void write_builtin(struct el_js *js, const char *name, size_t nbytes)
{
    uint32_t i = 0;
    while (strlen(builtins[i].name) != nbytes || memcmp(builtins[i].name, name, nbytes) != 0)
        i++;
    if (js->builtins >> i & 1)
        return;
    js->builtins |= UINT32_C(1) << i;
    el_buf_addf(&js->out, "%s ::= %s\n", builtins[i].name, builtins[i].body);
    for (const char *p = builtins[i].needs; *p;) {
        const size_t n = strcspn(p, " ");
        write_builtin(js, p, n);
        p += n + (p[n] == ' ');
    }
}

void el_js_use(struct el_js *js, const char *name, struct el_buf *body)
{
    write_builtin(js, name, strlen(name));
    el_buf_add_str(body, name);
}

/* ---- text as GBNF ---- */

void el_js_literal(struct el_buf *body, const char *text, size_t nbytes)
{
    el_buf_add_byte(body, '"');
    for (size_t i = 0; i < nbytes; i++) {
        const unsigned char c = (unsigned char)text[i];
        if (c == '"' || c == '\\')
            el_buf_addf(body, "\\%c", c);
        else if (c < 0x20)
            el_buf_addf(body, "\\x%02X", c);
        else
            el_buf_add_byte(body, c);
    }
    el_buf_add_byte(body, '"');
}

void el_js_quoted(struct el_buf *body, const char *text)
{
    struct el_buf json;
    el_buf_init(&json);
    el_buf_add_json_str(&json, text, strlen(text));
    el_js_literal(body, json.data, json.nbytes);
    body->failed |= json.failed;
    el_buf_release(&json);
}

void el_js_char(struct el_buf *body, uint32_t cp, bool in_class)
{
    char utf8[5] = {0};
    const size_t n = el_utf8_encode(cp, utf8);
    if (!in_class) {
        struct el_buf json;
        el_buf_init(&json);
        el_buf_add_json_str(&json, utf8, n);
        el_js_literal(body, json.data + 1, json.nbytes - 2); /* without its quotes */
        el_buf_release(&json);
    } else if (cp < 0x80 && !((cp | 0x20) >= 'a' && (cp | 0x20) <= 'z') && !(cp >= '0' && cp <= '9'))
        el_buf_addf(body, "\\x%02X", (unsigned)cp);
    else
        el_buf_add(body, utf8, n);
}

/* ---- strings ---- */

static enum el_status write_format(struct el_js *js, const struct el_json *v, struct el_buf *body)
{
    const char *const format = el_json_str(v);
    for (size_t i = 0; format && i < sizeof formats / sizeof formats[0]; i++) {
        if (strcmp(formats[i], format) != 0)
            continue;
        el_buf_add_str(body, "\"\\\"\" ( ");
        el_js_use(js, formats[i], body);
        el_buf_add_str(body, " ) \"\\\"\"");
        return EL_OK;
    }
    return el_js_fail(
        js, format ? EL_E_UNSUPPORTED : EL_E_FORMAT, v,
        "format '%.40s' has no grammar, there are date, time, date-time, duration, uuid, ipv4, ipv6, hostname, email "
        "and uri",
        format ? format : "");
}

/* The one value of a keyword; two different ones would have to hold at once. */
static enum el_status only_one(const struct el_js *js, const struct el_js_list *list, const char *key, const struct el_json **v)
{
    const struct el_json *w;
    uint32_t i = 0;
    *v = NULL;
    while ((w = el_js_keyword(list, key, &i))) {
        if (!el_json_is(w, EL_JSON_STR))
            return el_js_fail(js, EL_E_FORMAT, w, "expected a string");
        if (*v && !el_js_equal(*v, w))
            return el_js_fail(js, EL_E_UNSUPPORTED, w, "two different values of '%s' for one string", key);
        *v = w;
    }
    return EL_OK;
}

enum el_status el_js_string(struct el_js *js, const struct el_js_list *list, struct el_buf *body, bool *never)
{
    const struct el_json *pattern, *format;
    uint32_t min = 0, max = UINT32_MAX, i = 0, k = 0;
    EL_TRY(el_js_count(js, list, "minLength", true, &min));
    EL_TRY(el_js_count(js, list, "maxLength", false, &max));
    EL_TRY(only_one(js, list, "pattern", &pattern));
    EL_TRY(only_one(js, list, "format", &format));
    const bool bounded = el_js_keyword(list, "minLength", &i) || el_js_keyword(list, "maxLength", &k);
    if ((pattern != NULL) + (format != NULL) + bounded > 1)
        return el_js_fail(js, EL_E_UNSUPPORTED, pattern ? pattern : format, "'pattern', 'format' and lengths cannot be combined");
    if (pattern)
        return el_js_pattern(js, pattern, el_json_str(pattern), body);
    if (format)
        return write_format(js, format, body);
    if (!bounded) {
        el_js_use(js, "string", body);
        return EL_OK;
    }
    if (min > EL_MAX_GRAMMAR_REPEAT || (max != UINT32_MAX && max > EL_MAX_GRAMMAR_REPEAT))
        return el_js_fail(js, EL_E_UNSUPPORTED, list->items[0].node, "lengths of more than %d characters", EL_MAX_GRAMMAR_REPEAT);
    *never = min > max;
    el_buf_add_str(body, "\"\\\"\" ");
    el_js_use(js, "char", body);
    if (max == UINT32_MAX)
        el_buf_addf(body, "{%u,} \"\\\"\"", (unsigned)min);
    else
        el_buf_addf(body, "{%u,%u} \"\\\"\"", (unsigned)min, (unsigned)max);
    return EL_OK;
}
