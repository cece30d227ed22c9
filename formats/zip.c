/* The directory of a zip archive; see zip.h. */
#include "formats/zip.h"

#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/cursor.h"
#include "base/limits.h"
#include "base/mem.h"

enum {
    EL_ZIP_END = 22, /* bytes of the end record without its comment */
    EL_ZIP_END64 = 56,
    EL_ZIP_LOCATOR = 20,
    EL_ZIP_CENTRAL = 46,
    EL_ZIP_LOCAL = 30,
    EL_ZIP_MAX_COMMENT = 65535,
    EL_ZIP_MAX_DIRECTORY = 256 << 20,
    EL_ZIP_MAX_ENTRIES = EL_MAX_TENSORS + 64,
};
#define EL_ZIP_SIG_END     0x06054b50u
#define EL_ZIP_SIG_END64   0x06064b50u
#define EL_ZIP_SIG_LOCATOR 0x07064b50u
#define EL_ZIP_SIG_CENTRAL 0x02014b50u
#define EL_ZIP_SIG_LOCAL   0x04034b50u

/* What the end records say of the directory. */
struct end {
    uint64_t n_entries, nbytes, offset;
    uint64_t at; /* where the first of the end records begins */
};

void el_zip_close(struct el_zip *z)
{
    el_strmap_release(&z->by_name);
    el_free(z->entries);
    el_free(z->names);
    memset(z, 0, sizeof *z);
}

size_t el_zip_find(const struct el_zip *z, const char *name)
{
    const int64_t at = el_strmap_get(&z->by_name, name, strlen(name), -1);
    return at < 0 ? SIZE_MAX : (size_t)at;
}

/* The zip64 records stand in front of the end record when there are any; the 16- and 32-bit numbers are then all ones. */
static enum el_status read_end64(const struct el_file *f, struct end *end, struct el_err *err)
{
    uint8_t bytes[EL_ZIP_END64];
    if (end->at < EL_ZIP_LOCATOR)
        return EL_OK;
    EL_TRY(el_file_read(f, end->at - EL_ZIP_LOCATOR, bytes, EL_ZIP_LOCATOR, err));
    struct el_cursor c = el_cursor_init(bytes, EL_ZIP_LOCATOR);
    if (el_cursor_u32(&c) != EL_ZIP_SIG_LOCATOR)
        return EL_OK;
    (void)el_cursor_u32(&c);
    const uint64_t at = el_cursor_u64(&c), before = end->at - EL_ZIP_LOCATOR;
    if (at > before || before - at < EL_ZIP_END64)
        return el_fail(err, EL_E_FORMAT, "'%s': zip64 end record at byte %llu, which is not before byte %llu", f->path,
                       (unsigned long long)at, (unsigned long long)before);
    EL_TRY(el_file_read(f, at, bytes, EL_ZIP_END64, err));
    c = el_cursor_init(bytes, EL_ZIP_END64);
    if (el_cursor_u32(&c) != EL_ZIP_SIG_END64)
        return el_fail(err, EL_E_FORMAT, "'%s': no zip64 end record at byte %llu", f->path, (unsigned long long)at);
    (void)el_cursor_bytes(&c, 8 + 2 + 2);
    const uint32_t disk = el_cursor_u32(&c), first = el_cursor_u32(&c);
    (void)el_cursor_u64(&c);
    end->n_entries = el_cursor_u64(&c);
    end->nbytes = el_cursor_u64(&c);
    end->offset = el_cursor_u64(&c);
    end->at = at;
    return disk == 0 && first == 0 ? EL_OK : el_fail(err, EL_E_UNSUPPORTED, "'%s': zip archive of several disks", f->path);
}

