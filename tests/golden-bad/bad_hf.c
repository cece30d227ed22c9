/*
 * Damaged and hostile Hugging Face folders. Each row takes a good folder (a fixture), changes one file, and says which status and
 * which words it must be refused with.
 */
#include "test.h"

#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/err.h"
#include "tensor/source.h"

static const char *const members[] = {"config.json",
                                      "generation_config.json",
                                      "tokenizer.json",
                                      "tokenizer_config.json",
                                      "model.safetensors",
                                      "model.safetensors.index.json",
                                      "model-00001-of-00003.safetensors",
                                      "model-00002-of-00003.safetensors",
                                      "model-00003-of-00003.safetensors"};

static const char *in(const char *folder, const char *name)
{
    static char ring[8][4096];
    static unsigned next;
    char *const s = ring[next++ % 8];
    if (snprintf(s, sizeof ring[0], "%s/%s", folder, name) >= (int)sizeof ring[0])
        abort(); /* the tests choose both names: a path that does not fit is a bug of theirs */
    return s;
}

static bool copy_folder(const char *from, const char *to)
{
    if (mkdir(to, 0777) != 0)
        return false;
    for (size_t i = 0; i < sizeof members / sizeof members[0]; i++) {
        size_t n;
        char *const data = test_read(in(from, members[i]), &n);
        const bool ok = !data || test_write(in(to, members[i]), data, n);
        free(data);
        if (!ok)
            return false;
    }
    return true;
}

/* Every occurrence of `old` in a file becomes `new`. False when there is none. */
static bool replace(const char *path, const char *old, const char *new)
{
    size_t n;
    char *const data = test_read(path, &n);
    if (!data)
        return false;
    struct el_buf b;
    el_buf_init(&b);
    const char *p = data, *const end = data + n;
    unsigned n_found = 0;
    for (const char *hit; (hit = memmem(p, (size_t)(end - p), old, strlen(old))); p = hit + strlen(old)) {
        el_buf_add(&b, p, (size_t)(hit - p));
        el_buf_add_str(&b, new);
        n_found++;
    }
    el_buf_add(&b, p, (size_t)(end - p));
    const bool ok = n_found > 0 && test_write(path, b.data, b.nbytes);
    el_buf_release(&b);
    free(data);
    return ok;
}

