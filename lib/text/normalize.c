#include "text/normalize.h"

#include <string.h>
#include <utf8proc.h>

#include "base/mem.h"
#include "base/utf8.h"

enum {
    /* No character below U+0300 combines with, or is reordered before, what precedes it: text may be cut in front of one. */
    FIRST_COMBINING = 0x300,
    CHUNK = 32768,   /* bytes after which a cut is looked for */
    MAX_EXPAND = 20, /* code points that one may decompose to (18 in Unicode 15) */
    SHORT_RUN = 24,
};

/* End of a chunk that starts at `from`: in front of a character that cannot interact with what is before. */
static size_t chunk_end(const char *text, size_t nbytes, size_t from)
{
    if (nbytes - from <= CHUNK)
        return nbytes;
    size_t at = from + CHUNK;
    while (at < nbytes) {
        const uint8_t b = (uint8_t)text[at];
        if (b < 0x80 || (b >= 0xc2 && b < 0xcc)) /* leads of U+0000..U+02FF */
            break;
        at++;
    }
    return at;
}

/* Stable sort of n marks by combining class: insertion for the usual few, counting for long runs. tmp has room for n. */
static void order_marks(utf8proc_int32_t *cp, size_t n, utf8proc_int32_t *tmp)
{
    if (n < 2)
        return;
    if (n <= SHORT_RUN) {
        for (size_t i = 1; i < n; i++) {
            const utf8proc_int32_t c = cp[i];
            const utf8proc_propval_t class = utf8proc_get_property(c)->combining_class;
            size_t j = i;
            for (; j > 0 && utf8proc_get_property(cp[j - 1])->combining_class > class; j--)
                cp[j] = cp[j - 1];
            cp[j] = c;
        }
        return;
    }
    size_t start[257] = {0};
    for (size_t i = 0; i < n; i++)
        start[(utf8proc_get_property(cp[i])->combining_class & 255) + 1]++;
    for (size_t k = 1; k < 257; k++)
        start[k] += start[k - 1];
    for (size_t i = 0; i < n; i++)
        tmp[start[utf8proc_get_property(cp[i])->combining_class & 255]++] = cp[i];
    memcpy(cp, tmp, n * sizeof *cp);
}

static void order_all(utf8proc_int32_t *cp, size_t n, utf8proc_int32_t *tmp)
{
    size_t run = 0; /* marks before i */
    for (size_t i = 0; i <= n; i++) {
        if (i < n && utf8proc_get_property(cp[i])->combining_class != 0) {
            run++;
        } else {
            order_marks(cp + i - run, run, tmp);
            run = 0;
        }
    }
}

/* Decomposes, orders and (for C forms) composes one chunk. */
static enum el_status normalize_chunk(enum el_norm_form form, const char *text, size_t nbytes, struct el_buf *out,
                                      struct el_err *err)
{
    const bool compose = form == EL_NORM_NFC || form == EL_NORM_NFKC;
    const bool compat = form == EL_NORM_NFKC || form == EL_NORM_NFKD;
    int options = UTF8PROC_STABLE | (compose ? UTF8PROC_COMPOSE : UTF8PROC_DECOMPOSE);
    if (compat)
        options |= UTF8PROC_COMPAT;
    size_t cap = nbytes + MAX_EXPAND, n = 0;
    enum el_status status = EL_OK;
    utf8proc_int32_t *cp = el_alloc_array(cap, sizeof *cp), *tmp = NULL;
    for (size_t i = 0; cp && i < nbytes;) {
        uint32_t c = 0xfffd;
        const size_t len = el_utf8_decode(text + i, nbytes - i, &c);
        i += len ? len : 1;
        if (cap - n < MAX_EXPAND) {
            cap += cap / 2;
            utf8proc_int32_t *const more = el_realloc_array(cp, cap, sizeof *cp);
            if (!more) {
                el_free(cp);
                cp = NULL;
                break;
            }
            cp = more;
        }
        n += (size_t)utf8proc_decompose_char((utf8proc_int32_t)c, cp + n, MAX_EXPAND, (utf8proc_option_t)options, NULL);
    }
    if (cp)
        tmp = el_alloc_array(n ? n : 1, sizeof *tmp);
    if (!cp || !tmp) {
        status = el_fail(err, EL_E_MEMORY, "out of memory while normalizing %zu bytes", nbytes);
    } else {
        order_all(cp, n, tmp);
        const utf8proc_ssize_t m =
            compose ? utf8proc_normalize_utf32(cp, (utf8proc_ssize_t)n, (utf8proc_option_t)options) : (utf8proc_ssize_t)n;
        for (utf8proc_ssize_t i = 0; i < m; i++) {
            char bytes[4];
            el_buf_add(out, bytes, el_utf8_encode((uint32_t)cp[i], bytes));
        }
    }
    el_free(cp);
    el_free(tmp);
    return status;
}

