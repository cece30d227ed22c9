/*
 * The rules of a file that has only tokenizer.ggml.*: normalizer, pre-tokenizer, added tokens and decoder as llama.cpp gives them
 * to the four tokenizer.ggml.model that are read.
 */
#include <string.h>

#include "base/mem.h"
#include "text/tokenizer_impl.h"

static enum el_status out_of_memory(struct el_err *err)
{
    return el_fail(err, EL_E_MEMORY, "out of memory for the tokenizer");
}

static enum el_status add_norm(struct el_tokenizer *tok, enum el_norm_kind kind, const char *from, const char *to,
                               struct el_err *err)
{
    struct el_norm_step *const s = &tok->norm.steps[tok->norm.n++];
    *s = (struct el_norm_step){.kind = kind, .from = from ? el_strdup(from) : NULL, .to = el_strdup(to)};
    s->n_from = from ? strlen(from) : 0;
    s->n_to = strlen(to);
    return s->to && (s->from || !from) ? EL_OK : out_of_memory(err);
}

enum { ALL_SPACES = 1024 }; /* at the start of a decoded text: as many as a tokenizer.json may say */

/* Pieces have U+2581 for a space; `strip`: so many at the start of the text are not the text's. */
static enum el_status decode_marks(struct el_tokenizer *tok, uint32_t strip, struct el_err *err)
{
    tok->dec_strip = strip;
    tok->dec_from = el_strdup(EL_SPACE_MARK);
    tok->dec_to = el_strdup(" ");
    tok->n_dec_from = strlen(EL_SPACE_MARK);
    tok->n_dec_to = 1;
    return tok->dec_from && tok->dec_to ? EL_OK : out_of_memory(err);
}

/*
 * SentencePiece's normalizer. A BPE model ("llama") that has neither a character map nor asks for merged spaces is normalized by
 * two plain steps, which tokenizer.json can say too.
 */
static enum el_status sentencepiece_rules(struct el_tokenizer *tok, const struct el_meta *meta, bool prefix, struct el_err *err)
{
    static const char map_key[] = "tokenizer.ggml.precompiled_charsmap";
    bool merge;
    EL_TRY(el_meta_get_bool_or(meta, "tokenizer.ggml.add_space_prefix", prefix, &prefix, err));
    EL_TRY(el_meta_get_bool_or(meta, "tokenizer.ggml.remove_extra_whitespaces", false, &merge, err));
    const size_t map = el_meta_find(meta, map_key);
    EL_TRY(decode_marks(tok, merge ? ALL_SPACES : prefix, err));
    tok->fuse_unk = true;
    if (tok->machine == EL_MACHINE_MERGES && map == SIZE_MAX && !merge) {
        if (prefix)
            EL_TRY(add_norm(tok, EL_NS_PREPEND, NULL, EL_SPACE_MARK, err));
        return add_norm(tok, EL_NS_REPLACE, " ", EL_SPACE_MARK, err);
    }
    struct el_norm_step *const s = &tok->norm.steps[tok->norm.n++];
    *s = (struct el_norm_step){.kind = EL_NS_SENTENCEPIECE, .left = prefix, .right = merge};
    if (map == SIZE_MAX)
        return EL_OK;
    const enum el_meta_type type = el_meta_elem_type(meta, map);
    if (el_meta_type(meta, map) != EL_META_ARR || (type != EL_META_U8 && type != EL_META_I8))
        return el_fail(err, EL_E_FORMAT, "%s: must be an array of uint8 or int8", map_key);
    return el_charsmap_open(&s->map, el_meta_raw(meta, map), el_meta_n_elems(meta, map), map_key, err);
}

