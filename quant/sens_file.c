/* Where a table of choices is kept while it is measured; see sensitivity.h. */
#include <math.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/sha256.h"
#include "model/laid_file.h"
#include "quant/sensitivity.h"

static const char version_key[] = "edgellm.sensitivity";
enum { VERSION = 1, MAX_FILE = 1 << 30 };

/* ---- what the numbers depend on ---- */

static void add_string(struct el_sha256 *sha, const char *s)
{
    el_sha256_add(sha, s ? s : "", strlen(s ? s : "") + 1);
}

static void add_text(struct el_sha256 *sha, const struct el_calibrate_text *text)
{
    uint64_t n = 0;
    for (size_t w = 0; w < text->n_windows; w++)
        n += text->window_n[w];
    el_sha256_add(sha, text->window_n, text->n_windows * sizeof *text->window_n);
    el_sha256_add(sha, text->ids, (size_t)n * sizeof *text->ids);
}

/* Not the candidates: a table of other ones goes on from what it shares with this. */
static enum el_status make_key(const struct el_sens *s, char key[65], struct el_err *err)
{
    const struct el_method_opts *const how = &s->opts.how;
    char model[65], stats[65] = "";
    EL_TRY(el_source_fingerprint(s->source, model, err));
    if (s->opts.stats)
        EL_TRY(el_source_fingerprint(s->opts.stats, stats, err));
    struct el_sha256 *const sha = el_sha256_open();
    if (!sha)
        return el_fail(err, EL_E_MEMORY, "out of memory for a hash");
    const uint64_t numbers[] = {VERSION, s->opts.n_rows, s->opts.n_positions, how->rounds, how->no_cross, how->no_descent};
    add_string(sha, el_version());
    add_string(sha, el_cpu_level());
    add_string(sha, model);
    add_string(sha, stats);
    add_string(sha, how->order);
    el_sha256_add(sha, numbers, sizeof numbers);
    el_sha256_add(sha, &how->damping, sizeof how->damping);
    if (s->opts.text)
        add_text(sha, s->opts.text);
    el_sha256_close(sha, key);
    return EL_OK;
}

/* ---- reading ---- */

static struct el_sens_row *find_row(const struct el_sens *s, const char *name)
{
    for (size_t i = 0; i < s->n_rows && name; i++)
        if (strcmp(s->source->tensors[s->rows[i].tensor].name, name) == 0)
            return &s->rows[i];
    return NULL;
}

static void take_number(const struct el_json *line, const char *key, double *to)
{
    const struct el_json *const v = el_json_get(line, key);
    if (el_json_is(v, EL_JSON_NUMBER))
        *to = el_json_num(v);
}

/* What is of a tensor or a choice that this table does not have is passed over. Two candidates may mean the same for a tensor. */
static void take_line(const struct el_sens *s, const struct el_json *line)
{
    struct el_sens_row *const row = find_row(s, el_json_str(el_json_get(line, "tensor")));
    const char *const type = el_json_str(el_json_get(line, "type")), *const method = el_json_str(el_json_get(line, "method"));
    if (!row)
        return;
    take_number(line, "shiftadd", &row->shiftadd);
    for (size_t c = 0; c < s->n_columns && type && method; c++) {
        struct el_sens_cell *const cell = &row->cells[c];
        if (!cell->fits || strcmp(s->columns[c].type, type) != 0 || strcmp(cell->method, method) != 0)
            continue;
        take_number(line, "weight", &cell->weight);
        take_number(line, "hessian", &cell->hessian);
        take_number(line, "kld", &cell->kld);
    }
}

static enum el_status check_first(const struct el_sens *s, const struct el_json *line, const char key[65], struct el_err *err)
{
    const char *const found = el_json_str(el_json_get(line, "key"));
    int64_t version = 0;
    if (!el_json_int(el_json_get(line, version_key), &version) || version != VERSION || !found)
        return el_fail(err, EL_E_USAGE, "'%s': is not a table of choices", s->opts.state_path);
    if (strcmp(found, key) != 0)
        return el_fail(err, EL_E_USAGE,
                       "'%s': is the table of another run: of another model, text, statistics, option or CPU level",
                       s->opts.state_path);
    return EL_OK;
}

