/*
 * el_verify: everything that can be said of a model file without running it. Reading the header (formats/) has checked the
 * structure; here: family and hyperparameters, names and shapes, tokenizer and special tokens, the stored plan with its report,
 * and every value of every tensor, in strips, so that memory does not grow with the model.
 */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/strmap.h"
#include "model/arch.h"
#include "model/laid_file.h"
#include "model/weight_inputs.h"
#include "model/weights.h"
#include "tensor/source.h"
#include "text/tokenizer.h"

enum { STRIP_NBYTES = 1 << 20, GGUF_NAME_MAX = 63 };

struct verify {
    struct el_source *s;
    el_problem_fn *fn;
    void *user;
    el_progress_fn *progress;
    void *progress_user;
    size_t n_errors, n_warnings;
    uint64_t done, total;       /* bytes of tensors */
    const struct el_arch *arch; /* NULL: not known */
    struct el_hparams hp;
};

EL_PRINTF(3, 4) static void problem(struct verify *v, char severity, const char *fmt, ...)
{
    char text[1024];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    *(severity == 'e' ? &v->n_errors : &v->n_warnings) += 1;
    struct el_err line; /* escapes what came from the file */
    (void)el_fail(&line, EL_E_FORMAT, "%s", text);
    if (v->fn)
        v->fn(v->user, severity, line.text);
}

/* ---- family, names and shapes ---- */

static void shape_problem(void *user, const char *text)
{
    problem(user, 'e', "tensor %s", text);
}

static enum el_status check_family(struct verify *v, struct el_err *err)
{
    const struct el_meta *const meta = v->s->meta;
    struct el_err why = {.code = EL_OK};
    const struct el_arch *const arch = el_arch_of_meta(meta, &why);
    if (!arch) {
        /* Another program may well run a family that this one does not know. */
        if (why.code == EL_E_UNSUPPORTED)
            problem(v, 'w', "%s: names and shapes are not checked", why.text);
        else if (v->s->n_tensors > 0)
            problem(v, 'e', "%s", why.text);
        return EL_OK;
    }
    if (v->s->n_tensors == 0)
        return EL_OK; /* a vocabulary alone needs no hyperparameters */
    if (el_arch_hparams(arch, meta, &v->hp, &why) != EL_OK) {
        problem(v, 'e', "%s", why.text);
        return EL_OK;
    }
    v->arch = arch;
    return el_weights_check(arch, &v->hp, v->s, shape_problem, v, err);
}

static void check_names(struct verify *v)
{
    for (size_t i = 0; i < v->s->n_tensors; i++) {
        const struct el_tensor *const t = &v->s->tensors[i];
        for (uint32_t p = 0; p < t->n_parts; p++) {
            const size_t nbytes = strlen(t->name) + strlen(t->parts[p].suffix);
            if (nbytes > GGUF_NAME_MAX)
                problem(v, 'w', "tensor '%s%s': name of %zu bytes, other GGUF programs read at most %d", t->name,
                        t->parts[p].suffix, nbytes, GGUF_NAME_MAX);
        }
    }
}

/* ---- tokenizer ---- */

/* "tokenizer.ggml.bos_token_id" and its like, and lists of them. */
static bool is_token_id_key(const char *key)
{
    static const char prefix[] = "tokenizer.ggml.";
    const size_t n = strlen(key);
    return strncmp(key, prefix, sizeof prefix - 1) == 0 &&
           ((n > 9 && strcmp(key + n - 9, "_token_id") == 0) || (n > 10 && strcmp(key + n - 10, "_token_ids") == 0));
}

static void check_special_ids(struct verify *v, size_t n_tokens)
{
    const struct el_meta *const meta = v->s->meta;
    for (size_t i = 0; i < el_meta_count(meta); i++) {
        const char *const key = el_meta_key(meta, i);
        const enum el_meta_type type = el_meta_elem_type(meta, i);
        if (!is_token_id_key(key))
            continue;
        if (type == EL_META_STR || type == EL_META_F32 || type == EL_META_F64 || type == EL_META_BOOL) {
            problem(v, 'e', "metadata '%s': of type %s, must be an integer", key, el_meta_type_name(type));
            continue;
        }
        for (size_t j = 0; j < el_meta_n_elems(meta, i); j++) {
            const int64_t id = el_meta_int(meta, i, j);
            if (id == -1 || id == UINT32_MAX) /* some writers' word for "none" */
                problem(v, 'w', "metadata '%s': %lld, which no token has; leave the key out instead", key, (long long)id);
            else if (id < 0 || (uint64_t)id >= n_tokens)
                problem(v, 'e', "metadata '%s': %lld, must be below the number of tokens, %zu", key, (long long)id, n_tokens);
        }
    }
}

