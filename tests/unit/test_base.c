/* The small modules of base: errors, memory, cursor, buffer, map, hash, UTF-8, build information. */
#include "base/buf.h"
#include "base/build_info.h"
#include "base/checked.h"
#include "base/cursor.h"
#include "base/err.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/sha256.h"
#include "base/strmap.h"
#include "base/utf8.h"
#include "test.h"

#include <errno.h>
#include <locale.h>
#include <sys/stat.h>

/* ---- errors ---- */

static void keep_line(void *user, const char *text)
{
    snprintf(user, 4096, "%s", text);
}

TEST(err, text_is_one_printable_line)
{
    struct el_err err = {0};
    CHECK_EQ_INT(el_fail(&err, EL_E_FORMAT, "'%s': %d", "a\x1b[2J\n\x7f", 7), EL_E_FORMAT);
    CHECK_EQ_STR(err.text, "'a\\x1b[2J\\x0a\\x7f': 7");
    CHECK_EQ_INT(err.code, EL_E_FORMAT);
    el_fail(&err, EL_E_IO, "%s", "\xff h\xc3\xa9 \xe2\x80\xae x \xc2\x9b y \xf0\x9f\x98\x80");
    CHECK_EQ_STR(err.text, "\\xff h\xc3\xa9 \\u{202e} x \\u{9b} y \xf0\x9f\x98\x80");
    CHECK_EQ_INT(el_fail(NULL, EL_E_USAGE, "nobody listens"), EL_E_USAGE);
}

TEST(err, long_text_is_cut_between_characters)
{
    struct el_err err = {0};
    char text[3000];
    memset(text, 'a', sizeof text);
    memcpy(text + 510, "\xc3\xa9", 2); /* would end at byte 512 */
    text[2999] = '\0';
    el_fail(&err, EL_E_IO, "%s", text);
    CHECK_EQ_INT(strlen(err.text), 510);
    CHECK(el_utf8_is_valid(err.text, strlen(err.text)));
}

TEST(err, prefixes)
{
    struct el_err err = {0};
    CHECK_EQ_INT(el_fail_why(&err, EL_E_IO, EL_REASON_EXISTS, "%d", 7), EL_E_IO);
    CHECK_EQ_INT(err.reason, EL_REASON_EXISTS);
    CHECK_EQ_STR(err.text, "7");
    el_fail_prefix(&err, EL_E_FORMAT, "file");
    CHECK_EQ_INT(err.reason, EL_REASON_EXISTS); /* it is the same failure */
    CHECK_EQ_INT(el_fail_why(NULL, EL_E_IO, EL_REASON_EXISTS, "nobody"), EL_E_IO);
    el_fail(&err, EL_E_UNSUPPORTED, "too new");
    CHECK_EQ_INT(err.reason, EL_REASON_NONE);
    CHECK_EQ_INT(el_fail_prefix(&err, EL_E_FORMAT, "'%s'", "x\ty"), EL_E_UNSUPPORTED);
    CHECK_EQ_STR(err.text, "'x\\x09y': too new");
    struct el_err none = {0};
    CHECK_EQ_INT(el_fail_prefix(&none, EL_E_FORMAT, "a"), EL_E_FORMAT);
    CHECK_EQ_INT(el_fail_prefix(NULL, EL_E_FORMAT, "a"), EL_E_FORMAT);
    char text[3000];
    memset(text, 'a', sizeof text);
    text[2999] = '\0';
    el_fail_prefix(&err, EL_E_FORMAT, "%s", text);
    CHECK_EQ_INT(strlen(err.text), 511);
}

TEST(err, names_and_warnings)
{
    for (int i = -1; i < 140; i++)
        CHECK(strlen(el_status_name((enum el_status)i)) > 1);
    CHECK_EQ_STR(el_status_name(EL_E_FORMAT), "bad input");
    CHECK_EQ_STR(el_status_name((enum el_status)77), "unknown status");
    CHECK_EQ_STR(el_errno_text(ENOENT), "No such file or directory");
    CHECK_EQ_STR(el_errno_text(-5), "unknown error");
    char line[4096] = "";
    el_warn("dropped");
    el_log_set(keep_line, line);
    el_warn("'%s' is odd", "a\rb");
    CHECK_EQ_STR(line, "'a\\x0db' is odd");
    el_log_set(NULL, NULL);
    CHECK(!el_interrupted());
    el_interrupt();
    CHECK(el_interrupted());
    el_interrupt_clear();
    CHECK(!el_interrupted());
}

