/* Sessions on small random models: batches, chunks, threads, rolling back, errors, observers, memory. */
#include <math.h>

#include "base/cpu.h"
#include "base/err.h"
#include "base/mem.h"
#include "edgellm.h"
#include "model/model.h"
#include "models/mem_source.h"
#include "test.h"

enum { N_VOCAB = 40, N_IDS = 24 };

/* Name number i of all families and their variants; NULL past the end. */
static const char *family(size_t i)
{
    size_t n = 0;
    while (el_arch_at(n))
        n++;
    return i < n ? el_arch_at(i)->name : mem_source_variant(i - n);
}

struct opened {
    struct el_source *source;
    struct el_model *model;
    struct el_session *session;
};

static struct el_session_opts f32_opts(void)
{
    return (struct el_session_opts){
        .n_ctx = 32, .n_seqs = 3, .n_batch = 32, .kv_type_k = "f32", .kv_type_v = "f32", .n_threads = 1};
}

static bool open_all(struct opened *o, struct el_source *source, const struct el_model_opts *model_opts,
                     const struct el_session_opts *opts)
{
    struct el_err err;
    *o = (struct opened){.source = source};
    CHECK_OK(el_model_open(source, model_opts, &o->model, &err), err);
    if (o->model)
        CHECK_OK(el_session_open(o->model, opts, &o->session, &err), err);
    return o->session != NULL;
}

static void close_all(struct opened *o)
{
    el_session_close(o->session);
    el_model_close(o->model);
    el_source_close(o->source);
}

static int32_t id_at(uint32_t seq, uint32_t pos)
{
    return (int32_t)((7 * pos * pos + 3 * pos + 11 * seq) % N_VOCAB);
}

/* Logits [n, N_VOCAB] of one sequence's first n ids, fed `chunk` rows at a time. */
static void feed(struct el_session *s, uint32_t seq, uint32_t n, uint32_t chunk, float *logits)
{
    struct el_row rows[N_IDS];
    struct el_err err;
    for (uint32_t at = 0; at < n; at += chunk) {
        const uint32_t count = n - at < chunk ? n - at : chunk;
        for (uint32_t i = 0; i < count; i++)
            rows[i] = (struct el_row){id_at(seq, at + i), seq, at + i, true};
        REQUIRE_OK(el_session_decode(s, rows, count, &err), err);
        for (uint32_t i = 0; i < count; i++)
            memcpy(logits + (uint64_t)(at + i) * N_VOCAB, el_session_logits(s, i), N_VOCAB * sizeof(float));
    }
}

TEST(session, rows_give_the_same_bits_in_any_chunks_batch_and_threads)
{
    float whole[N_IDS * N_VOCAB], other[N_IDS * N_VOCAB];
    for (size_t f = 0; family(f); f++) {
        struct opened a, b;
        struct el_session_opts opts = f32_opts();
        REQUIRE(open_all(&a, mem_source_random(family(f), false, 5), NULL, &opts));
        feed(a.session, 0, N_IDS, N_IDS, whole);
        feed(a.session, 1, N_IDS, 1, other); /* other ids: differs */
        CHECK(memcmp(whole, other, sizeof whole) != 0);
        const uint32_t chunks[] = {1, 2, 7};
        for (int c = 0; c < 3; c++) {
            el_session_rewind(a.session, 0, 0);
            feed(a.session, 0, N_IDS, chunks[c], other);
            CHECK(memcmp(whole, other, sizeof whole) == 0);
        }
        for (unsigned t = 2; t <= 3; t++) {
            opts.n_threads = t;
            REQUIRE(open_all(&b, mem_source_random(family(f), false, 5), NULL, &opts));
            CHECK_EQ_INT(el_session_n_threads(b.session), t);
            feed(b.session, 2, 0, 1, other);
            feed(b.session, 0, N_IDS, N_IDS, other);
            CHECK(memcmp(whole, other, sizeof whole) == 0);
            close_all(&b);
        }
        /* Three sequences side by side in every batch. */
        struct el_err err;
        for (uint32_t q = 0; q < 3; q++)
            el_session_rewind(a.session, q, 0);
        for (uint32_t pos = 0; pos < N_IDS; pos += 2) {
            struct el_row rows[6];
            for (uint32_t i = 0; i < 6; i++)
                rows[i] = (struct el_row){id_at(i % 3, pos + i / 3), i % 3, pos + i / 3, i % 3 == 0};
            REQUIRE_OK(el_session_decode(a.session, rows, 6, &err), err);
            CHECK(el_session_logits(a.session, 1) == NULL && el_session_logits(a.session, 6) == NULL);
            for (uint32_t i = 0; i < 6; i += 3)
                CHECK(memcmp(el_session_logits(a.session, i), whole + (pos + i / 3) * N_VOCAB, N_VOCAB * sizeof(float)) == 0);
        }
        close_all(&a);
    }
}

