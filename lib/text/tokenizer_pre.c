#include "text/tokenizer_pre.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "text/tokenizer_impl.h"

/* Patterns, in the spelling of the tokenizer.json files that they come from. */
#define GPT2        "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"
#define CONTRACTION "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
#define LETTERS     "[^\\r\\n\\p{L}\\p{N}]?\\p{L}+"
#define TAIL        " ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define TAIL_SLASH  " ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define LLAMA3      CONTRACTION "|" LETTERS "|\\p{N}{1,3}|" TAIL
#define QWEN2       CONTRACTION "|" LETTERS "|\\p{N}|" TAIL
#define DIGIT       "\\p{N}"
#define NEWLINE     "[\\r\\n]"
/* ASCII punctuation and category P. */
#define PUNCTUATION      EL_PUNCTUATION
#define HAN              "[\\x{4e00}-\\x{9fa5}\\x{800}-\\x{4e00}\\x{ac00}-\\x{d7ff}]+"
#define WIDE_PUNCTUATION "\\s?[!-/:-~\\x{ff01}-\\x{ff0f}\\x{ff1a}-\\x{ff5e}\\x{2018}-\\x{201f}\\x{3000}-\\x{3002}]+"
#define UPPER            "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]"
#define LOWER            "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"
#define CASED            "[^\\r\\n\\p{L}\\p{N}]?" UPPER "*" LOWER "+|[^\\r\\n\\p{L}\\p{N}]?" UPPER "+" LOWER "*"
#define CASED_CONTRACTED                                                                                                         \
    "[^\\r\\n\\p{L}\\p{N}]?" UPPER "*" LOWER "+" CONTRACTION "?|[^\\r\\n\\p{L}\\p{N}]?" UPPER "+" LOWER "*" CONTRACTION "?"
#define DEEPSEEK3                                                                                                                \
    "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+|"                           \
    " ?[\\p{P}\\p{S}]+[\r\n]*|\\s*[\r\n]+|\\s+(?!\\S)|\\s+"
#define BLOOM " ?[^(\\s|[.,!?\xe2\x80\xa6\xe3\x80\x82\xef\xbc\x8c\xe3\x80\x81\xe0\xa5\xa4\xdb\x94\xd8\x8c])]+"
#define BAILING                                                                                                                  \
    "'(?i:[sdmt]|ll|ve|re)|[^\\r\\n\\p{L}\\p{N}]?+\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]++[\\r\\n]*|\\s*[\\r\\n]|\\s+(?!\\S)|\\s+"
/* The same words with marks inside, and upper case for whatever is no lower case letter of ASCII. */
#define CASED_MARKS                                                                                                              \
    "[^\\r\\n\\p{L}\\p{N}]?((?=[\\p{L}\\p{M}])([^a-z]))*((?=[\\p{L}\\p{M}])([^A-Z]))+" CONTRACTION                               \
    "?|[^\\r\\n\\p{L}\\p{N}]?((?=[\\p{L}\\p{M}])([^a-z]))+((?=[\\p{L}\\p{M}])([^A-Z]))*" CONTRACTION "?"
#define NO_HAN(set) "(?:(?!\\p{Han})" set ")"
#define KIMI                                                                                                                     \
    "[\\p{Han}]+|[^\\r\\n\\p{L}\\p{N}]?" NO_HAN(UPPER) "*" NO_HAN(LOWER) "+" CONTRACTION "?|[^\\r\\n\\p{L}\\p{N}]?" NO_HAN(      \
        UPPER) "+" NO_HAN(LOWER) "*" CONTRACTION "?|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
