/* Metadata values as text and as JSON. */
#ifndef CMD_META_OUT_H
#define CMD_META_OUT_H

#include "cmd/json_out.h"
#include "edgellm.h"

/* "u32", "str", "arr": static. */
const char *meta_type_name(enum el_meta_type type);
/* Element k of value i. */
void meta_json_elem(struct json_out *j, const struct el_meta *meta, size_t i, size_t k);
/* The same as malloc'ed text; strings in visible form, cut at max_chars (0: whole). */
char *meta_elem_text(const struct el_meta *meta, size_t i, size_t k, size_t max_chars);

#endif
