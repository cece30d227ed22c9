/*
 * Text to tokens: what stands between the brackets, and the rules of white space around them (trim_blocks: the line end behind a
 * block goes; lstrip_blocks: blanks before a block that begins its line go; '-' takes all white space, '+' switches it off).
 */
#include <math.h>
#include <string.h>

#include "base/buf.h"
#include "base/locale_c.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "text/jinja_impl.h"
#include "text/normalize.h"

struct cursor {
    struct el_jlex *lex;
    uint32_t at, line;
    uint32_t counted;   /* lines are counted up to here */
    bool line_starting; /* what was taken last ended with a line end */
};

static enum el_status fail_at(struct cursor *c, const char *what)
{
    for (; c->counted < c->at; c->counted++)
        c->line += c->lex->text[c->counted] == '\n';
    return el_fail(c->lex->err, EL_E_FORMAT, "%s: line %u: %s", c->lex->what, c->line, what);
}

static enum el_status add(struct cursor *c, struct el_jtok tok)
{
    struct el_jlex *const lex = c->lex;
    for (; c->counted < c->at; c->counted++)
        c->line += lex->text[c->counted] == '\n';
    tok.line = c->line;
    if (lex->n == lex->cap) {
        const uint32_t cap = lex->cap ? lex->cap * 2 : 256;
        struct el_jtok *const more = el_realloc_array(lex->tok, cap, sizeof *more);
        if (!more)
            return el_fail(lex->err, EL_E_MEMORY, "%s: out of memory for tokens", lex->what);
        lex->tok = more;
        lex->cap = cap;
    }
    lex->tok[lex->n++] = tok;
    return EL_OK;
}

/* The byte at at + i, or 0 past the end. */
static char byte_at(const struct cursor *c, uint32_t i)
{
    return c->lex->nbytes - c->at > i ? c->lex->text[c->at + i] : '\0';
}

static uint32_t code_point(const struct el_jlex *lex, uint32_t at, uint32_t *len)
{
    uint32_t cp = 0;
    *len = (uint32_t)el_utf8_decode(lex->text + at, lex->nbytes - at, &cp);
    return cp;
}

/* First byte at or after `at` that is no white space. */
static uint32_t skip_space(const struct el_jlex *lex, uint32_t at)
{
    while (at < lex->nbytes) {
        uint32_t len;
        if (!el_jinja_is_space(code_point(lex, at, &len)))
            break;
        at += len;
    }
    return at;
}

static bool word_follows(const struct el_jlex *lex, uint32_t at, const char *word, uint32_t *after)
{
    const uint32_t n = (uint32_t)strlen(word);
    if (lex->nbytes - at < n || memcmp(lex->text + at, word, n) != 0)
        return false;
    *after = at + n;
    return true;
}

/* Is the text from `begin` to `end` only white space? */
static bool all_space(const struct el_jlex *lex, uint32_t begin, uint32_t end)
{
    return begin < end && skip_space(lex, begin) >= end;
}

/* Data in front of a tag, cut as the tag's sign and the options want. block: statements and comments, not {{ }}. */
static enum el_status add_data(struct cursor *c, uint32_t begin, uint32_t end, char sign, bool block)
{
    const char *const text = c->lex->text;
    if (sign == '-') {
        const struct el_jval s = el_jv_str(text + begin, end - begin);
        end = begin + el_jinja_strip(s, NULL, EL_JINJA_RIGHT).n;
    } else if (block && sign != '+') {
        uint32_t line = end;
        while (line > begin && text[line - 1] != '\n')
            line--;
        if ((line > begin || c->line_starting) && all_space(c->lex, line, end))
            end = line;
    }
    return end > begin ? add(c, (struct el_jtok){.kind = EL_JT_DATA, .s = text + begin, .n = end - begin}) : EL_OK;
}

/* Moves over the end of a tag: close is its bracket without sign, at `at`. */
static void take_close(struct cursor *c, uint32_t after, char sign, bool trim)
{
    c->at = after;
    if (sign == '-')
        c->at = skip_space(c->lex, after);
    else if (sign != '+' && trim && byte_at(c, 0) == '\n')
        c->at++;
    c->line_starting = c->at > 0 && c->lex->text[c->at - 1] == '\n';
}

