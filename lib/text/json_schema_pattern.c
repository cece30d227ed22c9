/*
 * A regular expression (ECMA-262, as JSON Schema has it) becomes rules over the characters of a JSON string. What a grammar
 * cannot say is refused by name: look-around, back-references, word boundaries, anchors in the middle, Unicode properties. A
 * character that JSON may write in several ways is written in the shortest here.
 *
 * minLength and maxLength beside a pattern hold where they can be put into it: where all its texts are within them, or where one
 * repeated character is all that makes their lengths differ ("^[a-z][a-z0-9]*$"), whose number of repetitions then is another.
 */
#include <stdio.h>
#include <string.h>

#include "base/utf8.h"
#include "text/grammar.h"
#include "text/json_schema.h"

enum { MAX_GROUPS = 60 };

struct regex {
    struct el_js *js;
    const struct el_json *node;
    const char *p;
    unsigned depth;
    uint32_t min, max; /* characters that a text may have */
};

/* How many characters something takes, or how often it comes. */
struct span {
    uint32_t lo, hi; /* hi UINT32_MAX: any number */
};

static uint32_t times(uint32_t a, uint32_t b)
{
    const uint64_t n = (uint64_t)a * b;
    return n && (a == UINT32_MAX || b == UINT32_MAX || n > UINT32_MAX) ? UINT32_MAX : (uint32_t)n;
}

static uint32_t plus(uint32_t a, uint32_t b)
{
    return a > UINT32_MAX - b ? UINT32_MAX : a + b;
}

/* What stands at p, for messages. */
struct place {
    char text[32];
};

static struct place place(const struct regex *r)
{
    struct place p = {"the end"};
    if (*r->p)
        (void)snprintf(p.text, sizeof p.text, "'%.20s'", r->p);
    return p;
}

static enum el_status refuse(const struct regex *r, const char *what)
{
    return el_js_fail(r->js, EL_E_UNSUPPORTED, r->node, "%s at %s cannot be made into a grammar", what, place(r).text);
}

static enum el_status wrong(const struct regex *r, const char *expected)
{
    return el_js_fail(r->js, EL_E_FORMAT, r->node, "found %s, expected %s", place(r).text, expected);
}

/* The character at p, which is not the end; its bytes. */
static size_t decode(const struct regex *r, uint32_t *cp)
{
    return el_utf8_decode(r->p, strnlen(r->p, 4), cp); /* not strlen: for each character again, that takes long */
}

/* ---- sets of characters ---- */

static void add_range(struct el_buf *set, uint32_t lo, uint32_t hi)
{
    const struct el_gchars c = {lo, hi};
    el_buf_add(set, &c, sizeof c);
}

/*
 * \d \w \s, and their opposites. White space is what is white to every reader of patterns, and not white what is so to none; the
 * other way round where the set that it is added to is negated.
 */
static bool add_class(struct el_buf *set, char letter, bool negated)
{
    static const struct el_gchars digits[] = {{'0', '9'}}, words[] = {{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}},
                                  spaces[] = {{'\t', '\r'}, {' ', ' '}},
                                  all_spaces[] = {{'\t', '\r'},     {0x1c, ' '},      {0x85, 0x85},     {0xa0, 0xa0},
                                                  {0x1680, 0x1680}, {0x2000, 0x200a}, {0x2028, 0x2029}, {0x202f, 0x202f},
                                                  {0x205f, 0x205f}, {0x3000, 0x3000}, {0xfeff, 0xfeff}};
    const size_t first = set->nbytes / sizeof digits[0];
    switch (letter) {
    case 'd':
    case 'D': el_buf_add(set, digits, sizeof digits); break;
    case 'w':
    case 'W': el_buf_add(set, words, sizeof words); break;
    case 's':
    case 'S':
        if ((letter == 'S') != negated)
            el_buf_add(set, all_spaces, sizeof all_spaces);
        else
            el_buf_add(set, spaces, sizeof spaces);
        break;
    default: return false;
    }
    if (letter == 'D' || letter == 'W' || letter == 'S')
        (void)el_gchars_normalise(set, first, true);
    return true;
}

