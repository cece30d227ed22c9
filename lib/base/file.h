/*
 * Files to read (positioned reads or a mapping) and files to write (nothing visible before commit).
 */
#ifndef EL_BASE_FILE_H
#define EL_BASE_FILE_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

/* ---- reading: one struct may be used by many threads ---- */
struct el_file {
    char *path;
    int fd;
    uint64_t nbytes;
    uint64_t dev, ino; /* to refuse input == output */
    int64_t mtime_ns;  /* last modification, since 1970 */
    void *map;         /* NULL until el_file_map */
};

/* EL_E_IO; refuses folders, devices and FIFOs by name. */
enum el_status el_file_open(struct el_file *f, const char *path, struct el_err *err);
void el_file_close(struct el_file *f);
/* Reads exactly nbytes at offset; retries EINTR and short reads; EL_E_FORMAT when the file ends earlier. */
enum el_status el_file_read(const struct el_file *f, uint64_t offset, void *out, uint64_t nbytes, struct el_err *err);
/* Maps the whole file read-only, private; *base stays valid until close. */
enum el_status el_file_map(struct el_file *f, const uint8_t **base, struct el_err *err);
/*
 * Makes mapped bytes present at once, which costs less than a fault for every few pages of them. A wish: where it is not granted,
 * they come as they are read.
 */
void el_map_populate(const void *p, uint64_t nbytes);

/* ---- writing ---- */
/*
 * An unnamed file in the folder of path (O_TMPFILE; a named .NAME.PID.tmp where the file system has none). Commit syncs and
 * links it under its name; a process killed at any point leaves the old file or the new one, and no temporary.
 */
struct el_outfile;
enum el_status el_outfile_open(const char *path, bool overwrite, struct el_outfile **out, struct el_err *err);
/* The same for a file in a temporary folder: messages name it `shown`. */
enum el_status el_outfile_open_as(const char *path, const char *shown, bool overwrite, struct el_outfile **out,
                                  struct el_err *err);
/* Reserves the final size, so that a full disk shows at the start. */
enum el_status el_outfile_reserve(struct el_outfile *f, uint64_t nbytes, struct el_err *err);
/* Any order, no gaps left at commit; retries EINTR and short writes; thread-safe. EL_E_IO. */
enum el_status el_outfile_write(struct el_outfile *f, uint64_t offset, const void *data, uint64_t nbytes, struct el_err *err);
/* Reads back what was written (for verification). */
enum el_status el_outfile_read(struct el_outfile *f, uint64_t offset, void *out, uint64_t nbytes, struct el_err *err);
/*
 * All of commit that needs space: brings the bytes to the disk, and gives a file that will replace another its temporary name.
 * For several files that appear together: stage all, then commit all.
 */
enum el_status el_outfile_stage(struct el_outfile *f, struct el_err *err);
enum el_status el_outfile_commit(struct el_outfile *f, struct el_err *err);
void el_outfile_close(struct el_outfile *f); /* discards when not committed */
/*
 * What a file or folder that replaces another takes over. el_adopt_mode: the mode, and owner and group where we may give them;
 * where the group cannot be kept, it gets no more rights than everybody. False, with errno, when the mode cannot be set.
 * el_adopt_xattrs: user attributes and access lists, as far as they can be copied.
 */
struct stat;
bool el_adopt_mode(int fd, const struct stat *old);
void el_adopt_xattrs(int fd, int old_fd);
/*
 * One writer at a time gives names in a folder. The lock is a flock(2) of the folder itself: nothing can be left over. Without
 * one (*lock is -1) the caller goes on: where the file system has no locks, and when somebody has held it for 10 seconds, which
 * no commit does (`flock FOLDER edgellm convert ...` does). EL_E_INTERRUPTED. path is for the message.
 */
enum el_status el_folder_lock(int dir_fd, const char *path, int *lock, struct el_err *err);
void el_folder_unlock(int lock);
/* Test hook: files opened from now on behave as on a file system without O_TMPFILE. */
void el_outfile_force_named(bool on);
/*
 * Names of temporaries, of files and folders alike: .NAME.PID-RANDOM.tmp, a long NAME cut. el_tmp_stem: is tmp such a name? Then
 * stem gets NAME as far as it is there. el_tmp_is_of: is tmp one of this output?
 */
void el_tmp_name(const char *name, char out[NAME_MAX + 1]);
bool el_tmp_stem(const char *tmp, char stem[NAME_MAX + 1]);
bool el_tmp_is_of(const char *tmp, const char *name);
/*
 * Would commit replace this very file (the same inode, also by a hard or symbolic link)? Callers refuse input == output with
 * it.
 */
bool el_outfile_same_as_file(const struct el_outfile *out, const struct el_file *in);

/* "file", "folder", "FIFO", "device" ... of a stat mode, for messages. */
const char *el_file_kind(uint32_t st_mode);

/*
 * Is name a plain file name that a model file may refer to ("model-00001-of-00002.safetensors")? No "..", "/", "\", control,
 * empty.
 */
bool el_file_name_is_safe(const char *name);

#endif
