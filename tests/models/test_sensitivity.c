/*
 * Tables of choices: errors against what packing reports and against sums written out, the criterion against an inverse and its
 * Cholesky factor, divergences against two sessions, the same numbers whatever the threads, going on from a file.
 */
#include <unistd.h>

#include "base/mem.h"
#include "edgellm.h"
#include "models/mem_source.h"
#include "quant/diverse.h"
#include "quant/make.h"
#include "quant/overlay.h"
#include "quant/sensitivity.h"
#include "test.h"

enum { N_VOCAB = 40, N_IDS = 64, MAX_IN = 128 };

static const uint32_t windows[] = {24, 16, 24};
static const char *const names[] = {"words.txt"};
static const char *const hashes[] = {"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"};
static const struct el_sens_candidate candidates[] = {
    {"Q8_0", NULL}, {"Q4_0", NULL}, {"Q4_0", "rtn"}, {"Q5_1", "imatrix"}, {"F16", NULL}};
enum { N_CANDIDATES = sizeof candidates / sizeof *candidates };

static struct el_calibrate_text text(void)
{
    static int32_t ids[N_IDS];
    for (int32_t i = 0; i < N_IDS; i++)
        ids[i] = (7 * i * i + 3 * i + i / 24) % N_VOCAB;
    return (struct el_calibrate_text){ids, windows, 3, 24, names, hashes, 1, "windows of 24"};
}

/* A model with its statistics, and how tables of it are opened. */
struct subject {
    struct el_source *source, *stats;
    struct el_calibrate_text text;
    struct el_sens_opts opts;
};

static void subject_close(struct subject *s)
{
    el_source_close(s->stats);
    el_source_close(s->source);
}

static bool subject_open(struct subject *s, const char *family, bool tied)
{
    struct el_err err = {.text = ""};
    const struct el_sink_opts sink_opts = {.format = "gguf", .overwrite = true};
    const struct el_calibrate_opts opts = {.process_output = true, .n_threads = 1};
    struct el_sink *sink = NULL;
    *s = (struct subject){.source = mem_source_random(family, tied, 5), .text = text()};
    s->opts = (struct el_sens_opts){.candidates = candidates, .n_candidates = N_CANDIDATES, .n_rows = 1u << 20, .n_threads = 2};
    enum el_status status = el_sink_open(test_tmp("sens.stats"), &sink_opts, &sink, &err);
    if (status == EL_OK)
        status = el_calibrate(s->source, &s->text, sink, &opts, NULL, NULL, &err);
    if (status == EL_OK)
        status = el_sink_commit(sink, &err);
    el_sink_close(sink);
    if (status == EL_OK)
        status = el_source_open(test_tmp("sens.stats"), NULL, &s->stats, &err);
    CHECK_OK(status, err);
    s->opts.stats = s->stats;
    s->opts.text = &s->text;
    s->opts.scratch_path = test_tmp("sens");
    return status == EL_OK;
}

/* ---- errors ---- */

static double reported[64], relative[64];

static void on_report(void *user, const struct el_pack_report *report)
{
    (void)user;
    if (report->row < 64) {
        reported[report->row] = report->sum_out2;
        relative[report->row] = report->sum_err2 / report->sum_w2;
    }
}

/* Packs as a column of the table would have all matrices, and reads the reports. */
static void pack_column(const struct subject *s, const struct el_sens *sens, size_t column)
{
    const struct el_sink_opts sink_opts = {.format = "gguf", .overwrite = true};
    const struct el_pack_opts opts = {.n_threads = 1, .report = on_report};
    struct el_err err = {.text = ""};
    struct el_sink *sink;
    REQUIRE_OK(el_sink_open(test_tmp("sens.gguf"), &sink_opts, &sink, &err), err);
    CHECK_OK(el_pack(s->source, sens->columns[column].plan, sink, &opts, &err), err);
    el_sink_close(sink);
}

