/* Layers that families share; see layers.h for what each computes. */
#include "model/layers.h"

#include "model/ops.h"

_Static_assert(EL_R_ATTN_NORM_B == EL_R_ATTN_NORM + 1 && EL_R_FFN_NORM_B == EL_R_FFN_NORM + 1 &&
                   EL_R_ATTN_RESID_NORM_B == EL_R_ATTN_RESID_NORM + 1 && EL_R_FFN_RESID_NORM_B == EL_R_FFN_RESID_NORM + 1,
               "a bias follows its norm");

static const struct el_weight *weight(const struct el_run *run, enum el_role role, uint32_t l)
{
    return el_weight_at(run->weights, role, l);
}

static void linear(struct el_run *run, enum el_role role, uint32_t l, enum el_buffer src, enum el_buffer dst)
{
    const struct el_linear_job job = {weight(run, role, l), 0, dst};
    run->ops->linear(run, src, &job, 1);
}

void el_layer_embed(struct el_run *run)
{
    const struct el_ops *const ops = run->ops;
    const struct el_weight *const positions = weight(run, EL_R_POS_EMBD, 0);
    if (weight(run, EL_R_EMBD_PROJ, 0)) {
        ops->token_rows(run, weight(run, EL_R_TOKEN_EMBD, 0), EL_B_EMBD);
        linear(run, EL_R_EMBD_PROJ, 0, EL_B_EMBD, EL_B_X);
    } else {
        ops->token_rows(run, weight(run, EL_R_TOKEN_EMBD, 0), EL_B_X);
    }
    if (run->hp->embd_scale != 1.0f)
        ops->scale(run, EL_B_X, run->hp->embd_scale);
    if (positions)
        ops->add_position_rows(run, positions, EL_B_X);
}

enum el_buffer el_layer_norm(struct el_run *run, enum el_role norm, uint32_t l)
{
    if (!weight(run, norm, l))
        return EL_B_X;
    run->ops->norm(run, weight(run, norm, l), weight(run, norm + 1, l), EL_B_X, EL_B_H);
    return EL_B_H;
}

void el_layer_add(struct el_run *run, enum el_role resid_norm, uint32_t l)
{
    const struct el_weight *const gain = weight(run, resid_norm, l);
    const struct el_weight *const post =
        weight(run, resid_norm == EL_R_ATTN_RESID_NORM ? EL_R_ATTN_POST_NORM : EL_R_FFN_POST_NORM, l);
    if (post)
        run->ops->norm(run, post, NULL, EL_B_Y, EL_B_Y);
    if (run->hp->residual_scale != 1.0f)
        run->ops->scale(run, EL_B_Y, run->hp->residual_scale);
    run->ops->add(run, EL_B_X, EL_B_Y);
    if (gain)
        run->ops->norm(run, gain, weight(run, resid_norm + 1, l), EL_B_X, EL_B_X);
}

void el_layer_attend(struct el_run *run, uint32_t l, enum el_buffer h)
{
    const struct el_ops *const ops = run->ops;
    const struct el_hparams *const hp = run->hp;
    const struct el_weight *const q_norm = weight(run, EL_R_ATTN_Q_NORM, l), *const k_norm = weight(run, EL_R_ATTN_K_NORM, l);
    if (weight(run, EL_R_ATTN_QKV, l)) {
        linear(run, EL_R_ATTN_QKV, l, h, EL_B_QKV);
        run->b[EL_B_Q].n = run->b[EL_B_K].n = run->b[EL_B_V].n = run->n;
    } else {
        const struct el_linear_job jobs[] = {
            {weight(run, EL_R_ATTN_Q, l), 0, EL_B_Q},
            {weight(run, EL_R_ATTN_K, l), 0, EL_B_K},
            {weight(run, EL_R_ATTN_V, l), 0, EL_B_V},
        };
        ops->linear(run, h, jobs, 3);
    }
    if (q_norm)
        ops->norm_heads(run, q_norm, EL_B_Q, hp->n_heads);
    if (k_norm)
        ops->norm_heads(run, k_norm, EL_B_K, hp->n_kv_heads);
    if (hp->n_rot) {
        ops->rope(run, l, EL_B_Q, hp->n_heads);
        ops->rope(run, l, EL_B_K, hp->n_kv_heads);
    }
    ops->attention(run, l, EL_B_ATTN);
    linear(run, EL_R_ATTN_OUT, l, EL_B_ATTN, EL_B_Y);
}

void el_layer_gated(struct el_run *run, uint32_t l, enum el_buffer h)
{
    const struct el_linear_job jobs[] = {
        {weight(run, EL_R_FFN_GATE, l), 0, EL_B_GATE},
        {weight(run, EL_R_FFN_UP, l), 0, EL_B_UP},
    };
    if (weight(run, EL_R_FFN_GATE_UP, l)) {
        linear(run, EL_R_FFN_GATE_UP, l, h, EL_B_GATE_UP);
        run->b[EL_B_GATE].n = run->b[EL_B_UP].n = run->b[EL_B_GATE_UP].n;
    } else {
        run->ops->linear(run, h, jobs, 2);
    }
    run->ops->act_mul(run, EL_B_GATE, EL_B_UP);
    linear(run, EL_R_FFN_DOWN, l, EL_B_GATE, EL_B_Y);
}

