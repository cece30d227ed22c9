/* Hugging Face folders: reading, the way there and back through GGUF, shards, and what is left when it goes wrong. */
#include "base/mem.h"
#include "formats/hf.h"
#include "model_copy.h"
#include "test.h"

#include <dirent.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static const char *const fixtures[] = {"fixtures/llama",
                                       "fixtures/llama-mha-tied",
                                       "fixtures/llama-bias",
                                       "fixtures/llama-linear-rope",
                                       "fixtures/llama3-rope",
                                       "fixtures/qwen2",
                                       "fixtures/qwen2-tied",
                                       "fixtures/qwen2-window",
                                       "fixtures/gpt-bigcode",
                                       "fixtures/gpt-bigcode-mha",
                                       "fixtures/mixtral",
                                       "fixtures/mixtral-window",
                                       "fixtures/mistral",
                                       "fixtures/mistral-window",
                                       "fixtures/qwen3",
                                       "fixtures/qwen3-window",
                                       "fixtures/granite",
                                       "fixtures/granite-bias",
                                       "fixtures/gpt2-untied",
                                       "fixtures/opt",
                                       "fixtures/opt-350m",
                                       "fixtures/opt-no-bias",
                                       "fixtures/stablelm",
                                       "fixtures/stablelm-bias",
                                       "fixtures/stablelm-parallel",
                                       "fixtures/starcoder2",
                                       "fixtures/starcoder2-window",
                                       "fixtures/qwen3moe",
                                       "fixtures/qwen3moe-shares",
                                       "fixtures/qwen2moe",
                                       "fixtures/qwen2moe-norm",
                                       "fixtures/olmoe",
                                       "fixtures/olmoe-gqa",
                                       "fixtures/phi3",
                                       "fixtures/phi3-long",
                                       "fixtures/phi3-short",
                                       "fixtures/phi3-window",
                                       "fixtures/gemma2",
                                       "fixtures/gemma2-no-caps",
                                       "fixtures/gemma3",
                                       "fixtures/gemma3-period-2",
                                       "books-4m"};
enum { N_FIXTURES = sizeof fixtures / sizeof fixtures[0] };

static const char *in(const char *folder, const char *name)
{
    static char ring[8][4096];
    static unsigned next;
    char *const s = ring[next++ % 8];
    if (snprintf(s, sizeof ring[0], "%s/%s", folder, name) >= (int)sizeof ring[0])
        abort(); /* the tests choose both names: a path that does not fit is a bug of theirs */
    return s;
}

static bool same_files(const char *a, const char *b)
{
    size_t n_a = 0, n_b = 1;
    char *const x = test_read(a, &n_a), *const y = test_read(b, &n_b);
    const bool same = x && y && n_a == n_b && memcmp(x, y, n_a) == 0;
    free(x);
    free(y);
    return same;
}

/* The bits of a scalar value, or the length of a string, or the number of elements. */
static double gist(const struct el_meta *m, size_t i)
{
    size_t n = 0;
    switch (el_meta_type(m, i)) {
    case EL_META_STR: (void)el_meta_str(m, i, 0, &n); return (double)n;
    case EL_META_ARR: return (double)el_meta_n_elems(m, i);
    default: return el_meta_float(m, i, 0);
    }
}

/* Every key of a is in b with the same value. */
static void same_meta(const char *what, const struct el_meta *a, const struct el_meta *b)
{
    for (size_t i = 0; i < el_meta_count(a); i++) {
        const size_t k = el_meta_find(b, el_meta_key(a, i));
        if (k == SIZE_MAX)
            test_fail(__FILE__, __LINE__, "%s: %s is lost", what, el_meta_key(a, i));
        else if (gist(a, i) != gist(b, k))
            test_fail(__FILE__, __LINE__, "%s: %s is %g, was %g", what, el_meta_key(a, i), gist(b, k), gist(a, i));
    }
}

