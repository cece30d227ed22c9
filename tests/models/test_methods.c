/*
 * Every method of quantizers.def on models: all fixtures, the bundled and shared ones, and statistics that say little or nothing.
 * What comes out loads and gives finite logits.
 */
#include <dirent.h>
#include <math.h>
#include <unistd.h>

#include "base/mem.h"
#include "edgellm.h"
#include "models/mem_source.h"
#include "quant/method.h"
#include "test.h"

enum { WINDOW = 48, N_WINDOWS = 6, N_IDS = WINDOW * N_WINDOWS, MAX_ROWS = 256 };

/* What packing told of each tensor. */
struct told {
    size_t n, n_weaker;
    double sum_w2, sum_err2;
    char fallback[MAX_ROWS][160]; /* the plan's and what was found; by tensor */
};

static void on_report(void *user, const struct el_pack_report *r)
{
    struct told *const t = user;
    CHECK_EQ_INT(r->row, t->n);
    t->n++;
    t->sum_w2 += r->sum_w2;
    t->sum_err2 += r->sum_err2;
    CHECK(isfinite(r->sum_err2) && !(r->sum_out2 < -1e-6 * r->sum_y2));
    if (r->fallback && r->row < MAX_ROWS) {
        t->n_weaker++;
        snprintf(t->fallback[r->row], sizeof t->fallback[0], "%s", r->fallback);
    }
}

/* n_ids: 1 or N_IDS. */
static enum el_status calibrate(struct el_source *source, const int32_t *ids, uint32_t n_ids, const char *path,
                                struct el_err *err)
{
    static const char *const names[] = {"ids"};
    static const char *const hashes[] = {"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"};
    const uint32_t one[] = {1}, many[N_WINDOWS] = {WINDOW, WINDOW, WINDOW, WINDOW, WINDOW, WINDOW};
    const bool is_one = n_ids == 1;
    const struct el_calibrate_text text = {
        ids, is_one ? one : many, is_one ? 1 : N_WINDOWS, is_one ? 1 : WINDOW, names, hashes, 1, "windows"};
    const struct el_calibrate_opts opts = {.n_threads = 2};
    const struct el_sink_opts sink_opts = {.format = "gguf", .overwrite = true};
    struct el_sink *sink = NULL;
    enum el_status status = el_sink_open(path, &sink_opts, &sink, err);
    if (status == EL_OK)
        status = el_calibrate(source, &text, sink, &opts, NULL, NULL, err);
    if (status == EL_OK)
        status = el_sink_commit(sink, err);
    el_sink_close(sink);
    return status;
}

/* Plan and pack to `path`; *plan is the caller's. */
static enum el_status quantize(struct el_source *source, const struct el_plan_opts *opts, const char *path, struct el_plan **plan,
                               struct told *told, struct el_err *err)
{
    const struct el_sink_opts sink_opts = {.format = "gguf", .overwrite = true};
    const struct el_pack_opts pack_opts = {.n_threads = 2, .report = on_report, .report_user = told};
    struct el_sink *sink = NULL;
    memset(told, 0, sizeof *told);
    enum el_status status = el_plan_make(source, opts, plan, err);
    if (status == EL_OK)
        status = el_sink_open(path, &sink_opts, &sink, err);
    if (status == EL_OK)
        status = el_pack(source, *plan, sink, &pack_opts, err);
    if (status == EL_OK)
        status = el_sink_commit(sink, err);
    el_sink_close(sink);
    return status;
}

/* Does the file hold what the plan says, load, and give finite logits? */
static void check_file(const char *what, const struct el_plan *plan, const char *path)
{
    struct el_err err = {.text = ""};
    struct el_source *source = NULL;
    struct el_model *model = NULL;
    struct el_session *session = NULL;
    struct el_row rows[8];
    const struct el_session_opts opts = {.n_ctx = 8, .n_batch = 8, .n_threads = 1};
    enum el_status status = el_source_open(path, NULL, &source, &err);
    if (status == EL_OK)
        status = el_plan_check(plan, source, &err);
    if (status == EL_OK)
        status = el_model_open(source, NULL, &model, &err);
    if (status == EL_OK)
        status = el_session_open(model, &opts, &session, &err);
    for (uint32_t i = 0; i < 8; i++)
        rows[i] = (struct el_row){(int32_t)(3 * i + 1), 0, i, true};
    if (status == EL_OK)
        status = el_session_decode(session, rows, 8, &err);
    bool finite = true;
    for (size_t i = 0; status == EL_OK && i < 8; i++)
        for (size_t v = 0; v < el_model_info(model).n_vocab; v++)
            finite = finite && isfinite(el_session_logits(session, i)[v]);
    if (status != EL_OK || !finite)
        test_fail(__FILE__, __LINE__, "%s: %s", what, status != EL_OK ? err.text : "logits are not finite");
    el_session_close(session);
    el_model_close(model);
    el_source_close(source);
}

