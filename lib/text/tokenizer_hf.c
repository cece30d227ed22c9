#include <string.h>

#include "base/base64.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "text/tokenizer_impl.h"

/* \w of Rust's regular expressions, which the Whitespace pre-tokenizer uses, and what is neither that nor white space. */
#define RUST_WORD_INSIDE "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\x{200c}\\x{200d}"
#define RUST_WORD        "[" RUST_WORD_INSIDE "]"
#define NEITHER          "[^" RUST_WORD_INSIDE "\\s]"

static const char *type_of(const struct el_json *v)
{
    const char *const type = el_json_str(el_json_get(v, "type"));
    return type ? type : "(none)";
}

static bool flag(const struct el_json *object, const char *key, bool missing)
{
    const struct el_json *const v = el_json_get(object, key);
    return el_json_is(v, EL_JSON_BOOL) ? el_json_bool(v) : missing;
}

static bool is_missing(const struct el_json *v)
{
    return !v || el_json_is(v, EL_JSON_NULL);
}

/* ---- pre_tokenizer ---- */

struct pre_reader {
    struct el_pre *pre;
    bool bytes; /* a ByteLevel has come: what follows works on its alphabet */
    struct el_err *err;
};

static enum el_status before_step(struct pre_reader *r)
{
    if (!r->bytes || r->pre->mapped)
        return EL_OK;
    r->pre->mapped = true;
    return el_pre_add(r->pre, EL_PS_BYTE_MAP, NULL, EL_SPLIT_ISOLATED, r->err);
}

static enum el_status read_behavior(const struct el_json *v, enum el_split missing, enum el_split *split, struct el_err *err)
{
    static const struct {
        const char *name;
        enum el_split split;
    } names[] = {{"Isolated", EL_SPLIT_ISOLATED},
                 {"Removed", EL_SPLIT_REMOVED},
                 {"MergedWithPrevious", EL_SPLIT_WITH_PREVIOUS},
                 {"MergedWithNext", EL_SPLIT_WITH_NEXT},
                 {"Contiguous", EL_SPLIT_CONTIGUOUS}};
    const char *const name = el_json_str(el_json_get(v, "behavior"));
    *split = missing;
    for (size_t i = 0; name && i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(name, names[i].name) == 0) {
            *split = names[i].split;
            return EL_OK;
        }
    }
    return name ? el_fail(err, EL_E_UNSUPPORTED, "pre_tokenizer %s: behavior '%.40s' is not known", type_of(v), name) : EL_OK;
}

static enum el_status add_split(struct pre_reader *r, const struct el_json *v)
{
    enum el_split split;
    EL_TRY(read_behavior(v, EL_SPLIT_ISOLATED, &split, r->err));
    const bool invert = flag(v, "invert", false);
    const struct el_json *const pattern = el_json_get(v, "pattern");
    const char *const regex = el_json_str(el_json_get(pattern, "Regex"));
    const char *const text =
        el_json_is(pattern, EL_JSON_STR) ? el_json_str(pattern) : el_json_str(el_json_get(pattern, "String"));
    if (regex)
        return el_pre_add_regex(r->pre, regex, split, invert, r->err);
    if (!text || !*text)
        return el_fail(r->err, EL_E_FORMAT, "pre_tokenizer Split: pattern must be a Regex or a non-empty String");
    EL_TRY(el_pre_add(r->pre, EL_PS_LITERAL, text, split, r->err));
    r->pre->steps[r->pre->n - 1].invert = invert;
    return EL_OK;
}

static enum el_status add_byte_level(struct pre_reader *r, const struct el_json *v)
{
    if (r->bytes)
        return el_fail(r->err, EL_E_UNSUPPORTED, "pre_tokenizer: ByteLevel twice");
    if (flag(v, "add_prefix_space", true)) {
        EL_TRY(el_pre_add(r->pre, EL_PS_PREFIX, " ", EL_SPLIT_ISOLATED, r->err));
        r->pre->steps[r->pre->n - 1].always = true;
    }
    if (flag(v, "use_regex", true))
        EL_TRY(el_pre_add_regex(r->pre, el_pre_gpt2, EL_SPLIT_ISOLATED, false, r->err));
    r->bytes = true;
    return EL_OK;
}

