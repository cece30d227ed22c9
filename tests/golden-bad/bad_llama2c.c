/* Damaged and hostile llama2.c checkpoints and tokenizer.bin files: a table as in bad_safetensors.c, and every truncation. */
#include "test.h"

#include <sys/stat.h>
#include <unistd.h>

#include "../unit/llama2c_bytes.h"
#include "tensor/source.h"

/* The tiny model of the builders: dim 8, hidden 12, 2 layers, 2 heads, 1 KV head, 20 pieces, 6 positions. */
static const struct {
    const char *name;
    uint32_t version; /* of the file that is damaged */
    size_t at;        /* offset of a 32-bit number that becomes value; SIZE_MAX: none */
    uint32_t value;
    size_t n; /* the file is cut to so many bytes; 0: not */
    enum el_status code;
    const char *says;
} cases[] = {
    {"dim 0", 0, 0, 0, 0, EL_E_FORMAT, "dim is 0, must be 1 to 1048576"},
    {"dim negative", 0, 0, 0x80000000u, 0, EL_E_FORMAT, "dim is -2147483648"},
    {"dim too large", 0, 0, 1048578, 0, EL_E_FORMAT, "dim is 1048578"},
    {"dim odd", 0, 0, 9, 0, EL_E_FORMAT, "dim 9 and n_heads 2 do not make heads of an even size"},
    {"head of odd size", 0, 0, 6, 0, EL_E_FORMAT, "do not make heads of an even size"},
    {"hidden 0", 0, 4, 0, 0, EL_E_FORMAT, "hidden_dim is 0"},
    {"hidden too large", 0, 4, 0x7fffffff, 0, EL_E_FORMAT, "hidden_dim is 2147483647, must be 1 to 16777216"},
    {"no layers", 0, 8, 0, 0, EL_E_FORMAT, "n_layers is 0"},
    {"layers too many", 0, 8, 4097, 0, EL_E_FORMAT, "n_layers is 4097, must be 1 to 4096"},
    {"no heads", 0, 12, 0, 0, EL_E_FORMAT, "n_heads is 0"},
    {"no KV heads", 0, 16, 0, 0, EL_E_FORMAT, "n_kv_heads is 0"},
    {"KV heads do not divide", 0, 16, 3, 0, EL_E_FORMAT, "n_kv_heads is 3, which does not divide n_heads 2"},
    {"vocabulary 0", 0, 20, 0, 0, EL_E_FORMAT, "vocab_size is 0"},
    {"vocabulary -2^31", 0, 20, 0x80000000u, 0, EL_E_FORMAT, "vocab_size is -2147483648"},
    {"vocabulary negative in v1", 1, 28, 0xffffffecu, 0, EL_E_FORMAT, "vocab_size is -20"},
    {"classifier announced, not there", 0, 20, 0xffffffecu, 0, EL_E_FORMAT, "truncated"},
    {"context 0", 0, 24, 0, 0, EL_E_FORMAT, "seq_len is 0"},
    {"context too long", 0, 24, 0x7fffffff, 0, EL_E_FORMAT, "seq_len is 2147483647, must be 1 to 1073741824"},
    {"a layer too many", 0, 8, 3, 0, EL_E_FORMAT, "truncated: "},
    {"as large as the limits allow", 0, 4, 16777216, 0, EL_E_FORMAT, "truncated: "},
    {"version 0", 1, 4, 0, 0, EL_E_UNSUPPORTED, "version 0, supported are the legacy version, 1 and 2"},
    {"v1 called v2", 1, 4, 2, 0, EL_E_FORMAT, "group_size is 0, must be 1 to 16777216"},
    {"group 0", 2, 37, 0, 0, EL_E_FORMAT, "group_size is 0, must be 1 to 16777216"},
    {"group negative", 2, 37, 0x80000000u, 0, EL_E_FORMAT, "group_size is -2147483648"},
    {"group that does not divide", 2, 37, 3, 0, EL_E_FORMAT,
     "group_size is 3, which does not divide the 160 numbers of tok_embeddings"},
    {"group that is too small", 2, 37, 1, 0, EL_E_FORMAT, "truncated: "},
    {"v2 header cut", 2, SIZE_MAX, 0, 40, EL_E_FORMAT, "truncated: 40 bytes, the header has 256"},
    {"version 3", 1, 4, 3, 0, EL_E_UNSUPPORTED, "version 3, supported"},
    {"version in the other byte order", 1, 4, 0x01000000, 0, EL_E_UNSUPPORTED, "version 16777216"},
    {"shared classifier 2", 1, 36, 2, 0, EL_E_FORMAT, "shared_classifier is 2, must be 0 or 1"},
    {"v1 header cut", 1, SIZE_MAX, 0, 20, EL_E_FORMAT, "truncated: 20 bytes, the header has 256"},
    {"v1 padding cut", 1, SIZE_MAX, 0, 100, EL_E_FORMAT, "truncated: 100 bytes, the llama2.c header needs"},
    {"v0 header cut", 0, SIZE_MAX, 0, 27, EL_E_FORMAT, "truncated: 27 bytes, the header has 28"},
};

