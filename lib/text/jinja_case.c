/* Upper and lower case and classes of characters, as Python's str has them. */
#include <string.h>

#include "base/buf.h"
#include "base/utf8.h"
#include "text/jinja_impl.h"
#include "text/normalize.h"

/* Upper and title case of characters that become several (SpecialCasing.txt of Unicode, without conditions). */
static const struct {
    uint16_t cp;
    const char *upper, *title;
} special[] = {
    {0x00df, "SS", "Ss"},
    {0x0149, "\xca\xbcN", "\xca\xbcN"},
    {0x01f0, "J\xcc\x8c", "J\xcc\x8c"},
    {0x0390, "\xce\x99\xcc\x88\xcc\x81", "\xce\x99\xcc\x88\xcc\x81"},
    {0x03b0, "\xce\xa5\xcc\x88\xcc\x81", "\xce\xa5\xcc\x88\xcc\x81"},
    {0x0587, "\xd4\xb5\xd5\x92", "\xd4\xb5\xd6\x82"},
    {0x1e96, "H\xcc\xb1", "H\xcc\xb1"},
    {0x1e97, "T\xcc\x88", "T\xcc\x88"},
    {0x1e98, "W\xcc\x8a", "W\xcc\x8a"},
    {0x1e99, "Y\xcc\x8a", "Y\xcc\x8a"},
    {0x1e9a, "A\xca\xbe", "A\xca\xbe"},
    {0x1f50, "\xce\xa5\xcc\x93", "\xce\xa5\xcc\x93"},
    {0x1f52, "\xce\xa5\xcc\x93\xcc\x80", "\xce\xa5\xcc\x93\xcc\x80"},
    {0x1f54, "\xce\xa5\xcc\x93\xcc\x81", "\xce\xa5\xcc\x93\xcc\x81"},
    {0x1f56, "\xce\xa5\xcc\x93\xcd\x82", "\xce\xa5\xcc\x93\xcd\x82"},
    {0x1f80, "\xe1\xbc\x88\xce\x99", "\xe1\xbe\x88"},
    {0x1f81, "\xe1\xbc\x89\xce\x99", "\xe1\xbe\x89"},
    {0x1f82, "\xe1\xbc\x8a\xce\x99", "\xe1\xbe\x8a"},
    {0x1f83, "\xe1\xbc\x8b\xce\x99", "\xe1\xbe\x8b"},
    {0x1f84, "\xe1\xbc\x8c\xce\x99", "\xe1\xbe\x8c"},
    {0x1f85, "\xe1\xbc\x8d\xce\x99", "\xe1\xbe\x8d"},
    {0x1f86, "\xe1\xbc\x8e\xce\x99", "\xe1\xbe\x8e"},
    {0x1f87, "\xe1\xbc\x8f\xce\x99", "\xe1\xbe\x8f"},
    {0x1f88, "\xe1\xbc\x88\xce\x99", "\xe1\xbe\x88"},
    {0x1f89, "\xe1\xbc\x89\xce\x99", "\xe1\xbe\x89"},
    {0x1f8a, "\xe1\xbc\x8a\xce\x99", "\xe1\xbe\x8a"},
    {0x1f8b, "\xe1\xbc\x8b\xce\x99", "\xe1\xbe\x8b"},
    {0x1f8c, "\xe1\xbc\x8c\xce\x99", "\xe1\xbe\x8c"},
    {0x1f8d, "\xe1\xbc\x8d\xce\x99", "\xe1\xbe\x8d"},
    {0x1f8e, "\xe1\xbc\x8e\xce\x99", "\xe1\xbe\x8e"},
    {0x1f8f, "\xe1\xbc\x8f\xce\x99", "\xe1\xbe\x8f"},
    {0x1f90, "\xe1\xbc\xa8\xce\x99", "\xe1\xbe\x98"},
    {0x1f91, "\xe1\xbc\xa9\xce\x99", "\xe1\xbe\x99"},
    {0x1f92, "\xe1\xbc\xaa\xce\x99", "\xe1\xbe\x9a"},
    {0x1f93, "\xe1\xbc\xab\xce\x99", "\xe1\xbe\x9b"},
    {0x1f94, "\xe1\xbc\xac\xce\x99", "\xe1\xbe\x9c"},
    {0x1f95, "\xe1\xbc\xad\xce\x99", "\xe1\xbe\x9d"},
    {0x1f96, "\xe1\xbc\xae\xce\x99", "\xe1\xbe\x9e"},
    {0x1f97, "\xe1\xbc\xaf\xce\x99", "\xe1\xbe\x9f"},
    {0x1f98, "\xe1\xbc\xa8\xce\x99", "\xe1\xbe\x98"},
    {0x1f99, "\xe1\xbc\xa9\xce\x99", "\xe1\xbe\x99"},
    {0x1f9a, "\xe1\xbc\xaa\xce\x99", "\xe1\xbe\x9a"},
    {0x1f9b, "\xe1\xbc\xab\xce\x99", "\xe1\xbe\x9b"},
    {0x1f9c, "\xe1\xbc\xac\xce\x99", "\xe1\xbe\x9c"},
    {0x1f9d, "\xe1\xbc\xad\xce\x99", "\xe1\xbe\x9d"},
    {0x1f9e, "\xe1\xbc\xae\xce\x99", "\xe1\xbe\x9e"},
    {0x1f9f, "\xe1\xbc\xaf\xce\x99", "\xe1\xbe\x9f"},
    {0x1fa0, "\xe1\xbd\xa8\xce\x99", "\xe1\xbe\xa8"},
    {0x1fa1, "\xe1\xbd\xa9\xce\x99", "\xe1\xbe\xa9"},
    {0x1fa2, "\xe1\xbd\xaa\xce\x99", "\xe1\xbe\xaa"},
    {0x1fa3, "\xe1\xbd\xab\xce\x99", "\xe1\xbe\xab"},
    {0x1fa4, "\xe1\xbd\xac\xce\x99", "\xe1\xbe\xac"},
    {0x1fa5, "\xe1\xbd\xad\xce\x99", "\xe1\xbe\xad"},
    {0x1fa6, "\xe1\xbd\xae\xce\x99", "\xe1\xbe\xae"},
    {0x1fa7, "\xe1\xbd\xaf\xce\x99", "\xe1\xbe\xaf"},
    {0x1fa8, "\xe1\xbd\xa8\xce\x99", "\xe1\xbe\xa8"},
    {0x1fa9, "\xe1\xbd\xa9\xce\x99", "\xe1\xbe\xa9"},
    {0x1faa, "\xe1\xbd\xaa\xce\x99", "\xe1\xbe\xaa"},
    {0x1fab, "\xe1\xbd\xab\xce\x99", "\xe1\xbe\xab"},
    {0x1fac, "\xe1\xbd\xac\xce\x99", "\xe1\xbe\xac"},
    {0x1fad, "\xe1\xbd\xad\xce\x99", "\xe1\xbe\xad"},
    {0x1fae, "\xe1\xbd\xae\xce\x99", "\xe1\xbe\xae"},
    {0x1faf, "\xe1\xbd\xaf\xce\x99", "\xe1\xbe\xaf"},
    {0x1fb2, "\xe1\xbe\xba\xce\x99", "\xe1\xbe\xba\xcd\x85"},
    {0x1fb3, "\xce\x91\xce\x99", "\xe1\xbe\xbc"},
    {0x1fb4, "\xce\x86\xce\x99", "\xce\x86\xcd\x85"},
    {0x1fb6, "\xce\x91\xcd\x82", "\xce\x91\xcd\x82"},
    {0x1fb7, "\xce\x91\xcd\x82\xce\x99", "\xce\x91\xcd\x82\xcd\x85"},
    {0x1fbc, "\xce\x91\xce\x99", "\xe1\xbe\xbc"},
    {0x1fc2, "\xe1\xbf\x8a\xce\x99", "\xe1\xbf\x8a\xcd\x85"},
    {0x1fc3, "\xce\x97\xce\x99", "\xe1\xbf\x8c"},
    {0x1fc4, "\xce\x89\xce\x99", "\xce\x89\xcd\x85"},
    {0x1fc6, "\xce\x97\xcd\x82", "\xce\x97\xcd\x82"},
    {0x1fc7, "\xce\x97\xcd\x82\xce\x99", "\xce\x97\xcd\x82\xcd\x85"},
    {0x1fcc, "\xce\x97\xce\x99", "\xe1\xbf\x8c"},
    {0x1fd2, "\xce\x99\xcc\x88\xcc\x80", "\xce\x99\xcc\x88\xcc\x80"},
    {0x1fd3, "\xce\x99\xcc\x88\xcc\x81", "\xce\x99\xcc\x88\xcc\x81"},
    {0x1fd6, "\xce\x99\xcd\x82", "\xce\x99\xcd\x82"},
    {0x1fd7, "\xce\x99\xcc\x88\xcd\x82", "\xce\x99\xcc\x88\xcd\x82"},
    {0x1fe2, "\xce\xa5\xcc\x88\xcc\x80", "\xce\xa5\xcc\x88\xcc\x80"},
    {0x1fe3, "\xce\xa5\xcc\x88\xcc\x81", "\xce\xa5\xcc\x88\xcc\x81"},
    {0x1fe4, "\xce\xa1\xcc\x93", "\xce\xa1\xcc\x93"},
    {0x1fe6, "\xce\xa5\xcd\x82", "\xce\xa5\xcd\x82"},
    {0x1fe7, "\xce\xa5\xcc\x88\xcd\x82", "\xce\xa5\xcc\x88\xcd\x82"},
    {0x1ff2, "\xe1\xbf\xba\xce\x99", "\xe1\xbf\xba\xcd\x85"},
    {0x1ff3, "\xce\xa9\xce\x99", "\xe1\xbf\xbc"},
    {0x1ff4, "\xce\x8f\xce\x99", "\xce\x8f\xcd\x85"},
    {0x1ff6, "\xce\xa9\xcd\x82", "\xce\xa9\xcd\x82"},
    {0x1ff7, "\xce\xa9\xcd\x82\xce\x99", "\xce\xa9\xcd\x82\xcd\x85"},
    {0x1ffc, "\xce\xa9\xce\x99", "\xe1\xbf\xbc"},
    {0xfb00, "FF", "Ff"},
    {0xfb01, "FI", "Fi"},
    {0xfb02, "FL", "Fl"},
    {0xfb03, "FFI", "Ffi"},
    {0xfb04, "FFL", "Ffl"},
    {0xfb05, "ST", "St"},
    {0xfb06, "ST", "St"},
    {0xfb13, "\xd5\x84\xd5\x86", "\xd5\x84\xd5\xb6"},
    {0xfb14, "\xd5\x84\xd4\xb5", "\xd5\x84\xd5\xa5"},
    {0xfb15, "\xd5\x84\xd4\xbb", "\xd5\x84\xd5\xab"},
    {0xfb16, "\xd5\x8e\xd5\x86", "\xd5\x8e\xd5\xb6"},
    {0xfb17, "\xd5\x84\xd4\xbd", "\xd5\x84\xd5\xad"},
};

