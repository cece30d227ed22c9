/* What a forward pass has to read and to multiply, by the roles of the tensors. */
#include <math.h>
#include <stdint.h>

#include "edgellm.h"
#include "model/arch.h"
#include "model/model.h"
#include "tensor/encoding.h"
#include "tensor/source.h"

/* How often a pass uses a tensor. */
struct use {
    double part; /* of its bytes that is read */
    double rows; /* that each of its parameters is multiplied with */
};

static bool is_tied(const struct el_model *m)
{
    for (size_t i = 0; i < m->source->n_tensors; i++) {
        const struct el_tensor_rule *const rule = el_arch_rule(m->arch, m->source->tensors[i].name, NULL);
        if (rule && rule->role == EL_R_OUTPUT)
            return false;
    }
    return true;
}

/* Of n_experts those that n_rows rows meet, when each of them picks its experts evenly and by itself. */
static double experts_met(const struct el_hparams *hp, double n_rows)
{
    const double all = hp->n_experts, picked = hp->n_experts_used;
    return all * (1 - pow(1 - picked / all, n_rows));
}

static struct use use_of(const struct el_model *m, const struct el_tensor *t, const struct el_tensor_rule *rule, bool tied,
                         double n_rows, double n_logits)
{
    const bool some_logits = n_logits > 0;
    const double rows_part = t->n_rows && n_rows < (double)t->n_rows ? n_rows / (double)t->n_rows : 1;
    const struct el_hparams *const hp = &m->hp;
    switch (rule->role) {
    case EL_R_TOKEN_EMBD: return tied && some_logits ? (struct use){1, n_logits} : (struct use){rows_part, 0};
    case EL_R_POS_EMBD: return (struct use){rows_part, 0};
    case EL_R_OUTPUT_NORM:
    case EL_R_OUTPUT_NORM_B:
    case EL_R_OUTPUT_PROJ:
    case EL_R_OUTPUT: return (struct use){some_logits, n_logits};
    case EL_R_FFN_GATE_EXPS:
    case EL_R_FFN_UP_EXPS:
    case EL_R_FFN_DOWN_EXPS:
        return (struct use){experts_met(hp, n_rows) / hp->n_experts, n_rows * hp->n_experts_used / hp->n_experts};
    default: return (struct use){1, n_rows};
    }
}

struct el_cost el_model_cost(const struct el_model *model, uint64_t n_rows, uint64_t n_logits)
{
    struct el_cost cost = {0, 0, 0};
    const bool tied = is_tied(model);
    for (size_t i = 0; i < model->source->n_tensors && n_rows; i++) {
        const struct el_tensor *const t = &model->source->tensors[i];
        const struct el_tensor_rule *const rule = el_arch_rule(model->arch, t->name, NULL);
        if (!rule || el_arch_is_rope_factors(rule->role))
            continue;
        const struct use use = use_of(model, t, rule, tied, (double)n_rows, (double)n_logits);
        const bool is_matrix = t->n_dims > 1 && !(rule->flags & EL_TF_VECTORS);
        const double ops = is_matrix ? 2.0 * (double)t->n_rows * (double)t->n_in * use.rows : 0;
        cost.nbytes += (double)el_tensor_nbytes(t) * use.part;
        if (t->enc.e->flags & EL_ENC_FLOAT || model->f32_activations)
            cost.f32_ops += ops;
        else
            cost.int8_ops += ops;
    }
    return cost;
}

double el_model_read_part(const struct el_model *model, const struct el_tensor *t)
{
    const struct el_tensor_rule *const rule = el_arch_rule(model->arch, t->name, NULL);
    return !rule || el_arch_is_rope_factors(rule->role) ? 0.0 : use_of(model, t, rule, is_tied(model), 1, 1).part;
}

double el_model_kv_read(const struct el_model *model, uint64_t pos, uint64_t n_rows)
{
    const struct el_hparams *const hp = &model->hp;
    double sum = 0;
    for (uint32_t l = 0; l < hp->n_layers; l++) {
        const uint64_t window = hp->window && el_arch_is_local(hp, l) ? hp->window : UINT64_MAX;
        const uint64_t first = pos + 1 > window ? pos + 1 - window : 0;
        sum += (double)(pos + n_rows - first);
    }
    return hp->n_layers && n_rows ? sum / hp->n_layers : 0;
}
