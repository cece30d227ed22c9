/* Plans: the rules of llama-quantize's mixes, options and their order, fallbacks, what is stored, and what is refused. */
#include "quant/mixes.h"
#include "quant/plan.h"
#include "test.h"
#include "unit/mock_model.h"

#include "base/mem.h"

/* A model of the llama kind; n_in is the width of every matrix but ffn_down's, which is twice that. */
static struct el_source *llama(uint32_t n_layers, uint32_t n_heads, uint32_t n_kv_heads, uint32_t n_experts, bool tied,
                               uint64_t n_in)
{
    struct el_source *const s = mock_source("llama", n_layers, n_heads, n_kv_heads, n_experts);
    mock_add(s, "token_embd.weight", 8, n_in, NULL);
    mock_add(s, "output_norm.weight", 0, n_in, NULL);
    if (!tied)
        mock_add(s, "output.weight", 8, n_in, NULL);
    /* Last layer first: plans must not depend on the order in the file. */
    for (uint32_t l = n_layers; l-- > 0;) {
        static const char *const names[] = {"attn_norm", "attn_q", "attn_k", "attn_v", "attn_output", "ffn_down"};
        for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
            char name[64];
            snprintf(name, sizeof name, "blk.%u.%s.weight", l, names[i]);
            mock_add(s, name, i == 0 ? 0 : 2, i == 5 ? 2 * n_in : n_in, NULL);
        }
    }
    return s;
}

static struct el_plan *plan_of(const struct el_source *s, const struct el_plan_opts *opts)
{
    struct el_err err = {0};
    struct el_plan *plan = NULL;
    if (el_plan_make(s, opts, &plan, &err) != EL_OK)
        test_fail(__FILE__, __LINE__, "plan: %s", err.text);
    return plan;
}

static const char *type_of(const struct el_plan *plan, const char *name)
{
    const size_t i = el_source_find(plan->source, name);
    return i == SIZE_MAX ? "(no such tensor)" : el_plan_row(plan, i).to;
}

static const char *type_in_layer(const struct el_plan *plan, uint32_t layer, const char *what)
{
    char name[64];
    snprintf(name, sizeof name, "blk.%u.%s.weight", layer, what);
    return type_of(plan, name);
}

TEST(plan, q4_k_m_gives_more_bits_to_some_layers)
{
    struct el_source *const s = llama(32, 32, 8, 0, false, 256);
    struct el_plan *const plan = plan_of(s, &(struct el_plan_opts){.type = "q4_k_m"});
    REQUIRE(plan != NULL);
    CHECK_EQ_STR(type_of(plan, "output.weight"), "Q6_K");
    CHECK_EQ_STR(type_of(plan, "token_embd.weight"), "Q4_K");
    CHECK_EQ_STR(type_of(plan, "output_norm.weight"), "F32");
    /* What llama-quantize gives a model of 32 layers. */
    static const uint32_t more[] = {0, 1, 2, 3, 6, 9, 12, 15, 18, 21, 24, 27, 28, 29, 30, 31};
    for (uint32_t l = 0; l < 32; l++) {
        bool is_more = false;
        for (size_t i = 0; i < sizeof more / sizeof more[0]; i++)
            is_more = is_more || more[i] == l;
        CHECK_EQ_STR(type_in_layer(plan, l, "attn_v"), is_more ? "Q6_K" : "Q4_K");
        CHECK_EQ_STR(type_in_layer(plan, l, "ffn_down"), is_more ? "Q6_K" : "Q4_K");
        CHECK_EQ_STR(type_in_layer(plan, l, "attn_q"), "Q4_K");
        CHECK_EQ_STR(type_in_layer(plan, l, "attn_k"), "Q4_K");
        CHECK_EQ_STR(type_in_layer(plan, l, "attn_output"), "Q4_K");
        CHECK_EQ_STR(type_in_layer(plan, l, "attn_norm"), "F32");
    }
    CHECK_EQ_INT(plan->ftype, 15);
    el_plan_free(plan);
    el_source_close(s);
}

TEST(plan, q4_k_s_and_q5_k_mixes)
{
    struct el_source *const s = llama(16, 32, 8, 0, false, 256);
    struct el_plan *const plan = plan_of(s, &(struct el_plan_opts){.type = "Q4_K_S"});
    struct el_plan *const small5 = plan_of(s, &(struct el_plan_opts){.type = "Q5_K_S"});
    struct el_plan *const medium5 = plan_of(s, &(struct el_plan_opts){.type = "17"});
    REQUIRE(plan && small5 && medium5);
    for (uint32_t l = 0; l < 16; l++) {
        CHECK_EQ_STR(type_in_layer(plan, l, "attn_v"), l < 4 ? "Q5_K" : "Q4_K");
        CHECK_EQ_STR(type_in_layer(plan, l, "ffn_down"), l < 2 ? "Q5_K" : "Q4_K");
        CHECK_EQ_STR(type_in_layer(small5, l, "ffn_down"), "Q5_K");
        CHECK_EQ_STR(type_in_layer(medium5, l, "ffn_down"), l < 2 || l >= 14 || (l - 2) % 3 == 2 ? "Q6_K" : "Q5_K");
    }
    CHECK_EQ_STR(type_of(small5, "output.weight"), "Q6_K");
    CHECK_EQ_INT(plan->ftype, 14);
    CHECK_EQ_INT(small5->ftype, 16);
    CHECK_EQ_INT(medium5->ftype, 17);
    el_plan_free(plan);
    el_plan_free(small5);
    el_plan_free(medium5);
    el_source_close(s);
}

