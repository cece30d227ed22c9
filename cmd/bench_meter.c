#include "cmd/bench_meter.h"

#include <stdlib.h>
#include <string.h>

#include "cmd/bench_rows.h"
#include "cmd/util.h"

enum { NOT_OFTEN_NS = 250000000, MACHINE_PASSES = 9 };

enum el_status bench_meter_open(struct bench_meter *m, struct el_err *err)
{
    struct el_err why;
    enum el_status status = el_meter_open(0, &m->meter, &why);
    if (status == EL_OK)
        status = bench_meter_take(m, 1u << EL_READ_2M, 0, 1, false, &why);
    if (status != EL_OK)
        return cmd_fail(err, status, "%s (--no-limit goes without)", why.text);
    bench_meter_begin(m);
    return EL_OK;
}

void bench_meter_close(struct bench_meter *m)
{
    for (size_t i = 0; i < EL_METER_LIMITS; i++)
        free(m->of[i].v);
    el_meter_close(m->meter);
    *m = (struct bench_meter){.meter = NULL};
}

uint64_t bench_meter_nbytes(const struct bench_meter *m)
{
    return m->meter ? el_meter_nbytes(m->meter) : 0;
}

void bench_meter_begin(struct bench_meter *m)
{
    for (size_t i = 0; i < EL_METER_LIMITS; i++)
        m->of[i].n = 0;
    m->last_ns = 0;
}

enum el_status bench_meter_take(struct bench_meter *m, unsigned limits, unsigned n_threads, size_t n, bool not_often,
                                struct el_err *err)
{
    if (!m->meter || (not_often && now_ns() - m->last_ns < NOT_OFTEN_NS))
        return EL_OK;
    for (size_t i = 0; i < EL_METER_LIMITS; i++) {
        struct bench_rates *const r = &m->of[i];
        if (!(limits >> i & 1u))
            continue;
        r->v = xrealloc(r->v, r->n + n, sizeof *r->v);
        CMD_TRY(el_meter_measure(m->meter, (enum el_meter_limit)i, n_threads, r->v + r->n, n, err));
        r->n += n;
    }
    m->last_ns = now_ns();
    return EL_OK;
}

double bench_meter_median(const struct bench_meter *m, enum el_meter_limit limit)
{
    return bench_median(m->of[limit].v, m->of[limit].n);
}

double bench_meter_best(const struct bench_meter *m, enum el_meter_limit limit)
{
    double best = 0;
    for (size_t i = 0; i < m->of[limit].n; i++)
        best = m->of[limit].v[i] > best ? m->of[limit].v[i] : best;
    return best;
}

double bench_meter_rate(const struct bench_meter *m, enum el_meter_limit limit)
{
    return limit == EL_READ_2M || limit == EL_READ_4K ? bench_meter_median(m, limit) : bench_meter_best(m, limit);
}

static const char *const limit_names[EL_METER_LIMITS] = {
    [EL_READ_2M] = "read", [EL_READ_4K] = "read_4k", [EL_PEAK_INT8] = "int8", [EL_PEAK_F16] = "f16", [EL_PEAK_F32] = "f32",
};

const char *bench_limit_name(enum el_meter_limit limit)
{
    return limit_names[limit];
}

enum el_meter_limit bench_limit_of_name(const char *name)
{
    for (size_t i = 0; i < EL_METER_LIMITS; i++)
        if (strcmp(limit_names[i], name) == 0)
            return (enum el_meter_limit)i;
    return EL_READ_2M;
}

const char *bench_rate_text(enum el_meter_limit limit, double rate, char out[32])
{
    const bool is_read = limit == EL_READ_2M || limit == EL_READ_4K;
    (void)snprintf(out, 32, "%.*f %s", rate < 1e11 ? 1 : 0, rate / 1e9, is_read ? "GB/s" : "Gop/s");
    return out;
}

static enum el_status machine_rows(struct bench_meter *m, struct bench_table *t, unsigned n_threads, struct el_err *err)
{
    static const char *const words[EL_METER_LIMITS] = {
        [EL_READ_2M] = "read, 2 MiB pages",  [EL_READ_4K] = "read, 4 KiB pages",  [EL_PEAK_INT8] = "int8 products",
        [EL_PEAK_F16] = "f16 multiply-adds", [EL_PEAK_F32] = "f32 multiply-adds",
    };
    for (size_t i = 0; i < EL_METER_LIMITS; i++) {
        const enum el_meter_limit limit = (enum el_meter_limit)i;
        char threads[24], median[32], best[32], huge[32], median_text[32], best_text[32];
        bench_meter_begin(m);
        CMD_TRY(bench_meter_take(m, 1u << i, n_threads, MACHINE_PASSES, false, err));
        const double rate = bench_meter_median(m, limit), most = bench_meter_best(m, limit);
        const bool is_read = limit == EL_READ_2M || limit == EL_READ_4K;
        (void)snprintf(threads, sizeof threads, "%u", el_meter_n_threads(m->meter));
        (void)snprintf(median, sizeof median, "%.0f", rate);
        (void)snprintf(best, sizeof best, "%.0f", most);
        (void)snprintf(huge, sizeof huge, "%.3f", (double)el_meter_huge_nbytes(m->meter) / (double)el_meter_nbytes(m->meter));
        const char *const values[] = {
            el_cpu_level(),           threads,
            bench_limit_name(limit),  is_read ? "bytes/s" : "operations/s",
            rate > 0 ? median : NULL, rate > 0 ? best : NULL,
            is_read ? huge : NULL,
        };
        const char *const shown[] = {
            words[i],
            el_cpu_level(),
            threads,
            rate > 0 ? bench_rate_text(limit, rate, median_text) : "-",
            rate > 0 ? bench_rate_text(limit, most, best_text) : "-",
        };
        bench_table_row(t, values, shown);
        if (limit == EL_READ_2M && t->format == BENCH_MD && el_meter_huge_nbytes(m->meter) < el_meter_nbytes(m->meter))
            (void)fprintf(stderr, "edgellm: warning: only part of the memory read lies on 2 MiB pages\n");
    }
    return EL_OK;
}

enum el_status bench_machine(FILE *f, enum bench_format format, const uint64_t *n_threads, size_t n, struct el_err *err)
{
    static const struct bench_field fields[] = {
        {"cpu_level", BENCH_TEXT}, {"n_threads", BENCH_INT}, {"limit", BENCH_TEXT},      {"unit", BENCH_TEXT},
        {"median", BENCH_REAL},    {"best", BENCH_REAL},     {"huge_share", BENCH_REAL},
    };
    static const struct bench_column columns[] = {
        {"limit", 20, true}, {"level", 10, true}, {"threads", 7, false}, {"median", 12, false}, {"best", 12, false},
    };
    struct bench_table t = {
        .f = f,
        .format = format,
        .name = "edgellm_machine",
        .fields = fields,
        .n_fields = sizeof fields / sizeof *fields,
        .columns = columns,
        .n_columns = sizeof columns / sizeof *columns,
    };
    struct bench_meter m = {.meter = NULL};
    enum el_status status = el_meter_open(0, &m.meter, err);
    bench_table_begin(&t);
    for (size_t i = 0; i < n && status == EL_OK; i++)
        status = machine_rows(&m, &t, (unsigned)n_threads[i], err);
    bench_table_end(&t);
    bench_meter_close(&m);
    return status;
}
