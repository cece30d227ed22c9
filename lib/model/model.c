/* Opening a model: metadata to hyperparameters, tensors to weights. */
#include "model/model.h"

#include <math.h>
#include <string.h>

#include "base/cpu.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/threads.h"

static void switch_off(struct el_hparams *hp, unsigned off)
{
    if (off & EL_OFF_ROPE_SCALING)
        hp->rope_scaling = EL_ROPE_PLAIN;
    if (off & (EL_OFF_ROPE_SCALING | EL_OFF_ROPE_ATTN))
        hp->rope_attn_factor = 1;
    if (off & EL_OFF_ROPE_LOCAL)
        hp->rope_theta_local = 0;
    if (off & EL_OFF_WINDOW_EVERY)
        hp->window_every = 0;
    if (off & EL_OFF_ATTN_CAP)
        hp->attn_cap = 0;
    if (off & EL_OFF_LOGIT_CAP)
        hp->logit_cap = 0;
    if (off & EL_OFF_WINDOW)
        hp->window = 0;
    if (off & EL_OFF_ATTN_SCALE)
        hp->attn_scale = (float)(1.0 / sqrt((double)hp->d_head));
    if (off & EL_OFF_EMBD_SCALE)
        hp->embd_scale = 1;
    if (off & EL_OFF_RESIDUAL_SCALE)
        hp->residual_scale = 1;
    if (off & EL_OFF_LOGIT_SCALE)
        hp->logit_scale = 1;
    if (off & EL_OFF_EXPERT_SHARES)
        hp->experts_as_they_are = !hp->experts_as_they_are;
    if (off & EL_OFF_POS_OFFSET)
        hp->pos_offset = 0;
    if (off & EL_OFF_PARTIAL_ROTARY && hp->n_rot)
        hp->n_rot = hp->d_head;
    if (off & EL_OFF_POSITIONS)
        hp->n_rot = 0;
}

static void count(struct el_model *m)
{
    for (size_t i = 0; i < m->source->n_tensors; i++) {
        const struct el_tensor *const t = &m->source->tensors[i];
        const struct el_tensor_rule *const rule = el_arch_rule(m->arch, t->name, NULL);
        m->nbytes += el_tensor_nbytes(t);
        if (rule && !el_arch_is_rope_factors(rule->role))
            m->n_params += t->n_rows * t->n_in;
    }
}

static enum el_status choose_activations(struct el_model *m, const char *wanted, struct el_err *err)
{
    static const char key[] = "edgellm.activations";
    const size_t at = el_meta_find(m->source->meta, key);
    const bool asked = wanted != NULL;
    if (!asked && at == SIZE_MAX)
        return EL_OK;
    if (!asked && el_meta_type(m->source->meta, at) == EL_META_STR)
        wanted = el_meta_str(m->source->meta, at, 0, NULL);
    m->f32_activations = wanted && strcmp(wanted, "f32") == 0;
    if (m->f32_activations || (wanted && strcmp(wanted, "int8") == 0))
        return EL_OK;
    if (asked)
        return el_fail(err, EL_E_USAGE, "activations '%.64s', known are f32, int8", wanted);
    return el_fail(err, EL_E_FORMAT, "metadata '%s': '%.64s', must be f32 or int8", key, wanted ? wanted : "no string");
}

static enum el_status bind_weights(struct el_model *m, const struct el_model_opts *opts, struct el_err *err)
{
    struct el_pool *pool;
    m->n_threads = opts->n_threads;
    EL_TRY(el_pool_open(m->n_threads, &pool, err));
    /* Weights that see float activations are decoded from where they lie. */
    const struct el_bind_opts bind = {
        .own = opts->no_mmap, .off = m->off, .kernels = m->f32_activations ? NULL : m->kernels, .pool = pool, .laid = opts->laid};
    const enum el_status status = el_weights_bind(&m->weights, m->arch, &m->hp, m->source, &bind, err);
    el_pool_close(pool);
    return status;
}

enum el_status el_model_describe(struct el_model *m, struct el_source *source, const struct el_model_opts *opts,
                                 struct el_err *err)
{
    const struct el_meta *const meta = source->meta;
    struct el_err local = {.code = EL_OK};
    *m = (struct el_model){.source = source};
    EL_TRY(el_cpu_check_env(err));
    m->kernels = el_kernels();
    EL_TRY(el_features_parse(opts->disable, &m->off, err));
    EL_TRY(choose_activations(m, opts->activations, err));
    m->arch = el_arch_of_meta(meta, &local);
    if (!m->arch)
        return el_fail(err, local.code, "%s", local.text);
    EL_TRY(el_arch_hparams(m->arch, meta, &m->hp, err));
    if (m->source->n_tensors == 0)
        return el_fail(err, EL_E_FORMAT, "no tensors: a vocabulary, not a model");
    return EL_OK;
}

static enum el_status open_model(struct el_model *m, struct el_source *source, const struct el_model_opts *opts,
                                 struct el_err *err)
{
    EL_TRY(el_model_describe(m, source, opts, err));
    EL_TRY(bind_weights(m, opts, err));
    switch_off(&m->hp, m->off);
    count(m);
    return EL_OK;
}

enum el_status el_model_open(struct el_source *source, const struct el_model_opts *opts, struct el_model **model,
                             struct el_err *err)
{
    static const struct el_model_opts defaults = {.no_mmap = false};
    *model = NULL;
    struct el_model *const m = el_calloc_array(1, sizeof *m);
    if (!m)
        return el_fail(err, EL_E_MEMORY, "out of memory for a model");
    const enum el_status status = open_model(m, source, opts ? opts : &defaults, err);
    if (status != EL_OK) {
        el_free(m);
        /* What the caller asked for is not the file's fault. */
        return status == EL_E_USAGE ? status : el_fail_prefix(err, status, "'%s'", source->path);
    }
    *model = m;
    return EL_OK;
}

void el_model_close(struct el_model *model)
{
    if (!model)
        return;
    el_weights_release(&model->weights);
    el_free(model);
}

struct el_model_info el_model_info(const struct el_model *model)
{
    const struct el_hparams *const hp = &model->hp;
    return (struct el_model_info){
        .arch = model->arch->name,
        .n_params = model->n_params,
        .nbytes = model->nbytes,
        .n_vocab = hp->n_vocab,
        .n_embd = hp->n_embd,
        .n_layers = hp->n_layers,
        .n_heads = hp->n_heads,
        .n_kv_heads = hp->n_kv_heads,
        .d_head = hp->d_head,
        .n_ff = hp->n_ff,
        .n_experts = hp->n_experts,
        .n_experts_used = hp->n_experts_used,
        .n_ctx_train = hp->n_ctx_train,
    };
}