static const struct {
    const char *name, *from; /* fixture */
    const char *file;        /* that is changed */
    const char *old, *new;   /* old NULL: the whole text becomes new; new NULL too: the file goes */
    enum el_status code;
    const char *says;
} cases[] = {
#define CONFIG(name, old, new, code, says)                                                                                       \
    {                                                                                                                            \
        name, "llama", "config.json", old, new, code, says                                                                       \
    }
    CONFIG("no config", NULL, NULL, EL_E_FORMAT, "is a folder without config.json"),
    CONFIG("config empty", NULL, "", EL_E_FORMAT, "config.json: not valid JSON at line 1, byte 0: it ends too early"),
    CONFIG("config cut", NULL, "{\"architectures\": [\"Ll", EL_E_FORMAT, "string without an end"),
    CONFIG("config an array", NULL, "[]", EL_E_FORMAT, "config.json: is not an object"),
    CONFIG("config without a family", NULL, "{}", EL_E_FORMAT, "neither architectures nor model_type"),
    CONFIG("family unknown", "LlamaForCausalLM", "BertModel", EL_E_UNSUPPORTED, "architectures names 'BertModel', known are"),
    CONFIG("family with an escape code", "LlamaForCausalLM", "\\u001b]52;x", EL_E_UNSUPPORTED, "names '\\x1b]52;x'"),
    CONFIG("size missing", "\"hidden_size\": 32", "\"x\": 32", EL_E_FORMAT, "config.json: no hidden_size"),
    CONFIG("size a string", "\"hidden_size\": 32", "\"hidden_size\": \"32\"", EL_E_FORMAT, "hidden_size is not an integer"),
    CONFIG("size negative", "\"hidden_size\": 32", "\"hidden_size\": -32", EL_E_FORMAT, "hidden_size is not an integer"),
    CONFIG("size 0", "\"hidden_size\": 32", "\"hidden_size\": 0", EL_E_FORMAT, "llama.embedding_length"),
    CONFIG("size 2^32", "\"hidden_size\": 32", "\"hidden_size\": 4294967296", EL_E_FORMAT, "hidden_size is not an integer"),
    CONFIG("size another", "\"hidden_size\": 32", "\"hidden_size\": 64", EL_E_FORMAT, "config.json makes it [288, 64]"),
    CONFIG("twice the same key", "\"hidden_size\": 32", "\"hidden_size\": 32, \"hidden_size\": 64", EL_E_FORMAT,
           "'hidden_size' occurs twice"),
    CONFIG("no layers", "\"num_hidden_layers\": 2", "\"num_hidden_layers\": 0", EL_E_FORMAT, "llama.block_count"),
    CONFIG("a layer too many", "\"num_hidden_layers\": 2", "\"num_hidden_layers\": 3", EL_E_FORMAT,
           "9 problems: tensor 'model.layers.2.input_layernorm.weight' is missing"),
    CONFIG("a layer too few", "\"num_hidden_layers\": 2", "\"num_hidden_layers\": 1", EL_E_UNSUPPORTED,
           "9 problems: tensor 'model.layers.1.input_layernorm.weight' is not one of a llama model"),
    CONFIG("5,000 layers", "\"num_hidden_layers\": 2", "\"num_hidden_layers\": 5000", EL_E_FORMAT, "llama.block_count"),
    CONFIG("heads 0", "\"num_attention_heads\": 4", "\"num_attention_heads\": 0", EL_E_FORMAT, "llama.attention.head_count"),
    CONFIG("KV heads do not divide", "\"num_key_value_heads\": 2", "\"num_key_value_heads\": 3", EL_E_FORMAT,
           "head_count_kv is 3"),
    CONFIG("KV heads another", "\"num_key_value_heads\": 2", "\"num_key_value_heads\": 4", EL_E_FORMAT, "4 problems: tensor"),
    CONFIG("vocabulary 0", "\"vocab_size\": 288", "\"vocab_size\": 0", EL_E_FORMAT, "vocab_size"),
    CONFIG("eps a string", "\"rms_norm_eps\": 1e-05", "\"rms_norm_eps\": \"small\"", EL_E_FORMAT, "rms_norm_eps is not a number"),
    CONFIG("eps infinite", "\"rms_norm_eps\": 1e-05", "\"rms_norm_eps\": 1e999", EL_E_FORMAT, "'rms_norm_eps' is not finite"),
    CONFIG("theta 0", "\"rope_theta\": 10000.0", "\"rope_theta\": 0", EL_E_FORMAT, "rope.freq_base"),
    CONFIG("scaling unknown", "\"rope_scaling\": null", "\"rope_scaling\": {\"type\": \"yarn\", \"factor\": 4}", EL_E_UNSUPPORTED,
           "'yarn'"),
    CONFIG("scaling without factor", "\"rope_scaling\": null", "\"rope_scaling\": {\"type\": \"linear\"}", EL_E_FORMAT,
           "no factor"),
    CONFIG("activation unknown", "\"hidden_act\": \"silu\"", "\"hidden_act\": \"relu\"", EL_E_UNSUPPORTED,
           "hidden_act is 'relu'"),
    CONFIG("untied, and no lm_head", "\"tie_word_embeddings\": false", "\"tie_word_embeddings\": false, \"x\": 1", EL_OK, ""),
    {"tied says no, lm_head missing", "qwen2-tied", "config.json", "\"tie_word_embeddings\": true",
     "\"tie_word_embeddings\": false", EL_E_FORMAT, "tensor 'lm_head.weight' is missing"},
    {"experts too few", "mixtral", "config.json", "\"num_local_experts\": 8", "\"num_local_experts\": 7", EL_E_UNSUPPORTED,
     "8 problems: "},
    {"experts too many", "mixtral", "config.json", "\"num_local_experts\": 8", "\"num_local_experts\": 9", EL_E_FORMAT,
     "8 problems: "},
    {"more experts in use than there are", "mixtral", "config.json", "\"num_experts_per_tok\": 2", "\"num_experts_per_tok\": 9",
     EL_E_FORMAT, "expert_used_count"},
    {"experts without end", "mixtral", "config.json", "\"num_local_experts\": 8", "\"num_local_experts\": 4294967295",
     EL_E_FORMAT, "expert_count"},
#define FAMILY(name, from, old, new, code, says)                                                                                 \
    {                                                                                                                            \
        name, from, "config.json", old, new, code, says                                                                          \
    }
    FAMILY("biases that the config denies", "llama-bias", "\"mlp_bias\": true", "\"mlp_bias\": false", EL_E_FORMAT,
           "config.json: mlp_bias is false, but tensors 'model.layers.N.mlp.gate_proj.bias' are there"),
    FAMILY("biases that the folder lacks", "granite", "\"attention_bias\": false", "\"attention_bias\": true", EL_E_FORMAT,
           "attention_bias is true, but tensors"),
    FAMILY("a multiplier of 0", "granite", "\"residual_multiplier\": 0.6", "\"residual_multiplier\": 0", EL_E_FORMAT,
           "granite.residual_scale is 0"),
    FAMILY("a multiplier that is a list", "granite", "\"logits_scaling\": 4.0", "\"logits_scaling\": [4.0]", EL_E_FORMAT,
           "logits_scaling is not a number"),
    FAMILY("heads of another width", "qwen3", "\"head_dim\": 16", "\"head_dim\": 8", EL_E_FORMAT, "18 problems: tensor"),
    FAMILY("norms of q and k in another family", "qwen3", "Qwen3ForCausalLM", "MistralForCausalLM", EL_E_UNSUPPORTED,
           "6 problems: tensor 'model.layers.0.self_attn.k_norm.weight' is not one of a mistral model"),
    FAMILY("a window of -1", "mistral-window", "\"sliding_window\": 12", "\"sliding_window\": -1", EL_E_FORMAT,
           "sliding_window is not an integer"),
    FAMILY("matrices not transposed", "gpt2", "GPT2LMHeadModel", "GPTBigCodeForCausalLM", EL_E_UNSUPPORTED, "problems: tensor"),
    FAMILY("a wider MLP than the folder has", "gpt2-untied", "\"n_inner\": 48", "\"n_inner\": 64", EL_E_FORMAT,
           "config.json makes it [32, 64]"),
    FAMILY("scores by layer", "gpt2", "\"n_inner\": null", "\"scale_attn_by_inverse_layer_idx\": true", EL_E_UNSUPPORTED,
           "scale_attn_by_inverse_layer_idx is true"),
    FAMILY("projections that the config denies", "opt-350m", "\"word_embed_proj_dim\": 16", "\"word_embed_proj_dim\": 32",
           EL_E_FORMAT, "tensor 'model.decoder.project_in.weight' is not one of a opt model"),
    FAMILY("projections that the folder lacks", "opt", "\"word_embed_proj_dim\": 32", "\"word_embed_proj_dim\": 16", EL_E_FORMAT,
           "tensor 'model.decoder.project_in.weight' is missing"),
    FAMILY("a last norm that the folder lacks", "opt-350m", "\"do_layer_norm_before\": false", "\"do_layer_norm_before\": true",
           EL_E_FORMAT, "tensor 'model.decoder.final_layer_norm.weight' is missing"),
    FAMILY("a last norm that the config denies", "opt", "\"do_layer_norm_before\": true", "\"do_layer_norm_before\": false",
           EL_E_UNSUPPORTED, "tensor 'model.decoder.final_layer_norm.bias' is not one of a opt model"),
    FAMILY("biases of OPT denied", "opt", "\"enable_bias\": true", "\"enable_bias\": false", EL_E_UNSUPPORTED,
           "18 problems: tensor 'model.decoder.layers.0.fc1.bias' is not one of"),
    FAMILY("positions fewer than rows", "opt", "\"max_position_embeddings\": 64", "\"max_position_embeddings\": 66", EL_E_FORMAT,
           "tensor 'model.decoder.embed_positions.weight' is [66, 32], config.json makes it [68, 32]"),
    FAMILY("parallel, and two norms", "stablelm", "\"use_parallel_residual\": false", "\"use_parallel_residual\": true",
           EL_E_FORMAT, "use_parallel_residual is true, but tensors 'model.layers.N.post_attention_layernorm.weight' are there"),
    FAMILY("not parallel, and one norm", "stablelm-parallel", "\"use_parallel_residual\": true",
           "\"use_parallel_residual\": false", EL_E_FORMAT, "use_parallel_residual is false, but tensors"),
    FAMILY("norms of heads denied", "stablelm-parallel", "\"qk_layernorm\": true", "\"qk_layernorm\": false", EL_E_FORMAT,
           "qk_layernorm is false, but tensors"),
    FAMILY("more heads than norms", "stablelm-parallel", "\"num_key_value_heads\": 2", "\"num_key_value_heads\": 4", EL_E_FORMAT,
           "problems: tensor"),
    FAMILY("an odd number of rotated columns", "stablelm", "\"partial_rotary_factor\": 0.25", "\"partial_rotary_factor\": 0.2",
           EL_E_FORMAT, "stablelm.rope.dimension_count is 3, allowed are even numbers"),
    FAMILY("biases of StarCoder2 denied", "starcoder2", "\"use_bias\": true", "\"use_bias\": false", EL_E_FORMAT,
           "use_bias is false, but tensors 'model.layers.N.self_attn.q_proj.bias' are there"),
    FAMILY("biases that the folder lacks", "starcoder2-window", "\"use_bias\": false", "\"use_bias\": true", EL_E_FORMAT,
           "use_bias is true, but tensors"),
    FAMILY("a gate that StarCoder2 lacks", "starcoder2", "gelu_pytorch_tanh", "silu", EL_E_UNSUPPORTED, "hidden_act is 'silu'"),
    FAMILY("a window of no size", "starcoder2-window", "\"sliding_window\": 6", "\"sliding_window\": -6", EL_E_FORMAT,
           "sliding_window is not an integer"),
    FAMILY("layers without experts", "qwen3moe", "\"decoder_sparse_step\": 1", "\"decoder_sparse_step\": 2", EL_E_UNSUPPORTED,
           "decoder_sparse_step is not 1"),
    FAMILY("one layer without experts", "qwen3moe", "\"mlp_only_layers\": []", "\"mlp_only_layers\": [0]", EL_E_UNSUPPORTED,
           "mlp_only_layers is not empty"),
    FAMILY("a window among experts", "qwen3moe", "\"use_sliding_window\": false", "\"use_sliding_window\": true",
           EL_E_UNSUPPORTED, "use_sliding_window is true"),
    FAMILY("shares of experts a word", "qwen3moe", "\"norm_topk_prob\": true", "\"norm_topk_prob\": \"yes\"", EL_E_FORMAT,
           "norm_topk_prob is not true or false"),
    FAMILY("wider experts", "qwen3moe", "\"moe_intermediate_size\": 16", "\"moe_intermediate_size\": 96", EL_E_FORMAT,
           "config.json makes it [96, 32]"),
    FAMILY("experts of width 0", "qwen3moe", "\"moe_intermediate_size\": 16", "\"moe_intermediate_size\": 0", EL_E_FORMAT,
           "qwen3moe.expert_feed_forward_length"),
    FAMILY("no experts at all", "olmoe", "\"num_experts\": 8", "\"num_experts\": 0", EL_E_FORMAT, "olmoe.expert_count is 0"),
    FAMILY("a shared expert of width 0", "qwen2moe", "\"shared_expert_intermediate_size\": 48",
           "\"shared_expert_intermediate_size\": 0", EL_E_FORMAT, "qwen2moe.expert_shared_feed_forward_length"),
    FAMILY("biases of q denied", "qwen2moe", "\"norm_topk_prob\": false", "\"norm_topk_prob\": false, \"qkv_bias\": false",
           EL_E_FORMAT, "qkv_bias is false, but tensors 'model.layers.N.self_attn.q_proj.bias' are there"),
    FAMILY("q clipped", "olmoe", "\"clip_qkv\": null", "\"clip_qkv\": 8.0", EL_E_UNSUPPORTED, "clip_qkv is not null"),
    FAMILY("norms of q as in another family", "olmoe", "OlmoeForCausalLM", "Qwen3MoeForCausalLM", EL_E_FORMAT,
           "problems: tensor"),
    FAMILY("a factor too many", "phi3-long", "\"short_factor\": [", "\"short_factor\": [0.5,", EL_E_FORMAT,
           "phi3.rope.scaling.short_factor is not an array of 6 float32"),
    FAMILY("a factor below 0", "phi3-long", "1.15", "-1.15", EL_E_FORMAT,
           "phi3.rope.scaling.short_factor: element 1 is -1.15, allowed are positive numbers"),
    FAMILY("a factor that is a word", "phi3-long", "1.15", "\"1.15\"", EL_E_FORMAT,
           "rope_scaling.short_factor is not an array of"),
    FAMILY("no factors", "phi3-long", "\"long_factor\": [", "\"x\": [", EL_E_FORMAT, "rope_scaling.long_factor is not an array"),
    FAMILY("a factor of attention of 0", "phi3-long", "\"type\": \"longrope\"", "\"type\": \"longrope\", \"attention_factor\": 0",
           EL_E_FORMAT, "phi3.rope.scaling.attn_factor is 0"),
    FAMILY("scaling of another family", "phi3-long", "\"type\": \"longrope\"", "\"type\": \"llama3\"", EL_E_UNSUPPORTED,
           "'llama3', known are default, longrope"),
    FAMILY("long scaling in another family", "llama", "\"rope_scaling\": null", "\"rope_scaling\": {\"type\": \"longrope\"}",
           EL_E_UNSUPPORTED, "'longrope', known are default, linear, llama3"),
    FAMILY("an original context of 0", "phi3-long", "\"original_max_position_embeddings\": 32",
           "\"original_max_position_embeddings\": 0", EL_E_FORMAT, "phi3.rope.scaling.original_context_length"),
    FAMILY("a narrower MLP than what is fused", "phi3", "\"intermediate_size\": 48", "\"intermediate_size\": 40", EL_E_FORMAT,
           "is [96, 32], config.json makes it [80, 32]"),
    FAMILY("a cap below 0", "gemma2", "\"attn_logit_softcapping\": 4.0", "\"attn_logit_softcapping\": -4.0", EL_E_FORMAT,
           "attn_logit_softcapping is not a positive number or null"),
    FAMILY("a cap that is a word", "gemma2", "\"final_logit_softcapping\": 6.0", "\"final_logit_softcapping\": \"6\"",
           EL_E_FORMAT, "final_logit_softcapping is not a positive number or null"),
    FAMILY("a scale of scores of 0", "gemma2", "\"query_pre_attn_scalar\": 16", "\"query_pre_attn_scalar\": 0", EL_E_FORMAT,
           "query_pre_attn_scalar is not an integer from 1"),
    FAMILY("another GELU", "gemma2", "gelu_pytorch_tanh", "gelu", EL_E_UNSUPPORTED, "hidden_activation is 'gelu'"),
    FAMILY("later positions", "gemma2", "\"head_dim\": 16", "\"head_dim\": 16, \"use_bidirectional_attention\": true",
           EL_E_UNSUPPORTED, "use_bidirectional_attention is true"),
    FAMILY("windows without order", "gemma2", "\"head_dim\": 16",
           "\"head_dim\": 16, \"layer_types\": [\"full_attention\", \"sliding_attention\", \"full_attention\"]", EL_E_UNSUPPORTED,
           "layer_types: layer 1 is 'sliding_attention'"),
    FAMILY("windows for fewer layers", "gemma2", "\"head_dim\": 16", "\"head_dim\": 16, \"layer_types\": [\"full_attention\"]",
           EL_E_FORMAT, "layer_types: 1 layers, num_hidden_layers says 3"),
    FAMILY("windows of an unknown kind", "gemma2", "\"head_dim\": 16",
           "\"head_dim\": 16, \"layer_types\": [\"chunked_attention\", \"full_attention\", \"sliding_attention\"]",
           EL_E_UNSUPPORTED, "layer_types: layer 0 is 'chunked_attention'"),
    FAMILY("windows in no layer", "gemma3", "\"sliding_window_pattern\": 6", "\"sliding_window_pattern\": 0", EL_E_FORMAT,
           "sliding_window_pattern is not an integer from 1"),
    FAMILY("a local base of 0", "gemma3", "\"rope_local_base_freq\": 10000.0", "\"rope_local_base_freq\": 0", EL_E_FORMAT,
           "gemma3.rope.freq_base_swa is 0"),
    FAMILY("norms of q and k that Gemma 2 lacks", "gemma3", "Gemma3ForCausalLM", "Gemma2ForCausalLM", EL_E_UNSUPPORTED,
           "14 problems: tensor 'model.layers.0.self_attn.k_norm.weight' is not one of a gemma2 model"),
    {"a norm of one head renamed", "stablelm-parallel", "model.safetensors", "layers.1.self_attn.q_layernorm.norms.3.weight",
     "layers.1.self_attn.q_layernorm.norms.4.weight", EL_E_UNSUPPORTED,
     "2 problems: tensor 'model.layers.1.self_attn.q_layernorm.norms.4.weight' is not one of a stablelm model"},
    {"a name with the prefix twice", "gpt2", "model.safetensors", "h.1.mlp.c_proj.bias", "transformer.h.1.mlp", EL_E_UNSUPPORTED,
     "2 problems: tensor 'transformer.h.1.mlp' is not one of a gpt2 model"},
#define MODEL(name, old, new, code, says)                                                                                        \
    {                                                                                                                            \
        name, "llama", "model.safetensors", old, new, code, says                                                                 \
    }
    MODEL("no weights", NULL, NULL, EL_E_FORMAT, "neither model.safetensors nor pytorch_model.bin nor an index of either"),
    MODEL("weights empty", NULL, "", EL_E_FORMAT, "truncated: 0 bytes"),
    MODEL("weights a pointer", NULL, "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 4\n", EL_E_FORMAT,
          "model.safetensors': header of"),
    MODEL("a tensor renamed", "model.norm.weight", "model.morn.weight", EL_E_UNSUPPORTED,
          "2 problems: tensor 'model.morn.weight' is not one of a llama model; tensor 'model.norm.weight' is missing"),
    MODEL("a layer number with a zero", "model.layers.0.mlp.up_proj.weight", "model.layers.00.mlp.up_proj.weigh",
          EL_E_UNSUPPORTED, "'model.layers.00.mlp.up_proj.weigh' is not one of"),
    MODEL("integers for weights", "\"model.norm.weight\":{\"dtype\":\"F32\"", "\"model.norm.weight\":{\"dtype\":\"I32\"",
          EL_E_UNSUPPORTED, "tensor 'model.norm.weight' is I32, weights must be F32, F16 or BF16"),
    MODEL("a vector in two dimensions", "\"model.norm.weight\":{\"dtype\":\"F32\",\"shape\":[32]",
          "\"model.norm.weight\":{\"dtype\":\"F32\",\"shape\":[ 32]", EL_E_FORMAT, "model.safetensors'"),
    {"an expert of another type", "mixtral", "model.safetensors", "experts.7.w3.weight\":{\"dtype\":\"F32\",\"shape\":[32,32]",
     "experts.7.w3.weight\":{\"dtype\":\"F16\",\"shape\":[64,32]", EL_E_FORMAT, "config.json makes it [32, 32]"},
#define INDEX(name, old, new, code, says)                                                                                        \
    {                                                                                                                            \
        name, "llama-sharded", "model.safetensors.index.json", old, new, code, says                                              \
    }
    INDEX("index gone", NULL, NULL, EL_E_FORMAT, "neither model.safetensors nor"),
    INDEX("index empty", NULL, "", EL_E_FORMAT, "model.safetensors.index.json: not valid JSON"),
    INDEX("index a string", NULL, "\"x\"", EL_E_FORMAT, "model.safetensors.index.json: is not an object"),
    INDEX("no map", NULL, "{\"metadata\": {}}", EL_E_FORMAT, "no weight_map, or it is not an object"),
    INDEX("map an array", NULL, "{\"weight_map\": []}", EL_E_FORMAT, "no weight_map, or it is not an object"),
    INDEX("map empty", NULL, "{\"weight_map\": {}}", EL_E_FORMAT, "weight_map: names no file"),
    INDEX("file a number", NULL, "{\"weight_map\": {\"a\": 1}}", EL_E_FORMAT, "weight_map: the file of 'a' is not a string"),
    INDEX("file in another folder", NULL, "{\"weight_map\": {\"a\": \"../../etc/passwd\"}}", EL_E_FORMAT,
          "'../../etc/passwd' is not a plain file name"),
    INDEX("file absolute", NULL, "{\"weight_map\": {\"a\": \"/etc/passwd\"}}", EL_E_FORMAT,
          "'/etc/passwd' is not a plain file name"),
    INDEX("file of Windows", NULL, "{\"weight_map\": {\"a\": \"..\\\\x\"}}", EL_E_FORMAT, "is not a plain file name"),
    INDEX("file with an escape code", NULL, "{\"weight_map\": {\"a\": \"\\u001b[2J\"}}", EL_E_FORMAT,
          "'\\x1b[2J' is not a plain file name"),
    INDEX("file the folder itself", NULL, "{\"weight_map\": {\"a\": \".\"}}", EL_E_FORMAT, "is not a plain file name"),
    INDEX("file missing", "model-00003-of-00003", "model-00004-of-00003", EL_E_FORMAT,
          "file 'model-00004-of-00003.safetensors' is missing"),
    INDEX("tensor in another shard", "\"model.norm.weight\": \"model-00003", "\"model.norm.weight\": \"model-00001", EL_E_FORMAT,
          "tensor 'model.norm.weight' is in file 'model-00003-of-00003.safetensors', the index says "
          "'model-00001-of-00003.safetensors'"),
    INDEX("tensor not in the index", "\"model.norm.weight\": \"model-00003-of-00003.safetensors\"",
          "\"x\": \"model-00003-of-00003.safetensors\"", EL_E_FORMAT,
          "2 problems: tensor 'model.norm.weight' of file 'model-00003-of-00003.safetensors' is not in the index; tensor 'x' is "
          "not in file"),
    INDEX("twice the same tensor", "\"weight_map\": {", "\"weight_map\": {\"lm_head.weight\": \"x\", ", EL_E_FORMAT,
          "'lm_head.weight' occurs twice"),
    {"a shard gone", "llama-sharded", "model-00002-of-00003.safetensors", NULL, NULL, EL_E_FORMAT,
     "file 'model-00002-of-00003.safetensors' is missing"},
    {"a shard cut", "llama-sharded", "model-00002-of-00003.safetensors", NULL, "xxxxxxx", EL_E_FORMAT,
     "model-00002-of-00003.safetensors': truncated"},
    {"tokenizer empty", "llama", "tokenizer.json", NULL, "", EL_E_FORMAT, "not valid JSON"},
    {"tokenizer an array", "llama", "tokenizer.json", NULL, "[]", EL_E_FORMAT, "tokenizer"},
    {"tokenizer configuration broken", "llama", "tokenizer_config.json", NULL, "{", EL_E_FORMAT, "not valid JSON"},
    {"generation configuration broken", "llama", "generation_config.json", NULL, "{", EL_E_FORMAT, "not valid JSON"},
};

