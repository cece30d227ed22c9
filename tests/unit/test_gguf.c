/*
 * GGUF: what is written is read, by value and by byte; split sets, the parts container, row orders, and what goes wrong on the
 * way.
 */
#include "test.h"

#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "formats/format.h"
#include "formats/gguf.h"
#include "gguf_bytes.h"

/* ---- helpers ---- */

static struct el_source *open_at(const char *path, bool strict)
{
    struct el_err err = {.code = EL_OK};
    struct el_source *s = NULL;
    const struct el_source_opts opts = {.format = "gguf", .strict = strict};
    CHECK_OK(el_source_open(path, &opts, &s, &err), err);
    return s;
}

static struct el_source *open_bytes(const struct gguf_bytes *b)
{
    struct el_err err = {.code = EL_OK};
    struct el_source *s = NULL;
    CHECK_OK(el_gguf_open_memory(b->data, b->n, NULL, &s, &err), err);
    return s;
}

/* Byte j of part p of tensor i, as these tests write it. */
static uint8_t byte_of(size_t i, uint32_t p, uint64_t j)
{
    return (uint8_t)(i * 31 + p * 7 + j);
}

static enum el_status write_tensors(struct el_sink *k, struct el_err *err)
{
    for (size_t i = k->n_tensors; i-- > 0;) { /* backwards: any order is right */
        for (uint32_t p = 0; p < k->tensors[i].n_parts; p++) {
            const uint64_t n = k->tensors[i].parts[p].nbytes;
            uint8_t *const data = malloc((size_t)n + 1);
            for (uint64_t j = 0; j < n; j++)
                data[j] = byte_of(i, p, j);
            enum el_status status = k->ops->write(k, i, p, 0, data, n / 2, err);
            if (status == EL_OK)
                status = k->ops->write(k, i, p, n / 2, data + n / 2, n - n / 2, err);
            free(data);
            EL_TRY(status);
        }
    }
    return EL_OK;
}

/* Writes tensors with the bytes of byte_of. */
static enum el_status write_file(const char *path, const struct el_sink_opts *opts, const struct el_meta *meta,
                                 struct el_tensor *tensors, size_t n, struct el_err *err)
{
    struct el_sink *k = NULL;
    const struct el_sink_opts plain = {.format = "gguf"};
    EL_TRY(el_sink_open(path, opts ? opts : &plain, &k, err));
    enum el_status status = k->ops->begin(k, meta, tensors, n, err);
    if (status == EL_OK)
        status = write_tensors(k, err);
    if (status == EL_OK)
        status = el_sink_commit(k, err);
    el_sink_close(k);
    return status;
}

/* Number of bytes that differ from byte_of, over all tensors. */
static unsigned wrong_bytes(struct el_source *s)
{
    unsigned wrong = 0;
    struct el_err err;
    for (size_t i = 0; i < s->n_tensors; i++) {
        for (uint32_t p = 0; p < s->tensors[i].n_parts; p++) {
            const uint64_t n = s->tensors[i].parts[p].nbytes;
            uint8_t *const data = malloc((size_t)n + 1);
            CHECK_OK(s->ops->read(s, &s->tensors[i], p, 0, data, n, &err), err);
            for (uint64_t j = 0; j < n; j++)
                wrong += data[j] != byte_of(i, p, j);
            free(data);
        }
    }
    return wrong;
}

static struct el_tensor tensor(const char *name, const char *enc, uint32_t n_dims, uint64_t a, uint64_t b, uint64_t c)
{
    struct el_err err;
    struct el_tensor t = {.name = name, .file_name = name, .n_dims = n_dims, .dims = {a, b, c}};
    CHECK_OK(el_enc_parse(enc, &t.enc, &err), err);
    CHECK_OK(el_tensor_complete(&t, &err), err);
    return t;
}

/* Files in a folder whose names begin with prefix. */
static unsigned n_files(const char *folder, const char *prefix)
{
    unsigned n = 0;
    DIR *const d = opendir(folder);
    for (const struct dirent *e; d && (e = readdir(d));)
        n += strncmp(e->d_name, prefix, strlen(prefix)) == 0 || (e->d_name[0] == '.' && strstr(e->d_name, prefix));
    if (d)
        closedir(d);
    return n;
}

/* ---- reading ---- */

static void check_small(uint32_t version)
{
    struct gguf_bytes b = {0};
    gb_small(&b, version);
    struct el_source *const s = open_bytes(&b);
    REQUIRE(s != NULL);
    const struct el_meta *const m = el_source_meta(s);
    CHECK_EQ_INT(el_meta_count(m), 16);
    CHECK_EQ_STR(el_meta_str(m, 0, 0, NULL), "none of them");
    CHECK_EQ_INT(el_meta_int(m, el_meta_find(m, "u8"), 0), 200);
    CHECK_EQ_INT(el_meta_int(m, el_meta_find(m, "i8"), 0), -128);
    CHECK_EQ_INT(el_meta_int(m, el_meta_find(m, "u16"), 0), 0x1234);
    CHECK_EQ_INT(el_meta_int(m, el_meta_find(m, "i16"), 0), -1);
    CHECK_EQ_INT(el_meta_int(m, el_meta_find(m, "u32"), 0), 4000000000);
    CHECK_EQ_INT(el_meta_int(m, el_meta_find(m, "i32"), 0), -7);
    CHECK_NEAR(el_meta_float(m, el_meta_find(m, "f32"), 0), 1.5, 0);
    CHECK_EQ_INT(el_meta_int(m, el_meta_find(m, "bool"), 0), 1);
    CHECK_NEAR(el_meta_float(m, el_meta_find(m, "u64"), 0), 0x1p63, 0);
    CHECK_EQ_INT(el_meta_int(m, el_meta_find(m, "i64"), 0), -9);
    CHECK_NEAR(el_meta_float(m, el_meta_find(m, "f64"), 0), 0.1, 0);
    const size_t strs = el_meta_find(m, "array of str");
    size_t nbytes;
    CHECK_EQ_INT(el_meta_n_elems(m, strs), 3);
    CHECK_EQ_STR(el_meta_str(m, strs, 0, &nbytes), "one");
    CHECK(memcmp(el_meta_str(m, strs, 2, &nbytes), "t\0o", 4) == 0);
    CHECK_EQ_INT(nbytes, 3);
    CHECK_EQ_INT(el_meta_int(m, el_meta_find(m, "array of bool"), 1), 1);
    CHECK_EQ_INT(el_meta_n_elems(m, el_meta_find(m, "empty array")), 0);
    REQUIRE(el_source_n_tensors(s) == 3);
    const struct el_tensor_info t0 = el_source_tensor(s, 0), t2 = el_source_tensor(s, 2);
    CHECK_EQ_STR(t0.name, "first");
    CHECK_EQ_INT(t0.dims[0], 3); /* outermost first */
    CHECK_EQ_INT(t0.dims[1], 2);
    CHECK_EQ_STR(t2.encoding, "Q8_0");
    CHECK_EQ_INT(t2.nbytes, 68);
    CHECK_EQ_INT(t2.offset % 32, 0);
    CHECK(b.data[t2.offset + 67] == 67);
    CHECK_EQ_STR(t2.file, "memory");
    CHECK(s->ops->file(s, 1) == NULL);
    uint8_t byte;
    struct el_err err;
    CHECK_OK(s->ops->read(s, &s->tensors[0], 0, 23, &byte, 1, &err), err);
    CHECK_EQ_INT(byte, 23);
    CHECK_EQ_INT(s->ops->read(s, &s->tensors[0], 0, 23, &byte, 2, &err), EL_E_USAGE);
    CHECK_EQ_INT(s->ops->read(s, &s->tensors[0], 0, UINT64_MAX, &byte, 2, &err), EL_E_USAGE);
    el_source_close(s);
    gb_free(&b);
}

