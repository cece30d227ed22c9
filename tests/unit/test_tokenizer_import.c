/* tokenizer.json, tokenizer_config.json and llama2.c's tokenizer.bin to metadata and back. */
#include "base/buf.h"
#include "base/json.h"
#include "base/mem.h"
#include "edgellm.h"
#include "test.h"
#include "text/tokenizer.h"

#define MARK "\xe2\x96\x81"

static struct el_err err;

static struct el_meta *import(const char *json, const char *config, const char *generation, uint32_t n_vocab)
{
    struct el_meta *const m = el_meta_new();
    CHECK_OK(el_tokenizer_import_hf(m, json, strlen(json), config, config ? strlen(config) : 0, generation,
                                    generation ? strlen(generation) : 0, n_vocab, &err),
             err);
    return m;
}

static const char *get_str(const struct el_meta *m, const char *key)
{
    const char *s = NULL;
    CHECK_OK(el_meta_get_str_or(m, key, &s, &err), err);
    return s;
}

static int64_t get_int(const struct el_meta *m, const char *key)
{
    const size_t i = el_meta_find(m, key);
    return i == SIZE_MAX ? -1 : el_meta_int(m, i, 0);
}

static int64_t elem(const struct el_meta *m, const char *key, size_t j)
{
    const size_t i = el_meta_find(m, key);
    return i == SIZE_MAX || j >= el_meta_n_elems(m, i) ? -99 : el_meta_int(m, i, j);
}

static const char *elem_str(const struct el_meta *m, const char *key, size_t j)
{
    size_t n;
    const size_t i = el_meta_find(m, key);
    return i == SIZE_MAX || j >= el_meta_n_elems(m, i) ? NULL : el_meta_str(m, i, j, &n);
}

static void check_ids(const struct el_tokenizer *tok, const char *text, unsigned flags, const char *want)
{
    int32_t *ids;
    size_t n;
    REQUIRE_OK(el_encode(tok, text, strlen(text), flags, &ids, &n, &err), err);
    struct el_buf b;
    el_buf_init(&b);
    for (size_t i = 0; i < n; i++)
        el_buf_addf(&b, "%s%d", i ? " " : "", (int)ids[i]);
    CHECK_EQ_STR(b.data, want);
    el_buf_release(&b);
    el_free(ids);
}

static const char bytes_json[] =
    "{\"version\":\"1.0\",\"added_tokens\":["
    "{\"id\":5,\"content\":\"<|eot|>\",\"special\":true,\"normalized\":false},"
    "{\"id\":6,\"content\":\"<tool>\",\"special\":false,\"normalized\":false},"
    "{\"id\":8,\"content\":\"<s>\",\"special\":true,\"normalized\":false}],"
    "\"normalizer\":null,"
    "\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"trim_offsets\":true,\"use_regex\":true},"
    "\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{\"id\":\"<s>\",\"type_id\":0}},"
    "{\"Sequence\":{\"id\":\"A\",\"type_id\":0}}],\"special_tokens\":{\"<s>\":{\"id\":\"<s>\",\"ids\":[8],\"tokens\":[\"<s>\"]}}}"
    ","
    "\"decoder\":{\"type\":\"ByteLevel\"},"
    "\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":1,\"ab\":2,\"\\u0120\":3,\"\\u0120ab\":4},"
    "\"merges\":[[\"a\",\"b\"],\"\\u0120 ab\"]}}";

