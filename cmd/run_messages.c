/* Messages that somebody else has written: --messages and lines of --jsonl; see run_chat.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cmd/json_out.h"
#include "cmd/run_chat.h"
#include "cmd/util.h"

static enum el_status check_parts(const struct el_json *content, const char *what, size_t i, struct el_err *err)
{
    size_t k = 1;
    for (const struct el_json *part = el_json_first(content); part; part = el_json_next(part), k++) {
        const char *const type = el_json_str(el_json_get(part, "type"));
        if (!type)
            return cmd_fail(err, EL_E_FORMAT, "%s: message %zu: part %zu of the content has no type", what, i, k);
        if (strcmp(type, "text") != 0)
            return cmd_fail(err, EL_E_UNSUPPORTED, "%s: message %zu: part %zu of the content is '%s', only 'text' is known", what,
                            i, k, type);
        if (!el_json_str(el_json_get(part, "text")))
            return cmd_fail(err, EL_E_FORMAT, "%s: message %zu: part %zu of the content has no text", what, i, k);
    }
    return EL_OK;
}

/* What of the messages not every template takes as it is. */
struct habits {
    bool parts;     /* a content in parts */
    bool arguments; /* arguments of a tool call as a text, which is how the OpenAI API has them */
};

static bool has_text_arguments(const struct el_json *calls)
{
    for (const struct el_json *call = el_json_first(calls); call; call = el_json_next(call))
        if (el_json_str(el_json_get(call, "arguments")) || el_json_str(el_json_get(el_json_get(call, "function"), "arguments")))
            return true;
    return false;
}

static enum el_status check_messages(const struct el_json *messages, const char *what, struct habits *has, struct el_err *err)
{
    size_t i = 1;
    *has = (struct habits){.parts = false};
    if (!el_json_is(messages, EL_JSON_ARRAY) || el_json_count(messages) == 0)
        return cmd_fail(err, EL_E_FORMAT, "%s: no JSON array of messages, such as [{\"role\": \"user\", \"content\": \"...\"}]",
                        what);
    for (const struct el_json *m = el_json_first(messages); m; m = el_json_next(m), i++) {
        const struct el_json *const content = el_json_get(m, "content");
        const bool none = !content || el_json_is(content, EL_JSON_NULL), parts = el_json_is(content, EL_JSON_ARRAY);
        if (!el_json_str(el_json_get(m, "role")))
            return cmd_fail(err, EL_E_FORMAT, "%s: message %zu has no role", what, i);
        if (none && !el_json_get(m, "tool_calls"))
            return cmd_fail(err, EL_E_FORMAT, "%s: message %zu has no content", what, i);
        if (!none && !parts && !el_json_str(content))
            return cmd_fail(err, EL_E_FORMAT, "%s: message %zu: the content is neither a text nor an array of parts", what, i);
        if (parts)
            CMD_TRY(check_parts(content, what, i, err));
        has->parts = has->parts || parts;
        has->arguments = has->arguments || has_text_arguments(el_json_get(m, "tool_calls"));
    }
    return EL_OK;
}

/* A template that knows no parts prints them as an object, or fails. */
static bool knows_parts(const struct el_chat *chat, const struct run_args *a)
{
    static const char probe[] = "[{\"role\": \"user\", \"content\": [{\"type\": \"text\", \"text\": \"Good morning\"}]}]";
    struct el_err err = {.code = EL_OK};
    char *text = NULL;
    size_t nbytes = 0;
    const bool good = chat_render(chat, a, NULL, 0, probe, &text, &nbytes, &err) == EL_OK && strstr(text, "Good morning") &&
                      !strstr(text, "'type'") && !strstr(text, "\"type\"");
    el_free(text);
    return good;
}

/* Most templates go through the arguments, or print them with tojson: a text would fail, or be quoted twice. */
static bool takes_objects(const struct el_chat *chat, const struct run_args *a)
{
    static const char probe[] =
        "[{\"role\": \"user\", \"content\": \"Good morning\"}, "
        "{\"role\": \"assistant\", \"content\": \"\", \"tool_calls\": [{\"id\": \"call00001\", \"type\": \"function\", "
        "\"function\": {\"name\": \"greet\", \"arguments\": {\"whom\": \"Ada\"}}}]}, "
        "{\"role\": \"tool\", \"tool_call_id\": \"call00001\", \"name\": \"greet\", \"content\": \"Done\"}, "
        "{\"role\": \"assistant\", \"content\": \"Greeted\"}, {\"role\": \"user\", \"content\": \"Thanks\"}]";
    struct el_err err = {.code = EL_OK};
    char *text = NULL;
    size_t nbytes = 0;
    const bool good = chat_render(chat, a, NULL, 0, probe, &text, &nbytes, &err) == EL_OK && strstr(text, "Ada") &&
                      !strstr(text, "{'whom'"); /* as Python writes it: the template meant a text */
    el_free(text);
    return good;
}

