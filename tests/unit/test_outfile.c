/* Output files: whole or not at all, also when killed; what is refused. */
#include "base/file.h"
#include "base/guard.h"
#include "base/mem.h"
#include "test.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void nap(void)
{
    const struct timespec t = {0, 2000000};
    nanosleep(&t, NULL);
}

/* Files in a folder, those whose name begins with a dot counted apart. */
static void count(const char *folder, unsigned *n_plain, unsigned *n_hidden)
{
    *n_plain = *n_hidden = 0;
    DIR *const d = opendir(folder);
    for (struct dirent *e; d && (e = readdir(d));) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        (*(e->d_name[0] == '.' ? n_hidden : n_plain))++;
    }
    if (d)
        closedir(d);
}

static const char *folder_of(const char *name, const char *tag)
{
    char full[64];
    snprintf(full, sizeof full, "%s%s", name, tag);
    const char *const folder = test_tmp(full);
    return mkdir(folder, 0777) == 0 ? folder : NULL;
}

static const char *join(const char *folder, const char *name)
{
    static char ring[8][PATH_MAX];
    static unsigned next;
    char *const s = ring[next++ % 8];
    snprintf(s, PATH_MAX, "%s/%s", folder, name);
    return s;
}

static enum el_status put(const char *path, bool overwrite, const char *text, struct el_err *err)
{
    struct el_outfile *f;
    enum el_status status = el_outfile_open(path, overwrite, &f, err);
    if (status != EL_OK)
        return status;
    status = el_outfile_reserve(f, strlen(text), err);
    if (status == EL_OK)
        status = el_outfile_write(f, 0, text, strlen(text), err);
    if (status == EL_OK)
        status = el_outfile_commit(f, err);
    el_outfile_close(f);
    return status;
}

static void holds(const char *path, const char *want)
{
    size_t n;
    char *const got = test_read(path, &n);
    CHECK(got && n == strlen(want));
    CHECK_EQ_STR(got, want);
    free(got);
}

/* The tests that follow run on both kinds of file systems. */
#define TEST_BOTH(name)                                                                                                          \
    static void name(const char *tag);                                                                                           \
    TEST(outfile, name)                                                                                                          \
    {                                                                                                                            \
        name("");                                                                                                                \
    }                                                                                                                            \
    TEST(outfile_named, name)                                                                                                    \
    {                                                                                                                            \
        el_outfile_force_named(true);                                                                                            \
        name("-named");                                                                                                          \
        el_outfile_force_named(false);                                                                                           \
    }                                                                                                                            \
    static void name(const char *tag)

TEST_BOTH(appears_on_commit)
{
    const char *const folder = folder_of("out1", tag);
    REQUIRE(folder);
    const char *const path = join(folder, "a");
    struct el_err err = {0};
    struct el_outfile *f;
    unsigned n_plain, n_hidden;
    REQUIRE_OK(el_outfile_open(path, false, &f, &err), err);
    REQUIRE_OK(el_outfile_reserve(f, 100, &err), err); /* more than is written: cut at commit */
    REQUIRE_OK(el_outfile_write(f, 3, "def", 3, &err), err);
    REQUIRE_OK(el_outfile_write(f, 0, "abc", 3, &err), err);
    char back[6];
    REQUIRE_OK(el_outfile_read(f, 0, back, 6, &err), err);
    CHECK(memcmp(back, "abcdef", 6) == 0);
    count(folder, &n_plain, &n_hidden);
    CHECK_EQ_INT(n_plain, 0);
    REQUIRE_OK(el_outfile_commit(f, &err), err);
    el_outfile_close(f);
    holds(path, "abcdef");
    count(folder, &n_plain, &n_hidden);
    CHECK_EQ_INT(n_plain, 1);
    CHECK_EQ_INT(n_hidden, 0);
}

TEST_BOTH(nothing_is_left_without_commit)
{
    const char *const folder = folder_of("out2", tag);
    REQUIRE(folder);
    struct el_err err = {0};
    struct el_outfile *f;
    REQUIRE_OK(el_outfile_open(join(folder, "a"), false, &f, &err), err);
    REQUIRE_OK(el_outfile_write(f, 0, "abc", 3, &err), err);
    el_outfile_close(f);
    el_outfile_close(NULL);
    unsigned n_plain, n_hidden;
    count(folder, &n_plain, &n_hidden);
    CHECK_EQ_INT(n_plain + n_hidden, 0);
}

