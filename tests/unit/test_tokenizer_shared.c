/*
 * Tokenizers on the published vocabularies of ../shared/data (skipped where that is absent): all cases of the llama.cpp
 * vocabularies, the two Hugging Face files, and texts that must survive encoding and decoding.
 */
#include "base/buf.h"
#include "base/json.h"
#include "base/utf8.h"
#include "edgellm.h"
#include "test.h"
#include "text/tokenizer.h"

static struct el_tokenizer *open_gguf(const char *path, struct el_source **source)
{
    struct el_err err;
    struct el_tokenizer *tok = NULL;
    *source = NULL;
    if (el_source_open(path, NULL, source, &err) != EL_OK || el_tokenizer_open(*source, &tok, &err) != EL_OK)
        test_fail(__FILE__, __LINE__, "%s", err.text);
    return tok;
}

static struct el_tokenizer *open_json(const char *path)
{
    struct el_err err;
    struct el_tokenizer *tok = NULL;
    size_t nbytes;
    char *const json = test_read(path, &nbytes);
    struct el_meta *const meta = el_meta_new();
    if (!json || el_tokenizer_import_hf(meta, json, nbytes, NULL, 0, NULL, 0, 0, &err) != EL_OK ||
        el_tokenizer_from_meta(meta, &tok, &err) != EL_OK)
        test_fail(__FILE__, __LINE__, "%s", err.text);
    el_meta_free(meta);
    free(json);
    return tok;
}

/* ids against numbers written in text[0, nbytes). */
static bool same_ids(const int32_t *ids, size_t n, const char *text, size_t nbytes)
{
    size_t i = 0;
    const char *const end = text + nbytes;
    for (;;) {
        while (text < end && *text == ' ')
            text++;
        if (text == end)
            return i == n;
        char *after;
        const long id = strtol(text, &after, 10);
        if (after == text || i == n || ids[i] != id)
            return false;
        text = after;
        i++;
    }
}

static void conformance(const char *name)
{
    static const char separator[] = "\n__ggml_vocab_test__\n";
    char path[200];
    snprintf(path, sizeof path, "tokenizers/ggml-vocab/ggml-vocab-%s.gguf", name);
    const char *const gguf = test_shared(path);
    if (!gguf)
        SKIP("needs ../shared/data");
    struct el_source *source;
    struct el_tokenizer *const tok = open_gguf(gguf, &source);
    snprintf(path, sizeof path, "tokenizers/ggml-vocab/ggml-vocab-%s.gguf.inp", name);
    size_t n_in, n_out;
    char *const in = test_read(test_shared(path), &n_in);
    snprintf(path, sizeof path, "tokenizers/ggml-vocab/ggml-vocab-%s.gguf.out", name);
    char *const out = test_read(test_shared(path), &n_out);
    REQUIRE(tok && in && out);
    int n_cases = 0;
    const char *text = in, *line = out;
    while (line < out + n_out) {
        const char *const next = strstr(text, separator);
        const size_t nbytes = next ? (size_t)(next - text) : (size_t)(in + n_in - text);
        const char *const end = strchr(line, '\n');
        REQUIRE(end);
        struct el_err err;
        int32_t *ids;
        size_t n;
        REQUIRE_OK(el_encode(tok, text, nbytes, 0, &ids, &n, &err), err);
        if (!same_ids(ids, n, line, (size_t)(end - line)))
            test_fail(__FILE__, __LINE__, "%s, case %d: '%.*s'", name, n_cases, (int)nbytes, text);
        char *back;
        size_t n_back;
        REQUIRE_OK(el_decode(tok, ids, n, false, &back, &n_back, &err), err);
        CHECK(n_back == nbytes && memcmp(back, text, nbytes) == 0);
        el_free(back);
        el_free(ids);
        n_cases++;
        line = end + 1;
        text = next ? next + strlen(separator) : in + n_in;
    }
    CHECK_EQ_INT(n_cases, 46);
    free(in);
    free(out);
    el_tokenizer_close(tok);
    el_source_close(source);
}

