/* Sequences saved and loaded: the same bits go on, damage and strangers are refused, nothing is left half done. */
#include <stdio.h>
#include <unistd.h>

#include "base/mem.h"
#include "edgellm.h"
#include "models/mem_source.h"
#include "tensor/meta.h"
#include "test.h"

enum { N_VOCAB = 40, N_IDS = 9 };

static const char model_hash[] = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
static const int32_t ids[N_IDS] = {3, 1, 4, 1, 5, 9, 2, 6, 5};

struct opened {
    struct el_source *source;
    struct el_model *model;
    struct el_session *session;
};

static void open_all(struct opened *o, const char *type_k, const char *type_v)
{
    const struct el_session_opts opts = {
        .n_ctx = 16, .n_seqs = 2, .n_batch = 16, .kv_type_k = type_k, .kv_type_v = type_v, .n_threads = 1};
    struct el_err err;
    *o = (struct opened){.source = mem_source_random("llama", false, 5)};
    REQUIRE_OK(el_model_open(o->source, NULL, &o->model, &err), err);
    REQUIRE_OK(el_session_open(o->model, &opts, &o->session, &err), err);
}

static void close_all(struct opened *o)
{
    el_session_close(o->session);
    el_model_close(o->model);
    el_source_close(o->source);
}

/* Runs ids [from, N_IDS) as a sequence; logits [N_VOCAB] of the last. */
static void run_from(struct el_session *s, uint32_t seq, uint32_t from, float *logits)
{
    struct el_row rows[N_IDS];
    struct el_err err;
    for (uint32_t i = from; i < N_IDS; i++)
        rows[i - from] = (struct el_row){ids[i], seq, i, i + 1 == N_IDS};
    REQUIRE_OK(el_session_decode(s, rows, N_IDS - from, &err), err);
    memcpy(logits, el_session_logits(s, N_IDS - from - 1), N_VOCAB * sizeof(float));
}

static void name_file(char path[64])
{
    snprintf(path, 64, "/tmp/edgellm-session-%ld", (long)getpid());
}

static size_t read_all(const char *path, uint8_t *out, size_t cap)
{
    FILE *const f = fopen(path, "rb");
    const size_t n = f ? fread(out, 1, cap, f) : 0;
    if (f)
        fclose(f);
    return n;
}

static void write_all(const char *path, const uint8_t *data, size_t n)
{
    FILE *const f = fopen(path, "wb");
    REQUIRE(f != NULL && fwrite(data, 1, n, f) == n);
    fclose(f);
}

TEST(session_file, what_is_loaded_goes_on_with_the_same_bits)
{
    static const char *const types[] = {"f16", "f32"};
    char path[64];
    name_file(path);
    for (size_t t = 0; t < 4; t++) {
        struct opened a, b;
        struct el_err err;
        float want[N_VOCAB], got[N_VOCAB];
        size_t n = 0;
        open_all(&a, types[t & 1], types[t >> 1]);
        open_all(&b, types[t & 1], types[t >> 1]);
        run_from(a.session, 0, 0, want);
        CHECK_OK(el_session_save(a.session, 0, ids, N_IDS, model_hash, path, &err), err);
        CHECK_OK(el_session_load(b.session, 1, path, model_hash, ids, N_IDS, &n, &err), err);
        CHECK(n == N_IDS && el_session_n_past(b.session, 1) == N_IDS && el_session_n_past(b.session, 0) == 0);
        el_session_rewind(b.session, 1, N_IDS - 1);
        run_from(b.session, 1, N_IDS - 1, got);
        CHECK(memcmp(want, got, sizeof want) == 0);
        /* Another text that begins alike: as much as agrees. */
        int32_t other[N_IDS];
        memcpy(other, ids, sizeof ids);
        other[4] = 0;
        CHECK_OK(el_session_load(b.session, 1, path, model_hash, other, N_IDS, &n, &err), err);
        CHECK(n == 4 && el_session_n_past(b.session, 1) == 4);
        run_from(b.session, 1, 4, got);
        CHECK(memcmp(want, got, sizeof want) == 0);
        CHECK_OK(el_session_load(b.session, 1, path, model_hash, other + 1, 1, &n, &err), err);
        CHECK(n == 0 && el_session_n_past(b.session, 1) == 0);
        close_all(&a);
        close_all(&b);
    }
    unlink(path);
}

