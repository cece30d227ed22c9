/*
 * Where formats meet the rest: a source is a directory of named tensors with metadata, a sink the same being written. formats/
 * implements both; lib/model binds weights from sources; quant/ reads sources and writes sinks. Neither knows a file format.
 *
 * Names, shapes and metadata are canonical: those of GGUF. A format that has other names (Hugging Face) translates at its edge
 * with the architecture's table (model/arch.h). Experts are one stack [n_experts, n_out, n_in].
 */
#ifndef EL_TENSOR_SOURCE_H
#define EL_TENSOR_SOURCE_H

#include "base/limits.h"
#include "tensor/encoding.h"
#include "tensor/meta.h"

/*
 * The order in which the file holds the rows of a tensor, compared with the canonical order (Hugging Face's: the two halves that
 * RoPE rotates lie n_head_rows / 2 apart). The order is a property of the tensor; who needs another one asks el_row_order_map.
 */
enum el_row_order_kind {
    EL_ROWS_CANONICAL = 0,
    EL_ROWS_ROPE_PAIRS,  /* Meta's and GGUF-llama's: within each head, rows 2i and 2i + 1 are a rotated pair */
    EL_ROWS_QKV_BY_HEAD, /* GPT-BigCode with multi_query false: per head q, k, v; canonical is all q, all k, all v */
};
struct el_row_order {
    enum el_row_order_kind kind;
    uint32_t n_heads, head_rows; /* head_rows: rows per head of one of q, k, v */
};
/* File row that holds canonical row r (of one [n_heads * head_rows (x3)] matrix; a stack repeats it). */
uint64_t el_row_order_map(const struct el_row_order *order, uint64_t r);
/* The reverse: canonical row that file row f holds. */
uint64_t el_row_order_unmap(const struct el_row_order *order, uint64_t f);
bool el_row_order_equal(const struct el_row_order *a, const struct el_row_order *b);

/* One tensor of a source or sink. */
struct el_tensor {
    const char *name;       /* canonical; el_strdup'ed, owned by the source or sink */
    const char *file_name;  /* as in the file: the same pointer as name, or el_strdup'ed too */
    struct el_enc enc;
    char enc_name[32];      /* el_enc_name, filled by el_tensor_complete */
    uint32_t n_dims;        /* 1..EL_MAX_DIMS */
    uint64_t dims[EL_MAX_DIMS]; /* outermost first */
    uint64_t n_rows, n_in;  /* n_in = dims[n_dims - 1]; n_rows = product of the others (1 for a vector) */
    struct el_row_order order;
    /* One row, whose elements follow the row order (a bias of q, stored as [n] or [1, n]): then order applies to elements. */
    bool order_elems;
    uint32_t n_parts;
    struct el_part_shape parts[EL_MAX_PARTS];
    uint32_t file;          /* index of the file of part 0 */
    uint64_t offset;        /* of part 0 in that file; 0 when scattered */
};

/*
 * Fills enc_name, n_rows, n_in, parts from enc and dims. A dimension of 0 is an empty tensor, and valid. EL_E_FORMAT: shape does
 * not fit the encoding, or overflow; the text does not name the tensor (the caller prefixes file and name).
 */
enum el_status el_tensor_complete(struct el_tensor *t, struct el_err *err);
/* Bytes of all parts of a completed tensor. */
uint64_t el_tensor_nbytes(const struct el_tensor *t);
/* Frees an array of tensors and their names (name, and file_name where it is another pointer). tensors may be NULL. */
void el_tensors_free(struct el_tensor *tensors, size_t n);

