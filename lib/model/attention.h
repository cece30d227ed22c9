/*
 * attention: the second door. It owns the store of keys and values; architectures never index it.
 *
 * The store holds keys after RoPE. Layout [seq][layer][kv head], each head in tiles of positions (kernels/attn.h), so that a head
 * reads one piece of memory. A row at position p of sequence s sees positions max(0, p - window + 1) .. p of s, window 0 meaning
 * all. Rolling back forgets positions; nothing is cleared.
 *
 * Work is split by head of keys and values, so that each of its rows in the store is read once for all query heads that share it,
 * and by runs of rows. Where that gives few pieces, as for one row, it is also split over the chunks of positions.
 */
#ifndef EL_MODEL_ATTENTION_H
#define EL_MODEL_ATTENTION_H

#include "model/kv.h"
#include "model/run.h"

/* What attention needs of memory besides the store, all taken when a session is opened. */
struct el_attn_sizes {
    uint64_t n_runs;         /* of el_run.attn.first_row, without the one behind the last; n_pieces counters likewise */
    uint64_t scratch_nbytes; /* per thread */
    uint64_t n_pieces, n_parts, part_nbytes;
};
void el_attention_sizes(const struct el_hparams *hp, uint32_t n_ctx, uint32_t n_batch, unsigned n_threads,
                        struct el_attn_sizes *sizes);

/* Groups the rows of the batch into runs. Before the first layer. */
void el_attention_begin(struct el_run *run);

/*
 * Stores the batch's K and V in layer l, then dst [n, n_heads d] = softmax(attn_scale q k^T) v per head, head h reading kv head
 * h / (n_heads / n_kv_heads). Scores are never materialised.
 */
void el_attention(struct el_run *run, uint32_t l, enum el_buffer dst);

#endif
