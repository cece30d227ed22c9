/* Round to nearest: scales from the extremes of each block, no search. The baseline of every paper, and quick. */
#include "quant/method.h"

static enum el_status quantize(struct el_quant_job *job, struct el_err *err)
{
    return el_quant_encode(job, EL_ENCODE_NEAREST, err);
}

const struct el_method el_method_rtn = {
    .name = "rtn",
    .about = "round to nearest, scales from the extremes",
    .by_rows = true,
    .supports = el_quant_supports_all,
    .quantize = quantize,
};
