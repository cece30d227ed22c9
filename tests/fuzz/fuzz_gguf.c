/*
 * GGUF. Property 1: whatever the bytes, opening and reading them neither crashes nor reads outside. Property 2: what opens is
 * written by our sink (unless a name is longer than GGUF allows), opens again, and has the same metadata and tensors.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "formats/gguf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t nbytes);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t nbytes, size_t max_nbytes, unsigned seed);
size_t LLVMFuzzerMutate(uint8_t *data, size_t nbytes, size_t max_nbytes) __attribute__((weak));

static void require(int holds, const char *what, const struct el_err *err)
{
    if (holds)
        return;
    fprintf(stderr, "property violated: %s: %s\n", what, err->text);
    abort();
}

static const char *output_path(void)
{
    static char path[64];
    if (!path[0])
        snprintf(path, sizeof path, "%s/edgellm-fuzz-%ld.gguf", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp",
                 (long)getpid());
    return path;
}

/* All bytes of part p of tensor i: malloc'ed. */
static uint8_t *bytes_of(struct el_source *s, size_t i, uint32_t p)
{
    struct el_err err = {EL_OK, ""};
    const uint64_t n = s->tensors[i].parts[p].nbytes;
    uint8_t *const data = malloc((size_t)n + 1);
    require(data != NULL, "memory", &err);
    require(s->ops->read(s, &s->tensors[i], p, 0, data, n, &err) == EL_OK, "tensors can be read", &err);
    return data;
}

static void compare(struct el_source *a, struct el_source *b)
{
    const struct el_err none = {EL_OK, ""};
    require(el_meta_equal(a->meta, b->meta), "metadata is the same", &none);
    require(a->n_tensors == b->n_tensors, "as many tensors", &none);
    for (size_t i = 0; i < a->n_tensors; i++) {
        const struct el_tensor *const x = &a->tensors[i], *const y = &b->tensors[i];
        require(strcmp(x->name, y->name) == 0 && el_enc_equal(&x->enc, &y->enc) && x->n_dims == y->n_dims &&
                    memcmp(x->dims, y->dims, x->n_dims * sizeof x->dims[0]) == 0 && el_row_order_equal(&x->order, &y->order),
                "tensors are the same", &none);
        for (uint32_t p = 0; p < x->n_parts; p++) {
            uint8_t *const u = bytes_of(a, i, p), *const v = bytes_of(b, i, p);
            require(memcmp(u, v, (size_t)x->parts[p].nbytes) == 0, "data is the same", &none);
            free(u);
            free(v);
        }
    }
}

static void write_again(struct el_source *s)
{
    struct el_err err = {EL_OK, ""};
    struct el_sink *k = NULL;
    struct el_source *again = NULL;
    const struct el_sink_opts opts = {.format = "gguf", .overwrite = true};
    const struct el_source_opts strict = {.format = "gguf", .strict = true};
    require(el_sink_open(output_path(), &opts, &k, &err) == EL_OK, "a sink opens", &err);
    const enum el_status status = k->ops->begin(k, s->meta, s->tensors, s->n_tensors, &err);
    if (status == EL_E_UNSUPPORTED && strstr(err.text, "GGUF allows 1 to 63")) {
        el_sink_close(k);
        return;
    }
    require(status == EL_OK, "what was read can be written", &err);
    for (size_t i = 0; i < s->n_tensors; i++) {
        for (uint32_t p = 0; p < s->tensors[i].n_parts; p++) {
            uint8_t *const data = bytes_of(s, i, p);
            require(k->ops->write(k, i, p, 0, data, s->tensors[i].parts[p].nbytes, &err) == EL_OK, "tensors can be written",
                    &err);
            free(data);
        }
    }
    require(el_sink_commit(k, &err) == EL_OK, "what was written can be committed", &err);
    el_sink_close(k);
    require(el_source_open(output_path(), &strict, &again, &err) == EL_OK, "what was written opens, and strictly", &err);
    compare(s, again);
    el_source_close(again);
    unlink(output_path());
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t nbytes)
{
    struct el_err err = {EL_OK, ""};
    struct el_source *s = NULL;
    uint8_t *const exact = malloc(nbytes ? nbytes : 1);
    if (!exact)
        return 0;
    memcpy(exact, data, nbytes);
    const enum el_status status = el_gguf_open_memory(exact, nbytes, NULL, &s, &err);
    require((status == EL_OK) == (s != NULL), "a source or an error", &err);
    require(status == EL_OK || (err.code == status && err.text[0] == '\''), "the error names the file", &err);
    if (s)
        write_again(s);
    el_source_close(s);
    free(exact);
    return 0;
}

