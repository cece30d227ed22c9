/*
 * What a pass costs: operations against what the linears of a run really multiply, for every family; bytes against sums by hand,
 * dense (tied and not), a mixture of experts, one with a shared expert.
 */
#include "test.h"

#include "edgellm.h"
#include "model/arch.h"
#include "model/model.h"
#include "model/run.h"
#include "models/mem_source.h"

struct seen {
    double ops;
};

static void see(void *user, const struct el_weight *w, uint32_t expert, const struct el_act *x)
{
    struct seen *const seen = user;
    (void)expert;
    seen->ops += 2.0 * (double)w->n_out * (double)w->n_in * (double)x->n;
}

static void check_ops(const char *name, bool tied, uint32_t n_rows, uint32_t n_logits)
{
    struct el_source *const s = mem_source_random(name, tied, 1);
    const struct el_session_opts opts = {.n_ctx = 32, .n_batch = 32, .n_threads = 1};
    struct el_row rows[32];
    struct el_err err;
    struct el_model *m = NULL;
    struct el_session *session = NULL;
    struct seen seen = {0};
    REQUIRE_OK(el_model_open(s, NULL, &m, &err), err);
    REQUIRE_OK(el_session_open(m, &opts, &session, &err), err);
    CHECK(el_session_observe(session, see, &seen));
    for (uint32_t i = 0; i < n_rows; i++)
        rows[i] = (struct el_row){(int32_t)(i * 7 % 40), 0, i, i + n_logits >= n_rows};
    REQUIRE_OK(el_session_decode(session, rows, n_rows, &err), err);
    const struct el_cost cost = el_model_cost(m, n_rows, n_logits);
    CHECK_NEAR(cost.f32_ops, seen.ops, 1e-9 * seen.ops);
    CHECK_NEAR(cost.int8_ops, 0, 0);
    el_session_close(session);
    el_model_close(m);
    el_source_close(s);
}

TEST(cost, operations_are_those_of_the_linears)
{
    for (size_t i = 0; el_arch_at(i); i++) {
        for (int tied = 0; tied < 2; tied++) {
            check_ops(el_arch_at(i)->name, tied, 1, 1);
            check_ops(el_arch_at(i)->name, tied, 9, 1);
            check_ops(el_arch_at(i)->name, tied, 9, 4);
        }
    }
    for (size_t i = 0; mem_source_variant(i); i++)
        check_ops(mem_source_variant(i), false, 5, 2);
}

static struct el_cost cost_of(const char *name, bool tied, const char *type, uint64_t n_rows, uint64_t n_logits)
{
    struct el_source *const s = mem_source_random(name, tied, 1);
    struct el_err err;
    struct el_model *m = NULL;
    struct el_cost cost = {0};
    if (type)
        mem_source_encode(s, type);
    CHECK_OK(el_model_open(s, NULL, &m, &err), err);
    if (m)
        cost = el_model_cost(m, n_rows, n_logits);
    el_model_close(m);
    el_source_close(s);
    return cost;
}

/* 2 layers of 32 with 4 heads (2 for keys), 48 in the MLP, 40 tokens; F32. The random llama has all the biases there can be. */
enum {
    BIASES = 32 + 16 + 16 + 32 + 48 + 48 + 32,
    LAYERS = 2,
    ATTN = 32 * 32 * 2 + 16 * 32 * 2,
    MLP = 3 * 48 * 32,
    NORMS = 2 * 32,
    HEAD = 40 * 32,
    ROW = 32
};

TEST(cost, bytes_of_a_dense_model)
{
    const double body = 4.0 * (LAYERS * (ATTN + MLP + NORMS + BIASES)), head = 4.0 * (HEAD + 32), row = 4.0 * ROW;
    CHECK_NEAR(cost_of("llama", false, NULL, 1, 1).nbytes, body + head + row, 0);
    CHECK_NEAR(cost_of("llama", false, NULL, 7, 1).nbytes, body + head + 7 * row, 0);
    CHECK_NEAR(cost_of("llama", false, NULL, 7, 0).nbytes, body + 7 * row, 0);
    CHECK_NEAR(cost_of("llama", false, NULL, 500, 0).nbytes, body + 40 * row, 0); /* no more rows than there are */
    CHECK_NEAR(cost_of("llama", true, NULL, 1, 1).nbytes, body + head, 0);
    CHECK_NEAR(cost_of("llama", true, NULL, 7, 0).nbytes, body + 7 * row, 0);
    CHECK_NEAR(cost_of("llama", true, NULL, 0, 0).nbytes, 0, 0);
}

