#include "base/outdir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/file.h"
#include "base/guard.h"
#include "base/mem.h"

struct el_outdir {
    char path[PATH_MAX];   /* as given, for messages */
    char target[PATH_MAX]; /* without a slash at the end, and with symbolic links followed where it exists */
    char place[PATH_MAX];
    char tmp_name[NAME_MAX + 1]; /* "" when there is no temporary folder */
    const char *name;            /* in target */
    struct el_outdir_opts opts;
    int parent_fd, old_fd, tmp_fd; /* old_fd is -1 when nothing had the name */
    int base_fd;                   /* parent_fd, old_fd or former_fd: where the temporary folder stands */
    int former_fd;                 /* the old folder in which it stands, when another has got the name since; else -1 */
    int guard;
    bool adopted; /* the temporary folder may stand for the old one */
    bool locks;   /* the parent folder could be locked: worth to be waited for again */
};

static atomic_uint pretended;

void el_outdir_pretend(unsigned flags)
{
    atomic_store(&pretended, flags);
}

static bool pretends(unsigned flag)
{
    return atomic_load(&pretended) & flag;
}

static enum el_status fail_errno(const struct el_outdir *d, const char *what, int number, struct el_err *err)
{
    return el_fail(err, EL_E_IO, "'%s': cannot %s: %s", d->path, what, el_errno_text(number));
}

static enum el_status exists_by_now(const struct el_outdir *d, struct el_err *err)
{
    return el_fail_why(err, EL_E_IO, EL_REASON_EXISTS, "'%s': output has come to exist and overwriting was not asked for",
                       d->path);
}

/* Some file systems cannot sync a folder, and need not. */
static bool sync_folder(int fd)
{
    return fsync(fd) == 0 || errno == EINVAL || errno == EROFS;
}

/* ---- what is in a folder ---- */

static DIR *list(int fd)
{
    const int list_fd = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *const dir = list_fd >= 0 ? fdopendir(list_fd) : NULL;
    if (!dir && list_fd >= 0)
        close(list_fd);
    return dir;
}

static bool is_dots(const char *name)
{
    return strcmp(name, ".") == 0 || strcmp(name, "..") == 0;
}

/* One of our files, or what a power cut left of one. */
static bool is_ours(const struct el_outdir *d, const char *name)
{
    char stem[NAME_MAX + 1];
    return d->opts.is_ours(name) || (el_tmp_stem(name, stem) && d->opts.is_ours(stem));
}

static bool is_member(const struct el_outdir *d, const char *name)
{
    for (size_t i = 0; i < d->opts.n_names; i++) {
        if (strcmp(d->opts.names[i], name) == 0)
            return true;
    }
    return false;
}