TEST(hf, there_and_back_is_the_same_file)
{
    for (size_t i = 0; i < N_FIXTURES; i++) {
        struct el_err err = {0};
        struct el_source *source, *gguf, *back;
        char gguf_path[4096], folder[4096], name[64];
        snprintf(name, sizeof name, "back%zu.gguf", i);
        snprintf(gguf_path, sizeof gguf_path, "%s", test_tmp(name));
        snprintf(name, sizeof name, "back%zu", i);
        snprintf(folder, sizeof folder, "%s", test_tmp(name));
        REQUIRE_OK(el_source_open(test_data(fixtures[i]), NULL, &source, &err), err);
        CHECK_EQ_STR(el_source_format(source), "hf");
        CHECK(source->n_tensors >= 8);
        REQUIRE_OK(copy_model(source, gguf_path, &(struct el_sink_opts){.format = "gguf"}, &err), err);
        REQUIRE_OK(el_source_open(gguf_path, NULL, &gguf, &err), err);
        CHECK_EQ_INT(gguf->n_tensors, source->n_tensors);
        REQUIRE_OK(copy_model(gguf, folder, &(struct el_sink_opts){.format = "hf"}, &err), err);
        if (!same_files(in(test_data(fixtures[i]), "model.safetensors"), in(folder, "model.safetensors")))
            test_fail(__FILE__, __LINE__, "%s: model.safetensors differs", fixtures[i]);
        if (!same_files(in(test_data(fixtures[i]), "tokenizer.json"), in(folder, "tokenizer.json")))
            test_fail(__FILE__, __LINE__, "%s: tokenizer.json differs", fixtures[i]);
        REQUIRE_OK(el_source_open(folder, NULL, &back, &err), err);
        same_meta(fixtures[i], source->meta, back->meta);
        el_source_close(source);
        el_source_close(gguf);
        el_source_close(back);
    }
}

/* OpenAI's own checkpoints of GPT-2 leave "transformer." out; what we write has it. */
TEST(hf, names_may_lack_the_prefix)
{
    struct el_err err = {0};
    struct el_source *source, *gguf, *back;
    char path[2][4096];
    snprintf(path[0], sizeof path[0], "%s", test_tmp("no-prefix.gguf"));
    snprintf(path[1], sizeof path[1], "%s", test_tmp("no-prefix"));
    REQUIRE_OK(el_source_open(test_data("fixtures/gpt2"), NULL, &source, &err), err);
    REQUIRE_OK(copy_model(source, path[0], &(struct el_sink_opts){.format = "gguf"}, &err), err);
    REQUIRE_OK(el_source_open(path[0], NULL, &gguf, &err), err);
    REQUIRE_OK(copy_model(gguf, path[1], &(struct el_sink_opts){.format = "hf"}, &err), err);
    REQUIRE_OK(el_source_open(path[1], NULL, &back, &err), err);
    CHECK_EQ_INT(back->n_tensors, source->n_tensors);
    for (size_t i = 0; i < source->n_tensors; i++) {
        const struct el_tensor *const t = &source->tensors[i];
        const size_t k = el_source_find(back, t->name);
        REQUIRE(k != SIZE_MAX && t->n_rows == back->tensors[k].n_rows && t->n_in == back->tensors[k].n_in);
        CHECK(strncmp(t->file_name, "transformer.", 12) != 0 && strncmp(back->tensors[k].file_name, "transformer.", 12) == 0);
        const uint64_t n = t->n_rows * t->n_in;
        float *const x = malloc(n * 4), *const y = malloc(n * 4);
        REQUIRE(x && y);
        CHECK_OK(el_source_read_rows(source, i, 0, t->n_rows, x, &err), err);
        CHECK_OK(el_source_read_rows(back, k, 0, t->n_rows, y, &err), err);
        CHECK(memcmp(x, y, n * 4) == 0);
        /* Any bytes of a transposed matrix, also parts of rows, are those of the whole. */
        uint8_t some[100];
        const uint64_t offset = n > 40 ? 37 : 0, some_nbytes = n > 40 ? sizeof some : 4;
        CHECK_OK(source->ops->read(source, t, 0, offset, some, some_nbytes, &err), err);
        CHECK(memcmp(some, (const uint8_t *)x + offset, some_nbytes) == 0);
        free(x);
        free(y);
    }
    el_source_close(source);
    el_source_close(gguf);
    el_source_close(back);
}

TEST(hf, a_folder_to_a_folder_keeps_all_files)
{
    struct el_err err = {0};
    struct el_source *source, *back;
    char folder[4096];
    snprintf(folder, sizeof folder, "%s", test_tmp("copy"));
    REQUIRE_OK(el_source_open(test_data("books-4m"), NULL, &source, &err), err);
    REQUIRE_OK(copy_model(source, folder, &(struct el_sink_opts){.format = "hf"}, &err), err);
    static const char *const names[] = {"model.safetensors", "tokenizer.json", "tokenizer_config.json", "generation_config.json"};
    for (size_t i = 0; i < 4; i++)
        CHECK(same_files(in(test_data("books-4m"), names[i]), in(folder, names[i])));
    REQUIRE_OK(el_source_open(folder, NULL, &back, &err), err);
    same_meta("books-4m", source->meta, back->meta);
    el_source_close(source);
    el_source_close(back);
}

