/* Vocabularies of tiktoken; see tokenizer_ranks.h. */
#include "text/tokenizer_ranks.h"

#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "base/err.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "text/tokenizer_impl.h"

/* The squares of the lengths of all tokens: looking up every split costs that much. 200,000 words of 10 bytes come to 2e7. */
#define MAX_WORK ((uint64_t)1 << 28)
/* Bytes of the merges for each byte of the tokens, beside MIN_MERGES: two splits of a token are usual, a run has thousands. */
enum { MAX_MERGES_PER_BYTE = 32, MIN_MERGES = 4 << 20 };

void el_ranks_init(struct el_ranks *r)
{
    memset(r, 0, sizeof *r);
    el_buf_init(&r->bytes);
    el_strmap_init(&r->by_bytes);
}

void el_ranks_release(struct el_ranks *r)
{
    el_free(r->list);
    el_buf_release(&r->bytes);
    el_strmap_release(&r->by_bytes);
}

enum el_status el_ranks_add(struct el_ranks *r, const char *base64, size_t nbytes, uint64_t rank, struct el_err *err)
{
    const size_t before = r->bytes.nbytes;
    const bool good = el_base64_decode(base64, nbytes, &r->bytes);
    if (r->bytes.failed)
        return el_fail(err, EL_E_MEMORY, "out of memory for %zu ranks", r->n);
    if (!good || r->bytes.nbytes == before)
        return el_fail(err, EL_E_FORMAT, "must be base64 of one byte or more");
    if (rank >= EL_MAX_VOCAB || r->bytes.nbytes - before > EL_MAX_PIECE / 2)
        return el_fail(err, EL_E_FORMAT, "rank %llu of %zu bytes, allowed are ranks below %d and %d bytes",
                       (unsigned long long)rank, r->bytes.nbytes - before, (int)EL_MAX_VOCAB, EL_MAX_PIECE / 2);
    if (r->n == r->cap) {
        r->cap = r->cap ? 2 * r->cap : 4096;
        struct el_rank *const more = el_realloc_array(r->list, r->cap, sizeof *more);
        if (!more)
            return el_fail(err, EL_E_MEMORY, "out of memory for %zu ranks", r->n);
        r->list = more;
    }
    r->list[r->n++] = (struct el_rank){before, (uint32_t)(r->bytes.nbytes - before), (uint32_t)rank};
    return EL_OK;
}

static int by_rank(const void *pa, const void *pb)
{
    const struct el_rank *const a = pa, *const b = pb;
    return a->rank < b->rank ? -1 : a->rank > b->rank;
}

enum el_status el_ranks_finish(struct el_ranks *r, struct el_err *err)
{
    if (r->n == 0)
        return el_fail(err, EL_E_FORMAT, "there are no ranks");
    if (r->bytes.failed)
        return el_fail(err, EL_E_MEMORY, "out of memory for %zu ranks", r->n);
    qsort(r->list, r->n, sizeof *r->list, by_rank);
    uint64_t work = 0;
    for (size_t i = 0; i < r->n; i++) {
        const struct el_rank *const t = &r->list[i];
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

static enum el_status write_merges(const struct el_ranks *r, struct el_buf *out, struct el_err *err)
{
    struct split *const splits = el_alloc_array(EL_MAX_PIECE, sizeof *splits);
    if (!splits)
        return el_fail(err, EL_E_MEMORY, "out of memory for the merges");
    bool any = false;
    enum el_status status = EL_OK;
    const size_t most = out->nbytes + MAX_MERGES_PER_BYTE * r->bytes.nbytes + MIN_MERGES; /* the tokens are at most EL_MAX_JSON */
    el_buf_add_str(out, "\"merges\": [");
    for (size_t i = 0; i < r->n && !out->failed && status == EL_OK; i++) {
        if (out->nbytes > most)
            status = el_fail(err, EL_E_UNSUPPORTED,
                             "the merges that tokens of %zu bytes come to are more than %d bytes for each of these: "
                             "its tokens can be split in too many ways",
                             r->bytes.nbytes, (int)MAX_MERGES_PER_BYTE);
        const struct el_rank *const t = &r->list[i];
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
    return status;
}

void el_ranks_write_rules(const char *const *patterns, const char *bos, const struct el_strmap *ids, struct el_buf *out)
{
    el_buf_add_str(out, "\"pre_tokenizer\": {\"type\": \"Sequence\", \"pretokenizers\": [");
    for (size_t i = 0; patterns[i]; i++) {
        el_buf_add_str(out, "{\"type\": \"Split\", \"pattern\": {\"Regex\": ");
        el_buf_add_json_str(out, patterns[i], strlen(patterns[i]));
        el_buf_add_str(out, "}, \"behavior\": \"Isolated\", \"invert\": false},\n");
    }
    el_buf_add_str(out,
                   "{\"type\": \"ByteLevel\", \"add_prefix_space\": false, \"trim_offsets\": true, \"use_regex\": false}]},\n"
                   "\"decoder\": {\"type\": \"ByteLevel\", \"add_prefix_space\": true, \"trim_offsets\": true, "
                   "\"use_regex\": true},\n");
    if (!bos)
        return;
    const int64_t id = el_strmap_get(ids, bos, strlen(bos), 0);
    el_buf_addf(
        out,
        "\"post_processor\": {\"type\": \"TemplateProcessing\", \"single\": [{\"SpecialToken\": {\"id\": \"%s\", "
        "\"type_id\": 0}}, {\"Sequence\": {\"id\": \"A\", \"type_id\": 0}}], \"pair\": [{\"SpecialToken\": {\"id\": \"%s\", "
        "\"type_id\": 0}}, {\"Sequence\": {\"id\": \"A\", \"type_id\": 0}}, {\"Sequence\": {\"id\": \"B\", \"type_id\": 1}}], "
        "\"special_tokens\": {\"%s\": {\"id\": \"%s\", \"ids\": [%lld], \"tokens\": [\"%s\"]}}},\n",
        bos, bos, bos, bos, (long long)id, bos);
}

enum el_status el_ranks_write_model(const struct el_ranks *r, uint32_t first_id, bool ignore_merges, struct el_buf *out,
                                    struct el_err *err)
{
    el_buf_addf(out, "\"model\": {\"type\": \"BPE\", \"ignore_merges\": %s, \"vocab\": {", ignore_merges ? "true" : "false");
    for (size_t i = 0; i < r->n; i++) {
        el_buf_add_str(out, i ? ",\n\"" : "\n\"");
        add_bytes(out, r->bytes.data + r->list[i].at, r->list[i].nbytes);
        el_buf_addf(out, "\": %u", (unsigned)(first_id + r->list[i].rank));
    }
    el_buf_add_str(out, "\n},\n");
    EL_TRY(write_merges(r, out, err));
    el_buf_add_str(out, "}}\n");
    return out->failed ? el_fail(err, EL_E_MEMORY, "out of memory for %zu ranks", r->n) : EL_OK;
}