TEST(plan, simple_types_follow_the_same_rules)
{
    static const struct {
        const char *type, *most, *output;
        int ftype;
    } cases[] = {{"Q4_0", "Q4_0", "Q6_K", 2},    {"Q8_0", "Q8_0", "Q8_0", 7},  {"Q6_K", "Q6_K", "Q6_K", 18},
                 {"F16", "F16", "F16", 1},       {"BF16", "BF16", "BF16", 32}, {"F32", "F32", "F32", 0},
                 {"G4_64", "G4_64", "Q6_K", -1}, {"Q4_K", "Q4_K", "Q6_K", 15}};
    struct el_source *const s = llama(8, 8, 8, 0, false, 256);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct el_plan *const plan = plan_of(s, &(struct el_plan_opts){.type = cases[i].type});
        REQUIRE(plan != NULL);
        CHECK_EQ_STR(type_in_layer(plan, 3, "attn_q"), cases[i].most);
        CHECK_EQ_STR(type_of(plan, "token_embd.weight"), cases[i].most);
        CHECK_EQ_STR(type_of(plan, "output.weight"), cases[i].output);
        CHECK_EQ_INT(plan->ftype, cases[i].ftype);
        el_plan_free(plan);
    }
    el_source_close(s);
}

TEST(plan, tied_embeddings_are_treated_as_output)
{
    struct el_source *const s = llama(2, 4, 4, 0, true, 256);
    struct el_plan *plan = plan_of(s, &(struct el_plan_opts){.type = "Q4_0"});
    CHECK_EQ_STR(type_of(plan, "token_embd.weight"), "Q6_K");
    el_plan_free(plan);
    plan = plan_of(s, &(struct el_plan_opts){.type = "Q4_0", .output_type = "Q8_0"});
    CHECK_EQ_STR(type_of(plan, "token_embd.weight"), "Q8_0");
    el_plan_free(plan);
    plan = plan_of(s, &(struct el_plan_opts){.type = "Q4_0", .output_type = "Q8_0", .embedding_type = "F16"});
    CHECK_EQ_STR(type_of(plan, "token_embd.weight"), "F16");
    el_plan_free(plan);
    el_source_close(s);
}

TEST(plan, eight_experts_keep_attention_precise)
{
    struct el_source *const s = llama(8, 8, 2, 8, false, 256);
    mock_add(s, "blk.0.ffn_gate_inp.weight", 8, 256, "F16");
    mock_add(s, "blk.7.ffn_down_exps.weight", 8, 256, NULL);
    mock_add(s, "blk.5.ffn_down_exps.weight", 8, 256, NULL);
    struct el_plan *const plan = plan_of(s, &(struct el_plan_opts){.type = "Q4_K_M"});
    REQUIRE(plan != NULL);
    CHECK_EQ_STR(type_in_layer(plan, 2, "attn_v"), "Q8_0");
    CHECK_EQ_STR(type_in_layer(plan, 2, "attn_k"), "Q8_0");
    CHECK_EQ_STR(type_in_layer(plan, 2, "attn_output"), "Q5_K");
    CHECK_EQ_STR(type_in_layer(plan, 2, "attn_q"), "Q4_K");
    CHECK_EQ_STR(type_of(plan, "blk.0.ffn_gate_inp.weight"), "F32");
    /* The layer is that of the name: 7 is in the last eighth, 5 is not. */
    CHECK_EQ_STR(type_of(plan, "blk.7.ffn_down_exps.weight"), "Q6_K");
    CHECK_EQ_STR(type_of(plan, "blk.5.ffn_down_exps.weight"), "Q4_K");
    el_plan_free(plan);
    el_source_close(s);
}

TEST(plan, seventy_billion)
{
    struct el_source *const s = mock_source("llama", 80, 64, 8, 0), *const full = mock_source("llama", 80, 64, 64, 0);
    struct el_source *const qwen = mock_source("qwen2", 80, 64, 64, 0);
    mock_add(s, "blk.11.attn_v.weight", 2, 256, NULL);
    CHECK(el_mix_model_read(s->meta).is_70b);
    CHECK(!el_mix_model_read(full->meta).is_70b);
    CHECK(el_mix_model_read(qwen->meta).is_70b);
    struct el_plan *const plan = plan_of(s, &(struct el_plan_opts){.type = "Q4_K_M"});
    struct el_mix_state state = {.n_attn_v = 11};
    const struct el_mix_model model = {.n_layers = 80, .is_70b = true, .n_attn_v = 80};
    const struct el_mix_tensor v11 = {"blk.11.attn_v.weight", 256, false}, v12 = {"blk.12.attn_v.weight", 256, false};
    CHECK_EQ_STR(el_mix_choose(el_mix_by_name("Q4_K_M"), &model, &state, &v11, 256), "Q5_K");
    CHECK_EQ_STR(el_mix_choose(el_mix_by_name("Q4_K_M"), &model, &state, &v12, 256), "Q6_K");
    CHECK_EQ_INT(state.n_attn_v, 13);
    el_plan_free(plan);
    el_source_close(s);
    el_source_close(full);
    el_source_close(qwen);
}

