#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "cmd/bench_compare.h"
#include "cmd/bench_kernels.h"
#include "cmd/bench_limit.h"
#include "cmd/bench_lists.h"
#include "cmd/bench_meter.h"
#include "cmd/bench_rows.h"
#include "cmd/command.h"
#include "cmd/model_io.h"
#include "cmd/util.h"

struct bench_args {
    struct opt_list models, prompts, gens, pairs, depths, batches, threads, kv_k, kv_v, compare_args, only;
    uint64_t repetitions, delay;
    unsigned output, output_err;
    const char *cpu, *cache, *compare;
    bool json, no_warmup, progress, sha256, no_limit, machine, kernels;
};

static const struct bench_args bench_defaults = {.output = BENCH_MD - 1};
enum { REPETITIONS = 5 };

#define FORMATS     "csv|json|jsonl|md|sql"
#define FIELD(name) offsetof(struct bench_args, name)
static const struct opt bench_opts[] = {
    {OPT_LIST, "m", "model", "FILE", "model file or folder; may be repeated", FIELD(models), 0, 0, NULL},
    {OPT_LIST, "p", "n-prompt", "LIST", "lengths of prompts (512); 0: no such test", FIELD(prompts), 0, 0, NULL},
    {OPT_LIST, "n", "n-gen", "LIST", "numbers of tokens to write (128); 0: no such test", FIELD(gens), 0, 0, NULL},
    {OPT_LIST, "pg", NULL, "PP,TG", "a prompt of PP tokens and then TG tokens, timed together; may be repeated", FIELD(pairs), 0,
     0, NULL},
    {OPT_LIST, "d", "n-depth", "LIST", "tokens that stand in the context already (0)", FIELD(depths), 0, 0, NULL},
    {OPT_LIST, "b", "batch-size", "LIST", "tokens of a prompt processed at once (512)", FIELD(batches), 0, 0, NULL},
    {OPT_LIST, "t", "threads", "LIST", "threads (0, or -1 alone: all cores)", FIELD(threads), 0, 0, NULL},
    {OPT_LIST, "ctk", "kv-type-k|cache-type-k", "LIST", "types of the cached keys (f16): f16, f32, q8_0", FIELD(kv_k), 0, 0,
     NULL},
    {OPT_LIST, "ctv", "kv-type-v|cache-type-v", "LIST", "types of the cached values (f16): f16, f32, q8_0", FIELD(kv_v), 0, 0,
     NULL},
    {OPT_UINT, "r", "repetitions", "N", "times each test is run (5)", FIELD(repetitions), 1, 100000, NULL},
    {OPT_UINT, NULL, "delay", "SECONDS", "wait between tests (0)", FIELD(delay), 0, 86400, NULL},
    {OPT_FLAG, NULL, "no-warmup", NULL, "do not run every test once before timing it", FIELD(no_warmup), 0, 0, NULL},
    {OPT_CHOICE, "o", "output", "FORMAT", "format on standard output (md)", FIELD(output), 0, 0, FORMATS},
    {OPT_CHOICE, "oe", "output-err", "FORMAT", "format on standard error too (none)", FIELD(output_err), 0, 0, "none|" FORMATS},
    {OPT_FLAG, NULL, "json", NULL, "the same as --output json", FIELD(json), 0, 0, NULL},
    {OPT_FLAG, NULL, "sha256", NULL, "add the SHA-256 of the model file", FIELD(sha256), 0, 0, NULL},
    {OPT_FLAG, NULL, "no-limit", NULL, "do not measure the machine: no share of the limit", FIELD(no_limit), 0, 0, NULL},
    {OPT_STR, NULL, "compare", "PATH", "run this llama-bench on the same tests, in turn with ours", FIELD(compare), 0, 0, NULL},
    {OPT_LIST, NULL, "compare-args", "STRING", "further options for it; may be repeated: each is a variant, the best counts",
     FIELD(compare_args), 0, 0, NULL},
    {OPT_FLAG, NULL, "machine", NULL, "only measure the machine, without a model", FIELD(machine), 0, 0, NULL},
    {OPT_FLAG, NULL, "kernels", NULL, "only time every variant of every kernel, without a model", FIELD(kernels), 0, 0, NULL},
    {OPT_LIST, NULL, "only", "TEXT", "of the kernels those whose kernel:type contains it; may be repeated", FIELD(only), 0, 0,
     NULL},
    {OPT_FLAG, NULL, "progress", NULL, "say on standard error which test runs", FIELD(progress), 0, 0, NULL},
    OPT_CPU(struct bench_args),
    OPT_CACHE(struct bench_args),
    OPT_END,
};
#undef FIELD

