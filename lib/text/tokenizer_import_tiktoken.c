/*
 * Files of tiktoken: lines of a token in base64 and its rank. There is no list of merges: any two neighbours whose bytes together
 * are a token merge, the lowest rank first. Written out, that is a merge for every way to split a token in two tokens, ordered by
 * rank, and then by the ranks of the two parts. The pattern that cuts the words is not in the file; the table below has it by
 * name, as the programs do that use these files.
 */
#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "text/tokenizer_import.h"

/* The squares of the lengths of all tokens: looking up every split costs that much. */
#define MAX_WORK ((uint64_t)1 << 30)

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

struct ranks {
    struct el_buf bytes; /* of all tokens */
    struct token {
        size_t at;
        uint32_t nbytes, rank;
    } * list; /* in the order of the file, then of the ranks */
    size_t n, cap;
    struct el_strmap by_bytes; /* -> index in list, once sorted */
};

/* "dGhl 42" */
static enum el_status read_line(struct ranks *r, const char *line, size_t nbytes, size_t number, struct el_err *err)
{
    const char *const space = memchr(line, ' ', nbytes);
    const size_t n_text = space ? (size_t)(space - line) : 0, before = r->bytes.nbytes;
    uint64_t rank = 0;
    bool good = space && n_text + 1 < nbytes && nbytes - n_text - 1 <= 9;
    for (size_t i = n_text + 1; good && i < nbytes; i++) {
        good = line[i] >= '0' && line[i] <= '9';
        rank = 10 * rank + (uint64_t)(line[i] - '0');
    }
    if (good)
        good = el_base64_decode(line, n_text, &r->bytes);
    if (r->bytes.failed)
        return el_fail(err, EL_E_MEMORY, "out of memory for %zu ranks", r->n);
    if (!good || r->bytes.nbytes == before)
        return el_fail(err, EL_E_FORMAT, "line %zu: must be base64, a space and a rank", number);
    if (rank >= EL_MAX_VOCAB || r->bytes.nbytes - before > EL_MAX_PIECE / 2)
        return el_fail(err, EL_E_FORMAT, "line %zu: rank %llu of %zu bytes, allowed are ranks below %d and %d bytes", number,
                       (unsigned long long)rank, r->bytes.nbytes - before, (int)EL_MAX_VOCAB, EL_MAX_PIECE / 2);
    if (r->n == r->cap) {
        r->cap = r->cap ? 2 * r->cap : 4096;
        struct token *const more = el_realloc_array(r->list, r->cap, sizeof *more);
        if (!more)
            return el_fail(err, EL_E_MEMORY, "out of memory for %zu ranks", r->n);
        r->list = more;
    }
    r->list[r->n++] = (struct token){before, (uint32_t)(r->bytes.nbytes - before), (uint32_t)rank};
    return EL_OK;
}

static int by_rank(const void *pa, const void *pb)
{
    const struct token *const a = pa, *const b = pb;
    return a->rank < b->rank ? -1 : a->rank > b->rank;
}

static enum el_status read_ranks(struct ranks *r, const char *data, size_t nbytes, struct el_err *err)
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
    if (r->n == 0)
        return el_fail(err, EL_E_FORMAT, "there are no ranks");
    if (r->bytes.failed)
        return el_fail(err, EL_E_MEMORY, "out of memory for %zu ranks", r->n);
    qsort(r->list, r->n, sizeof *r->list, by_rank);
    uint64_t work = 0;
    for (size_t i = 0; i < r->n; i++) {
        const struct token *const t = &r->list[i];
        bool existed = false;
        work += (uint64_t)t->nbytes * t->nbytes;
        if (i > 0 && t->rank == r->list[i - 1].rank)
            return el_fail(err, EL_E_FORMAT, "rank %u is there twice", (unsigned)t->rank);
        if (!el_strmap_add(&r->by_bytes, r->bytes.data + t->at, t->nbytes, (int64_t)i, &existed))
            return el_fail(err, EL_E_MEMORY, "out of memory for %zu ranks", r->n);
        if (existed)
            return el_fail(err, EL_E_FORMAT, "ranks %u and %u are the same token",
                           (unsigned)r->list[el_strmap_get(&r->by_bytes, r->bytes.data + t->at, t->nbytes, 0)].rank,
                           (unsigned)t->rank);
    }
    if (work > MAX_WORK)
        return el_fail(err, EL_E_UNSUPPORTED, "the squares of the tokens' lengths add up to %llu, at most %llu",
                       (unsigned long long)work, (unsigned long long)MAX_WORK);
    return EL_OK;
}

/* ---- tokenizer.json ---- */

/* Bytes in GPT-2's alphabet, which needs no escapes in JSON but for the quote and the backslash. */
static void add_bytes(struct el_buf *out, const char *bytes, size_t nbytes)
{
    for (size_t i = 0; i < nbytes; i++) {
        char text[4];
        if (bytes[i] == '"' || bytes[i] == '\\')
            el_buf_add_byte(out, '\\');
        el_buf_add(out, text, el_utf8_encode(el_byte_cp((uint8_t)bytes[i]), text));
    }
}

struct split {
    uint32_t left, right; /* indices in the list: in the order of the ranks */
    uint32_t n_left;
};

static int by_parts(const void *pa, const void *pb)
{
    const struct split *const a = pa, *const b = pb;
    if (a->left != b->left)
        return a->left < b->left ? -1 : 1;
    return a->right < b->right ? -1 : a->right > b->right;
}

