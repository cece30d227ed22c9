/* Reading whole and in part, and what is refused. */
#include "base/file.h"
#include "base/mem.h"
#include "test.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static const char text[] = "0123456789";

TEST(file, reads_and_maps)
{
    const char *const path = test_tmp("plain");
    REQUIRE(test_write(path, text, 10));
    struct el_err err = {0};
    struct el_file f;
    REQUIRE_OK(el_file_open(&f, path, &err), err);
    CHECK_EQ_INT(f.nbytes, 10);
    CHECK(f.ino != 0);
    char out[10];
    REQUIRE_OK(el_file_read(&f, 2, out, 5, &err), err);
    CHECK(memcmp(out, "23456", 5) == 0);
    CHECK_OK(el_file_read(&f, 10, out, 0, &err), err);
    const uint8_t *base, *again;
    REQUIRE_OK(el_file_map(&f, &base, &err), err);
    CHECK(memcmp(base, text, 10) == 0);
    CHECK_OK(el_file_map(&f, &again, &err), err);
    CHECK(again == base);
    CHECK_EQ_INT(el_file_read(&f, 8, out, 3, &err), EL_E_FORMAT);
    CHECK(strstr(err.text, "truncated: 3 bytes wanted at byte 8, the file ends at byte 10"));
    CHECK_EQ_INT(el_file_read(&f, UINT64_MAX, out, 3, &err), EL_E_FORMAT);
    CHECK_EQ_INT(el_file_read(&f, 8, out, (uint64_t)INT64_MAX, &err), EL_E_FORMAT);
    el_interrupt();
    CHECK_EQ_INT(el_file_read(&f, 0, out, 3, &err), EL_E_INTERRUPTED);
    el_interrupt_clear();
    el_file_close(&f);
    el_file_close(&f);
}

TEST(file, empty_files_can_be_mapped)
{
    const char *const path = test_tmp("empty");
    REQUIRE(test_write(path, "", 0));
    struct el_err err = {0};
    struct el_file f;
    const uint8_t *base;
    REQUIRE_OK(el_file_open(&f, path, &err), err);
    CHECK_OK(el_file_map(&f, &base, &err), err);
    CHECK(base != NULL);
    el_file_close(&f);
}

TEST(file, refuses_what_is_no_file)
{
    struct el_err err = {0};
    struct el_file f;
    CHECK_EQ_INT(el_file_open(&f, test_tmp("missing"), &err), EL_E_IO);
    CHECK(strstr(err.text, "No such file or directory"));
    const char *const folder = test_tmp("folder"), *const fifo = test_tmp("fifo");
    REQUIRE(mkdir(folder, 0777) == 0 && mkfifo(fifo, 0666) == 0);
    CHECK_EQ_INT(el_file_open(&f, folder, &err), EL_E_IO);
    CHECK(strstr(err.text, "is a folder, not a file"));
    CHECK_EQ_INT(el_file_open(&f, fifo, &err), EL_E_IO);
    CHECK(strstr(err.text, "is a FIFO, not a file"));
    CHECK_EQ_INT(el_file_open(&f, "/dev/null", &err), EL_E_IO);
    CHECK(strstr(err.text, "is a device, not a file"));
    CHECK_EQ_STR(el_file_kind(S_IFSOCK), "socket");
    CHECK_EQ_STR(el_file_kind(S_IFLNK), "symbolic link");
    CHECK_EQ_STR(el_file_kind(S_IFREG), "file");
    el_file_close(&f);
}

TEST(file, whole_files_have_a_limit)
{
    const char *const path = test_tmp("whole");
    REQUIRE(test_write(path, text, 10));
    struct el_err err = {0};
    char *data;
    size_t n;
    REQUIRE_OK(el_read_file(path, 10, &data, &n, &err), err);
    CHECK_EQ_INT(n, 10);
    CHECK_EQ_STR(data, text);
    el_free(data);
    CHECK_EQ_INT(el_read_file(path, 9, &data, &n, &err), EL_E_FORMAT);
    CHECK(strstr(err.text, "larger than 9 bytes"));
    CHECK(data == NULL);
    CHECK_EQ_INT(el_read_file(test_tmp("missing"), 9, &data, &n, &err), EL_E_IO);
    CHECK_EQ_INT(el_read_file("/", 9, &data, &n, &err), EL_E_IO);
    CHECK(strstr(err.text, "Is a directory"));
    REQUIRE(test_write(path, "", 0));
    REQUIRE_OK(el_read_file(path, 10, &data, &n, &err), err);
    CHECK(data && n == 0 && data[0] == '\0');
    el_free(data);
    el_interrupt();
    CHECK_EQ_INT(el_read_file(path, 10, &data, &n, &err), EL_E_INTERRUPTED);
    el_interrupt_clear();
    for (uint64_t i = 1; i <= 2; i++) {
        REQUIRE(test_write(path, text, 10));
        el_mem_fail_after(i);
        CHECK_EQ_INT(el_read_file(path, 10, &data, &n, &err), EL_E_MEMORY);
        el_mem_fail_after(0);
    }
}

TEST(file, standard_input_is_a_dash)
{
    const char *const path = test_tmp("stdin");
    REQUIRE(test_write(path, text, 10));
    const int saved = dup(0), fd = open(path, O_RDONLY);
    REQUIRE(saved >= 0 && fd >= 0);
    dup2(fd, 0);
    struct el_err err = {0};
    char *data;
    size_t n;
    CHECK_OK(el_read_file("-", 100, &data, &n, &err), err);
    CHECK(n == 10);
    el_free(data);
    dup2(saved, 0);
    close(saved);
    close(fd);
}

TEST(file, names_are_checked)
{
    CHECK(el_file_name_is_safe("model-00001-of-00002.safetensors"));
    CHECK(el_file_name_is_safe("..a"));
    static const char *const unsafe[] = {"", ".", "..", "/etc/passwd", "a/b", "..\\x", "C:x", "a\nb", "\x7f", "a\x1b[2J"};
    for (size_t i = 0; i < sizeof unsafe / sizeof unsafe[0]; i++) {
        if (el_file_name_is_safe(unsafe[i]))
            test_fail(__FILE__, __LINE__, "%s", unsafe[i]);
    }
    char longest[257];
    memset(longest, 'a', sizeof longest);
    longest[255] = '\0';
    CHECK(el_file_name_is_safe(longest));
    longest[255] = 'a', longest[256] = '\0';
    CHECK(!el_file_name_is_safe(longest));
}
