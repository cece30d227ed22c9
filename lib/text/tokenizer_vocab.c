#include "text/tokenizer_vocab.h"

#include <stdio.h>
#include <string.h>

#include "base/limits.h"
#include "base/mem.h"
#include "text/tokenizer_impl.h"

static enum el_status out_of_memory(struct el_err *err)
{
    return el_fail(err, EL_E_MEMORY, "out of memory for the vocabulary");
}

void el_vocab_init(struct el_vocab *v)
{
    *v = (struct el_vocab){.n = 0};
    el_strmap_init(&v->ids);
}

void el_vocab_release(struct el_vocab *v)
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
static enum el_status make_room(struct el_vocab *v, size_t n, struct el_err *err)
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

const char *el_vocab_keep(struct el_vocab *v, char *text)
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

enum el_status el_vocab_set(struct el_vocab *v, int64_t id, const char *text, size_t nbytes, struct el_err *err)
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

enum el_status el_vocab_pad(struct el_vocab *v, uint32_t n_vocab, struct el_err *err)
{
    enum { FREE_PADS = 65536, PADS_PER_TOKEN = 4 };
    if (v->n == 0)
        return el_fail(err, EL_E_FORMAT, "the vocabulary is empty");
    if (n_vocab > EL_MAX_VOCAB)
        return el_fail(err, EL_E_FORMAT, "%u tokens, at most %d", (unsigned)n_vocab, (int)EL_MAX_VOCAB);
    if (n_vocab > 0 && v->n > n_vocab)
        return el_fail(err, EL_E_FORMAT, "the tokenizer has %zu tokens, the model %u", v->n, (unsigned)n_vocab);
    /* Bounded by the tokens there are, so that a small file does not take much memory. */
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
        v->text[i] = el_vocab_keep(v, el_strdup(name));
        if (!v->text[i])
            return out_of_memory(err);
        v->nbytes[i] = strlen(name);
        v->type[i] = EL_PIECE_UNUSED;
    }
    return EL_OK;
}

enum el_status el_vocab_write(struct el_meta *meta, const struct el_vocab *v, const char *model, const char *pre, bool scores,
                              struct el_err *err)
{
    EL_TRY(el_meta_set_str(meta, "tokenizer.ggml.model", model, strlen(model), err));
    EL_TRY(el_meta_set_str(meta, "tokenizer.ggml.pre", pre, strlen(pre), err));
    EL_TRY(el_meta_set_str_array(meta, "tokenizer.ggml.tokens", v->text, v->nbytes, v->n, err));
    if (scores)
        EL_TRY(el_meta_set_array(meta, "tokenizer.ggml.scores", EL_META_F32, v->score, v->n, err));
    return el_meta_set_array(meta, "tokenizer.ggml.token_type", EL_META_I32, v->type, v->n, err);
}

const char *el_vocab_with_spaces(struct el_vocab *v, const char *text)
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
    return el_vocab_keep(v, copy);
}
