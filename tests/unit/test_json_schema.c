/* JSON Schema to grammars: single keywords, and what is refused with its place. More texts: test_grammar_cases.c. */
#include "base/buf.h"
#include "base/mem.h"
#include "edgellm.h"
#include "test.h"

/* taken and refused are texts with NULs between, and an empty one at the end. */
static void check(const char *schema, const char *taken, const char *refused)
{
    struct el_err err;
    struct el_grammar *g = NULL;
    CHECK_OK(el_grammar_from_json_schema(schema, strlen(schema), NULL, NULL, &g, &err), err);
    for (int want = 1; g && want >= 0; want--) {
        for (const char *t = want ? taken : refused; *t; t += strlen(t) + 1) {
            bool yes;
            size_t at;
            CHECK_OK(el_grammar_accepts(g, t, strlen(t), &yes, &at, &err), err);
            if (yes != want)
                test_fail(__FILE__, __LINE__, "%s %s %s (byte %zu)", schema, yes ? "takes" : "refuses", t, at);
        }
    }
    el_grammar_close(g);
}

static void refuses(const char *schema, enum el_status status, const char *message)
{
    struct el_err err;
    struct el_grammar *g = NULL;
    CHECK_EQ_INT(el_grammar_from_json_schema(schema, strlen(schema), NULL, NULL, &g, &err), status);
    CHECK(g == NULL);
    if (!strstr(err.text, message))
        test_fail(__FILE__, __LINE__, "%.300s: got '%s', want '%s'", schema, err.text, message);
}

TEST(json_schema, any_value)
{
    check("{}", "1\0\"x\"\0[]\0{}\0[1, {\"a\": null}]\0-1.5e-3\0\"\\ud83d\\ude00 \\u00e9\"\0{\"a\":{\"a\":[ ]}}\0",
          "01\0[1,]\0{a:1}\0nul\0\"\\ud83d\"\0\"\\udc00\"\0\"\n\"\0 1\0+1\0.5\0001.\0[\0");
    check("true", "1\0", "x\0");
    check("{\"title\": \"t\", \"description\": \"d\", \"default\": 1, \"x-mine\": {}}", "{}\0[]\0null\0", "x\0");
}

TEST(json_schema, types)
{
    check("{\"type\": \"null\"}", "null\0", "0\0");
    check("{\"type\": \"boolean\"}", "true\0false\0", "True\0null\0");
    check("{\"type\": \"integer\"}", "0\0-12\0", "1.0\0001e2\0\"1\"\0");
    check("{\"type\": \"number\"}", "0\0-12.5\0001e2\0", "1.\0\"1\"\0");
    check("{\"type\": [\"integer\", \"null\"]}", "7\0null\0", "false\0");
    check("{\"type\": \"string\", \"nullable\": true}", "\"\"\0null\0", "false\0");
    check("{\"minLength\": 1, \"minimum\": 5}", "\"x\"\0005\0", "\"\"\0004\0null\0[]\0");
}

TEST(json_schema, numbers_between_bounds)
{
    static const struct {
        const char *schema;
        double min, max;
        bool min_strict, max_strict;
    } rows[] = {
        {"{\"type\": \"integer\", \"minimum\": 7}", 7, 1e9, false, false},
        {"{\"type\": \"integer\", \"maximum\": 123}", -1e9, 123, false, false},
        {"{\"type\": \"integer\", \"minimum\": -105, \"maximum\": -18}", -105, -18, false, false},
        {"{\"type\": \"integer\", \"exclusiveMinimum\": -1, \"exclusiveMaximum\": 1}", -1, 1, true, true},
        {"{\"type\": \"integer\", \"minimum\": 1.5, \"maximum\": 20.5}", 1.5, 20.5, false, false},
        {"{\"type\": \"integer\", \"minimum\": 9, \"exclusiveMinimum\": true}", 9, 1e9, true, false},
        {"{\"type\": \"integer\", \"minimum\": 3, \"maximum\": 9223372036854775807}", 3, 1e9, false, false},
        {"{\"type\": \"number\", \"minimum\": 0.05, \"maximum\": 0.95}", 0.05, 0.95, false, false},
        {"{\"type\": \"number\", \"exclusiveMinimum\": -2.5, \"exclusiveMaximum\": 12}", -2.5, 12, true, true},
        {"{\"type\": \"number\", \"exclusiveMinimum\": 0}", 0, 1e9, true, false},
        {"{\"type\": \"number\", \"exclusiveMaximum\": 0}", -1e9, 0, false, true},
        {"{\"type\": \"number\", \"minimum\": 99.5, \"maximum\": 1000.25}", 99.5, 1000.25, false, false},
        {"{\"allOf\": [{\"minimum\": 3}, {\"minimum\": 5}, {\"maximum\": 6.5}]}", 5, 6.5, false, false},
    };
    uint64_t seed = 3;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct el_err err;
        struct el_grammar *g = NULL;
        CHECK_OK(el_grammar_from_json_schema(rows[i].schema, strlen(rows[i].schema), NULL, NULL, &g, &err), err);
        REQUIRE(g);
        const bool integer = strstr(rows[i].schema, "integer") != NULL;
        unsigned n_in = 0;
        for (int round = 0; round < 600; round++) {
            static const double around[] = {0, 1, -1, 0.5, -0.5, 0.25, 10, -10, 0.05, -0.05, 0.01, 100, 3.125};
            const double base = round % 3 == 0 ? rows[i].min : round % 3 == 1 ? rows[i].max : 0;
            double v = (fabs(base) > 1e8 ? 0 : base) + around[test_rand(&seed) % 13] * (double)(test_rand(&seed) % 3);
            v = integer ? round % 2 ? floor(v) : ceil(v) : rint(v * 1000) / 1000;
            char text[40];
            snprintf(text, sizeof text, "%.10g", v == 0 ? 0 : v);
            bool yes;
            v = strtod(text, NULL);
            const bool want = (rows[i].min_strict ? v > rows[i].min : v >= rows[i].min) &&
                              (rows[i].max_strict ? v < rows[i].max : v <= rows[i].max);
            CHECK_OK(el_grammar_accepts(g, text, strlen(text), &yes, NULL, &err), err);
            n_in += want;
            if (yes != want)
                test_fail(__FILE__, __LINE__, "%s %s %s", rows[i].schema, yes ? "takes" : "refuses", text);
        }
        CHECK(n_in > 20);
        el_grammar_close(g);
    }
}