/* What llama-quantize gives models of 16 layers, with few and with many query heads to a value head. */
TEST(plan, small_mixes)
{
    static const struct {
        const char *type;
        int ftype;
        const char *v[2], *down[2], *out, *most, *embd; /* v: without and with sharing; down: layers 0 and 8 */
    } cases[] = {
        {"Q2_K", 10, {"Q3_K", "Q4_K"}, {"Q3_K", "Q3_K"}, "Q3_K", "Q2_K", "Q2_K"},
        {"Q2_K_S", 21, {"Q2_K", "Q4_K"}, {"Q4_K", "Q2_K"}, "Q2_K", "Q2_K", "Q2_K"},
        {"Q3_K_S", 11, {"Q3_K", "Q3_K"}, {"Q3_K", "Q3_K"}, "Q3_K", "Q3_K", "Q3_K"},
        {"Q3_K_M", 12, {"Q5_K", "Q5_K"}, {"Q5_K", "Q4_K"}, "Q4_K", "Q3_K", "Q3_K"},
        {"Q3_K", 12, {"Q5_K", "Q5_K"}, {"Q5_K", "Q4_K"}, "Q4_K", "Q3_K", "Q3_K"},
        {"Q3_K_L", 13, {"Q5_K", "Q5_K"}, {"Q5_K", "Q5_K"}, "Q5_K", "Q3_K", "Q3_K"},
        {"IQ4_NL", 25, {"IQ4_NL", "Q5_K"}, {"Q5_K", "IQ4_NL"}, "IQ4_NL", "IQ4_NL", "IQ4_NL"},
        {"IQ4_XS", 30, {"IQ4_XS", "Q5_K"}, {"Q5_K", "IQ4_XS"}, "IQ4_XS", "IQ4_XS", "IQ4_XS"},
        {"TQ1_0", 36, {"TQ1_0", "TQ1_0"}, {"TQ1_0", "TQ1_0"}, "TQ1_0", "TQ1_0", "Q4_K"},
        {"TQ2_0", 37, {"TQ2_0", "TQ2_0"}, {"TQ2_0", "TQ2_0"}, "TQ2_0", "TQ2_0", "Q4_K"},
        {"Q2_0", 41, {"Q2_0", "Q2_0"}, {"Q2_0", "Q2_0"}, "Q2_0", "Q2_0", "Q4_K"},
        {"Q1_0", 40, {"Q1_0", "Q1_0"}, {"Q1_0", "Q1_0"}, "Q1_0", "Q1_0", "Q1_0"},
        {"Q4_1", 3, {"Q4_1", "Q4_1"}, {"Q4_1", "Q4_1"}, "Q4_1", "Q4_1", "Q4_1"},
        {"Q5_1", 9, {"Q5_1", "Q5_1"}, {"Q5_1", "Q5_1"}, "Q5_1", "Q5_1", "Q5_1"},
    };
    for (int shared = 0; shared < 2; shared++) {
        struct el_source *const s = llama(16, 8, shared ? 2 : 8, 0, false, 256);
        for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
            struct el_plan *const plan = plan_of(s, &(struct el_plan_opts){.type = cases[i].type});
            REQUIRE(plan != NULL);
            CHECK_EQ_STR(type_in_layer(plan, 0, "attn_v"), cases[i].v[shared]);
            CHECK_EQ_STR(type_in_layer(plan, 0, "ffn_down"), cases[i].down[0]);
            CHECK_EQ_STR(type_in_layer(plan, 8, "ffn_down"), cases[i].down[1]);
            CHECK_EQ_STR(type_in_layer(plan, 3, "attn_output"), cases[i].out);
            CHECK_EQ_STR(type_in_layer(plan, 3, "attn_q"), cases[i].most);
            CHECK_EQ_STR(type_in_layer(plan, 3, "attn_k"), cases[i].most);
            CHECK_EQ_STR(type_of(plan, "token_embd.weight"), cases[i].embd);
            CHECK_EQ_STR(type_of(plan, "output.weight"), "Q6_K");
            CHECK_EQ_INT(plan->ftype, cases[i].ftype);
            el_plan_free(plan);
        }
        el_source_close(s);
    }
    struct el_source *const eight = llama(16, 8, 8, 8, false, 256);
    struct el_plan *const m = plan_of(eight, &(struct el_plan_opts){.type = "Q3_K_M"});
    struct el_plan *const l = plan_of(eight, &(struct el_plan_opts){.type = "Q3_K_L"});
    REQUIRE(m && l);
    CHECK_EQ_STR(type_in_layer(m, 3, "attn_output"), "Q5_K");
    CHECK_EQ_STR(type_in_layer(l, 3, "attn_output"), "Q3_K");
    CHECK_EQ_STR(type_in_layer(l, 3, "attn_v"), "Q8_0");
    el_plan_free(m);
    el_plan_free(l);
    el_source_close(eight);
}

