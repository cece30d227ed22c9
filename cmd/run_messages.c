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

/* *has_parts: there is a content in parts. */
static enum el_status check_messages(const struct el_json *messages, const char *what, bool *has_parts, struct el_err *err)
{
    size_t i = 1;
    *has_parts = false;
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
        *has_parts = *has_parts || parts;
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

static enum el_status write_message(struct json_out *j, const struct el_json *message, struct el_err *err)
{
    json_object(j);
    for (const struct el_json *v = el_json_first(message); v; v = el_json_next(v)) {
        char *raw = NULL;
        size_t nbytes = 0;
        json_key(j, el_json_key(v));
        if (strcmp(el_json_key(v), "content") == 0 && el_json_is(v, EL_JSON_ARRAY)) {
            write_joined(j, v);
            continue;
        }
        CMD_TRY(el_json_print(v, &raw, &nbytes, err));
        json_raw(j, raw);
        el_free(raw);
    }
    json_end_object(j);
    return EL_OK;
}

/* The messages with every content as one text. free() *json. */
static enum el_status join_parts(const struct el_json *messages, char **json, struct el_err *err)
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
        status = write_message(&j, m, err);
    json_end_array(&j);
    json_finish(&j);
    if (fclose(f) != 0 && status == EL_OK)
        status = cmd_fail(err, EL_E_MEMORY, "out of memory for messages");
    return status;
}

enum el_status chat_render_messages(const struct el_chat *chat, const struct run_args *a, const struct el_json *messages,
                                    const char *what, char **text, size_t *nbytes, struct el_err *err)
{
    bool has_parts = false;
    char *json = NULL;
    CMD_TRY(check_messages(messages, what, &has_parts, err));
    const bool join = has_parts && !knows_parts(chat, a);
    enum el_status status = join ? join_parts(messages, &json, err) : el_json_print(messages, &json, nbytes, err);
    if (status == EL_OK)
        status = chat_render(chat, a, NULL, 0, json, text, nbytes, err);
    el_free(json);
    return status;
}
