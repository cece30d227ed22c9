/*
 * Folds: a model that is changed at every place of its wiring computes what it did, families whose residual stream cannot be
 * rotated are refused, and statistics seen through a fold are those that the folded model gives.
 */
#include <math.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/threads.h"
#include "edgellm.h"
#include "models/mem_source.h"
#include "quant/fold.h"
#include "quant/stats.h"
#include "test.h"

enum { N_VOCAB = 40, N_LOGITS = MEM_SOURCE_IDS * N_VOCAB };

/* Name number i of all families and variants; NULL past the end. */
static const char *variant_at(size_t i)
{
    size_t n = 0;
    while (el_arch_at(n))
        n++;
    return i < n ? el_arch_at(i)->name : mem_source_variant(i - n);
}

static struct el_fold *open_fold(struct el_source *source)
{
    struct el_err err = {.text = ""};
    struct el_fold *fold = NULL;
    CHECK_OK(el_fold_open(source, &fold, &err), err);
    if (!fold)
        abort(); /* a random model is one that there is */
    el_fold_bind(fold, source);
    return fold;
}

static void gain(struct el_fold *fold, const struct el_fold_place *p, uint64_t *seed)
{
    const struct el_method_opts opts = {0};
    struct el_err err = {.text = ""};
    const size_t n = (size_t)(p->n_groups * p->n_channels);
    float *const s = malloc(n * sizeof *s);
    for (size_t i = 0; i < n; i++)
        s[i] = exp2f(test_randf(seed)) * (!(p->how & EL_C_POSITIVE) && test_rand(seed) % 2 ? -1.0f : 1.0f);
    CHECK_OK(el_fold_mark(fold, p, EL_FOLD_GAIN, &opts, &err), err);
    CHECK_OK(el_fold_gain(fold, p, s, &err), err);
    free(s);
}

/* All gains that commute; or those of inputs, which the running model does. */
static size_t gain_all(struct el_fold *fold, bool inputs, uint64_t seed)
{
    size_t n = 0;
    for (size_t i = 0; el_fold_place_at(fold, i); i++) {
        const struct el_fold_place *const p = el_fold_place_at(fold, i);
        if (p->input != inputs || !(p->how & EL_C_GAIN))
            continue;
        gain(fold, p, &seed);
        n++;
    }
    return n;
}

static void check_logits(const char *what, struct el_source *source, struct el_fold *fold)
{
    float before[N_LOGITS], after[N_LOGITS];
    CHECK(mem_source_logits(source, before, N_VOCAB));
    CHECK(mem_source_logits(el_fold_source(fold), after, N_VOCAB));
    const double m = mem_source_moved(before, after, N_LOGITS);
    if (!(m < 1e-4) || m == 0)
        test_fail(__FILE__, __LINE__, "%s: logits move by %g", what, m);
}

TEST(fold, gains_at_every_place_leave_the_logits)
{
    for (size_t i = 0; variant_at(i); i++)
        for (int tied = 0; tied < 2; tied++) {
            struct el_source *const source = mem_source_random(variant_at(i), tied, 5);
            struct el_fold *const fold = open_fold(source);
            CHECK(gain_all(fold, false, 7 + i) >= 4);
            check_logits(variant_at(i), source, fold);
            el_fold_close(fold);
            el_source_close(source);
        }
}

TEST(fold, inputs_that_the_model_changes_leave_the_logits)
{
    for (size_t i = 0; variant_at(i); i++)
        for (int tied = 0; tied < 2; tied++) {
            const struct el_method_opts opts = {0};
            struct el_err err = {.text = ""};
            struct el_source *const source = mem_source_random(variant_at(i), tied, 4);
            struct el_fold *const fold = open_fold(source);
            for (size_t k = 0; el_fold_place_at(fold, k); k++)
                if (el_fold_place_at(fold, k)->input)
                    CHECK_OK(el_fold_mark(fold, el_fold_place_at(fold, k), EL_FOLD_ROTATE, &opts, &err), err);
            (void)gain_all(fold, false, 3); /* some of these untie the output, behind the tensors that inputs got */
            CHECK(gain_all(fold, true, 3 + i) >= 4);
            for (size_t k = 0; el_fold_place_at(fold, k); k++) {
                const struct el_fold_place *const p = el_fold_place_at(fold, k);
                if (!p->input)
                    continue;
                CHECK_OK(el_fold_rotate(fold, p, k, &err), err);
                CHECK(el_fold_rotate(fold, p, k, &err) == EL_E_UNSUPPORTED && strstr(err.text, "must come last"));
            }
            check_logits(variant_at(i), source, fold);
            el_fold_close(fold);
            el_source_close(source);
        }
}

