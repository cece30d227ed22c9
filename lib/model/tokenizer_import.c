#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/cursor.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "model/tokenizer_impl.h"

/* A vocabulary on its way into metadata. Texts are borrowed, or lie in `made`. */
struct vocab {
    const char **text; /* NULL: no token has this id */
    size_t *nbytes;
    int32_t *type;
    float *score;
    size_t n, cap;
    struct el_strmap ids;
    char **made; /* texts that had to be made; owned */
    size_t n_made, cap_made;
};

static enum el_status out_of_memory(struct el_err *err)
{
    return el_fail(err, EL_E_MEMORY, "out of memory for the vocabulary");
}

static void release(struct vocab *v)
{
    for (size_t i = 0; i < v->n_made; i++)
        el_free(v->made[i]);
    el_free(v->made);
    el_free(v->text);
    el_free(v->nbytes);
    el_free(v->type);
    el_free(v->score);
    el_strmap_release(&v->ids);
}

static bool grow(void *array, size_t n, size_t size)
{
    void *p;
    memcpy(&p, array, sizeof p);
    p = el_realloc_array(p, n, size);
    if (p)
        memcpy(array, &p, sizeof p);
    return p != NULL;
}

/* Makes ids up to n exist; new ones have no text. */
static enum el_status make_room(struct vocab *v, size_t n, struct el_err *err)
{
    if (n > v->cap) {
        size_t cap = v->cap ? v->cap : 1024;
        while (cap < n)
            cap *= 2;
        if (!grow(&v->text, cap, sizeof *v->text) || !grow(&v->nbytes, cap, sizeof *v->nbytes) ||
            !grow(&v->type, cap, sizeof *v->type) || !grow(&v->score, cap, sizeof *v->score))
            return out_of_memory(err);
        v->cap = cap;
    }
    for (; v->n < n; v->n++) {
        v->text[v->n] = NULL;
        v->nbytes[v->n] = 0;
        v->type[v->n] = EL_PIECE_NORMAL;
        v->score[v->n] = 0;
    }
    return EL_OK;
}

/* Keeps a text that had to be made until the vocabulary is written. Takes it over; NULL when out of memory. */
static const char *keep(struct vocab *v, char *text)
{
    if (text && v->n_made == v->cap_made) {
        const size_t cap = v->cap_made ? 2 * v->cap_made : 64;
        if (!grow(&v->made, cap, sizeof *v->made)) {
            el_free(text);
            return NULL;
        }
        v->cap_made = cap;
    }
    if (text)
        v->made[v->n_made++] = text;
    return text;
}

static enum el_status set_piece(struct vocab *v, int64_t id, const char *text, size_t nbytes, struct el_err *err)
{
    if (id < 0 || id >= EL_MAX_VOCAB)
        return el_fail(err, EL_E_FORMAT, "token '%.60s': id %lld, allowed are 0 to %d", text, (long long)id,
                       (int)EL_MAX_VOCAB - 1);
    if (nbytes == 0 || nbytes > EL_MAX_PIECE)
        return el_fail(err, EL_E_FORMAT, "token %lld: %zu bytes of text, allowed are 1 to %d", (long long)id, nbytes,
                       (int)EL_MAX_PIECE);
    EL_TRY(make_room(v, (size_t)id + 1, err));
    if (v->text[id])
        return el_fail(err, EL_E_FORMAT, "token id %lld is given to '%.60s' and to '%.60s'", (long long)id, v->text[id], text);
    v->text[id] = text;
    v->nbytes[id] = nbytes;
    return el_strmap_add(&v->ids, text, nbytes, id, NULL) ? EL_OK : out_of_memory(err);
}

/*
 * Ids that no token has, and those up to n_vocab, become unused tokens. How many is bounded by the tokens there are, so that a
 * small file does not take much memory.
 */
