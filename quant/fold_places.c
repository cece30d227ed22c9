/* Places: the links of the wiring, layer by layer, with the tensors that they mean in this model; then its inputs. */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "quant/fold_impl.h"
#include "quant/inputs.h"

size_t el_fold_tensor_of(const struct el_fold *fold, enum el_role role, uint32_t layer)
{
    const struct el_tensor_rule *const rule = el_arch_rule_of_role(fold->arch, role);
    if (!rule)
        return SIZE_MAX;
    const uint32_t l = rule->flags & EL_TF_LAYER ? layer : fold->hp.n_layers;
    return fold->of_role[(size_t)l * EL_R_COUNT + role];
}

/* ---- ends ---- */

static struct el_fold_end end_of(const struct el_fold *fold, size_t tensor)
{
    const struct el_tensor *const t = &fold->source->tensors[tensor];
    const struct fold_tensor *const f = &fold->tensors[tensor];
    struct el_fold_end end = {.tensor = tensor, .name = t->name, .vector = f->vector, .n_experts = f->n_experts};
    end.n_rows = f->vector ? t->n_rows * t->n_in : t->n_rows / f->n_experts;
    end.n_in = f->vector ? 1 : t->n_in;
    return end;
}

/* The rows of the fused matrix that stand for a role; false when the model has no such matrix. */
static bool fused_end(const struct el_fold *fold, enum el_role role, uint32_t layer, bool bias, struct el_fold_end *end)
{
    const struct el_hparams *const hp = &fold->hp;
    size_t tensor = SIZE_MAX;
    uint64_t row0 = 0, n_rows = 0;
    if (role == EL_R_ATTN_V) {
        tensor = el_fold_tensor_of(fold, bias ? EL_R_ATTN_QKV_B : EL_R_ATTN_QKV, layer);
        row0 = ((uint64_t)hp->n_heads + hp->n_kv_heads) * hp->d_head;
        n_rows = (uint64_t)hp->n_kv_heads * hp->d_head;
    } else if ((role == EL_R_FFN_GATE || role == EL_R_FFN_UP) && !bias) {
        tensor = el_fold_tensor_of(fold, EL_R_FFN_GATE_UP, layer);
        row0 = role == EL_R_FFN_UP ? hp->n_ff : 0;
        n_rows = hp->n_ff;
    }
    if (tensor == SIZE_MAX)
        return false;
    *end = end_of(fold, tensor);
    end->row0 = row0;
    end->n_rows = n_rows;
    return true;
}

static void add_end(struct fold_place *place, size_t *n, struct el_fold_end end)
{
    place->ends[place->p.n_producers + place->p.n_consumers] = end;
    ++*n;
}

/*
 * A producer and its bias (which follows its matrix or norm in the list of roles); false when the model has neither form of it.
 */
static bool add_producer(const struct el_fold *fold, struct fold_place *place, enum el_role role, uint32_t layer)
{
    struct el_fold_end end;
    const size_t tensor = el_fold_tensor_of(fold, role, layer);
    const bool fused = tensor == SIZE_MAX;
    if (fused && !fused_end(fold, role, layer, false, &end))
        return false;
    if (!fused) {
        end = end_of(fold, tensor);
        end.rows_are_in = role == EL_R_TOKEN_EMBD || role == EL_R_POS_EMBD;
    }
    add_end(place, &place->p.n_producers, end);
    if (fused) {
        if (fused_end(fold, role, layer, true, &end))
            add_end(place, &place->p.n_producers, end);
        return true;
    }
    const enum el_role next = role + 1;
    const struct el_tensor_rule *const rule = next < EL_R_COUNT ? el_arch_rule_of_role(fold->arch, next) : NULL;
    const size_t bias = rule && strstr(rule->gguf, ".bias") ? el_fold_tensor_of(fold, next, layer) : SIZE_MAX;
    if (bias != SIZE_MAX)
        add_end(place, &place->p.n_producers, end_of(fold, bias));
    return true;
}

