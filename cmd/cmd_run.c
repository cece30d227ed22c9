#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cmd/command.h"
#include "cmd/json_out.h"
#include "cmd/model_io.h"
#include "cmd/progress.h"
#include "cmd/run_args.h"
#include "cmd/run_batch.h"
#include "cmd/run_chat.h"
#include "cmd/run_inputs.h"
#include "cmd/run_json.h"
#include "cmd/run_session.h"
#include "cmd/run_writer.h"
#include "cmd/util.h"

/* One prompt and its text. */
struct single {
    const struct run_args *a;
    struct model_io io;
    struct writer w;
    struct prompt_cache cache;
    uint32_t n_ctx;
    struct el_grammar *grammar; /* NULL: any text */
    bool visible;               /* standard output is a terminal */
    struct run_times times;
    struct el_err unsaved; /* why the prompt cache could not be written: said when the text is out */
};

static enum el_status print_json(const struct single *s, struct el_err *err)
{
    struct json_out j;
    json_init(&j, stdout, false);
    json_object(&j);
    CMD_TRY(run_json_text(&j, &s->w, err));
    if (s->a->prompt_cache)
        json_kuint(&j, "n_cached", s->cache.n_loaded);
    json_kuint(&j, "n_threads", el_session_n_threads(s->io.session));
    json_kuint(&j, "n_ctx", s->n_ctx);
    json_kstr(&j, "type_k", opts_kv_type(s->a->kv_k));
    json_kstr(&j, "type_v", opts_kv_type(s->a->kv_v));
    json_kuint(&j, "prompt_ns", s->times.prompt_ns);
    json_kuint(&j, "predict_ns", s->times.predict_ns);
    json_knum(&j, "prompt_per_second", run_per_second(s->w.n_prompt - s->cache.n_loaded, s->times.prompt_ns));
    json_knum(&j, "predicted_per_second", run_per_second(s->w.n_ids, s->times.predict_ns));
    json_end_object(&j);
    json_finish(&j);
    return EL_OK;
}

static enum el_status emit(void *user, const char *text, size_t nbytes, struct el_err *err)
{
    const struct single *const s = user;
    if (s->a->json)
        return EL_OK; /* it is printed at the end */
    return run_print(text, nbytes, s->visible, err);
}

static enum el_status open_session(struct single *s, struct el_err *err)
{
    const struct run_args *const a = s->a;
    const struct el_session_opts opts = {
        .n_ctx = s->n_ctx,
        .n_seqs = 1,
        .n_batch = (uint32_t)(a->n_batch < s->w.n_prompt ? a->n_batch : s->w.n_prompt),
        .kv_type_k = opts_kv_type(a->kv_k),
        .kv_type_v = opts_kv_type(a->kv_v),
        .n_threads = opts_threads(a->n_threads),
    };
    return model_io_session(&s->io, &opts, err);
}

static enum el_status prefill(struct single *s, size_t *row, struct el_err *err)
{
    const struct run_args *const a = s->a;
    struct writer *const w = &s->w;
    if (a->prompt_cache)
        CMD_TRY(prompt_cache_load(&s->cache, a, &s->io, w->prompt, w->n_prompt, err));
    const uint64_t start = now_ns();
    CMD_TRY(run_prefill(&s->io, w->prompt, el_session_n_past(s->io.session, 0), w->n_prompt, row, err));
    s->times.prompt_ns = now_ns() - start;
    if (a->prompt_cache && !a->prompt_cache_ro && !a->prompt_cache_all && s->cache.n_loaded < w->n_prompt)
        (void)prompt_cache_save(&s->cache, a, &s->io, w->prompt, w->n_prompt, &s->unsaved);
    return EL_OK;
}

/* With --prompt-cache-all: prompt and text, as far as they were run. */
static void save_all(struct single *s)
{
    const struct writer *const w = &s->w;
    const size_t n = el_session_n_past(s->io.session, 0);
    int32_t *const ids = xcalloc(n, sizeof *ids);
    for (size_t i = 0; i < n; i++)
        ids[i] = i < w->n_prompt ? w->prompt[i] : w->ids[i - w->n_prompt];
    (void)prompt_cache_save(&s->cache, s->a, &s->io, ids, n, &s->unsaved);
    free(ids);
}