/* Methods that change the model before, by themselves and before one that reads sums of products. */
static const char *const composed[] = {"awq", "smoothquant", "quarot", "awq+gptq", "quarot+gptq"};
enum { N_COMPOSED = sizeof composed / sizeof *composed };

/* Name number i of all methods, those above the last; NULL past the end. */
static const char *name_at(size_t i)
{
    size_t n = 0;
    while (el_method_at(n))
        n++;
    return i < n ? el_method_at(i)->name : i - n < N_COMPOSED ? composed[i - n] : NULL;
}

static bool rotates(const char *name)
{
    return strncmp(name, "quarot", 6) == 0;
}

/* One model through all methods, with statistics of the ids. Returns how many refused a family that cannot be rotated. */
static unsigned through_every_method(const char *name, struct el_source *source, const int32_t *ids, uint32_t n_ids,
                                     const char *type)
{
    unsigned n_refused = 0;
    static struct told told;
    struct el_err err = {.text = ""};
    struct el_source *stats = NULL;
    char path[512], out[512], what[160];
    snprintf(path, sizeof path, "%s", test_tmp("methods.stats"));
    snprintf(out, sizeof out, "%s", test_tmp("methods.gguf"));
    CHECK_OK(calibrate(source, ids, n_ids, path, &err), err);
    CHECK_OK(el_source_open(path, NULL, &stats, &err), err);
    for (size_t i = 0; stats && name_at(i); i++) {
        struct el_plan *plan = NULL;
        const struct el_plan_opts opts = {
            .type = type, .method = name_at(i), .stats = stats, .how = {.rounds = 10}, .pure = true};
        snprintf(what, sizeof what, "%.100s, %s", name, name_at(i));
        const enum el_status status = quantize(source, &opts, out, &plan, &told, &err);
        if (status == EL_E_UNSUPPORTED && rotates(name_at(i)) && strstr(err.text, "cannot be rotated")) {
            n_refused++;
            el_plan_free(plan);
            continue;
        }
        if (status != EL_OK)
            test_fail(__FILE__, __LINE__, "%s: %s", what, err.text);
        else
            check_file(what, plan, out);
        CHECK(told.sum_err2 < 0.2 * told.sum_w2);
        el_plan_free(plan);
    }
    el_source_close(stats);
    (void)unlink(path);
    (void)unlink(out);
    return n_refused;
}

static void make_ids(int32_t ids[N_IDS], int32_t n_vocab)
{
    for (int32_t i = 0; i < N_IDS; i++)
        ids[i] = (7 * i * i + 3 * i + i / 5) % n_vocab;
}

TEST(methods, every_fixture_goes_through_every_method)
{
    int32_t ids[N_IDS];
    size_t n = 0, n_refused = 0;
    DIR *const dir = opendir(test_data("fixtures"));
    REQUIRE(dir != NULL);
    make_ids(ids, 256);
    for (struct dirent *e; (e = readdir(dir));) {
        char rel[300];
        struct el_err err = {.text = ""};
        struct el_source *source = NULL;
        if (e->d_name[0] == '.')
            continue;
        snprintf(rel, sizeof rel, "fixtures/%.200s", e->d_name);
        CHECK_OK(el_source_open(test_data(rel), NULL, &source, &err), err);
        if (source)
            n_refused += through_every_method(e->d_name, source, ids, N_IDS, n % 2 ? "Q4_0" : "G4_32");
        el_source_close(source);
        n++;
    }
    closedir(dir);
    CHECK(n >= 15);
    CHECK_EQ_INT(n_refused, 2 * 5); /* by two methods, for norms behind additions: two each of gemma 2 and 3, OPT 350M */
}

