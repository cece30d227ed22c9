#include <string.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "text/tokenizer_impl.h"

/* What is known about the text so far: where spaces at its start are still to be taken off. */
struct el_detok {
    const struct el_tokenizer *tok;
    bool special;
    bool any;           /* a piece has come */
    uint32_t strip;     /* spaces to take off while nothing else has come */
    struct el_buf raw;  /* bytes that are not a whole character yet, and what the last id added */
    struct el_buf text; /* handed out */
};

/* A piece in the byte alphabet; one that has other characters stands for itself. */
static void add_byte_level(const char *piece, size_t nbytes, struct el_buf *out)
{
    const size_t before = out->nbytes;
    for (size_t i = 0; i < nbytes;) {
        uint32_t cp = 0;
        i += el_utf8_decode(piece + i, nbytes - i, &cp);
        const int b = el_byte_of_cp(cp);
        if (b < 0) {
            out->nbytes = before;
            el_buf_add(out, piece, nbytes);
            return;
        }
        el_buf_add_byte(out, (uint8_t)b);
    }
}

static void add_replaced(const struct el_tokenizer *tok, const char *piece, size_t nbytes, struct el_buf *out)
{
    size_t at = 0;
    while (tok->dec_from) {
        const char *const hit = memmem(piece + at, nbytes - at, tok->dec_from, tok->n_dec_from);
        if (!hit)
            break;
        el_buf_add(out, piece + at, (size_t)(hit - piece) - at);
        el_buf_add(out, tok->dec_to, tok->n_dec_to);
        at = (size_t)(hit - piece) + tok->n_dec_from;
    }
    el_buf_add(out, piece + at, nbytes - at);
}

/* A start of a word, or a continuation, as Hugging Face spells it: U+2581 marks a start in GGUF, nothing a continuation. */
static void add_wordpiece(const struct el_tokenizer *tok, const char *piece, size_t nbytes, bool first, struct el_buf *out)
{
    const bool start = nbytes > 3 && memcmp(piece, EL_SPACE_MARK, 3) == 0;
    const size_t before = out->nbytes;
    if (tok->dec_wordpiece && start && !first)
        el_buf_add_byte(out, ' ');
    if (!start && (!tok->dec_wordpiece || first))
        el_buf_add(out, tok->wordpiece.prefix, tok->wordpiece.n_prefix);
    el_buf_add(out, piece + (start ? 3 : 0), nbytes - (start ? 3 : 0));
    if (tok->dec_cleanup && !out->failed)
        out->nbytes = before + el_hf_cleanup(out->data + before, out->nbytes - before);
}

static void add_piece(struct el_detok *d, int32_t id)
{
    const struct el_tokenizer *const tok = d->tok;
    const uint8_t type = tok->type[id];
    const bool hidden = type == EL_PIECE_CONTROL || type == EL_PIECE_UNKNOWN || type == EL_PIECE_UNUSED;
    if (hidden && !d->special)
        return;
    size_t nbytes;
    const char *const piece = el_tok_text(tok, id, &nbytes);
    const size_t before = d->raw.nbytes;
    const bool first = !d->any, special = hidden || type == EL_PIECE_USER;
    if (!first && (tok->dec_join || (tok->dec_wordpiece && special)))
        el_buf_add_byte(&d->raw, ' ');
    d->any = true;
    const int byte = type == EL_PIECE_BYTE ? el_byte_piece(piece, nbytes) : -1;
    if (byte >= 0)
        el_buf_add_byte(&d->raw, (uint8_t)byte);
    else if (tok->shown && tok->shown[id])
        add_replaced(tok, tok->added_norm.tokens[tok->shown[id] - 1].text, tok->added_norm.tokens[tok->shown[id] - 1].nbytes,
                     &d->raw);
    else if (special)
        el_buf_add(&d->raw, piece, nbytes);
    else if (tok->machine == EL_MACHINE_WORDPIECE)
        add_wordpiece(tok, piece, nbytes, first, &d->raw);
    else if (tok->byte_level)
        add_byte_level(piece, nbytes, &d->raw);
    else
        add_replaced(tok, piece, nbytes, &d->raw);
    size_t n_strip = 0;
    while (d->strip > 0 && before + n_strip < d->raw.nbytes) {
        if (d->raw.data[before + n_strip] != ' ') {
            d->strip = 0;
            break;
        }
        n_strip++;
        d->strip--;
    }
    if (n_strip > 0) { /* only at the very start, where raw holds nothing else */
        memmove(d->raw.data + before, d->raw.data + before + n_strip, d->raw.nbytes - before - n_strip);
        d->raw.nbytes -= n_strip;
    }
}

