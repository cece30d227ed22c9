/*
 * The inside of a tokenizer, shared by the tokenizer_*.c files and nobody else. Encoding runs through four stages:
 *
 *   text -> added tokens cut out (tokenizer_added.c) -> normalizer (tokenizer_norm.c) -> words (tokenizer_pre.c) -> ids
 *
 * Three machines turn a word into ids: symbols and merges (tokenizer_merge.c), unigram (tokenizer_unigram.c) and WordPiece
 * (tokenizer_wordpiece.c). Byte-level BPE and SentencePiece BPE are the first with another alphabet (bytes or characters) and
 * another way to rank merges (a list, or scores): tokenizer_bpe.c and tokenizer_spm.c build the tables from tokenizer.ggml.*.
 * The rules around the machine come from a tokenizer.json (tokenizer_hf.c), else from the keys of GGUF (tokenizer_ggml.c).
 */
#ifndef EL_MODEL_TOKENIZER_IMPL_H
#define EL_MODEL_TOKENIZER_IMPL_H

#include "base/json.h"
#include "base/strmap.h"
#include "text/normalize.h"
#include "text/regex.h"
#include "text/tokenizer.h"
#include "text/tokenizer_trie.h"

/* tokenizer.ggml.token_type */
enum el_piece_type {
    EL_PIECE_NORMAL = 1,
    EL_PIECE_UNKNOWN = 2,
    EL_PIECE_CONTROL = 3,
    EL_PIECE_USER = 4,
    EL_PIECE_UNUSED = 5,
    EL_PIECE_BYTE = 6,
};

enum {
    EL_MAX_PIECE = 65535,      /* bytes of a token */
    EL_MAX_ADDED_TOKEN = 1024, /* bytes of a token that is searched for in the text */
    EL_MAX_STEPS = 64,         /* of a normalizer or pre-tokenizer */
    EL_MAX_WALK = 1024,        /* bytes of a token of a unigram or WordPiece model: one walk through its trie */
};

#define EL_SPACE_MARK "\xe2\x96\x81" /* U+2581, SentencePiece's visible space */

/* ---- merges (tokenizer_merge.c) ---------------------------------------------------------------------------------- */

/* Hash table (left symbol, right symbol) -> (rank, merged symbol). */
struct el_pair {
    uint64_t key; /* left << 32 | right, plus 1; 0: empty */
    uint32_t rank;
    int32_t merged;
};
struct el_pairs {
    struct el_pair *slots;
    size_t cap, count;
    uint64_t seed;
};
/* Room for n pairs; false when out of memory. */
bool el_pairs_reserve(struct el_pairs *p, size_t n);
void el_pairs_release(struct el_pairs *p);
/* Adds within the reserved room; false when the pair is there already (it keeps its rank). */
bool el_pairs_add(struct el_pairs *p, int32_t left, int32_t right, uint32_t rank, int32_t merged);
/* NULL: these two do not merge. */
const struct el_pair *el_pairs_get(const struct el_pairs *p, int32_t left, int32_t right);

struct el_merge_node;
/* Scratch of one thread. */
struct el_merge_work {
    struct el_merge_node *nodes;
    size_t cap_nodes;
    uint64_t *heap;
    size_t n_heap, cap_heap;
};
void el_merge_work_release(struct el_merge_work *w);
/*
 * Merges sym[0, *n) in place: always the pair of lowest rank, the leftmost of equals (Sennrich et al., arXiv:1508.07909), until
 * none is left. O(n log n). EL_E_MEMORY; EL_E_UNSUPPORTED from 2^31 symbols on.
 */
enum el_status el_merge(const struct el_pairs *pairs, struct el_merge_work *w, int32_t *sym, size_t *n, struct el_err *err);

/* ---- added tokens (tokenizer_added.c) ---------------------------------------------------------------------------- */

