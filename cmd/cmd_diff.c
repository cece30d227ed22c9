#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/command.h"
#include "cmd/json_out.h"
#include "cmd/meta_out.h"
#include "cmd/progress.h"
#include "cmd/text_out.h"
#include "cmd/util.h"

enum { SCHEMA_VERSION = 1, STRIP_ELEMS = 1 << 18, MAX_CHARS = 60, MAX_ELEMS = 4 };

struct diff_args {
    bool json, no_metadata, directory, values, all;
};

static const struct opt diff_opts[] = {
    {OPT_FLAG, NULL, "no-metadata", NULL, "compare the tensors only", offsetof(struct diff_args, no_metadata), 0, 0, NULL},
    {OPT_FLAG, NULL, "directory", NULL, "do not read weights: names, shapes and encodings only",
     offsetof(struct diff_args, directory), 0, 0, NULL},
    {OPT_FLAG, NULL, "values", NULL, "tensors of equal values are equal, whatever their encoding",
     offsetof(struct diff_args, values), 0, 0, NULL},
    {OPT_FLAG, NULL, "all", NULL, "list equal tensors too", offsetof(struct diff_args, all), 0, 0, NULL},
    OPT_JSON(struct diff_args),
    OPT_END,
};

/* What became of a tensor or a metadata value. */
enum change { SAME, ADDED, REMOVED, CHANGED, SHAPE };
static const char *const change_names[] = {"equal", "added", "removed", "changed", "shape"};

/* Sums over the elements of which both values are finite, float64. */
struct error {
    double sum_a2, sum_b2, sum_ab, sum_err2, max_abs;
    uint64_t n, n_nonfinite;
};

struct row {
    const char *name;
    enum change change;
    bool same_encoding, same_bytes, same_values, compared;
    struct el_tensor_info a, b; /* n_dims 0: not there */
    struct error error;
};

struct diff {
    const struct diff_args *args;
    struct el_source *a, *b;
    struct row *rows;
    size_t n_rows;
    struct progress progress;
    uint64_t done, total;
    struct error all;
    size_t n_tensors[5], n_keys[5]; /* by change */
};

/* ---- tensors -------------------------------------------------------------------------------------------------------------- */

struct named {
    const char *name;
    size_t index;
};

static int by_name(const void *a, const void *b)
{
    const struct named *const x = a, *const y = b;
    return strcmp(x->name, y->name);
}

static struct named *names_of(const struct el_source *s)
{
    const size_t n = el_source_n_tensors(s);
    struct named *const names = xcalloc(n, sizeof *names);
    for (size_t i = 0; i < n; i++)
        names[i] = (struct named){el_source_tensor(s, i).name, i};
    qsort(names, n, sizeof *names, by_name);
    return names;
}

static const struct named *find(const struct named *names, size_t n, const char *name)
{
    const struct named key = {name, 0};
    return n ? bsearch(&key, names, n, sizeof *names, by_name) : NULL;
}

static bool same_shape(const struct el_tensor_info *a, const struct el_tensor_info *b)
{
    return a->n_dims == b->n_dims && memcmp(a->dims, b->dims, a->n_dims * sizeof a->dims[0]) == 0;
}

static void add_error(struct error *e, const float *a, const float *b, uint64_t n, bool *same)
{
    for (uint64_t i = 0; i < n; i++) {
        const double x = a[i], y = b[i], d = x - y;
        if (!isfinite(x) || !isfinite(y)) {
            e->n_nonfinite++;
            *same = *same && ((isnan(x) && isnan(y)) || x == y);
            continue;
        }
        e->sum_a2 += x * x;
        e->sum_b2 += y * y;
        e->sum_ab += x * y;
        e->sum_err2 += d * d;
        e->max_abs = fabs(d) > e->max_abs ? fabs(d) : e->max_abs;
        e->n++;
        *same = *same && d == 0;
    }
}

static void merge_error(struct error *to, const struct error *e)
{
    to->sum_a2 += e->sum_a2;
    to->sum_b2 += e->sum_b2;
    to->sum_ab += e->sum_ab;
    to->sum_err2 += e->sum_err2;
    to->max_abs = e->max_abs > to->max_abs ? e->max_abs : to->max_abs;
    to->n += e->n;
    to->n_nonfinite += e->n_nonfinite;
}

