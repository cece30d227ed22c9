/*
 * Writes a GGUF model of the llama family with random weights in a chosen shape, for tests of speed, memory and faults.
 *
 *   make_model OUT.gguf [layers=2] [embd=256] [heads=8] [kv=4] [ff=768] [vocab=512] [ctx=2048] [experts=0] [used=2]
 *              [type=f16|f32] [seed=1] [sparse=0|1] [std=0.02] [tied=0]
 *
 * Uses nothing of the library, so that it can stand in judgement over it. sparse=1 leaves the tensors as holes: a model of any
 * size on a small disk. Weights are uniform with the given standard deviation; norm gains are 1.
 */
#include <fcntl.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct shape {
    unsigned long layers, embd, heads, kv, ff, vocab, ctx, experts, used, seed, sparse, tied;
    double std;
    bool f32;
};
struct tensor {
    char name[64];
    uint64_t dims[3]; /* GGUF's order: innermost first */
    uint32_t n_dims;
    bool f32, ones;
    uint64_t offset, n;
};

static struct tensor tensors[1 << 16];
static size_t n_tensors;
static FILE *out;

static void put(const void *p, size_t n)
{
    if (fwrite(p, 1, n, out) != n) {
        perror("make_model: write");
        exit(4);
    }
}
static void put_u32(uint32_t v)
{
    put(&v, 4);
}
static void put_u64(uint64_t v)
{
    put(&v, 8);
}
static void put_str(const char *s)
{
    put_u64(strlen(s));
    put(s, strlen(s));
}
static void kv_u32(const char *key, unsigned long v)
{
    put_str(key);
    put_u32(4);
    put_u32((uint32_t)v);
}
static void kv_f32(const char *key, float v)
{
    put_str(key);
    put_u32(6);
    put(&v, 4);
}
static void kv_str(const char *key, const char *v)
{
    put_str(key);
    put_u32(8);
    put_str(v);
}

static void add(const char *name, long layer, bool vector, uint64_t n_in, uint64_t n_out, uint64_t n_stack, const struct shape *s)
{
    struct tensor *t = &tensors[n_tensors++];
    if (layer >= 0)
        snprintf(t->name, sizeof t->name, "blk.%ld.%s", layer, name);
    else
        snprintf(t->name, sizeof t->name, "%s", name);
    t->n_dims = vector ? 1 : n_stack ? 3 : 2;
    t->dims[0] = n_in;
    t->dims[1] = n_out;
    t->dims[2] = n_stack;
    t->n = n_in * (vector ? 1 : n_out) * (n_stack ? n_stack : 1);
    t->f32 = vector || s->f32 || strcmp(name, "ffn_gate_inp.weight") == 0;
    t->ones = vector;
}

static void list_tensors(const struct shape *s)
{
    const uint64_t d_head = s->embd / s->heads, n_kv = d_head * s->kv;
    add("token_embd.weight", -1, false, s->embd, s->vocab, 0, s);
    for (long l = 0; l < (long)s->layers; l++) {
        add("attn_norm.weight", l, true, s->embd, 1, 0, s);
        add("attn_q.weight", l, false, s->embd, s->embd, 0, s);
        add("attn_k.weight", l, false, s->embd, n_kv, 0, s);
        add("attn_v.weight", l, false, s->embd, n_kv, 0, s);
        add("attn_output.weight", l, false, s->embd, s->embd, 0, s);
        add("ffn_norm.weight", l, true, s->embd, 1, 0, s);
        if (s->experts) {
            add("ffn_gate_inp.weight", l, false, s->embd, s->experts, 0, s);
            add("ffn_gate_exps.weight", l, false, s->embd, s->ff, s->experts, s);
            add("ffn_up_exps.weight", l, false, s->embd, s->ff, s->experts, s);
            add("ffn_down_exps.weight", l, false, s->ff, s->embd, s->experts, s);
        } else {
            add("ffn_gate.weight", l, false, s->embd, s->ff, 0, s);
            add("ffn_up.weight", l, false, s->embd, s->ff, 0, s);
            add("ffn_down.weight", l, false, s->ff, s->embd, 0, s);
        }
    }
    add("output_norm.weight", -1, true, s->embd, 1, 0, s);
    if (!s->tied)
        add("output.weight", -1, false, s->embd, s->vocab, 0, s);
}

/* A SentencePiece-like vocabulary: three specials, 256 bytes, then made-up words. */
static void put_vocab(unsigned long vocab)
{
    char piece[32];
    kv_str("tokenizer.ggml.model", "llama");
    put_str("tokenizer.ggml.tokens");
    put_u32(9);
    put_u32(8);
    put_u64(vocab);
    for (unsigned long i = 0; i < vocab; i++) {
        if (i < 3)
            snprintf(piece, sizeof piece, "%s", i == 0 ? "<unk>" : i == 1 ? "<s>" : "</s>");
        else if (i < 259)
            snprintf(piece, sizeof piece, "<0x%02lX>", i - 3);
        else
            snprintf(piece, sizeof piece, "\xe2\x96\x81w%lu", i);
        put_str(piece);
    }
    put_str("tokenizer.ggml.scores");
    put_u32(9);
    put_u32(6);
    put_u64(vocab);
    for (unsigned long i = 0; i < vocab; i++) {
        const float score = -(float)i;
        put(&score, 4);
    }
    put_str("tokenizer.ggml.token_type");
    put_u32(9);
    put_u32(5);
    put_u64(vocab);
    for (unsigned long i = 0; i < vocab; i++)
        put_u32(i == 0 ? 2 : i < 3 ? 3 : i < 259 ? 6 : 1);
    kv_u32("tokenizer.ggml.bos_token_id", 1);
    kv_u32("tokenizer.ggml.eos_token_id", 2);
    kv_u32("tokenizer.ggml.unknown_token_id", 0);
}

