/*
 * gptq and adaround against float64 references in numpy (scripts/fixtures/make_ptq.py): codes, scales, output errors. And what
 * they must survive: columns without inputs, a singular Hessian, one token.
 */
#include <math.h>

#include "base/f16.h"
#include "base/threads.h"
#include "quant/method.h"
#include "tensor/grid.h"
#include "test.h"

enum { MAX_ROWS = 8, MAX_IN = 256, MAX_BYTES = 8192 };

struct problem {
    char method[16], enc_name[16], order[8];
    uint64_t n_rows, n_in;
    double n_tokens, loss, nearest; /* of the reference; of the nearest codes */
    float w[MAX_ROWS * MAX_IN];
    double h[MAX_IN * MAX_IN];
    uint16_t scale[MAX_ROWS * MAX_IN];
    uint8_t code[MAX_ROWS * MAX_IN];
    struct el_enc enc;
    uint8_t bytes[MAX_BYTES];
    uint8_t *parts[EL_MAX_PARTS];
    uint64_t row_nbytes[EL_MAX_PARTS];
    struct el_quant_job job;
    double damping, asked; /* that it took, that it was asked for */
    bool shifted;          /* C = H */
    bool plain;            /* no descent behind gptq */
};

static enum el_status hessian(void *user, uint64_t row0, uint64_t n_rows, double *out, struct el_err *err)
{
    const struct problem *const p = user;
    (void)err;
    memcpy(out, p->h + row0 * p->n_in, (size_t)(n_rows * p->n_in) * sizeof *out);
    return EL_OK;
}

/* Runs the method over the problem with this number of threads. */
static enum el_status solve(struct problem *p, unsigned n_threads, struct el_err *err)
{
    const struct el_method_opts opts = {.order = p->order, .damping = p->asked, .no_descent = p->plain};
    const struct el_method *const method = el_method_by_name(p->method);
    struct el_quant_columns columns = {
        .enc = p->enc, .n_in = p->n_in, .n_tokens = p->n_tokens, .hessian = hessian, .user = p, .opts = &opts};
    struct el_part_shape shapes[EL_MAX_PARTS];
    uint32_t n_parts = 0;
    uint64_t at = 0;
    void *shared = NULL;
    float row[MAX_IN];
    columns.cross = p->shifted ? hessian : NULL;
    EL_TRY(el_pool_open(n_threads, &columns.pool, err));
    const enum el_status opened = method->open(&columns, &shared, err);
    p->damping = columns.damping;
    el_pool_close(columns.pool);
    if (opened != EL_OK)
        return opened;
    (void)p->enc.e->parts(&p->enc, p->n_rows, p->n_in, shapes, &n_parts);
    memset(p->bytes, 0, sizeof p->bytes);
    p->job = (struct el_quant_job){
        .x = p->w, .n_rows = p->n_rows, .n_in = p->n_in, .enc = p->enc, .scratch = row, .shared = shared, .opts = &opts};
    for (uint32_t k = 0; k < n_parts; k++) {
        p->job.parts_out[k] = p->parts[k] = p->bytes + at;
        p->row_nbytes[k] = shapes[k].row_nbytes;
        at += shapes[k].nbytes;
    }
    const enum el_status status = method->quantize(&p->job, err);
    method->close(shared);
    return status;
}

static bool load(const char *name, struct problem *p)
{
    char path[64];
    struct el_err err;
    size_t nbytes;
    unsigned long long n_rows, n_in;
    int used = 0;
    (void)snprintf(path, sizeof path, "ptq/%s.txt", name);
    char *const text = test_read(test_data(path), &nbytes);
    if (!text || sscanf(text, "%15s %15s %7s %llu %llu %lf %lf %lf%n", p->method, p->enc_name, p->order, &n_rows, &n_in,
                        &p->n_tokens, &p->loss, &p->nearest, &used) != 8) {
        free(text);
        return false;
    }
    p->n_rows = n_rows;
    p->n_in = n_in;
    char *at = text + used;
    for (uint64_t i = 0; i < n_rows * n_in; i++)
        p->w[i] = strtof(at, &at);
    for (uint64_t i = 0; i < n_in; i++)
        for (uint64_t j = 0; j <= i; j++)
            p->h[i * n_in + j] = p->h[j * n_in + i] = (double)strtof(at, &at);
    const bool ok = el_enc_parse(p->enc_name, &p->enc, &err) == EL_OK;
    for (uint64_t i = 0; ok && i < n_rows * (n_in / p->enc.group); i++)
        p->scale[i] = (uint16_t)strtoul(at, &at, 10);
    for (uint64_t i = 0; i < n_rows * n_in; i++)
        p->code[i] = (uint8_t)strtoul(at, &at, 10);
    free(text);
    return ok;
}

static void values(const struct problem *p, float *out)
{
    struct el_matrix m = {.enc = p->enc, .n_rows = p->n_rows, .n_in = p->n_in};
    for (int k = 0; k < EL_MAX_PARTS; k++) {
        m.data[k] = p->parts[k];
        m.row_nbytes[k] = p->row_nbytes[k];
    }
    el_matrix_decode(&m, 0, p->n_rows, out);
}

