/*
 * Damaged and hostile GPTQ and AWQ folders: each row takes a good one, changes one text in one file (in model.safetensors one of
 * the same length), and says which status and which words it must be refused with.
 */
#include "test.h"

#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/err.h"
#include "tensor/source.h"

#define CONFIG(name, old, new, code, says)                                                                                       \
    {                                                                                                                            \
        name, "gptq-act-order", "config.json", old, new, code, says                                                              \
    }
#define AWQ(name, old, new, code, says)                                                                                          \
    {                                                                                                                            \
        name, "awq", "config.json", old, new, code, says                                                                         \
    }
#define MODEL(name, old, new, code, says)                                                                                        \
    {                                                                                                                            \
        name, "gptq-act-order", "model.safetensors", old, new, code, says                                                        \
    }
#define Q "model.layers.0.self_attn.q_proj."

static const struct {
    const char *name, *from, *file, *old, *new;
    enum el_status code;
    const char *says;
} cases[] = {
    CONFIG("another method", "\"quant_method\": \"gptq\"", "\"quant_method\": \"bitsandbytes\"", EL_E_UNSUPPORTED,
           "quant_method 'bitsandbytes', supported are gptq, awq"),
    CONFIG("config is a list", "\"quantization_config\": {", "\"quantization_config\": [], \"x\": {", EL_E_FORMAT,
           "quantization_config: is not an object"),
    CONFIG("no bits", "\"bits\": 4,", "", EL_E_FORMAT, "quantization_config: no 'bits'"),
    CONFIG("bits a text", "\"bits\": 4,", "\"bits\": \"4\",", EL_E_FORMAT, "'bits' is not an integer"),
    CONFIG("5 bits", "\"bits\": 4,", "\"bits\": 5,", EL_E_UNSUPPORTED, "5 bits, supported are 2, 3, 4, 8"),
    CONFIG("negative bits", "\"bits\": 4,", "\"bits\": -4,", EL_E_UNSUPPORTED, "-4 bits, supported are"),
    CONFIG("no group size", "\"group_size\": 128,", "", EL_E_FORMAT, "no 'group_size'"),
    CONFIG("group of 0", "\"group_size\": 128,", "\"group_size\": 0,", EL_E_UNSUPPORTED, "group_size 0, supported are -1, 32"),
    CONFIG("group of 48", "\"group_size\": 128,", "\"group_size\": 48,", EL_E_UNSUPPORTED, "group_size 48, supported are"),
    CONFIG("group of 2^40", "\"group_size\": 128,", "\"group_size\": 1099511627776,", EL_E_UNSUPPORTED,
           "group_size 1099511627776"),
    CONFIG("checkpoint format", "\"checkpoint_format\": \"gptq\"", "\"checkpoint_format\": \"marlin\"", EL_E_UNSUPPORTED,
           "checkpoint_format 'marlin', supported are gptq, gptq_v2"),
    CONFIG("packed in 64 bits", "\"bits\": 4,", "\"bits\": 4, \"pack_dtype\": \"int64\",", EL_E_UNSUPPORTED,
           "pack_dtype 'int64', supported is int32"),
    CONFIG("modules of their own settings", "\"bits\": 4,",
           "\"bits\": 4, \"dynamic\": {\"-:lm_head\": {}, \"+:.*down.*\": {\"bits\": 8}},", EL_E_UNSUPPORTED,
           "'dynamic' has settings of its own for '+:.*down.*'"),
    CONFIG("other bits than the files", "\"bits\": 4,", "\"bits\": 8,", EL_E_FORMAT, "config.json makes it [64, 256]"),
    CONFIG("other groups than the files", "\"group_size\": 128,", "\"group_size\": 64,", EL_E_FORMAT,
           "config.json makes it [4, "),
    CONFIG("no settings", "\"quantization_config\"", "\"another\"", EL_E_UNSUPPORTED, "is not one of a llama model"),
    AWQ("gemv", "\"gemm\"", "\"gemv\"", EL_E_UNSUPPORTED, "AWQ version 'gemv', supported is gemm"),
    AWQ("AWQ of 8 bits", "\"bits\": 4,", "\"bits\": 8,", EL_E_UNSUPPORTED, "AWQ of 8 bits, supported is 4"),
    AWQ("AWQ called GPTQ", "\"quant_method\": \"awq\"", "\"quant_method\": \"gptq\"", EL_E_FORMAT, "config.json makes it"),
    MODEL("no zero points", Q "qzeros", Q "qzerox", EL_E_UNSUPPORTED, "'" Q "qzerox' is not one of a llama model"),
    MODEL("no codes", Q "qweight", Q "qweighx", EL_E_UNSUPPORTED, "'" Q "qweighx' is not one of a llama model"),
    MODEL("scales of another layer", Q "scales", "model.layers.9.self_attn.q_proj.scales", EL_E_UNSUPPORTED,
          "'model.layers.9.self_attn.q_proj.scales' is not one of a llama model"),
    MODEL("codes of a norm", "model.layers.0.input_layernorm.weight", "model.layers.0.input_layernorm.scales", EL_E_FORMAT,
          "tensor 'model.layers.0.input_layernorm.weight' is there as itself and quantized"),
    MODEL("types change places", "\"dtype\":\"F16\",\"shape\":[2,128]", "\"dtype\":\"I16\",\"shape\":[2,128]", EL_E_UNSUPPORTED,
          ".scales' is I16, must be F16, BF16 or F32"),
};

static const char *in(const char *folder, const char *name)
{
    static char ring[4][4096];
    static unsigned next;
    char *const s = ring[next++ % 4];
    snprintf(s, sizeof ring[0], "%.3000s/%.1000s", folder, name);
    return s;
}

