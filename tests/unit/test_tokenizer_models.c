/*
 * Unigram, WordPiece, SentencePiece and tiktoken files against the programs that they come from: every tokenizer of
 * tests/data/tokenizers/models and the checksums of models.json (scripts/fixtures/make_tokenizer_models.py, make_tekken.py); then
 * the same tokenizers through metadata alone, and written out as tokenizer.json and read again.
 */
#include <time.h>

#include "base/base64.h"
#include "base/buf.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "edgellm.h"
#include "test.h"
#include "text/tokenizer.h"

static struct el_err err;

static uint32_t crc32_of(const void *data, size_t nbytes, uint32_t crc)
{
    static uint32_t table[256];
    if (table[1] == 0)
        for (uint32_t i = 0; i < 256; i++) {
            table[i] = i;
            for (int k = 0; k < 8; k++)
                table[i] = table[i] >> 1 ^ (table[i] & 1 ? 0xedb88320u : 0);
        }
    crc = ~crc;
    for (size_t i = 0; i < nbytes; i++)
        crc = crc >> 8 ^ table[(crc ^ ((const uint8_t *)data)[i]) & 255];
    return ~crc;
}

/* Tokenizer of a file of models/; NULL after a failed check. */
static struct el_tokenizer *open_model(const char *name, struct el_source **source)
{
    char path[200];
    snprintf(path, sizeof path, "tokenizers/models/%s", name);
    struct el_tokenizer *tok = NULL;
    *source = NULL;
    if (el_source_open(test_data(path), NULL, source, &err) != EL_OK || el_tokenizer_open(*source, &tok, &err) != EL_OK)
        test_fail(__FILE__, __LINE__, "%s", err.text);
    return tok;
}

struct text {
    char *data;
    size_t nbytes;
};
struct texts {
    struct text *list;
    size_t n, cap;
};

static void add_text(struct texts *t, const char *data, size_t nbytes)
{
    if (t->n == t->cap) {
        t->cap = t->cap ? 2 * t->cap : 64;
        t->list = realloc(t->list, t->cap * sizeof *t->list);
    }
    t->list[t->n++] = (struct text){el_strndup(data, nbytes), nbytes};
}

static void free_texts(struct texts *t)
{
    for (size_t i = 0; i < t->n; i++)
        el_free(t->list[i].data);
    free(t->list);
    *t = (struct texts){NULL, 0, 0};
}

/* The pieces of a file between separators; nothing where the file is not there. */
static void split_file(struct texts *t, const char *shared, const char *separator)
{
    size_t nbytes;
    char *const data = shared ? test_read(shared, &nbytes) : NULL;
    for (const char *at = data; at;) {
        const char *const next = strstr(at, separator);
        add_text(t, at, next ? (size_t)(next - at) : (size_t)(data + nbytes - at));
        at = next ? next + strlen(separator) : NULL;
    }
    free(data);
}

static void random_texts(struct texts *t, size_t n)
{
    static const uint32_t pools[][2] = {
        {32, 95},       {32, 95},     {9, 5},         {0xa0, 0x1b0},   {0x300, 0x70},   {0x370, 0x1c0},  {0x5d0, 27},
        {0x620, 43},    {0x904, 54},  {0xe01, 58},    {0x1100, 19},    {0x2000, 0x70},  {0x2100, 0x8c},  {0x2460, 0xa0},
        {0x3000, 0x40}, {0x3041, 86}, {0x30a0, 0x60}, {0x3300, 0x100}, {0x4e00, 0x200}, {0xac00, 0x100}, {0xf900, 0x12e},
        {0xfb00, 7},    {0xfe00, 16}, {0xff01, 0xee}, {0x1f600, 0x50}, {0x1f1e6, 26},   {0x1d400, 0x51}, {0x200b, 5}};
    enum { N_POOLS = sizeof pools / sizeof pools[0] };
    uint64_t state = 1;
    for (size_t i = 0; i < n; i++) {
        size_t chosen[4];
        char out[4 * 40];
        size_t nbytes = 0;
        const size_t n_chosen = 1 + test_rand(&state) % 4;
        for (size_t k = 0; k < n_chosen; k++)
            chosen[k] = test_rand(&state) % N_POOLS;
        const size_t n_chars = 1 + test_rand(&state) % 40;
        for (size_t k = 0; k < n_chars; k++) {
            const uint32_t *const pool = pools[chosen[test_rand(&state) % n_chosen]];
            nbytes += el_utf8_encode(pool[0] + (uint32_t)(test_rand(&state) % pool[1]), out + nbytes);
        }
        add_text(t, out, nbytes);
    }
}

