#include <stdio.h>
#include <string.h>

#include "cmd/command.h"
#include "cmd/json_out.h"
#include "cmd/list_kinds.h"
#include "cmd/text_out.h"
#include "cmd/util.h"

struct list_args {
    bool json;
};

static const struct opt list_opts[] = {
    OPT_JSON(struct list_args),
    OPT_END,
};

static const char *command_name_at(size_t i, const char **about)
{
    const struct command *const c = command_at(i);
    if (!c)
        return NULL;
    *about = c->about;
    return c->name;
}

static const char *level_name_at(size_t i, const char **about)
{
    const char *const name = el_cpu_level_name(i);
    *about = name && strcmp(name, el_cpu_level()) == 0 ? "in use" : "";
    return name;
}

static const struct {
    const char *name;
    const char *(*at)(size_t i, const char **about);
} kinds[] = {
    {"commands", command_name_at},  {"encodings", el_encoding_name_at},  {"mixes", el_mix_name_at},
    {"methods", el_method_name_at}, {"formats", el_format_name_at},      {"architectures", el_arch_name_at},
    {"cpu-levels", level_name_at},  {"chat-templates", el_chat_name_at},
};
enum { N_KINDS = sizeof kinds / sizeof *kinds };

const char *list_kind_at(size_t i)
{
    return i < N_KINDS ? kinds[i].name : NULL;
}

static void print_kind(size_t k, bool with_title)
{
    const char *about = "", *name;
    struct table t;
    table_init(&t, "ll");
    for (size_t i = 0; (name = kinds[k].at(i, &about)) != NULL; i++) {
        table_add(&t, "%s%s", with_title ? "  " : "", name);
        table_add(&t, "%s", about ? about : "");
    }
    if (with_title)
        (void)printf("%s%s:\n", k ? "\n" : "", kinds[k].name);
    table_print(&t, stdout);
    table_free(&t);
}

static void json_kind(struct json_out *j, size_t k)
{
    const char *about = "", *name;
    json_key(j, kinds[k].name);
    json_array(j, false);
    for (size_t i = 0; (name = kinds[k].at(i, &about)) != NULL; i++) {
        json_object(j);
        json_kstr(j, "name", name);
        json_kstr(j, "about", about ? about : "");
        json_end_object(j);
    }
    json_end_array(j);
}

static enum el_status run(const void *args, struct words words, struct el_err *err)
{
    const struct list_args *const a = args;
    size_t first = 0, end = N_KINDS;
    if (words.n) {
        while (first < N_KINDS && strcmp(kinds[first].name, words.v[0]) != 0)
            first++;
        if (first == N_KINDS)
            return cmd_fail(
                err, EL_E_USAGE,
                "'%s' is none of commands, encodings, mixes, methods, formats, architectures, cpu-levels, chat-templates",
                words.v[0]);
        end = first + 1;
    }
    if (!a->json) {
        for (size_t k = first; k < end; k++)
            print_kind(k, end - first > 1);
        return EL_OK;
    }
    struct json_out j;
    json_init(&j, stdout, false);
    json_object(&j);
    for (size_t k = first; k < end; k++)
        json_kind(&j, k);
    json_end_object(&j);
    json_finish(&j);
    return EL_OK;
}

const struct command cmd_list = {
    .name = "list",
    .about = "List what this build knows",
    .details = "KIND is commands, encodings, mixes, methods, formats, architectures, cpu-levels or chat-templates; all of them "
               "without it. The same as 'edgellm --list'.",
    .usage = "[options] [KIND]",
    .opts = list_opts,
    .args_nbytes = sizeof(struct list_args),
    .min_words = 0,
    .max_words = 1,
    .run = run,
};