/* tr((W - W') H (W - W')^T) / tokens, written out, of what the column makes of a tensor; experts one after the other. */
static double written_out(const struct subject *s, const struct el_sens *sens, size_t row, size_t column)
{
    struct el_err err = {.text = ""};
    const struct el_plan *const plan = sens->columns[column].plan;
    const size_t tensor = sens->rows[row].tensor;
    const struct el_tensor *const t = &s->source->tensors[tensor];
    const struct el_stats_matrix *const m = el_stats_find(plan->stats, t->name);
    const uint64_t n_in = t->n_in, expert_rows = t->n_rows / el_make_n_experts(t);
    float *const w = calloc(t->n_rows * n_in, 4), *const q = calloc(t->n_rows * n_in, 4);
    double *const h = calloc(n_in * n_in, 8), loss = 0.0;
    struct el_make_factors factors = {.expert = 0};
    struct el_made made;
    struct el_pool *pool = NULL;
    double n = 1.0;
    CHECK_OK(el_pool_open(1, &pool, &err), err);
    CHECK_OK(el_make_read(s->source, t, NULL, 0, t->n_rows, w, &err), err);
    CHECK_OK(el_make_tensor(s->source, plan, tensor, &factors, &made, pool, &err), err);
    const struct el_matrix matrix = el_made_matrix(&made);
    el_matrix_decode(&matrix, 0, t->n_rows, q);
    for (uint64_t r = 0; r < t->n_rows; r++) {
        if (r % expert_rows == 0) {
            const uint32_t e = (uint32_t)(r / expert_rows);
            for (uint64_t i = 0; i < n_in; i++)
                h[i * n_in + i] = 1.0;
            if (m && m->has & EL_STATS_HESSIAN)
                CHECK_OK(el_stats_hessian(plan->stats, m, e, 0, n_in, h, &err), err);
            if (m)
                CHECK_OK(el_stats_count(plan->stats, m, e, &n, &err), err);
        }
        for (uint64_t i = 0; i < n_in; i++)
            for (uint64_t j = 0; j < n_in; j++)
                loss += ((double)w[r * n_in + i] - (double)q[r * n_in + i]) * h[i * n_in + j] / n *
                        ((double)w[r * n_in + j] - (double)q[r * n_in + j]);
    }
    el_solve_kept_release(&factors.kept);
    el_made_release(&made);
    el_pool_close(pool);
    free(w);
    free(q);
    free(h);
    return loss;
}

TEST(sensitivity, errors_of_all_rows_are_those_of_packing)
{
    static const char *const families[] = {"llama", "mixtral"};
    for (size_t f = 0; f < 2; f++) {
        struct subject s;
        struct el_sens *sens = NULL;
        struct el_err err = {.text = ""};
        REQUIRE(subject_open(&s, families[f], false));
        REQUIRE_OK(el_sens_open(s.source, &s.opts, &sens, &err), err);
        CHECK_OK(el_sens_errors(sens, &err), err);
        size_t n_known = 0, n_cells = 0;
        for (size_t c = 0; c < el_sens_n_candidates(sens); c++) {
            pack_column(&s, sens, c);
            for (size_t i = 0; i < el_sens_n_items(sens); i++) {
                const struct el_sens_cell cell = el_sens_cell(sens, i, c);
                const size_t t = el_sens_item(sens, i).tensor;
                if (!cell.fits)
                    continue;
                n_cells++;
                CHECK_NEAR(cell.weight, relative[t], 1e-9 * relative[t]);
                /* Where some experts have a weaker method, packing reports the others alone. */
                const bool known = !isnan(reported[t]) && !el_sens_entry(sens, i, c)->fallback;
                const double want = known ? reported[t] : written_out(&s, sens, i, c);
                n_known += known;
                CHECK_NEAR(cell.hessian, want, 2e-6 * want + 1e-12);
            }
        }
        CHECK(n_known > 0 && n_cells > n_known);
        el_sens_close(sens);
        subject_close(&s);
    }
}

