/*
 * Metadata: ordered key-value pairs with GGUF's types (public read side in edgellm.h). Owns all keys and values; strings of
 * arrays lie in one block. Not thread-safe while being changed.
 */
#ifndef EL_TENSOR_META_H
#define EL_TENSOR_META_H

#include "base/err.h"

struct el_meta *el_meta_new(void); /* NULL: out of memory */
void el_meta_free(struct el_meta *meta);
struct el_meta *el_meta_copy(const struct el_meta *meta);

/* Set or replace (a replaced key keeps its place). EL_E_MEMORY. */
enum el_status el_meta_set_u32(struct el_meta *m, const char *key, uint32_t v, struct el_err *err);
enum el_status el_meta_set_f32(struct el_meta *m, const char *key, float v, struct el_err *err);
enum el_status el_meta_set_bool(struct el_meta *m, const char *key, bool v, struct el_err *err);
enum el_status el_meta_set_str(struct el_meta *m, const char *key, const char *s, size_t nbytes, struct el_err *err);
/* Any scalar type: bits of the value in little-endian order in v. */
enum el_status el_meta_set_scalar(struct el_meta *m, const char *key, enum el_meta_type type, const void *v, struct el_err *err);
/* data: n little-endian elements of a scalar type, copied. */
enum el_status el_meta_set_array(struct el_meta *m, const char *key, enum el_meta_type type, const void *data, size_t n,
                                 struct el_err *err);
/* n strings with their lengths (nbytes may be NULL: NUL-terminated), copied. */
enum el_status el_meta_set_str_array(struct el_meta *m, const char *key, const char *const *s, const size_t *nbytes, size_t n,
                                     struct el_err *err);
/*
 * The same without a copy: string j is block[starts[j] .. starts[j + 1] - 1) and followed by a NUL. Takes both (el_alloc memory)
 * in any case. Readers of large arrays use it, so that an array is in memory once.
 */
enum el_status el_meta_take_str_array(struct el_meta *m, const char *key, char *block, uint64_t *starts, size_t n,
                                      struct el_err *err);
/* Sets key to value i of another set (any type). */
enum el_status el_meta_set_from(struct el_meta *m, const char *key, const struct el_meta *from, size_t i, struct el_err *err);
void el_meta_remove(struct el_meta *m, const char *key);

/* The little-endian bytes of value i, el_meta_n_elems elements of its element type; NULL for strings. */
const void *el_meta_raw(const struct el_meta *m, size_t i);
/* Bytes of one element of a type; 0 for strings, arrays and numbers that are no type. */
size_t el_meta_type_nbytes(enum el_meta_type type);
/* Has value i of a the same type and bytes as value j of b? */
bool el_meta_value_equal(const struct el_meta *a, size_t i, const struct el_meta *b, size_t j);
/* The same keys with the same types and bytes, in the same order? */
bool el_meta_equal(const struct el_meta *a, const struct el_meta *b);

/*
 * Typed look-up. A key of another type (or, for u32, out of range) is EL_E_FORMAT naming the key, found and allowed; a missing
 * key is EL_E_FORMAT, or the default with the _or form. Any integer type is accepted for u32, f32 and f64 (and integers) for f32.
 */
enum el_status el_meta_get_u32(const struct el_meta *m, const char *key, uint32_t min, uint32_t max, uint32_t *out,
                               struct el_err *err);
enum el_status el_meta_get_u32_or(const struct el_meta *m, const char *key, uint32_t min, uint32_t max, uint32_t missing,
                                  uint32_t *out, struct el_err *err);
enum el_status el_meta_get_f32_or(const struct el_meta *m, const char *key, float missing, float *out, struct el_err *err);
enum el_status el_meta_get_bool_or(const struct el_meta *m, const char *key, bool missing, bool *out, struct el_err *err);
/* NULL when missing; EL_E_FORMAT for another type. */
enum el_status el_meta_get_str_or(const struct el_meta *m, const char *key, const char **out, struct el_err *err);

/* "uint32", "string", ... */
const char *el_meta_type_name(enum el_meta_type type);

#endif
