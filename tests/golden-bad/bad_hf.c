/*
 * Damaged and hostile Hugging Face folders. Each row takes a good folder (a fixture), changes one file, and says which status and
 * which words it must be refused with.
 */
#include "test.h"

#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/err.h"
#include "tensor/source.h"

static const char *const members[] = {"config.json",
                                      "generation_config.json",
                                      "tokenizer.json",
                                      "tokenizer_config.json",
                                      "model.safetensors",
                                      "model.safetensors.index.json",
                                      "model-00001-of-00003.safetensors",
                                      "model-00002-of-00003.safetensors",
                                      "model-00003-of-00003.safetensors"};

static const char *in(const char *folder, const char *name)
{
    static char ring[8][4096];
    static unsigned next;
    char *const s = ring[next++ % 8];
    if (snprintf(s, sizeof ring[0], "%s/%s", folder, name) >= (int)sizeof ring[0])
        abort(); /* the tests choose both names: a path that does not fit is a bug of theirs */
    return s;
}

static bool copy_folder(const char *from, const char *to)
{
    if (mkdir(to, 0777) != 0)
        return false;
    for (size_t i = 0; i < sizeof members / sizeof members[0]; i++) {
        size_t n;
        char *const data = test_read(in(from, members[i]), &n);
        const bool ok = !data || test_write(in(to, members[i]), data, n);
        free(data);
        if (!ok)
            return false;
    }
    return true;
}

/* Every occurrence of `old` in a file becomes `new`. False when there is none. */
static bool replace(const char *path, const char *old, const char *new)
{
    size_t n;
    char *const data = test_read(path, &n);
    if (!data)
        return false;
    struct el_buf b;
    el_buf_init(&b);
    const char *p = data, *const end = data + n;
    unsigned n_found = 0;
    for (const char *hit; (hit = memmem(p, (size_t)(end - p), old, strlen(old))); p = hit + strlen(old)) {
        el_buf_add(&b, p, (size_t)(hit - p));
        el_buf_add_str(&b, new);
        n_found++;
    }
    el_buf_add(&b, p, (size_t)(end - p));
    const bool ok = n_found > 0 && test_write(path, b.data, b.nbytes);
    el_buf_release(&b);
    free(data);
    return ok;
}