TEST(sensitivity, a_sample_stands_for_all_rows)
{
    struct subject s;
    struct el_sens *all = NULL, *some = NULL;
    struct el_err err = {.text = ""};
    REQUIRE(subject_open(&s, "llama", true));
    REQUIRE_OK(el_sens_open(s.source, &s.opts, &all, &err), err);
    s.opts.n_rows = 16;
    REQUIRE_OK(el_sens_open(s.source, &s.opts, &some, &err), err);
    CHECK_OK(el_sens_errors(all, &err), err);
    CHECK_OK(el_sens_errors(some, &err), err);
    bool differ = false;
    for (size_t i = 0; i < el_sens_n_items(all); i++)
        for (size_t c = 0; c < el_sens_n_candidates(all); c++) {
            const struct el_sens_cell a = el_sens_cell(all, i, c), b = el_sens_cell(some, i, c);
            if (!a.fits || a.hessian == 0.0)
                continue;
            CHECK_NEAR(b.hessian, a.hessian, 0.6 * a.hessian);
            differ |= a.hessian != b.hessian;
        }
    CHECK(differ);
    el_sens_close(all);
    el_sens_close(some);
    subject_close(&s);
}

/* |IS|_F STD(IS)^2 with IS = W / diag(R), R^T R = H^-1, by Gauss-Jordan and Cholesky. */
static double criterion(const double *h, const float *w, uint64_t n_rows, uint64_t n_in)
{
    static double a[MAX_IN][2 * MAX_IN], r[MAX_IN][MAX_IN];
    for (uint64_t i = 0; i < n_in; i++)
        for (uint64_t j = 0; j < n_in; j++) {
            a[i][j] = h[i * n_in + j];
            a[i][n_in + j] = i == j;
        }
    for (uint64_t k = 0; k < n_in; k++) {
        const double pivot = a[k][k];
        for (uint64_t j = 0; j < 2 * n_in; j++)
            a[k][j] /= pivot;
        for (uint64_t i = 0; i < n_in; i++) {
            const double f = a[i][k];
            for (uint64_t j = 0; i != k && j < 2 * n_in; j++)
                a[i][j] -= f * a[k][j];
        }
    }
    for (uint64_t i = 0; i < n_in; i++)
        for (uint64_t j = i; j < n_in; j++) {
            double v = a[i][n_in + j];
            for (uint64_t k = 0; k < i; k++)
                v -= r[k][i] * r[k][j];
            r[i][j] = i == j ? sqrt(v) : v / r[i][i];
        }
    double sum = 0.0, sum2 = 0.0;
    const double n = (double)(n_rows * n_in);
    for (uint64_t k = 0; k < n_rows * n_in; k++) {
        const double v = (double)w[k] / r[k % n_in][k % n_in];
        sum += v;
        sum2 += v * v;
    }
    return sqrt(sum2) * (sum2 / n - sum / n * (sum / n));
}

TEST(sensitivity, shiftadd_is_the_papers)
{
    struct subject s;
    struct el_sens *sens = NULL;
    struct el_err err = {.text = ""};
    static double h[MAX_IN * MAX_IN];
    REQUIRE(subject_open(&s, "llama", false));
    s.opts.how.damping = 0.05;
    REQUIRE_OK(el_sens_open(s.source, &s.opts, &sens, &err), err);
    CHECK_OK(el_sens_shiftadd(sens, &err), err);
    size_t n_checked = 0;
    for (size_t i = 0; i < el_sens_n_items(sens); i++) {
        const struct el_sens_item item = el_sens_item(sens, i);
        const struct el_stats *const stats = sens->columns[0].plan->stats;
        const struct el_stats_matrix *const m = el_stats_find(stats, item.name);
        double n = 0.0, mean = 0.0;
        if (!m || !(m->has & EL_STATS_HESSIAN) || item.n_in > MAX_IN)
            continue;
        CHECK_OK(el_stats_count(stats, m, 0, &n, &err), err);
        CHECK_OK(el_stats_hessian(stats, m, 0, 0, item.n_in, h, &err), err);
        for (uint64_t k = 0; k < item.n_in * item.n_in; k++)
            h[k] /= n;
        for (uint64_t k = 0; k < item.n_in; k++)
            mean += h[k * item.n_in + k] / (double)item.n_in;
        for (uint64_t k = 0; k < item.n_in; k++)
            h[k * item.n_in + k] += 0.05 * mean;
        float *const w = calloc(item.n_rows * item.n_in, 4);
        CHECK_OK(el_make_read(s.source, &s.source->tensors[item.tensor], NULL, 0, item.n_rows, w, &err), err);
        const double want = criterion(h, w, item.n_rows, item.n_in);
        CHECK_NEAR(item.shiftadd, want, 1e-6 * want);
        free(w);
        n_checked++;
    }
    CHECK(n_checked >= 7);
    el_sens_close(sens);
    subject_close(&s);
}

