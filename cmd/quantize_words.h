/* The words of quantize: IN [OUT] TYPE [THREADS], as people type them for llama-quantize. */
#ifndef CMD_QUANTIZE_WORDS_H
#define CMD_QUANTIZE_WORDS_H

#include "cmd/command.h"

struct quantize_words {
    const char *in, *type;
    const char *out;    /* NULL: not given */
    uint64_t n_threads; /* UINT64_MAX: not given */
};

/*
 * Reads 1 to 4 words. planned: the types come from a plan or a target, and the words are IN [OUT] [THREADS]; type is "" then.
 * Else of 2 to 4, of three IN TYPE THREADS is meant when the second names a type and the last is digits, else IN OUT TYPE
 * (where TYPE may be one of llama.cpp's numbers). An OUT that begins with a digit is a file name like any other. EL_E_USAGE.
 */
enum el_status quantize_words_read(struct words words, bool planned, struct quantize_words *q, struct el_err *err);

/* malloc'ed name ggml-model-TYPE.gguf beside the file `in`, or within the folder `in`. */
char *quantize_default_out(const char *in, bool in_is_folder, const char *type);

#endif