TEST(hf, shards_hold_what_one_file_holds)
{
    struct el_err err = {0};
    struct el_source *one, *fixture, *ours;
    char folder[4096];
    snprintf(folder, sizeof folder, "%s", test_tmp("shards"));
    REQUIRE_OK(el_source_open(test_data("fixtures/llama"), NULL, &one, &err), err);
    REQUIRE_OK(el_source_open(test_data("fixtures/llama-sharded"), NULL, &fixture, &err), err);
    REQUIRE_OK(copy_model(one, folder, &(struct el_sink_opts){.format = "hf", .split_max_nbytes = 100000}, &err), err);
    REQUIRE_OK(el_source_open(folder, NULL, &ours, &err), err);
    CHECK(access(in(folder, "model-00001-of-00004.safetensors"), F_OK) == 0);
    CHECK(access(in(folder, "model.safetensors"), F_OK) != 0);
    CHECK_EQ_INT(one->n_tensors, fixture->n_tensors);
    CHECK_EQ_INT(one->n_tensors, ours->n_tensors);
    for (size_t i = 0; i < one->n_tensors; i++) {
        const size_t a = el_source_find(fixture, one->tensors[i].name), b = el_source_find(ours, one->tensors[i].name);
        const uint64_t n = one->tensors[i].n_rows * one->tensors[i].n_in;
        REQUIRE(a != SIZE_MAX && b != SIZE_MAX);
        float *const x = malloc(n * 4), *const y = malloc(n * 4), *const z = malloc(n * 4);
        CHECK_OK(el_source_read_rows(one, i, 0, one->tensors[i].n_rows, x, &err), err);
        CHECK_OK(el_source_read_rows(fixture, a, 0, one->tensors[i].n_rows, y, &err), err);
        CHECK_OK(el_source_read_rows(ours, b, 0, one->tensors[i].n_rows, z, &err), err);
        CHECK(memcmp(x, y, n * 4) == 0 && memcmp(x, z, n * 4) == 0);
        free(x);
        free(y);
        free(z);
    }
    const struct el_tensor_info info = el_source_tensor(ours, el_source_find(ours, "output_norm.weight"));
    CHECK(strncmp(info.file, "model-0000", 10) == 0);
    CHECK_EQ_STR(info.file_name, "model.norm.weight");
    el_source_close(one);
    el_source_close(fixture);
    el_source_close(ours);
}

TEST(hf, one_tensor_a_file)
{
    struct el_err err = {0};
    struct el_source *source, *back;
    char folder[4096];
    snprintf(folder, sizeof folder, "%s", test_tmp("many"));
    REQUIRE_OK(el_source_open(test_data("fixtures/mixtral"), NULL, &source, &err), err);
    REQUIRE_OK(copy_model(source, folder, &(struct el_sink_opts){.format = "hf", .split_max_tensors = 1}, &err), err);
    REQUIRE_OK(el_source_open(folder, NULL, &back, &err), err);
    const size_t i = el_source_find(back, "blk.1.ffn_down_exps.weight");
    REQUIRE(i != SIZE_MAX);
    CHECK_EQ_INT(back->tensors[i].dims[0], 8);
    CHECK_EQ_INT(back->tensors[i].offset, 0);
    CHECK(back->ops->map(back, &back->tensors[i], 0) == NULL); /* scattered */
    CHECK(back->ops->map(back, &back->tensors[el_source_find(back, "output_norm.weight")], 0) != NULL);
    el_source_close(source);
    el_source_close(back);
}

TEST(hf, llama3_scaling_brings_its_tensor)
{
    struct el_err err = {0};
    struct el_source *source;
    REQUIRE_OK(el_source_open(test_data("fixtures/llama3-rope"), NULL, &source, &err), err);
    const size_t i = el_source_find(source, "rope_freqs.weight");
    REQUIRE(i != SIZE_MAX);
    CHECK_EQ_STR(el_source_tensor(source, i).file, "config.json");
    CHECK(source->ops->map(source, &source->tensors[i], 0) != NULL);
    CHECK(source->ops->file(source, 99) == NULL);
    float values[64];
    REQUIRE(source->tensors[i].n_in <= 64);
    CHECK_OK(el_source_read_rows(source, i, 0, 1, values, &err), err);
    CHECK(values[0] == 1.0f && values[source->tensors[i].n_in - 1] > 1.0f);
    CHECK_EQ_INT(source->ops->read(source, &source->tensors[i], 0, 0, values, 1000000, &err), EL_E_USAGE);
    el_source_close(source);
}

TEST(hf, names_fit_patterns)
{
    uint32_t n[2] = {9, 9};
    CHECK(el_hf_name_fits("a.%u.b.%u", "a.0.b.12", n) && n[0] == 0 && n[1] == 12);
    CHECK(el_hf_name_fits("abc", "abc", n));
    CHECK(!el_hf_name_fits("abc", "abcd", n));
    CHECK(!el_hf_name_fits("a.%u", "a.01", n));
    CHECK(!el_hf_name_fits("a.%u", "a.-1", n));
    CHECK(!el_hf_name_fits("a.%u", "a.", n));
    CHECK(!el_hf_name_fits("a.%u", "a.4294967296", n));
    CHECK(!el_hf_name_fits("%u%u%u", "123", n));
    struct el_buf b;
    el_buf_init(&b);
    el_hf_add_name(&b, "x.%u.y.%u.z", 7, 8);
    CHECK_EQ_STR(b.data, "x.7.y.8.z");
    el_buf_release(&b);
}