/* A word of letters that have case, as DeepSeek lists them. */
#define CASED_WORD                                                                                                               \
    "\\s?[A-Za-z\\x{b5}\\x{c0}-\\x{d6}\\x{d8}-\\x{f6}\\x{f8}-\\x{1ba}\\x{1bc}-\\x{1bf}\\x{1c4}-\\x{293}"                         \
    "\\x{295}-\\x{2af}\\x{370}-\\x{373}\\x{376}\\x{377}\\x{37b}-\\x{37d}\\x{37f}\\x{386}\\x{388}-\\x{38a}\\x{38c}"               \
    "\\x{38e}-\\x{3a1}\\x{3a3}-\\x{3f5}\\x{3f7}-\\x{481}\\x{48a}-\\x{52f}\\x{531}-\\x{556}\\x{10a0}-\\x{10c5}"                   \
    "\\x{13a0}-\\x{13f5}\\x{13f8}-\\x{13fd}\\x{1c90}-\\x{1cba}\\x{1cbd}-\\x{1cbf}\\x{1d00}-\\x{1d2b}"                            \
    "\\x{1d6b}-\\x{1d77}\\x{1d79}-\\x{1d9a}\\x{1e00}-\\x{1f15}\\x{1f18}-\\x{1f1d}\\x{1f20}-\\x{1f45}"                            \
    "\\x{1f48}-\\x{1f4d}\\x{1f50}-\\x{1f57}\\x{1f59}\\x{1f5b}\\x{1f5d}\\x{1f5f}-\\x{1f7d}\\x{1f80}-\\x{1fb4}"                    \
    "\\x{1fb6}-\\x{1fbc}\\x{1fbe}\\x{1fc2}-\\x{1fc4}\\x{1fc6}-\\x{1fcc}\\x{1fd0}-\\x{1fd3}\\x{1fd6}-\\x{1fdb}"                   \
    "\\x{1fe0}-\\x{1fec}\\x{1ff2}-\\x{1ff4}\\x{1ff6}-\\x{1ffc}\\x{2102}\\x{2107}\\x{210a}-\\x{2113}\\x{2115}"                    \
    "\\x{2119}-\\x{211d}\\x{2124}\\x{2126}\\x{2128}\\x{212a}-\\x{212d}\\x{212f}-\\x{2134}\\x{2139}"                              \
    "\\x{213c}-\\x{213f}\\x{2145}-\\x{2149}\\x{214e}\\x{2183}\\x{2184}\\x{2c00}-\\x{2c7b}\\x{2c7e}-\\x{2ce4}"                    \
    "\\x{2ceb}-\\x{2cee}\\x{2cf2}\\x{2cf3}\\x{a640}-\\x{a66d}\\x{a680}-\\x{a69b}\\x{a722}-\\x{a76f}"                             \
    "\\x{a771}-\\x{a787}\\x{a78b}-\\x{a78e}\\x{ab70}-\\x{abbf}\\x{fb00}-\\x{fb06}\\x{fb13}-\\x{fb17}"                            \
    "\\x{ff21}-\\x{ff3a}\\x{ff41}-\\x{ff5a}\\x{10400}-\\x{1044f}\\x{104b0}-\\x{104d3}\\x{104d8}-\\x{104fb}"                      \
    "\\x{10c80}-\\x{10cb2}\\x{10cc0}-\\x{10cf2}\\x{118a0}-\\x{118df}\\x{1e900}-\\x{1e943}]+"

const char el_pre_gpt2[] = GPT2;

#define EL_PRE(name, ignore_merges, add_bos, ...) {name, {__VA_ARGS__}, ignore_merges, add_bos},
#define EL_PRE_SPELLED(name, ignore_merges, ...)
static const struct el_pre_name names[] = {
#include "text/tokenizer_pre.def"
};
#undef EL_PRE
#undef EL_PRE_SPELLED

#define EL_PRE(name, ignore_merges, add_bos, ...) {name, {__VA_ARGS__}, ignore_merges, false},
#define EL_PRE_SPELLED(name, ignore_merges, ...)  {name, {__VA_ARGS__}, ignore_merges, false},
static const struct el_pre_name spellings[] = {
#include "text/tokenizer_pre.def"
};
#undef EL_PRE
#undef EL_PRE_SPELLED

enum { N_NAMES = sizeof names / sizeof names[0], N_SPELLINGS = sizeof spellings / sizeof spellings[0] };

void el_pre_release(struct el_pre *pre)
{
    for (size_t i = 0; i < pre->n; i++) {
        el_regex_close(pre->steps[i].re);
        el_free(pre->steps[i].pattern);
        el_free(pre->steps[i].text);
    }
    *pre = (struct el_pre){.n = 0};
}

enum el_status el_pre_add(struct el_pre *pre, enum el_pre_kind kind, const char *text, enum el_split split, struct el_err *err)
{
    if (pre->n == EL_MAX_STEPS)
        return el_fail(err, EL_E_UNSUPPORTED, "pre_tokenizer: more than %d steps", (int)EL_MAX_STEPS);
    char *copy = NULL;
    if (text) {
        copy = el_strdup(text);
        if (!copy)
            return el_fail(err, EL_E_MEMORY, "out of memory for a pre_tokenizer");
    }
    pre->steps[pre->n++] = (struct el_pre_step){.kind = kind, .split = split, .text = copy, .n_text = text ? strlen(text) : 0};
    return EL_OK;
}

enum el_status el_pre_add_regex(struct el_pre *pre, const char *pattern, enum el_split split, bool invert, struct el_err *err)
{
    EL_TRY(el_pre_add(pre, EL_PS_REGEX, NULL, split, err));
    struct el_pre_step *const s = &pre->steps[pre->n - 1];
    s->invert = invert;
    s->pattern = el_strdup(pattern);
    if (!s->pattern)
        return el_fail(err, EL_E_MEMORY, "out of memory for a pre_tokenizer");
    return el_regex_open(pattern, strlen(pattern), &s->re, err);
}

