/* Conversations to prompts: the chat template of a model, or one by name, and the variables that templates expect. */
#include <string.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "tensor/meta.h"
#include "tensor/source.h"
#include "text/jinja.h"

/* The special tokens that a template may name: variable, and the metadata key of the id. */
static const struct {
    const char *name, *key;
} specials[] = {
    {"bos_token", "tokenizer.ggml.bos_token_id"},       {"eos_token", "tokenizer.ggml.eos_token_id"},
    {"unk_token", "tokenizer.ggml.unknown_token_id"},   {"pad_token", "tokenizer.ggml.padding_token_id"},
    {"sep_token", "tokenizer.ggml.seperator_token_id"}, {"cls_token", "tokenizer.ggml.cls_token_id"},
    {"mask_token", "tokenizer.ggml.mask_token_id"},
};
enum { N_SPECIALS = sizeof specials / sizeof specials[0], BOS = 0, EOS = 1 };

struct el_chat {
    struct el_jinja *tmpl;
    struct el_jinja *tool_use; /* NULL, or the source's template for conversations with tools */
    char *special[N_SPECIALS]; /* NULL: the model has none */
};

static const struct {
    const char *name, *about, *text;
} table[] = {
#define CHAT(name, about, text) {name, about, text},
#include "text/chat_templates.def"
#undef CHAT
};

const char *el_chat_name_at(size_t i, const char **about)
{
    const bool inside = i < sizeof table / sizeof table[0];
    if (about)
        *about = inside ? table[i].about : NULL;
    return inside ? table[i].name : NULL;
}

static enum el_status open_by_name(const char *name, struct el_jinja **tmpl, struct el_err *err)
{
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        if (strcmp(table[i].name, name) == 0)
            return el_jinja_open(table[i].text, strlen(table[i].text), "chat template", tmpl, err);
    return el_fail(err, EL_E_USAGE, "no chat template has the name '%.64s'", name);
}

/* The template that stands at a key of the metadata; *tmpl stays NULL where there is none. */
static enum el_status open_by_key(const struct el_source *source, const char *key, struct el_jinja **tmpl, struct el_err *err)
{
    const struct el_meta *const meta = el_source_meta(source);
    const size_t i = el_meta_find(meta, key);
    if (i == SIZE_MAX)
        return EL_OK;
    if (el_meta_type(meta, i) != EL_META_STR)
        return el_fail(err, EL_E_FORMAT, "'%s': %s: %s, not a string", el_source_path(source), key,
                       el_meta_type_name(el_meta_type(meta, i)));
    size_t nbytes;
    const char *const text = el_meta_str(meta, i, 0, &nbytes);
    struct el_buf what;
    el_buf_init(&what);
    el_buf_addf(&what, "'%s': %s", el_source_path(source), key);
    const enum el_status status = el_jinja_open(text, nbytes, what.data, tmpl, err);
    el_buf_release(&what);
    return status;
}

static enum el_status read_specials(struct el_chat *chat, const struct el_source *source, struct el_err *err)
{
    const struct el_meta *const meta = el_source_meta(source);
    const size_t tokens = el_meta_find(meta, "tokenizer.ggml.tokens");
    if (tokens == SIZE_MAX || el_meta_type(meta, tokens) != EL_META_ARR || el_meta_elem_type(meta, tokens) != EL_META_STR)
        return EL_OK;
    for (size_t i = 0; i < N_SPECIALS; i++) {
        uint32_t id;
        size_t nbytes;
        EL_TRY(el_meta_get_u32_or(meta, specials[i].key, 0, UINT32_MAX, UINT32_MAX, &id, err));
        if (id >= el_meta_n_elems(meta, tokens))
            continue;
        const char *const text = el_meta_str(meta, tokens, id, &nbytes);
        if (!el_utf8_is_valid(text, nbytes))
            continue;
        if (!(chat->special[i] = el_strndup(text, nbytes)))
            return el_fail(err, EL_E_MEMORY, "out of memory for a chat template");
    }
    return EL_OK;
}

