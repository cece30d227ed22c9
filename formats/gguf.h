/*
 * What the files of the GGUF format share. GGUF (versions 2 and 3, little-endian; ggml's docs/gguf.md):
 *
 *   "GGUF", u32 version, u64 n_tensors, u64 n_kv
 *   n_kv times:      string key, u32 type, value          string: u64 nbytes, bytes; array: u32 type, u64 n, elements
 *   n_tensors times: string name, u32 n_dims, u64 dims[n_dims] innermost first, u32 ggml type, u64 offset from the data's start
 *   padding to general.alignment (32), then the tensors' bytes, each padded to the alignment
 */
#ifndef EL_FORMATS_GGUF_H
#define EL_FORMATS_GGUF_H

#include "base/file.h"
#include "tensor/source.h"

enum { EL_GGUF_NAME_MAX = 63, EL_GGUF_ALIGNMENT = 32 }; /* ggml's longest tensor name, and the alignment when none is named */

#define EL_GGUF_ENCODINGS_KEY "edgellm.encodings"
/* In every part of a split set that we write: SHA-256 over the set's metadata and the tensors' names, encodings and shapes. */
#define EL_GGUF_SPLIT_ID_KEY "edgellm.split.id"

/* A file, or its bytes in memory (tests). */
struct el_gguf_input {
    const char *path;     /* for messages */
    struct el_file *file; /* NULL: memory */
    const uint8_t *memory;
    uint64_t nbytes;
};

/* A tensor as the directory lists it: one part of a logical tensor, or the whole of it. */
struct el_gguf_entry {
    char *name; /* el_strdup'ed */
    uint32_t n_dims;
    uint32_t type;              /* ggml's number */
    uint32_t file;              /* of a split set */
    uint64_t dims[EL_MAX_DIMS]; /* outermost first */
    uint64_t offset;            /* from the file's start once the header is read */
    uint64_t nbytes;
};

struct el_gguf_header {
    uint32_t version;
    uint32_t alignment;
    uint64_t data_offset;
    struct el_meta *meta;
    struct el_gguf_entry *entries;
    size_t n_entries;
};

/*
 * Reads and checks everything before the data, in windows of bounded size; reads none of the data. On failure *h holds nothing.
 * strict: gaps and trailing bytes are errors. Errors name the file.
 */
enum el_status el_gguf_read_header(const struct el_gguf_input *in, bool strict, struct el_gguf_header *h, struct el_err *err);
void el_gguf_header_release(struct el_gguf_header *h);

/*
 * Keys and names, which other programs print and use as identifiers: not empty, no control characters, valid UTF-8. Else `why`
 * says what they are: "has control character 0x0a at byte 3".
 */
enum { EL_GGUF_WHY_NBYTES = 80 };
bool el_gguf_is_identifier(const char *s, uint64_t nbytes, char why[EL_GGUF_WHY_NBYTES]);

/* Elements and bytes per block of a ggml type that may stand in a directory; false for types this build cannot read. */
bool el_gguf_type_shape(uint32_t type, uint32_t *block_n, uint32_t *block_nbytes);

/* Where the parts of a logical tensor lie. */
struct el_gguf_place {
    uint32_t file[EL_MAX_PARTS];
    uint64_t offset[EL_MAX_PARTS];
};

/*
 * Folds directory entries into logical tensors: those named by EL_GGUF_ENCODINGS_KEY in meta (which is removed) take their parts,
 * every other entry stands for itself. Names move out of the entries. path is for messages.
 */
enum el_status el_gguf_fold(const char *path, struct el_meta *meta, struct el_gguf_entry *entries, size_t n_entries,
                            struct el_tensor **tensors, struct el_gguf_place **places, size_t *n_tensors, struct el_err *err);
/* The reverse for one tensor: its line for EL_GGUF_ENCODINGS_KEY as el_alloc memory; NULL when out of memory. */
char *el_gguf_encoding_line(const struct el_tensor *t);
/* Directory dimensions of a part of a tensor, outermost first; returns their number. */
uint32_t el_gguf_part_dims(const struct el_tensor *t, uint32_t part, uint64_t dims[EL_MAX_DIMS]);

/* PREFIX-00001-of-00003.gguf: el_alloc memory, NULL when out of memory. no counts from 0. */
char *el_gguf_split_path(const char *prefix, uint32_t no, uint32_t count);
/* Splits such a path: length of PREFIX, or 0 when path is no part of a set. */
size_t el_gguf_split_prefix(const char *path, uint32_t *no, uint32_t *count);
/* Is key one of split.no, split.count, split.tensors.count, EL_GGUF_SPLIT_ID_KEY? */
bool el_gguf_is_split_key(const char *key);

/* Sets the row order of every tensor that this family keeps in another than the canonical order. Unknown families have none. */
void el_gguf_set_orders(const struct el_meta *meta, struct el_tensor *tensors, size_t n);

/* general.alignment of the metadata, checked; EL_GGUF_ALIGNMENT when absent. Errors name no file. */
enum el_status el_gguf_alignment(const struct el_meta *meta, uint32_t *alignment, struct el_err *err);

/* Opens a GGUF file that lies in memory, which must outlive the source. For tests and fuzzing. */
enum el_status el_gguf_open_memory(const void *data, size_t nbytes, const struct el_source_opts *opts, struct el_source **source,
                                   struct el_err *err);

/* formats/gguf_write.c: el_format.create. */
enum el_status el_gguf_create(struct el_sink *s, struct el_err *err);

#endif
