/* Damaged tokenizer files: SentencePiece, tiktoken, tekken.json, vocab.txt, vocab.json with merges.txt. */
#include <sys/stat.h>

#include "base/base64.h"
#include "base/buf.h"
#include "edgellm.h"
#include "test.h"

static void refused(const char *name, const char *file, const void *data, size_t nbytes, enum el_status code, const char *says)
{
    const char *const path = test_tmp(file);
    REQUIRE(test_write(path, data, nbytes));
    struct el_err err = {0};
    struct el_source *s;
    enum el_status status = el_source_open(path, &(struct el_source_opts){.format = "tokenizer"}, &s, &err);
    struct el_tokenizer *tok = NULL;
    if (status == EL_OK)
        status = el_tokenizer_open(s, &tok, &err);
    if (status != code || (code != EL_OK && (!strstr(err.text, says) || !strstr(err.text, file))))
        test_fail(__FILE__, __LINE__, "%s: status %d, '%s', wanted %d, '%s'", name, (int)status, status ? err.text : "",
                  (int)code, says);
    el_tokenizer_close(tok);
    el_source_close(s);
}

/* ---- SentencePiece ---- */

/* Field 1: {piece "a", score 0.5, type 1}; then trainer_spec {model_type}. */
#define PIECE(text)   "\x0a\x0a\x0a\x01" text "\x15\x00\x00\x00\x3f\x18\x01"
#define TRAINER(type) "\x12\x02\x18" type

static const struct {
    const char *name, *data;
    size_t nbytes;
    enum el_status code;
    const char *says;
} models[] = {
#define MODEL(name, bytes, code, says)                                                                                           \
    {                                                                                                                            \
        name, bytes, sizeof(bytes) - 1, code, says                                                                               \
    }
    MODEL("good", PIECE("a") TRAINER("\x01"), EL_OK, ""),
    MODEL("no trainer_spec: unigram", PIECE("a"), EL_OK, ""),
    MODEL("unknown fields are stepped over",
          PIECE("a") "\x98\x06\x05\xa2\x06\x02xy\x9d\x06\x01\x02\x03\x04\xa1\x06\x01\x02\x03\x04\x05\x06\x07\x08", EL_OK, ""),
    MODEL("word model", PIECE("a") TRAINER("\x03"), EL_E_UNSUPPORTED, "trainer_spec.model_type is 3 (word), supported are 1"),
    MODEL("character model", PIECE("a") TRAINER("\x04"), EL_E_UNSUPPORTED, "trainer_spec.model_type is 4 (char)"),
    MODEL("model type 77", PIECE("a") TRAINER("\x4d"), EL_E_UNSUPPORTED, "trainer_spec.model_type is 77 (unknown)"),
    MODEL("suffix", PIECE("a") "\x12\x03\xc0\x01\x01", EL_E_UNSUPPORTED, "treat_whitespace_as_suffix is true"),
    MODEL("no escape", PIECE("a") "\x1a\x02\x28\x00", EL_E_UNSUPPORTED, "escape_whitespaces is false"),
    MODEL("piece type 0",
          "\x0a\x05\x0a\x01"
          "a\x18\x00",
          EL_E_FORMAT, "pieces[0].type is 0, allowed are 1 to 6"),
    MODEL("piece type 7",
          PIECE("a") "\x0a\x05\x0a\x01"
                     "b\x18\x07",
          EL_E_FORMAT, "pieces[1].type is 7, allowed are 1 to 6"),
    MODEL("piece type 2^64 - 1",
          "\x0a\x0e\x0a\x01"
          "b\x18\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
          EL_E_FORMAT, "pieces[0].type is 18446744073709551615"),
    MODEL("varint of eleven bytes", PIECE("a") "\x12\x0d\x18\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", EL_E_FORMAT,
          "trainer_spec: truncated or damaged"),
    MODEL("score NaN",
          PIECE("a") "\x0a\x08\x0a\x01"
                     "b\x15\x00\x00\xc0\x7f",
          EL_E_FORMAT, "pieces[1].score is not a finite number"),
    MODEL("score infinite",
          PIECE("a") "\x0a\x08\x0a\x01"
                     "b\x15\x00\x00\x80\xff",
          EL_E_FORMAT, "pieces[1].score is not a finite number"),
    MODEL("piece without text", PIECE("a") "\x0a\x00", EL_E_FORMAT, "pieces[1].piece: must be UTF-8 of at least one byte"),
    MODEL("piece not UTF-8", PIECE("a") "\x0a\x03\x0a\x01\xff", EL_E_FORMAT, "pieces[1].piece: must be UTF-8"),
    MODEL("piece with NUL", PIECE("a") "\x0a\x03\x0a\x01\x00", EL_E_FORMAT, "pieces[1].piece: must be UTF-8"),
    MODEL("piece longer than its message",
          PIECE("a") "\x0a\x03\x0a\x05"
                     "b",
          EL_E_FORMAT, "pieces[1]: truncated or damaged"),
    MODEL("piece longer than the file",
          PIECE("a") "\x0a\x7f\x0a\x01"
                     "b",
          EL_E_FORMAT, "truncated or damaged at byte"),
    MODEL("length of 2^63", PIECE("a") "\x0a\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01", EL_E_FORMAT,
          "truncated or damaged at byte"),
    MODEL("group", PIECE("a") "\x0b", EL_E_FORMAT, "truncated or damaged at byte"),
    MODEL("wire type 7", PIECE("a") "\x0f", EL_E_FORMAT, "truncated or damaged at byte"),
    MODEL("field 0", PIECE("a") "\x00\x00", EL_E_FORMAT, "truncated or damaged at byte"),
    MODEL("half a float",
          PIECE("a") "\x0a\x05\x15\x00\x00\x00\x3f"
                     "\x15\x00",
          EL_E_FORMAT, "pieces[1].piece"),
    MODEL("damaged character map",
          PIECE("a") "\x1a\x05\x12\x03"
                     "abc",
          EL_E_FORMAT, "tokenizer.ggml.precompiled_charsmap"),
    MODEL("byte piece that is no byte",
          PIECE("a") "\x0a\x05\x0a\x01"
                     "b\x18\x06",
          EL_E_FORMAT, "a byte token must be <0x00> to <0xFF>"),
};

