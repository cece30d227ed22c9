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

static const uint64_t dims_2_3[] = {3, 2}, dims_4[] = {4};

/* ---- ingredients ---- */

/* A file with one metadata entry of this key, whose value is the bytes. */
static void one_value(struct gguf_bytes *b, const char *key, uint32_t type, const void *value, size_t n)
{
    gb_start(b, 3, 0, 1);
    gb_kv(b, key, type);
    gb_raw(b, value, n);
    gb_data(b, 64); /* so that counts are not refused for want of bytes alone */
}

static void one_array(struct gguf_bytes *b, uint32_t type, uint64_t n)
{
    gb_start(b, 3, 0, 1);
    gb_kv(b, "list", 9);
    gb_u32(b, type);
    gb_u64(b, n);
    gb_data(b, 64);
}

static void one_key(struct gguf_bytes *b, const char *key, size_t n)
{
    gb_start(b, 3, 0, 1);
    gb_strn(b, key, n);
    gb_u32(b, 0);
    gb_u8(b, 1);
    gb_data(b, 64);
}

/* A file with one tensor and data_nbytes of data. */
static void one_tensor(struct gguf_bytes *b, const char *name, size_t n_name, uint32_t n_dims, const uint64_t *dims, uint32_t type,
                       uint64_t offset, size_t data_nbytes)
{
    gb_start(b, 3, 1, 0);
    gb_strn(b, name, n_name);
    gb_u32(b, n_dims);
    for (uint32_t i = 0; i < n_dims && i < 8; i++)
        gb_u64(b, dims[i]);
    gb_u32(b, type);
    gb_u64(b, offset);
    gb_pad(b, 32);
    gb_data(b, data_nbytes);
}

static void shape(struct gguf_bytes *b, uint32_t n_dims, uint64_t d0, uint64_t d1, uint64_t d2, uint64_t d3, uint32_t type)
{
    const uint64_t dims[8] = {d0, d1, d2, d3, 1, 1, 1, 1};
    one_tensor(b, "w", 1, n_dims, dims, type, 0, 256);
}

static void alignment_u32(struct gguf_bytes *b, uint32_t v)
{
    gb_start(b, 3, 0, 1);
    gb_kv_u32(b, "general.alignment", v);
    gb_data(b, 64);
}

/* Two F32 tensors [4] at these offsets, with data_nbytes of data. */
static void two_tensors(struct gguf_bytes *b, uint64_t offset0, uint64_t offset1, size_t data_nbytes)
{
    gb_start(b, 3, 2, 0);
    gb_tensor(b, "a", 1, dims_4, 0, offset0);
    gb_tensor(b, "b", 1, dims_4, 0, offset1);
    gb_pad(b, 32);
    gb_data(b, data_nbytes);
}

/*
 * The parts container of a G4_32 tensor [2, 32] ("w.codes" I8 [2, 16], "w.scales" F16 [2, 1]) with these lines; each part can be
 * left out (type 99) or given another type or width.
 */
static void parts(struct gguf_bytes *b, const char *line0, const char *line1, uint32_t codes_type, uint64_t codes_width,
                  uint32_t scales_type)
{
    const uint64_t codes[] = {codes_width, 2}, scales[] = {1, 2};
    gb_start(b, 3, 2 - (codes_type == 99) - (scales_type == 99), 1);
    gb_kv(b, EL_GGUF_ENCODINGS_KEY, 9);
    gb_u32(b, 8);
    gb_u64(b, line1 ? 2 : 1);
    gb_str(b, line0);
    if (line1)
        gb_str(b, line1);
    if (codes_type != 99)
        gb_tensor(b, "w.codes", 2, codes, codes_type, 0);
    if (scales_type != 99)
        gb_tensor(b, "w.scales", 2, scales, scales_type, 256);
    gb_pad(b, 32);
    gb_data(b, 512);
}

static void parts_line(struct gguf_bytes *b, const char *line)
{
    parts(b, line, NULL, 24, 16, 1);
}

/* ---- the table ---- */

#define MAKE(name) static void make_##name(struct gguf_bytes *b)