enum el_status el_normalize(enum el_norm_form form, const char *text, size_t nbytes, struct el_buf *out, struct el_err *err)
{
    /* Below this, no character changes: all of ASCII, and for NFC everything in front of the combining marks. */
    const uint8_t first_changing = form == EL_NORM_NFC ? 0xcc : 0x80;
    for (size_t at = 0; at < nbytes;) {
        const size_t end = chunk_end(text, nbytes, at);
        bool same = true;
        for (size_t i = at; same && i < end; i++)
            same = (uint8_t)text[i] < first_changing;
        if (same)
            el_buf_add(out, text + at, end - at);
        else
            EL_TRY(normalize_chunk(form, text + at, end - at, out, err));
        at = end;
    }
    return out->failed ? el_fail(err, EL_E_MEMORY, "out of memory while normalizing %zu bytes", nbytes) : EL_OK;
}

static void add_cp(struct el_buf *out, uint32_t cp)
{
    char bytes[4];
    el_buf_add(out, bytes, el_utf8_encode(cp, bytes));
}

void el_lowercase(const char *text, size_t nbytes, struct el_buf *out)
{
    for (size_t i = 0; i < nbytes;) {
        uint32_t cp = 0xfffd;
        const size_t len = el_utf8_decode(text + i, nbytes - i, &cp);
        i += len ? len : 1;
        add_cp(out, (uint32_t)utf8proc_tolower((utf8proc_int32_t)cp));
        if (cp == 0x130) /* the only character whose lower case is two: i and a dot above */
            add_cp(out, 0x307);
    }
}

static utf8proc_category_t category(uint32_t cp)
{
    return utf8proc_category((utf8proc_int32_t)cp);
}

static bool is_mark(uint32_t cp)
{
    const utf8proc_category_t c = category(cp);
    return c == UTF8PROC_CATEGORY_MN || c == UTF8PROC_CATEGORY_MC || c == UTF8PROC_CATEGORY_ME;
}

void el_strip_marks(const char *text, size_t nbytes, struct el_buf *out)
{
    for (size_t i = 0; i < nbytes;) {
        uint32_t cp = 0xfffd;
        const size_t len = el_utf8_decode(text + i, nbytes - i, &cp);
        i += len ? len : 1;
        if (!is_mark(cp))
            add_cp(out, cp);
    }
}

void el_strip_nonspacing(const char *text, size_t nbytes, struct el_buf *out)
{
    for (size_t i = 0; i < nbytes;) {
        uint32_t cp = 0xfffd;
        const size_t len = el_utf8_decode(text + i, nbytes - i, &cp);
        i += len ? len : 1;
        if (category(cp) != UTF8PROC_CATEGORY_MN)
            add_cp(out, cp);
    }
}

size_t el_grapheme_nbytes(const char *text, size_t nbytes)
{
    uint32_t before, cp;
    utf8proc_int32_t state = 0;
    size_t at = el_utf8_decode(text, nbytes, &before);
    for (size_t len = 0; at < nbytes; at += len) {
        len = el_utf8_decode(text + at, nbytes - at, &cp);
        if (utf8proc_grapheme_break_stateful((utf8proc_int32_t)before, (utf8proc_int32_t)cp, &state))
            break;
        before = cp;
    }
    return at;
}

bool el_cp_is_control(uint32_t cp)
{
    const utf8proc_category_t c = category(cp);
    return c == UTF8PROC_CATEGORY_CC || c == UTF8PROC_CATEGORY_CF || c == UTF8PROC_CATEGORY_CO;
}

bool el_cp_is_space(uint32_t cp)
{
    return (cp >= 9 && cp <= 13) || cp == ' ' || cp == 0x85 || cp == 0xa0 || cp == 0x1680 || (cp >= 0x2000 && cp <= 0x200a) ||
           cp == 0x2028 || cp == 0x2029 || cp == 0x202f || cp == 0x205f || cp == 0x3000;
}

bool el_cp_is_word(uint32_t cp)
{
    const utf8proc_category_t c = category(cp);
    const bool joiner = cp == 0x200c || cp == 0x200d;
    return (c >= UTF8PROC_CATEGORY_LU && c <= UTF8PROC_CATEGORY_NL) || c == UTF8PROC_CATEGORY_PC || joiner;
}

bool el_cp_is_number(uint32_t cp)
{
    const utf8proc_category_t c = category(cp);
    return c >= UTF8PROC_CATEGORY_ND && c <= UTF8PROC_CATEGORY_NO;
}

bool el_cp_is_punctuation(uint32_t cp)
{
    if (cp < 0x80)
        return (cp > ' ' && cp < '0') || (cp > '9' && cp < 'A') || (cp > 'Z' && cp < 'a') || (cp > 'z' && cp < 0x7f);
    const utf8proc_category_t c = category(cp);
    return c >= UTF8PROC_CATEGORY_PC && c <= UTF8PROC_CATEGORY_PO;
}

const char *el_cp_category(uint32_t cp)
{
    return utf8proc_category_string((utf8proc_int32_t)cp);
}

uint32_t el_cp_upper(uint32_t cp)
{
    return (uint32_t)utf8proc_toupper((utf8proc_int32_t)cp);
}

uint32_t el_cp_title(uint32_t cp)
{
    return (uint32_t)utf8proc_totitle((utf8proc_int32_t)cp);
}

const char *el_normalize_version(void)
{
    return utf8proc_version();
}
