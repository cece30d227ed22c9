/* See mixes.h. */
#include "quant/mixes.h"

#include <stdio.h>
#include <string.h>

#include "model/arch.h"
#include "tensor/meta.h"

/* Numbers of llama.cpp's enum llama_ftype that the rules below name. */
enum {
    FTYPE_Q4_0 = 2,
    FTYPE_Q5_0 = 8,
    FTYPE_Q2_K = 10,
    FTYPE_Q3_K_S = 11,
    FTYPE_Q3_K_M = 12,
    FTYPE_Q3_K_L = 13,
    FTYPE_Q4_K_S = 14,
    FTYPE_Q4_K_M = 15,
    FTYPE_Q5_K_M = 17,
    FTYPE_IQ2_XXS = 19,
    FTYPE_IQ2_XS = 20,
    FTYPE_Q2_K_S = 21,
    FTYPE_IQ3_XS = 22,
    FTYPE_IQ3_XXS = 23,
    FTYPE_IQ1_S = 24,
    FTYPE_IQ4_NL = 25,
    FTYPE_IQ3_S = 26,
    FTYPE_IQ3_M = 27,
    FTYPE_IQ2_S = 28,
    FTYPE_IQ2_M = 29,
    FTYPE_IQ4_XS = 30,
    FTYPE_IQ1_M = 31,
    FTYPE_TQ1_0 = 36,
    FTYPE_TQ2_0 = 37,
    FTYPE_MXFP4_MOE = 38,
    FTYPE_Q2_0 = 41,
};

static const struct el_mix mixes[] = {
#define MIX(id, encoding, ftype, about) {#id, encoding, ftype, about},
#include "quant/mixes.def"
#undef MIX
};
enum { N_MIXES = sizeof mixes / sizeof mixes[0] };

const struct el_mix *el_mix_at(size_t i)
{
    return i < N_MIXES ? &mixes[i] : NULL;
}

const char *el_mix_name_at(size_t i, const char **about)
{
    const struct el_mix *const m = el_mix_at(i);
    if (about)
        *about = m ? m->about : NULL;
    return m ? m->name : NULL;
}

static bool same_name(const char *a, const char *b)
{
    for (;; a++, b++) {
        const char x = *a >= 'a' && *a <= 'z' ? (char)(*a - 32) : *a;
        if (x != *b)
            return false;
        if (!x)
            return true;
    }
}

const struct el_mix *el_mix_by_name(const char *name)
{
    for (size_t i = 0; i < N_MIXES; i++) {
        char number[12];
        (void)snprintf(number, sizeof number, "%d", (int)mixes[i].ftype);
        if (same_name(name, mixes[i].name) || strcmp(name, number) == 0)
            return &mixes[i];
    }
    return NULL;
}

static bool has(const char *name, const char *part)
{
    return strstr(name, part) != NULL;
}

enum el_category el_mix_category(const char *tensor)
{
    if (strcmp(tensor, "output.weight") == 0)
        return EL_CAT_OUTPUT;
    if (strcmp(tensor, "token_embd.weight") == 0 || strcmp(tensor, "per_layer_token_embd.weight") == 0)
        return EL_CAT_TOKEN_EMBD;
    if (has(tensor, "attn_qkv.weight") || has(tensor, "attn_kv_b.weight") || has(tensor, "attn_v.weight"))
        return EL_CAT_ATTN_V;
    if (has(tensor, "attn_k.weight"))
        return EL_CAT_ATTN_K;
    if (has(tensor, "attn_output.weight"))
        return EL_CAT_ATTN_OUT;
    if (has(tensor, "ffn_down"))
        return EL_CAT_FFN_DOWN;
    if (has(tensor, "attn_q.weight"))
        return EL_CAT_ATTN_Q;
    if (has(tensor, "ffn_gate") || has(tensor, "ffn_up"))
        return EL_CAT_FFN_GATE_UP;
    return EL_CAT_OTHER;
}

