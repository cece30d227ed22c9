#include "cmd/pack_report.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cmd/text_out.h"
#include "cmd/totals.h"
#include "cmd/util.h"

static const char *const head[] = {"tensor", "shape", "encoding", "method",  "before",  "after",
                                   "bits",   "error", "output",   "damping", "fallback"};
static const char align[] = "lrllrrrrrrl";
enum { N_COLS = sizeof head / sizeof *head };

void pack_report_init(struct pack_report *r, const struct el_plan *plan)
{
    *r = (struct pack_report){.plan = plan, .n_rows = el_plan_n_rows(plan), .last_ns = now_ns()};
    r->rows = xcalloc(r->n_rows, sizeof *r->rows);
}

void pack_report_free(struct pack_report *r)
{
    for (size_t i = 0; i < r->n_rows; i++) {
        char *fallback;
        memcpy(&fallback, &r->rows[i].told.fallback, sizeof fallback);
        free(fallback);
    }
    free(r->rows);
    free(r->width);
    if (r->lines)
        (void)fclose(r->lines);
}

/* ---- numbers ---- */

/* Square root of error energy over energy: 0 is exact, 1 is everything lost. */
static double relative_error(const struct el_pack_report *told)
{
    return told->sum_w2 > 0 ? sqrt(told->sum_err2 / told->sum_w2) : 0.0;
}

/* The same of the outputs, NaN where it is not known. */
static double relative_output_error(const struct el_pack_report *told)
{
    return told->sum_y2 > 0 ? sqrt(fmax(told->sum_out2, 0.0) / told->sum_y2) : (double)NAN;
}

/* Why it is not what was asked for, as the plan knew it and as it turned out. free() it; "" when it is. */
static char *why_of(const struct el_plan_row *row, const struct row_result *result)
{
    const char *const planned = row->fallback ? row->fallback : "", *const found = result->told.fallback;
    return xasprintf("%s%s%s", planned, *planned && found ? "; " : "", found ? found : "");
}

/* ---- the table ---- */

static void format_shape(const struct el_tensor_info *t, char out[96])
{
    size_t n = 0;
    out[0] = '\0';
    for (uint32_t d = 0; d < t->n_dims && n < 96; d++)
        n += (size_t)snprintf(out + n, 96 - n, "%s%llu", d ? " x " : "", (unsigned long long)t->dims[d]);
}

static void add_number(struct table *t, bool known, const char *fmt, double v)
{
    char text[32] = "-";
    if (known)
        (void)snprintf(text, sizeof text, *fmt == 'e' ? "%.3e" : "%.2f", v);
    table_add(t, "%s", text);
}

static void add_row(struct table *t, const struct el_plan_row *row, const struct row_result *result)
{
    char shape[96], before[32], after[32];
    const struct el_pack_report *const told = &result->told;
    char *const why = why_of(row, result);
    format_shape(&row->from, shape);
    table_add_text(t, row->from.name, 64);
    table_add(t, "%s", shape);
    table_add(t, "%s -> %s", row->from.encoding, row->to);
    table_add(t, "%s", row->method);
    table_add(t, "%s", text_nbytes(row->from.nbytes, before));
    table_add(t, "%s", text_nbytes(row->nbytes, after));
    add_number(t, row->from.n_elems > 0, "f", totals_bpw(row->from.n_elems, row->nbytes));
    add_number(t, result->done, "e", relative_error(told));
    add_number(t, result->done && !isnan(relative_output_error(told)), "e", relative_output_error(told));
    add_number(t, result->done && told->damping > 0.0, "e", told->damping);
    table_add_text(t, why, 100);
    free(why);
}

static void begin_table(struct table *t, bool with_head)
{
    table_init(t, align);
    for (size_t i = 0; i < N_COLS && with_head; i++)
        table_add(t, "%s", head[i]);
}

void pack_report_print(const struct pack_report *r, FILE *f)
{
    struct table t;
    begin_table(&t, true);
    for (size_t i = 0; i < r->n_rows; i++) {
        const struct el_plan_row row = el_plan_row(r->plan, i);
        add_row(&t, &row, &r->rows[i]);
    }
    table_print(&t, f);
    table_free(&t);
}

void pack_report_live(struct pack_report *r)
{
    /* As wide as what will come: all but the numbers is known. */
    const struct row_result widest = {.told = {.sum_w2 = 1, .sum_y2 = 1, .damping = 1}, .done = true};
    struct table t;
    begin_table(&t, true);
    for (size_t i = 0; i < r->n_rows; i++) {
        const struct el_plan_row row = el_plan_row(r->plan, i);
        add_row(&t, &row, &widest);
    }
    r->width = table_widths(&t);
    table_print_rows(&t, 0, 1, r->width, stderr);
    table_free(&t);
    r->live = true;
}

