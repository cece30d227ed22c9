/* Folders that appear whole: each way of committing, what stays, what goes, and what an earlier run left. */
#include "test.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/err.h"
#include "base/file.h"
#include "base/outdir.h"

static const char *const names[] = {"a", "b", "last"};

static bool is_ours(const char *name)
{
    return strcmp(name, "a") == 0 || strcmp(name, "b") == 0 || strcmp(name, "last") == 0 || strcmp(name, "older") == 0;
}

static const char *in(const char *folder, const char *name)
{
    static char ring[8][4096];
    static unsigned next;
    char *const s = ring[next++ % 8];
    if (snprintf(s, sizeof ring[0], "%s/%s", folder, name) >= (int)sizeof ring[0])
        abort();
    return s;
}

static bool holds(const char *folder, const char *name, const char *text)
{
    size_t n = 0;
    char *const data = test_read(in(folder, name), &n);
    const bool same = data && n == strlen(text) && memcmp(data, text, n) == 0;
    free(data);
    return same;
}

static unsigned n_entries(const char *folder)
{
    unsigned n = 0;
    DIR *const d = opendir(folder);
    for (struct dirent *e; d && (e = readdir(d));)
        n += strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
    if (d)
        closedir(d);
    return n;
}

static enum el_status open_dir(const char *path, bool overwrite, const char *text, struct el_outdir **d, struct el_err *err)
{
    const struct el_outdir_opts opts = {overwrite, names, 3, is_ours};
    EL_TRY(el_outdir_open(path, &opts, d, err));
    for (size_t i = 0; i < 3; i++) {
        if (!test_write(in(el_outdir_place(*d), names[i]), text, strlen(text)))
            return el_fail(err, EL_E_IO, "'%s': the test cannot write", names[i]);
    }
    return EL_OK;
}

static enum el_status put(const char *path, bool overwrite, const char *text, struct el_err *err)
{
    struct el_outdir *d = NULL;
    enum el_status status = open_dir(path, overwrite, text, &d, err);
    if (status == EL_OK)
        status = el_outdir_commit(d, err);
    el_outdir_close(d);
    return status;
}

/* A folder of its own with the output "o" in it; the path is static. */
static const char *room(const char *name, bool exists)
{
    static char path[4096], folder[4096];
    snprintf(folder, sizeof folder, "%s", test_tmp(name));
    snprintf(path, sizeof path, "%.4000s/o", folder);
    return mkdir(folder, 0777) == 0 && (!exists || mkdir(path, 0777) == 0) ? path : NULL;
}

static uint64_t inode(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 ? (uint64_t)st.st_ino : 0;
}

TEST(outdir, a_new_folder)
{
    struct el_err err = {0};
    const char *const path = room("dir1", false);
    REQUIRE(path);
    struct el_outdir *d;
    REQUIRE_OK(open_dir(path, false, "new", &d, &err), err);
    CHECK(access(path, F_OK) != 0);
    CHECK_OK(el_outdir_commit(d, &err), err);
    el_outdir_close(d);
    CHECK(holds(path, "a", "new") && holds(path, "last", "new"));
    CHECK_EQ_INT(n_entries(path), 3);
    CHECK_EQ_INT(n_entries(test_tmp("dir1")), 1);
    /* Nothing is left of one that is not committed. */
    REQUIRE_OK(open_dir(path, true, "newer", &d, &err), err);
    el_outdir_close(d);
    CHECK(holds(path, "a", "new"));
    CHECK_EQ_INT(n_entries(test_tmp("dir1")), 1);
}

/* What a folder is replaced by, by exchange or file by file, is the same. */
static void replaces(const char *name, bool exchanged)
{
    struct el_err err = {0};
    const char *const path = room(name, true);
    REQUIRE(path && chmod(path, 0750) == 0);
    REQUIRE(test_write(in(path, "last"), "old", 3) && test_write(in(path, "older"), "old", 3) &&
            test_write(in(path, "mine"), "m", 1));
    REQUIRE(symlink("nowhere", in(path, "link")) == 0);
    const uint64_t before = inode(path), mine = inode(in(path, "mine"));
    REQUIRE_OK(put(path, true, "new", &err), err);
    CHECK_EQ_INT(inode(path) != before, exchanged);
    CHECK_EQ_INT(n_entries(path), 5);
    CHECK(holds(path, "a", "new") && holds(path, "b", "new") && holds(path, "last", "new") && holds(path, "mine", "m"));
    CHECK(inode(in(path, "mine")) == mine);
    CHECK_EQ_INT(n_entries(test_tmp(name)), 1);
    struct stat st;
    REQUIRE(stat(path, &st) == 0);
    CHECK_EQ_INT(st.st_mode & 07777, 0750);
}

