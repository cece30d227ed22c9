/*
 * QuaRot: rotations that leave what the model computes and spread what is large in one channel over all (Ashkboos et al., QuaRot,
 * arXiv:2404.00456).
 *
 * - R1 (stage 1a): the residual stream, x -> Q x, over the whole model: embedding, everything that adds to the stream, everything
 *   that reads it. Gains of norms are moved into what they feed before. Norms that subtract the mean get a Q that keeps the
 *   vector of ones; the paper makes them RMSNorms first, which is another family's file.
 * - R2 (stage 1c, the part that costs nothing): within each head, from v to the output projection.
 * - R4 (stage 1b), on demand: what the last matrix of an MLP reads is rotated while the model runs. No link takes it, since it
 *   stands behind the nonlinearity. llama.cpp does not run such a file.
 *
 * Queries and keys behind RoPE (the paper's R3) are only for a quantized cache; they stay. Random signs from fixed seeds:
 * randomized Hadamard matrices, as in the paper. With `rtn` as the method of codes this is the paper's QuaRot-RTN,
 * with gptq its main results.
 */
#include "model/arch.h"
#include "quant/fold.h"

/* Seeds: the residual stream's; those of heads and inputs count up by layers from theirs. */
enum { SEED_RESIDUAL = 1, SEED_HEADS = 1000, SEED_INPUTS = 1000000 };

/* Links come before inputs, so that the inputs that are left are those which no link rotates. */
static bool is_wanted(const struct el_fold *fold, const struct el_fold_place *p, const struct el_method_opts *opts)
{
    if (p->input)
        return opts->online_rotation && !el_fold_rotates_input(fold, p->fed);
    return p->how & EL_C_RESIDUAL || (p->how & EL_C_ROTATE && p->how & EL_C_PER_HEAD);
}

static enum el_status mark(struct el_fold *fold, const struct el_method_opts *opts, struct el_err *err)
{
    const struct el_fold_place *p;
    for (size_t i = 0; (p = el_fold_place_at(fold, i)) != NULL; i++)
        if (is_wanted(fold, p, opts))
            EL_TRY(el_fold_mark(fold, p, EL_FOLD_ROTATE, opts, err));
    return EL_OK;
}

static enum el_status decide(const struct el_fold_task *task, struct el_err *err)
{
    const struct el_fold_place *p;
    for (size_t i = 0; (p = el_fold_place_at(task->fold, i)) != NULL; i++) {
        const uint64_t seed = p->input ? SEED_INPUTS + p->layer : p->how & EL_C_RESIDUAL ? SEED_RESIDUAL : SEED_HEADS + p->layer;
        if (el_fold_is_marked(task->fold, p, EL_FOLD_ROTATE))
            EL_TRY(el_fold_rotate(task->fold, p, seed, err));
    }
    return EL_OK;
}

const struct el_fold_method el_fold_method_quarot = {
    .name = "quarot",
    .about = "before another (quarot+gptq; alone: rtn): rotates the residual stream and heads, which spreads outliers",
    .then = "rtn",
    .mark = mark,
    .decide = decide,
};