TEST(json_schema, strings)
{
    check("{\"type\": \"string\", \"maxLength\": 2}", "\"\"\0\"ab\"\0\"\\n\\u00e9\"\0\"\\ud83d\\ude00\\ud83d\\ude00\"\0",
          "\"abc\"\0");
    check("{\"pattern\": \"^a|b$\"}", "\"axyz\"\0\"xyzb\"\0\"a\"\0", "\"xay\"\0\"bx\"\0");
    check("{\"pattern\": \"^(?:ab|c[^d-f])+?\\\\.\\\\d{2,3}$\"}", "\"ab.12\"\0\"cgab.123\"\0\"c\\\".12\"\0",
          "\".12\"\0\"ce.12\"\0\"ab.1\"\0");
    check("{\"pattern\": \"^\\\\w\\\\W\\\\S\\\\s\\\\D[\\\\]\\\\d-]$\"}", "\"a-b c5\"\0\"_ \xc3\xa9 x]\"\0\"0.x\\ty-\"\0",
          "\"a-b cx\"\0\"aab c5\"\0");
    check("{\"pattern\": \"^\\\\x41\\\\u00e9\\\\t\\\\\\\\\\\"/$\"}", "\"A\xc3\xa9\\t\\\\\\\"/\"\0", "\"A\"\0");
    check("{\"pattern\": \"^.$\"}", "\"x\"\0\"\xe2\x82\xac\"\0\"\\t\"\0", "\"\\n\"\0\"xy\"\0\"\"\0");
    check("{\"format\": \"date\"}", "\"2024-02-29\"\0\"2000-02-29\"\0\"1999-12-31\"\0",
          "\"1900-02-29\"\0\"2023-02-29\"\0\"2023-04-31\"\0\"2023-13-01\"\0\"0000-01-01\"\0");
    check("{\"format\": \"time\"}", "\"23:59:59Z\"\0\"00:00:00.125+01:30\"\0", "\"24:00:00Z\"\0\"12:00:00\"\0\"12:60:00Z\"\0");
    check("{\"format\": \"duration\"}", "\"P1Y2M3DT4H5M6S\"\0\"PT36H\"\0\"P2W\"\0", "\"P\"\0\"PT\"\0\"P1Y3D\"\0\"1Y\"\0");
    check("{\"format\": \"ipv4\"}", "\"0.0.0.0\"\0\"255.249.199.9\"\0", "\"256.0.0.0\"\0\"1.2.3\"\0\"01.2.3.4\"\0");
    check("{\"format\": \"ipv6\"}",
          "\"::\"\0\"::1\"\0\"2001:db8::8a2e:370:7334\"\0\"1:2:3:4:5:6:7:8\"\0\"1::\"\0\"1:2:3:4:5:6:7::\"\0",
          "\"1:2:3:4:5:6:7\"\0\":1\"\0\"1::2::3\"\0\"1:2:3:4:5:6:7:8:9\"\0\"12345::\"\0");
    check("{\"format\": \"uuid\"}", "\"123e4567-e89b-12d3-a456-426614174000\"\0", "\"123e4567e89b12d3a456426614174000\"\0");
    check("{\"format\": \"email\"}", "\"a.b+c@x-y.example.org\"\0", "\"a@\"\0\"@b\"\0\"a b@c\"\0");
    check("{\"format\": \"hostname\"}", "\"a\"\0\"x-1.example\"\0", "\"-a\"\0\"a..b\"\0\"a-\"\0");
    check("{\"format\": \"uri\"}", "\"https://example.org:8080/a/b?c=d#e\"\0\"ftp://x\"\0", "\"example.org\"\0\"http://a b\"\0");
}