static enum el_status add_metaspace(struct pre_reader *r, const struct el_json *v)
{
    const char *const mark = el_json_str(el_json_get(v, "replacement"));
    const char *scheme = el_json_str(el_json_get(v, "prepend_scheme"));
    if (!scheme)
        scheme = flag(v, "add_prefix_space", true) ? "always" : "never";
    const bool first = strcmp(scheme, "first") == 0, always = strcmp(scheme, "always") == 0;
    if (!first && !always && strcmp(scheme, "never") != 0)
        return el_fail(r->err, EL_E_UNSUPPORTED, "pre_tokenizer Metaspace: prepend_scheme '%.40s' is not known", scheme);
    EL_TRY(el_pre_add(r->pre, EL_PS_METASPACE, mark && *mark ? mark : EL_SPACE_MARK, EL_SPLIT_ISOLATED, r->err));
    struct el_pre_step *const s = &r->pre->steps[r->pre->n - 1];
    s->first_only = first;
    s->always = always;
    return flag(v, "split", true) ? el_pre_add(r->pre, EL_PS_LITERAL, s->text, EL_SPLIT_WITH_NEXT, r->err) : EL_OK;
}

static enum el_status add_punctuation(struct pre_reader *r, const struct el_json *v)
{
    enum el_split split;
    EL_TRY(read_behavior(v, EL_SPLIT_ISOLATED, &split, r->err));
    /* ASCII punctuation that is not in category P is listed; a contiguous run is one match. */
    const bool run = split == EL_SPLIT_CONTIGUOUS;
    return el_pre_add_regex(r->pre, run ? EL_PUNCTUATION "+" : EL_PUNCTUATION, run ? EL_SPLIT_ISOLATED : split, false, r->err);
}

static enum el_status add_pre(struct pre_reader *r, const struct el_json *v)
{
    const char *const type = type_of(v);
    if (strcmp(type, "Sequence") == 0) {
        for (const struct el_json *p = el_json_first(el_json_get(v, "pretokenizers")); p; p = el_json_next(p))
            EL_TRY(add_pre(r, p));
        return EL_OK;
    }
    EL_TRY(before_step(r));
    if (strcmp(type, "Split") == 0)
        return add_split(r, v);
    if (strcmp(type, "ByteLevel") == 0)
        return add_byte_level(r, v);
    if (strcmp(type, "Metaspace") == 0)
        return add_metaspace(r, v);
    if (strcmp(type, "Punctuation") == 0)
        return add_punctuation(r, v);
    if (strcmp(type, "Digits") == 0)
        return el_pre_add_regex(r->pre, flag(v, "individual_digits", false) ? "\\p{N}" : "\\p{N}+", EL_SPLIT_ISOLATED, false,
                                r->err);
    if (strcmp(type, "Whitespace") == 0)
        return el_pre_add_regex(r->pre, RUST_WORD "+|" NEITHER "+", EL_SPLIT_REMOVED, true, r->err);
    if (strcmp(type, "WhitespaceSplit") == 0)
        return el_pre_add_regex(r->pre, "\\s", EL_SPLIT_REMOVED, false, r->err);
    if (strcmp(type, "BertPreTokenizer") == 0) {
        EL_TRY(el_pre_add_regex(r->pre, "\\s", EL_SPLIT_REMOVED, false, r->err));
        return el_pre_add_regex(r->pre, EL_PUNCTUATION, EL_SPLIT_ISOLATED, false, r->err);
    }
    if (strcmp(type, "CharDelimiterSplit") == 0) {
        const char *const delimiter = el_json_str(el_json_get(v, "delimiter"));
        if (!delimiter || !*delimiter)
            return el_fail(r->err, EL_E_FORMAT, "pre_tokenizer CharDelimiterSplit: delimiter must be one character");
        return el_pre_add(r->pre, EL_PS_LITERAL, delimiter, EL_SPLIT_REMOVED, r->err);
    }
    return el_fail(r->err, EL_E_UNSUPPORTED, "pre_tokenizer '%.40s' is not supported", type);
}

enum el_status el_hf_pre(struct el_pre *pre, const struct el_json *pre_tokenizer, struct el_err *err)
{
    struct pre_reader r = {pre, false, err};
    return is_missing(pre_tokenizer) ? EL_OK : add_pre(&r, pre_tokenizer);
}