/* ---- divergences ---- */

static struct el_session *run_session(struct el_source *source, const struct subject *s, struct el_model **model)
{
    const struct el_session_opts opts = {
        .n_ctx = 24, .n_seqs = 3, .n_batch = N_IDS, .kv_type_k = "f32", .kv_type_v = "f32", .n_threads = 1};
    struct el_row rows[N_IDS];
    struct el_err err = {.text = ""};
    struct el_session *session = NULL;
    uint32_t at = 0;
    for (uint32_t w = 0; w < 3; w++)
        for (uint32_t i = 0; i < windows[w]; i++, at++)
            rows[at] = (struct el_row){s->text.ids[at], w, i, true};
    CHECK_OK(el_model_open(source, NULL, model, &err), err);
    CHECK_OK(el_session_open(*model, &opts, &session, &err), err);
    CHECK_OK(el_session_decode(session, rows, N_IDS, &err), err);
    return session;
}

/* As eval kld has it: the predictions of every window's second half but the last token's. */
static double compare_sessions(const struct el_session *own, const struct el_session *other)
{
    double sum = 0.0, n = 0.0, p[N_VOCAB], q[N_VOCAB];
    uint32_t at = 0;
    for (uint32_t w = 0; w < 3; at += windows[w++])
        for (uint32_t i = windows[w] / 2; i + 1 < windows[w]; i++, n += 1.0) {
            (void)el_log_softmax(el_session_logits(own, at + i), N_VOCAB, 0, p);
            (void)el_log_softmax(el_session_logits(other, at + i), N_VOCAB, 0, q);
            for (size_t k = 0; k < N_VOCAB; k++)
                sum += exp(p[k]) * (p[k] - q[k]);
        }
    return sum / n;
}

/* The divergence of a plan by two sessions over whole models. */
static double by_sessions(const struct subject *s, const struct el_sens *sens, const uint32_t *choice)
{
    struct el_err err = {.text = ""};
    struct el_source *overlay = NULL;
    struct el_model *models[2] = {NULL, NULL};
    struct el_make_factors factors = {.expert = 0};
    struct el_made *const made = calloc(sens->n_rows, sizeof *made);
    struct el_pool *pool = NULL;
    CHECK_OK(el_pool_open(1, &pool, &err), err);
    CHECK_OK(el_overlay_open(s->source, &overlay, &err), err);
    for (size_t i = 0; i < sens->n_rows; i++) {
        if (choice[i] == EL_SENS_KEEP)
            continue;
        CHECK_OK(el_make_tensor(s->source, sens->columns[choice[i]].plan, sens->rows[i].tensor, &factors, &made[i], pool, &err),
                 err);
        el_overlay_set(overlay, sens->rows[i].tensor, &made[i]);
    }
    struct el_session *const own = run_session(s->source, s, &models[0]), *const other = run_session(overlay, s, &models[1]);
    const double kld = compare_sessions(own, other);
    el_session_close(own);
    el_session_close(other);
    el_model_close(models[0]);
    el_model_close(models[1]);
    el_source_close(overlay);
    for (size_t i = 0; i < sens->n_rows; i++)
        el_made_release(&made[i]);
    free(made);
    el_solve_kept_release(&factors.kept);
    el_pool_close(pool);
    return kld;
}