TEST(gguf, reads_every_value_type_in_version_3)
{
    check_small(3);
}

TEST(gguf, reads_every_value_type_in_version_2)
{
    check_small(2);
}

TEST(gguf, maps_what_is_aligned)
{
    struct gguf_bytes b = {0};
    const uint64_t dims[] = {4};
    gb_start(&b, 3, 2, 1);
    gb_kv_u32(&b, "general.alignment", 1);
    gb_tensor(&b, "a", 1, dims, 0, 0);
    gb_tensor(&b, "b", 1, dims, 0, 16);
    gb_data(&b, 32);
    const char *const path = test_tmp("unaligned.gguf");
    REQUIRE(test_write(path, b.data, b.n));
    struct el_source *s = open_at(path, true);
    REQUIRE(s != NULL);
    CHECK(s->ops->map(s, &s->tensors[0], 0) == NULL || s->ops->map(s, &s->tensors[1], 0) == NULL);
    el_source_close(s);
    gb_free(&b);
    gb_small(&b, 3);
    REQUIRE(test_write(path, b.data, b.n));
    s = open_at(path, true);
    REQUIRE(s != NULL);
    for (size_t i = 0; i < 3; i++) {
        const uint8_t *const p = s->ops->map(s, &s->tensors[i], 0);
        REQUIRE(p != NULL);
        CHECK_EQ_INT(p[7], 7);
    }
    el_source_close(s);
    gb_free(&b);
}

/* Strings and arrays larger than the window in which headers are read, and strings that straddle its end. */
TEST(gguf, reads_values_larger_than_the_window)
{
    struct gguf_bytes b = {0};
    enum { N_WORDS = 60000, N_NUMBERS = 200000, N_TEXT = 700000 };
    gb_start(&b, 3, 0, 3);
    gb_kv(&b, "words", 9);
    gb_u32(&b, 8);
    gb_u64(&b, N_WORDS);
    char word[32];
    for (unsigned i = 0; i < N_WORDS; i++) {
        snprintf(word, sizeof word, "word%u", i * 7919);
        gb_str(&b, word);
    }
    gb_kv(&b, "text", 8);
    gb_u64(&b, N_TEXT);
    gb_data(&b, N_TEXT);
    gb_kv(&b, "numbers", 9);
    gb_u32(&b, 4);
    gb_u64(&b, N_NUMBERS);
    for (uint32_t i = 0; i < N_NUMBERS; i++)
        gb_u32(&b, i * 3);
    const char *const path = test_tmp("large.gguf");
    REQUIRE(test_write(path, b.data, b.n));
    struct el_source *const s = open_at(path, true);
    REQUIRE(s != NULL);
    unsigned wrong = 0;
    for (unsigned i = 0; i < N_WORDS; i++) {
        snprintf(word, sizeof word, "word%u", i * 7919);
        wrong += strcmp(el_meta_str(s->meta, 0, i, NULL), word) != 0;
    }
    for (uint32_t i = 0; i < N_NUMBERS; i++)
        wrong += el_meta_int(s->meta, 2, i) != i * 3;
    CHECK_EQ_INT(wrong, 0);
    size_t nbytes;
    const char *const text = el_meta_str(s->meta, 1, 0, &nbytes);
    CHECK_EQ_INT(nbytes, N_TEXT);
    CHECK_EQ_INT((uint8_t)text[N_TEXT - 1], (uint8_t)(N_TEXT - 1));
    el_source_close(s);
    gb_free(&b);
}

TEST(gguf, accepts_empty_tensors_and_gaps_unless_strict)
{
    struct gguf_bytes b = {0};
    const uint64_t d0[] = {0, 5}, d1[] = {2}, d2[] = {7, 0, 3};
    gb_start(&b, 3, 3, 0);
    gb_tensor(&b, "empty", 2, d0, 0, 0);
    gb_tensor(&b, "full", 1, d1, 0, 64);
    gb_tensor(&b, "far", 3, d2, 0, UINT64_C(1) << 60);
    gb_pad(&b, 32);
    gb_data(&b, 72); /* and no padding behind the last tensor */
    struct el_source *s = open_bytes(&b);
    REQUIRE(s != NULL);
    CHECK_EQ_INT(s->tensors[0].n_rows, 5);
    CHECK_EQ_INT(s->tensors[0].n_in, 0);
    CHECK_EQ_INT(el_tensor_nbytes(&s->tensors[2]), 0);
    CHECK(s->ops->map(s, &s->tensors[2], 0) == NULL);
    struct el_err err;
    uint8_t x[8];
    CHECK_OK(s->ops->read(s, &s->tensors[2], 0, 0, x, 0, &err), err);
    CHECK_OK(s->ops->read(s, &s->tensors[1], 0, 0, x, 8, &err), err);
    CHECK_EQ_INT(x[0], 64);
    el_source_close(s);
    const struct el_source_opts strict = {.strict = true};
    CHECK_EQ_INT(el_gguf_open_memory(b.data, b.n, &strict, &s, &err), EL_E_FORMAT);
    CHECK_EQ_STR(err.text, "'memory': 64 stray bytes at byte 160, in front of a tensor");
    gb_free(&b);
}

TEST(gguf, warns_of_stray_bytes)
{
    struct gguf_bytes b = {0};
    gb_small(&b, 3);
    gb_data(&b, 5);
    struct el_source *s = open_bytes(&b);
    CHECK(s != NULL);
    el_source_close(s);
    const struct el_source_opts strict = {.strict = true};
    struct el_err err;
    CHECK_EQ_INT(el_gguf_open_memory(b.data, b.n, &strict, &s, &err), EL_E_FORMAT);
    CHECK(strstr(err.text, "5 stray bytes at byte") && strstr(err.text, "after the last tensor"));
    gb_free(&b);
}

/* ---- writing ---- */

