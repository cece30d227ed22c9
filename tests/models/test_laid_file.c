/* Files of re-laid matrices: the same bits come out of them, and what is not one, or not whole, is refused and nothing else. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/mem.h"
#include "edgellm.h"
#include "kernels/kernels.h"
#include "model/laid_file.h"
#include "model/model.h"
#include "models/mem_source.h"
#include "test.h"

enum { N_IDS = 5, MAX_VOCAB = 64, FILE_CAP = 1 << 21 };

static const struct {
    const char *arch, *type;
    bool tied;
} cases[] = {{"llama", "Q8_0", false}, {"llama", "Q4_0", true}, {"mixtral", "Q8_0", false}, {"gpt2", "Q5_1", true}};
enum { N_CASES = sizeof cases / sizeof cases[0] };

static bool any_laid(void)
{
    return el_kernels()->laid[EL_ENC_IDX_q8_0] != NULL;
}

static void name_file(char path[64])
{
    snprintf(path, 64, "/tmp/edgellm-laid-%ld.gguf", (long)getpid());
}

static struct el_source *make_source(size_t c, uint64_t seed)
{
    struct el_source *const s = mem_source_random(cases[c].arch, cases[c].tied, seed);
    mem_source_encode(s, cases[c].type);
    return s;
}

static enum el_status write_file(const struct el_model *model, const char *path, struct el_err *err)
{
    const struct el_sink_opts opts = {.format = "gguf", .overwrite = true};
    struct el_sink *sink;
    enum el_status status = el_sink_open(path, &opts, &sink, err);
    if (status == EL_OK)
        status = el_model_write_laid(model, sink, err);
    if (status == EL_OK)
        status = el_sink_commit(sink, err);
    el_sink_close(sink);
    return status;
}

/* The file of source's model. */
static void write_for(struct el_source *source, const char *path)
{
    struct el_model *model;
    struct el_err err;
    REQUIRE_OK(el_model_open(source, NULL, &model, &err), err);
    REQUIRE_OK(write_file(model, path, &err), err);
    el_model_close(model);
}

static enum el_status open_with(struct el_source *source, const char *path, struct el_source **laid, struct el_model **model,
                                struct el_err *err)
{
    *model = NULL;
    const enum el_status status = el_source_open(path, NULL, laid, err);
    const struct el_model_opts opts = {.laid = *laid};
    return status == EL_OK ? el_model_open(source, &opts, model, err) : status;
}

/* Logits after ids. */
static void run(const struct el_model *model, float *logits)
{
    const struct el_session_opts opts = {.n_ctx = N_IDS, .n_batch = N_IDS, .n_threads = 1};
    struct el_session *session;
    struct el_err err;
    struct el_row rows[N_IDS];
    REQUIRE(el_model_info(model).n_vocab <= MAX_VOCAB);
    REQUIRE_OK(el_session_open(model, &opts, &session, &err), err);
    for (uint32_t i = 0; i < N_IDS; i++)
        rows[i] = (struct el_row){(int32_t)(3 * i + 1), 0, i, i + 1 == N_IDS};
    REQUIRE_OK(el_session_decode(session, rows, N_IDS, &err), err);
    memcpy(logits, el_session_logits(session, N_IDS - 1), el_model_info(model).n_vocab * sizeof(float));
    el_session_close(session);
}

static size_t read_all(const char *path, uint8_t *out)
{
    FILE *const f = fopen(path, "rb");
    const size_t n = f ? fread(out, 1, FILE_CAP, f) : 0;
    if (f)
        fclose(f);
    CHECK(n > 0 && n < FILE_CAP);
    return n;
}

static void write_all(const char *path, const uint8_t *data, size_t n)
{
    FILE *const f = fopen(path, "wb");
    REQUIRE(f != NULL && fwrite(data, 1, n, f) == n);
    fclose(f);
}

/* Where text stands first in data. */
static size_t find(const uint8_t *data, size_t n, const char *text)
{
    const size_t n_text = strlen(text);
    size_t at = 0;
    while (at + n_text <= n && memcmp(data + at, text, n_text) != 0)
        at++;
    CHECK(at + n_text <= n);
    return at + n_text <= n ? at : 0;
}

