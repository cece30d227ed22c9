/* Calibration: the numbers of every family against a plain session's, the same bytes whatever the way, llama.cpp's files. */
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"
#include "edgellm.h"
#include "model/model.h"
#include "models/mem_source.h"
#include "quant/stats.h"
#include "test.h"

enum { N_VOCAB = 40, N_IDS = 57, MAX_SEEN = 512 };

static const uint32_t windows[] = {24, 9, 24};
static const char *const names[] = {"words.txt"};
static const char *const hashes[] = {"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"};

static struct el_calibrate_text text(void)
{
    static int32_t ids[N_IDS];
    for (int32_t i = 0; i < N_IDS; i++)
        ids[i] = (7 * i * i + 3 * i + i / 24) % N_VOCAB;
    return (struct el_calibrate_text){ids, windows, 3, 24, names, hashes, 1, "windows of 24"};
}

static const char *family(size_t i)
{
    size_t n = 0;
    while (el_arch_at(n))
        n++;
    return i < n ? el_arch_at(i)->name : mem_source_variant(i - n);
}

/* Calibrates to a file of this name in the folder of the test. */
static enum el_status calibrate(struct el_source *source, const char *path, const struct el_calibrate_opts *opts,
                                struct el_err *err)
{
    const struct el_sink_opts sink_opts = {.format = "gguf", .overwrite = true};
    const struct el_calibrate_text words = text();
    struct el_sink *sink = NULL;
    enum el_status status = el_sink_open(path, &sink_opts, &sink, err);
    if (status == EL_OK)
        status = el_calibrate(source, &words, sink, opts, NULL, NULL, err);
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

static struct el_stats *open_stats(const char *path, struct el_source **source)
{
    struct el_err err = {.text = ""};
    struct el_stats *stats = NULL;
    CHECK_OK(el_source_open(path, NULL, source, &err), err);
    if (*source)
        CHECK_OK(el_stats_open(*source, &stats, &err), err);
    return stats;
}

/* ---- against a session ---- */

struct seen {
    const char *name;
    uint32_t expert;
    uint64_t n_in, n;
    double *products; /* [n_in, n_in] */
    double *sumabs, *maxabs;
};
struct observer {
    struct seen seen[MAX_SEEN];
    size_t n;
};

static void observe(void *user, const struct el_weight *w, uint32_t expert, const struct el_act *x)
{
    struct observer *const o = user;
    size_t at = 0;
    while (at < o->n && !(strcmp(o->seen[at].name, w->name) == 0 && o->seen[at].expert == expert))
        at++;
    struct seen *const s = &o->seen[at];
    if (at == MAX_SEEN)
        return;
    if (at == o->n) {
        *s = (struct seen){w->name, expert, w->n_in, 0, calloc(w->n_in * w->n_in, 8), calloc(w->n_in, 8), calloc(w->n_in, 8)};
        o->n++;
    }
    for (uint64_t t = 0; t < x->n; t++, s->n++)
        for (uint64_t i = 0; i < w->n_in; i++) {
            const double v = (double)x->f32[t * x->f32_stride + i];
            s->sumabs[i] += fabs(v);
            s->maxabs[i] = fmax(s->maxabs[i], fabs(v));
            for (uint64_t j = 0; j < w->n_in; j++)
                s->products[i * w->n_in + j] += v * (double)x->f32[t * x->f32_stride + j];
        }
}

static void run_session(struct el_source *source, struct observer *o)
{
    const struct el_session_opts opts = {
        .n_ctx = 24, .n_seqs = 3, .n_batch = N_IDS, .kv_type_k = "f32", .kv_type_v = "f32", .n_threads = 1};
    const struct el_calibrate_text words = text();
    struct el_row rows[N_IDS];
    struct el_model *model;
    struct el_session *session;
    struct el_err err;
    uint32_t at = 0;
    for (uint32_t w = 0; w < 3; w++)
        for (uint32_t i = 0; i < windows[w]; i++, at++)
            rows[at] = (struct el_row){words.ids[at], w, i, true};
    REQUIRE_OK(el_model_open(source, NULL, &model, &err), err);
    REQUIRE_OK(el_session_open(model, &opts, &session, &err), err);
    CHECK(el_session_observe(session, observe, o));
    CHECK_OK(el_session_decode(session, rows, N_IDS, &err), err);
    el_session_close(session);
    el_model_close(model);
}

static bool near(double got, double want, double scale)
{
    return fabs(got - want) <= 2e-5 * scale;
}

static void compare(const char *what, const struct el_stats *stats, const struct seen *s)
{
    struct el_err err = {.text = ""};
    const struct el_stats_matrix *const m = el_stats_find(stats, s->name);
    double n = 0, scale = 0, scale_abs = 0;
    if (!m || m->n_in != s->n_in || s->expert >= m->n_experts) {
        test_fail(__FILE__, __LINE__, "%s: '%s' is missing or misshapen", what, s->name);
        return;
    }
    CHECK_OK(el_stats_count(stats, m, s->expert, &n, &err), err);
    if (n != (double)s->n)
        test_fail(__FILE__, __LINE__, "%s: '%s': %g rows, %g seen", what, s->name, n, (double)s->n);
    float *const importance = calloc(s->n_in, 4), *const mean = calloc(s->n_in, 4), *const max = calloc(s->n_in, 4);
    double *const h = calloc(s->n_in * s->n_in, 8);
    CHECK_OK(el_stats_importance(stats, m, s->expert, importance, &err), err);
    CHECK_OK(el_stats_abs(stats, m, s->expert, mean, max, &err), err);
    const bool has = (m->has & EL_STATS_HESSIAN) != 0;
    CHECK(has == (strstr(s->name, "gate_inp.") == NULL));
    for (uint64_t r = 0; has && r < s->n_in; r += 3) /* strips that cut tiles */
        CHECK_OK(el_stats_hessian(stats, m, s->expert, r, s->n_in - r < 3 ? s->n_in - r : 3, h + r * s->n_in, &err), err);
    for (uint64_t i = 0; i < s->n_in; i++) {
        scale += s->products[i * s->n_in + i] / (double)s->n_in;
        scale_abs += s->sumabs[i] / (double)s->n_in;
    }
    bool good = true;
    for (uint64_t i = 0; i < s->n_in; i++) {
        good = good && near((double)importance[i] * n, s->products[i * s->n_in + i], scale);
        good = good && near((double)mean[i] * n, s->sumabs[i], scale_abs) && near((double)max[i], s->maxabs[i], scale_abs);
        for (uint64_t j = 0; has && j < s->n_in; j++)
            good = good && near(h[i * s->n_in + j], s->products[i * s->n_in + j], scale);
    }
    if (!good)
        test_fail(__FILE__, __LINE__, "%s: '%s' expert %u: other numbers than a session's", what, s->name, s->expert);
    free(importance);
    free(mean);
    free(max);
    free(h);
}

TEST(calibrate, numbers_of_every_family_are_those_of_a_session)
{
    static struct observer o;
    const char *const path = test_tmp("family.stats");
    const struct el_calibrate_opts opts = {.process_output = true, .n_threads = 2};
    for (size_t f = 0; family(f); f++) {
        struct el_err err = {.text = ""};
        struct el_source *const source = mem_source_random(family(f), false, 5), *file = NULL;
        o.n = 0;
        CHECK_OK(calibrate(source, path, &opts, &err), err);
        run_session(source, &o);
        struct el_stats *const stats = open_stats(path, &file);
        CHECK(o.n > 3);
        size_t n_matrices = 0;
        for (size_t i = 0; i < o.n; i++) {
            /* What stands between the embedding and the first layer is no layer's. */
            if (stats && strcmp(o.seen[i].name, "token_embd_proj.weight") != 0)
                compare(family(f), stats, &o.seen[i]);
            n_matrices++;
            free(o.seen[i].products);
            free(o.seen[i].sumabs);
            free(o.seen[i].maxabs);
        }
        CHECK(n_matrices > 3);
        el_stats_close(stats);
        el_source_close(file);
        el_source_close(source);
    }
}

/* ---- the same bytes ---- */

TEST(calibrate, bytes_do_not_depend_on_threads_or_passes)
{
    static const char *const some[] = {"llama", "mixtral", "qwen2moe"};
    for (size_t f = 0; f < 3; f++) {
        char first[512], other[512];
        struct el_err err = {.text = ""};
        struct el_source *const source = mem_source_random(some[f], false, 7);
        snprintf(first, sizeof first, "%s", test_tmp("first.stats"));
        snprintf(other, sizeof other, "%s", test_tmp("other.stats"));
        const struct el_calibrate_opts ways[] = {{.n_threads = 1},
                                                 {.n_threads = 3},
                                                 {.n_threads = 2, .max_nbytes = 1},
                                                 {.n_threads = 1, .max_nbytes = 70000},
                                                 {.n_threads = 2, .state_path = test_tmp("whole.part")}};
        for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
            CHECK_OK(calibrate(source, i ? other : first, &ways[i], &err), err);
            CHECK(i == 0 || same_files(first, other));
        }
        (void)unlink(ways[4].state_path);
        el_source_close(source);
    }
}