TEST(cost, operations_by_type)
{
    const double head = 2.0 * HEAD, q8_head = 32.0 * 40 * 34 / 32;
    struct el_cost c = cost_of("llama", false, NULL, 3, 2);
    CHECK_NEAR(c.f32_ops, 2.0 * 3 * LAYERS * (ATTN + MLP) + 2 * head, 0);
    CHECK_NEAR(c.int8_ops, 0, 0);
    /* Rows of 48 do not fit Q8_0: ffn_down stays F32. */
    c = cost_of("llama", true, "Q8_0", 3, 2);
    CHECK_NEAR(c.f32_ops, 2.0 * 3 * LAYERS * (MLP / 3), 0);
    CHECK_NEAR(c.int8_ops, 2.0 * 3 * LAYERS * (ATTN + 2 * MLP / 3) + 2 * head, 0);
    const double q8 = 34.0 / 32 * LAYERS * (ATTN + 2 * MLP / 3) + q8_head, f32 = 4.0 * (LAYERS * (MLP / 3 + NORMS + BIASES) + 32);
    CHECK_NEAR(c.nbytes, q8 + f32, 0);
}

TEST(cost, bytes_of_experts)
{
    /* 4 experts, 2 used: half of them for a token, all but (1/2)^n of them for n. */
    const double rest = 4.0 * (LAYERS * (ATTN + NORMS + 4 * 32) + HEAD + 32), experts = 4.0 * LAYERS * 4 * MLP, row = 4.0 * ROW;
    CHECK_NEAR(cost_of("mixtral", false, NULL, 1, 1).nbytes, rest + experts / 2 + row, 0);
    CHECK_NEAR(cost_of("mixtral", false, NULL, 3, 1).nbytes, rest + experts * 7 / 8 + 3 * row, 1e-6);
    CHECK_NEAR(cost_of("mixtral", true, NULL, 1, 1).nbytes, rest + experts / 2, 0);
}

TEST(cost, bytes_of_a_shared_expert)
{
    enum { EXPERT = 3 * 24 * 32, SHARED = 3 * 40 * 32 + 32, ROUTER = 4 * 32, QKV_BIASES = 32 + 16 + 16 };
    const double layer = ATTN + NORMS + QKV_BIASES + ROUTER + SHARED + 2 * EXPERT;
    CHECK_NEAR(cost_of("qwen2moe", false, NULL, 1, 1).nbytes, 4.0 * (LAYERS * layer + HEAD + 32 + ROW), 0);
}

TEST(cost, positions_of_the_cache)
{
    struct el_err err;
    static const struct {
        const char *name;
        double at_3, at_20, nine_at_20;
    } cases[] = {
        {"llama", 4, 21, 29},
        {"mistral", 4, 5, 13},               /* a window of 5 everywhere */
        {"gemma3", 4, (21 + 5) / 2.0, 21.0}, /* every second layer; then (29 + 13) / 2 */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct el_source *const s = mem_source_random(cases[i].name, true, 1);
        struct el_model *m = NULL;
        REQUIRE_OK(el_model_open(s, NULL, &m, &err), err);
        CHECK_NEAR(el_model_kv_read(m, 3, 1), cases[i].at_3, 0);
        CHECK_NEAR(el_model_kv_read(m, 20, 1), cases[i].at_20, 0);
        CHECK_NEAR(el_model_kv_read(m, 20, 9), cases[i].nine_at_20, 0);
        CHECK_NEAR(el_model_kv_read(m, 20, 0), 0, 0);
        el_model_close(m);
        el_source_close(s);
    }
}
