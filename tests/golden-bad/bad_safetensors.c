/*
 * Damaged and hostile safetensors files. Each row of the table makes one, and says which status and which words it must be
 * refused with. Besides: every truncation of a small file, and every bit of its header flipped.
 */
#include "test.h"

#include <unistd.h>

#include "base/buf.h"
#include "base/limits.h"
#include "formats/safetensors.h"

/* A header's length, a header, and n bytes of data. */
static void file(struct el_buf *b, uint64_t header_nbytes, const char *json, size_t n_json, size_t n_data)
{
    el_buf_add_u64(b, header_nbytes);
    el_buf_add(b, json, n_json);
    for (size_t i = 0; i < n_data; i++)
        el_buf_add_byte(b, (uint8_t)i);
}

static void header(struct el_buf *b, const char *json, size_t n_data)
{
    file(b, strlen(json), json, strlen(json), n_data);
}

#define T(dtype, shape, place)   "{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":" place "}"
#define ONE(dtype, shape, place) "{\"x\":" T(dtype, shape, place) "}"

/* Builders of what does not fit a line of the table. */
static void deep(struct el_buf *b)
{
    enum { DEPTH = 900000 };
    char *const json = malloc(DEPTH + 1);
    if (!json)
        return;
    memset(json, '[', DEPTH);
    json[0] = '{';
    file(b, DEPTH, json, DEPTH, 0);
    free(json);
}

static void long_name(struct el_buf *b)
{
    char json[400];
    snprintf(json, sizeof json, "{\"%0256d\":%s}", 7, T("F32", "[1]", "[0,4]"));
    header(b, json, 4);
}

static void many_tensors(struct el_buf *b)
{
    struct el_buf json;
    el_buf_init(&json);
    for (int i = 0; i <= EL_MAX_SAFETENSORS_TENSORS; i++)
        el_buf_addf(&json, "%s\"%d\":%s", i ? "," : "{", i, T("F32", "[0]", "[0,0]"));
    el_buf_add_byte(&json, '}');
    file(b, json.nbytes, json.data, json.nbytes, 0);
    el_buf_release(&json);
}

static void long_entry(struct el_buf *b)
{
    struct el_buf json;
    el_buf_init(&json);
    el_buf_add_str(&json, "{\"x\":{\"dtype\":\"F32\",\"shape\":[0");
    while (json.nbytes <= EL_MAX_SAFETENSORS_ENTRY)
        el_buf_add_str(&json, ",0");
    el_buf_add_str(&json, "],\"data_offsets\":[0,0]}}");
    header(b, json.data, 0);
    el_buf_release(&json);
}

static void nul_in_header(struct el_buf *b)
{
    static const char json[] = "{}\0";
    file(b, 3, json, 3, 0);
}