MAKE(empty) { (void)b; }
MAKE(one_byte) { gb_raw(b, "G", 1); }
MAKE(zip) { gb_raw(b, "PK\x03\x04 and so on", 14); }
MAKE(html) { gb_raw(b, "<!DOCTYPE html>", 15); }
MAKE(lfs) { gb_raw(b, "version https://git-lfs.github.com/spec/v1\n", 43); }
MAKE(lower_case) { gb_raw(b, "gguf\3\0\0\0", 8); }
MAKE(version_0) { gb_start(b, 0, 0, 0); }
MAKE(version_1) { gb_start(b, 1, 0, 0); }
MAKE(version_4) { gb_start(b, 4, 0, 0); }
MAKE(version_max) { gb_start(b, UINT32_MAX, 0, 0); }
MAKE(swapped_3) { gb_start(b, 0x03000000, 0, 0); }
MAKE(swapped_2) { gb_start(b, 0x02000000, 0, 0); }
MAKE(cut_version) { gb_raw(b, "GGUF\3\0", 6); }
MAKE(cut_n_tensors) { gb_raw(b, "GGUF\3\0\0\0\1", 9); }
MAKE(cut_n_kv) { gb_raw(b, "GGUF\3\0\0\0\0\0\0\0\0\0\0\0\0", 17); }
MAKE(kv_1000) { gb_start(b, 3, 0, 1000), gb_data(b, 100); }
MAKE(kv_65537) { gb_start(b, 3, 0, 65537); }
MAKE(kv_2_31) { gb_start(b, 3, 0, UINT64_C(1) << 31); }
MAKE(kv_2_32) { gb_start(b, 3, 0, UINT64_C(1) << 32); }
MAKE(kv_2_61) { gb_start(b, 3, 0, UINT64_C(1) << 61); }
MAKE(kv_2_63) { gb_start(b, 3, 0, UINT64_C(1) << 63); }
MAKE(kv_max) { gb_start(b, 3, 0, UINT64_MAX); }
MAKE(tensors_1000) { gb_start(b, 3, 1000, 0), gb_data(b, 100); }
MAKE(tensors_131073) { gb_start(b, 3, 131073, 0); }
MAKE(tensors_2_31) { gb_start(b, 3, UINT64_C(1) << 31, 0); }
MAKE(tensors_2_32) { gb_start(b, 3, UINT64_C(1) << 32, 0); }
MAKE(tensors_2_61) { gb_start(b, 3, UINT64_C(1) << 61, 0); }
MAKE(tensors_2_63) { gb_start(b, 3, UINT64_C(1) << 63, 0); }
MAKE(tensors_max) { gb_start(b, 3, UINT64_MAX, 0); }

MAKE(key_max)
{
    gb_start(b, 3, 0, 1);
    gb_u64(b, UINT64_MAX);
    gb_data(b, 64);
}
MAKE(key_past_end)
{
    gb_start(b, 3, 0, 1);
    gb_u64(b, 65);
    gb_data(b, 64);
}
MAKE(key_too_long)
{
    gb_start(b, 3, 0, 1);
    gb_u64(b, EL_MAX_KEY + 1);
    gb_data(b, EL_MAX_KEY + 100);
}
MAKE(key_empty) { one_key(b, "", 0); }
MAKE(key_nul) { one_key(b, "a\0b", 3); }
MAKE(key_escape) { one_key(b, "a\033[2Jb", 6); }
MAKE(key_not_utf8) { one_key(b, "a\xff", 2); }
MAKE(key_surrogate) { one_key(b, "\xed\xa0\x80", 3); }
MAKE(key_twice)
{
    gb_start(b, 3, 0, 3);
    gb_kv_u32(b, "once", 1);
    gb_kv_u32(b, "again", 2);
    gb_kv_u32(b, "once", 3);
}
MAKE(value_type_13) { one_value(b, "k", 13, "", 0); }
MAKE(value_type_max) { one_value(b, "k", UINT32_MAX, "", 0); }
MAKE(bool_2) { one_value(b, "flag", 7, "\2", 1); }
MAKE(bool_255) { one_value(b, "flag", 7, "\377", 1); }
MAKE(string_huge) { one_value(b, "text", 8, "\0\0\0\100\0\0\0\0", 8); }
MAKE(string_max) { one_value(b, "text", 8, "\377\377\377\377\377\377\377\377", 8); }
MAKE(cut_value)
{
    gb_start(b, 3, 0, 1);
    gb_kv(b, "wide", 10);
    gb_u32(b, 0);
}
MAKE(cut_type)
{
    gb_start(b, 3, 0, 1);
    gb_str(b, "somekey");
    gb_u8(b, 0);
}
MAKE(array_of_arrays) { one_array(b, 9, 1); }
MAKE(array_type_13) { one_array(b, 13, 1); }
MAKE(array_2_63) { one_array(b, 0, UINT64_C(1) << 63); }
MAKE(array_max) { one_array(b, 12, UINT64_MAX); }
MAKE(array_too_long) { one_array(b, 0, EL_MAX_ARRAY + 1); }
MAKE(array_u64_past_end) { one_array(b, 10, 9); }
MAKE(array_u8_past_end) { one_array(b, 0, 65); }
MAKE(array_wraps) { one_array(b, 10, UINT64_C(1) << 61); }
MAKE(array_str_past_end) { one_array(b, 8, 9); }
MAKE(array_str_long)
{
    gb_start(b, 3, 0, 1);
    gb_kv(b, "list", 9);
    gb_u32(b, 8);
    gb_u64(b, 2);
    gb_str(b, "fine");
    gb_u64(b, 1 << 30);
    gb_data(b, 64);
}
MAKE(array_str_wraps)
{
    gb_start(b, 3, 0, 1);
    gb_kv(b, "list", 9);
    gb_u32(b, 8);
    gb_u64(b, 2);
    gb_u64(b, UINT64_MAX - 7);
    gb_data(b, 64);
}
MAKE(array_bool_7)
{
    gb_start(b, 3, 0, 1);
    gb_kv(b, "flags", 9);
    gb_u32(b, 7);
    gb_u64(b, 3);
    gb_raw(b, "\0\1\7", 3);
}

MAKE(alignment_0) { alignment_u32(b, 0); }
MAKE(alignment_3) { alignment_u32(b, 3); }
MAKE(alignment_13) { alignment_u32(b, 13); }
MAKE(alignment_2_21) { alignment_u32(b, 1u << 21); }
MAKE(alignment_2_31) { alignment_u32(b, 1u << 31); }
MAKE(alignment_i32) { one_value(b, "general.alignment", 5, "\40\0\0\0", 4); }
MAKE(alignment_str) { one_value(b, "general.alignment", 8, "\2\0\0\0\0\0\0\0" "32", 10); }

