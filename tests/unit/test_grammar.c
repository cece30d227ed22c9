/* Grammars: the notation and its errors, the automaton, and masks compared with trying every token. */
#include "base/buf.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "edgellm.h"
#include "tensor/meta.h"
#include "test.h"
#include "text/grammar.h"
#include "text/tokenizer.h"

static struct el_grammar *parse(const char *text, const struct el_tokenizer *tok)
{
    struct el_err err;
    struct el_grammar *g = NULL;
    CHECK_OK(el_grammar_parse(text, strlen(text), NULL, tok, &g, &err), err);
    return g;
}

static bool accepts(const char *grammar, const char *text)
{
    struct el_err err;
    bool yes = false;
    struct el_grammar *const g = parse(grammar, NULL);
    if (g)
        CHECK_OK(el_grammar_accepts(g, text, strlen(text), &yes, NULL, &err), err);
    el_grammar_close(g);
    return yes;
}

static void refuses(const char *text, enum el_status status, const char *message)
{
    struct el_err err;
    struct el_grammar *g = NULL;
    CHECK_EQ_INT(el_grammar_parse(text, strlen(text), NULL, NULL, &g, &err), status);
    CHECK(g == NULL);
    if (!strstr(err.text, message))
        test_fail(__FILE__, __LINE__, "'%s': got '%s', want '%s'", text, err.text, message);
}

TEST(grammar, notation)
{
    CHECK(accepts("root ::= \"a\"", "a"));
    CHECK(!accepts("root ::= \"a\"", ""));
    CHECK(!accepts("root ::= \"a\"", "aa"));
    CHECK(accepts("root ::= \"\"", ""));
    CHECK(accepts("root ::= | \"x\"", ""));
    CHECK(accepts("root ::= a b\na ::= \"1\" | \"2\"\nb ::= [x-z]", "2y"));
    CHECK(accepts("# comment\nroot ::= # another\n  (\n \"a\" # here\n | \"b\"\n )\n\n# end", "b"));
    CHECK(accepts("root ::= \"a\" |\n  \"b\"", "b"));
    CHECK(accepts("root ::= \"a\"\r\n\r\nx ::= \"b\"\r\n", "a"));
    CHECK(accepts("root ::= \"\\x41\\u00e9\\U0001F600\\n\\t\\r\\\\\\\"\\[\\]\"", "A\u00e9\U0001F600\n\t\r\\\"[]"));
    CHECK(accepts("root ::= [\\]\\[a-]+", "]-[a"));
    CHECK(!accepts("root ::= [\\]\\[a-]+", "b"));
    CHECK(accepts("root ::= [-x]+ [a-c-e]+", "x-b-e"));
    CHECK(!accepts("root ::= [a-c-e]", "d"));
    CHECK(accepts("root ::= [^\"\\\\]*", "any \u65e5 text"));
    CHECK(!accepts("root ::= [^\"\\\\]*", "no \" quote"));
    CHECK(accepts("root ::= .", "\n"));
    CHECK(accepts("root ::= .", "\U0010FFFF"));
    CHECK(!accepts("root ::= .", "ab"));
    CHECK(accepts("my-rule-2 ::= \"x\"\nroot ::= my-rule-2", "x"));
}

TEST(grammar, repetitions)
{
    static const struct {
        const char *suffix;
        unsigned min, max;
    } rows[] = {{"*", 0, 99},     {"+", 1, 99},  {"?", 0, 1},       {"{3}", 3, 3},   {"{2,}", 2, 99},
                {"{2,4}", 2, 4},  {"{0}", 0, 0}, {"{0,2}", 0, 2},   {"{0,}", 0, 99}, {"{ 1 , 3 }", 1, 3},
                {"{2}{2}", 4, 4}, {"+?", 0, 99}, {"{1,2}{2}", 2, 4}};
    static const char *const bodies[] = {"\"ab\"", "[a] \"b\"", "x", "( \"a\" \"b\" | \"cd\" \"e\" )", "\"a\"? \"ab\""};
    for (size_t r = 0; r < sizeof rows / sizeof rows[0]; r++) {
        for (size_t b = 0; b < 4; b++) {
            char grammar[128], text[64] = "";
            snprintf(grammar, sizeof grammar, b == 1 ? "root ::= ( %s )%s\nx ::= \"ab\"" : "root ::= %s%s\nx ::= \"ab\"",
                     bodies[b], rows[r].suffix);
            for (unsigned n = 0; n <= 6; n++) {
                if (accepts(grammar, text) != (n >= rows[r].min && n <= rows[r].max))
                    test_fail(__FILE__, __LINE__, "%s with '%s'", grammar, text);
                strcat(text, "ab");
            }
        }
    }
    /* What may be empty, or begins with itself, within repetitions. */
    CHECK(accepts("root ::= ( \"a\"? )* ( \"b\"* )+ ( | \"c\" ){3}", "aabcc"));
    CHECK(accepts("root ::= ( ws \"x\" ws )*\nws ::= \" \"*", "  x x   x "));
    CHECK(accepts("root ::= ( ws )* \"x\"\nws ::= \" \"*", "   x"));
}