TEST(outdir, replaces_by_exchange)
{
    replaces("dir2", true);
}

TEST(outdir, replaces_file_by_file)
{
    el_outdir_pretend(EL_OUTDIR_NO_EXCHANGE);
    replaces("dir3", false);
    el_outdir_pretend(0);
}

TEST(outdir, a_folder_with_folders_stays)
{
    struct el_err err = {0};
    const char *const path = room("dir4", true);
    REQUIRE(path && mkdir(in(path, "sub"), 0777) == 0 && test_write(in(path, "sub/x"), "x", 1) &&
            test_write(in(path, "older"), "", 0));
    const uint64_t before = inode(path);
    REQUIRE_OK(put(path, true, "new", &err), err);
    CHECK(inode(path) == before);
    CHECK(holds(path, "sub/x", "x") && holds(path, "last", "new"));
    CHECK_EQ_INT(n_entries(path), 4);
    CHECK_EQ_INT(n_entries(test_tmp("dir4")), 1);
}

TEST(outdir, the_working_directory_stays)
{
    struct el_err err = {0};
    const char *const path = room("dir5", true);
    const int home = open(".", O_RDONLY | O_DIRECTORY);
    REQUIRE(path && home >= 0 && test_write(in(path, "last"), "old", 3) && chdir(path) == 0);
    const uint64_t before = inode(path);
    const enum el_status status = put(".", true, "new", &err);
    const bool back = fchdir(home) == 0;
    close(home);
    REQUIRE_OK(status, err);
    CHECK(back && inode(path) == before);
    CHECK(holds(path, "last", "new"));
    CHECK_EQ_INT(n_entries(path), 3);
    CHECK_EQ_INT(n_entries(test_tmp("dir5")), 1);
}

TEST(outdir, a_link_to_a_folder_stays)
{
    struct el_err err = {0};
    const char *const path = room("dir6", true);
    const char *const link = in(test_tmp("dir6"), "link");
    REQUIRE(path && test_write(in(path, "last"), "old", 3) && symlink("o", link) == 0);
    REQUIRE_OK(put(link, true, "new", &err), err);
    struct stat st;
    CHECK(lstat(link, &st) == 0 && S_ISLNK(st.st_mode));
    CHECK(holds(path, "last", "new"));
    CHECK_EQ_INT(n_entries(test_tmp("dir6")), 2);
    REQUIRE(unlink(link) == 0 && symlink("nothing", link) == 0);
    CHECK_EQ_INT(put(link, true, "new", &err), EL_E_IO);
    CHECK(strstr(err.text, "follow the symbolic link"));
}

TEST(outdir, without_leave_only_an_empty_folder_is_replaced)
{
    struct el_err err = {0};
    const char *const path = room("dir7", true);
    REQUIRE(path);
    CHECK_OK(put(path, false, "new", &err), err);
    CHECK(holds(path, "last", "new"));
    REQUIRE(unlink(in(path, "a")) == 0 && unlink(in(path, "b")) == 0 && unlink(in(path, "last")) == 0);
    struct el_outdir *d;
    REQUIRE_OK(open_dir(path, false, "newer", &d, &err), err);
    REQUIRE(test_write(in(path, "x"), "x", 1)); /* somebody else's */
    CHECK_EQ_INT(el_outdir_commit(d, &err), EL_E_IO);
    CHECK_EQ_INT(err.reason, EL_REASON_EXISTS);
    el_outdir_close(d);
    CHECK_EQ_INT(n_entries(path), 1);
    CHECK_EQ_INT(n_entries(test_tmp("dir7")), 1);
    /* The same within the working directory, where files are moved one by one. */
    const int home = open(".", O_RDONLY | O_DIRECTORY);
    REQUIRE(home >= 0 && unlink(in(path, "x")) == 0 && chdir(path) == 0);
    CHECK_OK(put(".", false, "new", &err), err);
    CHECK_EQ_INT(put(".", false, "newer", &err), EL_E_IO);
    CHECK_EQ_INT(err.reason, EL_REASON_EXISTS);
    REQUIRE(fchdir(home) == 0);
    close(home);
    CHECK(holds(path, "a", "new"));
}

