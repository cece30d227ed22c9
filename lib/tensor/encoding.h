/*
 * Encodings: how a matrix is stored. One file and one line of encodings.def each.
 *
 * A matrix is [n_rows, n_in] (all outer dimensions flattened), its bytes lie in 1..EL_MAX_PARTS parts. Part 0 carries the
 * tensor's name; further parts are stored as NAME + suffix. A part is row-led (row r of the matrix begins at data + r *
 * row_nbytes) or shared (row_nbytes 0: a codebook). Decoding takes the parts and a row range, never a bare pointer and a count.
 */
#ifndef EL_TENSOR_ENCODING_H
#define EL_TENSOR_ENCODING_H

#include "base/err.h"

enum { EL_MAX_PARTS = 4, EL_ENC_TILE = 16 };

struct el_buf;
struct el_encoding;
struct el_grid;

/* An encoding with its parameters: what a tensor's type is. Compare with el_enc_equal. */
struct el_enc {
    const struct el_encoding *e;
    /* Only for parameterised encodings (the group encoding); 0 else. */
    uint8_t bits;     /* 2..8 */
    uint8_t zeros;    /* 1: integer zero points, 0: symmetric */
    uint8_t wide;     /* 1: scales are f32, 0: f16 */
    uint8_t permuted; /* 1: columns are stored in another order, which a shared part says; decode undoes it */
    uint32_t group;   /* columns per scale; 0 is the whole row */
};

/* Where a part lies and how. Filled by encoding->parts. */
struct el_part_shape {
    const char *suffix;  /* "" for a single-part encoding; else ".codes", ".scales", ... */
    int32_t ggml_type;   /* the standard type as which the part is stored in GGUF: a row is [row_n_elems] of it */
    uint64_t row_n_elems;
    uint64_t row_nbytes; /* 0: shared by all rows */
    uint64_t nbytes;     /* n_rows * row_nbytes, or the size of the shared part */
};

/* A matrix in memory. data[i] is part i; borrowed. */
struct el_matrix {
    struct el_enc enc;
    uint64_t n_rows, n_in;
    const uint8_t *data[EL_MAX_PARTS];
    uint64_t row_nbytes[EL_MAX_PARTS]; /* 0: shared */
};

enum el_enc_flags {
    EL_ENC_FLOAT = 1u << 0,   /* F32, F16, BF16: no blocks, not "quantized" */
    EL_ENC_PARAMS = 1u << 1,  /* has bits, group, zeros */
};

/* How hard encode tries. */
enum el_effort {
    EL_ENCODE_NEAREST, /* scales from the extremes of the block, round to nearest */
    EL_ENCODE_SEARCH,  /* weighted search over scales (and mins): minimises sum of importance * (w - w')^2 */
};

struct el_encoding {
    const char *name;      /* "Q4_K": llama.cpp's name where it has one */
    const char *about;     /* one line for --list */
    int32_t ggml_type;     /* standard id, never renumbered; -1: ours, stored as plain parts */
    unsigned flags;
    uint32_t block_n;      /* n_in must be a multiple of it (1: any) */
    uint32_t block_nbytes; /* sizeof the block; 0 with EL_ENC_PARAMS */
    const char *fallback;  /* what a row that block_n does not divide gets instead; NULL: Q8_0 */

    /* With EL_ENC_PARAMS, else NULL: its names for messages; a name to parameters (false: not one of mine); and back. */
    const char *usage;
    bool (*parse)(const char *name, struct el_enc *enc);
    void (*format)(const struct el_enc *enc, char out[32]);

    /*
     * Shapes of the parts of an [n_rows, n_in] matrix; false when it does not fit or a size overflows. *n_parts <= EL_MAX_PARTS.
     */
    bool (*parts)(const struct el_enc *enc, uint64_t n_rows, uint64_t n_in, struct el_part_shape *parts, uint32_t *n_parts);

    /* out [n_rows, m->n_in] f32 = rows row0 .. row0 + n_rows. Pure; any bytes are acceptable input (no trap, no overread). */
    void (*decode)(const struct el_matrix *m, uint64_t row0, uint64_t n_rows, float *out);

    /*
     * Encodes x [n_rows, n_in] f32, all finite, into parts_out[p] (row-led parts: n_rows * row_nbytes bytes from the first row
     * on). importance [n_in] f32 >= 0, or NULL: the encoding's own weighting. Pure; the bytes do not depend on CPU level or
     * compiler. NULL: this encoding can be read and not made.
     */
    void (*encode)(const struct el_enc *enc, const float *x, const float *importance, uint64_t n_rows, uint64_t n_in,
                   enum el_effort effort, uint8_t *const parts_out[EL_MAX_PARTS]);

