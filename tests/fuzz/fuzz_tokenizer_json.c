/* tokenizer.json: import, opening, a text through it, and the way back to a file. */
#include "base/buf.h"
#include "base/mem.h"
#include "text/tokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t nbytes);

static void use(const struct el_tokenizer *tok)
{
    static const char text[] = " The river, 1234 c\xc3\xa9 <s><unk> \xe2\x96\x81x\n\n \xff ab";
    struct el_err err;
    int32_t *ids;
    size_t n, n_back;
    char *back;
    if (el_encode(tok, text, sizeof text - 1, EL_TOK_ADD_SPECIAL | EL_TOK_PARSE_SPECIAL, &ids, &n, &err) != EL_OK)
        return;
    for (size_t i = 0; i < n; i++)
        if (ids[i] < 0 || (size_t)ids[i] >= el_tok_n_vocab(tok))
            __builtin_trap();
    if (el_decode(tok, ids, n, true, &back, &n_back, &err) == EL_OK)
        el_free(back);
    el_free(ids);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t nbytes)
{
    if (nbytes > 1 << 16)
        return 0;
    struct el_err err;
    struct el_meta *const meta = el_meta_new();
    struct el_tokenizer *tok = NULL;
    if (el_tokenizer_import_hf(meta, (const char *)data, nbytes, NULL, 0, NULL, 0, 0, &err) == EL_OK &&
        el_tokenizer_from_meta(meta, &tok, &err) == EL_OK) {
        use(tok);
        el_tokenizer_close(tok);
        struct el_buf json, config;
        el_buf_init(&json);
        el_buf_init(&config);
        el_meta_remove(meta, "tokenizer.huggingface.json");
        if (el_tokenizer_export_hf(meta, &json, &config, &err) == EL_OK) {
            struct el_meta *const again = el_meta_new();
            if (el_tokenizer_import_hf(again, json.data, json.nbytes, config.data, config.nbytes, NULL, 0, 0, &err) == EL_OK &&
                el_tokenizer_from_meta(again, &tok, &err) == EL_OK) {
                use(tok);
                el_tokenizer_close(tok);
            }
            el_meta_free(again);
        }
        el_buf_release(&json);
        el_buf_release(&config);
    }
    el_meta_free(meta);
    return 0;
}