struct el_added_token {
    char *text; /* owned */
    uint32_t nbytes;
    int32_t id;
    bool special, lstrip, rstrip, single_word;
};
/* Sorted by text; the longest token at the leftmost place wins. */
struct el_added {
    struct el_added_token *tokens;
    size_t n, cap;
    /* A special token that may not match hides what lies within it, as in Hugging Face's; else it is as if it were not there. */
    bool skip_hidden;
    uint32_t first[257]; /* tokens that start with byte b: [first[b], first[b + 1]) */
};
/* Copies text. EL_E_FORMAT for an empty or over-long one. */
enum el_status el_added_put(struct el_added *a, const char *text, size_t nbytes, const struct el_added_token *flags,
                            struct el_err *err);
void el_added_sort(struct el_added *a);
void el_added_release(struct el_added *a);
/*
 * First added token in text[from, nbytes); special ones only when with_special. [*begin, *end) includes the white space that it
 * strips on either side. NULL: none.
 */
const struct el_added_token *el_added_find(const struct el_added *a, const char *text, size_t nbytes, size_t from,
                                           bool with_special, size_t *begin, size_t *end);

/* ---- unigram (tokenizer_unigram.c) ------------------------------------------------------------------------------- */

enum { EL_UNIGRAM_UNK = -1 };

struct el_unigram {
    struct el_trie trie;
    double *score;    /* [tokens in the trie], owned */
    double unk_score; /* of a character that is no token */
};
void el_unigram_release(struct el_unigram *u);
struct el_viterbi_node;
/* Scratch of one thread. */
struct el_viterbi {
    struct el_viterbi_node *nodes;
    size_t cap;
};
void el_viterbi_release(struct el_viterbi *v);
/* tok->unigram from scores [n_vocab] as GGUF and SentencePiece mean them, or from the "model" of a tokenizer.json. */
enum el_status el_unigram_from_scores(struct el_tokenizer *tok, const float *scores, struct el_err *err);
enum el_status el_unigram_from_json(struct el_tokenizer *tok, const struct el_json *model, struct el_err *err);
/* The ids of word[0, nbytes), nbytes > 0, to ids, which has room for nbytes. EL_E_MEMORY. */
enum el_status el_unigram_encode(const struct el_tokenizer *tok, struct el_viterbi *v, const char *word, size_t nbytes,
                                 int32_t *ids, size_t *n_ids, struct el_err *err);

/* ---- WordPiece (tokenizer_wordpiece.c) --------------------------------------------------------------------------- */

struct el_wordpiece {
    struct el_trie start, inside; /* texts without the mark of a continuation; inside is empty when marked */
    char *prefix;                 /* of a continuation in Hugging Face's files: "##"; owned */
    size_t n_prefix;
    size_t max_chars; /* a longer word is unk */
    bool marked;      /* starts are marked with U+2581, as in GGUF */
};
void el_wordpiece_release(struct el_wordpiece *w);
enum el_status el_wordpiece_from_tokens(struct el_tokenizer *tok, struct el_err *err);
enum el_status el_wordpiece_from_json(struct el_tokenizer *tok, const struct el_json *model, struct el_err *err);
/* The ids of word[0, nbytes), nbytes > 0, to ids, which has room for nbytes; their number. */
size_t el_wordpiece_encode(const struct el_tokenizer *tok, const char *word, size_t nbytes, int32_t *ids);

/* ---- precompiled charsmap (tokenizer_charsmap.c) ----------------------------------------------------------------- */

struct el_charsmap {
    uint32_t *units;
    size_t n_units; /* 0: changes nothing */
    char *text;
    size_t n_text;
};
/* Copies data. EL_E_FORMAT names `name`. What was made is released by el_charsmap_release in any case. */
enum el_status el_charsmap_open(struct el_charsmap *m, const void *data, size_t nbytes, const char *name, struct el_err *err);
void el_charsmap_release(struct el_charsmap *m);
/* Appends text as Hugging Face's Precompiled makes it; stops soon after max_nbytes. */
void el_charsmap_hf(const struct el_charsmap *m, const char *text, size_t nbytes, size_t max_nbytes, struct el_buf *out);
/*
 * Appends text as SentencePiece normalizes it: through the map, spaces as U+2581; `prefix`: one in front; `merge`: runs of spaces
 * become one, none at the ends.
 */
