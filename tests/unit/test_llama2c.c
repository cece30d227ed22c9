/* llama2.c checkpoints made here, in both layouts; and the real ones where they lie beside the project. */
#include "formats/format.h"
#include "llama2c_bytes.h"
#include "model_copy.h"
#include "test.h"

#include <sys/stat.h>
#include <unistd.h>

static const char *in(const char *folder, const char *name)
{
    static char ring[8][4096];
    static unsigned next;
    char *const s = ring[next++ % 8];
    snprintf(s, sizeof ring[0], "%s/%s", folder, name);
    return s;
}

/* A folder with a checkpoint of this kind and a tokenizer. */
static const char *model_folder(const char *name, uint32_t version, bool own_classifier)
{
    const char *folder = test_tmp(name);
    struct llama2c_shape shape = llama2c_tiny;
    shape.own_classifier = own_classifier;
    struct el_buf b, t;
    el_buf_init(&b);
    el_buf_init(&t);
    llama2c_build(&b, version, &shape);
    llama2c_build_tokenizer(&t, shape.n_vocab);
    if (mkdir(folder, 0777) != 0 || !test_write(in(folder, "model.bin"), b.data, b.nbytes) ||
        !test_write(in(folder, "tok20.bin"), t.data, t.nbytes))
        folder = NULL;
    el_buf_release(&b);
    el_buf_release(&t);
    return folder;
}

/* Element (row, col) of a tensor's canonical rows must be what the builder put there. */
static void check_values(struct el_source *s, const char *name, unsigned kind, unsigned layer)
{
    struct el_err err = {0};
    const size_t i = el_source_find(s, name);
    REQUIRE(i != SIZE_MAX);
    const struct el_tensor *const t = &s->tensors[i];
    float *const x = malloc(t->n_rows * t->n_in * sizeof *x);
    uint8_t *const parts[EL_MAX_PARTS] = {(uint8_t *)x};
    CHECK_OK(el_source_read_parts(s, t, NULL, 0, t->n_rows, parts, &err), err);
    for (uint64_t k = 0; k < t->n_rows * t->n_in; k++) {
        if (x[k] != llama2c_value(kind, layer, k)) {
            test_fail(__FILE__, __LINE__, "%s[%llu] is %g", name, (unsigned long long)k, (double)x[k]);
            break;
        }
    }
    /* Canonical order: row r of head h is file row 2r or 2r + 1 of the pair. */
    if (t->order.kind == EL_ROWS_ROPE_PAIRS) {
        const struct el_row_order canonical = {EL_ROWS_CANONICAL, 0, 0};
        float *const y = malloc(t->n_rows * t->n_in * sizeof *y);
        uint8_t *const parts_y[EL_MAX_PARTS] = {(uint8_t *)y};
        CHECK_OK(el_source_read_parts(s, t, &canonical, 0, t->n_rows, parts_y, &err), err);
        CHECK(memcmp(y + t->n_in, x + 2 * t->n_in, t->n_in * sizeof *x) == 0); /* head size 4: rows 0 1 2 3 <- 0 2 1 3 */
        CHECK(memcmp(y + 2 * t->n_in, x + t->n_in, t->n_in * sizeof *x) == 0);
        free(y);
    }
    free(x);
}

TEST(llama2c, both_versions_hold_the_same)
{
    for (uint32_t version = 0; version <= 1; version++) {
        for (int own = 0; own <= 1; own++) {
            char name[32];
            snprintf(name, sizeof name, "l2c-%u-%d", version, own);
            const char *const folder = model_folder(name, version, own);
            REQUIRE(folder);
            struct el_err err = {0};
            struct el_source *s;
            REQUIRE_OK(el_source_open(in(folder, "model.bin"), NULL, &s, &err), err);
            CHECK_EQ_STR(el_source_format(s), "llama2c");
            CHECK_EQ_INT(s->n_tensors, 2 + 9 * 2 + own);
            check_values(s, "token_embd.weight", 0, 0);
            check_values(s, "blk.1.attn_q.weight", 2, 1);
            check_values(s, "blk.0.attn_k.weight", 3, 0);
            check_values(s, "blk.1.ffn_up.weight", 9, 1);
            check_values(s, "blk.0.ffn_down.weight", 8, 0);
            check_values(s, "output_norm.weight", 10, 0);
            if (own)
                check_values(s, "output.weight", 11, 0);
            const size_t q = el_source_find(s, "blk.1.attn_q.weight");
            CHECK_EQ_STR(s->tensors[q].file_name, "layers.1.attention.wq.weight");
            CHECK_EQ_INT(s->tensors[q].order.kind, EL_ROWS_ROPE_PAIRS);
            uint32_t v;
            CHECK_OK(el_meta_get_u32(s->meta, "llama.block_count", 0, 99, &v, &err), err);
            CHECK_EQ_INT(v, 2);
            CHECK(el_meta_find(s->meta, "tokenizer.ggml.tokens") != SIZE_MAX);
            CHECK(s->ops->map(s, &s->tensors[q], 0) != NULL);
            el_source_close(s);
        }
    }
}