MAKE(name_empty) { one_tensor(b, "", 0, 1, dims_4, 0, 0, 32); }
MAKE(name_too_long)
{
    char name[256];
    memset(name, 'n', sizeof name);
    one_tensor(b, name, sizeof name, 1, dims_4, 0, 0, 320);
}
MAKE(name_max)
{
    gb_start(b, 3, 1, 0);
    gb_u64(b, UINT64_MAX);
    gb_data(b, 64);
}
MAKE(name_nul) { one_tensor(b, "a\0", 2, 1, dims_4, 0, 0, 32); }
MAKE(name_escape) { one_tensor(b, "\033]52;c;AAAA\a", 12, 1, dims_4, 0, 0, 32); }
MAKE(name_delete) { one_tensor(b, "a\177", 2, 1, dims_4, 0, 0, 32); }
MAKE(name_not_utf8) { one_tensor(b, "\xc0\xaf", 2, 1, dims_4, 0, 0, 32); }
MAKE(name_twice)
{
    gb_start(b, 3, 2, 0);
    gb_tensor(b, "same", 1, dims_4, 0, 0);
    gb_tensor(b, "same", 1, dims_4, 0, 32);
    gb_pad(b, 32);
    gb_data(b, 64);
}
MAKE(dims_0) { shape(b, 0, 1, 1, 1, 1, 0); }
MAKE(dims_5) { shape(b, 5, 1, 1, 1, 1, 0); }
MAKE(dims_max) { shape(b, UINT32_MAX, 1, 1, 1, 1, 0); }
MAKE(dim_negative) { shape(b, 1, UINT64_MAX, 1, 1, 1, 0); }
MAKE(dim_2_63) { shape(b, 2, 4, UINT64_C(1) << 63, 1, 1, 0); }
MAKE(product_wraps_to_0) { shape(b, 2, UINT64_C(1) << 32, UINT64_C(1) << 32, 1, 1, 0); }
MAKE(product_wraps_to_4) { shape(b, 3, UINT64_C(1) << 62, (UINT64_C(1) << 62) + 1, 4, 1, 0); }
MAKE(product_wraps_behind_0) { shape(b, 4, 0, UINT64_C(1) << 40, UINT64_C(1) << 40, 1, 0); }
MAKE(bytes_overflow) { shape(b, 2, UINT64_C(1) << 31, UINT64_C(1) << 31, 1, 1, 0); }
MAKE(row_of_31_q8_0) { shape(b, 2, 31, 2, 1, 1, 8); }
MAKE(row_of_128_q4_k) { shape(b, 2, 128, 2, 1, 1, 12); }
MAKE(type_4) { shape(b, 1, 4, 1, 1, 1, 4); }
MAKE(type_5) { shape(b, 1, 4, 1, 1, 1, 5); }
MAKE(type_16) { shape(b, 1, 256, 1, 1, 1, 16); }
MAKE(type_26) { shape(b, 1, 4, 1, 1, 1, 26); }
MAKE(type_31) { shape(b, 1, 32, 1, 1, 1, 31); }
MAKE(type_32) { shape(b, 1, 32, 1, 1, 1, 32); }
MAKE(type_33) { shape(b, 1, 32, 1, 1, 1, 33); }
MAKE(type_1000) { shape(b, 1, 4, 1, 1, 1, 1000); }
MAKE(type_max) { shape(b, 1, 4, 1, 1, 1, UINT32_MAX); }

MAKE(offset_unaligned) { two_tensors(b, 0, 17, 64); }
MAKE(offset_past_end) { two_tensors(b, 0, 4096, 64); }
MAKE(offset_at_end) { two_tensors(b, 0, 64, 64); }
MAKE(offset_wraps) { two_tensors(b, 0, UINT64_MAX - 31, 64); }
MAKE(data_too_short) { two_tensors(b, 0, 32, 47); }
MAKE(data_missing) { two_tensors(b, 0, 32, 0); }
MAKE(offset_same) { two_tensors(b, 32, 32, 64); }
MAKE(overlap)
{
    const uint64_t dims[] = {10};
    gb_start(b, 3, 2, 0);
    gb_tensor(b, "later", 1, dims_4, 0, 32);
    gb_tensor(b, "wide", 1, dims, 0, 0);
    gb_pad(b, 32);
    gb_data(b, 64);
}
MAKE(size_beyond_file) { one_tensor(b, "w", 1, 2, (const uint64_t[]){1 << 20, 1 << 20}, 0, 0, 64); }
MAKE(cut_tensor)
{
    gb_start(b, 3, 1, 1);
    gb_kv_u32(b, "x", 1);
    gb_str(b, "tensor with a longer name");
    gb_u32(b, 2);
    gb_u64(b, 4);
}

