/*
 * Pickles as torch.save writes them (Python's pickle, protocols 2 to 5; opcodes as documented in CPython's Lib/pickletools.py):
 * a machine with a stack and a memo that knows dictionaries, lists, tuples, numbers, texts, and the functions that make tensors
 * of storages. It calls nothing: every other global and every other opcode is refused by name, with its place.
 *
 * Bounds: EL_MAX_PICKLE bytes, EL_MAX_PICKLE_VALUES values and places in containers; the memo grows one by one. A value can
 * stand in many places, and in itself: whoever walks containers must bound his depth and his steps.
 */
#ifndef EL_FORMATS_PICKLE_H
#define EL_FORMATS_PICKLE_H

#include "base/limits.h"
#include "tensor/encoding.h"

enum { EL_MAX_PICKLE = 256 << 20, EL_MAX_PICKLE_VALUES = 8 << 20 };

enum el_pickle_kind {
    EL_PICKLE_NONE,
    EL_PICKLE_BOOL,
    EL_PICKLE_INT,
    EL_PICKLE_BIG_INT, /* more than 8 bytes: text and n are its bytes */
    EL_PICKLE_FLOAT,
    EL_PICKLE_TEXT, /* text, n: UTF-8, not checked */
    EL_PICKLE_TUPLE,
    EL_PICKLE_LIST,
    EL_PICKLE_DICT,
    EL_PICKLE_FUNCTION, /* i: which of the functions and types that are known */
    EL_PICKLE_STORAGE,  /* i: index in storages */
    EL_PICKLE_TENSOR,   /* i: index in tensors */
};

struct el_pickle_value {
    enum el_pickle_kind kind;
    uint32_t n;           /* bytes of text, items of a container */
    uint32_t first, last; /* items, EL_PICKLE_END: none */
    union {
        int64_t i;
        double f;
        const char *text; /* in the pickle's bytes */
    };
};

/* An item of a tuple or list (key unused) or dictionary, as indices of values. */
#define EL_PICKLE_END UINT32_MAX
struct el_pickle_item {
    uint32_t key, value, next;
};

struct el_pickle_storage {
    struct el_enc enc; /* e NULL: bytes without a type of their own */
    const char *key;   /* name of its bytes, n_key bytes in the pickle */
    uint32_t n_key;
    uint64_t n_elems;
};

/* A view of a storage: element (i_0, i_1, ...) is at offset + sum i_d strides[d]; all of it lies within n_elems. */
struct el_pickle_tensor {
    uint32_t storage;
    struct el_enc enc;
    uint32_t n_dims; /* 0: a scalar */
    uint64_t dims[EL_MAX_DIMS], strides[EL_MAX_DIMS], offset;
};

struct el_pickle {
    struct el_pickle_value *values;
    struct el_pickle_item *items;
    struct el_pickle_storage *storages;
    struct el_pickle_tensor *tensors;
    size_t n_values, n_items, n_storages, n_tensors;
    uint32_t root; /* the value that the pickle is */
};

/*
 * Reads the pickle that data begins with; *n_used (may be NULL) is where it ends. data must outlive p. EL_E_UNSUPPORTED: an
 * opcode, a global or a tensor that is not accepted; EL_E_FORMAT: damaged. Errors name the opcode and its offset, not the
 * file. On failure p holds nothing.
 */
enum el_status el_pickle_parse(const uint8_t *data, size_t nbytes, struct el_pickle *p, size_t *n_used, struct el_err *err);
void el_pickle_release(struct el_pickle *p);

#endif