/* ---- writing, and what goes wrong ---- */

static struct el_source *tiny(struct el_err *err)
{
    struct el_source *source = NULL;
    return el_source_open(test_data("fixtures/llama"), NULL, &source, err) == EL_OK ? source : NULL;
}

/* Entries of a folder whose names begin so. */
static unsigned n_named(const char *folder, const char *prefix)
{
    unsigned n = 0;
    DIR *const d = opendir(folder);
    for (struct dirent *e; d && (e = readdir(d));)
        n += strncmp(e->d_name, prefix, strlen(prefix)) == 0;
    if (d)
        closedir(d);
    return n;
}

TEST(hf, places_are_checked)
{
    struct el_err err = {0};
    struct el_source *const source = tiny(&err);
    REQUIRE(source);
    const struct el_sink_opts opts = {.format = "hf"}, over = {.format = "hf", .overwrite = true};
    char path[4096];
    snprintf(path, sizeof path, "%s", test_tmp("place"));
    REQUIRE(test_write(path, "x", 1));
    CHECK_EQ_INT(copy_model(source, path, &over, &err), EL_E_IO);
    CHECK(strstr(err.text, "output is a file, not a folder"));
    CHECK_EQ_INT(copy_model(source, in(path, "below"), &opts, &err), EL_E_IO);
    snprintf(path, sizeof path, "%s", test_tmp("missing/folder"));
    CHECK_EQ_INT(copy_model(source, path, &opts, &err), EL_E_IO);
    CHECK(strstr(err.text, "No such file"));
    snprintf(path, sizeof path, "%s/", test_tmp("slash")); /* a slash at the end does no harm */
    CHECK_OK(copy_model(source, path, &opts, &err), err);
    CHECK_EQ_INT(copy_model(source, path, &opts, &err), EL_E_IO);
    CHECK(strstr(err.text, "not empty and overwriting was not asked for"));
    CHECK_OK(copy_model(source, path, &over, &err), err);
    el_source_close(source);
    struct el_source *same;
    REQUIRE_OK(el_source_open(path, NULL, &same, &err), err);
    CHECK_EQ_INT(copy_model(same, path, &over, &err), EL_E_USAGE);
    CHECK(strstr(err.text, "same folder"));
    el_source_close(same);
    CHECK(same_files(in(test_data("fixtures/llama"), "model.safetensors"), in(path, "model.safetensors")));
}

TEST(hf, overwriting_changes_between_one_file_and_shards)
{
    struct el_err err = {0};
    struct el_source *const source = tiny(&err);
    REQUIRE(source);
    char path[4096];
    snprintf(path, sizeof path, "%s", test_tmp("over"));
    for (int round = 0; round < 3; round++) {
        struct el_source *back;
        const struct el_sink_opts opts = {.format = "hf", .overwrite = true, .split_max_nbytes = round == 1 ? 100000 : 0};
        REQUIRE_OK(copy_model(source, path, &opts, &err), err);
        CHECK_EQ_INT(access(in(path, "model.safetensors"), F_OK) == 0, round != 1);
        CHECK_EQ_INT(access(in(path, "model.safetensors.index.json"), F_OK) == 0, round == 1);
        REQUIRE_OK(el_source_open(path, NULL, &back, &err), err);
        CHECK_EQ_INT(back->n_tensors, source->n_tensors);
        el_source_close(back);
    }
    el_source_close(source);
}

