/* Folders as other programs leave them: idle biases of GPTQ's writers, weights under a name of the writer's own. */
#include "test.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/err.h"
#include "tensor/source.h"

#define PROJ "model.layers.0.self_attn.q_proj"

/* A safetensors file with one more tensor behind the others: F16 [n], all bytes `fill`, but the last one `last`. */
static void add_tensor(struct el_buf *file, const char *name, size_t n, uint8_t fill, uint8_t last)
{
    struct el_buf b;
    uint64_t n_header;
    el_buf_init(&b);
    memcpy(&n_header, file->data, sizeof n_header);
    const char *const header = file->data + sizeof n_header;
    size_t n_text = (size_t)n_header;
    while (header[n_text - 1] != '}')
        n_text--;
    const size_t n_data = file->nbytes - sizeof n_header - (size_t)n_header;
    el_buf_add(&b, header, n_text - 1);
    el_buf_addf(&b, ",\"%s\":{\"dtype\":\"F16\",\"shape\":[%zu],\"data_offsets\":[%zu,%zu]}}", name, n, n_data, n_data + 2 * n);
    const uint64_t n_new = b.nbytes;
    el_buf_add(&b, header + n_header, n_data);
    for (size_t i = 0; i < 2 * n; i++)
        el_buf_add_byte(&b, i + 1 < 2 * n ? fill : last);
    el_buf_reset(file);
    el_buf_add(file, &n_new, sizeof n_new);
    el_buf_add(file, b.data, b.nbytes);
    el_buf_release(&b);
}

static void read_into(struct el_buf *b, const char *path)
{
    size_t n;
    char *const data = test_read(path, &n);
    REQUIRE(data);
    el_buf_add(b, data, n);
    free(data);
}

/* The folder tests/data/quantized/gptq-act-order with other weights, under another name. */
static void make_folder(const char *folder, const char *weights, const struct el_buf *bytes)
{
    char to[4200];
    struct el_buf config;
    el_buf_init(&config);
    REQUIRE(mkdir(folder, 0777) == 0);
    read_into(&config, test_data("quantized/gptq-act-order/config.json"));
    snprintf(to, sizeof to, "%.4000s/config.json", folder);
    REQUIRE(test_write(to, config.data, config.nbytes));
    snprintf(to, sizeof to, "%.4000s/%s", folder, weights);
    REQUIRE(test_write(to, bytes->data, bytes->nbytes));
    el_buf_release(&config);
}

/* code EL_OK: the folder has the tensors of the good one. */
static void expect(const char *folder, enum el_status code, const char *says)
{
    struct el_err err = {.code = EL_OK};
    struct el_source *s, *good;
    const enum el_status status = el_source_open(folder, NULL, &s, &err);
    CHECK_EQ_INT(status, code);
    if (status != code || (code != EL_OK && !strstr(err.text, says)))
        test_fail(__FILE__, __LINE__, "'%s', wanted '%s'", err.text, says);
    if (s) {
        REQUIRE_OK(el_source_open(test_data("quantized/gptq-act-order"), NULL, &good, &err), err);
        CHECK_EQ_INT(s->n_tensors, good->n_tensors);
        for (size_t i = 0; i < s->n_tensors && i < good->n_tensors; i++) {
            char a[65], b[65];
            CHECK_EQ_STR(s->tensors[i].name, good->tensors[i].name);
            REQUIRE_OK(el_source_hash_tensor(s, i, a, &err), err);
            REQUIRE_OK(el_source_hash_tensor(good, i, b, &err), err);
            CHECK_EQ_STR(a, b);
        }
        el_source_close(good);
    }
    el_source_close(s);
}