TEST(tokenizer_shared, gpt_2)
{
    conformance("gpt-2");
}
TEST(tokenizer_shared, llama_spm)
{
    conformance("llama-spm");
}
TEST(tokenizer_shared, starcoder)
{
    conformance("starcoder");
}
TEST(tokenizer_shared, falcon)
{
    conformance("falcon");
}
TEST(tokenizer_shared, deepseek_coder)
{
    conformance("deepseek-coder");
}
TEST(tokenizer_shared, phi_3)
{
    conformance("phi-3");
}

/* The published expectations for GPT-2: text, pieces and ids. */
TEST(tokenizer_shared, hf_gpt2)
{
    const char *const path = test_shared("tokenizers/hf/gpt2_tokenizer.json");
    if (!path)
        SKIP("needs ../shared/data");
    struct el_tokenizer *const tok = open_json(path);
    size_t nbytes;
    char *const data = test_read(test_shared("tokenizers/hf/gpt2_encoded_tokens.json"), &nbytes);
    REQUIRE(tok && data);
    struct el_err err;
    struct el_json_doc *doc;
    REQUIRE_OK(el_json_parse(data, nbytes, "gpt2_encoded_tokens.json", &doc, &err), err);
    const char *const text = el_json_str(el_json_get(el_json_root(doc), "text"));
    int32_t *ids;
    size_t n, i = 0;
    REQUIRE_OK(el_encode(tok, text, strlen(text), 0, &ids, &n, &err), err);
    const struct el_json *want = el_json_get(el_json_root(doc), "token_ids");
    CHECK_EQ_INT(n, el_json_count(want));
    for (const struct el_json *v = el_json_first(want); v && i < n; v = el_json_next(v), i++) {
        int64_t id;
        CHECK(el_json_int(v, &id) && id == ids[i]);
    }
    CHECK(i > 100);
    char *back;
    size_t n_back;
    REQUIRE_OK(el_decode(tok, ids, n, false, &back, &n_back, &err), err);
    CHECK_EQ_STR(back, el_json_str(el_json_get(el_json_root(doc), "decoded_text")));
    el_free(back);
    el_free(ids);
    el_json_free(doc);
    free(data);
    el_tokenizer_close(tok);
}

TEST(tokenizer_shared, hf_llama)
{
    const char *const path = test_shared("tokenizers/hf/llama_tokenizer.json");
    if (!path)
        SKIP("needs ../shared/data");
    struct el_tokenizer *const tok = open_json(path);
    size_t nbytes;
    char *const data = test_read(test_shared("tokenizers/hf/llama_encoded.json"), &nbytes);
    REQUIRE(tok && data);
    struct el_err err;
    struct el_json_doc *doc;
    REQUIRE_OK(el_json_parse(data, nbytes, "llama_encoded.json", &doc, &err), err);
    const char *const text = el_json_str(el_json_get(el_json_root(doc), "text"));
    int32_t *ids;
    size_t n, i = 0;
    REQUIRE_OK(el_encode(tok, text, strlen(text), 0, &ids, &n, &err), err);
    const struct el_json *want = el_json_get(el_json_root(doc), "bpe_tokens");
    CHECK_EQ_INT(n, el_json_count(want));
    for (const struct el_json *v = el_json_first(want); v && i < n; v = el_json_next(v), i++) {
        size_t n_piece;
        const char *const piece = el_tok_piece(tok, ids[i], &n_piece);
        CHECK(strlen(el_json_str(v)) == n_piece && memcmp(piece, el_json_str(v), n_piece) == 0);
    }
    CHECK(i > 100);
    const struct el_json *const token_ids = el_json_get(el_json_root(doc), "token_ids");
    if (el_json_is(token_ids, EL_JSON_ARRAY)) {
        int32_t *with_bos;
        size_t n_with;
        REQUIRE_OK(el_encode(tok, text, strlen(text), EL_TOK_ADD_SPECIAL, &with_bos, &n_with, &err), err);
        CHECK_EQ_INT(n_with, el_json_count(token_ids));
        i = 0;
        for (const struct el_json *v = el_json_first(token_ids); v && i < n_with; v = el_json_next(v), i++) {
            int64_t id;
            CHECK(el_json_int(v, &id) && id == with_bos[i]);
        }
        el_free(with_bos);
    }
    el_free(ids);
    el_json_free(doc);
    free(data);
    el_tokenizer_close(tok);
}

