/*
 * The edgellm program: one binary, subcommands. The command is the first word (eval: the first two), or the name by which the
 * program was called: a link edgellm-quantize is "edgellm quantize".
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/command.h"
#include "cmd/process.h"
#include "cmd/progress.h"
#include "cmd/util.h"

static void print_warning(void *user, const char *text)
{
    (void)user;
    if (!progress_is_quiet())
        (void)fprintf(stderr, "edgellm: warning: %s\n", text);
}

/* EDGELLM_CPU is checked by hand, so that the error names the variable and not an option. */
static enum el_status apply_environment(struct el_err *err)
{
    const char *const level = getenv("EDGELLM_CPU");
    struct el_err why;
    if (!level || !*level)
        return EL_OK;
    const enum el_status status = el_cpu_cap(level, &why);
    return status == EL_OK ? EL_OK : cmd_fail(err, status, "environment variable EDGELLM_CPU: %s", why.text);
}

/* Nearest command name to what was typed, or NULL. */
static const char *nearest_command(const char *word)
{
    const char *best = NULL;
    size_t best_distance = strlen(word) / 3 + 2;
    for (size_t i = 0; command_at(i); i++) {
        const size_t d = opts_distance(word, command_at(i)->name);
        if (d < best_distance) {
            best_distance = d;
            best = command_at(i)->name;
        }
    }
    return best;
}

static enum el_status unknown_command(char *const *argv, size_t argc, struct el_err *err)
{
    if (command_is_group(argv[0])) {
        char names[128] = "";
        for (size_t i = 0, n = 0; command_at(i); i++)
            if (strncmp(command_at(i)->name, argv[0], strlen(argv[0])) == 0 && n < sizeof names)
                n += (size_t)snprintf(names + n, sizeof names - n, "%s%s", n ? ", " : "", command_at(i)->name);
        return cmd_fail(err, EL_E_USAGE, "'%s%s%s' is no command; there are %s", argv[0], argc > 1 ? " " : "",
                        argc > 1 ? argv[1] : "", names);
    }
    const char *const near = nearest_command(argv[0]);
    if (near)
        return cmd_fail(err, EL_E_USAGE, "unknown command '%s', did you mean '%s'?", argv[0], near);
    return cmd_fail(err, EL_E_USAGE, "unknown command '%s' (see 'edgellm --help')", argv[0]);
}

/* The command in the program's own name: "edgellm-eval-ppl" gives the words "eval ppl". NULL: none. */
static char *words_of_program(const char *argv0)
{
    char base[256];
    path_base(argv0 ? argv0 : "", base, sizeof base);
    if (strncmp(base, "edgellm-", 8) != 0)
        return NULL;
    char *const words = xstrdup(base + 8);
    for (char *p = words; *p; p++)
        if (*p == '-')
            *p = ' ';
    return words;
}

static enum el_status run_command(const struct command *cmd, int argc, char **argv, struct el_err *err)
{
    void *const args = xcalloc(1, cmd->args_nbytes);
    if (cmd->defaults)
        memcpy(args, cmd->defaults, cmd->args_nbytes);
    struct opt_common common = {0};
    struct words words = {0};
    enum el_status status = opts_parse(cmd, argc, argv, args, &common, &words, err);
    if (status == EL_OK && common.help) {
        opts_help(cmd, stdout);
    } else if (status == EL_OK) {
        progress_set_quiet(common.quiet);
        status = apply_environment(err);
        if (status == EL_OK)
            status = cmd->run(args, words, err);
    }
    free(words.v);
    opts_release(cmd, args);
    free(args);
    return status;
}

static bool is_help(const char *word)
{
    return strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0;
}

/* "--list", "--version" and "--help" in front are the commands of that name; "eval --help" is "help eval". */
static void take_leading_option(char **words, size_t n)
{
    static char list[] = "list", version[] = "version", help[] = "help";
    if (n == 2 && command_is_group(words[0]) && is_help(words[1])) {
        words[1] = words[0];
        words[0] = help;
    } else if (strcmp(words[0], "--list") == 0) {
        words[0] = list;
    } else if (strcmp(words[0], "--version") == 0) {
        words[0] = version;
    } else if (is_help(words[0])) {
        words[0] = help;
    }
}

/* Splits "eval ppl" and puts its words in front of the arguments. Returns the number of words in out. */
static size_t gather(char *from_program, int argc, char **argv, char **out)
{
    size_t n = 0;
    if (from_program) {
        out[n++] = from_program;
        char *const space = strchr(from_program, ' ');
        if (space) {
            *space = '\0';
            out[n++] = space + 1;
        }
    }
    for (int i = 1; i < argc; i++)
        out[n++] = argv[i];
    return n;
}

/* The library knows no options: what would help against its errors is added here. */
static const char *hint(enum el_reason reason)
{
    switch (reason) {
    case EL_REASON_NONE:
    case EL_REASON_LAID: break; /* --cache makes it anew */
    case EL_REASON_EXISTS: return " (--force replaces it)";
    case EL_REASON_NOT_STORED: return " (see --type)";
    case EL_REASON_NO_CHAT: return " (--chat-template names one, see 'edgellm list chat-templates')";
    }
    return "";
}

int main(int argc, char **argv)
{
    process_setup();
    el_log_set(print_warning, NULL);
    struct el_err err = {.code = EL_OK};
    enum el_status status = EL_OK;
    const struct command *cmd = NULL;
    char *const from_program = words_of_program(argc > 0 ? argv[0] : NULL);
    char **const words = xcalloc((size_t)(argc > 0 ? argc : 0) + 3, sizeof *words);
    const size_t n = gather(from_program, argc, argv, words);
    if (n == 0) {
        status = cmd_fail(&err, EL_E_USAGE, "no command given (see 'edgellm --help')");
    } else {
        size_t used = 0;
        take_leading_option(words, n);
        cmd = command_find(words, n, &used);
        status = cmd ? run_command(cmd, (int)(n - used), words + used, &err) : unknown_command(words, n, &err);
    }
    const char *const name = cmd ? cmd->name : "";
    if (status != EL_OK && err.text[0])
        (void)fprintf(stderr, "edgellm%s%s: %s%s\n", *name ? " " : "", name, err.text, hint(err.reason));
    const int code = process_exit_code(status, name);
    free(words);
    free(from_program);
    return code;
}