/* A model without a tokenizer must not find that of the model which it replaces; files that are no model's stay. */
TEST(hf, overwriting_leaves_nothing_of_the_old_model)
{
    struct el_err err = {0};
    struct el_source *const source = tiny(&err);
    REQUIRE(source);
    char path[4096];
    snprintf(path, sizeof path, "%s", test_tmp("stale"));
    const struct el_sink_opts shards = {.format = "hf", .split_max_nbytes = 100000}, one = {.format = "hf", .overwrite = true};
    REQUIRE_OK(copy_model(source, path, &shards, &err), err);
    static const char *const old[] = {"model-00001-of-00004.safetensors",
                                      "model-00004-of-00004.safetensors",
                                      "model.safetensors.index.json",
                                      "tokenizer.json",
                                      "tokenizer_config.json",
                                      "special_tokens_map.json",
                                      "chat_template.jinja",
                                      "vocab.json"};
    static const char *const others[] = {"README.md", "model-x-of-00004.safetensors", "model-1-of-2.safetensors.bak"};
    for (size_t i = 4; i < sizeof old / sizeof old[0]; i++)
        REQUIRE(test_write(in(path, old[i]), "{}", 2));
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        REQUIRE(test_write(in(path, others[i]), "x", 1));
    for (size_t i = 0; i < sizeof old / sizeof old[0]; i++)
        CHECK(access(in(path, old[i]), F_OK) == 0);
    for (size_t i = el_meta_count(source->meta); i-- > 0;) {
        if (strncmp(el_meta_key(source->meta, i), "tokenizer.", 10) == 0)
            el_meta_remove(source->meta, el_meta_key(source->meta, i));
    }
    source->format = "mock"; /* so that no files are copied beside the model */
    REQUIRE_OK(copy_model(source, path, &one, &err), err);
    for (size_t i = 0; i < sizeof old / sizeof old[0]; i++) {
        if (access(in(path, old[i]), F_OK) == 0)
            test_fail(__FILE__, __LINE__, "%s of the old model is still there", old[i]);
    }
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        CHECK(access(in(path, others[i]), F_OK) == 0);
    struct el_source *back;
    REQUIRE_OK(el_source_open(path, NULL, &back, &err), err);
    CHECK_EQ_INT(el_meta_find(back->meta, "tokenizer.ggml.tokens"), SIZE_MAX);
    el_source_close(back);
    el_source_close(source);
}

/* A sink must not replace a file that the source reads, under whatever name and in whatever format it writes. */
TEST(hf, refuses_to_replace_a_file_of_the_input)
{
    struct el_err err = {0};
    struct el_source *const source = tiny(&err);
    REQUIRE(source);
    char path[4096], folder[4096];
    snprintf(path, sizeof path, "%s", test_tmp("input"));
    snprintf(folder, sizeof folder, "%s", test_tmp("input-links"));
    REQUIRE_OK(copy_model(source, path, &(struct el_sink_opts){.format = "hf", .split_max_nbytes = 100000}, &err), err);
    el_source_close(source);
    struct el_source *shards;
    REQUIRE_OK(el_source_open(path, NULL, &shards, &err), err);
    const struct el_sink_opts one = {.format = "safetensors", .overwrite = true}, hf = {.format = "hf", .overwrite = true};
    char shard[4096];
    snprintf(shard, sizeof shard, "%s", in(path, "model-00002-of-00004.safetensors"));
    CHECK_EQ_INT(copy_model(shards, shard, &one, &err), EL_E_USAGE);
    CHECK(strstr(err.text, "output is one of the files of the input"));
    /* A folder that has the same file under the name of an old shard, which would be removed. */
    REQUIRE(mkdir(folder, 0777) == 0);
    REQUIRE(link(shard, in(folder, "model-00001-of-00009.safetensors")) == 0);
    CHECK_EQ_INT(copy_model(shards, folder, &hf, &err), EL_E_USAGE);
    CHECK(strstr(err.text, "model-00001-of-00009.safetensors': input and output are the same file"));
    CHECK(access(in(folder, "model-00001-of-00009.safetensors"), F_OK) == 0);
    REQUIRE(unlink(in(folder, "model-00001-of-00009.safetensors")) == 0);
    CHECK_OK(copy_model(shards, folder, &hf, &err), err);
    /* And a bare file of it. */
    struct el_source *bare;
    REQUIRE_OK(el_source_open(shard, NULL, &bare, &err), err);
    CHECK_EQ_INT(copy_model(bare, path, &hf, &err), EL_E_USAGE);
    CHECK(strstr(err.text, "same file"));
    el_source_close(bare);
    el_source_close(shards);
    struct el_source *back;
    CHECK_OK(el_source_open(path, NULL, &back, &err), err);
    el_source_close(back);
}

static char *tokenizer_json(const struct el_source *s, size_t *nbytes)
{
    const size_t i = el_meta_find(s->meta, "tokenizer.huggingface.json");
    const char *const text = i == SIZE_MAX ? "" : el_meta_str(s->meta, i, 0, nbytes);
    char *const copy = malloc(*nbytes + 1);
    memcpy(copy, text, *nbytes);
    return copy;
}

