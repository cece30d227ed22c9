/* A model: an architecture, its hyperparameters, its weights. Immutable after opening; sessions share it. */
#ifndef EL_MODEL_MODEL_H
#define EL_MODEL_MODEL_H

#include "model/arch.h"
#include "model/run.h"
#include "model/weights.h"

struct el_model {
    const struct el_arch *arch;
    struct el_hparams hp; /* features that are off already taken out */
    struct el_source *source;
    const struct el_kernels *kernels; /* of the CPU level at opening: weights are laid out for it */
    struct el_weights weights;
    unsigned n_threads;   /* that read the weights; 0: all cores */
    bool f32_activations; /* no activation is rounded to int8 */
    unsigned off; /* enum el_features */
    uint64_t n_params, nbytes;
};

/*
 * All of opening but the weights: architecture, hyperparameters (no feature taken out), kernels, kind of activations. Errors name
 * no file. For who binds weights as they are needed (model/stream.h).
 */
enum el_status el_model_describe(struct el_model *m, struct el_source *source, const struct el_model_opts *opts,
                                 struct el_err *err);

/* The part of a tensor's bytes that a token reads whose logits are wanted (see el_model_cost); needs el_model_describe alone. */
double el_model_read_part(const struct el_model *model, const struct el_tensor *t);

struct el_kv;
/* The session's store, for saving and loading sequences. */
struct el_kv *el_session_kv(struct el_session *session);

/* Called with every linear of the session's runs; see model/run.h. False when there are EL_MAX_OBSERVERS already. */
bool el_session_observe(struct el_session *session, el_observe_fn *fn, void *user);

#endif
