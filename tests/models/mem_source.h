/*
 * Sources that live in memory: a model whose weights a test can read and change. Tensors are F32 until they are encoded, in
 * canonical row order, and map gives their place, so a change after opening a model is seen by that model too.
 */
#ifndef EL_TESTS_MEM_SOURCE_H
#define EL_TESTS_MEM_SOURCE_H

#include "edgellm.h"
#include "model/arch.h"

/* Metadata of a source to write to. */
struct el_meta *mem_source_meta(struct el_source *s);

/* An empty source. Aborts when out of memory, as all functions here. Close it with el_source_close. */
struct el_source *mem_source_new(void);

/* Adds a zero tensor; its values are returned. dims outermost first. */
float *mem_source_add(struct el_source *s, const char *name, uint32_t n_dims, const uint64_t *dims);
/* Takes a tensor out, which must be there. */
void mem_source_remove(struct el_source *s, const char *name);
/* Values of a tensor, NULL when there is none. */
float *mem_source_values(struct el_source *s, const char *name);

/* Stores every matrix whose rows fit it in another encoding, to the nearest. The source must be F32. */
void mem_source_encode(struct el_source *s, const char *type);

/* The same model, every tensor decoded. */
struct el_source *mem_source_copy(struct el_source *from);

/*
 * A random model of a family or of a variant of it, small: see the .c for sizes. Optional tensors but rope_freqs are there; tied:
 * no output.weight.
 */
struct el_source *mem_source_random(const char *name, bool tied, uint64_t seed);
/* Roles that the tensors of a source show. */
uint64_t mem_source_roles(struct el_source *s, const struct el_arch *arch);
/* Names of the variants that are not a family's usual form; NULL past the end. */
const char *mem_source_variant(size_t i);

/* Logits [MEM_SOURCE_IDS, n_vocab] of a few fixed tokens, with a float32 cache; false after a failure, which fails the test. */
enum { MEM_SOURCE_IDS = 12 };
bool mem_source_logits(struct el_source *source, float *logits, size_t n_vocab);
/* Largest difference over largest logit. */
double mem_source_moved(const float *a, const float *b, size_t n);

/* "blk.3.attn_q.weight" of a rule and layer, in a static ring. */
const char *mem_source_name(const struct el_tensor_rule *rule, uint32_t layer);

#endif