static const struct {
    const char *name, *json; /* the whole header, or NULL: build makes the file */
    size_t n_data;
    void (*build)(struct el_buf *b);
    uint64_t announced; /* header length to announce instead of the true one; 0: the true one */
    enum el_status code;
    const char *says;
} cases[] = {
    {"length 1", "{", 0, NULL, 1, EL_E_FORMAT, "header of 1 bytes, must be 2 to 100000000"},
    {"length 0", "", 8, NULL, 0, EL_E_FORMAT, "header of 0 bytes"},
    {"length 7 of 2", "{}", 0, NULL, 7, EL_E_FORMAT, "truncated: header of 7 bytes in a file of 10"},
    {"length over the limit", "{}", 0, NULL, 100000001, EL_E_FORMAT, "header of 100000001 bytes, must be 2 to 100000000"},
    {"length 2^63", "{}", 0, NULL, (uint64_t)1 << 63, EL_E_FORMAT, "header of 9223372036854775808 bytes"},
    {"length wraps with 8", "{}", 0, NULL, UINT64_MAX - 7, EL_E_FORMAT, "header of 18446744073709551608 bytes"},
    {"at the limit, but no bytes", "{}", 0, NULL, 100000000, EL_E_FORMAT, "truncated: header of 100000000 bytes"},
    {"header an array", "[1,2]", 0, NULL, 0, EL_E_FORMAT, "header does not begin with '{'"},
    {"space first", " {}", 0, NULL, 0, EL_E_FORMAT, "header does not begin with '{'"},
    {"byte order mark", "\xef\xbb\xbf{}", 0, NULL, 0, EL_E_FORMAT, "header does not begin with '{'"},
    {"text behind", "{} x", 0, NULL, 0, EL_E_FORMAT, "byte 3: more text after the value"},
    {"NUL behind", NULL, 0, nul_in_header, 0, EL_E_FORMAT, "byte 2: a NUL byte"},
    {"depth", NULL, 0, deep, 0, EL_E_FORMAT, "a key must be a string"},
    {"depth within", "{\"x\":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[", 0, NULL, 0, EL_E_FORMAT,
     "JSON nested deeper than 64"},
    {"cut JSON", "{\"x\":{", 0, NULL, 0, EL_E_FORMAT, "it ends too early"},
    {"a tensor twice", "{\"x\":" T("F32", "[1]", "[0,4]") ",\"x\":" T("F32", "[1]", "[0,4]") "}", 4, NULL, 0, EL_E_FORMAT,
     "key 'x' occurs twice"},
    {"a tensor twice by escapes", "{\"x\":" T("F32", "[1]", "[0,4]") ",\"\\u0078\":" T("F32", "[1]", "[4,8]") "}", 8, NULL, 0,
     EL_E_FORMAT, "key 'x' occurs twice"},
    {"dtype twice", "{\"x\":{\"dtype\":\"F32\",\"dtype\":\"F16\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4, NULL, 0, EL_E_FORMAT,
     "key 'dtype' occurs twice"},
    {"keys of another case", "{\"x\":{\"Dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4, NULL, 0, EL_E_FORMAT,
     "tensor 'x': unknown field 'Dtype'"},
    {"a field too many", "{\"x\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4],\"code\":\"x\"}}", 4, NULL, 0,
     EL_E_FORMAT, "unknown field 'code', known are dtype, shape, data_offsets"},
    {"NUL in a name", "{\"a\\u0000b\":" T("F32", "[1]", "[0,4]") "}", 4, NULL, 0, EL_E_FORMAT, "\\u0000 in a string"},
    {"lone surrogate", "{\"\\ud800\":" T("F32", "[1]", "[0,4]") "}", 4, NULL, 0, EL_E_FORMAT, "lone high surrogate"},
    {"invalid UTF-8", "{\"\xc0\xaf\":" T("F32", "[1]", "[0,4]") "}", 4, NULL, 0, EL_E_FORMAT, "invalid UTF-8"},
    {"empty name", "{\"\":" T("F32", "[1]", "[0,4]") "}", 4, NULL, 0, EL_E_FORMAT, "tensor '': empty name"},
    {"long name", NULL, 4, long_name, 0, EL_E_FORMAT, "name of 256 bytes, at most 255"},
    {"too many tensors", NULL, 0, many_tensors, 0, EL_E_FORMAT, "header: more than 65536 tensors"},
    {"a tensor of too many words", NULL, 0, long_entry, 0, EL_E_FORMAT, "tensor 'x': described by"},
    {"metadata key twice", "{\"__metadata__\":{\"a\":\"b\",\"\\u0061\":\"c\"}}", 0, NULL, 0, EL_E_FORMAT, "key 'a' occurs twice"},
    {"metadata no object", "{\"__metadata__\":7}", 0, NULL, 0, EL_E_FORMAT, "__metadata__ is not an object"},
    {"metadata no string", "{\"__metadata__\":{\"a\":\"b\",\"n\":1}}", 0, NULL, 0, EL_E_FORMAT,
     "__metadata__: value of 'n' is not a string"},
    {"tensor no object", "{\"x\":[1]}", 0, NULL, 0, EL_E_FORMAT, "tensor 'x': its value is not an object"},
    {"no dtype", "{\"x\":{\"shape\":[1],\"data_offsets\":[0,4]}}", 4, NULL, 0, EL_E_FORMAT, "no dtype, or it is not a string"},
    {"dtype a number", "{\"x\":{\"dtype\":3,\"shape\":[1],\"data_offsets\":[0,4]}}", 4, NULL, 0, EL_E_FORMAT,
     "no dtype, or it is not a string"},
    {"dtype unknown", ONE("F31", "[1]", "[0,4]"), 4, NULL, 0, EL_E_FORMAT, "unknown dtype 'F31', known are F32"},
    {"dtype in small letters", ONE("f32", "[1]", "[0,4]"), 4, NULL, 0, EL_E_FORMAT, "unknown dtype 'f32'"},
    {"dtype with an escape code", ONE("\\u001b[2J", "[1]", "[0,4]"), 4, NULL, 0, EL_E_FORMAT, "unknown dtype '\\x1b[2J'"},
    {"dtype below a byte", ONE("F4", "[3]", "[0,2]"), 2, NULL, 0, EL_E_UNSUPPORTED, "dtype F4 is not supported"},
    {"dtype complex", ONE("C64", "[1]", "[0,8]"), 8, NULL, 0, EL_E_UNSUPPORTED, "dtype C64 is not supported"},
    {"no shape", "{\"x\":{\"dtype\":\"F32\",\"data_offsets\":[0,4]}}", 4, NULL, 0, EL_E_FORMAT,
     "no shape, or it is not an array"},
    {"shape a number", ONE("F32", "1", "[0,4]"), 4, NULL, 0, EL_E_FORMAT, "no shape, or it is not an array"},
    {"dimension negative", ONE("F32", "[-1]", "[0,4]"), 4, NULL, 0, EL_E_FORMAT, "dimension 0 is not an integer"},
    {"dimension 1.5", ONE("F32", "[2,1.5]", "[0,4]"), 4, NULL, 0, EL_E_FORMAT, "dimension 1 is not an integer"},
    {"dimension 2^53+1", ONE("F32", "[9007199254740993]", "[0,4]"), 4, NULL, 0, EL_E_FORMAT, "dimension 0 is not an integer"},
    {"dimension 2^64", ONE("F32", "[18446744073709551616]", "[0,4]"), 4, NULL, 0, EL_E_FORMAT, "dimension 0 is not an integer"},
    {"dimension 1e999", ONE("F32", "[1e999]", "[0,4]"), 4, NULL, 0, EL_E_FORMAT, "not finite"},
    {"dimension a string", ONE("F32", "[\"1\"]", "[0,4]"), 4, NULL, 0, EL_E_FORMAT, "dimension 0 is not an integer"},
    {"product wraps to 0", ONE("F32", "[4294967296,4294967296]", "[0,0]"), 0, NULL, 0, EL_E_FORMAT, "overflows 64 bits"},
    {"product wraps beside a 0", ONE("F32", "[0,4294967296,4294967296]", "[0,0]"), 0, NULL, 0, EL_E_FORMAT, "overflows 64 bits"},
    {"product wraps to 4", ONE("U8", "[4294967297,4294967296,1]", "[0,4]"), 4, NULL, 0, EL_E_FORMAT, "overflows 64 bits"},
    {"5 dimensions", ONE("U8", "[1,1,1,1,1]", "[0,1]"), 1, NULL, 0, EL_E_UNSUPPORTED, "5 dimensions, at most 4"},
    {"no offsets", "{\"x\":{\"dtype\":\"F32\",\"shape\":[1]}}", 4, NULL, 0, EL_E_FORMAT,
     "no data_offsets, or they are not an array of two"},
    {"one offset", ONE("F32", "[1]", "[4]"), 4, NULL, 0, EL_E_FORMAT, "not an array of two"},
    {"three offsets", ONE("F32", "[1]", "[0,2,4]"), 4, NULL, 0, EL_E_FORMAT, "not an array of two"},
    {"offset negative", ONE("F32", "[1]", "[-4,0]"), 4, NULL, 0, EL_E_FORMAT, "data_offsets are not integers"},
    {"offset a float", ONE("F32", "[1]", "[0,4.5]"), 4, NULL, 0, EL_E_FORMAT, "data_offsets are not integers"},
    {"end before begin", ONE("F32", "[1]", "[4,0]"), 4, NULL, 0, EL_E_FORMAT, "data_offsets [4, 0] end before they begin"},
    {"end past the file", ONE("F32", "[2]", "[0,8]"), 4, NULL, 0, EL_E_FORMAT,
     "truncated: data_offsets [0, 8], the file has 4 bytes of data"},
    {"too few bytes for the shape", ONE("F32", "[2]", "[0,4]"), 4, NULL, 0, EL_E_FORMAT,
     "data_offsets hold 4 bytes, dtype and shape need 8"},
    {"too many bytes for the shape", ONE("F16", "[1]", "[0,4]"), 4, NULL, 0, EL_E_FORMAT,
     "data_offsets hold 4 bytes, dtype and shape need 2"},
    {"a hole", "{\"a\":" T("U8", "[1]", "[0,1]") ",\"b\":" T("U8", "[1]", "[3,4]") "}", 4, NULL, 0, EL_E_FORMAT,
     "tensor 'b': begins at byte 3 of the data, 2 bytes before it belong to no tensor"},
    {"a hole at the start", ONE("U8", "[1]", "[3,4]"), 4, NULL, 0, EL_E_FORMAT, "3 bytes before it belong to no tensor"},
    {"overlap", "{\"a\":" T("U8", "[2]", "[0,2]") ",\"b\":" T("U8", "[2]", "[1,3]") "}", 3, NULL, 0, EL_E_FORMAT,
     "tensor 'b': begins at byte 1 of the data, within tensor 'a'"},
    {"the same bytes twice", "{\"a\":" T("U8", "[2]", "[0,2]") ",\"b\":" T("U8", "[2]", "[0,2]") "}", 2, NULL, 0, EL_E_FORMAT,
     "within tensor 'a'"},
    {"bytes behind", ONE("U8", "[1]", "[0,1]"), 6, NULL, 0, EL_E_FORMAT, "5 bytes after the last tensor belong to none"},
    {"bytes of no tensor", "{}", 6, NULL, 0, EL_E_FORMAT, "6 bytes after the last tensor belong to none"},
};