TEST(grammar, errors_name_the_place_what_was_found_and_what_is_allowed)
{
    refuses("", EL_E_FORMAT, "grammar: no rule 'root'");
    refuses("a ::= \"x\"", EL_E_FORMAT, "no rule 'root', with which a text begins, among 1 rules");
    refuses("root ::= \"a\" b", EL_E_FORMAT, "line 1, column 14: rule 'b' is not defined");
    refuses("root ::= \"\u65e5\" b", EL_E_FORMAT, "line 1, column 14: rule 'b' is not defined");
    refuses("root ::= \"a\"\n\nroot ::= \"b\"", EL_E_FORMAT, "line 3, column 1: rule 'root' is defined for the second time");
    refuses("root \"a\"", EL_E_FORMAT, "line 1, column 6: found '\"', expected '::='");
    refuses("my_rule ::= \"a\"", EL_E_FORMAT, "found '_', expected '::=' after the name of a rule (letters, digits and '-')");
    refuses("root ::= \"a", EL_E_FORMAT, "column 10: found a text without its closing '\"'");
    refuses("root ::= [a", EL_E_FORMAT, "column 10: found a class without its closing ']'");
    refuses("root ::= []", EL_E_FORMAT, "found an empty class");
    refuses("root ::= [^]", EL_E_FORMAT, "found an empty class");
    refuses("root ::= [z-a]", EL_E_FORMAT, "column 11: found a range from U+007A down to U+0061");
    refuses("root ::= [\\uD800-\\uDFFF]", EL_E_FORMAT, "found a class that no character is in");
    refuses("root ::= \"\\uD800\"", EL_E_FORMAT, "surrogate U+D800");
    refuses("root ::= \"\\U00110000\"", EL_E_FORMAT, "U+00110000, the highest character is U+10FFFF");
    refuses("root ::= \"\\q\"", EL_E_FORMAT, "found 'q', expected an escape");
    refuses("root ::= \"\\x4\"", EL_E_FORMAT, "found '\"', expected 2 hexadecimal digits after \\x");
    refuses("root ::= \"\xff\"", EL_E_FORMAT, "byte 0xff is not UTF-8 text");
    refuses("root ::= ( \"a\"", EL_E_FORMAT, "found the end of the text, expected an item, '|' or the ')' of this group");
    refuses("root ::= \"a\" )", EL_E_FORMAT, "column 14: found ')', expected an item, '|' or the end of the rule");
    refuses("root ::= * \"a\"", EL_E_FORMAT, "found '*', expected an item before it");
    refuses("root ::= \"a\"{2,1}", EL_E_FORMAT, "found {2,1}, expected the smaller number first");
    refuses("root ::= \"a\"{,1}", EL_E_FORMAT, "found ',', expected a number of repetitions");
    refuses("root ::= \"a\"{1;2}", EL_E_FORMAT, "found ';', expected ',' or '}'");
    refuses("root ::= \"a\"{1000000}", EL_E_FORMAT, "as a number of repetitions, at most 100000");
    refuses("root ::= <think>", EL_E_FORMAT, "found a reference to a token, but there is no vocabulary here");
    refuses("root ::= !\"a\"", EL_E_FORMAT, "expected a token after '!'");
    refuses("root ::= ( ( .{100000} ){0,100000} ){12} | .{99999} | .{99999}", EL_E_UNSUPPORTED, "the rules are too large");
}

