/*
 * Damaged and hostile GGUF files. Each row of the table makes one, and says which status and which words it must be refused with.
 * Besides: every truncation of a small file, and every bit of it flipped.
 */
#include "test.h"

#include <fcntl.h>
#include <unistd.h>

#include "base/limits.h"
#include "formats/gguf.h"
#include "gguf_bytes.h"

/* ---- makers: `text` and the numbers `a` mean what the maker says ---- */

struct bad_case {
    const char *name;
    void (*make)(struct gguf_bytes *b, const struct bad_case *c);
    enum el_status status;
    const char *words; /* in the message */
    const char *text;
    size_t n_text;
    uint64_t a[6];
};

/* The text is the file. */
static void raw(struct gguf_bytes *b, const struct bad_case *c)
{
    gb_raw(b, c->text, c->n_text);
}

/* Version, number of tensors, of metadata; then so many bytes. */
static void start(struct gguf_bytes *b, const struct bad_case *c)
{
    gb_start(b, (uint32_t)c->a[0], c->a[1], c->a[2]);
    gb_data(b, (size_t)c->a[3]);
}

/* One metadata entry with the text as key; a[0] added to its length; so many bytes behind. */
static void key(struct gguf_bytes *b, const struct bad_case *c)
{
    gb_start(b, 3, 0, 1);
    gb_u64(b, c->n_text + c->a[0]);
    gb_raw(b, c->text, c->n_text);
    gb_data(b, (size_t)c->a[1]);
}

/*
 * One metadata entry `k` of type a[0], whose value is the text; and 64 bytes, so that nothing is refused for want of bytes alone.
 */
static void value(struct gguf_bytes *b, const struct bad_case *c)
{
    gb_start(b, 3, 0, 1);
    gb_kv(b, "k", (uint32_t)c->a[0]);
    gb_raw(b, c->text, c->n_text);
    gb_data(b, 64);
}

/* One array `list` of a[1] elements of type a[0], the text, and 64 bytes. */
static void array(struct gguf_bytes *b, const struct bad_case *c)
{
    gb_start(b, 3, 0, 1);
    gb_kv(b, "list", 9);
    gb_u32(b, (uint32_t)c->a[0]);
    gb_u64(b, c->a[1]);
    gb_raw(b, c->text, c->n_text);
    gb_data(b, 64);
}

/* general.alignment of type a[0] and value a[1] (text: a string). */
static void alignment(struct gguf_bytes *b, const struct bad_case *c)
{
    gb_start(b, 3, 0, 1);
    gb_kv(b, "general.alignment", (uint32_t)c->a[0]);
    if (c->text)
        gb_str(b, c->text);
    else
        gb_u32(b, (uint32_t)c->a[1]);
    gb_data(b, 64);
}

/* One F32 tensor [4] of this name; a[0] added to the name's length. */
static void name(struct gguf_bytes *b, const struct bad_case *c)
{
    gb_start(b, 3, 1, 0);
    gb_u64(b, c->n_text + c->a[0]);
    gb_raw(b, c->text, c->n_text);
    gb_u32(b, 1);
    gb_u64(b, 4);
    gb_u32(b, 0);
    gb_u64(b, 0);
    gb_pad(b, 32);
    gb_data(b, 320);
}

/* One tensor `w`: type, number of dimensions, dimensions as in the file. */
static void shape(struct gguf_bytes *b, const struct bad_case *c)
{
    gb_start(b, 3, 1, 0);
    gb_str(b, "w");
    gb_u32(b, (uint32_t)c->a[1]);
    for (uint32_t i = 0; i < c->a[1] && i < 4; i++)
        gb_u64(b, c->a[2 + i]);
    gb_u32(b, (uint32_t)c->a[0]);
    gb_u64(b, 0);
    gb_pad(b, 32);
    gb_data(b, 256);
}

/* F32 tensors `a` [4] and `b` [a[3]], or [4], at these offsets; so many bytes of data. */
static void two_tensors(struct gguf_bytes *b, const struct bad_case *c)
{
    const uint64_t four[] = {4}, other[] = {c->a[3] ? c->a[3] : 4};
    gb_start(b, 3, 2, 0);
    gb_tensor(b, "a", 1, four, 0, c->a[0]);
    gb_tensor(b, "b", 1, other, 0, c->a[1]);
    gb_pad(b, 32);
    gb_data(b, (size_t)c->a[2]);
}

/* A G4_32 tensor [2, 32] in parts, described by the text. */
static void line(struct gguf_bytes *b, const struct bad_case *c)
{
    const char *const lines[] = {c->text};
    gb_parts(b, lines, 1, 24, 16, 1);
}

/* The same, described well, whose parts have these: type of the codes (99: none), their width, type of the scales (99: none). */
static void parts(struct gguf_bytes *b, const struct bad_case *c)
{
    static const char *const lines[] = {"w G4_32 2,32", "w G4_32 2,32"};
    gb_parts(b, lines, c->a[3] ? 2 : 1, (uint32_t)c->a[0], c->a[1], (uint32_t)c->a[2]);
}

/* edgellm.encodings is an array of a[1] elements of type a[0], and there are no tensors. */
static void container(struct gguf_bytes *b, const struct bad_case *c)
{
    gb_start(b, 3, 0, 1);
    gb_kv(b, EL_GGUF_ENCODINGS_KEY, 9);
    gb_u32(b, (uint32_t)c->a[0]);
    gb_u64(b, c->a[1]);
    gb_raw(b, c->text, c->n_text);
}