struct stopper {
    uint64_t left;
};

static void stop_after(void *user, const char *what, uint64_t done, uint64_t total)
{
    struct stopper *const s = user;
    (void)what;
    (void)done;
    (void)total;
    if (s->left-- == 0)
        el_interrupt();
}

TEST(calibrate, what_was_stopped_goes_on_to_the_same_bytes)
{
    char first[512], other[512], state[512];
    struct el_err err = {.text = ""};
    struct el_source *const source = mem_source_random("mixtral", false, 7);
    snprintf(first, sizeof first, "%s", test_tmp("first.stats"));
    snprintf(other, sizeof other, "%s", test_tmp("other.stats"));
    snprintf(state, sizeof state, "%s", test_tmp("stopped.part"));
    for (int cross = 0; cross < 2; cross++) {
        struct el_calibrate_opts opts = {
            .n_threads = 1, .process_output = true, .quantized = cross ? source : NULL, .cross = cross > 0};
        CHECK_OK(calibrate(source, first, &opts, &err), err);
        opts.state_path = state;
        opts.progress = stop_after;
        for (uint64_t stop = 0; stop < 4; stop++) {
            struct stopper s = {stop};
            opts.progress_user = &s;
            (void)calibrate(source, other, &opts, &err);
            el_interrupt_clear();
            struct stopper never = {UINT64_MAX};
            opts.progress_user = &never;
            CHECK_OK(calibrate(source, other, &opts, &err), err);
            CHECK(same_files(first, other));
            /* Once more, all of it from the state. */
            CHECK_OK(calibrate(source, other, &opts, &err), err);
            CHECK(same_files(first, other));
            /* The state of another run is not taken. */
            struct el_calibrate_opts changed = opts;
            changed.skip_first = 1;
            CHECK(calibrate(source, other, &changed, &err) == EL_E_USAGE && strstr(err.text, "of another calibration"));
            (void)unlink(state);
        }
    }
    CHECK(test_write(state, "no state", 8));
    const struct el_calibrate_opts opts = {.state_path = state};
    CHECK(calibrate(source, other, &opts, &err) == EL_E_USAGE && strstr(err.text, "is not the state of a calibration"));
    el_source_close(source);
}