/* sqrt(sum (a - b)^2 / sum a^2); infinite when only b is not zero. */
static double relative_rmse(const struct error *e)
{
    return e->sum_err2 == 0 ? 0 : sqrt(e->sum_err2 / e->sum_a2);
}

/* sum a b / sqrt(sum a^2 sum b^2); NaN when one of them is zero and the other is not. */
static double cosine(const struct error *e)
{
    return e->sum_err2 == 0 ? 1 : e->sum_ab / sqrt(e->sum_a2) / sqrt(e->sum_b2);
}

static void step(struct diff *d, const char *name, uint64_t nbytes)
{
    d->done += nbytes;
    progress_step(&d->progress, name, d->done, d->total);
}

/* The values of a tensor that both have, strip by strip; rows in canonical order. */
static enum el_status compare_values(struct diff *d, struct row *r, size_t at_a, size_t at_b, struct el_err *err)
{
    const uint64_t n_in = r->a.dims[r->a.n_dims - 1], n_rows = n_in ? r->a.n_elems / n_in : 0;
    const uint64_t strip = n_in == 0 || STRIP_ELEMS / n_in == 0 ? 1 : STRIP_ELEMS / n_in;
    const uint64_t n_strip = strip < n_rows ? strip : n_rows;
    float *const a = xcalloc(n_strip, n_in * sizeof *a), *const b = xcalloc(n_strip, n_in * sizeof *b);
    enum el_status status = EL_OK;
    r->same_values = true;
    for (uint64_t row = 0; row < n_rows; row += strip) {
        const uint64_t n = n_rows - row < strip ? n_rows - row : strip;
        struct error e = {0};
        CMD_TRY_OUT(el_source_read_canonical(d->a, at_a, row, n, a, err));
        CMD_TRY_OUT(el_source_read_canonical(d->b, at_b, row, n, b, err));
        add_error(&e, a, b, n * n_in, &r->same_values);
        merge_error(&r->error, &e);
        step(d, r->name, n * n_in * 4);
    }
out:
    free(a);
    free(b);
    r->compared = true;
    return status;
}

static enum el_status compare_tensor(struct diff *d, struct row *r, size_t at_a, size_t at_b, struct el_err *err)
{
    char hash_a[65], hash_b[65];
    r->same_encoding = strcmp(r->a.encoding, r->b.encoding) == 0;
    if (!same_shape(&r->a, &r->b)) {
        r->change = SHAPE;
        return EL_OK;
    }
    if (d->args->directory) {
        r->change = r->same_encoding ? SAME : CHANGED;
        return EL_OK;
    }
    if (r->same_encoding) {
        CMD_TRY(el_source_hash_tensor(d->a, at_a, hash_a, err));
        CMD_TRY(el_source_hash_tensor(d->b, at_b, hash_b, err));
        r->same_bytes = strcmp(hash_a, hash_b) == 0;
    }
    if (r->same_bytes) {
        r->same_values = true;
        step(d, r->name, r->a.n_elems * 4);
    } else {
        CMD_TRY(compare_values(d, r, at_a, at_b, err));
        merge_error(&d->all, &r->error);
    }
    r->change = r->same_bytes || (d->args->values && r->same_values) ? SAME : CHANGED;
    return EL_OK;
}

/* Rows in the order of A, then what only B has in its order. */
static enum el_status compare_tensors(struct diff *d, struct el_err *err)
{
    const size_t n_a = el_source_n_tensors(d->a), n_b = el_source_n_tensors(d->b);
    struct named *const names_a = names_of(d->a), *const names_b = names_of(d->b);
    enum el_status status = EL_OK;
    d->rows = xcalloc(n_a + n_b, sizeof *d->rows);
    for (size_t i = 0; i < n_a; i++)
        d->total += el_source_tensor(d->a, i).n_elems * 4;
    progress_init(&d->progress, "B");
    for (size_t i = 0; i < n_a; i++) {
        struct row *const r = &d->rows[d->n_rows++];
        r->a = el_source_tensor(d->a, i);
        r->name = r->a.name;
        const struct named *const other = find(names_b, n_b, r->name);
        if (!other) {
            r->change = REMOVED;
        } else {
            r->b = el_source_tensor(d->b, other->index);
            CMD_TRY_OUT(compare_tensor(d, r, i, other->index, err));
        }
        d->n_tensors[r->change]++;
    }
    for (size_t i = 0; i < n_b; i++) {
        const struct el_tensor_info info = el_source_tensor(d->b, i);
        if (find(names_a, n_a, info.name))
            continue;
        d->rows[d->n_rows++] = (struct row){.name = info.name, .change = ADDED, .b = info};
        d->n_tensors[ADDED]++;
    }
out:
    progress_end(&d->progress);
    free(names_a);
    free(names_b);
    return status;
}