TEST(bad_hf, table)
{
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char name[32], folder[4096], from[4096];
        snprintf(name, sizeof name, "bad-hf-%zu", i);
        snprintf(folder, sizeof folder, "%s", test_tmp(name));
        snprintf(name, sizeof name, "fixtures/%s", cases[i].from);
        snprintf(from, sizeof from, "%s", test_data(name));
        REQUIRE(copy_folder(from, folder));
        const char *const path = in(folder, cases[i].file);
        const bool changed = cases[i].old   ? replace(path, cases[i].old, cases[i].new)
                             : cases[i].new ? test_write(path, cases[i].new, strlen(cases[i].new))
                                            : unlink(path) == 0;
        if (!changed)
            test_fail(__FILE__, __LINE__, "%s: nothing to change", cases[i].name);
        struct el_err err = {0};
        struct el_source *s;
        const enum el_status status = el_source_open(folder, NULL, &s, &err);
        if (status != cases[i].code || !strstr(err.text, cases[i].says))
            test_fail(__FILE__, __LINE__, "%s: status %d, '%s', wanted %d, '%s'", cases[i].name, (int)status, err.text,
                      (int)cases[i].code, cases[i].says);
        el_source_close(s);
        CHECK_EQ_INT(el_source_open(folder, NULL, &s, NULL), cases[i].code);
        el_source_close(s);
    }
}

