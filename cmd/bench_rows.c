#include "cmd/bench_rows.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/json_out.h"
#include "cmd/text_out.h"
#include "cmd/util.h"
#include "edgellm.h"

enum field_type { STR, INT, REAL };

static const struct {
    const char *name;
    enum field_type type;
} fields[] = {
    {"build_commit", STR},   {"build_number", INT}, {"cpu_info", STR},       {"gpu_info", STR},       {"backends", STR},
    {"model_filename", STR}, {"model_type", STR},   {"model_size", INT},     {"model_n_params", INT}, {"n_batch", INT},
    {"n_ubatch", INT},       {"n_threads", INT},    {"type_k", STR},         {"type_v", STR},         {"n_prompt", INT},
    {"n_gen", INT},          {"n_depth", INT},      {"test_time", STR},      {"avg_ns", INT},         {"stddev_ns", INT},
    {"avg_ts", REAL},        {"stddev_ts", REAL},   {"cpu_level", STR},      {"ttft_ns", INT},        {"itl_ns_p50", INT},
    {"itl_ns_p95", INT},     {"itl_ns_p99", INT},   {"peak_rss_bytes", INT}, {"model_sha256", STR},   {"status", STR},
};
enum { N_FIELDS = sizeof fields / sizeof *fields, VALUE_CAP = 4400 };

double bench_mean(const double *x, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += x[i];
    return n ? sum / (double)n : 0.0;
}

double bench_stddev(const double *x, size_t n)
{
    if (n < 2)
        return 0.0;
    const double mean = bench_mean(x, n);
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += (x[i] - mean) * (x[i] - mean);
    return sqrt(sum / (double)(n - 1));
}

uint64_t bench_percentile(const uint64_t *x, size_t n, double fraction)
{
    if (n == 0)
        return 0;
    const size_t rank = (size_t)ceil(fraction * (double)n);
    return x[rank > 0 ? rank - 1 : 0];
}

void bench_build_info(const char *key, char *out, size_t cap)
{
    char quoted[64];
    (void)snprintf(quoted, sizeof quoted, "\"%s\": \"", key);
    const char *const at = strstr(el_build_info_json(), quoted);
    const char *const value = at ? at + strlen(quoted) : "";
    (void)snprintf(out, cap, "%.*s", (int)strcspn(value, "\""), value);
}

/* Samples as tokens per second and as nanoseconds; malloc'ed [n_samples]. */
static double *samples(const struct bench_row *r, bool per_second)
{
    double *const x = xcalloc(r->n_samples, sizeof *x);
    const double tokens = (double)(r->n_prompt + r->n_gen);
    for (size_t i = 0; i < r->n_samples; i++) {
        const double ns = (double)(r->samples_ns[i] ? r->samples_ns[i] : 1);
        x[i] = per_second ? tokens * 1e9 / ns : ns;
    }
    return x;
}

static void statistics(const struct bench_row *r, bool per_second, double *mean, double *stddev)
{
    double *const x = samples(r, per_second);
    *mean = bench_mean(x, r->n_samples);
    *stddev = bench_stddev(x, r->n_samples);
    free(x);
}

/* Value of field i as text; numbers in decimal. */
static void value_of(const struct bench_row *r, size_t i, char out[VALUE_CAP])
{
    double ns, ns_dev, ts, ts_dev;
    char commit[64], cpu[128];
    statistics(r, false, &ns, &ns_dev);
    statistics(r, true, &ts, &ts_dev);
    bench_build_info("commit", commit, sizeof commit);
    bench_build_info("model", cpu, sizeof cpu);
    const char *const text[N_FIELDS] = {
        [0] = commit,           [2] = cpu,        [3] = "",         [4] = "CPU",         [5] = r->model_filename,
        [6] = r->model_type,    [12] = r->type_k, [13] = r->type_v, [17] = r->test_time, [22] = el_cpu_level(),
        [28] = r->model_sha256, [29] = r->status,
    };
    const uint64_t number[N_FIELDS] = {
        [7] = r->model_size,
        [8] = r->model_n_params,
        [9] = r->n_batch,
        [10] = r->n_batch,
        [11] = r->n_threads,
        [14] = r->n_prompt,
        [15] = r->n_gen,
        [16] = r->n_depth,
        [18] = (uint64_t)ns,
        [19] = (uint64_t)ns_dev,
        [23] = r->ttft_ns,
        [24] = bench_percentile(r->itl_ns, r->n_itl, 0.50),
        [25] = bench_percentile(r->itl_ns, r->n_itl, 0.95),
        [26] = bench_percentile(r->itl_ns, r->n_itl, 0.99),
        [27] = r->peak_rss_nbytes,
    };
    if (fields[i].type == STR)
        (void)snprintf(out, VALUE_CAP, "%s", text[i] ? text[i] : "");
    else if (fields[i].type == INT)
        (void)snprintf(out, VALUE_CAP, "%llu", (unsigned long long)number[i]);
    else
        (void)snprintf(out, VALUE_CAP, "%.6f", i == 20 ? ts : ts_dev);
}

