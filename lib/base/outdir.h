/*
 * A folder whose files appear together: the old files or all of the new ones.
 *
 * The files are made in a folder of a temporary name, .NAME.PID-RANDOM.tmp, which a guard (base/guard.h) and the next run watch
 * over as they do over the temporaries of el_outfile. Commit gives it the name, by the first of these that can be:
 *
 *   1. rename(2), where nothing has the name or an empty folder: one step.
 *   2. renameat2(RENAME_EXCHANGE) with the old folder, which is then removed: one step. What the old folder holds that is not
 *      ours (README.md) is linked into the new one before, so it is there at any time.
 *   3. File by file: the last of our files in the old folder is taken away first, and comes last; a folder without it is
 *      incomplete to any reader. This is for file systems that cannot exchange, for an old folder that is a mount point, holds
 *      folders (they cannot be linked) or files that may not be linked, or is the working directory (which would be lost to the
 *      user's shell), and for a parent folder where we may not write. For this the temporary folder stands within the old one,
 *      or moves there first: so the files are on the same file system, and what cannot be moved is known while the old
 *      contents are whole. If not even the first file can be moved, what was taken away comes back.
 *
 * Two runs that write the same folder: opening and committing hold el_folder_lock of the parent folder, and commit looks again at
 * what has the name. So the later one replaces what the earlier one has made, and the files that are not ours stay.
 *
 * The new folder takes over the old one's mode, owner, user attributes and access lists; a new file that of the old one of its
 * name. Not kept: other extended attributes (security labels come from the parent folder), attributes of the old
 * files, and times. A symbolic link to a folder stays.
 */
#ifndef EL_BASE_OUTDIR_H
#define EL_BASE_OUTDIR_H

#include "base/err.h"

struct el_outdir;
struct el_outdir_opts {
    bool overwrite;
    /* The files that will be written, the most telling one last. Borrowed until close. */
    const char *const *names;
    size_t n_names; /* at least 1 */
    /* Would a reader take a file of this name for a part of the contents? Such files of an old folder go. True for all names. */
    bool (*is_ours)(const char *name);
};

/* EL_E_IO. The caller has seen to it that path is free, or a folder that may be replaced. One thread at a time. */
enum el_status el_outdir_open(const char *path, const struct el_outdir_opts *opts, struct el_outdir **dir, struct el_err *err);
/* Path of the folder in which to make the files: they must all be complete and on the disk before commit. */
const char *el_outdir_place(const struct el_outdir *dir);
enum el_status el_outdir_commit(struct el_outdir *dir, struct el_err *err);
/* Discards when not committed. NULL is fine. */
void el_outdir_close(struct el_outdir *dir);
/* Test hook: from now on behave as on a machine of this kind (flags together), on which something fails. */
enum {
    EL_OUTDIR_NO_EXCHANGE = 1,     /* file system without RENAME_EXCHANGE */
    EL_OUTDIR_OTHER_FS = 2,        /* nothing moves from the parent folder to the old folder */
    EL_OUTDIR_NO_RENAME = 4,       /* no file moves to the old folder */
    EL_OUTDIR_PARENT_READONLY = 8, /* nothing can be made in the parent folder */
};
void el_outdir_pretend(unsigned flags);

#endif