static bool holds(const struct el_gchars *c, size_t n, uint32_t cp)
{
    for (size_t i = 0; i < n; i++)
        if (cp >= c[i].lo && cp <= c[i].hi)
            return true;
    return false;
}

/* A set as GBNF: characters that stand for themselves, and those that JSON escapes. */
static void write_set(struct el_buf *set, struct el_buf *body)
{
    static const char escaped[] = "\"\\\b\f\n\r\t", letters[] = "\"\\bfnrt";
    const size_t n = el_gchars_normalise(set, 0, false);
    const struct el_gchars *const c = (const struct el_gchars *)(const void *)set->data;
    struct el_buf raw, shorts, low[2];
    el_buf_init(&raw);
    el_buf_init(&shorts);
    el_buf_init(&low[0]);
    el_buf_init(&low[1]);
    for (size_t i = 0; i < n; i++) {
        const uint32_t cuts[] = {0x20, '"', '"' + 1, '\\', '\\' + 1, 0x110000};
        for (size_t k = 0; k < 5; k += 2) { /* the three stretches of characters that stand for themselves */
            const uint32_t lo = c[i].lo > cuts[k] ? c[i].lo : cuts[k], hi = c[i].hi < cuts[k + 1] - 1 ? c[i].hi : cuts[k + 1] - 1;
            if (lo <= hi)
                el_buf_addf(&raw, "\\U%08X-\\U%08X", (unsigned)lo, (unsigned)hi);
        }
    }
    for (size_t i = 0; i < sizeof letters - 1; i++)
        if (holds(c, n, (unsigned char)escaped[i]))
            el_buf_addf(&shorts, "%s%c", letters[i] == '\\' ? "\\" : "", letters[i]);
    for (uint32_t cp = 0; cp < 0x20; cp++)
        if (holds(c, n, cp) && !memchr(escaped + 2, (int)cp, sizeof escaped - 3))
            el_buf_addf(&low[cp >> 4], (cp & 15) < 10 ? "%x" : "%x%X", (unsigned)(cp & 15), (unsigned)(cp & 15));
    const char *separator = "( ";
    if (raw.nbytes) {
        el_buf_addf(body, "%s[%s]", separator, raw.data);
        separator = " | ";
    }
    if (shorts.nbytes) {
        el_buf_addf(body, "%s\"\\\\\" [%s]", separator, shorts.data);
        separator = " | ";
    }
    for (unsigned i = 0; i < 2; i++)
        if (low[i].nbytes) {
            el_buf_addf(body, "%s\"\\\\u00%u\" [%s]", separator, i, low[i].data);
            separator = " | ";
        }
    el_buf_add_str(body, " )");
    body->failed |= set->failed || raw.failed || shorts.failed || low[0].failed || low[1].failed;
    el_buf_release(&raw);
    el_buf_release(&shorts);
    el_buf_release(&low[0]);
    el_buf_release(&low[1]);
}

/* ---- atoms ---- */

static int hex_digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static enum el_status parse_hex(struct regex *r, int n, uint32_t *cp)
{
    *cp = 0;
    for (; n > 0; n--, r->p++) {
        if (hex_digit(*r->p) < 0)
            return wrong(r, "a hexadecimal digit");
        *cp = *cp << 4 | (uint32_t)hex_digit(*r->p);
    }
    if (*cp >= 0xd800 && *cp <= 0xdfff)
        return refuse(r, "a surrogate");
    return EL_OK;
}