static enum el_status named_pre(struct el_tokenizer *tok, const struct el_meta *meta, const struct el_pre_name **found,
                                struct el_err *err)
{
    const char *name;
    EL_TRY(el_meta_get_str_or(meta, "tokenizer.ggml.pre", &name, err));
    if (!name) {
        el_warn(
            "tokenizer.ggml.pre is missing: the text is cut into words by the pattern 'default', which may not be the model's");
        name = "default";
    }
    const struct el_pre_name *const p = el_pre_by_name(name);
    if (!p) {
        struct el_buf known;
        el_buf_init(&known);
        el_pre_names(&known);
        const enum el_status status = el_fail(err, EL_E_UNSUPPORTED,
                                              "tokenizer.ggml.pre '%.60s' is not known; convert the model again with its "
                                              "tokenizer.json, or override the key with one of %s",
                                              name, known.data);
        el_buf_release(&known);
        return status;
    }
    for (size_t i = 0; p->patterns[i]; i++)
        EL_TRY(el_pre_add_regex(&tok->pre, p->patterns[i], EL_SPLIT_ISOLATED, false, err));
    tok->ignore_merges = p->ignore_merges;
    *found = p;
    return EL_OK;
}

static enum el_status added_from_types(struct el_tokenizer *tok, struct el_err *err)
{
    for (size_t i = 0; i < tok->n_vocab; i++) {
        const uint8_t type = tok->type[i];
        if (type != EL_PIECE_CONTROL && type != EL_PIECE_UNKNOWN && type != EL_PIECE_USER)
            continue;
        size_t nbytes;
        const char *const text = el_tok_text(tok, (int32_t)i, &nbytes);
        const struct el_added_token flags = {.id = (int32_t)i, .special = type != EL_PIECE_USER};
        EL_TRY(el_added_put(&tok->added, text, nbytes, &flags, err));
    }
    return EL_OK;
}

static enum el_status byte_level_rules(struct el_tokenizer *tok, const struct el_meta *meta, bool *add_bos, struct el_err *err)
{
    const struct el_pre_name *name = NULL;
    EL_TRY(named_pre(tok, meta, &name, err));
    *add_bos = name->add_bos;
    tok->unk = -1; /* a byte that the vocabulary lacks is dropped: unk is often <|endoftext|> in these files */
    return EL_OK;
}

/* BERT: words between white space and around punctuation and ideographs; [CLS] and [SEP] around the text. */
static enum el_status wordpiece_rules(struct el_tokenizer *tok, const struct el_meta *meta, struct el_err *err)
{
    bool lower, strip;
    EL_TRY(el_meta_get_bool_or(meta, "tokenizer.ggml.normalizer.lowercase", true, &lower, err));
    EL_TRY(el_meta_get_bool_or(meta, "tokenizer.ggml.normalizer.strip_accents", lower, &strip, err));
    EL_TRY(el_norm_add_bert(&tok->norm, true, true, strip, lower, err));
    tok->norm.steps[0].left = true;
    EL_TRY(el_pre_add_regex(&tok->pre, "\\s", EL_SPLIT_REMOVED, false, err));
    EL_TRY(el_pre_add_regex(&tok->pre, EL_PUNCTUATION, EL_SPLIT_ISOLATED, false, err));
    tok->dec_wordpiece = tok->dec_cleanup = true;
    const int32_t front = tok->bos >= 0 ? tok->bos : tok->cls, behind = tok->sep >= 0 ? tok->sep : tok->eos;
    if (front >= 0)
        tok->prefix[tok->n_prefix++] = front;
    if (behind >= 0)
        tok->suffix[tok->n_suffix++] = behind;
    return EL_OK;
}

enum el_status el_ggml_rules(struct el_tokenizer *tok, const struct el_meta *meta, bool *add_bos, bool *add_eos,
                             struct el_err *err)
{
    *add_bos = tok->machine == EL_MACHINE_MERGES && !tok->byte_level;
    *add_eos = tok->machine == EL_MACHINE_UNIGRAM;
    if (tok->machine == EL_MACHINE_WORDPIECE)
        EL_TRY(wordpiece_rules(tok, meta, err));
    else if (tok->byte_level)
        EL_TRY(byte_level_rules(tok, meta, add_bos, err));
    else
        EL_TRY(sentencepiece_rules(tok, meta, tok->machine == EL_MACHINE_MERGES, err));
    return added_from_types(tok, err);
}