TEST(json_schema, lengths_beside_patterns_and_formats)
{
    check("{\"pattern\": \"^[a-z][a-z0-9]*$\", \"maxLength\": 3}", "\"a\"\0\"ab1\"\0", "\"\"\0\"1a\"\0\"ab12\"\0");
    check("{\"pattern\": \"^a.{2,9}b$\", \"minLength\": 6, \"maxLength\": 7}", "\"a1234b\"\0\"a12345b\"\0",
          "\"a123b\"\0\"a123456b\"\0");
    check("{\"pattern\": \"^ab\", \"minLength\": 3, \"maxLength\": 4}", "\"abc\"\0\"ab\\\"\xc3\xa9\"\0", "\"ab\"\0\"abcde\"\0");
    check("{\"pattern\": \"^(a|bc)(d|ef)?$\", \"minLength\": 1, \"maxLength\": 4}", "\"a\"\0\"bcef\"\0", "\"\"\0\"bcefd\"\0");
    check("{\"pattern\": \"^(a|bcd)$|^x+$\", \"maxLength\": 3}", "\"a\"\0\"bcd\"\0\"xxx\"\0", "\"xxxx\"\0");
    check("{\"format\": \"date\", \"minLength\": 1, \"maxLength\": 10}", "\"2024-02-29\"\0", "\"2024\"\0");
    check("{\"format\": \"email\", \"minLength\": 3, \"maxLength\": 254}", "\"a@b\"\0", "\"a\"\0");
    check("{\"format\": \"uri\", \"minLength\": 1, \"maxLength\": 2083}",
          "\"http://a.b:1/c//%20?d#e\"\0\"ftp://x\"\0\"ftp://x/\"\0", "\"http://\"\0\"http://a b\"\0\"http://a#b#c\"\0");
    check("{\"format\": \"password\", \"minLength\": 2}", "\"ab\"\0", "\"a\"\0");
    check("{\"format\": \"uuid4\"}", "\"123e4567-e89b-42d3-a456-426614174000\"\0", "\"x\"\0");
}

TEST(json_schema, what_generators_write)
{
    /* zod: an optional member, a record, a pattern and the format that it is of. */
    check("{\"properties\": {\"a\": {\"anyOf\": [{\"not\": {}}, {\"const\": 1}]}, \"b\": {\"not\": true}}}", "{\"a\":1}\0{}\0",
          "{\"b\":1}\0{\"a\":2}\0");
    check("{\"type\": \"object\", \"propertyNames\": {\"type\": \"string\", \"title\": \"x\"}, \"additionalProperties\": "
          "{\"type\": \"null\"}}",
          "{\"a\":null}\0", "{\"a\":1}\0");
    /* A record whose names are an enum: zod lists them as required, pydantic does not. */
    check("{\"propertyNames\": {\"type\": \"string\", \"enum\": [\"a\", \"b\"]}, \"additionalProperties\": {\"type\": "
          "\"integer\"}, "
          "\"required\": [\"a\", \"b\"]}",
          "{\"a\":1,\"b\":2}\0", "{\"a\":1}\0{\"a\":1,\"b\":2,\"c\":3}\0{\"a\":1,\"b\":null}\0");
    check("{\"$defs\": {\"n\": {\"enum\": [\"a\", \"b\", 3]}}, \"propertyNames\": {\"$ref\": \"#/$defs/n\"}, "
          "\"additionalProperties\": {\"type\": \"integer\"}}",
          "{}\0{\"b\":1}\0{\"a\":1,\"b\":2}\0", "{\"c\":1}\0{\"a\":1,\"a\":1}\0{\"3\":1}\0");
    check("{\"propertyNames\": {\"enum\": [\"a\"]}}", "{}\0{\"a\":[]}\0", "{\"b\":1}\0");
    check("{\"propertyNames\": {\"enum\": [\"a\"]}, \"properties\": {\"a\": {\"const\": 1}, \"b\": {\"const\": 2}}}",
          "{}\0{\"a\":1}\0", "{\"a\":1,\"b\":2}\0{\"b\":2}\0");
    check("{\"format\": \"uuid\", \"pattern\": \"^[0-9a-f]{2}-[1-8]$\"}", "\"a0-1\"\0", "\"a0-9\"\0");
    check("{\"format\": \"ulid\", \"pattern\": \"^[0-7][A-Z]$\"}", "\"0A\"\0", "\"8A\"\0");
    refuses("{\"pattern\": \"^a\", \"allOf\": [{\"format\": \"uuid\"}]}", EL_E_UNSUPPORTED,
            "'pattern' and 'format' of two schemas");
    check("{\"const\": 1, \"not\": false, \"propertyNames\": true, \"patternProperties\": {}, \"dependentRequired\": {}, "
          "\"markdownDescription\": \"x\", \"enumNames\": [\"x\"], \"propertyOrdering\": [\"x\"]}",
          "1\0", "2\0");
}

