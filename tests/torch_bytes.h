/* Builds archives of torch.save byte by byte, for tests: stored entries, a directory, its end. */
#ifndef EL_TESTS_TORCH_BYTES_H
#define EL_TESTS_TORCH_BYTES_H

#include <string.h>

#include "base/buf.h"

enum { TORCH_ZIP_ENTRIES = 16 };

struct torch_zip {
    struct el_buf b;
    const char *names[TORCH_ZIP_ENTRIES];
    size_t offsets[TORCH_ZIP_ENTRIES], nbytes[TORCH_ZIP_ENTRIES];
    uint32_t n;
};

static void torch_u16(struct el_buf *b, uint16_t v)
{
    el_buf_add_byte(b, (uint8_t)v);
    el_buf_add_byte(b, (uint8_t)(v >> 8));
}

/* One more stored entry, without a checksum. The name is borrowed. */
static void torch_zip_add(struct torch_zip *z, const char *name, const void *data, size_t nbytes)
{
    if (z->n == 0)
        el_buf_init(&z->b);
    z->names[z->n] = name;
    z->offsets[z->n] = z->b.nbytes;
    z->nbytes[z->n++] = nbytes;
    el_buf_add_u32(&z->b, 0x04034b50u);
    torch_u16(&z->b, 0); /* version */
    torch_u16(&z->b, 0); /* flags */
    torch_u16(&z->b, 0); /* method */
    el_buf_add_u32(&z->b, 0);
    el_buf_add_u32(&z->b, 0);
    el_buf_add_u32(&z->b, (uint32_t)nbytes);
    el_buf_add_u32(&z->b, (uint32_t)nbytes);
    torch_u16(&z->b, (uint16_t)strlen(name));
    torch_u16(&z->b, 0);
    el_buf_add_str(&z->b, name);
    el_buf_add(&z->b, data, nbytes);
}

/* The directory and its end; where the directory begins. */
static size_t torch_zip_end(struct torch_zip *z)
{
    const size_t begin = z->b.nbytes;
    for (uint32_t i = 0; i < z->n; i++) {
        el_buf_add_u32(&z->b, 0x02014b50u);
        el_buf_add_u32(&z->b, 0); /* versions */
        torch_u16(&z->b, 0);      /* flags */
        torch_u16(&z->b, 0);      /* method */
        el_buf_add_u64(&z->b, 0); /* time, date, checksum */
        el_buf_add_u32(&z->b, (uint32_t)z->nbytes[i]);
        el_buf_add_u32(&z->b, (uint32_t)z->nbytes[i]);
        torch_u16(&z->b, (uint16_t)strlen(z->names[i]));
        torch_u16(&z->b, 0);
        torch_u16(&z->b, 0);
        el_buf_add_u64(&z->b, 0); /* disk, attributes */
        el_buf_add_u32(&z->b, (uint32_t)z->offsets[i]);
        el_buf_add_str(&z->b, z->names[i]);
    }
    const size_t nbytes = z->b.nbytes - begin;
    el_buf_add_u32(&z->b, 0x06054b50u);
    el_buf_add_u32(&z->b, 0);
    torch_u16(&z->b, (uint16_t)z->n);
    torch_u16(&z->b, (uint16_t)z->n);
    el_buf_add_u32(&z->b, (uint32_t)nbytes);
    el_buf_add_u32(&z->b, (uint32_t)begin);
    torch_u16(&z->b, 0);
    return begin;
}

/* A text as BINUNICODE. */
#define TORCH_TEXT(n_hex, s) "X" n_hex "\0\0\0" s
/* The storage '0' of four float32, then a tensor [2, 2] of it: persistent id, offset, size, stride, no gradient, no hooks. */
#define TORCH_STORAGE                                                                                                            \
    "(" TORCH_TEXT("\x07", "storage") "ctorch\nFloatStorage\n" TORCH_TEXT("\x01", "0") TORCH_TEXT("\x03", "cpu") "K\x04tQ"
#define TORCH_TENSOR(storage, offset, size, stride)                                                                              \
    "ctorch._utils\n_rebuild_tensor_v2\n(" storage offset "(" size "t(" stride "t\x89"                                           \
    "ccollections\nOrderedDict\n)RtR"
/* A dictionary with one entry "w". */
#define TORCH_DICT(value) "\x80\x02}" TORCH_TEXT("\x01", "w") value "s."
#define TORCH_GOOD        TORCH_DICT(TORCH_TENSOR(TORCH_STORAGE, "K\0", "K\x02K\x02", "K\x02K\x01"))

#endif
