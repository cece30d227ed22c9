/* What commands print: JSON, visible text, tables, stop strings, rows of bench. */
#include "base/json.h"
#include "cmd/bench_rows.h"
#include "cmd/json_out.h"
#include "cmd/progress.h"
#include "cmd/stopper.h"
#include "cmd/text_in.h"
#include "cmd/text_out.h"
#include "cmd/totals.h"
#include "cmd/util.h"
#include "test.h"

/* Everything that was written to f, which is closed. */
static char *slurp(FILE *f)
{
    const long n = ftell(f);
    rewind(f);
    char *const s = calloc((size_t)n + 1, 1);
    if (s && fread(s, 1, (size_t)n, f) != (size_t)n)
        s[0] = '\0';
    (void)fclose(f);
    return s;
}

static void write_sample(struct json_out *j)
{
    json_object(j);
    json_kstr(j, "plain", "text");
    json_kstr(j, "none", NULL);
    json_key(j, "odd \"key\"\n");
    json_text(j, "a\1\x1b\xff\xc2\x85\\\"\xf0\x9f\x98\x80\xed\xa0\x80", 15);
    json_kuint(j, "u", UINT64_MAX >> 11);
    json_kint(j, "i", -7);
    json_knum(j, "x", 0.1);
    json_knum(j, "nan", NAN);
    json_kbool(j, "b", true);
    json_key(j, "empty");
    json_array(j, false);
    json_end_array(j);
    json_key(j, "flat");
    json_array(j, true);
    json_uint(j, 1);
    json_object(j);
    json_kbool(j, "in", false);
    json_end_object(j);
    json_end_array(j);
    json_key(j, "nested");
    json_array(j, false);
    json_int(j, -1);
    json_raw(j, "null");
    json_end_array(j);
    json_end_object(j);
    json_finish(j);
}

TEST(cmd_json, parses_again)
{
    for (int compact = 0; compact < 2; compact++) {
        FILE *const f = tmpfile();
        REQUIRE(f);
        struct json_out j;
        json_init(&j, f, compact);
        write_sample(&j);
        char *const s = slurp(f);
        struct el_json_doc *doc = NULL;
        struct el_err err;
        CHECK_EQ_INT(strchr(s, '\n')[1] == '\0', compact);
        REQUIRE_OK(el_json_parse(s, strlen(s), "sample", &doc, &err), err);
        el_json_free(doc);
        free(s);
    }
}

TEST(cmd_json, numbers_read_back)
{
    uint64_t seed = 5;
    for (int i = 0; i < 20000; i++) {
        const uint64_t bits = test_rand(&seed);
        double d;
        float f;
        memcpy(&d, &bits, 8);
        memcpy(&f, &bits, 4);
        char s[32];
        json_format_num(d, s);
        CHECK(isfinite(d) ? strtod(s, NULL) == d : strcmp(s, "null") == 0);
        json_format_float(f, s);
        CHECK(isfinite(f) ? strtof(s, NULL) == f : strcmp(s, "null") == 0);
    }
    char s[32];
    json_format_num(0.1, s);
    CHECK_EQ_STR(s, "0.1");
    json_format_float(1e-5f, s);
    CHECK_EQ_STR(s, "1e-05");
}

TEST(cmd_text, visible)
{
    char out[64];
    text_visible("a\033[0m\n\t\r\x7f", 9, out, sizeof out);
    CHECK_EQ_STR(out, "a\\x1b[0m\\n\\t\\r\\x7f");
    text_visible("\xc2\x9b\xe2\x80\xae\xef\xbb\xbf", 8, out, sizeof out);
    CHECK_EQ_STR(out, "\\u{9b}\\u{202e}\\u{feff}");
    text_visible("\xff\xc3\xa9\xc0\x80\xed\xa0\x80", 8, out, sizeof out);
    CHECK_EQ_STR(out, "\\xff\xc3\xa9\\xc0\\x80\\xed\\xa0\\x80");
    text_visible("\xc3\xa9\xc3\xa9", 4, out, 4); /* room for one whole character and the end */
    CHECK_EQ_STR(out, "\xc3\xa9");
    char *s = text_line("abcdef", 6, 3);
    CHECK_EQ_STR(s, "abc...");
    free(s);
    s = text_line("abc", 3, 3);
    CHECK_EQ_STR(s, "abc");
    free(s);
    CHECK_EQ_INT(text_width("\xc2\xb1x"), 2);
}

