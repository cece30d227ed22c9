/* el_verify: good files pass, and every kind of damage is named. */
#include "test.h"

#include <math.h>
#include <stdarg.h>

#include "base/f16.h"
#include "base/mem.h"
#include "edgellm.h"
#include "tensor/meta.h"
#include "tensor/source.h"

struct found {
    char text[64][600];
    char severity[64];
    size_t n, n_errors;
    uint64_t last_done, total;
    bool backwards;
};

static void on_problem(void *user, char severity, const char *text)
{
    struct found *const f = user;
    if (f->n < 64) {
        snprintf(f->text[f->n], sizeof f->text[0], "%s", text);
        f->severity[f->n++] = severity;
    }
    f->n_errors += severity == 'e';
}

static void on_progress(void *user, const char *what, uint64_t done, uint64_t total)
{
    struct found *const f = user;
    (void)what;
    f->backwards = f->backwards || done < f->last_done || done > total;
    f->last_done = done;
    f->total = total;
}

/* Is there a problem of this severity with these words? Shows what there is when not. */
static void expect(const struct found *f, char severity, const char *words)
{
    for (size_t i = 0; i < f->n; i++) {
        if (f->severity[i] == severity && strstr(f->text[i], words))
            return;
    }
    test_fail(__FILE__, __LINE__, "no '%c' problem '%s' among %zu, the first is '%s'", severity, words, f->n,
              f->n ? f->text[0] : "");
}

static struct el_source *open_source(const char *path)
{
    struct el_err err = {.code = EL_OK};
    struct el_source *s = NULL;
    CHECK_OK(el_source_open(path, NULL, &s, &err), err);
    return s;
}

static struct found *verify(struct el_source *s, enum el_status want)
{
    struct el_err err = {.code = EL_OK};
    struct found *const f = calloc(1, sizeof *f);
    const enum el_status got = el_verify(s, on_problem, f, on_progress, f, &err);
    if (got != want)
        test_fail(__FILE__, __LINE__, "status %d '%s', must be %d; first problem '%s'", (int)got, err.text, (int)want,
                  f->n ? f->text[0] : "");
    if (got == EL_E_FORMAT)
        CHECK(strstr(err.text, " error") != NULL && strstr(err.text, s->path) != NULL);
    CHECK((got == EL_E_FORMAT) == (f->n_errors > 0));
    CHECK(!f->backwards);
    return f;
}

static const char *fixture(void)
{
    return test_data("fixtures/llama/model-f32.gguf");
}

/* A copy of the fixture with bytes of one tensor replaced. */
static struct el_source *patched(const char *tensor, uint64_t at, const void *bytes, size_t n)
{
    size_t nbytes;
    char *const data = test_read(fixture(), &nbytes);
    struct el_source *s = open_source(fixture());
    if (!data || !s)
        return NULL;
    const size_t i = el_source_find(s, tensor);
    CHECK(i != SIZE_MAX);
    memcpy(data + s->tensors[i].offset + at, bytes, n);
    el_source_close(s);
    const char *const path = test_tmp("patched.gguf");
    CHECK(test_write(path, data, nbytes));
    free(data);
    return open_source(path);
}

TEST(verify, good_models_pass)
{
    static const char *const names[] = {"fixtures/llama/model-f32.gguf", "fixtures/mixtral/model-f32.gguf",
                                        "fixtures/gpt-bigcode/model-f32.gguf", "fixtures/qwen2", "fixtures/llama-sharded"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct el_source *const s = open_source(test_data(names[i]));
        REQUIRE(s != NULL);
        struct found *const f = verify(s, EL_OK);
        CHECK_EQ_INT(f->n, 0);
        CHECK(f->total > 0);
        CHECK_EQ_INT(f->last_done, f->total);
        struct el_err err;
        CHECK_OK(el_verify(s, NULL, NULL, NULL, NULL, &err), err);
        free(f);
        el_source_close(s);
    }
}

TEST(verify, quirks_are_warnings)
{
    const char *const path = test_shared("models/stories260K/stories260K.gguf");
    if (!path)
        SKIP("no shared data");
    struct el_source *const s = open_source(path);
    REQUIRE(s != NULL);
    struct found *const f = verify(s, EL_OK);
    expect(f, 'w', "4294967295, which no token has");
    free(f);
    el_source_close(s);
}

