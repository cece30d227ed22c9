#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "base/mem.h"
#include "text/tokenizer_impl.h"

static enum el_status out_of_memory(struct el_err *err)
{
    return el_fail(err, EL_E_MEMORY, "out of memory while writing a tokenizer");
}

static void add_json(struct el_buf *out, const char *s)
{
    el_buf_add_json_str(out, s, strlen(s));
}

static void add_piece(const struct el_tokenizer *tok, int32_t id, struct el_buf *out)
{
    size_t nbytes;
    const char *const text = el_tok_text(tok, id, &nbytes);
    el_buf_add_json_str(out, text, nbytes);
}

static const char *boolean(bool v)
{
    return v ? "true" : "false";
}

/* ---- tokenizer.json from tokenizer.ggml.* ---- */

static void write_added(const struct el_tokenizer *tok, struct el_buf *out)
{
    el_buf_add_str(out, "  \"added_tokens\": [");
    bool first = true;
    for (size_t i = 0; i < tok->n_vocab; i++) {
        const bool special = tok->type[i] == EL_PIECE_CONTROL || (int32_t)i == tok->unk;
        if (!special && tok->type[i] != EL_PIECE_USER)
            continue;
        el_buf_addf(out, "%s\n    {\"id\": %zu, \"content\": ", first ? "" : ",", i);
        add_piece(tok, (int32_t)i, out);
        el_buf_addf(out,
                    ", \"single_word\": false, \"lstrip\": false, \"rstrip\": false, \"normalized\": false, "
                    "\"special\": %s}",
                    boolean(special));
        first = false;
    }
    el_buf_add_str(out, "\n  ],\n");
}

/* The map in the layout of its file, in base64. */
static void write_charsmap(const struct el_charsmap *m, struct el_buf *out)
{
    struct el_buf bytes;
    el_buf_init(&bytes);
    el_buf_add_u32(&bytes, (uint32_t)(m->n_units * 4));
    for (size_t i = 0; i < m->n_units; i++)
        el_buf_add_u32(&bytes, m->units[i]);
    el_buf_add(&bytes, m->text, m->n_text);
    el_buf_add_str(out, "{\"type\": \"Precompiled\", \"precompiled_charsmap\": \"");
    el_base64_encode(bytes.data, bytes.nbytes, out);
    el_buf_add_str(out, "\"}, ");
    out->failed |= bytes.failed;
    el_buf_release(&bytes);
}

static void write_sentencepiece_rules(const struct el_tokenizer *tok, struct el_buf *out)
{
    const struct el_norm_step *const s = &tok->norm.steps[0];
    const bool full = tok->norm.n > 0 && s->kind == EL_NS_SENTENCEPIECE, space = full ? s->left : tok->dec_strip > 0;
    el_buf_add_str(out, "  \"normalizer\": {\"type\": \"Sequence\", \"normalizers\": [");
    if (full && s->map.n_units > 0)
        write_charsmap(&s->map, out);
    if (full && s->right)
        el_buf_add_str(out,
                       "{\"type\": \"Replace\", \"pattern\": {\"Regex\": \"\\\\A +| +\\\\z| +(?= )\"}, \"content\": \"\"}, ");
    if (space)
        el_buf_add_str(out, "{\"type\": \"Prepend\", \"prepend\": \"" EL_SPACE_MARK "\"}, ");
    el_buf_add_str(out, "{\"type\": \"Replace\", \"pattern\": {\"String\": \" \"}, \"content\": \"" EL_SPACE_MARK "\"}]},\n"
                        "  \"pre_tokenizer\": null,\n");
    el_buf_add_str(out, "  \"decoder\": {\"type\": \"Sequence\", \"decoders\": [{\"type\": \"Replace\", "
                        "\"pattern\": {\"String\": \"" EL_SPACE_MARK "\"}, \"content\": \" \"}, "
                        "{\"type\": \"ByteFallback\"}, {\"type\": \"Fuse\"}");
    if (tok->dec_strip > 0)
        el_buf_addf(out, ", {\"type\": \"Strip\", \"content\": \" \", \"start\": %u, \"stop\": 0}", (unsigned)tok->dec_strip);
    el_buf_add_str(out, "]},\n");
}