void el_charsmap_sentencepiece(const struct el_charsmap *m, bool prefix, bool merge, const char *text, size_t nbytes,
                               size_t max_nbytes, struct el_buf *out);

/* ---- normalizer (tokenizer_norm.c) ------------------------------------------------------------------------------- */

enum el_norm_kind {
    EL_NS_FORM,
    EL_NS_LOWERCASE,
    EL_NS_STRIP_MARKS,      /* category M */
    EL_NS_STRIP_NONSPACING, /* category Mn */
    EL_NS_BERT_CLEAN,       /* no control characters, white space becomes a space */
    EL_NS_BERT_HAN,         /* spaces around ideographs */
    EL_NS_STRIP,
    EL_NS_PREPEND,
    EL_NS_REPLACE,
    EL_NS_PRECOMPILED,
    EL_NS_SENTENCEPIECE,
};
struct el_norm_step {
    enum el_norm_kind kind;
    enum el_norm_form form;
    bool left, right; /* STRIP; SENTENCEPIECE: prefix, merge; BERT_CLEAN: left: white space goes before control */
    char *from, *to;  /* REPLACE a literal by; PREPEND: to */
    size_t n_from, n_to;
    struct el_regex *re;    /* REPLACE a match by, when from is NULL */
    struct el_charsmap map; /* PRECOMPILED, SENTENCEPIECE */
};
struct el_norm {
    struct el_norm_step steps[EL_MAX_STEPS];
    size_t n;
};
void el_norm_release(struct el_norm *norm);
/* Appends what Hugging Face's BertNormalizer does. EL_E_UNSUPPORTED: too many steps. */
enum el_status el_norm_add_bert(struct el_norm *norm, bool clean, bool han, bool strip, bool lower, struct el_err *err);
/* text through all steps; *out points to text itself or into one of the two buffers. */
enum el_status el_norm_apply(const struct el_norm *norm, struct el_regex_run *run, struct el_buf bufs[2], const char *text,
                             size_t nbytes, const char **out, size_t *n_out, struct el_err *err);

/* ---- the tokenizer ----------------------------------------------------------------------------------------------- */

#include "text/tokenizer_pre.h"

enum { EL_MAX_AFFIX = 8 };

enum el_machine { EL_MACHINE_MERGES, EL_MACHINE_UNIGRAM, EL_MACHINE_WORDPIECE };

struct el_tokenizer {
    /* Vocabulary: piece i is text[off[i], off[i + 1]). */
    size_t n_vocab;
    char *text;
    size_t *off;
    uint8_t *type;
    bool *eog;
    struct el_strmap ids; /* text -> id */

    enum el_machine machine;
    struct el_unigram unigram;
    struct el_wordpiece wordpiece;

    /* Symbols and merges. byte_sym serves unigram models too. */
    bool byte_level;        /* the alphabet is bytes (GPT-2), else characters */
    bool fuse_unk;          /* neighbouring unknown characters become one unk */
    bool ignore_merges;     /* a word that is a token becomes that token at once */
    bool cut_marks;         /* no merge crosses the front of a U+2581 run: text may be cut there */
    int32_t byte_sym[256];  /* byte_level: symbol of a byte; else the id of <0xXX>; -1: none */
    int32_t ascii_sym[128]; /* characters: symbol, or -1 */
    struct el_strmap chars; /* characters that occur in merges but are no token: symbols n_vocab + i; keys lie in text */
    uint32_t *virtual_cp;   /* their code points */
    size_t n_virtual;
    struct el_pairs pairs;

    /* Rules around them. */
    struct el_added added, added_norm; /* searched for before and after normalizing */
    uint32_t *shown; /* [n_vocab]: 1 + index in added_norm of a token that decodes to its normalized text; NULL: none */
    struct el_norm norm;
    struct el_pre pre;
    int32_t prefix[EL_MAX_AFFIX], suffix[EL_MAX_AFFIX]; /* EL_TOK_ADD_SPECIAL */
    size_t n_prefix, n_suffix;

