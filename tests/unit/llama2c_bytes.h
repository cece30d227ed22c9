/* Builds llama2.c checkpoints and tokenizers byte by byte, for tests. */
#ifndef EL_TESTS_LLAMA2C_BYTES_H
#define EL_TESTS_LLAMA2C_BYTES_H

#include "base/buf.h"
#include "test.h"

struct llama2c_shape {
    uint32_t dim, hidden, n_layers, n_heads, n_kv_heads, n_vocab, n_ctx;
    bool own_classifier;
    uint32_t group; /* version 2 */
};
static const struct llama2c_shape llama2c_tiny = {8, 12, 2, 2, 1, 20, 6, false, 8};

/* Kinds: 0 tok_embeddings, 1 attention_norm, 2..5 wq wk wv wo, 6 ffn_norm, 7..9 w1 w2 w3, 10 norm, 11 classifier. */
static float llama2c_value(unsigned kind, unsigned layer, uint64_t i)
{
    return (float)(kind * 1000 + layer * 500 + i % 487) / 64.0f;
}

static void llama2c_add(struct el_buf *b, unsigned kind, unsigned layer, uint64_t n)
{
    for (uint64_t i = 0; i < n; i++) {
        const float v = llama2c_value(kind, layer, i);
        el_buf_add(b, &v, sizeof v);
    }
}

/* Number i of a matrix of version 2, and the scale of its group g, which no half-precision number is. */
static int8_t llama2c_number(unsigned kind, unsigned layer, uint64_t i)
{
    return (int8_t)((kind * 31 + layer * 17 + i * 7) % 256);
}
static float llama2c_scale(unsigned kind, unsigned layer, uint64_t g)
{
    return (1.0f + 0.0137f * (float)((kind + layer + g) % 29)) / 127.0f;
}

static void llama2c_add_q80(struct el_buf *b, unsigned kind, unsigned layer, uint64_t n, uint32_t group)
{
    for (uint64_t i = 0; i < n; i++)
        el_buf_add_byte(b, (uint8_t)llama2c_number(kind, layer, i));
    for (uint64_t g = 0; g < n / group; g++) {
        const float s = llama2c_scale(kind, layer, g);
        el_buf_add(b, &s, sizeof s);
    }
}

static void llama2c_build(struct el_buf *b, uint32_t version, const struct llama2c_shape *s)
{
    const uint64_t d = s->dim, kv = d / s->n_heads * s->n_kv_heads, f = s->hidden;
    const uint64_t n[12] = {s->n_vocab * d, d, d * d, kv * d, kv * d, d * d, d, f * d, d * f, f * d, d, s->n_vocab * d};
    static const unsigned v0[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10}, v1[] = {1, 6, 10, 0, 2, 3, 4, 5, 7, 8, 9};
    static const bool is_norm[] = {false, true, false, false, false, false, true, false, false, false, true, false};
    const uint32_t numbers[7] = {s->dim, s->hidden, s->n_layers, s->n_heads, s->n_kv_heads, s->n_vocab, s->n_ctx};
    if (version) {
        el_buf_add_u32(b, 0x616b3432u);
        el_buf_add_u32(b, version);
    }
    for (unsigned i = 0; i < 7; i++)
        el_buf_add_u32(b, i == 5 && !version && s->own_classifier ? (uint32_t) - (int32_t)numbers[i] : numbers[i]);
    if (version) {
        el_buf_add_byte(b, !s->own_classifier);
        if (version == 2)
            el_buf_add_u32(b, s->group);
        while (b->nbytes < 256)
            el_buf_add_byte(b, 0);
    }
    for (unsigned i = 0; i < 11; i++) {
        const unsigned kind = version ? v1[i] : v0[i];
        const unsigned n_layers = kind == 0 || kind == 10 ? 1 : s->n_layers;
        for (unsigned layer = 0; layer < n_layers; layer++) {
            if (version == 2 && !is_norm[kind])
                llama2c_add_q80(b, kind, layer, n[kind], s->group);
            else
                llama2c_add(b, kind, layer, n[kind]);
        }
    }
    if (!version) /* the tables of angles */
        llama2c_add(b, 12, 0, (uint64_t)s->n_ctx * (s->dim / s->n_heads));
    if (s->own_classifier && version == 2)
        llama2c_add_q80(b, 11, 0, n[11], s->group);
    else if (s->own_classifier)
        llama2c_add(b, 11, 0, n[11]);
}

/* Pieces "<unk>", "<s>", "</s>", then letters. */
static void llama2c_build_tokenizer(struct el_buf *b, uint32_t n_vocab)
{
    el_buf_add_u32(b, 5);
    for (uint32_t i = 0; i < n_vocab; i++) {
        static const char *const first[] = {"<unk>", "\n<s>\n", "\n</s>"};
        const char letter[2] = {(char)('a' + (int)i - 3), 0};
        const char *const piece = i < 3 ? first[i] : letter;
        const float score = i < 3 ? 0.0f : -(float)i;
        el_buf_add(b, &score, sizeof score);
        el_buf_add_u32(b, (uint32_t)strlen(piece));
        el_buf_add_str(b, piece);
    }
}

#endif