/* ---- makers of one file each ---- */

static void key_too_long(struct gguf_bytes *b, const struct bad_case *c)
{
    (void)c;
    gb_start(b, 3, 0, 1);
    gb_u64(b, EL_MAX_KEY + 1);
    gb_data(b, EL_MAX_KEY + 100);
}

static void key_twice(struct gguf_bytes *b, const struct bad_case *c)
{
    (void)c;
    gb_start(b, 3, 0, 3);
    gb_kv_u32(b, "once", 1);
    gb_kv_u32(b, "again", 2);
    gb_kv_u32(b, "once", 3);
}

static void name_too_long(struct gguf_bytes *b, const struct bad_case *c)
{
    char text[256];
    struct bad_case long_name = *c;
    memset(text, 'n', sizeof text);
    long_name.text = text;
    long_name.n_text = sizeof text;
    name(b, &long_name);
}

static void name_twice(struct gguf_bytes *b, const struct bad_case *c)
{
    const uint64_t dims[] = {4};
    (void)c;
    gb_start(b, 3, 2, 0);
    gb_tensor(b, "same", 1, dims, 0, 0);
    gb_tensor(b, "same", 1, dims, 0, 32);
    gb_pad(b, 32);
    gb_data(b, 64);
}

static void cut_tensor(struct gguf_bytes *b, const struct bad_case *c)
{
    (void)c;
    gb_start(b, 3, 1, 1);
    gb_kv_u32(b, "x", 1);
    gb_str(b, "tensor with a longer name");
    gb_u32(b, 2);
    gb_u64(b, 4);
}

static void parts_long_name(struct gguf_bytes *b, const struct bad_case *c)
{
    char text[400];
    const char *const lines[] = {text};
    (void)c;
    memset(text, 'n', sizeof text);
    memcpy(text + 300, " G4_32 2,32", 12);
    gb_parts(b, lines, 1, 24, 16, 1);
}

static void parts_nul(struct gguf_bytes *b, const struct bad_case *c)
{
    const uint64_t dims[] = {4};
    (void)c;
    gb_start(b, 3, 1, 1);
    gb_kv(b, EL_GGUF_ENCODINGS_KEY, 9);
    gb_u32(b, 8);
    gb_u64(b, 1);
    gb_strn(b, "w G4_32\0 2,32", 13);
    gb_tensor(b, "w.codes", 1, dims, 24, 0);
    gb_pad(b, 32);
    gb_data(b, 32);
}

static void parts_and_plain(struct gguf_bytes *b, const struct bad_case *c)
{
    const uint64_t codes[] = {16, 2}, scales[] = {1, 2}, plain[] = {3, 2};
    (void)c;
    gb_start(b, 3, 3, 1);
    gb_kv(b, EL_GGUF_ENCODINGS_KEY, 9);
    gb_u32(b, 8);
    gb_u64(b, 1);
    gb_str(b, "w G4_32 2,32");
    gb_tensor(b, "w.codes", 2, codes, 24, 0);
    gb_tensor(b, "w.scales", 2, scales, 1, 32);
    gb_tensor(b, "w", 2, plain, 0, 64);
    gb_pad(b, 32);
    gb_data(b, 96);
}

/* split.count of the number a[0], or the text. */
static void split_count(struct gguf_bytes *b, const struct bad_case *c)
{
    gb_start(b, 3, 0, 1);
    if (c->text)
        gb_kv_str(b, "split.count", c->text);
    else
        gb_kv_u32(b, "split.count", (uint32_t)c->a[0]);
}

/* ---- the table ---- */

#define TEXT(s)      .text = (s), .n_text = sizeof(s) - 1
#define NUMBERS(...) .a = {__VA_ARGS__}
#define POW2(n)      (UINT64_C(1) << (n))
#define BAD(make, words, ...)                                                                                                    \
    {                                                                                                                            \
#make, make, EL_E_FORMAT, words, __VA_ARGS__                                                                             \
    }
#define UNKNOWN(make, words, ...)                                                                                                \
    {                                                                                                                            \
#make, make, EL_E_UNSUPPORTED, words, __VA_ARGS__                                                                        \
    }

