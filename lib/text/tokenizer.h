/*
 * Tokenizers, inside. Byte-level BPE and SentencePiece BPE are one machine (text/tokenizer_impl.h); tables come from
 * model/tokenizer_bpe.c (merge lists) and model/tokenizer_spm.c (scores), the rules around them from text/tokenizer.hf.c
 * (tokenizer.json) or, where a file has none, from model/tokenizer.c. Read from canonical metadata only:
 * tokenizer.huggingface.json when present (patterns, normalizer, added tokens, post-processor, decoder), else tokenizer.ggml.*.
 */
#ifndef EL_MODEL_TOKENIZER_H
#define EL_MODEL_TOKENIZER_H

#include "base/buf.h"
#include "base/err.h"
#include "tensor/meta.h"

/* From metadata alone (el_tokenizer_open is this on a source's metadata). */
enum el_status el_tokenizer_from_meta(const struct el_meta *meta, struct el_tokenizer **tok, struct el_err *err);

/*
 * Hugging Face -> metadata: keeps tokenizer.json whole in tokenizer.huggingface.json and derives tokenizer.ggml.model, .pre,
 * .tokens, .scores, .token_type, .merges, .bos_token_id, .eos_token_id, .add_bos_token, .add_eos_token ...,
 * tokenizer.chat_template, so that other programs run the file. config texts may be NULL. `n_vocab` from config.json: shorter
 * token lists are padded with [PADn] unused tokens.
 */
enum el_status el_tokenizer_import_hf(struct el_meta *meta, const char *tokenizer_json, size_t json_nbytes,
                                      const char *tokenizer_config, size_t config_nbytes, const char *generation_config,
                                      size_t generation_nbytes, uint32_t n_vocab, struct el_err *err);
/* The small JSON files that stand beside a tokenizer; NULL: not there. */
struct el_tokenizer_texts {
    const char *config, *generation, *added; /* tokenizer_config.json, generation_config.json, added_tokens.json */
    size_t config_nbytes, generation_nbytes, added_nbytes;
};
/*
 * SentencePiece's tokenizer.model (unigram or BPE) -> metadata: tokenizer.ggml.model "t5" or "llama". EL_E_UNSUPPORTED: word and
 * character models.
 */
enum el_status el_tokenizer_import_sentencepiece(struct el_meta *meta, const uint8_t *data, size_t nbytes,
                                                 const struct el_tokenizer_texts *texts, uint32_t n_vocab, struct el_err *err);
/* Do data begin like such a file? They may be its start only. */
bool el_is_sentencepiece(const uint8_t *data, size_t nbytes);
/*
 * The following are written as a tokenizer.json, which is kept in tokenizer.huggingface.json, and imported as such.
 *
 * vocab.txt of BERT: one token a line. do_lower_case, strip_accents and tokenize_chinese_chars of tokenizer_config.json count.
 */
enum el_status el_tokenizer_import_vocab_txt(struct el_meta *meta, const char *vocab, size_t nbytes,
                                             const struct el_tokenizer_texts *texts, uint32_t n_vocab, struct el_err *err);
/* vocab.json and merges.txt of GPT-2 and OPT. */
enum el_status el_tokenizer_import_vocab_json(struct el_meta *meta, const char *vocab, size_t nbytes, const char *merges,
                                              size_t merges_nbytes, const struct el_tokenizer_texts *texts, uint32_t n_vocab,
                                              struct el_err *err);
/*
 * A file of tiktoken: a token in base64 and its rank on each line. The pattern, and special tokens that the configuration does
 * not name, come from a table, by the name of the file without its ending ("cl100k_base") or else by the number of ranks.
 * EL_E_UNSUPPORTED: not in the table.
 */
enum el_status el_tokenizer_import_tiktoken(struct el_meta *meta, const char *name, const char *data, size_t nbytes,
                                            const struct el_tokenizer_texts *texts, uint32_t n_vocab, struct el_err *err);
/* Do data, or their start, begin with such a line? */
bool el_is_tiktoken(const uint8_t *data, size_t nbytes);
/*
 * Mistral's tekken.json: ranks as in a file of tiktoken, with the pattern and the special tokens. A text begins with <s> where
 * BOS is asked for.
 */
enum el_status el_tokenizer_import_tekken(struct el_meta *meta, const char *data, size_t nbytes,
                                          const struct el_tokenizer_texts *texts, uint32_t n_vocab, struct el_err *err);
/* Is a JSON text such a file, and no tokenizer.json? */
bool el_is_tekken(const char *data, size_t nbytes);
/* llama2.c's tokenizer.bin -> metadata. */
enum el_status el_tokenizer_import_llama2c(struct el_meta *meta, const uint8_t *data, size_t nbytes, uint32_t n_vocab,
                                           struct el_err *err);
/* metadata -> tokenizer.json and tokenizer_config.json (the kept JSON byte for byte, else made from tokenizer.ggml.*). */
enum el_status el_tokenizer_export_hf(const struct el_meta *meta, struct el_buf *tokenizer_json, struct el_buf *tokenizer_config,
                                      struct el_err *err);

/* Appends the bytes that a token adds to a text within it; nothing for control tokens. They need not be whole characters. */
void el_tok_add_text(const struct el_tokenizer *tok, int32_t id, struct el_buf *out);
/* Do the bytes depend on what comes before, as a space between any two tokens does? */
bool el_tok_joins_by_spaces(const struct el_tokenizer *tok);
/* Spaces that decoding takes off the start of a text. */
uint32_t el_tok_stripped_spaces(const struct el_tokenizer *tok);

#endif