enum el_status el_chat_open(const struct el_source *source, const struct el_chat_opts *opts, struct el_chat **chat,
                            struct el_err *err)
{
    static const struct el_chat_opts none = {.name = NULL};
    const struct el_chat_opts *const o = opts ? opts : &none;
    *chat = NULL;
    if (o->name && o->text)
        return el_fail(err, EL_E_USAGE, "a chat template by name and by text");
    struct el_chat *const c = el_calloc_array(1, sizeof *c);
    enum el_status status = EL_OK;
    if (!c)
        return el_fail(err, EL_E_MEMORY, "out of memory for a chat template");
    if (o->name) {
        EL_TRY_OUT(open_by_name(o->name, &c->tmpl, err));
    } else if (o->text) {
        EL_TRY_OUT(el_jinja_open(o->text, o->text_nbytes, "chat template", &c->tmpl, err));
    } else if (source) {
        EL_TRY_OUT(open_by_key(source, "tokenizer.chat_template", &c->tmpl, err));
        if (c->tmpl) /* the second one is for models whose first knows no tools */
            EL_TRY_OUT(open_by_key(source, "tokenizer.chat_template.tool_use", &c->tool_use, err));
    }
    if (!c->tmpl) {
        status = el_fail_why(err, EL_E_UNSUPPORTED, EL_REASON_NO_CHAT, "%s",
                             source ? "the model has no chat template" : "no chat template is given");
        goto out;
    }
    if (source)
        EL_TRY_OUT(read_specials(c, source, err));
    *chat = c;
    return EL_OK;
out:
    el_chat_close(c);
    return status;
}

void el_chat_close(struct el_chat *chat)
{
    if (!chat)
        return;
    el_jinja_close(chat->tmpl);
    el_jinja_close(chat->tool_use);
    for (size_t i = 0; i < N_SPECIALS; i++)
        el_free(chat->special[i]);
    el_free(chat);
}

/* The messages as JSON text. */
static void add_messages(struct el_buf *b, const struct el_chat_message *messages, size_t n)
{
    el_buf_add_byte(b, '[');
    for (size_t i = 0; i < n; i++) {
        el_buf_add_str(b, i ? ", {\"role\": " : "{\"role\": ");
        el_buf_add_json_str(b, messages[i].role, strlen(messages[i].role));
        el_buf_add_str(b, ", \"content\": ");
        el_buf_add_json_str(b, messages[i].content, strlen(messages[i].content));
        el_buf_add_byte(b, '}');
    }
    el_buf_add_byte(b, ']');
}

static struct el_jinja_var json_var(const char *name, const char *text)
{
    return (struct el_jinja_var){.name = name, .text = text, .nbytes = text ? strlen(text) : 0, .is_json = true};
}

enum el_status el_chat_render(const struct el_chat *chat, const struct el_chat_in *in, char **text, size_t *nbytes,
                              struct el_err *err)
{
    struct el_jinja_var vars[5 + N_SPECIALS];
    size_t n = 0;
    struct el_buf messages;
    *text = NULL;
    *nbytes = 0;
    if (in->messages_json && in->n_messages)
        return el_fail(err, EL_E_USAGE, "messages as an array and as JSON");
    el_buf_init(&messages);
    if (!in->messages_json)
        add_messages(&messages, in->messages, in->n_messages);
    for (size_t i = 0; i < N_SPECIALS; i++) {
        const char *const given = i == BOS ? in->bos : i == EOS ? in->eos : NULL;
        const char *const token = given ? given : chat->special[i];
        if (token)
            vars[n++] = (struct el_jinja_var){.name = specials[i].name, .text = token, .nbytes = strlen(token)};
    }
    vars[n++] = json_var("messages", in->messages_json ? in->messages_json : messages.data);
    vars[n++] = json_var("tools", in->tools_json);
    vars[n++] = json_var("documents", in->documents_json);
    vars[n++] = json_var("add_generation_prompt", in->add_generation_prompt ? "true" : "false");
    const struct el_jinja_opts opts = {.has_now = in->has_now, .now_s = in->now_s, .more_json = in->kwargs_json};
    const struct el_jinja *const tmpl = in->tools_json && chat->tool_use ? chat->tool_use : chat->tmpl;
    enum el_status status = messages.failed ? el_fail(err, EL_E_MEMORY, "out of memory for %zu messages", in->n_messages) : EL_OK;
    if (status == EL_OK)
        status = el_jinja_render(tmpl, vars, n, &opts, text, nbytes, err);
    el_buf_release(&messages);
    return status;
}
