/*
 * One forward pass: the batch, the buffers it goes through, and the table of operations. Architectures and layers see buffers
 * by number and touch no float; where the floats lie and who computes is behind model/ops.h.
 */
#ifndef EL_MODEL_RUN_H
#define EL_MODEL_RUN_H

#include "base/threads.h"
#include "kernels/kernels.h"
#include "model/arch.h"
#include "model/weights.h"

/*
 * Buffers of activation rows. Q, K and V are column ranges of QKV, GATE and UP of GATE_UP, so that fused and separate
 * projections end alike.
 */
enum el_buffer {
    EL_B_EMBD, /* [n, n_embd_io] before or after the projection, where there is one */
    EL_B_X,    /* [n, n_embd] the residual stream */
    EL_B_H,    /* [n, n_embd] what a norm made of it */
    EL_B_QKV,  /* [n, (n_heads + 2 n_kv_heads) d_head] */
    EL_B_Q,
    EL_B_K,
    EL_B_V,
    EL_B_ATTN, /* [n, n_heads d_head] */
    EL_B_Y,    /* [n, n_embd] output of a projection before it is added to x */
    EL_B_GATE_UP,
    EL_B_GATE,
    EL_B_UP,     /* [n, n_ff], or n_ff_exp with experts */
    EL_B_ROUTER, /* [n, n_experts] */
    EL_B_EXPERT, /* [routing.n_most, n_embd] rows gathered for some experts, and what these give */
    EL_B_GATE_SHEXP,
    EL_B_UP_SHEXP,     /* [n, n_ff_shexp] */
    EL_B_ROUTER_SHEXP, /* [n, 1] */
    EL_B_LOGITS,       /* [n_out, n_vocab] */
    EL_B_COUNT
};
struct el_rows_buf {
    float *f32;
    uint64_t n, n_cols, stride; /* n: rows in use now */
};

/* The derived forms of the buffer that linears read last, so that several linears share them. */
struct el_activation {
    enum el_buffer of;    /* EL_B_COUNT: of none */
    const struct el_weight_input *input; /* NULL: its rows as they are; else changed so */
    float *changed;                      /* [n, widest], where the model has weights that read changed rows */
    bool has_q8, has_rounded;
    float *rounded; /* [n, widest] what the int8 form says, where float weights are to see that */
    int8_t *q8;
    float *scale;
    int16_t *sum;
    struct el_act_sums *sums;
};

/*
 * The tokens of a batch by expert. Entry i: row row[i] goes to the expert with weight p[i]; expert e has entries start[e] ..
 * start[e + 1]. Experts are run in groups of at most n_most entries, which is no fewer than one expert may have.
 */
struct el_routing {
    uint64_t n_most;
    uint32_t n_used; /* experts of a row, by the last route */
    uint32_t *entry; /* [n, n_experts_used] entries of a row, ascending */
    uint32_t *start; /* [n_experts + 1] */
    uint32_t *row;   /* [n * n_experts_used] */
    float *p;
    uint32_t *pick; /* [n, n_experts_used] scratch: experts of a row, and their weights */
    float *pick_p;
};

/* How attention goes over the batch, and its memory; see model/attention.h. */
struct el_attn_runs {
    uint32_t *first_row; /* [n + 1] runs: rows of one sequence that follow each other */
    uint64_t n;
    uint8_t *scratch; /* one piece per thread */
    uint64_t scratch_nbytes;
    uint64_t n_pieces;         /* so many pieces of work, or more, are not split over chunks */
    _Atomic(uint32_t) *n_done; /* [n_pieces] spans of a piece that are done */
    uint8_t *parts;            /* [n_parts] of part_nbytes */
    uint64_t n_parts, part_nbytes;
};

/* Called before every multiplication with a weight, in the thread that decodes: w, the expert (0 without), the rows it reads. */
typedef void el_observe_fn(void *user, const struct el_weight *w, uint32_t expert, const struct el_act *x);
enum { EL_MAX_OBSERVERS = 8 };

struct el_kv;
struct el_ops;

struct el_run {
    const struct el_arch *arch;
    const struct el_hparams *hp;
    const struct el_weights *weights;
    const struct el_ops *ops;
    const struct el_kernels *kernels;
    struct el_pool *pool;
    struct el_kv *kv;
    unsigned off; /* enum el_features */

    const struct el_row *rows; /* the batch */
    uint32_t n;
    uint32_t n_out;     /* rows that asked for logits, and which: */
    uint32_t *out_rows; /* [n_batch] */

    struct el_rows_buf b[EL_B_COUNT];
    struct el_activation act, expert_act; /* of EL_B_EXPERT the second, of all others the first */
    struct {
        uint32_t most; /* 0: by the kernels' rule, and float weights see floats; else activations are integers up to it */
        bool by_row;   /* one scale for a row */
    } act_rule;        /* of all matrices but routers: see el_session_opts.act_bits */
    uint32_t early_q8;                    /* bits of the buffers whose int8 form is made by who writes them: see linear.h */
    struct el_routing routing;
    struct el_attn_runs attn;
    struct el_rope_table {
        double *freqs;    /* [n_rot / 2] */
        float *cos, *sin; /* [n, n_rot / 2] of the batch's positions */
    } rope, rope_local;   /* rope_local: of layers with a window, where their base is another */

    uint8_t *scratch; /* one piece per thread, for matmul */
    uint64_t scratch_nbytes;

    struct {
        el_observe_fn *fn;
        void *user;
    } observers[EL_MAX_OBSERVERS];
    uint32_t n_observers;
};

#endif
