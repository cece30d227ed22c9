#include "text/tokenizer.h"

#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "tensor/source.h"
#include "text/tokenizer_impl.h"

static enum el_status out_of_memory(struct el_err *err)
{
    return el_fail(err, EL_E_MEMORY, "out of memory for the tokenizer");
}

/* ---- vocabulary ---- */

static enum el_status read_pieces(struct el_tokenizer *tok, const struct el_meta *meta, size_t tokens, struct el_err *err)
{
    static const char key[] = "tokenizer.ggml.tokens";
    if (el_meta_elem_type(meta, tokens) != EL_META_STR || el_meta_type(meta, tokens) != EL_META_ARR)
        return el_fail(err, EL_E_FORMAT, "%s: must be an array of strings", key);
    const size_t n = el_meta_n_elems(meta, tokens);
    if (n == 0 || n > EL_MAX_VOCAB)
        return el_fail(err, EL_E_FORMAT, "%s: %zu tokens, allowed are 1 to %d", key, n, (int)EL_MAX_VOCAB);
    size_t total = 0;
    for (size_t i = 0; i < n; i++) {
        size_t nbytes;
        const char *const text = el_meta_str(meta, tokens, i, &nbytes);
        if (nbytes == 0 || nbytes > EL_MAX_PIECE)
            return el_fail(err, EL_E_FORMAT, "%s[%zu]: %zu bytes of text, allowed are 1 to %d", key, i, nbytes,
                           (int)EL_MAX_PIECE);
        if (!el_utf8_is_valid(text, nbytes))
            return el_fail(err, EL_E_FORMAT, "%s[%zu]: not valid UTF-8", key, i);
        total += nbytes; /* at most 2^22 * 2^16 */
    }
    tok->n_vocab = n;
    tok->text = el_alloc(total + 1);
    tok->off = el_alloc_array(n + 1, sizeof *tok->off);
    tok->type = el_calloc_array(n, 1);
    tok->eog = el_calloc_array(n, sizeof *tok->eog);
    if (!tok->text || !tok->off || !tok->type || !tok->eog)
        return out_of_memory(err);
    size_t at = 0;
    for (size_t i = 0; i < n; i++) {
        size_t nbytes;
        const char *const text = el_meta_str(meta, tokens, i, &nbytes);
        memcpy(tok->text + at, text, nbytes);
        tok->off[i] = at;
        at += nbytes;
    }
    tok->off[n] = at;
    tok->text[at] = '\0';
    if (!el_strmap_reserve(&tok->ids, n))
        return out_of_memory(err);
    /* From the end, because a text that occurs twice is the later token's, as in llama.cpp. */
    for (size_t i = n; i-- > 0;)
        if (!el_strmap_add(&tok->ids, tok->text + tok->off[i], tok->off[i + 1] - tok->off[i], (int64_t)i, NULL))
            return out_of_memory(err);
    return EL_OK;
}

static bool is_integer(enum el_meta_type type)
{
    return type != EL_META_F32 && type != EL_META_F64 && type != EL_META_STR && type != EL_META_ARR && type != EL_META_BOOL;
}

