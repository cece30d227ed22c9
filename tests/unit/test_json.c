/* The strict JSON door: what it accepts, what it refuses and how it says so, and that big objects stay fast. */
#include "base/buf.h"
#include "base/err.h"
#include "base/json.h"
#include "base/mem.h"
#include "test.h"

#include <time.h>

static enum el_status parse(const char *text, size_t nbytes, struct el_json_doc **doc, struct el_err *err)
{
    return el_json_parse(text, nbytes, "'x.json'", doc, err);
}

static void refuses(const char *text, size_t nbytes, const char *want)
{
    struct el_err err = {0};
    struct el_json_doc *doc = NULL;
    CHECK_EQ_INT(parse(text, nbytes, &doc, &err), EL_E_FORMAT);
    CHECK(doc == NULL);
    if (!strstr(err.text, want) || !strstr(err.text, "'x.json'"))
        test_fail(__FILE__, __LINE__, "'%s' gave '%s', wanted '%s'", text, err.text, want);
}

#define REFUSES(text, want) refuses(text, sizeof(text) - 1, want)

TEST(json, reads_values)
{
    static const char text[] = " {\"a\": [1, -2.5e1, true, false, null, \"x\\u00e9\\ud83d\\ude00\\n\"], \"A\": 0, \"big\": "
                               "1000000000000000019884624838656}\n";
    struct el_err err = {0};
    struct el_json_doc *doc;
    REQUIRE_OK(parse(text, sizeof text - 1, &doc, &err), err);
    const struct el_json *const root = el_json_root(doc);
    CHECK_EQ_INT(el_json_type(root), EL_JSON_OBJECT);
    CHECK_EQ_INT(el_json_count(root), 3);
    const struct el_json *v = el_json_first(el_json_get(root, "a"));
    int64_t i = 0;
    CHECK(el_json_int(v, &i));
    CHECK_EQ_INT(i, 1);
    v = el_json_next(v);
    CHECK(el_json_num(v) == -25.0);
    CHECK(el_json_int(v, &i));
    CHECK_EQ_INT(i, -25);
    v = el_json_next(v);
    CHECK_EQ_INT(el_json_type(v), EL_JSON_BOOL);
    CHECK(el_json_bool(v));
    v = el_json_next(v);
    CHECK(!el_json_bool(v));
    v = el_json_next(v);
    CHECK(el_json_is(v, EL_JSON_NULL));
    v = el_json_next(v);
    CHECK_EQ_STR(el_json_str(v), "x\xc3\xa9\xf0\x9f\x98\x80\n");
    CHECK(el_json_next(v) == NULL);
    CHECK_EQ_STR(el_json_key(el_json_get(root, "A")), "A");
    CHECK(el_json_num(el_json_get(root, "big")) > 1e29);
    CHECK(!el_json_int(el_json_get(root, "big"), &i));
    CHECK(el_json_get(root, "none") == NULL);
    el_json_free(doc);
}

TEST(json, accepts_missing_values)
{
    int64_t i = 7;
    CHECK_EQ_INT(el_json_type(NULL), EL_JSON_NULL);
    CHECK(!el_json_is(NULL, EL_JSON_NULL));
    CHECK(el_json_key(NULL) == NULL && el_json_first(NULL) == NULL && el_json_next(NULL) == NULL);
    CHECK(el_json_get(NULL, "a") == NULL && el_json_str(NULL) == NULL && el_json_root(NULL) == NULL);
    CHECK(el_json_num(NULL) == 0 && !el_json_bool(NULL) && !el_json_int(NULL, &i) && i == 7);
    CHECK_EQ_INT(el_json_count(NULL), 0);
    el_json_free(NULL);
    CHECK(strlen(el_json_library()) > 2);
}

