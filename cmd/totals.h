/* Sums over a model's tensors, per encoding. */
#ifndef CMD_TOTALS_H
#define CMD_TOTALS_H

#include "edgellm.h"

enum { TOTALS_MAX = 64 };

struct total {
    const char *encoding; /* borrowed from the source or plan */
    uint64_t n_tensors, n_elems, nbytes;
};
struct totals {
    struct total of[TOTALS_MAX]; /* by first appearance; what does not fit is only in `all` */
    size_t n;
    struct total all;
};

void totals_add(struct totals *t, const char *encoding, uint64_t n_elems, uint64_t nbytes);
struct totals totals_of_source(const struct el_source *source);
/* Encoding that holds most elements; "none" without tensors. */
const char *totals_main_encoding(const struct totals *t);
/* Bits per weight; 0 without weights. */
double totals_bpw(uint64_t n_elems, uint64_t nbytes);

#endif
