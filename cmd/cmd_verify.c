#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/command.h"
#include "cmd/json_out.h"
#include "cmd/model_io.h"
#include "cmd/progress.h"
#include "cmd/text_out.h"
#include "cmd/util.h"

struct verify_args {
    const char *tokenizer;
    bool strict, json;
};

static const struct opt verify_opts[] = {
    {OPT_FLAG, NULL, "strict", NULL, "trailing bytes, gaps and every other warning are errors",
     offsetof(struct verify_args, strict), 0, 0, NULL},
    OPT_TOKENIZER(struct verify_args),
    OPT_JSON(struct verify_args),
    OPT_END,
};

struct problem {
    char severity;
    char *text;
};

struct verify {
    const struct verify_args *a;
    const char *path;
    struct problem *problems;
    size_t n, cap, n_errors;
    struct progress progress;
};

static void on_problem(void *user, char severity, const char *text)
{
    struct verify *const v = user;
    if (v->n == v->cap) {
        v->cap = v->cap ? 2 * v->cap : 16;
        v->problems = xrealloc(v->problems, v->cap, sizeof *v->problems);
    }
    v->problems[v->n++] = (struct problem){severity, text_line(text, strlen(text), 0)};
    v->n_errors += severity == 'e';
}

/* What opening warns of belongs to the result. */
static void on_log(void *user, const char *text)
{
    on_problem(user, 'w', text);
}

static const char *word_of(char severity)
{
    return severity == 'e' ? "error" : "warning";
}

static void print_json(const struct verify *v, bool ok, const struct el_err *err)
{
    struct json_out j;
    json_init(&j, stdout, false);
    json_object(&j);
    json_kstr(&j, "file", v->path);
    json_kbool(&j, "ok", ok);
    json_kstr(&j, "error", ok ? NULL : err->text);
    json_kuint(&j, "n_errors", v->n_errors);
    json_kuint(&j, "n_warnings", v->n - v->n_errors);
    json_key(&j, "problems");
    json_array(&j, false);
    for (size_t i = 0; i < v->n; i++) {
        json_object(&j);
        json_kstr(&j, "severity", word_of(v->problems[i].severity));
        json_kstr(&j, "text", v->problems[i].text);
        json_end_object(&j);
    }
    json_end_array(&j);
    json_end_object(&j);
    json_finish(&j);
}

static void print_text(const struct verify *v, bool ok)
{
    for (size_t i = 0; i < v->n; i++)
        (void)printf("%s: %s\n", word_of(v->problems[i].severity), v->problems[i].text);
    if (ok) {
        char *const path = text_line(v->path, strlen(v->path), 0);
        (void)printf("%s: ok%s\n", path, v->n ? ", with warnings" : "");
        free(path);
    }
}

static enum el_status check(struct verify *v, struct el_err *err)
{
    struct el_source *source = NULL;
    const struct el_source_opts opts = {.tokenizer = v->a->tokenizer, .strict = v->a->strict};
    el_log_set(on_log, v);
    enum el_status status = el_source_open(v->path, &opts, &source, err);
    if (status == EL_OK) {
        progress_init(&v->progress, "B");
        status = el_verify(source, on_problem, v, progress_step, &v->progress, err);
        progress_end(&v->progress);
    }
    if (status != EL_OK && v->n_errors == 0 && v->a->json)
        on_problem(v, 'e', err->text); /* as text it comes on standard error */
    if (status == EL_OK && v->a->strict && v->n)
        status =
            cmd_fail(err, EL_E_FORMAT, "'%s': %zu warning%s, none allowed with --strict", v->path, v->n, v->n == 1 ? "" : "s");
    el_source_close(source);
    el_log_set(NULL, NULL);
    return status;
}

static enum el_status run(const void *args, struct words words, struct el_err *err)
{
    char *const folder = model_io_folder(words.v[0]);
    struct verify v = {.a = args, .path = folder ? folder : words.v[0]};
    const enum el_status status = check(&v, err);
    if (v.a->json && status != EL_E_INTERRUPTED)
        print_json(&v, status == EL_OK, err);
    else
        print_text(&v, status == EL_OK);
    for (size_t i = 0; i < v.n; i++)
        free(v.problems[i].text);
    free(v.problems);
    free(folder);
    return status;
}

const struct command cmd_verify = {
    .name = "verify",
    .about = "Read all of a model and report what is wrong with it",
    .details = "Structure, shapes against the architecture, tokenizer, scales and values of every block, stored plan.",
    .usage = "[options] FILE",
    .opts = verify_opts,
    .args_nbytes = sizeof(struct verify_args),
    .min_words = 1,
    .max_words = 1,
    .run = run,
};
