/* Chat templates: what jinja2 renders of real ones (tests/data/chat), the templates by name, and what el_chat_* refuses. */
#include "base/buf.h"
#include "base/json.h"
#include "base/mem.h"
#include "edgellm.h"
#include "tensor/meta.h"
#include "tensor/source.h"
#include "test.h"

static struct el_chat_in conversation(const struct el_json *c, int64_t now)
{
    const struct el_json *const add = el_json_get(c, "add_generation_prompt");
    return (struct el_chat_in){.messages_json = el_json_str(el_json_get(c, "messages")),
                               .tools_json = el_json_str(el_json_get(c, "tools")),
                               .documents_json = el_json_str(el_json_get(c, "documents")),
                               .kwargs_json = el_json_str(el_json_get(c, "kwargs")),
                               .bos = "<s>",
                               .eos = "</s>",
                               .add_generation_prompt = add ? el_json_bool(add) : true,
                               .has_now = true,
                               .now_s = now};
}

/* One template with all conversations; "error", "error: WHAT IT RAISES" or "NBYTES SHA256" is what each must give. */
static void check_template(const struct el_json *t, const struct el_json *conversations, int64_t now, size_t *n)
{
    char path[256];
    struct el_chat *chat;
    struct el_err err = {0};
    size_t nbytes;
    snprintf(path, sizeof path, "chat/%s", el_json_str(el_json_get(t, "file")));
    char *const text = test_read(test_data(path), &nbytes);
    REQUIRE(text != NULL);
    REQUIRE_OK(el_chat_open(NULL, &(struct el_chat_opts){.text = text, .text_nbytes = nbytes}, &chat, &err), err);
    const struct el_json *want = el_json_first(el_json_get(t, "texts"));
    unsigned i = 0;
    for (const struct el_json *c = el_json_first(conversations); c && want; c = el_json_next(c), want = el_json_next(want), i++) {
        const struct el_chat_in in = conversation(c, now);
        char *got, row[100] = "error", hex[65];
        if (el_chat_render(chat, &in, &got, &nbytes, &err) == EL_OK) {
            el_sha256_bytes(got, nbytes, hex);
            snprintf(row, sizeof row, "%zu %s", nbytes, hex);
            el_free(got);
        }
        const char *const is = el_json_str(want);
        if (strncmp(is, "error: ", 7) == 0 ? strcmp(row, "error") != 0 || !strstr(err.text, is + 7) : strcmp(row, is) != 0)
            test_fail(__FILE__, __LINE__, "%s, conversation %u: got %s (%s), want %s", path, i, row, err.text, is);
        ++*n;
    }
    CHECK(want == NULL);
    el_chat_close(chat);
    free(text);
}

TEST(chat, renders_as_jinja2_does)
{
    struct el_json_doc *doc;
    struct el_err err = {0};
    size_t nbytes, n = 0;
    int64_t now = 0;
    char *const text = test_read(test_data("chat/cases.json"), &nbytes);
    REQUIRE(text != NULL);
    REQUIRE_OK(el_json_parse(text, nbytes, "cases.json", &doc, &err), err);
    const struct el_json *const root = el_json_root(doc);
    CHECK(el_json_int(el_json_get(root, "now"), &now));
    for (const struct el_json *t = el_json_first(el_json_get(root, "templates")); t; t = el_json_next(t))
        check_template(t, el_json_get(root, "conversations"), now, &n);
    CHECK(n >= 16 * 17);
    el_json_free(doc);
    free(text);
}

static void renders(const struct el_chat_opts *opts, const struct el_chat_in *in, const char *want)
{
    struct el_chat *chat;
    struct el_err err = {0};
    char *text = NULL;
    size_t nbytes;
    REQUIRE_OK(el_chat_open(NULL, opts, &chat, &err), err);
    CHECK_OK(el_chat_render(chat, in, &text, &nbytes, &err), err);
    CHECK_EQ_STR(text, want);
    el_free(text);
    el_chat_close(chat);
}

static const struct el_chat_message talk[] = {
    {"system", " Be brief. "}, {"user", "Hi \"you\"\n"}, {"assistant", "Hello"}, {"user", "Bye"}};
static const struct el_chat_in talk_in = {.messages = talk, .n_messages = 4, .add_generation_prompt = true};