static void print_row(struct pack_report *r, size_t i)
{
    struct table t;
    const struct el_plan_row row = el_plan_row(r->plan, i);
    progress_end(&r->progress);
    begin_table(&t, false);
    add_row(&t, &row, &r->rows[i]);
    table_print_rows(&t, 0, 1, r->width, stderr);
    table_free(&t);
}

/* ---- JSON ---- */

void pack_report_json(const struct pack_report *r, struct json_out *j, size_t i, bool times)
{
    const struct el_plan_row row = el_plan_row(r->plan, i);
    const struct row_result *const result = &r->rows[i];
    const struct el_pack_report *const told = &result->told;
    char *const why = why_of(&row, result);
    json_object(j);
    json_kstr(j, "name", row.from.name);
    json_key(j, "shape");
    json_array(j, true);
    for (uint32_t d = 0; d < row.from.n_dims; d++)
        json_uint(j, row.from.dims[d]);
    json_end_array(j);
    json_kstr(j, "from", row.from.encoding);
    json_kstr(j, "to", row.to);
    json_kstr(j, "method", row.method);
    json_kuint(j, "nbytes_before", row.from.nbytes);
    json_kuint(j, "nbytes_after", row.nbytes);
    json_knum(j, "bits_per_weight", totals_bpw(row.from.n_elems, row.nbytes));
    json_kstr(j, "fallback", *why ? why : NULL);
    if (result->done) {
        json_knum(j, "sum_w2", told->sum_w2);
        json_knum(j, "sum_err2", told->sum_err2);
        json_knum(j, "relative_error", relative_error(told));
        if (!isnan(told->sum_out2))
            json_knum(j, "output_error", told->sum_out2);
        if (!isnan(relative_output_error(told)))
            json_knum(j, "relative_output_error", relative_output_error(told));
        if (told->damping > 0.0)
            json_knum(j, "damping", told->damping);
        json_kuint(j, "n_nonfinite", told->n_nonfinite);
        if (times)
            json_knum(j, "seconds", told->resumed ? (double)NAN : result->seconds);
    }
    json_end_object(j);
    free(why);
}

/* May this file be replaced by lines? What is no such file was not meant. */
static enum el_status check_old(const char *path, bool replace, struct el_err *err)
{
    struct stat st;
    if (stat(path, &st) != 0)
        return EL_OK;
    if (!S_ISREG(st.st_mode))
        return cmd_fail(err, EL_E_IO, "'%s': report is not a file", path);
    if (!replace) {
        (void)cmd_fail(err, EL_E_IO, "'%s': report exists already and overwriting was not asked for", path);
        err->reason = EL_REASON_EXISTS;
        return EL_E_IO;
    }
    FILE *const f = fopen(path, "r");
    if (!f)
        return cmd_fail(err, EL_E_IO, "'%s': cannot open: %s", path, strerror(errno));
    static const char begin[] = "{\"name\":";
    char found[sizeof begin] = "";
    const size_t n = fread(found, 1, sizeof begin - 1, f);
    (void)fclose(f);
    return n == 0 || strcmp(found, begin) == 0 ? EL_OK : cmd_fail(err, EL_E_USAGE, "'%s': is there, and no report", path);
}

enum el_status pack_report_open(struct pack_report *r, const char *path, bool replace, struct el_err *err)
{
    CMD_TRY(check_old(path, replace, err));
    r->path = path;
    r->lines = fopen(path, "we");
    return r->lines ? EL_OK : cmd_fail(err, EL_E_IO, "'%s': cannot open: %s", path, strerror(errno));
}

enum el_status pack_report_close(struct pack_report *r, struct el_err *err)
{
    FILE *const f = r->lines;
    if (!f)
        return EL_OK;
    r->lines = NULL;
    const bool failed = ferror(f) != 0;
    return fclose(f) != 0 || failed ? cmd_fail(err, EL_E_IO, "'%s': cannot write the report", r->path) : EL_OK;
}

/* ---- as it comes ---- */

static void print_fallback(const struct pack_report *r, size_t i)
{
    const struct el_plan_row row = el_plan_row(r->plan, i);
    char *const name = text_line(row.from.name, strlen(row.from.name), 0);
    (void)fprintf(stderr, "fallback: %s: %s: %s\n", name, row.to, r->rows[i].told.fallback);
    free(name);
}

void pack_report_add(void *user, const struct el_pack_report *told)
{
    struct pack_report *const r = user;
    struct row_result *const row = &r->rows[told->row];
    const uint64_t now = now_ns();
    *row = (struct row_result){.told = *told, .seconds = (double)(now - r->last_ns) * 1e-9, .done = true};
    row->told.fallback = told->fallback ? xstrdup(told->fallback) : NULL;
    r->last_ns = now;
    if (r->live) {
        print_row(r, told->row);
    } else if (told->fallback) {
        progress_end(&r->progress);
        print_fallback(r, told->row);
    }
    if (r->lines) {
        struct json_out j;
        json_init(&j, r->lines, true);
        pack_report_json(r, &j, told->row, true);
        json_finish(&j);
        (void)fflush(r->lines);
    }
}