static enum el_status opens(struct el_source *source, struct el_err *err)
{
    struct el_model *model = NULL;
    const enum el_status status = el_model_open(source, NULL, &model, err);
    el_model_close(model);
    return status;
}

TEST(fold, files_that_say_nonsense_of_inputs_are_refused)
{
    struct el_err err = {.text = ""};
    const uint64_t n_ff = 48, few = 5;
    struct el_source *s = mem_source_random("llama", false, 2);
    float *const signs = mem_source_add(s, "blk.1.ffn_down.input_signs", 1, &n_ff);
    CHECK(opens(s, &err) == EL_E_FORMAT);
    CHECK(strstr(err.text, "'blk.1.ffn_down.input_signs': element 0 is 0, allowed are 1 and -1") != NULL);
    CHECK(el_verify(s, NULL, NULL, NULL, NULL, &err) == EL_E_FORMAT);
    for (uint64_t i = 0; i < n_ff; i++)
        signs[i] = i % 3 ? 1 : -1;
    CHECK_OK(opens(s, &err), err);
    float *const scale = mem_source_add(s, "blk.1.ffn_down.input_scale", 1, &n_ff);
    scale[7] = INFINITY;
    CHECK(opens(s, &err) == EL_E_FORMAT && strstr(err.text, "element 7 is inf, allowed are finite numbers"));
    el_source_close(s);
    s = mem_source_random("llama", false, 2);
    (void)mem_source_add(s, "blk.0.attn_q.input_scale", 1, &few);
    CHECK(opens(s, &err) == EL_E_FORMAT && strstr(err.text, "'blk.0.attn_q.input_scale' has 5 elements, should have 32"));
    el_source_close(s);
    s = mem_source_random("llama", false, 2);
    (void)mem_source_add(s, "token_embd.input_scale", 1, &few);
    CHECK(opens(s, &err) == EL_E_FORMAT && strstr(err.text, "'token_embd.input_scale' does not belong"));
    el_source_close(s);
}

/* What stands in the residual stream of the families that are refused. */
static const char *blocker(const char *variant)
{
    static const char *const table[][2] = {{"gemma2", "'blk.0.post_attention_norm.weight'"},
                                           {"gemma3", "'blk.0.post_attention_norm.weight'"},
                                           {"opt with post-norm", "'blk.0.attn_output_norm.weight'"},
                                           {"opt 350M", "'blk.0.attn_output_norm.weight'"}};
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (strcmp(table[i][0], variant) == 0)
            return table[i][1];
    return NULL;
}

static enum el_status quarot(struct el_fold *fold, const struct el_method_opts *opts, struct el_err *err)
{
    const struct el_fold_method *const method = el_fold_method_by_name("quarot");
    const struct el_fold_task task = {.fold = fold, .opts = opts};
    if (!method)
        return EL_E_USAGE;
    const enum el_status status = method->mark(fold, opts, err);
    return status == EL_OK ? el_fold_decide(fold, method, &task, err) : status;
}

TEST(fold, rotations_leave_the_logits_or_are_refused)
{
    unsigned n_refused = 0, n_rotated = 0;
    for (size_t i = 0; variant_at(i); i++)
        for (int tied = 0; tied < 2; tied++) {
            const struct el_method_opts opts = {0};
            struct el_err err = {.text = ""};
            struct el_source *const source = mem_source_random(variant_at(i), tied, 6);
            struct el_fold *const fold = open_fold(source);
            const enum el_status status = quarot(fold, &opts, &err);
            const char *const why = blocker(variant_at(i));
            if (why) {
                CHECK(status == EL_E_UNSUPPORTED && strstr(err.text, why) && strstr(err.text, "cannot be rotated"));
                n_refused++;
            } else {
                CHECK_OK(status, err);
                (void)gain_all(fold, false, 9); /* and gains behind it */
                check_logits(variant_at(i), source, fold);
                n_rotated++;
            }
            el_fold_close(fold);
            el_source_close(source);
        }
    CHECK(n_refused == 8 && n_rotated > 20);
}