static enum el_status pad(struct vocab *v, uint32_t n_vocab, struct el_err *err)
{
    enum { FREE_PADS = 65536, PADS_PER_TOKEN = 4 };
    if (v->n == 0)
        return el_fail(err, EL_E_FORMAT, "the vocabulary is empty");
    if (n_vocab > EL_MAX_VOCAB)
        return el_fail(err, EL_E_FORMAT, "%u tokens, at most %d", (unsigned)n_vocab, (int)EL_MAX_VOCAB);
    if (n_vocab > 0 && v->n > n_vocab)
        return el_fail(err, EL_E_FORMAT, "the tokenizer has %zu tokens, the model %u", v->n, (unsigned)n_vocab);
    const size_t n = n_vocab > v->n ? n_vocab : v->n, n_tokens = v->ids.count;
    if (n > FREE_PADS && (n - FREE_PADS) / (PADS_PER_TOKEN + 1) > n_tokens)
        return el_fail(err, EL_E_FORMAT, "%zu ids for %zu tokens, at most %d for each and %d", n, n_tokens, PADS_PER_TOKEN + 1,
                       FREE_PADS);
    if (n_vocab > 0)
        EL_TRY(make_room(v, n_vocab, err));
    for (size_t i = 0; i < v->n; i++) {
        if (v->text[i])
            continue;
        char name[32];
        snprintf(name, sizeof name, "[PAD%zu]", i);
        v->text[i] = keep(v, el_strdup(name));
        if (!v->text[i])
            return out_of_memory(err);
        v->nbytes[i] = strlen(name);
        v->type[i] = EL_PIECE_UNUSED;
    }
    return EL_OK;
}

static enum el_status write_vocab(struct el_meta *meta, const struct vocab *v, const char *model, const char *pre, bool scores,
                                  struct el_err *err)
{
    EL_TRY(el_meta_set_str(meta, "tokenizer.ggml.model", model, strlen(model), err));
    EL_TRY(el_meta_set_str(meta, "tokenizer.ggml.pre", pre, strlen(pre), err));
    EL_TRY(el_meta_set_str_array(meta, "tokenizer.ggml.tokens", v->text, v->nbytes, v->n, err));
    if (scores)
        EL_TRY(el_meta_set_array(meta, "tokenizer.ggml.scores", EL_META_F32, v->score, v->n, err));
    return el_meta_set_array(meta, "tokenizer.ggml.token_type", EL_META_I32, v->type, v->n, err);
}

/* ---- tokenizer.json ---- */

struct import {
    struct el_meta *meta;
    const struct el_json *root, *model, *config, *generation; /* the last two may be NULL */
    bool byte_level;
    struct vocab v;
    const char **merges;
    size_t n_merges;
    struct el_err *err;
};

static enum el_status import_pieces(struct import *im)
{
    const struct el_json *const vocab = el_json_get(im->model, "vocab");
    if (!el_json_is(vocab, EL_JSON_OBJECT))
        return el_fail(im->err, EL_E_FORMAT, "tokenizer.json: model.vocab must be an object");
    const bool fallback = !im->byte_level && el_json_bool(el_json_get(im->model, "byte_fallback"));
    for (const struct el_json *p = el_json_first(vocab); p; p = el_json_next(p)) {
        int64_t id;
        const char *const text = el_json_key(p);
        if (!el_json_int(p, &id))
            return el_fail(im->err, EL_E_FORMAT, "tokenizer.json: model.vocab '%.60s': the id must be an integer", text);
        const size_t nbytes = strlen(text);
        EL_TRY(set_piece(&im->v, id, text, nbytes, im->err));
        if (fallback && el_byte_piece(text, nbytes) >= 0)
            im->v.type[id] = EL_PIECE_BYTE;
    }
    return EL_OK;
}

/* In metadata a SentencePiece vocabulary's own tokens are texts, with real spaces. */
static const char *with_spaces(struct vocab *v, const char *text)
{
    if (!strstr(text, EL_SPACE_MARK))
        return text;
    char *const copy = el_strdup(text);
    if (copy) {
        char *to = copy;
        for (const char *from = text; *from;) {
            const bool mark = strncmp(from, EL_SPACE_MARK, 3) == 0;
            *to++ = mark ? ' ' : *from;
            from += mark ? 3 : 1;
        }
        *to = '\0';
    }
    return keep(v, copy);
}

static enum el_status import_added(struct import *im)
{
    struct vocab *const v = &im->v;
    for (const struct el_json *p = el_json_first(el_json_get(im->root, "added_tokens")); p; p = el_json_next(p)) {
        const char *const text = el_json_str(el_json_get(p, "content"));
        int64_t id;
        if (!text || !el_json_int(el_json_get(p, "id"), &id))
            return el_fail(im->err, EL_E_FORMAT,
                           "tokenizer.json: each of added_tokens must have an integer id and a string content");
        const bool special = el_json_bool(el_json_get(p, "special"));
        const bool known = id >= 0 && (uint64_t)id < v->n && v->text[id] && strcmp(v->text[id], text) == 0;
        if (!known)
            EL_TRY(set_piece(v, id, text, strlen(text), im->err));
        v->type[id] = special ? EL_PIECE_CONTROL : EL_PIECE_USER;
        if (!special && !im->byte_level) {
            v->text[id] = with_spaces(v, text);
            if (!v->text[id])
                return out_of_memory(im->err);
            v->nbytes[id] = strlen(v->text[id]);
        }
    }
    return EL_OK;
}

