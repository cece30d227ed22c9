/*
 * Vocabularies of tiktoken, in whatever file: tokens and their ranks. There is no list of merges: any two neighbours whose bytes
 * together are a token merge, the lowest rank first. Written out, that is a merge for every way to split a token in two tokens,
 * ordered by rank, and then by the ranks of the two parts.
 */
#ifndef EL_TEXT_TOKENIZER_RANKS_H
#define EL_TEXT_TOKENIZER_RANKS_H

#include "base/buf.h"
#include "base/strmap.h"

struct el_ranks {
    struct el_buf bytes; /* of all tokens */
    struct el_rank {
        size_t at;
        uint32_t nbytes, rank;
    } * list; /* in the order of the file, once finished of the ranks */
    size_t n, cap;
    struct el_strmap by_bytes; /* -> index in list, once finished */
};
void el_ranks_init(struct el_ranks *r);
void el_ranks_release(struct el_ranks *r);
/* One more token, in base64. EL_E_FORMAT says what it must be, and not where it stands. */
enum el_status el_ranks_add(struct el_ranks *r, const char *base64, size_t nbytes, uint64_t rank, struct el_err *err);
/* Sorts them. EL_E_FORMAT: a rank or a token that is there twice, or none; EL_E_UNSUPPORTED: too much work to find the merges. */
enum el_status el_ranks_finish(struct el_ranks *r, struct el_err *err);

/* What follows are members of a tokenizer.json that is being written, each with its comma and newline but the last. */
/* "pre_tokenizer" of patterns ended by NULL, "decoder", and "post_processor" where a text begins with the token bos. */
void el_ranks_write_rules(const char *const *patterns, const char *bos, const struct el_strmap *ids, struct el_buf *out);
/* "model", and the end of the file; the id of a token is its rank and first_id. */
enum el_status el_ranks_write_model(const struct el_ranks *r, uint32_t first_id, bool ignore_merges, struct el_buf *out,
                                    struct el_err *err);

#endif
