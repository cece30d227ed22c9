/*
 * A growing byte buffer. data is never NULL and always has a NUL after nbytes. The first failed allocation sets `failed`;
 * later appends do nothing, so callers check once at the end. Low-level: must not learn about JSON, files or tensors.
 */
#ifndef EL_BASE_BUF_H
#define EL_BASE_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "edgellm.h"

struct el_buf {
    char *data;
    size_t nbytes, cap;
    bool failed;
};

void el_buf_init(struct el_buf *b);
void el_buf_release(struct el_buf *b);
void el_buf_reset(struct el_buf *b);
void el_buf_add(struct el_buf *b, const void *data, size_t nbytes);
void el_buf_add_str(struct el_buf *b, const char *s);
void el_buf_add_byte(struct el_buf *b, uint8_t byte);
void el_buf_addf(struct el_buf *b, const char *fmt, ...) EL_PRINTF(2, 3);
/* A JSON string with quotes; invalid UTF-8 becomes U+FFFD. */
void el_buf_add_json_str(struct el_buf *b, const char *s, size_t nbytes);
/* Little-endian integers. */
void el_buf_add_u32(struct el_buf *b, uint32_t v);
void el_buf_add_u64(struct el_buf *b, uint64_t v);
/* Takes the bytes away as el_alloc memory (el_free); the buffer is empty after. NULL when it had failed. */
char *el_buf_detach(struct el_buf *b, size_t *nbytes);

#endif