/* What bench does, and which options say something to it; those that are not listed go with all. */
enum mode { ALONE = 1, BESIDE = 2, MACHINE = 4, KERNELS = 8 };
static const struct {
    const char *option;
    unsigned modes;
} option_modes[] = {
    {"model", ALONE | BESIDE},
    {"n-prompt", ALONE | BESIDE},
    {"n-gen", ALONE | BESIDE},
    {"pg", ALONE | BESIDE},
    {"n-depth", ALONE | BESIDE},
    {"batch-size", ALONE | BESIDE},
    {"kv-type-k", ALONE | BESIDE},
    {"kv-type-v", ALONE | BESIDE},
    {"repetitions", ALONE | BESIDE},
    {"delay", ALONE | BESIDE},
    {"progress", ALONE | BESIDE},
    {"no-warmup", ALONE},
    {"output-err", ALONE},
    {"sha256", ALONE},
    {"no-limit", ALONE},
    {"cache", ALONE},
    {"compare-args", BESIDE},
    {"only", KERNELS},
};

enum { PASSES = 3 }; /* of each limit, every time that it is measured */

struct test {
    uint64_t n_prompt, n_gen;
};

struct bench {
    const struct bench_args *a;
    struct bench_list depths, batches, threads, kv_k, kv_v;
    struct test *tests;
    size_t n_tests;
    uint64_t repetitions;
    struct bench_out out[2];
    struct bench_meter meter;
    struct bench_compare compare;
    size_t n_ok, n_failed;
    struct el_err first_err;
};

/* Synthetic tokens: what they are does not change the time, and every run has the same. */
static int32_t token_at(uint64_t i, uint32_t n_vocab)
{
    uint64_t z = (i + 1) * 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (int32_t)((z ^ (z >> 31)) % n_vocab);
}

/* n tokens from position pos on, in batches, the last one with logits. */
static enum el_status run_prompt(struct el_session *s, uint32_t n_vocab, uint64_t pos, uint64_t n, struct el_row *rows,
                                 struct el_err *err)
{
    const uint64_t n_batch = el_session_n_batch(s);
    for (uint64_t at = 0; at < n; at += n_batch) {
        const uint64_t k = n - at < n_batch ? n - at : n_batch;
        for (uint64_t i = 0; i < k; i++)
            rows[i] = (struct el_row){
                .token = token_at(pos + at + i, n_vocab), .pos = (uint32_t)(pos + at + i), .want_logits = at + i + 1 == n};
        CMD_TRY(el_session_decode(s, rows, k, err));
    }
    return EL_OK;
}

/* One repetition: prompt, then token by token. itl, when not NULL, takes the n_gen times. */
static enum el_status run_once(struct el_session *s, uint32_t n_vocab, const struct bench_row *r, struct el_row *rows,
                               uint64_t *ttft_ns, uint64_t *itl, struct el_err *err)
{
    const uint64_t start = now_ns();
    uint64_t last = start;
    CMD_TRY(run_prompt(s, n_vocab, r->n_depth, r->n_prompt, rows, err));
    if (r->n_prompt) {
        last = now_ns();
        *ttft_ns += last - start;
    }
    for (uint64_t i = 0; i < r->n_gen; i++) {
        CMD_TRY(run_prompt(s, n_vocab, r->n_depth + r->n_prompt + i, 1, rows, err));
        const uint64_t now = now_ns();
        if (i == 0 && !r->n_prompt)
            *ttft_ns += now - start;
        if (itl)
            itl[i] = now - last;
        last = now;
    }
    return EL_OK;
}

