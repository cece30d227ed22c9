#include "base/utf8.h"

size_t el_utf8_decode(const char *s, size_t nbytes, uint32_t *cp)
{
    if (nbytes == 0)
        return 0;
    const uint8_t b0 = (uint8_t)s[0];
    if (b0 < 0x80) {
        *cp = b0;
        return 1;
    }
    /* RFC 3629 section 4: the second byte's range shuts out overlong forms, surrogates and values above U+10FFFF. */
    size_t n;
    uint8_t low = 0x80, high = 0xbf;
    uint32_t v;
    if (b0 >= 0xc2 && b0 <= 0xdf) {
        n = 2;
        v = b0 & 0x1fu;
    } else if (b0 >= 0xe0 && b0 <= 0xef) {
        n = 3;
        v = b0 & 0x0fu;
        if (b0 == 0xe0)
            low = 0xa0;
        if (b0 == 0xed)
            high = 0x9f;
    } else if (b0 >= 0xf0 && b0 <= 0xf4) {
        n = 4;
        v = b0 & 0x07u;
        if (b0 == 0xf0)
            low = 0x90;
        if (b0 == 0xf4)
            high = 0x8f;
    } else {
        return 0;
    }
    if (nbytes < n)
        return 0;
    for (size_t i = 1; i < n; i++) {
        const uint8_t b = (uint8_t)s[i];
        if (b < low || b > high)
            return 0;
        v = v << 6 | (b & 0x3fu);
        low = 0x80;
        high = 0xbf;
    }
    *cp = v;
    return n;
}

size_t el_utf8_encode(uint32_t cp, char out[4])
{
    if (cp > 0x10ffff || (cp >= 0xd800 && cp <= 0xdfff))
        cp = 0xfffd;
    if (cp < 0x80) {
        out[0] = (char)cp;
        return 1;
    }
    if (cp < 0x800) {
        out[0] = (char)(0xc0 | cp >> 6);
        out[1] = (char)(0x80 | (cp & 0x3f));
        return 2;
    }
    if (cp < 0x10000) {
        out[0] = (char)(0xe0 | cp >> 12);
        out[1] = (char)(0x80 | (cp >> 6 & 0x3f));
        out[2] = (char)(0x80 | (cp & 0x3f));
        return 3;
    }
    out[0] = (char)(0xf0 | cp >> 18);
    out[1] = (char)(0x80 | (cp >> 12 & 0x3f));
    out[2] = (char)(0x80 | (cp >> 6 & 0x3f));
    out[3] = (char)(0x80 | (cp & 0x3f));
    return 4;
}

bool el_utf8_is_valid(const char *s, size_t nbytes)
{
    for (size_t i = 0; i < nbytes;) {
        uint32_t cp;
        const size_t n = el_utf8_decode(s + i, nbytes - i, &cp);
        if (n == 0)
            return false;
        i += n;
    }
    return true;
}

/* Could these n bytes, all that there are, become a valid character with more bytes behind them? */
static bool is_unfinished(const char *s, size_t n)
{
    const uint8_t b0 = (uint8_t)s[0];
    const size_t want = b0 >= 0xf0 && b0 <= 0xf4 ? 4 : b0 >= 0xe0 && b0 <= 0xef ? 3 : b0 >= 0xc2 && b0 <= 0xdf ? 2 : 1;
    if (n >= want)
        return false;
    for (size_t i = 1; i < n; i++) {
        const uint8_t b = (uint8_t)s[i];
        if (b < 0x80 || b > 0xbf)
            return false;
    }
    if (n >= 2) {
        const uint8_t b1 = (uint8_t)s[1];
        if ((b0 == 0xe0 && b1 < 0xa0) || (b0 == 0xed && b1 > 0x9f) || (b0 == 0xf0 && b1 < 0x90) || (b0 == 0xf4 && b1 > 0x8f))
            return false;
    }
    return true;
}

size_t el_utf8_complete(const char *s, size_t nbytes)
{
    for (size_t back = 1; back <= 3 && back <= nbytes; back++) {
        const uint8_t b = (uint8_t)s[nbytes - back];
        if (b < 0x80)
            break;
        if (b >= 0xc0)
            return is_unfinished(s + nbytes - back, back) ? nbytes - back : nbytes;
    }
    return nbytes;
}
