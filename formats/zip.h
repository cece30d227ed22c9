/*
 * Zip archives as far as PyTorch writes them: stored entries (method 0), one file, with or without zip64 (PKWARE's APPNOTE.TXT
 * 6.3, sections 4.3 and 4.5.3). Everything is taken from the central directory; checksums are not looked at, since PyTorch can
 * be told not to write them.
 */
#ifndef EL_FORMATS_ZIP_H
#define EL_FORMATS_ZIP_H

#include "base/file.h"
#include "base/strmap.h"

struct el_zip_entry {
    char *name;      /* terminated, in the archive's block of names */
    uint64_t header; /* offset of the local header */
    uint64_t end;    /* where the next entry begins, or the directory */
    uint64_t nbytes;
    uint16_t method; /* 0: stored */
    bool encrypted;
};

struct el_zip {
    const struct el_file *file;
    struct el_zip_entry *entries;
    size_t n_entries;
    char *names;
    struct el_strmap by_name;
    uint64_t directory; /* offset of the central directory: data ends before it */
};

/*
 * Reads the directory of f, which must outlive z. EL_E_FORMAT (two entries that begin at one place among others: a small file
 * could say of the same bytes any number of times that they are data), EL_E_UNSUPPORTED (several disks); errors name the file.
 */
enum el_status el_zip_open(const struct el_file *f, struct el_zip *z, struct el_err *err);
void el_zip_close(struct el_zip *z);
/* Index of an entry, SIZE_MAX when missing. */
size_t el_zip_find(const struct el_zip *z, const char *name);
/*
 * Where the bytes of a stored entry begin. EL_E_UNSUPPORTED: it is compressed or encrypted. EL_E_FORMAT: it lies outside, or
 * reaches into the next entry.
 */
enum el_status el_zip_data(const struct el_zip *z, size_t entry, uint64_t *offset, struct el_err *err);

#endif