static enum el_status read_end(const struct el_file *f, struct end *end, struct el_err *err)
{
    const uint64_t most = EL_ZIP_END + EL_ZIP_MAX_COMMENT, n = f->nbytes < most ? f->nbytes : most;
    uint8_t *const tail = el_alloc((size_t)n);
    if (!tail)
        return el_fail(err, EL_E_MEMORY, "'%s': out of memory", f->path);
    enum el_status status = el_file_read(f, f->nbytes - n, tail, n, err);
    bool found = false;
    for (uint64_t at = n; status == EL_OK && !found && at-- > 0;) {
        struct el_cursor c = el_cursor_init(tail + at, (size_t)(n - at));
        if (n - at < EL_ZIP_END || el_cursor_u32(&c) != EL_ZIP_SIG_END)
            continue;
        const uint16_t disk = el_cursor_u16(&c), first = el_cursor_u16(&c);
        (void)el_cursor_u16(&c);
        end->n_entries = el_cursor_u16(&c);
        end->nbytes = el_cursor_u32(&c);
        end->offset = el_cursor_u32(&c);
        if (el_cursor_u16(&c) != n - at - EL_ZIP_END)
            continue; /* the same bytes by chance */
        found = true;
        end->at = f->nbytes - n + at;
        if ((disk != 0 && disk != 0xffff) || (first != 0 && first != 0xffff))
            status = el_fail(err, EL_E_UNSUPPORTED, "'%s': zip archive of several disks", f->path);
    }
    el_free(tail);
    EL_TRY(status);
    if (!found)
        return el_fail(err, EL_E_FORMAT, "'%s': truncated or no zip archive: no end of its directory", f->path);
    EL_TRY(read_end64(f, end, err));
    uint64_t stop;
    if (!el_add_u64(end->offset, end->nbytes, &stop) || stop > end->at)
        return el_fail(err, EL_E_FORMAT, "'%s': zip directory of %llu bytes at byte %llu does not end before byte %llu", f->path,
                       (unsigned long long)end->nbytes, (unsigned long long)end->offset, (unsigned long long)end->at);
    if (end->nbytes > EL_ZIP_MAX_DIRECTORY)
        return el_fail(err, EL_E_FORMAT, "'%s': zip directory of %llu bytes, at most %d", f->path,
                       (unsigned long long)end->nbytes, (int)EL_ZIP_MAX_DIRECTORY);
    if (end->n_entries > EL_ZIP_MAX_ENTRIES || end->n_entries > end->nbytes / EL_ZIP_CENTRAL)
        return el_fail(err, EL_E_FORMAT, "'%s': zip directory of %llu bytes says that it has %llu entries", f->path,
                       (unsigned long long)end->nbytes, (unsigned long long)end->n_entries);
    return EL_OK;
}

/* The numbers that do not fit 32 bits stand in an extra field, in this order, those that are all ones only. */
static bool read_extra64(struct el_cursor extra, uint64_t *nbytes, uint64_t *packed, uint64_t *header)
{
    uint64_t *const wide[] = {nbytes, packed, header};
    while (el_cursor_left(&extra) >= 4) {
        const uint16_t id = el_cursor_u16(&extra), n = el_cursor_u16(&extra);
        const uint8_t *const data = el_cursor_bytes(&extra, n);
        if (!data)
            return false;
        struct el_cursor c = el_cursor_init(data, n);
        for (size_t i = 0; id == 1 && i < 3; i++) {
            if (*wide[i] == 0xffffffffu)
                *wide[i] = el_cursor_u64(&c);
        }
        if (c.failed)
            return false;
    }
    return true;
}

static enum el_status read_entry(struct el_zip *z, struct el_cursor *c, char *names, struct el_zip_entry *e, struct el_err *err)
{
    const char *const path = z->file->path;
    if (el_cursor_u32(c) != EL_ZIP_SIG_CENTRAL)
        return el_fail(err, EL_E_FORMAT, "'%s': zip directory: entry %zu does not begin with its signature", path, z->n_entries);
    (void)el_cursor_u32(c); /* versions */
    const uint16_t flags = el_cursor_u16(c);
    e->method = el_cursor_u16(c);
    e->encrypted = flags & 1;
    (void)el_cursor_u64(c); /* time, date, checksum */
    uint64_t packed = el_cursor_u32(c);
    e->nbytes = el_cursor_u32(c);
    const uint16_t n_name = el_cursor_u16(c), n_extra = el_cursor_u16(c), n_comment = el_cursor_u16(c);
    (void)el_cursor_u64(c); /* disk, attributes */
    e->header = el_cursor_u32(c);
    const uint8_t *const name = el_cursor_bytes(c, n_name), *const extra = el_cursor_bytes(c, n_extra);
    (void)el_cursor_bytes(c, n_comment);
    if (c->failed || !read_extra64(el_cursor_init(extra, n_extra), &e->nbytes, &packed, &e->header))
        return el_fail(err, EL_E_FORMAT, "'%s': zip directory: entry %zu is cut off", path, z->n_entries);
    if (n_name == 0 || memchr(name, '\0', n_name))
        return el_fail(err, EL_E_FORMAT, "'%s': zip directory: entry %zu has no name, or one with a zero byte", path,
                       z->n_entries);
    memcpy(names, name, n_name);
    names[n_name] = '\0';
    e->name = names;
    if (e->method == 0 && !e->encrypted && packed != e->nbytes)
        return el_fail(err, EL_E_FORMAT, "'%s': zip entry '%s': stored, but of %llu bytes in %llu", path, e->name,
                       (unsigned long long)e->nbytes, (unsigned long long)packed);
    bool existed = false;
    if (!el_strmap_add(&z->by_name, e->name, n_name, (int64_t)z->n_entries, &existed))
        return el_fail(err, EL_E_MEMORY, "'%s': out of memory for the zip directory", path);
    return existed ? el_fail(err, EL_E_FORMAT, "'%s': zip entry '%s' is there twice", path, e->name) : EL_OK;
}