static void write_joined(struct json_out *j, const struct el_json *parts)
{
    char *text = xcalloc(1, 1);
    size_t n = 0;
    for (const struct el_json *part = el_json_first(parts); part; part = el_json_next(part)) {
        const char *const s = el_json_str(el_json_get(part, "text"));
        const size_t len = strlen(s), between = part != el_json_first(parts);
        text = xrealloc(text, n + between + len + 1, 1);
        if (between)
            text[n] = '\n';
        memcpy(text + n + between, s, len + 1);
        n += between + len;
    }
    json_text(j, text, n);
    free(text);
}

static enum el_status write_value(struct json_out *j, const struct el_json *v, struct el_err *err)
{
    char *raw = NULL;
    size_t nbytes = 0;
    CMD_TRY(el_json_print(v, &raw, &nbytes, err));
    json_raw(j, raw);
    el_free(raw);
    return EL_OK;
}

/* Arguments: an object where the text is that of one. */
static enum el_status write_arguments(struct json_out *j, const struct el_json *v, struct el_err *err)
{
    struct el_json_doc *doc = NULL;
    struct el_err ignored = {.code = EL_OK};
    const char *const text = el_json_str(v);
    if (text && el_json_parse(text, strlen(text), "arguments", &doc, &ignored) == EL_OK &&
        el_json_is(el_json_root(doc), EL_JSON_OBJECT))
        v = el_json_root(doc);
    const enum el_status status = write_value(j, v, err);
    el_json_free(doc);
    return status;
}

/* A tool call, or what is called in it, with arguments as objects. */
static enum el_status write_call(struct json_out *j, const struct el_json *call, bool inner, struct el_err *err)
{
    if (!el_json_is(call, EL_JSON_OBJECT))
        return write_value(j, call, err);
    json_object(j);
    for (const struct el_json *v = el_json_first(call); v; v = el_json_next(v)) {
        json_key(j, el_json_key(v));
        if (strcmp(el_json_key(v), "arguments") == 0)
            CMD_TRY(write_arguments(j, v, err));
        else if (!inner && strcmp(el_json_key(v), "function") == 0)
            CMD_TRY(write_call(j, v, true, err));
        else
            CMD_TRY(write_value(j, v, err));
    }
    json_end_object(j);
    return EL_OK;
}

static enum el_status write_message(struct json_out *j, const struct el_json *message, const struct habits *change,
                                    struct el_err *err)
{
    json_object(j);
    for (const struct el_json *v = el_json_first(message); v; v = el_json_next(v)) {
        const bool is_array = el_json_is(v, EL_JSON_ARRAY);
        json_key(j, el_json_key(v));
        if (change->parts && is_array && strcmp(el_json_key(v), "content") == 0) {
            write_joined(j, v);
        } else if (change->arguments && is_array && strcmp(el_json_key(v), "tool_calls") == 0) {
            json_array(j, false);
            for (const struct el_json *call = el_json_first(v); call; call = el_json_next(call))
                CMD_TRY(write_call(j, call, false, err));
            json_end_array(j);
        } else
            CMD_TRY(write_value(j, v, err));
    }
    json_end_object(j);
    return EL_OK;
}

/* The messages with every content as one text, or arguments as objects. free() *json. */
static enum el_status write_changed(const struct el_json *messages, const struct habits *change, char **json, struct el_err *err)
{
    struct json_out j;
    size_t nbytes = 0;
    enum el_status status = EL_OK;
    FILE *const f = open_memstream(json, &nbytes);
    if (!f)
        return cmd_fail(err, EL_E_MEMORY, "out of memory for messages");
    json_init(&j, f, true);
    json_array(&j, false);
    for (const struct el_json *m = el_json_first(messages); m && status == EL_OK; m = el_json_next(m))
        status = write_message(&j, m, change, err);
    json_end_array(&j);
    json_finish(&j);
    if (fclose(f) != 0 && status == EL_OK)
        status = cmd_fail(err, EL_E_MEMORY, "out of memory for messages");
    return status;
}

enum el_status chat_render_messages(const struct el_chat *chat, const struct run_args *a, const struct el_json *messages,
                                    const char *what, char **text, size_t *nbytes, struct el_err *err)
{
    struct habits change;
    char *json = NULL;
    CMD_TRY(check_messages(messages, what, &change, err));
    change.parts = change.parts && !knows_parts(chat, a);
    change.arguments = change.arguments && takes_objects(chat, a);
    enum el_status status = change.parts || change.arguments ? write_changed(messages, &change, &json, err)
                                                             : el_json_print(messages, &json, nbytes, err);
    if (status == EL_OK)
        status = chat_render(chat, a, NULL, 0, json, text, nbytes, err);
    el_free(json);
    return status;
}