static const char *good_folder(const char *name)
{
    static char folder[4096], from[4096];
    snprintf(folder, sizeof folder, "%s", test_tmp(name));
    snprintf(from, sizeof from, "%s", test_data("fixtures/llama"));
    return copy_folder(from, folder) ? folder : NULL;
}

static void refuses(const char *folder, enum el_status code, const char *says)
{
    struct el_err err = {0};
    struct el_source *s;
    const enum el_status status = el_source_open(folder, &(struct el_source_opts){.format = "hf"}, &s, &err);
    if (status != code || !strstr(err.text, says))
        test_fail(__FILE__, __LINE__, "status %d, '%s', wanted %d, '%s'", (int)status, err.text, (int)code, says);
    el_source_close(s);
}

TEST(bad_hf, pickles)
{
    static const struct {
        const char *name;
        const char *bytes;
        enum el_status code;
        const char *says;
    } files[] = {
        {"pytorch_model.bin", "x", EL_E_FORMAT, "pytorch_model.bin': is neither a zip archive nor an older file of torch.save"},
        {"pytorch_model.bin", "\x80\x02}.", EL_E_UNSUPPORTED, "is a Python pickle, but none that torch.save has written"},
        {"pytorch_model.bin.index.json", "x", EL_E_FORMAT, "pytorch_model.bin.index.json: not valid JSON"},
        {"pytorch_model.bin.index.json", "{\"weight_map\":{\"a\":\"b.bin\"}}", EL_E_FORMAT, "file 'b.bin' is missing"},
        {"consolidated.00.pth", "x", EL_E_UNSUPPORTED, "only consolidated.00.pth in the folder: has Meta's own names"},
    };
    const char *const folder = good_folder("bad-hf-pickle");
    REQUIRE(folder && unlink(in(folder, "model.safetensors")) == 0);
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        REQUIRE(test_write(in(folder, files[i].name), files[i].bytes, strlen(files[i].bytes)));
        refuses(folder, files[i].code, files[i].says);
        REQUIRE(unlink(in(folder, files[i].name)) == 0);
    }
}