static enum el_status check_tokenizer(struct verify *v, struct el_err *err)
{
    const struct el_meta *const meta = v->s->meta;
    struct el_tokenizer *tok = NULL;
    struct el_err why = {.code = EL_OK};
    if (el_meta_find(meta, "tokenizer.ggml.tokens") == SIZE_MAX && el_meta_find(meta, "tokenizer.huggingface.json") == SIZE_MAX) {
        problem(v, 'w', "no tokenizer: text cannot be turned into tokens");
        return EL_OK;
    }
    const enum el_status status = el_tokenizer_from_meta(meta, &tok, &why);
    if (status == EL_E_MEMORY || status == EL_E_INTERRUPTED)
        return el_fail(err, status, "'%s': %s", v->s->path, why.text);
    if (status != EL_OK) {
        problem(v, status == EL_E_UNSUPPORTED ? 'w' : 'e', "tokenizer: %s", why.text);
        const size_t at = el_meta_find(meta, "tokenizer.ggml.tokens");
        if (at != SIZE_MAX)
            check_special_ids(v, el_meta_n_elems(meta, at));
        return EL_OK;
    }
    const size_t n_tokens = el_tok_n_vocab(tok);
    el_tokenizer_close(tok);
    check_special_ids(v, n_tokens);
    if (v->arch && n_tokens > v->hp.n_vocab)
        problem(v, 'e', "tokenizer: %zu tokens, but the model has only %u embeddings", n_tokens, v->hp.n_vocab);
    else if (v->arch && n_tokens < v->hp.n_vocab)
        problem(v, 'w', "tokenizer: %zu tokens, the model has %u embeddings", n_tokens, v->hp.n_vocab);
    return EL_OK;
}

/* ---- the stored plan ---- */

/*
 * One line "NAME ENCODING METHOD[ fallback: WHY]". Names may hold spaces: the right cut is the one in front of which a tensor's
 * name stands. Returns the tensor's index or SIZE_MAX, and the encoding's name.
 */
static size_t parse_plan_line(const struct el_strmap *names, const char *line, size_t nbytes, char enc[32])
{
    for (size_t cut = 0; cut < nbytes; cut++) {
        if (line[cut] != ' ')
            continue;
        const int64_t at = el_strmap_get(names, line, cut, -1);
        size_t n = 0;
        while (cut + 1 + n < nbytes && line[cut + 1 + n] != ' ')
            n++;
        if (at < 0 || n == 0 || n >= 32 || cut + 1 + n == nbytes)
            continue;
        memcpy(enc, line + cut + 1, n);
        enc[n] = '\0';
        return (size_t)at;
    }
    return SIZE_MAX;
}

/* What packing found out: arrays of one element for each line of the plan. */
static const struct report_array {
    const char *key;
    enum el_meta_type type;
    bool may_be_nan;
} report_arrays[] = {
    {"edgellm.report.weight_error", EL_META_F32, false},
    {"edgellm.report.output_error", EL_META_F32, true},
    {"edgellm.report.damping", EL_META_F32, false},
    {"edgellm.report.weaker", EL_META_U32, false},
};
enum { N_REPORT_ARRAYS = sizeof report_arrays / sizeof *report_arrays };

/* Parts that a line of the plan can have a weaker method in: experts, or the matrix. A line without a tensor is told of above. */
static uint64_t n_parts_of(const struct verify *v, size_t plan, size_t line)
{
    const char *const text = el_meta_str(v->s->meta, plan, line, NULL);
    for (size_t i = 0; i < v->s->n_tensors; i++) {
        const struct el_tensor *const t = &v->s->tensors[i];
        const size_t n = strlen(t->name);
        if (strncmp(text, t->name, n) == 0 && text[n] == ' ')
            return t->n_dims > 2 ? t->dims[0] : 1;
    }
    return UINT64_MAX;
}

