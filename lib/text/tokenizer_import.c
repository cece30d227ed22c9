#include <string.h>

#include "base/base64.h"
#include "base/mem.h"
#include "text/tokenizer_import.h"

static enum el_status out_of_memory(struct el_err *err)
{
    return el_fail(err, EL_E_MEMORY, "out of memory for the vocabulary");
}

/* Unigram: [[text, score], ...] */
static enum el_status import_scored_pieces(struct el_import *im)
{
    const struct el_json *const vocab = el_json_get(im->model, "vocab");
    if (!el_json_is(vocab, EL_JSON_ARRAY))
        return el_fail(im->err, EL_E_FORMAT, "tokenizer.json: model.vocab of a Unigram model must be an array");
    const bool fallback = el_json_bool(el_json_get(im->model, "byte_fallback"));
    int64_t id = 0;
    for (const struct el_json *p = el_json_first(vocab); p; p = el_json_next(p), id++) {
        const struct el_json *const pair = el_json_first(p);
        const char *const text = el_json_str(pair);
        const struct el_json *const score = pair ? el_json_next(pair) : NULL;
        if (!text || !el_json_is(score, EL_JSON_NUMBER))
            return el_fail(im->err, EL_E_FORMAT, "tokenizer.json: model.vocab[%lld]: must be [text, score]", (long long)id);
        EL_TRY(el_vocab_set(&im->v, id, text, strlen(text), im->err));
        im->v.score[id] = (float)el_json_num(score);
        if (fallback && el_byte_piece(text, strlen(text)) >= 0)
            im->v.type[id] = EL_PIECE_BYTE;
    }
    return EL_OK;
}

static enum el_status import_pieces(struct el_import *im)
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
        EL_TRY(el_vocab_set(&im->v, id, text, nbytes, im->err));
        if (fallback && el_byte_piece(text, nbytes) >= 0)
            im->v.type[id] = EL_PIECE_BYTE;
    }
    return EL_OK;
}

static enum el_status import_added(struct el_import *im)
{
    struct el_vocab *const v = &im->v;
    for (const struct el_json *p = el_json_first(el_json_get(im->root, "added_tokens")); p; p = el_json_next(p)) {
        const char *const text = el_json_str(el_json_get(p, "content"));
        int64_t id;
        if (!text || !el_json_int(el_json_get(p, "id"), &id))
            return el_fail(im->err, EL_E_FORMAT,
                           "tokenizer.json: each of added_tokens must have an integer id and a string content");
        const bool special = el_json_bool(el_json_get(p, "special"));
        const bool known = id >= 0 && (uint64_t)id < v->n && v->text[id] && strcmp(v->text[id], text) == 0;
        if (!known)
            EL_TRY(el_vocab_set(v, id, text, strlen(text), im->err));
        v->type[id] = special ? EL_PIECE_CONTROL : EL_PIECE_USER;
        if (!special && !im->byte_level) {
            v->text[id] = el_vocab_with_spaces(v, text);
            if (!v->text[id])
                return out_of_memory(im->err);
            v->nbytes[id] = strlen(v->text[id]);
        }
    }
    return EL_OK;
}

/* WordPiece in GGUF: U+2581 in front of a token that starts a word, nothing in front of a continuation. */
static enum el_status mark_starts(struct el_import *im)
{
    struct el_vocab *const v = &im->v;
    const char *prefix = el_json_str(el_json_get(im->model, "continuing_subword_prefix"));
    if (!prefix)
        prefix = "##";
    const size_t n_prefix = strlen(prefix);
    for (size_t i = 0; i < v->n; i++) {
        if (v->type[i] != EL_PIECE_NORMAL || !v->text[i])
            continue;
        if (n_prefix > 0 && strncmp(v->text[i], prefix, n_prefix) == 0) {
            if (v->nbytes[i] == n_prefix)
                continue; /* a continuation by nothing: never found, and every token needs a text */
            v->text[i] += n_prefix;
            v->nbytes[i] -= n_prefix;
            continue;
        }
        char *const marked = el_alloc(v->nbytes[i] + 4);
        if (!el_vocab_keep(v, marked))
            return out_of_memory(im->err);
        memcpy(marked, EL_SPACE_MARK, 3);
        memcpy(marked + 3, v->text[i], v->nbytes[i] + 1);
        v->text[i] = marked;
        v->nbytes[i] += 3;
    }
    return EL_OK;
}

/* "a b", whichever way the file spells a merge. */
static const char *merge_text(struct el_import *im, const struct el_json *m)
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
    return el_vocab_keep(&im->v, text);
}

/*
 * A list of merges is "a b" in metadata, where tokens that hold spaces themselves may be split in more than one way, and the
 * first that gives tokens is taken. Is that another than the file's?
 */