TEST(bad_hf, files_that_are_none)
{
    const char *const folder = good_folder("bad-hf-fifo");
    REQUIRE(folder && unlink(in(folder, "model.safetensors")) == 0 && mkfifo(in(folder, "model.safetensors"), 0666) == 0);
    refuses(folder, EL_E_IO, "is a FIFO, not a file");
    REQUIRE(unlink(in(folder, "config.json")) == 0 && mkfifo(in(folder, "config.json"), 0666) == 0);
    refuses(folder, EL_E_IO, "config.json': is a FIFO, not a file");
    REQUIRE(unlink(in(folder, "config.json")) == 0);
    refuses(folder, EL_E_FORMAT, "no config.json in the folder");
}

TEST(bad_hf, config_too_large)
{
    const char *const folder = good_folder("bad-hf-large");
    REQUIRE(folder && truncate(in(folder, "config.json"), (16 << 20) + 1) == 0);
    refuses(folder, EL_E_FORMAT, "16777217 bytes, at most 16777216");
}

TEST(bad_hf, a_million_entries)
{
    const char *const folder = good_folder("bad-hf-index");
    REQUIRE(folder && unlink(in(folder, "model.safetensors")) == 0);
    struct el_buf b;
    el_buf_init(&b);
    el_buf_add_str(&b, "{\"weight_map\": {");
    for (int i = 0; i < 1000000; i++)
        el_buf_addf(&b, "%s\"t%d\": \"%d\"", i ? "," : "", i, i);
    el_buf_add_str(&b, "}}");
    REQUIRE(test_write(in(folder, "model.safetensors.index.json"), b.data, b.nbytes));
    refuses(folder, EL_E_FORMAT, "weight_map: more than 9999 files");
    el_buf_release(&b);
}

