/*
 * attention: the second door. It owns the store of keys and values; architectures never index it.
 *
 * The store holds keys after RoPE. Layout [seq][layer][kv head][pos][d], so that a head reads one piece of memory. A row at
 * position p of sequence s sees positions max(0, p - window + 1) .. p of s, window 0 meaning all. Rolling back forgets
 * positions; nothing is cleared.
 */
#ifndef EL_MODEL_ATTENTION_H
#define EL_MODEL_ATTENTION_H

#include "model/kv.h"
#include "model/run.h"

/*
 * Stores the batch's K and V in layer l, then dst [n, n_heads d] = softmax(attn_scale q k^T) v per head, head h reading kv head
 * h / (n_heads / n_kv_heads). Heads and rows are split over the pool; scores are never materialised.
 */
void el_attention(struct el_run *run, uint32_t l, enum el_buffer dst);

#endif
