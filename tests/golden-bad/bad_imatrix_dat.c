/* Damaged importance matrices and statistics, each with the status and the words of its refusal. */
#include "test.h"

#include "base/buf.h"
#include "base/err.h"
#include "models/mem_source.h"
#include "quant/stats.h"

/* ---- imatrix.dat ---- */

struct entry {
    const char *name;
    int32_t n_name, n_calls, n_values, n_written;
};

static void add_entry(struct el_buf *b, const struct entry *e)
{
    el_buf_add_u32(b, (uint32_t)e->n_name);
    el_buf_add_str(b, e->name);
    el_buf_add_u32(b, (uint32_t)e->n_calls);
    el_buf_add_u32(b, (uint32_t)e->n_values);
    for (int32_t i = 0; i < e->n_written; i++)
        el_buf_add_u32(b, 0x3f800000); /* 1.0f */
}

static void expect(const char *what, const struct el_buf *b, bool strict, enum el_status code, const char *says)
{
    const char *const path = test_tmp("bad.dat");
    const struct el_source_opts opts = {.format = "imatrix", .strict = strict};
    struct el_err err = {.text = ""};
    struct el_source *s;
    REQUIRE(test_write(path, b->data, b->nbytes));
    const enum el_status status = el_source_open(path, &opts, &s, &err);
    if (status != code || (code != EL_OK && (!strstr(err.text, says) || !strstr(err.text, "bad.dat'"))))
        test_fail(__FILE__, __LINE__, "%s: status %d, '%s', wanted %d, '%s'", what, (int)status, err.text, (int)code, says);
    CHECK((s == NULL) == (status != EL_OK));
    el_source_close(s);
}