/* Behind a backslash: one character in *cp, or a class added to set (then *is_class). */
static enum el_status parse_escape(struct regex *r, struct el_buf *set, bool negated, bool *is_class, uint32_t *cp)
{
    static const char controls[] = "tnvfr";
    const char c = *r->p;
    *is_class = add_class(set, c, negated);
    if (*is_class) {
        r->p++;
        return EL_OK;
    }
    const char *const control = c ? strchr(controls, c) : NULL;
    if (control) {
        *cp = c == 'n' ? '\n' : c == 'v' ? 0x0b : c == 'f' ? '\f' : c == 'r' ? '\r' : '\t';
        r->p++;
        return EL_OK;
    }
    if (c == 'x' || c == 'u') {
        r->p++;
        return parse_hex(r, c == 'x' ? 2 : 4, cp);
    }
    if (c == '0' && hex_digit(r->p[1]) < 0)
        return refuse(r, "the character U+0000");
    if (c == 'b' || c == 'B')
        return refuse(r, "a word boundary");
    if (c >= '0' && c <= '9')
        return refuse(r, "a back-reference");
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || !c)
        return refuse(r, "an escape");
    r->p += decode(r, cp);
    return EL_OK;
}

/* One end of a range in a class. */
static enum el_status parse_member(struct regex *r, struct el_buf *set, bool negated, bool *is_class, uint32_t *cp)
{
    *is_class = false;
    if (!*r->p)
        return wrong(r, "']'");
    if (*r->p == '\\') {
        r->p++;
        if (*r->p == 'b') {
            r->p++;
            *cp = '\b';
            return EL_OK;
        }
        return parse_escape(r, set, negated, is_class, cp);
    }
    r->p += decode(r, cp);
    return EL_OK;
}

static enum el_status parse_class(struct regex *r, struct el_buf *set)
{
    const char *const from = r->p++;
    const bool negated = *r->p == '^';
    unsigned spaces = 0; /* \s, \S */
    r->p += negated;
    while (*r->p != ']') {
        uint32_t lo = 0, hi = 0;
        bool is_class, hi_class = false;
        EL_TRY(parse_member(r, set, negated, &is_class, &lo));
        if (is_class) {
            spaces |= r->p[-1] == 's' ? 1u : r->p[-1] == 'S' ? 2u : 0u;
            continue;
        }
        hi = lo;
        if (*r->p == '-' && r->p[1] && r->p[1] != ']') {
            r->p++;
            EL_TRY(parse_member(r, set, negated, &hi_class, &hi));
            if (hi_class || hi < lo)
                return wrong(r, "the higher end of a range");
        }
        add_range(set, lo, hi);
    }
    r->p++;
    if (spaces == 3)
        add_range(set, 0, 0x10ffff);
    if (set->failed)
        return el_fail(r->js->err, EL_E_MEMORY, "%s: out of memory", r->js->what);
    if (el_gchars_normalise(set, 0, negated) == 0) {
        r->p = from;
        return wrong(r, "a class with characters in it");
    }
    return EL_OK;
}

static enum el_status parse_choice(struct regex *r, struct el_buf *body, struct span *length);

static enum el_status parse_group(struct regex *r, struct el_buf *body, struct span *length)
{
    r->p++;
    if (*r->p == '?') {
        if (r->p[1] == ':')
            r->p += 2;
        else if (r->p[1] == '<' && r->p[2] != '=' && r->p[2] != '!' && strchr(r->p, '>'))
            r->p = strchr(r->p, '>') + 1;
        else
            return refuse(r, "look-around or flags");
    }
    if (++r->depth > MAX_GROUPS)
        return refuse(r, "a group so deep");
    el_buf_add_str(body, "( ");
    EL_TRY(parse_choice(r, body, length));
    if (*r->p != ')')
        return wrong(r, "')'");
    r->p++;
    r->depth--;
    el_buf_add_str(body, " )");
    return EL_OK;
}