TEST(json_schema, listed_values_beside_other_keywords)
{
    check("{\"type\": \"string\", \"enum\": [\"\", \"a\", \"\xc3\xa9\xc3\xa9\", \"abc\"], \"minLength\": 1, \"maxLength\": 2}",
          "\"a\"\0\"\xc3\xa9\xc3\xa9\"\0", "\"\"\0\"abc\"\0");
    check("{\"enum\": [1, 2, 2.5, 3, \"a\", null], \"minimum\": 2, \"exclusiveMaximum\": 3, \"maxLength\": 9}",
          "2\0002.5\0\"a\"\0null\0", "1\0003\0");
    check("{\"enum\": [\"x\\ty\", \"yz\", \"2024-01-01\"], \"pattern\": \"^[xy]\"}", "\"x\\ty\"\0\"yz\"\0", "\"2024-01-01\"\0");
    check("{\"enum\": [\"x\", \"2024-01-01\"], \"format\": \"date\"}", "\"2024-01-01\"\0", "\"x\"\0");
    check("{\"enum\": [\"x\"], \"format\": \"enum\", \"contentMediaType\": \"text/plain\"}", "\"x\"\0", "\"y\"\0");
    check("{\"allOf\": [{\"enum\": [\"ab\", \"b\", \"abc\"]}, {\"pattern\": \"^a\"}, {\"pattern\": \"b$\"}]}", "\"ab\"\0",
          "\"b\"\0\"abc\"\0");
    check("{\"enum\": [4, 5, 10], \"multipleOf\": 5}", "5\00010\0", "4\0");
}

TEST(json_schema, objects)
{
    check("{\"properties\": {\"a\": {\"type\": \"null\"}, \"b\": {\"type\": \"null\"}, \"c\": {\"type\": \"null\"}}, "
          "\"required\": [\"b\"]}",
          "{\"b\":null}\0{\"a\": null, \"b\": null}\0{\"b\":null,\"c\":null}\0{\n  \"a\": null,\n  \"b\": null,\n  \"c\": "
          "null\n}\0",
          "{}\0{\"a\":null}\0{\"b\":null,\"a\":null}\0{\"b\":null,}\0{,\"b\":null}\0{\"b\":null,\"d\":null}\0[]\0");
    check("{\"required\": [\"k\"]}", "{\"k\":[1]}\0", "{}\0");
    check("{\"type\": \"object\", \"minProperties\": 1, \"maxProperties\": 2}", "{\"a\":1}\0{\"a\":1,\"b\":2}\0",
          "{}\0{\"a\":1,\"b\":2,\"c\":3}\0");
    check("{\"properties\": {\"a\": {}, \"b\": {}}, \"minProperties\": 1}", "{\"a\":1}\0{\"b\":2}\0{\"a\":1,\"b\":2}\0", "{}\0");
    check("{\"properties\": {\"a\": false, \"b\": true}}", "{}\0{\"b\":2}\0", "{\"a\":1}\0");
    check("{\"properties\": {\"a\\\"\\n\": {\"type\": \"null\"}}}", "{\"a\\\"\\n\":null}\0", "{\"a\":null}\0");
    check("{\"type\": \"object\", \"maxProperties\": 0}", "{}\0{ }\0", "{\"a\":1}\0");
    /* No further member has the name of a listed one, however it is spelled. */
    check("{\"properties\": {\"ab\": {\"type\": \"null\"}, \"a\\\"c\": {\"type\": \"null\"}, \"\": {\"type\": \"null\"}}, "
          "\"additionalProperties\": "
          "{\"type\": \"integer\"}}",
          "{\"a\":1}\0{\"abc\":1}\0{\"a\\\"\":1}\0{\"a\\\"cd\":1}\0{\"ab\":null,\"ac\":2,\"b\":3}\0{\"\\n\":1}\0{\"a\\\\\":1}\0",
          "{\"ab\":1}\0{\"\\u0061b\":1}\0{\"a\\u0062\":1}\0{\"a\\\"c\":1}\0{\"\":1}\0{\"a\":null}\0");
}

TEST(json_schema, arrays)
{
    check("{\"items\": {\"type\": \"null\"}, \"minItems\": 2, \"maxItems\": 3}", "[null,null]\0[null, null, null]\0",
          "[]\0[null]\0[null,null,null,null]\0[null,null,]\0");
    check("{\"prefixItems\": [{\"const\": 1}, {\"const\": 2}, {\"const\": 3}]}", "[]\0[1]\0[1, 2]\0[1,2,3]\0",
          "[2]\0[1,3]\0[1,2,3,4]\0");
    check("{\"items\": [{\"const\": 1}, {\"const\": 2}], \"additionalItems\": {\"const\": 0}, \"minItems\": 1}",
          "[1]\0[1,2,0,0]\0", "[]\0[1,0]\0");
    check("{\"prefixItems\": [{\"const\": 1}, false], \"items\": true}", "[]\0[1]\0", "[1,2]\0");
    check("{\"type\": \"array\", \"maxItems\": 0}", "[]\0[ ]\0", "[1]\0");
    check("{\"type\": \"array\", \"items\": false}", "[]\0", "[1]\0");
    check("{\"type\": \"array\", \"uniqueItems\": false, \"minItems\": 1}", "[1,1]\0", "[]\0");
}