TEST(plan, mxfp4_is_for_experts)
{
    struct el_source *const s = llama(2, 8, 8, 4, true, 256);
    static const char *const names[] = {"blk.0.ffn_up_exps.weight", "blk.1.ffn_up_exps.weight"};
    for (int i = 0; i < 2; i++) { /* [4, 8, 256], a stack, and [1, 32, 256] */
        struct el_tensor *const t = mock_add(s, names[i], 32, 256, NULL);
        t->n_dims = 3;
        t->dims[0] = i == 0 ? 4 : 1;
        t->dims[1] = 32 / t->dims[0];
        t->dims[2] = 256;
    }
    struct el_plan *const plan = plan_of(s, &(struct el_plan_opts){.type = "MXFP4_MOE"});
    REQUIRE(plan != NULL);
    CHECK_EQ_STR(type_of(plan, "token_embd.weight"), "Q8_0");
    CHECK_EQ_STR(type_in_layer(plan, 0, "attn_v"), "Q8_0");
    CHECK_EQ_STR(type_of(plan, "blk.0.ffn_up_exps.weight"), "MXFP4");
    CHECK_EQ_STR(type_of(plan, "blk.1.ffn_up_exps.weight"), "Q8_0");
    CHECK_EQ_INT(plan->ftype, 38);
    el_plan_free(plan);
    el_source_close(s);
}

/* What llama-quantize --imatrix gives the mixes with codebooks: 16 layers, 2 query heads to a key head. */
TEST(plan, mixes_of_codebooks)
{
    static const struct {
        const char *type, *most, *q, *v, *out, *down0, *down, *embedding, *output;
        int ftype;
    } cases[] = {{"IQ1_S", "IQ1_S", "IQ1_S", "Q2_K", "IQ2_XXS", "Q2_K", "IQ1_S", "Q2_K", "Q5_K", 24},
                 {"IQ1_M", "IQ1_M", "IQ1_M", "Q2_K", "IQ2_XXS", "Q2_K", "IQ1_M", "Q2_K", "Q5_K", 31},
                 {"IQ2_XXS", "IQ2_XXS", "IQ2_XXS", "Q2_K", "IQ2_XXS", "Q2_K", "IQ2_XXS", "Q2_K", "Q5_K", 19},
                 {"iq2_xs", "IQ2_XS", "IQ2_XS", "Q2_K", "IQ2_XS", "Q2_K", "IQ2_XS", "Q2_K", "Q5_K", 20},
                 {"IQ2_S", "IQ2_XS", "IQ2_XS", "IQ3_S", "IQ3_S", "IQ3_S", "IQ2_XS", "IQ3_S", "Q5_K", 28},
                 {"IQ2_M", "IQ2_S", "IQ2_S", "IQ3_S", "IQ3_S", "IQ3_S", "IQ2_S", "IQ3_S", "Q5_K", 29},
                 {"IQ3_XXS", "IQ3_XXS", "IQ2_S", "IQ3_S", "IQ3_S", "Q4_K", "Q3_K", "IQ3_S", "Q5_K", 23},
                 {"IQ3_XS", "IQ3_S", "IQ3_XXS", "IQ3_S", "IQ3_S", "IQ3_S", "IQ3_S", "IQ3_S", "Q6_K", 22},
                 {"IQ3_S", "IQ3_S", "IQ3_S", "IQ3_S", "IQ3_S", "IQ3_S", "IQ3_S", "IQ3_S", "Q6_K", 26},
                 {"27", "IQ3_S", "IQ3_S", "Q4_K", "Q4_K", "Q4_K", "IQ3_S", "IQ3_S", "Q6_K", 27}};
    struct el_source *const s = llama(16, 8, 4, 0, false, 256);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct el_plan *const plan = plan_of(s, &(struct el_plan_opts){.type = cases[i].type});
        REQUIRE(plan != NULL);
        CHECK_EQ_STR(type_in_layer(plan, 3, "attn_q"), cases[i].q);
        CHECK_EQ_STR(type_in_layer(plan, 3, "attn_k"), cases[i].q);
        CHECK_EQ_STR(type_in_layer(plan, 3, "attn_v"), cases[i].v);
        CHECK_EQ_STR(type_in_layer(plan, 3, "attn_output"), cases[i].out);
        CHECK_EQ_STR(type_in_layer(plan, 0, "ffn_down"), cases[i].down0);
        CHECK_EQ_STR(type_in_layer(plan, 9, "ffn_down"), cases[i].down);
        CHECK_EQ_STR(type_of(plan, "token_embd.weight"), cases[i].embedding);
        CHECK_EQ_STR(type_of(plan, "output.weight"), cases[i].output);
        CHECK_EQ_INT(plan->ftype, cases[i].ftype);
        el_plan_free(plan);
    }
    el_source_close(s);
}