static bool splits_elsewhere(const struct el_import *im, const struct el_json *m, const char *text)
{
    enum { MAX_SPACES = 16 };
    const struct el_strmap *const ids = &im->v.ids;
    const char *const left = el_json_str(el_json_first(m));
    const size_t n = strlen(text), n_left = left ? strlen(left) : 0;
    char joined[8192];
    size_t n_spaces = 0;
    for (size_t i = 1; i < n_left; i++) {
        if (text[i] != ' ')
            continue;
        if (++n_spaces > MAX_SPACES || n > sizeof joined)
            return true; /* not looked at further */
        memcpy(joined, text, i);
        memcpy(joined + i, text + i + 1, n - i - 1);
        if (el_strmap_get(ids, text, i, -1) >= 0 && el_strmap_get(ids, text + i + 1, n - i - 1, -1) >= 0 &&
            el_strmap_get(ids, joined, n - 1, -1) >= 0)
            return true;
    }
    return false;
}

static enum el_status import_merges(struct el_import *im)
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
        if (splits_elsewhere(im, m, text))
            return el_fail(im->err, EL_E_UNSUPPORTED,
                           "tokenizer.json: model.merges[%zu] '%.80s': tokens with spaces in them, so that it cannot be told "
                           "where the first ends",
                           im->n_merges, text);
        im->merges[im->n_merges++] = text;
    }
    return EL_OK;
}

/*
 * Scores with which a program that knows only scores merges in the order of the list: minus the rank of the first merge that
 * makes the token. Tokens that no merge makes come last.
 */