TEST(session, rewind_forgets_and_goes_on)
{
    float whole[N_IDS * N_VOCAB], other[N_IDS * N_VOCAB];
    struct opened o;
    const struct el_session_opts opts = f32_opts();
    struct el_err err;
    REQUIRE(open_all(&o, mem_source_random("llama", true, 1), NULL, &opts));
    feed(o.session, 0, N_IDS, 5, whole);
    CHECK_EQ_INT(el_session_n_past(o.session, 0), N_IDS);
    CHECK_EQ_INT(el_session_n_past(o.session, 1), 0);
    CHECK_EQ_INT(el_session_n_past(o.session, 99), 0);
    el_session_rewind(o.session, 0, 9);
    el_session_rewind(o.session, 0, 20); /* nothing to forget there */
    el_session_rewind(o.session, 99, 0);
    CHECK_EQ_INT(el_session_n_past(o.session, 0), 9);
    /* Another continuation, then back to the first. */
    const struct el_row wrong = {1, 0, 9, true};
    CHECK_OK(el_session_decode(o.session, &wrong, 1, &err), err);
    CHECK(memcmp(el_session_logits(o.session, 0), whole + 9 * N_VOCAB, N_VOCAB * sizeof(float)) != 0);
    el_session_rewind(o.session, 0, 9);
    for (uint32_t pos = 9; pos < N_IDS; pos++) {
        const struct el_row row = {id_at(0, pos), 0, pos, true};
        REQUIRE_OK(el_session_decode(o.session, &row, 1, &err), err);
        memcpy(other + pos * N_VOCAB, el_session_logits(o.session, 0), N_VOCAB * sizeof(float));
    }
    CHECK(memcmp(whole + 9 * N_VOCAB, other + 9 * N_VOCAB, (N_IDS - 9) * N_VOCAB * sizeof(float)) == 0);
    close_all(&o);
}