static void put_header(const struct shape *s)
{
    put("GGUF", 4);
    put_u32(3);
    put_u64(n_tensors);
    put_u64(10 + (s->experts ? 2 : 0) + 8);
    kv_str("general.architecture", "llama");
    kv_str("general.name", "random");
    kv_u32("llama.block_count", s->layers);
    kv_u32("llama.context_length", s->ctx);
    kv_u32("llama.embedding_length", s->embd);
    kv_u32("llama.feed_forward_length", s->ff);
    kv_u32("llama.attention.head_count", s->heads);
    kv_u32("llama.attention.head_count_kv", s->kv);
    kv_f32("llama.attention.layer_norm_rms_epsilon", 1e-5f);
    kv_u32("llama.rope.dimension_count", s->embd / s->heads);
    if (s->experts) {
        kv_u32("llama.expert_count", s->experts);
        kv_u32("llama.expert_used_count", s->used);
    }
    put_vocab(s->vocab);
    kv_u32("llama.vocab_size", s->vocab);
}

static uint16_t to_f16(float f)
{
    uint32_t u;
    memcpy(&u, &f, 4);
    const uint32_t exp = (u >> 23 & 0xff);
    if (exp < 113)
        return (uint16_t)(u >> 16 & 0x8000); /* too small for a normal half: zero is good enough here */
    return (uint16_t)((u >> 16 & 0x8000) | (exp - 112) << 10 | (u >> 13 & 0x3ff));
}

static void put_data(const struct tensor *t, double std, uint64_t *state)
{
    static uint8_t buf[1 << 18];
    const size_t per = t->f32 ? 4 : 2;
    for (uint64_t done = 0; done < t->n;) {
        const uint64_t n = t->n - done < sizeof buf / per ? t->n - done : sizeof buf / per;
        for (uint64_t i = 0; i < n; i++) {
            *state = *state * 6364136223846793005u + 1442695040888963407u;
            const float v = t->ones ? 1.0f : (float)(((double)(*state >> 33) / 1073741824.0 - 1.0) * 1.7320508 * std);
            const uint16_t h = to_f16(v);
            memcpy(buf + i * per, t->f32 ? (const void *)&v : (const void *)&h, per);
        }
        put(buf, n * per);
        done += n;
    }
}

int main(int argc, char **argv)
{
    struct shape s = {
        .layers = 2, .embd = 256, .heads = 8, .kv = 4, .ff = 768, .vocab = 512, .ctx = 2048, .used = 2, .seed = 1, .std = 0.02};
    struct {
        const char *name;
        unsigned long *to;
    } opts[] = {{"layers", &s.layers}, {"embd", &s.embd},   {"heads", &s.heads},   {"kv", &s.kv},
                {"ff", &s.ff},         {"vocab", &s.vocab}, {"ctx", &s.ctx},       {"experts", &s.experts},
                {"used", &s.used},     {"seed", &s.seed},   {"sparse", &s.sparse}, {"tied", &s.tied}};
    if (argc < 2)
        return fprintf(stderr, "usage: make_model OUT.gguf [layers=N embd=N heads=N kv=N ff=N vocab=N ...]\n"), 2;
    for (int i = 2; i < argc; i++) {
        char *eq = strchr(argv[i], '=');
        bool known = false;
        for (size_t k = 0; eq && k < sizeof opts / sizeof opts[0]; k++)
            if (strncmp(argv[i], opts[k].name, strlen(opts[k].name)) == 0 && argv[i] + strlen(opts[k].name) == eq)
                *opts[k].to = strtoul(eq + 1, NULL, 10), known = true;
        if (eq && strncmp(argv[i], "type=", 5) == 0)
            s.f32 = strcmp(eq + 1, "f32") == 0, known = true;
        if (eq && strncmp(argv[i], "std=", 4) == 0)
            s.std = strtod(eq + 1, NULL), known = true;
        if (!known)
            return fprintf(stderr, "make_model: unknown '%s'\n", argv[i]), 2;
    }
    out = fopen(argv[1], "wb");
    if (!out)
        return perror(argv[1]), 4;
    list_tensors(&s);
    put_header(&s);
    uint64_t offset = 0;
    for (size_t i = 0; i < n_tensors; i++) {
        struct tensor *t = &tensors[i];
        put_str(t->name);
        put_u32(t->n_dims);
        for (uint32_t d = 0; d < t->n_dims; d++)
            put_u64(t->dims[d]);
        put_u32(t->f32 ? 0 : 1);
        put_u64(t->offset = offset);
        offset += (t->n * (t->f32 ? 4 : 2) + 31) / 32 * 32;
    }
    while (ftello(out) % 32)
        put("", 1);
    const off_t data = ftello(out);
    uint64_t state = s.seed;
    for (size_t i = 0; i < n_tensors && !s.sparse; i++) {
        while ((uint64_t)(ftello(out) - data) < tensors[i].offset)
            put("", 1);
        put_data(&tensors[i], s.std, &state);
    }
    if (fflush(out) != 0 || ftruncate(fileno(out), data + (off_t)offset) != 0 || fclose(out) != 0)
        return perror(argv[1]), 4;
    return 0;
}