static struct el_meta *some_meta(void)
{
    struct gguf_bytes b = {0};
    gb_small(&b, 3);
    struct el_source *const s = open_bytes(&b);
    struct el_meta *const meta = el_meta_copy(s->meta);
    el_source_close(s);
    gb_free(&b);
    return meta;
}

TEST(gguf, writes_what_it_reads)
{
    struct el_meta *const meta = some_meta();
    struct el_tensor t[] = {tensor("w", "F32", 2, 3, 5, 0),    tensor("stack", "F16", 3, 2, 3, 4),
                            tensor("v", "BF16", 1, 7, 0, 0),   tensor("q", "Q4_K", 2, 2, 512, 0),
                            tensor("p", "Q6_K", 2, 3, 256, 0), tensor("e", "F32", 2, 0, 3, 0),
                            tensor("q8", "Q8_0", 2, 5, 96, 0), tensor("n", "F32", 2, 3, 0, 0)};
    const char *const path = test_tmp("written.gguf");
    struct el_err err;
    REQUIRE_OK(write_file(path, NULL, meta, t, 8, &err), err);
    struct el_source *const s = open_at(path, true);
    REQUIRE(s != NULL);
    CHECK(el_meta_equal(s->meta, meta));
    REQUIRE(s->n_tensors == 8);
    for (size_t i = 0; i < 8; i++) {
        CHECK_EQ_STR(s->tensors[i].name, t[i].name);
        CHECK(el_enc_equal(&s->tensors[i].enc, &t[i].enc));
        CHECK_EQ_INT(s->tensors[i].n_dims, t[i].n_dims);
        CHECK(memcmp(s->tensors[i].dims, t[i].dims, t[i].n_dims * sizeof t[i].dims[0]) == 0);
    }
    CHECK_EQ_INT(wrong_bytes(s), 0);
    el_source_close(s);
    el_meta_free(meta);
}

TEST(gguf, writes_the_same_bytes_as_others)
{
    static const char *const names[] = {"llama", "mixtral", "qwen2", "gpt-bigcode"};
    for (size_t i = 0; i < 4; i++) {
        char name[64];
        snprintf(name, sizeof name, "fixtures/%s/model-f32.gguf", names[i]);
        size_t n_want, n_got;
        char *const want = test_read(test_data(name), &n_want);
        if (!want)
            SKIP("no fixtures");
        struct el_source *const s = open_at(test_data(name), true);
        REQUIRE(s != NULL);
        const char *const path = test_tmp("again.gguf");
        struct el_err err;
        struct el_sink *k = NULL;
        const struct el_sink_opts opts = {.format = "gguf", .overwrite = true};
        REQUIRE_OK(el_sink_open(path, &opts, &k, &err), err);
        k->source = s;
        REQUIRE_OK(k->ops->begin(k, s->meta, s->tensors, s->n_tensors, &err), err);
        for (size_t t = 0; t < s->n_tensors; t++) {
            CHECK(el_row_order_equal(&k->tensors[t].order, &s->tensors[t].order));
            const uint64_t n = s->tensors[t].parts[0].nbytes;
            uint8_t *const data = malloc((size_t)n);
            CHECK_OK(s->ops->read(s, &s->tensors[t], 0, 0, data, n, &err), err);
            CHECK_OK(k->ops->write(k, t, 0, 0, data, n, &err), err);
            free(data);
        }
        CHECK_OK(el_sink_commit(k, &err), err);
        el_sink_close(k);
        el_source_close(s);
        char *const got = test_read(path, &n_got);
        CHECK_EQ_INT(n_got, n_want);
        CHECK(n_got == n_want && memcmp(got, want, n_want) == 0);
        free(got);
        free(want);
    }
}

TEST(gguf, keeps_the_alignment_of_the_metadata)
{
    static const uint32_t alignments[] = {1, 8, 64, 4096};
    for (size_t i = 0; i < 4; i++) {
        struct el_meta *const meta = el_meta_new();
        struct el_err err;
        CHECK_OK(el_meta_set_u32(meta, "general.alignment", alignments[i], &err), err);
        struct el_tensor t[] = {tensor("a", "F32", 1, 3, 0, 0), tensor("b", "G3_32", 2, 3, 50, 0),
                                tensor("c", "F32", 1, 1, 0, 0)};
        const char *const path = test_tmp("aligned.gguf");
        const struct el_sink_opts opts = {.format = "gguf", .overwrite = true};
        REQUIRE_OK(write_file(path, &opts, meta, t, 3, &err), err);
        struct el_source *const s = open_at(path, true);
        REQUIRE(s != NULL);
        for (size_t k = 0; k < 3; k++)
            CHECK_EQ_INT(s->tensors[k].offset % alignments[i], 0);
        CHECK_EQ_INT(wrong_bytes(s), 0);
        el_source_close(s);
        el_meta_free(meta);
    }
}

TEST(gguf, writes_files_without_tensors)
{
    struct el_meta *const meta = some_meta();
    const char *const path = test_tmp("vocab.gguf");
    struct el_err err;
    REQUIRE_OK(write_file(path, NULL, meta, NULL, 0, &err), err);
    struct el_source *const s = open_at(path, true);
    REQUIRE(s != NULL);
    CHECK_EQ_INT(s->n_tensors, 0);
    CHECK(el_meta_equal(s->meta, meta));
    el_source_close(s);
    el_meta_free(meta);
}

/* ---- the parts container ---- */

TEST(gguf, stores_own_encodings_as_plain_tensors)
{
    struct el_meta *const meta = some_meta();
    struct el_tensor t[] = {tensor("a", "F32", 1, 3, 0, 0), tensor("w a w", "G4_32Z", 3, 2, 4, 100),
                            tensor("b", "G8_ROW", 2, 5, 33, 0), tensor("c", "F16", 1, 4, 0, 0)};
    const char *const path = test_tmp("parts.gguf");
    struct el_err err;
    REQUIRE_OK(write_file(path, NULL, meta, t, 4, &err), err);
    struct el_source *const s = open_at(path, true);
    REQUIRE(s != NULL);
    CHECK(el_meta_equal(s->meta, meta)); /* edgellm.encodings is hidden */
    REQUIRE(s->n_tensors == 4);
    for (size_t i = 0; i < 4; i++) {
        CHECK_EQ_STR(s->tensors[i].name, t[i].name);
        CHECK(el_enc_equal(&s->tensors[i].enc, &t[i].enc));
        CHECK_EQ_INT(s->tensors[i].n_rows, t[i].n_rows);
    }
    CHECK_EQ_INT(wrong_bytes(s), 0);
    el_source_close(s);

    /* What any other reader sees. */
    struct el_file file;
    struct el_gguf_header h;
    REQUIRE_OK(el_file_open(&file, path, &err), err);
    const struct el_gguf_input in = {.path = path, .file = &file, .nbytes = file.nbytes};
    REQUIRE_OK(el_gguf_read_header(&in, true, &h, &err), err);
    CHECK_EQ_INT(h.n_entries, 7);
    CHECK_EQ_STR(h.entries[1].name, "w a w.codes");
    CHECK_EQ_INT(h.entries[1].type, 24);
    CHECK_EQ_INT(h.entries[1].n_dims, 3);
    CHECK_EQ_INT(h.entries[1].dims[1], 4);
    CHECK_EQ_STR(h.entries[2].name, "w a w.scales");
    CHECK_EQ_INT(h.entries[2].dims[2], 4); /* 100 columns in groups of 32 */
    CHECK_EQ_STR(h.entries[4].name, "b.codes");
    const size_t at = el_meta_find(h.meta, EL_GGUF_ENCODINGS_KEY);
    REQUIRE(at != SIZE_MAX);
    CHECK_EQ_STR(el_meta_str(h.meta, at, 0, NULL), "w a w G4_32Z 2,4,100");
    CHECK_EQ_STR(el_meta_str(h.meta, at, 1, NULL), "b G8_ROW 5,33");
    el_gguf_header_release(&h);
    el_file_close(&file);
    el_meta_free(meta);
}

