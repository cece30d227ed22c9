/*
 * Unigram language models (Kudo 2018, arXiv:1804.10959): of all ways to write a word with tokens, the one with the highest sum of
 * scores, found by Viterbi's algorithm from left to right. At every character a trie gives the tokens that begin there, so the
 * time is the length of the word times the length of the longest token. Sums are doubles and the first of equal ways stays, as in
 * the reference programs.
 */
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "text/tokenizer_impl.h"

/* What a character that is no token costs below the lowest score. */
#define UNK_PENALTY 10.0

/* The best way that ends at a byte. */
struct el_viterbi_node {
    double score;
    int32_t id;
    uint32_t nbytes; /* of the last token; 0: no way ends here */
};

void el_viterbi_release(struct el_viterbi *v)
{
    el_free(v->nodes);
    *v = (struct el_viterbi){NULL, 0};
}

void el_unigram_release(struct el_unigram *u)
{
    el_trie_release(&u->trie);
    el_free(u->score);
    u->score = NULL;
}

static enum el_status out_of_memory(struct el_err *err)
{
    return el_fail(err, EL_E_MEMORY, "out of memory for the vocabulary");
}

static enum el_status check_piece(size_t id, size_t nbytes, double score, struct el_err *err)
{
    if (nbytes > EL_MAX_WALK)
        return el_fail(err, EL_E_UNSUPPORTED, "token %zu: %zu bytes of text, a unigram model allows at most %d", id, nbytes,
                       (int)EL_MAX_WALK);
    return isfinite(score) ? EL_OK : el_fail(err, EL_E_FORMAT, "token %zu: the score is not a finite number", id);
}

enum el_status el_unigram_from_scores(struct el_tokenizer *tok, const float *scores, struct el_err *err)
{
    struct el_unigram *const u = &tok->unigram;
    struct el_trie_key *const keys = el_alloc_array(tok->n_vocab, sizeof *keys);
    u->score = el_calloc_array(tok->n_vocab, sizeof *u->score);
    enum el_status status;
    if (!keys || !u->score)
        EL_TRY_OUT(out_of_memory(err));
    size_t n = 0;
    double lowest = HUGE_VAL;
    for (size_t i = 0; i < tok->n_vocab; i++) {
        const uint8_t type = tok->type[i];
        if (type != EL_PIECE_NORMAL && type != EL_PIECE_USER && type != EL_PIECE_UNUSED)
            continue;
        size_t nbytes;
        const char *const text = el_tok_text(tok, (int32_t)i, &nbytes);
        EL_TRY_OUT(check_piece(i, nbytes, (double)scores[i], err));
        if (type == EL_PIECE_NORMAL && (double)scores[i] < lowest)
            lowest = (double)scores[i];
        u->score[i] = type == EL_PIECE_USER ? 0 : (double)scores[i]; /* user-defined ones win */
        keys[n++] = (struct el_trie_key){text, (uint32_t)nbytes, (int32_t)i};
    }
    u->unk_score = (lowest < HUGE_VAL ? lowest : 0) - UNK_PENALTY;
    status = el_trie_build(&u->trie, keys, n, err);
out:
    el_free(keys);
    return status;
}

enum el_status el_unigram_from_json(struct el_tokenizer *tok, const struct el_json *model, struct el_err *err)
{
    struct el_unigram *const u = &tok->unigram;
    const struct el_json *const vocab = el_json_get(model, "vocab");
    const size_t n = el_json_count(vocab);
    struct el_trie_key *const keys = el_alloc_array(n ? n : 1, sizeof *keys);
    u->score = el_calloc_array(n ? n : 1, sizeof *u->score);
    enum el_status status;
    if (!keys || !u->score)
        EL_TRY_OUT(out_of_memory(err));
    size_t i = 0;
    double lowest = HUGE_VAL;
    for (const struct el_json *p = el_json_first(vocab); p; p = el_json_next(p), i++) {
        const struct el_json *const pair = el_json_first(p);
        const char *const text = el_json_str(pair);
        const struct el_json *const score = pair ? el_json_next(pair) : NULL;
        if (!text || !*text || !el_json_is(score, EL_JSON_NUMBER) || i >= tok->n_vocab)
            EL_TRY_OUT(el_fail(err, EL_E_FORMAT, "tokenizer.json: model.vocab[%zu]: must be [text, score], and one of %zu tokens",
                               i, tok->n_vocab));
        u->score[i] = el_json_num(score);
        EL_TRY_OUT(check_piece(i, strlen(text), u->score[i], err));
        if (u->score[i] < lowest)
            lowest = u->score[i];
        keys[i] = (struct el_trie_key){text, (uint32_t)strlen(text), (int32_t)i};
    }
    u->unk_score = (lowest < HUGE_VAL ? lowest : 0) - UNK_PENALTY;
    status = el_trie_build(&u->trie, keys, n, err);
out:
    el_free(keys);
    return status;
}