TEST(plan, pure_is_uniform)
{
    struct el_source *const s = llama(8, 8, 2, 8, false, 256);
    struct el_plan *const plan = plan_of(s, &(struct el_plan_opts){.type = "Q4_K_M", .pure = true});
    REQUIRE(plan != NULL);
    for (size_t i = 0; i < el_plan_n_rows(plan); i++)
        CHECK_EQ_STR(el_plan_row(plan, i).to, s->tensors[i].n_rows > 1 ? "Q4_K" : "F32");
    el_plan_free(plan);
    el_source_close(s);
}

TEST(plan, options_in_their_order)
{
    struct el_source *const s = llama(4, 8, 2, 0, false, 256);
    static const char *const types[] = {"BLK\\.1\\..*=Q8_0", "attn_(q|k)=Q6_K", "\\d\\.attn_v=F16", "output=G3_32", "token=Q4_0"};
    const struct el_plan_opts opts = {
        .type = "Q4_K_M", .output_type = "F16", .embedding_type = "BF16", .tensor_types = types, .n_tensor_types = 5};
    struct el_plan *plan = plan_of(s, &opts);
    REQUIRE(plan != NULL);
    CHECK_EQ_STR(type_of(plan, "output.weight"), "F16");
    CHECK_EQ_STR(type_of(plan, "token_embd.weight"), "BF16");
    CHECK_EQ_STR(type_in_layer(plan, 1, "attn_q"), "Q8_0"); /* the first that matches */
    CHECK_EQ_STR(type_in_layer(plan, 2, "attn_q"), "Q6_K");
    CHECK_EQ_STR(type_in_layer(plan, 2, "attn_k"), "Q6_K");
    CHECK_EQ_STR(type_in_layer(plan, 2, "attn_v"), "F16");
    CHECK_EQ_STR(type_in_layer(plan, 2, "attn_output"), "G3_32");
    CHECK_EQ_STR(type_in_layer(plan, 1, "attn_norm"), "F32"); /* no vector is quantized */
    CHECK_EQ_STR(el_plan_row(plan, el_source_find(s, "blk.2.attn_q.weight")).method, "search");
    CHECK_EQ_STR(el_plan_row(plan, el_source_find(s, "blk.2.attn_v.weight")).method, "convert");
    CHECK_EQ_STR(el_plan_row(plan, el_source_find(s, "output_norm.weight")).method, "copy");
    el_plan_free(plan);
    plan = plan_of(s, &(struct el_plan_opts){.type = "Q4_0", .leave_output = true, .method = "rtn"});
    REQUIRE(plan != NULL);
    CHECK_EQ_STR(type_of(plan, "output.weight"), "F32");
    CHECK_EQ_STR(el_plan_row(plan, 0).method, "rtn");
    el_plan_free(plan);
    el_source_close(s);
}

TEST(plan, rows_that_no_block_fits)
{
    static const struct {
        const char *type;
        uint64_t n_in;
        const char *to;
        bool fallback;
    } cases[] = {
        {"Q4_K", 256, "Q4_K", false}, {"Q4_K", 96, "Q5_0", true}, {"Q6_K", 100, "F16", true},  {"Q6_K", 160, "Q8_0", true},
        {"Q5_0", 33, "F16", true},    {"Q8_0", 40, "F16", true},  {"Q4_0", 33, "F16", true},   {"G4_32", 33, "G4_32", false},
        {"F16", 33, "F16", false},    {"Q5_K", 64, "Q5_1", true}, {"Q3_K", 64, "Q4_0", true},  {"IQ4_XS", 32, "IQ4_NL", true},
        {"TQ2_0", 96, "Q4_0", true},  {"Q2_0", 96, "Q4_0", true}, {"Q1_0", 192, "Q4_0", true}, {"Q4_1", 33, "F16", true}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct el_source *const s = mock_source("llama", 1, 1, 1, 0);
        mock_add(s, "blk.0.ffn_up.weight", 3, cases[i].n_in, NULL);
        struct el_plan *const plan = plan_of(s, &(struct el_plan_opts){.type = cases[i].type});
        REQUIRE(plan != NULL);
        const struct el_plan_row row = el_plan_row(plan, 0);
        CHECK_EQ_STR(row.to, cases[i].to);
        CHECK_EQ_INT(row.fallback != NULL, cases[i].fallback);
        uint64_t nbytes = 0;
        CHECK(el_enc_nbytes(&plan->entries[0].to, 3, cases[i].n_in, &nbytes) && nbytes == row.nbytes);
        if (row.fallback) {
            char want[96];
            struct el_enc asked;
            REQUIRE(el_enc_parse(cases[i].type, &asked, NULL) == EL_OK);
            snprintf(want, sizeof want, "rows of %d are no multiple of %d for %s", (int)cases[i].n_in, (int)asked.e->block_n,
                     cases[i].type);
            CHECK_EQ_STR(row.fallback, want);
        }
        el_plan_free(plan);
        el_source_close(s);
    }
    /* The output of a model whose rows are no multiple of 256 is Q8_0 by rule, not by fallback. */
    struct el_source *const s = llama(1, 1, 1, 0, false, 96);
    struct el_plan *const plan = plan_of(s, &(struct el_plan_opts){.type = "Q4_K_M"});
    REQUIRE(plan != NULL);
    CHECK_EQ_STR(type_of(plan, "output.weight"), "Q8_0");
    CHECK(el_plan_row(plan, el_source_find(s, "output.weight")).fallback == NULL);
    el_plan_free(plan);
    el_source_close(s);
}