TEST(tokenizer_import, byte_level)
{
    struct el_meta *const m =
        import(bytes_json,
               "{\"bos_token\":{\"content\":\"<s>\"},\"eos_token\":\"<|eot|>\",\"pad_token\":\"<tool>\","
               "\"chat_template\":[{\"name\":\"x\",\"template\":\"X\"},{\"name\":\"default\",\"template\":\"D\"}]}",
               "{\"eos_token_id\":[5,0,99]}", 11);
    CHECK_EQ_STR(get_str(m, "tokenizer.ggml.model"), "gpt2");
    CHECK_EQ_STR(get_str(m, "tokenizer.ggml.pre"), "gpt-2");
    CHECK_EQ_STR(get_str(m, "tokenizer.chat_template"), "D");
    CHECK_EQ_STR(get_str(m, "tokenizer.huggingface.json"), bytes_json);
    static const int types[] = {1, 1, 1, 1, 1, 3, 4, 5, 3, 5, 5};
    for (size_t i = 0; i < 11; i++)
        CHECK_EQ_INT(elem(m, "tokenizer.ggml.token_type", i), types[i]);
    CHECK_EQ_STR(elem_str(m, "tokenizer.ggml.tokens", 7), "[PAD7]");
    CHECK_EQ_STR(elem_str(m, "tokenizer.ggml.tokens", 10), "[PAD10]");
    CHECK_EQ_STR(elem_str(m, "tokenizer.ggml.merges", 0), "a b");
    CHECK_EQ_STR(elem_str(m, "tokenizer.ggml.merges", 1), "\xc4\xa0 ab");
    CHECK(el_meta_find(m, "tokenizer.ggml.scores") == SIZE_MAX);
    CHECK_EQ_INT(get_int(m, "tokenizer.ggml.bos_token_id"), 8);
    CHECK_EQ_INT(get_int(m, "tokenizer.ggml.eos_token_id"), 5);
    CHECK_EQ_INT(get_int(m, "tokenizer.ggml.eot_token_id"), 0);
    CHECK_EQ_INT(get_int(m, "tokenizer.ggml.padding_token_id"), 6);
    CHECK_EQ_INT(get_int(m, "tokenizer.ggml.add_bos_token"), 1);
    CHECK_EQ_INT(get_int(m, "tokenizer.ggml.add_eos_token"), 0);
    CHECK_EQ_INT(elem(m, "edgellm.tokenizer.eog_ids", 1), 0);
    struct el_tokenizer *tok;
    REQUIRE_OK(el_tokenizer_from_meta(m, &tok, &err), err);
    check_ids(tok, "ab ab<tool>", EL_TOK_ADD_SPECIAL, "8 2 4 6");
    check_ids(tok, "a<|eot|>", EL_TOK_PARSE_SPECIAL, "0 5");
    check_ids(tok, "xa", 0, "0"); /* x is in no token: dropped, as the reference programs do */
    CHECK(el_tok_is_eog(tok, 5) && el_tok_is_eog(tok, 0) && !el_tok_is_eog(tok, 1));
    el_tokenizer_close(tok);
    /* A pre-tokenizer that this build has no name for: the kept JSON has its pattern. */
    CHECK_OK(el_meta_set_str(m, "tokenizer.ggml.pre", "brand-new", 9, &err), err);
    REQUIRE_OK(el_tokenizer_from_meta(m, &tok, &err), err);
    check_ids(tok, "ab ab", 0, "2 4");
    el_tokenizer_close(tok);
    /* An override of the key wins over the post-processor. */
    CHECK_OK(el_meta_set_bool(m, "tokenizer.ggml.add_bos_token", false, &err), err);
    CHECK_OK(el_meta_set_bool(m, "tokenizer.ggml.add_eos_token", true, &err), err);
    REQUIRE_OK(el_tokenizer_from_meta(m, &tok, &err), err);
    check_ids(tok, "ab", EL_TOK_ADD_SPECIAL, "2 5");
    el_tokenizer_close(tok);
    el_meta_free(m);
}

/* Metadata that has nothing but the kept JSON is enough. */
TEST(tokenizer_import, kept_json_alone)
{
    struct el_meta *const m = el_meta_new();
    CHECK_OK(el_meta_set_str(m, "tokenizer.huggingface.json", bytes_json, strlen(bytes_json), &err), err);
    struct el_tokenizer *tok;
    REQUIRE_OK(el_tokenizer_from_meta(m, &tok, &err), err);
    check_ids(tok, "ab ab", EL_TOK_ADD_SPECIAL, "8 2 4");
    CHECK_EQ_INT(el_tok_bos(tok), 8);
    el_tokenizer_close(tok);
    CHECK_OK(el_meta_set_str(m, "tokenizer.huggingface.json", "{", 1, &err), err);
    CHECK_EQ_INT(el_tokenizer_from_meta(m, &tok, &err), EL_E_FORMAT);
    el_meta_free(m);
}

static const char chars_json[] =
    "{\"added_tokens\":[{\"id\":0,\"content\":\"<unk>\",\"special\":true,\"normalized\":false},"
    "{\"id\":7,\"content\":\"" MARK "go\",\"special\":false,\"normalized\":false}],"
    "\"normalizer\":{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"Prepend\",\"prepend\":\"" MARK "\"},"
    "{\"type\":\"Replace\",\"pattern\":{\"String\":\" \"},\"content\":\"" MARK "\"}]},"
    "\"decoder\":{\"type\":\"Sequence\",\"decoders\":[{\"type\":\"Replace\",\"pattern\":{\"String\":\"" MARK
    "\"},\"content\":\" \"},"
    "{\"type\":\"ByteFallback\"},{\"type\":\"Fuse\"},{\"type\":\"Strip\",\"content\":\" \",\"start\":1,\"stop\":0}]},"
    "\"model\":{\"type\":\"BPE\",\"unk_token\":\"<unk>\",\"fuse_unk\":true,\"byte_fallback\":true,"
    "\"vocab\":{\"<unk>\":0,\"<0x41>\":1,\"" MARK "\":2,\"a\":3,\"b\":4,\"ab\":5,\"" MARK "ab\":6},"
    "\"merges\":[\"a b\",\"" MARK " ab\"]}}";

