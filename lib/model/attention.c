/* Attention over the store; see attention.h. */
#include "model/attention.h"

#include <stdatomic.h>

#include "model/linear.h"

enum {
    QUERIES = 64,          /* of a run of rows: then a chunk of keys and values is read from memory once for much work */
    PIECES_PER_THREAD = 4, /* fewer are split over chunks as well */
    MOST_PARTS = 4096,     /* chunks of all pieces together that may wait for being joined */
    ROWS_PER_STORE = 4,
};

struct job {
    struct el_run *run;
    uint32_t layer;
    struct el_rows_buf *out;
    uint64_t n_chunks, span; /* of a piece that is split: the most that one has, and how many go together */
};

/* ---- sizes and runs ---- */

static uint32_t heads_per_kv(const struct el_hparams *hp)
{
    return hp->n_heads / hp->n_kv_heads;
}

static uint32_t most_rows(const struct el_hparams *hp)
{
    return heads_per_kv(hp) < QUERIES ? QUERIES / heads_per_kv(hp) : 1;
}

void el_attention_sizes(const struct el_hparams *hp, uint32_t n_ctx, uint32_t n_batch, unsigned n_threads,
                        struct el_attn_sizes *sizes)
{
    const uint64_t n_queries = (uint64_t)most_rows(hp) * heads_per_kv(hp);
    const uint64_t n_chunks = ((uint64_t)n_ctx + EL_ATTN_CHUNK - 1) / EL_ATTN_CHUNK;
    const uint64_t n_pieces = n_threads > 1 ? (uint64_t)PIECES_PER_THREAD * n_threads : 0;
    *sizes = (struct el_attn_sizes){
        .n_runs = n_batch,
        .scratch_nbytes = el_attn_scratch_nbytes(n_queries, hp->d_head),
        .n_pieces = n_pieces,
        .n_parts = n_pieces * n_chunks < MOST_PARTS ? n_pieces * n_chunks : MOST_PARTS,
        .part_nbytes = el_attn_part_nbytes(heads_per_kv(hp), hp->d_head),
    };
}

void el_attention_begin(struct el_run *run)
{
    struct el_attn_runs *const to = &run->attn;
    const uint64_t wanted = (uint64_t)PIECES_PER_THREAD * el_pool_n(run->pool);
    uint64_t most = (uint64_t)run->n * run->hp->n_kv_heads / wanted;
    most = most < 1 ? 1 : most < most_rows(run->hp) ? most : most_rows(run->hp);
    to->n = 0;
    for (uint32_t r = 0; r < run->n; r++) {
        const struct el_row *const row = &run->rows[r];
        const bool goes_on = r > 0 && row->seq == row[-1].seq && row->pos == row[-1].pos + 1;
        if (!goes_on || r - to->first_row[to->n - 1] >= most)
            to->first_row[to->n++] = r;
    }
    to->first_row[to->n] = run->n;
}

/* ---- the store ---- */

static void store_rows(void *arg, uint64_t begin, uint64_t end, unsigned thread)
{
    const struct job *const job = arg;
    const struct el_run *const run = job->run;
    const struct el_kv *const kv = run->kv;
    const uint32_t d = run->hp->d_head;
    (void)thread;
    for (uint64_t r = begin; r < end; r++) {
        const struct el_row *const row = &run->rows[r];
        const float *const key = run->b[EL_B_K].f32 + r * run->b[EL_B_K].stride;
        const float *const value = run->b[EL_B_V].f32 + r * run->b[EL_B_V].stride;
        for (uint32_t h = 0; h < run->hp->n_kv_heads; h++) {
            void *const k = el_kv_head(kv, &kv->k, row->seq, job->layer, h);
            void *const v = el_kv_head(kv, &kv->v, row->seq, job->layer, h);
            el_kv_store_key(run->kernels, kv->k.type, d, k, row->pos, key + (uint64_t)h * d);
            el_kv_store_value(run->kernels, kv->v.type, d, v, row->pos, value + (uint64_t)h * d);
        }
    }
}

/* ---- attending ---- */

