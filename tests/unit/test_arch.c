/* Architectures without a forward pass: look-up, names, hyperparameters and their limits, config.json both ways, RoPE scaling. */
#include <math.h>

#include "base/json.h"
#include "base/mem.h"
#include "edgellm.h"
#include "model/arch.h"
#include "model/rope.h"
#include "tensor/meta.h"
#include "test.h"

static const struct el_arch *arch_named(const char *name)
{
    for (size_t i = 0; el_arch_at(i); i++)
        if (strcmp(el_arch_at(i)->name, name) == 0)
            return el_arch_at(i);
    return NULL;
}

/* Metadata of a config text, NULL with *err when it is refused. */
static struct el_meta *read_config(const char *text, const struct el_arch **arch, struct el_err *err)
{
    struct el_json_doc *doc = NULL;
    struct el_meta *meta = el_meta_new();
    *arch = NULL;
    *err = (struct el_err){.code = EL_OK};
    if (el_json_parse(text, strlen(text), "config.json", &doc, err) == EL_OK)
        *arch = el_arch_of_config(el_json_root(doc), err);
    if (!*arch || el_arch_read_config(*arch, el_json_root(doc), meta, err) != EL_OK) {
        el_meta_free(meta);
        meta = NULL;
    }
    el_json_free(doc);
    return meta;
}

static bool same_meta(const struct el_meta *a, const struct el_meta *b)
{
    if (el_meta_count(a) != el_meta_count(b))
        return false;
    for (size_t i = 0; i < el_meta_count(a); i++) {
        const size_t j = el_meta_find(b, el_meta_key(a, i));
        if (j == SIZE_MAX || el_meta_type(a, i) != el_meta_type(b, j))
            return false;
        size_t na = 0, nb = 0;
        if (el_meta_type(a, i) == EL_META_STR) {
            const char *const sa = el_meta_str(a, i, 0, &na), *const sb = el_meta_str(b, j, 0, &nb);
            if (na != nb || memcmp(sa, sb, na) != 0)
                return false;
        } else if (el_meta_float(a, i, 0) != el_meta_float(b, j, 0)) {
            return false;
        }
    }
    return true;
}