TEST(bad_llama2c, table)
{
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct el_buf b;
        el_buf_init(&b);
        llama2c_build(&b, cases[i].version, &llama2c_tiny);
        if (cases[i].at != SIZE_MAX)
            memcpy(b.data + cases[i].at, &cases[i].value, 4);
        const char *const path = test_tmp("bad-llama2c.bin");
        REQUIRE(test_write(path, b.data, cases[i].n ? cases[i].n : b.nbytes));
        el_buf_release(&b);
        struct el_err err = {0};
        struct el_source *s;
        const enum el_status status = el_source_open(path, &(struct el_source_opts){.format = "llama2c"}, &s, &err);
        CHECK(s == NULL);
        if (status != cases[i].code || !strstr(err.text, cases[i].says) || !strstr(err.text, "bad-llama2c.bin'"))
            test_fail(__FILE__, __LINE__, "%s: status %d, '%s', wanted %d, '%s'", cases[i].name, (int)status, err.text,
                      (int)cases[i].code, cases[i].says);
    }
}

TEST(bad_llama2c, every_truncation)
{
    for (uint32_t version = 0; version <= 2; version++) {
        struct el_buf b;
        el_buf_init(&b);
        llama2c_build(&b, version, &llama2c_tiny);
        static const char *const folders[] = {"cut-v0", "cut-v1", "cut-v2"};
        const char *const folder = test_tmp(folders[version]);
        REQUIRE(mkdir(folder, 0777) == 0);
        char path[4096];
        snprintf(path, sizeof path, "%s/model.bin", folder);
        REQUIRE(test_write(path, b.data, b.nbytes));
        struct el_err err = {0};
        struct el_source *s;
        const struct el_source_opts opts = {.format = "llama2c"};
        CHECK_OK(el_source_open(path, &opts, &s, &err), err);
        el_source_close(s);
        for (size_t n = b.nbytes; n-- > 0;) {
            REQUIRE(truncate(path, (off_t)n) == 0);
            const enum el_status status = el_source_open(path, &opts, &s, &err);
            if (status != EL_E_FORMAT || !strstr(err.text, "truncated"))
                test_fail(__FILE__, __LINE__, "cut to %zu bytes: status %d, '%s'", n, (int)status, err.text);
        }
        el_buf_release(&b);
    }
}

/* Bytes at the start of a tokenizer.bin: longest piece, then score, length, bytes of the first piece. */
static const struct {
    const char *name;
    size_t at;
    uint32_t value;
    size_t n;
} tokenizers[] = {
    {"piece longer than the file", 8, 1000000, 0},
    {"piece of negative length", 8, 0xffffffffu, 0},
    {"empty file", SIZE_MAX, 0, 0},
    {"length cut", SIZE_MAX, 0, 10},
    {"piece cut", SIZE_MAX, 0, 14},
    {"too few pieces", SIZE_MAX, 0, 17},
};

TEST(bad_llama2c, tokenizers)
{
    const char *const folder = test_tmp("bad-tok");
    REQUIRE(mkdir(folder, 0777) == 0);
    char model[4096], path[4096];
    snprintf(model, sizeof model, "%s/model.bin", folder);
    snprintf(path, sizeof path, "%s/tokenizer.bin", folder);
    struct el_buf b, t;
    el_buf_init(&b);
    el_buf_init(&t);
    llama2c_build(&b, 0, &llama2c_tiny);
    REQUIRE(test_write(model, b.data, b.nbytes));
    for (size_t i = 0; i < sizeof tokenizers / sizeof tokenizers[0]; i++) {
        el_buf_reset(&t);
        llama2c_build_tokenizer(&t, llama2c_tiny.n_vocab);
        if (tokenizers[i].at != SIZE_MAX)
            memcpy(t.data + tokenizers[i].at, &tokenizers[i].value, 4);
        REQUIRE(test_write(path, t.data, tokenizers[i].at != SIZE_MAX ? t.nbytes : tokenizers[i].n));
        struct el_err err = {0};
        struct el_source *s;
        const enum el_status status = el_source_open(model, NULL, &s, &err);
        if (status != EL_E_FORMAT || !strstr(err.text, "tokenizer.bin'"))
            test_fail(__FILE__, __LINE__, "%s: status %d, '%s'", tokenizers[i].name, (int)status, err.text);
        el_source_close(s);
    }
    el_buf_release(&b);
    el_buf_release(&t);
}