/* A tokenizer that is given replaces that of any format, and goes out with the model. */
TEST(hf, a_given_tokenizer_is_used_in_every_format)
{
    struct el_err err = {0};
    struct el_source *const source = tiny(&err);
    REQUIRE(source);
    char other[4096], gguf[4096], bare[4096], folder[4096];
    snprintf(other, sizeof other, "%s", test_tmp("other.json"));
    snprintf(gguf, sizeof gguf, "%s", test_tmp("given.gguf"));
    snprintf(bare, sizeof bare, "%s", test_tmp("given.safetensors"));
    snprintf(folder, sizeof folder, "%s", test_tmp("given"));
    /* The same tokenizer, but other bytes. */
    size_t n;
    char *const text = test_read(test_data("fixtures/llama/tokenizer.json"), &n);
    REQUIRE(text);
    char *const longer = malloc(n + 1);
    longer[0] = '\n';
    memcpy(longer + 1, text, n);
    REQUIRE(test_write(other, longer, n + 1));
    REQUIRE_OK(copy_model(source, gguf, &(struct el_sink_opts){.format = "gguf"}, &err), err);
    REQUIRE_OK(copy_model(source, bare, &(struct el_sink_opts){.format = "safetensors"}, &err), err);
    CHECK(!source->tokenizer_changed);
    el_source_close(source);
    const char *const models[] = {test_data("fixtures/llama"), gguf, bare, test_data("fixtures/llama/tokenizer.json")};
    for (size_t i = 0; i < sizeof models / sizeof models[0]; i++) {
        struct el_source *s;
        CHECK_EQ_INT(el_source_open(models[i], &(struct el_source_opts){.tokenizer = "/nonexistent"}, &s, &err), EL_E_IO);
        CHECK(strstr(err.text, "/nonexistent"));
        REQUIRE_OK(el_source_open(models[i], &(struct el_source_opts){.tokenizer = other}, &s, &err), err);
        CHECK(s->tokenizer_changed);
        size_t n_json = 0;
        char *const json = tokenizer_json(s, &n_json);
        if (n_json != n + 1 || memcmp(json, longer, n + 1) != 0)
            test_fail(__FILE__, __LINE__, "%s: not the tokenizer that was given", models[i]);
        free(json);
        if (i < 2) { /* also into a folder, from a folder with its own tokenizer.json too */
            REQUIRE_OK(copy_model(s, folder, &(struct el_sink_opts){.format = "hf", .overwrite = true}, &err), err);
            CHECK(same_files(other, in(folder, "tokenizer.json")));
        }
        el_source_close(s);
    }
    /* A key that an override changes is not undone by the file beside the model. */
    struct el_source *s;
    REQUIRE_OK(el_source_open(test_data("fixtures/llama"), NULL, &s, &err), err);
    CHECK_OK(el_source_override(s, "llama.context_length=int:64", &err), err);
    CHECK(!s->tokenizer_changed);
    CHECK_OK(el_source_override(s, "tokenizer.ggml.eos_token_id=int:5", &err), err);
    CHECK(s->tokenizer_changed);
    REQUIRE_OK(copy_model(s, folder, &(struct el_sink_opts){.format = "hf", .overwrite = true}, &err), err);
    el_source_close(s);
    size_t n_generation;
    char *const generation = test_read(in(folder, "generation_config.json"), &n_generation);
    CHECK(generation && memmem(generation, n_generation, "\"eos_token_id\": 5", 17));
    free(generation);
    free(longer);
    free(text);
}

/* A header may have any length: then no element lies where it can be read in place, and results are the same. */
TEST(hf, weights_at_odd_offsets)
{
    struct el_err err = {0};
    char folder[4096];
    snprintf(folder, sizeof folder, "%s", test_tmp("odd"));
    REQUIRE(mkdir(folder, 0777) == 0);
    static const char *const names[] = {"config.json", "tokenizer.json"};
    size_t n;
    for (size_t i = 0; i < 2; i++) {
        char *const text = test_read(in(test_data("fixtures/llama"), names[i]), &n);
        REQUIRE(text && test_write(in(folder, names[i]), text, n));
        free(text);
    }
    char *const whole = test_read(in(test_data("fixtures/llama"), "model.safetensors"), &n);
    REQUIRE(whole);
    uint64_t n_header;
    memcpy(&n_header, whole, 8);
    char *const odd = malloc(n + 1);
    memcpy(odd, whole, 8 + n_header);
    odd[8 + n_header] = ' ';
    memcpy(odd + 9 + n_header, whole + 8 + n_header, n - 8 - n_header);
    n_header++;
    memcpy(odd, &n_header, 8);
    REQUIRE(test_write(in(folder, "model.safetensors"), odd, n + 1));
    float logits[2][4096];
    for (size_t k = 0; k < 2; k++) {
        struct el_source *s;
        struct el_model *model;
        struct el_session *session;
        REQUIRE_OK(el_source_open(k ? folder : test_data("fixtures/llama"), NULL, &s, &err), err);
        for (size_t i = 0; i < s->n_tensors; i++)
            CHECK_EQ_INT(s->ops->map(s, &s->tensors[i], 0) != NULL, k == 0);
        REQUIRE_OK(el_model_open(s, NULL, &model, &err), err);
        REQUIRE_OK(el_session_open(model, &(struct el_session_opts){.n_ctx = 16, .n_threads = 1}, &session, &err), err);
        const struct el_row rows[2] = {{.token = 3}, {.token = 4, .pos = 1, .want_logits = true}};
        REQUIRE_OK(el_session_decode(session, rows, 2, &err), err);
        memcpy(logits[k], el_session_logits(session, 1), 32 * sizeof(float));
        el_session_close(session);
        el_model_close(model);
        el_source_close(s);
    }
    CHECK(memcmp(logits[0], logits[1], 32 * sizeof(float)) == 0);
    free(odd);
    free(whole);
}