/* After a power cut: our files go, of the rest what the folder lacks goes back, and a folder in use is left alone. */
TEST(outdir, clears_what_earlier_runs_left)
{
    struct el_err err = {0};
    const char *const path = room("dir8", true), *const parent = test_tmp("dir8");
    REQUIRE(path && test_write(in(path, "mine"), "m", 1));
    char stale[4096];
    snprintf(stale, sizeof stale, "%s", in(parent, ".o.123-0123abcd.tmp"));
    REQUIRE(mkdir(stale, 0777) == 0 && mkdir(in(parent, ".o.123-0123.tmp"), 0777) == 0 &&
            mkdir(in(parent, ".p.1-0123abcd.tmp"), 0777) == 0);
    REQUIRE(test_write(in(stale, "a"), "half", 4) && test_write(in(stale, ".b.77-00000000.tmp"), "half", 4));
    REQUIRE(test_write(in(stale, "theirs"), "t", 1) && link(in(path, "mine"), in(stale, "mine")) == 0);
    struct el_outdir *first;
    REQUIRE_OK(open_dir(path, true, "first", &first, &err), err);
    CHECK(access(stale, F_OK) != 0);
    CHECK_OK(put(path, true, "second", &err), err);
    CHECK(access(el_outdir_place(first), F_OK) == 0);
    el_outdir_close(first);
    CHECK(holds(path, "last", "second") && holds(path, "mine", "m") && holds(path, "theirs", "t"));
    CHECK_EQ_INT(n_entries(path), 5);
    CHECK_EQ_INT(n_entries(parent), 3); /* those that only look alike */
}

/* Replaces dir NAME on a machine that is not as others, and looks whether the folder stayed. */
static void replaces_within(const char *name, unsigned flags)
{
    struct el_err err = {0};
    const char *const path = room(name, true);
    REQUIRE(path && test_write(in(path, "last"), "old", 3) && test_write(in(path, "mine"), "m", 1));
    const uint64_t before = inode(path);
    el_outdir_pretend(flags);
    const enum el_status status = put(path, true, "new", &err);
    el_outdir_pretend(0);
    REQUIRE_OK(status, err);
    CHECK(inode(path) == before && holds(path, "last", "new") && holds(path, "mine", "m"));
    CHECK_EQ_INT(n_entries(path), 4);
    CHECK_EQ_INT(n_entries(test_tmp(name)), 1);
}

TEST(outdir, a_parent_where_nothing_may_be_made)
{
    replaces_within("dir9", EL_OUTDIR_PARENT_READONLY);
}

TEST(outdir, a_parent_on_another_file_system)
{
    replaces_within("dir11", EL_OUTDIR_OTHER_FS);
}

/* What cannot be moved leaves the old contents whole: the folder of new files, and the first file of it. */
static void fails_whole(const char *name, bool before, unsigned flags)
{
    struct el_err err = {0};
    const char *const path = room(name, true);
    REQUIRE(path && test_write(in(path, "a"), "old", 3) && test_write(in(path, "last"), "old", 3));
    struct el_outdir *d = NULL;
    if (before)
        el_outdir_pretend(flags);
    const enum el_status opened = open_dir(path, true, "new", &d, &err);
    el_outdir_pretend(flags);
    const enum el_status status = opened == EL_OK ? el_outdir_commit(d, &err) : opened;
    el_outdir_pretend(0);
    el_outdir_close(d);
    CHECK_EQ_INT(opened, EL_OK);
    CHECK_EQ_INT(status, EL_E_IO);
    CHECK(strstr(err.text, path) && strstr(err.text, "ross-device"));
    CHECK(holds(path, "a", "old") && holds(path, "last", "old"));
    CHECK_EQ_INT(n_entries(path), 2);
    CHECK_EQ_INT(n_entries(test_tmp(name)), 1);
}

TEST(outdir, what_cannot_be_moved_leaves_the_old_files)
{
    fails_whole("dir12", false, EL_OUTDIR_NO_EXCHANGE | EL_OUTDIR_OTHER_FS);
    fails_whole("dir13", true, EL_OUTDIR_PARENT_READONLY | EL_OUTDIR_NO_RENAME);
    fails_whole("dir14", false, EL_OUTDIR_NO_EXCHANGE | EL_OUTDIR_NO_RENAME);
}