TEST(laid_file, what_is_mapped_gives_the_same_bits)
{
    char path[64];
    name_file(path);
    if (!any_laid())
        SKIP("this CPU level re-lays nothing");
    for (size_t c = 0; c < N_CASES; c++) {
        float want[MAX_VOCAB] = {0}, got[MAX_VOCAB] = {0};
        struct el_source *const source = make_source(c, 7), *laid;
        struct el_model *model;
        struct el_err err;
        REQUIRE_OK(el_model_open(source, NULL, &model, &err), err);
        run(model, want);
        REQUIRE_OK(write_file(model, path, &err), err);
        el_model_close(model);
        CHECK(el_is_laid_file(path));
        REQUIRE_OK(open_with(source, path, &laid, &model, &err), err);
        CHECK(model->weights.arena == NULL);
        run(model, got);
        CHECK(memcmp(want, got, sizeof want) == 0);
        CHECK_OK(el_verify(laid, NULL, NULL, NULL, NULL, &err), err);
        /* What came from a file can be written again, to the byte. */
        static uint8_t first[FILE_CAP], second[FILE_CAP];
        const size_t n = read_all(path, first);
        REQUIRE_OK(write_file(model, path, &err), err);
        CHECK(read_all(path, second) == n && memcmp(first, second, n) == 0);
        el_model_close(model);
        el_source_close(laid);
        /* It is no model. */
        REQUIRE_OK(el_source_open(path, NULL, &laid, &err), err);
        CHECK(el_model_open(laid, NULL, &model, &err) != EL_OK && strstr(err.text, "edgellm-strips") != NULL);
        el_source_close(laid);
        el_source_close(source);
    }
    unlink(path);
}

TEST(laid_file, strangers_are_refused_with_a_reason)
{
    static uint8_t good[FILE_CAP], bad[FILE_CAP];
    static const struct {
        const char *text, *instead;
        enum el_status code;
        const char *says;
    } changes[] = {
        {"strip16.2", "strip16.1", EL_E_UNSUPPORTED, "metadata 'edgellm.layout': 'strip16.1', must be strip16.2"},
        {"edgellm.layout.source", "edgellm.layout.sourcf", EL_E_CHECKSUM, "another model, or the model has changed"},
        {"edgellm-strips", "edgellm-stripz", EL_E_FORMAT, "metadata 'general.architecture': must be edgellm-strips"},
        {"attn_q.weight.strips", "attn_q.weight.stripz", EL_E_FORMAT, "has no fitting 'blk."},
    };
    char path[64];
    name_file(path);
    if (!any_laid())
        SKIP("this CPU level re-lays nothing");
    struct el_source *const source = make_source(0, 7), *const other = make_source(0, 8), *laid;
    struct el_model *model;
    struct el_err err;
    write_for(source, path);
    const size_t n = read_all(path, good);
    CHECK(open_with(other, path, &laid, &model, &err) == EL_E_CHECKSUM && err.reason == EL_REASON_LAID && !model);
    el_source_close(laid);
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        memcpy(bad, good, n);
        memcpy(bad + find(bad, n, changes[i].text), changes[i].instead, strlen(changes[i].instead));
        write_all(path, bad, n);
        CHECK_EQ_INT(open_with(source, path, &laid, &model, &err), changes[i].code);
        CHECK(err.reason == EL_REASON_LAID && strstr(err.text, changes[i].says) != NULL);
        el_source_close(laid);
    }
    /* A model that has the layout's key as well is a model. */
    REQUIRE_OK(el_source_override(other, "edgellm.layout=str:strip16.1", &err), err);
    CHECK(!el_laid_file_is(other));
    /* What is wrong with the model itself has no such reason: without the file it would fail too. */
    write_all(path, good, n);
    mem_source_remove(source, "output_norm.weight");
    CHECK(open_with(source, path, &laid, &model, &err) == EL_E_FORMAT && err.reason == EL_REASON_NONE);
    el_source_close(laid);
    el_source_close(source);
    el_source_close(other);
    unlink(path);
}