TEST(verify, names_values_that_are_not_finite)
{
    const float bad[] = {NAN, INFINITY, -INFINITY, NAN};
    struct el_source *s = patched("blk.0.ffn_up.weight", 4 * (32 * 3 + 5), bad, sizeof bad);
    REQUIRE(s != NULL);
    struct found *f = verify(s, EL_E_FORMAT);
    expect(f, 'e', "tensor 'blk.0.ffn_up.weight': 2 NaN and 2 infinite values, the first in row 3, column 5");
    CHECK_EQ_INT(f->n, 1);
    free(f);
    el_source_close(s);
}

TEST(verify, names_tensors_of_zeros)
{
    static const float zeros[16 * 32];
    struct el_source *const s = patched("blk.0.attn_k.weight", 0, zeros, sizeof zeros);
    REQUIRE(s != NULL);
    struct found *const f = verify(s, EL_OK);
    expect(f, 'w', "tensor 'blk.0.attn_k.weight': every value is zero");
    free(f);
    el_source_close(s);
}

/* Packs the fixture as Q8_0 or another type to a path. */
static bool pack(const char *type, const char *path)
{
    struct el_err err = {.code = EL_OK};
    struct el_source *const s = open_source(fixture());
    struct el_plan *plan = NULL;
    struct el_sink *k = NULL;
    const struct el_plan_opts plan_opts = {.type = type};
    const struct el_sink_opts sink_opts = {.format = "gguf", .overwrite = true};
    CHECK_OK(el_plan_make(s, &plan_opts, &plan, &err), err);
    CHECK_OK(el_sink_open(path, &sink_opts, &k, &err), err);
    const bool ok = plan && k && el_pack(s, plan, k, &(struct el_pack_opts){.n_threads = 1}, &err) == EL_OK &&
                    el_sink_commit(k, &err) == EL_OK;
    if (!ok)
        test_fail(__FILE__, __LINE__, "pack: %s", err.text);
    el_sink_close(k);
    el_plan_free(plan);
    el_source_close(s);
    return ok;
}

TEST(verify, names_scales_that_are_not_finite)
{
    static const struct {
        const char *type;
        size_t at; /* a byte of the second block's scale: with 0xff it is no number */
    } cases[] = {{"Q8_0", 34 + 1}, {"Q4_0", 18 + 1}, {"Q5_1", 24 + 3}, {"IQ4_NL", 18 + 1}, {"MXFP4", 17}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *const path = test_tmp("packed.gguf");
        char words[80];
        REQUIRE(pack(cases[i].type, path));
        struct el_source *s = open_source(path);
        REQUIRE(s != NULL);
        struct found *f = verify(s, EL_OK);
        CHECK_EQ_INT(f->n, 0); /* the stored plan fits, too */
        free(f);
        const size_t t = el_source_find(s, "blk.0.ffn_up.weight");
        REQUIRE(t != SIZE_MAX);
        const uint64_t offset = s->tensors[t].offset;
        el_source_close(s);
        size_t nbytes;
        char *const data = test_read(path, &nbytes);
        data[offset + cases[i].at] = (char)0xff;
        REQUIRE(test_write(path, data, nbytes));
        free(data);
        s = open_source(path);
        REQUIRE(s != NULL);
        f = verify(s, EL_E_FORMAT);
        snprintf(words, sizeof words, "tensor 'blk.0.ffn_up.weight': 1 scales of %s", cases[i].type);
        expect(f, 'e', words);
        free(f);
        el_source_close(s);
    }
}

TEST(verify, reads_own_encodings)
{
    const char *const path = test_tmp("group.gguf");
    REQUIRE(pack("G4_32Z", path));
    struct el_source *s = open_source(path);
    REQUIRE(s != NULL);
    struct found *f = verify(s, EL_OK);
    CHECK_EQ_INT(f->last_done, f->total);
    CHECK_EQ_INT(f->n, 0);
    free(f);
    el_source_close(s);
}

/* ---- the stored plan ---- */

static void with_plan(const char *const *lines, size_t n, enum el_status want, const char *words)
{
    struct el_source *const s = open_source(test_tmp("planned.gguf"));
    REQUIRE(s != NULL);
    struct el_err err;
    CHECK_OK(el_meta_set_str_array(s->meta, "edgellm.plan", lines, NULL, n, &err), err);
    struct found *const f = verify(s, want);
    if (words)
        expect(f, 'e', words);
    free(f);
    el_source_close(s);
}

