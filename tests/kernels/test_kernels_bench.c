/* The walk of el_kernels_time: which kernels, kinds and levels it comes to, and that its numbers belong together. */
#include "kernels/trap.h"

#include "base/mem.h"
#include "edgellm.h"
#include "kernels/kernels_bench.h"

enum { ARENA_NBYTES = 3 << 20, MAX_TIMES = 64 };

struct times {
    struct el_kernel_time v[MAX_TIMES];
    char type[MAX_TIMES][32], shape[MAX_TIMES][32];
    size_t n;
};

static void keep(void *user, const struct el_kernel_time *time)
{
    struct times *const t = user;
    REQUIRE(t->n < MAX_TIMES);
    t->v[t->n] = *time;
    (void)snprintf(t->type[t->n], sizeof t->type[0], "%s", time->type);
    (void)snprintf(t->shape[t->n], sizeof t->shape[0], "%s", time->shape);
    t->n++;
}

static enum el_status time_only(const char *only, unsigned n_threads, struct times *t, struct el_err *err)
{
    const struct el_kernels_time_opts opts = {.n_threads = n_threads, .nbytes = ARENA_NBYTES, .only = &only, .n_only = 1};
    t->n = 0;
    return el_kernels_time(&opts, keep, t, err);
}

TEST(kernels_bench, numbers_belong_together)
{
    static struct times t;
    struct el_err err;
    for (unsigned n_threads = 1; n_threads <= 2; n_threads++) {
        REQUIRE_OK(time_only("matmul:q4_k", n_threads, &t, &err), err);
        CHECK(t.n >= 5 && t.n % 5 == 0);
        for (size_t i = 0; i < t.n; i++) {
            const struct el_kernel_time *const v = &t.v[i];
            CHECK_EQ_STR(t.type[i], "Q4_K");
            CHECK(v->ns > 0 && v->kind == EL_PEAK_INT8);
            /* 4.5 bits and 2 operations per weight and row. */
            CHECK_NEAR(v->ops / v->nbytes, 2.0 * v->n_rows / (4.5 / 8), 1e-9 * v->ops / v->nbytes);
            const size_t ref = i / (t.n / 5) * (t.n / 5);
            CHECK_EQ_STR(t.v[ref].level, "ref");
            CHECK_EQ_STR(t.shape[i], t.shape[ref]);
            CHECK_NEAR(v->ratio, t.v[ref].ns / v->ns, 1e-9 * v->ratio);
        }
    }
}

/* A level stands there when its function is another than that of the levels before it. */
TEST(kernels_bench, levels_are_those_that_bring_something)
{
    static struct times t;
    struct el_err err;
    struct el_kernels before, k;
    REQUIRE_OK(time_only("axpy:", 1, &t, &err), err);
    size_t n = 0;
    const unsigned in_use = el_cpu_features(el_cpu());
    for (int level = 0; level < EL_CPU_LEVELS; level++) {
        bool old = false;
        if (!el_cpu_allows((enum el_cpu_level)level) || (el_cpu_features((enum el_cpu_level)level) & ~in_use))
            continue;
        el_kernels_init(&k, (enum el_cpu_level)level);
        for (int i = 0; i < level; i++) {
            if (!el_cpu_allows((enum el_cpu_level)i))
                continue;
            el_kernels_init(&before, (enum el_cpu_level)i);
            old = old || k.axpy == before.axpy;
        }
        if (old)
            continue;
        REQUIRE(n < t.n);
        CHECK_EQ_STR(t.v[n].level, el_cpu_name((enum el_cpu_level)level));
        n++;
    }
    CHECK_EQ_INT(n, t.n);
}

TEST(kernels_bench, comes_to_every_encoding)
{
    char kind[32];
    size_t n_matmul = 0;
    const struct el_bench_family *const matmul = el_bench_family_at(0);
    CHECK_EQ_STR(matmul->name, "matmul");
    for (size_t e = 0; e < EL_ENC_COUNT; e++) {
        const struct el_encoding *const encoding = el_encoding_at(e);
        bool found = false;
        n_matmul = 0;
        while (matmul->kind(n_matmul, kind)) {
            struct el_enc enc;
            struct el_err err;
            REQUIRE_OK(el_enc_parse(kind, &enc, &err), err);
            found = found || enc.e == encoding;
            n_matmul++;
        }
        CHECK(found);
    }
    CHECK(n_matmul > EL_ENC_COUNT);
    for (size_t f = 0; el_bench_family_at(f); f++)
        CHECK(el_bench_family_at(f)->kind(0, kind) && !el_bench_family_at(f)->kind(1000, kind) &&
              el_bench_family_at(f)->shapes->name);
}

TEST(kernels_bench, errors)
{
    static struct times t;
    struct el_err err;
    CHECK_EQ_INT(time_only("matmul:q99", 1, &t, &err), EL_E_USAGE);
    CHECK(strstr(err.text, "'matmul:q99'") != NULL);
    el_interrupt();
    CHECK_EQ_INT(time_only("axpy", 1, &t, &err), EL_E_INTERRUPTED);
    el_interrupt_clear();
    for (uint64_t n = 1; n <= 20; n++) {
        el_mem_fail_after(n);
        const enum el_status status = time_only("axpy", 1, &t, &err);
        CHECK(status == EL_OK || status == EL_E_MEMORY);
        if (n == 1)
            CHECK_EQ_INT(status, EL_E_MEMORY);
    }
    el_mem_fail_after(0);
}