TEST_BOTH(replaces_only_when_asked)
{
    const char *const folder = folder_of("out3", tag);
    REQUIRE(folder);
    const char *const path = join(folder, "a");
    struct el_err err = {0};
    REQUIRE_OK(put(path, false, "old", &err), err);
    CHECK_EQ_INT(put(path, false, "new", &err), EL_E_IO);
    CHECK(strstr(err.text, "exists already"));
    holds(path, "old");
    REQUIRE_OK(put(path, true, "new", &err), err);
    holds(path, "new");
    unsigned n_plain, n_hidden;
    count(folder, &n_plain, &n_hidden);
    CHECK_EQ_INT(n_plain, 1);
    CHECK_EQ_INT(n_hidden, 0);
}

TEST_BOTH(two_runs_at_once)
{
    const char *const folder = folder_of("out4", tag);
    REQUIRE(folder);
    const char *const path = join(folder, "a");
    struct el_err err = {0};
    struct el_outfile *one, *two;
    REQUIRE_OK(el_outfile_open(path, false, &one, &err), err);
    REQUIRE_OK(el_outfile_open(path, true, &two, &err), err);
    REQUIRE_OK(el_outfile_write(one, 0, "one", 3, &err), err);
    REQUIRE_OK(el_outfile_write(two, 0, "two", 3, &err), err);
    REQUIRE_OK(el_outfile_commit(two, &err), err);
    CHECK_EQ_INT(el_outfile_commit(one, &err), EL_E_IO); /* it was told not to overwrite */
    CHECK(strstr(err.text, "has come to exist"));
    el_outfile_close(one);
    el_outfile_close(two);
    holds(path, "two");
    REQUIRE_OK(el_outfile_open(join(folder, "b"), true, &one, &err), err);
    REQUIRE_OK(el_outfile_open(join(folder, "b"), true, &two, &err), err);
    REQUIRE_OK(el_outfile_write(one, 0, "one", 3, &err), err);
    REQUIRE_OK(el_outfile_write(two, 0, "two", 3, &err), err);
    CHECK_OK(el_outfile_commit(two, &err), err);
    CHECK_OK(el_outfile_commit(one, &err), err); /* the last one wins */
    el_outfile_close(one);
    el_outfile_close(two);
    holds(join(folder, "b"), "one");
    unsigned n_plain, n_hidden;
    count(folder, &n_plain, &n_hidden);
    CHECK_EQ_INT(n_hidden, 0);
}

static void refuses(const char *path, bool overwrite, const char *want)
{
    struct el_err err = {0};
    struct el_outfile *f;
    CHECK_EQ_INT(el_outfile_open(path, overwrite, &f, &err), EL_E_IO);
    CHECK(f == NULL);
    if (!strstr(err.text, want))
        test_fail(__FILE__, __LINE__, "'%s' is not in '%s'", want, err.text);
}

TEST(outfile, refuses_bad_places)
{
    const char *const folder = folder_of("out5", "");
    REQUIRE(folder);
    REQUIRE(mkfifo(join(folder, "fifo"), 0666) == 0 && mkdir(join(folder, "sub"), 0777) == 0);
    REQUIRE(symlink("nowhere", join(folder, "dangling")) == 0);
    refuses(join(folder, "sub"), true, "output is a folder, not a file");
    refuses(join(folder, "fifo"), true, "output is a FIFO, not a file");
    refuses("/dev/null", true, "output is a device, not a file");
    refuses(join(folder, "missing/a"), true, "cannot open the output's folder: No such file or directory");
    refuses(join(folder, "fifo/a"), true, "Not a directory");
    refuses(join(folder, "sub/"), true, "output is not a file name");
    refuses(join(folder, ".."), true, "output is not a file name");
    refuses("", true, "output is not a file name");
    refuses(join(folder, "dangling"), true, "cannot follow the symbolic link");
    char longest[PATH_MAX + 10];
    memset(longest, 'a', sizeof longest);
    longest[sizeof longest - 1] = '\0';
    refuses(longest, true, "at most 4095");
    longest[300] = '\0';
    refuses(longest, true, "output file name of 300 bytes, at most 255");
}

