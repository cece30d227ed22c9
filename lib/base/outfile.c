/*
 * Output files that appear whole or not at all.
 *
 * The bytes go to a file without a name (O_TMPFILE). A name that is free is taken with one linkat(2): nothing can be left over.
 * To replace an existing file the new one needs a name first, because linkat does not replace: linkat to .NAME.PID-RANDOM.tmp,
 * then rename(2), with a guard standing by for that moment (base/guard.h). On file systems without O_TMPFILE the file has its
 * temporary name, and the guard, from the beginning. Whatever survives that too (power cut, the guard killed as well) is
 * removed by the next run that writes the same output: temporaries are locked with flock(2) while their owner lives, so a stale
 * one can be locked.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/guard.h"
#include "base/mem.h"

enum { EL_TMP_SUFFIX = 1 + 20 + 1 + 8 + 4 }; /* ".PID-RANDOM.tmp" */
enum { EL_WRITE_BACK = 4 << 20 };

struct el_outfile {
    char path[PATH_MAX]; /* as given, for messages */
    char name[NAME_MAX + 1];
    char tmp_name[NAME_MAX + 1]; /* "" while the file has no temporary name */
    int fd, dir_fd, guard;
    bool overwrite, committed;
    bool existed;
    uint64_t old_dev, old_ino;           /* of the file to be replaced */
    atomic_uint_least64_t end, reserved; /* bytes written to, bytes reserved */
    atomic_uint_least64_t fresh;         /* bytes since the disk was last told to begin */
};

static enum el_status fail_errno(const struct el_outfile *f, const char *what, int number, struct el_err *err)
{
    return el_fail(err, EL_E_IO, "'%s': cannot %s: %s", f->path, what, el_errno_text(number));
}

/* ---- what outputs have in common ---- */

bool el_adopt_mode(int fd, const struct stat *old)
{
    struct stat new;
    if (fstat(fd, &new) != 0)
        return false;
    if ((old->st_uid != new.st_uid || old->st_gid != new.st_gid) && fchown(fd, old->st_uid, old->st_gid) != 0)
        (void)!fchown(fd, (uid_t)-1, old->st_gid);
    if (fstat(fd, &new) != 0)
        return false;
    mode_t mode = old->st_mode & 07777;
    if (old->st_uid != new.st_uid || old->st_gid != new.st_gid)
        mode &= 01777;
    if (old->st_gid != new.st_gid)
        mode &= ~(mode_t)070 | (mode & 07) << 3;
    return mode == (new.st_mode & 07777) || fchmod(fd, mode) == 0;
}

void el_adopt_xattrs(int fd, int old_fd)
{
    enum { EL_XATTR_MOST = 65536 }; /* of a list and of a value: limits of the kernel */
    char *const list = el_alloc_array(EL_XATTR_MOST, 1), *const value = el_alloc_array(EL_XATTR_MOST, 1);
    const ssize_t n = list && value ? flistxattr(old_fd, list, EL_XATTR_MOST) : 0;
    for (ssize_t at = 0; at < n; at += (ssize_t)strlen(list + at) + 1) {
        const char *const key = list + at;
        if (strncmp(key, "user.", 5) != 0 && strncmp(key, "system.posix_acl_", 17) != 0)
            continue;
        const ssize_t n_value = fgetxattr(old_fd, key, value, EL_XATTR_MOST);
        if (n_value >= 0)
            (void)fsetxattr(fd, key, value, (size_t)n_value, 0);
    }
    el_free(list);
    el_free(value);
}

enum el_status el_folder_lock(int dir_fd, const char *path, int *lock, struct el_err *err)
{
    enum { EL_LOCK_MS = 10000, EL_LOCK_STEP_MS = 5 };
    /* A description of its own: guards share those that we pass to them. */
    *lock = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (int ms = 0; *lock >= 0; ms += EL_LOCK_STEP_MS) {
        if (flock(*lock, LOCK_EX | LOCK_NB) == 0)
            return EL_OK;
        const bool held = errno == EWOULDBLOCK || errno == EINTR;
        if (!held || ms >= EL_LOCK_MS || el_interrupted()) {
            close(*lock);
            *lock = -1;
            if (held && el_interrupted())
                return el_fail(err, EL_E_INTERRUPTED, "'%s': interrupted while another program wrote it", path);
            break;
        }
        const struct timespec step = {0, EL_LOCK_STEP_MS * 1000000L};
        (void)nanosleep(&step, NULL);
    }
    return EL_OK;
}