bool el_mix_quantizes(const char *tensor, uint64_t n_rows)
{
    static const char *const never[] = {"_norm.weight", "ffn_gate_inp.weight", "position_embd", "token_types.weight"};
    const size_t n = strlen(tensor);
    if (n_rows < 2 || n < 6 || strcmp(tensor + n - 6, "weight") != 0)
        return false;
    for (size_t i = 0; i < sizeof never / sizeof never[0]; i++) {
        if (has(tensor, never[i]))
            return false;
    }
    return true;
}

int64_t el_mix_layer(const char *tensor)
{
    if (strncmp(tensor, "blk.", 4) != 0)
        return -1;
    int64_t layer = 0;
    const char *p = tensor + 4;
    for (; *p >= '0' && *p <= '9' && layer < INT32_MAX; p++)
        layer = layer * 10 + (*p - '0');
    return p > tensor + 4 && *p == '.' ? layer : -1;
}

bool el_mix_before(const char *a, const char *b)
{
    const int64_t la = el_mix_layer(a), lb = el_mix_layer(b);
    return la != lb ? la < lb : strcmp(a, b) < 0;
}

static uint32_t read_u32(const struct el_meta *meta, const char *arch, const char *key)
{
    char name[128];
    uint32_t v = 0;
    (void)snprintf(name, sizeof name, "%.64s.%s", arch, key);
    if (el_meta_get_u32_or(meta, name, 0, UINT32_MAX, 0, &v, NULL) != EL_OK)
        return 0;
    return v;
}

struct el_mix_model el_mix_model_read(const struct el_meta *meta)
{
    struct el_mix_model model = {.n_layers = 0};
    const char *arch = NULL;
    if (el_meta_get_str_or(meta, "general.architecture", &arch, NULL) != EL_OK || !arch)
        return model;
    model.n_layers = read_u32(meta, arch, "block_count");
    model.n_experts = read_u32(meta, arch, "expert_count");
    const uint32_t n_heads = read_u32(meta, arch, "attention.head_count");
    uint32_t n_kv_heads = read_u32(meta, arch, "attention.head_count_kv");
    n_kv_heads = n_kv_heads ? n_kv_heads : n_heads;
    model.heads_per_kv = n_kv_heads ? n_heads / n_kv_heads : 0;
    const struct el_arch *const family = el_arch_of_meta(meta, NULL);
    if (family && family->class_70b_layers && family->class_70b_layers == model.n_layers)
        model.is_70b = !family->class_70b_shared || n_kv_heads != n_heads;
    return model;
}

/* The first and last eighth of the layers, and every third in between. */
static bool more_bits(uint32_t layer, uint32_t n_layers)
{
    const uint32_t eighth = n_layers / 8;
    return layer < eighth || layer >= 7 * n_layers / 8 || (layer - eighth) % 3 == 2;
}

static bool is(const char *type, const char *name)
{
    return strcmp(type, name) == 0;
}

static bool is_ternary(const struct el_mix *mix)
{
    return mix->ftype == FTYPE_TQ1_0 || mix->ftype == FTYPE_TQ2_0 || mix->ftype == FTYPE_Q2_0;
}

