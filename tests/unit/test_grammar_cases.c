/*
 * Texts that 6 grammars and 20 JSON schemas must take and must refuse, 30 of either kind for each: tests/data/grammar, made by
 * scripts/fixtures/make_grammar_cases.py with readers that are not grammars, and with Python's jsonschema.
 */
#include "base/buf.h"
#include "base/json.h"
#include "base/mem.h"
#include "edgellm.h"
#include "test.h"

enum { N_TEXTS = 30 };

static struct el_json_doc *open_cases(const char *name)
{
    struct el_err err;
    struct el_json_doc *doc = NULL;
    size_t nbytes;
    char *const text = test_read(test_data(name), &nbytes);
    if (text)
        CHECK_OK(el_json_parse(text, nbytes, name, &doc, &err), err);
    else
        test_fail(__FILE__, __LINE__, "no %s", name);
    free(text);
    return doc;
}

static void check_texts(const struct el_grammar *g, const char *name, const struct el_json *texts, bool wanted)
{
    CHECK_EQ_INT(el_json_count(texts), N_TEXTS);
    for (const struct el_json *t = el_json_first(texts); t; t = el_json_next(t)) {
        struct el_err err;
        bool accepts;
        size_t n_prefix;
        const char *const text = el_json_str(t);
        CHECK_OK(el_grammar_accepts(g, text, strlen(text), &accepts, &n_prefix, &err), err);
        if (accepts != wanted)
            test_fail(__FILE__, __LINE__, "%s %s '%s' (up to byte %zu)", name, accepts ? "takes" : "refuses", text, n_prefix);
    }
}

TEST(grammar_cases, grammars_take_and_refuse_what_their_readers_do)
{
    struct el_json_doc *const doc = open_cases("grammar/grammars.json");
    REQUIRE(doc);
    const struct el_json *const cases = el_json_get(el_json_root(doc), "cases");
    CHECK_EQ_INT(el_json_count(cases), 6);
    for (const struct el_json *c = el_json_first(cases); c; c = el_json_next(c)) {
        struct el_err err;
        struct el_grammar *g = NULL;
        char path[64];
        size_t nbytes;
        const char *const name = el_json_str(el_json_get(c, "grammar"));
        snprintf(path, sizeof path, "grammar/%s", name);
        char *const text = test_read(test_data(path), &nbytes);
        REQUIRE(text);
        CHECK_OK(el_grammar_parse(text, nbytes, name, NULL, &g, &err), err);
        if (g) {
            check_texts(g, name, el_json_get(c, "accept"), true);
            check_texts(g, name, el_json_get(c, "reject"), false);
        }
        el_grammar_close(g);
        free(text);
    }
    el_json_free(doc);
}

/* JSON text of a value, as it was in the file but for white space. */
static void write_json(const struct el_json *v, struct el_buf *out)
{
    switch (el_json_type(v)) {
    case EL_JSON_NULL: el_buf_add_str(out, "null"); break;
    case EL_JSON_BOOL: el_buf_add_str(out, el_json_bool(v) ? "true" : "false"); break;
    case EL_JSON_NUMBER: el_buf_addf(out, "%.17g", el_json_num(v)); break;
    case EL_JSON_STR: el_buf_add_json_str(out, el_json_str(v), strlen(el_json_str(v))); break;
    case EL_JSON_ARRAY:
    case EL_JSON_OBJECT:
        el_buf_add_str(out, el_json_is(v, EL_JSON_ARRAY) ? "[" : "{");
        for (const struct el_json *e = el_json_first(v); e; e = el_json_next(e)) {
            if (e != el_json_first(v))
                el_buf_add_str(out, ",");
            if (el_json_is(v, EL_JSON_OBJECT)) {
                el_buf_add_json_str(out, el_json_key(e), strlen(el_json_key(e)));
                el_buf_add_str(out, ":");
            }
            write_json(e, out);
        }
        el_buf_add_str(out, el_json_is(v, EL_JSON_ARRAY) ? "]" : "}");
        break;
    }
}

TEST(grammar_cases, schemas_take_and_refuse_what_jsonschema_does)
{
    struct el_json_doc *const doc = open_cases("grammar/schemas.json");
    REQUIRE(doc);
    const struct el_json *const cases = el_json_get(el_json_root(doc), "cases");
    CHECK_EQ_INT(el_json_count(cases), 20);
    for (const struct el_json *c = el_json_first(cases); c; c = el_json_next(c)) {
        struct el_err err;
        struct el_grammar *g = NULL;
        struct el_buf schema;
        const char *const name = el_json_str(el_json_get(c, "name"));
        el_buf_init(&schema);
        write_json(el_json_get(c, "schema"), &schema);
        CHECK_OK(el_grammar_from_json_schema(schema.data, schema.nbytes, name, NULL, &g, &err), err);
        if (g) {
            check_texts(g, name, el_json_get(c, "accept"), true);
            check_texts(g, name, el_json_get(c, "reject"), false);
        }
        el_grammar_close(g);
        el_buf_release(&schema);
    }
    el_json_free(doc);
}