/* ---- split sets ---- */

static void check_set(const char *name_of_part, const struct el_meta *meta, size_t n)
{
    struct el_source *const s = open_at(test_tmp(name_of_part), true);
    REQUIRE(s != NULL);
    CHECK(el_meta_equal(s->meta, meta)); /* split.* is hidden */
    CHECK_EQ_INT(s->n_tensors, n);
    CHECK_EQ_INT(wrong_bytes(s), 0);
    CHECK(s->ops->file(s, 0) != NULL);
    el_source_close(s);
}

TEST(gguf, split_sets_open_by_any_part)
{
    struct el_meta *const meta = some_meta();
    struct el_tensor t[] = {tensor("a", "F32", 1, 3, 0, 0), tensor("w", "G4_32", 2, 4, 100, 0), tensor("b", "F16", 1, 4, 0, 0),
                            tensor("c", "Q8_0", 2, 3, 32, 0), tensor("d", "F32", 1, 1, 0, 0)};
    const struct el_sink_opts opts = {.format = "gguf", .split_max_tensors = 2};
    struct el_err err;
    REQUIRE_OK(write_file(test_tmp("set.gguf"), &opts, meta, t, 5, &err), err);
    check_set("set-00001-of-00003.gguf", meta, 5);
    check_set("set-00003-of-00003.gguf", meta, 5);
    struct el_source *const s = open_at(test_tmp("set-00002-of-00003.gguf"), true);
    REQUIRE(s != NULL);
    CHECK_EQ_STR(el_source_tensor(s, 0).file, "set-00001-of-00003.gguf");
    CHECK_EQ_STR(el_source_tensor(s, 4).file, "set-00003-of-00003.gguf");
    CHECK_EQ_STR(s->ops->file(s, 2), "set-00003-of-00003.gguf");
    CHECK(s->ops->file(s, 3) == NULL);
    el_source_close(s);
    CHECK_EQ_INT(n_files(test_tmp(""), "set"), 3);
    el_meta_free(meta);
}

TEST(gguf, splits_by_bytes_and_keeps_alignment)
{
    struct el_meta *const meta = some_meta();
    struct el_err err;
    CHECK_OK(el_meta_set_u32(meta, "general.alignment", 128, &err), err);
    struct el_tensor t[] = {tensor("a", "F32", 1, 6400, 0, 0), tensor("b", "F32", 1, 6400, 0, 0),
                            tensor("c", "F32", 1, 90000, 0, 0), tensor("d", "F32", 1, 6400, 0, 0)};
    const struct el_sink_opts opts = {.format = "gguf", .split_max_nbytes = 60000, .overwrite = true};
    /* The path of a part names the set. */
    REQUIRE_OK(write_file(test_tmp("bytes-00007-of-00009.gguf"), &opts, meta, t, 4, &err), err);
    check_set("bytes-00002-of-00003.gguf", meta, 4);
    CHECK_EQ_INT(n_files(test_tmp(""), "bytes"), 3);
    /* Large enough for one file: then it is one, with the name that was given. */
    const struct el_sink_opts large = {.format = "gguf", .split_max_nbytes = 1 << 20};
    REQUIRE_OK(write_file(test_tmp("one.gguf"), &large, meta, t, 4, &err), err);
    check_set("one.gguf", meta, 4);
    el_meta_free(meta);
}

TEST(gguf, split_names)
{
    uint32_t no, count;
    CHECK_EQ_INT(el_gguf_split_prefix("dir/m-00002-of-00003.gguf", &no, &count), 5);
    CHECK_EQ_INT(no, 1);
    CHECK_EQ_INT(count, 3);
    static const char *const none[] = {"m.gguf",
                                       "-00001-of-00002.gguf",
                                       "m-00000-of-00002.gguf",
                                       "m-00003-of-00002.gguf",
                                       "m-0000a-of-00002.gguf",
                                       "m-00001-of-000b2.gguf",
                                       "m_00001-of-00002.gguf",
                                       "m-00001-to-00002.gguf",
                                       "m-00001-of-00002.ggux",
                                       ""};
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++)
        CHECK_EQ_INT(el_gguf_split_prefix(none[i], &no, &count), 0);
    char *const path = el_gguf_split_path("a/b", 1, 12);
    CHECK_EQ_STR(path, "a/b-00002-of-00012.gguf");
    el_free(path);
}

/* ---- row orders ---- */

static struct el_meta *llama_meta(void)
{
    struct el_meta *const m = el_meta_new();
    struct el_err err;
    CHECK_OK(el_meta_set_str(m, "general.architecture", "llama", 5, &err), err);
    static const struct {
        const char *key;
        uint32_t v;
    } numbers[] = {{"llama.block_count", 1},          {"llama.context_length", 64},      {"llama.embedding_length", 8},
                   {"llama.feed_forward_length", 12}, {"llama.attention.head_count", 4}, {"llama.attention.head_count_kv", 2},
                   {"llama.rope.dimension_count", 2}, {"llama.vocab_size", 10}};
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        CHECK_OK(el_meta_set_u32(m, numbers[i].key, numbers[i].v, &err), err);
    CHECK_OK(el_meta_set_f32(m, "llama.attention.layer_norm_rms_epsilon", 1e-5f, &err), err);
    return m;
}