static const struct bad_case cases[] = {
    BAD(raw, "the file is empty", TEXT("")),
    BAD(raw, "truncated at byte 1, in the magic that begins at byte 0", TEXT("G")),
    BAD(raw, "not a GGUF file: the first bytes are 50 4b 03 04, must be 47 47 55 46 ('GGUF')", TEXT("PK\x03\x04 and so on")),
    BAD(raw, "the first bytes are 3c 21 44 4f", TEXT("<!DOCTYPE html>")),
    BAD(raw, "the first bytes are 76 65 72 73", TEXT("version https://git-lfs.github.com/spec/v1\n")),
    BAD(raw, "the first bytes are 67 67 75 66", TEXT("gguf\3\0\0\0")),
    BAD(raw, "truncated at byte 6, in the version that begins at byte 4", TEXT("GGUF\3\0")),
    BAD(raw, "truncated at byte 9, in the tensor count that begins at byte 8", TEXT("GGUF\3\0\0\0\1")),
    BAD(raw, "truncated at byte 17, in the metadata count that begins at byte 16", TEXT("GGUF\3\0\0\0\0\0\0\0\0\0\0\0\0")),
    UNKNOWN(start, "GGUF version 0, supported are 2 and 3", NUMBERS(0)),
    UNKNOWN(start, "GGUF version 1, supported are 2 and 3", NUMBERS(1)),
    UNKNOWN(start, "GGUF version 4, supported are 2 and 3", NUMBERS(4)),
    UNKNOWN(start, "GGUF version 4294967295", NUMBERS(UINT32_MAX)),
    UNKNOWN(start, "big-endian GGUF (version 3 byte-swapped), only little-endian files are read", NUMBERS(0x03000000)),
    UNKNOWN(start, "big-endian GGUF (version 2 byte-swapped)", NUMBERS(0x02000000)),
    BAD(start, "truncated: metadata count 1000, but the file has only 100 bytes left", NUMBERS(3, 0, 1000, 100)),
    BAD(start, "metadata count 65537, at most 65536", NUMBERS(3, 0, 65537)),
    BAD(start, "metadata count 2147483648, at most", NUMBERS(3, 0, POW2(31))),
    BAD(start, "metadata count 4294967296, at most", NUMBERS(3, 0, POW2(32))),
    BAD(start, "metadata count 2305843009213693952, at most", NUMBERS(3, 0, POW2(61))),
    BAD(start, "metadata count 9223372036854775808, at most", NUMBERS(3, 0, POW2(63))),
    BAD(start, "metadata count 18446744073709551615, at most", NUMBERS(3, 0, UINT64_MAX)),
    BAD(start, "truncated: tensor count 1000, but the file has only 100 bytes left", NUMBERS(3, 1000, 0, 100)),
    BAD(start, "tensor count 65537, at most 65536", NUMBERS(3, 65537)),
    BAD(start, "tensor count 2147483648, at most", NUMBERS(3, POW2(31))),
    BAD(start, "tensor count 4294967296, at most", NUMBERS(3, POW2(32))),
    BAD(start, "tensor count 2305843009213693952, at most", NUMBERS(3, POW2(61))),
    BAD(start, "tensor count 9223372036854775808, at most", NUMBERS(3, POW2(63))),
    BAD(start, "tensor count 18446744073709551615, at most", NUMBERS(3, UINT64_MAX)),
    BAD(key, "metadata 1 of 1: key of 18446744073709551615 bytes, but the file has only 64 left", NUMBERS(UINT64_MAX, 64)),
    BAD(key, "metadata 1 of 1: key of 65 bytes, but the file has only 64 left", NUMBERS(65, 64)),
    BAD(key_too_long, "metadata 1 of 1: key of 65536 bytes, at most 65535", NUMBERS(0)),
    BAD(key, "metadata 1 of 1: empty key", NUMBERS(0, 64)),
    BAD(key, "key has control character 0x00 at byte 1", TEXT("a\0b"), NUMBERS(0, 64)),
    BAD(key, "key has control character 0x1b at byte 1", TEXT("a\033[2Jb"), NUMBERS(0, 64)),
    BAD(key, "metadata 1 of 1: key is no valid UTF-8", TEXT("a\xff"), NUMBERS(0, 64)),
    BAD(key, "key is no valid UTF-8", TEXT("\xed\xa0\x80"), NUMBERS(0, 64)),
    BAD(key, "metadata 'somekey': truncated at byte 42, in the value type that begins at byte 39", TEXT("somekey"),
        NUMBERS(0, 3)),
    BAD(key_twice, "metadata 'once': duplicate key", NUMBERS(0)),
    BAD(value, "metadata 'k': value of type 13, at most 12", NUMBERS(13)),
    BAD(value, "metadata 'k': value of type 4294967295, at most 12", NUMBERS(UINT32_MAX)),
    BAD(value, "metadata 'k': bool of value 2, must be 0 or 1", TEXT("\2"), NUMBERS(7)),
    BAD(value, "metadata 'k': bool of value 255, must be 0 or 1", TEXT("\377"), NUMBERS(7)),
    BAD(value, "metadata 'k': string of 1073741824 bytes, but the file has only 64 left", TEXT("\0\0\0\100\0\0\0\0"), NUMBERS(8)),
    BAD(value, "string of 18446744073709551615 bytes, but the file has only 64 left", TEXT("\377\377\377\377\377\377\377\377"),
        NUMBERS(8)),
    BAD(key, "metadata 'kkkkkkk': truncated at byte 43, in the value that begins at byte 43", TEXT("kkkkkkk\4\0\0\0"),
        NUMBERS(UINT64_MAX - 3, 0)),
    BAD(array, "metadata 'list': an array of arrays, which is not allowed", NUMBERS(9, 1)),
    BAD(array, "metadata 'list': array of type 13, at most 12", NUMBERS(13, 1)),
    BAD(array, "array of 9223372036854775808 elements, at most 16777216", NUMBERS(0, POW2(63))),
    BAD(array, "array of 18446744073709551615 elements, at most", NUMBERS(12, UINT64_MAX)),
    BAD(array, "array of 16777217 elements, at most 16777216", NUMBERS(0, EL_MAX_ARRAY + 1)),
    BAD(array, "array of 2305843009213693952 elements, at most", NUMBERS(10, POW2(61))),
    BAD(array, "truncated: array of 9 uint64 elements, but the file has only 64 bytes left", NUMBERS(10, 9)),
    BAD(array, "truncated: array of 65 uint8 elements, but the file has only 64 bytes left", NUMBERS(0, 65)),
    BAD(array, "truncated: array of 9 string elements, but the file has only 64 bytes left", NUMBERS(8, 9)),
    BAD(array, "metadata 'list': string 1 of 1073741824 bytes, but the file has only 64 left",
        TEXT("\2\0\0\0\0\0\0\0ok\0\0\0\100\0\0\0\0"), NUMBERS(8, 2)),
    BAD(array, "metadata 'list': string 0 of 18446744073709551608 bytes", TEXT("\370\377\377\377\377\377\377\377"),
        NUMBERS(8, 2)),
    BAD(array, "metadata 'list': bool of value 7, must be 0 or 1", TEXT("\0\1\7"), NUMBERS(7, 3)),
    BAD(alignment, "metadata 'general.alignment': 0, must be a power of two from 1 to 1048576", NUMBERS(4, 0)),
    BAD(alignment, "metadata 'general.alignment': 3, must be a power of two", NUMBERS(4, 3)),
    BAD(alignment, "metadata 'general.alignment': 13, must be a power of two", NUMBERS(4, 13)),
    BAD(alignment, "metadata 'general.alignment': 2097152, must be a power of two from 1 to 1048576", NUMBERS(4, 1u << 21)),
    BAD(alignment, "metadata 'general.alignment': 2147483648, must be a power of two", NUMBERS(4, 1u << 31)),
    BAD(alignment, "metadata 'general.alignment': of type int32, must be uint32", NUMBERS(5, 32)),
    BAD(alignment, "metadata 'general.alignment': of type string, must be uint32", TEXT("32"), NUMBERS(8)),
    BAD(name, "tensor 1 of 1: empty name", NUMBERS(0)),
    BAD(name_too_long, "tensor 1 of 1: name of 256 bytes, at most 255", NUMBERS(0)),
    BAD(name, "tensor 1 of 1: name of 18446744073709551615 bytes, but the file has only", NUMBERS(UINT64_MAX)),
    BAD(name, "tensor 1 of 1: name has control character 0x00 at byte 1", TEXT("a\0"), NUMBERS(0)),
    BAD(name, "tensor 1 of 1: name has control character 0x1b at byte 0", TEXT("\033]52;c;AAAA\a"), NUMBERS(0)),
    BAD(name, "name has control character 0x7f at byte 1", TEXT("a\177"), NUMBERS(0)),
    BAD(name, "tensor 1 of 1: name is no valid UTF-8", TEXT("\xc0\xaf"), NUMBERS(0)),
    BAD(name_twice, "tensor 'same': duplicate name, tensors 1 and 2", NUMBERS(0)),
    BAD(shape, "tensor 'w': 0 dimensions, must be 1 to 4", NUMBERS(0, 0)),
    BAD(shape, "tensor 'w': 5 dimensions, must be 1 to 4", NUMBERS(0, 5, 1, 1, 1, 1)),
    BAD(shape, "tensor 'w': 4294967295 dimensions, must be 1 to 4", NUMBERS(0, UINT32_MAX)),
    BAD(shape, "tensor 'w': dimension 0 is 18446744073709551615, at most 2^63 - 1", NUMBERS(0, 1, UINT64_MAX)),
    BAD(shape, "tensor 'w': dimension 0 is 9223372036854775808, at most 2^63 - 1", NUMBERS(0, 2, 4, POW2(63))),
    BAD(shape, "the number of elements of [4294967296, 4294967296, 0, 0] overflows", NUMBERS(0, 2, POW2(32), POW2(32))),
    BAD(shape, "the number of elements of [4, 4611686018427387905, 4611686018427387904, 0] overflows",
        NUMBERS(0, 3, POW2(62), POW2(62) + 1, 4)),
    BAD(shape, "the number of elements of [1, 1099511627776, 1099511627776, 0] overflows",
        NUMBERS(0, 4, 0, POW2(40), POW2(40), 1)),
    BAD(shape, "tensor 'w': the number of bytes overflows", NUMBERS(0, 2, POW2(31), POW2(31))),
    BAD(shape, "tensor 'w': rows of 31 elements, must be a multiple of 32 for type 8 (Q8_0)", NUMBERS(8, 2, 31, 2)),
    BAD(shape, "tensor 'w': rows of 128 elements, must be a multiple of 256 for type 12 (Q4_K)", NUMBERS(12, 2, 128, 2)),
    UNKNOWN(shape, "tensor 'w': type 4 (Q4_2), which this version does not read", NUMBERS(4, 1, 256)),
    UNKNOWN(shape, "tensor 'w': type 5 (Q4_3), which this version does not read", NUMBERS(5, 1, 256)),
    UNKNOWN(shape, "tensor 'w': type 9 (Q8_1), which this version does not read", NUMBERS(9, 1, 256)),
    UNKNOWN(shape, "tensor 'w': type 31 (Q4_0_4_4), which this version does not read", NUMBERS(31, 1, 256)),
    UNKNOWN(shape, "tensor 'w': type 32 (Q4_0_4_8), which this version does not read", NUMBERS(32, 1, 256)),
    UNKNOWN(shape, "tensor 'w': type 33 (Q4_0_8_8), which this version does not read", NUMBERS(33, 1, 256)),
    UNKNOWN(shape, "tensor 'w': type 26 (I32), which this version reads only as a part of its own encodings", NUMBERS(26, 1, 4)),
    UNKNOWN(shape, "tensor 'w': type 1000, which ggml does not define", NUMBERS(1000, 1, 4)),
    UNKNOWN(shape, "tensor 'w': type 4294967295, which ggml does not define", NUMBERS(UINT32_MAX, 1, 4)),
    BAD(shape, "tensor 'w': 4398046511104 bytes at offset 0 of the data, but the file has only 256 bytes of data",
        NUMBERS(0, 2, 1 << 20, 1 << 20)),
    BAD(two_tensors, "tensor 'b': offset 17, must be a multiple of the alignment 32", NUMBERS(0, 17, 64)),
    BAD(two_tensors, "tensor 'b': 16 bytes at offset 4096 of the data, but the file has only 64 bytes of data",
        NUMBERS(0, 4096, 64)),
    BAD(two_tensors, "tensor 'b': 16 bytes at offset 64 of the data, but the file has only 64 bytes of data", NUMBERS(0, 64, 64)),
    BAD(two_tensors, "tensor 'b': 16 bytes at offset 18446744073709551584 of the data", NUMBERS(0, UINT64_MAX - 31, 64)),
    BAD(two_tensors, "tensor 'b': 16 bytes at offset 32 of the data, but the file has only 47 bytes of data", NUMBERS(0, 32, 47)),
    BAD(two_tensors, "tensor 'a': 16 bytes at offset 0 of the data, but the file has only 0 bytes of data", NUMBERS(0, 32, 0)),
    BAD(two_tensors, "tensor 'b' at offset 32 of the data overlaps 'a', which ends at 48", NUMBERS(32, 32, 64)),
    BAD(two_tensors, "tensor 'a' at offset 32 of the data overlaps 'b', which ends at 40", NUMBERS(32, 0, 64, 10)),
    BAD(cut_tensor, "tensor 'tensor with a longer name': truncated at byte", NUMBERS(0)),
    BAD(container, "metadata 'edgellm.encodings': must be an array of strings", NUMBERS(4, 0)),
    BAD(container, "metadata 'edgellm.encodings': 1 tensors, but the file has only 0", TEXT("\1\0\0\0\0\0\0\0x"), NUMBERS(8, 1)),
    BAD(line, "'' is not NAME ENCODING DIM,DIM,...", TEXT("")),
    BAD(line, "'w' is not NAME ENCODING DIM,DIM,...", TEXT("w")),
    BAD(line, "'w G4_32' is not NAME ENCODING DIM,DIM,...", TEXT("w G4_32")),
    BAD(line, "' G4_32 2,32' is not NAME ENCODING DIM,DIM,...", TEXT(" G4_32 2,32")),
    BAD(line, "'w G4_32 ' is not NAME ENCODING DIM,DIM,...", TEXT("w G4_32 ")),
    BAD(line, "'w G4_32 2,-32' is not NAME ENCODING DIM,DIM,...", TEXT("w G4_32 2,-32")),
    BAD(line, "'w G4_32 2,' is not NAME ENCODING DIM,DIM,...", TEXT("w G4_32 2,")),
    BAD(line, "'w G4_32 1,1,1,2,32' is not NAME ENCODING DIM,DIM,...", TEXT("w G4_32 1,1,1,2,32")),
    BAD(line, "'w G4_32 2,99999999999999999999' is not NAME ENCODING DIM,DIM,...", TEXT("w G4_32 2,99999999999999999999")),
    BAD(line, "tensor 'w': number of elements overflows 64 bits at dimension 1", TEXT("w G4_32 4294967296,4294967296,32")),
    UNKNOWN(line, "tensor 'w': encoding 'TRELLIS' is not known to this version", TEXT("w TRELLIS 2,32")),
    UNKNOWN(line, "is not known to this version", TEXT("w G4_32G4_32G4_32G4_32G4_32G4_32G4_32G4_32G4_32 2,32")),
    BAD(line, "tensor 'w': metadata 'edgellm.encodings' names Q8_0, which has a type of its own in GGUF", TEXT("w Q8_0 2,32")),
    BAD(line, "tensor 'w.codes': 32 bytes in 2 dimensions, must be 64 in 2 as a part of G4_32", TEXT("w G4_32 2,64")),
    BAD(line, "tensor 'w.codes': 32 bytes in 2 dimensions, must be 32 in 3 as a part of G4_32", TEXT("w G4_32 1,2,32")),
    BAD(line, "tensor 'v' is G4_32 by metadata 'edgellm.encodings', but its part 'v.codes' is missing", TEXT("v G4_32 2,32")),
    BAD(parts, "but its part 'w.codes' is missing", NUMBERS(99, 16, 1)),
    BAD(parts, "but its part 'w.scales' is missing", NUMBERS(24, 16, 99)),
    BAD(parts, "tensor 'w.codes': type F32, must be I8 as a part of G4_32", NUMBERS(0, 16, 1)),
    BAD(parts, "tensor 'w.scales': type BF16, must be F16 as a part of G4_32", NUMBERS(24, 16, 30)),
    BAD(parts, "tensor 'w.codes': 34 bytes in 2 dimensions, must be 32 in 2 as a part of G4_32", NUMBERS(24, 17, 1)),
    BAD(parts, "metadata 'edgellm.encodings': tensor 'w' is named twice", NUMBERS(24, 16, 1, 1)),
    BAD(parts_nul, "'w G4_32' is not NAME ENCODING DIM,DIM,...", NUMBERS(0)),
    BAD(parts_long_name, "metadata 'edgellm.encodings': name of 300 bytes, at most 255", NUMBERS(0)),
    BAD(parts_and_plain, "tensor 'w' is there as itself and in metadata 'edgellm.encodings'", NUMBERS(0)),
    BAD(split_count, "one of 2 parts, which must be named NAME-00001-of-00002.gguf to be found", NUMBERS(2)),
    BAD(split_count, "metadata 'split.count': 10000, must be 0 to 9999", NUMBERS(10000)),
    BAD(split_count, "metadata 'split.count': of type string, must be an integer", TEXT("two")),
};
enum { N_CASES = sizeof cases / sizeof cases[0] };