/* ---- mutations that know where numbers are ---- */

struct walk {
    const uint8_t *data;
    size_t n, at;
    struct {
        size_t at;
        uint8_t nbytes;
    } fields[256]; /* lengths, counts, types, dimensions, offsets */
    size_t n_fields;
};

static uint64_t number(struct walk *w, uint8_t nbytes)
{
    uint64_t v = 0;
    if (w->at > w->n || nbytes > w->n - w->at) {
        w->at = w->n;
        return 0;
    }
    for (uint8_t i = 0; i < nbytes; i++)
        v |= (uint64_t)w->data[w->at + i] << 8 * i;
    if (w->n_fields < sizeof w->fields / sizeof w->fields[0]) {
        w->fields[w->n_fields].at = w->at;
        w->fields[w->n_fields++].nbytes = nbytes;
    }
    w->at += nbytes;
    return v;
}

static void skip(struct walk *w, uint64_t nbytes)
{
    w->at = nbytes > w->n - w->at ? w->n : w->at + (size_t)nbytes;
}

static void walk_value(struct walk *w, uint64_t type, int depth)
{
    static const uint8_t sizes[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
    if (type == 8) {
        skip(w, number(w, 8));
    } else if (type == 9 && depth == 0) {
        const uint64_t elem = number(w, 4), n = number(w, 8);
        for (uint64_t i = 0; i < n && w->at < w->n; i++)
            walk_value(w, elem, 1);
    } else if (type < sizeof sizes && sizes[type]) {
        (void)number(w, sizes[type]);
    } else {
        w->at = w->n;
    }
}

static void walk_file(struct walk *w)
{
    skip(w, 4);
    (void)number(w, 4);
    const uint64_t n_tensors = number(w, 8), n_kv = number(w, 8);
    for (uint64_t i = 0; i < n_kv && w->at < w->n; i++) {
        skip(w, number(w, 8));
        walk_value(w, number(w, 4), 0);
    }
    for (uint64_t i = 0; i < n_tensors && w->at < w->n; i++) {
        skip(w, number(w, 8));
        const uint64_t n_dims = number(w, 4);
        for (uint64_t d = 0; d < n_dims && d < 8; d++)
            (void)number(w, 8);
        (void)number(w, 4);
        (void)number(w, 8);
    }
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t nbytes, size_t max_nbytes, unsigned seed)
{
    struct walk w = {.data = data, .n = nbytes};
    if (seed % 3 == 0 || nbytes < 24)
        return LLVMFuzzerMutate(data, nbytes, max_nbytes);
    walk_file(&w);
    if (w.n_fields == 0)
        return LLVMFuzzerMutate(data, nbytes, max_nbytes);
    const size_t f = seed / 3 % w.n_fields;
    uint64_t r = (uint64_t)seed * 0x9e3779b97f4a7c15u;
    r ^= r >> 29;
    uint64_t v = 0;
    for (uint8_t i = 0; i < w.fields[f].nbytes; i++)
        v |= (uint64_t)data[w.fields[f].at + i] << 8 * i;
    switch (r % 8) {
    case 0: v++; break;
    case 1: v--; break;
    case 2: v = r >> 8 & 63; break;
    case 3: v = UINT64_C(1) << (r >> 8 & 63); break;
    case 4: v = UINT64_MAX >> (r >> 8 & 63); break;
    case 5: v = nbytes - w.fields[f].at - (r >> 8 & 15); break; /* about as many as are left */
    case 6: v = (v + 31) / 32 * 32; break;
    default: v ^= UINT64_C(1) << (r >> 8 & 63); break;
    }
    for (uint8_t i = 0; i < w.fields[f].nbytes; i++)
        data[w.fields[f].at + i] = (uint8_t)(v >> 8 * i);
    return nbytes;
}