static void write_byte_level_rules(const struct el_tokenizer *tok, struct el_buf *out)
{
    const bool plain = tok->pre.n == 1 && strcmp(tok->pre.steps[0].pattern, el_pre_gpt2) == 0;
    el_buf_add_str(out, "  \"normalizer\": null,\n  \"pre_tokenizer\": ");
    if (!plain) {
        el_buf_add_str(out, "{\"type\": \"Sequence\", \"pretokenizers\": [");
        for (size_t i = 0; i < tok->pre.n; i++) {
            el_buf_add_str(out, "{\"type\": \"Split\", \"pattern\": {\"Regex\": ");
            add_json(out, tok->pre.steps[i].pattern);
            el_buf_add_str(out, "}, \"behavior\": \"Isolated\", \"invert\": false}, ");
        }
    }
    el_buf_addf(out, "{\"type\": \"ByteLevel\", \"add_prefix_space\": false, \"trim_offsets\": true, \"use_regex\": %s}%s,\n",
                boolean(plain), plain ? "" : "]}");
    el_buf_add_str(out, "  \"decoder\": {\"type\": \"ByteLevel\", \"add_prefix_space\": true, \"trim_offsets\": true, "
                        "\"use_regex\": true},\n");
}

static void write_special(const struct el_tokenizer *tok, const int32_t *ids, size_t n, int type_id, struct el_buf *out)
{
    for (size_t i = 0; i < n; i++) {
        el_buf_add_str(out, "{\"SpecialToken\": {\"id\": ");
        add_piece(tok, ids[i], out);
        el_buf_addf(out, ", \"type_id\": %d}}", type_id);
        if (i + 1 < n)
            el_buf_add_str(out, ", ");
    }
}

static void write_sequence(const struct el_tokenizer *tok, char name, int type_id, struct el_buf *out)
{
    write_special(tok, tok->prefix, tok->n_prefix, type_id, out);
    el_buf_addf(out, "%s{\"Sequence\": {\"id\": \"%c\", \"type_id\": %d}}%s", tok->n_prefix ? ", " : "", name, type_id,
                tok->n_suffix ? ", " : "");
    write_special(tok, tok->suffix, tok->n_suffix, type_id, out);
}

static void write_post(const struct el_tokenizer *tok, struct el_buf *out)
{
    if (tok->n_prefix + tok->n_suffix == 0) {
        el_buf_add_str(out, "  \"post_processor\": null,\n");
        return;
    }
    el_buf_add_str(out, "  \"post_processor\": {\"type\": \"TemplateProcessing\", \"single\": [");
    write_sequence(tok, 'A', 0, out);
    el_buf_add_str(out, "], \"pair\": [");
    write_sequence(tok, 'A', 0, out);
    el_buf_add_str(out, ", ");
    write_sequence(tok, 'B', 1, out);
    el_buf_add_str(out, "], \"special_tokens\": {");
    int32_t ids[2 * EL_MAX_AFFIX];
    size_t n = 0;
    for (size_t i = 0; i < tok->n_prefix + tok->n_suffix; i++) {
        const int32_t id = i < tok->n_prefix ? tok->prefix[i] : tok->suffix[i - tok->n_prefix];
        size_t k = 0;
        while (k < n && ids[k] != id)
            k++;
        if (k < n)
            continue; /* BOS and EOS may be one token */
        ids[n++] = id;
        el_buf_add_str(out, n > 1 ? ", " : "");
        add_piece(tok, id, out);
        el_buf_add_str(out, ": {\"id\": ");
        add_piece(tok, id, out);
        el_buf_addf(out, ", \"ids\": [%d], \"tokens\": [", (int)id);
        add_piece(tok, id, out);
        el_buf_add_str(out, "]}");
    }
    el_buf_add_str(out, "}},\n");
}

static int by_rank(const void *pa, const void *pb)
{
    const struct el_pair *const a = pa, *const b = pb;
    if (a->rank != b->rank)
        return a->rank < b->rank ? -1 : 1;
    return a->key < b->key ? -1 : a->key > b->key;
}