TEST(session, refuses_wrong_rows_and_stays_as_it_was)
{
    struct opened o;
    struct el_session_opts opts = f32_opts();
    struct el_err err = {.code = EL_OK};
    opts.n_ctx = 4;
    opts.n_batch = 5;
    REQUIRE(open_all(&o, mem_source_random("llama", false, 1), NULL, &opts));
    const struct {
        struct el_row rows[6];
        size_t n;
        const char *says;
    } bad[] = {
        {{{-1, 0, 0, true}}, 1, "token -1, allowed are 0 to 39"},
        {{{40, 0, 0, true}}, 1, "token 40"},
        {{{1, 3, 0, true}}, 1, "sequence 3, allowed are 0 to 2"},
        {{{1, 0, 1, true}}, 1, "position 1 of sequence 0, the next is 0"},
        {{{1, 0, 0, true}, {1, 0, 2, true}}, 2, "position 2 of sequence 0, the next is 1"},
        {{{1, 0, 0, true}, {1, 0, 0, true}}, 2, "position 0"},
        {{{1, 0, 0, 0}, {1, 0, 1, 0}, {1, 0, 2, 0}, {1, 0, 3, 0}, {1, 0, 4, 0}}, 5, "room for 4"},
        {{{1, 0, 0, 0}}, 6, "a batch of 6 rows, at most 5"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        CHECK_EQ_INT(el_session_decode(o.session, bad[i].rows, bad[i].n, &err), EL_E_USAGE);
        if (!strstr(err.text, bad[i].says))
            CHECK_EQ_STR(err.text, bad[i].says);
        CHECK_EQ_INT(el_session_n_past(o.session, 0), 0);
    }
    CHECK_OK(el_session_decode(o.session, NULL, 0, &err), err);
    CHECK(el_session_logits(o.session, 0) == NULL);
    close_all(&o);
}

/* Batches whose experts do not all fit into the buffers go in several groups. */
TEST(session, experts_in_groups_give_the_same_bits)
{
    static const char *const names[] = {"mixtral", "olmoe", "qwen2moe", "qwen3moe"};
    float whole[N_IDS * N_VOCAB], other[N_IDS * N_VOCAB];
    for (size_t f = 0; f < sizeof names / sizeof names[0]; f++) {
        struct opened a;
        struct el_session_opts opts = f32_opts();
        opts.n_batch = 64;
        REQUIRE(open_all(&a, mem_source_random(names[f], false, 5), NULL, &opts));
        CHECK(el_model_info(a.model).n_experts_used > 1);
        feed(a.session, 0, N_IDS, N_IDS, whole);
        close_all(&a);
        for (uint32_t n_batch = 1; n_batch <= N_IDS; n_batch += 1 + n_batch / 2) {
            opts.n_batch = n_batch;
            opts.n_threads = 1 + n_batch % 3;
            REQUIRE(open_all(&a, mem_source_random(names[f], false, 5), NULL, &opts));
            feed(a.session, 0, N_IDS, n_batch, other);
            CHECK(memcmp(whole, other, sizeof whole) == 0);
            close_all(&a);
        }
    }
}

/* Logits [N_VOCAB] of the last of n ids, fed `chunk` rows at a time, the last `alone` of them one by one. */
static void feed_long(struct el_session *s, uint32_t n, uint32_t chunk, uint32_t alone, float *logits)
{
    static struct el_row rows[128];
    struct el_err err;
    for (uint32_t at = 0, count = 0; at < n; at += count) {
        count = at + alone >= n ? 1 : n - alone - at < chunk ? n - alone - at : chunk;
        for (uint32_t i = 0; i < count; i++)
            rows[i] = (struct el_row){id_at(0, at + i), 0, at + i, at + i + 1 == n};
        REQUIRE_OK(el_session_decode(s, rows, count, &err), err);
        if (at + count == n)
            memcpy(logits, el_session_logits(s, count - 1), N_VOCAB * sizeof(float));
    }
}

/* Several chunks of positions: rows that are split over them, by whatever thread, and rows of a prompt that are not. */
TEST(session, long_contexts_give_the_same_bits_however_they_are_split)
{
    static const char *const names[] = {"llama", "mistral", "gemma2", "gpt2"};
    enum { N_LONG = 620 };
    float want[N_VOCAB], got[N_VOCAB];
    for (size_t f = 0; f < sizeof names / sizeof names[0]; f++) {
        struct el_session_opts opts = f32_opts();
        opts.n_batch = 128;
        opts.n_seqs = 1;
        struct opened a;
        struct el_source *const source = mem_source_random(names[f], false, 5);
        const uint32_t n = strcmp(names[f], "gpt2") == 0 ? 60 : N_LONG; /* gpt2 has learned 64 positions */
        opts.n_ctx = n;
        opts.kv_type_k = opts.kv_type_v = f % 2 ? "f16" : "f32";
        REQUIRE(open_all(&a, source, NULL, &opts));
        feed_long(a.session, n, 128, 0, want);
        for (unsigned t = 1; t <= 3; t++) {
            struct el_session *s = NULL;
            struct el_err err;
            opts.n_threads = t;
            REQUIRE_OK(el_session_open(a.model, &opts, &s, &err), err);
            feed_long(s, n, 97 + 10 * t, t == 1 ? 40 : 3, got);
            CHECK(memcmp(want, got, sizeof want) == 0);
            el_session_close(s);
        }
        close_all(&a);
    }
}

TEST(session, options)
{
    struct opened o;
    struct el_err err = {.code = EL_OK};
    struct el_session *s = NULL;
    const struct {
        struct el_session_opts opts;
        enum el_status status;
        const char *says;
    } bad[] = {
        {{.kv_type_k = "q8_0"}, EL_E_USAGE, "key cache type 'q8_0', which needs heads of a multiple of 32; this model's have 8"},
        {{.kv_type_v = "q8_0"}, EL_E_USAGE, "value cache type 'q8_0', which needs heads"},
        {{.kv_type_k = "q4_0"}, EL_E_USAGE, "key cache type 'q4_0', known are f32, f16, q8_0"},
        {{.kv_type_v = ""}, EL_E_USAGE, "value cache type ''"},
        {{.n_seqs = 1u << 20}, EL_E_USAGE, "sequences"},
        {{.n_ctx = UINT32_MAX}, EL_E_USAGE, "context of 4294967295"},
        {{.n_batch = UINT32_MAX}, EL_E_USAGE, "batches of 4294967295 rows"},
        {{.n_ctx = 65}, EL_E_USAGE, "this model has learned 64"},
    };
    REQUIRE(open_all(&o, mem_source_random("gpt_bigcode", false, 1), NULL, NULL));
    CHECK_EQ_INT(el_session_n_ctx(o.session), 64);
    CHECK_EQ_INT(el_session_n_batch(o.session), 64);                       /* no more rows than the context takes */
    CHECK_EQ_INT(el_session_kv_nbytes(o.session), 2 * 64 * 2 * 2 * 8 * 2); /* K, V; positions, layers, heads, columns, f16 */
    CHECK(el_session_scratch_nbytes(o.session) > 64 * N_VOCAB * 4);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        CHECK_EQ_INT(el_session_open(o.model, &bad[i].opts, &s, &err), bad[i].status);
        CHECK(s == NULL && strstr(err.text, bad[i].says));
    }
    close_all(&o);
}