TEST(json_schema, together)
{
    check("{\"enum\": [1, \"a\", [1, {\"b\": null}], 0.5]}", "1\0\"a\"\0[1, {\"b\": null}]\0[1,{\"b\":null}]\0000.5\0",
          "2\0[1]\0");
    check("{\"type\": \"integer\", \"enum\": [1, \"a\", 2]}", "1\0002\0", "\"a\"\0");
    check("{\"allOf\": [{\"enum\": [1, 2, 3]}, {\"enum\": [2, 3, 4]}]}", "2\0003\0", "1\0004\0");
    check("{\"$ref\": \"#/$defs/a~1b%20c\", \"$defs\": {\"a/b c\": {\"const\": 1}}}", "1\0", "2\0");
    check("{\"anyOf\": [{\"required\": [\"a\"]}, {\"required\": [\"b\"]}], \"properties\": {\"a\": {\"type\": \"null\"}, \"b\": "
          "{\"type\": \"null\"}}}",
          "{\"a\":null}\0{\"b\":null}\0{\"a\":null,\"b\":null}\0", "{}\0{\"c\":1}\0");
    check("{\"type\": \"object\", \"properties\": {\"next\": {\"anyOf\": [{\"$ref\": \"#\"}, {\"type\": \"null\"}]}}, "
          "\"required\": [\"next\"]}",
          "{\"next\":null}\0{\"next\":{\"next\":null}}\0", "{}\0{\"next\":{}}\0");
    check("{\"oneOf\": [{\"type\": \"string\"}, {\"type\": \"integer\"}]}", "\"x\"\0001\0", "null\0");
    check("{\"anyOf\": [false, {\"const\": 1}]}", "1\0", "2\0");
}