static bool has_byte_level(const struct el_json *v)
{
    if (strcmp(type_of(v), "ByteLevel") == 0)
        return true;
    for (const struct el_json *p = el_json_first(el_json_get(v, "pretokenizers")); p; p = el_json_next(p))
        if (has_byte_level(p))
            return true;
    return false;
}

bool el_hf_is_byte_level(const struct el_json *root)
{
    return has_byte_level(el_json_get(root, "pre_tokenizer"));
}

/* ---- normalizer ---- */

static enum el_status copy_text(const char *text, char **copy, size_t *n, struct el_err *err)
{
    *n = strlen(text);
    *copy = el_strdup(text);
    return *copy ? EL_OK : el_fail(err, EL_E_MEMORY, "out of memory for the tokenizer");
}

static enum el_status add_replace(struct el_norm_step *s, const struct el_json *v, struct el_err *err)
{
    const struct el_json *const pattern = el_json_get(v, "pattern");
    const char *const regex = el_json_str(el_json_get(pattern, "Regex"));
    const char *const text = el_json_str(el_json_get(pattern, "String"));
    const char *const content = el_json_str(el_json_get(v, "content"));
    if (!content || (!regex && (!text || !*text)))
        return el_fail(err, EL_E_FORMAT, "normalizer Replace: must have a pattern (Regex, or a non-empty String) and a content");
    EL_TRY(copy_text(content, &s->to, &s->n_to, err));
    return regex ? el_regex_open(regex, strlen(regex), &s->re, err) : copy_text(text, &s->from, &s->n_from, err);
}

enum el_status el_norm_add_bert(struct el_norm *norm, bool clean, bool han, bool strip, bool lower, struct el_err *err)
{
    const struct {
        bool wanted;
        struct el_norm_step step;
    } steps[] = {{clean, {.kind = EL_NS_BERT_CLEAN}},
                 {han, {.kind = EL_NS_BERT_HAN}},
                 {strip, {.kind = EL_NS_FORM, .form = EL_NORM_NFD}},
                 {strip, {.kind = EL_NS_STRIP_NONSPACING}},
                 {lower, {.kind = EL_NS_LOWERCASE}}};
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        if (!steps[i].wanted)
            continue;
        if (norm->n == EL_MAX_STEPS)
            return el_fail(err, EL_E_UNSUPPORTED, "normalizer: more than %d steps", (int)EL_MAX_STEPS);
        norm->steps[norm->n++] = steps[i].step;
    }
    return EL_OK;
}

static enum el_status add_precompiled(struct el_norm_step *s, const struct el_json *v, struct el_err *err)
{
    const struct el_json *const map = el_json_get(v, "precompiled_charsmap");
    if (is_missing(map) || (el_json_str(map) && !*el_json_str(map)))
        return EL_OK;
    struct el_buf bytes;
    el_buf_init(&bytes);
    const char *const text = el_json_str(map);
    enum el_status status = EL_OK;
    if (!text || !el_base64_decode(text, strlen(text), &bytes))
        status = el_fail(err, EL_E_FORMAT, "normalizer Precompiled: precompiled_charsmap must be base64");
    else if (bytes.failed)
        status = el_fail(err, EL_E_MEMORY, "out of memory for the tokenizer");
    else
        status = el_charsmap_open(&s->map, bytes.data, bytes.nbytes, "normalizer Precompiled: precompiled_charsmap", err);
    el_buf_release(&bytes);
    return status;
}

static enum el_status add_bert(struct el_norm *norm, const struct el_json *v, struct el_err *err)
{
    const bool lower = flag(v, "lowercase", true);
    return el_norm_add_bert(norm, flag(v, "clean_text", true), flag(v, "handle_chinese_chars", true),
                            flag(v, "strip_accents", lower), lower, err);
}