/* Largest difference over largest logit. */
static double moved(const float *a, const float *b)
{
    double diff = 0, largest = 0;
    for (int i = 0; i < N_IDS * N_VOCAB; i++) {
        diff = fmax(diff, fabs((double)a[i] - (double)b[i]));
        largest = fmax(largest, fabs((double)a[i]));
    }
    return diff / largest;
}

TEST(session, f16_store_is_close_and_not_the_same)
{
    float exact[N_IDS * N_VOCAB], half[N_IDS * N_VOCAB];
    struct opened o;
    struct el_session_opts opts = f32_opts();
    REQUIRE(open_all(&o, mem_source_random("llama", false, 9), NULL, &opts));
    feed(o.session, 0, N_IDS, N_IDS, exact);
    close_all(&o);
    opts.kv_type_k = opts.kv_type_v = NULL;
    REQUIRE(open_all(&o, mem_source_random("llama", false, 9), NULL, &opts));
    feed(o.session, 0, N_IDS, N_IDS, half);
    close_all(&o);
    CHECK(moved(exact, half) > 0 && moved(exact, half) < 0.01);
}

/*
 * In every encoding and at every level a row's bits do not depend on its batch; and the model is the one whose weights are
 * decoded, but for the rounding of activations (which can make a router near a tie choose another expert).
 */
