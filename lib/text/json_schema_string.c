/* Strings: any, of a length, of a format, of a pattern; and the rules that are ready to be used. */
#include <string.h>

#include "base/utf8.h"
#include "edgellm.h"
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
    {"email", "atom ( \".\" atom ){0,3} \"@\" mail-label ( \".\" mail-label ){0,3}", "atom mail-label"},
    {"mail-label", "[A-Za-z0-9] ( [A-Za-z0-9-]{0,40} [A-Za-z0-9] )?", ""}, /* so that no address is too long for SMTP */
    {"atom", "[A-Za-z0-9_+-]{1,16}", ""},
    {"uri",
     "[A-Za-z] [A-Za-z0-9+.-]{0,15} \"://\" hostname ( \":\" [0-9]{1,5} )? ( \"/\" uri-char* )* ( \"?\" uri-char* )? "
     "( \"#\" uri-char* )?",
     "hostname uri-char"},
    {"uri-char", "[A-Za-z0-9._~!$&'()*+,;=:@-] | \"%\" hex hex", "hex"},
};
enum { N_BUILTINS = sizeof builtins / sizeof builtins[0] };
_Static_assert(N_BUILTINS <= 32, "el_js.builtins has a bit for each");

/* The formats, the rules for them, and how long their texts are. */
struct format {
    const char *name, *rule; /* rule NULL: any string, the name says only how it is shown or meant */
    uint32_t min, max;
};
static const struct format formats[] = {
    {"date", "date", 10, 10},          {"time", "time", 9, 24},         {"date-time", "date-time", 20, 35},
    {"duration", "duration", 3, 62},   {"uuid", "uuid", 36, 36},        {"uuid1", "uuid", 36, 36},
    {"uuid2", "uuid", 36, 36},         {"uuid3", "uuid", 36, 36},       {"uuid4", "uuid", 36, 36},
    {"uuid5", "uuid", 36, 36},         {"ipv4", "ipv4", 7, 15},         {"ipv6", "ipv6", 2, 39},
    {"hostname", "hostname", 1, 251},  {"email", "email", 3, 239},      {"uri", "uri", 5, UINT32_MAX},
    {"password", NULL, 0, UINT32_MAX}, {"binary", NULL, 0, UINT32_MAX},
};
enum { MIN_BOUNDED_URI = 300, URI_HEAD = 16 + 3 + 251 + 6 }; /* scheme, ://, hostname, port */

static const struct format *find_format(const char *name)
{
    for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++)
        if (strcmp(formats[i].name, name) == 0)
            return &formats[i];
    return NULL;
}

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
    const bool plain = cp >= 0x80 || ((cp | 0x20) >= 'a' && (cp | 0x20) <= 'z') || (cp >= '0' && cp <= '9');
    if (!in_class && plain) {
        el_js_literal(body, utf8, n);
    } else if (!in_class) {
        struct el_buf json;
        el_buf_init(&json);
        el_buf_add_json_str(&json, utf8, n);
        if (!json.failed)
            el_js_literal(body, json.data + 1, json.nbytes - 2); /* without its quotes */
        body->failed |= json.failed;
        el_buf_release(&json);
    } else if (!plain)
        el_buf_addf(body, "\\x%02X", (unsigned)cp);
    else
        el_buf_add(body, utf8, n);
}

/* ---- strings ---- */

/* A URI of at most max characters: every part after the hostname gets its share. */
static void write_uri(struct el_js *js, uint32_t max, struct el_buf *body)
{
    uint32_t share = (max - URI_HEAD - 3) / 9; /* three parts, in which a character may be written as %XX */
    if (share > 1000)
        share = 1000;
    el_buf_add_str(body, "[A-Za-z] [A-Za-z0-9+.-]{0,15} \"://\" ");
    el_js_use(js, "hostname", body);
    el_buf_add_str(body, " ( \":\" [0-9]{1,5} )? ( \"/\" ( \"/\" | ");
    el_js_use(js, "uri-char", body);
    el_buf_addf(body, " ){0,%u} )? ( \"?\" uri-char{0,%u} )? ( \"#\" uri-char{0,%u} )?", (unsigned)share, (unsigned)share,
                (unsigned)share);
}