const struct el_pre_name *el_pre_by_name(const char *name)
{
    for (size_t i = 0; i < N_NAMES; i++)
        if (strcmp(names[i].name, name) == 0)
            return &names[i];
    return NULL;
}

void el_pre_names(struct el_buf *out)
{
    for (size_t i = 0; i < N_NAMES; i++)
        el_buf_addf(out, "%s%s", i ? ", " : "", names[i].name);
}

/* Writes \x{4e00}, \r and \n as the characters themselves, so that spellings of one pattern compare equal. */
static void spell_out(const char *p, struct el_buf *out)
{
    el_buf_reset(out);
    while (*p) {
        unsigned cp = 0;
        int len = 0;
        if (p[0] == '\\' && (p[1] == 'r' || p[1] == 'n')) {
            el_buf_add_byte(out, p[1] == 'r' ? '\r' : '\n');
            p += 2;
        } else if (p[0] == '\\' && p[1] == 'x' && sscanf(p, "\\x{%5x}%n", &cp, &len) == 1 && len > 0) {
            char bytes[4];
            el_buf_add(out, bytes, el_utf8_encode(cp, bytes));
            p += len;
        } else {
            const int n = p[0] == '\\' && p[1] ? 2 : 1;
            el_buf_add(out, p, (size_t)n);
            p += n;
        }
    }
}

static bool same_pattern(const char *a, const char *b, struct el_buf bufs[2])
{
    spell_out(a, &bufs[0]);
    spell_out(b, &bufs[1]);
    return !bufs[0].failed && !bufs[1].failed && strcmp(bufs[0].data, bufs[1].data) == 0;
}

const char *el_pre_recognise(const struct el_pre *pre, bool ignore_merges)
{
    const char *patterns[8] = {NULL};
    size_t n = 0;
    for (size_t i = 0; i < pre->n; i++) {
        const struct el_pre_step *const s = &pre->steps[i];
        if (s->kind == EL_PS_BYTE_MAP)
            continue; /* the named lists work on the text itself, which is the same for their patterns */
        if (s->kind != EL_PS_REGEX || s->split != EL_SPLIT_ISOLATED || s->invert || n == 7)
            return NULL;
        patterns[n++] = s->pattern;
    }
    const char *found = NULL;
    struct el_buf bufs[2];
    el_buf_init(&bufs[0]);
    el_buf_init(&bufs[1]);
    /* A name that treats whole words otherwise differs only in tokens that no merges make: better than none. */
    for (size_t i = 0; n > 0 && !found && i < 2 * N_SPELLINGS; i++) {
        const struct el_pre_name *const name = &spellings[i % N_SPELLINGS];
        if (i < N_SPELLINGS && name->ignore_merges != ignore_merges)
            continue;
        size_t k = 0;
        while (k < n && name->patterns[k] && same_pattern(name->patterns[k], patterns[k], bufs))
            k++;
        if (k == n && !name->patterns[k])
            found = name->name;
    }
    el_buf_release(&bufs[0]);
    el_buf_release(&bufs[1]);
    return found;
}

/* ---- running ---- */

struct runner {
    const struct el_pre *pre;
    struct el_regex_run *run;
    struct el_buf *bufs; /* one per step */
    el_word_fn *fn;
    void *user;
    struct el_err *err;
};

/* The pieces of one split, regrouped by its behaviour: one piece is held back until it cannot grow any more. */
struct splitter {
    struct runner *r;
    size_t step; /* the next one */
    enum el_split split;
    const char *text;
    bool at_start;
    bool held, held_match, last_match;
    size_t begin, end;
};

static enum el_status run_step(struct runner *r, size_t i, const char *text, size_t nbytes, bool at_start);

static enum el_status release_held(struct splitter *s)
{
    if (!s->held)
        return EL_OK;
    s->held = false;
    if (s->end == s->begin || (s->split == EL_SPLIT_REMOVED && s->held_match))
        return EL_OK;
    return run_step(s->r, s->step, s->text + s->begin, s->end - s->begin, s->at_start && s->begin == 0);
}

static enum el_status add_piece(struct splitter *s, size_t begin, size_t end, bool match)
{
    bool join = false;
    if (s->held) {
        switch (s->split) {
        case EL_SPLIT_WITH_PREVIOUS: join = match && !s->last_match; break;
        case EL_SPLIT_WITH_NEXT: join = !match && s->held_match; break;
        case EL_SPLIT_CONTIGUOUS: join = match == s->held_match; break;
        case EL_SPLIT_ISOLATED:
        case EL_SPLIT_REMOVED: break;
        }
    }
    s->last_match = match;
    if (join) {
        s->end = end;
        s->held_match = match;
        return EL_OK;
    }
    EL_TRY(release_held(s));
    s->held = true;
    s->held_match = match;
    s->begin = begin;
    s->end = end;
    return EL_OK;
}