TEST(cmd_text, write)
{
    FILE *f = tmpfile();
    REQUIRE(f);
    text_write(f, "a\n\t\033\0b", 6, true);
    char *s = slurp(f);
    CHECK_EQ_STR(s, "a\n\t\\x1b\\x00b");
    free(s);
    f = tmpfile();
    REQUIRE(f);
    text_write(f, "a\033", 2, false);
    s = slurp(f);
    CHECK_EQ_STR(s, "a\033");
    free(s);
}

TEST(cmd_text, sizes)
{
    char s[32];
    CHECK_EQ_STR(text_nbytes(0, s), "0 B");
    CHECK_EQ_STR(text_nbytes(1023, s), "1023 B");
    CHECK_EQ_STR(text_nbytes(1536, s), "1.50 KiB");
    CHECK_EQ_STR(text_nbytes(UINT64_MAX, s), "16777216.00 TiB");
    CHECK_EQ_STR(text_count(999, s), "999");
    CHECK_EQ_STR(text_count(4983552, s), "4.98 M");
    CHECK_EQ_STR(text_count(7000000000, s), "7.00 B");
}

TEST(cmd_text, table)
{
    struct table t;
    table_init(&t, "lrl");
    table_add(&t, "name");
    table_add(&t, "%d", 5);
    table_add(&t, "x");
    table_add_text(&t, "\033", 0);
    table_add(&t, "%d", 1234);
    table_add(&t, "%s", "");
    FILE *const f = tmpfile();
    REQUIRE(f);
    table_print(&t, f);
    char *const s = slurp(f);
    CHECK_EQ_STR(s, "name     5  x\n\\x1b  1234\n");
    free(s);
    table_free(&t);
}

/* Feeds text in pieces of `step` bytes; what came out, and whether it stopped. */
static bool feed(const char *const *stops, size_t n_stops, const char *text, size_t step, char *out)
{
    struct stopper s;
    const char *piece;
    size_t n, len = 0;
    bool hit = false;
    stopper_init(&s, stops, n_stops);
    for (size_t i = 0; text[i] && !hit; i += step) {
        const size_t left = strlen(text + i);
        hit = stopper_push(&s, text + i, left < step ? left : step, &piece, &n);
        memcpy(out + len, piece, n);
        len += n;
        if (left <= step)
            break;
    }
    if (!hit) {
        stopper_flush(&s, &piece, &n);
        memcpy(out + len, piece, n);
        len += n;
    }
    out[len] = '\0';
    stopper_free(&s);
    return hit;
}

