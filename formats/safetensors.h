/*
 * What the files of the safetensors format share (the format: a little-endian u64, that many bytes of JSON, the tensors' bytes;
 * see huggingface/safetensors, README, section "Format"). Hugging Face folders are made of such files.
 */
#ifndef EL_FORMATS_SAFETENSORS_H
#define EL_FORMATS_SAFETENSORS_H

#include "base/buf.h"
#include "base/file.h"
#include "tensor/source.h"

/* One tensor of a header. */
struct el_st_tensor {
    char *name;
    struct el_enc enc;
    uint32_t n_dims; /* a scalar ([]) is read as [1] */
    uint64_t dims[EL_MAX_DIMS];
    uint64_t offset; /* from the start of the file */
    uint64_t nbytes;
    /* Only in files of PyTorch: the elements do not lie in one piece, but (i_0, i_1, ...) at offset + sum i_d strides[d]. */
    bool strided;
    uint64_t strides[EL_MAX_DIMS]; /* in elements */
};

/* A header: its tensors in the order of their bytes. */
struct el_st_header {
    struct el_st_tensor *tensors;
    size_t n_tensors;
};

/*
 * Checks and reads the JSON of a header that stands before data_nbytes bytes of data; data_offset is where these begin. Every
 * byte of the data must belong to exactly one tensor. The texts of errors do not name the file. On failure *h is empty.
 */
enum el_status el_st_parse(const char *json, size_t nbytes, uint64_t data_offset, uint64_t data_nbytes, struct el_st_header *h,
                           struct el_err *err);
void el_st_header_release(struct el_st_header *h);
/* Opens a file and reads its header. Errors name the file. On failure *f is closed and *h empty. */
enum el_status el_st_open(const char *path, struct el_file *f, struct el_st_header *h, struct el_err *err);

/*
 * formats/st_slices.c: gives the tensor that was last added to a source with an el_store its bytes: n slices of the same shape
 * and type, slice i in file files[i]. EL_E_MEMORY.
 */
enum el_status el_st_add_slices(struct el_source *s, const struct el_st_tensor *const *slices, const uint32_t *files, uint64_t n,
                                struct el_err *err);
/* Adds the tensors of the one file of an el_store to its source, in their order. Their names move out of h. EL_E_MEMORY. */
enum el_status el_st_add_tensors(struct el_source *s, struct el_st_header *h, struct el_err *err);

/*
 * Encoding of a dtype name of the format ("BF16"), NULL e when unknown. F32, F16 and BF16 are the ordinary ones; the others
 * (integers, F64, F8) can be listed, copied and decoded, but are in no table and cannot be weights.
 */
struct el_enc el_st_enc_of_dtype(const char *dtype);
/* The dtype name under which an encoding is stored, NULL when it cannot be. */
const char *el_st_dtype_of_enc(const struct el_enc *enc);
/* The rank by which the format's own library orders tensors: larger comes first, equals by name. */
unsigned el_st_dtype_rank(const struct el_enc *enc);
/* "F32, F16, BF16, ..." for messages; static. */
const char *el_st_dtype_list(void);

/* Appends the dtype, shape and place of one tensor to a header being written ("{" first), begin and end relative to the data. */
void el_st_add_tensor(struct el_buf *json, const char *name, const char *dtype, uint32_t n_dims, const uint64_t *dims,
                      uint64_t begin, uint64_t end);
/* Bytes of a file that are neither data nor el_st_add_tensor's, at most. */
uint64_t el_st_header_nbytes(void);
/* Starts a header: the brace and the metadata that tells Hugging Face's loaders that the tensors are PyTorch's. */
void el_st_begin_header(struct el_buf *json);
/* Closes the brace, pads to 8 bytes and writes length and JSON at the start of f; *data_offset is where the data goes. */
enum el_status el_st_write_header(struct el_buf *json, struct el_outfile *f, uint64_t *data_offset, struct el_err *err);

#endif