TEST(session_file, damage_and_strangers_are_refused)
{
    static uint8_t good[8192], bad[8192];
    char path[64];
    struct opened a, b;
    struct el_err err;
    float logits[N_VOCAB];
    size_t n = 1;
    name_file(path);
    open_all(&a, "f16", "f16");
    run_from(a.session, 0, 0, logits);
    CHECK(el_session_save(a.session, 0, ids, N_IDS + 1, model_hash, path, &err) == EL_E_USAGE);
    CHECK(el_session_save(a.session, 0, ids, N_IDS, "short", path, &err) == EL_E_USAGE);
    REQUIRE_OK(el_session_save(a.session, 0, ids, N_IDS, model_hash, path, &err), err);
    const size_t n_good = read_all(path, good, sizeof good);
    REQUIRE(n_good < sizeof good);
    for (size_t cut = 0; cut < n_good; cut += cut < 200 ? 1 : 37) {
        write_all(path, good, cut);
        const enum el_status status = el_session_load(a.session, 1, path, model_hash, ids, N_IDS, &n, &err);
        CHECK((status == EL_E_FORMAT || status == EL_E_CHECKSUM) && n == 0 && el_session_n_past(a.session, 1) == 0);
    }
    for (size_t at = 0; at < n_good; at += at < 200 ? 1 : 37) {
        memcpy(bad, good, n_good);
        bad[at] ^= 0x20;
        write_all(path, bad, n_good);
        const enum el_status status = el_session_load(a.session, 1, path, model_hash, ids, N_IDS, &n, &err);
        const enum el_status want = at < 8 ? EL_E_FORMAT : at < 12 ? EL_E_UNSUPPORTED : EL_E_CHECKSUM;
        CHECK(status == want && n == 0);
    }
    write_all(path, good, n_good);
    char other[65];
    memcpy(other, model_hash, sizeof other);
    other[63] = '0';
    CHECK(el_session_load(a.session, 1, path, other, ids, N_IDS, &n, &err) == EL_E_UNSUPPORTED);
    CHECK(el_session_load(a.session, 2, path, model_hash, ids, N_IDS, &n, &err) == EL_E_USAGE);
    CHECK(el_session_load(a.session, 0, "/tmp/edgellm-no-such-file", model_hash, ids, N_IDS, &n, &err) == EL_E_IO);
    open_all(&b, "f32", "f16");
    CHECK(el_session_load(b.session, 0, path, model_hash, ids, N_IDS, &n, &err) == EL_E_UNSUPPORTED);
    CHECK(strstr(err.text, "keys of type f16, this run has f32") != NULL);
    close_all(&b);
    /* Out of memory anywhere: the older file is still there. */
    for (uint64_t i = 1; i < 20; i++) {
        el_mem_fail_after(i);
        const enum el_status status = el_session_save(a.session, 0, ids, 3, model_hash, path, &err);
        el_mem_fail_after(0);
        if (status == EL_OK)
            break;
        CHECK(status == EL_E_MEMORY);
        CHECK(read_all(path, bad, sizeof bad) == n_good && memcmp(good, bad, n_good) == 0);
    }
    close_all(&a);
    unlink(path);
}

/* A phi3 with factors for contexts up to 12 positions and for longer ones. */
static struct el_source *long_rope_source(void)
{
    static const char *const names[] = {"rope_factors_short.weight", "rope_factors_long.weight"};
    static const uint64_t dims[] = {3};
    struct el_source *const s = mem_source_random("phi3", false, 5);
    CHECK(el_meta_set_u32(mem_source_meta(s), "phi3.rope.scaling.original_context_length", 12, NULL) == EL_OK);
    for (int i = 0; i < 2; i++) {
        float *const v = mem_source_add(s, names[i], 1, dims);
        for (int k = 0; k < 3; k++)
            v[k] = 1 + (float)(i * (k + 1));
    }
    return s;
}

/* What says how keys were made: the context that a session was opened with, and the form of activations. */
TEST(session_file, another_way_of_computing_is_refused)
{
    static const struct {
        uint32_t n_ctx;
        const char *activations;
        const char *says; /* NULL: it may be loaded */
    } cases[] = {
        {12, "int8", NULL},
        {9, NULL, NULL},
        {13, "int8", "made with RoPE's factors for short contexts, this run has RoPE's factors for long contexts"},
        {12, "f32", "made with int8 activations, this run has f32 activations"},
    };
    char path[64];
    struct el_err err;
    struct el_source *const source = long_rope_source();
    name_file(path);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct el_model_opts model_opts = {.activations = cases[i].activations};
        const struct el_session_opts opts = {.n_ctx = cases[i].n_ctx, .n_batch = 9, .n_threads = 1};
        struct el_model *model = NULL;
        struct el_session *session = NULL;
        float logits[N_VOCAB];
        size_t n = 0;
        REQUIRE_OK(el_model_open(source, &model_opts, &model, &err), err);
        REQUIRE_OK(el_session_open(model, &opts, &session, &err), err);
        if (i == 0) {
            run_from(session, 0, 0, logits);
            CHECK_OK(el_session_save(session, 0, ids, N_IDS, model_hash, path, &err), err);
        }
        CHECK_EQ_INT(el_session_load(session, 0, path, model_hash, ids, N_IDS, &n, &err),
                     cases[i].says ? EL_E_UNSUPPORTED : EL_OK);
        CHECK_EQ_INT(n, cases[i].says ? 0 : N_IDS);
        if (cases[i].says && !strstr(err.text, cases[i].says))
            test_fail(__FILE__, __LINE__, "case %zu: '%s'", i, err.text);
        el_session_close(session);
        el_model_close(model);
    }
    el_source_close(source);
    unlink(path);
}
