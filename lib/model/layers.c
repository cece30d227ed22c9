/* Layers that families share; see layers.h for what each computes. */
#include "model/layers.h"

#include "model/ops.h"

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
    const struct el_weight *const positions = weight(run, EL_R_POS_EMBD, 0);
    run->ops->token_rows(run, weight(run, EL_R_TOKEN_EMBD, 0), EL_B_X);
    if (positions)
        run->ops->add_position_rows(run, positions, EL_B_X);
}

void el_layer_gqa(struct el_run *run, uint32_t l)
{
    const struct el_ops *const ops = run->ops;
    ops->norm(run, weight(run, EL_R_ATTN_NORM, l), weight(run, EL_R_ATTN_NORM_B, l), EL_B_X, EL_B_H);
    if (weight(run, EL_R_ATTN_QKV, l)) {
        linear(run, EL_R_ATTN_QKV, l, EL_B_H, EL_B_QKV);
        run->b[EL_B_Q].n = run->b[EL_B_K].n = run->b[EL_B_V].n = run->n;
    } else {
        const struct el_linear_job jobs[] = {
            {weight(run, EL_R_ATTN_Q, l), 0, EL_B_Q},
            {weight(run, EL_R_ATTN_K, l), 0, EL_B_K},
            {weight(run, EL_R_ATTN_V, l), 0, EL_B_V},
        };
        ops->linear(run, EL_B_H, jobs, 3);
    }
    if (run->hp->n_rot) {
        ops->rope(run, EL_B_Q, run->hp->n_heads);
        ops->rope(run, EL_B_K, run->hp->n_kv_heads);
    }
    ops->attention(run, l, EL_B_ATTN);
    linear(run, EL_R_ATTN_OUT, l, EL_B_ATTN, EL_B_Y);
    ops->add(run, EL_B_X, EL_B_Y);
}

void el_layer_swiglu(struct el_run *run, uint32_t l)
{
    const struct el_ops *const ops = run->ops;
    const struct el_linear_job jobs[] = {
        {weight(run, EL_R_FFN_GATE, l), 0, EL_B_GATE},
        {weight(run, EL_R_FFN_UP, l), 0, EL_B_UP},
    };
    ops->norm(run, weight(run, EL_R_FFN_NORM, l), weight(run, EL_R_FFN_NORM_B, l), EL_B_X, EL_B_H);
    ops->linear(run, EL_B_H, jobs, 2);
    ops->silu_mul(run, EL_B_GATE, EL_B_UP);
    linear(run, EL_R_FFN_DOWN, l, EL_B_GATE, EL_B_Y);
    ops->add(run, EL_B_X, EL_B_Y);
}

void el_layer_mlp(struct el_run *run, uint32_t l)
{
    const struct el_ops *const ops = run->ops;
    ops->norm(run, weight(run, EL_R_FFN_NORM, l), weight(run, EL_R_FFN_NORM_B, l), EL_B_X, EL_B_H);
    linear(run, EL_R_FFN_UP, l, EL_B_H, EL_B_UP);
    ops->gelu(run, EL_B_UP);
    linear(run, EL_R_FFN_DOWN, l, EL_B_UP, EL_B_Y);
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
    for (uint32_t e = 0; e < run->hp->n_experts; e++) {
        if (run->routing.start[e] == run->routing.start[e + 1])
            continue;
        const struct el_linear_job in[] = {{gate, e, EL_B_GATE}, {up, e, EL_B_UP}};
        const struct el_linear_job out = {down, e, EL_B_Y};
        ops->gather(run, e, EL_B_H, EL_B_EXPERT);
        ops->linear(run, EL_B_EXPERT, in, 2);
        ops->silu_mul(run, EL_B_GATE, EL_B_UP);
        ops->linear(run, EL_B_GATE, &out, 1);
        ops->scatter_add(run, e, EL_B_Y, EL_B_X);
    }
}

void el_layer_head(struct el_run *run)
{
    run->ops->take_out_rows(run, EL_B_X, EL_B_Y);
    run->ops->norm(run, weight(run, EL_R_OUTPUT_NORM, 0), weight(run, EL_R_OUTPUT_NORM_B, 0), EL_B_Y, EL_B_H);
    linear(run, EL_R_OUTPUT, 0, EL_B_H, EL_B_LOGITS);
}