TEST(tokenizer_import, characters)
{
    struct el_meta *const m = import(chars_json, NULL, NULL, 0);
    CHECK_EQ_STR(get_str(m, "tokenizer.ggml.model"), "llama");
    CHECK_EQ_STR(get_str(m, "tokenizer.ggml.pre"), "default");
    static const int types[] = {2, 6, 1, 1, 1, 1, 1, 4};
    for (size_t i = 0; i < 8; i++)
        CHECK_EQ_INT(elem(m, "tokenizer.ggml.token_type", i), types[i]);
    CHECK_EQ_STR(elem_str(m, "tokenizer.ggml.tokens", 7), " go"); /* user-defined: with a real space */
    CHECK_EQ_INT(get_int(m, "tokenizer.ggml.unknown_token_id"), 0);
    CHECK_EQ_INT(get_int(m, "tokenizer.ggml.add_space_prefix"), 1);
    const size_t scores = el_meta_find(m, "tokenizer.ggml.scores");
    REQUIRE(scores != SIZE_MAX);
    CHECK(el_meta_float(m, scores, 5) > el_meta_float(m, scores, 6)); /* the earlier merge has the higher score */
    CHECK(el_meta_float(m, scores, 6) > el_meta_float(m, scores, 3));
    struct el_tokenizer *tok;
    REQUIRE_OK(el_tokenizer_from_meta(m, &tok, &err), err);
    check_ids(tok, "ab abA", 0, "6 6 1");
    check_ids(tok, "xya", 0, "2 0 3"); /* neighbours without bytes: one unk */
    el_tokenizer_close(tok);
    el_meta_remove(m, "tokenizer.huggingface.json"); /* by scores: the same */
    REQUIRE_OK(el_tokenizer_from_meta(m, &tok, &err), err);
    check_ids(tok, "ab abA", 0, "6 6 1");
    el_tokenizer_close(tok);
    el_meta_free(m);
}

/* What is written from tokenizer.ggml.* reads back to the same ids. */
static void export_and_back(const char *json, const char *text, unsigned flags, const char *want)
{
    struct el_meta *const m = import(json, "{\"chat_template\":\"T\"}", NULL, 0);
    struct el_buf out, config, kept, config2;
    el_buf_init(&out);
    el_buf_init(&config);
    el_buf_init(&kept);
    el_buf_init(&config2);
    CHECK_OK(el_tokenizer_export_hf(m, &kept, &config2, &err), err);
    CHECK_EQ_STR(kept.data, json);
    CHECK_OK(el_meta_set_str(m, "general.architecture", "llama", 5, &err), err);
    CHECK_OK(el_meta_set_u32(m, "llama.context_length", 77, &err), err);
    el_meta_remove(m, "tokenizer.huggingface.json");
    CHECK_OK(el_tokenizer_export_hf(m, &out, &config, &err), err);
    CHECK(strstr(config.data, "\"model_max_length\": 77") && strstr(config.data, "\"chat_template\": \"T\""));
    struct el_meta *const back = import(out.data, config.data, NULL, 0);
    struct el_tokenizer *tok;
    REQUIRE_OK(el_tokenizer_from_meta(back, &tok, &err), err);
    check_ids(tok, text, flags, want);
    el_tokenizer_close(tok);
    el_meta_free(back);
    el_meta_free(m);
    el_buf_release(&out);
    el_buf_release(&config);
    el_buf_release(&kept);
    el_buf_release(&config2);
}

TEST(tokenizer_import, exports)
{
    export_and_back(bytes_json, "ab ab<tool>", EL_TOK_ADD_SPECIAL, "8 2 4 6");
    export_and_back(chars_json, "ab abA", 0, "6 6 1");
    struct el_meta *const m = import(bytes_json, NULL, NULL, 0);
    el_meta_remove(m, "tokenizer.huggingface.json");
    CHECK_OK(el_meta_set_str(m, "tokenizer.ggml.pre", "starcoder", 9, &err), err); /* two patterns: a Sequence of splits */
    struct el_buf out, config;
    el_buf_init(&out);
    el_buf_init(&config);
    CHECK_OK(el_tokenizer_export_hf(m, &out, &config, &err), err);
    CHECK(strstr(out.data, "\"pretokenizers\"") && strstr(out.data, "\\\\p{N}"));
    struct el_meta *const back = import(out.data, NULL, NULL, 0);
    CHECK_EQ_STR(get_str(back, "tokenizer.ggml.pre"), "starcoder");
    el_meta_free(back);
    el_meta_free(m);
    struct el_meta *const none = el_meta_new();
    CHECK_EQ_INT(el_tokenizer_export_hf(none, &out, &config, &err), EL_E_FORMAT);
    el_meta_free(none);
    el_buf_release(&out);
    el_buf_release(&config);
}

/* ---- what is refused ---- */

