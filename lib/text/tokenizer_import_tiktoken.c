/*
 * Files of tiktoken: lines of a token in base64 and its rank. The pattern that cuts the words is not in the file; the table below
 * has it by name, as the programs do that use these files.
 */
#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "text/tokenizer_import.h"
#include "text/tokenizer_ranks.h"

/* Special tokens with ids from `first`: text, or a pattern of the numbers [from, to). */
struct special {
    int32_t first;
    const char *text;
    uint32_t from, to;
};
struct family {
    const char *names[6]; /* of files, ended by NULL */
    size_t n_ranks;       /* with exactly so many, the special tokens are these */
    const char *pre;      /* line of tokenizer_pre.def */
    const char *bos, *eos;
    bool add_bos;
    struct special special[16]; /* ended by text NULL */
};
static const struct family families[] = {
    {{"gpt2", "r50k_base", NULL}, 50256, "gpt-2", NULL, "<|endoftext|>", false, {{50256, "<|endoftext|>", 0, 0}, {0}}},
    {{"p50k_base", NULL}, 50280, "gpt-2", NULL, "<|endoftext|>", false, {{50256, "<|endoftext|>", 0, 0}, {0}}},
    {{"cl100k_base", NULL},
     100256,
     "llama-bpe",
     NULL,
     "<|endoftext|>",
     false,
     {{100257, "<|endoftext|>", 0, 0},
      {100258, "<|fim_prefix|>", 0, 0},
      {100259, "<|fim_middle|>", 0, 0},
      {100260, "<|fim_suffix|>", 0, 0},
      {100276, "<|endofprompt|>", 0, 0},
      {0}}},
    {{"o200k_base", NULL},
     199998,
     "gpt-4o",
     NULL,
     "<|endoftext|>",
     false,
     {{199999, "<|endoftext|>", 0, 0}, {200018, "<|endofprompt|>", 0, 0}, {0}}},
    {{"o200k_harmony", NULL},
     0, /* the ranks of o200k_base: only by name */
     "gpt-4o",
     "<|startoftext|>",
     "<|return|>",
     false,
     {{199998, "<|startoftext|>", 0, 0},
      {199999, "<|endoftext|>", 0, 0},
      {200000, "<|reserved_%u|>", 200000, 200002},
      {200002, "<|return|>", 0, 0},
      {200003, "<|constrain|>", 0, 0},
      {200004, "<|reserved_%u|>", 200004, 200005},
      {200005, "<|channel|>", 0, 0},
      {200006, "<|start|>", 0, 0},
      {200007, "<|end|>", 0, 0},
      {200008, "<|message|>", 0, 0},
      {200009, "<|reserved_%u|>", 200009, 200012},
      {200012, "<|call|>", 0, 0},
      {200013, "<|reserved_%u|>", 200013, 200018},
      {200018, "<|endofprompt|>", 0, 0},
      {200019, "<|reserved_%u|>", 200019, 201088},
      {0}}},
    {{"qwen", "qwen2", NULL},
     151643,
     "qwen2",
     NULL,
     "<|endoftext|>",
     false,
     {{151643, "<|endoftext|>", 0, 0},
      {151644, "<|im_start|>", 0, 0},
      {151645, "<|im_end|>", 0, 0},
      {151646, "<|extra_%u|>", 0, 205},
      {0}}},
    {{"llama3", NULL},
     128000,
     "llama-bpe",
     "<|begin_of_text|>",
     "<|end_of_text|>",
     true,
     {{128000, "<|begin_of_text|>", 0, 0},
      {128001, "<|end_of_text|>", 0, 0},
      {128002, "<|reserved_special_token_%u|>", 0, 2},
      {128004, "<|finetune_right_pad_id|>", 0, 0},
      {128005, "<|step_id|>", 0, 0},
      {128006, "<|start_header_id|>", 0, 0},
      {128007, "<|end_header_id|>", 0, 0},
      {128008, "<|eom_id|>", 0, 0},
      {128009, "<|eot_id|>", 0, 0},
      {128010, "<|python_tag|>", 0, 0},
      {128011, "<|reserved_special_token_%u|>", 2, 247},
      {0}}},
};
enum { N_FAMILIES = sizeof families / sizeof families[0] };