TEST(methods, stories260k_goes_through_every_method)
{
    int32_t ids[N_IDS];
    struct el_err err = {.text = ""};
    struct el_source *source = NULL;
    const char *const path = test_shared("models/stories260K/stories260K.gguf");
    if (!path)
        SKIP("no ../shared");
    make_ids(ids, 512);
    REQUIRE_OK(el_source_open(path, NULL, &source, &err), err);
    CHECK_EQ_INT(through_every_method("stories260K", source, ids, N_IDS, "Q4_K"), 0);
    el_source_close(source);
}

/* ---- statistics that say little ---- */

static size_t row_of(const struct el_plan *plan, const char *name)
{
    size_t i = 0;
    while (i < el_plan_n_rows(plan) && strcmp(el_plan_row(plan, i).from.name, name) != 0)
        i++;
    return i;
}

static bool says(const struct el_plan *plan, const struct told *told, const char *name, const char *text)
{
    const size_t i = row_of(plan, name);
    const char *const planned = i < el_plan_n_rows(plan) ? el_plan_row(plan, i).fallback : NULL;
    return (planned && strstr(planned, text)) || (i < MAX_ROWS && strstr(told->fallback[i], text));
}

/* A mixture of experts, of which the first layer's matrices never see anything but 0 in column 3. */
static struct el_source *mixture(void)
{
    struct el_source *const source = mem_source_random("mixtral", false, 5);
    static const char *const gains[] = {"blk.0.attn_norm.weight", "blk.0.ffn_norm.weight"};
    for (size_t i = 0; i < 2; i++)
        mem_source_values(source, gains[i])[3] = 0.0f;
    return source;
}

/*
 * One token: experts that none reached, one column of rank one, columns of zeros; and one token again and again: as many as a
 * method wants, and a singular Hessian.
 */
TEST(methods, one_token_or_one_again_and_again)
{
    static struct told told;
    struct el_err err = {.text = ""};
    struct el_source *const source = mixture();
    int32_t ids[N_IDS];
    char path[512], out[512];
    snprintf(path, sizeof path, "%s", test_tmp("poor.stats"));
    snprintf(out, sizeof out, "%s", test_tmp("poor.gguf"));
    for (int32_t i = 0; i < N_IDS; i++)
        ids[i] = 7;
    for (uint32_t n_ids = 1; n_ids <= N_IDS; n_ids += N_IDS - 1) {
        struct el_source *stats = NULL;
        REQUIRE_OK(calibrate(source, ids, n_ids, path, &err), err);
        REQUIRE_OK(el_source_open(path, NULL, &stats, &err), err);
        for (size_t i = 0; el_method_at(i); i++) {
            const struct el_method *const m = el_method_at(i);
            struct el_plan *plan = NULL;
            const struct el_plan_opts opts = {.type = "Q4_0", .method = m->name, .stats = stats, .how = {.rounds = 10}};
            REQUIRE_OK(quantize(source, &opts, out, &plan, &told, &err), err);
            check_file(m->name, plan, out);
            CHECK(told.sum_err2 < 0.2 * told.sum_w2);
            CHECK_EQ_INT(told.n_weaker, 0);
            const bool needs = m->needs_hessian || m->needs_importance;
            CHECK(says(plan, &told, "blk.0.ffn_up_exps.weight", "experts, the first is") == needs);
            CHECK(says(plan, &told, "blk.0.ffn_up_exps.weight", "no token: search") == needs);
            CHECK(says(plan, &told, "blk.0.attn_q.weight", "1 token, fewer than") == (m->needs_hessian && n_ids == 1));
            el_plan_free(plan);
        }
        el_source_close(stats);
    }
    (void)unlink(path);
    (void)unlink(out);
    el_source_close(source);
}