TEST(fold, tied_outputs_part_only_where_that_is_allowed)
{
    const struct el_method_opts keep = {.keep_tied = true}, part = {0};
    struct el_err err = {.text = ""};
    struct el_source *const source = mem_source_random("llama", true, 8);
    struct el_fold *fold = open_fold(source);
    CHECK(quarot(fold, &keep, &err) == EL_E_UNSUPPORTED && strstr(err.text, "'token_embd.weight'"));
    el_fold_close(fold);
    fold = open_fold(source);
    CHECK(el_fold_source(fold)->n_tensors == source->n_tensors);
    CHECK_OK(quarot(fold, &part, &err), err);
    CHECK(el_fold_source(fold)->n_tensors == source->n_tensors + 1);
    CHECK(el_source_find(el_fold_source(fold), "output.weight") == source->n_tensors);
    el_fold_close(fold);
    el_source_close(source);
}

TEST(fold, what_cannot_be_undone_is_refused)
{
    const struct el_method_opts opts = {0};
    struct el_err err = {.text = ""};
    struct el_source *const source = mem_source_random("llama", false, 8);
    float *const norm = mem_source_values(source, "blk.1.ffn_norm.weight");
    struct el_fold *fold = open_fold(source);
    const struct el_fold_place *const p = el_fold_place_at(fold, 0);
    float *const s = calloc((size_t)p->n_channels, sizeof *s);
    CHECK(el_fold_gain(fold, p, s, &err) == EL_E_USAGE && strstr(err.text, "gain 0 is 0"));
    for (uint64_t i = 0; i < p->n_channels; i++)
        s[i] = 2;
    CHECK(el_fold_gain(fold, p, s, &err) == EL_E_USAGE && strstr(err.text, "no such change was marked"));
    CHECK(el_fold_mark(fold, p, EL_FOLD_ROTATE, &opts, &err) == EL_E_UNSUPPORTED && strstr(err.text, "does not commute"));
    norm[3] = 0;
    CHECK(quarot(fold, &opts, &err) == EL_E_UNSUPPORTED && strstr(err.text, "'blk.1.ffn_norm.weight': element 3 is 0"));
    free(s);
    el_fold_close(fold);
    el_source_close(source);
}

/* ---- statistics ---- */

/* quantized: NULL, or whose layers feed the next; then with the cross part. */
static struct el_source *calibrated_on(struct el_source *model, struct el_source *quantized, const char *path)
{
    static const uint32_t windows[] = {30, 27};
    static const char *const names[] = {"words.txt"};
    static const char *const hashes[] = {"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"};
    const struct el_sink_opts sink_opts = {.format = "gguf", .overwrite = true};
    const struct el_calibrate_opts opts = {
        .n_threads = 1, .process_output = true, .quantized = quantized, .cross = quantized != NULL};
    int32_t ids[57];
    for (int32_t i = 0; i < 57; i++)
        ids[i] = (7 * i * i + 3 * i) % N_VOCAB;
    const struct el_calibrate_text text = {ids, windows, 2, 30, names, hashes, 1, "windows"};
    struct el_sink *sink = NULL;
    struct el_source *stats = NULL;
    struct el_err err = {.text = ""};
    CHECK_OK(el_sink_open(path, &sink_opts, &sink, &err), err);
    CHECK_OK(el_calibrate(model, &text, sink, &opts, NULL, NULL, &err), err);
    CHECK_OK(el_sink_commit(sink, &err), err);
    el_sink_close(sink);
    CHECK_OK(el_source_open(path, NULL, &stats, &err), err);
    return stats;
}

static struct el_source *calibrated(struct el_source *model, const char *path)
{
    return calibrated_on(model, NULL, path);
}