static enum el_status read_lines(struct el_sens *s, const char *text, uint64_t nbytes, const char key[65], struct el_err *err)
{
    const char *end;
    for (uint64_t at = 0; (end = memchr(text + at, '\n', (size_t)(nbytes - at))) != NULL; at = s->state_nbytes) {
        struct el_json_doc *doc = NULL;
        enum el_status status = el_json_parse(text + at, (size_t)(end - text) - (size_t)at, s->opts.state_path, &doc, err);
        if (status == EL_OK && at == 0)
            status = check_first(s, el_json_root(doc), key, err);
        else if (status == EL_OK)
            take_line(s, el_json_root(doc));
        else if (at == 0)
            status = el_fail(err, EL_E_USAGE, "'%s': is not a table of choices", s->opts.state_path);
        el_json_free(doc);
        EL_TRY(status);
        s->state_nbytes = (uint64_t)(end - text) + 1;
    }
    return EL_OK;
}

/* ---- writing ---- */

static enum el_status append(struct el_sens *s, struct el_buf *line, struct el_err *err)
{
    el_buf_add_byte(line, '\n');
    enum el_status status = line->failed ? el_fail(err, EL_E_MEMORY, "out of memory for a table of choices") : EL_OK;
    if (status == EL_OK)
        status = el_workfile_write(s->state, s->state_nbytes, line->data, line->nbytes, err);
    s->state_nbytes += line->nbytes;
    el_buf_release(line);
    return status;
}

enum el_status el_sens_file_open(struct el_sens *s, struct el_err *err)
{
    char key[65];
    uint64_t nbytes = 0;
    EL_TRY(make_key(s, key, err));
    EL_TRY(el_workfile_state(s->opts.state_path, &s->state, &nbytes, err));
    if (nbytes > MAX_FILE)
        return el_fail(err, EL_E_USAGE, "'%s': is not a table of choices", s->opts.state_path);
    char *const text = el_alloc((size_t)nbytes + 1);
    if (!text)
        return el_fail(err, EL_E_MEMORY, "out of memory for a table of choices");
    enum el_status status = el_workfile_read(s->state, 0, text, nbytes, err);
    if (status == EL_OK)
        status = read_lines(s, text, nbytes, key, err);
    el_free(text);
    if (status != EL_OK || s->state_nbytes > 0)
        return status;
    struct el_buf line;
    el_buf_init(&line);
    el_buf_addf(&line, "{\"%s\":%d,\"key\":\"%s\"}", version_key, VERSION, key);
    return append(s, &line, err);
}

static void begin_line(const struct el_sens *s, size_t row, struct el_buf *line)
{
    const char *const name = s->source->tensors[s->rows[row].tensor].name;
    el_buf_init(line);
    el_buf_add_str(line, "{\"tensor\":");
    el_buf_add_json_str(line, name, strlen(name));
}

static void add_choice(const struct el_sens *s, size_t row, size_t column, struct el_buf *line)
{
    el_buf_addf(line, ",\"type\":\"%s\",\"method\":\"%s\"", s->columns[column].type, s->rows[row].cells[column].method);
}

enum el_status el_sens_file_errors(struct el_sens *s, size_t row, size_t column, struct el_err *err)
{
    struct el_buf line;
    if (!s->state)
        return EL_OK;
    begin_line(s, row, &line);
    add_choice(s, row, column, &line);
    const struct el_sens_cell *const cell = &s->rows[row].cells[column];
    el_buf_addf(&line, ",\"weight\":%.17g,\"hessian\":%.17g}", cell->weight, cell->hessian);
    return append(s, &line, err);
}

enum el_status el_sens_file_kld(struct el_sens *s, size_t row, size_t column, struct el_err *err)
{
    struct el_buf line;
    if (!s->state)
        return EL_OK;
    begin_line(s, row, &line);
    add_choice(s, row, column, &line);
    el_buf_addf(&line, ",\"kld\":%.17g}", s->rows[row].cells[column].kld);
    return append(s, &line, err);
}

enum el_status el_sens_file_shiftadd(struct el_sens *s, size_t row, struct el_err *err)
{
    struct el_buf line;
    if (!s->state)
        return EL_OK;
    begin_line(s, row, &line);
    el_buf_addf(&line, ",\"shiftadd\":%.17g}", s->rows[row].shiftadd);
    return append(s, &line, err);
}

enum el_status el_sens_file_sync(struct el_sens *s, struct el_err *err)
{
    return s->state ? el_workfile_sync(s->state, err) : EL_OK;
}