void el_folder_unlock(int lock)
{
    if (lock < 0)
        return;
    (void)flock(lock, LOCK_UN); /* a process forked a moment ago may still have it open */
    close(lock);
}

/* Takes over what the file to be replaced shows to others, if there is one. */
static enum el_status adopt(struct el_outfile *f, struct el_err *err)
{
    struct stat st;
    if (fstatat(f->dir_fd, f->name, &st, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(st.st_mode))
        return EL_OK;
    const int old_fd = openat(f->dir_fd, f->name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (old_fd >= 0) {
        el_adopt_xattrs(f->fd, old_fd);
        close(old_fd);
    }
    return el_adopt_mode(f->fd, &st) ? EL_OK : fail_errno(f, "keep the output's mode", errno, err);
}

/* ---- names ---- */

/* Splits path into an open folder and a name. */
static enum el_status open_folder(struct el_outfile *f, const char *path, struct el_err *err)
{
    char folder[PATH_MAX];
    const size_t n = strlen(path);
    if (n >= sizeof folder)
        return el_fail(err, EL_E_IO, "'%s': output path of %zu bytes, at most %d", path, n, PATH_MAX - 1);
    const char *const slash = strrchr(path, '/');
    const char *const name = slash ? slash + 1 : path;
    if (*name == '\0' || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return el_fail(err, EL_E_IO, "'%s': output is not a file name", path);
    if (strlen(name) > NAME_MAX)
        return el_fail(err, EL_E_IO, "'%s': output file name of %zu bytes, at most %d", path, strlen(name), NAME_MAX);
    const size_t n_folder = slash ? (size_t)(slash - path) + 1 : 1;
    memcpy(folder, slash ? path : ".", n_folder);
    folder[n_folder] = '\0';
    memcpy(f->name, name, strlen(name) + 1);
    f->dir_fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (f->dir_fd < 0)
        return el_fail(err, EL_E_IO, "'%s': cannot open the output's folder: %s", f->path, el_errno_text(errno));
    return EL_OK;
}

/* What is at the place of the output now, and may it be replaced? */
static enum el_status check_target(struct el_outfile *f, struct el_err *err)
{
    struct stat st;
    if (fstatat(f->dir_fd, f->name, &st, AT_SYMLINK_NOFOLLOW) != 0)
        return errno == ENOENT ? EL_OK : fail_errno(f, "look at the output", errno, err);
    if (!S_ISREG(st.st_mode))
        return el_fail(err, EL_E_IO, "'%s': output is a %s, not a file", f->path, el_file_kind(st.st_mode));
    if (!f->overwrite)
        return el_fail_why(err, EL_E_IO, EL_REASON_EXISTS, "'%s': output exists already and overwriting was not asked for",
                           f->path);
    f->existed = true;
    f->old_dev = (uint64_t)st.st_dev;
    f->old_ino = (uint64_t)st.st_ino;
    return EL_OK;
}

/* Length of the part of a name that temporaries carry: with its suffix a temporary must still be a legal name. */
static size_t stem_nbytes(const char *name)
{
    const size_t n = strlen(name), most = NAME_MAX - 1 - EL_TMP_SUFFIX;
    return n < most ? n : most;
}

void el_tmp_name(const char *name, char out[NAME_MAX + 1])
{
    uint32_t random = 0;
    if (getrandom(&random, sizeof random, GRND_NONBLOCK) != (ssize_t)sizeof random)
        random = (uint32_t)(uintptr_t)out;
    (void)snprintf(out, NAME_MAX + 1, ".%.*s.%ld-%08" PRIx32 ".tmp", (int)stem_nbytes(name), name, (long)getpid(), random);
}

bool el_tmp_stem(const char *tmp, char stem[NAME_MAX + 1])
{
    enum { EL_TMP_END = 1 + 8 + 4 }; /* "-RANDOM.tmp" */
    const size_t n = strlen(tmp);
    if (tmp[0] != '.' || n > NAME_MAX || n < EL_TMP_END + 4)
        return false;
    const char *const end = tmp + n - EL_TMP_END;
    if (*end != '-' || strspn(end + 1, "0123456789abcdef") != 8 || strcmp(end + 9, ".tmp") != 0)
        return false;
    const char *pid = end;
    while (pid > tmp && pid[-1] >= '0' && pid[-1] <= '9')
        pid--;
    if (pid == end || pid - tmp < 3 || pid[-1] != '.')
        return false;
    const size_t n_stem = (size_t)(pid - tmp) - 2;
    memcpy(stem, tmp + 1, n_stem);
    stem[n_stem] = '\0';
    return true;
}

bool el_tmp_is_of(const char *tmp, const char *name)
{
    char stem[NAME_MAX + 1];
    return el_tmp_stem(tmp, stem) && strlen(stem) == stem_nbytes(name) && strncmp(stem, name, stem_nbytes(name)) == 0;
}

/* Removes temporaries of this output that nobody holds a lock on. Failures do not matter. */
static void remove_stale(const struct el_outfile *f)
{
    const int list_fd = openat(f->dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *const dir = list_fd >= 0 ? fdopendir(list_fd) : NULL;
    if (!dir) {
        if (list_fd >= 0)
            close(list_fd);
        return;
    }
    for (struct dirent *e; (e = readdir(dir));) {
        if (!el_tmp_is_of(e->d_name, f->name))
            continue;
        const int fd = openat(f->dir_fd, e->d_name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
        if (fd < 0)
            continue;
        struct stat st;
        if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && flock(fd, LOCK_EX | LOCK_NB) == 0)
            (void)unlinkat(f->dir_fd, e->d_name, 0);
        close(fd);
    }
    closedir(dir);
}

/* ---- opening ---- */

static atomic_bool force_named;

void el_outfile_force_named(bool on)
{
    atomic_store(&force_named, on);
}

/* A path under which the unnamed file can be linked. */
static void proc_path(const struct el_outfile *f, char out[64])
{
    (void)snprintf(out, 64, "/proc/self/fd/%d", f->fd);
}

/*
 * The file without a name; false when this file system, kernel or a missing /proc does not allow it (then *number is 0) or on
 * error.
 */
static bool open_unnamed(struct el_outfile *f, int *number)
{
    *number = 0;
    if (atomic_load(&force_named))
        return false;
    f->fd = openat(f->dir_fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0666);
    if (f->fd < 0) {
        if (errno != EOPNOTSUPP && errno != EISDIR && errno != ENOENT && errno != EINVAL)
            *number = errno;
        return false;
    }
    char proc[64];
    proc_path(f, proc);
    if (access(proc, F_OK) == 0) {
        (void)flock(f->fd, LOCK_EX | LOCK_NB);
        return true;
    }
    close(f->fd);
    f->fd = -1;
    return false;
}

static enum el_status open_named(struct el_outfile *f, struct el_err *err)
{
    for (int attempt = 0; attempt < 100; attempt++) {
        el_tmp_name(f->name, f->tmp_name);
        const char *const names[1] = {f->tmp_name};
        f->guard = el_guard_start(f->dir_fd, NULL, names, 1);
        f->fd = openat(f->dir_fd, f->tmp_name, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0666);
        const int number = errno;
        struct stat st;
        /* Another run may take a file that is not locked yet for a stale one: then it has no name any more. */
        if (f->fd >= 0 && (flock(f->fd, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK) && fstat(f->fd, &st) == 0 &&
            st.st_nlink > 0)
            return EL_OK;
        el_guard_stop(f->guard);
        f->guard = -1;
        f->tmp_name[0] = '\0';
        if (f->fd < 0 && number != EEXIST)
            return fail_errno(f, "make a file in the output's folder", number, err);
        if (f->fd >= 0)
            close(f->fd);
        f->fd = -1;
    }
    return fail_errno(f, "make a file in the output's folder", EEXIST, err);
}

static enum el_status open_all(struct el_outfile *f, const char *path, struct el_err *err)
{
    struct stat st;
    char resolved[PATH_MAX];
    /* A symbolic link stays; the file that it names is the output. */
    if (lstat(path, &st) == 0 && S_ISLNK(st.st_mode)) {
        if (!realpath(path, resolved))
            return fail_errno(f, "follow the symbolic link", errno, err);
        path = resolved;
    }
    EL_TRY(open_folder(f, path, err));
    EL_TRY(check_target(f, err));
    remove_stale(f);
    int number;
    if (!open_unnamed(f, &number)) {
        if (number)
            return fail_errno(f, "make a file in the output's folder", number, err);
        EL_TRY(open_named(f, err));
    }
    return f->existed ? adopt(f, err) : EL_OK;
}

enum el_status el_outfile_open(const char *path, bool overwrite, struct el_outfile **out, struct el_err *err)
{
    return el_outfile_open_as(path, path, overwrite, out, err);
}

enum el_status el_outfile_open_as(const char *path, const char *shown, bool overwrite, struct el_outfile **out,
                                  struct el_err *err)
{
    *out = NULL;
    if (strlen(path) >= PATH_MAX)
        return el_fail(err, EL_E_IO, "'%.64s...': output path of %zu bytes, at most %d", shown, strlen(path), PATH_MAX - 1);
    struct el_outfile *const f = el_calloc_array(1, sizeof *f);
    if (!f)
        return el_fail(err, EL_E_MEMORY, "'%s': out of memory", shown);
    (void)snprintf(f->path, sizeof f->path, "%s", shown);
    f->fd = f->dir_fd = f->guard = -1;
    f->overwrite = overwrite;
    const enum el_status status = open_all(f, path, err);
    if (status != EL_OK) {
        el_outfile_close(f);
        return status;
    }
    *out = f;
    return EL_OK;
}

bool el_outfile_same_as_file(const struct el_outfile *out, const struct el_file *in)
{
    return out->existed && out->old_dev == in->dev && out->old_ino == in->ino;
}

/* ---- writing ---- */

enum el_status el_outfile_reserve(struct el_outfile *f, uint64_t nbytes, struct el_err *err)
{
    if (nbytes == 0)
        return EL_OK;
    if (nbytes > (uint64_t)INT64_MAX)
        return fail_errno(f, "reserve space", EFBIG, err);
    int number = 0;
    while (fallocate(f->fd, 0, 0, (off_t)nbytes) != 0) {
        number = errno;
        if (number != EINTR)
            break;
        number = 0;
        if (el_interrupted())
            return el_fail(err, EL_E_INTERRUPTED, "'%s': interrupted while reserving space", f->path);
    }
    struct statvfs fs;
    if (number == EOPNOTSUPP || number == ENOSYS) {
        /* Nothing can be reserved here, but whether it fits can be asked. */
        number = 0;
        if (fstatvfs(f->fd, &fs) == 0 && fs.f_frsize > 0 && nbytes / fs.f_frsize > fs.f_bavail)
            number = ENOSPC;
    } else if (number == 0) {
        atomic_store(&f->reserved, nbytes);
    }
    if (number)
        return el_fail(err, EL_E_IO, "'%s': cannot reserve %" PRIu64 " bytes: %s", f->path, nbytes, el_errno_text(number));
    return EL_OK;
}

/*
 * All is synced in the end, so the disk may as well begin while there is still something to compute. Errors of the disk stay for
 * that sync.
 */
static void begin_write_back(struct el_outfile *f, uint64_t nbytes)
{
    /* Of threads that come at once one begins for all; what it takes away from the count of another only comes later. */
    if (atomic_fetch_add(&f->fresh, nbytes) + nbytes < EL_WRITE_BACK || atomic_exchange(&f->fresh, 0) < EL_WRITE_BACK)
        return;
    (void)sync_file_range(f->fd, 0, 0, SYNC_FILE_RANGE_WRITE);
}

enum el_status el_outfile_write(struct el_outfile *f, uint64_t offset, const void *data, uint64_t nbytes, struct el_err *err)
{
    const uint8_t *p = data;
    if (offset > (uint64_t)INT64_MAX || nbytes > (uint64_t)INT64_MAX - offset)
        return fail_errno(f, "write", EFBIG, err);
    const uint64_t begin = offset, end = offset + nbytes;
    while (nbytes > 0) {
        if (el_interrupted())
            return el_fail(err, EL_E_INTERRUPTED, "'%s': interrupted while writing", f->path);
        const size_t want = nbytes < (1u << 30) ? (size_t)nbytes : (size_t)1 << 30;
        const ssize_t put = pwrite(f->fd, p, want, (off_t)offset);
        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            return el_fail(err, EL_E_IO, "'%s': cannot write %" PRIu64 " bytes at byte %" PRIu64 ": %s", f->path, nbytes, offset,
                           el_errno_text(put < 0 ? errno : EIO));
        p += put;
        offset += (uint64_t)put;
        nbytes -= (uint64_t)put;
    }
    uint_least64_t seen = atomic_load(&f->end);
    while (seen < end && !atomic_compare_exchange_weak(&f->end, &seen, end))
        continue;
    begin_write_back(f, end - begin);
    return EL_OK;
}

enum el_status el_outfile_read(struct el_outfile *f, uint64_t offset, void *out, uint64_t nbytes, struct el_err *err)
{
    const struct el_file view = {.path = f->path, .fd = f->fd};
    return el_file_read(&view, offset, out, nbytes, err);
}

/* ---- committing ---- */

static bool link_as(struct el_outfile *f, const char *name)
{
    char proc[64];
    proc_path(f, proc);
    return linkat(AT_FDCWD, proc, f->dir_fd, name, AT_SYMLINK_FOLLOW) == 0;
}

/* Gives the temporary name to an unnamed file, with the guard on watch. */
static enum el_status take_tmp_name(struct el_outfile *f, struct el_err *err)
{
    el_tmp_name(f->name, f->tmp_name);
    const char *const names[1] = {f->tmp_name};
    f->guard = el_guard_start(f->dir_fd, NULL, names, 1);
    if (link_as(f, f->tmp_name))
        return EL_OK;
    const int number = errno;
    f->tmp_name[0] = '\0';
    el_guard_stop(f->guard);
    f->guard = -1;
    return fail_errno(f, "name the output", number, err);
}

static enum el_status exists_by_now(const struct el_outfile *f, struct el_err *err)
{
    return el_fail_why(err, EL_E_IO, EL_REASON_EXISTS, "'%s': output has come to exist and overwriting was not asked for",
                       f->path);
}

/* Moves the temporary name to the final one. */
static enum el_status rename_tmp(struct el_outfile *f, struct el_err *err)
{
    int rc;
    if (f->overwrite) {
        EL_TRY(adopt(f, err));
        rc = renameat(f->dir_fd, f->tmp_name, f->dir_fd, f->name);
    } else {
        rc = renameat2(f->dir_fd, f->tmp_name, f->dir_fd, f->name, RENAME_NOREPLACE);
        if (rc != 0 && (errno == EINVAL || errno == ENOSYS)) {
            /* File systems without RENAME_NOREPLACE: a second link does not replace either. */
            rc = linkat(f->dir_fd, f->tmp_name, f->dir_fd, f->name, 0);
            if (rc == 0)
                (void)unlinkat(f->dir_fd, f->tmp_name, 0);
        }
    }
    if (rc != 0)
        return errno == EEXIST ? exists_by_now(f, err) : fail_errno(f, "rename the output", errno, err);
    f->tmp_name[0] = '\0';
    el_guard_stop(f->guard);
    f->guard = -1;
    return EL_OK;
}

static enum el_status give_name(struct el_outfile *f, struct el_err *err)
{
    if (!f->tmp_name[0] && (!f->overwrite || !f->existed)) {
        if (link_as(f, f->name))
            return EL_OK;
        if (errno != EEXIST)
            return fail_errno(f, "name the output", errno, err);
        if (!f->overwrite)
            return exists_by_now(f, err);
    }
    if (!f->tmp_name[0])
        EL_TRY(take_tmp_name(f, err));
    return rename_tmp(f, err);
}

static enum el_status sync_file(struct el_outfile *f, struct el_err *err)
{
    const uint64_t end = atomic_load(&f->end);
    if (atomic_load(&f->reserved) > end && ftruncate(f->fd, (off_t)end) != 0)
        return fail_errno(f, "cut the output to its size", errno, err);
    if (fsync(f->fd) != 0)
        return fail_errno(f, "sync the output", errno, err);
    return EL_OK;
}

enum el_status el_outfile_stage(struct el_outfile *f, struct el_err *err)
{
    EL_TRY(sync_file(f, err));
    return f->existed && !f->tmp_name[0] ? take_tmp_name(f, err) : EL_OK;
}

enum el_status el_outfile_commit(struct el_outfile *f, struct el_err *err)
{
    EL_TRY(sync_file(f, err));
    EL_TRY(give_name(f, err));
    /* EINVAL: some file systems cannot sync a folder, and need not. */
    if (fsync(f->dir_fd) != 0 && errno != EINVAL && errno != EROFS) {
        const int number = errno;
        if (!f->existed)
            (void)unlinkat(f->dir_fd, f->name, 0);
        return fail_errno(f, "sync the output's folder", number, err);
    }
    f->committed = true;
    return EL_OK;
}

void el_outfile_close(struct el_outfile *f)
{
    if (!f)
        return;
    if (f->tmp_name[0])
        (void)unlinkat(f->dir_fd, f->tmp_name, 0);
    el_guard_stop(f->guard);
    if (f->fd >= 0)
        close(f->fd);
    if (f->dir_fd >= 0)
        close(f->dir_fd);
    el_free(f);
}

enum el_status el_write_file(const char *path, const void *data, size_t nbytes, bool overwrite, struct el_err *err)
{
    struct el_outfile *f;
    EL_TRY(el_outfile_open(path, overwrite, &f, err));
    enum el_status status = el_outfile_write(f, 0, data, nbytes, err);
    if (status == EL_OK)
        status = el_outfile_commit(f, err);
    el_outfile_close(f);
    return status;
}
