/*
 * Pre-tokenizers: a list of steps that cut a text into words, each step working on what the ones before left. The steps are those
 * of Hugging Face's tokenizer.json; the pre-tokenizers that GGUF knows by name (tokenizer.ggml.pre) are lists of patterns, in
 * tokenizer_pre.def.
 */
#ifndef EL_MODEL_TOKENIZER_PRE_H
#define EL_MODEL_TOKENIZER_PRE_H

#include "base/buf.h"
#include "base/err.h"
#include "text/regex.h"

/* What a split does with the matches of its pattern. */
enum el_split { EL_SPLIT_ISOLATED, EL_SPLIT_REMOVED, EL_SPLIT_WITH_PREVIOUS, EL_SPLIT_WITH_NEXT, EL_SPLIT_CONTIGUOUS };

enum el_pre_kind {
    EL_PS_REGEX,     /* split by re */
    EL_PS_LITERAL,   /* split by text */
    EL_PS_PREFIX,    /* put `text` in front of a piece that does not start with it */
    EL_PS_METASPACE, /* replace spaces by text, put text in front */
    EL_PS_BYTE_MAP,  /* write the piece in GPT-2's byte alphabet, for the steps behind */
};
struct el_pre_step {
    enum el_pre_kind kind;
    enum el_split split;
    bool invert; /* what is between the matches counts as match */
    struct el_regex *re;
    char *pattern; /* of re; owned */
    char *text;    /* owned */
    size_t n_text;
    bool first_only, always; /* METASPACE: put text in front of the first piece of the text, or of every piece */
};
struct el_pre {
    struct el_pre_step steps[64];
    size_t n;
    bool mapped; /* words come out in the byte alphabet */
};
void el_pre_release(struct el_pre *pre);
/* Appends a split by pattern. Errors of el_regex_open; EL_E_UNSUPPORTED: too many steps. */
enum el_status el_pre_add_regex(struct el_pre *pre, const char *pattern, enum el_split split, bool invert, struct el_err *err);
/* Appends a step of another kind, with a copy of text (may be NULL). */
enum el_status el_pre_add(struct el_pre *pre, enum el_pre_kind kind, const char *text, enum el_split split, struct el_err *err);

/* One character of category P or ASCII punctuation. */
#define EL_PUNCTUATION "[\\p{P}$+<=>^~|`]"

/* GPT-2's pattern, which ByteLevel uses when use_regex is set. */
extern const char el_pre_gpt2[];

/* One line of tokenizer_pre.def. */
struct el_pre_name {
    const char *name;
    const char *patterns[8]; /* ended by NULL; applied one after the other, matches isolated */
    bool ignore_merges;      /* a word that is a token is not merged from bytes */
    bool add_bos;            /* when the file does not say */
};
const struct el_pre_name *el_pre_by_name(const char *name);
/* The name whose patterns are exactly these steps (as GGUF would run them), if possible with the same flag; NULL: none. */
const char *el_pre_recognise(const struct el_pre *pre, bool ignore_merges);
/* "gpt-2, llama-bpe, ..." for errors. */
void el_pre_names(struct el_buf *out);

/*
 * Runs the steps over text (valid UTF-8); fn gets every word in order, non-empty. `at_start`: text is the beginning of the input.
 */
typedef enum el_status el_word_fn(void *user, const char *word, size_t nbytes, struct el_err *err);
enum el_status el_pre_run(const struct el_pre *pre, struct el_regex_run *run, const char *text, size_t nbytes, bool at_start,
                          el_word_fn *fn, void *user, struct el_err *err);

#endif