/* A tokenizer.json with one section replaced. */
static void refused_section(const char *section, const char *text, int status, const char *part)
{
    static const struct {
        const char *key, *usual;
    } sections[] = {{"added_tokens", "[]"},
                    {"normalizer", "null"},
                    {"pre_tokenizer", "{\"type\":\"ByteLevel\",\"add_prefix_space\":false}"},
                    {"post_processor", "null"},
                    {"decoder", "null"},
                    {"model", "{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":1,\"ab\":2},\"merges\":[\"a b\"]}"}};
    struct el_buf j;
    el_buf_init(&j);
    for (size_t i = 0; i < 6; i++)
        el_buf_addf(&j, "%s\"%s\":%s", i ? "," : "{", sections[i].key,
                    strcmp(sections[i].key, section) == 0 ? text : sections[i].usual);
    el_buf_add_byte(&j, '}');
    struct el_meta *const m = el_meta_new();
    struct el_tokenizer *tok = NULL;
    int got = (int)el_tokenizer_import_hf(m, j.data, j.nbytes, NULL, 0, NULL, 0, 0, &err);
    if (got == EL_OK)
        got = (int)el_tokenizer_from_meta(m, &tok, &err);
    if (got != status || (status != EL_OK && !strstr(err.text, part)))
        test_fail(__FILE__, __LINE__, "%s %s: status %d, '%s'; want %d, '%s'", section, text, got, got ? err.text : "", status,
                  part);
    el_tokenizer_close(tok);
    el_meta_free(m);
    el_buf_release(&j);
}

/* Maps: bytes of the array, the array, strings. The second is "AAAAAAAA" cut short. */
TEST(tokenizer_import, refuses_charsmaps)
{
    static const struct {
        const char *map, *says;
    } bad[] = {{"!", "must be base64"},
               {"AAA", "must be base64"},
               {"AAAA", "the array has 0 bytes"},
               {"AAAAAAA=", "the array has 0 bytes"},
               {"BAAAAAAAAAA=", "the array has 4 bytes, allowed are a multiple of 4 and less than 4"},
               {"BQAAAAAAAAAAAA==", "the array has 5 bytes"},
               {"/////wAAAAAA", "the array has 4294967295 bytes"},
               {"BAAAAAAAAABh", "the strings must be UTF-8 and end with NUL"},
               {"BAAAAAAAAAD/AA==", "the strings must be UTF-8 and end with NUL"}};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        char text[200];
        snprintf(text, sizeof text, "{\"type\":\"Precompiled\",\"precompiled_charsmap\":\"%s\"}", bad[i].map);
        refused_section("normalizer", text, EL_E_FORMAT, bad[i].says);
    }
    refused_section("normalizer", "{\"type\":\"Precompiled\",\"precompiled_charsmap\":7}", EL_E_FORMAT, "must be base64");
    refused_section("normalizer", "{\"type\":\"Precompiled\",\"precompiled_charsmap\":\"BAAAAAAAAAAA\"}", EL_OK, "");
    refused_section("normalizer", "{\"type\":\"Precompiled\",\"precompiled_charsmap\":\"\"}", EL_OK, "");
    refused_section("decoder", "{\"type\":\"WordPiece\",\"prefix\":\"##\"}", EL_E_UNSUPPORTED, "decoder WordPiece: prefix '##'");
}

