#include "cmd/bench_rows.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/bench_meter.h"
#include "cmd/text_out.h"
#include "cmd/util.h"
#include "edgellm.h"

/* llama-bench's fields, then ours. */
#define FIELDS                                                                                                                   \
    F(build_commit, TEXT)                                                                                                        \
    F(build_number, INT)                                                                                                         \
    F(cpu_info, TEXT)                                                                                                            \
    F(gpu_info, TEXT)                                                                                                            \
    F(backends, TEXT)                                                                                                            \
    F(model_filename, TEXT)                                                                                                      \
    F(model_type, TEXT)                                                                                                          \
    F(model_size, INT)                                                                                                           \
    F(model_n_params, INT)                                                                                                       \
    F(n_batch, INT)                                                                                                              \
    F(n_ubatch, INT)                                                                                                             \
    F(n_threads, INT)                                                                                                            \
    F(type_k, TEXT)                                                                                                              \
    F(type_v, TEXT)                                                                                                              \
    F(n_prompt, INT)                                                                                                             \
    F(n_gen, INT)                                                                                                                \
    F(n_depth, INT)                                                                                                              \
    F(test_time, TEXT)                                                                                                           \
    F(avg_ns, INT)                                                                                                               \
    F(stddev_ns, INT)                                                                                                            \
    F(avg_ts, REAL)                                                                                                              \
    F(stddev_ts, REAL)                                                                                                           \
    F(cpu_level, TEXT)                                                                                                           \
    F(ttft_ns, INT)                                                                                                              \
    F(itl_ns_p50, INT)                                                                                                           \
    F(itl_ns_p95, INT)                                                                                                           \
    F(itl_ns_p99, INT)                                                                                                           \
    F(bytes_per_token, REAL)                                                                                                     \
    F(ops_per_token, REAL)                                                                                                       \
    F(limit, TEXT)                                                                                                               \
    F(limit_share, REAL)                                                                                                         \
    F(read_bytes_per_s, REAL)                                                                                                    \
    F(int8_ops_per_s, REAL)                                                                                                      \
    F(f32_ops_per_s, REAL)                                                                                                       \
    F(peak_rss_bytes, INT)                                                                                                       \
    F(model_sha256, TEXT)                                                                                                        \
    F(status, TEXT)                                                                                                              \
    F(samples_ns, LIST)                                                                                                          \
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

