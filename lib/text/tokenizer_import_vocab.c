/* Tokenizers that are a vocabulary and little else: vocab.txt of BERT, vocab.json and merges.txt of GPT-2. */
#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "text/tokenizer_import.h"

static enum el_status out_of_memory(struct el_err *err)
{
    return el_fail(err, EL_E_MEMORY, "out of memory for the vocabulary");
}

/* The next line of text[*at, nbytes), without its end; NULL: no more. */
static const char *next_line(const char *text, size_t nbytes, size_t *at, size_t *n)
{
    if (*at >= nbytes)
        return NULL;
    const char *const line = text + *at, *const end = memchr(line, '\n', nbytes - *at);
    *n = end ? (size_t)(end - line) : nbytes - *at;
    *at += *n + (end != NULL);
    if (*n > 0 && line[*n - 1] == '\r')
        (*n)--;
    return line;
}

static const char *config_text(const struct el_import *im, const char *name, const char *otherwise)
{
    const struct el_json *const t = el_json_get(im->config, name);
    const char *const text = el_json_is(t, EL_JSON_OBJECT) ? el_json_str(el_json_get(t, "content")) : el_json_str(t);
    return text ? text : otherwise;
}

static bool config_flag(const struct el_import *im, const char *name, bool otherwise)
{
    const struct el_json *const v = el_json_get(im->config, name);
    return el_json_is(v, EL_JSON_BOOL) ? el_json_bool(v) : otherwise;
}

static const char *boolean(bool v)
{
    return v ? "true" : "false";
}

/* {"SpecialToken": ...} of a template, and its entry of special_tokens. */
static void add_special(struct el_buf *out, const char *text, int type_id)
{
    el_buf_add_str(out, "{\"SpecialToken\": {\"id\": ");
    el_buf_add_json_str(out, text, strlen(text));
    el_buf_addf(out, ", \"type_id\": %d}}", type_id);
}

static void add_special_entry(struct el_buf *out, const char *text, int64_t id)
{
    el_buf_add_json_str(out, text, strlen(text));
    el_buf_add_str(out, ": {\"id\": ");
    el_buf_add_json_str(out, text, strlen(text));
    el_buf_addf(out, ", \"ids\": [%lld], \"tokens\": [", (long long)id);
    el_buf_add_json_str(out, text, strlen(text));
    el_buf_add_str(out, "]}");
}

static enum el_status import_text(struct el_import *im, const struct el_buf *json, const struct el_tokenizer_texts *texts,
                                  uint32_t n_vocab)
{
    static const struct el_tokenizer_texts none = {.config = NULL};
    if (json->failed)
        return out_of_memory(im->err);
    texts = texts ? texts : &none;
    return el_tokenizer_import_hf(im->meta, json->data, json->nbytes, texts->config, texts->config_nbytes, texts->generation,
                                  texts->generation_nbytes, n_vocab, im->err);
}

/* ---- vocab.txt ---- */

static const char *const bert_special[] = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", NULL};

/* Line -> id. The last of equal lines is the token, as in the program that wrote them; empty lines are none. */
static enum el_status read_lines(struct el_import *im, const char *vocab, size_t nbytes, struct el_strmap *ids, size_t **starts,
                                 size_t *n_lines)
{
    size_t cap = 0, n = 0, len = 0, at = 0;
    const char *line;
    while ((line = next_line(vocab, nbytes, &at, &len)) != NULL) {
        if (n == EL_MAX_VOCAB)
            return el_fail(im->err, EL_E_FORMAT, "more than %d lines", (int)EL_MAX_VOCAB);
        if (!el_utf8_is_valid(line, len) || memchr(line, '\0', len) || len > EL_MAX_WALK)
            return el_fail(im->err, EL_E_FORMAT, "line %zu: must be UTF-8 of at most %d bytes, without NUL", n + 1,
                           (int)EL_MAX_WALK);
        if (n == cap) {
            cap = cap ? 2 * cap : 4096;
            size_t *const more = el_realloc_array(*starts, cap, sizeof **starts);
            if (!more)
                return out_of_memory(im->err);
            *starts = more;
        }
        (*starts)[n++] = (size_t)(line - vocab);
    }
    for (size_t i = n; i-- > 0;) {
        size_t from = (*starts)[i];
        line = next_line(vocab, nbytes, &from, &len);
        if (len > 0 && !el_strmap_add(ids, line, len, (int64_t)i, NULL))
            return out_of_memory(im->err);
    }
    *n_lines = n;
    return n > 0 ? EL_OK : el_fail(im->err, EL_E_FORMAT, "there are no tokens");
}

