/*
 * What a perplexity is a mean over: windows of token ids, and which of their tokens are scored. Every window is run from an empty
 * context. Pure functions; a protocol is nothing but a list of windows.
 */
#ifndef CMD_EVAL_WINDOWS_H
#define CMD_EVAL_WINDOWS_H

#include "edgellm.h"

struct eval_window {
    const int32_t *ids; /* [n], borrowed */
    uint32_t n;
    int32_t first_id;      /* stands at position 0: BOS in place of ids[0], or ids[0] itself */
    uint32_t first_scored; /* tokens [first_scored, n) are scored; 1 <= first_scored */
};

struct eval_windows {
    struct eval_window *w;
    size_t n;
    int32_t *owned_ids; /* of documents; NULL else */
};

enum eval_protocol { EVAL_LLAMA_CPP, EVAL_GPTQ, EVAL_DOCUMENTS };
const char *eval_protocol_name(enum eval_protocol p);
/* The protocol's usual context: 512, 2048, 512. */
uint32_t eval_protocol_ctx(enum eval_protocol p);

/*
 * llama.cpp: windows of n_ctx ids without overlap, the last part dropped; bos >= 0 replaces the first id of each; scored are the
 * ids at positions n_ctx / 2 + 1 and up, those predicted from the second half. gptq: the same windows, bos unused, every id but
 * the first scored. max_windows 0: all.
 */
void eval_windows_fixed(struct eval_windows *out, enum eval_protocol p, const int32_t *ids, size_t n_ids, uint32_t n_ctx,
                        int32_t bos, size_t max_windows);

/*
 * documents: each document is BOS and its ids, cut to n_ctx ids; every id but BOS is scored. doc_ids[i] [doc_n[i]] are without
 * BOS. max_scored 0: no limit, else the list ends after so many scored ids. Documents without ids are left out.
 */
void eval_windows_documents(struct eval_windows *out, int32_t *const *doc_ids, const size_t *doc_n, size_t n_docs, int32_t bos,
                            uint32_t n_ctx, size_t max_scored);
void eval_windows_free(struct eval_windows *w);

/* Number of scored ids. */
uint64_t eval_windows_n_scored(const struct eval_windows *w);
/* Longest window. */
uint32_t eval_windows_longest(const struct eval_windows *w);

/*
 * The pieces of text between occurrences of separator, without white space at both ends; empty ones are left out. Pieces point
 * into text; *starts and *lens are malloc'ed. Returns their number.
 */
size_t eval_split_documents(const char *text, size_t nbytes, const char *separator, const char ***starts, size_t **lens);
/* The same stripping for one string. */
void eval_strip(const char **s, size_t *nbytes);

#endif
