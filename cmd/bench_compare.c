#include "cmd/bench_compare.h"

#include <stdlib.h>
#include <string.h>

#include "cmd/bench_meter.h"
#include "cmd/bench_peer.h"
#include "cmd/bench_rows.h"
#include "cmd/text_out.h"
#include "cmd/util.h"

/* ---- command lines ---- */

struct argv {
    const char **v; /* ended by NULL */
    char **owned;
    size_t n, n_owned;
};

static void arg(struct argv *a, const char *s)
{
    a->v = xrealloc(a->v, a->n + 2, sizeof *a->v);
    a->v[a->n++] = s;
    a->v[a->n] = NULL;
}

static void arg_owned(struct argv *a, char *s)
{
    a->owned = xrealloc(a->owned, a->n_owned + 1, sizeof *a->owned);
    a->owned[a->n_owned++] = s;
    arg(a, s);
}

static void arg_uint(struct argv *a, const char *option, uint64_t v)
{
    arg(a, option);
    arg_owned(a, xasprintf("%llu", (unsigned long long)v));
}

static void arg_pair(struct argv *a, const char *option, uint64_t v, uint64_t w)
{
    arg(a, option);
    arg_owned(a, xasprintf("%llu,%llu", (unsigned long long)v, (unsigned long long)w));
}

/* Words between blanks. */
static void arg_words(struct argv *a, const char *text)
{
    static const char blanks[] = " \t\n";
    for (const char *p = text + strspn(text, blanks); *p; p += strspn(p, blanks)) {
        const size_t n = strcspn(p, blanks);
        arg_owned(a, xasprintf("%.*s", (int)n, p));
        p += n;
    }
}

static void argv_free(struct argv *a)
{
    for (size_t i = 0; i < a->n_owned; i++)
        free(a->owned[i]);
    free(a->owned);
    free(a->v);
    *a = (struct argv){.v = NULL};
}

static void arg_test(struct argv *a, const struct bench_row *r)
{
    const bool both = r->n_prompt && r->n_gen;
    arg_uint(a, "-p", both ? 0 : r->n_prompt);
    arg_uint(a, "-n", both ? 0 : r->n_gen);
    if (both)
        arg_pair(a, "-pg", r->n_prompt, r->n_gen);
}

static void ours(struct argv *a, const struct bench_compare *c, const struct bench_row *r)
{
    arg(a, "/proc/self/exe");
    arg(a, "bench");
    arg(a, "-m");
    arg(a, r->model_filename);
    arg_test(a, r);
    arg_uint(a, "-d", r->n_depth);
    arg_uint(a, "-b", r->n_batch);
    arg_uint(a, "-t", r->n_threads);
    arg(a, "-ctk");
    arg(a, r->type_k);
    arg(a, "-ctv");
    arg(a, r->type_v);
    arg_words(a, "-r 1 -o jsonl -q");
    if (c->cpu) {
        arg(a, "--cpu");
        arg(a, c->cpu);
    }
}

/* What is the default of both is not said: not every llama-bench knows every option. */
static void theirs(struct argv *a, const struct bench_compare *c, const struct bench_row *r, uint64_t n_threads,
                   const char *words)
{
    arg(a, c->peer);
    arg(a, "-m");
    arg(a, r->model_filename);
    if (r->n_depth && c->depth == BENCH_GP) {
        arg_words(a, "-p 0 -n 0");
        arg_pair(a, "-gp", r->n_depth, r->n_gen);
    } else {
        arg_test(a, r);
        if (r->n_depth)
            arg_uint(a, "-d", r->n_depth);
    }
    if (r->n_batch != 512) {
        arg_uint(a, "-b", r->n_batch);
        arg_uint(a, "-ub", r->n_batch);
    }
    if (strcmp(r->type_k, "f16") != 0) {
        arg(a, "-ctk");
        arg(a, r->type_k);
    }
    if (strcmp(r->type_v, "f16") != 0) {
        arg(a, "-ctv");
        arg(a, r->type_v);
    }
    arg_uint(a, "-t", n_threads);
    arg_words(a, "-r 1 -o json");
    arg_words(a, words);
}

