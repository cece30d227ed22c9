#include "cmd/totals.h"

#include <string.h>

static void add_to(struct total *t, uint64_t n_elems, uint64_t nbytes)
{
    t->n_tensors++;
    t->n_elems += n_elems;
    t->nbytes += nbytes;
}

void totals_add(struct totals *t, const char *encoding, uint64_t n_elems, uint64_t nbytes)
{
    add_to(&t->all, n_elems, nbytes);
    size_t i = 0;
    while (i < t->n && strcmp(t->of[i].encoding, encoding) != 0)
        i++;
    if (i == TOTALS_MAX)
        return;
    if (i == t->n)
        t->of[t->n++] = (struct total){.encoding = encoding};
    add_to(&t->of[i], n_elems, nbytes);
}

struct totals totals_of_source(const struct el_source *source)
{
    struct totals t = {.n = 0};
    for (size_t i = 0; i < el_source_n_tensors(source); i++) {
        const struct el_tensor_info info = el_source_tensor(source, i);
        totals_add(&t, info.encoding, info.n_elems, info.nbytes);
    }
    return t;
}

const char *totals_main_encoding(const struct totals *t)
{
    const struct total *best = NULL;
    for (size_t i = 0; i < t->n; i++)
        if (!best || t->of[i].n_elems > best->n_elems)
            best = &t->of[i];
    return best ? best->encoding : "none";
}

double totals_bpw(uint64_t n_elems, uint64_t nbytes)
{
    return n_elems ? 8.0 * (double)nbytes / (double)n_elems : 0.0;
}