static enum el_status write_merges(const struct ranks *r, struct el_buf *out, struct el_err *err)
{
    struct split *const splits = el_alloc_array(EL_MAX_PIECE, sizeof *splits);
    if (!splits)
        return el_fail(err, EL_E_MEMORY, "out of memory for the merges");
    bool any = false;
    el_buf_add_str(out, "\"merges\": [");
    for (size_t i = 0; i < r->n && !out->failed; i++) {
        const struct token *const t = &r->list[i];
        const char *const bytes = r->bytes.data + t->at;
        size_t n = 0;
        for (uint32_t k = 1; k < t->nbytes; k++) {
            const int64_t left = el_strmap_get(&r->by_bytes, bytes, k, -1);
            const int64_t right = left < 0 ? -1 : el_strmap_get(&r->by_bytes, bytes + k, t->nbytes - k, -1);
            if (right >= 0)
                splits[n++] = (struct split){(uint32_t)left, (uint32_t)right, k};
        }
        if (n > 1)
            qsort(splits, n, sizeof *splits, by_parts);
        for (size_t k = 0; k < n; k++) {
            el_buf_add_str(out, any ? ",\n\"" : "\n\"");
            add_bytes(out, bytes, splits[k].n_left);
            el_buf_add_byte(out, ' ');
            add_bytes(out, bytes + splits[k].n_left, t->nbytes - splits[k].n_left);
            el_buf_add_byte(out, '"');
            any = true;
        }
    }
    el_buf_add_str(out, "\n]");
    el_free(splits);
    return EL_OK;
}

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

static void write_rules(const struct family *f, const struct el_pre_name *pre, const struct el_strmap *ids, struct el_buf *out)
{
    el_buf_add_str(out, "\"pre_tokenizer\": {\"type\": \"Sequence\", \"pretokenizers\": [");
    for (size_t i = 0; pre->patterns[i]; i++) {
        el_buf_add_str(out, "{\"type\": \"Split\", \"pattern\": {\"Regex\": ");
        el_buf_add_json_str(out, pre->patterns[i], strlen(pre->patterns[i]));
        el_buf_add_str(out, "}, \"behavior\": \"Isolated\", \"invert\": false},\n");
    }
    el_buf_add_str(out,
                   "{\"type\": \"ByteLevel\", \"add_prefix_space\": false, \"trim_offsets\": true, \"use_regex\": false}]},\n"
                   "\"decoder\": {\"type\": \"ByteLevel\", \"add_prefix_space\": true, \"trim_offsets\": true, "
                   "\"use_regex\": true},\n");
    const int64_t bos = f->add_bos ? el_strmap_get(ids, f->bos, strlen(f->bos), -1) : -1;
    if (bos < 0)
        return;
    el_buf_addf(
        out,
        "\"post_processor\": {\"type\": \"TemplateProcessing\", \"single\": [{\"SpecialToken\": {\"id\": \"%s\", "
        "\"type_id\": 0}}, {\"Sequence\": {\"id\": \"A\", \"type_id\": 0}}], \"pair\": [{\"SpecialToken\": {\"id\": \"%s\", "
        "\"type_id\": 0}}, {\"Sequence\": {\"id\": \"A\", \"type_id\": 0}}, {\"Sequence\": {\"id\": \"B\", \"type_id\": 1}}], "
        "\"special_tokens\": {\"%s\": {\"id\": \"%s\", \"ids\": [%lld], \"tokens\": [\"%s\"]}}},\n",
        f->bos, f->bos, f->bos, f->bos, (long long)bos, f->bos);
}

static enum el_status write_json(struct el_import *im, const struct family *f, const struct ranks *r, const struct el_strmap *ids,
                                 const char *const *usual, struct el_buf *out)
{
    const struct el_pre_name *const pre = el_pre_by_name(f->pre);
    el_buf_add_str(out, "{\"version\": \"1.0\",\n");
    EL_TRY(el_import_write_added(im, ids, usual, out));
    write_rules(f, pre, ids, out);
    el_buf_addf(out, "\"model\": {\"type\": \"BPE\", \"ignore_merges\": %s, \"vocab\": {", pre->ignore_merges ? "true" : "false");
    for (size_t i = 0; i < r->n; i++) {
        el_buf_add_str(out, i ? ",\n\"" : "\n\"");
        add_bytes(out, r->bytes.data + r->list[i].at, r->list[i].nbytes);
        el_buf_addf(out, "\": %u", (unsigned)r->list[i].rank);
    }
    el_buf_add_str(out, "\n},\n");
    EL_TRY(write_merges(r, out, im->err));
    el_buf_add_str(out, "}}\n");
    return out->failed ? el_fail(im->err, EL_E_MEMORY, "out of memory for %zu ranks", r->n) : EL_OK;
}

/* BOS and EOS of the family, where the configuration names none. */
static enum el_status set_usual(struct el_meta *meta, const char *key, const char *text, const struct el_strmap *ids,
                                struct el_err *err)
{
    const int64_t id = text ? el_strmap_get(ids, text, strlen(text), -1) : -1;
    return id >= 0 && el_meta_find(meta, key) == SIZE_MAX ? el_meta_set_u32(meta, key, (uint32_t)id, err) : EL_OK;
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
    struct ranks r = {.n = 0};
    struct el_strmap ids;
    struct el_buf json, special;
    const char **usual = NULL;
    el_buf_init(&r.bytes);
    el_buf_init(&json);
    el_buf_init(&special);
    el_strmap_init(&r.by_bytes);
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
    EL_TRY_OUT(set_usual(meta, "tokenizer.ggml.bos_token_id", f->bos, &ids, err));
    status = set_usual(meta, "tokenizer.ggml.eos_token_id", f->eos, &ids, err);
out:
    el_free(usual);
    el_free(r.list);
    el_buf_release(&r.bytes);
    el_buf_release(&json);
    el_buf_release(&special);
    el_strmap_release(&r.by_bytes);
    el_strmap_release(&ids);
    el_import_close(&im);
    return status;
}
