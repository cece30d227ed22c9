/*
 * Plans as files (edgellm-formats(5)): JSON, one line per tensor. Written so that a line is what a person would change: its type
 * and method count, all else of it is what was known when it was written. Read strictly, since a slip of the hand must not
 * become another model: unknown members, tensors that are missing, twice or too many are refused, each with its line.
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/json.h"
#include "base/locale_c.h"
#include "base/mem.h"
#include "base/strmap.h"
#include "quant/mixes.h"
#include "quant/plan.h"

enum { PLAN_VERSION = 1 };
static const char plan_format[] = "edgellm plan";

/* ---- writing ---- */

/* The shortest decimal that reads back as v; v is finite. */
static void add_num(struct el_buf *b, double v)
{
    char text[40];
    for (int digits = 6; digits <= 17; digits++) {
        struct el_buf one;
        el_buf_init(&one);
        el_buf_addf(&one, "%.*g", digits, v);
        (void)snprintf(text, sizeof text, "%s", one.data);
        b->failed = b->failed || one.failed;
        el_buf_release(&one);
        if (el_strtod_c(text, NULL) == v)
            break;
    }
    el_buf_add_str(b, text);
}

static void add_str(struct el_buf *b, const char *key, const char *value)
{
    el_buf_addf(b, "  \"%s\": ", key);
    if (value && value[0])
        el_buf_add_json_str(b, value, strlen(value));
    else
        el_buf_add_str(b, "null");
    el_buf_add_str(b, ",\n");
}

static void add_how(struct el_buf *b, const struct el_method_opts *how)
{
    const char *comma = "";
    el_buf_add_str(b, "  \"options\": {");
    if (how->damping > 0.0) {
        el_buf_add_str(b, "\"damping\": ");
        add_num(b, how->damping);
        comma = ", ";
    }
    if (how->order && strcmp(how->order, "group") != 0) { /* the default */
        el_buf_addf(b, "%s\"order\": \"%s\"", comma, how->order);
        comma = ", ";
    }
    if (how->rounds) {
        el_buf_addf(b, "%s\"rounds\": %" PRIu32, comma, how->rounds);
        comma = ", ";
    }
    if (how->no_descent) {
        el_buf_addf(b, "%s\"no_descent\": true", comma);
        comma = ", ";
    }
    if (how->no_cross)
        el_buf_addf(b, "%s\"no_cross\": true", comma);
    el_buf_add_str(b, "},\n");
}

static void add_head(struct el_buf *b, const struct el_plan *plan, const struct el_plan_origin *origin)
{
    uint64_t nbytes = 0;
    double n_elems = 0.0;
    for (size_t i = 0; i < plan->n; i++) {
        nbytes += plan->entries[i].nbytes;
        n_elems += (double)plan->source->tensors[i].n_rows * (double)plan->source->tensors[i].n_in;
    }
    el_buf_addf(b, "{\n  \"format\": \"%s\",\n  \"version\": %d,\n", plan_format, PLAN_VERSION);
    add_str(b, "made_by", plan->made_by);
    add_str(b, "model_sha256", origin->model_sha256);
    add_str(b, "stats_sha256", origin->stats_sha256);
    if (plan->ftype >= 0)
        el_buf_addf(b, "  \"file_type\": %" PRId32 ",\n", plan->ftype);
    if (plan->keep_meta)
        el_buf_add_str(b, "  \"keep_metadata\": true,\n");
    add_how(b, &plan->how);
    if (origin->nbytes)
        el_buf_addf(b, "  \"nbytes\": %" PRIu64 ",\n", origin->nbytes);
    el_buf_addf(b, "  \"tensor_nbytes\": %" PRIu64 ",\n", nbytes);
    if (n_elems > 0.0)
        el_buf_addf(b, "  \"bits_per_weight\": %.4f,\n", 8.0 * (double)nbytes / n_elems);
    if (isfinite(plan->predicted_kld)) {
        el_buf_add_str(b, "  \"predicted_kld\": ");
        add_num(b, plan->predicted_kld);
        el_buf_add_str(b, ",\n");
    }
}

static void add_entry(struct el_buf *b, const char *name, const struct el_plan_entry *entry)
{
    el_buf_add_str(b, "    {\"name\": ");
    el_buf_add_json_str(b, name, strlen(name));
    el_buf_addf(b, ", \"type\": \"%s\", \"method\": \"%s\", \"nbytes\": %" PRIu64, entry->to_name, el_plan_method_name(entry),
                entry->nbytes);
    if (isfinite(entry->loss)) {
        el_buf_add_str(b, ", \"loss\": ");
        add_num(b, entry->loss);
    }
    if (entry->fallback) {
        el_buf_add_str(b, ", \"fallback\": ");
        el_buf_add_json_str(b, entry->fallback, strlen(entry->fallback));
    }
    el_buf_add_byte(b, '}');
}