/* ---- options ---- */

TEST(calibrate, left_out_tokens_are_not_counted)
{
    const char *const path = test_tmp("skip.stats");
    struct el_err err = {.text = ""};
    struct el_source *const source = mem_source_random("mixtral", false, 7), *file = NULL;
    const struct el_calibrate_opts ways[] = {
        {.skip_first = 2, .no_hessian = true}, {.skip_massive = true, .massive = 1.2}, {.skip_first = 30}};
    static const double most[] = {N_IDS - 6, N_IDS - 1, 0};
    for (size_t i = 0; i < 3; i++) {
        CHECK_OK(calibrate(source, path, &ways[i], &err), err);
        struct el_stats *const stats = open_stats(path, &file);
        const struct el_stats_matrix *const m = stats ? el_stats_find(stats, "blk.0.attn_q.weight") : NULL;
        double n = -1;
        float importance[64] = {0};
        REQUIRE(m && m->n_in <= 64);
        CHECK_OK(el_stats_count(stats, m, 0, &n, &err), err);
        CHECK(i == 1 ? n > 0 && n <= most[i] : n == most[i]);
        CHECK(((m->has & EL_STATS_HESSIAN) != 0) == (i > 0));
        CHECK_OK(el_stats_importance(stats, m, 0, importance, &err), err);
        CHECK(i < 2 || importance[0] == 1.0f);
        el_stats_close(stats);
        el_source_close(file);
    }
    const struct el_calibrate_opts cross = {.cross = true};
    CHECK(calibrate(source, path, &cross, &err) == EL_E_USAGE && strstr(err.text, "needs the quantized model"));
    struct el_source *const foreign = mem_source_random("llama", false, 7);
    const struct el_calibrate_opts other = {.quantized = foreign};
    CHECK(calibrate(source, path, &other, &err) == EL_E_USAGE && strstr(err.text, "is another model"));
    el_source_close(foreign);
    el_source_close(source);
}