static const struct {
    const char *name, *from; /* fixture */
    const char *file;        /* that is changed */
    const char *old, *new;   /* old NULL: the whole text becomes new; new NULL too: the file goes */
    enum el_status code;
    const char *says;
} cases[] = {
#define CONFIG(name, old, new, code, says)                                                                                       \
    {                                                                                                                            \
        name, "llama", "config.json", old, new, code, says                                                                       \
    }
    CONFIG("no config", NULL, NULL, EL_E_FORMAT, "is a folder without config.json"),
    CONFIG("config empty", NULL, "", EL_E_FORMAT, "config.json: not valid JSON at byte 0: it ends too early"),
    CONFIG("config cut", NULL, "{\"architectures\": [\"Ll", EL_E_FORMAT, "string without an end"),
    CONFIG("config an array", NULL, "[]", EL_E_FORMAT, "config.json: is not an object"),
    CONFIG("config without a family", NULL, "{}", EL_E_FORMAT, "neither architectures nor model_type"),
    CONFIG("family unknown", "LlamaForCausalLM", "BertModel", EL_E_UNSUPPORTED, "architectures names 'BertModel', known are"),
    CONFIG("family with an escape code", "LlamaForCausalLM", "\\u001b]52;x", EL_E_UNSUPPORTED, "names '\\x1b]52;x'"),
    CONFIG("size missing", "\"hidden_size\": 32", "\"x\": 32", EL_E_FORMAT, "config.json: no hidden_size"),
    CONFIG("size a string", "\"hidden_size\": 32", "\"hidden_size\": \"32\"", EL_E_FORMAT, "hidden_size is not an integer"),
    CONFIG("size negative", "\"hidden_size\": 32", "\"hidden_size\": -32", EL_E_FORMAT, "hidden_size is not an integer"),
    CONFIG("size 0", "\"hidden_size\": 32", "\"hidden_size\": 0", EL_E_FORMAT, "llama.embedding_length"),
    CONFIG("size 2^32", "\"hidden_size\": 32", "\"hidden_size\": 4294967296", EL_E_FORMAT, "hidden_size is not an integer"),
    CONFIG("size another", "\"hidden_size\": 32", "\"hidden_size\": 64", EL_E_FORMAT, "config.json makes it [288, 64]"),
    CONFIG("twice the same key", "\"hidden_size\": 32", "\"hidden_size\": 32, \"hidden_size\": 64", EL_E_FORMAT,
           "'hidden_size' occurs twice"),
    CONFIG("no layers", "\"num_hidden_layers\": 2", "\"num_hidden_layers\": 0", EL_E_FORMAT, "llama.block_count"),
    CONFIG("a layer too many", "\"num_hidden_layers\": 2", "\"num_hidden_layers\": 3", EL_E_FORMAT,
           "9 problems: tensor 'model.layers.2.input_layernorm.weight' is missing"),
    CONFIG("a layer too few", "\"num_hidden_layers\": 2", "\"num_hidden_layers\": 1", EL_E_UNSUPPORTED,
           "9 problems: tensor 'model.layers.1.input_layernorm.weight' is not one of a llama model"),
    CONFIG("5,000 layers", "\"num_hidden_layers\": 2", "\"num_hidden_layers\": 5000", EL_E_FORMAT, "llama.block_count"),
    CONFIG("heads 0", "\"num_attention_heads\": 4", "\"num_attention_heads\": 0", EL_E_FORMAT, "llama.attention.head_count"),
    CONFIG("KV heads do not divide", "\"num_key_value_heads\": 2", "\"num_key_value_heads\": 3", EL_E_FORMAT,
           "head_count_kv is 3"),
    CONFIG("KV heads another", "\"num_key_value_heads\": 2", "\"num_key_value_heads\": 4", EL_E_FORMAT, "4 problems: tensor"),
    CONFIG("vocabulary 0", "\"vocab_size\": 288", "\"vocab_size\": 0", EL_E_FORMAT, "vocab_size"),
    CONFIG("eps a string", "\"rms_norm_eps\": 1e-05", "\"rms_norm_eps\": \"small\"", EL_E_FORMAT, "rms_norm_eps is not a number"),
    CONFIG("eps infinite", "\"rms_norm_eps\": 1e-05", "\"rms_norm_eps\": 1e999", EL_E_FORMAT, "'rms_norm_eps' is not finite"),
    CONFIG("theta 0", "\"rope_theta\": 10000.0", "\"rope_theta\": 0", EL_E_FORMAT, "rope.freq_base"),
    CONFIG("scaling unknown", "\"rope_scaling\": null", "\"rope_scaling\": {\"type\": \"yarn\", \"factor\": 4}", EL_E_UNSUPPORTED,
           "'yarn'"),
    CONFIG("scaling without factor", "\"rope_scaling\": null", "\"rope_scaling\": {\"type\": \"linear\"}", EL_E_FORMAT,
           "no factor"),
    CONFIG("activation unknown", "\"hidden_act\": \"silu\"", "\"hidden_act\": \"relu\"", EL_E_UNSUPPORTED,
           "hidden_act is 'relu'"),
    CONFIG("untied, and no lm_head", "\"tie_word_embeddings\": false", "\"tie_word_embeddings\": false, \"x\": 1", EL_OK, ""),
    {"tied says no, lm_head missing", "qwen2-tied", "config.json", "\"tie_word_embeddings\": true",
     "\"tie_word_embeddings\": false", EL_E_FORMAT, "tensor 'lm_head.weight' is missing"},
    {"experts too few", "mixtral", "config.json", "\"num_local_experts\": 8", "\"num_local_experts\": 7", EL_E_UNSUPPORTED,
     "8 problems: "},
    {"experts too many", "mixtral", "config.json", "\"num_local_experts\": 8", "\"num_local_experts\": 9", EL_E_FORMAT,
     "8 problems: "},
    {"more experts in use than there are", "mixtral", "config.json", "\"num_experts_per_tok\": 2", "\"num_experts_per_tok\": 9",
     EL_E_FORMAT, "expert_used_count"},
    {"experts without end", "mixtral", "config.json", "\"num_local_experts\": 8", "\"num_local_experts\": 4294967295",
     EL_E_FORMAT, "expert_count"},
#define MODEL(name, old, new, code, says)                                                                                        \
    {                                                                                                                            \
        name, "llama", "model.safetensors", old, new, code, says                                                                 \
    }
    MODEL("no weights", NULL, NULL, EL_E_FORMAT, "neither model.safetensors nor model.safetensors.index.json"),
    MODEL("weights empty", NULL, "", EL_E_FORMAT, "truncated: 0 bytes"),
    MODEL("weights a pointer", NULL, "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 4\n", EL_E_FORMAT,
          "model.safetensors': header of"),
    MODEL("a tensor renamed", "model.norm.weight", "model.morn.weight", EL_E_UNSUPPORTED,
          "2 problems: tensor 'model.morn.weight' is not one of a llama model; tensor 'model.norm.weight' is missing"),
    MODEL("a layer number with a zero", "model.layers.0.mlp.up_proj.weight", "model.layers.00.mlp.up_proj.weigh",
          EL_E_UNSUPPORTED, "'model.layers.00.mlp.up_proj.weigh' is not one of"),
    MODEL("integers for weights", "\"model.norm.weight\":{\"dtype\":\"F32\"", "\"model.norm.weight\":{\"dtype\":\"I32\"",
          EL_E_UNSUPPORTED, "tensor 'model.norm.weight' is I32, weights must be F32, F16 or BF16"),
    MODEL("a vector in two dimensions", "\"model.norm.weight\":{\"dtype\":\"F32\",\"shape\":[32]",
          "\"model.norm.weight\":{\"dtype\":\"F32\",\"shape\":[ 32]", EL_E_FORMAT, "model.safetensors'"),
    {"an expert of another type", "mixtral", "model.safetensors", "experts.7.w3.weight\":{\"dtype\":\"F32\",\"shape\":[32,32]",
     "experts.7.w3.weight\":{\"dtype\":\"F16\",\"shape\":[64,32]", EL_E_FORMAT, "config.json makes it [32, 32]"},
#define INDEX(name, old, new, code, says)                                                                                        \
    {                                                                                                                            \
        name, "llama-sharded", "model.safetensors.index.json", old, new, code, says                                              \
    }
    INDEX("index gone", NULL, NULL, EL_E_FORMAT, "neither model.safetensors nor"),
    INDEX("index empty", NULL, "", EL_E_FORMAT, "model.safetensors.index.json: not valid JSON"),
    INDEX("index a string", NULL, "\"x\"", EL_E_FORMAT, "model.safetensors.index.json: is not an object"),
    INDEX("no map", NULL, "{\"metadata\": {}}", EL_E_FORMAT, "no weight_map, or it is not an object"),
    INDEX("map an array", NULL, "{\"weight_map\": []}", EL_E_FORMAT, "no weight_map, or it is not an object"),
    INDEX("map empty", NULL, "{\"weight_map\": {}}", EL_E_FORMAT, "weight_map: names no file"),
    INDEX("file a number", NULL, "{\"weight_map\": {\"a\": 1}}", EL_E_FORMAT, "weight_map: the file of 'a' is not a string"),
    INDEX("file in another folder", NULL, "{\"weight_map\": {\"a\": \"../../etc/passwd\"}}", EL_E_FORMAT,
          "'../../etc/passwd' is not a plain file name"),
    INDEX("file absolute", NULL, "{\"weight_map\": {\"a\": \"/etc/passwd\"}}", EL_E_FORMAT,
          "'/etc/passwd' is not a plain file name"),
    INDEX("file of Windows", NULL, "{\"weight_map\": {\"a\": \"..\\\\x\"}}", EL_E_FORMAT, "is not a plain file name"),
    INDEX("file with an escape code", NULL, "{\"weight_map\": {\"a\": \"\\u001b[2J\"}}", EL_E_FORMAT,
          "'\\x1b[2J' is not a plain file name"),
    INDEX("file the folder itself", NULL, "{\"weight_map\": {\"a\": \".\"}}", EL_E_FORMAT, "is not a plain file name"),
    INDEX("file missing", "model-00003-of-00003", "model-00004-of-00003", EL_E_FORMAT,
          "file 'model-00004-of-00003.safetensors' is missing"),
    INDEX("tensor in another shard", "\"model.norm.weight\": \"model-00003", "\"model.norm.weight\": \"model-00001", EL_E_FORMAT,
          "tensor 'model.norm.weight' is in file 'model-00003-of-00003.safetensors', the index says "
          "'model-00001-of-00003.safetensors'"),
    INDEX("tensor not in the index", "\"model.norm.weight\": \"model-00003-of-00003.safetensors\"",
          "\"x\": \"model-00003-of-00003.safetensors\"", EL_E_FORMAT,
          "2 problems: tensor 'model.norm.weight' of file 'model-00003-of-00003.safetensors' is not in the index; tensor 'x' is "
          "not in file"),
    INDEX("twice the same tensor", "\"weight_map\": {", "\"weight_map\": {\"lm_head.weight\": \"x\", ", EL_E_FORMAT,
          "'lm_head.weight' occurs twice"),
    {"a shard gone", "llama-sharded", "model-00002-of-00003.safetensors", NULL, NULL, EL_E_FORMAT,
     "file 'model-00002-of-00003.safetensors' is missing"},
    {"a shard cut", "llama-sharded", "model-00002-of-00003.safetensors", NULL, "xxxxxxx", EL_E_FORMAT,
     "model-00002-of-00003.safetensors': truncated"},
    {"tokenizer empty", "llama", "tokenizer.json", NULL, "", EL_E_FORMAT, "not valid JSON"},
    {"tokenizer an array", "llama", "tokenizer.json", NULL, "[]", EL_E_FORMAT, "tokenizer"},
    {"tokenizer configuration broken", "llama", "tokenizer_config.json", NULL, "{", EL_E_FORMAT, "not valid JSON"},
    {"generation configuration broken", "llama", "generation_config.json", NULL, "{", EL_E_FORMAT, "not valid JSON"},
};

