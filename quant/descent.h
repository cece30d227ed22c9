/*
 * Coordinate descent on tr((W - Q) H (W - Q)^T) over what a row stores: codes, scales and mins of sub-blocks, what blocks share.
 * It begins where another method ended and never raises the loss.
 *
 * With E = W - Q and P = E H, a code whose value moves by -x changes the loss by 2 x P_j + x^2 H_jj, so the best value of column
 * j, all else as it is, is Q_j + P_j / H_jj, and the nearest code to it is the best one (Behdin et al., QuantEase,
 * arXiv:2309.01885, lemma 1; as a second step behind GPTQ: Nair and Suggala, CDQuant, arXiv:2406.17542). For the columns S of a
 * sub-block (or of a unit, which share a code) together the best values are t = Q_S + P_S H_SS^-1, and what Q_S loses more than
 * t is (Q_S - t) H_SS (Q_S - t)^T.
 *
 * Where we go on from the papers, which move codes only: each integer scale and min of a sub-block is tried a step up and down,
 * and in the first round as chosen anew for t, each time with codes rounded against H_SS = L D L^T as gptq does it; what a block
 * shares follows by least squares for the codes as they are. All of it is accepted only where the loss falls.
 */
#ifndef EL_QUANT_DESCENT_H
#define EL_QUANT_DESCENT_H

#include "quant/method.h"
#include "tensor/grid.h"

struct el_descent {
    struct el_enc enc;
    uint64_t n_in, n_blocks;
    uint32_t width, sub_n, unit_n, chunk; /* columns whose P is made together */
    bool scales;                          /* blocks are small enough that their scales are looked at */
    double *h;                            /* [n_in, n_in] */
    double *factor;                       /* [n_in, sub_n] L of each sub-block, D on its diagonal, one below the other */
    double *unit_factor;                  /* [n_in, unit_n] the same of each unit; NULL: every column has a code of its own */
    float *weight, *unit_weight;          /* [n_in] diagonal of h; of L D L^T of a unit's part of factor */
    double lambda;
};

/* H / n_tokens, damped by this part of its mean diagonal. EL_E_MEMORY, and what reading statistics returns; *d is empty then. */
enum el_status el_descent_open(const struct el_quant_columns *columns, double damping, struct el_descent *d, struct el_err *err);
void el_descent_release(struct el_descent *d);

/*
 * `rounds` times over the columns of n_rows rows. target [n_rows, n_in] is W; block [n_rows, n_blocks] and level [n_rows, n_in]
 * are what the rows have, and change; error [n_rows, n_in] becomes W - Q. *gain: by how much the loss fell. A row's bits do not
 * depend on the rows beside it. EL_E_MEMORY.
 */
enum el_status el_descend(const struct el_descent *d, const double *target, uint64_t n_rows, uint32_t rounds,
                          struct el_grid_block *block, int16_t *level, double *error, double *gain, struct el_err *err);

#endif