TEST(tokenizer_import, refuses_models)
{
    refused_section("model", "7", EL_E_FORMAT, "'model' must be an object");
    refused_section("model", "{}", EL_E_UNSUPPORTED, "model type '(none)'");
    refused_section("model", "{\"type\":\"WordLevel\"}", EL_E_UNSUPPORTED,
                    "'WordLevel', supported are BPE, Unigram and WordPiece");
    refused_section("model", "{\"type\":\"Unigram\"}", EL_E_FORMAT, "model.vocab of a Unigram model must be an array");
    refused_section("model", "{\"type\":\"Unigram\",\"vocab\":[]}", EL_E_FORMAT, "vocabulary is empty");
    refused_section("model", "{\"type\":\"Unigram\",\"vocab\":[[\"a\",0],[\"b\"]]}", EL_E_FORMAT,
                    "model.vocab[1]: must be [text, score]");
    refused_section("model", "{\"type\":\"Unigram\",\"vocab\":[\"a\"]}", EL_E_FORMAT, "model.vocab[0]: must be [text, score]");
    refused_section("model", "{\"type\":\"Unigram\",\"vocab\":[[\"\",0]]}", EL_E_FORMAT, "0 bytes of text");
    refused_section("model", "{\"type\":\"Unigram\",\"unk_id\":1,\"vocab\":[[\"a\",0]]}", EL_E_FORMAT,
                    "unk_id must be a token, of 1");
    refused_section("model", "{\"type\":\"Unigram\",\"unk_id\":\"a\",\"vocab\":[[\"a\",0]]}", EL_E_FORMAT,
                    "unk_id must be a token");
    refused_section("model", "{\"type\":\"WordPiece\",\"vocab\":[[\"a\",0]]}", EL_E_FORMAT, "model.vocab must be an object");
    refused_section("model", "{\"type\":\"WordPiece\",\"max_input_chars_per_word\":-1,\"vocab\":{\"a\":0}}", EL_E_FORMAT,
                    "max_input_chars_per_word must be a whole number");
    refused_section("model", "{\"type\":\"BPE\",\"merges\":[]}", EL_E_FORMAT, "model.vocab must be an object");
    refused_section("model", "{\"type\":\"BPE\",\"vocab\":{},\"merges\":[]}", EL_E_FORMAT, "vocabulary is empty");
    refused_section("model", "{\"type\":\"BPE\",\"vocab\":{\"a\":0}}", EL_E_FORMAT, "model.merges must be an array");
    refused_section("model", "{\"type\":\"BPE\",\"vocab\":{\"a\":\"0\"},\"merges\":[]}", EL_E_FORMAT, "must be an integer");
    refused_section("model", "{\"type\":\"BPE\",\"vocab\":{\"a\":-1},\"merges\":[]}", EL_E_FORMAT, "id -1");
    refused_section("model", "{\"type\":\"BPE\",\"vocab\":{\"a\":4194304},\"merges\":[]}", EL_E_FORMAT, "id 4194304");
    refused_section("model", "{\"type\":\"BPE\",\"vocab\":{\"a\":70000},\"merges\":[]}", EL_E_FORMAT, "70001 ids for 1 tokens");
    refused_section("model", "{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"b\":0},\"merges\":[]}", EL_E_FORMAT,
                    "token id 0 is given to 'a' and to 'b'");
    refused_section("model", "{\"type\":\"BPE\",\"vocab\":{\"\":0},\"merges\":[]}", EL_E_FORMAT, "0 bytes of text");
    refused_section("model", "{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[\"a b\"]}", EL_E_FORMAT, "merges[0] 'a b'");
    refused_section("model", "{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[[\"a\"]]}", EL_E_FORMAT, "merges[0]: must be");
    refused_section("model", "{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[3]}", EL_E_FORMAT, "merges[0]: must be");
    refused_section("model", "{\"type\":\"BPE\",\"vocab\":{\"\\u0391\":0},\"merges\":[]}", EL_E_FORMAT, "byte alphabet");
    refused_section("model", "{\"type\":\"BPE\",\"dropout\":0.1,\"vocab\":{\"a\":0},\"merges\":[]}", EL_E_UNSUPPORTED, "dropout");
    refused_section("model", "{\"type\":\"BPE\",\"end_of_word_suffix\":\"</w>\",\"vocab\":{\"a\":0},\"merges\":[]}",
                    EL_E_UNSUPPORTED, "</w>");
    refused_section("model", "{\"type\":\"BPE\",\"continuing_subword_prefix\":\"##\",\"vocab\":{\"a\":0},\"merges\":[]}",
                    EL_E_UNSUPPORTED, "##");
}

/* A merge is "a b" in metadata: where tokens hold spaces, that may be another merge than the file's. */
TEST(tokenizer_import, refuses_merges_that_cannot_be_told_apart)
{
#define SPACES "\"vocab\":{\"a\":0,\"b\":1,\"a b\":2,\" \":3,\"  \":4,\"   \":5,\"b \":6,\"a b  \":7,\"b  \":8}"
    refused_section("model", "{\"type\":\"BPE\"," SPACES ",\"merges\":[[\" \",\" \"],[\" \",\"  \"],[\"b\",\" \"]]}", EL_OK, "");
    refused_section("model", "{\"type\":\"BPE\"," SPACES ",\"merges\":[[\" \",\" \"],[\"  \",\" \"]]}", EL_E_UNSUPPORTED,
                    "model.merges[1] '    ': tokens with spaces in them, so that it cannot be told where the first ends");
    refused_section("model", "{\"type\":\"BPE\"," SPACES ",\"merges\":[[\"b\",\" \"],[\"b \",\" \"]]}", EL_E_UNSUPPORTED,
                    "model.merges[1] 'b   '");
    refused_section("model", "{\"type\":\"BPE\"," SPACES ",\"merges\":[[\"a b\",\"  \"]]}", EL_OK, "");
#undef SPACES
}

TEST(tokenizer_import, refuses_added_tokens)
{
    refused_section("added_tokens", "[{\"id\":3}]", EL_E_FORMAT, "integer id and a string content");
    refused_section("added_tokens", "[{\"id\":0,\"content\":\"x\"}]", EL_E_FORMAT, "token id 0 is given to 'a' and to 'x'");
    refused_section("added_tokens", "[{\"id\":-3,\"content\":\"x\"}]", EL_E_FORMAT, "id -3");
    refused_section("added_tokens", "[{\"id\":3,\"content\":\"\"}]", EL_E_FORMAT, "0 bytes");
    struct el_buf j;
    el_buf_init(&j);
    el_buf_add_str(&j, "[{\"id\":3,\"content\":\"");
    for (int i = 0; i < 2000; i++)
        el_buf_add_byte(&j, 'x');
    el_buf_add_str(&j, "\"}]");
    refused_section("added_tokens", j.data, EL_E_FORMAT, "2000 bytes of text, allowed are 1 to 1024");
    el_buf_release(&j);
}

