#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cmd/command.h"
#include "cmd/json_out.h"
#include "cmd/meta_out.h"
#include "cmd/model_io.h"
#include "cmd/text_out.h"
#include "cmd/totals.h"
#include "cmd/util.h"

enum { MAX_CHARS = 80, MAX_ELEMS = 6, SCHEMA_VERSION = 1 };

struct info_args {
    const char *tokenizer, *metadata;
    bool tensors, json;
};

static const struct opt info_opts[] = {
    {OPT_FLAG, NULL, "tensors", NULL, "only the tensors, one line each", offsetof(struct info_args, tensors), 0, 0, NULL},
    {OPT_STR, NULL, "metadata", "KEY", "only the value of KEY, whole", offsetof(struct info_args, metadata), 0, 0, NULL},
    OPT_TOKENIZER(struct info_args),
    OPT_JSON(struct info_args),
    OPT_END,
};

static void print_shortened(const struct el_meta *meta, size_t i)
{
    const bool is_array = el_meta_type(meta, i) == EL_META_ARR;
    const size_t n = is_array ? el_meta_n_elems(meta, i) : 1;
    if (is_array)
        (void)putchar('[');
    for (size_t k = 0; k < n && k < MAX_ELEMS; k++) {
        char *const s = meta_elem_text(meta, i, k, is_array ? 16 : MAX_CHARS);
        (void)printf("%s%s", k ? ", " : "", s);
        free(s);
    }
    if (is_array)
        (void)printf("%s]", n > MAX_ELEMS ? ", ..." : "");
    (void)putchar('\n');
}

/* --metadata KEY: the value as it is (visible form on a terminal), an array one element a line. */
static enum el_status print_value(const struct info_args *a, const struct el_meta *meta, struct el_err *err)
{
    const size_t i = el_meta_find(meta, a->metadata);
    if (i == SIZE_MAX)
        return cmd_fail(err, EL_E_USAGE, "no metadata '%s'", a->metadata);
    const bool is_array = el_meta_type(meta, i) == EL_META_ARR;
    const size_t n = is_array ? el_meta_n_elems(meta, i) : 1;
    if (a->json) {
        struct json_out j;
        json_init(&j, stdout, false);
        if (is_array)
            json_array(&j, true);
        for (size_t k = 0; k < n; k++)
            meta_json_elem(&j, meta, i, k);
        if (is_array)
            json_end_array(&j);
        json_finish(&j);
        return EL_OK;
    }
    const bool tty = isatty(1) == 1;
    for (size_t k = 0; k < n; k++) {
        size_t nbytes = 0;
        if (el_meta_elem_type(meta, i) == EL_META_STR && !is_array) {
            const char *const s = el_meta_str(meta, i, k, &nbytes);
            text_write(stdout, s, nbytes, tty);
        } else {
            char *const s = meta_elem_text(meta, i, k, 0);
            (void)fputs(s, stdout);
            free(s);
        }
        (void)putchar('\n');
    }
    return EL_OK;
}

/* ---- all of it ------------------------------------------------------------------------------------------------------------ */

static void print_metadata(const struct el_meta *meta)
{
    (void)printf("\nmetadata: %zu values\n", el_meta_count(meta));
    for (size_t i = 0; i < el_meta_count(meta); i++) {
        const char *const key = el_meta_key(meta, i);
        char *const shown = text_line(key, strlen(key), 0);
        char type[32];
        if (el_meta_type(meta, i) == EL_META_ARR)
            (void)snprintf(type, sizeof type, "%s[%zu]", meta_type_name(el_meta_elem_type(meta, i)), el_meta_n_elems(meta, i));
        else
            (void)snprintf(type, sizeof type, "%s", meta_type_name(el_meta_type(meta, i)));
        (void)printf("  %-12s %s = ", type, shown);
        print_shortened(meta, i);
        free(shown);
    }
}

static void shape_text(const struct el_tensor_info *t, char out[96])
{
    size_t n = 0;
    out[0] = '\0';
    for (uint32_t d = 0; d < t->n_dims && n < 96; d++)
        n += (size_t)snprintf(out + n, 96 - n, "%s%llu", d ? " x " : "", (unsigned long long)t->dims[d]);
}

static void print_tensors(const struct el_source *source)
{
    struct table t;
    table_init(&t, "lrlrrrll");
    static const char *const head[] = {"name", "shape", "encoding", "bits/weight", "bytes", "offset", "file", "name in the file"};
    for (size_t i = 0; i < sizeof head / sizeof *head; i++)
        table_add(&t, "%s", head[i]);
    for (size_t i = 0; i < el_source_n_tensors(source); i++) {
        const struct el_tensor_info info = el_source_tensor(source, i);
        char shape[96];
        shape_text(&info, shape);
        table_add_text(&t, info.name, 0);
        table_add(&t, "%s", shape);
        table_add(&t, "%s", info.encoding);
        table_add(&t, "%.2f", totals_bpw(info.n_elems, info.nbytes));
        table_add(&t, "%llu", (unsigned long long)info.nbytes);
        table_add(&t, "%llu", (unsigned long long)info.offset);
        table_add_text(&t, info.file ? info.file : "", 0);
        table_add_text(&t, info.file_name && strcmp(info.file_name, info.name) != 0 ? info.file_name : "", 0);
    }
    table_print(&t, stdout);
    table_free(&t);
}