static enum el_status parse_atom(struct regex *r, struct el_buf *body, struct span *length)
{
    struct el_buf set;
    uint32_t cp = 0;
    bool is_class = true;
    enum el_status status = EL_OK;
    *length = (struct span){1, 1};
    EL_TRY(el_js_work(r->js, *r->p == '[' || *r->p == '\\' || *r->p == '.' ? 2500 : 100)); /* what writing it takes */
    if (*r->p == '(')
        return parse_group(r, body, length);
    if (*r->p == '^' || *r->p == '$')
        return refuse(r, "an anchor in the middle");
    if (*r->p == ']' || *r->p == '{' || *r->p == '}')
        return refuse(r, "a bracket that stands for itself");
    if (strchr("*+?", *r->p))
        return wrong(r, "something to repeat");
    el_buf_init(&set);
    if (*r->p == '.') {
        static const struct el_gchars ends[] = {{'\n', '\n'}, {'\r', '\r'}, {0x2028, 0x2029}};
        el_buf_add(&set, ends, sizeof ends);
        (void)el_gchars_normalise(&set, 0, true);
        r->p++;
    } else if (*r->p == '[') {
        status = parse_class(r, &set);
    } else if (*r->p == '\\') {
        r->p++;
        status = parse_escape(r, &set, false, &is_class, &cp);
    } else {
        r->p += decode(r, &cp);
        is_class = false;
    }
    if (status == EL_OK && is_class)
        write_set(&set, body);
    else if (status == EL_OK)
        el_js_char(body, cp, false);
    el_buf_release(&set);
    return status;
}

static enum el_status parse_count(struct regex *r, uint32_t *n)
{
    if (*r->p < '0' || *r->p > '9')
        return wrong(r, "a number of repetitions");
    for (*n = 0; *r->p >= '0' && *r->p <= '9'; r->p++) {
        *n = *n * 10 + (uint32_t)(*r->p - '0');
        if (*n > EL_MAX_GRAMMAR_REPEAT)
            return refuse(r, "so many repetitions");
    }
    return EL_OK;
}

static enum el_status parse_quantifier(struct regex *r, struct span *count)
{
    *count = (struct span){1, 1};
    if (*r->p == '{') {
        r->p++;
        EL_TRY(parse_count(r, &count->lo));
        count->hi = count->lo;
        if (*r->p == ',') {
            count->hi = UINT32_MAX;
            if (*++r->p != '}')
                EL_TRY(parse_count(r, &count->hi));
        }
        if (*r->p != '}')
            return wrong(r, "'}'");
        if (count->hi < count->lo)
            return wrong(r, "the smaller number of repetitions first");
    } else if (*r->p == '*' || *r->p == '+' || *r->p == '?')
        *count = (struct span){*r->p == '+', *r->p == '?' ? 1 : UINT32_MAX};
    else
        return EL_OK;
    r->p++;
    r->p += *r->p == '?'; /* few or many: the same texts match */
    return *r->p && strchr("*+?{", *r->p) ? wrong(r, "no second repetition") : EL_OK;
}

static void write_count(struct el_buf *body, struct span count)
{
    if (count.hi == UINT32_MAX)
        el_buf_addf(body, count.lo == 0 ? "*" : count.lo == 1 ? "+" : "{%u,}", (unsigned)count.lo);
    else if (count.lo != 1 || count.hi != 1)
        el_buf_addf(body, "{%u,%u}", (unsigned)count.lo, (unsigned)count.hi);
}

/* ---- sequences ---- */

/* What a branch comes to, and the place of the one count that can make its length another. */
struct branch {
    struct span length;
    unsigned n_varying; /* parts of more than one length */
    bool has_count;     /* the last of them is one character, so many times: */
    struct span count;
    size_t from, to; /* where the count stands in the body */
};

static void add_part(struct branch *b, struct span length, struct span count, struct el_buf *body)
{
    const struct span all = {times(length.lo, count.lo), times(length.hi, count.hi)};
    const size_t from = body->nbytes;
    write_count(body, count);
    b->length = (struct span){plus(b->length.lo, all.lo), plus(b->length.hi, all.hi)};
    if (all.lo == all.hi)
        return;
    b->n_varying++;
    b->has_count = length.lo == 1 && length.hi == 1;
    b->count = count;
    b->from = from;
    b->to = body->nbytes;
}