TEST(gguf, llama_keeps_queries_and_keys_in_pairs)
{
    struct el_meta *const meta = llama_meta();
    struct el_tensor t[] = {tensor("blk.0.attn_q.weight", "F32", 2, 8, 8, 0), tensor("blk.0.attn_k.weight", "F32", 2, 4, 8, 0),
                            tensor("blk.0.attn_v.weight", "F32", 2, 4, 8, 0), tensor("blk.0.attn_q.bias", "F32", 1, 8, 0, 0),
                            tensor("blk.0.attn_norm.weight", "F32", 1, 8, 0, 0)};
    struct el_err err;
    const char *const path = test_tmp("pairs.gguf");
    REQUIRE_OK(write_file(path, NULL, meta, t, 5, &err), err);
    struct el_source *const s = open_at(path, true);
    REQUIRE(s != NULL);
    for (size_t i = 0; i < 5; i++) {
        const struct el_row_order *const o = &s->tensors[i].order;
        const bool paired = i == 0 || i == 1 || i == 3;
        CHECK_EQ_INT(o->kind, paired ? EL_ROWS_ROPE_PAIRS : EL_ROWS_CANONICAL);
        CHECK(el_row_order_equal(o, &t[i].order)); /* begin() told the packer */
        CHECK_EQ_INT(s->tensors[i].order_elems, i == 3);
        CHECK_EQ_INT(t[i].order_elems, i == 3);
        if (paired) {
            CHECK_EQ_INT(o->n_heads, i == 1 ? 2 : 4);
            CHECK_EQ_INT(o->head_rows, 2);
        }
    }
    el_source_close(s);
    el_meta_free(meta);
}

/* A bias is a bias as [n] and as [1, n]: in both its elements are in pairs, and are read back the same. */
TEST(gguf, a_bias_of_one_row_is_a_vector)
{
    static const struct el_row_order canonical = {EL_ROWS_CANONICAL, 0, 0};
    static const float want[] = {0, 2, 1, 3, 4, 6, 5, 7}; /* file elements of the canonical ones: two heads of four */
    struct el_meta *const meta = llama_meta();
    struct el_err err;
    CHECK_OK(el_meta_set_u32(meta, "llama.attention.head_count", 2, &err), err);
    CHECK_OK(el_meta_set_u32(meta, "llama.rope.dimension_count", 4, &err), err);
    for (uint32_t n_dims = 1; n_dims <= 3; n_dims++) {
        const char *const path = test_tmp("bias.gguf");
        const struct el_sink_opts over = {.format = "gguf", .overwrite = true};
        struct el_tensor t = tensor("blk.0.attn_q.bias", "F32", n_dims, n_dims == 1 ? 8 : 1, n_dims == 2 ? 8 : 1, 8);
        struct el_sink *k = NULL;
        REQUIRE_OK(el_sink_open(path, &over, &k, &err), err);
        REQUIRE_OK(k->ops->begin(k, meta, &t, 1, &err), err);
        CHECK(t.order_elems);
        const float stored[] = {0, 1, 2, 3, 4, 5, 6, 7};
        REQUIRE_OK(k->ops->write(k, 0, 0, 0, stored, sizeof stored, &err), err);
        REQUIRE_OK(el_sink_commit(k, &err), err);
        el_sink_close(k);
        struct el_source *const s = open_at(path, true);
        REQUIRE(s != NULL);
        CHECK_EQ_INT(s->tensors[0].order.kind, EL_ROWS_ROPE_PAIRS);
        CHECK(s->tensors[0].order_elems);
        float got[8] = {0};
        uint8_t *const parts[EL_MAX_PARTS] = {(uint8_t *)got};
        CHECK_OK(el_source_read_parts(s, &s->tensors[0], &canonical, 0, 1, parts, &err), err);
        CHECK(memcmp(got, want, sizeof want) == 0);
        el_source_close(s);
    }
    el_meta_free(meta);
}

TEST(gguf, overrides_change_the_row_orders)
{
    struct el_meta *const meta = llama_meta();
    struct el_tensor q = tensor("blk.0.attn_q.weight", "F32", 2, 8, 8, 0);
    struct el_err err;
    CHECK_OK(el_meta_set_str(meta, "general.architecture", "unheard-of", 10, &err), err);
    REQUIRE_OK(write_file(test_tmp("over.gguf"), NULL, meta, &q, 1, &err), err);
    struct el_source *const s = open_at(test_tmp("over.gguf"), true);
    REQUIRE(s != NULL);
    CHECK_EQ_INT(s->tensors[0].order.kind, EL_ROWS_CANONICAL);
    CHECK_OK(el_source_override(s, "general.architecture=str:llama", &err), err);
    CHECK_EQ_INT(s->tensors[0].order.kind, EL_ROWS_ROPE_PAIRS);
    CHECK_EQ_INT(s->tensors[0].order.n_heads, 4);
    CHECK_OK(el_source_override(s, "llama.attention.head_count=int:2", &err), err);
    CHECK_OK(el_source_override(s, "llama.rope.dimension_count=int:4", &err), err);
    CHECK_EQ_INT(s->tensors[0].order.n_heads, 2);
    CHECK_EQ_INT(s->tensors[0].order.head_rows, 4);
    CHECK_EQ_INT(el_source_override(s, "general.architecture=blob:x", &err), EL_E_USAGE);
    CHECK_EQ_INT(s->tensors[0].order.kind, EL_ROWS_ROPE_PAIRS);
    el_source_close(s);
    el_meta_free(meta);
}

TEST(gguf, unknown_families_and_odd_shapes_have_no_order)
{
    struct el_meta *const meta = llama_meta();
    struct el_tensor t[] = {tensor("blk.0.attn_q.weight", "F32", 2, 7, 8, 0), tensor("blk.0.attn_q.bias", "F32", 1, 7, 0, 0)};
    el_gguf_set_orders(meta, t, 2);
    CHECK_EQ_INT(t[0].order.kind, EL_ROWS_CANONICAL);
    CHECK_EQ_INT(t[1].order.kind, EL_ROWS_CANONICAL);
    struct el_tensor q = tensor("blk.0.attn_q.weight", "F32", 2, 8, 8, 0);
    el_gguf_set_orders(meta, &q, 1);
    CHECK_EQ_INT(q.order.kind, EL_ROWS_ROPE_PAIRS);
    el_meta_remove(meta, "llama.attention.head_count");
    el_gguf_set_orders(meta, &q, 1);
    CHECK_EQ_INT(q.order.kind, EL_ROWS_CANONICAL);
    el_meta_free(meta);
}

/* Rows 0..n of a tensor in canonical order: malloc'ed. */
static uint8_t *canonical_rows(struct el_source *s, size_t i)
{
    static const struct el_row_order canonical = {EL_ROWS_CANONICAL, 0, 0};
    struct el_err err;
    uint8_t *const data = malloc((size_t)s->tensors[i].parts[0].nbytes + 1);
    uint8_t *const parts[EL_MAX_PARTS] = {data};
    CHECK_OK(el_source_read_parts(s, &s->tensors[i], &canonical, 0, s->tensors[i].n_rows, parts, &err), err);
    return data;
}