TEST(bad_hf, table)
{
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char name[32], folder[4096], from[4096];
        snprintf(name, sizeof name, "bad-hf-%zu", i);
        snprintf(folder, sizeof folder, "%s", test_tmp(name));
        snprintf(name, sizeof name, "fixtures/%s", cases[i].from);
        snprintf(from, sizeof from, "%s", test_data(name));
        REQUIRE(copy_folder(from, folder));
        const char *const path = in(folder, cases[i].file);
        const bool changed = cases[i].old   ? replace(path, cases[i].old, cases[i].new)
                             : cases[i].new ? test_write(path, cases[i].new, strlen(cases[i].new))
                                            : unlink(path) == 0;
        if (!changed)
            test_fail(__FILE__, __LINE__, "%s: nothing to change", cases[i].name);
        struct el_err err = {0};
        struct el_source *s;
        const enum el_status status = el_source_open(folder, NULL, &s, &err);
        if (status != cases[i].code || !strstr(err.text, cases[i].says))
            test_fail(__FILE__, __LINE__, "%s: status %d, '%s', wanted %d, '%s'", cases[i].name, (int)status, err.text,
                      (int)cases[i].code, cases[i].says);
        el_source_close(s);
        CHECK_EQ_INT(el_source_open(folder, NULL, &s, NULL), cases[i].code);
        el_source_close(s);
    }
}

