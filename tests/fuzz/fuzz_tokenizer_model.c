/*
 * Tokenizer files that are no tokenizer.json: the first byte picks SentencePiece, tiktoken, vocab.txt, vocab.json and merges.txt
 * (a NUL between them), or tekken.json. Property 1: no crash. Property 2: an accepted tokenizer gives ids in range and valid
 * UTF-8, from the file, from metadata alone, and through the tokenizer.json that is written for it.
 */
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "text/tokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t nbytes);

static void use(const struct el_meta *meta)
{
    static const char text[] =
        " The river, 1234 c\xc3\xa9 e\xcc\x81 <s><unk> \xe2\x96\x81x\n\n \xff ab \xef\xbc\xa1 \xe6\xb0\xb4[UNK]";
    struct el_tokenizer *tok;
    int32_t *ids;
    size_t n, n_back;
    char *back;
    if (el_tokenizer_from_meta(meta, &tok, NULL) != EL_OK)
        return;
    if (el_encode(tok, text, sizeof text - 1, EL_TOK_ADD_SPECIAL | EL_TOK_PARSE_SPECIAL, &ids, &n, NULL) == EL_OK) {
        for (size_t i = 0; i < n; i++)
            if (ids[i] < 0 || (size_t)ids[i] >= el_tok_n_vocab(tok))
                __builtin_trap();
        if (el_decode(tok, ids, n, true, &back, &n_back, NULL) == EL_OK) {
            if (!el_utf8_is_valid(back, n_back))
                __builtin_trap();
            el_free(back);
        }
        el_free(ids);
    }
    el_tokenizer_close(tok);
}

static enum el_status import(struct el_meta *meta, unsigned kind, const char *data, size_t nbytes)
{
    static const char config[] =
        "{\"added_tokens_decoder\":{\"3\":{\"content\":\"<s>\",\"special\":true}},\"bos_token\":\"<s>\"}";
    const struct el_tokenizer_texts texts = {.config = config, .config_nbytes = sizeof config - 1};
    const struct el_tokenizer_texts *const with = kind & 4 ? &texts : NULL;
    const char *const nul = memchr(data, '\0', nbytes);
    if (kind & 16)
        return el_tokenizer_import_tekken(meta, data, nbytes, with, 0, NULL);
    switch (kind & 3) {
    case 0: return el_tokenizer_import_sentencepiece(meta, (const uint8_t *)data, nbytes, with, 0, NULL);
    case 1: return el_tokenizer_import_tiktoken(meta, kind & 8 ? "qwen" : "cl100k_base", data, nbytes, with, 0, NULL);
    case 2: return el_tokenizer_import_vocab_txt(meta, data, nbytes, with, 0, NULL);
    default: break;
    }
    const size_t n_vocab = nul ? (size_t)(nul - data) : nbytes;
    return el_tokenizer_import_vocab_json(meta, data, n_vocab, nul ? nul + 1 : "", nul ? nbytes - n_vocab - 1 : 0, with, 0, NULL);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t nbytes)
{
    if (nbytes < 2 || nbytes > 1 << 16)
        return 0;
    (void)el_is_sentencepiece(data + 1, nbytes - 1);
    (void)el_is_tiktoken(data + 1, nbytes - 1);
    (void)el_is_tekken((const char *)data + 1, nbytes - 1);
    struct el_meta *const meta = el_meta_new();
    if (import(meta, data[0], (const char *)data + 1, nbytes - 1) == EL_OK) {
        use(meta);
        el_meta_remove(meta, "tokenizer.huggingface.json");
        use(meta);
        struct el_buf json, config;
        el_buf_init(&json);
        el_buf_init(&config);
        if (el_tokenizer_export_hf(meta, &json, &config, NULL) == EL_OK) {
            struct el_meta *const again = el_meta_new();
            if (el_tokenizer_import_hf(again, json.data, json.nbytes, config.data, config.nbytes, NULL, 0, 0, NULL) == EL_OK)
                use(again);
            el_meta_free(again);
        }
        el_buf_release(&json);
        el_buf_release(&config);
    }
    el_meta_free(meta);
    return 0;
}