TEST(bad_tokenizer, sentencepiece)
{
    for (size_t i = 0; i < sizeof models / sizeof models[0]; i++)
        refused(models[i].name, "bad.model", models[i].data, models[i].nbytes, models[i].code, models[i].says);
}

/* A real model cut anywhere is refused, or is a model of fewer pieces; never more. */
TEST(bad_tokenizer, every_truncation)
{
    size_t nbytes, n_refused = 0;
    char *const data = test_read(test_data("tokenizers/models/unigram.model"), &nbytes);
    REQUIRE(data);
    const char *const path = test_tmp("cut.model");
    for (size_t n = nbytes - 1; n > 16; n -= n > 64 ? 37 : 1) {
        REQUIRE(test_write(path, data, n));
        struct el_err err = {0};
        struct el_source *s;
        const enum el_status status = el_source_open(path, &(struct el_source_opts){.format = "tokenizer"}, &s, &err);
        if (status != EL_OK && (status != EL_E_FORMAT || !strstr(err.text, "cut.model'")))
            test_fail(__FILE__, __LINE__, "cut to %zu bytes: status %d, '%s'", n, (int)status, err.text);
        n_refused += status != EL_OK;
        el_source_close(s);
    }
    CHECK(n_refused > 100);
    free(data);
}

/* ---- tiktoken ---- */