static bool same_file(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

/* Is what has this name in folder a the same file as what has it in folder b? */
static bool same_in(int a, int b, const char *name)
{
    struct stat x, y;
    return a >= 0 && b >= 0 && fstatat(a, name, &x, AT_SYMLINK_NOFOLLOW) == 0 && fstatat(b, name, &y, AT_SYMLINK_NOFOLLOW) == 0 &&
           same_file(&x, &y);
}

/* Does `folder` hold `name`, and is that the open file fd? */
static bool is_named(int folder, const char *name, int fd)
{
    struct stat x, y;
    return fstatat(folder, name, &x, AT_SYMLINK_NOFOLLOW) == 0 && fstat(fd, &y) == 0 && same_file(&x, &y);
}

/*
 * Empties a folder of ours that is not wanted any more: of our files, and of those that are in folder `other` too. What else came
 * in goes to `other` where it can, and else stays: it is not ours to delete.
 */
static void clear(const struct el_outdir *d, int fd, int other)
{
    DIR *const dir = list(fd);
    if (!dir)
        return;
    for (struct dirent *e; (e = readdir(dir));) {
        if (is_dots(e->d_name))
            continue;
        if (is_ours(d, e->d_name) || same_in(fd, other, e->d_name))
            (void)unlinkat(fd, e->d_name, 0);
        else if (other >= 0)
            (void)renameat2(fd, e->d_name, other, e->d_name, RENAME_NOREPLACE);
    }
    closedir(dir);
}

/* Removes temporary folders of this output whose owner is gone. Failures do not matter. */
static void remove_stale(const struct el_outdir *d, int base_fd)
{
    DIR *const dir = list(base_fd);
    if (!dir)
        return;
    for (struct dirent *e; (e = readdir(dir));) {
        if (!el_tmp_is_of(e->d_name, d->name))
            continue;
        const int fd = openat(base_fd, e->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0)
            continue;
        if (flock(fd, LOCK_EX | LOCK_NB) == 0) {
            clear(d, fd, d->old_fd);
            (void)unlinkat(base_fd, e->d_name, AT_REMOVEDIR);
        }
        close(fd);
    }
    closedir(dir);
}

/* ---- opening ---- */

static enum el_status open_target(struct el_outdir *d, struct el_err *err)
{
    struct stat st;
    size_t n = strlen(d->path);
    while (n > 1 && d->path[n - 1] == '/')
        n--;
    memcpy(d->target, d->path, n);
    d->target[n] = '\0';
    if (lstat(d->target, &st) == 0) {
        char resolved[PATH_MAX];
        if (!realpath(d->target, resolved))
            return fail_errno(d, "follow the symbolic link", errno, err);
        memcpy(d->target, resolved, strlen(resolved) + 1);
        d->old_fd = open(d->target, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (d->old_fd < 0)
            return fail_errno(d, "open the output", errno, err);
    } else if (errno != ENOENT) {
        return fail_errno(d, "look at the output", errno, err);
    }
    char *const slash = strrchr(d->target, '/');
    d->name = slash ? slash + 1 : d->target;
    if (d->name[0] == '\0')
        return el_fail(err, EL_E_IO, "'%s': output is not a folder name", d->path);
    char parent[PATH_MAX] = ".";
    if (slash) {
        const size_t n_parent = slash == d->target ? 1 : (size_t)(slash - d->target);
        memcpy(parent, d->target, n_parent);
        parent[n_parent] = '\0';
    }
    d->parent_fd = open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return d->parent_fd < 0 ? fail_errno(d, "open the output's folder", errno, err) : EL_OK;
}

/* Takes over what the old folder shows to others. */
static bool adopt(const struct el_outdir *d)
{
    struct stat old, new;
    if (d->old_fd < 0)
        return true;
    if (fstat(d->old_fd, &old) != 0 || fstat(d->tmp_fd, &new) != 0)
        return false;
    if ((old.st_uid != new.st_uid || old.st_gid != new.st_gid) && fchown(d->tmp_fd, old.st_uid, old.st_gid) != 0)
        return false;
    el_adopt_xattrs(d->tmp_fd, d->old_fd);
    return fchmod(d->tmp_fd, old.st_mode & 07777) == 0;
}

static void drop_tmp(struct el_outdir *d)
{
    if (d->tmp_fd >= 0) {
        clear(d, d->tmp_fd, d->old_fd);
        close(d->tmp_fd);
    }
    d->tmp_fd = -1;
    if (d->tmp_name[0])
        (void)unlinkat(d->base_fd, d->tmp_name, AT_REMOVEDIR);
    d->tmp_name[0] = '\0';
    el_guard_stop(d->guard);
    d->guard = -1;
}

/* Opens and locks the temporary folder that has just been made. Returns 0, errno, or EEXIST when another run has taken it. */
static int hold_tmp(struct el_outdir *d)
{
    struct stat st;
    d->tmp_fd = openat(d->base_fd, d->tmp_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (d->tmp_fd < 0)
        return errno == ENOENT ? EEXIST : errno;
    /* Another run may take a folder that is not locked yet for a stale one: then it is gone. */
    if (flock(d->tmp_fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK)
        return EEXIST;
    if (fstat(d->tmp_fd, &st) != 0)
        return errno;
    return st.st_nlink > 0 ? 0 : EEXIST;
}

/* Makes the temporary folder in base_fd, whose path is `base` with a slash at its end, or "". Returns 0 or errno. */
static int make_tmp(struct el_outdir *d, int base_fd, const char *base, int n_base)
{
    int number = EEXIST;
    d->base_fd = base_fd;
    if (base_fd == d->parent_fd && pretends(EL_OUTDIR_PARENT_READONLY))
        return EACCES;
    for (int attempt = 0; attempt < 100 && number == EEXIST; attempt++) {
        el_tmp_name(d->name, d->tmp_name);
        if (snprintf(d->place, sizeof d->place, "%.*s%s", n_base, base, d->tmp_name) >= (int)sizeof d->place) {
            d->tmp_name[0] = '\0';
            return ENAMETOOLONG;
        }
        d->guard = el_guard_start(base_fd, d->tmp_name, d->opts.names, d->opts.n_names);
        if (mkdirat(base_fd, d->tmp_name, 0777) == 0) {
            el_guard_arm(d->guard);
            number = hold_tmp(d);
            if (number == 0)
                return 0;
        } else {
            number = errno;
            d->tmp_name[0] = '\0'; /* somebody else's */
        }
        drop_tmp(d);
    }
    return number;
}

/* Is the old folder, as far as can be seen, on another file system than its parent? */
static bool is_elsewhere(const struct el_outdir *d)
{
    struct statx sx;
    struct stat parent, old;
    if (statx(d->old_fd, "", AT_EMPTY_PATH, STATX_TYPE, &sx) == 0 && sx.stx_attributes & STATX_ATTR_MOUNT_ROOT)
        return true;
    return fstat(d->parent_fd, &parent) != 0 || fstat(d->old_fd, &old) != 0 || parent.st_dev != old.st_dev;
}

/* Moves the temporary folder, that is in `from`, to the folder `to`. Returns 0 or errno. */
static int move_tmp(const struct el_outdir *d, int from, int to)
{
    if (to == d->old_fd && pretends(EL_OUTDIR_OTHER_FS))
        return EXDEV;
    return renameat(from, d->tmp_name, to, d->tmp_name) == 0 ? 0 : errno;
}

/*
 * Could the files of a temporary folder in the parent be moved to the old folder? Project quotas, subvolumes and bind mounts
 * forbid it where all else looks alike, so it is tried with the folder, while it is empty.
 */
static bool can_move(const struct el_outdir *d)
{
    const int guard = el_guard_start(d->old_fd, d->tmp_name, NULL, 0);
    const int number = move_tmp(d, d->parent_fd, d->old_fd);
    const bool back = number || move_tmp(d, d->old_fd, d->parent_fd) == 0;
    if (!back)
        (void)unlinkat(d->old_fd, d->tmp_name, AT_REMOVEDIR);
    el_guard_stop(guard);
    return back && number != EXDEV;
}

static int make_beside(struct el_outdir *d)
{
    const int number = make_tmp(d, d->parent_fd, d->target, (int)(d->name - d->target));
    if (number || d->old_fd < 0)
        return number;
    if (!can_move(d))
        return EXDEV;
    return adopt(d) ? 0 : EPERM;
}

static int make_inside(struct el_outdir *d)
{
    char base[PATH_MAX + 1];
    const int n_base = snprintf(base, sizeof base, "%s/", d->target);
    const int number = make_tmp(d, d->old_fd, base, n_base);
    (void)adopt(d); /* its mode and owner do not matter there */
    return number;
}

/* Sees to it that old_fd is what has the name now, or -1 when nothing has it. */
static enum el_status look_again(struct el_outdir *d, struct el_err *err)
{
    struct stat st;
    if (d->old_fd >= 0 ? is_named(d->parent_fd, d->name, d->old_fd)
                       : fstatat(d->parent_fd, d->name, &st, AT_SYMLINK_NOFOLLOW) != 0 && errno == ENOENT)
        return EL_OK;
    const int fd = openat(d->parent_fd, d->name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 && errno != ENOENT) {
        if (!d->opts.overwrite && (errno == ENOTDIR || errno == ELOOP))
            return exists_by_now(d, err);
        return fail_errno(d, "open the output", errno, err);
    }
    if (d->old_fd >= 0) {
        if (d->tmp_fd >= 0 && d->base_fd == d->old_fd)
            d->former_fd = d->old_fd;
        else
            close(d->old_fd);
    }
    d->old_fd = fd;
    d->adopted = d->tmp_fd < 0 || adopt(d);
    return EL_OK;
}

static enum el_status open_locked(struct el_outdir *d, struct el_err *err)
{
    EL_TRY(look_again(d, err));
    remove_stale(d, d->parent_fd);
    if (d->old_fd >= 0)
        remove_stale(d, d->old_fd);
    int number = d->old_fd >= 0 && is_elsewhere(d) ? EXDEV : make_beside(d);
    if (number && d->old_fd >= 0) {
        drop_tmp(d);
        number = make_inside(d);
    }
    return number ? fail_errno(d, "make the folder", number, err) : EL_OK;
}

static enum el_status open_all(struct el_outdir *d, struct el_err *err)
{
    EL_TRY(open_target(d, err));
    int lock;
    EL_TRY(el_folder_lock(d->parent_fd, d->path, &lock, err));
    d->locks = lock >= 0;
    const enum el_status status = open_locked(d, err);
    el_folder_unlock(lock);
    return status;
}

enum el_status el_outdir_open(const char *path, const struct el_outdir_opts *opts, struct el_outdir **dir, struct el_err *err)
{
    *dir = NULL;
    if (strlen(path) >= PATH_MAX)
        return el_fail(err, EL_E_IO, "'%.64s...': output path of %zu bytes, at most %d", path, strlen(path), PATH_MAX - 1);
    struct el_outdir *const d = el_calloc_array(1, sizeof *d);
    if (!d)
        return el_fail(err, EL_E_MEMORY, "'%s': out of memory", path);
    memcpy(d->path, path, strlen(path) + 1);
    d->opts = *opts;
    d->parent_fd = d->old_fd = d->tmp_fd = d->former_fd = d->guard = -1;
    d->adopted = true;
    const enum el_status status = open_all(d, err);
    if (status != EL_OK) {
        el_outdir_close(d);
        return status;
    }
    *dir = d;
    return EL_OK;
}

const char *el_outdir_place(const struct el_outdir *d)
{
    return d->place;
}

/* ---- committing ---- */

/* The guard of the exchange: what it may find under the temporary name is the new folder or the old one. */
static bool guard_both(struct el_outdir *d)
{
    struct el_buf names;
    el_buf_init(&names);
    size_t n = d->opts.n_names;
    DIR *const dir = list(d->old_fd);
    for (struct dirent *e; dir && (e = readdir(dir));) {
        if (is_dots(e->d_name) || is_member(d, e->d_name))
            continue;
        el_buf_add(&names, e->d_name, strlen(e->d_name) + 1);
        n++;
    }
    const char **const all = el_alloc_array(n, sizeof *all);
    const bool good = dir && all && !names.failed;
    if (good) {
        memcpy(all, d->opts.names, d->opts.n_names * sizeof *all);
        const char *p = names.data;
        for (size_t i = d->opts.n_names; i < n; i++, p += strlen(p) + 1)
            all[i] = p;
        const int guard = el_guard_start(d->base_fd, d->tmp_name, all, n);
        el_guard_arm(guard);
        el_guard_stop(d->guard);
        d->guard = guard;
    }
    if (dir)
        closedir(dir);
    el_free(all);
    el_buf_release(&names);
    return good;
}

/* Links what is not ours from the old folder into the new one. False when there is something that cannot be. */
static bool link_others(const struct el_outdir *d)
{
    DIR *const dir = list(d->old_fd);
    bool good = dir != NULL;
    for (struct dirent *e; good && (e = readdir(dir));) {
        if (!is_dots(e->d_name) && !is_ours(d, e->d_name))
            good = linkat(d->old_fd, e->d_name, d->tmp_fd, e->d_name, 0) == 0;
    }
    if (dir)
        closedir(dir);
    return good && sync_folder(d->tmp_fd);
}

static bool is_working_directory(int fd)
{
    struct stat here, there;
    return stat(".", &here) == 0 && fstat(fd, &there) == 0 && same_file(&here, &there);
}

/* The links that link_others has made, when the old folder stays. */
static void unlink_others(const struct el_outdir *d)
{
    DIR *const dir = list(d->tmp_fd);
    for (struct dirent *e; dir && (e = readdir(dir));) {
        if (!is_dots(e->d_name) && !is_member(d, e->d_name) && same_in(d->tmp_fd, d->old_fd, e->d_name))
            (void)unlinkat(d->tmp_fd, e->d_name, 0);
    }
    if (dir)
        closedir(dir);
}

enum outcome { TOOK, CANNOT, CHANGED }; /* CHANGED: something else has the name than a moment ago */

/* Way 2. */
static enum outcome exchange(struct el_outdir *d)
{
    if (pretends(EL_OUTDIR_NO_EXCHANGE))
        return CANNOT;
    if (!guard_both(d) || !link_others(d) || renameat2(d->parent_fd, d->tmp_name, d->parent_fd, d->name, RENAME_EXCHANGE) != 0) {
        unlink_others(d);
        return is_named(d->parent_fd, d->name, d->old_fd) ? CANNOT : CHANGED;
    }
    if (is_named(d->parent_fd, d->tmp_name, d->old_fd))
        return TOOK;
    (void)renameat2(d->parent_fd, d->tmp_name, d->parent_fd, d->name, RENAME_EXCHANGE);
    unlink_others(d);
    return CHANGED;
}

/* Ways 1 and 2. */
static enum el_status take_name(struct el_outdir *d, enum outcome *out, struct el_err *err)
{
    *out = CANNOT;
    if (d->old_fd >= 0 && (d->base_fd != d->parent_fd || !d->adopted || is_working_directory(d->old_fd)))
        return EL_OK;
    bool exchanged = false;
    if (renameat(d->base_fd, d->tmp_name, d->parent_fd, d->name) != 0) {
        const bool taken = errno == ENOTEMPTY || errno == EEXIST || errno == ENOTDIR;
        if (taken && !d->opts.overwrite)
            return exists_by_now(d, err);
        if (taken && d->old_fd < 0) {
            *out = CHANGED;
            return EL_OK;
        }
        if (d->old_fd < 0)
            return fail_errno(d, "name the output", errno, err);
        *out = exchange(d);
        if (*out != TOOK)
            return EL_OK;
        exchanged = true;
    }
    if (!sync_folder(d->parent_fd)) {
        const int number = errno;
        if (exchanged)
            (void)renameat2(d->parent_fd, d->name, d->parent_fd, d->tmp_name, RENAME_EXCHANGE);
        else
            (void)renameat(d->parent_fd, d->name, d->base_fd, d->tmp_name);
        return fail_errno(d, "sync the output's folder", number, err);
    }
    *out = TOOK;
    if (exchanged) {
        clear(d, d->old_fd, d->tmp_fd);
        (void)unlinkat(d->parent_fd, d->tmp_name, AT_REMOVEDIR);
    }
    return EL_OK;
}

/*
 * Moves the temporary folder into the old one, if it is not there. What the guard watches over is from now on there, and the
 * file of the name `aside` too.
 */
static enum el_status go_inside(struct el_outdir *d, const char *aside, struct el_err *err)
{
    const size_t n = d->opts.n_names;
    const char **const all = el_alloc_array(n + 1, sizeof *all);
    if (!all)
        return el_fail(err, EL_E_MEMORY, "'%s': out of memory", d->path);
    memcpy(all, d->opts.names, n * sizeof *all);
    all[n] = aside;
    const int guard = el_guard_start(d->old_fd, d->tmp_name, all, n + 1);
    el_free(all);
    el_guard_arm(guard);
    const int number = d->base_fd != d->old_fd ? move_tmp(d, d->base_fd, d->old_fd) : 0;
    if (number) {
        el_guard_stop(guard);
        return fail_errno(d, "move the new files into the output", number, err);
    }
    el_guard_stop(d->guard);
    d->guard = guard;
    d->base_fd = d->old_fd;
    return EL_OK;
}

/* Moves one file to the old folder; without leave to overwrite, only to a free name. */
static enum el_status move(const struct el_outdir *d, const char *name, struct el_err *err)
{
    int rc;
    if (pretends(EL_OUTDIR_NO_RENAME)) {
        rc = -1;
        errno = EXDEV;
    } else if (d->opts.overwrite) {
        rc = renameat(d->tmp_fd, name, d->old_fd, name);
    } else {
        rc = renameat2(d->tmp_fd, name, d->old_fd, name, RENAME_NOREPLACE);
        if (rc != 0 && (errno == EINVAL || errno == ENOSYS)) {
            rc = linkat(d->tmp_fd, name, d->old_fd, name, 0);
            if (rc == 0)
                (void)unlinkat(d->tmp_fd, name, 0);
        }
        if (rc != 0 && errno == EEXIST)
            return exists_by_now(d, err);
    }
    return rc == 0 ? EL_OK : el_fail(err, EL_E_IO, "'%s/%s': cannot rename the output: %s", d->path, name, el_errno_text(errno));
}

static enum el_status remove_old(const struct el_outdir *d, const char *name, struct el_err *err)
{
    if (unlinkat(d->old_fd, name, 0) != 0 && errno != ENOENT)
        return el_fail(err, EL_E_IO, "'%s/%s': cannot remove the old file: %s", d->path, name, el_errno_text(errno));
    return EL_OK;
}

/* Files of the old contents that ours have not replaced: they would be read as if they were ours. */
static enum el_status remove_rest(const struct el_outdir *d, struct el_err *err)
{
    DIR *const dir = list(d->old_fd);
    if (!dir)
        return fail_errno(d, "list the output", errno, err);
    enum el_status status = EL_OK;
    for (struct dirent *e; status == EL_OK && (e = readdir(dir));) {
        if (d->opts.is_ours(e->d_name) && !is_member(d, e->d_name))
            status = remove_old(d, e->d_name, err);
    }
    closedir(dir);
    return status;
}

/* Takes the old file of this name away, to the temporary folder, where it is `aside` until that goes. */
static enum el_status put_aside(const struct el_outdir *d, const char *name, const char *aside, bool *is_aside,
                                struct el_err *err)
{
    struct stat st;
    int number = 0;
    if (fstatat(d->old_fd, name, &st, AT_SYMLINK_NOFOLLOW) != 0)
        number = errno;
    else if (S_ISDIR(st.st_mode))
        number = EISDIR;
    else if (renameat(d->old_fd, name, d->tmp_fd, aside) != 0)
        number = errno;
    *is_aside = number == 0;
    if (number && number != ENOENT)
        return el_fail(err, EL_E_IO, "'%s/%s': cannot remove the old file: %s", d->path, name, el_errno_text(number));
    return EL_OK;
}

static enum el_status move_all(const struct el_outdir *d, bool *began, struct el_err *err)
{
    const size_t last = d->opts.n_names - 1;
    if (!sync_folder(d->old_fd))
        return fail_errno(d, "sync the output", errno, err);
    for (size_t i = 0; i < last; i++) {
        EL_TRY(move(d, d->opts.names[i], err));
        *began = true;
    }
    if (d->opts.overwrite)
        EL_TRY(remove_rest(d, err));
    if (!sync_folder(d->old_fd))
        return fail_errno(d, "sync the output", errno, err);
    EL_TRY(move(d, d->opts.names[last], err));
    *began = true;
    return sync_folder(d->old_fd) ? EL_OK : fail_errno(d, "sync the output", errno, err);
}

/* Way 3. */
static enum el_status replace_files(struct el_outdir *d, struct el_err *err)
{
    const char *const last = d->opts.names[d->opts.n_names - 1];
    char aside[NAME_MAX + 1];
    el_tmp_name(last, aside);
    EL_TRY(go_inside(d, aside, err));
    bool is_aside = false, began = false;
    if (d->opts.overwrite)
        EL_TRY(put_aside(d, last, aside, &is_aside, err));
    const enum el_status status = move_all(d, &began, err);
    if (status != EL_OK && is_aside && !began && renameat(d->tmp_fd, aside, d->old_fd, last) != 0)
        (void)!linkat(d->tmp_fd, aside, d->old_fd, last, 0);
    return status;
}

/* The new files take over the modes of the old ones. */
static enum el_status adopt_modes(const struct el_outdir *d, struct el_err *err)
{
    for (size_t i = 0; d->old_fd >= 0 && i < d->opts.n_names; i++) {
        const char *const name = d->opts.names[i];
        struct stat st;
        if (fstatat(d->old_fd, name, &st, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(st.st_mode))
            continue;
        const int fd = openat(d->tmp_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
        const bool good = fd >= 0 && el_adopt_mode(fd, &st);
        const int number = errno;
        if (fd >= 0)
            close(fd);
        if (!good)
            return el_fail(err, EL_E_IO, "'%s/%s': cannot keep the file's mode: %s", d->path, name, el_errno_text(number));
    }
    return EL_OK;
}

static enum el_status commit_locked(struct el_outdir *d, struct el_err *err)
{
    enum outcome out = CHANGED;
    for (int attempt = 0; attempt < 100 && out == CHANGED; attempt++) {
        EL_TRY(look_again(d, err));
        EL_TRY(adopt_modes(d, err));
        EL_TRY(take_name(d, &out, err));
    }
    if (out == CHANGED)
        return el_fail(err, EL_E_IO, "'%s': another program keeps replacing the output", d->path);
    if (out == CANNOT)
        return replace_files(d, err);
    /* The name was the temporary folder's, and nothing has it any more. */
    close(d->tmp_fd);
    d->tmp_fd = -1;
    d->tmp_name[0] = '\0';
    el_guard_stop(d->guard);
    d->guard = -1;
    return EL_OK;
}

enum el_status el_outdir_commit(struct el_outdir *d, struct el_err *err)
{
    int lock = -1;
    if (d->locks)
        EL_TRY(el_folder_lock(d->parent_fd, d->path, &lock, err));
    const enum el_status status = commit_locked(d, err);
    el_folder_unlock(lock);
    return status;
}

void el_outdir_close(struct el_outdir *d)
{
    if (!d)
        return;
    drop_tmp(d);
    if (d->former_fd >= 0)
        close(d->former_fd);
    if (d->old_fd >= 0)
        close(d->old_fd);
    if (d->parent_fd >= 0)
        close(d->parent_fd);
    el_free(d);
}
