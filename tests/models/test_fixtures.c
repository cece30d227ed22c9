/*
 * Logits of tiny random checkpoints against transformers, and of the bundled model against its reference arrays. With F32
 * weights, activations and KV the largest difference stays below 1e-4 of the largest logit, from the Hugging Face folder and
 * from llama.cpp's GGUF of it, in any chunks, at every CPU level; a feature that is left out moves logits by more than a
 * hundred times that.
 */
#include <dirent.h>
#include <math.h>
#include <sys/stat.h>

#include "base/cpu.h"
#include "edgellm.h"
#include "test.h"

enum { MAX_FIXTURES = 64 };

/* ids [n] and logits [n, n_vocab] of the reference. */
struct reference {
    char *file;
    const int32_t *ids;
    const float *logits;
    size_t n, n_vocab;
    double largest;
};

/* ---- files of the reference: just what our own scripts write ---- */

/* Data and dims of array `name` in the text of a safetensors file. */
static const void *array_in(const char *file, const char *name, size_t dims[2])
{
    char key[64];
    uint64_t n_header = 0;
    memcpy(&n_header, file, 8);
    snprintf(key, sizeof key, "\"%s\":", name);
    const char *const at = strstr(file + 8, key);
    const char *const shape = at ? strstr(at, "\"shape\":[") : NULL;
    const char *const offsets = at ? strstr(at, "\"data_offsets\":[") : NULL;
    if (!shape || !offsets)
        return NULL;
    char *end = NULL;
    dims[0] = strtoul(shape + 9, &end, 10);
    dims[1] = *end == ',' ? strtoul(end + 1, NULL, 10) : 1;
    return file + 8 + n_header + strtoul(offsets + 16, NULL, 10);
}

static void set_largest(struct reference *r)
{
    r->largest = 0;
    for (size_t i = 0; i < r->n * r->n_vocab; i++)
        r->largest = fmax(r->largest, fabs((double)r->logits[i]));
}

static bool read_reference(const char *path, struct reference *r)
{
    size_t dims[2] = {0}, n_ids[2] = {0};
    *r = (struct reference){.file = test_read(path, NULL)};
    if (!r->file)
        return false;
    r->ids = array_in(r->file, "ids", n_ids);
    r->logits = array_in(r->file, "logits", dims);
    r->n = dims[0];
    r->n_vocab = dims[1];
    if (!r->ids || !r->logits || n_ids[0] != r->n)
        return false;
    set_largest(r);
    return true;
}

/* ---- running ---- */

struct run {
    const char *path, *level, *disable;
    size_t chunk;
    unsigned n_threads;
};

/* The largest |logit - reference|, NAN when it does not run. */
static double difference(const struct run *run, const struct reference *ref)
{
    struct el_err err = {.code = EL_OK};
    struct el_source *source = NULL;
    struct el_model *model = NULL;
    struct el_session *session = NULL;
    struct el_row rows[64];
    double diff = 0;
    const struct el_model_opts model_opts = {.disable = run->disable};
    const struct el_session_opts opts = {
        .n_ctx = (uint32_t)ref->n, .n_batch = 64, .kv_type_k = "f32", .kv_type_v = "f32", .n_threads = run->n_threads};
    CHECK_OK(el_source_open(run->path, NULL, &source, &err), err);
    if (source)
        CHECK_OK(el_model_open(source, &model_opts, &model, &err), err);
    if (model)
        CHECK_OK(el_session_open(model, &opts, &session, &err), err);
    if (!session || el_model_info(model).n_vocab != ref->n_vocab)
        diff = (double)NAN;
    for (size_t at = 0; session && !isnan(diff) && at < ref->n; at += run->chunk) {
        const size_t n = ref->n - at < run->chunk ? ref->n - at : run->chunk;
        for (size_t i = 0; i < n; i++)
            rows[i] = (struct el_row){ref->ids[at + i], 0, (uint32_t)(at + i), true};
        if (el_session_decode(session, rows, n, &err) != EL_OK) {
            CHECK_OK(err.code, err);
            diff = (double)NAN;
        }
        for (size_t i = 0; !isnan(diff) && i < n; i++)
            for (size_t v = 0; v < ref->n_vocab; v++)
                diff =
                    fmax(diff, fabs((double)el_session_logits(session, i)[v] - (double)ref->logits[(at + i) * ref->n_vocab + v]));
    }
    el_session_close(session);
    el_model_close(model);
    el_source_close(source);
    return diff;
}