static void check_report_values(struct verify *v, const struct report_array *a, size_t at, size_t plan)
{
    const uint8_t *const raw = el_meta_raw(v->s->meta, at);
    for (size_t i = 0; i < el_meta_n_elems(v->s->meta, at); i++) {
        if (a->type == EL_META_F32) {
            float x;
            memcpy(&x, raw + 4 * i, sizeof x);
            if ((isnan(x) && a->may_be_nan) || (isfinite(x) && x >= 0.0f))
                continue;
            problem(v, 'e', "metadata '%s': element %zu is %g, allowed are numbers from 0%s", a->key, i, (double)x,
                    a->may_be_nan ? " and NaN" : "");
        } else {
            uint32_t x;
            memcpy(&x, raw + 4 * i, sizeof x);
            const uint64_t most = x > 0 ? n_parts_of(v, plan, i) : 0;
            if (x <= most)
                continue;
            problem(v, 'e', "metadata '%s': element %zu is %u, the tensor has %llu part%s", a->key, i, x,
                    (unsigned long long)most, most == 1 ? "" : "s");
        }
        return; /* the first says it */
    }
}

static void check_report_array(struct verify *v, const struct report_array *a, size_t at, size_t plan)
{
    const struct el_meta *const meta = v->s->meta;
    const enum el_meta_type type = el_meta_type(meta, at);
    const size_t n = type == EL_META_ARR ? el_meta_n_elems(meta, at) : 0, want = el_meta_n_elems(meta, plan);
    if (type != EL_META_ARR)
        problem(v, 'e', "metadata '%s': of type %s, must be an array of %s", a->key, el_meta_type_name(type),
                el_meta_type_name(a->type));
    else if (el_meta_elem_type(meta, at) != a->type)
        problem(v, 'e', "metadata '%s': array of %s, must be one of %s", a->key, el_meta_type_name(el_meta_elem_type(meta, at)),
                el_meta_type_name(a->type));
    else if (n != want)
        problem(v, 'e', "metadata '%s': %zu elements, must be %zu, one for each line of 'edgellm.plan'", a->key, n, want);
    else
        check_report_values(v, a, at, plan);
}

/* The weights' errors come alone, or all four come. plan: where that is; SIZE_MAX: nowhere. */
static void check_report(struct verify *v, size_t plan)
{
    size_t at[N_REPORT_ARRAYS], n = 0;
    for (size_t k = 0; k < N_REPORT_ARRAYS; k++) {
        at[k] = el_meta_find(v->s->meta, report_arrays[k].key);
        n += at[k] != SIZE_MAX;
    }
    for (size_t k = 0; k < N_REPORT_ARRAYS; k++) {
        if (at[k] != SIZE_MAX && plan == SIZE_MAX)
            problem(v, 'e', "metadata '%s': there is no 'edgellm.plan' that it is about", report_arrays[k].key);
        else if (at[k] != SIZE_MAX)
            check_report_array(v, &report_arrays[k], at[k], plan);
        else if (n > 1 || (n == 1 && at[0] == SIZE_MAX))
            problem(v, 'e', "metadata '%s': missing, though there are others of a report", report_arrays[k].key);
    }
}

static enum el_status check_plan(struct verify *v, struct el_err *err)
{
    const struct el_source *const s = v->s;
    const size_t at = el_meta_find(s->meta, "edgellm.plan");
    if (at == SIZE_MAX) {
        check_report(v, at);
        return EL_OK;
    }
    if (el_meta_type(s->meta, at) != EL_META_ARR || el_meta_elem_type(s->meta, at) != EL_META_STR) {
        problem(v, 'e', "metadata 'edgellm.plan': must be an array of strings");
        return EL_OK;
    }
    struct el_strmap names;
    el_strmap_init(&names);
    bool *const planned = el_calloc_array(s->n_tensors, sizeof *planned);
    enum el_status status = planned ? EL_OK : EL_E_MEMORY;
    for (size_t i = 0; status == EL_OK && i < s->n_tensors; i++) {
        if (!el_strmap_add(&names, s->tensors[i].name, strlen(s->tensors[i].name), (int64_t)i, NULL))
            status = EL_E_MEMORY;
    }
    for (size_t j = 0; status == EL_OK && j < el_meta_n_elems(s->meta, at); j++) {
        size_t nbytes;
        char enc[32];
        const char *const line = el_meta_str(s->meta, at, j, &nbytes);
        const size_t i = parse_plan_line(&names, line, nbytes, enc);
        if (i == SIZE_MAX)
            problem(v, 'e', "metadata 'edgellm.plan': '%.100s' names no tensor of the file, or no encoding", line);
        else if (planned[i])
            problem(v, 'e', "metadata 'edgellm.plan': tensor '%s' is named twice", s->tensors[i].name);
        else if (strcmp(enc, s->tensors[i].enc_name) != 0)
            problem(v, 'e', "tensor '%s': is %s, but metadata 'edgellm.plan' says %s", s->tensors[i].name, s->tensors[i].enc_name,
                    enc);
        if (i != SIZE_MAX)
            planned[i] = true;
    }
    for (size_t i = 0; status == EL_OK && i < s->n_tensors; i++) {
        if (!planned[i])
            problem(v, 'e', "tensor '%s': not named by metadata 'edgellm.plan'", s->tensors[i].name);
    }
    check_report(v, at);
    el_free(planned);
    el_strmap_release(&names);
    return status == EL_OK ? EL_OK : el_fail(err, status, "'%s': out of memory", s->path);
}

