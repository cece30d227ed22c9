#include <math.h>
#include <string.h>

#include "base/cursor.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "text/tokenizer_impl.h"
#include "text/tokenizer_vocab.h"

static enum el_status out_of_memory(struct el_err *err)
{
    return el_fail(err, EL_E_MEMORY, "out of memory for the vocabulary");
}

static enum el_status add_llama2c_piece(struct el_vocab *v, size_t id, const char *text, size_t nbytes, float score,
                                        struct el_err *err)
{
    static const char *const first[] = {"<unk>", "<s>", "</s>"}; /* spelled "\n<s>\n" in these files */
    if (id < 3) {
        text = first[id];
        nbytes = strlen(text);
    }
    char *const marked = el_alloc(3 * nbytes + 1);
    if (!el_vocab_keep(v, marked))
        return out_of_memory(err);
    size_t n = 0;
    for (size_t i = 0; i < nbytes; i++) {
        if (text[i] == ' ') {
            memcpy(marked + n, EL_SPACE_MARK, 3);
            n += 3;
        } else {
            marked[n++] = text[i];
        }
    }
    marked[n] = '\0';
    if (!el_utf8_is_valid(marked, n))
        return el_fail(err, EL_E_FORMAT, "token %zu: not valid UTF-8", id);
    EL_TRY(el_vocab_set(v, (int64_t)id, marked, n, err));
    v->score[id] = score;
    if (id < 3)
        v->type[id] = id == 0 ? EL_PIECE_UNKNOWN : EL_PIECE_CONTROL;
    else if (id < 259 && el_byte_piece(marked, n) == (int)id - 3)
        v->type[id] = EL_PIECE_BYTE;
    return EL_OK;
}

enum el_status el_tokenizer_import_llama2c(struct el_meta *meta, const uint8_t *data, size_t nbytes, uint32_t n_vocab,
                                           struct el_err *err)
{
    struct el_vocab v;
    el_vocab_init(&v);
    struct el_cursor c = el_cursor_init(data, nbytes);
    (void)el_cursor_u32(&c); /* length of the longest token: not needed */
    enum el_status status = EL_OK;
    for (size_t id = 0; status == EL_OK && (n_vocab ? id < n_vocab : el_cursor_left(&c) > 0 || id == 0); id++) {
        const size_t at = el_cursor_offset(&c);
        const float score = el_cursor_f32(&c);
        const uint32_t len = el_cursor_u32(&c);
        const char *const text = (const char *)el_cursor_bytes(&c, len);
        if (c.failed || !text)
            status = el_fail(err, EL_E_FORMAT, "truncated in token %zu at byte %zu", id, at);
        else if (isnan(score))
            status = el_fail(err, EL_E_FORMAT, "token %zu at byte %zu: the score is not a number", id, at);
        else
            status = add_llama2c_piece(&v, id, text, len, score, err);
    }
    if (status == EL_OK && el_cursor_left(&c) > 0)
        el_warn("the vocabulary has %zu bytes behind its %zu tokens", el_cursor_left(&c), v.n);
    if (status == EL_OK)
        status = el_vocab_pad(&v, n_vocab, err);
    if (status == EL_OK)
        status = el_vocab_write(meta, &v, "llama", "default", true, err);
    static const char *const keys[] = {"tokenizer.ggml.unknown_token_id", "tokenizer.ggml.bos_token_id",
                                       "tokenizer.ggml.eos_token_id"};
    for (uint32_t i = 0; status == EL_OK && i < 3; i++)
        if (i < v.n)
            status = el_meta_set_u32(meta, keys[i], i, err);
    if (status == EL_OK)
        status = el_meta_set_bool(meta, "tokenizer.ggml.add_bos_token", true, err);
    if (status == EL_OK)
        status = el_meta_set_bool(meta, "tokenizer.ggml.add_eos_token", false, err);
    el_vocab_release(&v);
    return status;
}