static enum el_status read_types(struct el_tokenizer *tok, const struct el_meta *meta, struct el_err *err)
{
    static const char key[] = "tokenizer.ggml.token_type";
    const size_t at = el_meta_find(meta, key);
    if (at == SIZE_MAX) {
        memset(tok->type, EL_PIECE_NORMAL, tok->n_vocab);
        return EL_OK;
    }
    if (!is_integer(el_meta_elem_type(meta, at)))
        return el_fail(err, EL_E_FORMAT, "%s: elements are %s, must be int32", key,
                       el_meta_type_name(el_meta_elem_type(meta, at)));
    if (el_meta_n_elems(meta, at) != tok->n_vocab)
        return el_fail(err, EL_E_FORMAT, "%s: %zu elements for %zu tokens", key, el_meta_n_elems(meta, at), tok->n_vocab);
    for (size_t i = 0; i < tok->n_vocab; i++) {
        const int64_t type = el_meta_int(meta, at, i);
        if (type < EL_PIECE_NORMAL || type > EL_PIECE_BYTE)
            return el_fail(err, EL_E_FORMAT, "%s[%zu]: %lld, allowed are 1 to 6", key, i, (long long)type);
        tok->type[i] = (uint8_t)type;
        size_t nbytes;
        const char *const text = el_tok_text(tok, (int32_t)i, &nbytes);
        if (type == EL_PIECE_BYTE && el_byte_piece(text, nbytes) < 0)
            return el_fail(err, EL_E_FORMAT, "tokenizer.ggml.tokens[%zu] '%.*s': a byte token must be <0x00> to <0xFF>", i,
                           nbytes < 40 ? (int)nbytes : 40, text);
    }
    return EL_OK;
}

enum el_status el_tok_get_id(const struct el_meta *meta, const char *key, size_t n_vocab, int32_t *id, struct el_err *err)
{
    *id = -1;
    const size_t at = el_meta_find(meta, key);
    if (at == SIZE_MAX)
        return EL_OK;
    if (!is_integer(el_meta_type(meta, at)))
        return el_fail(err, EL_E_FORMAT, "%s: is %s, must be uint32", key, el_meta_type_name(el_meta_type(meta, at)));
    const int64_t v = el_meta_int(meta, at, 0);
    if (v == -1 || v == UINT32_MAX)
        return EL_OK;
    if (v < 0 || (uint64_t)v >= n_vocab)
        return el_fail(err, EL_E_FORMAT, "%s: %lld, the vocabulary has %zu tokens", key, (long long)v, n_vocab);
    *id = (int32_t)v;
    return EL_OK;
}

/* SentencePiece models have <unk> <s> </s> at 0 1 2 and old files do not say so. */
static int32_t usual_id(const struct el_tokenizer *tok, const char *text)
{
    const int64_t id = el_strmap_get(&tok->ids, text, strlen(text), -1);
    return id >= 0 && id <= 2 ? (int32_t)id : -1;
}

static enum el_status read_special_ids(struct el_tokenizer *tok, const struct el_meta *meta, bool sentencepiece,
                                       struct el_err *err)
{
    const struct {
        const char *key;
        int32_t *id;
        const char *usual;
    } keys[] = {
        {"tokenizer.ggml.bos_token_id", &tok->bos, "<s>"},       {"tokenizer.ggml.eos_token_id", &tok->eos, "</s>"},
        {"tokenizer.ggml.unknown_token_id", &tok->unk, "<unk>"}, {"tokenizer.ggml.eot_token_id", &tok->eot, NULL},
        {"tokenizer.ggml.eom_token_id", &tok->eom, NULL},
    };
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        EL_TRY(el_tok_get_id(meta, keys[i].key, tok->n_vocab, keys[i].id, err));
        if (sentencepiece && keys[i].usual && el_meta_find(meta, keys[i].key) == SIZE_MAX)
            *keys[i].id = usual_id(tok, keys[i].usual);
    }
    EL_TRY(el_tok_get_id(meta, "tokenizer.ggml.cls_token_id", tok->n_vocab, &tok->cls, err));
    EL_TRY(el_tok_get_id(meta, "tokenizer.ggml.seperator_token_id", tok->n_vocab, &tok->sep, err)); /* spelled so */
    static const char *const unused[] = {"tokenizer.ggml.padding_token_id", "tokenizer.ggml.mask_token_id"};
    for (size_t i = 0; i < sizeof unused / sizeof unused[0]; i++) {
        int32_t id;
        EL_TRY(el_tok_get_id(meta, unused[i], tok->n_vocab, &id, err));
    }
    return EL_OK;
}