static int compare_u64(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* What the machine did around the repetitions, and what of it they used. */
static void hold(const struct bench_meter *m, const struct bench_work *w, struct bench_row *r)
{
    enum el_meter_limit binds;
    const double seconds = bench_work_seconds(w, m, &binds), ns = bench_median_ns(r);
    if (!m->meter || ns <= 0)
        return;
    r->held = (struct bench_held){
        .limit = bench_limit_name(binds),
        .share = seconds * 1e9 / ns,
        .read = bench_meter_rate(m, EL_READ_2M),
        .int8 = bench_meter_rate(m, EL_PEAK_INT8),
        .f32 = bench_meter_rate(m, EL_PEAK_F32),
    };
}

static enum el_status run_repetitions(struct bench *b, struct model_io *io, struct bench_row *r, struct el_err *err)
{
    const double kv_nbytes = (double)el_session_kv_nbytes(io->session) / (double)el_session_n_ctx(io->session);
    const struct bench_work work = bench_work_of(io->model, r, kv_nbytes);
    const unsigned limits = bench_work_limits(&work), n_threads = (unsigned)r->n_threads;
    struct el_row *const rows = xcalloc(el_session_n_batch(io->session), sizeof *rows);
    const uint32_t n_vocab = io->info.n_vocab, depth = (uint32_t)r->n_depth;
    uint64_t ttft_ns = 0, ignored = 0;
    enum el_status status = EL_OK;
    r->nbytes_per_token = bench_work_nbytes(&work);
    r->ops_per_token = bench_work_ops(&work);
    CMD_TRY_OUT(run_prompt(io->session, n_vocab, 0, depth, rows, err));
    if (!b->a->no_warmup) {
        struct bench_row warm = *r;
        warm.n_gen = warm.n_gen ? 1 : 0;
        CMD_TRY_OUT(run_once(io->session, n_vocab, &warm, rows, &ignored, NULL, err));
    }
    bench_meter_begin(&b->meter);
    CMD_TRY_OUT(bench_meter_take(&b->meter, limits, n_threads, PASSES, false, err));
    for (uint64_t rep = 0; rep < b->repetitions; rep++) {
        el_session_rewind(io->session, 0, depth);
        const uint64_t start = now_ns();
        CMD_TRY_OUT(run_once(io->session, n_vocab, r, rows, &ttft_ns, r->itl_ns + r->n_itl, err));
        r->samples_ns[r->n_samples++] = now_ns() - start;
        r->n_itl += r->n_gen;
        const bool is_last = rep + 1 == b->repetitions;
        CMD_TRY_OUT(bench_meter_take(&b->meter, limits, n_threads, PASSES, !is_last, err));
    }
    hold(&b->meter, &work, r);
    r->ttft_ns = ttft_ns / b->repetitions;
out:
    qsort(r->itl_ns, r->n_itl, sizeof *r->itl_ns, compare_u64);
    free(rows);
    return status;
}

static void time_text(char out[32])
{
    const time_t now = time(NULL);
    struct tm tm;
    (void)strftime(out, 32, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &tm));
}

/* Without the buffer that measures the memory, which is there all the time. */
static uint64_t peak_rss_nbytes(const struct bench_meter *m)
{
    struct rusage u;
    const uint64_t all = getrusage(RUSAGE_SELF, &u) == 0 ? (uint64_t)u.ru_maxrss * 1024u : 0, meter = bench_meter_nbytes(m);
    return all > meter ? all - meter : all;
}

/* One test with everything it needs; the row says how it went. Only what stops the whole series is returned. */
static enum el_status run_test(struct bench *b, struct model_io *io, struct bench_row *r)
{
    struct el_err err = {.code = EL_OK};
    const uint64_t n_ctx = r->n_depth + r->n_prompt + r->n_gen;
    const struct el_session_opts opts = {
        .n_ctx = (uint32_t)n_ctx,
        .n_batch = (uint32_t)(r->n_batch < n_ctx ? r->n_batch : n_ctx),
        .kv_type_k = r->type_k,
        .kv_type_v = r->type_v,
        .n_threads = (unsigned)r->n_threads,
    };
    r->samples_ns = xcalloc(b->repetitions, sizeof *r->samples_ns);
    r->itl_ns = xcalloc(b->repetitions * r->n_gen, sizeof *r->itl_ns);
    time_text(r->test_time);
    enum el_status status = model_io_session(io, &opts, &err);
    if (status == EL_OK) {
        r->n_threads = el_session_n_threads(io->session);
        status = run_repetitions(b, io, r, &err);
    }
    el_session_close(io->session);
    io->session = NULL;
    r->peak_rss_nbytes = peak_rss_nbytes(&b->meter);
    (void)snprintf(r->status, sizeof r->status, "%s", status == EL_OK ? "ok" : err.text);
    if (status == EL_OK)
        b->n_ok++;
    else if (b->n_failed++ == 0)
        b->first_err = err;
    if (status != EL_E_INTERRUPTED)
        for (size_t i = 0; i < 2; i++)
            bench_out_row(&b->out[i], r);
    free(r->samples_ns);
    free(r->itl_ns);
    if (ferror(stdout))
        return EL_E_IO; /* nobody can read the other rows */
    return status == EL_E_INTERRUPTED ? status : EL_OK;
}