/* Greatest difference of two sets of numbers over the greatest number. */
static double apart(const double *a, const double *b, size_t n)
{
    double diff = 0, most = 0;
    for (size_t i = 0; i < n; i++) {
        diff = fmax(diff, fabs(a[i] - b[i]));
        most = fmax(most, fabs(b[i]));
    }
    return diff / most;
}

static void compare_matrix(const char *variant, struct el_fold *fold, const struct el_stats *seen,
                           const struct el_stats_matrix *want, const struct el_stats *of_folded, bool rotated)
{
    struct el_err err = {.text = ""};
    const struct el_stats_matrix *const m = el_fold_stats_find(fold, seen, want->name);
    const size_t n = (size_t)want->n_in;
    REQUIRE(m);
    double *const a = malloc(n * n * sizeof *a), *const b = malloc(n * n * sizeof *b);
    float *const x = malloc(2 * n * sizeof *x), *const y = malloc(2 * n * sizeof *y);
    for (uint32_t e = 0; e < want->n_experts; e++) {
        double tokens = 0;
        CHECK_OK(el_stats_count(of_folded, want, e, &tokens, &err), err);
        if (tokens == 0 || !(want->has & EL_STATS_HESSIAN))
            continue;
        CHECK_OK(el_fold_hessian(fold, seen, m, want->name, e, 0, n, a, &err), err);
        CHECK_OK(el_stats_hessian(of_folded, want, e, 0, n, b, &err), err);
        if (!(apart(a, b, n * n) < 2e-4))
            test_fail(__FILE__, __LINE__, "%s: %s: sums of products are %g apart", variant, want->name, apart(a, b, n * n));
        CHECK_OK(el_fold_importance(fold, seen, m, want->name, e, x, &err), err);
        CHECK_OK(el_stats_importance(of_folded, want, e, y, &err), err);
        for (size_t j = 0; j < n; j++)
            CHECK(fabsf(x[j] - y[j]) <= 1e-3f * y[j] + 1e-5f);
        if (rotated)
            continue;
        CHECK_OK(el_fold_abs(fold, seen, m, want->name, e, x, x + n, &err), err);
        CHECK_OK(el_stats_abs(of_folded, want, e, y, y + n, &err), err);
        for (size_t j = 0; j < 2 * n; j++)
            CHECK(fabsf(x[j] - y[j]) <= 1e-3f * y[j] + 1e-4f);
    }
    free(a);
    free(b);
    free(x);
    free(y);
}

static void check_stats(const char *variant, bool rotate)
{
    const struct el_method_opts opts = {.online_rotation = true};
    struct el_err err = {.text = ""};
    char path[256], folded_path[256];
    (void)snprintf(path, sizeof path, "%s", test_tmp("seen.stats"));
    (void)snprintf(folded_path, sizeof folded_path, "%s", test_tmp("folded.stats"));
    struct el_source *const source = mem_source_random(variant, false, 3);
    struct el_fold *const fold = open_fold(source);
    (void)gain_all(fold, false, 11);
    if (rotate)
        CHECK_OK(quarot(fold, &opts, &err), err);
    struct el_source *const seen_file = calibrated(source, path);
    struct el_source *const folded_file = calibrated(el_fold_source(fold), folded_path);
    struct el_stats *seen = NULL, *of_folded = NULL;
    REQUIRE_OK(el_stats_open(seen_file, &seen, &err), err);
    REQUIRE_OK(el_stats_open(folded_file, &of_folded, &err), err);
    for (size_t i = 0; el_stats_at(of_folded, i); i++)
        compare_matrix(variant, fold, seen, el_stats_at(of_folded, i), of_folded, rotate);
    if (rotate) {
        float out[64];
        const struct el_stats_matrix *const m = el_stats_find(seen, "blk.0.attn_q.weight");
        CHECK(m && el_fold_abs(fold, seen, m, m->name, 0, out, NULL, &err) == EL_E_UNSUPPORTED);
    }
    el_stats_close(seen);
    el_stats_close(of_folded);
    el_source_close(seen_file);
    el_source_close(folded_file);
    el_fold_close(fold);
    el_source_close(source);
}

TEST(fold, statistics_are_those_of_the_folded_model)
{
    check_stats("llama", false);
    check_stats("llama", true);
    check_stats("mixtral", false);
    check_stats("mixtral", true);
    check_stats("qwen2moe", true);
    check_stats("stablelm", true);
}