TEST(session, encoded_weights)
{
    static const struct {
        const char *type;
        double most;
    } cases[] = {{"F16", 1e-5},   {"BF16", 1e-5}, {"Q8_0", 0.15}, {"Q4_0", 0.15},   {"Q4_1", 0.5},
                 {"IQ4_NL", 0.5}, {"MXFP4", 0.3}, {"Q2_0", 0.1},  {"G4_32Z", 0.15}, {"G3_ROW", 0.15}};
    float whole[N_IDS * N_VOCAB], other[N_IDS * N_VOCAB];
    for (size_t f = 0; family(f); f++) {
        for (size_t c = 0; c < sizeof cases / sizeof cases[0]; c++) {
            struct el_source *const coded = mem_source_random(family(f), false, 3);
            mem_source_encode(coded, cases[c].type);
            for (int level = 0; level < EL_CPU_LEVELS; level++) {
                struct opened a, b;
                struct el_session_opts opts = f32_opts();
                if (!el_cpu_force((enum el_cpu_level)level))
                    continue;
                opts.n_threads = 2;
                REQUIRE(open_all(&a, coded, NULL, &opts));
                feed(a.session, 0, N_IDS, N_IDS, whole);
                feed(a.session, 1, N_IDS, 5, other);
                el_session_rewind(a.session, 1, 0);
                el_session_rewind(a.session, 0, 0);
                feed(a.session, 0, N_IDS, 1, other);
                CHECK(memcmp(whole, other, sizeof whole) == 0);
                REQUIRE(open_all(&b, mem_source_copy(coded), NULL, &opts));
                feed(b.session, 0, N_IDS, N_IDS, other);
                if (!(moved(other, whole) < cases[c].most))
                    test_fail(__FILE__, __LINE__, "%s in %s at %s: logits move by %g", family(f), cases[c].type, el_cpu_level(),
                              moved(other, whole));
                close_all(&b);
                a.source = NULL;
                close_all(&a);
            }
            el_source_close(coded);
        }
    }
    el_cpu_force(el_cpu_detected());
}

/* Logits [16, 4096] of the bundled model. */
static void feed_books(struct el_source *source, uint32_t chunk, float *logits)
{
    struct opened o;
    struct el_err err;
    const struct el_session_opts opts = {.n_ctx = 16, .n_threads = 2};
    REQUIRE(open_all(&o, source, NULL, &opts));
    for (uint32_t at = 0; at < 16; at += chunk) {
        struct el_row rows[16];
        for (uint32_t i = 0; i < chunk; i++)
            rows[i] = (struct el_row){(int32_t)(331 * (at + i) * (at + i) % 4096), 0, at + i, true};
        REQUIRE_OK(el_session_decode(o.session, rows, chunk, &err), err);
        for (uint32_t i = 0; i < chunk; i++)
            memcpy(logits + (at + i) * 4096, el_session_logits(o.session, i), 4096 * sizeof(float));
    }
    o.source = NULL;
    close_all(&o);
}

/* The same for the encodings whose blocks are wider than the toys' rows. */
TEST(session, wide_blocks)
{
    const char *const types[] = {"Q4_K", "Q6_K"};
    struct el_err err;
    struct el_source *books = NULL;
    const size_t n = 16 * 4096;
    float *const whole = malloc(n * sizeof *whole), *const other = malloc(n * sizeof *other);
    REQUIRE_OK(el_source_open(test_data("books-4m"), NULL, &books, &err), err);
    for (int i = 0; i < 2; i++) {
        struct el_source *const coded = mem_source_copy(books);
        mem_source_encode(coded, types[i]);
        struct el_source *const decoded = mem_source_copy(coded);
        for (int level = 0; level < EL_CPU_LEVELS; level++) {
            if (!el_cpu_force((enum el_cpu_level)level))
                continue;
            feed_books(coded, 16, whole);
            feed_books(coded, 1, other);
            CHECK(memcmp(whole, other, n * sizeof *whole) == 0);
            feed_books(decoded, 16, other);
            double diff = 0;
            for (size_t k = 0; k < n; k++)
                diff = fmax(diff, fabs((double)whole[k] - (double)other[k]));
            CHECK(diff > 0 && diff < 0.5);
        }
        el_source_close(decoded);
        el_source_close(coded);
    }
    el_cpu_force(el_cpu_detected());
    el_source_close(books);
    free(whole);
    free(other);
}