static int by_header(const void *a, const void *b)
{
    const uint64_t x = (*(struct el_zip_entry *const *)a)->header, y = (*(struct el_zip_entry *const *)b)->header;
    return x < y ? -1 : x > y;
}

/* Finds the end of every entry: no bytes may be those of two. */
static enum el_status set_ends(struct el_zip *z, struct el_err *err)
{
    struct el_zip_entry **const order = el_alloc_array(z->n_entries, sizeof *order);
    enum el_status status = EL_OK;
    if (!order)
        return el_fail(err, EL_E_MEMORY, "'%s': out of memory for the zip directory", z->file->path);
    for (size_t i = 0; i < z->n_entries; i++)
        order[i] = &z->entries[i];
    qsort(order, z->n_entries, sizeof *order, by_header);
    for (size_t i = 0; i < z->n_entries && status == EL_OK; i++) {
        const bool last = i + 1 == z->n_entries;
        order[i]->end = !last && order[i + 1]->header < z->directory ? order[i + 1]->header : z->directory;
        if (!last && order[i]->header == order[i + 1]->header)
            status = el_fail(err, EL_E_FORMAT, "'%s': zip entries '%s' and '%s' both begin at byte %llu", z->file->path,
                             order[i]->name, order[i + 1]->name, (unsigned long long)order[i]->header);
    }
    el_free(order);
    return status;
}

enum el_status el_zip_open(const struct el_file *f, struct el_zip *z, struct el_err *err)
{
    struct end end = {0};
    memset(z, 0, sizeof *z);
    z->file = f;
    el_strmap_init(&z->by_name);
    enum el_status status = read_end(f, &end, err);
    uint8_t *directory = NULL;
    if (status != EL_OK)
        goto out;
    directory = el_alloc((size_t)end.nbytes);
    /* A name is shorter than its entry, so one block as large as the directory holds all names with their ends. */
    z->names = el_alloc((size_t)end.nbytes + 1);
    z->entries = el_calloc_array((size_t)end.n_entries, sizeof *z->entries);
    z->directory = end.offset;
    if (!directory || !z->names || !z->entries) {
        status = el_fail(err, EL_E_MEMORY, "'%s': out of memory for a zip directory of %llu bytes", f->path,
                         (unsigned long long)end.nbytes);
        goto out;
    }
    EL_TRY_OUT(el_file_read(f, end.offset, directory, end.nbytes, err));
    struct el_cursor c = el_cursor_init(directory, (size_t)end.nbytes);
    char *names = z->names;
    while (z->n_entries < end.n_entries) {
        struct el_zip_entry *const e = &z->entries[z->n_entries];
        EL_TRY_OUT(read_entry(z, &c, names, e, err));
        names += strlen(e->name) + 1;
        z->n_entries++;
    }
    status = set_ends(z, err);
out:
    el_free(directory);
    if (status != EL_OK)
        el_zip_close(z);
    return status;
}

enum el_status el_zip_data(const struct el_zip *z, size_t entry, uint64_t *offset, struct el_err *err)
{
    const struct el_zip_entry *const e = &z->entries[entry];
    const char *const path = z->file->path;
    uint8_t bytes[EL_ZIP_LOCAL];
    if (e->method != 0 || e->encrypted)
        return el_fail(err, EL_E_UNSUPPORTED, "'%s': zip entry '%s' is %s, only stored entries are read", path, e->name,
                       e->encrypted ? "encrypted" : "compressed");
    if (e->header > z->directory || z->directory - e->header < EL_ZIP_LOCAL)
        return el_fail(err, EL_E_FORMAT, "'%s': zip entry '%s': begins at byte %llu, the directory at byte %llu", path, e->name,
                       (unsigned long long)e->header, (unsigned long long)z->directory);
    EL_TRY(el_file_read(z->file, e->header, bytes, sizeof bytes, err));
    struct el_cursor c = el_cursor_init(bytes, sizeof bytes);
    const uint32_t signature = el_cursor_u32(&c);
    (void)el_cursor_bytes(&c, 22);
    const uint64_t n_name = el_cursor_u16(&c), n_extra = el_cursor_u16(&c);
    if (signature != EL_ZIP_SIG_LOCAL)
        return el_fail(err, EL_E_FORMAT, "'%s': zip entry '%s': no entry begins at byte %llu", path, e->name,
                       (unsigned long long)e->header);
    *offset = e->header + EL_ZIP_LOCAL + n_name + n_extra;
    if (*offset > e->end || e->nbytes > e->end - *offset)
        return el_fail(err, EL_E_FORMAT, "'%s': zip entry '%s': %llu bytes at byte %llu, the %s begins at byte %llu", path,
                       e->name, (unsigned long long)e->nbytes, (unsigned long long)*offset,
                       e->end == z->directory ? "directory" : "next entry", (unsigned long long)e->end);
    return EL_OK;
}
