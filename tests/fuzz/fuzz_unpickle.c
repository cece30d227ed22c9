/*
 * A pickle. Property 1: no crash, no read outside. Property 2: what is accepted is whole: every index names something that is
 * there, chains of items end, and every tensor lies in its storage. Property 3: what is refused is bad input, and the error says
 * at which byte.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/pickle.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t nbytes);

static void require(int holds, const char *what)
{
    if (holds)
        return;
    fprintf(stderr, "property violated: %s\n", what);
    abort();
}

static void check_value(const struct el_pickle *p, const struct el_pickle_value *v, const uint8_t *data, size_t nbytes)
{
    const char *const begin = (const char *)data;
    uint32_t n = 0;
    switch (v->kind) {
    case EL_PICKLE_TEXT:
    case EL_PICKLE_BIG_INT:
        require(v->text >= begin && v->n <= nbytes - (size_t)(v->text - begin), "texts lie in the pickle");
        break;
    case EL_PICKLE_STORAGE: require((size_t)v->i < p->n_storages, "the storage is there"); break;
    case EL_PICKLE_TENSOR: require((size_t)v->i < p->n_tensors, "the tensor is there"); break;
    case EL_PICKLE_TUPLE:
    case EL_PICKLE_LIST:
    case EL_PICKLE_DICT:
        for (uint32_t i = v->first; i != EL_PICKLE_END; i = p->items[i].next) {
            const struct el_pickle_item *const item = &p->items[i];
            require(i < p->n_items && item->value < p->n_values, "the item is there");
            require(v->kind == EL_PICKLE_DICT ? item->key < p->n_values : item->key == EL_PICKLE_END,
                    "keys of dictionaries only");
            require(++n <= v->n, "a chain has as many items as it says");
        }
        require(n == v->n, "all items of a chain");
        break;
    default: break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t nbytes)
{
    struct el_err err = {.code = EL_OK};
    struct el_pickle p;
    size_t n_used = 0;
    uint8_t *const copy = malloc(nbytes ? nbytes : 1); /* of exact size: a read past the end is seen */
    require(copy != NULL, "memory");
    memcpy(copy, data, nbytes);
    const enum el_status status = el_pickle_parse(copy, nbytes, &p, &n_used, &err);
    require(status == EL_OK || status == EL_E_FORMAT || status == EL_E_UNSUPPORTED, "refused pickles are bad input");
    require(status == EL_OK || strstr(err.text, "at byte "), "errors have a place");
    require(n_used <= nbytes, "no more is used than is there");
    require(status == EL_OK ? p.root < p.n_values : p.n_values == 0, "there is a root, or nothing");
    for (size_t i = 0; i < p.n_values; i++)
        check_value(&p, &p.values[i], copy, nbytes);
    for (size_t i = 0; i < p.n_tensors; i++) {
        const struct el_pickle_tensor *const t = &p.tensors[i];
        require(t->storage < p.n_storages && t->enc.e && t->n_dims <= EL_MAX_DIMS, "tensors are whole");
        uint64_t last = t->offset;
        int empty = 0;
        for (uint32_t d = 0; d < t->n_dims; d++) {
            empty |= t->dims[d] == 0;
            last += t->dims[d] ? (t->dims[d] - 1) * t->strides[d] : 0;
        }
        require(empty || last < p.storages[t->storage].n_elems, "tensors lie in their storages");
    }
    el_pickle_release(&p);
    free(copy);
    return 0;
}
