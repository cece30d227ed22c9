/*
 * Tokenizers, inside. Byte-level BPE and SentencePiece BPE are one machine (model/tokenizer_impl.h); tables come from
 * model/tokenizer_bpe.c (merge lists) and model/tokenizer_spm.c (scores), the rules around them from model/tokenizer_hf.c
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
/* llama2.c's tokenizer.bin -> metadata. */
enum el_status el_tokenizer_import_llama2c(struct el_meta *meta, const uint8_t *data, size_t nbytes, uint32_t n_vocab,
                                           struct el_err *err);
/* metadata -> tokenizer.json and tokenizer_config.json (the kept JSON byte for byte, else made from tokenizer.ggml.*). */
enum el_status el_tokenizer_export_hf(const struct el_meta *meta, struct el_buf *tokenizer_json, struct el_buf *tokenizer_config,
                                      struct el_err *err);

#endif
