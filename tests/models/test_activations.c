/* Activations of fewer bits (el_session_opts.act_bits), against the definition of edgellm.h in float64. */
#include <math.h>

#include "base/cpu.h"
#include "kernels/kernels.h"
#include "model/linear.h"
#include "model/model.h"
#include "models/mem_source.h"
#include "test.h"

enum { N_VOCAB = 40, N_IDS = 24, N_EMBD = 32, MAX_SEEN = 64 };

struct opened {
    struct el_source *source;
    struct el_model *model;
    struct el_session *session;
};

static struct el_session_opts opts_of(uint32_t act_bits, bool by_token)
{
    return (struct el_session_opts){.n_ctx = 32,
                                    .n_seqs = 2,
                                    .n_batch = 32,
                                    .kv_type_k = "f32",
                                    .kv_type_v = "f32",
                                    .n_threads = 2,
                                    .act_bits = act_bits,
                                    .act_by_token = by_token};
}

static bool open_all(struct opened *o, const char *family, const char *type, const struct el_session_opts *opts)
{
    struct el_err err;
    *o = (struct opened){.source = mem_source_random(family, false, 5)};
    if (type)
        mem_source_encode(o->source, type);
    CHECK_OK(el_model_open(o->source, NULL, &o->model, &err), err);
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

/* Logits [N_IDS, N_VOCAB] of a sequence, fed `chunk` rows at a time. */
static void feed(struct el_session *s, uint32_t seq, uint32_t chunk, float *logits)
{
    struct el_row rows[N_IDS];
    struct el_err err;
    for (uint32_t at = 0; at < N_IDS; at += chunk) {
        const uint32_t n = N_IDS - at < chunk ? N_IDS - at : chunk;
        for (uint32_t i = 0; i < n; i++)
            rows[i] = (struct el_row){(int32_t)((7 * (at + i) * (at + i) + 3) % N_VOCAB), seq, at + i, true};
        REQUIRE_OK(el_session_decode(s, rows, n, &err), err);
        for (uint32_t i = 0; i < n; i++)
            memcpy(logits + (uint64_t)(at + i) * N_VOCAB, el_session_logits(s, i), N_VOCAB * sizeof(float));
    }
}

/* x [n] as so many bits say it, a scale for each `group` of columns. */
static void round_row(const float *x, uint64_t n, uint64_t group, uint32_t bits, double *out)
{
    const double most = (double)((1 << (bits - 1)) - 1);
    for (uint64_t first = 0; first < n; first += group) {
        float max = 0;
        for (uint64_t i = first; i < n && i < first + group; i++)
            max = fmaxf(max, fabsf(x[i]));
        const float scale = max / (float)most;
        for (uint64_t i = first; i < n && i < first + group; i++)
            out[i] = scale > 0 ? (double)scale * fmax(-most, fmin(most, (double)rintf(x[i] / scale))) : 0;
    }
}

TEST(activations, integers_are_those_of_the_definition)
{
    uint64_t seed = 3;
    for (uint32_t bits = 2; bits <= 8; bits++) {
        for (uint64_t n = 1; n <= 80; n += 13) {
            for (int by_row = 0; by_row < 2; by_row++) {
                float x[2 * 80], scale[2 * 3];
                int8_t q8[2 * 96];
                int16_t sum[2 * 6];
                double want[80];
                const uint64_t n_pad = (n + 31) / 32 * 32;
                for (uint64_t i = 0; i < 2 * n; i++)
                    x[i] = test_randf(&seed) * (i % 9 == 0 ? 30 : 1);
                el_quantize_act_to(x, n, 2, n, (1u << (bits - 1)) - 1, by_row, q8, scale, sum);
                for (uint64_t r = 0; r < 2; r++) {
                    int total = 0;
                    round_row(x + r * n, n, by_row ? n : 32, bits, want);
                    for (uint64_t i = 0; i < n_pad; i++) {
                        const double got = (double)scale[r * (n_pad / 32) + i / 32] * q8[r * n_pad + i];
                        CHECK(got == (i < n ? want[i] : 0)); /* to the bit: one product of two floats */
                        total += q8[r * n_pad + i] - (i % 16 == 0 ? sum[r * (n_pad / 16) + i / 16] : 0);
                    }
                    CHECK_EQ_INT(total, 0);
                }
            }
        }
    }
    /* A value that is not finite is seen in all that it shares a scale with. */
    float x[64] = {1, 2, [40] = NAN}, scale[2];
    int8_t q8[64];
    int16_t sum[4];
    el_quantize_act_to(x, 64, 1, 64, 7, false, q8, scale, sum);
    CHECK(isfinite(scale[0]) && isnan(scale[1]));
    el_quantize_act_to(x, 64, 1, 64, 7, true, q8, scale, sum);
    CHECK(isnan(scale[0]) && isnan(scale[1]));
}

/* What the output matrix read, and W x of it in float64. */
struct seen {
    const struct el_session_opts *opts;
    uint64_t n;
    double logits[N_IDS * N_VOCAB];
};

static void observe_output(void *user, const struct el_weight *w, uint32_t expert, const struct el_act *x)
{
    struct seen *const seen = user;
    double rounded[N_EMBD];
    float row[N_EMBD];
    (void)expert;
    if (w->role != EL_R_OUTPUT)
        return;
    for (uint64_t t = 0; t < x->n; t++, seen->n++) {
        round_row(x->f32 + t * x->f32_stride, x->n_in, seen->opts->act_by_token ? x->n_in : 32, seen->opts->act_bits, rounded);
        for (uint64_t r = 0; r < w->n_out; r++) {
            el_weight_row(w, r, row);
            double sum = 0;
            for (uint64_t i = 0; i < x->n_in; i++)
                sum += (double)row[i] * rounded[i];
            seen->logits[seen->n * N_VOCAB + r] = sum;
        }
    }
}

/* Products of float, block and group weights with rounded activations. */
TEST(activations, products_are_those_of_the_definition)
{
    static const char *const types[] = {NULL, "F16", "Q8_0", "Q4_0", "G4_32Z"};
    for (size_t k = 0; k < sizeof types / sizeof *types; k++) {
        for (uint32_t bits = 2; bits <= 8; bits += 2) {
            for (int by_token = 0; by_token < 2; by_token++) {
                struct opened o;
                const struct el_session_opts opts = opts_of(bits, by_token);
                struct seen seen = {.opts = &opts};
                float logits[N_IDS * N_VOCAB];
                double largest = 0, diff = 0;
                REQUIRE(open_all(&o, "llama", types[k], &opts));
                CHECK(el_session_observe(o.session, observe_output, &seen));
                feed(o.session, 0, N_IDS, logits);
                CHECK_EQ_INT(seen.n, N_IDS);
                for (size_t i = 0; i < N_IDS * N_VOCAB; i++) {
                    largest = fmax(largest, fabs(seen.logits[i]));
                    diff = fmax(diff, fabs(seen.logits[i] - (double)logits[i]));
                }
                if (!(diff < 1e-5 * largest))
                    test_fail(__FILE__, __LINE__, "%s, %u bits%s: logits differ by %g of %g", types[k] ? types[k] : "F32", bits,
                              by_token ? " by token" : "", diff, largest);
                close_all(&o);
            }
        }
    }
}

static bool same_logits(const char *family, const char *type, const struct el_session_opts *a, const struct el_session_opts *b,
                        uint32_t chunk)
{
    struct opened x, y;
    float of_x[N_IDS * N_VOCAB] = {0}, of_y[N_IDS * N_VOCAB] = {1};
    if (open_all(&x, family, type, a) && open_all(&y, family, type, b)) {
        feed(x.session, 0, N_IDS, of_x);
        feed(y.session, 1, chunk, of_y);
        close_all(&x);
        close_all(&y);
    }
    return memcmp(of_x, of_y, sizeof of_x) == 0;
}

TEST(activations, eight_bits_of_blocks_are_what_kernels_do)
{
    const struct el_session_opts none = opts_of(0, false), eight = opts_of(8, false), four = opts_of(4, false),
                                 token = opts_of(8, true);
    static const char *const types[] = {"G8_32", "G4_32Z"}; /* these fit all rows of the model: none is left as floats */
    for (size_t k = 0; k < sizeof types / sizeof *types; k++) {
        CHECK(same_logits("llama", types[k], &none, &eight, 7));
        CHECK(!same_logits("llama", types[k], &none, &four, 7));
        CHECK(!same_logits("llama", types[k], &none, &token, 7)); /* 48 columns of ffn_down: two blocks */
    }
    CHECK(!same_logits("llama", NULL, &none, &eight, 7));
}

TEST(activations, rows_give_the_same_bits_in_any_chunks_and_threads)
{
    static const char *const families[] = {"llama", "mixtral", "qwen2moe", "gpt2", "phi3"};
    for (size_t f = 0; f < sizeof families / sizeof *families; f++) {
        for (int k = 0; k < 4; k++) {
            const struct el_session_opts many = opts_of(k % 2 ? 8 : 3, k < 2);
            struct el_session_opts one = many;
            one.n_threads = 1;
            CHECK(same_logits(families[f], NULL, &many, &one, 1));
            CHECK(same_logits(families[f], "Q8_0", &many, &one, 5));
        }
    }
}

/* The rows that experts of the first layer get, and what its router read. */
struct routed {
    uint64_t rows[8];
    float router_x[N_IDS * N_EMBD];
    const struct el_weight *router;
    uint64_t n;
};

static void observe_router(void *user, const struct el_weight *w, uint32_t expert, const struct el_act *x)
{
    struct routed *const seen = user;
    if (w->layer != 0)
        return;
    if (w->role == EL_R_FFN_UP_EXPS)
        seen->rows[expert] += x->n;
    if (w->role != EL_R_FFN_ROUTER)
        return;
    seen->router = w;
    for (uint64_t t = 0; t < x->n; t++)
        memcpy(seen->router_x + seen->n++ * N_EMBD, x->f32 + t * x->f32_stride, N_EMBD * sizeof(float));
}

/* With two bits, a router that read rounded rows would choose other experts. */
TEST(activations, routers_read_what_is_there)
{
    struct opened o;
    const struct el_session_opts opts = opts_of(2, true);
    struct routed seen = {.n = 0};
    float logits[N_IDS * N_VOCAB];
    uint64_t want[8] = {0}, rounded[8] = {0};
    REQUIRE(open_all(&o, "olmoe", NULL, &opts));
    const uint32_t n_experts = o.model->hp.n_experts, n_used = o.model->hp.n_experts_used;
    REQUIRE(n_experts <= 8);
    CHECK(el_session_observe(o.session, observe_router, &seen));
    feed(o.session, 0, N_IDS, logits);
    REQUIRE(seen.n == N_IDS && seen.router);
    for (uint64_t t = 0; t < N_IDS; t++) {
        double p[2][8], x[2][N_EMBD];
        float row[N_EMBD];
        for (uint64_t i = 0; i < N_EMBD; i++)
            x[0][i] = (double)seen.router_x[t * N_EMBD + i];
        round_row(seen.router_x + t * N_EMBD, N_EMBD, N_EMBD, 2, x[1]);
        for (int kind = 0; kind < 2; kind++) {
            for (uint32_t e = 0; e < n_experts; e++) {
                el_weight_row(seen.router, e, row);
                p[kind][e] = 0;
                for (uint64_t i = 0; i < N_EMBD; i++)
                    p[kind][e] += (double)row[i] * x[kind][i];
            }
            for (uint32_t e = 0; e < n_experts; e++) {
                uint32_t n_above = 0;
                for (uint32_t other = 0; other < n_experts; other++)
                    n_above += p[kind][other] > p[kind][e];
                (kind ? rounded : want)[e] += n_above < n_used;
            }
        }
    }
    CHECK(memcmp(seen.rows, want, sizeof want) == 0);
    CHECK(memcmp(rounded, want, sizeof want) != 0);
    close_all(&o);
}

TEST(activations, refuses)
{
    struct opened o;
    struct el_err err = {.code = EL_OK};
    struct el_session *s = NULL;
    float logits[N_IDS * N_VOCAB];
    const struct el_session_opts nine = opts_of(9, false), one = opts_of(1, false), none = opts_of(0, true), four = opts_of(4, 0);
    const char hash[] = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    size_t n_loaded = 0;
    int32_t ids[N_IDS] = {3};
    REQUIRE(open_all(&o, "llama", NULL, &four));
    CHECK_EQ_INT(el_session_open(o.model, &nine, &s, &err), EL_E_USAGE);
    CHECK(strstr(err.text, "activations of 9 bits, allowed are 2 to 8"));
    CHECK_EQ_INT(el_session_open(o.model, &one, &s, &err), EL_E_USAGE);
    CHECK_EQ_INT(el_session_open(o.model, &none, &s, &err), EL_E_USAGE);
    feed(o.session, 0, N_IDS, logits);
    CHECK_EQ_INT(el_session_save(o.session, 0, ids, 1, hash, test_tmp("rounded"), &err), EL_E_UNSUPPORTED);
    CHECK(strstr(err.text, "rounded activations"));
    CHECK_EQ_INT(el_session_load(o.session, 0, test_tmp("rounded"), hash, ids, 1, &n_loaded, &err), EL_E_UNSUPPORTED);
    close_all(&o);
}