/* An expert stack whose slices differ in type, and a shard that has a tensor twice: made from parts of good files. */
TEST(bad_hf, a_tensor_in_two_files)
{
    char folder[4096], from[4096];
    snprintf(folder, sizeof folder, "%s", test_tmp("bad-hf-two"));
    snprintf(from, sizeof from, "%s", test_data("fixtures/llama-sharded"));
    REQUIRE(copy_folder(from, folder));
    /* Shard 2 gets a second name, and one tensor of the index points there. */
    size_t n;
    char *const data = test_read(in(folder, "model-00002-of-00003.safetensors"), &n);
    REQUIRE(data && test_write(in(folder, "model-00009-of-00003.safetensors"), data, n));
    free(data);
    REQUIRE(replace(in(folder, "model.safetensors.index.json"), "\"model.layers.0.mlp.down_proj.weight\": \"model-00002",
                    "\"model.layers.0.mlp.down_proj.weight\": \"model-00009"));
    refuses(folder, EL_E_FORMAT, "is in file 'model-00009-of-00003.safetensors', the index says 'model-00002");
}

static unsigned n_warnings;

static void count_warning(void *user, const char *text)
{
    (void)user;
    n_warnings += strstr(text, "is missing") != NULL;
}

TEST(bad_hf, all_problems_are_warned_of)
{
    const char *const folder = good_folder("bad-hf-warn");
    REQUIRE(folder && replace(in(folder, "config.json"), "\"num_hidden_layers\": 2", "\"num_hidden_layers\": 4000"));
    n_warnings = 0;
    el_log_set(count_warning, NULL);
    refuses(folder, EL_E_FORMAT, "35982 problems: ");
    el_log_set(NULL, NULL);
    CHECK_EQ_INT(n_warnings, 100);
}