TEST(sensitivity, divergences_are_those_of_whole_models)
{
    static const struct {
        const char *family;
        bool tied;
    } cases[] = {{"llama", false}, {"llama", true}, {"mixtral", false}, {"gpt2", true}};
    for (size_t f = 0; f < sizeof cases / sizeof *cases; f++) {
        struct subject s;
        struct el_sens *sens = NULL;
        struct el_err err = {.text = ""};
        REQUIRE(subject_open(&s, cases[f].family, cases[f].tied));
        s.opts.max_scratch = 3 * N_IDS * 32 * 4; /* three at a time */
        REQUIRE_OK(el_sens_open(s.source, &s.opts, &sens, &err), err);
        CHECK_OK(el_sens_divergences(sens, NULL, 0, &err), err);
        uint32_t *const choice = calloc(2 * sens->n_rows, sizeof *choice);
        for (size_t i = 0; i < sens->n_rows; i++)
            for (size_t c = 0; c < sens->n_columns; c++) {
                const struct el_sens_cell cell = el_sens_cell(sens, i, c);
                if (!cell.fits)
                    continue;
                for (size_t k = 0; k < sens->n_rows; k++)
                    choice[k] = k == i ? (uint32_t)c : EL_SENS_KEEP;
                const double want = by_sessions(&s, sens, choice);
                CHECK_NEAR(cell.kld, want, 1e-9 * want + 1e-15);
                CHECK(cell.kld > 0.0 || cell.hessian == 0.0 || strcmp(cell.method, "convert") == 0);
            }
        /* Two plans of all matrices. */
        double kld[2];
        for (size_t i = 0; i < sens->n_rows; i++) {
            choice[i] = choice[sens->n_rows + i] = EL_SENS_KEEP;
            for (uint32_t c = 0; c < sens->n_columns; c++)
                if (el_sens_cell(sens, i, c).fits) {
                    choice[i] = choice[i] == EL_SENS_KEEP ? c : choice[i];
                    choice[sens->n_rows + i] = i % 2 ? c : choice[i];
                }
        }
        CHECK_OK(el_sens_try(sens, choice, 2, kld, &err), err);
        for (size_t k = 0; k < 2; k++) {
            const double want = by_sessions(&s, sens, choice + k * sens->n_rows);
            CHECK_NEAR(kld[k], want, 1e-9 * want);
        }
        choice[0] = 99;
        CHECK_EQ_INT(el_sens_try(sens, choice, 1, kld, &err), EL_E_USAGE);
        free(choice);
        el_sens_close(sens);
        subject_close(&s);
    }
}

static void measure(const struct subject *s, const struct el_sens_opts *opts, struct el_sens **sens)
{
    struct el_err err = {.text = ""};
    REQUIRE_OK(el_sens_open(s->source, opts, sens, &err), err);
    CHECK_OK(el_sens_errors(*sens, &err), err);
    CHECK_OK(el_sens_shiftadd(*sens, &err), err);
    CHECK_OK(el_sens_divergences(*sens, NULL, 0, &err), err);
}

static bool same(double a, double b)
{
    return a == b || (isnan(a) && isnan(b));
}

static void check_same(const struct el_sens *a, const struct el_sens *b)
{
    for (size_t i = 0; i < el_sens_n_items(a); i++) {
        CHECK(same(el_sens_item(a, i).shiftadd, el_sens_item(b, i).shiftadd));
        for (size_t c = 0; c < el_sens_n_candidates(a); c++) {
            const struct el_sens_cell x = el_sens_cell(a, i, c), y = el_sens_cell(b, i, c);
            CHECK(x.fits == y.fits && same(x.weight, y.weight) && same(x.hessian, y.hessian) && same(x.kld, y.kld));
        }
    }
}

TEST(sensitivity, numbers_do_not_depend_on_threads)
{
    struct subject s;
    struct el_sens *one = NULL, *three = NULL;
    REQUIRE(subject_open(&s, "mixtral", false));
    s.opts.n_rows = 16;
    s.opts.n_threads = 1;
    measure(&s, &s.opts, &one);
    s.opts.n_threads = 3;
    s.opts.max_scratch = 1; /* nor on how many go side by side */
    measure(&s, &s.opts, &three);
    REQUIRE(one && three);
    check_same(one, three);
    el_sens_close(one);
    el_sens_close(three);
    subject_close(&s);
}

