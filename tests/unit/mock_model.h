/* A model in memory: a source whose tensors lie in malloc'ed parts, and a sink that keeps what it is given. */
#ifndef EL_TESTS_MOCK_MODEL_H
#define EL_TESTS_MOCK_MODEL_H

#include "tensor/source.h"

/* Empty, with general.architecture = arch and the given counts in its metadata. Close it with el_source_close. */
struct el_source *mock_source(const char *arch, uint32_t n_layers, uint32_t n_heads, uint32_t n_kv_heads, uint32_t n_experts);
/* Adds a tensor [d0, d1] (d0 0: a vector of d1) of an encoding. Values are pseudo-random from the name; NULL encoding is F32. */
struct el_tensor *mock_add(struct el_source *s, const char *name, uint64_t d0, uint64_t d1, const char *encoding);
/* The bytes of a part, to be changed by a test. */
uint8_t *mock_part(struct el_source *s, size_t tensor, uint32_t part);
/* Fails every read of this tensor from now on (SIZE_MAX: none). */
void mock_fail_read(struct el_source *s, size_t tensor);

/* A sink; order is given to every tensor with heads rows (0: canonical). */
struct el_sink *mock_sink(void);
void mock_sink_free(struct el_sink *sink);
void mock_sink_want(struct el_sink *sink, const char *tensor, struct el_row_order order);
void mock_sink_fail_write(struct el_sink *sink, size_t tensor);
const uint8_t *mock_sink_part(const struct el_sink *sink, size_t tensor, uint32_t part);
const struct el_meta *mock_sink_meta(const struct el_sink *sink);
/* Bytes written to a tensor so far (each byte should be written once). */
uint64_t mock_sink_written(const struct el_sink *sink, size_t tensor);

#endif