TEST(plan, conversion)
{
    struct el_source *const s = mock_source("llama", 1, 1, 1, 0);
    mock_add(s, "token_embd.weight", 8, 256, "Q4_K");
    mock_add(s, "blk.0.attn_norm.weight", 0, 256, "BF16");
    mock_add(s, "blk.0.attn_q.bias", 0, 256, "F16");
    mock_add(s, "blk.0.attn_q.weight", 8, 256, "BF16");
    mock_add(s, "blk.0.ffn_gate_inp.weight", 8, 256, "BF16");
    struct el_plan *const plan = plan_of(s, &(struct el_plan_opts){.type = "bf16", .for_convert = true});
    REQUIRE(plan != NULL);
    static const char *const want[] = {"BF16", "F32", "F32", "BF16", "F32"};
    static const char *const methods[] = {"convert", "convert", "convert", "copy", "convert"};
    for (size_t i = 0; i < 5; i++) {
        CHECK_EQ_STR(el_plan_row(plan, i).to, want[i]);
        CHECK_EQ_STR(el_plan_row(plan, i).method, methods[i]);
    }
    struct el_meta *const meta = el_meta_copy(s->meta);
    struct el_err err = {0};
    REQUIRE_OK(el_plan_store(plan, meta, &err), err);
    CHECK_EQ_INT(el_meta_int(meta, el_meta_find(meta, "general.file_type"), 0), 32);
    CHECK(el_meta_find(meta, "edgellm.plan") == SIZE_MAX);
    el_meta_free(meta);
    el_plan_free(plan);
    el_source_close(s);
}

TEST(plan, is_stored)
{
    struct el_source *const s = mock_source("llama", 1, 1, 1, 0);
    struct el_err err = {0};
    mock_add(s, "blk.0.ffn_up.weight", 3, 96, NULL);
    mock_add(s, "blk.0.ffn_norm.weight", 0, 96, NULL);
    struct el_plan *const plan = plan_of(s, &(struct el_plan_opts){.type = "Q4_K"});
    struct el_meta *const meta = el_meta_copy(s->meta);
    REQUIRE(plan && meta);
    REQUIRE_OK(el_plan_store(plan, meta, &err), err);
    const size_t at = el_meta_find(meta, "edgellm.plan");
    REQUIRE(at != SIZE_MAX);
    CHECK_EQ_INT(el_meta_n_elems(meta, at), 2);
    CHECK_EQ_STR(el_meta_str(meta, at, 0, NULL),
                 "blk.0.ffn_up.weight Q5_0 search fallback: rows of 96 are no multiple of 256 for Q4_K");
    CHECK_EQ_STR(el_meta_str(meta, at, 1, NULL), "blk.0.ffn_norm.weight F32 copy");
    CHECK_EQ_INT(el_meta_int(meta, el_meta_find(meta, "general.file_type"), 0), 15);
    CHECK_EQ_INT(el_meta_int(meta, el_meta_find(meta, "general.quantization_version"), 0), 2);
    el_plan_free(plan);

    /* A type that llama.cpp has no number for leaves none behind; COPY leaves everything. */
    struct el_plan *const group = plan_of(s, &(struct el_plan_opts){.type = "G4_32"});
    struct el_plan *const copy = plan_of(s, &(struct el_plan_opts){.type = "copy"});
    REQUIRE(group && copy);
    REQUIRE_OK(el_plan_store(copy, meta, &err), err);
    CHECK(el_meta_find(meta, "general.file_type") != SIZE_MAX);
    CHECK_EQ_STR(el_plan_row(copy, 0).method, "copy");
    REQUIRE_OK(el_plan_store(group, meta, &err), err);
    CHECK(el_meta_find(meta, "general.file_type") == SIZE_MAX);
    el_plan_free(group);
    el_plan_free(copy);
    el_meta_free(meta);
    el_source_close(s);
}