static const char *category(uint32_t cp)
{
    return el_cp_category(cp);
}

static bool is_lower(uint32_t cp)
{
    return strcmp(category(cp), "Ll") == 0 || cp == 0xaa || cp == 0xba || (cp >= 0x2170 && cp <= 0x217f) ||
           (cp >= 0x24d0 && cp <= 0x24e9) || (cp >= 0x2b0 && cp <= 0x2b8) || (cp >= 0x1d2c && cp <= 0x1d6a);
}

static bool is_upper(uint32_t cp)
{
    return strcmp(category(cp), "Lu") == 0 || (cp >= 0x2160 && cp <= 0x216f) || (cp >= 0x24b6 && cp <= 0x24cf) ||
           (cp >= 0x1f130 && cp <= 0x1f149) || (cp >= 0x1f150 && cp <= 0x1f169) || (cp >= 0x1f170 && cp <= 0x1f189);
}

static bool is_cased(uint32_t cp)
{
    return is_lower(cp) || is_upper(cp) || strcmp(category(cp), "Lt") == 0;
}

/* Case_Ignorable: marks, formats, modifiers, and the punctuation that stands within words. */
static bool is_ignorable(uint32_t cp)
{
    static const uint16_t within[] = {'\'',   '.',    ':',    0xb7,   0x387,  0x55f,  0x5f4,  0x2018, 0x2019,
                                      0x2024, 0x2027, 0xfe13, 0xfe52, 0xfe55, 0xff07, 0xff0e, 0xff1a};
    static const char *const classes[] = {"Mn", "Me", "Cf", "Lm", "Sk"};
    for (size_t i = 0; i < sizeof within / sizeof within[0]; i++)
        if (cp == within[i])
            return true;
    for (size_t i = 0; i < sizeof classes / sizeof classes[0]; i++)
        if (strcmp(category(cp), classes[i]) == 0)
            return true;
    return false;
}