static bool add_consumer(const struct el_fold *fold, struct fold_place *place, enum el_role role, uint32_t layer)
{
    size_t tensor = el_fold_tensor_of(fold, role, layer);
    if (tensor == SIZE_MAX && role == EL_R_OUTPUT && fold->output != SIZE_MAX) {
        place->p.unties = true;
        tensor = fold->output;
    }
    if (tensor == SIZE_MAX)
        return false;
    add_end(place, &place->p.n_consumers, end_of(fold, tensor));
    return true;
}

/* ---- places ---- */

static struct fold_place *next_place(struct el_fold *fold, size_t n_ends)
{
    struct fold_place *const place = &fold->places[fold->n_places];
    *place = (struct fold_place){.lead = EL_R_COUNT, .p = {.n_groups = 1, .heads_per_kv = 1}};
    place->ends = el_calloc_array(n_ends, sizeof *place->ends);
    return place->ends ? place : NULL;
}

static void finish_place(struct el_fold *fold, struct fold_place *place)
{
    struct el_fold_place *const p = &place->p;
    p->producers = place->ends;
    p->consumers = place->ends + p->n_producers;
    if (p->how & EL_C_RESIDUAL)
        (void)snprintf(p->name, sizeof p->name, "residual");
    else
        (void)snprintf(p->name, sizeof p->name, "%s%s> %s", p->input ? "" : p->producers[0].name, p->input ? "" : " ",
                       p->consumers[0].name);
    p->fed = p->how & EL_C_RESIDUAL ? NULL : p->consumers[0].name;
    fold->n_places++;
}

/* A link in a layer, unless the model lacks one of its ends. */
static enum el_status add_link(struct el_fold *fold, const struct el_link *link, uint32_t layer, struct el_err *err)
{
    struct fold_place *const place = next_place(fold, 2 * 16 + 16);
    if (!place)
        return el_fold_no_memory(err);
    bool holds = true;
    for (int i = 0; link->producers[i] != EL_R_COUNT; i++)
        holds = holds && add_producer(fold, place, link->producers[i], layer);
    for (int i = 0; link->consumers[i] != EL_R_COUNT; i++)
        holds = holds && add_consumer(fold, place, link->consumers[i], layer);
    if (!holds) {
        el_free(place->ends);
        return EL_OK;
    }
    struct el_fold_place *const p = &place->p;
    const struct el_fold_end *const first = &place->ends[0];
    place->lead = link->producers[0];
    p->how = link->how;
    p->layer = layer;
    p->n_groups = first->n_experts;
    p->n_channels = first->rows_are_in ? first->n_in : first->n_rows;
    p->head_n = link->how & EL_C_PER_HEAD ? fold->hp.d_head : p->n_channels;
    p->heads_per_kv = link->how & EL_C_PER_HEAD ? fold->hp.n_heads / fold->hp.n_kv_heads : 1;
    finish_place(fold, place);
    return EL_OK;
}

static bool is_layered(const struct el_fold *fold, const struct el_link *link)
{
    const struct el_tensor_rule *rule = el_arch_rule_of_role(fold->arch, link->producers[0]);
    return !rule || rule->flags & EL_TF_LAYER; /* what stands for rows of a fused matrix is of a layer */
}

/* Norms whose outcome, bias included, is read in the channels of the residual stream. */
static const enum el_role norms[] = {EL_R_ATTN_NORM, EL_R_FFN_NORM, EL_R_OUTPUT_NORM};

/* Biases of norms are added to what linears read: a rotation of the residual stream takes them along. */
static void add_norm_biases(const struct el_fold *fold, struct fold_place *place, uint32_t layer)
{
    for (size_t i = 0; i < sizeof norms / sizeof *norms; i++) {
        const size_t bias = el_fold_tensor_of(fold, norms[i] + 1, layer);
        if (bias != SIZE_MAX && (norms[i] != EL_R_OUTPUT_NORM || layer == 0))
            add_end(place, &place->p.n_producers, end_of(fold, bias));
    }
}

