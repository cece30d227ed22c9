/* Scratch and state files; see workfile.h. */
#include "base/workfile.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"

struct el_workfile {
    char path[PATH_MAX];
    int fd;
    bool named;
};

enum { MOST_NBYTES = 1 << 30, LOCK_MS = 5000, LOCK_STEP_MS = 10 }; /* of one call: Linux ends them before 2 GiB */

static enum el_status fail_errno(const struct el_workfile *f, const char *what, struct el_err *err)
{
    return el_fail(err, EL_E_IO, "'%s': cannot %s: %s", f->path, what, el_errno_text(errno));
}

static enum el_status make(const char *path, bool named, struct el_workfile **file, struct el_err *err)
{
    *file = NULL;
    struct el_workfile *const f = el_calloc_array(1, sizeof *f);
    if (!f)
        return el_fail(err, EL_E_MEMORY, "'%s': out of memory", path);
    f->fd = -1;
    f->named = named;
    *file = f;
    if (strlen(path) < sizeof f->path) {
        memcpy(f->path, path, strlen(path) + 1);
        return EL_OK;
    }
    el_workfile_close(f);
    *file = NULL;
    return el_fail(err, EL_E_IO, "a path of %zu bytes, at most %zu", strlen(path), sizeof f->path - 1);
}

/* Without O_TMPFILE the file has a name for a moment. */
static int open_unnamed(const char *folder)
{
    int fd = open(folder, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR && errno != ENOENT))
        return fd;
    char name[PATH_MAX + 32];
    (void)snprintf(name, sizeof name, "%s/.edgellm-XXXXXX.tmp", folder);
    fd = mkostemps(name, 4, O_CLOEXEC);
    if (fd >= 0)
        (void)unlink(name);
    return fd;
}

enum el_status el_workfile_scratch(const char *path, struct el_workfile **file, struct el_err *err)
{
    char folder[PATH_MAX];
    EL_TRY(make(path, false, file, err));
    memcpy(folder, path, strlen(path) + 1);
    char *const slash = strrchr(folder, '/');
    if (slash == folder)
        folder[1] = 0;
    else if (slash)
        *slash = 0;
    (*file)->fd = open_unnamed(slash ? folder : ".");
    if ((*file)->fd >= 0)
        return EL_OK;
    const enum el_status status = fail_errno(*file, "make a scratch file beside it", err);
    el_workfile_close(*file);
    *file = NULL;
    return status;
}

static enum el_status open_state(struct el_workfile *f, uint64_t *nbytes, struct el_err *err)
{
    struct stat st;
    f->fd = open(f->path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0666);
    if (f->fd < 0 || fstat(f->fd, &st) != 0)
        return fail_errno(f, "open", err);
    if (!S_ISREG(st.st_mode))
        return el_fail(err, EL_E_IO, "'%s': is no plain file", f->path);
    /* A process that was killed a moment ago may not be gone yet. */
    for (int ms = 0; flock(f->fd, LOCK_EX | LOCK_NB) != 0; ms += LOCK_STEP_MS) {
        const struct timespec step = {0, LOCK_STEP_MS * 1000000L};
        if (ms >= LOCK_MS || el_interrupted())
            return el_fail(err, EL_E_IO, "'%s': another program works with it", f->path);
        (void)nanosleep(&step, NULL);
    }
    *nbytes = (uint64_t)st.st_size;
    return EL_OK;
}

enum el_status el_workfile_state(const char *path, struct el_workfile **file, uint64_t *nbytes, struct el_err *err)
{
    *nbytes = 0;
    EL_TRY(make(path, true, file, err));
    const enum el_status status = open_state(*file, nbytes, err);
    if (status != EL_OK) {
        el_workfile_close(*file);
        *file = NULL;
    }
    return status;
}

void el_workfile_close(struct el_workfile *file)
{
    if (!file)
        return;
    if (file->fd >= 0)
        close(file->fd);
    el_free(file);
}

void el_workfile_remove(struct el_workfile *file)
{
    if (file->named)
        (void)unlink(file->path);
    file->named = false;
}

enum el_status el_workfile_write(struct el_workfile *file, uint64_t offset, const void *data, uint64_t nbytes, struct el_err *err)
{
    const uint8_t *p = data;
    while (nbytes > 0) {
        const ssize_t n = pwrite(file->fd, p, nbytes < MOST_NBYTES ? (size_t)nbytes : (size_t)MOST_NBYTES, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return fail_errno(file, "write", err);
        p += n;
        offset += (uint64_t)n;
        nbytes -= (uint64_t)n;
    }
    return EL_OK;
}

enum el_status el_workfile_read(struct el_workfile *file, uint64_t offset, void *out, uint64_t nbytes, struct el_err *err)
{
    uint8_t *p = out;
    while (nbytes > 0) {
        const ssize_t n = pread(file->fd, p, nbytes < MOST_NBYTES ? (size_t)nbytes : (size_t)MOST_NBYTES, (off_t)offset);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return fail_errno(file, "read", err);
        if (n == 0)
            return el_fail(err, EL_E_FORMAT, "'%s': ends at byte %llu, %llu more are needed", file->path,
                           (unsigned long long)offset, (unsigned long long)nbytes);
        p += n;
        offset += (uint64_t)n;
        nbytes -= (uint64_t)n;
    }
    return EL_OK;
}

enum el_status el_workfile_sync(struct el_workfile *file, struct el_err *err)
{
    return fdatasync(file->fd) == 0 ? EL_OK : fail_errno(file, "write to the disk", err);
}