static bool is_sign(char ch)
{
    return ch == '-' || ch == '+';
}

static enum el_status comment(struct cursor *c, char sign)
{
    const uint32_t begin = c->at + 2 + (sign != '\0');
    uint32_t at = begin;
    for (; at + 1 < c->lex->nbytes; at++)
        if (c->lex->text[at] == '#' && c->lex->text[at + 1] == '}')
            break;
    if (at + 1 >= c->lex->nbytes)
        return fail_at(c, "a comment without an end");
    const char before = at > begin ? c->lex->text[at - 1] : '\0';
    take_close(c, at + 2, is_sign(before) ? before : '\0', true);
    return EL_OK;
}

/* {% raw %} text {% endraw %}; false when it is another statement. */
static enum el_status raw(struct cursor *c, bool *is_raw)
{
    struct el_jlex *const lex = c->lex;
    uint32_t at = c->at + 2, after;
    *is_raw = false;
    if (is_sign(byte_at(c, 2)))
        at++;
    at = skip_space(lex, at);
    if (!word_follows(lex, at, "raw", &after))
        return EL_OK;
    at = skip_space(lex, after);
    char sign = '\0';
    if (word_follows(lex, at, "-%}", &after))
        sign = '-';
    else if (!word_follows(lex, at, "%}", &after))
        return EL_OK;
    *is_raw = true;
    take_close(c, after, sign, false);
    for (uint32_t i = c->at; i < lex->nbytes; i++) {
        if (!word_follows(lex, i, "{%", &at))
            continue;
        char open = '\0', close = '\0';
        if (at < lex->nbytes && is_sign(lex->text[at]))
            open = lex->text[at++];
        if (!word_follows(lex, skip_space(lex, at), "endraw", &at))
            continue;
        at = skip_space(lex, at);
        if (at < lex->nbytes && is_sign(lex->text[at]))
            close = lex->text[at++];
        if (!word_follows(lex, at, "%}", &after))
            continue;
        EL_TRY(add_data(c, c->at, i, open, true));
        take_close(c, after, close, true);
        return EL_OK;
    }
    return fail_at(c, "raw without endraw");
}

/* ---- between the brackets ----------------------------------------------------------------------------------------- */

static bool is_digit(char ch)
{
    return ch >= '0' && ch <= '9';
}

/* Digits with single underscores between; how many bytes. */
static uint32_t digits(const struct cursor *c, uint32_t from)
{
    uint32_t n = from;
    if (!is_digit(byte_at(c, n)))
        return 0;
    while (is_digit(byte_at(c, n)) || (byte_at(c, n) == '_' && is_digit(byte_at(c, n + 1))))
        n++;
    return n - from;
}

static int digit_value(char ch)
{
    return is_digit(ch) ? ch - '0' : ch >= 'a' && ch <= 'f' ? ch - 'a' + 10 : ch >= 'A' && ch <= 'F' ? ch - 'A' + 10 : 99;
}

static enum el_status integer(struct cursor *c)
{
    int base = 10;
    uint32_t n = 0;
    const char prefix = byte_at(c, 0) == '0' ? (char)(byte_at(c, 1) | 0x20) : '\0';
    if (prefix == 'x' || prefix == 'o' || prefix == 'b') {
        base = prefix == 'x' ? 16 : prefix == 'o' ? 8 : 2;
        const uint32_t first = byte_at(c, 2) == '_' ? 3 : 2;
        if (digit_value(byte_at(c, first)) < base)
            n = first;
        else
            base = 10;
    }
    uint64_t value = 0;
    const bool zeros = base == 10 && byte_at(c, 0) == '0'; /* 012 is 0 and 12, and so no expression */
    for (;; n++) {
        if (byte_at(c, n) == '_' && n > 0 && digit_value(byte_at(c, n + 1)) < base)
            n++;
        const int d = digit_value(byte_at(c, n));
        if (d >= base || (zeros && d != 0))
            break;
        if (value > (INT64_MAX - (uint64_t)d) / (uint64_t)base)
            return fail_at(c, "an integer beyond 64 bits");
        value = value * (uint64_t)base + (uint64_t)d;
    }
    EL_TRY(add(c, (struct el_jtok){.kind = EL_JT_INT, .u.i = (int64_t)value}));
    c->at += n;
    return EL_OK;
}

