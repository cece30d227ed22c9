/*
 * Files that are written and read while a program works: scratch without a name, which nothing can leave behind, and state that
 * a later run goes on from, which has a name until it is removed. Positioned reads and writes; any thread.
 */
#ifndef EL_BASE_WORKFILE_H
#define EL_BASE_WORKFILE_H

#include "base/err.h"

struct el_workfile;

/* Scratch on the disk that path lies on (a file in its folder without a name). EL_E_IO, EL_E_MEMORY. */
enum el_status el_workfile_scratch(const char *path, struct el_workfile **file, struct el_err *err);
/*
 * The file `path`, made when it is not there; *nbytes is its length. One process at a time has it: EL_E_IO when another does, or
 * when it is no plain file.
 */
enum el_status el_workfile_state(const char *path, struct el_workfile **file, uint64_t *nbytes, struct el_err *err);
void el_workfile_close(struct el_workfile *file);
/* Takes the name away, of a file that has one; the bytes stay until closing. */
void el_workfile_remove(struct el_workfile *file);

/* Exactly nbytes at offset, or EL_E_IO; reading past the end is EL_E_FORMAT. */
enum el_status el_workfile_write(struct el_workfile *file, uint64_t offset, const void *data, uint64_t nbytes,
                                 struct el_err *err);
enum el_status el_workfile_read(struct el_workfile *file, uint64_t offset, void *out, uint64_t nbytes, struct el_err *err);
/* What was written is on the disk when this returns. */
enum el_status el_workfile_sync(struct el_workfile *file, struct el_err *err);

#endif