TEST(calibrate, quantized_layers_change_what_the_next_ones_see)
{
    const char *const path = test_tmp("cross.stats");
    struct el_err err = {.text = ""};
    struct el_source *const source = mem_source_random("llama", false, 7), *const other = mem_source_random("llama", false, 8);
    for (int same = 0; same < 2; same++) {
        struct el_source *file = NULL;
        const struct el_calibrate_opts opts = {.quantized = same ? source : other, .cross = true};
        CHECK_OK(calibrate(source, path, &opts, &err), err);
        struct el_stats *const stats = open_stats(path, &file);
        const struct el_stats_matrix *const m = stats ? el_stats_find(stats, "blk.1.ffn_down.weight") : NULL;
        REQUIRE(m && m->has & EL_STATS_CROSS);
        double *const c = calloc(m->n_in * m->n_in, 8), *const h = calloc(m->n_in * m->n_in, 8), most = 0, trace = 0;
        CHECK_OK(el_stats_cross(stats, m, 0, m->n_in, c, &err), err);
        CHECK_OK(el_stats_hessian(stats, m, 0, 0, m->n_in, h, &err), err);
        for (uint64_t i = 0; i < m->n_in * m->n_in; i++)
            most = fmax(most, fabs(c[i]));
        for (uint64_t i = 0; i < m->n_in; i++)
            trace += h[i * m->n_in + i];
        CHECK(same ? most == 0 : most > 1e-3 * trace / (double)m->n_in);
        CHECK(el_stats_cross(stats, m, 1, m->n_in, c, &err) == EL_E_USAGE);
        free(c);
        free(h);
        el_stats_close(stats);
        el_source_close(file);
    }
    el_source_close(source);
    el_source_close(other);
}

TEST(calibrate, without_memory_it_fails_and_leaves_nothing)
{
    const char *const path = test_tmp("memory.stats");
    struct el_source *const source = mem_source_random("mixtral", false, 7);
    const struct el_calibrate_opts opts = {.quantized = source, .cross = true, .n_threads = 1, .state_path = test_tmp("m.part")};
    enum el_status status = EL_E_MEMORY;
    for (uint64_t n = 1; status == EL_E_MEMORY && n < 100000; n += n < 40 ? 1 : 1 + n / 8) {
        struct el_err err = {.text = ""};
        (void)unlink(path);
        el_mem_fail_after(n);
        status = calibrate(source, path, &opts, &err);
        el_mem_fail_after(0);
        if (status != EL_OK && status != EL_E_MEMORY)
            test_fail(__FILE__, __LINE__, "allocation %d: status %d, '%s'", (int)n, (int)status, err.text);
        CHECK(status == EL_OK || access(path, F_OK) != 0);
    }
    CHECK(status == EL_OK);
    el_source_close(source);
}

