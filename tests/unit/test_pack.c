/* The pack loop: bytes and sums independent of threads, row orders, copies, bad values, errors of either side, interruption. */
#include <sys/stat.h>

#include "base/err.h"
#include "base/f16.h"
#include "base/mem.h"
#include "quant/plan.h"
#include "test.h"
#include "unit/mock_model.h"

struct seen {
    struct el_pack_report reports[32];
    size_t n_reports;
    uint64_t done, total;
    size_t n_progress;
    char last[64];
    bool interrupt;
};

static void on_report(void *user, const struct el_pack_report *r)
{
    struct seen *const s = user;
    if (s->n_reports < 32)
        s->reports[s->n_reports++] = *r;
}

static void on_progress(void *user, const char *what, uint64_t done, uint64_t total)
{
    struct seen *const s = user;
    CHECK(done >= s->done && done <= total);
    s->done = done;
    s->total = total;
    s->n_progress++;
    snprintf(s->last, sizeof s->last, "%s", what);
    if (s->interrupt)
        el_interrupt();
}

/* All but the text: nothing here is weaker than planned. NaN equals NaN. */
static bool same_reports(const struct seen *a, const struct seen *b)
{
    bool same = a->n_reports == b->n_reports;
    for (size_t i = 0; same && i < a->n_reports; i++) {
        const struct el_pack_report *const x = &a->reports[i], *const y = &b->reports[i];
        const double left[] = {x->sum_w2, x->sum_err2, x->sum_out2, x->sum_y2, x->damping};
        const double right[] = {y->sum_w2, y->sum_err2, y->sum_out2, y->sum_y2, y->damping};
        same = x->row == y->row && memcmp(left, right, sizeof left) == 0 && x->n_nonfinite == y->n_nonfinite && !x->fallback &&
               !y->fallback;
    }
    return same;
}

static struct el_source *model(void)
{
    struct el_source *const s = mock_source("llama", 1, 4, 4, 0);
    mock_add(s, "token_embd.weight", 700, 256, NULL); /* two strips: 512 rows and 188 */
    mock_add(s, "blk.0.attn_norm.weight", 0, 256, "BF16");
    mock_add(s, "blk.0.attn_q.weight", 256, 256, "F16");
    mock_add(s, "blk.0.attn_q.bias", 0, 256, NULL);
    mock_add(s, "blk.0.ffn_up.weight", 1500, 300, "BF16"); /* four strips, and a fallback */
    mock_add(s, "blk.0.ffn_gate_inp.weight", 3, 256, NULL);
    mock_add(s, "empty.weight", 5, 0, NULL);
    return s;
}

static enum el_status pack(struct el_source *s, const struct el_plan_opts *popts, unsigned n_threads, bool nan_to_zero,
                           struct el_sink *sink, struct seen *seen, struct el_err *err)
{
    struct el_plan *plan = NULL;
    memset(seen->last, 0, sizeof seen->last);
    enum el_status status = el_plan_make(s, popts, &plan, err);
    const struct el_pack_opts opts = {.n_threads = n_threads,
                                      .nan_to_zero = nan_to_zero,
                                      .progress = on_progress,
                                      .progress_user = seen,
                                      .report = on_report,
                                      .report_user = seen};
    if (status == EL_OK)
        status = el_pack(s, plan, sink, &opts, err);
    el_plan_free(plan);
    return status;
}

TEST(pack, bytes_and_sums_do_not_depend_on_threads)
{
    static const char *const types[] = {"Q4_K_M", "G3_64Z", "Q8_0", "F16"};
    static const unsigned threads[] = {2, 3, 8};
    for (size_t k = 0; k < sizeof types / sizeof types[0]; k++) {
        struct el_source *const s = model();
        struct el_err err = {0};
        struct seen one = {.done = 0};
        struct el_sink *const first = mock_sink();
        REQUIRE_OK(pack(s, &(struct el_plan_opts){.type = types[k]}, 1, false, first, &one, &err), err);
        CHECK_EQ_INT(one.n_reports, s->n_tensors);
        CHECK_EQ_INT(one.done, one.total);
        for (size_t t = 0; t < s->n_tensors; t++) {
            uint64_t nbytes = el_tensor_nbytes(&first->tensors[t]);
            CHECK_EQ_INT(mock_sink_written(first, t), nbytes);
            CHECK_EQ_INT(one.reports[t].row, t);
        }
        for (size_t j = 0; j < 3; j++) {
            struct seen many = {.done = 0};
            struct el_sink *const other = mock_sink();
            REQUIRE_OK(pack(s, &(struct el_plan_opts){.type = types[k]}, threads[j], false, other, &many, &err), err);
            CHECK(same_reports(&one, &many));
            for (size_t t = 0; t < s->n_tensors; t++) {
                for (uint32_t p = 0; p < first->tensors[t].n_parts; p++)
                    CHECK(memcmp(mock_sink_part(first, t, p), mock_sink_part(other, t, p), first->tensors[t].parts[p].nbytes) ==
                          0);
            }
            mock_sink_free(other);
        }
        mock_sink_free(first);
        el_source_close(s);
    }
}