static const struct {
    const char *name, *file, *data;
    enum el_status code;
    const char *says;
} ranks[] = {
    {"good", "cl100k_base.tiktoken", "YQ== 0\nYg== 1\nYWI= 2\n", EL_OK, ""},
    {"CRLF, no newline at the end", "cl100k_base.tiktoken", "YQ== 0\r\nYg== 1", EL_OK, ""},
    {"unknown family", "mine.tiktoken", "YQ== 0\nYg== 1\n", EL_E_UNSUPPORTED,
     "'mine' with 2 ranks is of no known family, so that the pattern of its words is not known: give its tokenizer.json instead, "
     "or name the file after one of gpt2, p50k_base, cl100k_base"},
    {"not base64", "cl100k_base.tiktoken", "YQ== 0\nYg=! 1\n", EL_E_FORMAT, "line 2: must be base64 of one byte or more"},
    {"no rank", "cl100k_base.tiktoken", "YQ== 0\nYg==\n", EL_E_FORMAT, "line 2: must be base64, a space and a rank"},
    {"empty rank", "cl100k_base.tiktoken", "YQ== 0\nYg== \n", EL_E_FORMAT, "line 2: must be base64"},
    {"rank with a letter", "cl100k_base.tiktoken", "YQ== 0\nYg== 1x\n", EL_E_FORMAT, "line 2: must be base64"},
    {"negative rank", "cl100k_base.tiktoken", "YQ== 0\nYg== -1\n", EL_E_FORMAT, "line 2: must be base64"},
    {"huge rank", "cl100k_base.tiktoken", "YQ== 0\nYg== 99999999999999999999\n", EL_E_FORMAT, "line 2: must be base64"},
    {"rank over the limit", "cl100k_base.tiktoken", "YQ== 0\nYg== 4194304\n", EL_E_FORMAT,
     "line 2: rank 4194304 of 1 bytes, allowed are ranks below 4194304 and 32767 bytes"},
    {"empty token", "cl100k_base.tiktoken", "YQ== 0\n 1\n", EL_E_FORMAT, "line 2: must be base64"},
    {"rank twice", "cl100k_base.tiktoken", "YQ== 0\nYg== 0\n", EL_E_FORMAT, "rank 0 is there twice"},
    {"token twice", "cl100k_base.tiktoken", "YQ== 0\nYg== 1\nYQ== 2\n", EL_E_FORMAT, "ranks 0 and 2 are the same token"},
};

TEST(bad_tokenizer, tiktoken)
{
    for (size_t i = 0; i < sizeof ranks / sizeof ranks[0]; i++)
        refused(ranks[i].name, ranks[i].file, ranks[i].data, strlen(ranks[i].data), ranks[i].code, ranks[i].says);
}

/* Tokens that are runs of one byte split everywhere: their merges would be thousands of times the file. */
TEST(bad_tokenizer, tiktoken_of_runs)
{
    struct el_buf file;
    char run[400];
    el_buf_init(&file);
    memset(run, 'a', sizeof run);
    for (size_t n = 1; n <= sizeof run; n++) {
        el_base64_encode(run, n, &file);
        el_buf_addf(&file, " %zu\n", n - 1);
    }
    refused("merges", "cl100k_base.tiktoken", file.data, file.nbytes, EL_E_UNSUPPORTED,
            "are more than 32 bytes for each of these: its tokens can be split in too many ways");
    for (size_t n = sizeof run + 1; n <= 1000; n++) { /* found out before any merge is looked for */
        char longer[1000];
        memset(longer, 'a', sizeof longer);
        el_base64_encode(longer, n, &file);
        el_buf_addf(&file, " %zu\n", n - 1);
    }
    refused("squares", "cl100k_base.tiktoken", file.data, file.nbytes, EL_E_UNSUPPORTED, "the squares of the tokens' lengths");
    el_buf_release(&file);
}

/* ---- tekken.json ---- */

#define TEKKEN(config, vocab, special) "{\"config\": {" config "}, \"vocab\": [" vocab "]" special "}"
#define TEKKEN_CONFIG                                                                                                            \
    "\"pattern\": \"\\\\S+|\\\\s+\", \"default_vocab_size\": 4, \"default_num_special_tokens\": 2, \"version\": \"v3\""
#define TEKKEN_VOCAB                                                                                                             \
    "{\"rank\": 0, \"token_bytes\": \"YQ==\", \"token_str\": \"\\u0000\"}, {\"rank\": 1, \"token_bytes\": \"Yg==\"}"

