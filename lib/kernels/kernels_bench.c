/* The walk over families, kinds, levels and shapes, and the clock. */
#include "kernels/kernels_bench.h"

#include <ctype.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/cpu.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/threads.h"

enum { PASS_NS = 3000000, N_PASSES = 5, MIB = 1 << 20 };

/* ---- the bed ---- */

static void *cut(uint8_t **at, uint64_t nbytes)
{
    void *const p = *at;
    *at += (nbytes + 63) / 64 * 64;
    return p;
}

/* Values as trained models have them, more or less: around 0, none subnormal. */
static void fill_act(struct el_act *x, float *f32, int8_t *q8, float *scale, int16_t *sum, struct el_act_sums *sums)
{
    uint16_t seed = 1;
    for (uint64_t i = 0; i < x->n * x->n_in; i++) {
        seed = seed * 1664525u + 1013904223u;
        f32[i] = (float)((int)(seed >> 16 & 0xff) - 127) / 64.0f;
    }
    struct el_kernels ref;
    el_kernels_init(&ref, EL_CPU_REF);
    ref.quantize_act(f32, x->n_in, x->n, x->n_in, q8, scale, sum);
    el_act_sums(scale, sum, x->n * x->n_in / EL_ACT_BLOCK, sums);
    x->f32 = f32;
    x->f32_stride = x->n_in;
    x->q8 = q8;
    x->scale = scale;
    x->sum = sum;
    x->sums = sums;
}

static void bed_close(struct el_bench_bed *bed)
{
    el_free_aligned(bed->arena);
    el_free_aligned(bed->owned);
    el_free(bed->y);
    el_free(bed->scratch);
}

static enum el_status bed_open(struct el_bench_bed *bed, unsigned n_threads, uint64_t nbytes, struct el_err *err)
{
    const uint64_t n = EL_BENCH_MAX_ROWS, n_in = EL_BENCH_N_IN, y_nbytes = EL_BENCH_Y_NELEMS * sizeof(float);
    const uint64_t scratch = el_matmul_scratch_nbytes(n_in) + 64;
    *bed = (struct el_bench_bed){.n_threads = n_threads, .x = {.n = n, .n_in = n_in, .n_pad = n_in}};
    /* From the cache, every thread has a piece of its own. */
    const uint64_t least = (uint64_t)n_threads * MIB;
    bed->arena_nbytes = (nbytes ? nbytes : 128 * (uint64_t)MIB) > least ? (nbytes ? nbytes : 128 * (uint64_t)MIB) : least;
    bed->arena = el_alloc_aligned((size_t)bed->arena_nbytes);
    bed->owned = el_alloc_aligned((size_t)(n * n_in * 8 + n_threads * (y_nbytes + scratch)));
    bed->y = el_calloc_array(n_threads, sizeof *bed->y);
    bed->scratch = el_calloc_array(n_threads, sizeof *bed->scratch);
    if (!bed->arena || !bed->owned || !bed->y || !bed->scratch) {
        bed_close(bed);
        return el_fail(err, EL_E_MEMORY, "out of memory for timing kernels");
    }
    uint8_t *at = bed->owned;
    float *const f32 = cut(&at, n * n_in * 4);
    int8_t *const q8 = cut(&at, n * n_in);
    float *const scale = cut(&at, n * n_in / 32 * 4);
    int16_t *const sum = cut(&at, n * n_in / 16 * sizeof *sum);
    struct el_act_sums *const sums = cut(&at, n * n_in / EL_ACT_BLOCK * sizeof *sums);
    for (unsigned t = 0; t < n_threads; t++) {
        bed->y[t] = cut(&at, y_nbytes);
        bed->scratch[t] = cut(&at, el_matmul_scratch_nbytes(n_in));
        for (uint64_t i = 0; i < EL_BENCH_Y_NELEMS; i++)
            bed->y[t][i] = (float)(i % 13) / 8.0f - 0.75f;
    }
    fill_act(&bed->x, f32, q8, scale, sum, sums);
    return EL_OK;
}

/* ---- the clock ---- */

struct timing {
    const struct el_bench_family *family;
    const struct el_kernels *kernels;
    struct el_bench_bed *bed;
    const struct el_bench_shape *shape;
    uint64_t cursor; /* first piece of this pass */
};

static void run_calls(void *arg, uint64_t begin, uint64_t end, unsigned thread)
{
    const struct timing *const t = arg;
    for (uint64_t i = begin; i < end; i++) {
        const uint64_t piece = t->shape->from_memory ? (t->cursor + i) % t->bed->n_pieces : thread;
        t->family->run(t->kernels, t->bed, t->shape, piece, thread);
    }
}

/* Nanoseconds of n calls. What one pass read from memory the next one does not find in the cache: the cursor goes on. */
static double pass_ns(struct timing *t, struct el_pool *pool, uint64_t n)
{
    const uint64_t start = el_now_ns();
    el_pool_run(pool, n, 1, run_calls, t);
    const uint64_t ns = el_now_ns() - start;
    t->cursor = (t->cursor + n) % t->bed->n_pieces;
    return ns ? (double)ns : 1.0;
}