static enum el_status add_norm(struct el_norm *norm, const struct el_json *v, struct el_err *err)
{
    static const struct {
        const char *name;
        enum el_norm_kind kind;
        enum el_norm_form form;
    } simple[] = {{"NFC", EL_NS_FORM, EL_NORM_NFC},   {"NFD", EL_NS_FORM, EL_NORM_NFD},
                  {"NFKC", EL_NS_FORM, EL_NORM_NFKC}, {"NFKD", EL_NS_FORM, EL_NORM_NFKD},
                  {"Lowercase", EL_NS_LOWERCASE, 0},  {"StripAccents", EL_NS_STRIP_MARKS, 0},
                  {"Strip", EL_NS_STRIP, 0},          {"Prepend", EL_NS_PREPEND, 0},
                  {"Replace", EL_NS_REPLACE, 0},      {"Precompiled", EL_NS_PRECOMPILED, 0}};
    const char *const type = type_of(v);
    if (strcmp(type, "BertNormalizer") == 0)
        return add_bert(norm, v, err);
    if (strcmp(type, "Sequence") == 0) {
        for (const struct el_json *p = el_json_first(el_json_get(v, "normalizers")); p; p = el_json_next(p))
            EL_TRY(add_norm(norm, p, err));
        return EL_OK;
    }
    size_t i = 0;
    while (i < sizeof simple / sizeof simple[0] && strcmp(type, simple[i].name) != 0)
        i++;
    if (i == sizeof simple / sizeof simple[0])
        return el_fail(err, EL_E_UNSUPPORTED, "normalizer '%.40s' is not supported", type);
    if (norm->n == EL_MAX_STEPS)
        return el_fail(err, EL_E_UNSUPPORTED, "normalizer: more than %d steps", (int)EL_MAX_STEPS);
    struct el_norm_step *const s = &norm->steps[norm->n++];
    *s = (struct el_norm_step){.kind = simple[i].kind, .form = simple[i].form};
    if (s->kind == EL_NS_STRIP) {
        s->left = flag(v, "strip_left", true);
        s->right = flag(v, "strip_right", true);
    } else if (s->kind == EL_NS_PREPEND) {
        const char *const text = el_json_str(el_json_get(v, "prepend"));
        if (!text)
            return el_fail(err, EL_E_FORMAT, "normalizer Prepend: 'prepend' must be a string");
        return copy_text(text, &s->to, &s->n_to, err);
    } else if (s->kind == EL_NS_REPLACE) {
        return add_replace(s, v, err);
    } else if (s->kind == EL_NS_PRECOMPILED) {
        return add_precompiled(s, v, err);
    }
    return EL_OK;
}

/* ---- added tokens ---- */

static enum el_status add_token(struct el_tokenizer *tok, struct el_regex_run *run, struct el_buf bufs[2],
                                const struct el_json *v, struct el_err *err)
{
    const char *text = el_json_str(el_json_get(v, "content"));
    int64_t id;
    if (!text || !el_json_int(el_json_get(v, "id"), &id))
        return el_fail(err, EL_E_FORMAT, "added_tokens: each must have an integer id and a string content");
    if (id < 0 || (uint64_t)id >= tok->n_vocab)
        return el_fail(err, EL_E_FORMAT, "added_tokens: id %lld, the vocabulary has %zu tokens", (long long)id, tok->n_vocab);
    const struct el_added_token flags = {.id = (int32_t)id,
                                         .special = flag(v, "special", false),
                                         .lstrip = flag(v, "lstrip", false),
                                         .rstrip = flag(v, "rstrip", false),
                                         .single_word = flag(v, "single_word", false)};
    size_t nbytes = strlen(text);
    if (!flag(v, "normalized", !flags.special))
        return el_added_put(&tok->added, text, nbytes, &flags, err);
    if (nbytes == 0 || nbytes > EL_MAX_ADDED_TOKEN)
        return el_added_put(&tok->added_norm, text, nbytes, &flags, err); /* for its error */
    EL_TRY(el_norm_apply(&tok->norm, run, bufs, text, nbytes, &text, &nbytes, err));
    return nbytes > 0 ? el_added_put(&tok->added_norm, text, nbytes, &flags, err) : EL_OK;
}

static enum el_status read_added(struct el_tokenizer *tok, const struct el_json *list, struct el_err *err)
{
    struct el_regex_run *run;
    EL_TRY(el_regex_run_open(&run, err));
    struct el_buf bufs[2];
    el_buf_init(&bufs[0]);
    el_buf_init(&bufs[1]);
    enum el_status status = EL_OK;
    for (const struct el_json *v = el_json_first(list); v && status == EL_OK; v = el_json_next(v))
        status = add_token(tok, run, bufs, v, err);
    el_buf_release(&bufs[0]);
    el_buf_release(&bufs[1]);
    el_regex_run_close(run);
    return status;
}

/* ---- post_processor ---- */