static const struct family *find_family(const char *name, size_t n_ranks)
{
    for (size_t i = 0; i < N_FAMILIES; i++)
        for (size_t k = 0; families[i].names[k]; k++)
            if (strcmp(families[i].names[k], name) == 0)
                return &families[i];
    for (size_t i = 0; i < N_FAMILIES; i++)
        if (families[i].n_ranks == n_ranks)
            return &families[i];
    return NULL;
}

static enum el_status unknown_family(const char *name, size_t n_ranks, struct el_err *err)
{
    struct el_buf list;
    el_buf_init(&list);
    for (size_t i = 0; i < N_FAMILIES; i++)
        el_buf_addf(&list, "%s%s", i ? ", " : "", families[i].names[0]);
    const enum el_status status = el_fail(err, EL_E_UNSUPPORTED,
                                          "'%.60s' with %zu ranks is of no known family, so that the pattern of its words is not "
                                          "known: give its tokenizer.json instead, or name the file after one of %s",
                                          name, n_ranks, list.data);
    el_buf_release(&list);
    return status;
}

/* ---- the file ---- */

/* "dGhl 42" */
static enum el_status read_line(struct el_ranks *r, const char *line, size_t nbytes, size_t number, struct el_err *err)
{
    const char *const space = memchr(line, ' ', nbytes);
    const size_t n_text = space ? (size_t)(space - line) : 0;
    uint64_t rank = 0;
    bool good = space && n_text + 1 < nbytes && nbytes - n_text - 1 <= 9;
    for (size_t i = n_text + 1; good && i < nbytes; i++) {
        good = line[i] >= '0' && line[i] <= '9';
        rank = 10 * rank + (uint64_t)(line[i] - '0');
    }
    if (!good)
        return el_fail(err, EL_E_FORMAT, "line %zu: must be base64, a space and a rank", number);
    const enum el_status status = el_ranks_add(r, line, n_text, rank, err);
    return status == EL_OK ? EL_OK : el_fail_prefix(err, status, "line %zu", number);
}

static enum el_status read_ranks(struct el_ranks *r, const char *data, size_t nbytes, struct el_err *err)
{
    size_t number = 0;
    for (size_t at = 0; at < nbytes;) {
        const char *const end = memchr(data + at, '\n', nbytes - at);
        size_t n = end ? (size_t)(end - data) - at : nbytes - at;
        const size_t next = at + n + (end != NULL);
        number++;
        if (n > 0 && data[at + n - 1] == '\r')
            n--;
        if (n > 0)
            EL_TRY(read_line(r, data + at, n, number, err));
        at = next;
    }
    return el_ranks_finish(r, err);
}

/* ---- tokenizer.json ---- */

/* The family's special tokens as members of a map from text to id, for el_import_write_added: texts lie in `text`. */
static enum el_status family_tokens(const struct family *f, struct el_buf *text, struct el_strmap *ids, const char ***list,
                                    struct el_err *err)
{
    size_t n = 0;
    for (const struct special *s = f->special; s->text; s++)
        n += s->to > s->from ? s->to - s->from : 1;
    size_t *const at = el_alloc_array(n + 1, sizeof *at);
    *list = el_calloc_array(n + 1, sizeof **list);
    bool ok = at && *list;
    size_t k = 0;
    for (const struct special *s = f->special; ok && s->text; s++) {
        for (uint32_t i = s->from; i < (s->to > s->from ? s->to : s->from + 1); i++) {
            at[k++] = text->nbytes;
            const char *const number = strstr(s->text, "%u");
            if (number)
                el_buf_addf(text, "%.*s%u%s", (int)(number - s->text), s->text, (unsigned)i, number + 2);
            else
                el_buf_add_str(text, s->text);
            el_buf_add_byte(text, 0);
        }
    }
    ok = ok && !text->failed;
    k = 0;
    for (const struct special *s = f->special; ok && s->text; s++) {
        for (int32_t i = 0; ok && i < (s->to > s->from ? (int32_t)(s->to - s->from) : 1); i++, k++) {
            (*list)[k] = text->data + at[k];
            ok = el_strmap_add(ids, (*list)[k], strlen((*list)[k]), s->first + i, NULL);
        }
    }
    el_free(at);
    return ok ? EL_OK : el_fail(err, EL_E_MEMORY, "out of memory for the special tokens");
}