    /* Decoder. */
    char *dec_from, *dec_to; /* replaced in normal pieces; NULL: nothing */
    size_t n_dec_from, n_dec_to;
    bool dec_join;      /* pieces joined by spaces */
    bool dec_wordpiece; /* starts of words joined by spaces */
    bool dec_cleanup;   /* no space in front of punctuation and contractions, as in Hugging Face's */
    uint32_t dec_strip; /* spaces taken off the start of the text */

    int32_t bos, eos, unk, eot, eom, cls, sep;
};

const char *el_tok_text(const struct el_tokenizer *tok, int32_t id, size_t *nbytes);

/* Appends text with each ill-formed part as U+FFFD (maximal subparts, Unicode 15.0 section 3.9). */
void el_utf8_repair(const char *text, size_t nbytes, struct el_buf *out);

/* GPT-2's byte alphabet: byte -> code point, and back (-1: not in it). */
uint32_t el_byte_cp(uint8_t byte);
int el_byte_of_cp(uint32_t cp);
/* Byte of "<0x0A>"; -1 when the text is anything else. */
int el_byte_piece(const char *text, size_t nbytes);

/* Reads a token id: -1 when the key is missing or holds the "none" of old writers (2^32 - 1). EL_E_FORMAT: out of range. */
enum el_status el_tok_get_id(const struct el_meta *meta, const char *key, size_t n_vocab, int32_t *id, struct el_err *err);

/* tokenizer_bpe.c: symbols and pairs from a merge list ("left right"); byte_level is set before. */
enum el_status el_bpe_build(struct el_tokenizer *tok, const struct el_meta *meta, size_t merges, struct el_err *err);
/* Splits a merge line at the space that leaves two known symbols; false when there is none. */
bool el_bpe_split(const struct el_tokenizer *tok, const char *merge, size_t nbytes, int32_t *left, int32_t *right,
                  int32_t *merged);
/* Single characters and bytes -> symbols, for both alphabets. EL_E_MEMORY. */
enum el_status el_bpe_symbols(struct el_tokenizer *tok, struct el_err *err);
/* Sets tok->cut_marks from the pairs. */
void el_bpe_find_cuts(struct el_tokenizer *tok);
/* Symbol of a single character, -1: none. */
int32_t el_bpe_char(const struct el_tokenizer *tok, const char *s, size_t nbytes);

/* tokenizer_spm.c: pairs from scores [n_vocab]: any two symbols whose texts make a token merge, the highest score first. */
enum el_status el_spm_build(struct el_tokenizer *tok, const float *scores, struct el_err *err);

/* tokenizer_ggml.c: the rules of a file that has only tokenizer.ggml.*; *add_bos, *add_eos: where the file does not say. */
enum el_status el_ggml_rules(struct el_tokenizer *tok, const struct el_meta *meta, bool *add_bos, bool *add_eos,
                             struct el_err *err);

/* tokenizer_hf.c: normalizer, pre-tokenizer, added tokens, post-processor, decoder and model flags from a tokenizer.json. */
enum el_status el_hf_rules(struct el_tokenizer *tok, const struct el_json *root, struct el_err *err);
/* What the post-processor puts around the text. */
struct el_affixes {
    int32_t prefix[EL_MAX_AFFIX], suffix[EL_MAX_AFFIX];
    size_t n_prefix, n_suffix;
};
enum el_status el_hf_affixes(const struct el_json *root, struct el_affixes *a, struct el_err *err);
/* Which machine "model" needs. EL_E_UNSUPPORTED names what cannot be run. */
enum el_status el_hf_machine(const struct el_json *model, enum el_machine *machine, struct el_err *err);
/* Is the model of this tokenizer.json byte-level (a ByteLevel pre-tokenizer anywhere)? */
bool el_hf_is_byte_level(const struct el_json *root);
enum el_status el_hf_pre(struct el_pre *pre, const struct el_json *pre_tokenizer, struct el_err *err);
/* Takes spaces away in front of punctuation and contractions within one piece, in place; the new length. */
size_t el_hf_cleanup(char *piece, size_t nbytes);

#endif