static enum el_status add_affix(struct el_affixes *a, bool behind, int64_t id, struct el_err *err)
{
    size_t *const n = behind ? &a->n_suffix : &a->n_prefix;
    if (*n == EL_MAX_AFFIX)
        return el_fail(err, EL_E_UNSUPPORTED, "post_processor: more than %d tokens on one side of the text", (int)EL_MAX_AFFIX);
    if (id < 0 || id > INT32_MAX)
        return el_fail(err, EL_E_FORMAT, "post_processor: token id %lld", (long long)id);
    (behind ? a->suffix : a->prefix)[(*n)++] = (int32_t)id;
    return EL_OK;
}

static enum el_status read_template(struct el_affixes *a, const struct el_json *v, struct el_err *err)
{
    const struct el_json *const specials = el_json_get(v, "special_tokens");
    bool behind = false;
    if (el_json_count(el_json_get(v, "single")) > 2 * EL_MAX_AFFIX + 1)
        return el_fail(err, EL_E_UNSUPPORTED, "post_processor: the template has more than %d parts", 2 * EL_MAX_AFFIX + 1);
    for (const struct el_json *p = el_json_first(el_json_get(v, "single")); p; p = el_json_next(p)) {
        if (el_json_get(p, "Sequence")) {
            if (behind)
                return el_fail(err, EL_E_UNSUPPORTED, "post_processor: the template holds the text twice");
            behind = true;
            continue;
        }
        const char *const name = el_json_str(el_json_get(el_json_get(p, "SpecialToken"), "id"));
        const struct el_json *const ids = name ? el_json_get(el_json_get(specials, name), "ids") : NULL;
        if (!el_json_is(ids, EL_JSON_ARRAY))
            return el_fail(err, EL_E_FORMAT, "post_processor: special token '%.60s' of the template has no ids",
                           name ? name : "");
        for (const struct el_json *q = el_json_first(ids); q; q = el_json_next(q)) {
            int64_t id;
            if (!el_json_int(q, &id))
                return el_fail(err, EL_E_FORMAT, "post_processor: ids of '%.60s' must be integers", name);
            EL_TRY(add_affix(a, behind, id, err));
        }
    }
    return EL_OK;
}

static enum el_status read_pair(struct el_affixes *a, const struct el_json *pair, bool behind, struct el_err *err)
{
    int64_t id;
    if (el_json_count(pair) != 2 || !el_json_int(el_json_next(el_json_first(pair)), &id))
        return el_fail(err, EL_E_FORMAT, "post_processor: cls and sep must be [text, id]");
    return add_affix(a, behind, id, err);
}

static enum el_status read_post(struct el_affixes *a, const struct el_json *v, struct el_err *err)
{
    const char *const type = type_of(v);
    if (strcmp(type, "Sequence") == 0) {
        for (const struct el_json *p = el_json_first(el_json_get(v, "processors")); p; p = el_json_next(p))
            EL_TRY(read_post(a, p, err));
        return EL_OK;
    }
    if (strcmp(type, "ByteLevel") == 0)
        return EL_OK; /* concerns offsets only */
    if (strcmp(type, "TemplateProcessing") == 0)
        return read_template(a, v, err);
    if (strcmp(type, "RobertaProcessing") == 0 || strcmp(type, "BertProcessing") == 0) {
        EL_TRY(read_pair(a, el_json_get(v, "cls"), false, err));
        return read_pair(a, el_json_get(v, "sep"), true, err);
    }
    return el_fail(err, EL_E_UNSUPPORTED, "post_processor '%.40s' is not supported", type);
}

enum el_status el_hf_affixes(const struct el_json *root, struct el_affixes *a, struct el_err *err)
{
    *a = (struct el_affixes){.n_prefix = 0};
    const struct el_json *const post = el_json_get(root, "post_processor");
    return is_missing(post) ? EL_OK : read_post(a, post, err);
}

static enum el_status check_affixes(const struct el_affixes *a, size_t n_vocab, struct el_err *err)
{
    for (size_t i = 0; i < a->n_prefix + a->n_suffix; i++) {
        const int32_t id = i < a->n_prefix ? a->prefix[i] : a->suffix[i - a->n_prefix];
        if ((size_t)id >= n_vocab)
            return el_fail(err, EL_E_FORMAT, "post_processor: token id %d, the vocabulary has %zu tokens", (int)id, n_vocab);
    }
    return EL_OK;
}

/* ---- decoder ---- */

