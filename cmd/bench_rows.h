/*
 * Results of bench, and their five output formats. Field names are llama-bench's where it has the thing, so that scripts which
 * read it go on working; ours come after.
 */
#ifndef CMD_BENCH_ROWS_H
#define CMD_BENCH_ROWS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "cmd/bench_table.h"

struct bench_row {
    const char *model_filename;
    char model_type[128], model_sha256[65]; /* sha256 empty: not asked for */
    uint64_t model_size, model_n_params;
    uint64_t n_batch, n_threads, n_prompt, n_gen, n_depth;
    const char *type_k, *type_v;
    char test_time[32];   /* ISO 8601, UTC */
    uint64_t *samples_ns; /* [n_samples] */
    size_t n_samples;
    uint64_t *itl_ns; /* [n_itl] times between tokens, ascending */
    size_t n_itl;
    uint64_t ttft_ns; /* mean time to the logits of the first token written; 0: not measured */
    uint64_t peak_rss_nbytes;
    double nbytes_per_token, ops_per_token; /* that the model has to read and to do; see bench_limit.h */
    struct bench_held {
        const char *limit;      /* which one binds: "read", "int8", "f32"; NULL: nothing was measured */
        double share;           /* of it, at the median of the samples */
        double read, int8, f32; /* measured bytes and operations per second; 0: not measured */
    } held;
    char status[512]; /* "ok" or an error */
};

/* The columns that a table (md) has only where they tell rows apart, or from a run with the defaults. */
struct bench_columns {
    bool n_batch, type_k, type_v;
    bool held; /* the share of the limit */
};

enum { BENCH_MAX_COLUMNS = 12 };

struct bench_out {
    struct bench_table table;
    struct bench_column columns[BENCH_MAX_COLUMNS];
    struct bench_columns which;
};

void bench_out_begin(struct bench_out *o, FILE *f, enum bench_format format, struct bench_columns columns);
void bench_out_row(struct bench_out *o, const struct bench_row *row);
/* A model that cannot be opened; only JSON has a row for it: model_filename, status "failed" and error. */
void bench_out_failed(struct bench_out *o, const char *model_filename, const char *error);
void bench_out_end(struct bench_out *o);

/* The middle one of n numbers, or the mean of the two; 0 when n is 0. */
double bench_median(const double *x, size_t n);
/* Median of the samples; 0 when there are none. */
double bench_median_ns(const struct bench_row *row);
/* Mean and sample standard deviation; 0 for too few. */
double bench_mean(const double *x, size_t n);
double bench_stddev(const double *x, size_t n);
/* Value below which the fraction lies (nearest rank) of ascending x; 0 when n is 0. */
uint64_t bench_percentile(const uint64_t *x, size_t n, double fraction);
/* "pp512", "tg128", "pp512+tg128", "pp512 @ d1024" */
void bench_test_name(const struct bench_row *row, char out[96]);

#endif