static int compare_doubles(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double bench_median(const double *x, size_t n)
{
    if (n == 0)
        return 0;
    double *const sorted = xcalloc(n, sizeof *sorted);
    memcpy(sorted, x, n * sizeof *sorted);
    qsort(sorted, n, sizeof *sorted, compare_doubles);
    const double median = n % 2 ? sorted[n / 2] : (sorted[n / 2 - 1] + sorted[n / 2]) / 2;
    free(sorted);
    return median;
}

double bench_median_ns(const struct bench_row *row)
{
    double *const x = samples(row, false);
    const double median = bench_median(x, row->n_samples);
    free(x);
    return median;
}

/* "[1, 2]" in malloc'ed memory. */
static char *samples_text(const struct bench_row *r, bool per_second)
{
    double *const x = samples(r, per_second);
    char *const text = bench_text_list(x, r->n_samples);
    free(x);
    return text;
}

static char *str_text(const char *s)
{
    return xstrdup(s ? s : "");
}

/* Every field as text, malloc'ed. */
static void fill_values(const struct bench_row *r, char *v[N_FIELDS])
{
    double ns, ns_dev, ts, ts_dev;
    statistics(r, false, &ns, &ns_dev);
    statistics(r, true, &ts, &ts_dev);
    v[F_build_commit] = str_text(el_build_commit());
    v[F_build_number] = bench_text_int(0);
    v[F_cpu_info] = str_text(el_cpu_brand());
    v[F_gpu_info] = str_text("");
    v[F_backends] = str_text("CPU");
    v[F_model_filename] = str_text(r->model_filename);
    v[F_model_type] = str_text(r->model_type);
    v[F_model_size] = bench_text_int(r->model_size);
    v[F_model_n_params] = bench_text_int(r->model_n_params);
    v[F_n_batch] = bench_text_int(r->n_batch);
    v[F_n_ubatch] = bench_text_int(r->n_batch);
    v[F_n_threads] = bench_text_int(r->n_threads);
    v[F_type_k] = str_text(r->type_k);
    v[F_type_v] = str_text(r->type_v);
    v[F_n_prompt] = bench_text_int(r->n_prompt);
    v[F_n_gen] = bench_text_int(r->n_gen);
    v[F_n_depth] = bench_text_int(r->n_depth);
    v[F_test_time] = str_text(r->test_time);
    v[F_avg_ns] = bench_text_int((uint64_t)ns);
    v[F_stddev_ns] = bench_text_int((uint64_t)ns_dev);
    v[F_avg_ts] = bench_text_real(ts, true);
    v[F_stddev_ts] = bench_text_real(ts_dev, true);
    v[F_cpu_level] = str_text(el_cpu_level());
    v[F_ttft_ns] = bench_text_int(r->ttft_ns);
    v[F_itl_ns_p50] = bench_text_int(bench_percentile(r->itl_ns, r->n_itl, 0.50));
    v[F_itl_ns_p95] = bench_text_int(bench_percentile(r->itl_ns, r->n_itl, 0.95));
    v[F_itl_ns_p99] = bench_text_int(bench_percentile(r->itl_ns, r->n_itl, 0.99));
    v[F_bytes_per_token] = bench_text_real(r->nbytes_per_token, r->nbytes_per_token > 0);
    v[F_ops_per_token] = bench_text_real(r->ops_per_token, r->ops_per_token > 0);
    v[F_limit] = r->held.limit ? str_text(r->held.limit) : NULL;
    v[F_limit_share] = bench_text_real(r->held.share, r->held.limit);
    v[F_read_bytes_per_s] = bench_text_real(r->held.read, r->held.read > 0);
    v[F_int8_ops_per_s] = bench_text_real(r->held.int8, r->held.int8 > 0);
    v[F_f32_ops_per_s] = bench_text_real(r->held.f32, r->held.f32 > 0);
    v[F_peak_rss_bytes] = bench_text_int(r->peak_rss_nbytes);
    v[F_model_sha256] = r->model_sha256[0] ? str_text(r->model_sha256) : NULL;
    v[F_status] = str_text(r->status);
    v[F_samples_ns] = samples_text(r, false);
    v[F_samples_ts] = samples_text(r, true);
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

static void add_column(struct bench_out *o, const char *heading, int width, bool is_text)
{
    o->columns[o->table.n_columns++] = (struct bench_column){heading, width, is_text};
}

void bench_out_begin(struct bench_out *o, FILE *f, enum bench_format format, struct bench_columns columns)
{
    *o = (struct bench_out){.which = columns};
    o->table = (struct bench_table){
        .f = format == BENCH_NONE ? NULL : f,
        .format = format,
        .name = "edgellm_bench",
        .fields = fields,
        .n_fields = N_FIELDS,
        .columns = o->columns,
    };
    add_column(o, "model", 30, true);
    add_column(o, "size", 10, false);
    add_column(o, "params", 10, false);
    add_column(o, "backend", 10, true);
    add_column(o, "threads", 7, false);
    if (columns.n_batch)
        add_column(o, "n_batch", 7, false);
    if (columns.type_k)
        add_column(o, "type_k", 6, false);
    if (columns.type_v)
        add_column(o, "type_v", 6, false);
    add_column(o, "test", 15, false);
    add_column(o, "t/s", 20, false);
    if (columns.held)
        add_column(o, "of the limit", 18, false);
    bench_table_begin(&o->table);
}

/* "61 % of 38.2 GB/s" */
static void held_text(const struct bench_row *r, char *out, size_t cap)
{
    static const char *const none = "-";
    char rate[32];
    const struct bench_held *const h = &r->held;
    if (!h->limit) {
        (void)snprintf(out, cap, "%s", none);
        return;
    }
    const enum el_meter_limit limit = bench_limit_of_name(h->limit);
    const double of = limit == EL_READ_2M ? h->read : limit == EL_PEAK_INT8 ? h->int8 : h->f32;
    (void)snprintf(out, cap, "%.*f %% of %s", h->share < 0.1 ? 1 : 0, 100 * h->share, bench_rate_text(limit, of, rate));
}

void bench_out_row(struct bench_out *o, const struct bench_row *row)
{
    char size[32], params[32], test[96], speed[64], threads[24], n_batch[24], held[64];
    char *values[N_FIELDS];
    double ts, dev;
    size_t n = 0;
    if (!o->table.f)
        return;
    statistics(row, true, &ts, &dev);
    bench_test_name(row, test);
    held_text(row, held, sizeof held);
    char *const type = text_line(row->model_type, strlen(row->model_type), 0);
    if (strcmp(row->status, "ok") == 0)
        (void)snprintf(speed, sizeof speed, "%.2f ± %.2f", ts, dev);
    else
        (void)snprintf(speed, sizeof speed, "failed");
    (void)snprintf(threads, sizeof threads, "%llu", (unsigned long long)row->n_threads);
    (void)snprintf(n_batch, sizeof n_batch, "%llu", (unsigned long long)row->n_batch);
    const char *shown[BENCH_MAX_COLUMNS] = {type, text_nbytes(row->model_size, size), text_count(row->model_n_params, params),
                                            "CPU", threads};
    n = 5;
    if (o->which.n_batch)
        shown[n++] = n_batch;
    if (o->which.type_k)
        shown[n++] = row->type_k;
    if (o->which.type_v)
        shown[n++] = row->type_v;
    shown[n++] = test;
    shown[n++] = speed;
    if (o->which.held)
        shown[n++] = held;
    fill_values(row, values);
    bench_table_row(&o->table, (const char *const *)values, shown);
    for (size_t i = 0; i < N_FIELDS; i++)
        free(values[i]);
    free(type);
}

void bench_out_failed(struct bench_out *o, const char *model_filename, const char *error)
{
    static const struct bench_field few[] = {{"model_filename", BENCH_TEXT}, {"status", BENCH_TEXT}, {"error", BENCH_TEXT}};
    const char *const values[] = {model_filename, "failed", error};
    if (o->table.format != BENCH_JSON && o->table.format != BENCH_JSONL)
        return;
    o->table.fields = few;
    o->table.n_fields = sizeof few / sizeof *few;
    bench_table_row(&o->table, values, NULL);
    o->table.fields = fields;
    o->table.n_fields = N_FIELDS;
}

void bench_out_end(struct bench_out *o)
{
    bench_table_end(&o->table);
    if (!o->table.f || o->table.format != BENCH_MD)
        return;
    (void)fprintf(o->table.f, "\nbuild: %s (edgellm %s, %s)\n", el_build_commit(), el_version(), el_cpu_level());
}
