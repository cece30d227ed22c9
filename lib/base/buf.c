#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/locale_c.h"
#include "base/mem.h"
#include "base/utf8.h"

/* What data points to while nothing is allocated; it is never written. */
static char empty[1];

void el_buf_init(struct el_buf *b)
{
    b->data = empty;
    b->nbytes = b->cap = 0;
    b->failed = false;
}

void el_buf_release(struct el_buf *b)
{
    if (b->cap)
        el_free(b->data);
    el_buf_init(b);
}

void el_buf_reset(struct el_buf *b)
{
    b->nbytes = 0;
    b->failed = false;
    if (b->cap)
        b->data[0] = '\0';
}

/* Makes room for nbytes more and the NUL; false once anything has failed. */
static bool reserve(struct el_buf *b, size_t nbytes)
{
    size_t want;
    if (b->failed || __builtin_add_overflow(b->nbytes, nbytes, &want) || __builtin_add_overflow(want, (size_t)1, &want)) {
        b->failed = true;
        return false;
    }
    if (want <= b->cap)
        return true;
    size_t cap = b->cap + b->cap / 2;
    if (cap < want)
        cap = want;
    if (cap < 64)
        cap = 64;
    char *const data = el_realloc_array(b->cap ? b->data : NULL, cap, 1);
    if (!data) {
        b->failed = true;
        return false;
    }
    b->data = data;
    b->cap = cap;
    return true;
}

void el_buf_add(struct el_buf *b, const void *data, size_t nbytes)
{
    if (nbytes == 0 || !reserve(b, nbytes))
        return;
    memcpy(b->data + b->nbytes, data, nbytes);
    b->nbytes += nbytes;
    b->data[b->nbytes] = '\0';
}

void el_buf_add_str(struct el_buf *b, const char *s)
{
    el_buf_add(b, s, strlen(s));
}

void el_buf_add_byte(struct el_buf *b, uint8_t byte)
{
    el_buf_add(b, &byte, 1);
}

void el_buf_addf(struct el_buf *b, const char *fmt, ...)
{
    va_list args;
    char small[256];
    va_start(args, fmt);
    const int n = el_vsnprintf_c(small, sizeof small, fmt, args);
    va_end(args);
    if (n < 0) {
        b->failed = true;
        return;
    }
    if ((size_t)n < sizeof small) {
        el_buf_add(b, small, (size_t)n);
        return;
    }
    if (!reserve(b, (size_t)n))
        return;
    va_start(args, fmt);
    (void)el_vsnprintf_c(b->data + b->nbytes, (size_t)n + 1, fmt, args);
    va_end(args);
    b->nbytes += (size_t)n;
}

void el_buf_add_json_str(struct el_buf *b, const char *s, size_t nbytes)
{
    el_buf_add_byte(b, '"');
    size_t plain = 0; /* start of the bytes that can go out as they are */
    for (size_t i = 0; i < nbytes;) {
        uint32_t cp = 0;
        const size_t n = el_utf8_decode(s + i, nbytes - i, &cp);
        if (n > 0 && cp >= 0x20 && cp != '"' && cp != '\\' && cp != 0x7f) {
            i += n;
            continue;
        }
        el_buf_add(b, s + plain, i - plain);
        if (n == 0)
            el_buf_add_str(b, "\xef\xbf\xbd");
        else if (cp == '"' || cp == '\\')
            el_buf_addf(b, "\\%c", (int)cp);
        else if (cp == '\n')
            el_buf_add_str(b, "\\n");
        else if (cp == '\r')
            el_buf_add_str(b, "\\r");
        else if (cp == '\t')
            el_buf_add_str(b, "\\t");
        else
            el_buf_addf(b, "\\u%04x", (unsigned)cp);
        i += n ? n : 1;
        plain = i;
    }
    el_buf_add(b, s + plain, nbytes - plain);
    el_buf_add_byte(b, '"');
}

void el_buf_add_u32(struct el_buf *b, uint32_t v)
{
    const uint8_t bytes[4] = {(uint8_t)v, (uint8_t)(v >> 8), (uint8_t)(v >> 16), (uint8_t)(v >> 24)};
    el_buf_add(b, bytes, sizeof bytes);
}

void el_buf_add_u64(struct el_buf *b, uint64_t v)
{
    el_buf_add_u32(b, (uint32_t)v);
    el_buf_add_u32(b, (uint32_t)(v >> 32));
}

char *el_buf_detach(struct el_buf *b, size_t *nbytes)
{
    *nbytes = 0;
    if (b->failed || !reserve(b, 0)) {
        el_buf_release(b);
        return NULL;
    }
    char *const data = b->data;
    data[b->nbytes] = '\0';
    *nbytes = b->nbytes;
    el_buf_init(b);
    return data;
}
