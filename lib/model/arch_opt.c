/*
 * OPT (Zhang et al., arXiv:2205.01068): LayerNorm, learned positions whose table begins with two unused rows, ReLU. In the 350M
 * model norms stand behind the additions to the residual stream, and the embedding is narrower than it, with a projection on
 * either side. llama.cpp has no such family: the GGUF names here are our own, made after its names for other families
 * (edgellm-formats(5)).
 */
#include <math.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/limits.h"
#include "model/arch_shared.h"
#include "tensor/meta.h"

extern const struct el_arch el_arch_opt;

static const struct el_field fields[] = {
    {"%s.vocab_size", "vocab_size", EL_FIELD_U32, false, 50272},
    {"%s.context_length", "max_position_embeddings", EL_FIELD_U32, false, 2048},
    {"%s.embedding_length", "hidden_size", EL_FIELD_U32, true, 0},
    {"%s.word_embedding_length", "word_embed_proj_dim", EL_FIELD_U32, false, NAN},
    {"%s.block_count", "num_hidden_layers", EL_FIELD_U32, true, 0},
    {"%s.feed_forward_length", "ffn_dim", EL_FIELD_U32, true, 0},
    {"%s.attention.head_count", "num_attention_heads", EL_FIELD_U32, true, 0},
    {"%s.pre_norm", "do_layer_norm_before", EL_FIELD_BOOL, false, 1},
    {"%s.linear_bias", "enable_bias", EL_FIELD_BOOL, false, 1},
    {"%s.no_output_norm", "_remove_final_layer_norm", EL_FIELD_BOOL, false, 0},
    EL_FIELDS_END,
};

