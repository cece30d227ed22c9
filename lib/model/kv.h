/* The store of keys and values behind model/attention.h. Only attention.c, session.c and session_file.c include this. */
#ifndef EL_MODEL_KV_H
#define EL_MODEL_KV_H

#include "base/cpu.h"
#include "base/err.h"
#include "kernels/attn.h"

struct el_kv_dims {
    uint32_t n_seqs, n_layers, n_kv_heads, n_ctx, d_head;
};
/* One of keys or values. */
struct el_kv_half {
    uint8_t *data;
    enum el_kv_type type;
    bool is_key;
    uint64_t nbytes;
    uint64_t row_nbytes; /* one head at one position */
};
/* How keys and values are computed, where neither the model nor the CPU level says it: bits. */
enum el_kv_way {
    EL_KV_LONG_ROPE = 1u << 0, /* keys turn by RoPE's factors for long contexts: the session's context decides */
    EL_KV_F32_ACTS = 1u << 1,  /* quantized weights see float activations */
};
struct el_kv {
    struct el_kv_dims dims;
    uint32_t way; /* enum el_kv_way; 0 after el_kv_open */
    bool unlike_others;      /* what it holds was computed as no session but a study would: it is not saved, none is loaded */
    enum el_cpu_level level; /* whose kernels fill it; the reference after el_kv_open */
    struct el_kv_half k, v;
    uint32_t *n_past; /* [n_seqs] positions held */
    uint32_t first_layer; /* the store is of n_layers layers from this one on; 0 after el_kv_open */
};

/* Takes all memory. EL_E_MEMORY says how much was wanted; EL_E_USAGE q8_0 with heads that are not a multiple of its blocks. */
enum el_status el_kv_open(struct el_kv *kv, const struct el_kv_dims *dims, enum el_kv_type k_type, enum el_kv_type v_type,
                          struct el_err *err);
void el_kv_close(struct el_kv *kv);

/* The store of a head, tiled as kernels/attn.h says, from position 0 on. */
void *el_kv_head(const struct el_kv *kv, const struct el_kv_half *half, uint32_t seq, uint32_t layer, uint32_t head);

#endif