/* Opens by path, and says what came of it. */
static enum el_status open_path(const char *path, bool strict, struct el_err *err)
{
    const struct el_source_opts opts = {.format = "gguf", .strict = strict};
    struct el_source *s = NULL;
    const enum el_status status = el_source_open(path, &opts, &s, err);
    CHECK((s == NULL) == (status != EL_OK));
    el_source_close(s);
    return status;
}

static void check_refused(const char *name, enum el_status got, const struct el_err *err, enum el_status want, const char *words)
{
    if (got != want || !strstr(err->text, words))
        test_fail(__FILE__, __LINE__, "%s: status %d '%s', must be %d '%s'", name, (int)got, err->text, (int)want, words);
}

TEST(bad_gguf, every_case_is_refused_by_name)
{
    unsigned n_distinct = 0;
    for (size_t i = 0; i < N_CASES; i++) {
        const struct bad_case *const c = &cases[i];
        struct gguf_bytes b = {0};
        struct el_err err = {.code = EL_OK};
        c->make(&b, c);
        char file_name[80];
        snprintf(file_name, sizeof file_name, "%s-%zu.gguf", c->name, i);
        const char *const path = test_tmp(file_name);
        REQUIRE(test_write(path, b.data ? b.data : (const uint8_t *)"", b.n));
        check_refused(c->name, open_path(path, false, &err), &err, c->status, c->words);
        CHECK(strstr(err.text, file_name) != NULL); /* the error names the file */
        struct el_source *s = NULL;
        uint8_t *const exact = malloc(b.n ? b.n : 1); /* so that the sanitizer sees the end */
        memcpy(exact, b.data ? b.data : (const uint8_t *)"", b.n);
        check_refused(c->name, el_gguf_open_memory(exact, b.n, NULL, &s, &err), &err, c->status, c->words);
        CHECK(s == NULL);
        free(exact);
        unlink(path);
        bool seen = false;
        for (size_t j = 0; j < i && !seen; j++)
            seen = cases[j].status == c->status && strcmp(cases[j].words, c->words) == 0;
        n_distinct += !seen;
        gb_free(&b);
    }
    CHECK(n_distinct >= 120);
}