static uint32_t ids_crc(const int32_t *ids, size_t n, uint32_t crc)
{
    char number[16];
    for (size_t i = 0; i < n; i++)
        crc = crc32_of(number, (size_t)snprintf(number, sizeof number, "%s%d", i ? " " : "", (int)ids[i]), crc);
    return crc32_of("\n", 1, crc);
}

static unsigned flags_of(const struct el_json *row)
{
    const char *const reference = el_json_str(el_json_get(row, "reference"));
    if (strcmp(reference, "mistral-common") == 0)
        return EL_TOK_ADD_SPECIAL; /* it takes every text as plain */
    return strcmp(reference, "tokenizers") == 0 || strcmp(reference, "transformers") == 0
               ? EL_TOK_ADD_SPECIAL | EL_TOK_PARSE_SPECIAL
               : 0;
}

static void check_set(const struct el_tokenizer *tok, const struct el_json *row, const char *key, const struct texts *t)
{
    uint32_t crc = 0;
    for (size_t i = 0; i < t->n; i++) {
        int32_t *ids;
        size_t n;
        REQUIRE_OK(el_encode(tok, t->list[i].data, t->list[i].nbytes, flags_of(row), &ids, &n, &err), err);
        crc = ids_crc(ids, n, crc);
        el_free(ids);
    }
    char sum[9];
    snprintf(sum, sizeof sum, "%08x", crc);
    if (t->n > 0 && strcmp(sum, el_json_str(el_json_get(row, key))) != 0)
        test_fail(__FILE__, __LINE__, "%s: the ids of '%s' differ", el_json_str(el_json_get(row, "name")), key);
}

/* SentencePiece shows unk, which we leave out: such texts count as empty there. */
static void check_decoded(const struct el_tokenizer *tok, int32_t unk, const struct el_json *row, const struct texts *t)
{
    const bool shows_unk = strcmp(el_json_str(el_json_get(row, "reference")), "sentencepiece") == 0;
    uint32_t crc = 0;
    for (size_t i = 0; i < t->n; i++) {
        int32_t *ids;
        size_t n, n_back;
        char *back;
        REQUIRE_OK(el_encode(tok, t->list[i].data, t->list[i].nbytes, flags_of(row), &ids, &n, &err), err);
        bool has_unk = false;
        for (size_t k = 0; k < n; k++)
            has_unk |= ids[k] == unk;
        REQUIRE_OK(el_decode(tok, ids, n, false, &back, &n_back, &err), err);
        CHECK(el_utf8_is_valid(back, n_back));
        if (shows_unk && has_unk)
            back[n_back = 0] = '\0';
        crc = crc32_of(back, n_back + 1, crc);
        el_free(ids);
        el_free(back);
    }
    char sum[9];
    snprintf(sum, sizeof sum, "%08x", crc);
    if (strcmp(sum, el_json_str(el_json_get(row, "decoded"))) != 0)
        test_fail(__FILE__, __LINE__, "%s: the decoded texts differ", el_json_str(el_json_get(row, "name")));
}

static struct el_json_doc *open_rows(void)
{
    size_t nbytes;
    char *const data = test_read(test_data("tokenizers/models/models.json"), &nbytes);
    struct el_json_doc *doc = NULL;
    if (!data || el_json_parse(data, nbytes, "models.json", &doc, &err) != EL_OK)
        test_fail(__FILE__, __LINE__, "models.json: %s", err.text);
    free(data);
    return doc;
}