/* The values of a matrix of version 2 are number times scale, to the bit; groups are counted through the whole matrix. */
static void check_products(struct el_source *s, const char *name, unsigned kind, unsigned layer, uint32_t group, const char *enc)
{
    struct el_err err = {0};
    const size_t at = el_source_find(s, name);
    REQUIRE(at != SIZE_MAX);
    const struct el_tensor *const t = &s->tensors[at];
    float *const x = malloc(t->n_rows * t->n_in * sizeof *x);
    REQUIRE(x);
    CHECK_EQ_STR(t->enc_name, enc);
    CHECK_OK(el_source_read_rows(s, at, 0, t->n_rows, x, &err), err);
    for (uint64_t k = 0; k < t->n_rows * t->n_in; k++) {
        const float want = llama2c_scale(kind, layer, k / group) * (float)llama2c_number(kind, layer, k);
        if (memcmp(&x[k], &want, sizeof want) != 0) {
            test_fail(__FILE__, __LINE__, "%s[%llu] is %.9g, not %.9g", name, (unsigned long long)k, (double)x[k], (double)want);
            break;
        }
    }
    /* A part in pieces that cut rows is the part. */
    uint8_t whole[4096], pieces[4096];
    for (uint32_t p = 0; p < t->n_parts && t->parts[p].nbytes <= sizeof whole; p++) {
        const uint64_t n = t->parts[p].nbytes;
        CHECK_OK(s->ops->read(s, t, p, 0, whole, n, &err), err);
        for (uint64_t i = 0; i < n; i += 3)
            CHECK_OK(s->ops->read(s, t, p, i, pieces + i, n - i < 3 ? n - i : 3, &err), err);
        CHECK(memcmp(whole, pieces, n) == 0);
    }
    CHECK(s->ops->map(s, t, 0) == NULL);
    free(x);
}

TEST(llama2c, version_2_holds_its_products)
{
    /* Rows of 64 and 172: groups of 64 fit the first, and reach over the ends of the others. */
    static const struct {
        uint32_t group;
        const char *wide, *down;
    } cases[] = {{64, "G8_64F", "F32"}, {32, "G8_32F", "F32"}, {4, "F32", "F32"}};
    for (size_t c = 0; c < sizeof cases / sizeof cases[0]; c++) {
        for (int own = 0; own <= 1; own++) {
            const struct llama2c_shape shape = {64, 172, 2, 4, 2, 172, 16, own, cases[c].group};
            struct el_buf b;
            el_buf_init(&b);
            llama2c_build(&b, 2, &shape);
            const char *const path = test_tmp("v2.bin");
            REQUIRE(test_write(path, b.data, b.nbytes));
            el_buf_release(&b);
            struct el_err err = {0};
            struct el_source *s;
            REQUIRE_OK(el_source_open(path, NULL, &s, &err), err);
            check_products(s, "token_embd.weight", 0, 0, cases[c].group, cases[c].wide);
            check_products(s, "blk.1.attn_q.weight", 2, 1, cases[c].group, cases[c].wide);
            check_products(s, "blk.0.ffn_down.weight", 8, 0, cases[c].group, cases[c].down);
            check_products(s, "blk.1.ffn_up.weight", 9, 1, cases[c].group, cases[c].wide);
            if (own)
                check_products(s, "output.weight", 11, 0, cases[c].group, cases[c].wide);
            check_values(s, "blk.1.attn_norm.weight", 1, 1);
            check_values(s, "output_norm.weight", 10, 0);
            el_source_close(s);
        }
    }
}