/* Names of the fixture folders, which are at least those that the issue asks for. */
static size_t fixtures(char names[MAX_FIXTURES][64])
{
    size_t n = 0;
    DIR *const dir = opendir(test_data("fixtures"));
    for (struct dirent *e; dir && n < MAX_FIXTURES && (e = readdir(dir));)
        if (e->d_name[0] != '.' && strlen(e->d_name) < 64)
            snprintf(names[n++], 64, "%.63s", e->d_name);
    if (dir)
        closedir(dir);
    return n;
}

/* "fixtures/NAME/FILE", or the folder itself for "". */
static const char *in_fixture(const char *name, const char *file)
{
    char rel[256];
    snprintf(rel, sizeof rel, "fixtures/%.63s%s%.127s", name, file[0] ? "/" : "", file);
    return test_data(rel);
}

/* The reference of a fixture, or of the one whose weights it shares. */
static bool fixture_reference(const char *name, struct reference *ref)
{
    char *const note = test_read(in_fixture(name, "note.json"), NULL);
    const char *const same = note ? strstr(note, "\"same_weights_as\": \"") : NULL;
    char other[64] = "";
    if (same)
        snprintf(other, sizeof other, "%.*s", (int)strcspn(same + 20, "\""), same + 20);
    free(note);
    return read_reference(in_fixture(same ? other : name, "logits.safetensors"), ref);
}

static bool exists(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0;
}

static void check_path(const char *path, const struct reference *ref)
{
    const size_t chunks[] = {1, 7, 64};
    for (size_t i = 0; el_cpu_level_name(i); i++) {
        const char *const level = el_cpu_level_name(i);
        if (strcmp(level, "native") == 0 || !el_cpu_force((enum el_cpu_level)i))
            continue;
        for (size_t c = 0; c < 3; c++) {
            const struct run run = {.path = path, .level = level, .chunk = chunks[c], .n_threads = 1 + (unsigned)c % 2};
            const double diff = difference(&run, ref);
            if (!(diff < 1e-4 * ref->largest))
                test_fail(__FILE__, __LINE__, "%s at %s in chunks of %zu: logits differ by %g, at most %g", path, level,
                          chunks[c], diff, 1e-4 * ref->largest);
        }
    }
    el_cpu_force(el_cpu_detected());
}

TEST(fixtures, logits_are_those_of_transformers)
{
    char names[MAX_FIXTURES][64];
    const size_t n = fixtures(names);
    unsigned n_gguf = 0;
    CHECK(n >= 42);
    for (size_t i = 0; i < n; i++) {
        struct reference ref;
        if (!fixture_reference(names[i], &ref)) {
            test_fail(__FILE__, __LINE__, "%s: no reference", names[i]);
            continue;
        }
        check_path(in_fixture(names[i], ""), &ref);
        if (exists(in_fixture(names[i], "model-f32.gguf"))) {
            check_path(in_fixture(names[i], "model-f32.gguf"), &ref);
            n_gguf++;
        }
        free(ref.file);
    }
    CHECK(n_gguf >= 26);
}

/* A new line of archs.def cannot slip past these tests. */
TEST(fixtures, every_family_has_one)
{
    char names[MAX_FIXTURES][64], found[MAX_FIXTURES][32] = {{0}};
    const size_t n = fixtures(names);
    const char *family;
    for (size_t i = 0; i < n; i++) {
        struct el_err err = {.code = EL_OK};
        struct el_source *source = NULL;
        struct el_model *model = NULL;
        CHECK_OK(el_source_open(in_fixture(names[i], ""), NULL, &source, &err), err);
        if (source)
            CHECK_OK(el_model_open(source, NULL, &model, &err), err);
        if (model)
            snprintf(found[i], sizeof found[i], "%s", el_model_info(model).arch);
        el_model_close(model);
        el_source_close(source);
    }
    for (size_t k = 0; (family = el_arch_name_at(k, NULL)); k++) {
        size_t i = 0;
        while (i < n && strcmp(found[i], family) != 0)
            i++;
        if (i == n)
            test_fail(__FILE__, __LINE__, "%s has no fixture", family);
    }
}

/* transformers 5 writes rope_parameters where older versions wrote rope_theta and rope_scaling. */
TEST(fixtures, both_spellings_of_rope_scaling)
{
    const char *const names[] = {"llama3-rope", "llama3-rope-factor32"};
    const char *const files[] = {"model.safetensors", "tokenizer.json", "tokenizer_config.json", "generation_config.json"};
    for (int i = 0; i < 2; i++) {
        struct reference ref;
        char path[512];
        REQUIRE(fixture_reference(names[i], &ref));
        const char *const folder = test_tmp(names[i]);
        CHECK(mkdir(folder, 0777) == 0);
        for (int f = -1; f < 4; f++) {
            size_t nbytes = 0;
            char *const data = test_read(in_fixture(names[i], f < 0 ? "config.rope_parameters.json" : files[f]), &nbytes);
            snprintf(path, sizeof path, "%s/%s", folder, f < 0 ? "config.json" : files[f]);
            CHECK(data && test_write(path, data, nbytes));
            free(data);
        }
        const struct run run = {.path = folder, .chunk = 7, .n_threads = 1};
        CHECK(difference(&run, &ref) < 1e-4 * ref.largest);
        free(ref.file);
    }
}