/* The other program's turn as well: processes do the work, here nothing is opened. */
static enum el_status run_compared(struct bench *b, const struct bench_row *r)
{
    struct el_err err = {.code = EL_OK};
    const enum el_status status = bench_compare_test(&b->compare, r, &err);
    const bool ends = status == EL_E_INTERRUPTED || status == EL_E_IO;
    if (status == EL_OK)
        b->n_ok++;
    else if (b->n_failed++ == 0 || ends)
        b->first_err = err;
    return ferror(stdout) ? EL_E_IO : ends ? status : EL_OK;
}

/* Every combination of the lists, for one model, which is open unless it is compared. */
static enum el_status run_tests(struct bench *b, struct model_io *io, const struct bench_row *base, bool *first)
{
    const struct bench_list *const lists[] = {&b->batches, &b->threads, &b->kv_k, &b->kv_v, &b->depths};
    enum el_status status = EL_OK;
    size_t n_all = b->n_tests;
    for (size_t l = 0; l < 5; l++)
        n_all *= lists[l]->n;
    for (size_t i = 0; i < n_all && status == EL_OK; i++) {
        uint64_t pick[5];
        size_t rest = i / b->n_tests;
        for (size_t l = 5; l-- > 0; rest /= lists[l]->n)
            pick[l] = lists[l]->v[rest % lists[l]->n];
        struct bench_row row = *base;
        row.n_batch = pick[0];
        row.n_threads = pick[1];
        row.type_k = opts_kv_type((unsigned)pick[2]);
        row.type_v = opts_kv_type((unsigned)pick[3]);
        row.n_depth = pick[4];
        row.n_prompt = b->tests[i % b->n_tests].n_prompt;
        row.n_gen = b->tests[i % b->n_tests].n_gen;
        if (!*first && b->a->delay)
            (void)sleep((unsigned)b->a->delay);
        *first = false;
        if (b->a->progress) {
            char name[96];
            bench_test_name(&row, name);
            (void)fprintf(stderr, "edgellm bench: test %zu of %zu: %s\n", i + 1, n_all, name);
        }
        status = b->a->compare ? run_compared(b, &row) : run_test(b, io, &row);
    }
    return status;
}

/* The model is opened once for all tests: by the threads of the test that has the most; 0, all cores, is more than any number. */
static unsigned most_threads(const struct bench *b)
{
    uint64_t most = 1;
    for (size_t i = 0; i < b->threads.n; i++) {
        if (b->threads.v[i] == 0)
            return 0;
        most = b->threads.v[i] > most ? b->threads.v[i] : most;
    }
    return (unsigned)most;
}

static enum el_status run_model(struct bench *b, const char *path, bool *first)
{
    struct model_io io = {0};
    struct el_err err = {.code = EL_OK};
    struct bench_row base = {.model_filename = path};
    if (b->a->compare)
        return run_tests(b, &io, &base, first);
    enum el_status status = model_io_source(&io, path, NULL, NULL, &err);
    if (status == EL_OK)
        status = model_io_model(&io, b->a->cache, most_threads(b), &err);
    if (status == EL_OK && b->a->sha256)
        status = el_sha256_path(io.path, base.model_sha256, &err);
    if (status != EL_OK) {
        if (b->n_failed++ == 0)
            b->first_err = err;
        for (size_t i = 0; i < 2 && status != EL_E_INTERRUPTED; i++)
            bench_out_failed(&b->out[i], path, err.text);
        if (b->a->models.n > 1) /* else it is the error at the end */
            (void)fprintf(stderr, "edgellm bench: %s\n", err.text);
        model_io_close(&io);
        return status == EL_E_INTERRUPTED ? status : EL_OK;
    }
    base.model_size = io.info.nbytes;
    base.model_n_params = io.info.n_params;
    model_io_type(&io, base.model_type, sizeof base.model_type);
    status = run_tests(b, &io, &base, first);
    model_io_close(&io);
    return status;
}