/* ---- memory ---- */

TEST(mem, counts_and_fails_on_request)
{
    const uint64_t before = el_mem_count();
    void *p = el_alloc(0), *q = el_alloc_array(3, 5), *r = el_calloc_array(0, 8);
    char *s = el_strdup("abc"), *t = el_strndup("a\0bc", 3);
    CHECK(p && q && r && s && t);
    CHECK_EQ_STR(s, "abc");
    CHECK(t && memcmp(t, "a\0b", 4) == 0);
    CHECK_EQ_INT(el_mem_count() - before, 5);
    el_free(p);
    el_free(r);
    el_free(s);
    el_free(t);
    CHECK(el_alloc_array(SIZE_MAX, 2) == NULL);
    CHECK(el_realloc_array(q, SIZE_MAX / 2, 3) == NULL);
    CHECK(el_strndup("", SIZE_MAX) == NULL);
    el_mem_fail_after(2);
    p = el_alloc(1);
    CHECK(p != NULL);
    CHECK(el_alloc(1) == NULL); /* the second, and only that one */
    r = el_alloc(1);
    CHECK(r != NULL);
    el_mem_fail_after(1);
    CHECK(el_realloc_array(q, 9, 9) == NULL);
    el_mem_fail_after(1);
    CHECK(el_calloc_array(9, 9) == NULL);
    el_mem_fail_after(1);
    CHECK(el_strdup("x") == NULL);
    el_mem_fail_after(1);
    CHECK(el_alloc_aligned(9) == NULL);
    el_mem_fail_after(0);
    q = el_realloc_array(q, 0, 0);
    CHECK(q != NULL);
    el_free(p);
    el_free(q);
    el_free(r);
    el_free(NULL);
}

TEST(mem, aligned)
{
    static const size_t sizes[] = {0, 1, 64, 65, (2 << 20) - 1, 2 << 20, 5 << 20};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        uint8_t *const p = el_alloc_aligned(sizes[i]);
        REQUIRE(p);
        CHECK((uintptr_t)p % (sizes[i] >= 2 << 20 ? 2 << 20 : 64) == 0);
        memset(p, 1, sizes[i]);
        el_free_aligned(p);
    }
    CHECK(el_alloc_aligned(SIZE_MAX - 5) == NULL);
}

TEST(checked, overflow_leaves_the_result)
{
    uint64_t v = 7;
    CHECK(!el_mul_u64(UINT64_MAX / 2 + 1, 2, &v) && v == 7);
    CHECK(!el_add_u64(UINT64_MAX, 1, &v) && v == 7);
    CHECK(!el_align_u64(UINT64_MAX - 3, 32, &v) && v == 7);
    CHECK(el_mul_u64(6, 7, &v) && v == 42);
    CHECK(el_add_u64(6, 7, &v) && v == 13);
    CHECK(el_align_u64(33, 32, &v) && v == 64);
}

/* ---- cursor ---- */

TEST(cursor, reads_little_endian_and_stops_at_the_end)
{
    static const uint8_t bytes[] = {1,  2, 3, 4,   5,  6, 7, 8, 9, 10, 11, 12,  13, 14,
                                    15, 0, 0, 128, 63, 0, 0, 0, 0, 0,  0,  240, 63, 9};
    struct el_cursor c = el_cursor_init(bytes, sizeof bytes);
    CHECK_EQ_INT(el_cursor_u8(&c), 1);
    CHECK_EQ_INT(el_cursor_u16(&c), 0x0302);
    CHECK_EQ_INT(el_cursor_u32(&c), 0x07060504);
    CHECK(el_cursor_u64(&c) == 0x0f0e0d0c0b0a0908u);
    CHECK(el_cursor_f32(&c) == 1.0f);
    CHECK(el_cursor_f64(&c) == 1.0);
    CHECK_EQ_INT(el_cursor_offset(&c), 27);
    CHECK_EQ_INT(el_cursor_left(&c), 1);
    CHECK(el_cursor_bytes(&c, 1) == bytes + 27);
    CHECK(!c.failed);
    CHECK_EQ_INT(el_cursor_u16(&c), 0);
    CHECK(c.failed && el_cursor_left(&c) == 0);
    CHECK(el_cursor_bytes(&c, 0) == NULL); /* failed for good */
    c = el_cursor_init(bytes, 3);
    CHECK(el_cursor_bytes(&c, UINT64_MAX) == NULL);
    c = el_cursor_init(NULL, 5);
    CHECK_EQ_INT(el_cursor_left(&c), 0);
    CHECK_EQ_INT(el_cursor_u8(&c), 0);
}

