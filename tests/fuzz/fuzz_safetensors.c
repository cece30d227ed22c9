/*
 * A safetensors file: 8 bytes of length, header, data. Property 1: no crash, no read outside. Property 2: the tensors of an
 * accepted header cover the data exactly. Property 3: the header written again from them is accepted and says the same.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cursor.h"
#include "formats/safetensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t nbytes);

static void require(int holds, const char *what)
{
    if (holds)
        return;
    fprintf(stderr, "property violated: %s\n", what);
    abort();
}

static void write_again(const struct el_st_header *h, uint64_t data_nbytes, uint64_t offset)
{
    struct el_buf b;
    struct el_st_header again;
    el_buf_init(&b);
    el_st_begin_header(&b);
    for (size_t i = 0; i < h->n_tensors; i++) {
        const struct el_st_tensor *const t = &h->tensors[i];
        el_st_add_tensor(&b, t->name, el_st_dtype_of_enc(&t->enc), t->n_dims, t->dims, t->offset - offset,
                         t->offset - offset + t->nbytes);
    }
    el_buf_add_byte(&b, '}');
    require(el_st_parse(b.data, b.nbytes, offset, data_nbytes, &again, NULL) == EL_OK, "what is written can be read");
    require(again.n_tensors == h->n_tensors, "as many tensors");
    for (size_t i = 0; i < h->n_tensors; i++) {
        const struct el_st_tensor *const x = &h->tensors[i], *const y = &again.tensors[i];
        require(strcmp(x->name, y->name) == 0 && el_enc_equal(&x->enc, &y->enc) && x->n_dims == y->n_dims &&
                    x->offset == y->offset && x->nbytes == y->nbytes && memcmp(x->dims, y->dims, sizeof x->dims) == 0,
                "tensors are the same");
    }
    el_st_header_release(&again);
    el_buf_release(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t nbytes)
{
    struct el_cursor c = el_cursor_init(data, nbytes);
    uint64_t n = el_cursor_u64(&c);
    if (c.failed)
        return 0;
    if (n > el_cursor_left(&c))
        n = el_cursor_left(&c); /* let the rest be fuzzed when only the length is wrong */
    const uint64_t offset = 8 + n, data_nbytes = nbytes - offset;
    char *const json = malloc(n ? n : 1); /* of exact size: a read past the end is seen */
    require(json != NULL, "memory");
    memcpy(json, data + 8, n);
    struct el_st_header h;
    struct el_err err = {EL_OK, ""};
    const enum el_status status = el_st_parse(json, n, offset, data_nbytes, &h, &err);
    free(json);
    require(status == EL_OK || status == EL_E_FORMAT || status == EL_E_UNSUPPORTED, "refused files are bad input");
    uint64_t end = offset;
    for (size_t i = 0; i < h.n_tensors; i++) {
        require(h.tensors[i].offset == end, "no hole, no overlap");
        end += h.tensors[i].nbytes;
    }
    require(status != EL_OK || end == nbytes, "all data belongs to tensors");
    if (status == EL_OK)
        write_again(&h, data_nbytes, offset);
    el_st_header_release(&h);
    return 0;
}
