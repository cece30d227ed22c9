/*
 * The search of each encoding with the importance of the columns, E x_j^2: llama.cpp's importance matrix. The squared error of
 * the outputs if the inputs were uncorrelated.
 */
#include "quant/method.h"

static enum el_status quantize(struct el_quant_job *job, struct el_err *err)
{
    return el_quant_encode(job, EL_ENCODE_SEARCH, err);
}

const struct el_method el_method_imatrix = {
    .name = "imatrix",
    .about = "best scales by search, columns weighted by their inputs (needs statistics)",
    .by_rows = true,
    .needs_importance = true,
    .supports = el_quant_supports_all,
    .quantize = quantize,
};