/* ---- buffer ---- */

TEST(buf, grows_and_prints)
{
    struct el_buf b;
    el_buf_init(&b);
    CHECK_EQ_STR(b.data, "");
    el_buf_add(&b, "ab", 2);
    el_buf_add_str(&b, "cd");
    el_buf_add_byte(&b, 'e');
    el_buf_addf(&b, "%d%s", 12, "x");
    CHECK_EQ_STR(b.data, "abcde12x");
    char big[600];
    memset(big, 'y', sizeof big);
    big[599] = '\0';
    el_buf_addf(&b, "%s", big);
    CHECK_EQ_INT(b.nbytes, 8 + 599);
    CHECK_EQ_INT(strlen(b.data), 8 + 599);
    el_buf_reset(&b);
    CHECK_EQ_STR(b.data, "");
    el_buf_add_u32(&b, 0x04030201);
    el_buf_add_u64(&b, 0x0807060504030201);
    CHECK(memcmp(b.data, "\1\2\3\4\1\2\3\4\5\6\7\10", 12) == 0);
    size_t n;
    char *const data = el_buf_detach(&b, &n);
    CHECK(data && n == 12 && b.nbytes == 0);
    el_free(data);
    char *const nothing = el_buf_detach(&b, &n);
    CHECK(nothing && n == 0 && nothing[0] == '\0');
    el_free(nothing);
    el_buf_release(&b);
}

TEST(buf, json_strings)
{
    struct el_buf b;
    el_buf_init(&b);
    static const char text[] = "a\"\\\n\r\t\x01\x7f\xff\xe2\x82\xac\xe2\x82z";
    el_buf_add_json_str(&b, text, sizeof text - 1);
    CHECK_EQ_STR(b.data, "\"a\\\"\\\\\\n\\r\\t\\u0001\\u007f\xef\xbf\xbd\xe2\x82\xac\xef\xbf\xbd\xef\xbf\xbdz\"");
    struct el_err err = {0};
    struct el_json_doc *doc;
    CHECK_OK(el_json_parse(b.data, b.nbytes, "own text", &doc, &err), err);
    el_json_free(doc);
    el_buf_release(&b);
}

TEST(buf, failure_is_remembered)
{
    struct el_buf b;
    el_buf_init(&b);
    el_mem_fail_after(1);
    el_buf_add_str(&b, "abc");
    el_mem_fail_after(0);
    CHECK(b.failed);
    el_buf_add_str(&b, "abc");
    el_buf_addf(&b, "%0300d", 1);
    CHECK_EQ_INT(b.nbytes, 0);
    size_t n;
    CHECK(el_buf_detach(&b, &n) == NULL);
    CHECK(!b.failed);
    el_buf_release(&b);
}

TEST(buf, does_not_know_the_locale)
{
    struct el_buf b;
    el_buf_init(&b);
    (void)setlocale(LC_ALL, "de_DE.UTF-8"); /* where it is installed, 1.5 would become 1,5 */
    el_buf_addf(&b, "%g", 1.5);
    (void)setlocale(LC_ALL, "C");
    CHECK_EQ_STR(b.data, "1.5");
    el_buf_release(&b);
}

/* ---- map ---- */

TEST(strmap, finds_what_was_added)
{
    enum { N = 5000 };
    static char keys[N][48];
    struct el_strmap m;
    el_strmap_init(&m);
    CHECK_EQ_INT(el_strmap_get(&m, "a", 1, -7), -7);
    for (int i = 0; i < N; i++) {
        /* All lengths around the hash's steps of 8 and 16 bytes. */
        snprintf(keys[i], sizeof keys[i], "%0*d.", i % 40 + 5, i);
        bool existed = true;
        REQUIRE(el_strmap_add(&m, keys[i], strlen(keys[i]), i, &existed));
        CHECK(!existed);
    }
    CHECK_EQ_INT(m.count, N);
    for (int i = 0; i < N; i++) {
        CHECK_EQ_INT(el_strmap_get(&m, keys[i], strlen(keys[i]), -1), i);
        CHECK_EQ_INT(el_strmap_get(&m, keys[i], strlen(keys[i]) - 1, -1), -1);
    }
    bool existed = false;
    CHECK(el_strmap_add(&m, keys[3], strlen(keys[3]), 99, &existed) && existed);
    CHECK_EQ_INT(el_strmap_get(&m, keys[3], strlen(keys[3]), -1), 3);
    CHECK(el_strmap_add(&m, "", 0, 5, NULL));
    CHECK(el_strmap_add(&m, "a\0b", 3, 6, NULL));
    CHECK_EQ_INT(el_strmap_get(&m, "", 0, -1), 5);
    CHECK_EQ_INT(el_strmap_get(&m, "a\0b", 3, -1), 6);
    CHECK_EQ_INT(el_strmap_get(&m, "a\0c", 3, -1), -1);
    el_strmap_release(&m);
    el_mem_fail_after(1);
    CHECK(!el_strmap_add(&m, "a", 1, 1, NULL));
    el_mem_fail_after(0);
    el_strmap_release(&m);
}