enum el_status el_plan_print(const struct el_plan *plan, const struct el_plan_origin *origin, char **text, size_t *nbytes,
                             struct el_err *err)
{
    struct el_buf b;
    *text = NULL;
    if (plan->fold)
        return el_fail(err, EL_E_UNSUPPORTED, "method '%s' changes the model, which a plan file cannot say",
                       plan->folds[0]->name);
    el_buf_init(&b);
    add_head(&b, plan, origin);
    el_buf_add_str(&b, "  \"tensors\": [\n");
    for (size_t i = 0; i < plan->n; i++) {
        add_entry(&b, plan->source->tensors[i].name, &plan->entries[i]);
        el_buf_add_str(&b, i + 1 < plan->n ? ",\n" : "\n");
    }
    el_buf_add_str(&b, "  ]\n}\n");
    *text = el_buf_detach(&b, nbytes);
    el_buf_release(&b);
    return *text ? EL_OK : el_fail(err, EL_E_MEMORY, "plan: out of memory");
}

/* ---- reading ---- */

struct reader {
    const char *text, *what;
    const struct el_source *source;
    const struct el_plan_opts *opts;
    struct el_plan *plan;
    struct el_strmap names; /* of the source's tensors: their indices */
    size_t *lines;          /* [source->n_tensors] line on which a tensor was named; 0: not yet */
    unsigned long line;     /* of what is being read */
    const char *counted;    /* up to where lines were counted, and how many there were */
    unsigned long n_counted;
    bool has_format, has_version;
    const char *tensors; /* the array: read last, since the options come first. NULL: none yet */
    size_t tensors_nbytes;
};

/* Sets the line to that of a place in the text; places mostly come in order. */
static void go_to(struct reader *r, const char *at)
{
    if (!r->counted || at < r->counted) {
        r->counted = r->text;
        r->n_counted = 1;
    }
    for (; r->counted < at; r->counted++)
        r->n_counted += *r->counted == '\n';
    r->line = r->n_counted;
}

#define BAD(r, code, err, fmt, ...) el_fail(err, code, "%s: line %lu: " fmt, (r)->what, (r)->line, __VA_ARGS__)

static const char *type_name(const struct el_json *v)
{
    static const char *const names[] = {"null", "a boolean", "a number", "a string", "an array", "an object"};
    return names[el_json_type(v)];
}

static enum el_status bad_type(const struct reader *r, const char *key, const struct el_json *v, const char *wanted,
                               struct el_err *err)
{
    return BAD(r, EL_E_FORMAT, err, "'%.64s' is %s, must be %s", key, type_name(v), wanted);
}

/* A number that says what was known: not used, but it must be one, or null. */
static enum el_status check_number(const struct reader *r, const char *key, const struct el_json *v, struct el_err *err)
{
    return el_json_is(v, EL_JSON_NUMBER) || el_json_is(v, EL_JSON_NULL) ? EL_OK : bad_type(r, key, v, "a number", err);
}

static enum el_status read_int(const struct reader *r, const char *key, const struct el_json *v, int64_t max, int64_t *out,
                               struct el_err *err)
{
    if (!el_json_int(v, out))
        return bad_type(r, key, v, "an integer", err);
    if (*out < 0 || *out > max)
        return BAD(r, EL_E_FORMAT, err, "'%s' is %" PRId64 ", must be 0 to %" PRId64, key, *out, max);
    return EL_OK;
}

static enum el_status read_hash(const struct reader *r, const char *key, const struct el_json *v, char out[65],
                                struct el_err *err)
{
    if (el_json_is(v, EL_JSON_NULL))
        return EL_OK;
    const char *const hex = el_json_str(v);
    if (!hex)
        return bad_type(r, key, v, "a string", err);
    if (strlen(hex) != 64 || strspn(hex, "0123456789abcdef") != 64)
        return BAD(r, EL_E_FORMAT, err, "'%s' is '%.80s', must be 64 hexadecimal digits in lower case", key, hex);
    memcpy(out, hex, 65);
    return EL_OK;
}