TEST(json_schema, what_cannot_be_followed_is_refused_with_its_place)
{
    refuses("{\"type\": ", EL_E_FORMAT, "JSON schema: not valid JSON");
    refuses("3", EL_E_FORMAT, "'#': expected a schema: an object, true or false");
    refuses("false", EL_E_FORMAT, "no value satisfies the schema");
    refuses("{\"type\": \"strin\"}", EL_E_FORMAT, "'#/type': expected the name of a type: null, boolean");
    refuses("{\"properties\": {\"a\": {\"items\": {\"not\": {\"type\": \"null\"}}}}}", EL_E_UNSUPPORTED,
            "'#/properties/a/items': keyword 'not' cannot be made into a grammar");
    static const char *const keywords[] = {"if",       "then",       "else", "dependentRequired", "patternProperties",
                                           "contains", "$dynamicRef"};
    for (size_t i = 0; i < sizeof keywords / sizeof keywords[0]; i++) {
        char schema[64];
        snprintf(schema, sizeof schema, "{\"%s\": {\"a\": true}}", keywords[i]);
        refuses(schema, EL_E_UNSUPPORTED, keywords[i]);
    }
    refuses("{\"minlength\": 3}", EL_E_UNSUPPORTED, "'#': keyword 'minlength' is not known");
    refuses("{\"propertyNames\": {\"type\": \"string\", \"pattern\": \"^a\"}}", EL_E_UNSUPPORTED, "propertyNames");
    refuses("{\"propertyNames\": false}", EL_E_UNSUPPORTED, "propertyNames");
    refuses("{\"propertyNames\": {\"type\": \"integer\"}}", EL_E_UNSUPPORTED, "propertyNames");
    refuses("{\"propertyNames\": {\"enum\": [\"a\"]}, \"required\": [\"b\"], \"type\": \"object\"}", EL_E_FORMAT, "no value");
    refuses("{\"allOf\": [{\"propertyNames\": {\"enum\": [\"a\"]}}, {\"propertyNames\": {\"enum\": [\"b\"]}}]}", EL_E_UNSUPPORTED,
            "propertyNames");
    refuses("{\"not\": 3}", EL_E_UNSUPPORTED, "keyword 'not'");
    refuses("{\"not\": {}}", EL_E_FORMAT, "no value satisfies the schema");
    refuses("{\"name\": \"x\", \"strict\": true, \"schema\": {\"type\": \"null\"}}", EL_E_UNSUPPORTED,
            "keyword 'name' is not known; is the schema what stands at 'schema'?");
    refuses("{\"items\": {\"name\": \"x\", \"schema\": {}}}", EL_E_UNSUPPORTED, "'#/items': keyword 'name' is not known");
    refuses("{\"uniqueItems\": true}", EL_E_UNSUPPORTED, "keyword 'uniqueItems'");
    refuses("{\"type\": \"integer\", \"multipleOf\": 5}", EL_E_UNSUPPORTED, "'#/multipleOf': keyword 'multipleOf'");
    refuses("{\"format\": \"color\"}", EL_E_UNSUPPORTED, "'#/format': format 'color' has no grammar, there are date, time,");
    refuses("{\"pattern\": \"a\", \"minLength\": 2}", EL_E_UNSUPPORTED,
            "minLength and maxLength cannot be put into this pattern");
    refuses("{\"pattern\": \"^(ab)*$\", \"maxLength\": 5}", EL_E_UNSUPPORTED, "cannot be put into this pattern");
    refuses("{\"pattern\": \"^a+$|^bb$\", \"minLength\": 3}", EL_E_UNSUPPORTED, "cannot be put into this pattern");
    refuses("{\"format\": \"email\", \"maxLength\": 100}", EL_E_UNSUPPORTED,
            "'#/format': format 'email' cannot be combined with these");
    refuses("{\"format\": \"uri\", \"maxLength\": 299}", EL_E_UNSUPPORTED, "cannot be combined with these lengths");
    refuses("{\"format\": \"ipv6\", \"minLength\": 3}", EL_E_UNSUPPORTED, "cannot be combined with these lengths");
    refuses("{\"pattern\": \"a(?=b)\"}", EL_E_UNSUPPORTED, "'#/pattern': look-around or flags at '?=b)'");
    refuses("{\"pattern\": \"(a)\\\\1\"}", EL_E_UNSUPPORTED, "a back-reference");
    refuses("{\"pattern\": \"\\\\bx\"}", EL_E_UNSUPPORTED, "a word boundary");
    refuses("{\"pattern\": \"a^b\"}", EL_E_UNSUPPORTED, "an anchor in the middle");
    refuses("{\"pattern\": \"\\\\p{L}\"}", EL_E_UNSUPPORTED, "an escape");
    refuses("{\"pattern\": \"(a\"}", EL_E_FORMAT, "found the end, expected ')'");
    refuses("{\"pattern\": \"[b-a]\"}", EL_E_FORMAT, "expected the higher end of a range");
    refuses("{\"pattern\": \"*\"}", EL_E_FORMAT, "expected something to repeat");
    refuses("{\"enum\": [\"abc\"], \"pattern\": \"d\"}", EL_E_FORMAT, "no value satisfies the schema");
    refuses("{\"enum\": [\"abc\"], \"pattern\": \"(\"}", EL_E_FORMAT, "'#/pattern': found the end, expected ')'");
    refuses("{\"enum\": [1, [2]], \"minItems\": 1}", EL_E_UNSUPPORTED,
            "keyword 'minItems' together with a list or an object in enum");
    refuses("{\"const\": {\"a\": 1}, \"properties\": {}}", EL_E_UNSUPPORTED,
            "keyword 'properties' together with a list or an object");
    refuses("{\"enum\": [0.5], \"multipleOf\": 0.1}", EL_E_UNSUPPORTED, "'#/multipleOf': multipleOf other than a whole number");
    refuses("{\"enum\": []}", EL_E_FORMAT, "'#/enum': expected a list of values");
    refuses("{\"$ref\": \"https://example.org/x\"}", EL_E_UNSUPPORTED, "expected a place in this schema");
    refuses("{\"$ref\": \"#/$defs/x\"}", EL_E_FORMAT, "'#/$ref': '#/$defs/x' is not in this schema");
    refuses("{\"$ref\": \"#\"}", EL_E_FORMAT, "leads back to itself");
    refuses("{\"properties\": {\"a\": {\"$ref\": \"#\"}}, \"required\": [\"a\"]}", EL_E_FORMAT, "never ends");
    refuses("{\"oneOf\": [{\"type\": \"integer\"}, {\"type\": \"number\"}]}", EL_E_UNSUPPORTED,
            "'#/oneOf': branches 0 and 1 may hold at once");
    refuses("{\"oneOf\": [{\"properties\": {\"a\": {}}}, {\"properties\": {\"b\": {}}}]}", EL_E_UNSUPPORTED, "may hold at once");
    refuses("{\"minItems\": -1}", EL_E_FORMAT, "'#/minItems': expected a whole number from 0 on");
    refuses("{\"minimum\": \"1\"}", EL_E_FORMAT, "'#/minimum': expected a number");
    refuses("{\"minimum\": 5, \"maximum\": 4}", EL_E_FORMAT, "no value satisfies the schema");
    refuses("{\"minLength\": 5, \"maxLength\": 4}", EL_E_FORMAT, "no value satisfies the schema");
    refuses("{\"properties\": {\"a\": false}, \"required\": [\"a\"]}", EL_E_FORMAT, "no value satisfies the schema");
    refuses("{\"type\": \"object\", \"minProperties\": 2}", EL_E_UNSUPPORTED, "'minProperties'");
    refuses("{\"minimum\": 0.12345678901234567}", EL_E_UNSUPPORTED, "which needs more than 15 digits");
}

