#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cmd/calibrate_text.h"
#include "cmd/command.h"
#include "cmd/json_out.h"
#include "cmd/model_io.h"
#include "cmd/progress.h"
#include "cmd/text_out.h"
#include "cmd/util.h"

enum { AS_STATS, AS_GGUF, AS_DAT };

struct calibrate_args {
    const char *output, *tokenizer, *quantized, *cpu;
    struct opt_list overrides;
    uint64_t n_ctx, chunks, skip_first, max_mem, n_threads;
    double massive;
    unsigned format;
    bool merge, no_hessian, process_output, parse_special, skip_massive, cross, resume, force, json;
};
static const struct calibrate_args defaults = {.n_ctx = 512, .massive = 20};

#define FIELD(name) offsetof(struct calibrate_args, name)
static const struct opt calibrate_opts[] = {
    {OPT_STR, "o", "output|output-file", "STATS", "the file to write", FIELD(output), 0, 0, NULL},
    {OPT_FLAG, NULL, "merge", NULL, "add up the statistics FILE ... instead of running a model", FIELD(merge), 0, 0, NULL},
    {OPT_CHOICE, NULL, "output-format", "WHAT",
     "everything (stats), or llama.cpp's importance matrix alone, as GGUF (gguf) or as the older .dat (dat)", FIELD(format), 0, 0,
     "stats|gguf|dat"},
    {OPT_UINT, "c", "ctx|ctx-size", "N", "tokens per window (512)", FIELD(n_ctx), 1, 1 << 20, NULL},
    {OPT_UINT, NULL, "chunks", "N", "use the first N windows (0 or -1: all)", FIELD(chunks), -1, 1e15, NULL},
    {OPT_FLAG, NULL, "no-hessian", NULL, "leave out the sums of products, which GPTQ and its kin need", FIELD(no_hessian), 0, 0,
     NULL},
    {OPT_FLAG, NULL, "process-output", NULL, "look at the output matrix too", FIELD(process_output), 0, 0, NULL},
    {OPT_FLAG, NULL, "parse-special", NULL, "the text of a control token in TEXT is that token", FIELD(parse_special), 0, 0,
     NULL},
    {OPT_UINT, NULL, "skip-first", "N", "the first N positions of every window do not count (0)", FIELD(skip_first), 0, 1 << 20,
     NULL},
    {OPT_FLAG, NULL, "skip-massive", NULL, "tokens with massive activations do not count in the layers that have them",
     FIELD(skip_massive), 0, 0, NULL},
    {OPT_FLOAT, NULL, "massive", "RATIO", "activations so many times the median token's greatest are massive (20)",
     FIELD(massive), 1, 1e9, NULL},
    {OPT_STR, NULL, "quantized", "FILE", "the model quantized already: each layer sees what its layers before that give",
     FIELD(quantized), 0, 0, NULL},
    {OPT_FLAG, NULL, "cross", NULL, "with --quantized: also how the inputs differ from the unquantized model's", FIELD(cross), 0,
     0, NULL},
    {OPT_NBYTES, NULL, "max-mem", "SIZE", "sums of products that are held at a time; a layer runs again for the rest",
     FIELD(max_mem), 1, 0, NULL},
    {OPT_FLAG, NULL, "resume", NULL, "keep the state in STATS.part, and go on from it where there is one", FIELD(resume), 0, 0,
     NULL},
    OPT_TOKENIZER(struct calibrate_args),
    OPT_OVERRIDE(struct calibrate_args),
    OPT_FORCE(struct calibrate_args),
    OPT_THREADS(struct calibrate_args),
    OPT_CPU(struct calibrate_args),
    OPT_JSON(struct calibrate_args),
    OPT_END,
};
#undef FIELD

struct calibrate {
    const struct calibrate_args *a;
    struct model_io io;
    struct el_source *quantized;
    struct calibrate_text text;
    struct el_calibrate_report *layers; /* [n_layers] of this run */
    size_t n_layers;
    struct progress progress;
};

static void on_layer(void *user, const struct el_calibrate_report *report)
{
    struct calibrate *const c = user;
    c->layers = xrealloc(c->layers, c->n_layers + 1, sizeof *c->layers);
    c->layers[c->n_layers++] = *report;
}

/* ---- what is printed ---- */