/* A merge whose parts are tokens and hold no space. Others cannot be written as "a b". */
static bool can_write(const struct el_tokenizer *tok, const struct el_pair *p)
{
    const uint64_t sides[2] = {(p->key - 1) >> 32, (p->key - 1) & UINT32_MAX};
    for (int i = 0; i < 2; i++) {
        if (sides[i] >= tok->n_vocab)
            return false;
        size_t nbytes;
        const char *const text = el_tok_text(tok, (int32_t)sides[i], &nbytes);
        if (memchr(text, ' ', nbytes))
            return false;
    }
    return true;
}

static enum el_status write_merges(const struct el_tokenizer *tok, struct el_buf *out, struct el_err *err)
{
    struct el_pair *const list = el_alloc_array(tok->pairs.count + 1, sizeof *list);
    if (!list)
        return out_of_memory(err);
    size_t n = 0, left_out = 0;
    for (size_t i = 0; i < tok->pairs.cap; i++) {
        if (tok->pairs.slots[i].key == 0)
            continue;
        if (can_write(tok, &tok->pairs.slots[i]))
            list[n++] = tok->pairs.slots[i];
        else
            left_out++;
    }
    if (n > 1)
        qsort(list, n, sizeof *list, by_rank);
    el_buf_add_str(out, "    \"merges\": [");
    struct el_buf pair;
    el_buf_init(&pair);
    for (size_t i = 0; i < n; i++) {
        size_t nbytes;
        const char *text = el_tok_text(tok, (int32_t)((list[i].key - 1) >> 32), &nbytes);
        el_buf_reset(&pair);
        el_buf_add(&pair, text, nbytes);
        el_buf_add_byte(&pair, ' ');
        text = el_tok_text(tok, (int32_t)(uint32_t)(list[i].key - 1), &nbytes);
        el_buf_add(&pair, text, nbytes);
        el_buf_add_str(out, i ? ",\n      " : "\n      ");
        el_buf_add_json_str(out, pair.data, pair.nbytes);
    }
    const bool failed = pair.failed;
    el_buf_release(&pair);
    el_free(list);
    el_buf_add_str(out, "\n    ]\n");
    if (left_out > 0)
        el_warn("tokenizer.json: %zu merges of characters that are no tokens cannot be written", left_out);
    return failed ? out_of_memory(err) : EL_OK;
}

static enum el_status write_model(const struct el_tokenizer *tok, struct el_buf *out, struct el_err *err)
{
    el_buf_add_str(out, "  \"model\": {\n    \"type\": \"BPE\", \"dropout\": null, \"unk_token\": ");
    if (!tok->byte_level && tok->unk >= 0)
        add_piece(tok, tok->unk, out);
    else
        el_buf_add_str(out, "null");
    el_buf_addf(out,
                ", \"continuing_subword_prefix\": null, \"end_of_word_suffix\": null, \"fuse_unk\": %s, \"byte_fallback\": %s, "
                "\"ignore_merges\": %s,\n    \"vocab\": {",
                boolean(!tok->byte_level), boolean(!tok->byte_level), boolean(tok->ignore_merges));
    bool first = true;
    for (size_t i = 0; i < tok->n_vocab; i++) {
        size_t nbytes;
        const char *const text = el_tok_text(tok, (int32_t)i, &nbytes);
        if (el_strmap_get(&tok->ids, text, nbytes, -1) != (int64_t)i)
            continue; /* a text that a later token has too */
        el_buf_add_str(out, first ? "\n      " : ",\n      ");
        el_buf_add_json_str(out, text, nbytes);
        el_buf_addf(out, ": %zu", i);
        first = false;
    }
    el_buf_add_str(out, "\n    },\n");
    EL_TRY(write_merges(tok, out, err));
    el_buf_add_str(out, "  }\n}\n");
    return EL_OK;
}

/* ---- unigram, WordPiece ---- */