/* "a b", whichever way the file spells a merge. */
static const char *merge_text(struct import *im, const struct el_json *m)
{
    if (el_json_is(m, EL_JSON_STR))
        return el_json_str(m);
    const char *const a = el_json_str(el_json_first(m)), *const b = a ? el_json_str(el_json_next(el_json_first(m))) : NULL;
    if (!a || !b || el_json_count(m) != 2)
        return "";
    const size_t n_left = strlen(a), n_right = strlen(b);
    char *const text = el_alloc(n_left + n_right + 2);
    if (!text)
        return NULL;
    memcpy(text, a, n_left);
    text[n_left] = ' ';
    memcpy(text + n_left + 1, b, n_right + 1);
    return keep(&im->v, text);
}

static enum el_status import_merges(struct import *im)
{
    const struct el_json *const list = el_json_get(im->model, "merges");
    if (!el_json_is(list, EL_JSON_ARRAY))
        return el_fail(im->err, EL_E_FORMAT, "tokenizer.json: model.merges must be an array");
    const size_t n = el_json_count(list);
    im->merges = el_alloc_array(n ? n : 1, sizeof *im->merges);
    if (!im->merges)
        return out_of_memory(im->err);
    for (const struct el_json *m = el_json_first(list); m; m = el_json_next(m)) {
        const char *const text = merge_text(im, m);
        if (!text)
            return out_of_memory(im->err);
        if (!*text)
            return el_fail(im->err, EL_E_FORMAT, "tokenizer.json: model.merges[%zu]: must be \"a b\" or [\"a\", \"b\"]",
                           im->n_merges);
        im->merges[im->n_merges++] = text;
    }
    return EL_OK;
}

/*
 * Scores with which a program that knows only scores merges in the order of the list: minus the rank of the first merge that
 * makes the token. Tokens that no merge makes come last.
 */
static void make_scores(struct import *im)
{
    struct vocab *const v = &im->v;
    for (size_t i = 0; i < v->n; i++)
        v->score[i] = v->type[i] == EL_PIECE_NORMAL ? -(float)im->n_merges - (float)i : 0.0f;
    for (size_t i = im->n_merges; i-- > 0;) {
        const char *const space = strchr(im->merges[i] + 1, ' ');
        char joined[8192];
        const size_t n = strlen(im->merges[i]);
        if (!space || n > sizeof joined)
            continue; /* refused when the tokenizer is opened */
        const size_t n_left = (size_t)(space - im->merges[i]);
        memcpy(joined, im->merges[i], n_left);
        memcpy(joined + n_left, space + 1, n - n_left - 1);
        const int64_t id = el_strmap_get(&v->ids, joined, n - 1, -1);
        if (id >= 0 && v->type[id] == EL_PIECE_NORMAL)
            v->score[id] = -(float)i;
    }
}

/* Id of config's token NAME (a string, or an object with content); -1: none. */
static int64_t config_token(const struct import *im, const char *name)
{
    const struct el_json *const t = el_json_get(im->config, name);
    const char *const text = el_json_is(t, EL_JSON_OBJECT) ? el_json_str(el_json_get(t, "content")) : el_json_str(t);
    return text ? el_strmap_get(&im->v.ids, text, strlen(text), -1) : -1;
}

/* Id from generation_config.json: a number, or the first of a list. */
static int64_t generation_token(const struct import *im, const char *name)
{
    const struct el_json *t = el_json_get(im->generation, name);
    if (el_json_is(t, EL_JSON_ARRAY))
        t = el_json_first(t);
    int64_t id;
    if (!t || !el_json_int(t, &id))
        return -1;
    if (id < 0 || (uint64_t)id >= im->v.n) {
        el_warn("generation_config.json: %s %lld is no token of the vocabulary of %zu", name, (long long)id, im->v.n);
        return -1;
    }
    return id;
}

static enum el_status set_id(struct import *im, const char *key, int64_t id)
{
    return id >= 0 ? el_meta_set_u32(im->meta, key, (uint32_t)id, im->err) : EL_OK;
}