/* The same where the model is changed before. A column that is zeros through a norm's gain of 0 cannot be rotated, others can. */
TEST(methods, one_token_where_the_model_is_changed_before)
{
    static struct told told;
    struct el_err err = {.text = ""};
    int32_t ids[N_IDS];
    char path[512], out[512];
    snprintf(path, sizeof path, "%s", test_tmp("poor.stats"));
    snprintf(out, sizeof out, "%s", test_tmp("poor.gguf"));
    for (int32_t i = 0; i < N_IDS; i++)
        ids[i] = 7;
    for (unsigned k = 0; k < 4; k++) {
        const bool zeros = k % 2;
        struct el_source *const source = zeros ? mixture() : mem_source_random("mixtral", false, 5), *stats = NULL;
        REQUIRE_OK(calibrate(source, ids, k < 2 ? 1 : N_IDS, path, &err), err);
        REQUIRE_OK(el_source_open(path, NULL, &stats, &err), err);
        for (size_t i = 0; i < N_COMPOSED; i++) {
            struct el_plan *plan = NULL;
            const struct el_plan_opts opts = {.type = "Q4_0", .method = composed[i], .stats = stats, .how = {.rounds = 10}};
            const enum el_status status = quantize(source, &opts, out, &plan, &told, &err);
            if (zeros && rotates(composed[i])) {
                CHECK(status == EL_E_UNSUPPORTED && strstr(err.text, "norm.weight': element 3 is 0"));
            } else {
                CHECK_OK(status, err);
                check_file(composed[i], plan, out);
                CHECK(told.sum_err2 < 0.2 * told.sum_w2);
                CHECK(!strstr(composed[i], "gptq") || says(plan, &told, "blk.0.ffn_up_exps.weight", "no token: search"));
            }
            el_plan_free(plan);
        }
        el_source_close(stats);
        el_source_close(source);
    }
    (void)unlink(path);
    (void)unlink(out);
}

/* Writes a number over all or one of the first elements of a tensor of the statistics. */
static bool damage(const char *path, const char *tensor, uint64_t elem, float value)
{
    struct el_err err = {.text = ""};
    struct el_source *stats = NULL;
    if (el_source_open(path, NULL, &stats, &err) != EL_OK)
        return false;
    uint64_t offset = 0;
    for (size_t i = 0; i < el_source_n_tensors(stats); i++)
        if (strcmp(el_source_tensor(stats, i).name, tensor) == 0)
            offset = el_source_tensor(stats, i).offset;
    el_source_close(stats);
    FILE *const f = offset ? fopen(path, "r+b") : NULL;
    const bool ok = f && fseek(f, (long)(offset + 4 * elem), SEEK_SET) == 0 && fwrite(&value, 4, 1, f) == 1;
    return f && fclose(f) == 0 && ok;
}

TEST(methods, statistics_that_cannot_be)
{
    static struct told told;
    struct el_err err = {.text = ""};
    struct el_source *const source = mixture(), *stats = NULL;
    int32_t ids[N_IDS];
    char path[512], out[512];
    snprintf(path, sizeof path, "%s", test_tmp("bad.stats"));
    snprintf(out, sizeof out, "%s", test_tmp("bad.gguf"));
    make_ids(ids, 40);
    REQUIRE_OK(calibrate(source, ids, N_IDS, path, &err), err);
    CHECK(damage(path, "blk.0.attn_q.weight.hessian", 5, NAN));
    CHECK(damage(path, "blk.0.attn_output.weight.hessian", 0, -1e30f));
    CHECK(damage(path, "blk.1.attn_q.weight.in_sum2", 2, INFINITY));
    CHECK(damage(path, "blk.1.attn_output.weight.counts", 0, NAN));
    REQUIRE_OK(el_source_open(path, NULL, &stats, &err), err);
    for (size_t i = 0; el_method_at(i); i++) {
        const struct el_method *const m = el_method_at(i);
        struct el_plan *plan = NULL;
        const struct el_plan_opts opts = {.type = "Q4_0", .method = m->name, .stats = stats, .how = {.rounds = 10}};
        REQUIRE_OK(quantize(source, &opts, out, &plan, &told, &err), err);
        check_file(m->name, plan, out);
        CHECK(told.sum_err2 < 0.2 * told.sum_w2);
        const bool needs = m->needs_hessian || m->needs_importance;
        /* clip takes the products where they are there, and minds only values that cannot be. */
        const bool products = m->needs_hessian || strcmp(m->name, "clip") == 0;
        CHECK(says(plan, &told, "blk.0.attn_q.weight", "sums of products are not finite: imatrix") == products);
        CHECK(says(plan, &told, "blk.0.attn_output.weight", "no sums of squares, however damped: imatrix") == m->needs_hessian);
        CHECK(says(plan, &told, "blk.1.attn_q.weight", "statistics are not finite: search") == needs);
        CHECK(says(plan, &told, "blk.1.attn_output.weight", "statistics are not finite: search") == needs);
        el_plan_free(plan);
    }
    el_source_close(stats);
    (void)unlink(path);
    (void)unlink(out);
    el_source_close(source);
}