/* The reports say what decodes from the sink, computed here independently. */
TEST(pack, reports_are_true)
{
    struct el_source *const s = model();
    struct el_sink *const sink = mock_sink();
    struct seen seen = {.done = 0};
    struct el_err err = {0};
    REQUIRE_OK(pack(s, &(struct el_plan_opts){.type = "Q4_0"}, 2, false, sink, &seen, &err), err);
    CHECK(sink->source == s);
    for (size_t t = 0; t < s->n_tensors; t++) {
        const struct el_tensor *const a = &s->tensors[t], *const b = &sink->tensors[t];
        const uint64_t n = a->n_rows * a->n_in;
        float *const x = malloc((n + 1) * sizeof *x), *const y = malloc((n + 1) * sizeof *y);
        const struct el_matrix ma = {.enc = a->enc,
                                     .n_rows = a->n_rows,
                                     .n_in = a->n_in,
                                     .data = {mock_part(s, t, 0)},
                                     .row_nbytes = {a->parts[0].row_nbytes}};
        const struct el_matrix mb = {.enc = b->enc,
                                     .n_rows = b->n_rows,
                                     .n_in = b->n_in,
                                     .data = {mock_sink_part(sink, t, 0)},
                                     .row_nbytes = {b->parts[0].row_nbytes}};
        el_matrix_decode(&ma, 0, a->n_rows, x);
        el_matrix_decode(&mb, 0, a->n_rows, y);
        double w2 = 0.0, e2 = 0.0;
        for (uint64_t i = 0; i < n; i++) {
            w2 += (double)x[i] * x[i];
            e2 += ((double)x[i] - y[i]) * ((double)x[i] - y[i]);
        }
        CHECK_NEAR(seen.reports[t].sum_w2, w2, 1e-9 * w2);
        CHECK_NEAR(seen.reports[t].sum_err2, e2, 1e-9 * w2);
        CHECK_EQ_INT(seen.reports[t].n_nonfinite, 0);
        free(x);
        free(y);
    }
    const struct el_meta *const meta = mock_sink_meta(sink);
    CHECK_EQ_INT(el_meta_int(meta, el_meta_find(meta, "general.file_type"), 0), 2);
    CHECK_EQ_INT(el_meta_n_elems(meta, el_meta_find(meta, "edgellm.plan")), s->n_tensors);
    mock_sink_free(sink);
    el_source_close(s);
}

/* The sink's row order is honoured in any encoding: rows of the output are rows of the input, each encoded by itself. */
TEST(pack, rows_in_the_order_of_the_sink)
{
    struct el_source *const s = model();
    struct el_sink *const plain = mock_sink(), *const pairs = mock_sink();
    struct seen seen = {.done = 0}, again = {.done = 0};
    struct el_err err = {0};
    const struct el_row_order order = {.kind = EL_ROWS_ROPE_PAIRS, .n_heads = 4, .head_rows = 64};
    mock_sink_want(pairs, "blk.0.attn_q.weight", order);
    REQUIRE_OK(pack(s, &(struct el_plan_opts){.type = "Q4_K"}, 2, false, plain, &seen, &err), err);
    REQUIRE_OK(pack(s, &(struct el_plan_opts){.type = "Q4_K"}, 2, false, pairs, &again, &err), err);
    const size_t t = el_source_find(s, "blk.0.attn_q.weight");
    const uint64_t nb = plain->tensors[t].parts[0].row_nbytes;
    CHECK_EQ_STR(plain->tensors[t].enc_name, "Q4_K");
    uint64_t moved = 0;
    for (uint64_t r = 0; r < 256; r++) {
        const uint64_t f = el_row_order_map(&order, r);
        moved += f != r;
        CHECK(memcmp(mock_sink_part(plain, t, 0) + r * nb, mock_sink_part(pairs, t, 0) + f * nb, nb) == 0);
    }
    CHECK(moved > 100);
    mock_sink_free(plain);
    mock_sink_free(pairs);
    el_source_close(s);
}