/* ---- values ---- */

/* What was found in a tensor so far. */
struct findings {
    uint64_t n_nan, n_inf, n_bad_scales, first; /* first: element */
    bool all_zero, any_not_positive, any_no_sign;
};

static void look_at_values(const float *x, uint64_t first_elem, uint64_t n, struct findings *f)
{
    for (uint64_t i = 0; i < n; i++) {
        f->all_zero = f->all_zero && x[i] == 0;
        f->any_not_positive = f->any_not_positive || !(x[i] > 0);
        f->any_no_sign = f->any_no_sign || (x[i] != 1.0f && x[i] != -1.0f);
        if (isfinite(x[i]))
            continue;
        if (f->n_nan + f->n_inf == 0)
            f->first = first_elem + i;
        f->n_nan += isnan(x[i]) != 0;
        f->n_inf += isinf(x[i]) != 0;
    }
}

static void report_values(struct verify *v, const struct el_tensor *t, const struct findings *f)
{
    if (f->n_bad_scales > 0)
        problem(v, 'e', "tensor '%s': %llu scales of %s blocks are not finite", t->name, (unsigned long long)f->n_bad_scales,
                t->enc_name);
    if (f->n_nan + f->n_inf > 0)
        problem(v, 'e', "tensor '%s': %llu NaN and %llu infinite values, the first in row %llu, column %llu", t->name,
                (unsigned long long)f->n_nan, (unsigned long long)f->n_inf, (unsigned long long)(f->first / t->n_in),
                (unsigned long long)(f->first % t->n_in));
    if (t->n_rows * t->n_in == 0)
        return;
    if (f->all_zero && t->n_dims > 1)
        problem(v, 'w', "tensor '%s': every value is zero", t->name);
    const struct el_tensor_rule *const rule = v->arch ? el_arch_rule(v->arch, t->name, NULL) : NULL;
    if (rule && el_arch_is_rope_factors(rule->role) && f->any_not_positive)
        problem(v, 'e', "tensor '%s': not every value is positive", t->name);
    uint32_t layer = 0;
    enum el_input_tensor which = EL_INPUT_SCALE;
    if (v->arch && el_input_rule(v->arch, t->name, &layer, &which) && which == EL_INPUT_SIGNS && f->any_no_sign)
        problem(v, 'e', "tensor '%s': not every value is 1 or -1", t->name);
}

/* Strip buffers of one tensor: its parts, and room for decoded values where the encoding cannot say itself what is wrong. */
struct strip {
    uint8_t *parts[EL_MAX_PARTS];
    float *values;
    uint64_t n_rows;
};

static enum el_status strip_open(const struct verify *v, const struct el_tensor *t, struct strip *st, struct el_err *err)
{
    uint64_t row_nbytes = t->n_in * sizeof(float);
    for (uint32_t p = 0; p < t->n_parts; p++)
        row_nbytes += t->parts[p].row_nbytes;
    st->n_rows = row_nbytes ? STRIP_NBYTES / row_nbytes : 1;
    st->n_rows = st->n_rows == 0 ? 1 : st->n_rows > t->n_rows ? t->n_rows : st->n_rows;
    bool fits = true;
    for (uint32_t p = 0; p < t->n_parts; p++) {
        const uint64_t nbytes = t->parts[p].row_nbytes ? t->parts[p].row_nbytes * st->n_rows : t->parts[p].nbytes;
        st->parts[p] = nbytes <= SIZE_MAX ? el_alloc((size_t)nbytes) : NULL;
        fits = fits && st->parts[p];
    }
    st->values = el_alloc_array((size_t)(st->n_rows * t->n_in), sizeof *st->values);
    return fits && st->values ? EL_OK : el_fail(err, EL_E_MEMORY, "'%s': tensor '%s': out of memory", v->s->path, t->name);
}

