/* GGUF files put together byte by byte, so that tests can write what no writer writes. */
#ifndef EL_TESTS_GGUF_BYTES_H
#define EL_TESTS_GGUF_BYTES_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct gguf_bytes {
    uint8_t *data;
    size_t n, cap;
};

static inline void gb_raw(struct gguf_bytes *b, const void *p, size_t n)
{
    if (b->n + n > b->cap) {
        b->cap = (b->n + n) * 2 + 64;
        b->data = realloc(b->data, b->cap);
        if (!b->data)
            abort();
    }
    if (n > 0)
        memcpy(b->data + b->n, p, n);
    b->n += n;
}

static inline void gb_u8(struct gguf_bytes *b, uint8_t v)
{
    gb_raw(b, &v, 1);
}

static inline void gb_u32(struct gguf_bytes *b, uint32_t v)
{
    const uint8_t p[4] = {(uint8_t)v, (uint8_t)(v >> 8), (uint8_t)(v >> 16), (uint8_t)(v >> 24)};
    gb_raw(b, p, 4);
}

static inline void gb_u64(struct gguf_bytes *b, uint64_t v)
{
    gb_u32(b, (uint32_t)v);
    gb_u32(b, (uint32_t)(v >> 32));
}

static inline void gb_strn(struct gguf_bytes *b, const char *s, size_t n)
{
    gb_u64(b, n);
    gb_raw(b, s, n);
}

static inline void gb_str(struct gguf_bytes *b, const char *s)
{
    gb_strn(b, s, strlen(s));
}

static inline void gb_start(struct gguf_bytes *b, uint32_t version, uint64_t n_tensors, uint64_t n_kv)
{
    gb_raw(b, "GGUF", 4);
    gb_u32(b, version);
    gb_u64(b, n_tensors);
    gb_u64(b, n_kv);
}

static inline void gb_kv(struct gguf_bytes *b, const char *key, uint32_t type)
{
    gb_str(b, key);
    gb_u32(b, type);
}

static inline void gb_kv_u32(struct gguf_bytes *b, const char *key, uint32_t v)
{
    gb_kv(b, key, 4);
    gb_u32(b, v);
}

static inline void gb_kv_f32(struct gguf_bytes *b, const char *key, float v)
{
    gb_kv(b, key, 6);
    gb_raw(b, &v, 4);
}

static inline void gb_kv_str(struct gguf_bytes *b, const char *key, const char *v)
{
    gb_kv(b, key, 8);
    gb_str(b, v);
}

/* dims as in the file: innermost first. */
static inline void gb_tensor(struct gguf_bytes *b, const char *name, uint32_t n_dims, const uint64_t *dims, uint32_t type,
                             uint64_t offset)
{
    gb_str(b, name);
    gb_u32(b, n_dims);
    for (uint32_t i = 0; i < n_dims; i++)
        gb_u64(b, dims[i]);
    gb_u32(b, type);
    gb_u64(b, offset);
}

/* Zeros up to a multiple of align. */
static inline void gb_pad(struct gguf_bytes *b, size_t align)
{
    while (b->n % align)
        gb_u8(b, 0);
}

/* n bytes 0, 1, 2, ... */
static inline void gb_data(struct gguf_bytes *b, size_t n)
{
    for (size_t i = 0; i < n; i++)
        gb_u8(b, (uint8_t)i);
}

static inline void gb_free(struct gguf_bytes *b)
{
    free(b->data);
    memset(b, 0, sizeof *b);
}

/*
 * The parts container of a G4_32 tensor [2, 32], "w.codes" I8 [2, 16] and "w.scales" F16 [2, 1], described by these lines. The
 * codes' type and width and the scales' type are 24, 16 and 1 when all is well; type 99 leaves a part out.
 */
static inline void gb_parts(struct gguf_bytes *b, const char *const *lines, size_t n_lines, uint32_t codes_type,
                            uint64_t codes_width, uint32_t scales_type)
{
    const uint64_t codes[] = {codes_width, 2}, scales[] = {1, 2};
    gb_start(b, 3, 2 - (uint64_t)(codes_type == 99) - (uint64_t)(scales_type == 99), 1);
    gb_kv(b, "edgellm.encodings", 9);
    gb_u32(b, 8);
    gb_u64(b, n_lines);
    for (size_t i = 0; i < n_lines; i++)
        gb_str(b, lines[i]);
    if (codes_type != 99)
        gb_tensor(b, "w.codes", 2, codes, codes_type, 0);
    if (scales_type != 99)
        gb_tensor(b, "w.scales", 2, scales, scales_type, 256);
    gb_pad(b, 32);
    gb_data(b, 512);
}

/*
 * A small file with a value of every type and three tensors, F32 [3, 2], F16 [4], Q8_0 [2, 32], of the bytes 0, 1, 2, ... each.
 */
static inline void gb_small(struct gguf_bytes *b, uint32_t version)
{
    gb_start(b, version, 3, 16);
    gb_kv_str(b, "general.architecture", "none of them");
    gb_kv(b, "u8", 0);
    gb_u8(b, 200);
    gb_kv(b, "i8", 1);
    gb_u8(b, 0x80);
    gb_kv(b, "u16", 2);
    gb_raw(b, "\x34\x12", 2);
    gb_kv(b, "i16", 3);
    gb_raw(b, "\xff\xff", 2);
    gb_kv_u32(b, "u32", 4000000000u);
    gb_kv(b, "i32", 5);
    gb_u32(b, (uint32_t)-7);
    gb_kv_f32(b, "f32", 1.5f);
    gb_kv(b, "bool", 7);
    gb_u8(b, 1);
    gb_kv(b, "u64", 10);
    gb_u64(b, UINT64_C(1) << 63);
    gb_kv(b, "i64", 11);
    gb_u64(b, (uint64_t)-9);
    const double f64 = 0.1;
    gb_kv(b, "f64", 12);
    gb_raw(b, &f64, 8);
    gb_kv(b, "array of i32", 9);
    gb_u32(b, 5);
    gb_u64(b, 3);
    for (uint32_t i = 0; i < 3; i++)
        gb_u32(b, i);
    gb_kv(b, "array of str", 9);
    gb_u32(b, 8);
    gb_u64(b, 3);
    gb_str(b, "one");
    gb_str(b, "");
    gb_strn(b, "t\0o", 3);
    gb_kv(b, "array of bool", 9);
    gb_u32(b, 7);
    gb_u64(b, 2);
    gb_raw(b, "\0\1", 2);
    gb_kv(b, "empty array", 9);
    gb_u32(b, 8);
    gb_u64(b, 0);
    const uint64_t d0[] = {2, 3}, d1[] = {4}, d2[] = {32, 2};
    gb_tensor(b, "first", 2, d0, 0, 0);
    gb_tensor(b, "second", 1, d1, 1, 32);
    gb_tensor(b, "third", 2, d2, 8, 64);
    gb_pad(b, 32);
    gb_data(b, 24);
    gb_pad(b, 32);
    gb_data(b, 8);
    gb_pad(b, 32);
    gb_data(b, 68);
    gb_pad(b, 32);
}

#endif
