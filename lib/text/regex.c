#include "text/regex.h"

#include <string.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/utf8.h"

/* Unicode's White_Space, as the inside of a class. */
#define SPACE "\\x{9}-\\x{d} \\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}\\x{3000}"
/*
 * Oniguruma's \w: alphabetic, mark, decimal number, connector punctuation, and (from its Latin-1 table) superscripts and
 * fractions.
 */
#define WORD "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\x{b2}\\x{b3}\\x{b9}\\x{bc}-\\x{be}"
#define HEX  "0-9A-Fa-f"

enum {
    MATCH_LIMIT = 10000000, /* backtracking steps allowed on a short text: under 0.2 s */
    MATCH_LIMIT_PER_BYTE = 16,
    HEAP_LIMIT_KIB = 262144,
    JIT_STACK_MAX = 8 << 20,
};

struct el_regex {
    pcre2_code *code;
    bool jit;
    char shown[64]; /* start of the pattern, for errors */
};

struct el_regex_run {
    pcre2_match_data *match;
    pcre2_match_context *context;
    pcre2_jit_stack *stack;
};

/* PCRE2's memory comes through base/mem.h like everyone's. */
static void *take(size_t nbytes, void *user)
{
    (void)user;
    return el_alloc(nbytes);
}

static void give(void *p, void *user)
{
    (void)user;
    el_free(p);
}

struct translation {
    const char *p, *end;
    struct el_buf *out;
    const char *shown;
    struct el_err *err;
};

