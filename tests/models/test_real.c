/* Real models of ../shared, where it is there: known logits and known greedy text. */
#include <math.h>

#include "edgellm.h"
#include "test.h"

struct opened {
    struct el_source *source;
    struct el_model *model;
    struct el_session *session;
};

static bool open_all(struct opened *o, const char *path, const char *kv_type, unsigned n_threads)
{
    struct el_err err;
    const struct el_session_opts opts = {.kv_type_k = kv_type, .kv_type_v = kv_type, .n_ctx = 128, .n_threads = n_threads};
    *o = (struct opened){.source = NULL};
    CHECK_OK(el_source_open(path, NULL, &o->source, &err), err);
    if (o->source)
        CHECK_OK(el_model_open(o->source, NULL, &o->model, &err), err);
    if (o->model)
        CHECK_OK(el_session_open(o->model, &opts, &o->session, &err), err);
    return o->session != NULL;
}

static void close_all(struct opened *o)
{
    el_session_close(o->session);
    el_model_close(o->model);
    el_source_close(o->source);
}

/* models/stories260K/walk.md: prompt, five largest logits, 64 greedy tokens, from a float64 forward pass. */
static const int32_t walk_prompt[] = {1, 403, 407, 261, 378};
static const struct {
    int32_t id;
    double logit, logp;
} walk_best[] = {{432, 17.7994, -0.0317},
                 {383, 14.28126, -3.54984},
                 {322, 9.70965, -8.12145},
                 {353, 9.58729, -8.24381},
                 {323, 9.13424, -8.69686}};
static const int32_t walk_greedy[64] = {432, 383, 286, 261, 376, 298, 315, 421, 395, 317, 426, 338, 401, 396, 267, 337,
                                        410, 408, 419, 292, 411, 322, 265, 282, 295, 433, 426, 385, 328, 432, 358, 394,
                                        261, 370, 432, 352, 266, 268, 388, 426, 338, 391, 266, 267, 337, 335, 312, 432,
                                        398, 312, 286, 267, 414, 270, 333, 415, 426, 13,  438, 310, 439, 419, 357, 336};

static void walk(const char *path, const char *kv_type, unsigned n_threads)
{
    struct opened o;
    struct el_err err;
    struct el_row rows[5];
    const struct el_sampler_opts greedy = {.temp = 0, .top_p = 1, .repeat_penalty = 1};
    struct el_sampler *sampler = NULL;
    REQUIRE(open_all(&o, path, kv_type, n_threads));
    CHECK_OK(el_sampler_open(&greedy, 512, &sampler, &err), err);
    for (uint32_t i = 0; i < 5; i++)
        rows[i] = (struct el_row){walk_prompt[i], 0, i, i == 4};
    REQUIRE_OK(el_session_decode(o.session, rows, 5, &err), err);
    const float *logits = el_session_logits(o.session, 4);
    const bool exact = strcmp(kv_type, "f32") == 0;
    for (int i = 0; i < 5; i++) {
        CHECK_NEAR(logits[walk_best[i].id], walk_best[i].logit, exact ? 2e-5 : 0.01);
        CHECK_NEAR(el_log_softmax(logits, 512, walk_best[i].id, NULL), walk_best[i].logp, exact ? 2e-5 : 0.01);
    }
    for (uint32_t i = 0; i < 64; i++) {
        const int32_t id = el_sampler_pick(sampler, logits);
        CHECK_EQ_INT(id, walk_greedy[i]);
        const struct el_row row = {id, 0, 5 + i, true};
        REQUIRE_OK(el_session_decode(o.session, &row, 1, &err), err);
        logits = el_session_logits(o.session, 0);
    }
    el_sampler_close(sampler);
    close_all(&o);
}

TEST(real, stories260k_walks_as_written)
{
    const char *const files[] = {"models/stories260K/stories260K.bin", "models/stories260K/stories260K.gguf",
                                 "models/stories260K/checkpoint_v1.bin"};
    if (!test_shared(files[0]))
        SKIP("no ../shared");
    for (int i = 0; i < 3; i++)
        walk(test_shared(files[i]), "f32", 1);
    for (unsigned n_threads = 1; n_threads <= 3; n_threads++)
        walk(test_shared(files[1]), "f16", n_threads);
}

static void check_books(const char *folder, const char *file)
{
    for (int i = 0; i < 3; i++) {
        char rel[128];
        struct opened o;
        struct el_err err;
        struct el_row rows[32];
        snprintf(rel, sizeof rel, "%s/reference/prompt%d_ids.npy", folder, i);
        char *const ids = test_shared(rel) ? test_read(test_shared(rel), NULL) : NULL;
        snprintf(rel, sizeof rel, "%s/reference/prompt%d_logits.npy", folder, i);
        char *const want = test_shared(rel) ? test_read(test_shared(rel), NULL) : NULL;
        REQUIRE(ids && want);
        REQUIRE(open_all(&o, file, "f32", 2));
        /* Version 1 .npy: the header's length lies at bytes 8 and 9. */
        const char *const id_data = ids + 10 + (unsigned char)ids[8] + 256 * (unsigned char)ids[9];
        const char *const logit_data = want + 10 + (unsigned char)want[8] + 256 * (unsigned char)want[9];
        for (uint32_t r = 0; r < 32; r++) {
            rows[r] = (struct el_row){0, 0, r, true};
            memcpy(&rows[r].token, id_data + 4 * r, 4);
        }
        REQUIRE_OK(el_session_decode(o.session, rows, 32, &err), err);
        double diff = 0;
        for (size_t r = 0; r < 32; r++) {
            for (size_t v = 0; v < 4096; v++) {
                float w = 0;
                memcpy(&w, logit_data + 4 * (r * 4096 + v), 4);
                diff = fmax(diff, fabs((double)w - (double)el_session_logits(o.session, r)[v]));
            }
        }
        CHECK_NEAR(diff, 0, 1e-3);
        close_all(&o);
        free(ids);
        free(want);
    }
}

TEST(real, books_models_have_their_reference_logits)
{
    const char *const files[][2] = {{"models/books-moe", "models/books-moe"},
                                    {"models/books-moe", "models/books-moe/books-moe-f16.gguf"},
                                    {"models/books-4m", "models/books-4m/books-4m-f16.gguf"}};
    for (int i = 0; i < 3; i++) {
        char rel[128];
        snprintf(rel, sizeof rel, "%s/reference/prompt0_ids.npy", files[i][0]);
        if (!test_shared(files[i][1]) || !test_shared(rel))
            SKIP("no ../shared");
        check_books(files[i][0], test_shared(files[i][1]));
    }
}
