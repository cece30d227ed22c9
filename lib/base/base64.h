/* Base64 (RFC 4648 section 4), strict: the standard alphabet, padding in place, unused bits zero, nothing in between. */
#ifndef EL_BASE_BASE64_H
#define EL_BASE_BASE64_H

#include "base/buf.h"

/* Appends the bytes; false (and out as it was) when text is not base64. Out of memory shows in out->failed. */
bool el_base64_decode(const char *text, size_t nbytes, struct el_buf *out);
/* Appends the text. */
void el_base64_encode(const void *data, size_t nbytes, struct el_buf *out);

#endif