static void fixed_texts(struct texts *t, const struct el_json *root)
{
    for (const struct el_json *v = el_json_first(el_json_get(root, "texts")); v; v = el_json_next(v))
        add_text(t, el_json_str(v), strlen(el_json_str(v)));
}

TEST(tokenizer_models, equal_their_programs)
{
    struct el_json_doc *const doc = open_rows();
    REQUIRE(doc);
    struct texts fixed = {NULL, 0, 0}, conformance = {NULL, 0, 0}, wiki = {NULL, 0, 0}, random = {NULL, 0, 0};
    fixed_texts(&fixed, el_json_root(doc));
    CHECK(fixed.n >= 46);
    split_file(&conformance, test_shared("tokenizers/ggml-vocab/ggml-vocab-gpt-2.gguf.inp"), "\n__ggml_vocab_test__\n");
    split_file(&wiki, test_shared("text/wikitext2/wiki.test.txt"), "\n");
    random_texts(&random, 10000);
    size_t n = 0;
    for (const struct el_json *row = el_json_first(el_json_get(el_json_root(doc), "models")); row; row = el_json_next(row), n++) {
        struct el_source *source;
        struct el_tokenizer *const tok = open_model(el_json_str(el_json_get(row, "name")), &source);
        if (!tok)
            continue;
        const size_t unk = el_meta_find(el_source_meta(source), "tokenizer.ggml.unknown_token_id");
        check_set(tok, row, "texts", &fixed);
        check_set(tok, row, "conformance", &conformance);
        check_set(tok, row, "wiki", &wiki);
        check_set(tok, row, "random", &random);
        check_decoded(tok, unk == SIZE_MAX ? -1 : (int32_t)el_meta_int(el_source_meta(source), unk, 0), row, &fixed);
        el_tokenizer_close(tok);
        el_source_close(source);
    }
    CHECK_EQ_INT(n, 14);
    free_texts(&fixed);
    free_texts(&conformance);
    free_texts(&wiki);
    free_texts(&random);
    el_json_free(doc);
}

/* ---- metadata alone, and the way out ---- */

/* A tokenizer from a source's metadata without the kept tokenizer.json, as a GGUF by another program would have it. */
static struct el_tokenizer *without_json(const struct el_source *source, struct el_meta **meta)
{
    struct el_tokenizer *tok = NULL;
    *meta = el_meta_copy(el_source_meta(source));
    el_meta_remove(*meta, "tokenizer.huggingface.json");
    CHECK_OK(el_tokenizer_from_meta(*meta, &tok, &err), err);
    return tok;
}

static struct el_tokenizer *exported(const struct el_meta *meta)
{
    struct el_buf json, config;
    struct el_meta *const back = el_meta_new();
    struct el_tokenizer *tok = NULL;
    el_buf_init(&json);
    el_buf_init(&config);
    CHECK_OK(el_tokenizer_export_hf(meta, &json, &config, &err), err);
    CHECK_OK(el_tokenizer_import_hf(back, json.data, json.nbytes, config.data, config.nbytes, NULL, 0, 0, &err), err);
    CHECK_OK(el_tokenizer_from_meta(back, &tok, &err), err);
    el_meta_free(back);
    el_buf_release(&json);
    el_buf_release(&config);
    return tok;
}

static size_t n_different(const struct el_tokenizer *a, const struct el_tokenizer *b, const struct texts *t, unsigned flags)
{
    size_t different = 0;
    for (size_t i = 0; a && b && i < t->n; i++) {
        int32_t *ids_a, *ids_b;
        size_t n_a, n_b;
        CHECK_OK(el_encode(a, t->list[i].data, t->list[i].nbytes, flags, &ids_a, &n_a, &err), err);
        CHECK_OK(el_encode(b, t->list[i].data, t->list[i].nbytes, flags, &ids_b, &n_b, &err), err);
        different += n_a != n_b || memcmp(ids_a, ids_b, n_a * sizeof *ids_a) != 0;
        el_free(ids_a);
        el_free(ids_b);
    }
    return different;
}