TEST(verify, compares_the_stored_plan)
{
    REQUIRE(pack("Q8_0", test_tmp("planned.gguf")));
    struct el_source *const s = open_source(test_tmp("planned.gguf"));
    REQUIRE(s != NULL);
    const size_t at = el_meta_find(s->meta, "edgellm.plan");
    REQUIRE(at != SIZE_MAX);
    const size_t n = el_meta_n_elems(s->meta, at);
    const char *lines[64];
    REQUIRE(n == s->n_tensors && n < 63);
    for (size_t i = 0; i < n; i++)
        lines[i] = el_meta_str(s->meta, at, i, NULL);
    const char *const first = lines[0];
    with_plan(lines, n, EL_OK, NULL);
    with_plan(lines + 1, n - 1, EL_E_FORMAT, "not named by metadata 'edgellm.plan'");
    lines[n] = lines[n - 1];
    with_plan(lines, n + 1, EL_E_FORMAT, "is named twice");
    lines[0] = "output_norm.weight";
    with_plan(lines, n, EL_E_FORMAT, "'output_norm.weight' names no tensor of the file, or no encoding");
    lines[0] = "output_norm.weight F32";
    with_plan(lines, n, EL_E_FORMAT, "names no tensor of the file, or no encoding");
    lines[0] = "not.there F32 copy";
    with_plan(lines, n, EL_E_FORMAT, "'not.there F32 copy' names no tensor of the file");
    char wrong[200];
    snprintf(wrong, sizeof wrong, "%.*s Q4_K search fallback: of no use", (int)strcspn(first, " "), first);
    lines[0] = wrong;
    with_plan(lines, n, EL_E_FORMAT, "but metadata 'edgellm.plan' says Q4_K");
    el_source_close(s);

    struct el_source *const odd = open_source(test_tmp("planned.gguf"));
    struct el_err err;
    CHECK_OK(el_meta_set_str(odd->meta, "edgellm.plan", "x", 1, &err), err);
    struct found *const f = verify(odd, EL_E_FORMAT);
    expect(f, 'e', "metadata 'edgellm.plan': must be an array of strings");
    free(f);
    el_source_close(odd);
}

/* One of the report's arrays replaced, or taken away where n is SIZE_MAX. */
static void with_report(const char *key, enum el_meta_type type, const void *data, size_t n, enum el_status want,
                        const char *words)
{
    struct el_source *const s = open_source(test_tmp("planned.gguf"));
    struct el_err err;
    REQUIRE(s != NULL);
    if (n == SIZE_MAX)
        el_meta_remove(s->meta, key);
    else
        CHECK_OK(el_meta_set_array(s->meta, key, type, data, n, &err), err);
    struct found *const f = verify(s, want);
    if (words)
        expect(f, 'e', words);
    CHECK_EQ_INT(f->n_errors, words != NULL);
    free(f);
    el_source_close(s);
}