/* ---- adding up, and llama.cpp's files ---- */

static enum el_status merge(const char *const *paths, size_t n, bool only_importance, const char *format, const char *out,
                            struct el_err *err)
{
    struct el_source *sources[3] = {NULL};
    struct el_sink *sink = NULL;
    const struct el_sink_opts opts = {.format = format, .overwrite = true};
    enum el_status status = EL_OK;
    for (size_t i = 0; i < n && status == EL_OK; i++)
        status = el_source_open(paths[i], NULL, &sources[i], err);
    if (status == EL_OK)
        status = el_sink_open(out, &opts, &sink, err);
    if (status == EL_OK)
        status = el_stats_merge(sources, n, only_importance, sink, err);
    if (status == EL_OK)
        status = el_sink_commit(sink, err);
    el_sink_close(sink);
    for (size_t i = 0; i < n; i++)
        el_source_close(sources[i]);
    return status;
}

/* Greatest difference of importances over their mean, over all matrices of b. */
static double worst_importance(const char *path_a, const char *path_b)
{
    struct el_source *source_a = NULL, *source_b = NULL;
    struct el_stats *const a = open_stats(path_a, &source_a), *const b = open_stats(path_b, &source_b);
    struct el_err err = {.text = ""};
    double worst = a && b ? 0 : INFINITY;
    for (size_t i = 0; a && b && el_stats_at(b, i); i++) {
        const struct el_stats_matrix *const y = el_stats_at(b, i), *const x = el_stats_find(a, y->name);
        if (!x || x->n_in != y->n_in || x->n_experts != y->n_experts) {
            test_fail(__FILE__, __LINE__, "'%s' is missing or misshapen", y->name);
            continue;
        }
        for (uint32_t e = 0; e < y->n_experts; e++) {
            float *const u = calloc(x->n_in, 4), *const v = calloc(x->n_in, 4);
            double mean = 0, most = 0;
            CHECK_OK(el_stats_importance(a, x, e, u, &err), err);
            CHECK_OK(el_stats_importance(b, y, e, v, &err), err);
            for (uint64_t j = 0; j < x->n_in; j++) {
                mean += (double)v[j] / (double)x->n_in;
                most = fmax(most, fabs((double)u[j] - (double)v[j]));
            }
            worst = fmax(worst, most / mean);
            free(u);
            free(v);
        }
    }
    el_stats_close(a);
    el_stats_close(b);
    el_source_close(source_a);
    el_source_close(source_b);
    return worst;
}

TEST(calibrate, files_are_added_up)
{
    char a[512], twice[512], dat[512], back[512];
    struct el_err err = {.text = ""};
    struct el_source *const source = mem_source_random("mixtral", false, 7), *first = NULL, *sum = NULL;
    const struct el_calibrate_opts opts = {.massive = 1.5};
    snprintf(a, sizeof a, "%s", test_tmp("a.stats"));
    snprintf(twice, sizeof twice, "%s", test_tmp("twice.stats"));
    snprintf(dat, sizeof dat, "%s", test_tmp("sum.dat"));
    snprintf(back, sizeof back, "%s", test_tmp("back.gguf"));
    CHECK_OK(calibrate(source, a, &opts, &err), err);
    CHECK_OK(merge((const char *const[]){a, a}, 2, false, "gguf", twice, &err), err);
    CHECK(worst_importance(twice, a) == 0);
    struct el_stats *const one = open_stats(a, &first), *const two = open_stats(twice, &sum);
    for (size_t i = 0; one && two && el_stats_at(one, i); i++) {
        const struct el_stats_matrix *const x = el_stats_at(one, i), *const y = el_stats_find(two, x->name);
        double n = 0, m = 0;
        REQUIRE(y && x->has == y->has && x->input == y->input);
        CHECK_OK(el_stats_count(one, x, 0, &n, &err), err);
        CHECK_OK(el_stats_count(two, y, 0, &m, &err), err);
        CHECK(m == 2 * n);
        if (!(x->has & EL_STATS_HESSIAN))
            continue;
        double *const h = calloc(x->n_in, 8), *const g = calloc(x->n_in, 8);
        CHECK_OK(el_stats_hessian(one, x, 0, 1, 1, h, &err), err);
        CHECK_OK(el_stats_hessian(two, y, 0, 1, 1, g, &err), err);
        for (uint64_t j = 0; j < x->n_in; j++)
            CHECK(g[j] == 2 * h[j]);
        free(h);
        free(g);
    }
    el_stats_close(one);
    el_stats_close(two);
    el_source_close(first);
    el_source_close(sum);
    /* Dense matrices only: a .dat does not say how many experts there are. */
    struct el_source *const dense = mem_source_random("llama", false, 7);
    CHECK_OK(calibrate(dense, a, &opts, &err), err);
    CHECK_OK(merge((const char *const[]){a}, 1, true, "imatrix", dat, &err), err);
    CHECK(worst_importance(dat, a) < 1e-6);
    CHECK_OK(merge((const char *const[]){dat, a}, 2, true, "gguf", back, &err), err);
    CHECK(worst_importance(back, a) < 1e-6);
    CHECK(merge((const char *const[]){a, twice}, 2, false, "gguf", back, &err) == EL_E_USAGE);
    CHECK(merge((const char *const[]){a}, 1, false, "imatrix", dat, &err) == EL_E_UNSUPPORTED);
    el_source_close(dense);
    el_source_close(source);
}

