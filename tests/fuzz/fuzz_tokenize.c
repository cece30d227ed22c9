/*
 * Encoding and decoding with five small tokenizers (SentencePiece by scores, byte-level by name, byte-level by tokenizer.json
 * with NFC, unigram, WordPiece): the first byte picks the tokenizer and the flags, the rest is the text. Ids must be in range;
 * streaming must equal decoding at once; the byte-level tokenizer must give valid UTF-8 back unchanged.
 */
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "text/tokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t nbytes);

static const char *const words[] = {"th", "the", "in", "ing", "er", "ab", "aa", "aaaa", "12"};
static const char *const byte_merges[] = {"t h", "i n", "th e", "in g", "e r", "a b", "a a", "aa aa", "1 2"};
enum { N_WORDS = sizeof words / sizeof words[0] };

static void must(enum el_status status)
{
    if (status != EL_OK)
        __builtin_trap();
}

static struct el_meta *sentencepiece(const char *model)
{
    static char bytes[256][8];
    const char *text[3 + 256 + 97 + N_WORDS];
    int32_t type[3 + 256 + 97 + N_WORDS];
    float score[3 + 256 + 97 + N_WORDS];
    static char ascii[95][2];
    size_t n = 0;
    text[n++] = "<unk>";
    text[n++] = "<s>";
    text[n++] = "</s>";
    for (unsigned b = 0; b < 256; b++) {
        snprintf(bytes[b], sizeof bytes[b], "<0x%02X>", b);
        text[n++] = bytes[b];
    }
    for (int c = 0; c < 94; c++) {
        ascii[c][0] = (char)('!' + c);
        text[n++] = ascii[c];
    }
    text[n++] = "\xe2\x96\x81";
    text[n++] = "\xe2\x96\x81the";
    text[n++] = "\xe2\x96\x81\xe2\x96\x81";
    for (size_t i = 0; i < N_WORDS; i++)
        text[n++] = words[i];
    for (size_t i = 0; i < n; i++) {
        type[i] = i == 0 ? 2 : i < 3 ? 3 : i < 259 ? 6 : 1;
        score[i] = -(float)(i % 37);
    }
    struct el_meta *const m = el_meta_new();
    must(el_meta_set_str(m, "tokenizer.ggml.model", model, strlen(model), NULL));
    must(el_meta_set_bool(m, "tokenizer.ggml.add_space_prefix", true, NULL));
    if (strcmp(model, "t5") == 0) { /* a map that changes nothing */
        static const uint8_t map[] = {4, 0, 0, 0, 0, 0, 0, 0, 0};
        must(el_meta_set_bool(m, "tokenizer.ggml.remove_extra_whitespaces", true, NULL));
        must(el_meta_set_array(m, "tokenizer.ggml.precompiled_charsmap", EL_META_U8, map, sizeof map, NULL));
    }
    must(el_meta_set_str_array(m, "tokenizer.ggml.tokens", text, NULL, n, NULL));
    must(el_meta_set_array(m, "tokenizer.ggml.token_type", EL_META_I32, type, n, NULL));
    must(el_meta_set_array(m, "tokenizer.ggml.scores", EL_META_F32, score, n, NULL));
    return m;
}

static struct el_meta *byte_level(const char *pre)
{
    static char bytes[256][5];
    const char *text[256 + N_WORDS + 2];
    int32_t type[256 + N_WORDS + 2];
    size_t n = 0;
    uint32_t next = 0x100;
    for (unsigned b = 0; b < 256; b++) {
        const bool prints = (b >= 0x21 && b <= 0x7e) || (b >= 0xa1 && b <= 0xac) || b >= 0xae;
        bytes[b][el_utf8_encode(prints ? b : next++, bytes[b])] = '\0';
        text[n++] = bytes[b];
    }
    for (size_t i = 0; i < N_WORDS; i++)
        text[n++] = words[i];
    text[n++] = "<|end|>";
    text[n++] = "<user>";
    for (size_t i = 0; i < n; i++)
        type[i] = i == n - 2 ? 3 : i == n - 1 ? 4 : 1;
    struct el_meta *const m = el_meta_new();
    must(el_meta_set_str(m, "tokenizer.ggml.model", "gpt2", 4, NULL));
    must(el_meta_set_str(m, "tokenizer.ggml.pre", pre, strlen(pre), NULL));
    must(el_meta_set_str_array(m, "tokenizer.ggml.tokens", text, NULL, n, NULL));
    must(el_meta_set_array(m, "tokenizer.ggml.token_type", EL_META_I32, type, n, NULL));
    must(el_meta_set_str_array(m, "tokenizer.ggml.merges", byte_merges, NULL, N_WORDS, NULL));
    return m;
}