/* The texts are those of llama_chat_apply_template (llama.cpp 3f545bec) for these names. */
TEST(chat, templates_by_name)
{
    static const struct {
        const char *name, *want;
    } cases[] = {
        {"chatml", "<|im_start|>system\n Be brief. <|im_end|>\n<|im_start|>user\nHi \"you\"\n<|im_end|>\n<|im_start|>assistant\n"
                   "Hello<|im_end|>\n<|im_start|>user\nBye<|im_end|>\n<|im_start|>assistant\n"},
        {"llama2", "[INST]  Be brief. \nHi \"you\"\n [/INST]Hello</s>[INST] Bye [/INST]"},
        {"llama2-sys", "[INST] <<SYS>>\n Be brief. \n<</SYS>>\n\nHi \"you\"\n [/INST]Hello</s>[INST] Bye [/INST]"},
        {"llama2-sys-bos", "[INST] <<SYS>>\n Be brief. \n<</SYS>>\n\nHi \"you\"\n [/INST]Hello</s><s>[INST] Bye [/INST]"},
        {"llama2-sys-strip", "[INST] <<SYS>>\nBe brief.\n<</SYS>>\n\nHi \"you\" [/INST]Hello</s>[INST] Bye [/INST]"},
        {"llama3", "<|start_header_id|>system<|end_header_id|>\n\nBe brief.<|eot_id|><|start_header_id|>user<|end_header_id|>\n\n"
                   "Hi \"you\"<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\nHello<|eot_id|><|start_header_id|>user"
                   "<|end_header_id|>\n\nBye<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n"},
        {"mistral-v1", " [INST]  Be brief. \n\nHi \"you\"\n [/INST] Hello</s> [INST] Bye [/INST]"},
        {"mistral-v3", "[INST]  Be brief. \n\nHi \"you\"\n[/INST] Hello</s>[INST] Bye[/INST]"},
        {"mistral-v3-tekken", "[INST] Be brief. \n\nHi \"you\"\n[/INST]Hello</s>[INST]Bye[/INST]"},
        {"mistral-v7", "[SYSTEM_PROMPT]  Be brief. [/SYSTEM_PROMPT][INST] Hi \"you\"\n[/INST] Hello</s>[INST] Bye[/INST]"},
        {"gemma", "<start_of_turn>user\nBe brief.\n\nHi \"you\"<end_of_turn>\n<start_of_turn>model\nHello<end_of_turn>\n"
                  "<start_of_turn>user\nBye<end_of_turn>\n<start_of_turn>model\n"},
        {"phi3",
         "<|system|>\n Be brief. <|end|>\n<|user|>\nHi \"you\"\n<|end|>\n<|assistant|>\nHello<|end|>\n<|user|>\nBye<|end|>\n"
         "<|assistant|>\n"},
        {"granite", "<|start_of_role|>system<|end_of_role|> Be brief. <|end_of_text|>\n<|start_of_role|>user<|end_of_role|>"
                    "Hi \"you\"\n<|end_of_text|>\n<|start_of_role|>assistant<|end_of_role|>Hello<|end_of_text|>\n"
                    "<|start_of_role|>user<|end_of_role|>Bye<|end_of_text|>\n<|start_of_role|>assistant<|end_of_role|>"},
        {"vicuna", " Be brief. \n\nUSER: Hi \"you\"\n\nASSISTANT: Hello</s>\nUSER: Bye\nASSISTANT:"},
        {"command-r", "<|START_OF_TURN_TOKEN|><|SYSTEM_TOKEN|>Be brief.<|END_OF_TURN_TOKEN|><|START_OF_TURN_TOKEN|><|USER_TOKEN|>"
                      "Hi \"you\"<|END_OF_TURN_TOKEN|><|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>Hello<|END_OF_TURN_TOKEN|>"
                      "<|START_OF_TURN_TOKEN|><|USER_TOKEN|>Bye<|END_OF_TURN_TOKEN|><|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>"},
        {"openchat", " Be brief. <|end_of_turn|>GPT4 Correct User: Hi \"you\"\n<|end_of_turn|>GPT4 Correct Assistant: Hello"
                     "<|end_of_turn|>GPT4 Correct User: Bye<|end_of_turn|>GPT4 Correct Assistant:"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        renders(&(struct el_chat_opts){.name = cases[i].name}, &talk_in, cases[i].want);
}

/* All texts of a name, as names.json has their checksum: each with a NUL behind it. */
static void all_texts(const char *name, const struct el_json *conversations, char hex[65])
{
    struct el_chat *chat;
    struct el_err err = {0};
    struct el_buf all;
    el_buf_init(&all);
    REQUIRE_OK(el_chat_open(NULL, &(struct el_chat_opts){.name = name}, &chat, &err), err);
    for (const struct el_json *c = el_json_first(conversations); c; c = el_json_next(c)) {
        for (int i = 0; i < 2; i++) {
            char *text = NULL;
            size_t nbytes;
            const struct el_chat_in in = {.messages_json = el_json_str(c), .add_generation_prompt = i == 0};
            CHECK_OK(el_chat_render(chat, &in, &text, &nbytes, &err), err);
            el_buf_add(&all, text, text ? nbytes + 1 : 0);
            el_free(text);
        }
    }
    el_sha256_bytes(all.data, all.nbytes, hex);
    el_buf_release(&all);
    el_chat_close(chat);
}

TEST(chat, every_name_of_llama_cpp_writes_what_it_writes)
{
    struct el_json_doc *doc;
    struct el_err err = {0};
    size_t nbytes, n = 0;
    char *const text = test_read(test_data("chat/names.json"), &nbytes);
    REQUIRE(text != NULL);
    REQUIRE_OK(el_json_parse(text, nbytes, "names.json", &doc, &err), err);
    const struct el_json *const conversations = el_json_get(el_json_root(doc), "conversations");
    for (const struct el_json *row = el_json_first(el_json_get(el_json_root(doc), "names")); row; row = el_json_next(row), n++) {
        char hex[65];
        all_texts(el_json_key(row), conversations, hex);
        if (strcmp(hex, el_json_str(row)) != 0)
            test_fail(__FILE__, __LINE__, "%s: other texts than llama.cpp's", el_json_key(row));
    }
    CHECK(n >= 54 && el_json_count(conversations) >= 10);
    el_json_free(doc);
    free(text);
}

TEST(chat, every_name_opens_and_keeps_what_was_said)
{
    const char *about, *name;
    size_t n = 0, nbytes;
    for (; (name = el_chat_name_at(n, &about)) != NULL; n++) {
        struct el_chat *chat;
        struct el_err err = {0};
        char *text;
        CHECK(about && about[0]);
        REQUIRE_OK(el_chat_open(NULL, &(struct el_chat_opts){.name = name}, &chat, &err), err);
        REQUIRE_OK(el_chat_render(chat, &talk_in, &text, &nbytes, &err), err);
        const bool no_system = strcmp(name, "yandex") == 0; /* the family knows no such turn */
        if (!strstr(text, "Hi \"you\"") || !strstr(text, "Hello") || !strstr(text, "Bye") ||
            (!no_system && !strstr(text, "Be brief.")))
            test_fail(__FILE__, __LINE__, "%s: '%s'", name, text);
        el_free(text);
        el_chat_close(chat);
    }
    CHECK(n >= 55);
    CHECK(el_chat_name_at(n, NULL) == NULL);
}

static enum el_status open_status(const struct el_source *source, const struct el_chat_opts *opts, struct el_err *err)
{
    struct el_chat *chat;
    const enum el_status status = el_chat_open(source, opts, &chat, err);
    CHECK((chat != NULL) == (status == EL_OK));
    el_chat_close(chat);
    return status;
}

TEST(chat, refuses)
{
    struct el_err err = {0};
    CHECK_EQ_INT(open_status(NULL, &(struct el_chat_opts){.name = "nobody"}, &err), EL_E_USAGE);
    CHECK_EQ_STR(err.text, "no chat template has the name 'nobody'");
    CHECK_EQ_INT(open_status(NULL, NULL, &err), EL_E_UNSUPPORTED);
    CHECK_EQ_INT(err.reason, EL_REASON_NO_CHAT);
    CHECK_EQ_INT(open_status(NULL, &(struct el_chat_opts){.name = "chatml", .text = "x", .text_nbytes = 1}, &err), EL_E_USAGE);
    CHECK_EQ_INT(open_status(NULL, &(struct el_chat_opts){.text = "\n{% if %}", .text_nbytes = 9}, &err), EL_E_FORMAT);
    CHECK_EQ_STR(err.text, "chat template: line 2: '%}' where an expression should be");
    CHECK_EQ_INT(open_status(NULL, &(struct el_chat_opts){.text = "{% include 'x' %}", .text_nbytes = 17}, &err),
                 EL_E_UNSUPPORTED);
    CHECK_EQ_INT(open_status(NULL, &(struct el_chat_opts){.text = "\xff", .text_nbytes = 1}, &err), EL_E_FORMAT);
}

static enum el_status render_status(const char *tmpl, const struct el_chat_in *in, struct el_err *err)
{
    struct el_chat *chat;
    char *text;
    size_t nbytes;
    if (el_chat_open(NULL, &(struct el_chat_opts){.text = tmpl, .text_nbytes = strlen(tmpl)}, &chat, err) != EL_OK)
        return EL_E_FAILED;
    const enum el_status status = el_chat_render(chat, in, &text, &nbytes, err);
    CHECK((text != NULL) == (status == EL_OK));
    el_free(text);
    el_chat_close(chat);
    return status;
}

TEST(chat, refuses_bad_input)
{
    struct el_err err = {0};
    CHECK_EQ_INT(render_status("a\n{{ raise_exception('roles must alternate') }}", &talk_in, &err), EL_E_USAGE);
    CHECK_EQ_STR(err.text, "chat template: line 2: roles must alternate");
    CHECK_EQ_INT(render_status("x", &(struct el_chat_in){.messages_json = "[{"}, &err), EL_E_FORMAT);
    CHECK(strstr(err.text, "messages"));
    CHECK_EQ_INT(render_status("x", &(struct el_chat_in){.messages_json = "[]", .messages = talk, .n_messages = 1}, &err),
                 EL_E_USAGE);
    CHECK_EQ_INT(render_status("x", &(struct el_chat_in){.messages_json = "[]", .kwargs_json = "[1]"}, &err), EL_E_USAGE);
    CHECK_EQ_INT(render_status("x", &(struct el_chat_in){.messages_json = "[]", .tools_json = "nope"}, &err), EL_E_FORMAT);
    CHECK_EQ_INT(render_status("{{ strftime_now('%Y') }}", &talk_in, &err), EL_E_FORMAT);
    CHECK(strstr(err.text, "'strftime_now' is undefined"));
}

TEST(chat, variables)
{
    static const char tmpl[] =
        "{{ bos_token }}|{{ eos_token }}|{{ unk_token is defined }}|{{ tools is none }}|{{ documents is none }}|"
        "{{ add_generation_prompt }}|{{ mood }}|{{ strftime_now('%d %b %Y') }}";
    const struct el_chat_in in = {.messages_json = "[]",
                                  .kwargs_json = "{\"mood\": \"calm\", \"eos_token\": \"E\"}",
                                  .bos = "B",
                                  .eos = "x",
                                  .has_now = true,
                                  .now_s = 1753920000};
    renders(&(struct el_chat_opts){.text = tmpl, .text_nbytes = sizeof tmpl - 1}, &in,
            "B|E|False|True|True|False|calm|31 Jul 2025");
}

static void close_nothing(struct el_source *s)
{
    (void)s;
}

TEST(chat, takes_template_and_tokens_from_the_model)
{
    static const struct el_source_ops ops = {.close = close_nothing};
    static const char *const tokens[] = {"<unk>", "<bos>", "<eos>"};
    struct el_err err = {0};
    struct el_chat *chat;
    char *text = NULL;
    size_t nbytes;
    struct el_meta *const meta = el_meta_new();
    char path[] = "m.gguf";
    struct el_source source = {.ops = &ops, .path = path, .meta = meta};
    CHECK_EQ_INT(open_status(&source, NULL, &err), EL_E_UNSUPPORTED);
    CHECK_EQ_STR(err.text, "the model has no chat template");
    CHECK_EQ_INT(err.reason, EL_REASON_NO_CHAT);
    CHECK_OK(el_meta_set_str(meta, "tokenizer.chat_template", "{{ bos_token }}plain{{ eos_token }}", 35, &err), err);
    CHECK_OK(el_meta_set_str(meta, "tokenizer.chat_template.tool_use", "{{ tools | length }} tools", 26, &err), err);
    CHECK_OK(el_meta_set_str_array(meta, "tokenizer.ggml.tokens", tokens, NULL, 3, &err), err);
    CHECK_OK(el_meta_set_u32(meta, "tokenizer.ggml.bos_token_id", 1, &err), err);
    CHECK_OK(el_meta_set_u32(meta, "tokenizer.ggml.eos_token_id", 7, &err), err); /* no such token: undefined */
    REQUIRE_OK(el_chat_open(&source, NULL, &chat, &err), err);
    struct el_chat_in in = {.messages_json = "[]"};
    CHECK_OK(el_chat_render(chat, &in, &text, &nbytes, &err), err);
    CHECK_EQ_STR(text, "<bos>plain");
    el_free(text);
    in.tools_json = "[{}, {}]";
    CHECK_OK(el_chat_render(chat, &in, &text, &nbytes, &err), err);
    CHECK_EQ_STR(text, "2 tools");
    el_free(text);
    el_chat_close(chat);
    CHECK_OK(el_meta_set_u32(meta, "tokenizer.chat_template", 1, &err), err);
    CHECK_EQ_INT(open_status(&source, NULL, &err), EL_E_FORMAT);
    el_meta_free(meta);
}

TEST(chat, survives_failing_allocations)
{
    const struct el_chat_in in = {.messages = talk, .n_messages = 4, .tools_json = "[{\"a\": 1.5}]"};
    bool done = false;
    for (uint64_t n = 1; n < 400 && !done; n++) {
        struct el_err err = {0};
        struct el_chat *chat;
        char *text = NULL;
        size_t nbytes;
        el_mem_fail_after(n);
        enum el_status status = el_chat_open(NULL, &(struct el_chat_opts){.name = "gemma"}, &chat, &err);
        if (status == EL_OK)
            status = el_chat_render(chat, &in, &text, &nbytes, &err);
        el_mem_fail_after(0);
        CHECK(status == EL_OK || status == EL_E_MEMORY);
        done = status == EL_OK;
        el_free(text);
        el_chat_close(chat);
    }
    CHECK(done);
}