static bool copy(const char *from, const char *to, const char *old, const char *new)
{
    size_t n;
    char *const data = test_read(from, &n);
    struct el_buf b;
    el_buf_init(&b);
    const char *const hit = data && old ? memmem(data, n, old, strlen(old)) : NULL;
    bool ok = data && (!old || hit);
    if (ok && hit) {
        el_buf_add(&b, data, (size_t)(hit - data));
        el_buf_add_str(&b, new);
        el_buf_add(&b, hit + strlen(old), n - (size_t)(hit - data) - strlen(old));
    } else if (ok) {
        el_buf_add(&b, data, n);
    }
    ok = ok && test_write(to, b.data, b.nbytes);
    el_buf_release(&b);
    free(data);
    return ok;
}

static void refuses(const char *name, const char *folder, enum el_status code, const char *says)
{
    struct el_err err = {.code = EL_OK};
    struct el_source *s;
    const enum el_status status = el_source_open(folder, NULL, &s, &err);
    if (status != code || !strstr(err.text, says))
        test_fail(__FILE__, __LINE__, "%s: status %d, '%s', wanted %d, '%s'", name, (int)status, err.text, (int)code, says);
    el_source_close(s);
}

TEST(bad_hf_quant, table)
{
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char rel[64], from[4096];
        snprintf(rel, sizeof rel, "bad-quant-%zu", i);
        const char *const folder = test_tmp(rel);
        snprintf(rel, sizeof rel, "quantized/%s", cases[i].from);
        snprintf(from, sizeof from, "%s", test_data(rel));
        REQUIRE(mkdir(folder, 0777) == 0);
        static const char *const files[] = {"config.json", "model.safetensors"};
        for (size_t k = 0; k < 2; k++) {
            const bool changed = strcmp(files[k], cases[i].file) == 0;
            if (!copy(in(from, files[k]), in(folder, files[k]), changed ? cases[i].old : NULL, cases[i].new))
                test_fail(__FILE__, __LINE__, "%s: cannot be made", cases[i].name);
        }
        refuses(cases[i].name, folder, cases[i].code, cases[i].says);
        REQUIRE(unlink(in(folder, "model.safetensors")) == 0);
    }
}

/* Entries of g_idx: element `at` of q's becomes value. */
static const struct {
    const char *name;
    size_t at;
    int32_t value;
    enum el_status code;
    const char *says;
} orders[] = {
    {"group that is not there", 3, 2, EL_E_FORMAT, "g_idx': element 3 is 2, must be 0 to 1"},
    {"negative group", 255, -1, EL_E_FORMAT, "g_idx': element 255 is -1, must be 0 to 1"},
};

TEST(bad_hf_quant, orders)
{
    char from[4096];
    const char *const folder = test_tmp("bad-quant-order");
    snprintf(from, sizeof from, "%s", test_data("quantized/gptq-act-order"));
    REQUIRE(mkdir(folder, 0777) == 0 && copy(in(from, "config.json"), in(folder, "config.json"), NULL, NULL));
    size_t n;
    char *const data = test_read(in(from, "model.safetensors"), &n);
    REQUIRE(data);
    uint64_t n_header;
    memcpy(&n_header, data, 8);
    const char *const entry = strstr(data + 8, "\"" Q "g_idx\""), *const offsets =
                                                                      entry ? strstr(entry, "\"data_offsets\":[") : NULL;
    REQUIRE(offsets);
    char *const g_idx = data + 8 + n_header + strtoull(offsets + 16, NULL, 10);
    for (size_t i = 0; i < sizeof orders / sizeof orders[0]; i++) {
        int32_t was;
        memcpy(&was, g_idx + 4 * orders[i].at, 4);
        memcpy(g_idx + 4 * orders[i].at, &orders[i].value, 4);
        REQUIRE(test_write(in(folder, "model.safetensors"), data, n));
        refuses(orders[i].name, folder, orders[i].code, orders[i].says);
        memcpy(g_idx + 4 * orders[i].at, &was, 4);
    }
    /* One column more in group 0 than it has room for. */
    for (size_t i = 0; i < 256; i++) {
        int32_t g;
        memcpy(&g, g_idx + 4 * i, 4);
        if (g == 1) {
            memset(g_idx + 4 * i, 0, 4);
            break;
        }
    }
    REQUIRE(test_write(in(folder, "model.safetensors"), data, n));
    refuses("a group too full", folder, EL_E_UNSUPPORTED, "g_idx': group 0 has more columns than the 128 of a group");
    free(data);
}

/* AutoGPTQ's older files have their settings beside config.json. */
TEST(bad_hf_quant, quantize_config)
{
    char from[4096];
    const char *const folder = test_tmp("quantize-config");
    snprintf(from, sizeof from, "%s", test_data("quantized/gptq-act-order"));
    REQUIRE(mkdir(folder, 0777) == 0);
    REQUIRE(copy(in(from, "config.json"), in(folder, "config.json"), "\"quantization_config\"", "\"another\""));
    REQUIRE(copy(in(from, "model.safetensors"), in(folder, "model.safetensors"), NULL, NULL));
    static const char good[] = "{\"bits\": 4, \"group_size\": 128, \"desc_act\": true}", bad[] = "{\"bits\": 4}";
    REQUIRE(test_write(in(folder, "quantize_config.json"), good, sizeof good - 1));
    struct el_err err = {.code = EL_OK};
    struct el_source *s;
    CHECK_OK(el_source_open(folder, NULL, &s, &err), err);
    el_source_close(s);
    REQUIRE(test_write(in(folder, "quantize_config.json"), bad, sizeof bad - 1));
    refuses("incomplete", folder, EL_E_FORMAT, "quantize_config.json: quantization_config: no 'group_size'");
}