static void write_unigram(const struct el_tokenizer *tok, struct el_buf *out)
{
    bool fallback = false;
    double lowest = 0;
    for (size_t i = 0; i < tok->n_vocab; i++) {
        fallback |= tok->type[i] == EL_PIECE_BYTE;
        if (tok->type[i] == EL_PIECE_NORMAL && tok->unigram.score[i] < lowest)
            lowest = tok->unigram.score[i];
    }
    el_buf_add_str(out, "  \"model\": {\n    \"type\": \"Unigram\", \"unk_id\": ");
    if (tok->unk >= 0)
        el_buf_addf(out, "%d", (int)tok->unk);
    else
        el_buf_add_str(out, "null");
    el_buf_addf(out, ", \"byte_fallback\": %s,\n    \"vocab\": [", boolean(fallback));
    for (size_t i = 0; i < tok->n_vocab; i++) {
        /* An unused token must not lower what an unknown character costs. */
        const double score = tok->unigram.score[i] < lowest ? lowest : tok->unigram.score[i];
        el_buf_add_str(out, i ? ",\n      [" : "\n      [");
        add_piece(tok, (int32_t)i, out);
        el_buf_addf(out, ", %.9g]", score);
    }
    el_buf_add_str(out, "\n    ]\n  }\n}\n");
}

static void write_bert_rules(const struct el_tokenizer *tok, struct el_buf *out)
{
    bool lower = false, strip = false;
    for (size_t i = 0; i < tok->norm.n; i++) {
        lower |= tok->norm.steps[i].kind == EL_NS_LOWERCASE;
        strip |= tok->norm.steps[i].kind == EL_NS_STRIP_NONSPACING;
    }
    el_buf_addf(out,
                "  \"normalizer\": {\"type\": \"BertNormalizer\", \"clean_text\": true, \"handle_chinese_chars\": true, "
                "\"strip_accents\": %s, \"lowercase\": %s},\n  \"pre_tokenizer\": {\"type\": \"BertPreTokenizer\"},\n"
                "  \"decoder\": {\"type\": \"WordPiece\", \"prefix\": \"##\", \"cleanup\": true},\n",
                boolean(strip), boolean(lower));
}

/* The text of a token as Hugging Face spells it: "##" in front of a continuation, nothing in front of a start. */
static enum el_status write_wordpiece(const struct el_tokenizer *tok, struct el_buf *out, struct el_err *err)
{
    el_buf_add_str(out, "  \"model\": {\n    \"type\": \"WordPiece\", \"unk_token\": ");
    if (tok->unk >= 0)
        add_piece(tok, tok->unk, out);
    else
        el_buf_add_str(out, "\"[UNK]\"");
    el_buf_add_str(out, ", \"continuing_subword_prefix\": \"##\", \"max_input_chars_per_word\": 1000000000,\n    \"vocab\": {");
    struct el_buf text;
    el_buf_init(&text);
    bool first = true;
    for (size_t i = 0; i < tok->n_vocab; i++) {
        size_t nbytes;
        const char *const piece = el_tok_text(tok, (int32_t)i, &nbytes);
        const bool start = nbytes > 3 && memcmp(piece, EL_SPACE_MARK, 3) == 0;
        if (el_strmap_get(&tok->ids, piece, nbytes, -1) != (int64_t)i)
            continue; /* a text that a later token has too */
        el_buf_reset(&text);
        if (tok->type[i] == EL_PIECE_NORMAL && !start)
            el_buf_add_str(&text, "##");
        el_buf_add(&text, piece + (start ? 3 : 0), nbytes - (start ? 3 : 0));
        el_buf_add_str(out, first ? "\n      " : ",\n      ");
        el_buf_add_json_str(out, text.data, text.nbytes);
        el_buf_addf(out, ": %zu", i);
        first = false;
    }
    el_buf_add_str(out, "\n    }\n  }\n}\n");
    const bool failed = text.failed;
    el_buf_release(&text);
    return failed ? out_of_memory(err) : EL_OK;
}

