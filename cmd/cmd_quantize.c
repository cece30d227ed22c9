#include <stdlib.h>
#include <string.h>

#include "cmd/command.h"
#include "cmd/model_io.h"
#include "cmd/pack_io.h"
#include "cmd/quantize_target.h"
#include "cmd/quantize_words.h"
#include "cmd/util.h"

struct quantize_args {
    struct opt_list tensor_types, methods, skips, overrides;
    const char *output_type, *embedding_type, *stats, *report, *plan, *save_plan, *pareto, *tokenizer, *cpu;
    struct target_opts target;
    double damping, alpha;
    unsigned nan, order;
    uint64_t rounds, max_mem, n_threads;
    bool no_cross, no_descent, input_scales, keep_tied, online_rotation, resume, pure, leave_output, allow_requantize, keep_split,
        dry_run, force, json, verbose;
};

static const struct quantize_args defaults = {.target = {.n_tries = 4}};

#define TARGET(name) offsetof(struct quantize_args, target.name)
static const struct opt quantize_opts[] = {
    {OPT_NBYTES, NULL, "target-size", "SIZE", "the best output of at most SIZE bytes (1.5G), in the place of TYPE", TARGET(size),
     1, 0, NULL},
    {OPT_FLOAT, NULL, "target-bpw", "BITS", "the best with at most so many bits per weight on average", TARGET(bpw), 1e-3, 64,
     NULL},
    {OPT_NBYTES, NULL, "target-speed", "SIZE", "the best of which a token reads at most SIZE bytes", TARGET(speed), 1, 0, NULL},
    {OPT_FLOAT, NULL, "max-kld", "NATS", "the smallest output whose divergence is at most this", TARGET(kld), 1e-9, 1e9, NULL},
    {OPT_LIST, NULL, "min-type", "REGEX=TYPE",
     "with a target: no fewer bits per weight than TYPE for these tensors; may be repeated", TARGET(min_types), 0, 0, NULL},
    {OPT_LIST, NULL, "max-type", "REGEX=TYPE", "with a target: no more bits per weight than TYPE; may be repeated",
     TARGET(max_types), 0, 0, NULL},
    {OPT_LIST, NULL, "same-type", "REGEX", "with a target: those of one layer that match share a type; may be repeated",
     TARGET(same_types), 0, 0, NULL},
    {OPT_STR, NULL, "types", "TYPE,...", "with a target: the types to choose from (all standard ones)", TARGET(choices), 0, 0,
     NULL},
    {OPT_CHOICE, NULL, "sensitivity", "WHAT", "with a target: how losses are predicted (hessian); weight runs no model",
     TARGET(metric), 0, 0, TARGET_METRICS},
    {OPT_UINT, NULL, "tries", "N", "with a target: plans that are measured before one is taken (4); 0: none", TARGET(n_tries), 0,
     64, NULL},
    {OPT_STR, "f", "file", "TEXT", "with a target: the text to calibrate and to measure on (one that comes with the program)",
     TARGET(text), 0, 0, NULL},
    {OPT_UINT, NULL, "chunks", "N", "with a target: use the first N windows of the text (0 or -1: all)", TARGET(n_windows), -1,
     1e15, NULL},
    {OPT_UINT, NULL, "measure-chunks", "N", "with a target: measure on the last N of them (8)", TARGET(n_measure), 0, 1e6, NULL},
    {OPT_STR, NULL, "pareto", "FILE", "write what each size loses to FILE as JSON, with a picture beside it, and no model",
     offsetof(struct quantize_args, pareto), 0, 0, NULL},
    {OPT_LIST, NULL, "tensor-type", "REGEX=TYPE",
     "type of the tensors whose name matches; the first that matches counts; may be repeated",
     offsetof(struct quantize_args, tensor_types), 0, 0, NULL},
    {OPT_STR, NULL, "output-tensor-type", "TYPE", "type of output.weight", offsetof(struct quantize_args, output_type), 0, 0,
     NULL},
    {OPT_STR, NULL, "token-embedding-type", "TYPE", "type of token_embd.weight", offsetof(struct quantize_args, embedding_type),
     0, 0, NULL},
    {OPT_FLAG, NULL, "pure", NULL, "every matrix the same type, no rules of a mix", offsetof(struct quantize_args, pure), 0, 0,
     NULL},
    {OPT_FLAG, NULL, "leave-output-tensor", NULL, "keep output.weight as it is", offsetof(struct quantize_args, leave_output), 0,
     0, NULL},
    {OPT_FLAG, NULL, "allow-requantize", NULL, "accept tensors that are quantized already; this loses much",
     offsetof(struct quantize_args, allow_requantize), 0, 0, NULL},
    {OPT_LIST, NULL, "skip", "REGEX", "leave the tensors whose name matches as they are; may be repeated",
     offsetof(struct quantize_args, skips), 0, 0, NULL},
    {OPT_LIST, NULL, "method", "[REGEX=]NAME",
     "how the codes are chosen, A+B after changing the model by A (see 'edgellm --list'), with REGEX in the tensors whose name "
     "matches; may be repeated",
     offsetof(struct quantize_args, methods), 0, 0, NULL},
    {OPT_STR, NULL, "stats|imatrix", "FILE", "statistics of the inputs (see 'edgellm calibrate'), or an importance matrix",
     offsetof(struct quantize_args, stats), 0, 0, NULL},
    {OPT_FLOAT, NULL, "damping", "PART", "gptq, adaround: added to the Hessian's diagonal, as part of its mean (0.01)",
     offsetof(struct quantize_args, damping), 0, 1e6, NULL},
    {OPT_CHOICE, NULL, "order", "WHAT", "gptq: blocks and columns by their inputs (group), columns (act), as they are (none)",
     offsetof(struct quantize_args, order), 0, 0, "group|act|none"},
    {OPT_UINT, NULL, "rounds", "N", "hqq, adaround, gptq's descent: iterations (20, 500, 3)",
     offsetof(struct quantize_args, rounds), 1, 1e6, NULL},
    {OPT_FLAG, NULL, "no-descent", NULL, "gptq: codes and scales stay as they were first rounded",
     offsetof(struct quantize_args, no_descent), 0, 0, NULL},
    {OPT_FLAG, NULL, "no-cross", NULL, "gptq: the statistics' differences between quantized and unquantized inputs do not count",
     offsetof(struct quantize_args, no_cross), 0, 0, NULL},
    {OPT_FLOAT, NULL, "alpha", "A", "smoothquant: how much of the activations' range the weights take, above 0 to 1 (0.5)",
     offsetof(struct quantize_args, alpha), 1e-6, 1, NULL},
    {OPT_FLAG, NULL, "input-scales", NULL,
     "awq, smoothquant: keep scales in the file where nothing can be divided by them; llama.cpp does not run that",
     offsetof(struct quantize_args, input_scales), 0, 0, NULL},
    {OPT_FLAG, NULL, "keep-tied", NULL, "quarot: refuse a model whose embedding is its output too, and would be two matrices",
     offsetof(struct quantize_args, keep_tied), 0, 0, NULL},
    {OPT_FLAG, NULL, "online-rotation", NULL,
     "quarot: rotate what the last matrix of an MLP reads while the model runs; llama.cpp does not run that",
     offsetof(struct quantize_args, online_rotation), 0, 0, NULL},
    {OPT_NBYTES, NULL, "max-mem", "SIZE", "memory to get by with; fewer threads work where it is scarce",
     offsetof(struct quantize_args, max_mem), 1, 0, NULL},
    {OPT_FLAG, NULL, "resume", NULL, "keep what is done in OUT.part, and go on from it where there is one",
     offsetof(struct quantize_args, resume), 0, 0, NULL},
    {OPT_STR, NULL, "report", "FILE", "a line of JSON for every tensor: what was done, and what it lost",
     offsetof(struct quantize_args, report), 0, 0, NULL},
    {OPT_STR, NULL, "plan", "FILE", "do what a plan says that --save-plan wrote, in the place of TYPE",
     offsetof(struct quantize_args, plan), 0, 0, NULL},
    {OPT_STR, NULL, "save-plan", "FILE", "write the plan to FILE: JSON, a line for every tensor",
     offsetof(struct quantize_args, save_plan), 0, 0, NULL},
    {OPT_FLAG, NULL, "keep-split", NULL, "write the output in the same shards as the input",
     offsetof(struct quantize_args, keep_split), 0, 0, NULL},
    {OPT_CHOICE, NULL, "nan", "WHAT", "a NaN or infinite weight is an error (error), or becomes zero",
     offsetof(struct quantize_args, nan), 0, 0, "error|zero"},
    OPT_OVERRIDE(struct quantize_args),
    OPT_TOKENIZER(struct quantize_args),
    {OPT_FLAG, NULL, "dry-run", NULL, "print what would be done, write nothing", offsetof(struct quantize_args, dry_run), 0, 0,
     NULL},
    OPT_FORCE(struct quantize_args),
    OPT_THREADS(struct quantize_args),
    OPT_CPU(struct quantize_args),
    OPT_JSON(struct quantize_args),
    {OPT_FLAG, "v", "verbose", NULL, "one line per tensor on standard error, as on a terminal",
     offsetof(struct quantize_args, verbose), 0, 0, NULL},
    OPT_END,
};
#undef TARGET