/* All ids that end generation, when there are several. */
static enum el_status import_eog(struct import *im, int64_t eos)
{
    const struct el_json *const list = el_json_get(im->generation, "eos_token_id");
    if (!el_json_is(list, EL_JSON_ARRAY))
        return EL_OK;
    int32_t ids[64];
    size_t n = 0;
    int64_t other = -1;
    for (const struct el_json *p = el_json_first(list); p && n < 64; p = el_json_next(p)) {
        int64_t id;
        if (!el_json_int(p, &id) || id < 0 || (uint64_t)id >= im->v.n)
            continue;
        ids[n++] = (int32_t)id;
        if (id != eos)
            other = id; /* the last one: the end of a turn, in the files that have several */
    }
    EL_TRY(set_id(im, "tokenizer.ggml.eot_token_id", other));
    return n > 1 ? el_meta_set_array(im->meta, "edgellm.tokenizer.eog_ids", EL_META_I32, ids, n, im->err) : EL_OK;
}

static enum el_status import_flag(struct import *im, const char *config_key, const char *key, bool otherwise)
{
    const struct el_json *const v = el_json_get(im->config, config_key);
    return el_meta_set_bool(im->meta, key, el_json_is(v, EL_JSON_BOOL) ? el_json_bool(v) : otherwise, im->err);
}

static enum el_status import_special(struct import *im)
{
    struct el_affixes a;
    EL_TRY(el_hf_affixes(im->root, &a, im->err));
    int64_t bos = config_token(im, "bos_token"), eos = config_token(im, "eos_token"), unk = config_token(im, "unk_token");
    if (bos < 0)
        bos = generation_token(im, "bos_token_id");
    if (eos < 0)
        eos = generation_token(im, "eos_token_id");
    if (bos < 0 && a.n_prefix > 0 && (size_t)a.prefix[0] < im->v.n)
        bos = a.prefix[0];
    if (eos < 0 && a.n_suffix > 0 && (size_t)a.suffix[a.n_suffix - 1] < im->v.n)
        eos = a.suffix[a.n_suffix - 1];
    const char *const model_unk = el_json_str(el_json_get(im->model, "unk_token"));
    if (unk < 0 && model_unk)
        unk = el_strmap_get(&im->v.ids, model_unk, strlen(model_unk), -1);
    EL_TRY(set_id(im, "tokenizer.ggml.bos_token_id", bos));
    EL_TRY(set_id(im, "tokenizer.ggml.eos_token_id", eos));
    EL_TRY(set_id(im, "tokenizer.ggml.unknown_token_id", unk));
    EL_TRY(set_id(im, "tokenizer.ggml.padding_token_id", config_token(im, "pad_token")));
    EL_TRY(import_eog(im, eos));
    EL_TRY(import_flag(im, "add_bos_token", "tokenizer.ggml.add_bos_token", a.n_prefix > 0 && a.prefix[0] == bos));
    return import_flag(im, "add_eos_token", "tokenizer.ggml.add_eos_token", a.n_suffix > 0 && a.suffix[a.n_suffix - 1] == eos);
}

static enum el_status import_template(struct import *im)
{
    const struct el_json *t = el_json_get(im->config, "chat_template");
    if (el_json_is(t, EL_JSON_ARRAY)) { /* several with names: "default", else the first */
        const struct el_json *chosen = el_json_first(t);
        for (const struct el_json *p = chosen; p; p = el_json_next(p)) {
            const char *const name = el_json_str(el_json_get(p, "name"));
            if (name && strcmp(name, "default") == 0)
                chosen = p;
        }
        t = el_json_get(chosen, "template");
    }
    const char *const text = el_json_str(t);
    return text ? el_meta_set_str(im->meta, "tokenizer.chat_template", text, strlen(text), im->err) : EL_OK;
}

/* Does the normalizer put a space mark in front of the text? */
static bool prepends_space(const struct el_json *v)
{
    const char *const type = el_json_str(el_json_get(v, "type"));
    if (type && strcmp(type, "Prepend") == 0)
        return true;
    if (type && strcmp(type, "Metaspace") == 0) {
        const char *const scheme = el_json_str(el_json_get(v, "prepend_scheme"));
        return !scheme || strcmp(scheme, "never") != 0;
    }
    static const char *const lists[] = {"normalizers", "pretokenizers"};
    for (size_t i = 0; i < 2; i++)
        for (const struct el_json *p = el_json_first(el_json_get(v, lists[i])); p; p = el_json_next(p))
            if (prepends_space(p))
                return true;
    return false;
}