/* Two runs at once, whatever each of them found at its start: the later one's files, and what is not ours. */
static void two_at_once(const char *name, bool exists, unsigned first_flags, unsigned second_flags)
{
    struct el_err err = {0};
    const char *const path = room(name, exists);
    REQUIRE(path && (!exists || (test_write(in(path, "last"), "old", 3) && test_write(in(path, "mine"), "m", 1))));
    struct el_outdir *first = NULL, *second = NULL;
    el_outdir_pretend(first_flags);
    REQUIRE_OK(open_dir(path, true, "first", &first, &err), err);
    el_outdir_pretend(second_flags);
    REQUIRE_OK(open_dir(path, true, "second", &second, &err), err);
    CHECK_OK(el_outdir_commit(second, &err), err);
    el_outdir_close(second);
    el_outdir_pretend(first_flags);
    CHECK(holds(path, "last", "second"));
    CHECK_OK(el_outdir_commit(first, &err), err);
    el_outdir_close(first);
    el_outdir_pretend(0);
    CHECK(holds(path, "a", "first") && holds(path, "b", "first") && holds(path, "last", "first"));
    CHECK(!exists || holds(path, "mine", "m"));
    CHECK_EQ_INT(n_entries(path), exists ? 4 : 3);
    CHECK_EQ_INT(n_entries(test_tmp(name)), 1);
}

TEST(outdir, two_at_once)
{
    two_at_once("dir15", true, 0, 0);
    two_at_once("dir16", false, 0, 0);
    two_at_once("dir17", true, EL_OUTDIR_PARENT_READONLY, 0);
    two_at_once("dir18", true, 0, EL_OUTDIR_PARENT_READONLY);
    two_at_once("dir19", true, EL_OUTDIR_NO_EXCHANGE, 0);
}

TEST(outdir, a_folder_that_comes_in_between)
{
    struct el_err err = {0};
    const char *const path = room("dir20", false);
    struct el_outdir *d;
    REQUIRE(path);
    for (int overwrite = 0; overwrite < 2; overwrite++) {
        REQUIRE_OK(open_dir(path, overwrite, "new", &d, &err), err);
        REQUIRE(mkdir(path, 0777) == 0 && test_write(in(path, "mine"), "m", 1) && test_write(in(path, "older"), "", 0));
        const enum el_status status = el_outdir_commit(d, &err);
        el_outdir_close(d);
        CHECK_EQ_INT(status, overwrite ? EL_OK : EL_E_IO);
        CHECK(overwrite || (err.reason == EL_REASON_EXISTS && strstr(err.text, "has come to exist")));
        CHECK_EQ_INT(n_entries(path), overwrite ? 4 : 2);
        CHECK(holds(path, "mine", "m"));
        CHECK_EQ_INT(n_entries(test_tmp("dir20")), 1);
        if (!overwrite)
            REQUIRE(unlink(in(path, "mine")) == 0 && unlink(in(path, "older")) == 0 && rmdir(path) == 0);
    }
    /* And one that goes away, or is a file by now. */
    REQUIRE_OK(open_dir(path, true, "newer", &d, &err), err);
    REQUIRE(rename(path, in(test_tmp("dir20"), "moved")) == 0);
    CHECK_OK(el_outdir_commit(d, &err), err);
    el_outdir_close(d);
    CHECK(holds(path, "last", "newer") && !holds(path, "mine", "m"));
    REQUIRE_OK(open_dir(path, true, "newest", &d, &err), err);
    REQUIRE(rename(path, in(test_tmp("dir20"), "moved2")) == 0 && test_write(path, "f", 1));
    CHECK_EQ_INT(el_outdir_commit(d, &err), EL_E_IO);
    CHECK(strstr(err.text, "cannot open the output"));
    el_outdir_close(d);
    CHECK_EQ_INT(n_entries(test_tmp("dir20")), 3);
}