TEST(session, decoding_allocates_nothing)
{
    float logits[N_IDS * N_VOCAB];
    for (size_t f = 0; family(f); f++) {
        struct opened o;
        struct el_session_opts opts = f32_opts();
        opts.n_threads = 2;
        REQUIRE(open_all(&o, mem_source_random(family(f), true, 1), NULL, &opts));
        const uint64_t before = el_mem_count();
        feed(o.session, 0, N_IDS, 7, logits);
        el_session_rewind(o.session, 0, 3);
        CHECK_EQ_INT(el_mem_count(), before);
        close_all(&o);
    }
}

TEST(session, values_that_are_not_finite_name_the_first_layer)
{
    static const struct {
        const char *tensor, *says;
        float value;
    } cases[] = {
        {"token_embd.weight", "embedding", NAN},   {"blk.0.attn_v.weight", "layer 0", INFINITY},
        {"blk.1.ffn_down.weight", "layer 1", NAN}, {"output.weight", "output matrix", NAN},
        {"blk.1.attn_k.bias", "layer 1", NAN},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct opened o;
        struct el_err err = {.code = EL_OK};
        const struct el_session_opts opts = f32_opts();
        struct el_row rows[] = {{1, 0, 0, false}, {2, 0, 1, false}, {3, 0, 2, true}};
        REQUIRE(open_all(&o, mem_source_random("llama", false, 2), NULL, &opts));
        mem_source_values(o.source, cases[i].tensor)[strcmp(cases[i].tensor, "token_embd.weight") ? 0 : 2 * 32] = cases[i].value;
        el_model_close(o.model); /* vectors are decoded on opening */
        el_session_close(o.session);
        CHECK_OK(el_model_open(o.source, NULL, &o.model, &err), err);
        CHECK_OK(el_session_open(o.model, &opts, &o.session, &err), err);
        CHECK_EQ_INT(el_session_decode(o.session, rows, 3, &err), EL_E_FAILED);
        CHECK(strstr(err.text, cases[i].says) != NULL);
        CHECK(el_session_logits(o.session, 2) == NULL);
        CHECK_EQ_INT(el_session_n_past(o.session, 0), 0);
        /* Also where no logits are asked for, unless only they are wrong. */
        rows[2].want_logits = false;
        CHECK_EQ_INT(el_session_decode(o.session, rows, 3, &err), strcmp(cases[i].says, "output matrix") ? EL_E_FAILED : EL_OK);
        close_all(&o);
    }
}

struct seen {
    unsigned counts[EL_R_COUNT + 1];
    uint64_t rows[EL_R_COUNT + 1];
    uint64_t layers, experts;
    bool finite;
};

static void observe(void *user, const struct el_weight *w, uint32_t expert, const struct el_act *x)
{
    struct seen *const seen = user;
    seen->counts[w->role]++;
    seen->rows[w->role] += x->n;
    seen->layers |= UINT64_C(1) << w->layer;
    seen->experts |= UINT64_C(1) << expert;
    for (uint64_t i = 0; i < x->n_in; i++)
        seen->finite = seen->finite && isfinite(x->f32[(x->n - 1) * x->f32_stride + i]);
    CHECK_EQ_INT(x->n_in, w->n_in);
}

/* Every matrix of every rule is seen, once per layer and batch (experts: once per row they serve). */
TEST(session, observers_see_every_linear)
{
    for (size_t f = 0; family(f); f++) {
        struct opened o;
        struct seen seen = {.finite = true};
        const struct el_session_opts opts = f32_opts();
        float logits[N_IDS * N_VOCAB];
        REQUIRE(open_all(&o, mem_source_random(family(f), false, 4), NULL, &opts));
        CHECK(el_session_observe(o.session, observe, &seen));
        feed(o.session, 0, N_IDS, N_IDS, logits);
        for (const struct el_tensor_rule *r = o.model->arch->tensors; r->gguf; r++) {
            const bool matrix = r->dims[1] != EL_D_NONE && !(r->flags & EL_TF_VECTORS) && r->role != EL_R_TOKEN_EMBD &&
                                r->role != EL_R_POS_EMBD && el_arch_has(o.model->arch, &o.model->hp, r);
            const uint64_t per_row = (r->flags & EL_TF_STACK) ? o.model->hp.n_experts_used : 1;
            const uint64_t layers = (r->flags & EL_TF_LAYER) ? 2 : 1;
            CHECK_EQ_INT(seen.rows[r->role], matrix ? N_IDS * per_row * layers : 0);
        }
        CHECK_EQ_INT(seen.layers, 3);
        CHECK_EQ_INT(seen.experts, o.model->hp.n_experts ? (UINT64_C(1) << o.model->hp.n_experts) - 1 : 1);
        CHECK(seen.finite);
        for (int i = 1; i < EL_MAX_OBSERVERS; i++)
            CHECK(el_session_observe(o.session, observe, &seen));
        CHECK(!el_session_observe(o.session, observe, &seen));
        close_all(&o);
    }
}