static enum el_status number(struct cursor *c)
{
    const uint32_t whole = digits(c, 0);
    uint32_t n = whole, more;
    bool is_float = false;
    if (byte_at(c, n) == '.' && (more = digits(c, n + 1)) > 0) {
        n += 1 + more;
        is_float = true;
    }
    if ((byte_at(c, n) | 0x20) == 'e') {
        const uint32_t sign = is_sign(byte_at(c, n + 1));
        if ((more = digits(c, n + 1 + sign)) > 0) {
            n += 1 + sign + more;
            is_float = true;
        }
    }
    /* "a.1.5" is an element of an element. */
    if (!is_float || (c->at > 0 && c->lex->text[c->at - 1] == '.'))
        return integer(c);
    char text[128];
    uint32_t len = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (len == sizeof text - 1)
            return fail_at(c, "a number of more than 127 characters");
        if (byte_at(c, i) != '_')
            text[len++] = byte_at(c, i);
    }
    text[len] = '\0';
    EL_TRY(add(c, (struct el_jtok){.kind = EL_JT_FLOAT, .u.d = el_strtod_c(text, NULL)}));
    c->at += n;
    return EL_OK;
}

/* Hexadecimal escapes; 0 when the digits are missing. */
static uint32_t hex_escape(const char *s, uint32_t left, uint32_t n, uint32_t *cp)
{
    *cp = 0;
    if (left < n)
        return 0;
    for (uint32_t i = 0; i < n; i++) {
        const int d = digit_value(s[i]);
        if (d > 15)
            return 0;
        *cp = *cp << 4 | (uint32_t)d;
    }
    return n;
}

/* One escape at s (behind the backslash); *used bytes. False: not valid. */
static bool escape(const char *s, uint32_t left, struct el_buf *out, uint32_t *used)
{
    static const char from[] = "ntrabfv\\'\"", to[] = "\n\t\r\a\b\f\v\\'\"";
    const char *const simple = s[0] ? strchr(from, s[0]) : NULL;
    uint32_t cp = 0;
    char bytes[4];
    *used = 1;
    if (simple) {
        el_buf_add_byte(out, (uint8_t)to[simple - from]);
        return true;
    }
    if (s[0] == '\n')
        return true;
    if (s[0] >= '0' && s[0] <= '7') {
        uint32_t n = 0;
        for (; n < 3 && n < left && s[n] >= '0' && s[n] <= '7'; n++)
            cp = cp * 8 + (uint32_t)(s[n] - '0');
        *used = n;
    } else if (s[0] == 'x' || s[0] == 'u' || s[0] == 'U') {
        const uint32_t n = hex_escape(s + 1, left - 1, s[0] == 'x' ? 2 : s[0] == 'u' ? 4 : 8, &cp);
        if (n == 0 || cp > 0x10ffff || (cp >= 0xd800 && cp < 0xe000))
            return false;
        *used = 1 + n;
    } else if (s[0] == 'N') {
        return false; /* character names */
    } else if ((unsigned char)s[0] >= 0x80) {
        /* Python's decoder sees such a character as its own escape, of which the backslash is eaten here. */
        *used = (uint32_t)el_utf8_decode(s, left, &cp);
        el_buf_addf(out, cp < 0x100 ? "\\x%02x" : cp < 0x10000 ? "\\u%04x" : "\\U%08x", (unsigned)cp);
        return true;
    } else {
        el_buf_add_byte(out, '\\');
        el_buf_add_byte(out, (uint8_t)s[0]);
        return true;
    }
    el_buf_add(out, bytes, el_utf8_encode(cp, bytes));
    return true;
}