static enum el_status continue_prompt(struct single *s, const char *prompt, size_t nbytes, bool is_chat, struct el_err *err)
{
    const struct run_args *const a = s->a;
    struct writer *const w = &s->w;
    size_t row = 0;
    *w = (struct writer){.a = a, .io = &s->io, .emit = emit, .user = s};
    CMD_TRY(writer_prompt(w, prompt, nbytes, is_chat, writer_context(a, &s->io.info), err));
    s->n_ctx = writer_n_positions(w);
    CMD_TRY(open_session(s, err));
    CMD_TRY(writer_open(w, s->grammar, err));
    if (a->seed == UINT64_MAX && !progress_is_quiet())
        (void)fprintf(stderr, "seed: %llu\n", (unsigned long long)w->seed);
    if (a->echo)
        CMD_TRY(writer_echo(w, prompt, nbytes, err));
    CMD_TRY(prefill(s, &row, err));
    const uint64_t start = now_ns();
    CMD_TRY(run_predict(&s->io, w, row, err));
    s->times.predict_ns = now_ns() - start;
    s->times.n_prompt = w->n_prompt;
    s->times.n_cached = s->cache.n_loaded;
    s->times.n_text = w->n_ids;
    if (a->prompt_cache_all)
        save_all(s);
    if (a->json)
        CMD_TRY(print_json(s, err));
    else if (s->visible)
        (void)putchar('\n');
    if (a->timings)
        run_print_times(&s->times);
    *err = s->unsaved;
    return s->unsaved.code;
}

/* The grammar before the weights, which may take long. */
static enum el_status open_model(struct model_io *io, const struct run_args *a, struct el_grammar **grammar, struct el_err *err)
{
    CMD_TRY(model_io_cpu(a->cpu, err));
    CMD_TRY(model_io_source(io, a->model, a->tokenizer, &a->overrides, err));
    CMD_TRY(model_io_tokenizer(io, err));
    CMD_TRY(run_grammar_open(&a->grammar, io->tok, grammar, err));
    return model_io_model(io, a->cache, opts_threads(a->n_threads), err);
}

static enum el_status run(const void *args, struct words words, struct el_err *err)
{
    const struct run_args *const given = args;
    struct run_inputs in = {.prompt = NULL};
    const struct run_args *const a = &in.a;
    struct single s = {.a = a, .visible = isatty(1) == 1};
    char *rendered = NULL;
    size_t n_rendered = 0;
    enum el_status status = EL_OK;
    if (!given->model)
        return cmd_fail(err, EL_E_USAGE, "no model given: option '--model' is missing");
    CMD_TRY(run_args_check(given, err));
    CMD_TRY_OUT(run_inputs_read(&in, given, words, err));
    CMD_TRY_OUT(open_model(&s.io, a, &s.grammar, err));
    if (a->jsonl) {
        status = run_batch(a, &s.io, s.grammar, err);
    } else if (in.dialogue) {
        status = run_dialogue(a, &s.io, s.grammar, in.prompt, err);
    } else if (a->chat || a->messages) {
        CMD_TRY_OUT(chat_render_single(a, &s.io, in.prompt, &rendered, &n_rendered, err));
        status = continue_prompt(&s, rendered, n_rendered, true, err);
    } else {
        status = continue_prompt(&s, in.prompt, in.nbytes, false, err);
    }
out:
    el_free(rendered);
    writer_close(&s.w);
    el_grammar_close(s.grammar);
    model_io_close(&s.io);
    run_inputs_release(&in);
    return status;
}

/* Of llama.cpp's programs and of transformers. */
static const struct opt_other others[] = {
    {"ngl|gpu-layers|n-gpu-layers|dev|device|sm|split-mode|ts|tensor-split", "nothing is offloaded, all runs on the CPU"},
    {"fa|flash-attn|no-warmup|mlock|no-mmap|no-perf|simple-io|no-context-shift", "leave it out"},
    {"color|co|log-disable|log-colors", "leave it out, the text alone goes to standard output"},
    {"jinja", "leave it out, chat templates are Jinja"},
    {"i|interactive|if|interactive-first|mli|multiline-input", "see --chat"},
    {"in-prefix|in-suffix|in-prefix-bos", "see --chat-template"},
    {"max-tokens|max-new-tokens|max-length", "see --n-predict"},
    {"ub|ubatch-size", "see --batch-size"},
    {"tb|threads-batch", "see --threads"},
    {"sp|special", "see --parse-special for the prompt; control tokens have no text"},
    {"hf|hfr|hf-repo|hff|hf-file|mu|model-url", "models are not downloaded, --model names a file or folder"},
    {NULL, NULL},
};

const struct command cmd_run = {
    .name = "run",
    .about = "Continue a prompt, token by token",
    .details = "The prompt comes from PROMPT, --prompt, --file or standard input; with --chat it is what the user says.",
    .usage = "[options] -m FILE [PROMPT]",
    .opts = run_opts,
    .others = others,
    .args_nbytes = sizeof(struct run_args),
    .defaults = &run_defaults,
    .min_words = 0,
    .max_words = 1,
    .run = run,
};