/* A plan says all that these say. */
static enum el_status check_plan_alone(const struct quantize_args *a, struct el_err *err)
{
    static const char *const rules[] = {"tensor-type", "output-tensor-type",  "token-embedding-type",
                                        "pure",        "leave-output-tensor", "skip",
                                        "method",      "damping",             "order",
                                        "rounds",      "no-descent",          "no-cross"};
    for (size_t i = 0; a->plan && i < sizeof rules / sizeof *rules; i++)
        if (opts_differ(&cmd_quantize, a, rules[i]))
            return cmd_fail(err, EL_E_USAGE, "option '--plan': the plan says what --%s says, change it there", rules[i]);
    return EL_OK;
}

/* Rules make a plan, or a target does. */
static enum el_status check_target(const struct quantize_args *a, bool *targeted, struct el_err *err)
{
    static const char *const only[] = {"types",          "sensitivity", "tries",    "file",     "chunks",
                                       "measure-chunks", "min-type",    "max-type", "same-type"};
    static const char *const folds[] = {"alpha", "input-scales", "keep-tied", "online-rotation"};
    static const char *const writes[] = {"report", "resume", "max-mem"};
    CMD_TRY(target_check(&a->target, targeted, err));
    const bool finds = *targeted || a->pareto;
    if (*targeted && a->pareto)
        return cmd_fail(err, EL_E_USAGE, "option '--pareto' looks at all sizes: it takes no target");
    if (finds && a->plan)
        return cmd_fail(err, EL_E_USAGE, "option '--plan' and a target exclude each other");
    if (a->pareto && a->save_plan)
        return cmd_fail(err, EL_E_USAGE, "option '--pareto' makes no plan to save");
    if (finds && (a->pure || a->leave_output))
        return cmd_fail(err, EL_E_USAGE, "option '--%s' is a rule for TYPE: with a target --tensor-type says what a tensor gets",
                        a->pure ? "pure" : "leave-output-tensor");
    for (size_t i = 0; a->pareto && i < sizeof writes / sizeof *writes; i++)
        if (opts_differ(&cmd_quantize, a, writes[i]))
            return cmd_fail(err, EL_E_USAGE, "option '--%s': --pareto writes no model", writes[i]);
    for (size_t i = 0; (finds || a->plan) && i < sizeof folds / sizeof *folds; i++)
        if (opts_differ(&cmd_quantize, a, folds[i]))
            return cmd_fail(err, EL_E_USAGE, "option '--%s' is for methods that change the model, which a %s has none of",
                            folds[i], finds ? "target" : "plan");
    for (size_t i = 0; !finds && i < sizeof only / sizeof *only; i++)
        if (opts_differ(&cmd_quantize, a, only[i]))
            return cmd_fail(err, EL_E_USAGE, "option '--%s' is for --target-size and its kin, and --pareto", only[i]);
    return EL_OK;
}