TEST(session, interrupt_stops_decoding)
{
    struct opened o;
    struct el_err err = {.code = EL_OK};
    const struct el_row row = {1, 0, 0, true};
    const struct el_session_opts opts = f32_opts();
    REQUIRE(open_all(&o, mem_source_random("llama", false, 2), NULL, &opts));
    el_interrupt();
    CHECK_EQ_INT(el_session_decode(o.session, &row, 1, &err), EL_E_INTERRUPTED);
    struct el_model *m = NULL;
    CHECK_EQ_INT(el_model_open(o.source, NULL, &m, &err), EL_E_INTERRUPTED);
    CHECK(m == NULL);
    el_interrupt_clear();
    CHECK_EQ_INT(el_session_n_past(o.session, 0), 0);
    CHECK_OK(el_session_decode(o.session, &row, 1, &err), err);
    close_all(&o);
}

TEST(session, out_of_memory_at_every_allocation)
{
    struct el_source *const source = mem_source_random("mixtral", false, 2);
    unsigned n_failed = 0;
    for (uint64_t n = 1; n < 1000; n++) {
        struct el_err err = {.code = EL_OK};
        struct el_model *model = NULL;
        struct el_session *session = NULL;
        const struct el_session_opts opts = f32_opts();
        el_mem_fail_after(n);
        enum el_status status = el_model_open(source, NULL, &model, &err);
        if (status == EL_OK)
            status = el_session_open(model, &opts, &session, &err);
        el_mem_fail_after(0);
        el_session_close(session);
        el_model_close(model);
        if (status == EL_OK)
            break;
        CHECK_EQ_INT(status, EL_E_MEMORY);
        n_failed++;
    }
    CHECK(n_failed > 10);
    el_source_close(source);
}

/* ---- opening models ---- */

static enum el_status try_open(struct el_source *s, const struct el_model_opts *opts, struct el_err *err)
{
    struct el_model *m = NULL;
    const enum el_status status = el_model_open(s, opts, &m, err);
    CHECK((m != NULL) == (status == EL_OK));
    el_model_close(m);
    return status;
}

TEST(binding, lists_all_problems)
{
    struct el_source *const s = mem_source_random("llama", false, 1);
    struct el_err err = {.code = EL_OK};
    const uint64_t wrong[] = {32, 31}, extra[] = {3};
    mem_source_remove(s, "output_norm.weight");
    mem_source_remove(s, "blk.1.attn_q.weight");
    mem_source_add(s, "blk.1.attn_q.weight", 2, wrong);
    mem_source_remove(s, "blk.1.ffn_up.bias"); /* optional, but layer 0 has it */
    mem_source_add(s, "nonsense", 1, extra);
    mem_source_add(s, "blk.2.attn_norm.weight", 1, extra);
    CHECK_EQ_INT(try_open(s, NULL, &err), EL_E_FORMAT);
    CHECK_EQ_STR(err.text,
                 "'memory': 5 problems with the tensors of a llama model: 'blk.1.attn_q.weight' is 32 x 31, should be 32 x 32; "
                 "'blk.1.ffn_up.bias' is missing; 'output_norm.weight' is missing; 'nonsense' does not belong to one; "
                 "'blk.2.attn_norm.weight' is of a layer past the last, 1");
    el_source_close(s);
}

