#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "text/tokenizer_import.h"

static enum el_status out_of_memory(struct el_err *err)
{
    return el_fail(err, EL_E_MEMORY, "out of memory for the vocabulary");
}

static enum el_status parse(const char *text, size_t nbytes, const char *name, struct el_json_doc **doc,
                            const struct el_json **root, struct el_err *err)
{
    if (!text)
        return EL_OK;
    EL_TRY(el_json_parse(text, nbytes, name, doc, err));
    *root = el_json_root(*doc);
    return EL_OK;
}

enum el_status el_import_open(struct el_import *im, struct el_meta *meta, const struct el_tokenizer_texts *texts,
                              struct el_err *err)
{
    *im = (struct el_import){.meta = meta, .bos = -1, .eos = -1, .unk = -1, .pad = -1, .err = err};
    el_vocab_init(&im->v);
    if (!texts)
        return EL_OK;
    EL_TRY(parse(texts->config, texts->config_nbytes, "tokenizer_config.json", &im->config_doc, &im->config, err));
    EL_TRY(
        parse(texts->generation, texts->generation_nbytes, "generation_config.json", &im->generation_doc, &im->generation, err));
    return parse(texts->added, texts->added_nbytes, "added_tokens.json", &im->added_doc, &im->added, err);
}

void el_import_close(struct el_import *im)
{
    el_free(im->merges);
    el_vocab_release(&im->v);
    el_json_free(im->config_doc);
    el_json_free(im->generation_doc);
    el_json_free(im->added_doc);
}

/* Gives an id the text of an added token, which may be there already under that id. */
static enum el_status put_token(struct el_import *im, int64_t id, const char *text, bool special)
{
    struct el_vocab *const v = &im->v;
    const bool known = id >= 0 && (uint64_t)id < v->n && v->text[id];
    const char *const shown = special || im->byte_level ? text : el_vocab_with_spaces(v, text);
    if (!shown)
        return out_of_memory(im->err);
    if (known && strcmp(v->text[id], text) != 0 && strcmp(v->text[id], shown) != 0)
        el_warn("token %lld: '%.60s' in the tokenizer is '%.60s' in its configuration, which goes before", (long long)id,
                v->text[id], text);
    if (!known)
        EL_TRY(el_vocab_set(v, id, shown, strlen(shown), im->err));
    v->text[id] = shown;
    v->nbytes[id] = strlen(shown);
    if (v->type[id] != EL_PIECE_UNKNOWN)
        v->type[id] = special ? EL_PIECE_CONTROL : EL_PIECE_USER;
    return EL_OK;
}

enum el_status el_import_config_tokens(struct el_import *im)
{
    for (const struct el_json *p = el_json_first(im->added); p; p = el_json_next(p)) {
        int64_t id;
        if (!el_json_int(p, &id))
            return el_fail(im->err, EL_E_FORMAT, "added_tokens.json: '%.60s': the id must be an integer", el_json_key(p));
        EL_TRY(put_token(im, id, el_json_key(p), false));
    }
    for (const struct el_json *p = el_json_first(el_json_get(im->config, "added_tokens_decoder")); p; p = el_json_next(p)) {
        const char *const key = el_json_key(p), *const text = el_json_str(el_json_get(p, "content"));
        char *end = NULL;
        const long long id = key && *key >= '0' && *key <= '9' ? strtoll(key, &end, 10) : -1;
        if (id < 0 || *end || !text)
            return el_fail(im->err, EL_E_FORMAT,
                           "tokenizer_config.json: added_tokens_decoder: each member must be \"id\": {\"content\": ...}");
        EL_TRY(put_token(im, id, text, el_json_bool(el_json_get(p, "special"))));
    }
    return EL_OK;
}

/* Id of config's token NAME (a string, or an object with content); -1: none. */
static int64_t config_token(const struct el_import *im, const char *name)
{
    const struct el_json *const t = el_json_get(im->config, name);
    const char *const text = el_json_is(t, EL_JSON_OBJECT) ? el_json_str(el_json_get(t, "content")) : el_json_str(t);
    return text ? el_strmap_get(&im->v.ids, text, strlen(text), -1) : -1;
}

/* Id from generation_config.json: a number, or the first of a list. */
static int64_t generation_token(const struct el_import *im, const char *name)
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

static enum el_status set_id(struct el_import *im, const char *key, int64_t id)
{
    return id >= 0 ? el_meta_set_u32(im->meta, key, (uint32_t)id, im->err) : EL_OK;
}

/* All ids that end generation, when there are several. */
static enum el_status import_eog(struct el_import *im, int64_t eos)
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

static enum el_status import_flag(struct el_import *im, const char *config_key, const char *key, bool otherwise)
{
    const struct el_json *const v = el_json_get(im->config, config_key);
    if (!im->root && !el_json_is(v, EL_JSON_BOOL))
        return EL_OK;
    return el_meta_set_bool(im->meta, key, el_json_is(v, EL_JSON_BOOL) ? el_json_bool(v) : otherwise, im->err);
}

static int64_t own_token(const struct el_import *im, int64_t id)
{
    return id >= 0 && (uint64_t)id < im->v.n ? id : -1;
}

