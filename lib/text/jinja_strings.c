/* Work on strings that filters and methods share. Positions are bytes inside, characters outside. */
#include <string.h>

#include "base/buf.h"
#include "base/utf8.h"
#include "text/jinja_impl.h"
#include "text/normalize.h"

bool el_jinja_is_space(uint32_t cp)
{
    return (cp >= 0x1c && cp <= 0x1f) || el_cp_is_space(cp);
}

/* Is the character in chars, or white space where chars is NULL? */
static bool in_set(uint32_t cp, const struct el_jval *chars)
{
    if (!chars)
        return el_jinja_is_space(cp);
    for (uint32_t i = 0; i < chars->n;) {
        uint32_t c = 0;
        i += (uint32_t)el_utf8_decode(chars->u.s + i, chars->n - i, &c);
        if (c == cp)
            return true;
    }
    return false;
}

struct el_jval el_jinja_strip(struct el_jval s, const struct el_jval *chars, int sides)
{
    uint32_t begin = 0, end = s.n, cp = 0;
    while ((sides & EL_JINJA_LEFT) && begin < end) {
        const uint32_t n = (uint32_t)el_utf8_decode(s.u.s + begin, end - begin, &cp);
        if (!in_set(cp, chars))
            break;
        begin += n;
    }
    while ((sides & EL_JINJA_RIGHT) && begin < end) {
        uint32_t at = end - 1;
        while (((unsigned char)s.u.s[at] & 0xc0) == 0x80)
            at--;
        (void)el_utf8_decode(s.u.s + at, end - at, &cp);
        if (!in_set(cp, chars))
            break;
        end = at;
    }
    return el_jv_str(s.u.s + begin, end - begin);
}

int64_t el_jinja_find(struct el_jval s, struct el_jval needle, size_t from)
{
    if (from > s.n || needle.n > s.n - from)
        return -1;
    if (needle.n == 0)
        return (int64_t)from;
    /* In windows that grow: checked builds read all of what memmem is given, and a text may have many matches. */
    for (size_t window = 256;; window *= 4) {
        const size_t left = s.n - from, n = left < window + needle.n ? left : window + needle.n;
        const char *const p = memmem(s.u.s + from, n, needle.u.s, needle.n);
        if (p)
            return p - s.u.s;
        if (n == left)
            return -1;
        from += n - needle.n + 1;
    }
}

bool el_jinja_replace(struct el_jrun *r, struct el_jval s, struct el_jval from, struct el_jval to, int64_t count,
                      struct el_jval *out)
{
    struct el_jtext t;
    uint32_t plain = 0, at = 0;
    el_jtext_init(&t, EL_JINJA_MAX_OUTPUT);
    if (!el_jinja_tick(r, s.n / 64))
        return false;
    for (; count != 0; count--) {
        if (from.n == 0) { /* before each character, and at the end */
            if (!el_jtext_add(r, &t, s.u.s + plain, at - plain) || !el_jtext_add(r, &t, to.u.s, to.n) || !el_jinja_tick(r, 1))
                return false;
            plain = at;
            if (at >= s.n)
                break;
            uint32_t cp;
            at += (uint32_t)el_utf8_decode(s.u.s + at, s.n - at, &cp);
            continue;
        }
        const int64_t found = el_jinja_find(s, from, at);
        if (found < 0)
            break;
        if (!el_jtext_add(r, &t, s.u.s + plain, (size_t)found - plain) || !el_jtext_add(r, &t, to.u.s, to.n) ||
            !el_jinja_tick(r, 1))
            return false;
        plain = at = (uint32_t)found + from.n;
    }
    if (plain == 0 && t.n == 0) {
        *out = el_jv_str(s.u.s, s.n);
        return true;
    }
    if (!el_jtext_add(r, &t, s.u.s + plain, s.n - plain))
        return false;
    *out = el_jtext_str(r, &t);
    return true;
}

/* ---- lines and padding -------------------------------------------------------------------------------------------- */

static bool is_line_end(uint32_t cp)
{
    return (cp >= 10 && cp <= 13) || (cp >= 0x1c && cp <= 0x1e) || cp == 0x85 || cp == 0x2028 || cp == 0x2029;
}

bool el_jinja_splitlines(struct el_jrun *r, struct el_jval s, bool keep, struct el_jval *out)
{
    uint32_t n = 0, begin = 0, cp = 0;
    struct el_jval *v = NULL;
    if (!el_jinja_tick(r, s.n / 16))
        return false;
    for (int pass = 0; pass < 2; pass++) { /* count, then fill */
        if (pass == 1 && !(v = el_jinja_get(r, n, sizeof *v)))
            return false;
        n = begin = 0;
        for (uint32_t i = 0; i < s.n;) {
            const uint32_t at = i;
            i += (uint32_t)el_utf8_decode(s.u.s + i, s.n - i, &cp);
            if (!is_line_end(cp))
                continue;
            if (cp == '\r' && i < s.n && s.u.s[i] == '\n')
                i++;
            if (v)
                v[n] = el_jv_str(s.u.s + begin, (keep ? i : at) - begin);
            n++;
            begin = i;
        }
        if (begin < s.n) {
            if (v)
                v[n] = el_jv_str(s.u.s + begin, s.n - begin);
            n++;
        }
    }
    *out = el_jv_list(v, n);
    return true;
}

/* side: EL_JINJA_LEFT fills left (rjust), EL_JINJA_RIGHT right (ljust), both: center. */
bool el_jinja_center(struct el_jrun *r, struct el_jval s, int64_t width, uint32_t fill, int side, struct el_jval *out)
{
    struct el_jtext t;
    char bytes[4];
    const size_t n_fill = el_utf8_encode(fill, bytes);
    const int64_t len = el_jv_n_chars(s), pad = width > len ? width - len : 0;
    int64_t left = side == EL_JINJA_LEFT ? pad : 0;
    if (side == (EL_JINJA_LEFT | EL_JINJA_RIGHT))
        left = pad / 2 + (pad & width & 1);
    el_jtext_init(&t, EL_JINJA_MAX_OUTPUT);
    if (!el_jtext_fill(r, &t, bytes, n_fill, (uint64_t)left) || !el_jtext_add(r, &t, s.u.s, s.n) ||
        !el_jtext_fill(r, &t, bytes, n_fill, (uint64_t)(pad - left)))
        return false;
    *out = el_jtext_str(r, &t);
    return true;
}

bool el_jinja_escape(struct el_jrun *r, const struct el_jval *v, struct el_jval *out)
{
    static const char from[] = "&<>'\"";
    static const char *const to[] = {"&amp;", "&lt;", "&gt;", "&#39;", "&#34;"};
    struct el_jval s;
    struct el_jtext t;
    if (v->kind == EL_J_STR && (v->flags & EL_J_SAFE)) {
        *out = *v;
        return true;
    }
    if (!el_jv_to_str(r, v, &s))
        return false;
    el_jtext_init(&t, EL_JINJA_MAX_OUTPUT);
    uint32_t plain = 0;
    for (uint32_t i = 0; i < s.n; i++) {
        const char *const p = s.u.s[i] ? strchr(from, s.u.s[i]) : NULL;
        if (!p)
            continue;
        if (!el_jtext_add(r, &t, s.u.s + plain, i - plain) || !el_jtext_add_lit(r, &t, to[p - from]))
            return false;
        plain = i + 1;
    }
    if (!el_jtext_add(r, &t, s.u.s + plain, s.n - plain))
        return false;
    *out = el_jtext_str(r, &t);
    out->flags = EL_J_SAFE;
    return true;
}