TEST(grammar, left_recursion_and_endless_rules_are_refused)
{
    static const char message[] = "begins with itself (left recursion)";
    refuses("root ::= root \"a\" | \"b\"", EL_E_FORMAT, message);
    refuses("root ::= a\na ::= b \"x\" | \"y\"\nb ::= a", EL_E_FORMAT, message);
    refuses("root ::= \"x\"? root \"a\" | \"b\"", EL_E_FORMAT, message);
    refuses("root ::= e root \"a\" | \"b\"\ne ::= \"x\"*", EL_E_FORMAT, message);
    refuses("root ::= ( root )* \"a\"", EL_E_FORMAT, message);
    refuses("root ::= \"a\" root", EL_E_FORMAT, "rule 'root' never ends");
    refuses("root ::= \"a\" | b\nb ::= \"(\" b \")\"", EL_E_FORMAT, "line 2, column 1: rule 'b' never ends");
    CHECK(accepts("root ::= \"a\" root | \"b\"", "aaab"));
    CHECK(accepts("root ::= \"a\" root \"c\" | \"b\"", "aabcc"));
    CHECK(!accepts("root ::= \"a\" root \"c\" | \"b\"", "aabc"));
}

TEST(grammar, nesting_is_limited)
{
    struct el_buf b;
    struct el_err err;
    struct el_grammar *g;
    bool yes;
    el_buf_init(&b);
    el_buf_add_str(&b, "root ::= ");
    for (int i = 0; i < 201; i++)
        el_buf_add_str(&b, "(");
    refuses(b.data, EL_E_FORMAT, "nested deeper than 200 groups");
    el_buf_reset(&b);
    el_buf_add_str(&b, "root ::= \"a\"");
    for (int i = 0; i < 201; i++)
        el_buf_add_str(&b, "+");
    refuses(b.data, EL_E_FORMAT, "nested deeper than 200 groups");
    el_buf_reset(&b);
    g = parse("root ::= \"(\" root \")\" | \"x\"", NULL);
    REQUIRE(g);
    for (int i = 0; i < 1900; i++)
        el_buf_add_str(&b, "(");
    el_buf_add_str(&b, "x");
    for (int i = 0; i < 1900; i++)
        el_buf_add_str(&b, ")");
    CHECK_OK(el_grammar_accepts(g, b.data, b.nbytes, &yes, NULL, &err), err);
    CHECK(yes);
    for (int i = 0; i < 20; i++) /* only the opening ones count */
        el_buf_add_str(&b, ")");
    CHECK_OK(el_grammar_accepts(g, b.data, b.nbytes, &yes, NULL, &err), err);
    CHECK(!yes);
    el_buf_reset(&b);
    for (int i = 0; i < 2100; i++)
        el_buf_add_str(&b, "(");
    CHECK_EQ_INT(el_grammar_accepts(g, b.data, b.nbytes, &yes, NULL, &err), EL_E_UNSUPPORTED);
    CHECK(strstr(err.text, "more than 2000 rules within rules"));
    el_grammar_close(g);
    el_buf_release(&b);
}

/* 2^n ways to read a text of n letters stay one entry per rule. */
TEST(grammar, ambiguity_costs_no_more_than_the_rules)
{
    static const char grammar[] = "root ::= s\ns ::= \"a\" s \"b\" | \"a\" s \"c\" | \"a\" s s | \"a\" | \"d\"";
    enum { N = 601 + 600 };
    char text[N];
    memset(text, 'a', 600);
    for (int i = 600; i < N; i++)
        text[i] = i % 3 ? 'b' : 'c';
    text[600] = 'd';
    struct el_grammar *const g = parse(grammar, NULL);
    struct el_err err;
    size_t n_prefix;
    bool yes;
    REQUIRE(g);
    CHECK_OK(el_grammar_accepts(g, text, N, &yes, &n_prefix, &err), err);
    CHECK_EQ_INT(n_prefix, N);
    CHECK(yes);
    el_grammar_close(g);
    CHECK(accepts("root ::= ( [a-z]+ ){0,50}", "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz"));
}