TEST(pack, copies_are_copies)
{
    struct el_source *const s = mock_source("llama", 1, 4, 4, 0);
    static const char *const types[] = {"F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_K", "Q5_K", "Q6_K", "G3_64Z", "G5_ROW"};
    for (size_t i = 0; i < 10; i++) {
        char name[32];
        snprintf(name, sizeof name, "blk.0.t%d.weight", (int)i);
        mock_add(s, name, 600, 512, types[i]);
    }
    struct el_sink *const sink = mock_sink();
    struct seen seen = {.done = 0};
    struct el_err err = {0};
    REQUIRE_OK(pack(s, &(struct el_plan_opts){.type = "COPY"}, 3, false, sink, &seen, &err), err);
    for (size_t t = 0; t < s->n_tensors; t++) {
        CHECK_EQ_STR(sink->tensors[t].enc_name, types[t]);
        for (uint32_t p = 0; p < s->tensors[t].n_parts; p++)
            CHECK(memcmp(mock_sink_part(sink, t, p), mock_part(s, t, p), s->tensors[t].parts[p].nbytes) == 0);
        CHECK(seen.reports[t].sum_err2 == 0.0 && seen.reports[t].sum_w2 > 0.0);
    }
    mock_sink_free(sink);
    el_source_close(s);
}

TEST(pack, requantizes_through_f32)
{
    struct el_source *const s = mock_source("llama", 1, 4, 4, 0);
    mock_add(s, "blk.0.ffn_up.weight", 40, 256, "Q6_K");
    struct el_sink *const sink = mock_sink();
    struct seen seen = {.done = 0};
    struct el_err err = {0};
    REQUIRE_OK(pack(s, &(struct el_plan_opts){.type = "Q4_0", .allow_requantize = true}, 1, false, sink, &seen, &err), err);
    CHECK_EQ_STR(sink->tensors[0].enc_name, "Q4_0");
    CHECK(seen.reports[0].sum_err2 > 0.0 && seen.reports[0].sum_err2 < 0.02 * seen.reports[0].sum_w2);
    mock_sink_free(sink);
    el_source_close(s);
}

TEST(pack, methods_differ_in_error)
{
    static const char *const methods[] = {"search", "rtn"};
    double err2[2] = {0.0, 0.0};
    for (int k = 0; k < 2; k++) {
        struct el_source *const s = model();
        struct el_sink *const sink = mock_sink();
        struct seen seen = {.done = 0};
        struct el_err err = {0};
        REQUIRE_OK(pack(s, &(struct el_plan_opts){.type = "Q4_0", .method = methods[k]}, 2, false, sink, &seen, &err), err);
        for (size_t i = 0; i < seen.n_reports; i++)
            err2[k] += seen.reports[i].sum_err2;
        mock_sink_free(sink);
        el_source_close(s);
    }
    CHECK(err2[0] < 0.95 * err2[1]);
}

TEST(pack, a_job_whose_row_does_not_fit)
{
    float x[40] = {0}, row[40];
    uint8_t out[64];
    struct el_quant_job job = {.x = x, .n_rows = 1, .n_in = 40, .parts_out = {out}, .scratch = row};
    struct el_err err = {0};
    REQUIRE_OK(el_enc_parse("Q8_0", &job.enc, &err), err);
    CHECK_EQ_INT(el_method_at(0)->quantize(&job, &err), EL_E_USAGE);
    CHECK(strstr(err.text, "rows of 40 elements do not fit Q8_0"));
}

static void put_f32(struct el_source *s, size_t tensor, uint64_t at, float v)
{
    memcpy(mock_part(s, tensor, 0) + 4 * at, &v, 4);
}

TEST(pack, bad_values_are_named)
{
    for (unsigned threads = 1; threads <= 4; threads++) {
        struct el_source *const s = model();
        struct el_sink *const sink = mock_sink();
        struct seen seen = {.done = 0};
        struct el_err err = {0};
        put_f32(s, 0, 600 * 256 + 7, INFINITY); /* second strip */
        put_f32(s, 0, 100 * 256 + 3, NAN);      /* first strip: reported, however many threads */
        CHECK_EQ_INT(pack(s, &(struct el_plan_opts){.type = "Q8_0"}, threads, false, sink, &seen, &err), EL_E_FORMAT);
        CHECK_EQ_STR(err.text, "'mock': tensor 'token_embd.weight': element 25603 is NaN or infinite");
        mock_sink_free(sink);
        el_source_close(s);
    }
}

