/* The option parser, the words of quantize, and the lists of bench. */
#include <unistd.h>

#include "cmd/bench_lists.h"
#include "cmd/command.h"
#include "cmd/quantize_words.h"
#include "test.h"

struct fake_args {
    bool flag, off;
    const char *str;
    struct opt_list list;
    uint64_t number, nbytes;
    int64_t integer;
    double x;
    unsigned choice;
};

static const struct opt fake_opts[] = {
    {OPT_FLAG, "f", "flag", NULL, "a flag", offsetof(struct fake_args, flag), 0, 0, NULL},
    {OPT_UNFLAG, NULL, "no-off", NULL, "another", offsetof(struct fake_args, off), 0, 0, NULL},
    {OPT_STR, "ctk", "string|text", "S", "text", offsetof(struct fake_args, str), 0, 0, NULL},
    {OPT_LIST, "l", "list", "S", "texts", offsetof(struct fake_args, list), 0, 0, NULL},
    {OPT_UINT, "n", "number", "N", "a number", offsetof(struct fake_args, number), 2, 100, NULL},
    {OPT_INT, "i", "integer", "N", "a number", offsetof(struct fake_args, integer), -5, 5, NULL},
    {OPT_FLOAT, "x", "float", "X", "a number", offsetof(struct fake_args, x), -1, 1, NULL},
    {OPT_NBYTES, NULL, "size", "SIZE", "a size", offsetof(struct fake_args, nbytes), 1, 0, NULL},
    {OPT_CHOICE, NULL, "choice", "C", "a word", offsetof(struct fake_args, choice), 0, 0, "one|two|three"},
    OPT_END,
};
static const struct command fake = {
    .name = "fake", .about = "Nothing", .usage = "[options] A [B]", .opts = fake_opts, .min_words = 1, .max_words = 2};

static struct fake_args args;
static struct opt_common common;
static struct words words;
static struct el_err err;

/* Parses up to 8 arguments, NULL-terminated. */
static enum el_status parse(const char *const *argv)
{
    char *copy[9] = {NULL};
    static char store[8][64];
    int n = 0;
    for (; argv[n]; n++) {
        (void)snprintf(store[n], sizeof store[n], "%s", argv[n]);
        copy[n] = store[n];
    }
    free(words.v);
    opts_release(&fake, &args);
    args = (struct fake_args){.off = true};
    common = (struct opt_common){0};
    err = (struct el_err){0};
    const enum el_status status = opts_parse(&fake, n, copy, &args, &common, &words, &err);
    return status;
}
#define PARSE(...) parse((const char *const[]){__VA_ARGS__, NULL})

TEST(cmd_options, every_type)
{
    REQUIRE_OK(PARSE("-f", "--no-off", "a", "-ctk", "q"), err);
    CHECK(args.flag && !args.off);
    CHECK_EQ_STR(args.str, "q");
    CHECK_EQ_INT(words.n, 1);
    REQUIRE_OK(PARSE("--text=", "a", "-l", "1", "--list", "2", "b"), err);
    CHECK_EQ_STR(args.str, "");
    CHECK_EQ_INT(args.list.n, 2);
    CHECK_EQ_STR(args.list.v[1], "2");
    CHECK_EQ_STR(words.v[1], "b");
    REQUIRE_OK(PARSE("a", "-n", "2", "--number=100", "-i", "-5", "-x", "-0.5"), err);
    CHECK_EQ_INT(args.number, 100);
    CHECK_EQ_INT(args.integer, -5);
    CHECK_NEAR(args.x, -0.5, 0);
    REQUIRE_OK(PARSE("a", "--size", "5G", "--choice=three"), err);
    CHECK_EQ_INT(args.nbytes, 5000000000);
    CHECK_EQ_INT(args.choice, 2);
    REQUIRE_OK(PARSE("--", "-f", "--flag"), err);
    CHECK(!args.flag);
    CHECK_EQ_STR(words.v[0], "-f");
    REQUIRE_OK(PARSE("-"), err);
    CHECK_EQ_STR(words.v[0], "-");
    REQUIRE_OK(PARSE("--help", "--unknown"), err);
    CHECK(common.help);
    REQUIRE_OK(PARSE("a", "-q"), err);
    CHECK(common.quiet);
}

