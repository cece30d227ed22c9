/*
 * Mistral's tekken.json (mistral-common, tokens/tokenizers/tekken.py): config with the pattern that cuts words and the sizes, the
 * tokens in base64 in the order of their ranks, more of them than are used, and the special tokens, whose ids come before those
 * of the ranks. The tokens merge as tiktoken's do.
 */
#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "text/tokenizer_import.h"
#include "text/tokenizer_ranks.h"

enum { MAX_SPECIAL = 1 << 16, FILLER_NBYTES = 24 };

/* Those of versions 3 and 7, whose files may not say. */
static const char *const old_special[] = {"<unk>",
                                          "<s>",
                                          "</s>",
                                          "[INST]",
                                          "[/INST]",
                                          "[AVAILABLE_TOOLS]",
                                          "[/AVAILABLE_TOOLS]",
                                          "[TOOL_RESULTS]",
                                          "[/TOOL_RESULTS]",
                                          "[TOOL_CALLS]",
                                          "[IMG]",
                                          "<pad>",
                                          "[IMG_BREAK]",
                                          "[IMG_END]",
                                          "[PREFIX]",
                                          "[MIDDLE]",
                                          "[SUFFIX]",
                                          "[SYSTEM_PROMPT]",
                                          "[/SYSTEM_PROMPT]",
                                          "[TOOL_CONTENT]"};
enum { N_OLD = sizeof old_special / sizeof old_special[0] };

struct tekken {
    const struct el_json *root;
    const char *pattern;
    int64_t n_special, n_ranks;
    const char **special; /* [n_special + 1], by id, ended by NULL: texts of the file, or in fillers */
    char *fillers;
    struct el_strmap ids; /* of the special tokens */
    struct el_ranks ranks;
    struct el_err *err;
};

bool el_is_tekken(const char *data, size_t nbytes)
{
    static const char key[] = "\"default_num_special_tokens\"", bytes[] = "\"token_bytes\"";
    return memmem(data, nbytes, key, sizeof key - 1) && memmem(data, nbytes, bytes, sizeof bytes - 1);
}

/*
 * token_str of the zero byte's token is "\u0000", which no text of ours can hold; nothing here reads it. A copy without such
 * escapes: they become U+FFFD. NULL: out of memory.
 */
static char *without_zeros(const char *data, size_t nbytes)
{
    char *const copy = el_strndup(data, nbytes);
    for (size_t i = 0; copy && i + 1 < nbytes; i++) {
        if (copy[i] != '\\')
            continue;
        i++; /* what is escaped, be it another backslash */
        if (copy[i] == 'u' && nbytes - i > 4 && memcmp(copy + i + 1, "0000", 4) == 0)
            memcpy(copy + i + 1, "fffd", 4);
    }
    return copy;
}

static enum el_status read_config(struct tekken *t)
{
    const struct el_json *const config = el_json_get(t->root, "config");
    int64_t n_vocab = 0;
    t->pattern = el_json_str(el_json_get(config, "pattern"));
    if (!t->pattern)
        return el_fail(t->err, EL_E_FORMAT, "tekken: no config.pattern, or it is no string");
    if (!el_json_int(el_json_get(config, "default_vocab_size"), &n_vocab) || n_vocab < 1 || n_vocab > EL_MAX_VOCAB)
        return el_fail(t->err, EL_E_FORMAT, "tekken: config.default_vocab_size must be 1 to %d", (int)EL_MAX_VOCAB);
    if (!el_json_int(el_json_get(config, "default_num_special_tokens"), &t->n_special) || t->n_special < 0 ||
        t->n_special > MAX_SPECIAL || t->n_special >= n_vocab)
        return el_fail(t->err, EL_E_FORMAT,
                       "tekken: config.default_num_special_tokens must be 0 to %d, and below default_vocab_size, %lld",
                       (int)MAX_SPECIAL, (long long)n_vocab);
    t->n_ranks = n_vocab - t->n_special;
    return EL_OK;
}

static enum el_status read_ranks(struct tekken *t)
{
    const struct el_json *const vocab = el_json_get(t->root, "vocab");
    int64_t n = 0;
    if (!el_json_is(vocab, EL_JSON_ARRAY))
        return el_fail(t->err, EL_E_FORMAT, "tekken: vocab is not an array");
    for (const struct el_json *v = el_json_first(vocab); v && n < t->n_ranks; v = el_json_next(v), n++) {
        const char *const bytes = el_json_str(el_json_get(v, "token_bytes"));
        int64_t rank = -1;
        if (!bytes || !el_json_int(el_json_get(v, "rank"), &rank) || rank != n)
            return el_fail(t->err, EL_E_FORMAT, "tekken: vocab[%lld]: must have a string token_bytes and the rank %lld",
                           (long long)n, (long long)n);
        const enum el_status status = el_ranks_add(&t->ranks, bytes, strlen(bytes), (uint64_t)rank, t->err);
        if (status != EL_OK)
            return el_fail_prefix(t->err, status, "tekken: vocab[%lld]", (long long)n);
    }
    if (n < t->n_ranks)
        return el_fail(t->err, EL_E_FORMAT, "tekken: vocab has %lld tokens, config makes it at least %lld", (long long)n,
                       (long long)t->n_ranks);
    const enum el_status status = el_ranks_finish(&t->ranks, t->err);
    return status == EL_OK ? EL_OK : el_fail_prefix(t->err, status, "tekken");
}