/* ---- metadata ------------------------------------------------------------------------------------------------------------- */

static bool same_elem(const struct el_meta *a, size_t i, const struct el_meta *b, size_t k, size_t elem)
{
    if (el_meta_elem_type(a, i) == EL_META_STR) {
        size_t n_a, n_b;
        const char *const x = el_meta_str(a, i, elem, &n_a), *const y = el_meta_str(b, k, elem, &n_b);
        return n_a == n_b && memcmp(x, y, n_a) == 0;
    }
    if (el_meta_elem_type(a, i) == EL_META_F32 || el_meta_elem_type(a, i) == EL_META_F64) {
        const double x = el_meta_float(a, i, elem), y = el_meta_float(b, k, elem);
        return memcmp(&x, &y, sizeof x) == 0;
    }
    return el_meta_int(a, i, elem) == el_meta_int(b, k, elem);
}

static bool same_value(const struct el_meta *a, size_t i, const struct el_meta *b, size_t k)
{
    if (el_meta_type(a, i) != el_meta_type(b, k) || el_meta_elem_type(a, i) != el_meta_elem_type(b, k) ||
        el_meta_n_elems(a, i) != el_meta_n_elems(b, k))
        return false;
    for (size_t elem = 0; elem < el_meta_n_elems(a, i); elem++) {
        if (!same_elem(a, i, b, k, elem))
            return false;
    }
    return true;
}

/* Value i, an array by its first elements. i SIZE_MAX: none. */
static char *value_text(const struct el_meta *meta, size_t i)
{
    if (i == SIZE_MAX)
        return xstrdup("-");
    if (el_meta_type(meta, i) != EL_META_ARR)
        return meta_elem_text(meta, i, 0, MAX_CHARS);
    const size_t n = el_meta_n_elems(meta, i);
    char *text = xasprintf("%s[%zu] [", meta_type_name(el_meta_elem_type(meta, i)), n);
    for (size_t k = 0; k < n && k < MAX_ELEMS; k++) {
        char *const elem = meta_elem_text(meta, i, k, 16), *const longer = xasprintf("%s%s%s", text, k ? ", " : "", elem);
        free(elem);
        free(text);
        text = longer;
    }
    char *const whole = xasprintf("%s%s]", text, n > MAX_ELEMS ? ", ..." : "");
    free(text);
    return whole;
}

static void json_value(struct json_out *j, const char *key, const struct el_meta *meta, size_t i)
{
    if (i == SIZE_MAX)
        return;
    json_key(j, key);
    if (el_meta_type(meta, i) != EL_META_ARR) {
        meta_json_elem(j, meta, i, 0);
        return;
    }
    json_object(j);
    json_kstr(j, "type", meta_type_name(el_meta_elem_type(meta, i)));
    json_kuint(j, "n", el_meta_n_elems(meta, i));
    json_key(j, "first");
    json_array(j, true);
    for (size_t k = 0; k < el_meta_n_elems(meta, i) && k < MAX_ELEMS; k++)
        meta_json_elem(j, meta, i, k);
    json_end_array(j);
    json_end_object(j);
}

/* Calls fn for every key that is not the same, those of A first. */
static void each_key(struct diff *d,
                     void (*fn)(struct diff *d, enum change change, const char *key, size_t i, size_t k, void *user), void *user)
{
    const struct el_meta *const a = el_source_meta(d->a), *const b = el_source_meta(d->b);
    for (size_t i = 0; i < el_meta_count(a); i++) {
        const size_t k = el_meta_find(b, el_meta_key(a, i));
        const enum change change = k == SIZE_MAX ? REMOVED : same_value(a, i, b, k) ? SAME : CHANGED;
        fn(d, change, el_meta_key(a, i), i, k, user);
    }
    for (size_t k = 0; k < el_meta_count(b); k++) {
        if (el_meta_find(a, el_meta_key(b, k)) == SIZE_MAX)
            fn(d, ADDED, el_meta_key(b, k), SIZE_MAX, k, user);
    }
}