/* tr((W - Q) H (W - Q)^T) / n_tokens of what the bytes decode to. */
static double loss_of(const struct problem *p)
{
    float q[MAX_ROWS * MAX_IN];
    double loss = 0.0;
    values(p, q);
    for (uint64_t r = 0; r < p->n_rows; r++)
        for (uint64_t i = 0; i < p->n_in; i++)
            for (uint64_t j = 0; j < p->n_in; j++)
                loss += ((double)p->w[r * p->n_in + i] - (double)q[r * p->n_in + i]) * p->h[i * p->n_in + j] / p->n_tokens *
                        ((double)p->w[r * p->n_in + j] - (double)q[r * p->n_in + j]);
    return loss;
}

TEST(ptq, codes_and_losses_are_those_of_the_reference)
{
    static const char *const names[] = {"gptq_act", "gptq_none", "gptq_group", "adaround"};
    static struct problem p;
    for (size_t k = 0; k < sizeof names / sizeof *names; k++) {
        struct el_err err;
        REQUIRE(load(names[k], &p));
        p.plain = true;
        REQUIRE_OK(solve(&p, 2, &err), err);
        float q[MAX_ROWS * MAX_IN];
        values(&p, q);
        unsigned n_other = 0;
        const uint64_t n_groups = p.n_in / p.enc.group;
        for (uint64_t g = 0; g < p.n_rows * n_groups; g++)
            CHECK_EQ_INT(p.parts[1][2 * g] | p.parts[1][2 * g + 1] << 8, p.scale[g]);
        for (uint64_t r = 0; r < p.n_rows; r++) {
            for (uint64_t i = 0; i < p.n_in; i++) {
                const float scale = el_f16_to_f32(p.scale[r * n_groups + i / p.enc.group]);
                n_other += q[r * p.n_in + i] != scale * (float)((int)p.code[r * p.n_in + i] - (1 << (p.enc.bits - 1)));
            }
        }
        CHECK(n_other <= p.n_rows * p.n_in / 100);
        const double loss = loss_of(&p);
        CHECK_NEAR(loss, p.loss, 0.01 * p.loss);
        CHECK_NEAR(p.job.sum_out2, loss, 1e-6 * loss);
        CHECK(loss < 0.8 * p.nearest);
        CHECK_NEAR(p.damping, 0.01, 1e-12);
    }
}

TEST(ptq, bytes_do_not_depend_on_threads_or_strips)
{
    static struct problem one, many;
    struct el_err err;
    REQUIRE(load("gptq_group", &one) && load("gptq_group", &many));
    REQUIRE_OK(solve(&one, 1, &err), err);
    REQUIRE_OK(solve(&many, 3, &err), err);
    CHECK(memcmp(one.bytes, many.bytes, sizeof one.bytes) == 0);
    /* the last row alone */
    const uint64_t last = one.n_rows - 1, n = one.n_in;
    many.n_rows = 1;
    memcpy(many.w, one.w + last * n, n * sizeof *many.w);
    REQUIRE_OK(solve(&many, 2, &err), err);
    CHECK(memcmp(many.parts[0], one.parts[0] + last * one.row_nbytes[0], one.row_nbytes[0]) == 0);
}

/* C = H says that the unquantized model's inputs are twice as large: so are the weights that make up for it. */
TEST(ptq, asymmetric_calibration_rounds_what_makes_up_for_it)
{
    static struct problem shifted, doubled;
    struct el_err err;
    float a[MAX_ROWS * MAX_IN], b[MAX_ROWS * MAX_IN];
    REQUIRE(load("gptq_group", &shifted) && load("gptq_group", &doubled));
    shifted.shifted = shifted.plain = doubled.plain = true; /* one round: the scales' noise is not doubled */
    shifted.asked = doubled.asked = 1e-9;
    for (uint64_t i = 0; i < doubled.n_rows * doubled.n_in; i++)
        doubled.w[i] *= 2.0f;
    REQUIRE_OK(solve(&shifted, 2, &err), err);
    REQUIRE_OK(solve(&doubled, 2, &err), err);
    values(&shifted, a);
    values(&doubled, b);
    for (uint64_t i = 0; i < doubled.n_rows * doubled.n_in; i++)
        CHECK_NEAR(a[i], b[i], 1e-6);
}

/* n_rows rows of 256 random weights, inputs of `n_tokens` tokens that hang together. */
static void make(const char *method, const char *enc_name, uint64_t n_rows, int n_tokens, uint64_t *seed, struct problem *p)
{
    *p = (struct problem){.n_rows = n_rows, .n_in = 256, .n_tokens = n_tokens, .order = "group"};
    (void)snprintf(p->method, sizeof p->method, "%s", method);
    if (el_enc_parse(enc_name, &p->enc, NULL) != EL_OK)
        abort();
    for (uint64_t i = 0; i < p->n_rows * p->n_in; i++)
        p->w[i] = test_randf(seed) + test_randf(seed);
    for (int t = 0; t < n_tokens; t++) {
        double x[MAX_IN];
        for (uint64_t i = 0; i < p->n_in; i++)
            x[i] = (double)test_randf(seed) + (i > 0 ? 0.7 * x[i - 1] : 0.0);
        for (uint64_t i = 0; i < p->n_in; i++)
            for (uint64_t j = 0; j < p->n_in; j++)
                p->h[i * p->n_in + j] += x[i] * x[j];
    }
}