static const char *choose_attn_v(const struct el_mix *mix, const struct el_mix_model *model, uint32_t index)
{
    const bool much_shared = model->heads_per_kv >= 4;
    const char *type = mix->encoding;
    switch (mix->ftype) {
    case FTYPE_Q2_K: type = much_shared ? "Q4_K" : "Q3_K"; break;
    case FTYPE_Q2_K_S: type = much_shared ? "Q4_K" : type; break;
    case FTYPE_Q3_K_M: type = index < 2 ? "Q5_K" : "Q4_K"; break;
    case FTYPE_Q3_K_L: type = "Q5_K"; break;
    case FTYPE_Q4_K_S: type = index < 4 ? "Q5_K" : type; break;
    case FTYPE_Q4_K_M:
    case FTYPE_Q5_K_M: type = more_bits(index, model->n_attn_v) ? "Q6_K" : type; break;
    case FTYPE_IQ4_NL:
    case FTYPE_IQ4_XS: type = much_shared ? "Q5_K" : type; break;
    case FTYPE_IQ3_XXS: type = much_shared ? "Q4_K" : model->has_importance ? type : "IQ3_S"; break;
    case FTYPE_IQ3_XS:
    case FTYPE_IQ3_S: type = much_shared ? "Q4_K" : type; break;
    case FTYPE_IQ3_M: type = "Q4_K"; break;
    default: break;
    }
    /* Eight query heads share one value head there: small matrices that much depends on. */
    if (model->is_70b && (is(type, "Q3_K") || is(type, "Q4_K")))
        type = "Q5_K";
    return model->n_experts == 8 ? "Q8_0" : type;
}

static const char *choose_attn_out(const struct el_mix *mix, const struct el_mix_model *model)
{
    const bool eight = model->n_experts == 8;
    switch (mix->ftype) {
    case FTYPE_Q2_K: return eight ? "Q5_K" : "Q3_K";
    case FTYPE_IQ3_XXS: return eight ? "Q5_K" : "IQ3_S";
    case FTYPE_IQ3_M:
    case FTYPE_Q3_K_M: return eight ? "Q5_K" : "Q4_K";
    case FTYPE_Q3_K_L: return eight ? mix->encoding : "Q5_K";
    case FTYPE_Q3_K_S:
    case FTYPE_Q4_K_S:
    case FTYPE_Q4_K_M:
    case FTYPE_IQ3_XS:
    case FTYPE_IQ3_S:
    case FTYPE_IQ4_NL:
    case FTYPE_IQ4_XS: return eight ? "Q5_K" : mix->encoding;
    default: return mix->encoding;
    }
}

static const char *choose_ffn_down(const struct el_mix *mix, const struct el_mix_model *model, const char *tensor, uint32_t index)
{
    /* Experts may be several tensors of a layer, so the layer is taken from the name. */
    const int64_t named = el_mix_layer(tensor);
    const uint32_t layer = model->n_experts > 1 && named >= 0 ? (uint32_t)named : index, n_layers = model->n_layers;
    switch (mix->ftype) {
    case FTYPE_Q2_K: return "Q3_K";
    case FTYPE_Q2_K_S: return layer < n_layers / 8 ? "Q4_K" : mix->encoding;
    case FTYPE_Q3_K_M: return layer < n_layers / 16 ? "Q5_K" : "Q4_K";
    case FTYPE_Q3_K_L: return "Q5_K";
    case FTYPE_Q4_K_M:
    case FTYPE_Q5_K_M: return more_bits(layer, n_layers) ? "Q6_K" : mix->encoding;
    case FTYPE_Q4_K_S: return layer < n_layers / 8 ? "Q5_K" : mix->encoding;
    case FTYPE_IQ4_NL:
    case FTYPE_IQ4_XS: return layer < n_layers / 8 && !model->has_importance ? "Q5_K" : mix->encoding;
    case FTYPE_Q4_0: return layer < n_layers / 8 && model->has_importance ? "Q4_1" : mix->encoding;
    case FTYPE_Q5_0: return layer < n_layers / 8 && model->has_importance ? "Q5_1" : mix->encoding;
    case FTYPE_IQ3_XXS: return model->has_importance ? mix->encoding : layer < n_layers / 8 ? "Q4_K" : "Q3_K";
    case FTYPE_IQ3_M:
        return layer < n_layers / 8 || (model->n_experts == 8 && more_bits(layer, n_layers)) ? "Q4_K" : mix->encoding;
    default: return mix->encoding;
    }
}