static enum el_status string(struct cursor *c)
{
    const char quote = byte_at(c, 0);
    const char *const s = c->lex->text + c->at + 1;
    const uint32_t left = c->lex->nbytes - c->at - 1;
    uint32_t n = 0;
    bool escapes = false;
    while (n < left && s[n] != quote) {
        if (s[n] == '\\') {
            escapes = true;
            n++;
        }
        n++;
    }
    if (n >= left)
        return fail_at(c, "a string without an end");
    struct el_jtok tok = {.kind = EL_JT_STR, .s = s, .n = n};
    if (escapes) {
        struct el_buf b;
        bool ok = true;
        el_buf_init(&b);
        for (uint32_t i = 0; ok && i < n;) {
            uint32_t used = 1;
            if (s[i] == '\\')
                ok = escape(s + i + 1, n - i - 1, &b, &used), used++;
            else
                el_buf_add_byte(&b, (uint8_t)s[i]);
            i += used;
        }
        char *const copy = ok && !b.failed ? el_jarena_get(c->lex->arena, b.nbytes + 1, 1) : NULL;
        if (copy)
            memcpy(copy, b.data, b.nbytes);
        tok.s = copy;
        tok.n = (uint32_t)b.nbytes;
        el_buf_release(&b);
        if (!ok)
            return fail_at(c, "an escape in a string that is not valid, or names a character");
        if (!copy)
            return el_fail(c->lex->err, EL_E_MEMORY, "%s: out of memory for a string", c->lex->what);
    }
    EL_TRY(add(c, tok));
    c->at += n + 2;
    return EL_OK;
}

static bool name_char(uint32_t cp)
{
    if (cp < 0x80)
        return (cp >= 'a' && cp <= 'z') || (cp >= 'A' && cp <= 'Z') || (cp >= '0' && cp <= '9') || cp == '_';
    return el_cp_is_word(cp);
}

static enum el_status name(struct cursor *c, bool *found)
{
    uint32_t end = c->at;
    while (end < c->lex->nbytes) {
        uint32_t len;
        if (!name_char(code_point(c->lex, end, &len)))
            break;
        end += len;
    }
    *found = end > c->at;
    if (!*found)
        return EL_OK;
    EL_TRY(add(c, (struct el_jtok){.kind = EL_JT_NAME, .s = c->lex->text + c->at, .n = end - c->at}));
    c->at = end;
    return EL_OK;
}

static enum el_status operator_(struct cursor *c, char *open, unsigned *n_open)
{
    static const char two[] = "//**==!=>=<=", one[] = "+-/*%~[](){}><=.:|,;";
    const char a = byte_at(c, 0), b = byte_at(c, 1);
    uint16_t op = 0;
    for (const char *p = two; *p && !op; p += 2)
        if (p[0] == a && p[1] == b)
            op = EL_JOP2(a, b);
    if (!op && a && strchr(one, a))
        op = (uint16_t)(unsigned char)a;
    if (!op)
        return fail_at(c, "an unexpected character");
    if (a == '(' || a == '[' || a == '{') {
        if (*n_open == EL_JINJA_MAX_NESTING)
            return fail_at(c, "brackets nested too deep");
        open[(*n_open)++] = a == '(' ? ')' : a == '[' ? ']' : '}';
    } else if (a == ')' || a == ']' || a == '}') {
        if (*n_open == 0 || open[*n_open - 1] != a)
            return fail_at(c, "a closing bracket that opens nowhere");
        --*n_open;
    }
    EL_TRY(add(c, (struct el_jtok){.kind = EL_JT_OP, .op = op}));
    c->at += op > 0xff ? 2 : 1;
    return EL_OK;
}