/* "REGEX=NAME" is for some tensors, "NAME" for all others: the last one counts. Returns the former; free() them. */
static const char **split_methods(const struct opt_list *all, size_t *n, const char **name)
{
    const char **const some = xcalloc(all->n, sizeof *some);
    *n = 0;
    *name = NULL;
    for (size_t i = 0; i < all->n; i++) {
        if (strchr(all->v[i], '='))
            some[(*n)++] = all->v[i];
        else
            *name = all->v[i];
    }
    return some;
}

static enum el_status run(const void *args, struct words words, struct el_err *err)
{
    const struct quantize_args *const a = args;
    struct quantize_words q;
    bool targeted;
    struct target_opts target = a->target;
    target.types = &a->tensor_types;
    target.skips = &a->skips;
    target.output_type = a->output_type;
    target.embedding_type = a->embedding_type;
    CMD_TRY(check_plan_alone(a, err));
    CMD_TRY(check_target(a, &targeted, err));
    CMD_TRY(quantize_words_read(words, a->plan || a->pareto || targeted, &q, err));
    if (q.out && ends_with(q.out, ".safetensors"))
        return cmd_fail(err, EL_E_USAGE, "'%s': quantize writes GGUF, and OUT ends in .safetensors", q.out);
    CMD_TRY(model_io_cpu(a->cpu, err));
    static const char *const orders[] = {"group", "act", "none"};
    char *const folder = model_io_folder(q.in);
    if ((a->plan || targeted) && !q.out && !a->dry_run)
        return cmd_fail(err, EL_E_USAGE, "OUT is missing behind '%s'", q.in);
    if (a->pareto && q.out)
        return cmd_fail(err, EL_E_USAGE, "option '--pareto' writes no model: '%s' is one argument too many", q.out);
    char *const out = a->pareto ? xstrdup(a->pareto)
                      : q.out   ? xstrdup(q.out)
                                : quantize_default_out(q.in, path_is_folder(q.in),
                                                     a->plan    ? "plan"
                                                       : targeted ? "target"
                                                                  : q.type);
    const char *method;
    size_t n_tensor_methods;
    const char **const tensor_methods = split_methods(&a->methods, &n_tensor_methods, &method);
    const struct pack_job job = {
        .in = folder ? folder : q.in,
        .out = out,
        .tokenizer = a->tokenizer,
        .overrides = &a->overrides,
        .stats = a->stats,
        .report = a->report,
        .max_nbytes = a->max_mem,
        .resume = a->resume,
        .live = true,
        .plan_in = a->plan,
        .plan_out = a->save_plan,
        .target = targeted ? &target : NULL,
        .plan =
            {.type = q.type,
             .output_type = a->output_type,
             .embedding_type = a->embedding_type,
             .tensor_types = a->tensor_types.v,
             .n_tensor_types = a->tensor_types.n,
             .method = method,
             .tensor_methods = tensor_methods,
             .n_tensor_methods = n_tensor_methods,
             .skips = a->skips.v,
             .n_skips = a->skips.n,
             .how = {.damping = a->damping,
                      .order = orders[a->order],
                      .rounds = (uint32_t)a->rounds,
                      .no_descent = a->no_descent,
                      .no_cross = a->no_cross,
                      .alpha = a->alpha,
                      .input_scales = a->input_scales,
                      .keep_tied = a->keep_tied,
                      .online_rotation = a->online_rotation},
             .pure = a->pure,
             .leave_output = a->leave_output,
             .allow_requantize = a->allow_requantize},
        .sink = {.format = "gguf", .split_as_source = a->keep_split, .overwrite = a->force},
        .n_threads = opts_threads(q.n_threads == UINT64_MAX ? a->n_threads : q.n_threads),
        .nan_to_zero = a->nan == 1,
        .dry_run = a->dry_run,
        .json = a->json,
        .verbose = a->verbose,
    };
    const enum el_status status = a->pareto ? target_pareto(&target, &job, a->pareto, err) : pack_io_run(&job, err);
    free(tensor_methods);
    free(out);
    free(folder);
    return status;
}

const struct command cmd_quantize = {
    .name = "quantize",
    .about = "Write a smaller model file",
    .details = "IN is any readable model, OUT a GGUF file (default: ggml-model-TYPE.gguf beside IN), TYPE an encoding or "
               "a mix of them (see 'edgellm --list').",
    .usage = "[options] IN [OUT] TYPE [THREADS], or --plan FILE|--target-size SIZE IN OUT",
    .opts = quantize_opts,
    .args_nbytes = sizeof(struct quantize_args),
    .defaults = &defaults,
    .min_words = 1,
    .max_words = 4,
    .run = run,
};