TEST(tokenizer_import, refuses_rules)
{
    refused_section("normalizer", "{\"type\":\"Nmt\"}", EL_E_UNSUPPORTED, "normalizer 'Nmt'");
    refused_section("normalizer", "{}", EL_E_UNSUPPORTED, "normalizer '(none)'");
    refused_section("normalizer", "{\"type\":\"Prepend\"}", EL_E_FORMAT, "'prepend' must be a string");
    refused_section("normalizer", "{\"type\":\"Replace\",\"content\":\"\"}", EL_E_FORMAT, "normalizer Replace");
    refused_section("normalizer", "{\"type\":\"Replace\",\"pattern\":{\"String\":\"\"},\"content\":\"\"}", EL_E_FORMAT,
                    "normalizer Replace");
    refused_section("normalizer", "{\"type\":\"Replace\",\"pattern\":{\"Regex\":\"(\"},\"content\":\"\"}", EL_E_FORMAT,
                    "pattern '('");
    refused_section("pre_tokenizer", "{\"type\":\"UnicodeScripts\"}", EL_E_UNSUPPORTED, "pre_tokenizer 'UnicodeScripts'");
    refused_section("pre_tokenizer", "{\"type\":\"Split\",\"behavior\":\"Isolated\"}", EL_E_FORMAT, "pattern must be");
    refused_section("pre_tokenizer", "{\"type\":\"Split\",\"pattern\":{\"String\":\"\"},\"behavior\":\"Isolated\"}", EL_E_FORMAT,
                    "pattern must be");
    refused_section("pre_tokenizer", "{\"type\":\"Split\",\"pattern\":{\"Regex\":\"a\"},\"behavior\":\"Sideways\"}",
                    EL_E_UNSUPPORTED, "'Sideways'");
    refused_section("pre_tokenizer", "{\"type\":\"Split\",\"pattern\":{\"Regex\":\"[\"},\"behavior\":\"Isolated\"}", EL_E_FORMAT,
                    "pattern '['");
    refused_section("pre_tokenizer", "{\"type\":\"Metaspace\",\"prepend_scheme\":\"often\"}", EL_E_UNSUPPORTED, "'often'");
    refused_section("pre_tokenizer", "{\"type\":\"CharDelimiterSplit\"}", EL_E_FORMAT, "delimiter");
    refused_section("pre_tokenizer",
                    "{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"ByteLevel\"},{\"type\":\"ByteLevel\"}]}",
                    EL_E_UNSUPPORTED, "ByteLevel twice");
    refused_section("post_processor", "{\"type\":\"Other\"}", EL_E_UNSUPPORTED, "post_processor 'Other'");
    refused_section("post_processor", "{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{\"id\":\"q\"}}]}",
                    EL_E_FORMAT, "'q'");
    refused_section("post_processor", "{\"type\":\"TemplateProcessing\",\"single\":[{\"Sequence\":{}},{\"Sequence\":{}}]}",
                    EL_E_UNSUPPORTED, "twice");
    refused_section("post_processor",
                    "{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{\"id\":\"q\"}}],\"special_tokens\":{\"q\":{"
                    "\"ids\":[\"1\"]}}}",
                    EL_E_FORMAT, "must be integers");
    refused_section("post_processor",
                    "{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{\"id\":\"q\"}}],\"special_tokens\":{\"q\":{"
                    "\"ids\":[3]}}}",
                    EL_E_FORMAT, "token id 3, the vocabulary has 3");
    refused_section("post_processor",
                    "{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{\"id\":\"q\"}}],\"special_tokens\":{\"q\":{"
                    "\"ids\":[-1]}}}",
                    EL_E_FORMAT, "token id -1");
    refused_section(
        "post_processor",
        "{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{\"id\":\"q\"}}],\"special_tokens\":{\"q\":{\"ids\":"
        "[0,0,0,0,0,0,0,0,0]}}}",
        EL_E_UNSUPPORTED, "more than 8 tokens");
    struct el_buf many;
    el_buf_init(&many);
    el_buf_add_str(&many, "{\"type\":\"TemplateProcessing\",\"single\":[{\"Sequence\":{}}");
    for (int i = 0; i < 17; i++)
        el_buf_add_str(&many, ",{\"SpecialToken\":{\"id\":\"q\"}}");
    el_buf_add_str(&many, "],\"special_tokens\":{\"q\":{\"ids\":[]}}}");
    refused_section("post_processor", many.data, EL_E_UNSUPPORTED, "more than 17 parts");
    el_buf_release(&many);
    refused_section("post_processor", "{\"type\":\"BertProcessing\",\"cls\":[\"a\"],\"sep\":[\"b\",1]}", EL_E_FORMAT,
                    "cls and sep");
    refused_section("decoder", "{\"type\":\"CTC\"}", EL_E_UNSUPPORTED, "decoder 'CTC'");
    refused_section("decoder", "{\"type\":\"Replace\"}", EL_E_FORMAT, "decoder Replace");
    refused_section("decoder", "{\"type\":\"Strip\",\"content\":\" \"}", EL_E_FORMAT, "decoder Strip");
    refused_section("decoder", "{\"type\":\"Strip\",\"content\":\" \",\"start\":0,\"stop\":1}", EL_E_UNSUPPORTED,
                    "decoder Strip");
    const char *const r = "{\"type\":\"Replace\",\"pattern\":{\"String\":\"a\"},\"content\":\"b\"}";
    char two[300];
    snprintf(two, sizeof two, "{\"type\":\"Sequence\",\"decoders\":[%s,%s]}", r, r);
    refused_section("decoder", two, EL_E_UNSUPPORTED, "more than one replacement");
}