/* The sigma at `at` ends a word: a cased letter stands before it and none behind, ignorable characters skipped. */
static bool is_final(struct el_jval s, uint32_t at, uint32_t len)
{
    enum { FAR = 256 }; /* bytes looked at on each side, so that endless marks cost nothing */
    uint32_t cp = 0, i = at;
    bool before = false;
    while (i > 0 && at - i < FAR && !before) {
        i--;
        while (((unsigned char)s.u.s[i] & 0xc0) == 0x80)
            i--;
        (void)el_utf8_decode(s.u.s + i, s.n - i, &cp);
        if (is_ignorable(cp))
            continue;
        if (!is_cased(cp))
            return false;
        before = true;
    }
    if (!before)
        return false;
    for (i = at + len; i < s.n && i - at < FAR;) {
        i += (uint32_t)el_utf8_decode(s.u.s + i, s.n - i, &cp);
        if (!is_ignorable(cp))
            return !is_cased(cp);
    }
    return true;
}

static void add_raised(struct el_buf *b, uint32_t cp, bool title)
{
    char bytes[4];
    for (size_t i = 0; cp >= 0x80 && i < sizeof special / sizeof special[0]; i++) {
        if (special[i].cp == cp) {
            el_buf_add_str(b, title ? special[i].title : special[i].upper);
            return;
        }
    }
    el_buf_add(b, bytes, el_utf8_encode(title ? el_cp_title(cp) : el_cp_upper(cp), bytes));
}

