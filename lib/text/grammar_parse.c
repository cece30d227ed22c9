/*
 * Reads GBNF. The notation is llama.cpp's:
 *
 *   rule     name ::= choice            up to the end of the line; within ( ) and after ::= or | lines may end anywhere
 *   choice   sequence | sequence ...    a sequence may be empty
 *   item     "text"  [a-z]  [^a-z]  .  name  ( choice )  <[id]>  <token>  !<[id]>  !<token>
 *   after an item: * + ? {m} {m,} {m,n}
 *   escapes  \n \r \t \\ \" \[ \] \xHH \uHHHH \UHHHHHHHH; # begins a comment
 *
 * What llama.cpp lets through and what can only be a mistake is refused here: a rule defined twice, a range that runs backwards,
 * an empty class, surrogates.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/strmap.h"
#include "base/utf8.h"
#include "text/grammar.h"

struct parser {
    const char *text, *p, *end, *what;
    const struct el_tokenizer *tok;
    struct el_gtree *tree;
    struct el_strmap names; /* name -> index of the rule */
    unsigned depth;
    struct el_err *err;
};

enum { MAX_CODE_POINT = 0x10ffff, SURROGATE_LO = 0xd800, SURROGATE_HI = 0xdfff };

enum el_status el_gfail(struct el_err *err, const char *what, const char *text, size_t at, const char *fmt, ...)
{
    size_t line = 1, column = 1;
    for (size_t i = 0; i < at; i++) {
        if (text[i] == '\n') {
            line++;
            column = 1;
        } else if (((unsigned char)text[i] & 0xc0) != 0x80) {
            column++;
        }
    }
    char message[400];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(message, sizeof message, fmt, args);
    va_end(args);
    return el_fail(err, EL_E_FORMAT, "%s: line %zu, column %zu: %s", what, line, column, message);
}

/* What stands at p, for messages. */
struct shown {
    char text[24];
};

static struct shown show(const struct parser *ps, const char *p)
{
    struct shown s;
    const char *const end = ps->end;
    if (p >= end)
        (void)snprintf(s.text, sizeof s.text, "the end of the text");
    else if (*p == '\n' || *p == '\r')
        (void)snprintf(s.text, sizeof s.text, "the end of the line");
    else {
        uint32_t cp = 0;
        const size_t n = el_utf8_decode(p, (size_t)(end - p), &cp);
        (void)snprintf(s.text, sizeof s.text, "'%.*s'", n ? (int)n : 1, p);
    }
    return s;
}

static enum el_status expected(const struct parser *ps, const char *p, const char *what)
{
    return el_gfail(ps->err, ps->what, ps->text, (size_t)(p - ps->text), "found %s, expected %s", show(ps, p).text, what);
}