static const char *good_folder(const char *name)
{
    static char folder[4096], from[4096];
    snprintf(folder, sizeof folder, "%s", test_tmp(name));
    snprintf(from, sizeof from, "%s", test_data("fixtures/llama"));
    return copy_folder(from, folder) ? folder : NULL;
}

static void refuses(const char *folder, enum el_status code, const char *says)
{
    struct el_err err = {0};
    struct el_source *s;
    const enum el_status status = el_source_open(folder, &(struct el_source_opts){.format = "hf"}, &s, &err);
    if (status != code || !strstr(err.text, says))
        test_fail(__FILE__, __LINE__, "status %d, '%s', wanted %d, '%s'", (int)status, err.text, (int)code, says);
    el_source_close(s);
}

TEST(bad_hf, pickles)
{
    static const char *const names[] = {"pytorch_model.bin", "pytorch_model.bin.index.json", "consolidated.00.pth"};
    const char *const folder = good_folder("bad-hf-pickle");
    REQUIRE(folder && unlink(in(folder, "model.safetensors")) == 0);
    for (size_t i = 0; i < 3; i++) {
        REQUIRE(test_write(in(folder, names[i]), "x", 1));
        refuses(folder, EL_E_UNSUPPORTED, "pickle can run code");
        REQUIRE(unlink(in(folder, names[i])) == 0);
    }
}

