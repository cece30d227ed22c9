/* The default: scales and zero points by the search of each encoding, which minimises the squared error of the weights. */
#include "quant/method.h"

static enum el_status quantize(struct el_quant_job *job, struct el_err *err)
{
    return el_quant_encode(job, EL_ENCODE_SEARCH, err);
}

const struct el_method el_method_search = {
    .name = "search",
    .about = "best scales by weighted search (default)",
    .by_rows = true,
    .supports = el_quant_supports_all,
    .quantize = quantize,
};