static void write_bert_rules(const struct el_import *im, const struct el_strmap *ids, struct el_buf *out)
{
    const char *const cls = config_text(im, "cls_token", "[CLS]"), *const sep = config_text(im, "sep_token", "[SEP]");
    const int64_t cls_id = el_strmap_get(ids, cls, strlen(cls), -1), sep_id = el_strmap_get(ids, sep, strlen(sep), -1);
    const struct el_json *const strip = el_json_get(im->config, "strip_accents");
    el_buf_addf(out,
                "\"normalizer\": {\"type\": \"BertNormalizer\", \"clean_text\": true, \"handle_chinese_chars\": %s, "
                "\"strip_accents\": %s, \"lowercase\": %s},\n\"pre_tokenizer\": {\"type\": \"BertPreTokenizer\"},\n",
                boolean(config_flag(im, "tokenize_chinese_chars", true)),
                el_json_is(strip, EL_JSON_BOOL) ? boolean(el_json_bool(strip)) : "null",
                boolean(config_flag(im, "do_lower_case", true)));
    el_buf_add_str(out, "\"decoder\": {\"type\": \"WordPiece\", \"prefix\": \"##\", \"cleanup\": true},\n");
    if (cls_id < 0 || sep_id < 0)
        return;
    el_buf_add_str(out, "\"post_processor\": {\"type\": \"TemplateProcessing\", \"single\": [");
    add_special(out, cls, 0);
    el_buf_add_str(out, ", {\"Sequence\": {\"id\": \"A\", \"type_id\": 0}}, ");
    add_special(out, sep, 0);
    el_buf_add_str(out, "], \"pair\": [");
    add_special(out, cls, 0);
    el_buf_add_str(out, ", {\"Sequence\": {\"id\": \"A\", \"type_id\": 0}}, ");
    add_special(out, sep, 0);
    el_buf_add_str(out, ", {\"Sequence\": {\"id\": \"B\", \"type_id\": 1}}, ");
    add_special(out, sep, 1);
    el_buf_add_str(out, "], \"special_tokens\": {");
    add_special_entry(out, cls, cls_id);
    if (sep_id != cls_id) {
        el_buf_add_str(out, ", ");
        add_special_entry(out, sep, sep_id);
    }
    el_buf_add_str(out, "}},\n");
}

enum el_status el_tokenizer_import_vocab_txt(struct el_meta *meta, const char *vocab, size_t nbytes,
                                             const struct el_tokenizer_texts *texts, uint32_t n_vocab, struct el_err *err)
{
    struct el_import im;
    struct el_strmap ids;
    struct el_buf json;
    size_t *starts = NULL, n_lines = 0;
    el_strmap_init(&ids);
    el_buf_init(&json);
    enum el_status status;
    EL_TRY_OUT(el_import_open(&im, meta, texts, err));
    EL_TRY_OUT(read_lines(&im, vocab, nbytes, &ids, &starts, &n_lines));
    const char *const unk = config_text(&im, "unk_token", "[UNK]");
    if (el_strmap_get(&ids, unk, strlen(unk), -1) < 0)
        EL_TRY_OUT(el_fail(err, EL_E_FORMAT, "no line is the token '%.60s' for unknown words", unk));
    el_buf_add_str(&json, "{\"version\": \"1.0\",\n");
    EL_TRY_OUT(el_import_write_added(&im, &ids, bert_special, &json));
    write_bert_rules(&im, &ids, &json);
    el_buf_add_str(&json, "\"model\": {\"type\": \"WordPiece\", \"unk_token\": ");
    el_buf_add_json_str(&json, unk, strlen(unk));
    el_buf_add_str(&json, ", \"continuing_subword_prefix\": \"##\", \"max_input_chars_per_word\": 100, \"vocab\": {");
    bool first = true;
    for (size_t i = 0; i < n_lines; i++) {
        size_t from = starts[i], len;
        const char *const line = next_line(vocab, nbytes, &from, &len);
        if (len == 0 || el_strmap_get(&ids, line, len, -1) != (int64_t)i)
            continue;
        el_buf_add_str(&json, first ? "\n" : ",\n");
        el_buf_add_json_str(&json, line, len);
        el_buf_addf(&json, ": %zu", i);
        first = false;
    }
    el_buf_add_str(&json, "\n}}}\n");
    status = import_text(&im, &json, texts, n_vocab);
out:
    el_free(starts);
    el_strmap_release(&ids);
    el_buf_release(&json);
    el_import_close(&im);
    return status;
}

/* ---- vocab.json and merges.txt ---- */