/* Texts of tokens that end a turn in common chat formats, for files whose metadata names only one. */
static const char *const eog_texts[] = {
    "<|eot_id|>",
    "<|eom_id|>",
    "<|im_end|>",
    "<|end|>",
    "<|return|>",
    "<|call|>",
    "<|endoftext|>",
    "<|end_of_text|>",
    "<end_of_turn>",
    "<end_of_utterance>",
    "<|EOT|>",
    "<EOT>",
    "</s>",
    "<eos>",
    "<\xef\xbd\x9c\x65nd\xe2\x96\x81of\xe2\x96\x81sentence\xef\xbd\x9c>",
};

/*
 * Repairs what old writers leave out: without token_type, BOS, EOS and unk are ordinary tokens; and some files call an
 * end-of-turn token user-defined, so that its text in a prompt would end the turn.
 */
static void repair_types(struct el_tokenizer *tok, bool has_types)
{
    if (!has_types) {
        const int32_t ids[] = {tok->bos, tok->eos, tok->eot, tok->eom, tok->unk};
        for (size_t i = 0; i < sizeof ids / sizeof ids[0]; i++)
            if (ids[i] >= 0)
                tok->type[ids[i]] = i == 4 ? EL_PIECE_UNKNOWN : EL_PIECE_CONTROL;
    }
    for (size_t i = 0; i < sizeof eog_texts / sizeof eog_texts[0]; i++) {
        const int64_t id = el_strmap_get(&tok->ids, eog_texts[i], strlen(eog_texts[i]), -1);
        if (id >= 0 && tok->type[id] == EL_PIECE_USER)
            tok->type[id] = EL_PIECE_CONTROL;
    }
}

static enum el_status find_eog(struct el_tokenizer *tok, const struct el_meta *meta, struct el_err *err)
{
    const int32_t ids[] = {tok->eos, tok->eot, tok->eom};
    for (size_t i = 0; i < sizeof ids / sizeof ids[0]; i++)
        if (ids[i] >= 0)
            tok->eog[ids[i]] = true;
    for (size_t i = 0; i < sizeof eog_texts / sizeof eog_texts[0]; i++) {
        const int64_t id = el_strmap_get(&tok->ids, eog_texts[i], strlen(eog_texts[i]), -1);
        if (id >= 0 && tok->type[id] == EL_PIECE_CONTROL)
            tok->eog[id] = true;
    }
    static const char key[] = "edgellm.tokenizer.eog_ids";
    const size_t at = el_meta_find(meta, key);
    if (at == SIZE_MAX)
        return EL_OK;
    if (!is_integer(el_meta_elem_type(meta, at)))
        return el_fail(err, EL_E_FORMAT, "%s: must be integers", key);
    for (size_t i = 0; i < el_meta_n_elems(meta, at); i++) {
        const int64_t v = el_meta_int(meta, at, i);
        if (v < 0 || (uint64_t)v >= tok->n_vocab)
            return el_fail(err, EL_E_FORMAT, "%s[%zu]: %lld, the vocabulary has %zu tokens", key, i, (long long)v, tok->n_vocab);
        tok->eog[v] = true;
    }
    return EL_OK;
}

/* ---- opening ---- */