TEST(laid_file, damage_never_gets_further_than_an_error)
{
    static uint8_t good[FILE_CAP], bad[FILE_CAP];
    char path[64];
    name_file(path);
    if (!any_laid())
        SKIP("this CPU level re-lays nothing");
    struct el_source *const source = make_source(0, 7), *laid;
    struct el_model *model;
    struct el_err err;
    float logits[MAX_VOCAB];
    write_for(source, path);
    const size_t n = read_all(path, good), n_head = find(good, n, ".strips") + 4096;
    size_t n_opened = 0;
    for (size_t at = 0; at < n_head; at += at < 512 ? 1 : 13) {
        memcpy(bad, good, n);
        bad[at] ^= 1u << (at % 8);
        write_all(path, bad, n);
        if (open_with(source, path, &laid, &model, &err) == EL_OK) {
            run(model, logits);
            n_opened++;
        } else if (laid) {
            CHECK(err.reason == EL_REASON_LAID);
        }
        el_model_close(model);
        el_source_close(laid);
    }
    CHECK(n_opened > 0); /* padding, hashes */
    for (size_t cut = 0; cut < n - 4096; cut += /* behind it may be padding only */ cut < 512 ? 1 : 997) {
        write_all(path, good, cut);
        CHECK(open_with(source, path, &laid, &model, &err) != EL_OK && !model);
        CHECK(el_is_laid_file(path) == (cut >= 78)); /* magic, counts, the first key and its value */
        el_source_close(laid);
    }
    /* A byte of a matrix: opening does not look, verify names it. */
    write_all(path, good, n);
    REQUIRE_OK(el_source_open(path, NULL, &laid, &err), err);
    const uint64_t at_last = el_source_tensor(laid, el_source_n_tensors(laid) - 1).offset;
    el_source_close(laid);
    memcpy(bad, good, n);
    bad[at_last + 1] ^= 0x40;
    write_all(path, bad, n);
    REQUIRE_OK(open_with(source, path, &laid, &model, &err), err);
    run(model, logits);
    CHECK_EQ_INT(el_verify(laid, NULL, NULL, NULL, NULL, &err), EL_E_FORMAT);
    CHECK(strstr(err.text, "1 error, 0 warnings") != NULL);
    el_model_close(model);
    el_source_close(laid);
    el_source_close(source);
    unlink(path);
}

TEST(laid_file, what_cannot_be_written_leaves_nothing)
{
    char path[64], under[96];
    name_file(path);
    if (!any_laid())
        SKIP("this CPU level re-lays nothing");
    struct el_source *const source = make_source(0, 7), *const plain = mem_source_random("llama", false, 7);
    struct el_model *model;
    struct el_err err;
    REQUIRE_OK(el_model_open(source, NULL, &model, &err), err);
    el_interrupt();
    CHECK_EQ_INT(write_file(model, path, &err), EL_E_INTERRUPTED);
    el_interrupt_clear();
    CHECK(access(path, F_OK) != 0);
    snprintf(under, sizeof under, "%s/no/where", path);
    CHECK_EQ_INT(write_file(model, under, &err), EL_E_IO);
    for (uint64_t i = 1; i < 2000; i++) {
        el_mem_fail_after(i);
        const enum el_status status = write_file(model, path, &err);
        el_mem_fail_after(0);
        if (status == EL_OK)
            break;
        CHECK(status == EL_E_MEMORY && access(path, F_OK) != 0);
    }
    CHECK(access(path, F_OK) == 0);
    el_model_close(model);
    for (uint64_t i = 1; i < 2000; i++) {
        struct el_source *laid = NULL;
        el_mem_fail_after(i);
        const enum el_status status = open_with(source, path, &laid, &model, &err);
        el_mem_fail_after(0);
        el_model_close(model);
        el_source_close(laid);
        if (status == EL_OK)
            break;
        CHECK_EQ_INT(status, EL_E_MEMORY);
    }
    REQUIRE_OK(el_model_open(plain, NULL, &model, &err), err);
    CHECK_EQ_INT(write_file(model, path, &err), EL_E_UNSUPPORTED);
    CHECK(strstr(err.text, "no matrix of this model is re-laid") != NULL);
    el_model_close(model);
    el_source_close(plain);
    el_source_close(source);
    unlink(path);
}