TEST(json, integers_stop_before_2_to_the_53)
{
    static const struct {
        const char *text;
        bool is_int;
    } cases[] = {
        {"9007199254740991", true},
        {"-9007199254740991", true},
        {"9007199254740992", false},
        {"9007199254740993", false},
        {"18446744073709551616", false},
        {"1.5", false},
        {"-0", true},
        {"1e3", true},
        {"\"1\"", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct el_err err = {0};
        struct el_json_doc *doc;
        int64_t v;
        REQUIRE_OK(parse(cases[i].text, strlen(cases[i].text), &doc, &err), err);
        if (el_json_int(el_json_root(doc), &v) != cases[i].is_int)
            test_fail(__FILE__, __LINE__, "%s", cases[i].text);
        el_json_free(doc);
    }
}

TEST(json, refuses_what_is_not_json)
{
    REFUSES("", "byte 0: it ends too early");
    REFUSES("   ", "byte 3: it ends too early");
    REFUSES("{", "byte 1: it ends too early");
    REFUSES("[1, 2", "byte 5: it ends too early");
    REFUSES("{\"a\"", "it ends too early");
    REFUSES("{\"a\" 1}", "no colon after a key");
    REFUSES("{a: 1}", "a key must be a string");
    REFUSES("{\"a\": 1,}", "a key must be a string");
    REFUSES("[1,]", "unexpected character");
    REFUSES("[1 2]", "a comma or closing bracket was expected");
    REFUSES("[1}", "a comma or closing bracket was expected");
    REFUSES("{\"a\": 1]", "a comma or closing bracket was expected");
    REFUSES("nul", "unexpected character");
    REFUSES("tru e", "unexpected character");
    REFUSES("[falsE]", "unexpected character");
    REFUSES("NaN", "unexpected character");
    REFUSES("'a'", "unexpected character");
    REFUSES("+1", "unexpected character");
    REFUSES("01", "leading zero");
    REFUSES("1.", "without a digit after the point");
    REFUSES("1e", "without a digit in its exponent");
    REFUSES("1e+", "without a digit in its exponent");
    REFUSES("[1e999]", "not finite");
    REFUSES("{\"n\": -1e999}", "'n' is not finite");
    REFUSES("1111111111222222222233333333334444444444555555555566666666667777", "more than 63 characters");
    REFUSES("\"a", "string without an end");
    REFUSES("\"a\\", "unknown escape");
    REFUSES("\"\\x\"", "unknown escape");
    REFUSES("\"\\u12g4\"", "without four hex digits");
    REFUSES("\"\\u12", "without four hex digits");
    REFUSES("\"\\u0000\"", "\\u0000");
    REFUSES("\"\\udc00\"", "lone low surrogate");
    REFUSES("\"\\ud800\"", "lone high surrogate");
    REFUSES("\"\\ud800\\u0041\"", "lone high surrogate");
    REFUSES("\"\\ud800\\n12345\"", "lone high surrogate");
    REFUSES("\"\n\"", "control character");
    REFUSES("\"\xff\"", "byte 1: invalid UTF-8");
    REFUSES("\"\xed\xa0\x80\"", "invalid UTF-8");
    REFUSES("\xef\xbb\xbf{}", "byte order mark");
    REFUSES("{} {}", "byte 3: more text after the value");
    REFUSES("{}\0", "byte 2: a NUL byte");
    REFUSES("{\"a\": 1, \"b\": 2, \"a\": 3}", "key 'a' occurs twice");
    REFUSES("[{\"x\": {\"\\u0061\": 1, \"a\": 3}}]", "key 'a' occurs twice");
}

TEST(json, depth_is_limited)
{
    char text[2 * 65 + 1];
    for (int depth = 64; depth <= 65; depth++) {
        memset(text, '[', (size_t)depth);
        memset(text + depth, ']', (size_t)depth);
        text[depth - 1] = '1', text[depth] = '2'; /* depth - 1 levels and the number 12 inside */
        struct el_err err = {0};
        struct el_json_doc *doc;
        CHECK_OK(parse(text, 2 * (size_t)depth, &doc, &err), err);
        el_json_free(doc);
    }
    memset(text, '[', sizeof text);
    refuses(text, sizeof text - 1, "nested deeper than 64");
    const size_t many = 900000;
    char *const deep = malloc(many);
    REQUIRE(deep);
    memset(deep, '[', many);
    refuses(deep, many, "nested deeper than 64");
    free(deep);
}

/* An object of n keys "k0".."k(n-1)", the last of them named `last` when that is not NULL. */
static char *big_object(size_t n, const char *last, size_t *nbytes)
{
    char *const text = malloc(n * 24 + 64), *p = text;
    if (!text)
        return NULL;
    *p++ = '{';
    for (size_t i = 0; i < n; i++) {
        if (last && i == n - 1)
            p += sprintf(p, "\"%s\":%zu", last, i);
        else
            p += sprintf(p, "\"k%zu\":%zu%s", i, i, i == n - 1 ? "" : ",");
    }
    *p++ = '}';
    *nbytes = (size_t)(p - text);
    return text;
}

TEST(json, a_vocabulary_is_quick_and_its_duplicates_are_found)
{
    size_t nbytes;
    char *text = big_object(200000, NULL, &nbytes);
    REQUIRE(text);
    struct el_err err = {0};
    struct el_json_doc *doc;
    const clock_t before = clock();
    CHECK_OK(parse(text, nbytes, &doc, &err), err);
    CHECK((double)(clock() - before) / CLOCKS_PER_SEC < 5.0); /* quadratic would take minutes */
    CHECK_EQ_INT(el_json_count(el_json_root(doc)), 200000);
    el_json_free(doc);
    free(text);
    text = big_object(100000, "k777", &nbytes);
    REQUIRE(text);
    refuses(text, nbytes, "key 'k777' occurs twice");
    free(text);
    text = big_object(17, "k3", &nbytes);
    REQUIRE(text);
    refuses(text, nbytes, "key 'k3' occurs twice");
    free(text);
}

TEST(json, too_many_values_are_refused)
{
    const size_t n = (4u << 20) + 1;
    char *const text = malloc(2 * n + 1);
    REQUIRE(text);
    text[0] = '[';
    for (size_t i = 0; i < n; i++) {
        text[1 + 2 * i] = '1';
        text[2 + 2 * i] = i == n - 1 ? ']' : ',';
    }
    struct el_err err = {0};
    struct el_json_doc *doc;
    CHECK_EQ_INT(parse(text, 2 * n + 1, &doc, &err), EL_E_FORMAT);
    CHECK(strstr(err.text, "more than 4194304 values"));
    free(text);
}

TEST(json, every_failed_allocation_is_an_error)
{
    size_t nbytes;
    char *const text = big_object(40, NULL, &nbytes);
    REQUIRE(text);
    struct el_err err = {0};
    struct el_json_doc *doc = NULL;
    unsigned n_failures = 0;
    for (uint64_t i = 1; i < 1000; i++) {
        el_mem_fail_after(i);
        const enum el_status status = parse(text, nbytes, &doc, &err);
        el_mem_fail_after(0);
        if (status == EL_OK)
            break;
        CHECK_EQ_INT(status, EL_E_MEMORY);
        CHECK(doc == NULL);
        n_failures++;
    }
    CHECK(n_failures > 80);
    REQUIRE(doc);
    el_json_free(doc);
    free(text);
}

/* ---- member by member ---- */

struct seen {
    struct el_buf text;
    unsigned n, stop_at;
};

static enum el_status see(void *user, const struct el_json_member *m, struct el_err *err)
{
    struct seen *const s = user;
    el_buf_addf(&s->text, "%s=%.*s;", m->key, (int)m->nbytes, m->text);
    return ++s->n == s->stop_at ? el_fail(err, EL_E_UNSUPPORTED, "enough") : EL_OK;
}

static enum el_status each(const char *text, struct seen *s, struct el_err *err)
{
    el_buf_reset(&s->text);
    s->n = 0;
    return el_json_each(text, strlen(text), "text", see, s, err);
}

TEST(json, members_one_by_one)
{
    struct el_err err = {0};
    struct seen s = {.n = 0};
    el_buf_init(&s.text);
    CHECK_OK(each(" { \"a\" : [1, {\"x\":2}] ,\"\\u0062\\n\":\"}\", \"\" :null }\n", &s, &err), err);
    CHECK_EQ_STR(s.text.data, "a=[1, {\"x\":2}];b\n=\"}\";=null;");
    CHECK_OK(each("{}", &s, &err), err);
    CHECK_EQ_INT(s.n, 0);
    s.stop_at = 2;
    CHECK_EQ_INT(each("{\"a\":1,\"b\":2,\"c\":3}", &s, &err), EL_E_UNSUPPORTED);
    CHECK_EQ_INT(s.n, 2);
    s.stop_at = 0;
    static const char *const bad[][2] = {{"[1]", "not a JSON object"},
                                         {"", "it ends too early"},
                                         {"{\"a\":1,}", "a key must be a string"},
                                         {"{\"a\":1} 2", "more text"},
                                         {"{\"a\":1,\"b\":{\"x\":01}}", "leading zero"},
                                         {"{\"a\":1,\"b\":2,\"a\":3}", "key 'a' occurs twice"},
                                         {"{\"a\":1,\"b\":2,\"\\u0061\":3}", "key 'a' occurs twice"}};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        CHECK_EQ_INT(each(bad[i][0], &s, &err), EL_E_FORMAT);
        if (!strstr(err.text, bad[i][1]) || s.n != 0)
            test_fail(__FILE__, __LINE__, "'%s': %u members, %s", bad[i][0], s.n, err.text);
    }
    for (uint64_t i = 1; i < 4; i++) {
        el_mem_fail_after(i);
        CHECK_EQ_INT(each("{\"\\u0061\":1,\"b\":2}", &s, &err), EL_E_MEMORY);
        el_mem_fail_after(0);
    }
    el_buf_release(&s.text);
}

/* So many keys that hashes share their kept bits now and then; one of them is there twice. */
TEST(json, many_members_and_their_duplicates)
{
    enum { N = 300000 };
    struct el_err err = {0};
    struct seen s = {.n = 0};
    struct el_buf text;
    el_buf_init(&text);
    el_buf_init(&s.text);
    for (unsigned i = 0; i < N; i++)
        el_buf_addf(&text, "%s\"%x\":0", i ? "," : "{", i);
    el_buf_add_byte(&text, '}');
    CHECK_OK(each(text.data, &s, &err), err);
    CHECK_EQ_INT(s.n, N);
    text.data[text.nbytes - 1] = ',';
    el_buf_add_str(&text, "\"1234\":1}");
    CHECK_EQ_INT(each(text.data, &s, &err), EL_E_FORMAT);
    CHECK(strstr(err.text, "key '1234' occurs twice"));
    CHECK_EQ_INT(s.n, 0);
    el_buf_release(&text);
    el_buf_release(&s.text);
}