MAKE(parts_no_array) { one_value(b, EL_GGUF_ENCODINGS_KEY, 8, "\1\0\0\0\0\0\0\0x", 9); }
MAKE(parts_numbers)
{
    gb_start(b, 3, 0, 1);
    gb_kv(b, EL_GGUF_ENCODINGS_KEY, 9);
    gb_u32(b, 4);
    gb_u64(b, 0);
}
MAKE(parts_too_many)
{
    gb_start(b, 3, 0, 1);
    gb_kv(b, EL_GGUF_ENCODINGS_KEY, 9);
    gb_u32(b, 8);
    gb_u64(b, 1);
    gb_str(b, "w G4_32 2,32");
}
MAKE(parts_empty_line) { parts_line(b, ""); }
MAKE(parts_one_word) { parts_line(b, "w"); }
MAKE(parts_two_words) { parts_line(b, "w G4_32"); }
MAKE(parts_no_name) { parts_line(b, " G4_32 2,32"); }
MAKE(parts_no_dims) { parts_line(b, "w G4_32 "); }
MAKE(parts_bad_dims) { parts_line(b, "w G4_32 2,-32"); }
MAKE(parts_dims_end) { parts_line(b, "w G4_32 2,"); }
MAKE(parts_five_dims) { parts_line(b, "w G4_32 1,1,1,2,32"); }
MAKE(parts_huge_dim) { parts_line(b, "w G4_32 2,99999999999999999999"); }
MAKE(parts_wrapping_dims) { parts_line(b, "w G4_32 4294967296,4294967296,32"); }
MAKE(parts_unknown) { parts_line(b, "w TRELLIS 2,32"); }
MAKE(parts_long_encoding) { parts_line(b, "w G4_32G4_32G4_32G4_32G4_32G4_32G4_32G4_32G4_32 2,32"); }
MAKE(parts_standard) { parts_line(b, "w Q8_0 2,32"); }
MAKE(parts_other_shape) { parts_line(b, "w G4_32 2,64"); }
MAKE(parts_other_dims) { parts_line(b, "w G4_32 1,2,32"); }
MAKE(parts_absent) { parts_line(b, "v G4_32 2,32"); }
MAKE(parts_codes_missing) { parts(b, "w G4_32 2,32", NULL, 99, 16, 1); }
MAKE(parts_scales_missing) { parts(b, "w G4_32 2,32", NULL, 24, 16, 99); }
MAKE(parts_codes_type) { parts(b, "w G4_32 2,32", NULL, 0, 16, 1); }
MAKE(parts_scales_type) { parts(b, "w G4_32 2,32", NULL, 24, 16, 30); }
MAKE(parts_codes_width) { parts(b, "w G4_32 2,32", NULL, 24, 17, 1); }
MAKE(parts_twice) { parts(b, "w G4_32 2,32", "w G4_32 2,32", 24, 16, 1); }
MAKE(parts_nul)
{
    gb_start(b, 3, 1, 1);
    gb_kv(b, EL_GGUF_ENCODINGS_KEY, 9);
    gb_u32(b, 8);
    gb_u64(b, 1);
    gb_strn(b, "w G4_32\0 2,32", 13);
    gb_tensor(b, "w.codes", 1, dims_4, 24, 0);
    gb_pad(b, 32);
    gb_data(b, 32);
}
MAKE(parts_long_name)
{
    char line[400];
    memset(line, 'n', sizeof line);
    memcpy(line + 300, " G4_32 2,32", 12);
    parts_line(b, line);
}
MAKE(parts_and_plain)
{
    const uint64_t codes[] = {16, 2}, scales[] = {1, 2};
    gb_start(b, 3, 3, 1);
    gb_kv(b, EL_GGUF_ENCODINGS_KEY, 9);
    gb_u32(b, 8);
    gb_u64(b, 1);
    gb_str(b, "w G4_32 2,32");
    gb_tensor(b, "w.codes", 2, codes, 24, 0);
    gb_tensor(b, "w.scales", 2, scales, 1, 32);
    gb_tensor(b, "w", 2, dims_2_3, 0, 64);
    gb_pad(b, 32);
    gb_data(b, 96);
}

MAKE(split_alone)
{
    gb_start(b, 3, 0, 1);
    gb_kv_u32(b, "split.count", 2);
}
MAKE(split_count_10000)
{
    gb_start(b, 3, 0, 1);
    gb_kv_u32(b, "split.count", 10000);
}
MAKE(split_count_str)
{
    gb_start(b, 3, 0, 1);
    gb_kv_str(b, "split.count", "two");
}

struct bad_case {
    const char *name;
    void (*make)(struct gguf_bytes *b);
    enum el_status status;
    const char *words; /* in the message */
};