struct el_source_ops {
    /* Bytes [offset, offset + nbytes) of part `part` of tensor t, as if the part lay in one piece. Thread-safe. */
    enum el_status (*read)(struct el_source *s, const struct el_tensor *t, uint32_t part, uint64_t offset, void *out,
                           uint64_t nbytes, struct el_err *err);
    /* A pointer to the whole part in mapped memory, or NULL when it does not lie in one piece (read it then). */
    const uint8_t *(*map)(struct el_source *s, const struct el_tensor *t, uint32_t part);
    /* File name (base name) and path of file i, NULL past the end. */
    const char *(*file)(struct el_source *s, uint32_t i);
    void (*close)(struct el_source *s); /* frees what the format owns in priv, not the struct; may be NULL */
    /* Is this one of the files that the source reads? May be NULL: it reads none. */
    bool (*is_file)(struct el_source *s, uint64_t dev, uint64_t ino);
    /* Size and last modification (ns since 1970) of file i as it was opened; false past the end. May be NULL: no files. */
    bool (*stamp)(struct el_source *s, uint32_t i, uint64_t *nbytes, int64_t *mtime_ns);
    /*
     * An override has changed the metadata: adapt what follows from it (row orders). NULL: the format has read its tensors by the
     * architecture and the heads already, and overrides of those are refused.
     */
    void (*meta_changed)(struct el_source *s);
};

/*
 * el_source_close calls ops->close, then frees path, meta, tensors with their names, and the struct. ops may be NULL (half
 * built).
 */
struct el_source {
    const struct el_source_ops *ops;
    const char *format; /* name in formats.def */
    char *path;
    struct el_meta *meta;
    struct el_tensor *tensors;
    size_t n_tensors;
    /* A tokenizer file was given, or a tokenizer.* key overridden: the files beside the model say otherwise. */
    bool tokenizer_changed;
    void *priv; /* the format's */
};

/* Index of a tensor by canonical name, SIZE_MAX when missing. Linear; bind builds its own map. */
size_t el_source_find(const struct el_source *s, const char *name);

/*
 * Rows [row0, row0 + n_rows) of a tensor as stored, into parts_out[p] (n_rows * row_nbytes bytes each, or the whole shared part;
 * a NULL part is skipped): in the row order `want` (kinds other than the file's are gathered at the edge, in any encoding; NULL:
 * the file's). For order_elems tensors the elements are permuted. Thread-safe. EL_E_USAGE: rows out of range.
 */
enum el_status el_source_read_parts(struct el_source *s, const struct el_tensor *t, const struct el_row_order *want,
                                    uint64_t row0, uint64_t n_rows, uint8_t *const parts_out[EL_MAX_PARTS], struct el_err *err);

struct el_sink_ops {
    /*
     * Declares everything: metadata and tensors (name, enc, dims, canonical; the format decides names, order and row order and
     * writes them to t->order). After this the layout is fixed, the space reserved, the header written.
     */
    enum el_status (*begin)(struct el_sink *s, const struct el_meta *meta, struct el_tensor *tensors, size_t n,
                            struct el_err *err);
    /* Bytes of part `part` of tensor index t at offset. Thread-safe; ranges do not overlap. */
    enum el_status (*write)(struct el_sink *s, size_t t, uint32_t part, uint64_t offset, const void *data, uint64_t nbytes,
                            struct el_err *err);
    /*
     * Replaces the elements of an array of numbers that stood in begin's metadata: nbytes bytes, as long as it was there. May be
     * NULL: the metadata of this format cannot change after begin.
     */
    enum el_status (*set_array)(struct el_sink *s, const char *key, const void *data, uint64_t nbytes, struct el_err *err);
    enum el_status (*commit)(struct el_sink *s, struct el_err *err);
    void (*close)(struct el_sink *s);
    /* File i of the weights: its path, or its name in the folder `path`; NULL past the end. May be NULL: the file is `path`. */
    const char *(*file)(const struct el_sink *s, size_t i);
    /*
     * *nbytes of all files that begin, the writes and commit would make; touches no file, and leaves the sink as it was before
     * begin. May be NULL: this format cannot tell beforehand.
     */
    enum el_status (*measure)(struct el_sink *s, const struct el_meta *meta, struct el_tensor *tensors, size_t n,
                              uint64_t *nbytes, struct el_err *err);
};
struct el_sink {
    const struct el_sink_ops *ops;
    char *path;
    struct el_sink_opts opts; /* pointers inside are owned copies or static */
    /*
     * The source being packed, set by el_pack before begin: a sink may copy side files and refuses to overwrite its input. May be
     * NULL.
     */
    const struct el_source *source;
    struct el_tensor *tensors; /* owned copy after begin */
    size_t n_tensors;
    void *priv;
};

#endif