static enum el_status write_json(struct el_import *im, const struct family *f, const struct el_ranks *r,
                                 const struct el_strmap *ids, const char *const *usual, struct el_buf *out)
{
    const struct el_pre_name *const pre = el_pre_by_name(f->pre);
    const char *const bos = f->add_bos && el_strmap_get(ids, f->bos, strlen(f->bos), -1) >= 0 ? f->bos : NULL;
    el_buf_add_str(out, "{\"version\": \"1.0\",\n");
    EL_TRY(el_import_write_added(im, ids, usual, out));
    el_ranks_write_rules(pre->patterns, bos, ids, out);
    return el_ranks_write_model(r, 0, pre->ignore_merges, out, im->err);
}

bool el_is_tiktoken(const uint8_t *data, size_t nbytes)
{
    size_t n = 0, digits = 0;
    while (n < nbytes && data[n] != ' ' && data[n] != '\n')
        n++;
    while (n + 1 + digits < nbytes && data[n] == ' ' && data[n + 1 + digits] >= '0' && data[n + 1 + digits] <= '9')
        digits++;
    if (n == 0 || digits == 0 || digits > 9)
        return false;
    const size_t end = n + 1 + digits;
    if (end < nbytes && data[end] != '\n' && data[end] != '\r')
        return false;
    struct el_buf bytes;
    el_buf_init(&bytes);
    const bool good = el_base64_decode((const char *)data, n, &bytes);
    el_buf_release(&bytes);
    return good;
}

enum el_status el_tokenizer_import_tiktoken(struct el_meta *meta, const char *name, const char *data, size_t nbytes,
                                            const struct el_tokenizer_texts *texts, uint32_t n_vocab, struct el_err *err)
{
    static const struct el_tokenizer_texts no_texts = {.config = NULL};
    texts = texts ? texts : &no_texts;
    struct el_import im;
    struct el_ranks r;
    struct el_strmap ids;
    struct el_buf json, special;
    const char **usual = NULL;
    el_ranks_init(&r);
    el_buf_init(&json);
    el_buf_init(&special);
    el_strmap_init(&ids);
    enum el_status status;
    EL_TRY_OUT(el_import_open(&im, meta, texts, err));
    im.byte_level = true;
    EL_TRY_OUT(read_ranks(&r, data, nbytes, err));
    const struct family *const f = find_family(name, r.n);
    if (!f)
        EL_TRY_OUT(unknown_family(name, r.n, err));
    struct family tokens = *f;
    const bool whole = f->n_ranks == r.n || (f->n_ranks == 0 && (size_t)f->special[0].first == r.n);
    if (!whole || el_json_get(im.config, "added_tokens_decoder"))
        tokens.special[0].text = NULL; /* what the table says of another vocabulary is not this one's */
    EL_TRY_OUT(family_tokens(&tokens, &special, &ids, &usual, err));
    EL_TRY_OUT(write_json(&im, f, &r, &ids, usual, &json));
    EL_TRY_OUT(el_tokenizer_import_hf(meta, json.data, json.nbytes, texts->config, texts->config_nbytes, texts->generation,
                                      texts->generation_nbytes, n_vocab, err));
    EL_TRY_OUT(el_import_set_usual(meta, "tokenizer.ggml.bos_token_id", f->bos, &ids, err));
    status = el_import_set_usual(meta, "tokenizer.ggml.eos_token_id", f->eos, &ids, err);
out:
    el_free(usual);
    el_ranks_release(&r);
    el_buf_release(&json);
    el_buf_release(&special);
    el_strmap_release(&ids);
    el_import_close(&im);
    return status;
}
