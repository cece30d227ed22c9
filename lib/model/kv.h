/* The store of keys and values behind model/attention.h. Only attention.c, session.c and session_file.c include this. */
#ifndef EL_MODEL_KV_H
#define EL_MODEL_KV_H

#include "base/err.h"

struct el_kv_dims {
    uint32_t n_seqs, n_layers, n_kv_heads, n_ctx, d_head;
};
/* One of keys or values. */
struct el_kv_half {
    uint8_t *data;
    bool f16; /* else f32 */
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
    struct el_kv_half k, v;
    uint32_t *n_past; /* [n_seqs] positions held */
};

/* Takes all memory. EL_E_MEMORY says how much was wanted. */
enum el_status el_kv_open(struct el_kv *kv, const struct el_kv_dims *dims, bool k_f16, bool v_f16, struct el_err *err);
void el_kv_close(struct el_kv *kv);

/* Position `pos` of a head; positions follow each other row_nbytes apart. */
void *el_kv_at(const struct el_kv *kv, const struct el_kv_half *half, uint32_t seq, uint32_t layer, uint32_t head, uint32_t pos);

#endif
