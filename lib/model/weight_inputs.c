#include "model/weight_inputs.h"

#include <stdio.h>
#include <string.h>

const char *const el_input_suffix[EL_INPUT_TENSORS] = {".input_scale", ".input_signs"};

const struct el_tensor_rule *el_input_rule(const struct el_arch *arch, const char *name, uint32_t *layer,
                                           enum el_input_tensor *which)
{
    char matrix[128];
    const size_t n = strlen(name);
    for (int i = 0; i < EL_INPUT_TENSORS; i++) {
        const size_t n_suffix = strlen(el_input_suffix[i]);
        if (n <= n_suffix || n - n_suffix + sizeof ".weight" > sizeof matrix ||
            strcmp(name + n - n_suffix, el_input_suffix[i]) != 0)
            continue;
        (void)snprintf(matrix, sizeof matrix, "%.*s.weight", (int)(n - n_suffix), name);
        const struct el_tensor_rule *const rule = el_arch_rule(arch, matrix, layer);
        *which = (enum el_input_tensor)i;
        /* What is looked up, or added, reads no rows. */
        return rule && rule->dims[1] != EL_D_NONE && !(rule->flags & EL_TF_VECTORS) && rule->role != EL_R_TOKEN_EMBD &&
                       rule->role != EL_R_POS_EMBD
                   ? rule
                   : NULL;
    }
    return NULL;
}

static bool same(const void *a, const void *b, size_t nbytes)
{
    return a == b || (a && b && memcmp(a, b, nbytes) == 0);
}

bool el_input_equal(const struct el_weight_input *a, const struct el_weight_input *b, uint64_t n_in)
{
    const size_t n = (size_t)n_in;
    return same(a->perm, b->perm, n * sizeof *a->perm) && same(a->scale, b->scale, n * sizeof *a->scale) &&
           a->rotation.n == b->rotation.n && same(a->rotation.sign_f, b->rotation.sign_f, n * sizeof(float));
}

void el_input_apply(const struct el_weight_input *input, const float *x, uint64_t n_in, float *y, float *scratch)
{
    for (uint64_t k = 0; input->perm && k < n_in; k++)
        y[k] = x[input->perm[k]];
    if (input->perm)
        return;
    for (uint64_t k = 0; k < n_in; k++)
        y[k] = input->scale ? x[k] * input->scale[k] : x[k];
    if (input->rotation.n)
        el_rotate(&input->rotation, y, scratch);
}