/* Converts as it is; false when that fails. */
static bool convert(const char *from, const char *format, const char *to)
{
    struct el_err err;
    struct el_source *source = NULL;
    struct el_plan *plan = NULL;
    struct el_sink *sink = NULL;
    const struct el_plan_opts plan_opts = {.type = "COPY", .for_convert = true};
    const struct el_sink_opts sink_opts = {.format = format};
    const struct el_pack_opts pack_opts = {.n_threads = 1};
    enum el_status status = el_source_open(from, NULL, &source, &err);
    if (status == EL_OK)
        status = el_plan_make(source, &plan_opts, &plan, &err);
    if (status == EL_OK)
        status = el_sink_open(to, &sink_opts, &sink, &err);
    if (status == EL_OK)
        status = el_pack(source, plan, sink, &pack_opts, &err);
    if (status == EL_OK)
        status = el_sink_commit(sink, &err);
    CHECK_OK(status, err);
    el_sink_close(sink);
    el_plan_free(plan);
    el_source_close(source);
    return status == EL_OK;
}

/* What we write of a fixture is the same model: folder to GGUF to folder, and llama.cpp's GGUF to folder. */
TEST(fixtures, converted_models_have_the_same_logits)
{
    char names[MAX_FIXTURES][64];
    const size_t n = fixtures(names);
    for (size_t i = 0; i < n; i++) {
        struct reference ref;
        char steps[3][128];
        REQUIRE(fixture_reference(names[i], &ref));
        snprintf(steps[0], sizeof steps[0], "%.63s-0.gguf", names[i]);
        snprintf(steps[1], sizeof steps[1], "%.63s-1", names[i]);
        snprintf(steps[2], sizeof steps[2], "%.63s-2", names[i]);
        const bool peer = exists(in_fixture(names[i], "model-f32.gguf"));
        CHECK(convert(in_fixture(names[i], ""), "gguf", test_tmp(steps[0])));
        CHECK(convert(test_tmp(steps[0]), "hf", test_tmp(steps[1])));
        CHECK(!peer || convert(in_fixture(names[i], "model-f32.gguf"), "hf", test_tmp(steps[2])));
        for (int step = 0; step < (peer ? 3 : 2); step++) {
            const struct run run = {.path = test_tmp(steps[step]), .chunk = 64, .n_threads = 1};
            const double diff = difference(&run, &ref);
            if (!(diff < 1e-4 * ref.largest))
                test_fail(__FILE__, __LINE__, "%s: logits differ by %g, at most %g", steps[step], diff, 1e-4 * ref.largest);
        }
        free(ref.file);
    }
}