TEST(hf, without_commit_no_folder)
{
    struct el_err err = {0};
    struct el_source *const source = tiny(&err);
    REQUIRE(source);
    struct el_sink *sink;
    char path[4096];
    snprintf(path, sizeof path, "%s", test_tmp("dropped"));
    REQUIRE_OK(el_sink_open(path, &(struct el_sink_opts){.format = "hf"}, &sink, &err), err);
    CHECK_OK(sink->ops->begin(sink, source->meta, source->tensors, source->n_tensors, &err), err);
    CHECK(access(path, F_OK) != 0); /* it has a temporary name */
    CHECK_EQ_INT(n_named(test_tmp(""), ".dropped."), 1);
    el_interrupt();
    CHECK_EQ_INT(el_sink_commit(sink, &err), EL_E_INTERRUPTED);
    el_interrupt_clear();
    el_sink_close(sink);
    CHECK(access(path, F_OK) != 0);
    CHECK_EQ_INT(n_named(test_tmp(""), ".dropped."), 0);
    el_source_close(source);
}

TEST(hf, refuses_what_has_no_name_there)
{
    struct el_err err = {0};
    struct el_source *const source = tiny(&err);
    REQUIRE(source);
    const struct el_sink_opts opts = {.format = "hf"};
    char path[4096];
    snprintf(path, sizeof path, "%s", test_tmp("refused"));
    struct el_tensor t = source->tensors[0];
    struct el_sink *sink;
    /* A tensor that the family does not have. */
    REQUIRE_OK(el_sink_open(path, &opts, &sink, &err), err);
    t.name = "blk.0.mystery.weight";
    CHECK_EQ_INT(sink->ops->begin(sink, source->meta, &t, 1, &err), EL_E_UNSUPPORTED);
    CHECK(strstr(err.text, "'blk.0.mystery.weight' is not one of a llama model"));
    el_sink_close(sink);
    /* A quantized tensor. */
    REQUIRE_OK(el_sink_open(path, &opts, &sink, &err), err);
    t = source->tensors[0];
    REQUIRE_OK(el_enc_parse("Q8_0", &t.enc, &err), err);
    REQUIRE_OK(el_tensor_complete(&t, &err), err);
    CHECK_EQ_INT(sink->ops->begin(sink, source->meta, &t, 1, &err), EL_E_UNSUPPORTED);
    CHECK(strstr(err.text, "Q8_0 cannot be stored in safetensors"));
    el_sink_close(sink);
    /* A RoPE scaling that only the tensor knows. */
    REQUIRE_OK(el_sink_open(path, &opts, &sink, &err), err);
    t = (struct el_tensor){.name = "rope_freqs.weight", .enc = el_enc_f32(), .n_dims = 1, .dims = {4}};
    REQUIRE_OK(el_tensor_complete(&t, &err), err);
    CHECK_EQ_INT(sink->ops->begin(sink, source->meta, &t, 1, &err), EL_E_UNSUPPORTED);
    CHECK(strstr(err.text, "no words for"));
    el_sink_close(sink);
    /* The same tensor twice. */
    REQUIRE_OK(el_sink_open(path, &opts, &sink, &err), err);
    struct el_tensor two[2] = {source->tensors[0], source->tensors[0]};
    const enum el_status status = sink->ops->begin(sink, source->meta, two, 2, &err);
    CHECK_EQ_INT(status, EL_E_FORMAT);
    CHECK(strstr(err.text, "two tensors named"));
    el_sink_close(sink);
    /* Metadata without a family. */
    REQUIRE_OK(el_sink_open(path, &opts, &sink, &err), err);
    struct el_meta *const none = el_meta_new();
    CHECK_EQ_INT(sink->ops->begin(sink, none, two, 1, &err), EL_E_FORMAT);
    el_meta_free(none);
    el_sink_close(sink);
    CHECK(access(path, F_OK) != 0);
    el_source_close(source);
}