/* The same changes in any model with the same norms. */
static struct el_fold *changed(struct el_source *source, bool rotate)
{
    const struct el_method_opts opts = {.online_rotation = true};
    struct el_err err = {.text = ""};
    struct el_fold *const fold = open_fold(source);
    (void)gain_all(fold, false, 11);
    if (rotate)
        CHECK_OK(quarot(fold, &opts, &err), err);
    return fold;
}

/* C of every matrix, seen through the fold, and of the folded model fed by the folded quantized one. */
static void check_cross(const char *variant, bool rotate)
{
    struct el_err err = {.text = ""};
    char path[256], folded_path[256];
    (void)snprintf(path, sizeof path, "%s", test_tmp("seen.stats"));
    (void)snprintf(folded_path, sizeof folded_path, "%s", test_tmp("folded.stats"));
    struct el_source *const source = mem_source_random(variant, false, 3), *const other = mem_source_copy(source);
    mem_source_encode(other, "Q4_0");
    struct el_source *const quantized = mem_source_copy(other);
    struct el_fold *const fold = changed(source, rotate), *const folded = changed(quantized, rotate);
    struct el_source *const seen_file = calibrated_on(source, quantized, path);
    struct el_source *const folded_file = calibrated_on(el_fold_source(fold), el_fold_source(folded), folded_path);
    struct el_stats *seen = NULL, *of_folded = NULL;
    unsigned n_compared = 0;
    REQUIRE_OK(el_stats_open(seen_file, &seen, &err), err);
    REQUIRE_OK(el_stats_open(folded_file, &of_folded, &err), err);
    for (size_t i = 0; el_stats_at(of_folded, i); i++) {
        const struct el_stats_matrix *const want = el_stats_at(of_folded, i), *const m =
                                                                                  el_fold_stats_find(fold, seen, want->name);
        const size_t n = (size_t)want->n_in;
        REQUIRE(m && (m->has & EL_STATS_CROSS) == (want->has & EL_STATS_CROSS));
        if (!(want->has & EL_STATS_CROSS))
            continue;
        double *const a = malloc(n * n * sizeof *a), *const b = malloc(n * n * sizeof *b), *const h = malloc(n * n * sizeof *h);
        /* In two pieces, the second of which reads what the first has made. */
        CHECK_OK(el_fold_cross(fold, seen, m, want->name, 0, n / 2, a, &err), err);
        CHECK_OK(el_fold_cross(fold, seen, m, want->name, n / 2, n - n / 2, a + n / 2 * n, &err), err);
        CHECK_OK(el_stats_cross(of_folded, want, 0, n, b, &err), err);
        CHECK_OK(el_stats_hessian(of_folded, want, 0, 0, n, h, &err), err);
        double most = 0, most_h = 0;
        for (size_t k = 0; k < n * n; k++) {
            most = fmax(most, fabs(b[k]));
            most_h = fmax(most_h, fabs(h[k]));
        }
        /* Differences of like numbers: what float32 leaves of them is of the sums' size, not of their own. */
        if (most > 1e-3 * most_h) {
            n_compared++;
            if (!(apart(a, b, n * n) < 1e-2 && apart(a, b, n * n) * most < 2e-4 * most_h))
                test_fail(__FILE__, __LINE__, "%s: %s: cross sums are %g apart", variant, want->name, apart(a, b, n * n));
        }
        free(a);
        free(b);
        free(h);
    }
    CHECK(n_compared >= 3);
    el_stats_close(seen);
    el_stats_close(of_folded);
    el_source_close(seen_file);
    el_source_close(folded_file);
    el_fold_close(fold);
    el_fold_close(folded);
    el_source_close(quantized);
    el_source_close(other);
    el_source_close(source);
}

TEST(fold, the_cross_part_is_that_of_the_folded_model)
{
    check_cross("llama", false);
    check_cross("llama", true);
    check_cross("stablelm", true);
}

/* ---- methods that scale ---- */

