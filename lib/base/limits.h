/* What a file may ask for. Every limit is named in the error that it causes. */
#ifndef EL_BASE_LIMITS_H
#define EL_BASE_LIMITS_H

enum {
    EL_MAX_DIMS = 4,
    EL_MAX_TENSOR_NAME = 255, /* bytes; GGUF itself allows 63, other files more */
    EL_MAX_KEY = 65535,       /* bytes of a metadata key */
    EL_MAX_STRING = 64 << 20, /* bytes of a metadata string */
    EL_MAX_ARRAY = 16 << 20,  /* elements of a metadata array */
    EL_MAX_META = 1 << 16,    /* metadata entries: each costs memory several times its bytes in the file */
    EL_MAX_TENSORS = 1 << 20,
    EL_MAX_GGUF_TENSORS = 1 << 16, /* experts are stacked there */
    EL_MAX_ALIGNMENT = 1 << 20,
    EL_MAX_GGUF_HEADER = 512 << 20,
    EL_MAX_SAFETENSORS_HEADER = 100000000,
    EL_MAX_SAFETENSORS_TENSORS = 1 << 16, /* of one file: a tensor takes several times the memory of its line in the header */
    EL_MAX_SAFETENSORS_ENTRY = 1 << 16,   /* bytes of such a line; the longest that makes sense has a few hundred */
    EL_MAX_JSON = 512 << 20,
    EL_MAX_JSON_DEPTH = 64,
    EL_MAX_JSON_VALUES = 4 << 20,
    EL_MAX_SPLITS = 9999,
    EL_MAX_LAYERS = 4096,
    EL_MAX_EXPERTS = 4096,
    EL_MAX_VOCAB = 4 << 20,
    EL_MAX_EMBD = 1 << 20,
    EL_MAX_HEADS = 65536,
    EL_MAX_CTX = 1 << 30,
};

#endif