void bench_test_name(const struct bench_row *r, char out[96])
{
    int n = 0;
    if (r->n_prompt && r->n_gen)
        n = snprintf(out, 96, "pp%llu+tg%llu", (unsigned long long)r->n_prompt, (unsigned long long)r->n_gen);
    else
        n = snprintf(out, 96, "%s%llu", r->n_gen ? "tg" : "pp", (unsigned long long)(r->n_prompt + r->n_gen));
    if (r->n_depth)
        (void)snprintf(out + n, 96 - (size_t)n, " @ d%llu", (unsigned long long)r->n_depth);
}

/* Text between quotes, with quotes and nothing else doubled: CSV's and SQL's rule. */
static void quoted(FILE *f, const char *s, char quote)
{
    (void)fputc(quote, f);
    for (; *s; s++) {
        if (*s == quote)
            (void)fputc(quote, f);
        (void)fputc(*s, f);
    }
    (void)fputc(quote, f);
}

static void row_json(struct bench_out *o, const struct bench_row *r)
{
    struct json_out j;
    char value[VALUE_CAP];
    json_init(&j, o->f, o->format == BENCH_JSONL);
    if (o->format == BENCH_JSON && o->any)
        (void)fputs(",\n", o->f);
    json_object(&j);
    for (size_t i = 0; i < N_FIELDS; i++) {
        value_of(r, i, value);
        json_key(&j, fields[i].name);
        if (fields[i].type != STR)
            json_raw(&j, value);
        else if (value[0] == '\0' && strcmp(fields[i].name, "model_sha256") == 0)
            json_str(&j, NULL);
        else
            json_str(&j, value);
    }
    double *const ts = samples(r, true);
    json_key(&j, "samples_ns");
    json_array(&j, true);
    for (size_t i = 0; i < r->n_samples; i++)
        json_uint(&j, r->samples_ns[i]);
    json_end_array(&j);
    json_key(&j, "samples_ts");
    json_array(&j, true);
    for (size_t i = 0; i < r->n_samples; i++)
        json_num(&j, ts[i]);
    json_end_array(&j);
    free(ts);
    json_end_object(&j);
    if (o->format == BENCH_JSONL)
        (void)fputc('\n', o->f);
}

static void row_csv(const struct bench_out *o, const struct bench_row *r)
{
    char value[VALUE_CAP];
    for (size_t i = 0; i < N_FIELDS; i++) {
        value_of(r, i, value);
        if (i)
            (void)fputc(',', o->f);
        quoted(o->f, value, '"');
    }
    (void)fputc('\n', o->f);
}

static void row_sql(const struct bench_out *o, const struct bench_row *r)
{
    char value[VALUE_CAP];
    (void)fprintf(o->f, "INSERT INTO llama_bench (");
    for (size_t i = 0; i < N_FIELDS; i++)
        (void)fprintf(o->f, "%s%s", i ? ", " : "", fields[i].name);
    (void)fprintf(o->f, ") VALUES (");
    for (size_t i = 0; i < N_FIELDS; i++) {
        value_of(r, i, value);
        (void)fputs(i ? ", " : "", o->f);
        quoted(o->f, value, '\'');
    }
    (void)fprintf(o->f, ");\n");
}