TEST(bad_safetensors, table)
{
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct el_buf b;
        el_buf_init(&b);
        if (cases[i].build)
            cases[i].build(&b);
        else
            file(&b, cases[i].announced ? cases[i].announced : strlen(cases[i].json), cases[i].json, strlen(cases[i].json),
                 cases[i].n_data);
        const char *const path = test_tmp("bad.safetensors");
        REQUIRE(test_write(path, b.data, b.nbytes));
        el_buf_release(&b);
        struct el_err err = {0};
        struct el_source *s;
        const enum el_status status = el_source_open(path, NULL, &s, &err);
        CHECK(s == NULL);
        if (status != cases[i].code || !strstr(err.text, cases[i].says) || !strstr(err.text, "bad.safetensors'"))
            test_fail(__FILE__, __LINE__, "%s: status %d, '%s', wanted %d, '%s'", cases[i].name, (int)status, err.text,
                      (int)cases[i].code, cases[i].says);
        CHECK_EQ_INT(el_source_open(path, NULL, &s, NULL), cases[i].code); /* nobody asks for the text */
    }
}

#define SMALL                                                                                                                    \
    "{\"__metadata__\":{\"format\":\"pt\"},\"a\":" T("F32", "[2,2]", "[0,16]") ",\"b\":" T(                                      \
        "BF16", "[3]", "[16,22]") ",\"c\":" T("I8", "[]", "[22,23]") "}"