static enum el_status read_option(const struct reader *r, const struct el_json *v, struct el_err *err)
{
    struct el_method_opts *const how = &r->plan->how;
    const char *const key = el_json_key(v);
    int64_t n = 0;
    if (strcmp(key, "damping") == 0) {
        if (!el_json_is(v, EL_JSON_NUMBER))
            return bad_type(r, key, v, "a number", err);
        how->damping = el_json_num(v);
        if (!(how->damping >= 0.0 && how->damping <= 1e6))
            return BAD(r, EL_E_FORMAT, err, "'damping' is %g, must be from 0 to 1e6", how->damping);
    } else if (strcmp(key, "order") == 0) {
        const char *const order = el_json_str(v);
        if (!order)
            return bad_type(r, key, v, "a string", err);
        if (strcmp(order, "group") != 0 && strcmp(order, "act") != 0 && strcmp(order, "none") != 0)
            return BAD(r, EL_E_FORMAT, err, "'order' is '%.64s', must be group, act or none", order);
        (void)snprintf(r->plan->order, sizeof r->plan->order, "%s", order);
        how->order = r->plan->order;
    } else if (strcmp(key, "rounds") == 0) {
        EL_TRY(read_int(r, key, v, 1000000, &n, err));
        how->rounds = (uint32_t)n;
    } else if (strcmp(key, "no_cross") == 0 || strcmp(key, "no_descent") == 0) {
        if (!el_json_is(v, EL_JSON_BOOL))
            return bad_type(r, key, v, "true or false", err);
        *(key[3] == 'c' ? &how->no_cross : &how->no_descent) = el_json_bool(v);
    } else {
        return BAD(r, EL_E_FORMAT, err, "unknown option '%.64s', known are damping, order, rounds, no_descent, no_cross", key);
    }
    return EL_OK;
}

static enum el_status read_made_by(const struct reader *r, const struct el_json *v, struct el_err *err)
{
    if (el_json_is(v, EL_JSON_NULL))
        return EL_OK;
    if (!el_json_str(v))
        return bad_type(r, "made_by", v, "a string", err);
    (void)snprintf(r->plan->made_by, sizeof r->plan->made_by, "%s", el_json_str(v));
    return EL_OK;
}

/* A member of the file but the tensors. */
static enum el_status read_head(struct reader *r, const char *key, const struct el_json *v, struct el_err *err)
{
    int64_t n = 0;
    if (strcmp(key, "format") == 0) {
        r->has_format = true;
        if (!el_json_str(v) || strcmp(el_json_str(v), plan_format) != 0)
            return BAD(r, EL_E_FORMAT, err, "'format' must be \"%s\"", plan_format);
    } else if (strcmp(key, "version") == 0) {
        r->has_version = true;
        EL_TRY(read_int(r, key, v, INT32_MAX, &n, err));
        if (n != PLAN_VERSION)
            return BAD(r, EL_E_UNSUPPORTED, err, "version %" PRId64 ", this program reads %d", n, PLAN_VERSION);
    } else if (strcmp(key, "made_by") == 0) {
        return read_made_by(r, v, err);
    } else if (strcmp(key, "model_sha256") == 0) {
        return read_hash(r, key, v, r->plan->model_sha256, err);
    } else if (strcmp(key, "stats_sha256") == 0) {
        return read_hash(r, key, v, r->plan->stats_sha256, err);
    } else if (strcmp(key, "file_type") == 0) {
        EL_TRY(read_int(r, key, v, INT32_MAX, &n, err));
        r->plan->ftype = (int32_t)n;
    } else if (strcmp(key, "keep_metadata") == 0) {
        if (!el_json_is(v, EL_JSON_BOOL))
            return bad_type(r, key, v, "true or false", err);
        r->plan->keep_meta = el_json_bool(v);
    } else if (strcmp(key, "options") == 0) {
        if (!el_json_is(v, EL_JSON_OBJECT))
            return bad_type(r, key, v, "an object", err);
        for (const struct el_json *o = el_json_first(v); o; o = el_json_next(o))
            EL_TRY(read_option(r, o, err));
    } else if (strcmp(key, "predicted_kld") == 0) {
        EL_TRY(check_number(r, key, v, err));
        r->plan->predicted_kld = el_json_is(v, EL_JSON_NUMBER) ? el_json_num(v) : NAN;
    } else if (strcmp(key, "nbytes") == 0 || strcmp(key, "tensor_nbytes") == 0 || strcmp(key, "bits_per_weight") == 0) {
        return check_number(r, key, v, err);
    } else if (strcmp(key, "comment") != 0) {
        return BAD(r, EL_E_FORMAT, err, "unknown member '%.64s' of a plan", key);
    }
    return EL_OK;
}