TEST(json_schema, numbers_near_the_most_digits)
{
    /* The bounds that are written for JavaScript's safe integers, which have 16 digits. */
    check("{\"type\": \"integer\", \"minimum\": -9007199254740991, \"maximum\": 9007199254740991}",
          "9007199254740991\0-9007199254740991\0009007199254740989\0"
          "0\0",
          "9007199254740992\0-9007199254740992\0009709005407699980\0");
    check("{\"type\": \"integer\", \"minimum\": 9007199254740991}", "9007199254740991\0009999999999999999\0",
          "9007199254740990\0"
          "10000000000000000\0");
    check("{\"type\": \"integer\", \"exclusiveMinimum\": 9999999999999998}", "9999999999999999\0", "9999999999999998\0");
    refuses("{\"type\": \"integer\", \"minimum\": 1e16}", EL_E_UNSUPPORTED, "which needs more than 16 digits");
    check("{\"type\": \"number\", \"minimum\": 999999999}", "999999999\0999999999.5\0001000000000\0999999999999999\0",
          "999999998\0");
    check("{\"type\": \"number\", \"minimum\": 999999999999999}", "999999999999999\0", "999999999999998\0");
    /* Milliseconds since 1970: what has no digits left for a fraction may still be written. */
    check("{\"type\": \"number\", \"minimum\": 0}", "1700000000000\0001.5\0999999999999999\0", "-1\0001700000000000.5\0");
    check("{\"type\": \"number\", \"maximum\": 0}", "-1700000000000\0", "1\0");
}

TEST(json_schema, white_space_in_classes)
{
    /* What only some readers of patterns call white space is in neither \\s nor [^\\s]. */
    check("{\"pattern\": \"^[^\\\\s]$\"}", "\"a\"\0", "\" \"\0\"\xc2\xa0\"\0\"\xef\xbb\xbf\"\0\"\\u001d\"\0");
    check("{\"pattern\": \"^[^\\\\S]$\"}", "\" \"\0", "\"a\"\0\"\xc2\x85\"\0");
    check("{\"pattern\": \"^[\\\\s\\\\S]$\"}", "\"a\"\0\" \"\0\"\xc2\xa0\"\0\"\\n\"\0", "\"ab\"\0");
}

TEST(json_schema, unevaluated_members_and_elements)
{
    check("{\"type\": \"object\", \"properties\": {\"a\": {\"type\": \"null\"}}, \"unevaluatedProperties\": false}",
          "{}\0{\"a\":null}\0", "{\"b\":null}\0");
    check(
        "{\"type\": \"object\", \"allOf\": [{\"properties\": {\"a\": {\"type\": \"null\"}}}], \"unevaluatedProperties\": false}",
        "{\"a\":null}\0", "{\"b\":null}\0");
    refuses("{\"type\": \"object\", \"required\": [\"a\"], \"unevaluatedProperties\": false}", EL_E_FORMAT,
            "no value satisfies the schema");
    check("{\"type\": \"object\", \"required\": [\"a\"], \"additionalProperties\": {\"type\": \"null\"}, "
          "\"unevaluatedProperties\": false}",
          "{\"a\":null}\0", "{}\0");
    /* A schema does not see what stands beside it. */
    refuses("{\"properties\": {\"a\": {}}, \"allOf\": [{\"unevaluatedProperties\": false}]}", EL_E_UNSUPPORTED,
            "'#/allOf/0/unevaluatedProperties': unevaluatedProperties below or beside another schema");
    refuses("{\"items\": {\"type\": \"null\"}, \"anyOf\": [{\"unevaluatedItems\": false}]}", EL_E_UNSUPPORTED,
            "unevaluatedItems below or beside another schema of the same value; write items");
    refuses("{\"properties\": {\"a\": {\"type\": \"object\", \"unevaluatedProperties\": false}}, "
            "\"allOf\": [{\"properties\": {\"a\": {\"properties\": {\"x\": {}}}}}]}",
            EL_E_UNSUPPORTED, "beside another schema");
}

/* head, n items with commas between, in which # is their number, tail. */
static char *repeated(const char *head, const char *item, unsigned n, const char *tail)
{
    struct el_buf b;
    size_t nbytes;
    el_buf_init(&b);
    el_buf_add_str(&b, head);
    for (unsigned i = 0; i < n; i++) {
        el_buf_add_str(&b, i ? ", " : "");
        for (const char *c = item; *c; c++) {
            if (*c == '#')
                el_buf_addf(&b, "%u", i);
            else
                el_buf_add_byte(&b, (uint8_t)*c);
        }
    }
    el_buf_add_str(&b, tail);
    return el_buf_detach(&b, &nbytes);
}

