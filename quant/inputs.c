#include "quant/inputs.h"

#include "base/mem.h"

/* Roles that read the same rows, the one that leads first; each list ends with EL_R_COUNT. (model/layers.c) */
static const enum el_role readers[][4] = {
    {EL_R_ATTN_Q, EL_R_ATTN_K, EL_R_ATTN_V, EL_R_COUNT},
    {EL_R_ATTN_QKV, EL_R_COUNT},
    {EL_R_ATTN_OUT, EL_R_COUNT},
    {EL_R_FFN_GATE, EL_R_FFN_UP, EL_R_COUNT},
    {EL_R_FFN_GATE_UP, EL_R_COUNT},
    {EL_R_FFN_DOWN, EL_R_COUNT},
    {EL_R_FFN_ROUTER, EL_R_COUNT},
    {EL_R_FFN_GATE_EXPS, EL_R_FFN_UP_EXPS, EL_R_COUNT},
    {EL_R_FFN_DOWN_EXPS, EL_R_COUNT},
    {EL_R_FFN_GATE_SHEXP, EL_R_FFN_UP_SHEXP, EL_R_FFN_ROUTER_SHEXP, EL_R_COUNT},
    {EL_R_FFN_DOWN_SHEXP, EL_R_COUNT},
};
static const enum el_role head_readers[][4] = {{EL_R_OUTPUT_PROJ, EL_R_COUNT}, {EL_R_OUTPUT, EL_R_COUNT}};
enum { N_READERS = sizeof readers / sizeof *readers, N_HEAD = sizeof head_readers / sizeof *head_readers, PER_INPUT = 3 };

static void add(struct el_inputs *inputs, const struct el_arch *arch, const struct el_hparams *hp, int32_t layer,
                const enum el_role list[4], const char *const *names)
{
    struct el_input *input = NULL;
    for (size_t i = 0; list[i] != EL_R_COUNT; i++) {
        if (!names[list[i]])
            continue;
        if (!input) {
            const struct el_tensor_rule *const rule = el_arch_rule_of_role(arch, list[i]);
            const bool stack = rule->dims[2] != EL_D_NONE;
            input = &inputs->v[inputs->n++];
            *input = (struct el_input){
                .lead = list[i],
                .name = names[list[i]],
                .layer = layer,
                .n_experts = stack ? (uint32_t)el_dim_size(rule->dims[0], hp) : 1,
                .n_in = el_dim_size(rule->dims[stack ? 2 : 1], hp),
                .hessian = list[i] != EL_R_FFN_ROUTER,
                .cross = list[i] != EL_R_FFN_ROUTER && !stack && layer != EL_INPUTS_HEAD,
            };
        }
        inputs->of[inputs->n_of++] = (struct el_input_of){names[list[i]], inputs->n - 1};
    }
}

enum el_status el_inputs_make(struct el_inputs *inputs, const struct el_arch *arch, const struct el_hparams *hp,
                              const struct el_source *source, bool head, struct el_err *err)
{
    const size_t n_rows = (size_t)hp->n_layers + 1, most = (size_t)hp->n_layers * N_READERS + N_HEAD;
    const char **const names = el_calloc_array(n_rows * EL_R_COUNT, sizeof *names);
    *inputs = (struct el_inputs){.v = el_alloc_array(most, sizeof *inputs->v),
                                 .of = el_alloc_array(most * PER_INPUT, sizeof *inputs->of)};
    if (!names || !inputs->v || !inputs->of) {
        el_free(names);
        el_inputs_release(inputs);
        return el_fail(err, EL_E_MEMORY, "out of memory for the inputs of %u layers", hp->n_layers);
    }
    for (size_t i = 0; i < source->n_tensors; i++) {
        uint32_t layer = 0;
        const struct el_tensor_rule *const rule = el_arch_rule(arch, source->tensors[i].name, &layer);
        if (rule && layer < hp->n_layers)
            names[(rule->flags & EL_TF_LAYER ? layer : hp->n_layers) * EL_R_COUNT + rule->role] = source->tensors[i].name;
    }
    for (uint32_t l = 0; l < hp->n_layers; l++)
        for (size_t r = 0; r < N_READERS; r++)
            add(inputs, arch, hp, (int32_t)l, readers[r], names + (size_t)l * EL_R_COUNT);
    const char **const global = names + (size_t)hp->n_layers * EL_R_COUNT;
    /* A tied output is the embedding. */
    const char *const tied = global[EL_R_OUTPUT] ? NULL : global[EL_R_TOKEN_EMBD];
    global[EL_R_OUTPUT] = tied ? tied : global[EL_R_OUTPUT];
    for (size_t r = 0; head && r < N_HEAD; r++)
        add(inputs, arch, hp, EL_INPUTS_HEAD, head_readers[r], global);
    el_free(names);
    return EL_OK;
}

void el_inputs_release(struct el_inputs *inputs)
{
    el_free(inputs->v);
    el_free(inputs->of);
    *inputs = (struct el_inputs){.n = 0};
}

size_t el_inputs_of_layer(const struct el_inputs *inputs, int32_t layer, size_t *end)
{
    size_t begin = 0;
    while (begin < inputs->n && inputs->v[begin].layer != layer)
        begin++;
    *end = begin;
    while (*end < inputs->n && inputs->v[*end].layer == layer)
        (*end)++;
    return begin;
}
