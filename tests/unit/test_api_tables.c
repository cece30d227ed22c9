/* Small public functions: tables of names, arrays of strings, bytes of tokens. */
#include "edgellm.h"
#include "test.h"

TEST(api_tables, names)
{
    static const char *(*const at[])(size_t, const char **) = {el_encoding_name_at, el_format_name_at, el_arch_name_at,
                                                               el_mix_name_at, el_method_name_at};
    for (size_t k = 0; k < sizeof at / sizeof *at; k++) {
        size_t n = 0;
        const char *about = "untouched", *name;
        while ((name = at[k](n, &about)) != NULL) {
            CHECK(name[0] && about && about[0]);
            CHECK_EQ_STR(at[k](n, NULL), name);
            for (size_t i = 0; i < n; i++)
                CHECK(strcmp(at[k](i, NULL), name) != 0);
            n++;
        }
        CHECK(n >= 2);
        CHECK(about == NULL);
        CHECK(at[k](SIZE_MAX, NULL) == NULL);
    }
}

static enum el_status strings_of(const char *text, char ***texts, size_t **nbytes, size_t *n, struct el_err *err)
{
    return el_json_strings(text, strlen(text), "'x.json'", texts, nbytes, n, err);
}

TEST(api_json_strings, reads_an_array)
{
    struct el_err err;
    char **texts = NULL;
    size_t *nbytes = NULL, n = 9;
    REQUIRE_OK(strings_of(" [\"a\", \"\", \"\\u00e9\\n\"] ", &texts, &nbytes, &n, &err), err);
    REQUIRE(n == 3);
    CHECK_EQ_STR(texts[0], "a");
    CHECK_EQ_INT(nbytes[1], 0);
    CHECK_EQ_STR(texts[2], "\xc3\xa9\n");
    CHECK_EQ_INT(nbytes[2], 3);
    el_free(texts);
    REQUIRE_OK(strings_of("[]", &texts, &nbytes, &n, &err), err);
    CHECK_EQ_INT(n, 0);
    el_free(texts);
}

TEST(api_json_strings, refuses_the_rest)
{
    static const char *const bad[] = {"",          "{}",     "\"a\"",     "[1]",          "[\"a\", null]",
                                      "[[\"a\"]]", "[\"a\"", "[\"a\"] x", "[\"\\ud800\"]"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct el_err err;
        char **texts = NULL;
        size_t *nbytes = NULL, n = 9;
        CHECK_EQ_INT(strings_of(bad[i], &texts, &nbytes, &n, &err), EL_E_FORMAT);
        CHECK(texts == NULL && n == 0);
        CHECK(strstr(err.text, "x.json") != NULL);
    }
}

/* Bytes of all tokens of a text are the bytes of the text (and, for SentencePiece, of the space that it puts in front). */
static void check_text_nbytes(const char *path, size_t extra)
{
    static const char text[] = "Once upon a time, caf\xc3\xa9 \xf0\x9f\x98\x80\n\tEnd.";
    struct el_err err;
    struct el_source *source = NULL;
    struct el_tokenizer *tok = NULL;
    int32_t *ids = NULL;
    size_t n = 0, sum = 0;
    REQUIRE_OK(el_source_open(path, NULL, &source, &err), err);
    REQUIRE_OK(el_tokenizer_open(source, &tok, &err), err);
    REQUIRE_OK(el_encode(tok, text, sizeof text - 1, 0, &ids, &n, &err), err);
    for (size_t i = 0; i < n; i++)
        sum += el_tok_text_nbytes(tok, ids[i]);
    CHECK_EQ_INT(sum, sizeof text - 1 + extra);
    CHECK_EQ_INT(el_tok_text_nbytes(tok, -1), 0);
    CHECK_EQ_INT(el_tok_text_nbytes(tok, (int32_t)el_tok_n_vocab(tok)), 0);
    CHECK_EQ_INT(el_tok_text_nbytes(tok, el_tok_bos(tok)), 0);
    el_free(ids);
    el_tokenizer_close(tok);
    el_source_close(source);
}

TEST(api_tokens, text_nbytes_byte_level)
{
    check_text_nbytes(test_data("books-4m"), 0);
}

TEST(api_tokens, text_nbytes_sentencepiece)
{
    const char *const path = test_shared("models/stories260K/stories260K.gguf");
    if (!path)
        SKIP("no ../shared");
    check_text_nbytes(path, 1);
}