static enum el_status set_replacement(struct el_tokenizer *tok, const char *from, const char *to, struct el_err *err)
{
    if (!from || !*from || !to)
        return el_fail(err, EL_E_FORMAT, "decoder Replace: must have a String pattern and a content");
    if (tok->dec_from)
        return el_fail(err, EL_E_UNSUPPORTED, "decoder: more than one replacement");
    EL_TRY(copy_text(from, &tok->dec_from, &tok->n_dec_from, err));
    return copy_text(to, &tok->dec_to, &tok->n_dec_to, err);
}

static enum el_status read_decoder(struct el_tokenizer *tok, const struct el_json *v, struct el_err *err)
{
    const char *const type = type_of(v);
    if (strcmp(type, "Sequence") == 0) {
        for (const struct el_json *p = el_json_first(el_json_get(v, "decoders")); p; p = el_json_next(p))
            EL_TRY(read_decoder(tok, p, err));
        return EL_OK;
    }
    if (strcmp(type, "ByteLevel") == 0 || strcmp(type, "ByteFallback") == 0 || strcmp(type, "Fuse") == 0)
        return EL_OK; /* bytes are joined in any case */
    if (strcmp(type, "Replace") == 0)
        return set_replacement(tok, el_json_str(el_json_get(el_json_get(v, "pattern"), "String")),
                               el_json_str(el_json_get(v, "content")), err);
    if (strcmp(type, "Metaspace") == 0) {
        const char *const mark = el_json_str(el_json_get(v, "replacement"));
        const char *const scheme = el_json_str(el_json_get(v, "prepend_scheme"));
        tok->dec_strip = scheme ? strcmp(scheme, "never") != 0 : flag(v, "add_prefix_space", true);
        return set_replacement(tok, mark ? mark : EL_SPACE_MARK, " ", err);
    }
    if (strcmp(type, "WordPiece") == 0) {
        const char *const prefix = el_json_str(el_json_get(v, "prefix"));
        if (tok->machine != EL_MACHINE_WORDPIECE || (prefix && strcmp(prefix, tok->wordpiece.prefix) != 0))
            return el_fail(err, EL_E_UNSUPPORTED, "decoder WordPiece: prefix '%.40s' is not that of a WordPiece model",
                           prefix ? prefix : "##");
        tok->dec_wordpiece = true;
        tok->dec_cleanup = flag(v, "cleanup", true);
        return EL_OK;
    }
    if (strcmp(type, "Strip") == 0) {
        const char *const content = el_json_str(el_json_get(v, "content"));
        int64_t start, stop;
        if (!content || !el_json_int(el_json_get(v, "start"), &start) || !el_json_int(el_json_get(v, "stop"), &stop))
            return el_fail(err, EL_E_FORMAT, "decoder Strip: must have content, start and stop");
        if (strcmp(content, " ") != 0 || stop != 0 || start < 0 || start > 1024)
            return el_fail(err, EL_E_UNSUPPORTED, "decoder Strip: only spaces at the start can be taken off");
        tok->dec_strip = (uint32_t)start;
        return EL_OK;
    }
    return el_fail(err, EL_E_UNSUPPORTED, "decoder '%.40s' is not supported", type);
}