TEST(bad_safetensors, every_truncation)
{
    struct el_buf b;
    el_buf_init(&b);
    header(&b, SMALL, 23);
    const char *const path = test_tmp("cut.safetensors");
    REQUIRE(test_write(path, b.data, b.nbytes));
    struct el_err err = {0};
    struct el_source *s;
    CHECK_OK(el_source_open(path, NULL, &s, &err), err);
    el_source_close(s);
    for (size_t n = b.nbytes; n-- > 0;) {
        REQUIRE(truncate(path, (off_t)n) == 0);
        const enum el_status status = el_source_open(path, NULL, &s, &err);
        if (status != EL_E_FORMAT || !strstr(err.text, n ? "truncated" : "is empty"))
            test_fail(__FILE__, __LINE__, "cut to %zu bytes: status %d, '%s'", n, (int)status, err.text);
    }
    el_buf_release(&b);
}

/* A flipped bit is refused, or gives a file whose tensors can all be read. */
TEST(bad_safetensors, every_flipped_bit)
{
    struct el_buf b;
    el_buf_init(&b);
    header(&b, SMALL, 23);
    const char *const path = test_tmp("flip.safetensors");
    unsigned n_refused = 0;
    for (size_t bit = 0; bit < (8 + strlen(SMALL)) * 8; bit++) {
        b.data[bit / 8] = (char)(b.data[bit / 8] ^ 1 << bit % 8);
        REQUIRE(test_write(path, b.data, b.nbytes));
        b.data[bit / 8] = (char)(b.data[bit / 8] ^ 1 << bit % 8);
        struct el_err err = {0};
        struct el_source *s;
        const enum el_status status = el_source_open(path, NULL, &s, &err);
        CHECK(status == EL_OK || status == EL_E_FORMAT || status == EL_E_UNSUPPORTED);
        n_refused += status != EL_OK;
        for (size_t i = 0; s && i < s->n_tensors; i++) {
            uint8_t data[64];
            REQUIRE(el_tensor_nbytes(&s->tensors[i]) <= sizeof data);
            CHECK_OK(s->ops->read(s, &s->tensors[i], 0, 0, data, el_tensor_nbytes(&s->tensors[i]), &err), err);
        }
        el_source_close(s);
    }
    CHECK(n_refused > 1000);
    el_buf_release(&b);
}
