#include <stdio.h>
#include <string.h>

#include "cmd/command.h"
#include "cmd/list_kinds.h"
#include "cmd/util.h"

struct completion_args {
    char unused;
};

static const struct opt completion_opts[] = {
    OPT_END,
};

/* All spellings of a table's options, each with a space behind. */
static void print_spellings(const struct opt *opts)
{
    for (const struct opt *o = opts; o->name || o->letters; o++)
        for (int is_long = 0; is_long < 2; is_long++) {
            char alt[64];
            for (size_t i = 0; opts_alternative(is_long ? o->name : o->letters, i, alt, sizeof alt); i++)
                (void)printf("%s%s ", is_long ? "--" : "-", alt);
        }
}

/* A case per option whose values are known: "--protocol|-x) words='a b' ;;". */
static void print_choices(const struct command *cmd)
{
    for (const struct opt *o = cmd->opts; o->name || o->letters; o++) {
        char alt[64];
        const char *between = "      ";
        if (o->type != OPT_CHOICE)
            continue;
        for (int is_long = 0; is_long < 2; is_long++)
            for (size_t i = 0; opts_alternative(is_long ? o->name : o->letters, i, alt, sizeof alt); i++) {
                (void)printf("%s%s%s", between, is_long ? "--" : "-", alt);
                between = "|";
            }
        (void)printf(") words='");
        for (size_t i = 0; opts_alternative(o->choices, i, alt, sizeof alt); i++)
            (void)printf("%s%s", i ? " " : "", alt);
        (void)printf("' ;;\n");
    }
}

static const char *level_at(size_t i, const char **about)
{
    (void)about;
    return el_cpu_level_name(i);
}

static const char *step_at(size_t i, const char **about)
{
    (void)about;
    return el_sampler_step_at(i, NULL);
}

static void print_names(const char *(*at)(size_t i, const char **about))
{
    const char *name;
    for (size_t i = 0; (name = at(i, NULL)) != NULL; i++)
        (void)printf("%s ", name);
}

/* Mixes and encodings, once where a mix is named like its encoding. */
static void print_types(void)
{
    const char *mix, *name;
    for (size_t i = 0; (mix = el_mix_name_at(i, NULL)) != NULL; i++) {
        size_t k = 0;
        while ((name = el_encoding_name_at(k, NULL)) != NULL && strcmp(name, mix) != 0)
            k++;
        if (!name)
            (void)printf("%s ", mix);
    }
    print_names(el_encoding_name_at);
}

/* Options whose argument is one of the names of the library. */
static const struct {
    const char *option;
    const char *(*at)(size_t i, const char **about);
} named[] = {
    {"cpu", level_at},
    {"chat-template", el_chat_name_at},
    {"method", el_method_name_at},
    {"output-tensor-type", el_encoding_name_at},
    {"samplers", step_at},
    {"token-embedding-type", el_encoding_name_at},
};
enum { N_NAMED = sizeof named / sizeof *named };

/* The index in named, N_NAMED for an option that is not there. */
static size_t named_index(const struct opt *o)
{
    size_t k = 0;
    while (k < N_NAMED && !(o->name && strcmp(o->name, named[k].option) == 0))
        k++;
    return k;
}

static void print_named(const struct command *cmd)
{
    for (const struct opt *o = cmd->opts; o->name || o->letters; o++) {
        const size_t k = named_index(o);
        if (k == N_NAMED)
            continue;
        (void)printf("      --%s) words='", o->name);
        print_names(named[k].at);
        (void)printf("' ;;\n");
    }
}

/*
 * Options whose argument is PATTERN=NAME: the names, once there is an equals sign. The shell may have split the word at it (the
 * part behind is then cur, and prev the option with an equals sign), or not.
 */
static void print_patterns(const struct command *cmd)
{
    for (const struct opt *o = cmd->opts; o->name || o->letters; o++) {
        if (!o->name || strcmp(o->name, "tensor-type") != 0)
            continue;
        (void)printf("      --%s=) words='", o->name);
        print_names(el_encoding_name_at);
        (void)printf("' ;;\n      --%s)\n        [[ $cur == *=* ]] || return\n        words='", o->name);
        print_names(el_encoding_name_at);
        (void)printf("'\n        prefix=${cur%%=*}= cur=${cur##*=} ;;\n");
    }
}

/* The options after which a word is an argument: files are offered for it. */
static void print_arguments(const struct command *cmd)
{
    const char *between = "      ";
    for (const struct opt *o = cmd->opts; o->name || o->letters; o++) {
        char alt[64];
        if (o->type == OPT_CHOICE || o->type == OPT_FLAG || o->type == OPT_UNFLAG || named_index(o) < N_NAMED)
            continue;
        for (int is_long = 0; is_long < 2; is_long++)
            for (size_t i = 0; opts_alternative(is_long ? o->name : o->letters, i, alt, sizeof alt); i++) {
                (void)printf("%s%s%s", between, is_long ? "--" : "-", alt);
                between = "|";
            }
    }
    if (*between == '|')
        (void)printf(") return ;;\n");
}