TEST(arch, table)
{
    CHECK(el_arch_at(0) && el_arch_at(3) && !el_arch_at(99));
    const char *const names[] = {"llama", "mixtral", "qwen2", "gpt_bigcode", "mistral",
                                 "qwen3", "granite", "gpt2",  "opt",         "stablelm"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        CHECK(arch_named(names[i]) != NULL);
}

TEST(arch, of_meta)
{
    struct el_meta *const m = el_meta_new();
    struct el_err err;
    CHECK(el_arch_of_meta(m, &err) == NULL && err.code == EL_E_FORMAT && strstr(err.text, "general.architecture"));
    el_meta_set_str(m, "general.architecture", "mamba", 5, NULL);
    CHECK(el_arch_of_meta(m, &err) == NULL && err.code == EL_E_UNSUPPORTED);
    const char says[] = "general.architecture is 'mamba', known are llama, qwen2, ";
    CHECK(strncmp(err.text, says, sizeof says - 1) == 0);
    el_meta_set_u32(m, "general.architecture", 1, NULL);
    CHECK(el_arch_of_meta(m, &err) == NULL && err.code == EL_E_FORMAT);
    el_meta_set_str(m, "general.architecture", "llama", 5, NULL);
    CHECK(el_arch_of_meta(m, &err) == arch_named("llama"));
    el_meta_set_u32(m, "llama.expert_count", 0, NULL);
    CHECK(el_arch_of_meta(m, &err) == arch_named("llama"));
    el_meta_set_u32(m, "llama.expert_count", 8, NULL);
    CHECK(el_arch_of_meta(m, &err) == arch_named("mixtral"));
    /* Mistral's files are llama's too: told by the window, or by our own key. */
    el_meta_set_u32(m, "llama.attention.sliding_window", 4096, NULL);
    CHECK(el_arch_of_meta(m, &err) == arch_named("mixtral"));
    el_meta_set_u32(m, "llama.expert_count", 0, NULL);
    CHECK(el_arch_of_meta(m, &err) == arch_named("mistral"));
    el_meta_set_u32(m, "llama.attention.sliding_window", 0, NULL);
    CHECK(el_arch_of_meta(m, &err) == arch_named("llama"));
    el_meta_set_str(m, "edgellm.family", "mistral", 7, NULL);
    CHECK(el_arch_of_meta(m, &err) == arch_named("mistral"));
    el_meta_free(m);
}

TEST(arch, of_config)
{
    const struct {
        const char *text, *name, *says;
    } cases[] = {
        {"{\"architectures\": [\"LlamaForCausalLM\"], \"model_type\": \"qwen2\"}", "llama", NULL},
        {"{\"model_type\": \"gpt_bigcode\"}", "gpt_bigcode", NULL},
        {"{\"architectures\": [], \"model_type\": \"mixtral\"}", "mixtral", NULL},
        {"{\"architectures\": [\"MambaForCausalLM\"], \"model_type\": \"llama\"}", NULL,
         "architectures names 'MambaForCausalLM', known are"},
        {"{\"model_type\": \"mamba\"}", NULL, "model_type is 'mamba'"},
        {"{}", NULL, "neither architectures nor model_type"},
        {"[]", NULL, "neither"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct el_json_doc *doc = NULL;
        struct el_err err = {.code = EL_OK};
        REQUIRE_OK(el_json_parse(cases[i].text, strlen(cases[i].text), "config.json", &doc, &err), err);
        const struct el_arch *const arch = el_arch_of_config(el_json_root(doc), &err);
        if (cases[i].name)
            CHECK_EQ_STR(arch ? arch->name : "none", cases[i].name);
        else
            CHECK(!arch && strstr(err.text, cases[i].says));
        el_json_free(doc);
    }
}

TEST(arch, rules_by_name)
{
    const struct el_arch *const a = arch_named("llama");
    uint32_t layer = 99;
    CHECK_EQ_INT(el_arch_rule(a, "blk.31.attn_q.weight", &layer)->role, EL_R_ATTN_Q);
    CHECK_EQ_INT(layer, 31);
    CHECK_EQ_INT(el_arch_rule(a, "output.weight", NULL)->role, EL_R_OUTPUT);
    CHECK_EQ_INT(el_arch_rule(a, "blk.0.attn_q.bias", NULL)->role, EL_R_ATTN_Q_B);
    CHECK_EQ_INT(el_arch_rule(a, "blk.4294967295.attn_q.weight", &layer)->role, EL_R_ATTN_Q);
    const char *const none[] = {"",
                                "blk",
                                "blk.",
                                "blk..attn_q.weight",
                                "blk.01.attn_q.weight",
                                "blk.-1.attn_q.weight",
                                "blk.1.attn_q.weigh",
                                "blk.1.attn_q.weight.codes",
                                "blk.4294967296.attn_q.weight",
                                "blk.99999999999999999999999.attn_q.weight",
                                "output.weightx"};
    for (size_t i = 0; i < sizeof none / sizeof none[0]; i++)
        CHECK(el_arch_rule(a, none[i], &layer) == NULL);
}

/* No two rules of a family share a role or a name, and every family has what binding relies on. */
TEST(arch, tables_are_sound)
{
    for (size_t i = 0; el_arch_at(i); i++) {
        const struct el_arch *const a = el_arch_at(i);
        uint64_t roles = 0;
        for (const struct el_tensor_rule *r = a->tensors; r->gguf; r++) {
            CHECK(!(roles & UINT64_C(1) << r->role));
            roles |= UINT64_C(1) << r->role;
            CHECK(el_arch_rule(a, r->gguf, NULL) == ((r->flags & EL_TF_LAYER) ? NULL : r));
            CHECK(((r->flags & EL_TF_LAYER) != 0) == (strstr(r->gguf, "%u") != NULL));
        }
        CHECK(roles & UINT64_C(1) << EL_R_TOKEN_EMBD && roles & UINT64_C(1) << EL_R_OUTPUT &&
              roles & UINT64_C(1) << EL_R_OUTPUT_NORM);
        CHECK(a->embed && a->block && a->head && a->hparams && a->hf_classes[0]);
    }
}

TEST(arch, row_orders)
{
    const struct el_arch *const llama = arch_named("llama"), *const bigcode = arch_named("gpt_bigcode");
    struct el_hparams hp = {.n_heads = 8, .n_kv_heads = 2, .d_head = 16};
    struct el_row_order o = el_arch_gguf_order(llama, el_arch_rule(llama, "blk.0.attn_q.weight", NULL), &hp);
    CHECK(o.kind == EL_ROWS_ROPE_PAIRS && o.n_heads == 8 && o.head_rows == 16);
    o = el_arch_gguf_order(llama, el_arch_rule(llama, "blk.0.attn_k.bias", NULL), &hp);
    CHECK(o.kind == EL_ROWS_ROPE_PAIRS && o.n_heads == 2);
    o = el_arch_gguf_order(llama, el_arch_rule(llama, "blk.0.attn_v.weight", NULL), &hp);
    CHECK(o.kind == EL_ROWS_CANONICAL);
    o = el_arch_gguf_order(arch_named("qwen2"), el_arch_rule(arch_named("qwen2"), "blk.0.attn_q.weight", NULL), &hp);
    CHECK(o.kind == EL_ROWS_CANONICAL);
    o = el_arch_hf_order(llama, el_arch_rule(llama, "blk.0.attn_q.weight", NULL), &hp);
    CHECK(o.kind == EL_ROWS_CANONICAL);
    const struct el_tensor_rule *const qkv = el_arch_rule(bigcode, "blk.0.attn_qkv.weight", NULL);
    CHECK(el_arch_hf_order(bigcode, qkv, &hp).kind == EL_ROWS_CANONICAL);
    hp.n_kv_heads = 8;
    o = el_arch_hf_order(bigcode, qkv, &hp);
    CHECK(o.kind == EL_ROWS_QKV_BY_HEAD && o.n_heads == 8 && o.head_rows == 16);
    CHECK(el_arch_gguf_order(bigcode, qkv, &hp).kind == EL_ROWS_CANONICAL);
}

/* ---- hyperparameters ---- */

static struct el_meta *toy_meta(void)
{
    struct el_meta *const m = el_meta_new();
    el_meta_set_str(m, "general.architecture", "llama", 5, NULL);
    el_meta_set_u32(m, "llama.block_count", 2, NULL);
    el_meta_set_u32(m, "llama.embedding_length", 64, NULL);
    el_meta_set_u32(m, "llama.feed_forward_length", 96, NULL);
    el_meta_set_u32(m, "llama.context_length", 128, NULL);
    el_meta_set_u32(m, "llama.vocab_size", 100, NULL);
    el_meta_set_u32(m, "llama.attention.head_count", 4, NULL);
    el_meta_set_f32(m, "llama.attention.layer_norm_rms_epsilon", 1e-5f, NULL);
    return m;
}

TEST(hparams, defaults)
{
    struct el_meta *const m = toy_meta();
    struct el_hparams hp = {0};
    struct el_err err;
    CHECK_OK(el_arch_hparams(arch_named("llama"), m, &hp, &err), err);
    CHECK(hp.n_kv_heads == 4 && hp.d_head == 16 && hp.n_rot == 16 && hp.n_experts == 0 && hp.window == 0);
    CHECK(hp.rope_theta == 10000.0f && hp.rope_scaling == EL_ROPE_PLAIN);
    CHECK_EQ_INT(el_dim_size(EL_D_QKV, &hp), 192);
    CHECK_EQ_INT(el_dim_size(EL_D_NONE, &hp), 1);
    /* Without vocab_size the tokens are counted; the old name of the linear factor still works. */
    const char *const tokens[] = {"a", "b", "c"};
    el_meta_remove(m, "llama.vocab_size");
    el_meta_set_str_array(m, "tokenizer.ggml.tokens", tokens, NULL, 3, NULL);
    el_meta_set_f32(m, "llama.rope.scale_linear", 4, NULL);
    hp = (struct el_hparams){0};
    CHECK_OK(el_arch_hparams(arch_named("llama"), m, &hp, &err), err);
    CHECK(hp.n_vocab == 3 && hp.rope_scaling == EL_ROPE_LINEAR && hp.rope_factor == 4);
    el_meta_set_str(m, "llama.rope.scaling.type", "none", 4, NULL);
    hp = (struct el_hparams){0};
    CHECK_OK(el_arch_hparams(arch_named("llama"), m, &hp, &err), err);
    CHECK(hp.rope_scaling == EL_ROPE_PLAIN);
    el_meta_free(m);
}

TEST(hparams, refuse_what_cannot_be)
{
    enum kind { U32, F32, STR, GONE };
    const struct {
        const char *key;
        enum kind kind;
        double v;
        const char *s;
        enum el_status status;
    } bad[] = {
        {"block_count", U32, 0, NULL, EL_E_FORMAT},
        {"block_count", U32, 4097, NULL, EL_E_FORMAT},
        {"block_count", U32, 4294967295.0, NULL, EL_E_FORMAT},
        {"block_count", GONE, 0, NULL, EL_E_FORMAT},
        {"block_count", STR, 0, "two", EL_E_FORMAT},
        {"embedding_length", U32, 0, NULL, EL_E_FORMAT},
        {"embedding_length", U32, 62, NULL, EL_E_FORMAT},
        {"embedding_length", U32, 1 << 21, NULL, EL_E_FORMAT},
        {"feed_forward_length", U32, 0, NULL, EL_E_FORMAT},
        {"feed_forward_length", GONE, 0, NULL, EL_E_FORMAT},
        {"context_length", U32, 0, NULL, EL_E_FORMAT},
        {"context_length", U32, 4294967295.0, NULL, EL_E_FORMAT},
        {"vocab_size", U32, 0, NULL, EL_E_FORMAT},
        {"vocab_size", U32, 1 << 23, NULL, EL_E_FORMAT},
        {"vocab_size", GONE, 0, NULL, EL_E_FORMAT},
        {"attention.head_count", U32, 0, NULL, EL_E_FORMAT},
        {"attention.head_count", U32, 3, NULL, EL_E_FORMAT},
        {"attention.head_count", U32, 1 << 20, NULL, EL_E_FORMAT},
        {"attention.head_count_kv", U32, 0, NULL, EL_E_FORMAT},
        {"attention.head_count_kv", U32, 3, NULL, EL_E_FORMAT},
        {"attention.head_count_kv", U32, 8, NULL, EL_E_FORMAT},
        {"attention.key_length", U32, 0, NULL, EL_E_FORMAT},
        {"attention.key_length", U32, 100000, NULL, EL_E_FORMAT},
        {"attention.value_length", U32, 8, NULL, EL_E_UNSUPPORTED},
        {"attention.layer_norm_rms_epsilon", GONE, 0, NULL, EL_E_FORMAT},
        {"attention.layer_norm_rms_epsilon", F32, (double)NAN, NULL, EL_E_FORMAT},
        {"attention.layer_norm_rms_epsilon", F32, -1e-5, NULL, EL_E_FORMAT},
        {"attention.layer_norm_rms_epsilon", F32, (double)INFINITY, NULL, EL_E_FORMAT},
        {"rope.freq_base", F32, 0, NULL, EL_E_FORMAT},
        {"rope.freq_base", F32, -1, NULL, EL_E_FORMAT},
        {"rope.freq_base", F32, (double)INFINITY, NULL, EL_E_FORMAT},
        {"rope.freq_base", F32, (double)NAN, NULL, EL_E_FORMAT},
        {"rope.dimension_count", U32, 0, NULL, EL_E_FORMAT},
        {"rope.dimension_count", U32, 18, NULL, EL_E_FORMAT},
        {"rope.dimension_count", U32, 15, NULL, EL_E_FORMAT},
        {"rope.dimension_count", U32, 8, NULL, EL_E_UNSUPPORTED},
        {"rope.scaling.factor", F32, 0, NULL, EL_E_FORMAT},
        {"rope.scaling.factor", F32, (double)NAN, NULL, EL_E_FORMAT},
        {"rope.scaling.type", STR, 0, "yarn", EL_E_UNSUPPORTED},
        {"rope.llama3.factor", F32, -1, NULL, EL_E_FORMAT},
        {"rope.llama3.factor", F32, 0, NULL, EL_E_FORMAT},
        {"expert_count", U32, 5000, NULL, EL_E_FORMAT},
        {"expert_count", U32, 8, NULL, EL_E_UNSUPPORTED}, /* buffers would be as wide as experts, and the MLP is wider */
        {"rope.scaling.type", STR, 0, "longrope", EL_E_UNSUPPORTED},
        {"rope.scaling.attn_factor", F32, 1.25, NULL, EL_E_UNSUPPORTED},
        {"rope.scaling.attn_factor", F32, 0, NULL, EL_E_FORMAT},
        {"expert_group_count", U32, 2, NULL, EL_E_UNSUPPORTED},
        {"attention.causal", STR, 0, "no", EL_E_FORMAT},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct el_meta *const m = toy_meta();
        struct el_hparams hp = {0};
        struct el_err err = {.code = EL_OK};
        char key[128];
        snprintf(key, sizeof key, "llama.%s", bad[i].key);
        switch (bad[i].kind) {
        case U32: el_meta_set_u32(m, key, (uint32_t)bad[i].v, NULL); break;
        case F32: el_meta_set_f32(m, key, (float)bad[i].v, NULL); break;
        case STR: el_meta_set_str(m, key, bad[i].s, strlen(bad[i].s), NULL); break;
        case GONE: el_meta_remove(m, key); break;
        }
        const enum el_status status = el_arch_hparams(arch_named("llama"), m, &hp, &err);
        if (status != bad[i].status)
            test_fail(__FILE__, __LINE__, "%s = %g: status %d, want %d: %s", key, bad[i].v, (int)status, (int)bad[i].status,
                      err.text);
        const char *const last = strrchr(key, '.') + 1;
        if (strcmp(bad[i].key, "expert_count") != 0 && strcmp(bad[i].key, "embedding_length") != 0 && !strstr(err.text, last) &&
            bad[i].status == EL_E_FORMAT)
            test_fail(__FILE__, __LINE__, "'%s' does not name %s", err.text, last);
        el_meta_free(m);
    }
}

TEST(hparams, other_families)
{
    struct el_meta *const m = toy_meta();
    struct el_hparams hp = {0};
    struct el_err err = {.code = EL_OK};
    CHECK_EQ_INT(el_arch_hparams(arch_named("mixtral"), m, &hp, &err), EL_E_FORMAT);
    el_meta_set_u32(m, "llama.expert_count", 4, NULL);
    CHECK_EQ_INT(el_arch_hparams(arch_named("mixtral"), m, &hp, &err), EL_E_FORMAT);
    CHECK(strstr(err.text, "expert_used_count is 0, allowed are 1 to the 4 experts") != NULL);
    el_meta_set_u32(m, "llama.expert_used_count", 5, NULL);
    CHECK_EQ_INT(el_arch_hparams(arch_named("mixtral"), m, &hp, &err), EL_E_FORMAT);
    CHECK(strstr(err.text, "expert_used_count is 5, allowed are 1 to the 4 experts") != NULL);
    el_meta_set_u32(m, "llama.expert_used_count", 4, NULL);
    CHECK_OK(el_arch_hparams(arch_named("mixtral"), m, &hp, &err), err);
    el_meta_set_f32(m, "llama.rope.llama3.factor", 8, NULL);
    el_meta_set_f32(m, "llama.rope.scaling.factor", 2, NULL);
    CHECK_EQ_INT(el_arch_hparams(arch_named("mixtral"), m, &hp, &err), EL_E_FORMAT);
    el_meta_remove(m, "llama.rope.scaling.factor");
    el_meta_set_f32(m, "llama.rope.llama3.low_freq_factor", 4, NULL);
    CHECK_EQ_INT(el_arch_hparams(arch_named("mixtral"), m, &hp, &err), EL_E_FORMAT);
    el_meta_remove(m, "llama.rope.llama3.low_freq_factor");
    /* What makes another model of it in llama.cpp; said the other way it changes nothing. */
    el_meta_set_bool(m, "llama.attention.causal", true, NULL);
    el_meta_set_u32(m, "llama.expert_group_count", 1, NULL);
    el_meta_set_f32(m, "llama.rope.scaling.attn_factor", 1, NULL);
    el_meta_set_u32(m, "llama.expert_shared_feed_forward_length", 1 << 24, NULL); /* no memory for what no tensor fills */
    CHECK_OK(el_arch_hparams(arch_named("mixtral"), m, &hp, &err), err);
    CHECK_EQ_INT(hp.n_ff_shexp, 0);
    el_meta_set_bool(m, "llama.attention.causal", false, NULL);
    CHECK_EQ_INT(el_arch_hparams(arch_named("mixtral"), m, &hp, &err), EL_E_UNSUPPORTED);
    CHECK_EQ_STR(err.text, "llama.attention.causal is false: attention to later positions");
    el_meta_free(m);
}

/* What a GGUF file of llama.cpp leaves out. */
TEST(hparams, what_other_programs_leave_out)
{
    struct el_hparams hp = {0};
    struct el_err err = {.code = EL_OK};
    static const struct {
        const char *arch, *key;
        double v; /* of the key, which is then set */
        enum el_status code;
        const char *says;
    } cases[] = {
        {"qwen3moe", "expert_count", 4, EL_OK, ""},
        {"olmoe", "expert_count", 0, EL_E_FORMAT, "olmoe.expert_count is 0"},
        {"qwen2moe", "expert_count", 4, EL_E_FORMAT, "no qwen2moe.expert_shared_feed_forward_length"},
        {"phi3", "rope.scaling.attn_factor", -1, EL_E_FORMAT, "phi3.rope.scaling.attn_factor is -1"},
        {"phi3", "rope.scaling.original_context_length", 0, EL_E_FORMAT, "original_context_length"},
        {"gemma2", "attn_logit_softcapping", -1, EL_E_FORMAT, "gemma2.attn_logit_softcapping is -1, allowed are 0 for none"},
        {"gemma2", "final_logit_softcapping", 0, EL_OK, ""},
        {"gemma2", "attention.sliding_window_pattern", 0, EL_E_FORMAT, "sliding_window_pattern"},
        {"gemma2", "attention.query_pre_attn_scalar", 0, EL_E_FORMAT, "query_pre_attn_scalar"},
        {"gemma2", "block_count", 46, EL_OK, ""},
        {"gemma3", "rope.freq_base_swa", 0, EL_OK, ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct el_arch *const arch = arch_named(cases[i].arch);
        struct el_meta *const toy = toy_meta(), *const m = el_meta_new();
        char key[128];
        REQUIRE(toy && m && arch);
        for (size_t k = 0; k < el_meta_count(toy); k++) {
            const char *const name = el_meta_key(toy, k), *const dot = strchr(name, '.');
            snprintf(key, sizeof key, "%s%s", strncmp(name, "llama.", 6) == 0 ? arch->gguf_arch : "x", dot);
            el_meta_set_from(m, key, toy, k, NULL);
        }
        snprintf(key, sizeof key, "%s.expert_used_count", arch->gguf_arch);
        el_meta_set_u32(m, key, 2, NULL);
        snprintf(key, sizeof key, "%s.%s", arch->gguf_arch, cases[i].key);
        if (cases[i].v == (double)(uint32_t)cases[i].v && cases[i].v >= 0)
            el_meta_set_u32(m, key, (uint32_t)cases[i].v, NULL);
        else
            el_meta_set_f32(m, key, (float)cases[i].v, NULL);
        CHECK_EQ_INT(el_arch_hparams(arch, m, &hp, &err), cases[i].code);
        if (cases[i].code != EL_OK && !strstr(err.text, cases[i].says))
            test_fail(__FILE__, __LINE__, "'%s' does not say %s", err.text, cases[i].says);
        if (i == 0)
            CHECK(!hp.experts_as_they_are && hp.n_ff_exp == hp.n_ff);
        if (i == 6)
            CHECK(hp.window == 4096 && hp.window_every == 2 && hp.attn_cap == 50 && hp.logit_cap == 0 && hp.attn_scale == 0.25f);
        if (i == 9) /* the 27B model: 64 columns in 4 heads, whose width is said apart in real files */
            CHECK(hp.attn_scale == (float)(1 / sqrt(64.0 / 4)));
        if (i == 10) /* no window: one kind of layer */
            CHECK(hp.window == 0 && hp.rope_theta_local == 0);
        el_meta_free(m);
        el_meta_free(toy);
    }
}

/* ---- config.json ---- */

#define SIZES      "\"vocab_size\": 100, \"hidden_size\": 64, \"num_hidden_layers\": 2, \"num_attention_heads\": 4"
#define GRANITE    "{\"architectures\": [\"GraniteForCausalLM\"], \"intermediate_size\": 96, " SIZES
#define QWEN3      "{\"architectures\": [\"Qwen3ForCausalLM\"], \"intermediate_size\": 96, \"num_key_value_heads\": 2, " SIZES
#define MISTRAL    "{\"architectures\": [\"MistralForCausalLM\"], \"intermediate_size\": 96, \"num_key_value_heads\": 2, " SIZES
#define GPT2       "{\"architectures\": [\"GPT2LMHeadModel\"], \"vocab_size\": 100, \"n_embd\": 64, \"n_layer\": 2, "
#define OPT_CONFIG "{\"architectures\": [\"OPTForCausalLM\"], \"ffn_dim\": 96, " SIZES
#define STARCODER2 "{\"model_type\": \"starcoder2\", \"intermediate_size\": 96, " SIZES
#define STABLELM   "{\"model_type\": \"stablelm\", \"intermediate_size\": 96, \"num_key_value_heads\": 2, " SIZES
#define MOE(arch)  "{\"architectures\": [\"" arch "ForCausalLM\"], \"intermediate_size\": 96, \"num_key_value_heads\": 2, " SIZES
#define PHI3       "{\"architectures\": [\"Phi3ForCausalLM\"], \"intermediate_size\": 96, " SIZES
#define FACTORS                                                                                                                  \
    "\"short_factor\": [1, 1.05, 1.1, 1.25, 1.5, 2, 3, 4.5], \"long_factor\": [1.5, 2, 3, 4, 5.75, 10, 20.25, "                  \
    "47.770000457763672]"
#define GEMMA(arch) "{\"architectures\": [\"" arch "ForCausalLM\"], \"intermediate_size\": 96, " SIZES
static const char *const configs[] = {
    "{\"architectures\": [\"LlamaForCausalLM\"], \"vocab_size\": 100, \"hidden_size\": 64, \"num_hidden_layers\": 2, "
    "\"intermediate_size\": 96, \"num_attention_heads\": 4, \"num_key_value_heads\": 2, \"rms_norm_eps\": 1e-05, \"rope_theta\": "
    "500000.0, "
    "\"max_position_embeddings\": 131072, \"head_dim\": 32, \"rope_scaling\": {\"rope_type\": \"llama3\", \"factor\": 8.0, "
    "\"low_freq_factor\": 1.0, \"high_freq_factor\": 4.0, \"original_max_position_embeddings\": 8192}}",
    "{\"architectures\": [\"LlamaForCausalLM\"], \"vocab_size\": 100, \"hidden_size\": 64, \"num_hidden_layers\": 2, "
    "\"intermediate_size\": 96, \"num_attention_heads\": 4, \"rope_scaling\": {\"type\": \"linear\", \"factor\": 2.5}}",
    "{\"architectures\": [\"Qwen2ForCausalLM\"], \"vocab_size\": 100, \"hidden_size\": 64, \"num_hidden_layers\": 4, "
    "\"intermediate_size\": 96, \"num_attention_heads\": 4, \"use_sliding_window\": true, \"sliding_window\": 12, "
    "\"max_window_layers\": 1, \"rope_parameters\": {\"rope_type\": \"default\", \"rope_theta\": 1000000.0}}",
    "{\"architectures\": [\"Qwen2ForCausalLM\"], \"vocab_size\": 100, \"hidden_size\": 64, \"num_hidden_layers\": 2, "
    "\"intermediate_size\": 96, \"num_attention_heads\": 4, \"use_sliding_window\": false, \"sliding_window\": 12}",
    "{\"architectures\": [\"MixtralForCausalLM\"], \"vocab_size\": 100, \"hidden_size\": 64, \"num_hidden_layers\": 2, "
    "\"intermediate_size\": 96, \"num_attention_heads\": 8, \"num_local_experts\": 4, \"num_experts_per_tok\": 2, "
    "\"sliding_window\": 7}",
    "{\"architectures\": [\"MixtralForCausalLM\"], \"vocab_size\": 100, \"hidden_size\": 64, \"num_hidden_layers\": 2, "
    "\"intermediate_size\": 96, \"num_attention_heads\": 8, \"sliding_window\": null}",
    "{\"architectures\": [\"GPTBigCodeForCausalLM\"], \"vocab_size\": 100, \"n_embd\": 64, \"n_layer\": 2, \"n_head\": 4, "
    "\"n_inner\": null, \"n_positions\": 256, \"activation_function\": \"gelu\", \"multi_query\": true}",
    "{\"architectures\": [\"GPTBigCodeForCausalLM\"], \"vocab_size\": 100, \"n_embd\": 64, \"n_layer\": 2, \"n_head\": 4, "
    "\"n_inner\": 100, \"multi_query\": false, \"activation_function\": \"gelu_pytorch_tanh\"}",
    GRANITE ", \"embedding_multiplier\": 12.0, \"residual_multiplier\": 0.22, \"attention_multiplier\": 0.015625, "
            "\"logits_scaling\": 8}",
    GRANITE "}",
    QWEN3 ", \"use_sliding_window\": true, \"sliding_window\": 9, \"max_window_layers\": 1}",
    MISTRAL "}",
    MISTRAL ", \"sliding_window\": null, \"head_dim\": 32}",
    GPT2 "\"n_head\": 4, \"activation_function\": \"relu\", \"n_positions\": 99}",
    OPT_CONFIG "}",
    OPT_CONFIG ", \"word_embed_proj_dim\": 48, \"do_layer_norm_before\": false, \"activation_function\": \"gelu\", "
               "\"enable_bias\": false}",
    OPT_CONFIG ", \"_remove_final_layer_norm\": true}",
    STABLELM "}",
    STABLELM ", \"partial_rotary_factor\": 0.9, \"head_dim\": null, \"use_parallel_residual\": true}",
    STABLELM ", \"rope_parameters\": {\"rope_type\": \"default\", \"rope_theta\": 5e5, \"partial_rotary_factor\": 1}}",
    MOE("Qwen3Moe") "}",
    MOE("Qwen3Moe") ", \"norm_topk_prob\": true, \"head_dim\": 32, \"moe_intermediate_size\": 24, \"mlp_only_layers\": null}",
    MOE("Qwen2Moe") ", \"num_local_experts\": 6, \"num_experts_per_tok\": 3, \"shared_expert_intermediate_size\": 40}",
    MOE("Olmoe") ", \"norm_topk_prob\": true, \"clip_qkv\": null}",
    PHI3 "}",
    PHI3 ", \"rope_scaling\": {\"type\": \"su\", " FACTORS "}, \"max_position_embeddings\": 131072, \"sliding_window\": 9}",
    PHI3 ", \"rope_parameters\": {\"rope_type\": \"longrope\", \"attention_factor\": 1.25, \"rope_theta\": 5e5, "
         "\"original_max_position_embeddings\": 64, " FACTORS "}}",
    GEMMA("Gemma2") "}",
    GEMMA("Gemma2") ", \"attn_logit_softcapping\": null, \"final_logit_softcapping\": 12.5, \"query_pre_attn_scalar\": 144, "
                    "\"layer_types\": [\"sliding_attention\", \"sliding_attention\"], \"head_dim\": 16}",
    GEMMA("Gemma3") "}",
    GEMMA("Gemma3") ", \"sliding_window_pattern\": 2, \"rope_parameters\": {\"full_attention\": {\"rope_type\": \"linear\", "
                    "\"factor\": 8, \"rope_theta\": 2e6}, \"sliding_attention\": {\"rope_theta\": 3e4}}, "
                    "\"rope_local_base_freq\": 5e4}",
};

TEST(config, read_write_read_is_the_same)
{
    for (size_t i = 0; i < sizeof configs / sizeof configs[0]; i++) {
        const struct el_arch *arch = NULL, *again_arch = NULL;
        struct el_err err;
        struct el_meta *const meta = read_config(configs[i], &arch, &err);
        CHECK_OK(err.code, err);
        REQUIRE(meta);
        struct el_buf json;
        struct el_hparams a = {0}, b = {0};
        el_buf_init(&json);
        CHECK_OK(el_arch_write_config(arch, meta, UINT64_C(1) << EL_R_OUTPUT, "float32", &json, &err), err);
        struct el_meta *const again = read_config(json.data, &again_arch, &err);
        CHECK_OK(err.code, err);
        CHECK(again_arch == arch && el_arch_of_meta(meta, NULL) == arch);
        CHECK(again && el_arch_hparams(arch, meta, &a, NULL) == EL_OK && el_arch_hparams(arch, again, &b, NULL) == EL_OK);
        CHECK(memcmp(&a, &b, sizeof a) == 0);
        /* What is written a second time is the same text, and metadata too. */
        struct el_buf json2;
        el_buf_init(&json2);
        const struct el_arch *third_arch = NULL;
        CHECK_OK(el_arch_write_config(arch, again, UINT64_C(1) << EL_R_OUTPUT, "float32", &json2, &err), err);
        struct el_meta *const third = read_config(json2.data, &third_arch, &err);
        CHECK_EQ_STR(json2.data, json.data);
        CHECK(third && same_meta(again, third));
        el_buf_release(&json);
        el_buf_release(&json2);
        el_meta_free(meta);
        el_meta_free(again);
        el_meta_free(third);
    }
}

TEST(config, values)
{
    const struct el_arch *arch = NULL;
    struct el_err err;
    enum { N = sizeof configs / sizeof configs[0] };
    struct el_hparams hp[N];
    for (int i = 0; i < N; i++) {
        struct el_meta *const meta = read_config(configs[i], &arch, &err);
        REQUIRE(meta && el_arch_hparams(arch, meta, &hp[i], &err) == EL_OK);
        el_meta_free(meta);
    }
    CHECK(hp[0].rope_scaling == EL_ROPE_LLAMA3 && hp[0].rope_factor == 8 && hp[0].rope_ctx_original == 8192 &&
          hp[0].d_head == 32);
    CHECK(hp[1].rope_scaling == EL_ROPE_LINEAR && hp[1].rope_factor == 2.5f && hp[1].n_ctx_train == 2048 &&
          hp[1].norm_eps == 1e-6f);
    CHECK(hp[2].window == 12 && hp[2].window_from_layer == 1 && hp[2].rope_theta == 1e6f);
    CHECK(hp[3].window == 0);
    CHECK(hp[4].window == 7 && hp[4].n_experts == 4 && hp[4].n_kv_heads == 8);
    CHECK(hp[5].window == 0 && hp[5].n_experts == 8 && hp[5].n_experts_used == 2);
    CHECK(hp[6].act == EL_FN_GELU_ERF && hp[6].layer_norm && hp[6].n_ff == 256 && hp[6].n_kv_heads == 1 && hp[6].n_rot == 0);
    CHECK(hp[7].act == EL_FN_GELU_TANH && hp[7].n_ff == 100 && hp[7].n_kv_heads == 4 && hp[7].n_ctx_train == 1024);
    /* granite: 1 where nothing is said, of attention too, whose usual scale is another */
    CHECK(hp[8].embd_scale == 12 && hp[8].residual_scale == 0.22f && hp[8].attn_scale == 0.015625f && hp[8].logit_scale == 8);
    CHECK(hp[9].embd_scale == 1 && hp[9].residual_scale == 1 && hp[9].attn_scale == 1 && hp[9].logit_scale == 1);
    CHECK(hp[0].attn_scale == (float)(1 / sqrt(32.0)) && hp[0].embd_scale == 1 && hp[0].logit_scale == 1);
    CHECK(hp[10].d_head == 128 && hp[10].window == 9 && hp[10].window_from_layer == 1);
    CHECK(hp[11].window == 4096 && hp[11].d_head == 16 && hp[12].window == 0 && hp[12].d_head == 32);
    CHECK(hp[13].act == EL_FN_RELU && hp[13].n_ff == 256 && hp[13].n_ctx_train == 99 && hp[13].pos_offset == 0);
    CHECK(hp[14].act == EL_FN_RELU && hp[14].pos_offset == 2 && !hp[14].post_norm && !hp[14].no_bias && hp[14].n_embd_io == 64);
    CHECK_EQ_INT(el_dim_size(EL_D_POSITIONS, &hp[14]), 2050);
    CHECK(hp[15].act == EL_FN_GELU_ERF && hp[15].post_norm && hp[15].no_bias && hp[15].n_embd_io == 48);
    CHECK(hp[16].no_output_norm && !hp[14].no_output_norm);
    CHECK(hp[20].n_experts == 128 && hp[20].n_experts_used == 8 && hp[20].n_ff_exp == 768 && hp[20].experts_as_they_are);
    CHECK(!hp[21].experts_as_they_are && hp[21].d_head == 32 && hp[21].n_ff_exp == 24 && hp[21].n_ff_shexp == 0);
    CHECK(hp[22].n_experts == 6 && hp[22].n_experts_used == 3 && hp[22].n_ff_exp == 1408 && hp[22].n_ff_shexp == 40);
    CHECK(hp[23].n_experts == 64 && hp[23].n_ff_exp == 96 && !hp[23].experts_as_they_are);
    CHECK(hp[24].rope_scaling == EL_ROPE_PLAIN && hp[24].rope_attn_factor == 1 && hp[24].window == 0 && hp[24].n_kv_heads == 4);
    CHECK(hp[25].rope_scaling == EL_ROPE_LONG && hp[25].rope_ctx_original == 4096 && hp[25].window == 9);
    CHECK(hp[25].rope_attn_factor == (float)sqrt(1 + log(32) / log(4096)));
    CHECK(hp[26].rope_attn_factor == 1.25f && hp[26].rope_ctx_original == 64 && hp[26].rope_theta == 5e5f);
    CHECK(hp[27].attn_cap == 50 && hp[27].logit_cap == 30 && hp[27].attn_scale == 0.0625f && hp[27].embd_scale == 8);
    CHECK(hp[27].window == 4096 && el_arch_is_local(&hp[27], 0) && !el_arch_is_local(&hp[27], 1) && hp[27].d_head == 256);
    CHECK(hp[28].attn_cap == 0 && hp[28].logit_cap == 12.5f && hp[28].attn_scale == (float)(1 / 12.0));
    CHECK(el_arch_is_local(&hp[28], 0) && el_arch_is_local(&hp[28], 1) && hp[28].act == EL_FN_GELU_TANH);
    CHECK(hp[29].rope_theta == 1e6f && hp[29].rope_theta_local == 1e4f && hp[29].window_every == 6 && hp[29].attn_cap == 0);
    CHECK(hp[30].rope_theta == 2e6f && hp[30].rope_theta_local == 3e4f && hp[30].rope_factor == 8 && hp[30].window_every == 2);
    CHECK(hp[17].n_rot == 4 && hp[17].layer_norm && hp[18].n_rot == 14 && hp[19].n_rot == 16);
}

#define KV(arch, n)                                                                                                              \
    "{\"architectures\": [\"" arch "ForCausalLM\"], \"intermediate_size\": 96, \"num_key_value_heads\": " n ", " SIZES
/* Where transformers looks first, and what it takes where nothing is said. */
TEST(config, order_of_alternatives)
{
    static const struct {
        const char *text;
        float theta;
        uint32_t n_kv_heads, n_rot;
    } cases[] = {
        {MISTRAL ", \"rope_theta\": 5, \"rope_parameters\": {\"rope_type\": \"default\", \"rope_theta\": 7}}", 7, 2, 16},
        {MISTRAL ", \"rope_theta\": 5, \"rope_parameters\": {\"rope_type\": \"default\"}, \"rope_scaling\": null}", 5, 2, 16},
        {KV("Mistral", "null") "}", 10000, 4, 16},
        {KV("Qwen3", "null") ", \"head_dim\": 8}", 10000, 4, 8},
        {KV("Mixtral", "null") "}", 1e6f, 4, 16},
        {KV("Mixtral", "1") ", \"rope_theta\": 5}", 5, 1, 16},
        {STABLELM ", \"partial_rotary_factor\": 1, \"rope_parameters\": {\"partial_rotary_factor\": 0.5}}", 10000, 2, 8},
        {MISTRAL ", \"rope_theta\": 5, \"rope_scaling\": {\"rope_type\": \"default\", \"rope_theta\": 7}}", 7, 2, 16},
        {STABLELM ", \"rope_scaling\": {\"rope_type\": \"default\", \"partial_rotary_factor\": 0.5}}", 10000, 2, 8},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct el_arch *arch = NULL;
        struct el_err err;
        struct el_hparams hp;
        struct el_meta *const meta = read_config(cases[i].text, &arch, &err);
        CHECK_OK(err.code, err);
        REQUIRE(meta);
        CHECK_OK(el_arch_hparams(arch, meta, &hp, &err), err);
        if (hp.rope_theta != cases[i].theta || hp.n_kv_heads != cases[i].n_kv_heads || hp.n_rot != cases[i].n_rot)
            test_fail(__FILE__, __LINE__, "%s: theta %g, %u KV heads, %u rotated", cases[i].text, (double)hp.rope_theta,
                      hp.n_kv_heads, hp.n_rot);
        el_meta_free(meta);
    }
}

TEST(config, written_text)
{
    struct el_meta *const m = toy_meta();
    struct el_err err;
    struct el_buf json;
    const uint64_t one = 1, mlp = one << EL_R_FFN_GATE_B | one << EL_R_FFN_UP_B | one << EL_R_FFN_DOWN_B;
    el_buf_init(&json);
    el_meta_set_u32(m, "tokenizer.ggml.bos_token_id", 1, NULL);
    el_meta_set_u32(m, "tokenizer.ggml.eos_token_id", UINT32_MAX, NULL);
    CHECK_OK(el_arch_write_config(arch_named("llama"), m, mlp, "bfloat16", &json, &err), err);
    CHECK_EQ_STR(
        json.data,
        "{\n  \"architectures\": [\n    \"LlamaForCausalLM\"\n  ],\n  \"model_type\": \"llama\",\n  \"vocab_size\": 100,\n"
        "  \"max_position_embeddings\": 128,\n  \"hidden_size\": 64,\n  \"num_hidden_layers\": 2,\n"
        "  \"intermediate_size\": 96,\n  \"num_attention_heads\": 4,\n  \"num_key_value_heads\": 4,\n  \"head_dim\": 16,\n"
        "  \"rms_norm_eps\": 1e-05,\n  \"attention_bias\": false,\n  \"mlp_bias\": true,\n  \"hidden_act\": \"silu\",\n"
        "  \"rope_theta\": 10000.0,\n  \"rope_scaling\": null,\n  \"bos_token_id\": 1,\n  \"tie_word_embeddings\": true,\n"
        "  \"torch_dtype\": \"bfloat16\"\n}\n");
    el_buf_reset(&json);
    CHECK_EQ_INT(el_arch_write_config(arch_named("llama"), m, one << EL_R_ATTN_Q_B, "float32", &json, &err), EL_E_UNSUPPORTED);
    CHECK(strstr(err.text, "attention_bias") != NULL);
    el_meta_set_str(m, "llama.rope.freq_base", "x", 1, NULL);
    CHECK_EQ_INT(el_arch_write_config(arch_named("llama"), m, 0, "float32", &json, &err), EL_E_FORMAT);
    el_buf_release(&json);
    el_meta_free(m);
}

#define LLAMA      "{\"model_type\": \"llama\", \"vocab_size\": 100, \"hidden_size\": 64, \"num_hidden_layers\": 2, "
#define LLAMA_REST "\"intermediate_size\": 96, \"num_attention_heads\": 4"
#define QWEN       "{\"model_type\": \"qwen2\", \"vocab_size\": 100, \"hidden_size\": 64, \"num_hidden_layers\": 3, " LLAMA_REST
#define BIGCODE    "{\"model_type\": \"gpt_bigcode\", \"vocab_size\": 100, \"n_embd\": 64, \"n_layer\": 2, "
TEST(config, refused)
{
    const struct {
        const char *text;
        enum el_status status;
        const char *says;
    } bad[] = {
        {LLAMA "\"num_attention_heads\": 4}", EL_E_FORMAT, "no intermediate_size"},
        {LLAMA "\"intermediate_size\": null, \"num_attention_heads\": 4}", EL_E_FORMAT, "no intermediate_size"},
        {LLAMA "\"intermediate_size\": -1, \"num_attention_heads\": 4}", EL_E_FORMAT, "intermediate_size is not an integer"},
        {LLAMA "\"intermediate_size\": 4294967296, \"num_attention_heads\": 4}", EL_E_FORMAT,
         "intermediate_size is not an integer"},
        {LLAMA "\"intermediate_size\": 1.5, \"num_attention_heads\": 4}", EL_E_FORMAT, "intermediate_size is not an integer"},
        {LLAMA "\"intermediate_size\": \"96\", \"num_attention_heads\": 4}", EL_E_FORMAT, "intermediate_size is not an integer"},
        {LLAMA "\"intermediate_size\": 96, \"num_attention_heads\": 0}", EL_E_FORMAT, "llama.attention.head_count"},
        {LLAMA LLAMA_REST ", \"rms_norm_eps\": true}", EL_E_FORMAT, "rms_norm_eps is not a number"},
        {LLAMA LLAMA_REST ", \"hidden_act\": \"gelu\"}", EL_E_UNSUPPORTED, "hidden_act is 'gelu', known are silu"},
        {LLAMA LLAMA_REST ", \"hidden_act\": 3}", EL_E_FORMAT, "hidden_act is not a string"},
        {LLAMA LLAMA_REST ", \"rope_scaling\": 3}", EL_E_FORMAT, "rope_scaling is not an object"},
        {LLAMA LLAMA_REST ", \"rope_scaling\": {\"type\": \"yarn\", \"factor\": 2}}", EL_E_UNSUPPORTED,
         "'yarn', known are default, linear"},
        {LLAMA LLAMA_REST ", \"rope_scaling\": {\"type\": \"linear\"}}", EL_E_FORMAT, "rope_scaling has no factor"},
        {LLAMA LLAMA_REST ", \"rope_scaling\": {\"type\": \"linear\", \"factor\": 0}}", EL_E_FORMAT, "rope.scaling.factor is 0"},
        {LLAMA LLAMA_REST ", \"rope_scaling\": {\"type\": \"linear\", \"factor\": \"2\"}}", EL_E_FORMAT,
         "rope_scaling.factor is not a number"},
        {LLAMA LLAMA_REST ", \"rope_scaling\": {\"rope_type\": \"llama3\", \"factor\": 8}}", EL_E_FORMAT, "no low_freq_factor"},
        {LLAMA LLAMA_REST
         ", \"rope_scaling\": {\"rope_type\": \"llama3\", \"factor\": 8, \"low_freq_factor\": 1, \"high_freq_factor\": 4}}",
         EL_E_FORMAT, "no original_max_position_embeddings"},
        {LLAMA LLAMA_REST
         ", \"rope_scaling\": {\"rope_type\": \"llama3\", \"factor\": 8, \"low_freq_factor\": 1, \"high_freq_factor\": 4, "
         "\"original_max_position_embeddings\": -8}}",
         EL_E_FORMAT, "original_max_position_embeddings is -8"},
        {LLAMA LLAMA_REST
         ", \"rope_scaling\": {\"rope_type\": \"llama3\", \"factor\": 8, \"low_freq_factor\": 4, \"high_freq_factor\": 4, "
         "\"original_max_position_embeddings\": 8}}",
         EL_E_FORMAT, "high_freq_factor is 4"},
        {LLAMA LLAMA_REST ", \"rope_theta\": -1}", EL_E_FORMAT, "llama.rope.freq_base is -1"},
        {LLAMA LLAMA_REST ", \"partial_rotary_factor\": 0.5}", EL_E_UNSUPPORTED, "partial_rotary_factor is 0.5"},
        {QWEN ", \"use_sliding_window\": true, \"sliding_window\": 0}", EL_E_FORMAT, "sliding_window is not an integer from 1"},
        {QWEN ", \"use_sliding_window\": true, \"sliding_window\": 4, \"max_window_layers\": -1}", EL_E_FORMAT,
         "max_window_layers"},
        {QWEN ", \"use_sliding_window\": true, \"sliding_window\": 4, \"layer_types\": []}", EL_E_FORMAT,
         "layer_types: 0 layers, num_hidden_layers says 3"},
        {QWEN ", \"use_sliding_window\": true, \"sliding_window\": 4, \"layer_types\": [\"full_attention\"]}", EL_E_FORMAT,
         "layer_types: 1 layers, num_hidden_layers says 3"},
        {LLAMA LLAMA_REST ", \"rope_scaling\": {\"factor\": 8}}", EL_E_FORMAT, "has a factor, and neither rope_type nor type"},
        {LLAMA LLAMA_REST ", \"rope_scaling\": {\"type\": \"linear\", \"factor\": 8}, \"rope_parameters\": {\"rope_theta\": 5}}",
         EL_E_UNSUPPORTED, "rope_parameters and rope_scaling: only one of them is read"},
        {LLAMA LLAMA_REST ", \"rope_parameters\": 3}", EL_E_FORMAT, "rope_parameters is not an object"},
        {LLAMA LLAMA_REST ", \"rope_parameters\": {\"full_attention\": {\"rope_theta\": 1e6}}}", EL_E_UNSUPPORTED,
         "rope_parameters for each kind of layer: all layers of this family rotate alike"},
        {GEMMA("Gemma3") ", \"attn_logit_softcapping\": 50}", EL_E_UNSUPPORTED, "attn_logit_softcapping is not null"},
        {GEMMA("Gemma3") ", \"rope_parameters\": {\"full_attention\": {\"rope_theta\": 1e6}, \"sliding_attention\": "
                         "{\"rope_type\": "
                         "\"linear\", \"factor\": 8}}}",
         EL_E_UNSUPPORTED, "rope_parameters.sliding_attention: rope_type|type is 'linear', known are default"},
        {QWEN
         ", \"use_sliding_window\": true, \"sliding_window\": 4, \"layer_types\": [\"sliding_attention\", \"full_attention\", "
         "\"sliding_attention\"]}",
         EL_E_UNSUPPORTED, "layer_types"},
        {BIGCODE "\"n_head\": 4, \"scale_attn_weights\": false}", EL_E_UNSUPPORTED, "scale_attn_weights"},
        {BIGCODE "\"n_head\": 4, \"activation_function\": \"tanh\"}", EL_E_UNSUPPORTED, "activation_function is 'tanh'"},
        {BIGCODE "\"n_head\": 3}", EL_E_FORMAT, "head_count is 3"},
        {GRANITE ", \"logits_scaling\": 0}", EL_E_FORMAT, "granite.logit_scale is 0, allowed are numbers above 0"},
        {GRANITE ", \"attention_multiplier\": -1}", EL_E_FORMAT, "granite.attention.scale is -1"},
        {GRANITE ", \"residual_multiplier\": \"1\"}", EL_E_FORMAT, "residual_multiplier is not a number"},
        {GRANITE ", \"embedding_multiplier\": 1e39}", EL_E_FORMAT, "granite.embedding_scale is inf"},
        {QWEN3 ", \"head_dim\": 7}", EL_E_FORMAT, "qwen3.rope.dimension_count is 7"},
        {MISTRAL ", \"sliding_window\": -1}", EL_E_FORMAT, "sliding_window is not an integer"},
        {GPT2 "\"n_head\": 3}", EL_E_FORMAT, "head_count is 3"},
        {GPT2 "\"n_head\": 4, \"scale_attn_by_inverse_layer_idx\": true}", EL_E_UNSUPPORTED, "scale_attn_by_inverse_layer_idx"},
        {GPT2 "\"n_head\": 4, \"add_cross_attention\": true}", EL_E_UNSUPPORTED, "add_cross_attention is true"},
        {GPT2 "\"n_head\": 4, \"activation_function\": \"silu\"}", EL_E_UNSUPPORTED, "activation_function is 'silu'"},
        {OPT_CONFIG ", \"layer_norm_elementwise_affine\": false}", EL_E_UNSUPPORTED, "layer_norm_elementwise_affine"},
        {OPT_CONFIG ", \"do_layer_norm_before\": 1}", EL_E_FORMAT, "do_layer_norm_before is not true or false"},
        {OPT_CONFIG ", \"word_embed_proj_dim\": 0}", EL_E_FORMAT, "'opt.word_embedding_length': 0, must be 1"},
        {OPT_CONFIG ", \"word_embed_proj_dim\": 4294967295}", EL_E_FORMAT, "'opt.word_embedding_length': 4294967295"},
        {OPT_CONFIG ", \"activation_function\": \"swish\"}", EL_E_UNSUPPORTED, "activation_function is 'swish'"},
        {STABLELM ", \"partial_rotary_factor\": 0}", EL_E_FORMAT, "partial_rotary_factor is 0"},
        {STABLELM ", \"partial_rotary_factor\": 1.5}", EL_E_FORMAT, "partial_rotary_factor is 1.5"},
        {STABLELM ", \"partial_rotary_factor\": 0.2}", EL_E_FORMAT, "stablelm.rope.dimension_count is 3"},
        {STABLELM ", \"partial_rotary_factor\": 0.01}", EL_E_FORMAT, "'stablelm.rope.dimension_count': 0"},
        {STARCODER2 ", \"hidden_act\": \"gelu\"}", EL_E_UNSUPPORTED, "hidden_act is 'gelu'"},
        {STABLELM ", \"hidden_act\": \"gelu\"}", EL_E_UNSUPPORTED, "hidden_act is 'gelu'"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        const struct el_arch *arch = NULL;
        struct el_err err;
        struct el_meta *const meta = read_config(bad[i].text, &arch, &err);
        if (meta || err.code != bad[i].status || !strstr(err.text, bad[i].says))
            test_fail(__FILE__, __LINE__, "%s: got %d '%s', want '%s'", bad[i].text, (int)err.code, err.text, bad[i].says);
        el_meta_free(meta);
    }
}

/* Flags of config.json about tensors that may be there or not, against those that are. */
TEST(config, flags_agree_with_the_tensors)
{
    const uint64_t qkv = EL_ROLE(ATTN_Q_B) | EL_ROLE(ATTN_K_B) | EL_ROLE(ATTN_V_B), attn = qkv | EL_ROLE(ATTN_OUT_B);
    const uint64_t norm = EL_ROLE(FFN_NORM) | EL_ROLE(FFN_NORM_B);
    const struct {
        const char *arch, *text;
        uint64_t roles;
        const char *says; /* NULL: they agree */
    } cases[] = {
        {"llama", "{}", 0, NULL},
        {"llama", "{\"attention_bias\": true}", attn, NULL},
        {"llama", "{\"attention_bias\": true}", qkv,
         "attention_bias is true, but tensors 'model.layers.N.self_attn.o_proj.bias'"},
        {"llama", "{\"attention_bias\": false}", qkv, "attention_bias is false, but tensors"},
        {"llama", "{}", EL_ROLE(FFN_DOWN_B), "mlp_bias is false (when not said), but tensors"},
        {"llama", "{\"mlp_bias\": \"yes\"}", 0, "mlp_bias is not true or false"},
        {"llama", "{\"mlp_bias\": null}", 0, NULL},
        {"qwen2", "{\"attention_bias\": false}", qkv, NULL}, /* no flag of this family */
        {"stablelm", "{}", norm, NULL},
        {"stablelm", "{\"use_parallel_residual\": true}", 0, NULL},
        {"stablelm", "{}", 0, "use_parallel_residual is false (when not said), but tensors"},
        {"stablelm", "{\"use_parallel_residual\": true}", norm, "use_parallel_residual is true, but tensors"},
        {"stablelm", "{\"qk_layernorm\": true}", norm | EL_ROLE(ATTN_Q_NORM), "k_layernorm.norms.N.weight' are missing"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct el_json_doc *doc = NULL;
        struct el_err err = {.code = EL_OK};
        REQUIRE_OK(el_json_parse(cases[i].text, strlen(cases[i].text), "config.json", &doc, &err), err);
        const enum el_status status = el_arch_check_flags(arch_named(cases[i].arch), el_json_root(doc), cases[i].roles, &err);
        if (status != (cases[i].says ? EL_E_FORMAT : EL_OK) || (cases[i].says && !strstr(err.text, cases[i].says)))
            test_fail(__FILE__, __LINE__, "%s %s: got %d '%s', want '%s'", cases[i].arch, cases[i].text, (int)status, err.text,
                      cases[i].says ? cases[i].says : "nothing");
        el_json_free(doc);
    }
}

TEST(config, windows_by_layer_types)
{
    const struct {
        const char *types;
        uint32_t window, first;
    } cases[] = {
        {"[\"full_attention\", \"full_attention\", \"sliding_attention\"]", 4, 2},
        {"[\"sliding_attention\", \"sliding_attention\", \"sliding_attention\"]", 4, 0},
        {"[\"full_attention\", \"full_attention\", \"full_attention\"]", 0, 0},
    };
    for (int i = 0; i < 3; i++) {
        char text[512];
        const struct el_arch *arch = NULL;
        struct el_err err;
        struct el_hparams hp = {0};
        snprintf(text, sizeof text, QWEN ", \"use_sliding_window\": true, \"sliding_window\": 4, \"layer_types\": %s}",
                 cases[i].types);
        struct el_meta *const meta = read_config(text, &arch, &err);
        CHECK_OK(err.code, err);
        REQUIRE(meta);
        CHECK_OK(el_arch_hparams(arch, meta, &hp, &err), err);
        CHECK(hp.window == cases[i].window && hp.window_from_layer == cases[i].first);
        el_meta_free(meta);
    }
}

TEST(config, tied)
{
    const struct {
        const char *text, *arch;
        bool tied;
    } cases[] = {
        {"{}", "llama", false},
        {"{}", "gpt_bigcode", true},
        {"{\"tie_word_embeddings\": true}", "qwen2", true},
        {"{\"tie_word_embeddings\": false}", "gpt_bigcode", false},
    };
    for (int i = 0; i < 4; i++) {
        struct el_json_doc *doc = NULL;
        struct el_err err;
        REQUIRE_OK(el_json_parse(cases[i].text, strlen(cases[i].text), "config.json", &doc, &err), err);
        CHECK_EQ_INT(el_arch_config_tied(arch_named(cases[i].arch), el_json_root(doc)), cases[i].tied);
        el_json_free(doc);
    }
}

/* ---- RoPE ---- */

/* Numbers of Llama 3.1 8B as transformers computes them. */
TEST(rope, llama3_factors)
{
    const struct el_hparams hp = {.n_rot = 128,
                                  .rope_theta = 500000,
                                  .rope_scaling = EL_ROPE_LLAMA3,
                                  .rope_factor = 8,
                                  .rope_low_freq = 1,
                                  .rope_high_freq = 4,
                                  .rope_ctx_original = 8192};
    float f[64];
    double freqs[64];
    el_rope_llama3_factors(&hp, f);
    CHECK(f[0] == 1.0f && f[28] == 1.0f && f[63] == 8.0f && f[35] == 8.0f);
    for (int i = 1; i < 64; i++)
        CHECK(f[i] >= f[i - 1]);
    CHECK(f[30] > 1.0f && f[30] < 8.0f);
    el_rope_freqs(&hp, NULL, freqs);
    CHECK_NEAR(freqs[63], pow(500000, -126.0 / 128) / 8, 1e-12);
    CHECK_NEAR(freqs[1], pow(500000, -2.0 / 128), 1e-12);
    float twice[64];
    for (int i = 0; i < 64; i++)
        twice[i] = 2;
    el_rope_freqs(&hp, twice, freqs); /* factors of the file come before hp's */
    CHECK_NEAR(freqs[1], pow(500000, -2.0 / 128) / 2, 1e-12);
}

TEST(rope, fit_finds_the_parameters)
{
    const struct {
        float theta, factor, low, high;
        uint32_t n_rot, original;
    } cases[] = {
        {500000, 8, 1, 4, 128, 8192}, {500000, 32, 1, 4, 64, 8192}, {20000, 8, 1, 4, 16, 32},
        {10000, 4, 1, 8, 64, 2048},   {1e6f, 16, 1, 2, 128, 4096},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct el_hparams hp = {.n_rot = cases[i].n_rot,
                                .rope_theta = cases[i].theta,
                                .rope_factor = cases[i].factor,
                                .rope_low_freq = cases[i].low,
                                .rope_high_freq = cases[i].high,
                                .rope_ctx_original = cases[i].original};
        float f[64];
        el_rope_llama3_factors(&hp, f);
        struct el_hparams got = {.n_rot = cases[i].n_rot, .rope_theta = cases[i].theta};
        CHECK(el_rope_fit_llama3(f, &got));
        CHECK(got.rope_factor == cases[i].factor && got.rope_low_freq == 1);
        CHECK_NEAR(got.rope_high_freq, cases[i].high, 0.001);
        CHECK_NEAR(got.rope_ctx_original, cases[i].original, cases[i].original * 1e-3);
    }
    struct el_hparams got = {.n_rot = 8, .rope_theta = 10000};
    const float ones[] = {1, 1, 1, 1}, wild[] = {5, 1, 7, 3}, nans[] = {1, NAN, 2, 4};
    CHECK(!el_rope_fit_llama3(ones, &got) && !el_rope_fit_llama3(wild, &got) && !el_rope_fit_llama3(nans, &got));
}

TEST(rope, adopting_factors_makes_a_config_possible)
{
    const struct el_arch *const llama = arch_named("llama");
    struct el_meta *const m = toy_meta();
    struct el_err err;
    struct el_hparams hp = {0};
    float f[8];
    el_meta_set_f32(m, "llama.rope.freq_base", 20000, NULL);
    CHECK_OK(el_arch_hparams(llama, m, &hp, &err), err);
    CHECK(el_arch_implied(llama, &hp, 0) == NULL);
    hp.rope_factor = 8;
    hp.rope_low_freq = 1;
    hp.rope_high_freq = 4;
    hp.rope_ctx_original = 32;
    hp.rope_scaling = EL_ROPE_LLAMA3;
    CHECK_EQ_INT(el_arch_implied(llama, &hp, 0)->role, EL_R_ROPE_FREQS);
    CHECK(el_arch_implied(llama, &hp, 1) == NULL);
    CHECK(el_arch_implied(arch_named("gpt_bigcode"), &hp, 0) == NULL);
    CHECK_OK(el_arch_implied_values(llama, m, &hp, el_arch_implied(llama, &hp, 0), f, &err), err);
    CHECK_OK(el_arch_adopt_rope_freqs(llama, EL_R_ROPE_FREQS, m, f, 7, &err), err); /* not as many as there are pairs */
    CHECK(el_meta_find(m, "llama.rope.llama3.factor") == SIZE_MAX);
    CHECK_OK(el_arch_adopt_rope_freqs(llama, EL_R_ROPE_FREQS, m, f, 8, &err), err);
    struct el_hparams got = {0};
    CHECK_OK(el_arch_hparams(llama, m, &got, &err), err);
    CHECK(got.rope_scaling == EL_ROPE_LLAMA3 && got.rope_factor == 8 && got.rope_ctx_original == 32 && got.rope_high_freq == 4);
    CHECK_OK(el_arch_adopt_rope_freqs(llama, EL_R_ROPE_FREQS, m, f, 8, &err), err); /* nothing more to do */
    el_meta_free(m);
}

TEST(rope, angles)
{
    const double freqs[] = {1, 0.01};
    float c[2], s[2];
    el_rope_angles(freqs, 2, 100000, 1.0f, c, s);
    CHECK(c[0] == (float)cos(100000.0) && s[0] == (float)sin(100000.0) && c[1] == (float)cos(1000.0));
}