/* The files of llama.cpp's converter hold the weights of the Hugging Face folders, rows and biases of q and k reordered. */
TEST(gguf, row_orders_agree_with_llama_cpp)
{
    static const char *const names[] = {"llama", "llama-bias", "llama-mha-tied", "mixtral", "qwen2", "gpt-bigcode"};
    for (size_t n = 0; n < sizeof names / sizeof names[0]; n++) {
        char path[96];
        struct el_err err;
        struct el_source *hf = NULL;
        snprintf(path, sizeof path, "fixtures/%s", names[n]);
        CHECK_OK(el_source_open(test_data(path), NULL, &hf, &err), err);
        snprintf(path, sizeof path, "fixtures/%s/model-f32.gguf", names[n]);
        struct el_source *const gguf = open_at(test_data(path), true);
        REQUIRE(hf != NULL && gguf != NULL);
        CHECK_EQ_INT(gguf->n_tensors, hf->n_tensors);
        for (size_t i = 0; i < gguf->n_tensors; i++) {
            const size_t k = el_source_find(hf, gguf->tensors[i].name);
            REQUIRE(k != SIZE_MAX);
            REQUIRE(el_tensor_nbytes(&hf->tensors[k]) == el_tensor_nbytes(&gguf->tensors[i]));
            uint8_t *const x = canonical_rows(gguf, i), *const y = canonical_rows(hf, k);
            if (memcmp(x, y, (size_t)el_tensor_nbytes(&gguf->tensors[i])) != 0)
                test_fail(__FILE__, __LINE__, "%s: rows of '%s' differ", names[n], gguf->tensors[i].name);
            free(x);
            free(y);
        }
        el_source_close(gguf);
        el_source_close(hf);
    }
}

/* ---- what goes wrong while writing ---- */

TEST(gguf, refuses_what_it_cannot_write)
{
    struct el_meta *const meta = some_meta();
    struct el_err err;
    const char *const path = test_tmp("refused.gguf");
    char name[80];
    memset(name, 'n', sizeof name);
    name[64] = '\0';
    struct el_tensor longest = tensor(name, "F32", 1, 3, 0, 0);
    CHECK_EQ_INT(write_file(path, NULL, meta, &longest, 1, &err), EL_E_UNSUPPORTED);
    CHECK(strstr(err.text, "has 64 bytes, GGUF allows 1 to 63") != NULL);
    name[60] = '\0';
    struct el_tensor with_suffix = tensor(name, "G4_32", 2, 3, 32, 0);
    CHECK_EQ_INT(write_file(path, NULL, meta, &with_suffix, 1, &err), EL_E_UNSUPPORTED);
    struct el_tensor nameless = tensor("", "F32", 1, 3, 0, 0);
    CHECK_EQ_INT(write_file(path, NULL, meta, &nameless, 1, &err), EL_E_UNSUPPORTED);
    struct el_tensor twice[] = {tensor("a", "F32", 1, 3, 0, 0), tensor("a", "F32", 1, 3, 0, 0)};
    CHECK_EQ_INT(write_file(path, NULL, meta, twice, 2, &err), EL_E_USAGE);
    CHECK(strstr(err.text, "two tensors named 'a'") != NULL);
    struct el_tensor clash[] = {tensor("a", "G4_32", 2, 3, 32, 0), tensor("a.codes", "F32", 1, 3, 0, 0)};
    CHECK_EQ_INT(write_file(path, NULL, meta, clash, 2, &err), EL_E_USAGE);
    CHECK(strstr(err.text, "two tensors named 'a.codes'") != NULL);
    struct el_tensor broken = {.name = "x", .file_name = "x", .n_dims = 2, .dims = {3, 31}, .enc = clash[0].enc};
    CHECK_OK(el_enc_parse("Q8_0", &broken.enc, &err), err);
    CHECK_EQ_INT(write_file(path, NULL, meta, &broken, 1, &err), EL_E_FORMAT);
    CHECK(strstr(err.text, "tensor 'x': rows of 31 elements") != NULL);
    CHECK_OK(el_meta_set_u32(meta, "general.alignment", 3, &err), err);
    CHECK_EQ_INT(write_file(path, NULL, meta, twice, 1, &err), EL_E_FORMAT);
    CHECK(strstr(err.text, "'general.alignment': 3, must be a power of two") != NULL);
    CHECK_EQ_INT(n_files(test_tmp(""), "refused"), 0);
    el_meta_free(meta);
}

TEST(gguf, refuses_what_it_would_not_read)
{
    struct el_meta *const meta = some_meta();
    struct el_err err;
    const char *const path = test_tmp("unread.gguf");
    struct el_tensor line = tensor("a\nb", "F32", 1, 3, 0, 0), bytes = tensor("a\xff", "F32", 1, 3, 0, 0);
    CHECK_EQ_INT(write_file(path, NULL, meta, &line, 1, &err), EL_E_UNSUPPORTED);
    CHECK(strstr(err.text, "has control character 0x0a at byte 1, which GGUF does not allow") != NULL);
    CHECK_EQ_INT(write_file(path, NULL, meta, &bytes, 1, &err), EL_E_UNSUPPORTED);
    CHECK(strstr(err.text, "is no valid UTF-8, which GGUF does not allow") != NULL);
    struct el_encoding i64;
    struct el_tensor ok = tensor("a", "F32", 1, 3, 0, 0), t = ok;
    memcpy(&i64, ok.enc.e, sizeof i64); /* as F32, but of a type that stands for itself nowhere */
    i64.ggml_type = 27;
    t.enc.e = &i64;
    CHECK_EQ_INT(write_file(path, NULL, meta, &t, 1, &err), EL_E_UNSUPPORTED);
    CHECK(strstr(err.text, "tensor 'a': F32 cannot be stored in GGUF") != NULL);
    CHECK_OK(el_meta_set_u32(meta, "bad\tkey", 1, &err), err);
    CHECK_EQ_INT(write_file(path, NULL, meta, &ok, 1, &err), EL_E_UNSUPPORTED);
    CHECK(strstr(err.text, "the key has control character 0x09 at byte 3") != NULL);
    el_meta_remove(meta, "bad\tkey");
    char *const key = malloc(EL_MAX_KEY + 2);
    memset(key, 'k', EL_MAX_KEY + 1);
    key[EL_MAX_KEY + 1] = '\0';
    CHECK_OK(el_meta_set_u32(meta, key, 1, &err), err);
    CHECK_EQ_INT(write_file(path, NULL, meta, &ok, 1, &err), EL_E_UNSUPPORTED);
    CHECK(strstr(err.text, "key of 65536 bytes, at most 65535") != NULL);
    el_meta_remove(meta, key);
    free(key);
    CHECK_EQ_INT(n_files(test_tmp(""), "unread"), 0);
    CHECK_OK(write_file(path, NULL, meta, &ok, 1, &err), err);
    el_meta_free(meta);
}