/* Odd, but not wrong: these must open. */
TEST(bad_gguf, harmless_oddities_are_read)
{
    struct gguf_bytes b = {0};
    struct el_err err;
    struct el_source *s = NULL;
    static const char *const names[] = {"../../x", "a b", "\xc3\xa9\xe2\x80\xae",
                                        "64 bytes: 0123456789012345678901234567890123456789012345678901234"};
    for (size_t i = 0; i < 4; i++) {
        const struct bad_case c = {.text = names[i], .n_text = strlen(names[i])};
        name(&b, &c);
        CHECK_OK(el_gguf_open_memory(b.data, b.n, NULL, &s, &err), err);
        CHECK_EQ_STR(el_source_tensor(s, 0).name, names[i]);
        el_source_close(s);
        gb_free(&b);
    }
    const struct bad_case descending = {NUMBERS(32, 0, 64)}, tight = {NUMBERS(0, 32, 48)};
    two_tensors(&b, &descending);
    CHECK_OK(el_gguf_open_memory(b.data, b.n, NULL, &s, &err), err);
    CHECK(el_source_tensor(s, 0).offset > el_source_tensor(s, 1).offset);
    el_source_close(s);
    gb_free(&b);
    two_tensors(&b, &tight); /* ends with the last byte of the last tensor */
    CHECK_OK(el_gguf_open_memory(b.data, b.n, NULL, &s, &err), err);
    el_source_close(s);
    gb_free(&b);
    /* A chat template of 10 MiB. */
    enum { N_TEMPLATE = 10 << 20 };
    gb_start(&b, 3, 0, 1);
    gb_kv(&b, "tokenizer.chat_template", 8);
    gb_u64(&b, N_TEMPLATE);
    gb_data(&b, N_TEMPLATE);
    CHECK_OK(el_gguf_open_memory(b.data, b.n, NULL, &s, &err), err);
    el_source_close(s);
    gb_free(&b);
}

