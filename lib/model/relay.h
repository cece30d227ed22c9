/*
 * Re-laying: weights read from the file in strips, by all threads, straight into the layout that products read
 * (tensor/layout.h). All of a model's re-laid weights lie in one block of memory, in the order in which a pass reads them, on
 * huge pages where the system gives them. The file is never mapped for it: what stands in memory is the weights once.
 */
#ifndef EL_MODEL_RELAY_H
#define EL_MODEL_RELAY_H

#include "base/threads.h"
#include "kernels/kernels.h"
#include "model/weights.h"

/* Does this level multiply such a matrix re-laid? */
bool el_relay_pays(const struct el_kernels *kernels, const struct el_enc *enc);
/* Strips of all experts of a weight: each expert begins with one of its own. */
uint64_t el_relay_n_strips(const struct el_weight *w);
/* Fills w->laid from w->m.enc and the shape: the strips are those at data (NULL: none yet). */
void el_relay_place(struct el_weight *w, const uint8_t *data);

struct el_relay_item {
    struct el_weight *w; /* with role, shape and m.enc set; m.data stays NULL, laid is filled */
    const struct el_tensor *t;
};
/*
 * Reads and re-lays all items; the block is *arena (el_free_aligned). pool may be NULL. EL_E_MEMORY, EL_E_INTERRUPTED, or what
 * reading gives, with the tensor's name; *arena is then NULL or to be freed as well.
 */
enum el_status el_relay_run(struct el_source *source, const struct el_relay_item *items, size_t n_items, struct el_pool *pool,
                            void **arena, struct el_err *err);

#endif