static void write_lengths(struct el_js *js, uint32_t min, uint32_t max, struct el_buf *body)
{
    el_buf_add_str(body, "\"\\\"\" ");
    el_js_use(js, "char", body);
    if (max == UINT32_MAX)
        el_buf_addf(body, "{%u,} \"\\\"\"", (unsigned)min);
    else
        el_buf_addf(body, "{%u,%u} \"\\\"\"", (unsigned)min, (unsigned)max);
}

static enum el_status write_format(struct el_js *js, const struct el_json *v, uint32_t min, uint32_t max, struct el_buf *body)
{
    const struct format *const f = el_json_str(v) ? find_format(el_json_str(v)) : NULL;
    if (!f)
        return el_js_fail(js, EL_E_UNSUPPORTED, v,
                          "format '%.40s' has no grammar, there are date, time, date-time, duration, uuid, ipv4, ipv6, hostname, "
                          "email, uri, password and binary",
                          el_json_str(v) ? el_json_str(v) : "");
    if (!f->rule) {
        write_lengths(js, min, max, body);
        return EL_OK;
    }
    const bool shorter = max < f->max && strcmp(f->rule, "uri") == 0 && max >= MIN_BOUNDED_URI;
    if (min > f->min || (max < f->max && !shorter))
        return el_js_fail(js, EL_E_UNSUPPORTED, v, "format '%s' cannot be combined with these lengths", f->name);
    el_buf_add_str(body, "\"\\\"\" ( ");
    if (shorter)
        write_uri(js, max, body);
    else
        el_js_use(js, f->rule, body);
    el_buf_add_str(body, " ) \"\\\"\"");
    return EL_OK;
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
        if (*v && !el_js_equal(js, *v, w))
            return el_js_fail(js, EL_E_UNSUPPORTED, w, "two different values of '%s' for one string", key);
        *v = w;
    }
    return EL_OK;
}

