/*
 * Mixes: which encoding each tensor of a model gets, by llama-quantize's rules (llama.cpp 3f545be, src/llama-quant.cpp, read as a
 * specification). Knows names and counts, no files.
 */
#ifndef EL_QUANT_MIXES_H
#define EL_QUANT_MIXES_H

#include "tensor/encoding.h"

struct el_mix {
    const char *name;
    const char *encoding; /* of most matrices */
    int32_t ftype;        /* general.file_type; -1: llama.cpp has no number for it */
    const char *about;
};

/* The i-th line of mixes.def, NULL past the end. */
const struct el_mix *el_mix_at(size_t i);
/* By name (any case) or by number ("15"), as llama-quantize takes them; NULL: none. */
const struct el_mix *el_mix_by_name(const char *name);

/* What a tensor is for, as far as the rules tell tensors apart. */
enum el_category {
    EL_CAT_OUTPUT,
    EL_CAT_TOKEN_EMBD,
    EL_CAT_ATTN_V, /* also fused q, k, v and the latent kv_b */
    EL_CAT_ATTN_K,
    EL_CAT_ATTN_OUT,
    EL_CAT_FFN_DOWN,
    EL_CAT_ATTN_Q,
    EL_CAT_FFN_GATE_UP,
    EL_CAT_OTHER,
};
enum el_category el_mix_category(const char *tensor);
/* Is a tensor of this name, with this many rows, one that is quantized? Norms, biases, routers, position tables are not. */
bool el_mix_quantizes(const char *tensor, uint64_t n_rows);
/* N of "blk.N.", or -1. */
int64_t el_mix_layer(const char *tensor);

/* What the rules want to know of a model. */
struct el_mix_model {
    uint32_t n_layers, n_experts;
    uint32_t heads_per_kv; /* query heads that share a key and value head */
    bool is_70b;           /* llama.cpp's size class: el_arch's class_70b_layers */
    bool tied;             /* no output.weight */
    bool has_importance;   /* statistics of the inputs are there: llama-quantize's --imatrix */
    uint32_t n_attn_v;     /* tensors of EL_CAT_ATTN_V */
};
/* Fills all but n_attn_v, tied and has_importance from metadata; what is missing or of a wrong type counts as 0. */
struct el_mix_model el_mix_model_read(const struct el_meta *meta);

/* Tensors seen so far, in the order of el_mix_before. Starts as zeros. */
struct el_mix_state {
    uint32_t n_attn_v, n_ffn_down;
};
/* The order in which llama-quantize counts layers: by layer (none first), then by name. */
bool el_mix_before(const char *a, const char *b);

/* A matrix that el_mix_quantizes. */
struct el_mix_tensor {
    const char *name;
    uint64_t n_in;
    bool is_stack; /* several matrices: experts */
};
/*
 * Name of the encoding for one tensor. block_n: the block of the mix's encoding. Call it once per tensor that no option decides,
 * in order.
 */
const char *el_mix_choose(const struct el_mix *mix, const struct el_mix_model *model, struct el_mix_state *state,
                          const struct el_mix_tensor *t, uint32_t block_n);

#endif