/* Limits that only a large file reaches: a sparse one, whose bytes nobody may read. */
TEST(bad_gguf, limits_of_large_files)
{
    static const struct {
        bool in_array;
        uint64_t n;
        const char *words;
    } large[] = {
        {false, EL_MAX_STRING + 1, "string of 67108865 bytes, at most 67108864"},
        {true, EL_MAX_STRING + 1, "string 0 of 67108865 bytes, at most 67108864"},
        {false, 0, "the header is longer than 536870912 bytes, the most that is allowed"},
        {true, 0, "the header is longer than 536870912 bytes, the most that is allowed"},
    };
    for (size_t i = 0; i < 4; i++) {
        struct gguf_bytes b = {0};
        struct el_err err;
        const char *const path = test_tmp("sparse.gguf");
        const bool many = large[i].n == 0;
        uint64_t at = 0;
        gb_start(&b, 3, 0, many && !large[i].in_array ? 20 : 1);
        const int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
        REQUIRE(fd >= 0);
        if (many) { /* strings of zeros that each are short enough */
            if (large[i].in_array) {
                gb_kv(&b, "list", 9);
                gb_u32(&b, 8);
                gb_u64(&b, 20);
            }
            for (unsigned k = 0; k < 20; k++) {
                char key[8];
                snprintf(key, sizeof key, "k%u", k);
                if (!large[i].in_array)
                    gb_kv(&b, key, 8);
                gb_u64(&b, 30 << 20);
                CHECK(pwrite(fd, b.data, b.n, (off_t)at) == (ssize_t)b.n);
                at += b.n + (30 << 20);
                b.n = 0;
            }
        } else {
            gb_kv(&b, "big", large[i].in_array ? 9 : 8);
            if (large[i].in_array) {
                gb_u32(&b, 8);
                gb_u64(&b, 1);
            }
            gb_u64(&b, large[i].n);
            CHECK(pwrite(fd, b.data, b.n, 0) == (ssize_t)b.n);
        }
        CHECK(ftruncate(fd, 700 << 20) == 0);
        close(fd);
        check_refused("sparse", open_path(path, false, &err), &err, EL_E_FORMAT, large[i].words);
        gb_free(&b);
        unlink(path);
    }
}