TEST(sensitivity, goes_on_from_its_file)
{
    struct subject s;
    struct el_sens *whole = NULL, *again = NULL;
    struct el_err err = {.text = ""};
    const char *const path = test_tmp("sens.jsonl");
    size_t nbytes = 0;
    REQUIRE(subject_open(&s, "llama", true));
    s.opts.state_path = path;
    measure(&s, &s.opts, &whole);
    char *const file = test_read(path, &nbytes);
    REQUIRE(whole && file);
    const size_t cuts[] = {nbytes, nbytes - 1, nbytes / 2, nbytes / 3, 100, 0};
    for (size_t k = 0; k < sizeof cuts / sizeof *cuts; k++) {
        CHECK(test_write(test_tmp("cut.jsonl"), file, cuts[k]));
        s.opts.state_path = test_tmp("cut.jsonl");
        REQUIRE_OK(el_sens_open(s.source, &s.opts, &again, &err), err);
        size_t n_known = 0;
        for (size_t i = 0; i < el_sens_n_items(again); i++)
            for (size_t c = 0; c < el_sens_n_candidates(again); c++)
                n_known += el_sens_cell(again, i, c).kld > 0.0;
        CHECK((n_known > 0) == (k < 2));
        el_sens_close(again);
        measure(&s, &s.opts, &again);
        check_same(whole, again);
        el_sens_close(again);
    }
    /* Another sample, another text; no such file at all; a damaged line. */
    s.opts.n_rows = 7;
    CHECK_EQ_INT(el_sens_open(s.source, &s.opts, &again, &err), EL_E_USAGE);
    s.opts.n_rows = 1u << 20;
    s.text.n_windows = 2;
    CHECK_EQ_INT(el_sens_open(s.source, &s.opts, &again, &err), EL_E_USAGE);
    s.text.n_windows = 3;
    CHECK(test_write(test_tmp("cut.jsonl"), "GGUF\n", 5));
    CHECK_EQ_INT(el_sens_open(s.source, &s.opts, &again, &err), EL_E_USAGE);
    char *const second = strchr(file, '\n');
    REQUIRE(second);
    second[1] = '?';
    CHECK(test_write(test_tmp("cut.jsonl"), file, nbytes));
    CHECK_EQ_INT(el_sens_open(s.source, &s.opts, &again, &err), EL_E_FORMAT);
    free(file);
    el_sens_close(whole);
    subject_close(&s);
}

/* ---- predictions ---- */