static struct el_tokenizer *make(int which)
{
    static const char *const sentencepieces[] = {"llama", NULL, NULL, "t5", "bert"};
    struct el_meta *m =
        sentencepieces[which] ? sentencepiece(sentencepieces[which]) : byte_level(which == 1 ? "gpt-2" : "llama-bpe");
    struct el_tokenizer *tok;
    if (which == 2) { /* the same through a tokenizer.json, with a normalizer */
        struct el_buf json, config, nfc;
        el_buf_init(&json);
        el_buf_init(&config);
        el_buf_init(&nfc);
        must(el_tokenizer_export_hf(m, &json, &config, NULL));
        static const char none[] = "\"normalizer\": null";
        const char *const at = strstr(json.data, none);
        if (!at)
            __builtin_trap();
        el_buf_add(&nfc, json.data, (size_t)(at - json.data));
        el_buf_add_str(&nfc, "\"normalizer\": {\"type\": \"NFC\"}");
        el_buf_add_str(&nfc, at + strlen(none));
        el_meta_free(m);
        m = el_meta_new();
        must(el_tokenizer_import_hf(m, nfc.data, nfc.nbytes, NULL, 0, NULL, 0, 0, NULL));
        el_buf_release(&json);
        el_buf_release(&config);
        el_buf_release(&nfc);
    }
    must(el_tokenizer_from_meta(m, &tok, NULL));
    el_meta_free(m);
    return tok;
}

static void check(const struct el_tokenizer *tok, const char *text, size_t nbytes, unsigned flags, bool identity)
{
    int32_t *ids;
    size_t n, n_back, n_rest;
    char *back;
    must(el_encode(tok, text, nbytes, flags, &ids, &n, NULL));
    for (size_t i = 0; i < n; i++)
        if (ids[i] < 0 || (size_t)ids[i] >= el_tok_n_vocab(tok))
            __builtin_trap();
    must(el_decode(tok, ids, n, false, &back, &n_back, NULL));
    if (!el_utf8_is_valid(back, n_back))
        __builtin_trap();
    if (identity && el_utf8_is_valid(text, nbytes) && (n_back != nbytes || memcmp(back, text, nbytes) != 0))
        __builtin_trap();
    struct el_detok *d;
    struct el_buf all;
    el_buf_init(&all);
    must(el_detok_open(tok, &d, NULL));
    for (size_t i = 0; i < n; i++) {
        const char *part;
        size_t n_part;
        must(el_detok_push(d, ids[i], &part, &n_part, NULL));
        if (!el_utf8_is_valid(part, n_part))
            __builtin_trap();
        el_buf_add(&all, part, n_part);
    }
    const char *const rest = el_detok_flush(d, &n_rest);
    el_buf_add(&all, rest, n_rest);
    if (all.nbytes != n_back || memcmp(all.data, back, n_back) != 0)
        __builtin_trap();
    el_buf_release(&all);
    el_detok_close(d);
    el_free(back);
    el_free(ids);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t nbytes)
{
    static struct el_tokenizer *toks[5];
    if (nbytes == 0)
        return 0;
    const unsigned which = data[0] < 128 ? data[0] % 3 : 3 + data[0] % 2, flags = data[0] / 3 % 4;
    if (!toks[which])
        toks[which] = make((int)which);
    check(toks[which], (const char *)data + 1, nbytes - 1, flags, which == 1 && !(flags & EL_TOK_PARSE_SPECIAL));
    return 0;
}
