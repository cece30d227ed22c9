/*
 * Layers that families share. Each works on the whole batch in EL_B_X, by calls of model/ops.h, linear.h and attention.h
 * only; what a layer does not find among the model's weights (a bias) it leaves out.
 */
#ifndef EL_MODEL_LAYERS_H
#define EL_MODEL_LAYERS_H

#include "model/run.h"

/* x = rows of token_embd (+ rows of position_embd, by position) */
void el_layer_embed(struct el_run *run);

/*
 * x += W_o attention(rope(q), rope(k), v) with q, k, v from norm(x); n_kv_heads may be fewer than heads; fused or separate q,
 * k, v.
 */
void el_layer_gqa(struct el_run *run, uint32_t l);

/* x += W_down (silu(W_gate h) * (W_up h)), h = norm(x)    (Shazeer, arXiv:2002.05202) */
void el_layer_swiglu(struct el_run *run, uint32_t l);

/* x += W_down gelu(W_up h), h = norm(x) */
void el_layer_mlp(struct el_run *run, uint32_t l);

/*
 * x += sum over the chosen experts of p_e swiglu_e(h), h = norm(x): the n_experts_used largest of softmax(W_router h) (the
 * lower number wins a tie), renormalised to sum 1. (Jiang et al., arXiv:2401.04088, section 2.1)
 */
void el_layer_moe(struct el_run *run, uint32_t l);

/* logits = W_output norm(x) of the rows that asked for them; W_output is token_embd when the model has no output.weight. */
void el_layer_head(struct el_run *run);

#endif