static enum el_status write_merges(struct el_import *im, const char *merges, size_t nbytes, struct el_buf *out)
{
    size_t at = 0, len = 0, n = 0;
    const char *line;
    el_buf_add_str(out, "\"merges\": [");
    for (size_t i = 0; (line = next_line(merges, nbytes, &at, &len)) != NULL; i++) {
        if (len == 0 || (i == 0 && len >= 8 && memcmp(line, "#version", 8) == 0))
            continue;
        if (!el_utf8_is_valid(line, len) || memchr(line, '\0', len))
            return el_fail(im->err, EL_E_FORMAT, "merges.txt: line %zu: must be UTF-8 without NUL", i + 1);
        if (len >= 4 && memcmp(line + len - 4, "</w>", 4) == 0)
            return el_fail(im->err, EL_E_UNSUPPORTED,
                           "merges.txt: line %zu: marks ends of words with '</w>', which is not supported", i + 1);
        el_buf_add_str(out, n++ ? ",\n" : "\n");
        el_buf_add_json_str(out, line, len);
    }
    el_buf_add_str(out, "\n]");
    return EL_OK;
}

static enum el_status read_vocab_json(struct el_import *im, const struct el_json *root, struct el_strmap *ids)
{
    if (!el_json_is(root, EL_JSON_OBJECT))
        return el_fail(im->err, EL_E_FORMAT, "vocab.json: must be an object of texts and ids");
    for (const struct el_json *p = el_json_first(root); p; p = el_json_next(p)) {
        int64_t id;
        if (!el_json_int(p, &id))
            return el_fail(im->err, EL_E_FORMAT, "vocab.json: '%.60s': the id must be an integer", el_json_key(p));
        if (!el_strmap_add(ids, el_json_key(p), strlen(el_json_key(p)), id, NULL))
            return out_of_memory(im->err);
    }
    return EL_OK;
}

enum el_status el_tokenizer_import_vocab_json(struct el_meta *meta, const char *vocab, size_t nbytes, const char *merges,
                                              size_t merges_nbytes, const struct el_tokenizer_texts *texts, uint32_t n_vocab,
                                              struct el_err *err)
{
    static const char *const usual[] = {"<|endoftext|>", NULL};
    struct el_import im;
    struct el_strmap ids;
    struct el_buf json;
    struct el_json_doc *doc = NULL;
    el_strmap_init(&ids);
    el_buf_init(&json);
    enum el_status status;
    EL_TRY_OUT(el_import_open(&im, meta, texts, err));
    EL_TRY_OUT(el_json_parse(vocab, nbytes, "vocab.json", &doc, err));
    EL_TRY_OUT(read_vocab_json(&im, el_json_root(doc), &ids));
    im.byte_level = true;
    el_buf_add_str(&json, "{\"version\": \"1.0\",\n");
    EL_TRY_OUT(el_import_write_added(&im, &ids, usual, &json));
    const char *const bos = config_text(&im, "bos_token", "<|endoftext|>");
    const int64_t bos_id = el_strmap_get(&ids, bos, strlen(bos), -1);
    if (config_flag(&im, "add_bos_token", false) && bos_id >= 0) {
        el_buf_add_str(&json, "\"post_processor\": {\"type\": \"TemplateProcessing\", \"single\": [");
        add_special(&json, bos, 0);
        el_buf_add_str(&json, ", {\"Sequence\": {\"id\": \"A\", \"type_id\": 0}}], \"pair\": [");
        add_special(&json, bos, 0);
        el_buf_add_str(&json,
                       ", {\"Sequence\": {\"id\": \"A\", \"type_id\": 0}}, {\"Sequence\": {\"id\": \"B\", \"type_id\": 1}}], "
                       "\"special_tokens\": {");
        add_special_entry(&json, bos, bos_id);
        el_buf_add_str(&json, "}},\n");
    }
    el_buf_addf(&json,
                "\"pre_tokenizer\": {\"type\": \"ByteLevel\", \"add_prefix_space\": %s, \"trim_offsets\": true, "
                "\"use_regex\": true},\n\"decoder\": {\"type\": \"ByteLevel\", \"add_prefix_space\": true, "
                "\"trim_offsets\": true, \"use_regex\": true},\n\"model\": {\"type\": \"BPE\", \"vocab\": ",
                boolean(config_flag(&im, "add_prefix_space", false)));
    el_buf_add(&json, vocab, nbytes);
    el_buf_add_str(&json, ",\n");
    EL_TRY_OUT(write_merges(&im, merges, merges_nbytes, &json));
    el_buf_add_str(&json, "}}\n");
    status = import_text(&im, &json, texts, n_vocab);
out:
    el_json_free(doc);
    el_strmap_release(&ids);
    el_buf_release(&json);
    el_import_close(&im);
    return status;
}