TEST(plan, requantizing_must_be_allowed)
{
    struct el_source *const s = mock_source("llama", 1, 1, 1, 0);
    mock_add(s, "blk.0.ffn_up.weight", 3, 256, "Q4_K");
    mock_add(s, "blk.0.ffn_gate.weight", 3, 256, "Q8_0");
    struct el_err err = {0};
    struct el_plan *plan = NULL;
    CHECK_EQ_INT(el_plan_make(s, &(struct el_plan_opts){.type = "Q4_K"}, &plan, &err), EL_E_USAGE);
    CHECK(strstr(err.text, "blk.0.ffn_gate.weight") && strstr(err.text, "Q8_0"));
    CHECK(plan == NULL);
    plan = plan_of(s, &(struct el_plan_opts){.type = "Q4_K", .allow_requantize = true});
    REQUIRE(plan != NULL);
    CHECK_EQ_STR(el_plan_row(plan, 0).method, "copy");
    CHECK_EQ_STR(el_plan_row(plan, 1).method, "search");
    el_plan_free(plan);
    el_source_close(s);
}

TEST(plan, what_is_refused)
{
    static const char *const magic[] = {"attn=magic"}, *const gptq[] = {"attn=gptq"}, *const nothing[] = {""};
    static const char *const no_eq[] = {"attn"}, *const no_regex[] = {"=Q4_0"}, *const bad_type[] = {"a=Q9"},
                             *const bad_regex[] = {"(=F16"};
    const struct {
        struct el_plan_opts opts;
        const char *text;
    } cases[] = {
        {{.type = "Q9_K"}, "unknown type 'Q9_K', known are F32, "},
        {{.type = "99"}, "unknown type '99'"},
        {{.type = "Q4_0", .output_type = "x"}, "output type: unknown encoding 'x'"},
        {{.type = "Q4_0", .embedding_type = "Q4_K_M"}, "embedding type: unknown encoding"},
        {{.type = "Q4_0", .method = "magic"},
         "unknown method 'magic', known are search, imatrix, rtn, mse, hqq, clip, gptq, adaround, and before one of them with a "
         "'+' "
         "quarot, awq, smoothquant"},
        {{.type = "Q4_0", .method = "gptq"}, "method 'gptq' needs statistics"},
        {{.type = "Q4_0", .how = {.damping = -1.0}}, "damping -1: must be from 0"},
        {{.type = "Q4_0", .how = {.order = "odd"}}, "order 'odd': must be group, act or none"},
        {{.type = "F16", .method = "rtn"}, "method 'rtn': there is nothing to choose in F16"},
        {{.type = "Q4_0", .tensor_types = no_eq, .n_tensor_types = 1}, "tensor type 'attn': must be REGEX=TYPE"},
        {{.type = "Q4_0", .tensor_types = no_regex, .n_tensor_types = 1}, "must be REGEX=TYPE"},
        {{.type = "Q4_0", .tensor_types = bad_type, .n_tensor_types = 1}, "tensor type: unknown encoding 'Q9'"},
        {{.type = "Q4_0", .tensor_types = bad_regex, .n_tensor_types = 1}, "tensor type '(=F16': not a valid pattern"},
        {{.type = "Q4_0", .tensor_methods = no_eq, .n_tensor_methods = 1}, "method 'attn': must be REGEX=NAME"},
        {{.type = "Q4_0", .tensor_methods = magic, .n_tensor_methods = 1}, "unknown method 'magic'"},
        {{.type = "Q4_0", .tensor_methods = gptq, .n_tensor_methods = 1}, "method 'gptq' needs statistics"},
        {{.type = "Q4_0", .skips = bad_regex, .n_skips = 1}, "skip '(=F16': not a valid pattern"},
        {{.type = "Q4_0", .skips = nothing, .n_skips = 1}, "skip '': must be a pattern"},
        {{.type = "COPY", .skips = no_eq, .n_skips = 1}, "COPY changes no tensor"},
        {{.type = "COPY", .pure = true}, "COPY changes no tensor"},
        {{.type = "Q4_0", .for_convert = true}, "a conversion writes F32, F16 or BF16"},
        {{.type = "Q4_0", .leave_output = true, .output_type = "F16"}, "the output is to be left"},
    };
    struct el_source *const s = llama(1, 1, 1, 0, false, 256);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct el_err err = {0};
        struct el_plan *plan = NULL;
        CHECK_EQ_INT(el_plan_make(s, &cases[i].opts, &plan, &err), EL_E_USAGE);
        CHECK(plan == NULL);
        if (!strstr(err.text, cases[i].text))
            test_fail(__FILE__, __LINE__, "got '%s', want '%s'", err.text, cases[i].text);
    }
    el_source_close(s);
}

TEST(plan, out_of_memory_is_reported)
{
    struct el_source *const s = llama(2, 1, 1, 0, false, 96);
    static const char *const types[] = {"attn=Q8_0"};
    const struct el_plan_opts opts = {.type = "Q4_K_M", .tensor_types = types, .n_tensor_types = 1};
    bool done = false;
    for (uint64_t n = 1; n < 200 && !done; n++) {
        struct el_plan *plan = NULL;
        struct el_err err = {0};
        el_mem_fail_after(n);
        const enum el_status status = el_plan_make(s, &opts, &plan, &err);
        el_mem_fail_after(0);
        CHECK(status == EL_OK || status == EL_E_MEMORY);
        CHECK((plan != NULL) == (status == EL_OK));
        done = status == EL_OK;
        el_plan_free(plan);
    }
    CHECK(done);
    el_source_close(s);
}