/* Every character of a class, and none beside it, at the ends of the lengths of UTF-8. */
TEST(grammar, classes_are_exact_in_utf8)
{
    static const uint32_t edges[] = {0,       1,       0x7e,    0x7f,    0x80,    0x81,     0x7fe,    0x7ff,   0x800,
                                     0x801,   0xfff,   0x1000,  0xd7fe,  0xd7ff,  0xe000,   0xe001,   0xfffe,  0xffff,
                                     0x10000, 0x10001, 0x3ffff, 0x40000, 0xfffff, 0x100000, 0x10fffe, 0x10ffff};
    enum { N = sizeof edges / sizeof edges[0] };
    for (size_t i = 0; i < N; i++) {
        for (size_t k = i; k < N; k++) {
            char grammar[64];
            struct el_err err;
            snprintf(grammar, sizeof grammar, "root ::= [\\U%08X-\\U%08X]", (unsigned)edges[i], (unsigned)edges[k]);
            struct el_grammar *const g = parse(grammar, NULL);
            REQUIRE(g);
            for (size_t j = 0; j < N; j++) {
                char text[4];
                bool yes;
                const size_t n = el_utf8_encode(edges[j], text);
                CHECK_OK(el_grammar_accepts(g, text, n, &yes, NULL, &err), err);
                if (yes != (j >= i && j <= k))
                    test_fail(__FILE__, __LINE__, "%s and U+%04X", grammar, (unsigned)edges[j]);
            }
            static const char *const ill[] = {"\x80",         "\xc0\x80",         "\xc1\xbf", "\xe0\x80\x80",
                                              "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xff",     "\xe2\x82"};
            for (size_t j = 0; j < sizeof ill / sizeof ill[0]; j++) {
                bool yes;
                CHECK_OK(el_grammar_accepts(g, ill[j], strlen(ill[j]), &yes, NULL, &err), err);
                CHECK(!yes);
            }
            el_grammar_close(g);
        }
    }
}

/* ---- tokens ---- */

/* Bytes, some words with and without spaces, halves of characters, a control token, one that ends a text. */
static const char *const words[] = {"<unk>",   "<s>",    "</s>",         "<tool>",   "a",  "ab",  "abc",    "b",
                                    "\u2581a", "\u2581", "\u2581\u2581", "{",        "\"", "\":", "\u65e5", "\u65e5\u672c",
                                    "}\"",     "c",      "abcabc",       "\u2581ab", "1",  "12",  "123"};
enum { N_WORDS = sizeof words / sizeof words[0], N_VOCAB = N_WORDS + 256, TOOL = 3, EOS = 2 };

static struct el_tokenizer *small_tokenizer(void)
{
    static char bytes[256][8];
    const char *text[N_VOCAB];
    int32_t type[N_VOCAB];
    float score[N_VOCAB];
    for (size_t i = 0; i < N_VOCAB; i++) {
        if (i >= N_WORDS)
            snprintf(bytes[i - N_WORDS], 8, "<0x%02X>", (unsigned)(i - N_WORDS));
        text[i] = i < N_WORDS ? words[i] : bytes[i - N_WORDS];
        type[i] = i == 0 ? 2 : i < 4 ? 3 : i < N_WORDS ? 1 : 6;
        score[i] = -(float)i;
    }
    struct el_err err;
    struct el_tokenizer *tok = NULL;
    struct el_meta *const m = el_meta_new();
    CHECK_OK(el_meta_set_str(m, "tokenizer.ggml.model", "llama", 5, &err), err);
    CHECK_OK(el_meta_set_str_array(m, "tokenizer.ggml.tokens", text, NULL, N_VOCAB, &err), err);
    CHECK_OK(el_meta_set_array(m, "tokenizer.ggml.token_type", EL_META_I32, type, N_VOCAB, &err), err);
    CHECK_OK(el_meta_set_array(m, "tokenizer.ggml.scores", EL_META_F32, score, N_VOCAB, &err), err);
    CHECK_OK(el_tokenizer_from_meta(m, &tok, &err), err);
    el_meta_free(m);
    return tok;
}

static bool allowed(const uint64_t *mask, int32_t id)
{
    return mask[id / 64] >> id % 64 & 1;
}

