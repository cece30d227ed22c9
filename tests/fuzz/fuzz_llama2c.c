/*
 * A llama2.c checkpoint, through a file in memory. Property 1: no crash. Property 2: every tensor of an accepted file lies in the
 * file: its first and last bytes can be read.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tensor/source.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t nbytes);

static void require(int holds, const char *what, const struct el_err *err)
{
    if (holds)
        return;
    fprintf(stderr, "property violated: %s: %s\n", what, err->text);
    abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t nbytes)
{
    struct el_err err = {EL_OK, ""};
    char path[64];
    const int fd = memfd_create("llama2c", MFD_CLOEXEC);
    require(fd >= 0 && write(fd, data, nbytes) == (ssize_t)nbytes, "a file in memory", &err);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    struct el_source *s;
    const enum el_status status = el_source_open(path, &(struct el_source_opts){.format = "llama2c"}, &s, &err);
    require(status == EL_OK || status == EL_E_FORMAT || status == EL_E_UNSUPPORTED, "refused files are bad input", &err);
    for (size_t i = 0; s && i < s->n_tensors; i++) {
        const uint64_t n = el_tensor_nbytes(&s->tensors[i]);
        uint8_t byte;
        require(n > 0, "tensors have bytes", &err);
        require(s->ops->read(s, &s->tensors[i], 0, 0, &byte, 1, &err) == EL_OK, "the first byte can be read", &err);
        require(s->ops->read(s, &s->tensors[i], 0, n - 1, &byte, 1, &err) == EL_OK, "the last byte can be read", &err);
    }
    el_source_close(s);
    close(fd);
    return 0;
}