static void count_key(struct diff *d, enum change change, const char *key, size_t i, size_t k, void *user)
{
    (void)key;
    (void)i;
    (void)k;
    (void)user;
    d->n_keys[change]++;
}

/* ---- output --------------------------------------------------------------------------------------------------------------- */

static void print_key(struct diff *d, enum change change, const char *key, size_t i, size_t k, void *user)
{
    if (change == SAME)
        return;
    struct table *const t = user;
    char *const a = value_text(el_source_meta(d->a), i), *const b = value_text(el_source_meta(d->b), k);
    table_add(t, "%s", change_names[change]);
    table_add_text(t, key, 0);
    table_add(t, "%s", a);
    table_add(t, "%s", b);
    free(a);
    free(b);
}

static void json_print_key(struct diff *d, enum change change, const char *key, size_t i, size_t k, void *user)
{
    if (change == SAME)
        return;
    struct json_out *const j = user;
    json_object(j);
    json_kstr(j, "key", key);
    json_kstr(j, "change", change_names[change]);
    json_value(j, "a", el_source_meta(d->a), i);
    json_value(j, "b", el_source_meta(d->b), k);
    json_end_object(j);
}

static void add_side(struct table *t, const struct el_tensor_info *info)
{
    char shape[96] = "";
    for (uint32_t i = 0, n = 0; i < info->n_dims && n < sizeof shape; i++)
        n += (uint32_t)snprintf(shape + n, sizeof shape - n, "%s%llu", i ? " x " : "", (unsigned long long)info->dims[i]);
    table_add(t, "%s", info->n_dims ? shape : "-");
    table_add(t, "%s", info->n_dims ? info->encoding : "-");
}

static void add_numbers(struct table *t, bool compared, const struct error *e)
{
    if (compared) {
        table_add(t, "%.3g", relative_rmse(e));
        table_add(t, "%.3g", e->max_abs);
        table_add(t, "%.8f", cosine(e));
    }
    for (unsigned i = 0; !compared && i < 3; i++)
        table_add(t, "%s", "");
}

static void print_tensors(const struct diff *d)
{
    static const char *const head[] = {"tensor",   "name",      "shape of A", "encoding", "shape of B",
                                       "encoding", "rel. RMSE", "max abs",    "cosine"};
    struct table t;
    size_t n = 0;
    table_init(&t, "llrlrlrrr");
    for (size_t i = 0; i < sizeof head / sizeof *head; i++)
        table_add(&t, "%s", head[i]);
    for (size_t i = 0; i < d->n_rows; i++) {
        const struct row *const r = &d->rows[i];
        if (r->change == SAME && !d->args->all)
            continue;
        table_add(&t, "%s", change_names[r->change]);
        table_add_text(&t, r->name, 0);
        add_side(&t, &r->a);
        add_side(&t, &r->b);
        add_numbers(&t, r->compared, &r->error);
        n++;
    }
    if (n)
        table_print(&t, stdout);
    table_free(&t);
}

static void print_text(struct diff *d)
{
    if (!d->args->no_metadata) {
        struct table t;
        table_init(&t, "llll");
        static const char *const head[] = {"metadata", "key", "A", "B"};
        for (size_t i = 0; i < sizeof head / sizeof *head; i++)
            table_add(&t, "%s", head[i]);
        const size_t empty = t.n_cells;
        each_key(d, print_key, &t);
        if (t.n_cells > empty) {
            table_print(&t, stdout);
            (void)putchar('\n');
        }
        table_free(&t);
    }
    print_tensors(d);
    if (!d->args->no_metadata)
        (void)printf("metadata: %zu equal, %zu changed, %zu removed, %zu added\n", d->n_keys[SAME], d->n_keys[CHANGED],
                     d->n_keys[REMOVED], d->n_keys[ADDED]);
    (void)printf("tensors: %zu equal, %zu changed, %zu of another shape, %zu removed, %zu added\n", d->n_tensors[SAME],
                 d->n_tensors[CHANGED], d->n_tensors[SHAPE], d->n_tensors[REMOVED], d->n_tensors[ADDED]);
    if (d->all.n)
        (void)printf("weights that differ in bytes: relative RMSE %.4g, largest difference %.4g, cosine %.8f\n",
                     relative_rmse(&d->all), d->all.max_abs, cosine(&d->all));
}

