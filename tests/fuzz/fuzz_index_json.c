/*
 * model.safetensors.index.json, in a folder of a tiny model of two shards. Property 1: no crash, and no file outside the folder
 * is opened (there is none that would be accepted). Property 2: an accepted index gives the whole model.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "formats/safetensors.h"
#include "tensor/source.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t nbytes);

static char folder[64];
static const char *const files[] = {"config.json", "a.safetensors", "b.safetensors", "model.safetensors.index.json"};

static void require(int holds, const char *what)
{
    if (holds)
        return;
    fprintf(stderr, "property violated: %s\n", what);
    abort();
}

static void put(const char *name, const void *data, size_t nbytes)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *const f = fopen(path, "wb");
    require(f && fwrite(data, 1, nbytes, f) == nbytes && fclose(f) == 0, "the folder can be written");
}

static void remove_folder(void)
{
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        char path[256];
        snprintf(path, sizeof path, "%s/%s", folder, files[i]);
        unlink(path);
    }
    rmdir(folder);
}

/* Tensors of a llama of one layer, two columns, vocabulary 3. */
static const struct {
    const char *name;
    unsigned shard, n_dims;
    uint64_t dims[2];
} tensors[] = {
    {"lm_head.weight", 0, 2, {3, 2}},
    {"model.embed_tokens.weight", 0, 2, {3, 2}},
    {"model.norm.weight", 0, 1, {2}},
    {"model.layers.0.input_layernorm.weight", 0, 1, {2}},
    {"model.layers.0.self_attn.q_proj.weight", 0, 2, {2, 2}},
    {"model.layers.0.self_attn.k_proj.weight", 0, 2, {2, 2}},
    {"model.layers.0.self_attn.v_proj.weight", 1, 2, {2, 2}},
    {"model.layers.0.self_attn.o_proj.weight", 1, 2, {2, 2}},
    {"model.layers.0.post_attention_layernorm.weight", 1, 1, {2}},
    {"model.layers.0.mlp.gate_proj.weight", 1, 2, {2, 2}},
    {"model.layers.0.mlp.up_proj.weight", 1, 2, {2, 2}},
    {"model.layers.0.mlp.down_proj.weight", 1, 2, {2, 2}},
};
enum { N_TENSORS = sizeof tensors / sizeof tensors[0] };

static void put_shard(unsigned shard)
{
    struct el_buf json, file;
    el_buf_init(&json);
    el_buf_init(&file);
    el_st_begin_header(&json);
    uint64_t at = 0;
    for (size_t i = 0; i < N_TENSORS; i++) {
        const uint64_t n = 4 * tensors[i].dims[0] * (tensors[i].n_dims == 2 ? tensors[i].dims[1] : 1);
        if (tensors[i].shard != shard)
            continue;
        el_st_add_tensor(&json, tensors[i].name, "F32", tensors[i].n_dims, tensors[i].dims, at, at + n);
        at += n;
    }
    el_buf_add_byte(&json, '}');
    el_buf_add_u64(&file, json.nbytes);
    el_buf_add(&file, json.data, json.nbytes);
    for (uint64_t i = 0; i < at; i++)
        el_buf_add_byte(&file, 0);
    put(files[1 + shard], file.data, file.nbytes);
    el_buf_release(&json);
    el_buf_release(&file);
}

static void make_folder(void)
{
    static const char config[] = "{\"architectures\":[\"LlamaForCausalLM\"],\"vocab_size\":3,\"hidden_size\":2,\"num_hidden_"
                                 "layers\":1,\"intermediate_size\":2,"
                                 "\"num_attention_heads\":1,\"rms_norm_eps\":1e-5,\"tie_word_embeddings\":false}";
    snprintf(folder, sizeof folder, "%s/edgellm-fuzz-XX" "XX" "XX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    require(mkdtemp(folder) != NULL, "the folder can be made");
    atexit(remove_folder);
    put(files[0], config, sizeof config - 1);
    put_shard(0);
    put_shard(1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t nbytes)
{
    if (!folder[0])
        make_folder();
    put(files[3], data, nbytes);
    struct el_source *s;
    struct el_err err = {EL_OK, ""};
    const enum el_status status = el_source_open(folder, NULL, &s, &err);
    require(status == EL_OK || status == EL_E_FORMAT || status == EL_E_UNSUPPORTED, "a refused index is bad input");
    require(status != EL_OK || s->n_tensors == N_TENSORS, "an accepted index gives the whole model");
    el_source_close(s);
    return 0;
}