/* What the keys add_bos_token and add_eos_token say goes before what the post-processor says. */
static enum el_status read_affixes(struct el_tokenizer *tok, const struct el_meta *meta, bool add_bos, bool add_eos,
                                   struct el_err *err)
{
    const bool has_bos = tok->n_prefix > 0 && tok->prefix[0] == tok->bos;
    const bool has_eos = tok->n_suffix > 0 && tok->suffix[tok->n_suffix - 1] == tok->eos;
    bool want_bos, want_eos;
    EL_TRY(el_meta_get_bool_or(meta, "tokenizer.ggml.add_bos_token", add_bos || has_bos, &want_bos, err));
    EL_TRY(el_meta_get_bool_or(meta, "tokenizer.ggml.add_eos_token", add_eos || has_eos, &want_eos, err));
    if (tok->bos >= 0 && want_bos && !has_bos && tok->n_prefix < EL_MAX_AFFIX) {
        memmove(tok->prefix + 1, tok->prefix, tok->n_prefix * sizeof tok->prefix[0]);
        tok->prefix[0] = tok->bos;
        tok->n_prefix++;
    } else if (!want_bos && has_bos) {
        tok->n_prefix--;
        memmove(tok->prefix, tok->prefix + 1, tok->n_prefix * sizeof tok->prefix[0]);
    }
    if (tok->eos >= 0 && want_eos && !has_eos && tok->n_suffix < EL_MAX_AFFIX)
        tok->suffix[tok->n_suffix++] = tok->eos;
    else if (!want_eos && has_eos)
        tok->n_suffix--;
    return EL_OK;
}

/* A normalized added token stands for the text that it matched, the space mark of a Prepend included. */
static enum el_status find_shown(struct el_tokenizer *tok, struct el_err *err)
{
    for (size_t i = 0; i < tok->added_norm.n; i++) {
        const struct el_added_token *const t = &tok->added_norm.tokens[i];
        if (tok->type[t->id] != EL_PIECE_USER || tok->byte_level)
            continue;
        if (!tok->shown)
            tok->shown = el_calloc_array(tok->n_vocab, sizeof *tok->shown);
        if (!tok->shown)
            return out_of_memory(err);
        tok->shown[t->id] = (uint32_t)i + 1;
    }
    return EL_OK;
}

/* tokenizer.ggml.scores, [n_vocab]; el_alloc memory. */
static enum el_status read_scores(const struct el_tokenizer *tok, const struct el_meta *meta, float **scores, struct el_err *err)
{
    static const char key[] = "tokenizer.ggml.scores";
    const size_t at = el_meta_find(meta, key);
    *scores = NULL;
    if (at == SIZE_MAX)
        return el_fail(err, EL_E_FORMAT, "neither tokenizer.ggml.merges nor %s is there", key);
    if (el_meta_elem_type(meta, at) != EL_META_F32)
        return el_fail(err, EL_E_FORMAT, "%s: elements are %s, must be float32", key,
                       el_meta_type_name(el_meta_elem_type(meta, at)));
    if (el_meta_n_elems(meta, at) != tok->n_vocab)
        return el_fail(err, EL_E_FORMAT, "%s: %zu elements for %zu tokens", key, el_meta_n_elems(meta, at), tok->n_vocab);
    *scores = el_alloc_array(tok->n_vocab, sizeof **scores);
    if (!*scores)
        return out_of_memory(err);
    for (size_t i = 0; i < tok->n_vocab; i++)
        (*scores)[i] = (float)el_meta_float(meta, at, i);
    return EL_OK;
}

/* tokenizer.ggml.model, and what it means. */
static const struct model_name {
    const char *name;
    enum el_machine machine;
    bool byte_level;
} model_names[] = {
    {"llama", EL_MACHINE_MERGES, false},
    {"gpt2", EL_MACHINE_MERGES, true},
    {"t5", EL_MACHINE_UNIGRAM, false},
    {"bert", EL_MACHINE_WORDPIECE, false},
};

static enum el_status find_model(const struct el_meta *meta, const struct model_name **found, struct el_err *err)
{
    const char *model;
    EL_TRY(el_meta_get_str_or(meta, "tokenizer.ggml.model", &model, err));
    if (!model)
        return el_fail(err, EL_E_FORMAT, "tokenizer.ggml.model is missing");
    for (size_t i = 0; i < sizeof model_names / sizeof model_names[0]; i++) {
        if (strcmp(model_names[i].name, model) == 0) {
            *found = &model_names[i];
            return EL_OK;
        }
    }
    return el_fail(err, EL_E_UNSUPPORTED, "tokenizer.ggml.model '%.40s', supported are llama, gpt2, t5 and bert", model);
}