TEST(cmd_stopper, every_cut)
{
    static const char *const stops[] = {"END", "NOW", "aab", ""};
    static const struct {
        const char *in, *out;
        bool hit;
    } cases[] = {
        {"some text END more", "some text ", true},
        {"EN EN ENd", "EN EN ENd", false},
        {"aaab", "a", true},
        {"aaaaaa", "aaaaaa", false},
        {"EENDNOW", "E", true},
        {"NOEND", "NO", true},
        {"", "", false},
        {"EN", "EN", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (size_t step = 1; step < 9; step++) {
            char out[64];
            CHECK_EQ_INT(feed(stops, 4, cases[i].in, step, out), cases[i].hit);
            CHECK_EQ_STR(out, cases[i].out);
        }
    char out[64];
    CHECK(!feed(NULL, 0, "text", 1, out));
    CHECK_EQ_STR(out, "text");
}

TEST(cmd_stopper, longer_of_two)
{
    static const char *const stops[] = {"ab", "abc"};
    struct stopper s;
    const char *text;
    size_t n;
    stopper_init(&s, stops, 2);
    CHECK(stopper_push(&s, "xabc", 4, &text, &n));
    CHECK_EQ_STR(s.hit, "abc");
    CHECK_EQ_INT(n, 1);
    stopper_free(&s);
}

TEST(cmd_text_in, ids)
{
    struct el_err err;
    int32_t *ids = NULL;
    size_t n = 0;
    REQUIRE_OK(text_in_ids(" 1 22,\n3\t", 9, 100, &ids, &n, &err), err);
    CHECK(n == 3 && ids[0] == 1 && ids[1] == 22 && ids[2] == 3);
    free(ids);
    REQUIRE_OK(text_in_ids("", 0, 100, &ids, &n, &err), err);
    CHECK_EQ_INT(n, 0);
    free(ids);
    static const char *const bad[] = {"x", "1 -2", "100", "99999999999999999999", "1.5", "1;2"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        CHECK_EQ_INT(text_in_ids(bad[i], strlen(bad[i]), 100, &ids, &n, &err), EL_E_FORMAT);
        CHECK(ids == NULL);
    }
}

TEST(cmd_util, paths)
{
    char base[16];
    path_base("a/b/c.gguf", base, sizeof base);
    CHECK_EQ_STR(base, "c.gguf");
    path_base("a/b/", base, sizeof base);
    CHECK_EQ_STR(base, "b");
    path_base("", base, sizeof base);
    CHECK_EQ_STR(base, "");
    CHECK(ends_with("x.gguf", ".gguf") && !ends_with("gguf", ".gguf"));
    CHECK(path_is_folder("/") && !path_is_folder("/dev/null") && !path_is_folder(""));
    struct el_err err;
    CHECK_EQ_INT(cmd_fail(&err, EL_E_IO, "'%s'", "\033"), EL_E_IO);
    CHECK_EQ_STR(err.text, "'\\x1b'");
    char long_text[2000];
    memset(long_text, 'x', sizeof long_text - 1);
    long_text[sizeof long_text - 1] = '\0';
    (void)cmd_fail(&err, EL_E_IO, "%s", long_text);
    CHECK(strlen(err.text) < sizeof err.text);
}

TEST(cmd_totals, per_encoding)
{
    struct totals t = {.n = 0};
    CHECK_EQ_STR(totals_main_encoding(&t), "none");
    totals_add(&t, "F32", 10, 40);
    totals_add(&t, "Q4_K", 256, 144);
    totals_add(&t, "F32", 10, 40);
    CHECK_EQ_INT(t.n, 2);
    CHECK_EQ_INT(t.of[0].n_tensors, 2);
    CHECK_EQ_INT(t.all.nbytes, 224);
    CHECK_EQ_STR(totals_main_encoding(&t), "Q4_K");
    CHECK_NEAR(totals_bpw(256, 144), 4.5, 0);
    CHECK_NEAR(totals_bpw(0, 144), 0, 0);
}

/* What two steps and the end write. */
static char *progress_text(bool tty, bool off, const char *unit)
{
    struct progress p;
    progress_init(&p, unit);
    p.f = tmpfile();
    p.tty = tty;
    p.off = off;
    p.start_ns -= 2000000000u; /* two seconds ago */
    p.next_ns = 0;
    if (!p.f)
        return NULL;
    progress_step(&p, "blk.0\033", 25, 100);
    progress_step(&p, "blk.1", 50, 100); /* too soon after the first */
    p.next_ns = 0;
    progress_step(&p, "blk.2", 5, 0); /* nothing known */
    progress_end(&p);
    return slurp(p.f);
}

TEST(cmd_progress, lines_and_bars)
{
    char *s = progress_text(false, false, "tokens");
    REQUIRE(s);
    double rate, left; /* 12.5 and 6, but for the time since then: under emulation 20 ms */
    CHECK(sscanf(s, "blk.0\\x1b: 25 %%, %lf tokens/s, %lf s left", &rate, &left) == 2);
    CHECK(rate > 11 && rate <= 12.5 && left >= 6 && left <= 7);
    CHECK(strchr(s, '\n') == s + strlen(s) - 1);
    free(s);
    s = progress_text(true, false, "B");
    REQUIRE(s);
    CHECK(s[0] == '\r' && strstr(s, "[######                  ]  25 %") != NULL && strstr(s, " left") != NULL);
    CHECK(s[strlen(s) - 1] == '\r' && strchr(s, '\n') == NULL && strchr(s, '\033') == NULL);
    free(s);
    s = progress_text(true, true, "B");
    REQUIRE(s);
    CHECK_EQ_STR(s, "");
    free(s);
}

static const enum bench_format formats[] = {BENCH_CSV, BENCH_JSON, BENCH_JSONL, BENCH_MD, BENCH_SQL};

static char *bench_text(enum bench_format format, const struct bench_row *row, size_t n_rows)
{
    FILE *const f = tmpfile();
    struct bench_out o;
    if (!f)
        return NULL;
    bench_out_begin(&o, f, format, (struct bench_columns){0});
    for (size_t i = 0; i < n_rows; i++)
        bench_out_row(&o, row);
    bench_out_end(&o);
    return slurp(f);
}

TEST(cmd_bench, rows)
{
    uint64_t samples[] = {1000000, 3000000}, itl[] = {10, 20, 30, 40};
    const struct bench_row row = {
        .model_filename = "it's \"x\",\n.gguf",
        .model_type = "llama 1 M F16",
        .model_size = 1 << 20,
        .model_n_params = 1000000,
        .n_batch = 512,
        .n_threads = 2,
        .n_prompt = 8,
        .n_gen = 2,
        .n_depth = 16,
        .type_k = "f16",
        .type_v = "f16",
        .test_time = "2026-01-01T00:00:00Z",
        .samples_ns = samples,
        .n_samples = 2,
        .itl_ns = itl,
        .n_itl = 4,
        .status = "ok",
    };
    char name[96];
    bench_test_name(&row, name);
    CHECK_EQ_STR(name, "pp8+tg2 @ d16");
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
        char *const s = bench_text(formats[i], &row, 2);
        REQUIRE(s);
        CHECK(strlen(s) > 100);
        if (formats[i] == BENCH_JSON) {
            struct el_json_doc *doc = NULL;
            struct el_err err;
            REQUIRE_OK(el_json_parse(s, strlen(s), "rows", &doc, &err), err);
            CHECK_EQ_INT(el_json_count(el_json_root(doc)), 2);
            const struct el_json *const first = el_json_first(el_json_root(doc));
            CHECK_NEAR(el_json_num(el_json_get(first, "avg_ns")), 2000000, 0);
            CHECK_NEAR(el_json_num(el_json_get(first, "avg_ts")), (10000.0 + 10000.0 / 3) / 2, 0.01);
            CHECK_NEAR(el_json_num(el_json_get(first, "itl_ns_p50")), 20, 0);
            CHECK_NEAR(el_json_num(el_json_get(first, "itl_ns_p99")), 40, 0);
            CHECK_EQ_STR(el_json_str(el_json_get(first, "model_filename")), row.model_filename);
            el_json_free(doc);
        }
        if (formats[i] == BENCH_SQL)
            CHECK(strstr(s, "'it''s \"x\",") != NULL);
        if (formats[i] == BENCH_CSV)
            CHECK(strstr(s, "\"it's \"\"x\"\",") != NULL);
        free(s);
    }
    char *const none = bench_text(BENCH_JSON, &row, 0);
    REQUIRE(none);
    CHECK_EQ_STR(none, "[\n]\n");
    free(none);
}

TEST(cmd_bench, statistics)
{
    const double x[] = {1, 2, 3, 4};
    CHECK_NEAR(bench_mean(x, 4), 2.5, 0);
    CHECK_NEAR(bench_stddev(x, 4), sqrt(5.0 / 3.0), 1e-12);
    CHECK_NEAR(bench_stddev(x, 1), 0, 0);
    CHECK_NEAR(bench_mean(x, 0), 0, 0);
    const uint64_t v[] = {1, 2, 3};
    CHECK_EQ_INT(bench_percentile(v, 3, 0.5), 2);
    CHECK_EQ_INT(bench_percentile(v, 3, 0.99), 3);
    CHECK_EQ_INT(bench_percentile(v, 3, 0), 1);
    CHECK_EQ_INT(bench_percentile(v, 0, 0.5), 0);
    CHECK(el_build_commit()[0] != '\0' && el_cpu_brand()[0] != '\0');
}