TEST(bad_imatrix, damaged_files_are_refused)
{
    static const struct {
        struct entry e;
        enum el_status code;
        const char *says;
    } cases[] = {
        {{"blk.0.x", 7, 2, 3, 3}, EL_OK, ""},
        {{"blk.0.x", 7, 0, 3, 3}, EL_OK, ""},
        {{"blk.0.x", 0, 2, 3, 3}, EL_E_FORMAT, "the length of a name is 0"},
        {{"blk.0.x", -1, 2, 3, 3}, EL_E_FORMAT, "the length of a name is -1, allowed are 1 to 255"},
        {{"blk.0.x", 200, 2, 3, 3}, EL_E_FORMAT, "ends in a name"},
        {{"blk 0.x", 7, 2, 3, 3}, EL_E_FORMAT, "bytes that are no name's"},
        {{"blk.0.x", 7, -2, 3, 3}, EL_E_FORMAT, "the number of calls is -2"},
        {{"blk.0.x", 7, 2, 0, 3}, EL_E_FORMAT, "the number of values is 0"},
        {{"blk.0.x", 7, 2, 4, 3}, EL_E_FORMAT, "'blk.0.x' has 4 values, the file ends before"},
        {{"blk.0.x", 7, 2, 2147483647, 3}, EL_E_FORMAT, "has 2147483647 values"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct el_buf b;
        el_buf_init(&b);
        el_buf_add_u32(&b, 1);
        add_entry(&b, &cases[i].e);
        expect(cases[i].says, &b, false, cases[i].code, cases[i].says);
        el_buf_release(&b);
    }
}

TEST(bad_imatrix, counts_and_tails)
{
    static const struct entry e = {"blk.0.x", 7, 2, 3, 3};
    static const int32_t counts[] = {0, -1, 65537, 2};
    struct el_buf b;
    for (size_t i = 0; i < 4; i++) {
        el_buf_init(&b);
        el_buf_add_u32(&b, (uint32_t)counts[i]);
        add_entry(&b, &e);
        expect("count", &b, false, EL_E_FORMAT, i < 3 ? "the number of entries is" : "ends in the length of a name");
        el_buf_release(&b);
    }
    el_buf_init(&b);
    el_buf_add_u32(&b, 1);
    add_entry(&b, &e);
    el_buf_add_u32(&b, 5);
    expect("chunks alone", &b, true, EL_OK, "");
    el_buf_add_u32(&b, 4);
    expect("no name", &b, false, EL_E_FORMAT, "ends in the name of the text");
    el_buf_add_str(&b, "text");
    expect("whole", &b, true, EL_OK, "");
    el_buf_add_byte(&b, 0);
    expect("more", &b, false, EL_OK, "");
    expect("more, strictly", &b, true, EL_E_FORMAT, "1 bytes behind the end");
    el_buf_release(&b);
}

/* ---- statistics ---- */

static float *add(struct el_source *s, const char *name, uint64_t n_rows, uint64_t n_in)
{
    const uint64_t dims[] = {n_rows, n_in};
    return mem_source_add(s, name, 2, dims);
}

static void refuse(struct el_source *s, enum el_status code, const char *says)
{
    struct el_err err = {.text = ""};
    struct el_stats *stats;
    const enum el_status status = el_stats_open(s, &stats, &err);
    if (status != code || !strstr(err.text, says))
        test_fail(__FILE__, __LINE__, "status %d, '%s', wanted %d, '%s'", (int)status, err.text, (int)code, says);
    CHECK(stats == NULL);
    el_source_close(s);
}

static struct el_source *good(void)
{
    struct el_source *const s = mem_source_new();
    add(s, "a.in_sum2", 2, 70);
    add(s, "a.counts", 2, 1);
    return s;
}

TEST(bad_imatrix, misshapen_statistics_are_refused)
{
    struct el_source *s = mem_source_new();
    add(s, "x.weight", 2, 2);
    refuse(s, EL_E_FORMAT, "holds no statistics");
    s = mem_source_new();
    add(s, "a.in_sum2", 2, 70);
    refuse(s, EL_E_FORMAT, "'a.in_sum2' has no 'a.counts' beside it");
    s = mem_source_new();
    add(s, "a.in_sum2", 1, 70);
    add(s, "a.counts", 3, 1);
    refuse(s, EL_E_FORMAT, "must be F32, as many rows as 'counts' has");
    s = mem_source_new();
    add(s, "a.in_sum2", 1, 70);
    add(s, "a.counts", 5000, 1);
    refuse(s, EL_E_FORMAT, "must be 1 to 4096 F32");
    s = good();
    add(s, "a.in_sumabs", 2, 70);
    refuse(s, EL_E_FORMAT, "only one is there");
    s = good();
    add(s, "a.hessian", 2 * 3, 4095);
    refuse(s, EL_E_FORMAT, "must be F32 and fit");
    s = good();
    add(s, "a.cross", 70, 71);
    refuse(s, EL_E_FORMAT, "must be F32 and fit");
    s = good();
    CHECK(el_meta_set_u32(s->meta, "edgellm.stats.version", 2, NULL) == EL_OK);
    refuse(s, EL_E_UNSUPPORTED, "version 2 of statistics");
    s = good();
    CHECK(el_meta_set_u32(s->meta, "edgellm.stats.version", 1, NULL) == EL_OK);
    refuse(s, EL_E_FORMAT, "must be lists of strings of one length");
    s = good();
    static const char *const names[] = {"a"}, *const leads[] = {"b"};
    CHECK(el_meta_set_u32(s->meta, "edgellm.stats.version", 1, NULL) == EL_OK);
    CHECK(el_meta_set_str_array(s->meta, "edgellm.stats.matrices", names, NULL, 1, NULL) == EL_OK);
    CHECK(el_meta_set_str_array(s->meta, "edgellm.stats.inputs", leads, NULL, 1, NULL) == EL_OK);
    refuse(s, EL_E_FORMAT, "'a' is said to read the input of 'b', which is not there");
}

TEST(bad_imatrix, bad_values_are_refused_where_they_are_read)
{
    struct el_source *const s = good();
    struct el_err err = {.text = ""};
    struct el_stats *stats;
    float out[70], *const sums = mem_source_values(s, "a.in_sum2"), *const counts = mem_source_values(s, "a.counts");
    double n;
    REQUIRE_OK(el_stats_open(s, &stats, &err), err);
    const struct el_stats_matrix *const m = el_stats_find(stats, "a");
    REQUIRE(m && m->n_in == 70 && m->n_experts == 2 && m->has == EL_STATS_SUM2 && !el_stats_find(stats, "b"));
    counts[1] = 4;
    sums[70 + 3] = 8;
    CHECK_OK(el_stats_importance(stats, m, 1, out, &err), err);
    CHECK(out[3] == 2.0f && out[0] == 0.0f);
    CHECK_OK(el_stats_importance(stats, m, 0, out, &err), err);
    CHECK(out[3] == 1.0f);
    sums[70 + 3] = -1;
    CHECK(el_stats_importance(stats, m, 1, out, &err) == EL_E_FORMAT && strstr(err.text, "element 73 is -1"));
    counts[0] = NAN;
    CHECK(el_stats_count(stats, m, 0, &n, &err) == EL_E_FORMAT);
    CHECK(el_stats_count(stats, m, 2, &n, &err) == EL_E_USAGE);
    CHECK(el_stats_abs(stats, m, 0, out, NULL, &err) == EL_E_USAGE && strstr(err.text, "has no absolute values of 'a'"));
    CHECK(el_stats_hessian(stats, m, 0, 0, 1, NULL, &err) == EL_E_USAGE);
    el_stats_close(stats);
    el_source_close(s);
}
