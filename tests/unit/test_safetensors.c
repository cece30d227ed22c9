/* Single safetensors files: reading every number type, writing, arrays; formats found by themselves. */
#include "base/mem.h"
#include "formats/format.h"
#include "formats/safetensors.h"
#include "model_copy.h"
#include "test.h"

#include <sys/stat.h>
#include <unistd.h>

/* A file with this JSON as its header and data behind it. */
static bool write_st(const char *path, const char *json, const void *data, size_t nbytes)
{
    struct el_buf b;
    el_buf_init(&b);
    el_buf_add_u64(&b, strlen(json));
    el_buf_add_str(&b, json);
    el_buf_add(&b, data, nbytes);
    const bool ok = test_write(path, b.data, b.nbytes);
    el_buf_release(&b);
    return ok;
}

TEST(safetensors, every_number_type)
{
    static const struct {
        const char *dtype;
        uint8_t bytes[8];
        unsigned nbytes;
        float value;
    } cases[] = {
        {"F32", {0, 0, 0xc0, 0x3f}, 4, 1.5f},
        {"F16", {0, 0x3e}, 2, 1.5f},
        {"BF16", {0xc0, 0x3f}, 2, 1.5f},
        {"F64", {0, 0, 0, 0, 0, 0, 0xf8, 0x3f}, 8, 1.5f},
        {"I64", {0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, 8, -2.0f},
        {"U64", {0, 0, 0, 0, 1}, 8, 4294967296.0f},
        {"I32", {0xfe, 0xff, 0xff, 0xff}, 4, -2.0f},
        {"U32", {0xff, 0xff, 0xff, 0xff}, 4, 4294967296.0f},
        {"I16", {0xfe, 0xff}, 2, -2.0f},
        {"U16", {0xfe, 0xff}, 2, 65534.0f},
        {"I8", {0xfe}, 1, -2.0f},
        {"U8", {0xfe}, 1, 254.0f},
        {"BOOL", {1}, 1, 1.0f},
        {"F8_E4M3", {0x3c}, 1, 1.5f},
        {"F8_E4M3", {0xfe}, 1, -448.0f},
        {"F8_E4M3", {0x01}, 1, 0x1p-9f},
        {"F8_E4M3", {0x7f}, 1, NAN},
        {"F8_E5M2", {0x3e}, 1, 1.5f},
        {"F8_E5M2", {0x82}, 1, -0x1p-15f},
        {"F8_E5M2", {0x7c}, 1, INFINITY},
        {"F8_E5M2", {0xff}, 1, NAN},
        {"F8_E5M2", {0x7b}, 1, 57344.0f},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char json[256];
        snprintf(json, sizeof json, "{\"x\":{\"dtype\":\"%s\",\"shape\":[],\"data_offsets\":[0,%u]}}", cases[i].dtype,
                 cases[i].nbytes);
        const char *const path = test_tmp("types");
        REQUIRE(write_st(path, json, cases[i].bytes, cases[i].nbytes));
        struct el_err err = {0};
        struct el_source *s;
        REQUIRE_OK(el_source_open(path, NULL, &s, &err), err);
        CHECK_EQ_STR(el_source_format(s), "safetensors");
        CHECK_EQ_STR(el_source_tensor(s, 0).encoding, cases[i].dtype);
        float v = -77.0f;
        CHECK_OK(el_source_read_rows(s, 0, 0, 1, &v, &err), err);
        if (isnan(cases[i].value) ? !isnan(v) : v != cases[i].value)
            test_fail(__FILE__, __LINE__, "%s: %g, want %g", cases[i].dtype, (double)v, (double)cases[i].value);
        CHECK_EQ_STR(el_st_dtype_of_enc(&s->tensors[0].enc), cases[i].dtype);
        el_source_close(s);
    }
}

TEST(safetensors, empty_tensors_and_no_tensors)
{
    struct el_err err = {0};
    struct el_source *s;
    const char *const path = test_tmp("empty");
    REQUIRE(write_st(path, "{}", "", 0));
    REQUIRE_OK(el_source_open(path, NULL, &s, &err), err);
    CHECK_EQ_INT(s->n_tensors, 0);
    el_source_close(s);
    REQUIRE(write_st(path,
                     "{\"z\":{\"dtype\":\"F32\",\"shape\":[0,3],\"data_offsets\":[0,0]},"
                     "\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},"
                     "\"y\":{\"dtype\":\"F32\",\"shape\":[3,0],\"data_offsets\":[1,1]},\"__metadata__\":{\"k\":\"v\"}}  ",
                     "x", 1));
    REQUIRE_OK(el_source_open(path, NULL, &s, &err), err);
    CHECK_EQ_INT(s->n_tensors, 3);
    for (size_t i = 0; i < 3; i++) {
        float v[4];
        CHECK_OK(el_source_read_rows(s, i, 0, s->tensors[i].n_rows, v, &err), err);
    }
    CHECK_EQ_STR(s->tensors[0].name, "z");
    el_source_close(s);
}

TEST(safetensors, writes_what_the_library_writes)
{
    struct el_err err = {0};
    struct el_source *s, *back;
    char path[4096];
    snprintf(path, sizeof path, "%s", test_tmp("copy.safetensors"));
    const char *const from = test_data("fixtures/qwen2/model.safetensors");
    REQUIRE_OK(el_source_open(from, NULL, &s, &err), err);
    const struct el_sink_opts opts = {.format = "safetensors"};
    REQUIRE_OK(copy_model(s, path, &opts, &err), err);
    size_t n_a, n_b;
    char *const a = test_read(from, &n_a), *const b = test_read(path, &n_b);
    CHECK(a && b && n_a == n_b && memcmp(a, b, n_a) == 0);
    free(a);
    free(b);
    CHECK_EQ_INT(copy_model(s, path, &opts, &err), EL_E_IO);
    el_source_close(s);
    REQUIRE_OK(el_source_open(path, NULL, &back, &err), err);
    CHECK_EQ_INT(copy_model(back, path, &(struct el_sink_opts){.format = "safetensors", .overwrite = true}, &err), EL_E_USAGE);
    CHECK(strstr(err.text, "input and output are the same file"));
    struct el_sink *sink;
    CHECK_EQ_INT(el_sink_open(path, &(struct el_sink_opts){.format = "safetensors", .split_max_nbytes = 5}, &sink, &err),
                 EL_E_USAGE);
    struct el_tensor t = back->tensors[0];
    REQUIRE_OK(el_enc_parse("Q8_0", &t.enc, &err), err);
    REQUIRE_OK(el_sink_open(test_tmp("q"), &opts, &sink, &err), err);
    CHECK_EQ_INT(sink->ops->begin(sink, back->meta, &t, 1, &err), EL_E_UNSUPPORTED);
    el_sink_close(sink);
    el_source_close(back);
}

TEST(safetensors, arrays)
{
    struct el_err err = {0};
    struct el_source *s;
    const char *const path = test_tmp("arrays.safetensors");
    static const float x[6] = {1, 2, 3, 4, 5, 6};
    static const int32_t ids[3] = {-1, 7, 2000000};
    const struct el_array arrays[] = {
        {.name = "logits", .dtype = 'f', .n_dims = 2, .dims = {2, 3}, .data = x},
        {.name = "ids \"q\"", .dtype = 'i', .n_dims = 1, .dims = {3}, .data = ids},
        {.name = "none", .dtype = 'f', .n_dims = 1, .dims = {0}, .data = x},
    };
    REQUIRE_OK(el_arrays_write(path, arrays, 3, false, &err), err);
    CHECK_EQ_INT(el_arrays_write(path, arrays, 3, false, &err), EL_E_IO);
    REQUIRE_OK(el_source_open(path, NULL, &s, &err), err);
    float back[6];
    CHECK_EQ_INT(s->n_tensors, 3);
    CHECK_OK(el_source_read_rows(s, el_source_find(s, "logits"), 0, 2, back, &err), err);
    CHECK(memcmp(back, x, sizeof x) == 0);
    CHECK_OK(el_source_read_rows(s, el_source_find(s, "ids \"q\""), 0, 1, back, &err), err);
    CHECK(back[0] == -1 && back[1] == 7 && back[2] == 2000000);
    el_source_close(s);
    struct el_array bad = arrays[0];
    bad.dtype = 'x';
    CHECK_EQ_INT(el_arrays_write(path, &bad, 1, true, &err), EL_E_USAGE);
    bad = arrays[0];
    bad.n_dims = 9;
    CHECK_EQ_INT(el_arrays_write(path, &bad, 1, true, &err), EL_E_FORMAT);
    REQUIRE_OK(el_source_open(path, NULL, &s, &err), err); /* the old file is still there */
    el_source_close(s);
    for (uint64_t i = 1; i < 200; i++) {
        el_mem_fail_after(i);
        const enum el_status status = el_arrays_write(path, arrays, 3, true, &err);
        el_mem_fail_after(0);
        if (status == EL_OK)
            break;
        CHECK_EQ_INT(status, EL_E_MEMORY);
    }
}

TEST(safetensors, out_of_memory)
{
    struct el_err err = {0};
    struct el_source *s = NULL;
    unsigned n_failures = 0;
    for (uint64_t i = 1; i < 5000; i++) {
        el_mem_fail_after(i);
        const enum el_status status = el_source_open(test_data("fixtures/qwen2/model.safetensors"), NULL, &s, &err);
        el_mem_fail_after(0);
        if (status == EL_OK)
            break;
        CHECK_EQ_INT(status, EL_E_MEMORY);
        n_failures++;
    }
    CHECK(n_failures > 50);
    REQUIRE(s);
    for (uint64_t i = 1; i < 5000; i++) {
        el_mem_fail_after(i);
        const enum el_status status =
            copy_model(s, test_tmp("oom.safetensors"), &(struct el_sink_opts){.format = "safetensors"}, &err);
        el_mem_fail_after(0);
        if (status == EL_OK)
            break;
        CHECK_EQ_INT(status, EL_E_MEMORY);
    }
    el_source_close(s);
}

/* ---- the table of formats ---- */

TEST(format, table)
{
    CHECK_EQ_STR(el_format_at(0)->name, "gguf");
    CHECK(el_format_at(99) == NULL);
    CHECK(el_format_by_name("hf") != NULL && el_format_by_name("HF") == NULL);
    struct el_err err = {0};
    struct el_source *s;
    struct el_sink *sink;
    CHECK_EQ_INT(el_source_open(test_tmp("format-x"), &(struct el_source_opts){.format = "onnx"}, &s, &err), EL_E_USAGE);
    CHECK(strstr(err.text, "format 'onnx' cannot be read, only gguf, safetensors, npz, torch, hf"));
    CHECK_EQ_INT(el_sink_open(test_tmp("format-x"), &(struct el_sink_opts){.format = "llama2c"}, &sink, &err), EL_E_USAGE);
    CHECK(strstr(err.text, "format 'llama2c' cannot be written, only gguf, safetensors, hf"));
    CHECK_EQ_INT(el_source_open(test_tmp("format-absent"), NULL, &s, &err), EL_E_IO);
    CHECK(s == NULL);
    el_source_close(NULL);
    el_sink_close(NULL);
    REQUIRE_OK(el_sink_open(test_tmp("format-x"), &(struct el_sink_opts){.format = NULL}, &sink, &err), err); /* GGUF */
    el_sink_close(sink);
}

TEST(format, says_what_a_wrong_file_is)
{
    static const struct {
        const char *name, *bytes;
        size_t n;
        enum el_status code;
        const char *says;
    } cases[] = {
#define CASE(name, bytes, code, says) {name, bytes, sizeof(bytes) - 1, code, says}
        CASE("e.gguf", "", EL_E_FORMAT, "is empty"),
        CASE("a.safetensors", "version https://git-lfs.github.com/spec/v1\n", EL_E_FORMAT, "git-lfs pointer"),
        CASE("a.gguf", "<!DOCTYPE html><html>", EL_E_FORMAT, "HTML page"),
        CASE("b.gguf", "<!doctype html>", EL_E_FORMAT, "HTML page"),
        CASE("c.gguf", "<html lang=\"en\">", EL_E_FORMAT, "HTML page"),
        CASE("d.gguf", "<?xml version=\"1.0\"?>", EL_E_FORMAT, "is XML"),
        CASE("m.pth", "PK\x03\x04 and more", EL_E_FORMAT, "truncated or no zip archive"),
        CASE("n.pth", "PK\x05\x06 and more", EL_E_FORMAT, "truncated or no zip archive"),
        CASE("m.bin", "\x80\x02}.", EL_E_UNSUPPORTED, "is a Python pickle, but none that torch.save has written"),
        CASE("o.bin", "lmgg\x01\0\0\0", EL_E_UNSUPPORTED, "old ggml file"),
        CASE("p.bin", "tjgg\x03\0\0\0", EL_E_UNSUPPORTED, "old ggjt file"),
        CASE("q.bin", "fmgg\x01\0\0\0", EL_E_UNSUPPORTED, "old ggmf file"),
        CASE("r.bin", "algg\x01\0\0\0", EL_E_UNSUPPORTED, "LoRA"),
        CASE("x.npy", "\x93NUMPY\x01", EL_E_UNSUPPORTED, "NumPy"),
        CASE("x.h5", "\x89HDF\r\n", EL_E_UNSUPPORTED, "HDF5"),
        CASE("x.gz", "\x1f\x8b\x08", EL_E_UNSUPPORTED, "gzip"),
        CASE("x.zst", "\x28\xb5\x2f\xfd", EL_E_UNSUPPORTED, "zstd"),
        CASE("x.xz",
             "\xfd"
             "7zXZ",
             EL_E_UNSUPPORTED, "xz"),
        CASE("x.bz2", "BZh9", EL_E_UNSUPPORTED, "bzip2"),
        CASE("x.so",
             "\x7f"
             "ELF\x02",
             EL_E_UNSUPPORTED, "is a program"),
        CASE("config.json", " {\"model_type\": \"llama\", \"vocab_size\": 7}", EL_E_FORMAT, "is JSON, but no tokenizer.json"),
        CASE("x.txt", "just text, long enough to be looked at", EL_E_FORMAT,
             "not recognised, known formats are gguf, safetensors, npz, torch, hf, imatrix, llama2c"),
        CASE("one", "x", EL_E_FORMAT, "not recognised"),
        CASE("x.bin", "\x03\0\0\0\x01\0\0", EL_E_FORMAT, "not recognised"),
#undef CASE
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const char *const path = test_tmp(cases[i].name);
        REQUIRE(test_write(path, cases[i].bytes, cases[i].n));
        struct el_err err = {0};
        struct el_source *s;
        const enum el_status status = el_source_open(path, NULL, &s, &err);
        if (status != cases[i].code || !strstr(err.text, cases[i].says))
            test_fail(__FILE__, __LINE__, "%s: status %d, '%s', wanted '%s'", cases[i].name, (int)status, err.text,
                      cases[i].says);
    }
    struct el_err err = {0};
    struct el_source *s;
    const char *const folder = test_tmp("no model");
    REQUIRE(mkdir(folder, 0777) == 0);
    CHECK_EQ_INT(el_source_open(folder, NULL, &s, &err), EL_E_FORMAT);
    CHECK(strstr(err.text, "is a folder without config.json"));
    CHECK_EQ_INT(el_source_open("/dev/null", NULL, &s, &err), EL_E_IO);
}
