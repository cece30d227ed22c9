/*
 * The matrices of a model and what they read: those that read the same rows (q, k and v; gate and up) have one input, so that its
 * statistics are made and stored once. Taken from the architecture's table alone: nothing is read or run.
 */
#ifndef EL_QUANT_INPUTS_H
#define EL_QUANT_INPUTS_H

#include "model/arch.h"

enum { EL_INPUTS_HEAD = -1 }; /* the "layer" of what stands behind the last one */

struct el_input {
    enum el_role lead; /* the role of the matrix that stands for the input: the first of those that read it */
    const char *name;  /* of that matrix, borrowed from the source */
    int32_t layer;     /* or EL_INPUTS_HEAD */
    uint32_t n_experts;
    uint64_t n_in;
    bool hessian; /* worth one: not what feeds a router, which is never quantized */
    bool cross;   /* the same rows in two models: no expert's, and of a layer */
};
struct el_input_of {
    const char *name; /* of a matrix, borrowed from the source */
    size_t input;
};
struct el_inputs {
    struct el_input *v; /* [n], layer by layer, the head last */
    size_t n;
    struct el_input_of *of; /* [n_of], in the order of their inputs */
    size_t n_of;
};

/* head: the output matrix too. EL_E_MEMORY. */
enum el_status el_inputs_make(struct el_inputs *inputs, const struct el_arch *arch, const struct el_hparams *hp,
                              const struct el_source *source, bool head, struct el_err *err);
void el_inputs_release(struct el_inputs *inputs);
/* Inputs begin .. *end are a layer's (or the head's). */
size_t el_inputs_of_layer(const struct el_inputs *inputs, int32_t layer, size_t *end);

#endif
