/* Attention over the store; see attention.h. */
#include "model/attention.h"

#include <string.h>

#include "model/linear.h"

/* Items of work per chunk of the pool: one head's worth for a single row, several rows of a head for a prompt. */
enum { ROWS_PER_CHUNK = 8 };

struct job {
    struct el_run *run;
    uint32_t layer;
    struct el_rows_buf *out;
};

static void store_half(const struct el_run *run, const struct el_kv_half *half, uint32_t layer, enum el_buffer from, uint32_t r)
{
    const struct el_hparams *const hp = run->hp;
    const struct el_row *const row = &run->rows[r];
    const float *const x = run->b[from].f32 + r * run->b[from].stride;
    for (uint32_t h = 0; h < hp->n_kv_heads; h++) {
        void *const to = el_kv_at(run->kv, half, row->seq, layer, h, row->pos);
        const float *const head = x + (uint64_t)h * hp->d_head;
        if (half->f16)
            run->kernels->f32_to_f16(head, hp->d_head, to);
        else
            memcpy(to, head, hp->d_head * sizeof(float));
    }
}

static void store_rows(void *arg, uint64_t begin, uint64_t end, unsigned thread)
{
    const struct job *const job = arg;
    (void)thread;
    for (uint64_t r = begin; r < end; r++) {
        store_half(job->run, &job->run->kv->k, job->layer, EL_B_K, (uint32_t)r);
        store_half(job->run, &job->run->kv->v, job->layer, EL_B_V, (uint32_t)r);
    }
}

/* Item i is row i % n of query head i / n: the rows of a head follow each other, and with them the heads of one kv head. */
static void attend(void *arg, uint64_t begin, uint64_t end, unsigned thread)
{
    const struct job *const job = arg;
    const struct el_run *const run = job->run;
    const struct el_hparams *const hp = run->hp;
    const struct el_kv *const kv = run->kv;
    const uint32_t per_kv = hp->n_heads / hp->n_kv_heads;
    const uint32_t window = el_arch_is_local(hp, job->layer) ? hp->window : 0;
    (void)thread;
    for (uint64_t i = begin; i < end; i++) {
        const uint32_t head = (uint32_t)(i / run->n), r = (uint32_t)(i % run->n);
        const struct el_row *const row = &run->rows[r];
        const uint32_t first = window != 0 && row->pos >= window ? row->pos - window + 1 : 0;
        const struct el_attn_args args = {
            .q = run->b[EL_B_Q].f32 + r * run->b[EL_B_Q].stride + (uint64_t)head * hp->d_head,
            .k = el_kv_at(kv, &kv->k, row->seq, job->layer, head / per_kv, first),
            .v = el_kv_at(kv, &kv->v, row->seq, job->layer, head / per_kv, first),
            .k_stride_nbytes = kv->k.row_nbytes,
            .v_stride_nbytes = kv->v.row_nbytes,
            .n_pos = row->pos - first + 1,
            .d = hp->d_head,
            .scale = hp->attn_scale,
            .cap = hp->attn_cap,
            .k_f16 = kv->k.f16,
            .v_f16 = kv->v.f16,
            .out = job->out->f32 + r * job->out->stride + (uint64_t)head * hp->d_head,
        };
        run->kernels->attn(&args);
    }
}

void el_attention(struct el_run *run, uint32_t l, enum el_buffer dst)
{
    struct job job = {.run = run, .layer = l, .out = &run->b[dst]};
    const uint64_t n_items = (uint64_t)run->n * run->hp->n_heads;
    el_pool_run(run->pool, run->n, ROWS_PER_CHUNK, store_rows, &job);
    el_pool_run(run->pool, n_items, run->n < ROWS_PER_CHUNK ? 1 : ROWS_PER_CHUNK, attend, &job);
    run->b[dst].n = run->n;
    el_activation_changed(run, dst);
}
