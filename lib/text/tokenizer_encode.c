#include <string.h>

#include "base/mem.h"
#include "base/utf8.h"
#include "text/tokenizer_impl.h"

enum {
    CACHE_SLOTS = 16384,   /* one MiB: words repeat, so most are looked up instead of merged */
    CACHE_MIN_TEXT = 4096, /* bytes of text from which the cache pays */
    CACHE_KEY = 24,
    CACHE_IDS = 8,
    INTERRUPT_EVERY = 65536, /* words */
};

struct cache_slot {
    uint64_t key[CACHE_KEY / 8]; /* zero-padded */
    uint8_t nbytes, n_ids;       /* nbytes 0: empty */
    int32_t ids[CACHE_IDS];
};

struct encoder {
    const struct el_tokenizer *tok;
    bool with_special;
    int32_t *ids;
    size_t n, cap;
    int32_t *sym;
    size_t cap_sym;
    struct el_merge_work work;
    struct el_viterbi viterbi;
    struct el_regex_run *run;
    struct el_buf bufs[2];    /* normalizer */
    struct el_buf bytes;      /* a word as raw bytes, or in the byte alphabet */
    struct cache_slot *cache; /* NULL: none */
    uint32_t n_words;
};

static enum el_status no_memory(struct el_err *err)
{
    return el_fail(err, EL_E_MEMORY, "out of memory while tokenizing");
}

/* Length of the longest start of a valid character at an ill-formed place, at least 1. */
static size_t ill_formed(const char *s, size_t nbytes)
{
    const uint8_t b = (uint8_t)s[0];
    const size_t whole = b >= 0xc2 && b <= 0xdf ? 2 : b >= 0xe0 && b <= 0xef ? 3 : b >= 0xf0 && b <= 0xf4 ? 4 : 1;
    size_t n = 1;
    while (n < whole && n < nbytes) {
        const uint8_t c = (uint8_t)s[n];
        uint8_t low = 0x80, high = 0xbf;
        if (n == 1) {
            low = b == 0xe0 ? 0xa0 : b == 0xf0 ? 0x90 : 0x80;
            high = b == 0xed ? 0x9f : b == 0xf4 ? 0x8f : 0xbf;
        }
        if (c < low || c > high)
            break;
        n++;
    }
    return n;
}

void el_utf8_repair(const char *text, size_t nbytes, struct el_buf *out)
{
    size_t start = 0;
    for (size_t i = 0; i < nbytes;) {
        uint32_t cp;
        const size_t len = el_utf8_decode(text + i, nbytes - i, &cp);
        if (len > 0) {
            i += len;
            continue;
        }
        el_buf_add(out, text + start, i - start);
        el_buf_add(out, "\xef\xbf\xbd", 3);
        i += ill_formed(text + i, nbytes - i);
        start = i;
    }
    el_buf_add(out, text + start, nbytes - start);
}

static enum el_status push_ids(struct encoder *e, const int32_t *ids, size_t n, struct el_err *err)
{
    if (n == 0)
        return EL_OK;
    if (e->cap - e->n < n) {
        const size_t cap = e->cap + e->cap / 2 + n + 64;
        int32_t *const more = el_realloc_array(e->ids, cap, sizeof *more);
        if (!more)
            return no_memory(err);
        e->ids = more;
        e->cap = cap;
    }
    memcpy(e->ids + e->n, ids, n * sizeof *ids);
    e->n += n;
    return EL_OK;
}

static enum el_status room_for_symbols(struct encoder *e, size_t n, struct el_err *err)
{
    if (e->cap_sym >= n)
        return EL_OK;
    const size_t cap = n + n / 2 + 64;
    el_free(e->sym);
    e->sym = el_alloc_array(cap, sizeof *e->sym);
    e->cap_sym = e->sym ? cap : 0;
    return e->sym ? EL_OK : no_memory(err);
}

/* ---- one word -> ids ---- */