TEST(tokenizer_import, too_many_steps_and_tokens)
{
    struct el_buf j;
    el_buf_init(&j);
    el_buf_add_str(&j, "{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"NFC\"}");
    for (int i = 0; i < 64; i++)
        el_buf_add_str(&j, ",{\"type\":\"NFC\"}");
    el_buf_add_str(&j, "]}");
    refused_section("normalizer", j.data, EL_E_UNSUPPORTED, "more than 64 steps");
    el_buf_release(&j);
    struct el_meta *const m = el_meta_new();
    CHECK_EQ_INT(el_tokenizer_import_hf(m, bytes_json, strlen(bytes_json), NULL, 0, NULL, 0, 4, &err), EL_E_FORMAT);
    CHECK(strstr(err.text, "the tokenizer has 9 tokens, the model 4"));
    CHECK_EQ_INT(el_tokenizer_import_hf(m, bytes_json, strlen(bytes_json), NULL, 0, NULL, 0, 1u << 30, &err), EL_E_FORMAT);
    CHECK_EQ_INT(el_tokenizer_import_hf(m, bytes_json, strlen(bytes_json), "x", 1, NULL, 0, 0, &err), EL_E_FORMAT);
    CHECK(strstr(err.text, "tokenizer_config.json"));
    CHECK_EQ_INT(el_tokenizer_import_hf(m, bytes_json, strlen(bytes_json), NULL, 0, "[", 1, 0, &err), EL_E_FORMAT);
    CHECK(strstr(err.text, "generation_config.json"));
    el_meta_free(m);
}