/* A group that is a row has a name of its own; rows change places with their scales. */
TEST(llama2c, version_2_rows_in_canonical_order)
{
    static const struct el_row_order canonical = {EL_ROWS_CANONICAL, 0, 0};
    const struct llama2c_shape shape = {96, 192, 1, 4, 2, 12, 16, false, 96};
    struct el_buf b;
    el_buf_init(&b);
    llama2c_build(&b, 2, &shape);
    const char *const path = test_tmp("v2-row.bin");
    REQUIRE(test_write(path, b.data, b.nbytes));
    el_buf_release(&b);
    struct el_err err = {0};
    struct el_source *s;
    REQUIRE_OK(el_source_open(path, NULL, &s, &err), err);
    check_products(s, "blk.0.attn_q.weight", 2, 0, 96, "G8_ROWF");
    const struct el_tensor *const t = &s->tensors[el_source_find(s, "blk.0.attn_q.weight")];
    uint8_t codes[96 * 96], scales[96 * 4];
    uint8_t *const parts[EL_MAX_PARTS] = {codes, scales};
    CHECK_OK(el_source_read_parts(s, t, &canonical, 0, 96, parts, &err), err);
    for (uint64_t r = 0; r < 96; r++) {
        const uint64_t file = el_row_order_map(&t->order, r);
        const float want = llama2c_scale(2, 0, file);
        CHECK(memcmp(scales + 4 * r, &want, sizeof want) == 0);
        CHECK_EQ_INT(codes[96 * r + 5], (uint8_t)(llama2c_number(2, 0, 96 * file + 5) + 128));
    }
    el_source_close(s);
}

TEST(llama2c, tokenizer_choices)
{
    const char *const folder = model_folder("l2c-tok", 0, false);
    REQUIRE(folder);
    struct el_err err = {0};
    struct el_source *s;
    const char *const model = in(folder, "model.bin");
    REQUIRE(test_write(in(folder, "tokenizer.bin"), "xx", 2)); /* the best name, and broken */
    CHECK_EQ_INT(el_source_open(model, NULL, &s, &err), EL_E_FORMAT);
    CHECK(strstr(err.text, "tokenizer.bin"));
    CHECK_OK(el_source_open(model, &(struct el_source_opts){.tokenizer = in(folder, "tok20.bin")}, &s, &err), err);
    el_source_close(s);
    REQUIRE(unlink(in(folder, "tokenizer.bin")) == 0);
    REQUIRE(test_write(in(folder, "tok1.bin"), "xx", 2)); /* before tok20.bin in byte order, but not of this size */
    CHECK_OK(el_source_open(model, NULL, &s, &err), err);
    el_source_close(s);
    REQUIRE(unlink(in(folder, "tok20.bin")) == 0);
    CHECK_EQ_INT(el_source_open(model, NULL, &s, &err), EL_E_FORMAT);
    REQUIRE(unlink(in(folder, "tok1.bin")) == 0);
    CHECK_OK(el_source_open(model, NULL, &s, &err), err); /* a warning: no tokenizer */
    CHECK(el_meta_find(s->meta, "tokenizer.ggml.tokens") == SIZE_MAX);
    el_source_close(s);
    CHECK_EQ_INT(el_source_open(model, &(struct el_source_opts){.tokenizer = in(folder, "none.bin")}, &s, &err), EL_E_IO);
}

TEST(llama2c, becomes_a_folder_and_gguf)
{
    const char *const folder = model_folder("l2c-conv", 0, true);
    REQUIRE(folder);
    struct el_err err = {0};
    struct el_source *s, *gguf;
    REQUIRE_OK(el_source_open(in(folder, "model.bin"), NULL, &s, &err), err);
    char path[4096];
    snprintf(path, sizeof path, "%s", test_tmp("l2c.gguf"));
    REQUIRE_OK(copy_model(s, path, &(struct el_sink_opts){.format = "gguf"}, &err), err);
    REQUIRE_OK(el_source_open(path, NULL, &gguf, &err), err);
    /* GGUF keeps Meta's order: the bytes of wq are the checkpoint's. */
    check_values(gguf, "blk.1.attn_q.weight", 2, 1);
    el_source_close(s);
    el_source_close(gguf);
}