TEST(outfile, read_only_folder)
{
    if (geteuid() == 0)
        SKIP("root may write everywhere");
    const char *const folder = folder_of("out6", "");
    REQUIRE(folder && chmod(folder, 0555) == 0);
    refuses(join(folder, "a"), true, "Permission denied");
    chmod(folder, 0755);
}

TEST_BOTH(keeps_links_and_long_names)
{
    const char *const folder = folder_of("out7", tag);
    REQUIRE(folder);
    struct el_err err = {0};
    REQUIRE(test_write(join(folder, "real"), "old", 3) && symlink("real", join(folder, "link")) == 0);
    REQUIRE_OK(put(join(folder, "link"), true, "new", &err), err);
    holds(join(folder, "real"), "new");
    struct stat st;
    CHECK(lstat(join(folder, "link"), &st) == 0 && S_ISLNK(st.st_mode));
    char name[256];
    memset(name, 'n', 255);
    name[255] = '\0';
    REQUIRE_OK(put(join(folder, name), false, "one", &err), err);
    REQUIRE_OK(put(join(folder, name), true, "two", &err), err);
    holds(join(folder, name), "two");
    REQUIRE_OK(put(join(folder, "not utf8 \xff"), false, "x", &err), err);
}

TEST_BOTH(knows_its_input)
{
    const char *const folder = folder_of("out8", tag);
    REQUIRE(folder);
    struct el_err err = {0};
    REQUIRE(test_write(join(folder, "in"), "in", 2) && link(join(folder, "in"), join(folder, "hard")) == 0);
    REQUIRE(test_write(join(folder, "other"), "in", 2) && symlink("in", join(folder, "soft")) == 0);
    struct el_file in;
    REQUIRE_OK(el_file_open(&in, join(folder, "in"), &err), err);
    static const struct {
        const char *name;
        bool same;
    } cases[] = {{"in", true}, {"hard", true}, {"soft", true}, {"other", false}, {"new", false}};
    for (size_t i = 0; i < 5; i++) {
        struct el_outfile *f;
        REQUIRE_OK(el_outfile_open(join(folder, cases[i].name), true, &f, &err), err);
        CHECK_EQ_INT(el_outfile_same_as_file(f, &in), cases[i].same);
        el_outfile_close(f);
    }
    el_file_close(&in);
}

TEST_BOTH(stale_temporaries_go_and_live_ones_stay)
{
    const char *const folder = folder_of("out9", tag);
    REQUIRE(folder);
    struct el_err err = {0};
    static const char *const names[] = {".a.123-0123abcd.tmp", ".a.124-0123abcd.tmp", ".a.x-0123abcd.tmp", ".b.123-0123abcd.tmp",
                                        ".a.tmp"};
    for (size_t i = 0; i < 5; i++)
        REQUIRE(test_write(join(folder, names[i]), "", 0));
    const int live = open(join(folder, names[1]), O_RDONLY);
    REQUIRE(live >= 0 && flock(live, LOCK_EX) == 0);
    REQUIRE_OK(put(join(folder, "a"), false, "text", &err), err);
    CHECK(access(join(folder, names[0]), F_OK) != 0);
    for (size_t i = 1; i < 5; i++)
        CHECK(access(join(folder, names[i]), F_OK) == 0);
    close(live);
}

TEST_BOTH(disk_full_and_size_limit)
{
    const char *const folder = folder_of("out10", tag);
    REQUIRE(folder);
    struct el_err err = {0};
    struct el_outfile *f;
    REQUIRE_OK(el_outfile_open(join(folder, "a"), false, &f, &err), err);
    CHECK_EQ_INT(el_outfile_reserve(f, UINT64_MAX, &err), EL_E_IO);
    CHECK_EQ_INT(el_outfile_reserve(f, (uint64_t)1 << 62, &err), EL_E_IO);
    CHECK(strstr(err.text, "cannot reserve"));
    CHECK_OK(el_outfile_reserve(f, 0, &err), err);
    CHECK_EQ_INT(el_outfile_write(f, UINT64_MAX, "a", 1, &err), EL_E_IO);
    struct rlimit before, small;
    REQUIRE(getrlimit(RLIMIT_FSIZE, &before) == 0);
    void (*const handler)(int) = signal(SIGXFSZ, SIG_IGN);
    small = before;
    small.rlim_cur = 4096;
    REQUIRE(setrlimit(RLIMIT_FSIZE, &small) == 0);
    static char big[10000];
    CHECK_EQ_INT(el_outfile_write(f, 0, big, sizeof big, &err), EL_E_IO);
    CHECK(strstr(err.text, "File too large"));
    CHECK(setrlimit(RLIMIT_FSIZE, &before) == 0);
    signal(SIGXFSZ, handler);
    el_interrupt();
    CHECK_EQ_INT(el_outfile_write(f, 0, "a", 1, &err), EL_E_INTERRUPTED);
    el_interrupt_clear();
    el_outfile_close(f);
    unsigned n_plain, n_hidden;
    count(folder, &n_plain, &n_hidden);
    CHECK_EQ_INT(n_plain + n_hidden, 0);
}

