/* What the importers tokenizer_import*.c share: a vocabulary on its way into metadata and the small files beside it. */
#ifndef EL_MODEL_TOKENIZER_IMPORT_H
#define EL_MODEL_TOKENIZER_IMPORT_H

#include "base/json.h"
#include "text/tokenizer_impl.h"
#include "text/tokenizer_vocab.h"

struct el_import {
    struct el_meta *meta;
    struct el_json_doc *config_doc, *generation_doc, *added_doc;
    const struct el_json *config, *generation, *added; /* tokenizer_config.json and the like; NULL: not there */
    const struct el_json *root, *model;                /* of a tokenizer.json, else NULL */
    enum el_machine machine;
    bool byte_level;
    struct el_vocab v;
    const char **merges; /* "a b", texts borrowed or kept in v; owned */
    size_t n_merges;
    int64_t bos, eos, unk, pad; /* what the tokenizer itself says, -1: nothing; the config files go before */
    struct el_err *err;
};
/* Parses the texts (NULL: none). el_import_close in any case. */
enum el_status el_import_open(struct el_import *im, struct el_meta *meta, const struct el_tokenizer_texts *texts,
                              struct el_err *err);
void el_import_close(struct el_import *im);
/* added_tokens.json and added_tokens_decoder of tokenizer_config.json, for tokenizers that do not hold their added tokens. */
enum el_status el_import_config_tokens(struct el_import *im);
/*
 * Ids of the special tokens, the ids that end generation, and whether BOS and EOS are added. The last only where a
 * tokenizer.json or tokenizer_config.json says so.
 */
enum el_status el_import_special(struct el_import *im);
/*
 * "added_tokens": [...],\n of a tokenizer.json: the tokens of added_tokens.json, of added_tokens_decoder, and those that
 * tokenizer_config.json or `usual` (ended by NULL) name as special and `ids` knows.
 */
enum el_status el_import_write_added(struct el_import *im, const struct el_strmap *ids, const char *const *usual,
                                     struct el_buf *out);
/* The id of a special token under a key of the metadata that has none yet; text NULL, or not in ids: nothing. */
enum el_status el_import_set_usual(struct el_meta *meta, const char *key, const char *text, const struct el_strmap *ids,
                                   struct el_err *err);
/* tokenizer.chat_template from tokenizer_config.json. */
enum el_status el_import_template(struct el_import *im);

#endif
