#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "text/tokenizer_impl.h"

/* Looking up every split of every piece costs the square of its length: a vocabulary that asks for more than this is refused. */
#define MAX_WORK ((uint64_t)1 << 30)

static bool is_mergeable(const struct el_tokenizer *tok, size_t id)
{
    const uint8_t type = tok->type[id];
    return type == EL_PIECE_NORMAL || type == EL_PIECE_USER || type == EL_PIECE_UNUSED;
}

/* Every character of a longer piece must be a symbol, or no chain of merges could start from it. */
static enum el_status add_virtual_chars(struct el_tokenizer *tok, struct el_err *err)
{
    size_t cap = 0;
    for (size_t id = 0; id < tok->n_vocab; id++) {
        if (!is_mergeable(tok, id))
            continue;
        size_t nbytes;
        const char *const text = el_tok_text(tok, (int32_t)id, &nbytes);
        uint32_t cp;
        size_t len = el_utf8_decode(text, nbytes, &cp);
        if (len == nbytes)
            continue;
        for (size_t at = 0; at < nbytes; at += len) {
            len = el_utf8_decode(text + at, nbytes - at, &cp);
            if (el_bpe_char(tok, text + at, len) >= 0)
                continue;
            if (tok->n_virtual == cap) {
                cap = cap ? 2 * cap : 64;
                uint32_t *const more = el_realloc_array(tok->virtual_cp, cap, sizeof *more);
                if (!more)
                    return el_fail(err, EL_E_MEMORY, "out of memory for the vocabulary");
                tok->virtual_cp = more;
            }
            const int32_t sym = (int32_t)(tok->n_vocab + tok->n_virtual);
            tok->virtual_cp[tok->n_virtual++] = cp;
            if (cp < 128)
                tok->ascii_sym[cp] = sym;
            else if (!el_strmap_add(&tok->chars, text + at, len, sym, NULL))
                return el_fail(err, EL_E_MEMORY, "out of memory for the vocabulary");
        }
    }
    return EL_OK;
}

static int32_t symbol_of(const struct el_tokenizer *tok, const char *text, size_t nbytes)
{
    uint32_t cp;
    if (el_utf8_decode(text, nbytes, &cp) == nbytes)
        return el_bpe_char(tok, text, nbytes);
    const int64_t id = el_strmap_get(&tok->ids, text, nbytes, -1);
    return id >= 0 && is_mergeable(tok, (size_t)id) ? (int32_t)id : -1;
}

struct scored {
    float score;
    uint32_t id;
};

static int by_score(const void *pa, const void *pb)
{
    const struct scored *const a = pa, *const b = pb;
    if (a->score != b->score)
        return a->score > b->score ? -1 : 1;
    return a->id < b->id ? -1 : 1;
}

/* rank[id]: 0 for the highest score; equal scores share a rank, so that the leftmost of them merges first. */
static bool rank_scores(const float *scores, size_t n, uint32_t *rank)
{
    struct scored *const order = el_alloc_array(n, sizeof *order);
    if (!order)
        return false;
    for (size_t i = 0; i < n; i++)
        order[i] = (struct scored){scores[i], (uint32_t)i};
    qsort(order, n, sizeof *order, by_score);
    uint32_t r = 0;
    for (size_t i = 0; i < n; i++) {
        if (i > 0 && order[i].score != order[i - 1].score)
            r++;
        rank[order[i].id] = r;
    }
    el_free(order);
    return true;
}

struct found_pairs {
    struct el_pair *list;
    size_t n, cap;
};

static bool add_splits(const struct el_tokenizer *tok, size_t id, uint32_t rank, struct found_pairs *f)
{
    size_t nbytes;
    const char *const text = el_tok_text(tok, (int32_t)id, &nbytes);
    uint32_t cp;
    for (size_t at = el_utf8_decode(text, nbytes, &cp); at < nbytes; at += el_utf8_decode(text + at, nbytes - at, &cp)) {
        const int32_t left = symbol_of(tok, text, at);
        const int32_t right = left < 0 ? -1 : symbol_of(tok, text + at, nbytes - at);
        if (right < 0)
            continue;
        if (f->n == f->cap) {
            f->cap = f->cap ? 2 * f->cap : 4096;
            struct el_pair *const more = el_realloc_array(f->list, f->cap, sizeof *more);
            if (!more)
                return false;
            f->list = more;
        }
        f->list[f->n++] = (struct el_pair){(uint64_t)(uint32_t)left << 32 | (uint32_t)right, rank, (int32_t)id};
    }
    return true;
}

enum el_status el_spm_build(struct el_tokenizer *tok, const float *scores, struct el_err *err)
{
    uint64_t work = 0;
    for (size_t i = 0; i < tok->n_vocab; i++) {
        const uint64_t n = tok->off[i + 1] - tok->off[i];
        work += n * n;
        if (isnan(scores[i]))
            return el_fail(err, EL_E_FORMAT, "tokenizer.ggml.scores[%zu]: not a number", i);
    }
    if (work > MAX_WORK)
        return el_fail(err, EL_E_UNSUPPORTED, "tokenizer.ggml.tokens: the squares of the lengths add up to %llu, at most %llu",
                       (unsigned long long)work, (unsigned long long)MAX_WORK);
    EL_TRY(add_virtual_chars(tok, err));
    struct found_pairs f = {NULL, 0, 0};
    uint32_t *const rank = el_alloc_array(tok->n_vocab, sizeof *rank);
    bool ok = rank && rank_scores(scores, tok->n_vocab, rank);
    for (size_t id = 0; ok && id < tok->n_vocab; id++)
        if (is_mergeable(tok, id))
            ok = add_splits(tok, id, rank[id], &f);
    ok = ok && el_pairs_reserve(&tok->pairs, f.n);
    /* A text that two tokens share is looked up as one of them: its splits are there twice, and the first entry stays. */
    for (size_t i = 0; ok && i < f.n; i++)
        el_pairs_add(&tok->pairs, (int32_t)(f.list[i].key >> 32), (int32_t)(uint32_t)f.list[i].key, f.list[i].rank,
                     f.list[i].merged);
    el_free(f.list);
    el_free(rank);
    return ok ? EL_OK : el_fail(err, EL_E_MEMORY, "out of memory for the merges of %zu tokens", tok->n_vocab);
}