/* Is text + token the beginning of a text of the grammar? Tried from the start. */
static bool leads_on(const struct el_grammar *g, const struct el_buf *text, const struct el_tokenizer *tok, int32_t id)
{
    struct el_buf all;
    struct el_err err;
    size_t n_prefix = 0;
    bool yes;
    el_buf_init(&all);
    el_buf_add(&all, text->data, text->nbytes);
    el_tok_add_text(tok, id, &all);
    if (all.nbytes > text->nbytes)
        CHECK_OK(el_grammar_accepts(g, all.data, all.nbytes, &yes, &n_prefix, &err), err);
    const bool leads = all.nbytes > text->nbytes && n_prefix == all.nbytes;
    el_buf_release(&all);
    return leads;
}

TEST(grammar, masks_are_what_trying_every_token_gives)
{
    static const char *const grammars[] = {
        "root ::= ( \"ab\" | \"abc\" | \" \" )+ \"{\"? [\u65e5\u672c]{1,2}",
        "root ::= obj\nobj ::= \"{\" ( str \":\" ( obj | num ) ( \",\" str \":\" ( obj | num ) )* )? \"}\"\nstr ::= \"\\\"\" "
        "[^\"]{0,5} "
        "\"\\\"\"\nnum ::= [1-3]{2,4}",
        "root ::= s\ns ::= \"a\" s \"b\" | \"a\" s \"c\" | \"a\" s s | \"1\" | \" \"",
        "root ::= .{1,9} | [\\U00010000-\\U0010FFFF]+",
    };
    struct el_tokenizer *const tok = small_tokenizer();
    REQUIRE(tok);
    uint64_t seed = 5;
    for (size_t i = 0; i < sizeof grammars / sizeof grammars[0]; i++) {
        struct el_grammar *const g = parse(grammars[i], tok);
        REQUIRE(g);
        for (int round = 0; round < 3; round++) {
            struct el_err err;
            struct el_grammar_run *run = NULL;
            struct el_buf text;
            el_buf_init(&text);
            CHECK_OK(el_grammar_run_open(g, false, &run, &err), err);
            for (int step = 0; run && step < 8; step++) {
                const uint64_t *const mask = el_grammar_run_mask(run, &err);
                int32_t choices[N_VOCAB];
                size_t n = 0;
                bool whole;
                REQUIRE(mask);
                for (int32_t id = 0; id < N_VOCAB; id++) {
                    const bool want = id != EOS && id != TOOL && id > 1 && leads_on(g, &text, tok, id);
                    if (id != EOS && allowed(mask, id) != want)
                        test_fail(__FILE__, __LINE__, "%s: token %d behind '%s': %d", grammars[i], (int)id, text.data, !want);
                    if (want)
                        choices[n++] = id;
                }
                CHECK_OK(el_grammar_accepts(g, text.data, text.nbytes, &whole, NULL, &err), err);
                CHECK_EQ_INT(allowed(mask, EOS), whole);
                CHECK_EQ_INT(el_grammar_run_can_end(run), whole);
                if (n == 0)
                    break;
                const int32_t id = choices[test_rand(&seed) % n];
                CHECK_OK(el_grammar_run_accept(run, id, &err), err);
                el_tok_add_text(tok, id, &text);
            }
            el_grammar_run_close(run);
            el_buf_release(&text);
        }
        el_grammar_close(g);
    }
    el_tokenizer_close(tok);
}