TEST(pack, bad_values_become_zero_when_asked)
{
    struct el_source *const s = model();
    struct el_sink *const sink = mock_sink(), *const copy = mock_sink();
    struct seen seen = {.done = 0}, seen_copy = {.done = 0};
    struct el_err err = {0};
    put_f32(s, 0, 600 * 256 + 7, INFINITY);
    put_f32(s, 0, 100 * 256 + 3, NAN);
    REQUIRE_OK(pack(s, &(struct el_plan_opts){.type = "Q8_0"}, 2, true, sink, &seen, &err), err);
    CHECK_EQ_INT(seen.reports[0].n_nonfinite, 2);
    CHECK(isfinite(seen.reports[0].sum_err2));
    CHECK_EQ_INT((int8_t)mock_sink_part(sink, 0, 0)[(600 * 8) * 34 + 2 + 7], 0);
    REQUIRE_OK(pack(s, &(struct el_plan_opts){.type = "COPY"}, 2, true, copy, &seen_copy, &err), err);
    float v = 1.0f;
    memcpy(&v, mock_sink_part(copy, 0, 0) + 4 * (100 * 256 + 3), 4);
    CHECK_NEAR(v, 0.0, 0.0);
    CHECK_EQ_INT(seen_copy.reports[0].n_nonfinite, 2);
    mock_sink_free(sink);
    mock_sink_free(copy);
    el_source_close(s);
}

TEST(pack, damaged_blocks_cannot_be_copied_clean)
{
    struct el_source *const s = mock_source("llama", 1, 4, 4, 0);
    mock_add(s, "blk.0.ffn_up.weight", 40, 256, "Q8_0");
    mock_part(s, 0, 0)[1] = 0x7e; /* scale NaN */
    struct el_sink *const sink = mock_sink();
    struct seen seen = {.done = 0};
    struct el_err err = {0};
    CHECK_EQ_INT(pack(s, &(struct el_plan_opts){.type = "COPY"}, 1, true, sink, &seen, &err), EL_E_FORMAT);
    CHECK(strstr(err.text, "a copied Q8_0 cannot hold 0 instead"));
    mock_sink_free(sink);
    el_source_close(s);
}

TEST(pack, what_f16_cannot_hold)
{
    struct el_source *const s = model();
    struct el_sink *const sink = mock_sink();
    struct seen seen = {.done = 0};
    struct el_err err = {0};
    put_f32(s, 0, 600 * 256 + 7, -70000.0f);
    CHECK_EQ_INT(pack(s, &(struct el_plan_opts){.type = "F16"}, 2, false, sink, &seen, &err), EL_E_UNSUPPORTED);
    CHECK_EQ_STR(err.text, "tensor 'token_embd.weight': element 153607 is -70000, too large for F16");
    mock_sink_free(sink);
    el_source_close(s);
}

TEST(pack, errors_of_source_and_sink)
{
    for (int side = 0; side < 2; side++) {
        struct el_source *const s = model();
        struct el_sink *const sink = mock_sink();
        struct seen seen = {.done = 0};
        struct el_err err = {0};
        if (side == 0)
            mock_fail_read(s, 2);
        else
            mock_sink_fail_write(sink, 2);
        CHECK_EQ_INT(pack(s, &(struct el_plan_opts){.type = "Q4_0"}, 2, false, sink, &seen, &err), EL_E_IO);
        CHECK(strstr(err.text, side == 0 ? "read failed" : "write failed"));
        CHECK_EQ_INT(seen.n_reports, 2);
        mock_sink_free(sink);
        el_source_close(s);
    }
}

TEST(pack, a_plan_belongs_to_its_model)
{
    struct el_source *const a = model(), *const b = mock_source("llama", 1, 1, 1, 0), *const c = model();
    mock_add(b, "token_embd.weight", 8, 256, NULL);
    struct el_plan *plan = NULL;
    struct el_err err = {0};
    struct el_sink *const sink = mock_sink(), *const fine = mock_sink();
    REQUIRE_OK(el_plan_make(a, &(struct el_plan_opts){.type = "Q8_0"}, &plan, &err), err);
    CHECK_EQ_INT(el_pack(b, plan, sink, NULL, &err), EL_E_USAGE);
    CHECK(strstr(err.text, "another model"));
    CHECK_OK(el_pack(c, plan, fine, NULL, &err), err); /* the same tensors */
    el_plan_free(plan);
    mock_sink_free(sink);
    mock_sink_free(fine);
    el_source_close(a);
    el_source_close(b);
    el_source_close(c);
}