TEST(sensitivity, predictions_go_through_what_was_measured)
{
    struct subject s;
    struct el_sens *sens = NULL;
    struct el_err err = {.text = ""};
    struct el_sens_check check;
    double predicted[12], measured[12];
    REQUIRE(subject_open(&s, "llama", false));
    REQUIRE_OK(el_sens_open(s.source, &s.opts, &sens, &err), err);
    CHECK_EQ_INT(el_sens_predict(sens, EL_SENS_HESSIAN, false, &err), EL_E_USAGE);
    CHECK_OK(el_sens_errors(sens, &err), err);
    CHECK_EQ_INT(el_sens_predict(sens, EL_SENS_HESSIAN, true, &err), EL_E_USAGE);
    CHECK_EQ_INT(el_sens_predict(sens, EL_SENS_SHIFTADD, false, &err), EL_E_USAGE);
    const size_t some[] = {0, 3};
    CHECK_OK(el_sens_divergences(sens, some, 2, &err), err);
    CHECK_OK(el_sens_predict(sens, EL_SENS_HESSIAN, true, &err), err);
    for (size_t i = 0; i < sens->n_rows; i++)
        for (size_t c = 0; c < sens->n_columns; c++) {
            const struct el_sens_cell cell = el_sens_cell(sens, i, c);
            if (!cell.fits)
                continue;
            CHECK(cell.loss >= 0.0);
            if (el_sens_cell(sens, i, 0).fits) /* then the other fits too */
                CHECK(isnan(cell.kld) == (c != 0 && c != 3));
            if (cell.kld > 0.0)
                CHECK_NEAR(cell.loss, cell.kld, 1e-12 * cell.kld);
        }
    CHECK_OK(el_sens_shiftadd(sens, &err), err);
    CHECK_OK(el_sens_predict(sens, EL_SENS_SHIFTADD, false, &err), err);
    CHECK_OK(el_sens_divergences(sens, NULL, 0, &err), err);
    CHECK_OK(el_sens_predict(sens, EL_SENS_KLD, true, &err), err);
    for (size_t i = 0; i < sens->n_rows; i++)
        for (size_t c = 0; c < sens->n_columns; c++)
            if (el_sens_cell(sens, i, c).fits)
                CHECK(el_sens_cell(sens, i, c).loss == el_sens_cell(sens, i, c).kld);
    uint32_t *const choice = calloc(12 * sens->n_rows, sizeof *choice);
    CHECK_OK(el_sens_interaction(sens, 12, 7.0, 14.0, &check, predicted, measured, choice, &err), err);
    CHECK(check.tau > 0.5 && check.tau <= 1.0);
    CHECK(check.slope > 0.3 && check.slope < 3.0);
    double last = 0.0;
    for (size_t k = 0; k < 12; k++) {
        double nbytes = 0.0, elems = 0.0;
        for (size_t i = 0; i < sens->n_rows; i++) {
            nbytes += (double)el_sens_cell(sens, i, choice[k * sens->n_rows + i]).nbytes;
            elems += (double)(el_sens_item(sens, i).n_rows * el_sens_item(sens, i).n_in);
        }
        CHECK_NEAR(nbytes * 8.0 / elems, 7.0 + (double)k * 7.0 / 11.0, 0.3);
        CHECK(nbytes > last);
        last = nbytes;
        CHECK_NEAR(predicted[k], el_sens_plan_loss(sens, choice + k * sens->n_rows), 0.0);
    }
    free(choice);
    el_sens_close(sens);
    subject_close(&s);
}

TEST(sensitivity, refuses_what_cannot_be)
{
    struct subject s;
    struct el_sens *sens = NULL;
    struct el_err err = {.text = ""};
    const struct el_sens_candidate twice[] = {{"Q8_0", NULL}, {"Q4_0", "search"}, {"q4_0", "search"}}, unknown = {"Q9", NULL},
                                   wide = {"Q4_K", NULL}, method = {"Q4_0", "none"};
    REQUIRE(subject_open(&s, "llama", true));
    s.opts.candidates = twice;
    s.opts.n_candidates = 3;
    CHECK_EQ_INT(el_sens_open(s.source, &s.opts, &sens, &err), EL_E_USAGE);
    CHECK_EQ_STR(err.text, "candidate Q4_0 by search: is there twice");
    s.opts.n_candidates = 1;
    s.opts.candidates = &unknown;
    CHECK_EQ_INT(el_sens_open(s.source, &s.opts, &sens, &err), EL_E_USAGE);
    s.opts.candidates = &wide;
    CHECK_EQ_INT(el_sens_open(s.source, &s.opts, &sens, &err), EL_E_USAGE);
    CHECK_EQ_STR(err.text, "candidate Q4_K: fits the rows of no matrix");
    s.opts.candidates = &method;
    CHECK_EQ_INT(el_sens_open(s.source, &s.opts, &sens, &err), EL_E_USAGE);
    s.opts.candidates = NULL; /* the standard ones that fit */
    s.opts.text = NULL;
    REQUIRE_OK(el_sens_open(s.source, &s.opts, &sens, &err), err);
    CHECK(el_sens_n_candidates(sens) >= 6);
    CHECK_EQ_STR(el_sens_candidate(sens, el_sens_n_candidates(sens) - 1).type, "F16");
    CHECK_EQ_INT(el_sens_divergences(sens, NULL, 0, &err), EL_E_USAGE);
    CHECK_EQ_STR(err.text, "divergences need a text");
    el_sens_close(sens);
    subject_close(&s);
}