/* Piece i is run i % n of kv head i / n: the runs of a head follow each other. */
static struct el_attn piece(const struct job *job, uint64_t i)
{
    const struct el_run *const run = job->run;
    const struct el_hparams *const hp = run->hp;
    const struct el_kv *const kv = run->kv;
    const uint32_t head = (uint32_t)(i / run->attn.n), first = run->attn.first_row[i % run->attn.n];
    const uint32_t end = run->attn.first_row[i % run->attn.n + 1], n_heads = heads_per_kv(hp);
    const struct el_row *const row = &run->rows[first];
    const uint64_t column = (uint64_t)head * n_heads * hp->d_head;
    return (struct el_attn){
        .q = run->b[EL_B_Q].f32 + first * run->b[EL_B_Q].stride + column,
        .q_stride = run->b[EL_B_Q].stride,
        .k = el_kv_head(kv, &kv->k, row->seq, job->layer, head),
        .v = el_kv_head(kv, &kv->v, row->seq, job->layer, head),
        .k_type = kv->k.type,
        .v_type = kv->v.type,
        .n_rows = end - first,
        .n_heads = n_heads,
        .d = hp->d_head,
        .pos0 = row->pos,
        .window = el_arch_is_local(hp, job->layer) ? hp->window : 0,
        .scale = hp->attn_scale,
        .cap = hp->attn_cap,
        .out = job->out->f32 + first * job->out->stride + column,
        .out_stride = job->out->stride,
    };
}

static void *scratch_of(const struct el_run *run, unsigned thread)
{
    return run->attn.scratch + thread * run->attn.scratch_nbytes;
}

static void attend(void *arg, uint64_t begin, uint64_t end, unsigned thread)
{
    const struct job *const job = arg;
    for (uint64_t i = begin; i < end; i++) {
        const struct el_attn a = piece(job, i);
        el_attn_all(job->run->kernels, &a, scratch_of(job->run, thread));
    }
}

/* Item i is a span of the chunks of a piece. Whoever finishes the last span of a piece joins its parts, in their order. */
static void attend_span(void *arg, uint64_t begin, uint64_t end, unsigned thread)
{
    const struct job *const job = arg;
    const struct el_run *const run = job->run;
    const uint64_t n_spans = (job->n_chunks + job->span - 1) / job->span, part_nbytes = run->attn.part_nbytes;
    for (uint64_t i = begin; i < end; i++) {
        const uint64_t p = i / n_spans;
        const struct el_attn a = piece(job, p);
        const uint64_t first = el_attn_first_chunk(&a, 0), n = el_attn_end_chunk(&a, 0) - first;
        uint8_t *const parts = run->attn.parts + p * job->n_chunks * part_nbytes;
        const uint64_t c0 = i % n_spans * job->span, c1 = c0 + job->span < n ? c0 + job->span : n;
        for (uint64_t c = c0; c < c1; c++) {
            const struct el_attn_part part = el_attn_part_at(parts + c * part_nbytes, a.n_heads, a.d);
            el_attn_chunk(run->kernels, &a, first + c, &part, scratch_of(run, thread));
        }
        if (atomic_fetch_add(&run->attn.n_done[p], 1) + 1 == n_spans) {
            el_attn_join(run->kernels, &a, parts, part_nbytes);
            atomic_store(&run->attn.n_done[p], 0);
        }
    }
}

/* The most chunks that a row of the batch sees in this layer. */
static uint64_t most_chunks(const struct job *job)
{
    uint64_t most = 0;
    for (uint64_t i = 0; i < job->run->attn.n; i++) {
        const struct el_attn a = piece(job, i);
        const uint64_t n = el_attn_end_chunk(&a, 0) - el_attn_first_chunk(&a, 0);
        most = n > most ? n : most;
    }
    return most;
}

void el_attention(struct el_run *run, uint32_t l, enum el_buffer dst)
{
    struct job job = {.run = run, .layer = l, .out = &run->b[dst]};
    const uint64_t n_pieces = run->attn.n * run->hp->n_kv_heads;
    el_pool_run(run->pool, run->n, ROWS_PER_STORE, store_rows, &job);
    const bool few = n_pieces < run->attn.n_pieces && run->attn.n == run->n;
    job.n_chunks = few ? most_chunks(&job) : 0;
    if (job.n_chunks > 1 && n_pieces * job.n_chunks <= run->attn.n_parts) {
        /* As many items as there are threads times PIECES_PER_THREAD, or one for each chunk. */
        job.span = n_pieces * job.n_chunks / run->attn.n_pieces;
        job.span = job.span ? job.span : 1;
        el_pool_run(run->pool, n_pieces * ((job.n_chunks + job.span - 1) / job.span), 1, attend_span, &job);
    } else {
        el_pool_run(run->pool, n_pieces, 1, attend, &job);
    }
    run->b[dst].n = run->n;
    el_activation_changed(run, dst);
}