static enum el_status on_member(void *user, const struct el_json_member *m, struct el_err *err)
{
    struct reader *const r = user;
    go_to(r, m->text);
    if (strcmp(m->key, "tensors") == 0) {
        if (m->text[0] != '[')
            return BAD(r, EL_E_FORMAT, err, "'%s' must be an array", m->key);
        r->tensors = m->text;
        r->tensors_nbytes = m->nbytes;
        return EL_OK;
    }
    struct el_json_doc *doc;
    EL_TRY(el_json_parse(m->text, m->nbytes, r->what, &doc, err));
    const enum el_status status = read_head(r, m->key, el_json_root(doc), err);
    el_json_free(doc);
    return status;
}

/* The end of the value that begins at p, of an array in good JSON. */
static const char *end_of_value(const char *p, const char *end)
{
    unsigned depth = 0;
    bool in_string = false;
    for (; p < end; p++) {
        if (in_string) {
            if (*p == '\\')
                p++;
            else if (*p == '"')
                in_string = false;
        } else if (*p == '"') {
            in_string = true;
        } else if (*p == '{' || *p == '[') {
            depth++;
        } else if (*p == '}' || *p == ']') {
            if (depth == 0)
                return p;
            depth--;
        } else if (*p == ',' && depth == 0) {
            return p;
        }
    }
    return end;
}

/* What a line may say. */
struct line {
    const char *name, *type, *method, *fallback; /* NULL: not said */
    double loss;
};

static enum el_status read_line(const struct reader *r, const struct el_json *object, struct line *line, struct el_err *err)
{
    *line = (struct line){.loss = NAN};
    if (!el_json_is(object, EL_JSON_OBJECT))
        return BAD(r, EL_E_FORMAT, err, "a tensor is %s, must be an object", type_name(object));
    const struct {
        const char *key, **out;
    } texts[] = {{"name", &line->name}, {"type", &line->type}, {"method", &line->method}, {"fallback", &line->fallback}};
    for (const struct el_json *v = el_json_first(object); v; v = el_json_next(v)) {
        const char *const key = el_json_key(v);
        size_t i = 0;
        while (i < sizeof texts / sizeof *texts && strcmp(key, texts[i].key) != 0)
            i++;
        if (i < sizeof texts / sizeof *texts) {
            *texts[i].out = el_json_str(v);
            if (!*texts[i].out && (i < 2 || !el_json_is(v, EL_JSON_NULL)))
                return bad_type(r, key, v, "a string", err);
        } else if (strcmp(key, "loss") == 0) {
            EL_TRY(check_number(r, key, v, err));
            line->loss = el_json_is(v, EL_JSON_NUMBER) ? el_json_num(v) : NAN;
        } else if (strcmp(key, "nbytes") == 0) {
            EL_TRY(check_number(r, key, v, err));
        } else if (strcmp(key, "comment") != 0) {
            return BAD(r, EL_E_FORMAT, err,
                       "unknown member '%.64s' of a tensor, known are name, type, method, nbytes, loss, "
                       "fallback, comment",
                       key);
        }
    }
    if (!line->name || !line->type)
        return BAD(r, EL_E_FORMAT, err, "a tensor without '%s'", line->name ? "type" : "name");
    return EL_OK;
}

/* The method of a line; *method NULL: the line leaves it to us, or nothing is to be chosen. */
static enum el_status find_method(const struct reader *r, const struct line *line, const struct el_method **method,
                                  struct el_err *err)
{
    *method = el_method_by_name(r->opts->stats ? "imatrix" : "search");
    if (!line->method || strcmp(line->method, "copy") == 0 || strcmp(line->method, "convert") == 0)
        return EL_OK;
    *method = el_method_by_name(line->method);
    return *method ? EL_OK : BAD(r, EL_E_FORMAT, err, "tensor '%s': unknown method '%.64s'", line->name, line->method);
}

