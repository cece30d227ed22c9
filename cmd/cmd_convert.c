#include <stdlib.h>
#include <string.h>

#include "cmd/command.h"
#include "cmd/model_io.h"
#include "cmd/pack_io.h"
#include "cmd/util.h"

enum { TYPE_AUTO, TYPE_COPY, TYPE_F32, TYPE_F16, TYPE_BF16 };
enum { TO_AUTO, TO_GGUF, TO_HF, TO_SAFETENSORS };

struct convert_args {
    unsigned type, to, nan;
    uint64_t split_max_nbytes, split_max_tensors, n_threads;
    const char *tokenizer, *cpu;
    struct opt_list overrides;
    bool force, dry_run, json, verbose;
};

static const struct opt convert_opts[] = {
    {OPT_CHOICE, NULL, "type|outtype", "TYPE",
     "type of the matrices; copy keeps every tensor as it is; auto does too, but in GGUF vectors are F32, as with f32, f16 and "
     "bf16",
     offsetof(struct convert_args, type), 0, 0, "auto|copy|f32|f16|bf16"},
    {OPT_CHOICE, NULL, "to", "FORMAT",
     "output format; auto: by the name of OUT (.gguf, .safetensors, else a Hugging Face folder)",
     offsetof(struct convert_args, to), 0, 0, "auto|gguf|hf|safetensors"},
    {OPT_NBYTES, NULL, "split-max-size", "SIZE",
     "begin a new shard before the file exceeds this size (500M, 5G: powers of 1000; 64Mi, 2Gi: of 1024)",
     offsetof(struct convert_args, split_max_nbytes), 1, 0, NULL},
    {OPT_UINT, NULL, "split-max-tensors", "N", "begin a new shard after this many tensors (0: no limit)",
     offsetof(struct convert_args, split_max_tensors), 0, 1048576, NULL},
    OPT_TOKENIZER(struct convert_args),
    OPT_OVERRIDE(struct convert_args),
    {OPT_CHOICE, NULL, "nan", "WHAT", "a NaN or infinite weight is an error (error), or becomes zero",
     offsetof(struct convert_args, nan), 0, 0, "error|zero"},
    {OPT_FLAG, NULL, "dry-run", NULL, "print what would be done, write nothing", offsetof(struct convert_args, dry_run), 0, 0,
     NULL},
    OPT_FORCE(struct convert_args),
    OPT_THREADS(struct convert_args),
    OPT_CPU(struct convert_args),
    OPT_JSON(struct convert_args),
    {OPT_FLAG, "v", "verbose", NULL, "one line per tensor on standard error", offsetof(struct convert_args, verbose), 0, 0, NULL},
    OPT_END,
};

static const char *format_of(unsigned to, const char *out)
{
    static const char *const names[] = {NULL, "gguf", "hf", "safetensors"};
    if (to != TO_AUTO)
        return names[to];
    if (ends_with(out, ".gguf"))
        return "gguf";
    return ends_with(out, ".safetensors") ? "safetensors" : "hf";
}

/* A folder called model.bin is not what was meant. */
static enum el_status check_name(const char *out, struct el_err *err)
{
    static const char *const read_only[] = {".bin", ".pth", ".pt", ".ckpt", ".npz"};
    for (size_t i = 0; i < sizeof read_only / sizeof read_only[0]; i++)
        if (ends_with(out, read_only[i]))
            return cmd_fail(err, EL_E_USAGE,
                            "'%s': files of the kind %s are read, not written; name a .gguf, .safetensors or folder (see --to)",
                            out, read_only[i]);
    return EL_OK;
}

static enum el_status run(const void *args, struct words words, struct el_err *err)
{
    static const char *const types[] = {"COPY", "COPY", "F32", "F16", "BF16"};
    const struct convert_args *const a = args;
    const char *const format = format_of(a->to, words.v[1]);
    if (a->to == TO_AUTO)
        CMD_TRY(check_name(words.v[1], err));
    /* Into safetensors goes what the file has, under its names. */
    char *const folder = strcmp(format, "safetensors") == 0 ? NULL : model_io_folder(words.v[0]);
    const struct pack_job job = {
        .in = folder ? folder : words.v[0],
        .out = words.v[1],
        .tokenizer = a->tokenizer,
        .overrides = &a->overrides,
        .plan = {.type = types[a->type],
                 .for_convert = true,
                 .allow_requantize = true,
                 /* llama.cpp does not run a GGUF file whose norms have 16 bits. */
                 .vectors_f32 = a->type == TYPE_AUTO && strcmp(format, "gguf") == 0},
        .sink = {.format = format,
                 .split_max_nbytes = a->split_max_nbytes,
                 .split_max_tensors = (uint32_t)a->split_max_tensors,
                 .overwrite = a->force},
        .n_threads = opts_threads(a->n_threads),
        .nan_to_zero = a->nan == 1,
        .dry_run = a->dry_run,
        .json = a->json,
        .verbose = a->verbose,
    };
    enum el_status status = model_io_cpu(a->cpu, err);
    if (status == EL_OK)
        status = pack_io_run(&job, err);
    free(folder);
    return status;
}

/* Of convert_hf_to_gguf.py. */
static const struct opt_other others[] = {
    {"outfile", "the output is the second argument"},
    {NULL, NULL},
};

const struct command cmd_convert = {
    .name = "convert",
    .about = "Write a model as GGUF, Hugging Face folder or safetensors file",
    .details = "Smaller types are written by quantize, which reads the same models.",
    .usage = "[options] IN OUT",
    .opts = convert_opts,
    .others = others,
    .args_nbytes = sizeof(struct convert_args),
    .min_words = 2,
    .max_words = 2,
    .run = run,
};