static void strip_close(struct strip *st)
{
    for (uint32_t p = 0; p < EL_MAX_PARTS; p++)
        el_free(st->parts[p]);
    el_free(st->values);
}

/* The order of the columns, which all rows share. */
static enum el_status check_order(struct verify *v, const struct el_tensor *t, const struct el_matrix *m, struct el_err *err)
{
    struct el_err why = {.code = EL_OK};
    const enum el_status status = el_matrix_check(m, &why);
    if (status == EL_E_FORMAT) {
        problem(v, 'e', "tensor '%s': %s", t->name, why.text);
        return EL_OK;
    }
    return status == EL_OK ? EL_OK : el_fail(err, status, "'%s': tensor '%s': %s", v->s->path, t->name, why.text);
}

static enum el_status check_values(struct verify *v, const struct el_tensor *t, struct el_err *err)
{
    struct findings f = {.all_zero = true};
    struct strip st = {.values = NULL};
    enum el_status status = strip_open(v, t, &st, err);
    struct el_matrix m = {.enc = t->enc, .n_in = t->n_in};
    for (uint32_t p = 0; p < t->n_parts; p++) {
        m.data[p] = st.parts[p];
        m.row_nbytes[p] = t->parts[p].row_nbytes;
    }
    for (uint64_t r = 0; status == EL_OK && t->n_in > 0 && r < t->n_rows; r += st.n_rows) {
        m.n_rows = t->n_rows - r < st.n_rows ? t->n_rows - r : st.n_rows;
        status = el_source_read_parts(v->s, t, NULL, r, m.n_rows, st.parts, err);
        if (status != EL_OK)
            break;
        if (r == 0)
            status = check_order(v, t, &m, err);
        if (status != EL_OK)
            break;
        if (t->enc.e->n_bad_scales)
            f.n_bad_scales += t->enc.e->n_bad_scales(&m, 0, m.n_rows);
        el_matrix_decode(&m, 0, m.n_rows, st.values);
        look_at_values(st.values, r * t->n_in, m.n_rows * t->n_in, &f);
        for (uint32_t p = 0; p < t->n_parts; p++)
            v->done += m.n_rows * t->parts[p].row_nbytes;
        if (v->progress)
            v->progress(v->progress_user, t->name, v->done, v->total);
        if (el_interrupted())
            status = el_fail(err, EL_E_INTERRUPTED, "'%s': interrupted", v->s->path);
    }
    strip_close(&st);
    if (status == EL_OK)
        report_values(v, t, &f);
    return status;
}

/* A file of re-laid matrices is no model: there are its hashes instead. */
static void laid_problem(void *user, char severity, const char *text)
{
    problem(user, severity, "%s", text);
}

static enum el_status check_model(struct verify *v, struct el_err *err)
{
    for (size_t i = 0; i < v->s->n_tensors; i++)
        v->total += el_tensor_nbytes(&v->s->tensors[i]);
    EL_TRY(check_family(v, err));
    check_names(v);
    EL_TRY(check_tokenizer(v, err));
    EL_TRY(check_plan(v, err));
    for (size_t i = 0; i < v->s->n_tensors; i++)
        EL_TRY(check_values(v, &v->s->tensors[i], err));
    return EL_OK;
}

enum el_status el_verify(struct el_source *source, el_problem_fn *fn, void *user, el_progress_fn *progress, void *progress_user,
                         struct el_err *err)
{
    struct verify v = {.s = source, .fn = fn, .user = user, .progress = progress, .progress_user = progress_user};
    if (el_laid_file_is(source))
        EL_TRY(el_laid_file_verify(source, laid_problem, &v, progress, progress_user, err));
    else
        EL_TRY(check_model(&v, err));
    if (v.n_errors > 0)
        return el_fail(err, EL_E_FORMAT, "'%s': %zu error%s, %zu warning%s", source->path, v.n_errors, v.n_errors == 1 ? "" : "s",
                       v.n_warnings, v.n_warnings == 1 ? "" : "s");
    return EL_OK;
}