TEST(json_schema, work_is_bounded)
{
    static const struct {
        const char *head, *item;
        unsigned n;
        const char *tail, *message;
    } rows[] = {
        {"{\"properties\": {", "\"p#\": {}", 100000, "}}", "takes more than 33554432 steps"},
        {"{\"required\": [", "\"p#\"", 100000, "]}", "takes more than 33554432 steps"},
        {"{\"properties\": {", "\"p#\": {\"minimum\": #}", 10000, "}, \"required\": [\"p0\"]}", "takes more than 33554432 steps"},
        {"{\"oneOf\": [", "{\"const\": #}", 5000, "]}", "takes more than 33554432 steps"},
        {"{\"pattern\": \"^(", "[a-z]#", 200000, ")$\"}", "takes more than 33554432 steps"},
        {"{\"allOf\": [", "{\"anyOf\": [{\"minLength\": #}, {\"maxLength\": #}]}", 15, "], \"type\": \"string\"}",
         "needs more than 20000 rules"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char *const schema = repeated(rows[i].head, rows[i].item, rows[i].n, rows[i].tail);
        REQUIRE(schema);
        refuses(schema, EL_E_UNSUPPORTED, rows[i].message);
        el_free(schema);
    }
    /* Long lists of values are no such work. */
    char values_of_a[401];
    memset(values_of_a, 'a', 400);
    values_of_a[400] = '\0';
    struct el_err err;
    struct el_grammar *g = NULL;
    char *const values = repeated("{\"enum\": [", "\"v#\"", 50000, "]}");
    REQUIRE(values);
    CHECK_OK(el_grammar_from_json_schema(values, strlen(values), NULL, NULL, &g, &err), err);
    el_grammar_close(g);
    el_free(values);
    /* Values of a pattern that can be read in very many ways: all of them together have a limit. */
    struct el_buf b;
    el_buf_init(&b);
    el_buf_add_str(&b, "{\"pattern\": \"^(");
    for (int i = 1; i <= 200; i++)
        el_buf_addf(&b, "%s%.*s", i > 1 ? "|" : "", i, values_of_a);
    el_buf_addf(&b, ")*$\", \"enum\": [\"%s%s%s\"]}", values_of_a, values_of_a, values_of_a);
    refuses(b.data, EL_E_UNSUPPORTED, "of enum or const: the grammar is too ambiguous here");
    el_buf_release(&b);
    /* Two schemas that hold themselves in every member: to compare them member by member would take 8^9 steps. */
    refuses("{\"$defs\": {\"n\": {\"type\": \"object\", \"required\": [\"a\", \"b\", \"c\", \"d\"], \"properties\": {\"a\": "
            "{\"$ref\": \"#/$defs/n\"}, "
            "\"b\": {\"$ref\": \"#/$defs/n\"}, \"c\": {\"$ref\": \"#/$defs/n\"}, \"d\": {\"$ref\": \"#/$defs/n\"}}}, "
            "\"m\": {\"type\": \"object\", \"required\": [\"a\", \"b\", \"c\", \"d\"], \"properties\": {\"a\": {\"$ref\": "
            "\"#/$defs/m\"}, "
            "\"b\": {\"$ref\": \"#/$defs/m\"}, \"c\": {\"$ref\": \"#/$defs/m\"}, \"d\": {\"$ref\": \"#/$defs/m\"}}}}, "
            "\"oneOf\": [{\"$ref\": \"#/$defs/n\"}, {\"$ref\": \"#/$defs/m\"}]}",
            EL_E_UNSUPPORTED, "branches 0 and 1 may hold at once");
}

TEST(json_schema, every_allocation_may_fail)
{
    static const char schema[] =
        "{\"properties\": {\"a\": {\"pattern\": \"^[a-c]\\\\s\\\"-{2}$\"}, \"b\": {\"enum\": [1, \"x\", [0.5]]}, \"c\": "
        "{\"minimum\": 0.5}}, "
        "\"additionalProperties\": {\"anyOf\": [{\"format\": \"date\"}, {\"items\": {\"maximum\": 7}}]}, \"required\": [\"b\"]}";
    struct el_err err;
    char *whole, *gbnf;
    size_t n_whole, nbytes;
    const uint64_t before = el_mem_count();
    REQUIRE_OK(el_json_schema_to_gbnf(schema, sizeof schema - 1, NULL, &whole, &n_whole, &err), err);
    const uint64_t n = el_mem_count() - before;
    for (uint64_t i = 1; i <= n; i++) {
        el_mem_fail_after(i);
        const enum el_status status = el_json_schema_to_gbnf(schema, sizeof schema - 1, NULL, &gbnf, &nbytes, &err);
        el_mem_fail_after(0);
        if (status != EL_E_MEMORY && (status != EL_OK || strcmp(gbnf, whole) != 0))
            test_fail(__FILE__, __LINE__, "allocation %u of %u: %.400s", (unsigned)i, (unsigned)n,
                      status == EL_OK ? gbnf : err.text);
        if (status == EL_OK)
            el_free(gbnf);
    }
    CHECK(n > 50);
    el_free(whole);
}
