/* A vocabulary on its way into metadata, shared by the importers tokenizer_import*.c. */
#ifndef EL_MODEL_TOKENIZER_VOCAB_H
#define EL_MODEL_TOKENIZER_VOCAB_H

#include "base/strmap.h"
#include "tensor/meta.h"

struct el_vocab {
    const char **text; /* [n], borrowed or in `made`; NULL: no token has this id */
    size_t *nbytes;
    int32_t *type; /* enum el_piece_type */
    float *score;
    size_t n, cap;
    struct el_strmap ids; /* text as it was set -> id */
    char **made;          /* texts that had to be made; owned */
    size_t n_made, cap_made;
};
void el_vocab_init(struct el_vocab *v);
void el_vocab_release(struct el_vocab *v);
/* Gives an id its text, which must outlive v. EL_E_FORMAT: id or length out of range, or the id has a text already. */
enum el_status el_vocab_set(struct el_vocab *v, int64_t id, const char *text, size_t nbytes, struct el_err *err);
/* Keeps a text that had to be made (el_alloc memory) until v is released. Takes it over; NULL when out of memory. */
const char *el_vocab_keep(struct el_vocab *v, char *text);
/* Ids that no token has, and those up to n_vocab (0: none), become unused tokens [PADn]. EL_E_FORMAT: more than n_vocab. */
enum el_status el_vocab_pad(struct el_vocab *v, uint32_t n_vocab, struct el_err *err);
/* Sets tokenizer.ggml.model, .pre, .tokens, .token_type and, if asked for, .scores. */
enum el_status el_vocab_write(struct el_meta *meta, const struct el_vocab *v, const char *model, const char *pre, bool scores,
                              struct el_err *err);
/* text with real spaces for U+2581, as tokenizer.ggml.tokens has user-defined tokens; kept in v. NULL: out of memory. */
const char *el_vocab_with_spaces(struct el_vocab *v, const char *text);

#endif