/* The symbols of a word that is bytes; the result is pushed. */
static enum el_status encode_bytes(struct encoder *e, const char *word, size_t nbytes, struct el_err *err)
{
    const struct el_tokenizer *const tok = e->tok;
    if (tok->ignore_merges && nbytes <= EL_MAX_PIECE) {
        el_buf_reset(&e->bytes);
        for (size_t i = 0; i < nbytes; i++) {
            char text[4];
            el_buf_add(&e->bytes, text, el_utf8_encode(el_byte_cp((uint8_t)word[i]), text));
        }
        if (e->bytes.failed)
            return no_memory(err);
        const int32_t id = (int32_t)el_strmap_get(&tok->ids, e->bytes.data, e->bytes.nbytes, -1);
        if (id >= 0 && tok->type[id] == EL_PIECE_NORMAL)
            return push_ids(e, &id, 1, err);
    }
    EL_TRY(room_for_symbols(e, nbytes, err));
    size_t n = nbytes;
    for (size_t i = 0; i < nbytes; i++)
        e->sym[i] = tok->byte_sym[(uint8_t)word[i]];
    EL_TRY(el_merge(&tok->pairs, &e->work, e->sym, &n, err));
    /* A byte that the vocabulary lacks is unk, or nothing where there is no unk: the reference programs drop it too. */
    size_t m = 0;
    for (size_t i = 0; i < n; i++) {
        const int32_t id = e->sym[i] >= 0 ? e->sym[i] : tok->unk;
        if (id >= 0)
            e->sym[m++] = id;
    }
    return push_ids(e, e->sym, m, err);
}

/* The ids of the bytes of a character that is no token; unk when one of the bytes has none. */
static size_t fall_back(const struct el_tokenizer *tok, const char *s, size_t nbytes, int32_t out[4])
{
    for (size_t i = 0; i < nbytes; i++) {
        out[i] = tok->byte_sym[(uint8_t)s[i]];
        if (out[i] < 0) {
            out[0] = tok->unk;
            return tok->unk >= 0;
        }
    }
    return nbytes;
}

static enum el_status encode_chars(struct encoder *e, const char *word, size_t nbytes, struct el_err *err)
{
    const struct el_tokenizer *const tok = e->tok;
    if (tok->ignore_merges) {
        const int32_t id = (int32_t)el_strmap_get(&tok->ids, word, nbytes, -1);
        if (id >= 0 && tok->type[id] == EL_PIECE_NORMAL)
            return push_ids(e, &id, 1, err);
    }
    EL_TRY(room_for_symbols(e, nbytes, err));
    size_t n = 0;
    for (size_t i = 0; i < nbytes;) {
        uint32_t cp;
        const size_t len = el_utf8_decode(word + i, nbytes - i, &cp);
        const int32_t sym = el_bpe_char(tok, word + i, len);
        if (sym >= 0) {
            e->sym[n++] = sym;
        } else {
            int32_t ids[4];
            const size_t k = fall_back(tok, word + i, len, ids);
            if (!(k == 1 && ids[0] == tok->unk && tok->fuse_unk && n > 0 && e->sym[n - 1] == tok->unk)) {
                memcpy(e->sym + n, ids, k * sizeof *ids);
                n += k;
            }
        }
        i += len;
    }
    EL_TRY(el_merge(&tok->pairs, &e->work, e->sym, &n, err));
    const size_t before = e->n;
    size_t from = 0; /* runs without virtual symbols are pushed at once */
    for (size_t i = 0; i < n; i++) {
        if ((size_t)e->sym[i] < tok->n_vocab)
            continue;
        char text[4];
        int32_t ids[4];
        const size_t len = el_utf8_encode(tok->virtual_cp[(size_t)e->sym[i] - tok->n_vocab], text);
        EL_TRY(push_ids(e, e->sym + from, i - from, err));
        EL_TRY(push_ids(e, ids, fall_back(tok, text, len, ids), err));
        from = i + 1;
    }
    EL_TRY(push_ids(e, e->sym + from, n - from, err));
    if (tok->fuse_unk && from > 0) { /* a virtual symbol that became unk may stand beside another */
        size_t m = before;
        for (size_t i = before; i < e->n; i++)
            if (m == before || e->ids[i] != tok->unk || e->ids[m - 1] != tok->unk)
                e->ids[m++] = e->ids[i];
        e->n = m;
    }
    return EL_OK;
}