/* The first two windows of 256 tokens, as llama-imatrix cuts them. */
static enum el_status calibrate_books(const char *path, struct el_err *err)
{
    static const uint32_t lengths[] = {256, 256};
    const struct el_sink_opts sink_opts = {.format = "gguf", .overwrite = true};
    const struct el_calibrate_opts opts = {.no_hessian = true};
    struct el_source *source = NULL;
    struct el_tokenizer *tok = NULL;
    struct el_sink *sink = NULL;
    int32_t *ids = NULL;
    size_t n = 0, nbytes = 0;
    char *const words = test_read(test_data("text/secret-garden.txt"), &nbytes);
    enum el_status status = el_source_open(test_data("books-4m"), NULL, &source, err);
    if (status == EL_OK)
        status = el_tokenizer_open(source, &tok, err);
    if (status == EL_OK)
        status = el_encode(tok, words, nbytes < 8192 ? nbytes : 8192, EL_TOK_ADD_SPECIAL, &ids, &n, err);
    if (status == EL_OK && n >= 512) {
        ids[0] = ids[256] = el_tok_bos(tok);
        const struct el_calibrate_text t = {ids, lengths, 2, 256, names, hashes, 1, "windows of 256"};
        status = el_sink_open(path, &sink_opts, &sink, err);
        if (status == EL_OK)
            status = el_calibrate(source, &t, sink, &opts, NULL, NULL, err);
        if (status == EL_OK)
            status = el_sink_commit(sink, err);
    }
    CHECK(n >= 512);
    el_sink_close(sink);
    el_free(ids);
    el_tokenizer_close(tok);
    el_source_close(source);
    free(words);
    return status;
}

TEST(calibrate, numbers_of_a_real_model_are_those_of_llama_cpp)
{
    char ours[512], theirs[512], merged[512];
    struct el_err err = {.text = ""};
    snprintf(ours, sizeof ours, "%s", test_tmp("ours.stats"));
    snprintf(merged, sizeof merged, "%s", test_tmp("merged.dat"));
    snprintf(theirs, sizeof theirs, "%s", test_data("imatrix/books-4m.gguf"));
    CHECK_OK(calibrate_books(ours, &err), err);
    CHECK(worst_importance(ours, theirs) < 1e-3);
    CHECK(worst_importance(test_data("imatrix/books-4m.dat"), theirs) < 1e-5);
    /* Their file through our hands is their older file. */
    CHECK_OK(merge((const char *const[]){theirs}, 1, true, "imatrix", merged, &err), err);
    CHECK(worst_importance(merged, test_data("imatrix/books-4m.dat")) < 1e-6);
}