/* The tables of the machine: from the tokenizer.json where it holds more than tokenizer.ggml.* can, else from these. */
static enum el_status read_tables(struct el_tokenizer *tok, const struct el_meta *meta, const struct el_json *hf,
                                  struct el_err *err)
{
    const struct el_json *const model = hf ? el_json_get(hf, "model") : NULL;
    const size_t merges = el_meta_find(meta, "tokenizer.ggml.merges");
    float *scores;
    enum el_status status = EL_OK;
    switch (tok->machine) {
    case EL_MACHINE_WORDPIECE: return hf ? el_wordpiece_from_json(tok, model, err) : el_wordpiece_from_tokens(tok, err);
    case EL_MACHINE_UNIGRAM:
        if (hf)
            return el_unigram_from_json(tok, model, err);
        EL_TRY(read_scores(tok, meta, &scores, err));
        status = el_unigram_from_scores(tok, scores, err);
        el_free(scores);
        return status;
    case EL_MACHINE_MERGES: break;
    }
    if (merges != SIZE_MAX && (hf || tok->byte_level)) {
        status = el_bpe_build(tok, meta, merges, err);
    } else if (tok->byte_level) {
        status = el_fail(err, EL_E_FORMAT, "tokenizer.ggml.merges is missing");
    } else {
        EL_TRY(read_scores(tok, meta, &scores, err));
        status = el_spm_build(tok, scores, err);
        el_free(scores);
    }
    if (status == EL_OK)
        el_bpe_find_cuts(tok);
    return status;
}

static enum el_status read_model(struct el_tokenizer *tok, const struct el_meta *meta, const struct el_json *hf,
                                 struct el_err *err)
{
    const struct model_name *name = NULL;
    EL_TRY(find_model(meta, &name, err));
    tok->machine = name->machine;
    if (hf)
        EL_TRY(el_hf_machine(el_json_get(hf, "model"), &tok->machine, err));
    tok->byte_level = hf ? tok->machine == EL_MACHINE_MERGES && el_hf_is_byte_level(hf) : name->byte_level;
    EL_TRY(read_types(tok, meta, err));
    EL_TRY(read_special_ids(tok, meta, strcmp(name->name, "llama") == 0, err));
    if (!hf)
        repair_types(tok, el_meta_find(meta, "tokenizer.ggml.token_type") != SIZE_MAX);
    EL_TRY(el_bpe_symbols(tok, err));
    EL_TRY(read_tables(tok, meta, hf, err));

    bool add_bos = false, add_eos = false;
    if (hf)
        EL_TRY(el_hf_rules(tok, hf, err));
    else
        EL_TRY(el_ggml_rules(tok, meta, &add_bos, &add_eos, err));
    el_added_sort(&tok->added);
    el_added_sort(&tok->added_norm);
    EL_TRY(find_shown(tok, err));
    EL_TRY(read_affixes(tok, meta, add_bos, add_eos, err));
    return find_eog(tok, meta, err);
}

/* A file that has nothing but the kept tokenizer.json: derive the rest as a conversion would. */
static enum el_status open_kept_json(const struct el_meta *meta, const char *json, size_t nbytes, struct el_tokenizer **out,
                                     struct el_err *err)
{
    struct el_meta *const derived = el_meta_copy(meta);
    if (!derived)
        return out_of_memory(err);
    enum el_status status = el_tokenizer_import_hf(derived, json, nbytes, NULL, 0, NULL, 0, 0, err);
    if (status == EL_OK)
        status = el_tokenizer_from_meta(derived, out, err);
    el_meta_free(derived);
    return status;
}

