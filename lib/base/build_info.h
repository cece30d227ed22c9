/* What this library was built from. Each door to an outside library adds one function here that names it. */
#ifndef EL_BASE_BUILD_INFO_H
#define EL_BASE_BUILD_INFO_H

#include "base/buf.h"

/* Version of an outside library at run time ("10.42"), static text. */
typedef const char *el_library_fn(void);

/*
 * Adds a library to el_build_info_json; name is static. For doors outside base, which base cannot call by name: they call this
 * from a constructor function in their own file. Calls after the first el_build_info_json have no effect, nor has the 17th
 * library.
 */
void el_build_info_add(const char *name, el_library_fn *version);

/* Appends a JSON value. */
typedef void el_info_fn(struct el_buf *b);

/* Adds a member of its own behind the others of el_build_info_json, in the same way; not the fifth. */
void el_build_info_add_member(const char *name, el_info_fn *value);

#endif
