/*
 * Tokenizers against Hugging Face's `tokenizers`: every case of tests/data/tokenizers/cases.json
 * (scripts/fixtures/make_tokenizers.py) puts a tokenizer.json together and compares ids and decoded text through their checksums.
 */
#include "base/buf.h"
#include "base/json.h"
#include "edgellm.h"
#include "test.h"
#include "text/tokenizer.h"

static uint32_t crc32_of(const char *data, size_t nbytes, uint32_t crc)
{
    crc = ~crc;
    for (size_t i = 0; i < nbytes; i++) {
        crc ^= (uint8_t)data[i];
        for (int k = 0; k < 8; k++)
            crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
    }
    return ~crc;
}

static void add_section(struct el_buf *out, const struct el_json *rules, const struct el_json *usual, const char *key)
{
    const char *text = el_json_str(el_json_get(rules, key));
    if (!text)
        text = el_json_str(el_json_get(usual, key));
    el_buf_addf(out, "\"%s\":%s,", key, text ? text : "null");
}

/* The case's tokenizer.json. */
static void compose(struct el_buf *out, const struct el_json *root, const struct el_json *c)
{
    static const char *const keys[] = {"added_tokens", "normalizer", "pre_tokenizer", "post_processor", "decoder"};
    const char *const kind = el_json_str(el_json_get(c, "model"));
    const struct el_json *const usual = el_json_get(el_json_get(root, "usual"), kind);
    const char *const model = el_json_str(el_json_get(el_json_get(root, "models"), kind));
    el_buf_add_str(out, "{\"version\":\"1.0\",");
    for (size_t i = 0; i < 5; i++)
        add_section(out, el_json_get(c, "rules"), usual, keys[i]);
    static const char off[] = "\"ignore_merges\":false";
    const char *const at = strstr(model, off);
    el_buf_add_str(out, "\"model\":");
    el_buf_add(out, model, (size_t)(at - model));
    el_buf_addf(out, "\"ignore_merges\":%s%s}", el_json_bool(el_json_get(c, "ignore_merges")) ? "true" : "false",
                at + strlen(off));
}

static void show(const char *name, unsigned flags, const char *text, const int32_t *ids, size_t n)
{
    struct el_buf b;
    el_buf_init(&b);
    for (size_t i = 0; i < n; i++)
        el_buf_addf(&b, "%d ", (int)ids[i]);
    test_fail(__FILE__, __LINE__, "%s, flags %u, text '%s': got ids %s", name, flags, text, b.data);
    el_buf_release(&b);
}

/* Streaming must give what decoding at once gives. */
static void check_stream(const struct el_tokenizer *tok, const int32_t *ids, size_t n, const char *text, size_t nbytes)
{
    struct el_err err;
    struct el_detok *d;
    REQUIRE_OK(el_detok_open(tok, &d, &err), err);
    struct el_buf all;
    el_buf_init(&all);
    for (size_t i = 0; i < n; i++) {
        const char *part;
        size_t n_part;
        CHECK_OK(el_detok_push(d, ids[i], &part, &n_part, &err), err);
        el_buf_add(&all, part, n_part);
    }
    size_t n_rest;
    const char *const rest = el_detok_flush(d, &n_rest);
    el_buf_add(&all, rest, n_rest);
    CHECK_EQ_INT(all.nbytes, nbytes);
    CHECK(memcmp(all.data, text, nbytes) == 0);
    el_buf_release(&all);
    el_detok_close(d);
}

static void run_case(const struct el_json *root, const struct el_json *c)
{
    const char *const name = el_json_str(el_json_get(c, "name"));
    int64_t flags = 0;
    CHECK(el_json_int(el_json_get(c, "flags"), &flags));
    struct el_buf json;
    el_buf_init(&json);
    compose(&json, root, c);
    struct el_err err;
    struct el_meta *const meta = el_meta_new();
    struct el_tokenizer *tok = NULL;
    int status = el_tokenizer_import_hf(meta, json.data, json.nbytes, NULL, 0, NULL, 0, 0, &err);
    if (status == EL_OK)
        status = el_tokenizer_from_meta(meta, &tok, &err);
    if (status != EL_OK) {
        test_fail(__FILE__, __LINE__, "%s: %s", name, err.text);
    } else {
        const char *want = el_json_str(el_json_get(c, "ids"));
        uint32_t decoded = 0;
        for (const struct el_json *t = el_json_first(el_json_get(root, "texts")); t; t = el_json_next(t), want += 4) {
            const char *const text = el_json_str(t);
            int32_t *ids;
            size_t n;
            char *back;
            size_t n_back;
            CHECK_OK(el_encode(tok, text, strlen(text), (unsigned)flags, &ids, &n, &err), err);
            struct el_buf line;
            el_buf_init(&line);
            for (size_t i = 0; i < n; i++)
                el_buf_addf(&line, "%s%d", i ? " " : "", (int)ids[i]);
            char sum[5];
            snprintf(sum, sizeof sum, "%04x", crc32_of(line.data, line.nbytes, 0) & 0xffffu);
            if (strncmp(sum, want, 4) != 0)
                show(name, (unsigned)flags, text, ids, n);
            CHECK_OK(el_decode(tok, ids, n, false, &back, &n_back, &err), err);
            decoded = crc32_of(back, n_back + 1, decoded); /* with its NUL */
            check_stream(tok, ids, n, back, n_back);
            el_buf_release(&line);
            el_free(back);
            el_free(ids);
        }
        char sum[9];
        snprintf(sum, sizeof sum, "%08x", decoded);
        if (strcmp(sum, el_json_str(el_json_get(c, "decoded"))) != 0)
            test_fail(__FILE__, __LINE__, "%s: the decoded texts differ", name);
    }
    el_tokenizer_close(tok);
    el_meta_free(meta);
    el_buf_release(&json);
}

TEST(tokenizer_cases, equal_hugging_face)
{
    size_t nbytes;
    char *const data = test_read(test_data("tokenizers/cases.json"), &nbytes);
    REQUIRE(data);
    struct el_err err;
    struct el_json_doc *doc;
    REQUIRE_OK(el_json_parse(data, nbytes, "cases.json", &doc, &err), err);
    const struct el_json *const root = el_json_root(doc);
    size_t n = 0;
    for (const struct el_json *c = el_json_first(el_json_get(root, "cases")); c; c = el_json_next(c), n++)
        run_case(root, c);
    CHECK(n >= 50);
    el_json_free(doc);
    free(data);
}