static enum el_status write_json(const struct el_tokenizer *tok, struct el_buf *out, struct el_err *err)
{
    el_buf_add_str(out, "{\n  \"version\": \"1.0\",\n  \"truncation\": null,\n  \"padding\": null,\n");
    write_added(tok, out);
    if (tok->machine == EL_MACHINE_WORDPIECE)
        write_bert_rules(tok, out);
    else if (tok->byte_level)
        write_byte_level_rules(tok, out);
    else
        write_sentencepiece_rules(tok, out);
    write_post(tok, out);
    switch (tok->machine) {
    case EL_MACHINE_MERGES: return write_model(tok, out, err);
    case EL_MACHINE_WORDPIECE: return write_wordpiece(tok, out, err);
    case EL_MACHINE_UNIGRAM: write_unigram(tok, out); break;
    }
    return EL_OK;
}

/* ---- tokenizer_config.json ---- */

static void write_token(const struct el_tokenizer *tok, const char *name, int32_t id, struct el_buf *out)
{
    if (id >= 0) {
        el_buf_addf(out, ",\n  \"%s\": ", name);
        add_piece(tok, id, out);
    }
}

static enum el_status write_config(const struct el_tokenizer *tok, const struct el_meta *meta, struct el_buf *out,
                                   struct el_err *err)
{
    int32_t pad, unk;
    EL_TRY(el_tok_get_id(meta, "tokenizer.ggml.padding_token_id", tok->n_vocab, &pad, err));
    EL_TRY(el_tok_get_id(meta, "tokenizer.ggml.unknown_token_id", tok->n_vocab, &unk, err));
    el_buf_addf(out,
                "{\n  \"tokenizer_class\": \"PreTrainedTokenizerFast\",\n  \"clean_up_tokenization_spaces\": false,\n"
                "  \"add_bos_token\": %s,\n  \"add_eos_token\": %s",
                boolean(el_tok_adds_bos(tok)), boolean(tok->n_suffix > 0 && tok->suffix[tok->n_suffix - 1] == tok->eos));
    write_token(tok, "bos_token", tok->bos, out);
    write_token(tok, "eos_token", tok->eos, out);
    write_token(tok, "unk_token", unk, out);
    write_token(tok, "pad_token", pad, out);
    write_token(tok, "cls_token", tok->cls, out);
    write_token(tok, "sep_token", tok->sep, out);
    const char *architecture, *chat;
    EL_TRY(el_meta_get_str_or(meta, "general.architecture", &architecture, err));
    if (architecture && strlen(architecture) < 64) {
        struct el_buf key;
        uint32_t n_ctx = 0;
        el_buf_init(&key);
        el_buf_addf(&key, "%s.context_length", architecture);
        const enum el_status status =
            key.failed ? out_of_memory(err) : el_meta_get_u32_or(meta, key.data, 0, UINT32_MAX, 0, &n_ctx, err);
        el_buf_release(&key);
        EL_TRY(status);
        if (n_ctx > 0)
            el_buf_addf(out, ",\n  \"model_max_length\": %u", (unsigned)n_ctx);
    }
    EL_TRY(el_meta_get_str_or(meta, "tokenizer.chat_template", &chat, err));
    if (chat) {
        el_buf_add_str(out, ",\n  \"chat_template\": ");
        add_json(out, chat);
    }
    el_buf_add_str(out, "\n}\n");
    return EL_OK;
}

enum el_status el_tokenizer_export_hf(const struct el_meta *meta, struct el_buf *tokenizer_json, struct el_buf *tokenizer_config,
                                      struct el_err *err)
{
    struct el_tokenizer *tok;
    EL_TRY(el_tokenizer_from_meta(meta, &tok, err));
    const size_t kept = el_meta_find(meta, "tokenizer.huggingface.json");
    enum el_status status = EL_OK;
    if (kept != SIZE_MAX) {
        size_t nbytes;
        const char *const text = el_meta_str(meta, kept, 0, &nbytes);
        el_buf_add(tokenizer_json, text, nbytes);
    } else {
        status = write_json(tok, tokenizer_json, err);
    }
    if (status == EL_OK)
        status = write_config(tok, meta, tokenizer_config, err);
    if (status == EL_OK && (tokenizer_json->failed || tokenizer_config->failed))
        status = out_of_memory(err);
    el_tokenizer_close(tok);
    return status;
}
