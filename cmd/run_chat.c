#include "cmd/run_chat.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cmd/options.h"
#include "cmd/util.h"

enum { MAX_NBYTES = 64 << 20 };

static bool is_name(const char *text)
{
    for (size_t i = 0; el_chat_name_at(i, NULL); i++)
        if (strcmp(el_chat_name_at(i, NULL), text) == 0)
            return true;
    return false;
}

/* A word that is neither a name nor a template: what was meant, where that can be seen. */
static enum el_status unknown_name(const char *word, struct el_err *err)
{
    const char *best = NULL;
    size_t least = strlen(word) / 3 + 1; /* further away is no help */
    if (access(word, F_OK) == 0)
        return cmd_fail(err, EL_E_USAGE, "no chat template has the name '%.64s'; a file goes to --chat-template-file", word);
    for (size_t i = 0; el_chat_name_at(i, NULL); i++) {
        const char *const name = el_chat_name_at(i, NULL);
        const size_t d = opts_distance(word, name);
        if (d < least) {
            least = d;
            best = name;
        }
    }
    if (best)
        return cmd_fail(err, EL_E_USAGE, "no chat template has the name '%.64s', did you mean '%s'?", word, best);
    return cmd_fail(err, EL_E_USAGE, "no chat template has the name '%.64s' (see 'edgellm list chat-templates')", word);
}

enum el_status chat_open(const struct run_args *a, const struct model_io *io, struct el_chat **chat, struct el_err *err)
{
    struct el_chat_opts opts = {.name = NULL};
    const char *const word = a->chat_template;
    char *owned = NULL;
    if (word && is_name(word)) {
        opts.name = word;
    } else if (word && !strchr(word, '{')) { /* without a brace it is no template that says anything */
        return unknown_name(word, err);
    } else if (word) {
        opts.text = word;
        opts.text_nbytes = strlen(word);
    } else if (a->chat_template_file) {
        CMD_TRY(el_read_file(a->chat_template_file, MAX_NBYTES, &owned, &opts.text_nbytes, err));
        opts.text = owned;
    }
    const enum el_status status = el_chat_open(io->source, &opts, chat, err);
    el_free(owned);
    return status;
}

/* The tools among the variables: a model may have a template of its own for them. *tools: NULL, or for el_free(). */
static enum el_status tools_of(const char *kwargs, char **tools, struct el_err *err)
{
    struct el_json_doc *doc = NULL;
    struct el_err ignored = {.code = EL_OK};
    size_t nbytes = 0;
    enum el_status status = EL_OK;
    *tools = NULL;
    if (!kwargs || el_json_parse(kwargs, strlen(kwargs), "kwargs", &doc, &ignored) != EL_OK)
        return EL_OK; /* the template's interpreter says what is wrong */
    const struct el_json *const v = el_json_get(el_json_root(doc), "tools");
    if (el_json_is(v, EL_JSON_ARRAY))
        status = el_json_print(v, tools, &nbytes, err);
    el_json_free(doc);
    return status;
}

enum el_status chat_render(const struct el_chat *chat, const struct run_args *a, const struct el_chat_message *messages, size_t n,
                           const char *messages_json, char **text, size_t *nbytes, struct el_err *err)
{
    const time_t now = time(NULL);
    struct tm local;
    char *tools = NULL;
    if (!a->tools)
        CMD_TRY(tools_of(a->chat_kwargs, &tools, err));
    const struct el_chat_in in = {
        .messages = messages,
        .n_messages = n,
        .messages_json = n ? NULL : messages_json,
        .tools_json = a->tools ? a->tools : tools,
        .kwargs_json = a->chat_kwargs,
        .add_generation_prompt = true,
        .has_now = localtime_r(&now, &local) != NULL,
        .now_s = (int64_t)now + local.tm_gmtoff,
    };
    const enum el_status status = el_chat_render(chat, &in, text, nbytes, err);
    el_free(tools);
    return status;
}

enum el_status chat_render_user(const struct el_chat *chat, const struct run_args *a, const char *said, char **text,
                                size_t *nbytes, struct el_err *err)
{
    const struct el_chat_message both[] = {{"system", a->system_prompt}, {"user", said}};
    const size_t first = a->system_prompt ? 0 : 1;
    return chat_render(chat, a, both + first, 2 - first, NULL, text, nbytes, err);
}

static enum el_status render_file(const struct el_chat *chat, const struct run_args *a, char **text, size_t *nbytes,
                                  struct el_err *err)
{
    struct el_json_doc *doc = NULL;
    char *json = NULL;
    char *const what = xasprintf("'%s'", a->messages);
    enum el_status status = el_read_file(a->messages, MAX_NBYTES, &json, nbytes, err);
    if (status == EL_OK)
        status = el_json_parse(json, *nbytes, what, &doc, err);
    if (status == EL_OK)
        status = chat_render_messages(chat, a, el_json_root(doc), what, text, nbytes, err);
    el_json_free(doc);
    el_free(json);
    free(what);
    return status;
}

enum el_status chat_render_single(const struct run_args *a, const struct model_io *io, const char *said, char **text,
                                  size_t *nbytes, struct el_err *err)
{
    struct el_chat *chat = NULL;
    CMD_TRY(chat_open(a, io, &chat, err));
    const enum el_status status =
        a->messages ? render_file(chat, a, text, nbytes, err) : chat_render_user(chat, a, said, text, nbytes, err);
    el_chat_close(chat);
    return status;
}