TEST(fixtures, every_feature_that_is_left_out_moves_the_logits)
{
    static const struct {
        const char *fixture, *features[8];
    } cases[] = {
        {"llama", {"norm_gain", "positions", "output"}},
        {"llama-mha-tied", {"norm_gain", "positions"}},
        {"llama-bias", {"bias", "positions"}},
        {"llama-linear-rope", {"rope_scaling", "positions"}},
        {"llama3-rope", {"rope_scaling"}},
        {"llama3-rope-factor32", {"rope_scaling"}},
        {"qwen2", {"bias", "positions", "norm_gain", "output"}},
        {"qwen2-tied", {"bias"}},
        {"qwen2-window", {"window", "bias"}},
        {"mixtral", {"experts", "positions", "norm_gain", "output"}},
        {"mixtral-window", {"window", "experts"}},
        {"qwen3", {"qk_norm", "positions", "norm_gain", "output"}},
        {"qwen3-window", {"window", "qk_norm", "bias"}},
        {"mistral", {"positions", "norm_gain", "output"}},
        {"mistral-window", {"window"}},
        {"granite", {"embd_scale", "residual_scale", "attn_scale", "logit_scale", "positions"}},
        {"granite-bias", {"embd_scale", "residual_scale", "attn_scale", "logit_scale", "bias"}},
        {"gpt2", {"bias", "norm_bias", "norm_gain", "positions"}},
        {"gpt2-untied", {"output", "bias", "positions"}},
        {"opt", {"pos_offset", "positions", "bias", "norm_bias", "norm_gain"}},
        {"opt-350m", {"pos_offset", "resid_norm", "bias", "norm_bias", "norm_gain"}},
        {"opt-no-bias", {"pos_offset", "output", "norm_bias"}},
        {"stablelm", {"partial_rotary", "positions", "norm_bias", "output"}},
        {"stablelm-bias", {"partial_rotary", "bias", "norm_gain"}},
        {"stablelm-parallel", {"parallel", "qk_norm", "partial_rotary", "norm_gain"}},
        {"starcoder2", {"bias", "norm_bias", "norm_gain", "positions"}},
        {"starcoder2-window", {"window", "output", "norm_bias"}},
        {"qwen3moe", {"qk_norm", "experts", "expert_shares", "positions", "norm_gain", "output"}},
        {"qwen3moe-shares", {"qk_norm", "experts", "expert_shares", "bias"}},
        {"qwen2moe", {"shared_expert", "shared_gate", "experts", "expert_shares", "bias", "output"}},
        {"qwen2moe-norm", {"shared_expert", "shared_gate", "expert_shares", "norm_gain", "positions"}},
        {"olmoe", {"qk_norm", "experts", "expert_shares", "positions", "norm_gain", "output"}},
        {"olmoe-gqa", {"qk_norm", "experts", "expert_shares"}},
        {"phi3", {"positions", "norm_gain", "output"}},
        {"phi3-long", {"rope_scaling", "rope_attn_factor", "partial_rotary"}},
        {"phi3-short", {"rope_scaling", "rope_attn_factor"}},
        {"phi3-window", {"window"}},
        {"gemma2", {"attn_cap", "logit_cap", "window", "window_every", "norm_offset", "embd_scale", "post_norm"}},
        {"gemma2-no-caps", {"attn_scale", "window", "window_every", "norm_offset", "embd_scale", "post_norm"}},
        {"gemma3", {"qk_norm", "rope_local", "rope_scaling", "window", "window_every", "norm_offset", "post_norm"}},
        {"gemma3-period-2", {"qk_norm", "rope_local", "attn_scale", "logit_cap", "window_every", "embd_scale", "output"}},
        {"gpt-bigcode", {"bias", "norm_bias", "norm_gain", "positions"}},
        {"gpt-bigcode-mha", {"bias", "norm_bias", "norm_gain", "positions"}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct reference ref;
        REQUIRE(fixture_reference(cases[i].fixture, &ref));
        for (size_t f = 0; cases[i].features[f]; f++) {
            const char *const paths[] = {in_fixture(cases[i].fixture, ""), in_fixture(cases[i].fixture, "model-f32.gguf")};
            for (int p = 0; p < 2; p++) {
                if (!exists(paths[p]))
                    continue;
                const struct run run = {.path = paths[p], .disable = cases[i].features[f], .chunk = 64, .n_threads = 1};
                const double diff = difference(&run, &ref);
                if (!(diff > 100 * 1e-4 * ref.largest))
                    test_fail(__FILE__, __LINE__, "%s without %s: logits move by %g, at least %g", paths[p], run.disable, diff,
                              0.01 * ref.largest);
            }
        }
        free(ref.file);
    }
}

/* Data of a version 1 .npy file whose header we need not read: our script wrote it, and the reader knows type and shape. */
static const void *npy_data(const char *file)
{
    return file + 10 + (unsigned char)file[8] + 256 * (unsigned char)file[9];
}

TEST(books, logits_are_those_of_the_reference_arrays)
{
    for (int i = 0; i < 3; i++) {
        char rel[64];
        snprintf(rel, sizeof rel, "books-4m/reference/prompt%d_ids.npy", i);
        char *const ids = test_read(test_data(rel), NULL);
        snprintf(rel, sizeof rel, "books-4m/reference/prompt%d_logits.npy", i);
        char *const logits = test_read(test_data(rel), NULL);
        REQUIRE(ids && logits);
        int32_t aligned_ids[32];
        float *const aligned = malloc(32 * 4096 * sizeof *aligned);
        REQUIRE(aligned);
        memcpy(aligned_ids, npy_data(ids), sizeof aligned_ids);
        memcpy(aligned, npy_data(logits), 32 * 4096 * sizeof *aligned);
        const struct reference ref = {.ids = aligned_ids, .logits = aligned, .n = 32, .n_vocab = 4096};
        for (int level = 0; level < EL_CPU_LEVELS; level++) {
            if (!el_cpu_force((enum el_cpu_level)level))
                continue;
            const struct run run = {.path = test_data("books-4m"), .chunk = 9, .n_threads = 2};
            const double diff = difference(&run, &ref);
            CHECK_NEAR(diff, 0, 1e-3);
        }
        el_cpu_force(el_cpu_detected());
        free(aligned);
        free(ids);
        free(logits);
    }
}