/* ---- split sets ---- */

struct part {
    const char *name;
    int64_t no, count, total; /* -1: no such key */
    const char *tensor;
    const char *general_name;
};

static void write_part(const struct part *p)
{
    struct gguf_bytes b = {0};
    gb_start(&b, 3, 1, (uint64_t)(p->no >= 0) + (p->count >= 0) + (p->total >= 0) + (p->general_name != NULL));
    if (p->general_name)
        gb_kv_str(&b, "general.name", p->general_name);
    if (p->no >= 0) {
        gb_kv(&b, "split.no", 2);
        gb_u32(&b, (uint32_t)p->no);
        b.n -= 2;
    }
    if (p->count >= 0) {
        gb_kv(&b, "split.count", 2);
        gb_u32(&b, (uint32_t)p->count);
        b.n -= 2;
    }
    if (p->total >= 0) {
        gb_kv(&b, "split.tensors.count", 5);
        gb_u32(&b, (uint32_t)p->total);
    }
    gb_tensor(&b, p->tensor, 1, (const uint64_t[]){4}, 0, 0);
    gb_pad(&b, 32);
    gb_data(&b, 32);
    CHECK(test_write(test_tmp(p->name), b.data, b.n));
    gb_free(&b);
}

TEST(bad_gguf, split_sets)
{
    static const struct {
        struct part parts[3];
        const char *words;
    } sets[] = {
        {{{"s-00001-of-00002.gguf", 0, 2, 2, "a", "m"}}, "part 2 of 2 is missing: '"},
        {{{"s-00001-of-00003.gguf", 0, 2, 2, "a", "m"}}, "'split.count': 2, must be 3 by the file's name"},
        {{{"s-00001-of-00002.gguf", 1, 2, 2, "a", "m"}, {"s-00002-of-00002.gguf", 0, 2, 2, "b", NULL}},
         "'split.no': 1, must be 0 by the file's name"},
        {{{"s-00001-of-00002.gguf", 0, 2, 2, "a", "m"}, {"s-00002-of-00002.gguf", 0, 2, 2, "b", NULL}},
         "'split.no': 0, must be 1 by the file's name"},
        {{{"s-00001-of-00002.gguf", 0, 2, 2, "a", "m"}, {"s-00002-of-00002.gguf", -1, 2, 2, "b", NULL}},
         "'split.no': missing, must be 1"},
        {{{"s-00001-of-00002.gguf", 0, 2, 2, "a", "m"}, {"s-00002-of-00002.gguf", 1, 3, 2, "b", NULL}},
         "'split.count': 3, must be 2 as in the rest of the set"},
        {{{"s-00001-of-00002.gguf", 0, 2, 2, "a", "m"}, {"s-00002-of-00002.gguf", 1, -1, 2, "b", NULL}},
         "'split.count': 0, must be 2 as in the rest of the set"},
        {{{"s-00001-of-00002.gguf", 0, 2, 2, "a", "m"}, {"s-00002-of-00002.gguf", 1, 2, 3, "b", NULL}},
         "'split.tensors.count': 3, must be 2 as in the rest of the set"},
        {{{"s-00001-of-00002.gguf", 0, 2, 5, "a", "m"}, {"s-00002-of-00002.gguf", 1, 2, 5, "b", NULL}},
         "'split.tensors.count': 5, but the parts have 2 tensors"},
        {{{"s-00001-of-00002.gguf", 0, 2, 2, "a", "m"}, {"s-00002-of-00002.gguf", 1, 2, 2, "a", NULL}},
         "tensor 'a' is in part 1 and in part 2"},
        {{{"s-00001-of-00002.gguf", 0, 2, 2, "a", "m"}, {"s-00002-of-00002.gguf", 1, 2, 2, "b", "n"}},
         "metadata 'general.name' differs from the first part's"},
        {{{"s-00001-of-00002.gguf", 0, 2, 2, "a", NULL}, {"s-00002-of-00002.gguf", 1, 2, 2, "b", "n"}},
         "a part of another model"},
        {{{"s-00001-of-00002.gguf", 0, 2, -2, "a", "m"}, {"s-00002-of-00002.gguf", 1, 2, -1, "b", "m"}}, NULL},
    };
    for (size_t i = 0; i < sizeof sets / sizeof sets[0]; i++) {
        struct el_err err = {.code = EL_OK};
        for (size_t p = 0; p < 3 && sets[i].parts[p].name; p++)
            write_part(&sets[i].parts[p]);
        const enum el_status status = open_path(test_tmp(sets[i].parts[0].name), false, &err);
        check_refused(sets[i].words ? sets[i].words : "a good set", status, &err, sets[i].words ? EL_E_FORMAT : EL_OK,
                      sets[i].words ? sets[i].words : "");
        for (size_t p = 0; p < 3 && sets[i].parts[p].name; p++)
            unlink(test_tmp(sets[i].parts[p].name));
    }
}