/* Puts minLength and maxLength into a branch. */
static enum el_status fit_branch(const struct regex *r, const struct branch *b, struct el_buf *body)
{
    if (b->length.lo >= r->min && b->length.hi <= r->max)
        return EL_OK;
    if (b->n_varying != 1 || !b->has_count || b->length.lo > r->max || b->length.hi < r->min)
        return el_js_fail(r->js, EL_E_UNSUPPORTED, r->node, "minLength and maxLength cannot be put into this pattern");
    const uint32_t rest = b->length.lo - b->count.lo;
    struct span count = b->count;
    if (r->min > rest && r->min - rest > count.lo)
        count.lo = r->min - rest;
    if (r->max != UINT32_MAX && r->max - rest < count.hi)
        count.hi = r->max - rest;
    if (count.lo > EL_MAX_GRAMMAR_REPEAT || (count.hi != UINT32_MAX && count.hi > EL_MAX_GRAMMAR_REPEAT))
        return el_js_fail(r->js, EL_E_UNSUPPORTED, r->node, "lengths of more than %d characters", EL_MAX_GRAMMAR_REPEAT);
    struct el_buf tail;
    el_buf_init(&tail);
    el_buf_add(&tail, body->data + b->to, body->nbytes - b->to);
    body->nbytes = b->from;
    write_count(body, count);
    el_buf_add(body, tail.data, tail.nbytes);
    body->failed |= tail.failed;
    el_buf_release(&tail);
    return EL_OK;
}

static void any_text(struct regex *r, struct branch *b, struct el_buf *body)
{
    el_js_use(r->js, "char", body);
    add_part(b, (struct span){1, 1}, (struct span){0, UINT32_MAX}, body);
    el_buf_add_byte(body, ' ');
}

/* One alternative. Outside of groups it has anchors, and without one any text beside it. */
static enum el_status parse_branch(struct regex *r, struct branch *b, struct el_buf *body)
{
    const bool top = r->depth == 0;
    const size_t start = body->nbytes;
    bool ended = false;
    *b = (struct branch){.n_varying = 0};
    if (top && *r->p == '^')
        r->p++;
    else if (top)
        any_text(r, b, body);
    while (*r->p && *r->p != '|' && *r->p != ')') {
        struct span length, count;
        if (top && *r->p == '$' && (!r->p[1] || r->p[1] == '|')) {
            r->p++;
            ended = true;
            break;
        }
        EL_TRY(parse_atom(r, body, &length));
        EL_TRY(parse_quantifier(r, &count));
        add_part(b, length, count, body);
        el_buf_add_byte(body, ' ');
    }
    if (top && !ended)
        any_text(r, b, body);
    else if (body->nbytes == start)
        el_buf_add_str(body, "\"\"");
    return top ? fit_branch(r, b, body) : EL_OK;
}

/* Alternatives up to ')' or the end. */
static enum el_status parse_choice(struct regex *r, struct el_buf *body, struct span *length)
{
    *length = (struct span){UINT32_MAX, 0};
    for (;;) {
        struct branch b;
        EL_TRY(parse_branch(r, &b, body));
        length->lo = b.length.lo < length->lo ? b.length.lo : length->lo;
        length->hi = b.length.hi > length->hi ? b.length.hi : length->hi;
        if (*r->p != '|')
            return EL_OK;
        r->p++;
        el_buf_add_str(body, "| ");
    }
}

enum el_status el_js_pattern(struct el_js *js, const struct el_json *node, const char *pattern, uint32_t min, uint32_t max,
                             struct el_buf *body)
{
    struct regex r = {.js = js, .node = node, .p = pattern, .min = min, .max = max};
    struct span length;
    el_buf_add_str(body, "\"\\\"\" ( ");
    EL_TRY(parse_choice(&r, body, &length));
    if (*r.p)
        return wrong(&r, "the end of the pattern");
    el_buf_add_str(body, ") \"\\\"\"");
    return EL_OK;
}
