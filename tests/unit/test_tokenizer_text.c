/* What tokenizers are made of: patterns, normalization, and the time that hostile texts and patterns take. */
#include <time.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "edgellm.h"
#include "test.h"
#include "text/normalize.h"
#include "text/regex.h"
#include "text/tokenizer.h"
#include "text/tokenizer_pre.h"

static struct el_err err;

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* ---- patterns ---- */

/* All matches of pattern in text, separated by '|'. */
static void check_matches(const char *pattern, const char *text, const char *want)
{
    struct el_regex *re;
    struct el_regex_run *run;
    REQUIRE_OK(el_regex_open(pattern, strlen(pattern), &re, &err), err);
    REQUIRE_OK(el_regex_run_open(&run, &err), err);
    struct el_buf b;
    el_buf_init(&b);
    const size_t n = strlen(text);
    for (size_t from = 0; from <= n;) {
        size_t begin, end;
        bool found;
        CHECK_OK(el_regex_find(re, run, text, n, from, &begin, &end, &found, &err), err);
        if (!found)
            break;
        el_buf_addf(&b, "%s%.*s", b.nbytes ? "|" : "", (int)(end - begin), text + begin);
        from = end > begin ? end : end + 1;
    }
    if (strcmp(b.data, want) != 0)
        test_fail(__FILE__, __LINE__, "'%s' on '%s': got '%s', want '%s'", pattern, text, b.data, want);
    el_buf_release(&b);
    el_regex_close(re);
    el_regex_run_close(run);
}

TEST(tokenizer_regex, dialect)
{
    check_matches("\\s+", "a \xe1\xa0\x8e\xc2\xa0 b\xe3\x80\x80\xc2\x85", " |\xc2\xa0 |\xe3\x80\x80\xc2\x85"); /* not U+180E */
    check_matches("\\S+", "a \xe1\xa0\x8e b", "a|\xe1\xa0\x8e|b");
    check_matches("[^\\s\\p{L}]+", "a1 2\xc2\xa0-b", "1|2|-");
    check_matches("[\\S]+", "ab c", "ab|c");
    check_matches("\\w+", "a_1\xcc\x81 \xc2\xb2-\xc3\xa9", "a_1\xcc\x81|\xc2\xb2|\xc3\xa9");
    check_matches("\\W+", "a-b", "-");
    check_matches("[\\w-]+", "a-b c", "a-b|c");
    check_matches("\\h+", "xfFg", "fF");
    check_matches("\\H+", "xfFg", "x|g");
    check_matches("[\\h]+", "xa1g", "a1");
    check_matches("a\\vb",
                  "a\x0b"
                  "b",
                  "a\x0b"
                  "b");
    check_matches("\\u00e9", "\xc3\xa9", "\xc3\xa9");
    check_matches("a{,2}b", "aaab b", "aab|b");
    check_matches("a{2}|{", "aa{", "aa|{");
    check_matches("(?i:'s)|(?-i:x)", "'S'sXx", "'S|'s|x");
    check_matches("(?m:a.b)", "a\nb", "a\nb");
    check_matches("a.b", "a\nb", "");
    check_matches("^b$", "a\nb\nc", "b"); /* ^ and $ are of lines in Ruby */
    check_matches(" ?[^(\\s|[.,!?\xe2\x80\xa6])]+", "a, b(c", "a| b|c");
    check_matches("[]a]+", "a]b", "a]");
    check_matches("[^]a]+", "ba]", "b");
    check_matches("[[:alpha:]]+", "ab1", "ab");
    check_matches("(?=x)|b", "axbx", "b|"); /* an empty one on each side */
    check_matches("(?<=a)b|(?<!a)c|(?>x+)y", "abcxxy", "b|c|xxy");
    check_matches("\\p{Han}+|[^\\r\\n\\p{L}\\p{N}]?+\\p{L}++", "\xe6\xb0\xb4 ab", "\xe6\xb0\xb4| ab");
    char version[64];
    el_regex_version(version);
    CHECK(version[0] >= '0' && version[0] <= '9');
    CHECK(el_normalize_version()[0] >= '0');
}