static enum el_status place_special(struct tekken *t, int64_t id, const char *text)
{
    bool existed = false;
    if (!text || !*text || id < 0 || id >= t->n_special || t->special[id])
        return el_fail(t->err, EL_E_FORMAT, "tekken: special_tokens: each must have a token_str and a rank of its own, 0 to %lld",
                       (long long)t->n_special - 1);
    if (!el_strmap_add(&t->ids, text, strlen(text), id, &existed))
        return el_fail(t->err, EL_E_MEMORY, "out of memory for the special tokens");
    if (existed)
        return el_fail(t->err, EL_E_FORMAT, "tekken: special token '%.60s' is there twice", text);
    t->special[id] = text;
    return EL_OK;
}

/* Ids that no token of the file has are those of <SPECIAL_id>. */
static enum el_status fill_special(struct tekken *t)
{
    t->fillers = el_calloc_array((size_t)t->n_special + 1, FILLER_NBYTES);
    if (!t->fillers)
        return el_fail(t->err, EL_E_MEMORY, "out of memory for the special tokens");
    for (int64_t id = 0; id < t->n_special; id++) {
        char *const text = t->fillers + id * FILLER_NBYTES;
        if (t->special[id])
            continue;
        (void)snprintf(text, FILLER_NBYTES, "<SPECIAL_%u>", (unsigned)id);
        EL_TRY(place_special(t, id, text));
    }
    return EL_OK;
}

static enum el_status read_special(struct tekken *t)
{
    const struct el_json *const list = el_json_get(t->root, "special_tokens");
    const char *const version = el_json_str(el_json_get(el_json_get(t->root, "config"), "version"));
    t->special = el_calloc_array((size_t)t->n_special + 1, sizeof *t->special);
    if (!t->special)
        return el_fail(t->err, EL_E_MEMORY, "out of memory for the special tokens");
    const bool none = !list || el_json_is(list, EL_JSON_NULL);
    if (none && (!version || (strcmp(version, "v3") != 0 && strcmp(version, "v7") != 0)))
        return el_fail(t->err, EL_E_FORMAT, "tekken: no special_tokens, which only versions v3 and v7 may lack");
    if (!none && !el_json_is(list, EL_JSON_ARRAY))
        return el_fail(t->err, EL_E_FORMAT, "tekken: special_tokens is not an array");
    for (int64_t i = 0; none && i < N_OLD && i < t->n_special; i++)
        EL_TRY(place_special(t, i, old_special[i]));
    for (const struct el_json *s = none ? NULL : el_json_first(list); s; s = el_json_next(s)) {
        int64_t id = -1;
        (void)el_json_int(el_json_get(s, "rank"), &id);
        EL_TRY(place_special(t, id, el_json_str(el_json_get(s, "token_str"))));
    }
    return fill_special(t);
}

static enum el_status write_json(struct el_import *im, const struct tekken *t, struct el_buf *out)
{
    const char *const patterns[] = {t->pattern, NULL};
    const char *const bos = el_strmap_get(&t->ids, "<s>", 3, -1) >= 0 ? "<s>" : NULL;
    el_buf_add_str(out, "{\"version\": \"1.0\",\n");
    EL_TRY(el_import_write_added(im, &t->ids, t->special, out));
    el_ranks_write_rules(patterns, bos, &t->ids, out);
    return el_ranks_write_model(&t->ranks, (uint32_t)t->n_special, true, out, im->err);
}

enum el_status el_tokenizer_import_tekken(struct el_meta *meta, const char *data, size_t nbytes,
                                          const struct el_tokenizer_texts *texts, uint32_t n_vocab, struct el_err *err)
{
    static const struct {
        const char *key, *text;
    } usual[] = {{"tokenizer.ggml.bos_token_id", "<s>"},
                 {"tokenizer.ggml.eos_token_id", "</s>"},
                 {"tokenizer.ggml.unknown_token_id", "<unk>"},
                 {"tokenizer.ggml.padding_token_id", "<pad>"}};
    static const struct el_tokenizer_texts no_texts = {.config = NULL};
    texts = texts ? texts : &no_texts;
    struct el_import im;
    struct el_json_doc *doc = NULL;
    char *text = NULL;
    struct el_buf json;
    struct tekken t = {.err = err};
    el_buf_init(&json);
    el_ranks_init(&t.ranks);
    el_strmap_init(&t.ids);
    enum el_status status;
    EL_TRY_OUT(el_import_open(&im, meta, texts, err));
    im.byte_level = true;
    text = without_zeros(data, nbytes);
    if (!text) {
        status = el_fail(err, EL_E_MEMORY, "tekken: out of memory");
        goto out;
    }
    EL_TRY_OUT(el_json_parse(text, nbytes, "tekken", &doc, err));
    t.root = el_json_root(doc);
    EL_TRY_OUT(read_config(&t));
    EL_TRY_OUT(read_ranks(&t));
    EL_TRY_OUT(read_special(&t));
    EL_TRY_OUT(write_json(&im, &t, &json));
    EL_TRY_OUT(el_tokenizer_import_hf(meta, json.data, json.nbytes, texts->config, texts->config_nbytes, texts->generation,
                                      texts->generation_nbytes, n_vocab, err));
    for (size_t i = 0; i < sizeof usual / sizeof usual[0]; i++)
        EL_TRY_OUT(el_import_set_usual(meta, usual[i].key, usual[i].text, &t.ids, err));
out:
    el_free(text);
    el_free(t.special);
    el_free(t.fillers);
    el_strmap_release(&t.ids);
    el_ranks_release(&t.ranks);
    el_buf_release(&json);
    el_json_free(doc);
    el_import_close(&im);
    return status;
}