static void print_json(const struct calibrate *c)
{
    struct json_out j;
    json_init(&j, stdout, false);
    json_object(&j);
    json_kstr(&j, "output", c->a->output);
    json_kuint(&j, "n_tokens", c->text.n_ids);
    json_kuint(&j, "n_windows", c->text.n_windows);
    json_kstr(&j, "protocol", c->text.protocol);
    json_key(&j, "data");
    json_array(&j, false);
    for (size_t i = 0; i < c->text.n_names; i++) {
        json_object(&j);
        json_kstr(&j, "name", c->text.names[i]);
        json_kstr(&j, "sha256", c->text.sha256[i]);
        json_end_object(&j);
    }
    json_end_array(&j);
    json_key(&j, "layers");
    json_array(&j, false);
    for (size_t i = 0; i < c->n_layers; i++) {
        const struct el_calibrate_report *const l = &c->layers[i];
        json_object(&j);
        json_kuint(&j, "layer", l->layer);
        json_knum(&j, "influence", l->influence);
        json_kuint(&j, "n_massive", l->n_massive);
        if (l->n_massive) {
            json_kuint(&j, "massive_position", l->massive_pos);
            json_kint(&j, "massive_token", l->massive_token);
            json_kuint(&j, "massive_channel", l->massive_channel);
            json_knum(&j, "massive_value", l->massive_value);
        }
        json_end_object(&j);
    }
    json_end_array(&j);
    json_end_object(&j);
    json_finish(&j);
}

static void print_text(const struct calibrate *c)
{
    struct table t;
    table_init(&t, "rrrl");
    static const char *const head[] = {"layer", "influence", "massive", "greatest"};
    for (size_t i = 0; i < sizeof head / sizeof *head; i++)
        table_add(&t, "%s", head[i]);
    for (size_t i = 0; i < c->n_layers; i++) {
        const struct el_calibrate_report *const l = &c->layers[i];
        table_add(&t, "%u", (unsigned)l->layer);
        table_add(&t, "%.4f", l->influence);
        table_add(&t, "%u", (unsigned)l->n_massive);
        if (l->n_massive)
            table_add(&t, "%.4g in channel %u of token %d at position %u", l->massive_value, (unsigned)l->massive_channel,
                      (int)l->massive_token, (unsigned)l->massive_pos);
        else
            table_add(&t, "-");
    }
    table_print(&t, stderr);
    table_free(&t);
    (void)fprintf(stderr, "%zu tokens, %zu %s\n", c->text.n_ids, c->text.n_windows, c->text.protocol);
    for (size_t i = 0; i < c->text.n_names; i++) {
        char *const name = text_line(c->text.names[i], strlen(c->text.names[i]), 0);
        (void)fprintf(stderr, "data sha256 %s  %s\n", c->text.sha256[i], name);
        free(name);
    }
}

/* ---- running a model ---- */

static enum el_status write_stats(struct calibrate *c, const char *state, struct el_err *err)
{
    const struct calibrate_args *const a = c->a;
    const char **const sha256 = xcalloc(c->text.n_names, sizeof *sha256);
    for (size_t i = 0; i < c->text.n_names; i++)
        sha256[i] = c->text.sha256[i];
    const struct el_calibrate_text text = {.ids = c->text.ids,
                                           .window_n = c->text.window_n,
                                           .n_windows = c->text.n_windows,
                                           .n_ctx = (uint32_t)a->n_ctx,
                                           .names = (const char *const *)c->text.names,
                                           .sha256 = sha256,
                                           .n_names = c->text.n_names,
                                           .protocol = c->text.protocol};
    const struct el_calibrate_opts opts = {.no_hessian = a->no_hessian,
                                           .process_output = a->process_output,
                                           .skip_first = (uint32_t)a->skip_first,
                                           .skip_massive = a->skip_massive,
                                           .massive = a->massive,
                                           .quantized = c->quantized,
                                           .cross = a->cross,
                                           .max_nbytes = a->max_mem,
                                           .state_path = state,
                                           .n_threads = opts_threads(a->n_threads),
                                           .progress = progress_step,
                                           .progress_user = &c->progress};
    const struct el_sink_opts sink_opts = {.format = "gguf", .overwrite = a->force};
    struct el_sink *sink = NULL;
    enum el_status status = el_sink_open(a->output, &sink_opts, &sink, err);
    if (status == EL_OK) {
        progress_init(&c->progress, "batches");
        status = el_calibrate(c->io.source, &text, sink, &opts, on_layer, c, err);
        progress_end(&c->progress);
    }
    if (status == EL_OK)
        status = el_sink_commit(sink, err);
    if (status == EL_OK && state)
        (void)unlink(state);
    el_sink_close(sink);
    free(sha256);
    return status;
}

/* What would be found out only at the end. */
static enum el_status check_output(const struct calibrate_args *a, struct el_err *err)
{
    struct stat st;
    if (!a->output)
        return cmd_fail(err, EL_E_USAGE, "no output given: option '--output' is missing");
    if (a->force || lstat(a->output, &st) != 0)
        return EL_OK;
    (void)cmd_fail(err, EL_E_IO, "'%s': output exists already and overwriting was not asked for", a->output);
    err->reason = EL_REASON_EXISTS;
    return EL_E_IO;
}