TEST(pack, out_of_memory_is_reported)
{
    struct el_source *const s = model();
    struct el_plan *plan = NULL;
    struct el_err err = {0};
    REQUIRE_OK(el_plan_make(s, &(struct el_plan_opts){.type = "Q8_0"}, &plan, &err), err);
    bool done = false;
    for (uint64_t n = 1; n < 400 && !done; n++) {
        struct el_sink *const sink = mock_sink();
        el_mem_fail_after(n);
        const struct el_pack_opts opts = {.n_threads = 1};
        const enum el_status status = el_pack(s, plan, sink, &opts, &err);
        el_mem_fail_after(0);
        done = status == EL_OK;
        CHECK(done || status == EL_E_MEMORY);
        mock_sink_free(sink);
    }
    CHECK(done);
    el_plan_free(plan);
    el_source_close(s);
}

#ifndef EL_TEST_PLAIN
/* el_interrupt stays in force for the rest of the process, so only where each test has its own. */
TEST(pack, can_be_interrupted)
{
    struct el_source *const s = mock_source("llama", 1, 4, 4, 0);
    for (int i = 0; i < 20; i++) {
        char name[32];
        snprintf(name, sizeof name, "blk.%d.ffn_up.weight", i);
        mock_add(s, name, 600, 256, NULL);
    }
    struct el_sink *const sink = mock_sink();
    struct seen seen = {.interrupt = true};
    struct el_err err = {0};
    CHECK_EQ_INT(pack(s, &(struct el_plan_opts){.type = "Q8_0"}, 1, false, sink, &seen, &err), EL_E_INTERRUPTED);
    CHECK(seen.n_reports < 20);
    mock_sink_free(sink);
    el_source_close(s);
}
#endif

/* The bytes of all files are known before they are written. */
TEST(pack, the_size_is_known_beforehand)
{
    static const struct {
        const char *type;
        bool pure;
        uint32_t split; /* tensors per file */
    } cases[] = {{"Q4_K_M", false, 0}, {"Q3_K", true, 0}, {"G3_64Z", false, 0},    {"COPY", false, 0},
                 {"IQ4_NL", true, 3},  {"Q8_0", true, 1}, {"G4_32", true, 2},      {"TQ1_0", true, 0},
                 {"Q5_1", false, 4},   {"F16", false, 0}, {"MXFP4_MOE", false, 0}, {"Q2_K", false, 3}};
    struct el_source *const s = model();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct el_sink_opts sink_opts = {.format = "gguf", .overwrite = true, .split_max_tensors = cases[i].split};
        const struct el_plan_opts opts = {.type = cases[i].type, .pure = cases[i].pure};
        struct el_err err = {0};
        struct el_sink *sink = NULL;
        struct el_plan *plan = NULL;
        uint64_t want = 0, twice = 0, have = 0;
        REQUIRE_OK(el_plan_make(s, &opts, &plan, &err), err);
        REQUIRE_OK(el_sink_open(test_tmp("size.gguf"), &sink_opts, &sink, &err), err);
        REQUIRE_OK(el_pack_nbytes(s, plan, sink, &want, &err), err);
        REQUIRE_OK(el_pack_nbytes(s, plan, sink, &twice, &err), err);
        CHECK_EQ_INT(want, twice);
        REQUIRE_OK(el_pack(s, plan, sink, NULL, &err), err);
        REQUIRE_OK(el_sink_commit(sink, &err), err);
        size_t n_files = 0;
        for (struct stat st; el_sink_file(sink, n_files) && stat(el_sink_file(sink, n_files), &st) == 0; n_files++)
            have += (uint64_t)st.st_size;
        CHECK((n_files > 1) == (cases[i].split > 0));
        if (have != want)
            test_fail(__FILE__, __LINE__, "%s: %llu bytes were said, %llu written", cases[i].type, (unsigned long long)want,
                      (unsigned long long)have);
        el_sink_close(sink);
        el_plan_free(plan);
    }
    el_source_close(s);
}