/* The mixes of about two bits and less: 1 for those whose sensitive matrices get Q2_K, 2 for IQ3_S, 0 for all other mixes. */
static int two_bits(const struct el_mix *mix)
{
    switch (mix->ftype) {
    case FTYPE_IQ2_XXS:
    case FTYPE_IQ2_XS:
    case FTYPE_IQ1_S:
    case FTYPE_IQ1_M: return 1;
    case FTYPE_IQ2_S:
    case FTYPE_IQ2_M: return 2;
    default: return 0;
    }
}

static const char *choose_two_bits(const struct el_mix *mix, const struct el_mix_model *model, struct el_mix_state *state,
                                   enum el_category category)
{
    const char *const more = two_bits(mix) == 2 ? "IQ3_S" : "Q2_K";
    const bool one_bit = mix->ftype == FTYPE_IQ1_S || mix->ftype == FTYPE_IQ1_M;
    switch (category) {
    case EL_CAT_TOKEN_EMBD: return more;
    case EL_CAT_ATTN_V: return model->heads_per_kv >= 4 || model->n_experts >= 4 ? "Q4_K" : more;
    case EL_CAT_ATTN_K: return model->n_experts == 8 ? "Q4_K" : mix->encoding;
    case EL_CAT_FFN_DOWN: return state->n_ffn_down++ < model->n_layers / 8 ? more : mix->encoding;
    case EL_CAT_ATTN_OUT:
        return model->n_experts == 8 ? "Q5_K" : one_bit ? "IQ2_XXS" : two_bits(mix) == 2 ? "IQ3_S" : mix->encoding;
    default: return mix->encoding;
    }
}

/* The two mixes of about three bits that give q and k, and gate and up in the middle, less than the rest. */
static const char *choose_less(const struct el_mix *mix, const struct el_mix_model *model, const char *tensor,
                               enum el_category category)
{
    const int64_t layer = el_mix_layer(tensor), n = model->n_layers;
    if (category != EL_CAT_FFN_GATE_UP)
        return mix->ftype == FTYPE_IQ3_XS ? "IQ3_XXS" : mix->ftype == FTYPE_IQ3_XXS ? "IQ2_S" : mix->encoding;
    return mix->ftype == FTYPE_IQ3_XS && layer >= n / 8 && layer < 7 * n / 8 ? "IQ3_XXS" : mix->encoding;
}

const char *el_mix_choose(const struct el_mix *mix, const struct el_mix_model *model, struct el_mix_state *state,
                          const struct el_mix_tensor *t, uint32_t block_n)
{
    const enum el_category category = el_mix_category(t->name);
    const bool as_output = category == EL_CAT_OUTPUT || (category == EL_CAT_TOKEN_EMBD && model->tied);
    if (mix->ftype == FTYPE_MXFP4_MOE)
        return !as_output && t->is_stack ? mix->encoding : "Q8_0";
    if (as_output)
        return t->n_in % block_n != 0 || is(mix->encoding, "Q8_0") ? "Q8_0"
               : two_bits(mix) > 0 || mix->ftype == FTYPE_IQ3_XXS  ? "Q5_K"
                                                                   : "Q6_K";
    if (two_bits(mix) > 0)
        return choose_two_bits(mix, model, state, category);
    switch (category) {
    case EL_CAT_TOKEN_EMBD: return is_ternary(mix) ? "Q4_K" : mix->ftype == FTYPE_IQ3_XXS ? "IQ3_S" : mix->encoding;
    case EL_CAT_ATTN_V: return choose_attn_v(mix, model, state->n_attn_v++);
    case EL_CAT_ATTN_K: return model->n_experts == 8 ? "Q8_0" : choose_less(mix, model, t->name, category);
    case EL_CAT_ATTN_Q:
    case EL_CAT_FFN_GATE_UP: return choose_less(mix, model, t->name, category);
    case EL_CAT_ATTN_OUT: return choose_attn_out(mix, model);
    case EL_CAT_FFN_DOWN: return choose_ffn_down(mix, model, t->name, state->n_ffn_down++);
    default: return mix->encoding;
    }
}