/* ---- going on ---- */

struct stopper {
    uint64_t left;
};

static void stop_after(void *user, const char *what, uint64_t done, uint64_t total)
{
    struct stopper *const s = user;
    (void)what;
    CHECK(done <= total);
    if (s->left-- == 0)
        el_interrupt();
}

struct counter {
    size_t n, n_resumed;
};

static void count(void *user, const struct el_pack_report *r)
{
    struct counter *const c = user;
    CHECK_EQ_INT(r->row, c->n);
    c->n++;
    c->n_resumed += r->resumed;
}

static enum el_status pack(struct el_source *source, const struct el_plan *plan, const struct el_pack_opts *opts,
                           const char *path, struct el_err *err)
{
    const struct el_sink_opts sink_opts = {.format = "gguf", .overwrite = true};
    struct el_sink *sink = NULL;
    enum el_status status = el_sink_open(path, &sink_opts, &sink, err);
    if (status == EL_OK)
        status = el_pack(source, plan, sink, opts, err);
    if (status == EL_OK)
        status = el_sink_commit(sink, err);
    el_sink_close(sink);
    return status;
}

static bool same_files(const char *a, const char *b)
{
    size_t n, m;
    char *const x = test_read(a, &n), *const y = test_read(b, &m);
    const bool same = x && y && n == m && memcmp(x, y, n) == 0;
    free(x);
    free(y);
    return same;
}

/* Stopped after every number of waves, by every method: the next run begins where it was, and ends with the same bytes. */
TEST(methods, what_was_stopped_goes_on_to_the_same_bytes)
{
    struct el_err err = {.text = ""};
    struct el_source *const source = mem_source_random("mixtral", false, 5), *stats = NULL;
    int32_t ids[N_IDS];
    char path[512], whole[512], other[512], state[512];
    snprintf(path, sizeof path, "%s", test_tmp("going.stats"));
    snprintf(whole, sizeof whole, "%s", test_tmp("whole.gguf"));
    snprintf(other, sizeof other, "%s", test_tmp("other.gguf"));
    snprintf(state, sizeof state, "%s", test_tmp("other.part"));
    make_ids(ids, 40);
    REQUIRE_OK(calibrate(source, ids, N_IDS, path, &err), err);
    REQUIRE_OK(el_source_open(path, NULL, &stats, &err), err);
    for (size_t i = 0; name_at(i); i++) {
        struct el_plan *plan = NULL;
        const struct el_plan_opts plan_opts = {.type = "Q4_0", .method = name_at(i), .stats = stats, .how = {.rounds = 3}};
        REQUIRE_OK(el_plan_make(source, &plan_opts, &plan, &err), err);
        REQUIRE_OK(pack(source, plan, NULL, whole, &err), err);
        size_t most = 0;
        for (uint64_t stop = 0; stop < 20; stop = 3 * stop + 1) {
            struct stopper s = {stop};
            struct counter c = {.n = 0};
            struct el_pack_opts opts = {.n_threads = 1, .progress = stop_after, .progress_user = &s, .state_path = state};
            const enum el_status status = pack(source, plan, &opts, other, &err);
            el_interrupt_clear();
            CHECK(status == EL_OK || status == EL_E_INTERRUPTED);
            opts = (struct el_pack_opts){.n_threads = 3, .report = count, .report_user = &c, .state_path = state};
            CHECK_OK(pack(source, plan, &opts, other, &err), err);
            CHECK_EQ_INT(c.n, el_plan_n_rows(plan));
            most = c.n_resumed > most ? c.n_resumed : most;
            CHECK(same_files(whole, other));
            (void)unlink(state);
        }
        CHECK(most > el_plan_n_rows(plan) / 2);
        el_plan_free(plan);
    }
    el_source_close(stats);
    el_source_close(source);
}