#define BAD(name, status, words) {#name, make_##name, status, words}
static const struct bad_case cases[] = {
    BAD(empty, EL_E_FORMAT, "the file is empty"),
    BAD(one_byte, EL_E_FORMAT, "truncated at byte 1, in the magic that begins at byte 0"),
    BAD(zip, EL_E_FORMAT, "not a GGUF file: the first bytes are 50 4b 03 04, must be 47 47 55 46 ('GGUF')"),
    BAD(html, EL_E_FORMAT, "the first bytes are 3c 21 44 4f"),
    BAD(lfs, EL_E_FORMAT, "the first bytes are 76 65 72 73"),
    BAD(lower_case, EL_E_FORMAT, "the first bytes are 67 67 75 66"),
    BAD(version_0, EL_E_UNSUPPORTED, "GGUF version 0, supported are 2 and 3"),
    BAD(version_1, EL_E_UNSUPPORTED, "GGUF version 1, supported are 2 and 3"),
    BAD(version_4, EL_E_UNSUPPORTED, "GGUF version 4, supported are 2 and 3"),
    BAD(version_max, EL_E_UNSUPPORTED, "GGUF version 4294967295"),
    BAD(swapped_3, EL_E_UNSUPPORTED, "big-endian GGUF (version 3 byte-swapped), only little-endian files are read"),
    BAD(swapped_2, EL_E_UNSUPPORTED, "big-endian GGUF (version 2 byte-swapped)"),
    BAD(cut_version, EL_E_FORMAT, "truncated at byte 6, in the version that begins at byte 4"),
    BAD(cut_n_tensors, EL_E_FORMAT, "truncated at byte 9, in the tensor count that begins at byte 8"),
    BAD(cut_n_kv, EL_E_FORMAT, "truncated at byte 17, in the metadata count that begins at byte 16"),
    BAD(kv_1000, EL_E_FORMAT, "truncated: metadata count 1000, but the file has only 100 bytes left"),
    BAD(kv_65537, EL_E_FORMAT, "metadata count 65537, at most 65536"),
    BAD(kv_2_31, EL_E_FORMAT, "metadata count 2147483648, at most"),
    BAD(kv_2_32, EL_E_FORMAT, "metadata count 4294967296, at most"),
    BAD(kv_2_61, EL_E_FORMAT, "metadata count 2305843009213693952, at most"),
    BAD(kv_2_63, EL_E_FORMAT, "metadata count 9223372036854775808, at most"),
    BAD(kv_max, EL_E_FORMAT, "metadata count 18446744073709551615, at most"),
    BAD(tensors_1000, EL_E_FORMAT, "truncated: tensor count 1000, but the file has only 100 bytes left"),
    BAD(tensors_131073, EL_E_FORMAT, "tensor count 131073, at most 131072"),
    BAD(tensors_2_31, EL_E_FORMAT, "tensor count 2147483648, at most"),
    BAD(tensors_2_32, EL_E_FORMAT, "tensor count 4294967296, at most"),
    BAD(tensors_2_61, EL_E_FORMAT, "tensor count 2305843009213693952, at most"),
    BAD(tensors_2_63, EL_E_FORMAT, "tensor count 9223372036854775808, at most"),
    BAD(tensors_max, EL_E_FORMAT, "tensor count 18446744073709551615, at most"),

    BAD(key_max, EL_E_FORMAT, "metadata 1 of 1: key of 18446744073709551615 bytes, but the file has only 64 left"),
    BAD(key_past_end, EL_E_FORMAT, "metadata 1 of 1: key of 65 bytes, but the file has only 64 left"),
    BAD(key_too_long, EL_E_FORMAT, "metadata 1 of 1: key of 65536 bytes, at most 65535"),
    BAD(key_empty, EL_E_FORMAT, "metadata 1 of 1: empty key"),
    BAD(key_nul, EL_E_FORMAT, "key has control character 0x00 at byte 1"),
    BAD(key_escape, EL_E_FORMAT, "key has control character 0x1b at byte 1"),
    BAD(key_not_utf8, EL_E_FORMAT, "metadata 1 of 1: key is no valid UTF-8"),
    BAD(key_surrogate, EL_E_FORMAT, "key is no valid UTF-8"),
    BAD(key_twice, EL_E_FORMAT, "metadata 'once': duplicate key"),
    BAD(value_type_13, EL_E_FORMAT, "metadata 'k': value of type 13, at most 12"),
    BAD(value_type_max, EL_E_FORMAT, "metadata 'k': value of type 4294967295, at most 12"),
    BAD(bool_2, EL_E_FORMAT, "metadata 'flag': bool of value 2, must be 0 or 1"),
    BAD(bool_255, EL_E_FORMAT, "metadata 'flag': bool of value 255, must be 0 or 1"),
    BAD(string_huge, EL_E_FORMAT, "metadata 'text': string of 1073741824 bytes, but the file has only 64 left"),
    BAD(string_max, EL_E_FORMAT, "string of 18446744073709551615 bytes, but the file has only 64 left"),
    BAD(cut_value, EL_E_FORMAT, "metadata 'wide': truncated at byte 44, in the value that begins at byte 40"),
    BAD(cut_type, EL_E_FORMAT, "metadata 'somekey': truncated at byte 40, in the value type that begins at byte 39"),
    BAD(array_of_arrays, EL_E_FORMAT, "metadata 'list': an array of arrays, which is not allowed"),
    BAD(array_type_13, EL_E_FORMAT, "metadata 'list': array of type 13, at most 12"),
    BAD(array_2_63, EL_E_FORMAT, "array of 9223372036854775808 elements, at most 16777216"),
    BAD(array_max, EL_E_FORMAT, "array of 18446744073709551615 elements, at most"),
    BAD(array_too_long, EL_E_FORMAT, "array of 16777217 elements, at most 16777216"),
    BAD(array_u64_past_end, EL_E_FORMAT, "truncated: array of 9 uint64 elements, but the file has only 64 bytes left"),
    BAD(array_u8_past_end, EL_E_FORMAT, "truncated: array of 65 uint8 elements, but the file has only 64 bytes left"),
    BAD(array_wraps, EL_E_FORMAT, "array of 2305843009213693952 elements, at most"),
    BAD(array_str_past_end, EL_E_FORMAT, "truncated: array of 9 string elements, but the file has only 64 bytes left"),
    BAD(array_str_long, EL_E_FORMAT, "metadata 'list': string 1 of 1073741824 bytes, but the file has only 64 left"),
    BAD(array_str_wraps, EL_E_FORMAT, "metadata 'list': string 0 of 18446744073709551608 bytes"),
    BAD(array_bool_7, EL_E_FORMAT, "metadata 'flags': bool of value 7, must be 0 or 1"),

    BAD(alignment_0, EL_E_FORMAT, "metadata 'general.alignment': 0, must be a power of two from 1 to 1048576"),
    BAD(alignment_3, EL_E_FORMAT, "metadata 'general.alignment': 3, must be a power of two"),
    BAD(alignment_13, EL_E_FORMAT, "metadata 'general.alignment': 13, must be a power of two"),
    BAD(alignment_2_21, EL_E_FORMAT, "metadata 'general.alignment': 2097152, must be a power of two from 1 to 1048576"),
    BAD(alignment_2_31, EL_E_FORMAT, "metadata 'general.alignment': 2147483648, must be a power of two"),
    BAD(alignment_i32, EL_E_FORMAT, "metadata 'general.alignment': of type int32, must be uint32"),
    BAD(alignment_str, EL_E_FORMAT, "metadata 'general.alignment': of type string, must be uint32"),

    BAD(name_empty, EL_E_FORMAT, "tensor 1 of 1: empty name"),
    BAD(name_too_long, EL_E_FORMAT, "tensor 1 of 1: name of 256 bytes, at most 255"),
    BAD(name_max, EL_E_FORMAT, "tensor 1 of 1: name of 18446744073709551615 bytes, but the file has only 64 left"),
    BAD(name_nul, EL_E_FORMAT, "tensor 1 of 1: name has control character 0x00 at byte 1"),
    BAD(name_escape, EL_E_FORMAT, "tensor 1 of 1: name has control character 0x1b at byte 0"),
    BAD(name_delete, EL_E_FORMAT, "name has control character 0x7f at byte 1"),
    BAD(name_not_utf8, EL_E_FORMAT, "tensor 1 of 1: name is no valid UTF-8"),
    BAD(name_twice, EL_E_FORMAT, "tensor 'same': duplicate name, tensors 1 and 2"),
    BAD(dims_0, EL_E_FORMAT, "tensor 'w': 0 dimensions, must be 1 to 4"),
    BAD(dims_5, EL_E_FORMAT, "tensor 'w': 5 dimensions, must be 1 to 4"),
    BAD(dims_max, EL_E_FORMAT, "tensor 'w': 4294967295 dimensions, must be 1 to 4"),
    BAD(dim_negative, EL_E_FORMAT, "tensor 'w': dimension 0 is 18446744073709551615, at most 2^63 - 1"),
    BAD(dim_2_63, EL_E_FORMAT, "tensor 'w': dimension 0 is 9223372036854775808, at most 2^63 - 1"),
    BAD(product_wraps_to_0, EL_E_FORMAT, "the number of elements of [4294967296, 4294967296, 0, 0] overflows"),
    BAD(product_wraps_to_4, EL_E_FORMAT, "the number of elements of [4, 4611686018427387905, 4611686018427387904, 0] overflows"),
    BAD(product_wraps_behind_0, EL_E_FORMAT, "the number of elements of [1, 1099511627776, 1099511627776, 0] overflows"),
    BAD(bytes_overflow, EL_E_FORMAT, "tensor 'w': the number of bytes overflows"),
    BAD(row_of_31_q8_0, EL_E_FORMAT, "tensor 'w': rows of 31 elements, must be a multiple of 32 for type 8 (Q8_0)"),
    BAD(row_of_128_q4_k, EL_E_FORMAT, "tensor 'w': rows of 128 elements, must be a multiple of 256 for type 12 (Q4_K)"),
    BAD(type_4, EL_E_UNSUPPORTED, "tensor 'w': type 4 (Q4_2), which this version does not read"),
    BAD(type_5, EL_E_UNSUPPORTED, "tensor 'w': type 5 (Q4_3), which this version does not read"),
    BAD(type_16, EL_E_UNSUPPORTED, "tensor 'w': type 16 (IQ2_XXS), which this version does not read"),
    BAD(type_26, EL_E_UNSUPPORTED, "tensor 'w': type 26 (I32), which this version reads only as a part of its own encodings"),
    BAD(type_31, EL_E_UNSUPPORTED, "type 31 (Q4_0_4_4), which this version does not read"),
    BAD(type_32, EL_E_UNSUPPORTED, "type 32 (Q4_0_4_8), which this version does not read"),
    BAD(type_33, EL_E_UNSUPPORTED, "type 33 (Q4_0_8_8), which this version does not read"),
    BAD(type_1000, EL_E_UNSUPPORTED, "tensor 'w': type 1000, which ggml does not define"),
    BAD(type_max, EL_E_UNSUPPORTED, "tensor 'w': type 4294967295, which ggml does not define"),

    BAD(offset_unaligned, EL_E_FORMAT, "tensor 'b': offset 17, must be a multiple of the alignment 32"),
    BAD(offset_past_end, EL_E_FORMAT, "tensor 'b': 16 bytes at offset 4096 of the data, but the file has only 64 bytes of data"),
    BAD(offset_at_end, EL_E_FORMAT, "tensor 'b': 16 bytes at offset 64 of the data, but the file has only 64 bytes of data"),
    BAD(offset_wraps, EL_E_FORMAT, "tensor 'b': 16 bytes at offset 18446744073709551584 of the data"),
    BAD(data_too_short, EL_E_FORMAT, "tensor 'b': 16 bytes at offset 32 of the data, but the file has only 47 bytes of data"),
    BAD(data_missing, EL_E_FORMAT, "tensor 'a': 16 bytes at offset 0 of the data, but the file has only 0 bytes of data"),
    BAD(offset_same, EL_E_FORMAT, "tensor 'b' at offset 32 of the data overlaps 'a', which ends at 48"),
    BAD(overlap, EL_E_FORMAT, "tensor 'later' at offset 32 of the data overlaps 'wide', which ends at 40"),
    BAD(size_beyond_file, EL_E_FORMAT, "tensor 'w': 4398046511104 bytes at offset 0 of the data, but the file has only 64 bytes of data"),
    BAD(cut_tensor, EL_E_FORMAT, "tensor 'tensor with a longer name': truncated at byte"),

    BAD(parts_no_array, EL_E_FORMAT, "metadata 'edgellm.encodings': must be an array of strings"),
    BAD(parts_numbers, EL_E_FORMAT, "metadata 'edgellm.encodings': must be an array of strings"),
    BAD(parts_too_many, EL_E_FORMAT, "metadata 'edgellm.encodings': 1 tensors, but the file has only 0"),
    BAD(parts_empty_line, EL_E_FORMAT, "'' is not NAME ENCODING DIM,DIM,..."),
    BAD(parts_one_word, EL_E_FORMAT, "'w' is not NAME ENCODING DIM,DIM,..."),
    BAD(parts_two_words, EL_E_FORMAT, "'w G4_32' is not NAME ENCODING DIM,DIM,..."),
    BAD(parts_no_name, EL_E_FORMAT, "' G4_32 2,32' is not NAME ENCODING DIM,DIM,..."),
    BAD(parts_no_dims, EL_E_FORMAT, "'w G4_32 ' is not NAME ENCODING DIM,DIM,..."),
    BAD(parts_bad_dims, EL_E_FORMAT, "'w G4_32 2,-32' is not NAME ENCODING DIM,DIM,..."),
    BAD(parts_dims_end, EL_E_FORMAT, "'w G4_32 2,' is not NAME ENCODING DIM,DIM,..."),
    BAD(parts_five_dims, EL_E_FORMAT, "'w G4_32 1,1,1,2,32' is not NAME ENCODING DIM,DIM,..."),
    BAD(parts_huge_dim, EL_E_FORMAT, "'w G4_32 2,99999999999999999999' is not NAME ENCODING DIM,DIM,..."),
    BAD(parts_wrapping_dims, EL_E_FORMAT, "tensor 'w': number of elements overflows 64 bits at dimension 1"),
    BAD(parts_unknown, EL_E_UNSUPPORTED, "tensor 'w': encoding 'TRELLIS' is not known to this version"),
    BAD(parts_long_encoding, EL_E_UNSUPPORTED, "is not known to this version"),
    BAD(parts_standard, EL_E_FORMAT, "tensor 'w': metadata 'edgellm.encodings' names Q8_0, which has a type of its own in GGUF"),
    BAD(parts_other_shape, EL_E_FORMAT, "tensor 'w.codes': 32 bytes in 2 dimensions, must be 64 in 2 as a part of G4_32"),
    BAD(parts_other_dims, EL_E_FORMAT, "tensor 'w.codes': 32 bytes in 2 dimensions, must be 32 in 3 as a part of G4_32"),
    BAD(parts_absent, EL_E_FORMAT, "tensor 'v' is G4_32 by metadata 'edgellm.encodings', but its part 'v.codes' is missing"),
    BAD(parts_codes_missing, EL_E_FORMAT, "but its part 'w.codes' is missing"),
    BAD(parts_scales_missing, EL_E_FORMAT, "but its part 'w.scales' is missing"),
    BAD(parts_codes_type, EL_E_FORMAT, "tensor 'w.codes': type F32, must be I8 as a part of G4_32"),
    BAD(parts_scales_type, EL_E_FORMAT, "tensor 'w.scales': type BF16, must be F16 as a part of G4_32"),
    BAD(parts_codes_width, EL_E_FORMAT, "tensor 'w.codes': 34 bytes in 2 dimensions, must be 32 in 2 as a part of G4_32"),
    BAD(parts_twice, EL_E_FORMAT, "metadata 'edgellm.encodings': tensor 'w' is named twice"),
    BAD(parts_nul, EL_E_FORMAT, "'w G4_32' is not NAME ENCODING DIM,DIM,..."),
    BAD(parts_long_name, EL_E_FORMAT, "metadata 'edgellm.encodings': name of 300 bytes, at most 255"),
    BAD(parts_and_plain, EL_E_FORMAT, "tensor 'w' is there as itself and in metadata 'edgellm.encodings'"),

    BAD(split_alone, EL_E_FORMAT, "one of 2 parts, which must be named NAME-00001-of-00002.gguf to be found"),
    BAD(split_count_10000, EL_E_FORMAT, "metadata 'split.count': 10000, must be 0 to 9999"),
    BAD(split_count_str, EL_E_FORMAT, "metadata 'split.count': of type string, must be an integer"),
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
        struct el_err err = {EL_OK, ""};
        c->make(&b);
        char file_name[80];
        snprintf(file_name, sizeof file_name, "%s.gguf", c->name);
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
    static const char *const names[] = {"../../x", "a b", "\xc3\xa9\xe2\x80\xae", "64 bytes: 0123456789012345678901234567890123456789012345678901234"};
    for (size_t i = 0; i < 4; i++) {
        one_tensor(&b, names[i], strlen(names[i]), 1, dims_4, 0, 0, 32);
        CHECK_OK(el_gguf_open_memory(b.data, b.n, NULL, &s, &err), err);
        CHECK_EQ_STR(el_source_tensor(s, 0).name, names[i]);
        el_source_close(s);
        gb_free(&b);
    }
    two_tensors(&b, 32, 0, 64); /* descending */
    CHECK_OK(el_gguf_open_memory(b.data, b.n, NULL, &s, &err), err);
    CHECK(el_source_tensor(s, 0).offset > el_source_tensor(s, 1).offset);
    el_source_close(s);
    gb_free(&b);
    two_tensors(&b, 0, 32, 48); /* ends with the last byte of the last tensor */
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
    gb_tensor(&b, p->tensor, 1, dims_4, 0, 0);
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
        {{{"s-00001-of-00002.gguf", 1, 2, 2, "a", "m"}, {"s-00002-of-00002.gguf", 0, 2, 2, "b", NULL}}, "'split.no': 1, must be 0 by the file's name"},
        {{{"s-00001-of-00002.gguf", 0, 2, 2, "a", "m"}, {"s-00002-of-00002.gguf", 0, 2, 2, "b", NULL}}, "'split.no': 0, must be 1 by the file's name"},
        {{{"s-00001-of-00002.gguf", 0, 2, 2, "a", "m"}, {"s-00002-of-00002.gguf", -1, 2, 2, "b", NULL}}, "'split.no': missing, must be 1"},
        {{{"s-00001-of-00002.gguf", 0, 2, 2, "a", "m"}, {"s-00002-of-00002.gguf", 1, 3, 2, "b", NULL}}, "'split.count': 3, must be 2 as in the rest of the set"},
        {{{"s-00001-of-00002.gguf", 0, 2, 2, "a", "m"}, {"s-00002-of-00002.gguf", 1, -1, 2, "b", NULL}}, "'split.count': 0, must be 2 as in the rest of the set"},
        {{{"s-00001-of-00002.gguf", 0, 2, 2, "a", "m"}, {"s-00002-of-00002.gguf", 1, 2, 3, "b", NULL}}, "'split.tensors.count': 3, must be 2 as in the rest of the set"},
        {{{"s-00001-of-00002.gguf", 0, 2, 5, "a", "m"}, {"s-00002-of-00002.gguf", 1, 2, 5, "b", NULL}}, "'split.tensors.count': 5, but the parts have 2 tensors"},
        {{{"s-00001-of-00002.gguf", 0, 2, 2, "a", "m"}, {"s-00002-of-00002.gguf", 1, 2, 2, "a", NULL}}, "tensor 'a' is in part 1 and in part 2"},
        {{{"s-00001-of-00002.gguf", 0, 2, 2, "a", "m"}, {"s-00002-of-00002.gguf", 1, 2, 2, "b", "n"}}, "metadata 'general.name' differs from the first part's"},
        {{{"s-00001-of-00002.gguf", 0, 2, 2, "a", NULL}, {"s-00002-of-00002.gguf", 1, 2, 2, "b", "n"}}, "a part of another model"},
        {{{"s-00001-of-00002.gguf", 0, 2, -2, "a", "m"}, {"s-00002-of-00002.gguf", 1, 2, -1, "b", "m"}}, NULL},
    };
    for (size_t i = 0; i < sizeof sets / sizeof sets[0]; i++) {
        struct el_err err = {EL_OK, ""};
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

static void small_with_parts(struct gguf_bytes *b, bool container)
{
    if (container)
        parts(b, "w G4_32 2,32", NULL, 24, 16, 1);
    else
        gb_small(b, 3);
}

TEST(bad_gguf, every_truncation)
{
    for (int container = 0; container < 2; container++) {
        struct gguf_bytes b = {0};
        small_with_parts(&b, container);
        const size_t last = container ? b.n - 512 + 256 + 4 : b.n - 28; /* end of the last tensor */
        const char *const path = test_tmp("cut.gguf");
        REQUIRE(test_write(path, b.data, b.n));
        for (size_t n = b.n; n-- > 0;) {
            struct el_source *s = NULL;
            struct el_err err = {EL_OK, ""}, file_err = {EL_OK, ""};
            uint8_t *const exact = malloc(n ? n : 1);
            memcpy(exact, b.data, n);
            const enum el_status status = el_gguf_open_memory(exact, n, NULL, &s, &err);
            REQUIRE(truncate(path, (off_t)n) == 0);
            CHECK_EQ_INT(open_path(path, false, &file_err), status);
            if (n >= last) {
                CHECK_OK(status, err); /* only padding is missing */
            } else if (status != EL_E_FORMAT ||
                       !(strstr(err.text, "truncated") || strstr(err.text, "but the file has only") || strstr(err.text, "is empty"))) {
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
    for (int container = 0; container < 2; container++) {
        struct gguf_bytes b = {0};
        small_with_parts(&b, container);
        unsigned n_refused = 0;
        for (size_t bit = 0; bit < b.n * 8; bit++) {
            struct el_source *s = NULL;
            struct el_err err = {EL_OK, ""};
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