static inline void offer(struct el_viterbi_node *to, double score, int32_t id, size_t nbytes)
{
    if (to->nbytes == 0 || score > to->score)
        *to = (struct el_viterbi_node){score, id, (uint32_t)nbytes};
}

static void forward(const struct el_tokenizer *tok, struct el_viterbi_node *nodes, const char *word, size_t nbytes)
{
    const struct el_unigram *const u = &tok->unigram;
    nodes[0].score = 0;
    for (size_t at = 0; at < nbytes;) {
        uint32_t cp = 0;
        const size_t len = el_utf8_decode(word + at, nbytes - at, &cp);
        const double here = nodes[at].score;
        bool whole = false; /* this character is a token */
        uint32_t node = 0;
        for (size_t end = at; end < nbytes && (node = el_trie_next(&u->trie, node, (uint8_t)word[end])) != 0;) {
            end++;
            const int32_t id = u->trie.value[node];
            if (id < 0)
                continue;
            whole |= end - at == len;
            offer(&nodes[end], here + u->score[id], id, end - at);
        }
        if (!whole)
            offer(&nodes[at + len], here + u->unk_score, EL_UNIGRAM_UNK, len);
        at += len;
    }
}

/* Writes the ids of text that is no token in front of to[n_left]: its bytes, or one unk. Returns what is left. */
static size_t put_unknown(const struct el_tokenizer *tok, const char *s, size_t nbytes, int32_t *to, size_t n_left)
{
    bool bytes = true;
    for (size_t i = 0; bytes && i < nbytes; i++)
        bytes = tok->byte_sym[(uint8_t)s[i]] >= 0;
    if (!bytes) {
        if (tok->unk >= 0)
            to[--n_left] = tok->unk;
        return n_left;
    }
    for (size_t i = nbytes; i-- > 0;)
        to[--n_left] = tok->byte_sym[(uint8_t)s[i]];
    return n_left;
}

enum el_status el_unigram_encode(const struct el_tokenizer *tok, struct el_viterbi *v, const char *word, size_t nbytes,
                                 int32_t *ids, size_t *n_ids, struct el_err *err)
{
    if (nbytes >= UINT32_MAX)
        return el_fail(err, EL_E_UNSUPPORTED, "a word of %zu bytes, at most 2^32 - 2", nbytes);
    if (v->cap < nbytes + 1) {
        const size_t cap = nbytes + nbytes / 2 + 64;
        el_free(v->nodes);
        v->nodes = el_alloc_array(cap, sizeof *v->nodes);
        v->cap = v->nodes ? cap : 0;
        if (!v->nodes)
            return el_fail(err, EL_E_MEMORY, "out of memory while tokenizing %zu bytes", nbytes);
    }
    for (size_t i = 0; i <= nbytes; i++)
        v->nodes[i].nbytes = 0;
    forward(tok, v->nodes, word, nbytes);
    size_t n_left = nbytes, unk_end = 0; /* of a run of unknown characters that is being read; 0: none */
    for (size_t end = nbytes; end > 0;) {
        const struct el_viterbi_node *const node = &v->nodes[end];
        if (node->id == EL_UNIGRAM_UNK) {
            if (unk_end == 0)
                unk_end = end;
        } else {
            if (unk_end > 0)
                n_left = put_unknown(tok, word + end, unk_end - end, ids, n_left);
            unk_end = 0;
            ids[--n_left] = node->id;
        }
        end -= node->nbytes;
    }
    if (unk_end > 0)
        n_left = put_unknown(tok, word, unk_end, ids, n_left);
    *n_ids = nbytes - n_left;
    memmove(ids, ids + n_left, *n_ids * sizeof *ids);
    return EL_OK;
}