/* The residual stream: what the model has of the link's roles, in all layers. */
static enum el_status add_residual(struct el_fold *fold, const struct el_link *link, struct el_err *err)
{
    const uint32_t n_layers = fold->hp.n_layers ? fold->hp.n_layers : 1;
    struct fold_place *const place = next_place(fold, (size_t)n_layers * (2 * 16 + 16 + 3));
    if (!place)
        return el_fold_no_memory(err);
    for (uint32_t l = 0; l < n_layers; l++) {
        for (int i = 0; link->producers[i] != EL_R_COUNT; i++) {
            const struct el_tensor_rule *const rule = el_arch_rule_of_role(fold->arch, link->producers[i]);
            if (l == 0 || (rule && rule->flags & EL_TF_LAYER))
                (void)add_producer(fold, place, link->producers[i], l);
        }
        add_norm_biases(fold, place, l);
    }
    for (uint32_t l = 0; l < n_layers; l++)
        for (int i = 0; link->consumers[i] != EL_R_COUNT; i++) {
            const struct el_tensor_rule *const rule = el_arch_rule_of_role(fold->arch, link->consumers[i]);
            if (l == 0 || (rule && rule->flags & EL_TF_LAYER))
                (void)add_consumer(fold, place, link->consumers[i], l);
        }
    /* A tied output turns with the embedding. It is the gain of the norm before it that parts them. */
    place->p.unties = place->p.unties && el_fold_tensor_of(fold, EL_R_OUTPUT_NORM, 0) != SIZE_MAX;
    place->lead = link->producers[0];
    place->p.how = link->how;
    place->p.head_n = place->p.n_channels = fold->hp.n_embd;
    finish_place(fold, place);
    return EL_OK;
}

static enum el_status add_inputs(struct el_fold *fold, struct el_err *err)
{
    struct el_inputs inputs;
    EL_TRY(el_inputs_make(&inputs, fold->arch, &fold->hp, fold->source, false, err));
    enum el_status status = EL_OK;
    for (size_t i = 0, of = 0; i < inputs.n && status == EL_OK; i++) {
        struct fold_place *const place = next_place(fold, 4);
        if (!place) {
            status = el_fold_no_memory(err);
            break;
        }
        for (; of < inputs.n_of && inputs.of[of].input == i; of++) {
            uint32_t layer = 0;
            const struct el_tensor_rule *const rule = el_arch_rule(fold->arch, inputs.of[of].name, &layer);
            (void)add_consumer(fold, place, rule->role, layer);
        }
        place->p.input = true;
        place->p.how = EL_C_GAIN | EL_C_ROTATE;
        place->p.layer = (uint32_t)inputs.v[i].layer;
        place->p.head_n = place->p.n_channels = inputs.v[i].n_in;
        finish_place(fold, place);
    }
    el_inputs_release(&inputs);
    return status;
}

enum el_status el_fold_find_places(struct el_fold *fold, struct el_err *err)
{
    const uint64_t roles = el_arch_roles(fold->arch, fold->source->tensors, fold->source->n_tensors);
    const struct el_link *const links = el_arch_links(fold->arch, &fold->hp, roles);
    enum { PER_LAYER_INPUTS = 16 };
    size_t n_links = 0;
    while (links[n_links].how)
        n_links++;
    fold->places = el_calloc_array(((size_t)fold->hp.n_layers + 1) * (n_links + PER_LAYER_INPUTS), sizeof *fold->places);
    if (!fold->places)
        return el_fold_no_memory(err);
    for (const struct el_link *link = links; link->how; link++) {
        if (link->how & EL_C_RESIDUAL) {
            EL_TRY(add_residual(fold, link, err));
            continue;
        }
        const uint32_t n = is_layered(fold, link) ? fold->hp.n_layers : 1;
        for (uint32_t l = 0; l < n && link->how & (EL_C_GAIN | EL_C_ROTATE); l++)
            EL_TRY(add_link(fold, link, l, err));
    }
    return add_inputs(fold, err);
}