/* Words that can follow `group` ("eval"), or the first words of all commands (group NULL), each once. */
static void print_words(const char *group)
{
    char last[64] = "";
    for (size_t i = 0; command_at(i); i++) {
        const char *name = command_at(i)->name;
        const size_t first = strcspn(name, " ");
        char word[64];
        if (group) {
            if (strlen(group) != first || strncmp(group, name, first) != 0 || name[first] == '\0')
                continue;
            (void)snprintf(word, sizeof word, "%s", name + first + 1);
        } else {
            (void)snprintf(word, sizeof word, "%.*s", (int)first, name);
        }
        if (strcmp(word, last) != 0)
            (void)printf("%s ", word);
        (void)snprintf(last, sizeof last, "%s", word);
    }
}

static void print_command(const struct command *cmd)
{
    (void)printf("  '%s')\n    case \"$prev\" in\n", cmd->name);
    print_choices(cmd);
    print_named(cmd);
    print_patterns(cmd);
    print_arguments(cmd);
    (void)printf("      *) words='");
    print_spellings(cmd->opts);
    print_spellings(opts_common());
    (void)printf("'");
    if (strcmp(cmd->name, "quantize") == 0) { /* IN is a file, and what comes behind it can be TYPE */
        (void)printf("\n        ((COMP_CWORD > 2)) && words+='");
        print_types();
        (void)printf("COPY'");
    } else if (strcmp(cmd->name, "completion") == 0) {
        (void)printf("\n        words+='bash'");
    } else if (strcmp(cmd->name, "list") == 0) {
        (void)printf("\n        words+='");
        for (size_t i = 0; list_kind_at(i); i++)
            (void)printf("%s ", list_kind_at(i));
        (void)printf("'");
    } else if (strcmp(cmd->name, "help") == 0) {
        (void)printf("\n        words+='");
        print_words(NULL);
        (void)printf("'");
    }
    (void)printf(" ;;\n    esac ;;\n");
}

static void print_bash(void)
{
    (void)printf("# Bash completion of edgellm %s, made by 'edgellm completion bash'.\n", el_version());
    (void)printf("_edgellm() {\n"
                 "  local cur=\"${COMP_WORDS[COMP_CWORD]}\" prev=\"${COMP_WORDS[COMP_CWORD-1]}\" words='' prefix=''\n"
                 "  local command=\"${COMP_WORDS[1]}\" i=$COMP_CWORD\n"
                 /* bash splits words at '=': "--type=f16" is three, and so is "REGEX=TYPE". */
                 "  if [[ $cur == '=' ]]; then cur='' i=$((i + 1)); fi\n"
                 "  if ((i > 3)) && [[ ${COMP_WORDS[i-1]} == '=' ]]; then\n"
                 "    prev=${COMP_WORDS[i-2]}\n"
                 "    if [[ $prev != -* ]]; then\n"
                 "      prev=${COMP_WORDS[i-3]}\n"
                 "      [[ $prev == '=' ]] && prev=${COMP_WORDS[i-4]}\n"
                 "      prev+='='\n"
                 "    fi\n"
                 "  fi\n"
                 "  if ((COMP_CWORD == 1)); then\n    COMPREPLY=($(compgen -W '");
    print_words(NULL);
    (void)printf("--help --list --version' -- \"$cur\"))\n    return\n  fi\n  case \"$command\" in\n");
    for (size_t i = 0; command_at(i); i++) {
        const char *const space = strchr(command_at(i)->name, ' ');
        if (!space)
            continue;
        char group[64];
        (void)snprintf(group, sizeof group, "%.*s", (int)(space - command_at(i)->name), command_at(i)->name);
        if (i && strncmp(command_at(i - 1)->name, group, strlen(group)) == 0)
            continue;
        (void)printf("  '%s')\n    if ((COMP_CWORD == 2)); then\n      COMPREPLY=($(compgen -W '", group);
        print_words(group);
        (void)printf("' -- \"$cur\"))\n      return\n    fi\n    command=\"$command ${COMP_WORDS[2]}\" ;;\n");
    }
    (void)printf("  esac\n  case \"$command\" in\n");
    for (size_t i = 0; command_at(i); i++)
        print_command(command_at(i));
    (void)printf("  esac\n  COMPREPLY=($(compgen -P \"$prefix\" -W \"$words\" -- \"$cur\"))\n"
                 /* Types may be written in small letters, and in capitals. */
                 "  ((${#COMPREPLY[@]})) || COMPREPLY=($(compgen -P \"$prefix\" -W \"${words,,}\" -- \"$cur\"))\n"
                 "  ((${#COMPREPLY[@]})) || COMPREPLY=($(compgen -P \"$prefix\" -W \"${words^^}\" -- \"$cur\"))\n}\n"
                 "complete -o default -o bashdefault -F _edgellm edgellm\n");
}

static enum el_status run(const void *args, struct words words, struct el_err *err)
{
    (void)args;
    if (strcmp(words.v[0], "bash") != 0)
        return cmd_fail(err, EL_E_USAGE, "shell '%s': only bash is known", words.v[0]);
    print_bash();
    return EL_OK;
}

const struct command cmd_completion = {
    .name = "completion",
    .about = "Print a script that completes commands and options",
    .details = "For the running shell: eval \"$(edgellm completion bash)\"",
    .usage = "bash",
    .opts = completion_opts,
    .args_nbytes = sizeof(struct completion_args),
    .min_words = 1,
    .max_words = 1,
    .run = run,
};
