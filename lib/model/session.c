/* Sessions: all memory for running sequences, taken at once, and the loop over layers. */
#include <math.h>
#include <stdatomic.h>
#include <string.h>

#include "base/checked.h"
#include "base/cpu.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/threads.h"
#include "model/attention.h"
#include "model/linear.h"
#include "model/model.h"
#include "model/ops.h"
#include "model/rope.h"
#include "model/session_impl.h"

enum { DEFAULT_BATCH = 512, MAX_SEQS = 65536, MAX_BATCH = 1 << 20 };

/* ---- memory: the same walk twice, once to add up and once to hand out ---- */

struct arena {
    uint8_t *base; /* NULL: only adding up */
    uint64_t nbytes;
    bool overflow;
};

static void *take(struct arena *a, uint64_t n, uint64_t m, uint64_t size)
{
    uint64_t nbytes = 0, end = 0;
    const uint64_t begin = a->nbytes;
    if (a->overflow || !el_mul_u64(n, m, &nbytes) || !el_mul_u64(nbytes, size, &nbytes) || !el_align_u64(nbytes, 64, &nbytes) ||
        !el_add_u64(begin, nbytes, &end) || end > SIZE_MAX / 2) {
        a->overflow = true;
        return NULL;
    }
    a->nbytes = end;
    return a->base ? a->base + begin : NULL;
}

static void take_rows(struct arena *a, struct el_run *run, enum el_buffer b, uint64_t n, uint64_t n_cols)
{
    run->b[b] = (struct el_rows_buf){take(a, n, n_cols, sizeof(float)), 0, n_cols, n_cols};
}

static void view(struct el_run *run, enum el_buffer b, enum el_buffer whole, uint64_t first, uint64_t n_cols)
{
    const struct el_rows_buf *const of = &run->b[whole];
    run->b[b] = (struct el_rows_buf){of->f32 ? of->f32 + first : NULL, 0, n_cols, of->stride};
}

static void take_rope(struct arena *a, struct el_rope_table *t, uint64_t n, uint64_t n_angles)
{
    t->freqs = take(a, n_angles, 1, sizeof(double));
    t->cos = take(a, n, n_angles, sizeof(float));
    t->sin = take(a, n, n_angles, sizeof(float));
}

