/*
 * WordPiece (Schuster and Nakajima 2012; Devlin et al. 2019, arXiv:1810.04805): the longest token at the start of a word, then
 * the longest continuation, and so on; a word that cannot be written so is unk as a whole. One trie for starts, one for
 * continuations. GGUF files mark the starts with U+2581 instead of the continuations with "##"; then one trie serves both.
 */
#include <string.h>

#include "base/mem.h"
#include "text/tokenizer_impl.h"

void el_wordpiece_release(struct el_wordpiece *w)
{
    el_trie_release(&w->start);
    el_trie_release(&w->inside);
    el_free(w->prefix);
    w->prefix = NULL;
}

static enum el_status out_of_memory(struct el_err *err)
{
    return el_fail(err, EL_E_MEMORY, "out of memory for the vocabulary");
}

static enum el_status check_piece(size_t id, size_t nbytes, struct el_err *err)
{
    return nbytes <= EL_MAX_WALK ? EL_OK
                                 : el_fail(err, EL_E_UNSUPPORTED, "token %zu: %zu bytes of text, WordPiece allows at most %d", id,
                                           nbytes, (int)EL_MAX_WALK);
}

enum el_status el_wordpiece_from_tokens(struct el_tokenizer *tok, struct el_err *err)
{
    struct el_wordpiece *const w = &tok->wordpiece;
    struct el_trie_key *const keys = el_alloc_array(tok->n_vocab, sizeof *keys);
    enum el_status status;
    w->prefix = el_strdup("##");
    w->n_prefix = 2;
    w->max_chars = SIZE_MAX;
    w->marked = true;
    if (!keys || !w->prefix)
        EL_TRY_OUT(out_of_memory(err));
    for (size_t i = 0; i < tok->n_vocab; i++) {
        size_t nbytes;
        const char *const text = el_tok_text(tok, (int32_t)i, &nbytes);
        EL_TRY_OUT(check_piece(i, nbytes, err));
        keys[i] = (struct el_trie_key){text, (uint32_t)nbytes, (int32_t)i};
    }
    status = el_trie_build(&w->start, keys, tok->n_vocab, err);
out:
    el_free(keys);
    return status;
}

enum el_status el_wordpiece_from_json(struct el_tokenizer *tok, const struct el_json *model, struct el_err *err)
{
    struct el_wordpiece *const w = &tok->wordpiece;
    const struct el_json *const vocab = el_json_get(model, "vocab");
    const char *const prefix = el_json_str(el_json_get(model, "continuing_subword_prefix"));
    const size_t n = el_json_count(vocab);
    int64_t max_chars = 100;
    const struct el_json *const max = el_json_get(model, "max_input_chars_per_word");
    if (max && (!el_json_int(max, &max_chars) || max_chars < 0))
        return el_fail(err, EL_E_FORMAT, "tokenizer.json: model.max_input_chars_per_word must be a whole number");
    struct el_trie_key *const keys = el_alloc_array(n ? n : 1, sizeof *keys);
    enum el_status status;
    w->prefix = el_strdup(prefix ? prefix : "##");
    w->max_chars = (size_t)max_chars;
    if (!keys || !w->prefix)
        EL_TRY_OUT(out_of_memory(err));
    w->n_prefix = strlen(w->prefix);
    size_t n_keys = 0;
    for (const struct el_json *p = el_json_first(vocab); p; p = el_json_next(p)) {
        const size_t nbytes = strlen(el_json_key(p));
        int64_t id;
        if (!el_json_int(p, &id) || id < 0 || (uint64_t)id >= tok->n_vocab || nbytes == 0)
            EL_TRY_OUT(el_fail(err, EL_E_FORMAT, "tokenizer.json: model.vocab '%.60s': must be an id below %zu", el_json_key(p),
                               tok->n_vocab));
        EL_TRY_OUT(check_piece((size_t)id, nbytes, err));
        keys[n_keys++] = (struct el_trie_key){el_json_key(p), (uint32_t)nbytes, (int32_t)id};
    }
    EL_TRY_OUT(el_trie_build(&w->start, keys, n_keys, err));
    size_t n_inside = 0;
    for (size_t i = 0; i < n_keys; i++) {
        if (keys[i].nbytes <= w->n_prefix || memcmp(keys[i].text, w->prefix, w->n_prefix) != 0)
            continue;
        keys[n_inside++] =
            (struct el_trie_key){keys[i].text + w->n_prefix, keys[i].nbytes - (uint32_t)w->n_prefix, keys[i].value};
    }
    status = el_trie_build(&w->inside, keys, n_inside, err);
out:
    el_free(keys);
    return status;
}

/* The longest token at s[0, nbytes) behind `node`; *len are its bytes. -1: none. */
static int32_t longest(const struct el_trie *t, uint32_t node, const char *s, size_t nbytes, size_t *len)
{
    int32_t id = -1;
    for (size_t i = 0; i < nbytes && (node = el_trie_next(t, node, (uint8_t)s[i])) != 0; i++) {
        if (t->value[node] >= 0) {
            id = t->value[node];
            *len = i + 1;
        }
    }
    return id;
}

static bool too_long(const struct el_wordpiece *w, const char *word, size_t nbytes)
{
    size_t n_chars = 0;
    if (nbytes <= w->max_chars)
        return false;
    for (size_t i = 0; i < nbytes; i++)
        n_chars += ((uint8_t)word[i] & 0xc0) != 0x80;
    return n_chars > w->max_chars;
}

/* Node behind the mark that a start of a word has in GGUF; 0: no token starts a word. */
static uint32_t behind_mark(const struct el_trie *t)
{
    uint32_t node = 0;
    for (size_t i = 0; i < 3 && (i == 0 || node != 0); i++)
        node = el_trie_next(t, node, (uint8_t)EL_SPACE_MARK[i]);
    return node;
}

size_t el_wordpiece_encode(const struct el_tokenizer *tok, const char *word, size_t nbytes, int32_t *ids)
{
    const struct el_wordpiece *const w = &tok->wordpiece;
    const struct el_trie *const inside = w->marked ? &w->start : &w->inside;
    size_t n = 0, at = 0;
    bool bad = too_long(w, word, nbytes);
    while (!bad && at < nbytes) {
        size_t len = 0;
        const uint32_t mark = at == 0 && w->marked ? behind_mark(&w->start) : 0;
        int32_t id = -1;
        if (at > 0 || !w->marked || mark != 0)
            id = longest(at == 0 ? &w->start : inside, mark, word + at, nbytes - at, &len);
        bad = id < 0;
        if (!bad)
            ids[n++] = id;
        at += len;
    }
    if (!bad)
        return n;
    ids[0] = tok->unk;
    return tok->unk >= 0;
}