TEST(grammar, tokens_can_be_named)
{
    struct el_tokenizer *const tok = small_tokenizer();
    struct el_err err;
    struct el_grammar *g = NULL;
    struct el_grammar_run *run = NULL;
    REQUIRE(tok);
    g = parse("root ::= <tool> !<[4]>{2} \"ab\" <[2]>", tok);
    REQUIRE(g);
    CHECK_OK(el_grammar_run_open(g, false, &run, &err), err);
    const uint64_t *mask = el_grammar_run_mask(run, &err);
    REQUIRE(mask);
    for (int32_t id = 0; id < N_VOCAB; id++)
        CHECK_EQ_INT(allowed(mask, id), id == TOOL);
    CHECK_OK(el_grammar_run_accept(run, TOOL, &err), err);
    mask = el_grammar_run_mask(run, &err);
    REQUIRE(mask);
    CHECK(allowed(mask, 5) && allowed(mask, TOOL) && !allowed(mask, 4) && !allowed(mask, 0) && !allowed(mask, EOS));
    CHECK_OK(el_grammar_run_accept(run, 6, &err), err);
    CHECK_OK(el_grammar_run_accept(run, 7, &err), err);
    mask = el_grammar_run_mask(run, &err);
    REQUIRE(mask);
    CHECK(allowed(mask, 4) && allowed(mask, 5) && !allowed(mask, 6) && !allowed(mask, TOOL));
    CHECK_OK(el_grammar_run_accept(run, 5, &err), err);
    mask = el_grammar_run_mask(run, &err);
    REQUIRE(mask);
    for (int32_t id = 0; id < N_VOCAB; id++)
        CHECK_EQ_INT(allowed(mask, id), id == EOS);
    CHECK(!el_grammar_run_can_end(run));
    CHECK_OK(el_grammar_run_accept(run, EOS, &err), err);
    CHECK(el_grammar_run_can_end(run));
    el_grammar_run_close(run);
    el_grammar_close(g);
    CHECK_EQ_INT(el_grammar_parse("root ::= <ab>", 13, NULL, tok, &g, &err), EL_E_FORMAT);
    CHECK(strstr(err.text, "tokens of this model, not one"));
    CHECK_EQ_INT(el_grammar_parse("root ::= <[279]>", 16, NULL, tok, &g, &err), EL_E_FORMAT);
    CHECK(strstr(err.text, "the id of a token, at most 278"));
    el_tokenizer_close(tok);
}

/* At the start of a text the first space is taken off by decoding, and so does not count. */
TEST(grammar, the_first_space_of_a_text_does_not_count)
{
    struct el_tokenizer *const tok = small_tokenizer();
    struct el_err err;
    struct el_grammar_run *run = NULL;
    REQUIRE(tok);
    struct el_grammar *const g = parse("root ::= \"a \"", tok);
    REQUIRE(g);
    for (int start = 0; start < 2; start++) {
        CHECK_OK(el_grammar_run_open(g, start == 1, &run, &err), err);
        const uint64_t *const mask = el_grammar_run_mask(run, &err);
        REQUIRE(mask);
        CHECK(allowed(mask, 4) && !allowed(mask, 9) && !allowed(mask, 10)); /* "a", " ", "  " */
        CHECK_EQ_INT(allowed(mask, 8), start);                              /* " a" */
        CHECK_OK(el_grammar_run_accept(run, start ? 8 : 4, &err), err);
        const uint64_t *const next = el_grammar_run_mask(run, &err);
        REQUIRE(next);
        CHECK(allowed(next, 9) && !allowed(next, 8) && !allowed(next, 10));
        el_grammar_run_close(run);
    }
    el_grammar_close(g);
    el_tokenizer_close(tok);
}

TEST(grammar, a_token_that_is_not_allowed_ends_the_run)
{
    struct el_tokenizer *const tok = small_tokenizer();
    struct el_err err;
    struct el_grammar_run *run = NULL;
    struct el_sampler *s = NULL;
    REQUIRE(tok);
    struct el_grammar *const g = parse("root ::= \"ab\"", tok), *const other = parse("root ::= \"x\"", NULL);
    REQUIRE(g && other);
    CHECK_EQ_INT(el_grammar_run_open(other, false, &run, &err), EL_E_USAGE);
    CHECK_OK(el_grammar_run_open(g, false, &run, &err), err);
    CHECK_OK(el_sampler_open(NULL, N_VOCAB, &s, &err), err);
    float logits[N_VOCAB] = {0};
    logits[7] = 50; /* "b", which may not come first */
    logits[5] = 10;
    el_sampler_set_grammar(s, run);
    CHECK_EQ_INT(el_sampler_pick(s, logits), 5);
    el_sampler_accept(s, 5);
    CHECK_EQ_INT(el_sampler_pick(s, logits), EOS);
    el_sampler_accept(s, 7);
    CHECK_EQ_INT(el_sampler_pick(s, logits), -1);
    CHECK_EQ_INT(el_grammar_run_check(run, &err), EL_E_USAGE);
    CHECK(strstr(err.text, "token 7 is not one that the grammar allows here"));
    CHECK(!el_grammar_run_can_end(run));
    el_sampler_set_grammar(s, NULL);
    CHECK_EQ_INT(el_sampler_pick(s, logits), 7);
    el_sampler_close(s);
    el_grammar_run_close(run);
    el_grammar_close(g);
    el_grammar_close(other);
    el_tokenizer_close(tok);
}