TEST(hf_habits, idle_biases)
{
    static const struct {
        const char *folder, *name;
        uint8_t fill, last;
        enum el_status code;
        const char *says;
    } cases[] = {
        {"bias-attn", PROJ ".bias", 0, 0, EL_OK, ""},
        {"bias-mlp", "model.layers.0.mlp.down_proj.bias", 0, 0, EL_OK, ""},
        {"bias-last", PROJ ".bias", 0, 1, EL_E_FORMAT,
         "attention_bias is false, but tensors 'model.layers.N.self_attn.q_proj.bias'"},
        {"bias-norm", "model.layers.0.input_layernorm.bias", 0, 0, EL_OK, ""},
        {"bias-nothing", "model.layers.0.self_attn.x_proj.bias", 0, 0, EL_E_UNSUPPORTED, "is not one of a llama model"},
        {"bias-layer", "model.layers.7.self_attn.q_proj.bias", 0, 0, EL_E_UNSUPPORTED, "is not one of a llama model"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct el_buf b;
        el_buf_init(&b);
        read_into(&b, test_data("quantized/gptq-act-order/model.safetensors"));
        add_tensor(&b, cases[i].name, 256, cases[i].fill, cases[i].last);
        make_folder(test_tmp(cases[i].folder), "model.safetensors", &b);
        expect(test_tmp(cases[i].folder), cases[i].code, cases[i].says);
        el_buf_release(&b);
    }
}

/* A safetensors file with an output matrix of the bytes of the embedding, but that byte `changed` is another (SIZE_MAX: none). */
static void add_output(struct el_buf *file, size_t changed)
{
    struct el_buf b;
    struct el_err err;
    struct el_json_doc *doc = NULL;
    uint64_t n_header;
    int64_t from = 0, to = 0;
    memcpy(&n_header, file->data, sizeof n_header);
    const char *const header = file->data + sizeof n_header, *const data = header + n_header;
    REQUIRE_OK(el_json_parse(header, (size_t)n_header, "header", &doc, &err), err);
    const struct el_json *const embd = el_json_get(el_json_root(doc), "model.embed_tokens.weight");
    const struct el_json *const shape = el_json_first(el_json_get(embd, "shape"));
    const struct el_json *const at = el_json_first(el_json_get(embd, "data_offsets"));
    REQUIRE(el_json_int(at, &from) && el_json_int(el_json_next(at), &to) && from < to);
    const size_t n_data = file->nbytes - sizeof n_header - (size_t)n_header, n = (size_t)(to - from);
    size_t n_text = (size_t)n_header;
    while (header[n_text - 1] != '}')
        n_text--;
    el_buf_init(&b);
    el_buf_add(&b, header, n_text - 1);
    el_buf_addf(&b, ",\"lm_head.weight\":{\"dtype\":\"%s\",\"shape\":[%.0f,%.0f],\"data_offsets\":[%zu,%zu]}}",
                el_json_str(el_json_get(embd, "dtype")), el_json_num(shape), el_json_num(el_json_next(shape)), n_data,
                n_data + n);
    const uint64_t n_new = b.nbytes;
    el_buf_add(&b, data, n_data);
    for (size_t i = 0; i < n; i++)
        el_buf_add_byte(&b, (uint8_t)data[(size_t)from + i] ^ (i == changed % n && changed != SIZE_MAX));
    el_buf_reset(file);
    el_buf_add(file, &n_new, sizeof n_new);
    el_buf_add(file, b.data, b.nbytes);
    el_buf_release(&b);
    el_json_free(doc);
}

/* config.json ties the output: a copy of the embedding is left out, another matrix is kept, and written as one. */
TEST(hf_habits, an_output_that_is_tied_and_there)
{
    static const struct {
        const char *folder;
        size_t changed;
        bool kept;
    } cases[] = {{"tied-copy", SIZE_MAX, false}, {"tied-first", 0, true}, {"tied-middle", 5000, true}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char to[4200];
        struct el_err err;
        struct el_buf b;
        struct el_source *s = NULL;
        const char *const folder = test_tmp(cases[i].folder);
        el_buf_init(&b);
        REQUIRE(mkdir(folder, 0777) == 0);
        read_into(&b, test_data("fixtures/qwen2-tied/config.json"));
        snprintf(to, sizeof to, "%.4000s/config.json", folder);
        REQUIRE(test_write(to, b.data, b.nbytes));
        el_buf_reset(&b);
        read_into(&b, test_data("fixtures/qwen2-tied/model.safetensors"));
        add_output(&b, cases[i].changed);
        snprintf(to, sizeof to, "%.4000s/model.safetensors", folder);
        REQUIRE(test_write(to, b.data, b.nbytes));
        REQUIRE_OK(el_source_open(folder, NULL, &s, &err), err);
        bool kept = false;
        for (size_t k = 0; k < s->n_tensors; k++)
            kept = kept || strcmp(s->tensors[k].name, "output.weight") == 0;
        CHECK_EQ_INT(kept, cases[i].kept);
        el_source_close(s);
        el_buf_release(&b);
    }
}

TEST(hf_habits, weights_of_another_name)
{
    char to[4200];
    struct el_buf b;
    el_buf_init(&b);
    read_into(&b, test_data("quantized/gptq-act-order/model.safetensors"));
    const char *const folder = test_tmp("own-name");
    make_folder(folder, "gptq_model-4bit-128g.safetensors", &b);
    expect(folder, EL_OK, "");
    snprintf(to, sizeof to, "%.4000s/adapter_model.safetensors", folder);
    REQUIRE(test_write(to, b.data, b.nbytes));
    expect(folder, EL_OK, "");
    snprintf(to, sizeof to, "%.4000s/other.safetensors", folder);
    REQUIRE(test_write(to, b.data, b.nbytes));
    expect(folder, EL_E_FORMAT, "neither model.safetensors nor pytorch_model.bin");
    make_folder(test_tmp("mistral-name"), "consolidated.safetensors", &b);
    expect(test_tmp("mistral-name"), EL_E_UNSUPPORTED, "only consolidated.safetensors in the folder: has Mistral's own names");
    el_buf_release(&b);
}
