/* SHA-256 (FIPS 180-4) by OpenSSL's libcrypto: the one door to it. */
#ifndef EL_BASE_SHA256_H
#define EL_BASE_SHA256_H

#include "base/err.h"

struct el_sha256;
struct el_sha256 *el_sha256_open(void); /* NULL when out of memory */
void el_sha256_add(struct el_sha256 *s, const void *data, size_t nbytes);
/* Finishes, frees, writes 64 hex digits and a NUL. */
void el_sha256_close(struct el_sha256 *s, char hex[65]);
/* The SHA-256 of a file's bytes. EL_E_IO, EL_E_MEMORY, EL_E_INTERRUPTED; then hex is "". */
enum el_status el_sha256_file(const char *path, char hex[65], struct el_err *err);
/*
 * The SHA-256 of the lines "HEX  NAME\n" of those files of a folder whose names are wanted, in byte order of their names. Folders
 * in it do not count.
 */
enum el_status el_sha256_folder(const char *path, bool (*wanted)(const char *name), char hex[65], struct el_err *err);
/* Version of libcrypto, static text. */
const char *el_sha256_library(void);

#endif