/* Refuses a format and a pattern of two schemas: there neither says what the other means. */
static enum el_status check_formats(const struct el_js *js, const struct el_js_list *list)
{
    for (uint32_t i = 0; i < list->n; i++) {
        const struct el_json *const node = list->items[i].node, *const v = el_json_get(node, "format");
        const struct format *const f = el_json_str(v) ? find_format(el_json_str(v)) : NULL;
        if (v && !el_json_get(node, "pattern") && !(f && !f->rule))
            return el_js_fail(js, EL_E_UNSUPPORTED, v, "'pattern' and 'format' of two schemas cannot be combined");
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
    if (bounded && (min > EL_MAX_GRAMMAR_REPEAT || (max != UINT32_MAX && max > EL_MAX_GRAMMAR_REPEAT)))
        return el_js_fail(js, EL_E_UNSUPPORTED, list->items[0].node, "lengths of more than %d characters", EL_MAX_GRAMMAR_REPEAT);
    *never = min > max;
    if (*never)
        return EL_OK;
    if (pattern) { /* a format beside it is a comment, as JSON Schema has it since 2019-09; generators write both for one thing */
        EL_TRY(check_formats(js, list));
        return el_js_pattern(js, pattern, el_json_str(pattern), min, max, body);
    }
    if (format)
        return write_format(js, format, min, max, body);
    if (bounded)
        write_lengths(js, min, max, body);
    else
        el_js_use(js, "string", body);
    return EL_OK;
}

/* ---- strings that are known ---- */

/* A pattern or format as the grammar that it would be written as. */
static enum el_status open_grammar(const struct el_js *js, const struct el_json *node, bool is_format,
                                   struct el_grammar **grammar)
{
    struct el_js alone = {.root = js->root, .what = js->what, .steps = js->steps, .err = js->err};
    struct el_buf text;
    *grammar = NULL;
    el_buf_init(&alone.out);
    el_buf_init(&text);
    el_buf_add_str(&text, "root ::= ");
    enum el_status status = is_format ? write_format(&alone, node, 0, UINT32_MAX, &text)
                                      : el_js_pattern(&alone, node, el_json_str(node), 0, UINT32_MAX, &text);
    el_buf_add_byte(&text, '\n');
    el_buf_add(&text, alone.out.data, alone.out.nbytes);
    if (status == EL_OK && (text.failed || alone.out.failed))
        status = el_fail(js->err, EL_E_MEMORY, "%s: out of memory", js->what);
    if (status == EL_OK)
        status = el_grammar_parse(text.data, text.nbytes, js->what, NULL, grammar, js->err);
    el_buf_release(&text);
    el_buf_release(&alone.out);
    return status;
}

/* Does the grammar take the text? Not el_grammar_accepts: m has one budget for all of the values. */
static enum el_status is_taken(const struct el_js *js, struct el_gmatch *m, const char *text, bool *taken)
{
    struct el_buf json;
    uint32_t state, next;
    size_t n = 0;
    el_buf_init(&json);
    el_buf_add_json_str(&json, text, strlen(text));
    enum el_status status =
        json.failed ? el_fail(js->err, EL_E_MEMORY, "%s: out of memory", js->what) : el_gmatch_start(m, &state, js->err);
    for (; status == EL_OK && n < json.nbytes; n++, state = next) {
        status = el_gmatch_step(m, &state, 1, (uint8_t)json.data[n], &next, js->err);
        if (status != EL_OK || next == EL_G_DEAD)
            break;
    }
    if (status == EL_OK && n < json.nbytes && el_gmatch_too_deep(m))
        status = el_fail(js->err, EL_E_UNSUPPORTED, "more than %d rules within rules", EL_MAX_GRAMMAR_DEPTH);
    *taken = status == EL_OK && n == json.nbytes && el_gmatch_can_end(m, state);
    el_buf_release(&json);
    return status == EL_E_UNSUPPORTED ? el_fail_prefix(js->err, status, "%s: '%.40s' of enum or const", js->what, text) : status;
}

static bool has_length(const char *text, uint32_t min, uint32_t max)
{
    uint32_t n = 0;
    for (const char *c = text; *c; c++)
        n += ((unsigned char)*c & 0xc0) != 0x80; /* the first byte of a character */
    return n >= min && n <= max;
}

/* One filter: by the grammar, or without one by length. */
static enum el_status keep(const struct el_js *js, struct el_gmatch *grammar, uint32_t min, uint32_t max, struct el_buf *values)
{
    const struct el_json **const v = (const struct el_json **)(void *)values->data;
    const size_t n = values->nbytes / sizeof *v;
    size_t kept = 0;
    for (size_t i = 0; i < n; i++) {
        const char *const text = el_json_is(v[i], EL_JSON_STR) ? el_json_str(v[i]) : NULL;
        bool fits = true;
        EL_TRY(el_js_work(js, grammar ? 100 : 1));
        if (text && grammar)
            EL_TRY(is_taken(js, grammar, text, &fits));
        else if (text)
            fits = has_length(text, min, max);
        if (fits)
            v[kept++] = v[i];
    }
    values->nbytes = kept * sizeof *v;
    return EL_OK;
}

enum el_status el_js_keep_strings(const struct el_js *js, const struct el_js_list *list, struct el_buf *values)
{
    enum { MAX_STEPS = 2000000, OPEN_STEPS = 1 << 18 }; /* through a grammar; as much work as to open one */
    uint32_t min = 0, max = UINT32_MAX;
    EL_TRY(el_js_count(js, list, "minLength", true, &min));
    EL_TRY(el_js_count(js, list, "maxLength", false, &max));
    EL_TRY(keep(js, NULL, min, max, values));
    for (int k = 0; k < 2; k++) {
        const struct el_json *v;
        for (uint32_t i = 0; values->nbytes && (v = el_js_keyword(list, k ? "format" : "pattern", &i));) {
            struct el_grammar *grammar;
            if (!el_json_is(v, EL_JSON_STR))
                return el_js_fail(js, EL_E_FORMAT, v, "expected a string");
            if (k == 1 && !find_format(el_json_str(v)))
                continue; /* "enum", say: the values are listed, so nothing is to be known of it */
            EL_TRY(open_grammar(js, v, k == 1, &grammar));
            struct el_gmatch *m = NULL;
            enum el_status status = el_js_work(js, OPEN_STEPS);
            if (status == EL_OK)
                status = el_gmatch_open(grammar, &el_gmatch_small, &m, js->err);
            if (status == EL_OK) {
                el_gmatch_set_budget(m, MAX_STEPS);
                status = keep(js, m, 0, 0, values);
                el_gmatch_close(m);
            }
            el_grammar_close(grammar);
            EL_TRY(status);
        }
    }
    return EL_OK;
}