/* ---- truncation and flipped bits ---- */

static void small_with_parts(struct gguf_bytes *b, bool in_parts)
{
    static const char *const lines[] = {"w G4_32 2,32"};
    if (in_parts)
        gb_parts(b, lines, 1, 24, 16, 1);
    else
        gb_small(b, 3);
}

TEST(bad_gguf, every_truncation)
{
    for (int in_parts = 0; in_parts < 2; in_parts++) {
        struct gguf_bytes b = {0};
        small_with_parts(&b, in_parts);
        const size_t last = in_parts ? b.n - 512 + 256 + 4 : b.n - 28; /* end of the last tensor */
        const char *const path = test_tmp("cut.gguf");
        REQUIRE(test_write(path, b.data, b.n));
        for (size_t n = b.n; n-- > 0;) {
            struct el_source *s = NULL;
            struct el_err err = {.code = EL_OK}, file_err = {.code = EL_OK};
            uint8_t *const exact = malloc(n ? n : 1);
            memcpy(exact, b.data, n);
            const enum el_status status = el_gguf_open_memory(exact, n, NULL, &s, &err);
            REQUIRE(truncate(path, (off_t)n) == 0);
            CHECK_EQ_INT(open_path(path, false, &file_err), status);
            if (n >= last) {
                CHECK_OK(status, err); /* only padding is missing */
            } else if (status != EL_E_FORMAT || !(strstr(err.text, "truncated") || strstr(err.text, "but the file has only") ||
                                                  strstr(err.text, "is empty"))) {
                test_fail(__FILE__, __LINE__, "cut to %zu bytes: status %d '%s'", n, (int)status, err.text);
            }
            el_source_close(s);
            free(exact);
        }
        gb_free(&b);
    }
}

/* Reads all that a source promises. */
static void read_everything(struct el_source *s)
{
    uint8_t buf[4096];
    struct el_err err;
    for (size_t i = 0; i < s->n_tensors; i++) {
        for (uint32_t p = 0; p < s->tensors[i].n_parts; p++) {
            const uint64_t n = s->tensors[i].parts[p].nbytes;
            if (n <= sizeof buf)
                CHECK_OK(s->ops->read(s, &s->tensors[i], p, 0, buf, n, &err), err);
        }
    }
    for (size_t i = 0; i < el_meta_count(s->meta); i++) {
        for (size_t j = 0; j < el_meta_n_elems(s->meta, i); j++) {
            if (el_meta_elem_type(s->meta, i) == EL_META_STR)
                CHECK(el_meta_str(s->meta, i, j, NULL) != NULL);
            else
                (void)el_meta_int(s->meta, i, j);
        }
    }
}

TEST(bad_gguf, every_flipped_bit)
{
    for (int in_parts = 0; in_parts < 2; in_parts++) {
        struct gguf_bytes b = {0};
        small_with_parts(&b, in_parts);
        unsigned n_refused = 0;
        for (size_t bit = 0; bit < b.n * 8; bit++) {
            struct el_source *s = NULL;
            struct el_err err = {.code = EL_OK};
            b.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
            const enum el_status status = el_gguf_open_memory(b.data, b.n, NULL, &s, &err);
            CHECK(status == EL_OK || status == EL_E_FORMAT || status == EL_E_UNSUPPORTED);
            n_refused += status != EL_OK;
            if (s)
                read_everything(s);
            el_source_close(s);
            b.data[bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
        CHECK(n_refused > 500);
        gb_free(&b);
    }
}