static void print_totals(const struct totals *totals)
{
    struct table t;
    table_init(&t, "lrrrr");
    static const char *const head[] = {"encoding", "tensors", "weights", "bytes", "bits/weight"};
    for (size_t i = 0; i < sizeof head / sizeof *head; i++)
        table_add(&t, "%s", head[i]);
    for (size_t i = 0; i <= totals->n; i++) {
        const struct total *const row = i < totals->n ? &totals->of[i] : &totals->all;
        table_add(&t, "%s", i < totals->n ? row->encoding : "all");
        table_add(&t, "%llu", (unsigned long long)row->n_tensors);
        table_add(&t, "%llu", (unsigned long long)row->n_elems);
        table_add(&t, "%llu", (unsigned long long)row->nbytes);
        table_add(&t, "%.3f", totals_bpw(row->n_elems, row->nbytes));
    }
    (void)putchar('\n');
    table_print(&t, stdout);
    table_free(&t);
}

static void print_summary(const struct el_source *source, const struct totals *totals)
{
    char count[32], size[32];
    const char *const path = el_source_path(source);
    char *const shown = text_line(path, strlen(path), 0);
    (void)printf("%s: %s, %llu tensors, %s weights, %s, %.3f bits per weight\n", shown, el_source_format(source),
                 (unsigned long long)totals->all.n_tensors, text_count(totals->all.n_elems, count),
                 text_nbytes(totals->all.nbytes, size), totals_bpw(totals->all.n_elems, totals->all.nbytes));
    free(shown);
}

static void json_metadata(struct json_out *j, const struct el_meta *meta)
{
    json_key(j, "metadata");
    json_object(j);
    for (size_t i = 0; i < el_meta_count(meta); i++) {
        json_key(j, el_meta_key(meta, i));
        if (el_meta_type(meta, i) != EL_META_ARR) {
            meta_json_elem(j, meta, i, 0);
            continue;
        }
        const size_t n = el_meta_n_elems(meta, i);
        json_object(j);
        json_kstr(j, "type", meta_type_name(el_meta_elem_type(meta, i)));
        json_kuint(j, "n", n);
        json_key(j, "first");
        json_array(j, true);
        for (size_t k = 0; k < n && k < MAX_ELEMS; k++)
            meta_json_elem(j, meta, i, k);
        json_end_array(j);
        json_end_object(j);
    }
    json_end_object(j);
}

static void json_tensors(struct json_out *j, const struct el_source *source)
{
    json_key(j, "tensors");
    json_array(j, false);
    for (size_t i = 0; i < el_source_n_tensors(source); i++) {
        const struct el_tensor_info t = el_source_tensor(source, i);
        json_object(j);
        json_kstr(j, "name", t.name);
        json_kstr(j, "file_name", t.file_name ? t.file_name : t.name);
        json_kstr(j, "encoding", t.encoding);
        json_key(j, "shape");
        json_array(j, true);
        for (uint32_t d = 0; d < t.n_dims; d++)
            json_uint(j, t.dims[d]);
        json_end_array(j);
        json_kuint(j, "n_elems", t.n_elems);
        json_kuint(j, "nbytes", t.nbytes);
        json_knum(j, "bits_per_weight", totals_bpw(t.n_elems, t.nbytes));
        json_kuint(j, "offset", t.offset);
        json_kstr(j, "file", t.file);
        json_end_object(j);
    }
    json_end_array(j);
}

static void json_total(struct json_out *j, const struct total *t)
{
    json_object(j);
    json_kuint(j, "n_tensors", t->n_tensors);
    json_kuint(j, "n_elems", t->n_elems);
    json_kuint(j, "nbytes", t->nbytes);
    json_knum(j, "bits_per_weight", totals_bpw(t->n_elems, t->nbytes));
    json_end_object(j);
}

static void print_json(const struct info_args *a, const struct el_source *source, const struct totals *totals)
{
    struct json_out j;
    json_init(&j, stdout, false);
    json_object(&j);
    json_kuint(&j, "schema_version", SCHEMA_VERSION);
    json_kstr(&j, "file", el_source_path(source));
    json_kstr(&j, "format", el_source_format(source));
    if (!a->tensors) {
        json_key(&j, "total");
        json_total(&j, &totals->all);
        json_key(&j, "encodings");
        json_object(&j);
        for (size_t i = 0; i < totals->n; i++) {
            json_key(&j, totals->of[i].encoding);
            json_total(&j, &totals->of[i]);
        }
        json_end_object(&j);
        json_metadata(&j, el_source_meta(source));
    }
    json_tensors(&j, source);
    json_end_object(&j);
    json_finish(&j);
}

static enum el_status run(const void *args, struct words words, struct el_err *err)
{
    const struct info_args *const a = args;
    struct model_io io = {0};
    enum el_status status = EL_OK;
    if (a->tensors && a->metadata)
        return cmd_fail(err, EL_E_USAGE, "options '--tensors' and '--metadata' exclude each other");
    CMD_TRY_OUT(model_io_source(&io, words.v[0], a->tokenizer, NULL, err));
    const struct totals totals = totals_of_source(io.source);
    if (a->metadata) {
        status = print_value(a, el_source_meta(io.source), err);
    } else if (a->json) {
        print_json(a, io.source, &totals);
    } else if (a->tensors) {
        print_tensors(io.source);
    } else {
        print_summary(io.source, &totals);
        print_metadata(el_source_meta(io.source));
        print_totals(&totals);
        (void)putchar('\n');
        print_tensors(io.source);
    }
out:
    model_io_close(&io);
    return status;
}

const struct command cmd_info = {
    .name = "info",
    .about = "Print a model file's metadata, encodings and tensors",
    .details = "No weights are read.",
    .usage = "[options] FILE",
    .opts = info_opts,
    .args_nbytes = sizeof(struct info_args),
    .min_words = 1,
    .max_words = 1,
    .run = run,
};