/* llama.cpp's llama-bench has -d; ik_llama.cpp's has -gp, for generation behind a prompt alone. Its help tells. */
static enum el_status ask_depth(struct bench_compare *c, const struct bench_row *r, struct el_err *err)
{
    const char *const argv[] = {c->peer, "--help", NULL};
    struct bench_peer_out out;
    if (r->n_depth == 0)
        return EL_OK;
    if (c->depth == BENCH_DEPTH_UNKNOWN) {
        CMD_TRY(bench_peer_run(argv, &out, err));
        c->depth = out.text && strstr(out.text, "--n-depth") ? BENCH_DEPTH
                   : out.text && strstr(out.text, "-gp")     ? BENCH_GP
                                                             : BENCH_NO_DEPTH;
        free(out.text);
    }
    if (c->depth == BENCH_NO_DEPTH || (c->depth == BENCH_GP && r->n_prompt))
        return cmd_fail(err, EL_E_FAILED, "'%s': has no option for this test behind %llu tokens of context", c->peer,
                        (unsigned long long)r->n_depth);
    return EL_OK;
}

/* ---- results ---- */

struct contender {
    const char *name, *args;                /* args NULL: us */
    double *ts, *share, *read, *int8, *f32; /* [n] one per round */
    size_t n;
    struct bench_peer_row last;
    struct el_err err; /* code EL_OK: it went well so far */
};

static enum el_status run_one(struct contender *k, const struct argv *a)
{
    struct bench_peer_out out;
    CMD_TRY(bench_peer_run(a->v, &out, &k->err));
    const enum el_status status = bench_peer_read(a->v[0], &out, &k->last, &k->err);
    free(out.text);
    CMD_TRY(status);
    k->ts[k->n] = k->last.ts;
    k->share[k->n] = k->last.limit_share;
    k->read[k->n] = k->last.read;
    k->int8[k->n] = k->last.int8;
    k->f32[k->n] = k->last.f32;
    k->n++;
    return EL_OK;
}

