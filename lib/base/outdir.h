/*
 * A folder whose files appear together: the old files or all of the new ones.
 *
 * The files are made in a folder of a temporary name, .NAME.PID-RANDOM.tmp, which a guard (base/guard.h) and the next run watch
 * over as they do over the temporaries of el_outfile. Commit gives it the name, by the first of these that can be:
 *
 *   1. rename(2), where nothing has the name or an empty folder: one step.
 *   2. renameat2(RENAME_EXCHANGE) with the old folder, which is then removed: one step. What the old folder holds that is not
 *      ours (README.md) is linked into the new one before, so it is there at any time.
 *   3. File by file: the last of our files in the old folder is removed first, and comes last; a folder without it is incomplete
 *      to any reader. This is for file systems that cannot exchange, for an old folder that is a mount point, holds folders
 *      (they cannot be linked) or files that may not be linked, or is the working directory (which would be lost to the user's
 *      shell), and for a parent folder where we may not write: then the temporary folder stands within the old one.
 *
 * An old folder's mode and owner become the new one's. A symbolic link to a folder stays.
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
/* Test hook: folders opened from now on are committed as on a file system that cannot exchange. */
void el_outdir_force_single(bool on);

#endif