TEST(strmap, keys_of_all_lengths_are_told_apart_in_a_reserved_table)
{
    enum { MAX_NBYTES = 40 };
    char text[2 * MAX_NBYTES];
    struct el_strmap m;
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = (char)(i * 7);
    el_strmap_init(&m);
    REQUIRE(el_strmap_add(&m, text, 1, 0, NULL));
    REQUIRE(el_strmap_reserve(&m, (size_t)MAX_NBYTES * MAX_NBYTES));
    const struct el_strmap_slot *const slots = m.slots;
    for (int64_t at = 0; at < MAX_NBYTES; at++)
        for (int64_t n = 1; n < MAX_NBYTES; n++)
            REQUIRE(el_strmap_add(&m, text + at, (size_t)n, at * MAX_NBYTES + n, NULL));
    CHECK(m.slots == slots);
    CHECK_EQ_INT(el_strmap_get(&m, text, 1, -1), 0);
    for (int64_t at = 0; at < MAX_NBYTES; at++)
        for (int64_t n = at ? 1 : 2; n < MAX_NBYTES; n++)
            CHECK_EQ_INT(el_strmap_get(&m, text + at, (size_t)n, -1), at * MAX_NBYTES + n);
    /* One byte changed, wherever it is: another key. */
    for (size_t n = 1; n < MAX_NBYTES; n++)
        for (size_t k = 0; k < n; k++) {
            char other[MAX_NBYTES];
            memcpy(other, text, n);
            other[k] ^= 1;
            CHECK(el_strmap_hash(other, n) != el_strmap_hash(text, n));
        }
    el_strmap_release(&m);
}

/* ---- hash: the values of FIPS 180-4's examples ---- */

