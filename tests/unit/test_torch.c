/* Files of torch.save, made by PyTorch (scripts/fixtures/make_torch.py): to the bit what safetensors has of the same values. */
#include "base/err.h"
#include "tensor/source.h"
#include "test.h"

#include <sys/stat.h>

/* Every tensor of `want` is in `got` with the same name, type, shape and bytes, read whole and row by row. */
static void check_same(const char *got, const char *want)
{
    struct el_err err = {.code = EL_OK};
    struct el_source *a = NULL, *b = NULL;
    CHECK_OK(el_source_open(got, NULL, &a, &err), err);
    CHECK_OK(el_source_open(want, NULL, &b, &err), err);
    CHECK(a && b && a->n_tensors == b->n_tensors);
    for (size_t i = 0; a && b && i < b->n_tensors; i++) {
        const struct el_tensor *const y = &b->tensors[i];
        const size_t at = el_source_find(a, y->name);
        const struct el_tensor *const x = at == SIZE_MAX ? NULL : &a->tensors[at];
        if (!x || strcmp(x->enc_name, y->enc_name) != 0 || x->n_dims != y->n_dims ||
            memcmp(x->dims, y->dims, sizeof x->dims) != 0) {
            test_fail(__FILE__, __LINE__, "%s: tensor '%s' is missing, or of another type or shape", got, y->name);
            continue;
        }
        const uint64_t n = el_tensor_nbytes(y), row = y->parts[0].row_nbytes;
        uint8_t *const bytes = malloc(2 * n + 1);
        REQUIRE(bytes);
        CHECK_OK(b->ops->read(b, y, 0, 0, bytes, n, &err), err);
        CHECK_OK(a->ops->read(a, x, 0, 0, bytes + n, n, &err), err);
        if (memcmp(bytes, bytes + n, n) != 0)
            test_fail(__FILE__, __LINE__, "%s: tensor '%s' differs", got, y->name);
        memset(bytes + n, 0, n);
        for (uint64_t r = 0; r < y->n_rows && n > 0; r++)
            CHECK_OK(a->ops->read(a, x, 0, r * row, bytes + n + r * row, row, &err), err);
        if (memcmp(bytes, bytes + n, n) != 0)
            test_fail(__FILE__, __LINE__, "%s: rows of tensor '%s' differ", got, y->name);
        free(bytes);
    }
    el_source_close(a);
    el_source_close(b);
}

TEST(torch, every_type_and_view)
{
    static const char *const files[] = {"torch/types.pt", "torch/types-legacy.pt", "torch/types-protocol4.pt",
                                        "torch/types-protocol5.pt"};
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        char got[4096];
        snprintf(got, sizeof got, "%s", test_data(files[i]));
        check_same(got, test_data("torch/types.safetensors"));
    }
}

/* The folder without its safetensors file. */
TEST(torch, hugging_face_folders)
{
    char want[4096], from[4200], to[8192];
    const char *const folder = test_tmp("torch-llama");
    snprintf(want, sizeof want, "%s", test_data("torch/llama"));
    REQUIRE(mkdir(folder, 0777) == 0);
    static const char *const files[] = {"config.json", "pytorch_model.bin"};
    for (size_t i = 0; i < 2; i++) {
        size_t n;
        snprintf(from, sizeof from, "%s/%s", want, files[i]);
        snprintf(to, sizeof to, "%s/%s", folder, files[i]);
        char *const data = test_read(from, &n);
        REQUIRE(data && test_write(to, data, n));
        free(data);
    }
    check_same(folder, want);
    /* nested: names behind "model.module.", with tensors of an optimizer beside them. */
    static const char *const others[] = {"sharded", "legacy", "legacy4", "nested"};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        snprintf(from, sizeof from, "%s/%s", want, others[i]);
        check_same(from, want);
    }
}

TEST(torch, is_recognised_and_only_read)
{
    struct el_err err = {.code = EL_OK};
    struct el_source *s;
    struct el_sink *sink;
    REQUIRE_OK(el_source_open(test_data("torch/types.pt"), NULL, &s, &err), err);
    CHECK_EQ_STR(el_source_format(s), "torch");
    el_source_close(s);
    CHECK_EQ_INT(el_sink_open(test_tmp("x.pt"), &(struct el_sink_opts){.format = "torch"}, &sink, &err), EL_E_USAGE);
    CHECK(sink == NULL);
}
