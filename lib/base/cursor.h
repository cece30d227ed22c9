/*
 * A bounded reader: the only way in which parsers touch bytes of a file. Little-endian. After the first read past the end the
 * cursor is `failed` for good and every read gives zero, so a parser may check once per record.
 */
#ifndef EL_BASE_CURSOR_H
#define EL_BASE_CURSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct el_cursor {
    const uint8_t *start, *p, *end;
    bool failed;
};

struct el_cursor el_cursor_init(const void *data, size_t nbytes);
size_t el_cursor_offset(const struct el_cursor *c);
size_t el_cursor_left(const struct el_cursor *c);
uint8_t el_cursor_u8(struct el_cursor *c);
uint16_t el_cursor_u16(struct el_cursor *c);
uint32_t el_cursor_u32(struct el_cursor *c);
uint64_t el_cursor_u64(struct el_cursor *c);
float el_cursor_f32(struct el_cursor *c);
double el_cursor_f64(struct el_cursor *c);
/* nbytes bytes in place, or NULL. */
const uint8_t *el_cursor_bytes(struct el_cursor *c, uint64_t nbytes);

#endif