    /*
     * Number of scales (and mins) of the range that are not finite: what verify reports. NULL: count non-finite decoded values.
     */
    uint64_t (*n_bad_scales)(const struct el_matrix *m, uint64_t row0, uint64_t n_rows);

    /*
     * What the functions above do with one block, where they are the common ones of enc_common.h, else NULL. `block` lies at any
     * address. w [block_n] is the importance of the block's columns, or NULL.
     */
    void (*decode_block)(const uint8_t *block, float *out);
    void (*encode_block)(const float *x, const float *w, enum el_effort effort, void *block);
    /*
     * The search for n (1..EL_ENC_TILE) consecutive blocks at once, where they are searched side by side: then encode_block is
     * asked for EL_ENCODE_NEAREST only. w[b] is the importance of block b's columns; w NULL: none.
     */
    void (*search_blocks)(const float *x, const float *const *w, uint32_t n, void *blocks);
    /* The values that its rows may take, for methods that choose codes themselves (grid.h). NULL: none. */
    const struct el_grid *grid;
    uint32_t n_f16, f16_at[2]; /* how many half-precision scales a block has, and at which bytes */
};

/* Index of every encoding: EL_ENC_IDX_q4_k ... in the order of encodings.def (kernels are tabled by it; it is never stored). */
enum el_encoding_index {
#define ENCODING(id) EL_ENC_IDX_##id,
#include "tensor/encodings.def"
#undef ENCODING
    EL_ENC_COUNT
};
size_t el_encoding_index(const struct el_encoding *e);
/* EL_ENC_COUNT for one that is not in the table: formats have encodings of their own, which are decoded and nothing else. */
size_t el_encoding_find(const struct el_encoding *e);

/* The table. NULL past the end. */
const struct el_encoding *el_encoding_at(size_t i);
const struct el_encoding *el_encoding_by_ggml(int32_t ggml_type); /* NULL: not one of ours */
/* ggml's name for a type id that ggml has or had ("IQ2_XS"), else NULL: for error messages. */
const char *el_ggml_type_name(int32_t ggml_type);

/*
 * Names: "Q4_K" (any case), group encodings G<bits>_<group|ROW>[Z][F][P]: "G4_32", "G3_128Z", "G8_ROW". EL_E_USAGE lists what
 * there is. el_enc_name writes the canonical name to out[32].
 */
enum el_status el_enc_parse(const char *name, struct el_enc *enc, struct el_err *err);
void el_enc_name(const struct el_enc *enc, char out[32]);
/* Adds all names to out, for messages: "F32, F16, ..., G<2..8>_<32|64|...|ROW>[Z]". */
void el_enc_list(struct el_buf *out);
/* EL_OK, or EL_E_UNSUPPORTED with the name and the reason: the encoding can only be read. */
enum el_status el_enc_check_encode(const struct el_enc *enc, struct el_err *err);
bool el_enc_equal(const struct el_enc *a, const struct el_enc *b);
/*
 * Can it be made from numbers? Not what has no encoder, and not what only files bring along: scales in f32, and an order of
 * columns, which is somebody else's choice.
 */
bool el_enc_can_encode(const struct el_enc *enc);
/* Total bytes of an [n_rows, n_in] matrix; false when n_in does not fit or on overflow. */
bool el_enc_nbytes(const struct el_enc *enc, uint64_t n_rows, uint64_t n_in, uint64_t *nbytes);
/* The parameterless encodings that code refers to by name. */
struct el_enc el_enc_f32(void);
struct el_enc el_enc_f16(void);

/* Decodes with checks in debug builds; the ordinary way to decode. */
void el_matrix_decode(const struct el_matrix *m, uint64_t row0, uint64_t n_rows, float *out);

/*
 * The order of the columns of a permuted matrix: column k as stored is column perm[k] of the matrix. NULL when it is not
 * permuted; n_in little-endian u32 at any address, not checked, else.
 */
const uint8_t *el_matrix_perm(const struct el_matrix *m);
/*
 * Checks what decoding takes on trust: that the order of the columns names each of them once. EL_E_FORMAT says which entry does
 * not (the caller names file and tensor), EL_E_MEMORY.
 */
enum el_status el_matrix_check(const struct el_matrix *m, struct el_err *err);
/* The same bytes as a matrix whose columns are in the stored order: W' with W'[r, k] = W[r, perm[k]]. */
struct el_matrix el_matrix_as_stored(const struct el_matrix *m);

#endif
