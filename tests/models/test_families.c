/*
 * Families on small random models: metadata and tensors that are wrong for them are refused by name, what a config.json has no
 * words for is not written, and keys that say nothing change nothing.
 */
#include <math.h>

#include "base/buf.h"
#include "base/err.h"
#include "edgellm.h"
#include "model/arch.h"
#include "models/mem_source.h"
#include "tensor/meta.h"
#include "test.h"

static enum el_status open_model(struct el_source *source, struct el_err *err)
{
    struct el_model *model = NULL;
    const enum el_status status = el_model_open(source, NULL, &model, err);
    el_model_close(model);
    return status;
}

TEST(families, wrong_metadata)
{
    static const struct {
        const char *variant, *key;
        enum { U32, F32, BOOL, STR } type;
        double v;
        const char *s;
        enum el_status status;
        const char *says;
    } cases[] = {
        {"granite", "granite.attention.scale", F32, 0, NULL, EL_E_FORMAT,
         "granite.attention.scale is 0, allowed are numbers above"},
        {"granite", "granite.attention.scale", F32, -1, NULL, EL_E_FORMAT, "granite.attention.scale is -1"},
        {"granite", "granite.embedding_scale", F32, NAN, NULL, EL_E_FORMAT, "granite.embedding_scale"},
        {"granite", "granite.residual_scale", F32, INFINITY, NULL, EL_E_FORMAT, "granite.residual_scale"},
        {"granite", "granite.logit_scale", STR, 0, "8", EL_E_FORMAT, "granite.logit_scale"},
        {"granite", "granite.rope.scaling.finetuned", BOOL, 0, NULL, EL_E_UNSUPPORTED, "rope.scaling.finetuned is false"},
        {"qwen3", "qwen3.attention.key_length", U32, 15, NULL, EL_E_UNSUPPORTED,
         "qwen3.attention.value_length is 16, keys have 15"},
        {"qwen3", "qwen3.attention.sliding_window", U32, 4294967295.0, NULL, EL_E_FORMAT, "qwen3.attention.sliding_window"},
        {"mistral", "llama.attention.sliding_window", STR, 0, "12", EL_E_FORMAT, "llama.attention.sliding_window"},
        {"qwen2", "qwen2.expert_count", U32, 4, NULL, EL_E_UNSUPPORTED, "qwen2.expert_count is 4: a qwen2 model has no experts"},
        {"gemma2", "gemma2.expert_count", U32, 1, NULL, EL_E_UNSUPPORTED, "a gemma2 model has no experts"},
        {"gpt2", "gpt2.expert_count", U32, 1, NULL, EL_E_UNSUPPORTED, "a gpt2 model has no experts"},
        {"qwen3", "qwen3.attention.causal", BOOL, 0, NULL, EL_E_UNSUPPORTED, "attention.causal is false"},
        {"olmoe", "olmoe.expert_group_count", U32, 2, NULL, EL_E_UNSUPPORTED,
         "expert_group_count is 2: experts that are chosen by"},
        {"granite", "granite.rope.scaling.attn_factor", F32, 1.5, NULL, EL_E_UNSUPPORTED, "attn_factor is 1.5, in this family"},
        {"phi3", "phi3.rope.scaling.type", STR, 0, "yarn", EL_E_UNSUPPORTED, "known are none, linear, longrope"},
        {"gpt2", "gpt2.hidden_act", STR, 0, "swish", EL_E_UNSUPPORTED, "gpt2.hidden_act is 'swish', known are"},
        {"gpt2", "gpt2.hidden_act", U32, 1, NULL, EL_E_FORMAT, "gpt2.hidden_act"},
        {"gpt2", "gpt2.attention.key_length", U32, 16, NULL, EL_E_FORMAT,
         "4 heads of 16 columns do not make the embedding length 32"},
        {"gpt2", "gpt2.context_length", U32, 65, NULL, EL_E_FORMAT, "'position_embd.weight' is 64 x 32, should be 65 x 32"},
        {"opt", "opt.context_length", U32, 63, NULL, EL_E_FORMAT, "'position_embd.weight' is 66 x 32, should be 65 x 32"},
        {"opt", "opt.attention.key_length", U32, 4, NULL, EL_E_FORMAT, "4 heads of 4 columns do not make"},
        {"opt", "opt.word_embedding_length", U32, 0, NULL, EL_E_FORMAT, "opt.word_embedding_length"},
        {"opt", "opt.word_embedding_length", U32, 4294967295.0, NULL, EL_E_FORMAT, "opt.word_embedding_length"},
        {"opt", "opt.word_embedding_length", U32, 16, NULL, EL_E_FORMAT, "'token_embd_proj.weight' is missing"},
        {"opt 350M", "opt.word_embedding_length", U32, 32, NULL, EL_E_FORMAT, "'token_embd_proj.weight' does not belong to one"},
        {"opt", "opt.pre_norm", STR, 0, "yes", EL_E_FORMAT, "opt.pre_norm"},
        {"opt", "opt.pre_norm", BOOL, 0, NULL, EL_E_FORMAT, "'blk.0.attn_output_norm.weight' is missing"},
        {"opt with post-norm", "opt.pre_norm", BOOL, 1, NULL, EL_E_FORMAT, "'blk.0.attn_norm.weight' is missing"},
        {"opt", "opt.linear_bias", BOOL, 0, NULL, EL_E_FORMAT, "'blk.0.attn_q.bias' does not belong to one"},
        {"opt", "opt.no_output_norm", BOOL, 1, NULL, EL_E_FORMAT, "'output_norm.weight' does not belong to one"},
        {"stablelm", "stablelm.rope.dimension_count", U32, 3, NULL, EL_E_FORMAT,
         "dimension_count is 3, allowed are even numbers"},
        {"stablelm", "stablelm.rope.dimension_count", U32, 10, NULL, EL_E_FORMAT, "even numbers up to the head's 8"},
        {"starcoder2", "starcoder2.hidden_act", STR, 0, "silu", EL_E_UNSUPPORTED, "hidden_act"},
        {"stablelm", "stablelm.attention.head_count_kv", U32, 4, NULL, EL_E_FORMAT, "'blk.0.attn_k.weight' is 16 x 32"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct el_source *const source = mem_source_random(cases[i].variant, false, 3);
        struct el_meta *const meta = mem_source_meta(source);
        struct el_err err = {.code = EL_OK};
        CHECK_OK(open_model(source, &err), err);
        switch (cases[i].type) {
        case U32: CHECK(el_meta_set_u32(meta, cases[i].key, (uint32_t)cases[i].v, NULL) == EL_OK); break;
        case F32: CHECK(el_meta_set_f32(meta, cases[i].key, (float)cases[i].v, NULL) == EL_OK); break;
        case BOOL: CHECK(el_meta_set_bool(meta, cases[i].key, cases[i].v != 0, NULL) == EL_OK); break;
        case STR: CHECK(el_meta_set_str(meta, cases[i].key, cases[i].s, strlen(cases[i].s), NULL) == EL_OK); break;
        }
        const enum el_status status = open_model(source, &err);
        if (status != cases[i].status || !strstr(err.text, cases[i].says))
            test_fail(__FILE__, __LINE__, "%s, %s = %g: got %d '%s', want %d '%s'", cases[i].variant, cases[i].key, cases[i].v,
                      (int)status, err.text, (int)cases[i].status, cases[i].says);
        el_source_close(source);
    }
}

/* A tensor that goes, or comes back with other dimensions. */
TEST(families, wrong_tensors)
{
    static const struct {
        const char *variant, *tensor;
        uint64_t dims[2]; /* {0}: it goes */
        const char *says;
    } cases[] = {
        {"qwen3", "blk.1.attn_q_norm.weight", {0}, "'blk.1.attn_q_norm.weight' is missing"},
        {"qwen3", "blk.1.attn_k_norm.weight", {8}, "'blk.1.attn_k_norm.weight' is 8, should be 16"},
        {"qwen3", "blk.0.attn_q_norm.weight", {4, 16}, "'blk.0.attn_q_norm.weight' is 4 x 16, should be 16"},
        {"stablelm", "blk.0.attn_q_norm.weight", {8}, "'blk.0.attn_q_norm.weight' is 8, should be 4 x 8"},
        {"stablelm", "blk.1.attn_k_norm.weight", {0}, "'blk.1.attn_k_norm.weight' is missing"},
        {"stablelm", "blk.1.ffn_norm.weight", {0}, "'blk.1.ffn_norm.weight' is missing"},
        {"starcoder2", "blk.1.ffn_norm.bias", {0}, "'blk.1.ffn_norm.bias' is missing"},
        {"gpt2", "blk.0.attn_qkv.weight", {32, 64}, "'blk.0.attn_qkv.weight' is 32 x 64, should be 64 x 32"},
        {"gpt2", "position_embd.weight", {0}, "'position_embd.weight' is missing"},
        {"opt with projections", "output_proj.weight", {32, 16}, "'output_proj.weight' is 32 x 16, should be 16 x 32"},
        {"opt with projections", "token_embd_proj.weight", {0}, "'token_embd_proj.weight' is missing"},
        {"opt with post-norm", "blk.1.layer_output_norm.bias", {0}, "'blk.1.layer_output_norm.bias' is missing"},
        {"granite", "blk.1.attn_v.bias", {0}, "'blk.1.attn_v.bias' is missing"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct el_source *const source = mem_source_random(cases[i].variant, false, 4);
        struct el_err err = {.code = EL_OK};
        mem_source_remove(source, cases[i].tensor);
        if (cases[i].dims[0])
            mem_source_add(source, cases[i].tensor, cases[i].dims[1] ? 2 : 1, cases[i].dims);
        const enum el_status status = open_model(source, &err);
        if (status != EL_E_FORMAT || !strstr(err.text, cases[i].says))
            test_fail(__FILE__, __LINE__, "%s, %s: got %d '%s', want '%s'", cases[i].variant, cases[i].tensor, (int)status,
                      err.text, cases[i].says);
        el_source_close(source);
    }
}

/* What a family's config.json cannot say. */
TEST(families, unwritable_configs)
{
    static const struct {
        const char *variant, *key, *says;
        float v; /* 0: as it is */
    } cases[] = {
        {"gpt2", NULL, "2 key/value heads: a GPT2 config can say only 4", 0},
        {"opt", NULL, "2 key/value heads: an OPT config can say only 4", 0},
        {"opt", "opt.attention.layer_norm_epsilon", "an OPT config can say only 1e-05", 1e-6f},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct el_source *const source = mem_source_random(cases[i].variant, false, 5);
        struct el_meta *const meta = mem_source_meta(source);
        const struct el_arch *const arch = el_arch_of_meta(meta, NULL);
        struct el_err err = {.code = EL_OK};
        struct el_buf json;
        REQUIRE(arch);
        el_buf_init(&json);
        if (cases[i].key)
            CHECK(el_meta_set_f32(meta, cases[i].key, cases[i].v, NULL) == EL_OK);
        CHECK_EQ_INT(el_arch_write_config(arch, meta, mem_source_roles(source, arch), "float32", &json, &err), EL_E_UNSUPPORTED);
        if (!strstr(err.text, cases[i].says))
            test_fail(__FILE__, __LINE__, "%s: '%s', want '%s'", cases[i].variant, err.text, cases[i].says);
        el_buf_release(&json);
        el_source_close(source);
    }
}

/* Metadata that have the factors of long scaling without the tensors, or only one of them, which alone is another model. */
TEST(families, factors_of_long_scaling_are_all_there)
{
    static const char *const keys[] = {"phi3.rope.scaling.short_factor", "phi3.rope.scaling.long_factor"};
    static const char *const tensors[] = {"rope_factors_short.weight", "rope_factors_long.weight"};
    static const float factors[] = {1, 2, 3};
    static const uint64_t dims[] = {3};
    struct el_source *const source = mem_source_random("phi3", false, 9);
    for (int n = 0; n <= 2; n++) {
        struct el_err err = {.code = EL_OK};
        for (int i = 0; n == 0 && i < 2; i++)
            CHECK(el_meta_set_array(mem_source_meta(source), keys[i], EL_META_F32, factors, 3, NULL) == EL_OK);
        if (n == 2) /* what others say of it, and changes nothing */
            CHECK(el_meta_set_str(mem_source_meta(source), "phi3.rope.scaling.type", "longrope", 8, NULL) == EL_OK);
        if (n > 0)
            memcpy(mem_source_add(source, tensors[n - 1], 1, dims), factors, sizeof factors);
        CHECK_EQ_INT(open_model(source, &err), n == 2 ? EL_OK : EL_E_FORMAT);
        if (n < 2 &&
            (!strstr(err.text, n ? "1 problem" : "2 problems") || !strstr(err.text, "rope_factors_long.weight' is missing")))
            test_fail(__FILE__, __LINE__, "with %d: '%s'", n, err.text);
    }
    el_source_close(source);
}

static void logits_of(struct el_source *source, float logits[40])
{
    struct el_err err;
    struct el_model *model = NULL;
    struct el_session *session = NULL;
    const struct el_session_opts opts = {.n_ctx = 8, .kv_type_k = "f32", .kv_type_v = "f32", .n_threads = 1};
    struct el_row rows[8];
    for (uint32_t i = 0; i < 8; i++)
        rows[i] = (struct el_row){(int32_t)(3 * i + 1), 0, i, i == 7};
    REQUIRE_OK(el_model_open(source, NULL, &model, &err), err);
    REQUIRE_OK(el_session_open(model, &opts, &session, &err), err);
    REQUIRE_OK(el_session_decode(session, rows, 8, &err), err);
    memcpy(logits, el_session_logits(session, 7), 40 * sizeof *logits);
    el_session_close(session);
    el_model_close(model);
}

/* llama.cpp's converter says "parallel" of StableLM models that are not; the tensors decide. */
TEST(families, stablelm_goes_by_its_tensors)
{
    float a[40], b[40];
    for (int parallel = 0; parallel < 2; parallel++) {
        struct el_source *const source = mem_source_random(parallel ? "stablelm parallel" : "stablelm", false, 6);
        logits_of(source, a);
        CHECK(el_meta_set_bool(mem_source_meta(source), "stablelm.use_parallel_residual", !parallel, NULL) == EL_OK);
        logits_of(source, b);
        CHECK(memcmp(a, b, sizeof a) == 0);
        el_source_close(source);
    }
}

/* What GGUF may leave out means what llama.cpp takes it for. */
TEST(families, granite_without_multipliers_is_llama)
{
    static const char *const keys[] = {"granite.attention.scale", "granite.embedding_scale", "granite.residual_scale",
                                       "granite.logit_scale"};
    struct el_source *const source = mem_source_random("granite", false, 7);
    struct el_meta *const meta = mem_source_meta(source);
    const struct el_arch *const arch = el_arch_of_meta(meta, NULL);
    struct el_hparams hp;
    struct el_err err = {.code = EL_OK};
    struct el_buf json;
    for (int i = 0; i < 4; i++)
        el_meta_remove(meta, keys[i]);
    CHECK_OK(el_arch_hparams(arch, meta, &hp, &err), err);
    CHECK(hp.attn_scale == (float)(1 / sqrt(8.0)) && hp.embd_scale == 1 && hp.residual_scale == 1 && hp.logit_scale == 1);
    el_buf_init(&json);
    CHECK_OK(el_arch_write_config(arch, meta, mem_source_roles(source, arch), "float32", &json, &err), err);
    CHECK(strstr(json.data, "\"attention_multiplier\": 0.35355338") != NULL);
    el_buf_release(&json);
    el_source_close(source);
}

static const char *family_at(size_t i)
{
    size_t n = 0;
    while (el_arch_at(n))
        n++;
    return i < n ? el_arch_at(i)->name : mem_source_variant(i - n);
}

/* Opens and decodes; EL_OK also for logits that are not finite, which is what a strange epsilon may give. */
static enum el_status try_model(struct el_source *source, struct el_err *err)
{
    struct el_model *model = NULL;
    struct el_session *session = NULL;
    const struct el_session_opts opts = {.n_ctx = 4, .n_threads = 1};
    struct el_row rows[4];
    for (uint32_t i = 0; i < 4; i++)
        rows[i] = (struct el_row){0, 0, i, i == 3};
    enum el_status status = el_model_open(source, NULL, &model, err);
    if (status == EL_OK)
        status = el_session_open(model, &opts, &session, err);
    if (status == EL_OK && el_session_decode(session, rows, 4, err) == EL_E_USAGE)
        status = EL_E_USAGE;
    el_session_close(session);
    el_model_close(model);
    return status;
}

/*
 * Buffers are laid out by hyperparameters and layers take what tensors there are: whatever a file says of any family, key by
 * key, the two fit each other or the model is refused.
 */
TEST(families, no_key_makes_buffers_that_do_not_fit)
{
    static const char *const keys[] = {"expert_count",
                                       "expert_used_count",
                                       "expert_feed_forward_length",
                                       "expert_shared_feed_forward_length",
                                       "expert_weights_norm",
                                       "attention.head_count",
                                       "attention.head_count_kv",
                                       "attention.key_length",
                                       "attention.value_length",
                                       "attention.sliding_window",
                                       "attention.sliding_window_first_layer",
                                       "attention.sliding_window_pattern",
                                       "attention.query_pre_attn_scalar",
                                       "rope.dimension_count",
                                       "rope.freq_base_swa",
                                       "rope.scaling.original_context_length",
                                       "rope.llama3.factor",
                                       "embedding_length",
                                       "word_embedding_length",
                                       "feed_forward_length",
                                       "block_count",
                                       "context_length",
                                       "vocab_size",
                                       "pre_norm",
                                       "no_output_norm"};
    static const uint32_t values[] = {0, 1, 2, 7, 64};
    enum { N_KEYS = sizeof keys / sizeof keys[0], N_VALUES = sizeof values / sizeof values[0] };
    unsigned n_fit = 0, n_refused = 0;
    for (size_t i = 0; family_at(i); i++) {
        struct el_source *const source = mem_source_random(family_at(i), i % 2, 8);
        struct el_meta *const meta = mem_source_meta(source);
        const char *gguf_arch = NULL;
        char key[128];
        REQUIRE(el_meta_get_str_or(meta, "general.architecture", &gguf_arch, NULL) == EL_OK && gguf_arch);
        for (int k = 0; k < 2; k++) { /* the other keys of experts, for families that have none */
            snprintf(key, sizeof key, "%s.%s", gguf_arch, k ? "expert_used_count" : "expert_feed_forward_length");
            if (el_meta_find(meta, key) == SIZE_MAX && strcmp(family_at(i), "olmoe") != 0 && strcmp(family_at(i), "mixtral") != 0)
                CHECK(el_meta_set_u32(meta, key, 1, NULL) == EL_OK);
        }
        struct el_meta *const before = el_meta_copy(meta);
        REQUIRE(before);
        for (size_t k = 0; k < N_KEYS * N_VALUES; k++) {
            struct el_err err = {.code = EL_OK};
            snprintf(key, sizeof key, "%s.%s", gguf_arch, keys[k / N_VALUES]);
            const bool is_bool = strstr(key, "norm") != NULL;
            CHECK((is_bool ? el_meta_set_bool(meta, key, values[k % N_VALUES] % 2, NULL)
                           : el_meta_set_u32(meta, key, values[k % N_VALUES], NULL)) == EL_OK);
            const enum el_status status = try_model(source, &err);
            n_fit += status == EL_OK;
            n_refused += status == EL_E_FORMAT || status == EL_E_UNSUPPORTED;
            if (status != EL_OK && status != EL_E_FORMAT && status != EL_E_UNSUPPORTED)
                test_fail(__FILE__, __LINE__, "%s, %s = %u: %d '%s'", family_at(i), key, values[k % N_VALUES], (int)status,
                          err.text);
            const size_t at = el_meta_find(before, key);
            el_meta_remove(meta, key);
            if (at != SIZE_MAX)
                CHECK(el_meta_set_from(meta, key, before, at, NULL) == EL_OK);
        }
        el_meta_free(before);
        el_source_close(source);
    }
    CHECK(n_fit > 500 && n_refused > 500);
}