/* What Hugging Face's decoders call cleaning up, in their order. */
static const struct {
    const char *from, *to;
} cleanups[] = {{" .", "."},   {" ?", "?"},           {" !", "!"},   {" ,", ","},     {" ' ", "'"},   {" n't", "n't"},
                {" 'm", "'m"}, {" do not", " don't"}, {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"}};

size_t el_hf_cleanup(char *piece, size_t nbytes)
{
    for (size_t i = 0; i < sizeof cleanups / sizeof cleanups[0]; i++) {
        const size_t n_from = strlen(cleanups[i].from), n_to = strlen(cleanups[i].to);
        for (size_t at = 0; at + n_from <= nbytes;) {
            if (memcmp(piece + at, cleanups[i].from, n_from) != 0) {
                at++;
                continue;
            }
            memcpy(piece + at, cleanups[i].to, n_to); /* never longer */
            memmove(piece + at + n_to, piece + at + n_from, nbytes - at - n_from);
            nbytes -= n_from - n_to;
            at += n_to;
        }
    }
    return nbytes;
}

/* ---- model ---- */

/* The id that unk_token or unk_id names; -1: none. */
static enum el_status read_unk(struct el_tokenizer *tok, const struct el_json *model, struct el_err *err)
{
    const char *const unk = el_json_str(el_json_get(model, "unk_token"));
    const struct el_json *const number = el_json_get(model, "unk_id");
    int64_t id = -1;
    if (tok->machine != EL_MACHINE_UNIGRAM)
        id = unk ? el_strmap_get(&tok->ids, unk, strlen(unk), -1) : -1;
    else if (!is_missing(number) && (!el_json_int(number, &id) || id < 0 || (uint64_t)id >= tok->n_vocab))
        return el_fail(err, EL_E_FORMAT, "tokenizer.json: model.unk_id must be a token, of %zu", tok->n_vocab);
    tok->unk = (int32_t)id;
    return EL_OK;
}

static enum el_status read_model(struct el_tokenizer *tok, const struct el_json *model, struct el_err *err)
{
    tok->fuse_unk = flag(model, "fuse_unk", false);
    tok->ignore_merges = flag(model, "ignore_merges", false);
    if (!tok->byte_level && !flag(model, "byte_fallback", false))
        for (unsigned b = 0; b < 256; b++)
            tok->byte_sym[b] = -1;
    return read_unk(tok, model, err);
}

enum el_status el_hf_machine(const struct el_json *model, enum el_machine *machine, struct el_err *err)
{
    static const struct {
        const char *name;
        enum el_machine machine;
    } names[] = {{"BPE", EL_MACHINE_MERGES}, {"Unigram", EL_MACHINE_UNIGRAM}, {"WordPiece", EL_MACHINE_WORDPIECE}};
    if (!el_json_is(model, EL_JSON_OBJECT))
        return el_fail(err, EL_E_FORMAT, "tokenizer.json: 'model' must be an object");
    const char *type = el_json_str(el_json_get(model, "type"));
    if (!type) /* old files */
        type = el_json_get(model, "merges")                             ? "BPE"
               : el_json_is(el_json_get(model, "vocab"), EL_JSON_ARRAY) ? "Unigram"
               : el_json_get(model, "max_input_chars_per_word")         ? "WordPiece"
                                                                        : "(none)";
    size_t i = 0;
    while (i < sizeof names / sizeof names[0] && strcmp(type, names[i].name) != 0)
        i++;
    if (i == sizeof names / sizeof names[0])
        return el_fail(err, EL_E_UNSUPPORTED, "tokenizer.json: model type '%.40s', supported are BPE, Unigram and WordPiece",
                       type);
    *machine = names[i].machine;
    static const char *const affixes[] = {"continuing_subword_prefix", "end_of_word_suffix"};
    for (size_t k = 0; k < 2 && *machine == EL_MACHINE_MERGES; k++) {
        const char *const text = el_json_str(el_json_get(model, affixes[k]));
        if (text && *text)
            return el_fail(err, EL_E_UNSUPPORTED, "tokenizer.json: %s '%.40s' is not supported", affixes[k], text);
    }
    if (el_json_num(el_json_get(model, "dropout")) > 0)
        return el_fail(err, EL_E_UNSUPPORTED, "tokenizer.json: merges with dropout are random");
    return EL_OK;
}

enum el_status el_hf_rules(struct el_tokenizer *tok, const struct el_json *root, struct el_err *err)
{
    EL_TRY(read_model(tok, el_json_get(root, "model"), err));
    const struct el_json *const normalizer = el_json_get(root, "normalizer");
    if (!is_missing(normalizer))
        EL_TRY(add_norm(&tok->norm, normalizer, err));
    EL_TRY(el_hf_pre(&tok->pre, el_json_get(root, "pre_tokenizer"), err));
    EL_TRY(read_added(tok, el_json_get(root, "added_tokens"), err));
    tok->added.skip_hidden = tok->added_norm.skip_hidden = true;
    struct el_affixes a;
    EL_TRY(el_hf_affixes(root, &a, err));
    EL_TRY(check_affixes(&a, tok->n_vocab, err));
    memcpy(tok->prefix, a.prefix, sizeof a.prefix);
    memcpy(tok->suffix, a.suffix, sizeof a.suffix);
    tok->n_prefix = a.n_prefix;
    tok->n_suffix = a.n_suffix;
    const struct el_json *const decoder = el_json_get(root, "decoder");
    if (!is_missing(decoder))
        return read_decoder(tok, decoder, err);
    tok->dec_join = !tok->byte_level;
    return EL_OK;
}