static void round_trip(const struct el_tokenizer *tok, const char *what, const char *text, size_t nbytes)
{
    struct el_err err;
    int32_t *ids;
    size_t n;
    char *back;
    size_t n_back;
    REQUIRE_OK(el_encode(tok, text, nbytes, 0, &ids, &n, &err), err);
    REQUIRE_OK(el_decode(tok, ids, n, false, &back, &n_back, &err), err);
    if (n_back != nbytes || memcmp(back, text, nbytes) != 0)
        test_fail(__FILE__, __LINE__, "%s: a text of %zu bytes does not come back: '%.100s'", what, nbytes, text);
    el_free(ids);
    el_free(back);
}

static void humaneval(const struct el_tokenizer *tok, const char *what)
{
    char command[4200];
    snprintf(command, sizeof command, "gzip -dc '%s'", test_shared("text/HumanEval.jsonl.gz"));
    FILE *const f = popen(command, "r");
    REQUIRE(f);
    static char line[1 << 20];
    int n = 0;
    while (fgets(line, sizeof line, f)) {
        struct el_err err;
        struct el_json_doc *doc;
        REQUIRE_OK(el_json_parse(line, strcspn(line, "\n"), "HumanEval.jsonl", &doc, &err), err);
        static const char *const keys[] = {"prompt", "canonical_solution", "test"};
        for (int k = 0; k < 3; k++) {
            const char *const text = el_json_str(el_json_get(el_json_root(doc), keys[k]));
            round_trip(tok, what, text, strlen(text));
        }
        el_json_free(doc);
        n++;
    }
    pclose(f);
    CHECK_EQ_INT(n, 164);
}

/*
 * What a vocabulary cannot give back: SentencePiece takes U+2581 for a space; StarCoder's lacks byte F1, which leads planes 4 to
 * 7.
 */
enum lack { LACKS_NOTHING, LACKS_MARK, LACKS_F1 };

/* Valid UTF-8 of every kind that the vocabulary has. */
static size_t random_text(uint64_t *state, char *out, enum lack lack)
{
    const size_t n = test_rand(state) % 60;
    size_t nbytes = 0;
    for (size_t i = 0; i < n; i++) {
        uint32_t cp;
        switch (test_rand(state) % 6) {
        case 0: cp = (uint32_t)(test_rand(state) % 32); break;
        case 1:
        case 2: cp = 32 + (uint32_t)(test_rand(state) % 96); break;
        case 3: cp = 0x80 + (uint32_t)(test_rand(state) % 0x780); break;
        case 4: cp = 0x800 + (uint32_t)(test_rand(state) % 0xf800); break;
        default: cp = 0x10000 + (uint32_t)(test_rand(state) % 0x100000);
        }
        if ((cp >= 0xd800 && cp <= 0xdfff) || (lack == LACKS_MARK && cp == 0x2581) ||
            (lack == LACKS_F1 && cp >= 0x40000 && cp <= 0x7ffff))
            cp = ' ';
        nbytes += el_utf8_encode(cp, out + nbytes);
    }
    return nbytes;
}

static void all_round_trips(const struct el_tokenizer *tok, const char *what, enum lack lack)
{
    size_t nbytes;
    char *const wiki = test_read(test_shared("text/wikitext2/wiki.test.txt"), &nbytes);
    REQUIRE(tok && wiki);
    round_trip(tok, what, wiki, nbytes);
    free(wiki);
    humaneval(tok, what);
    uint64_t state = 7;
    char text[256];
    for (int i = 0; i < 10000; i++)
        round_trip(tok, what, text, random_text(&state, text, lack));
}