static void row_md(const struct bench_out *o, const struct bench_row *r)
{
    char size[32], params[32], test[96], speed[64];
    double ts, dev;
    statistics(r, true, &ts, &dev);
    bench_test_name(r, test);
    char *const type = text_line(r->model_type, strlen(r->model_type), 0);
    if (strcmp(r->status, "ok") == 0)
        (void)snprintf(speed, sizeof speed, "%.2f ± %.2f", ts, dev);
    else
        (void)snprintf(speed, sizeof speed, "failed");
    (void)fprintf(o->f, "| %-30s | %10s | %10s | %-10s | %7llu |", type, text_nbytes(r->model_size, size),
                  text_count(r->model_n_params, params), "CPU", (unsigned long long)r->n_threads);
    if (o->columns.n_batch)
        (void)fprintf(o->f, " %7llu |", (unsigned long long)r->n_batch);
    if (o->columns.type_k)
        (void)fprintf(o->f, " %6s |", r->type_k);
    if (o->columns.type_v)
        (void)fprintf(o->f, " %6s |", r->type_v);
    /* ± is two bytes and one column wide. */
    (void)fprintf(o->f, " %15s | %*s |\n", test, 20 + (int)(strlen(speed) - text_width(speed)), speed);
    free(type);
}

static void begin_md(const struct bench_out *o)
{
    const struct bench_columns c = o->columns;
    (void)fprintf(o->f, "| %-30s | %10s | %10s | %-10s | %7s |%s%s%s %15s | %20s |\n", "model", "size", "params", "backend",
                  "threads", c.n_batch ? " n_batch |" : "", c.type_k ? " type_k |" : "", c.type_v ? " type_v |" : "", "test",
                  "t/s");
    (void)fprintf(o->f,
                  "| ------------------------------ | ---------: | ---------: | ---------- | ------: |%s%s%s --------------: | "
                  "-------------------: |\n",
                  c.n_batch ? " ------: |" : "", c.type_k ? " -----: |" : "", c.type_v ? " -----: |" : "");
}

void bench_out_begin(struct bench_out *o, FILE *f, enum bench_format format, struct bench_columns columns)
{
    *o = (struct bench_out){.f = format == BENCH_NONE ? NULL : f, .format = format, .columns = columns};
    if (!o->f)
        return;
    if (format == BENCH_JSON) {
        (void)fputs("[\n", f);
    } else if (format == BENCH_CSV) {
        for (size_t i = 0; i < N_FIELDS; i++)
            (void)fprintf(f, "%s%s", i ? "," : "", fields[i].name);
        (void)fputc('\n', f);
    } else if (format == BENCH_SQL) {
        static const char *const types[] = {"TEXT", "INTEGER", "REAL"};
        (void)fputs("CREATE TABLE IF NOT EXISTS llama_bench (\n", f);
        for (size_t i = 0; i < N_FIELDS; i++)
            (void)fprintf(f, "  %s %s%s\n", fields[i].name, types[fields[i].type], i + 1 < N_FIELDS ? "," : "");
        (void)fputs(");\n\n", f);
    } else if (format == BENCH_MD) {
        begin_md(o);
    }
    (void)fflush(f);
}

void bench_out_row(struct bench_out *o, const struct bench_row *row)
{
    if (!o->f)
        return;
    if (o->format == BENCH_JSON || o->format == BENCH_JSONL)
        row_json(o, row);
    else if (o->format == BENCH_CSV)
        row_csv(o, row);
    else if (o->format == BENCH_SQL)
        row_sql(o, row);
    else
        row_md(o, row);
    o->any = true;
    (void)fflush(o->f);
}

void bench_out_failed(struct bench_out *o, const char *model_filename, const char *error)
{
    struct json_out j;
    if (!o->f || (o->format != BENCH_JSON && o->format != BENCH_JSONL))
        return;
    json_init(&j, o->f, o->format == BENCH_JSONL);
    if (o->format == BENCH_JSON && o->any)
        (void)fputs(",\n", o->f);
    json_object(&j);
    json_kstr(&j, "model_filename", model_filename);
    json_kstr(&j, "status", "failed");
    json_kstr(&j, "error", error);
    json_end_object(&j);
    if (o->format == BENCH_JSONL)
        (void)fputc('\n', o->f);
    o->any = true;
    (void)fflush(o->f);
}

void bench_out_end(struct bench_out *o)
{
    char commit[64];
    if (!o->f)
        return;
    if (o->format == BENCH_JSON)
        (void)fputs(o->any ? "\n]\n" : "]\n", o->f);
    bench_build_info("commit", commit, sizeof commit);
    if (o->format == BENCH_MD)
        (void)fprintf(o->f, "\nbuild: %s (edgellm %s, %s)\n", commit, el_version(), el_cpu_level());
}