TEST(verify, checks_the_reports_arrays)
{
    static const char weight[] = "edgellm.report.weight_error", output[] = "edgellm.report.output_error",
                      damping[] = "edgellm.report.damping", weaker[] = "edgellm.report.weaker";
    struct el_err err;
    float x[64] = {0};
    uint32_t parts[64] = {0};
    REQUIRE(pack("Q8_0", test_tmp("planned.gguf")));
    struct el_source *s = open_source(test_tmp("planned.gguf"));
    REQUIRE(s != NULL);
    const size_t n = s->n_tensors;
    REQUIRE(n < 64 && el_meta_find(s->meta, weight) != SIZE_MAX && el_meta_find(s->meta, output) == SIZE_MAX);
    with_report(weight, EL_META_F32, x, n, EL_OK, NULL);
    with_report(weight, EL_META_F32, NULL, SIZE_MAX, EL_OK, NULL); /* of an older version */
    char words[128];
    snprintf(words, sizeof words, "metadata '%s': %zu elements, must be %zu, one for each line", weight, n - 1, n);
    with_report(weight, EL_META_F32, x, n - 1, EL_E_FORMAT, words);
    snprintf(words, sizeof words, "'%s': %zu elements, must be %zu", weight, n + 1, n);
    with_report(weight, EL_META_F32, x, n + 1, EL_E_FORMAT, words);
    with_report(weight, EL_META_F32, x, 0, EL_E_FORMAT, "': 0 elements, must be");
    with_report(weight, EL_META_U32, parts, n, EL_E_FORMAT, "weight_error': array of uint32, must be one of float32");
    x[3] = -0.5f;
    with_report(weight, EL_META_F32, x, n, EL_E_FORMAT, "weight_error': element 3 is -0.5, allowed are numbers from 0");
    x[3] = NAN;
    with_report(weight, EL_META_F32, x, n, EL_E_FORMAT, "weight_error': element 3 is nan, allowed are numbers from 0");
    el_source_close(s);

    /* All four: NaN is what a method does not know of the output's error, and of nothing else. */
    s = open_source(test_tmp("planned.gguf"));
    REQUIRE(s != NULL);
    CHECK_OK(el_meta_set_array(s->meta, output, EL_META_F32, x, n, &err), err);
    x[3] = 0.01f;
    CHECK_OK(el_meta_set_array(s->meta, damping, EL_META_F32, x, n, &err), err);
    parts[1] = 1;
    CHECK_OK(el_meta_set_array(s->meta, weaker, EL_META_U32, parts, n, &err), err);
    struct found *f = verify(s, EL_OK);
    free(f);
    parts[1] = 2;
    CHECK_OK(el_meta_set_array(s->meta, weaker, EL_META_U32, parts, n, &err), err);
    x[5] = INFINITY;
    CHECK_OK(el_meta_set_array(s->meta, damping, EL_META_F32, x, n, &err), err);
    CHECK_OK(el_meta_set_array(s->meta, output, EL_META_F32, x, 2, &err), err);
    f = verify(s, EL_E_FORMAT);
    expect(f, 'e', "metadata 'edgellm.report.weaker': element 1 is 2, the tensor has 1 part");
    expect(f, 'e', "metadata 'edgellm.report.damping': element 5 is inf, allowed are numbers from 0");
    expect(f, 'e', "metadata 'edgellm.report.output_error': 2 elements, must be ");
    CHECK_EQ_INT(f->n_errors, 3);
    free(f);
    el_meta_remove(s->meta, weight);
    CHECK_OK(el_meta_set_u32(s->meta, output, 7, &err), err);
    f = verify(s, EL_E_FORMAT);
    expect(f, 'e', "metadata 'edgellm.report.weight_error': missing, though there are others of a report");
    expect(f, 'e', "metadata 'edgellm.report.output_error': of type uint32, must be an array of float32");
    free(f);
    el_meta_remove(s->meta, "edgellm.plan");
    f = verify(s, EL_E_FORMAT);
    expect(f, 'e', "metadata 'edgellm.report.weaker': there is no 'edgellm.plan' that it is about");
    free(f);
    el_source_close(s);
}

/* ---- family, names, shapes ---- */

static void rename_tensor(struct el_source *s, const char *from, const char *to)
{
    const size_t i = el_source_find(s, from);
    CHECK(i != SIZE_MAX);
    if (i == SIZE_MAX)
        return;
    struct el_tensor *const t = &s->tensors[i];
    struct el_tensor *const old = el_calloc_array(1, sizeof *old);
    old->name = t->name;
    old->file_name = t->file_name;
    el_tensors_free(old, 1);
    t->name = t->file_name = el_strdup(to);
}

TEST(verify, lists_every_tensor_that_does_not_fit)
{
    struct el_source *const s = open_source(fixture());
    REQUIRE(s != NULL);
    rename_tensor(s, "blk.1.ffn_down.weight", "blk.1.ffn_sideways.weight");
    rename_tensor(s, "blk.0.attn_norm.weight", "blk.7.attn_norm.weight");
    const size_t i = el_source_find(s, "blk.0.attn_q.weight");
    REQUIRE(i != SIZE_MAX);
    struct el_err err;
    s->tensors[i].dims[0] /= 2;
    CHECK_OK(el_tensor_complete(&s->tensors[i], &err), err);
    char long_name[80];
    snprintf(long_name, sizeof long_name, "%-70s", "long");
    rename_tensor(s, "output_norm.weight", long_name);
    struct found *const f = verify(s, EL_E_FORMAT);
    expect(f, 'e', "'blk.1.ffn_down.weight' is missing");
    expect(f, 'e', "'blk.1.ffn_sideways.weight' does not belong to one");
    expect(f, 'e', "'blk.0.attn_norm.weight' is missing");
    expect(f, 'e', "'blk.7.attn_norm.weight' is of a layer past the last");
    expect(f, 'e', "'blk.0.attn_q.weight' is 16 x 32, should be 32 x 32");
    expect(f, 'e', "'output_norm.weight' is missing");
    expect(f, 'w', "name of 70 bytes, other GGUF programs read at most 63");
    free(f);
    el_source_close(s);
}