TEST(gguf, commits_only_what_is_complete)
{
    struct el_meta *const meta = some_meta();
    struct el_tensor t[] = {tensor("a", "F32", 1, 3, 0, 0), tensor("b", "F32", 1, 3, 0, 0)};
    struct el_sink *k = NULL;
    struct el_err err;
    const struct el_sink_opts opts = {.format = "gguf"};
    const char *const path = test_tmp("partial.gguf");
    REQUIRE_OK(el_sink_open(path, &opts, &k, &err), err);
    CHECK_EQ_INT(el_sink_commit(k, &err), EL_E_USAGE);
    REQUIRE_OK(k->ops->begin(k, meta, t, 2, &err), err);
    CHECK_OK(k->ops->write(k, 0, 0, 0, "0123456789ab", 12, &err), err);
    CHECK_EQ_INT(k->ops->write(k, 1, 0, 1, "0123456789ab", 12, &err), EL_E_USAGE);
    CHECK_EQ_INT(k->ops->write(k, 1, 0, UINT64_MAX, "0123456789ab", 12, &err), EL_E_USAGE);
    CHECK_EQ_INT(el_sink_commit(k, &err), EL_E_USAGE);
    CHECK(strstr(err.text, "12 bytes of tensors were written, must be 24") != NULL);
    el_sink_close(k);
    CHECK_EQ_INT(n_files(test_tmp(""), "partial"), 0);
    el_meta_free(meta);
}

TEST(gguf, refuses_to_replace_its_input)
{
    struct el_meta *const meta = some_meta();
    struct el_tensor t[] = {tensor("a", "F32", 1, 3, 0, 0), tensor("b", "F32", 1, 3, 0, 0)};
    const struct el_sink_opts split = {.format = "gguf", .split_max_tensors = 1}, over = {.format = "gguf", .overwrite = true};
    struct el_err err;
    REQUIRE_OK(write_file(test_tmp("in.gguf"), &split, meta, t, 2, &err), err);
    struct el_source *const s = open_at(test_tmp("in-00001-of-00002.gguf"), true);
    REQUIRE(s != NULL);
    REQUIRE(link(test_tmp("in-00002-of-00002.gguf"), test_tmp("hard-link.gguf")) == 0);
    static const char *const outputs[] = {"in-00001-of-00002.gguf", "in-00002-of-00002.gguf", "hard-link.gguf"};
    for (size_t i = 0; i < 3; i++) {
        struct el_sink *k = NULL;
        REQUIRE_OK(el_sink_open(test_tmp(outputs[i]), &over, &k, &err), err);
        k->source = s;
        CHECK_EQ_INT(k->ops->begin(k, meta, t, 2, &err), EL_E_USAGE);
        CHECK(strstr(err.text, "output is the input") != NULL);
        el_sink_close(k);
    }
    CHECK_EQ_INT(wrong_bytes(s), 0);
    el_source_close(s);
    el_meta_free(meta);
}

TEST(gguf, takes_back_a_set_that_cannot_be_completed)
{
    struct el_meta *const meta = some_meta();
    struct el_tensor t[] = {tensor("a", "F32", 1, 3, 0, 0), tensor("b", "F32", 1, 3, 0, 0)};
    const struct el_sink_opts split = {.format = "gguf", .split_max_tensors = 1};
    struct el_err err;
    struct el_sink *k = NULL;
    REQUIRE_OK(el_sink_open(test_tmp("undone.gguf"), &split, &k, &err), err);
    REQUIRE_OK(k->ops->begin(k, meta, t, 2, &err), err);
    REQUIRE_OK(write_tensors(k, &err), err);
    /* Someone else takes the first part's name in the meantime: it is committed last, and fails. */
    REQUIRE(test_write(test_tmp("undone-00001-of-00002.gguf"), "mine", 4));
    CHECK_EQ_INT(el_sink_commit(k, &err), EL_E_IO);
    el_sink_close(k);
    CHECK_EQ_INT(n_files(test_tmp(""), "undone"), 1);
    el_meta_free(meta);
}

/* Every part stands for the set, and so does its hash. */
TEST(gguf, the_hash_of_a_set_covers_its_parts)
{
    struct el_meta *const meta = some_meta();
    struct el_tensor t[] = {tensor("a", "F32", 1, 3, 0, 0), tensor("b", "F32", 1, 3, 0, 0)};
    const struct el_sink_opts split = {.format = "gguf", .split_max_tensors = 1};
    struct el_err err;
    char hex[2][65], want[65], lines[256];
    REQUIRE_OK(write_file(test_tmp("hash.gguf"), &split, meta, t, 2, &err), err);
    el_meta_free(meta);
    size_t n = 0;
    for (int i = 0; i < 2; i++) {
        size_t nbytes;
        char *const data = test_read(test_tmp(i ? "hash-00002-of-00002.gguf" : "hash-00001-of-00002.gguf"), &nbytes);
        REQUIRE(data);
        el_sha256_bytes(data, nbytes, hex[i]);
        free(data);
        n += (size_t)snprintf(lines + n, sizeof lines - n, "%s  0000%d-of-00002\n", hex[i], i + 1);
    }
    el_sha256_bytes(lines, n, want);
    CHECK_OK(el_sha256_path(test_tmp("hash-00001-of-00002.gguf"), hex[0], &err), err);
    CHECK_OK(el_sha256_path(test_tmp("hash-00002-of-00002.gguf"), hex[1], &err), err);
    CHECK_EQ_STR(hex[0], want);
    CHECK_EQ_STR(hex[1], want);
    /* A byte of the part that is not named. */
    REQUIRE(test_write(test_tmp("hash-00002-of-00002.gguf"), "x", 1));
    CHECK_OK(el_sha256_path(test_tmp("hash-00001-of-00002.gguf"), hex[0], &err), err);
    CHECK(strcmp(hex[0], want) != 0);
    for (uint64_t i = 1; i < 8; i++) {
        el_mem_fail_after(i);
        CHECK_EQ_INT(el_sha256_path(test_tmp("hash-00001-of-00002.gguf"), hex[0], &err), EL_E_MEMORY);
        el_mem_fail_after(0);
        CHECK_EQ_STR(hex[0], "");
    }
    /* Without the other part the name says nothing. */
    REQUIRE(remove(test_tmp("hash-00002-of-00002.gguf")) == 0);
    size_t nbytes = 0;
    char *const data = test_read(test_tmp("hash-00001-of-00002.gguf"), &nbytes);
    REQUIRE(data);
    el_sha256_bytes(data, nbytes, want);
    free(data);
    CHECK_OK(el_sha256_path(test_tmp("hash-00001-of-00002.gguf"), hex[0], &err), err);
    CHECK_EQ_STR(hex[0], want);
}

