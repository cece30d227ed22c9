#include "cmd/bench_kernels.h"

#include <stdlib.h>
#include <string.h>

#include "cmd/bench_meter.h"
#include "cmd/util.h"

enum { PASSES = 2 };

struct printer {
    struct bench_table table;
    struct bench_meter meter;
    unsigned n_threads;
    char kernel[32], type[32];
    enum el_status status; /* of measuring */
    struct el_err err;
};

static const struct bench_field fields[] = {
    {"cpu_level", BENCH_TEXT},      {"n_threads", BENCH_INT},
    {"kernel", BENCH_TEXT},         {"type", BENCH_TEXT},
    {"shape", BENCH_TEXT},          {"n_rows", BENCH_INT},
    {"from_memory", BENCH_INT},     {"ns", BENCH_REAL},
    {"bytes_per_s", BENCH_REAL},    {"ops_per_s", BENCH_REAL},
    {"ratio", BENCH_REAL},          {"limit", BENCH_TEXT},
    {"limit_share", BENCH_REAL},    {"read_bytes_per_s", BENCH_REAL},
    {"int8_ops_per_s", BENCH_REAL}, {"f32_ops_per_s", BENCH_REAL},
};
static const struct bench_column columns[] = {
    {"kernel", 12, true}, {"type", 8, true},   {"rows", 13, true},          {"level", 10, true},
    {"GB/s", 8, false},   {"Gop/s", 8, false}, {"of the limit", 18, false}, {"of ref", 9, false},
};

/* The memory drifts, so that its speed is measured again for every type. */
static void measure(struct printer *p, const struct el_kernel_time *t)
{
    const unsigned limits = 1u << EL_READ_2M | 1u << EL_PEAK_INT8 | 1u << EL_PEAK_F32;
    if (p->kernel[0] && strcmp(p->kernel, t->kernel) == 0 && strcmp(p->type, t->type) == 0)
        return;
    (void)snprintf(p->kernel, sizeof p->kernel, "%s", t->kernel);
    (void)snprintf(p->type, sizeof p->type, "%s", t->type);
    bench_meter_begin(&p->meter);
    p->status = bench_meter_take(&p->meter, limits, p->n_threads, PASSES, false, &p->err);
}

static void print(void *user, const struct el_kernel_time *t)
{
    struct printer *const p = user;
    char rate[32], gb[32], gop[32], share_text[64], ratio[32], threads[24], rows[24];
    if (p->status != EL_OK)
        return;
    measure(p, t);
    if (p->status != EL_OK)
        return;
    const double read = bench_meter_rate(&p->meter, EL_READ_2M), peak = bench_meter_rate(&p->meter, t->kind);
    const double of_read = t->from_memory && read > 0 ? t->nbytes / read : 0, of_peak = peak > 0 ? t->ops / peak : 0;
    const enum el_meter_limit limit = of_read > of_peak ? EL_READ_2M : t->kind;
    const double share = of_read > of_peak ? of_read : of_peak;
    (void)snprintf(threads, sizeof threads, "%u", el_meter_n_threads(p->meter.meter));
    (void)snprintf(rows, sizeof rows, "%u", (unsigned)t->n_rows);
    (void)snprintf(gb, sizeof gb, "%.2f", t->nbytes / 1e9);
    (void)snprintf(gop, sizeof gop, t->ops > 0 ? "%.1f" : "-", t->ops / 1e9);
    (void)snprintf(ratio, sizeof ratio, "%.2f x", t->ratio);
    (void)snprintf(share_text, sizeof share_text, share > 0 ? "%.*f %% of %s" : "-", share < 0.1 ? 1 : 0, 100 * share,
                   bench_rate_text(limit, limit == EL_READ_2M ? read : peak, rate));
    char *const ns = bench_text_real(t->ns, true), *const bytes = bench_text_real(t->nbytes, true);
    char *const ops = bench_text_real(t->ops, t->ops > 0), *const times = bench_text_real(t->ratio, true);
    char *const part = bench_text_real(share, share > 0), *const read_text = bench_text_real(read, read > 0);
    char *const int8 = bench_text_real(bench_meter_rate(&p->meter, EL_PEAK_INT8), true);
    char *const f32 = bench_text_real(bench_meter_rate(&p->meter, EL_PEAK_F32), true);
    const char *const values[] = {
        t->level,
        threads,
        t->kernel,
        t->type,
        t->shape,
        rows,
        t->from_memory ? "1" : "0",
        ns,
        bytes,
        ops,
        times,
        share > 0 ? bench_limit_name(limit) : NULL,
        part,
        read_text,
        int8,
        f32,
    };
    const char *const shown[] = {t->kernel, t->type, t->shape, t->level, gb, gop, share_text, ratio};
    bench_table_row(&p->table, values, shown);
    free(ns);
    free(bytes);
    free(ops);
    free(times);
    free(part);
    free(read_text);
    free(int8);
    free(f32);
}

enum el_status bench_kernels(FILE *f, enum bench_format format, const uint64_t *n_threads, size_t n, const struct opt_list *only,
                             struct el_err *err)
{
    struct printer p = {.status = EL_OK};
    p.table = (struct bench_table){
        .f = f,
        .format = format,
        .name = "edgellm_kernels",
        .fields = fields,
        .n_fields = sizeof fields / sizeof *fields,
        .columns = columns,
        .n_columns = sizeof columns / sizeof *columns,
    };
    CMD_TRY(bench_meter_open(&p.meter, err));
    enum el_status status = EL_OK;
    bench_table_begin(&p.table);
    for (size_t i = 0; i < n && status == EL_OK; i++) {
        const struct el_kernels_time_opts opts = {
            .n_threads = (unsigned)n_threads[i],
            .nbytes = bench_meter_nbytes(&p.meter) / 2,
            .only = only->v,
            .n_only = only->n,
        };
        p.n_threads = (unsigned)n_threads[i];
        p.kernel[0] = '\0';
        status = el_kernels_time(&opts, print, &p, err);
        if (status == EL_OK && p.status != EL_OK)
            status = cmd_fail(err, p.status, "%s", p.err.text);
    }
    bench_table_end(&p.table);
    bench_meter_close(&p.meter);
    return status;
}
