/*
 * A method takes one matrix (or a strip of its rows), statistics and options, and returns parts in an encoding, and its error. It
 * knows no file and no model. One file = one method = one line of quantizers.def.
 *
 * Rows are independent given what is known of the columns, in every method here. So a method that needs more than a row gets the
 * columns once (`open`: it reads the Hessian, factors it, with all threads), and then strips of rows, from any thread.
 */
#ifndef EL_QUANT_METHOD_H
#define EL_QUANT_METHOD_H

#include "base/threads.h"
#include "edgellm.h"
#include "tensor/encoding.h"

struct el_solve_kept;

/* What is known of the columns of one matrix, or of one expert's: the inputs x that it saw. */
struct el_quant_columns {
    struct el_enc enc;
    uint64_t n_in;
    double n_tokens;
    const float *importance; /* [n_in] means of x_j^2, or NULL */
    /* out [n_rows, n_in] = rows of sum x x^T, and of sum (y - x) x^T (see quant/stats.h). NULL: not known. */
    enum el_status (*hessian)(void *user, uint64_t row0, uint64_t n_rows, double *out, struct el_err *err);
    enum el_status (*cross)(void *user, uint64_t row0, uint64_t n_rows, double *out, struct el_err *err);
    void *user;
    const struct el_method_opts *opts;
    struct el_pool *pool;
    struct el_solve_kept *kept; /* NULL, or factors of the same input that were made before (quant/solve.h) */
    double damping; /* result: what was added to the Hessian, as part of its mean diagonal */
};

struct el_quant_job {
    const float *x;          /* [n_rows, n_in] f32, all finite */
    const float *importance; /* [n_in] or NULL */
    uint64_t n_rows, n_in;
    struct el_enc enc;
    uint8_t *parts_out[EL_MAX_PARTS];
    float *scratch;          /* [n_in] f32 for the error measure */
    const void *shared;      /* what the method's open made, or NULL */
    const struct el_method_opts *opts;
    double sum_w2, sum_err2; /* results: sums in row order, float64 */
    double sum_out2;         /* mean over tokens of the squared error of the outputs, summed over rows: tr(dW H dW^T) / n; NaN */
    double sum_y2;           /* the same of the outputs themselves, tr(W H W^T) / n; NaN */
};

struct el_method {
    const char *name, *about;
    /* Strips of rows are independent: quantize may be called on any split, from several threads. */
    bool by_rows;
    bool needs_hessian, needs_importance; /* without which the plan takes another method */
    uint32_t min_rows;                    /* strips are at least so high, for speed; 0: no matter */
    bool (*supports)(const struct el_enc *enc);
    /* NULL, or: *shared for all strips of a matrix (of an expert's part of it). May be called again for the next one. */
    enum el_status (*open)(struct el_quant_columns *columns, void **shared, struct el_err *err);
    void (*close)(void *shared);
    enum el_status (*quantize)(struct el_quant_job *job, struct el_err *err);
    /*
     * Bytes on the heap at the most, for a budget: while open runs and of what it leaves (cross: its columns have one), and
     * while quantize runs. NULL: none worth counting.
     */
    uint64_t (*open_nbytes)(const struct el_enc *enc, uint64_t n_in, bool cross, unsigned n_threads);
    uint64_t (*strip_nbytes)(const struct el_enc *enc, uint64_t n_rows, uint64_t n_in);
};

/* One object per line of quantizers.def, in quant/<id>.c. */
#define METHOD(id) extern const struct el_method el_method_##id;
#include "quant/quantizers.def"
#undef METHOD

const struct el_method *el_method_at(size_t i);
const struct el_method *el_method_by_name(const char *name);

/* For methods that are an encoder call: encodes job->x and fills the sums from what decodes. EL_E_USAGE: the row does not fit. */
enum el_status el_quant_encode(struct el_quant_job *job, enum el_effort effort, struct el_err *err);
/* A `supports` for methods that can fill any quantized encoding, and for those that need a grid. */
bool el_quant_supports_all(const struct el_enc *enc);
bool el_quant_supports_grids(const struct el_enc *enc);
/* Grids on which every column has a code of its own. */
bool el_quant_supports_scalars(const struct el_enc *enc);
/* Fills the sums of a job whose parts are done, from what decodes; sum_out2 stays. */
void el_quant_measure(struct el_quant_job *job);

#endif