TEST(llama2c, a_lone_tokenizer)
{
    const char *const folder = model_folder("l2c-lone", 0, false);
    REQUIRE(folder);
    struct el_err err = {0};
    struct el_source *s;
    REQUIRE_OK(el_source_open(in(folder, "tok20.bin"), NULL, &s, &err), err);
    CHECK_EQ_STR(el_source_format(s), "tokenizer");
    CHECK_EQ_INT(s->n_tensors, 0);
    CHECK_EQ_INT(el_meta_n_elems(s->meta, el_meta_find(s->meta, "tokenizer.ggml.tokens")), 20);
    el_source_close(s);
    REQUIRE_OK(el_source_open(test_data("books-4m/tokenizer.json"), NULL, &s, &err), err);
    CHECK_EQ_STR(el_source_format(s), "tokenizer");
    CHECK(el_meta_find(s->meta, "tokenizer.huggingface.json") != SIZE_MAX);
    el_source_close(s);
}

TEST(llama2c, strict_refuses_trailing_bytes)
{
    const char *const folder = model_folder("l2c-strict", 1, false);
    REQUIRE(folder);
    struct el_err err = {0};
    struct el_source *s;
    size_t n;
    char *const data = test_read(in(folder, "model.bin"), &n);
    REQUIRE(data);
    REQUIRE(test_write(in(folder, "model.bin"), data, n + 1)); /* test_read leaves a NUL behind */
    free(data);
    CHECK_OK(el_source_open(in(folder, "model.bin"), NULL, &s, &err), err);
    el_source_close(s);
    CHECK_EQ_INT(el_source_open(in(folder, "model.bin"), &(struct el_source_opts){.strict = true}, &s, &err), EL_E_FORMAT);
    CHECK(strstr(err.text, "1 bytes after the last tensor"));
}

/* The same weights in three files: all agree with each other. */
TEST(llama2c, stories260K)
{
    const char *const dir = test_shared("models/stories260K");
    if (!dir)
        SKIP("no ../shared");
    struct el_err err = {0};
    struct el_source *s[3];
    REQUIRE_OK(el_source_open(test_shared("models/stories260K/stories260K.bin"), NULL, &s[0], &err), err);
    REQUIRE_OK(el_source_open(test_shared("models/stories260K/checkpoint_v1.bin"), NULL, &s[1], &err), err);
    REQUIRE_OK(el_source_open(test_shared("models/stories260K/stories260K.gguf"), NULL, &s[2], &err), err);
    CHECK_EQ_INT(s[0]->n_tensors, s[1]->n_tensors);
    for (size_t i = 0; i < s[0]->n_tensors; i++) {
        const struct el_tensor *const t = &s[0]->tensors[i];
        float *const x = malloc(t->n_rows * t->n_in * 4), *const y = malloc(t->n_rows * t->n_in * 4);
        CHECK_OK(el_source_read_rows(s[0], i, 0, t->n_rows, x, &err), err);
        for (int k = 1; k < 3; k++) {
            const size_t other = el_source_find(s[k], t->name);
            REQUIRE(other != SIZE_MAX);
            CHECK_OK(el_source_read_rows(s[k], other, 0, t->n_rows, y, &err), err);
            if (memcmp(x, y, t->n_rows * t->n_in * 4) != 0)
                test_fail(__FILE__, __LINE__, "%s differs in file %d", t->name, k);
        }
        free(x);
        free(y);
    }
    for (int k = 0; k < 3; k++)
        el_source_close(s[k]);
    const struct el_source_opts opts = {.tokenizer = test_shared("models/stories260K/tok512.bin")};
    REQUIRE_OK(el_source_open(test_shared("models/llama2xs281K/model.bin"), &opts, &s[0], &err), err);
    CHECK_EQ_STR(el_source_format(s[0]), "llama2c");
    el_source_close(s[0]);
}
