#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/mem.h"

const char *el_file_kind(uint32_t st_mode)
{
    switch (st_mode & S_IFMT) {
    case S_IFREG: return "file";
    case S_IFDIR: return "folder";
    case S_IFLNK: return "symbolic link";
    case S_IFIFO: return "FIFO";
    case S_IFSOCK: return "socket";
    default: return "device";
    }
}

enum el_status el_file_open(struct el_file *f, const char *path, struct el_err *err)
{
    memset(f, 0, sizeof *f);
    f->fd = -1;
    /* O_NONBLOCK so that opening a FIFO does not wait for a writer; it changes nothing for a plain file. */
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return el_fail(err, EL_E_IO, "'%s': cannot open: %s", path, el_errno_text(errno));
    struct stat st;
    if (fstat(fd, &st) != 0) {
        const int e = errno;
        close(fd);
        return el_fail(err, EL_E_IO, "'%s': cannot stat: %s", path, el_errno_text(e));
    }
    if (!S_ISREG(st.st_mode)) {
        close(fd);
        return el_fail(err, EL_E_IO, "'%s': is a %s, not a file", path, el_file_kind(st.st_mode));
    }
    f->path = el_strdup(path);
    if (!f->path) {
        close(fd);
        return el_fail(err, EL_E_MEMORY, "'%s': out of memory", path);
    }
    f->fd = fd;
    f->nbytes = (uint64_t)st.st_size;
    f->dev = (uint64_t)st.st_dev;
    f->ino = (uint64_t)st.st_ino;
    f->mtime_ns = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec;
    return EL_OK;
}

void el_file_close(struct el_file *f)
{
    if (f->map && f->nbytes)
        (void)munmap(f->map, f->nbytes);
    if (f->fd >= 0 && f->path)
        close(f->fd);
    el_free(f->path);
    memset(f, 0, sizeof *f);
    f->fd = -1;
}

enum el_status el_file_read(const struct el_file *f, uint64_t offset, void *out, uint64_t nbytes, struct el_err *err)
{
    uint8_t *p = out;
    const uint64_t offset0 = offset, nbytes0 = nbytes;
    if (offset > (uint64_t)INT64_MAX || nbytes > (uint64_t)INT64_MAX - offset)
        return el_fail(err, EL_E_FORMAT, "'%s': %" PRIu64 " bytes at byte %" PRIu64 " are past any file's end", f->path, nbytes,
                       offset);
    while (nbytes > 0) {
        if (el_interrupted())
            return el_fail(err, EL_E_INTERRUPTED, "'%s': interrupted while reading", f->path);
        const size_t want = nbytes < (1u << 30) ? (size_t)nbytes : (size_t)1 << 30;
        const ssize_t got = pread(f->fd, p, want, (off_t)offset);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return el_fail(err, EL_E_IO, "'%s': cannot read %" PRIu64 " bytes at byte %" PRIu64 ": %s", f->path, nbytes, offset,
                           el_errno_text(errno));
        if (got == 0)
            return el_fail(err, EL_E_FORMAT,
                           "'%s': truncated: %" PRIu64 " bytes wanted at byte %" PRIu64 ", the file ends at byte %" PRIu64,
                           f->path, nbytes0, offset0, offset);
        p += got;
        offset += (uint64_t)got;
        nbytes -= (uint64_t)got;
    }
    return EL_OK;
}

enum el_status el_file_map(struct el_file *f, const uint8_t **base, struct el_err *err)
{
    static uint8_t nothing[1];
    *base = NULL;
    if (!f->map && f->nbytes == 0)
        f->map = nothing;
    if (!f->map) {
        void *const map = mmap(NULL, f->nbytes, PROT_READ, MAP_PRIVATE, f->fd, 0);
        if (map == MAP_FAILED)
            return el_fail(err, errno == ENOMEM ? EL_E_MEMORY : EL_E_IO, "'%s': cannot map %" PRIu64 " bytes: %s", f->path,
                           f->nbytes, el_errno_text(errno));
        f->map = map;
    }
    *base = f->map;
    return EL_OK;
}

void el_map_populate(const void *p, uint64_t nbytes)
{
#ifdef MADV_POPULATE_READ
    const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), from = (uintptr_t)p & ~(page - 1);
    if (nbytes > 0)
        (void)madvise((void *)from, (uintptr_t)p + nbytes - from, MADV_POPULATE_READ); /* since Linux 5.14 */
#else
    (void)p;
    (void)nbytes;
#endif
}

bool el_file_name_is_safe(const char *name)
{
    const size_t n = strlen(name);
    if (n == 0 || n > 255 || strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return false;
    for (size_t i = 0; i < n; i++) {
        const unsigned char c = (unsigned char)name[i];
        if (c < 0x20 || c == 0x7f || c == '/' || c == '\\' || c == ':')
            return false;
    }
    return true;
}

/* Appends what fd gives until its end, or more than max_nbytes. */
static enum el_status read_all(int fd, const char *path, uint64_t max_nbytes, struct el_buf *b, struct el_err *err)
{
    enum { EL_READ_STRIP = 1 << 16 };
    char *const strip = el_alloc(EL_READ_STRIP);
    if (!strip)
        return el_fail(err, EL_E_MEMORY, "'%s': out of memory", path);
    enum el_status status = EL_OK;
    while (status == EL_OK) {
        const ssize_t got = read(fd, strip, EL_READ_STRIP);
        if (el_interrupted())
            status = el_fail(err, EL_E_INTERRUPTED, "'%s': interrupted while reading", path);
        else if (got < 0 && errno != EINTR)
            status = el_fail(err, EL_E_IO, "'%s': cannot read: %s", path, el_errno_text(errno));
        else if (got == 0)
            break;
        else if (got > 0)
            el_buf_add(b, strip, (size_t)got);
        if (status == EL_OK && b->failed)
            status = el_fail(err, EL_E_MEMORY, "'%s': out of memory after %zu bytes", path, b->nbytes);
        if (status == EL_OK && b->nbytes > max_nbytes)
            status = el_fail(err, EL_E_FORMAT, "'%s': larger than %" PRIu64 " bytes", path, max_nbytes);
    }
    el_free(strip);
    return status;
}

enum el_status el_read_file(const char *path, uint64_t max_nbytes, char **data, size_t *nbytes, struct el_err *err)
{
    *data = NULL;
    *nbytes = 0;
    const bool is_stdin = strcmp(path, "-") == 0;
    const char *const shown = is_stdin ? "standard input" : path;
    const int fd = is_stdin ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return el_fail(err, EL_E_IO, "'%s': cannot open: %s", path, el_errno_text(errno));
    struct el_buf b;
    el_buf_init(&b);
    enum el_status status = read_all(fd, shown, max_nbytes, &b, err);
    if (!is_stdin)
        close(fd);
    if (status == EL_OK) {
        *data = el_buf_detach(&b, nbytes);
        if (!*data)
            status = el_fail(err, EL_E_MEMORY, "'%s': out of memory", shown);
    }
    el_buf_release(&b);
    return status;
}