enum el_status el_tokenizer_from_meta(const struct el_meta *meta, struct el_tokenizer **out, struct el_err *err)
{
    *out = NULL;
    const char *json = NULL;
    EL_TRY(el_meta_get_str_or(meta, "tokenizer.huggingface.json", &json, err));
    size_t json_nbytes = 0;
    if (json)
        json = el_meta_str(meta, el_meta_find(meta, "tokenizer.huggingface.json"), 0, &json_nbytes);
    const size_t tokens = el_meta_find(meta, "tokenizer.ggml.tokens");
    if (tokens == SIZE_MAX && json)
        return open_kept_json(meta, json, json_nbytes, out, err);
    if (tokens == SIZE_MAX)
        return el_fail(err, EL_E_FORMAT, "there is no tokenizer: tokenizer.ggml.tokens is missing");

    struct el_json_doc *doc = NULL;
    struct el_tokenizer *const tok = el_calloc_array(1, sizeof *tok);
    if (!tok)
        return out_of_memory(err);
    el_strmap_init(&tok->ids);
    el_strmap_init(&tok->chars);
    enum el_status status;
    if (json)
        EL_TRY_OUT(el_json_parse(json, json_nbytes, "tokenizer.huggingface.json", &doc, err));
    EL_TRY_OUT(read_pieces(tok, meta, tokens, err));
    EL_TRY_OUT(read_model(tok, meta, doc ? el_json_root(doc) : NULL, err));
    *out = tok;
out:
    el_json_free(doc);
    if (status != EL_OK)
        el_tokenizer_close(tok);
    return status;
}

enum el_status el_tokenizer_open(struct el_source *source, struct el_tokenizer **tok, struct el_err *err)
{
    const enum el_status status = el_tokenizer_from_meta(el_source_meta(source), tok, err);
    return status == EL_OK ? EL_OK : el_fail_prefix(err, status, "'%s'", el_source_path(source));
}

void el_tokenizer_close(struct el_tokenizer *tok)
{
    if (!tok)
        return;
    el_free(tok->text);
    el_free(tok->off);
    el_free(tok->type);
    el_free(tok->eog);
    el_strmap_release(&tok->ids);
    el_strmap_release(&tok->chars);
    el_free(tok->virtual_cp);
    el_unigram_release(&tok->unigram);
    el_wordpiece_release(&tok->wordpiece);
    el_pairs_release(&tok->pairs);
    el_added_release(&tok->added);
    el_added_release(&tok->added_norm);
    el_norm_release(&tok->norm);
    el_pre_release(&tok->pre);
    el_free(tok->shown);
    el_free(tok->dec_from);
    el_free(tok->dec_to);
    el_free(tok);
}

/* ---- questions ---- */

const char *el_tok_text(const struct el_tokenizer *tok, int32_t id, size_t *nbytes)
{
    *nbytes = tok->off[id + 1] - tok->off[id];
    return tok->text + tok->off[id];
}

static bool in_range(const struct el_tokenizer *tok, int32_t id)
{
    return id >= 0 && (size_t)id < tok->n_vocab;
}

size_t el_tok_n_vocab(const struct el_tokenizer *tok)
{
    return tok->n_vocab;
}

const char *el_tok_piece(const struct el_tokenizer *tok, int32_t id, size_t *nbytes)
{
    size_t unused;
    if (!nbytes)
        nbytes = &unused;
    *nbytes = 0;
    return in_range(tok, id) ? el_tok_text(tok, id, nbytes) : NULL;
}

int32_t el_tok_bos(const struct el_tokenizer *tok)
{
    return tok->bos;
}

int32_t el_tok_eos(const struct el_tokenizer *tok)
{
    return tok->eos;
}

bool el_tok_is_eog(const struct el_tokenizer *tok, int32_t id)
{
    return in_range(tok, id) && tok->eog[id];
}

bool el_tok_is_control(const struct el_tokenizer *tok, int32_t id)
{
    return in_range(tok, id) && tok->type[id] == EL_PIECE_CONTROL;
}

bool el_tok_adds_bos(const struct el_tokenizer *tok)
{
    return tok->n_prefix > 0 && tok->prefix[0] == tok->bos;
}
