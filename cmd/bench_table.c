#include "cmd/bench_table.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/json_out.h"
#include "cmd/text_out.h"
#include "cmd/util.h"

char *bench_text_int(uint64_t v)
{
    return xasprintf("%llu", (unsigned long long)v);
}

char *bench_text_real(double v, bool is_there)
{
    const double size = v < 0 ? -v : v;
    /* Nanoseconds and bytes are whole, however few; small shares keep their digits. */
    return is_there ? xasprintf("%.*f", size >= 1e6 || v == floor(v) ? 0 : size >= 0.1 ? 6 : 9, v) : NULL;
}

char *bench_text_list(const double *x, size_t n)
{
    char *text = xstrdup("[");
    for (size_t i = 0; i < n; i++) {
        const bool is_whole = x[i] == floor(x[i]) || x[i] >= 1e6 || x[i] <= -1e6;
        char *const longer = xasprintf("%s%s%.*f", text, i ? ", " : "", is_whole ? 0 : 6, x[i]);
        free(text);
        text = longer;
    }
    char *const whole = xasprintf("%s]", text);
    free(text);
    return whole;
}

/* Text between quotes, with quotes and nothing else doubled: CSV's and SQL's rule. */
static void quoted(FILE *f, const char *s, char quote)
{
    (void)fputc(quote, f);
    for (; s && *s; s++) {
        if (*s == quote)
            (void)fputc(quote, f);
        (void)fputc(*s, f);
    }
    (void)fputc(quote, f);
}

static void row_json(const struct bench_table *t, const char *const *values)
{
    struct json_out j;
    json_init(&j, t->f, t->format == BENCH_JSONL);
    if (t->format == BENCH_JSON && t->any)
        (void)fputs(",\n", t->f);
    json_object(&j);
    for (size_t i = 0; i < t->n_fields; i++) {
        json_key(&j, t->fields[i].name);
        if (t->fields[i].type == BENCH_TEXT)
            json_str(&j, values[i]);
        else
            json_raw(&j, values[i] ? values[i] : "null");
    }
    json_end_object(&j);
    if (t->format == BENCH_JSONL)
        (void)fputc('\n', t->f);
}

static void row_csv(const struct bench_table *t, const char *const *values)
{
    for (size_t i = 0; i < t->n_fields; i++) {
        if (t->fields[i].type == BENCH_LIST)
            continue;
        (void)fputs(i ? "," : "", t->f);
        quoted(t->f, values[i], '"');
    }
    (void)fputc('\n', t->f);
}

/* quote: SQL's, whose keywords ("limit") are no names without. */
static void names(const struct bench_table *t, const char *between, const char *quote)
{
    for (size_t i = 0; i < t->n_fields; i++)
        if (t->fields[i].type != BENCH_LIST)
            (void)fprintf(t->f, "%s%s%s%s", i ? between : "", quote, t->fields[i].name, quote);
}

static void row_sql(const struct bench_table *t, const char *const *values)
{
    (void)fprintf(t->f, "INSERT INTO %s (", t->name);
    names(t, ", ", "\"");
    (void)fprintf(t->f, ") VALUES (");
    for (size_t i = 0; i < t->n_fields; i++) {
        if (t->fields[i].type == BENCH_LIST)
            continue;
        (void)fputs(i ? ", " : "", t->f);
        if (values[i])
            quoted(t->f, values[i], '\'');
        else
            (void)fputs("NULL", t->f);
    }
    (void)fprintf(t->f, ");\n");
}

/* Padding counts what a terminal shows: ± is two bytes and one column wide. */
static void row_md(const struct bench_table *t, const char *const *shown)
{
    for (size_t i = 0; i < t->n_columns; i++) {
        const struct bench_column *const c = &t->columns[i];
        const int pad = c->width - (int)text_width(shown[i]);
        (void)fprintf(t->f, "| %*s%s%*s ", c->is_text || pad < 0 ? 0 : pad, "", shown[i], c->is_text && pad > 0 ? pad : 0, "");
    }
    (void)fputs("|\n", t->f);
}

static void begin_md(const struct bench_table *t)
{
    for (size_t i = 0; i < t->n_columns; i++)
        (void)fprintf(t->f, "| %*s ", t->columns[i].is_text ? -t->columns[i].width : t->columns[i].width, t->columns[i].heading);
    (void)fputs("|\n", t->f);
    for (size_t i = 0; i < t->n_columns; i++) {
        (void)fputs("| ", t->f);
        for (int k = 1; k < t->columns[i].width; k++)
            (void)fputc('-', t->f);
        (void)fputs(t->columns[i].is_text ? "- " : ": ", t->f);
    }
    (void)fputs("|\n", t->f);
}

static void begin_sql(const struct bench_table *t)
{
    static const char *const types[] = {[BENCH_TEXT] = "TEXT", [BENCH_INT] = "INTEGER", [BENCH_REAL] = "REAL"};
    (void)fprintf(t->f, "CREATE TABLE IF NOT EXISTS %s (\n", t->name);
    for (size_t i = 0; i < t->n_fields; i++)
        if (t->fields[i].type != BENCH_LIST)
            (void)fprintf(t->f, "%s  \"%s\" %s", i ? ",\n" : "", t->fields[i].name, types[t->fields[i].type]);
    (void)fputs("\n);\n\n", t->f);
}

void bench_table_begin(struct bench_table *t)
{
    t->any = false;
    if (!t->f)
        return;
    if (t->format == BENCH_JSON) {
        (void)fputs("[\n", t->f);
    } else if (t->format == BENCH_CSV) {
        names(t, ",", "");
        (void)fputc('\n', t->f);
    } else if (t->format == BENCH_SQL) {
        begin_sql(t);
    } else if (t->format == BENCH_MD) {
        begin_md(t);
    }
    (void)fflush(t->f);
}

void bench_table_row(struct bench_table *t, const char *const *values, const char *const *shown)
{
    if (!t->f)
        return;
    if (t->format == BENCH_JSON || t->format == BENCH_JSONL)
        row_json(t, values);
    else if (t->format == BENCH_CSV)
        row_csv(t, values);
    else if (t->format == BENCH_SQL)
        row_sql(t, values);
    else
        row_md(t, shown);
    t->any = true;
    (void)fflush(t->f);
}

void bench_table_end(struct bench_table *t)
{
    if (t->f && t->format == BENCH_JSON)
        (void)fputs(t->any ? "\n]\n" : "]\n", t->f);
}