static enum el_status check_args(const struct calibrate_args *a, struct el_err *err)
{
    if (a->cross && !a->quantized)
        return cmd_fail(err, EL_E_USAGE, "option '--cross' needs --quantized");
    if (!a->merge && a->format != AS_STATS)
        return cmd_fail(err, EL_E_USAGE, "option '--output-format' is for --merge: STATS is what llama.cpp reads as it is");
    const bool running = a->no_hessian || a->process_output || a->parse_special || a->skip_massive || a->resume || a->quantized ||
                         a->tokenizer || a->overrides.n || a->chunks || a->skip_first || a->max_mem;
    if (a->merge && running)
        return cmd_fail(err, EL_E_USAGE,
                        "option '--merge' runs no model: of the other options only --output, --output-format, "
                        "--force, --json and --cpu go with it");
    return check_output(a, err);
}

static enum el_status calibrate(struct calibrate *c, struct words words, struct el_err *err)
{
    const struct calibrate_args *const a = c->a;
    const struct calibrate_text_opts opts = {.paths = (const char *const *)(words.v + 1),
                                             .n_paths = words.n - 1,
                                             .n_ctx = (uint32_t)a->n_ctx,
                                             .max_windows = a->chunks == UINT64_MAX ? 0 : a->chunks,
                                             .parse_special = a->parse_special};
    CMD_TRY(model_io_source(&c->io, words.v[0], a->tokenizer, &a->overrides, err));
    CMD_TRY(model_io_tokenizer(&c->io, err));
    if (a->quantized)
        CMD_TRY(el_source_open(a->quantized, NULL, &c->quantized, err));
    CMD_TRY(calibrate_text_read(&c->text, &c->io, &opts, err));
    char *const state = a->resume ? xasprintf("%s.part", a->output) : NULL;
    const enum el_status status = write_stats(c, state, err);
    free(state);
    return status;
}

/* ---- adding files up ---- */

static void print_merged(const struct calibrate_args *a, size_t n_files)
{
    struct json_out j;
    json_init(&j, stdout, false);
    json_object(&j);
    json_kstr(&j, "output", a->output);
    json_kuint(&j, "n_files", n_files);
    json_end_object(&j);
    json_finish(&j);
}

static enum el_status merge(const struct calibrate_args *a, struct words words, struct el_err *err)
{
    const struct el_sink_opts opts = {.format = a->format == AS_DAT ? "imatrix" : "gguf", .overwrite = a->force};
    struct el_source **const sources = xcalloc(words.n, sizeof *sources);
    struct el_sink *sink = NULL;
    enum el_status status = EL_OK;
    for (size_t i = 0; i < words.n && status == EL_OK; i++)
        status = el_source_open(words.v[i], NULL, &sources[i], err);
    if (status == EL_OK)
        status = el_sink_open(a->output, &opts, &sink, err);
    if (status == EL_OK)
        status = el_stats_merge(sources, words.n, a->format != AS_STATS, sink, err);
    if (status == EL_OK)
        status = el_sink_commit(sink, err);
    el_sink_close(sink);
    for (size_t i = 0; i < words.n; i++)
        el_source_close(sources[i]);
    free(sources);
    if (status == EL_OK && a->json)
        print_merged(a, words.n);
    return status;
}

static enum el_status run(const void *args, struct words words, struct el_err *err)
{
    struct calibrate c = {.a = args};
    CMD_TRY(check_args(c.a, err));
    CMD_TRY(model_io_cpu(c.a->cpu, err));
    if (c.a->merge)
        return merge(c.a, words, err);
    const enum el_status status = calibrate(&c, words, err);
    if (status == EL_OK && c.a->json)
        print_json(&c);
    else if (status == EL_OK && !progress_is_quiet())
        print_text(&c);
    free(c.layers);
    calibrate_text_free(&c.text);
    el_source_close(c.quantized);
    model_io_close(&c.io);
    return status;
}

/* Of llama-imatrix. */
static const struct opt_other others[] = {
    {"m|model|f|file", "model and texts are the arguments: MODEL TEXT ..."},
    {"in-file", "files are added up with --merge"},
    {NULL, NULL},
};

const struct command cmd_calibrate = {
    .name = "calibrate",
    .about = "Measure what a model's matrices read, for better quantization",
    .details =
        "TEXT is plain text, or NAME.jsonl with documents or conversations; without one a text that comes with the program "
        "is read. STATS is a GGUF file that llama.cpp reads as an importance matrix.",
    .usage = "[options] -o STATS MODEL [TEXT ...]",
    .opts = calibrate_opts,
    .others = others,
    .args_nbytes = sizeof(struct calibrate_args),
    .defaults = &defaults,
    .min_words = 1,
    .max_words = 1024,
    .run = run,
};