static enum el_status encode_by_machine(struct encoder *e, const char *word, size_t nbytes, struct el_err *err)
{
    const struct el_tokenizer *const tok = e->tok;
    size_t n = 0;
    switch (tok->machine) {
    case EL_MACHINE_MERGES: return tok->byte_level ? encode_bytes(e, word, nbytes, err) : encode_chars(e, word, nbytes, err);
    case EL_MACHINE_UNIGRAM:
        EL_TRY(room_for_symbols(e, nbytes, err));
        EL_TRY(el_unigram_encode(tok, &e->viterbi, word, nbytes, e->sym, &n, err));
        break;
    case EL_MACHINE_WORDPIECE:
        EL_TRY(room_for_symbols(e, nbytes, err));
        n = el_wordpiece_encode(tok, word, nbytes, e->sym);
        break;
    }
    return push_ids(e, e->sym, n, err);
}

static struct cache_slot *cache_slot_of(struct encoder *e, const char *word, size_t nbytes, uint64_t key[CACHE_KEY / 8])
{
    memset(key, 0, CACHE_KEY);
    memcpy(key, word, nbytes);
    uint64_t h = (key[0] ^ nbytes) * 0x9e3779b97f4a7c15u;
    h = (h ^ h >> 32 ^ key[1]) * 0xbf58476d1ce4e5b9u;
    h = (h ^ h >> 32 ^ key[2]) * 0x94d049bb133111ebu;
    return &e->cache[(h >> 40) % CACHE_SLOTS];
}

static enum el_status encode_word(struct encoder *e, const char *word, size_t nbytes, struct el_err *err)
{
    if (++e->n_words % INTERRUPT_EVERY == 0 && el_interrupted())
        return el_fail(err, EL_E_INTERRUPTED, "interrupted");
    struct cache_slot *slot = NULL;
    uint64_t key[CACHE_KEY / 8];
    if (e->cache && nbytes <= CACHE_KEY) {
        slot = cache_slot_of(e, word, nbytes, key);
        if (slot->nbytes == nbytes && memcmp(slot->key, key, CACHE_KEY) == 0)
            return push_ids(e, slot->ids, slot->n_ids, err);
    }
    const size_t before = e->n;
    EL_TRY(encode_by_machine(e, word, nbytes, err));
    if (slot && e->n - before <= CACHE_IDS) {
        memcpy(slot->key, key, CACHE_KEY);
        slot->nbytes = (uint8_t)nbytes;
        slot->n_ids = (uint8_t)(e->n - before);
        memcpy(slot->ids, e->ids + before, slot->n_ids * sizeof slot->ids[0]);
    }
    return EL_OK;
}

/* ---- words ---- */

/* From a pre-tokenizer whose words are written in the byte alphabet: back to bytes. */
static enum el_status mapped_word(void *user, const char *word, size_t nbytes, struct el_err *err)
{
    struct encoder *const e = user;
    struct el_buf raw;
    el_buf_init(&raw);
    for (size_t i = 0; i < nbytes;) {
        uint32_t cp = 0;
        i += el_utf8_decode(word + i, nbytes - i, &cp);
        const int b = el_byte_of_cp(cp);
        if (b >= 0)
            el_buf_add_byte(&raw, (uint8_t)b);
    }
    const enum el_status status = raw.failed ? no_memory(err) : encode_word(e, raw.data, raw.nbytes, err);
    el_buf_release(&raw);
    return status;
}

/* Characters: a run of U+2581 starts a new word where no merge can cross it, which keeps words short. */
static enum el_status plain_word(void *user, const char *word, size_t nbytes, struct el_err *err)
{
    struct encoder *const e = user;
    if (!e->tok->cut_marks)
        return encode_word(e, word, nbytes, err);
    size_t start = 0, at = 0;
    bool after_mark = true;
    while (at < nbytes) {
        const bool mark =
            nbytes - at >= 3 && (uint8_t)word[at] == 0xe2 && (uint8_t)word[at + 1] == 0x96 && (uint8_t)word[at + 2] == 0x81;
        if (mark && !after_mark) {
            EL_TRY(encode_word(e, word + start, at - start, err));
            start = at;
        }
        after_mark = mark;
        if (mark) {
            at += 3;
        } else {
            const char *const next = memchr(word + at + 1, 0xe2, nbytes - at - 1);
            at = next ? (size_t)(next - word) : nbytes;
        }
    }
    return start < nbytes ? encode_word(e, word + start, nbytes - start, err) : EL_OK;
}