static void add_test(struct bench *b, uint64_t n_prompt, uint64_t n_gen)
{
    if (n_prompt + n_gen == 0)
        return;
    b->tests = xrealloc(b->tests, b->n_tests + 1, sizeof *b->tests);
    b->tests[b->n_tests++] = (struct test){n_prompt, n_gen};
}

static enum el_status read_tests(struct bench *b, struct el_err *err)
{
    struct bench_list prompts = {0}, gens = {0};
    enum el_status status = bench_list_read(&prompts, "--n-prompt", &b->a->prompts, 512, 1 << 24, err);
    if (status == EL_OK)
        status = bench_list_read(&gens, "--n-gen", &b->a->gens, 128, 1 << 24, err);
    for (size_t i = 0; status == EL_OK && i < prompts.n; i++)
        add_test(b, prompts.v[i], 0);
    for (size_t i = 0; status == EL_OK && i < gens.n; i++)
        add_test(b, 0, gens.v[i]);
    for (size_t i = 0; status == EL_OK && i < b->a->pairs.n; i++) {
        const struct opt_list one = {&b->a->pairs.v[i], 1};
        struct bench_list pair = {0};
        status = bench_list_read(&pair, "-pg", &one, 0, 1 << 24, err);
        if (status == EL_OK && pair.n != 2)
            status = cmd_fail(err, EL_E_USAGE, "option '-pg': '%s' is not two numbers", one.v[0]);
        if (status == EL_OK)
            add_test(b, pair.v[0], pair.v[1]);
        bench_list_free(&pair);
    }
    bench_list_free(&prompts);
    bench_list_free(&gens);
    if (status == EL_OK && b->n_tests == 0)
        status = cmd_fail(err, EL_E_USAGE, "no tests: --n-prompt and --n-gen are 0 and there is no -pg");
    return status;
}

static enum el_status read_lists(struct bench *b, struct el_err *err)
{
    const struct bench_args *const a = b->a;
    CMD_TRY(read_tests(b, err));
    CMD_TRY(bench_list_read(&b->depths, "--n-depth", &a->depths, 0, 1 << 24, err));
    CMD_TRY(bench_list_read(&b->batches, "--batch-size", &a->batches, 512, 65536, err));
    CMD_TRY(bench_list_read(&b->threads, "--threads", &a->threads, 0, 1024, err));
    CMD_TRY(bench_list_choices(&b->kv_k, "--kv-type-k", &a->kv_k, OPT_KV_CHOICES, err));
    CMD_TRY(bench_list_choices(&b->kv_v, "--kv-type-v", &a->kv_v, OPT_KV_CHOICES, err));
    for (size_t i = 0; i < b->batches.n; i++)
        if (b->batches.v[i] == 0)
            return cmd_fail(err, EL_E_USAGE, "option '--batch-size': 0, at least 1");
    return EL_OK;
}

/* All failed: the first failure. Some failed: EL_E_PARTIAL. */
static enum el_status verdict(const struct bench *b, struct el_err *err)
{
    if (b->n_failed == 0)
        return EL_OK;
    if (b->n_ok == 0)
        return cmd_fail(err, b->first_err.code, "%s", b->first_err.text);
    return cmd_fail(err, EL_E_PARTIAL, "%zu of %zu tests or models failed, the first with: %s", b->n_failed,
                    b->n_failed + b->n_ok, b->first_err.text);
}

static bool only(const struct bench_list *list, uint64_t value)
{
    return list->n == 1 && list->v[0] == value;
}

static enum bench_format format_of(const struct bench_args *a)
{
    return a->json ? BENCH_JSON : (enum bench_format)(a->output + 1);
}

/* All models with what the series needs around it; verdict() has the last word where nothing stopped it. */
static enum el_status run_models(struct bench *b, struct el_err *err)
{
    enum el_status status = EL_OK;
    bool first = true;
    for (size_t i = 0; i < b->a->models.n && status == EL_OK; i++)
        status = run_model(b, b->a->models.v[i], &first);
    if (status == EL_E_IO && !ferror(stdout))
        return cmd_fail(err, status, "%s", b->first_err.text);
    return status == EL_OK ? EL_OK
                           : cmd_fail(err, status, "%s", status == EL_E_IO ? "standard output: write error" : b->first_err.text);
}

