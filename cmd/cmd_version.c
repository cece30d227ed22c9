#include <stdio.h>

#include "cmd/command.h"
#include "cmd/json_out.h"

struct version_args {
    bool json;
};

static const struct opt version_opts[] = {
    OPT_JSON(struct version_args),
    OPT_END,
};

static enum el_status run(const void *args, struct words words, struct el_err *err)
{
    const struct version_args *const a = args;
    (void)words;
    (void)err;
    if (a->json)
        (void)printf("%s\n", el_build_info_json());
    else
        (void)printf("edgellm %s\n", el_version());
    return EL_OK;
}

const struct command cmd_version = {
    .name = "version",
    .about = "Print the version",
    .details =
        "With --json also commit, compiler, libraries, CPU features and what OpenBLAS would do. The same as 'edgellm --version'.",
    .usage = "[options]",
    .opts = version_opts,
    .args_nbytes = sizeof(struct version_args),
    .min_words = 0,
    .max_words = 0,
    .run = run,
};