TEST(bad_tokenizer, tekken)
{
    static const struct {
        const char *name, *data;
        enum el_status code;
        const char *says;
    } files[] = {
        {"good", TEKKEN(TEKKEN_CONFIG, TEKKEN_VOCAB, ""), EL_OK, ""},
        {"more tokens than are used",
         TEKKEN("\"pattern\": \"a\", \"default_vocab_size\": 3, \"default_num_special_tokens\": 2, \"version\": \"v7\"",
                TEKKEN_VOCAB, ""),
         EL_OK, ""},
        {"special tokens of its own",
         TEKKEN(TEKKEN_CONFIG, TEKKEN_VOCAB, ", \"special_tokens\": [{\"rank\": 1, \"token_str\": \"<s>\"}]"), EL_OK, ""},
        {"cut off", "{\"default_num_special_tokens\": 1, \"vocab\": [{\"token_bytes\": ", EL_E_FORMAT, "tekken: not valid JSON"},
        {"no pattern", TEKKEN("\"default_vocab_size\": 4, \"default_num_special_tokens\": 2", TEKKEN_VOCAB, ""), EL_E_FORMAT,
         "no config.pattern"},
        {"pattern that is none",
         TEKKEN("\"pattern\": \"(\", \"default_vocab_size\": 4, \"default_num_special_tokens\": 2, \"version\": \"v3\"",
                TEKKEN_VOCAB, ""),
         EL_E_FORMAT, "missing closing parenthesis"},
        {"size 0", TEKKEN("\"pattern\": \"a\", \"default_vocab_size\": 0, \"default_num_special_tokens\": 2", TEKKEN_VOCAB, ""),
         EL_E_FORMAT, "config.default_vocab_size must be 1 to"},
        {"huge size",
         TEKKEN("\"pattern\": \"a\", \"default_vocab_size\": 1e15, \"default_num_special_tokens\": 2", TEKKEN_VOCAB, ""),
         EL_E_FORMAT, "config.default_vocab_size must be 1 to"},
        {"as many special tokens as tokens",
         TEKKEN("\"pattern\": \"a\", \"default_vocab_size\": 2, \"default_num_special_tokens\": 2", TEKKEN_VOCAB, ""),
         EL_E_FORMAT, "config.default_num_special_tokens must be 0 to 65536, and below default_vocab_size, 2"},
        {"too many special tokens",
         TEKKEN("\"pattern\": \"a\", \"default_vocab_size\": 4000000, \"default_num_special_tokens\": 65537", TEKKEN_VOCAB, ""),
         EL_E_FORMAT, "config.default_num_special_tokens must be 0 to 65536"},
        {"too few tokens",
         TEKKEN("\"pattern\": \"a\", \"default_vocab_size\": 5, \"default_num_special_tokens\": 2", TEKKEN_VOCAB, ""),
         EL_E_FORMAT, "vocab has 2 tokens, config makes it at least 3"},
        {"vocab is an object", "{\"config\": {" TEKKEN_CONFIG "}, \"vocab\": {\"token_bytes\": 0}}", EL_E_FORMAT,
         "vocab is not an array"},
        {"ranks out of order",
         TEKKEN(TEKKEN_CONFIG, "{\"rank\": 1, \"token_bytes\": \"YQ==\"}, {\"rank\": 0, \"token_bytes\": \"Yg==\"}", ""),
         EL_E_FORMAT, "vocab[0]: must have a string token_bytes and the rank 0"},
        {"token that is no base64",
         TEKKEN(TEKKEN_CONFIG, "{\"rank\": 0, \"token_bytes\": \"YQ==\"}, {\"rank\": 1, \"token_bytes\": \"Y\"}", ""),
         EL_E_FORMAT, "vocab[1]: must be base64 of one byte or more"},
        {"token twice",
         TEKKEN(TEKKEN_CONFIG, "{\"rank\": 0, \"token_bytes\": \"YQ==\"}, {\"rank\": 1, \"token_bytes\": \"YQ==\"}", ""),
         EL_E_FORMAT, "ranks 0 and 1 are the same token"},
        {"special token twice",
         TEKKEN(TEKKEN_CONFIG, TEKKEN_VOCAB,
                ", \"special_tokens\": [{\"rank\": 0, \"token_str\": \"<s>\"}, {\"rank\": 1, \"token_str\": \"<s>\"}]"),
         EL_E_FORMAT, "special token '<s>' is there twice"},
        {"special token with an id of a rank",
         TEKKEN(TEKKEN_CONFIG, TEKKEN_VOCAB, ", \"special_tokens\": [{\"rank\": 2, \"token_str\": \"<s>\"}]"), EL_E_FORMAT,
         "special_tokens: each must have a token_str and a rank of its own, 0 to 1"},
        {"no special tokens in a later version",
         TEKKEN("\"pattern\": \"a\", \"default_vocab_size\": 4, \"default_num_special_tokens\": 2, \"version\": \"v11\"",
                TEKKEN_VOCAB, ""),
         EL_E_FORMAT, "no special_tokens, which only versions v3 and v7 may lack"},
    };
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
        refused(files[i].name, "tekken.json", files[i].data, strlen(files[i].data), files[i].code, files[i].says);
}

