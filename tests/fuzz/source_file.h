/*
 * For fuzz targets of formats that are one file: opens the bytes as a file in memory. Property 1: no crash. Property 2: every
 * tensor of an accepted file lies in the file: its first and last bytes can be read, and its rows one by one are those read
 * together.
 */
#ifndef EL_TESTS_FUZZ_SOURCE_FILE_H
#define EL_TESTS_FUZZ_SOURCE_FILE_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tensor/source.h"

static void require(int holds, const char *what, const struct el_err *err)
{
    if (holds)
        return;
    fprintf(stderr, "property violated: %s: %s\n", what, err->text);
    abort();
}

/* Small tensors whole, and again in pieces that cut rows. */
static void read_twice(struct el_source *s, const struct el_tensor *t, uint64_t n)
{
    struct el_err err = {.code = EL_OK};
    uint8_t whole[512], pieces[512];
    require(s->ops->read(s, t, 0, 0, whole, n, &err) == EL_OK, "a small tensor can be read", &err);
    for (uint64_t at = 0; at < n; at += 5) {
        const uint64_t k = n - at < 5 ? n - at : 5;
        require(s->ops->read(s, t, 0, at, pieces + at, k, &err) == EL_OK, "a piece can be read", &err);
    }
    require(memcmp(whole, pieces, n) == 0, "pieces are the whole", &err);
}

static int fuzz_source_file(const char *format, const uint8_t *data, size_t nbytes)
{
    struct el_err err = {.code = EL_OK};
    char path[64];
    const int fd = memfd_create(format, MFD_CLOEXEC);
    require(fd >= 0 && write(fd, data, nbytes) == (ssize_t)nbytes, "a file in memory", &err);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    struct el_source *s;
    const enum el_status status = el_source_open(path, &(struct el_source_opts){.format = format}, &s, &err);
    require(status == EL_OK || status == EL_E_FORMAT || status == EL_E_UNSUPPORTED, "refused files are bad input", &err);
    for (size_t i = 0; s && i < s->n_tensors && i < 64; i++) {
        const uint64_t n = el_tensor_nbytes(&s->tensors[i]);
        uint8_t byte;
        if (n == 0)
            continue;
        require(s->ops->read(s, &s->tensors[i], 0, 0, &byte, 1, &err) == EL_OK || n > 1 << 20, "the first byte can be read",
                &err);
        require(s->ops->read(s, &s->tensors[i], 0, n - 1, &byte, 1, &err) == EL_OK || n > 1 << 20, "the last byte can be read",
                &err);
        if (n <= 512)
            read_twice(s, &s->tensors[i], n);
    }
    el_source_close(s);
    close(fd);
    return 0;
}

#endif
