#include <stdio.h>
#include <string.h>

#include "cmd/command.h"
#include "cmd/text_out.h"
#include "cmd/util.h"

struct help_args {
    char unused;
};

static const struct opt help_opts[] = {
    OPT_END,
};

/* The commands, or those whose first word is group. */
static void print_commands(const char *group)
{
    struct table t;
    table_init(&t, "ll");
    for (size_t i = 0; command_at(i); i++) {
        const char *const name = command_at(i)->name;
        if (group && (strncmp(name, group, strlen(group)) != 0 || name[strlen(group)] != ' '))
            continue;
        table_add(&t, "  %s", name);
        table_add(&t, "%s", command_at(i)->about);
    }
    table_print(&t, stdout);
    table_free(&t);
}

static void print_overview(void)
{
    (void)printf("usage: edgellm COMMAND [options] ...\n\nMakes language models small and runs them.\n\n");
    print_commands(NULL);
    (void)printf("\n'edgellm COMMAND --help' lists the options of a command. A link named edgellm-COMMAND is that command.\n"
                 "Exit codes: 0 ok, 1 failed, 2 usage, 3 bad input, 4 input/output, 5 memory, 7 checksum, 8 unsupported, "
                 "9 partial,\n130 interrupted, 143 terminated.\n");
}

static enum el_status run(const void *args, struct words words, struct el_err *err)
{
    size_t used = 0;
    (void)args;
    if (words.n == 0) {
        print_overview();
        return EL_OK;
    }
    if (words.n == 1 && command_is_group(words.v[0])) {
        (void)printf("usage: edgellm %s COMMAND [options] ...\n\n", words.v[0]);
        print_commands(words.v[0]);
        return EL_OK;
    }
    const struct command *const cmd = command_find(words.v, words.n, &used);
    if (!cmd || used != words.n)
        return cmd_fail(err, EL_E_USAGE, "unknown command '%s%s%s' (see 'edgellm --help')", words.v[0], words.n > 1 ? " " : "",
                        words.n > 1 ? words.v[1] : "");
    opts_help(cmd, stdout);
    return EL_OK;
}

const struct command cmd_help = {
    .name = "help",
    .about = "Print the list of commands, or the help of one",
    .usage = "[COMMAND]",
    .opts = help_opts,
    .args_nbytes = sizeof(struct help_args),
    .min_words = 0,
    .max_words = 2,
    .run = run,
};