/* The temporary folder is made but cannot be opened: no descriptor is left. One folder, and it goes. */
TEST(outdir, what_cannot_be_opened_is_removed)
{
    struct el_err err = {0};
    const char *const path = room("dir21", false);
    const struct el_outdir_opts opts = {true, names, 3, is_ours};
    struct rlimit old, few;
    REQUIRE(path && getrlimit(RLIMIT_NOFILE, &old) == 0);
    const int next = open(".", O_RDONLY | O_DIRECTORY);
    REQUIRE(next >= 0 && close(next) == 0);
    bool opened = false;
    for (int more = 0; more < 12 && !opened; more++) {
        struct el_outdir *d = NULL;
        few = old;
        few.rlim_cur = (rlim_t)(next + more);
        REQUIRE(setrlimit(RLIMIT_NOFILE, &few) == 0);
        const enum el_status status = el_outdir_open(path, &opts, &d, &err);
        REQUIRE(setrlimit(RLIMIT_NOFILE, &old) == 0);
        opened = status == EL_OK;
        el_outdir_close(d);
        if (!opened && !strstr(err.text, "open files"))
            test_fail(__FILE__, __LINE__, "with %d descriptors: %s", more, err.text);
        CHECK_EQ_INT(n_entries(test_tmp("dir21")), 0);
    }
    CHECK(opened);
}

TEST(outdir, keeps_modes_and_attributes)
{
    struct el_err err = {0};
    const char *const path = room("dir22", true);
    struct stat st;
    REQUIRE(path && test_write(in(path, "a"), "old", 3) && chmod(in(path, "a"), 0600) == 0 && chmod(path, 0700) == 0);
    const bool has = setxattr(path, "user.note", "x", 1, 0) == 0;
    REQUIRE_OK(put(path, true, "new", &err), err);
    CHECK(stat(path, &st) == 0 && (st.st_mode & 07777) == 0700);
    CHECK(stat(in(path, "a"), &st) == 0 && (st.st_mode & 07777) == 0600);
    char value[8];
    CHECK(!has || getxattr(path, "user.note", value, sizeof value) == 1);
}

TEST(outdir, bad_places)
{
    struct el_err err = {0};
    struct el_outdir *d;
    const struct el_outdir_opts opts = {true, names, 3, is_ours};
    CHECK_EQ_INT(el_outdir_open(test_tmp("no/such/o"), &opts, &d, &err), EL_E_IO);
    CHECK(!d && strstr(err.text, "cannot open the output's folder"));
    REQUIRE(test_write(test_tmp("dir10"), "x", 1));
    CHECK_EQ_INT(el_outdir_open(test_tmp("dir10"), &opts, &d, &err), EL_E_IO);
    char *const longer = malloc(5000);
    REQUIRE(longer);
    memset(longer, 'x', 4999);
    longer[4999] = '\0';
    CHECK_EQ_INT(el_outdir_open(longer, &opts, &d, &err), EL_E_IO);
    longer[300] = '\0';
    CHECK_EQ_INT(el_outdir_open(longer, &opts, &d, &err), EL_E_IO);
    free(longer);
    CHECK_EQ_INT(el_outdir_open("", &opts, &d, &err), EL_E_IO);
    CHECK_EQ_INT(el_outdir_open("/", &opts, &d, &err), EL_E_IO);
    CHECK(strstr(err.text, "not a folder name"));
}

TEST(outdir, names_of_temporaries)
{
    char tmp[NAME_MAX + 1], stem[NAME_MAX + 1], name[NAME_MAX + 1];
    el_tmp_name("model.gguf", tmp);
    CHECK(el_tmp_stem(tmp, stem));
    CHECK_EQ_STR(stem, "model.gguf");
    CHECK(el_tmp_is_of(tmp, "model.gguf") && !el_tmp_is_of(tmp, "model.ggu") && !el_tmp_is_of(tmp, "model.gguf2"));
    memset(name, 'n', NAME_MAX);
    name[NAME_MAX] = '\0';
    el_tmp_name(name, tmp);
    CHECK(strlen(tmp) <= NAME_MAX && el_tmp_is_of(tmp, name));
    static const char *const others[] = {"",
                                         ".",
                                         ".tmp",
                                         "-01234567.tmp",
                                         ".1-01234567.tmp",
                                         "..1-01234567.tmp",
                                         "x.1-01234567.tmp",
                                         ".x.-01234567.tmp",
                                         ".x.1-0123456.tmp",
                                         ".x.1-01234567.tmpx",
                                         ".x.1-0123456G.tmp",
                                         ".x1-01234567.tmp"};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        if (el_tmp_stem(others[i], stem))
            test_fail(__FILE__, __LINE__, "'%s' is no temporary name", others[i]);
    }
}