static const char *base_name(const char *path)
{
    const char *const slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* A, B, C, A, B, C, ...; who failed once sits out, and without us there is nothing to compare. */
static enum el_status run_rounds(struct bench_compare *c, const struct bench_row *r, struct contender *k, size_t n_k)
{
    for (uint64_t round = 0; round < c->n_rounds; round++) {
        for (size_t i = 0; i < n_k; i++) {
            struct argv a = {.v = NULL};
            enum el_status status = EL_OK;
            if (k[i].err.code != EL_OK || k[0].err.code != EL_OK)
                continue;
            if (i == 0)
                ours(&a, c, r);
            else if ((status = ask_depth(c, r, &k[i].err)) == EL_OK)
                theirs(&a, c, r, k[0].last.n_threads, k[i].args);
            if (status == EL_OK)
                status = run_one(&k[i], &a);
            argv_free(&a);
            if (status == EL_E_INTERRUPTED || status == EL_E_IO) {
                k[0].err = k[i].err;
                return status;
            }
        }
    }
    return EL_OK;
}

/* ---- the table ---- */

#define FIELDS                                                                                                                   \
    F(cpu_info, TEXT)                                                                                                            \
    F(cpu_level, TEXT)                                                                                                           \
    F(model_filename, TEXT)                                                                                                      \
    F(model_type, TEXT)                                                                                                          \
    F(model_size, INT)                                                                                                           \
    F(model_n_params, INT)                                                                                                       \
    F(n_batch, INT)                                                                                                              \
    F(n_threads, INT)                                                                                                            \
    F(type_k, TEXT)                                                                                                              \
    F(type_v, TEXT)                                                                                                              \
    F(n_prompt, INT)                                                                                                             \
    F(n_gen, INT)                                                                                                                \
    F(n_depth, INT)                                                                                                              \
    F(test, TEXT)                                                                                                                \
    F(program, TEXT)                                                                                                             \
    F(args, TEXT)                                                                                                                \
    F(build_commit, TEXT)                                                                                                        \
    F(rounds, INT)                                                                                                               \
    F(median_ts, REAL)                                                                                                           \
    F(ratio, REAL)                                                                                                               \
    F(best, INT)                                                                                                                 \
    F(limit, TEXT)                                                                                                               \
    F(limit_share, REAL)                                                                                                         \
    F(read_bytes_per_s, REAL)                                                                                                    \
    F(int8_ops_per_s, REAL)                                                                                                      \
    F(f32_ops_per_s, REAL)                                                                                                       \
    F(status, TEXT)                                                                                                              \
    F(samples_ts, LIST)

enum field {
#define F(name, type) F_##name,
    FIELDS
#undef F
        N_FIELDS
};
static const struct bench_field fields[] = {
#define F(name, type) {#name, BENCH_##type},
    FIELDS
#undef F
};
static const struct bench_column columns[] = {
    {"model", 30, true}, {"threads", 7, false},       {"test", 15, false},       {"program", 30, true},
    {"t/s", 10, false},  {"of the limit", 18, false}, {"edgellm is", 10, false},
};

void bench_compare_begin(struct bench_compare *c, FILE *f, enum bench_format format)
{
    c->depth = BENCH_DEPTH_UNKNOWN;
    c->table = (struct bench_table){
        .f = f,
        .format = format,
        .name = "edgellm_compare",
        .fields = fields,
        .n_fields = N_FIELDS,
        .columns = columns,
        .n_columns = sizeof columns / sizeof *columns,
    };
    bench_table_begin(&c->table);
}

void bench_compare_end(struct bench_compare *c)
{
    bench_table_end(&c->table);
}

/* One row; k[0] is us, best the index of the fastest other one (0: none). */
static void print_row(struct bench_compare *c, const struct bench_row *r, const struct contender *k, size_t i, size_t best)
{
    char test[96], rate[32], shown_ts[32], shown_share[64], shown_ratio[32];
    char *v[N_FIELDS] = {NULL};
    const struct contender *const us = &k[0], *const it = &k[i];
    const bool failed = it->err.code != EL_OK || it->n == 0;
    const double ts = bench_median(it->ts, it->n), our_ts = bench_median(us->ts, us->n),
                 our_share = bench_median(us->share, us->n);
    const double ratio = i && ts > 0 ? our_ts / ts : 0, share = our_ts > 0 ? our_share * ts / our_ts : 0;
    const enum el_meter_limit limit = bench_limit_of_name(us->last.limit);
    const double read = bench_median(us->read, us->n), int8 = bench_median(us->int8, us->n), f32 = bench_median(us->f32, us->n);
    bench_test_name(r, test);
    v[F_cpu_info] = xstrdup(el_cpu_brand());
    v[F_cpu_level] = xstrdup(el_cpu_level());
    v[F_model_filename] = xstrdup(r->model_filename);
    v[F_model_type] = xstrdup(us->last.model_type);
    v[F_model_size] = bench_text_int(us->last.model_size);
    v[F_model_n_params] = bench_text_int(us->last.model_n_params);
    v[F_n_batch] = bench_text_int(r->n_batch);
    v[F_n_threads] = bench_text_int(us->last.n_threads);
    v[F_type_k] = xstrdup(r->type_k);
    v[F_type_v] = xstrdup(r->type_v);
    v[F_n_prompt] = bench_text_int(r->n_prompt);
    v[F_n_gen] = bench_text_int(r->n_gen);
    v[F_n_depth] = bench_text_int(r->n_depth);
    v[F_test] = xstrdup(test);
    v[F_program] = xstrdup(it->name);
    v[F_args] = xstrdup(it->args ? it->args : "");
    v[F_build_commit] = xstrdup(it->last.build);
    v[F_rounds] = bench_text_int(it->n);
    v[F_median_ts] = failed ? NULL : bench_text_real(ts, ts > 0);
    v[F_ratio] = failed ? NULL : bench_text_real(ratio, ratio > 0);
    v[F_best] = i ? bench_text_int(i == best) : NULL;
    v[F_limit] = us->last.limit[0] ? xstrdup(us->last.limit) : NULL;
    v[F_limit_share] = failed ? NULL : bench_text_real(share, share > 0);
    v[F_read_bytes_per_s] = bench_text_real(read, read > 0);
    v[F_int8_ops_per_s] = bench_text_real(int8, int8 > 0);
    v[F_f32_ops_per_s] = bench_text_real(f32, f32 > 0);
    v[F_status] = xstrdup(failed ? it->err.text : "ok");
    v[F_samples_ts] = bench_text_list(it->ts, it->n);
    char *const type = text_line(us->last.model_type, strlen(us->last.model_type), 0);
    char *const program = xasprintf("%s%s%s%s", it->name, it->args && *it->args ? " " : "", it->args ? it->args : "",
                                    i && i == best && c->variants->n > 1 ? " (best)" : "");
    (void)snprintf(shown_ts, sizeof shown_ts, failed ? "failed" : "%.2f", ts);
    (void)snprintf(shown_ratio, sizeof shown_ratio, ratio > 0 && !failed ? "%.2f x" : "-", ratio);
    if (failed || share <= 0)
        (void)snprintf(shown_share, sizeof shown_share, "-");
    else
        (void)snprintf(shown_share, sizeof shown_share, "%.0f %% of %s", 100 * share,
                       bench_rate_text(limit,
                                       limit == EL_READ_2M     ? read
                                       : limit == EL_PEAK_INT8 ? int8
                                                               : f32,
                                       rate));
    const char *const shown[] = {type, v[F_n_threads], test, program, shown_ts, shown_share, shown_ratio};
    bench_table_row(&c->table, (const char *const *)v, shown);
    for (size_t f = 0; f < N_FIELDS; f++)
        free(v[f]);
    free(program);
    free(type);
}

enum el_status bench_compare_test(struct bench_compare *c, const struct bench_row *row, struct el_err *err)
{
    const size_t n_variants = c->variants->n ? c->variants->n : 1, n_k = 1 + n_variants;
    struct contender *const k = xcalloc(n_k, sizeof *k);
    double *const all = xcalloc(n_k * 5 * c->n_rounds, sizeof *all);
    size_t best = 0;
    for (size_t i = 0; i < n_k; i++) {
        double *const at = all + i * 5 * c->n_rounds;
        k[i] = (struct contender){.name = i ? base_name(c->peer) : "edgellm",
                                  .args = i == 0           ? NULL
                                          : c->variants->n ? c->variants->v[i - 1]
                                                           : "",
                                  .ts = at,
                                  .share = at + c->n_rounds,
                                  .read = at + 2 * c->n_rounds,
                                  .int8 = at + 3 * c->n_rounds,
                                  .f32 = at + 4 * c->n_rounds};
    }
    enum el_status status = run_rounds(c, row, k, n_k);
    if (status == EL_OK) {
        for (size_t i = 1; i < n_k; i++)
            if (k[i].err.code == EL_OK && k[i].n &&
                (!best || bench_median(k[i].ts, k[i].n) > bench_median(k[best].ts, k[best].n)))
                best = i;
        for (size_t i = 0; i < n_k; i++)
            print_row(c, row, k, i, best);
    }
    for (size_t i = 0; i < n_k && status == EL_OK; i++)
        if (k[i].err.code != EL_OK) {
            status = k[i].err.code;
            *err = k[i].err;
        }
    if (status == EL_E_IO || status == EL_E_INTERRUPTED)
        *err = k[0].err;
    free(all);
    free(k);
    return status;
}
