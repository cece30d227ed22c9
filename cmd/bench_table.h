/*
 * A flat table of results in one of bench's five formats. csv, json, jsonl and sql have the fields; md has columns of its own,
 * made for reading.
 */
#ifndef CMD_BENCH_TABLE_H
#define CMD_BENCH_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum bench_format { BENCH_NONE, BENCH_CSV, BENCH_JSON, BENCH_JSONL, BENCH_MD, BENCH_SQL };

/* BENCH_LIST: a JSON array of numbers, which only json and jsonl have. */
enum bench_type { BENCH_TEXT, BENCH_INT, BENCH_REAL, BENCH_LIST };
struct bench_field {
    const char *name;
    enum bench_type type;
};
/* Of md: padded to `width` on the left, or on the right for text. */
struct bench_column {
    const char *heading;
    int width;
    bool is_text;
};

struct bench_table {
    FILE *f; /* NULL: this output is off */
    enum bench_format format;
    const char *name; /* of the table in sql */
    const struct bench_field *fields;
    size_t n_fields;
    const struct bench_column *columns;
    size_t n_columns;
    bool any;
};

/* Values as text, malloc'ed; NULL where there is none. Whole numbers from a million on. */
char *bench_text_int(uint64_t v);
char *bench_text_real(double v, bool is_there);
/* "[1.5, 2]" */
char *bench_text_list(const double *x, size_t n);

/* Writes what stands before the first row. All but any is set by the caller and stays borrowed. */
void bench_table_begin(struct bench_table *t);
/* values [n_fields]: text or decimal numbers; NULL is null, in csv and sql no text. shown [n_columns]: cells of md. */
void bench_table_row(struct bench_table *t, const char *const *values, const char *const *shown);
void bench_table_end(struct bench_table *t);

#endif