static void make_scores(struct el_import *im)
{
    struct el_vocab *const v = &im->v;
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

/* The first step of a type in a normalizer or pre-tokenizer; NULL: none. */
static const struct el_json *find_step(const struct el_json *v, const char *type)
{
    const char *const name = el_json_str(el_json_get(v, "type"));
    if (name && strcmp(name, type) == 0)
        return v;
    static const char *const lists[] = {"normalizers", "pretokenizers"};
    for (size_t i = 0; i < 2; i++) {
        for (const struct el_json *p = el_json_first(el_json_get(v, lists[i])); p; p = el_json_next(p)) {
            const struct el_json *const found = find_step(p, type);
            if (found)
                return found;
        }
    }
    return NULL;
}

/* Is there a replacement of a pattern? Those of unigram models merge runs of spaces. */
static bool replaces_runs(const struct el_json *v)
{
    if (el_json_str(el_json_get(el_json_get(v, "pattern"), "Regex")))
        return true;
    for (const struct el_json *p = el_json_first(el_json_get(v, "normalizers")); p; p = el_json_next(p))
        if (replaces_runs(p))
            return true;
    return false;
}

/* What llama.cpp's unigram machine asks for. */
static enum el_status import_unigram_keys(struct el_import *im)
{
    const struct el_json *const normalizer = el_json_get(im->root, "normalizer");
    const struct el_json *const pre = el_json_get(im->root, "pre_tokenizer");
    const bool merge = find_step(normalizer, "Strip") || find_step(pre, "WhitespaceSplit") || replaces_runs(normalizer);
    EL_TRY(el_meta_set_bool(im->meta, "tokenizer.ggml.remove_extra_whitespaces", merge, im->err));
    const char *const map = el_json_str(el_json_get(find_step(normalizer, "Precompiled"), "precompiled_charsmap"));
    if (!map || !*map)
        return EL_OK;
    struct el_buf bytes;
    el_buf_init(&bytes);
    enum el_status status = EL_OK;
    if (!el_base64_decode(map, strlen(map), &bytes))
        status = el_fail(im->err, EL_E_FORMAT, "normalizer Precompiled: precompiled_charsmap must be base64");
    else if (bytes.failed)
        status = out_of_memory(im->err);
    else
        status =
            el_meta_set_array(im->meta, "tokenizer.ggml.precompiled_charsmap", EL_META_U8, bytes.data, bytes.nbytes, im->err);
    el_buf_release(&bytes);
    return status;
}

static enum el_status import_wordpiece_keys(struct el_import *im)
{
    const struct el_json *const bert = find_step(el_json_get(im->root, "normalizer"), "BertNormalizer");
    const struct el_json *const lower = el_json_get(bert, "lowercase"), *const strip = el_json_get(bert, "strip_accents");
    const bool lowercase = el_json_is(lower, EL_JSON_BOOL) ? el_json_bool(lower) : bert != NULL;
    EL_TRY(el_meta_set_bool(im->meta, "tokenizer.ggml.normalizer.lowercase", lowercase, im->err));
    return el_meta_set_bool(im->meta, "tokenizer.ggml.normalizer.strip_accents",
                            el_json_is(strip, EL_JSON_BOOL) ? el_json_bool(strip) : lowercase, im->err);
}

/* The token for what cannot be encoded, by text or by number; -1: none. */
static int64_t model_unk(const struct el_import *im)
{
    const char *const text = el_json_str(el_json_get(im->model, "unk_token"));
    int64_t id = -1;
    if (im->machine != EL_MACHINE_UNIGRAM)
        return text ? el_strmap_get(&im->v.ids, text, strlen(text), -1) : -1;
    return el_json_int(el_json_get(im->model, "unk_id"), &id) && id >= 0 && (uint64_t)id < im->v.n ? id : -1;
}

static enum el_status import_vocab(struct el_import *im, uint32_t n_vocab)
{
    const bool merges = im->machine == EL_MACHINE_MERGES;
    EL_TRY(im->machine == EL_MACHINE_UNIGRAM ? import_scored_pieces(im) : import_pieces(im));
    EL_TRY(import_added(im));
    if (merges)
        EL_TRY(import_merges(im));
    im->unk = model_unk(im);
    if (im->unk >= 0 && !im->byte_level)
        im->v.type[im->unk] = EL_PIECE_UNKNOWN;
    EL_TRY(el_vocab_pad(&im->v, n_vocab, im->err));
    if (merges)
        make_scores(im);
    return im->machine == EL_MACHINE_WORDPIECE ? mark_starts(im) : EL_OK;
}

static enum el_status import_all(struct el_import *im, uint32_t n_vocab)
{
    EL_TRY(el_hf_machine(im->model, &im->machine, im->err));
    im->byte_level = im->machine == EL_MACHINE_MERGES && el_hf_is_byte_level(im->root);
    EL_TRY(import_vocab(im, n_vocab));

    const char *pre = "default";
    struct el_pre steps = {.n = 0};
    const enum el_status status = el_hf_pre(&steps, el_json_get(im->root, "pre_tokenizer"), im->err);
    if (status == EL_OK && im->byte_level) {
        const char *const name = el_pre_recognise(&steps, el_json_bool(el_json_get(im->model, "ignore_merges")));
        if (name)
            pre = name;
        else
            el_warn(
                "tokenizer.json: its pre_tokenizer has no name in GGUF: tokenizer.ggml.pre is 'default', and programs that do "
                "not read tokenizer.huggingface.json will cut words otherwise");
    }
    el_pre_release(&steps);
    EL_TRY(status);
    const bool bert = im->machine == EL_MACHINE_WORDPIECE, unigram = im->machine == EL_MACHINE_UNIGRAM;
    const char *const name = bert ? "bert" : unigram ? "t5" : im->byte_level ? "gpt2" : "llama";
    EL_TRY(el_vocab_write(im->meta, &im->v, name, pre, !im->byte_level && !bert, im->err));
    if (im->machine == EL_MACHINE_MERGES)
        EL_TRY(el_meta_set_str_array(im->meta, "tokenizer.ggml.merges", im->merges, NULL, im->n_merges, im->err));
    EL_TRY(el_import_special(im));
    if (unigram)
        EL_TRY(import_unigram_keys(im));
    if (bert)
        EL_TRY(import_wordpiece_keys(im));
    if (!im->byte_level && !bert)
        EL_TRY(el_meta_set_bool(im->meta, "tokenizer.ggml.add_space_prefix",
                                prepends_space(el_json_get(im->root, "normalizer")) ||
                                    prepends_space(el_json_get(im->root, "pre_tokenizer")),
                                im->err));
    return el_import_template(im);
}

enum el_status el_tokenizer_import_hf(struct el_meta *meta, const char *tokenizer_json, size_t json_nbytes,
                                      const char *tokenizer_config, size_t config_nbytes, const char *generation_config,
                                      size_t generation_nbytes, uint32_t n_vocab, struct el_err *err)
{
    const struct el_tokenizer_texts texts = {.config = tokenizer_config,
                                             .config_nbytes = config_nbytes,
                                             .generation = generation_config,
                                             .generation_nbytes = generation_nbytes};
    struct el_json_doc *json = NULL;
    struct el_import im;
    enum el_status status;
    EL_TRY_OUT(el_import_open(&im, meta, &texts, err));
    EL_TRY_OUT(el_json_parse(tokenizer_json, json_nbytes, "tokenizer.json", &json, err));
    im.root = el_json_root(json);
    im.model = el_json_get(im.root, "model");
    EL_TRY_OUT(import_all(&im, n_vocab));
    status = el_meta_set_str(meta, "tokenizer.huggingface.json", tokenizer_json, json_nbytes, err);
out:
    el_import_close(&im);
    el_json_free(json);
    return status;
}