TEST(plan, tables)
{
    const char *about = NULL;
    CHECK_EQ_STR(el_plan_mix_name(0, &about), "F32");
    CHECK(about != NULL);
    size_t n = 0;
    while (el_plan_mix_name(n, NULL))
        n++;
    CHECK(n >= 10 && el_mix_at(n) == NULL);
    CHECK(el_plan_mix_name(n, &about) == NULL && about == NULL);
    CHECK_EQ_STR(el_method_at(0)->name, "search");
    CHECK(el_method_by_name("rtn") && !el_method_by_name("RTN"));
    CHECK_EQ_STR(el_mix_by_name("15")->name, "Q4_K_M");
    CHECK(el_mix_by_name("Q4_K_X") == NULL && el_mix_by_name("") == NULL);
    CHECK_EQ_INT(el_mix_layer("blk.12.attn_q.weight"), 12);
    CHECK_EQ_INT(el_mix_layer("blk.x.attn_q.weight"), -1);
    CHECK_EQ_INT(el_mix_layer("blk.12"), -1);
    CHECK_EQ_INT(el_mix_layer("output.weight"), -1);
    CHECK(el_mix_before("blk.2.a", "blk.10.a") && !el_mix_before("blk.10.a", "blk.2.a") && el_mix_before("output", "blk.0.a"));
    static const char *const never[] = {"blk.0.attn_norm.weight", "blk.0.attn_q.bias", "blk.0.ffn_gate_inp.weight",
                                        "position_embd.weight"};
    for (size_t i = 0; i < 4; i++)
        CHECK(!el_mix_quantizes(never[i], 100));
    CHECK(el_mix_quantizes("blk.0.attn_q.weight", 2) && !el_mix_quantizes("blk.0.attn_q.weight", 1));
}

TEST(plan, methods_and_skips_by_pattern)
{
    static const char *const methods[] = {"ATTN_Q=rtn", "attn=hqq"}, *const skips[] = {"attn_v", "blk.0.attn_norm"};
    struct el_source *const s = llama(1, 1, 1, 0, false, 256);
    struct el_plan *const plan = plan_of(
        s, &(struct el_plan_opts){
               .type = "Q4_0", .method = "mse", .tensor_methods = methods, .n_tensor_methods = 2, .skips = skips, .n_skips = 2});
    REQUIRE(plan != NULL);
    static const char *const want[][2] = {{"blk.0.attn_q.weight", "rtn"},      {"blk.0.attn_k.weight", "hqq"},
                                          {"blk.0.attn_output.weight", "hqq"}, {"blk.0.attn_v.weight", "copy"},
                                          {"blk.0.ffn_down.weight", "mse"},    {"blk.0.attn_norm.weight", "copy"}};
    for (size_t i = 0; i < sizeof want / sizeof want[0]; i++)
        CHECK_EQ_STR(el_plan_row(plan, el_source_find(s, want[i][0])).method, want[i][1]);
    CHECK_EQ_STR(type_of(plan, "blk.0.attn_v.weight"), "F32");
    el_plan_free(plan);
    el_source_close(s);
}

/* A plan against what was written: other types, tensors that are missing. */
TEST(plan, is_compared_with_what_was_written)
{
    struct el_source *const s = llama(1, 1, 1, 0, false, 256), *const written = mock_source("llama", 1, 1, 1, 0);
    struct el_plan *const plan = plan_of(s, &(struct el_plan_opts){.type = "Q4_0", .pure = true});
    struct el_err err = {0};
    REQUIRE(plan != NULL);
    CHECK_EQ_INT(el_plan_check(plan, s, &err), EL_E_FORMAT);
    CHECK(strstr(err.text, "tensor 'token_embd.weight': is F32, the plan says Q4_0"));
    CHECK_EQ_INT(el_plan_check(plan, written, &err), EL_E_FORMAT);
    CHECK(strstr(err.text, "0 tensors, the plan has 9"));
    for (size_t i = s->n_tensors; i-- > 0;) /* in another order */
        mock_add(written, s->tensors[i].name, s->tensors[i].n_dims > 1 ? s->tensors[i].dims[0] : 0, s->tensors[i].n_in,
                 el_plan_row(plan, i).to);
    CHECK_OK(el_plan_check(plan, written, &err), err);
    char last[64];
    snprintf(last, sizeof last, "%s", written->tensors[0].name);
    el_free((void *)(uintptr_t)written->tensors[0].name);
    written->tensors[0].name = written->tensors[0].file_name = el_strdup("other");
    CHECK_EQ_INT(el_plan_check(plan, written, &err), EL_E_FORMAT);
    CHECK(strstr(err.text, "of the plan is missing") && strstr(err.text, last));
    el_plan_free(plan);
    el_source_close(written);
    el_source_close(s);
}