/*
 * What a text gives must not depend on the way that the tokenizer took, but for what one of the formats cannot say. GGUF has no
 * limit to a word's length, no split at white space other than spaces, and takes U+000B, U+000C and U+0085 for white space where
 * Hugging Face drops them; in a tokenizer.json the text of a control token is in the vocabulary like any other.
 */
TEST(tokenizer_models, through_metadata_and_back)
{
    static const struct {
        const char *name;
        size_t meta, json; /* texts of 55 that differ: from the file, and from metadata */
    } files[] = {
        {"unigram.model", 0, 1},   {"unigram-bytes.model", 0, 1},  {"unigram-user.model", 0, 1}, {"bpe.model", 0, 0},
        {"bpe-bytes.model", 0, 0}, {"bpe-noprefix.model", 0, 0},   {"unigram-t5.json", 10, 1},   {"wordpiece.json", 9, 7},
        {"vocab.txt", 7, 7},       {"cl100k_base.tiktoken", 0, 0}, {"opt/vocab.json", 0, 0},     {"tekken.json", 0, 0}};
    struct el_json_doc *const doc = open_rows();
    REQUIRE(doc);
    struct texts fixed = {NULL, 0, 0};
    fixed_texts(&fixed, el_json_root(doc));
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        struct el_source *source;
        struct el_meta *meta;
        struct el_tokenizer *const a = open_model(files[i].name, &source);
        REQUIRE(a);
        struct el_tokenizer *const b = without_json(source, &meta), *const c = exported(meta);
        const size_t n_ab = n_different(a, b, &fixed, EL_TOK_ADD_SPECIAL), n_bc = n_different(b, c, &fixed, EL_TOK_ADD_SPECIAL);
        if (n_ab != files[i].meta || n_bc != files[i].json)
            test_fail(__FILE__, __LINE__, "%s: %zu texts differ through metadata, %zu through tokenizer.json", files[i].name,
                      n_ab, n_bc);
        el_tokenizer_close(a);
        el_tokenizer_close(b);
        el_tokenizer_close(c);
        el_meta_free(meta);
        el_source_close(source);
    }
    free_texts(&fixed);
    el_json_free(doc);
}

static const char *get_str(const struct el_source *s, const char *key)
{
    const char *text = NULL;
    CHECK_OK(el_meta_get_str_or(el_source_meta(s), key, &text, &err), err);
    return text;
}

static int64_t get_int(const struct el_source *s, const char *key)
{
    const size_t at = el_meta_find(el_source_meta(s), key);
    return at == SIZE_MAX ? -1 : el_meta_int(el_source_meta(s), at, 0);
}

/* The keys are those that llama.cpp writes and reads. */
TEST(tokenizer_models, keys)
{
    static const struct {
        const char *name, *model, *pre;
        int prefix, merge, map, bos, eos, unk, pad;
    } files[] = {{"unigram.model", "t5", "default", 1, 1, 1, 1, 2, 0, -1},
                 {"unigram-bytes.model", "t5", "default", 1, 0, 0, 1, 2, 0, -1},
                 {"unigram-user.model", "t5", "default", 1, 1, 1, 1, 2, 0, 3},
                 {"bpe-noprefix.model", "llama", "default", 0, -1, 0, 1, 2, 0, -1},
                 {"unigram-t5.json", "t5", "default", 1, 1, 1, -1, 2, 0, -1},
                 {"unigram-first.json", "t5", "default", 1, 0, 1, -1, -1, 0, -1},
                 {"wordpiece.json", "bert", "default", -1, -1, 0, 2, 3, 1, -1},
                 {"cl100k_base.tiktoken", "gpt2", "llama-bpe", -1, -1, 0, -1, -1, -1, -1},
                 {"opt/vocab.json", "gpt2", "gpt-2", -1, -1, 0, 1, 1, 1, 0},
                 {"tekken.json", "gpt2", "tekken", -1, -1, 0, 1, 2, 0, 11}};
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        struct el_source *s;
        struct el_tokenizer *const tok = open_model(files[i].name, &s);
        REQUIRE(tok);
        CHECK_EQ_STR(get_str(s, "tokenizer.ggml.model"), files[i].model);
        CHECK_EQ_STR(get_str(s, "tokenizer.ggml.pre"), files[i].pre);
        CHECK_EQ_INT(get_int(s, "tokenizer.ggml.add_space_prefix"), files[i].prefix);
        CHECK_EQ_INT(get_int(s, "tokenizer.ggml.remove_extra_whitespaces"), files[i].merge);
        CHECK_EQ_INT(el_meta_find(el_source_meta(s), "tokenizer.ggml.precompiled_charsmap") != SIZE_MAX, files[i].map);
        CHECK_EQ_INT(get_int(s, "tokenizer.ggml.bos_token_id"), files[i].bos);
        CHECK_EQ_INT(get_int(s, "tokenizer.ggml.eos_token_id"), files[i].eos);
        CHECK_EQ_INT(get_int(s, "tokenizer.ggml.unknown_token_id"), files[i].unk);
        CHECK_EQ_INT(get_int(s, "tokenizer.ggml.padding_token_id"), files[i].pad);
        el_tokenizer_close(tok);
        el_source_close(s);
    }
}

