/*
 * What is done to the rows that a matrix reads before they are multiplied: things that no matrix before it takes along. They are
 * the same for all rows, and made once for all matrices of a layer that say the same.
 *
 * In a file: an order of columns is a part of the matrix' encoding. NAME.input_scale and NAME.input_signs, F32 [n_in] beside
 * NAME.weight, are ours: x is multiplied by the first, then rotated by the second (kernels/rotation.h, first form). Other
 * programs refuse a model that has tensors they do not know, as they should: they would compute something else.
 */
#ifndef EL_MODEL_WEIGHT_INPUTS_H
#define EL_MODEL_WEIGHT_INPUTS_H

#include "kernels/rotation.h"
#include "model/arch.h"

struct el_weight_input {
    const uint32_t *perm;        /* NULL, or [n_in]: column k is column perm[k] of what was there; alone */
    const float *scale;          /* NULL, or [n_in] */
    struct el_rotation rotation; /* n 0: none */
};

enum el_input_tensor { EL_INPUT_SCALE, EL_INPUT_SIGNS, EL_INPUT_TENSORS };
/* ".input_scale", ".input_signs" */
extern const char *const el_input_suffix[EL_INPUT_TENSORS];

/* The rule of the matrix that a tensor of these names is about, its layer, and which of them it is; NULL: no such name. */
const struct el_tensor_rule *el_input_rule(const struct el_arch *arch, const char *name, uint32_t *layer,
                                           enum el_input_tensor *which);

bool el_input_equal(const struct el_weight_input *a, const struct el_weight_input *b, uint64_t n_in);
/* y [n_in] = x as the matrix reads it; x may be y but where there is an order. scratch [n_in], for a rotation. */
void el_input_apply(const struct el_weight_input *input, const float *x, uint64_t n_in, float *y, float *scratch);

#endif