void el_layer_gqa(struct el_run *run, uint32_t l)
{
    el_layer_attend(run, l, el_layer_norm(run, EL_R_ATTN_NORM, l));
    el_layer_add(run, EL_R_ATTN_RESID_NORM, l);
}

void el_layer_swiglu(struct el_run *run, uint32_t l)
{
    el_layer_gated(run, l, el_layer_norm(run, EL_R_FFN_NORM, l));
    el_layer_add(run, EL_R_FFN_RESID_NORM, l);
}

void el_layer_mlp(struct el_run *run, uint32_t l)
{
    linear(run, EL_R_FFN_UP, l, el_layer_norm(run, EL_R_FFN_NORM, l), EL_B_UP);
    run->ops->act(run, EL_B_UP);
    linear(run, EL_R_FFN_DOWN, l, EL_B_UP, EL_B_Y);
    el_layer_add(run, EL_R_FFN_RESID_NORM, l);
}

static void shared_expert(struct el_run *run, uint32_t l)
{
    const struct el_ops *const ops = run->ops;
    const struct el_weight *const gate = weight(run, EL_R_FFN_ROUTER_SHEXP, l);
    const struct el_linear_job in[] = {
        {weight(run, EL_R_FFN_GATE_SHEXP, l), 0, EL_B_GATE_SHEXP},
        {weight(run, EL_R_FFN_UP_SHEXP, l), 0, EL_B_UP_SHEXP},
        {gate, 0, EL_B_ROUTER_SHEXP},
    };
    ops->linear(run, EL_B_H, in, gate ? 3 : 2);
    ops->act_mul(run, EL_B_GATE_SHEXP, EL_B_UP_SHEXP);
    linear(run, EL_R_FFN_DOWN_SHEXP, l, EL_B_GATE_SHEXP, EL_B_Y);
    if (gate)
        ops->gate_rows(run, EL_B_Y, EL_B_ROUTER_SHEXP);
    ops->add(run, EL_B_X, EL_B_Y);
}

void el_layer_moe(struct el_run *run, uint32_t l)
{
    const struct el_ops *const ops = run->ops;
    const struct el_weight *const gate = weight(run, EL_R_FFN_GATE_EXPS, l), *const up = weight(run, EL_R_FFN_UP_EXPS, l);
    const struct el_weight *const down = weight(run, EL_R_FFN_DOWN_EXPS, l);
    ops->norm(run, weight(run, EL_R_FFN_NORM, l), weight(run, EL_R_FFN_NORM_B, l), EL_B_X, EL_B_H);
    linear(run, EL_R_FFN_ROUTER, l, EL_B_H, EL_B_ROUTER);
    ops->route(run, EL_B_ROUTER, (run->off & EL_OFF_EXPERTS) ? 1 : run->hp->n_experts_used);
    const struct el_linear_job in[] = {{gate, 0, EL_B_GATE}, {up, 0, EL_B_UP}};
    const struct el_linear_job out = {down, 0, EL_B_EXPERT};
    const uint32_t *const start = run->routing.start;
    for (uint32_t e0 = 0, e1; e0 < run->hp->n_experts; e0 = e1) {
        for (e1 = e0 + 1; e1 < run->hp->n_experts && start[e1 + 1] - start[e0] <= run->routing.n_most;)
            e1++;
        if (start[e0] == start[e1])
            continue;
        ops->gather(run, EL_B_H, e0, e1, in, 2);
        ops->linear_experts(run, EL_B_EXPERT, e0, e1, in, 2);
        ops->act_mul(run, EL_B_GATE, EL_B_UP);
        ops->linear_experts(run, EL_B_GATE, e0, e1, &out, 1);
        ops->scatter_add(run, e0, e1, EL_B_EXPERT, EL_B_X);
    }
    if (weight(run, EL_R_FFN_UP_SHEXP, l))
        shared_expert(run, l);
}

void el_layer_head(struct el_run *run)
{
    const struct el_ops *const ops = run->ops;
    const struct el_weight *const gain = weight(run, EL_R_OUTPUT_NORM, 0);
    ops->take_out_rows(run, EL_B_X, EL_B_Y);
    if (gain)
        ops->norm(run, gain, weight(run, EL_R_OUTPUT_NORM_B, 0), EL_B_Y, EL_B_Y);
    if (weight(run, EL_R_OUTPUT_PROJ, 0)) {
        linear(run, EL_R_OUTPUT_PROJ, 0, EL_B_Y, EL_B_EMBD);
        linear(run, EL_R_OUTPUT, 0, EL_B_EMBD, EL_B_LOGITS);
    } else {
        linear(run, EL_R_OUTPUT, 0, EL_B_Y, EL_B_LOGITS);
    }
    if (run->hp->logit_scale != 1.0f)
        ops->scale(run, EL_B_LOGITS, 1.0f / run->hp->logit_scale);
    if (run->hp->logit_cap != 0)
        ops->cap(run, EL_B_LOGITS, run->hp->logit_cap);
}
