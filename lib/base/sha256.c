#include "base/sha256.h"

#include <dirent.h>
#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/file.h"
#include "base/mem.h"

enum { EL_HASH_STRIP = 1 << 20 };

struct el_sha256 {
    EVP_MD_CTX *ctx;
};

const char *el_sha256_library(void)
{
    return OpenSSL_version(OPENSSL_VERSION_STRING);
}

static void to_hex(const uint8_t digest[32], char hex[65])
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < 32; i++) {
        hex[2 * i] = digits[digest[i] >> 4];
        hex[2 * i + 1] = digits[digest[i] & 15];
    }
    hex[64] = '\0';
}

struct el_sha256 *el_sha256_open(void)
{
    struct el_sha256 *const s = el_calloc_array(1, sizeof *s);
    if (!s)
        return NULL;
    s->ctx = EVP_MD_CTX_new();
    if (!s->ctx || EVP_DigestInit_ex(s->ctx, EVP_sha256(), NULL) != 1) {
        EVP_MD_CTX_free(s->ctx);
        el_free(s);
        return NULL;
    }
    return s;
}

void el_sha256_add(struct el_sha256 *s, const void *data, size_t nbytes)
{
    (void)EVP_DigestUpdate(s->ctx, data, nbytes);
}

void el_sha256_close(struct el_sha256 *s, char hex[65])
{
    uint8_t digest[32] = {0};
    unsigned n = 0;
    (void)EVP_DigestFinal_ex(s->ctx, digest, &n);
    EVP_MD_CTX_free(s->ctx);
    el_free(s);
    to_hex(digest, hex);
}

void el_sha256_bytes(const void *data, size_t nbytes, char hex[65])
{
    uint8_t digest[32] = {0};
    (void)SHA256(data, nbytes, digest);
    to_hex(digest, hex);
}

enum el_status el_sha256_file(const char *path, char hex[65], struct el_err *err)
{
    hex[0] = '\0';
    struct el_file f;
    EL_TRY(el_file_open(&f, path, err));
    enum el_status status = EL_OK;
    struct el_sha256 *s = el_sha256_open();
    uint8_t *const strip = el_alloc(EL_HASH_STRIP);
    if (!s || !strip) {
        status = el_fail(err, EL_E_MEMORY, "'%s': out of memory for the hash", path);
        goto out;
    }
    for (uint64_t at = 0; at < f.nbytes;) {
        if (el_interrupted()) {
            status = el_fail(err, EL_E_INTERRUPTED, "'%s': interrupted while hashing", path);
            goto out;
        }
        const uint64_t n = f.nbytes - at < EL_HASH_STRIP ? f.nbytes - at : EL_HASH_STRIP;
        EL_TRY_OUT(el_file_read(&f, at, strip, n, err));
        el_sha256_add(s, strip, n);
        at += n;
    }
    el_sha256_close(s, hex);
    s = NULL;
out:
    if (s) {
        char unused[65];
        el_sha256_close(s, unused);
    }
    el_free(strip);
    el_file_close(&f);
    return status;
}

static int by_name(const void *a, const void *b)
{
    const char *const *const x = a, *const *const y = b;
    return strcmp(*x, *y);
}

/* Wanted names of the plain files in a folder (links are followed; folders inside it are left out), unsorted. */
static enum el_status list_files(const char *path, bool (*wanted)(const char *name), char ***names, size_t *n_names,
                                 struct el_err *err)
{
    DIR *const dir = opendir(path);
    if (!dir)
        return el_fail(err, EL_E_IO, "'%s': cannot list the folder: %s", path, el_errno_text(errno));
    enum el_status status = EL_OK;
    for (struct dirent *e; (e = readdir(dir));) {
        struct stat st;
        if (!wanted(e->d_name) || fstatat(dirfd(dir), e->d_name, &st, 0) != 0 || !S_ISREG(st.st_mode))
            continue;
        char **const grown = el_realloc_array(*names, *n_names + 1, sizeof **names);
        if (grown)
            *names = grown;
        char *const name = grown ? el_strdup(e->d_name) : NULL;
        if (!name) {
            status = el_fail(err, EL_E_MEMORY, "'%s': out of memory for the list of files", path);
            break;
        }
        (*names)[(*n_names)++] = name;
    }
    closedir(dir);
    return status;
}

enum el_status el_sha256_folder(const char *path, bool (*wanted)(const char *name), char hex[65], struct el_err *err)
{
    hex[0] = '\0';
    char **names = NULL;
    size_t n_names = 0;
    struct el_buf list, child;
    el_buf_init(&list);
    el_buf_init(&child);
    enum el_status status;
    EL_TRY_OUT(list_files(path, wanted, &names, &n_names, err));
    if (n_names)
        qsort(names, n_names, sizeof *names, by_name);
    for (size_t i = 0; i < n_names; i++) {
        el_buf_reset(&child);
        el_buf_addf(&child, "%s/%s", path, names[i]);
        char one[65];
        if (!child.failed)
            EL_TRY_OUT(el_sha256_file(child.data, one, err));
        el_buf_addf(&list, "%s  %s\n", one, names[i]);
        if (child.failed || list.failed) {
            status = el_fail(err, EL_E_MEMORY, "'%s': out of memory for the hash", path);
            goto out;
        }
    }
    el_sha256_bytes(list.data, list.nbytes, hex);
out:
    for (size_t i = 0; i < n_names; i++)
        el_free(names[i]);
    el_free(names);
    el_buf_release(&list);
    el_buf_release(&child);
    return status;
}