TEST(outfile, the_guard_removes_and_is_stopped)
{
    const char *const folder = folder_of("out11", "");
    REQUIRE(folder);
    for (int stop = 0; stop <= 1; stop++) {
        REQUIRE(test_write(join(folder, "left"), "", 0));
        const pid_t child = fork();
        REQUIRE(child >= 0);
        if (child == 0) {
            const int dir = open(folder, O_RDONLY | O_DIRECTORY);
            const char *const names[] = {"absent", "left"};
            const int guard = el_guard_start(dir, NULL, names, 2);
            if (stop)
                el_guard_stop(guard);
            raise(SIGKILL);
        }
        int status;
        waitpid(child, &status, 0);
        for (int i = 0; i < 5000 && access(join(folder, "left"), F_OK) == 0; i++) {
            if (stop && i == 50)
                break;
            nap();
        }
        CHECK_EQ_INT(access(join(folder, "left"), F_OK) == 0, stop);
    }
    el_guard_stop(-1);
    el_guard_arm(-1);
}

TEST(outfile, the_guard_removes_a_folder)
{
    const char *const folder = folder_of("out12", "");
    REQUIRE(folder && mkdir(join(folder, "sub"), 0777) == 0 && test_write(join(folder, "sub/x"), "", 0));
    const pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        const char *const names[] = {"x"};
        const int dir = open(folder, O_RDONLY | O_DIRECTORY);
        el_guard_arm(el_guard_start(dir, "sub", names, 1));
        raise(SIGKILL);
    }
    int status;
    waitpid(child, &status, 0);
    for (int i = 0; i < 5000 && access(join(folder, "sub"), F_OK) == 0; i++)
        nap();
    CHECK(access(join(folder, "sub"), F_OK) != 0);
}

/* Writes over the same file for ever, and is killed at a random moment. */
TEST_BOTH(kills_leave_the_old_or_the_new)
{
    const char *const folder = folder_of("out13", tag);
    REQUIRE(folder);
    const char *const path = join(folder, "a");
    struct el_err err = {0};
    REQUIRE_OK(put(path, false, "old", &err), err);
    uint64_t state = 7;
    for (int round = 0; round < 25; round++) {
        const pid_t child = fork();
        REQUIRE(child >= 0);
        if (child == 0) {
            for (;;)
                (void)put(path, true, "new", NULL);
        }
        const struct timespec t = {0, (long)(test_rand(&state) % 8000000)};
        nanosleep(&t, NULL);
        kill(child, SIGKILL);
        int status;
        waitpid(child, &status, 0);
        size_t n;
        char *const got = test_read(path, &n);
        CHECK(got && (strcmp(got, "old") == 0 || strcmp(got, "new") == 0));
        free(got);
    }
    unsigned n_plain = 0, n_hidden = 1;
    for (int i = 0; i < 5000 && n_hidden; i++) {
        nap();
        count(folder, &n_plain, &n_hidden);
    }
    CHECK_EQ_INT(n_plain, 1);
    CHECK_EQ_INT(n_hidden, 0);
}

TEST(outfile, out_of_memory)
{
    struct el_err err = {0};
    struct el_outfile *f;
    el_mem_fail_after(1);
    CHECK_EQ_INT(el_outfile_open(test_tmp("oom"), true, &f, &err), EL_E_MEMORY);
    el_mem_fail_after(0);
}