/* ---- long input ---- */

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* A megabyte without a place to cut it, of a letter, of a mark, of spaces, of a character that is no token: linear time. */
TEST(tokenizer_models, long_input)
{
    static const char *const files[] = {"unigram.model",  "unigram-bytes.model", "bpe.model",           "unigram-first.json",
                                        "wordpiece.json", "vocab.txt",           "cl100k_base.tiktoken"};
    static const char *const units[] = {"a", "\xcc\x81", " ", "\xf0\x9f\x9a\x80", "th", "1"};
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        struct el_source *source;
        struct el_tokenizer *const tok = open_model(files[i], &source);
        REQUIRE(tok);
        for (size_t k = 0; k < sizeof units / sizeof units[0]; k++) {
            const size_t n_unit = strlen(units[k]), n = ((size_t)1 << 20) / n_unit;
            char *const text = malloc(n * n_unit);
            for (size_t j = 0; j < n; j++)
                memcpy(text + j * n_unit, units[k], n_unit);
            int32_t *ids;
            size_t n_ids;
            const double start = seconds();
            CHECK_OK(el_encode(tok, text, n * n_unit, 0, &ids, &n_ids, &err), err);
            if (seconds() - start > 30) /* quadratic would be hours */
                test_fail(__FILE__, __LINE__, "%s: %zu times '%s' took %.1f s", files[i], n, units[k], seconds() - start);
            el_free(ids);
            free(text);
        }
        el_tokenizer_close(tok);
        el_source_close(source);
    }
}

/* ---- small parts ---- */

TEST(tokenizer_models, base64)
{
    static const struct {
        const char *bytes, *text;
    } good[] = {{"", ""}, {"f", "Zg=="}, {"fo", "Zm8="}, {"foo", "Zm9v"}, {"foob", "Zm9vYg=="}, {"\xff\xef\xbe", "/+++"}};
    static const char *const bad[] = {"Z", "Zg", "Zg=", "Zg==Zg==", "Zh==", "Zm9=", "Zm 9", "Zm-v", "====", "Z===", "=Zg="};
    struct el_buf b;
    el_buf_init(&b);
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        el_buf_reset(&b);
        CHECK(el_base64_decode(good[i].text, strlen(good[i].text), &b));
        CHECK_EQ_STR(b.data, good[i].bytes);
        el_buf_reset(&b);
        el_base64_encode(good[i].bytes, strlen(good[i].bytes), &b);
        CHECK_EQ_STR(b.data, good[i].text);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        el_buf_reset(&b);
        el_buf_add_str(&b, "x");
        CHECK(!el_base64_decode(bad[i], strlen(bad[i]), &b));
        CHECK_EQ_INT(b.nbytes, 1);
    }
    el_buf_release(&b);
}