static void fail_allocations(const char *fixture)
{
    struct el_err err = {0};
    struct el_source *source = NULL;
    unsigned n_failures = 0;
    for (uint64_t i = 1; i < 100000; i += 1 + i / 64) {
        el_mem_fail_after(i);
        const enum el_status status = el_source_open(test_data(fixture), NULL, &source, &err);
        el_mem_fail_after(0);
        if (status == EL_OK)
            break;
        CHECK(source == NULL);
        if (status != EL_E_MEMORY)
            test_fail(__FILE__, __LINE__, "allocation %llu: status %d: %s", (unsigned long long)i, (int)status, err.text);
        n_failures++;
    }
    CHECK(n_failures > 100);
    REQUIRE(source);
    char path[4096];
    snprintf(path, sizeof path, "%s", test_tmp(fixture + strlen("fixtures/")));
    for (uint64_t i = 1; i < 100000; i += 1 + i / 64) {
        el_mem_fail_after(i);
        const enum el_status status =
            copy_model(source, path, &(struct el_sink_opts){.format = "hf", .split_max_nbytes = 100000}, &err);
        el_mem_fail_after(0);
        if (status == EL_OK)
            break;
        if (status != EL_E_MEMORY)
            test_fail(__FILE__, __LINE__, "allocation %llu: status %d: %s", (unsigned long long)i, (int)status, err.text);
        CHECK(access(path, F_OK) != 0);
    }
    CHECK(access(path, F_OK) == 0);
    el_source_close(source);
}

TEST(hf, every_failed_allocation_is_an_error)
{
    fail_allocations("fixtures/llama");
    fail_allocations("fixtures/gpt2");
    fail_allocations("fixtures/stablelm-parallel");
}

/* Replacing a folder for ever, and killed: at any time it is one of the two models, whole, and nothing else is left. */
TEST(hf, kills_leave_the_old_or_the_new_folder)
{
    struct el_err err = {0};
    struct el_source *const source = tiny(&err);
    REQUIRE(source);
    char path[4096];
    snprintf(path, sizeof path, "%s", test_tmp("swapped"));
    REQUIRE_OK(copy_model(source, path, &(struct el_sink_opts){.format = "hf"}, &err), err);
    REQUIRE(test_write(in(path, "README.md"), "mine", 4));
    uint64_t state = 5;
    for (int round = 0; round < 10; round++) {
        const pid_t child = fork();
        REQUIRE(child >= 0);
        if (child == 0)
            for (size_t i = 0;; i++)
                (void)copy_model(source, path,
                                 &(struct el_sink_opts){.format = "hf", .overwrite = true, .split_max_tensors = i % 2 ? 0 : 5},
                                 NULL);
        for (int i = 0; i < 20; i++) {
            const struct timespec t = {0, (long)(test_rand(&state) % 2000000)};
            nanosleep(&t, NULL);
            CHECK(access(in(path, "config.json"), F_OK) == 0);
            CHECK(access(in(path, "README.md"), F_OK) == 0);
        }
        kill(child, SIGKILL);
        int status;
        waitpid(child, &status, 0);
        struct el_source *back = NULL;
        CHECK_OK(el_source_open(path, NULL, &back, &err), err);
        CHECK(back && back->n_tensors == source->n_tensors);
        el_source_close(back);
    }
    const struct timespec nap = {0, 2000000};
    for (int i = 0; i < 5000 && n_named(test_tmp(""), ".swapped.") > 0; i++)
        nanosleep(&nap, NULL);
    CHECK_EQ_INT(n_named(test_tmp(""), ".swapped."), 0);
    CHECK(access(in(path, "README.md"), F_OK) == 0);
    el_source_close(source);
}

/* Killed while it writes a new folder: all of it or nothing. */
TEST(hf, kills_leave_all_or_nothing)
{
    struct el_err err = {0};
    struct el_source *const source = tiny(&err);
    REQUIRE(source);
    uint64_t state = 3;
    for (int round = 0; round < 15; round++) {
        char path[4096], name[32];
        snprintf(name, sizeof name, "killed%d", round);
        snprintf(path, sizeof path, "%s", test_tmp(name));
        const pid_t child = fork();
        REQUIRE(child >= 0);
        if (child == 0) {
            (void)copy_model(source, path, &(struct el_sink_opts){.format = "hf", .split_max_tensors = 2}, NULL);
            _exit(0);
        }
        const struct timespec t = {0, (long)(test_rand(&state) % 12000000)}, nap = {0, 2000000};
        nanosleep(&t, NULL);
        kill(child, SIGKILL);
        int status;
        waitpid(child, &status, 0);
        struct el_source *back = NULL;
        bool whole = false, gone = false;
        for (int i = 0; i < 5000 && !whole && !gone; i++) {
            nanosleep(&nap, NULL);
            gone = access(path, F_OK) != 0;
            whole = !gone && el_source_open(path, NULL, &back, &err) == EL_OK;
        }
        CHECK(whole || gone);
        el_source_close(back);
    }
    el_source_close(source);
}