TEST(binding, counts_what_does_not_fit_the_text)
{
    struct el_source *const s = mem_source_random("gpt_bigcode", true, 1);
    struct el_err err = {.code = EL_OK};
    while (s->n_tensors > 1)
        mem_source_remove(s, s->tensors[1].name);
    CHECK_EQ_INT(try_open(s, NULL, &err), EL_E_FORMAT);
    CHECK(strstr(err.text, "27 problems") && strstr(err.text, "'position_embd.weight' is missing; ") && strstr(err.text, "more"));
    mem_source_remove(s, "token_embd.weight");
    CHECK_EQ_INT(try_open(s, NULL, &err), EL_E_FORMAT);
    CHECK(strstr(err.text, "no tensors") != NULL);
    el_source_close(s);
}

TEST(binding, own_memory_gives_the_same_logits_and_outlives_changes)
{
    float a[N_IDS * N_VOCAB], b[N_IDS * N_VOCAB];
    struct opened o;
    const struct el_session_opts opts = f32_opts();
    const struct el_model_opts own = {.no_mmap = true};
    REQUIRE(open_all(&o, mem_source_random("mixtral", false, 1), NULL, &opts));
    feed(o.session, 0, N_IDS, 4, a);
    close_all(&o);
    REQUIRE(open_all(&o, mem_source_random("mixtral", false, 1), &own, &opts));
    memset(mem_source_values(o.source, "blk.0.ffn_gate_exps.weight"), 0xff, 4 * 48 * 32 * 4);
    feed(o.session, 0, N_IDS, 4, b);
    close_all(&o);
    CHECK(memcmp(a, b, sizeof a) == 0);
}

TEST(binding, rope_freqs_must_be_positive)
{
    struct el_source *const s = mem_source_random("llama", false, 1);
    struct el_err err = {.code = EL_OK};
    const uint64_t n = 4;
    float *const f = mem_source_add(s, "rope_freqs.weight", 1, &n);
    f[0] = f[1] = f[3] = 1;
    CHECK_EQ_INT(try_open(s, NULL, &err), EL_E_FORMAT);
    CHECK(strstr(err.text, "'rope_freqs.weight': element 2 is 0") != NULL);
    f[2] = 2;
    CHECK_OK(try_open(s, NULL, &err), err);
    el_source_close(s);
}

TEST(binding, features)
{
    struct el_source *const s = mem_source_random("llama", false, 1);
    struct el_err err = {.code = EL_OK};
    struct el_model_opts opts = {.disable = "bias,rope_scaling,norm_gain"};
    CHECK_OK(try_open(s, &opts, &err), err);
    opts.disable = "bias,ropes";
    CHECK_EQ_INT(try_open(s, &opts, &err), EL_E_USAGE);
    CHECK(strstr(err.text, "no feature 'ropes' to disable, known are rope_scaling") != NULL);
    opts.disable = ",";
    CHECK_EQ_INT(try_open(s, &opts, &err), EL_E_USAGE);
    el_source_close(s);
}

TEST(binding, info)
{
    struct el_source *const s = mem_source_random("mixtral", false, 1);
    struct el_err err;
    struct el_model *m = NULL;
    REQUIRE_OK(el_model_open(s, NULL, &m, &err), err);
    const struct el_model_info i = el_model_info(m);
    CHECK_EQ_STR(i.arch, "mixtral");
    const uint64_t attn = 32 * 32 * 2 + 16 * 32 * 2, experts = 4 * 3 * 48 * 32 + 4 * 32;
    CHECK_EQ_INT(i.n_params, 2 * (attn + experts + 64) + 2 * 40 * 32 + 32);
    CHECK_EQ_INT(i.nbytes, 4 * i.n_params);
    CHECK(i.n_vocab == 40 && i.n_embd == 32 && i.n_layers == 2 && i.n_heads == 4 && i.n_kv_heads == 2 && i.d_head == 8);
    CHECK(i.n_ff == 48 && i.n_experts == 4 && i.n_experts_used == 2 && i.n_ctx_train == 64);
    el_model_close(m);
    el_source_close(s);
}