static bool is_word(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-';
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static void skip_space(struct parser *ps, bool newline_too)
{
    for (; ps->p < ps->end; ps->p++) {
        const char c = *ps->p;
        if (c == '#') {
            while (ps->p < ps->end && *ps->p != '\n' && *ps->p != '\r')
                ps->p++;
            ps->p--;
        } else if (c != ' ' && c != '\t' && !(newline_too && (c == '\n' || c == '\r')))
            return;
    }
}

static bool at(const struct parser *ps, char c)
{
    return ps->p < ps->end && *ps->p == c;
}

/* ---- building the tree ---- */

static struct el_gtree_node *node_at(const struct parser *ps, uint32_t i)
{
    return (struct el_gtree_node *)(void *)ps->tree->nodes.data + i;
}

static struct el_grule *rule_at(const struct parser *ps, uint32_t i)
{
    return (struct el_grule *)(void *)ps->tree->rules.data + i;
}

/* Index of a new node; 0 when out of memory, which the buffer remembers. */
static uint32_t add_node(struct parser *ps, enum el_gtree_kind kind, uint32_t a, uint32_t b, uint32_t child, const char *from)
{
    struct el_buf *const nodes = &ps->tree->nodes;
    const struct el_gtree_node n = {kind, a, b, child, 0, (uint32_t)(from - ps->text)};
    const uint32_t i = (uint32_t)(nodes->nbytes / sizeof n);
    el_buf_add(nodes, &n, sizeof n);
    return nodes->failed ? 0 : i;
}

static bool failed(const struct parser *ps)
{
    const struct el_gtree *const t = ps->tree;
    return t->nodes.failed || t->chars.failed || t->bytes.failed || t->rules.failed;
}

static enum el_status no_memory(const struct parser *ps)
{
    return el_fail(ps->err, EL_E_MEMORY, "%s: out of memory for a grammar", ps->what);
}

/* ---- characters ---- */

static enum el_status parse_hex(struct parser *ps, int n_digits, uint32_t *cp)
{
    static const char *const wanted[] = {
        [2] = "2 hexadecimal digits after \\x", [4] = "4 hexadecimal digits after \\u", [8] = "8 hexadecimal digits after \\U"};
    uint32_t v = 0;
    for (int i = 0; i < n_digits; i++, ps->p++) {
        const char c = ps->p < ps->end ? *ps->p : '\0';
        const int digit = is_digit(c) ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
        if (digit < 0)
            return expected(ps, ps->p, wanted[n_digits]);
        v = v << 4 | (uint32_t)digit;
    }
    *cp = v;
    return EL_OK;
}

/* One character of a literal or class, maybe escaped. The caller has seen that there is one. */
static enum el_status parse_char(struct parser *ps, uint32_t *cp)
{
    const char *const from = ps->p;
    if (*from != '\\') {
        const size_t n = el_utf8_decode(from, (size_t)(ps->end - from), cp);
        if (n == 0)
            return el_gfail(ps->err, ps->what, ps->text, (size_t)(from - ps->text), "byte 0x%02x is not UTF-8 text",
                            (unsigned)(unsigned char)*from);
        ps->p += n;
        return EL_OK;
    }
    const char c = from + 1 < ps->end ? from[1] : '\0';
    ps->p += 2;
    switch (c) {
    case 'n': *cp = '\n'; return EL_OK;
    case 'r': *cp = '\r'; return EL_OK;
    case 't': *cp = '\t'; return EL_OK;
    case '\\':
    case '"':
    case '[':
    case ']': *cp = (uint32_t)c; return EL_OK;
    case 'x': return parse_hex(ps, 2, cp);
    case 'u': EL_TRY(parse_hex(ps, 4, cp)); break;
    case 'U': EL_TRY(parse_hex(ps, 8, cp)); break;
    default: return expected(ps, from + 1, "an escape: \\n \\r \\t \\\\ \\\" \\[ \\] \\xHH \\uHHHH \\UHHHHHHHH");
    }
    if (*cp > MAX_CODE_POINT)
        return el_gfail(ps->err, ps->what, ps->text, (size_t)(from - ps->text), "U+%08X, the highest character is U+10FFFF",
                        (unsigned)*cp);
    return EL_OK;
}

static enum el_status parse_literal(struct parser *ps, uint32_t *node)
{
    const char *const from = ps->p++;
    struct el_buf *const bytes = &ps->tree->bytes;
    const size_t before = bytes->nbytes;
    while (!at(ps, '"')) {
        const char *const char_from = ps->p;
        if (ps->p == ps->end)
            return el_gfail(ps->err, ps->what, ps->text, (size_t)(from - ps->text), "found a text without its closing '\"'");
        uint32_t cp = 0;
        EL_TRY(parse_char(ps, &cp));
        if (cp >= SURROGATE_LO && cp <= SURROGATE_HI)
            return el_gfail(ps->err, ps->what, ps->text, (size_t)(char_from - ps->text),
                            "found the surrogate U+%04X, which is no character", (unsigned)cp);
        char utf8[4];
        el_buf_add(bytes, utf8, el_utf8_encode(cp, utf8));
    }
    ps->p++;
    *node = add_node(ps, EL_GT_LITERAL, (uint32_t)before, (uint32_t)(bytes->nbytes - before), 0, from);
    return EL_OK;
}

static int by_lo(const void *a, const void *b)
{
    const struct el_gchars *const x = a, *const y = b;
    return x->lo < y->lo ? -1 : x->lo > y->lo;
}

/* Appends [lo, hi] without the surrogates. */
static void add_chars(struct el_buf *out, uint32_t lo, uint32_t hi)
{
    if (lo < SURROGATE_LO)
        el_buf_add(out, &(struct el_gchars){lo, hi < SURROGATE_LO ? hi : SURROGATE_LO - 1}, sizeof(struct el_gchars));
    if (hi > SURROGATE_HI)
        el_buf_add(out, &(struct el_gchars){lo > SURROGATE_HI ? lo : SURROGATE_HI + 1, hi}, sizeof(struct el_gchars));
}

size_t el_gchars_normalise(struct el_buf *chars, size_t first, bool negated)
{
    struct el_buf raw;
    el_buf_init(&raw);
    el_buf_add(&raw, chars->data + first * sizeof(struct el_gchars), chars->nbytes - first * sizeof(struct el_gchars));
    struct el_gchars *const c = (struct el_gchars *)(void *)raw.data;
    const size_t n = raw.nbytes / sizeof *c;
    if (n > 0)
        qsort(c, n, sizeof *c, by_lo);
    if (raw.failed)
        chars->failed = true;
    else
        chars->nbytes = first * sizeof *c;
    uint32_t next = 0; /* negated: the first character after the last range */
    for (size_t i = 0; i < n && !raw.failed;) {
        struct el_gchars r = c[i++];
        while (i < n && c[i].lo <= r.hi + 1) {
            if (c[i].hi > r.hi)
                r.hi = c[i].hi;
            i++;
        }
        if (!negated)
            add_chars(chars, r.lo, r.hi);
        else if (r.lo > next)
            add_chars(chars, next, r.lo - 1);
        next = r.hi + 1;
    }
    if (negated && !raw.failed && next <= MAX_CODE_POINT)
        add_chars(chars, next, MAX_CODE_POINT);
    el_buf_release(&raw);
    return chars->nbytes / sizeof *c - first;
}

static enum el_status parse_class(struct parser *ps, uint32_t *node)
{
    const char *const from = ps->p++;
    struct el_buf *const chars = &ps->tree->chars;
    const size_t first = chars->nbytes / sizeof(struct el_gchars);
    const bool negated = at(ps, '^');
    if (negated)
        ps->p++;
    if (at(ps, ']'))
        return el_gfail(ps->err, ps->what, ps->text, (size_t)(from - ps->text),
                        "found an empty class, expected characters or ranges (any character is '.')");
    while (!at(ps, ']')) {
        struct el_gchars r = {0, 0};
        const char *const range_from = ps->p;
        if (ps->p == ps->end)
            return el_gfail(ps->err, ps->what, ps->text, (size_t)(from - ps->text), "found a class without its closing ']'");
        EL_TRY(parse_char(ps, &r.lo));
        r.hi = r.lo;
        if (at(ps, '-') && ps->p + 1 < ps->end && ps->p[1] != ']') {
            ps->p++;
            EL_TRY(parse_char(ps, &r.hi));
            if (r.hi < r.lo)
                return el_gfail(ps->err, ps->what, ps->text, (size_t)(range_from - ps->text),
                                "found a range from U+%04X down to U+%04X, expected the lower end first", (unsigned)r.lo,
                                (unsigned)r.hi);
        }
        el_buf_add(chars, &r, sizeof r);
    }
    ps->p++;
    const size_t n = el_gchars_normalise(chars, first, negated);
    if (n == 0 && !chars->failed)
        return el_gfail(ps->err, ps->what, ps->text, (size_t)(from - ps->text), "found a class that no character is in");
    *node = add_node(ps, EL_GT_CLASS, (uint32_t)first, (uint32_t)n, 0, from);
    return EL_OK;
}

static enum el_status parse_dot(struct parser *ps, uint32_t *node)
{
    struct el_buf *const chars = &ps->tree->chars;
    const size_t first = chars->nbytes / sizeof(struct el_gchars);
    const size_t n = el_gchars_normalise(chars, first, true); /* all that are not in the empty set */
    *node = add_node(ps, EL_GT_CLASS, (uint32_t)first, (uint32_t)n, 0, ps->p++);
    return EL_OK;
}

/* ---- tokens, numbers ---- */

/* A number of at most max; more digits are refused. */
static enum el_status parse_number(struct parser *ps, uint32_t max, const char *what, uint32_t *out)
{
    const char *const from = ps->p;
    uint64_t v = 0;
    if (ps->p == ps->end || !is_digit(*ps->p))
        return expected(ps, ps->p, what);
    for (; ps->p < ps->end && is_digit(*ps->p); ps->p++) {
        v = v * 10 + (uint64_t)(*ps->p - '0');
        if (v > max)
            return el_gfail(ps->err, ps->what, ps->text, (size_t)(from - ps->text), "found %llu... as %s, at most %u",
                            (unsigned long long)v, what, (unsigned)max);
    }
    *out = (uint32_t)v;
    return EL_OK;
}

static enum el_status parse_token(struct parser *ps, uint32_t *node)
{
    const char *const from = ps->p;
    const bool negated = *from == '!';
    ps->p += negated;
    if (!at(ps, '<'))
        return expected(ps, ps->p, "a token after '!': <[id]> or <token>");
    const char *const open = ps->p++;
    uint32_t id = 0;
    if (!ps->tok)
        return el_gfail(ps->err, ps->what, ps->text, (size_t)(from - ps->text),
                        "found a reference to a token, but there is no vocabulary here");
    const size_t n_vocab = el_tok_n_vocab(ps->tok);
    if (at(ps, '[')) {
        ps->p++;
        EL_TRY(parse_number(ps, n_vocab ? (uint32_t)(n_vocab - 1) : 0, "the id of a token", &id));
        if (!at(ps, ']'))
            return expected(ps, ps->p, "']' after the id of a token");
        ps->p++;
        if (!at(ps, '>'))
            return expected(ps, ps->p, "'>' after the id of a token");
        ps->p++;
    } else {
        const char *const close = memchr(open, '>', (size_t)(ps->end - open));
        if (!close)
            return el_gfail(ps->err, ps->what, ps->text, (size_t)(open - ps->text), "found a token without its closing '>'");
        ps->p = close + 1;
        int32_t *ids = NULL;
        size_t n_ids = 0;
        EL_TRY(el_encode(ps->tok, open, (size_t)(ps->p - open), EL_TOK_PARSE_SPECIAL, &ids, &n_ids, ps->err));
        if (n_ids == 1)
            id = (uint32_t)ids[0];
        el_free(ids);
        if (n_ids != 1)
            return el_gfail(ps->err, ps->what, ps->text, (size_t)(open - ps->text), "'%.*s' is %zu tokens of this model, not one",
                            (int)(ps->p - open > 64 ? 64 : ps->p - open), open, n_ids);
    }
    *node = add_node(ps, negated ? EL_GT_NOT_TOKEN : EL_GT_TOKEN, id, 0, 0, from);
    return EL_OK;
}

/* ---- rules ---- */

/* The index of the rule of this name, new or not. */
static enum el_status rule_named(struct parser *ps, const char *name, size_t nbytes, uint32_t *index)
{
    struct el_buf *const rules = &ps->tree->rules;
    const struct el_grule r = {.name = name, .name_nbytes = (uint32_t)nbytes, .at = (uint32_t)(name - ps->text)};
    const int64_t n = (int64_t)(rules->nbytes / sizeof r);
    const int64_t found = el_strmap_get(&ps->names, name, nbytes, -1);
    if (found >= 0) {
        *index = (uint32_t)found;
        return EL_OK;
    }
    if (n >= EL_MAX_GRAMMAR_RULES)
        return el_gfail(ps->err, ps->what, ps->text, (size_t)(name - ps->text), "more than %d rules", EL_MAX_GRAMMAR_RULES);
    el_buf_add(rules, &r, sizeof r);
    if (rules->failed || !el_strmap_add(&ps->names, name, nbytes, n, NULL))
        return no_memory(ps);
    *index = (uint32_t)n;
    return EL_OK;
}

static const char *word_end(const struct parser *ps)
{
    const char *p = ps->p;
    while (p < ps->end && is_word(*p))
        p++;
    return p;
}

static enum el_status parse_choice(struct parser *ps, bool nested, uint32_t *node);

static enum el_status too_deep(const struct parser *ps)
{
    return el_gfail(ps->err, ps->what, ps->text, (size_t)(ps->p - ps->text), "nested deeper than %d groups and repetitions",
                    EL_MAX_GRAMMAR_NESTING);
}

static enum el_status parse_item(struct parser *ps, bool nested, uint32_t *node)
{
    const char *const from = ps->p;
    switch (*from) {
    case '"': return parse_literal(ps, node);
    case '[': return parse_class(ps, node);
    case '.': return parse_dot(ps, node);
    case '<':
    case '!': return parse_token(ps, node);
    case '(':
        if (++ps->depth > EL_MAX_GRAMMAR_NESTING)
            return too_deep(ps);
        ps->p++;
        skip_space(ps, true);
        EL_TRY(parse_choice(ps, true, node));
        if (!at(ps, ')'))
            return expected(ps, ps->p, nested ? "an item, '|' or ')'" : "an item, '|' or the ')' of this group");
        ps->p++;
        ps->depth--;
        return EL_OK;
    default: {
        uint32_t rule = 0;
        ps->p = word_end(ps);
        EL_TRY(rule_named(ps, from, (size_t)(ps->p - from), &rule));
        *node = add_node(ps, EL_GT_RULE, rule, 0, 0, from);
        return EL_OK;
    }
    }
}

/* {m} {m,} {m,n} */
static enum el_status parse_braces(struct parser *ps, bool nested, uint32_t *min, uint32_t *max)
{
    const char *const from = ps->p++;
    skip_space(ps, nested);
    EL_TRY(parse_number(ps, EL_MAX_GRAMMAR_REPEAT, "a number of repetitions", min));
    *max = *min;
    skip_space(ps, nested);
    if (at(ps, ',')) {
        ps->p++;
        skip_space(ps, nested);
        *max = UINT32_MAX;
        if (ps->p < ps->end && is_digit(*ps->p))
            EL_TRY(parse_number(ps, EL_MAX_GRAMMAR_REPEAT, "a number of repetitions", max));
        skip_space(ps, nested);
        if (!at(ps, '}'))
            return expected(ps, ps->p, *max == UINT32_MAX ? "a number or '}'" : "'}'");
    } else if (!at(ps, '}'))
        return expected(ps, ps->p, "',' or '}'");
    ps->p++;
    if (*max < *min)
        return el_gfail(ps->err, ps->what, ps->text, (size_t)(from - ps->text),
                        "found {%u,%u}, expected the smaller number first", (unsigned)*min, (unsigned)*max);
    return EL_OK;
}

/* The repetitions after an item; each applies to all before it: x+? is (x+)?. */
static enum el_status parse_repeats(struct parser *ps, bool nested, uint32_t *node)
{
    const unsigned depth = ps->depth;
    for (;;) {
        const char *const from = ps->p;
        uint32_t min = 0, max = UINT32_MAX;
        if (at(ps, '*') || at(ps, '+') || at(ps, '?')) {
            min = *from == '+';
            max = *from == '?' ? 1 : UINT32_MAX;
            ps->p++;
        } else if (at(ps, '{'))
            EL_TRY(parse_braces(ps, nested, &min, &max));
        else
            break;
        if (++ps->depth > EL_MAX_GRAMMAR_NESTING)
            return too_deep(ps);
        *node = add_node(ps, EL_GT_REPEAT, min, max, *node, from);
        skip_space(ps, nested);
    }
    ps->depth = depth;
    return EL_OK;
}

/* Items up to the end of the line (of the group, when nested), '|' or ')'. */
static enum el_status parse_sequence(struct parser *ps, bool nested, uint32_t *node)
{
    const uint32_t sequence = add_node(ps, EL_GT_SEQUENCE, 0, 0, 0, ps->p);
    uint32_t last = 0;
    while (ps->p < ps->end && (is_word(*ps->p) || memchr("\"[.<!(", *ps->p, 6))) {
        uint32_t item = 0;
        EL_TRY(parse_item(ps, nested, &item));
        skip_space(ps, nested);
        EL_TRY(parse_repeats(ps, nested, &item));
        if (failed(ps))
            return no_memory(ps);
        if (last)
            node_at(ps, last)->sibling = item;
        else
            node_at(ps, sequence)->child = item;
        last = item;
    }
    if (ps->p < ps->end && memchr("*+?{", *ps->p, 4))
        return expected(ps, ps->p, "an item before it: \"text\", [class], '.', a rule, (group) or <token>");
    *node = sequence;
    return EL_OK;
}

static enum el_status parse_choice(struct parser *ps, bool nested, uint32_t *node)
{
    const uint32_t choice = add_node(ps, EL_GT_CHOICE, 0, 0, 0, ps->p);
    uint32_t last = 0;
    for (;;) {
        uint32_t sequence = 0;
        EL_TRY(parse_sequence(ps, nested, &sequence));
        if (failed(ps))
            return no_memory(ps);
        if (last)
            node_at(ps, last)->sibling = sequence;
        else
            node_at(ps, choice)->child = sequence;
        last = sequence;
        if (!at(ps, '|'))
            break;
        ps->p++;
        skip_space(ps, true);
    }
    *node = choice;
    return EL_OK;
}

static enum el_status parse_rule(struct parser *ps)
{
    const char *const name = ps->p;
    const char *const name_end = word_end(ps);
    uint32_t rule = 0, body = 0;
    if (name_end == name)
        return expected(ps, name, "the name of a rule: letters, digits and '-'");
    ps->p = name_end;
    skip_space(ps, false);
    if (ps->end - ps->p < 3 || memcmp(ps->p, "::=", 3) != 0)
        return expected(ps, ps->p, "'::=' after the name of a rule (letters, digits and '-')");
    ps->p += 3;
    EL_TRY(rule_named(ps, name, (size_t)(name_end - name), &rule));
    const uint32_t before = rule_at(ps, rule)->body;
    if (before)
        return el_gfail(ps->err, ps->what, ps->text, (size_t)(name - ps->text), "rule '%.*s' is defined for the second time",
                        (int)(name_end - name > 64 ? 64 : name_end - name), name);
    skip_space(ps, true);
    EL_TRY(parse_choice(ps, false, &body));
    rule_at(ps, rule)->body = body;
    rule_at(ps, rule)->at = (uint32_t)(name - ps->text);
    if (ps->p < ps->end && *ps->p != '\n' && *ps->p != '\r')
        return expected(ps, ps->p, "an item, '|' or the end of the rule");
    skip_space(ps, true);
    return EL_OK;
}

static enum el_status parse_all(struct parser *ps)
{
    skip_space(ps, true);
    while (ps->p < ps->end)
        EL_TRY(parse_rule(ps));
    const uint32_t n = (uint32_t)(ps->tree->rules.nbytes / sizeof(struct el_grule));
    for (uint32_t i = 0; i < n; i++) {
        const struct el_grule *const r = rule_at(ps, i);
        if (!r->body)
            return el_gfail(ps->err, ps->what, ps->text, r->at, "rule '%.*s' is not defined",
                            (int)(r->name_nbytes > 64 ? 64 : r->name_nbytes), r->name);
    }
    const int64_t root = el_strmap_get(&ps->names, "root", 4, -1);
    if (root < 0)
        return el_fail(ps->err, EL_E_FORMAT, "%s: no rule 'root', with which a text begins, among %u rules", ps->what,
                       (unsigned)n);
    ps->tree->root = (uint32_t)root;
    return EL_OK;
}

enum el_status el_gtree_parse(const char *text, size_t nbytes, const char *what, const struct el_tokenizer *tok,
                              struct el_gtree *tree, struct el_err *err)
{
    *tree = (struct el_gtree){.root = 0};
    el_buf_init(&tree->nodes);
    el_buf_init(&tree->chars);
    el_buf_init(&tree->bytes);
    el_buf_init(&tree->rules);
    if (nbytes > EL_MAX_GRAMMAR)
        return el_fail(err, EL_E_FORMAT, "%s: %zu bytes, at most %d", what, nbytes, EL_MAX_GRAMMAR);
    struct parser ps = {.text = text, .p = text, .end = text + nbytes, .what = what, .tok = tok, .tree = tree, .err = err};
    el_strmap_init(&ps.names);
    (void)add_node(&ps, EL_GT_SEQUENCE, 0, 0, 0, text); /* node 0 is no node */
    const enum el_status status = parse_all(&ps);
    el_strmap_release(&ps.names);
    return status == EL_OK && failed(&ps) ? no_memory(&ps) : status;
}

void el_gtree_release(struct el_gtree *tree)
{
    el_buf_release(&tree->nodes);
    el_buf_release(&tree->chars);
    el_buf_release(&tree->bytes);
    el_buf_release(&tree->rules);
}
