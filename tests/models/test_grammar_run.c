/*
 * Writing under a grammar with the bundled model: whatever the seed, a text that ends is one of the grammar, and a text that is
 * cut off is the beginning of one; and it costs nothing to the tokens that were right anyway.
 */
#include "base/buf.h"
#include "edgellm.h"
#include "test.h"

struct writer {
    struct el_source *source;
    struct el_model *model;
    struct el_session *session;
    struct el_tokenizer *tok;
    size_t n_vocab;
};

static bool open_writer(struct writer *w)
{
    struct el_err err;
    const struct el_session_opts opts = {.n_ctx = 128, .n_threads = 2};
    *w = (struct writer){.source = NULL};
    CHECK_OK(el_source_open(test_data("books-4m"), NULL, &w->source, &err), err);
    if (w->source)
        CHECK_OK(el_model_open(w->source, NULL, &w->model, &err), err);
    if (w->model)
        CHECK_OK(el_session_open(w->model, &opts, &w->session, &err), err);
    if (w->session)
        CHECK_OK(el_tokenizer_open(w->source, &w->tok, &err), err);
    w->n_vocab = w->model ? el_model_info(w->model).n_vocab : 0;
    return w->tok != NULL;
}

static void close_writer(struct writer *w)
{
    el_tokenizer_close(w->tok);
    el_session_close(w->session);
    el_model_close(w->model);
    el_source_close(w->source);
}

/* Writes at most n_max tokens behind "The"; *ended: by itself. g may be NULL. */
static void write_text(struct writer *w, const struct el_grammar *g, const struct el_sampler_opts *opts, int n_max,
                       struct el_buf *text, bool *ended)
{
    struct el_err err;
    struct el_sampler *sampler = NULL;
    struct el_grammar_run *run = NULL;
    struct el_detok *detok = NULL;
    int32_t *prompt = NULL;
    size_t n_prompt = 0, nbytes;
    const char *part;
    *ended = false;
    REQUIRE_OK(el_encode(w->tok, "The", 3, EL_TOK_ADD_SPECIAL, &prompt, &n_prompt, &err), err);
    REQUIRE_OK(el_sampler_open(opts, w->n_vocab, &sampler, &err), err);
    REQUIRE_OK(el_detok_open(w->tok, &detok, &err), err);
    if (g) {
        REQUIRE_OK(el_grammar_run_open(g, false, &run, &err), err);
        el_sampler_set_grammar(sampler, run);
    }
    el_session_rewind(w->session, 0, 0);
    int32_t id = -1;
    for (int i = -(int)n_prompt; i < n_max; i++) {
        const struct el_row row = {i < 0 ? prompt[i + (int)n_prompt] : id, 0, (uint32_t)(i + (int)n_prompt), i >= -1};
        REQUIRE_OK(el_session_decode(w->session, &row, 1, &err), err);
        if (i < -1) {
            CHECK_OK(el_detok_push(detok, row.token, &part, &nbytes, &err), err);
            continue;
        }
        if (i == -1)
            CHECK_OK(el_detok_push(detok, row.token, &part, &nbytes, &err), err);
        id = el_sampler_pick(sampler, el_session_logits(w->session, 0));
        if (id < 0)
            CHECK_OK(el_grammar_run_check(run, &err), err);
        *ended = id < 0 || el_tok_is_eog(w->tok, id);
        if (*ended)
            break;
        el_sampler_accept(sampler, id);
        CHECK_OK(el_detok_push(detok, id, &part, &nbytes, &err), err);
        el_buf_add(text, part, nbytes);
    }
    if (*ended) { /* else a character may be cut in two, which flushing would show as U+FFFD */
        part = el_detok_flush(detok, &nbytes);
        el_buf_add(text, part, nbytes);
    }
    el_free(prompt);
    el_detok_close(detok);
    el_sampler_close(sampler);
    el_grammar_run_close(run);
}

static void check_texts(struct writer *w, const struct el_grammar *g, const char *name, uint64_t n_texts, int n_max, int *n_ended)
{
    struct el_err err;
    for (uint64_t seed = 0; seed < n_texts; seed++) {
        struct el_sampler_opts opts = el_sampler_defaults();
        struct el_buf text;
        bool ended, accepts;
        size_t n_prefix;
        opts.seed = seed;
        opts.temp = seed % 2 ? 1.5f : 0.8f;
        el_buf_init(&text);
        write_text(w, g, &opts, n_max, &text, &ended);
        CHECK_OK(el_grammar_accepts(g, text.data, text.nbytes, &accepts, &n_prefix, &err), err);
        if (ended ? !accepts : n_prefix != text.nbytes)
            test_fail(__FILE__, __LINE__, "%s, seed %d: '%s' (up to byte %zu)", name, (int)seed, text.data, n_prefix);
        *n_ended += ended;
        el_buf_release(&text);
    }
}

TEST(grammar_run, texts_are_in_the_grammar)
{
    static const char *const names[] = {"json", "arithmetic", "chess", "list", "clike", "unicode"};
    struct writer w;
    struct el_err err;
    REQUIRE(open_writer(&w));
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char path[64];
        size_t nbytes;
        int n_ended = 0;
        struct el_grammar *g = NULL;
        snprintf(path, sizeof path, "grammar/%s.gbnf", names[i]);
        char *const text = test_read(test_data(path), &nbytes);
        REQUIRE(text);
        CHECK_OK(el_grammar_parse(text, nbytes, path, w.tok, &g, &err), err);
        if (g)
            check_texts(&w, g, names[i], 6, 40, &n_ended);
        el_grammar_close(g);
        free(text);
    }
    close_writer(&w);
}

TEST(grammar_run, texts_satisfy_the_schema)
{
    static const char schema[] =
        "{\"type\": \"object\", \"properties\": {\"name\": {\"type\": \"string\", \"maxLength\": 12}, \"age\": {\"type\": "
        "\"integer\", \"minimum\": 1, \"maximum\": 120}, \"kind\": {\"enum\": [\"king\", \"fool\", null]}}, \"required\": "
        "[\"name\", \"age\"], \"additionalProperties\": false}";
    struct writer w;
    struct el_err err;
    struct el_grammar *g = NULL;
    int n_ended = 0;
    REQUIRE(open_writer(&w));
    CHECK_OK(el_grammar_from_json_schema(schema, strlen(schema), NULL, w.tok, &g, &err), err);
    if (g)
        check_texts(&w, g, "schema", 20, 110, &n_ended);
    CHECK(n_ended >= 15);
    el_grammar_close(g);
    close_writer(&w);
}

/* The most likely text is the same when the grammar allows all texts. */
TEST(grammar_run, a_grammar_of_all_texts_changes_nothing)
{
    struct writer w;
    struct el_err err;
    struct el_grammar *g = NULL;
    struct el_buf text[2];
    bool ended[2];
    struct el_sampler_opts opts = el_sampler_defaults();
    opts.temp = 0;
    REQUIRE(open_writer(&w));
    CHECK_OK(el_grammar_parse("root ::= .*", 11, NULL, w.tok, &g, &err), err);
    for (int i = 0; i < 2; i++) {
        el_buf_init(&text[i]);
        write_text(&w, i ? g : NULL, &opts, 40, &text[i], &ended[i]);
    }
    CHECK(text[0].nbytes > 40);
    CHECK_EQ_STR(text[1].data, text[0].data);
    CHECK_EQ_INT(ended[1], ended[0]);
    el_buf_release(&text[0]);
    el_buf_release(&text[1]);
    el_grammar_close(g);
    close_writer(&w);
}