bool el_jinja_case(struct el_jrun *r, struct el_jval s, enum el_jcase how, struct el_jval *out)
{
    struct el_buf b;
    struct el_jtext t;
    bool begins = how == EL_JINJA_CAPITALIZE || how == EL_JINJA_TITLE;
    if (!el_jinja_tick(r, s.n / 8))
        return false;
    el_buf_init(&b);
    for (uint32_t i = 0; i < s.n;) {
        uint32_t cp = 0;
        const uint32_t len = (uint32_t)el_utf8_decode(s.u.s + i, s.n - i, &cp);
        const bool swaps = how == EL_JINJA_SWAP;
        if (begins)
            add_raised(&b, cp, true);
        else if (how == EL_JINJA_UPPER || (swaps && is_lower(cp)))
            add_raised(&b, cp, false);
        else if (swaps && !is_upper(cp))
            el_buf_add(&b, s.u.s + i, len);
        else if (cp == 0x3a3)
            el_buf_add_str(&b, is_final(s, i, len) ? "\xcf\x82" : "\xcf\x83");
        else
            el_lowercase(s.u.s + i, len, &b);
        begins = how == EL_JINJA_TITLE && !is_cased(cp);
        i += len;
    }
    el_jtext_init(&t, EL_JINJA_MAX_OUTPUT);
    const bool ok = b.failed ? el_jinja_no_memory(r) : el_jtext_add(r, &t, b.data, b.nbytes);
    el_buf_release(&b);
    if (ok)
        *out = el_jtext_str(r, &t);
    return ok;
}

/* ---- classes ------------------------------------------------------------------------------------------------------ */

static bool is_digit(uint32_t cp)
{
    return strcmp(category(cp), "Nd") == 0 || cp == 0xb2 || cp == 0xb3 || cp == 0xb9 || cp == 0x2070 ||
           (cp >= 0x2074 && cp <= 0x2079) || (cp >= 0x2080 && cp <= 0x2089) || (cp >= 0x2460 && cp <= 0x2468);
}

bool el_jinja_is_alnum(uint32_t cp)
{
    return category(cp)[0] == 'L' || category(cp)[0] == 'N';
}

bool el_jinja_is_printable(uint32_t cp)
{
    const char c = category(cp)[0];
    return cp == ' ' || (c != 'C' && c != 'Z');
}

bool el_jinja_is_class(uint32_t cp, enum el_jclass class)
{
    switch (class) {
    case EL_JINJA_ALPHA: return category(cp)[0] == 'L';
    case EL_JINJA_ALNUM: return el_jinja_is_alnum(cp);
    case EL_JINJA_ASCII: return cp < 0x80;
    case EL_JINJA_DECIMAL: return strcmp(category(cp), "Nd") == 0;
    case EL_JINJA_DIGIT: return is_digit(cp);
    case EL_JINJA_NUMERIC: return category(cp)[0] == 'N';
    case EL_JINJA_SPACE: return el_jinja_is_space(cp);
    case EL_JINJA_PRINTABLE: return el_jinja_is_printable(cp);
    case EL_JINJA_IS_LOWER: return is_lower(cp);
    case EL_JINJA_IS_UPPER: return is_upper(cp);
    case EL_JINJA_CASED: return is_cased(cp);
    }
    return false;
}