static enum el_status set_entry(const struct reader *r, size_t i, const struct line *line, struct el_err *err)
{
    const struct el_tensor *const t = &r->source->tensors[i];
    struct el_plan_entry *const entry = &r->plan->entries[i];
    const struct el_method *method;
    struct el_enc enc;
    struct el_err why;
    if (el_enc_parse(line->type, &enc, &why) != EL_OK)
        return BAD(r, EL_E_FORMAT, err, "tensor '%s': %s", t->name, why.text);
    if (t->n_in % enc.e->block_n != 0)
        return BAD(r, EL_E_USAGE, err, "tensor '%s': rows of %" PRIu64 " are no multiple of %u for %s", t->name, t->n_in,
                   (unsigned)enc.e->block_n, line->type);
    EL_TRY(find_method(r, line, &method, err));
    const bool chooses = !el_enc_equal(&enc, &t->enc) && !(enc.e->flags & EL_ENC_FLOAT);
    if (chooses && !el_mix_quantizes(t->name, t->n_rows))
        return BAD(r, EL_E_USAGE, err, "tensor '%s': is not quantized: its type must be %s (as it is), F16, BF16 or F32", t->name,
                   t->enc_name);
    if (chooses && !r->plan->stats && (method->needs_hessian || method->needs_importance))
        return BAD(r, EL_E_USAGE, err, "tensor '%s': method '%s' needs statistics of the inputs", t->name, method->name);
    const enum el_status status = el_plan_set(r->plan, i, &enc, method, r->opts, err);
    if (status != EL_OK && status != EL_E_MEMORY)
        return el_fail_prefix(err, status, "%s: line %lu: tensor '%s'", r->what, r->line, t->name);
    EL_TRY(status);
    entry->loss = line->loss;
    return line->method ? el_plan_keep_fallback(r->plan, i, line->method, line->fallback, err) : EL_OK;
}

static enum el_status read_tensor(struct reader *r, const char *text, size_t nbytes, struct el_err *err)
{
    struct el_json_doc *doc;
    struct line line;
    go_to(r, text);
    EL_TRY(el_json_parse(text, nbytes, r->what, &doc, err));
    enum el_status status = EL_OK;
    EL_TRY_OUT(read_line(r, el_json_root(doc), &line, err));
    const int64_t i = el_strmap_get(&r->names, line.name, strlen(line.name), -1);
    if (i < 0) {
        status = BAD(r, EL_E_USAGE, err, "'%s' has no tensor '%.200s'", r->source->path, line.name);
        goto out;
    }
    if (r->lines[i]) {
        status = BAD(r, EL_E_FORMAT, err, "tensor '%s' is named twice, first on line %zu", line.name, r->lines[i]);
        goto out;
    }
    r->lines[i] = r->line;
    status = set_entry(r, (size_t)i, &line, err);
out:
    el_json_free(doc);
    return status;
}

static enum el_status read_tensors(struct reader *r, struct el_err *err)
{
    const char *p = r->tensors + 1, *const end = r->tensors + r->tensors_nbytes - 1;
    while (p < end) {
        p += strspn(p, " \t\r\n");
        if (p >= end)
            break;
        const char *const after = end_of_value(p, end);
        EL_TRY(read_tensor(r, p, (size_t)(after - p), err));
        p = after + 1;
    }
    for (size_t i = 0; i < r->source->n_tensors; i++)
        if (!r->lines[i])
            return el_fail(err, EL_E_USAGE, "%s: no line for tensor '%s' of '%s'", r->what, r->source->tensors[i].name,
                           r->source->path);
    return EL_OK;
}

static enum el_status read_all(struct reader *r, size_t nbytes, struct el_err *err)
{
    for (size_t i = 0; i < r->source->n_tensors; i++) {
        const char *const name = r->source->tensors[i].name;
        if (!el_strmap_add(&r->names, name, strlen(name), (int64_t)i, NULL))
            return el_fail(err, EL_E_MEMORY, "%s: out of memory", r->what);
    }
    EL_TRY(el_json_each(r->text, nbytes, r->what, on_member, r, err));
    if (!r->has_format || !r->has_version || !r->tensors)
        return el_fail(err, EL_E_FORMAT, "%s: no plan: '%s' is missing", r->what,
                       !r->has_format    ? "format"
                       : !r->has_version ? "version"
                                         : "tensors");
    return read_tensors(r, err);
}

enum el_status el_plan_read(const struct el_source *source, const char *text, size_t nbytes, const char *what,
                            const struct el_plan_opts *opts, struct el_plan **plan, struct el_err *err)
{
    *plan = NULL;
    struct reader r = {.text = text, .what = what, .source = source, .opts = opts};
    EL_TRY(el_plan_begin(source, opts, &r.plan, err));
    r.plan->how = (struct el_method_opts){.damping = 0.0}; /* the file's, not the caller's */
    el_strmap_init(&r.names);
    r.lines = el_calloc_array(source->n_tensors, sizeof *r.lines);
    const enum el_status status = r.lines ? read_all(&r, nbytes, err) : el_fail(err, EL_E_MEMORY, "%s: out of memory", what);
    el_strmap_release(&r.names);
    el_free(r.lines);
    if (status != EL_OK)
        el_plan_free(r.plan);
    else
        *plan = r.plan;
    return status;
}

struct el_plan_origin el_plan_origin_of(const struct el_plan *plan)
{
    return (struct el_plan_origin){.model_sha256 = plan->model_sha256, .stats_sha256 = plan->stats_sha256};
}
