/*
 * Layers that families share. Each works on the whole batch in EL_B_X, by calls of model/ops.h, linear.h and attention.h
 * only; what a layer does not find among the model's weights (a bias) it leaves out.
 */
#ifndef EL_MODEL_LAYERS_H
#define EL_MODEL_LAYERS_H

#include "model/run.h"

/* x = embd_scale W_proj (rows of token_embd) (+ rows of position_embd, by position + pos_offset); without W_proj the rows */
void el_layer_embed(struct el_run *run);

/*
 * h = norm(x), with the norm and bias of that role (a bias follows its norm); or x itself when the model has no such norm.
 * Returns the buffer that it is in: EL_B_H or EL_B_X.
 */
enum el_buffer el_layer_norm(struct el_run *run, enum el_role norm, uint32_t l);
/*
 * x += residual_scale y, with the norm of y where the model has one, then x = norm(x) when it has a norm of that role, which is
 * EL_R_ATTN_RESID_NORM or EL_R_FFN_RESID_NORM.
 */
void el_layer_add(struct el_run *run, enum el_role resid_norm, uint32_t l);

/*
 * y = W_o attention(rope(norm(q)), rope(norm(k)), v) with q, k, v from h, which is EL_B_H or EL_B_X and stays; n_kv_heads may be
 * fewer than heads; fused or separate q, k, v; norms of q and k where the model has them.
 */
void el_layer_attend(struct el_run *run, uint32_t l, enum el_buffer h);
/* y = W_down (act(W_gate h) * (W_up h)), gate and up fused or not    (Shazeer, arXiv:2002.05202) */
void el_layer_gated(struct el_run *run, uint32_t l, enum el_buffer h);

/* x += attend(norm(x)) */
void el_layer_gqa(struct el_run *run, uint32_t l);

/* x += gated(norm(x)) */
void el_layer_swiglu(struct el_run *run, uint32_t l);

/* x += W_down act(W_up h), h = norm(x) */
void el_layer_mlp(struct el_run *run, uint32_t l);

/*
 * x += sum over the chosen experts of p_e gated_e(h), h = norm(x): the n_experts_used largest of softmax(W_router h) (the
 * lower number wins a tie), renormalised to sum 1 or as they are. (Jiang et al., arXiv:2401.04088, section 2.1.) Where the model
 * has an expert that all tokens share, x += sigmoid(w h) gated_shared(h) besides. (Qwen team, "Qwen1.5-MoE", 2024)
 */
void el_layer_moe(struct el_run *run, uint32_t l);

/*
 * logits = cap(W_output W_proj norm(x) / logit_scale) of the rows that asked for them; W_output is token_embd when the model has
 * no output.weight; norm and W_proj where the model has them.
 */
void el_layer_head(struct el_run *run);

#endif