#define ROW_LAYER(role, gguf, hf, ...) EL_ROW(role, "blk.%u." gguf, "model.decoder.layers.%u." hf, EL_TF_LAYER, __VA_ARGS__)
#define ROWS_NORM(role, gguf, hf)                                                                                                \
    ROW_LAYER(role, gguf ".weight", hf ".weight", EL_D_EMBD), ROW_LAYER(role##_B, gguf ".bias", hf ".bias", EL_D_EMBD)
#define ROWS(role, gguf, hf, n_out, n_in)                                                                                        \
    ROW_LAYER(role, gguf ".weight", hf ".weight", n_out, n_in), ROW_LAYER(role##_B, gguf ".bias", hf ".bias", n_out)
static const struct el_tensor_rule tensors[] = {
    EL_ROW(TOKEN_EMBD, "token_embd.weight", "model.decoder.embed_tokens.weight", 0, EL_D_VOCAB, EL_D_EMBD_IO),
    EL_ROW(POS_EMBD, "position_embd.weight", "model.decoder.embed_positions.weight", 0, EL_D_POSITIONS, EL_D_EMBD),
    EL_ROW(EMBD_PROJ, "token_embd_proj.weight", "model.decoder.project_in.weight", 0, EL_D_EMBD, EL_D_EMBD_IO),
    ROWS_NORM(ATTN_NORM, "attn_norm", "self_attn_layer_norm"),
    ROWS(ATTN_Q, "attn_q", "self_attn.q_proj", EL_D_Q, EL_D_EMBD),
    ROWS(ATTN_K, "attn_k", "self_attn.k_proj", EL_D_KV, EL_D_EMBD),
    ROWS(ATTN_V, "attn_v", "self_attn.v_proj", EL_D_KV, EL_D_EMBD),
    ROWS(ATTN_OUT, "attn_output", "self_attn.out_proj", EL_D_EMBD, EL_D_Q),
    ROWS_NORM(ATTN_RESID_NORM, "attn_output_norm", "self_attn_layer_norm"),
    ROWS_NORM(FFN_NORM, "ffn_norm", "final_layer_norm"),
    ROWS(FFN_UP, "ffn_up", "fc1", EL_D_FF, EL_D_EMBD),
    ROWS(FFN_DOWN, "ffn_down", "fc2", EL_D_EMBD, EL_D_FF),
    ROWS_NORM(FFN_RESID_NORM, "layer_output_norm", "final_layer_norm"),
    EL_ROW(OUTPUT_NORM, "output_norm.weight", "model.decoder.final_layer_norm.weight", 0, EL_D_EMBD),
    EL_ROW(OUTPUT_NORM_B, "output_norm.bias", "model.decoder.final_layer_norm.bias", 0, EL_D_EMBD),
    EL_ROW(OUTPUT_PROJ, "output_proj.weight", "model.decoder.project_out.weight", 0, EL_D_EMBD_IO, EL_D_EMBD),
    EL_ROW(OUTPUT, "output.weight", "lm_head.weight", EL_TF_OPTIONAL, EL_D_VOCAB, EL_D_EMBD_IO),
    EL_ROWS_END,
};

/*
 * A norm behind an addition feeds the residual stream: its gain does not move, and no rotation passes it. act: what commutes with
 * the nonlinearity.
 */
#define LINKS(act)                                                                                                               \
    {{EL_R_ATTN_NORM, EL_R_COUNT}, {EL_R_ATTN_Q, EL_R_ATTN_K, EL_R_ATTN_V, EL_R_COUNT}, EL_C_GAIN},                              \
        {{EL_R_ATTN_V, EL_R_COUNT}, {EL_R_ATTN_OUT, EL_R_COUNT}, EL_C_GAIN | EL_C_PERM | EL_C_ROTATE | EL_C_PER_HEAD},           \
        {{EL_R_FFN_NORM, EL_R_COUNT}, {EL_R_FFN_UP, EL_R_COUNT}, EL_C_GAIN},                                                     \
    {                                                                                                                            \
        {EL_R_FFN_UP, EL_R_COUNT}, {EL_R_FFN_DOWN, EL_R_COUNT}, act                                                              \
    }
/* stream: what commutes with what stands in the residual stream. */
#define LINKS_PLAIN(stream)                                                                                                      \
    {{EL_R_OUTPUT_NORM, EL_R_COUNT}, {EL_R_OUTPUT, EL_R_COUNT}, EL_C_GAIN},                                                      \
        {{EL_R_TOKEN_EMBD, EL_R_POS_EMBD, EL_R_ATTN_OUT, EL_R_FFN_DOWN, EL_R_COUNT},                                             \
         {EL_R_ATTN_Q, EL_R_ATTN_K, EL_R_ATTN_V, EL_R_FFN_UP, EL_R_OUTPUT, EL_R_COUNT},                                          \
         (stream) | EL_C_RESIDUAL},                                                                                              \
        EL_LINKS_END
#define LINKS_PROJECTED(stream)                                                                                                  \
    {{EL_R_OUTPUT_NORM, EL_R_COUNT}, {EL_R_OUTPUT_PROJ, EL_R_COUNT}, EL_C_GAIN},                                                 \
        {{EL_R_OUTPUT_PROJ, EL_R_COUNT}, {EL_R_OUTPUT, EL_R_COUNT}, EL_C_GAIN | EL_C_PERM | EL_C_ROTATE},                        \
        {{EL_R_EMBD_PROJ, EL_R_POS_EMBD, EL_R_ATTN_OUT, EL_R_FFN_DOWN, EL_R_COUNT},                                              \
         {EL_R_ATTN_Q, EL_R_ATTN_K, EL_R_ATTN_V, EL_R_FFN_UP, EL_R_OUTPUT_PROJ, EL_R_COUNT},                                     \
         (stream) | EL_C_RESIDUAL},                                                                                              \
        EL_LINKS_END
#define RELU  (EL_C_GAIN | EL_C_POSITIVE | EL_C_PERM)
#define OTHER EL_C_PERM
#define PRE   (EL_C_PERM | EL_C_ROTATE_MEAN)
#define POST  EL_C_PERM
static const struct el_link links[] = {LINKS(RELU), LINKS_PLAIN(PRE)}, links_other[] = {LINKS(OTHER), LINKS_PLAIN(PRE)};
static const struct el_link links_post[] = {LINKS(RELU), LINKS_PLAIN(POST)};
static const struct el_link links_other_post[] = {LINKS(OTHER), LINKS_PLAIN(POST)};
static const struct el_link projected[] = {LINKS(RELU), LINKS_PROJECTED(PRE)};
static const struct el_link projected_other[] = {LINKS(OTHER), LINKS_PROJECTED(PRE)};
static const struct el_link projected_post[] = {LINKS(RELU), LINKS_PROJECTED(POST)};
static const struct el_link projected_other_post[] = {LINKS(OTHER), LINKS_PROJECTED(POST)};

static const struct el_link *wiring(const struct el_hparams *hp, uint64_t roles)
{
    /* By projections, by norms behind the additions, by the nonlinearity. */
    static const struct el_link *const table[2][2][2] = {{{links_other, links}, {links_other_post, links_post}},
                                                         {{projected_other, projected}, {projected_other_post, projected_post}}};
    return table[(roles & EL_ROLE(EMBD_PROJ)) != 0][hp->post_norm][hp->act == EL_FN_RELU];
}

static bool has(const struct el_hparams *hp, enum el_role role)
{
    static const uint64_t pre = EL_ROLE(ATTN_NORM) | EL_ROLE(ATTN_NORM_B) | EL_ROLE(FFN_NORM) | EL_ROLE(FFN_NORM_B);
    static const uint64_t post =
        EL_ROLE(ATTN_RESID_NORM) | EL_ROLE(ATTN_RESID_NORM_B) | EL_ROLE(FFN_RESID_NORM) | EL_ROLE(FFN_RESID_NORM_B);
    static const uint64_t last = EL_ROLE(OUTPUT_NORM) | EL_ROLE(OUTPUT_NORM_B);
    static const uint64_t proj = EL_ROLE(EMBD_PROJ) | EL_ROLE(OUTPUT_PROJ);
    static const uint64_t bias =
        EL_ROLE(ATTN_Q_B) | EL_ROLE(ATTN_K_B) | EL_ROLE(ATTN_V_B) | EL_ROLE(ATTN_OUT_B) | EL_ROLE(FFN_UP_B) | EL_ROLE(FFN_DOWN_B);
    uint64_t lacks = hp->post_norm ? pre : post;
    if (hp->post_norm || hp->no_output_norm)
        lacks |= last;
    if (hp->n_embd_io == hp->n_embd)
        lacks |= proj;
    if (hp->no_bias)
        lacks |= bias;
    return !(lacks & UINT64_C(1) << role);
}

/* torch's LayerNorm has this epsilon where nothing is said, and OPT's configuration says nothing. */
static const float eps = 1e-5f;

static enum el_status hparams(const struct el_arch *arch, const struct el_meta *meta, struct el_hparams *hp, struct el_err *err)
{
    bool pre_norm = true, bias = true;
    EL_TRY(el_arch_common_hparams(arch, meta, "%s.attention.layer_norm_epsilon", hp, err));
    EL_TRY(el_arch_check_heads(hp, err));
    EL_TRY(el_meta_get_u32_or(meta, "opt.word_embedding_length", 1, EL_MAX_EMBD, hp->n_embd, &hp->n_embd_io, err));
    EL_TRY(el_meta_get_bool_or(meta, "opt.pre_norm", true, &pre_norm, err));
    EL_TRY(el_meta_get_bool_or(meta, "opt.linear_bias", true, &bias, err));
    EL_TRY(el_meta_get_bool_or(meta, "opt.no_output_norm", false, &hp->no_output_norm, err));
    hp->layer_norm = true;
    hp->pos_offset = 2;
    hp->post_norm = !pre_norm;
    hp->no_bias = !bias;
    return el_arch_act_hparams(arch, meta, EL_FN_RELU, hp, err);
}

static enum el_status from_config(const struct el_arch *arch, const struct el_json *config, struct el_meta *meta,
                                  struct el_err *err)
{
    const struct el_json *const affine = el_json_get(config, "layer_norm_elementwise_affine");
    if (affine && !el_json_bool(affine))
        return el_fail(err, EL_E_UNSUPPORTED, "layer_norm_elementwise_affine is false, only true is supported");
    EL_TRY(el_meta_set_f32(meta, "opt.attention.layer_norm_epsilon", eps, err));
    return el_arch_act_from_config(arch, config, EL_FN_RELU, meta, err);
}

static enum el_status to_config(const struct el_arch *arch, const struct el_meta *meta, const struct el_hparams *hp,
                                uint64_t roles, struct el_buf *json, struct el_err *err)
{
    (void)arch;
    (void)meta;
    (void)roles;
    if (hp->norm_eps != eps)
        return el_fail(err, EL_E_UNSUPPORTED, "opt.attention.layer_norm_epsilon is %g: an OPT config can say only %g",
                       (double)hp->norm_eps, (double)eps);
    if (hp->n_kv_heads != hp->n_heads)
        return el_fail(err, EL_E_UNSUPPORTED, "%u key/value heads: an OPT config can say only %u", hp->n_kv_heads, hp->n_heads);
    el_buf_addf(json, ",\n  \"activation_function\": \"%s\"", el_arch_act_name(hp));
    return EL_OK;
}

static const char *const hf_classes[] = {"OPTForCausalLM", NULL};
static const char *const hf_ignored[] = {"decoder.version", NULL};

const struct el_arch el_arch_opt = {
    .name = "opt",
    .about = "OPT 125M to 66B",
    .gguf_arch = "opt",
    .hf_classes = hf_classes,
    .hf_model_type = "opt",
    .hf_ignored = hf_ignored,
    .hf_prefix = "model.",
    .hf_tied = true,
    .fields = fields,
    .tensors = tensors,
    .links = links,
    .wiring = wiring,
    .has = has,
    .hparams = hparams,
    .from_config = from_config,
    .to_config = to_config,
    .embed = el_layer_embed,
    .block = el_block_mlp,
    .head = el_layer_head,
};