/* A pattern that never ends is found out when it runs. */
TEST(tokenizer_import, endless_pattern_is_an_error)
{
    const char *const json =
        "{\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Split\",\"pattern\":{\"Regex\":\"(a+)+$\"},"
        "\"behavior\":\"Isolated\"},{\"type\":\"ByteLevel\",\"use_regex\":false}]},"
        "\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0,\"!\":1},\"merges\":[]}}";
    struct el_meta *const m = import(json, NULL, NULL, 0);
    CHECK_EQ_STR(get_str(m, "tokenizer.ggml.pre"), "default");
    struct el_tokenizer *tok;
    REQUIRE_OK(el_tokenizer_from_meta(m, &tok, &err), err);
    int32_t *ids;
    size_t n;
    CHECK_EQ_INT(el_encode(tok, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!", 48, 0, &ids, &n, &err), EL_E_FORMAT);
    CHECK(ids == NULL && strstr(err.text, "(a+)+$"));
    el_tokenizer_close(tok);
    el_meta_free(m);
}

/* ---- llama2.c ---- */

static void add_piece(struct el_buf *b, float score, const char *text)
{
    uint32_t bits;
    memcpy(&bits, &score, 4);
    el_buf_add_u32(b, bits);
    el_buf_add_u32(b, (uint32_t)strlen(text));
    el_buf_add_str(b, text);
}

static void llama2c_bytes(struct el_buf *b)
{
    el_buf_init(b);
    el_buf_add_u32(b, 7);
    add_piece(b, 0, "<unk>");
    add_piece(b, 0, "\n<s>\n");
    add_piece(b, 0, "\n</s>\n");
    for (unsigned i = 0; i < 256; i++) {
        char text[8];
        snprintf(text, sizeof text, "<0x%02X>", i);
        add_piece(b, 0, text);
    }
    static const char *const pieces[] = {" ", "a", "b", " a", " ab"};
    for (int i = 0; i < 5; i++)
        add_piece(b, -(float)i, pieces[i]);
}

TEST(tokenizer_import, llama2c)
{
    struct el_buf b;
    llama2c_bytes(&b);
    struct el_meta *m = el_meta_new();
    REQUIRE_OK(el_tokenizer_import_llama2c(m, (const uint8_t *)b.data, b.nbytes, 0, &err), err);
    CHECK_EQ_STR(elem_str(m, "tokenizer.ggml.tokens", 1), "<s>");
    CHECK_EQ_STR(elem_str(m, "tokenizer.ggml.tokens", 263), MARK "ab");
    CHECK_EQ_INT(elem(m, "tokenizer.ggml.token_type", 3), 6);
    struct el_tokenizer *tok;
    REQUIRE_OK(el_tokenizer_from_meta(m, &tok, &err), err);
    check_ids(tok, "ab a!", EL_TOK_ADD_SPECIAL, "1 263 262 36");
    CHECK_EQ_INT(el_tok_n_vocab(tok), 264);
    el_tokenizer_close(tok);
    el_meta_free(m);
    m = el_meta_new();
    REQUIRE_OK(el_tokenizer_import_llama2c(m, (const uint8_t *)b.data, b.nbytes, 262, &err), err); /* trailing bytes: a warning */
    CHECK_EQ_STR(elem_str(m, "tokenizer.ggml.tokens", 261), "b");
    el_meta_free(m);
    el_buf_release(&b);
}

TEST(tokenizer_import, llama2c_refuses)
{
    struct el_buf b;
    llama2c_bytes(&b);
    struct el_meta *const m = el_meta_new();
    for (size_t n = 0; n < b.nbytes; n++) { /* every truncation */
        const int status = (int)el_tokenizer_import_llama2c(m, (const uint8_t *)b.data, n, 264, &err);
        CHECK_EQ_INT(status, EL_E_FORMAT);
        if (!strstr(err.text, "truncated in token"))
            test_fail(__FILE__, __LINE__, "%zu bytes: %s", n, err.text);
    }
    CHECK_EQ_INT(el_tokenizer_import_llama2c(m, (const uint8_t *)b.data, b.nbytes, 265, &err), EL_E_FORMAT);
    const uint32_t nan = 0x7fc00000u, huge = 0xffffffffu, zero = 0;
    memcpy(b.data + 4, &nan, 4);
    CHECK_EQ_INT(el_tokenizer_import_llama2c(m, (const uint8_t *)b.data, b.nbytes, 264, &err), EL_E_FORMAT);
    CHECK(strstr(err.text, "not a number"));
    memcpy(b.data + 4, &zero, 4);
    memcpy(b.data + 8, &huge, 4);
    CHECK_EQ_INT(el_tokenizer_import_llama2c(m, (const uint8_t *)b.data, b.nbytes, 264, &err), EL_E_FORMAT);
    el_buf_release(&b);
    llama2c_bytes(&b);
    b.data[b.nbytes - 1] = (char)0xff;
    CHECK_EQ_INT(el_tokenizer_import_llama2c(m, (const uint8_t *)b.data, b.nbytes, 264, &err), EL_E_FORMAT);
    CHECK(strstr(err.text, "not valid UTF-8"));
    el_buf_release(&b);
    el_meta_free(m);
}

/* ---- the bundled model ---- */

TEST(tokenizer_import, bundled_model)
{
    size_t n_json, n_config, n_index;
    char *const json = test_read(test_data("books-4m/tokenizer.json"), &n_json);
    char *const config = test_read(test_data("books-4m/tokenizer_config.json"), &n_config);
    char *const index = test_read(test_data("books-4m/reference/index.json"), &n_index);
    REQUIRE(json && config && index);
    struct el_meta *const m = el_meta_new();
    REQUIRE_OK(el_tokenizer_import_hf(m, json, n_json, config, n_config, NULL, 0, 4096, &err), err);
    struct el_tokenizer *tok;
    REQUIRE_OK(el_tokenizer_from_meta(m, &tok, &err), err);
    struct el_json_doc *doc;
    REQUIRE_OK(el_json_parse(index, n_index, "index.json", &doc, &err), err);
    size_t n_prompts = 0;
    for (const struct el_json *p = el_json_first(el_json_get(el_json_root(doc), "prompts")); p;
         p = el_json_next(p), n_prompts++) {
        const char *const text = el_json_str(el_json_get(p, "prompt"));
        int32_t *ids;
        size_t n, i = 0;
        REQUIRE_OK(el_encode(tok, text, strlen(text), EL_TOK_ADD_SPECIAL, &ids, &n, &err), err);
        for (const struct el_json *v = el_json_first(el_json_get(p, "ids")); v; v = el_json_next(v), i++) {
            int64_t id;
            CHECK(el_json_int(v, &id) && i < n && ids[i] == id);
        }
        CHECK(i > 20);
        el_free(ids);
    }
    CHECK_EQ_INT(n_prompts, 3);
    el_json_free(doc);
    el_tokenizer_close(tok);
    el_meta_free(m);
    free(json);
    free(config);
    free(index);
}

TEST(tokenizer_import, survives_lack_of_memory)
{
    int failures = 0;
    for (uint64_t n = 1; n < 4000; n++) {
        struct el_meta *const m = el_meta_new();
        struct el_tokenizer *tok = NULL;
        struct el_buf out, config;
        el_buf_init(&out);
        el_buf_init(&config);
        el_mem_fail_after(n);
        enum el_status status =
            el_tokenizer_import_hf(m, chars_json, strlen(chars_json), "{\"eos_token\":\"ab\"}", 18, "{}", 2, 12, &err);
        if (status == EL_OK)
            status = el_tokenizer_from_meta(m, &tok, &err);
        if (status == EL_OK) {
            el_meta_remove(m, "tokenizer.huggingface.json");
            status = el_tokenizer_export_hf(m, &out, &config, &err);
        }
        el_mem_fail_after(0);
        el_tokenizer_close(tok);
        el_meta_free(m);
        el_buf_release(&out);
        el_buf_release(&config);
        if (status == EL_OK)
            break;
        CHECK_EQ_INT(status, EL_E_MEMORY);
        failures++;
    }
    CHECK(failures > 50);
}