static enum el_status import_all(struct import *im, uint32_t n_vocab)
{
    EL_TRY(el_hf_check_model(im->model, im->err));
    EL_TRY(import_pieces(im));
    EL_TRY(import_added(im));
    EL_TRY(import_merges(im));
    const char *const unk = el_json_str(el_json_get(im->model, "unk_token"));
    const int64_t unk_id = unk && !im->byte_level ? el_strmap_get(&im->v.ids, unk, strlen(unk), -1) : -1;
    if (unk_id >= 0)
        im->v.type[unk_id] = EL_PIECE_UNKNOWN;
    EL_TRY(pad(&im->v, n_vocab, im->err));
    make_scores(im);

    const char *pre = "default";
    struct el_pre steps = {.n = 0};
    const enum el_status status = el_hf_pre(&steps, el_json_get(im->root, "pre_tokenizer"), im->err);
    if (status == EL_OK && im->byte_level) {
        const char *const name = el_pre_recognise(&steps, el_json_bool(el_json_get(im->model, "ignore_merges")));
        if (name)
            pre = name;
    }
    el_pre_release(&steps);
    EL_TRY(status);
    EL_TRY(write_vocab(im->meta, &im->v, im->byte_level ? "gpt2" : "llama", pre, !im->byte_level, im->err));
    EL_TRY(el_meta_set_str_array(im->meta, "tokenizer.ggml.merges", im->merges, NULL, im->n_merges, im->err));
    EL_TRY(import_special(im));
    if (!im->byte_level)
        EL_TRY(el_meta_set_bool(im->meta, "tokenizer.ggml.add_space_prefix",
                                prepends_space(el_json_get(im->root, "normalizer")) ||
                                    prepends_space(el_json_get(im->root, "pre_tokenizer")),
                                im->err));
    return import_template(im);
}

enum el_status el_tokenizer_import_hf(struct el_meta *meta, const char *tokenizer_json, size_t json_nbytes,
                                      const char *tokenizer_config, size_t config_nbytes, const char *generation_config,
                                      size_t generation_nbytes, uint32_t n_vocab, struct el_err *err)
{
    struct el_json_doc *json = NULL, *config = NULL, *generation = NULL;
    struct import im = {.meta = meta, .err = err};
    el_strmap_init(&im.v.ids);
    enum el_status status;
    EL_TRY_OUT(el_json_parse(tokenizer_json, json_nbytes, "tokenizer.json", &json, err));
    if (tokenizer_config)
        EL_TRY_OUT(el_json_parse(tokenizer_config, config_nbytes, "tokenizer_config.json", &config, err));
    if (generation_config)
        EL_TRY_OUT(el_json_parse(generation_config, generation_nbytes, "generation_config.json", &generation, err));
    im.root = el_json_root(json);
    im.model = el_json_get(im.root, "model");
    im.config = config ? el_json_root(config) : NULL;
    im.generation = generation ? el_json_root(generation) : NULL;
    im.byte_level = el_hf_is_byte_level(im.root);
    EL_TRY_OUT(import_all(&im, n_vocab));
    status = el_meta_set_str(meta, "tokenizer.huggingface.json", tokenizer_json, json_nbytes, err);
out:
    el_free(im.merges);
    release(&im.v);
    el_json_free(json);
    el_json_free(config);
    el_json_free(generation);
    return status;
}

/* ---- llama2.c ---- */

static enum el_status add_llama2c_piece(struct vocab *v, size_t id, const char *text, size_t nbytes, float score,
                                        struct el_err *err)
{
    static const char *const first[] = {"<unk>", "<s>", "</s>"}; /* spelled "\n<s>\n" in these files */
    if (id < 3) {
        text = first[id];
        nbytes = strlen(text);
    }
    char *const marked = el_alloc(3 * nbytes + 1);
    if (!keep(v, marked))
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
    EL_TRY(set_piece(v, (int64_t)id, marked, n, err));
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
    struct vocab v = {.n = 0};
    el_strmap_init(&v.ids);
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
        status = pad(&v, n_vocab, err);
    if (status == EL_OK)
        status = write_vocab(meta, &v, "llama", "default", true, err);
    static const char *const keys[] = {"tokenizer.ggml.unknown_token_id", "tokenizer.ggml.bos_token_id",
                                       "tokenizer.ggml.eos_token_id"};
    for (uint32_t i = 0; status == EL_OK && i < 3; i++)
        if (i < v.n)
            status = el_meta_set_u32(meta, keys[i], i, err);
    if (status == EL_OK)
        status = el_meta_set_bool(meta, "tokenizer.ggml.add_bos_token", true, err);
    if (status == EL_OK)
        status = el_meta_set_bool(meta, "tokenizer.ggml.add_eos_token", false, err);
    release(&v);
    return status;
}