static void gguf_round_trips(const char *name, enum lack lack)
{
    char path[200];
    snprintf(path, sizeof path, "tokenizers/ggml-vocab/ggml-vocab-%s.gguf", name);
    const char *const gguf = test_shared(path);
    if (!gguf)
        SKIP("needs ../shared/data");
    struct el_source *source;
    struct el_tokenizer *const tok = open_gguf(gguf, &source);
    all_round_trips(tok, name, lack);
    el_tokenizer_close(tok);
    el_source_close(source);
}

TEST(tokenizer_shared, round_trip_gpt_2)
{
    gguf_round_trips("gpt-2", LACKS_NOTHING);
}
TEST(tokenizer_shared, round_trip_llama_spm)
{
    gguf_round_trips("llama-spm", LACKS_MARK);
}
TEST(tokenizer_shared, round_trip_deepseek_coder)
{
    gguf_round_trips("deepseek-coder", LACKS_NOTHING);
}
TEST(tokenizer_shared, round_trip_starcoder)
{
    gguf_round_trips("starcoder", LACKS_F1);
}

TEST(tokenizer_shared, round_trip_hf)
{
    static const struct {
        const char *path;
        enum lack lack;
    } files[] = {{"tokenizers/hf/gpt2_tokenizer.json", LACKS_NOTHING},
                 {"tokenizers/hf/llama_tokenizer.json", LACKS_MARK},
                 {"models/books-4m/tokenizer.json", LACKS_NOTHING}};
    for (size_t i = 0; i < 3; i++) {
        const char *const path = test_shared(files[i].path);
        if (!path)
            SKIP("needs ../shared/data");
        struct el_tokenizer *const tok = open_json(path);
        all_round_trips(tok, files[i].path, files[i].lack);
        el_tokenizer_close(tok);
    }
}

/* The GGUF of stories260K and llama2.c's tok512.bin are the same vocabulary. */
TEST(tokenizer_shared, llama2c_equals_gguf)
{
    const char *const bin = test_shared("models/stories260K/tok512.bin");
    const char *const stories = test_shared("text/tinystories/tinystories_sample.txt");
    if (!bin || !stories)
        SKIP("needs ../shared/data");
    struct el_source *source;
    struct el_tokenizer *const a = open_gguf(test_shared("models/stories260K/stories260K.gguf"), &source);
    struct el_tokenizer *b = NULL;
    struct el_err err;
    size_t nbytes, n_text;
    char *const data = test_read(bin, &nbytes);
    char *const text = test_read(stories, &n_text);
    struct el_meta *const meta = el_meta_new();
    REQUIRE(data && text && meta && a);
    REQUIRE_OK(el_tokenizer_import_llama2c(meta, (const uint8_t *)data, nbytes, 512, &err), err);
    REQUIRE_OK(el_tokenizer_from_meta(meta, &b, &err), err);
    CHECK_EQ_INT(el_tok_n_vocab(b), 512);
    CHECK_EQ_INT(el_tok_bos(b), 1);
    CHECK_EQ_INT(el_tok_eos(b), 2);
    int32_t *ids_a, *ids_b;
    size_t n_a, n_b;
    REQUIRE_OK(el_encode(a, text, n_text, EL_TOK_ADD_SPECIAL, &ids_a, &n_a, &err), err);
    REQUIRE_OK(el_encode(b, text, n_text, EL_TOK_ADD_SPECIAL, &ids_b, &n_b, &err), err);
    CHECK_EQ_INT(n_a, n_b);
    CHECK(n_a > 1000 && memcmp(ids_a, ids_b, n_a * sizeof *ids_a) == 0);
    CHECK_EQ_INT(ids_a[0], 1);
    el_free(ids_a);
    el_free(ids_b);
    el_tokenizer_close(a);
    el_tokenizer_close(b);
    el_source_close(source);
    el_meta_free(meta);
    free(data);
    free(text);
}