/* All tokens up to the closing bracket and over it. close: '}' or '%'. */
static enum el_status inside(struct cursor *c, char close)
{
    char open[EL_JINJA_MAX_NESTING];
    unsigned n_open = 0;
    for (;;) {
        c->at = skip_space(c->lex, c->at);
        const char ch = byte_at(c, 0);
        if (c->at >= c->lex->nbytes)
            return fail_at(c, close == '%' ? "a statement without an end" : "an expression without an end");
        if (n_open == 0) {
            const uint32_t sign = ch == '-' || (ch == '+' && close == '%');
            if (byte_at(c, sign) == close && byte_at(c, sign + 1) == '}') {
                EL_TRY(add(c, (struct el_jtok){.kind = close == '%' ? EL_JT_BLOCK_END : EL_JT_VAR_END}));
                take_close(c, c->at + sign + 2, sign ? ch : '\0', close == '%');
                return EL_OK;
            }
        }
        bool found = false;
        if (is_digit(ch))
            EL_TRY(number(c));
        else if (ch == '\'' || ch == '"')
            EL_TRY(string(c));
        else {
            EL_TRY(name(c, &found));
            if (!found)
                EL_TRY(operator_(c, open, &n_open));
        }
    }
}

/* ---- the whole ---------------------------------------------------------------------------------------------------- */

/* Line ends become \n; the last one goes. */
static enum el_status normalize(struct el_jlex *lex, const char *text, size_t nbytes)
{
    char *const s = el_jarena_get(lex->arena, nbytes + 1, 1);
    if (!s)
        return el_fail(lex->err, EL_E_MEMORY, "%s: out of memory for %zu bytes", lex->what, nbytes);
    size_t n = 0;
    for (size_t i = 0; i < nbytes; i++) {
        if (text[i] == '\r' && i + 1 < nbytes && text[i + 1] == '\n')
            continue;
        s[n++] = text[i] == '\r' ? '\n' : text[i];
    }
    if (n > 0 && s[n - 1] == '\n')
        n--;
    s[n] = '\0';
    lex->text = s;
    lex->nbytes = (uint32_t)n;
    return EL_OK;
}

static enum el_status lex_all(struct cursor *c)
{
    struct el_jlex *const lex = c->lex;
    while (c->at < lex->nbytes) {
        const uint32_t begin = c->at;
        uint32_t tag = begin;
        for (; tag + 1 < lex->nbytes; tag++)
            if (lex->text[tag] == '{' && (lex->text[tag + 1] == '{' || lex->text[tag + 1] == '%' || lex->text[tag + 1] == '#'))
                break;
        if (tag + 1 >= lex->nbytes) {
            EL_TRY(add(c, (struct el_jtok){.kind = EL_JT_DATA, .s = lex->text + begin, .n = lex->nbytes - begin}));
            c->at = lex->nbytes;
            break;
        }
        const char kind = lex->text[tag + 1];
        const char sign = tag + 2 < lex->nbytes && is_sign(lex->text[tag + 2]) ? lex->text[tag + 2] : '\0';
        EL_TRY(add_data(c, begin, tag, sign, kind != '{'));
        c->at = tag;
        if (kind == '#') {
            EL_TRY(comment(c, sign));
            continue;
        }
        bool is_raw = false;
        if (kind == '%')
            EL_TRY(raw(c, &is_raw));
        if (is_raw)
            continue;
        EL_TRY(add(c, (struct el_jtok){.kind = kind == '%' ? EL_JT_BLOCK_BEGIN : EL_JT_VAR_BEGIN}));
        c->at = tag + 2 + (sign != '\0');
        EL_TRY(inside(c, kind == '%' ? '%' : '}'));
    }
    return add(c, (struct el_jtok){.kind = EL_JT_EOF});
}

enum el_status el_jinja_lex(struct el_jlex *lex, const char *text, size_t nbytes)
{
    struct cursor c = {.lex = lex, .line = 1, .line_starting = true};
    if (nbytes > EL_JINJA_MAX_SOURCE)
        return el_fail(lex->err, EL_E_FORMAT, "%s: %zu bytes, at most %d", lex->what, nbytes, (int)EL_JINJA_MAX_SOURCE);
    if (!el_utf8_is_valid(text, nbytes))
        return el_fail(lex->err, EL_E_FORMAT, "%s: invalid UTF-8", lex->what);
    EL_TRY(normalize(lex, text, nbytes));
    return lex_all(&c);
}