TEST(bad_hf, files_that_are_none)
{
    const char *const folder = good_folder("bad-hf-fifo");
    REQUIRE(folder && unlink(in(folder, "model.safetensors")) == 0 && mkfifo(in(folder, "model.safetensors"), 0666) == 0);
    refuses(folder, EL_E_IO, "is a FIFO, not a file");
    REQUIRE(unlink(in(folder, "config.json")) == 0 && mkfifo(in(folder, "config.json"), 0666) == 0);
    refuses(folder, EL_E_IO, "config.json': is a FIFO, not a file");
    REQUIRE(unlink(in(folder, "config.json")) == 0);
    refuses(folder, EL_E_FORMAT, "no config.json in the folder");
}

TEST(bad_hf, config_too_large)
{
    const char *const folder = good_folder("bad-hf-large");
    REQUIRE(folder && truncate(in(folder, "config.json"), (16 << 20) + 1) == 0);
    refuses(folder, EL_E_FORMAT, "16777217 bytes, at most 16777216");
}

TEST(bad_hf, a_million_entries)
{
    const char *const folder = good_folder("bad-hf-index");
    REQUIRE(folder && unlink(in(folder, "model.safetensors")) == 0);
    struct el_buf b;
    el_buf_init(&b);
    el_buf_add_str(&b, "{\"weight_map\": {");
    for (int i = 0; i < 1000000; i++)
        el_buf_addf(&b, "%s\"t%d\": \"%d\"", i ? "," : "", i, i);
    el_buf_add_str(&b, "}}");
    REQUIRE(test_write(in(folder, "model.safetensors.index.json"), b.data, b.nbytes));
    refuses(folder, EL_E_FORMAT, "weight_map: more than 9999 files");
    el_buf_release(&b);
}

/* An expert stack whose slices differ in type, and a shard that has a tensor twice: made from parts of good files. */
TEST(bad_hf, a_tensor_in_two_files)
{
    char folder[4096], from[4096];
    snprintf(folder, sizeof folder, "%s", test_tmp("bad-hf-two"));
    snprintf(from, sizeof from, "%s", test_data("fixtures/llama-sharded"));
    REQUIRE(copy_folder(from, folder));
    /* Shard 2 gets a second name, and one tensor of the index points there. */
    size_t n;
    char *const data = test_read(in(folder, "model-00002-of-00003.safetensors"), &n);
    REQUIRE(data && test_write(in(folder, "model-00009-of-00003.safetensors"), data, n));
    free(data);
    REQUIRE(replace(in(folder, "model.safetensors.index.json"), "\"model.layers.0.mlp.down_proj.weight\": \"model-00002",
                    "\"model.layers.0.mlp.down_proj.weight\": \"model-00009"));
    refuses(folder, EL_E_FORMAT, "is in file 'model-00009-of-00003.safetensors', the index says 'model-00002");
}

static unsigned n_warnings;

static void count_warning(void *user, const char *text)
{
    (void)user;
    n_warnings += strstr(text, "is missing") != NULL;
}

TEST(bad_hf, all_problems_are_warned_of)
{
    const char *const folder = good_folder("bad-hf-warn");
    REQUIRE(folder && replace(in(folder, "config.json"), "\"num_hidden_layers\": 2", "\"num_hidden_layers\": 4000"));
    n_warnings = 0;
    el_log_set(count_warning, NULL);
    refuses(folder, EL_E_FORMAT, "35982 problems: ");
    el_log_set(NULL, NULL);
    CHECK_EQ_INT(n_warnings, 100);
}