static enum el_status find(const struct el_pre_step *step, struct runner *r, const char *text, size_t nbytes, size_t from,
                           size_t *begin, size_t *end, bool *found)
{
    if (step->kind == EL_PS_REGEX)
        return el_regex_find(step->re, r->run, text, nbytes, from, begin, end, found, r->err);
    const char *const hit = memmem(text + from, nbytes - from, step->text, step->n_text);
    *found = hit != NULL;
    if (hit) {
        *begin = (size_t)(hit - text);
        *end = *begin + step->n_text;
    }
    return EL_OK;
}

static enum el_status run_split(struct runner *r, size_t i, const char *text, size_t nbytes, bool at_start)
{
    const struct el_pre_step *const step = &r->pre->steps[i];
    struct splitter s = {.r = r, .step = i + 1, .split = step->split, .text = text, .at_start = at_start};
    size_t done = 0, from = 0;
    while (from <= nbytes) {
        size_t begin, end;
        bool found;
        EL_TRY(find(step, r, text, nbytes, from, &begin, &end, &found));
        if (!found)
            break;
        from = end;
        if (begin == end) { /* an empty match is a cut; the search goes on behind the next character */
            uint32_t cp;
            from += end < nbytes ? el_utf8_decode(text + end, nbytes - end, &cp) : 1;
        }
        if (end < begin || begin < done)
            return el_fail(r->err, EL_E_FORMAT, "pattern '%.60s': match runs backwards", step->pattern);
        if (begin > done)
            EL_TRY(add_piece(&s, done, begin, step->invert));
        if (end > begin)
            EL_TRY(add_piece(&s, begin, end, !step->invert));
        done = end;
    }
    if (done < nbytes)
        EL_TRY(add_piece(&s, done, nbytes, step->invert));
    return release_held(&s);
}

static enum el_status transform(struct runner *r, size_t i, const char *text, size_t nbytes, bool at_start)
{
    const struct el_pre_step *const step = &r->pre->steps[i];
    struct el_buf *const b = &r->bufs[i];
    el_buf_reset(b);
    if (step->kind == EL_PS_BYTE_MAP) {
        for (size_t k = 0; k < nbytes; k++) {
            char bytes[4];
            el_buf_add(b, bytes, el_utf8_encode(el_byte_cp((uint8_t)text[k]), bytes));
        }
    } else {
        const bool meta = step->kind == EL_PS_METASPACE;
        const bool starts = (nbytes >= step->n_text && memcmp(text, step->text, step->n_text) == 0) || (meta && text[0] == ' ');
        if (!starts && (step->always || (step->first_only && at_start)))
            el_buf_add(b, step->text, step->n_text);
        for (size_t k = 0; k < nbytes;) {
            const char *const space = meta ? memchr(text + k, ' ', nbytes - k) : NULL;
            const size_t end = space ? (size_t)(space - text) : nbytes;
            el_buf_add(b, text + k, end - k);
            if (space)
                el_buf_add(b, step->text, step->n_text);
            k = end + (space != NULL);
        }
    }
    if (b->failed)
        return el_fail(r->err, EL_E_MEMORY, "out of memory while splitting %zu bytes into words", nbytes);
    return run_step(r, i + 1, b->data, b->nbytes, at_start);
}

static enum el_status run_step(struct runner *r, size_t i, const char *text, size_t nbytes, bool at_start)
{
    if (nbytes == 0)
        return EL_OK;
    if (i == r->pre->n)
        return r->fn(r->user, text, nbytes, r->err);
    switch (r->pre->steps[i].kind) {
    case EL_PS_REGEX:
    case EL_PS_LITERAL: return run_split(r, i, text, nbytes, at_start);
    case EL_PS_PREFIX:
    case EL_PS_METASPACE:
    case EL_PS_BYTE_MAP: break;
    }
    return transform(r, i, text, nbytes, at_start);
}

enum el_status el_pre_run(const struct el_pre *pre, struct el_regex_run *run, const char *text, size_t nbytes, bool at_start,
                          el_word_fn *fn, void *user, struct el_err *err)
{
    struct el_buf bufs[EL_MAX_STEPS];
    struct runner r = {pre, run, bufs, fn, user, err};
    for (size_t i = 0; i < pre->n; i++)
        el_buf_init(&bufs[i]);
    const enum el_status status = run_step(&r, 0, text, nbytes, at_start);
    for (size_t i = 0; i < pre->n; i++)
        el_buf_release(&bufs[i]);
    return status;
}