/* ---- vocab.txt ---- */

TEST(bad_tokenizer, vocab_txt)
{
    static const char good[] = "[PAD]\n[UNK]\n[CLS]\n[SEP]\na\n##b\n", crlf[] = "[PAD]\r\n[UNK]\r\na\r\n\r\n##b";
    static const char twice[] = "[UNK]\na\nb\na\n", no_unk[] = "[PAD]\na\nb\n", not_utf8[] = "[UNK]\n\xff\n",
                      nul[] = "[UNK]\na\0b\n";
    refused("good", "vocab.txt", good, sizeof good - 1, EL_OK, "");
    refused("CRLF, an empty line", "vocab.txt", crlf, sizeof crlf - 1, EL_OK, "");
    refused("a token twice: the last counts", "vocab.txt", twice, sizeof twice - 1, EL_OK, "");
    refused("no token for unknown words", "vocab.txt", no_unk, sizeof no_unk - 1, EL_E_FORMAT, "no line is the token '[UNK]'");
    refused("not UTF-8", "vocab.txt", not_utf8, sizeof not_utf8 - 1, EL_E_FORMAT, "line 2: must be UTF-8");
    refused("NUL", "vocab.txt", nul, sizeof nul - 1, EL_E_FORMAT, "line 2: must be UTF-8");
    struct el_buf b;
    el_buf_init(&b);
    el_buf_add_str(&b, "[UNK]\n");
    for (int i = 0; i < 1025; i++)
        el_buf_add_str(&b, "x");
    refused("long token", "vocab.txt", b.data, b.nbytes, EL_E_FORMAT, "line 2: must be UTF-8 of at most 1024 bytes");
    el_buf_release(&b);
}

/* ---- vocab.json and merges.txt ---- */

TEST(bad_tokenizer, vocab_json)
{
    static const struct {
        const char *name, *vocab, *merges;
        enum el_status code;
        const char *says;
    } files[] = {
        {"good", "{\"a\":0,\"b\":1,\"ab\":2}", "#version: 0.2\na b\n", EL_OK, ""},
        {"no version line", "{\"a\":0,\"b\":1,\"ab\":2}", "a b\n", EL_OK, ""},
        {"not JSON", "{\"a\":0", "a b\n", EL_E_FORMAT, "vocab.json"},
        {"more than an object", "{\"a\":0},\"merges\":[]", "", EL_E_FORMAT, "vocab.json"},
        {"id is text", "{\"a\":\"0\"}", "", EL_E_FORMAT, "'a': the id must be an integer"},
        {"merge of no tokens", "{\"a\":0,\"b\":1}", "a b\n", EL_E_FORMAT, "merges[0] 'a b'"},
        {"merge of one part", "{\"a\":0,\"b\":1}", "ab\n", EL_E_FORMAT, "merges[0] 'ab'"},
        {"merges not UTF-8", "{\"a\":0,\"b\":1}", "a \xff\n", EL_E_FORMAT, "merges.txt: line 1: must be UTF-8"},
        {"ends of words", "{\"a\":0,\"b</w>\":1,\"ab</w>\":2}", "a b</w>\n", EL_E_UNSUPPORTED, "marks ends of words with '</w>'"},
    };
    const char *const folder = test_tmp("vocab");
    REQUIRE(mkdir(folder, 0777) == 0);
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        REQUIRE(test_write(test_tmp("vocab/merges.txt"), files[i].merges, strlen(files[i].merges)));
        refused(files[i].name, "vocab/vocab.json", files[i].vocab, strlen(files[i].vocab), files[i].code, files[i].says);
    }
}

/* What is none of these is said to be so. */
TEST(bad_tokenizer, unknown)
{
    const char *const path = test_tmp("some.model");
    REQUIRE(test_write(path,
                       "\x0a\x7f\x0a\x01"
                       "abcdef",
                       10));
    struct el_err err = {0};
    struct el_source *s;
    CHECK_EQ_INT(el_source_open(path, NULL, &s, &err), EL_E_FORMAT);
    CHECK(strstr(err.text, "not recognised"));
}