size_t el_tok_text_nbytes(const struct el_tokenizer *tok, int32_t id)
{
    if (id < 0 || (size_t)id >= tok->n_vocab)
        return 0;
    struct el_detok d = {.tok = tok, .any = tok->dec_wordpiece};
    el_buf_init(&d.raw);
    add_piece(&d, id);
    const size_t nbytes = d.raw.nbytes;
    el_buf_release(&d.raw);
    return nbytes;
}

void el_tok_add_text(const struct el_tokenizer *tok, int32_t id, struct el_buf *out)
{
    struct el_detok d = {.tok = tok, .any = tok->dec_wordpiece, .raw = *out};
    add_piece(&d, id);
    *out = d.raw;
}

bool el_tok_joins_by_spaces(const struct el_tokenizer *tok)
{
    return tok->dec_join;
}

uint32_t el_tok_stripped_spaces(const struct el_tokenizer *tok)
{
    return tok->dec_strip;
}

/* Moves what is whole (or all) from raw to the end of text, ill-formed parts as U+FFFD. */
static void hand_over(struct el_detok *d, bool all)
{
    const size_t n = all ? d->raw.nbytes : el_utf8_complete(d->raw.data, d->raw.nbytes);
    if (n == 0)
        return;
    el_utf8_repair(d->raw.data, n, &d->text);
    memmove(d->raw.data, d->raw.data + n, d->raw.nbytes - n);
    d->raw.nbytes -= n;
}

static void init(struct el_detok *d, const struct el_tokenizer *tok, bool special)
{
    *d = (struct el_detok){.tok = tok, .special = special, .strip = tok->dec_strip};
    el_buf_init(&d->raw);
    el_buf_init(&d->text);
}

static enum el_status check_id(const struct el_tokenizer *tok, int32_t id, struct el_err *err)
{
    if (id < 0 || (size_t)id >= tok->n_vocab)
        return el_fail(err, EL_E_USAGE, "token %d, the vocabulary has %zu", (int)id, tok->n_vocab);
    return EL_OK;
}

enum el_status el_decode(const struct el_tokenizer *tok, const int32_t *ids, size_t n_ids, bool special, char **text,
                         size_t *nbytes, struct el_err *err)
{
    *text = NULL;
    *nbytes = 0;
    for (size_t i = 0; i < n_ids; i++)
        EL_TRY(check_id(tok, ids[i], err));
    struct el_detok d;
    init(&d, tok, special);
    for (size_t i = 0; i < n_ids; i++)
        add_piece(&d, ids[i]);
    hand_over(&d, true);
    const bool failed = d.raw.failed;
    el_buf_release(&d.raw);
    *text = failed ? NULL : el_buf_detach(&d.text, nbytes);
    el_buf_release(&d.text);
    return *text ? EL_OK : el_fail(err, EL_E_MEMORY, "out of memory while decoding %zu tokens", n_ids);
}

enum el_status el_detok_open(const struct el_tokenizer *tok, struct el_detok **out, struct el_err *err)
{
    *out = el_alloc(sizeof **out);
    if (!*out)
        return el_fail(err, EL_E_MEMORY, "out of memory for a decoder");
    init(*out, tok, false);
    return EL_OK;
}

enum el_status el_detok_push(struct el_detok *d, int32_t id, const char **text, size_t *nbytes, struct el_err *err)
{
    *text = "";
    *nbytes = 0;
    EL_TRY(check_id(d->tok, id, err));
    el_buf_reset(&d->text);
    add_piece(d, id);
    hand_over(d, false);
    if (d->raw.failed || d->text.failed)
        return el_fail(err, EL_E_MEMORY, "out of memory while decoding");
    *text = d->text.data;
    *nbytes = d->text.nbytes;
    return EL_OK;
}

const char *el_detok_flush(struct el_detok *d, size_t *nbytes)
{
    el_buf_reset(&d->text);
    hand_over(d, true);
    *nbytes = d->text.nbytes;
    return d->text.data;
}

void el_detok_close(struct el_detok *d)
{
    if (!d)
        return;
    el_buf_release(&d->raw);
    el_buf_release(&d->text);
    el_free(d);
}