TEST(verify, unknown_families_and_broken_hyperparameters)
{
    struct el_err err;
    struct el_source *s = open_source(fixture());
    REQUIRE(s != NULL);
    CHECK_OK(el_meta_set_str(s->meta, "general.architecture", "rwkv", 4, &err), err);
    struct found *f = verify(s, EL_OK);
    expect(f, 'w', "names and shapes are not checked");
    free(f);
    el_meta_remove(s->meta, "general.architecture");
    f = verify(s, EL_E_FORMAT);
    expect(f, 'e', "general.architecture");
    free(f);
    el_source_close(s);
    s = open_source(fixture());
    REQUIRE(s != NULL);
    CHECK_OK(el_meta_set_u32(s->meta, "llama.attention.head_count", 0, &err), err);
    f = verify(s, EL_E_FORMAT);
    expect(f, 'e', "head_count");
    free(f);
    el_source_close(s);
}

/* ---- tokenizer ---- */

TEST(verify, special_tokens_must_exist)
{
    struct el_err err;
    struct el_source *const s = open_source(fixture());
    REQUIRE(s != NULL);
    const int32_t none = -1, negative = -5;
    const uint32_t list[] = {1, 100000};
    CHECK_OK(el_meta_set_u32(s->meta, "tokenizer.ggml.eot_token_id", 288, &err), err);
    CHECK_OK(el_meta_set_u32(s->meta, "tokenizer.ggml.mask_token_id", 287, &err), err);
    CHECK_OK(el_meta_set_scalar(s->meta, "tokenizer.ggml.sep_token_id", EL_META_I32, &none, &err), err);
    CHECK_OK(el_meta_set_scalar(s->meta, "tokenizer.ggml.cls_token_id", EL_META_I32, &negative, &err), err);
    CHECK_OK(el_meta_set_array(s->meta, "tokenizer.ggml.eog_token_ids", EL_META_U32, list, 2, &err), err);
    CHECK_OK(el_meta_set_str(s->meta, "tokenizer.ggml.fim_pre_token_id", "x", 1, &err), err);
    struct found *const f = verify(s, EL_E_FORMAT);
    expect(f, 'e', "metadata 'tokenizer.ggml.eot_token_id': 288, must be below the number of tokens, 288");
    expect(f, 'w', "metadata 'tokenizer.ggml.sep_token_id': -1, which no token has");
    expect(f, 'e', "metadata 'tokenizer.ggml.cls_token_id': -5, must be below");
    expect(f, 'e', "metadata 'tokenizer.ggml.eog_token_ids': 100000, must be below");
    expect(f, 'e', "metadata 'tokenizer.ggml.fim_pre_token_id': of type string, must be an integer");
    for (size_t i = 0; i < f->n; i++)
        CHECK(strstr(f->text[i], "mask_token_id") == NULL);
    free(f);
    el_source_close(s);
}

TEST(verify, tokenizers_that_do_not_fit)
{
    struct el_err err;
    struct el_source *s = open_source(fixture());
    REQUIRE(s != NULL);
    el_meta_remove(s->meta, "tokenizer.ggml.tokens");
    el_meta_remove(s->meta, "tokenizer.huggingface.json");
    struct found *f = verify(s, EL_OK);
    expect(f, 'w', "no tokenizer");
    free(f);
    el_source_close(s);
    s = open_source(fixture());
    REQUIRE(s != NULL);
    const uint8_t kinds[] = {1, 2, 3};
    CHECK_OK(el_meta_set_str(s->meta, "tokenizer.ggml.model", "?", 1, &err), err);
    el_meta_remove(s->meta, "tokenizer.huggingface.json");
    CHECK_OK(el_meta_set_array(s->meta, "tokenizer.ggml.scores", EL_META_U8, kinds, 3, &err), err);
    f = calloc(1, sizeof *f);
    CHECK(el_verify(s, on_problem, f, NULL, NULL, &err) != EL_E_MEMORY);
    CHECK(f->n > 0 && strstr(f->text[0], "tokenizer: ") == f->text[0]);
    free(f);
    el_source_close(s);
}

/* ---- failures on the way ---- */

TEST(verify, reports_lack_of_memory)
{
    struct el_err err = {.code = EL_OK};
    struct el_source *const s = open_source(fixture());
    REQUIRE(s != NULL);
    enum el_status status = EL_E_MEMORY;
    uint64_t n = 1;
    for (; n < 5000 && status != EL_OK; n += 1 + n / 50) {
        el_mem_fail_after(n);
        status = el_verify(s, NULL, NULL, NULL, NULL, &err);
        el_mem_fail_after(0);
        CHECK(status == EL_OK || status == EL_E_MEMORY || status == EL_E_FORMAT);
    }
    CHECK_EQ_INT(status, EL_OK);
    el_source_close(s);
}