static enum el_status unsupported(const struct translation *t, const char *what)
{
    return el_fail(t->err, EL_E_UNSUPPORTED, "pattern '%s': %s cannot be used here", t->shown, what);
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static enum el_status translate_escape(struct translation *t, bool in_class)
{
    struct el_buf *const out = t->out;
    if (t->end - t->p < 2)
        return el_fail(t->err, EL_E_FORMAT, "pattern '%s': ends with a backslash", t->shown);
    const char c = t->p[1];
    const char *set = NULL; /* inside of a class that stands for the escape */
    bool negated = false;
    switch (c) {
    case 's':
    case 'S':
        set = SPACE;
        negated = c == 'S';
        break;
    case 'w':
    case 'W':
        set = WORD;
        negated = c == 'W';
        break;
    case 'h':
    case 'H':
        set = HEX;
        negated = c == 'H';
        break;
    case 'v': set = "\\x{b}"; break;
    case 'u': {
        if (t->end - t->p < 6)
            return el_fail(t->err, EL_E_FORMAT, "pattern '%s': \\u needs four hexadecimal digits", t->shown);
        for (int i = 2; i < 6; i++)
            if (hex_value(t->p[i]) < 0)
                return el_fail(t->err, EL_E_FORMAT, "pattern '%s': \\u needs four hexadecimal digits", t->shown);
        el_buf_addf(out, "\\x{%.4s}", t->p + 2);
        t->p += 6;
        return EL_OK;
    }
    case 'Q':
    case 'E':
    case 'K':
    case 'C':
    case 'N':
    case 'g': return unsupported(t, "\\Q, \\E, \\K, \\C, \\N or \\g");
    default:
        el_buf_add(out, t->p, 2);
        t->p += 2;
        return EL_OK;
    }
    t->p += 2;
    if (!in_class) {
        el_buf_addf(out, "[%s%s]", negated ? "^" : "", set);
    } else if (!negated) {
        el_buf_add_str(out, set);
    } else if (c == 'S') {
        el_buf_add_str(out, "\\P{White_Space}");
    } else {
        return unsupported(t, "\\W or \\H within a class");
    }
    return EL_OK;
}

/* From '[' to its ']'. A class within a class is a union, so its brackets fall away. */
static enum el_status translate_class(struct translation *t)
{
    unsigned depth = 1;
    el_buf_add_byte(t->out, '[');
    t->p++;
    if (t->p < t->end && *t->p == '^') {
        el_buf_add_byte(t->out, '^');
        t->p++;
    }
    if (t->p < t->end && *t->p == ']') { /* first: literal */
        el_buf_add_str(t->out, "\\]");
        t->p++;
    }
    while (t->p < t->end) {
        const char c = *t->p;
        const char next = t->p + 1 < t->end ? t->p[1] : '\0';
        if (c == '\\') {
            EL_TRY(translate_escape(t, true));
        } else if (c == '&' && next == '&') {
            return unsupported(t, "an intersection of classes (&&)");
        } else if (c == '[' && next == ':') {
            const char *const close = memmem(t->p, (size_t)(t->end - t->p), ":]", 2);
            if (!close)
                return el_fail(t->err, EL_E_FORMAT, "pattern '%s': [: without :]", t->shown);
            el_buf_add(t->out, t->p, (size_t)(close + 2 - t->p));
            t->p = close + 2;
        } else if (c == '[') {
            if (next == '^')
                return unsupported(t, "a negated class within a class");
            depth++;
            t->p++;
        } else if (c == ']') {
            t->p++;
            if (--depth == 0) {
                el_buf_add_byte(t->out, ']');
                return EL_OK;
            }
        } else {
            el_buf_add_byte(t->out, (uint8_t)c);
            t->p++;
        }
    }
    return el_fail(t->err, EL_E_FORMAT, "pattern '%s': class without ]", t->shown);
}

/* From "(": groups that mean the same on both sides, with Ruby's m as PCRE2's s. */
static enum el_status translate_group(struct translation *t)
{
    const char *const p = t->p;
    const size_t left = (size_t)(t->end - p);
    el_buf_add_byte(t->out, '(');
    t->p++;
    if (left >= 2 && p[1] == '*')
        return unsupported(t, "a verb (*...)");
    if (left < 3 || p[1] != '?')
        return EL_OK;
    el_buf_add_byte(t->out, '?');
    t->p++;
    if (strchr(":=!>#<", p[2]) && p[2])
        return EL_OK; /* the rest is copied as it is */
    for (; t->p < t->end && *t->p != ':' && *t->p != ')'; t->p++) {
        if (*t->p == 'm')
            el_buf_add_byte(t->out, 's');
        else if (*t->p == 'i' || *t->p == '-')
            el_buf_add_byte(t->out, (uint8_t)*t->p);
        else
            return unsupported(t, "a group other than (?: (?= (?! (?<= (?<! (?> (?i) (?m)");
    }
    return EL_OK;
}

/* "{,n}" means {0,n} in Ruby and is literal in PCRE2. */
static bool is_open_low_repeat(const char *p, const char *end)
{
    if (end - p < 4 || p[1] != ',' || p[2] < '0' || p[2] > '9')
        return false;
    for (p += 2; p < end && *p >= '0' && *p <= '9'; p++)
        ;
    return p < end && *p == '}';
}

static enum el_status translate(struct translation *t)
{
    while (t->p < t->end) {
        switch (*t->p) {
        case '\\': EL_TRY(translate_escape(t, false)); break;
        case '[': EL_TRY(translate_class(t)); break;
        case '(': EL_TRY(translate_group(t)); break;
        case '{':
            el_buf_add_str(t->out, is_open_low_repeat(t->p, t->end) ? "{0" : "{");
            t->p++;
            break;
        default: el_buf_add_byte(t->out, (uint8_t)*t->p); t->p++;
        }
    }
    return EL_OK;
}

static enum el_status compile(struct el_regex *re, const struct el_buf *pattern, struct el_err *err)
{
    pcre2_general_context *const memory = pcre2_general_context_create(take, give, NULL);
    pcre2_compile_context *const context = memory ? pcre2_compile_context_create(memory) : NULL;
    pcre2_general_context_free(memory);
    if (!context)
        return el_fail(err, EL_E_MEMORY, "out of memory for a pattern");
    pcre2_set_newline(context, PCRE2_NEWLINE_LF);
    pcre2_set_parens_nest_limit(context, 200);
    int code = 0;
    PCRE2_SIZE offset = 0;
    const uint32_t options = PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C | PCRE2_NO_UTF_CHECK;
    re->code = pcre2_compile((PCRE2_SPTR)pattern->data, pattern->nbytes, options, &code, &offset, context);
    pcre2_compile_context_free(context);
    if (!re->code) {
        char text[160] = "";
        pcre2_get_error_message(code, (PCRE2_UCHAR *)text, sizeof text);
        const enum el_status status = code == PCRE2_ERROR_HEAP_FAILED ? EL_E_MEMORY : EL_E_FORMAT;
        return el_fail(err, status, "pattern '%s': %s", re->shown, text);
    }
    re->jit = pcre2_jit_compile(re->code, PCRE2_JIT_COMPLETE) == 0;
    return EL_OK;
}

static void show(char shown[64], const char *pattern, size_t nbytes)
{
    const size_t n = nbytes < 60 ? nbytes : 60;
    const size_t whole = el_utf8_complete(pattern, n);
    memcpy(shown, pattern, whole);
    strcpy(shown + whole, whole < nbytes ? "..." : "");
}

enum el_status el_regex_open(const char *pattern, size_t nbytes, struct el_regex **out, struct el_err *err)
{
    *out = NULL;
    if (!el_utf8_is_valid(pattern, nbytes))
        return el_fail(err, EL_E_FORMAT, "pattern: not valid UTF-8");
    if (nbytes > EL_MAX_PATTERN)
        return el_fail(err, EL_E_UNSUPPORTED, "pattern: %zu bytes, at most %d", nbytes, (int)EL_MAX_PATTERN);
    struct el_regex *const re = el_calloc_array(1, sizeof *re);
    if (!re)
        return el_fail(err, EL_E_MEMORY, "out of memory for a pattern");
    show(re->shown, pattern, nbytes);
    struct el_buf translated;
    el_buf_init(&translated);
    struct translation t = {pattern, pattern + nbytes, &translated, re->shown, err};
    enum el_status status = translate(&t);
    if (status == EL_OK && translated.failed)
        status = el_fail(err, EL_E_MEMORY, "out of memory for a pattern");
    if (status == EL_OK)
        status = compile(re, &translated, err);
    el_buf_release(&translated);
    if (status != EL_OK) {
        el_regex_close(re);
        return status;
    }
    *out = re;
    return EL_OK;
}

void el_regex_close(struct el_regex *re)
{
    if (!re)
        return;
    pcre2_code_free(re->code);
    el_free(re);
}

enum el_status el_regex_run_open(struct el_regex_run **out, struct el_err *err)
{
    *out = NULL;
    struct el_regex_run *const run = el_calloc_array(1, sizeof *run);
    pcre2_general_context *const memory = pcre2_general_context_create(take, give, NULL);
    if (run && memory) {
        run->match = pcre2_match_data_create(1, memory);
        run->context = pcre2_match_context_create(memory);
        run->stack = pcre2_jit_stack_create(32 << 10, JIT_STACK_MAX, memory);
    }
    pcre2_general_context_free(memory);
    if (!run || !run->match || !run->context) {
        el_regex_run_close(run);
        return el_fail(err, EL_E_MEMORY, "out of memory for matching");
    }
    if (run->stack)
        pcre2_jit_stack_assign(run->context, NULL, run->stack);
    pcre2_set_heap_limit(run->context, HEAP_LIMIT_KIB);
    *out = run;
    return EL_OK;
}

void el_regex_run_close(struct el_regex_run *run)
{
    if (!run)
        return;
    pcre2_match_data_free(run->match);
    pcre2_match_context_free(run->context);
    pcre2_jit_stack_free(run->stack);
    el_free(run);
}

enum el_status el_regex_find(const struct el_regex *re, struct el_regex_run *run, const char *text, size_t nbytes, size_t from,
                             size_t *begin, size_t *end, bool *found, struct el_err *err)
{
    *found = false;
    *begin = *end = nbytes;
    const uint64_t wanted = (uint64_t)(nbytes - from) * MATCH_LIMIT_PER_BYTE;
    const uint32_t limit = wanted > UINT32_MAX ? UINT32_MAX : wanted < MATCH_LIMIT ? MATCH_LIMIT : (uint32_t)wanted;
    pcre2_set_match_limit(run->context, limit);
    pcre2_set_depth_limit(run->context, limit);
    const PCRE2_SPTR subject = (PCRE2_SPTR)text;
    int rc = PCRE2_ERROR_JIT_STACKLIMIT;
    if (re->jit)
        rc = pcre2_jit_match(re->code, subject, nbytes, from, PCRE2_NO_UTF_CHECK, run->match, run->context);
    if (rc == PCRE2_ERROR_JIT_STACKLIMIT)
        rc = pcre2_match(re->code, subject, nbytes, from, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, run->match, run->context);
    if (rc == PCRE2_ERROR_NOMATCH)
        return EL_OK;
    if (rc < 0) {
        if (rc == PCRE2_ERROR_NOMEMORY)
            return el_fail(err, EL_E_MEMORY, "out of memory for matching");
        char why[160] = "";
        pcre2_get_error_message(rc, (PCRE2_UCHAR *)why, sizeof why);
        return el_fail(err, EL_E_FORMAT, "pattern '%s': %s on a text of %zu bytes", re->shown, why, nbytes);
    }
    const PCRE2_SIZE *const at = pcre2_get_ovector_pointer(run->match);
    *begin = at[0];
    *end = at[1];
    *found = true;
    return EL_OK;
}

void el_regex_version(char version[64])
{
    version[0] = '\0';
    if (pcre2_config(PCRE2_CONFIG_VERSION, NULL) <= 64)
        pcre2_config(PCRE2_CONFIG_VERSION, version);
}