TEST(grammar, choosing_takes_no_memory)
{
    struct el_tokenizer *const tok = small_tokenizer();
    struct el_err err;
    struct el_grammar_run *run = NULL;
    REQUIRE(tok);
    struct el_grammar *const g = parse("root ::= \"{\" root \"}\" | [a-c \"]{0,9} | .{0,50}", tok);
    REQUIRE(g);
    CHECK_OK(el_grammar_run_open(g, false, &run, &err), err);
    const uint64_t before = el_mem_count();
    uint64_t seed = 1;
    for (int step = 0; step < 20; step++) {
        const uint64_t *const mask = el_grammar_run_mask(run, &err);
        REQUIRE(mask);
        int32_t id = (int32_t)(test_rand(&seed) % N_VOCAB);
        while (!allowed(mask, id) || id == EOS)
            id = (id + 1) % N_VOCAB;
        CHECK_OK(el_grammar_run_accept(run, id, &err), err);
    }
    CHECK_EQ_INT(el_mem_count(), before);
    el_grammar_run_close(run);
    el_grammar_close(g);
    el_tokenizer_close(tok);
}

/* Room for few states only: what is needed again is made again, and the answers are the same. */
TEST(grammar, states_that_are_dropped_are_made_again)
{
    static const struct el_gmatch_limits tiny = {16, 400, 128, 400};
    struct el_grammar *const g =
        parse("root ::= v\nv ::= \"[\" ( v ( \",\" v )* )? \"]\" | \"{\" ( k \":\" v )? \"}\" | k\nk ::= [a-z]{1,20}", NULL);
    struct el_gmatch *m = NULL;
    struct el_err err;
    REQUIRE(g);
    CHECK_OK(el_gmatch_open(g, &tiny, &m, &err), err);
    uint32_t state, next;
    uint64_t seed = 9;
    CHECK_OK(el_gmatch_start(m, &state, &err), err);
    const uint64_t before = el_gmatch_generation(m);
    char text[300];
    size_t n = 0;
    for (unsigned tries = 0; n < sizeof text && tries < 5000; tries++) {
        const uint8_t byte = (uint8_t)(n == 0 ? '[' : "[[[{{:,,aabcxyz}]"[test_rand(&seed) % (n < 250 ? 16 : 17)]);
        bool yes;
        size_t n_prefix;
        text[n] = (char)byte;
        CHECK_OK(el_gmatch_step(m, &state, 1, byte, &next, &err), err);
        CHECK_OK(el_grammar_accepts(g, text, n + 1, &yes, &n_prefix, &err), err);
        CHECK_EQ_INT(next != EL_G_DEAD, n_prefix == n + 1);
        if (next == EL_G_DEAD)
            continue;
        state = next;
        n++;
        CHECK_EQ_INT(el_gmatch_can_end(m, state), yes);
    }
    CHECK(n > 250 && el_gmatch_generation(m) > before + 1);
    el_gmatch_close(m);
    el_grammar_close(g);
}

TEST(grammar, every_allocation_may_fail)
{
    static const char text[] = "root ::= ( \"a\" | [\u65e5\u672c] x )* \"end\"{3}\nx ::= [^a-z]+";
    struct el_tokenizer *const tok = small_tokenizer();
    struct el_err err;
    REQUIRE(tok);
    for (uint64_t n = 1; n < 500; n++) {
        struct el_grammar *g = NULL;
        struct el_grammar_run *run = NULL;
        el_mem_fail_after(n);
        enum el_status status = el_grammar_parse(text, strlen(text), NULL, tok, &g, &err);
        if (status == EL_OK)
            status = el_grammar_run_open(g, false, &run, &err);
        el_mem_fail_after(0);
        if (status != EL_OK)
            CHECK_EQ_INT(status, EL_E_MEMORY);
        el_grammar_run_close(run);
        el_grammar_close(g);
        if (status == EL_OK)
            break;
        CHECK(n < 499);
    }
    el_tokenizer_close(tok);
}