static int compare_doubles(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The median of some passes: nanoseconds of a call, while all threads do the same. */
static double call_ns(struct timing *t, struct el_pool *pool)
{
    const uint64_t n_threads = el_pool_n(pool);
    double ns[N_PASSES];
    uint64_t n = n_threads;
    double once = pass_ns(t, pool, n);
    while (once < PASS_NS) {
        n = once < PASS_NS / 16 ? n * 8 : n * 2;
        once = pass_ns(t, pool, n);
    }
    for (int i = 0; i < N_PASSES; i++)
        ns[i] = pass_ns(t, pool, n) * (double)n_threads / (double)n;
    qsort(ns, N_PASSES, sizeof *ns, compare_doubles);
    return ns[N_PASSES / 2];
}

/* ---- the walk ---- */

struct walk {
    const struct el_kernels_time_opts *opts;
    el_kernel_time_fn *fn;
    void *user;
    struct el_bench_bed bed;
    struct el_pool *pool;
    struct el_kernels levels[EL_CPU_LEVELS];
    size_t n_found;
};

static bool contains(const char *text, const char *part)
{
    const size_t n = strlen(part);
    for (; *text || n == 0; text++) {
        size_t i = 0;
        while (i < n && text[i] && tolower((unsigned char)text[i]) == tolower((unsigned char)part[i]))
            i++;
        if (i == n)
            return true;
    }
    return false;
}

static bool is_wanted(const struct el_kernels_time_opts *o, const char *kernel, const char *type)
{
    char name[96];
    (void)snprintf(name, sizeof name, "%s:%s", kernel, type);
    for (size_t i = 0; i < o->n_only; i++)
        if (contains(name, o->only[i]))
            return true;
    return o->n_only == 0;
}

/* Is the level within the one in use, and allowed? */
static bool is_within_use(int level)
{
    const unsigned features = el_cpu_features((enum el_cpu_level)level);
    return el_cpu_allows((enum el_cpu_level)level) && (features & ~el_cpu_features(el_cpu())) == 0;
}

/* Does a level before this one have the same function? */
static bool is_old(const struct walk *w, const struct el_bench_family *family, int level)
{
    for (int i = 0; i < level; i++)
        if (is_within_use(i) && family->same(&w->bed, &w->levels[i], &w->levels[level]))
            return true;
    return false;
}

/* All shapes at all levels that bring a function of their own. */
static enum el_status time_kind(struct walk *w, const struct el_bench_family *family, const char *type, struct el_err *err)
{
    for (const struct el_bench_shape *shape = family->shapes; shape->name; shape++) {
        struct timing t = {.family = family, .bed = &w->bed, .shape = shape};
        double ref_ns = 0;
        for (int level = 0; level < EL_CPU_LEVELS; level++) {
            if (!is_within_use(level) || is_old(w, family, level))
                continue;
            if (el_interrupted())
                return el_fail(err, EL_E_INTERRUPTED, "interrupted");
            t.kernels = &w->levels[level];
            const double ns = call_ns(&t, w->pool), scale = 1e9 / ns * (double)w->bed.n_threads;
            struct el_kernel_time time = {.kernel = family->name,
                                          .type = type,
                                          .level = el_cpu_name((enum el_cpu_level)level),
                                          .shape = shape->name,
                                          .n_rows = shape->n,
                                          .from_memory = shape->from_memory,
                                          .ns = ns};
            family->work(t.kernels, &w->bed, shape, &time.nbytes, &time.ops, &time.kind);
            time.nbytes *= scale;
            time.ops *= scale;
            ref_ns = level == 0 ? ns : ref_ns;
            time.ratio = ref_ns / ns;
            w->n_found++;
            w->fn(w->user, &time);
        }
    }
    return EL_OK;
}

static enum el_status walk_all(struct walk *w, struct el_err *err)
{
    char type[32];
    for (size_t f = 0; el_bench_family_at(f); f++) {
        const struct el_bench_family *const family = el_bench_family_at(f);
        for (size_t i = 0; family->kind(i, type); i++) {
            if (!is_wanted(w->opts, family->name, type))
                continue;
            family->prepare(&w->bed, i);
            EL_TRY(time_kind(w, family, type, err));
        }
    }
    if (w->n_found == 0)
        return el_fail(err, EL_E_USAGE, "no kernel and type, as matmul:Q4_K, contains '%s'", w->opts->only[0]);
    return EL_OK;
}

enum el_status el_kernels_time(const struct el_kernels_time_opts *opts, el_kernel_time_fn *fn, void *user, struct el_err *err)
{
    struct walk w = {.opts = opts, .fn = fn, .user = user};
    EL_TRY(el_pool_open(opts->n_threads, &w.pool, err));
    enum el_status status = bed_open(&w.bed, el_pool_n(w.pool), opts->nbytes, err);
    if (status == EL_OK) {
        for (int level = 0; level < EL_CPU_LEVELS; level++)
            if (is_within_use(level))
                el_kernels_init(&w.levels[level], (enum el_cpu_level)level);
        status = walk_all(&w, err);
        bed_close(&w.bed);
    }
    el_pool_close(w.pool);
    return status;
}