static const char *const gridded[] = {"Q2_K",   "Q3_K",    "Q4_K",  "Q5_K",  "Q6_K",    "Q4_0",    "Q4_1",
                                      "IQ4_NL", "IQ4_XS",  "MXFP4", "IQ1_S", "IQ1_M",   "IQ2_XXS", "IQ2_XS",
                                      "IQ2_S",  "IQ3_XXS", "IQ3_S", "G3_64", "G4_128Z", "G4_ROW"};

/* What the method says it loses is what the bytes lose, and descent loses less than the codes that it began with. */
TEST(ptq, descent_never_raises_the_loss)
{
    static struct problem p;
    uint64_t seed = 17;
    for (size_t k = 0; k < sizeof gridded / sizeof *gridded; k++) {
        struct el_err err;
        double loss[2];
        uint64_t from = seed;
        for (int descent = 0; descent < 2; descent++) {
            seed = from;
            make("gptq", gridded[k], 3, 600, &seed, &p);
            p.plain = descent == 0;
            REQUIRE_OK(solve(&p, 1, &err), err);
            loss[descent] = loss_of(&p);
            CHECK_NEAR(p.job.sum_out2, loss[descent], 1e-5 * loss[descent]);
        }
        if (!(loss[1] < loss[0]))
            printf("%s: %g, without descent %g\n", gridded[k], loss[1], loss[0]);
        CHECK(loss[1] < loss[0]);
    }
}

TEST(ptq, descent_does_not_depend_on_strips)
{
    static struct problem many, one;
    uint64_t seed = 18;
    for (size_t k = 0; k < sizeof gridded / sizeof *gridded; k++) {
        struct el_err err;
        const uint64_t from = seed;
        make("gptq", gridded[k], 3, 300, &seed, &many);
        seed = from;
        make("gptq", gridded[k], 3, 300, &seed, &one);
        memmove(one.w, one.w + 2 * one.n_in, one.n_in * sizeof *one.w);
        one.n_rows = 1;
        REQUIRE_OK(solve(&many, 2, &err), err);
        REQUIRE_OK(solve(&one, 1, &err), err);
        for (int part = 0; part < EL_MAX_PARTS && many.row_nbytes[part] > 0; part++)
            CHECK(memcmp(one.parts[part], many.parts[part] + 2 * many.row_nbytes[part], many.row_nbytes[part]) == 0);
    }
}

/* Every encoding with a grid, where the inputs say little: all-zero columns, fewer tokens than columns, one, none. */
TEST(ptq, poor_statistics_end_well)
{
    static const char *const methods[] = {"gptq", "adaround"};
    static struct problem p;
    uint64_t seed = 3;
    static const char *const more[] = {"Q5_0", "Q8_0", "Q1_0", "TQ1_0", "G3_128", "G4_ROWZ"};
    enum { N_GRIDDED = sizeof gridded / sizeof *gridded, N_MORE = sizeof more / sizeof *more };
    for (size_t k = 0; k < N_GRIDDED + N_MORE; k++) {
        const char *const name = k < N_GRIDDED ? gridded[k] : more[k - N_GRIDDED];
        for (int m = 0; m < 2; m++) {
            for (int n_tokens = 0; n_tokens <= 40; n_tokens += n_tokens < 1 ? 1 : 39) {
                struct el_err err;
                p = (struct problem){.n_rows = 2, .n_in = 256, .n_tokens = n_tokens > 0 ? n_tokens : 1, .order = "group"};
                (void)snprintf(p.method, sizeof p.method, "%s", methods[m]);
                REQUIRE_OK(el_enc_parse(name, &p.enc, &err), err);
                if (!el_method_by_name(methods[m])->supports(&p.enc))
                    continue;
                for (uint64_t i = 0; i < p.n_rows * p.n_in; i++)
                    p.w[i] = test_randf(&seed);
                for (int t = 0; t < n_tokens; t++) {
                    double x[MAX_IN];
                    for (uint64_t i = 0; i < p.n_in; i++)
                        x[i] = i % 7 == 3 ? 0.0 : (double)test_randf(&seed);
                    for (uint64_t i = 0; i < p.n_in; i++)
                        for (uint64_t j = 0; j < p.n_in; j++)
                            p.h[i * p.n_in + j] += x[i] * x[j];
                }
                CHECK_OK(solve(&p, 1, &err), err);
                CHECK(isfinite(p.job.sum_err2) && isfinite(p.job.sum_out2) && p.damping > 0.0);
                CHECK(p.job.sum_err2 < 1.5 * p.job.sum_w2);
            }
        }
    }
}