TEST(cmd_options, refusals)
{
    const char *const bad[][2] = {
        {"-n", "1"},
        {"-n", "101"},
        {"-n", "x"},
        {"-n", ""},
        {"-n", "-3"},
        {"-n", "18446744073709551616"},
        {"-i", "6"},
        {"-i", "-6"},
        {"-i", "--5"},
        {"-i", "9223372036854775808"},
        {"-x", "nan"},
        {"-x", "inf"},
        {"-x", "1.1"},
        {"-x", "0x1"},
        {"-x", " 0"},
        {"-x", "0.5."},
        {"--size", "0"},
        {"--size", "5X"},
        {"--size", "-1"},
        {"--size", "20000000T"},
        {"--size", "1Kii"},
        {"--size", "99999999999999999999"},
        {"--choice", "four"},
        {"--choice", ""},
        {"--choice", "one|two"},
        {"-flag", "x"},
        {"--lists", "x"},
        {"-", "--oops"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        if (PARSE("a", bad[i][0], bad[i][1]) != EL_E_USAGE)
            test_fail(__FILE__, __LINE__, "'%s' '%s' was accepted", bad[i][0], bad[i][1]);
        CHECK(err.text[0] != '\0');
    }
    CHECK_EQ_INT(PARSE("a", "-n"), EL_E_USAGE);
    CHECK_EQ_INT(PARSE("a", "--flag=1"), EL_E_USAGE);
    CHECK_EQ_INT(PARSE("-f"), EL_E_USAGE);
    CHECK_EQ_INT(PARSE("a", "b", "c"), EL_E_USAGE);
    CHECK_EQ_INT(PARSE("a", "--nunber", "3"), EL_E_USAGE);
    CHECK(strstr(err.text, "did you mean '--number'") != NULL);
    CHECK_EQ_INT(PARSE("a", "--\033x"), EL_E_USAGE);
    CHECK(strchr(err.text, '\033') == NULL);
}

TEST(cmd_options, numbers)
{
    uint64_t u = 0;
    CHECK(opts_uint("18446744073709551615", &u) && u == UINT64_MAX);
    CHECK(opts_nbytes("10", &u) && u == 10);
    CHECK(opts_nbytes("10B", &u) && u == 10);
    CHECK(opts_nbytes("3k", &u) && u == 3000);
    CHECK(opts_nbytes("3MB", &u) && u == 3000000);
    CHECK(opts_nbytes("2Gi", &u) && u == 2147483648);
    CHECK(opts_nbytes("2GiB", &u) && u == 2147483648);
    CHECK(opts_nbytes("1.5G", &u) && u == 1500000000);
    CHECK(opts_nbytes("0.25KiB", &u) && u == 256);
    CHECK(opts_nbytes("16777215.999999T", &u) && u == 16777215999999000000u);
    CHECK(!opts_nbytes("", &u) && !opts_nbytes("B", &u) && !opts_nbytes("1BB", &u) && !opts_nbytes("1.5", &u));
    CHECK(!opts_nbytes("1.G", &u) && !opts_nbytes(".5G", &u) && !opts_nbytes("1.1234567G", &u) && !opts_nbytes("1.0001k", &u));
    double d = 0;
    CHECK(opts_float(".5", &d) && d == 0.5);
    CHECK(!opts_float("", &d) && !opts_float("1e999", &d));
}

TEST(cmd_options, distance)
{
    CHECK_EQ_INT(opts_distance("", ""), 0);
    CHECK_EQ_INT(opts_distance("abc", ""), 3);
    CHECK_EQ_INT(opts_distance("quantise", "quantize"), 1);
    CHECK_EQ_INT(opts_distance("ab", "ba"), 1);
    CHECK_EQ_INT(opts_distance("kitten", "sitting"), 3);
    CHECK_EQ_INT(opts_distance("prue", "pure"), 1);
}

TEST(cmd_options, tables_are_sound)
{
    /* No spelling twice within a command, no argument name missing, help ends without a full stop. */
    for (size_t c = 0; command_at(c); c++) {
        const struct opt *const opts = command_at(c)->opts;
        CHECK(strlen(command_at(c)->about) < 70);
        for (const struct opt *a = opts; a->name || a->letters; a++) {
            CHECK((a->arg != NULL) == (a->type != OPT_FLAG && a->type != OPT_UNFLAG));
            CHECK((a->choices != NULL) == (a->type == OPT_CHOICE));
            CHECK(a->help[0] && a->help[strlen(a->help) - 1] != '.');
            char alt[64], other[64];
            for (size_t i = 0; opts_alternative(a->name, i, alt, sizeof alt); i++)
                for (const struct opt *b = opts; b->name || b->letters; b++)
                    for (size_t j = 0; b != a && opts_alternative(b->name, j, other, sizeof other); j++)
                        CHECK(strcmp(alt, other) != 0);
            for (size_t i = 0; opts_alternative(a->letters, i, alt, sizeof alt); i++)
                for (const struct opt *b = opts; b->name || b->letters; b++)
                    for (size_t j = 0; b != a && opts_alternative(b->letters, j, other, sizeof other); j++)
                        CHECK(strcmp(alt, other) != 0);
        }
    }
}

TEST(cmd_options, commands_are_found)
{
    char eval[] = "eval", ppl[] = "ppl", info[] = "info", none[] = "none";
    size_t used = 9;
    char *two[] = {eval, ppl, info}, *one[] = {info, ppl}, *bad[] = {eval, none}, *worse[] = {none};
    CHECK(command_find(two, 3, &used) == &cmd_eval_ppl && used == 2);
    CHECK(command_find(one, 2, &used) == &cmd_info && used == 1);
    CHECK(command_find(bad, 2, &used) == NULL && used == 0);
    CHECK(command_find(two, 1, &used) == NULL);
    CHECK(command_find(worse, 1, &used) == NULL);
    CHECK(command_is_group("eval") && !command_is_group("info") && !command_is_group("ev") && !command_is_group(""));
}

static struct quantize_words read_words(enum el_status want, const char *a, const char *b, const char *c, const char *d)
{
    static char store[4][64];
    char *v[4];
    const char *const given[] = {a, b, c, d};
    size_t n = 0;
    for (; n < 4 && given[n]; n++) {
        (void)snprintf(store[n], sizeof store[n], "%s", given[n]);
        v[n] = store[n];
    }
    struct quantize_words q;
    CHECK_EQ_INT(quantize_words_read((struct words){v, n}, false, &q, &err), want);
    return q;
}

TEST(cmd_quantize, words_with_a_plan)
{
    char in[] = "in", out[] = "out", n[] = "8";
    char *one[] = {in}, *two[] = {in, out}, *three[] = {in, out, n}, *wrong[] = {in, out, out};
    struct quantize_words q;
    CHECK_EQ_INT(quantize_words_read((struct words){one, 1}, true, &q, &err), EL_OK);
    CHECK(q.out == NULL && q.n_threads == UINT64_MAX);
    CHECK_EQ_INT(quantize_words_read((struct words){one, 1}, false, &q, &err), EL_E_USAGE);
    CHECK_EQ_INT(quantize_words_read((struct words){two, 2}, true, &q, &err), EL_OK);
    CHECK_EQ_STR(q.out, "out");
    CHECK_EQ_STR(q.type, "");
    CHECK_EQ_INT(quantize_words_read((struct words){three, 3}, true, &q, &err), EL_OK);
    CHECK_EQ_INT(q.n_threads, 8);
    CHECK_EQ_INT(quantize_words_read((struct words){wrong, 3}, true, &q, &err), EL_E_USAGE);
}

TEST(cmd_quantize, words)
{
    struct quantize_words q = read_words(EL_OK, "in", "Q4_0", NULL, NULL);
    CHECK(q.out == NULL && q.n_threads == UINT64_MAX);
    CHECK_EQ_STR(q.type, "Q4_0");
    q = read_words(EL_OK, "in", "out", "Q4_0", NULL);
    CHECK_EQ_STR(q.out, "out");
    CHECK_EQ_STR(q.type, "Q4_0");
    q = read_words(EL_OK, "in", "q4_k_m", "8", NULL);
    CHECK(q.out == NULL);
    CHECK_EQ_INT(q.n_threads, 8);
    q = read_words(EL_OK, "in", "G4_32", "8", NULL);
    CHECK_EQ_INT(q.n_threads, 8);
    q = read_words(EL_OK, "in", "2out", "Q4_0", "8");
    CHECK_EQ_STR(q.out, "2out");
    CHECK_EQ_STR(q.type, "Q4_0");
    CHECK_EQ_INT(q.n_threads, 8);
    q = read_words(EL_OK, "in", "out", "15", NULL);
    CHECK_EQ_STR(q.out, "out");
    CHECK_EQ_STR(q.type, "15");
    q = read_words(EL_OK, "in", "Q4_0", "Q4_K", NULL);
    CHECK_EQ_STR(q.out, "Q4_0");
    (void)read_words(EL_E_USAGE, "in", "out", "Q4_0", "x");
    (void)read_words(EL_E_USAGE, "in", "out", "Q4_0", "1025");
}

TEST(cmd_quantize, default_name)
{
    static const struct {
        const char *in;
        bool folder;
        const char *want;
    } cases[] = {
        {"m.gguf", false, "ggml-model-Q4_K_M.gguf"},    {"a/b/m.gguf", false, "a/b/ggml-model-Q4_K_M.gguf"},
        {"/m.gguf", false, "/ggml-model-Q4_K_M.gguf"},  {"a/b", true, "a/b/ggml-model-Q4_K_M.gguf"},
        {"a/b///", true, "a/b/ggml-model-Q4_K_M.gguf"}, {"/", true, "/ggml-model-Q4_K_M.gguf"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *const out = quantize_default_out(cases[i].in, cases[i].folder, "q4_k_m");
        CHECK_EQ_STR(out, cases[i].want);
        free(out);
    }
}

static size_t list_sum(const char *text, enum el_status want, uint64_t *sum)
{
    const struct opt_list one = {&text, text ? 1 : 0};
    struct bench_list list = {0};
    *sum = 0;
    CHECK_EQ_INT(bench_list_read(&list, "-p", &one, 7, 1000, &err), want);
    for (size_t i = 0; i < list.n; i++)
        *sum += list.v[i];
    const size_t n = list.n;
    bench_list_free(&list);
    return n;
}

TEST(cmd_bench, lists)
{
    uint64_t sum = 0;
    CHECK(list_sum(NULL, EL_OK, &sum) == 1 && sum == 7);
    CHECK(list_sum("5", EL_OK, &sum) == 1 && sum == 5);
    CHECK(list_sum("1,2,4", EL_OK, &sum) == 3 && sum == 7);
    CHECK(list_sum("1-4", EL_OK, &sum) == 4 && sum == 10);
    CHECK(list_sum("1-8+3", EL_OK, &sum) == 3 && sum == 12);
    CHECK(list_sum("1-16*2,1000", EL_OK, &sum) == 6 && sum == 1031);
    CHECK(list_sum("0-0", EL_OK, &sum) == 1 && sum == 0);
    static const char *const bad[] = {"",      ",",     "1,",    "a",    "1-", "-1",    "3-1",
                                      "1-8+0", "0-8*2", "1-8*1", "1001", "1 ", "1-2-3", "1-4999"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        (void)list_sum(bad[i], EL_E_USAGE, &sum);
}

TEST(cmd_bench, choices)
{
    const char *text = "f32,f16";
    struct opt_list one = {&text, 1};
    struct bench_list list = {0};
    REQUIRE_OK(bench_list_choices(&list, "-ctk", &one, "f16|f32", &err), err);
    CHECK(list.n == 2 && list.v[0] == 1 && list.v[1] == 0);
    bench_list_free(&list);
    static const char *const bad[] = {"", "f64", "f16,", "f1", "f16|f32"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        text = bad[i];
        CHECK_EQ_INT(bench_list_choices(&list, "-ctk", &one, "f16|f32", &err), EL_E_USAGE);
        bench_list_free(&list);
    }
}
