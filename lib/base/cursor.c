#include "base/cursor.h"

#include <string.h>

struct el_cursor el_cursor_init(const void *data, size_t nbytes)
{
    static const uint8_t nothing[1];
    const uint8_t *const start = data ? data : nothing;
    const struct el_cursor c = {start, start, start + (data ? nbytes : 0), false};
    return c;
}

size_t el_cursor_offset(const struct el_cursor *c)
{
    return (size_t)(c->p - c->start);
}

size_t el_cursor_left(const struct el_cursor *c)
{
    return c->failed ? 0 : (size_t)(c->end - c->p);
}

const uint8_t *el_cursor_bytes(struct el_cursor *c, uint64_t nbytes)
{
    if (c->failed || nbytes > (uint64_t)(c->end - c->p)) {
        c->failed = true;
        return NULL;
    }
    const uint8_t *const p = c->p;
    c->p += nbytes;
    return p;
}

/* Little-endian integer of n bytes, at most 8. */
static uint64_t integer(struct el_cursor *c, unsigned n)
{
    const uint8_t *const p = el_cursor_bytes(c, n);
    uint64_t v = 0;
    for (unsigned i = 0; p && i < n; i++)
        v |= (uint64_t)p[i] << 8 * i;
    return v;
}

uint8_t el_cursor_u8(struct el_cursor *c)
{
    return (uint8_t)integer(c, 1);
}

uint16_t el_cursor_u16(struct el_cursor *c)
{
    return (uint16_t)integer(c, 2);
}

uint32_t el_cursor_u32(struct el_cursor *c)
{
    return (uint32_t)integer(c, 4);
}

uint64_t el_cursor_u64(struct el_cursor *c)
{
    return integer(c, 8);
}

float el_cursor_f32(struct el_cursor *c)
{
    const uint32_t bits = el_cursor_u32(c);
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

double el_cursor_f64(struct el_cursor *c)
{
    const uint64_t bits = el_cursor_u64(c);
    double d;
    memcpy(&d, &bits, sizeof d);
    return d;
}