/* Tensors of one shape in a model of another name. */
TEST(gguf, parts_of_two_models_are_no_model)
{
    struct el_meta *const meta = some_meta();
    struct el_tensor t[] = {tensor("a", "F32", 1, 3, 0, 0), tensor("b", "F32", 1, 3, 0, 0)};
    const struct el_sink_opts split = {.format = "gguf", .split_max_tensors = 1};
    const struct el_source_opts read = {.format = "gguf"};
    struct el_err err;
    REQUIRE_OK(write_file(test_tmp("mix.gguf"), &split, meta, t, 2, &err), err);
    CHECK_OK(el_meta_set_str(meta, "general.name", "another", 7, &err), err);
    REQUIRE_OK(write_file(test_tmp("mix2.gguf"), &split, meta, t, 2, &err), err);
    REQUIRE(rename(test_tmp("mix2-00002-of-00002.gguf"), test_tmp("mix-00002-of-00002.gguf")) == 0);
    struct el_source *s = NULL;
    CHECK_EQ_INT(el_source_open(test_tmp("mix-00001-of-00002.gguf"), &read, &s, &err), EL_E_FORMAT);
    CHECK(strstr(err.text, "'edgellm.split.id' differs from the first part's: a part of another model") != NULL);
    el_meta_free(meta);
}

TEST(gguf, a_failed_replacement_takes_no_old_part_away_but_the_first)
{
    struct el_meta *const meta = some_meta();
    struct el_tensor t[] = {tensor("a", "F32", 1, 3, 0, 0), tensor("b", "F32", 1, 3, 0, 0), tensor("c", "F32", 1, 3, 0, 0)};
    const struct el_sink_opts split = {.format = "gguf", .split_max_tensors = 1, .overwrite = true};
    struct el_err err;
    struct el_sink *k = NULL;
    REQUIRE_OK(write_file(test_tmp("again.gguf"), &split, meta, t, 3, &err), err);
    REQUIRE(remove(test_tmp("again-00003-of-00003.gguf")) == 0);
    REQUIRE_OK(el_sink_open(test_tmp("again.gguf"), &split, &k, &err), err);
    REQUIRE_OK(k->ops->begin(k, meta, t, 3, &err), err);
    REQUIRE_OK(write_tensors(k, &err), err);
    /* A folder that takes the second part's place makes its rename fail: the third part has a new name by then. */
    REQUIRE(remove(test_tmp("again-00002-of-00003.gguf")) == 0);
    REQUIRE(mkdir(test_tmp("again-00002-of-00003.gguf"), 0777) == 0);
    CHECK_EQ_INT(el_sink_commit(k, &err), EL_E_IO);
    el_sink_close(k);
    CHECK(access(test_tmp("again-00001-of-00003.gguf"), F_OK) != 0);
    CHECK(access(test_tmp("again-00003-of-00003.gguf"), F_OK) != 0);
    CHECK_EQ_INT(n_files(test_tmp(""), "again"), 1);
    REQUIRE(rmdir(test_tmp("again-00002-of-00003.gguf")) == 0);
    /* The same with the first part: the others had names before, and stay. */
    REQUIRE_OK(write_file(test_tmp("again.gguf"), &split, meta, t, 3, &err), err);
    REQUIRE_OK(el_sink_open(test_tmp("again.gguf"), &split, &k, &err), err);
    REQUIRE_OK(k->ops->begin(k, meta, t, 3, &err), err);
    REQUIRE_OK(write_tensors(k, &err), err);
    REQUIRE(remove(test_tmp("again-00001-of-00003.gguf")) == 0);
    REQUIRE(mkdir(test_tmp("again-00001-of-00003.gguf"), 0777) == 0);
    CHECK_EQ_INT(el_sink_commit(k, &err), EL_E_IO);
    el_sink_close(k);
    REQUIRE(rmdir(test_tmp("again-00001-of-00003.gguf")) == 0);
    CHECK_EQ_INT(n_files(test_tmp(""), "again"), 2);
    /* And once more without an obstacle. */
    REQUIRE_OK(write_file(test_tmp("again.gguf"), &split, meta, t, 3, &err), err);
    check_set("again-00001-of-00003.gguf", meta, 3);
    REQUIRE_OK(write_file(test_tmp("again.gguf"), &split, meta, t, 3, &err), err);
    check_set("again-00001-of-00003.gguf", meta, 3);
    CHECK_EQ_INT(n_files(test_tmp(""), "again"), 3);
    el_meta_free(meta);
}

/* ---- memory ---- */

TEST(gguf, survives_every_failed_allocation)
{
    struct el_meta *const meta = some_meta();
    struct el_tensor t[] = {tensor("a", "F32", 1, 3, 0, 0), tensor("w", "G4_32", 2, 4, 100, 0), tensor("b", "F16", 1, 4, 0, 0)};
    const struct el_sink_opts opts = {.format = "gguf", .split_max_tensors = 2, .overwrite = true};
    const struct el_source_opts read_opts = {.format = "gguf"};
    struct el_err err = {.code = EL_OK};
    bool written = false, read = false;
    for (uint64_t n = 1; !written && n < 2000; n++) {
        el_mem_fail_after(n);
        const enum el_status status = write_file(test_tmp("memory.gguf"), &opts, meta, t, 3, &err);
        el_mem_fail_after(0);
        written = status == EL_OK;
        CHECK(written || status == EL_E_MEMORY);
    }
    CHECK(written);
    for (uint64_t n = 1; !read && n < 2000; n++) {
        struct el_source *s = NULL;
        el_mem_fail_after(n);
        const enum el_status status = el_source_open(test_tmp("memory-00001-of-00002.gguf"), &read_opts, &s, &err);
        el_mem_fail_after(0);
        read = status == EL_OK;
        CHECK(read || status == EL_E_MEMORY);
        el_source_close(s);
    }
    CHECK(read);
    bool memory = false;
    struct gguf_bytes b = {0};
    gb_small(&b, 3);
    for (uint64_t n = 1; !memory && n < 2000; n++) {
        struct el_source *s = NULL;
        el_mem_fail_after(n);
        memory = el_gguf_open_memory(b.data, b.n, NULL, &s, &err) == EL_OK;
        el_mem_fail_after(0);
        el_source_close(s);
    }
    CHECK(memory);
    gb_free(&b);
    el_meta_free(meta);
}

TEST(gguf, reads_files_of_others)
{
    static const char *const names[] = {"models/stories260K/stories260K.gguf", "models/books-4m/books-4m-f16.gguf",
                                        "models/books-moe/books-moe-f16.gguf", "tokenizers/ggml-vocab/ggml-vocab-gpt-2.gguf"};
    for (size_t i = 0; i < 4; i++) {
        const char *const path = test_shared(names[i]);
        if (!path)
            SKIP("no shared data");
        struct el_source *const s = open_at(path, true);
        REQUIRE(s != NULL);
        CHECK(el_meta_count(s->meta) > 10);
        if (i == 0) {
            CHECK_EQ_INT(s->n_tensors, 48);
            CHECK_EQ_INT(s->tensors[el_source_find(s, "blk.0.attn_q.weight")].order.kind, EL_ROWS_ROPE_PAIRS);
        }
        el_source_close(s);
    }
}