static enum el_status encode_normalized(struct encoder *e, const char *text, size_t nbytes, bool at_start, struct el_err *err)
{
    const struct el_tokenizer *const tok = e->tok;
    el_word_fn *const fn = tok->pre.mapped ? mapped_word : plain_word;
    size_t at = 0;
    while (at < nbytes) {
        size_t begin = nbytes, end = nbytes;
        const struct el_added_token *const t = el_added_find(&tok->added_norm, text, nbytes, at, e->with_special, &begin, &end);
        if (begin > at)
            EL_TRY(el_pre_run(&tok->pre, e->run, text + at, begin - at, at_start && at == 0, fn, e, err));
        if (t)
            EL_TRY(push_ids(e, &t->id, 1, err));
        at = end;
    }
    return EL_OK;
}

static enum el_status encode_text(struct encoder *e, const char *text, size_t nbytes, struct el_err *err)
{
    const struct el_tokenizer *const tok = e->tok;
    size_t at = 0;
    while (at < nbytes) {
        size_t begin = nbytes, end = nbytes;
        const struct el_added_token *const t = el_added_find(&tok->added, text, nbytes, at, e->with_special, &begin, &end);
        if (begin > at) {
            const char *normal;
            size_t n_normal;
            EL_TRY(el_norm_apply(&tok->norm, e->run, e->bufs, text + at, begin - at, &normal, &n_normal, err));
            EL_TRY(encode_normalized(e, normal, n_normal, at == 0, err));
        }
        if (t)
            EL_TRY(push_ids(e, &t->id, 1, err));
        at = end;
    }
    return EL_OK;
}

enum el_status el_encode(const struct el_tokenizer *tok, const char *text, size_t nbytes, unsigned flags, int32_t **ids,
                         size_t *n_ids, struct el_err *err)
{
    *ids = NULL;
    *n_ids = 0;
    struct encoder e = {.tok = tok, .with_special = (flags & EL_TOK_PARSE_SPECIAL) != 0};
    struct el_buf repaired;
    el_buf_init(&repaired);
    el_buf_init(&e.bufs[0]);
    el_buf_init(&e.bufs[1]);
    el_buf_init(&e.bytes);
    enum el_status status;
    EL_TRY_OUT(el_regex_run_open(&e.run, err));
    if (nbytes >= CACHE_MIN_TEXT)
        e.cache = el_calloc_array(CACHE_SLOTS, sizeof *e.cache); /* works without */
    if (!el_utf8_is_valid(text, nbytes)) {
        el_utf8_repair(text, nbytes, &repaired);
        if (repaired.failed)
            EL_TRY_OUT(no_memory(err));
        text = repaired.data;
        nbytes = repaired.nbytes;
    }
    if (flags & EL_TOK_ADD_SPECIAL)
        EL_TRY_OUT(push_ids(&e, tok->prefix, tok->n_prefix, err));
    EL_TRY_OUT(encode_text(&e, text, nbytes, err));
    if (flags & EL_TOK_ADD_SPECIAL)
        EL_TRY_OUT(push_ids(&e, tok->suffix, tok->n_suffix, err));
    if (!e.ids) {
        e.ids = el_alloc(sizeof *e.ids); /* no ids is a result too */
        if (!e.ids)
            EL_TRY_OUT(no_memory(err));
    }
    *ids = e.ids;
    *n_ids = e.n;
    e.ids = NULL;
out:
    el_free(e.ids);
    el_free(e.sym);
    el_free(e.cache);
    el_merge_work_release(&e.work);
    el_viterbi_release(&e.viterbi);
    el_regex_run_close(e.run);
    el_buf_release(&repaired);
    el_buf_release(&e.bufs[0]);
    el_buf_release(&e.bufs[1]);
    el_buf_release(&e.bytes);
    return status;
}