static enum el_status run_alone(struct bench *b, struct el_err *err)
{
    const struct bench_columns columns = {
        .n_batch = !only(&b->batches, 512), .type_k = !only(&b->kv_k, 0), .type_v = !only(&b->kv_v, 0), .held = !b->a->no_limit};
    if (!b->a->no_limit)
        CMD_TRY(bench_meter_open(&b->meter, err));
    bench_out_begin(&b->out[0], stdout, format_of(b->a), columns);
    bench_out_begin(&b->out[1], stderr, (enum bench_format)b->a->output_err, columns);
    const enum el_status status = run_models(b, err);
    for (size_t i = 0; i < 2; i++)
        bench_out_end(&b->out[i]);
    return status == EL_OK ? verdict(b, err) : status;
}

static enum el_status run_beside(struct bench *b, struct el_err *err)
{
    const struct bench_args *const a = b->a;
    b->compare =
        (struct bench_compare){.peer = a->compare, .variants = &a->compare_args, .n_rounds = b->repetitions, .cpu = a->cpu};
    bench_compare_begin(&b->compare, stdout, format_of(a));
    const enum el_status status = run_models(b, err);
    bench_compare_end(&b->compare);
    return status == EL_OK ? verdict(b, err) : status;
}

static enum el_status check_modes(const struct bench_args *a, enum mode mode, struct el_err *err)
{
    static const char *const own[] = {[BESIDE] = "--compare", [MACHINE] = "--machine", [KERNELS] = "--kernels"};
    if ((a->compare != NULL) + a->machine + a->kernels > 1)
        return cmd_fail(err, EL_E_USAGE, "options '--compare', '--machine' and '--kernels' do not go together");
    for (size_t i = 0; i < sizeof option_modes / sizeof option_modes[0]; i++) {
        const char *const name = option_modes[i].option;
        const unsigned modes = option_modes[i].modes;
        const char *const dashes = strlen(name) > 2 ? "--" : "-";
        if ((modes & mode) || !opts_differ(&cmd_bench, a, name))
            continue;
        if (modes == BESIDE || modes == KERNELS)
            return cmd_fail(err, EL_E_USAGE, "option '%s%s' without %s", dashes, name, own[modes]);
        return cmd_fail(err, EL_E_USAGE, "option '%s%s' says nothing to %s", dashes, name, own[mode]);
    }
    if ((mode & (ALONE | BESIDE)) && a->models.n == 0)
        return cmd_fail(err, EL_E_USAGE, "no model given: option '--model' is missing");
    if (a->cache && a->models.n > 1)
        return cmd_fail(err, EL_E_USAGE, "option '--cache': a cache is of one model, %zu are given", a->models.n);
    return EL_OK;
}

static enum el_status run(const void *args, struct words words, struct el_err *err)
{
    struct bench b = {.a = args};
    const enum mode mode = b.a->compare ? BESIDE : b.a->machine ? MACHINE : b.a->kernels ? KERNELS : ALONE;
    (void)words;
    b.repetitions = b.a->repetitions ? b.a->repetitions : REPETITIONS;
    enum el_status status = check_modes(b.a, mode, err);
    if (status == EL_OK)
        status = model_io_cpu(b.a->cpu, err);
    if (status == EL_OK)
        status = read_lists(&b, err);
    if (status == EL_OK && mode == MACHINE)
        status = bench_machine(stdout, format_of(b.a), b.threads.v, b.threads.n, err);
    else if (status == EL_OK && mode == KERNELS)
        status = bench_kernels(stdout, format_of(b.a), b.threads.v, b.threads.n, &b.a->only, err);
    else if (status == EL_OK)
        status = mode == BESIDE ? run_beside(&b, err) : run_alone(&b, err);
    bench_meter_close(&b.meter);
    bench_list_free(&b.depths);
    bench_list_free(&b.batches);
    bench_list_free(&b.threads);
    bench_list_free(&b.kv_k);
    bench_list_free(&b.kv_v);
    free(b.tests);
    return status;
}

const struct command cmd_bench = {
    .name = "bench",
    .about = "Time prompt processing (pp) and text generation (tg)",
    .details = "Every combination of the lists is run. A list is 1,2,4 or a range: 1-8, 1-8+2, 1-16*2. Tokenizing and "
               "sampling are not timed.",
    .usage = "[options] -m FILE",
    .opts = bench_opts,
    .args_nbytes = sizeof(struct bench_args),
    .defaults = &bench_defaults,
    .min_words = 0,
    .max_words = 0,
    .run = run,
};