/* What a method decides for a model all of whose matrices become G3_32, with so many threads: a fold that is the caller's. */
static struct el_fold *decided(const char *method, struct el_source *source, struct el_source *stats_file, bool input_scales,
                               unsigned n_threads)
{
    const struct el_method_opts opts = {.input_scales = input_scales};
    const struct el_fold_method *const m = el_fold_method_by_name(method);
    struct el_fold *const fold = open_fold(source);
    struct el_err err = {.text = ""};
    struct el_stats *stats = NULL;
    struct el_pool *pool = NULL;
    CHECK_OK(m->mark(fold, &opts, &err), err);
    el_fold_bind(fold, source);
    const struct el_source *const folded = el_fold_source(fold);
    struct el_enc *const enc = calloc(folded->n_tensors, sizeof *enc);
    for (size_t i = 0; i < folded->n_tensors; i++)
        if (folded->tensors[i].n_rows > 1 && !strstr(folded->tensors[i].name, "norm"))
            CHECK_OK(el_enc_parse("G3_32", &enc[i], &err), err);
    CHECK_OK(el_stats_open(stats_file, &stats, &err), err);
    CHECK_OK(el_pool_open(n_threads, &pool, &err), err);
    const struct el_fold_task task = {fold, stats, enc, &opts, pool};
    CHECK_OK(el_fold_decide(fold, m, &task, &err), err);
    el_pool_close(pool);
    el_stats_close(stats);
    free(enc);
    return fold;
}

/* Elements of matrices that differ between two folded models of one base. */
static size_t n_other(struct el_fold *a, struct el_fold *b)
{
    const struct el_source *const x = el_fold_source(a), *const y = el_fold_source(b);
    size_t n = 0;
    for (size_t i = 0; i < x->n_tensors && i < y->n_tensors; i++) {
        const struct el_tensor *const t = &x->tensors[i];
        const size_t nbytes = (size_t)(t->n_rows * t->n_in) * sizeof(float);
        float *const p = malloc(nbytes), *const q = malloc(nbytes);
        uint8_t *p_parts[EL_MAX_PARTS] = {(uint8_t *)p}, *q_parts[EL_MAX_PARTS] = {(uint8_t *)q};
        struct el_err err = {.text = ""};
        CHECK_OK(el_source_read_parts(el_fold_source(a), t, &t->order, 0, t->n_rows, p_parts, &err), err);
        CHECK_OK(el_source_read_parts(el_fold_source(b), &y->tensors[i], &t->order, 0, t->n_rows, q_parts, &err), err);
        n += memcmp(p, q, nbytes) != 0;
        free(p);
        free(q);
    }
    return n;
}

/* Inputs that no link feeds: of families whose MLP has a nonlinearity alone between its matrices. */
static bool has_bare_inputs(struct el_fold *fold)
{
    for (size_t i = 0; el_fold_place_at(fold, i); i++)
        if (el_fold_place_at(fold, i)->input && el_fold_is_marked(fold, el_fold_place_at(fold, i), EL_FOLD_GAIN))
            return true;
    return false;
}

TEST(fold, methods_that_scale_leave_the_logits)
{
    static const char *const methods[] = {"awq", "smoothquant"};
    unsigned n_with_inputs = 0;
    for (size_t i = 0; variant_at(i); i++) {
        struct el_source *const source = mem_source_random(variant_at(i), i % 2, 6);
        char path[256];
        (void)snprintf(path, sizeof path, "%s", test_tmp("scales.stats"));
        struct el_source *const stats = calibrated(source, path);
        for (int m = 0; m < 2; m++) {
            struct el_fold *const fold = decided(methods[m], source, stats, false, 2);
            check_logits(variant_at(i), source, fold);
            CHECK(!has_bare_inputs(fold));
            struct el_fold *const again = decided(methods[m], source, stats, false, 1);
            CHECK_EQ_INT(n_other(fold, again), 0);
            struct el_fold *const inputs = decided(methods[m], source, stats, true, 2);
            check_logits(variant_at(i), source, inputs);
            n_with_inputs += has_bare_inputs(inputs);
            el_fold_close(fold);
            el_fold_close(again);
            el_fold_close(inputs);
        }
        el_source_close(stats);
        el_source_close(source);
    }
    CHECK(n_with_inputs >= 4);
}