static void check_refused(const char *pattern, size_t n, int status, const char *part)
{
    struct el_regex *re;
    const double start = seconds();
    CHECK_EQ_INT(el_regex_open(pattern, n, &re, &err), status);
    CHECK(re == NULL);
    if (!strstr(err.text, part))
        test_fail(__FILE__, __LINE__, "'%s' lacks '%s'", err.text, part);
    CHECK(seconds() - start < 1);
}

TEST(tokenizer_regex, refuses)
{
    static const struct {
        const char *pattern;
        int status;
        const char *part;
    } bad[] = {
        {"(a", EL_E_FORMAT, "pattern '(a'"},
        {"a)", EL_E_FORMAT, "pattern 'a)'"},
        {"[a", EL_E_FORMAT, "class without ]"},
        {"[[:alpha", EL_E_FORMAT, "[: without :]"},
        {"a\\", EL_E_FORMAT, "ends with a backslash"},
        {"\\u12", EL_E_FORMAT, "four hexadecimal"},
        {"\\u12g4", EL_E_FORMAT, "four hexadecimal"},
        {"*", EL_E_FORMAT, "pattern '*'"},
        {"\\p{Klingon}", EL_E_FORMAT, "pattern"},
        {"\xff", EL_E_FORMAT, "not valid UTF-8"},
        {"(?<=a+)b", EL_E_FORMAT, "pattern"},
        {"[a&&b]", EL_E_UNSUPPORTED, "&&"},
        {"[a[^b]]", EL_E_UNSUPPORTED, "negated class"},
        {"[\\W]", EL_E_UNSUPPORTED, "within a class"},
        {"(?R)", EL_E_UNSUPPORTED, "group"},
        {"(?1)", EL_E_UNSUPPORTED, "group"},
        {"(?P<n>a)", EL_E_UNSUPPORTED, "group"},
        {"(*UTF)a", EL_E_UNSUPPORTED, "verb"},
        {"a\\K", EL_E_UNSUPPORTED, "\\K"},
        {"\\Qa\\E", EL_E_UNSUPPORTED, "\\Q"},
        {"\\C", EL_E_UNSUPPORTED, "\\C"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        check_refused(bad[i].pattern, strlen(bad[i].pattern), bad[i].status, bad[i].part);
    const size_t n = 1 << 20;
    char *const huge = malloc(n);
    REQUIRE(huge);
    memset(huge, 'a', n);
    check_refused(huge, n, EL_E_UNSUPPORTED, "1048576 bytes");
    memset(huge, '(', n);
    check_refused(huge, EL_MAX_PATTERN, EL_E_FORMAT, "pattern");
    for (size_t i = 0; i + 8 <= EL_MAX_PATTERN; i += 8)
        memcpy(huge + i, "\\p{L}{9}", 8);
    struct el_regex *re;
    const double start = seconds();
    (void)!el_regex_open(huge, EL_MAX_PATTERN, &re, &err); /* large either way: only the time counts */
    CHECK(seconds() - start < 2);
    el_regex_close(re);
    free(huge);
    el_regex_close(NULL);
    el_regex_run_close(NULL);
}

TEST(tokenizer_regex, endless_backtracking_stops)
{
    static const char *const patterns[] = {"(a+)+$", "(a|aa)+$", "(?:a*)*b", "(a*)*\\1c"};
    char text[64];
    memset(text, 'a', 50);
    text[50] = '!';
    for (size_t i = 0; i < 4; i++) {
        struct el_regex *re;
        struct el_regex_run *run;
        REQUIRE_OK(el_regex_open(patterns[i], strlen(patterns[i]), &re, &err), err);
        REQUIRE_OK(el_regex_run_open(&run, &err), err);
        size_t begin, end;
        bool found;
        const double start = seconds();
        const int status = (int)el_regex_find(re, run, text, 51, 0, &begin, &end, &found, &err);
        CHECK(status == EL_OK || status == EL_E_FORMAT);
        if (i == 0) {
            CHECK_EQ_INT(status, EL_E_FORMAT);
            CHECK(strstr(err.text, "limit"));
        }
        CHECK(seconds() - start < 5); /* sanitizers included */
        el_regex_run_close(run);
        el_regex_close(re);
    }
}

/* ---- pre-tokenizers ---- */

struct words {
    struct el_buf out;
};

static enum el_status add_word(void *user, const char *word, size_t nbytes, struct el_err *e)
{
    struct words *const w = user;
    (void)e;
    el_buf_addf(&w->out, "%s%.*s", w->out.nbytes ? "|" : "", (int)nbytes, word);
    return EL_OK;
}

static void check_words(const char *name, const char *text, const char *want)
{
    const struct el_pre_name *const p = el_pre_by_name(name);
    REQUIRE(p);
    struct el_pre pre = {.n = 0};
    for (size_t i = 0; p->patterns[i]; i++)
        CHECK_OK(el_pre_add_regex(&pre, p->patterns[i], EL_SPLIT_ISOLATED, false, &err), err);
    struct el_regex_run *run;
    REQUIRE_OK(el_regex_run_open(&run, &err), err);
    struct words w;
    el_buf_init(&w.out);
    CHECK_OK(el_pre_run(&pre, run, text, strlen(text), true, add_word, &w, &err), err);
    if (strcmp(w.out.data, want) != 0)
        test_fail(__FILE__, __LINE__, "%s on '%s': got '%s', want '%s'", name, text, w.out.data, want);
    el_buf_release(&w.out);
    el_regex_run_close(run);
    el_pre_release(&pre);
}

TEST(tokenizer_pre, words)
{
    check_words("gpt-2", "I can't  do 123\n x", "I| can|'t| | do| 123|\n| x");
    check_words("llama-bpe", "I CAN'T 12345\r\n\n x!?", "I| CAN|'T| |123|45|\r\n\n| x|!?");
    check_words("qwen2", "a 12", "a| |1|2");
    check_words("starcoder", "a 12 b", "a| |1|2| b");
    check_words("deepseek-coder", "a\xe6\xb0\xb4 12\r\n.", "a|\xe6\xb0\xb4| |1|2|\r|\n|.");
    check_words("deepseek-llm", "a b  \nc   ", "a| b|  |\n|c|   ");
    check_words("falcon", "a+b 1234", "a|+|b| |123|4");
    check_words("default", "a+b 1234", "a|+|b| |123|4");
    check_words("tekken", "HelloWorld x", "Hello|World| x");
    check_words("bloom", "a, b.", "a|,| b|.");
    check_words("gpt-2", "", "");
    CHECK(el_pre_by_name("nothing") == NULL);
    struct el_buf b;
    el_buf_init(&b);
    el_pre_names(&b);
    CHECK(strstr(b.data, "gpt-2, llama-bpe, qwen2"));
    el_buf_release(&b);
}

TEST(tokenizer_pre, recognises_names)
{
    static const struct {
        const char *name;
        const char *patterns[6];
        bool ignore_merges;
    } cases[] = {
        {"gpt-2", {"'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"}, false},
        {"starcoder", {"\\p{N}", "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"}, false},
        {"deepseek-coder",
         {"[\r\n]", "\\s?\\p{L}+", "\\s?\\p{P}+",
          "[\xe4\xb8\x80-\xe9\xbe\xa5\xe0\xa0\x80-\xe4\xb8\x80\xea\xb0\x80-\xed\x9f\xbf]+", "\\p{N}"},
         false},
        {NULL, {"\\p{L}+"}, false},
        {NULL, {NULL}, false},
        /* That whole words come first is no part of the name, where no name has it. */
        {"gpt-2", {"'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"}, true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct el_pre pre = {.n = 0};
        for (size_t k = 0; k < 6 && cases[i].patterns[k]; k++)
            CHECK_OK(el_pre_add_regex(&pre, cases[i].patterns[k], EL_SPLIT_ISOLATED, false, &err), err);
        const char *const got = el_pre_recognise(&pre, cases[i].ignore_merges);
        if (cases[i].name)
            CHECK_EQ_STR(got, cases[i].name);
        else
            CHECK(got == NULL);
        el_pre_release(&pre);
    }
    struct el_pre pre = {.n = 0}; /* steps that no name has */
    CHECK_OK(el_pre_add(&pre, EL_PS_LITERAL, "x", EL_SPLIT_ISOLATED, &err), err);
    CHECK(el_pre_recognise(&pre, false) == NULL);
    el_pre_release(&pre);
    for (int i = 0; i < 64; i++)
        CHECK_OK(el_pre_add(&pre, EL_PS_LITERAL, "x", EL_SPLIT_ISOLATED, &err), err);
    CHECK_EQ_INT(el_pre_add(&pre, EL_PS_LITERAL, "x", EL_SPLIT_ISOLATED, &err), EL_E_UNSUPPORTED);
    el_pre_release(&pre);
}

/* ---- normalization ---- */

static void check_form(enum el_norm_form form, const char *text, const char *want)
{
    struct el_buf out;
    el_buf_init(&out);
    CHECK_OK(el_normalize(form, text, strlen(text), &out, &err), err);
    if (strcmp(out.data, want) != 0)
        test_fail(__FILE__, __LINE__, "form %d of '%s': got '%s', want '%s'", (int)form, text, out.data, want);
    el_buf_release(&out);
}

TEST(tokenizer_normalize, forms)
{
    check_form(EL_NORM_NFC, "plain", "plain");
    check_form(EL_NORM_NFC, "e\xcc\x81", "\xc3\xa9");
    check_form(EL_NORM_NFD, "\xc3\xa9", "e\xcc\x81");
    check_form(EL_NORM_NFC, "\xe2\x84\xab", "\xc3\x85");     /* ANGSTROM SIGN is a singleton */
    check_form(EL_NORM_NFC, "\xef\xac\x81", "\xef\xac\x81"); /* the ligature fi stays */
    check_form(EL_NORM_NFKC, "\xef\xac\x81\xe2\x91\xa0", "fi1");
    check_form(EL_NORM_NFKD, "\xef\xac\x81\xc3\xa9", "fie\xcc\x81");
    check_form(EL_NORM_NFC, "q\xcc\x87\xcc\xa3", "q\xcc\xa3\xcc\x87");               /* marks in canonical order */
    check_form(EL_NORM_NFD, "\xed\x95\x9c", "\xe1\x84\x92\xe1\x85\xa1\xe1\x86\xab"); /* Hangul */
    check_form(EL_NORM_NFC, "\xe1\x84\x92\xe1\x85\xa1\xe1\x86\xab", "\xed\x95\x9c");
    check_form(EL_NORM_NFC, "\xe0\xa5\x98", "\xe0\xa4\x95\xe0\xa4\xbc"); /* excluded from composition */
    check_form(EL_NORM_NFKC, "\xc2\xb4", " \xcc\x81");
}

/* Marks in any order come out sorted by class, stably, however many there are; checked against insertion on a short run. */
TEST(tokenizer_normalize, long_runs_of_marks)
{
    static const char *const marks[] = {"\xcc\x81", "\xcc\xa3", "\xcc\xb4", "\xcd\x85",
                                        "\xcc\x96"}; /* classes 230 220 1 240 220 */
    struct el_buf in, out, want;
    el_buf_init(&in);
    el_buf_init(&out);
    el_buf_init(&want);
    const int n = 200000;
    el_buf_add_byte(&in, 'q');
    for (int i = 0; i < n; i++)
        for (int k = 0; k < 5; k++)
            el_buf_add_str(&in, marks[k]);
    const double start = seconds();
    CHECK_OK(el_normalize(EL_NORM_NFD, in.data, in.nbytes, &out, &err), err);
    CHECK(seconds() - start < 3);
    el_buf_add_byte(&want, 'q');
    for (int i = 0; i < n; i++)
        el_buf_add_str(&want, marks[2]);
    for (int i = 0; i < n; i++) {
        el_buf_add_str(&want, marks[1]);
        el_buf_add_str(&want, marks[4]);
    }
    for (int i = 0; i < n; i++)
        el_buf_add_str(&want, marks[0]);
    for (int i = 0; i < n; i++)
        el_buf_add_str(&want, marks[3]);
    CHECK_EQ_INT(out.nbytes, want.nbytes);
    CHECK(memcmp(out.data, want.data, want.nbytes) == 0);
    el_buf_release(&in);
    el_buf_release(&out);
    el_buf_release(&want);
}

/* Cutting a long text into chunks changes nothing: the same sentence, whole and repeated. */
TEST(tokenizer_normalize, chunks_do_not_show)
{
    static const char unit[] = "e\xcc\x81 \xe1\x84\x92\xe1\x85\xa1\xe1\x86\xab\xef\xac\x81"
                               "a\xcc\xa3\xcc\x87 \xe2\x84\xab ";
    struct el_buf in, out, one;
    el_buf_init(&in);
    el_buf_init(&out);
    el_buf_init(&one);
    for (int i = 0; i < 9000; i++)
        el_buf_add_str(&in, unit);
    for (int form = EL_NORM_NFC; form <= EL_NORM_NFKD; form++) {
        el_buf_reset(&out);
        el_buf_reset(&one);
        CHECK_OK(el_normalize((enum el_norm_form)form, unit, strlen(unit), &one, &err), err);
        CHECK_OK(el_normalize((enum el_norm_form)form, in.data, in.nbytes, &out, &err), err);
        CHECK_EQ_INT(out.nbytes, 9000 * one.nbytes);
        bool same = true;
        for (int i = 0; same && i < 9000; i++)
            same = memcmp(out.data + (size_t)i * one.nbytes, one.data, one.nbytes) == 0;
        CHECK(same);
    }
    el_buf_release(&in);
    el_buf_release(&out);
    el_buf_release(&one);
}

TEST(tokenizer_normalize, classes)
{
    struct el_buf b;
    el_buf_init(&b);
    el_lowercase("AbC\xc3\x89\xc4\xb0\xe1\xba\x9e", strlen("AbC\xc3\x89\xc4\xb0\xe1\xba\x9e"), &b);
    CHECK_EQ_STR(b.data, "abc\xc3\xa9i\xcc\x87\xc3\x9f");
    el_buf_reset(&b);
    el_strip_marks("e\xcc\x81\xe2\x83\x9d!", 7, &b);
    CHECK_EQ_STR(b.data, "e!");
    el_buf_release(&b);
    CHECK(el_cp_is_space(' ') && el_cp_is_space(0x85) && el_cp_is_space(0x3000) && !el_cp_is_space(0x180e) &&
          !el_cp_is_space(0x200b));
    CHECK(el_cp_is_word('a') && el_cp_is_word('_') && el_cp_is_word(0x301) && el_cp_is_word(0x200d) && !el_cp_is_word('-'));
    CHECK(el_cp_is_number(0xbd) && el_cp_is_number('7') && !el_cp_is_number('a'));
    CHECK(el_cp_is_punctuation('$') && el_cp_is_punctuation('~') && el_cp_is_punctuation(0x3002) && !el_cp_is_punctuation('a') &&
          !el_cp_is_punctuation(0xa3) && !el_cp_is_punctuation('5') && !el_cp_is_punctuation(' '));
}

/* ---- time ---- */

/* A byte-level tokenizer.json in which every doubling of 'a' up to 64 is a token. */
static struct el_tokenizer *doubling(const char *normalizer)
{
    struct el_buf j;
    el_buf_init(&j);
    el_buf_addf(&j,
                "{\"added_tokens\":[{\"id\":263,\"content\":\"<x>\",\"special\":true,\"normalized\":false}],\"normalizer\":%s,"
                "\"pre_tokenizer\":{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"use_regex\":true},"
                "\"decoder\":{\"type\":\"ByteLevel\"},\"model\":{\"type\":\"BPE\",\"vocab\":{",
                normalizer);
    unsigned next = 0x100;
    for (unsigned b = 0; b < 256; b++) {
        const bool prints = (b >= 0x21 && b <= 0x7e) || (b >= 0xa1 && b <= 0xac) || b >= 0xae;
        char text[4];
        const size_t n = el_utf8_encode(prints ? b : next++, text);
        el_buf_add_json_str(&j, text, n);
        el_buf_addf(&j, ":%u,", b);
    }
    for (int i = 1, n = 2; i <= 6; i++, n *= 2)
        el_buf_addf(&j, "\"%.*s\":%d,", n, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", 255 + i);
    el_buf_add_str(&j, "\"<x>\":263},\"merges\":[");
    for (int i = 1, n = 1; i <= 6; i++, n *= 2) {
        const char *const a = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
        el_buf_addf(&j, "%s[\"%.*s\",\"%.*s\"]", i > 1 ? "," : "", n, a, n, a);
    }
    el_buf_add_str(&j, "]}}");
    struct el_meta *const m = el_meta_new();
    struct el_tokenizer *tok = NULL;
    CHECK_OK(el_tokenizer_import_hf(m, j.data, j.nbytes, NULL, 0, NULL, 0, 0, &err), err);
    CHECK_OK(el_tokenizer_from_meta(m, &tok, &err), err);
    el_meta_free(m);
    el_buf_release(&j);
    return tok;
}

TEST(tokenizer_time, a_normalizer_cannot_explode)
{
    /* Eight steps of 64 letters for one would make 2^48 bytes of a letter; by pattern and by string. */
    for (int regex = 0; regex < 2; regex++) {
        struct el_buf j;
        el_buf_init(&j);
        el_buf_add_str(&j, "{\"type\":\"Sequence\",\"normalizers\":[");
        for (int i = 0; i < 8; i++)
            el_buf_addf(&j, "%s{\"type\":\"Replace\",\"pattern\":{\"%s\":\"a\"},\"content\":\"%s%s\"}", i ? "," : "",
                        regex ? "Regex" : "String", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
        el_buf_add_str(&j, "]}");
        struct el_tokenizer *const tok = doubling(j.data);
        el_buf_release(&j);
        REQUIRE(tok);
        int32_t *ids = NULL;
        size_t n_ids = 0;
        CHECK_EQ_INT(el_encode(tok, "a", 1, 0, &ids, &n_ids, &err), EL_E_FORMAT);
        CHECK(strstr(err.text, "64 times as long"));
        CHECK_OK(el_encode(tok, "b", 1, 0, &ids, &n_ids, &err), err);
        CHECK_EQ_INT(n_ids, 1);
        el_free(ids);
        el_tokenizer_close(tok);
    }
}

static double time_of(const struct el_tokenizer *tok, const char *unit, size_t nbytes)
{
    char *const text = malloc(nbytes);
    const size_t n_unit = strlen(unit);
    for (size_t i = 0; i < nbytes; i++)
        text[i] = unit[i % n_unit];
    int32_t *ids;
    size_t n;
    const double start = seconds();
    CHECK_OK(el_encode(tok, text, nbytes, 0, &ids, &n, &err), err);
    const double took = seconds() - start;
    el_free(ids);
    free(text);
    return took;
}

/* Sixteen times the text must not take more than about sixteen times as long; a quadratic step would take 256. */
TEST(tokenizer_time, long_words_and_runs)
{
    static const char *const units[] = {"a", " ", "\n", "\xcc\x81\xcc\xa3", "<x", "'", "1", "ab ", "!\t", "\xe6\xb0\xb4", "<x>"};
    struct el_tokenizer *const toks[] = {doubling("null"), doubling("{\"type\":\"NFC\"}")};
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++) {
        for (int k = 0; k < 2; k++) {
            const size_t n = strlen(units[i]) * 20000;
            const double small = time_of(toks[k], units[i], n), large = time_of(toks[k], units[i], 16 * n);
            if (large > 64 * small + 0.5)
                test_fail(__FILE__, __LINE__, "'%s': %zu bytes take %.3f s, 16 times as many %.3f s", units[i], n, small, large);
        }
    }
    el_tokenizer_close(toks[0]);
    el_tokenizer_close(toks[1]);
}

/* Long words merge to the same ids as short ones: 2^20 + 3 letters are 64s, and then 2 + 1. */
TEST(tokenizer_time, long_word_is_right)
{
    struct el_tokenizer *const tok = doubling("null");
    const size_t n = (1 << 20) + 3;
    char *const text = malloc(n);
    REQUIRE(text);
    memset(text, 'a', n);
    int32_t *ids;
    size_t n_ids;
    REQUIRE_OK(el_encode(tok, text, n, 0, &ids, &n_ids, &err), err);
    CHECK_EQ_INT(n_ids, (n - 3) / 64 + 2);
    bool same = true;
    for (size_t i = 0; i + 2 < n_ids; i++)
        same = same && ids[i] == 261;
    CHECK(same);
    CHECK(ids[n_ids - 2] == 256 && ids[n_ids - 1] == 'a');
    char *back;
    size_t n_back;
    REQUIRE_OK(el_decode(tok, ids, n_ids, false, &back, &n_back, &err), err);
    CHECK(n_back == n && memcmp(back, text, n) == 0);
    el_free(back);
    el_free(ids);
    free(text);
    el_tokenizer_close(tok);
}