static uint64_t max_u64(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static void take_activation(struct arena *a, struct el_activation *act, uint64_t n, uint64_t widest, const struct el_run *run)
{
    const bool changed = run->weights->any_input, rounded = run->act_rule.most > 0;
    const uint64_t n_pad = (widest + EL_ACT_BLOCK - 1) / EL_ACT_BLOCK * EL_ACT_BLOCK;
    act->of = EL_B_COUNT;
    act->changed = take(a, changed ? n : 0, widest, sizeof(float));
    act->rounded = take(a, rounded ? n : 0, widest, sizeof(float));
    act->q8 = take(a, n, n_pad, 1);
    act->scale = take(a, n, n_pad / EL_ACT_BLOCK, sizeof(float));
    act->sum = take(a, n, n_pad / 16, sizeof(int16_t));
    act->sums = take(a, n, n_pad / EL_ACT_BLOCK, sizeof *act->sums);
}

static void take_attn(struct arena *a, struct el_session *s)
{
    struct el_attn_runs *const to = &s->run.attn;
    const unsigned n_threads = el_pool_n(s->run.pool);
    struct el_attn_sizes sizes;
    el_attention_sizes(s->run.hp, s->kv.dims.n_ctx, s->n_batch, n_threads, &sizes);
    to->first_row = take(a, sizes.n_runs + 1, 1, sizeof *to->first_row);
    to->scratch_nbytes = sizes.scratch_nbytes;
    to->scratch = take(a, n_threads, sizes.scratch_nbytes, 1);
    to->n_pieces = sizes.n_pieces;
    to->n_done = take(a, sizes.n_pieces, 1, sizeof *to->n_done);
    for (uint64_t i = 0; to->n_done && i < sizes.n_pieces; i++)
        atomic_init(&to->n_done[i], 0);
    to->n_parts = sizes.n_parts;
    to->part_nbytes = sizes.part_nbytes;
    to->parts = take(a, sizes.n_parts, sizes.part_nbytes, 1);
}

static void lay_out(struct arena *a, struct el_session *s)
{
    struct el_run *const run = &s->run;
    const struct el_hparams *const hp = run->hp;
    const uint64_t n = s->n_batch, q = el_dim_size(EL_D_Q, hp), kv = el_dim_size(EL_D_KV, hp);
    const uint64_t n_ff = hp->n_experts ? hp->n_ff_exp : hp->n_ff;
    const uint64_t widest = max_u64(max_u64(max_u64(hp->n_embd, hp->n_embd_io), max_u64(n_ff, q)), hp->n_ff_shexp);
    /* All experts of one row go together; of a batch, as many as have no more rows than it. */
    const uint64_t n_ff_rows = hp->n_experts ? max_u64(n, hp->n_experts_used) : n;
    take_rows(a, run, EL_B_EMBD, hp->n_embd_io != hp->n_embd ? n : 0, hp->n_embd_io);
    take_rows(a, run, EL_B_X, n, hp->n_embd);
    take_rows(a, run, EL_B_H, n, hp->n_embd);
    take_rows(a, run, EL_B_QKV, n, q + 2 * kv);
    view(run, EL_B_Q, EL_B_QKV, 0, q);
    view(run, EL_B_K, EL_B_QKV, q, kv);
    view(run, EL_B_V, EL_B_QKV, q + kv, kv);
    take_rows(a, run, EL_B_ATTN, n, q);
    take_rows(a, run, EL_B_Y, n, hp->n_embd);
    take_rows(a, run, EL_B_GATE_UP, n_ff_rows, 2 * n_ff);
    view(run, EL_B_GATE, EL_B_GATE_UP, 0, n_ff);
    view(run, EL_B_UP, EL_B_GATE_UP, n_ff, n_ff);
    take_rows(a, run, EL_B_ROUTER, n, hp->n_experts);
    take_rows(a, run, EL_B_EXPERT, hp->n_experts ? n_ff_rows : 0, hp->n_embd);
    take_rows(a, run, EL_B_GATE_SHEXP, n, hp->n_ff_shexp);
    take_rows(a, run, EL_B_UP_SHEXP, n, hp->n_ff_shexp);
    take_rows(a, run, EL_B_ROUTER_SHEXP, hp->n_ff_shexp ? n : 0, 1);
    take_rows(a, run, EL_B_LOGITS, s->by_layer && n > EL_HEAD_ROWS ? EL_HEAD_ROWS : n, hp->n_vocab);
    take_activation(a, &run->act, n_ff_rows, widest, run);
    take_activation(a, &run->expert_act, hp->n_experts ? n_ff_rows : 0, hp->n_embd, run);
    run->routing.n_most = n_ff_rows;
    run->routing.entry = take(a, n, hp->n_experts_used, sizeof(uint32_t));
    run->routing.start = take(a, (uint64_t)hp->n_experts + 1, 1, sizeof(uint32_t));
    run->routing.row = take(a, n, hp->n_experts_used, sizeof(uint32_t));
    run->routing.p = take(a, n, hp->n_experts_used, sizeof(float));
    run->routing.pick = take(a, n, hp->n_experts_used, sizeof(uint32_t));
    run->routing.pick_p = take(a, n, hp->n_experts_used, sizeof(float));
    take_rope(a, &run->rope, n, hp->n_rot / 2);
    take_rope(a, &run->rope_local, n, hp->rope_theta_local != 0 ? hp->n_rot / 2 : 0);
    take_attn(a, s);
    run->out_rows = take(a, n, 1, sizeof(uint32_t));
    s->out_of_row = take(a, n, 1, sizeof(uint32_t));
    s->next_pos = take(a, s->kv.dims.n_seqs, 1, sizeof(uint32_t));
    run->scratch_nbytes = (el_matmul_scratch_nbytes(widest) + 63) / 64 * 64;
    run->scratch = take(a, el_pool_n(run->pool), run->scratch_nbytes, 1);
}

static enum el_status make_arena(struct el_session *s, struct el_err *err)
{
    struct arena a = {.base = NULL};
    lay_out(&a, s);
    const uint64_t nbytes = a.nbytes;
    if (!a.overflow)
        s->arena = el_alloc_aligned((size_t)nbytes);
    if (!s->arena)
        return el_fail(err, EL_E_MEMORY, "out of memory for the buffers of batches of %u rows (%.2f GiB)", s->n_batch,
                       (double)nbytes / (1024.0 * 1024.0 * 1024.0));
    a = (struct arena){.base = s->arena};
    lay_out(&a, s);
    s->arena_nbytes = nbytes;
    return EL_OK;
}

/* ---- opening ---- */

static enum el_status kv_type(const char *name, const char *which, enum el_kv_type *type, struct el_err *err)
{
    for (int i = 0; i < EL_KV_TYPES; i++) {
        *type = (enum el_kv_type)i;
        if (strcmp(name ? name : "f16", el_kv_type_name(*type)) == 0)
            return EL_OK;
    }
    return el_fail(err, EL_E_USAGE, "%s cache type '%.64s', known are f32, f16, q8_0", which, name);
}

static enum el_status open_session(struct el_session *s, const struct el_session_opts *opts, struct el_err *err)
{
    const struct el_model *const m = s->model;
    const bool learned_positions = el_weight_at(&m->weights, EL_R_POS_EMBD, 0) != NULL;
    struct el_kv_dims dims = {opts->n_seqs ? opts->n_seqs : 1, s->by_layer ? 1 : m->hp.n_layers, m->hp.n_kv_heads,
                              opts->n_ctx ? opts->n_ctx : m->hp.n_ctx_train, m->hp.d_head};
    enum el_kv_type k_type = EL_KV_F16, v_type = EL_KV_F16;
    EL_TRY(el_cpu_check_env(err));
    EL_TRY(kv_type(opts->kv_type_k, "key", &k_type, err));
    EL_TRY(kv_type(opts->kv_type_v, "value", &v_type, err));
    if (dims.n_seqs > MAX_SEQS)
        return el_fail(err, EL_E_USAGE, "%u sequences, at most %d", dims.n_seqs, MAX_SEQS);
    if (dims.n_ctx > EL_MAX_CTX)
        return el_fail(err, EL_E_USAGE, "a context of %u positions, at most %d", dims.n_ctx, EL_MAX_CTX);
    if (learned_positions && dims.n_ctx > m->hp.n_ctx_train)
        return el_fail(err, EL_E_USAGE, "a context of %u positions, this model has learned %u", dims.n_ctx, m->hp.n_ctx_train);
    if (opts->n_batch > MAX_BATCH)
        return el_fail(err, EL_E_USAGE, "batches of %u rows, at most %d", opts->n_batch, MAX_BATCH);
    const uint64_t most_rows = (uint64_t)dims.n_ctx * dims.n_seqs;
    if (opts->act_bits != 0 && (opts->act_bits < 2 || opts->act_bits > 8))
        return el_fail(err, EL_E_USAGE, "activations of %u bits, allowed are 2 to 8", opts->act_bits);
    if (opts->act_bits == 0 && opts->act_by_token)
        return el_fail(err, EL_E_USAGE, "activations by token need a number of bits");
    s->n_batch = opts->n_batch ? opts->n_batch : DEFAULT_BATCH;
    if (s->n_batch > most_rows)
        s->n_batch = (uint32_t)most_rows;

    s->run.arch = m->arch;
    s->run.hp = &m->hp;
    s->run.weights = &m->weights;
    s->run.off = m->off;
    s->run.ops = &el_ops_cpu;
    s->run.kernels = m->kernels;
    if (m->f32_activations) {
        s->kernels = *m->kernels;
        el_kernels_without_q8(&s->kernels);
        s->run.kernels = &s->kernels;
    }
    s->run.kv = &s->kv;
    s->run.act_rule.most = opts->act_bits ? (1u << (opts->act_bits - 1)) - 1 : 0;
    s->run.act_rule.by_row = opts->act_by_token;
    EL_TRY(el_pool_open(opts->n_threads, &s->run.pool, err));
    EL_TRY(el_kv_open(&s->kv, &dims, k_type, v_type, err));
    EL_TRY(make_arena(s, err));
    el_activation_plan(&s->run);
    const bool is_long = dims.n_ctx > m->hp.rope_ctx_original && el_weight_at(&m->weights, EL_R_ROPE_LONG, 0);
    const struct el_weight *factors = el_weight_at(&m->weights, EL_R_ROPE_FREQS, 0);
    factors = factors ? factors : el_weight_at(&m->weights, is_long ? EL_R_ROPE_LONG : EL_R_ROPE_SHORT, 0);
    s->kv.level = m->kernels->level;
    s->kv.way = (is_long ? EL_KV_LONG_ROPE : 0u) | (m->f32_activations ? EL_KV_F32_ACTS : 0u);
    s->kv.unlike_others = opts->act_bits != 0;
    if (factors && factors->n_out != m->hp.n_rot / 2)
        factors = NULL; /* another part of each head is rotated than the model says ("partial_rotary" is off) */
    if (m->hp.n_rot)
        el_rope_freqs(&m->hp, factors ? factors->vec : NULL, s->run.rope.freqs);
    if (m->hp.n_rot && m->hp.rope_theta_local != 0)
        el_rope_freqs_local(&m->hp, s->run.rope_local.freqs);
    return EL_OK;
}

static enum el_status open_any(const struct el_model *model, const struct el_session_opts *opts, bool by_layer,
                               struct el_session **session, struct el_err *err)
{
    static const struct el_session_opts defaults = {.n_ctx = 0};
    *session = NULL;
    struct el_session *const s = el_calloc_array(1, sizeof *s);
    if (!s)
        return el_fail(err, EL_E_MEMORY, "out of memory for a session");
    s->model = model;
    s->by_layer = by_layer;
    const enum el_status status = open_session(s, opts ? opts : &defaults, err);
    if (status != EL_OK) {
        el_session_close(s);
        return status;
    }
    *session = s;
    return EL_OK;
}

enum el_status el_session_open(const struct el_model *model, const struct el_session_opts *opts, struct el_session **session,
                               struct el_err *err)
{
    return open_any(model, opts, false, session, err);
}

enum el_status el_session_open_by_layer(const struct el_model *model, const struct el_session_opts *opts,
                                        struct el_session **session, struct el_err *err)
{
    return open_any(model, opts, true, session, err);
}

void el_session_close(struct el_session *session)
{
    if (!session)
        return;
    el_pool_close(session->run.pool);
    el_kv_close(&session->kv);
    el_free_aligned(session->arena);
    el_free(session);
}

bool el_session_observe(struct el_session *session, el_observe_fn *fn, void *user)
{
    return el_run_observe(&session->run, fn, user);
}

/* ---- decoding ---- */

static enum el_status check_rows(struct el_session *s, const struct el_row *rows, size_t n_rows, struct el_err *err)
{
    const struct el_kv_dims *const d = &s->kv.dims;
    if (n_rows > s->n_batch)
        return el_fail(err, EL_E_USAGE, "a batch of %zu rows, at most %u", n_rows, s->n_batch);
    memcpy(s->next_pos, s->kv.n_past, d->n_seqs * sizeof *s->next_pos);
    for (size_t i = 0; i < n_rows; i++) {
        if (rows[i].token < 0 || (uint32_t)rows[i].token >= s->run.hp->n_vocab)
            return el_fail(err, EL_E_USAGE, "row %zu: token %d, allowed are 0 to %u", i, rows[i].token, s->run.hp->n_vocab - 1);
        if (rows[i].seq >= d->n_seqs)
            return el_fail(err, EL_E_USAGE, "row %zu: sequence %u, allowed are 0 to %u", i, rows[i].seq, d->n_seqs - 1);
        if (rows[i].pos >= d->n_ctx)
            return el_fail(err, EL_E_USAGE, "row %zu: position %u, the context has room for %u", i, rows[i].pos, d->n_ctx);
        if (rows[i].pos != s->next_pos[rows[i].seq])
            return el_fail(err, EL_E_USAGE, "row %zu: position %u of sequence %u, the next is %u", i, rows[i].pos, rows[i].seq,
                           s->next_pos[rows[i].seq]);
        s->next_pos[rows[i].seq]++;
    }
    return EL_OK;
}

static void set_angles(const struct el_hparams *hp, const struct el_rope_table *t, uint64_t row, uint32_t pos)
{
    const uint32_t n = hp->n_rot / 2;
    el_rope_angles(t->freqs, n, pos, hp->rope_attn_factor, t->cos + row * n, t->sin + row * n);
}

void el_session_begin_batch(struct el_session *s, const struct el_row *rows, uint32_t n)
{
    struct el_run *const run = &s->run;
    run->rows = rows;
    run->n = n;
    run->n_out = 0;
    run->act.of = run->expert_act.of = EL_B_COUNT;
    for (uint32_t i = 0; i < n; i++) {
        s->out_of_row[i] = rows[i].want_logits ? run->n_out : UINT32_MAX;
        if (rows[i].want_logits)
            run->out_rows[run->n_out++] = i;
        set_angles(run->hp, &run->rope, i, rows[i].pos);
        if (run->hp->rope_theta_local != 0)
            set_angles(run->hp, &run->rope_local, i, rows[i].pos);
    }
    el_attention_begin(run);
}

/* All layers. With check: stops after the first step that gives a value that is not finite, and names it. */
static enum el_status forward(struct el_run *run, bool check, struct el_err *err)
{
    run->arch->embed(run);
    if (check && !run->ops->all_finite(run, EL_B_X))
        return el_fail(err, EL_E_FAILED, "the embedding of these tokens is not finite");
    for (uint32_t l = 0; l < run->hp->n_layers; l++) {
        if (el_interrupted())
            return el_fail(err, EL_E_INTERRUPTED, "interrupted");
        run->arch->block(run, l);
        if (check && !run->ops->all_finite(run, EL_B_X))
            return el_fail(err, EL_E_FAILED, "layer %u of 0 to %u gives values that are not finite", l, run->hp->n_layers - 1);
    }
    if (run->n_out)
        run->arch->head(run);
    if (check)
        return el_fail(err, EL_E_FAILED, "the output matrix gives logits that are not finite");
    return EL_OK;
}

enum el_status el_session_decode(struct el_session *session, const struct el_row *rows, size_t n_rows, struct el_err *err)
{
    struct el_run *const run = &session->run;
    EL_TRY(check_rows(session, rows, n_rows, err));
    session->n_rows = 0;
    if (n_rows == 0)
        return EL_OK;
    el_session_begin_batch(session, rows, (uint32_t)n_rows);
    EL_TRY(forward(run, false, err));
    /* What is not finite stays so on the residual stream, so looking at its end sees every layer and every row. */
    if (!run->ops->all_finite(run, EL_B_X) || (run->n_out && !run->ops->all_finite(run, EL_B_LOGITS))) {
        el_session_begin_batch(session, rows, (uint32_t)n_rows);
        return forward(run, true, err);
    }
    memcpy(session->kv.n_past, session->next_pos, session->kv.dims.n_seqs * sizeof *session->next_pos);
    session->n_rows = (uint32_t)n_rows;
    return EL_OK;
}

const float *el_session_logits(const struct el_session *session, size_t i)
{
    if (i >= session->n_rows || session->out_of_row[i] == UINT32_MAX)
        return NULL;
    const struct el_rows_buf *const b = &session->run.b[EL_B_LOGITS];
    return b->f32 + session->out_of_row[i] * b->stride;
}

void el_session_rewind(struct el_session *session, uint32_t seq, uint32_t n_past)
{
    if (seq < session->kv.dims.n_seqs && n_past < session->kv.n_past[seq])
        session->kv.n_past[seq] = n_past;
}

uint32_t el_session_n_past(const struct el_session *session, uint32_t seq)
{
    return seq < session->kv.dims.n_seqs ? session->kv.n_past[seq] : 0;
}

struct el_kv *el_session_kv(struct el_session *session)
{
    return &session->kv;
}

uint32_t el_session_n_ctx(const struct el_session *session)
{
    return session->kv.dims.n_ctx;
}

uint32_t el_session_n_batch(const struct el_session *session)
{
    return session->n_batch;
}

unsigned el_session_n_threads(const struct el_session *session)
{
    return el_pool_n(session->run.pool);
}

uint64_t el_session_kv_nbytes(const struct el_session *session)
{
    return session->kv.k.nbytes + session->kv.v.nbytes;
}

uint64_t el_session_scratch_nbytes(const struct el_session *session)
{
    return session->arena_nbytes;
}

double el_log_softmax(const float *logits, size_t n, int32_t id, double *out)
{
    double max = -INFINITY, sum = 0;
    for (size_t i = 0; i < n; i++)
        if ((double)logits[i] > max)
            max = logits[i];
    for (size_t i = 0; i < n; i++)
        sum += exp((double)logits[i] - max);
    const double log_sum = log(sum);
    for (size_t i = 0; out && i < n; i++)
        out[i] = (double)logits[i] - max - log_sum;
    return id >= 0 && (size_t)id < n ? (double)logits[id] - max - log_sum : (double)NAN;
}