static void json_side(struct json_out *j, const char *key, const struct el_tensor_info *info)
{
    if (!info->n_dims)
        return;
    json_key(j, key);
    json_object(j);
    json_kstr(j, "encoding", info->encoding);
    json_key(j, "shape");
    json_array(j, true);
    for (uint32_t i = 0; i < info->n_dims; i++)
        json_uint(j, info->dims[i]);
    json_end_array(j);
    json_kuint(j, "nbytes", info->nbytes);
    json_end_object(j);
}

static void json_error(struct json_out *j, const struct error *e)
{
    json_knum(j, "relative_rmse", relative_rmse(e));
    json_knum(j, "max_abs", e->max_abs);
    json_knum(j, "cosine", cosine(e));
    json_kuint(j, "n_nonfinite", e->n_nonfinite);
}

static void json_counts(struct json_out *j, const char *key, const size_t n[5], bool shapes)
{
    json_key(j, key);
    json_object(j);
    for (unsigned c = SAME; c <= (shapes ? SHAPE : CHANGED); c++)
        json_kuint(j, change_names[c], n[c]);
    json_end_object(j);
}

static void print_json(struct diff *d, bool equal)
{
    struct json_out j;
    json_init(&j, stdout, false);
    json_object(&j);
    json_kuint(&j, "schema_version", SCHEMA_VERSION);
    json_kstr(&j, "a", el_source_path(d->a));
    json_kstr(&j, "b", el_source_path(d->b));
    json_kbool(&j, "equal", equal);
    if (!d->args->no_metadata) {
        json_counts(&j, "n_keys", d->n_keys, false);
        json_key(&j, "metadata");
        json_array(&j, false);
        each_key(d, json_print_key, &j);
        json_end_array(&j);
    }
    json_counts(&j, "n_tensors", d->n_tensors, true);
    json_key(&j, "tensors");
    json_array(&j, false);
    for (size_t i = 0; i < d->n_rows; i++) {
        const struct row *const r = &d->rows[i];
        if (r->change == SAME && !d->args->all)
            continue;
        json_object(&j);
        json_kstr(&j, "name", r->name);
        json_kstr(&j, "change", change_names[r->change]);
        json_side(&j, "a", &r->a);
        json_side(&j, "b", &r->b);
        if (!d->args->directory && r->a.n_dims && r->b.n_dims && r->change != SHAPE) {
            json_kbool(&j, "same_bytes", r->same_bytes);
            json_kbool(&j, "same_values", r->same_values);
        }
        if (r->compared)
            json_error(&j, &r->error);
        json_end_object(&j);
    }
    json_end_array(&j);
    if (d->all.n) {
        json_key(&j, "weights");
        json_object(&j);
        json_error(&j, &d->all);
        json_end_object(&j);
    }
    json_end_object(&j);
    json_finish(&j);
}

static enum el_status run(const void *args, struct words words, struct el_err *err)
{
    struct diff d = {.args = args};
    enum el_status status = EL_OK;
    if (d.args->directory && d.args->values)
        return cmd_fail(err, EL_E_USAGE, "options '--directory' and '--values' exclude each other");
    CMD_TRY_OUT(el_source_open(words.v[0], NULL, &d.a, err));
    CMD_TRY_OUT(el_source_open(words.v[1], NULL, &d.b, err));
    if (!d.args->no_metadata)
        each_key(&d, count_key, NULL);
    CMD_TRY_OUT(compare_tensors(&d, err));
    bool equal = true;
    for (unsigned c = ADDED; c <= SHAPE; c++)
        equal = equal && d.n_tensors[c] == 0 && d.n_keys[c] == 0;
    if (d.args->json)
        print_json(&d, equal);
    else
        print_text(&d);
    status = equal ? EL_OK : EL_E_FAILED; /* without a message: the answer is on standard output */
out:
    free(d.rows);
    el_source_close(d.a);
    el_source_close(d.b);
    return status;
}

const struct command cmd_diff = {
    .name = "diff",
    .about = "Compare two models: metadata, tensors, error of the weights",
    .details = "Exit code 0: equal, 1: different. Tensors are compared in one row order, whatever the formats.",
    .usage = "[options] A B",
    .opts = diff_opts,
    .args_nbytes = sizeof(struct diff_args),
    .min_words = 2,
    .max_words = 2,
    .run = run,
};