TEST(sha256, known_values)
{
    char hex[65];
    el_sha256_bytes("abc", 3, hex);
    CHECK_EQ_STR(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    struct el_sha256 *const s = el_sha256_open();
    REQUIRE(s);
    el_sha256_add(s, "abcdbcdecdefdefgefghfghighij", 28);
    el_sha256_add(s, "hijkijkljklmklmnlmnomnopnopq", 28);
    el_sha256_close(s, hex);
    CHECK_EQ_STR(hex, "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
    CHECK(strlen(el_sha256_library()) > 2);
    el_mem_fail_after(1);
    CHECK(el_sha256_open() == NULL);
    el_mem_fail_after(0);
}

TEST(sha256, files_and_folders)
{
    struct el_err err = {0};
    char hex[65], path[4096], want[65];
    snprintf(path, sizeof path, "%s", test_tmp("hashed"));
    REQUIRE(mkdir(path, 0777) == 0);
    char name[4200];
    snprintf(name, sizeof name, "%s/model.safetensors", path);
    REQUIRE(test_write(name, "abc", 3));
    REQUIRE_OK(el_sha256_path(name, hex, &err), err);
    CHECK_EQ_STR(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    snprintf(name, sizeof name, "%s/config.json", path);
    REQUIRE(test_write(name, "", 0));
    snprintf(name, sizeof name, "%s/README.md", path); /* no part of the model */
    REQUIRE(test_write(name, "x", 1));
    snprintf(name, sizeof name, "%s/sub", path);
    REQUIRE(mkdir(name, 0777) == 0);
    static const char list[] = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855  config.json\n"
                               "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad  model.safetensors\n";
    el_sha256_bytes(list, sizeof list - 1, want);
    REQUIRE_OK(el_sha256_path(path, hex, &err), err);
    CHECK_EQ_STR(hex, want);
    CHECK_EQ_INT(el_sha256_path(test_tmp("absent"), hex, &err), EL_E_IO);
    CHECK_EQ_STR(hex, "");
    snprintf(name, sizeof name, "%s/model.safetensors", path);
    el_interrupt();
    CHECK_EQ_INT(el_sha256_path(name, hex, &err), EL_E_INTERRUPTED);
    el_interrupt_clear();
    for (uint64_t i = 1; i < 200; i++) {
        el_mem_fail_after(i);
        const enum el_status status = el_sha256_path(path, hex, &err);
        el_mem_fail_after(0);
        if (status == EL_OK)
            break;
        CHECK_EQ_INT(status, EL_E_MEMORY);
    }
}

/* ---- UTF-8 ---- */

TEST(utf8, round_trip_of_every_code_point)
{
    unsigned n_bad = 0;
    for (uint32_t cp = 0; cp <= 0x10ffff; cp++) {
        char s[4];
        uint32_t back = 0;
        const size_t n = el_utf8_encode(cp, s);
        const bool surrogate = cp >= 0xd800 && cp <= 0xdfff;
        n_bad += el_utf8_decode(s, n, &back) != n || back != (surrogate ? 0xfffd : cp);
        for (size_t k = 1; k < n; k++)
            n_bad += el_utf8_decode(s, k, &back) != 0 || el_utf8_complete(s, k) != 0;
        n_bad += el_utf8_complete(s, n) != n;
    }
    CHECK_EQ_INT(n_bad, 0);
    char s[4];
    CHECK(el_utf8_encode(0x110000, s) == 3 && memcmp(s, "\xef\xbf\xbd", 3) == 0);
}

TEST(utf8, invalid_bytes)
{
    static const char *const bad[] = {"\x80",
                                      "\xc0\x80",
                                      "\xc1\xbf",
                                      "\xe0\x9f\xbf",
                                      "\xed\xa0\x80",
                                      "\xf0\x8f\xbf\xbf",
                                      "\xf4\x90\x80\x80",
                                      "\xf5\x80\x80\x80",
                                      "\xff",
                                      "\xe2\x82z",
                                      "\xc3"};
    uint32_t cp;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        CHECK_EQ_INT(el_utf8_decode(bad[i], strlen(bad[i]), &cp), 0);
        CHECK(!el_utf8_is_valid(bad[i], strlen(bad[i])));
    }
    CHECK_EQ_INT(el_utf8_decode("", 0, &cp), 0);
    CHECK(el_utf8_is_valid("", 0));
    CHECK(el_utf8_is_valid("a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", 10));
    /* What can still become a character is kept back; what cannot is complete. */
    CHECK_EQ_INT(el_utf8_complete("ab\xf0\x9f\x98", 5), 2);
    CHECK_EQ_INT(el_utf8_complete("ab\xe0\x80", 4), 4);
    CHECK_EQ_INT(el_utf8_complete("ab\xf4\x90", 4), 4);
    CHECK_EQ_INT(el_utf8_complete("\x80\x80\x80", 3), 3);
    CHECK_EQ_INT(el_utf8_complete("\xff", 1), 1);
    CHECK_EQ_INT(el_utf8_complete("\xf0z\x80", 3), 3);
    CHECK_EQ_INT(el_utf8_complete("", 0), 0);
}

/* ---- build information ---- */

static const char *some_version(void)
{
    return "1.2.3 \"x\"";
}

static void some_value(struct el_buf *b)
{
    el_buf_add_str(b, "{\"x\": [3]}");
}

TEST(build_info, is_json)
{
    el_build_info_add("some library", some_version);
    el_build_info_add_member("some member", some_value);
    struct el_err err = {0};
    struct el_json_doc *doc;
    const char *const text = el_build_info_json();
    REQUIRE_OK(el_json_parse(text, strlen(text), "build info", &doc, &err), err);
    const struct el_json *const root = el_json_root(doc);
    CHECK_EQ_STR(el_json_str(el_json_get(root, "version")), el_version());
    CHECK_EQ_STR(el_version(), "0.1.0");
    static const char *const keys[] = {"commit", "compiler", "kernels"};
    for (size_t i = 0; i < 3; i++)
        CHECK(el_json_str(el_json_get(root, keys[i])) != NULL);
    CHECK_EQ_STR(el_json_str(el_json_get(el_json_get(root, "libraries"), "cjson")), el_json_library());
    CHECK(el_json_get(el_json_get(root, "cpu"), "model") != NULL);
    el_json_free(doc);
    for (int i = 0; i < 20; i++)
        el_build_info_add("one too many", some_version);
    for (int i = 0; i < 5; i++)
        el_build_info_add_member("one too many", some_value);
    CHECK(text == el_build_info_json());
}
