/*
 * A method takes one matrix (or a strip of its rows), statistics and options, and returns parts in an encoding, and its error. It
 * knows no file and no model. One file = one method = one line of quantizers.def.
 */
#ifndef EL_QUANT_METHOD_H
#define EL_QUANT_METHOD_H

#include "tensor/encoding.h"

struct el_quant_job {
    const float *x;          /* [n_rows, n_in] f32, all finite */
    const float *importance; /* [n_in] or NULL */
    uint64_t n_rows, n_in;
    struct el_enc enc;
    uint8_t *parts_out[EL_MAX_PARTS];
    float *scratch;          /* [n_in] f32 for the error measure */
    double sum_w2, sum_err2; /* results: sums in row order, float64 */
};

struct el_method {
    const char *name, *about;
    /* Strips of rows are independent: quantize may be called on any split, from several threads. */
    bool by_rows;
    bool (*supports)(const struct el_enc *enc);
    enum el_status (*quantize)(struct el_quant_job *job, struct el_err *err);
};

/* One object per line of quantizers.def, in quant/<id>.c. */
#define METHOD(id) extern const struct el_method el_method_##id;
#include "quant/quantizers.def"
#undef METHOD

const struct el_method *el_method_at(size_t i);
const struct el_method *el_method_by_name(const char *name);

/* For methods that are an encoder call: encodes job->x and fills the sums from what decodes. EL_E_USAGE: the row does not fit. */
enum el_status el_quant_encode(struct el_quant_job *job, enum el_effort effort, struct el_err *err);
/* A `supports` for methods that can fill any quantized encoding. */
bool el_quant_supports_all(const struct el_enc *enc);

#endif