enum el_status el_import_special(struct el_import *im)
{
    struct el_affixes a;
    EL_TRY(el_hf_affixes(im->root, &a, im->err));
    int64_t bos = config_token(im, "bos_token"), eos = config_token(im, "eos_token"), unk = config_token(im, "unk_token");
    int64_t pad = config_token(im, "pad_token");
    if (bos < 0)
        bos = generation_token(im, "bos_token_id");
    if (eos < 0)
        eos = generation_token(im, "eos_token_id");
    if (bos < 0 && a.n_prefix > 0 && (size_t)a.prefix[0] < im->v.n)
        bos = a.prefix[0];
    if (eos < 0 && a.n_suffix > 0 && (size_t)a.suffix[a.n_suffix - 1] < im->v.n)
        eos = a.suffix[a.n_suffix - 1];
    if (bos < 0)
        bos = own_token(im, im->bos);
    if (eos < 0)
        eos = own_token(im, im->eos);
    if (unk < 0)
        unk = own_token(im, im->unk);
    if (pad < 0)
        pad = own_token(im, im->pad);
    EL_TRY(set_id(im, "tokenizer.ggml.bos_token_id", bos));
    EL_TRY(set_id(im, "tokenizer.ggml.eos_token_id", eos));
    EL_TRY(set_id(im, "tokenizer.ggml.unknown_token_id", unk));
    EL_TRY(set_id(im, "tokenizer.ggml.padding_token_id", pad));
    if (im->machine != EL_MACHINE_MERGES) {
        const int64_t cls = config_token(im, "cls_token"), sep = config_token(im, "sep_token");
        const bool bert = im->machine == EL_MACHINE_WORDPIECE;
        EL_TRY(set_id(im, "tokenizer.ggml.cls_token_id", cls < 0 && bert ? bos : cls));
        EL_TRY(set_id(im, "tokenizer.ggml.seperator_token_id", sep < 0 && bert ? eos : sep));
        EL_TRY(set_id(im, "tokenizer.ggml.mask_token_id", config_token(im, "mask_token")));
    }
    EL_TRY(import_eog(im, eos));
    EL_TRY(import_flag(im, "add_bos_token", "tokenizer.ggml.add_bos_token", a.n_prefix > 0 && a.prefix[0] == bos));
    return import_flag(im, "add_eos_token", "tokenizer.ggml.add_eos_token", a.n_suffix > 0 && a.suffix[a.n_suffix - 1] == eos);
}

enum el_status el_import_template(struct el_import *im)
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

/* ---- for importers that write a tokenizer.json ---- */

static void write_token(struct el_buf *out, bool *any, int64_t id, const char *text, const struct el_json *flags, bool special)
{
    static const char *const names[] = {"single_word", "lstrip", "rstrip", "normalized"};
    el_buf_addf(out, "%s\n{\"id\": %lld, \"content\": ", *any ? "," : "", (long long)id);
    el_buf_add_json_str(out, text, strlen(text));
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        el_buf_addf(out, ", \"%s\": %s", names[i], el_json_bool(el_json_get(flags, names[i])) ? "true" : "false");
    el_buf_addf(out, ", \"special\": %s}", special ? "true" : "false");
    *any = true;
}

enum el_status el_import_write_added(struct el_import *im, const struct el_strmap *ids, const char *const *usual,
                                     struct el_buf *out)
{
    static const char *const named[] = {"bos_token", "eos_token", "unk_token", "sep_token",
                                        "pad_token", "cls_token", "mask_token"};
    struct el_strmap written;
    el_strmap_init(&written);
    bool any = false, existed = false, ok = true;
    el_buf_add_str(out, "\"added_tokens\": [");
    for (const struct el_json *p = el_json_first(el_json_get(im->config, "added_tokens_decoder")); ok && p; p = el_json_next(p)) {
        const char *const text = el_json_str(el_json_get(p, "content"));
        ok = !text || el_strmap_add(&written, text, strlen(text), 1, NULL);
        if (text && ok)
            write_token(out, &any, strtoll(el_json_key(p), NULL, 10), text, p, el_json_bool(el_json_get(p, "special")));
    }
    for (const struct el_json *p = el_json_first(im->added); ok && p; p = el_json_next(p)) {
        int64_t id;
        ok = el_strmap_add(&written, el_json_key(p), strlen(el_json_key(p)), 1, &existed);
        if (ok && !existed && el_json_int(p, &id))
            write_token(out, &any, id, el_json_key(p), NULL, false);
    }
    for (size_t i = 0; ok && (i < sizeof named / sizeof named[0] || *usual); i++) {
        const struct el_json *const t = i < 7 ? el_json_get(im->config, named[i]) : NULL;
        const char *text = el_json_is(t, EL_JSON_OBJECT) ? el_json_str(el_json_get(t, "content")) : el_json_str(t);
        if (i >= sizeof named / sizeof named[0])
            text = *usual++;
        const int64_t id = text ? el_strmap_get(ids, text, strlen(text), -1) : -1;
        if (id < 0)
            continue;
        ok = el_strmap_add(&written, text, strlen(text), 1, &existed);
        if (ok && !existed)
            write_token(out, &any, id, text, NULL, true);
    }
    el_buf_add_str(out, "\n],\n");
    el_strmap_release(&written);
    return ok ? EL_OK : out_of_memory(im->err);
}

enum el_status el_import_set_usual(struct el_meta *meta, const char *key, const char *text, const struct el_strmap *ids,
                                   struct el_err *err)
{
    const int64_t id = text ? el_strmap_get(ids, text, strlen(text), -1) : -1;
    return id >= 0 && el_meta_find(meta, key) == SIZE_MAX ? el_meta_set_u32(meta, key, (uint32_t)id, err) : EL_OK;
}
